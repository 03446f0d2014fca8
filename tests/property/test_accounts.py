"""The accounts of a stack: at any moment, every packet that came or was made is somewhere, and is counted there once.

    received + originated + copies + fragments = consumed + delivered + transmitted + queued + absorbed + dropped

First each fate of a packet by itself, with every term of the equation; then random sequences of everything that may
happen, beside what the outside can count: frames handed in and taken out, datagrams read, packets seen waiting.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule, run_state_machine_as_test

from vrouter.stack import Stack
from vrouter.stack.base.drop import DropReason
from vrouter.stack.device import Device
from vrouter.stack.l4 import constants as c
from vrouter.stack.netns import Netns
from vrouter.testing import frames as make

SECOND = 1_000_000_000
PEER = b"\x02\x99\0\0\0\2"
NEAR, FAR = "10.0.0.2", "10.0.1.9"


def moved(stack: Stack, before: dict[str, int]) -> dict[str, int]:
    """The terms of the equation that changed, and by how much."""
    return {name: count - before[name] for name, count in terms(stack).items() if count != before[name]}


def terms(stack: Stack) -> dict[str, int]:
    came, went = stack.accounts()
    assert sum(came.values()) == sum(went.values()), f"{came} {went}"
    return came | went


class Bench:
    """A router with a wire on each side, and a namespace that accepts it; the near station is known, no far one is."""

    def __init__(self) -> None:
        self.stack = Stack(1)
        self.ns = self.stack.add_netns("r")
        self.ns.sysctl["net.ipv4.ip_forward"] = 1
        self.near = self.ns.add_device("near")
        self.far = self.ns.add_device("far", mtu=576)
        self.ns.add_address("near", "10.0.0.1/24")
        self.ns.add_address("far", "10.0.1.1/24")
        other = self.stack.add_netns("other", accept_from=["r"])
        other.add_device("out")
        other.add_address("out", "10.0.5.1/24")
        other.neigh4.add_static(other.devices["out"], 0x0A000509, PEER, 0)
        other.sysctl["net.ipv4.ip_forward"] = 1
        self.ns.add_route("10.0.5.0/24", netns="other")
        self.ns.neigh4.add_static(self.near, 0x0A000002, PEER, 0)
        self.stack.poll(10 * SECOND)  # announcements are over
        self.stack.take_egress()
        self.now = 10 * SECOND

    def know_far(self) -> None:
        self.ns.neigh4.add_static(self.far, 0x0A000109, PEER, self.now)
        self.ns.settle(self.now)

    def sockets(self, count: int) -> None:
        for _ in range(count):
            sock = self.ns.socket()
            sock.setsockopt(c.SOL_SOCKET, c.SO_REUSEADDR, 1, now=self.now)
            sock.bind(("", 7), now=self.now)
            group = bytes((239, 1, 2, 3)) + bytes(4) + self.near.ifindex.to_bytes(4, "little")
            sock.setsockopt(c.SOL_IP, c.IP_ADD_MEMBERSHIP, group, now=self.now)  # the first one is reported

    def receive(self, *packets: bytes, dst: bytes | None = None) -> None:
        for packet in packets:
            self.stack.receive(self.near, make.ethernet(dst or self.near.mac, PEER, make.IPV4, packet), self.now)


def udp(dst: str, size: int = 8, **header: int) -> bytes:
    return make.ipv4_udp(NEAR, dst, 1000, 7, bytes(size), **header)


def ask_for_address(bench: Bench) -> None:
    question = make.arp_request(PEER, NEAR, "10.0.0.1")
    bench.stack.receive(bench.near, make.ethernet(b"\xff" * 6, PEER, make.ARP, question), bench.now)


def send_from_socket(bench: Bench, to: str, size: int = 8) -> None:
    bench.ns.socket().sendto(bytes(size), (to, 9), now=bench.now)


def fail_to_send(bench: Bench) -> None:
    bench.know_far()
    bench.receive(udp(FAR))
    ((dev, frame),) = bench.stack.take_egress()
    bench.stack.egress_failed(dev, len(frame), DropReason.TX_ERROR)


REPORT = {"originated": 1, "transmitted": 1}  # IGMP tells of a group
FATES: list[tuple[str, Callable[[Bench], object], dict[str, int]]] = [
    ("refused", lambda b: b.receive(udp("10.0.0.1")[:-1] + b"\1"), {"received": 1, "dropped": 1}),
    ("told", lambda b: b.receive(udp("10.0.0.1")), {"received": 1, "originated": 1, "transmitted": 1, "dropped": 1}),
    ("arp", ask_for_address, {"received": 1, "originated": 1, "consumed": 1, "transmitted": 1}),
    (
        "echo",
        lambda b: b.receive(make.ipv4_echo(NEAR, "10.0.0.1")),
        {"received": 1, "originated": 1, "consumed": 1, "transmitted": 1},
    ),
    ("delivered", lambda b: (b.sockets(1), b.receive(udp("10.0.0.1"))), {"received": 1, "delivered": 1} | REPORT),
    (
        "to-a-group",
        lambda b: (b.sockets(3), b.receive(udp("239.1.2.3"), dst=b"\x01\0\x5e\1\2\3")),
        {"received": 1, "copies": 2, "delivered": 3} | REPORT,
    ),
    ("forwarded", lambda b: (b.know_far(), b.receive(udp(FAR))), {"received": 1, "transmitted": 1}),
    ("waits", lambda b: b.receive(udp(FAR)), {"received": 1, "originated": 1, "transmitted": 1, "queued": 1}),
    (
        "in-pieces",
        lambda b: (b.know_far(), b.receive(udp(FAR, 1200))),
        {"received": 1, "fragments": 3, "consumed": 1, "transmitted": 3},
    ),
    ("held", lambda b: b.receive(*make.fragments(udp("10.0.0.1", 1200), 576)[:2]), {"received": 2, "queued": 2}),
    (
        "joined",
        lambda b: (b.sockets(1), b.receive(*make.fragments(udp("10.0.0.1", 1200), 576))),
        {"received": 3, "absorbed": 2, "delivered": 1} | REPORT,
    ),
    ("crossed", lambda b: b.receive(udp("10.0.5.9")), {"received": 2, "transmitted": 2}),
    ("unmapped", lambda b: b.stack.receive_unmapped(b.now), {"received": 1, "dropped": 1}),
    ("sent", lambda b: send_from_socket(b, NEAR), {"originated": 1, "transmitted": 1}),
    (
        "sent-in-pieces",
        lambda b: send_from_socket(b, NEAR, 4000),
        {"originated": 1, "fragments": 3, "consumed": 1, "transmitted": 3},
    ),
    (
        "around-lo",
        lambda b: (b.sockets(1), b.ns.socket().sendto(b"x", ("127.0.0.1", 7), now=b.now)),
        {"originated": 2, "received": 1, "delivered": 1, "transmitted": 2},
    ),
    ("failed", fail_to_send, {"received": 1, "dropped": 1}),
]


@pytest.mark.parametrize(("act", "expected"), [row[1:] for row in FATES], ids=[row[0] for row in FATES])
def test_each_fate_is_in_the_books(act: Callable[[Bench], object], expected: dict[str, int]) -> None:
    """Every way in which a packet can come and end moves exactly its own terms, and the equation holds."""
    bench = Bench()
    before = terms(bench.stack)
    act(bench)
    assert moved(bench.stack, before) == expected


ENDS: list[tuple[str, Callable[[Bench], object], int]] = [
    ("namespace", lambda b: b.stack.remove_netns("r", now=b.now), 5),
    ("device", lambda b: b.stack.remove_device(b.far, now=b.now), 3),
    ("moved", lambda b: b.stack.move_device(b.far, b.stack.namespaces["other"], now=b.now), 3),
]


@pytest.mark.parametrize(("end", "lost"), [row[1:] for row in ENDS], ids=[row[0] for row in ENDS])
def test_what_waits_in_what_is_removed_dies_of_closing(end: Callable[[Bench], object], lost: int) -> None:
    """Three packets wait for a neighbour and two fragments for their rest: each that loses its place is NS_CLOSING."""
    bench = Bench()
    bench.receive(udp(FAR), udp(FAR), udp(FAR), *make.fragments(udp("10.0.0.1", 1200), 576)[:2])
    assert terms(bench.stack)["queued"] == 5
    before = terms(bench.stack)
    end(bench)
    assert moved(bench.stack, before) == {"queued": -lost, "dropped": lost}
    assert bench.ns.drop_counts() == {"NS_CLOSING": lost}
    bench.stack.poll(bench.now + 100 * SECOND)
    assert terms(bench.stack)["queued"] == 0


# ------------------------------------------------------------------------------------------------------- sequences

SPACES = st.sampled_from(["a", "b", "a/x"])
NAMES = st.sampled_from(["e0", "e1", "v0"])
PLACES = st.builds("10.0.{}.{}".format, st.integers(0, 2), st.sampled_from([1, 1, 2, 9, 255]))


class Books(RuleBasedStateMachine):
    """Anything that may happen to a stack, and what an onlooker counts of it."""

    def __init__(self) -> None:
        super().__init__()
        self.stack = Stack(1)
        self.now = 0
        self.handed_in = self.taken_out = self.read = 0
        self.before = terms(self.stack)
        for name in ("a", "b"):
            self.add_netns(name)
            self.add_device(name, "e0", 1500)
            self.add_address(name, "e0", f"10.0.{'ab'.index(name)}.1")

    def space(self, name: str) -> Netns | None:
        return self.stack.namespaces.get(name)

    def device(self, space: str, name: str) -> Device | None:
        ns = self.space(space)
        return None if ns is None else ns.devices.get(name)

    # -- configuration ------------------------------------------------------------------------------------------------

    @rule(name=SPACES)
    def add_netns(self, name: str) -> None:
        with contextlib.suppress(OSError):
            ns = self.stack.add_netns(name, accept_from=["*"], now=self.now)
            ns.sysctl["net.ipv4.ip_forward"] = 1
            sock = ns.socket()
            sock.bind(("", 7), now=self.now)

    @rule(name=SPACES)
    def remove_netns(self, name: str) -> None:
        with contextlib.suppress(OSError):
            self.stack.remove_netns(name, recursive=True, now=self.now)

    @rule(space=SPACES, name=NAMES, mtu=st.sampled_from([1500, 300]))
    def add_device(self, space: str, name: str, mtu: int) -> None:
        ns = self.space(space)
        if ns is not None:
            with contextlib.suppress(OSError):
                ns.add_device(name, mtu=mtu, now=self.now)

    @rule(one=SPACES, two=SPACES, name=NAMES, mtu=st.sampled_from([1500, 300]))
    def add_veth(self, one: str, two: str, name: str, mtu: int) -> None:
        first, second = self.space(one), self.space(two)
        if first is not None and second is not None:
            with contextlib.suppress(OSError):
                self.stack.add_veth(first, name, second, name + "x", mtu=mtu, now=self.now)

    @rule(space=SPACES, name=NAMES)
    def remove_device(self, space: str, name: str) -> None:
        dev = self.device(space, name)
        if dev is not None:
            self.stack.remove_device(dev, now=self.now)

    @rule(space=SPACES, name=NAMES, other=SPACES, new=st.sampled_from(["e0", "m0", "m1"]))
    def move_device(self, space: str, name: str, other: str, new: str) -> None:
        dev, to = self.device(space, name), self.space(other)
        if dev is not None and to is not None:
            with contextlib.suppress(OSError):
                self.stack.move_device(dev, to, new, now=self.now)

    @rule(space=SPACES, name=NAMES, up=st.booleans(), carrier=st.booleans())
    def switch(self, space: str, name: str, up: bool, carrier: bool) -> None:
        dev = self.device(space, name)
        if dev is not None:
            dev.ns.set_device(name, up=up, now=self.now)
            if dev.peer is None:
                dev.ns.set_carrier(dev, carrier, now=self.now)

    @rule(space=SPACES, name=NAMES, place=PLACES)
    def add_address(self, space: str, name: str, place: str) -> None:
        dev = self.device(space, name)
        if dev is not None:
            with contextlib.suppress(OSError):
                dev.ns.add_address(dev, place + "/24", now=self.now)

    @rule(space=SPACES, other=SPACES, third=st.integers(0, 2), via=st.booleans())
    def add_route(self, space: str, other: str, third: int, via: bool) -> None:
        ns = self.space(space)
        if ns is not None:
            with contextlib.suppress(OSError):
                where = {"via": f"10.0.{third}.9"} if via else {"netns": other}
                ns.add_route("default" if via else f"10.0.{third}.0/24", now=self.now, **where)

    # -- traffic and time ---------------------------------------------------------------------------------------------

    @rule(
        space=SPACES,
        name=NAMES,
        src=PLACES,
        dst=PLACES,
        size=st.sampled_from([8, 8, 1000]),
        ttl=st.sampled_from([64, 1]),
        keep=st.integers(1, 6),
    )
    def receive(self, space: str, name: str, src: str, dst: str, size: int, ttl: int, keep: int) -> None:
        """A datagram, in fragments when it is a large one; some may be missing."""
        packet = make.ipv4_udp(src, dst, 1000, 7, bytes(size), ttl=ttl)
        self.hand_in(space, name, *make.fragments(packet, 280)[:keep])

    @rule(space=SPACES, name=NAMES, src=PLACES, dst=PLACES, kind=st.sampled_from([(8, 0), (3, 1), (3, 4), (11, 0)]))
    def receive_icmp(self, space: str, name: str, src: str, dst: str, kind: tuple[int, int]) -> None:
        message = make.icmp(*kind, 300, make.ipv4_udp(dst, src, 7, 7))
        self.hand_in(space, name, make.ipv4(src, dst, make.ICMP, message))

    @rule(space=SPACES, name=NAMES, spa=PLACES, tpa=PLACES, op=st.integers(1, 3))
    def receive_arp(self, space: str, name: str, spa: str, tpa: str, op: int) -> None:
        self.hand_in(space, name, make.arp(op, PEER, spa, PEER, tpa), ethertype=make.ARP)

    def hand_in(self, space: str, name: str, *packets: bytes, ethertype: int = make.IPV4) -> None:
        dev = self.device(space, name)
        if dev is not None and dev.peer is None:
            for packet in packets:
                self.handed_in += 1
                self.stack.receive(dev, make.ethernet(dev.mac, PEER, ethertype, packet), self.now)

    @rule()
    def nobodys(self) -> None:
        self.handed_in += 1
        self.stack.receive_unmapped(self.now)

    @rule(space=SPACES, dst=PLACES, size=st.sampled_from([8, 2000]))
    def send(self, space: str, dst: str, size: int) -> None:
        ns = self.space(space)
        if ns is not None:
            with contextlib.suppress(OSError):
                next(iter(ns.sockets)).sendto(bytes(size), (dst, 7), now=self.now)

    @rule(later=st.sampled_from([0, 1, SECOND, 4 * SECOND, 31 * SECOND]))
    def time(self, later: int) -> None:
        self.now += later
        self.stack.poll(self.now)

    @precondition(lambda self: self.stack.pipeline.egress)
    @rule(reason=st.sampled_from([DropReason.FULL_RING, DropReason.TX_ERROR]))
    def refuse_egress(self, reason: DropReason) -> None:
        """The driver cannot send the frame that was to leave first."""
        frames = self.stack.take_egress()
        (dev, frame), *rest = frames
        self.stack.egress_failed(dev, len(frame), reason)
        self.taken_out += len(rest)

    @rule()
    def take_out(self) -> None:
        self.taken_out += len(self.stack.take_egress())

    # -- what must hold -----------------------------------------------------------------------------------------------

    @invariant()
    def the_books_are_right(self) -> None:
        """Both sides are equal, each term is what can be counted from outside, and only waiting packets become less."""
        now = terms(self.stack)
        leaving = self.taken_out + len(self.stack.pipeline.egress)
        # A pair, lo and a short-cut are one transmit and one receive each: what is left over are the wires.
        inner = now["received"] - self.handed_in
        assert inner >= 0
        assert inner == now["transmitted"] - leaving
        waiting = sum(
            len(neigh.queue or ())
            for ns in self.stack.namespaces.values()
            for dev in ns.devices.values()
            for neigh in dev.neigh4.values()
        )
        held = [ns.ip4.reassembler for ns in self.stack.namespaces.values() if ns.ip4.reassembler is not None]
        assert now["queued"] == waiting + sum(len(q.packets) for table in held for q in table._queues.values())
        for ns in self.stack.namespaces.values():
            for sock in ns.sockets:
                while True:
                    try:
                        sock.recv(1, now=self.now)
                    except BlockingIOError:
                        break
                    self.read += 1
        assert now["delivered"] == self.read
        for name in ("received", "originated", "copies", "fragments", "consumed", "delivered", "absorbed", "dropped"):
            assert now[name] >= self.before[name], f"{name} became less"
        self.before = now

    def teardown(self) -> None:
        for name in ("a", "b"):
            self.remove_netns(name)
        assert terms(self.stack)["queued"] == 0
        assert self.stack.poll_at() is None


def test_the_books_are_right_at_any_moment() -> None:
    """The equation holds after every step of any sequence, and each of its terms is what an onlooker counts."""
    run_state_machine_as_test(Books, settings=settings(max_examples=100, stateful_step_count=50))
    assert Books.the_books_are_right is not None
