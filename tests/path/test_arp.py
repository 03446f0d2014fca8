"""ARP through the whole stack: RFC 826, RFC 1122 2.3.2, RFC 1812 3.3.2, and Linux's settings for it.

a 10.0.1.2 ── 10.0.1.1 r 10.0.2.1 ── 10.0.2.2 b        nothing is resolved at the start
"""

from __future__ import annotations

import pytest

from tests.path.bed import Bed
from vrouter.stack.base.drop import DropReason
from vrouter.stack.l2.neighbour import NeighState
from vrouter.testing import frames, match

pytestmark = pytest.mark.parametrize("bed", [{"resolve": True}], indirect=True)

OTHER = "02:00:00:00:aa:aa"
UNSOLICITED = pytest.mark.parametrize("op", [1, 2], ids=["request", "reply"])


def request(bed: Bed, target: str, sender: str = "10.0.1.2", **wrong: object) -> bytes:
    """a asks for `target`."""
    return frames.arp_request(bed.a.mac, sender, target, **wrong)


@pytest.mark.parametrize("unicast", [False, True])
def test_a_request_for_our_address_is_answered(bed: Bed, unicast: bool) -> None:
    """RFC 826, RFC 1122 2.3.2.1: by unicast to who asked, also when he asked by unicast; he is learned on the way."""
    with bed.expect(rx=1, tx=1, ArpInRequests=1, ArpOutReplies=1):
        bed.a.send_arp(request(bed, "10.0.1.1"), dst_mac=bed.a.dev.mac if unicast else frames.BROADCAST)
    mac = bed.a.dev.mac
    assert bed.a.arp == [
        match.arp(op=2, sha=mac, spa="10.0.1.1", tha=bed.a.mac, tpa="10.0.1.2", eth_dst=bed.a.mac, eth_src=mac)
    ]
    assert bed.a.arp[0][14:20] == b"\0\1\x08\0\6\4"  # Ethernet, IPv4: never trailers (RFC 1812 3.3.1)
    assert bed.neigh(bed.a) is NeighState.STALE


def test_a_request_for_somebody_else_is_not(bed: Bed) -> None:
    """RFC 826: not for us, and its sender is not learned."""
    with bed.expect(rx=1, drops={DropReason.ARP_NOT_ON_LINK: 1}, ArpInRequests=1):
        bed.a.send_arp(request(bed, "10.0.1.9"))
    assert bed.neigh(bed.a) is None


MALFORMED = [
    ("hardware type 6", {"htype": 6}),
    ("protocol IPv6", {"ptype": 0x86DD}),
    ("trailers", {"ptype": 0x1000}),
    ("hardware length 8", {"hlen": 8}),
    ("protocol length 16", {"plen": 16}),
]


@pytest.mark.parametrize("wrong", [row[1] for row in MALFORMED], ids=[row[0] for row in MALFORMED])
def test_malformed(bed: Bed, wrong: dict[str, int]) -> None:
    """RFC 826: another hardware or protocol, or other lengths, are not for us."""
    with bed.expect(rx=1, drops={DropReason.ARP_INVALID: 1}):
        bed.a.send_arp(request(bed, "10.0.1.1", **wrong))
    assert bed.a.arp == []


@pytest.mark.parametrize("op", [0, 3, 4, 8, 9, 0xFFFF])
def test_other_operations(bed: Bed, op: int) -> None:
    """RFC 826: request and reply; reverse and inverse ARP are others' business."""
    with bed.expect(rx=1, drops={DropReason.ARP_INVALID: 1}):
        bed.a.send_arp(frames.arp(op, bed.a.mac, "10.0.1.2", bytes(6), "10.0.1.1"))


@pytest.mark.parametrize("size", [0, 7, 8, 27])
def test_truncated(bed: Bed, size: int) -> None:
    """RFC 826: 28 bytes for IPv4 over Ethernet."""
    with bed.expect(rx=1, drops={DropReason.ARP_INVALID: 1}):
        bed.a.send_arp(request(bed, "10.0.1.1")[:size])


@pytest.mark.parametrize("sha", [frames.BROADCAST, "01:00:5e:00:00:09", "00:00:00:00:00:00"])
@UNSOLICITED
def test_link_addresses_that_no_station_has(bed: Bed, sha: str, op: int) -> None:
    """RFC 1812 3.3.2: an ARP packet that claims a broadcast or multicast link address is not believed."""
    bed.a.send_arp(request(bed, "10.0.1.1"))
    known = bed.r.neigh4.get(bed.a.dev, 0x0A000102).mac
    with bed.expect(rx=1, drops={DropReason.ARP_INVALID: 1}):
        bed.a.send_arp(frames.arp(op, sha, "10.0.1.2", bed.a.dev.mac, "10.0.1.1"))
    assert bed.r.neigh4.get(bed.a.dev, 0x0A000102).mac == known == bed.a.mac


@pytest.mark.parametrize("spa", ["127.0.0.1", "224.0.0.1", "255.255.255.255", "10.0.1.255", "0.0.0.9", "240.0.0.1"])
def test_senders_that_are_no_host(bed: Bed, spa: str) -> None:
    """RFC 1812 3.3.2, 5.3.7: no entry is made for an address that no single station has."""
    with bed.expect(rx=1, drops={DropReason.ARP_INVALID: 1}):
        bed.a.send_arp(request(bed, "10.0.1.1", spa))


@pytest.mark.parametrize("tpa", ["127.0.0.1", "224.0.0.1", "255.255.255.255", "10.0.1.255"])
def test_targets_that_are_no_host(bed: Bed, tpa: str) -> None:
    """RFC 826, Linux: nobody answers for a group or for loopback."""
    with bed.expect(rx=1, drops={DropReason.ARP_INVALID: 1}):
        bed.a.send_arp(request(bed, tpa))


def test_a_sender_from_another_link(bed: Bed) -> None:
    """RFC 826: who has neither a prefix nor a route on this link is not answered and not learned."""
    with bed.expect(rx=2, drops={DropReason.ARP_NOT_ON_LINK: 2}, ArpInRequests=2):
        bed.a.send_arp(request(bed, "10.0.1.1", "10.0.2.7"))
        bed.a.send_arp(request(bed, "10.0.1.1", "198.51.100.1"))
    assert bed.a.arp == []


def test_an_echo_of_our_own(bed: Bed) -> None:
    """RFC 5227 2.1.1: what we sent and the link brought back is no news."""
    with bed.expect(rx=1, drops={DropReason.ARP_INVALID: 1}):
        bed.a.send_arp(frames.arp_request(bed.a.dev.mac, "10.0.1.1", "10.0.1.2"))


def test_a_probe_is_answered_and_teaches_nothing(bed: Bed) -> None:
    """RFC 5227 2.1.1, 2.5: sender 0.0.0.0: a reply that defends the address, and no entry."""
    with bed.expect(rx=1, tx=1, ArpInRequests=1, ArpOutReplies=1):
        bed.a.send_arp(request(bed, "10.0.1.1", "0.0.0.0"))
    assert bed.a.arp == [match.arp(op=2, spa="10.0.1.1", tha=bed.a.mac, tpa="0.0.0.0")]
    assert list(bed.a.dev.neigh4) == []


@UNSOLICITED
@pytest.mark.parametrize("accept", [0, 1, 2])
def test_unasked_news_about_strangers(bed: Bed, op: int, accept: int) -> None:
    """RFC 826's merge flag, Linux's arp_accept: without it no entry is made from a gratuitous packet."""
    bed.r.sysctl["net.ipv4.conf.a.arp_accept"] = accept
    gratuitous = frames.arp(op, bed.a.mac, "10.0.1.2", bed.a.mac if op == 2 else bytes(6), "10.0.1.2")
    bed.a.send_arp(gratuitous)
    assert bed.neigh(bed.a) is (NeighState.STALE if accept else None)


@UNSOLICITED
def test_a_gratuitous_packet_updates_what_is_known(bed: Bed, op: int) -> None:
    """RFC 826, RFC 5227 3: a station whose link address changed says so, and the entry follows at once."""
    bed.a.send_arp(request(bed, "10.0.1.1"))
    bed.a.send_arp(frames.arp(op, OTHER, "10.0.1.2", OTHER if op == 2 else bytes(6), "10.0.1.2"))
    assert bed.r.neigh4.get(bed.a.dev, 0x0A000102).mac == frames.mac_bytes(OTHER)


@UNSOLICITED
@pytest.mark.parametrize("where", ["all", "a"])
def test_gratuitous_packets_teach_nothing_where_they_are_dropped(bed: Bed, op: int, where: str) -> None:
    """Linux's drop_gratuitous_arp: neither a new neighbour nor another address of a known one."""
    bed.r.sysctl[f"net.ipv4.conf.{where}.drop_gratuitous_arp"] = 1
    bed.r.sysctl["net.ipv4.conf.a.arp_accept"] = 1
    with bed.expect(rx=1, drops={DropReason.ARP_NOT_ON_LINK: 1}, **{"ArpInRequests" if op == 1 else "ArpInReplies": 1}):
        bed.a.send_arp(frames.arp(op, OTHER, "10.0.1.2", OTHER if op == 2 else bytes(6), "10.0.1.2"))
    assert bed.neigh(bed.a) is None
    bed.a.send_arp(request(bed, "10.0.1.1"))
    bed.a.send_arp(frames.arp(op, OTHER, "10.0.1.2", OTHER if op == 2 else bytes(6), "10.0.1.2"))
    assert bed.r.neigh4.get(bed.a.dev, 0x0A000102).mac == bed.a.mac


@pytest.mark.parametrize(("locktime", "believed"), [(100, False), (0, True)])
def test_the_first_answer_wins_for_a_while(bed: Bed, locktime: int, believed: bool) -> None:
    """Linux's locktime (1 s): of two stations that answer one question the first is the nearest."""
    bed.r.sysctl["net.ipv4.neigh.a.locktime"] = locktime
    bed.a.send_arp(request(bed, "10.0.1.1"))
    bed.run_for(0.5)
    bed.a.send_arp(frames.arp_reply(OTHER, "10.0.1.2", bed.a.dev.mac, "10.0.1.1"), dst_mac=bed.a.dev.mac)
    mac = bed.r.neigh4.get(bed.a.dev, 0x0A000102).mac
    assert mac == (frames.mac_bytes(OTHER) if believed else bed.a.mac)
    bed.run_for(1)
    bed.a.send_arp(frames.arp_reply(OTHER, "10.0.1.2", bed.a.dev.mac, "10.0.1.1"), dst_mac=bed.a.dev.mac)
    assert bed.r.neigh4.get(bed.a.dev, 0x0A000102).mac == frames.mac_bytes(OTHER)


# -- settings ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("ignore", "target", "sender", "answered"),
    [
        (0, "10.0.1.1", "10.0.1.2", True),
        (0, "10.0.2.1", "10.0.1.2", True),
        (1, "10.0.1.1", "10.0.1.2", True),
        (1, "10.0.2.1", "10.0.1.2", False),
        (2, "10.0.1.1", "10.0.1.2", True),
        (2, "10.0.1.1", "192.0.2.7", False),
        (3, "10.0.1.1", "10.0.1.2", True),
        (3, "10.5.5.5", "10.0.1.2", True),
        (8, "10.0.1.1", "10.0.1.2", False),
    ],
)
def test_arp_ignore(bed: Bed, ignore: int, target: str, sender: str, answered: bool) -> None:
    """Linux's arp_ignore: 0 any address of the namespace, 1 of this device, 2 and its prefix, 3 no host scope
    (127/8), 8 none."""
    bed.r.add_address("lo", "10.5.5.5/32", now=bed.now)
    bed.r.add_route("192.0.2.0/24", dev="a", now=bed.now)
    bed.r.sysctl["net.ipv4.conf.a.arp_ignore"] = ignore
    bed.a.send_arp(request(bed, target, sender))
    assert len(bed.a.arp) == answered


def test_arp_filter(bed: Bed) -> None:
    """Linux's arp_filter: answered only where the way back to the sender is this device."""
    bed.r.add_route("10.0.1.128/25", via="10.0.2.2", now=bed.now)
    for on, count in ((0, 1), (1, 0)):
        bed.r.sysctl["net.ipv4.conf.a.arp_filter"] = on
        bed.a.clear()
        bed.a.send_arp(request(bed, "10.0.1.1", "10.0.1.200"))
        assert len(bed.a.arp) == count


@pytest.mark.parametrize(
    ("announce", "source"), [(0, "10.0.2.1"), (1, "10.0.1.1"), (2, "10.0.1.1")], ids=["any", "of the link", "best"]
)
def test_arp_announce(bed: Bed, announce: int, source: str) -> None:
    """Linux's arp_announce: which of our addresses a question names, when the packet's source is of another link."""
    bed.r.sysctl["net.ipv4.conf.a.arp_announce"] = announce
    bed.udp(5000, address="10.0.2.1").sendto(b"x", ("10.0.1.2", 9), now=bed.now)
    assert bed.a.arp == [match.arp(op=1, spa=source, tpa="10.0.1.2")]


def test_a_question_about_a_forwarded_packet(bed: Bed) -> None:
    """RFC 826: the question names an address of ours on that link, never the source of the packet that waits."""
    bed.a.send(frames.ipv4_udp("10.0.1.2", "10.0.2.2", 1, 2))
    mac = bed.b.dev.mac
    assert bed.b.arp == [
        match.arp(op=1, sha=mac, spa="10.0.2.1", tha=bytes(6), tpa="10.0.2.2", eth_dst=frames.BROADCAST, eth_src=mac)
    ]


@pytest.mark.parametrize(("proxy", "forwarding"), [(0, 1), (1, 0), (1, 1)])
def test_proxy_arp(bed: Bed, proxy: int, forwarding: int) -> None:
    """RFC 1027: off by default; if on, a forwarding device answers for what is behind another one."""
    bed.r.sysctl["net.ipv4.conf.a.proxy_arp"] = proxy
    bed.r.sysctl["net.ipv4.conf.a.forwarding"] = forwarding
    bed.a.send_arp(request(bed, "10.0.2.9"))
    wanted = [match.arp(op=2, sha=bed.a.dev.mac, spa="10.0.2.9", tpa="10.0.1.2")] if proxy and forwarding else []
    assert bed.a.arp == wanted
    bed.a.clear()
    bed.a.send_arp(request(bed, "10.0.1.77"))  # on the same link: its own business
    assert bed.a.arp == []


def test_answers_are_bounded(bed: Bed) -> None:
    """RFC 1122 2.3.2.1 in spirit: a thousand answers in a burst and a thousand a second at each device."""
    for i in range(1200):
        bed.a.send_arp(request(bed, "10.0.1.1", f"10.0.1.{2 + i % 200}"))
    assert len(bed.a.arp) == 1000
    assert bed.r.drop_counts() == {"ARP_RATELIMIT": 200}
    bed.run_for(0.010)
    for _ in range(20):
        bed.a.send_arp(request(bed, "10.0.1.1"))
    assert len(bed.a.arp) == 1010


def test_no_arp_on_lo(bed: Bed) -> None:
    """RFC 826: loopback has no link addresses to ask for."""
    receiver = bed.udp(7)
    with bed.expect(lo=1, IpOutRequests=1, IpInReceives=1, IpInDelivers=1, UdpOutDatagrams=1, UdpInDatagrams=1):
        bed.udp(5000).sendto(b"x", ("127.0.0.1", 7), now=bed.now)
    assert bed.received(receiver) == [b"x"]
