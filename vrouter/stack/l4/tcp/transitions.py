"""The states of a connection and what leads from one to another, as data (RFC 9293 3.3.2, figure 5).

Every change of state goes through `move`, so that a change which the table does not know cannot happen. The same
table, one line for each state, with the event behind ``:`` (`diagram` draws it, a test compares)::

    ESTABLISHED -> FIN_WAIT_1:CLOSE CLOSE_WAIT:FIN CLOSED:END
    SYN_SENT -> ESTABLISHED:SYN_ACK SYN_RECEIVED:SYN CLOSED:CLOSE CLOSED:END
    SYN_RECEIVED -> ESTABLISHED:ACK_OF_SYN FIN_WAIT_1:CLOSE CLOSE_WAIT:FIN CLOSED:END
    FIN_WAIT_1 -> FIN_WAIT_2:ACK_OF_FIN CLOSING:FIN CLOSED:END
    FIN_WAIT_2 -> TIME_WAIT:FIN CLOSED:END
    TIME_WAIT -> CLOSED:TIMEOUT CLOSED:END
    CLOSED -> SYN_SENT:CONNECT SYN_RECEIVED:ACCEPT LISTEN:LISTEN
    CLOSE_WAIT -> LAST_ACK:CLOSE CLOSED:END
    LAST_ACK -> CLOSED:ACK_OF_FIN CLOSED:END
    LISTEN -> SYN_RECEIVED:SYN SYN_SENT:CONNECT CLOSED:CLOSE CLOSED:END
    CLOSING -> TIME_WAIT:ACK_OF_FIN CLOSED:END

A FIN that acknowledges ours as well is two events, ACK_OF_FIN and then FIN, as 3.10.7.4 has it. END is everything that
ends a connection at once: a reset of either side, a time-out, the namespace that goes. A listener's children have a
control block of their own (ACCEPT), so that LISTEN itself never becomes SYN-RECEIVED here; the table has the line all
the same, since it is the machine of RFC 9293.
"""

from __future__ import annotations

from enum import IntEnum
from typing import TYPE_CHECKING, Final

from vrouter.stack.l4.tcp.tcb import State

if TYPE_CHECKING:
    from vrouter.stack.l4.tcp.tcb import Tcb


class Event(IntEnum):
    """What changes a state."""

    CONNECT = 0  # active OPEN: a SYN goes out
    LISTEN = 1  # passive OPEN
    ACCEPT = 2  # a listener's SYN has made a connection
    SYN = 3  # without an ACK of ours
    SYN_ACK = 4
    ACK_OF_SYN = 5
    CLOSE = 6  # the program's CLOSE or shutdown: there is to be a FIN
    FIN = 7  # in order
    ACK_OF_FIN = 8
    TIMEOUT = 9  # of TIME-WAIT
    END = 10  # at once, for whatever reason


CONNECT: Final = 0
ACCEPT: Final = 2
SYN: Final = 3
SYN_ACK: Final = 4
ACK_OF_SYN: Final = 5
CLOSE: Final = 6
FIN: Final = 7
ACK_OF_FIN: Final = 8
TIMEOUT: Final = 9
END: Final = 10

_S = State
_E = Event

TRANSITIONS: Final[dict[tuple[int, int], int]] = {
    (_S.CLOSED, _E.CONNECT): _S.SYN_SENT,
    (_S.CLOSED, _E.ACCEPT): _S.SYN_RECEIVED,
    (_S.CLOSED, _E.LISTEN): _S.LISTEN,
    (_S.LISTEN, _E.SYN): _S.SYN_RECEIVED,
    (_S.LISTEN, _E.CONNECT): _S.SYN_SENT,
    (_S.LISTEN, _E.CLOSE): _S.CLOSED,
    (_S.SYN_SENT, _E.SYN_ACK): _S.ESTABLISHED,
    (_S.SYN_SENT, _E.SYN): _S.SYN_RECEIVED,
    (_S.SYN_SENT, _E.CLOSE): _S.CLOSED,
    (_S.SYN_RECEIVED, _E.ACK_OF_SYN): _S.ESTABLISHED,
    (_S.SYN_RECEIVED, _E.CLOSE): _S.FIN_WAIT_1,
    (_S.SYN_RECEIVED, _E.FIN): _S.CLOSE_WAIT,
    (_S.ESTABLISHED, _E.CLOSE): _S.FIN_WAIT_1,
    (_S.ESTABLISHED, _E.FIN): _S.CLOSE_WAIT,
    (_S.FIN_WAIT_1, _E.ACK_OF_FIN): _S.FIN_WAIT_2,
    (_S.FIN_WAIT_1, _E.FIN): _S.CLOSING,
    (_S.FIN_WAIT_2, _E.FIN): _S.TIME_WAIT,
    (_S.CLOSE_WAIT, _E.CLOSE): _S.LAST_ACK,
    (_S.LAST_ACK, _E.ACK_OF_FIN): _S.CLOSED,
    (_S.CLOSING, _E.ACK_OF_FIN): _S.TIME_WAIT,
    (_S.TIME_WAIT, _E.TIMEOUT): _S.CLOSED,
    **{(state, _E.END): _S.CLOSED for state in _S if state is not _S.CLOSED},
}

# The same with plain numbers on both sides.
_NEXT: Final = {(int(state), int(event)): int(after) for (state, event), after in TRANSITIONS.items()}


def move(tcb: Tcb, event: int) -> int:
    """Take `tcb` to its next state, which is returned; a KeyError is a fault of the caller."""
    after = tcb.state = _NEXT[tcb.state, event]
    return after


def may(tcb: Tcb, event: int) -> bool:
    """Whether `event` means anything in the state of `tcb`."""
    return (tcb.state, event) in _NEXT


def diagram() -> str:
    """The table as text, as it stands in this module's description: a line for each state."""
    lines = []
    for state in State:
        arrows = [
            f"{State(after).name}:{Event(event).name}"
            for (before, event), after in sorted(TRANSITIONS.items(), key=lambda item: _order(item[0][1]))
            if before == state
        ]
        lines.append(f"{state.name} -> {' '.join(arrows)}")
    return "\n".join(lines)


def _order(event: int) -> int:
    """In the order of a connection's life, with both openings and both closings as the figure has them."""
    return _ORDER.index(event)


_ORDER: Final = (
    Event.SYN_ACK,
    Event.ACK_OF_SYN,
    Event.SYN,
    Event.CONNECT,
    Event.ACCEPT,
    Event.LISTEN,
    Event.CLOSE,
    Event.ACK_OF_FIN,
    Event.FIN,
    Event.TIMEOUT,
    Event.END,
)
