"""Builders of IPv6 packets, of the same kind as those of ``frames``, which offers these too.

Extension headers and fragment headers take the layer above as their payload, so a chain reads from the outside in::

    ipv6(a, b, HOPOPTS, hop_by_hop(ICMPV6, mld_report(a, b, "ff05::7"), option(5, b"\\0\\0")), hop_limit=1)

ICMPv6 messages take the addresses of the packet that carries them, for their checksum. Their ``options`` and
``records`` are bytes, made by the builders that are called so.
"""

from __future__ import annotations

from collections.abc import Sequence
from struct import pack
from typing import Any

from vrouter.testing.octets import Ip, Mac, internet_checksum, ip6_int, mac_bytes, pseudo_header

HOPOPTS = 0
ROUTING = 43
FRAGMENT = 44
ICMPV6 = 58
NO_NEXT = 59
DSTOPTS = 60

ECHO6 = 128
ECHO_REPLY6 = 129

ALL_NODES = "ff02::1"
ALL_ROUTERS = "ff02::2"

_LONGEST_ERROR = 1280


def _address(address: Ip) -> bytes:
    return ip6_int(address).to_bytes(16, "big")


def solicited_node(address: Ip) -> str:
    """The group that a neighbour solicitation for ``address`` goes to (RFC 4291 section 2.7.1), as text."""
    low = _address(address)[13:].hex()
    return f"ff02::1:ff{low[:2]}:{low[2:]}"


def group_mac6(group: Ip) -> bytes:
    """The MAC address of an IPv6 group (RFC 2464 section 7)."""
    return b"\x33\x33" + _address(group)[12:]


# ------------------------------------------------------------------------------------------------------------------
# L3


def ipv6(
    src: Ip,
    dst: Ip,
    next_header: int,
    payload: bytes = b"",
    *,
    hop_limit: int = 64,
    traffic_class: int = 0,
    flow_label: int = 0,
    version: int = 6,
    payload_length: int | None = None,
) -> bytes:
    """An IPv6 packet (RFC 8200 section 3)."""
    if payload_length is None:
        payload_length = len(payload)
    first = pack("!IHBB", version << 28 | traffic_class << 20 | flow_label, payload_length, next_header, hop_limit)
    return first + _address(src) + _address(dst) + payload


def option(kind: int, data: bytes = b"", *, length: int | None = None) -> bytes:
    """An option of a hop-by-hop or destination options header (RFC 8200 section 4.2); kind 0 is Pad1."""
    return b"\0" if kind == 0 else bytes((kind, len(data) if length is None else length)) + data


def hop_by_hop(next_header: int, payload: bytes = b"", options: bytes = b"", *, length: int | None = None) -> bytes:
    """A hop-by-hop or destination options header in front of ``payload``; what is missing is padded.

    ``length`` is that of the header's field: in units of 8 bytes, not counting the first.
    """
    missing = -(2 + len(options)) % 8
    options += b"\0" if missing == 1 else bytes((1, missing - 2)) + bytes(missing - 2) if missing else b""
    if length is None:
        length = (2 + len(options)) // 8 - 1
    return bytes((next_header, length)) + options + payload


destination_options = hop_by_hop


def routing(
    next_header: int,
    payload: bytes = b"",
    addresses: Sequence[Ip] = (),
    *,
    type: int = 0,  # noqa: A002 (the field's name)
    segments_left: int = 0,
    length: int | None = None,
) -> bytes:
    """A routing header (RFC 8200 section 4.4), by default of the type that RFC 5095 took out of use."""
    length = 2 * len(addresses) if length is None else length
    head = bytes((next_header, length, type, segments_left, 0, 0, 0, 0))
    return head + b"".join(_address(address) for address in addresses) + payload


def fragment_header(
    next_header: int, payload: bytes = b"", *, offset: int = 0, more: bool = False, ident: int = 0, reserved: int = 0
) -> bytes:
    """A fragment header (RFC 8200 section 4.5) in front of ``payload``; ``offset`` in bytes, a multiple of 8."""
    if offset % 8:
        raise ValueError("a fragment offset is a multiple of 8 bytes")
    return pack("!BBHI", next_header, reserved, offset | more, ident) + payload


def fragments6(packet: bytes, mtu: int, ident: int = 1) -> list[bytes]:
    """The packet cut for a path of ``mtu`` bytes as a source does it; itself alone when it fits.

    Hop-by-hop and routing headers go with every fragment. ValueError when the MTU has no room for 8 bytes of data.
    """
    if len(packet) <= mtu:
        return [packet]
    at, named = 40, 6
    while packet[named] in (HOPOPTS, ROUTING):
        at, named = at + 8 + packet[at + 1] * 8, at
    room = (mtu - at - 8) // 8 * 8
    if room <= 0:
        raise ValueError(f"an MTU of {mtu} has no room for data")
    pieces, data = [], packet[at:]
    for offset in range(0, len(data), room):
        part = data[offset : offset + room]
        head = bytearray(packet[:at])
        head[named] = FRAGMENT
        head[4:6] = (at - 40 + 8 + len(part)).to_bytes(2, "big")
        more = offset + room < len(data)
        pieces.append(bytes(head) + fragment_header(packet[named], part, offset=offset, more=more, ident=ident))
    return pieces


# ------------------------------------------------------------------------------------------------------------------
# ICMPv6


def icmp6(
    src: Ip,
    dst: Ip,
    type: int,  # noqa: A002 (the field's name)
    code: int = 0,
    rest: int = 0,
    payload: bytes = b"",
    *,
    checksum: int | None = None,
) -> bytes:
    """An ICMPv6 message (RFC 4443); ``rest`` is the second word of its header."""
    if checksum is None:
        whole = pack("!BBHI", type, code, 0, rest) + payload
        checksum = internet_checksum(pseudo_header(_address(src), _address(dst), ICMPV6, len(whole)) + whole)
    return pack("!BBHI", type, code, checksum, rest) + payload


def icmp6_echo(
    src: Ip, dst: Ip, ident: int = 1, sequence: int = 1, payload: bytes = b"", *, reply: bool = False, **wrong: Any
) -> bytes:
    """An echo request, or with ``reply`` its reply."""
    return icmp6(src, dst, ECHO_REPLY6 if reply else ECHO6, 0, ident << 16 | sequence, payload, **wrong)


def icmp6_error(
    src: Ip,
    dst: Ip,
    type: int,  # noqa: A002 (the field's name)
    code: int,
    packet: bytes,
    rest: int = 0,
    *,
    quote: int = _LONGEST_ERROR - 48,
    **wrong: Any,
) -> bytes:
    """An error about an IPv6 ``packet``, quoting its first ``quote`` bytes: by default as many as keep it within 1280.

    ``rest`` is the MTU or the pointer.
    """
    return icmp6(src, dst, type, code, rest, packet[:quote], **wrong)


def ipv6_echo(
    src: Ip, dst: Ip, ident: int = 1, sequence: int = 1, payload: bytes = b"", *, reply: bool = False, **header: Any
) -> bytes:
    """An IPv6 packet with an echo request or reply; keyword arguments as for ``ipv6``."""
    return ipv6(src, dst, ICMPV6, icmp6_echo(src, dst, ident, sequence, payload, reply=reply), **header)


# ------------------------------------------------------------------------------------------------------------------
# neighbour discovery


def nd_option(kind: int, data: bytes = b"", *, length: int | None = None) -> bytes:
    """An option of neighbour discovery, padded with zeros (RFC 4861 section 4.6); ``length`` in units of 8 bytes."""
    data += bytes(-(2 + len(data)) % 8)
    return bytes((kind, (2 + len(data)) // 8 if length is None else length)) + data


def source_mac(mac: Mac) -> bytes:
    """The option with the sender's link-layer address."""
    return nd_option(1, mac_bytes(mac))


def target_mac(mac: Mac) -> bytes:
    """The option with the target's link-layer address."""
    return nd_option(2, mac_bytes(mac))


def nd_prefix(
    prefix: Ip, length: int = 64, *, valid: int = 86400, preferred: int = 14400, flags: int = 0xC0, **wrong: Any
) -> bytes:
    """Prefix information; ``flags`` are 0x80 on-link and 0x40 autonomous."""
    return nd_option(3, pack("!BBII4x", length, flags, valid, preferred) + _address(prefix), **wrong)


def nd_mtu(mtu: int) -> bytes:
    """The link's MTU."""
    return nd_option(5, pack("!HI", 0, mtu))


def nd_nonce(nonce: bytes) -> bytes:
    """A nonce (RFC 3971 section 5.3.2)."""
    return nd_option(14, nonce)


def neighbour_solicitation(
    src: Ip, dst: Ip, target: Ip, options: bytes = b"", *, mac: Mac | None = None, code: int = 0, **wrong: Any
) -> bytes:
    """Who has ``target``? With ``mac`` the sender's link-layer address is the first option."""
    first = b"" if mac is None else source_mac(mac)
    return icmp6(src, dst, 135, code, 0, _address(target) + first + options, **wrong)


def neighbour_advertisement(
    src: Ip,
    dst: Ip,
    target: Ip,
    options: bytes = b"",
    *,
    mac: Mac | None = None,
    router: bool = False,
    solicited: bool = False,
    override: bool = False,
    code: int = 0,
    **wrong: Any,
) -> bytes:
    """``target`` is at ``mac``."""
    first = b"" if mac is None else target_mac(mac)
    rest = router << 31 | solicited << 30 | override << 29
    return icmp6(src, dst, 136, code, rest, _address(target) + first + options, **wrong)


def router_solicitation(
    src: Ip, dst: Ip, options: bytes = b"", *, mac: Mac | None = None, code: int = 0, **wrong: Any
) -> bytes:
    """Who is a router here?"""
    return icmp6(src, dst, 133, code, 0, (b"" if mac is None else source_mac(mac)) + options, **wrong)


def router_advertisement(
    src: Ip,
    dst: Ip,
    options: bytes = b"",
    *,
    mac: Mac | None = None,
    hop_limit: int = 64,
    flags: int = 0,
    lifetime: int = 1800,
    reachable: int = 0,
    retrans: int = 0,
    code: int = 0,
    **wrong: Any,
) -> bytes:
    """I am a router; ``flags`` are 0x80 managed, 0x40 other, and the preference's two bits at 0x18."""
    rest = hop_limit << 24 | flags << 16 | lifetime
    body = pack("!II", reachable, retrans) + (b"" if mac is None else source_mac(mac)) + options
    return icmp6(src, dst, 134, code, rest, body, **wrong)


def redirect6(
    src: Ip,
    dst: Ip,
    target: Ip,
    destination: Ip,
    options: bytes = b"",
    *,
    mac: Mac | None = None,
    packet: bytes = b"",
    code: int = 0,
    **wrong: Any,
) -> bytes:
    """Go by ``target`` to ``destination``; ``packet`` is the one that did not, quoted in whole words of 8 bytes."""
    body = _address(target) + _address(destination) + (b"" if mac is None else target_mac(mac))
    if packet:
        body += nd_option(4, bytes(6) + packet[: (_LONGEST_ERROR - 40 - 8 - len(body) - 8) & ~7])
    return icmp6(src, dst, 137, code, 0, body + options, **wrong)


# ------------------------------------------------------------------------------------------------------------------
# groups


def mld_query(
    src: Ip,
    dst: Ip,
    group: Ip = "::",
    sources: Sequence[Ip] = (),
    *,
    version: int = 2,
    max_response: int = 10_000,
    suppress: bool = False,
    robustness: int = 2,
    interval: int = 125,
    **wrong: Any,
) -> bytes:
    """Who listens to ``group``? ``max_response`` and ``interval`` are the fields' codes (RFC 3810 section 5.1)."""
    body = _address(group)
    if version == 2:
        body += pack("!BBH", suppress << 3 | robustness, interval, len(sources))
        body += b"".join(_address(source) for source in sources)
    return icmp6(src, dst, 130, 0, max_response << 16, body, **wrong)


def mld_report(src: Ip, dst: Ip, group: Ip, *, done: bool = False, **wrong: Any) -> bytes:
    """I listen to ``group``, as version 1 says it (RFC 2710); with ``done``, no longer."""
    return icmp6(src, dst, 132 if done else 131, 0, 0, _address(group), **wrong)


def mld2_report(src: Ip, dst: Ip, *records: bytes, count: int | None = None, **wrong: Any) -> bytes:
    """What I listen to, as version 2 says it (RFC 3810 section 5.2)."""
    return icmp6(src, dst, 143, 0, len(records) if count is None else count, b"".join(records), **wrong)


def mld_record(kind: int, group: Ip, sources: Sequence[Ip] = (), auxiliary: bytes = b"") -> bytes:
    """A record of one group; kinds are 1 to 6 (RFC 3810 section 5.2.12)."""
    head = pack("!BBH", kind, len(auxiliary) // 4, len(sources)) + _address(group)
    return head + b"".join(_address(source) for source in sources) + auxiliary
