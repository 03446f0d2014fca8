"""What a validated configuration is made of: immutable records, one per kind of table.

Names of namespaces are absolute here, however the file wrote them; addresses are `ipaddress` objects; everything that
has a default has it filled in. Where None is possible it means "not given".
"""

from ipaddress import IPv4Address, IPv4Interface, IPv4Network, IPv6Address, IPv6Interface, IPv6Network
from typing import TYPE_CHECKING, Any, Literal

import msgspec

from vrouter.errors import Problem

if TYPE_CHECKING:  # loaded when there is such a table
    from vrouter.stack.l2.router_advert import RaConf

LogLevel = Literal["debug", "info", "warning", "error"]
LogFormat = Literal["auto", "json", "console"]
NetnsKind = Literal["l2"]
DeviceKind = Literal["tap", "veth", "vlan", "bridge", "lo"]
RouteType = Literal["unicast", "blackhole", "unreachable", "prohibit", "throw"]
RuleType = Literal["unicast", "blackhole", "unreachable", "prohibit", "nop"]
AddrGenMode = Literal["eui64", "none", "stable-privacy", "random"]
VlanProtocol = Literal["802.1Q", "802.1ad"]

Address = IPv4Address | IPv6Address
Interface = IPv4Interface | IPv6Interface
Network = IPv4Network | IPv6Network

TABLE_MAIN = 254


class LogConfig(msgspec.Struct, frozen=True, kw_only=True):
    """`[router] log`."""

    level: LogLevel = "info"
    format: LogFormat = "auto"


class RouterConfig(msgspec.Struct, frozen=True, kw_only=True):
    """`[router]`. `admin` is the path of the admin socket, "" for none; `metrics` is "ADDRESS:PORT"."""

    admin: str | None = None
    metrics: str | None = None
    log: LogConfig = LogConfig()
    id: str | None = None


class PeerConfig(msgspec.Struct, frozen=True, kw_only=True):
    """The other end of a veth pair."""

    netns: str
    dev: str


class HostRoute(msgspec.Struct, frozen=True, kw_only=True):
    """A route of the kernel's end; without `via` the prefix is on the link."""

    to: Network
    via: Address | None = None
    src: Address | None = None


class HostConfig(msgspec.Struct, frozen=True, kw_only=True):
    """The kernel's end of a TAP; without `netns` it stays where the process runs."""

    netns: str | None = None
    ifname: str | None = None
    addresses: tuple[Interface, ...] = ()
    routes: tuple[HostRoute, ...] = ()
    autoconf: bool = False


class BridgeConfig(msgspec.Struct, frozen=True, kw_only=True):
    """What a bridge device is besides; times in s. `ports` are those that it names itself."""

    ports: tuple[str, ...] = ()
    stp: Literal["none", "stp", "rstp"] | None = None
    priority: int | None = None
    hello_time: int | None = None
    max_age: int | None = None
    forward_delay: int | None = None
    ageing_time: int | None = None
    vlan_filtering: bool | None = None
    default_pvid: int | None = None
    mcast_snooping: bool | None = None
    mcast_querier: bool | None = None


class PortConfig(msgspec.Struct, frozen=True, kw_only=True):
    """`[netns.NS.dev.NAME.port]`: what a device is as the port of a bridge; of a bridge itself, its own VLANs. `storm`
    is in frames a second; `static` are six bytes each."""

    cost: int | None = None
    priority: int | None = None
    edge: bool | None = None
    guard: Literal["none", "bpdu", "root"] | None = None
    state: Literal["forwarding", "learning", "blocking", "disabled"] | None = None
    isolated: bool | None = None
    learning: bool | None = None
    flood: bool | None = None
    mcast_router: bool | None = None
    pvid: int | None = None
    untagged: tuple[int, ...] | None = None
    tagged: tuple[int, ...] | None = None
    storm: dict[str, int] | None = None
    static: tuple[bytes, ...] = ()


class NeighborConfig(msgspec.Struct, frozen=True, kw_only=True):
    """A permanent neighbour of a device; `mac` is six bytes."""

    address: Address
    mac: bytes


class DeviceConfig(msgspec.Struct, frozen=True, kw_only=True):
    """`[netns.NS.dev.NAME]`. `ifname` is set for a tap and for nothing else; `mac` is six bytes. An `mtu` of 0 is that
    of the devices below. A vlan without a `parent` is a tag that another namespace gives."""

    name: str
    kind: DeviceKind = "tap"
    ifname: str | None = None
    addresses: tuple[Interface, ...] = ()
    mtu: int = 1500
    mac: bytes | None = None
    queues: int = 1
    offload: bool = True
    up: bool = True
    acd: Literal["announce", "probe"] = "announce"
    peer: PeerConfig | None = None
    host: HostConfig | None = None
    parent: str | None = None
    vid: int = 0
    protocol: VlanProtocol = "802.1Q"
    settings: BridgeConfig | None = None
    bridge: str | None = None
    port: PortConfig | None = None
    autoconf: bool | None = None
    addr_gen_mode: AddrGenMode | None = None
    ra: "RaConf | None" = None
    neighbors: tuple[NeighborConfig, ...] = ()
    proxy: tuple[IPv6Address, ...] = ()


class IngressConfig(msgspec.Struct, frozen=True, kw_only=True):
    """`[[netns.NS.ingress]]`: a tag of `dev` that is the device `name` of the namespace `netns`."""

    dev: str
    vid: int
    netns: str
    name: str
    protocol: VlanProtocol = "802.1Q"


class HopConfig(msgspec.Struct, frozen=True, kw_only=True):
    """One of several next hops."""

    via: Address | None = None
    dev: str | None = None
    weight: int = 1
    onlink: bool = False


class RouteConfig(msgspec.Struct, frozen=True, kw_only=True):
    """`[[netns.NS.route]]`. With `netns` it is a route short-cut into that namespace; `mtu` and `advmss` 0: the
    device's."""

    to: Network
    via: Address | None = None
    dev: str | None = None
    metric: int = 0
    table: int = TABLE_MAIN
    type: RouteType = "unicast"
    netns: str | None = None
    src: Address | None = None
    mtu: int = 0
    advmss: int = 0
    onlink: bool = False
    nexthops: tuple[HopConfig, ...] = ()
    nhid: int | None = None


class RuleConfig(msgspec.Struct, frozen=True, kw_only=True):
    """`[[netns.NS.rule]]`, for one family. `source` and `destination` are `from` and `to` of the file; `mark` is as
    the file has it."""

    family: Literal[4, 6] = 4
    priority: int
    source: Network | None = None
    destination: Network | None = None
    iif: str | None = None
    oif: str | None = None
    mark: str | None = None
    tos: int = 0
    table: int | None = None
    type: RuleType = "unicast"
    goto: int | None = None
    invert: bool = False
    suppress_prefixlength: int | None = None


class NextHopConfig(msgspec.Struct, frozen=True, kw_only=True):
    """`[[netns.NS.nexthop]]`: by `via` and `dev`, a `group` of (id, weight), or a blackhole."""

    id: int
    family: Literal[4, 6] = 4
    via: Address | None = None
    dev: str | None = None
    onlink: bool = False
    group: tuple[tuple[int, int], ...] = ()
    blackhole: bool = False


class MrouteConfig(msgspec.Struct, frozen=True, kw_only=True):
    """`[[netns.NS.mroute]]`. `iif` is a device or ``@PATH``; `oifs` are (device, TTL threshold)."""

    group: Address
    source: Address | None = None
    iif: str
    oifs: tuple[tuple[str, int], ...] = ()
    netns: str | None = None


class ProxyConfig(msgspec.Struct, frozen=True, kw_only=True):
    """`proxy` of `[netns.NS.multicast]`."""

    upstream: str
    downstream: tuple[str, ...]


class MulticastConfig(msgspec.Struct, frozen=True, kw_only=True):
    """`[netns.NS.multicast]`; lists of devices."""

    proxy: ProxyConfig | None = None
    querier: tuple[str, ...] = ()
    mdns: tuple[str, ...] = ()


class ResolverConfig(msgspec.Struct, frozen=True, kw_only=True):
    """`[netns.NS.resolver]`. Names are in lower case and without a dot at the end; `servers` are (address, port);
    `timeout` is in s, of each attempt."""

    hosts: dict[str, tuple[Address, ...]] = {}
    servers: tuple[tuple[str, int], ...] = ()
    search: tuple[str, ...] = ()
    ndots: int = 1
    timeout: int = 5
    attempts: int = 2


class NetnsConfig(msgspec.Struct, frozen=True, kw_only=True):
    """`[netns.NS]`. `accept_from` holds absolute names, or "*" alone; `routes_file` is a path."""

    path: str
    kind: NetnsKind = "l2"
    accept_from: tuple[str, ...] = ()
    sysctl: dict[str, int | str] = {}
    devices: dict[str, DeviceConfig] = {}
    ingress: tuple[IngressConfig, ...] = ()
    nexthops: tuple[NextHopConfig, ...] = ()
    rules: tuple[RuleConfig, ...] = ()
    routes: tuple[RouteConfig, ...] = ()
    routes_file: str | None = None
    mroutes: tuple[MrouteConfig, ...] = ()
    multicast: MulticastConfig = MulticastConfig()
    resolver: ResolverConfig = ResolverConfig()


class Config(msgspec.Struct, frozen=True, kw_only=True):
    """A whole configuration. `netns` is in the file's order with parents before their children; `raw` is the file."""

    router: RouterConfig = RouterConfig()
    netns: dict[str, NetnsConfig] = {}
    warnings: tuple[Problem, ...] = ()
    raw: dict[str, Any] = {}
