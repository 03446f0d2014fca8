"""Chooses what happens next: the script of a fuzzing run, written action by action as the world develops."""

from __future__ import annotations

from random import Random
from typing import TYPE_CHECKING, Any

from tests.fuzz.administration import GROUPS, GROUPS6, SMALL, Administrator
from tests.fuzz.crowd import Crowd
from tests.fuzz.forge import Forge, Port
from tests.fuzz.octets import behind_tags, untagged
from tests.fuzz.programs import Programs
from vrouter.stack.base.drop import DropReason
from vrouter.stack.l4.datagram import DatagramSocket

if TYPE_CHECKING:
    from tests.fuzz.world import Action, World
    from vrouter.stack.device import Device

SECOND = 1_000_000_000
_IP, _SOCKET, _IP6 = 0, 1, 41
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
    (0, 50, (0, b"\0\0\0\2")),  # IP_UNICAST_IF
    (41, 16, (-1, 0, 1, 255)),  # IPV6_UNICAST_HOPS
    (41, 17, (0, 1, 2, 3, 9)),  # IPV6_MULTICAST_IF
    (41, 18, (-1, 0, 1, 255)),  # IPV6_MULTICAST_HOPS
    (41, 19, (0, 1)),  # IPV6_MULTICAST_LOOP
    (41, 23, (0, 1, 2)),  # IPV6_MTU_DISCOVER
    (41, 25, (0, 1, 1)),  # IPV6_RECVERR
    (41, 26, (0, 1)),  # IPV6_V6ONLY
    (41, 29, (0, 1)),  # IPV6_MULTICAST_ALL
    (41, 49, (0, 1)),  # IPV6_RECVPKTINFO
    (41, 51, (0, 1)),  # IPV6_RECVHOPLIMIT
    (41, 60, (0, 1)),  # IPV6_RECVPATHMTU
    (41, 62, (0, 1)),  # IPV6_DONTFRAG
    (41, 66, (0, 1)),  # IPV6_RECVTCLASS
    (41, 67, (-1, 0, 255)),  # IPV6_TCLASS
    (41, 33, (0, 1)),  # IPV6_FLOWINFO_SEND
    (41, 78, (0, 1)),  # IPV6_FREEBIND
    (41, 76, (0, b"\0\0\0\2")),  # IPV6_UNICAST_IF
)
_READ = ((1, 4), (1, 8), (1, 3), (1, 25), (0, 14), (0, 2), (0, 32), (0, 9999), (41, 16), (41, 24), (41, 61), (41, 17))


class Script:
    """Writes the next actions for `world`; all chance comes from `rng`."""

    def __init__(self, world: World, rng: Random, captures: list[bytes]) -> None:
        self.world = world
        self.rng = rng
        self.forge = Forge(rng, captures)
        self.administrator = Administrator(world, rng)
        self.programs = Programs(world, rng, self.administrator.space, self._address, self._number)
        self.crowd = Crowd(world, rng)
        self._ports: list[tuple[str, str, Port]] = []
        self._known: list[tuple[Any, Device]] = []
        self._far: list[int] = []
        self._far6: list[int] = []
        self._ports_of = -1

    def opening(self) -> list[Action]:
        """A small network to begin with: it is taken apart soon enough."""
        rng = self.rng
        actions: list[Action] = []
        for ns in ("a", "b", "c"):
            actions.append(("add_netns", ns, rng.choice((["*"], ["a", "b"], []))))
            actions += [
                ("sysctl", ns, name, rng.choice(values)) for name, values in SMALL.items() if rng.random() < 0.4
            ]
            for forwarding in ("net.ipv4.ip_forward", "net.ipv6.conf.all.forwarding"):
                if rng.random() < 0.8:
                    actions.append(("sysctl", ns, forwarding, 1))
        for index, (ns, name) in enumerate((("a", "e0"), ("a", "e1"), ("b", "e0"), ("c", "e0"))):
            actions.append(("add_device", ns, name, rng.choice((1500, 1500, 1280, 576)), rng.random() < 0.5, False))
            actions.append(("offload", ns, name, rng.random() < 0.8, rng.random() < 0.7))
            actions += self._addressed(ns, name, index)
            for family in (2, 10):
                actions.append(self._netns_socket(ns, 17, family))
                number = self.administrator.number
                actions.append(("call", number, "setsockopt", _IP6, 26, 1))  # IPV6_V6ONLY
                actions.append(("call", number, "bind", ["", rng.choice((7, 53))]))
                actions.append(("call", number, "setsockopt", 1, 6, 1))  # SO_BROADCAST
            if rng.random() < 0.5:
                actions += self.crowd.join(ns, name, 0x0A000001 | index << 8, (0xFD00 << 48 | index) << 64 | 1)
            if rng.random() < 0.2:
                actions.append(("sysctl", ns, f"net.ipv4.conf.{name}.rp_filter", rng.choice((1, 2))))
        actions.append(("add_veth", "a", "v0", "b", "v0", 1500))
        for ns, host in (("a", 1), ("b", 2)):
            actions.append(("add_address", ns, "v0", f"10.0.4.{host}/30"))
            actions.append(("add_address", ns, "v0", f"fd00:0:0:4::{host}/64"))
        for ns, to, via, target in (
            ("a", "10.0.2.0/24", "10.0.4.2", None),
            ("b", "default", "10.0.4.1", None),
            ("a", "10.0.3.0/24", None, "c"),
            ("c", "default", None, "a"),
            ("a", "fd00:0:0:2::/64", "fd00:0:0:4::2", None),
            ("b", "::/0", "fd00:0:0:4::1", None),
            ("a", "fd00:0:0:3::/64", None, "c"),
            ("c", "::/0", None, "a"),
        ):
            actions.append(("admin", ns, "add_route", [to], {"via": via, "netns": target}))
        return actions + self._switched() + self._heard()

    def _addressed(self, ns: str, name: str, third: int) -> list[Action]:
        return [
            ("add_address", ns, name, f"10.0.{third}.1/24"),
            ("add_address", ns, name, f"fd00:0:0:{third}::1/64"),
        ]

    def _switched(self) -> list[Action]:
        """In some episodes there are bridges, and VLANs over a wire or over a bridge."""
        rng = self.rng
        actions: list[Action] = []
        if rng.random() < 0.6:
            actions.append(("admin", "b", "add_device", ["br0"], {"kind": "bridge"}))
            for name in ("e1", "e2"):
                actions.append(("add_device", "b", name, 1500, rng.random() < 0.3, False))
            for name in rng.choice((("e1", "e2"), ("e1", "e2", "v0"), ("e0", "e1", "e2"))):
                actions.append(("admin", "b", "set_port", [name], {"bridge": "br0"}))
            actions += self._addressed("b", "br0", 5)
            options = {"stp": rng.choice(("none", "none", "stp", "rstp")), "vlan_filtering": rng.random() < 0.3}
            options["mcast_querier"] = rng.random() < 0.3
            actions.append(("admin", "b", "set_bridge", ["br0"], options))
        if rng.random() < 0.5:
            named = {"kind": "vlan", "parent": "e1", "vid": 10}
            actions.append(("admin", "a", "add_device", ["l10"], named))
            actions += self._addressed("a", "l10", 5)
        if rng.random() < 0.4:
            actions += [("ingress", "a", "e0", 5, "b", "l5", "802.1Q"), *self._addressed("b", "l5", 1)]
        return actions

    def _heard(self) -> list[Action]:
        """In some, who advertises, who listens to routers, who asks for members."""
        rng = self.rng
        actions: list[Action] = []
        if rng.random() < 0.4:
            actions.append(("ra", "a", "e0", {"max_interval": 30}))
        if rng.random() < 0.5:
            actions.append(("sysctl", "c", "net.ipv6.conf.e0.accept_ra", 2))
            actions.append(("admin", "c", "set_autoconf", ["e0", True], {}))
        if rng.random() < 0.4:
            actions.append(("admin", "a", "set_querier", ["e0"], {"igmp": True, "mld": True}))
        if rng.random() < 0.3:
            actions.append(("admin", "a", "set_multicast_proxy", ["e1", ["e0"]], {}))
        if rng.random() < 0.2:
            actions.append(("admin", "a", "set_mdns", [["e0", "e1"]], {}))
        for group in ("239.1.2.3", "ff05::123"):
            if rng.random() < 0.3:
                actions.append(("admin", "a", "add_mroute", [group, "e0", ["e1", "v0"]], {}))
        return actions

    def closing(self) -> list[Action]:
        """How it ends: without warning."""
        return []

    def next(self) -> list[Action]:
        """What happens now."""
        roll = self.rng.random()
        if roll < 0.64:
            return self._frames()
        if roll < 0.7:
            return self.crowd.acts()
        if roll < 0.77:
            return self._time()
        if roll < 0.83:
            return self.programs.acts()
        if roll < 0.9:
            return [self._sockets()]
        return [self.administrator.choose()]

    # -- frames and time ----------------------------------------------------------------------------------------------

    def _frames(self) -> list[Action]:
        rng, world = self.rng, self.world
        if self._ports_of != world.changes:
            self._look_around()
        if not self._ports:
            return [self.administrator.choose()]
        ns, name, port = rng.choice(self._ports)
        sent = world.sent.get(world.stack.namespaces[ns].devices[name])
        # What carries another tag than the device that is meant is for somebody else.
        size = 12 + len(port.tag)
        frames = [f for f in sent or () if f[12:size] == port.tag and behind_tags(f)[0] == size + 2]
        port.sent = [untagged(frame) for frame in frames]
        if rng.random() < 0.002:
            return [("unmapped",)]
        return [("receive", ns, name, frame) for frame in self.forge.batch(port)]

    def _look_around(self) -> None:
        """A port for each device, of whatever kind, to which a wire leads."""
        world = self.world
        self._ports_of = world.changes
        self._ports = []
        self._known = [(ns, dev) for ns in world.stack.namespaces.values() for dev in ns.devices.values()]
        held = [a for _, dev in self._known if dev.kind != "lo" for a in dev.addresses]
        self._far = [a.address for a in held if a.family == 4]
        self._far += [address + 6 for address in self._far] + [0xC6336407]
        self._far6 = list(dict.fromkeys(a.address for a in held if a.family == 6 and a.scope == "global"))
        self._far6 += [address + 6 for address in self._far6] + [0x20010DB8 << 96 | 7]
        for ns, dev in self._known:
            if dev.kind == "tap":
                for upper, tag in self._above(dev, b""):
                    self._ports.append((ns.name, dev.name, self._port(dev, upper, tag)))
        live = world.sockets.values()
        self.forge.know(
            [sock.port for sock in live if sock.proto == 17] + [7, 53, 1000],
            [sock.port for sock in live if sock.proto in (1, 58)] or [1],
        )

    def _above(self, dev: Device, tag: bytes) -> list[tuple[Device, bytes]]:
        """The devices that a frame with a tag comes to: this one, or the bridge it is a port of, and VLANs of both."""
        found = [(dev, tag)]
        if dev.bridge_port is not None:
            found = self._above(dev.bridge_port.bridge.dev, tag)
        for (tpid, vid), upper in (dev.vlans or {}).items():
            found += self._above(upper, tag + tpid.to_bytes(2, "big") + vid.to_bytes(2, "big"))
        return found

    def _port(self, wire: Device, dev: Device, tag: bytes) -> Port:
        own = [a.address for a in dev.addresses if a.family == 4]
        near = [(address & 0xFFFFFF00) + host for address in own for host in (2, 3, 4, 5, 9)]
        own6 = [a.address & (1 << 128) - 1 for a in dev.addresses if a.family == 6]
        nets = [address >> 64 << 64 for address in own6 if address >> 118 != 0x3FA]
        return Port(
            dev.mac,
            wire.vnet_hdr,
            dev.mtu,
            own,
            near,
            self._far,
            own6,
            [net | host for net in nets for host in (2, 3, 4, 5, 9)],
            self._far6,
            tag,
            wire.bridge_port is not None,
        )

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

    def _number(self) -> int:
        self.administrator.number += 1
        return self.administrator.number

    def _netns_socket(self, ns: str, proto: int, family: int = 2) -> Action:
        self.administrator.number += 1
        return ("socket", self.administrator.number, ns, proto, family)

    def _address(self, six: bool) -> str:
        rng = self.rng
        roll = rng.random()
        third, last = rng.randrange(6), rng.choice((1, 1, 2, 3, 9, 255, 0))
        if six and rng.random() < 0.85:
            if roll < 0.6:
                return f"fd00:0:0:{third}::{last:x}"
            if roll < 0.8:
                return rng.choice(GROUPS6) + rng.choice(("", "%e0", "%2"))
            more = ("::1", "::", "", "2001:db8::7", "fe80::2%e0", "fe80::1", "fe80::9%nothing", "ff01::1%lo")
            return rng.choice(more)
        prefix = "::ffff:" if six else ""
        if roll < 0.6:
            return f"{prefix}10.0.{third}.{last}"
        if roll < 0.8:
            return prefix + rng.choice(GROUPS)
        more = ("127.0.0.1", "255.255.255.255", "0.0.0.0", "198.51.100.7", "127.9.9.9", "172.16.0.9")
        return prefix + rng.choice(more)

    def _sockets(self) -> Action:
        rng, world = self.rng, self.world
        roll = rng.random()
        live = [number for number, sock in world.sockets.items() if isinstance(sock, DatagramSocket) and sock.type == 2]
        if not live or (roll < 0.08 and len(live) < 24):
            family = rng.choice((2, 10))
            return self._netns_socket(
                self.administrator.space(), rng.choice((17, 17, 58 if family == 10 else 1, 0, 6)), family
            )
        number = rng.choice(live)
        six = world.sockets[number].family == 10
        where = [self._address(six), rng.choice((0, 7, 7, 53, 53, 1000, 5353, 40000, 40001))]
        if six and rng.random() < 0.1:
            where += [rng.choice((0, 5)), rng.choice((0, 1, 2, 9))]
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
            if rng.random() < 0.3:
                return self._group(number, six)
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
        six = self.world.sockets[number].family == 10
        if rng.random() < 0.4:
            data = (b"\x80\0" if six else b"\x08\0") + data
        flags = rng.choice((0, 0, 0, 0, 0, 0, 0x800, 0x800, 0x40, 1))
        roll = rng.random()
        if roll < 0.3:
            return ("call", number, "send", data, flags)
        if roll < 0.8:
            return ("call", number, "sendto", data, flags, where)
        address = rng.choice((0x0A000001, 0x0A000102, 0x7F000001, 0xEF010203, 0xC0000201)).to_bytes(4, "big")
        address6 = (0xFD00 << 112 | rng.randrange(6) << 64 | rng.choice((1, 9))).to_bytes(16, "big")
        messages = rng.choice(
            (
                [[41, 50, rng.choice((address6, bytes(16))) + rng.randrange(5).to_bytes(4, "little")]],  # IPV6_PKTINFO
                [[41, 52, rng.choice((0, 1, 300)).to_bytes(4, "little")], [41, 67, b"\xff\0\0\0"]],
                [[41, 62, rng.choice((b"\1\0\0\0", b""))]],
                [[0, 8, rng.randrange(5).to_bytes(4, "little") + address + bytes(4)]],  # IP_PKTINFO
                [[0, 2, rng.choice((0, 1, 300)).to_bytes(4, "little")]],  # IP_TTL
                [[0, 1, b"\xff"]],  # IP_TOS
                [[1, 36, bytes(4)]],
                [[0, 77, b""]],
            )
        )
        return ("call", number, "sendmsg", [data], messages, flags, where if rng.random() < 0.8 else None)

    def _group(self, number: int, six: bool) -> Action:
        """A group is joined, left, or wanted from other sources."""
        rng = self.rng
        if rng.random() < 0.5:
            return self._shared_group(number, six)
        if six and rng.random() < 0.8:
            group = rng.choice((0xFF05 << 112 | 0x123, 0xFF02 << 112 | 0xFB, 0xFF02 << 112 | 1)).to_bytes(16, "big")
            data = (group + rng.randrange(6).to_bytes(4, "little"))[: rng.choice((20, 20, 20, 16))]
            return ("call", number, "setsockopt", _IP6, rng.choice((20, 20, 21)), data)
        group = bytes(map(int, rng.choice((*GROUPS, "10.0.0.1")).split(".")))
        address = rng.choice((bytes(4), b"\x0a\0\0\1", b"\x0a\0\4\2"))
        option = rng.choice((35, 35, 36, 32, 37, 38, 39, 40, 41))
        source = b"\x0a\0\0" + bytes((rng.randrange(1, 5),))
        if option == 41:  # ip_msfilter
            tail = rng.randrange(2).to_bytes(4, "little") + rng.choice((1, 1, 2)).to_bytes(4, "little") + source
            return ("call", number, "setsockopt", _IP, option, group + address + tail)
        if option >= 37:
            return ("call", number, "setsockopt", _IP, option, group + address + source)
        data = (group + address + rng.randrange(4).to_bytes(4, "little"))[: rng.choice((12, 12, 8, 4))]
        return ("call", number, "setsockopt", _IP, option, data)

    def _shared_group(self, number: int, six: bool) -> Action:
        """RFC 3678 5: the structures that both families have."""
        rng = self.rng
        index = rng.randrange(6).to_bytes(4, "little") + bytes(4)

        def storage(address: bytes) -> bytes:
            if len(address) == 4:
                return (b"\2\0\0\0" + address).ljust(128, b"\0")
            return (b"\x0a\0" + bytes(6) + address).ljust(128, b"\0")

        if six:
            group = rng.choice((0xFF05 << 112 | 0x123, 0xFF0E << 112 | 7)).to_bytes(16, "big")
            source = (0xFD00 << 112 | rng.randrange(3) << 64 | 9).to_bytes(16, "big")
        else:
            group, source = b"\xef\1\2\3", b"\x0a\0\0" + bytes((rng.randrange(1, 5),))
        option = rng.choice((42, 42, 43, 44, 45, 46, 47, 48))
        data = index + storage(group)
        if option == 48:  # group_filter
            data += rng.randrange(2).to_bytes(4, "little") + b"\1\0\0\0" + storage(source)
        elif option not in (42, 45):
            data += storage(source)
        return ("call", number, "setsockopt", _IP6 if six else _IP, option, data)
