"""A bridge: ports of one namespace that are one link, and the device by which the namespace itself is on it.

`Bridge.input` decides about a frame that came in by a port, `Bridge.output` about one that the bridge device sends:
which ports it leaves by, whether the host gets it, in which VLAN, or why it dies. `pipeline.bridging` carries it out.
The decision goes through, in this order:

====================  ================================================================================================
BRIDGE_INGRESS_…      the port discards, or is only learning (7.4; spanning tree or `BridgePort.admin`)
ETH_SRC_INVALID       nobody's address as the source (groups were refused before this)
OTHERHOST             a reserved group, 01-80-C2-00-00-0X, that nobody here listens to: never relayed (7.12.6)
VLAN_NOT_ALLOWED      with filtering: the port is no member of the frame's VLAN (`bridge_vlan`)
(learning)            the source is noted (`fdb`)
BRIDGE_STORM          more floods of this kind than the port may cause (`storm`)
NO_TX_TARGET          nobody is left: the station is behind the port the frame came by, or isolation keeps them apart
====================  ================================================================================================

The bridge device's own addresses are its MAC and those of its ports: frames for them go up. Its MAC is the lowest of
its ports' and its MTU the smallest, unless they were set; it has a carrier while a port forwards.

A frame is relayed as it is: any protocol, any length that the port's MTU allows, virtio-net header included; only
802.1Q tags are changed, and only with filtering.

Deviation from Linux: a bridge without spanning tree does not relay BPDUs either; IEEE 802.1D-2004 7.12.6 lets no bridge
relay them.

State: tables and ports here, the protocol in `stp`. Timers: ageing, the protocol's tick, and snooping's.
Read first: IEEE 802.1D-2004 clause 7, IEEE 802.1Q clause 8.
"""

from __future__ import annotations

from struct import Struct
from typing import TYPE_CHECKING, Any, Final

from vrouter.stack.base.drop import DropReason
from vrouter.stack.base.packet import LOCAL_OUT, Packet
from vrouter.stack.base.timers import Timer, TimerKind
from vrouter.stack.l2.bridge_vlan import DEFAULT_PVID, REFUSED, Membership, egress
from vrouter.stack.l2.fdb import DEFAULT_AGEING, Fdb
from vrouter.stack.l2.snooping import Snooping
from vrouter.stack.l2.storm import BROADCAST, MULTICAST, UNKNOWN, StormLimits
from vrouter.stack.l2.stp.port import DEFAULT_PATH_COST, DEFAULT_PORT_PRIORITY, PST_FORWARDING, PST_LEARNING, StpPort
from vrouter.stack.l2.stp.tree import SpanningTree
from vrouter.stack.wire import ethernet
from vrouter.stack.wire import stp as wire

if TYPE_CHECKING:
    from vrouter.stack.device import Device

SECOND: Final = 1_000_000_000
MAX_PORTS: Final = 1023
GUARDED: Final = "a BPDU came in by a guarded port"  # what is wrong with a port until somebody configures it anew

_STP_STATE: Final = int(DropReason.BRIDGE_INGRESS_STP_STATE)
_VLAN: Final = int(DropReason.VLAN_NOT_ALLOWED)
_STORM: Final = int(DropReason.BRIDGE_STORM)
_NO_TARGET: Final = int(DropReason.NO_TX_TARGET)
_OTHERHOST: Final = int(DropReason.OTHERHOST)
_ETH_SRC_INVALID: Final = int(DropReason.ETH_SRC_INVALID)
_BPDU_INVALID: Final = int(DropReason.BPDU_INVALID)

_NOBODY: Final = bytes(6)

_addresses = Struct("!6s6s").unpack_from

# Ports to leave by, whether the host gets it, and the VLAN (0 without filtering).
Decision = tuple[list["BridgePort"], bool, int]


class BridgePort:
    """A device as a port of a bridge. ``forwards`` and ``learns`` are what the data path asks."""

    __slots__ = (
        "admin",
        "ageing",
        "all_groups_until",
        "bridge",
        "cost",
        "dev",
        "edge",
        "fast_until",
        "flood",
        "forwards",
        "groups",
        "guard",
        "isolated",
        "learning",
        "learns",
        "learnt",
        "mcast_router",
        "membership",
        "number",
        "priority",
        "storm",
        "stp",
    )

    def __init__(self, bridge: Bridge, dev: Device, number: int) -> None:
        self.bridge = bridge
        self.dev = dev
        self.number = number
        self.admin = "forwarding"  # the most that it may do: forwarding, learning, blocking, disabled
        self.forwards = self.learns = False
        self.learning = True
        self.flood = True  # whether it gets unicast frames for stations that nobody knows
        self.isolated = False  # isolated ports do not hear one another
        self.mcast_router = False
        self.guard = "none"  # bpdu: a BPDU disables it; root: never the root port
        self.cost = DEFAULT_PATH_COST
        self.priority = DEFAULT_PORT_PRIORITY
        self.edge: bool | None = None
        self.storm: StormLimits | None = None
        self.membership = Membership(bridge.default_pvid)
        self.stp: StpPort | None = None
        self.learnt = 0  # entries of the filtering database
        self.ageing = bridge.ageing
        self.fast_until = 0  # ns: the end of rapid ageing (802.1D-2004 17.19.1)
        self.groups = 0  # memberships that snooping knows of
        self.all_groups_until = 0  # ns: some of them had no room

    def __repr__(self) -> str:
        return f"<BridgePort {self.dev.name} of {self.bridge.dev.name}>"

    @property
    def state(self) -> str:
        """``disabled``, ``blocking``, ``learning`` or ``forwarding``."""
        if not self.dev.ready or self.admin == "disabled":
            return "disabled"
        return "forwarding" if self.forwards else "learning" if self.learns else "blocking"


class Bridge:
    """The bridge of the device `dev`; ``actions`` is what the pipeline has to do: ("frame", packet), ("carrier",)."""

    __slots__ = (
        "actions",
        "age_timer",
        "ageing",
        "default_pvid",
        "dev",
        "fdb",
        "filtering",
        "fixed_mac",
        "fixed_mtu",
        "own",
        "own_mac",
        "own_macs",
        "ports",
        "snooping",
        "snooping_timer",
        "stp",
        "stp_timer",
        "times",
    )

    def __init__(self, dev: Device) -> None:
        self.dev = dev
        self.ports: dict[Device, BridgePort] = {}
        self.fdb = Fdb()
        self.ageing = DEFAULT_AGEING
        self.filtering = False
        self.default_pvid = DEFAULT_PVID
        self.own = Membership(DEFAULT_PVID)  # the bridge device's
        self.own_mac = dev.mac  # while it has no ports
        self.own_macs: frozenset[bytes] = frozenset((dev.mac,))
        self.fixed_mac = self.fixed_mtu = False
        self.snooping: Snooping | None = None
        self.stp: SpanningTree | None = None
        self.times: dict[str, int] = {"priority": 32768, "hello_time": 2, "max_age": 20, "forward_delay": 15}
        self.age_timer = Timer(TimerKind.BRIDGE_AGE, self)
        self.stp_timer = Timer(TimerKind.STP_TICK, self)
        self.snooping_timer = Timer(TimerKind.SNOOPING, self)
        self.actions: list[tuple[Any, ...]] = []

    def __repr__(self) -> str:
        return f"<Bridge {self.dev.name}>"

    # -- the data path ------------------------------------------------------------------------------------------------

    def input(self, port: BridgePort, pkt: Packet, now: int) -> int | Decision:
        """Decide about a frame that came in by `port`, between ``start`` and ``end``."""
        dst, src = _addresses(pkt.buf, pkt.start)
        if not port.forwards and not port.learns:
            return _STP_STATE
        if src == _NOBODY:
            return _ETH_SRC_INVALID
        if dst[0] == 1 and dst[:5] == wire.RESERVED and dst[5] < 16:
            return _OTHERHOST
        vid = 0
        if self.filtering:
            vid = port.membership.ingress(pkt)
            if vid == REFUSED:
                return _VLAN
        if port.learning and src not in self.own_macs and self.fdb.learn(port, vid, src, now):
            timer = self.age_timer
            if timer.deadline < 0:
                self.dev.ns.stack.timers.arm(timer, now + port.ageing)
        if not port.forwards:
            return _STP_STATE
        if not dst[0] & 1:
            if dst in self.own_macs:
                return ([], True, vid) if not vid or vid in self.own.vids else _VLAN
            known = self.fdb.lookup(vid, dst, now)
            if known is not None:
                reached = known is not port and self._may_leave(known, port, vid)
                return ([known], False, vid) if reached else _NO_TARGET
            if port.storm is not None and not port.storm.allows(UNKNOWN, now):
                return _STORM
            targets = [p for p in self.ports.values() if p.flood and p is not port and self._may_leave(p, port, vid)]
            return (targets, False, vid) if targets else _NO_TARGET
        kind = BROADCAST if dst == ethernet.BROADCAST else MULTICAST
        if port.storm is not None and not port.storm.allows(kind, now):
            return _STORM
        targets = self._group(kind, port, vid, pkt, now)
        local = (not vid or vid in self.own.vids) and (kind == BROADCAST or wants_group(self.dev, dst))
        return (targets, local, vid) if targets or local else _NO_TARGET

    def output(self, pkt: Packet, now: int) -> int | Decision:
        """Decide about a frame that the bridge device sends."""
        dst = bytes(pkt.buf[pkt.start : pkt.start + 6])
        vid = 0
        if self.filtering:
            vid = self.own.ingress(pkt)
            if vid == REFUSED:
                return _VLAN
        if not dst[0] & 1:
            known = self.fdb.lookup(vid, dst, now)
            if known is not None:
                return ([known], False, vid) if self._may_leave(known, None, vid) else _NO_TARGET
            targets = [p for p in self.ports.values() if p.flood and self._may_leave(p, None, vid)]
        else:
            targets = self._group(BROADCAST if dst == ethernet.BROADCAST else MULTICAST, None, vid, pkt, now)
        return (targets, False, vid) if targets else _NO_TARGET

    def _group(self, kind: int, port: BridgePort | None, vid: int, pkt: Packet, now: int) -> list[BridgePort]:
        wanted = None
        if kind == MULTICAST and self.snooping is not None:
            wanted = self.snooping.targets(port, vid, pkt, now)
        return [
            p
            for p in self.ports.values()
            if p is not port and (wanted is None or p in wanted) and self._may_leave(p, port, vid)
        ]

    @staticmethod
    def _may_leave(p: BridgePort, port: BridgePort | None, vid: int) -> bool:
        if not p.forwards or (port is not None and p.isolated and port.isolated):
            return False
        return not vid or vid in p.membership.vids

    def bpdu_input(self, port: BridgePort, pkt: Packet, now: int) -> int:
        """A frame for the bridge group address: 0 when it was taken note of, or why it dies."""
        buf, start = pkt.buf, pkt.start
        if self.stp is None or port.stp is None:
            return _OTHERHOST
        length = ethernet.ethertype(buf, start)
        at = start + ethernet.HEADER_LEN
        if not wire.LLC_LEN < length <= pkt.end - at or buf[at : at + wire.LLC_LEN] != wire.LLC:
            return _BPDU_INVALID
        bpdu = wire.Bpdu.parse(buf, at + wire.LLC_LEN, at + length)
        if bpdu is None:
            return _BPDU_INVALID
        if port.guard == "bpdu":
            port.admin = "disabled"
            port.dev.error = GUARDED
            self.link_changed(port, now)
            return 0
        taken = self.stp.receive(port.stp, bpdu)
        self.apply_stp(now)
        return 0 if taken else _BPDU_INVALID

    # -- ports --------------------------------------------------------------------------------------------------------

    def add_port(self, dev: Device, now: int) -> BridgePort:
        """`dev` becomes a port."""
        taken = {p.number for p in self.ports.values()}
        number = next(n for n in range(1, MAX_PORTS + 2) if n not in taken)
        port = BridgePort(self, dev, number)
        self.ports[dev] = port
        dev.bridge_port, dev.layered = port, True
        self.fdb.set_ports(len(self.ports))
        if self.stp is not None:
            self._enter_tree(port)
        self.link_changed(port, now)
        return port

    def remove_port(self, port: BridgePort, now: int) -> None:
        """The device is a port no more; what was learnt and said about it is forgotten."""
        dev = port.dev
        del self.ports[dev]
        dev.bridge_port, dev.layered = None, dev.vlans is not None
        self.fdb.forget(port, static=True)
        self.fdb.set_ports(len(self.ports))
        if self.snooping is not None:
            self.snooping.forget(port)
        if self.stp is not None and port.stp is not None:
            self.stp.remove_port(port.stp)
            self.apply_stp(now)
        port.forwards = port.learns = False
        _forgive(port)
        self._carrier()

    def link_changed(self, port: BridgePort, now: int) -> None:
        """A port's device became ready, or is no more; or `admin` changed."""
        enabled = port.dev.ready and port.admin != "disabled"
        if port.stp is not None and self.stp is not None:
            self.stp.set_enabled(port.stp, enabled)
            self.apply_stp(now)
        self._set_state(port)
        if not enabled:
            self.fdb.forget(port)
            if self.snooping is not None:
                self.snooping.forget(port)
        self._carrier()

    def _set_state(self, port: BridgePort) -> None:
        """What the port does: what the spanning tree lets it, and its administrator."""
        state = PST_FORWARDING if port.stp is None else port.stp.pst
        enabled = port.dev.ready
        port.forwards = enabled and state == PST_FORWARDING and port.admin == "forwarding"
        port.learns = enabled and state >= PST_LEARNING and port.admin in ("forwarding", "learning")

    def _carrier(self) -> None:
        self.actions.append(("carrier",))

    @property
    def carrier(self) -> bool:
        """Whether the bridge device has one: while a port forwards."""
        return any(p.forwards for p in self.ports.values())

    def addresses_changed(self) -> bytes:
        """Ports came, went, or have other addresses: what the bridge device's MAC is to be now."""
        if self.fixed_mac or not self.ports:
            return self.own_mac
        return min(dev.mac for dev in self.ports)

    def refresh_macs(self) -> None:
        """Take note of the bridge device's MAC and its ports'."""
        self.own_macs = frozenset((self.dev.mac, *(dev.mac for dev in self.ports)))
        for mac in self.own_macs:  # nobody else is there
            for table in self.fdb.tables.values():
                entry = table.get(mac)
                if entry is not None and not entry.static:
                    table.pop(mac).port.learnt -= 1
        if self.stp is not None:
            self._configure_tree(self.stp.rstp)
            self.apply_stp(self.dev.ns.stack.now)

    # -- ageing -------------------------------------------------------------------------------------------------------

    def set_ageing(self, ageing: int, now: int) -> None:
        """Another ageing time (ns)."""
        self.ageing = ageing
        for port in self.ports.values():
            if port.fast_until <= now:
                port.ageing = ageing
        self.age(now)

    def age(self, now: int) -> None:
        """The ageing timer: take out what is too old, end what ages rapidly."""
        soonest = self.fdb.sweep(now)
        for port in self.ports.values():
            if port.ageing != self.ageing:
                if port.fast_until <= now:
                    port.ageing = self.ageing
                elif soonest is None or port.fast_until < soonest:
                    soonest = port.fast_until
        timers = self.dev.ns.stack.timers
        if soonest is None:
            timers.cancel(self.age_timer)
        else:
            timers.arm(self.age_timer, max(soonest, now + SECOND))

    def _flush(self, port: BridgePort, at_once: bool, now: int) -> None:
        """The topology changed: what was learnt at `port` may be wrong (17.19.7)."""
        if at_once:
            self.fdb.forget(port)
        elif self.stp is not None:
            delay = self.stp.root_times[3] * SECOND // wire.UNITS
            port.ageing, port.fast_until = min(delay, self.ageing), now + delay
            self.dev.ns.stack.timers.arm(self.age_timer, now + delay)

    # -- spanning tree ------------------------------------------------------------------------------------------------

    def set_stp(self, mode: str, now: int) -> None:
        """``none``, ``stp`` or ``rstp``."""
        timers = self.dev.ns.stack.timers
        if mode == "none":
            if self.stp is not None:
                timers.cancel(self.stp_timer)
                self.stp = None
                for port in self.ports.values():
                    port.stp = None
                    self.link_changed(port, now)
            return
        if self.stp is None:
            self.stp = SpanningTree(self.dev.mac, rstp=mode == "rstp", **self.times)
            timers.arm(self.stp_timer, now + SECOND)
            for port in self.ports.values():
                self._enter_tree(port)
                self.link_changed(port, now)
        else:
            self._configure_tree(mode == "rstp")
        self.apply_stp(now)

    def set_times(self, times: dict[str, int], now: int) -> None:
        """Priority, and the times of the protocol in s."""
        self.times = times
        if self.stp is not None:
            self._configure_tree(self.stp.rstp)
            self.apply_stp(now)

    def _configure_tree(self, rstp: bool) -> None:
        assert self.stp is not None
        self.stp.set_bridge(self.dev.mac, rstp=rstp, **self.times)

    def _enter_tree(self, port: BridgePort) -> None:
        assert self.stp is not None
        port.stp = self.stp.add_port(
            port,
            port.number,
            priority=port.priority,
            cost=port.cost,
            edge=port.edge,
            restricted_role=port.guard == "root",
        )

    def configure_port(self, port: BridgePort, now: int) -> None:
        """Priority, cost, edge, guard or admin of a port changed."""
        if self.stp is not None and port.stp is not None:
            self.stp.set_port(port.stp, priority=port.priority, cost=port.cost, restricted_role=port.guard == "root")
            self.stp.set_edge(port.stp, port.edge)
        if port.admin != "disabled":
            _forgive(port)
        self.link_changed(port, now)

    def tick(self, now: int) -> None:
        """The protocol's second is over."""
        if self.stp is not None:
            self.dev.ns.stack.timers.arm(self.stp_timer, now + SECOND)
            self.stp.tick()
            self.apply_stp(now)

    def apply_stp(self, now: int) -> None:
        """Do what the protocol decided."""
        tree = self.stp
        if tree is None or not tree.actions:
            return
        actions, tree.actions = tree.actions, []
        for kind, port, what in actions:
            if kind == "bpdu":
                pkt = Packet.from_frame(wire.frame(port.dev.mac, what))
                pkt.flags, pkt.oif = LOCAL_OUT, port.dev
                self.actions.append(("frame", pkt))
            elif kind == "state":
                self._set_state(port)
                self._carrier()
            else:
                self._flush(port, what, now)

    # -- snooping -----------------------------------------------------------------------------------------------------

    def set_snooping(self, on: bool, querier: bool, now: int) -> None:
        """Whether groups are restricted to those who want them, and whether the bridge asks who does."""
        if not on:
            if self.snooping is not None:
                self.snooping = None
                self.dev.ns.stack.timers.cancel(self.snooping_timer)
                for port in self.ports.values():
                    port.groups = port.all_groups_until = 0
            return
        if self.snooping is None:
            self.snooping = Snooping(self)
        if querier != self.snooping.querier:
            self.snooping.set_querier(querier, now)

    def snoop(self, now: int) -> None:
        """Snooping's timer."""
        if self.snooping is not None:
            self.snooping.timer_fired(now)

    def arm_snooping(self, now: int, again: bool) -> None:
        """Set the timer for what snooping has to do next; one that is set stays, unless `again`."""
        timer, timers = self.snooping_timer, self.dev.ns.stack.timers
        if self.snooping is not None and (again or timer.deadline < 0):
            at = self.snooping.deadline(now)
            if at is None:
                timers.cancel(timer)
            else:
                timers.arm(timer, at)

    def own_vids(self) -> list[int]:
        """The VLANs that the bridge device is a member of; [0] without filtering."""
        return list(self.own.vids) if self.filtering else [0]

    def send_query(self, vid: int, frame: bytearray) -> None:
        """Send a query from the bridge device into a VLAN."""
        pkt = Packet.from_frame(frame)
        pkt.flags, pkt.oif = LOCAL_OUT, self.dev
        if vid:
            egress(pkt, vid, self.own.vids.get(vid, False))
        if self.dev.ready:
            self.actions.append(("frame", pkt))

    # -- the end ------------------------------------------------------------------------------------------------------

    def close(self, now: int) -> None:
        """The bridge device goes: ports are ports no more, timers are stopped."""
        for port in list(self.ports.values()):
            self.remove_port(port, now)
        timers = self.dev.ns.stack.timers
        for timer in (self.age_timer, self.stp_timer, self.snooping_timer):
            timers.cancel(timer)
        self.stp = self.snooping = None
        self.actions.clear()


def _forgive(port: BridgePort) -> None:
    """The guard disables the port no more."""
    if port.dev.error == GUARDED:
        port.dev.error = ""


def wants_group(dev: Device, mac: bytes) -> bool:
    """Whether `dev` or a vlan device over it receives the frames of this group."""
    if mac in dev.groups or dev.allmulti:
        return True
    return dev.vlans is not None and any(wants_group(one, mac) for one in dev.vlans.values())
