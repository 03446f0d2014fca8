"""VLAN tags: taken off for the vlan device above, put on for the device below (IEEE 802.1Q, 802.1ad).

`vlan_input` *expects* a frame between ``start`` and ``end`` that `ethernet.link_check` has passed; when the outer tag
belongs to a vlan device it takes it off, *sets* ``vlan`` to its TCI, and names the device, for whom the frame is one
that came in by itself. A tag that belongs to nobody stays on: the frame is the device's own, where `ethernet_input`
judges it, or its bridge's.

Tags stack to any depth that devices do; what a device's frame may measure grows with the tags of the
devices above it (`Device.max_frame`), the MTU of a vlan device is at most its parent's.

Read first: IEEE 802.1Q 9.6 (the tag), 6.9 (VLAN id 0 is a priority alone), 802.1ad (0x88a8 outside).
"""

from __future__ import annotations

from struct import Struct
from typing import TYPE_CHECKING, Final

from vrouter.stack.wire.ethernet import ETHERTYPE_QINQ, ETHERTYPE_VLAN, HEADER_LEN, VID_MASK, VLAN_LEN

if TYPE_CHECKING:
    from vrouter.stack.base.packet import Packet
    from vrouter.stack.device import Device

MAX_VID: Final = 4094
PROTOCOLS: Final = {"802.1Q": ETHERTYPE_VLAN, "802.1ad": ETHERTYPE_QINQ}
PROTOCOL_NAMES: Final = {ETHERTYPE_VLAN: "802.1Q", ETHERTYPE_QINQ: "802.1ad"}
TYPE_AT: Final = 12

_unpack_tag = Struct("!HH").unpack_from  # TPID, TCI
_pack_tag = Struct("!HH").pack_into


def vlan_input(dev: Device, pkt: Packet) -> Device | None:
    """The vlan device over `dev` to which the outer tag belongs, the tag taken off; None: the frame is as it was."""
    vlans = dev.vlans
    start = pkt.start
    if vlans is None or pkt.end - start < HEADER_LEN + VLAN_LEN:
        return None
    tpid, tci = _unpack_tag(pkt.buf, start + TYPE_AT)
    upper = vlans.get((tpid, tci & VID_MASK))
    if upper is None:
        return None
    pop_tag(pkt)
    pkt.vlan = tci
    return upper


def tag(pkt: Packet, tpid: int) -> int:
    """The TCI of the outer tag when it is one of `tpid`, else -1."""
    start = pkt.start
    if pkt.end - start < HEADER_LEN + VLAN_LEN:
        return -1
    found, tci = _unpack_tag(pkt.buf, start + TYPE_AT)
    return tci if found == tpid else -1


def pop_tag(pkt: Packet) -> None:
    """Take the outer tag off."""
    buf, start = pkt.buf, pkt.start
    buf[start + VLAN_LEN : start + VLAN_LEN + TYPE_AT] = buf[start : start + TYPE_AT]
    pkt.start = start + VLAN_LEN


def push_tag(pkt: Packet, tpid: int, tci: int) -> None:
    """Put a tag in front of the EtherType."""
    if pkt.start < VLAN_LEN:
        pkt.make_headroom(VLAN_LEN)
    buf = pkt.buf
    start = pkt.start = pkt.start - VLAN_LEN
    buf[start : start + TYPE_AT] = buf[start + VLAN_LEN : start + VLAN_LEN + TYPE_AT]
    _pack_tag(buf, start + TYPE_AT, tpid, tci)


def set_vid(pkt: Packet, vid: int) -> None:
    """Write the VLAN id of the outer tag, and leave its priority."""
    at = pkt.start + TYPE_AT + 2
    buf = pkt.buf
    buf[at] = buf[at] & 0xF0 | vid >> 8
    buf[at + 1] = vid & 0xFF
