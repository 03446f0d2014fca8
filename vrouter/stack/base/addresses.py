"""Addresses as integers, and their text.

In shared code an IP address is an ``int`` together with its family's width in bits (32 or 128); a MAC is 6 ``bytes``.
Text is for people: configuration, command line, JSON.

A link-local IPv6 unicast address means something on its link alone (RFC 4007), so in the stack its int carries its
zone above the 128 bits of the wire: ``address | ifindex << 128``. Equal addresses of two links are then two keys in
every table. All other addresses, groups too, carry no zone. ``scoped`` and ``unscoped`` go from one form to the other;
``mask`` keeps the zone; text never has it but as ``fe80::1%NAME``, whose name only ``parse_address_zone`` reads.

Read first: RFC 4291 section 2, RFC 4007 sections 6 and 11, RFC 5952 section 4.
"""

from __future__ import annotations

from struct import Struct
from typing import Final

V4: Final = 4
V6: Final = 6
BITS: Final = {V4: 32, V6: 128}
BROADCAST4: Final = 0xFFFFFFFF  # the limited broadcast
ALL_HOSTS4: Final = 0xE0000001  # the group of which every host is always a member (RFC 1112 4)
NULL_MAC: Final = bytes(6)
MAX6: Final = (1 << 128) - 1
LOOPBACK6: Final = 1
ALL_NODES_OF_HOST6: Final = 0xFF01 << 112 | 1
ALL_NODES6: Final = 0xFF02 << 112 | 1
ALL_ROUTERS6: Final = 0xFF02 << 112 | 2
ALL_ROUTERS_OF_SITE6: Final = 0xFF05 << 112 | 2
ALL_MLDV2_ROUTERS: Final = 0xFF02 << 112 | 0x16  # RFC 3810 5.2.14
LINK_LOCAL6: Final = 0xFE80 << 112  # the network of the addresses that every device has

# Scopes of RFC 4291 2.7; unicast addresses have those that RFC 6724 3.1 gives them.
SCOPE_INTERFACE: Final = 1
SCOPE_LINK: Final = 2
SCOPE_REALM: Final = 3
SCOPE_ADMIN: Final = 4
SCOPE_SITE: Final = 5
SCOPE_ORGANISATION: Final = 8
SCOPE_GLOBAL: Final = 14

_SOLICITED_NODE: Final = 0xFF02 << 112 | 0x1FF000000
_MAPPED: Final = 0xFFFF
_WIDEST: Final = {32: 32, 128: 160}  # an IPv6 mask covers the zone too
_MASKS: Final[dict[int, tuple[int, ...]]] = {
    bits: tuple((1 << wide) - (1 << bits - length) for length in range(bits + 1)) for bits, wide in _WIDEST.items()
}
_LENGTHS: Final[dict[int, dict[str, int]]] = {
    family: {str(length): length for length in range(bits + 1)} for family, bits in BITS.items()
}
_OCTETS: Final[dict[str, int]] = {str(octet): octet for octet in range(256)}
_HEX_DIGITS: Final = "0123456789abcdefABCDEF"
_HEX: Final = frozenset(_HEX_DIGITS)
_HEX_AND_COLON: Final = _HEX_DIGITS + ":"
_LONGEST_TEXT6: Final = len("ffff:ffff:ffff:ffff:ffff:ffff:255.255.255.255")
_LONGEST_ZONE: Final = 15  # bytes of a device's name
_SHOWN: Final = 80  # characters of a refused text that its error repeats
_unpack_groups: Final = Struct("!8H").unpack
_format_groups: Final = (":" + "{:x}:" * 8).format
_ZERO_RUNS: Final = tuple(":" + "0:" * groups for groups in range(8, 1, -1))


def mask(length: int, bits: int = 32) -> int:
    """The network mask of a prefix length; that of an IPv6 prefix keeps the zone, so it is an int of 160 bits."""
    return _MASKS[bits][length]


def is_multicast4(address: int) -> bool:
    """224.0.0.0/4 (RFC 1112 4)."""
    return address >> 28 == 0xE


def is_host4(address: int) -> bool:
    """Whether a single interface can have it: neither 0.0.0.0/8 nor a group nor 240.0.0.0/4 (RFC 1122 3.2.1.3)."""
    return 0 < address >> 24 < 0xE0


def is_link_local4(address: int) -> bool:
    """169.254.0.0/16 (RFC 3927)."""
    return address >> 16 == 0xA9FE


def parse_ipv4(text: str) -> int:
    """An IPv4 address in dotted decimal, strictly four parts without leading zeros; ValueError otherwise."""
    parts = text.split(".")
    if len(parts) == 4:
        one, two, three, four = map(_OCTETS.get, parts)
        if one is not None and two is not None and three is not None and four is not None:
            return one << 24 | two << 16 | three << 8 | four
    raise ValueError(f"{text[:_SHOWN]!r} is not an IPv4 address")


def format_ipv4(address: int) -> str:
    """Dotted decimal."""
    return f"{address >> 24 & 255}.{address >> 16 & 255}.{address >> 8 & 255}.{address & 255}"


def is_multicast6(address: int) -> bool:
    """ff00::/8 (RFC 4291 2.7)."""
    return address >> 120 == 0xFF


def is_link_local6(address: int) -> bool:
    """fe80::/10 (RFC 4291 2.5.6), with a zone or without."""
    return address >> 118 & 0x3FF == 0x3FA


def is_host6(address: int) -> bool:
    """Whether a single interface can have it: neither ``::`` nor a group nor IPv4-mapped (RFC 4291 2.5.2, 2.5.5.2)."""
    return address != 0 and address >> 120 != 0xFF and address >> 32 != _MAPPED


def scoped(address: int, ifindex: int) -> int:
    """The stack's form of an address from the wire: a link-local one gets the zone of its device (RFC 4007 6)."""
    return address | ifindex << 128 if address >> 118 == 0x3FA else address


def unscoped(address: int) -> int:
    """The address as the wire has it, without a zone."""
    return address & MAX6


def zone_of(address: int) -> int:
    """The ifindex that a link-local address carries; 0 in every other."""
    return address >> 128


def multicast_scope6(group: int) -> int:
    """The scope field of a group, 0 to 15 (RFC 4291 2.7)."""
    return group >> 112 & 15


def scope6(address: int) -> int:
    """The scope of any address as RFC 6724 3.1 compares them: unicast ones have link, site or global scope."""
    if address >> 120 == 0xFF:
        return address >> 112 & 15
    if address >> 118 & 0x3FF == 0x3FA or address == LOOPBACK6:
        return SCOPE_LINK
    return SCOPE_SITE if address >> 118 == 0x3FB else SCOPE_GLOBAL


def solicited_node(address: int) -> int:
    """The group that asks for an address: ff02::1:ff00:0 with the address's last 24 bits (RFC 4291 2.7.1)."""
    return _SOLICITED_NODE | address & 0xFFFFFF


def ipv4_mapped(address: int) -> int:
    """``::ffff:A.B.C.D`` of an IPv4 address, by which IPv6 sockets name it (RFC 4291 2.5.5.2)."""
    return _MAPPED << 32 | address


def mapped_ipv4(address: int) -> int | None:
    """The IPv4 address in an IPv4-mapped one, or None when it is none."""
    return address & 0xFFFFFFFF if address >> 32 == _MAPPED else None


def eui64(mac: bytes) -> int:
    """The modified EUI-64 interface identifier of a MAC address, 64 bits (RFC 4291 appendix A)."""
    return int.from_bytes(mac[:3] + b"\xff\xfe" + mac[3:], "big") ^ 1 << 57


def link_local_of(mac: bytes) -> int:
    """The link-local address by EUI-64 of a MAC address, without a zone (RFC 4862 5.3, RFC 2464 5)."""
    return LINK_LOCAL6 | eui64(mac)


def parse_ipv6(text: str) -> int:
    """An IPv6 address in one of the forms of RFC 4291 2.2, without a zone; ValueError otherwise.

    Groups have one to four digits; ``::`` stands at most once, for one group or more; the last 32 bits may be in
    dotted decimal.
    """
    groups = text
    if "." in text and len(text) <= _LONGEST_TEXT6:
        head, _, tail = text.rpartition(":")
        try:
            low = parse_ipv4(tail)
        except ValueError:
            raise ValueError(f"{text[:_SHOWN]!r} is not an IPv6 address") from None
        groups = f"{head}:{low >> 16:x}:{low & 0xFFFF:x}"
    # Stripping a text that has other characters too leaves those; a text of 32 digits in groups of at least four has
    # none of more. Nothing else is needed to be sure that int() reads eight groups of hexadecimal digits.
    if len(text) <= _LONGEST_TEXT6 and not groups.strip(_HEX_AND_COLON):
        first, gap, last = groups.partition("::")
        parts = first.split(":") if first else []
        if gap:
            behind = last.split(":") if last else []
            missing = 8 - len(parts) - len(behind)
            if missing > 0 and "" not in parts and "" not in behind:
                digits = "".join(
                    [*[p.rjust(4, "0") for p in parts], "0000" * missing, *[p.rjust(4, "0") for p in behind]]
                )
                if len(digits) == 32:
                    return int(digits, 16)
        elif len(parts) == 8 and "" not in parts:
            digits = "".join([p.rjust(4, "0") for p in parts])
            if len(digits) == 32:
                return int(digits, 16)
    raise ValueError(f"{text[:_SHOWN]!r} is not an IPv6 address")


def format_ipv6(address: int) -> str:
    """The canonical text of RFC 5952: lower case, the first longest run of zero groups as ``::``, and an IPv4-mapped
    address in dotted decimal (section 5). A zone is left out: the device stands beside it."""
    address &= MAX6
    if address >> 32 == _MAPPED:
        return "::ffff:" + format_ipv4(address & 0xFFFFFFFF)
    text = _format_groups(*_unpack_groups(address.to_bytes(16, "big")))
    for run in _ZERO_RUNS:
        if run in text:
            head, _, tail = text.partition(run)
            return f"{head[1:]}::{tail[:-1]}"
    return text[1:-1]


def parse_address(text: str) -> tuple[int, int]:
    """(family, address) of an address's text without a zone; ValueError when it is none."""
    if ":" not in text:
        return V4, parse_ipv4(text)
    if "%" in text:
        raise ValueError(f"{text[:_SHOWN]!r} has a zone, which stands for a device that is named already")
    return V6, parse_ipv6(text)


def parse_address_zone(text: str) -> tuple[int, int, str]:
    """(family, address, zone) of an address's text, ``fe80::1%lan`` (RFC 4007 11.2); the zone is "" when none is told.

    The address is the wire's: who knows the devices makes it `scoped`. ValueError for a zone of nothing, of more than
    a device's name has, or of an address that is the same on every link.
    """
    head, mark, zone = text.partition("%")
    family, address = parse_address(head)
    if mark:
        if not zone or len(zone.encode()) > _LONGEST_ZONE or "%" in zone or "/" in zone or " " in zone:
            raise ValueError(f"{text[:_SHOWN]!r} has no device's name behind the %")
        if family == V4 or scope6(address) > SCOPE_LINK or address == LOOPBACK6:
            raise ValueError(f"{text[:_SHOWN]!r} has a zone, but is no link-local address")
    return family, address, zone


def format_address(address: int, family: int = V4) -> str:
    """The canonical text of an address of `family`, without a zone."""
    return format_ipv4(address) if family == V4 else format_ipv6(address)


def parse_interface(text: str) -> tuple[int, int, int]:
    """(family, address, prefix length) of ``ADDRESS/LENGTH``; without a length it is the family's full width."""
    head, slash, tail = text.partition("/")
    family, address = parse_address(head)
    if not slash:
        return family, address, BITS[family]
    length = _LENGTHS[family].get(tail)
    if length is None:
        raise ValueError(f"{text[:_SHOWN]!r} has no prefix length of 0 to {BITS[family]}")
    return family, address, length


def parse_prefix(text: str) -> tuple[int, int, int]:
    """(family, network, prefix length) of ``NETWORK/LENGTH`` or ``default``, which is IPv4's; ValueError when host bits
    are set."""
    if text == "default":
        return V4, 0, 0
    family, address, length = parse_interface(text)
    network = address & _MASKS[BITS[family]][length]
    if network != address:
        good = format_address(network, family)
        raise ValueError(f"{text!r} has host bits set; the network is {good}/{length}")
    return family, address, length


def format_prefix(network: int, length: int, family: int = V4) -> str:
    """``NETWORK/LENGTH``, ``default`` for length 0, the bare address for a full-width prefix (ip(8)'s habit)."""
    if length == 0:
        return "default"
    if length == BITS[family]:
        return format_address(network, family)
    return f"{format_address(network, family)}/{length}"


def parse_mac(text: str) -> bytes:
    """Six colon- or dash-separated hexadecimal bytes; ValueError otherwise."""
    parts = text.replace("-", ":").split(":")
    if len(parts) == 6 and all(1 <= len(part) <= 2 and _HEX.issuperset(part) for part in parts):
        return bytes(int(part, 16) for part in parts)
    raise ValueError(f"{text[:_SHOWN]!r} is not a MAC address")


def format_mac(mac: bytes) -> str:
    """Lower-case, colon-separated."""
    return mac.hex(":")
