"""How a segment dies of each of TCP's reasons, for the table in `test_drop_reasons`.

a 10.0.1.2:40000 ── 10.0.1.1:80 r
"""

from __future__ import annotations

from collections.abc import Callable

from tests.path.bed import Bed
from vrouter.stack.base.drop import DropReason
from vrouter.stack.l4 import constants as c
from vrouter.stack.l4.tcp.socket import TcpSocket
from vrouter.stack.wire import tcp
from vrouter.stack.wire.tcp import ACK, PSH, RST, SYN
from vrouter.testing import frames

LOCAL, PEER = 0x0A000101, 0x0A000102
SEQ = 5000  # of the peer's SYN


class Peer:
    """A station that speaks TCP by hand; ``first`` is the number of our SYN once it came."""

    def __init__(self, bed: Bed, rcvbuf: int = 0, backlog: int = 5) -> None:
        self.bed = bed
        self.first = 0
        self.window = 0
        self.listener: TcpSocket = bed.r.socket(c.AF_INET, c.SOCK_STREAM)
        if rcvbuf:
            self.listener.setsockopt(c.SOL_SOCKET, c.SO_RCVBUF, rcvbuf, now=bed.now)
        self.listener.bind(("10.0.1.1", 80), now=bed.now)
        self.listener.listen(backlog, now=bed.now)

    def send(self, flags: int, seq: int, ack: int = 0, data: bytes = b"", options: bytes = b"", **how: int) -> None:
        """A segment; `how` may have ``sport`` and ``wrong`` (what is added to the checksum)."""
        buf = bytearray(60)
        size = tcp.emit_header(buf, 0, how.get("sport", 40000), 80, seq, ack, flags, 1000, options)
        buf[size:] = data
        tcp.finish(buf, 0, len(buf), PEER, LOCAL, 32)
        buf[16] ^= how.get("wrong", 0)
        self.bed.a.send(frames.ipv4("10.0.1.2", "10.0.1.1", tcp.PROTO, bytes(buf)))

    def open(self, options: bytes = b"", sport: int = 40000) -> Peer:
        """SYN, SYN-ACK, ACK: the next number of the peer is SEQ + 1."""
        self.send(SYN, SEQ, options=options, sport=sport)
        _, _, self.first, _, _, self.window, _, _ = tcp.FIELDS.unpack_from(self.bed.a.received[-1], 34)
        stamp = options[:12] if options else b""
        self.send(ACK, SEQ + 1, self.first + 1, options=stamp, sport=sport)
        return self

    def data(self, offset: int, size: int, ack: int = 1, options: bytes = b"") -> None:
        """Data that begin `offset` bytes behind the first, with an ACK of `ack` numbers of ours."""
        self.send(ACK | PSH, SEQ + 1 + offset, self.first + ack, bytes(size), options)


def stamped(value: int) -> bytes:
    """A timestamp option."""
    return tcp.options((value, 0))


def wrong_checksum(bed: Bed) -> None:
    """A bit is wrong."""
    Peer(bed).send(SYN, SEQ, wrong=1)


def no_flags(bed: Bed) -> None:
    """Neither SYN nor ACK nor RST."""
    Peer(bed).open().send(PSH, SEQ + 1)


def syn_in_a_connection(bed: Bed) -> None:
    """RFC 5961 4."""
    Peer(bed).open().send(SYN, SEQ)


def far_beyond_the_window(bed: Bed) -> None:
    """Data that cannot be this connection's."""
    Peer(bed).open().data(200_000, 10)


def guessed_reset(bed: Bed) -> None:
    """RFC 5961 3."""
    Peer(bed).open().send(RST, SEQ + 100)


def twice(bed: Bed) -> None:
    """The same data once more."""
    peer = Peer(bed).open()
    peer.data(0, 100)
    peer.data(0, 100)


def right_behind_the_window(bed: Bed) -> None:
    """The first byte that was not offered."""
    peer = Peer(bed).open()
    peer.data(peer.window, 1)


def full(bed: Bed) -> None:
    """A byte more than a program that does not read has room for."""
    peer = Peer(bed, rcvbuf=5000).open()
    for offset in range(0, 4380, 1460):
        peer.data(offset, 1460)
    peer.data(4380, 1)


def old_acknowledgment(bed: Bed) -> None:
    """Of numbers from before the connection."""
    Peer(bed).open().data(0, 10, ack=-5)


def acknowledgment_of_nothing(bed: Bed) -> None:
    """Of what was never sent."""
    Peer(bed).open().data(0, 10, ack=1000)


def old_timestamp(bed: Bed) -> None:
    """RFC 7323 5."""
    peer = Peer(bed).open(stamped(1000))
    peer.data(0, 10, options=stamped(500))


def many_gaps(bed: Bed) -> None:
    """Each byte beyond a gap of its own: what is kept of them costs more than the buffer."""
    peer = Peer(bed, rcvbuf=1152).open()
    for offset in range(1, 11, 2):
        peer.data(offset, 1)


def one_too_many(bed: Bed) -> None:
    """A program that does not accept."""
    peer = Peer(bed, backlog=0).open(sport=40000)
    peer.send(SYN, SEQ, sport=40001)


def nobody_reads_it(bed: Bed) -> None:
    """Data for a program that has closed its socket."""
    peer = Peer(bed).open()
    peer.listener.accept(now=bed.now)[0].close(now=bed.now)
    peer.data(0, 10)


SCENARIOS: dict[DropReason, Callable[[Bed], object]] = {
    DropReason.TCP_CSUM: wrong_checksum,
    DropReason.TCP_FLAGS: no_flags,
    DropReason.TCP_INVALID_SYN: syn_in_a_connection,
    DropReason.TCP_INVALID_SEQUENCE: far_beyond_the_window,
    DropReason.TCP_RESET: guessed_reset,
    DropReason.TCP_OLD_DATA: twice,
    DropReason.TCP_OVERWINDOW: right_behind_the_window,
    DropReason.TCP_ZEROWINDOW: full,
    DropReason.TCP_OLD_ACK: old_acknowledgment,
    DropReason.TCP_ACK_UNSENT_DATA: acknowledgment_of_nothing,
    DropReason.TCP_RFC7323_PAWS: old_timestamp,
    DropReason.TCP_OFO_QUEUE_PRUNE: many_gaps,
    DropReason.TCP_LISTEN_OVERFLOW: one_too_many,
    DropReason.TCP_CLOSE: nobody_reads_it,
}
