"""Neighbour discovery: the form of messages, and those of routers (RFC 4861 6.1, 7.1, 8; RFC 6980)."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.l2.bed6 import (
    ALL_NODES,
    LAN,
    LAN_LL,
    OTHER_MAC,
    PEER,
    PEER_LL,
    PEER_MAC,
    Bed6,
    group,
    incoming,
    read,
)
from vrouter.stack.base.addresses import parse_ipv6, scoped
from vrouter.stack.base.drop import DropReason
from vrouter.stack.base.packet import FRAGMENT, REASSEMBLED, Packet
from vrouter.stack.l2.ndp_message import build_redirect
from vrouter.stack.l2.neighbour import STALE
from vrouter.stack.l2.router_advert import RaConf
from vrouter.stack.wire.ndp import Redirect
from vrouter.testing import frames6

INVALID = DropReason.NDP_INVALID
NOT_ON_LINK = DropReason.NDP_NOT_ON_LINK
IGNORED = DropReason.ICMP_IGNORED

NODE = group(LAN)


def ns(src: str = PEER, dst: str = NODE, target: str = LAN, options: bytes = b"", **fields: Any) -> bytes:
    fields.setdefault("mac", PEER_MAC)
    return frames6.neighbour_solicitation(src, dst, target, options, **fields)


def na(src: str = PEER, dst: str = LAN, target: str = PEER, options: bytes = b"", **fields: Any) -> bytes:
    fields.setdefault("mac", PEER_MAC)
    return frames6.neighbour_advertisement(src, dst, target, options, **fields)


def rs(src: str = PEER_LL, options: bytes = b"", **fields: Any) -> bytes:
    return frames6.router_solicitation(src, frames6.ALL_ROUTERS, options, **fields)


def ra(src: str = PEER_LL, options: bytes = b"", **fields: Any) -> bytes:
    return frames6.router_advertisement(src, ALL_NODES, options, **fields)


def redirect(src: str = PEER_LL, target: str = "fe80::bb", destination: str = "2001:db8:9::9", **fields: Any) -> bytes:
    return frames6.redirect6(src, LAN, target, destination, **fields)


# ---------------------------------------------------------------------------------------------------- refused


LINK_LAYER = frames6.source_mac(PEER_MAC)
FORMS = {
    # RFC 4861 7.1.1
    "ns truncated": (ns()[:20], PEER, NODE),
    "ns code": (ns(code=1), PEER, NODE),
    "ns to a group": (ns(target="ff02::1"), PEER, NODE),
    "ns option of length 0": (ns(options=b"\x0e\0\0\0\0\0\0\0"), PEER, NODE),
    "ns option over the end": (ns(options=b"\x0e\2\0\0\0\0\0\0"), PEER, NODE),
    "ns without a source to no group": (ns("::", LAN, mac=None), "::", LAN),
    "ns without a source to another group": (ns("::", ALL_NODES, mac=None), "::", ALL_NODES),
    "ns without a source but with a link-layer address": (ns("::"), "::", NODE),
    "ns link-layer address of a group": (ns(mac=b"\x03\0\0\0\0\1"), PEER, NODE),
    "ns link-layer address of zeros": (ns(mac=bytes(6)), PEER, NODE),
    "ns link-layer address of another length": (ns(mac=None, options=b"\1\2" + bytes(14)), PEER, NODE),
    # RFC 4861 7.1.2
    "na truncated": (na()[:23], PEER, LAN),
    "na code": (na(code=3), PEER, LAN),
    "na of a group": (na(target="ff02::1"), PEER, LAN),
    "na solicited to a group": (na(dst=ALL_NODES, solicited=True), PEER, ALL_NODES),
    "na option of length 0": (na(options=bytes(8)), PEER, LAN),
    "na link-layer address of a group": (na(mac=b"\xff" * 6), PEER, LAN),
    # RFC 4861 6.1.1
    "rs truncated": (rs()[:7], PEER_LL, frames6.ALL_ROUTERS),
    "rs code": (rs(code=1), PEER_LL, frames6.ALL_ROUTERS),
    "rs option of length 0": (rs(options=bytes(8)), PEER_LL, frames6.ALL_ROUTERS),
    "rs without a source but with a link-layer address": (rs("::", mac=PEER_MAC), "::", frames6.ALL_ROUTERS),
    # RFC 4861 6.1.2
    "ra truncated": (ra()[:15], PEER_LL, ALL_NODES),
    "ra code": (ra(code=1), PEER_LL, ALL_NODES),
    "ra from a global address": (ra(PEER), PEER, ALL_NODES),
    "ra option of length 0": (ra(options=bytes(8)), PEER_LL, ALL_NODES),
    "ra link-layer address of a group": (ra(mac=b"\x01\0\0\0\0\1"), PEER_LL, ALL_NODES),
    # RFC 4861 8.1
    "redirect truncated": (redirect()[:39], PEER_LL, LAN),
    "redirect code": (redirect(code=1), PEER_LL, LAN),
    "redirect from a global address": (redirect(PEER), PEER, LAN),
    "redirect of a group": (redirect(destination="ff05::1"), PEER_LL, LAN),
    "redirect to a target that is neither link-local nor the destination": (redirect(target=PEER), PEER_LL, LAN),
    "redirect option of length 0": (redirect(options=bytes(8)), PEER_LL, LAN),
    "redirect link-layer address of a group": (redirect(mac=b"\x03\0\0\0\0\1"), PEER_LL, LAN),
}
GOOD = {
    "ns": (ns(), PEER, NODE),
    "na": (na(), PEER, LAN),
    "rs": (rs(mac=PEER_MAC), PEER_LL, frames6.ALL_ROUTERS),
    "ra": (ra(mac=PEER_MAC), PEER_LL, ALL_NODES),
    "redirect": (redirect(mac=OTHER_MAC), PEER_LL, LAN),
}


def willing() -> Bed6:
    """A bed in which each of `GOOD` is used: it advertises, hears routers, and knows the peer."""
    bed = Bed6(forwarding=True, accept_ra=2)
    bed.ndp.hosts.set_autoconf(bed.lan, True, bed.now)
    bed.ndp.set_ra(bed.lan, RaConf(), bed.now)
    bed.neigh6.learn(bed.lan, parse_ipv6(PEER), PEER_MAC, bed.now, create=True)
    return bed


@pytest.mark.parametrize("kind", GOOD)
def test_the_five_messages_are_used_as_they_are(kind: str) -> None:
    """The twin of the tables below: each message without its fault is good."""
    assert willing().receive(*GOOD[kind])[0] == 0


@pytest.mark.parametrize("fault", FORMS)
def test_malformed_messages_are_refused(fault: str) -> None:
    """RFC 4861 6.1.1, 6.1.2, 7.1.1, 7.1.2, 8.1: silently discarded, and nothing is learned."""
    bed = willing()
    known = bed.known(PEER)
    assert bed.receive(*FORMS[fault]) == (INVALID, [])
    assert bed.known(PEER) == known
    assert bed.known(PEER_LL) is None
    assert bed.sent() == []


@pytest.mark.parametrize("kind", GOOD)
@pytest.mark.parametrize("hop_limit", [0, 1, 64, 254])
def test_what_a_router_let_pass_is_refused(kind: str, hop_limit: int) -> None:
    """RFC 4861 6.1.1 and the others: a hop limit of 255 shows that the packet comes from this link."""
    assert willing().receive(*GOOD[kind], ttl=hop_limit) == (INVALID, [])


@pytest.mark.parametrize("kind", GOOD)
@pytest.mark.parametrize("flag", [FRAGMENT, REASSEMBLED])
def test_fragmented_messages_are_refused(kind: str, flag: int) -> None:
    """RFC 6980 5: no message of neighbour discovery comes in fragments, atomic ones included."""
    bed = willing()
    assert bed.receive(*GOOD[kind], flags=flag) == (INVALID, [])
    bed.configure(bed.lan, suppress_frag_ndisc=False)
    assert bed.receive(*GOOD[kind], flags=flag)[0] == 0


def test_a_device_without_link_addresses_has_no_neighbour_discovery() -> None:
    """lo resolves nothing."""
    bed = Bed6()
    bed.lan.with_arp = False
    assert bed.solicit(LAN) == (INVALID, [])


@given(st.sampled_from(sorted(GOOD)), st.integers(0, 120), st.integers(0, 255), st.integers(0, 60))
def test_no_message_raises_and_each_is_counted(kind: str, at: int, value: int, cut: int) -> None:
    """A hostile message is used or refused for a reason, never an exception (design, rule 6)."""
    message, src, dst = GOOD[kind]
    body = bytearray(message)
    body[at % len(body)] = value
    bed = willing()
    reason, _ = bed.receive(bytes(body[: max(8, len(body) - cut)]), src, dst)
    assert reason in (0, INVALID, NOT_ON_LINK, IGNORED)


# ---------------------------------------------------------------------------------------------------- routers


def test_only_an_advertising_router_takes_solicitations() -> None:
    """RFC 4861 6.2.6: a host must silently discard them."""
    bed = Bed6()
    assert bed.receive(rs(mac=PEER_MAC), PEER_LL, frames6.ALL_ROUTERS) == (IGNORED, [])
    assert bed.lan.neigh6 == {}


def test_a_solicitation_teaches_a_host() -> None:
    """RFC 4861 6.2.6: its sender is STALE and no router, though it was taken for one; without a source it is nobody."""
    bed = willing()
    assert bed.receive(rs("::"), "::", frames6.ALL_ROUTERS)[0] == 0
    assert bed.known(PEER_LL) is None
    bed.ra()
    assert bed.known(PEER_LL) == (PEER_MAC, STALE, True)
    assert bed.receive(rs(mac=PEER_MAC), PEER_LL, frames6.ALL_ROUTERS)[0] == 0
    assert bed.known(PEER_LL) == (PEER_MAC, STALE, False)


def test_nobody_wants_an_advertisement_unasked() -> None:
    """RFC 4861 6.3.4 is for hosts that configure themselves, 6.2.7 for routers that advertise."""
    bed = Bed6()
    assert bed.ra() == IGNORED
    assert bed.lan.neigh6 == {}


def test_our_own_advertisement_is_none() -> None:
    """A looped link, or another device of ours on it (Linux's accept_ra_from_local)."""
    bed = willing()
    assert bed.ra(src=LAN_LL) == NOT_ON_LINK
    bed.configure(bed.lan, accept_ra_from_local=True)
    assert bed.ra(src=LAN_LL) == 0


# ---------------------------------------------------------------------------------------------------- redirects


def test_a_redirect_is_handed_on_with_its_link() -> None:
    """RFC 4861 8.1, 8.3: layer 3 judges; link-local targets are of this link."""
    bed = Bed6()
    assert bed.receive(redirect(mac=OTHER_MAC), PEER_LL, LAN)[0] == 0
    [(kind, dev, source, message)] = bed.ndp.take_actions()
    assert (kind, dev, source) == ("redirect", bed.lan, scoped(parse_ipv6(PEER_LL), bed.lan.ifindex))
    assert message == Redirect(scoped(parse_ipv6("fe80::bb"), bed.lan.ifindex), parse_ipv6("2001:db8:9::9"), OTHER_MAC)
    assert bed.lan.neigh6 == {}


def test_redirects_may_be_refused() -> None:
    """RFC 4861 8.3: a router, and who was told so (accept_redirects), updates nothing."""
    bed = Bed6(accept_redirects=False)
    assert bed.receive(redirect(), PEER_LL, LAN) == (IGNORED, [])


def test_a_redirect_that_is_believed_teaches_the_target() -> None:
    """RFC 4861 8.3: STALE, and a router unless it is the destination itself."""
    bed = Bed6()
    there = scoped(parse_ipv6("fe80::bb"), bed.lan.ifindex)
    far, near = parse_ipv6("2001:db8:9::9"), parse_ipv6("2001:db8:1::9")
    bed.ndp.redirected(bed.lan, Redirect(there, far, OTHER_MAC), bed.now)
    assert bed.known("fe80::bb") == (OTHER_MAC, STALE, True)
    bed.ndp.redirected(bed.lan, Redirect(near, near, OTHER_MAC), bed.now)
    assert bed.known("2001:db8:1::9") == (OTHER_MAC, STALE, False)
    bed.ndp.redirected(bed.lan, Redirect(scoped(parse_ipv6("fe80::cc"), 1), far), bed.now)
    assert bed.known("fe80::cc") is None


def long_packet(size: int) -> Packet:
    """A packet of `size` bytes of IPv6 from the peer to somewhere."""
    packet = frames6.ipv6(PEER, "2001:db8:9::9", 17, bytes(range(256)) * 8)[:size]
    pkt = Packet.from_frame(packet)
    pkt.l3, pkt.src, pkt.dst, pkt.family = pkt.start, parse_ipv6(PEER), parse_ipv6("2001:db8:9::9"), 6
    return pkt


@pytest.mark.parametrize("known", [False, True])
def test_a_redirect_quotes_up_to_the_minimum_mtu(known: bool) -> None:
    """RFC 4861 8.2: target, destination, the target's link-layer address if known, as much as fits into 1280 bytes."""
    bed = Bed6()
    target, source = scoped(parse_ipv6("fe80::bb"), 1), scoped(parse_ipv6(LAN_LL), 1)
    if known:
        bed.neigh6.learn(bed.lan, target, OTHER_MAC, bed.now, create=True)
    pkt = long_packet(1500)
    pkt = build_redirect(bed, bed.lan, pkt, target, source)
    src, dst, message = read(pkt)
    assert (src, dst) == (LAN_LL, PEER)
    assert message.target == parse_ipv6("fe80::bb")
    assert message.destination == parse_ipv6("2001:db8:9::9")
    assert message.target_mac == (OTHER_MAC if known else None)
    assert message.redirected == long_packet(1500).data()[: len(message.redirected)]
    assert 1280 - 8 < 40 + len(pkt) <= 1280


def test_a_redirect_of_a_short_packet_quotes_it_all() -> None:
    """RFC 4861 4.6.3: the option counts in units of 8 octets; what is beyond the last whole one is left out."""
    bed = Bed6()
    pkt = build_redirect(bed, bed.lan, long_packet(88), parse_ipv6("2001:db8:9::9"), scoped(parse_ipv6(LAN_LL), 1))
    assert read(pkt)[2].redirected == long_packet(88).data()


def test_what_comes_in_is_read_as_it_stands() -> None:
    """The bed's own messages are good packets, so that what is refused is refused for the fault under test."""
    pkt = incoming(Bed6().lan, ns(), PEER, NODE, PEER_MAC)
    assert bytes(pkt.buf[pkt.l4 : pkt.end]) == ns()
