"""A namespace: one complete instance of the stack, owning every piece of its state.

What a namespace can be asked and told at configuration time is in this package, one class for each thing, each built on
the one before: `tables`, `routes`, `addresses`, `devices`, `links`, `multicast`; the packet's way is in `pipeline`.
Everything a namespace does not use it does not pay for: tables are made when first needed.
"""

from __future__ import annotations

import errno
from typing import TYPE_CHECKING, Final

from vrouter.stack.base import addresses as addr
from vrouter.stack.base.counters import Stat
from vrouter.stack.base.drop import DROP_TABLE, N_REASONS, DropReason
from vrouter.stack.base.errors import os_error
from vrouter.stack.capture import RX, TX
from vrouter.stack.device import LOOPBACK_MTU, Device
from vrouter.stack.l3.ipv6_output import NO_FLOW
from vrouter.stack.l3.route import Refusal, route_output
from vrouter.stack.l4.opening import open_socket
from vrouter.stack.l4.socket import Socket, close_all
from vrouter.stack.l4.tcp.lifecycle import end_all
from vrouter.stack.netns.discovery import Discovery
from vrouter.stack.wire.ethernet import ETHERTYPE_IPV4, ETHERTYPE_IPV6, ethertype
from vrouter.stack.wire.ethernet import HEADER_LEN as ETHERNET_LEN

if TYPE_CHECKING:
    from vrouter.stack.base.packet import Packet
    from vrouter.stack.l3.fib import Route
    from vrouter.stack.stack import Stack

LO_ADDRESS: Final = 0x7F000001


class Netns(Discovery):
    """One namespace of a `Stack`; made by `Stack.add_netns`."""

    __slots__ = ()

    def __init__(self, stack: Stack, name: str) -> None:
        super().__init__(stack, name)
        self.lo = self._new_device("lo", "lo", addr.NULL_MAC, LOOPBACK_MTU)
        self.ip4.activate(self.ip4.add_address(self.lo, LO_ADDRESS, 8))

    def __repr__(self) -> str:
        return f"<Netns {self.name}>"

    def socket(self, family: int = 2, type: int = 2, proto: int = 0) -> Socket:  # noqa: A002 -- socket(2)'s word
        """A non-blocking BSD-style socket of this namespace; numbers are the kernel's (AF_INET 2, SOCK_DGRAM 2)."""
        self.check_open()
        return open_socket(self, family, type, proto)

    def route_output(
        self,
        dst: int,
        src: int = 0,
        oif: Device | None = None,
        *,
        family: int = addr.V4,
        mark: int = 0,
        tos: int = 0,
        proto: int = 0,
        sport: int = 0,
        dport: int = 0,
        sending: bool = False,
    ) -> tuple[Route, int]:
        """(route, source address) for a packet made here; OSError with the errno that a kernel socket would raise.

        Of several next hops, protocol and ports choose one where they belong to a flow (`l3.multipath`).
        With `sending` there is a packet, and a short-cut that is denied counts it; otherwise it is only a question.
        """
        decision = route_output(
            self.ip(family),
            dst,
            src,
            oif,
            self.stack.now,
            mark=mark,
            tos=tos,
            proto=proto,
            sport=sport,
            dport=dport,
        )
        if isinstance(decision, Refusal):
            raise os_error(decision.errno)
        route = decision[0]
        if route.target is not None and (route.crossing is None or not route.crossing.accepted):
            if sending:
                self.stats[Stat.AcctOriginated] += 1
                self.drops[DropReason.CROSSING_DENIED] += 1
                if route.crossing is not None:
                    route.crossing.denied += 1
            raise PermissionError(errno.EACCES, f"namespace {route.target!r} does not accept from {self.name!r}")
        return decision

    def send_ip(
        self,
        pkt: Packet,
        route: Route,
        now: int,
        *,
        ttl: int = -1,
        tos: int = 0,
        dont_fragment: bool = False,
        flow_label: int = -1,
    ) -> None:
        """Send a transport segment (``start``/``end``) with ``src dst proto`` set, by `route`.

        `ttl` -1 is the default; of IPv6 `tos` is the traffic class, and `flow_label` -1 has one chosen. OSError
        EMSGSIZE when it is too large for the path and must not be fragmented; any other loss is a drop, not an
        exception.
        """
        if flow_label >= 0:
            tos |= (flow_label or NO_FLOW) << 8
        self.stack.pipeline.socket_output(self, self.ip(pkt.family), pkt, route, now, ttl, tos, dont_fragment)

    def send_packet(self, pkt: Packet, route: Route, now: int) -> None:
        """Send an IP packet that is complete with its header (``l3 l4 src dst proto ttl family ethertype`` set)."""
        self.stats[Stat.AcctOriginated] += 1
        pipeline = self.stack.pipeline
        pipeline.output(self, self.ip(pkt.family), pkt, route, now)
        pipeline.run(now)

    def send_frame(self, pkt: Packet, now: int) -> None:
        """Send an Ethernet frame by ``pkt.oif``; by ``lo`` the IP packet in it goes around."""
        dev = pkt.oif
        if dev is not None and dev.kind == "lo":
            pkt.start += ETHERNET_LEN
            pkt.family = {ETHERTYPE_IPV4: addr.V4, ETHERTYPE_IPV6: addr.V6}.get(ethertype(pkt.buf, pkt.l2), 0)
            if not pkt.family:
                frame = bytes(pkt.buf[pkt.l2 : pkt.end])  # nobody takes it, but who watches sees it
                for direction in (TX, RX):
                    for capture in dev.captures:
                        capture.record(dev, direction, frame, now)
                pkt.iif = dev
                self.stats[Stat.AcctOriginated] += 1
                self.stack.pipeline.drop(self, pkt, DropReason.UNHANDLED_PROTO)
                return
        self.stack.pipeline.originate_frame(self, pkt, now)
        self.stack.pipeline.run(now)

    def drop_counts(self) -> dict[str, int]:
        """How many packets died for each reason, by the reason's name; zero counts are left out."""
        totals = [0] * N_REASONS
        for counters in [self._drops, *(dev.drops for dev in self.devices.values())]:
            if counters is not None:
                for index, count in enumerate(counters):
                    totals[index] += count
        return {reason.name: totals[reason] for reason in DROP_TABLE if totals[reason]}

    def stat(self, name: Stat) -> int:
        """One counter."""
        return self.stats[name]

    def queued(self) -> int:
        """Packets that wait inside this namespace: for a neighbour, or for the rest of their fragments."""
        waiting = sum(table.queued for table in (self._neigh4, self._neigh6) if table is not None)
        return waiting + sum(ip.reassembler.held for ip in self.families() if ip.reassembler is not None)

    def descendants(self) -> list[Netns]:
        """The namespaces below this one, each behind its parent."""
        found = list(self.children.values())
        for ns in found:
            found += ns.children.values()
        return found

    def close(self, now: int) -> None:
        """Let go of everything: sockets, queues, devices. What still waits dies as NS_CLOSING."""
        if self._ndp is not None:
            self._ndp.stopping(now)
            self.settle(now)
        self.closing = True
        close_all(self)
        for table in (self._tcp, self._tcp6):
            if table is not None:
                end_all(table)
        for ip in self.families():
            if ip.reassembler is not None:
                ip.reassembler.purge()
            ip.release_tables()
            ip.clear()
        for dev in list(self.devices.values()):
            if dev.removed:
                continue  # it went with one of another namespace that stood on one of here
            dev.refresh()
            self.detach_device(dev, now)
            self.stack.retire(dev)
        self.settle(now)
