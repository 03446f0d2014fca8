"""Cost of namespaces of the kernel: each with `lo` up, one end of a veth pair, an address and a UDP socket.

    python -m benchmarks.kernel_namespaces COUNT

The same as `namespaces` makes, by the fewest system calls: unshare, four netlink messages, socket and bind; no name in
a file system and no process for each. The namespaces end with this process. Prints a JSON object: `ns_each`, `kib_each`
(growth of the memory that the kernel itself uses; other programs of the machine disturb it).
"""

from __future__ import annotations

import ctypes
import json
import os
import resource
import socket
import struct
import sys
import time
from pathlib import Path

ADDRESS, PORT = "10.0.0.2", 7
QUIET_ROUNDS, QUIET_KIB = 40, 500
_CLONE_NEWNET = 0x40000000
_NEWLINK, _NEWADDR = 16, 20
_REQUEST_ACK, _CREATE = 0x005, 0x600  # NLM_F_REQUEST | NLM_F_ACK; NLM_F_CREATE | NLM_F_EXCL
_UP = 1
_IFNAME, _LINKINFO, _NET_NS_FD, _INFO_KIND, _INFO_DATA, _VETH_PEER = 3, 18, 28, 1, 2, 1
_LOCAL, _NESTED = 2, 0x8000


def _attribute(kind: int, data: bytes) -> bytes:
    return struct.pack("=HH", len(data) + 4, kind) + data + bytes(-len(data) % 4)


def _ask(netlink: socket.socket, kind: int, flags: int, body: bytes) -> None:
    """Send one message and wait for its acknowledgement; OSError with the kernel's errno."""
    netlink.send(struct.pack("=IHHII", len(body) + 16, kind, _REQUEST_ACK | flags, 1, 0) + body)
    code = struct.unpack_from("=i", netlink.recv(4096), 16)[0]
    if code:
        raise OSError(-code, os.strerror(-code))


def _link(index: int, *, up: bool = False) -> bytes:
    return struct.pack("=BxHiII", 0, 0, index, _UP if up else 0, _UP if up else 0)


def _make(libc: ctypes.CDLL, hub: int, number: int) -> socket.socket:
    """One namespace, entered; it lives as long as its socket."""
    if libc.unshare(_CLONE_NEWNET):
        raise OSError(ctypes.get_errno(), "unshare")
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, socket.NETLINK_ROUTE) as netlink:
        netlink.bind((0, 0))
        _ask(netlink, _NEWLINK, 0, _link(1, up=True))
        peer = _link(0) + _attribute(_IFNAME, f"n{number}\0".encode()) + _attribute(_NET_NS_FD, struct.pack("=i", hub))
        data = _attribute(_INFO_DATA | _NESTED, _attribute(_VETH_PEER | _NESTED, peer))
        info = _attribute(_LINKINFO | _NESTED, _attribute(_INFO_KIND, b"veth") + data)
        _ask(netlink, _NEWLINK, _CREATE, _link(0) + _attribute(_IFNAME, b"eth0\0") + info)
        index = socket.if_nametoindex("eth0")
        _ask(netlink, _NEWLINK, 0, _link(index, up=True))
        address = struct.pack("=BBBBi", socket.AF_INET, 24, 0, 0, index)
        _ask(netlink, _NEWADDR, _CREATE, address + _attribute(_LOCAL, socket.inet_aton(ADDRESS)))
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    sock.bind((ADDRESS, PORT))
    return sock


def _kernel_kib() -> int:
    """Memory that is neither free nor a program's nor the page cache's, so the kernel's own."""
    lines = Path("/proc/meminfo").read_text().splitlines()
    kib = {name: int(rest.split()[0]) for name, _, rest in (line.partition(":") for line in lines)}
    return kib["MemTotal"] - sum(kib[name] for name in ("MemFree", "Buffers", "Cached", "SwapCached", "AnonPages"))


def _wait_until_quiet() -> None:
    """The kernel takes namespaces apart long after their end: wait until it is done with earlier ones."""
    before = sys.maxsize
    for _ in range(QUIET_ROUNDS):
        now = _kernel_kib()
        if now > before - QUIET_KIB:
            return
        before = now
        time.sleep(0.5)


def main() -> None:
    count = int(sys.argv[1])
    _wait_until_quiet()
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.unshare(_CLONE_NEWNET):
        raise OSError(ctypes.get_errno(), "unshare")
    hub = os.open("/proc/self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
    kib, start = _kernel_kib(), time.perf_counter_ns()
    sockets = [_make(libc, hub, number) for number in range(count)]
    took = time.perf_counter_ns() - start
    kib = _kernel_kib() - kib
    bound = sum(sock.getsockname() == (ADDRESS, PORT) for sock in sockets)
    json.dump({"ns_each": took // count, "kib_each": kib / count, "answered": bound}, sys.stdout)
    print()


if __name__ == "__main__":
    main()
