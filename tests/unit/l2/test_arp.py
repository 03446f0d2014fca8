"""ARP: what is refused, answered, learned and asked (RFC 826, RFC 1122 2.3.2, RFC 1812 3.3.2, RFC 5227 2.5)."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.l2.bed import (
    LAN_MAC,
    MS,
    OTHER_MAC,
    PEER,
    PEER_MAC,
    ROUTER,
    SECOND,
    WAN_MAC,
    Bed,
    arp_packet,
    packet,
    receive,
)
from vrouter.stack.base.addresses import parse_ipv4
from vrouter.stack.base.counters import Stat
from vrouter.stack.base.drop import DropReason
from vrouter.stack.base.packet import LINK_BROADCAST, LOCAL_OUT, Packet
from vrouter.stack.l2.arp import arp_input, build_reply, build_request, solicit
from vrouter.stack.l2.neighbour import INCOMPLETE, PERMANENT, REACHABLE, STALE
from vrouter.stack.wire.arp import REPLY, REQUEST, Arp

BROADCAST = b"\xff" * 6
ZERO = bytes(6)
WAN = parse_ipv4("10.0.2.1")
BEHIND = parse_ipv4("10.0.2.7")
FAR = parse_ipv4("192.0.2.9")

INVALID = DropReason.ARP_INVALID
NOT_ON_LINK = DropReason.ARP_NOT_ON_LINK


def is_answered(bed: Bed, pkt: Packet) -> bool:
    reason, reply = receive(bed, pkt)
    assert (reply is None) == (reason != 0)
    assert reason in (0, NOT_ON_LINK)
    return reply is not None


def known(bed: Bed, addr: int = PEER) -> tuple[bytes, object] | None:
    neigh = bed.neigh4.get(bed.lan, addr)
    return None if neigh is None else (neigh.mac, neigh.state_at(bed.now))


def body_of(pkt: Packet) -> Arp:
    arp = Arp.parse(pkt.buf, pkt.l3, pkt.end)
    assert arp is not None
    return arp


# ---------------------------------------------------------------------------------------------------- requests for us


def test_a_request_for_our_address_is_answered() -> None:
    """RFC 826: the fields are swapped, and the reply goes to the sender alone; he is learned on the way."""
    bed = Bed()
    reason, reply = receive(bed, arp_packet(flags=LINK_BROADCAST))
    assert reason == 0
    assert reply is not None
    assert bytes(reply.buf[reply.start : reply.l3]) == PEER_MAC + LAN_MAC + b"\x08\x06"
    assert body_of(reply) == Arp(REPLY, LAN_MAC, ROUTER, PEER_MAC, PEER)
    assert (reply.oif, reply.flags, reply.l2, reply.ethertype, len(reply)) == (
        bed.lan, LOCAL_OUT, reply.start, 0x0806, 42,
    )  # fmt: skip
    assert known(bed) == (PEER_MAC, STALE)
    assert (bed.stats[Stat.ArpInRequests], bed.stats[Stat.ArpOutReplies]) == (1, 1)


def test_a_unicast_request_is_answered_too() -> None:
    """RFC 1122 2.3.2.1 (2): peers validate their cache by unicast polls."""
    bed = Bed()
    assert is_answered(bed, arp_packet())


def test_the_sender_mac_is_the_one_inside() -> None:
    """RFC 826 speaks of ar$sha; the frame's source may be another one (bonds, proxies)."""
    bed = Bed()
    pkt = arp_packet(sha=OTHER_MAC)
    reason, reply = receive(bed, pkt)
    assert reason == 0
    assert reply is not None
    assert bytes(reply.buf[reply.start : reply.start + 6]) == OTHER_MAC
    assert known(bed) == (OTHER_MAC, STALE)


def test_a_request_replaces_the_sender_s_mac_at_once() -> None:
    """RFC 826: the merge precedes everything; a neighbour with a new card is believed when he asks for us."""
    bed = Bed()
    receive(bed, arp_packet())
    receive(bed, arp_packet(sha=OTHER_MAC))
    assert known(bed) == (OTHER_MAC, STALE)


def test_a_request_sends_what_waited_for_its_sender() -> None:
    """RFC 826: what was learned from a request resolves as well as a reply does."""
    bed, pkt = Bed(), packet()
    bed.neigh4.output(bed.lan, PEER, pkt, bed.now)
    bed.take()
    assert is_answered(bed, arp_packet())
    assert [action[:2] for action in bed.take()] == [("send", pkt)]


def test_a_probe_for_our_address_is_answered_and_teaches_nothing() -> None:
    """RFC 5227 2.5: probes (sender address 0) are answered in the usual way."""
    bed = Bed()
    reason, reply = receive(bed, arp_packet(spa=0))
    assert reason == 0
    assert reply is not None
    assert body_of(reply) == Arp(REPLY, LAN_MAC, ROUTER, PEER_MAC, 0)
    assert bed.lan.neigh4 == {}


def test_a_probe_for_somebody_else_is_not_our_affair() -> None:
    """RFC 826: only the target answers."""
    bed = Bed()
    assert receive(bed, arp_packet(spa=0, tpa=PEER)) == (NOT_ON_LINK, None)


def test_a_request_for_somebody_else_teaches_nothing_new() -> None:
    """RFC 826: who is not in the table and did not ask for us does not get in."""
    bed = Bed()
    assert receive(bed, arp_packet(tpa=PEER + 1)) == (NOT_ON_LINK, None)
    assert bed.lan.neigh4 == {}


def test_a_tentative_address_is_not_answered_for() -> None:
    """RFC 5227 2.5: answering begins with the first announcement."""
    bed = Bed()
    bed.ip4.add_address(bed.lan, ROUTER + 8, 24).state = "tentative"
    assert not is_answered(bed, arp_packet(tpa=ROUTER + 8))


def test_who_has_no_route_here_is_not_answered() -> None:
    """A sender off the link is answered only if the way back leaves by the same device."""
    bed = Bed()
    assert not is_answered(bed, arp_packet(spa=FAR))
    assert bed.lan.neigh4 == {}
    bed.route(FAR, 32, bed.lan)
    assert is_answered(bed, arp_packet(spa=FAR))
    assert known(bed, FAR) == (PEER_MAC, STALE)


def test_a_full_table_does_not_silence_us() -> None:
    """A scan that fills the table must not make the router's own address unfindable."""
    bed = Bed()
    bed.conf = replace(bed.conf, v4=replace(bed.conf.v4, gc_thresh3=1))
    bed.neigh4.output(bed.lan, PEER + 1, packet(), bed.now)
    bed.neigh4.learn(bed.lan, PEER + 1, OTHER_MAC, bed.now, state=REACHABLE)
    assert is_answered(bed, arp_packet())
    assert known(bed) is None


# ---------------------------------------------------------------------------------------------------- refused


@pytest.mark.parametrize(
    "bad",
    [
        pytest.param(arp_packet(op=3), id="reverse-request"),
        pytest.param(arp_packet(op=0), id="operation-0"),
        pytest.param(arp_packet(sha=BROADCAST), id="broadcast-sender-mac"),
        pytest.param(arp_packet(sha=b"\x01" + PEER_MAC[1:]), id="group-sender-mac"),
        pytest.param(arp_packet(sha=ZERO), id="zero-sender-mac"),
        pytest.param(arp_packet(sha=LAN_MAC), id="our-own-echo"),
        pytest.param(arp_packet(spa=parse_ipv4("224.0.0.1")), id="multicast-sender"),
        pytest.param(arp_packet(spa=parse_ipv4("240.0.0.1")), id="class-e-sender"),
        pytest.param(arp_packet(spa=0xFFFFFFFF), id="broadcast-sender"),
        pytest.param(arp_packet(spa=parse_ipv4("10.0.1.255")), id="directed-broadcast-sender"),
        pytest.param(arp_packet(spa=parse_ipv4("127.0.0.1")), id="loopback-sender"),
        pytest.param(arp_packet(spa=5), id="this-network-sender"),
        pytest.param(arp_packet(tpa=parse_ipv4("224.0.0.1")), id="multicast-target"),
        pytest.param(arp_packet(tpa=0xFFFFFFFF), id="broadcast-target"),
        pytest.param(arp_packet(tpa=parse_ipv4("10.0.1.255")), id="directed-broadcast-target"),
        pytest.param(arp_packet(tpa=parse_ipv4("127.0.0.1")), id="loopback-target"),
    ],
)
def test_what_no_station_can_say_is_invalid(bad: Packet) -> None:
    """RFC 1812 3.3.2, RFC 5227 2.1.1: no group or zero sender MAC, no echo of ours, no address that is nobody's."""
    bed = Bed()
    assert receive(bed, bad) == (INVALID, None)
    assert bed.lan.neigh4 == {}
    assert sum(bed.stats) == 0


@pytest.mark.parametrize(("at", "value"), [(1, 6), (2, 0x86), (4, 8), (5, 16)])
def test_other_hardware_and_protocols_are_invalid(at: int, value: int) -> None:
    """RFC 826: hardware type, protocol type and both lengths are looked at first."""
    bed, pkt = Bed(), arp_packet()
    pkt.buf[pkt.start + at] = value
    assert receive(bed, pkt) == (INVALID, None)


def test_a_truncated_packet_is_invalid() -> None:
    """RFC 826: 28 bytes for IPv4 over Ethernet."""
    bed, pkt = Bed(), arp_packet()
    pkt.end = pkt.start + 27
    assert receive(bed, pkt) == (INVALID, None)
    pkt.end = pkt.start + 28
    assert receive(bed, pkt)[0] == 0


def test_our_address_on_another_device_is_no_sender() -> None:
    """Two devices on one link hear each other: that makes no neighbour of ourselves."""
    bed = Bed()
    bed.address(bed.wan, "10.0.1.50/32")
    for own in (WAN, parse_ipv4("10.0.1.50")):
        assert receive(bed, arp_packet(sha=WAN_MAC, spa=own)) == (NOT_ON_LINK, None)
    assert bed.lan.neigh4 == {}


interesting = st.sampled_from([0, 1, PEER, ROUTER, WAN, BEHIND, FAR, 0x7F000001, 0xE0000001, 0xFFFFFFFF])
station = st.sampled_from([ZERO, BROADCAST, LAN_MAC, WAN_MAC, PEER_MAC, OTHER_MAC]) | st.binary(min_size=6, max_size=6)
claims = st.builds(arp_packet, st.integers(0, 4), station, interesting, station, interesting, st.sampled_from([0, 1]))
garbage = st.binary(max_size=60).map(Packet.from_frame)


@given(st.lists(claims | garbage, max_size=20))
def test_no_arp_packet_raises_or_goes_uncounted(pkts: list[Packet]) -> None:
    """A hostile packet has a reason or is used; a reply goes to a single station, and never twice for one packet."""
    bed = Bed()
    bed.lan.conf4 = replace(bed.lan.conf4, arp_accept=1, proxy_arp=True, forwarding=True)
    for pkt in pkts:
        reason, reply = receive(bed, pkt)
        assert reason in (0, INVALID, NOT_ON_LINK)
        if reply is not None:
            assert reason == 0
            assert not reply.buf[reply.start] & 1
        assert ROUTER not in bed.lan.neigh4
        assert all(neigh.mac and not neigh.mac[0] & 1 for neigh in bed.lan.neigh4.values())


# ---------------------------------------------------------------------------------------------------- the merge


def test_a_reply_that_was_asked_for_resolves() -> None:
    """RFC 826: the reply goes into the table; by unicast it proves reachability."""
    bed, pkt = Bed(), packet()
    bed.neigh4.output(bed.lan, PEER, pkt, bed.now)
    bed.take()
    assert receive(bed, arp_packet(op=REPLY, tha=LAN_MAC)) == (0, None)
    assert known(bed) == (PEER_MAC, REACHABLE)
    assert [action[:2] for action in bed.take()] == [("send", pkt)]
    assert bed.stats[Stat.ArpInReplies] == 1


def test_a_broadcast_reply_proves_no_reachability() -> None:
    """Linux: what was not sent to us alone was not necessarily an answer to us."""
    bed = Bed()
    bed.neigh4.learn(bed.lan, PEER, OTHER_MAC, bed.now - 5 * SECOND, create=True)
    receive(bed, arp_packet(op=REPLY, tha=LAN_MAC, flags=LINK_BROADCAST))
    assert known(bed) == (PEER_MAC, STALE)


def test_a_reply_that_nobody_asked_for_makes_no_entry() -> None:
    """Linux arp_accept 0: unsolicited replies only update."""
    bed = Bed()
    assert receive(bed, arp_packet(op=REPLY, tha=LAN_MAC)) == (NOT_ON_LINK, None)
    assert bed.lan.neigh4 == {}


def test_the_first_of_several_answers_wins() -> None:
    """Linux locktime: another MAC within a second of the last change is ignored, later it is taken."""
    bed = Bed()
    bed.neigh4.output(bed.lan, PEER, packet(), bed.now)
    receive(bed, arp_packet(op=REPLY, tha=LAN_MAC))
    receive(bed, arp_packet(op=REPLY, tha=LAN_MAC, sha=OTHER_MAC))
    assert known(bed) == (PEER_MAC, REACHABLE)
    bed.now += SECOND + 1
    receive(bed, arp_packet(op=REPLY, tha=LAN_MAC, sha=OTHER_MAC))
    assert known(bed) == (OTHER_MAC, REACHABLE)


@pytest.mark.parametrize(("op", "tha"), [(REQUEST, ZERO), (REPLY, OTHER_MAC)])
def test_a_gratuitous_packet_updates_at_once_what_is_known(op: int, tha: bytes) -> None:
    """RFC 5227 3: an announcement corrects stale entries; it makes none."""
    bed = Bed()
    gratuitous = {"op": op, "sha": OTHER_MAC, "tha": tha, "tpa": PEER, "flags": LINK_BROADCAST}
    assert receive(bed, arp_packet(**gratuitous)) == (NOT_ON_LINK, None)
    bed.neigh4.learn(bed.lan, PEER, PEER_MAC, bed.now, state=REACHABLE, create=True)
    assert receive(bed, arp_packet(**gratuitous)) == (0, None)
    assert known(bed) == (OTHER_MAC, STALE)


def test_a_request_for_another_refreshes_the_sender() -> None:
    """RFC 826: merge_flag is set before the target is looked at."""
    bed = Bed()
    bed.neigh4.output(bed.lan, PEER, packet(), bed.now)
    bed.now += 2 * SECOND
    assert receive(bed, arp_packet(tpa=PEER + 1)) == (0, None)
    assert known(bed)[0] == PEER_MAC


def test_frames_do_not_touch_configured_entries() -> None:
    """PERMANENT entries are the operator's."""
    bed = Bed()
    bed.neigh4.add_static(bed.lan, PEER, PEER_MAC, bed.now)
    assert is_answered(bed, arp_packet(sha=OTHER_MAC))
    receive(bed, arp_packet(sha=OTHER_MAC, tpa=PEER))
    assert known(bed) == (PEER_MAC, PERMANENT)


@pytest.mark.parametrize(
    ("accept", "spa", "created"), [(1, PEER, True), (2, PEER, True), (1, FAR, True), (2, FAR, False), (0, PEER, False)]
)
def test_arp_accept_lets_announcements_in(accept: int, spa: int, created: bool) -> None:
    """Linux arp_accept: 1 any neighbour, 2 only in a prefix of the device."""
    bed = Bed()
    bed.route(FAR, 32, bed.lan)
    bed.lan.conf4 = replace(bed.lan.conf4, arp_accept=accept)
    assert receive(bed, arp_packet(spa=spa, tpa=spa)) == ((0, None) if created else (NOT_ON_LINK, None))
    assert known(bed, spa) == ((PEER_MAC, STALE) if created else None)


def test_arp_accept_lets_no_question_for_others_in() -> None:
    """Linux arp_accept is about gratuitous packets and replies."""
    bed = Bed()
    bed.lan.conf4 = replace(bed.lan.conf4, arp_accept=1)
    assert receive(bed, arp_packet(tpa=PEER + 1)) == (NOT_ON_LINK, None)
    assert receive(bed, arp_packet(op=REPLY, tha=LAN_MAC)) == (0, None)
    assert known(bed) == (PEER_MAC, REACHABLE)


def test_a_reply_to_another_is_not_gratuitous() -> None:
    """Linux: a reply counts as gratuitous only when it names its sender as target too; others respect locktime."""
    bed = Bed()
    bed.neigh4.learn(bed.lan, PEER, PEER_MAC, bed.now, create=True)
    receive(bed, arp_packet(op=REPLY, sha=OTHER_MAC, tha=LAN_MAC, tpa=PEER))
    assert known(bed) == (PEER_MAC, STALE)


# ---------------------------------------------------------------------------------------------------- settings


@pytest.mark.parametrize(
    ("ignore", "spa", "tpa", "answered"),
    [
        (0, PEER, WAN, True),
        (1, PEER, WAN, False),
        (1, PEER, ROUTER, True),
        (1, FAR, ROUTER, True),
        (2, PEER, ROUTER, True),
        (2, FAR, ROUTER, False),
        (2, 0, ROUTER, True),
        (3, PEER, WAN, True),
        (3, PEER, FAR + 1, False),
        (0, PEER, FAR + 1, True),
        (4, PEER, WAN, True),
        (8, PEER, ROUTER, False),
    ],
)
def test_arp_ignore(ignore: int, spa: int, tpa: int, answered: bool) -> None:
    """Linux arp_ignore: 0 all, 1 this device's, 2 and in the sender's prefix, 3 not host scope, 4-7 as 0, 8 none."""
    bed = Bed()
    bed.route(FAR, 32, bed.lan)
    lo = bed.device("lo", "lo", ZERO)
    bed.address(lo, "192.0.2.10/32")
    bed.ip4.owners[FAR + 1].scope = "host"
    bed.lan.conf4 = replace(bed.lan.conf4, arp_ignore=ignore)
    assert is_answered(bed, arp_packet(spa=spa, tpa=tpa)) is answered


@pytest.mark.parametrize(("spa", "answered"), [(FAR, False), (PEER, True), (0, True)])
def test_arp_filter(spa: int, answered: bool) -> None:
    """Linux arp_filter: no answer where packets for the sender would leave by another device."""
    bed = Bed()
    bed.lan.conf4 = replace(bed.lan.conf4, arp_filter=True)
    bed.route(FAR, 32, bed.wan)
    bed.lan.addresses[0].length = 0  # the sender lies in a prefix of the device all the same
    assert is_answered(bed, arp_packet(spa=spa)) is answered


@pytest.mark.parametrize(("route_localnet", "verdict"), [(False, INVALID), (True, 0)])
def test_loopback_targets_need_route_localnet(route_localnet: bool, verdict: int) -> None:
    """RFC 1122 3.2.1.3 (g): 127/8 does not appear on a link, unless the operator wants it to."""
    bed = Bed()
    lo = bed.device("lo", "lo", ZERO)
    bed.address(lo, "127.0.0.1/8")
    bed.lan.conf4 = replace(bed.lan.conf4, route_localnet=route_localnet)
    assert receive(bed, arp_packet(tpa=0x7F000001))[0] == verdict


@pytest.mark.parametrize(
    ("proxy", "forwarding", "tpa", "answered"),
    [
        (True, True, BEHIND, True),
        (True, True, PEER + 1, False),
        (True, True, FAR, False),
        (True, True, PEER, False),
        (True, False, BEHIND, False),
        (False, True, BEHIND, False),
    ],
)
def test_proxy_arp(proxy: bool, forwarding: bool, tpa: int, answered: bool) -> None:
    """RFC 1027: off by default; only for what a forwarding router reaches by another device."""
    bed = Bed()
    bed.lan.conf4 = replace(bed.lan.conf4, proxy_arp=proxy, forwarding=forwarding)
    reason, reply = receive(bed, arp_packet(tpa=tpa))
    assert (reply is not None) is answered is (reason == 0)
    if reply is not None:
        assert body_of(reply) == Arp(REPLY, LAN_MAC, BEHIND, PEER_MAC, PEER)
        assert known(bed) == (PEER_MAC, STALE)


def test_proxy_arp_answers_no_probe() -> None:
    """RFC 5227: a proxy that answers probes makes every address look taken."""
    bed = Bed()
    bed.lan.conf4 = replace(bed.lan.conf4, proxy_arp=True, forwarding=True)
    assert receive(bed, arp_packet(spa=0, tpa=BEHIND)) == (NOT_ON_LINK, None)


@pytest.mark.parametrize(("ignore", "answered"), [(0, True), (1, False), (8, False)])
def test_proxy_arp_does_not_undo_arp_ignore(ignore: int, answered: bool) -> None:
    """The namespace's own addresses are no proxy's: whether they are answered for, arp_ignore alone says."""
    bed = Bed()
    bed.lan.conf4 = replace(bed.lan.conf4, proxy_arp=True, forwarding=True, arp_ignore=ignore)
    reason, reply = receive(bed, arp_packet(tpa=WAN))
    assert (reply is not None, reason) == (answered, 0 if answered else NOT_ON_LINK)


def test_proxy_arp_answers_no_announcement() -> None:
    """RFC 5227 2.4: an answer to an announcement would be a conflict."""
    bed = Bed()
    bed.lan.conf4 = replace(bed.lan.conf4, proxy_arp=True, forwarding=True)
    bed.route(PEER, 32, bed.wan)
    assert receive(bed, arp_packet(tpa=PEER)) == (NOT_ON_LINK, None)


def test_answers_are_limited() -> None:
    """1000 a second with a burst of 1000 for each device; other devices are not touched by it."""
    bed = Bed()
    for _ in range(1000):
        assert is_answered(bed, arp_packet())
    assert receive(bed, arp_packet()) == (DropReason.ARP_RATELIMIT, None)
    assert arp_input(bed, bed.wan, arp_packet(spa=WAN + 1, tpa=WAN), bed.now)[0] == 0
    bed.now += MS - 1
    assert receive(bed, arp_packet())[0] == DropReason.ARP_RATELIMIT
    bed.now += 1
    assert is_answered(bed, arp_packet())
    assert receive(bed, arp_packet())[0] == DropReason.ARP_RATELIMIT
    bed.now += 3600 * SECOND
    assert [receive(bed, arp_packet())[0] for _ in range(1001)].count(0) == 1000
    assert bed.stats[Stat.ArpOutReplies] == 1000 + 1 + 1 + 1000


# ---------------------------------------------------------------------------------------------------- our questions


def ask(bed: Bed, source: int, target: int = PEER, unicast: bool = False) -> Packet:
    bed.neigh4.output(bed.lan, target, packet(), bed.now)
    neigh = bed.neigh4.get(bed.lan, target)
    assert neigh is not None
    return solicit(bed, neigh, unicast, source)


def test_a_question_goes_to_all() -> None:
    """RFC 826: broadcast, target hardware address unknown."""
    bed = Bed()
    pkt = ask(bed, ROUTER)
    assert bytes(pkt.buf[pkt.start : pkt.l3]) == BROADCAST + LAN_MAC + b"\x08\x06"
    assert body_of(pkt) == Arp(REQUEST, LAN_MAC, ROUTER, ZERO, PEER)
    assert (pkt.oif, pkt.flags, bed.stats[Stat.ArpOutRequests]) == (bed.lan, LOCAL_OUT, 1)
    assert known(bed) == (b"", INCOMPLETE)


def test_a_known_neighbour_is_polled_by_unicast() -> None:
    """RFC 1122 2.3.2.1 (2): the point-to-point question to the MAC that is known."""
    bed = Bed()
    bed.neigh4.learn(bed.lan, PEER, PEER_MAC, bed.now, create=True)
    pkt = ask(bed, 0, unicast=True)
    assert bytes(pkt.buf[pkt.start : pkt.start + 6]) == PEER_MAC
    assert body_of(pkt) == Arp(REQUEST, LAN_MAC, ROUTER, ZERO, PEER)


@pytest.mark.parametrize(
    ("announce", "source", "told"),
    [
        (0, WAN, WAN),
        (1, WAN, ROUTER),
        (2, WAN, ROUTER),
        (0, ROUTER + 9, ROUTER + 9),
        (1, ROUTER + 9, ROUTER + 9),
        (2, ROUTER + 9, ROUTER),
        (0, FAR, ROUTER),
        (0, 0, ROUTER),
        (0, 0x7F000001, ROUTER),
    ],
)
def test_arp_announce(announce: int, source: int, told: int) -> None:
    """Linux arp_announce: 0 any own source, 1 one of this subnet, 2 the best one; never one that is not ours."""
    bed = Bed()
    bed.address(bed.lan, "10.0.1.10/24")
    bed.address(bed.device("lo", "lo", ZERO), "127.0.0.1/8")
    bed.lan.conf4 = replace(bed.lan.conf4, arp_announce=announce)
    assert body_of(ask(bed, source)).spa == told


def test_the_builders_fill_every_field() -> None:
    """RFC 826, RFC 5227 2.1.1: a probe is a request with sender address 0."""
    bed = Bed()
    assert body_of(build_request(bed.lan, 0, PEER)) == Arp(REQUEST, LAN_MAC, 0, ZERO, PEER)
    reply = build_reply(bed.lan, ROUTER, PEER, PEER_MAC)
    assert bytes(reply.buf[reply.start : reply.start + 12]) == PEER_MAC + LAN_MAC
    assert body_of(reply) == Arp(REPLY, LAN_MAC, ROUTER, PEER_MAC, PEER)
