"""What every part of a namespace stands on: its state, the tables that are made on first use, its devices by name."""

from __future__ import annotations

import errno
from array import array
from typing import TYPE_CHECKING, Final, cast

from vrouter.stack.base import addresses as addr
from vrouter.stack.base.counters import new_drops as _new_drops
from vrouter.stack.base.counters import new_stats
from vrouter.stack.l2.acd import Acd
from vrouter.stack.l2.ndp import Ndp
from vrouter.stack.l2.neighbour import NeighTable
from vrouter.stack.l3.codec import IPV4
from vrouter.stack.l3.codec6 import IPV6
from vrouter.stack.l3.ip import IpState
from vrouter.stack.l3.ip6 import Ip6State
from vrouter.stack.l3.nexthop import NextHopTable
from vrouter.stack.l3.reassembly import Reassembler
from vrouter.stack.l4.icmp import PingTable
from vrouter.stack.l4.packet_socket import PacketTable
from vrouter.stack.l4.raw import RawTable
from vrouter.stack.l4.settings import Settings
from vrouter.stack.l4.tcp.state import TcpState
from vrouter.stack.l4.tcp.table import TcpTable
from vrouter.stack.l4.udp import UdpTable
from vrouter.stack.sysctl import DEFAULT_NS, DevConf6, NsConf, SysctlTable

if TYPE_CHECKING:
    from vrouter.stack.crossing import Crossing
    from vrouter.stack.device import Device
    from vrouter.stack.hooks.hooks import Hooks
    from vrouter.stack.l2.bridge import Bridge
    from vrouter.stack.l4.membership import GroupChange, InterfaceState
    from vrouter.stack.l4.socket import Socket
    from vrouter.stack.netns.netns import Netns
    from vrouter.stack.stack import Stack

NOBODY: Final[frozenset[str]] = frozenset()


class Tables:
    """The state of one namespace. Each of the classes that build on it adds what can be asked and told of one thing."""

    __slots__ = (
        "_acd",
        "_drops",
        "_first_settings",
        "_ip6",
        "_ndp",
        "_neigh4",
        "_neigh6",
        "_next_ifindex",
        "_nexthops",
        "_packets",
        "_ping",
        "_ping6",
        "_sysctl",
        "_tcp",
        "_tcp6",
        "_tcp_state",
        "_udp",
        "_udp6",
        "accept_from",
        "bridges",
        "children",
        "closing",
        "conf",
        "crossings",
        "devices",
        "group_changes",
        "hooks",
        "ip4",
        "kind",
        "lo",
        "macs",
        "memberships",
        "multicasters",
        "name",
        "raw_tables",
        "sockets",
        "stack",
        "stats",
    )

    lo: Device

    def __init__(self, stack: Stack, name: str) -> None:
        self.stack = stack
        self.name = name
        self.kind = "l2"
        self.closing = False
        self.accept_from = NOBODY
        self.conf: NsConf = DEFAULT_NS
        self._sysctl: SysctlTable | None = None
        self.children: dict[str, Netns] = {}  # by path, one level down
        self.devices: dict[str, Device] = {}
        self.bridges: dict[Bridge, None] | None = None
        self.macs: dict[bytes, int] = {}  # the devices' own -> how many have it
        self._next_ifindex = 1
        self.stats = new_stats()
        self._drops: array[int] | None = None
        self._first_settings: dict[int, Settings] | None = None
        self.crossings: dict[str, Crossing] = {}
        self.hooks: Hooks | None = None
        self.sockets: dict[Socket, None] = {}
        self.multicasters: dict[Socket, None] = {}  # those of them with multicast settings
        self.memberships: dict[tuple[int, Device], InterfaceState] = {}  # by group and device
        self.group_changes: list[GroupChange] = []  # of them, not yet told to whom it concerns
        self.ip4 = IpState(self.this, IPV4)
        self._ip6: Ip6State | None = None
        self._neigh4: NeighTable | None = None
        self._neigh6: NeighTable | None = None
        self._ndp: Ndp | None = None
        self._acd: Acd | None = None
        self._udp: UdpTable | None = None
        self._nexthops: NextHopTable | None = None
        self._udp6: UdpTable | None = None
        self._tcp: TcpTable | None = None
        self._tcp6: TcpTable | None = None
        self._tcp_state: TcpState | None = None
        self._packets: PacketTable | None = None
        self.raw_tables: dict[tuple[int, int], RawTable] | None = None  # by family and protocol
        self._ping: PingTable | None = None
        self._ping6: PingTable | None = None

    @property
    def this(self) -> Netns:
        """The namespace as a whole, whose parts these classes are."""
        return cast("Netns", self)

    @property
    def sysctl(self) -> SysctlTable:
        """The settings under their Linux names, as a mapping."""
        if self._sysctl is None:
            self._sysctl = SysctlTable(self.this, self._conf6_changed)
        return self._sysctl

    @property
    def drops(self) -> array[int]:
        """Counters of packets that died without a device, indexed by `DropReason`."""
        if self._drops is None:
            self._drops = _new_drops()
        return self._drops

    def first_settings(self, mtu_discover: int) -> Settings:
        """What sockets begin with, all the same object until they write to it; `mtu_discover` is IP_MTU_DISCOVER's."""
        if self._first_settings is None:
            self._first_settings = {}
        found = self._first_settings.get(mtu_discover)
        if found is None:
            found = self._first_settings[mtu_discover] = Settings(mtu_discover)
        return found

    @property
    def neigh4(self) -> NeighTable:
        """The IPv4 neighbours (ARP)."""
        if self._neigh4 is None:
            self._neigh4 = NeighTable(self.this, addr.V4)
        return self._neigh4

    @property
    def ip6(self) -> Ip6State:
        """IPv6: its addresses, routes and paths."""
        if self._ip6 is None:
            self._ip6 = Ip6State(self.this, IPV6)
            self._begin_ipv6()
        return self._ip6

    def _conf6_changed(self, dev: Device, before: DevConf6) -> None:
        """A setting of IPv6 at a device was written (`addresses`)."""
        raise AssertionError("a part of a namespace")

    def _begin_ipv6(self) -> None:
        """IPv6 is used for the first time: what belongs to it from the start (`addresses`)."""
        raise AssertionError("a part of a namespace")

    @property
    def neigh6(self) -> NeighTable:
        """The IPv6 neighbours (NDP)."""
        if self._neigh6 is None:
            self._neigh6 = NeighTable(self.this, addr.V6)
        return self._neigh6

    def neighbours(self, family: int) -> NeighTable | None:
        """The neighbours of one family, None while there have been none."""
        return self._neigh4 if family == addr.V4 else self._neigh6

    @property
    def ndp(self) -> Ndp:
        """Neighbour discovery beyond its neighbours: conflicts, routers, prefixes."""
        if self._ndp is None:
            self._ndp = Ndp(self.this)
        return self._ndp

    @property
    def acd(self) -> Acd:
        """Address conflict detection (RFC 5227)."""
        if self._acd is None:
            self._acd = Acd(self.this)
        return self._acd

    @property
    def udp(self) -> UdpTable:
        """UDP's sockets by port."""
        if self._udp is None:
            self._udp = UdpTable(self.this, addr.V4)
        return self._udp

    @property
    def udp6(self) -> UdpTable:
        """The same for IPv6; a socket of both families stands in both."""
        if self._udp6 is None:
            self._udp6 = UdpTable(self.this, addr.V6)
        return self._udp6

    @property
    def tcp(self) -> TcpTable:
        """TCP's sockets by port, and its connections."""
        if self._tcp is None:
            self._tcp = TcpTable(self.this, addr.V4)
        return self._tcp

    @property
    def tcp6(self) -> TcpTable:
        """The same for IPv6; a listener of both families stands in both."""
        if self._tcp6 is None:
            self._tcp6 = TcpTable(self.this, addr.V6)
        return self._tcp6

    @property
    def tcp_state(self) -> TcpState:
        """What TCP's connections of both families share."""
        if self._tcp_state is None:
            self._tcp_state = TcpState(self.this)
        return self._tcp_state

    @property
    def packets(self) -> PacketTable:
        """Packet sockets, which watch devices."""
        if self._packets is None:
            self._packets = PacketTable(self.this)
        return self._packets

    def raw(self, family: int, proto: int) -> RawTable:
        """The raw sockets of a protocol."""
        if self.raw_tables is None:
            self.raw_tables = {}
        table = self.raw_tables.get((family, proto))
        if table is None:
            table = self.raw_tables[family, proto] = RawTable(self.this, family, proto)
        return table

    @property
    def ping(self) -> PingTable:
        """ICMP datagram sockets by identifier."""
        if self._ping is None:
            self._ping = PingTable(self.this, addr.V4)
        return self._ping

    @property
    def ping6(self) -> PingTable:
        """The same for ICMPv6."""
        if self._ping6 is None:
            self._ping6 = PingTable(self.this, addr.V6)
        return self._ping6

    def ip(self, family: int) -> IpState:
        """The state of one IP family."""
        return self.ip4 if family == addr.V4 else self.ip6

    def families(self) -> tuple[IpState, ...]:
        """The states of the IP families that are in use."""
        return (self.ip4,) if self._ip6 is None else (self.ip4, self._ip6)

    def reassembler(self, ip: IpState) -> Reassembler:
        """The reassembly queues of one family."""
        if ip.reassembler is None:
            ip.reassembler = Reassembler(self.this, ip.codec.reassembly)
        return ip.reassembler

    def own(self, dev: Device | str) -> Device:
        """The device called `dev`, or `dev` itself; OSError ENODEV unless it is one of this namespace."""
        if isinstance(dev, str):
            return self.device(dev)
        if self.devices.get(dev.name) is not dev:
            raise OSError(errno.ENODEV, f"device {dev.name!r} is not in namespace {self.name!r}")
        return dev

    def device(self, name: str) -> Device:
        """The device called `name`; OSError ENODEV when there is none."""
        found = self.devices.get(name)
        if found is None:
            raise OSError(errno.ENODEV, f"no device {name!r} in namespace {self.name!r}")
        return found

    def check_open(self) -> None:
        """OSError ENOENT when the namespace is being removed, or was."""
        if self.closing:
            raise OSError(errno.ENOENT, f"namespace {self.name!r} is being removed")

    def settle_tcp(self, now: int) -> None:
        """The same where nothing but TCP has anything to send: the data path."""
        tcp = self._tcp_state
        pipeline = self.stack.pipeline
        if tcp is not None and tcp.outbox:
            pipeline.send_segments(self.this, tcp, now)
        if pipeline.work:
            pipeline.run(now)

    def settle(self, now: int) -> None:
        """Carry out what a change has caused here, and what comes of it."""
        pipeline = self.stack.pipeline
        pipeline.settle(self.this, now)
        if pipeline.work:
            pipeline.run(now)
