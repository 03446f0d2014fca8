"""What a device tells of its groups, in both families: RFC 2236, RFC 3376 5 and 7.2, RFC 2710, RFC 3810 6 and 8.2.

::

    station ── lan of r          10.0.1.5/24, fe80::ff:fe00:5
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from tests.path.group_bed import ALLOW, BLOCK, IS_EX, IS_IN, TO_EX, TO_IN, Loud, Talk
from vrouter.stack.base.drop import DropReason
from vrouter.testing import frames, frames6

SECOND = 1_000_000_000


@pytest.fixture(params=[4, 6], ids=["igmp", "mld"])
def talk(request: pytest.FixtureRequest) -> Iterator[Talk]:
    """A settled link; its accounts balance at the end."""
    bed = Loud()
    bed.r = bed.stack.add_netns("r")
    bed.r.sysctl["net.ipv6.conf.default.dad_transmits"] = 0
    bed.r.sysctl["net.ipv6.conf.default.router_solicitations"] = 0
    station = bed.lan(bed.r, "lan", 5)
    bed.settle()
    found = Talk(bed, station, request.param)
    found.said()
    yield found
    bed.close()


def socket_of(talk: Talk) -> Any:
    """A UDP socket of r in the family."""
    return talk.bed.r.socket(2 if talk.v4 else 10)


def rest(talk: Talk) -> list[tuple[Any, ...]]:
    """What is said until nothing is left to say, without the times; the stack is idle then."""
    talk.bed.run_until_idle()
    assert talk.bed.stack.poll_at() is None
    return talk.words()


def times(talk: Talk) -> list[float]:
    """When the rest is said."""
    talk.bed.run_until_idle()
    return [words[0] for words in talk.said()]


def test_a_join_is_told_at_once_and_once_more(talk: Talk) -> None:
    """RFC 3376 5.1, RFC 3810 6.1: at once, then robustness - 1 times within the unsolicited report interval of 1 s."""
    began = talk.bed.now / SECOND
    talk.join(socket_of(talk), talk.G)
    assert talk.said() == [(began, "report", [(TO_EX, talk.G, [])])]
    talk.bed.run_until_idle()
    ((again, *words),) = talk.said()
    assert began < again <= began + 1
    assert words == ["report", [(TO_EX, talk.G, [])]]


def test_a_leave_is_told_like_a_join(talk: Talk) -> None:
    """RFC 3376 5.1: CHANGE_TO_INCLUDE of nobody, twice. A closed socket leaves, too."""
    sock = socket_of(talk)
    talk.join(sock, talk.G)
    rest(talk)
    sock.close(now=talk.bed.now)
    assert rest(talk) == [("report", [(TO_IN, talk.G, [])])] * 2


def test_only_the_last_member_tells(talk: Talk) -> None:
    """RFC 3376 3.2: what is told is the merged state; a second member of the same changes nothing."""
    one, two = socket_of(talk), socket_of(talk)
    talk.join(one, talk.G)
    rest(talk)
    talk.join(two, talk.G)
    talk.join(one, talk.G, leave=True)
    assert rest(talk) == []
    talk.join(two, talk.G, leave=True)
    assert rest(talk) == [("report", [(TO_IN, talk.G, [])])] * 2


def test_sources_come_and_go(talk: Talk) -> None:
    """RFC 3376 5.1: in INCLUDE mode ALLOW and BLOCK tell the sources that are new and that are gone."""
    sock, (one, two, *_) = socket_of(talk), talk.S
    talk.join(sock, talk.G, one)
    assert rest(talk) == [("report", [(ALLOW, talk.G, [one])])] * 2
    talk.join(sock, talk.G, two)
    assert rest(talk) == [("report", [(ALLOW, talk.G, [two])])] * 2
    talk.join(sock, talk.G, one, leave=True)
    assert rest(talk) == [("report", [(BLOCK, talk.G, [one])])] * 2
    other = socket_of(talk)
    talk.join(other, talk.G)
    assert rest(talk) == [("report", [(TO_EX, talk.G, [])])] * 2
    talk.join(other, talk.G, leave=True)
    assert rest(talk) == [("report", [(TO_IN, talk.G, [two])])] * 2


def test_changes_that_are_still_being_told_are_merged(talk: Talk) -> None:
    """RFC 3376 5.1: a second change before the first was told often enough: one report tells what is so now."""
    sock, (one, two, *_) = socket_of(talk), talk.S
    talk.join(sock, talk.G, one)
    talk.join(sock, talk.G, two)
    assert rest(talk) == [
        ("report", [(ALLOW, talk.G, [one])]),
        ("report", [(ALLOW, talk.G, [one, two])]),
        ("report", [(ALLOW, talk.G, [two])]),
    ]
    talk.join(sock, talk.G, one, leave=True)
    talk.join(sock, talk.G, one)
    assert rest(talk) == [("report", [(BLOCK, talk.G, [one])]), *[("report", [(ALLOW, talk.G, [one])])] * 2]


def test_the_robustness_is_a_setting_and_the_queriers(talk: Talk) -> None:
    """RFC 3376 4.1.6, 8.1: igmp_qrv and mld_qrv until a querier tells its own."""
    talk.bed.r.sysctl["net.ipv4.igmp_qrv" if talk.v4 else "net.ipv6.mld_qrv"] = 3
    sock = socket_of(talk)
    talk.join(sock, talk.G)
    assert len(rest(talk)) == 3
    talk.query(robustness=4)
    rest(talk)
    talk.join(sock, talk.H)
    assert rest(talk) == [("report", [(TO_EX, talk.H, [])])] * 4


@pytest.mark.parametrize("older", [False, True])
def test_the_interval_is_a_setting(talk: Talk, older: bool) -> None:
    """RFC 3376 8.11, RFC 2710 7.10: the repetition comes within the unsolicited_report_interval of the version."""
    name = ("ipv4.conf.lan.igmpv" if talk.v4 else "ipv6.conf.lan.mldv") + str(talk.newest - older)
    if older:
        talk.bed.r.sysctl[
            "net.ipv4.conf.lan.force_igmp_version" if talk.v4 else "net.ipv6.conf.lan.force_mld_version"
        ] = talk.newest - 1
    talk.bed.r.sysctl[f"net.{name}_unsolicited_report_interval"] = 1
    talk.join(socket_of(talk), talk.G)
    first, second = times(talk)
    assert 0 < second - first <= 0.001001


def test_a_general_query_is_answered_within_its_time(talk: Talk) -> None:
    """RFC 3376 5.2: one report of all groups with their filters, at a random moment within the time allowed."""
    sock, one = socket_of(talk), talk.S[0]
    talk.join(sock, talk.G)
    talk.join(sock, talk.H, one)
    rest(talk)
    asked = talk.bed.now / SECOND
    talk.query(seconds=10)
    talk.bed.run_until_idle()
    ((at, *words),) = talk.said()
    assert asked < at <= asked + 10
    assert words == ["report", [(IS_EX, talk.G, []), (IS_IN, talk.H, [one])]]


def test_a_query_of_a_group_is_answered_about_it(talk: Talk) -> None:
    """RFC 3376 5.2 (3), with (5) sources: INCLUDE(A) answers A*B, EXCLUDE(A) answers B-A, and nothing when empty."""
    sock, (one, two, three, *_) = socket_of(talk), talk.S
    talk.join(sock, talk.G)
    talk.join(sock, talk.H, one)
    talk.join(sock, talk.H, two)
    rest(talk)
    talk.query(talk.G, seconds=1)
    assert rest(talk) == [("report", [(IS_EX, talk.G, [])])]
    talk.query(talk.H, [two, three], seconds=1)
    assert rest(talk) == [("report", [(IS_IN, talk.H, [two])])]
    talk.query(talk.H, [three], seconds=1)
    assert rest(talk) == []
    talk.query(talk.G, [three], seconds=1)
    assert rest(talk) == [("report", [(IS_IN, talk.G, [three])])]


def test_pending_answers_are_merged(talk: Talk) -> None:
    """RFC 3376 5.2 (1, 4, 5): a general answer that comes sooner serves; sources add up; a whole group covers them."""
    sock, (one, two, *_) = socket_of(talk), talk.S
    talk.join(sock, talk.G)
    rest(talk)
    talk.query(talk.G, [one], seconds=10)
    talk.query(talk.G, [two], seconds=10)
    assert rest(talk) == [("report", [(IS_IN, talk.G, [one, two])])]
    talk.query(talk.G, [one], seconds=10)
    talk.query(talk.G, seconds=10)
    assert rest(talk) == [("report", [(IS_EX, talk.G, [])])]
    talk.query(seconds=1)
    talk.query(talk.G, seconds=12)
    assert 1 <= len(rest(talk)) <= 2  # the second serves only when it would come before the first


def test_nothing_is_told_of_all_hosts(talk: Talk) -> None:
    """RFC 2236 6, RFC 3810 6: never of 224.0.0.1 and ff02::1, nor of what does not leave the node."""
    sock = socket_of(talk)
    talk.join(sock, talk.all_hosts)
    if not talk.v4:
        talk.join(sock, "ff01::5")
    talk.query()
    assert rest(talk) == []


def test_link_scope_is_told_unless_a_setting_says_no() -> None:
    """igmp_link_local_mcast_reports: 224.0.0.0/24 is reported by default, as in Linux; 0 says no."""
    bed = Loud(ipv6=False)
    bed.r = bed.stack.add_netns("r")
    talk = Talk(bed, bed.lan4("lan"), 4)
    bed.settle()
    talk.said()
    sock = socket_of(talk)
    talk.join(sock, "224.0.0.251")
    assert rest(talk) == [("report", [(TO_EX, "224.0.0.251", [])])] * 2
    bed.r.sysctl["net.ipv4.igmp_link_local_mcast_reports"] = 0
    talk.query()
    talk.join(sock, "224.0.0.252")
    assert rest(talk) == []
    bed.close()


@pytest.mark.parametrize("wrong", ["ttl", "alert", "group", "source"])
def test_queries_that_are_not_of_this_link_are_not_heard(talk: Talk, wrong: str) -> None:
    """RFC 3376 4, 9.1, RFC 3810 5.1.14, 6.2: TTL 1, router alert, to all hosts; of MLD from a link-local address."""
    talk.join(socket_of(talk), talk.G)
    rest(talk)
    with talk.bed.expect(
        rx=1,
        drops={DropReason.MEMBERSHIP_INVALID: 1},
        **(
            {"IpInReceives": 1, "IpInMcastPkts": 1, "IpInDelivers": 1}
            if talk.v4
            else {
                "Ip6InReceives": 1,
                "Ip6InMcastPkts": 1,
                "Ip6InDelivers": 1,
                "Icmp6InMsgs": 1,
                "Icmp6InGroupMembQueries": 1,
            }
        ),
    ):
        if wrong == "ttl":
            talk.query(ttl=2)
        elif wrong == "alert":
            talk.query(alert=False)
        elif wrong == "group":
            talk.query(dst=talk.G)
        elif talk.v4:
            talk.say(frames.igmp_query("10.0.1.5"), talk.host, "224.0.0.1")  # no group at all
        else:
            talk.query(src="2001:db8:1::2")
    assert rest(talk) == []


def test_malformed_messages_are_not_heard(talk: Talk) -> None:
    """RFC 3376 4.1.11, 4.1.12: of 9 to 11 bytes of no version; a wrong checksum; an unknown type of IGMP."""
    if talk.v4:
        bad = [frames.igmp(0x11, 100, 0, b"\0"), frames.igmp(0x11, 100, 0, checksum=1), frames.igmp(0x1F, 0, 0)]
    else:
        bad = [frames6.icmp6(talk.host, "ff02::1", 130, 0, 0, bytes(17))]
    talk.join(socket_of(talk), talk.G)
    rest(talk)
    before = talk.bed.r.drop_counts().get("MEMBERSHIP_INVALID", 0)
    for message in bad:
        talk.say(message, talk.host, talk.all_hosts)
    assert talk.bed.r.drop_counts()["MEMBERSHIP_INVALID"] - before == len(bad)
    assert rest(talk) == []


def test_an_older_querier_has_its_version_spoken(talk: Talk) -> None:
    """RFC 3376 7.2.1, RFC 3810 8.2.1: reports of the older version, each to its group, until robustness times the query
    interval and a response after the last older query (260 s); then the newest again."""
    sock = socket_of(talk)
    talk.join(sock, talk.G)
    talk.join(sock, talk.H, talk.S[0])
    rest(talk)
    heard = talk.bed.now / SECOND
    talk.query(old=True, seconds=10)
    assert sorted(rest(talk)) == [("old", talk.G), ("old", talk.H)]
    talk.query(seconds=1)
    assert sorted(rest(talk)) == [("old", talk.G), ("old", talk.H)]
    talk.bed.run_for(heard + 259.9 - talk.bed.now / SECOND)
    talk.query(talk.G, seconds=1)
    talk.bed.run_for(0.1)
    talk.bed.run_until_idle()
    assert len(talk.said()) == 1
    talk.query(talk.G, seconds=1)
    assert rest(talk) == [("report", [(IS_EX, talk.G, [])])]


def test_an_older_join_and_leave(talk: Talk) -> None:
    """RFC 2236 3, RFC 2710 4: told at once, once more within 10 s; who reported last says that he leaves."""
    talk.query(old=True)
    sock = socket_of(talk)
    rest(talk)
    began = talk.bed.now / SECOND
    talk.join(sock, talk.G)
    talk.bed.run_until_idle()
    (first, *words), (second, *again) = talk.said()
    assert words == again == ["old", talk.G]
    assert first == began
    assert began < second <= began + 10
    talk.join(sock, talk.G, leave=True)
    assert rest(talk) == [("leave", talk.G)]


def test_anothers_older_report_serves_for_ours(talk: Talk) -> None:
    """RFC 2236 3: who hears a report of the group does not give his own, and leaves without a word."""
    talk.query(old=True)
    sock = socket_of(talk)
    rest(talk)
    talk.join(sock, talk.G)
    assert rest(talk) == [("old", talk.G)] * 2
    talk.query(old=True)
    talk.old_report(talk.G)
    assert rest(talk) == []
    talk.join(sock, talk.G, leave=True)
    assert rest(talk) == []


def test_a_version_can_be_forced(talk: Talk) -> None:
    """force_igmp_version 2, force_mld_version 1: spoken whatever the querier speaks."""
    name = "net.ipv4.conf.lan.force_igmp_version" if talk.v4 else "net.ipv6.conf.lan.force_mld_version"
    talk.bed.r.sysctl[name] = talk.newest - 1
    sock = socket_of(talk)
    talk.join(sock, talk.G)
    assert rest(talk) == [("old", talk.G)] * 2
    talk.query(talk.G, seconds=1)
    assert rest(talk) == [("old", talk.G)]
    talk.bed.r.sysctl[name] = talk.newest if talk.v4 else 0
    talk.query(talk.G, seconds=1)
    assert rest(talk) == [("report", [(IS_EX, talk.G, [])])]


def test_a_version_forced_while_changes_are_told(talk: Talk) -> None:
    """What is still to be told is told in the version that is then spoken; a leave that it has no words for is not."""
    name = "net.ipv4.conf.lan.force_igmp_version" if talk.v4 else "net.ipv6.conf.lan.force_mld_version"
    sock = socket_of(talk)
    talk.join(sock, talk.G)
    talk.join(sock, talk.G, leave=True)
    talk.join(sock, talk.H)
    talk.said()
    talk.bed.r.sysctl[name] = talk.newest - 1
    assert rest(talk) == [("old", talk.H)]
    talk.bed.r.sysctl[name] = 0
    assert rest(talk) == []


def test_igmp_version_1_has_no_leave() -> None:
    """RFC 2236 4: a querier of version 1 has version 1 spoken, which says nothing when a host leaves."""
    bed = Loud(ipv6=False)
    bed.r = bed.stack.add_netns("r")
    talk = Talk(bed, bed.lan4("lan"), 4)
    bed.settle()
    talk.say(frames.igmp_query(version=1), talk.host, "224.0.0.1", alert=False)
    talk.said()
    sock = socket_of(talk)
    talk.join(sock, talk.G)
    assert rest(talk) == [("old", talk.G)] * 2
    talk.join(sock, talk.G, leave=True)
    assert rest(talk) == []
    bed.close()


def test_long_lists_are_split_by_the_mtu(talk: Talk) -> None:
    """RFC 3376 4.2.16, RFC 3810 5.2.15: each report fits; the parts of an INCLUDE are in reports of their own.

    The MTU is the device's, or what a router advertised for its link.
    """
    room = 576 if talk.v4 else 1280
    if talk.v4:
        talk.bed.r.set_device("lan", mtu=room, now=talk.bed.now)
    else:
        talk.bed.r.sysctl["net.ipv6.conf.lan.mtu"] = room
    talk.bed.r.sysctl["net.ipv4.igmp_max_msf" if talk.v4 else "net.ipv6.mld_max_msf"] = 1000
    sock = socket_of(talk)
    sources = [f"198.51.{n // 200}.{n % 200 + 1}" if talk.v4 else f"2001:db8:9::{n + 1:x}" for n in range(300)]
    for source in sources:
        talk.join(sock, talk.G, source)
    rest(talk)
    talk.query(talk.G, seconds=1)
    talk.bed.run_until_idle()
    parts = [records for _, _, records in talk.said()]
    assert all(len(records) == 1 for records in parts)
    assert [source for ((kind, _, some),) in parts for source in some if kind == IS_IN] == sources
    most = (room - (32 if talk.v4 else 56) - (8 if talk.v4 else 20)) // (4 if talk.v4 else 16)
    assert [len(some) for ((_, _, some),) in parts[:-1]] == [most] * (299 // most)
    assert all(len(frame) <= room + 14 for frame in talk.station.received)


def test_a_device_that_is_ready_again_tells_everything(talk: Talk) -> None:
    """Linux's ip_mc_up: what the link may have forgotten is told as new; nothing while the device is down."""
    sock = socket_of(talk)
    talk.join(sock, talk.G)
    rest(talk)
    talk.bed.r.set_device("lan", up=False, now=talk.bed.now)
    talk.join(sock, talk.H, talk.S[0])
    assert rest(talk) == []
    talk.bed.r.set_device("lan", up=True, now=talk.bed.now)
    talk.bed.run_for(2)
    told = talk.words()
    assert told[0] == ("report", [(TO_EX, talk.G, []), (ALLOW, talk.H, [talk.S[0]])])
    assert told.count(told[0]) == 2


def test_a_device_that_moves_forgets(talk: Talk) -> None:
    """A membership is of its namespace: the device says nothing of it in another one, and the timers are gone."""
    bed = talk.bed
    other = bed.stack.add_netns("other")
    other.sysctl["net.ipv6.conf.default.router_solicitations"] = 0
    sock = socket_of(talk)
    talk.join(sock, talk.G)
    talk.said()
    bed.stack.move_device(talk.station.dev, other, now=bed.now)
    talk.query()
    assert rest(talk) == []
    assert [row for row in bed.r.groups() if row["group"] == talk.G] == []
    bed.stack.remove_device(talk.station.dev, now=bed.now)
    assert rest(talk) == []


def test_a_namespace_that_goes_says_nothing_more(talk: Talk) -> None:
    """With members, a querier, a proxy and multicast DNS in use: no timer is left, and the accounts balance."""
    bed = talk.bed
    ns = bed.stack.add_netns("s")
    ns.sysctl["net.ipv6.conf.default.router_solicitations"] = 0
    for name in ("one", "two"):
        ns.add_device(name, now=bed.now)
    ns.set_multicast_proxy("one", ["two"], now=bed.now)
    ns.set_querier("one", igmp=True, mld=True, now=bed.now)
    ns.set_mdns(["one", "two"], now=bed.now)
    ns.add_mroute(talk.G, "one", ["two"], netns="r", join=True, now=bed.now)
    bed.stack.take_egress()
    bed.stack.remove_netns("s", now=bed.now)
    assert bed.stack.take_egress() == []
    assert bed.stack.poll_at() is None
    assert bed.stack.crossings_to == {}


def test_mld_speaks_from_nowhere_until_it_has_an_address() -> None:
    """RFC 3590 4, RFC 3810 5.2.13: the first report comes from ::, and all is told again from the link-local address
    once that is unique."""
    bed = Loud()
    bed.r = bed.stack.add_netns("r")
    bed.r.sysctl["net.ipv6.conf.default.router_solicitations"] = 0
    bed.r.add_device("lan", mac="02:00:00:00:00:05", now=bed.now)
    bed.run_until_idle()
    sources = [frame[22:38] for _, _, frame in bed.log if frame[14 + 6] == 0 and frame[14 + 48] == 143]
    address = bytes.fromhex("fe8000000000000000000000" + "00000005")[:8] + bytes.fromhex("000000fffe000005")
    assert sources[0] == bytes(16)
    assert sources[-1] == address
    assert sources == [bytes(16)] * sources.count(bytes(16)) + [address] * sources.count(address)
    assert sources.count(address) == 2


def test_nothing_is_said_on_lo(talk: Talk) -> None:
    """lo has no link: a membership there is told to nobody, and arms no timer."""
    sock = socket_of(talk)
    dev, talk.station.dev = talk.station.dev, talk.bed.r.lo
    talk.join(sock, talk.G)
    talk.station.dev = dev
    assert talk.bed.stack.poll_at() is None
    assert rest(talk) == []


def test_what_is_shown(talk: Talk) -> None:
    """`groups`: all hosts on every device, and each membership with its filter and how many have it."""
    one, two = socket_of(talk), socket_of(talk)
    talk.join(one, talk.G)
    talk.join(two, talk.G)
    talk.join(one, talk.H, talk.S[1])
    talk.join(one, talk.H, talk.S[0])
    rows = {(row["dev"], row["group"]): row for row in talk.bed.r.groups()}
    assert rows["lan", talk.all_hosts]["users"] == rows["lo", talk.all_hosts]["users"] == 1
    shared = {"netns": "r", "dev": "lan"}
    assert rows["lan", talk.G] == {**shared, "group": talk.G, "mode": "exclude", "sources": [], "users": 2}
    assert rows["lan", talk.H] == {**shared, "group": talk.H, "mode": "include", "sources": talk.S[:2], "users": 1}
