"""Cost of namespaces of the stack: each with `lo`, one end of a veth pair, an address and a UDP socket.

    python -m benchmarks.namespaces COUNT

All have the same address and the same port; the other ends of the pairs are in one more namespace. Prints a JSON
object: `ns_each`, `kib_each` (growth of the process's resident memory), and `answered`: how many sockets then got a
datagram of their own, which is checked byte by byte. One measurement a process, so that memory is fresh.
"""

from __future__ import annotations

import gc
import json
import sys
import time

from benchmarks.machine import resident_kib
from benchmarks.stages import HOST_MAC, PAYLOAD
from vrouter.stack import Stack
from vrouter.stack.netns import Netns
from vrouter.testing import frames

ADDRESS, HOST, PORT = "10.0.0.2", "10.0.0.1", 7


def make(count: int) -> tuple[Stack, list[Netns], int, int]:
    """The stack, its namespaces, and what making one took in ns and KiB."""
    stack = Stack(seed=1)
    hub = stack.add_netns("hub")
    names = [f"n{number}" for number in range(count)]
    spaces = []
    gc.collect()
    kib, start = resident_kib(), time.perf_counter_ns()
    for name in names:
        ns = stack.add_netns(name)
        stack.add_veth(ns, "eth0", hub, name)
        ns.add_address("eth0", f"{ADDRESS}/24")
        ns.socket().bind((ADDRESS, PORT), now=0)
        spaces.append(ns)
    took = time.perf_counter_ns() - start
    return stack, spaces, took // count, resident_kib() - kib


def answers(stack: Stack, spaces: list[Netns]) -> int:
    """How many namespaces get a datagram at their own socket and nowhere else."""
    answered = 0
    for ns in spaces:
        device, (sock,) = ns.devices["eth0"], ns.sockets
        packet = frames.ipv4_udp(HOST, ADDRESS, 4000, PORT, PAYLOAD)
        stack.receive(device, frames.ethernet(device.mac, HOST_MAC, frames.IPV4, packet, pad=True), 0)
        readable = stack.take_ready()
        answered += [found for found, _ in readable] == [sock] and sock.recvfrom(64, now=0) == (PAYLOAD, (HOST, 4000))
    return answered


def main() -> None:
    count = int(sys.argv[1])
    make(10)  # the first ones pay for what is loaded and learnt once
    stack, spaces, ns_each, kib = make(count)
    json.dump({"ns_each": ns_each, "kib_each": kib / count, "answered": answers(stack, spaces)}, sys.stdout)
    print()


if __name__ == "__main__":
    main()
