"""Spanning tree at a bridge's ports: what is sent and heard, what it lets pass, and guards against strangers.

The drawing is in `switch`; the machines themselves are tested by the clause in tests/unit/l2/test_stp.py.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.path.switch import BROADCAST, TYPE, Switch
from vrouter.stack.base.drop import DropReason
from vrouter.stack.wire import stp
from vrouter.stack.wire.stp import Bpdu
from vrouter.testing import frames

BEST = stp.bridge_id(4096, bytes.fromhex("020000000001"))
TIMES = (0, 5120, 512, 3840)


def below(flags: int) -> bytes:
    """What a bridge says whose root port leads to this one, which has the best bridge for its root."""
    other = stp.bridge_id(32768, bytes.fromhex("02ffffffffff"))
    return Bpdu(
        stp.VERSION_RSTP, stp.TYPE_RST, stp.ROLE_ROOT << 2 | flags, BEST, 40000, other, 0x8001, *TIMES
    ).to_bytes()


def better(flags: int = stp.ROLE_DESIGNATED << 2, kind: int = stp.TYPE_RST) -> bytes:
    """What a better bridge says."""
    version = stp.VERSION_RSTP if kind == stp.TYPE_RST else stp.VERSION_STP
    return Bpdu(version, kind, flags, BEST, 0, BEST, 0x8001, *TIMES).to_bytes()


class Tree(Switch):
    """A switch that speaks RSTP (or `stp`), its announcements over."""

    def hear(self, n: int, octets: bytes) -> None:
        self.at[n].send_frame(stp.frame(self.at[n].mac, octets))

    def said(self, n: int) -> list[Bpdu]:
        """The BPDUs that came out by a port, which are forgotten."""
        found = [Bpdu.parse(frame, 17, len(frame)) for frame in self.at[n].received if frame[:6] == stp.GROUP]
        self.at[n].clear()
        return [bpdu for bpdu in found if bpdu is not None]


@pytest.fixture
def tree() -> Iterator[Tree]:
    """The switch with RSTP, three seconds on: all its ports are edges and forward."""
    found = Tree(stp="rstp")
    found.bed.run_for(4)
    found.clear()
    yield found
    found.bed.close()


def test_stations_are_found_out(tree: Tree) -> None:
    """802.1D-2004 17.25: where nobody speaks the protocol, ports forward after 3 s, as edge ports."""
    assert [(row["state"], row["role"], row["edge"]) for row in tree.ns.ports()] == [
        ("forwarding", "designated", True)
    ] * 3
    assert tree.send(0, BROADCAST) == [1, 2]


def test_nothing_passes_before(tree: Tree) -> None:
    """802.1D-2004 7.4: a port that is new discards, learns nothing, and the bridge device has a carrier by others."""
    late = tree.bed.station(tree.ns, "p3")
    tree.ns.set_port("p3", bridge="br0", now=tree.bed.now)
    with tree.bed.expect(tree.ns, rx={"p3": 1}, drops={DropReason.BRIDGE_INGRESS_STP_STATE: 1}):
        late.send_frame(frames.ethernet(BROADCAST, late.mac, TYPE, bytes(46)))
    assert tree.dev.carrier
    tree.bed.run_for(3)
    late.clear()
    late.send_frame(frames.ethernet(BROADCAST, late.mac, TYPE, bytes(46)))
    assert [bytes(frame)[12:14].hex() for frame in tree.at[0].received if frame[:6] != stp.GROUP] == ["88b5"]


def test_the_carrier_waits_for_a_port() -> None:
    """The bridge device has no carrier until a port forwards."""
    found = Tree(stp="stp")
    assert found.dev.state == "no-carrier"
    found.bed.run_for(34)
    assert found.dev.state == "no-carrier"
    found.bed.run_for(1)
    assert found.dev.state == "up"
    found.bed.close()


def test_hellos(tree: Tree) -> None:
    """802.1D-2004 17.26, 7.12.3: each port says every two seconds who is the root, in a frame of 60 bytes from its own
    address, and says so by the accounts: made here, and sent."""
    with tree.bed.expect(tree.ns, tx={f"p{n}": 5 for n in range(3)}, AcctOriginated=15):
        tree.bed.run_for(10)
    frame = bytes(tree.at[1].received[0])
    assert (len(frame), frame[:14]) == (60, stp.GROUP + tree.at[1].dev.mac + b"\0\x27")
    assert {bpdu.root for bpdu in tree.said(1)} == {stp.bridge_id(32768, tree.dev.mac)}


def test_a_better_bridge(tree: Tree) -> None:
    """802.1D-2004 17.10: its proposal is answered at once, and its port is the root port; hearing it is consumption."""
    with tree.bed.expect(tree.ns, rx={"p1": 1}, tx={"p1": 1, "p0": 1, "p2": 1}, AcctConsumed=1):
        tree.hear(1, better(stp.ROLE_DESIGNATED << 2 | stp.F_PROPOSAL))
    (answer,) = tree.said(1)
    assert answer.flags & (stp.F_ROLE | stp.F_AGREEMENT) == stp.ROLE_ROOT << 2 | stp.F_AGREEMENT
    row = tree.ns.bridge_rows()[0]
    assert (row["root_port"], row["root_cost"], row["root_id"]) == ("p1", 20000, "1000.02:00:00:00:00:01")
    assert [port["role"] for port in tree.ns.ports()] == ["designated", "root", "designated"]


@pytest.mark.parametrize(
    "change",
    [
        lambda frame: frame[:14] + b"\xaa\xaa\x03" + frame[17:],
        lambda frame: frame[:12] + b"\x00\x03" + frame[14:],
        lambda frame: frame[:12] + b"\x05\xdc" + frame[14:],
        lambda frame: frame[:17] + b"\x00\x01" + frame[19:],
        lambda frame: frame[:20] + b"\x07" + frame[21:],
        lambda frame: frame[:40],
        lambda frame: frame[:16],
    ],
    ids=["LLC", "short length", "long length", "protocol", "type", "truncated", "no LLC"],
)
def test_invalid_ones(tree: Tree, change: object) -> None:
    """802.1D-2004 9.3.4: what is no valid BPDU is not processed, and never relayed."""
    frame = change(stp.frame(tree.at[0].mac, better()))  # type: ignore[operator] # each is a function of the frame
    with tree.bed.expect(tree.ns, rx={"p0": 1}, drops={DropReason.BPDU_INVALID: 1}):
        tree.at[0].send_frame(frame)
    assert tree.ns.bridge_rows()[0]["root_port"] == ""


def test_its_own(tree: Tree) -> None:
    """802.1D-2004 9.3.4: a port's own message come back is invalid."""
    tree.bed.run_for(2)
    frame = bytes(tree.at[0].received[0])
    with tree.bed.expect(tree.ns, rx={"p0": 1}, drops={DropReason.BPDU_INVALID: 1}):
        tree.at[0].send_frame(frame)


def test_without_the_protocol() -> None:
    """802.1D-2004 7.12.6: a bridge that does not speak it does not relay it either."""
    found = Tree()
    with found.bed.expect(found.ns, rx={"p0": 1}, drops={DropReason.OTHERHOST: 1}):
        found.hear(0, better())
    found.bed.run_until_idle()
    found.bed.close()


def test_bpdu_guard(tree: Tree) -> None:
    """`guard = "bpdu"`: who speaks the protocol at this port is shut off, until the port is set to forward again."""
    tree.port(0, guard="bpdu")
    tree.hear(0, better())
    assert tree.ns.ports()[0]["state"] == "disabled"
    assert tree.at[0].dev.error == "a BPDU came in by a guarded port"
    assert tree.ns.bridge_rows()[0]["root_port"] == ""
    assert tree.send(0, BROADCAST) == []
    tree.port(0, state="forwarding")
    tree.bed.run_for(4)
    assert tree.send(0, BROADCAST) == [1, 2]
    assert tree.at[0].dev.error == ""


def test_root_guard(tree: Tree) -> None:
    """`guard = "root"`: a better bridge behind the port does not become the root; the port discards meanwhile."""
    tree.port(0, guard="root")
    tree.hear(0, better())
    assert (tree.ns.ports()[0]["state"], tree.ns.bridge_rows()[0]["root_port"]) == ("blocking", "")
    assert tree.send(0, BROADCAST) == []
    tree.bed.run_for(40)
    assert tree.ns.ports()[0]["state"] == "forwarding"


def test_costs_and_priorities(tree: Tree) -> None:
    """802.1D-2004 17.13: they are the port's and the bridge's words from then on."""
    tree.hear(0, better())
    tree.hear(1, better())
    assert tree.ns.bridge_rows()[0]["root_port"] == "p0"
    tree.port(0, cost=50000)
    assert tree.ns.bridge_rows()[0]["root_port"] == "p1"
    tree.port(1, cost=50000)
    tree.port(1, priority=16)
    assert tree.ns.bridge_rows()[0]["root_port"] == "p1"
    tree.ns.set_bridge("br0", priority=0, now=tree.bed.now)
    assert tree.ns.bridge_rows()[0]["root_port"] == ""


def test_an_edge_that_is_said_to_be_one(tree: Tree) -> None:
    """802.1D-2004 17.13.1: AdminEdge forwards at once; False never is one by itself."""
    for name, edge in (("p3", True), ("p4", False)):
        tree.bed.station(tree.ns, name)
        tree.ns.set_port(name, bridge="br0", edge=edge, now=tree.bed.now)
    states = {row["dev"]: row["state"] for row in tree.ns.ports()}
    assert (states["p3"], states["p4"]) == ("forwarding", "blocking")
    tree.bed.run_for(20)
    assert {row["dev"]: row["state"] for row in tree.ns.ports()}["p4"] == "learning"


def test_topology_changes_flush(tree: Tree) -> None:
    """802.1D-2004 17.31: a change told of at one port makes others' stations unknown; edge ports keep theirs."""
    tree.hear(0, better(stp.ROLE_DESIGNATED << 2 | stp.F_PROPOSAL))
    tree.hear(1, below(stp.F_AGREEMENT))
    tree.teach()
    tree.hear(1, below(stp.F_AGREEMENT | stp.F_TC))
    known = {row["dev"] for row in tree.ns.fdb() if row["state"] == "dynamic"}
    assert known == {"p1", "p2"}
    assert tree.ns.bridge_rows()[0]["topology_changes"] >= 1


def test_stp_ages_rapidly() -> None:
    """802.1D-2004 17.19.1 with STP: after a change stations are forgotten within a forward delay, then as ever."""
    found = Tree(stp="stp")
    for _ in range(40):
        found.hear(0, better(kind=stp.TYPE_CONFIG, flags=0))
        found.bed.run_for(1)
    found.teach()
    found.hear(0, better(kind=stp.TYPE_CONFIG, flags=stp.F_TC))
    for _ in range(14):
        found.bed.run_for(1)
        found.hear(0, better(kind=stp.TYPE_CONFIG, flags=0))
    assert found.send(0, 1) == [1]
    found.bed.run_for(1)
    assert found.send(0, 1) == [1, 2]
    found.teach(1)
    found.bed.run_for(100)
    assert {port.ageing for port in found.bridge.ports.values()} == {300 * 10**9}
    found.bed.close()


def test_modes(tree: Tree) -> None:
    """The protocol is changed, or ended, while the bridge runs; ended, every port forwards and no timer is left."""
    tree.ns.set_bridge("br0", stp="stp", now=tree.bed.now)
    assert {row["state"] for row in tree.ns.ports()} == {"blocking"}
    tree.clear()
    tree.bed.run_for(3)
    assert {bpdu.type for bpdu in tree.said(0)} == {stp.TYPE_CONFIG}
    tree.ns.set_bridge("br0", stp="none", now=tree.bed.now)
    assert tree.send(0, BROADCAST) == [1, 2]
    tree.bed.run_until_idle()
    tree.ns.set_bridge("br0", stp="rstp", now=tree.bed.now)
    assert {row["state"] for row in tree.ns.ports()} == {"blocking"}


def test_the_end(tree: Tree) -> None:
    """With its bridge device the protocol ends: no timer, no frame."""
    tree.bed.stack.remove_device(tree.dev, now=tree.bed.now)
    tree.clear()
    tree.bed.run_until_idle()
    assert [len(station.received) for station in tree.at] == [0, 0, 0]
