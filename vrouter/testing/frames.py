"""Builders of frames and packets that are right unless told to be wrong.

Every builder returns ``bytes`` and takes the layer above as its payload, so a frame reads from the outside in::

    ethernet(router_mac, host_mac, IPV4, ipv4("10.0.1.2", "10.0.2.2", ICMP, icmp_echo(ident=7), ttl=1))

Lengths and checksums are computed; a keyword argument sets any of them to something else, and nothing judges the
result. IP addresses are text, int or a node of the lab, MAC addresses text or 6 bytes. The builders of IPv6 are those
of ``frames6``. The code of both is plain and slow on purpose and shares nothing with the codecs of the stack: a fault
in those cannot hide in the frames that test them.
"""

from __future__ import annotations

from collections.abc import Sequence
from struct import pack
from typing import Any

from vrouter.testing.frames6 import (
    ALL_NODES,
    ALL_ROUTERS,
    DSTOPTS,
    ECHO6,
    ECHO_REPLY6,
    FRAGMENT,
    HOPOPTS,
    ICMPV6,
    NO_NEXT,
    ROUTING,
    destination_options,
    fragment_header,
    fragments6,
    group_mac6,
    hop_by_hop,
    icmp6,
    icmp6_echo,
    icmp6_error,
    ipv6,
    ipv6_echo,
    mld2_report,
    mld_query,
    mld_record,
    mld_report,
    nd_mtu,
    nd_nonce,
    nd_option,
    nd_prefix,
    neighbour_advertisement,
    neighbour_solicitation,
    option,
    redirect6,
    router_advertisement,
    router_solicitation,
    routing,
    solicited_node,
    source_mac,
    target_mac,
)
from vrouter.testing.octets import (
    Addressed,
    Ip,
    Mac,
    internet_checksum,
    ip6_int,
    ip6_text,
    ip_bytes,
    ip_int,
    mac_bytes,
    pseudo_header,
)

__all__ = [
    "ALL_NODES",
    "ALL_ROUTERS",
    "ARP",
    "BROADCAST",
    "DSTOPTS",
    "ECHO",
    "ECHO6",
    "ECHO_REPLY",
    "ECHO_REPLY6",
    "FRAGMENT",
    "HOPOPTS",
    "ICMP",
    "ICMPV6",
    "IGMP",
    "IPV4",
    "IPV6",
    "NO_NEXT",
    "QINQ",
    "ROUTING",
    "TCP",
    "UDP",
    "VLAN",
    "ZERO_MAC",
    "Addressed",
    "Ip",
    "Mac",
    "arp",
    "arp_reply",
    "arp_request",
    "destination_options",
    "ethernet",
    "fragment_header",
    "fragments",
    "fragments6",
    "group_mac",
    "group_mac6",
    "hop_by_hop",
    "icmp",
    "icmp6",
    "icmp6_echo",
    "icmp6_error",
    "icmp_echo",
    "icmp_error",
    "igmp",
    "igmp3_report",
    "igmp_query",
    "igmp_record",
    "igmp_report",
    "internet_checksum",
    "ip6_int",
    "ip_int",
    "ipv4",
    "ipv4_echo",
    "ipv4_udp",
    "ipv6",
    "ipv6_echo",
    "ipv6_udp",
    "mac_bytes",
    "mld2_report",
    "mld_query",
    "mld_record",
    "mld_report",
    "nd_mtu",
    "nd_nonce",
    "nd_option",
    "nd_prefix",
    "neighbour_advertisement",
    "neighbour_solicitation",
    "option",
    "pseudo_header",
    "redirect6",
    "router_advertisement",
    "router_solicitation",
    "routing",
    "solicited_node",
    "source_mac",
    "target_mac",
    "udp",
    "vlan_tag",
]

IPV4 = 0x0800
ARP = 0x0806
VLAN = 0x8100
QINQ = 0x88A8
IPV6 = 0x86DD

ICMP = 1
IGMP = 2
TCP = 6
UDP = 17

BROADCAST = "ff:ff:ff:ff:ff:ff"
ZERO_MAC = bytes(6)

ECHO_REPLY = 0
ECHO = 8


# ------------------------------------------------------------------------------------------------------------------
# L2


def ethernet(
    dst: Mac, src: Mac, ethertype: int, payload: bytes, vlan: int | None = None, *, tpid: int = VLAN, pad: bool = False
) -> bytes:
    """An Ethernet II frame; with ``vlan`` (a VLAN id, or a whole TCI) a tag; ``pad`` fills it up to 60 bytes."""
    tag = b"" if vlan is None else pack("!HH", tpid, vlan)
    frame = mac_bytes(dst) + mac_bytes(src) + tag + pack("!H", ethertype) + payload
    return frame.ljust(60, b"\0") if pad else frame


def vlan_tag(tci: int, ethertype: int, payload: bytes) -> bytes:
    """What is behind the TPID of a tag, for stacks of them: ``ethernet(…, QINQ, vlan_tag(100, VLAN, vlan_tag(5, …)))``.

    ``tci`` is the VLAN id, with priority << 13 and drop eligibility << 12.
    """
    return pack("!HH", tci, ethertype) + payload


def group_mac(group: Ip) -> bytes:
    """The MAC address of an IPv4 group (RFC 1112 section 6.4)."""
    return bytes.fromhex("01005e") + (ip_int(group) & 0x7FFFFF).to_bytes(3, "big")


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
    """A UDP datagram (RFC 768); the addresses, of either family, go into its checksum only. ``checksum=0`` sends it
    without one. An int of 32 bits is an IPv4 address."""
    if length is None:
        length = 8 + len(payload)
    if checksum is None:
        head = pseudo_header(ip_bytes(src), ip_bytes(dst), UDP, 8 + len(payload)) + pack(
            "!HHHH", sport, dport, length, 0
        )
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


# ------------------------------------------------------------------------------------------------------------------
# groups


def igmp(
    type: int,  # noqa: A002 (the field's name)
    code: int,
    group: Ip,
    tail: bytes = b"",
    *,
    checksum: int | None = None,
) -> bytes:
    """An IGMP message: type, code, and the group or what stands in its place."""
    if checksum is None:
        checksum = internet_checksum(pack("!BBHI", type, code, 0, ip_int(group)) + tail)
    return pack("!BBHI", type, code, checksum, ip_int(group)) + tail


def igmp_query(
    group: Ip = 0,
    sources: Sequence[Ip] = (),
    *,
    version: int = 3,
    code: int = 100,
    suppress: bool = False,
    robustness: int = 2,
    interval: int = 125,
    **wrong: Any,
) -> bytes:
    """Who listens to ``group``? ``code`` tells the response time, ``interval`` is a code too (RFC 3376 section 4.1)."""
    if version < 3:
        return igmp(0x11, code if version == 2 else 0, group, **wrong)
    tail = pack("!BBH", suppress << 3 | robustness, interval, len(sources))
    return igmp(0x11, code, group, tail + b"".join(pack("!I", ip_int(source)) for source in sources), **wrong)


def igmp_report(group: Ip, *, version: int = 2, leave: bool = False, **wrong: Any) -> bytes:
    """I listen to ``group``, as version 1 or 2 says it; with ``leave``, no longer (RFC 2236 section 2)."""
    return igmp(0x17 if leave else 0x16 if version == 2 else 0x12, 0, group, **wrong)


def igmp3_report(*records: bytes, count: int | None = None, **wrong: Any) -> bytes:
    """What I listen to, as version 3 says it (RFC 3376 section 4.2)."""
    return igmp(0x22, 0, len(records) if count is None else count, b"".join(records), **wrong)


def igmp_record(kind: int, group: Ip, sources: Sequence[Ip] = (), auxiliary: bytes = b"") -> bytes:
    """A record of one group; kinds are 1 to 6 (RFC 3376 section 4.2.12)."""
    head = pack("!BBHI", kind, len(auxiliary) // 4, len(sources), ip_int(group))
    return head + b"".join(pack("!I", ip_int(source)) for source in sources) + auxiliary


# ------------------------------------------------------------------------------------------------------------------
# whole packets


def ipv4_udp(src: Ip, dst: Ip, sport: int, dport: int, payload: bytes = b"", **header: Any) -> bytes:
    """An IPv4 packet with a UDP datagram; keyword arguments as for ``ipv4``."""
    return ipv4(src, dst, UDP, udp(src, dst, sport, dport, payload), **header)


def ipv6_udp(src: Ip, dst: Ip, sport: int, dport: int, payload: bytes = b"", **header: Any) -> bytes:
    """An IPv6 packet with a UDP datagram; keyword arguments as for ``ipv6``."""
    return ipv6(src, dst, UDP, udp(ip6_text(src), ip6_text(dst), sport, dport, payload), **header)


def ipv4_echo(
    src: Ip, dst: Ip, ident: int = 1, sequence: int = 1, payload: bytes = b"", *, reply: bool = False, **header: Any
) -> bytes:
    """An IPv4 packet with an echo request or reply; keyword arguments as for ``ipv4``."""
    return ipv4(src, dst, ICMP, icmp_echo(ident, sequence, payload, reply=reply), **header)
