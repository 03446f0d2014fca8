"""Longest prefix match: from prefixes of one family to small numbers, and from a destination to the route to use.

What a number stands for is in a list of the table's (``ways``): the routes of a prefix, best first. Full tables have a
million prefixes and few ways, so an entry costs two integers, and as the dictionaries here hold nothing but integers,
the collector of garbage never walks them.

Theory of operation. An address is cut in two: its top (16 bits of IPv4, 32 of IPv6) and the rest. Prefixes longer than
the top lie in blocks, one for each top, and a block knows which lengths it has: a lookup tries those only, longest
first. The shorter ones lie in one block of their own that is tried last. A key is a 1 and the bits of the prefix behind
it, so prefixes of all lengths live side by side in one dictionary. Blocks keep every single step short, too: none ever
grows, is sorted or is freed with more than a small part of the table.

IPv6 addresses may carry a zone above their 128 bits: it belongs to the top.

`_lpm` is the same, compiled: same calls, same answers (tests hold one against the other).
"""

from __future__ import annotations

import errno
from collections.abc import Container, Iterator
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from vrouter.stack.device import Device
    from vrouter.stack.l3.fib import Route

TOP_BITS: Final = {32: 16, 128: 32}
_SMALL: Final = 8  # entries
_LARGE: Final = 128
ZONE_BITS: Final = {32: 0, 128: 32}


class Lpm:
    """Prefixes of addresses of `bits` width (32 or 128), each with a number: the index in `ways` of its routes."""

    __slots__ = (
        "_bits",
        "_blocks",
        "_count",
        "_low",
        "_marker",
        "_shapes",
        "_shifts",
        "_short",
        "_unswept",
        "_ways",
        "_width",
    )

    def __init__(self, bits: int, ways: list[tuple[Route, ...]]) -> None:
        self._bits = bits
        self._ways = ways
        self._width = bits + ZONE_BITS[bits]
        self._marker = 1 << self._width
        self._low = bits - TOP_BITS[bits]
        self._count = 0
        self._blocks: dict[int, dict[int, int]] = {}  # of each top: key -> number
        self._shapes: dict[int, tuple[int, ...]] = {}  # and how far to shift an address for its lengths, longest first
        self._short: dict[int, int] = {}
        self._shifts: tuple[int, ...] = ()  # of a top, for the short ones
        self._unswept: list[int] = []  # tops that `sweep` has yet to look at

    def __len__(self) -> int:
        return self._count

    def lookup(self, dst: int) -> Route | None:
        """The first route that is ready: of the longest prefix that holds `dst`, in the order of its way, then of the
        shorter ones; None when there is none."""
        ways = self._ways
        marked = dst + self._marker
        top = marked >> self._low
        shifts = self._shapes.get(top)
        if shifts is not None:
            entries = self._blocks[top]
            for shift in shifts:
                number = entries.get(marked >> shift)
                if number is not None:
                    for route in ways[number]:
                        if route.gate.ready:
                            return route
        short = self._short
        for shift in self._shifts:
            number = short.get(top >> shift)
            if number is not None:
                for route in ways[number]:
                    if route.gate.ready:
                        return route
        return None

    def lookup_via(self, dst: int, dev: Device) -> Route | None:
        """The same among the routes that leave by `dev`, for senders bound to a device; None when it is not ready. Of
        several next hops it is the route of the one by `dev`."""
        if dev.ready:
            for number in self._matching(dst):
                for route in self._ways[number]:
                    if route.dev is dev:
                        return route
                    if route.nexthops is not None and (member := route.nexthops.by_device(dev)) is not None:
                        return member
        return None

    def _matching(self, dst: int) -> Iterator[int]:
        marked = dst + self._marker
        top = marked >> self._low
        for shift in self._shapes.get(top, ()):
            if (number := self._blocks[top].get(marked >> shift)) is not None:
                yield number
        for shift in self._shifts:
            if (number := self._short.get(top >> shift)) is not None:
                yield number

    def get(self, prefix: int, length: int) -> int:
        """The number of exactly this prefix, -1 when it has none."""
        if not 0 <= length <= self._bits:
            return -1
        marked = prefix + self._marker
        shift = self._bits - length
        key = marked >> shift
        if key << shift != marked:
            return -1
        if shift >= self._low:
            return self._short.get(key, -1)
        block = self._blocks.get(marked >> self._low)
        return -1 if block is None else block.get(key, -1)

    def insert(self, prefix: int, length: int, number: int) -> int:
        """Give a prefix its `number` and return -1; one that has a number keeps it, and it is returned. OSError EINVAL
        when the prefix has host bits or is longer than an address."""
        shift = self._bits - length
        marked = prefix + self._marker
        if not 0 <= shift <= self._bits or marked >> shift << shift != marked or marked >> self._width != 1:
            raise OSError(errno.EINVAL, "not a prefix of an address")
        key = marked >> shift
        if shift < self._low:
            top = marked >> self._low
            block = self._blocks.get(top)
            if block is None:
                self._blocks[top] = {key: number}
                self._shapes[top] = (shift,)
            else:
                there = block.get(key)
                if there is not None:
                    return there
                block[key] = number
                if shift not in self._shapes[top]:
                    self._shapes[top] = tuple(sorted((*self._shapes[top], shift)))
        else:
            there = self._short.get(key)
            if there is not None:
                return there
            self._short[key] = number
            shift -= self._low
            if shift not in self._shifts:
                self._shifts = tuple(sorted((*self._shifts, shift)))
        self._count += 1
        return -1

    def replace(self, prefix: int, length: int, number: int) -> None:
        """Give a prefix that has a number another one."""
        marked = prefix + self._marker
        shift = self._bits - length
        entries = self._blocks[marked >> self._low] if shift < self._low else self._short
        entries[marked >> shift] = number

    def delete(self, prefix: int, length: int) -> None:
        """Take out a prefix that has a number."""
        marked = prefix + self._marker
        shift = self._bits - length
        self._count -= 1
        if shift >= self._low:
            del self._short[marked >> shift]
            if _is_due(len(self._short)):
                self._shifts = self._lengths_left(self._short, self._low)
            return
        top = marked >> self._low
        entries = self._blocks[top]
        del entries[marked >> shift]
        if not entries:
            del self._blocks[top], self._shapes[top]
        elif _is_due(len(entries)):
            self._shapes[top] = self._lengths_left(entries, 0)

    def __iter__(self) -> Iterator[tuple[int, int, int]]:
        """(prefix, length, number) in the order of length and prefix; what changes meanwhile may be missed."""
        for shift in sorted(self._shifts, reverse=True):
            yield from self._of_length(self._short, shift + self._low)
        if not self._blocks:
            return
        tops = sorted(self._blocks)
        for shift in range(self._low - 1, -1, -1):
            for top in tops:
                if shift in self._shapes.get(top, ()):
                    yield from self._of_length(self._blocks[top], shift)

    def find(self, numbers: set[int]) -> Iterator[tuple[int, int, int]]:
        """(prefix, length, number) of what has one of these numbers, in no order; nothing may change meanwhile."""
        for entries in (self._short, *self._blocks.values()):
            for key, number in entries.items():
                if number in numbers:
                    length = key.bit_length() - 1 - self._width + self._bits
                    yield (key << self._bits - length) - self._marker, length, number

    def shrink(self, count: int) -> bool:
        """Let go of about `count` prefixes, any: the way to give a big table back piece by piece. Whether it is empty
        now. (The numbers' uses are not counted down: for tables that nobody looks anything up in any more.)"""
        blocks = self._blocks
        while count > 0 and blocks:
            top, entries = blocks.popitem()
            del self._shapes[top]
            self._count -= len(entries)
            count -= len(entries)
        if count > 0:
            self._short.clear()
            self._shifts = ()
            self._count = 0
        return not self._count

    def sweep(self, numbers: Container[int], budget: int) -> dict[int, int]:
        """Take out prefixes that have one of these numbers, and return how many of each. One call does about as much as
        inserting `budget` prefixes takes; when no call finds any in a whole round, there are none."""
        gone: dict[int, int] = {}
        if not self._unswept:
            self._unswept = list(self._blocks)
            if self._sweep_block(self._short, numbers, gone):
                self._shifts = self._lengths_left(self._short, self._low)
            budget -= len(self._short)
        while self._unswept and budget > 0:
            top = self._unswept.pop()
            entries = self._blocks.get(top)
            if entries is not None:
                budget -= len(entries)
                if self._sweep_block(entries, numbers, gone):
                    if entries:
                        self._shapes[top] = self._lengths_left(entries, 0)
                    else:
                        del self._blocks[top], self._shapes[top]
        return gone

    def _sweep_block(self, entries: dict[int, int], numbers: Container[int], gone: dict[int, int]) -> bool:
        dead = [key for key, number in entries.items() if number in numbers]
        for key in dead:
            number = entries.pop(key)
            gone[number] = gone.get(number, 0) + 1
        self._count -= len(dead)
        return bool(dead)

    def _of_length(self, entries: dict[int, int], shift: int) -> Iterator[tuple[int, int, int]]:
        digits = self._width + 1 - shift
        for key in sorted([key for key in entries if key.bit_length() == digits]):
            number = entries.get(key)
            if number is not None:
                yield (key << shift) - self._marker, self._bits - shift, number

    def _lengths_left(self, entries: dict[int, int], base: int) -> tuple[int, ...]:
        """The shifts of the keys in `entries`, those of an address moved down by `base` bits."""
        return tuple(sorted({self._width + 1 - key.bit_length() - base for key in entries}))


def _is_due(count: int) -> bool:
    """Whether a block that has shrunk to `count` entries is looked through for the lengths that it still has: a small
    one always, a large one at each power of two, which is a step or two for each entry that went."""
    return count <= _SMALL or (count >= _LARGE and not count & (count - 1))
