"""Who asks, and who was reported to listen, in both families: RFC 3376 6 and 8, RFC 3810 7 and 9.

::

    station ── lan of r          10.0.1.5/24, fe80::ff:fe00:5
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from tests.path.group_bed import ALLOW, BLOCK, IS_EX, IS_IN, TO_EX, TO_IN, Loud, Talk
from vrouter.stack.l3.multicast.listeners import MAX_SOURCES
from vrouter.stack.l3.multicast.querier import MAX_GROUPS

SECOND = 1_000_000_000
STARTUP, INTERVAL, MEMBERSHIP, OTHER = 31.25, 125.0, 260.0, 255.0


@pytest.fixture(params=[4, 6], ids=["igmp", "mld"])
def talk(request: pytest.FixtureRequest) -> Iterator[Talk]:
    """A settled link without a querier; its accounts balance at the end, and the stack is idle without queriers."""
    bed = Loud()
    bed.r = bed.stack.add_netns("r")
    bed.r.sysctl["net.ipv6.conf.default.dad_transmits"] = 0
    bed.r.sysctl["net.ipv6.conf.default.router_solicitations"] = 0
    station = bed.lan(bed.r, "lan", 5)
    bed.settle()
    found = Talk(bed, station, request.param)
    found.said()
    yield found
    bed.r.set_querier("lan", igmp=False, mld=False, now=bed.now)
    bed.run_until_idle()
    bed.close()


def ask(talk: Talk, *, settled: bool = True) -> None:
    """Switch the querier on; `settled`: its first two questions are over."""
    talk.bed.r.set_querier("lan", igmp=talk.v4, mld=not talk.v4, now=talk.bed.now)
    if settled:
        talk.bed.run_for(STARTUP + 0.5)
        talk.said()


def rows(talk: Talk) -> list[tuple[Any, ...]]:
    """The listeners: group, mode, sources, seconds left."""
    return [(row["group"], row["mode"], row["sources"], row["expires_ns"] / SECOND) for row in talk.bed.r.listeners()]


def elected(talk: Talk) -> tuple[Any, ...]:
    """Who asks, as it is shown."""
    (row,) = talk.bed.r.queriers()
    return row["querier"], row["elected"]


GENERAL = ("query", None, [], False)


def test_it_asks_while_it_starts_and_then_every_125_seconds(talk: Talk) -> None:
    """RFC 3376 8.2, 8.6, 8.7: twice, a quarter of the interval apart, then every interval."""
    began = talk.bed.now / SECOND
    ask(talk, settled=False)
    talk.bed.run_for(STARTUP + 2 * INTERVAL + 1)
    assert [(at - began, *words) for at, *words in talk.said()] == [
        (0, *GENERAL),
        (STARTUP, *GENERAL),
        (STARTUP + INTERVAL, *GENERAL),
        (STARTUP + 2 * INTERVAL, *GENERAL),
    ]
    assert elected(talk) == ("10.0.1.5" if talk.v4 else "fe80::ff:fe00:5", True)


def test_the_lowest_address_goes_on(talk: Talk) -> None:
    """RFC 3376 6.6.2, 8.5: a query from a lower address silences us until 255 s after the last; higher ones do not."""
    ask(talk)
    talk.query(src=talk.above)
    assert elected(talk)[1]
    talk.bed.run_for(10)
    talk.query()
    began = talk.bed.now / SECOND
    assert elected(talk) == (talk.host, False)
    talk.bed.run_for(OTHER - 1)
    assert talk.words() == []
    talk.bed.run_for(2)
    assert [at - began for at, *_ in talk.said()] == [OTHER]
    assert elected(talk)[1]


def test_the_elected_ones_parameters_are_ours(talk: Talk) -> None:
    """RFC 3376 4.1.6, 4.1.7: robustness and interval of the querier are taken, and hold until it is gone."""
    ask(talk)
    talk.query(robustness=3, interval=20)
    began = talk.bed.now / SECOND
    talk.report((IS_EX, talk.G, []))
    assert rows(talk) == [(talk.G, "exclude", [], 70)]
    talk.bed.run_for(66)
    assert [at - began for at, *_ in talk.said()] == [65]
    talk.report((IS_EX, talk.G, []))
    assert rows(talk) == [(talk.G, "exclude", [], MEMBERSHIP)]


def test_a_switchs_query_is_no_candidate() -> None:
    """RFC 4541 2.1.1: a query from 0.0.0.0 elects nobody."""
    bed = Loud(ipv6=False)
    bed.r = bed.stack.add_netns("r")
    talk = Talk(bed, bed.lan4("lan"), 4)
    ask(talk)
    talk.query(src="0.0.0.0")
    assert elected(talk) == ("10.0.1.5", True)
    bed.close()


def test_a_report_holds_for_260_seconds(talk: Talk) -> None:
    """RFC 3376 8.4: robustness times the query interval and a response; another report renews it."""
    ask(talk)
    talk.report((IS_EX, talk.G, []))
    talk.report((IS_IN, talk.H, talk.S[:2]))
    talk.bed.run_for(100)
    assert rows(talk) == [(talk.G, "exclude", [], 160), (talk.H, "include", talk.S[:2], 160)]
    talk.report((IS_IN, talk.H, talk.S[:1]))
    talk.bed.run_for(161)
    assert rows(talk) == [(talk.H, "include", talk.S[:1], 99)]
    talk.bed.run_for(100)
    assert rows(talk) == []


def test_a_leave_is_asked_about(talk: Talk) -> None:
    """RFC 3376 6.4.2, 6.6.3.1, 8.8: twice a second apart; gone after two seconds, unless somebody answers."""
    ask(talk)
    talk.report((TO_EX, talk.G, []))
    began = talk.bed.now / SECOND
    talk.report((TO_IN, talk.G, []))
    talk.bed.run_for(1.5)
    assert [(at - began, *words) for at, *words in talk.said()] == [
        (0, "query", talk.G, [], False),
        (1, "query", talk.G, [], False),
    ]
    assert rows(talk) == [(talk.G, "exclude", [], 0.5)]
    talk.bed.run_for(0.6)
    assert rows(talk) == []
    talk.report((TO_EX, talk.G, []))
    talk.report((TO_IN, talk.G, []))
    talk.report((IS_EX, talk.G, []))
    talk.bed.run_for(10)
    assert rows(talk) == [(talk.G, "exclude", [], MEMBERSHIP - 10)]


def test_who_leaves_again_and_again_is_asked_about_once_a_second(talk: Talk) -> None:
    """RFC 3376 6.6.3.1, 8.8: questions about a group are a second apart, however often a stranger leaves it; the last
    one who left is asked about, too."""
    ask(talk)
    for _ in range(20):
        talk.report((TO_EX, talk.G, []))
        talk.report((TO_IN, talk.G, []))
    assert talk.words() == [("query", talk.G, [], False)]
    talk.bed.run_for(0.5)
    talk.report((TO_EX, talk.G, []))
    talk.report((TO_IN, talk.G, []))
    assert talk.words() == []
    talk.bed.run_for(2.4)
    assert talk.words() == [("query", talk.G, [], False)] * 2
    assert rows(talk) == []


def test_sources_that_are_given_up_are_asked_about(talk: Talk) -> None:
    """RFC 3376 6.6.3.2: only those that somebody wanted; the others go on."""
    ask(talk)
    one, two, three, *_ = talk.S
    talk.report((IS_IN, talk.G, [one, two]))
    talk.report((BLOCK, talk.G, [two, three]))
    talk.bed.run_for(1.5)
    assert talk.words() == [("query", talk.G, [two], False)] * 2
    talk.bed.run_for(1)
    assert [row[:3] for row in rows(talk)] == [(talk.G, "include", [one])]
    talk.report((ALLOW, talk.G, [three]))
    assert [row[:3] for row in rows(talk)] == [(talk.G, "include", [one, three])]


def test_who_is_not_the_querier_does_not_ask(talk: Talk) -> None:
    """RFC 3376 6.6.1, 6.6.2: it waits for the querier's question and lowers its timers then, unless told not to."""
    ask(talk)
    talk.query()
    talk.report((TO_EX, talk.G, []))
    talk.report((TO_IN, talk.G, []))
    talk.bed.run_for(5)
    assert talk.words() == []
    assert [row[:3] for row in rows(talk)] == [(talk.G, "exclude", [])]
    talk.query(talk.G, seconds=1, suppress=True)
    talk.bed.run_for(5)
    assert len(rows(talk)) == 1
    talk.query(talk.G, seconds=1)
    talk.bed.run_for(2.1)
    assert rows(talk) == []


def test_older_hosts(talk: Talk) -> None:
    """RFC 3376 7.3.2: an older report is IS_EX of nobody, an older leave TO_IN of nobody; while such a host is present
    BLOCK is not heard."""
    ask(talk)
    talk.old_report(talk.G)
    assert rows(talk) == [(talk.G, "exclude", [], MEMBERSHIP)]
    assert talk.bed.r.listeners()[0]["version"] == talk.newest - 1
    talk.report((BLOCK, talk.G, talk.S[:1]))
    assert talk.words() == []
    talk.old_report(talk.G, leave=True)
    talk.bed.run_for(2.1)
    assert talk.words() == [("query", talk.G, [], False)] * 2
    assert rows(talk) == []


def test_an_older_version_can_be_asked_in(talk: Talk) -> None:
    """RFC 3376 7.3.1: set by hand where older routers are; there are no sources in such questions."""
    name = "net.ipv4.conf.lan.force_igmp_version" if talk.v4 else "net.ipv6.conf.lan.force_mld_version"
    talk.bed.r.sysctl[name] = talk.newest - 1
    ask(talk, settled=False)
    assert talk.words() == [("query", None, None, False)]


@pytest.mark.parametrize("wrong", ["ttl", "alert", "source"])
def test_reports_that_are_not_of_this_link_are_not_heard(talk: Talk, wrong: str) -> None:
    """RFC 3376 4, 9.2, RFC 3810 5.2.13, 6.2: TTL 1, router alert, a source on the link (MLD: link-local)."""
    ask(talk)
    # without an alert MLD is nothing that routers look at: a packet to a group that nobody joined
    reason = "MCAST_NO_INTEREST" if wrong == "alert" and not talk.v4 else "MEMBERSHIP_INVALID"
    before = talk.bed.r.drop_counts().get(reason, 0)
    if wrong == "ttl":
        talk.report((IS_EX, talk.G, []), ttl=2)
    elif wrong == "alert":
        talk.report((IS_EX, talk.G, []), alert=False)
    else:
        talk.report((IS_EX, talk.G, []), src="10.9.9.9" if talk.v4 else "2001:db8:1::2")
    assert talk.bed.r.drop_counts()[reason] == before + 1
    assert rows(talk) == []


def test_a_report_from_nowhere(talk: Talk) -> None:
    """RFC 3376 4.2.13: of IGMP it is heard; RFC 3810 5.2.13: of MLD routers ignore it."""
    ask(talk)
    talk.report((IS_EX, talk.G, []), src="0.0.0.0" if talk.v4 else "::")
    assert [row[0] for row in rows(talk)] == ([talk.G] if talk.v4 else [])


def test_link_scope_is_not_kept(talk: Talk) -> None:
    """Nothing of link scope is forwarded, so nobody needs to know who listens to it."""
    ask(talk)
    talk.report((IS_EX, "224.0.0.251" if talk.v4 else "ff02::fb", []), (IS_EX, talk.all_hosts, []))
    assert rows(talk) == []


def test_floods_are_bounded(talk: Talk) -> None:
    """A stranger fills at most `MAX_GROUPS` groups of `MAX_SOURCES` sources; what finds no room is counted."""
    ask(talk)
    for n in range(MAX_GROUPS + 5):
        group = f"239.5.{n >> 8}.{n & 255}" if talk.v4 else f"ff05::5:{n:x}"
        talk.report((IS_EX, group, []))
    assert len(rows(talk)) == MAX_GROUPS
    assert talk.bed.r.queriers()[0]["refused"] == 5
    talk.bed.run_for(MEMBERSHIP + 1)
    many = [f"192.0.2.{n + 1}" if talk.v4 else f"2001:db8:9::{n:x}" for n in range(MAX_SOURCES + 1)]
    talk.report((IS_IN, talk.G, many))
    assert [row[:3] for row in rows(talk)] == [(talk.G, "exclude", [])]


def test_it_ends_with_its_device_and_when_it_is_switched_off(talk: Talk) -> None:
    """A device that goes down forgets who listened and asks anew when it is back; switched off, nothing is left."""
    ask(talk)
    talk.report((IS_EX, talk.G, []))
    talk.bed.r.set_device("lan", up=False, now=talk.bed.now)
    assert rows(talk) == []
    assert talk.bed.stack.poll_at() is None
    talk.bed.r.set_device("lan", up=True, now=talk.bed.now)
    talk.bed.run_for(5)
    assert talk.words() == [GENERAL]
    talk.bed.r.set_querier("lan", igmp=False, mld=False, now=talk.bed.now)
    assert talk.bed.r.queriers() == []
    assert talk.station.dev.allmulti == 0
    talk.bed.run_until_idle()
    assert talk.words() == []


def test_it_waits_for_an_address() -> None:
    """RFC 3376 4.1.13, RFC 3810 5.1.14: without an address nobody asks; with one it begins at once."""
    bed = Loud()
    bed.r = bed.stack.add_netns("r")
    bed.r.sysctl["net.ipv6.conf.default.router_solicitations"] = 0
    dev = bed.r.add_device("lan", now=bed.now)
    bed.r.set_querier("lan", igmp=True, mld=True, now=bed.now)
    asked = [(at / SECOND, frame[12:14].hex()) for _, at, frame in drained(bed) if frame[38:42] == b"\x11\x64\xec\x00"]
    assert asked == []
    bed.run_for(5)
    kinds = [row["protocol"] for row in bed.r.queriers() if row["querier"]]
    assert kinds == ["MLD"]
    bed.r.add_address(dev, "10.0.1.5/24", now=bed.now)
    assert bed.r.queriers()[0]["querier"] == "10.0.1.5"
    assert bed.r.queriers()[0]["elected"]
    assert any(frame[23] == 2 for _, _, frame in drained(bed) if frame[12:14] == b"\x08\x00")


def drained(bed: Loud) -> list[Any]:
    """The frames since the last call."""
    bed.flush()
    found, bed.log = bed.log, []
    return found
