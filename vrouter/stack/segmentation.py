"""Half-finished checksums are finished here, and superframes cut into the segments that they stand for.

Expects: a packet whose ``csum_start`` and ``csum_offset`` name its transport checksum (see `base.packet`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from vrouter.stack.wire.checksum import checksum

if TYPE_CHECKING:
    from vrouter.stack.base.packet import Packet


def finish_checksum(pkt: Packet) -> None:
    """Complete the half-finished checksum of a packet that is no superframe.

    A sum of 0 is written as 0xffff, which means the same to all protocols, and to UDP alone something (RFC 768).
    """
    buf, at = pkt.buf, pkt.csum_start
    value = checksum(buf, at, pkt.end) or 0xFFFF
    at += pkt.csum_offset
    buf[at] = value >> 8
    buf[at + 1] = value & 0xFF
    pkt.csum_start = -1
