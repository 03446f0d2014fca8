"""Egress: the frame leaves its namespace, by a wire, a pair, or around through ``lo``.

Expects: a complete frame (on ``lo``: an IP packet) between ``start`` and ``end``, and a device that is ready. Counts it
as transmitted. A wire's frame is finished here and handed out by `Stack.take_egress`; a veth's packet becomes work for
its peer's input, and ``lo``'s for its own, with everything forgotten that belonged to the sender's side. A frame of a
vlan device gets its tag and leaves by the device below; one of a bridge device becomes work for its bridge.

Superframes and half-finished checksums leave whole where the wire takes them (``Device.offload``, of UDP ``uso``), with
what the virtio-net header is to say, and by everything that is no wire. Elsewhere they are finished and cut here.
A device counts what a wire carries, the segments and their bytes; what a namespace holds is one packet. The accounts
(`base.counters`) have the difference as absorbed where it comes in, as fragments where it leaves or dies.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from vrouter.stack.base.addresses import V4
from vrouter.stack.base.counters import Stat
from vrouter.stack.base.drop import DropReason
from vrouter.stack.base.packet import CSUM_OK, LOCAL_OUT, TCP_CSUM_OFFSET, UDP_CSUM_OFFSET
from vrouter.stack.capture import RX, TX
from vrouter.stack.crossing import MAX_CROSSINGS
from vrouter.stack.device import STACKED_KINDS
from vrouter.stack.l2.vlan import push_tag
from vrouter.stack.segmentation import cut, finish_checksum
from vrouter.stack.wire.vnet import F_NEEDS_CSUM, emit_header
from vrouter.stack.wire.vnet import LEN as VNET_LEN
from vrouter.stack.wire.vnet import ZERO as VNET_ZERO

if TYPE_CHECKING:
    from collections import deque

    from vrouter.stack.base.packet import Packet
    from vrouter.stack.device import Device

_CROSSING_DENIED: Final = int(DropReason.CROSSING_DENIED)
_CROSSING_LOOP: Final = int(DropReason.CROSSING_LOOP)
_DEV_READY: Final = int(DropReason.TX_DEV_READY)
_FRAGMENTS: Final = int(Stat.AcctFragments)
_ABSORBED: Final = int(Stat.AcctAbsorbed)
_LARGE: Final = 2048  # bytes from which on it is cheaper to cut a buffer than to copy what is wanted of it
_LO_HEADER: Final = bytes(12) + b"\x08\x00"
_LO_HEADER6: Final = bytes(12) + b"\x86\xdd"

# The headers of nearly all packets, by where the sum begins and where it belongs: to write one costs more than to copy.
_HALF_FINISHED: Final = {
    where << 8 | offset: bytes((F_NEEDS_CSUM, 0, 0, 0, 0, 0, where, 0, offset, 0, 0, 0))
    for where in (34, 54)
    for offset in (UDP_CSUM_OFFSET, TCP_CSUM_OFFSET)
}

# Kinds of work that a packet can become: (kind, device or namespace, packet).
WORK_FRAME: Final = 0  # a frame comes in by a device
WORK_LOOP: Final = 1  # an IP packet comes in by lo
WORK_CROSS: Final = 2  # an IP packet stands at the routing decision of another namespace
WORK_LOCAL: Final = 3  # the local copy of a group packet that was sent here
WORK_BRIDGE: Final = 4  # a frame that a bridge device sends stands at its bridge

Work = tuple[int, object, "Packet"]


def transmit(dev: Device, pkt: Packet, now: int, egress: list[tuple[Device, bytearray]], work: deque[Work]) -> int:
    """Send the frame by `dev`; 0, or the drop reason."""
    start, end = pkt.start, pkt.end
    peer = dev.peer
    if peer is not None:
        if not peer.ready:
            return _DEV_READY
        if peer.ns is not dev.ns:
            if pkt.crossings >= MAX_CROSSINGS:
                return _CROSSING_LOOP
            pkt.crossings += 1
        dev.tx_packets += 1
        dev.tx_bytes += end - start
        if pkt.gso_size:
            count_segments_out(dev, pkt)
        if dev.captures:
            watch(dev, TX, pkt, now)
        pkt.flags &= CSUM_OK
        pkt.mark = 0
        pkt.ct = pkt.sock = pkt.oif = None
        pkt.vlan = -1
        pkt.origin = ()
        work.append((WORK_FRAME, peer, pkt))
        return 0
    if dev.virtual:
        return _transmit_virtual(dev, pkt, now, egress, work)
    if pkt.csum_start >= 0:
        if pkt.gso_size:
            if not dev.offload or (pkt.csum_offset == UDP_CSUM_OFFSET and not dev.uso):
                _transmit_segments(dev, pkt, now, egress)
                return 0
            count_segments_out(dev, pkt)
        elif not dev.offload:
            finish_checksum(pkt)
    dev.tx_packets += 1
    dev.tx_bytes += end - start
    if dev.captures:
        watch(dev, TX, pkt, now)
    buf = pkt.buf
    if dev.vnet_hdr:
        start -= VNET_LEN
        if start < 0:
            pkt.make_headroom(VNET_LEN)
            buf, end = pkt.buf, pkt.end
            start = pkt.start - VNET_LEN
        if pkt.csum_start < 0:
            buf[start : start + VNET_LEN] = VNET_ZERO
        else:
            size = pkt.gso_size
            where = pkt.csum_start - pkt.start
            known = None if size else _HALF_FINISHED.get(where << 8 | pkt.csum_offset)
            if known is not None:
                buf[start : start + VNET_LEN] = known
            else:
                hdr_len = pkt.payload_at() - pkt.start if size else 0
                emit_header(buf, start, F_NEEDS_CSUM, pkt.gso_type, hdr_len, size, where, pkt.csum_offset, 0)
    if end - start < _LARGE:
        egress.append((dev, buf[start:end]))
    else:
        egress.append((dev, _taken_out(buf, start, end)))
    return 0


def _taken_out(buf: bytearray, start: int, end: int) -> bytearray:
    """The bytes from `start` to `end` without the others, in the same buffer unless somebody looks into it."""
    try:
        del buf[end:], buf[:start]
    except BufferError:
        return buf[start:end]
    return buf


def _transmit_segments(dev: Device, pkt: Packet, now: int, egress: list[tuple[Device, bytearray]]) -> None:
    """Send a superframe by a wire that cannot take it."""
    head = VNET_ZERO if dev.vnet_hdr else b""
    frames = cut(pkt, head)
    skip = len(head)
    dev.tx_packets += len(frames)
    dev.ns.stats[_FRAGMENTS] += len(frames) - 1
    for frame in frames:
        dev.tx_bytes += len(frame) - skip
        if dev.captures:
            show(dev, TX, bytes(frame[skip:]), now)
        egress.append((dev, frame))


def count_segments_in(dev: Device, pkt: Packet) -> None:
    """A superframe was received and counted as one: it is as many as it stands for."""
    headers = pkt.payload_at() - pkt.start
    more = (pkt.end - pkt.start - headers - 1) // pkt.gso_size
    dev.rx_packets += more
    dev.rx_bytes += more * headers
    if dev.kind not in STACKED_KINDS:
        dev.ns.stats[_ABSORBED] += more


def count_segments_out(dev: Device, pkt: Packet) -> None:
    """A superframe was transmitted whole and counted as one: it is as many as it stands for."""
    headers = pkt.payload_at() - pkt.start
    more = (pkt.end - pkt.start - headers - 1) // pkt.gso_size
    dev.tx_packets += more
    dev.tx_bytes += more * headers
    if dev.kind not in STACKED_KINDS:
        dev.ns.stats[_FRAGMENTS] += more


def _transmit_virtual(
    dev: Device, pkt: Packet, now: int, egress: list[tuple[Device, bytearray]], work: deque[Work]
) -> int:
    """`transmit` by ``lo``, a bridge device, or a vlan device."""
    count, size = 1, pkt.end - pkt.start
    if pkt.gso_size:
        count, size = pkt.segments(), pkt.wire_bytes()
    parent = dev.parent
    if parent is not None:
        if not parent.ready:
            return _DEV_READY
        if dev.ingress is not None:  # its tag is another namespace's
            if not dev.ingress.accepted:
                dev.ingress.denied += 1
                return _CROSSING_DENIED
            if pkt.crossings >= MAX_CROSSINGS:
                return _CROSSING_LOOP
            pkt.crossings += 1
            pkt.mark = 0
            pkt.ct = pkt.sock = None
            pkt.origin = ()
        if dev.captures:
            watch(dev, TX, pkt, now)
        push_tag(pkt, dev.vlan_protocol, dev.vid)
        reason = transmit(parent, pkt, now, egress, work)
        if not reason:
            dev.tx_packets += count
            dev.tx_bytes += size
        return reason
    if dev.bridge is None and dev.kind != "lo":
        return _DEV_READY  # it has just lost the device below
    dev.tx_packets += count
    dev.tx_bytes += size
    if dev.captures:
        watch(dev, TX, pkt, now)
    if dev.bridge is not None:
        work.append((WORK_BRIDGE, dev, pkt))
        return 0
    dev.ns.stats[_FRAGMENTS] += count - 1
    pkt.flags = pkt.flags & CSUM_OK | (CSUM_OK if pkt.flags & LOCAL_OUT else 0)
    pkt.ct = pkt.oif = None
    work.append((WORK_LOOP, dev, pkt))
    return 0


def watch(dev: Device, direction: int, pkt: Packet, now: int) -> None:
    """Show the frame to the captures of `dev`; a packet on ``lo`` gets the empty header that Linux shows there."""
    frame = pkt.data()
    if dev.kind == "lo":
        frame = (_LO_HEADER if pkt.family == V4 else _LO_HEADER6) + frame
    show(dev, direction, frame, now)


def show(dev: Device, direction: int, frame: bytes, now: int) -> None:
    """Show the bytes of a frame to the captures of `dev`."""
    for capture in dev.captures:
        capture.record(dev, direction, frame, now)


def watch_ingress(dev: Device, pkt: Packet, now: int) -> None:
    """`watch` for a frame that comes in."""
    watch(dev, RX, pkt, now)
