"""Single rules of RFC 4443, 4861, 4862, 7084, 8200 and 8201 through whole stacks that the tests by subject leave out.

The beds are those of `test_ipv6_way` (r between a and b) and of `test_ndp` (r and h on one link, with a station that
builds and reads frames).
"""

import errno
from collections.abc import Iterator
from typing import Any

import pytest
from scapy.layers.inet import UDP
from scapy.layers.inet6 import (
    ICMPv6DestUnreach,
    ICMPv6EchoReply,
    ICMPv6EchoRequest,
    ICMPv6ND_NA,
    ICMPv6ND_NS,
    ICMPv6ND_RA,
    ICMPv6ND_Redirect,
    ICMPv6NDOptDstLLAddr,
    ICMPv6NDOptMTU,
    ICMPv6NDOptPrefixInfo,
    ICMPv6NDOptSrcLLAddr,
    ICMPv6PacketTooBig,
    ICMPv6Unknown,
    IPv6,
)
from scapy.layers.l2 import Ether
from scapy.packet import Raw

from tests.path.test_ipv6_way import MACS, RB, A, B, Way, only, too_big
from tests.path.test_ipv6_way import RA as R_A
from tests.path.test_ndp import (
    FAR,
    MAC,
    MAC_R,
    MAC_UP,
    NODES,
    R_LL,
    S_LL,
    Link,
    S,
    question,
    routes,
    shown,
)
from vrouter.stack.base.addresses import parse_ipv6, scoped, solicited_node
from vrouter.stack.l2.neighbour import DELAY, REACHABLE, STALE
from vrouter.stack.l2.router_advert import RaConf
from vrouter.stack.l4.constants import AF_INET6, SOCK_DGRAM
from vrouter.stack.wire.ethernet import multicast_mac6

IPPROTO_IPV6, IPV6_JOIN_GROUP, IPV6_MTU_DISCOVER, IPV6_RECVERR = 41, 20, 23, 25
IPV6_RECVTCLASS, IPV6_TCLASS = 66, 67
PMTUDISC_DO = 2
NEW = "2001:db8:1::7"
OTHER_LL, MAC_OTHER = "fe80::6", "02:00:00:00:00:06"
H_LL, MAC_H = "fe80::ff:fe00:3", "02:00:00:00:00:03"


@pytest.fixture
def way() -> Iterator[Way]:
    """a, r, b."""
    made = Way()
    yield made
    made.close()


@pytest.fixture
def link() -> Iterator[Link]:
    """r, h and the station."""
    made = Link()
    yield made
    made.close()


def sizes(sent: list[tuple[str, IPv6]]) -> list[int]:
    return [len(bytes(pkt)) for _, pkt in sent]


def ra(*options: Any, src: str = S_LL, lifetime: int = 1800) -> Any:
    """An advertisement of the station."""
    message = IPv6(src=src, dst=NODES, hlim=255) / ICMPv6ND_RA(prf=0, routerlifetime=lifetime)
    message /= ICMPv6NDOptSrcLLAddr(lladdr=MAC)
    for option in options:
        message /= option
    return message


def prefix(text: str, **fields: Any) -> Any:
    return ICMPv6NDOptPrefixInfo(
        **{"prefix": text, "prefixlen": 64, "L": 1, "A": 1, "validlifetime": 3600, "preferredlifetime": 1800, **fields}
    )


def na(target: str, *, src: str = "", dst: str = NODES, mac: str = MAC, **flags: int) -> Any:
    head = IPv6(src=src or target, dst=dst, hlim=255)
    return head / ICMPv6ND_NA(**{"tgt": target, "R": 0, "S": 0, "O": 1, **flags}) / ICMPv6NDOptDstLLAddr(lladdr=mac)


# ---------------------------------------------------------------------------------------------------- RFC 4443


@pytest.mark.parametrize("dst", ["ff02::1", "2001:db8:1::"])
def test_one_of_many_answers_from_the_device_that_was_asked(way: Way, dst: str) -> None:
    """RFC 4443 4.2: an Echo Request to a group or an anycast address is answered, from a unicast address of the
    interface that it came by, wherever the answer leaves."""
    way.ns.add_route("2001:db8:7::/64", via=B)
    mac = "33:33:00:00:00:01" if dst.startswith("ff") else MACS["a"][0]
    pkt = only(way.send(IPv6(src="2001:db8:7::7", dst=dst) / ICMPv6EchoRequest(id=4), "a", dst_mac=mac), "b")
    assert (pkt.src, pkt.dst, pkt[ICMPv6EchoReply].id) == (R_A, "2001:db8:7::7", 4)


def test_errors_of_unknown_types_reach_the_program(way: Way) -> None:
    """RFC 4443 2.4 (a): passed to the process whose packet they quote; informational ones are discarded (b)."""
    sock = way.ns.socket(AF_INET6, SOCK_DGRAM)
    sock.setsockopt(IPPROTO_IPV6, IPV6_RECVERR, 1)
    sock.sendto(b"x", (B, 9), now=way.now)
    quoted = bytes(way.sent()[0][1])
    head = IPv6(src=B, dst=RB)
    assert way.send(head / ICMPv6Unknown(type=200, msgbody=bytes(4) + quoted), "b") == []
    assert sock.error == 0
    assert way.send(head / ICMPv6Unknown(type=100, msgbody=bytes(4) + quoted), "b") == []
    assert sock.error == errno.EPROTO


@pytest.mark.parametrize(("kind", "code"), [("prohibit", 1), ("unreachable", 0), ("blackhole", None)])
def test_routes_that_refuse(way: Way, kind: str, code: int | None) -> None:
    """RFC 4443 3.1: code 1 for what policy forbids; a route of type unreachable is no route, as in Linux."""
    way.ns.add_route("2001:db8:9::/64", type=kind)
    sent = way.send(IPv6(src=A, dst="2001:db8:9::9") / UDP())
    assert [pkt[ICMPv6DestUnreach].code for _, pkt in sent] == ([] if code is None else [code])


def test_who_does_not_answer_is_told_of_for_each_packet(way: Way) -> None:
    """RFC 4443 3.1, RFC 4861 7.2.2: code 3, Address Unreachable, about every packet that waited."""
    waiting = [IPv6(src=A, dst="2001:db8:2::99") / UDP(sport=port) for port in (1, 2, 3)]
    assert [way.send(packet) for packet in waiting] == [[], [], []]
    told = []
    for _ in range(4):
        way.now += 1_000_000_000
        way.stack.poll(way.now)
        told += way.sent()
    assert [(name, pkt.src, pkt[ICMPv6DestUnreach].code) for name, pkt in told] == [("a", R_A, 3)] * 3
    assert [bytes(pkt[ICMPv6DestUnreach].payload)[40:42] for _, pkt in told] == [b"\0\1", b"\0\2", b"\0\3"]


# ---------------------------------------------------------------------------------------------------- RFC 8200


@pytest.mark.parametrize("hlim", [0, 1])
def test_the_hop_limit_of_a_packet_for_us_is_not_looked_at(way: Way, hlim: int) -> None:
    """RFC 8200 3: its destination processes a packet with a Hop Limit of zero."""
    assert only(way.send(IPv6(src=A, dst=R_A, hlim=hlim) / ICMPv6EchoRequest(id=3)))[ICMPv6EchoReply].id == 3


def test_octets_behind_no_next_header_are_passed_on(way: Way) -> None:
    """RFC 8200 4.7: unchanged, when the packet is forwarded."""
    packet = IPv6(src=A, dst=B, hlim=9, nh=59) / Raw(b"whatever")
    pkt = only(way.send(packet), "b")
    packet.hlim = 8
    assert bytes(pkt) == bytes(packet)


def test_a_link_that_is_too_narrow_has_no_ipv6(way: Way) -> None:
    """RFC 8200 5: every link takes 1280 octets; one that does not has no IPv6, and its addresses are gone."""
    way.ns.set_device("b", mtu=1279, now=way.now)
    assert not way.ns.devices["b"].with_ipv6
    assert shown(way.ns, "b") == {}
    with pytest.raises(OSError, match="IPv6") as caught:
        way.ns.add_address("b", f"{RB}/64", now=way.now)
    assert caught.value.errno == errno.EACCES
    way.ns.set_device("b", mtu=1280, now=way.now)
    assert way.ns.devices["b"].with_ipv6


def test_a_full_frame_is_taken(way: Way) -> None:
    """RFC 8200 5: packets as large as the link's MTU are accepted, and go on where they fit."""
    assert sizes(way.send(IPv6(src=A, dst=B) / UDP() / Raw(bytes(1452)))) == [1500]


def test_a_datagram_has_a_checksum_that_is_not_zero(way: Way) -> None:
    """RFC 8200 8.1: computed over the pseudo-header; a sum of zero is sent as 0xFFFF. Here data make it so."""
    sock = way.ns.socket(AF_INET6, SOCK_DGRAM)
    sock.bind((RB, 1000), now=way.now)
    sock.sendto(bytes(2), (B, 9), now=way.now)
    rest = way.sent()[0][1][UDP].chksum
    sock.sendto(rest.to_bytes(2, "big"), (B, 9), now=way.now)
    assert way.sent()[0][1][UDP].chksum == 0xFFFF


def test_the_traffic_class_is_the_program_s(way: Way) -> None:
    """RFC 8200 7, RFC 3168: zero unless the upper layer gives another value, and what came is told to it."""
    sock = way.ns.socket(AF_INET6, SOCK_DGRAM)
    sock.bind((RB, 1000), now=way.now)
    sock.sendto(b"x", (B, 9), now=way.now)
    sock.setsockopt(IPPROTO_IPV6, IPV6_TCLASS, 0xBA)
    sock.sendto(b"x", (B, 9), now=way.now)
    assert [pkt.tc for _, pkt in way.sent()] == [0, 0xBA]
    sock.setsockopt(IPPROTO_IPV6, IPV6_RECVTCLASS, 1)
    way.send(IPv6(src=B, dst=RB, tc=0x2F) / UDP(dport=1000) / b"y", "b")
    _, ancillary, _, _ = sock.recvmsg(10, 100, now=way.now)
    assert [(level, kind, int.from_bytes(data, "little")) for level, kind, data in ancillary] == [
        (IPPROTO_IPV6, IPV6_TCLASS, 0x2F)
    ]


@pytest.mark.parametrize("flags", range(16))
def test_groups_with_any_flags_are_groups(way: Way, flags: int) -> None:
    """RFC 7371 2: what a multicast address's flags mean is no concern of who joins it."""
    group = f"ff{flags:x}5::5"
    sock = way.ns.socket(AF_INET6, SOCK_DGRAM)
    sock.bind(("::", 9), now=way.now)
    index = way.ns.devices["a"].ifindex
    joined = parse_ipv6(group).to_bytes(16, "big") + index.to_bytes(4, "little")
    sock.setsockopt(IPPROTO_IPV6, IPV6_JOIN_GROUP, joined)
    way.pass_time(5)
    way.send(IPv6(src=A, dst=group) / UDP(dport=9) / b"x", dst_mac="33:33:00:00:00:05")
    assert sock.recv(9, now=way.now) == b"x"


# ---------------------------------------------------------------------------------------------------- RFC 8201


def test_a_path_is_learned_for_replies(way: Way) -> None:
    """RFC 8201 4: a node that receives a Packet Too Big must reduce its estimate, also when no socket sent what it is
    about; and it believes no other than about what it sent."""
    ask = IPv6(src=B, dst=RB) / ICMPv6EchoRequest(data=bytes(1452))
    lie = IPv6(src=RB, dst="2001:db8:2::3") / ICMPv6EchoReply(data=bytes(1452))
    reply = only(way.send(ask, "b"), "b")
    for quoted in (reply, lie):
        way.send(IPv6(src=B, dst=RB) / ICMPv6PacketTooBig(mtu=1400) / Raw(bytes(quoted)[:1232]), "b")
    assert sizes(way.send(ask, "b")) == [1400, 156]
    assert list(way.ns.ip6.exceptions) == [parse_ipv6(B)]


def test_replies_are_remembered_within_a_bound(way: Way) -> None:
    """RFC 8201 4: who makes us answer many hosts takes a bounded number of them; short answers take nothing."""
    for host in range(600):
        src = f"2001:db8:2::{host + 16:x}"
        way.send(IPv6(src=src, dst=RB) / ICMPv6EchoRequest(data=bytes(1452 if host % 2 else 1)), "b")
    assert len(way.ns.ip6.answers) == 256
    way.ns.neigh6.flush()
    way.ns.settle(way.now)


def test_a_socket_that_does_not_cut_is_told_the_path(way: Way) -> None:
    """RFC 8201 5.2: sending more than the path takes fails, and who is connected is told as soon as it is known."""
    sock = way.ns.socket(AF_INET6, SOCK_DGRAM)
    sock.setsockopt(IPPROTO_IPV6, IPV6_MTU_DISCOVER, PMTUDISC_DO)
    sock.connect((B, 9), now=way.now)
    sock.send(bytes(1452), now=way.now)
    [(_, pkt)] = way.sent()
    way.send(IPv6(src=B, dst=RB) / ICMPv6PacketTooBig(mtu=1400) / Raw(bytes(pkt)[:1232]), "b")
    assert sock.error == errno.EMSGSIZE
    sock.take_error()
    with pytest.raises(OSError, match="long") as caught:
        sock.send(bytes(1353), now=way.now)
    assert caught.value.errno == errno.EMSGSIZE
    sock.send(bytes(1352), now=way.now)
    assert sizes(way.sent()) == [1400]


def test_what_is_known_of_a_path_ages(way: Way) -> None:
    """RFC 8201 4, 5.3: ten minutes after it shrank the link's MTU is tried again; the time is a setting. The same news
    again does not make it longer."""
    sock = way.ns.socket(AF_INET6, SOCK_DGRAM)
    way.ns.sysctl["net.ipv6.route.mtu_expires"] = 400
    found = []
    for wait in (0, 399, 1):
        way.pass_time(wait)
        if not wait or wait > 1:
            too_big(way, sock, 1400)
        sock.sendto(bytes(1452), (B, 9), now=way.now)
        found.append(max(sizes(way.sent())))
    assert found == [1400, 1400, 1500]


def test_paths_to_groups_are_those_of_their_first_link(way: Way) -> None:
    """RFC 8201 5.2: what one of many paths takes is learned of single hosts alone; a group's datagram fits the link."""
    sock = way.ns.socket(AF_INET6, SOCK_DGRAM)
    way.ns.sysctl["net.ipv6.conf.a.mtu"] = 1400
    sock.sendto(bytes(1452), ("ff15::5", 9), now=way.now)
    first, _ = sent = way.sent()
    assert sizes(sent) == [1400, 156]
    way.send(IPv6(src=A, dst=R_A) / ICMPv6PacketTooBig(mtu=1300) / Raw(bytes(first[1])[:1232]))
    sock.sendto(bytes(1452), ("ff15::5", 9), now=way.now)
    assert sizes(way.sent()) == [1400, 156]


# ---------------------------------------------------------------------------------------------------- RFC 4861


def test_an_advertised_mtu_is_that_of_the_next_link(way: Way) -> None:
    """RFC 4861 6.3.4, RFC 4443 3.2: who forwards tells the MTU that the routers of the next link agreed upon."""
    way.ns.sysctl["net.ipv6.conf.b.mtu"] = 1300
    pkt = only(way.send(IPv6(src=A, dst=B) / UDP() / Raw(bytes(1300))))
    assert pkt[ICMPv6PacketTooBig].mtu == 1300
    assert sizes(way.send(IPv6(src=A, dst=B) / UDP() / Raw(bytes(1252)))) == [1300]


def test_a_prefix_may_be_a_router_s_own_address(link: Link) -> None:
    """RFC 6275 7.2, RFC 4861 4.6.2: bits behind the length mean nothing to whom it is a prefix."""
    h = link.host()
    link.wait(3)
    link.send(ra(prefix("2001:db8:5::77", R=1)))
    link.wait(3)
    assert "2001:db8:5::ff:fe00:3" in shown(h, "eth")
    assert routes(h)["2001:db8:5::/64"] == ("link", 256)


def test_an_answer_that_comes_too_late_is_nobody_s(link: Link) -> None:
    """RFC 4861 7.2.5, 7.3.3: an address whose resolution failed is not known, so what is said of it is not taken."""
    link.stack.receive(link.up, bytes(Ether(src=MAC, dst=MAC_UP) / IPv6(src=FAR, dst=S) / UDP()), link.now)
    link.wait(2.9)
    assert link.r.neigh6.get(link.lan, parse_ipv6(S)).header is None
    link.wait(0.2)
    link.send(na(S, dst=R_LL, S=1))
    assert link.r.neigh6.get(link.lan, parse_ipv6(S)).header is None


def test_an_advertisement_says_who_is_a_router(link: Link) -> None:
    """RFC 4861 6.3.4: with a link-layer address or without one; a new or changed entry is STALE. 7.2.3: a solicitation
    changes nothing of that (and its answer is a use of the entry, which so is in DELAY)."""
    h = link.host()
    link.wait(3)

    def known() -> Any:
        neigh = h.neigh6.get(h.devices["eth"], scoped(parse_ipv6(S_LL), h.devices["eth"].ifindex))
        return neigh and (neigh.state_at(link.now), neigh.mac.hex(":"), neigh.router)

    bare = IPv6(src=S_LL, dst=NODES, hlim=255) / ICMPv6ND_RA(prf=0)
    link.send(bare)
    assert known() is None
    link.send(question(H_LL, S_LL))
    assert known() == (DELAY, MAC, False)
    link.send(bare)
    assert known() == (DELAY, MAC, True)
    link.send(question(H_LL, S_LL))
    assert known() == (DELAY, MAC, True)
    link.send(na(S_LL, dst=H_LL, R=1, S=1), dst=MAC_H)
    assert known() == (REACHABLE, MAC, True)
    link.send(bare / ICMPv6NDOptSrcLLAddr(lladdr=MAC_OTHER))
    assert known() == (STALE, MAC_OTHER, True)


def redirected(link: Link) -> Any:
    """h has station S_LL as its default router, which sent it to OTHER_LL for FAR."""
    h = link.host()
    link.wait(3)
    link.send(ra())
    message = IPv6(src=S_LL, dst=H_LL, hlim=255) / ICMPv6ND_Redirect(tgt=OTHER_LL, dst=FAR)
    link.send(message / ICMPv6NDOptDstLLAddr(lladdr=MAC_OTHER), dst=MAC_H)
    return h


def test_a_gateway_that_is_no_router_any_more_is_left(link: Link) -> None:
    """RFC 4861 7.3.3: what redirects sent by way of it finds its next hop anew, though it was no default router."""
    h = redirected(link)
    sock = h.socket(AF_INET6, SOCK_DGRAM)

    def first_hop() -> str:
        link.heard.clear()
        sock.sendto(b"x", (FAR, 9), now=link.now)
        link.carry()
        return next(frame.dst for _, frame in link.heard if UDP in frame)

    assert first_hop() == MAC_OTHER
    link.send(na(OTHER_LL, mac=MAC_OTHER), dst=MAC_H)
    assert first_hop() == MAC


def test_a_router_that_changes_its_name_says_so(link: Link) -> None:
    """RFC 4861 6.2.8: an advertisement with a lifetime of zero from the old link-local address, others from the new."""
    link.r.ndp.set_ra(link.lan, RaConf(), link.now)
    link.wait(60)
    link.r.add_address("lan", "fe80::1/64", now=link.now)
    link.wait(3)
    link.heard.clear()
    link.r.del_address("lan", f"{R_LL}/64", now=link.now)
    link.wait(20)
    told = [(pkt.src, pkt[ICMPv6ND_RA].routerlifetime) for _, pkt in link.messages(ICMPv6ND_RA)]
    assert told[0] == (R_LL, 0)
    assert told[1:] == [("fe80::1", 1800)] * 2


def test_neighbours_hear_that_a_router_is_a_host(link: Link) -> None:
    """RFC 4861 6.2.5: the router flag of what it says afterwards is zero."""
    assert link.send(question())[0][ICMPv6ND_NA].R == 1
    link.r.sysctl["net.ipv6.conf.all.forwarding"] = 0
    assert link.send(question())[0][ICMPv6ND_NA].R == 0


# ---------------------------------------------------------------------------------------------------- RFC 4862


def test_a_station_with_our_mac_has_the_address(link: Link) -> None:
    """RFC 4862 5.4.4 and appendix A: whoever says that he has a tentative address has it, with whatever MAC."""
    link.r.add_address("lan", f"{NEW}/64", now=link.now)
    link.send(na(NEW, mac=MAC_R), src=MAC_R)
    link.wait(5)
    assert shown(link.r, "lan")[NEW] == "conflict"


def test_it_listens_before_it_asks(link: Link) -> None:
    """RFC 4862 5.4.2: the group is joined first, and what comes in while the probe is delayed counts.

    RFC 4861 7.2.1: it is left when the address goes.
    """
    link.r.add_address("lan", f"{NEW}/64", now=link.now)
    assert multicast_mac6(solicited_node(parse_ipv6(NEW))) in link.lan.groups
    assert link.messages(ICMPv6ND_NS) == []
    link.send(question(NEW, "::"))
    assert shown(link.r, "lan")[NEW] == "conflict"
    link.wait(5)
    assert link.messages(ICMPv6ND_NS) == []
    link.r.del_address("lan", f"{NEW}/64", now=link.now)
    assert multicast_mac6(solicited_node(parse_ipv6(NEW))) not in link.lan.groups


@pytest.mark.parametrize("forwarding", [0, 1])
def test_a_tentative_address_is_nobody_s(link: Link, forwarding: int) -> None:
    """RFC 4862 5.4: what is sent to it is not delivered. A host discards it in silence; a router does with it as with
    any address that is not its own, as Linux does: here there is a route to its prefix, and nobody has it."""
    link.r.sysctl["net.ipv6.conf.all.forwarding"] = forwarding
    sock = link.r.socket(AF_INET6, SOCK_DGRAM)
    sock.bind(("::", 9), now=link.now)
    link.r.add_address("lan", f"{NEW}/64", now=link.now)
    sent = link.send(IPv6(src=S, dst=NEW) / UDP(dport=9) / b"x")
    assert not sock.readable
    asked = [pkt[ICMPv6ND_NS].tgt for pkt in sent]  # beside it for S, which is to be redirected
    assert sorted(asked) == [S, NEW][: 2 * forwarding]


def test_a_program_may_use_a_deprecated_address(link: Link) -> None:
    """RFC 4862 5.5.4: when it asks for it; datagrams to it are delivered; for others a preferred one is taken."""
    h = link.host()
    link.wait(3)
    link.send(ra(prefix("2001:db8:5::", preferredlifetime=0), prefix("2001:db8:6::")))
    link.wait(3)
    old, new = "2001:db8:5::ff:fe00:3", "2001:db8:6::ff:fe00:3"
    assert (shown(h, "eth")[old], shown(h, "eth")[new]) == ("deprecated", "preferred")
    used, free = h.socket(AF_INET6, SOCK_DGRAM), h.socket(AF_INET6, SOCK_DGRAM)
    used.bind((old, 9), now=link.now)
    link.heard.clear()
    for sock in (used, free):
        sock.sendto(b"x", ("2001:db8:5::99", 9), now=link.now)
    link.send(IPv6(src=S_LL, dst=old) / UDP(dport=9) / b"y", dst=MAC_H)
    assert used.recv(9, now=link.now) == b"y"
    link.heard.clear()
    link.wait(1)
    h.neigh6.learn(h.devices["eth"], parse_ipv6("2001:db8:5::99"), bytes.fromhex(MAC.replace(":", "")), link.now)
    h.settle(link.now)
    link.carry()
    assert [pkt.src for _, pkt in link.messages(UDP)] == [old, new]


# ---------------------------------------------------------------------------------------------------- RFC 7084


def test_a_router_is_a_host_on_its_uplink(link: Link) -> None:
    """RFC 7084 W-1 to W-3: with accept_ra 2 it solicits after detection, from its link-local address, has an address by
    SLAAC and a default route by what it hears, and forwards by it."""
    c = link.namespace("c", forwarding=True)
    c.sysctl["net.ipv6.conf.default.accept_ra"] = 2
    link.heard.clear()
    link.device(c, "wan", MAC_H)
    c.ndp.hosts.set_autoconf(c.devices["wan"], True, link.now)
    c.add_device("home", mac="02:00:00:00:00:0a", now=link.now)
    c.add_address("home", "2001:db8:c::1/64", now=link.now)
    c.settle(link.now)
    link.wait(4)
    kinds = [(type(frame[IPv6].payload).__name__, frame[IPv6].src) for _, frame in link.heard]
    probe, asked = kinds.index(("ICMPv6ND_NS", "::")), kinds.index(("ICMPv6ND_RS", H_LL))
    assert probe < asked
    assert link.heard[asked][1][ICMPv6NDOptSrcLLAddr].lladdr == MAC_H
    link.send(ra(prefix("2001:db8:5::")))
    link.wait(3)
    assert shown(c, "wan")["2001:db8:5::ff:fe00:3"] == "preferred"
    assert routes(c)["default"] == (S_LL, 1024)
    packet = IPv6(src="2001:db8:c::9", dst="2001:db8:99::9", hlim=9) / UDP()
    link.heard.clear()
    link.stack.receive(c.devices["home"], bytes(Ether(src=MAC, dst="02:00:00:00:00:0a") / packet), link.now)
    link.carry()
    [(_, pkt)] = link.messages(UDP)
    assert (pkt.src, pkt.hlim) == ("2001:db8:c::9", 8)


def test_an_address_alone_says_nothing_of_the_link(link: Link) -> None:
    """RFC 5942 4, RFC 4861 6.3.4, RFC 7084 WAA-2: without the L flag others of the prefix are reached by the router."""
    h = link.host()
    link.wait(3)
    link.send(ra(prefix("2001:db8:5::", L=0)))
    link.wait(3)
    assert list(routes(h)) == ["default"]
    sock = h.socket(AF_INET6, SOCK_DGRAM)
    link.heard.clear()
    sock.sendto(b"x", ("2001:db8:5::99", 9), now=link.now)
    link.carry()
    [(_, pkt)], [(_, frame)] = link.messages(UDP), [one for one in link.heard if UDP in one[1]]
    assert (pkt.src, frame.dst) == ("2001:db8:5::ff:fe00:3", MAC)


def test_an_mtu_that_was_told_binds_groups_too(link: Link) -> None:
    """RFC 4861 3.2: all nodes of a link use one MTU, or multicast does not work."""
    h = link.host()
    link.wait(3)
    link.send(ra(ICMPv6NDOptMTU(mtu=1300)))
    sock = h.socket(AF_INET6, SOCK_DGRAM)
    link.heard.clear()
    sock.sendto(bytes(1300), ("ff02::5", 9, 0, h.devices["eth"].ifindex), now=link.now)
    link.carry()
    assert [len(bytes(frame[IPv6])) for _, frame in link.heard] == [1296, 108]


def test_sources_of_any_prefix_are_forwarded(way: Way) -> None:
    """RFC 7084 L-14 asks for code 5 about sources of a delegated prefix that is invalid: nothing is delegated here, and
    what a prefix of no link has sent is forwarded like other packets."""
    assert only(way.send(IPv6(src="2001:db8:dead::9", dst=B) / UDP()), "b").src == "2001:db8:dead::9"
