"""The virtio-net header in front of a TAP's frames.

Expects: header and frame between ``start`` and ``end``. Sets: ``start`` behind the header, and what the header says
that matters to later stages. Read first: VIRTIO 1.2 section 5.1.6.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from vrouter.stack.base.packet import CSUM_OK
from vrouter.stack.wire.checksum import checksum
from vrouter.stack.wire.vnet import F_DATA_VALID, F_NEEDS_CSUM, GSO_NONE, LEN, ZERO, VnetHeader, check

if TYPE_CHECKING:
    from vrouter.stack.base.packet import Packet
    from vrouter.stack.device import Device


def vnet_input(dev: Device, pkt: Packet) -> bool:
    """Take the header off; False when it is invalid or says what was not negotiated.

    Without offload it may only vouch for a checksum. One that is still to be finished is finished here, so that nothing
    behind this has to know of it.
    """
    buf, start = pkt.buf, pkt.start
    if pkt.end - start < LEN:
        return False
    pkt.start = start + LEN
    if buf[start : start + LEN] == ZERO:
        return True
    header = VnetHeader.parse(buf, start)
    if header is None or not check(header, pkt.end - pkt.start):
        return False
    if header.gso_type != GSO_NONE:
        if not dev.offload:
            return False
        pkt.gso_size, pkt.gso_type = header.gso_size, header.gso_type
        pkt.csum_start, pkt.csum_offset = pkt.start + header.csum_start, header.csum_offset
    elif header.flags & F_NEEDS_CSUM:
        first = pkt.start + header.csum_start
        value = checksum(buf, first, pkt.end) or 0xFFFF
        where = first + header.csum_offset
        buf[where], buf[where + 1] = value >> 8, value & 0xFF
    elif header.flags & F_DATA_VALID:
        pkt.flags |= CSUM_OK
    return True
