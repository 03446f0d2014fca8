"""The path of a connection: its route, the largest packet that it takes, and so the segment size.

The route is kept with the connection, and asked for anew when a routing table of its family changed, its gate (a
device) is not ready, a second has passed (a better way may have come back), or the retransmission timer has given it
up; with routing rules each time. Its MTU, and what ICMP told of the destination (RFC 1191, RFC 8201), `sync` turns into
``tcb.mss``: what a segment with the usual options carries.

ICMP may be lost or lie, so `mtu_probing` (Linux's ``tcp_mtu_probing``, RFC 4821, RFC 8899): 2 searches from the start,
1 once a path looks like a black hole, which is when what stands first has been sent again ``tcp_retries1`` times. Then
the size falls to ``tcp_base_mss`` (halved each further time), and the search goes up again: a *probe* is one segment of
new data between what is known to arrive (``low``) and what is the most that may (``high``). When it is acknowledged
``low`` is raised; when it is lost, ``high`` is lowered, and this is no sign of congestion (RFC 4821 7.6.2).

A row of losses looks the same as a black hole, and a connection whose segments stay small after it never gets its share
of a crowded path again. So a suspicion is on trial first: as soon as anything is acknowledged the size is the former
one again. If a segment of that size arrives, the suspicion is refuted; silence after silence confirms it.

Expects: ``local``, ``peer``, ports and ``peer_mss`` of the connection. Read first: RFC 4821 7, RFC 9293 3.7.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from vrouter.stack.base.addresses import V4
from vrouter.stack.base.counters import Stat
from vrouter.stack.l4.constants import IP_PMTUDISC_DONT
from vrouter.stack.l4.tcp import recovery
from vrouter.stack.l4.tcp.tcb import CA_OPEN, CLOSED, LISTEN, SECOND, SYN_SENT, Tcb

if TYPE_CHECKING:
    from vrouter.stack.netns import Netns

MAX_PACKET: Final = 65535  # of IP, header included: what a superframe must fit into as well
TIMESTAMP_SIZE: Final = 12
HEADERS: Final = {4: 40, 6: 60}  # IP and TCP without options
_LEAST: Final = 48  # with timestamps: so much that SACK blocks leave room for data
MIN_ADVERTISED: Final = 256  # net.ipv4.route.min_adv_mss
_ROUTE_AGE: Final = SECOND
_LOCAL: Final = 2  # the route's type, RTN_LOCAL
_MIN_CWND: Final = 11  # segments of the window, for one of them to be risked (RFC 4821 7.3)
_TRIALS: Final = 2
_MTUP_FAIL: Final = int(Stat.TcpMTUPFail)
_MTUP_SUCCESS: Final = int(Stat.TcpMTUPSuccess)


class Probing:
    """The search: packet sizes between ``low`` and ``high`` are in doubt. ``size`` is that of the probe under way (0:
    none), whose data are the numbers ``start`` to ``end``; ``at`` is when the search began (ns).

    ``unsure`` are the trials that are left to a suspicion until it is believed. From the number ``trial`` on (-1: not
    yet) segments have their former size again, and one of them that arrives refutes it."""

    __slots__ = ("at", "enabled", "end", "high", "low", "size", "start", "trial", "unsure")

    def __init__(self, low: int, high: int, enabled: bool, now: int) -> None:
        self.low, self.high = low, high
        self.enabled = enabled
        self.size = 0
        self.start = self.end = self.trial = -1
        self.at = now
        self.unsure = 0


# -- the route -------------------------------------------------------------------------------------------------------


def route_of(tcb: Tcb, now: int) -> Any:
    """The route that segments take, None when there is none (``soft_error`` then says why)."""
    ip = tcb.ns.ip4 if tcb.family == V4 else tcb.ns.ip6
    route = tcb.route
    if (
        route is not None
        and now < tcb.route_until
        and tcb.route_at == ip.local.generation + ip.main.generation
        and ip.rules is None
        and route.gate.ready
    ):
        return route
    sock = tcb.sock
    settings = sock.settings4 if tcb.family == V4 else sock.settings
    try:
        route, _ = tcb.ns.route_output(
            tcb.peer,
            tcb.local,
            sock.device or settings.device,
            family=tcb.family,
            mark=sock.mark,
            tos=settings.tos,
            proto=6,
            sport=tcb.port,
            dport=tcb.peer_port,
        )
    except OSError as error:
        tcb.route = None
        tcb.soft_error = error.errno or 0
        return None
    tcb.route = route
    tcb.route_at = ip.local.generation + ip.main.generation
    tcb.route_until = now + _ROUTE_AGE
    return route


def path_mtu(ns: Netns, family: int, route: Any, dst: int, now: int) -> int:
    """The largest packet that `route` and the path behind it to `dst` take, in bytes; at most `MAX_PACKET`."""
    mtu = ns.lo.mtu if route.type == _LOCAL else (ns.ip4 if family == V4 else ns.ip6).path_mtu(route, dst, now)
    return mtu if mtu < MAX_PACKET else MAX_PACKET


def follow(tcb: Tcb, now: int) -> None:
    """Find out how large packets may be at present (tcp_current_mss)."""
    route = route_of(tcb, now)
    if route is not None:
        mtu = path_mtu(tcb.ns, tcb.family, route, tcb.peer, now)
        if mtu != tcb.pmtu:
            sync(tcb, mtu)


# -- sizes -----------------------------------------------------------------------------------------------------------


def advertised_mss(ns: Netns, family: int, route: Any, dst: int, maxseg: int, now: int) -> int:
    """The MSS option of a SYN (RFC 9293 3.7.1): what the path's MTU leaves, the route's ``advmss``; TCP_MAXSEG (0: not
    set) bounds it."""
    mss = route.advmss or max(path_mtu(ns, family, route, dst, now) - HEADERS[family], MIN_ADVERTISED)
    return min(mss, maxseg) if maxseg else mss


def begin(tcb: Tcb, now: int) -> None:
    """The path is asked for, for the first time: ``adv_mss``, ``pmtu`` and ``mss`` are known from now on."""
    route = route_of(tcb, now)
    if route is not None:
        ns = tcb.ns
        tcb.adv_mss = advertised_mss(ns, tcb.family, route, tcb.peer, tcb.sock.maxseg, now)
        tcb.pmtu = path_mtu(ns, tcb.family, route, tcb.peer, now)
    elif not tcb.adv_mss:
        tcb.pmtu = 576 if tcb.family == V4 else 1280
        tcb.adv_mss = tcb.pmtu - HEADERS[tcb.family]
    sync(tcb)
    if tcb.ns.conf.tcp.mtu_probing > 1 and tcb.mtu_probe is None:
        tcb.mtu_probe = _start(tcb, True, now)
        sync(tcb)


def sync(tcb: Tcb, mtu: int = 0) -> None:
    """Set ``mss`` by the path's `mtu` (0: as it is), what the peer takes, its window, and the search (tcp_sync_mss).

    Call when any of these, or whether segments have timestamps, has changed.
    """
    if mtu:
        tcb.pmtu = mtu
    mtu = tcb.pmtu
    if not mtu:
        return
    mss = mss_of(tcb, mtu)
    if tcb.max_window:  # RFC 9293 3.8.6.2.1: half the window that there ever was is worth sending
        half = tcb.max_window >> 1 if tcb.max_window > 536 else tcb.max_window
        if mss > half:
            mss = max(half, _LEAST - TIMESTAMP_SIZE if tcb.ts_ok else _LEAST)
    probe: Probing | None = tcb.mtu_probe
    if probe is not None:
        if probe.high > mtu:
            probe.high = mtu
        if probe.enabled:
            mss = min(mss, mss_of(tcb, probe.low))
    if mss > tcb.mss and tcb.cc is not None:
        # A window reckoned in smaller segments is one of the larger at least (RFC 5681 3.1): else it would take a
        # round trip for each of a few bytes until they let a segment leave again.
        tcb.cwnd = max(tcb.cwnd, mss)
        tcb.ssthresh = max(tcb.ssthresh, 2 * mss)
    tcb.mss = mss


def mss_of(tcb: Tcb, mtu: int) -> int:
    """What a packet of `mtu` bytes carries, with the usual options."""
    mss = max(min(mtu - HEADERS[tcb.family], tcb.peer_mss), tcb.ns.conf.tcp.min_snd_mss)
    return mss - TIMESTAMP_SIZE if tcb.ts_ok else mss


def mtu_of(tcb: Tcb, mss: int) -> int:
    """The packet that carries `mss` bytes of data."""
    return mss + HEADERS[tcb.family] + (TIMESTAMP_SIZE if tcb.ts_ok else 0)


def mtu_reduced(tcb: Tcb, mtu: int, now: int) -> None:
    """A Fragmentation Needed or Packet Too Big about a segment of this connection was believed: what is on its way and
    too large goes again at once, in smaller pieces, and this is no congestion (RFC 1191 6.4, RFC 8201 5.4)."""
    if tcb.state == CLOSED or tcb.state == LISTEN:
        return
    sock = tcb.sock
    settings = sock.settings4 if tcb.family == V4 else sock.settings
    if settings.mtu_discover == IP_PMTUDISC_DONT:
        return
    before = tcb.pmtu
    follow(tcb, now)
    if tcb.pmtu < before and tcb.state != SYN_SENT:
        recovery.mtu_reduced(tcb, now)


# -- black holes and the search --------------------------------------------------------------------------------------


def _start(tcb: Tcb, enabled: bool, now: int) -> Probing:
    low = mtu_of(tcb, tcb.ns.conf.tcp.base_mss)
    high = tcb.peer_mss + HEADERS[tcb.family]
    return Probing(low, min(high, tcb.pmtu) if tcb.pmtu else high, enabled, now)


def suspect_black_hole(tcb: Tcb, now: int) -> None:
    """What stands first has been sent too often: from now on smaller, and smaller each time (RFC 4821 7.7)."""
    conf = tcb.ns.conf.tcp
    if not conf.mtu_probing:
        return
    probe: Probing | None = tcb.mtu_probe
    if probe is None or not probe.enabled:
        tcb.mtu_probe = _start(tcb, True, now)
        tcb.mtu_probe.unsure = _TRIALS if probe is None else probe.unsure - 1
    else:
        mss = min(conf.base_mss, mss_of(tcb, probe.low) >> 1)
        probe.low = mtu_of(tcb, max(mss, conf.mtu_probe_floor, conf.min_snd_mss))
    sync(tcb)


def probe_size(tcb: Tcb, unsent: int, window: int, room: int, now: int) -> int:
    """How many bytes of data a probe is to carry now: 0 for none, -1 when there is to be one as soon as the windows
    leave room for it and what follows (tcp_mtu_probe). `unsent`, `window` and `room` are bytes of new data: what there
    is, and what the peer's window and ``cwnd`` leave."""
    probe: Probing = tcb.mtu_probe
    if (
        not probe.enabled
        or probe.size
        or tcb.ca_state != CA_OPEN
        or tcb.cwnd < _MIN_CWND * tcb.mss
        or tcb.ooo is not None
        or tcb.dsack is not None
    ):
        return 0
    conf = tcb.ns.conf.tcp
    size = mss_of(tcb, (probe.high + probe.low) >> 1)
    if size > mss_of(tcb, probe.high) or probe.high - probe.low < conf.probe_threshold or size <= tcb.mss:
        if now - probe.at >= conf.probe_interval:  # RFC 4821 7.5: the path may have changed for the better
            low = mtu_of(tcb, tcb.mss)
            tcb.mtu_probe = Probing(low, max(min(tcb.peer_mss + HEADERS[tcb.family], tcb.pmtu), low), True, now)
        return 0
    needed = size + (tcb.reordering + 1) * tcb.mss  # so that a loss is noticed without a time-out
    if unsent < needed or tcb.snd_wnd < needed:
        return 0
    if window < needed:
        return -1
    if room < 2 * tcb.mss:
        return -1 if tcb.snd_nxt > tcb.snd_una else 0
    return size


def probe_sent(tcb: Tcb, start: int, end: int) -> None:
    """The numbers `start` to `end` are on their way as one segment."""
    probe: Probing = tcb.mtu_probe
    probe.size = mtu_of(tcb, end - start)
    probe.start, probe.end = start, end


def probe_acked(tcb: Tcb) -> None:
    """``snd_una`` moved: a probe before it has arrived."""
    probe: Probing | None = tcb.mtu_probe
    if probe is None:
        return
    if probe.size:
        if tcb.snd_una >= probe.end:
            probe.low = probe.size
            probe.size = 0
            tcb.ns.stats[_MTUP_SUCCESS] += 1
            sync(tcb)
    elif probe.unsure:
        _try(tcb, probe)


def _try(tcb: Tcb, probe: Probing) -> None:
    """Something was acknowledged after a suspicion: was it the size, or were there only many losses?"""
    if probe.trial < 0:
        probe.trial = tcb.snd_una
        probe.enabled = False
        sync(tcb)
    elif tcb.snd_una >= probe.trial + tcb.mss:
        tcb.mtu_probe = None


def probe_lost(tcb: Tcb) -> bool:
    """What stands first is about to be taken for lost: whether that is the probe, which was too large. Then it is sent
    again in pieces, and nobody slows down for it (RFC 4821 7.6.2)."""
    probe: Probing | None = tcb.mtu_probe
    if probe is None or not probe.size or tcb.snd_una != probe.start:
        return False
    probe.high = probe.size - 1
    probe.size = 0
    tcb.ns.stats[_MTUP_FAIL] += 1
    return True


def probe_inconclusive(tcb: Tcb) -> None:
    """Something is sent again: whatever becomes of the probe tells nothing of its size."""
    probe: Probing | None = tcb.mtu_probe
    if probe is not None:
        probe.size = 0
