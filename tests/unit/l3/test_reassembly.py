"""Reassembly: what becomes a datagram, what does not, and that nothing is lost or kept for ever on the way."""

from dataclasses import replace
from types import SimpleNamespace

import pytest

from vrouter.stack.base.counters import Stat, new_stats
from vrouter.stack.base.drop import DropReason
from vrouter.stack.base.packet import (
    CSUM_OK,
    FRAGMENT,
    LINK_BROADCAST,
    REASSEMBLED,
    Packet,
)
from vrouter.stack.base.timers import TimerHeap, TimerKind
from vrouter.stack.l3.reassembly import DROP, EXPIRED, MAX_FRAGMENTS, PACKET_COST, QUEUE_COST, QUEUED, Reassembler
from vrouter.stack.sysctl import DEFAULT_NS
from vrouter.stack.wire import checksum, ipv4

SRC, DST = 0x0A000001, 0x0A000002
KEY = (SRC, DST, 17, 77)
SECOND = 1_000_000_000


class Namespace:
    """What reassembly needs of a namespace."""

    def __init__(self, **conf: int) -> None:
        self.conf = replace(DEFAULT_NS, v4=replace(DEFAULT_NS.v4, **conf))
        self.stats = new_stats()
        self.stack = SimpleNamespace(timers=TimerHeap())


def datagram(size: int) -> bytes:
    return bytes(i * 7 + (i >> 8) & 0xFF for i in range(size))


def fragment(
    data: bytes, offset: int, end: int, *, more: bool | None = None, options: bytes = b"", tos: int = 0
) -> Packet:
    """The packet with `data[offset:end]`, as it stands after the header checks of input."""
    header_len = 20 + len(options)
    payload = data[offset:end]
    more = end < len(data) if more is None else more
    pkt = Packet.from_frame(bytes(header_len) + payload)
    pkt.l3 = pkt.start
    pkt.l4 = pkt.l3 + header_len
    ipv4.emit_header(
        pkt.buf, pkt.l3, total_length=header_len + len(payload), ident=77, ttl=9, proto=17, src=SRC, dst=DST,
        flags_fragment=(ipv4.MF if more else 0) | offset >> 3, options=options, tos=tos,
    )  # fmt: skip
    pkt.family, pkt.proto, pkt.src, pkt.dst, pkt.flags = 4, 17, SRC, DST, FRAGMENT
    return pkt


def give(table: Reassembler, pkt: Packet, now: int = 0, key: tuple[int, ...] = KEY) -> Packet | int:
    word = ipv4.flags_fragment(pkt.buf, pkt.l3)
    return table.input(key, pkt, (word & ipv4.OFFSET_MASK) << 3, bool(word & ipv4.MF), now)


def fire(table: Reassembler, ns: Namespace, now: int) -> int:
    """Run what is due, as the stack does; returns how many timers that were."""
    count = 0
    while (timer := ns.stack.timers.pop_due(now)) is not None:
        assert timer.kind is TimerKind.REASSEMBLY
        timer.owner.table.timer_fired(timer.owner, now)
        count += 1
    return count


def must_be_empty(table: Reassembler, ns: Namespace) -> None:
    assert (table.held, table.memory, len(table), len(ns.stack.timers)) == (0, 0, 0, 0)


@pytest.fixture
def ns() -> Namespace:
    return Namespace()


@pytest.fixture
def table(ns: Namespace) -> Reassembler:
    return Reassembler(ns)


DATA = datagram(100)
CUTS = [(0, 40), (40, 72), (72, 100)]


@pytest.mark.parametrize("order", [(0, 1, 2), (2, 1, 0), (1, 0, 2), (1, 2, 0), (0, 2, 1), (2, 0, 1)])
def test_fragments_in_any_order_become_the_datagram(table: Reassembler, ns: Namespace, order: tuple[int, ...]) -> None:
    """RFC 791 3.2: whole when all bytes are there, in whatever order; RFC 815 arrives at the same."""
    packets = [fragment(DATA, *cut) for cut in CUTS]
    first, second, last = (packets[n] for n in order)
    assert give(table, first) == QUEUED
    assert give(table, second) == QUEUED
    assert (table.held, table.take_absorbed(), len(ns.stack.timers)) == (2, 0, 1)
    whole = give(table, last)
    assert whole is packets[0]
    assert (whole.start, whole.l4) == (whole.l3, whole.l3 + 20)
    assert whole.data()[20:] == DATA
    assert ipv4.total_length(whole.buf, whole.l3) == 120
    assert ipv4.flags_fragment(whole.buf, whole.l3) == 0
    assert checksum.is_valid(whole.buf, whole.l3, whole.l4)
    assert whole.flags == REASSEMBLED
    assert table.take_absorbed() == 2
    assert table.take_absorbed() == 0
    assert table.actions == []
    must_be_empty(table, ns)


def test_the_header_is_the_first_fragment_s_with_its_options(table: Reassembler) -> None:
    """RFC 791 3.2: the header of the fragment with offset 0 is the datagram's; only it has all options."""
    record_route = bytes([7, 7, 4, 0, 0, 0, 0, 0])
    give(table, fragment(DATA, 72, 100))
    give(table, fragment(DATA, 40, 72))
    whole = give(table, fragment(DATA, 0, 40, options=record_route))
    assert whole.data()[20:28] == record_route
    assert whole.data()[28:] == DATA
    assert ipv4.total_length(whole.buf, whole.l3) == 128
    assert checksum.is_valid(whole.buf, whole.l3, whole.l4)


def test_datagrams_are_told_apart_by_their_whole_key(table: Reassembler) -> None:
    """RFC 791 3.2: source, destination, protocol and identification together."""
    give(table, fragment(DATA, 0, 40))
    for other in [(SRC + 1, DST, 17, 77), (SRC, DST + 1, 17, 77), (SRC, DST, 6, 77), (SRC, DST, 17, 78)]:
        assert give(table, fragment(DATA, 40, 100), key=other) == QUEUED
    assert len(table) == 5
    assert isinstance(give(table, fragment(DATA, 40, 100)), Packet)


def test_an_exact_duplicate_is_dropped_alone(table: Reassembler) -> None:
    """RFC 815: the network may deliver twice; the datagram is completed all the same."""
    give(table, fragment(DATA, 0, 40))
    assert give(table, fragment(DATA, 0, 40)) == DropReason.DUP_FRAG
    give(table, fragment(DATA, 72, 100))
    assert give(table, fragment(DATA, 72, 100)) == DropReason.DUP_FRAG
    assert table.held == 2
    assert give(table, fragment(DATA, 40, 72)).data()[20:] == DATA


@pytest.mark.parametrize(
    ("offset", "end", "data"),
    [
        (0, 48, DATA),  # over the next one's beginning
        (32, 40, DATA),  # inside
        (32, 72, DATA),  # over the end of the one before
        (0, 40, bytes(100)),  # the same place, other bytes
        (0, 8, DATA),  # the same beginning, shorter
        (8, 96, DATA),  # over several
    ],
)
def test_any_other_overlap_gives_the_datagram_up(
    table: Reassembler, ns: Namespace, offset: int, end: int, data: bytes
) -> None:
    """RFC 5722 4: the whole datagram is discarded, with all fragments that came and those still to come."""
    kept = [fragment(DATA, 0, 40), fragment(DATA, 40, 72)]
    assert [give(table, pkt) for pkt in kept] == [QUEUED, QUEUED]
    assert give(table, fragment(data, offset, end, more=True)) == DropReason.FRAG_OVERLAP
    assert table.actions == [(DROP, pkt, DropReason.FRAG_OVERLAP) for pkt in kept]
    assert (table.held, table.memory) == (0, QUEUE_COST)
    assert ns.stats[Stat.IpReasmFails] == 1
    for cut in CUTS:
        assert give(table, fragment(DATA, *cut), now=29 * SECOND) == DropReason.FRAG_TOO_FAR
    assert fire(table, ns, 30 * SECOND) == 1
    must_be_empty(table, ns)
    assert [give(table, fragment(DATA, *cut), now=30 * SECOND) for cut in CUTS[:2]] == [QUEUED, QUEUED]
    assert isinstance(give(table, fragment(DATA, *CUTS[2]), now=30 * SECOND), Packet)


def test_an_overlap_over_the_transport_header_reaches_nobody(table: Reassembler) -> None:
    """RFC 1858 and 3128: a tiny first fragment, rewritten by a second with offset 8, is the attack; it dies whole."""
    give(table, fragment(DATA, 0, 16))
    assert give(table, fragment(bytes(100), 8, 100)) == DropReason.FRAG_OVERLAP
    assert len(table.actions) == 1


def test_tiny_fragments_without_overlap_are_a_datagram(table: Reassembler) -> None:
    """RFC 1858: size alone is no attack on who reads the whole datagram; 8 bytes each are legal (RFC 791)."""
    for offset in range(0, 96, 8):
        assert give(table, fragment(DATA, offset, offset + 8)) == QUEUED
    assert give(table, fragment(DATA, 96, 100)).data()[20:] == DATA


@pytest.mark.parametrize(
    ("offset", "size", "more"),
    [
        (0, 0, True),  # nothing
        (80, 0, False),  # nothing, at the end
        (0, 12, True),  # not a multiple of 8
        (8, 7, True),
        (65528, 8, True),  # ends behind 65535 with its header
        (65512, 4, False),  # one byte too many: 20 + 65512 + 4 = 65536
    ],
)
def test_impossible_fragments_are_dropped_alone(table: Reassembler, offset: int, size: int, more: bool) -> None:
    """RFC 791 3.2: lengths are multiples of 8 but for the last; no datagram has over 65535 bytes (ping of death)."""
    give(table, fragment(DATA, 0, 40))
    pkt = fragment(bytes(offset + size), offset, offset + size, more=more)
    assert give(table, pkt) == DropReason.FRAG_INVALID
    assert (table.held, table.actions) == (1, [])
    assert give(table, fragment(DATA, 40, 72)) == QUEUED


def test_the_largest_datagram_is_65535_bytes(table: Reassembler) -> None:
    """RFC 1122 3.3.2: no limit on what is reassembled below that of the total length field."""
    data = datagram(65515)
    give(table, fragment(data, 32768, 65515))
    whole = give(table, fragment(data, 0, 32768))
    assert whole.data()[20:] == data
    assert ipv4.total_length(whole.buf, whole.l3) == 65535


def test_options_of_the_first_fragment_may_make_it_too_long(table: Reassembler, ns: Namespace) -> None:
    """RFC 791 3.1: the total length field cannot say 65539; the pieces were each possible, the whole is not."""
    data = datagram(65515)
    rest = fragment(data, 32768, 65515)
    give(table, rest)
    assert give(table, fragment(data, 0, 32768, options=bytes(4))) == DropReason.FRAG_INVALID
    assert table.actions == [(DROP, rest, DropReason.FRAG_INVALID)]
    assert table.held == 0
    assert ns.stats[Stat.IpReasmFails] == 1


@pytest.mark.parametrize(
    "steps",
    [
        [(72, 100, False), (72, 88, False)],  # two ends
        [(40, 72, True), (16, 40, False)],  # an end before what came
        [(16, 40, False), (40, 72, True)],  # more behind the end
        [(40, 72, True), (40, 72, False)],  # the same bytes, now the last
        [(72, 96, False), (72, 96, True)],  # the same bytes, now not the last
        [(72, 96, False), (72, 104, False)],
    ],
)
def test_fragments_that_contradict_each_other_give_the_datagram_up(
    table: Reassembler, steps: list[tuple[int, int, bool]]
) -> None:
    """RFC 791 3.2: there is one last fragment, and nothing behind it."""
    data = datagram(200)
    (offset, end, more), (offset2, end2, more2) = steps
    held = fragment(data, offset, end, more=more)
    assert give(table, held) == QUEUED
    assert give(table, fragment(data, offset2, end2, more=more2)) == DropReason.FRAG_INVALID
    assert table.actions == [(DROP, held, DropReason.FRAG_INVALID)]
    assert give(table, fragment(data, 0, 8)) == DropReason.FRAG_TOO_FAR


def test_the_time_counts_from_the_first_fragment_and_the_sender_is_told(table: Reassembler, ns: Namespace) -> None:
    """RFC 1122 3.3.2: a fixed timeout, not moved by later fragments; RFC 792: Time Exceeded about fragment zero."""
    later, first = fragment(DATA, 40, 72), fragment(DATA, 0, 40)
    give(table, later, now=0)
    give(table, first, now=29 * SECOND)
    assert ns.stack.timers.poll_at() == 30 * SECOND
    assert fire(table, ns, 30 * SECOND - 1) == 0
    assert fire(table, ns, 30 * SECOND) == 1
    timeout = DropReason.FRAG_REASM_TIMEOUT
    assert table.actions == [(EXPIRED, first, timeout), (DROP, later, timeout)]
    assert first.data()[20:] == DATA[:40]
    assert ns.stats[Stat.IpReasmFails] == 1
    must_be_empty(table, ns)


def test_without_fragment_zero_nobody_is_told(table: Reassembler, ns: Namespace) -> None:
    """RFC 792: if fragment zero is not available then no time exceeded need be sent."""
    held = fragment(DATA, 40, 72)
    give(table, held)
    fire(table, ns, 30 * SECOND)
    assert table.actions == [(DROP, held, DropReason.FRAG_REASM_TIMEOUT)]


def test_the_time_is_a_setting() -> None:
    """net.ipv4.ipfrag_time."""
    ns = Namespace(frag_time=5 * SECOND)
    give(Reassembler(ns), fragment(DATA, 0, 40), now=7)
    assert ns.stack.timers.poll_at() == 5 * SECOND + 7


def cost(pkt: Packet) -> int:
    return len(pkt.buf) + PACKET_COST


def test_memory_is_bounded_and_the_oldest_datagram_goes_first() -> None:
    """net.ipv4.ipfrag_high_thresh bounds what a stranger can make us keep."""
    one = fragment(DATA, 0, 40)
    each = cost(one) + QUEUE_COST
    ns = Namespace(frag_high_thresh=3 * each)
    table = Reassembler(ns)
    packets = [fragment(DATA, 0, 40) for _ in range(5)]
    for n, pkt in enumerate(packets):
        assert give(table, pkt, key=(n,)) == QUEUED
        assert table.memory == min(n + 1, 3) * each
    assert table.actions == [(DROP, pkt, DropReason.FRAG_MEM) for pkt in packets[:2]]
    assert (table.held, len(table), len(ns.stack.timers)) == (3, 3, 3)
    assert give(table, fragment(DATA, 40, 100), key=(0,)) == QUEUED


def test_a_datagram_that_would_be_evicted_for_itself_dies_with_its_fragment() -> None:
    """The one datagram that fills the memory cannot grow further."""
    held = fragment(DATA, 0, 40)
    ns = Namespace(frag_high_thresh=cost(held) + QUEUE_COST + 100)
    table = Reassembler(ns)
    give(table, held)
    assert give(table, fragment(DATA, 40, 72)) == DropReason.FRAG_MEM
    assert table.actions == [(DROP, held, DropReason.FRAG_MEM)]
    must_be_empty(table, ns)


def test_a_fragment_that_never_fits_evicts_nobody() -> None:
    """A limit below one packet turns reassembly off, and loses nothing else."""
    ns = Namespace(frag_high_thresh=0)
    table = Reassembler(ns)
    assert give(table, fragment(DATA, 0, 40)) == DropReason.FRAG_MEM
    must_be_empty(table, ns)
    assert table.actions == []
    assert ns.stats[Stat.IpReasmFails] == 1


def test_given_up_datagrams_are_bounded_too() -> None:
    """What is known about datagrams that were given up counts as memory, and the oldest is forgotten."""
    ns = Namespace(frag_high_thresh=20_000)
    table = Reassembler(ns)
    for n in range(1000):
        give(table, fragment(DATA, 0, 40), key=(n,))
        assert give(table, fragment(DATA, 32, 72), key=(n,)) == DropReason.FRAG_OVERLAP
        assert table.memory <= 20_000
    assert table.held == 0
    assert len(table) <= 20_000 // QUEUE_COST
    assert len(table.actions) == 1000


def test_the_number_of_fragments_is_bounded(table: Reassembler) -> None:
    """A datagram of more pieces than any link makes is given up; the largest one over MTU 68 is not."""
    data = datagram(65512)
    pieces = [fragment(data, n * 8, n * 8 + 8) for n in range(MAX_FRAGMENTS + 1)]
    assert {give(table, pkt) for pkt in pieces[:-1]} == {QUEUED}
    assert give(table, pieces[-1]) == DropReason.FRAG_MEM
    assert len(table.actions) == MAX_FRAGMENTS
    assert MAX_FRAGMENTS > 65515 // 48


@pytest.mark.parametrize(
    ("codepoints", "result"),
    [
        ([0, 0, 0], 0),
        ([2, 2, 2], 2),
        ([2, 3, 2], 3),
        ([1, 1, 3], 3),
        ([3, 3, 3], 3),
        ([2, 1, 1], 2),
        ([0, 3, 0], None),
        ([2, 3, 0], None),
        ([2, 0, 2], None),
    ],
)
def test_congestion_marks_of_fragments_are_not_lost(
    table: Reassembler, codepoints: list[int], result: int | None
) -> None:
    """RFC 3168 5.3: CE survives, is never put on a packet that is Not-ECT in part, and equal marks stay."""
    packets = [fragment(DATA, *cut, tos=0xB8 | mark) for cut, mark in zip(CUTS, codepoints, strict=True)]
    give(table, packets[0])
    give(table, packets[1])
    whole = give(table, packets[2])
    if result is None:
        assert whole == DropReason.FRAG_INVALID
        assert table.actions == [(DROP, pkt, DropReason.FRAG_INVALID) for pkt in packets[:2]]
        assert table.held == 0
    else:
        assert ipv4.tos(whole.buf, whole.l3) == 0xB8 | result
        assert checksum.is_valid(whole.buf, whole.l3, whole.l4)


def test_flags_of_the_datagram_are_those_of_all_its_fragments(table: Reassembler) -> None:
    """A checksum is vouched for only when every piece was; who came by broadcast stays marked (RFC 1122 3.2.2)."""
    first, second = fragment(DATA, 0, 40), fragment(DATA, 40, 100)
    first.flags |= CSUM_OK
    second.flags |= CSUM_OK | LINK_BROADCAST
    give(table, first)
    assert give(table, second).flags == REASSEMBLED | CSUM_OK | LINK_BROADCAST
    first, second = fragment(DATA, 0, 40), fragment(DATA, 40, 100)
    first.flags |= CSUM_OK
    give(table, first)
    assert give(table, second).flags == REASSEMBLED


def test_purge_ends_everything(table: Reassembler, ns: Namespace) -> None:
    """A namespace that goes leaves no timer and no packet behind."""
    held = [fragment(DATA, 0, 40), fragment(DATA, 40, 72)]
    give(table, held[0], key=(1,))
    give(table, held[1], key=(2,))
    give(table, fragment(DATA, 0, 40), key=(3,))
    give(table, fragment(DATA, 8, 16), key=(3,))
    table.actions.clear()
    table.purge()
    assert table.actions == [(DROP, pkt, DropReason.NS_CLOSING) for pkt in held]
    must_be_empty(table, ns)
