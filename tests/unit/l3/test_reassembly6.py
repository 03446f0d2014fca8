"""IPv6 reassembly: what is the family's own; what both share is tested with IPv4's."""

from dataclasses import replace

import pytest
from scapy.layers.inet import UDP
from scapy.layers.inet6 import (
    IPv6,
    IPv6ExtHdrDestOpt,
    IPv6ExtHdrFragment,
    IPv6ExtHdrHopByHop,
    IPv6ExtHdrRouting,
    RouterAlert,
)
from scapy.packet import Raw

from tests.unit.l3.bed6 import HERE, THERE, Ip, Namespace, received
from vrouter.stack.base.addresses import parse_ipv6
from vrouter.stack.base.counters import Stat
from vrouter.stack.base.drop import DropReason
from vrouter.stack.base.packet import DONT_FRAGMENT, FRAGMENT, IP_OPTIONS, REASSEMBLED, Packet
from vrouter.stack.base.timers import TimerKind
from vrouter.stack.l3.ext_headers import destination_input
from vrouter.stack.l3.reassembly import EXPIRED, IPV6, QUEUED, Reassembler, fragment_key6
from vrouter.stack.sysctl.records import DEFAULT_V6

SECOND = 1_000_000_000
LAN = Namespace().lan
IP6 = IPv6(src=HERE, dst=THERE, hlim=9, fl=0x12345)
DATA = bytes(UDP(sport=1, dport=2) / bytes(92))


def piece(start: int, end: int, *, data: bytes = DATA, head: IPv6 = IP6, nh: int = 17, ident: int = 5) -> Packet:
    more = int(end < len(data))
    header = IPv6ExtHdrFragment(nh=nh, m=more, offset=start >> 3, id=ident)
    return received(head / header / Raw(data[start:end]), LAN)


def give(table: Reassembler, pkt: Packet, now: int = 0) -> Packet | int:
    key, offset, more = fragment_key6(pkt)
    return table.input(key, pkt, offset, more, now)


@pytest.fixture
def ns() -> Namespace:
    return Namespace()


@pytest.fixture
def table(ns: Namespace) -> Reassembler:
    return Reassembler(ns, IPV6)


def test_the_fragment_header_is_gone_from_the_whole(table: Reassembler) -> None:
    """RFC 8200 4.5: the length, and the next header that the fragment header named, are the datagram's."""
    assert give(table, piece(40, 100)) == QUEUED
    whole = give(table, piece(0, 40))
    assert whole.data() == bytes(IP6 / Raw(DATA)).replace(b"\x3b\x09", b"\x11\x09", 1)
    assert (whole.l3, whole.l4 - whole.l3, whole.proto) == (whole.start, 40, 17)
    assert whole.flags == REASSEMBLED | IP_OPTIONS
    assert (table.held, table.memory, len(table)) == (0, 0, 0)


@pytest.mark.parametrize(
    ("head", "length"),
    [
        (IP6 / IPv6ExtHdrHopByHop(options=[RouterAlert()]), 8),
        (IP6 / IPv6ExtHdrHopByHop() / IPv6ExtHdrRouting(addresses=[THERE], segleft=0) / IPv6ExtHdrDestOpt(), 40),
    ],
)
def test_headers_in_front_stay(table: Reassembler, head: IPv6, length: int) -> None:
    """RFC 8200 4.5: those of the fragment with offset 0 are the datagram's; the last of them names what follows."""
    give(table, piece(0, 40, head=head))
    whole = give(table, piece(40, 100))  # the other one has none: "not considered errors if they do"
    assert whole.data() == bytes(head / UDP(DATA))
    assert (whole.l4 - whole.l3, whole.proto) == (40 + length, 17)
    assert destination_input(Ip(), whole) == (0, -1, 0)


def test_headers_behind_are_found_in_the_whole(table: Reassembler) -> None:
    """RFC 8200 4.5: the fragmentable part may begin with extension headers, and the chain is walked once more."""
    data = bytes(IPv6ExtHdrDestOpt(nh=17) / UDP(DATA))
    give(table, piece(0, 40, data=data, nh=60))
    whole = give(table, piece(40, len(data), data=data, nh=60))
    assert destination_input(Ip(), whole) == (0, -1, 0)
    assert (whole.proto, whole.l4 - whole.l3) == (17, 48)


def test_the_next_header_is_the_first_fragment_s(table: Reassembler) -> None:
    """RFC 8200 4.5: it may differ in others, and is not looked at there."""
    give(table, piece(40, 100, nh=6))
    assert give(table, piece(0, 40, nh=17)).proto == 17


def test_a_datagram_is_known_by_source_destination_and_identification() -> None:
    """RFC 8200 4.5: these three, and not the next header; and the short-cuts by which its pieces came."""
    pkt = piece(0, 40, ident=0xFEDCBA98)
    pkt.origin = ("crossing",)
    assert fragment_key6(pkt) == ((parse_ipv6(HERE), parse_ipv6(THERE), 0xFEDCBA98, ("crossing",)), 0, True)
    assert fragment_key6(piece(40, 100))[1:] == (40, False)


def test_link_local_sources_of_two_links_are_two() -> None:
    """RFC 4007 6: the key has their zones."""
    other = Namespace().lan
    other.ifindex = 8
    link_local = IPv6(src="fe80::1", dst=HERE) / IPv6ExtHdrFragment(m=1) / Raw(bytes(8))
    assert fragment_key6(received(link_local, LAN))[0] != fragment_key6(received(link_local, other))[0]


@pytest.mark.parametrize(
    ("second", "reason"),
    [
        ((32, 100), DropReason.FRAG_OVERLAP),
        ((0, 48), DropReason.FRAG_OVERLAP),
        ((0, 40), DropReason.DUP_FRAG),
    ],
)
def test_overlaps_end_the_datagram_in_silence(table: Reassembler, second: tuple[int, int], reason: int) -> None:
    """RFC 5722 4, RFC 8200 4.5: the whole datagram and what comes of it later; an exact duplicate alone is dropped."""
    give(table, piece(0, 40))
    assert give(table, piece(*second)) == reason
    last = give(table, piece(40, 100))
    if reason == DropReason.DUP_FRAG:
        assert isinstance(last, Packet)
    else:
        assert last == DropReason.FRAG_TOO_FAR
        assert [(kind, why) for kind, _, why in table.actions] == [("drop", reason)]


def test_time_is_sixty_seconds_and_the_first_fragment_can_be_quoted(table: Reassembler, ns: Namespace) -> None:
    """RFC 8200 4.5: 60 s from the first to arrive; Time Exceeded only when the one with offset 0 is there."""
    give(table, piece(40, 80), now=SECOND)
    first = piece(0, 40)
    give(table, first, now=30 * SECOND)
    give(table, piece(40, 80, ident=6), now=2 * SECOND)
    assert ns.stack.timers.pop_due(61 * SECOND - 1) is None
    for _ in range(2):
        timer = ns.stack.timers.pop_due(62 * SECOND)
        assert timer.kind is TimerKind.REASSEMBLY
        table.timer_fired(timer.owner, 62 * SECOND)
    assert [kind for kind, _, _ in table.actions] == [EXPIRED, "drop", "drop"]
    assert table.actions[0][1] is first
    assert first.flags & FRAGMENT
    assert ns.stats[Stat.Ip6ReasmFails] == 2
    assert ns.stats[Stat.IpReasmFails] == 0


def test_time_and_memory_have_settings_of_their_own() -> None:
    """net.ipv6.ip6frag_time and ip6frag_high_thresh."""
    ns = Namespace(v6=replace(DEFAULT_V6, frag_time=3 * SECOND, frag_high_thresh=2500))
    table = Reassembler(ns, IPV6)
    give(table, piece(0, 40, ident=1))
    assert ns.stack.timers.poll_at() == 3 * SECOND
    give(table, piece(0, 40, ident=2))
    assert [reason for _, _, reason in table.actions] == [DropReason.FRAG_MEM]


@pytest.mark.parametrize(("last", "whole"), [(7, True), (8, False)])
def test_a_payload_has_up_to_65535_bytes(table: Reassembler, last: int, whole: bool) -> None:
    """RFC 8200 4.5: of all that follows the IPv6 header, not counting the fragment header."""
    pieces = [received(IP6 / IPv6ExtHdrFragment(m=1, offset=n * 1024, id=5) / Raw(bytes(8192)), LAN) for n in range(7)]
    pieces.append(received(IP6 / IPv6ExtHdrFragment(m=1, offset=7168, id=5) / Raw(bytes(8184)), LAN))
    for pkt in pieces:
        assert give(table, pkt) == QUEUED
    verdict = give(table, received(IP6 / IPv6ExtHdrFragment(offset=8191, id=5) / Raw(bytes(last)), LAN))
    if whole:
        assert len(verdict) == 40 + 65535
    else:
        assert verdict == DropReason.FRAG_INVALID


def test_headers_of_the_first_fragment_count_for_the_payload(table: Reassembler) -> None:
    """RFC 8200 4.5: with them the whole may be too long, though no fragment was by itself."""
    head = IP6 / IPv6ExtHdrDestOpt()
    pieces = [
        received(IP6 / IPv6ExtHdrFragment(m=1, offset=n * 1024, id=5) / Raw(bytes(8192)), LAN) for n in range(1, 7)
    ]
    pieces.append(received(IP6 / IPv6ExtHdrFragment(m=1, offset=7168, id=5) / Raw(bytes(8184)), LAN))
    pieces.append(received(IP6 / IPv6ExtHdrFragment(offset=8191, id=5) / Raw(bytes(7)), LAN))
    for pkt in pieces:
        assert give(table, pkt) == QUEUED
    first = received(head / IPv6ExtHdrFragment(m=1, id=5) / Raw(bytes(8192)), LAN)
    assert give(table, first) == DropReason.FRAG_INVALID


@pytest.mark.parametrize(
    ("ecns", "expected"),
    [((0, 0), 0), ((2, 2), 2), ((2, 3), 3), ((3, 1), 3), ((3, 3), 3), ((0, 2), None), ((0, 3), None)],
)
def test_congestion_marks_are_kept(table: Reassembler, ecns: tuple[int, int], expected: int | None) -> None:
    """RFC 3168 5.3, RFC 8200 4.5: a mark on any fragment is on the whole; a mixture with "not capable" is dropped."""
    first, last = (IPv6(src=HERE, dst=THERE, tc=0xB8 | ecn) for ecn in ecns)
    give(table, piece(0, 40, head=first))
    whole = give(table, piece(40, 100, head=last))
    if expected is None:
        assert whole == DropReason.FRAG_INVALID
    else:
        assert IPv6(whole.data()).tc == 0xB8 | expected


def test_what_is_whole_again_may_not_be_cut(table: Reassembler) -> None:
    """The flags of the fragments are gone; only the one of its headers is new."""
    give(table, piece(0, 40))
    whole = give(table, piece(40, 100))
    assert not whole.flags & (FRAGMENT | DONT_FRAGMENT)
