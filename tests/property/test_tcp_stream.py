"""Two stacks and a bad wire: whatever is written is read, byte for byte, in order, to its end."""

from __future__ import annotations

import errno
from contextlib import suppress

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from vrouter.stack.l4 import constants as c
from vrouter.testing import Lab
from vrouter.testing.tcp_flow import Pattern

WRITES = st.lists(st.tuples(st.integers(1, 8000), st.integers(0, 300)), min_size=1, max_size=4)  # bytes, ms before
FRACTION = st.sampled_from((0.0, 0.0, 0.02, 0.1))
END = 900.0  # seconds of virtual time, enough for a row of time-outs


class End:
    """A program that writes and reads at its own pace; both ends are compared with the pattern's bytes."""

    def __init__(self, lab: Lab, sock, writes, piece: int, seed: int) -> None:
        self.lab, self.sock, self.piece = lab, sock, piece
        self.writes = list(writes)
        self.out = Pattern(seed)
        self.given = 0
        self.wanted = 0
        self.due = lab.now
        self.taken = bytearray()
        self.ended = self.shut = False

    def step(self) -> bool:
        """Do what can be done now; whether anything was."""
        moved = False
        while self.writes and self.lab.now >= self.due:
            size, pause = self.writes.pop(0)
            self.wanted += size
            self.due = self.lab.now + pause * 1_000_000
        now = self.lab.now
        with suppress(BlockingIOError):
            while self.given < self.wanted:
                self.given += self.sock.send(self.out.piece(self.given, self.wanted - self.given), now=now)
                moved = True
        if not self.writes and self.given == self.wanted and not self.shut:
            self.sock.shutdown(c.SHUT_WR, now=now)
            self.shut = moved = True
        with suppress(BlockingIOError):
            while not self.ended:
                data = self.sock.recv(self.piece, now=now)
                self.taken += data
                self.ended = not data
                moved = True
        return moved


@settings(max_examples=8, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    WRITES,
    WRITES,
    st.integers(100, 30_000),
    st.tuples(FRACTION, FRACTION, FRACTION, FRACTION),
    st.integers(0, 1 << 16),
    st.sampled_from((2304, 20_000, 131_072)),
    st.sampled_from(("cubic", "reno", "bbr")),
    st.tuples(st.booleans(), st.booleans(), st.integers(0, 2)),
    st.sampled_from((1280, 1500)),
)
def test_a_stream_is_what_was_written(writes, back, piece, faults, seed, rcvbuf, congestion, extras, mtu) -> None:
    """RFC 9293 3.1: a reliable, in-order byte stream both ways, over loss, duplication, overtaking and corruption; with
    and without SACK and timestamps, whatever the buffers."""
    loss, duplicate, reorder, corrupt = faults
    sack, timestamps, probing = extras
    with Lab(seed) as lab:
        a, b = lab.host("a"), lab.host("b")
        wire = lab.wire(a, b, mtu=mtu, delay=0.01)
        for node in (a, b):
            node.ns.sysctl["net.ipv4.tcp_sack"] = int(sack)
            node.ns.sysctl["net.ipv4.tcp_timestamps"] = int(timestamps)
            node.ns.sysctl["net.ipv4.tcp_mtu_probing"] = probing
            node.ns.sysctl["net.ipv4.tcp_congestion_control"] = congestion
        listener = b.ns.socket(c.AF_INET, c.SOCK_STREAM)
        listener.setsockopt(c.SOL_SOCKET, c.SO_RCVBUF, rcvbuf, now=lab.now)
        listener.bind(("", 80), now=lab.now)
        listener.listen(1, now=lab.now)
        client = a.ns.socket(c.AF_INET, c.SOCK_STREAM)
        assert client.connect_ex((b.addr, 80), now=lab.now) == errno.EINPROGRESS
        lab.runs_until(lambda: bool(listener.readable), 5)
        server, _ = listener.accept(now=lab.now)
        wire.set(loss=loss, duplicate=duplicate, reorder=reorder, corrupt=corrupt)
        one, two = End(lab, client, writes, piece, seed), End(lab, server, back, piece, seed + 1)

        def over() -> bool:
            while one.step() | two.step():
                lab.collect()
            return one.ended and two.ended

        until = lab.now + int(END * 1e9)
        while not over() and lab.now < until:
            lab.runs_until(over, 0.5)
        for source, sink in ((one, two), (two, one)):
            assert sink.ended
            assert source.given == source.wanted == len(sink.taken)
            assert source.out.agrees(0, bytes(sink.taken))
