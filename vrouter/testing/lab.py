"""The lab: a network in one process and in virtual time.

    def test_echo(lab):
        a, r, b = lab.line("a", "r", "b", delay=0.01)      # host -- router -- host, addresses and routes set
        b.udp(7).answer(lambda data, peer: data)
        port = a.udp()
        port.send(b"hello", b, 7)
        assert port.recv().data == b"hello"
        assert lab.now == 40_000_000                       # ns: four wires of 10 ms

Hosts and routers have the whole stack each, wires have every fault (`wire`), time jumps from one thing to the next
(`timeline`), and all chance comes from the seed: the same test gives the same bytes at the same nanoseconds, always.

Addresses. Wire number N of a lab is 10.0.N.0/24 (10.N/256.N%256.0/24) and fd00:0:N::/64 (N in hexadecimal); a router
has .1 and ::1 on it (of two routers the one named first), a host .2 and ::2 (of two hosts the one named first has .1).
On a hub routers come first, then hosts, from .1 on. Devices have link-local addresses as well. A wire whose MTU is
below 1280 has no IPv6 (RFC 8200 5), a lab with ``ipv6=False`` has none anywhere.

Neighbours. Unless `resolve` is on, both ends of a wire know each other's MAC addresses from the start (PERMANENT) and
nothing is announced, so that a test of something else need not care for ARP and neighbour discovery. With `resolve`,
and at switches, everything is as on a real wire, but for the detection of duplicate IPv6 addresses, which would make
every test begin with waiting: ``net.ipv6.conf.default.dad_transmits`` is 0 in a lab. What stations say to keep a link
going is recorded apart (`node.Recorder`).

The end (`close`, which the fixture calls) is a check: the accounts of every stack and every wire are equal, tables are
within their bounds, no task of `run` is left over.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Coroutine, Iterator, Sequence
from itertools import pairwise
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Final, Self, TypeVar

from vrouter.stack.base.addresses import V4, V6, scoped
from vrouter.testing import topology
from vrouter.testing.errors import LabError
from vrouter.testing.loop import VirtualLoop
from vrouter.testing.match import describe
from vrouter.testing.node import Machine, Node, Recorder
from vrouter.testing.octets import Ip
from vrouter.testing.pcapng import INBOUND, OUTBOUND, PcapngWriter
from vrouter.testing.probe import Hub, Probe
from vrouter.testing.switch import Network, Switch
from vrouter.testing.timeline import SECOND, Timeline
from vrouter.testing.wire import OVERFLOW, End, Wire

if TYPE_CHECKING:
    from vrouter.stack.device import Device
    from vrouter.stack.netns import Netns
    from vrouter.stack.stack import Stack

_Result = TypeVar("_Result")

Station = Node | Probe | Hub
Named = Station | str
Given = str | Sequence[str] | None

DEFAULT_SEED: Final = 1
_TRACED: Final = 40
_MAX_DEVICE_NAME: Final = 15


class Lab(Timeline):
    """A network; `seed` keys all its chance, `resolve` is the default of its wires, `ipv6` whether it has both
    families."""

    def __init__(self, seed: int = DEFAULT_SEED, *, resolve: bool = False, ipv6: bool = True) -> None:
        super().__init__()
        self.seed = seed
        self.resolve = resolve
        self.ipv6 = ipv6
        self.stations: dict[str, Station] = {}
        self.wires: list[Wire] = []
        self._networks = 0
        self._trace: deque[tuple[int, End, bytes, str]] = deque(maxlen=_TRACED)
        self._pcap: PcapngWriter | None = None
        self._runner: asyncio.Runner | None = None

    def __repr__(self) -> str:
        return f"<Lab seed {self.seed}: {len(self.stations)} stations, {len(self.wires)} wires, {self.now:,} ns>"

    # -- stations -----------------------------------------------------------------------------------------------------

    def host(self, name: str, *, vlan: int = 0) -> Node:
        """An end host: a stack with one namespace that does not forward. `vlan` is the VLAN that it is in where it is
        wired to a switch."""
        machine = Machine(self, name)
        node = Node(self, name, machine, self.add_netns(machine.stack, name))
        node.vlan = vlan
        self._add_machine(node)
        return node

    def router(self, name: str) -> Node:
        """A router: a host with forwarding switched on, of both families."""
        node = self.host(name)
        node.forward()
        return node

    def switch(self, name: str, *, stp: str = "rstp", **options: Any) -> Switch:
        """A switch: what is wired to it becomes a port of its bridge, which speaks `stp` (none, stp, rstp).

        `options` are more parameters of the bridge, as of `vrouter.stack.netns.Netns.set_bridge`; see `switch.Switch`.
        """
        machine = Machine(self, name)
        node = Switch(self, name, machine, self.add_netns(machine.stack, name))
        self._add_machine(node)
        node.set_bridge(stp=stp, **options)
        return node

    def _add_machine(self, node: Node) -> None:
        self.add_station(node)
        self.machines.append(node.machine)

    def add_netns(self, stack: Stack, name: str, accept_from: Sequence[str] = ()) -> Netns:
        """A namespace with a lab's settings; for stations, `host` and the like make what is needed."""
        ns = stack.add_netns(name, accept_from=accept_from, now=self.now)
        ns.sysctl["net.ipv6.conf.default.dad_transmits"] = 0
        if not self.ipv6:
            ns.sysctl["net.ipv6.conf.default.disable_ipv6"] = 1
        return ns

    def probe(
        self,
        name: str,
        addr: str | None = None,
        *,
        addr6: str | None = None,
        gateway: Ip | None = None,
        arp: bool = False,
    ) -> Probe:
        """The bare end of a wire, which records and injects; see `probe.Probe`."""
        probe = Probe(self, name, topology.mac(len(self.stations), 0), addr, addr6, gateway, arp)
        self.add_station(probe)
        return probe

    def hub(self, name: str, *stations: Named, **options: Any) -> Hub:
        """One link with many stations, which get addresses of one network; `options` as for `wire`."""
        hub = Hub(self, name, self._new_network())
        self.add_station(hub)
        found = [self._known(station) for station in stations]
        for station in sorted(found, key=lambda one: not topology.is_router(one)):
            self.wire(station, hub, **options)
        return hub

    def add_station(self, station: Station) -> None:
        """Give a station its name in this lab; LabError when it is taken."""
        if station.name in self.stations:
            raise LabError(f"there is a {station.name!r} already: {self.stations[station.name]!r}")
        self.stations[station.name] = station

    def __getitem__(self, name: str) -> Station:
        return self.stations[name]

    def _known(self, station: Named) -> Station:
        if not isinstance(station, str):
            return station
        found = self.stations.get(station)
        if found is None:
            raise LabError(f"no station {station!r}; there are: {', '.join(self.stations) or 'none'}")
        return found

    # -- wires --------------------------------------------------------------------------------------------------------

    def line(self, *names: Named, **options: Any) -> list[Any]:
        """Stations in a row: hosts at the ends, routers between, wires with `options`, and all routes.

        Names that are known stay what they are; so do stations given as objects.
        """
        if len(names) < 2:
            raise LabError("a line has two stations at least")
        row: list[Station] = []
        for place, name in enumerate(names):
            if not isinstance(name, str) or name in self.stations:
                row.append(self._known(name))
            else:
                row.append(self.host(name) if place in (0, len(names) - 1) else self.router(name))
        for one, two in pairwise(row):
            self.wire(one, two, **options)
        self.set_routes()
        return row

    def wire(
        self,
        a: Named,
        b: Named,
        *,
        mtu: int = 1500,
        addresses: str | tuple[Given, Given] | None = "auto",
        resolve: bool | None = None,
        vlan: int = 0,
        trunk: Sequence[int] = (),
        **impairments: Any,
    ) -> Wire:
        """Join two stations; each gets a device called after the other.

        `delay`, `jitter`, `loss`, `reorder`, `duplicate`, `corrupt`, `rate`, `queue`, `largest` are those of
        `wire.Impairments`, both ways. `mtu` is that of both devices. `addresses` are both ends' ``ADDRESS/LENGTH`` (or
        several of them, or None), "auto" for those of the lab's next network, or of the network that a hub or switch
        has; None for none. Routes beyond the wire are set by `set_routes`.

        `vlan` is the VLAN of frames without a tag at the port of a switch (a host's own by default), `trunk` are those
        that pass with their tags. A station without a switch has a vlan device for each of these, called DEVICE.VID,
        with addresses of the VLAN's network; it has addresses on the wire itself only where `vlan` is said.
        """
        one, two = self._known(a), self._known(b)
        if one is two:
            raise LabError(f"a wire from {one.name} to itself")
        wire = Wire(self, self._wire_name(one, two), one, two, mtu, impairments)
        self.wires.append(wire)
        if self._pcap is not None:
            self._describe_interface(wire)
        if resolve is None:
            resolve = self.resolve or isinstance(one, Switch) or isinstance(two, Switch)
        vlan = vlan or getattr(one, "vlan", 0) or getattr(two, "vlan", 0)
        for end in wire.ends:
            end.station.ends.append(end)  # type: ignore[attr-defined] # every station of a lab is a Recorder
            self._plug(end, announce=resolve)
        for end in wire.ends:
            if isinstance(end.station, Switch):
                end.station.attach(end.device, vlan, trunk, edge=not topology.repeats(end.other.station))
        if addresses == "auto":
            for tag in (*([] if trunk and not vlan else [0]), *trunk):
                self._address(wire, tag or vlan, tag, announce=resolve)
        else:
            for end, given in zip(wire.ends, addresses or (None, None), strict=True):
                for text in [given] if isinstance(given, str) else given or ():
                    self._give(end, end.device, text, announce=resolve)
        if not resolve:
            for end in wire.ends:
                self._introduce(end)
        self.collect()
        return wire

    def set_routes(self) -> None:
        """Give every node static routes to every network of the lab, by the shortest way; those that exist stay."""
        topology.set_routes(self)

    def _wire_name(self, one: Station, two: Station) -> str:
        name, number = f"{one.name}-{two.name}", 1
        while any(wire.name == name for wire in self.wires):
            number += 1
            name = f"{one.name}-{two.name}-{number}"
        return name

    def _plug(self, end: End, *, announce: bool) -> None:
        """Give a node its device for a wire's end."""
        node = end.station
        if not isinstance(node, Node):
            return
        base = end.other.station.name.replace("/", ".")[:_MAX_DEVICE_NAME]
        name, number = base, 1
        while name in node.ns.devices:
            number += 1
            name = f"{base[: _MAX_DEVICE_NAME - len(str(number))]}{number}"
        mac = topology.mac(list(self.stations).index(node.name), len(node.ends))

        def prepare(dev: Device) -> None:
            dev.with_arp = announce  # a device without ARP announces nothing

        end.device = node.ns.add_device(name, mac, end.wire.mtu, prepare=prepare, now=self.now)
        end.device.with_arp = True
        node.machine.ends[end.device] = end

    def _address(self, wire: Wire, vlan: int, tag: int, *, announce: bool) -> None:
        """Give both ends of a wire their addresses in the network of a VLAN (0: none), of which frames carry `tag`."""
        one, two = wire.ends[0].station, wire.ends[1].station
        shared = next((station for station in (one, two) if topology.repeats(station)), None)
        if shared is None:
            swapped = topology.is_router(two) and not topology.is_router(one)
            network, hosts = self._new_network(), (2, 1) if swapped else (1, 2)
        else:
            network, hosts = self._network_of(shared, vlan), (0, 0)
        for end, host in zip(wire.ends, hosts, strict=True):
            if topology.repeats(end.station):
                continue
            place = host or network.next_host()
            dev = end.device
            if dev is not None and tag:
                name = f"{dev.name[: _MAX_DEVICE_NAME - 5]}.{tag}"
                dev = dev.ns.add_device(name, kind="vlan", parent=dev, vid=tag, now=self.now)
            for family in (V4, V6) if self.ipv6 else (V4,):
                self._give(end, dev, topology.interface(network.number, place, family), announce=announce)

    def _network_of(self, station: object, vlan: int) -> Network:
        """The network that stations on the link of a hub or switch share."""
        if isinstance(station, Hub):
            return station.network
        assert isinstance(station, Switch)
        for other in topology.shared_by(station):
            if isinstance(other, Switch) and vlan in other.networks:
                return other.networks[vlan]
        network = station.networks[vlan] = self._new_network()
        return network

    def _new_network(self) -> Network:
        self._networks += 1
        return Network(self._networks)

    def _give(self, end: End, dev: Device | None, text: str, *, announce: bool) -> None:
        station, is_ipv6 = end.station, ":" in text
        if isinstance(station, Probe):
            address = text.partition("/")[0]
            if is_ipv6 and not station.has_addr6:
                station.addr6 = address
            elif not is_ipv6 and not station.has_addr:
                station.addr = address
        elif isinstance(station, Node) and dev is not None and (dev.with_ipv6 or not is_ipv6):
            dev.with_arp = announce
            try:
                station.ns.add_address(dev, text, now=self.now)
            finally:
                dev.with_arp = True

    def _introduce(self, end: End) -> None:
        """Make the station at `end` and all others on its link neighbours that never change."""
        for other in topology.link(end):
            for here, there in ((end, other), (other, end)):
                if not isinstance(here.station, Node) or topology.repeats(there.station):
                    continue
                mac = topology.mac_at(there)
                for dev in topology.devices(here):
                    for address in topology.addresses(there, V4):
                        dev.ns.neigh4.add_static(dev, address, mac, self.now)
                    for address in topology.addresses(there, V6) if dev.with_ipv6 else ():
                        dev.ns.neigh6.add_static(dev, scoped(address, dev.ifindex), mac, self.now)

    # -- what is known of links ---------------------------------------------------------------------------------------

    def mac_of(self, end: End, addr: int, family: int = V4) -> bytes:
        """The MAC address behind IP address `addr` on the link of `end`; LabError when nobody there has it."""
        return topology.find_mac(end, addr, family)

    def is_on_link(self, end: End, addr: int, family: int = V4) -> bool:
        """Whether a station on the link of `end` has the address `addr`."""
        return any(addr in topology.addresses(other, family) for other in topology.link(end))

    def routers_on(self, end: End, family: int = V4) -> list[int]:
        """Addresses of the routers on the link of `end`, one each."""
        routers = [other for other in topology.link(end) if topology.is_router(other.station)]
        found = [topology.gateway(end, other, family) for other in routers]
        return [address for address in found if address is not None]

    # -- frames -------------------------------------------------------------------------------------------------------

    def put(self, end: End, frame: bytes) -> bool:
        """Put a frame on a wire; False when it did not get out because the queue is full."""
        fate = end.send(frame, self.now)
        self._trace.append((self.now, end, frame, fate))
        if fate != OVERFLOW:
            self._recorder(end).note_sent(frame)
            if self._pcap is not None:
                direction = INBOUND if end.number else OUTBOUND
                self._pcap.write(end.wire.pcap_interface, self.now, frame, direction, fate)
        return fate != OVERFLOW

    @staticmethod
    def _recorder(end: End) -> Recorder:
        station = end.station
        if isinstance(station, Node):
            return station.machine.nodes.get(end.device.ns.name, station)
        assert isinstance(station, Recorder)
        return station

    def pcap(self, path: str | Path) -> None:
        """Write every frame put on any wire from now on to a pcapng file, until `close`.

        An interface is a wire; what its first station sends is outbound. Frames that will not arrive as they are carry
        a comment that says so.
        """
        if self._pcap is not None:
            self._pcap.close()
        self._pcap = PcapngWriter(path)
        for wire in self.wires:
            self._describe_interface(wire)

    def _describe_interface(self, wire: Wire) -> None:
        assert self._pcap is not None
        wire.pcap_interface = self._pcap.add_interface(wire.name, str(wire.ends[0].impairments))

    def trace(self) -> str:
        """The last frames that were put on wires, one a line: when, from whom to whom, what, and what became of it."""
        return "\n".join(self._trace_lines())

    def _trace_lines(self) -> Iterator[str]:
        for now, end, frame, fate in self._trace:
            way = f"{end.station.name} > {end.other.station.name}"
            yield f"{now / SECOND:14.9f}  {way:<16}  {describe(frame)}{f'  [{fate}]' if fate else ''}"

    # -- asyncio ------------------------------------------------------------------------------------------------------

    def run(self, coroutine: Coroutine[Any, Any, _Result]) -> _Result:
        """Run asyncio code on a loop whose clock is the lab's, and return its result; see `loop`."""
        loop = self.loop
        assert self._runner is not None
        with self._moving("run"):
            try:
                result = self._runner.run(coroutine)
            except LabError:
                loop.cancel_all()  # the loop itself gave up, so nobody else has
                raise
        loop.raise_error()
        return result

    @property
    def loop(self) -> VirtualLoop:
        """The loop of `run`; the same for every call."""
        if self._runner is None:
            self._runner = asyncio.Runner(loop_factory=lambda: VirtualLoop(self))
        loop = self._runner.get_loop()
        assert isinstance(loop, VirtualLoop)
        return loop

    def _close_runner(self) -> list[str]:
        if self._runner is None:
            return []
        loop = self.loop
        left = [f"a task is left over: {task!r}" for task in asyncio.all_tasks(loop)]
        with self._moving("close"):
            self._runner.close()
        self._runner = None
        return left + [f"an error was not handled: {error!r}" for error in loop.errors]

    # -- the end ------------------------------------------------------------------------------------------------------

    def check(self) -> None:
        """LabError when a stack or a wire lost track of a frame, or a table is over its bound."""
        self.collect()
        for machine in self.machines:
            machine.check()
        for wire in self.wires:
            for end in wire.ends:
                end.check()

    def close(self) -> None:
        """End what `run` has left, finish the capture, and `check`."""
        left = self._close_runner()
        if self._pcap is not None:
            self._pcap.close()
            self._pcap = None
        self.check()
        if left:
            raise LabError("\n".join(left))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        try:
            self.close()
        except LabError:
            if error is None:  # what went wrong first is what to look at
                raise
