"""A full table in one namespace: loaded from a file, looked up in, replaced; and loaded into the kernel by `ip -batch`.

    python -m benchmarks.routes pure|compiled FILE

FILE has lines of `full_table` by way of `GATEWAY4`, `GATEWAY6` and `DEVICE`. Prints a JSON object: `load` and `replace`
(s), `load_hold` and `replace_hold` (s: the longest single step, while which nothing else runs), `loaded` and
`replacing` (MiB: resident after the load, most while it is replaced), `lookup4` and `lookup6` (ns a call of
`Fib.lookup`, addresses that have a route, in no order, least of several rounds), `ipv4` and `ipv6` (routes).
"""

from __future__ import annotations

import json
import os
import resource
import sys
import tempfile
import time
from pathlib import Path
from random import Random
from typing import Any, Final

from benchmarks.commands import ip, module, run
from benchmarks.full_table import IPV4, IPV6, lines
from vrouter.stack.base.addresses import parse_ipv4, parse_ipv6

GATEWAY4, GATEWAY6, DEVICE = "10.0.0.2", "fd00::2", "e0"
ADDRESS4, ADDRESS6 = "10.0.0.1/16", "fd00::1/64"
BUDGET: Final = 1000
_ROUNDS, _ADDRESSES = 9, 100_000


def measure(ipv4: int = IPV4, ipv6: int = IPV6) -> dict[str, dict[str, float]]:
    """What was found for ``kernel``, ``pure`` and, where it is built, ``compiled``."""
    from vrouter.stack.l3.fib import COMPILED

    with tempfile.TemporaryDirectory(prefix="vrouter-bench-") as directory:
        both, per_family = Path(directory, "routes"), []
        with both.open("w") as file:
            for counts in ((ipv4, 0), (0, ipv6)):
                mine = list(lines(parse_ipv4(GATEWAY4), parse_ipv6(GATEWAY6), DEVICE, *counts))
                per_family.append(Path(directory, f"routes{len(per_family)}"))
                per_family[-1].write_text("".join(mine))
                file.writelines(mine)
        found = {"kernel": _measure_kernel(per_family)}
        for kind in ("pure", "compiled") if COMPILED else ("pure",):
            found[kind] = json.loads(run([*module("routes"), kind, str(both)], 300))
        return found


def _measure_kernel(files: list[Path]) -> dict[str, float]:
    """The same files by ip(8), a family at a time, as it wants them."""
    name = f"vrb-{os.getpid()}"
    ip("netns", "add", name)
    try:
        ip("-n", name, "link", "add", DEVICE, "type", "veth", "peer", "name", "peer")
        for device in (DEVICE, "peer"):
            ip("-n", name, "link", "set", device, "up")
        ip("-n", name, "address", "add", ADDRESS4, "dev", DEVICE)
        ip("-n", name, "address", "add", ADDRESS6, "dev", DEVICE, "nodad")
        start = time.perf_counter()
        for family, path in zip("46", files, strict=True):
            run(["ip", f"-{family}", "-n", name, "-batch", str(path)], 600)
        took = time.perf_counter() - start
        counts = [len(run(["ip", f"-{family}", "-n", name, "route"], 120).splitlines()) for family in "46"]
        return {"load": took, "ipv4": counts[0], "ipv6": counts[1]}
    finally:
        ip("netns", "del", name)


def _mib() -> float:
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * resource.getpagesize() / 2**20


def _load(ns: Any, path: str, replace: bool) -> tuple[float, float]:
    """(s in all, s of the longest step) of a load."""
    start = time.perf_counter()
    longest, done = 0.0, False
    with open(path) as file:
        load = ns.load_routes(file, replace=replace)
        while not done:
            before = time.perf_counter()
            done = load.step(BUDGET)
            longest = max(longest, time.perf_counter() - before)
    if load.problems or not load.applied:
        raise SystemExit(f"{path}: {load.problems[:1]}")
    return time.perf_counter() - start, longest


def _lookup(fib: Any, rng: Random) -> float:
    """ns a lookup."""
    bits = fib.bits
    prefixes = [(prefix, length) for prefix, length, _ in fib]
    picked = rng.choices(prefixes, k=_ADDRESSES)
    addresses = [prefix | (rng.getrandbits(bits - length) if length < bits else 0) for prefix, length in picked]
    if not all(map(fib.lookup, addresses)):
        raise SystemExit("an address of the table has no route")
    rounds = []
    for _ in range(_ROUNDS):
        lookup = fib.lookup
        start = time.perf_counter_ns()
        for address in addresses:
            lookup(address)
        rounds.append((time.perf_counter_ns() - start) / len(addresses))
    return min(rounds)


def main() -> None:
    kind, path = sys.argv[1:]
    if kind == "pure":
        sys.modules["vrouter.stack.l3._lpm"] = None  # type: ignore[assignment] # as if it had not been built
    from vrouter import Router  # noqa: F401 # what a router has loaded
    from vrouter.stack import Stack
    from vrouter.stack.l3.fib import COMPILED

    if COMPILED != (kind == "compiled"):
        raise SystemExit("vrouter was built without its compiled parts (VROUTER_CYTHON)")
    ns = Stack(seed=1).add_netns("full")
    ns.add_device(DEVICE)
    ns.add_address(DEVICE, ADDRESS4)
    ns.add_address(DEVICE, ADDRESS6)
    load, load_hold = _load(ns, path, False)
    loaded = _mib()
    replace, replace_hold = _load(ns, path, True)
    replacing = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    rng = Random(1)
    found = {"load": load, "load_hold": load_hold, "loaded": loaded, "replace": replace, "replace_hold": replace_hold}
    found |= {"replacing": replacing, "lookup4": _lookup(ns.ip4.main, rng), "lookup6": _lookup(ns.ip6.main, rng)}
    json.dump(found | {"ipv4": len(ns.ip4.main), "ipv6": len(ns.ip6.main)}, sys.stdout)
    print()


if __name__ == "__main__":
    main()
