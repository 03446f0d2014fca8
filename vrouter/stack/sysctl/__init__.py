"""Settings of a namespace under their Linux names, and the plain values that the data path reads.

names        check, names                what settings there are, and what is wrong with a value
table        SysctlTable                 the settings of one namespace by name: a mapping
records      NsConf, DevConf6, …         what the data path reads
"""

from vrouter.stack.sysctl.names import check, names
from vrouter.stack.sysctl.records import (
    DEFAULT_DEV4,
    DEFAULT_DEV6,
    DEFAULT_NEIGH,
    DEFAULT_NEIGH6,
    DEFAULT_NS,
    DEFAULT_TCP,
    DevConf4,
    DevConf6,
    FamilyConf,
    NeighConf,
    NsConf,
    TcpConf,
    default_dev6,
)
from vrouter.stack.sysctl.table import SysctlTable

__all__ = [
    "DEFAULT_DEV4",
    "DEFAULT_DEV6",
    "DEFAULT_NEIGH",
    "DEFAULT_NEIGH6",
    "DEFAULT_NS",
    "DEFAULT_TCP",
    "DevConf4",
    "DevConf6",
    "FamilyConf",
    "NeighConf",
    "NsConf",
    "SysctlTable",
    "TcpConf",
    "check",
    "default_dev6",
    "names",
]
