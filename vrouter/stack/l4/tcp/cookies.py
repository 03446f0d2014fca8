"""SYN cookies (RFC 4987 3.6): under a flood a listener answers without keeping anything.

The SYN-ACK's sequence number is a keyed hash of both ends and of the minute, with three more bits' worth in it: which
MSS of a short table the peer said. The ACK that ends the handshake brings it back. What else the SYN said (window
scale, SACK, ECN) is in the low six bits of the SYN-ACK's timestamp, if the peer has timestamps; else it is lost. A
cookie is good for two minutes. Format and life are Linux's.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from vrouter.stack.l4.tcp.seq import MASK
from vrouter.stack.wire.tcp import MAX_WSCALE

if TYPE_CHECKING:
    from vrouter.stack.l4.tcp.state import TcpState
    from vrouter.stack.sysctl.records import TcpConf

MINUTE: Final = 60_000_000_000
MAX_AGE: Final = 2  # periods of a minute
VALID: Final = MAX_AGE * MINUTE  # ns after a listener's last overflow in which cookies are looked at

# What a peer may have said, smallest first; a cookie tells the largest that is not above it.
MSS_TABLE: Final[dict[int, tuple[int, ...]]] = {4: (536, 1300, 1440, 1460), 6: (1220, 1420, 1440, 8940)}

TS_BITS: Final = 6
_TS_MASK: Final = (1 << TS_BITS) - 1
_WSCALE_MASK: Final = 0xF
_NO_WSCALE: Final = 0xF
_SACK: Final = 0x10
_ECN: Final = 0x20

_COOKIE_BITS: Final = 24
_COOKIE_MASK: Final = (1 << _COOKIE_BITS) - 1
_BASE: Final = 3  # what a hash is for, see isn
_MINUTE: Final = 4

Four = tuple[int, int, int, int]  # local address and port, peer's


def make(tcp: TcpState, family: int, ends: Four, irs: int, mss: int, now: int) -> tuple[int, int]:
    """(sequence number of 32 bits, MSS that it tells) for the SYN-ACK to a SYN whose number was `irs`."""
    table = MSS_TABLE[family]
    index = max((i for i, known in enumerate(table) if known <= mss), default=0)
    minute = now // MINUTE
    number = _hash(tcp, _BASE, ends, 0) + irs + (minute << _COOKIE_BITS)
    number += (_hash(tcp, _MINUTE, ends, minute) + index) & _COOKIE_MASK
    return number & MASK, table[index]


def check(tcp: TcpState, family: int, ends: Four, irs: int, cookie: int, now: int) -> int:
    """The MSS that `cookie` tells, of a peer whose SYN's number was `irs`; 0 when it is none of ours, or too old."""
    minute = now // MINUTE
    rest = (cookie - _hash(tcp, _BASE, ends, 0) - irs) & MASK
    age = (minute - (rest >> _COOKIE_BITS)) & (MASK >> _COOKIE_BITS)
    if age >= MAX_AGE:
        return 0
    index = (rest - _hash(tcp, _MINUTE, ends, minute - age)) & _COOKIE_MASK
    table = MSS_TABLE[family]
    return table[index] if index < len(table) else 0


def _hash(tcp: TcpState, use: int, ends: Four, minute: int) -> int:
    return tcp.ns.stack.rng.keyed_hash(tcp.secret, use, *ends, minute) & MASK


def encode(clock: int, wscale: int, sack: bool, ecn: bool) -> int:
    """The clock to send (32 bits, before the connection's offset) that tells the options of a SYN: at most `clock`.

    `wscale` -1: none.
    """
    options = _NO_WSCALE if wscale < 0 else wscale
    options |= (_SACK if sack else 0) | (_ECN if ecn else 0)
    told = clock & ~_TS_MASK | options
    return (told if told <= clock else told - (1 << TS_BITS)) & MASK


def decode(clock: int, conf: TcpConf) -> tuple[int, bool, bool] | None:
    """(window scale or -1, SACK, ECN) from a clock that came back; None when we would not have agreed to that."""
    if not conf.timestamps:
        return None
    sack, ecn, wscale = bool(clock & _SACK), bool(clock & _ECN) and conf.ecn in (1, 2), clock & _WSCALE_MASK
    if sack and not conf.sack:
        return None
    if wscale == _NO_WSCALE:
        return -1, sack, ecn
    if not conf.window_scaling or wscale > MAX_WSCALE:
        return None
    return wscale, sack, ecn
