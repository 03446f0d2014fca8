"""The machines of the rapid spanning tree, one bridge at a time (IEEE 802.1D-2004 clause 17)."""

from __future__ import annotations

import pytest

from vrouter.stack.l2.stp.port import (
    ALTERNATE_PORT,
    BACKUP_PORT,
    DESIGNATED_PORT,
    DISABLED_PORT,
    PST_DISCARDING,
    PST_FORWARDING,
    PST_LEARNING,
    ROOT_PORT,
    StpPort,
    path_cost,
)
from vrouter.stack.l2.stp.tree import SpanningTree
from vrouter.stack.wire import stp as wire
from vrouter.stack.wire.stp import Bpdu

MAC = bytes.fromhex("020000000005")
BETTER = wire.bridge_id(32768, bytes.fromhex("020000000001"))
WORSE = wire.bridge_id(32768, bytes.fromhex("020000000009"))
TIMES = (0, 5120, 512, 3840)
DESIGNATED = wire.ROLE_DESIGNATED << 2
ROOT = wire.ROLE_ROOT << 2


class Bridge:
    """A bridge with ports that are enabled, and what it sent."""

    def __init__(self, ports: int = 2, **options: object) -> None:
        self.tree = SpanningTree(MAC, **options)
        self.ports = [self.tree.add_port(n, n + 1) for n in range(ports)]
        for p in self.ports:
            self.tree.set_enabled(p, True)

    def take(self, kind: str) -> list[tuple[int, object]]:
        """Actions of one kind since the last call, whoever was asked for; the others are forgotten."""
        actions, self.tree.actions = self.tree.actions, []
        return [(owner, what) for what_kind, owner, what in actions if what_kind == kind]

    def sent(self) -> list[tuple[int, Bpdu]]:
        """The BPDUs sent, by port."""
        found = [(owner, Bpdu.parse(what, 0, len(what))) for owner, what in self.take("bpdu")]
        return [(owner, bpdu) for owner, bpdu in found if bpdu is not None]

    def hear(
        self,
        port: int,
        *,
        bridge: int = BETTER,
        root: int | None = None,
        cost: int = 0,
        flags: int = DESIGNATED,
        kind: int = wire.TYPE_RST,
        number: int = 0x8001,
        times: tuple[int, int, int, int] = TIMES,
    ) -> bool:
        version = wire.VERSION_RSTP if kind == wire.TYPE_RST else wire.VERSION_STP
        bpdu = Bpdu(version, kind, flags, bridge if root is None else root, cost, bridge, number, *times)
        return self.tree.receive(self.ports[port], bpdu)

    def tick(self, seconds: int = 1) -> None:
        for _ in range(seconds):
            self.tree.tick()

    def roles(self) -> list[int]:
        return [p.role for p in self.ports]

    def states(self) -> list[int]:
        return [p.pst for p in self.ports]


def test_alone_it_is_the_root() -> None:
    """17.21.25: without messages the bridge is the root, and each of its ports is designated and proposes."""
    bridge = Bridge()
    assert bridge.roles() == [DESIGNATED_PORT, DESIGNATED_PORT]
    assert bridge.states() == [PST_DISCARDING, PST_DISCARDING]
    flags = DESIGNATED | wire.F_PROPOSAL
    own = bridge.tree.bridge_id
    assert bridge.sent() == [(n, Bpdu(2, 2, flags, own, 0, own, 0x8001 + n, *TIMES)) for n in (0, 1)]


def test_nobody_answers_so_it_is_the_edge() -> None:
    """17.25: three seconds (MigrateTime) without a BPDU after a proposal, and the port forwards as an edge port."""
    bridge = Bridge(1)
    bridge.tick(2)
    assert (bridge.ports[0].edge, bridge.states()) == (False, [PST_DISCARDING])
    bridge.tick()
    assert (bridge.ports[0].edge, bridge.states()) == (True, [PST_FORWARDING])


def test_an_edge_port_forwards_at_once_until_it_hears_a_bridge() -> None:
    """17.13.1 and 17.23: AdminEdge forwards without delay; a BPDU ends that."""
    bridge = Bridge(0)
    p = bridge.tree.add_port(0, 1, edge=True)
    bridge.ports.append(p)
    bridge.tree.set_enabled(p, True)
    assert (p.edge, p.pst) == (True, PST_FORWARDING)
    bridge.hear(0, bridge=WORSE, flags=DESIGNATED | wire.F_PROPOSAL)
    assert p.edge is False


def test_a_port_that_is_never_an_edge_waits_for_its_time() -> None:
    """17.29: without AutoEdge and an answer, MaxAge passes, then a hello time (forwardDelay with RSTP)."""
    bridge = Bridge(0)
    p = bridge.tree.add_port(0, 1, edge=False)
    bridge.tree.set_enabled(p, True)
    at = {}
    for second in range(1, 40):
        bridge.tree.tick()
        at.setdefault(p.pst, second)
    assert at == {PST_DISCARDING: 1, PST_LEARNING: 20, PST_FORWARDING: 22}


def test_stp_takes_its_time() -> None:
    """17.29 with forced version 0: MaxAge, then a forward delay of learning, and no edge is found out."""
    bridge = Bridge(1, rstp=False)
    p = bridge.ports[0]
    at = {}
    for second in range(1, 50):
        bridge.tick()
        at.setdefault(p.pst, second)
    assert at == {PST_DISCARDING: 1, PST_LEARNING: 20, PST_FORWARDING: 35}
    assert {bpdu.type for _, bpdu in bridge.sent()} == {wire.TYPE_CONFIG}


def test_handshake() -> None:
    """17.10: a proposal of a better bridge is agreed to at once, the root port forwards, the others were synced."""
    bridge = Bridge()
    bridge.sent()
    bridge.hear(0, flags=DESIGNATED | wire.F_PROPOSAL)
    assert bridge.roles() == [ROOT_PORT, DESIGNATED_PORT]
    assert bridge.states() == [PST_FORWARDING, PST_DISCARDING]
    answers = [bpdu for port, bpdu in bridge.sent() if port == 0]
    assert answers[0].flags & (wire.F_ROLE | wire.F_AGREEMENT) == ROOT | wire.F_AGREEMENT
    assert (answers[0].root, answers[0].cost) == (BETTER, 20000)


def test_our_proposal_is_agreed_to() -> None:
    """17.29: a designated port forwards when the bridge behind it agrees."""
    bridge = Bridge(1)
    bridge.hear(0, bridge=WORSE, root=bridge.tree.bridge_id, cost=20000, flags=ROOT | wire.F_AGREEMENT)
    assert bridge.states() == [PST_FORWARDING]


def test_sync_before_agreement() -> None:
    """17.10: before a bridge agrees to worse news, it discards at designated ports that agreed to the better ones."""
    bridge = Bridge(2)
    bridge.hear(0, flags=DESIGNATED | wire.F_PROPOSAL)
    bridge.hear(1, bridge=WORSE, root=BETTER, cost=40000, flags=ROOT | wire.F_AGREEMENT)
    assert bridge.states() == [PST_FORWARDING, PST_FORWARDING]
    bridge.take("state")
    bridge.hear(0, cost=1, flags=DESIGNATED | wire.F_PROPOSAL)
    actions = [action[:2] for action in bridge.tree.actions]
    assert actions.index(("state", 1)) < actions.index(("bpdu", 0))
    assert bridge.states() == [PST_FORWARDING, PST_DISCARDING]
    agreement = next(bpdu for port, bpdu in bridge.sent() if port == 0)
    assert agreement.flags & (wire.F_ROLE | wire.F_AGREEMENT) == ROOT | wire.F_AGREEMENT


def test_alternate_takes_over_at_once() -> None:
    """17.29: when the root port's link fails, the alternate port is the root port and forwards without delay."""
    bridge = Bridge()
    bridge.hear(0, flags=DESIGNATED)
    bridge.hear(1, cost=1, flags=DESIGNATED, bridge=wire.bridge_id(32768, bytes.fromhex("020000000002")), root=BETTER)
    assert bridge.roles() == [ROOT_PORT, ALTERNATE_PORT]
    bridge.tree.set_enabled(bridge.ports[0], False)
    assert bridge.roles() == [DISABLED_PORT, ROOT_PORT]
    assert bridge.states() == [PST_DISCARDING, PST_FORWARDING]


def test_backup() -> None:
    """17.21.25: a port that hears a better port of its own bridge is a backup."""
    bridge = Bridge()
    own = bridge.tree.bridge_id
    bridge.hear(1, bridge=own, number=bridge.ports[0].port_id)
    assert bridge.roles() == [DESIGNATED_PORT, BACKUP_PORT]


def test_its_own_message_is_none() -> None:
    """9.3.4: what a port sent itself and comes back is not processed."""
    bridge = Bridge()
    assert bridge.hear(0, bridge=bridge.tree.bridge_id, number=bridge.ports[0].port_id) is False
    assert bridge.roles() == [DESIGNATED_PORT, DESIGNATED_PORT]


@pytest.mark.parametrize(
    ("first", "second", "root_port"),
    [
        ({"cost": 10}, {"cost": 9}, 1),
        ({"bridge": BETTER + 1, "root": BETTER}, {"bridge": BETTER + 2, "root": BETTER}, 0),
        ({"number": 0x8002}, {"number": 0x8001}, 1),
        ({"number": 0x8002}, {"number": 0x8002}, 0),
    ],
    ids=["cost", "bridge", "port", "own port"],
)
def test_the_better_vector_wins(first: dict[str, int], second: dict[str, int], root_port: int) -> None:
    """17.5: root, cost, designated bridge, designated port, and then the own port: less is better."""
    bridge = Bridge()
    bridge.hear(0, **first)
    bridge.hear(1, **second)
    assert bridge.tree.root_port is bridge.ports[root_port]


def test_information_ages() -> None:
    """17.21.23: three hello times without a message, and what was heard is no more."""
    bridge = Bridge(1)
    bridge.hear(0)
    bridge.tick(5)
    assert bridge.roles() == [ROOT_PORT]
    bridge.tick()
    assert bridge.roles() == [DESIGNATED_PORT]


def test_a_message_too_old_counts_no_second() -> None:
    """17.21.23: one whose age, a hop on, exceeds max age is aged at once."""
    bridge = Bridge(1)
    bridge.hear(0, times=(5120, 5120, 512, 3840))
    assert bridge.roles() == [DESIGNATED_PORT]
    bridge.hear(0, times=(4864, 5120, 512, 3840))
    assert bridge.roles() == [ROOT_PORT]
    assert bridge.tree.root_times[0] == 5120


def test_messages_age_by_a_second_a_hop() -> None:
    """17.21.25 c: the message age sent is the root port's, a second more."""
    bridge = Bridge()
    bridge.hear(0, times=(256, 5120, 512, 3840))
    bridge.sent()
    bridge.tick(2)
    onward = [bpdu for port, bpdu in bridge.sent() if port == 1]
    assert {bpdu.message_age for bpdu in onward} == {512}


def test_inferior_news_of_the_same_bridge_is_believed() -> None:
    """17.6: the designated port that was heard may say worse things; another one may not."""
    bridge = Bridge(1)
    bridge.hear(0)
    bridge.hear(0, root=BETTER + 1, cost=7)
    assert bridge.tree.root_vector[:2] == (BETTER + 1, 20007)
    bridge.hear(0, bridge=WORSE)
    assert bridge.tree.root_vector[:2] == (BETTER + 1, 20007)


def test_dispute() -> None:
    """17.21.10: one that is worse, learns and calls itself designated hears us not: we stop forwarding."""
    bridge = Bridge(1)
    bridge.hear(0, bridge=WORSE, root=bridge.tree.bridge_id, cost=20000, flags=ROOT | wire.F_AGREEMENT)
    assert bridge.states() == [PST_FORWARDING]
    bridge.hear(0, bridge=WORSE, flags=DESIGNATED | wire.F_LEARNING)
    assert bridge.states() == [PST_DISCARDING]


def test_hold_count() -> None:
    """17.26: no more than TxHoldCount (6) BPDUs a second by one port."""
    bridge = Bridge()
    bridge.sent()
    for cost in range(20, 0, -1):
        bridge.hear(0, cost=cost)
    assert len([port for port, _ in bridge.sent() if port == 1]) == 5
    bridge.tick()
    assert len([port for port, _ in bridge.sent() if port == 1]) == 1


def test_hello() -> None:
    """17.26: designated ports speak each hello time, root ports only of changes."""
    bridge = Bridge()
    bridge.hear(0)
    for _ in range(20):
        bridge.tick()
        bridge.hear(0)
    bridge.sent()
    heard = []
    for _ in range(8):
        bridge.tick()
        bridge.hear(0)
        heard += [port for port, _ in bridge.sent()]
    assert heard == [1, 1, 1, 1]


def test_migration_to_stp_and_back() -> None:
    """17.24: a neighbour that speaks STP is spoken to in STP after 3 s; with mcheck RSTP is tried again."""
    bridge = Bridge(1)
    bridge.tick(3)
    bridge.hear(0, bridge=WORSE, kind=wire.TYPE_CONFIG, flags=0)
    bridge.sent()
    bridge.tick(2)
    assert {bpdu.type for _, bpdu in bridge.sent()} == {wire.TYPE_CONFIG}
    bridge.tick(3)
    bridge.ports[0].mcheck = True
    bridge.tree.run()
    bridge.sent()
    bridge.tick(2)
    assert {bpdu.type for _, bpdu in bridge.sent()} == {wire.TYPE_RST}


def test_topology_change() -> None:
    """17.31: a port that begins to forward is told of for a hello time and a second, and others are flushed."""
    bridge = Bridge()
    for n in (0, 1):
        bridge.hear(n, bridge=WORSE, root=bridge.tree.bridge_id, cost=20000, flags=ROOT | wire.F_AGREEMENT)
    bridge.tick(10)
    bridge.sent()
    bridge.hear(0, bridge=WORSE, root=bridge.tree.bridge_id, cost=20000, flags=ROOT | wire.F_AGREEMENT | wire.F_TC)
    assert bridge.tree.actions[0] == ("flush", 1, True)
    assert [(port, bpdu.flags & wire.F_TC) for port, bpdu in bridge.sent()] == [(1, wire.F_TC)]
    assert bridge.ports[1].tc_while == 3


def test_topology_change_in_stp() -> None:
    """17.31 with STP: the root port notifies, and stops when the change is acknowledged."""
    bridge = Bridge(2, rstp=False)
    for _ in range(40):
        bridge.hear(0, kind=wire.TYPE_CONFIG, flags=0)
        bridge.tick()
    sent = [bpdu for port, bpdu in bridge.sent() if port == 0 and bpdu.type == wire.TYPE_TCN]
    assert sent
    bridge.hear(0, kind=wire.TYPE_CONFIG, flags=wire.F_TC_ACK | wire.F_TC)
    assert ("flush", 1, False) in bridge.tree.actions
    bridge.sent()
    for _ in range(10):
        bridge.hear(0, kind=wire.TYPE_CONFIG, flags=0)
        bridge.tick()
    assert [bpdu for port, bpdu in bridge.sent() if port == 0] == []


def test_notification_is_acknowledged() -> None:
    """17.31: a TCN at a designated port is acknowledged in the next configuration, which tells of the change."""
    bridge = Bridge(1, rstp=False)
    bridge.tick(40)
    bridge.sent()
    bridge.tree.receive(bridge.ports[0], Bpdu(0, wire.TYPE_TCN))
    bridge.tick(2)
    assert bridge.sent()[0][1].flags & (wire.F_TC | wire.F_TC_ACK) == wire.F_TC | wire.F_TC_ACK


def test_restricted_role() -> None:
    """IEEE 802.1Q restrictedRole: a better bridge behind this port does not become the root; the port discards."""
    bridge = Bridge(0)
    p = bridge.tree.add_port(0, 1, restricted_role=True)
    bridge.ports.append(p)
    bridge.tree.set_enabled(p, True)
    bridge.hear(0, flags=DESIGNATED | wire.F_PROPOSAL)
    assert (p.role, p.pst) == (ALTERNATE_PORT, PST_DISCARDING)
    assert bridge.tree.root_vector[0] == bridge.tree.bridge_id


def test_path_costs() -> None:
    """Table 17-3: 10 Mb/s 2,000,000; 100 Mb/s 200,000; 1 Gb/s 20,000; 10 Gb/s 2,000; 1 Tb/s 20."""
    assert [path_cost(10**n) for n in range(1, 7)] == [2_000_000, 200_000, 20_000, 2_000, 200, 20]
    assert path_cost(0) == 20_000_000


def test_a_port_leaves() -> None:
    """17.13: what a port told is forgotten with it."""
    bridge = Bridge()
    bridge.hear(0)
    gone: StpPort = bridge.ports[0]
    bridge.tree.remove_port(gone)
    assert bridge.tree.root_port is None
    assert gone.pst == PST_DISCARDING
    assert [p.number for p in bridge.tree.ports] == [2]
