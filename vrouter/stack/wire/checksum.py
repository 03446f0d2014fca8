"""The Internet checksum: whole (RFC 1071) and incremental (RFC 1624).

A sum of 16-bit words with end-around carry is the residue modulo 65535 of the bytes read as one big number, because
2**16 = 1 (mod 65535). The residue 0 stands for two sums: 0x0000 when every byte is zero, 0xffff otherwise; the
functions here keep them apart, so results equal those of word-by-word addition in every case.

Expects: ``start <= end``, both inside the buffer. An odd last byte is padded with a zero byte. ``initial`` is a sum
of the bytes before ``start`` (from ``pseudo_header`` or ``ones_sum``); it fits only when their number is even.

Read first: RFC 1071, RFC 1624.
"""

from __future__ import annotations

from vrouter.stack.base.addresses import MAX6
from vrouter.stack.wire.buffer import Buffer

_int_from_bytes = int.from_bytes
_CHUNK = 2048  # bytes; must be even. Dividing a longer number costs more than adding up its pieces


def ones_sum(buf: Buffer, start: int, end: int, initial: int = 0) -> int:
    """The ones' complement sum of the 16-bit words in ``buf[start:end]``, folded to 16 bits and not complemented."""
    while end - start > _CHUNK:
        initial += _int_from_bytes(buf[start : start + _CHUNK], "big")
        start += _CHUNK
    number = _int_from_bytes(buf[start:end], "big")
    if (end - start) & 1:
        number <<= 8
    total = number % 65535 + initial
    residue = total % 65535
    if residue:
        return residue
    return 0xFFFF if number or initial else 0


def checksum(buf: Buffer, start: int, end: int, initial: int = 0) -> int:
    """The checksum to store for ``buf[start:end]`` (its checksum field being zero): 0..0xffff."""
    return 0xFFFF - ones_sum(buf, start, end, initial)


def is_valid(buf: Buffer, start: int, end: int, initial: int = 0) -> bool:
    """Whether ``buf[start:end]``, its stored checksum included, sums to 0xffff (RFC 1071 section 1, step 3)."""
    return ones_sum(buf, start, end, initial) == 0xFFFF


def update16(csum: int, old: int, new: int) -> int:
    """The checksum after one 16-bit word changed from ``old`` to ``new`` (RFC 1624 section 3, equation 3).

    The result is 0..0xfffe, as from the full sum: 0xffff would need a message of zero bytes alone, which no IP header
    is. UDP must replace a result of 0 itself (RFC 768).
    """
    return (csum + old - new) % 65535


def update32(csum: int, old: int, new: int) -> int:
    """The checksum after two adjacent aligned words (such as an IPv4 address) changed from ``old`` to ``new``."""
    return (csum + old - new) % 65535


def pseudo_header(src: int, dst: int, proto: int, length: int, bits: int = 32) -> int:
    """The folded sum of the pseudo-header of RFC 768 or RFC 8200 section 8.1, to pass as ``initial``.

    ``length`` is that of the transport header and its data in bytes. ``bits`` is the width of the addresses, 32 or
    128; the sum is the same arithmetic for both, since addresses of either width are whole words. The zone of an IPv6
    address, which is above those bits, is left out.
    """
    if bits == 128:
        src &= MAX6
        dst &= MAX6
    return (src + dst + proto + length) % 65535 or 0xFFFF
