"""Random numbers handed in, not taken from the system: unpredictable to a stranger, repeatable from a seed.

The generator is BLAKE2b in counter mode under a key. Production keys it with 128 bits from the operating system, tests
with a small number, so that identifiers, ports and sequence numbers cannot be guessed and yet the same seed gives the
same bytes on the wire.
"""

from __future__ import annotations

from hashlib import blake2b
from typing import Final

_BLOCK: Final = 64
_NARROW: Final = 1 << 135  # an IPv6 address with its zone may be wider


class Rng:
    """A keyed stream of random numbers."""

    __slots__ = ("_block", "_counter", "_key", "_used")

    def __init__(self, seed: int | bytes) -> None:
        if isinstance(seed, int):
            seed = seed.to_bytes(max(1, (seed.bit_length() + 8) // 8), "little", signed=True)
        self._key = blake2b(seed, digest_size=32, person=b"vrouter-rng").digest()
        self._counter = 0
        self._block = b""
        self._used = _BLOCK

    def random_bytes(self, count: int) -> bytes:
        """`count` random bytes."""
        out = b""
        while len(out) < count:
            if self._used >= _BLOCK:
                self._block = blake2b(self._counter.to_bytes(8, "little"), key=self._key).digest()
                self._counter += 1
                self._used = 0
            piece = self._block[self._used : self._used + count - len(out)]
            self._used += len(piece)
            out += piece
        return out

    def u16(self) -> int:
        """An integer in 0..65535."""
        return int.from_bytes(self.random_bytes(2), "little")

    def u32(self) -> int:
        """An integer in 0..2**32-1."""
        return int.from_bytes(self.random_bytes(4), "little")

    def below(self, bound: int) -> int:
        """An integer in 0..bound-1; the bias is below 2**-32 for any bound up to 2**32."""
        return int.from_bytes(self.random_bytes(8), "little") % bound

    def keyed_hash(self, *parts: int) -> int:
        """A 64-bit keyed hash of `parts`: the same parts give the same value for the life of this generator."""
        digest = blake2b(key=self._key, digest_size=8, person=b"vrouter-prf")
        for part in parts:
            digest.update(part.to_bytes(17 if -_NARROW <= part < _NARROW else 33, "little", signed=True))
        return int.from_bytes(digest.digest(), "little")
