"""Writes frames to a pcapng file, one interface per wire, times in nanoseconds; readable by tcpdump and Wireshark.

The file holds what was handed in and nothing of the machine that wrote it, so equal runs give equal files.
"""

from __future__ import annotations

from pathlib import Path

from vrouter import pcapng
from vrouter.pcapng import INBOUND, OUTBOUND

__all__ = ["INBOUND", "OUTBOUND", "PcapngWriter"]


class PcapngWriter:
    """A file being written; OSError when that is not possible."""

    def __init__(self, path: str | Path) -> None:
        self._file = open(path, "wb")
        self._interfaces = 0
        self._file.write(pcapng.section("vrouter"))

    def add_interface(self, name: str, description: str = "") -> int:
        """Describe an interface; the number by which frames name it."""
        self._file.write(pcapng.interface(name, description=description))
        self._interfaces += 1
        return self._interfaces - 1

    def write(self, interface: int, now: int, frame: bytes, direction: int = 0, comment: str = "") -> None:
        """One frame, at `now` ns, INBOUND or OUTBOUND (0: unknown), with a comment to show beside it."""
        self._file.write(pcapng.packet(interface, now, direction, len(frame), frame, comment))

    def close(self) -> None:
        """Finish the file; may be called again."""
        self._file.close()
