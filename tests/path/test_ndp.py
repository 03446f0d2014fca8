"""Neighbour discovery through whole stacks: two namespaces on one link, and a station that makes and reads frames.

::

    r ── up 2001:db8:9::1/64 ── x (nobody)
    r ── lan 2001:db8:1::1/64 ──┬── h: eth, which configures itself
                                └── station 2001:db8:1::5 (scapy)

Every frame of one is received by all others on the link; the accounts of all of them balance at the end.
"""

from collections.abc import Iterator
from itertools import pairwise
from typing import Any

import pytest
from scapy.layers.inet import UDP
from scapy.layers.inet6 import (
    ICMPv6EchoReply,
    ICMPv6EchoRequest,
    ICMPv6ND_NA,
    ICMPv6ND_NS,
    ICMPv6ND_RA,
    ICMPv6ND_Redirect,
    ICMPv6ND_RS,
    ICMPv6NDOptDstLLAddr,
    ICMPv6NDOptPrefixInfo,
    ICMPv6NDOptRedirectedHdr,
    ICMPv6NDOptSrcLLAddr,
    IPv6,
    IPv6ExtHdrFragment,
)
from scapy.layers.l2 import Ether
from scapy.packet import Raw

from vrouter.stack import Stack
from vrouter.stack.base.addresses import format_ipv6, format_prefix, parse_ipv6, scoped
from vrouter.stack.base.counters import Stat
from vrouter.stack.base.drop import DropReason
from vrouter.stack.device import Device
from vrouter.stack.l2.answer_rate import ANSWERS_BURST
from vrouter.stack.l2.router_advert import RaConf, RaPrefix
from vrouter.stack.netns import Netns

SECOND = 1_000_000_000
MAC_R, MAC_UP, MAC_H, MAC = "02:00:00:00:00:01", "02:00:00:00:00:02", "02:00:00:00:00:03", "02:00:00:00:00:05"
R, R_LL, S, S_LL = "2001:db8:1::1", "fe80::ff:fe00:1", "2001:db8:1::5", "fe80::5"
H, H_LL = "2001:db8:1::ff:fe00:3", "fe80::ff:fe00:3"
FAR = "2001:db8:9::9"
NODES, ROUTERS = "ff02::1", "ff02::2"
HOP_BY_HOP = 0


class Link:
    """The link as drawn above, the station's view of it, and the time."""

    def __init__(self) -> None:
        self.stack = Stack(seed=3, identity="link")
        self.now = SECOND
        self.heard: list[tuple[int, Ether]] = []  # every frame on the link that was not the station's
        self.beyond: list[Ether] = []  # what left by up
        self.wire: list[Device] = []
        self.r = self.namespace("r", forwarding=True)
        self.lan = self.device(self.r, "lan", MAC_R)
        self.up = self.r.add_device("up", mac=MAC_UP, now=self.now)
        self.r.add_address("up", "2001:db8:9::1/64", now=self.now)
        self.r.neigh6.add_static(self.up, parse_ipv6(FAR), bytes(5) + b"\x09", self.now)
        self.r.add_address("lan", f"{R}/64", now=self.now)
        self.wait(10)
        self.heard.clear()

    def namespace(self, name: str, *, forwarding: bool = False) -> Netns:
        ns = self.stack.add_netns(name, now=self.now)
        if forwarding:
            ns.sysctl["net.ipv6.conf.all.forwarding"] = 1
        return ns

    def device(self, ns: Netns, name: str, mac: str) -> Device:
        dev = ns.add_device(name, mac=mac, now=self.now)
        self.wire.append(dev)  # before anything that it sent is looked at
        self.carry()
        return dev

    def host(self) -> Netns:
        """h comes to the link."""
        h = self.namespace("h")
        eth = self.device(h, "eth", MAC_H)
        h.ndp.hosts.set_autoconf(eth, True, self.now)
        h.settle(self.now)
        self.carry()
        return h

    # -- frames and time ----------------------------------------------------------------------------------------------

    def carry(self) -> None:
        """Bring what was sent to everybody else on the link."""
        while frames := self.stack.take_egress():
            for dev, frame in frames:
                if dev not in self.wire:
                    self.beyond.append(Ether(bytes(frame)))
                    continue
                if frame[20] != HOP_BY_HOP:  # memberships, which are told in the same breath
                    self.heard.append((self.now, Ether(bytes(frame))))
                self.deliver(bytes(frame), dev)

    def deliver(self, frame: bytes, sender: Device | None) -> None:
        for dev in self.wire:
            if dev is not sender and dev.ready:
                self.stack.receive(dev, frame, self.now)

    def send(self, packet: Any, *, dst: str = MAC_R, src: str = MAC) -> list[IPv6]:
        """The station sends a packet; what is heard then."""
        self.heard.clear()
        if packet.dst.startswith("ff02::"):
            dst = "33:33:" + ":".join(f"{octet:02x}" for octet in parse_ipv6(packet.dst).to_bytes(16, "big")[12:])
        self.deliver(bytes(Ether(src=src, dst=dst) / packet), None)
        self.carry()
        return [frame[IPv6] for _, frame in self.heard]

    def wait(self, seconds: float) -> None:
        """Let time pass, and every timer fire at its time."""
        end = self.now + round(seconds * SECOND)
        self.carry()
        while (at := self.stack.poll_at()) is not None and at <= end:
            self.now = max(self.now, at)
            self.stack.poll(self.now)
            self.carry()
        self.now = end

    # -- questions ----------------------------------------------------------------------------------------------------

    def messages(self, kind: Any) -> list[tuple[float, IPv6]]:
        """(seconds, packet) of every message of a kind that was heard."""
        return [(at / SECOND, frame[IPv6]) for at, frame in self.heard if kind in frame]

    def settle(self, ns: Netns) -> None:
        ns.settle(self.now)
        self.carry()

    def close(self) -> None:
        sources, ends = self.stack.accounts()
        assert sum(sources.values()) == sum(ends.values())


@pytest.fixture
def link() -> Iterator[Link]:
    made = Link()
    yield made
    made.close()


def question(target: str = R, src: str = S, dst: str = "", **fields: Any) -> Any:
    """A neighbour solicitation of the station."""
    low = parse_ipv6(target) & 0xFFFFFF
    packet = IPv6(src=src, dst=dst or f"ff02::1:ff{low >> 16:02x}:{low & 0xFFFF:x}", hlim=255, **fields)
    packet /= ICMPv6ND_NS(tgt=target)
    return packet if src == "::" else packet / ICMPv6NDOptSrcLLAddr(lladdr=MAC)


def shown(ns: Netns, name: str) -> dict[str, str]:
    """Addresses of a device and their state."""
    return {format_ipv6(a.address): a.state for a in ns.devices[name].addresses if a.family == 6}


def routes(ns: Netns) -> dict[str, tuple[str, int]]:
    """Routes that were advertised: prefix -> (via, metric)."""
    return {
        format_prefix(prefix, length, 6): ("link" if route.via < 0 else format_ipv6(route.via), route.metric)
        for prefix, length, route in ns.ip6.main
        if route.proto == "ra"
    }


# ---------------------------------------------------------------------------------------------------- questions


def test_a_neighbour_is_answered(link: Link) -> None:
    """RFC 4861 7.2.4: what scapy builds is answered with what scapy reads."""
    [answer] = link.send(question())
    assert (answer.src, answer.dst, answer.hlim) == (R, S, 255)
    na = answer[ICMPv6ND_NA]
    assert (na.tgt, na.R, na.S, na.O, na[ICMPv6NDOptDstLLAddr].lladdr) == (R, 1, 1, 1, MAC_R)
    assert [frame.dst for _, frame in link.heard] == [MAC]
    assert link.r.stats[Stat.Icmp6InNeighborSolicits] >= 1
    assert link.r.stats[Stat.Icmp6OutNeighborAdvertisements] >= 1


def test_the_traffic_class_of_neighbour_discovery(link: Link) -> None:
    """Linux's ndisc_tclass: of answers, questions and redirects of that device, and of no other packet."""
    assert [answer.tc for answer in link.send(question())] == [0]
    link.r.sysctl["net.ipv6.conf.lan.ndisc_tclass"] = 0xC0
    [answer] = link.send(question())
    assert (answer[ICMPv6ND_NA].tgt, answer.tc) == (R, 0xC0)
    link.heard.clear()
    packet = IPv6(src=FAR, dst="2001:db8:1::77") / UDP(sport=1, dport=2)
    link.stack.receive(link.up, bytes(Ether(src=MAC, dst=MAC_UP) / packet), link.now)
    link.carry()
    assert [(frame[ICMPv6ND_NS].tgt, frame[IPv6].tc) for _, frame in link.heard] == [("2001:db8:1::77", 0xC0)]
    echo = IPv6(src=S, dst=R) / ICMPv6EchoRequest()
    assert [reply.tc for reply in link.send(echo) if ICMPv6EchoReply in reply] == [0]


def test_a_packet_waits_for_its_neighbour(link: Link) -> None:
    """RFC 4861 7.2.2: asked at the solicited-node group, from the packet's source; then the packet goes."""
    packet = IPv6(src=FAR, dst=S, hlim=9) / UDP(sport=1, dport=2)
    link.heard.clear()
    link.stack.receive(link.up, bytes(Ether(src=MAC, dst=MAC_UP) / packet), link.now)
    link.carry()
    [ask] = [frame for _, frame in link.heard]
    assert (ask.dst, ask[IPv6].src, ask[IPv6].dst, ask[IPv6].hlim) == ("33:33:ff:00:00:05", R_LL, "ff02::1:ff00:5", 255)
    assert (ask[ICMPv6ND_NS].tgt, ask[ICMPv6NDOptSrcLLAddr].lladdr) == (S, MAC_R)
    answer = IPv6(src=S, dst=R_LL, hlim=255) / ICMPv6ND_NA(tgt=S, R=0, S=1, O=1) / ICMPv6NDOptDstLLAddr(lladdr=MAC)
    [sent] = link.send(answer)
    assert (sent.src, sent.dst, sent.hlim) == (FAR, S, 8)
    assert [frame.dst for _, frame in link.heard] == [MAC]


def test_each_reason_of_neighbour_discovery_is_reached(link: Link) -> None:
    """Malformed, about nobody here, and too many."""
    bad = question()
    bad.hlim = 64
    assert link.send(bad) == []
    assert link.lan.drops is not None
    assert link.lan.drops[DropReason.NDP_INVALID] == 1
    assert link.send(question("2001:db8:1::99", dst=R)) == []
    assert link.lan.drops[DropReason.NDP_NOT_ON_LINK] == 1
    for _ in range(ANSWERS_BURST + 1):
        link.send(question())
    assert link.lan.drops[DropReason.NDP_RATELIMIT] == 1


def test_fragments_and_atomic_fragments_are_refused(link: Link) -> None:
    """RFC 6980 5: a solicitation behind a fragment header is no solicitation."""
    whole = question()
    atomic = IPv6(src=whole.src, dst=whole.dst, hlim=255) / IPv6ExtHdrFragment(nh=58, id=7) / Raw(bytes(whole)[40:])
    assert link.send(atomic) == []
    assert link.lan.drops is not None
    assert link.lan.drops[DropReason.NDP_INVALID] == 1


def test_proxied_and_anycast_addresses(link: Link) -> None:
    """RFC 4861 7.2.7, 7.2.8: both get their groups, and are answered within a second, without override."""
    link.r.sysctl["net.ipv6.conf.lan.proxy_ndp"] = 1
    link.r.ndp.add_proxy(link.lan, parse_ipv6(FAR))
    link.settle(link.r)
    for target in (FAR, "2001:db8:1::"):
        assert link.send(question(target)) == []
        link.wait(1.1)
        [(_, answer)] = link.messages(ICMPv6ND_NA)
        assert (answer.dst, answer[ICMPv6ND_NA].tgt, answer[ICMPv6ND_NA].O) == (S, target, 0)


# ---------------------------------------------------------------------------------------------------- detection


def test_a_new_address_is_looked_for_and_then_told(link: Link) -> None:
    """RFC 4862 5.4: not usable before; scapy sees the probe and the announcement."""
    link.r.add_address("lan", "2001:db8:1::7/64", now=link.now)
    assert shown(link.r, "lan")["2001:db8:1::7"] == "tentative"
    assert not link.r.ip6.is_local(parse_ipv6("2001:db8:1::7"))
    assert link.send(question("2001:db8:1::7")) == []
    link.wait(3)
    assert shown(link.r, "lan")["2001:db8:1::7"] == "preferred"
    [(asked, probe)], [(told, announcement)] = link.messages(ICMPv6ND_NS), link.messages(ICMPv6ND_NA)
    assert (probe.src, probe.dst) == ("::", "ff02::1:ff00:7")
    assert ICMPv6NDOptSrcLLAddr not in probe
    assert (announcement.src, announcement.dst, told - asked) == ("2001:db8:1::7", NODES, pytest.approx(1))


def test_an_address_that_somebody_has_is_not_used(link: Link) -> None:
    """RFC 4862 5.4.4, 5.4.5."""
    link.r.add_address("lan", f"{S}/64", now=link.now)
    link.send(IPv6(src=S, dst=NODES, hlim=255) / ICMPv6ND_NA(tgt=S, R=0, S=0, O=1) / ICMPv6NDOptDstLLAddr(lladdr=MAC))
    link.wait(5)
    assert shown(link.r, "lan")[S] == "conflict"
    assert not link.r.ip6.is_local(parse_ipv6(S))


def test_two_namespaces_that_want_the_same_address(link: Link) -> None:
    """RFC 4862 5.4.3: who probes while another does loses it with him, or finds it taken; never both use it."""
    other = link.namespace("other")
    link.device(other, "eth", MAC_H)
    link.wait(5)
    link.r.add_address("lan", "2001:db8:1::7/64", now=link.now)
    other.add_address("eth", "2001:db8:1::7/64", now=link.now)
    link.wait(5)
    states = [shown(link.r, "lan")["2001:db8:1::7"], shown(other, "eth")["2001:db8:1::7"]]
    assert states.count("preferred") <= 1
    assert "conflict" in states


def test_a_device_that_comes_back_looks_again(link: Link) -> None:
    """RFC 4862 5.4: when the interface is enabled; and its routes are there afterwards."""
    link.r.set_device("lan", up=False, now=link.now)
    link.wait(1)
    link.heard.clear()
    link.r.set_device("lan", up=True, now=link.now)
    assert set(shown(link.r, "lan").values()) == {"tentative"}
    link.wait(3)
    assert shown(link.r, "lan") == {R_LL: "preferred", R: "preferred"}
    assert {packet[ICMPv6ND_NS].tgt for _, packet in link.messages(ICMPv6ND_NS)} == {R, R_LL}
    assert link.send(question()) != []


def test_a_veth_needs_no_detection(link: Link) -> None:
    """Who is at its other end is configured: an address is usable at once, also after it was down."""
    one, two = link.namespace("one"), link.namespace("two")
    x, _ = link.stack.add_veth(one, "x", two, "y", now=link.now)
    one.add_address(x, "fd00::1/64", now=link.now)
    assert shown(one, "x")["fd00::1"] == "preferred"
    one.set_device("x", up=False, now=link.now)
    one.set_device("x", up=True, now=link.now)
    assert shown(one, "x")["fd00::1"] == "preferred"
    assert one.ip6.is_local(parse_ipv6("fd00::1"))


# ---------------------------------------------------------------------------------------------------- advertisements


def test_scapy_reads_the_advertisement(link: Link) -> None:
    """RFC 4861 4.2: to all nodes with hop limit 255; a solicitation brings the next one soon (6.2.6)."""
    link.r.ndp.set_ra(link.lan, RaConf(), link.now)
    link.wait(60)
    link.heard.clear()
    link.send(IPv6(src=S_LL, dst=ROUTERS, hlim=255) / ICMPv6ND_RS() / ICMPv6NDOptSrcLLAddr(lladdr=MAC))
    link.wait(0.6)
    [(_, ra)] = link.messages(ICMPv6ND_RA)
    assert (ra.src, ra.dst, ra.hlim) == (R_LL, NODES, 255)
    assert (ra[ICMPv6ND_RA].routerlifetime, ra[ICMPv6ND_RA].chlim, ra[ICMPv6ND_RA].M) == (1800, 64, 0)
    prefix = ra[ICMPv6NDOptPrefixInfo]
    assert (prefix.prefix, prefix.prefixlen, prefix.L, prefix.A) == ("2001:db8:1::", 64, 1, 1)
    assert ra[ICMPv6NDOptSrcLLAddr].lladdr == MAC_R


def test_a_host_configures_itself_and_reaches_the_world(link: Link) -> None:
    """RFC 4861 6.3, RFC 4862 5.5: solicitation, advertisement, address, default route, and a packet beyond."""
    link.r.ndp.set_ra(link.lan, RaConf(), link.now)
    link.wait(60)
    link.heard.clear()
    h = link.host()
    link.wait(10)
    assert shown(h, "eth") == {H_LL: "preferred", H: "preferred"}
    assert routes(h) == {"default": (R_LL, 1024), "2001:db8:1::/64": ("link", 256)}
    assert len(link.messages(ICMPv6ND_RS)) == 1
    sock = h.socket(10, 2)
    sock.sendto(b"hello", (FAR, 7), now=link.now)
    link.carry()
    [frame] = [frame for frame in link.beyond if UDP in frame]
    assert (frame[IPv6].src, frame[IPv6].dst, frame[IPv6].hlim) == (H, FAR, 63)
    sock.close(now=link.now)


@pytest.mark.parametrize(("first", "most", "delay"), [(1, 2, 0), (8, 8, 5), (4, 3600, 1)])
def test_how_often_a_host_asks_is_a_setting(link: Link, first: int, most: int, delay: int) -> None:
    """RFC 7559 2.1: router_solicitation_interval doubles up to router_solicitation_max_interval, each give or take a
    tenth, after router_solicitation_delay at most."""
    h = link.namespace("h")
    for name, value in (("interval", first), ("max_interval", most), ("delay", delay)):
        h.sysctl[f"net.ipv6.conf.default.router_solicitation_{name}"] = value
    eth = link.device(h, "eth", MAC_H)
    began = link.now / SECOND
    h.ndp.hosts.set_autoconf(eth, True, link.now)
    h.settle(link.now)
    link.wait(60)
    times = [at for at, _ in link.messages(ICMPv6ND_RS)]
    assert began <= times[0] <= began + 1 + delay  # its address is probed for a second before
    assert len(times) >= 4
    gaps = [after - before for before, after in pairwise(times)]
    assert 0.9 * first <= gaps[0] <= 1.1 * first
    for before, after in pairwise(gaps):
        assert min(1.9 * before, 0.9 * most) <= after <= min(2.1 * before, 1.1 * most)


def test_what_is_withdrawn_is_not_used_any_more(link: Link) -> None:
    """RFC 4861 6.2.5, RFC 7084 L-13: a router that ceases is no default route; a prefix that goes is deprecated."""
    link.r.ndp.set_ra(link.lan, RaConf(), link.now)
    h = link.host()
    link.wait(30)
    assert shown(h, "eth")[H] == "preferred"
    link.r.del_address("lan", f"{R}/64", now=link.now)
    link.wait(5)
    assert shown(h, "eth")[H] == "deprecated"
    link.r.ndp.set_ra(link.lan, None, link.now)
    link.settle(link.r)
    assert "default" not in routes(h)
    link.wait(7300)
    assert shown(h, "eth") == {H_LL: "preferred"}
    assert routes(h) == {}


def test_an_advertised_mtu_and_hop_limit_are_the_device_s_settings(link: Link) -> None:
    """RFC 4861 6.3.4, as Linux shows them."""
    conf = RaConf(prefixes=(RaPrefix(parse_ipv6("2001:db8:1::")),), mtu=1400, hop_limit=33, reachable=9000, retrans=500)
    link.r.ndp.set_ra(link.lan, conf, link.now)
    h = link.host()
    link.wait(30)
    names = {"conf.eth.mtu": 1400, "conf.eth.hop_limit": 33}
    names |= {"neigh.eth.base_reachable_time_ms": 9000, "neigh.eth.retrans_time_ms": 500}
    assert {name: h.sysctl[f"net.ipv6.{name}"] for name in names} == names


def test_a_router_that_is_gone_is_passed_over(link: Link) -> None:
    """RFC 4861 6.3.6: unreachability detection finds out, and the other router is taken though preferred less."""
    h = link.host()
    eth = h.devices["eth"]
    link.wait(5)
    link.send(IPv6(src=S_LL, dst=NODES, hlim=255) / ICMPv6ND_RA(prf=1) / ICMPv6NDOptSrcLLAddr(lladdr=MAC))
    link.r.ndp.set_ra(link.lan, RaConf(preference="low"), link.now)
    link.wait(5)
    chosen = h.ip6.main.lookup(parse_ipv6(FAR))
    assert chosen is not None
    assert (format_ipv6(chosen.via), chosen.metric) == (S_LL, 1023)
    sock = h.socket(10, 2)
    for _ in range(20):
        sock.sendto(b"x", (FAR, 7), now=link.now)
        link.wait(1)
    chosen = h.ip6.main.lookup(parse_ipv6(FAR))
    assert chosen is not None
    assert format_ipv6(chosen.via) == R_LL
    assert [frame[IPv6].dst for frame in link.beyond if UDP in frame][:1] == [FAR]
    assert h.neigh6.get(eth, scoped(parse_ipv6(R_LL), eth.ifindex)) is not None
    sock.close(now=link.now)


def test_a_host_survives_a_flood_of_advertisements(link: Link) -> None:
    """Bounded tables whatever comes: addresses, routers, routes, neighbours."""
    h = link.host()
    link.wait(5)
    for number in range(300):
        packet = IPv6(src=f"fe80::1:{number:x}", dst=NODES, hlim=255) / ICMPv6ND_RA()
        packet /= ICMPv6NDOptPrefixInfo(prefix=f"2001:db8:{number + 16:x}::", prefixlen=64)
        link.send(packet)
    link.wait(3)
    assert len(shown(h, "eth")) == 1 + 16
    assert len(routes(h)) <= 1 + 32
    assert sum(1 for *_, route in h.ip6.main if route.proto == "ra") == 16 + 32


# ---------------------------------------------------------------------------------------------------- redirects


def test_a_redirect_is_sent(link: Link) -> None:
    """RFC 4861 8.2: to a sender on the link whose packet leaves the way it came: the better hop, what it was about."""
    link.r.add_route("2001:db8:77::/48", via="fe80::9", dev="lan", now=link.now)
    link.r.neigh6.add_static(link.lan, scoped(parse_ipv6("fe80::9"), link.lan.ifindex), bytes(5) + b"\x07", link.now)
    link.r.neigh6.add_static(link.lan, parse_ipv6(S), bytes.fromhex(MAC.replace(":", "")), link.now)
    packet = IPv6(src=S, dst="2001:db8:77::1") / UDP(sport=1, dport=2) / Raw(bytes(1400))
    redirect, forwarded = sorted(link.send(packet), key=lambda one: one.nh != 58)
    assert (redirect.src, redirect.dst, redirect.hlim) == (R_LL, S, 255)
    message = redirect[ICMPv6ND_Redirect]
    assert (message.tgt, message.dst) == ("fe80::9", "2001:db8:77::1")
    assert message[ICMPv6NDOptDstLLAddr].lladdr == "00:00:00:00:00:07"
    assert len(redirect) <= 1280
    assert bytes(message[ICMPv6NDOptRedirectedHdr].pkt)[8:40] == bytes(packet)[8:40]
    assert forwarded.hlim == 63


def test_a_redirect_is_believed_from_the_first_hop_alone(link: Link) -> None:
    """RFC 4861 8.3: a host then sends by the target, whose link-layer address it learned; others are not believed."""
    link.r.ndp.set_ra(link.lan, RaConf(), link.now)
    h = link.host()
    link.wait(30)
    sock = h.socket(10, 2)
    sock.sendto(b"x", (FAR, 7), now=link.now)
    link.carry()
    for source, src_mac in ((S_LL, MAC), (R_LL, MAC_R)):
        redirect = IPv6(src=source, dst=H, hlim=255) / ICMPv6ND_Redirect(tgt=S_LL, dst=FAR)
        redirect /= ICMPv6NDOptDstLLAddr(lladdr=MAC)
        link.send(redirect, dst=MAC_H, src=src_mac)
        link.heard.clear()
        sock.sendto(b"x", (FAR, 7), now=link.now)
        link.carry()
        [out] = [frame for _, frame in link.heard if UDP in frame and frame.src == MAC_H]
        assert out.dst == (MAC_R if source == S_LL else MAC)
    sock.close(now=link.now)
