"""Numbers and addresses out of a packet's bytes, for people."""

from __future__ import annotations

import socket


def u16(data: bytes, at: int) -> int:
    """16 bits."""
    return data[at] << 8 | data[at + 1]


def u32(data: bytes, at: int) -> int:
    """32 bits."""
    return int.from_bytes(data[at : at + 4], "big")


def u64(data: bytes, at: int) -> int:
    """64 bits."""
    return int.from_bytes(data[at : at + 8], "big")


def mac(data: bytes, at: int) -> str:
    """A MAC address."""
    return data[at : at + 6].hex(":")


def ipv4(data: bytes, at: int) -> str:
    """An IPv4 address."""
    return ".".join(map(str, data[at : at + 4]))


def ipv6(data: bytes, at: int) -> str:
    """An IPv6 address."""
    return socket.inet_ntop(socket.AF_INET6, data[at : at + 16])
