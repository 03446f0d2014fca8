"""Sockets of both families: who stands in which table, whom a datagram is for, and what IPv6 asks of its checksum."""

from collections.abc import Callable

import pytest

from vrouter.stack.base.addresses import BITS, V6
from vrouter.stack.base.drop import DropReason
from vrouter.stack.base.packet import Packet
from vrouter.stack.l4.icmp import ping_error, ping_input
from vrouter.stack.l4.udp import udp_error, udp_input
from vrouter.stack.netns import Netns
from vrouter.stack.stack import Stack
from vrouter.stack.wire import icmpv6, ipv6, udp

Make = Callable[..., Packet]
HERE6 = 0x20010DB8 << 96 | 1
PEER6 = 0x20010DB8 << 96 | 2
LINK_HERE = 0xFE80 << 112 | 0x1234
LINK_PEER = 0xFE80 << 112 | 0x5678
LAN = 2


@pytest.fixture
def ns6(ns: Netns) -> Netns:
    """Red with 2001:db8::1/64 and fe80::1234 on lan, which are looked for on no link."""
    ns.sysctl["net.ipv6.conf.lan.accept_dad"] = 0
    ns.add_address("lan", "2001:db8::1/64")
    ns.add_address("lan", "fe80::1234/64")
    ns.stack.poll(10**10)
    ns.stack.take_egress()
    return ns


def packet6(
    ns: Netns, segment: bytes, proto: int = 17, *, src: int = PEER6, dst: int = HERE6, dev: str = "lan", hops: int = 64
) -> Packet:
    """A packet as layer 3 hands it on; link-local addresses get the zone of their device."""
    header = bytearray(40)
    wire = {"src": src & (1 << 128) - 1, "dst": dst & (1 << 128) - 1}
    ipv6.emit_header(
        header, 0, payload_length=len(segment), next_header=proto, hop_limit=hops, traffic_class=0x20, **wire
    )
    pkt = Packet.from_frame(header + segment)
    pkt.l3, pkt.l4 = pkt.start, pkt.start + 40
    pkt.src, pkt.dst, pkt.family, pkt.proto, pkt.iif = src, dst, V6, proto, ns.devices[dev]
    return pkt


def datagram6(ns: Netns, *, sport: int = 9999, dport: int = 53, src: int = PEER6, dst: int = HERE6) -> Packet:
    """A datagram that is right in every field."""
    segment = bytearray(8) + b"data"
    udp.emit(segment, 0, len(segment), sport, dport, src & (1 << 128) - 1, dst & (1 << 128) - 1, BITS[V6])
    return packet6(ns, bytes(segment), src=src, dst=dst)


def test_a_datagram_without_a_checksum_is_refused(ns6: Netns) -> None:
    """RFC 8200 8.1: a zero UDP checksum is an error in IPv6; RFC 1122 4.1.3.4: a wrong one ends in silence."""
    sock = ns6.socket(10)
    sock.bind(("::", 53))
    right = datagram6(ns6)
    for change in (0, 1):
        pkt = datagram6(ns6)
        pkt.buf[pkt.l4 + 6 : pkt.l4 + 8] = bytes(2) if not change else bytes((right.buf[right.l4 + 6] ^ 1, 0))
        assert udp_input(ns6, pkt, 0) == DropReason.UDP_CSUM
    assert udp_input(ns6, right, 0) == 0
    assert sock.recvfrom(9) == (b"data", ("2001:db8::2", 9999, 0, 0))


def test_one_socket_for_both_families(ns6: Netns, datagram: Make) -> None:
    """RFC 3493 5.3: bound to :: it hears IPv4, too, unless IPV6_V6ONLY is set; the setting bindv6only turns that."""
    dual, only = ns6.socket(10), ns6.socket(10)
    only.setsockopt(41, 26, 1)
    for sock, port in ((dual, 53), (only, 54)):
        sock.bind(("::", port))
    seen = []
    for port in (53, 54):
        seen.append([udp_input(ns6, datagram(dport=port), 0), udp_input(ns6, datagram6(ns6, dport=port), 0)])
    assert seen == [[0, 0], [DropReason.NO_SOCKET, 0]]
    assert dual.recvfrom(9)[1] == ("::ffff:10.0.1.2", 9999, 0, 0)
    assert dual.recvfrom(9)[1] == ("2001:db8::2", 9999, 0, 0)
    ns6.sysctl["net.ipv6.bindv6only"] = 1
    assert ns6.socket(10).getsockopt(41, 26) == 1


def test_it_stands_where_its_ends_are(ns6: Netns) -> None:
    """RFC 3493 3.7: in both tables while it has no address, then in its address's; dissolved it is as before."""
    sock = ns6.socket(10)
    sock.bind(("::", 53))

    def where() -> tuple[bool, bool]:
        return sock in ns6.udp6.on_port(53), sock in ns6.udp.on_port(53)

    assert where() == (True, True)
    sock.connect(("::ffff:10.0.1.2", 9))
    assert where() == (False, True)
    sock.connect(None)
    assert where() == (True, True)
    sock.connect(("2001:db8::2", 9))
    assert where() == (True, False)
    sock.close()
    assert where() == (False, False)


def test_connected_to_one_family_after_the_other(ns6: Netns) -> None:
    """A socket that bind(2) gave no address may be connected anew to the other family."""
    sock = ns6.socket(10)
    sock.connect(("2001:db8::2", 9))
    sock.connect(("::ffff:10.0.1.2", 9))
    assert sock.getsockname()[0] == "::ffff:10.0.1.1"
    with pytest.raises(OSError, match="Address family not supported"):
        sock.connect(("2001:db8::2", 9))


def test_an_ephemeral_port_is_free_in_both_families(ns6: Netns) -> None:
    """RFC 6056: what is free in one family alone is not free for a socket of both."""
    ns6.sysctl["net.ipv4.ip_local_port_range"] = "40000 40001"
    held = ns6.socket(2)
    held.bind(("", 40000))
    for _ in range(3):
        sock = ns6.socket(10)
        sock.bind(("::", 0))
        assert sock.port == 40001
        sock.close()
    full = ns6.socket(10)
    full.bind(("::", 40001))
    with pytest.raises(OSError, match="Address already in use"):
        ns6.socket(10).bind(("::", 0))


def test_a_link_local_peer_is_of_one_link(ns6: Netns) -> None:
    """RFC 4007 6: the same address at another device is somebody else."""
    ns6.add_device("wan")
    sock = ns6.socket(10)
    sock.bind(("fe80::1234%lan", 53))
    sock.connect(("fe80::5678%lan", 9999))
    here, peer = LINK_HERE | LAN << 128, LINK_PEER | LAN << 128
    assert udp_input(ns6, datagram6(ns6, src=peer, dst=here), 0) == 0
    other = LINK_PEER | 3 << 128
    assert udp_input(ns6, datagram6(ns6, src=other, dst=here), 0) == DropReason.NO_SOCKET
    assert sock.recvfrom(9) == (b"data", ("fe80::5678", 9999, 0, LAN))
    assert sock.getsockname() == ("fe80::1234", 53, 0, LAN)
    assert sock.record() | {"rx_queue": 0} == {
        "netns": "red", "proto": "udp", "state": "ESTAB", "local": "[fe80::1234]%lan:53", "peer": "[fe80::5678]:9999",
        "rx_queue": 0, "tx_queue": 0,
    }  # fmt: skip


def test_a_flow_of_a_high_zone_is_shared(stack: Stack, ns6: Netns) -> None:
    """SO_REUSEPORT by a link-local address, whatever the ifindex: the hash is of the address without its zone."""
    group = []
    for _ in range(2):
        sock = ns6.socket(10)
        sock.setsockopt(1, 15, 1)
        sock.bind(("::", 53))
        group.append(sock)
    assert ns6.udp6.lookup(LINK_PEER | 5000 << 128, 9999, LINK_HERE | 5000 << 128, 53, None) in group


QUOTED = {
    (1, 0): (101, False), (1, 1): (13, True), (1, 2): (113, False), (1, 3): (113, False), (1, 4): (111, True),
    (1, 5): (13, True), (1, 6): (13, True), (1, 7): (71, True), (2, 0): (90, True), (3, 0): (113, False),
    (3, 1): (113, False), (4, 0): (71, True), (100, 3): (71, False), (137, 0): (0, False),
}  # fmt: skip


@pytest.mark.parametrize(("type_", "code"), QUOTED)
def test_errors_by_type_and_code(ns6: Netns, type_: int, code: int) -> None:
    """RFC 4443 5.4, 3.1 to 3.4; Linux's icmpv6_err_convert: errno, and whether a connected socket is told unasked."""
    number, fatal = QUOTED[type_, code]
    pkt = datagram6(ns6, sport=53, dport=9999, src=HERE6, dst=PEER6)
    quoted = icmpv6.QuotedPacket.parse(pkt.buf, pkt.l3, pkt.end)
    asked, connected = ns6.socket(10), ns6.socket(10)
    for sock in (asked, connected):
        sock.setsockopt(1, 2, 1)
    asked.setsockopt(41, 25, 1)
    asked.bind(("2001:db8::1", 53))
    assert udp_error(ns6, quoted, type_, code, 1400, 0, PEER6, V6) is bool(number)
    assert asked.error == number
    asked.close()
    connected.bind(("2001:db8::1", 53))
    connected.connect(("2001:db8::2", 9999))
    udp_error(ns6, quoted, type_, code, 1400, 0, PEER6, V6)
    assert connected.error == (number if fatal else 0)


def test_too_big_with_fragments_allowed(ns6: Netns) -> None:
    """Linux: with IPV6_PMTUDISC_DONT a connected socket is not told of a Packet Too Big; the path learns."""
    sock = ns6.socket(10)
    sock.bind(("2001:db8::1", 53))
    sock.connect(("2001:db8::2", 9999))
    sock.setsockopt(41, 23, 0)
    pkt = datagram6(ns6, sport=53, dport=9999, src=HERE6, dst=PEER6)
    quoted = icmpv6.QuotedPacket.parse(pkt.buf, pkt.l3, pkt.end)
    assert udp_error(ns6, quoted, 2, 0, 1300, 0, PEER6, V6)
    assert sock.error == 0


def test_ping_of_each_family_has_identifiers_of_its_own(ns6: Netns, came: Make) -> None:
    """RFC 792, RFC 4443 4.2: an echo reply goes to the socket of its family and identifier."""
    four, six = ns6.socket(2, 2, 1), ns6.socket(10, 2, 58)
    four.bind(("", 77))
    six.bind(("::", 77))
    assert ping_input(ns6, came(b"\0\0\0\0\0\x4d\0\1", 1), 0) == 0
    assert [sock.readable for sock in (four, six)] == [True, False]
    assert ping_input(ns6, packet6(ns6, b"\x81\0\0\0\0\x4d\0\1", 58), 0) == 0
    assert six.recvfrom(99) == (b"\x81\0\0\0\0\x4d\0\1", ("2001:db8::2", 0, 0, 0))
    request = packet6(ns6, b"\x80\0\0\0\0\x4d\0\1", 58, src=HERE6, dst=PEER6)
    quoted = icmpv6.QuotedPacket.parse(request.buf, request.l3, request.end)
    six.setsockopt(41, 25, 1)
    assert ping_error(ns6, quoted, 1, 3, 0, 0, PEER6, V6)
    data, messages, flags, name = six.recvmsg(99, 99, 0x2000)
    assert (data, flags, name) == (b"\x80\0\0\0\0\x4d\0\1", 0x2000, ("2001:db8::2", 0, 0, 0))
    assert messages[0][2][:8] == bytes((113, 0, 0, 0, 3, 1, 3, 0))
    assert messages[0][2][24:40] == PEER6.to_bytes(16, "big")


def test_the_checksum_of_an_echo_request_covers_the_addresses(stack: Stack, ns6: Netns) -> None:
    """RFC 4443 2.3: ICMPv6's checksum has a pseudo header, which has no zone."""
    sock = ns6.socket(10, 2, 58)
    sock.sendto(b"\x80\0\0\0\0\0\0\7abc", ("fe80::1234%lan", 0))
    reply, name = sock.recvfrom(99)
    assert (reply[0], reply[6:], name) == (129, b"\0\7abc", ("fe80::1234", 0, 0, LAN))
    assert icmpv6.is_valid(reply, 0, len(reply), LINK_HERE, LINK_HERE)
