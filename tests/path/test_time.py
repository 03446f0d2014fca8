"""Time is handed in and never goes back: every call of the stack, of a namespace and of a socket keeps to that."""

from collections.abc import Callable
from typing import Any

import pytest

from tests.path.bed import SECOND, Bed
from vrouter.stack import Stack
from vrouter.testing import frames

NOON = 100 * SECOND

Call = Callable[..., Any]


class Place:
    """A stack at noon: namespace red with two devices, a bound and connected socket, a child, and a namespace blue."""

    def __init__(self) -> None:
        self.stack = Stack(seed=3)
        self.red = self.stack.add_netns("red")
        self.stack.add_netns("red/child")
        self.blue = self.stack.add_netns("blue")
        self.lan = self.red.add_device("lan")
        self.wan = self.red.add_device("wan")
        self.red.add_address("lan", "10.0.1.1/24")
        self.red.add_route("10.7.0.0/16", via="10.0.1.9")
        self.sock = self.red.socket()
        self.sock.bind(("10.0.1.1", 9))
        self.sock.connect(("10.0.1.1", 9))
        self.stack.poll(NOON)
        self.sock.send(b"x")
        self.sock.send(b"y")
        self.stack.take_egress()


CALLS: dict[str, Callable[[Place], Call]] = {
    "receive": lambda p: lambda now: p.stack.receive(p.lan, frames.ethernet(p.lan.mac, p.wan.mac, 0x88B5, b""), now),
    "receive_unmapped": lambda p: lambda now: p.stack.receive_unmapped(now),
    "poll": lambda p: lambda now: p.stack.poll(now),
    "add_netns": lambda p: lambda now: p.stack.add_netns("new", now=now),
    "remove_netns": lambda p: lambda now: p.stack.remove_netns("red/child", now=now),
    "add_veth": lambda p: lambda now: p.stack.add_veth(p.red, "x", p.blue, "y", now=now),
    "remove_device": lambda p: lambda now: p.stack.remove_device(p.wan, now=now),
    "move_device": lambda p: lambda now: p.stack.move_device(p.wan, p.blue, now=now),
    "add_device": lambda p: lambda now: p.red.add_device("new", now=now),
    "set_device": lambda p: lambda now: p.red.set_device("wan", up=False, now=now),
    "set_carrier": lambda p: lambda now: p.red.set_carrier(p.wan, False, now=now),
    "add_address": lambda p: lambda now: p.red.add_address("wan", "10.0.2.1/24", now=now),
    "del_address": lambda p: lambda now: p.red.del_address("lan", "10.0.1.1/24", now=now),
    "add_route": lambda p: lambda now: p.red.add_route("10.8.0.0/16", via="10.0.1.9", now=now),
    "del_route": lambda p: lambda now: p.red.del_route("10.7.0.0/16", now=now),
    "bind": lambda p: lambda now: p.red.socket().bind(("0.0.0.0", 0), now=now),
    "connect": lambda p: lambda now: p.sock.connect(("10.0.1.9", 9), now=now),
    "connect_ex": lambda p: lambda now: p.sock.connect_ex(("10.0.1.9", 9), now=now),
    "getsockname": lambda p: lambda now: p.sock.getsockname(now=now),
    "getpeername": lambda p: lambda now: p.sock.getpeername(now=now),
    "send": lambda p: lambda now: p.sock.send(b"z", now=now),
    "sendto": lambda p: lambda now: p.sock.sendto(b"z", ("10.0.1.9", 9), now=now),
    "sendmsg": lambda p: lambda now: p.sock.sendmsg([b"z"], now=now),
    "recv": lambda p: lambda now: p.sock.recv(9, now=now),
    "recvfrom": lambda p: lambda now: p.sock.recvfrom(9, now=now),
    "recvmsg": lambda p: lambda now: p.sock.recvmsg(9, now=now),
    "recv_into": lambda p: lambda now: p.sock.recv_into(bytearray(9), now=now),
    "recvfrom_into": lambda p: lambda now: p.sock.recvfrom_into(bytearray(9), now=now),
    "getsockopt": lambda p: lambda now: p.sock.getsockopt(1, 7, now=now),
    "setsockopt": lambda p: lambda now: p.sock.setsockopt(1, 36, 5, now=now),
    "shutdown": lambda p: lambda now: p.sock.shutdown(1, now=now),
    "close": lambda p: lambda now: p.sock.close(now=now),
}
NEED_NOW = ("receive", "receive_unmapped", "poll")


def state(place: Place) -> tuple[Any, ...]:
    """What a call that is refused must leave as it was."""
    stack, red, sock = place.stack, place.red, place.sock
    return (
        stack.now, stack.events.seq, stack.unmapped, [*stack.namespaces], dict(red.devices), dict(place.blue.devices),
        [(d.up, d.carrier, d.rx_packets, d.tx_packets, list(d.addresses)) for d in red.devices.values()],
        len(red.ip4.main), stack.take_egress(), dict(stack.ready), sock.charged, sock.peer, sock.mark, sock.shut,
        sock.closed, [other.port for other in red.sockets if other.port], stack.accounts(),
    )  # fmt: skip


@pytest.mark.parametrize("name", CALLS)
def test_time_never_goes_back(name: str) -> None:
    """DESIGN's contract: `now` never decreases (ValueError), and a call that says so has done nothing."""
    place = Place()
    call = CALLS[name](place)
    before = state(place)
    with pytest.raises(ValueError, match="time went backwards"):
        call(now=NOON - 1)
    assert state(place) == before


@pytest.mark.parametrize("name", CALLS)
def test_every_call_moves_time_on(name: str) -> None:
    """What a call arms and compares, and what happens after it, have one time."""
    place = Place()
    CALLS[name](place)(now=NOON + 5)
    assert place.stack.now == NOON + 5


@pytest.mark.parametrize("name", [name for name in CALLS if name not in NEED_NOW])
def test_without_a_time_it_is_still_what_it_was(name: str) -> None:
    """An omitted `now` is the stack's, never 0: nothing is armed or recorded in the past."""
    place = Place()
    place.stack.events.take()
    CALLS[name](place)(now=None)
    assert place.stack.now == NOON
    assert all(event.now == NOON for event in place.stack.events.take())
    at = place.stack.poll_at()
    assert at is None or at > NOON


def test_an_address_added_late_is_announced_from_then_on() -> None:
    """RFC 5227 2.3: the second announcement follows the first by two seconds, not by the stack's whole age."""
    bed = Bed.line()
    bed.run_for(100)
    bed.a.clear()
    bed.r.add_address("a", "10.0.1.77/24")
    bed.flush()
    assert len(bed.a.arp) == 1
    assert bed.stack.poll_at() == bed.now + 2 * SECOND


def test_no_time_at_the_start_is_zero() -> None:
    """The example of the contract: the first calls of a stack happen at 0."""
    stack = Stack(seed=1)
    ns = stack.add_netns("red")
    ns.add_device("lan")
    ns.add_address("lan", "10.0.1.1/24", now=0)
    ns.add_route("default", via="10.0.1.254", now=0)
    assert stack.now == 0


def test_a_route_and_the_path_behind_it_are_asked_at_one_time() -> None:
    """RFC 1191 6.3: what a path was told expires for IP_MTU as for sending, by the time of the very call."""
    bed = Bed.line()
    sock = bed.udp()
    sock.connect(("10.0.2.2", 9), now=bed.now)
    sock.send(b"x", now=bed.now)
    quoted = bed.b.received[0]
    bed.b.send(frames.ipv4("10.0.2.2", "10.0.2.1", 1, frames.icmp_error(3, 4, bytes(quoted[14:]), 600)))
    assert sock.getsockopt(0, 14, now=bed.now) == 600
    assert sock.getsockopt(0, 14, now=bed.now + 600 * SECOND) == 1500
