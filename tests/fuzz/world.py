"""The world of a fuzzed stack: actions are plain data, carried out on it one after the other, and checked after each.

An action is a tuple whose first word names a method of `World` here and whose rest are its arguments: numbers, text and
bytes, never an object of the stack. So a list of actions is a complete record of a run: it can be written down, played
again, and made shorter. What an action names may not be there any more (another was left out): then it does nothing.
"""

from __future__ import annotations

from collections import deque
from hashlib import blake2b
from typing import Any

from tests.fuzz.bounds import check_bounds, check_sums
from tests.fuzz.forge_super import expand
from tests.fuzz.streams import Streams
from tests.fuzz.wellformed import Witness
from vrouter.stack import Stack
from vrouter.stack.base.addresses import scoped
from vrouter.stack.base.drop import DropReason
from vrouter.stack.base.events import EventKind
from vrouter.stack.base.timers import Timer, TimerHeap
from vrouter.stack.capture import Capture
from vrouter.stack.device import Device
from vrouter.stack.l2.router_advert import RaConf, RaPref64, RaPrefix, RaRoute
from vrouter.stack.l3.route_load import RouteLoad
from vrouter.stack.l4.constants import READ, WRITE
from vrouter.stack.l4.packet_socket import PacketSocket
from vrouter.stack.l4.socket import Socket
from vrouter.stack.netns import Netns

Action = tuple[Any, ...]

# What the caller of a configuration or socket call is told when it cannot be done. A frame may cause none of them.
REFUSALS = (OSError, ValueError, KeyError)
STRANGERS = ("receive", "poll", "due", "unmapped", "ready", "failed", "wire", "carry", "calm")
PROGRAMS = ("open", "take", "write", "read", "kill")  # which change nothing of the configuration
DEEP_EVERY = 32
KEPT = 8  # frames that a device sent, for answers to them
MOST_AT_ONCE = 100_000  # timers in one call
SHOWN = (
    "fdb",
    "ports",
    "bridge_rows",
    "vlan_rows",
    "mdb",
    "mroutes",
    "groups",
    "listeners",
    "queriers",
    "routers",
    "proxies",
    "rules",
    "nexthop_rows",
)


class Gone(Exception):
    """What the action names is not there."""


class Watched(TimerHeap):
    """The timers of a stack, which may not go on for ever at one moment."""

    __slots__ = ("popped",)

    def pop_due(self, now: int) -> Timer | None:
        self.popped += 1
        assert self.popped < MOST_AT_ONCE, "timers that arm one another without end"
        return super().pop_due(now)


class World(Streams):
    """One stack, its sockets and captures by number, and who watches over it."""

    def __init__(self, seed: int) -> None:
        super().__init__()
        self.stack = Stack(seed, identity="fuzz")
        self.timers = self.stack.timers = Watched()
        self.timers.popped = 0
        self.now = 0
        self.steps = 0
        self.frames = 0
        self.refused = 0
        self.changes = 0  # of the configuration
        self.sockets: dict[int, Socket] = {}
        self.captures: dict[int, Capture] = {}
        self.loads: dict[int, RouteLoad] = {}
        self.sent: dict[Device, deque[bytes]] = {}
        self.lately: list[tuple[Device, int, int]] = []  # bytes and number of what left: the driver may fail to send it
        self.witness = Witness()
        self.limits: dict[str, int] = {}  # the largest value that a setting has had in any namespace
        self.buffers: dict[Socket, int] = {}  # the largest receive buffer that a socket has had
        self.met: set[str] = set()  # the reasons for which anything died
        self.digest = blake2b()

    def apply(self, action: Action) -> None:
        """Carry out one action and check everything that can be checked after each."""
        kind = action[0]
        self.steps += 1
        try:
            getattr(self, kind)(*action[1:])
        except Gone:
            return
        except REFUSALS as refusal:
            if kind in STRANGERS:
                raise
            self.refused += 1
            self.digest.update(f"{type(refusal).__name__} {getattr(refusal, 'errno', '')}".encode())
        if kind not in STRANGERS and kind not in PROGRAMS:
            self.changes += 1
        self._collect()
        check_sums(self.stack)
        if self.steps % DEEP_EVERY == 0:
            check_bounds(self)
            self.check_told()

    def _collect(self) -> None:
        for event in self.stack.events.take():
            if event.kind is EventKind.ADDRESS_ADD:
                self.witness.owns(event.fields["address"], event.fields["length"], event.dev)
        self.witness.look(self.stack)
        for dev, frame in self.stack.take_egress():
            self.witness.check(dev, frame)
            self.digest.update(f"{dev.ns.name} {dev.name} {len(frame)}".encode())
            self.digest.update(frame)
            kept = self.sent.get(dev)
            if kept is None:
                kept = self.sent[dev] = deque(maxlen=KEPT)
            kept.append(bytes(frame[12:] if dev.vnet_hdr else frame))
            self.leaves(dev, bytes(frame))
            wires = expand(bytes(frame)) if dev.vnet_hdr else [frame]
            self.lately.append((dev, sum(map(len, wires)), len(wires)))
        del self.lately[:-4]

    def finish(self) -> None:
        """Take everything down, and see that nothing is left."""
        check_bounds(self)
        self.met |= {name for ns in self.stack.namespaces.values() for name in ns.drop_counts()}
        self.met |= {DropReason(reason).name for reason, count in enumerate(self.stack.drops) if count}
        for load in self.loads.values():
            load.abandon()
        for name in [name for name in self.stack.namespaces if "/" not in name]:
            self.stack.remove_netns(name, recursive=True, now=self.now)
            self._collect()
            check_sums(self.stack)
        assert not self.stack.namespaces
        while len(self.stack.sweeper):  # what tables leave behind
            self.due()
        assert len(self.stack.timers) == 0, "timers of nobody"
        assert self.stack.poll_at() is None
        assert self.stack.accounts()[1]["queued"] == 0
        assert not self.stack.crossings_to, "short-cuts of nobody"
        assert not self.stack._movers, "devices that are gone, remembered"
        self.digest.update(repr(self.stack.accounts()).encode())

    # -- what is named ------------------------------------------------------------------------------------------------

    def _ns(self, name: str) -> Netns:
        found = self.stack.namespaces.get(name)
        if found is None:
            raise Gone
        return found

    def _dev(self, ns: str, name: str) -> Device:
        found = self._ns(ns).devices.get(name)
        if found is None:
            raise Gone
        return found

    def _socket(self, number: int) -> Socket:
        if number not in self.sockets:
            raise Gone
        return self.sockets[number]

    # -- frames and time ----------------------------------------------------------------------------------------------

    def receive(self, ns: str, name: str, frame: bytes) -> None:
        """A frame comes in."""
        dev = self._dev(ns, name)
        if dev.kind != "tap":
            raise Gone
        self.frames += 1
        self.witness.note(dev, frame)
        self.stack.receive(dev, frame, self.now)

    def poll(self, ns_later: int) -> None:
        """Time passes, and the timers that are due run: each once."""
        self.now += ns_later
        self.timers.popped = 0
        self.stack.poll(self.now)
        due = self.stack.poll_at()
        assert due is None or due > self.now, "what was due is due again at once"

    def due(self) -> None:
        """Time passes until the next timer."""
        at = self.stack.poll_at()
        if at is not None:
            self.poll(max(at - self.now, 0))

    def unmapped(self) -> None:
        """A frame comes that nobody owns; and a clock that goes back is refused."""
        self.stack.receive_unmapped(self.now)
        if self.now:
            try:
                self.stack.poll(self.now - 1)
            except ValueError:
                return
            raise AssertionError("time went backwards unnoticed")

    def ready(self) -> None:
        """Somebody asks which sockets are ready."""
        for sock, mask in self.stack.take_ready():
            self.told(sock, mask)
            self.digest.update(f"{sock.ns.name} {sock.port} {mask}".encode())

    def failed(self, reason: int) -> None:
        """The driver could not send a frame that left a moment ago."""
        if not self.lately:
            raise Gone
        dev, size, packets = self.lately.pop()
        self.stack.egress_failed(dev, size, DropReason(reason), packets)

    # -- configuration ------------------------------------------------------------------------------------------------

    def add_netns(self, name: str, accept: list[str]) -> None:
        self.stack.add_netns(name, accept_from=accept, now=self.now)

    def del_netns(self, name: str, recursive: bool) -> None:
        self.stack.remove_netns(name, recursive=recursive, now=self.now)

    def accept(self, name: str, sources: list[str]) -> None:
        self._ns(name).accept_from = frozenset(sources)

    def add_device(self, ns: str, name: str, mtu: int, vnet: bool, probe: bool) -> None:
        dev = self._ns(ns).add_device(name, mtu=mtu, vnet_hdr=vnet, now=self.now)
        if probe:
            dev.acd = "probe"

    def offload(self, ns: str, name: str, tcp: bool, udp: bool) -> None:
        dev = self._dev(ns, name)
        if not dev.vnet_hdr:
            raise Gone
        dev.offload, dev.uso = tcp, tcp and udp

    def del_device(self, ns: str, name: str) -> None:
        self.stack.remove_device(self._dev(ns, name), now=self.now)

    def add_veth(self, ns1: str, name1: str, ns2: str, name2: str, mtu: int) -> None:
        self.stack.add_veth(self._ns(ns1), name1, self._ns(ns2), name2, mtu=mtu, now=self.now)

    def move(self, ns: str, name: str, target: str, new: str | None) -> None:
        self.stack.move_device(self._dev(ns, name), self._ns(target), new, now=self.now)

    def set_device(self, ns: str, name: str, up: bool | None, mtu: int | None) -> None:
        self._ns(ns).set_device(name, up=up, mtu=mtu, now=self.now)

    def carrier(self, ns: str, name: str, carrier: bool) -> None:
        dev = self._dev(ns, name)
        if dev.kind != "tap":
            raise Gone
        self._ns(ns).set_carrier(dev, carrier, "" if carrier else "cut", self.now)

    def add_address(self, ns: str, name: str, text: str) -> None:
        self._ns(ns).add_address(name, text, now=self.now)

    def del_address(self, ns: str, name: str, text: str) -> None:
        self._ns(ns).del_address(name, text, now=self.now)

    def add_route(
        self, ns: str, to: str, via: str | None, dev: str | None, target: str | None, metric: int, kind: str
    ) -> None:
        self._ns(ns).add_route(to, via, dev, netns=target, metric=metric, type=kind, now=self.now)

    def del_route(self, ns: str, to: str, metric: int | None) -> None:
        self._ns(ns).del_route(to, metric=metric, now=self.now)

    def admin(self, ns: str, method: str, arguments: list[Any], named: dict[str, Any]) -> None:
        """Any call of a namespace's administration that takes plain data."""
        getattr(self._ns(ns), method)(*arguments, **named, now=self.now)

    def ingress(self, ns: str, name: str, vid: int, target: str, new: str, protocol: str) -> None:
        self._ns(ns).add_ingress(self._dev(ns, name), vid, self._ns(target), new, protocol, now=self.now)

    def ra(self, ns: str, name: str, conf: dict[str, Any] | None) -> None:
        """What a device advertises; prefixes and routes are lists of arguments."""
        made = None
        if conf is not None:
            given = dict(conf)
            for key, kind in (("prefixes", RaPrefix), ("routes", RaRoute)):
                if given.get(key) is not None:
                    given[key] = tuple(kind(*one) for one in given[key])
            if given.get("pref64") is not None:
                given["pref64"] = RaPref64(*given["pref64"])
            for key in ("rdnss", "dnssl"):
                given[key] = tuple(given.get(key, ()))
            made = RaConf(**given)
        self._ns(ns).set_ra(name, made, now=self.now)

    def load(self, number: int, ns: str, lines: list[str], replace: bool) -> None:
        """A load of many routes begins."""
        self.loads[number] = self._ns(ns).load_routes(lines, replace=replace)

    def step_load(self, number: int, budget: int) -> None:
        """A piece of it is done, or with no budget it is given up."""
        load = self.loads.get(number)
        if load is None or load.ns.closing:
            raise Gone
        if not budget:
            load.abandon()
        elif load.step(budget):
            del self.loads[number]
            self.digest.update(f"{load.routes} {load.applied} {load.problems}".encode())

    def show(self, ns: str) -> None:
        """Somebody looks at everything."""
        space = self._ns(ns)
        for name in SHOWN:
            self.digest.update(repr(getattr(space, name)()).encode())
        self.digest.update(repr(self.stack.crossings()).encode())

    def get_route(self, ns: str, dst: str, named: dict[str, Any]) -> None:
        self.digest.update(repr(self._ns(ns).get_route(dst, **named, now=self.now)).encode())

    def sysctl(self, ns: str, name: str, value: int | str) -> None:
        self._ns(ns).sysctl[name] = value
        if isinstance(value, int):
            key = name.rpartition(".")[2]
            self.limits[key] = max(self.limits.get(key, 0), value)

    def neighbor(self, ns: str, name: str, verb: str, address: int, mac: bytes) -> None:
        space, dev = self._ns(ns), self._dev(ns, name)
        table = space.neigh4
        if address >> 32:
            table = space.neigh6
            address = scoped(address, dev.ifindex)
        if verb == "add":
            table.add_static(dev, address, mac, self.now)
        elif verb == "del":
            table.delete(dev, address)
        else:
            table.flush(dev, static=verb == "flush-all")
        space.settle(self.now)

    def capture(self, number: int, ns: str, name: str, limit: int) -> None:
        self.captures[number] = Capture(snaplen=96, limit=limit)
        self.captures[number].attach(self._dev(ns, name))

    def captured(self, number: int, detach: bool) -> None:
        if number not in self.captures:
            raise Gone
        for frame in self.captures[number].take():
            self.digest.update(frame.data)
        if detach:
            self.captures.pop(number).detach()

    # -- sockets ------------------------------------------------------------------------------------------------------

    def socket(self, number: int, ns: str, proto: int, family: int = 2) -> None:
        sock = self.sockets[number] = self._ns(ns).socket(family, 2, proto)
        self.buffers[sock] = sock.rcvbuf

    def call(self, number: int, name: str, *arguments: Any) -> None:
        """Any call of a socket; what it gives goes into the record."""
        sock = self._socket(number)
        if isinstance(sock, PacketSocket) and name == "sendto":
            self.witness.programs.add(bytes(arguments[0]))
        if name == "queues":
            answer = sock.queues()
        elif name == "connect":
            answer = self._connect(number, sock, _thaw(arguments[0]))
        else:
            answer = getattr(sock, name)(*[_thaw(argument) for argument in arguments], now=self.now)
        self.digest.update(repr(answer).encode())
        self.buffers[sock] = max(self.buffers[sock], sock.rcvbuf)
        if name == "close":
            del self.sockets[number]
            self.forget(number)

    def _connect(self, number: int, sock: Socket, where: Any) -> None:
        if where is None:  # whatever the program waited for, it gave up
            self._waiting(number, READ | WRITE, 0)
        try:
            sock.connect(where, now=self.now)
        except OSError as refusal:
            self._waiting(number, WRITE, refusal.errno)
            raise

    def source(self, number: int) -> int:
        """Not an action: the port of a socket, 0 without one."""
        sock = self.sockets.get(number)
        return 0 if sock is None else sock.port


def _thaw(argument: Any) -> Any:
    """Addresses are tuples and control messages lists of tuples, also after they were written down."""
    if isinstance(argument, list):
        if argument and isinstance(argument[0], str):
            return tuple(argument)
        return [tuple(item) if isinstance(item, list) else item for item in argument]
    return argument
