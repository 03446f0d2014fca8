"""The life of a neighbour: INCOMPLETE, REACHABLE, STALE, DELAY, PROBE, FAILED (RFC 4861 7.3 with Linux's times).

a 10.0.1.2 ── 10.0.1.1 r 10.0.2.1 ── 10.0.2.2 b        nothing is resolved at the start
"""

from __future__ import annotations

import pytest

from tests.path.bed import Bed
from vrouter.stack.base.drop import DropReason
from vrouter.stack.l2.neighbour import NeighState
from vrouter.testing import frames, match

pytestmark = pytest.mark.parametrize("bed", [{"resolve": True}], indirect=True)

INCOMPLETE, REACHABLE, STALE, DELAY, PROBE, FAILED = (
    NeighState.INCOMPLETE,
    NeighState.REACHABLE,
    NeighState.STALE,
    NeighState.DELAY,
    NeighState.PROBE,
    NeighState.FAILED,
)
LONGEST = 45.0  # 1.5 times base_reachable_time


def send(bed: Bed, number: int = 0, src: str = "10.0.1.2", dst: str = "10.0.2.2") -> bytes:
    """A datagram through r to b."""
    return bed.a.send(frames.ipv4_udp(src, dst, 1000, 7, bytes((number,))))


def known(bed: Bed) -> None:
    """r knows a, so that errors reach it; nothing else is under way."""
    bed.r.neigh4.add_static(bed.a.dev, 0x0A000102, bed.a.mac, bed.now)


def resolved(bed: Bed) -> None:
    """b is REACHABLE since now."""
    send(bed)
    bed.b.reply_arp(bed.b.arp[-1])
    bed.b.clear()


def test_a_packet_waits_for_the_answer(bed: Bed) -> None:
    """RFC 1122 2.3.2.2, 2.4, RFC 1812 3.3.2: a missing entry is no unreachable destination; what waited goes in
    order."""
    with bed.expect(rx={"a": 3}, tx={"b": 1}, IpInReceives=3, IpForwDatagrams=3, ArpOutRequests=1):
        for number in range(3):
            send(bed, number)
    assert bed.neigh(bed.b) is INCOMPLETE
    assert bed.b.received == []
    with bed.expect(rx={"b": 1}, tx={"b": 3}, ArpInReplies=1):
        bed.b.reply_arp(bed.b.arp[0])
    assert bed.neigh(bed.b) is REACHABLE
    assert bed.b.received == [match.udp(payload=bytes((number,)), eth_dst=bed.b.mac) for number in range(3)]
    assert bed.a.received == []


def test_questions_are_a_second_apart_and_three(bed: Bed) -> None:
    """RFC 1122 2.3.2.1: at most one question a second for one address, three in all, and then again from the start."""
    known(bed)
    start = bed.now / 1e9
    for _ in range(12):
        send(bed)
        bed.run_for(0.25)
    assert [at - start for at in bed.b.times] == [0, 1, 2]
    assert bed.neigh(bed.b) is FAILED
    send(bed)
    assert len(bed.b.times) == 4
    assert bed.neigh(bed.b) is INCOMPLETE


def test_failure_is_told_to_each_sender(bed: Bed) -> None:
    """RFC 1812 3.3.2, 4.3.3.1: host unreachable, code 1, about each packet that waited; the limit for one peer
    holds."""
    known(bed)
    bed.r.neigh4.add_static(bed.a.dev, 0x0A000103, bed.a.mac, bed.now)
    with bed.expect(
        rx={"a": 2},
        tx={"a": 2, "b": 3},
        drops={DropReason.NEIGH_FAILED: 2},
        IpInReceives=2,
        IpForwDatagrams=2,
        ArpOutRequests=3,
        IpOutRequests=2,
        IcmpOutMsgs=2,
        IcmpOutDestUnreachs=2,
    ):
        first = send(bed)
        second = send(bed, src="10.0.1.3")
        bed.run_for(2.999)
        assert bed.a.received == []
        bed.run_for(0.001)
    assert bed.a.received == [
        match.icmp4(type=3, code=1, src="10.0.1.1", dst="10.0.1.2", quotes=first),
        match.icmp4(type=3, code=1, src="10.0.1.1", dst="10.0.1.3", quotes=second),
    ]
    assert [frame[50] for frame in bed.a.received] == [63, 63]  # TTL had fallen already, as in Linux


def test_a_local_sender_is_told_too(bed: Bed) -> None:
    """RFC 1122 3.2.2.1, 4.1.3.3: a connected socket gets EHOSTUNREACH when its next hop does not answer."""
    sock = bed.udp(5000)
    sock.setsockopt(0, 11, 1, now=bed.now)  # IP_RECVERR: code 1 is a soft error
    sock.connect(("10.0.2.2", 9), now=bed.now)
    sock.send(b"x", now=bed.now)
    bed.run_for(3)
    with pytest.raises(OSError, match="No route to host"):
        sock.send(b"x", now=bed.now)


@pytest.mark.parametrize("limit", [101, 3])
def test_the_queue_keeps_the_newest(bed: Bed, limit: int) -> None:
    """RFC 1122 2.3.2.2: bounded (net.ipv4.neigh.*.unres_qlen), and it is the oldest that goes, silently."""
    bed.r.sysctl["net.ipv4.neigh.b.unres_qlen"] = limit
    with bed.expect(
        rx={"a": limit + 5},
        tx={"b": 1},
        drops={DropReason.NEIGH_QUEUEFULL: 5},
        IpInReceives=limit + 5,
        IpForwDatagrams=limit + 5,
        ArpOutRequests=1,
    ):
        for number in range(limit + 5):
            send(bed, number)
    bed.b.reply_arp(bed.b.arp[0])
    assert bed.b.received == [match.udp(payload=bytes((number,))) for number in range(5, limit + 5)]
    assert bed.b.dev.tx_drops == 5


def test_reachable_ages_without_traffic_and_nobody_is_asked(bed: Bed) -> None:
    """RFC 1122 2.3.2.1, 3.3.1.4: out-of-date entries do not last; a neighbour that nobody uses is never probed."""
    resolved(bed)
    bed.run_for(14.9)
    assert bed.neigh(bed.b) is REACHABLE
    bed.run_for(LONGEST)
    assert bed.neigh(bed.b) is STALE
    bed.run_for(3600)
    assert bed.b.arp == []


def test_base_reachable_time_is_a_setting(bed: Bed) -> None:
    """RFC 1122 2.3.2.1: the timeout of the cache can be configured."""
    bed.r.sysctl["net.ipv4.neigh.b.base_reachable_time_ms"] = 1000
    resolved(bed)
    bed.run_for(0.499)
    assert bed.neigh(bed.b) is REACHABLE
    bed.run_for(1.002)
    assert bed.neigh(bed.b) is STALE


def test_stale_is_used_at_once_and_verified_later(bed: Bed) -> None:
    """RFC 1122 2.3.2.1 (2), 3.3.1.4: the packet goes, five seconds later a unicast question asks; an answer renews."""
    resolved(bed)
    bed.run_for(LONGEST)
    send(bed, 1)
    assert bed.neigh(bed.b) is DELAY
    assert bed.b.received == [match.udp(payload=b"\1")]
    bed.run_for(4.999)
    assert bed.b.arp == []
    bed.run_for(0.001)
    assert bed.neigh(bed.b) is PROBE
    assert bed.b.arp == [match.arp(op=1, spa="10.0.2.1", tpa="10.0.2.2", eth_dst=bed.b.mac)]
    bed.b.reply_arp(bed.b.arp[0])
    assert bed.neigh(bed.b) is REACHABLE
    bed.run_for(10)
    assert len(bed.b.arp) == 1


def test_a_neighbour_that_is_gone_fails(bed: Bed) -> None:
    """RFC 1122 3.3.1.4: three unicast probes a second apart, then FAILED, told as an event; later packets ask anew."""
    known(bed)
    resolved(bed)
    bed.run_for(LONGEST)
    send(bed)
    start = bed.now / 1e9
    bed.run_for(7.999)
    assert bed.neigh(bed.b) is PROBE
    assert [round(at - start, 3) for at in bed.b.times] == [5, 6, 7]
    assert bed.b.arp == [match.arp(eth_dst=bed.b.mac)] * 3
    bed.run_for(0.001)
    assert bed.neigh(bed.b) is FAILED
    events = [event.kind.value for event in bed.stack.events.take()]
    assert events == ["neighbor-failed"]
    send(bed)
    assert bed.b.arp[3:] == [match.arp(eth_dst=frames.BROADCAST)]


@pytest.mark.parametrize("probes", [0, 1, 5])
def test_how_often_a_known_neighbour_is_asked(bed: Bed, probes: int) -> None:
    """Linux's ucast_solicit: a setting of each device."""
    bed.r.sysctl["net.ipv4.neigh.b.ucast_solicit"] = probes
    resolved(bed)
    bed.run_for(LONGEST)
    send(bed)
    bed.run_for(60)
    assert len(bed.b.arp) == probes


@pytest.mark.parametrize("questions", [1, 5])
def test_how_often_a_new_neighbour_is_asked(bed: Bed, questions: int) -> None:
    """Linux's mcast_solicit, retrans_time: settings of each device."""
    bed.r.sysctl["net.ipv4.neigh.b.mcast_solicit"] = questions
    bed.r.sysctl["net.ipv4.neigh.b.retrans_time_ms"] = 200
    start = bed.now / 1e9
    send(bed)
    bed.run_for(60)
    assert [round(at - start, 3) for at in bed.b.times] == [round(0.2 * i, 3) for i in range(questions)]


def test_how_long_a_stale_neighbour_is_trusted(bed: Bed) -> None:
    """Linux's delay_first_probe_time: a setting of each device."""
    bed.r.sysctl["net.ipv4.neigh.b.delay_first_probe_time"] = 2
    resolved(bed)
    bed.run_for(LONGEST)
    send(bed)
    bed.run_for(1.999)
    assert bed.b.arp == []
    bed.run_for(0.001)
    assert len(bed.b.arp) == 1


def test_what_it_hears_during_delay_spares_the_probe(bed: Bed) -> None:
    """RFC 1122 3.3.1.4: no probe when there is positive news: here the neighbour's own answer."""
    resolved(bed)
    bed.run_for(LONGEST)
    send(bed)
    bed.b.send_arp(frames.arp_reply(bed.b.mac, "10.0.2.2", bed.b.dev.mac, "10.0.2.1"), dst_mac=bed.b.dev.mac)
    assert bed.neigh(bed.b) is REACHABLE
    bed.run_for(10)
    assert bed.b.arp == []


def test_an_application_can_vouch_for_the_path(bed: Bed) -> None:
    """RFC 1122 3.3.1.4: advice from above (MSG_CONFIRM) makes a neighbour REACHABLE without a question."""
    resolved(bed)
    bed.run_for(LONGEST)
    bed.udp(5000).sendto(b"x", 0x800, ("10.0.2.2", 9), now=bed.now)
    assert bed.neigh(bed.b) is REACHABLE
    bed.run_for(10)
    assert bed.b.arp == []


def test_permanent_entries_stay(bed: Bed) -> None:
    """ip-neighbour(8): what was configured does not age, is not probed, and no frame changes it."""
    bed.r.neigh4.add_static(bed.b.dev, 0x0A000202, bed.b.mac, bed.now)
    bed.b.send_arp(frames.arp_request("02:00:00:00:66:66", "10.0.2.2", "10.0.2.1"))
    bed.run_for(7200)
    send(bed)
    bed.run_for(60)
    assert bed.b.received == [match.udp(eth_dst=bed.b.mac)]
    assert [frame for frame in bed.b.arp if frame[21] == 1] == []


# -- the table --------------------------------------------------------------------------------------------------------


def test_the_table_is_bounded(bed: Bed) -> None:
    """Gc_thresh3; what cannot even be asked for dies as NEIGH_TABLEFULL, and old failures make room."""
    for name, value in (("gc_thresh1", 0), ("gc_thresh2", 8), ("gc_thresh3", 10)):
        bed.r.sysctl[f"net.ipv4.neigh.default.{name}"] = value
    bed.r.set_device("b", now=bed.now)
    for host in range(2, 14):
        send(bed, dst=f"10.0.2.{host}")
    assert len(bed.b.dev.neigh4) == 10
    assert bed.r.drop_counts() == {"NEIGH_TABLEFULL": 2}
    bed.run_for(4)  # they fail
    send(bed, dst="10.0.2.200")
    assert len(bed.b.dev.neigh4) <= 10
    assert bed.r.drop_counts()["NEIGH_TABLEFULL"] == 2


def test_unused_entries_are_collected(bed: Bed) -> None:
    """RFC 1122 2.3.2.1: out-of-date entries are flushed: gc_stale_time after their last use, looked for in
    gc_interval."""
    bed.r.sysctl["net.ipv4.neigh.default.gc_thresh1"] = 1
    bed.r.sysctl["net.ipv4.neigh.b.gc_stale_time"] = 100
    bed.r.sysctl["net.ipv4.neigh.default.gc_interval"] = 10
    resolved(bed)
    bed.run_for(LONGEST)
    assert bed.neigh(bed.b) is STALE
    bed.run_for(100 + 10)
    assert bed.neigh(bed.b) is None


def test_a_small_table_is_left_alone(bed: Bed) -> None:
    """Linux's gc_thresh1: below 128 entries nothing is collected, and no timer runs for it."""
    resolved(bed)
    bed.run_for(7200)
    assert bed.neigh(bed.b) is STALE
    assert bed.stack.poll_at() is None


@pytest.mark.parametrize("how", ["down", "no carrier"])
def test_a_device_that_fails_forgets_its_neighbours(bed: Bed, how: str) -> None:
    """RFC 1812 5.3.12.3: what waits there is answered, who is there is asked anew when it is back."""
    known(bed)
    sent = send(bed)
    if how == "down":
        bed.r.set_device("b", up=False, now=bed.now)
    else:
        bed.r.set_carrier(bed.b.dev, False, now=bed.now)
    bed.flush()
    assert bed.neigh(bed.b) is None
    assert bed.a.received == [match.icmp4(type=3, code=1, quotes=sent)]
    assert bed.r.drop_counts() == {"NEIGH_FAILED": 1}


def test_loss_of_an_answer_is_made_up_for(bed: Bed) -> None:
    """RFC 826: the second question is answered, and what waited is sent."""
    send(bed, 1)
    bed.run_for(1)
    bed.b.reply_arp(bed.b.arp[1])
    assert bed.b.received == [match.udp(payload=b"\1")]
