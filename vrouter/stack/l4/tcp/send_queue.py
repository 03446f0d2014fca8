"""What the program wrote and the peer has not acknowledged: ranges of bytes, by sequence number.

What comes as ``bytes`` (or as a view of such) is kept as it is; what its owner may still change is copied. Small writes
that follow each other are joined, so a program that writes byte by byte costs what it writes. Any range can be read at
any time, so the same queue serves what is sent first and what is sent again.

::

      base            (snd_nxt)                end
       |--- chunk ---|--- chunk ---|-- chunk --|
       acknowledged up to here       written up to here

A *push* is where a write ended: the segment that ends there says PSH (RFC 9293 3.9.1.2), each time that it is sent.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from typing import Final, TypeAlias

Data: TypeAlias = bytes | bytearray | memoryview

_SMALL: Final = 4096  # bytes of a write that is joined to what is before it
_JOINED: Final = 65536  # bytes of the largest chunk that more is joined to
_STALE: Final = 64  # chunks that went, before the lists are cut


class SendQueue:
    """The bytes numbered `base` to `end` (excluded); ``tail`` is where the last of Linux's buffers would begin
    (`sizing`)."""

    __slots__ = ("_chunks", "_first", "_pushes", "_starts", "base", "end", "tail")

    def __init__(self, base: int) -> None:
        self.base = self.end = self.tail = base
        self._chunks: list[Data] = []
        self._starts: list[int] = []  # the number of each chunk's first byte
        self._first = 0  # index of the chunk that holds `base`
        self._pushes: list[int] = []

    def __len__(self) -> int:
        return self.end - self.base

    def append(self, data: Data) -> None:
        """Add what the program wrote."""
        size = data.nbytes if isinstance(data, memoryview) else len(data)
        if not size:
            return
        if size <= _SMALL:
            if self._first < len(self._chunks):
                last = self._chunks[-1]
                if type(last) is bytearray and len(last) < _JOINED:
                    last += data
                    self.end += size
                    return
            data = bytearray(data)
        elif isinstance(data, memoryview):
            # Nobody can write to what a view of bytes shows.
            data = data[:] if type(data.obj) is bytes and data.c_contiguous else bytes(data)
            if isinstance(data, memoryview) and (data.ndim != 1 or data.format != "B"):
                data = data.cast("B")
        elif type(data) is not bytes:
            data = bytes(data)
        self._chunks.append(data)
        self._starts.append(self.end)
        self.end += size

    def views(self, start: int, end: int) -> list[Data]:
        """The bytes `start` to `end` (excluded) in pieces, none of them copied; both within the queue."""
        chunks, starts = self._chunks, self._starts
        index = bisect_right(starts, start, self._first) - 1
        chunk = chunks[index]
        offset = start - starts[index]
        size = end - start
        if offset + size <= len(chunk):
            if size == len(chunk):
                return [chunk]
            return [memoryview(chunk)[offset : offset + size]]
        found: list[Data] = [memoryview(chunk)[offset:] if offset else chunk]
        size -= len(chunk) - offset
        while size > 0:
            index += 1
            chunk = chunks[index]
            found.append(chunk if len(chunk) <= size else memoryview(chunk)[:size])
            size -= len(chunk)
        return found

    def read(self, start: int, end: int) -> bytes:
        """A copy of the bytes `start` to `end` (excluded)."""
        return b"".join(self.views(start, end)) if end > start else b""

    def release(self, ack: int) -> int:
        """Let go of what comes before `ack`; how many bytes that were. Beyond the end there is nothing (but a FIN)."""
        ack = min(ack, self.end)
        freed = ack - self.base
        if freed <= 0:
            return 0
        self.base = ack
        chunks, starts, first = self._chunks, self._starts, self._first
        count = len(chunks)
        while first < count and (starts[first + 1] if first + 1 < count else self.end) <= ack:
            chunks[first] = b""
            first += 1
        if first == count or (first > _STALE and 2 * first > count):
            del chunks[:first], starts[:first]
            first = 0
        self._first = first
        pushes = self._pushes
        if pushes and pushes[0] <= ack:
            del pushes[: bisect_right(pushes, ack)]
        return freed

    def push(self, unsent: int) -> None:
        """A write ends here. An end of an earlier one behind `unsent` is none any more: its bytes go with these."""
        pushes = self._pushes
        while pushes and pushes[-1] > unsent:
            pushes.pop()
        if self.end > self.base:
            pushes.append(self.end)

    def pushed(self, end: int) -> bool:
        """Whether what ends before `end` is to say PSH."""
        pushes = self._pushes
        if not pushes or end > pushes[-1]:
            return False
        return pushes[bisect_left(pushes, end)] == end

    def clear(self) -> None:
        """Let go of everything."""
        self.base = self.end
        self._chunks, self._starts, self._first = [], [], 0
        self._pushes.clear()
