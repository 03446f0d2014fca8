"""Address conflict detection through the whole stack: RFC 5227.

a 10.0.1.2 ── 10.0.1.1 r 10.0.2.1 ── 10.0.2.2 b
"""

from __future__ import annotations

import itertools

import pytest

from tests.path.bed import Bed, Station
from vrouter.stack.base.counters import Stat
from vrouter.testing import frames, match

NEW = "10.0.5.1"
PROBE = match.arp(op=1, spa="0.0.0.0", tha=bytes(6), tpa=NEW, eth_dst=frames.BROADCAST)
ANNOUNCEMENT = match.arp(op=1, spa=NEW, tha=bytes(6), tpa=NEW, eth_dst=frames.BROADCAST)
RIVAL = b"\x02\0\0\0\0\x66"


def state(station: Station) -> str:
    """The state of the device's newest address."""
    return station.dev.addresses[-1].state


def gaps(times: list[float]) -> list[float]:
    """The time between one and the next."""
    return [round(later - earlier, 3) for earlier, later in itertools.pairwise(times)]


def probing(bed: Bed) -> Station:
    """A third device in probe mode that was given the new address."""
    station = bed.station(bed.r, "c", "", "10.0.5.2")
    station.dev.acd = "probe"
    bed.r.add_address("c", f"{NEW}/24", now=bed.now)
    return station


# -- announce ---------------------------------------------------------------------------------------------------------


def test_a_new_address_is_announced_twice_and_used_at_once(bed: Bed) -> None:
    """RFC 5227 2.3; the default deviates from 2.1: it is not probed first."""
    with bed.expect(tx={"a": 1}, ArpOutRequests=1):
        bed.r.add_address("a", f"{NEW}/24", now=bed.now)
        bed.flush()
    assert (state(bed.a), bed.r.ip4.is_local(frames.ip_int(NEW))) == ("preferred", True)
    bed.run_until_idle()
    assert bed.a.arp == [ANNOUNCEMENT] * 2
    assert gaps(bed.a.times) == [2.0]
    assert bed.a.arp == [match.arp(sha=bed.a.dev.mac, eth_src=bed.a.dev.mac)] * 2


@pytest.mark.parametrize("how", ["up", "carrier", "move"])
def test_announced_again_when_the_link_is_new(bed: Bed, how: str) -> None:
    """RFC 5227 2.1, 2.3: after the interface came up, got its carrier back, or is on another link."""
    if how == "up":
        bed.r.set_device("a", up=False, now=bed.now)
        bed.r.set_device("a", up=True, now=bed.now)
    elif how == "carrier":
        bed.r.set_carrier(bed.a.dev, False, now=bed.now)
        bed.r.set_carrier(bed.a.dev, True, now=bed.now)
    else:
        other = bed.stack.add_netns("other")
        bed.stack.move_device(bed.a.dev, other, now=bed.now)
        assert bed.a.arp == []
        other.add_address("a", "10.0.1.1/24", now=bed.now)
    bed.run_until_idle()
    assert bed.a.arp == [match.arp(op=1, spa="10.0.1.1", tpa="10.0.1.1")] * 2


def test_nothing_is_sent_by_a_device_that_is_down(bed: Bed) -> None:
    """RFC 5227 2.1: it waits for the link."""
    bed.r.set_device("a", up=False, now=bed.now)
    with bed.expect():
        bed.r.add_address("a", f"{NEW}/24", now=bed.now)
        bed.run_until_idle()
    bed.r.set_device("a", up=True, now=bed.now)
    bed.run_until_idle()
    assert [frame for frame in bed.a.arp if frame == ANNOUNCEMENT] == [ANNOUNCEMENT] * 2


# -- probe ------------------------------------------------------------------------------------------------------------


def test_probing_first(bed: Bed) -> None:
    """RFC 5227 2.1.1, 1.1: within a second, three probes one to two seconds apart, two seconds of silence,
    announced."""
    start = bed.now / 1e9
    c = probing(bed)
    sock = bed.udp(7)
    assert state(c) == "tentative"
    bed.run_for(2.5)
    c.send(frames.ipv4_udp("10.0.5.2", NEW, 1, 7, b"early"))
    assert bed.received(sock) == []  # not ours yet
    bed.run_until_idle()
    assert c.arp == [PROBE] * 3 + [ANNOUNCEMENT] * 2
    wait, (one, two, silence, again) = c.times[0] - start, gaps(c.times)
    assert 0 <= wait <= 1
    assert 1 <= one <= 2
    assert 1 <= two <= 2
    assert (silence, again) == (2.0, 2.0)
    assert state(c) == "preferred"
    c.send(frames.ipv4_udp("10.0.5.2", NEW, 1, 7, b"now"))
    assert bed.received(sock) == [b"now"]


def test_a_tentative_address_makes_no_route(bed: Bed) -> None:
    """RFC 5227 2.1: not used in any way before it is known to be free: not as a source, not answered by ARP."""
    c = probing(bed)
    assert [route for _, _, route in bed.r.ip4.main if route.dev is c.dev] == []
    c.send_arp(frames.arp_request(c.mac, "10.0.5.2", NEW))
    assert [frame for frame in c.arp if frame == match.arp(op=2)] == []


@pytest.mark.parametrize(
    "arp",
    [
        frames.arp_request(RIVAL, NEW, "10.0.5.9"),
        frames.arp_reply(RIVAL, NEW, bytes(6), "10.0.5.9"),
        frames.arp_request(RIVAL, "0.0.0.0", NEW),
    ],
    ids=["request from it", "reply from it", "probe for it"],
)
@pytest.mark.parametrize("at", [0.0, 1.5, 3.9])
def test_a_conflict_while_probing(bed: Bed, arp: bytes, at: float) -> None:
    """RFC 5227 2.1.1: who has it, or wants it as well, makes it a conflict at any time before it is announced."""
    c = probing(bed)
    bed.run_for(at)
    with bed.expect(rx=1, ArpConflicts=1, **{"ArpInReplies" if arp[7] == 2 else "ArpInRequests": 1}):
        c.send_arp(arp)
    sent = len(c.arp)
    bed.run_until_idle()
    assert (state(c), len(c.arp)) == ("conflict", sent)
    assert not bed.r.ip4.is_local(frames.ip_int(NEW))
    assert [e.fields["mac"] for e in bed.stack.events.take() if e.kind.value == "address-conflict"] == [
        "02:00:00:00:00:66"
    ]


def test_our_own_probe_that_comes_back_is_no_conflict(bed: Bed) -> None:
    """RFC 5227 2.1.1: some links echo broadcasts."""
    c = probing(bed)
    bed.run_for(1)
    for frame in list(c.arp):
        c.send_frame(bytes(frame))
    bed.run_until_idle()
    assert state(c) == "preferred"
    assert bed.r.stats[Stat.ArpConflicts] == 0


def test_trials_slow_down_after_ten_conflicts(bed: Bed) -> None:
    """RFC 5227 2.1.1: MAX_CONFLICTS 10, then one trial in RATE_LIMIT_INTERVAL (60 s)."""
    c = probing(bed)
    for _ in range(10):
        c.send_arp(frames.arp_request(RIVAL, NEW, "10.0.5.9"))
        assert state(c) == "conflict"
        bed.r.del_address("c", f"{NEW}/24", now=bed.now)
        c.clear()
        bed.r.add_address("c", f"{NEW}/24", now=bed.now)
    bed.run_for(59)
    assert c.arp == []
    bed.run_for(2)
    assert c.arp == [PROBE]


# -- defend -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("op", [1, 2])
def test_our_address_is_defended(bed: Bed, op: int) -> None:
    """RFC 5227 2.4 (c): one announcement, at most one in ten seconds; the address is never given up."""
    claim = frames.arp(op, RIVAL, "10.0.1.1", bytes(6), "10.0.1.9")
    for _ in range(3):
        bed.a.send_arp(claim)
    assert bed.a.arp == [match.arp(op=1, sha=bed.a.dev.mac, spa="10.0.1.1", tpa="10.0.1.1")]
    bed.run_for(9.999)
    bed.a.send_arp(claim)
    assert len(bed.a.arp) == 1
    bed.run_for(0.001)
    bed.a.send_arp(claim)
    assert len(bed.a.arp) == 2
    assert [e.kind.value for e in bed.stack.events.take()] == ["address-conflict"] * 2
    assert bed.r.ip4.is_local(0x0A000101)
    assert bed.r.stats[Stat.ArpConflicts] == 5


def test_a_conflicting_request_gets_no_reply_and_teaches_nothing(bed: Bed) -> None:
    """RFC 5227 2.4, 2.5: it claims our address: nothing of it is believed, nothing is answered beside the defence."""
    with bed.expect(rx=1, tx=1, ArpInRequests=1, ArpConflicts=1, ArpOutRequests=1):
        bed.a.send_arp(frames.arp_request(RIVAL, "10.0.1.1", "10.0.1.1"))
    assert 0x0A000101 not in bed.a.dev.neigh4


def test_our_own_announcement_that_comes_back(bed: Bed) -> None:
    """RFC 5227 2.4: what one of our devices sent disputes nothing, at another of our devices neither."""
    echo = frames.arp_request(bed.b.dev.mac, "10.0.1.1", "10.0.1.1")
    bed.a.send_arp(echo)
    assert bed.r.stats[Stat.ArpConflicts] == 0
    assert bed.a.arp == []


def test_a_route_waits_for_a_source_that_is_being_probed(bed: Bed) -> None:
    """RFC 5227 1.1: an address is not used before it is known to be free; till then the route takes another."""
    probing(bed)
    bed.r.add_route("192.0.2.0/24", via="10.0.2.2", src=NEW, now=bed.now)
    asked = frames.ip_int("192.0.2.9")
    assert bed.r.route_output(asked)[1] == frames.ip_int("10.0.2.1")
    bed.run_until_idle()
    assert bed.r.route_output(asked)[1] == frames.ip_int(NEW)
    with pytest.raises(OSError, match="is not an address of namespace"):
        bed.r.add_route("198.51.100.0/24", via="10.0.2.2", src="10.0.5.77", now=bed.now)
