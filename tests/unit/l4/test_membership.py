"""Groups with sources: what each socket hears, what that comes to at a device, and what is told of it."""

import struct
from collections.abc import Callable
from typing import Any

import pytest

from vrouter.stack.base.group_filter import EVERYBODY, Filter
from vrouter.stack.base.packet import Packet
from vrouter.stack.l4.membership import (
    change_source,
    hold,
    is_member,
    join,
    leave_all,
    release,
    set_filter,
)
from vrouter.stack.l4.socket import Socket
from vrouter.stack.l4.udp import udp_input
from vrouter.stack.netns import Netns
from vrouter.stack.stack import Stack

Make = Callable[..., Packet]
GROUP = 0xEF000005
ONE, TWO, THREE = 0x0A000102, 0x0A000103, 0x0A000104
GROUP6 = 0xFF05 << 112 | 9
LAN = 2  # the ifindex of lan
AT_LAN = bytes((239, 0, 0, 5, 10, 0, 1, 1))
JOIN, BLOCK, UNBLOCK, ADD = 35, 38, 37, 39


def source(address: int) -> bytes:
    """ip_mreq_source of the group at lan."""
    return AT_LAN + address.to_bytes(4, "big")


def told(ns: Netns) -> list[Any]:
    """What has changed of the groups here since the last look, with the device's name."""
    ns.group_changes, changes = [], ns.group_changes
    return [(dev.name, family, group, *states) for dev, family, group, *states in changes if group in (GROUP, GROUP6)]


def change(sock: Socket, source: int, *, add: bool) -> None:
    """IP_ADD_SOURCE_MEMBERSHIP or its opposite, without a call of the pipeline, which takes the changes away."""
    change_source(sock, 4, GROUP, 0, LAN, source, exclude=False, add=add)


def include(*sources: int) -> Filter:
    return Filter(False, frozenset(sources))


def exclude(*sources: int) -> Filter:
    return Filter(True, frozenset(sources))


def test_the_example_of_the_standard(ns: Netns) -> None:
    """RFC 3376 3.2: s1 EXCLUDE {a,b,c,d}, s2 EXCLUDE {b,c,d,e}, s3 INCLUDE {d,e,f} make EXCLUDE {b,c}."""
    a, b, c, d, e, f = range(0x0A000110, 0x0A000116)
    socks = [ns.socket() for _ in range(3)]
    for sock, wanted in zip(socks, (exclude(a, b, c, d), exclude(b, c, d, e), include(d, e, f)), strict=True):
        join(sock, 4, GROUP, 0, LAN)
        set_filter(sock, 4, GROUP, 0, LAN, wanted)
    state = ns.memberships[GROUP, ns.devices["lan"]]
    assert (state.members, state.state) == (3, exclude(b, c))
    leave_all(socks[0])
    assert state.state == exclude(b, c)
    leave_all(socks[1])
    assert state.state == include(d, e, f)
    told(ns)
    leave_all(socks[2])
    assert (GROUP, ns.devices["lan"]) not in ns.memberships
    assert told(ns) == [("lan", 4, GROUP, include(d, e, f), None)]


def test_every_change_is_told_once(ns: Netns) -> None:
    """RFC 3376 5.1: a report follows each change of the interface state, and none where nothing changed."""
    first, second = ns.socket(), ns.socket()
    change(first, ONE, add=True)
    change(first, TWO, add=True)
    change(second, ONE, add=True)
    change(first, ONE, add=False)
    change(second, ONE, add=False)
    leave_all(first)
    assert told(ns) == [
        ("lan", 4, GROUP, None, include(ONE)),
        ("lan", 4, GROUP, include(ONE), include(ONE, TWO)),
        ("lan", 4, GROUP, include(ONE, TWO), include(TWO)),
        ("lan", 4, GROUP, include(TWO), None),
    ]


def test_calls_have_the_changes_carried_out(ns: Netns) -> None:
    """What setsockopt and close change has been taken by the pipeline when they return."""
    sock = ns.socket()
    sock.setsockopt(0, JOIN, AT_LAN, now=0)
    assert ns.group_changes == []
    sock.close(now=0)
    assert ns.group_changes == []


def test_each_socket_hears_whom_it_asked_for(ns: Netns, datagram: Make) -> None:
    """RFC 3376 3.1, 3.2: the merged state lets pass what anybody wants; each socket then gets its own alone."""
    alls, some, but = (ns.socket() for _ in range(3))
    for sock in (alls, some, but):
        sock.setsockopt(1, 2, 1, now=0)
        sock.bind(("", 53), now=0)
    some.setsockopt(0, ADD, source(ONE), now=0)
    but.setsockopt(0, JOIN, AT_LAN, now=0)
    but.setsockopt(0, BLOCK, source(ONE), now=0)
    but.setsockopt(0, BLOCK, source(TWO), now=0)
    alls.setsockopt(0, 49, 0, now=0)
    heard = []
    for src in (ONE, TWO, THREE):
        reason = udp_input(ns, datagram(src=src, dst=GROUP), 0)
        heard.append((bool(reason), [sock.readable and sock.recv(9, now=0) == b"data" for sock in (alls, some, but)]))
    assert heard == [(False, [False, True, False]), (True, [False] * 3), (False, [False, False, True])]
    but.setsockopt(0, UNBLOCK, source(TWO), now=0)
    assert udp_input(ns, datagram(src=TWO, dst=GROUP), 0) == 0


def test_is_member_asks_for_the_source(ns: Netns) -> None:
    """RFC 3376 3.2, RFC 1112 4, RFC 4291 2.8: the merged filter; every host listens to the all-hosts groups."""
    lan = ns.devices["lan"]
    ns.socket().setsockopt(0, ADD, source(ONE), now=0)
    assert [is_member(ns, GROUP, lan, src) for src in (-1, ONE, TWO)] == [True, True, False]
    assert not is_member(ns, GROUP, ns.lo, ONE)
    always = (0xE0000001, 0xFF02 << 112 | 1, 0xFF01 << 112 | 1)
    assert all(is_member(ns, group, lan, ONE) for group in always)
    assert not is_member(ns, 0xFF02 << 112 | 2, lan)


def test_a_source_of_a_link_has_its_zone(ns: Netns) -> None:
    """RFC 4007 6: fe80::7 on lan is another source than fe80::7 elsewhere."""
    change_source(ns.socket(10), 6, GROUP6, 0, LAN, 0xFE80 << 112 | 7, exclude=False, add=True)
    assert told(ns) == [("lan", 6, GROUP6, None, include(0xFE80 << 112 | 7 | LAN << 128))]
    assert ns.devices["lan"].groups[bytes.fromhex("333300000009")] == 1


def test_the_stack_itself_listens(ns: Netns) -> None:
    """`hold` counts beside what sockets join; the last one closes the device's filter."""
    lan = ns.devices["lan"]
    sock = ns.socket()
    hold(ns, 4, GROUP, lan)
    change(sock, ONE, add=True)
    assert ns.memberships[GROUP, lan].state == EVERYBODY
    release(ns, 4, GROUP, lan)
    assert told(ns) == [("lan", 4, GROUP, None, EVERYBODY), ("lan", 4, GROUP, EVERYBODY, include(ONE))]
    sock.close(now=0)
    assert bytes.fromhex("01005e000005") not in lan.groups


@pytest.mark.parametrize(("key", "most"), [("net.ipv4.igmp_max_msf", 3), ("net.ipv4.igmp_max_memberships", 2)])
def test_bounds_are_settings(ns: Netns, key: str, most: int) -> None:
    """Linux's sysctls: one more is ENOBUFS."""
    ns.sysctl[key] = most
    sock = ns.socket()
    for number in range(most):
        request = source(ONE + number) if "msf" in key else AT_LAN[:3] + bytes((number,)) + AT_LAN[4:] + b"\n\0\0\1"
        sock.setsockopt(0, ADD, request, now=0)
    with pytest.raises(OSError, match="No buffer space available"):
        sock.setsockopt(0, ADD, source(THREE + 9), now=0)


def test_a_device_that_goes_takes_its_memberships_along(stack: Stack, ns: Netns) -> None:
    """RFC 3376 3.2: the state is per interface; of both families, and the other device's stays."""
    ns.add_device("wan")
    sock = ns.socket(10)
    for dev in (2, 3):
        sock.setsockopt(41, 20, GROUP6.to_bytes(16, "big") + struct.pack("=i", dev), now=0)
        sock.setsockopt(0, JOIN, AT_LAN[:4] + struct.pack("=4xi", dev), now=0)
    sock.setsockopt(41, 17, 2, now=0)
    stack.remove_device(ns.devices["lan"])
    left = {(group, dev.name) for group, dev in ns.memberships if group in (GROUP, GROUP6)}
    assert left == {(GROUP, "wan"), (GROUP6, "wan")}
    assert sock.getsockopt(41, 17) == 0
