"""Two stacks over a bad wire: every byte arrives, in its place, and nothing is left over at the end."""

from __future__ import annotations

import random

import pytest

from vrouter.stack.l4 import constants as c
from vrouter.testing import Lab

BAD = {
    "loss": {"loss": 0.05},
    "reorder": {"reorder": 0.2},
    "duplicate": {"duplicate": 0.2},
    "corrupt": {"corrupt": 0.03},
    "jitter": {"jitter": 0.009},
    "all": {"loss": 0.02, "reorder": 0.1, "duplicate": 0.1, "corrupt": 0.01},
}
SIZE = 300_000


class Stream:
    """One end: writes its own bytes as it can, reads in pieces of chance, and checks each byte that it reads."""

    def __init__(self, sock, seed, peer_seed, chance, patience):
        self.sock = sock
        self.data = random.Random(seed).randbytes(SIZE)
        self.expected = random.Random(peer_seed).randbytes(SIZE)
        self.sent = self.got = 0
        self.chance = chance
        self.patience = patience
        self.ended = self.shut = False

    def step(self, now):
        while self.sent < SIZE:
            try:
                self.sent += self.sock.send(
                    self.data[self.sent : self.sent + self.chance.randrange(1, 40_000)], now=now
                )
            except BlockingIOError:
                break
        if self.sent == SIZE and not self.shut:
            self.shut = True
            self.sock.shutdown(c.SHUT_WR, now=now)
        while not self.ended and self.chance.random() < self.patience:
            try:
                piece = self.sock.recv(self.chance.randrange(1, 50_000), now=now)
            except BlockingIOError:
                break
            assert piece == self.expected[self.got : self.got + len(piece)]
            self.got += len(piece)
            self.ended = not piece

    @property
    def done(self):
        return self.ended and self.shut


def talk(seed, family, patience=0.9, rcvbuf=0, settings=(), **bad):
    """Both ends send `SIZE` bytes to each other, and end; the seconds that it took."""
    with Lab(seed) as lab:
        a, b = lab.host("a"), lab.host("b")
        lab.wire(a, b, **bad)
        for node in (a, b):
            for name, value in settings:
                node.ns.sysctl[f"net.ipv4.{name}"] = value
        chance = random.Random(seed)
        address = b.addr if family == c.AF_INET else b.addr6
        listener = b.ns.socket(family, c.SOCK_STREAM)
        if rcvbuf:
            listener.setsockopt(c.SOL_SOCKET, c.SO_RCVBUF, rcvbuf, now=lab.now)
        listener.bind((address, 80), now=lab.now)
        listener.listen(5, now=lab.now)
        client = a.ns.socket(family, c.SOCK_STREAM)
        client.connect_ex((address, 80), now=lab.now)
        server = None
        for _ in range(300):
            lab.run_for(0.1)
            try:
                server, _ = listener.accept(now=lab.now)
                break
            except BlockingIOError:
                continue
        assert server is not None
        for _ in range(100):
            if client.connect_ex((address, 80), now=lab.now) != 114:
                break
            lab.run_for(0.1)
        ends = Stream(client, 1, 2, chance, patience), Stream(server, 2, 1, chance, patience)
        began = lab.now
        for _ in range(100_000):
            for end in ends:
                end.step(lab.now)
            if all(end.done for end in ends):
                break
            lab.run_for(chance.choice((0.001, 0.005, 0.02)))
        assert [end.got for end in ends] == [SIZE, SIZE]
        took = lab.now - began
        for sock in (client, server, listener):
            sock.close(now=lab.now)
        lab.run_for(300)
        for node in (a, b):
            assert node.ns.tcp_state.memory == 0
            assert not node.ns.tcp.connections
            assert not node.ns.tcp6.connections
        return took / 1e9


@pytest.mark.parametrize("family", [c.AF_INET, c.AF_INET6])
@pytest.mark.parametrize("kind", BAD)
def test_every_byte_arrives(kind, family):
    """RFC 9293 2.2: "damaged, lost, duplicated, or delivered out of order" data are recovered from."""
    for seed in range(2):
        talk(seed, family, delay=0.01, **BAD[kind])


@pytest.mark.parametrize(
    "name", ["tcp_sack", "tcp_timestamps", "tcp_window_scaling", "tcp_dsack", "tcp_moderate_rcvbuf"]
)
def test_without_an_option(name):
    """RFC 9293 3.2: nothing but the MSS is needed; whatever is switched off, all arrives."""
    talk(3, c.AF_INET, settings=[(name, 0)], delay=0.01, **BAD["all"])


@pytest.mark.parametrize("rcvbuf", [1, 3000, 20_000])
def test_a_slow_reader_with_little_room(rcvbuf):
    """RFC 9293 3.8.6: windows that close and open again, and probes that get lost."""
    talk(4, c.AF_INET, patience=0.5, rcvbuf=rcvbuf, delay=0.005, **BAD["all"])


def test_congestion_marks():
    """RFC 3168 over a bad wire."""
    talk(5, c.AF_INET, settings=[("tcp_ecn", 1)], delay=0.01, **BAD["all"])
