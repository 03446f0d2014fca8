"""Writes frames to a pcapng file, one interface per wire, times in nanoseconds; readable by tcpdump and Wireshark.

The file holds what was handed in and nothing of the machine that wrote it, so equal runs give equal files.

Read: draft-ietf-opsawg-pcapng, sections 4.1 (section header), 4.2 (interface description), 4.3 (enhanced packet).
"""

from __future__ import annotations

from pathlib import Path
from struct import pack
from typing import Final

INBOUND: Final = 1
OUTBOUND: Final = 2

_SECTION_HEADER, _INTERFACE, _ENHANCED_PACKET = 0x0A0D0D0A, 1, 6
_BYTE_ORDER_MAGIC = 0x1A2B3C4D
_LINKTYPE_ETHERNET = 1
_NO_LIMIT = 262144
_OPT_END, _OPT_COMMENT, _SHB_USERAPPL, _IF_NAME, _IF_DESCRIPTION, _IF_TSRESOL, _EPB_FLAGS = 0, 1, 4, 2, 3, 9, 2
_NANOSECONDS = 9  # 10 to the minus nine


class PcapngWriter:
    """A file being written; OSError when that is not possible."""

    def __init__(self, path: str | Path) -> None:
        self._file = open(path, "wb")
        self._interfaces = 0
        body = pack("<IHHq", _BYTE_ORDER_MAGIC, 1, 0, -1) + _options((_SHB_USERAPPL, b"vrouter"))
        self._block(_SECTION_HEADER, body)

    def add_interface(self, name: str, description: str = "") -> int:
        """Describe an interface; the number by which frames name it."""
        options = [(_IF_NAME, name.encode()), (_IF_TSRESOL, bytes((_NANOSECONDS,)))]
        if description:
            options.insert(1, (_IF_DESCRIPTION, description.encode()))
        self._block(_INTERFACE, pack("<HHI", _LINKTYPE_ETHERNET, 0, _NO_LIMIT) + _options(*options))
        self._interfaces += 1
        return self._interfaces - 1

    def write(self, interface: int, now: int, frame: bytes, direction: int = 0, comment: str = "") -> None:
        """One frame, at `now` ns, INBOUND or OUTBOUND (0: unknown), with a comment to show beside it."""
        options = [(_OPT_COMMENT, comment.encode())] if comment else []
        if direction:
            options.append((_EPB_FLAGS, pack("<I", direction)))
        size = len(frame)
        head = pack("<IIIII", interface, now >> 32, now & 0xFFFFFFFF, size, size)
        self._block(_ENHANCED_PACKET, head + _padded(frame) + _options(*options))

    def close(self) -> None:
        """Finish the file; may be called again."""
        self._file.close()

    def _block(self, kind: int, body: bytes) -> None:
        size = len(body) + 12
        self._file.write(pack("<II", kind, size) + body + pack("<I", size))


def _padded(data: bytes) -> bytes:
    return data + bytes(-len(data) % 4)


def _options(*options: tuple[int, bytes]) -> bytes:
    if not options:
        return b""
    return b"".join(pack("<HH", code, len(value)) + _padded(value) for code, value in options) + pack(
        "<HH", _OPT_END, 0
    )
