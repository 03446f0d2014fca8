"""Builders of frames and packets that are right unless told to be wrong.

Every builder returns ``bytes`` and takes the layer above as its payload, so a frame reads from the outside in::

    ethernet(router_mac, host_mac, IPV4, ipv4("10.0.1.2", "10.0.2.2", ICMP, icmp_echo(ident=7), ttl=1))

Lengths and checksums are computed; a keyword argument sets any of them to something else, and nothing judges the
result. IP addresses are text, int or a node of the lab, MAC addresses text or 6 bytes. The code here is plain and slow
on purpose and shares nothing with the codecs of the stack: a fault in those cannot hide in the frames that test them.
"""

from __future__ import annotations

import ipaddress
from struct import pack
from typing import Any, Protocol

IPV4 = 0x0800
ARP = 0x0806
VLAN = 0x8100
IPV6 = 0x86DD

ICMP = 1
TCP = 6
UDP = 17

BROADCAST = "ff:ff:ff:ff:ff:ff"
ZERO_MAC = bytes(6)

ECHO_REPLY = 0
ECHO = 8


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


def pseudo_header(src: Ip, dst: Ip, proto: int, length: int) -> bytes:
    """The pseudo-header of RFC 768."""
    return pack("!IIBBH", ip_int(src), ip_int(dst), 0, proto, length & 0xFFFF)


# ------------------------------------------------------------------------------------------------------------------
# L2


def ethernet(
    dst: Mac, src: Mac, ethertype: int, payload: bytes, vlan: int | None = None, *, tpid: int = VLAN, pad: bool = False
) -> bytes:
    """An Ethernet II frame; with ``vlan`` (a VLAN id, or a whole TCI) a tag; ``pad`` fills it up to 60 bytes."""
    tag = b"" if vlan is None else pack("!HH", tpid, vlan)
    frame = mac_bytes(dst) + mac_bytes(src) + tag + pack("!H", ethertype) + payload
    return frame.ljust(60, b"\0") if pad else frame


def arp(
    op: int,
    sha: Mac,
    spa: Ip,
    tha: Mac,
    tpa: Ip,
    *,
    htype: int = 1,
    ptype: int = IPV4,
    hlen: int = 6,
    plen: int = 4,
) -> bytes:
    """An ARP packet (RFC 826): sender and target, each with hardware and protocol address."""
    head = pack("!HHBBH", htype, ptype, hlen, plen, op)
    return head + mac_bytes(sha) + pack("!I", ip_int(spa)) + mac_bytes(tha) + pack("!I", ip_int(tpa))


def arp_request(sha: Mac, spa: Ip, tpa: Ip, *, tha: Mac = ZERO_MAC, **wrong: int) -> bytes:
    """Who has ``tpa``? Tell ``spa``."""
    return arp(1, sha, spa, tha, tpa, **wrong)


def arp_reply(sha: Mac, spa: Ip, tha: Mac, tpa: Ip, **wrong: int) -> bytes:
    """``spa`` is at ``sha``, told to ``tpa`` at ``tha``."""
    return arp(2, sha, spa, tha, tpa, **wrong)


# ------------------------------------------------------------------------------------------------------------------
# L3


def ipv4(
    src: Ip,
    dst: Ip,
    proto: int,
    payload: bytes = b"",
    *,
    ttl: int = 64,
    ident: int = 0,
    df: bool = False,
    mf: bool = False,
    reserved: bool = False,
    offset: int = 0,
    tos: int = 0,
    options: bytes = b"",
    checksum: int | None = None,
    version: int = 4,
    ihl: int | None = None,
    total_length: int | None = None,
) -> bytes:
    """An IPv4 packet (RFC 791).

    ``offset`` is the fragment offset in bytes, a multiple of 8. ``options`` are padded to whole words. ``ihl`` counts
    words; when it is wrong, the checksum is still that of the header as it was written.
    """
    if offset % 8:
        raise ValueError("a fragment offset is a multiple of 8 bytes")
    options += bytes(-len(options) % 4)
    if ihl is None:
        ihl = 5 + len(options) // 4
    if total_length is None:
        total_length = 20 + len(options) + len(payload)
    flags_fragment = reserved << 15 | df << 14 | mf << 13 | offset // 8

    def header(csum: int) -> bytes:
        first = pack("!BBHHHBBH", version << 4 | ihl, tos, total_length, ident, flags_fragment, ttl, proto, csum)
        return first + pack("!II", ip_int(src), ip_int(dst)) + options

    return header(internet_checksum(header(0)) if checksum is None else checksum) + payload


def fragments(packet: bytes, mtu: int) -> list[bytes]:
    """The packet cut for links of ``mtu`` bytes (RFC 791 section 3.2); itself alone when it fits.

    A fragment can be cut again. ValueError when DF is set or the MTU has no room for 8 bytes of data.
    """
    header_len = (packet[0] & 15) * 4
    header, data = packet[:header_len], packet[header_len : packet[2] << 8 | packet[3]]
    if header_len + len(data) <= mtu:
        return [packet]
    word = header[6] << 8 | header[7]
    if word & 0x4000:
        raise ValueError("the packet must not be fragmented: DF is set")
    first_offset, last_mf = (word & 0x1FFF) * 8, bool(word & 0x2000)
    options, later_options = header[20:], _copied_options(header[20:])
    pieces, at = [], 0
    while at < len(data):
        room = mtu - 20 - len(options)
        size = len(data) - at if len(data) - at <= room else room // 8 * 8
        if size <= 0:
            raise ValueError(f"an MTU of {mtu} has no room for data")
        end = at + size
        pieces.append(
            ipv4(
                int.from_bytes(header[12:16], "big"),
                int.from_bytes(header[16:20], "big"),
                header[9],
                data[at:end],
                ttl=header[8],
                ident=header[4] << 8 | header[5],
                mf=last_mf or end < len(data),
                offset=first_offset + at,
                tos=header[1],
                options=options,
            )
        )
        options, at = later_options, end
    return pieces


def _copied_options(options: bytes) -> bytes:
    """The options that every fragment carries: those whose kind has the high bit."""
    kept, at = b"", 0
    while at < len(options) and options[at] != 0:
        size = 1 if options[at] == 1 else options[at + 1]
        if options[at] & 0x80:
            kept += options[at : at + size]
        at += size
    return kept


# ------------------------------------------------------------------------------------------------------------------
# L4


def udp(
    src: Ip,
    dst: Ip,
    sport: int,
    dport: int,
    payload: bytes = b"",
    *,
    checksum: int | None = None,
    length: int | None = None,
) -> bytes:
    """A UDP datagram (RFC 768); the addresses go into its checksum only. ``checksum=0`` sends it without one."""
    if length is None:
        length = 8 + len(payload)
    if checksum is None:
        head = pseudo_header(src, dst, UDP, 8 + len(payload)) + pack("!HHHH", sport, dport, length, 0)
        checksum = internet_checksum(head + payload) or 0xFFFF
    return pack("!HHHH", sport, dport, length, checksum) + payload


def icmp(
    type: int,  # noqa: A002 (the field's name)
    code: int,
    rest: int = 0,
    payload: bytes = b"",
    *,
    checksum: int | None = None,
) -> bytes:
    """An ICMP message (RFC 792); ``rest`` is the second word of its header."""
    if checksum is None:
        checksum = internet_checksum(pack("!BBHI", type, code, 0, rest) + payload)
    return pack("!BBHI", type, code, checksum, rest) + payload


def icmp_echo(
    ident: int = 1, sequence: int = 1, payload: bytes = b"", *, reply: bool = False, checksum: int | None = None
) -> bytes:
    """An echo request, or with ``reply`` its reply."""
    return icmp(ECHO_REPLY if reply else ECHO, 0, ident << 16 | sequence, payload, checksum=checksum)


def icmp_error(
    type: int,  # noqa: A002 (the field's name)
    code: int,
    packet: bytes,
    rest: int = 0,
    *,
    quote: int = 548,
    checksum: int | None = None,
) -> bytes:
    """An error about an IPv4 ``packet``, quoting its first ``quote`` bytes.

    By default as many as a router sends, which keeps the answer within 576 bytes (RFC 1812 section 4.3.2.3); 28 are
    those that RFC 792 asks for. ``rest`` is the gateway of a redirect, ``pointer << 24``, or the MTU.
    """
    return icmp(type, code, rest, packet[:quote], checksum=checksum)


# ------------------------------------------------------------------------------------------------------- whole
# packets


def ipv4_udp(src: Ip, dst: Ip, sport: int, dport: int, payload: bytes = b"", **header: Any) -> bytes:
    """An IPv4 packet with a UDP datagram; keyword arguments as for ``ipv4``."""
    return ipv4(src, dst, UDP, udp(src, dst, sport, dport, payload), **header)


def ipv4_echo(
    src: Ip, dst: Ip, ident: int = 1, sequence: int = 1, payload: bytes = b"", *, reply: bool = False, **header: Any
) -> bytes:
    """An IPv4 packet with an echo request or reply; keyword arguments as for ``ipv4``."""
    return ipv4(src, dst, ICMP, icmp_echo(ident, sequence, payload, reply=reply), **header)
