"""A device: a port of exactly one namespace, and everything that is counted and kept per port.

Plain data and small questions about it; what happens to packets at a device is told in `pipeline`. A device is *ready*
when it is administratively up, has its carrier, and its namespace is not closing: the one flag that the data path asks.
"""

from __future__ import annotations

from array import array
from typing import TYPE_CHECKING, Any, Final

from vrouter.stack.base.counters import new_drops
from vrouter.stack.base.drop import IS_EGRESS, DropReason
from vrouter.stack.sysctl import (
    DEFAULT_DEV4,
    DEFAULT_NEIGH,
    DEFAULT_NEIGH6,
    DevConf4,
    DevConf6,
    NeighConf,
    default_dev6,
)

if TYPE_CHECKING:
    from vrouter.stack.netns import Netns

VLAN_OVERHEAD: Final = 18  # Ethernet header and one 802.1Q tag
DEFAULT_MTU: Final = 1500
LOOPBACK_MTU: Final = 65536
MIN_MTU: Final = 68  # RFC 791 3.2: every module forwards 68 bytes without fragmentation
MAX_MTU: Final = 65521
ALL_HOSTS_MAC: Final = bytes.fromhex("01005e000001")
ALL_NODES_MAC: Final = bytes.fromhex("333300000001")
STACKED_KINDS: Final = ("vlan", "bridge")  # above other devices, whose frames are theirs
VIRTUAL_KINDS: Final = ("lo", *STACKED_KINDS)  # without a wire: their frames leave by another device, or come around
FOREVER: Final = 1 << 62  # ns: later than any clock
TX_QUEUE: Final = 1000  # frames, as Linux's txqueuelen
TX_QUEUE_BYTES: Final = 4 << 20  # and bytes: so many frames of any MTU, but not of superframes


class Address:
    """An address of a device: int `address` of `family`, prefix `length`; ``state``: tentative, preferred, deprecated,
    conflict. ``origin`` says who made it (static, kernel, ra); of an advertised one ``preferred_until`` and
    ``valid_until`` are ns (RFC 4862 5.5.4), of the others `FOREVER`.

    ``scope`` is ip(8)'s word (global, link, host); ``broadcast`` the directed broadcast address, or -1 for none.
    ``active`` and ``order`` are `l3.ip`'s: whether its routes are made, and how many addresses there were before it.
    """

    __slots__ = (
        "active",
        "address",
        "broadcast",
        "dev",
        "family",
        "length",
        "order",
        "origin",
        "preferred_until",
        "probe",
        "scope",
        "state",
        "valid_until",
    )

    def __init__(self, dev: Device, family: int, address: int, length: int, scope: str, broadcast: int) -> None:
        self.dev = dev
        self.family = family
        self.address = address
        self.length = length
        self.scope = scope
        self.broadcast = broadcast
        self.state = "preferred"
        self.active = False
        self.order = 0
        self.origin = "static"
        self.preferred_until = self.valid_until = FOREVER
        self.probe: Any = None  # conflict detection under way (l2.acd), plain data of that layer


class Device:
    """One port. ``kind`` is tap, veth, lo …; ``mac`` 6 bytes; ``mtu`` in bytes of IP packet."""

    __slots__ = (
        "acd",
        "addresses",
        "allmulti",
        "arp_busy_until",
        "bridge",
        "bridge_port",
        "captures",
        "carrier",
        "conf4",
        "conf6",
        "drops",
        "error",
        "groups",
        "ifindex",
        "ifname",
        "ingress",
        "kind",
        "layered",
        "mac",
        "max_frame",
        "mtu",
        "name",
        "neigh4",
        "neigh6",
        "neigh_conf",
        "neigh_conf6",
        "ns",
        "offload",
        "parent",
        "peer",
        "port",
        "ready",
        "removed",
        "rx_bytes",
        "rx_packets",
        "tx_bytes",
        "tx_packets",
        "up",
        "uso",
        "vid",
        "virtual",
        "vlan_protocol",
        "vlans",
        "vnet_hdr",
        "with_arp",
        "with_ipv6",
    )

    def __init__(self, ns: Netns, name: str, kind: str, ifindex: int, mac: bytes, mtu: int) -> None:
        self.ns = ns
        self.name = name
        self.kind = kind
        self.ifindex = ifindex
        self.ifname = ""  # the kernel's name of a TAP
        self.mac = mac
        self.mtu = mtu
        self.max_frame = mtu + VLAN_OVERHEAD
        self.up = self.carrier = self.ready = True
        self.removed = False
        self.error = ""  # why it has no carrier, when there is a reason to tell
        self.vnet_hdr = False
        self.offload = False  # its wire takes half-finished checksums and superframes of TCP, and may hand them over
        self.uso = False  # of UDP too
        self.with_arp = kind != "lo"
        self.with_ipv6 = kind == "lo"  # elsewhere from when its namespace begins it there (netns.addresses)
        self.acd = "announce"
        self.arp_busy_until = 0  # ns: when its allowance of ARP answers will be full again (l2.arp)
        self.peer: Device | None = None
        self.virtual = kind in VIRTUAL_KINDS
        self.layered = False  # what comes in may belong to a device above: it has `vlans`, or is a bridge's port
        self.vlans: dict[tuple[int, int], Device] | None = None  # the vlan devices above, by (TPID, VLAN id)
        self.parent: Device | None = None  # of a vlan device: the one below
        self.vid = self.vlan_protocol = 0  # of a vlan device: its tag
        self.ingress: Any = None  # of a vlan device whose tag is another namespace's: the crossing.IngressTag
        self.bridge_port: Any = None  # what it is to the bridge that it belongs to (l2.bridge.BridgePort)
        self.bridge: Any = None  # of a bridge device: its ports and tables (l2.bridge.Bridge)
        self.allmulti = 0  # how many want every group's frames
        self.captures: tuple[Any, ...] = ()  # who watches its frames (stack.capture)
        self.port: Any = None  # the driver's side of it
        self.addresses: list[Address] = []
        self.neigh4: dict[int, Any] = {}  # next hop -> l2.neighbour.Neigh
        self.neigh6: dict[int, Any] = {}
        # Group MAC -> how many joined it (RFC 1112 7.2).
        self.groups: dict[bytes, int] = {ALL_HOSTS_MAC: 1, ALL_NODES_MAC: 1}
        self.conf4: DevConf4 = DEFAULT_DEV4
        self.conf6: DevConf6 = default_dev6(kind)
        self.neigh_conf: NeighConf = DEFAULT_NEIGH
        self.neigh_conf6: NeighConf = DEFAULT_NEIGH6
        self.rx_packets = self.tx_packets = self.rx_bytes = self.tx_bytes = 0
        self.drops: array[int] | None = None  # made with the first drop

    def __repr__(self) -> str:
        return f"<Device {self.name} of {self.ns.name or '-'}>"

    def set_mtu(self, mtu: int) -> None:
        """Change the MTU, in bytes of IP packet. A smaller one bounds what is sent: the link's other end goes on as it
        was, and what it sends is received (RFC 1812 3.3.4)."""
        self.mtu = mtu
        self.max_frame = max(self.max_frame, mtu + VLAN_OVERHEAD)

    def refresh(self) -> None:
        """Recompute ``ready`` after a change of ``up``, ``carrier`` or the namespace."""
        self.ready = self.up and self.carrier and not self.removed and not self.ns.closing

    @property
    def state(self) -> str:
        """``up``, ``down`` (administratively) or ``no-carrier``."""
        return "down" if not self.up else "up" if self.carrier else "no-carrier"

    def count_drop(self, reason: DropReason | int, count: int = 1) -> None:
        """One more packet died at this device, or `count`."""
        if self.drops is None:
            self.drops = new_drops()
        self.drops[reason] += count

    @property
    def rx_drops(self) -> int:
        """Packets that came in by this device and were dropped anywhere before egress."""
        return 0 if self.drops is None else sum(n for r, n in enumerate(self.drops) if not IS_EGRESS[r])

    @property
    def tx_drops(self) -> int:
        """Packets that were to leave by this device and were not sent."""
        return 0 if self.drops is None else sum(n for r, n in enumerate(self.drops) if IS_EGRESS[r])
