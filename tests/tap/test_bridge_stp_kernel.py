"""Spanning trees on real links: the kernel's bridge and vrouter's in one loop, and two of vrouter's.

    [ near ] ─ st ─ br0 of the kernel ── t0 ══ TAP ══ p0 ─ br0 of vrouter ─ far ══ TAP ══ [ far ]
      .2                             └── t1 ══ TAP ══ p1 ─┘                                .3

Times are the least that the standard allows (802.1D-2004 table 17-1): hello 1 s, max age 6 s, forward delay 4 s. All
loops of a test run at once, since what takes long is to wait.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator

import pytest

from tests.tap.switching import BROADCAST, Bed, mac, plain, until, veth

pytestmark = [pytest.mark.tap, pytest.mark.tools("ip", "bridge", "ping")]

HELLO, MAX_AGE, DELAY = 1, 6, 4
BOUND = 2 * DELAY + MAX_AGE  # s within which the tree has to be there (802.1D-1998 8.6: after the last information)
TIMES = {"hello_time": HELLO, "max_age": MAX_AGE, "forward_delay": DELAY}
COUNT = 20


class Loop:
    """The drawing above, in a namespace of vrouter and three kernel namespaces of its own."""

    def __init__(self, bed: Bed, name: str, mode: str, *, kernel: int, ours: int) -> None:
        self.bed, self.name = bed, name
        self.ns = bed.netns(name)
        bed.on_loop(lambda: self.ns.sysctl.__setitem__("net.ipv6.conf.default.disable_ipv6", 1))
        bed.call(self.ns.add_device, "br0", kind="bridge")
        bed.call(self.ns.set_bridge, "br0", stp=mode, priority=ours, **TIMES)
        self.kernel, self.near, self.far = bed.cell(), bed.cell(), bed.cell()
        # Linux looks for what is too old only once an ageing time, also while the topology changes: so that is short.
        words = f"stp_state 1 priority {kernel} hello_time {HELLO}00 max_age {MAX_AGE}00 forward_delay {DELAY}00"
        words += f" ageing_time {DELAY}00"
        self.kernel.ip("link", "add", "br0", "type", "bridge", *words.split())
        self.kernel.ip("link", "set", "br0", "up")
        veth(self.kernel, "st", self.near, "eth0")
        self.kernel.ip("link", "set", "st", "master", "br0")
        self.devices = [bed.tap(self.ns, f"p{n}", self.kernel, f"t{n}") for n in range(2)]
        bed.tap(self.ns, "far", self.far, "eth0")
        for cell, address in ((self.near, "10.78.0.2/24"), (self.far, "10.78.0.3/24")):
            cell.ip("address", "add", address, "dev", "eth0")
        self.wires = [bed.wire(cell, "eth0") for cell in (self.near, self.far)]
        for n in range(2):
            self.kernel.ip("link", "set", f"t{n}", "master", "br0")
        for name in ("p0", "p1", "far"):
            bed.call(self.ns.set_port, name, bridge="br0")

    def ours(self) -> dict[str, str]:
        """State by port of vrouter's bridge."""
        return {row["dev"]: row["state"] for row in self.bed.on_loop(self.ns.ports)}

    def theirs(self) -> dict[str, str]:
        """The same of the kernel's: `bridge link`."""
        return {row["ifname"]: row["state"] for row in json.loads(self.kernel.bridge("-j", "link", "show"))}

    def states(self) -> dict[str, str]:
        return {**self.theirs(), **self.ours()}

    def row(self) -> dict[str, object]:
        return self.bed.on_loop(self.ns.bridge_rows)[0]

    def is_open(self) -> bool:
        """A tree: of the loop's four ports one does not forward; and stations' ports do."""
        states = self.states()
        blocked = [name for name in ("t0", "t1", "p0", "p1") if states[name] != "forwarding"]
        settled = all(states[name] == "blocking" for name in blocked)
        return len(blocked) == 1 and settled and (states["st"], states["far"]) == ("forwarding", "forwarding")

    def roots(self) -> tuple[str, str]:
        """Who the kernel's and vrouter's bridge say is the root: priority and address, as the kernel writes them."""
        return self.kernel.read("/sys/class/net/br0/bridge/root_id").replace(":", ""), str(
            self.row()["root_id"]
        ).replace(":", "")

    def own(self) -> tuple[str, str]:
        mine = str(self.row()["bridge_id"]).replace(":", "")
        return self.kernel.read("/sys/class/net/br0/bridge/bridge_id").replace(":", ""), mine

    def flooded(self) -> tuple[int, int, int]:
        """Of so many broadcasts from near: copies at far, copies that came back; and what passed a TAP in all."""
        for wire in self.wires:
            wire.drain()
        before = self.carried()
        last = plain(BROADCAST, mac(2), "last")
        self.wires[0].send(*(plain(BROADCAST, mac(2), f"flood {n}") for n in range(COUNT)), last)
        there = [frame for frame in self.wires[1].receive_until(last) if b"flood" in frame]
        # What circles would by now have come by again, and would go on: the answer comes after all of it.
        answer = plain(mac(2), mac(3), "answer")
        self.wires[1].send(answer)
        back = [frame for frame in self.wires[0].receive_until(answer) if b"flood" in frame]
        return len(there), len(back), self.carried() - before

    def carried(self) -> int:
        return self.bed.on_loop(lambda: sum(dev.rx_packets + dev.tx_packets for dev in self.devices))

    def passes(self) -> bool:
        return self.near.pings("10.78.0.3") and self.far.pings("10.78.0.2")

    def told(self) -> bool:
        """The kernel's bridge has heard that the topology changed, or has found out itself."""
        return self.kernel.read("/sys/class/net/br0/bridge/topology_change") == "1"


@pytest.fixture
def bed(new_name: Callable[[], str], new_netns: Callable[[], str]) -> Iterator[Bed]:
    with Bed(new_name, new_netns) as one:
        yield one


def wait_for(loops: list[Loop], condition: Callable[[Loop], bool], seconds: float, what: str) -> None:
    """Until the condition has held in each of the loops."""
    missing = list(loops)

    def look() -> bool:
        missing[:] = [loop for loop in missing if not condition(loop)]
        return not missing

    until(look, seconds, what)


def test_a_loop_with_the_kernel(bed: Bed) -> None:
    """802.1D-2004 17, 802.1D-1998 8: a loop of the kernel's bridge and ours becomes a tree in time, whoever is root,
    and again when a link is cut and when it is back; nothing circles, and stations reach each other.

    By RSTP, too, which falls back to what the kernel speaks (17.24)."""
    loops = [
        Loop(bed, "ours", "stp", kernel=32768, ours=4096),
        Loop(bed, "theirs", "stp", kernel=4096, ours=32768),
        Loop(bed, "rapid", "rstp", kernel=4096, ours=32768),
        Loop(bed, "rapid-root", "rstp", kernel=32768, ours=4096),
    ]
    wait_for(loops, Loop.is_open, BOUND, "a tree")
    for loop in loops:
        kernel, mine = loop.own()
        root = kernel if loop.name in ("theirs", "rapid") else mine
        assert loop.roots() == (root, root), loop.name
        # The root's ports all forward: who blocks is the other, by its second link.
        states = loop.states()
        assert [states[name] for name in (("t0", "t1") if root == kernel else ("p0", "p1"))] == ["forwarding"] * 2
        assert states["p1" if root == kernel else "t1"] == "blocking", (loop.name, states)
        assert loop.passes(), loop.name
        there, back, carried = loop.flooded()
        assert (there, back) == (COUNT, 0), loop.name
        # Each link once in each copy, the answer, BPDUs of a few seconds: far from a storm.
        assert carried <= 2 * COUNT + 40, loop.name

    for loop in loops:
        loop.kernel.ip("link", "set", "t0", "down")
    wait_for(loops, lambda loop: loop.ours()["p1"] == loop.theirs()["t1"] == "forwarding", BOUND, "the other link")
    for loop in loops:
        until(loop.passes, what=f"stations meet by the other link of {loop.name}")
        assert loop.flooded()[:2] == (COUNT, 0), loop.name

    for loop in loops:
        loop.kernel.ip("link", "set", "t0", "up")
    wait_for(loops, Loop.is_open, BOUND + MAX_AGE, "the tree again")
    wait_for(loops, Loop.told, MAX_AGE, "news of the topology")
    for loop in loops:
        until(loop.passes, what=f"stations meet again in {loop.name}")
        assert loop.flooded()[:2] == (COUNT, 0), loop.name
        assert int(str(loop.row()["topology_changes"])) >= 2, loop.name


class Twins:
    """Two stacks, each with its driver, in a loop of two cables; a cable is a bridge of the kernel that relays BPDUs.

    [ near ] ══ st ─ br0 ─ p0 ══ a0 ─ c0 ─ b0 ══ p0 ─ br0 ─ st ══ [ far ]
                        └─ p1 ══ a1 ─ c1 ─ b1 ══ p1 ─┘
    """

    def __init__(self, beds: tuple[Bed, Bed]) -> None:
        self.beds = beds
        self.cables = beds[0].cell()
        self.hosts = [beds[0].cell(), beds[0].cell()]
        for n in range(2):
            self.cables.ip("link", "add", f"c{n}", "type", "bridge", "mcast_snooping", "0")
            self.cables.ip("link", "set", f"c{n}", "up")
        self.sides = []
        for number, (bed, cell) in enumerate(zip(beds, self.hosts, strict=True)):
            ns = bed.netns("r")
            self.sides.append(ns)
            bed.on_loop(lambda ns=ns: ns.sysctl.__setitem__("net.ipv6.conf.default.disable_ipv6", 1))
            bed.call(ns.add_device, "br0", kind="bridge")
            bed.call(ns.set_bridge, "br0", stp="rstp", priority=4096 * (1 + number), **TIMES)
            bed.tap(ns, "st", cell, "eth0")
            cell.ip("address", "add", f"10.78.0.{2 + number}/24", "dev", "eth0")
            for n in range(2):
                end = f"{'ab'[number]}{n}"
                bed.tap(ns, f"p{n}", self.cables, end)
                self.cables.ip("link", "set", end, "master", f"c{n}")
            for name in ("st", "p0", "p1"):
                bed.call(ns.set_port, name, bridge="br0")

    def rows(self, side: int) -> dict[str, tuple[str, str]]:
        """Role and state by port."""
        rows = self.beds[side].on_loop(self.sides[side].ports)
        return {row["dev"]: (row["role"], row["state"]) for row in rows}

    def way(self, port: str) -> bool:
        """Whether the second bridge's way to the first, its root, is by this port."""
        here, there = self.rows(0), self.rows(1)
        return there[port] == ("root", "forwarding") and here[port] == ("designated", "forwarding")

    def is_whole(self) -> bool:
        """The tree with both cables in use."""
        return (
            self.way("p0") and self.rows(0)["p1"][1] == "forwarding" and self.rows(1)["p1"] == ("alternate", "blocking")
        )

    def passes(self) -> bool:
        return self.hosts[0].pings("10.78.0.3") and self.hosts[1].pings("10.78.0.2")

    def at_the_edge(self) -> bool:
        return self.rows(0)["st"] == self.rows(1)["st"] == ("designated", "forwarding")


def test_two_stacks_by_rstp(new_name: Callable[[], str], new_netns: Callable[[], str]) -> None:
    """802.1D-2004 17.10, 17.29: where both sides speak RSTP nobody waits for a forward delay: at the start, when a link
    goes down, when a neighbour falls silent (three hello times), and when it is back."""
    with Bed(new_name, new_netns, 1) as one, Bed(new_name, new_netns, 2) as other:
        twins = Twins((one, other))
        until(twins.is_whole, 3 * HELLO, "a tree by proposals and agreements")
        until(twins.at_the_edge, 4, "stations' ports are found to be edges in 3 s")
        assert twins.passes()

        for end in ("a0", "b0"):
            twins.cables.ip("link", "set", end, "down")
        until(lambda: twins.way("p1"), 4 * HELLO, "the other cable: who sends nothing there misses three hellos")
        assert twins.passes()
        for end in ("a0", "b0"):
            twins.cables.ip("link", "set", end, "up")
        until(twins.is_whole, 2 * HELLO + 1, "the tree again")
        assert twins.passes()

        twins.cables.ip("link", "set", "b0", "nomaster")
        until(lambda: twins.way("p1"), 4 * HELLO, "three hellos are missed")
        assert twins.passes()
        twins.cables.ip("link", "set", "b0", "master", "c0")
        until(twins.is_whole, 3 * HELLO, "the tree again")
        assert twins.passes()
