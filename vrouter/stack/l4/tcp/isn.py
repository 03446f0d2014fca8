"""First sequence numbers (RFC 6528) and timestamps (RFC 7323 5.4), which no stranger can foretell.

An initial sequence number is a clock of 4 µs plus a keyed hash of both ends, so that between the same ends numbers rise
from one connection to the next, and those of others tell nothing. The clock of timestamps has 1 ms, and an offset for
each pair of addresses: over all their connections it rises, as PAWS across connections (RFC 6191) needs it, and it does
not tell how long this stack has been running.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from vrouter.stack.l4.tcp.seq import FIRST, MASK

if TYPE_CHECKING:
    from vrouter.stack.l4.tcp.state import TcpState

TICK: Final = 4_000  # ns, RFC 6528 3
MILLISECOND: Final = 1_000_000

# What a hash is for, so that no two uses of the secret ever hash the same.
_SEQUENCE: Final = 1
_OFFSET: Final = 2


def initial_sequence(tcp: TcpState, local: int, port: int, peer: int, peer_port: int, now: int) -> int:
    """The first sequence number of a connection (its SYN's), unbounded as in `seq`."""
    mixed = tcp.ns.stack.rng.keyed_hash(tcp.secret, _SEQUENCE, local, port, peer, peer_port)
    return FIRST + (mixed + now // TICK & MASK)


def timestamp_offset(tcp: TcpState, local: int, peer: int) -> int:
    """What is added to the clock in timestamps to `peer`; 0 when ``tcp_timestamps`` is 2."""
    if tcp.ns.conf.tcp.timestamps != 1:
        return 0
    return tcp.ns.stack.rng.keyed_hash(tcp.secret, _OFFSET, local, peer) & MASK


def timestamp(offset: int, now: int) -> int:
    """The TSval to send at `now` (ns): 32 bits."""
    return now // MILLISECOND + offset & MASK
