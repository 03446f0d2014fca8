"""IPv6 through a whole stack: what is answered, forwarded, put together and refused on the way.

::

    a 2001:db8:1::2 ── device a, 2001:db8:1::1/64 ── r ── device b, 2001:db8:2::1/64 ── 2001:db8:2::2 b

Frames are built and read by scapy. Neighbours are permanent; what discovery and group protocols say is left out.
"""

from socket import AF_INET6, SOCK_DGRAM
from typing import Any

import pytest
from scapy.layers.inet import UDP
from scapy.layers.inet6 import (
    ICMPv6DestUnreach,
    ICMPv6EchoReply,
    ICMPv6EchoRequest,
    ICMPv6PacketTooBig,
    ICMPv6ParamProblem,
    ICMPv6TimeExceeded,
    IPv6,
    IPv6ExtHdrDestOpt,
    IPv6ExtHdrFragment,
    IPv6ExtHdrHopByHop,
    IPv6ExtHdrRouting,
    defragment6,
    fragment6,
    in6_chksum,
)
from scapy.layers.l2 import Ether
from scapy.packet import Raw

from vrouter.stack import Stack
from vrouter.stack.base.addresses import parse_ipv6, scoped
from vrouter.stack.base.drop import DropReason

SECOND = 1_000_000_000
A, RA = "2001:db8:1::2", "2001:db8:1::1"
B, RB = "2001:db8:2::2", "2001:db8:2::1"
MACS = {"a": ("02:00:00:00:01:01", "02:00:00:00:01:02"), "b": ("02:00:00:00:02:01", "02:00:00:00:02:02")}
QUIET = range(130, 138)


class Way:
    """r with devices a and b, and the stations behind them."""

    def __init__(self, *, forward: bool = True, mtu: int = 1500) -> None:
        self.stack = Stack(seed=1)
        self.ns = self.stack.add_netns("r")
        self.ns.sysctl["net.ipv6.conf.default.dad_transmits"] = 0
        self.now = SECOND
        for name, router, station in (("a", RA, A), ("b", RB, B)):
            self.ns.add_device(name, mac=MACS[name][0], mtu=mtu if name == "b" else 1500)
            self.ns.add_address(name, f"{router}/64", now=self.now)
            self.neighbour(name, station)
        self.neighbour("a", "fe80::2")
        if forward:
            self.ns.sysctl["net.ipv6.conf.all.forwarding"] = 1
        self.pass_time(10)

    def neighbour(self, name: str, address: str) -> None:
        dev = self.ns.devices[name]
        mac = bytes.fromhex(MACS[name][1].replace(":", ""))
        self.ns.neigh6.add_static(dev, scoped(parse_ipv6(address), dev.ifindex), mac, self.now)

    def pass_time(self, seconds: int) -> None:
        self.now += seconds * SECOND
        self.stack.poll(self.now)
        self.stack.take_egress()

    def send(self, packet: Any, name: str = "a", *, dst_mac: str = "") -> list[tuple[str, IPv6]]:
        """Put a packet on a station's wire; what the stack sent then, by device."""
        return self.send_raw(bytes(packet), name, dst_mac=dst_mac)

    def send_raw(self, packet: bytes, name: str = "a", *, dst_mac: str = "") -> list[tuple[str, IPv6]]:
        frame = Ether(src=MACS[name][1], dst=dst_mac or MACS[name][0], type=0x86DD) / Raw(packet)
        self.stack.receive(self.ns.devices[name], bytes(frame), self.now)
        return self.sent()

    def sent(self) -> list[tuple[str, IPv6]]:
        found = [(dev.name, Ether(bytes(frame)).payload) for dev, frame in self.stack.take_egress()]
        return [(name, pkt) for name, pkt in found if not (pkt.nh == 58 and pkt.payload.type in QUIET) and pkt.nh]

    def drops(self) -> dict[str, int]:
        return self.ns.drop_counts()

    def close(self) -> None:
        left, right = self.stack.accounts()
        assert sum(left.values()) == sum(right.values())


@pytest.fixture
def way() -> Any:
    made = Way()
    yield made
    made.close()


def only(sent: list[tuple[str, IPv6]], name: str = "a") -> IPv6:
    """The one packet that was sent, by device `name`, with a checksum that scapy computes as well."""
    assert [dev for dev, _ in sent] == [name], sent
    pkt = sent[0][1]
    if pkt.nh == 58:
        message = bytes(pkt)[40:]
        assert int.from_bytes(message[2:4], "big") == in6_chksum(58, pkt, message[:2] + bytes(2) + message[4:])
    return pkt


def test_an_echo_reply_has_the_request_s_class_and_data(way: Way) -> None:
    """RFC 4443 4.2; the traffic class as Linux's replies have it."""
    pkt = only(way.send(IPv6(src=A, dst=RA, tc=0xB8, fl=0xFFFFF) / ICMPv6EchoRequest(id=1, seq=2, data=b"x" * 1000)))
    assert (pkt.src, pkt.dst, pkt.tc, pkt.hlim) == (RA, A, 0xB8, 64)
    assert (pkt[ICMPv6EchoReply].id, pkt[ICMPv6EchoReply].seq, pkt[ICMPv6EchoReply].data) == (1, 2, b"x" * 1000)


def test_a_request_with_extension_headers_is_answered_without(way: Way) -> None:
    """RFC 4443 4.2: the data come back; what was in front does not."""
    head = (
        IPv6(src=A, dst=RA) / IPv6ExtHdrHopByHop() / IPv6ExtHdrRouting(addresses=[B], segleft=0) / IPv6ExtHdrDestOpt()
    )
    pkt = only(way.send(head / ICMPv6EchoRequest(id=5)))
    assert (pkt.nh, pkt[ICMPv6EchoReply].id) == (58, 5)


def test_a_link_local_request_is_answered_on_its_link(way: Way) -> None:
    """RFC 4007 6."""
    own = way.ns.devices["a"].addresses
    link_local = next(a.address for a in own if a.scope == "link") & (1 << 128) - 1
    dst = IPv6(bytes(8) + bytes(16) + link_local.to_bytes(16, "big")).dst
    pkt = only(way.send(IPv6(src="fe80::2", dst=dst) / ICMPv6EchoRequest(id=5)))
    assert (pkt.src, pkt.dst) == (dst, "fe80::2")


def test_a_forwarded_packet_loses_a_hop_and_nothing_else(way: Way) -> None:
    """RFC 8200 3."""
    packet = IPv6(src=A, dst=B, hlim=9, tc=0x2E, fl=0x12345) / UDP(sport=1, dport=2) / b"data"
    pkt = only(way.send(packet), "b")
    packet.hlim = 8
    assert bytes(pkt) == bytes(packet)


@pytest.mark.parametrize("hlim", [0, 1])
def test_hop_limit_zero_and_one_end_here(way: Way, hlim: int) -> None:
    """RFC 4443 3.3: code 0, quoting the packet as it came."""
    packet = IPv6(src=A, dst=B, hlim=hlim) / UDP(sport=1, dport=2) / b"data"
    pkt = only(way.send(packet))
    assert (pkt.src, pkt.dst, pkt[ICMPv6TimeExceeded].code) == (RA, A, 0)
    assert bytes(pkt[ICMPv6TimeExceeded].payload) == bytes(packet)


def test_no_route_is_told(way: Way) -> None:
    """RFC 4443 3.1: code 0."""
    pkt = only(way.send(IPv6(src=A, dst="2001:db8:9::9") / UDP()))
    assert (pkt[ICMPv6DestUnreach].code, pkt.src) == (0, RA)


def test_a_link_local_source_does_not_leave_its_link(way: Way) -> None:
    """RFC 4007 9, RFC 4443 3.1: code 2, beyond scope of source address."""
    pkt = only(way.send(IPv6(src="fe80::2", dst=B) / UDP()))
    assert (pkt[ICMPv6DestUnreach].code, pkt.dst) == (2, "fe80::2")
    assert way.drops()["FORWARD_LINK_LOCAL"] == 1


def test_the_unspecified_source_is_never_forwarded(way: Way) -> None:
    """RFC 4291 2.5.2: and never told."""
    assert way.send(IPv6(src="::", dst=B) / UDP()) == []
    assert way.drops()["IP_INVALID_SOURCE"] == 1


def test_too_big_is_told_and_nobody_cuts_on_the_way() -> None:
    """RFC 4443 3.2, RFC 8200 4.5: the MTU of the next link; fragments are told alike."""
    way = Way(mtu=1400)
    for packet in (
        IPv6(src=A, dst=B) / UDP() / Raw(bytes(1400)),
        IPv6(src=A, dst=B) / IPv6ExtHdrFragment(offset=10, m=1) / Raw(bytes(1400)),
    ):
        pkt = only(way.send(packet))
        assert pkt[ICMPv6PacketTooBig].mtu == 1400
        assert len(bytes(pkt)) == 1280
        assert bytes(pkt[ICMPv6PacketTooBig].payload) == bytes(packet)[:1232]
    assert way.drops()["PKT_TOO_BIG"] == 2
    way.close()


def test_a_port_that_nobody_has_is_told_from_the_address_that_was_asked(way: Way) -> None:
    """RFC 4443 3.1 code 4, 2.2 (a)."""
    pkt = only(way.send(IPv6(src=A, dst=RB) / UDP(sport=7, dport=9)))
    assert (pkt.src, pkt[ICMPv6DestUnreach].code) == (RB, 4)


@pytest.mark.parametrize(
    ("packet", "code", "pointer"),
    [
        (IPv6(src=A, dst=RA, nh=253) / Raw(b"?"), 1, 6),
        (IPv6(src=A, dst=RA) / IPv6ExtHdrDestOpt(nh=253) / Raw(b"?"), 1, 40),
        (IPv6(src=A, dst=RA) / IPv6ExtHdrRouting(addresses=[B], segleft=1) / UDP(), 0, 42),
        (IPv6(src=A, dst=RA, nh=60) / Raw(b"\x11\x00\x9e\x00\x01\x02\x00\x00") / UDP(), 2, 42),
        (IPv6(src=A, dst=B, nh=0) / Raw(b"\x11\x00\xde\x00\x01\x02\x00\x00") / UDP(), 2, 42),
        (IPv6(src=A, dst=RA) / IPv6ExtHdrFragment(m=1) / Raw(bytes(13)), 0, 4),
        (IPv6(src=A, dst=RA) / IPv6ExtHdrFragment(offset=8191) / Raw(bytes(16)), 0, 42),
        (IPv6(src=A, dst=RA) / IPv6ExtHdrFragment(nh=60, m=1) / Raw(b"\x11\x01" + bytes(6)), 3, 0),
    ],
)
def test_parameter_problems_point_at_what_is_wrong(way: Way, packet: IPv6, code: int, pointer: int) -> None:
    """RFC 4443 3.4, RFC 8200 4, RFC 7112 5."""
    pkt = only(way.send(packet))
    assert (pkt.src if packet.dst == RA else RA, pkt[ICMPv6ParamProblem].code, pkt[ICMPv6ParamProblem].ptr) == (
        RA,
        code,
        pointer,
    )


def test_headers_for_the_destination_pass_through(way: Way) -> None:
    """RFC 7045 2.1: what a router does not have to read it forwards."""
    for packet in (
        IPv6(src=A, dst=B, nh=60) / Raw(b"\x11\x00\x9e\x00\x01\x02\x00\x00") / UDP(),
        IPv6(src=A, dst=B) / IPv6ExtHdrRouting(addresses=[A], segleft=1) / UDP(),
        IPv6(src=A, dst=B, nh=253) / Raw(b"?"),
        IPv6(src=A, dst=B) / IPv6ExtHdrFragment(nh=60, m=1) / Raw(b"\x11\x01" + bytes(6)),
    ):
        pkt = only(way.send(packet), "b")
        packet.hlim = 63
        assert bytes(pkt) == bytes(packet)


def test_nothing_behind_the_headers_is_no_error(way: Way) -> None:
    """RFC 8200 4.7: no next header."""
    assert way.send(IPv6(src=A, dst=RA, nh=59) / Raw(b"ignored")) == []
    assert way.drops() == {}


@pytest.mark.parametrize("order", [1, -1])
def test_a_request_in_fragments_gets_a_reply_in_fragments(way: Way, order: int) -> None:
    """RFC 8200 4.5 and 5: put together for us, and what we send is cut for the link."""
    data = bytes(range(256)) * 20
    pieces = fragment6(IPv6(src=A, dst=RA) / IPv6ExtHdrFragment(id=3) / ICMPv6EchoRequest(id=1, data=data), 1280)
    sent = [reply for piece in pieces[::order] for reply in way.send(piece)]
    assert {name for name, _ in sent} == {"a"}
    assert all(len(bytes(pkt)) <= 1500 for _, pkt in sent)
    whole = IPv6(bytes(defragment6([pkt for _, pkt in sent])))
    assert whole[ICMPv6EchoReply].data == data


def test_an_atomic_fragment_is_answered_at_once(way: Way) -> None:
    """RFC 6946 4: apart from fragments with the same identification."""
    way.send(IPv6(src=A, dst=RA) / IPv6ExtHdrFragment(nh=58, id=3, m=1) / Raw(bytes(ICMPv6EchoRequest())))
    pkt = only(way.send(IPv6(src=A, dst=RA) / IPv6ExtHdrFragment(id=3) / ICMPv6EchoRequest(id=77)))
    assert pkt[ICMPv6EchoReply].id == 77


def test_a_datagram_that_stays_incomplete_is_told_after_sixty_seconds(way: Way) -> None:
    """RFC 8200 4.5: Time Exceeded code 1, quoting the first fragment."""
    packet = IPv6(src=A, dst=RA) / IPv6ExtHdrFragment(nh=17, id=3, m=1) / Raw(bytes(UDP()) + bytes(8))
    assert way.send(packet) == []
    way.now += 60 * SECOND - 1
    way.stack.poll(way.now)
    assert way.sent() == []
    way.now += 1
    way.stack.poll(way.now)
    pkt = only(way.sent())
    assert pkt[ICMPv6TimeExceeded].code == 1
    assert bytes(pkt[ICMPv6TimeExceeded].payload) == bytes(packet)


def test_an_overlap_is_dropped_and_not_told(way: Way) -> None:
    """RFC 5722 4."""
    head = IPv6(src=A, dst=RA)
    assert way.send(head / IPv6ExtHdrFragment(nh=17, id=3, m=1) / Raw(bytes(24))) == []
    assert way.send(head / IPv6ExtHdrFragment(nh=17, id=3, offset=2) / Raw(bytes(24))) == []
    way.pass_time(61)
    assert way.sent() == []
    assert way.drops() == {"FRAG_OVERLAP": 2}


def too_big(way: Way, sock: Any, mtu: int, dst: str = B) -> None:
    """b's router tells that what `sock` sent does not go on."""
    sock.sendto(b"x", (dst, 9), now=way.now)
    (_, pkt), *_ = way.sent()
    way.send(IPv6(src=B, dst=RB) / ICMPv6PacketTooBig(mtu=mtu) / Raw(bytes(pkt)), "b")


def test_a_path_is_learned_within_its_bounds(way: Way) -> None:
    """RFC 8201 4: it shrinks for what a socket sent, never grows, is never below 1280, and is forgotten; what is too
    large then is cut at its source (RFC 8200 5)."""
    sock = way.ns.socket(AF_INET6, SOCK_DGRAM)
    for told, size in [(1279, 1500), (1400, 1400), (1450, 1400), (1300, 1296), (0, 1296)]:
        too_big(way, sock, told)
        sock.sendto(bytes(1452), (B, 9), now=way.now)
        assert max(len(bytes(pkt)) for _, pkt in way.sent()) == size, told
    way.pass_time(600)
    sock.sendto(bytes(1452), (B, 9), now=way.now)
    assert [len(bytes(pkt)) for _, pkt in way.sent()] == [1500]


def test_a_path_is_not_learned_from_what_nobody_sent(way: Way) -> None:
    """RFC 8201 4, RFC 5927 7.1: the quoted packet must be a socket's of this node."""
    sock = way.ns.socket(AF_INET6, SOCK_DGRAM)
    quoted = IPv6(src=RB, dst=B) / UDP(sport=4444, dport=9) / b"x"
    way.send(IPv6(src=B, dst=RB) / ICMPv6PacketTooBig(mtu=1300) / Raw(bytes(quoted)), "b")
    sock.sendto(bytes(1452), (B, 9), now=way.now)
    assert [len(bytes(pkt)) for _, pkt in way.sent()] == [1500]


def test_jumbograms_are_refused(way: Way) -> None:
    """RFC 2675 2: by the type of their option, at this router as at any other node that has none."""
    packet = bytes(IPv6(src=A, dst=B, nh=0, plen=0) / Raw(b"\x11\x00\xc2\x04\x00\x01\x00\x00" + bytes(600)))
    pkt = only(way.send_raw(packet))
    assert (pkt[ICMPv6ParamProblem].code, pkt[ICMPv6ParamProblem].ptr) == (2, 42)


@pytest.mark.parametrize(
    ("src", "dst", "reason"),
    [
        ("::1", RA, DropReason.IP_LOCALNET),
        ("ff02::1", RA, DropReason.IP_INVALID_SOURCE),
        ("::ffff:10.0.0.1", B, DropReason.IP_INVALID_SOURCE),
        (A, "::ffff:10.0.0.1", DropReason.IP_INVALID_DEST),
        (A, "::", DropReason.IP_INVALID_DEST),
    ],
)
def test_martians_die_in_silence(way: Way, src: str, dst: str, reason: DropReason) -> None:
    """RFC 4291 2.5, 2.7."""
    assert way.send(IPv6(src=src, dst=dst) / UDP()) == []
    assert way.drops() == {reason.name: 1}


def test_a_group_is_not_told_of_what_it_has_no_port_for(way: Way) -> None:
    """RFC 4443 2.4 (e.3): nor of anything else but options that ask for it."""
    to_all = IPv6(src=A, dst="ff02::1", hlim=1)
    assert way.send(to_all / UDP(dport=9), dst_mac="33:33:00:00:00:01") == []
    packet = IPv6(src=A, dst="ff02::1", nh=60) / Raw(b"\x11\x00\x9e\x00\x01\x02\x00\x00") / UDP()
    pkt = only(way.send(packet, dst_mac="33:33:00:00:00:01"))
    assert (pkt.src, pkt[ICMPv6ParamProblem].code) == (RA, 2)
