"""An ICMP error about a segment of ours: what it may do to a connection.

It is believed only when the number of the segment that it quotes is one that is under way (RFC 5927 4.1), so that who
cannot see the connection cannot touch it. Then:

- Fragmentation Needed, Packet Too Big: the path learns, and what is too large goes again in smaller pieces (`pmtu`);
- before the connection is established it ends with the error. Deviation from RFC 1122 4.2.3.9, which has soft ones
  ignored: as in Linux all end it (RFC 5461 4.1), so that a program can try another address at once;
- later none ends it, not even those that RFC 1122 calls hard (RFC 5927 5.2): it is what a time-out then tells, and the
  program hears of it at once with IP_RECVERR. News that a network or host cannot be reached take one step of the
  retransmission timer's back-off away: nothing was lost to congestion (RFC 6069);
- a half-open connection of a listener goes, when its peer is out of reach.
"""

from __future__ import annotations

import errno
from typing import TYPE_CHECKING, Final

from vrouter.stack.base.addresses import V4, V6
from vrouter.stack.base.counters import Stat
from vrouter.stack.l4.constants import ERROR, RECVERR
from vrouter.stack.l4.errors import UNREACHABLE_TYPE, convert
from vrouter.stack.l4.tcp import lifecycle, output, pmtu, recovery, request
from vrouter.stack.l4.tcp.seq import unwrap
from vrouter.stack.l4.tcp.syn import retransmit_syn
from vrouter.stack.l4.tcp.tcb import INITIAL_RTO, REXMIT_RTO, SYN_RECEIVED, SYN_SENT, Tcb
from vrouter.stack.l4.tcp.timers import arm_rexmit
from vrouter.stack.wire import icmp, icmpv6
from vrouter.stack.wire import tcp as wire

if TYPE_CHECKING:
    from vrouter.stack.netns import Netns
    from vrouter.stack.wire.icmp import QuotedPacket

_OUT_OF_WINDOW: Final = int(Stat.TcpOutOfWindowIcmps)
_DROPS: Final = int(Stat.TcpListenDrops)
_NUMBERED: Final = 8  # bytes of a segment up to behind its sequence number
# Of Destination Unreachable, the codes that tell of a path that is interrupted (RFC 6069 3).
_DISCONNECTED: Final = {
    V4: frozenset((icmp.NET_UNREACHABLE, icmp.HOST_UNREACHABLE)),
    V6: frozenset((icmpv6.NO_ROUTE, icmpv6.ADDRESS_UNREACHABLE)),
}


def tcp_error(
    ns: Netns,
    quoted: QuotedPacket,
    icmp_type: int,
    icmp_code: int,
    info: int,
    now: int,
    offender: int = 0,
    family: int = V4,
) -> bool:
    """Tell the connection that sent `quoted` what ICMP of `family` reported; as `udp.udp_error`. True when it was
    believed. `info` is the next hop's MTU of a Fragmentation Needed or Packet Too Big."""
    if quoted.fragment_offset or len(quoted.data) < _NUMBERED:
        return False
    code, fatal = convert(icmp_type, icmp_code, family)
    if not code:
        return False
    table = ns.tcp if family == V4 else ns.tcp6
    entry = table.find(quoted.src, quoted.sport, quoted.dst, quoted.dport)
    number = wire.seq(quoted.data, 0)
    if isinstance(entry, Tcb):
        seq = unwrap(number, entry.snd_una)
        if not entry.snd_una <= seq <= entry.snd_nxt:
            ns.stats[_OUT_OF_WINDOW] += 1
            return False
        disconnected = icmp_type == UNREACHABLE_TYPE[family] and icmp_code in _DISCONNECTED[family]
        _tell(entry, seq, code, info, disconnected, now)
        return True
    if isinstance(entry, request.Request):
        if unwrap(number, entry.iss) != entry.iss:
            ns.stats[_OUT_OF_WINDOW] += 1
        elif fatal if family == V6 else code in (errno.EHOSTUNREACH, errno.ENETUNREACH, errno.EPROTO):
            request.drop(entry)
            ns.stats[_DROPS] += 1
    return False


def _tell(tcb: Tcb, seq: int, code: int, info: int, disconnected: bool, now: int) -> None:
    if code == errno.EMSGSIZE:
        tcb.ns.ip(tcb.family).learn_mtu(tcb.peer, info, now)
        pmtu.mtu_reduced(tcb, info, now)
        if tcb.state == SYN_SENT and tcb.snd_nxt > tcb.iss + 1:
            retransmit_syn(tcb, now)  # without the data, which it was too large for
        output.output(tcb, now)
        return
    if tcb.state == SYN_SENT or (tcb.state == SYN_RECEIVED and (tcb.fastopen is None or not tcb.accepted)):
        lifecycle.done(tcb, code)
        return
    if disconnected:
        _take_back_off(tcb, seq, now)
    if tcb.sock.settings_of(tcb.family).options & RECVERR and not tcb.orphan:
        tcb.sock.error = code
        tcb.sock.wake(ERROR)
    else:
        tcb.soft_error = code


def _take_back_off(tcb: Tcb, seq: int, now: int) -> None:
    """RFC 6069 4.1, 4.2: the segment that the timer stands for came to where there was no way on."""
    if seq != tcb.snd_una or not tcb.retransmits or not tcb.backoff or tcb.rexmit_kind != REXMIT_RTO:
        return
    tcb.backoff -= 1
    base = tcb.srtt + tcb.rttvar if tcb.srtt else INITIAL_RTO
    tcb.rto = min(base << tcb.backoff, tcb.ns.conf.tcp.rto_max)
    arm_rexmit(tcb, REXMIT_RTO, max(now, recovery.oldest_sent_at(tcb) + tcb.rto))
