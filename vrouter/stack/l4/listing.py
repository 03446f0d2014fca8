"""The sockets of a namespace as ``show sockets`` has them, and the end of one from outside (``ss -K``).

Rows are of what is bound, as in ss(8), in the order in which it was made; then those connections that no program holds:
not accepted yet, half open, closed and not over, in TIME-WAIT.
"""

from __future__ import annotations

import errno
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from vrouter.stack.l4.packet_socket import PacketSocket
from vrouter.stack.l4.socket import Socket
from vrouter.stack.l4.tcp import request, timewait
from vrouter.stack.l4.tcp.details import NOTHING, details, row_of_rest
from vrouter.stack.l4.tcp.request import Request
from vrouter.stack.l4.tcp.socket import TcpSocket
from vrouter.stack.l4.tcp.tcb import Tcb
from vrouter.stack.l4.tcp.timewait import TimeWait

if TYPE_CHECKING:
    from typing import TypeAlias

    from vrouter.stack.netns import Netns

    Entry: TypeAlias = Socket | Request | TimeWait

# What does not take part in a connection.
LISTENING: Final = ("LISTEN", "UNCONN")


class Wanted(NamedTuple):
    """Which rows are asked for: of this protocol, only those that listen, in this state, with these ports."""

    proto: str | None = None
    listening: bool = False
    state: str | None = None
    sport: int | None = None
    dport: int | None = None

    def fits(self, entry: Entry) -> bool:
        """Whether `entry` is one; its row tells the rest."""
        return (
            (self.proto is None or entry.table.name == self.proto)
            and (self.sport is None or entry.port == self.sport)
            and (self.dport is None or entry.peer_port == self.dport)
        )

    def shows(self, row: dict[str, Any]) -> bool:
        """Whether the row of an entry that fits is one."""
        if self.listening and row["state"] not in LISTENING:
            return False
        return self.state is None or row["state"] == self.state


EVERYTHING: Final = Wanted()


def _entries(ns: Netns) -> Iterator[Entry]:
    for sock in list(ns.sockets):
        if sock.port or isinstance(sock, PacketSocket):
            yield sock
    for table in (ns._tcp, ns._tcp6):  # asking must not make one
        for entry in [] if table is None else list(table.connections.values()):
            if not isinstance(entry, Tcb):
                yield entry
            elif entry.sock not in ns.sockets:
                yield entry.sock


def records(ns: Netns, wanted: Wanted = EVERYTHING, *, more: bool = False) -> list[dict[str, Any]]:
    """The rows of ``show sockets`` for a namespace; with `more` what ``ss -i`` tells stands in them."""
    return list(iter_records(ns, wanted, more=more))


def iter_records(ns: Netns, wanted: Wanted = EVERYTHING, *, more: bool = False) -> Iterator[dict[str, Any]]:
    """`records` one by one, each as it is when it is asked for; what has been closed by then is left out."""
    for entry in _entries(ns):
        if not wanted.fits(entry) or (isinstance(entry, Socket) and entry.closed and not _lives_on(entry)):
            continue
        row = _row(entry, ns.stack.now, more)
        if wanted.shows(row):
            yield row


def _lives_on(sock: Socket) -> bool:
    """Whether a socket that its program has closed is still a connection."""
    return isinstance(sock, TcpSocket) and sock.tcb is not None


def counts(ns: Netns) -> dict[str, int]:
    """How many rows `records` has of each protocol, without making them: there may be very many."""
    found: dict[str, int] = {}
    for entry in _entries(ns):
        name = entry.record()["proto"] if isinstance(entry, PacketSocket) else entry.table.name
        found[name] = found.get(name, 0) + 1
    return found


def _row(entry: Entry, now: int, more: bool = False) -> dict[str, Any]:
    if isinstance(entry, Request | TimeWait):
        return row_of_rest(entry, more, now)
    row = entry.record()
    if more:
        row |= details(entry, now) if isinstance(entry, TcpSocket) else NOTHING
    return row


def kill(ns: Netns, local: str, peer: str, proto: str | None = None, *, now: int | None = None) -> int:
    """End all sockets whose row has these ends: their programs get ECONNABORTED, their peers a reset. How many there
    were; OSError ENOENT when there is none."""
    now = ns.stack.advance(now)
    port = local.rpartition(":")[2]
    wanted = Wanted(proto, sport=int(port) if port.isdecimal() else -1)
    of_packets = proto in (None, "packet")
    ended = 0
    for entry in list(_entries(ns)):
        if not (of_packets if isinstance(entry, PacketSocket) else wanted.fits(entry)):
            continue
        row = _row(entry, now)
        if row["local"] != local or row["peer"] != peer:
            continue
        if isinstance(entry, Request):
            request.drop(entry)
        elif isinstance(entry, TimeWait):
            timewait.forget(entry)
        else:
            entry.destroy(now=now)
        ended += 1
    if not ended:
        raise OSError(errno.ENOENT, f"no socket of {ns.name!r} is at {local} with the peer {peer}")
    return ended
