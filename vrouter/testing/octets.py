"""Addresses as octets and the Internet checksum, for the builders and the matchers.

The code here is plain and slow on purpose and shares nothing with the stack.
"""

from __future__ import annotations

import ipaddress
from typing import Protocol


class Addressed(Protocol):
    """What stands for its address: a node of the lab, or anything else with an ``addr``."""

    @property
    def addr(self) -> str: ...


Ip = str | int | Addressed
Mac = str | bytes


def mac_bytes(mac: Mac) -> bytes:
    """The 6 bytes of a MAC address; ValueError for any other length."""
    raw = bytes.fromhex(mac.replace(":", "").replace("-", "")) if isinstance(mac, str) else bytes(mac)
    if len(raw) != 6:
        raise ValueError(f"{mac!r} is not a MAC address")
    return raw


def ip_int(address: Ip) -> int:
    """The IPv4 address as an int; ValueError when it is none."""
    return int(ipaddress.IPv4Address(address if isinstance(address, str | int) else address.addr))


def ip6_int(address: Ip) -> int:
    """The IPv6 address as an int; ValueError when it is none. A zone is left out. A station's is its ``addr6``."""
    given = address if isinstance(address, str | int) else getattr(address, "addr6", "") or address.addr
    return int(ipaddress.IPv6Address(given.partition("%")[0] if isinstance(given, str) else given))


def ip6_text(address: Ip) -> str:
    """The IPv6 address as text."""
    return str(ipaddress.IPv6Address(ip6_int(address)))


def ip_bytes(address: Ip) -> bytes:
    """The octets of an address of either family; an int of 32 bits is an IPv4 address."""
    given = address if isinstance(address, str | int) else address.addr
    if isinstance(given, str):
        return ipaddress.ip_address(given.partition("%")[0]).packed
    return ipaddress.ip_address(given).packed


def internet_checksum(data: bytes) -> int:
    """The Internet checksum of ``data``, added up word by word (RFC 1071 section 1)."""
    if len(data) % 2:
        data += b"\0"
    total = 0
    for i in range(0, len(data), 2):
        total += data[i] << 8 | data[i + 1]
        if total > 0xFFFF:
            total -= 0xFFFF
    return total ^ 0xFFFF


def pseudo_header(src: bytes, dst: bytes, proto: int, length: int) -> bytes:
    """The pseudo-header of RFC 768 or, between addresses of 16 octets, of RFC 8200 section 8.1."""
    if len(src) == 4:
        return src + dst + bytes((0, proto)) + (length & 0xFFFF).to_bytes(2, "big")
    return src + dst + length.to_bytes(4, "big") + bytes((0, 0, 0, proto))
