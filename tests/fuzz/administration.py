"""Chooses what an administrator does next, of both families: devices, addresses, routes, bridges, groups, settings.

What is chosen is plain data (`world`); that much of it cannot be is part of it.
"""

from __future__ import annotations

from random import Random
from typing import TYPE_CHECKING, Any

from vrouter.stack.base.addresses import format_address
from vrouter.stack.sysctl.names import find, names
from vrouter.stack.sysctl.settings import MOST, Text

if TYPE_CHECKING:
    from tests.fuzz.world import Action, World

SPACES = ("a", "b", "c", "a/x", "d")
NAMES = ("e0", "e1", "e2", "v0", "v1", "br0", "br1", "l5", "l10")
GROUPS = ("239.1.2.3", "224.0.0.251", "224.0.0.1", "232.0.0.1")
GROUPS6 = ("ff05::123", "ff02::fb", "ff0e::7", "ff02::1")
PROTOCOLS = ("802.1Q", "802.1Q", "802.1ad")
# Settings that bound a table are kept small, so that their bounds are reached.
SMALL: dict[str, tuple[int | str, ...]] = {
    "net.ipv4.neigh.default.gc_thresh1": (4, 8),
    "net.ipv4.neigh.default.gc_thresh2": (8, 16),
    "net.ipv4.neigh.default.gc_thresh3": (10, 24),
    "net.ipv6.neigh.default.gc_thresh1": (4, 8),
    "net.ipv6.neigh.default.gc_thresh2": (8, 16),
    "net.ipv6.neigh.default.gc_thresh3": (10, 24),
    "net.ipv4.ipfrag_high_thresh": (0, 20000, 200000),
    "net.ipv6.ip6frag_high_thresh": (0, 20000, 200000),
    "net.ipv4.ipfrag_time": (1, 30),
    "net.ipv6.ip6frag_time": (1, 60),
    "net.ipv4.icmp_ratelimit": (0, 1000),
    "net.ipv6.icmp.ratelimit": (0, 100),
    "net.ipv4.icmp_ratemask": (0, 6168, -1),
    "net.ipv4.icmp_msgs_per_sec": (0, 10, 100000),
    "net.ipv4.icmp_msgs_burst": (0, 1, 50),
    "net.ipv4.icmp_echo_ignore_broadcasts": (0, 1),
    "net.ipv4.icmp_errors_use_inbound_ifaddr": (0, 1),
    "net.ipv4.ip_default_ttl": (1, 64),
    "net.ipv4.ip_forward": (0, 1, 1, 1),
    "net.ipv6.conf.all.forwarding": (0, 1, 1, 1),
    "net.ipv4.ip_local_port_range": ("40000 40003", "32768 60999"),
    "net.core.rmem_default": (2304, 212992),
    "net.ipv4.route.min_pmtu": (68, 552),
    "net.ipv4.route.mtu_expires": (1, 600),
    "net.ipv6.route.mtu_expires": (1, 600),
    "net.ipv4.fib_multipath_hash_policy": (0, 1),
    "net.ipv6.fib_multipath_hash_policy": (0, 1),
    "net.ipv4.igmp_max_memberships": (1, 20),
    "net.ipv6.idgen_retries": (0, 3, 1000),
}
SWITCHES = ("rp_filter", "accept_redirects", "secure_redirects", "shared_media", "send_redirects", "accept_local")
MORE_SWITCHES = ("bc_forwarding", "proxy_arp", "arp_filter", "arp_ignore", "arp_announce", "arp_accept", "forwarding")
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
_SIX = {
    "accept_ra": (0, 1, 2, 2),
    "accept_dad": (0, 1, 1, 2),
    "dad_transmits": (0, 1, 3),
    "enhanced_dad": (0, 1),
    "addr_gen_mode": (0, 1, 2, 3),
    "disable_ipv6": (0, 0, 1),
    "forwarding": (0, 1, 1),
    "force_forwarding": (0, 1),
    "proxy_ndp": (0, 1, 1),
    "ndisc_notify": (0, 1),
    "suppress_frag_ndisc": (0, 1),
    "drop_unsolicited_na": (0, 1),
    "force_mld_version": (0, 1, 2),
    "max_addresses": (0, 1, 16),
    "router_solicitations": (-1, 0, 1, 3),
    "router_solicitation_interval": (1, 4),
    "mtu": (1280, 1400),
    "hop_limit": (1, 64),
    "accept_ra_from_local": (0, 1),
    "accept_ra_rt_info_max_plen": (0, 64, 128),
    "stable_secret": ("", "2001:db8::1"),
    "accept_redirects": (0, 1),
}
_WEIGHTED = (
    ("add_netns", 6),
    ("del_netns", 2),
    ("accept", 3),
    ("add_device", 10),
    ("offload", 6),
    ("del_device", 5),
    ("add_veth", 6),
    ("move", 5),
    ("set_device", 14),
    ("set_mac", 6),
    ("carrier", 8),
    ("add_address", 22),
    ("del_address", 9),
    ("route", 26),
    ("del_route", 9),
    ("get_route", 4),
    ("rule", 10),
    ("nexthop", 8),
    ("load", 3),
    ("step_load", 8),
    ("sysctl", 30),
    ("neighbor", 10),
    ("vlan", 8),
    ("ingress", 4),
    ("bridge", 8),
    ("port", 16),
    ("fdb", 4),
    ("ra", 10),
    ("autoconf", 8),
    ("proxy", 5),
    ("querier", 8),
    ("mroute", 9),
    ("mc_proxy", 4),
    ("mdns", 3),
    ("show", 4),
    ("capture", 3),
    ("captured", 5),
)


def a_bits(family: int) -> int:
    """The width of an address."""
    return 32 if family == 4 else 128


class Administrator:
    """Writes the next change of the configuration for `world`; all chance comes from `rng`."""

    def __init__(self, world: World, rng: Random) -> None:
        self.world = world
        self.rng = rng
        self.number = 0  # of the last socket, capture or load

    def space(self) -> str:
        return self.rng.choice(list(self.world.stack.namespaces) or SPACES)

    def device(self, ns: str) -> str:
        space = self.world.stack.namespaces.get(ns)
        return self.rng.choice(list(space.devices) if space is not None else NAMES)

    def choose(self) -> Action:
        """What is done now."""
        rng = self.rng
        kind = rng.choices([kind for kind, _ in _WEIGHTED], [weight for _, weight in _WEIGHTED])[0]
        ns = self.space()
        action: Action = getattr(self, f"_{kind}")(ns, self.device(ns))
        return action

    # -- namespaces and devices ---------------------------------------------------------------------------------------

    def _add_netns(self, ns: str, name: str) -> Action:
        return ("add_netns", self.rng.choice(SPACES), self.rng.choice((["*"], list(SPACES[:3]), [])))

    def _del_netns(self, ns: str, name: str) -> Action:
        return ("del_netns", ns, self.rng.random() < 0.7)

    def _accept(self, ns: str, name: str) -> Action:
        return ("accept", ns, self.rng.choice((["*"], ["*"], ["a"], ["b", "c"], [])))

    def _offload(self, ns: str, name: str) -> Action:
        return ("offload", ns, name, self.rng.random() < 0.7, self.rng.random() < 0.7)

    def _add_device(self, ns: str, name: str) -> Action:
        rng = self.rng
        mtu = rng.choice((1500, 1500, 1280, 68, 576, 9000, 65521, 67))
        return ("add_device", ns, rng.choice(NAMES), mtu, rng.random() < 0.3, rng.random() < 0.2)

    def _del_device(self, ns: str, name: str) -> Action:
        return ("del_device", ns, name)

    def _add_veth(self, ns: str, name: str) -> Action:
        rng = self.rng
        mtu = rng.choice((1500, 1500, 68, 600, 1280))
        return ("add_veth", ns, rng.choice(NAMES), self.space(), rng.choice(NAMES), mtu)

    def _move(self, ns: str, name: str) -> Action:
        return ("move", ns, name, self.space(), self.rng.choice((None, self.rng.choice(NAMES))))

    def _set_device(self, ns: str, name: str) -> Action:
        rng = self.rng
        up = rng.choice((None, True, True, True, False))
        return ("set_device", ns, name, up, None if up is not None else rng.choice((68, 576, 1280, 1400, 1500, 9000)))

    def _set_mac(self, ns: str, name: str) -> Action:
        mac = self.rng.choice((b"\x02\x95\0\0\0", b"\x02\x97\0\0\0", b"\x01\0\0\0\0")) + bytes((self.rng.randrange(3),))
        return ("admin", ns, "set_device", [name], {"mac": mac})

    def _carrier(self, ns: str, name: str) -> Action:
        return ("carrier", ns, name, self.rng.random() < 0.75)

    def _vlan(self, ns: str, name: str) -> Action:
        rng = self.rng
        vid = rng.choice((5, 10, 20))
        named = {"kind": "vlan", "parent": name, "vid": vid, "protocol": rng.choice(PROTOCOLS)}
        return ("admin", ns, "add_device", [rng.choice(NAMES)], named)

    def _ingress(self, ns: str, name: str) -> Action:
        rng = self.rng
        return ("ingress", ns, name, rng.choice((5, 10, 20)), self.space(), rng.choice(NAMES), rng.choice(PROTOCOLS))

    # -- addresses, routes, rules -------------------------------------------------------------------------------------

    def address(self, *, host: tuple[int, ...] = (1, 1, 2, 3)) -> str:
        """An address of a link, of either family."""
        third, last = self.rng.randrange(6), self.rng.choice(host)
        return f"10.0.{third}.{last}" if self.rng.random() < 0.5 else f"fd00:0:0:{third}::{last}"

    def _add_address(self, ns: str, name: str) -> Action:
        rng = self.rng
        address = self.address()
        if ":" not in address:
            return ("add_address", ns, name, f"{address}/{rng.choice((24, 24, 24, 25, 30, 31, 32, 16, 8))}")
        if rng.random() < 0.1:
            address = rng.choice(("fe80::77", "fe80::1", "fec0::1", "2001:db8::1", "::ffff:10.0.0.1", "fd00::"))
        return ("add_address", ns, name, f"{address}/{rng.choice((64, 64, 64, 64, 96, 126, 127, 128, 48))}")

    def _del_address(self, ns: str, name: str) -> Action:
        space = self.world.stack.namespaces.get(ns)
        known = [] if space is None or name not in space.devices else space.devices[name].addresses
        if known and self.rng.random() < 0.8:
            a = self.rng.choice(known)
            return ("del_address", ns, name, format_address(a.address, a.family))
        return ("del_address", ns, name, self.address())

    def _to(self) -> str:
        rng = self.rng
        third = rng.randrange(6)
        if rng.random() < 0.5:
            four = (f"10.0.{third}.0/24", f"10.0.{third}.128/25", f"10.0.{third}.9/32", "198.51.100.0/24", "default")
            return rng.choice(four)
        six = (f"fd00:0:0:{third}::/64", f"fd00:0:0:{third}::9/128", "2001:db8::/32", "::/0", "fe80::/64", "fd00::/16")
        return rng.choice(six)

    def _hop(self, ns: str, six: bool) -> dict[str, Any]:
        rng = self.rng
        third, last = rng.randrange(6), rng.choice((1, 2, 3, 9))
        via = f"10.0.{third}.{last}"
        if six:
            via = rng.choice((f"fd00:0:0:{third}::{last:x}", f"fe80::{last:x}"))
        hop: dict[str, Any] = {"via": via, "dev": self.device(ns)}
        space = self.world.stack.namespaces.get(ns)
        roll = rng.random()
        if roll < 0.6 and space is not None:  # somebody on a link that there is
            held = [(dev, a) for dev in space.devices.values() for a in dev.addresses if a.family == (6 if six else 4)]
            held = [(dev, a) for dev, a in held if dev.kind != "lo" and a.length < a_bits(a.family) - 2]
            if held:
                dev, a = rng.choice(held)
                host = (1 << a_bits(a.family) - a.length) - 1
                near = a.address & ~host | rng.choice((2, 3, 5, 9)) & host
                return {"via": format_address(near, a.family), "dev": dev.name}
        roll = rng.random()
        if roll < 0.2:
            del hop["via"]
        elif roll < 0.4 and not via.startswith("fe80"):
            del hop["dev"]
        elif roll < 0.6:
            hop["onlink"] = True
        return hop

    def _route(self, ns: str, name: str) -> Action:
        rng = self.rng
        to = self._to()
        six = ":" in to
        named: dict[str, Any] = {"metric": rng.choice((0, 0, 5))}
        if rng.random() < 0.2:
            named["table"] = rng.choice((100, 253, "main", 255))
        if rng.random() < 0.1:
            named["mtu"] = rng.choice((600, 1280, 1400))
        if rng.random() < 0.1:
            named["replace"] = True
        roll = rng.random()
        if roll < 0.15:
            named["type"] = rng.choice(("blackhole", "unreachable", "prohibit", "throw"))
        elif roll < 0.4:
            named["netns"] = self.space()
        elif roll < 0.52:
            named["nexthops"] = [
                self._hop(ns, six) | {"weight": rng.choice((1, 5))} for _ in range(rng.choice((1, 2, 3)))
            ]
        elif roll < 0.62:
            named["nhid"] = rng.randrange(1, 6)
        else:
            named |= self._hop(ns, six)
            if rng.random() < 0.1:
                named["src"] = self.address()
        return ("admin", ns, "add_route", [to], named)

    def _del_route(self, ns: str, name: str) -> Action:
        named: dict[str, Any] = {"metric": self.rng.choice((None, 0, 5))}
        if self.rng.random() < 0.2:
            named["table"] = self.rng.choice((100, 253))
        return ("admin", ns, "del_route", [self._to()], named)

    def _get_route(self, ns: str, name: str) -> Action:
        rng = self.rng
        named = rng.choice(({}, {"iif": name}, {"oif": name}, {"mark": 7}))
        return (
            "get_route",
            ns,
            rng.choice((self.address(host=(1, 9)), f"fe80::1%{name}", "ff05::1", "0.0.0.0")),
            named,
        )

    def _rule(self, ns: str, name: str) -> Action:
        rng = self.rng
        six = rng.random() < 0.5
        named: dict[str, Any] = {
            "family": "inet6" if six else "inet",
            "priority": rng.choice((0, 1, 100, 32766, 40000)),
        }
        prefix = f"fd00:0:0:{rng.randrange(6)}::/64" if six else f"10.0.{rng.randrange(6)}.0/24"
        named |= rng.choice(({}, {"from": prefix}, {"to": prefix}, {"iif": name}, {"oif": name}, {"mark": "0x7/0xff"}))
        if rng.random() < 0.3:
            return ("admin", ns, "del_rule", [], named)
        action = {"action": rng.choice(("blackhole", "unreachable", "prohibit", "nop"))}
        named |= rng.choice(
            ({"table": 100}, {"table": 100}, {"goto": 100}, action, {"table": 254, "suppress_prefixlength": 0})
        )
        if rng.random() < 0.1:
            named["invert"] = True
        return ("admin", ns, "add_rule", [], named)

    def _nexthop(self, ns: str, name: str) -> Action:
        rng = self.rng
        number = rng.randrange(1, 6)
        if rng.random() < 0.25:
            return ("admin", ns, "del_nexthop", [number], {})
        named: dict[str, Any] = {"replace": rng.random() < 0.5, "family": rng.choice((4, 6))}
        roll = rng.random()
        if roll < 0.2:
            named["blackhole"] = True
        elif roll < 0.5:
            named["group"] = [[rng.randrange(1, 6), rng.choice((1, 3))] for _ in range(rng.choice((1, 2, 3)))]
        else:
            named |= self._hop(ns, named["family"] == 6)
        return ("admin", ns, "add_nexthop", [number], named)

    def _load(self, ns: str, name: str) -> Action:
        rng = self.rng
        self.number += 1
        lines = []
        for index in range(rng.choice((1, 40, 300))):
            hop = self._hop(ns, six := rng.random() < 0.5)
            words = " ".join(f"{key} {value}" for key, value in hop.items() if key != "onlink")
            to = f"fd09:{index:x}::/32" if six else f"10.9.{index & 255}.0/24"
            lines.append(f"route add {to} {words}{' onlink' if 'onlink' in hop else ''}")
        lines = lines if rng.random() < 0.3 else [f"route add 10.8.{i}.0/24 dev {name}" for i in range(60)] + lines[:1]
        lines += rng.choice(([], ["nonsense"], [f"route add 10.7.0.0/16 netns {self.space()}"]))
        return ("load", self.number, ns, lines, rng.random() < 0.5)

    def _step_load(self, ns: str, name: str) -> Action:
        return ("step_load", self.rng.choice(list(self.world.loads) or [0]), self.rng.choice((0, 5, 50, 1000)))

    def _neighbor(self, ns: str, name: str) -> Action:
        rng = self.rng
        verb = rng.choice(("add", "add", "del", "flush", "flush-all"))
        third, last = rng.randrange(6), rng.choice((2, 3, 4, 9))
        near = 0x0A000000 | third << 8 | last if rng.random() < 0.5 else 0xFD00 << 112 | third << 64 | last
        return ("neighbor", ns, name, verb, near, b"\x02\x99\0\0\0" + bytes((rng.randrange(16),)))

    # -- bridges ------------------------------------------------------------------------------------------------------

    def _bridge(self, ns: str, name: str) -> Action:
        rng = self.rng
        space = self.world.stack.namespaces.get(ns)
        there = [] if space is None else [dev.name for dev in space.devices.values() if dev.bridge is not None]
        if not there or rng.random() < 0.2:
            return ("admin", ns, "add_device", [rng.choice(("br0", "br1"))], {"kind": "bridge"})
        options = (
            ("stp", ("none", "stp", "rstp", "rstp")),
            ("vlan_filtering", (True, False)),
            ("mcast_snooping", (True, True, False)),
            ("mcast_querier", (True, False)),
            ("ageing_time", (0, 1, 300)),
            ("default_pvid", (0, 1, 5)),
            ("priority", (0, 4096, 32768, 61440)),
            ("forward_delay", (4, 15)),
        )
        chosen = {key: rng.choice(values) for key, values in rng.sample(options, rng.choice((1, 1, 2)))}
        return ("admin", ns, "set_bridge", [rng.choice(there)], chosen)

    def _port(self, ns: str, name: str) -> Action:
        rng = self.rng
        space = self.world.stack.namespaces.get(ns)
        device = None if space is None else space.devices.get(name)
        options = (
            ("cost", (1, 200, 200_000_000)),
            ("priority", (0, 16, 240)),
            ("edge", (None, True, False)),
            ("guard", ("none", "none", "bpdu", "root")),
            ("state", ("forwarding", "forwarding", "learning", "blocking", "disabled")),
            ("isolated", (True, False)),
            ("learning", (True, False)),
            ("flood", (True, False)),
            ("mcast_router", (True, False)),
            ("storm", (None, {"broadcast": 1}, {"multicast": 3, "unknown": 0})),
            ("storm", ({"broadcast": 0, "multicast": 1, "unknown": 1},)),
            ("pvid", (0, 1, 5, 10)),
            ("untagged", ([1], [5, 10], [])),
            ("tagged", ([10, 20], [5], [])),
        )
        chosen: dict[str, Any] = {k: rng.choice(v) for k, v in rng.sample(options, rng.choice((0, 1, 2)))}
        if device is None or device.bridge_port is None or rng.random() < 0.2:
            chosen["bridge"] = rng.choice(("br0", "br0", "br1", None))
        return ("admin", ns, "set_port", [name], chosen)

    def _fdb(self, ns: str, name: str) -> Action:
        rng = self.rng
        mac, vlan = b"\x02\x97\0\0\0" + bytes((rng.randrange(6),)), rng.choice((0, 0, 1, 5))
        if rng.random() < 0.4:
            return ("admin", ns, "fdb_del", ["br0", mac, vlan], {})
        return ("admin", ns, "fdb_add", ["br0", mac, name, vlan], {})

    # -- routers and groups -------------------------------------------------------------------------------------------

    def _ra(self, ns: str, name: str) -> Action:
        rng = self.rng
        if rng.random() < 0.25:
            return ("ra", ns, name, None)
        net = 0xFD02 << 112 | rng.randrange(80) << 64
        options: tuple[tuple[str, tuple[Any, ...]], ...] = (
            ("prefixes", (None, [], [[net, 64]], [[net + (i << 80), 64, 3600, 1800] for i in range(60)])),
            ("lifetime", (0, 9000, None)),
            ("mtu", (0, 1280, 1500)),
            ("hop_limit", (None, 0, 255)),
            ("rdnss", ([], [net | 1], [net | i for i in range(40)])),
            ("dnssl", ([], ["example.org"])),
            ("routes", ([], [[net, 64, "high", 600]], [[net + (i << 80), 64] for i in range(60)])),
            ("pref64", (None, [0x64FF9B << 96, 96, 600])),
            ("max_interval", (4, 30, 600, 1)),
            ("managed", (True, False)),
        )
        return ("ra", ns, name, {k: rng.choice(v) for k, v in rng.sample(options, rng.choice((0, 1, 3)))})

    def _autoconf(self, ns: str, name: str) -> Action:
        return ("admin", ns, "set_autoconf", [name, self.rng.random() < 0.8], {})

    def _proxy(self, ns: str, name: str) -> Action:
        method = "add_proxy" if self.rng.random() < 0.7 else "del_proxy"
        address = f"fd00:0:0:{self.rng.randrange(6)}::{self.rng.choice((7, 8, 9))}"
        return ("admin", ns, method, [name, self.rng.choice((address, address, "10.0.0.1", "ff02::1"))], {})

    def _querier(self, ns: str, name: str) -> Action:
        named = {"igmp": self.rng.choice((None, True, True, False)), "mld": self.rng.choice((None, True, True, False))}
        return ("admin", ns, "set_querier", [name], named)

    def _mroute(self, ns: str, name: str) -> Action:
        rng = self.rng
        six = rng.random() < 0.5
        group = rng.choice(GROUPS6 if six else GROUPS)
        source = rng.choice((None, None, "fd00::9" if six else "10.0.0.9"))
        if rng.random() < 0.3:
            return ("admin", ns, "del_mroute", [group, source], {})
        ways: list[Any] = [self.device(ns) for _ in range(rng.choice((0, 1, 1, 2)))]
        if ways and rng.random() < 0.3:
            ways[0] = {"dev": ways[0], "ttl": rng.choice((0, 1, 64))}
        named: dict[str, Any] = {"source": source, "join": rng.random() < 0.4}
        if rng.random() < 0.3:
            named["netns"] = self.space()
        iif = f"@{self.space()}" if rng.random() < 0.25 else name
        return ("admin", ns, "add_mroute", [group, iif, ways], named)

    def _mc_proxy(self, ns: str, name: str) -> Action:
        if self.rng.random() < 0.25:
            return ("admin", ns, "set_multicast_proxy", [None], {})
        down = [self.device(ns) for _ in range(self.rng.choice((1, 2)))]
        return ("admin", ns, "set_multicast_proxy", [name, down], {})

    def _mdns(self, ns: str, name: str) -> Action:
        return ("admin", ns, "set_mdns", [self.rng.choice(([], [name, self.device(ns)], [name, self.device(ns)]))], {})

    # -- settings, and who looks --------------------------------------------------------------------------------------

    def _sysctl(self, ns: str, name: str) -> Action:
        rng = self.rng
        roll = rng.random()
        if roll < 0.25:
            setting = rng.choice(list(SMALL))
            return ("sysctl", ns, setting, rng.choice(SMALL[setting]))
        scope = rng.choice(("default", name, name))
        if roll < 0.4:
            setting = rng.choice(list(_NEIGH))
            return ("sysctl", ns, f"net.ipv{rng.choice((4, 6))}.neigh.{scope}.{setting}", rng.choice(_NEIGH[setting]))
        if roll < 0.6:
            setting = rng.choice((*SWITCHES, *MORE_SWITCHES, "forwarding", "nonsense"))
            value = rng.choice((0, 1, 1, 2, 8))
            return ("sysctl", ns, f"net.ipv4.conf.{rng.choice(('all', scope))}.{setting}", value)
        if roll < 0.85:
            setting = rng.choice(list(_SIX))
            return (
                "sysctl",
                ns,
                f"net.ipv6.conf.{rng.choice(('all', scope, scope))}.{setting}",
                rng.choice(_SIX[setting]),
            )
        return self._any_setting(ns, scope)

    def _any_setting(self, ns: str, scope: str) -> Action:
        """Any setting that there is, at an end of what it may be or nearby."""
        rng = self.rng
        name = rng.choice(names([scope]))
        setting, _, _ = find(name, [scope])
        if setting.text is not Text.NUMBER:
            return ("sysctl", ns, name, setting.default)
        most = min(setting.high, 1000) if setting.high == MOST else setting.high
        value = rng.choice((setting.default, setting.low, setting.low + 1, most, most + 1))
        return ("sysctl", ns, name, value)

    def _show(self, ns: str, name: str) -> Action:
        return ("show", ns)

    def _capture(self, ns: str, name: str) -> Action:
        self.number += 1
        return ("capture", self.number, ns, name, self.rng.choice((0, 1000, 100000)))

    def _captured(self, ns: str, name: str) -> Action:
        return ("captured", self.rng.choice(list(self.world.captures) or [0]), self.rng.random() < 0.5)
