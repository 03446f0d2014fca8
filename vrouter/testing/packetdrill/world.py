"""The namespace that a script is about, its one wire, and a clock that goes where the script wants.

::

    script's peer  REMOTE ~~~ gateway ═══ tun0  LOCAL   namespace "script" of a stack of its own

The wire carries superframes (unless the script switches them off), so that what a program wrote leaves as it left.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from vrouter.stack.base.addresses import MAX6, V4, V6, ipv4_mapped, parse_address
from vrouter.stack.base.siphash import siphash
from vrouter.stack.stack import Stack
from vrouter.stack.wire.vnet import LEN as VNET_LEN
from vrouter.stack.wire.vnet import ZERO
from vrouter.testing.packetdrill import segments

if TYPE_CHECKING:
    from vrouter.stack.netns import Netns

BEGIN: Final = 10_000_000_000  # ns: the stack's time when a script begins
PORT: Final = 8080
FIRST_REMOTE_PORT: Final = 40_000
VERSIONS: Final = ("ipv4", "ipv6", "ipv4-mapped-ipv6")
_MAC: Final = bytes.fromhex("020000000001")
_PEER: Final = bytes.fromhex("020000000002")
_DEFAULTS: Final = {
    "ipv4": {"local_ip": "192.168.0.1", "remote_ip": "192.0.2.1", "gateway_ip": "192.168.0.2", "length": "16"},
    "ipv6": {
        "local_ip": "fd3d:a0b:17d6::1",
        "remote_ip": "fd3d:fa7b:d17d::1",
        "gateway_ip": "fd3d:a0b:17d6:8888::1",
        "length": "48",
    },
}


@dataclass(slots=True)
class Settings:
    """What a script is run with; times are ns."""

    version: str = "ipv4"  # one of VERSIONS
    local_ip: str = ""
    remote_ip: str = ""
    gateway_ip: str = ""
    mtu: int = 0
    tolerance: int = 4_000_000
    tolerance_percent: float = 12.5
    tick: int = 0  # of the namespace's timestamps; 0: they are not checked
    strict_segments: bool = False
    cookie: bytes = b""  # what TFO_COOKIE is; b"": that of the namespace's key
    sysctls: dict[str, int | str] = field(default_factory=dict)
    defines: dict[str, str] = field(default_factory=dict)  # names of a script, and what stands in their place

    @property
    def family(self) -> int:
        """What is on the wire."""
        return V6 if self.version == "ipv6" else V4


class World:
    """Stack, namespace and wire of one run."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.stack = Stack(seed=1)
        self.now = BEGIN
        self.packets: list[segments.Live] = []  # sent and not yet expected, oldest first
        self.others = 0  # packets that were no segments
        self.paced = False  # whether every connection is
        self.ready: dict[Any, int] = {}
        family = settings.family
        defaults = _DEFAULTS["ipv6" if family == V6 else "ipv4"]
        self.local = parse_address(settings.local_ip or defaults["local_ip"])[1]
        self.remote = parse_address(settings.remote_ip or defaults["remote_ip"])[1]
        gateway = parse_address(settings.gateway_ip or defaults["gateway_ip"])[1]
        if gateway == self.local:  # a tun device needs none; a wire does
            gateway += 1
        self.local_text = settings.local_ip or defaults["local_ip"]
        self.remote_text = settings.remote_ip or defaults["remote_ip"]
        ns = self.ns = self.stack.add_netns("script", now=BEGIN)
        mtu = settings.mtu or (1520 if family == V6 else 1500)
        self.device = ns.add_device("tun0", mac=_MAC, mtu=mtu, vnet_hdr=True, now=BEGIN)
        self.device.offload = True
        self.device.max_frame = 1 << 17  # a script's segments are as long as it says
        self._configure(ns, f"{self.local_text}/{defaults['length']}", gateway)
        self._collect()
        self.packets.clear()

    def _configure(self, ns: Netns, address: str, gateway: int) -> None:
        family = self.settings.family
        for name, value in self.settings.sysctls.items():
            ns.sysctl[name] = value
        ns.sysctl["net.ipv6.conf.tun0.accept_dad"] = 0
        ns.sysctl["net.ipv6.conf.tun0.dad_transmits"] = 0
        ns.sysctl["net.ipv6.conf.tun0.router_solicitations"] = 0
        ns.add_address("tun0", address, now=BEGIN)
        table = ns.neigh6 if family == V6 else ns.neigh4
        table.add_static(self.device, gateway, _PEER, BEGIN)
        via = segments.address_text(gateway, family)
        ns.add_route("::/0" if family == V6 else "0.0.0.0/0", via=via, dev="tun0", now=BEGIN)

    # -- time -------------------------------------------------------------------------------------------------------

    def advance(self, until: int, step: Callable[[], bool]) -> bool:
        """Let time pass until `until` (ns), or until `step`, which is asked after each thing that happens, is true."""
        while not step():
            due = self.stack.poll_at()
            if due is None or due > until:
                self.now = max(self.now, until)
                self.stack.advance(self.now)
                return False
            self.now = max(self.now, due)
            self.stack.poll(self.now)
            self.settle()
        return True

    def settle(self) -> None:
        """Take what the stack wants sent and told."""
        self._collect()
        for sock, mask in self.stack.take_ready():
            self.ready[sock] = self.ready.get(sock, 0) | mask

    def _collect(self) -> None:
        for device, frame in self.stack.take_egress():
            if device is not self.device:
                continue
            live = segments.read(bytes(frame[VNET_LEN + 14 :]), self.now)
            if live is None:
                self.others += 1
            else:
                self.packets.append(live)

    # -- the wire ---------------------------------------------------------------------------------------------------

    def inject(self, packet: bytes) -> None:
        """An IP packet from the peer."""
        kind = b"\x08\x00" if packet[0] >> 4 == V4 else b"\x86\xdd"
        self.stack.receive(self.device, ZERO + _MAC + _PEER + kind + packet, self.now)
        self.settle()

    def cookies(self) -> segments.Cookies:
        """What the cookies that a script names are."""
        size = 4 if self.settings.family == V4 else 16
        ends = (self.remote & MAX6).to_bytes(size, "big") + (self.local & MAX6).to_bytes(size, "big")
        keys = {"TFO_COOKIE": (*self.ns.conf.tcp.fastopen_key, bytes(16))[0], "TFO_COOKIE_ZERO": bytes(16)}
        made = {name.encode(): siphash(key, ends).to_bytes(8, "little") for name, key in keys.items()}
        if self.settings.cookie:
            made[b"TFO_COOKIE"] = self.settings.cookie
        return made

    def flow(self, number: int) -> segments.Flow:
        """A connection of the script's peer from a port of its own."""
        return segments.Flow(self.settings.family, self.local & MAX6, PORT, self.remote, FIRST_REMOTE_PORT + number)

    def name(self, text: str, port: int) -> tuple[Any, ...]:
        """An address as the script's sockets take it."""
        if self.settings.version == "ipv4":
            return text, port
        if self.settings.version == "ipv6":
            return text, port, 0, 0
        return segments.address_text(ipv4_mapped(parse_address(text)[1]), V6), port, 0, 0
