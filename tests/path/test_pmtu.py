"""Path MTU discovery for own packets: RFC 1191, RFC 1812 4.2.3.3, RFC 1122 3.3.3.

a 10.0.1.2 ── 10.0.1.1 r 10.0.2.1 ── 10.0.2.2 b        default route by 10.0.2.2
"""

from __future__ import annotations

import errno
from typing import Any

import pytest

from tests.path.bed import Bed
from vrouter.stack.l4 import constants as c
from vrouter.testing import frames, match

FAR = "192.0.2.1"


@pytest.fixture(autouse=True)
def _default(bed: Bed) -> None:
    bed.r.add_route("default", via="10.0.2.2", now=bed.now)


def sender(bed: Bed, discover: int = c.IP_PMTUDISC_DO) -> Any:
    """A socket that is connected to the far host."""
    sock = bed.udp(5000)
    sock.setsockopt(c.SOL_IP, c.IP_MTU_DISCOVER, discover, now=bed.now)
    sock.connect((FAR, 7), now=bed.now)
    return sock


def too_big(bed: Bed, mtu: int, size: int = 1500, dst: str = FAR, quote: int = 28) -> None:
    """A router on the way says that a packet of `size` bytes was too big for `mtu`."""
    packet = frames.ipv4_udp("10.0.2.1", dst, 5000, 7, bytes(size - 28), df=True)
    error = frames.icmp_error(3, 4, packet, mtu, quote=quote)
    bed.b.send(frames.ipv4("203.0.113.9", "10.0.2.1", 1, error))


def mtu_of(bed: Bed, dst: str = FAR) -> int:
    """What r knows of the path."""
    address = frames.ip_int(dst)
    return bed.r.ip4.path_mtu(bed.r.ip4.lookup(address), address, bed.now)


def test_the_first_guess_is_the_first_link(bed: Bed) -> None:
    """RFC 1191 3: the MTU of the first hop; larger is EMSGSIZE with DF, and nothing is sent."""
    sock = sender(bed)
    assert sock.send(bytes(1472), now=bed.now) == 1472
    assert bed.b.received == [match.udp(df=True, ident=0)]
    with bed.expect(), pytest.raises(OSError) as caught:
        sock.send(bytes(1473), now=bed.now)
    assert caught.value.errno == errno.EMSGSIZE


def test_a_smaller_link_on_the_way_is_learned(bed: Bed) -> None:
    """RFC 1191 3, RFC 1812 4.2.3.3: the path's MTU falls, the socket is told, and only for that destination."""
    sock = sender(bed)
    with bed.expect(rx=1, IpInReceives=1, IpInDelivers=1, IcmpInMsgs=1, IcmpInDestUnreachs=1):
        too_big(bed, 1000)
    assert (mtu_of(bed), mtu_of(bed, "192.0.2.2")) == (1000, 1500)
    with pytest.raises(OSError) as caught:
        sock.send(b"next call", now=bed.now)
    assert caught.value.errno == errno.EMSGSIZE
    assert sock.send(bytes(972), now=bed.now) == 972
    with pytest.raises(OSError):
        sock.send(bytes(973), now=bed.now)
    assert sock.getsockopt(c.SOL_IP, c.IP_MTU) == 1000


def test_without_df_own_packets_are_cut_to_the_path(bed: Bed) -> None:
    """RFC 1191 3, RFC 1122 3.3.3: who does not insist on DF gets fragments that fit the path."""
    sock = sender(bed, c.IP_PMTUDISC_WANT)
    too_big(bed, 1000)
    with pytest.raises(OSError):
        sock.send(b"", now=bed.now)
    with bed.expect(tx={"b": 2}, IpOutRequests=1, UdpOutDatagrams=1, IpFragOKs=1, IpFragCreates=2):
        sock.send(bytes(1400), now=bed.now)
    assert [len(frame) - 14 <= 1000 for frame in bed.b.received] == [True, True]


def test_it_never_rises_by_a_message(bed: Bed) -> None:
    """RFC 1191 3: a message that tells a larger MTU is stale or a lie."""
    bed.udp(5000)
    too_big(bed, 1000)
    too_big(bed, 1400)
    assert mtu_of(bed) == 1000


def test_it_is_tried_again_after_ten_minutes(bed: Bed) -> None:
    """RFC 1191 6.3: aged by the time of the last message; net.ipv4.route.mtu_expires."""
    bed.udp(5000)
    too_big(bed, 1000)
    bed.run_for(599.999)
    assert mtu_of(bed) == 1000
    bed.run_for(0.001)
    assert mtu_of(bed) == 1500
    bed.r.sysctl["net.ipv4.route.mtu_expires"] = 5
    too_big(bed, 1000)
    bed.run_for(5)
    assert mtu_of(bed) == 1500


@pytest.mark.parametrize(("told", "learned"), [(68, 552), (551, 552), (553, 553), (1, 1492), (67, 1492)])
def test_nobody_can_talk_it_down_to_nothing(bed: Bed, told: int, learned: int) -> None:
    """RFC 1191 3, Linux's min_pmtu: 552 at least; what no link can have (under 68) is guessed as from an old router."""
    bed.udp(5000)
    too_big(bed, told)
    assert mtu_of(bed) == learned


def test_the_floor_is_a_setting(bed: Bed) -> None:
    """Linux's net.ipv4.route.min_pmtu."""
    bed.udp(5000)
    bed.r.sysctl["net.ipv4.route.min_pmtu"] = 1280
    too_big(bed, 600)
    assert mtu_of(bed) == 1280


@pytest.mark.parametrize(("size", "plateau"), [(1500, 1492), (1492, 1006), (1006, 552)])
def test_an_old_router_tells_no_mtu(bed: Bed, size: int, plateau: int) -> None:
    """RFC 1191 5, 7.1: the next plateau below the packet that was too big, not under the floor."""
    bed.udp(5000)
    too_big(bed, 0, size)
    assert mtu_of(bed) == plateau


def test_messages_about_others_teach_nothing(bed: Bed) -> None:
    """RFC 1122 3.2.2: only an error about a packet from our own address is heard."""
    packet = frames.ipv4_udp("10.0.1.2", FAR, 5000, 7, bytes(1400), df=True)
    error = frames.icmp_error(3, 4, packet, 1000)
    bed.b.send(frames.ipv4("203.0.113.9", "10.0.2.1", 1, error))
    assert mtu_of(bed) == 1500
    assert bed.r.drop_counts() == {"ICMP_IGNORED": 1}


def test_messages_about_packets_that_nobody_sent_teach_nothing(bed: Bed) -> None:
    """RFC 5927 7.1: a forged message must at least know a socket; about other protocols nothing is believed."""
    too_big(bed, 1000)
    bed.b.send(
        frames.ipv4(
            "203.0.113.9", "10.0.2.1", 1, frames.icmp_error(3, 4, frames.ipv4("10.0.2.1", FAR, 6, bytes(20)), 1000)
        )
    )
    assert bed.r.ip4.exceptions == {}
    bed.udp(5000)
    too_big(bed, 1000)
    assert mtu_of(bed) == 1000


@pytest.mark.parametrize("dst", ["127.0.0.1", "10.0.1.1", "10.0.2.255", "224.0.0.1"])
def test_paths_that_lead_nowhere_have_no_mtu(bed: Bed, dst: str) -> None:
    """RFC 1191 3: a path leads through routers; nobody outside talks about this host or a group."""
    bed.udp(5000)
    too_big(bed, 1000, dst=dst)
    assert bed.r.ip4.exceptions == {}


def test_old_news_last_no_longer_for_being_told_again(bed: Bed) -> None:
    """RFC 1191 3: a message with an MTU that is not smaller is no news."""
    bed.udp(5000)
    too_big(bed, 600)
    bed.run_for(500)
    too_big(bed, 600)
    too_big(bed, 9000)
    bed.run_for(100)
    assert mtu_of(bed) == 1500


def test_what_is_learned_is_bounded(bed: Bed) -> None:
    """A stranger's messages fill a table of 1024 destinations, and no more."""
    bed.udp(5000)
    for host in range(1100):
        too_big(bed, 1000, dst=f"198.18.{host >> 8}.{host & 255}")
    assert len(bed.r.ip4.exceptions) == 1024
    assert mtu_of(bed, "198.18.4.75") == 1000
    assert mtu_of(bed, "198.18.0.1") == 1500


def test_forwarding_does_not_use_it(bed: Bed) -> None:
    """RFC 1191 4: what a router forwards is judged by the next link alone."""
    bed.udp(5000)
    too_big(bed, 1000)
    with bed.expect(rx={"a": 1}, tx={"b": 1}, IpInReceives=1, IpForwDatagrams=1):
        bed.a.send(frames.ipv4_udp("10.0.1.2", FAR, 1, 2, bytes(1400), df=True))
    assert bed.b.received == [match.udp(dst=FAR, df=True)]


def test_forwarding_uses_it_when_told_to(bed: Bed) -> None:
    """Linux's ip_forward_use_pmtu: the sender is told what the path takes, and what may be cut is cut to it."""
    bed.udp(5000)
    too_big(bed, 1000)
    bed.r.sysctl["net.ipv4.ip_forward_use_pmtu"] = 1
    sent = frames.ipv4_udp("10.0.1.2", FAR, 1, 2, bytes(1400), df=True)
    bed.a.send(sent)
    assert bed.a.received == [match.icmp4(type=3, code=4, src="10.0.1.1", rest=1000, quotes=sent)]
    assert bed.b.received == []
    bed.a.send(frames.ipv4_udp("10.0.1.2", FAR, 1, 2, bytes(1400)))
    assert [len(frame) - 14 for frame in bed.b.received] == [996, 452]
    bed.b.received.clear()
    bed.a.send(frames.ipv4_udp("10.0.1.2", "192.0.2.9", 1, 2, bytes(1400), df=True))
    assert [len(frame) - 14 for frame in bed.b.received] == [1428]


@pytest.mark.parametrize("mode", [1, 2, 3])
def test_sockets_do_not_discover_it_when_told_not_to(bed: Bed, mode: int) -> None:
    """Linux's ip_no_pmtu_disc: new sockets are as with IP_PMTUDISC_DONT; those that ask to still do discover it."""
    old = bed.udp(5001)
    bed.r.sysctl["net.ipv4.ip_no_pmtu_disc"] = mode
    assert old.getsockopt(c.SOL_IP, c.IP_MTU_DISCOVER) == c.IP_PMTUDISC_WANT
    sock = bed.udp(5000)
    assert sock.getsockopt(c.SOL_IP, c.IP_MTU_DISCOVER) == c.IP_PMTUDISC_DONT
    both = bed.r.socket(c.AF_INET6, c.SOCK_DGRAM)
    assert both.getsockopt(c.SOL_IP, c.IP_MTU_DISCOVER) == c.IP_PMTUDISC_DONT
    assert both.getsockopt(c.SOL_IPV6, c.IPV6_MTU_DISCOVER) == c.IP_PMTUDISC_WANT
    sock.sendto(b"x", (FAR, 7), now=bed.now)
    assert bed.b.received == [match.udp(df=False)]


@pytest.mark.parametrize(
    ("mode", "learned", "told"), [(0, 1000, True), (1, 552, True), (2, 1500, False), (3, 1500, False)]
)
def test_what_is_believed_of_it_is_a_setting(bed: Bed, mode: int, learned: int, told: bool) -> None:
    """Linux's ip_no_pmtu_disc: 1 takes the path for min_pmtu; 2 believes nobody; 3 nobody who quotes UDP, for whoever
    sends that cannot be told from a stranger."""
    bed.r.sysctl["net.ipv4.ip_no_pmtu_disc"] = mode
    sock = sender(bed)
    too_big(bed, 1000)
    assert mtu_of(bed) == learned
    if told:
        with pytest.raises(OSError) as caught:
            sock.send(b"next call", now=bed.now)
        assert caught.value.errno == errno.EMSGSIZE
    else:
        assert sock.send(b"next call", now=bed.now) == 9


def test_datagrams_off_the_net_use_the_whole_mtu(bed: Bed) -> None:
    """RFC 1191, a deviation from RFC 1122 3.3.3: 576 bytes off the net is history."""
    bed.udp(5000).sendto(bytes(1472), (FAR, 7), now=bed.now)
    assert [len(frame) - 14 for frame in bed.b.received] == [1500]


def test_own_datagrams_are_fragmented_to_the_link(bed: Bed) -> None:
    """RFC 1122 3.3.3: locally, to the MTU of the egress device; each with an identification of its own (RFC 6864)."""
    sock = bed.udp(5000)
    sock.setsockopt(c.SOL_IP, c.IP_MTU_DISCOVER, c.IP_PMTUDISC_DONT, now=bed.now)
    for _ in range(3):
        sock.sendto(bytes(3000), (FAR, 7), now=bed.now)
    idents = [frame[18:20] for frame in bed.b.received]
    assert len(idents) == 9
    assert idents[0::3] == idents[1::3] == idents[2::3]
    assert len(set(idents)) == 3
    assert all(len(frame) - 14 <= 1500 and not frame[20] & 0x40 for frame in bed.b.received)
