"""Frames of devices that have others above them: vlan devices, and bridges.

A frame that came in by such a device goes up to the vlan device that has its tag, else to the bridge that has the
device, else it is the device's own. Going up is work (`WORK_FRAME`), as from a wire: counted, watched and judged at
each level. What a bridge decides (`l2.bridge`) is carried out here: a frame that leaves by n ports was received once,
copied n-1 times (n when the host gets it too) and transmitted n times.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from vrouter.stack.base.counters import Stat
from vrouter.stack.base.drop import DropReason
from vrouter.stack.crossing import MAX_CROSSINGS
from vrouter.stack.device import VLAN_OVERHEAD
from vrouter.stack.egress import WORK_FRAME, transmit
from vrouter.stack.l2.bridge_vlan import egress
from vrouter.stack.l2.ethernet import link_check
from vrouter.stack.l2.vlan import tag, vlan_input
from vrouter.stack.pipeline.inward import Inward
from vrouter.stack.wire.ethernet import ETHERTYPE_VLAN, VLAN_LEN
from vrouter.stack.wire.stp import GROUP

if TYPE_CHECKING:
    from vrouter.stack.base.packet import Packet
    from vrouter.stack.device import Device
    from vrouter.stack.l2.bridge import Bridge, BridgePort, Decision
    from vrouter.stack.netns import Netns

_COPIES: Final = int(Stat.AcctCopies)
_CONSUMED: Final = int(Stat.AcctConsumed)


class Bridging(Inward):
    """Between the devices of one namespace, below IP."""

    __slots__ = ()

    def layered_input(self, ns: Netns, dev: Device, pkt: Packet, now: int) -> bool:
        """Whether the frame belonged to a device above `dev`, or died on the way there."""
        reason = link_check(dev, pkt)
        if reason:
            self.drop(ns, pkt, reason)
            return True
        upper = vlan_input(dev, pkt)
        if upper is not None:
            self.hand_up(ns, upper, pkt)
            return True
        port = dev.bridge_port
        if port is None:
            return False
        self.bridge_input(ns, port, pkt, now)
        return True

    def hand_up(self, ns: Netns, upper: Device, pkt: Packet) -> None:
        """The tag is off: the frame comes in by the vlan device, if its namespace still takes it."""
        ingress = upper.ingress
        if ingress is not None:
            if not ingress.accepted:
                ingress.denied += 1
                return self.drop(ns, pkt, DropReason.CROSSING_DENIED)
            if pkt.crossings >= MAX_CROSSINGS:
                return self.drop(ns, pkt, DropReason.CROSSING_LOOP)
            pkt.crossings += 1
        self.work.append((WORK_FRAME, upper, pkt))
        return None

    def bridge_input(self, ns: Netns, port: BridgePort, pkt: Packet, now: int) -> None:
        """A frame came in by a bridge's port."""
        bridge: Bridge = port.bridge
        if is_pair_within(port.dev):  # bridges in a ring of pairs would have no end
            if pkt.crossings >= MAX_CROSSINGS:
                return self.drop(ns, pkt, DropReason.CROSSING_LOOP)
            pkt.crossings += 1
        start = pkt.start
        if pkt.buf[start : start + 6] == GROUP:
            reason = bridge.bpdu_input(port, pkt, now)
            if reason:
                return self.drop(ns, pkt, reason)
            ns.stats[_CONSUMED] += 1
            return self.settle_bridge(ns, bridge, now)
        verdict = bridge.input(port, pkt, now)
        if isinstance(verdict, int):
            self.drop(ns, pkt, verdict)
        else:
            self.bridge_send(ns, bridge, pkt, verdict, now)
        if bridge.actions:
            self.settle_bridge(ns, bridge, now)
        return None

    def bridge_output(self, dev: Device, pkt: Packet, now: int) -> None:
        """The bridge device sent a frame."""
        ns = dev.ns
        if dev.removed:
            self.stack.drops[DropReason.NS_CLOSING] += 1
            return None
        bridge: Bridge = dev.bridge
        verdict = bridge.output(pkt, now)
        if isinstance(verdict, int):
            return self.drop(ns, pkt, verdict)
        return self.bridge_send(ns, bridge, pkt, verdict, now)

    def bridge_send(self, ns: Netns, bridge: Bridge, pkt: Packet, decision: Decision, now: int) -> None:
        """Send a frame by each port that it is to leave by, and give the host its own."""
        ports, local, vid = decision
        if local:
            mine = pkt
            if ports:
                mine = pkt.copy()
                ns.stats[_COPIES] += 1
            if vid:
                egress(mine, vid, bridge.own.vids[vid])
            self.work.append((WORK_FRAME, bridge.dev, mine))
        left = len(ports)
        for port in ports:
            left -= 1
            one = pkt
            if left:
                one = pkt.copy()
                ns.stats[_COPIES] += 1
            reason = self.port_send(port, one, vid, now)
            if reason:
                self.drop(ns, one, reason)

    def port_send(self, port: BridgePort, pkt: Packet, vid: int, now: int) -> int:
        """Send a frame by one port; 0, or why it cannot be."""
        dev = port.dev
        pkt.oif = dev
        if vid:
            egress(pkt, vid, port.membership.vids[vid])
        size = pkt.longest() if pkt.gso_size else pkt.end - pkt.start
        most = dev.mtu + VLAN_OVERHEAD
        if size > most and (size > most + VLAN_LEN or tag(pkt, ETHERTYPE_VLAN) < 0):
            return DropReason.PKT_TOO_BIG
        return transmit(dev, pkt, now, self.egress, self.work)

    def settle(self, ns: Netns, now: int) -> None:
        """As below, and what bridges want done."""
        super().settle(ns, now)
        if ns.bridges:
            self.settle_bridges(ns, now)

    def settle_bridges(self, ns: Netns, now: int) -> None:
        """Do what the bridges of a namespace want done."""
        for bridge in list(ns.bridges or ()):
            if bridge.actions:
                self.settle_bridge(ns, bridge, now)

    def settle_bridge(self, ns: Netns, bridge: Bridge, now: int) -> None:
        """Send the protocol's frames, and let the bridge device's carrier follow its ports."""
        while bridge.actions:
            actions, bridge.actions = bridge.actions, []
            for action in actions:
                if action[0] == "frame":
                    self.originate_frame(ns, action[1], now)
                elif bridge.carrier != bridge.dev.carrier and not bridge.dev.removed:
                    error = "" if bridge.carrier else "no port forwards"
                    ns.set_carrier(bridge.dev, bridge.carrier, error, now)


def is_pair_within(dev: Device) -> bool:
    """Whether a device is, or stands on, one end of a pair with both ends in one namespace, which is no crossing."""
    while dev.parent is not None:
        dev = dev.parent
    return dev.peer is not None and dev.peer.ns is dev.ns
