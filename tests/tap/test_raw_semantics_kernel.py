"""The same calls on raw and packet sockets of the kernel and on ours, compared answer by answer.

    kernel namespace of its own:  lo   d1 ═══veth═══ d0 2001:db8::1/64 fe80::1234/64 10.7.0.1/24 ── sockets of Linux
    namespace of a stack:         the same, with the same indexes and MACs                       ── sockets of vrouter

This file is also the program that runs in the kernel's namespace: it prints its answers as JSON.
"""

import errno
import json
import socket
import struct
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import pytest

HOME = "127.0.0.1"
HOME6 = "::1"
HERE = "10.7.0.1"
HERE6 = "2001:db8::1"
LINK = "fe80::1234"
D1, D0 = 2, 3
MAC0, MAC1 = bytes.fromhex("020000000001"), bytes.fromhex("020000000002")
TEST = 253  # a protocol for experiments (RFC 3692)
ETH_TEST = 0x88B5
IPV4, IPV6, RAW = socket.AF_INET, socket.AF_INET6, socket.SOCK_RAW
V6 = socket.IPPROTO_IPV6
SOL_RAW, SOL_PACKET = 255, 263
IP_HDRINCL, IPV6_HDRINCL, IPV6_CHECKSUM = 3, 36, 7
integer = struct.Struct("=i").pack


def plain(value: Any) -> Any:
    """A value as JSON has it."""
    if isinstance(value, bytes | bytearray):
        return bytes(value).hex()
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    return value


def checksum(data: bytes) -> int:
    total = sum(struct.unpack(f"!{(len(data) + 1) // 2}H", data + b"\0" * (len(data) % 2)))
    while total >> 16:
        total = (total >> 16) + (total & 0xFFFF)
    return ~total & 0xFFFF


def echo4(ident: int, data: bytes = b"") -> bytes:
    message = struct.pack("!BBHHH", 8, 0, 0, ident, 1) + data
    return message[:2] + checksum(message).to_bytes(2, "big") + message[4:]


def header4(src: str, dst: str, proto: int = TEST, **fields: int) -> bytes:
    return struct.pack(
        "!BBHHHBBH4s4s",
        fields.get("first", 0x45),
        fields.get("tos", 0),
        fields.get("length", 0),
        fields.get("ident", 0),
        fields.get("fragment", 0),
        fields.get("ttl", 9),
        proto,
        fields.get("sum", 0x1234),
        socket.inet_aton(src),
        socket.inet_aton(dst),
    )


def header6(src: str, dst: str, size: int, proto: int = TEST, first: int = 0x60000000) -> bytes:
    head = struct.pack("!IHBB", first, size, proto, 9)
    return head + socket.inet_pton(IPV6, src) + socket.inet_pton(IPV6, dst)


class Script:
    """Runs calls; ``answers`` holds [what was tried, value or errno's name] of each."""

    def __init__(self, new: Callable[..., Any], disconnect: Callable[[Any], None]) -> None:
        self.new = new
        self.disconnect = disconnect
        self.answers: list[list[Any]] = []

    def ask(self, what: str, call: Callable[..., Any], *args: Any) -> None:
        try:
            self.answers.append([what, plain(call(*args))])
        except OSError as error:
            self.answers.append([what, errno.errorcode[error.errno or 0]])

    def drain(
        self, what: str, sock: Any, ignore: Callable[[bytes], bool] = lambda data: False, *, masked: bool = False
    ) -> None:
        """All that waits, by recvfrom; `masked` without what is chance in IPv4's header."""
        found: list[Any] = []
        while True:
            try:
                data, origin = sock.recvfrom(70000)
            except BlockingIOError:
                break
            except OSError as error:
                found.append(errno.errorcode[error.errno or 0])
                continue
            if masked:
                data = data[:4] + b"??" + data[6:10] + b"??" + data[12:]
            if not ignore(data):
                found.append(plain((data, origin)))
        self.answers.append([what, found])

    def run(self) -> list[list[Any]]:
        self.opening()
        self.four()
        self.whole4()
        self.whole6()
        self.filters4()
        self.six()
        self.filters6()
        self.names()
        self.errors()
        self.options()
        self.frames()
        self.packet_calls()
        return self.answers

    def opening(self) -> None:
        for family in (IPV4, IPV6, 17):
            for kind in (RAW, socket.SOCK_DGRAM, 5, 99):
                for proto in (0, 1, 58, 255, 263, -2, 300) if family != 17 else (0, 3, 0x0300):
                    if family != 17 and kind == socket.SOCK_DGRAM and proto not in (263, 300):
                        continue
                    self.ask(f"socket {family} {kind} {proto}", lambda *a: self.new(*a) and None, family, kind, proto)

    def four(self) -> None:
        ask, new = self.ask, self.new
        sock, other = new(IPV4, RAW, TEST), new(IPV4, RAW, TEST)
        ask("name", sock.getsockname)
        ask("send", sock.sendto, b"hello", (HOME, 0))
        ask("send to a port", sock.sendto, b"port", (HOME, 4711))
        ask("send to any", sock.sendto, b"any", ("0.0.0.0", 0))
        ask("send nothing", sock.sendto, b"", (HOME, 0))
        ask("send nowhere", sock.send, b"x")
        ask("send beyond", sock.sendto, b"x", ("192.0.2.1", 0))
        ask("send too much", sock.sendto, bytes(65516), (HOME, 0))
        ask("send far too much", sock.sendto, bytes(65536), (HOME, 0))
        ask("flags", sock.sendto, b"x", socket.MSG_OOB, (HOME, 0))
        self.drain("what came", sock, masked=True)
        self.drain("what came to the other", other, masked=True)
        for number, discover in enumerate((0, 1, 2)):
            sock.setsockopt(0, 10, discover)
            ask(f"discover {number}", sock.sendto, bytes((discover,)), (HOME, 0))
        self.drain("discovered", sock, masked=True)
        for option in (12, 13, 8):
            sock.setsockopt(0, option, 1)
        sock.setsockopt(0, 2, 33)
        sock.setsockopt(0, 1, 0xB8)
        ask("ttl, tos", sock.sendto, b"settings", (HOME, 0))
        ask(
            "control",
            sock.sendmsg,
            [b"con", b"trol"],
            [(0, 2, integer(3)), (0, 1, integer(4)), (0, 8, struct.pack("=i4s4s", 0, bytes((127, 0, 0, 9)), bytes(4)))],
            0,
            (HOME, 0),
        )
        for _ in range(2):
            ask("received", sock.recvmsg, 100, 200)
        self.drain("first of both", other, masked=True)
        ask("cut", lambda: [sock.sendto(b"0123456789", (HOME, 0)), sock.recvmsg(22, 0)])
        ask("peek", lambda: [sock.sendto(b"0123456789", (HOME, 0)), sock.recv(22, 2), sock.recvfrom(29)])
        buffer = bytearray(30)
        ask("into", lambda: [sock.sendto(b"0123456789", (HOME, 0)), sock.recv_into(buffer, 25, socket.MSG_TRUNC)])
        ask("bad length", sock.recv_into, bytearray(9))
        self.drain("all of them", other)
        sock.setsockopt(0, 10, 2)
        mine = new(IPV4, RAW, TEST)
        mine.setsockopt(0, 10, 2)
        mine.connect((HERE, 0))
        ask("to itself", mine.send, b"mine")
        ask("to another with a peer", mine.sendto, b"other", (HOME, 0))
        self.drain("of its peer alone", mine, masked=True)
        ask("shutdown", sock.shutdown, 2)

    def whole4(self) -> None:
        ask, new = self.ask, self.new
        sock, hears = new(IPV4, RAW, 255), new(IPV4, RAW, TEST)
        ask("included", sock.getsockopt, 0, IP_HDRINCL)
        ask("included of another", hears.getsockopt, 0, IP_HDRINCL)
        for what, data in {
            "all to fill": header4("0.0.0.0", HOME, fragment=0x4000) + b"data",
            "nothing to fill": header4("127.0.0.5", HOME, ident=77, length=24, tos=8) + b"data",
            "wrong length": header4(HOME, HOME, ident=77, length=9999) + b"data",
            "options": header4(HOME, HOME, first=0x46, ident=77) + b"\1\1\1\0" + b"data",
            "another destination": header4(HOME, "127.0.0.7", ident=77) + b"data",
            "only a header": header4(HOME, HOME, ident=77),
            "ttl 0": header4(HOME, HOME, ident=77, ttl=0),
            "too short": header4(HOME, HOME)[:19],
            "header longer than all": header4(HOME, HOME, first=0x4F) + b"data",
            "header too short": header4(HOME, HOME, first=0x44, ident=77) + b"data",
            "version 6": header4(HOME, HOME, first=0x65, ident=77) + b"data",
            "version 0": header4(HOME, HOME, first=0x05, ident=77) + b"data",
            "nothing": b"",
            "a fragment": header4(HOME, HOME, ident=78, fragment=0x2000) + b"12345678",
            "another": header4(HOME, HOME, ident=78, fragment=1) + b"90",
            "an unknown source": header4("203.0.113.1", HOME, ident=77),
            "too large": header4(HOME, HOME, ident=77) + bytes(65516),
        }.items():
            ask(f"whole: {what}", sock.sendto, data, (HOME, 0))
        ask("whole: too large for a device", sock.sendto, header4(HERE, "10.7.0.9") + bytes(1481), ("10.7.0.9", 0))
        ask("whole: without a peer", sock.send, header4(HOME, HOME))
        self.drain("whole: what came", hears)
        self.drain("whole: what came to proto 255", sock)
        ask("whole: switched on", hears.setsockopt, 0, IP_HDRINCL, 1)
        ask("whole: of another protocol", hears.sendto, header4(HOME, HOME, 255, ident=9) + b"raw", (HOME, 0))
        self.drain("whole: to proto 255", sock)
        ask("whole: control", hears.sendmsg, [header4(HOME, HOME, ident=9)], [(0, 2, integer(3))], 0, (HOME, 0))
        ask("whole: switched off", hears.setsockopt, 0, IP_HDRINCL, 0)
        ask("whole: off", hears.getsockopt, 0, IP_HDRINCL)

    def whole6(self) -> None:
        ask, new = self.ask, self.new
        sock, hears = new(IPV6, RAW, 255), new(IPV6, RAW, TEST)
        ask("whole6: included", sock.getsockopt, V6, IPV6_HDRINCL)
        for what, data in {
            "fine": header6(HOME6, HOME6, 4) + b"data",
            "no source": header6("::", HOME6, 4) + b"data",
            "length short": header6(HOME6, HOME6, 2) + b"data",
            "length long": header6(HOME6, HOME6, 5) + b"data",
            "too short": header6(HOME6, HOME6, 4)[:39],
            "an unknown source": header6("2001:db8:9::1", HOME6, 4) + b"data",
            "nothing": b"",
        }.items():
            ask(f"whole6: {what}", sock.sendto, data, (HOME6, 0))
        ask("whole6: large", sock.sendto, header6(HERE6, "2001:db8::9", 1461) + bytes(1461), ("2001:db8::9", 0))
        ask("whole6: to a protocol", sock.sendto, header6(HOME6, HOME6, 4) + b"data", (HOME6, 99))
        ask("whole6: to no protocol", sock.sendto, header6(HOME6, HOME6, 4) + b"data", (HOME6, 256))
        self.drain("whole6: what came", hears)
        ask("whole6: on", hears.setsockopt, V6, IPV6_HDRINCL, 1)
        ask("whole6: on?", hears.getsockopt, V6, IPV6_HDRINCL)
        ask("whole6: sent", hears.sendto, header6(HOME6, HOME6, 2) + b"on", (HOME6, 0))
        self.drain("whole6: on", hears)

    def filters4(self) -> None:
        ask, new = self.ask, self.new
        icmp, other = new(IPV4, RAW, 1), new(IPV4, RAW, TEST)
        ask("filter: none", icmp.getsockopt, SOL_RAW, 1, 8)
        ask("filter: as a number", icmp.getsockopt, SOL_RAW, 1)
        ask("filter: another protocol", other.setsockopt, SOL_RAW, 1, integer(1))
        ask("filter: another protocol's", other.getsockopt, SOL_RAW, 1, 4)
        ask("filter: unknown", icmp.setsockopt, SOL_RAW, 2, integer(1))
        ask("filter: unknown asked", icmp.getsockopt, SOL_RAW, 2)
        sender = new(IPV4, RAW, 1)
        sender.setsockopt(SOL_RAW, 1, integer(-1))
        sender.setsockopt(0, 10, 2)
        for types in (0, 1 << 8, 1 << 0, -1):
            ask(f"filter: {types}", icmp.setsockopt, SOL_RAW, 1, integer(types))
            ask("filter: set", icmp.getsockopt, SOL_RAW, 1, 4)
            ask("filter: an echo", sender.sendto, echo4(types & 0xFFFF, b"abc"), (HOME, 0))
            self.drain(f"filter: heard {types}", icmp, lambda data: data[20] == 0)  # its identification is of chance
            ask("filter: type 40", sender.sendto, b"\x28\0\xd7\xff\0\0\0\0", (HOME, 0))
            self.drain(f"filter: an unknown type {types}", icmp)
        ask("filter: one byte", icmp.setsockopt, SOL_RAW, 1, b"\x0f")
        ask("filter: after one byte", icmp.getsockopt, SOL_RAW, 1, 4)
        ask("filter: eight bytes", icmp.setsockopt, SOL_RAW, 1, bytes(8))
        ask("filter: after eight", icmp.getsockopt, SOL_RAW, 1, 4)
        ask("filter: short message", sender.sendto, b"\x28\0\xd7\xff", (HOME, 0))
        ask("filter: wrong checksum", sender.sendto, b"\x28\0\0\0\0\0\0\0", (HOME, 0))
        self.drain("filter: of those", icmp)

    def six(self) -> None:
        ask, new = self.ask, self.new
        sock = new(IPV6, RAW, TEST)
        ask("six: name", sock.getsockname)
        ask("six: send", sock.sendto, b"hello", (HOME6, 0))
        ask("six: its protocol", sock.sendto, b"protocol", (HOME6, TEST))
        ask("six: another protocol", sock.sendto, b"x", (HOME6, 99))
        ask("six: no protocol", sock.sendto, b"x", (HOME6, 256))
        ask("six: any", sock.sendto, b"any", ("::", 0))
        ask("six: here", sock.sendto, b"here", (HERE6, 0, 0, 0))
        ask("six: of a link", sock.sendto, b"link", (LINK, 0, 0, D0))
        ask("six: of no link", sock.sendto, b"link", (LINK, 0, 0, 99))
        ask("six: nothing", sock.sendto, b"", (HOME6, 0))
        ask("six: nowhere", sock.send, b"x")
        ask("six: beyond", sock.sendto, b"x", ("2001:db8:9::1", 0))
        ask("six: too much", sock.sendto, bytes(65536), (HOME6, 0))
        self.drain("six: what came", sock)
        sock.setsockopt(V6, 16, 44)
        sock.setsockopt(V6, 67, 0x20)
        for option in (49, 51, 66):
            sock.setsockopt(V6, option, 1)
        ask("six: settings", sock.sendto, b"settings", (HOME6, 0))
        ask("six: control", sock.sendmsg, [b"control"], [(V6, 52, integer(5)), (V6, 67, integer(6))], 0, (HOME6, 0))
        for _ in range(2):
            ask("six: received", sock.recvmsg, 100, 200)
        ask("sum: of none", sock.getsockopt, V6, IPV6_CHECKSUM)
        for at in (0, 2, 3, 4, -1, -7):
            ask(f"sum: at {at}", sock.setsockopt, V6, IPV6_CHECKSUM, at)
            ask("sum: is at", sock.getsockopt, V6, IPV6_CHECKSUM)
            ask("sum: sent", sock.sendto, b"\xff\xff\xff\xff\xff\xff12", (HOME6, 0))
            ask("sum: too short", sock.sendto, b"12", (HOME6, 0))
            ask("sum: nothing", sock.sendto, b"", (HOME6, 0))
            self.drain("sum: came", sock)
        ask("sum: raw level", sock.setsockopt, SOL_RAW, IPV6_CHECKSUM, 4)
        ask("sum: asked there", sock.getsockopt, SOL_RAW, IPV6_CHECKSUM)
        plain6 = new(IPV6, RAW, TEST)
        ask("sum: wrong", plain6.sendto, b"abcdefgh", (HOME6, 0))
        self.drain("sum: wrong to who checks", sock)
        self.drain("sum: wrong to who does not", plain6)
        ask("sum: short option", sock.setsockopt, V6, IPV6_CHECKSUM, b"\2")
        icmp = new(IPV6, RAW, 58)
        for at in (-1, 0, 2, 4):
            ask(f"sum: of ICMPv6 at {at}", icmp.setsockopt, V6, IPV6_CHECKSUM, at)
        ask("sum: of ICMPv6", icmp.getsockopt, V6, IPV6_CHECKSUM)
        whole = new(IPV6, RAW, 255)
        ask("sum: of whole packets", whole.setsockopt, V6, IPV6_CHECKSUM, 2)

    def filters6(self) -> None:
        ask, new = self.ask, self.new
        icmp, other = new(IPV6, RAW, 58), new(IPV6, RAW, TEST)
        ask("filter6: none", icmp.getsockopt, 58, 1, 40)
        ask("filter6: another protocol", other.setsockopt, 58, 1, bytes(32))
        ask("filter6: another protocol's", other.getsockopt, 58, 1, 32)
        ask("filter6: unknown", icmp.setsockopt, 58, 2, bytes(4))
        sender = new(IPV6, RAW, 58)
        sender.setsockopt(58, 1, b"\xff" * 32)
        whole = new(IPV6, RAW, 255)
        for what, types in {"all": 0, "no requests": 1 << 128, "no replies": 1 << 129, "none": (1 << 256) - 1}.items():
            ask(f"filter6: {what}", icmp.setsockopt, 58, 1, types.to_bytes(32, "little"))
            ask("filter6: set", icmp.getsockopt, 58, 1, 32)
            ask("filter6: an echo", sender.sendto, b"\x80\0\xff\xff\0\1\0\1abc", (HOME6, 0))
            self.drain(f"filter6: heard {what}", icmp)
        ask("filter6: four bytes", icmp.setsockopt, 58, 1, b"\0\0\0\0")
        ask("filter6: after four", icmp.getsockopt, 58, 1, 32)
        icmp.setsockopt(58, 1, bytes(32))
        ask("filter6: wrong sum", whole.sendto, header6(HOME6, HOME6, 8, 58) + b"\xc8\0\0\0\0\0\0\0", (HOME6, 0))
        self.drain("filter6: of wrong sum", icmp)

    def names(self) -> None:
        ask, new = self.ask, self.new
        for family, hosts in (
            (IPV4, (HOME, HERE, "0.0.0.0", "10.7.0.255", "255.255.255.255", "224.0.0.1", "203.0.113.1")),
            (IPV6, (HOME6, HERE6, "::", "ff02::1", "2001:db8::9", LINK, f"::ffff:{HOME}")),
        ):
            sock = new(family, RAW, TEST)
            for host in hosts:
                ask(f"bind {host}", sock.bind, (host, 5))
                ask("bound", sock.getsockname)
            for host in hosts:
                if host in ("0.0.0.0", f"::ffff:{HOME}"):
                    continue
                sock = new(family, RAW, TEST)
                ask(f"connect {host}", sock.connect, (host, 0))
                ask("peer", sock.getpeername)
                ask("own", sock.getsockname)
                ask("bind later", sock.bind, (hosts[0], 0))
                ask("peer with a port", lambda sock=sock, host=host: [sock.connect((host, 9)), sock.getpeername()])
        sock = new(IPV4, RAW, TEST)
        sock.connect((HOME, 0))
        self.disconnect(sock)
        ask("no peer", sock.getpeername)
        bound = new(IPV4, RAW, TEST)
        bound.bind((HERE, 0))
        sender = new(IPV4, RAW, TEST)
        sender.setsockopt(0, 10, 2)
        ask("to home", sender.sendto, b"home", (HOME, 0))
        ask("to here", sender.sendto, b"here", (HERE, 0))
        self.drain("bound to here", bound)
        on_lo = new(IPV4, RAW, TEST)
        ask("on lo", on_lo.setsockopt, 1, 25, b"lo\0")
        on_d0 = new(IPV4, RAW, TEST)
        ask("on d0", on_d0.setsockopt, 1, 25, b"d0\0")
        ask("again to home", sender.sendto, b"home", (HOME, 0))
        self.drain("heard on lo", on_lo)
        self.drain("heard on d0", on_d0)
        for family, proto in ((IPV4, TEST), (IPV6, TEST), (IPV4, 1), (IPV6, 58)):
            sock = new(family, RAW, proto)
            for option in (3, 38, 39):
                ask(f"its numbers {family} {proto} {option}", sock.getsockopt, 1, option)

    def errors(self) -> None:
        ask, new = self.ask, self.new
        for family, level, recverr, home in ((IPV4, 0, 11, HOME), (IPV6, V6, 25, HOME6)):
            sock = new(family, RAW, 17)
            sock.setsockopt(level, recverr, 1)
            datagram = struct.pack("!HHHH", 9, 9, 8 + 4, 0) + b"data"
            if family == IPV6:
                sock.setsockopt(V6, IPV6_CHECKSUM, 6)
            else:
                sock.setsockopt(0, 10, 2)
            ask(f"refused {family}", sock.sendto, datagram, (home, 0))
            ask("waits", sock.getsockopt, 1, 4)
            ask("queued", sock.recvmsg, 200, 200, socket.MSG_ERRQUEUE)
            ask("only one", sock.recvmsg, 200, 200, socket.MSG_ERRQUEUE)
            ask("again", sock.sendto, datagram, (home, 0))
            ask("it is raised", sock.recv, 1)
            unconnected = new(family, RAW, 17)
            if family == IPV6:
                unconnected.setsockopt(V6, IPV6_CHECKSUM, 6)
            ask("unconnected", unconnected.sendto, datagram, (home, 0))
            ask("unconnected is told", unconnected.getsockopt, 1, 4)
            connected = new(family, RAW, 17)
            if family == IPV6:
                connected.setsockopt(V6, IPV6_CHECKSUM, 6)
            connected.connect((home, 0))
            ask("connected", connected.send, datagram)
            ask("connected is told", connected.getsockopt, 1, 4)
            unknown = new(family, RAW, 200)
            unknown.setsockopt(level, recverr, 1)
            unknown.connect((HERE if family == IPV4 else HERE6, 0))
            ask("a protocol that a raw socket hears", unknown.send, b"data")
            ask("is not refused", unknown.getsockopt, 1, 4)
        sock = new(IPV4, RAW, TEST)
        sock.setsockopt(0, 10, 2)
        ask("more than the device takes", sock.sendto, bytes(1481), ("10.7.0.9", 0))
        sock.setsockopt(0, 11, 1)
        ask("again, to be told", sock.sendto, bytes(1481), ("10.7.0.9", 0))
        ask("how much", sock.recvmsg, 200, 200, socket.MSG_ERRQUEUE)
        ask("to everybody", sock.sendto, b"x", ("10.7.0.255", 0))

    def options(self) -> None:
        ask, new = self.ask, self.new
        for family in (IPV4, IPV6):
            sock = new(family, RAW, TEST)
            for level, option in ((0, 1), (0, 2), (0, 10), (V6, 16), (V6, 23), (V6, 26), (0, 33), (0, 34), (V6, 18)):
                ask(f"option {family} {level} {option}", sock.getsockopt, level, option)
            ask("no level", sock.setsockopt, 6, 1, 1)
            ask("no level asked", sock.getsockopt, 6, 1)
            ask("group", sock.setsockopt, 0, 35, socket.inet_aton("239.1.1.1") + socket.inet_aton(HERE))
            ask("group6", sock.setsockopt, V6, 20, socket.inet_pton(IPV6, "ff05::9") + struct.pack("=i", D0))

    def frames(self) -> None:
        ask, new = self.ask, self.new
        order = socket.htons
        hears, cooked = new(17, RAW, order(ETH_TEST)), new(17, socket.SOCK_DGRAM, order(ETH_TEST))
        every, one = new(17, RAW, order(3)), new(17, RAW, order(ETH_TEST))
        sender, cooker = new(17, RAW, 0), new(17, socket.SOCK_DGRAM, 0)

        def others(data: bytes) -> bool:
            return len(data) < 14 or data[12:14] != ETH_TEST.to_bytes(2, "big")

        ask("frames: name", hears.getsockname)
        ask("frames: bind", one.bind, ("d1", 0))
        ask("frames: name then", one.getsockname)
        frame = MAC1 + MAC0 + ETH_TEST.to_bytes(2, "big") + b"frame"
        ask("frames: send", sender.sendto, frame, ("d0", 0))
        ask("frames: send with a protocol", sender.sendto, frame + b" 2", ("d0", ETH_TEST))
        ask("frames: to others", sender.sendto, b"\x02" * 6 + frame[6:], ("d0", 0))
        ask("frames: to a group", sender.sendto, b"\x03" * 6 + frame[6:], ("d0", 0))
        ask("frames: to all", sender.sendto, b"\xff" * 6 + frame[6:], ("d0", 0))
        ask("frames: cooked", cooker.sendto, b"cooked", ("d0", ETH_TEST, 0, 0, MAC1))
        ask("frames: cooked nothing", cooker.sendto, b"", ("d0", ETH_TEST, 0, 0, MAC1))
        ask("frames: no device", sender.sendto, frame, ("d9", 0))
        ask("frames: no address", sender.send, frame)
        ask("frames: too short", sender.sendto, frame[:13], ("d0", 0))
        ask("frames: header alone", sender.sendto, frame[:14], ("d0", 0))
        ask("frames: nothing", sender.sendto, b"", ("d0", 0))
        ask("frames: large", sender.sendto, frame[:14] + bytes(1500), ("d0", 0))
        ask("frames: too large", sender.sendto, frame[:14] + bytes(1501), ("d0", 0))
        tagged = frame[:12] + b"\x81\0\0\5" + b"\x88\xb6" + bytes(1500)
        ask("frames: large with a tag", sender.sendto, tagged, ("d0", 0))
        ask("frames: too large with a tag", sender.sendto, tagged + b"x", ("d0", 0))
        ask("frames: cooked large", cooker.sendto, bytes(1500), ("d0", ETH_TEST, 0, 0, MAC1))
        ask("frames: cooked too large", cooker.sendto, bytes(1501), ("d0", ETH_TEST, 0, 0, MAC1))
        ask("frames: of no device", sender.sendto, frame, ("", 0))
        for what, sock in {"hears": hears, "cooked": cooked, "one": one}.items():
            self.drain(f"frames: {what}", sock)
        self.drain("frames: every", every, others)
        ask("frames: sender hears nothing", sender.recv, 99)
        ask("frames: by lo", sender.sendto, bytes(12) + ETH_TEST.to_bytes(2, "big") + b"lo", ("lo", 0))
        self.drain("frames: of lo", hears)
        self.drain("frames: of lo, every", every, others)
        ask("frames: bind to d0", sender.bind, ("d0", 0))
        ask("frames: send then", sender.send, frame)
        self.drain("frames: bound hears", one)
        ask("frames: bind with a protocol", sender.bind, ("d1", ETH_TEST))
        ask("frames: its name", sender.getsockname)
        ask("frames: another sends", cooker.sendto, b"abc", ("d0", ETH_TEST, 0, 0, MAC1))
        self.drain("frames: bound hears", sender)
        ask("frames: cut", lambda: [cooker.sendto(b"0123456789", ("d0", ETH_TEST, 0, 0, MAC1)), cooked.recvmsg(4)])
        self.drain("frames: rest", cooked)
        ask("frames: not bound", cooker.bind, ("d9", 0))

    def packet_calls(self) -> None:
        ask, new = self.ask, self.new
        sock = new(17, RAW, socket.htons(ETH_TEST))
        ask("packet: peer", sock.getpeername)
        ask("packet: connect", sock.connect, ("d0", 0))
        ask("packet: shutdown", sock.shutdown, 2)
        ask("packet: statistics", sock.getsockopt, SOL_PACKET, 6, 8)
        sender = new(17, socket.SOCK_DGRAM, 0)
        for _ in range(3):
            sender.sendto(b"x", ("d0", ETH_TEST, 0, 0, MAC1))
        ask("packet: seen", sock.getsockopt, SOL_PACKET, 6, 8)
        ask("packet: seen since", sock.getsockopt, SOL_PACKET, 6, 12)
        ask("packet: short statistics", sock.getsockopt, SOL_PACKET, 6, 4)
        sock.setsockopt(1, 8, 0)
        self.drain("packet: three", sock)
        for _ in range(9):
            sender.sendto(b"x", ("d0", ETH_TEST, 0, 0, MAC1))
        ask("packet: all were seen", lambda: struct.unpack("=II", sock.getsockopt(SOL_PACKET, 6, 8))[0])
        join = struct.pack("=iHH8s", D0, 1, 0, bytes(8))
        ask("packet: promiscuous", sock.setsockopt, SOL_PACKET, 1, join)
        ask("packet: twice", sock.setsockopt, SOL_PACKET, 1, join)
        ask("packet: no device", sock.setsockopt, SOL_PACKET, 1, struct.pack("=iHH8s", 99, 1, 0, bytes(8)))
        ask("packet: all groups", sock.setsockopt, SOL_PACKET, 1, struct.pack("=iHH8s", D0, 2, 0, bytes(8)))
        ask("packet: no kind", sock.setsockopt, SOL_PACKET, 1, struct.pack("=iHH8s", D0, 9, 0, bytes(8)))
        ask("packet: a group", sock.setsockopt, SOL_PACKET, 1, struct.pack("=iHH8s", D0, 0, 6, b"\3" * 6 + b"\0\0"))
        ask("packet: a short group", sock.setsockopt, SOL_PACKET, 1, struct.pack("=iHH8s", D0, 0, 3, b"\3" * 8))
        ask("packet: short", sock.setsockopt, SOL_PACKET, 1, join[:-1])
        for number in range(4):
            ask(f"packet: left {number}", sock.setsockopt, SOL_PACKET, 2, join)
        ask("packet: unknown", sock.setsockopt, SOL_PACKET, 99, 1)
        ask("packet: unknown asked", sock.getsockopt, SOL_PACKET, 99)
        ask("packet: another level", sock.setsockopt, 0, 2, 5)
        ask("packet: another level asked", sock.getsockopt, 0, 2)
        for option in (3, 4, 38, 39, 30):
            ask(f"packet: number {option}", sock.getsockopt, 1, option)
            ask(f"packet: cooked number {option}", sender.getsockopt, 1, option)


class Ours:
    """One of our sockets behind the kernel's signatures."""

    def __init__(self, sock: Any) -> None:
        self.sock = sock

    def __getattr__(self, name: str) -> Callable[..., Any]:
        call = getattr(self.sock, name)
        return lambda *args: call(*args, now=None)


COMMANDS = f"""
link set lo up
link add d0 address {MAC0.hex(":")} type veth peer name d1 address {MAC1.hex(":")}
link set d0 addrgenmode none
link set d1 addrgenmode none
link set d1 up
link set d0 up
addr add 10.7.0.1/24 dev d0
-6 addr add 2001:db8::1/64 dev d0 nodad
-6 addr add fe80::1234/64 dev d0 nodad
"""


def kernel_answers() -> list[list[Any]]:
    """The script on Linux's sockets, in the namespace that this process is in."""
    for command in COMMANDS.strip().splitlines():
        subprocess.run(["ip", *command.split()], check=True)
    assert socket.if_nametoindex("d0") == D0
    opened = []

    def new(family: int, kind: int, proto: int) -> socket.socket:
        sock = socket.socket(family, kind, proto)
        sock.setblocking(False)
        opened.append(sock)
        return sock

    def disconnect(sock: socket.socket) -> None:
        import ctypes

        ctypes.CDLL(None).connect(sock.fileno(), struct.pack("H26x", socket.AF_UNSPEC), 28)

    answers = Script(new, disconnect).run()
    for sock in opened:
        sock.close()
    return answers


def our_answers() -> list[list[Any]]:
    """The script on the sockets of a namespace with the same devices and addresses."""
    from vrouter.stack.stack import Stack

    stack = Stack(seed=1)
    ns = stack.add_netns("red")
    ns.sysctl["net.ipv6.conf.default.addr_gen_mode"] = 1
    ns.sysctl["net.ipv6.conf.default.accept_dad"] = 0
    stack.add_veth(ns, "d1", ns, "d0", mac1=MAC1, mac2=MAC0)
    assert ns.devices["d0"].ifindex == D0
    for text in ("10.7.0.1/24", "2001:db8::1/64", "fe80::1234/64"):
        ns.add_address("d0", text)
    return Script(
        lambda family, kind, proto: Ours(ns.socket(family, kind, proto)),
        lambda sock: sock.connect(None),
    ).run()


@pytest.mark.tap
@pytest.mark.tools("unshare", "ip")
def test_each_call_answers_as_the_kernel() -> None:
    """raw(7), packet(7), icmp(7), RFC 3542 3: value, errno, control data, and what is heard."""
    run = subprocess.run(["unshare", "-n", sys.executable, __file__], capture_output=True, text=True, check=True)
    kernel = json.loads(run.stdout)
    ours = json.loads(json.dumps(our_answers()))
    assert [pair for pair in zip(ours, kernel, strict=True) if pair[0] != pair[1]] == []


if __name__ == "__main__":
    sys.stdout.write(json.dumps(kernel_answers()))
