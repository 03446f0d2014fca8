"""What ``ss -i`` and ``ss -o`` tell of a connection, and the rows of those that have no socket of their own.

`details` adds to a row of ``show sockets``: ``timer`` (the one that is to come up first: kind, ns until then, how often
in a row), ``congestion``, ``options`` in ss(8)'s words, and ``tcp_info`` (`info`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from vrouter.stack.base.addresses import V4, V6, format_address
from vrouter.stack.l4.tcp import info
from vrouter.stack.l4.tcp.request import Request
from vrouter.stack.l4.tcp.stream import STATE_NAMES
from vrouter.stack.l4.tcp.tcb import CLOSED, ECN_OK, ECN_SEEN, REXMIT_NONE, REXMIT_PROBE, Tcb

if TYPE_CHECKING:
    from vrouter.stack.l4.tcp.socket import TcpSocket
    from vrouter.stack.l4.tcp.timewait import TimeWait

NOTHING: Final[dict[str, Any]] = {"timer": None, "congestion": None, "options": [], "tcp_info": None}


def details(sock: TcpSocket, now: int) -> dict[str, Any]:
    """What there is to tell of a stream socket beyond its row."""
    tcb = sock.tcb
    told = dict(NOTHING)
    if tcb is not None and tcb.state != CLOSED and not sock.listening:
        told |= {"timer": _timer(tcb, now), "options": _options(tcb)}
        if tcb.cc is not None:
            told["congestion"] = tcb.cc.name
    told["tcp_info"] = info.of_socket(sock, now)
    return told


def _timer(tcb: Tcb, now: int) -> dict[str, Any] | None:
    """As inet_diag has it: of retransmission (``on``), of a closed window (``persist``), else of keep-alive."""
    if tcb.rexmit_kind != REXMIT_NONE:
        kind, count = ("persist", tcb.probes) if tcb.rexmit_kind == REXMIT_PROBE else ("on", tcb.retransmits)
        return timer(kind, tcb.rexmit_at, count, now)
    if tcb.keepalive is not None and tcb.keepalive.deadline >= 0:
        return timer("keepalive", tcb.keepalive.deadline, tcb.probes, now)
    return None


def timer(kind: str, deadline: int, count: int, now: int) -> dict[str, Any]:
    """A row's ``timer``."""
    return {"kind": kind, "expires_ns": max(0, deadline - now), "count": count}


def _options(tcb: Tcb) -> list[str]:
    words = [word for word, there in (("ts", tcb.ts_ok), ("sack", tcb.sack_ok), ("ecn", tcb.ecn & ECN_OK)) if there]
    if tcb.ecn & ECN_SEEN:
        words.append("ecnseen")
    if tcb.wscale_ok:
        words.append(f"wscale:{tcb.snd_wscale},{tcb.rcv_wscale}")
    return words


def row_of_rest(entry: Request | TimeWait, more: bool, now: int) -> dict[str, Any]:
    """The row of a half-open connection, or of what is left of one."""
    row: dict[str, Any] = {
        "netns": entry.table.ns.name,
        "proto": entry.table.name,
        "state": "SYN-RECV" if isinstance(entry, Request) else STATE_NAMES[entry.state],
        "local": f"{_text(entry.local, entry.family)}:{entry.port}",
        "peer": f"{_text(entry.peer, entry.family)}:{entry.peer_port}",
        "rx_queue": 0,
        "tx_queue": 0,
    }
    if more:
        row |= NOTHING
        if isinstance(entry, Request):
            if entry.timer is not None:
                row["timer"] = timer("on", entry.timer.deadline, entry.retransmits, now)
        else:
            row["timer"] = timer("timewait", entry.ends_at, 0, now)
    return row


def _text(address: int, family: int) -> str:
    return format_address(address) if family == V4 else f"[{format_address(address, V6)}]"
