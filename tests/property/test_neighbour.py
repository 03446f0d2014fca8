"""The neighbour machine under random sequences, beside a slow twin that only knows RFC 4861 7.3 and Linux's numbers.

The twin keeps a plain record per address and walks through time in steps of 100 ms; every state it has, it enters
eagerly at the step at which it is due. The real one is lazy, and has a timer heap.
"""

from dataclasses import dataclass, field, replace

from hypothesis import given, settings
from hypothesis import strategies as st

from tests.unit.l2.bed import LAN_MAC, MS, OTHER_MAC, PEER, PEER_MAC, Bed, packet
from vrouter.stack.base.drop import DropReason
from vrouter.stack.base.packet import Packet
from vrouter.stack.l2.neighbour import QUEUED, NeighState

STEP = 100 * MS
SECOND = 10  # steps
QUEUE = 3
ADDRESSES = range(PEER, PEER + 3)
REACHABLE_STEPS = 30 * SECOND


@dataclass
class Twin:
    """One address: its state by name, since when, and what waits."""

    state: str = "NONE"
    mac: bytes = b""
    since: int = 0
    asked: int = -SECOND
    probes: int = 0
    queue: list[Packet] = field(default_factory=list)


class World:
    """The machine and its twin side by side, in virtual time counted in steps."""

    def __init__(self) -> None:
        self.bed = Bed()
        self.bed.lan.neigh_conf = replace(self.bed.lan.neigh_conf, unres_qlen=QUEUE)
        self.step = 0
        self.twins = {addr: Twin() for addr in ADDRESSES}
        self.expected: list[tuple[object, ...]] = []
        self.handed_in: list[Packet] = []
        self.came_out: list[Packet] = []

    # -- the twin

    def enter(self, twin: Twin, state: str) -> None:
        twin.state, twin.since = state, self.step

    def ask(self, addr: int, twin: Twin) -> None:
        if self.step >= twin.asked + SECOND:
            twin.asked = self.step
            twin.probes += 1
            self.expected.append(("solicit", addr, twin.state == "PROBE"))

    def twin_passes(self, addr: int, twin: Twin) -> None:
        if twin.state == "REACHABLE" and self.step - twin.since >= REACHABLE_STEPS:
            self.enter(twin, "STALE")
        elif twin.state == "DELAY" and self.step - twin.since >= 5 * SECOND:
            self.enter(twin, "PROBE")
            twin.probes = 0
            self.ask(addr, twin)
        elif twin.state in ("INCOMPLETE", "PROBE") and self.step >= twin.asked + SECOND:
            if twin.probes < 3:
                self.ask(addr, twin)
            else:
                self.enter(twin, "FAILED")
                twin.mac = b""
                self.expected += [("fail", pkt, DropReason.NEIGH_FAILED) for pkt in twin.queue]
                twin.queue = []

    def twin_output(self, addr: int, twin: Twin, pkt: Packet) -> int:
        if twin.state == "STALE":
            self.enter(twin, "DELAY")
        if twin.state in ("REACHABLE", "DELAY", "PROBE", "PERMANENT"):
            return 0
        if len(twin.queue) == QUEUE:
            self.expected.append(("fail", twin.queue.pop(0), DropReason.NEIGH_QUEUEFULL))
        twin.queue.append(pkt)
        if twin.state != "INCOMPLETE":
            self.enter(twin, "INCOMPLETE")
            twin.probes = 0
            self.ask(addr, twin)
        return QUEUED

    def twin_learns(self, addr: int, twin: Twin, mac: bytes, state: str, override: bool, create: bool) -> None:
        if twin.state == "PERMANENT" or (twin.state == "NONE" and not create):
            return
        if twin.mac and mac != twin.mac and not override:
            return
        if twin.mac == mac and state == "STALE":
            return
        twin.mac = mac
        self.enter(twin, state)
        if twin.queue:
            if state == "STALE":
                self.enter(twin, "DELAY")
            self.expected += [("send", pkt, addr) for pkt in twin.queue]
            twin.queue = []

    # -- both

    def output(self, addr: int) -> None:
        pkt = packet()
        self.handed_in.append(pkt)
        verdict = self.bed.neigh4.output(self.bed.lan, addr, pkt, self.bed.now)
        assert verdict == self.twin_output(addr, self.twins[addr], pkt)
        if verdict == 0:
            self.came_out.append(pkt)

    def learn(self, addr: int, mac: bytes, state: str, override: bool, create: bool) -> None:
        self.bed.neigh4.learn(
            self.bed.lan, addr, mac, self.bed.now, state=NeighState[state], override=override, create=create
        )
        self.twin_learns(addr, self.twins[addr], mac, state, override, create)

    def confirm(self, addr: int) -> None:
        self.bed.neigh4.confirm(self.bed.lan, addr, self.bed.now)
        twin = self.twins[addr]
        if twin.state in ("REACHABLE", "STALE", "DELAY", "PROBE"):
            self.enter(twin, "REACHABLE")

    def configure(self, addr: int, mac: bytes) -> None:
        self.bed.neigh4.add_static(self.bed.lan, addr, mac, self.bed.now)
        twin = self.twins[addr]
        twin.mac = mac
        self.enter(twin, "PERMANENT")
        self.expected += [("send", pkt, addr) for pkt in twin.queue]
        twin.queue = []

    def delete(self, addr: int) -> None:
        twin = self.twins[addr]
        assert self.bed.neigh4.delete(self.bed.lan, addr) is (twin.state != "NONE")
        self.expected += [("fail", pkt, DropReason.NEIGH_FAILED) for pkt in twin.queue]
        self.twins[addr] = Twin(asked=self.step - SECOND)

    def wait(self, steps: int) -> None:
        for _ in range(steps):
            self.step += 1
            self.bed.advance(STEP)
            for addr, twin in self.twins.items():
                self.twin_passes(addr, twin)
            self.compare()

    def compare(self) -> None:
        actions: list[tuple[object, ...]] = []
        for action in self.bed.take():
            if action[0] == "solicit":
                actions.append(("solicit", action[1].addr, action[2]))
            elif action[0] == "send":
                actions.append(("send", action[1], action[2].addr))
                self.came_out.append(action[1])
            else:
                actions.append(action)
                self.came_out.append(action[1])
        # Several timers due at one moment may fire in any order between addresses; per address the order counts.
        assert sorted(map(repr, actions)) == sorted(map(repr, self.expected))
        self.expected = []
        table = self.bed.neigh4
        for addr, twin in self.twins.items():
            neigh = table.get(self.bed.lan, addr)
            if neigh is None:
                assert twin.state == "NONE"
                continue
            assert neigh.state_at(self.bed.now).name == twin.state
            assert neigh.mac == twin.mac
            assert neigh.header == (twin.mac + LAN_MAC if twin.mac else None)
            assert (self.bed.now < neigh.fresh_until) == (twin.state in ("REACHABLE", "PERMANENT"))
            assert (neigh.queue or []) == twin.queue
        assert table.queued == sum(len(twin.queue) for twin in self.twins.values())
        assert table.count == sum(twin.state not in ("NONE", "PERMANENT") for twin in self.twins.values())


addresses = st.sampled_from(ADDRESSES)
macs = st.sampled_from([PEER_MAC, OTHER_MAC])
steps = st.one_of(
    st.tuples(st.just("output"), addresses),
    st.tuples(st.just("output"), addresses),
    st.tuples(st.just("learn"), addresses, macs, st.sampled_from(["REACHABLE", "STALE"]), st.booleans(), st.booleans()),
    st.tuples(st.just("confirm"), addresses),
    st.tuples(st.just("configure"), addresses, macs),
    st.tuples(st.just("delete"), addresses),
    st.tuples(st.just("wait"), st.integers(1, 60)),
    st.tuples(st.just("wait"), st.just(REACHABLE_STEPS)),
)


@settings(max_examples=150)
@given(st.lists(steps, max_size=25))
def test_the_machine_does_what_its_twin_does(sequence: list[tuple[object, ...]]) -> None:
    """RFC 4861 7.3.3: same states, same MACs, same questions at the same time, and every packet comes out once."""
    world = World()
    world.bed.neigh4._scale, world.bed.neigh4._redraw_at = 65536, 1 << 62  # the random factor is 1
    for name, *arguments in sequence:
        getattr(world, str(name))(*arguments)
        world.compare()
    for addr in ADDRESSES:
        world.delete(addr)
    world.compare()
    assert sorted(map(id, world.came_out)) == sorted(map(id, world.handed_in))
    assert world.bed.stack.timers.poll_at() is None


@settings(max_examples=100)
@given(
    st.lists(
        st.one_of(
            st.tuples(st.just("output"), st.integers(0, 40)),
            st.tuples(st.just("learn"), st.integers(0, 40)),
            st.tuples(st.just("static"), st.integers(0, 40)),
            st.tuples(st.just("advance"), st.integers(1, 200)),
        ),
        max_size=150,
    )
)
def test_the_table_keeps_its_bounds(sequence: list[tuple[str, int]]) -> None:
    """Whatever addresses a stranger names: never more than gc_thresh3 entries, and no packet gets lost in the table."""
    bed = Bed()
    bed.conf = replace(bed.conf, v4=replace(bed.conf.v4, gc_thresh1=4, gc_thresh2=8, gc_thresh3=12))
    waiting = 0
    for name, number in sequence:
        if name == "output":
            waiting += bed.neigh4.output(bed.lan, PEER + number, packet(), bed.now) == QUEUED
        elif name == "learn":
            bed.neigh4.learn(bed.lan, PEER + number, PEER_MAC, bed.now, create=True)
        elif name == "static":
            bed.neigh4.add_static(bed.lan, PEER + number, PEER_MAC, bed.now)
        else:
            bed.advance(number * 100 * MS)
        waiting -= sum(action[0] != "solicit" for action in bed.take())
        states = [neigh.state.name for neigh in bed.lan.neigh4.values()]
        assert bed.neigh4.count == len(states) - states.count("PERMANENT") <= 12
        assert bed.neigh4.queued == waiting == sum(len(neigh.queue or ()) for neigh in bed.lan.neigh4.values())
        assert bed.neigh4.queue_bytes == sum(neigh.queue_bytes for neigh in bed.lan.neigh4.values())
    bed.neigh4.flush(None, static=True)
    assert len(bed.take()) == waiting
    assert (bed.neigh4.count, bed.neigh4.queued, bed.neigh4.queue_bytes) == (0, 0, 0)
    assert bed.stack.timers.poll_at() is None
