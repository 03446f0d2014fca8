"""The configuration: one TOML file in, validated records or every mistake at once out.

`load`, `loads` and `from_dict` give a `Config` or raise `ConfigError`, whose problems carry line and column: at the key
when it is unknown, at the value otherwise, at the table's header when something is missing. A `Config` may have
warnings: what is allowed, but hardly meant. Nothing here touches the system: whether a name is free in the kernel is
found out later.

    reader      TOML, order of the checks, assembly
    sections    [router] and [netns.NAME]: keys, types, ranges, what a namespace can be judged by alone; and its parts:
                devices, bridges, router_adverts, routing, routes_file, multicast, resolver
    references  parents, peers, crossings, kernel names: what needs the whole file; stacking: devices on devices
    values      texts and what they mean          nexthop   is a next hop reachable; ways: how a route says so
    findings    what was found                    positions where it stands
    section     one table     draft  one namespace while it is checked     records  the result
"""

from vrouter.config.reader import device_from_dict, from_dict, load, loads, resolver_from_dict
from vrouter.config.records import (
    BridgeConfig,
    Config,
    DeviceConfig,
    HopConfig,
    HostConfig,
    HostRoute,
    IngressConfig,
    LogConfig,
    MrouteConfig,
    MulticastConfig,
    NeighborConfig,
    NetnsConfig,
    NextHopConfig,
    PeerConfig,
    PortConfig,
    ProxyConfig,
    ResolverConfig,
    RouteConfig,
    RouterConfig,
    RuleConfig,
)
from vrouter.config.values import default_ifname

__all__ = [
    "BridgeConfig",
    "Config",
    "DeviceConfig",
    "HopConfig",
    "HostConfig",
    "HostRoute",
    "IngressConfig",
    "LogConfig",
    "MrouteConfig",
    "MulticastConfig",
    "NeighborConfig",
    "NetnsConfig",
    "NextHopConfig",
    "PeerConfig",
    "PortConfig",
    "ProxyConfig",
    "ResolverConfig",
    "RouteConfig",
    "RouterConfig",
    "RuleConfig",
    "default_ifname",
    "device_from_dict",
    "from_dict",
    "load",
    "loads",
    "resolver_from_dict",
]
