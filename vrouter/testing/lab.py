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

Addresses. Wire number N of a lab is 10.0.N.0/24 (10.N/256.N%256.0/24); a router has .1 on it (of two routers the one
named first), a host .2 (of two hosts the one named first has .1). On a hub routers come first, then hosts, from .1 on.

Neighbours. Unless `resolve` is on, both ends of a wire know each other's MAC address from the start (PERMANENT) and
nothing is announced, so that a test of something else need not care for ARP. With `resolve` everything is as on a real
wire.

The end (`close`, which the fixture calls) is a check: the accounts of every stack and every wire are equal, tables are
within their bounds, no task of `run` is left over.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Coroutine, Iterator
from itertools import pairwise
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self, TypeVar

from vrouter.stack.base.addresses import format_address
from vrouter.testing import topology
from vrouter.testing.errors import LabError
from vrouter.testing.frames import Ip
from vrouter.testing.loop import VirtualLoop
from vrouter.testing.match import describe
from vrouter.testing.node import Machine, Node, Recorder
from vrouter.testing.pcapng import INBOUND, OUTBOUND, PcapngWriter
from vrouter.testing.probe import Hub, Probe
from vrouter.testing.timeline import SECOND, Timeline
from vrouter.testing.wire import OVERFLOW, End, Wire

_Result = TypeVar("_Result")

Station = Node | Probe | Hub
Named = Station | str

DEFAULT_SEED: Final = 1
_TRACED: Final = 40
_MAX_DEVICE_NAME: Final = 15


class Lab(Timeline):
    """A network; `seed` keys all its chance, `resolve` is the default of its wires."""

    def __init__(self, seed: int = DEFAULT_SEED, *, resolve: bool = False) -> None:
        super().__init__()
        self.seed = seed
        self.resolve = resolve
        self.stations: dict[str, Station] = {}
        self.wires: list[Wire] = []
        self._networks = 0
        self._trace: deque[tuple[int, End, bytes, str]] = deque(maxlen=_TRACED)
        self._pcap: PcapngWriter | None = None
        self._runner: asyncio.Runner | None = None

    def __repr__(self) -> str:
        return f"<Lab seed {self.seed}: {len(self.stations)} stations, {len(self.wires)} wires, {self.now:,} ns>"

    # -- stations -----------------------------------------------------------------------------------------------------

    def host(self, name: str) -> Node:
        """An end host: a stack with one namespace that does not forward."""
        machine = Machine(self, name)
        ns = machine.stack.add_netns(name, now=self.now)
        node = Node(self, name, machine, ns)
        self.add_station(node)
        self.machines.append(machine)
        return node

    def router(self, name: str) -> Node:
        """A router: a host with forwarding switched on."""
        node = self.host(name)
        node.ns.sysctl["net.ipv4.ip_forward"] = 1
        return node

    def probe(self, name: str, addr: str | None = None, *, gateway: Ip | None = None, arp: bool = False) -> Probe:
        """The bare end of a wire, which records and injects; see `probe.Probe`."""
        probe = Probe(self, name, topology.mac(len(self.stations), 0), addr, gateway, arp)
        self.add_station(probe)
        return probe

    def hub(self, name: str, *stations: Named, **options: Any) -> Hub:
        """One link with many stations, which get addresses of one network; `options` as for `wire`."""
        self._networks += 1
        hub = Hub(self, name, topology.network(self._networks))
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
        addresses: str | tuple[str | None, str | None] | None = "auto",
        resolve: bool | None = None,
        **impairments: Any,
    ) -> Wire:
        """Join two stations; each gets a device called after the other.

        `delay`, `jitter`, `loss`, `reorder`, `duplicate`, `corrupt`, `rate`, `queue` are those of `wire.Impairments`,
        both ways. `mtu` is that of both devices. `addresses` are both ends' ``ADDRESS/LENGTH`` (or None), "auto" for
        the next network of the lab, None for none; routes beyond the wire are set by `set_routes`.
        """
        one, two = self._known(a), self._known(b)
        if one is two:
            raise LabError(f"a wire from {one.name} to itself")
        wire = Wire(self, self._wire_name(one, two), one, two, mtu, impairments)
        self.wires.append(wire)
        if self._pcap is not None:
            self._describe_interface(wire)
        for end in wire.ends:
            end.station.ends.append(end)  # type: ignore[attr-defined] # every station of a lab is a Recorder
            self._plug(end)
        pair = self._plan_addresses(one, two) if addresses == "auto" else addresses or (None, None)
        resolve = self.resolve if resolve is None else resolve
        for end, text in zip(wire.ends, pair, strict=True):
            if text is not None:
                self._give(end, str(text), announce=resolve)
        if not resolve:
            for end in wire.ends:
                self._introduce(end)
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

    def _plug(self, end: End) -> None:
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
        end.device = node.ns.add_device(name, mac, end.wire.mtu, now=self.now)
        node.machine.ends[end.device] = end

    def _plan_addresses(self, one: Station, two: Station) -> tuple[str | None, str | None]:
        for hub, first in ((one, False), (two, True)):
            if isinstance(hub, Hub):
                text = f"{format_address(hub.network + hub.next_host)}/24"
                hub.next_host += 1
                return (text, None) if first else (None, text)
        self._networks += 1
        base = topology.network(self._networks)
        low, high = f"{format_address(base + 1)}/24", f"{format_address(base + 2)}/24"
        swapped = topology.is_router(two) and not topology.is_router(one)
        return (high, low) if swapped else (low, high)

    def _give(self, end: End, text: str, *, announce: bool) -> None:
        station = end.station
        if isinstance(station, Probe):
            if not station.has_addr:
                station.addr = text.partition("/")[0]
        elif isinstance(station, Node):
            end.device.with_arp = announce  # a device without ARP announces nothing
            try:
                station.ns.add_address(end.device, text, now=self.now)
            finally:
                end.device.with_arp = True

    def _introduce(self, end: End) -> None:
        """Make the station at `end` and all others on its link neighbours that never change."""
        for other in topology.link(end):
            for here, there in ((end, other), (other, end)):
                if isinstance(here.station, Node):
                    for address in topology.addresses(there):
                        here.station.ns.neigh4.add_static(here.device, address, topology.mac_at(there), self.now)

    # -- what is known of links ---------------------------------------------------------------------------------------

    def mac_of(self, end: End, addr: int) -> bytes:
        """The MAC address behind IP address `addr` on the link of `end`; LabError when nobody there has it."""
        return topology.find_mac(end, addr)

    def is_on_link(self, end: End, addr: int) -> bool:
        """Whether a station on the link of `end` has the address `addr`."""
        return any(addr in topology.addresses(other) for other in topology.link(end))

    def routers_on(self, end: End) -> list[int]:
        """Addresses of the routers on the link of `end`, one each."""
        found = (topology.addresses(other)[:1] for other in topology.link(end) if topology.is_router(other.station))
        return [address for addresses in found for address in addresses]

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
