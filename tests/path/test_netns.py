"""Namespaces: a tree of separate stacks, made and removed while packets flow.

a 10.0.1.2 ── 10.0.1.1 r 10.0.2.1 ── 10.0.2.2 b
"""

from __future__ import annotations

import errno
from typing import Any

import pytest

from tests.path.bed import Bed
from vrouter.stack.base.drop import DropReason
from vrouter.stack.l4 import constants as c
from vrouter.stack.netns import Netns
from vrouter.testing import frames, match


def failure(action: Any, *arguments: Any, **named: Any) -> int | None:
    """The errno with which an action fails."""
    with pytest.raises(OSError) as caught:
        action(*arguments, **named)
    return caught.value.errno


# -- the tree ---------------------------------------------------------------------------------------------------------


def test_parents_must_exist(empty: Bed) -> None:
    """No namespace is implicit."""
    assert failure(empty.stack.add_netns, "red/web") == errno.ENOENT
    empty.stack.add_netns("red")
    empty.stack.add_netns("red/web")
    assert failure(empty.stack.add_netns, "red/db/x") == errno.ENOENT
    assert failure(empty.stack.add_netns, "red/web") == errno.EEXIST
    assert list(empty.stack.namespaces) == ["red", "red/web"]


@pytest.mark.parametrize("name", ["", "/", "red/", "/red", "a b", "x" * 33, "..", ".", "red//web", "rédé"])
def test_names_that_cannot_be(empty: Bed, name: str) -> None:
    """A segment is 1 to 32 of letters, digits, _ . -"""
    empty.stack.add_netns("red")
    assert failure(empty.stack.add_netns, name) == errno.EINVAL


def test_children_keep_their_parent(empty: Bed) -> None:
    """ENOTEMPTY, unless the whole subtree is meant; a name that only begins alike is no child."""
    for name in ("red", "red/web", "red/web/x", "red/db", "redder"):
        empty.stack.add_netns(name)
    assert failure(empty.stack.remove_netns, "red") == errno.ENOTEMPTY
    assert failure(empty.stack.remove_netns, "green") == errno.ENOENT
    empty.stack.remove_netns("red/web/x")
    empty.stack.remove_netns("red", recursive=True)
    assert list(empty.stack.namespaces) == ["redder"]


def test_each_has_a_loopback_of_its_own(empty: Bed) -> None:
    """lo, up, index 1, with 127.0.0.1/8; it belongs to its namespace, for good."""
    for name in ("red", "blue"):
        ns = empty.stack.add_netns(name)
        lo = ns.devices["lo"]
        assert (lo.ifindex, lo.state, [(a.address, a.length) for a in lo.addresses]) == (1, "up", [(0x7F000001, 8)])
        receiver = empty.udp(7, ns=ns)
        empty.udp(ns=ns).sendto(name.encode(), ("127.0.0.1", 7), now=0)
        assert empty.received(receiver) == [name.encode()]
    lo = empty.stack.namespaces["red"].lo
    assert failure(empty.stack.move_device, lo, empty.stack.namespaces["blue"]) == errno.EINVAL
    assert failure(empty.stack.remove_device, lo) == errno.EOPNOTSUPP


# -- nothing is shared ------------------------------------------------------------------------------------------------


def test_twins_do_not_meet(bed: Bed) -> None:
    """The same device name, addresses, ports, settings and neighbours in two namespaces at once."""
    twin = bed.stack.add_netns("twin")
    a = bed.station(twin, "a", "10.0.1.1/24", "10.0.1.2")
    bed.settle()
    socks = [bed.udp(7), bed.udp(7, ns=twin)]
    with bed.expect():
        a.send(frames.ipv4_udp("10.0.1.2", "10.0.1.1", 1, 7, b"twin"))
    assert [bed.received(sock) for sock in socks] == [[], [b"twin"]]
    with bed.expect(), bed.expect(twin, rx=1, drops={DropReason.FORWARDING_DISABLED: 1}, IpInReceives=1):
        a.send(frames.ipv4_udp("10.0.1.2", "10.0.2.2", 1, 7))  # r forwards, twin does not
    assert bed.b.received == []
    assert (bed.r.devices["a"].ifindex, twin.devices["a"].ifindex) == (2, 2)
    assert bed.r.devices["a"].mac != twin.devices["a"].mac


def test_rate_limits_are_a_namespaces_own(bed: Bed) -> None:
    """RFC 1812 4.3.2.8: one tenant's errors do not use up another's."""
    twin = bed.stack.add_netns("twin")
    a = bed.station(twin, "a", "10.0.1.1/24", "10.0.1.2")
    bed.settle()
    for _ in range(20):
        bed.a.send(frames.ipv4_udp("10.0.1.2", "10.0.1.1", 1, 9))
    a.send(frames.ipv4_udp("10.0.1.2", "10.0.1.1", 1, 9))
    assert (len(bed.a.received), len(a.received)) == (6, 1)


# -- the end ----------------------------------------------------------------------------------------------------------


def test_what_waits_dies_with_the_namespace(bed: Bed) -> None:
    """Packets in a neighbour's queue and in reassembly end as NS_CLOSING, and the accounts still
    balance."""
    doomed = bed.stack.add_netns("doomed")
    doomed.sysctl["net.ipv4.ip_forward"] = 1
    a = bed.station(doomed, "a", "10.0.1.1/24", "10.0.1.2")
    bed.settle()
    for _ in range(3):
        a.send(frames.ipv4_udp("10.0.1.2", "10.0.1.77", 1, 7, b"waits"))
    a.send(frames.fragments(frames.ipv4_udp("10.0.1.2", "10.0.1.1", 1, 7, bytes(2000), ident=1), 1500)[0])
    assert doomed.queued() == 4
    bed.stack.remove_netns("doomed", now=bed.now)
    assert doomed.queued() == 0
    assert doomed.drop_counts()["NS_CLOSING"] == 4
    assert bed.stack.poll_at() is None


def test_sockets_end_with_their_namespace(bed: Bed) -> None:
    """A socket of a removed namespace is closed: EBADF."""
    doomed = bed.stack.add_netns("doomed")
    sock = bed.udp(7, ns=doomed)
    bed.stack.remove_netns("doomed", now=bed.now)
    assert failure(sock.sendto, b"x", ("127.0.0.1", 7), now=bed.now) == errno.EBADF
    assert failure(doomed.socket) == errno.ENOENT
    assert failure(doomed.add_device, "late") == errno.ENOENT


def test_a_frame_for_a_namespace_that_is_gone(bed: Bed) -> None:
    """The driver may hand in what it read a moment before; it is counted at the stack as NS_CLOSING."""
    doomed = bed.stack.add_netns("doomed")
    a = bed.station(doomed, "a", "10.0.1.1/24", "10.0.1.2")
    bed.settle()
    bed.stack.remove_netns("doomed", now=bed.now)
    before = bed.stack.drops[DropReason.NS_CLOSING]
    with bed.expect():
        a.send(frames.ipv4_echo("10.0.1.2", "10.0.1.1"))
    assert bed.stack.drops[DropReason.NS_CLOSING] - before == 1
    assert a.received == []


def test_veth_peers_go_along(bed: Bed) -> None:
    """A pair is one thing: the other end leaves its namespace."""
    doomed = bed.stack.add_netns("doomed")
    bed.stack.add_veth(bed.r, "to-doomed", doomed, "up")
    bed.stack.remove_netns("doomed", now=bed.now)
    assert list(bed.r.devices) == ["lo", "a", "b"]


def test_a_name_can_be_used_again(bed: Bed) -> None:
    """The new one has nothing of the old one."""
    first = bed.stack.add_netns("red")
    first.sysctl["net.ipv4.ip_forward"] = 1
    first.add_address("lo", "10.9.9.9/32")
    bed.udp(7, ns=first)
    bed.stack.remove_netns("red", now=bed.now)
    second = bed.stack.add_netns("red")
    assert (second.conf.ip_forward, list(second.devices), second.sockets) == (False, ["lo"], {})
    bed.udp(7, ns=second)


def test_groups_joined_end_with_the_namespace(bed: Bed) -> None:
    """RFC 1112 7.2: memberships of sockets that are closed are left."""
    doomed = bed.stack.add_netns("doomed")
    station = bed.station(doomed, "a", "10.0.1.1/24", "10.0.1.2")
    sock = bed.udp(7, ns=doomed)
    mreq = bytes((239, 1, 2, 3, 10, 0, 1, 1))
    sock.setsockopt(c.SOL_IP, c.IP_ADD_MEMBERSHIP, mreq, now=bed.now)
    assert len(station.dev.groups) == 3  # beside it, those of all hosts and all nodes
    bed.stack.remove_netns("doomed", now=bed.now)
    assert len(station.dev.groups) == 2


# -- subsystems -------------------------------------------------------------------------------------------------------


def test_subsystems_enter_and_leave(empty: Bed) -> None:
    """init for each namespace that exists and each that comes, exit before it goes, the last in first out."""
    log: list[str] = []

    def note(word: str) -> Any:
        def function(ns: Netns) -> None:
            log.append(f"{word} {ns.name}")

        return function

    empty.stack.add_netns("old")
    empty.stack.register(note("one in"), note("one out"))
    empty.stack.register(note("two in"), note("two out"))
    empty.stack.add_netns("new")
    empty.stack.remove_netns("old")
    assert log == ["one in old", "two in old", "one in new", "two in new", "two out old", "one out old"]


# -- many -------------------------------------------------------------------------------------------------------------


def test_five_hundred_with_the_same_address_and_port(empty: Bed) -> None:
    """Hundreds of namespaces in one task, each answering on the same address and port."""
    stations = []
    for i in range(500):
        ns = empty.stack.add_netns(f"t{i}")
        stations.append(empty.station(ns, "lan", "10.0.1.1/24", "10.0.1.2"))
        empty.udp(7, ns=ns)
    empty.settle()
    for i, station in enumerate(stations):
        station.send(frames.ipv4_echo("10.0.1.2", "10.0.1.1", i, 1, bytes((i & 255,))))
        station.send(frames.ipv4_udp("10.0.1.2", "10.0.1.1", 1, 7, b"%d" % i))
    assert all(
        station.received == [match.icmp4(type=0, ident=i, payload=bytes((i & 255,)))]
        for i, station in enumerate(stations)
    )
    socks = [next(iter(ns.sockets)) for ns in empty.stack.namespaces.values()]
    assert [empty.received(sock) for sock in socks] == [[b"%d" % i] for i in range(500)]
