"""Ethernet: which frames are for this device, and the header in front of what leaves.

Input *expects* a frame between ``start`` and ``end`` (the virtio-net header is off, the namespace is known, the link
flags are clear), *sets* ``l2``, ``l3``, ``start`` (moved to layer 3), ``ethertype``, ``vlan`` (the tag's TCI when there
was a priority tag) and the link flags; *next* is the handler of ``ethertype``. Behind a good frame ``l3 - l2`` is
always 14: a tag that is stripped is closed up. ``end`` stays, so padding is still there: layer 3 trims by its own
length.

The first check that fails names the reason:

====================  ================================================================================================
PKT_TOO_SMALL         no room for the header (or for the tag that it announces)
FRAME_TOO_LONG        over the device's largest frame: its largest MTU, a header and a tag; of a superframe a segment is
ETH_SRC_INVALID       the source is a group (IEEE 802.3 3.2.3)
OTHERHOST             for another station, or for a group that nobody here joined; a bridge device has more than one MAC
NS_UNMAPPED           tagged for a VLAN: tags that belong to somebody were taken off before this (`vlan`)
UNHANDLED_PROTO       a length instead of an EtherType
====================  ================================================================================================

A tag with VLAN id 0 carries a priority alone, and its frame belongs to the untagged network (IEEE 802.1Q 6.9).
RFC 1812 3.3.4 asks to receive what the link can carry although it is longer than the own MTU; what the device delivers
is bounded by that link's MTU, so ``max_frame`` is that bound here. RFC 1122 2.4: the layer above is told whether the
frame was a broadcast or multicast (flags), and how long it was.

Deviation: RFC 1122 2.3.3 says that a host should also receive RFC 1042 (802.3 with SNAP); this one does not, as Linux
does not either, and such frames are UNHANDLED_PROTO. Trailers (RFC 893) are never used.

Read first: RFC 894, RFC 1122 2.3.3 and 2.4, RFC 1812 3.3, IEEE 802.1Q.
"""

from __future__ import annotations

from struct import Struct
from typing import TYPE_CHECKING

from vrouter.stack.base.drop import DropReason
from vrouter.stack.base.packet import LINK_BROADCAST, LINK_MULTICAST
from vrouter.stack.l2.vlan import pop_tag
from vrouter.stack.wire.ethernet import (
    BROADCAST,
    ETHERTYPE_MIN,
    ETHERTYPE_QINQ,
    ETHERTYPE_VLAN,
    HEADER_LEN,
    VID_MASK,
    VLAN_LEN,
)

if TYPE_CHECKING:
    from vrouter.stack.base.packet import Packet
    from vrouter.stack.device import Device

_unpack = Struct("!6sB5xH").unpack_from  # destination, first octet of the source, EtherType
_unpack_tag = Struct("!HH").unpack_from  # TCI, EtherType behind it
_push = Struct("!12sH").pack_into

_PKT_TOO_SMALL = DropReason.PKT_TOO_SMALL
_FRAME_TOO_LONG = DropReason.FRAME_TOO_LONG
_ETH_SRC_INVALID = DropReason.ETH_SRC_INVALID
_OTHERHOST = DropReason.OTHERHOST
_UNHANDLED_PROTO = DropReason.UNHANDLED_PROTO


def ethernet_input(dev: Device, pkt: Packet) -> int:
    """Take the Ethernet header off a frame that came in by `dev`; 0, or why the frame dies here."""
    start = pkt.start
    size = pkt.end - start
    if size < HEADER_LEN:
        return _PKT_TOO_SMALL
    if size > dev.max_frame and pkt.longest() > dev.max_frame:
        return _FRAME_TOO_LONG
    dst, first, ethertype = _unpack(pkt.buf, start)
    if first & 1:
        return _ETH_SRC_INVALID
    if dst != dev.mac:
        if dst == BROADCAST:
            pkt.flags |= LINK_BROADCAST
        elif dst in dev.groups or (dev.allmulti and dst[0] & 1):
            pkt.flags |= LINK_MULTICAST
        elif dev.bridge is None or dst not in dev.bridge.own_macs:
            return _OTHERHOST
    if ethertype == ETHERTYPE_VLAN or ethertype == ETHERTYPE_QINQ:
        return _strip_tag(pkt, ethertype)
    if ethertype < ETHERTYPE_MIN:
        return _UNHANDLED_PROTO
    pkt.l2 = start
    pkt.l3 = pkt.start = start + HEADER_LEN
    pkt.ethertype = ethertype
    return 0


def link_check(dev: Device, pkt: Packet) -> int:
    """What `ethernet_input` asks of any frame, whoever it is for: lengths and source. 0, or why it dies here."""
    start = pkt.start
    size = pkt.end - start
    if size < HEADER_LEN:
        return _PKT_TOO_SMALL
    if size > dev.max_frame and pkt.longest() > dev.max_frame:
        return _FRAME_TOO_LONG
    return _ETH_SRC_INVALID if pkt.buf[start + 6] & 1 else 0


def _strip_tag(pkt: Packet, ethertype: int) -> int:
    """The rest of input for a frame with a tag: only a priority tag goes on."""
    buf, start = pkt.buf, pkt.start
    if pkt.end - start < HEADER_LEN + VLAN_LEN:
        return _PKT_TOO_SMALL
    tci, inner = _unpack_tag(buf, start + HEADER_LEN)
    # A second tag behind the first is as foreign as a VLAN: nobody took it off.
    if ethertype != ETHERTYPE_VLAN or tci & VID_MASK or inner == ETHERTYPE_VLAN or inner == ETHERTYPE_QINQ:
        return DropReason.NS_UNMAPPED
    pop_tag(pkt)
    if inner < ETHERTYPE_MIN:
        return _UNHANDLED_PROTO
    pkt.l2 = pkt.start
    pkt.l3 = pkt.start = pkt.start + HEADER_LEN
    pkt.ethertype = inner
    pkt.vlan = tci
    return 0


def ethernet_output(pkt: Packet, header: bytes, ethertype: int) -> None:
    """Push the Ethernet header in front of ``start``: `header` is destination and source, 12 bytes."""
    start = pkt.start - HEADER_LEN
    if start < 0:
        pkt.make_headroom(HEADER_LEN)
        start = pkt.start - HEADER_LEN
    _push(pkt.buf, start, header, ethertype)
    pkt.start = pkt.l2 = start
    pkt.ethertype = ethertype
