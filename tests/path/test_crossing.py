"""The route short-cut: a packet that goes on at the routing decision of another namespace.

::

    a 10.0.1.2 ── 10.0.1.1 red ══ netns blue ══ blue 10.9.0.1 ── 10.9.0.2 z

red routes 10.9.0.0/16 into blue, blue routes 10.0.1.0/24 into red, and each accepts the other.
"""

from __future__ import annotations

import errno
from collections.abc import Iterator
from typing import Any

import pytest

from tests.path.bed import Bed, Station
from vrouter.stack.base.counters import Stat
from vrouter.stack.base.drop import DropReason
from vrouter.stack.hooks import hooks as hook
from vrouter.stack.netns import Netns
from vrouter.testing import frames, match

OUT = {"IpInReceives": 1, "AcctCrossedOut": 1}
IN = {"AcctCrossedIn": 1, "IpForwDatagrams": 1}


class Pair:
    """red and blue, and the stations at their wires."""

    def __init__(self) -> None:
        self.bed = bed = Bed()
        self.red = self._ns("red")
        self.blue = self._ns("blue")
        self.a: Station = bed.station(self.red, "lan", "10.0.1.1/24", "10.0.1.2")
        self.z: Station = bed.station(self.blue, "lan", "10.9.0.1/24", "10.9.0.2")
        self.red.add_route("10.9.0.0/16", netns="blue")
        self.blue.add_route("10.0.1.0/24", netns="red")
        self.red.accept_from = frozenset(["blue"])
        self.blue.accept_from = frozenset(["red"])
        bed.settle()

    def _ns(self, name: str) -> Netns:
        ns = self.bed.stack.add_netns(name)
        ns.sysctl["net.ipv4.ip_forward"] = 1
        return ns

    def send(self, dst: str = "10.9.0.2", payload: bytes = b"x", **header: Any) -> bytes:
        """A datagram from a."""
        return self.a.send(frames.ipv4_udp("10.0.1.2", dst, 1000, 7, payload, **header))

    def row(self, source: str, target: str) -> dict[str, Any]:
        """The row of ``show crossings``."""
        return next(row for row in self.bed.stack.crossings() if (row["from"], row["to"]) == (source, target))


@pytest.fixture
def pair() -> Iterator[Pair]:
    """red and blue."""
    found = Pair()
    yield found
    found.bed.close()


def hook_log(ns: Netns, log: list[tuple[str, str, str]]) -> None:
    """Write down which hooks of `ns` run, with the packet's iif."""

    def note(name: str) -> Any:
        def function(ns: Netns, pkt: Any, now: int) -> int:
            log.append((ns.name, name, "" if pkt.iif is None else pkt.iif.name))
            return 0

        return function

    ns.hooks = hook.Hooks()
    for number, name in enumerate(hook.HOOK_NAMES):
        ns.hooks.register(number, 0, note(name))


def test_an_accepted_packet_arrives(pair: Pair) -> None:
    """Forwarded in the target alone, so TTL falls once; the crossing is one transmit and one receive."""
    with pair.bed.expect(pair.red, rx=1, **OUT), pair.bed.expect(pair.blue, tx=1, **IN):
        sent = pair.send(ttl=64)
    assert pair.z.received == [match.udp(src="10.0.1.2", dst="10.9.0.2", ttl=63, eth_dst=pair.z.mac)]
    row = pair.row("red", "blue")
    assert (row["kind"], row["accepted"], row["packets"], row["bytes"], row["denied"]) == (
        "route",
        True,
        1,
        len(sent),
        0,
    )


def test_the_way_back_is_a_crossing_of_its_own(pair: Pair) -> None:
    """Each direction is declared for itself."""
    with pair.bed.expect(pair.blue, rx=1, **OUT), pair.bed.expect(pair.red, tx=1, **IN):
        pair.z.send(frames.ipv4_udp("10.9.0.2", "10.0.1.2", 7, 1000, b"back"))
    assert pair.a.received == [match.udp(src="10.9.0.2", payload=b"back", ttl=63)]
    pair.red.accept_from = frozenset()
    with pair.bed.expect(
        pair.blue,
        rx=1,
        tx=1,
        drops={DropReason.CROSSING_DENIED: 1},
        IpInReceives=1,
        IpOutRequests=1,
        IcmpOutMsgs=1,
        IcmpOutDestUnreachs=1,
    ):
        pair.z.send(frames.ipv4_udp("10.9.0.2", "10.0.1.2", 7, 1000, b"back"))
    pair.send()
    assert pair.z.received == [match.icmp4(type=3, code=13), match.udp(dst="10.9.0.2")]


@pytest.mark.parametrize("how", ["not accepted", "other names", "removed"])
def test_a_denied_packet_is_answered_and_counted_at_the_source(pair: Pair, how: str) -> None:
    """RFC 1812 5.2.7.1: communication administratively prohibited, code 13; nothing reaches the target."""
    if how == "removed":
        pair.bed.stack.remove_netns("blue", now=pair.bed.now)
    else:
        pair.blue.accept_from = frozenset(["green", "re", "redd"] if how == "other names" else [])
    with pair.bed.expect(
        pair.red,
        rx=1,
        tx=1,
        drops={DropReason.CROSSING_DENIED: 1},
        IpInReceives=1,
        IpOutRequests=1,
        IcmpOutMsgs=1,
        IcmpOutDestUnreachs=1,
    ):
        sent = pair.send()
    assert pair.a.received == [match.icmp4(type=3, code=13, src="10.0.1.1", payload=sent)]
    assert pair.z.received == []
    row = pair.row("red", "blue")
    assert (row["accepted"], row["packets"], row["denied"]) == (False, 0, 1)


def test_anybody_may_be_accepted(pair: Pair) -> None:
    """accept_from = ["*"]."""
    pair.blue.accept_from = frozenset(["*"])
    pair.send()
    assert pair.z.received == [match.udp(dst="10.9.0.2")]


def test_a_target_that_comes_back(pair: Pair) -> None:
    """The short-cut is by name: denied while the target is away, open again with the one that accepts."""
    stack = pair.bed.stack
    stack.remove_netns("blue", now=pair.bed.now)
    pair.send()
    blue = stack.add_netns("blue", accept_from=["red"], now=pair.bed.now)
    sock = pair.bed.udp(7, ns=blue, address="0.0.0.0")
    blue.add_address(blue.lo, "10.9.9.9/32", now=pair.bed.now)
    pair.send("10.9.9.9")
    assert pair.bed.received(sock) == [b"x"]
    assert pair.row("red", "blue")["denied"] == 1


def test_an_unknown_target_is_refused(pair: Pair) -> None:
    """No namespace is implicit."""
    with pytest.raises(FileNotFoundError):
        pair.red.add_route("192.0.2.0/24", netns="green")


def test_which_hooks_run(pair: Pair) -> None:
    """PREROUTING in the source, neither FORWARD nor POSTROUTING; in the target FORWARD and POSTROUTING."""
    log: list[tuple[str, str, str]] = []
    hook_log(pair.red, log)
    hook_log(pair.blue, log)
    pair.send()
    assert log == [("red", "prerouting", "lan"), ("blue", "forward", "@red"), ("blue", "postrouting", "@red")]
    log.clear()
    pair.send("10.9.0.1")
    assert log[:2] == [("red", "prerouting", "lan"), ("blue", "input", "@red")]


def test_which_hooks_run_for_a_local_packet(pair: Pair) -> None:
    """OUTPUT in the source, not its POSTROUTING."""
    log: list[tuple[str, str, str]] = []
    hook_log(pair.red, log)
    hook_log(pair.blue, log)
    pair.bed.udp(ns=pair.red).sendto(b"x", ("10.9.0.2", 7), now=pair.bed.now)
    assert log == [("red", "output", ""), ("blue", "forward", "@red"), ("blue", "postrouting", "@red")]


@pytest.mark.parametrize("ttl", [0, 1])
def test_the_crossing_is_no_hop(pair: Pair, ttl: int) -> None:
    """RFC 1812 5.3.1: TTL 1 suffices to reach the target itself, which takes none."""
    sock = pair.bed.udp(7, ns=pair.blue)
    with (
        pair.bed.expect(pair.red, rx=1, **OUT),
        pair.bed.expect(pair.blue, AcctCrossedIn=1, IpInDelivers=1, UdpInDatagrams=1),
    ):
        pair.send("10.9.0.1", ttl=ttl)
    assert pair.bed.received(sock) == [b"x"]


def test_an_error_made_in_the_target_is_routed_by_the_target(pair: Pair) -> None:
    """Blue answers from an address of its own, by its own route back, which is a crossing again."""
    sent = pair.send(ttl=1)
    assert pair.a.received == [match.icmp4(type=11, code=0, src="10.9.0.1", dst="10.0.1.2", payload=sent, ttl=63)]
    pair.blue.del_route("10.0.1.0/24")
    with (
        pair.bed.expect(pair.red, rx=1, **OUT),
        pair.bed.expect(
            pair.blue,
            drops={DropReason.TTL_EXPIRED: 1, DropReason.IP_OUTNOROUTES: 1},
            AcctCrossedIn=1,
        ),
    ):
        pair.send(ttl=1)


def test_a_port_that_nobody_has_in_the_target(pair: Pair) -> None:
    """Delivery in the target is like any other: port unreachable from the address asked."""
    sent = pair.send("10.9.0.1")
    assert pair.a.received == [match.icmp4(type=3, code=3, src="10.9.0.1", payload=sent)]


def test_forwarding_must_be_on_in_the_source(pair: Pair) -> None:
    """Who does not forward does not pass strangers' packets on, to a namespace neither."""
    pair.red.sysctl["net.ipv4.ip_forward"] = 0
    with pair.bed.expect(pair.red, rx=1, drops={DropReason.FORWARDING_DISABLED: 1}, IpInReceives=1):
        pair.send()
    pair.bed.udp(ns=pair.red).sendto(b"local", ("10.9.0.2", 7), now=pair.bed.now)
    assert pair.z.received == [match.udp(payload=b"local", ttl=63)]


def test_forwarding_must_be_on_in_the_target(pair: Pair) -> None:
    """And the target forwards it only if it is a router; what is for itself it takes."""
    pair.blue.sysctl["net.ipv4.ip_forward"] = 0
    with (
        pair.bed.expect(pair.red, rx=1, **OUT),
        pair.bed.expect(pair.blue, drops={DropReason.FORWARDING_DISABLED: 1}, AcctCrossedIn=1),
    ):
        pair.send()
    sock = pair.bed.udp(7, ns=pair.blue)
    pair.send("10.9.0.1")
    assert pair.bed.received(sock) == [b"x"]


def test_no_reverse_path_check_in_the_target(pair: Pair) -> None:
    """Blue has a strict filter and no route to the sender, and takes the packet."""
    pair.blue.sysctl["net.ipv4.conf.all.rp_filter"] = 1
    pair.blue.del_route("10.0.1.0/24")
    pair.send()
    assert pair.z.received == [match.udp(src="10.0.1.2")]


def test_a_loop_ends_after_eight_crossings(pair: Pair) -> None:
    """TTL does not fall on the way, so the crossings themselves are counted."""
    pair.red.add_route("192.0.2.0/24", netns="blue")
    pair.blue.add_route("192.0.2.0/24", netns="red")
    with pair.bed.expect(
        pair.red,
        rx=1,
        drops={DropReason.CROSSING_LOOP: 1},
        IpInReceives=1,
        AcctCrossedOut=4,
        AcctCrossedIn=4,
    ):
        pair.send("192.0.2.1")
    assert pair.a.received == []
    assert pair.row("red", "blue")["packets"] + pair.row("blue", "red")["packets"] == 8


def test_eight_crossings_are_allowed(empty: Bed) -> None:
    """At most 8 times; a chain of nine namespaces is passed, one of ten is not."""
    names = [f"n{i}" for i in range(10)]
    spaces = [empty.stack.add_netns(name, accept_from=["*"]) for name in names]
    for ns, following in zip(spaces, names[1:], strict=False):
        ns.sysctl["net.ipv4.ip_forward"] = 1
        ns.add_route("default", netns=following)
    spaces[8].add_address("lo", "10.8.8.8/32")
    spaces[9].add_address("lo", "10.9.9.9/32")
    sock = empty.udp(7, ns=spaces[8])
    sender = empty.udp(ns=spaces[0])
    spaces[0].add_address("lo", "10.0.0.1/32")
    sender.sendto(b"eight", ("10.8.8.8", 7), now=0)
    assert empty.received(sock) == [b"eight"]
    sender.sendto(b"nine", ("10.9.9.9", 7), now=0)
    assert spaces[8].drop_counts() == {"CROSSING_LOOP": 1}


# -- sockets ----------------------------------------------------------------------------------------------------------


def test_sockets_talk_across(pair: Pair) -> None:
    """A socket of red and a socket of blue, each by its own namespace's routes."""
    here, there = pair.bed.udp(5000, ns=pair.red), pair.bed.udp(7, ns=pair.blue)
    with (
        pair.bed.expect(pair.red, IpOutRequests=1, UdpOutDatagrams=1, AcctCrossedOut=1),
        pair.bed.expect(pair.blue, IpInDelivers=1, UdpInDatagrams=1, AcctCrossedIn=1),
    ):
        here.sendto(b"ping", ("10.9.0.1", 7), now=pair.bed.now)
    data, name = there.recvfrom(99, now=pair.bed.now)
    assert (data, name) == (b"ping", ("10.0.1.1", 5000))
    there.sendto(b"pong", name, now=pair.bed.now)
    assert here.recvfrom(99, now=pair.bed.now) == (b"pong", ("10.9.0.1", 7))


def test_a_socket_is_told_at_once_that_it_is_denied(pair: Pair) -> None:
    """A local sender gets the errno of "administratively prohibited", and the crossing counts it."""
    pair.blue.accept_from = frozenset()
    sock = pair.bed.udp(ns=pair.red)
    with pair.bed.expect(pair.red), pytest.raises(PermissionError) as caught:
        sock.connect(("10.9.0.1", 7), now=pair.bed.now)  # a question is no packet
    assert caught.value.errno == errno.EACCES
    with pair.bed.expect(pair.red, drops={DropReason.CROSSING_DENIED: 1}), pytest.raises(PermissionError):
        sock.sendto(b"x", ("10.9.0.1", 7), now=pair.bed.now)
    assert pair.row("red", "blue")["denied"] == 1


def test_a_source_to_which_an_answer_would_be_a_broadcast_is_refused_by_the_target(pair: Pair) -> None:
    """RFC 1812 5.3.7: the address filter is not skipped: nobody smurfs the target's wire through a short-cut."""
    for src in ("10.9.0.255", "10.9.0.0"):
        with pair.bed.expect(pair.blue, drops={DropReason.IP_INVALID_SOURCE: 1}, AcctCrossedIn=1):
            pair.a.send(frames.ipv4_echo(src, "10.9.0.1", 1, 1, b"x"))
    assert pair.z.received == []


def test_the_number_of_the_target_s_network_is_nobody(pair: Pair) -> None:
    """RFC 1812 4.2.3.1: {prefix, 0} is a destination in no namespace."""
    with pair.bed.expect(pair.blue, drops={DropReason.IP_INVALID_DEST: 1}, AcctCrossedIn=1):
        pair.send("10.9.0.0")
    assert pair.z.arp == []


def test_a_router_with_the_target_s_own_address_can_report_errors(pair: Pair) -> None:
    """Deviation from RFC 1812 5.3.7: tenants with one subnet have equal routers, whose errors must get through."""
    pair.bed.stack.namespaces["blue"].add_address("lo", "10.0.1.1/32", now=pair.bed.now)
    sock = pair.bed.udp(7, ns=pair.blue)
    pair.red.accept_from = frozenset()
    pair.bed.udp(9, ns=pair.red, address="10.0.1.1").sendto(b"x", ("10.9.0.1", 7), now=pair.bed.now)
    assert pair.bed.received(sock) == [b"x"]


def test_link_local_does_not_cross(pair: Pair) -> None:
    """RFC 3927 7: another namespace is another link."""
    pair.red.add_route("169.254.0.0/16", netns="blue", now=pair.bed.now)
    with pair.bed.expect(pair.red, rx=1, drops={DropReason.FORWARD_LINK_LOCAL: 1}, IpInReceives=1):
        pair.send("169.254.7.7")


def test_pieces_of_two_namespaces_never_meet(pair: Pair) -> None:
    """Two tenants with the same addresses cross into one namespace: each datagram is put together of its own pieces."""
    green = pair.bed.stack.add_netns("green", now=pair.bed.now)
    green.sysctl["net.ipv4.ip_forward"] = 1
    g = pair.bed.station(green, "lan", "10.0.1.1/24", "10.0.1.2")
    green.add_route("10.9.0.0/16", netns="blue", now=pair.bed.now)
    pair.blue.accept_from = frozenset(["red", "green"])
    sock = pair.bed.udp(7, ns=pair.blue)
    red, other = (
        frames.fragments(frames.ipv4_udp("10.0.1.2", "10.9.0.1", 1000, 7, fill * 1000, ident=5), 576)
        for fill in (b"R", b"G")
    )
    pair.a.send(red[0])
    g.send(other[1])
    assert pair.bed.received(sock) == []
    pair.a.send(red[1])
    g.send(other[0])
    assert pair.bed.received(sock) == [b"R" * 1000, b"G" * 1000]


# -- sizes ------------------------------------------------------------------------------------------------------------


def test_fragments_cross_one_by_one(pair: Pair) -> None:
    """RFC 1812 5.2.6: no reassembly on the way; the target puts together what is for itself."""
    sock = pair.bed.udp(7, ns=pair.blue)
    data = bytes(3000)
    for dst in ("10.9.0.1", "10.9.0.2"):
        for part in frames.fragments(frames.ipv4_udp("10.0.1.2", dst, 1, 7, data, ident=5), 1500):
            pair.a.send(part)
    assert pair.bed.received(sock) == [data]
    assert [frame[20] & 0x20 for frame in pair.z.received] == [0x20, 0x20, 0]


def test_the_target_cuts_to_its_own_mtu(pair: Pair) -> None:
    """The crossing has no MTU; FORWARD in the target does, with fragments, or with code 4 and its MTU."""
    pair.blue.set_device("lan", mtu=600, now=pair.bed.now)
    with (
        pair.bed.expect(pair.red, rx=1, **OUT),
        pair.bed.expect(pair.blue, tx=3, IpFragOKs=1, IpFragCreates=3, **IN),
    ):
        pair.send(payload=bytes(1400))
    sent = pair.send(payload=bytes(1400), df=True)
    assert pair.a.received == [match.icmp4(type=3, code=4, rest=600, src="10.9.0.1", payload=sent[:548])]


def test_record_route_shows_the_way_out_of_the_target(pair: Pair) -> None:
    """RFC 1812 4.2.2.2: the address of the interface by which the packet leaves, which is blue's."""
    pair.send(options=bytes((7, 7, 4, 0, 0, 0, 0)))
    assert pair.z.received == [match.udp(options=bytes((7, 7, 8, 10, 9, 0, 1, 0)))]


# -- the rest ---------------------------------------------------------------------------------------------------------


def test_drops_in_the_target_are_the_targets(pair: Pair) -> None:
    """A packet that came by a crossing has no device there; it is counted at the namespace."""
    with (
        pair.bed.expect(pair.red, rx=1, tx=1, **OUT | IN),
        pair.bed.expect(
            pair.blue,
            drops={DropReason.IP_INNOROUTES: 1},
            AcctCrossedIn=1,
            AcctCrossedOut=1,
            IpOutRequests=1,
            IcmpOutMsgs=1,
            IcmpOutDestUnreachs=1,
        ),
    ):
        pair.send("10.9.77.1")
    assert pair.blue.drops[DropReason.IP_INNOROUTES] == 1
    assert pair.blue.stats[Stat.AcctCrossedIn] == 1


def test_no_redirect_about_a_crossing(pair: Pair) -> None:
    """RFC 1812 5.2.7.2: only for what leaves by the device it came in by; a crossing is none."""
    pair.red.add_route("192.0.2.0/24", netns="blue")
    pair.blue.add_route("192.0.2.0/24", via="10.9.0.2")
    pair.send("192.0.2.1")
    assert pair.a.received == []


def test_a_route_that_goes_takes_the_crossing_along(pair: Pair) -> None:
    """Shown while it is declared."""
    pair.red.del_route("10.9.0.0/16", netns="blue")
    assert [(row["from"], row["to"]) for row in pair.bed.stack.crossings()] == [("blue", "red")]
    with pair.bed.expect(
        pair.red,
        rx=1,
        tx=1,
        drops={DropReason.IP_INNOROUTES: 1},
        IpInReceives=1,
        IpOutRequests=1,
        IcmpOutMsgs=1,
        IcmpOutDestUnreachs=1,
    ):
        pair.send()


def test_marks_and_flags_stay_behind(pair: Pair) -> None:
    """What a hook of the source wrote on the packet means nothing in the target."""
    seen: list[tuple[int, Any]] = []

    def mark(ns: Netns, pkt: Any, now: int) -> int:
        pkt.mark = 77
        return 0

    def see(ns: Netns, pkt: Any, now: int) -> int:
        seen.append((pkt.mark, pkt.ct))
        return 0

    pair.red.hooks, pair.blue.hooks = hook.Hooks(), hook.Hooks()
    pair.red.hooks.register(hook.PREROUTING, 0, mark)
    pair.blue.hooks.register(hook.FORWARD, 0, see)
    pair.send()
    assert seen == [(0, None)]


def test_a_loose_filter_knows_sources_behind_a_short_cut(pair: Pair) -> None:
    """RFC 3704 2.4: loose mode asks whether there is a route to the source, whichever way it leads."""
    pair.blue.add_route("203.0.113.0/24", netns="red", now=pair.bed.now)
    pair.blue.sysctl["net.ipv4.conf.all.rp_filter"] = 2
    with pair.bed.expect(
        pair.blue,
        rx={"lan": 1},
        drops={DropReason.NO_SOCKET: 1},
        IpInReceives=1,
        IpInDelivers=1,
        UdpNoPorts=1,
        AcctCrossedOut=1,
        IcmpOutMsgs=1,
        IcmpOutDestUnreachs=1,
        IpOutRequests=1,
    ):
        pair.z.send(frames.ipv4_udp("203.0.113.5", "10.9.0.1", 1, 2, b"x"))
