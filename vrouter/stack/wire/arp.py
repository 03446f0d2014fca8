"""ARP for IPv4 over Ethernet: one value with ``parse`` and ``emit``.

``parse`` refuses (None) what is truncated and every hardware type, protocol type or address length but those of IPv4
over Ethernet; it does not judge the operation nor the addresses. Bytes after the 28 are padding.

Read first: RFC 826, RFC 5227.
"""

from __future__ import annotations

from dataclasses import dataclass
from struct import Struct

from vrouter.stack.wire.buffer import Buffer, WritableBuffer

ARP_LEN = 28
REQUEST = 1
REPLY = 2

HARDWARE_ETHERNET = 1
PROTOCOL_IPV4 = 0x0800

# Hardware type, protocol type and both address lengths are one constant, so one comparison judges the four of them.
_FIXED = (HARDWARE_ETHERNET << 32) | (PROTOCOL_IPV4 << 16) | (6 << 8) | 4
_LAYOUT = Struct("!HHBBH6sI6sI")


@dataclass(slots=True)
class Arp:
    """One ARP packet: operation, sender hardware and protocol address, target hardware and protocol address."""

    op: int
    sha: bytes
    spa: int
    tha: bytes
    tpa: int

    @staticmethod
    def parse(buf: Buffer, off: int, end: int) -> Arp | None:
        """The packet in ``buf[off:end]``, or None when it is truncated or not IPv4 over Ethernet."""
        if off < 0 or end - off < ARP_LEN or end > len(buf):
            return None
        htype, ptype, hlen, plen, op, sha, spa, tha, tpa = _LAYOUT.unpack_from(buf, off)
        if (htype << 32) | (ptype << 16) | (hlen << 8) | plen != _FIXED:
            return None
        return Arp(op, sha, spa, tha, tpa)

    def emit(self, buf: WritableBuffer, off: int) -> None:
        """Writes the 28 bytes at ``off``."""
        _LAYOUT.pack_into(
            buf, off, HARDWARE_ETHERNET, PROTOCOL_IPV4, 6, 4, self.op, self.sha, self.spa, self.tha, self.tpa
        )
