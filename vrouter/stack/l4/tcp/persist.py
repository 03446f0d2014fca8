"""When a closed window is probed: the timer, which `probe` answers for when it comes up (RFC 9293 3.8.6.1).

It runs while something waits and nothing is under way; an ACK puts it off, or ends it (`ack`).
"""

from __future__ import annotations

from typing import Final

from vrouter.stack.l4.tcp.tcb import MS, REXMIT_NONE, REXMIT_PROBE, Tcb
from vrouter.stack.l4.tcp.timers import arm_rexmit, disarm_rexmit

LEAST: Final = 200 * MS  # between two probes


def unsent(tcb: Tcb) -> bool:
    """Whether data or a FIN wait to be sent."""
    return tcb.snd_nxt < tcb.write_seq or tcb.snd_nxt == tcb.fin_seq


def arm(tcb: Tcb, now: int) -> None:
    """Nothing is under way: should something wait, it is looked after (tcp_check_probe_timer)."""
    if tcb.rexmit_kind == REXMIT_NONE and unsent(tcb):
        arm_rexmit(tcb, REXMIT_PROBE, now + interval(tcb))


def interval(tcb: Tcb) -> int:
    """ns until the next probe: the RTO, doubled for each that there was (tcp_probe0_when)."""
    most = tcb.ns.conf.tcp.rto_max
    return min(max(tcb.rto, LEAST) << min(tcb.backoff, 10), most)


def clamped(tcb: Tcb, wait: int, now: int) -> int:
    """Not beyond TCP_USER_TIMEOUT (tcp_clamp_probe0_to_user_timeout)."""
    if not tcb.user_timeout or tcb.probe_at < 0:
        return wait
    left = tcb.user_timeout - (now - tcb.probe_at)
    return min(wait, max(left, 2 * MS))


def ack_received(tcb: Tcb, now: int) -> None:
    """An ACK came: the peer is there, however closed its window is. With nothing under way the next probe is put off,
    or needed no more (tcp_ack_probe)."""
    tcb.probes = 0
    if tcb.snd_una != tcb.snd_nxt or not unsent(tcb):
        if tcb.rexmit_kind == REXMIT_PROBE:
            disarm_rexmit(tcb)
        return
    size = min(tcb.mss, max(tcb.write_seq - tcb.snd_nxt, 1))
    if tcb.snd_nxt + size <= tcb.snd_una + tcb.snd_wnd:
        tcb.backoff = 0
        tcb.probe_at = -1
        if tcb.rexmit_kind == REXMIT_PROBE:
            disarm_rexmit(tcb)
    else:
        arm_rexmit(tcb, REXMIT_PROBE, now + clamped(tcb, interval(tcb), now))
