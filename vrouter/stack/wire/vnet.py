"""The 12-byte virtio-net header in front of each frame of a TAP opened with IFF_VNET_HDR.

Expects: ``LEN`` bytes at ``off``, little-endian (the native order of the supported machines). Nothing here judges what
it says: `l2.vnet` does. The kernel does not write ``num_buffers`` when it hands a frame over, so that field holds
whatever the read buffer held before.

Read first: Virtual I/O Device (VIRTIO) 1.2, section 5.1.6.
"""

from __future__ import annotations

from dataclasses import dataclass
from struct import Struct

from vrouter.stack.wire.buffer import Buffer, WritableBuffer

LEN = 12
ZERO = bytes(LEN)

F_NEEDS_CSUM = 1  # the checksum at csum_start + csum_offset is still to be completed
F_DATA_VALID = 2  # the checksum has been verified

GSO_NONE = 0
GSO_TCPV4 = 1
GSO_UDP = 3
GSO_TCPV6 = 4
GSO_UDP_L4 = 5
GSO_ECN = 0x80  # a bit beside the TCP types

_LAYOUT = Struct("<BBHHHHH")
read_header = _LAYOUT.unpack_from
emit_header = _LAYOUT.pack_into  # (buf, off, flags, gso_type, hdr_len, gso_size, csum_start, csum_offset, num_buffers)


@dataclass(slots=True)
class VnetHeader:
    """One virtio-net header; offsets and lengths in bytes, counted from the start of the Ethernet frame."""

    flags: int = 0
    gso_type: int = GSO_NONE
    hdr_len: int = 0
    gso_size: int = 0
    csum_start: int = 0
    csum_offset: int = 0
    num_buffers: int = 0

    @staticmethod
    def parse(buf: Buffer, off: int) -> VnetHeader | None:
        """The header at ``off``, or None when fewer than 12 bytes are there."""
        if off < 0 or len(buf) - off < LEN:
            return None
        return VnetHeader(*_LAYOUT.unpack_from(buf, off))

    def emit(self, buf: WritableBuffer, off: int) -> None:
        """Writes the 12 bytes at ``off``."""
        _LAYOUT.pack_into(
            buf,
            off,
            self.flags,
            self.gso_type,
            self.hdr_len,
            self.gso_size,
            self.csum_start,
            self.csum_offset,
            self.num_buffers,
        )


def wire_size(frame: Buffer) -> tuple[int, int]:
    """(packets, bytes) of a wire that a frame stands for, which begins with a header that was made here."""
    _, gso_type, hdr_len, size, _, _, _ = read_header(frame, 0)
    length = len(frame) - LEN
    if gso_type == GSO_NONE:
        return 1, length
    packets = -(-(length - hdr_len) // size)
    return packets, length + (packets - 1) * hdr_len
