"""Urgent data, in line (RFC 9293 3.8.5, RFC 6093).

The urgent pointer names the byte behind the last urgent one (RFC 6093 3.1), so the *mark* stands before the byte
``rcv_up - 1``. Urgent data are read in their place, as with SO_OOBINLINE: a read ends at the mark, and the next begins
with the urgent byte, as in Linux; nothing is signalled beside READ (RFC 6093 5: new programs should not use it).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from vrouter.stack.l4.constants import READ

if TYPE_CHECKING:
    from vrouter.stack.l4.tcp.tcb import Tcb
    from vrouter.stack.wire.tcp import Segment


def urgent_received(tcb: Tcb, seg: Segment, seq: int) -> None:
    """RFC 9293 3.10.7.4, sixth: a segment with URG, numbered from `seq`, moves the mark forward, never back."""
    pointer = seq + seg.urgent
    if seg.urgent and pointer > tcb.rcv_up and pointer > tcb.copied_seq and pointer <= tcb.rcv_nxt + 0x10000:
        tcb.rcv_up = pointer
        if not tcb.orphan:
            tcb.sock.wake(READ)


def before_mark(tcb: Tcb, count: int) -> int:
    """How many of `count` bytes one read may take: not past the mark, unless it begins there."""
    ahead = tcb.rcv_up - 1 - tcb.copied_seq
    return ahead if 0 < ahead < count else count


def at_mark(tcb: Tcb) -> bool:
    """sockatmark(3): whether the next byte is the urgent one."""
    return tcb.rcv_up >= 0 and tcb.copied_seq == tcb.rcv_up - 1


def is_urgent(tcb: Tcb) -> bool:
    """Whether the peer has urgent data that are not read yet, whether they have come or not."""
    return tcb.rcv_up > tcb.copied_seq >= 0
