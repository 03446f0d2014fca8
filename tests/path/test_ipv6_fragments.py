"""IPv6 fragments end to end: cut at the source alone, put together at the destination (RFC 8200 4.5, RFC 5722).

a ── r ── b, fd00:0:1::/64 and fd00:0:2::/64
"""

from __future__ import annotations

import itertools

import pytest

from vrouter.stack import DropReason
from vrouter.testing import Lab, frames, match

DATA = bytes(range(256)) * 12


def pieces(a, b, *, mtu: int = 1280, ident: int = 7) -> list[bytes]:
    """An echo request in fragments."""
    return frames.fragments6(frames.ipv6_echo(a, b, ident=9, payload=DATA), mtu, ident)


def test_a_large_datagram_is_cut_at_its_source(lab: Lab) -> None:
    """RFC 8200 5: for the link's MTU, in pieces of which all but the last are as large as can be; routers pass them."""
    a, r, b = lab.line("a", "r", "b")
    sink = b.udp(9, "::")
    a.udp(addr="::").send(DATA, b.addr6, 9)
    assert sink.recv().data == DATA
    assert [len(frame) - 14 for frame in a.sent] == [1496, 1496, 40 + 8 + 8 + 3072 - 2 * 1448]
    offsets = [(0, True), (1448, True), (2896, False)]
    assert a.sent == [match.ipv6(offset=offset, mf=mf, proto=frames.UDP) for offset, mf in offsets]
    assert r.counters.read().stats.get("Ip6FragCreates", 0) == 0
    stats = b.counters.read().stats
    assert (stats["Ip6ReasmReqds"], stats["Ip6ReasmOKs"]) == (3, 1)


def test_identifications_do_not_repeat(lab: Lab) -> None:
    """RFC 8200 4.5: each datagram has another one; what is sent to one destination tells nothing of those to another
    (RFC 7739 5.2)."""
    a, r, b = lab.line("a", "r", "b")
    port = a.udp(addr="::")
    for dst in (b.addr6, r.addr6_towards(a)):
        for _ in range(50):
            port.send(bytes(1500), dst, 9)
    lab.run_until_idle()
    idents = [int.from_bytes(frame[58:62], "big") for frame in a.sent if frame == match.ipv6(offset=0, mf=True)]
    assert len(set(idents)) == 100
    assert abs(idents[50] - idents[49]) > 50
    assert idents[0] > 0xFFFF


@pytest.mark.parametrize("order", list(itertools.permutations(range(3))))
def test_in_any_order(lab: Lab, order: tuple[int, ...]) -> None:
    """RFC 8200 4.5: the order of arrival does not matter."""
    a, _r, b = lab.line("a", "r", "b")
    parts = pieces(a, b)
    assert len(parts) == 3
    for number in order:
        a.send(parts[number])
    lab.run_until_idle()
    assert match.icmp6(type=128) not in a.received
    stats = b.counters.read().stats
    assert (stats["Ip6ReasmOKs"], stats["Icmp6InEchos"], stats["Icmp6OutEchoReplies"]) == (1, 1, 1)


def test_a_duplicate_changes_nothing(lab: Lab) -> None:
    """RFC 8200 4.5: an exact duplicate may be dropped alone; the datagram arrives."""
    a, _r, b = lab.line("a", "r", "b")
    first, second, third = pieces(a, b)
    for part in (first, second, second, third):
        a.send(part)
    lab.run_until_idle()
    assert b.counters.read().stats["Icmp6InEchos"] == 1
    assert b.counters.read().drops == {"DUP_FRAG": 1}


@pytest.mark.parametrize("late", [False, True])
def test_an_overlap_ends_the_datagram(lab: Lab, late: bool) -> None:
    """RFC 5722 4: all fragments are discarded in silence, also those that come later."""
    a, _r, b = lab.line("a", "r", "b")
    first, second, third = pieces(a, b)
    overlap = frames.ipv6(
        a, b, frames.FRAGMENT, frames.fragment_header(frames.ICMPV6, bytes(1232), offset=1224, more=True, ident=7)
    )
    for part in (first, second, overlap, third) if late else (first, overlap, second, third):
        a.send(part)
    lab.run_until_idle()
    assert "Icmp6InEchos" not in b.counters.read().stats
    assert sum(b.counters.read().drops.values()) == 4
    assert a.received == []


def test_what_stays_incomplete_is_told_after_a_minute(lab: Lab) -> None:
    """RFC 8200 4.5: 60 s after the first that came; Time Exceeded code 1 only when the first fragment is there."""
    a, _r, b = lab.line("a", "r", "b")
    first, _second, _third = pieces(a, b)
    a.send(first)
    a.send(pieces(a, b, ident=8)[1])
    lab.run_until_idle()
    assert lab.now == 60_000_000_000
    assert a.received == [match.icmp6(type=3, code=1, src=b.addr6, quotes=first)]
    assert b.counters.read().drops == {"FRAG_REASM_TIMEOUT": 2}


def test_the_same_identification_of_another_pair_is_another_datagram(lab: Lab) -> None:
    """RFC 8200 4.5: source, destination and identification tell datagrams apart."""
    a, _r, b = lab.line("a", "r", "b")
    a.ns.add_address("r", "fd00:0:1::22/64", now=lab.now)
    mine, other = pieces(a, b), pieces("fd00:0:1::22", b)
    for part in itertools.chain.from_iterable(zip(mine, other, strict=True)):
        a.send(part)
    lab.run_until_idle()
    assert b.counters.read().stats["Icmp6InEchos"] == 2


def test_a_router_passes_fragments_unread(lab: Lab) -> None:
    """RFC 8200 4.5, RFC 7112: routers put nothing together, and do not look behind the header."""
    a, r, b = lab.line("a", "r", "b")
    part = a.send(pieces(a, b)[1])
    with r.counters.expect(rx=1, tx=1, Ip6InReceives=1, Ip6OutForwDatagrams=1):
        lab.run_until_idle()
    assert b.received == [match.ipv6(src=a.addr6, offset=1232, hop_limit=63, payload=part[54:])]


def test_a_first_fragment_without_its_headers_is_refused(lab: Lab) -> None:
    """RFC 7112 5: the whole header chain is in the first one; code 3 of Parameter Problem."""
    a, _r, b = lab.line("a", "r", "b")
    cut = frames.destination_options(frames.UDP, b"", frames.option(1, bytes(12)))[:8]
    sent = a.send(
        frames.ipv6(a, b, frames.FRAGMENT, frames.fragment_header(frames.DSTOPTS, cut, offset=0, more=True, ident=1))
    )
    lab.run_until_idle()
    assert a.received == [match.icmp6(type=4, code=3, src=b.addr6, quotes=sent)]


def test_an_atomic_fragment_is_a_packet(lab: Lab) -> None:
    """RFC 6946 4: it does not meet other fragments of its identification."""
    a, _r, b = lab.line("a", "r", "b")
    a.send(pieces(a, b)[0])
    echo = frames.icmp6_echo(a, b, 77, 1, b"whole")
    a.send(frames.ipv6(a, b, frames.FRAGMENT, frames.fragment_header(frames.ICMPV6, echo, ident=7)))
    lab.run_for(1)
    assert a.received == [match.icmp6(type=129, ident=77)]


def test_memory_is_bounded(lab: Lab) -> None:
    """net.ipv6.ip6frag_high_thresh: what is over it is dropped, with a reason."""
    a, _r, b = lab.line("a", "r", "b")
    b.ns.sysctl["net.ipv6.ip6frag_high_thresh"] = 64 * 1024
    for ident in range(200):
        a.send(pieces(a, b, ident=ident)[0])
    lab.run_for(1)
    drops = b.counters.read().drops
    assert set(drops) == {DropReason.FRAG_MEM.name}
    assert drops["FRAG_MEM"] >= 150
