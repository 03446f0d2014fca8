"""Fragmentation and reassembly against each other, a slow obvious twin, and scapy."""

from dataclasses import replace
from types import SimpleNamespace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scapy.layers.inet import IP, UDP, IPOption_Router_Alert, IPOption_RR, defragment
from scapy.layers.inet import fragment as scapy_fragment
from scapy.layers.inet6 import (
    IPv6,
    IPv6ExtHdrDestOpt,
    IPv6ExtHdrFragment,
    IPv6ExtHdrHopByHop,
    IPv6ExtHdrRouting,
    defragment6,
)
from scapy.packet import Packet as ScapyPacket
from scapy.packet import Raw

from tests.unit.l3.bed6 import HERE, THERE, Ip, Namespace, received
from vrouter.stack.base.counters import new_stats
from vrouter.stack.base.drop import DropReason
from vrouter.stack.base.packet import FRAGMENT, IP_OPTIONS, Packet
from vrouter.stack.base.timers import TimerHeap
from vrouter.stack.l3.ext_headers import destination_input
from vrouter.stack.l3.fragment import fragment, fragment6
from vrouter.stack.l3.reassembly import IPV4, IPV6, QUEUED, Codec, Reassembler, fragment_key6
from vrouter.stack.sysctl import DEFAULT_NS
from vrouter.stack.wire import ipv4

KEY = (1, 2, 17, 3)
OPTIONS = st.sampled_from([[], [IPOption_RR(pointer=4, routers=["0.0.0.0"])], [IPOption_Router_Alert()]])
MTUS = st.one_of(st.integers(68, 200), st.integers(200, 1500))
PAYLOADS = st.builds(lambda size, seed: bytes((n * seed + (n >> 8)) & 0xFF for n in range(size)),
                     st.integers(1, 4000), st.integers(1, 255))  # fmt: skip


def reassembler(limit: int = DEFAULT_NS.ipfrag_high_thresh, codec: Codec = IPV4) -> Reassembler:
    conf = replace(DEFAULT_NS, v4=replace(DEFAULT_NS.v4, frag_high_thresh=limit))
    ns = SimpleNamespace(conf=conf, stats=new_stats(), stack=SimpleNamespace(timers=TimerHeap()))
    return Reassembler(ns, codec)


def packet(frame: bytes) -> Packet:
    """An IPv4 packet as it stands after the header checks of input."""
    pkt = Packet.from_frame(frame)
    pkt.l3 = pkt.start
    pkt.l4 = pkt.l3 + ipv4.header_length(pkt.buf, pkt.l3)
    pkt.flags = IP_OPTIONS if pkt.l4 - pkt.l3 > 20 else 0
    pkt.family = 4
    return pkt


def packet6(frame: bytes) -> Packet:
    """An IPv6 fragment, with nothing in front of its fragment header, as it stands after the header checks."""
    pkt = Packet.from_frame(frame)
    pkt.l3 = pkt.start
    pkt.l4 = pkt.l3 + 48
    pkt.family = 6
    return pkt


def give6(table: Reassembler, pkt: Packet) -> Packet | int:
    key, offset, more = fragment_key6(pkt)
    pkt.flags |= FRAGMENT
    return table.input(key, pkt, offset, more, 0)


def give(table: Reassembler, pkt: Packet) -> Packet | int:
    word = ipv4.flags_fragment(pkt.buf, pkt.l3)
    pkt.flags |= FRAGMENT
    return table.input(KEY, pkt, (word & ipv4.OFFSET_MASK) << 3, bool(word & ipv4.MF), 0)


def built(payload: bytes, options: list[object]) -> bytes:
    return bytes(IP(src="10.0.0.1", dst="10.0.0.2", id=7, ttl=9, proto=17, options=options) / Raw(payload))


@settings(max_examples=150)
@given(payload=PAYLOADS, mtus=st.lists(MTUS, min_size=1, max_size=3), options=OPTIONS, data=st.data())
def test_what_is_fragmented_over_any_links_comes_together_again(
    payload: bytes, mtus: list[int], options: list[object], data: st.DataObject
) -> None:
    """RFC 791 3.2: over several links, in any order, with pieces doubled, the datagram is byte for byte the same."""
    frame = built(payload, options)
    pieces = [packet(frame)]
    for mtu in mtus:
        pieces = [part for piece in pieces for part in (fragment(piece, mtu) if len(piece) > mtu else [piece])]
        assert all(len(piece) <= mtu for piece in pieces)
    if len(pieces) == 1:
        assert pieces[0].data() == frame
        return
    order = data.draw(st.permutations(pieces))
    twice = data.draw(st.sampled_from(order[:-1]))
    table = reassembler()
    for piece in order[:-1]:
        assert give(table, piece) == QUEUED
    assert give(table, twice.copy()) == DropReason.DUP_FRAG
    whole = give(table, order[-1])
    assert whole.data() == frame
    assert (table.held, table.memory, table.take_absorbed()) == (0, 0, len(pieces) - 1)


@settings(max_examples=150)
@given(
    payload=PAYLOADS,
    mtu=st.integers(1280, 2000),
    head=st.lists(st.sampled_from([IPv6ExtHdrHopByHop, IPv6ExtHdrDestOpt, IPv6ExtHdrRouting]), max_size=3, unique=True),
    data=st.data(),
)
def test_what_an_ipv6_source_cuts_comes_together_again(
    payload: bytes, mtu: int, head: list[type[ScapyPacket]], data: st.DataObject
) -> None:
    """RFC 8200 4.5: in any order, with a piece doubled, the packet is byte for byte the same, for us and for scapy."""
    built6 = IPv6(src=HERE, dst=THERE)
    for header in sorted(head, key=[IPv6ExtHdrHopByHop, IPv6ExtHdrDestOpt, IPv6ExtHdrRouting].index):
        built6 /= header()
    frame = bytes(built6 / UDP() / Raw(payload))
    pkt = received(frame, Namespace().lan)
    if len(pkt) <= mtu:
        return
    pieces = [received(piece.data(), Namespace().lan) for piece in fragment6(Ip(), pkt, mtu)]
    assert all(len(piece) <= mtu and piece.flags & FRAGMENT for piece in pieces)
    assert bytes(defragment6([IPv6(piece.data()) for piece in pieces])) == frame
    order = data.draw(st.permutations(pieces))
    twice = data.draw(st.sampled_from(order[:-1]))
    table = reassembler(codec=IPV6)
    for piece in order[:-1]:
        assert give6(table, piece) == QUEUED
    assert give6(table, twice.copy()) == DropReason.DUP_FRAG
    whole = give6(table, order[-1])
    assert whole.data() == frame
    assert destination_input(Ip(), whole) == (0, -1, 0)
    assert (whole.proto, bytes(whole.buf[whole.l4 + 8 : whole.end])) == (17, payload)
    assert (table.held, table.memory, table.take_absorbed()) == (0, 0, len(pieces) - 1)


@settings(max_examples=60)
@given(payload=PAYLOADS, mtu=MTUS, options=OPTIONS)
def test_scapy_puts_our_fragments_together(payload: bytes, mtu: int, options: list[object]) -> None:
    """An implementation that knows nothing of ours reads every piece, and gets the packet that we were given."""
    frame = built(payload, options)
    pieces = [IP(piece.data()) for piece in fragment(packet(frame), mtu)]
    for piece in pieces:
        told = piece.chksum
        del piece.chksum
        assert IP(bytes(piece)).chksum == told
    if len(pieces) > 1:
        (whole,) = defragment(pieces)
        assert (bytes(whole.payload), whole.options, whole.id) == (payload, IP(frame).options, 7)


@settings(max_examples=60)
@given(payload=PAYLOADS, size=st.integers(1, 180), data=st.data())
def test_we_put_scapy_s_fragments_together(payload: bytes, size: int, data: st.DataObject) -> None:
    """And the other way round."""
    frame = built(payload, [])
    pieces = [bytes(piece) for piece in scapy_fragment(IP(frame), fragsize=size * 8)]
    if len(pieces) > 1:
        table = reassembler()
        results = [give(table, packet(piece)) for piece in data.draw(st.permutations(pieces))]
        assert results[-1].data() == frame
        assert results[:-1] == [QUEUED] * (len(pieces) - 1)


class Twin:
    """One datagram as a dictionary from byte number to byte; every question is a scan of it."""

    def __init__(self) -> None:
        self.bytes: dict[int, int] = {}
        self.fragments: list[tuple[int, int, bool]] = []
        self.given_up = False

    def input(self, data: bytes, offset: int, more: bool) -> bytes | int:
        end = offset + len(data)
        if not data or (more and len(data) % 8) or 20 + end > 65535:
            return DropReason.FRAG_INVALID
        if self.given_up:
            return DropReason.FRAG_TOO_FAR
        for _, other_end, other_more in self.fragments:
            contradicts = (
                (more and not other_more and end >= other_end)
                or (not more and other_more and other_end >= end)
                or (not more and not other_more and end != other_end)
            )
            if contradicts:
                self.given_up = True
                return DropReason.FRAG_INVALID
        known = [n for n in range(offset, end) if n in self.bytes]
        if known:
            same = all(self.bytes.get(n) == data[n - offset] for n in range(offset, end))
            if same and (offset, end, more) in self.fragments:
                return DropReason.DUP_FRAG
            self.given_up = True
            return DropReason.FRAG_OVERLAP
        self.fragments.append((offset, end, more))
        self.bytes.update(zip(range(offset, end), data, strict=True))
        ends = [other_end for _, other_end, other_more in self.fragments if not other_more]
        if ends and sorted(self.bytes) == list(range(ends[0])):
            whole = bytes(self.bytes[n] for n in range(ends[0]))
            self.__init__()
            return whole
        return QUEUED


HOSTILE = st.tuples(
    st.integers(0, 6),  # offset in units of 8
    st.sampled_from([0, 3, 8, 8, 16, 16, 24]),  # bytes of data
    st.booleans(),
    st.sampled_from([0, 0, 0, 0, 1]),  # which of two contents
)


@pytest.mark.parametrize("family", [4, 6])
@settings(max_examples=500)
@given(steps=st.lists(HOSTILE, max_size=25))
def test_hostile_fragments_are_judged_as_by_the_twin(family: int, steps: list[tuple[int, int, bool, int]]) -> None:
    """Whatever comes, in whatever order: the same verdicts as a byte by byte account, and no packet unaccounted for."""
    table, twin = reassembler(codec=IPV4 if family == 4 else IPV6), Twin()
    given_in = out = 0
    for unit, size, more, content in steps:
        offset = unit * 8
        data = bytes((n + content) & 0xFF for n in range(offset, offset + size))
        if family == 4:
            header = IP(src="10.0.0.1", dst="10.0.0.2", id=7, proto=17, frag=unit, flags="MF" if more else "")
            verdict = give(table, packet(bytes(header / Raw(data))))
        else:
            header = IPv6(src=HERE, dst=THERE) / IPv6ExtHdrFragment(nh=17, id=7, offset=unit, m=int(more))
            verdict = give6(table, packet6(bytes(header / Raw(data))))
        wanted = twin.input(data, offset, more)
        if isinstance(verdict, Packet):
            assert verdict.data()[20 if family == 4 else 40 :] == wanted
            out += 1
        else:
            assert verdict == wanted
            out += verdict > 0
        given_in += 1
        out += len(table.actions) + table.take_absorbed()
        table.actions.clear()
        assert given_in == out + table.held
    table.purge()
    assert given_in == out + len(table.actions)
    assert (table.held, table.memory, len(table)) == (0, 0, 0)


@settings(max_examples=100)
@given(
    steps=st.lists(st.tuples(st.integers(0, 5), st.integers(0, 10), st.booleans()), max_size=60),
    limit=st.integers(0, 8000),
)
def test_memory_stays_within_its_bound(steps: list[tuple[int, int, bool]], limit: int) -> None:
    """net.ipv4.ipfrag_high_thresh holds after every step, and packets held are packets that somebody gave."""
    table = reassembler(limit)
    for ident, unit, more in steps:
        pkt = packet(built(bytes(8), []))
        table.input((ident,), pkt, unit * 8, more, 0)
        assert table.memory <= limit
        assert table.held == sum(len(queue.packets) for queue in table._queues.values())
        assert table.memory == sum(queue.memory for queue in table._queues.values())
