"""Tail loss probe: when nothing is heard for two round trips, one segment leaves so that an ACK comes (RFC 8985 7).

The probe is new data, when there is some that the peer's window takes, or the last segment again. It leaves whatever
``cwnd`` says: `probe_due` allows it (``Scoreboard.probe``, ``Scoreboard.force``), the caller goes on with ``output``,
and `recovery.sent` tells `sent`. If the probe repaired a loss that nobody saw, the window is reduced (`acknowledged`).
``tcb.tlp`` is None, or the probe's (``snd_nxt`` behind it, whether it was sent again).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from vrouter.stack.base.counters import Stat
from vrouter.stack.l4.tcp import reduction
from vrouter.stack.l4.tcp.scoreboard import SACKED
from vrouter.stack.l4.tcp.tcb import CA_CWR, CA_OPEN, MS, REXMIT_TLP, SECOND, SYN_RECEIVED, SYN_SENT, Tcb
from vrouter.stack.l4.tcp.timers import arm_rexmit

if TYPE_CHECKING:
    from vrouter.stack.l4.tcp.scoreboard import Scoreboard

_LEAST: Final = 2 * MS
_FIRST: Final = SECOND  # without a measure of the RTT (RFC 8985 7.2)
_PROBE_RECOVERY: Final = int(Stat.TcpLossProbeRecovery)
_PROBES: Final = int(Stat.TcpLossProbes)

NEW: Final = 1  # `Scoreboard.probe`: a segment of new data
AGAIN: Final = 2


def schedule(tcb: Tcb, sent: Scoreboard, advancing: bool, now: int) -> bool:
    """Arm the timer for the probe, where there is to be one (RFC 8985 7.2); `advancing`: ``snd_una`` moved.

    Deviation: with one segment outstanding the longest time that an ACK may be delayed is taken to be the minimum RTO,
    as in Linux, because no receiver tells.
    """
    state = tcb.ca_state
    if (state != CA_OPEN and state != CA_CWR) or not tcb.sack_ok or not sent.ranges:
        return False
    if not tcb.ns.conf.tcp.early_retrans:
        return False
    if tcb.state == SYN_SENT or tcb.state == SYN_RECEIVED:
        return False
    srtt = tcb.srtt
    if srtt:
        wait = 2 * srtt
        single = len(sent.ranges) == 1 and tcb.snd_nxt - tcb.snd_una <= tcb.mss
        wait += tcb.ns.conf.tcp.rto_min if single else _LEAST
    else:
        wait = _FIRST
    deadline = now + wait
    limit = (now if advancing else sent.ranges[0].sent_at) + tcb.rto
    if deadline > limit > now:
        deadline = limit
    arm_rexmit(tcb, REXMIT_TLP, deadline)
    return True


def probe_due(tcb: Tcb, now: int) -> None:
    """The probe's time has come (RFC 8985 7.3). The caller calls ``output`` next, which sends it."""
    sent = tcb.sent
    if sent is None or not sent.ranges:
        return
    if tcb.tlp is None:  # one at a time
        unsent = tcb.write_seq - tcb.snd_nxt
        if unsent > 0 and tcb.snd_nxt + min(tcb.mss, unsent) <= tcb.snd_una + tcb.snd_wnd:
            sent.probe = NEW
            tcb.nonagle |= 4  # it is not held back to become a full segment
        else:
            last = sent.ranges[-1]
            if not last.flags & SACKED:
                begin = last.origin + (last.end - 1 - last.origin) // last.mss * last.mss
                sent.force = (max(begin, last.start), last.end)
                sent.probe = AGAIN
    reduction.rearm(tcb, now)


def sent(tcb: Tcb, board: Scoreboard, now: int) -> None:
    """The probe has left: the RTO counts from now on (RFC 8985 7.3)."""
    tcb.tlp = (tcb.snd_nxt, board.probe == AGAIN)
    board.probe = 0
    tcb.ns.stats[_PROBES] += 1
    reduction.restart(tcb, now)


def acknowledged(tcb: Tcb, ack: int, advanced: bool, duplicate: bool, told_twice: bool, newly: int, now: int) -> None:
    """RFC 8985 7.4: an ACK up to `ack` while a probe is unaccounted for.

    `duplicate`: it said nothing new at all. `told_twice`: a D-SACK of just the probe.
    """
    high, again = tcb.tlp
    if ack < high:
        return
    if not again or told_twice:
        tcb.tlp = None
    elif advanced and ack > high:
        # No sign that both the original and the probe arrived: the probe repaired a loss.
        reduction.reduce(tcb, newly, now)
        reduction.change(tcb, CA_CWR, now)
        reduction.end_reduction(tcb, now)
        reduction.keep_open(tcb, now)
        tcb.ns.stats[_PROBE_RECOVERY] += 1
    elif duplicate:
        tcb.tlp = None
