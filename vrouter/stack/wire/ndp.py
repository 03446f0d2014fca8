"""Neighbour discovery: one value for each of its five messages, with ``parse`` and ``emit``.

``parse(buf, off, end)`` takes any bytes whose ICMPv6 header is at ``off`` and returns None for a message that its own
bytes make invalid: too short, a code other than 0, malformed options, a target that is a group, a redirect to what is
neither on the link nor the destination. What depends on the IPv6 header is the caller's: the checksum, the hop limit of
255, fragments (RFC 6980), an unspecified source, a solicited advertisement to a group.

``emit(src, dst)`` returns the whole ICMPv6 message, with its checksum between these addresses.

Addresses in messages have no zone; what is emitted may have one, which stays behind.

Read first: RFC 4861 sections 4, 6.1, 7.1 and 8.1, RFC 4191 section 2.2, RFC 7527.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from struct import Struct

from vrouter.stack.base.addresses import MAX6, is_link_local6, is_multicast6
from vrouter.stack.wire import icmpv6
from vrouter.stack.wire.buffer import Buffer
from vrouter.stack.wire.ndp_options import (
    MEDIUM,
    SOURCE_LINK_LAYER,
    TARGET_LINK_LAYER,
    NameServers,
    Nat64Prefix,
    Options,
    Prefix,
    RoutePrefix,
    SearchList,
    parse_options,
    preference_bits,
    preference_of,
)

HOP_LIMIT = 255  # of every message, so that none comes from beyond the link

_ROUTER = Struct("!BBHII")


def _read(buf: Buffer, off: int, end: int, fixed: int, used: int = SOURCE_LINK_LAYER) -> tuple[bytes, Options] | None:
    """The ``fixed`` bytes behind the checksum and the options behind those, of which `used` tells a link-layer address
    in this message; None when the message is invalid."""
    if off < 0 or end > len(buf) or end - off < 4 + fixed or buf[off + 1]:
        return None
    options = parse_options(bytes(buf[off + 4 + fixed : end]), used)
    return None if options is None else (bytes(buf[off + 4 : off + 4 + fixed]), options)


def _write(kind: int, fixed: bytes, options: Options, src: int, dst: int) -> bytearray:
    message = bytearray((kind, 0, 0, 0)) + fixed + options.encode()
    icmpv6.set_checksum(message, 0, len(message), src, dst)
    return message


def _address(value: int) -> bytes:
    return (value & MAX6).to_bytes(16, "big")


@dataclass(slots=True)
class RouterSolicitation:
    """Who is a router here? (RFC 4861 section 4.1)"""

    source_mac: bytes | None = None

    @staticmethod
    def parse(buf: Buffer, off: int, end: int) -> RouterSolicitation | None:
        """The message in ``buf[off:end]``, or None."""
        read = _read(buf, off, end, 4)
        return None if read is None else RouterSolicitation(read[1].source_mac)

    def emit(self, src: int, dst: int) -> bytearray:
        """The whole message."""
        return _write(icmpv6.ROUTER_SOLICITATION, bytes(4), Options(source_mac=self.source_mac), src, dst)


@dataclass(slots=True)
class RouterAdvertisement:
    """What a router says of itself and of its link (RFC 4861 section 4.2).

    ``hop_limit``, ``reachable`` (ms), ``retrans`` (ms) and ``mtu`` are 0 when it does not say. ``lifetime`` (s) is that
    of the router as a default router, ``preference`` one of LOW, MEDIUM, HIGH: the reserved value is read as MEDIUM
    (RFC 4191 section 2.2).
    """

    hop_limit: int = 0
    managed: bool = False
    other: bool = False
    preference: int = MEDIUM
    lifetime: int = 0
    reachable: int = 0
    retrans: int = 0
    source_mac: bytes | None = None
    mtu: int = 0
    prefixes: list[Prefix] = field(default_factory=list)
    routes: list[RoutePrefix] = field(default_factory=list)
    name_servers: list[NameServers] = field(default_factory=list)
    search_lists: list[SearchList] = field(default_factory=list)
    nat64: list[Nat64Prefix] = field(default_factory=list)

    @staticmethod
    def parse(buf: Buffer, off: int, end: int) -> RouterAdvertisement | None:
        """The message in ``buf[off:end]``, or None."""
        read = _read(buf, off, end, _ROUTER.size)
        if read is None:
            return None
        fixed, options = read
        hop_limit, flags, lifetime, reachable, retrans = _ROUTER.unpack(fixed)
        return RouterAdvertisement(
            hop_limit,
            flags & 0x80 != 0,
            flags & 0x40 != 0,
            preference_of(flags >> 3 & 3) or MEDIUM,
            lifetime,
            reachable,
            retrans,
            options.source_mac,
            options.mtu,
            options.prefixes,
            options.routes,
            options.name_servers,
            options.search_lists,
            options.nat64,
        )

    def emit(self, src: int, dst: int) -> bytearray:
        """The whole message; ValueError for a search list or a NAT64 prefix that cannot be written."""
        flags = self.managed << 7 | self.other << 6 | preference_bits(self.preference) << 3
        fixed = _ROUTER.pack(self.hop_limit, flags, self.lifetime, self.reachable, self.retrans)
        options = Options(
            source_mac=self.source_mac,
            mtu=self.mtu,
            prefixes=self.prefixes,
            routes=self.routes,
            name_servers=self.name_servers,
            search_lists=self.search_lists,
            nat64=self.nat64,
        )
        return _write(icmpv6.ROUTER_ADVERTISEMENT, fixed, options, src, dst)


@dataclass(slots=True)
class NeighbourSolicitation:
    """Who has ``target``? (RFC 4861 section 4.3); ``nonce`` is b"" when there is none (RFC 7527 section 4.1)."""

    target: int
    source_mac: bytes | None = None
    nonce: bytes = b""

    @staticmethod
    def parse(buf: Buffer, off: int, end: int) -> NeighbourSolicitation | None:
        """The message in ``buf[off:end]``, or None."""
        read = _read(buf, off, end, 20)
        if read is None:
            return None
        target = int.from_bytes(read[0][4:], "big")
        return None if is_multicast6(target) else NeighbourSolicitation(target, read[1].source_mac, read[1].nonce)

    def emit(self, src: int, dst: int) -> bytearray:
        """The whole message."""
        options = Options(source_mac=self.source_mac, nonce=self.nonce)
        return _write(icmpv6.NEIGHBOUR_SOLICITATION, bytes(4) + _address(self.target), options, src, dst)


@dataclass(slots=True)
class NeighbourAdvertisement:
    """``target`` is at ``target_mac`` (RFC 4861 section 4.4)."""

    target: int
    target_mac: bytes | None = None
    router: bool = False
    solicited: bool = False
    override: bool = False

    @staticmethod
    def parse(buf: Buffer, off: int, end: int) -> NeighbourAdvertisement | None:
        """The message in ``buf[off:end]``, or None."""
        read = _read(buf, off, end, 20, TARGET_LINK_LAYER)
        if read is None:
            return None
        flags, target = read[0][0], int.from_bytes(read[0][4:], "big")
        if is_multicast6(target):
            return None
        return NeighbourAdvertisement(
            target, read[1].target_mac, flags & 0x80 != 0, flags & 0x40 != 0, flags & 0x20 != 0
        )

    def emit(self, src: int, dst: int) -> bytearray:
        """The whole message."""
        flags = self.router << 7 | self.solicited << 6 | self.override << 5
        fixed = bytes((flags, 0, 0, 0)) + _address(self.target)
        return _write(icmpv6.NEIGHBOUR_ADVERTISEMENT, fixed, Options(target_mac=self.target_mac), src, dst)


@dataclass(slots=True)
class Redirect:
    """``target`` is a better first hop to ``destination``, or itself that (RFC 4861 section 4.5).

    ``redirected`` is the start of the packet that was sent the long way. Of what is emitted, bytes beyond the last
    multiple of 8 are cut off.
    """

    target: int
    destination: int
    target_mac: bytes | None = None
    redirected: bytes = b""

    @staticmethod
    def parse(buf: Buffer, off: int, end: int) -> Redirect | None:
        """The message in ``buf[off:end]``, or None."""
        read = _read(buf, off, end, 36, TARGET_LINK_LAYER)
        if read is None:
            return None
        target, destination = int.from_bytes(read[0][4:20], "big"), int.from_bytes(read[0][20:], "big")
        if is_multicast6(destination) or not (target == destination or is_link_local6(target)):
            return None
        return Redirect(target, destination, read[1].target_mac, read[1].redirected)

    def emit(self, src: int, dst: int) -> bytearray:
        """The whole message."""
        fixed = bytes(4) + _address(self.target) + _address(self.destination)
        options = Options(target_mac=self.target_mac, redirected=self.redirected)
        return _write(icmpv6.REDIRECT, fixed, options, src, dst)
