"""Captures: what passes a device is recorded, bounded, and never in a packet's way."""

import pytest

from vrouter.stack import Stack
from vrouter.stack.capture import RX, TX, Capture
from vrouter.testing import frames

US = "02:00:00:00:01:01"
PEER = "02:00:00:00:00:02"
REQUEST = frames.ethernet(US, PEER, 0x0800, frames.ipv4_echo("10.0.1.2", "10.0.1.1", 7, 1, b"ping"))


@pytest.fixture
def stack() -> Stack:
    stack = Stack(seed=1)
    ns = stack.add_netns("red")
    ns.add_device("lan", mac=US)
    ns.add_address("lan", "10.0.1.1/24", now=0)
    ns.neigh4.add_static(ns.device("lan"), 0x0A000102, bytes.fromhex("020000000002"), 0)
    stack.take_egress()
    return stack


def test_both_ways_are_recorded_with_time_device_and_length(stack: Stack) -> None:
    """A capture shows what was on the wire, in order."""
    lan = stack.namespaces["red"].device("lan")
    capture = Capture()
    capture.attach(lan)
    stack.receive(lan, REQUEST, 5)
    [(_, reply)] = stack.take_egress()
    seen = capture.take()
    assert [(one.now, one.dev, one.direction, one.length) for one in seen] == [
        (5, lan, RX, len(REQUEST)),
        (5, lan, TX, len(reply)),
    ]
    assert [one.data for one in seen] == [REQUEST, bytes(reply)]
    assert capture.take() == []


def test_frames_are_cut_to_snaplen_but_keep_their_length(stack: Stack) -> None:
    """As with libpcap."""
    lan = stack.namespaces["red"].device("lan")
    capture = Capture(snaplen=14)
    capture.attach(lan)
    stack.receive(lan, REQUEST, 5)
    assert next((len(one.data), one.length) for one in capture.take()) == (14, len(REQUEST))


def test_a_slow_reader_loses_the_newest_and_is_told_how_many(stack: Stack) -> None:
    """A capture holds `limit` bytes and no more; the packets themselves are not touched."""
    lan = stack.namespaces["red"].device("lan")
    capture = Capture(limit=2 * len(REQUEST))
    capture.attach(lan)
    for _ in range(10):
        stack.receive(lan, REQUEST, 5)
    assert len(stack.take_egress()) == 10
    assert len(capture.take()) == 2
    assert capture.lost == 18
    stack.receive(lan, REQUEST, 6)
    assert len(capture.take()) == 2


def test_a_predicate_chooses_and_detach_ends_it(stack: Stack) -> None:
    """The filter sees the frame's bytes."""
    lan = stack.namespaces["red"].device("lan")
    capture = Capture(matches=lambda frame: frame[12:14] == b"\x08\x06")
    capture.attach(lan)
    stack.receive(lan, REQUEST, 5)
    assert capture.take() == []
    stack.receive(lan, frames.ethernet(US, PEER, 0x0806, frames.arp_request(PEER, "10.0.1.2", "10.0.1.1")), 5)
    assert len(capture.take()) == 2
    capture.detach()
    assert lan.captures == ()
    stack.receive(lan, frames.ethernet(US, PEER, 0x0806, frames.arp_request(PEER, "10.0.1.2", "10.0.1.1")), 5)
    assert capture.take() == []


def test_lo_shows_its_packets_behind_an_empty_ethernet_header(stack: Stack) -> None:
    """Linux's lo does so, and tools expect one link type."""
    ns = stack.namespaces["red"]
    capture = Capture()
    capture.attach(ns.lo)
    sock = ns.socket()
    sock.sendto(b"x", ("127.0.0.1", 9), now=7)
    seen = capture.take()
    assert [one.direction for one in seen] == [TX, RX, TX, RX]  # the datagram, and port unreachable
    assert seen[0].data == seen[1].data
    assert seen[0].data[:14] == bytes(12) + b"\x08\x00"
    assert seen[0].data[14] == 0x45
