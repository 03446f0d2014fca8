"""The packet's way, top to bottom: where frames come in. This package is the one place that names every layer, each of
its classes building on those that lie further on the way (`bridging`, `inward`, `multicast`, `settling`, `outward`).

Each step asks a layer what is to happen and carries it out; no layer calls another. A refused packet ends in `drop`,
and nowhere else. What would be a recursion (a veth's peer, ``lo``, a short-cut) becomes work, done in order by `run`,
so a packet's way through many namespaces takes no stack and ends: every crossing is counted, every hop costs TTL.

::

    frame_input ─► (bridging: vlan and bridge devices) ─► arp_input
                └► ip_input ─► route ─┬► deliver ─► icmp | udp | ndp | igmp, mld
                                      ├► group ───┤ (multicast routes)
                                      ├► forward ─┤
                                      ├► cross ───┼──────► route of the target
                                      └► refuse   │
    socket_output ─► output ──────────────────────┴► send ─► neighbour ─► transmit
"""

from __future__ import annotations

import errno
from typing import TYPE_CHECKING, Any, Final, cast

from vrouter.stack.base.counters import Stat
from vrouter.stack.base.drop import DropReason
from vrouter.stack.base.errors import os_error
from vrouter.stack.base.packet import HEADROOM, PAD, Packet
from vrouter.stack.egress import WORK_BRIDGE, WORK_CROSS, WORK_FRAME, WORK_LOOP, count_segments_in, watch_ingress
from vrouter.stack.l2.arp import arp_input
from vrouter.stack.l2.ethernet import ethernet_input
from vrouter.stack.l2.vnet import vnet_input
from vrouter.stack.pipeline.bridging import Bridging
from vrouter.stack.wire.ethernet import ETHERTYPE_ARP, ETHERTYPE_IPV4, ETHERTYPE_IPV6
from vrouter.stack.wire.vnet import LEN as VNET_LEN

if TYPE_CHECKING:
    from vrouter.stack.device import Device
    from vrouter.stack.l3.fib import Route
    from vrouter.stack.l3.ip import IpState
    from vrouter.stack.netns import Netns

# Members of an IntEnum are looked up slowly: the path uses plain numbers.
_ORIGINATED: Final = int(Stat.AcctOriginated)
_CONSUMED: Final = int(Stat.AcctConsumed)
_FRAME_AT: Final = HEADROOM + VNET_LEN


class Pipeline(Bridging):
    """Carries packets of all namespaces of one stack. Has no state but what is under way within one call."""

    __slots__ = ()

    def run(self, now: int) -> None:
        """Do what is waiting, in order, and what comes of it."""
        work = self.work
        while work:
            kind, where, pkt = work.popleft()
            if kind == WORK_FRAME:
                self.frame_input(cast("Device", where), pkt, now)
            elif kind == WORK_LOOP:
                self.loop_input(cast("Device", where), pkt, now)
            elif kind == WORK_BRIDGE:
                self.bridge_output(cast("Device", where), pkt, now)
            else:
                ns = cast("Netns", where)
                step = self.cross_input if kind == WORK_CROSS else self.deliver
                step(ns, ns.ip(pkt.family), pkt, now)

    def frame_input(self, dev: Device, pkt: Packet, now: int) -> None:
        """A frame from a wire or a veth's peer."""
        ns = dev.ns
        pkt.iif = dev
        dev.rx_packets += 1
        dev.rx_bytes += pkt.end - pkt.start
        if not dev.ready:
            return self.not_ready(dev, pkt)
        if pkt.gso_size:
            count_segments_in(dev, pkt)
        if dev.captures:
            watch_ingress(dev, pkt, now)
        if dev.layered and self.layered_input(ns, dev, pkt, now):
            return None
        reason = ethernet_input(dev, pkt)
        if reason:
            return self.drop(ns, pkt, reason)
        if pkt.ethertype == ETHERTYPE_IPV4:
            return self.ip_input(ns, ns.ip4, pkt, dev, now)
        if pkt.ethertype == ETHERTYPE_IPV6:
            if not dev.with_ipv6:
                return self.drop(ns, pkt, DropReason.IPV6DISABLED)
            return self.ip_input(ns, ns.ip6, pkt, dev, now)
        if pkt.ethertype == ETHERTYPE_ARP:
            return self.arp_input(ns, dev, pkt, now)
        return self.drop(ns, pkt, DropReason.UNHANDLED_PROTO)

    def not_ready(self, dev: Device, pkt: Packet) -> None:
        """A frame at a device that is down, or that has left its namespace and has nobody to count it."""
        if dev.removed:
            dev.rx_packets -= 1
            self.stack.unmapped += not dev.virtual  # what came to one above was received by the one below
            self.stack.drops[DropReason.NS_CLOSING] += 1
        else:
            if pkt.gso_size:
                count_segments_in(dev, pkt)
            self.drop(dev.ns, pkt, DropReason.DEV_READY)

    def vnet_input(self, dev: Device, frame: Any, now: int) -> None:
        """A frame with a virtio-net header in front, as `Device.vnet_hdr` says."""
        buf = bytearray(PAD)
        buf += frame
        self.vnet_buffer(dev, buf, now)

    def vnet_buffer(self, dev: Device, buf: bytearray, now: int) -> None:
        """The same in a buffer that is given away, with `HEADROOM` in front of the virtio-net header."""
        end = len(buf)
        if end >= _FRAME_AT and not buf[HEADROOM] and not buf[HEADROOM + 1]:  # no flag and no type: it says nothing
            return self.frame_input(dev, Packet(buf, _FRAME_AT, end), now)
        pkt = Packet(buf, HEADROOM, end)
        if vnet_input(dev, pkt) or not dev.ready:
            return self.frame_input(dev, pkt, now)
        dev.rx_packets += 1
        dev.rx_bytes += pkt.end - pkt.start
        pkt.iif = dev
        pkt.gso_size = 0  # who lies is not believed in how many they are either
        return self.drop(dev.ns, pkt, DropReason.VNET_HDR)

    def loop_input(self, dev: Device, pkt: Packet, now: int) -> None:
        """An IP packet that goes around through ``lo``."""
        pkt.iif = dev
        dev.rx_packets += 1
        dev.rx_bytes += pkt.end - pkt.start
        if pkt.gso_size:
            count_segments_in(dev, pkt)
        if not dev.ready:
            return self.drop(dev.ns, pkt, DropReason.DEV_READY)
        if dev.captures:
            watch_ingress(dev, pkt, now)
        return self.ip_input(dev.ns, dev.ns.ip(pkt.family), pkt, dev, now)

    def arp_input(self, ns: Netns, dev: Device, pkt: Packet, now: int) -> None:
        """ARP is answered, learnt from, and consumed."""
        if not dev.with_arp:
            return self.drop(ns, pkt, DropReason.UNHANDLED_PROTO)
        reason, reply = arp_input(ns, dev, pkt, now)
        if reason:
            self.drop(ns, pkt, reason)
        else:
            ns.stats[_CONSUMED] += 1
        if reply is not None:
            self.originate_frame(ns, reply, now)
        self.settle(ns, now)

    def socket_output(
        self, ns: Netns, ip: IpState, pkt: Packet, route: Route, now: int, ttl: int, tos: int, dont_fragment: bool
    ) -> None:
        """A socket sends a segment by `route`; OSError EMSGSIZE when it may not be cut and is too large."""
        codec = ip.codec
        size = pkt.end - pkt.start + codec.header
        if size > (ip.path_mtu(route, pkt.dst, now) if dont_fragment else codec.max_packet):
            raise os_error(errno.EMSGSIZE)
        ns.stats[_ORIGINATED] += 1
        codec.push(ip, pkt, ip.default_ttl(route.dev) if ttl < 0 else ttl, tos, dont_fragment, b"")
        self.output(ns, ip, pkt, route, now)
        self.run(now)
