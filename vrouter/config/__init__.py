"""The configuration: one TOML file in, validated records or every mistake at once out.

`load`, `loads` and `from_dict` give a `Config` or raise `ConfigError`, whose problems carry line and column: at the key
when it is unknown, at the value otherwise, at the table's header when something is missing. A `Config` may have
warnings: what is allowed, but hardly meant. Nothing here touches the system: whether a name is free in the kernel is
found out later.

    reader      TOML, order of the checks, assembly
    sections    one function per table: keys, types, ranges, what a namespace can be judged by alone
    references  parents, peers, crossings, kernel names: what needs the whole file
    values      texts and what they mean          nexthop   is a next hop reachable
    findings    what was found                    positions where it stands
    records     the result
"""

from vrouter.config.reader import device_from_dict, from_dict, load, loads
from vrouter.config.records import (
    Config,
    DeviceConfig,
    HostConfig,
    HostRoute,
    LogConfig,
    NetnsConfig,
    PeerConfig,
    RouteConfig,
    RouterConfig,
)
from vrouter.config.values import default_ifname

__all__ = [
    "Config",
    "DeviceConfig",
    "HostConfig",
    "HostRoute",
    "LogConfig",
    "NetnsConfig",
    "PeerConfig",
    "RouteConfig",
    "RouterConfig",
    "default_ifname",
    "device_from_dict",
    "from_dict",
    "load",
    "loads",
]
