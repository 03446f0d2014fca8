"""Frames as a pcapng stream: the blocks that Wireshark and tcpdump read.

A stream is one section: `section`, an `interface` per device before its first packet, then `packet`. `statistics` says
how many frames were seen and how many were lost; it may come again, and the last one counts. Times are ns
(since 1970, where there is such a clock).

Read first: draft-ietf-opsawg-pcapng (block formats, options).
"""

from __future__ import annotations

from struct import Struct
from typing import Final

SECTION: Final = 0x0A0D0D0A
INTERFACE: Final = 1
STATISTICS: Final = 5
PACKET: Final = 6
MAGIC: Final = 0x1A2B3C4D
INBOUND: Final = 1
OUTBOUND: Final = 2
NO_LIMIT: Final = 262144

_LINKTYPE_ETHERNET = 1
_END_OF_OPTIONS = bytes(4)
_OPT_COMMENT, _SHB_USERAPPL, _IF_NAME, _IF_DESCRIPTION, _IF_MAC, _IF_TSRESOL = 1, 4, 2, 3, 6, 9
_EPB_FLAGS, _ISB_IFRECV, _ISB_IFDROP = 2, 4, 5

_BLOCK = Struct("=II")
_SIZE = Struct("=I")
_OPTION = Struct("=HH")
_SECTION = Struct("=IHHq")
_INTERFACE = Struct("=HHI")
_PACKET = Struct("=IIIII")
_STATISTICS = Struct("=III")
_U64 = Struct("=Q")
_NANOSECONDS = b"\x09"


def _padded(data: bytes) -> bytes:
    return data + bytes(-len(data) % 4)


def _block(kind: int, body: bytes) -> bytes:
    size = len(body) + 12
    return _BLOCK.pack(kind, size) + body + _SIZE.pack(size)


def _option(code: int, value: bytes) -> bytes:
    return _OPTION.pack(code, len(value)) + _padded(value)


def section(program: str) -> bytes:
    """The block that a stream begins with; `program` is what wrote it."""
    return _block(SECTION, _SECTION.pack(MAGIC, 1, 0, -1) + _option(_SHB_USERAPPL, program.encode()) + _END_OF_OPTIONS)


def interface(name: str, mac: bytes = b"", snaplen: int = NO_LIMIT, description: str = "") -> bytes:
    """An Ethernet device; packets name it by its number, counted from 0 in the order of these blocks."""
    options = _option(_IF_NAME, name.encode())
    if description:
        options += _option(_IF_DESCRIPTION, description.encode())
    if mac:
        options += _option(_IF_MAC, mac)
    options += _option(_IF_TSRESOL, _NANOSECONDS) + _END_OF_OPTIONS
    return _block(INTERFACE, _INTERFACE.pack(_LINKTYPE_ETHERNET, 0, snaplen) + options)


def packet(number: int, time_ns: int, direction: int, length: int, data: bytes, comment: str = "") -> bytes:
    """A frame at interface `number`: INBOUND or OUTBOUND (0: unknown), `length` on the wire, its first bytes."""
    options = _option(_OPT_COMMENT, comment.encode()) if comment else b""
    if direction:
        options += _option(_EPB_FLAGS, _SIZE.pack(direction))
    if options:
        options += _END_OF_OPTIONS
    head = _PACKET.pack(number, time_ns >> 32, time_ns & 0xFFFFFFFF, len(data), length)
    return _block(PACKET, head + _padded(data) + options)


def statistics(number: int, time_ns: int, received: int, lost: int) -> bytes:
    """How many frames the capture saw so far, and how many of them it lost because its reader was slow."""
    options = _option(_ISB_IFRECV, _U64.pack(received)) + _option(_ISB_IFDROP, _U64.pack(lost))
    head = _STATISTICS.pack(number, time_ns >> 32, time_ns & 0xFFFFFFFF)
    return _block(STATISTICS, head + options + _END_OF_OPTIONS)
