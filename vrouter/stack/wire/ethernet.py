"""Ethernet II header and 802.1Q tag: accessors and ``emit``.

Expects: ``HEADER_LEN`` bytes at ``off`` (with a tag, ``VLAN_LEN`` more); nothing here looks at the length.

Read first: RFC 894, RFC 1112 section 6.4 and RFC 2464 section 7 (multicast addresses), IEEE 802.1Q (tag).
"""

from __future__ import annotations

from struct import Struct

from vrouter.stack.wire.buffer import Buffer, WritableBuffer

HEADER_LEN = 14
VLAN_LEN = 4
ADDRESS_LEN = 6

ETHERTYPE_MIN = 0x0600  # below it the field is the length of an 802.3 frame
ETHERTYPE_IPV4 = 0x0800
ETHERTYPE_ARP = 0x0806
ETHERTYPE_VLAN = 0x8100
ETHERTYPE_IPV6 = 0x86DD
ETHERTYPE_QINQ = 0x88A8

VID_MASK = 0x0FFF
BROADCAST = b"\xff" * 6

_HEADER = Struct("!6s6sH")
_ADDRESS = Struct("6s")
_pack_header = _HEADER.pack_into
_unpack_address = _ADDRESS.unpack_from


def dst(buf: Buffer, off: int) -> bytes:
    """The destination address."""
    address: bytes = _unpack_address(buf, off)[0]
    return address


def src(buf: Buffer, off: int) -> bytes:
    """The source address."""
    address: bytes = _unpack_address(buf, off + 6)[0]
    return address


def ethertype(buf: Buffer, off: int) -> int:
    """The EtherType, or the TPID when a tag follows."""
    return (buf[off + 12] << 8) | buf[off + 13]


def vlan_tci(buf: Buffer, off: int) -> int:
    """The tag control information (priority, DEI, VLAN id) of the tag behind the addresses."""
    return (buf[off + 14] << 8) | buf[off + 15]


def vlan_ethertype(buf: Buffer, off: int) -> int:
    """The EtherType behind the tag."""
    return (buf[off + 16] << 8) | buf[off + 17]


def emit(buf: WritableBuffer, off: int, dst: bytes, src: bytes, ethertype: int) -> None:
    """Writes the 14 bytes of an untagged header."""
    _pack_header(buf, off, dst, src, ethertype)


def is_multicast(mac: bytes) -> bool:
    """Whether the group bit is set; true for broadcast too."""
    return mac[0] & 1 == 1


def multicast_mac4(addr: int) -> bytes:
    """The group address for an IPv4 multicast address: its low 23 bits behind 01:00:5e (RFC 1112 section 6.4)."""
    return (0x01005E000000 | (addr & 0x7FFFFF)).to_bytes(6, "big")


def multicast_mac6(addr: int) -> bytes:
    """The group address for an IPv6 multicast address: its low 32 bits behind 33:33 (RFC 2464 section 7)."""
    return (0x333300000000 | (addr & 0xFFFFFFFF)).to_bytes(6, "big")
