"""What a connection knows of its next hop: what it sends arrives, so nobody need be asked (RFC 4861 7.3.1)."""

from __future__ import annotations

import pytest

from vrouter.stack.base.counters import Stat
from vrouter.stack.l4 import constants as c
from vrouter.testing import Lab

pytestmark = [
    pytest.mark.lab(resolve=True),
    pytest.mark.parametrize("family", [c.AF_INET, c.AF_INET6], ids=["ipv4", "ipv6"]),
]


class Talk:
    """A connection between two hosts on a wire, whose neighbours find each other."""

    def __init__(self, lab: Lab, family: int) -> None:
        self.lab = lab
        a, b = lab.host("a"), lab.host("b")
        self.wire = lab.wire(a, b)
        lab.run_for(5)
        self.a, self.asked = a, Stat.ArpOutRequests if family == c.AF_INET else Stat.Icmp6OutNeighborSolicits
        ear = b.ns.socket(family, c.SOCK_STREAM)
        ear.bind((b.addr if family == c.AF_INET else b.addr6, 80), now=lab.now)
        ear.listen(1, now=lab.now)
        self.client = a.ns.socket(family, c.SOCK_STREAM)
        self.client.connect_ex((b.addr if family == c.AF_INET else b.addr6, 80), now=lab.now)
        lab.run_for(1)
        self.server = ear.accept(now=lab.now)[0]
        self.before = a.ns.stats[self.asked]

    def speak(self, seconds: int) -> None:
        """The client says something each second, which is answered half a second later."""
        for _ in range(seconds):
            self.client.send(b"x", now=self.lab.now)
            self.lab.run_for(0.5)
            self.server.send(self.server.recv(9, now=self.lab.now), now=self.lab.now)
            self.lab.run_for(0.5)

    def questions(self) -> int:
        """How often the client's host has asked for its neighbour since the handshake."""
        return self.a.ns.stats[self.asked] - self.before


def test_who_gets_acknowledgments_asks_nobody(lab: Lab, family: int) -> None:
    """RFC 4861 7.3.1, RFC 1122 3.3.1.4: progress confirms the next hop: for ten minutes it is not asked for."""
    talk = Talk(lab, family)
    assert talk.before >= 1
    talk.speak(600)
    assert talk.questions() == 0


def test_who_gets_none_asks(lab: Lab, family: int) -> None:
    """RFC 4861 7.3.3: when nothing comes back any more the next hop is asked, by three unicasts at first."""
    talk = Talk(lab, family)
    talk.speak(60)
    talk.wire.set(loss=1.0)
    talk.client.send(b"x", now=lab.now)
    lab.run_for(120)
    assert talk.questions() >= 3
