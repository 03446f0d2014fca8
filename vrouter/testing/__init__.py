"""Tools for testing networks, also those of other projects: a pytest plugin and what it is made of.

- ``lab`` (`lab.Lab`): hosts, routers and wires in one process and in virtual time, each node with the whole stack;
- ``tap_lab`` (`tap_lab.TapLab`): a router on real TAPs with kernel namespaces as its hosts;
- `frames`: builders of frames that are right unless told to be wrong;
- `match`: matchers that are equal to every frame that agrees with them, and explain themselves when it does not.

Installing the package is enough: pytest finds the fixtures by itself. They are also plain classes: ``with Lab(seed=7)
as lab:`` works anywhere. Everything is loaded when it is first used, so that a pytest run without them pays nothing.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from vrouter.testing.counters import Counters
    from vrouter.testing.errors import LabError
    from vrouter.testing.lab import Lab
    from vrouter.testing.node import Node
    from vrouter.testing.probe import Hub, Probe
    from vrouter.testing.switch import Switch
    from vrouter.testing.tap_lab import KernelHost, TapLab
    from vrouter.testing.tcp_flow import Pattern, TcpFlow, TcpListener, Transfer, transfer
    from vrouter.testing.udp_port import Datagram, UdpPort
    from vrouter.testing.wire import Wire

__all__ = [
    "Counters",
    "Datagram",
    "Hub",
    "KernelHost",
    "Lab",
    "LabError",
    "Node",
    "Pattern",
    "Probe",
    "Switch",
    "TapLab",
    "TcpFlow",
    "TcpListener",
    "Transfer",
    "UdpPort",
    "Wire",
    "transfer",
]


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    places = {
        "Datagram": "udp_port",
        "Hub": "probe",
        "KernelHost": "tap_lab",
        "LabError": "errors",
        "Pattern": "tcp_flow",
        "TapLab": "tap_lab",
        "TcpFlow": "tcp_flow",
        "TcpListener": "tcp_flow",
        "Transfer": "tcp_flow",
        "transfer": "tcp_flow",
        "UdpPort": "udp_port",
    }
    return getattr(import_module(f"{__name__}.{places.get(name, name.lower())}"), name)
