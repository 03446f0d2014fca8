"""Superframes at their ends: what TCP takes as one and sends as one."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.path.superframe_line import A4, A6, PLAIN, SIZE, Line
from tests.superframes import (
    ACK,
    PSH,
    Packet,
    pattern,
    read,
    tcp,
)
from vrouter.stack.l4 import constants as c


@pytest.fixture
def line() -> Iterator[Line]:
    one = Line()
    yield one
    one.bed.close()


class Peer:
    """A station's end of a connection to port 2000 of the router, byte by byte."""

    def __init__(self, line: Line, family: int) -> None:
        self.line = line
        self.listener = line.r.socket(c.AF_INET if family == 4 else c.AF_INET6, c.SOCK_STREAM)
        self.listener.bind(("", 2000), now=line.bed.now)
        self.listener.listen(1, now=line.bed.now)
        mine, theirs = (A4, "10.0.1.1") if family == 4 else (A6, "fd00:1::1")
        mss = bytes.fromhex("020403e8")  # 1000
        self.packet = tcp(mine, theirs, b"", seq=99, ack=0, flags=2, options=mss, window=65535)
        line.send(self.packet, 0)
        (answer,) = self.took(half=None)
        self.packet = self.packet.later(seq=100, ack=answer.seq + 1, flags=ACK, options=b"")
        line.send(self.packet, 0)
        self.sock, _ = self.listener.accept(now=line.bed.now)

    def took(self, half: bool | None = False) -> list[Packet]:
        """What came to the station; None: whichever its header says."""
        found = []
        for frame in self.line.a.received:
            open_ = frame[0] == 1 if half is None else half
            packet = read(bytes(frame[12:]), half=open_)
            assert packet.checksums
            found.append(packet)
        self.line.a.clear()
        return found

    def close(self) -> None:
        for sock in (self.sock, self.listener):
            sock.close(now=self.line.bed.now)


@pytest.mark.parametrize("family", [4, 6])
def test_tcp_takes_a_superframe_as_one(line: Line, family: int) -> None:
    """RFC 9293 3.10.7.4: one segment of as many bytes; one acknowledgment for all of them."""
    peer = Peer(line, family)
    data = pattern(10 * SIZE)
    line.send(peer.packet.later(payload=data, flags=ACK | PSH))
    assert peer.sock.recv(1 << 20, now=line.bed.now) == data
    line.bed.run_for(1)
    assert {one.ack for one in peer.took(half=None)} == {100 + len(data)}
    peer.close()


@pytest.mark.parametrize("offload", [True, False])
@pytest.mark.parametrize("family", [4, 6])
def test_tcp_sends_superframes(line: Line, family: int, offload: bool) -> None:
    """What one call wrote leaves in one frame where the wire takes it, else in segments of the peer's MSS."""
    peer = Peer(line, family)
    line.a.dev.offload = offload
    data = pattern(9 * SIZE)
    peer.sock.send(data, now=line.bed.now)
    frames_ = list(line.a.received)
    found = peer.took(half=None)
    assert b"".join(one.payload for one in found) == data
    sizes = [len(one.payload) for one in found]
    if offload:
        assert sizes == [9 * SIZE]
        assert frames_[0][:12] == found[0].vnet(SIZE)
    else:
        assert sizes == [SIZE] * 9
        assert {frame[:12] for frame in frames_} == {PLAIN}
    peer.close()
