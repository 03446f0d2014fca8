"""What a validated configuration is made of: immutable records, one per kind of table.

Names of namespaces are absolute here, however the file wrote them; addresses are `ipaddress` objects; everything that
has a default has it filled in. Where None is possible it means "not given".
"""

from ipaddress import IPv4Address, IPv4Interface, IPv4Network
from typing import Any, Literal

import msgspec

from vrouter.errors import Problem

LogLevel = Literal["debug", "info", "warning", "error"]
LogFormat = Literal["auto", "json", "console"]
NetnsKind = Literal["l2"]
DeviceKind = Literal["tap", "veth", "lo"]
RouteType = Literal["unicast", "blackhole", "unreachable", "prohibit"]


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

    to: IPv4Network
    via: IPv4Address | None = None
    src: IPv4Address | None = None


class HostConfig(msgspec.Struct, frozen=True, kw_only=True):
    """The kernel's end of a TAP; without `netns` it stays where the process runs."""

    netns: str | None = None
    ifname: str | None = None
    addresses: tuple[IPv4Interface, ...] = ()
    routes: tuple[HostRoute, ...] = ()


class DeviceConfig(msgspec.Struct, frozen=True, kw_only=True):
    """`[netns.NS.dev.NAME]`. `ifname` is set for a tap and for nothing else; `mac` is six bytes."""

    name: str
    kind: DeviceKind = "tap"
    ifname: str | None = None
    addresses: tuple[IPv4Interface, ...] = ()
    mtu: int = 1500
    mac: bytes | None = None
    queues: int = 1
    offload: bool = True
    up: bool = True
    acd: Literal["announce", "probe"] = "announce"
    peer: PeerConfig | None = None
    host: HostConfig | None = None


class RouteConfig(msgspec.Struct, frozen=True, kw_only=True):
    """`[[netns.NS.route]]`. With `netns` it is a route short-cut into that namespace."""

    to: IPv4Network
    via: IPv4Address | None = None
    dev: str | None = None
    metric: int = 0
    table: Literal["main"] = "main"
    type: RouteType = "unicast"
    netns: str | None = None
    src: IPv4Address | None = None


class NetnsConfig(msgspec.Struct, frozen=True, kw_only=True):
    """`[netns.NS]`. `accept_from` holds absolute names, or "*" alone."""

    path: str
    kind: NetnsKind = "l2"
    accept_from: tuple[str, ...] = ()
    sysctl: dict[str, int | str] = {}
    devices: dict[str, DeviceConfig] = {}
    routes: tuple[RouteConfig, ...] = ()


class Config(msgspec.Struct, frozen=True, kw_only=True):
    """A whole configuration. `netns` is in the file's order with parents before their children; `raw` is the file."""

    router: RouterConfig = RouterConfig()
    netns: dict[str, NetnsConfig] = {}
    warnings: tuple[Problem, ...] = ()
    raw: dict[str, Any] = {}
