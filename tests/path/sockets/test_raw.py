"""Raw sockets: raw(7), icmp(7), RFC 3542 3. Each call against Linux's: tests/tap/test_raw_semantics_kernel.py.

a ── r ── b, and a probe p on a wire to r
"""

from __future__ import annotations

import errno
import socket
import struct
from collections.abc import Iterator
from typing import Any

import pytest

from vrouter.stack.base.counters import Stat
from vrouter.stack.l4 import constants as c
from vrouter.testing import Lab, Node, frames, match

TEST = 253  # RFC 3692: for experiments
FAMILIES = [pytest.param(c.AF_INET, id="v4"), pytest.param(c.AF_INET6, id="v6")]
ICMP_FILTER, ICMP6_FILTER, IP_HDRINCL, IPV6_CHECKSUM = (255, 1), (58, 1), (0, 3), (41, 7)


class Net:
    """Stations, and shorts for what tests do with their raw sockets."""

    def __init__(self) -> None:
        self.lab = Lab()
        self.a, self.r, self.b = self.lab.line("a", "r", "b")
        self.p = self.lab.probe("p")
        self.lab.wire(self.r, self.p)
        self.lab.set_routes()

    def raw(self, node: Node, family: int = c.AF_INET, proto: int = TEST) -> Any:
        return node.ns.socket(family, c.SOCK_RAW, proto)

    def send(self, sock: Any, data: bytes, to: str) -> int:
        sent: int = sock.sendto(data, (to, 0), now=self.lab.now)
        self.lab.run_for(0.1)
        return sent

    def inject(self, packet: bytes) -> None:
        """The probe sends it."""
        self.p.send(packet)
        self.lab.run_for(0.1)

    def to(self, node: Node, family: int, proto: int, data: bytes, **header: Any) -> bytes:
        """A packet of the probe's for a node."""
        if family == c.AF_INET:
            return frames.ipv4(self.p.addr, node.addr, proto, data, **header)
        return frames.ipv6(self.p.addr6, node.addr6, proto, data, **header)


def address(node: Any, family: int) -> str:
    found: str = node.addr if family == c.AF_INET else node.addr6
    return found


def payload(data: bytes, family: int) -> bytes:
    """What stands behind the IPv4 header, which is read, and IPv6's, which is not."""
    return data[20:] if family == c.AF_INET else data


def waiting(sock: Any) -> list[bytes]:
    found = []
    while True:
        try:
            found.append(sock.recv(70000))
        except BlockingIOError:
            return found


@pytest.fixture
def net() -> Iterator[Net]:
    made = Net()
    yield made
    for node in (made.a, made.r, made.b):
        for sock in list(node.ns.sockets):
            sock.close(now=made.lab.now)
    made.lab.close()


@pytest.mark.parametrize("family", FAMILIES)
def test_a_packet_of_the_protocol(net: Net, family: int) -> None:
    """raw(7): IPv4 is read with its header; RFC 3542 3: IPv6 without. Every socket of the protocol gets a copy."""
    sender, one, two, other = (net.raw(n, family) for n in (net.a, net.b, net.b, net.r))
    assert net.send(sender, b"hello", address(net.b, family)) == 5
    for sock in (one, two):
        data, origin = sock.recvfrom(100)
        assert payload(data, family) == b"hello"
        assert origin[:2] == (address(net.a, family), 0)
        if family == c.AF_INET:
            fields = struct.unpack("!BBHHHBBH4s4s", data[:20])
            assert fields[0] == 0x45
            assert (fields[2], fields[5], fields[6]) == (25, 63, TEST)
            assert (fields[8], fields[9]) == (socket.inet_aton(net.a.addr), socket.inet_aton(net.b.addr))
    assert waiting(other) == [], "what is forwarded is not heard"
    assert net.b.ns.stat(Stat.AcctCopies) == 2


@pytest.mark.parametrize("family", FAMILIES)
def test_it_hears_beside_the_stack(net: Net, family: int) -> None:
    """icmp(7), RFC 1122 3.2.2.6: an echo request is answered all the same; so is a datagram delivered."""
    icmp = net.raw(net.b, family, 1 if family == c.AF_INET else 58)
    udp = net.raw(net.b, family, 17)
    assert net.a.ping(address(net.b, family)) is not None
    (heard,) = waiting(icmp)
    assert payload(heard, family)[0] == (8 if family == c.AF_INET else 128)
    port = net.b.ns.socket(family, c.SOCK_DGRAM, 0)
    port.bind(("", 7), now=net.lab.now)
    sender = net.a.ns.socket(family, c.SOCK_DGRAM, 0)
    sender.sendto(b"data", (address(net.b, family), 7), now=net.lab.now)
    net.lab.run_for(0.1)
    assert port.recv(9) == b"data"
    (heard,) = waiting(udp)
    assert payload(heard, family)[8:] == b"data"


@pytest.mark.parametrize("family", FAMILIES)
def test_a_protocol_that_nobody_else_knows(net: Net, family: int) -> None:
    """RFC 1122 3.2.2.1, RFC 8200 4: refused while nobody hears it, consumed when somebody does."""
    net.inject(net.to(net.b, family, TEST, b"1"))
    refused = match.icmp4(type=3, code=2) if family == c.AF_INET else match.icmp6(type=4, code=1)
    assert net.p.received == [refused]
    net.p.clear()
    sock = net.raw(net.b, family)
    net.inject(net.to(net.b, family, TEST, b"2"))
    assert [payload(data, family) for data in waiting(sock)] == [b"2"]
    assert net.p.received == []
    sock.close(now=net.lab.now)
    net.lab.run_for(2)
    net.inject(net.to(net.b, family, TEST, b"3"))
    assert net.p.received == [refused], "a closed one hears nothing"
    with pytest.raises(OSError, match="descriptor"):
        sock.recv(1)


def test_fragments_are_put_together_first(net: Net) -> None:
    """raw(7): a datagram is read whole, however it came."""
    sock, sock6 = net.raw(net.b), net.raw(net.b, c.AF_INET6)
    data = bytes(range(256)) * 12
    for packet in frames.fragments(frames.ipv4(net.p.addr, net.b.addr, TEST, data, ident=5), 1500):
        net.inject(packet)
    for packet in frames.fragments6(frames.ipv6(net.p.addr6, net.b.addr6, TEST, data), 1400):
        net.inject(packet)
    (whole,) = waiting(sock)
    assert (len(whole), whole[20:]) == (20 + len(data), data)
    assert waiting(sock6) == [data]
    net.inject(frames.fragments(frames.ipv4(net.p.addr, net.b.addr, TEST, data, ident=6), 1500)[0])
    assert waiting(sock) == []


def test_a_large_one_leaves_in_fragments(net: Net) -> None:
    """raw(7): with path MTU discovery switched off the stack fragments; with it, EMSGSIZE."""
    sender, receiver = net.raw(net.a), net.raw(net.b)
    sender.setsockopt(0, 10, 0)
    data = bytes(4000)
    net.send(sender, data, net.b.addr)
    assert len(net.a.sent) == 3
    (heard,) = waiting(receiver)
    assert heard[20:] == data
    sender.setsockopt(0, 10, 2)
    with pytest.raises(OSError, match="too long"):
        net.send(sender, data, net.b.addr)


def test_a_header_of_its_own(net: Net) -> None:
    """raw(7): IP_HDRINCL fills in length and checksum, and source and identification where they are 0; the packet goes
    by the address that is given, whatever its header says."""
    sender = net.raw(net.a, proto=255)
    assert sender.getsockopt(*IP_HDRINCL) == 1
    zeros = frames.ipv4("0.0.0.0", net.b.addr, TEST, b"data", ttl=9, tos=4, total_length=9999, checksum=1)
    net.send(sender, zeros, net.b.addr)
    (sent,) = net.a.sent
    assert sent == match.ipv4(src=net.a.addr, dst=net.b.addr, proto=TEST, ttl=9, tos=4, payload=b"data")
    assert sent[18:20] != b"\0\0"
    net.a.clear()
    given = frames.ipv4("203.0.113.9", net.p.addr, TEST, b"data", ident=77)
    net.send(sender, given, net.b.addr)
    (sent,) = net.a.sent
    assert sent[14:] == given, "what was given stays"
    with pytest.raises(OSError, match="too long"):
        net.send(sender, frames.ipv4(net.a.addr, net.b.addr, TEST, bytes(1481)), net.b.addr)
    for wrong in (zeros[:19], b"\x4f" + zeros[1:], b"\x44" + zeros[1:]):
        with pytest.raises(OSError, match="Invalid"):
            net.send(sender, wrong, net.b.addr)
    hears = net.raw(net.a, proto=255)
    assert waiting(hears) == []


def test_a_header_of_its_own_that_is_broken_harms_nobody(net: Net) -> None:
    """raw(7): what goes out is the program's; what comes around to this host is judged as anything that comes."""
    sender = net.raw(net.a, proto=255)
    good = frames.ipv4(net.a.addr, net.a.addr, TEST, b"data", ident=1)
    for broken in (
        b"\x05" + good[1:],
        b"\x65" + good[1:],
        good[:6] + b"\x20\0" + good[8:],
        good[:8] + b"\0" + good[9:],
    ):
        net.send(sender, broken, net.a.addr)
    sender6 = net.raw(net.a, c.AF_INET6, 255)
    good6 = frames.ipv6(net.a.addr6, net.a.addr6, TEST, b"data")
    for broken in (good6[:4] + b"\xff\xff" + good6[6:], good6[:4] + b"\0\0" + good6[6:], good6[:6] + b"\0" + good6[7:]):
        net.send(sender6, broken, net.a.addr6)
    with pytest.raises(OSError, match="Invalid"):
        net.send(sender6, b"\x40" + good6[1:], net.a.addr6)
    with pytest.raises(OSError, match="Invalid"):
        net.send(sender6, good6[:39], net.a.addr6)
    net.lab.check()


def test_a_header_of_its_own_of_ipv6(net: Net) -> None:
    """Linux's rawv6_send_hdrinc: nothing is filled in."""
    sender = net.raw(net.a, c.AF_INET6, 255)
    given = frames.ipv6("2001:db8::9", net.b.addr6, TEST, b"data", hop_limit=9, traffic_class=7, flow_label=5)
    net.send(sender, given, net.b.addr6)
    (sent,) = net.a.sent
    assert sent[14:] == given
    with pytest.raises(OSError, match="too long"):
        net.send(sender, frames.ipv6(net.a.addr6, net.b.addr6, TEST, bytes(1461)), net.b.addr6)


def test_checksums_of_ipv6(net: Net) -> None:
    """RFC 3542 3.1: with IPV6_CHECKSUM they are written, and looked at when a packet comes; of ICMPv6 always."""
    sender, hears, deaf = net.raw(net.a, c.AF_INET6), net.raw(net.b, c.AF_INET6), net.raw(net.b, c.AF_INET6)
    assert sender.getsockopt(*IPV6_CHECKSUM) == -1
    sender.setsockopt(*IPV6_CHECKSUM, 4)
    hears.setsockopt(*IPV6_CHECKSUM, 4)
    net.send(sender, b"abcd\xff\xffgh", net.b.addr6)
    (data,) = waiting(hears)
    pseudo = b"".join(socket.inet_pton(c.AF_INET6, node.addr6) for node in (net.a, net.b)) + struct.pack("!II", 8, TEST)
    words = struct.unpack("!24H", pseudo + data)
    assert sum(words) % 0xFFFF == 0
    assert data[:4] == b"abcd"
    waiting(deaf)
    net.inject(net.to(net.b, c.AF_INET6, TEST, b"abcd\0\1gh"))
    assert (waiting(hears), len(waiting(deaf))) == ([], 1)
    with pytest.raises(OSError, match="Invalid"):
        net.send(sender, b"short", net.b.addr6)
    with pytest.raises(OSError, match="Invalid"):
        sender.setsockopt(*IPV6_CHECKSUM, 3)
    icmp = net.raw(net.b, c.AF_INET6, 58)
    echo = net.raw(net.a, c.AF_INET6, 58)
    with pytest.raises(OSError, match="Invalid"):
        icmp.setsockopt(*IPV6_CHECKSUM, -1)
    net.send(echo, b"\xc8\0\xff\xff\0\1\0\1", net.b.addr6)
    (data,) = waiting(icmp)
    net.inject(net.to(net.b, c.AF_INET6, 58, data))
    assert waiting(icmp) == [], "another source, another checksum"


@pytest.mark.parametrize("family", FAMILIES)
def test_filters(net: Net, family: int) -> None:
    """icmp(7) ICMP_FILTER, RFC 3542 3.2: a type whose bit is set is left out, and the stack answers it all the same."""
    proto, option, request, size = (1, ICMP_FILTER, 8, 4) if family == c.AF_INET else (58, ICMP6_FILTER, 128, 32)
    sock = net.raw(net.b, family, proto)
    sock.setsockopt(*option, (1 << request).to_bytes(size, "little"))
    assert sock.getsockopt(*option, 40) == (1 << request).to_bytes(size, "little")
    net.a.ping(address(net.b, family))
    assert waiting(sock) == []
    sock.setsockopt(*option, ((1 << 8 * size) - 1 ^ 1 << request).to_bytes(size, "little"))
    net.a.ping(address(net.b, family))
    assert [payload(data, family)[0] for data in waiting(sock)] == [request]
    other = net.raw(net.b, family)
    with pytest.raises(OSError, match="not supported"):
        other.setsockopt(*option, bytes(size))


@pytest.mark.parametrize("family", FAMILIES)
def test_whom_it_hears(net: Net, family: int) -> None:
    """raw(7): bind(2) takes what is for one address, connect(2) what is from one, SO_BINDTODEVICE what came by one."""
    lo = "127.0.0.1" if family == c.AF_INET else "::1"
    everything, here, elsewhere, from_a, from_r, by_wire, by_lo = (net.raw(net.b, family) for _ in range(7))
    here.bind((address(net.b, family), 0), now=net.lab.now)
    elsewhere.bind((lo, 0), now=net.lab.now)
    from_a.connect((address(net.a, family), 0), now=net.lab.now)
    router = net.r.addr_towards(net.b) if family == c.AF_INET else net.r.addr6_towards(net.b)
    from_r.connect((router, 0), now=net.lab.now)
    by_wire.setsockopt(1, 25, net.b.device_towards(net.r).name.encode())
    by_lo.setsockopt(1, 25, b"lo")
    net.send(net.raw(net.a, family), b"x", address(net.b, family))
    heard = [len(waiting(sock)) for sock in (everything, here, elsewhere, from_a, from_r, by_wire, by_lo)]
    assert heard == [1, 1, 0, 1, 0, 1, 0]
    from_a.connect(None)
    assert from_a.getsockname()[0] in ("0.0.0.0", "::")
    net.send(net.raw(net.r, family), b"x", address(net.b, family))
    assert (len(waiting(from_a)), len(waiting(from_r))) == (1, 1)
    with pytest.raises(OSError) as caught:
        here.bind(("203.0.113.1" if family == c.AF_INET else "2001:db8::1", 0))
    assert caught.value.errno == errno.EADDRNOTAVAIL


def test_groups(net: Net) -> None:
    """ip(7), RFC 3542 6: what is sent to a group is heard by the members among the sockets (IP_MULTICAST_ALL off)."""
    net.b.ns.sysctl["net.ipv4.conf.all.forwarding"] = 0
    member, other = net.raw(net.b), net.raw(net.b)
    other.setsockopt(0, 49, 0)
    dev = net.b.device_towards(net.r)
    member.setsockopt(0, 35, socket.inet_aton("239.1.1.1") + socket.inet_aton(net.b.addr), now=net.lab.now)
    net.lab.run_for(1)
    packet = frames.ipv4("10.0.2.1", "239.1.1.1", TEST, b"group", ttl=1)
    net.r.send_packet(packet, "b", dst_mac=frames.group_mac("239.1.1.1"))
    net.lab.run_for(0.1)
    assert ([data[20:] for data in waiting(member)], waiting(other)) == ([b"group"], [])
    six = net.raw(net.b, c.AF_INET6)
    group = socket.inet_pton(c.AF_INET6, "ff02::77") + struct.pack("=i", dev.ifindex)
    six.setsockopt(41, 20, group, now=net.lab.now)
    net.lab.run_for(1)
    packet = frames.ipv6("fd00:0:2::1", "ff02::77", TEST, b"group", hop_limit=1)
    net.r.send_packet(packet, "b", dst_mac="33:33:00:00:00:77")
    net.lab.run_for(0.1)
    assert waiting(six) == [b"group"]


def test_control_messages(net: Net) -> None:
    """ip(7), RFC 3542 6: TTL, TOS and source by sendmsg; the same and the device by recvmsg."""
    dev = net.b.device_towards(net.r)
    sender, hears = net.raw(net.a), net.raw(net.b)
    for option in (8, 12, 13):
        hears.setsockopt(0, option, 1)
    sender.sendmsg([b"x"], [(0, 2, struct.pack("=i", 5)), (0, 1, b"\x08")], 0, (net.b.addr, 0), now=net.lab.now)
    net.lab.run_for(0.1)
    _, messages, _, _ = hears.recvmsg(100, 200)
    to = socket.inet_aton(net.b.addr)
    info = struct.pack("=i4s4s", dev.ifindex, to, to)
    assert messages == [(0, 8, info), (0, 2, struct.pack("=i", 4)), (0, 1, b"\x08")]
    sender, hears = net.raw(net.a, c.AF_INET6), net.raw(net.b, c.AF_INET6)
    for option in (49, 51, 66):
        hears.setsockopt(41, option, 1)
    control = [(41, 52, struct.pack("=i", 5)), (41, 67, struct.pack("=i", 8))]
    sender.sendmsg([b"x"], control, 0, (net.b.addr6, 0), now=net.lab.now)
    net.lab.run_for(0.1)
    _, messages, _, _ = hears.recvmsg(100, 200)
    info = socket.inet_pton(c.AF_INET6, net.b.addr6) + struct.pack("=i", dev.ifindex)
    assert messages == [(41, 50, info), (41, 52, struct.pack("=i", 4)), (41, 67, struct.pack("=i", 8))]


@pytest.mark.parametrize("family", FAMILIES)
def test_errors_by_the_queue(net: Net, family: int) -> None:
    """ip(7) IP_RECVERR: what ICMP reports of its packets is told with all that was quoted; RFC 792, RFC 4443 3.3."""
    level, option, ttl = (0, 11, 2) if family == c.AF_INET else (41, 25, 16)
    sock = net.raw(net.a, family)
    sock.setsockopt(level, option, 1)
    sock.setsockopt(level, ttl, 1)
    net.send(sock, b"0123456789abcdef", address(net.b, family))
    assert sock.readable
    with pytest.raises(OSError) as caught:
        sock.recv(1)
    assert caught.value.errno == errno.EHOSTUNREACH
    data, messages, flags, origin = sock.recvmsg(500, 500, c.MSG_ERRQUEUE)
    assert (data, flags, origin[0]) == (b"0123456789abcdef", c.MSG_ERRQUEUE, address(net.b, family))
    ((_, _, value),) = messages
    code, source, kind, number = struct.unpack_from("=IBBB", value)
    assert (code, source, kind, number) == (
        errno.EHOSTUNREACH,
        2 if family == c.AF_INET else 3,
        11 if family == c.AF_INET else 3,
        0,
    )
    silent = net.raw(net.a, family)
    silent.setsockopt(level, ttl, 1)
    net.send(silent, b"x", address(net.b, family))
    assert silent.getsockopt(1, 4) == 0


@pytest.mark.parametrize("family", FAMILIES)
def test_a_hostile_sender_is_bounded(net: Net, family: int) -> None:
    """raw(7) SO_RCVBUF: what does not fit is lost and counted, for each socket; the others lose nothing."""
    small, large = net.raw(net.b, family), net.raw(net.b, family)
    small.setsockopt(1, 8, 4000)
    for _ in range(50):
        net.p.send(net.to(net.b, family, TEST, bytes(1000)))
    net.lab.run_for(0.5)
    assert small.charged <= small.rcvbuf == 8000
    assert 1 < len(waiting(small)) < 8
    assert small.drops == 50 - 4
    assert len(waiting(large)) == 50
    assert small.charged == 0


def test_shut_down_and_destroyed(net: Net) -> None:
    """shutdown(2), ``ss -K``: sending is EPIPE; a destroyed one has ECONNABORTED, and hears on (udp_abort)."""
    sock = net.raw(net.a)
    sock.connect((net.b.addr, 0), now=net.lab.now)
    assert sock.record()["state"] == "ESTAB"
    sock.destroy(now=net.lab.now)
    with pytest.raises(OSError) as caught:
        sock.recv(1)
    assert caught.value.errno == errno.ECONNABORTED
    assert sock.record()["state"] == "UNCONN"
    net.send(net.raw(net.b), b"x", net.a.addr)
    assert len(waiting(sock)) == 1
    sock.connect((net.b.addr, 0), now=net.lab.now)
    sock.shutdown(1)
    with pytest.raises(BrokenPipeError):
        sock.send(b"x")


def test_numbers_that_mean_no_socket(net: Net) -> None:
    """socket(2): each with the kernel's errno."""
    for numbers, code in (
        ((c.AF_INET, c.SOCK_RAW, 0), errno.EPROTONOSUPPORT),
        ((c.AF_INET, c.SOCK_RAW, 263), errno.EINVAL),
        ((c.AF_INET6, c.SOCK_RAW, -1), errno.EINVAL),
        ((c.AF_INET, 5, 0), errno.ESOCKTNOSUPPORT),
        ((c.AF_INET, 11, 0), errno.EINVAL),
        ((1, c.SOCK_RAW, 1), errno.EAFNOSUPPORT),
    ):
        with pytest.raises(OSError) as caught:
            net.a.ns.socket(*numbers)
        assert caught.value.errno == code
