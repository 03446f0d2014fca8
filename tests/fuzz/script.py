"""Chooses what happens next: the script of a fuzzing run, written action by action as the world develops."""

from __future__ import annotations

from random import Random
from typing import TYPE_CHECKING, Any

from tests.fuzz.forge import Forge, Port
from vrouter.stack.base.drop import DropReason

if TYPE_CHECKING:
    from tests.fuzz.world import Action, World

SPACES = ("a", "b", "c", "a/x", "d")
NAMES = ("e0", "e1", "e2", "v0", "v1")
GROUPS = ("239.1.2.3", "224.0.0.251", "224.0.0.1")
SECOND = 1_000_000_000
_IP, _SOCKET = 0, 1
_SWITCHES = ("rp_filter", "accept_redirects", "secure_redirects", "shared_media", "send_redirects", "accept_local")
_MORE_SWITCHES = ("bc_forwarding", "proxy_arp", "arp_filter", "arp_ignore", "arp_announce", "arp_accept")
_SMALL = {
    "net.ipv4.neigh.default.gc_thresh1": (4, 8),
    "net.ipv4.neigh.default.gc_thresh2": (8, 16),
    "net.ipv4.neigh.default.gc_thresh3": (10, 24),
    "net.ipv4.ipfrag_high_thresh": (0, 20000, 200000),
    "net.ipv4.ipfrag_time": (1, 30),
    "net.ipv4.icmp_ratelimit": (0, 1000),
    "net.ipv4.icmp_ratemask": (0, 6168, -1),
    "net.ipv4.icmp_msgs_per_sec": (0, 10, 100000),
    "net.ipv4.icmp_msgs_burst": (0, 1, 50),
    "net.ipv4.icmp_echo_ignore_broadcasts": (0, 1),
    "net.ipv4.icmp_errors_use_inbound_ifaddr": (0, 1),
    "net.ipv4.ip_default_ttl": (1, 64),
    "net.ipv4.ip_forward": (0, 1, 1, 1),
    "net.ipv4.ip_local_port_range": ("40000 40003", "32768 60999"),
    "net.core.rmem_default": (2304, 212992),
    "net.ipv4.route.min_pmtu": (68, 552),
    "net.ipv4.route.mtu_expires": (1, 600),
}
_NEIGH = {
    "base_reachable_time_ms": (1, 30000),
    "retrans_time_ms": (10, 1000),
    "delay_first_probe_time": (0, 5),
    "gc_stale_time": (1, 60),
    "locktime": (0, 100),
    "mcast_solicit": (1, 3),
    "ucast_solicit": (0, 3),
    "unres_qlen": (0, 3, 101),
}
# (level, option, values) of setsockopt
_OPTIONS: tuple[tuple[int, int, tuple[Any, ...]], ...] = (
    (1, 2, (0, 1)),  # SO_REUSEADDR
    (1, 15, (0, 1)),  # SO_REUSEPORT
    (1, 6, (0, 1)),  # SO_BROADCAST
    (1, 8, (0, 1500, 100000, -1)),  # SO_RCVBUF
    (1, 7, (0, 100000)),  # SO_SNDBUF
    (1, 25, (b"e0\0", b"e1", b"\0", b"nothing")),  # SO_BINDTODEVICE
    (1, 36, (0, 7)),  # SO_MARK
    (0, 2, (1, 64, 255, 0, -1)),  # IP_TTL
    (0, 1, (0, 255)),  # IP_TOS
    (0, 8, (0, 1)),  # IP_PKTINFO
    (0, 12, (0, 1)),  # IP_RECVTTL
    (0, 13, (0, 1)),  # IP_RECVTOS
    (0, 20, (0, 1)),  # IP_RECVORIGDSTADDR
    (0, 11, (0, 1, 1)),  # IP_RECVERR
    (0, 10, (0, 1, 2, 3)),  # IP_MTU_DISCOVER
    (0, 15, (0, 1)),  # IP_FREEBIND
    (0, 33, (0, 1, 64)),  # IP_MULTICAST_TTL
    (0, 34, (0, 1)),  # IP_MULTICAST_LOOP
    (0, 49, (0, 1)),  # IP_MULTICAST_ALL
    (0, 9999, (0, b"", b"\1")),
)
_READ = ((1, 4), (1, 8), (1, 3), (1, 25), (0, 14), (0, 2), (0, 32), (0, 9999))


class Script:
    """Writes the next actions for `world`; all chance comes from `rng`."""

    def __init__(self, world: World, rng: Random, captures: list[bytes]) -> None:
        self.world = world
        self.rng = rng
        self.forge = Forge(rng, captures)
        self.number = 0  # of the last socket or capture
        self._ports: list[tuple[str, str, Port]] = []
        self._ports_of = -1

    def opening(self) -> list[Action]:
        """A small network to begin with: it is taken apart soon enough."""
        rng = self.rng
        actions: list[Action] = []
        for ns in ("a", "b", "c"):
            actions.append(("add_netns", ns, rng.choice((["*"], ["a", "b"], []))))
            actions += [
                ("sysctl", ns, name, rng.choice(values)) for name, values in _SMALL.items() if rng.random() < 0.4
            ]
            if rng.random() < 0.8:
                actions.append(("sysctl", ns, "net.ipv4.ip_forward", 1))
        for index, (ns, name) in enumerate((("a", "e0"), ("a", "e1"), ("b", "e0"), ("c", "e0"))):
            actions.append(("add_device", ns, name, rng.choice((1500, 1500, 576)), rng.random() < 0.3, False))
            actions.append(("add_address", ns, name, f"10.0.{index}.1/24"))
            actions.append(self._netns_socket(ns, 17))
            actions.append(("call", self.number, "bind", ["", rng.choice((7, 53))]))
            actions.append(("call", self.number, "setsockopt", 1, 6, 1))  # SO_BROADCAST
            if rng.random() < 0.2:
                actions.append(("sysctl", ns, f"net.ipv4.conf.{name}.rp_filter", rng.choice((1, 2))))
        actions.append(("add_veth", "a", "v0", "b", "v0", 1500))
        actions.append(("add_address", "a", "v0", "10.0.4.1/30"))
        actions.append(("add_address", "b", "v0", "10.0.4.2/30"))
        actions.append(("add_route", "a", "10.0.2.0/24", "10.0.4.2", None, None, 0, "unicast"))
        actions.append(("add_route", "b", "default", "10.0.4.1", None, None, 0, "unicast"))
        actions.append(("add_route", "a", "10.0.3.0/24", None, None, "c", 0, "unicast"))
        actions.append(("add_route", "c", "default", None, None, "a", 0, "unicast"))
        return actions

    def next(self) -> list[Action]:
        """What happens now."""
        roll = self.rng.random()
        if roll < 0.66:
            return self._frames()
        if roll < 0.74:
            return self._time()
        if roll < 0.92:
            return [self._sockets()]
        return [self._administration()]

    # -- frames and time ----------------------------------------------------------------------------------------------

    def _frames(self) -> list[Action]:
        rng, world = self.rng, self.world
        if self._ports_of != world.changes:
            self._look_around()
        if not self._ports:
            return [self._administration()]
        ns, name, port = rng.choice(self._ports)
        sent = world.sent.get(world.stack.namespaces[ns].devices[name])
        port.sent = list(sent) if sent is not None else []
        if rng.random() < 0.002:
            return [("unmapped",)]
        return [("receive", ns, name, frame) for frame in self.forge.batch(port)]

    def _look_around(self) -> None:
        world = self.world
        self._ports_of = world.changes
        self._ports = []
        everywhere = [
            a.address
            for ns in world.stack.namespaces.values()
            for dev in ns.devices.values()
            for a in dev.addresses
            if dev is not ns.lo
        ]
        behind = [address + 6 for address in everywhere] + [0xC6336407]
        for ns in world.stack.namespaces.values():
            for dev in ns.devices.values():
                if dev.kind != "tap":
                    continue
                own = [a.address for a in dev.addresses]
                near = [(a.address & 0xFFFFFF00) + host for a in dev.addresses for host in (2, 3, 4, 5, 9)]
                port = Port(dev.mac, dev.vnet_hdr, dev.mtu, own, near, everywhere + behind)
                self._ports.append((ns.name, dev.name, port))
        self.forge.ports = [sock.port for sock in world.sockets.values() if sock.proto == 17] + [7, 53, 1000]
        self.forge.idents = [sock.port for sock in world.sockets.values() if sock.proto == 1] or [1]

    def _time(self) -> list[Action]:
        rng = self.rng
        roll = rng.random()
        if roll < 0.2:
            return [("ready",)]
        if roll < 0.3:
            reason = rng.choice((DropReason.FULL_RING, DropReason.TX_ERROR))
            return [("failed", int(reason))]
        if roll < 0.55:
            return [("due",)]
        if roll < 0.95:
            return [("poll", rng.choice((0, 1, 1000, 1_000_000, 100_000_000, SECOND)))]
        return [("poll", rng.choice((5, 31, 61, 601, 86400 * 365)) * SECOND)]

    # -- sockets ------------------------------------------------------------------------------------------------------

    def _netns_socket(self, ns: str, proto: int) -> Action:
        self.number += 1
        return ("socket", self.number, ns, proto)

    def _address(self) -> str:
        rng = self.rng
        roll = rng.random()
        if roll < 0.6:
            return f"10.0.{rng.randrange(5)}.{rng.choice((1, 1, 2, 3, 9, 255, 0))}"
        if roll < 0.8:
            return rng.choice(GROUPS)
        return rng.choice(("127.0.0.1", "255.255.255.255", "0.0.0.0", "198.51.100.7", "127.9.9.9", "", "172.16.0.9"))

    def _sockets(self) -> Action:
        rng, world = self.rng, self.world
        roll = rng.random()
        live = list(world.sockets)
        if not live or (roll < 0.08 and len(live) < 24):
            return self._netns_socket(self._space(), rng.choice((17, 17, 1, 0, 6)))
        number = rng.choice(live)
        where = [self._address(), rng.choice((0, 7, 7, 53, 53, 1000, 40000, 40001))]
        if roll < 0.16:
            return ("call", number, "bind", where)
        if roll < 0.22:
            return ("call", number, "connect", where if rng.random() < 0.8 else None)
        if roll < 0.5:
            return self._sending(number, where)
        if roll < 0.7:
            size, flags = rng.choice((0, 1, 2000, 65535)), rng.choice((0, 0, 2, 0x20, 0x2000, 0x40))
            if rng.random() < 0.3:
                return ("call", number, "recvmsg", size, rng.choice((0, 10, 500)), flags)
            return ("call", number, rng.choice(("recv", "recvfrom")), size, flags)
        if roll < 0.88:
            if rng.random() < 0.25:
                return ("call", number, "setsockopt", _IP, rng.choice((35, 36, 32)), self._membership())
            level, option, values = rng.choice(_OPTIONS)
            return ("call", number, "setsockopt", level, option, rng.choice(values))
        if roll < 0.92:
            level, option = rng.choice(_READ)
            return ("call", number, "getsockopt", level, option, rng.choice((0, 1, 4, 16)))
        if roll < 0.925:
            return ("call", number, "shutdown", rng.randrange(4))
        if roll < 0.97:
            return ("call", number, rng.choice(("getsockname", "getpeername")))
        return ("call", number, "close")

    def _sending(self, number: int, where: list[Any]) -> Action:
        rng = self.rng
        size = rng.choice((0, 8, 64, 64, 64, 548, 548, 1472, 1473, 4000, 20000, 65507, 65508))
        data = rng.randbytes(size)
        if rng.random() < 0.4:
            data = b"\x08\0" + data
        flags = rng.choice((0, 0, 0, 0, 0, 0, 0x800, 0x800, 0x40, 1))
        roll = rng.random()
        if roll < 0.3:
            return ("call", number, "send", data, flags)
        if roll < 0.8:
            return ("call", number, "sendto", data, flags, where)
        address = rng.choice((0x0A000001, 0x0A000102, 0x7F000001, 0xEF010203, 0xC0000201)).to_bytes(4, "big")
        messages = rng.choice(
            (
                [[0, 8, rng.randrange(5).to_bytes(4, "little") + address + bytes(4)]],  # IP_PKTINFO
                [[0, 2, rng.choice((0, 1, 300)).to_bytes(4, "little")]],  # IP_TTL
                [[0, 1, b"\xff"]],  # IP_TOS
                [[1, 36, bytes(4)]],
                [[0, 77, b""]],
            )
        )
        return ("call", number, "sendmsg", [data], messages, flags, where if rng.random() < 0.8 else None)

    def _membership(self) -> bytes:
        rng = self.rng
        group = bytes(map(int, rng.choice((*GROUPS, "10.0.0.1")).split(".")))
        address = rng.choice((bytes(4), b"\x0a\0\0\1", b"\x0a\0\4\2"))
        return (group + address + rng.randrange(4).to_bytes(4, "little"))[: rng.choice((12, 12, 8, 4))]

    # -- configuration ------------------------------------------------------------------------------------------------

    def _space(self) -> str:
        return self.rng.choice(list(self.world.stack.namespaces) or SPACES)

    def _device(self, ns: str) -> str:
        space = self.world.stack.namespaces.get(ns)
        return self.rng.choice(list(space.devices) if space is not None else NAMES)

    def _administration(self) -> Action:
        rng = self.rng
        ns = self._space()
        name = self._device(ns)
        third = rng.randrange(6)
        address = f"10.0.{third}.{rng.choice((1, 1, 2, 3))}"
        weighted = (
            ("add_netns", 6),
            ("del_netns", 2),
            ("accept", 3),
            ("add_device", 10),
            ("del_device", 4),
            ("add_veth", 6),
            ("move", 5),
            ("set_device", 14),
            ("carrier", 8),
            ("add_address", 16),
            ("del_address", 9),
            ("add_route", 16),
            ("del_route", 8),
            ("sysctl", 16),
            ("neighbor", 10),
            ("capture", 3),
            ("captured", 5),
        )
        kind = rng.choices([kind for kind, _ in weighted], [weight for _, weight in weighted])[0]
        fresh = rng.choice(NAMES)
        if kind == "add_netns":
            return (kind, rng.choice(SPACES), rng.choice((["*"], list(SPACES[:3]), [])))
        if kind == "del_netns":
            return (kind, ns, rng.random() < 0.7)
        if kind == "accept":
            return (kind, ns, rng.choice((["*"], ["a"], ["b", "c"], [])))
        if kind == "add_device":
            return (
                kind,
                ns,
                fresh,
                rng.choice((1500, 68, 576, 9000, 65521, 67)),
                rng.random() < 0.3,
                rng.random() < 0.2,
            )
        if kind == "del_device":
            return (kind, ns, name)
        if kind == "add_veth":
            return (kind, ns, fresh, self._space(), rng.choice(NAMES), rng.choice((1500, 68, 600)))
        if kind == "move":
            return (kind, ns, name, self._space(), rng.choice((None, fresh)))
        if kind == "set_device":
            up = rng.choice((None, True, True, True, False))
            return (kind, ns, name, up, None if up is not None else rng.choice((68, 300, 576, 1500, 9000)))
        if kind == "carrier":
            return (kind, ns, name, rng.random() < 0.75)
        if kind == "add_address":
            return (kind, ns, name, f"{address}/{rng.choice((24, 24, 24, 25, 30, 31, 32, 16, 8))}")
        if kind == "del_address":
            space = self.world.stack.namespaces.get(ns)
            known = [] if space is None or name not in space.devices else space.devices[name].addresses
            if known and rng.random() < 0.8:
                octets = rng.choice(known).address.to_bytes(4, "big")
                return (kind, ns, name, ".".join(map(str, octets)))
            return (kind, ns, name, address)
        if kind == "add_route":
            return self._route(ns, name, third)
        if kind == "del_route":
            to = rng.choice(("default", f"10.0.{third}.0/24", f"10.0.{third}.128/25", "198.51.100.0/24"))
            return (kind, ns, to, rng.choice((None, 0, 5)))
        if kind == "sysctl":
            return self._setting(ns, name)
        if kind == "neighbor":
            verb = rng.choice(("add", "add", "del", "flush", "flush-all"))
            near = 0x0A000000 | third << 8 | rng.choice((2, 3, 4, 9))
            return (kind, ns, name, verb, near, b"\x02\x99\0\0\0" + bytes((rng.randrange(16),)))
        if kind == "capture":
            self.number += 1
            return (kind, self.number, ns, name, rng.choice((0, 1000, 100000)))
        captures = list(self.world.captures) or [0]
        return ("captured", rng.choice(captures), rng.random() < 0.5)

    def _route(self, ns: str, name: str, third: int) -> Action:
        rng = self.rng
        to = rng.choice(
            ("default", f"10.0.{third}.0/24", f"10.0.{third}.128/25", f"10.0.{third}.9/32", "198.51.100.0/24")
        )
        metric = rng.choice((0, 0, 5))
        roll = rng.random()
        if roll < 0.2:
            kind = rng.choice(("blackhole", "unreachable", "prohibit"))
            return ("add_route", ns, to, None, None, None, metric, kind)
        if roll < 0.5:
            return ("add_route", ns, to, None, None, self._space(), metric, "unicast")
        if roll < 0.8:
            via = f"10.0.{rng.randrange(6)}.{rng.choice((1, 2, 3, 9))}"
            return ("add_route", ns, to, via, rng.choice((None, name)), None, metric, "unicast")
        return ("add_route", ns, to, None, name, None, metric, "unicast")

    def _setting(self, ns: str, name: str) -> Action:
        rng = self.rng
        roll = rng.random()
        if roll < 0.4:
            setting = rng.choice(list(_SMALL))
            return ("sysctl", ns, setting, rng.choice(_SMALL[setting]))
        scope = rng.choice(("default", name, name))
        if roll < 0.7:
            setting = rng.choice(list(_NEIGH))
            return ("sysctl", ns, f"net.ipv4.neigh.{scope}.{setting}", rng.choice(_NEIGH[setting]))
        setting = rng.choice((*_SWITCHES, *_MORE_SWITCHES, "forwarding", "nonsense"))
        return ("sysctl", ns, f"net.ipv4.conf.{rng.choice(('all', scope))}.{setting}", rng.choice((0, 1, 1, 2, 8)))
