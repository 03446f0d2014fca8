"""Copies of frames for somebody who watches: bounded, and never in a packet's way.

A `Capture` hangs on devices; each frame that passes one of them is recorded whole or cut to ``snaplen``. When its
reader is too slow the newest are lost and counted, as with libpcap.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Final, NamedTuple

if TYPE_CHECKING:
    from vrouter.stack.device import Device

SNAPLEN: Final = 262_144  # bytes, tcpdump's: any superframe is shown whole
RX: Final = 0
TX: Final = 1


class CapturedFrame(NamedTuple):
    """A frame as it passed: when (ns), at which device, which way, its length on the wire, and its first bytes."""

    now: int
    dev: Device
    direction: int
    length: int
    data: bytes


class Capture:
    """A bounded list of frames seen at some devices. `matches` decides by the frame's bytes; None takes all."""

    __slots__ = ("bytes", "devices", "frames", "limit", "lost", "matches", "snaplen")

    def __init__(
        self, *, snaplen: int = SNAPLEN, limit: int = 4 << 20, matches: Callable[[bytes], bool] | None = None
    ) -> None:
        self.frames: list[CapturedFrame] = []
        self.devices: list[Device] = []
        self.snaplen = snaplen
        self.limit = limit  # bytes kept until they are taken
        self.bytes = 0
        self.lost = 0
        self.matches = matches

    def attach(self, dev: Device) -> None:
        """Watch `dev` from now on."""
        dev.captures += (self,)
        self.devices.append(dev)

    def detach(self) -> None:
        """Watch nothing any more."""
        for dev in self.devices:
            dev.captures = tuple(c for c in dev.captures if c is not self)
        self.devices.clear()

    def forget(self, dev: Device) -> None:
        """`dev` leaves its namespace."""
        self.devices.remove(dev)

    def record(self, dev: Device, direction: int, frame: bytes, now: int) -> None:
        """One frame passed."""
        if self.matches is not None and not self.matches(frame):
            return
        data = frame[: self.snaplen]
        if self.bytes + len(data) > self.limit:
            self.lost += 1
            return
        self.bytes += len(data)
        self.frames.append(CapturedFrame(now, dev, direction, len(frame), data))

    def take(self) -> list[CapturedFrame]:
        """The frames since the last call, in order."""
        frames, self.frames = self.frames, []
        self.bytes = 0
        return frames
