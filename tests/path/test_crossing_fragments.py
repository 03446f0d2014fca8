"""Fragments that crossed namespaces: pieces of different senders never make one datagram.

red and green have the same addresses; both reach ``shared`` by ``hub``, or directly.
"""

from __future__ import annotations

from typing import Any

from tests.path.bed import Bed
from vrouter.stack.netns import Netns
from vrouter.testing import frames

PIECES = 3


def tenant(bed: Bed, name: str, via: str) -> Any:
    """A namespace with a station 10.0.1.2 whose packets to 10.9.0.0/16 cross into `via`."""
    ns = router(bed, name)
    station = bed.station(ns, "lan", "10.0.1.1/24", "10.0.1.2")
    ns.add_route("10.9.0.0/16", netns=via, now=bed.now)
    return station


def router(bed: Bed, name: str, accept: tuple[str, ...] = ()) -> Netns:
    """A namespace that forwards."""
    ns = bed.stack.add_netns(name, accept_from=accept, now=bed.now)
    ns.sysctl["net.ipv4.ip_forward"] = 1
    return ns


def datagram(fill: bytes) -> list[bytes]:
    """The pieces of a datagram to ``shared``; all datagrams have the same identification."""
    return frames.fragments(frames.ipv4_udp("10.0.1.2", "10.9.0.1", 1000, 7, fill * 1400, ident=5), 576)


def test_two_crossings_do_not_mix_their_senders(empty: Bed) -> None:
    """Nothing is shared: the whole way counts, not the last namespace on it."""
    shared = router(empty, "shared", ("hub",))
    hub = router(empty, "hub", ("red", "green"))
    hub.add_route("10.9.0.0/16", netns="shared", now=empty.now)
    red, green = tenant(empty, "red", "hub"), tenant(empty, "green", "hub")
    shared.add_address("lo", "10.9.0.1/32", now=empty.now)
    sock = empty.udp(7, ns=shared)
    ours, theirs = datagram(b"R"), datagram(b"G")
    assert len(ours) == PIECES
    red.send(ours[0])
    for piece in theirs[1:]:
        green.send(piece)
    assert empty.received(sock) == []
    green.send(theirs[0])
    for piece in ours[1:]:
        red.send(piece)
    assert sorted(empty.received(sock)) == [b"G" * 1400, b"R" * 1400]


def test_a_namespace_does_not_finish_what_its_predecessor_began(empty: Bed) -> None:
    """A name is not an identity: what a removed namespace sent is not completed by one that is called the same."""
    shared = router(empty, "shared", ("red",))
    shared.add_address("lo", "10.9.0.1/32", now=empty.now)
    sock = empty.udp(7, ns=shared)
    pieces = datagram(b"x")
    tenant(empty, "red", "shared").send(pieces[0])
    empty.stack.remove_netns("red", now=empty.now)
    successor = tenant(empty, "red", "shared")
    for piece in pieces[1:]:
        successor.send(piece)
    assert empty.received(sock) == []
    successor.send(pieces[0])
    assert empty.received(sock) == [b"x" * 1400]
