"""Addresses as integers, and their text.

In shared code an IP address is an ``int`` together with its family's width in bits (32 or 128); a MAC is 6 ``bytes``.
Text is for people: configuration, command line, JSON.
"""

from __future__ import annotations

from typing import Final

V4: Final = 4
V6: Final = 6
BITS: Final = {V4: 32, V6: 128}
BROADCAST4: Final = 0xFFFFFFFF  # the limited broadcast
ALL_HOSTS4: Final = 0xE0000001  # the group of which every host is always a member (RFC 1112 4)
NULL_MAC: Final = bytes(6)
_MASKS: Final[dict[int, tuple[int, ...]]] = {
    bits: tuple(((1 << length) - 1) << (bits - length) for length in range(bits + 1)) for bits in (32, 128)
}
_OCTETS: Final[dict[str, int]] = {str(octet): octet for octet in range(256)}
_HEX: Final = frozenset("0123456789abcdefABCDEF")


def mask(length: int, bits: int = 32) -> int:
    """The network mask of a prefix length, as an int of `bits` width."""
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
    if ":" in text:
        raise ValueError(f"{text!r} is an IPv6 address: not supported yet")
    raise ValueError(f"{text!r} is not an IPv4 address")


def format_ipv4(address: int) -> str:
    """Dotted decimal."""
    return f"{address >> 24 & 255}.{address >> 16 & 255}.{address >> 8 & 255}.{address & 255}"


def parse_address(text: str) -> tuple[int, int]:
    """(family, address) of an address's text; ValueError when it is none."""
    return V4, parse_ipv4(text)


def format_address(address: int, family: int = V4) -> str:
    """The canonical text of an address of `family`."""
    return format_ipv4(address)


def parse_interface(text: str) -> tuple[int, int, int]:
    """(family, address, prefix length) of ``ADDRESS/LENGTH``; without a length it is the family's full width."""
    head, slash, tail = text.partition("/")
    family, address = parse_address(head)
    if not slash:
        return family, address, BITS[family]
    if not (tail.isascii() and tail.isdigit()) or int(tail) > BITS[family]:
        raise ValueError(f"{text!r} has no prefix length of 0 to {BITS[family]}")
    return family, address, int(tail)


def parse_prefix(text: str) -> tuple[int, int, int]:
    """(family, network, prefix length) of ``NETWORK/LENGTH`` or ``default``; ValueError when host bits are set."""
    if text == "default":
        return V4, 0, 0
    family, address, length = parse_interface(text)
    if address & ~mask(length, BITS[family]) & mask(BITS[family], BITS[family]):
        network = format_address(address & mask(length, BITS[family]), family)
        raise ValueError(f"{text!r} has host bits set; the network is {network}/{length}")
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
    raise ValueError(f"{text!r} is not a MAC address")


def format_mac(mac: bytes) -> str:
    """Lower-case, colon-separated."""
    return mac.hex(":")
