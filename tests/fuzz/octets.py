"""Arithmetic of frames for forge and witness, with nothing of the stack's own: sums, tags, where a header stands."""

from __future__ import annotations

from struct import pack, pack_into, unpack_from

IPV4, ARP, IPV6 = 0x0800, 0x0806, 0x86DD
TAGS = (0x8100, 0x88A8)
ICMP, IGMP, TCP, UDP, ICMPV6 = 1, 2, 6, 17, 58
HOPOPTS, ROUTING, FRAGMENT, NO_NEXT, DSTOPTS = 0, 43, 44, 59, 60
_CHAIN = 16  # headers that are followed


def ones_sum(data: bytes) -> int:
    """The folded sum of RFC 1071; 0xffff over a right header."""
    if len(data) & 1:
        data += b"\0"
    total = sum(unpack_from(f"!{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return total


def behind_tags(frame: bytes | bytearray) -> tuple[int, int]:
    """(offset of what the frame carries, its EtherType) behind all tags; (0, -1) of a frame cut off before that."""
    at = 12
    while len(frame) >= at + 2:
        kind = frame[at] << 8 | frame[at + 1]
        if kind not in TAGS:
            return at + 2, kind
        at += 4
    return 0, -1


def untagged(frame: bytes) -> bytes:
    """The frame without its tags."""
    at, kind = behind_tags(frame)
    return frame if kind < 0 or at == 14 else frame[:12] + frame[at - 2 :]


def upper6(packet: bytes | bytearray) -> tuple[int, int]:
    """(protocol, offset) of what an IPv6 packet carries behind its extension headers; a fragment is (44, …)."""
    proto, at = packet[6], 40
    for _ in range(_CHAIN):
        if proto not in (HOPOPTS, ROUTING, DSTOPTS) or len(packet) < at + 8:
            break
        if proto == HOPOPTS and at != 40:
            break  # RFC 8200 4.1: nobody knows it there
        proto, at = packet[at], at + 8 + packet[at + 1] * 8
    return proto, at


def pseudo6(packet: bytes | bytearray, proto: int, size: int) -> bytes:
    """The pseudo-header of RFC 8200 8.1."""
    return bytes(packet[8:40]) + pack("!II", size, proto)


def mend(frame: bytearray) -> None:
    """Set IPv4's header checksum, and the transport's, as far as the headers make sense; lengths stay wrong."""
    at, kind = behind_tags(frame)
    if kind == IPV4 and len(frame) >= at + 20:
        _mend4(frame, at)
    elif kind == IPV6 and len(frame) >= at + 40:
        _mend6(frame, at)


def _mend4(frame: bytearray, at: int) -> None:
    header = max((frame[at] & 15) * 4, 20)
    if len(frame) < at + header:
        return
    frame[at + 10 : at + 12] = b"\0\0"
    pack_into("!H", frame, at + 10, ones_sum(bytes(frame[at : at + header])) ^ 0xFFFF)
    l4, end = at + header, min(len(frame), at + unpack_from("!H", frame, at + 2)[0])
    proto = frame[at + 9]
    if proto in (ICMP, IGMP) and end - l4 >= 8:
        frame[l4 + 2 : l4 + 4] = b"\0\0"
        pack_into("!H", frame, l4 + 2, ones_sum(bytes(frame[l4:end])) ^ 0xFFFF)
    elif proto == UDP and end - l4 >= 8:
        frame[l4 + 6 : l4 + 8] = b"\0\0"
        pseudo = bytes(frame[at + 12 : at + 20]) + pack("!HH", UDP, end - l4)
        pack_into("!H", frame, l4 + 6, (ones_sum(pseudo + bytes(frame[l4:end])) ^ 0xFFFF) or 0xFFFF)


def _mend6(frame: bytearray, at: int) -> None:
    packet = memoryview(frame)[at:]
    proto, l4 = upper6(bytearray(packet))
    end = min(len(packet), 40 + unpack_from("!H", packet, 4)[0])
    sum_at = {ICMPV6: 2, UDP: 6}.get(proto)
    if sum_at is None or end - l4 < 8:
        return
    packet[l4 + sum_at : l4 + sum_at + 2] = b"\0\0"
    total = ones_sum(pseudo6(bytes(packet[:40]), proto, end - l4) + bytes(packet[l4:end])) ^ 0xFFFF
    pack_into("!H", packet, l4 + sum_at, total or 0xFFFF)
