"""Reassembly of what is for us: RFC 791, RFC 815, RFC 1122 3.3.2, RFC 1812 4.3.3.4, RFC 5722.

a 10.0.1.2 ── 10.0.1.1 r
"""

from __future__ import annotations

import pytest

from tests.path.bed import Bed
from vrouter.stack.base.drop import DropReason
from vrouter.testing import frames, match

DATA = bytes(i * 11 & 255 for i in range(3000))
LIFE = 30


def pieces(data: bytes = DATA, mtu: int = 1500, ident: int = 7, **header: object) -> list[bytes]:
    """Fragments of a datagram from a to port 7 of r."""
    return frames.fragments(frames.ipv4_udp("10.0.1.2", "10.0.1.1", 1000, 7, data, ident=ident, **header), mtu)


def piece(offset: int, size: int, *, mf: bool = True, ident: int = 7, fill: int = 0, **header: object) -> bytes:
    """A fragment of bytes `fill`."""
    data = bytes([fill]) * size
    return frames.ipv4("10.0.1.2", "10.0.1.1", 17, data, offset=offset, mf=mf, ident=ident, **header)


@pytest.mark.parametrize("order", [(0, 1, 2), (2, 1, 0), (1, 2, 0), (1, 0, 2)])
def test_fragments_come_together_in_any_order(bed: Bed, order: tuple[int, ...]) -> None:
    """RFC 1122 3.3.2, RFC 815: delivered once, whole, when the last one is there."""
    sock = bed.udp(7)
    with bed.expect(
        rx=3,
        IpInReceives=3,
        IpReasmReqds=3,
        IpReasmOKs=1,
        IpInDelivers=1,
        UdpInDatagrams=1,
        AcctAbsorbed=2,
    ):
        parts = pieces()
        for at in order:
            bed.a.send(parts[at])
    assert bed.received(sock) == [DATA]
    assert bed.stack.poll_at() is None  # no timer is left


@pytest.mark.parametrize("size", [576 - 28, 65507])
def test_datagrams_of_up_to_the_protocols_limit(bed: Bed, size: int) -> None:
    """RFC 1122 3.3.2: at least 576 bytes; here all that the length field can say, and the socket gets it whole."""
    data = bytes(i * 13 & 255 for i in range(size))
    sock = bed.udp(7)
    for part in pieces(data, 68):
        bed.a.send(part)
    assert bed.received(sock) == [data]


def test_the_key_of_a_datagram(bed: Bed) -> None:
    """RFC 791 3.2: source, destination, protocol and identification: fragments of different ones never mix."""
    sock = bed.udp(7)
    first, last = pieces(bytes(2000))
    for other in (
        {"ident": 8},
        {"src": "10.0.1.3"},
        {"dst": "10.0.2.1"},
        {"proto": 1},
    ):
        fields = {"src": "10.0.1.2", "dst": "10.0.1.1", "proto": 17, "ident": 7} | other
        src, dst, proto, ident = (fields[name] for name in ("src", "dst", "proto", "ident"))
        bed.a.send(frames.ipv4(src, dst, proto, last[20:], ident=ident, offset=1480))
    bed.a.send(first)
    assert bed.received(sock) == []
    bed.a.send(last)
    assert bed.received(sock) == [bytes(2000)]
    assert bed.r.queued() == 4


def test_the_device_is_no_part_of_the_key(bed: Bed) -> None:
    """RFC 791 3.2, RFC 1122 3.3.2: fragments may come by different ways."""
    sock = bed.udp(7)
    first, last = pieces(bytes(2000))
    bed.a.send(first)
    bed.b.send(last)
    assert bed.received(sock) == [bytes(2000)]


def test_time_is_up_and_the_sender_is_told(bed: Bed) -> None:
    """RFC 1122 3.3.2, RFC 1812 4.3.3.4: a fixed time after the first; 11/1 when fragment zero is there, quoting it."""
    parts = pieces()
    with bed.expect(
        rx=2,
        tx=1,
        drops={DropReason.FRAG_REASM_TIMEOUT: 2},
        IpInReceives=2,
        IpReasmReqds=2,
        IpReasmFails=1,
        IpOutRequests=1,
        IcmpOutMsgs=1,
        IcmpOutTimeExcds=1,
    ):
        bed.a.send(parts[2])
        bed.run_for(LIFE - 1)
        bed.a.send(parts[0])  # does not prolong it
        bed.run_for(0.999)
        assert bed.r.drop_counts() == {}
        bed.run_for(0.001)
    assert bed.a.received == [match.icmp4(type=11, code=1, src="10.0.1.1", payload=parts[0][:548])]


def test_time_is_up_without_the_first_fragment(bed: Bed) -> None:
    """RFC 792, RFC 1122 3.3.2: without fragment zero nobody is told."""
    with bed.expect(rx=2, drops={DropReason.FRAG_REASM_TIMEOUT: 2}, IpInReceives=2, IpReasmReqds=2, IpReasmFails=1):
        for part in pieces()[1:]:
            bed.a.send(part)
        bed.run_until_idle()
    assert bed.a.received == []


def test_the_time_is_a_setting(bed: Bed) -> None:
    """RFC 1122 3.3.2: net.ipv4.ipfrag_time, in seconds, for datagrams that begin from then on."""
    bed.r.sysctl["net.ipv4.ipfrag_time"] = 90
    bed.a.send(pieces()[1])
    bed.run_for(89.9)
    assert bed.r.drop_counts() == {}
    bed.run_for(0.1)
    assert bed.r.drop_counts() == {"FRAG_REASM_TIMEOUT": 1}


def test_a_fragment_twice(bed: Bed) -> None:
    """RFC 815: an exact duplicate is dropped alone, the datagram is still delivered."""
    sock = bed.udp(7)
    first, middle, last = pieces()
    with bed.expect(
        rx=4,
        drops={DropReason.DUP_FRAG: 1},
        IpInReceives=4,
        IpReasmReqds=4,
        IpReasmOKs=1,
        IpInDelivers=1,
        UdpInDatagrams=1,
    ):
        for part in (first, middle, middle, last):
            bed.a.send(part)
    assert bed.received(sock) == [DATA]


@pytest.mark.parametrize(
    ("offset", "size", "fill"), [(0, 1480, 1), (8, 1480, 0), (1472, 1480, 0), (1480, 8, 0), (2952, 16, 0)]
)
def test_overlapping_fragments_end_their_datagram(bed: Bed, offset: int, size: int, fill: int) -> None:
    """RFC 5722 4 in spirit, RFC 1858, RFC 3128: all that came is dropped, silently, and what is still to come too."""
    sock = bed.udp(7)
    first, middle, last = pieces()
    with bed.expect(
        rx=5,
        drops={DropReason.FRAG_OVERLAP: 3, DropReason.FRAG_TOO_FAR: 2},
        IpInReceives=5,
        IpReasmReqds=5,
        IpReasmFails=1,
    ):
        for part in (first, middle, piece(offset, size, fill=fill), last, first):
            bed.a.send(part)
    assert bed.received(sock) == []
    assert bed.a.received == []
    bed.run_until_idle()  # after its time the same identification may be used again
    for part in pieces():
        bed.a.send(part)
    assert bed.received(sock) == [DATA]


@pytest.mark.parametrize(
    "bad",
    [
        {"offset": 8, "size": 0},
        {"offset": 0, "size": 12},
        {"offset": 65528, "size": 8, "mf": False},
        {"offset": 65520, "size": 1000, "mf": False},
    ],
    ids=["no data", "no multiple of eight", "one byte beyond", "far beyond"],
)
def test_fragments_that_cannot_be(bed: Bed, bad: dict[str, int]) -> None:
    """RFC 791 3.2: lengths and offsets that no sender makes; the datagram beyond 65,535 bytes above all."""
    asked = {} if bad["offset"] > 65000 else {"IpReasmReqds": 1}
    with bed.expect(rx=1, drops={DropReason.FRAG_INVALID: 1}, IpInReceives=1, **asked):
        bed.a.send(piece(**bad))
    assert bed.stack.poll_at() is None


def test_fragments_that_contradict_each_other(bed: Bed) -> None:
    """RFC 791 3.2: two ends of one datagram: it is given up."""
    with bed.expect(rx=2, drops={DropReason.FRAG_INVALID: 2}, IpInReceives=2, IpReasmReqds=2, IpReasmFails=1):
        bed.a.send(piece(1480, 100, mf=False))
        bed.a.send(piece(2960, 100, mf=False))


def test_memory_is_bounded_and_the_oldest_go(bed: Bed) -> None:
    """Net.ipv4.ipfrag_high_thresh bounds what strangers can make a namespace keep."""
    bed.r.sysctl["net.ipv4.ipfrag_high_thresh"] = 64 * 1024
    for ident in range(1, 201):
        bed.a.send(piece(0, 1480, ident=ident))
    assert bed.r.ip4.reassembler.memory <= 64 * 1024
    waiting = bed.r.queued()
    assert waiting + bed.r.drop_counts()["FRAG_MEM"] == 200
    sock = bed.udp(7)
    last = pieces(bytes(2000), ident=300)
    for part in last:
        bed.a.send(part)
    assert bed.received(sock) == [bytes(2000)]
    assert bed.r.drop_counts().keys() == {"FRAG_MEM"}


def test_reassembly_can_be_switched_off(bed: Bed) -> None:
    """Linux: ipfrag_high_thresh 0 takes no fragment at all."""
    bed.r.sysctl["net.ipv4.ipfrag_high_thresh"] = 0
    with bed.expect(rx=1, drops={DropReason.FRAG_MEM: 1}, IpInReceives=1, IpReasmReqds=1, IpReasmFails=1):
        bed.a.send(pieces()[0])


def test_ttl_of_fragments_for_us_does_not_matter(bed: Bed) -> None:
    """RFC 1812 4.2.2.9, RFC 1122 3.3.2: neither for delivery nor for the time that they wait."""
    sock = bed.udp(7)
    for part in pieces(ttl=1):
        bed.run_for(9)
        bed.a.send(part)
    assert bed.received(sock) == [DATA]


@pytest.mark.parametrize(("marks", "whole"), [((0, 0), 0), ((1, 1), 1), ((2, 2), 2), ((2, 3), 3), ((3, 1), 3)])
def test_congestion_marks_of_the_pieces(bed: Bed, marks: tuple[int, int], whole: int) -> None:
    """RFC 3168 5.3: one piece that experienced congestion marks the datagram."""
    seen: list[int] = []
    bed.udp(7)
    data = frames.udp("10.0.1.2", "10.0.1.1", 1, 99, bytes(1600))
    for at, mark in zip((0, 1480), marks, strict=True):
        bed.a.send(
            frames.ipv4("10.0.1.2", "10.0.1.1", 17, data[at : at + 1480], offset=at, mf=not at, tos=mark, ident=3)
        )
    seen += [frame[43] for frame in bed.a.received]  # quoted TOS in the port unreachable
    assert seen == [whole]


def test_each_namespace_has_its_own_fragments(bed: Bed) -> None:
    """Nothing is shared: halves that came into two namespaces never meet."""
    other = bed.stack.add_netns("other")
    twin = bed.station(other, "a", "10.0.1.1/24", "10.0.1.2")
    bed.settle()
    sock, second = bed.udp(7), bed.udp(7, ns=other)
    first, last = pieces(bytes(2000))
    bed.a.send(first)
    twin.send(last)
    assert (bed.received(sock), bed.received(second)) == ([], [])
    twin.send(first)
    assert (bed.received(sock), bed.received(second)) == ([], [bytes(2000)])
