"""The five places where functions hang on a packet's way, in order of priority, and what their verdicts do.

a 10.0.1.2 ── 10.0.1.1 r 10.0.2.1 ── 10.0.2.2 b
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from tests.path.bed import Bed
from vrouter.stack.base.drop import DropReason
from vrouter.stack.hooks import hooks as hook
from vrouter.stack.netns import Netns
from vrouter.testing import frames, match

Log = list[str]


def logging(log: Log, word: str, verdict: int = 0) -> Callable[[Netns, Any, int], int]:
    """A hook function that writes a word and gives a verdict."""

    def function(ns: Netns, pkt: Any, now: int) -> int:
        log.append(word)
        return verdict

    return function


def hooked(bed: Bed, log: Log) -> hook.Hooks:
    """r with a logging function at each place."""
    hooks = bed.r.hooks = hook.Hooks()
    for number, name in enumerate(hook.HOOK_NAMES):
        hooks.register(number, 0, logging(log, name))
    return hooks


def forwarded(bed: Bed) -> None:
    """A packet from a to b."""
    bed.a.send(frames.ipv4_udp("10.0.1.2", "10.0.2.2", 1, 7, b"x"))


def delivered(bed: Bed) -> None:
    """A packet from a to r."""
    bed.a.send(frames.ipv4_udp("10.0.1.2", "10.0.1.1", 1, 7, b"x"))


def originated(bed: Bed) -> None:
    """A packet from r to b."""
    sock = bed.udp()
    sock.sendto(b"x", ("10.0.2.2", 7), now=bed.now)
    sock.close(now=bed.now)


WAYS = [
    (forwarded, ["prerouting", "forward", "postrouting"]),
    (delivered, ["prerouting", "input"]),
    (originated, ["output", "postrouting"]),
]


@pytest.mark.parametrize(("way", "places"), WAYS)
def test_the_places_of_each_way(bed: Bed, way: Callable[[Bed], None], places: list[str]) -> None:
    """netfilter's order: PREROUTING, then INPUT or FORWARD and POSTROUTING; OUTPUT and POSTROUTING for local ones."""
    bed.udp(7)
    log: Log = []
    hooked(bed, log)
    way(bed)
    assert log == places


def test_a_packet_around_lo_passes_all_but_forward(bed: Bed) -> None:
    """netfilter: out through OUTPUT and POSTROUTING, in through PREROUTING and INPUT."""
    bed.udp(7)
    log: Log = []
    hooked(bed, log)
    bed.udp().sendto(b"x", ("10.0.1.1", 7), now=bed.now)
    assert log == ["output", "postrouting", "prerouting", "input"]


def test_answers_of_the_stack_pass_output(bed: Bed) -> None:
    """RFC 1812 4.3: an ICMP message made here is a packet made here."""
    log: Log = []
    hooked(bed, log)
    bed.a.send(frames.ipv4_echo("10.0.1.2", "10.0.1.1"))
    bed.a.send(frames.ipv4_udp("10.0.1.2", "10.0.2.2", 1, 7, ttl=1))
    assert log == ["prerouting", "input", "output", "postrouting", "prerouting", "output", "postrouting"]


@pytest.mark.parametrize(
    ("place", "way", "stats"),
    [
        (hook.PREROUTING, forwarded, {"rx": 1, "IpInReceives": 1}),
        (hook.FORWARD, forwarded, {"rx": 1, "IpInReceives": 1}),
        (hook.POSTROUTING, forwarded, {"rx": 1, "IpInReceives": 1, "IpForwDatagrams": 1}),
        (hook.PREROUTING, delivered, {"rx": 1, "IpInReceives": 1}),
        (hook.INPUT, delivered, {"rx": 1, "IpInReceives": 1}),
        (hook.OUTPUT, originated, {"IpOutRequests": 1, "UdpOutDatagrams": 1}),
        (hook.POSTROUTING, originated, {"IpOutRequests": 1, "UdpOutDatagrams": 1}),
    ],
)
def test_a_verdict_ends_the_way(bed: Bed, place: int, way: Callable[[Bed], None], stats: dict[str, int]) -> None:
    """The reason that a function returns is the packet's drop reason, silently, and later places are
    spared."""
    sock = bed.udp(7)
    log: Log = []
    hooks = hooked(bed, log)
    hooks.register(place, 1, logging(log, "refused", DropReason.ROUTE_PROHIBIT))
    hooks.register(place, 2, logging(log, "never"))
    with bed.expect(drops={DropReason.ROUTE_PROHIBIT: 1}, **stats):
        way(bed)
    assert log[-1] == "refused"
    assert bed.received(sock) == []
    assert bed.a.received == bed.b.received == []


def test_priorities_and_the_order_of_registration(bed: Bed) -> None:
    """netfilter: lower numbers first; of equal ones the earlier registered."""
    hooks = bed.r.hooks = hook.Hooks()
    log: Log = []
    for word, priority in (("filter", 0), ("srcnat", 100), ("conntrack", -200), ("filter2", 0), ("mangle", -150)):
        hooks.register(hook.FORWARD, priority, logging(log, word))
    forwarded(bed)
    assert log == ["conntrack", "mangle", "filter", "filter2", "srcnat"]


def test_a_function_can_be_taken_off(bed: Bed) -> None:
    """Registered and unregistered while packets flow; what does not hang there cannot be taken off."""
    hooks = bed.r.hooks = hook.Hooks()
    log: Log = []
    function = logging(log, "x", DropReason.ROUTE_PROHIBIT)
    hooks.register(hook.PREROUTING, 0, function)
    forwarded(bed)
    hooks.unregister(hook.PREROUTING, function)
    forwarded(bed)
    assert (log, len(bed.b.received)) == (["x"], 1)
    with pytest.raises(ValueError, match="does not hang"):
        hooks.unregister(hook.PREROUTING, function)


def test_what_a_function_sees(bed: Bed) -> None:
    """At FORWARD a packet has both its devices, and the TTL has fallen; at POSTROUTING it is whole, before
    fragments."""
    bed.r.set_device("b", mtu=600, now=bed.now)
    seen: list[tuple[str, str, int, int]] = []

    def see(ns: Netns, pkt: Any, now: int) -> int:
        seen.append((pkt.iif.name, pkt.oif.name, pkt.buf[pkt.l3 + 8], len(pkt)))
        return 0

    hooks = bed.r.hooks = hook.Hooks()
    hooks.register(hook.FORWARD, 0, see)
    hooks.register(hook.POSTROUTING, 0, see)
    bed.a.send(frames.ipv4_udp("10.0.1.2", "10.0.2.2", 1, 7, bytes(1000), ttl=9))
    assert seen == [("a", "b", 8, 1028), ("a", "b", 8, 1028)]
    assert len(bed.b.received) == 2


def test_reassembly_stands_before_input(bed: Bed) -> None:
    """INPUT sees whole datagrams; PREROUTING the fragments (until connection tracking)."""
    bed.udp(7)
    log: Log = []
    hooked(bed, log)
    for part in frames.fragments(frames.ipv4_udp("10.0.1.2", "10.0.1.1", 1, 7, bytes(2000), ident=3), 1500):
        bed.a.send(part)
    assert log == ["prerouting", "prerouting", "input"]


def test_other_namespaces_are_not_hooked(bed: Bed) -> None:
    """Hooks are a namespace's own."""
    log: Log = []
    hooked(bed, log)
    other = bed.stack.add_netns("other")
    station = bed.station(other, "a", "10.0.1.1/24", "10.0.1.2")
    bed.settle()
    station.send(frames.ipv4_echo("10.0.1.2", "10.0.1.1"))
    assert log == []
    assert station.received == [match.icmp4(type=0)]
