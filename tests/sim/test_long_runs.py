"""Hours of virtual time in a small network where everything goes wrong all the time; then all is as on the first day.

::

    h1 .. h4 ─ lan ─ r1 ═════ r2 ─ b          lan: a hub; every wire loses, repeats, reorders, delays and corrupts;
                      ╚═ r3 ═╝                r3: the way around while the wire between r1 and r2 is cut
"""

from __future__ import annotations

import contextlib
from random import Random
from typing import Any

from vrouter.stack.base.drop import DropReason
from vrouter.testing import Lab, Node, UdpPort, frames

HOUR = 3600
CALM = 120.0  # s: longer than any timer of what is under way
TROUBLE = {"delay": 0.002, "jitter": 0.001, "loss": 0.03, "reorder": 0.02, "duplicate": 0.02, "corrupt": 0.005}
NO_TROUBLE = dict.fromkeys(("jitter", "loss", "reorder", "duplicate", "corrupt"), 0)
HOSTS = ("h1", "h2", "h3", "h4")


class Town:
    """The network above, its traffic and its troubles; all chance comes from `seed`."""

    def __init__(self, lab: Lab, seed: int) -> None:
        self.lab = lab
        self.rng = Random(seed)
        self.hosts: list[Node] = [lab.host(name) for name in HOSTS]
        self.r1, self.r2, self.r3 = (lab.router(name) for name in ("r1", "r2", "r3"))
        self.b = lab.host("b")
        lab.hub("lan", *self.hosts, self.r1, **TROUBLE)
        self.short = lab.wire(self.r1, self.r2, mtu=1400, **TROUBLE)
        for one, two in ((self.r1, self.r3), (self.r3, self.r2), (self.r2, self.b)):
            lab.wire(one, two, **TROUBLE)
        lab.set_routes()
        self._add_detour(self.r1, self.b, self.r3)
        for host in self.hosts:
            self._add_detour(self.r2, host, self.r3)
        self.b.udp(7).answer(lambda data, peer: data)
        self.clients: list[UdpPort] = [host.udp() for host in self.hosts]
        self.asked = self.answered = self.unreachable = 0
        self.questions: set[bytes] = set()

    def _add_detour(self, at: Node, to: Node, by: Node) -> None:
        """The same network by another router, for as long as the first way is down."""
        network = to.addr.rpartition(".")[0] + ".0/24"
        with contextlib.suppress(FileExistsError):
            at.ns.add_route(network, via=by.addr_towards(at), metric=9)

    @property
    def nodes(self) -> list[Node]:
        return [*self.hosts, self.r1, self.r2, self.r3, self.b]

    # -- traffic ------------------------------------------------------------------------------------------------------

    def ask(self) -> None:
        """Somebody asks `b`: in one packet, or in fragments."""
        number = self.rng.randrange(len(self.clients))
        self.asked += 1
        size = self.rng.choice((16, 16, 600, 4000))
        question = f"{self.asked:08}".encode() * (size // 8)
        self.questions.add(question)
        try:
            self.clients[number].send(question, self.b.addr, 7)
        except OSError:
            self.unreachable += 1  # its own wire is cut

    def listen(self) -> None:
        """Answers come late, twice or never, but they are answers to what was asked."""
        for client in self.clients:
            for datagram in client.received:
                assert datagram.data in self.questions, "an answer to nobody's question"
                self.answered += 1
            client.received.clear()
            client.errors.clear()
        for node in self.nodes:
            node.clear()

    def trouble(self) -> None:
        """Something breaks, or is mended."""
        kind = self.rng.choice(("wire", "wire", "device", "flush", "stranger", "half", "mtu"))
        if kind == "wire":
            (self.short.cut if self.short.up else self.short.mend)()
        elif kind == "device":
            dev = self.r1.ns.devices["r2"]
            self.r1.ns.set_device("r2", up=not dev.up, now=self.lab.now)
        elif kind == "flush":
            table = self.rng.choice(self.nodes).ns
            table.neigh4.flush()
            table.settle(self.lab.now)
        elif kind == "stranger":  # a scan of the lan: neighbours that never answer
            scanner = self.b.udp()
            for host in range(40):
                scanner.send(b"who is there", f"{self.hosts[0].addr.rpartition('.')[0]}.{100 + host}", 9)
            scanner.close()
        elif kind == "half":
            self.b.send(self._half_datagram())
        else:
            self.r2.ns.set_device("b", mtu=self.rng.choice((600, 1500)), now=self.lab.now)
        self.lab.collect()

    def _half_datagram(self) -> bytes:
        """The first fragment of a datagram that never comes."""
        host = self.rng.choice(self.hosts)
        packet = frames.ipv4_udp(self.b.addr, host.addr, 9, 9, bytes(3000), ident=self.rng.randrange(65536))
        return frames.fragments(packet, 576)[0]

    def live(self, seconds: int) -> None:
        for second in range(seconds):
            self.ask()
            if self.rng.random() < 1 / 30:
                self.trouble()
            self.lab.run_for(1.0)
            if second % 60 == 0:
                self.listen()
                self.census()

    def calm(self) -> None:
        """Everything is mended, nobody asks, and time passes."""
        self.short.mend()
        self.r1.ns.set_device("r2", up=True, now=self.lab.now)
        self.r2.ns.set_device("b", mtu=1500, now=self.lab.now)
        for wire in self.lab.wires:
            wire.set(**NO_TROUBLE)
        self.lab.run_for(CALM)
        self.listen()

    # -- what is kept -------------------------------------------------------------------------------------------------

    def census(self) -> dict[str, dict[str, int]]:
        """How much each node keeps; LabError or AssertionError for a node that lost count or keeps too much."""
        found = {}
        for node in self.nodes:
            node.machine.check()
            ns, stack = node.ns, node.stack
            reassembler, limiter = ns.ip4.reassembler, ns.ip4.limiter
            kept = {
                "neighbours": sum(len(dev.neigh4) for dev in ns.devices.values()),
                "waiting": ns.queued(),
                "datagrams": 0 if reassembler is None else len(reassembler),
                "fragment memory": 0 if reassembler is None else reassembler.memory,
                "exceptions": len(ns.ip4.exceptions),
                "peers": 0 if limiter is None else len(limiter._peers),
                "timers": len(stack.timers),
                "routes": len(ns.ip4.main) + len(ns.ip4.local),
                "sockets": len(ns.sockets),
                "ready": len(stack.ready),
                "devices": len(ns.devices),
            }
            assert kept["neighbours"] <= 60
            assert kept["datagrams"] <= 60  # 30 s of one each second, and strangers'
            assert kept["timers"] <= 130
            assert kept["peers"] <= 60
            assert len(stack.timers._heap) <= 2 * len(stack.timers) + 65
            found[node.name] = kept
        return found


def test_three_hours_of_trouble() -> None:
    """After hours of loss, duplicates, disorder, flaps and churn every table is as after the first hour, the accounts
    are exact, what was answered was asked, and the network works."""
    with Lab(seed=1, resolve=True) as lab:
        town = Town(lab, 1)
        first: dict[str, dict[str, int]] = {}
        for hour in range(3):
            for wire in lab.wires:
                wire.set(**TROUBLE)
            before = town.answered
            town.live(HOUR)
            town.calm()
            kept = {
                name: {what: n for what, n in row.items() if what not in SLOW} for name, row in town.census().items()
            }
            if hour == 0:
                first = kept
            assert kept == first
            assert town.answered - before > HOUR / 3
            assert all(row["waiting"] == row["datagrams"] == row["timers"] == 0 for row in kept.values())
            for host in town.hosts:
                host.ping(town.b, count=3)
                town.b.ping(host, size=6000)
        _check_what_happened(town)


# What is forgotten late, and grows with nothing but the number of those who were ever seen on the lan.
SLOW = ("neighbours", "peers", "exceptions")


def _check_what_happened(town: Town) -> None:
    """The troubles were real: each kind of loss was met, and every packet that died is in the books."""
    drops: dict[str, int] = {}
    for node in town.nodes:
        for reason, count in node.ns.drop_counts().items():
            drops[reason] = drops.get(reason, 0) + count
    met = {"UDP_CSUM", "IP_CSUM", "FRAG_REASM_TIMEOUT", "DUP_FRAG", "NEIGH_FAILED", "OTHERHOST"}
    assert met <= set(drops)
    assert drops.keys() <= {reason.name for reason in DropReason}
    assert town.unreachable < town.asked


def _day(seed: int) -> list[Any]:
    with Lab(seed=seed, resolve=True) as lab:
        town = Town(lab, seed)
        town.live(600)
        return [lab.now, town.answered, town.census(), [node.ns.drop_counts() for node in town.nodes], lab.trace()]


def test_the_same_seed_is_the_same_day() -> None:
    """All chance comes from the seed: a run can be repeated, to the last byte of the last frames."""
    assert _day(5) == _day(5)
    assert _day(5) != _day(6)
