"""Options of neighbour discovery: one value for each kind, and the parsing of the list that ends every message.

Expects: any bytes. An option of length 0, one that runs over the end, a link-layer address that is none of Ethernet's,
and more than ``MAX_OPTIONS`` make the whole list malformed (RFC 4861 section 4.6). Options of an unknown kind, those
that the message has no use for, and those whose own fields cannot be right, are passed over.

Lifetimes are in seconds; ``INFINITE`` is what it says.

Read first: RFC 4861 section 4.6, RFC 3971 section 5.3.2 (nonce), RFC 4191 section 2.3 (routes), RFC 8106 section 5
(name servers), RFC 8781 section 4 (NAT64).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from struct import Struct
from typing import Final

from vrouter.stack.base.addresses import MAX6, mask

SOURCE_LINK_LAYER = 1
TARGET_LINK_LAYER = 2
PREFIX_INFORMATION = 3
REDIRECTED_HEADER = 4
MTU = 5
NONCE = 14
ROUTE_INFORMATION = 24
RDNSS = 25
DNSSL = 31
PREF64 = 38

MAX_OPTIONS = 128
INFINITE = 0xFFFFFFFF

# Preferences of a router or a route (RFC 4191 section 2.1).
LOW = -1
MEDIUM = 0
HIGH = 1

_PREFERENCES: Final = {0b01: HIGH, 0b00: MEDIUM, 0b11: LOW}
_PREFERENCE_BITS: Final = {HIGH: 0b01, MEDIUM: 0b00, LOW: 0b11}
_PREF64_LENGTHS = (96, 64, 56, 48, 40, 32)
_PREF64_MAX_LIFETIME = 65528
_LABEL = frozenset(b"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_")
_MAX_NAME = 253

_PREFIX = Struct("!BBBBII4x16s")
_ROUTE = Struct("!BBBBI")
_DNS = Struct("!BBxxI")
_PREF64 = Struct("!BBH12s")


def preference_of(bits: int) -> int | None:
    """The preference of two bits; None for the reserved value."""
    return _PREFERENCES.get(bits)


def preference_bits(preference: int) -> int:
    """The two bits of a preference."""
    return _PREFERENCE_BITS[preference]


@dataclass(slots=True)
class Prefix:
    """A prefix of the link (RFC 4861 section 4.6.2).

    With ``router_address`` it is a whole address, the router's own (RFC 6275 section 7.2).
    """

    prefix: int
    length: int
    valid: int = INFINITE
    preferred: int = INFINITE
    on_link: bool = True
    autonomous: bool = True
    router_address: bool = False

    @property
    def network(self) -> int:
        """The prefix alone, also of a whole address: what lies behind the length means nothing to it."""
        return self.prefix & mask(self.length, 128)

    def encode(self) -> bytes:
        """The option's 32 bytes."""
        flags = self.on_link << 7 | self.autonomous << 6 | self.router_address << 5
        prefix = self.prefix.to_bytes(16, "big")
        return _PREFIX.pack(PREFIX_INFORMATION, 4, self.length, flags, self.valid, self.preferred, prefix)


@dataclass(slots=True)
class RoutePrefix:
    """A prefix that the router leads to (RFC 4191 section 2.3)."""

    prefix: int
    length: int
    lifetime: int
    preference: int = MEDIUM

    def encode(self) -> bytes:
        """The option, with as much of the prefix as its length asks for."""
        words = 0 if self.length == 0 else 1 if self.length <= 64 else 2
        flags = _PREFERENCE_BITS[self.preference] << 3
        head = _ROUTE.pack(ROUTE_INFORMATION, 1 + words, self.length, flags, self.lifetime)
        return head + self.prefix.to_bytes(16, "big")[: 8 * words]


@dataclass(slots=True)
class NameServers:
    """Recursive DNS servers (RFC 8106 section 5.1), at most 127."""

    lifetime: int
    servers: list[int]

    def encode(self) -> bytes:
        """The option."""
        head = _DNS.pack(RDNSS, 1 + 2 * len(self.servers), self.lifetime)
        return head + b"".join([(server & MAX6).to_bytes(16, "big") for server in self.servers])


@dataclass(slots=True)
class SearchList:
    """Domain names to be searched (RFC 8106 section 5.2), in text without a last dot; at most 2032 bytes of them."""

    lifetime: int
    domains: list[str]

    def encode(self) -> bytes:
        """The option; ValueError when a name cannot be written, or when there are too many."""
        names = b"".join([_encode_name(name) for name in self.domains])
        names += bytes(-len(names) % 8)
        if len(names) > 254 * 8:
            raise ValueError("the names of a DNS search list are longer than 2032 bytes")
        return _DNS.pack(DNSSL, 1 + len(names) // 8, self.lifetime) + names


@dataclass(slots=True)
class Nat64Prefix:
    """The prefix of a NAT64 (RFC 8781); lengths are 32, 40, 48, 56, 64 and 96, lifetimes up to 65528 in steps of 8."""

    prefix: int
    length: int
    lifetime: int

    def encode(self) -> bytes:
        """The option's 16 bytes; ValueError for another length."""
        scaled = min(self.lifetime, _PREF64_MAX_LIFETIME) + 7 >> 3
        bits = scaled << 3 | _PREF64_LENGTHS.index(self.length)
        return _PREF64.pack(PREF64, 2, bits, self.prefix.to_bytes(16, "big")[:12])


@dataclass(slots=True)
class Options:
    """All options of a message that are known: the first of those that stand alone, all of the others, in order."""

    source_mac: bytes | None = None
    target_mac: bytes | None = None
    mtu: int = 0
    nonce: bytes = b""
    redirected: bytes = b""
    prefixes: list[Prefix] = field(default_factory=list)
    routes: list[RoutePrefix] = field(default_factory=list)
    name_servers: list[NameServers] = field(default_factory=list)
    search_lists: list[SearchList] = field(default_factory=list)
    nat64: list[Nat64Prefix] = field(default_factory=list)

    def encode(self) -> bytes:
        """The options in the order of their numbers."""
        out = b""
        if self.source_mac is not None:
            out += bytes((SOURCE_LINK_LAYER, 1)) + self.source_mac
        if self.target_mac is not None:
            out += bytes((TARGET_LINK_LAYER, 1)) + self.target_mac
        out += b"".join([prefix.encode() for prefix in self.prefixes])
        if self.redirected:
            whole = self.redirected[: len(self.redirected) & ~7]  # an option is made of whole words of 8 bytes
            out += bytes((REDIRECTED_HEADER, 1 + len(whole) // 8, 0, 0, 0, 0, 0, 0)) + whole
        if self.mtu:
            out += bytes((MTU, 1, 0, 0)) + self.mtu.to_bytes(4, "big")
        if self.nonce:
            size = 2 + len(self.nonce)
            out += bytes((NONCE, (size + 7) // 8)) + self.nonce + bytes(-size % 8)
        for some in (self.routes, self.name_servers, self.search_lists, self.nat64):
            out += b"".join([option.encode() for option in some])
        return out


def parse_options(data: bytes, used: int = 0) -> Options | None:
    """The options that are all of ``data``, or None when the list is malformed. `used` is the link-layer address option
    that the message has a use for: one of another length spoils it, the other kind is only passed over (RFC 4861 6.1.1
    and its like)."""
    options, at, count = Options(), 0, 0
    while at < len(data):
        end = at + data[at + 1] * 8 if len(data) - at >= 8 else at
        count += 1
        if end == at or end > len(data) or count > MAX_OPTIONS or not _note(options, data[at:end], used):
            return None
        at = end
    return options


def _note(options: Options, raw: bytes, used: int) -> bool:
    """Keeps one option if it is known and right; False when it spoils the message."""
    kind = raw[0]
    if kind == SOURCE_LINK_LAYER or kind == TARGET_LINK_LAYER:
        if len(raw) != 8:
            return kind != used
        if kind == SOURCE_LINK_LAYER:
            options.source_mac = options.source_mac or raw[2:]
        else:
            options.target_mac = options.target_mac or raw[2:]
    elif kind == MTU:
        if len(raw) == 8:
            options.mtu = options.mtu or int.from_bytes(raw[4:], "big")
    elif kind == NONCE:
        options.nonce = options.nonce or raw[2:]
    elif kind == REDIRECTED_HEADER:
        options.redirected = options.redirected or raw[8:]
    elif kind == PREFIX_INFORMATION:
        _note_prefix(options, raw)
    elif kind == ROUTE_INFORMATION:
        _note_route(options, raw)
    elif kind == RDNSS:
        _note_name_servers(options, raw)
    elif kind == DNSSL:
        _note_search_list(options, raw)
    elif kind == PREF64:
        _note_nat64(options, raw)
    return True


def _note_prefix(options: Options, raw: bytes) -> None:
    if len(raw) != 32:
        return
    _, _, length, flags, valid, preferred, address = _PREFIX.unpack(raw)
    if length > 128:
        return
    prefix = int.from_bytes(address, "big")
    router_address = flags & 0x20 != 0
    if not router_address:  # the bits behind the length mean nothing
        prefix &= mask(length, 128)
    options.prefixes.append(
        Prefix(prefix, length, valid, preferred, flags & 0x80 != 0, flags & 0x40 != 0, router_address)
    )


def _note_route(options: Options, raw: bytes) -> None:
    _, _, length, flags, lifetime = _ROUTE.unpack_from(raw)
    preference = _PREFERENCES.get(flags >> 3 & 3)
    there = (len(raw) - 8) * 8
    if preference is None or length > 128 or length > there or there > 128:
        return
    prefix = int.from_bytes(raw[8:].ljust(16, b"\0"), "big") & mask(length, 128)
    options.routes.append(RoutePrefix(prefix, length, lifetime, preference))


def _note_name_servers(options: Options, raw: bytes) -> None:
    if len(raw) % 16 != 8 or len(raw) < 24:
        return
    servers = [int.from_bytes(raw[at : at + 16], "big") for at in range(8, len(raw), 16)]
    options.name_servers.append(NameServers(int.from_bytes(raw[4:8], "big"), servers))


def _note_search_list(options: Options, raw: bytes) -> None:
    domains = _decode_names(raw[8:])
    if domains:
        options.search_lists.append(SearchList(int.from_bytes(raw[4:8], "big"), domains))


def _note_nat64(options: Options, raw: bytes) -> None:
    if len(raw) != 16:
        return
    _, _, bits, address = _PREF64.unpack(raw)
    if bits & 7 >= len(_PREF64_LENGTHS):
        return
    length = _PREF64_LENGTHS[bits & 7]
    prefix = int.from_bytes(address, "big") << 32 & mask(length, 128) & MAX6
    options.nat64.append(Nat64Prefix(prefix, length, bits & ~7))


def _encode_name(name: str) -> bytes:
    labels = [label.encode("ascii") for label in name.removesuffix(".").split(".")]
    if len(name) > _MAX_NAME or not all(1 <= len(label) <= 63 and _LABEL.issuperset(label) for label in labels):
        raise ValueError(f"{name[:80]!r} is not a domain name")
    return b"".join([bytes((len(label),)) + label for label in labels]) + b"\0"


def _decode_names(data: bytes) -> list[str] | None:
    """Names in the form of RFC 1035 section 3.1, without compression, with zeros behind the last."""
    names, at = [], 0
    while at < len(data) and data[at]:
        labels = []
        while size := data[at] if at < len(data) else 64:
            label = data[at + 1 : at + 1 + size]
            if size > 63 or len(label) < size or not _LABEL.issuperset(label):
                return None
            labels.append(label.decode("ascii"))
            at += 1 + size
        name = ".".join(labels)
        if len(name) > _MAX_NAME:
            return None
        names.append(name)
        at += 1
    return names
