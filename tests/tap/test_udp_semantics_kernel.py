"""The same calls on a kernel socket and on ours, on loopback alone, compared answer by answer.

    kernel namespace of its own:  lo 127.0.0.1/8 ── sockets of Linux
    namespace of a stack:         lo 127.0.0.1/8 ── sockets of vrouter

This file is also the program that runs in the kernel's namespace: it prints its answers as JSON.
"""

import errno
import json
import socket
import struct
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

EPHEMERAL = range(32768, 61000)
HOME = "127.0.0.1"
GROUP = socket.inet_aton("239.0.0.1")
ON_LO = socket.inet_aton(HOME)


def plain(value: Any) -> Any:
    """A value as JSON has it; ports that the system chose differ from run to run."""
    if isinstance(value, bytes):
        return value.hex()
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    return "chosen" if isinstance(value, int) and value in EPHEMERAL else value


def script(new: Callable[..., Any], disconnect: Callable[[Any], None]) -> list[list[Any]]:
    """Runs the calls; [what was tried, value or errno's name] of each."""
    answers: list[list[Any]] = []

    def ask(what: str, call: Callable[..., Any], *args: Any) -> None:
        try:
            answers.append([what, plain(call(*args))])
        except OSError as error:
            answers.append([what, errno.errorcode[error.errno or 0]])

    def bound(address: str, port: int, **options: int) -> Any:
        sock = new()
        for name, value in options.items():
            sock.setsockopt(socket.SOL_SOCKET, getattr(socket, name), value)
        sock.bind((address, port))
        return sock

    # names
    a = new()
    ask("unbound name", a.getsockname)
    ask("no peer", a.getpeername)
    ask("send without a peer", a.send, b"x")
    ask("and yet it has a port now", a.getsockname)
    ask("bind when it has one", a.bind, (HOME, 0))
    ask("foreign address", new().bind, ("192.0.2.1", 0))
    ask("group address", new().bind, ("239.0.0.1", 4000))
    ask("any of the loopback net", new().bind, ("127.9.9.9", 4001))
    held = [bound(HOME, 5000)]
    ask("same address and port", new().bind, (HOME, 5000))
    ask("wildcard over it", new().bind, ("0.0.0.0", 5000))
    ask("another address", new().bind, ("127.0.0.2", 5000))
    one_sided = new()
    one_sided.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    ask("REUSEADDR on one side", one_sided.bind, (HOME, 5000))
    held += [bound(HOME, 5001, SO_REUSEADDR=1), bound(HOME, 5001, SO_REUSEADDR=1)]
    a.sendto(b"two", (HOME, 5001))
    ask("the older of two", held[1].recv, 9)
    ask("the newer of two", held[2].recv, 9)
    held += [bound("0.0.0.0", 5002, SO_REUSEADDR=1), bound(HOME, 5002, SO_REUSEADDR=1)]
    held.append(bound("0.0.0.0", 5002, SO_REUSEADDR=1))
    a.sendto(b"exact", (HOME, 5002))
    for number, sock in enumerate(held[-3:]):
        ask(f"exact address before wildcard {number}", sock.recv, 9)
    held.append(bound(HOME, 5003, SO_REUSEPORT=1))
    mixed = new()
    mixed.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    ask("REUSEADDR beside REUSEPORT", mixed.bind, (HOME, 5003))

    # connecting
    c = new()
    c.connect((HOME, 9))
    ask("connected name", c.getsockname)
    ask("peer", c.getpeername)
    disconnect(c)
    ask("disconnected name", c.getsockname)
    ask("disconnected peer", c.getpeername)
    for address, port in ((HOME, 0), (HOME, 5010), ("0.0.0.0", 5011)):
        kept = bound(address, port)
        kept.connect((HOME, 9))
        ask(f"bound to {address}:{port}, connected", kept.getsockname)
        disconnect(kept)
        ask(f"bound to {address}:{port}, disconnected", kept.getsockname)
    ask("connect to no route", new().connect, ("192.0.2.1", 9))
    ask("connect_ex to no route", new().connect_ex, ("192.0.2.1", 9))
    ask("connect to broadcast without a route", new().connect, ("255.255.255.255", 9))
    anyhost = new()
    anyhost.connect(("0.0.0.0", 9))
    ask("0.0.0.0 is this host", anyhost.getpeername)
    zero = new()
    zero.connect((HOME, 0))
    ask("port 0 is no peer", zero.getpeername)
    ask("but can be sent to", zero.send, b"")

    # errors that ICMP brings
    e = new()
    e.connect((HOME, 9))
    ask("first into the void", e.send, b"1")
    ask("second tells", e.send, b"2")
    ask("third goes", e.send, b"3")
    ask("recv tells", e.recv, 9)
    ask("once", e.recv, 9)
    e.send(b"4")
    ask("SO_ERROR", e.getsockopt, socket.SOL_SOCKET, socket.SO_ERROR)
    ask("SO_ERROR once", e.getsockopt, socket.SOL_SOCKET, socket.SO_ERROR)
    a.sendto(b"1", (HOME, 9))
    ask("unconnected is not told", a.recv, 9)
    a.setsockopt(socket.SOL_IP, 11, 1)  # IP_RECVERR
    a.sendto(b"", (HOME, 9))
    ask("unless it asks", a.recv, 9)
    ask("error queue", a.recvmsg, 99, 200, 0x2000)
    ask("error queue, empty", a.recvmsg, 99, 200, 0x2000)
    a.sendto(b"", (HOME, 9))
    ask("error queue first", a.recvmsg, 99, 200, 0x2000)
    ask("takes the error away", a.getsockopt, socket.SOL_SOCKET, socket.SO_ERROR)
    ask("too long", a.sendto, bytes(65508), (HOME, 9))
    ask("told by ourselves", a.recvmsg, 99, 200, 0x2000)
    a.setsockopt(socket.SOL_IP, 11, 0)

    # sending
    ask("port 0", a.sendto, b"", (HOME, 0))
    ask("longest", a.sendto, bytes(65507), (HOME, 5000))
    ask("no route", a.sendto, b"", ("192.0.2.1", 9))
    ask("out of band", a.sendto, b"", socket.MSG_OOB, (HOME, 9))
    peer = held[0]
    ask("longest arrives", lambda: len(peer.recv(70000)))

    # receiving
    for option in (8, 12, 13):  # IP_PKTINFO, IP_RECVTTL, IP_RECVTOS
        peer.setsockopt(socket.SOL_IP, option, 1)
    a.sendto(b"abcdef", (HOME, 5000))
    ask("peek", peer.recv, 2, socket.MSG_PEEK)
    ask("ancillary and cut", peer.recvmsg, 3, 200)
    a.sendto(b"", (HOME, 5000))
    ask("no room for ancillary", peer.recvmsg, 3, 0)
    ask("no room for all", lambda: a.sendto(b"", (HOME, 5000)) or peer.recvmsg(3, 60))
    ttl_tos = [(socket.SOL_IP, socket.IP_TTL, struct.pack("i", 7)), (socket.SOL_IP, socket.IP_TOS, b"\x20")]
    ask("sendmsg", a.sendmsg, [b"ab", b"c"], ttl_tos, 0, (HOME, 5000))
    ask("sent so", peer.recvmsg, 9, 200)
    ask("TTL 0 beside", a.sendmsg, [b""], [(socket.SOL_IP, socket.IP_TTL, struct.pack("i", 0))], 0, (HOME, 5000))
    ask("unknown beside", a.sendmsg, [b""], [(socket.SOL_IP, 99, b"1234")], 0, (HOME, 5000))
    ask("nobody's beside", a.sendmsg, [b""], [(99, 99, b"1234")], 0, (HOME, 5000))
    peer.recv(9)
    buffer = bytearray(4)
    a.sendto(b"abcdef", (HOME, 5000))
    ask("recv_into", peer.recv_into, buffer)
    ask("what is in it", bytes, buffer)

    # shutting down
    s = bound(HOME, 5020)
    ask("shutdown without a peer", s.shutdown, socket.SHUT_RD)
    s.connect((HOME, 5000))
    ask("shut for receiving", s.shutdown, socket.SHUT_RD)
    ask("recv then", s.recv, 9)
    ask("shut for sending", s.shutdown, socket.SHUT_WR)
    ask("send then", s.send, b"x")
    ask("shut how", s.shutdown, 3)

    # options
    o = new()
    for value in (-1, 0, 1, 255, 256):
        ask(f"IP_TTL {value}", o.setsockopt, socket.SOL_IP, socket.IP_TTL, value)
        ask("IP_TTL is", o.getsockopt, socket.SOL_IP, socket.IP_TTL)
        ask(f"IP_MULTICAST_TTL {value}", o.setsockopt, socket.SOL_IP, socket.IP_MULTICAST_TTL, value)
        ask("IP_MULTICAST_TTL is", o.getsockopt, socket.SOL_IP, socket.IP_MULTICAST_TTL)
    for option in (socket.SO_TYPE, socket.SO_PROTOCOL, socket.SO_DOMAIN, socket.SO_ACCEPTCONN, socket.SO_BROADCAST):
        ask(f"SO {option}", o.getsockopt, socket.SOL_SOCKET, option)
    for option in (socket.SO_RCVBUF, socket.SO_SNDBUF):
        ask(f"buffer {option}", o.getsockopt, socket.SOL_SOCKET, option)
        o.setsockopt(socket.SOL_SOCKET, option, 10000)
        ask(f"buffer {option} doubled", o.getsockopt, socket.SOL_SOCKET, option)
        o.setsockopt(socket.SOL_SOCKET, option, 0)
        ask(f"buffer {option} smallest", o.getsockopt, socket.SOL_SOCKET, option)
    ask("one byte", o.setsockopt, socket.SOL_SOCKET, socket.SO_BROADCAST, b"\1")
    ask("one byte for IP", o.setsockopt, socket.SOL_IP, socket.IP_TOS, b"\x10")
    ask("one byte back", o.getsockopt, socket.SOL_IP, socket.IP_TOS, 1)
    ask("four bytes back", o.getsockopt, socket.SOL_IP, socket.IP_TOS, 4)
    ask("MTU discovery", o.getsockopt, socket.SOL_IP, 10)
    ask("MTU without a peer", o.getsockopt, socket.SOL_IP, 14)
    c.connect((HOME, 9))
    ask("MTU of loopback", c.getsockopt, socket.SOL_IP, 14)
    ask("unknown level to set", o.setsockopt, 77, 1, 1)
    ask("unknown level to get", o.getsockopt, 77, 1)
    ask("unknown option", o.setsockopt, socket.SOL_SOCKET, 222, 1)
    ask("no such device", o.setsockopt, socket.SOL_SOCKET, socket.SO_BINDTODEVICE, b"nope")
    ask("device", o.setsockopt, socket.SOL_SOCKET, socket.SO_BINDTODEVICE, b"lo")
    ask("device is", o.getsockopt, socket.SOL_SOCKET, socket.SO_BINDTODEVICE, 16)
    ask("join what is no group", o.setsockopt, socket.SOL_IP, socket.IP_ADD_MEMBERSHIP, ON_LO + ON_LO)
    ask("join without a route", o.setsockopt, socket.SOL_IP, socket.IP_ADD_MEMBERSHIP, GROUP + bytes(4))
    ask("join", o.setsockopt, socket.SOL_IP, socket.IP_ADD_MEMBERSHIP, GROUP + ON_LO)
    ask("join twice", o.setsockopt, socket.SOL_IP, socket.IP_ADD_MEMBERSHIP, GROUP + ON_LO)
    ask("leave", o.setsockopt, socket.SOL_IP, socket.IP_DROP_MEMBERSHIP, GROUP + ON_LO)
    ask("leave twice", o.setsockopt, socket.SOL_IP, socket.IP_DROP_MEMBERSHIP, GROUP + ON_LO)
    ask("group interface", o.setsockopt, socket.SOL_IP, socket.IP_MULTICAST_IF, ON_LO)
    ask("group interface is", o.getsockopt, socket.SOL_IP, socket.IP_MULTICAST_IF, 4)
    ask("foreign group interface", new().setsockopt, socket.SOL_IP, socket.IP_MULTICAST_IF, GROUP)

    # which sockets there are
    ask("UDP over streams", new, socket.SOCK_DGRAM, socket.IPPROTO_TCP)
    ask("no such type", new, 77)

    # ping sockets
    p = new(socket.SOCK_DGRAM, socket.IPPROTO_ICMP)
    ask("ping: too short", p.sendto, b"\x08\0\0\0", (HOME, 0))
    ask("ping: a reply", p.sendto, b"\0\0\0\0\0\0\0\1", (HOME, 0))
    ask("ping: a code", p.sendto, b"\x08\1\0\0\0\0\0\1", (HOME, 0))
    ask("ping: nobody", p.send, b"\x08\0\0\0\0\0\0\1")
    ask("ping: foreign address", new(socket.SOCK_DGRAM, socket.IPPROTO_ICMP).bind, ("192.0.2.1", 0))
    ask("ping: group address", new(socket.SOCK_DGRAM, socket.IPPROTO_ICMP).bind, ("239.0.0.1", 0))
    q = new(socket.SOCK_DGRAM, socket.IPPROTO_ICMP)
    ask("ping: identifier", q.bind, (HOME, 77))
    ask("ping: the same again", new(socket.SOCK_DGRAM, socket.IPPROTO_ICMP).bind, ("127.0.0.2", 77))
    ask("ping: request", q.sendto, b"\x08\0\0\0\xff\xff\0\7abc", (HOME, 0))
    ask("ping: reply", q.recvfrom, 99)
    ask("ping: name", q.getsockname)

    # the end
    a.close()
    ask("closed", a.send, b"")
    return answers


class Ours:
    """One of our sockets behind the kernel's signatures."""

    def __init__(self, sock: Any) -> None:
        self.sock = sock

    def __getattr__(self, name: str) -> Callable[..., Any]:
        call = getattr(self.sock, name)
        return lambda *args: call(*args, now=0)


def kernel_answers() -> list[list[Any]]:
    """The script on Linux's sockets, in the namespace that this process is in."""
    subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
    Path("/proc/sys/net/ipv4/ping_group_range").write_text("0 0")
    opened = []

    def new(kind: int = socket.SOCK_DGRAM, proto: int = 0) -> socket.socket:
        sock = socket.socket(socket.AF_INET, kind, proto)
        sock.setblocking(False)
        opened.append(sock)
        return sock

    def disconnect(sock: socket.socket) -> None:
        import ctypes

        ctypes.CDLL(None).connect(sock.fileno(), struct.pack("H14x", socket.AF_UNSPEC), 16)

    answers = script(new, disconnect)
    for sock in opened:
        sock.close()
    return answers


def our_answers() -> list[list[Any]]:
    """The script on the sockets of a namespace that has nothing but its lo."""
    from vrouter.stack.stack import Stack

    ns = Stack(seed=1).add_netns("red")
    return script(
        lambda kind=socket.SOCK_DGRAM, proto=0: Ours(ns.socket(socket.AF_INET, kind, proto)),
        lambda sock: sock.connect(None),
    )


@pytest.mark.tap
@pytest.mark.tools("unshare", "ip")
def test_each_call_answers_as_the_kernel() -> None:
    """RFC 1122 4.1.4, the interface to UDP; what it leaves open is as Linux has it: value, errno, control data."""
    run = subprocess.run(["unshare", "-n", sys.executable, __file__], capture_output=True, text=True, check=True)
    kernel = json.loads(run.stdout)
    ours = json.loads(json.dumps(our_answers()))
    assert [pair for pair in zip(ours, kernel, strict=True) if pair[0] != pair[1]] == []


if __name__ == "__main__":
    sys.stdout.write(json.dumps(kernel_answers()))
