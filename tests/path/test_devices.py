"""Devices: made, moved, switched and removed while packets flow; what depends on them follows.

a 10.0.1.2 ── 10.0.1.1 r 10.0.2.1 ── 10.0.2.2 b
"""

from __future__ import annotations

import errno
from typing import Any

import pytest

from tests.path.bed import Bed
from vrouter.stack.base.addresses import format_mac
from vrouter.stack.base.drop import DropReason
from vrouter.stack.capture import Capture
from vrouter.stack.l4 import constants as c
from vrouter.testing import frames, match

ECHO = frames.ipv4_echo("10.0.1.2", "10.0.1.1")


def failure(action: Any, *arguments: Any, **named: Any) -> int | None:
    """The errno with which an action fails."""
    with pytest.raises(OSError) as caught:
        action(*arguments, **named)
    return caught.value.errno


@pytest.mark.parametrize(
    ("name", "mac", "mtu", "number"),
    [
        ("a", None, 1500, errno.EEXIST),
        ("lo", None, 1500, errno.EEXIST),
        ("", None, 1500, errno.EINVAL),
        ("sixteen-letters-", None, 1500, errno.EINVAL),
        ("with space", None, 1500, errno.EINVAL),
        ("x", "01:00:5e:00:00:01", 1500, errno.EADDRNOTAVAIL),
        ("x", "00:00:00:00:00:00", 1500, errno.EADDRNOTAVAIL),
        ("x", None, 67, errno.EINVAL),
        ("x", None, 65522, errno.EINVAL),
    ],
)
def test_devices_that_cannot_be(bed: Bed, name: str, mac: str | None, mtu: int, number: int) -> None:
    """Linux's names and errors; RFC 791 3.2: no MTU below 68; RFC 1812 3.3.4: none above what the link can do."""
    assert failure(bed.r.add_device, name, mac, mtu) == number
    assert list(bed.r.devices) == ["lo", "a", "b"]


def test_a_stable_mac(bed: Bed) -> None:
    """Without one, derived from identity, namespace and device: the same next time, another elsewhere."""
    again = Bed.line()
    assert again.a.dev.mac == bed.a.dev.mac != bed.b.dev.mac
    assert bed.a.dev.mac[0] & 3 == 2  # local, of one station
    assert format_mac(bed.r.add_device("x", "02:00:00:00:01:01").mac) == "02:00:00:00:01:01"


def test_indexes_count_per_namespace_and_are_not_reused(bed: Bed) -> None:
    """lo is 1; an index of a device that went is not given to another one."""
    assert [dev.ifindex for dev in bed.r.devices.values()] == [1, 2, 3]
    bed.stack.remove_device(bed.b.dev, now=bed.now)
    assert bed.r.add_device("c").ifindex == 4


# -- up, down, carrier ------------------------------------------------------------------------------------------------


def test_down_and_up(bed: Bed) -> None:
    """RFC 1812 3.3.6, 5.3.12: routing is told; what is configured stays, but is not used meanwhile."""
    bed.r.set_device("a", up=False, now=bed.now)
    assert bed.a.dev.state == "down"
    with bed.expect(rx={"a": 1}, drops={DropReason.DEV_READY: 1}):
        bed.a.send(ECHO)
    bed.r.set_device("a", up=True, now=bed.now)
    bed.settle()
    bed.a.send(ECHO)
    assert bed.a.received == [match.icmp4(type=0)]
    assert [route.dev.name for _, _, route in bed.r.ip4.main] == ["a", "b"]


def test_carrier_lost_and_back(bed: Bed) -> None:
    """RFC 1812 3.3.6: any other change too: the driver's news, with its reason; told as an event."""
    bed.r.set_carrier(bed.a.dev, False, "the TAP is gone", bed.now)
    assert (bed.a.dev.state, bed.a.dev.error) == ("no-carrier", "the TAP is gone")
    with bed.expect(rx={"a": 1}, drops={DropReason.DEV_READY: 1}):
        bed.a.send(ECHO)
    bed.r.set_carrier(bed.a.dev, True, "", bed.now)
    bed.settle()
    bed.a.send(ECHO)
    assert bed.a.received == [match.icmp4(type=0)]


def test_changes_are_events(bed: Bed) -> None:
    """What watches is told of each change once."""
    bed.stack.events.take()
    bed.r.set_carrier(bed.a.dev, False, "cut", bed.now)
    bed.r.set_carrier(bed.a.dev, False, "cut", bed.now)
    bed.r.set_device("b", up=False, now=bed.now)
    bed.r.set_device("b", up=False, now=bed.now)
    assert [(event.dev, event.fields["state"]) for event in bed.stack.events.take()] == [
        ("a", "no-carrier"),
        ("b", "down"),
    ]


def test_own_packets_for_a_device_that_is_down(bed: Bed) -> None:
    """RFC 1122 3.3.1: there is no route, and the program is told at once."""
    sock = bed.udp()
    bed.r.set_device("b", up=False, now=bed.now)
    assert failure(sock.sendto, b"x", ("10.0.2.2", 7), now=bed.now) == errno.ENETUNREACH


def test_the_address_of_a_device_without_carrier_is_still_ours(bed: Bed) -> None:
    """Linux, RFC 1122 3.3.4.2: the weak host model: it answers by the other device."""
    bed.r.set_carrier(bed.b.dev, False, now=bed.now)
    bed.a.send(frames.ipv4_echo("10.0.1.2", "10.0.2.1"))
    assert bed.a.received == [match.icmp4(type=0, src="10.0.2.1")]


# -- removed and moved ------------------------------------------------------------------------------------------------


def test_a_removed_device_takes_everything_along(bed: Bed) -> None:
    """Linux: addresses, routes, neighbours; sockets that are bound to it have no device any more; totals stay."""
    bed.r.add_route("192.0.2.0/24", via="10.0.2.2", now=bed.now)
    sock = bed.udp(7)
    sock.setsockopt(c.SOL_SOCKET, c.SO_BINDTODEVICE, b"b\0", now=bed.now)
    bed.b.send_frame(bed.b.frame(b"", ethertype=0x9999))
    bed.stack.remove_device(bed.b.dev, now=bed.now)
    assert list(bed.r.devices) == ["lo", "a"]
    assert [route.dev.name for _, _, route in bed.r.ip4.main] == ["a"]
    assert not bed.r.ip4.is_local(0x0A000201)
    assert failure(sock.sendto, b"x", ("10.0.2.2", 9), now=bed.now) == errno.ENODEV
    assert bed.r.drop_counts() == {"UNHANDLED_PROTO": 1}
    assert failure(bed.r.device, "b") == errno.ENODEV


def test_what_waits_at_a_removed_device(bed: Bed) -> None:
    """Dies as NS_CLOSING, and the accounts balance."""
    bed.a.send(frames.ipv4_udp("10.0.1.2", "10.0.2.77", 1, 7))
    bed.stack.remove_device(bed.b.dev, now=bed.now)
    assert bed.r.drop_counts() == {"NS_CLOSING": 1}
    assert bed.a.received == []


def test_a_moved_device_starts_anew(bed: Bed) -> None:
    """It loses addresses, neighbours and routes, keeps MAC, MTU and counters, and has a new index."""
    blue = bed.stack.add_netns("blue")
    blue.sysctl["net.ipv4.ip_forward"] = 1
    bed.r.add_route("192.0.2.0/24", via="10.0.2.2", now=bed.now)
    mac, rx = bed.b.dev.mac, bed.b.dev.rx_packets
    bed.stack.move_device(bed.b.dev, blue, "lan", now=bed.now)
    dev = blue.devices["lan"]
    assert dev is bed.b.dev
    assert (dev.name, dev.ifindex, dev.mac, dev.rx_packets) == ("lan", 2, mac, rx)
    assert (dev.addresses, dev.neigh4, dev.conf4.forwarding) == ([], {}, True)
    assert [route.dev.name for _, _, route in bed.r.ip4.main] == ["a"]
    with bed.expect(
        rx=1,
        tx=1,
        drops={DropReason.IP_INNOROUTES: 1},
        IpInReceives=1,
        IpOutRequests=1,
        IcmpOutMsgs=1,
        IcmpOutDestUnreachs=1,
    ):
        bed.a.send(frames.ipv4_udp("10.0.1.2", "10.0.2.2", 1, 7))
    with (
        bed.expect(),
        bed.expect(
            blue, rx={"lan": 1}, drops={DropReason.IP_INNOROUTES: 1, DropReason.IP_OUTNOROUTES: 1}, IpInReceives=1
        ),
    ):
        bed.b.send(frames.ipv4_udp("10.0.2.2", "10.0.1.2", 1, 7))


def test_a_moved_device_announces_its_new_address(bed: Bed) -> None:
    """RFC 5227 2.3: nothing while it has none, twice when it gets one; it answers in the new namespace."""
    blue = bed.stack.add_netns("blue")
    bed.stack.move_device(bed.b.dev, blue, now=bed.now)
    bed.run_for(60)
    assert bed.b.arp == []
    blue.add_address("b", "10.0.2.1/24", now=bed.now)
    bed.run_until_idle()
    assert bed.b.arp == [match.arp(op=1, spa="10.0.2.1", tpa="10.0.2.1")] * 2
    bed.b.answers_arp = True
    with bed.expect():
        bed.b.send(frames.ipv4_echo("10.0.2.2", "10.0.2.1"))
    assert bed.b.received == [match.icmp4(type=0)]


def test_moves_that_cannot_be(bed: Bed) -> None:
    """A name that is taken there, or that is none; nothing has changed then."""
    blue = bed.stack.add_netns("blue")
    blue.add_device("b")
    assert failure(bed.stack.move_device, bed.b.dev, blue) == errno.EEXIST
    assert failure(bed.stack.move_device, bed.b.dev, blue, "no good name") == errno.EINVAL
    assert bed.r.devices["b"] is bed.b.dev
    bed.a.send(frames.ipv4_udp("10.0.1.2", "10.0.2.2", 1, 7))
    assert bed.b.received == [match.udp(dst="10.0.2.2")]


def test_a_capture_sees_what_passes(bed: Bed) -> None:
    """Frames in both directions, refused ones too, cut to snaplen; bounded, and what is lost is counted."""
    capture = Capture(snaplen=40, limit=200)
    capture.attach(bed.a.dev)
    bed.a.send(ECHO)
    bed.a.send(frames.ipv4("10.0.1.2", "10.0.1.1", 1, b"", checksum=1))
    seen = capture.take()
    assert [(frame.direction, frame.length, len(frame.data)) for frame in seen] == [
        (0, 42, 40),
        (1, 42, 40),
        (0, 34, 34),
    ]
    for _ in range(5):
        bed.a.send(ECHO)
    assert (len(capture.take()), capture.lost) == (5, 5)
    capture.detach()
    bed.a.send(ECHO)
    assert capture.take() == []
