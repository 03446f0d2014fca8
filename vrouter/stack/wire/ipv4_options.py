"""The option area of an IPv4 header: walking it, recording in it, and what of it later fragments carry.

``parse`` takes any bytes and gives either the options or the place of the first malformed one, which is where the
pointer of an ICMP Parameter Problem goes (RFC 792; subtract the offset of the IP header). Whether an option is
*wanted* is judged elsewhere.

Record Route and Timestamp are used in two steps: ``record_route_error`` or ``timestamp_error`` says whether the
option is sound; only then ``record_route`` or ``timestamp`` may write. Both change the header, so its checksum must
be set again when they return True.

Read first: RFC 791 section 3.1, RFC 1122 section 3.2.1.8, RFC 1812 section 5.3.13, RFC 7126.
"""

from __future__ import annotations

from struct import Struct

from vrouter.stack.wire.buffer import Buffer, WritableBuffer

EOL = 0
NOP = 1
RR = 7
TS = 68
SECURITY = 130
LSRR = 131
STREAM_ID = 136
SSRR = 137
RTRALERT = 148

TS_ONLY = 0
TS_ADDRESS = 1
TS_PRESPECIFIED = 3

COPIED = 0x80

_LENGTH = 1  # octets within an option, from its kind
_POINTER = 2
_OVERFLOW = 3

_U32 = Struct("!I")


def copied(kind: int) -> bool:
    """Whether the option goes into every fragment (RFC 791 section 3.1), not only into the first."""
    return kind & COPIED == COPIED


def parse(buf: Buffer, off: int, end: int) -> list[tuple[int, int, int]] | int:
    """The options in ``buf[off:end]`` as (kind, offset of its kind octet, length), or the offset of the first bad one.

    No Operation and End of Option List are left out; what follows the latter is padding. An option is malformed when
    its length octet is missing, is below 2, or reaches past ``end``.
    """
    end = min(end, len(buf))
    options: list[tuple[int, int, int]] = []
    while off < end:
        kind = buf[off]
        if kind == EOL:
            break
        if kind == NOP:
            off += 1
            continue
        if end - off < 2:
            return off
        length = buf[off + _LENGTH]
        if length < 2 or length > end - off:
            return off
        options.append((kind, off, length))
        off += length
    return options


def record_route_error(buf: Buffer, off: int) -> int:
    """0 for a sound Record Route option at ``off``, else its octet that is wrong: 1 length, 2 pointer.

    Room that is left but too small for an address is an error in the packet (RFC 791 page 21); no room at all is
    none.
    """
    length = buf[off + _LENGTH]
    if length < 3:
        return _LENGTH
    pointer = buf[off + _POINTER]
    if pointer < 4 or pointer <= length < pointer + 3:
        return _POINTER
    return 0


def record_route(buf: WritableBuffer, off: int, address: int) -> bool:
    """Writes ``address`` into the next free place and returns True, or False when the option is full."""
    pointer = buf[off + _POINTER]
    if pointer > buf[off + _LENGTH]:
        return False
    _U32.pack_into(buf, off + pointer - 1, address)
    buf[off + _POINTER] = pointer + 4
    return True


def timestamp_error(buf: Buffer, off: int) -> int:
    """0 for a sound Timestamp option at ``off``, else its octet that is wrong: 1 length, 2 pointer, 3 overflow.

    Too little room for one entry, and an overflow counter that would itself overflow, are errors in the packet (RFC
    791 page 23).
    """
    length = buf[off + _LENGTH]
    if length < 4:
        return _LENGTH
    pointer = buf[off + _POINTER]
    if pointer < 5:
        return _POINTER
    flag = buf[off + _OVERFLOW] & 0x0F
    if pointer <= length:
        entry = 8 if flag in (TS_ADDRESS, TS_PRESPECIFIED) else 4
        return _POINTER if pointer - 1 + entry > length else 0
    if flag != TS_PRESPECIFIED and buf[off + _OVERFLOW] >> 4 == 15:
        return _OVERFLOW
    return 0


def has_room(buf: Buffer, off: int) -> bool:
    """Whether a sound Record Route or Timestamp option at ``off`` takes another entry."""
    return bool(buf[off + _POINTER] <= buf[off + _LENGTH])


def next_prespecified(buf: Buffer, off: int) -> int:
    """The address whose owner is to stamp next (flag 3), or -1 when the option has another flag or is full."""
    pointer = buf[off + _POINTER]
    if buf[off + _OVERFLOW] & 0x0F != TS_PRESPECIFIED or pointer > buf[off + _LENGTH]:
        return -1
    address: int = _U32.unpack_from(buf, off + pointer - 1)[0]
    return address


def timestamp(buf: WritableBuffer, off: int, address: int, ms: int) -> bool:
    """Stamps a sound Timestamp option at ``off`` and returns whether it was changed.

    ``ms`` is the time in milliseconds since midnight UT (with the high bit set: any other time); ``address`` is the
    stamping node's own. When full the overflow counter goes up instead; not so with prespecified addresses, where a
    full list means that everybody asked has answered. Prespecified entries for another address, and unknown flags,
    are left alone.
    """
    pointer = buf[off + _POINTER]
    overflow = buf[off + _OVERFLOW]
    flag = overflow & 0x0F
    if pointer > buf[off + _LENGTH]:
        if flag == TS_PRESPECIFIED:
            return False
        buf[off + _OVERFLOW] = overflow + 0x10
        return True
    place = off + pointer - 1
    if flag == TS_ONLY:
        _U32.pack_into(buf, place, ms)
        buf[off + _POINTER] = pointer + 4
        return True
    if flag == TS_ADDRESS or (flag == TS_PRESPECIFIED and _U32.unpack_from(buf, place)[0] == address):
        _U32.pack_into(buf, place, address)
        _U32.pack_into(buf, place + 4, ms)
        buf[off + _POINTER] = pointer + 8
        return True
    return False


def fragment_options(options: bytes) -> bytes:
    """The option area of later fragments: the options with the copied flag, in whole words (RFC 791 section 3.2).

    Of an area that is malformed, what stands before the malformed option counts.
    """
    end = len(options)
    found = parse(options, 0, end)
    if isinstance(found, int):
        found = parse(options, 0, found)
    if isinstance(found, int):
        return b""
    kept = b"".join(options[off : off + length] for kind, off, length in found if copied(kind))
    return kept + bytes(-len(kept) & 3)
