"""Cost of TAPs: opening and closing many, reading and writing frames.

    python -m benchmarks.taps COUNT

Runs in a kernel namespace of its own. Prints a JSON object in ns: `open_each`, `close_each` (COUNT TAPs, closed
together as a router does at its end), `read_each` (frames that wait, in bursts), `write_each` (frames that end in a
UDP socket of the kernel), both the least of many bursts, and how many frames were read and written with the right
bytes (`read`, `written`).
"""

from __future__ import annotations

import contextlib
import ctypes
import json
import resource
import socket
import sys
import time
from pathlib import Path

from benchmarks.commands import ip
from benchmarks.stages import HOST_MAC, PAYLOAD, VNET
from vrouter.kernel import new_group, remove_host_ends, setup_host_end
from vrouter.tap import Tap, close_taps
from vrouter.testing import frames

KERNEL, HOST, PORT = "10.0.0.1", "10.0.0.2", 7
BURST, ROUNDS = 64, 40
_CLONE_NEWNET = 0x40000000


def open_and_close(count: int) -> tuple[int, int]:
    """ns for each of `count` TAPs: to open and set up, and to remove and close."""
    group, start = new_group(), time.perf_counter_ns()
    taps = [Tap(f"t{number}") for number in range(count)]
    ends = [setup_host_end(tap.ifname, None, mtu=1500, group=group) for tap in taps]
    opened = time.perf_counter_ns()
    problems = remove_host_ends(ends)
    close_taps(taps)
    if problems:
        raise ValueError(problems[0])
    return (opened - start) // count, (time.perf_counter_ns() - opened) // count


def read_and_write() -> dict[str, int]:
    """ns for each frame, and how many were right."""
    with contextlib.suppress(FileNotFoundError):  # a kernel without IPv6: no solicitations among our frames
        Path("/proc/sys/net/ipv6/conf/default/disable_ipv6").write_text("1")
    tap = Tap("t0")
    ip("link", "set", "lo", "up")
    ip("link", "set", "t0", "up")
    ip("address", "add", f"{KERNEL}/24", "dev", "t0")
    ip("neighbour", "replace", HOST, "lladdr", HOST_MAC.hex(":"), "dev", "t0", "nud", "permanent")
    mac = json.loads(ip("-json", "link", "show", "t0"))[0]["address"]
    packet = frames.ipv4_udp(HOST, KERNEL, PORT, PORT, PAYLOAD)
    frame = VNET + frames.ethernet(mac, HOST_MAC, frames.IPV4, packet)
    reading: list[int] = []
    writing: list[int] = []
    read = written = 0
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.bind((KERNEL, PORT))
        sock.setblocking(False)
        for _ in range(ROUNDS):
            tap.read_burst(BURST)
            for _ in range(BURST):
                sock.sendto(PAYLOAD, (HOST, PORT))
            start = time.perf_counter_ns()
            got = tap.read_burst(BURST)
            reading.append((time.perf_counter_ns() - start) // BURST)
            read += sum(one.endswith(PAYLOAD) for one in got)
            start = time.perf_counter_ns()
            for _ in range(BURST):
                tap.write(frame)
            writing.append((time.perf_counter_ns() - start) // BURST)
            written += sum(sock.recv(64) == PAYLOAD for _ in range(BURST))
    close_taps([tap])
    return {"read_each": min(reading), "write_each": min(writing), "read": read, "written": written}


def main() -> None:
    count = int(sys.argv[1])
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    if ctypes.CDLL(None, use_errno=True).unshare(_CLONE_NEWNET):
        raise OSError(ctypes.get_errno(), "unshare")
    frames_cost = read_and_write()
    open_each, close_each = open_and_close(count)
    json.dump({"open_each": open_each, "close_each": close_each, **frames_cost}, sys.stdout)
    print()


if __name__ == "__main__":
    main()
