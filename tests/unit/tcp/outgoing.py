"""A connection between two hosts of a lab, and what it puts into the outbox when its functions are called by hand."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from vrouter.stack.l4 import constants as c
from vrouter.stack.l4.tcp.seq import MASK
from vrouter.stack.l4.tcp.tcb import Tcb
from vrouter.stack.wire import tcp as wire
from vrouter.testing import Lab


@dataclass
class Sent:
    """One entry of the outbox, numbers as they are on the wire."""

    pkt: Any
    ttl: int
    tos: int
    dont_fragment: bool
    label: int
    seg: wire.Segment

    @property
    def data(self) -> bytes:
        return bytes(self.pkt.buf[self.seg.data : self.seg.end])


def connected(lab: Lab, family: int = c.AF_INET, server: bool = False) -> Tcb:
    """A connection that is established; the client's end, or the server's."""
    a, b = lab.line("a", "b")
    host = b.addr if family == c.AF_INET else b.addr6
    listener = b.ns.socket(family, c.SOCK_STREAM)
    listener.bind((host, 80), now=lab.now)
    listener.listen(5, now=lab.now)
    client = a.ns.socket(family, c.SOCK_STREAM)
    client.connect_ex((host, 80), now=lab.now)
    lab.run_for(1)
    accepted, _ = listener.accept(now=lab.now)
    tcb = accepted.tcb if server else client.tcb
    tcb.sock.sndbuf = 1 << 22
    return tcb


def take(tcb: Tcb) -> list[Sent]:
    """What was put into the outbox since the last time; it is not sent."""
    taken = []
    for pkt, _, ttl, tos, dont_fragment, label in tcb.tcp.outbox:
        pkt.l4 = pkt.start
        seg = wire.parse(pkt)
        assert isinstance(seg, wire.Segment)
        taken.append(Sent(pkt, ttl, tos, dont_fragment, label, seg))
    tcb.tcp.outbox.clear()
    return taken


def numbers(tcb: Tcb, sent: list[Sent]) -> list[tuple[int, int]]:
    """First number and length of each, counted from the first byte of the stream."""
    return [((one.seg.seq - tcb.iss - 1) & MASK, len(one.data)) for one in sent]
