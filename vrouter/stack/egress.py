"""Egress: the frame leaves its namespace, by a wire, a pair, or around through ``lo``.

Expects: a complete frame (on ``lo``: an IP packet) between ``start`` and ``end``, and a device that is ready. Counts it
as transmitted. A wire's frame is finished here and handed out by `Stack.take_egress`; a veth's packet becomes work for
its peer's input, and ``lo``'s for its own, with everything forgotten that belonged to the sender's side. A frame of a
vlan device gets its tag and leaves by the device below; one of a bridge device becomes work for its bridge.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from vrouter.stack.base.drop import DropReason
from vrouter.stack.base.packet import CSUM_OK, LOCAL_OUT
from vrouter.stack.capture import RX, TX
from vrouter.stack.crossing import MAX_CROSSINGS
from vrouter.stack.l2.vlan import push_tag
from vrouter.stack.segmentation import finish_checksum
from vrouter.stack.wire.vnet import F_NEEDS_CSUM, emit_header
from vrouter.stack.wire.vnet import LEN as VNET_LEN
from vrouter.stack.wire.vnet import ZERO as VNET_ZERO

if TYPE_CHECKING:
    from collections import deque

    from vrouter.stack.base.packet import Packet
    from vrouter.stack.device import Device

_CROSSING_DENIED: Final = int(DropReason.CROSSING_DENIED)
_CROSSING_LOOP: Final = int(DropReason.CROSSING_LOOP)
_TOO_BIG: Final = int(DropReason.PKT_TOO_BIG)
_DEV_READY: Final = int(DropReason.TX_DEV_READY)
_LO_HEADER: Final = bytes(12) + b"\x08\x00"

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
        if dev.captures:
            watch(dev, TX, pkt, now)
        pkt.flags = 0
        pkt.mark = 0
        pkt.ct = pkt.sock = pkt.oif = None
        pkt.vlan = -1
        pkt.origin = ()
        work.append((WORK_FRAME, peer, pkt))
        return 0
    if dev.virtual:
        return _transmit_virtual(dev, pkt, now, egress, work)
    if pkt.csum_start >= 0 and not dev.offload:
        if pkt.gso_size:
            return _TOO_BIG
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
            hdr_len = pkt.payload_at() - pkt.start if pkt.gso_size else 0
            emit_header(
                buf,
                start,
                F_NEEDS_CSUM,
                pkt.gso_type,
                hdr_len,
                pkt.gso_size,
                pkt.csum_start - pkt.start,
                pkt.csum_offset,
                0,
            )
    egress.append((dev, buf[start:end]))
    return 0


def _transmit_virtual(
    dev: Device, pkt: Packet, now: int, egress: list[tuple[Device, bytearray]], work: deque[Work]
) -> int:
    """`transmit` by ``lo``, a bridge device, or a vlan device."""
    size = pkt.end - pkt.start
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
            dev.tx_packets += 1
            dev.tx_bytes += size
        return reason
    if dev.bridge is None and dev.kind != "lo":
        return _DEV_READY  # it has just lost the device below
    dev.tx_packets += 1
    dev.tx_bytes += size
    if dev.captures:
        watch(dev, TX, pkt, now)
    if dev.bridge is not None:
        work.append((WORK_BRIDGE, dev, pkt))
        return 0
    pkt.flags = pkt.flags & CSUM_OK | (CSUM_OK if pkt.flags & LOCAL_OUT else 0)
    pkt.ct = pkt.oif = None
    work.append((WORK_LOOP, dev, pkt))
    return 0


def watch(dev: Device, direction: int, pkt: Packet, now: int) -> None:
    """Show the frame to the captures of `dev`; a packet on ``lo`` gets the empty header that Linux shows there."""
    frame = pkt.data()
    if dev.kind == "lo":
        frame = _LO_HEADER + frame
    for capture in dev.captures:
        capture.record(dev, direction, frame, now)


def watch_ingress(dev: Device, pkt: Packet, now: int) -> None:
    """`watch` for a frame that comes in."""
    watch(dev, RX, pkt, now)
