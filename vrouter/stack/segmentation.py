"""Half-finished checksums are finished here, and superframes cut into the segments that they stand for.

Expects: a packet whose ``csum_start`` and ``csum_offset`` name its transport checksum (`base.packet`), which `l2.vnet`
has judged when it came from outside; ``start`` at its Ethernet or IP header, ``end`` behind its last byte of data.

What `cut` makes is what a network card with segmentation offload sends, and Linux without one: all headers in front of
the data go into every segment, with

- IPv4: the length, an identification that counts up from the superframe's, the header checksum;
- IPv6: the payload length;
- TCP: the sequence number; FIN and PSH in the last segment alone, CWR in the first alone (RFC 3168 6.1.2); options as
  they are, timestamps included;
- UDP: the length;
- the transport checksum. It is made from the half-finished one, so that whoever hands over a wrong one has sent wrong
  segments, and nothing else comes of it.

`address_changed` and `words_changed` are for who rewrites a packet on its way: a half-finished checksum stays one.

Read first: VIRTIO 1.2 section 5.1.6.2, RFC 1071, RFC 1624, RFC 9293 3.1, RFC 3168 6.1.2.
"""

from __future__ import annotations

from struct import Struct
from typing import TYPE_CHECKING, Final

from vrouter.stack.base.addresses import V4
from vrouter.stack.base.packet import HEADROOM, PAD, TCP_CSUM_OFFSET, UDP_CSUM_OFFSET, Packet
from vrouter.stack.wire import ipv6
from vrouter.stack.wire.checksum import checksum, ones_sum
from vrouter.stack.wire.ethernet import ETHERTYPE_QINQ, ETHERTYPE_VLAN, HEADER_LEN, VLAN_LEN

if TYPE_CHECKING:
    from vrouter.stack.wire.buffer import Buffer

_FIN_PSH: Final = 0x09
_CWR: Final = 0x80
_LENGTH4: Final = 2  # from the IP header on
_IDENT4: Final = 4
_CHECKSUM4: Final = 10
_LENGTH6: Final = 4
_SEQUENCE: Final = 4  # from the transport header on
_TCP_FLAGS: Final = 12
_UDP_LENGTH: Final = 4
_MASK: Final = 0xFFFFFFFF

_unpack_16 = Struct("!H").unpack_from
_unpack_32 = Struct("!I").unpack_from
_pack_16 = Struct("!H").pack_into
_pack_32 = Struct("!I").pack_into


def finish_checksum(pkt: Packet) -> None:
    """Complete the half-finished checksum of a packet that is no superframe.

    A sum of 0 is written as 0xffff, which means the same to all protocols, and to UDP alone something (RFC 768).
    """
    buf, at = pkt.buf, pkt.csum_start
    _pack_16(buf, at + pkt.csum_offset, checksum(buf, at, pkt.end) or 0xFFFF)
    pkt.csum_start = -1


def network_offset(buf: Buffer, start: int, end: int) -> int:
    """Where the network header begins in a frame that begins at `start`, behind whatever tags; -1: it is cut short."""
    at = start + HEADER_LEN
    while at <= end:
        ethertype = _unpack_16(buf, at - 2)[0]
        if ethertype != ETHERTYPE_VLAN and ethertype != ETHERTYPE_QINQ:
            return at
        at += VLAN_LEN
    return -1


def cut(pkt: Packet, head: bytes, *, most: int = 1 << 16, sealed: bool = True) -> list[bytearray]:
    """The segments of a superframe, each with `head` in front of what begins at ``start``; only the first `most`.

    Unless `sealed` their transport checksums are half-finished, as the superframe's is.
    """
    buf, start, end, size = pkt.buf, pkt.start, pkt.end, pkt.gso_size
    data_at = pkt.payload_at()
    lead = len(head) - start
    headers = bytearray(head)
    headers += memoryview(buf)[start:data_at]
    l3 = (pkt.l3 if pkt.l3 >= 0 else network_offset(buf, start, end)) + lead
    l4 = pkt.csum_start + lead
    where = l4 + pkt.csum_offset
    is_tcp = pkt.csum_offset == TCP_CSUM_OFFSET
    is_ipv4 = headers[l3] >> 4 == V4
    ident = seq = flags = ip_sum = 0
    # The pseudo-header's sum without the length, which is each segment's own.
    pseudo = _unpack_16(headers, where)[0] + 65535 - (end - pkt.csum_start) % 65535
    _pack_16(headers, where, 0)
    if is_ipv4:
        ident = _unpack_16(headers, l3 + _IDENT4)[0]
        _pack_32(headers, l3 + _LENGTH4, 0)  # and the identification behind it
        _pack_16(headers, l3 + _CHECKSUM4, 0)
        ip_sum = ones_sum(headers, l3, l3 + ((headers[l3] & 0x0F) << 2))
    if is_tcp:
        seq, flags = _unpack_32(headers, l4 + _SEQUENCE)[0], _unpack_16(headers, l4 + _TCP_FLAGS)[0]
        _pack_32(headers, l4 + _SEQUENCE, 0)
        _pack_16(headers, l4 + _TCP_FLAGS, 0)
    else:
        _pack_16(headers, l4 + _UDP_LENGTH, 0)
    header_sum = ones_sum(headers, l4, len(headers))
    header_len = data_at - pkt.csum_start
    data = memoryview(buf)
    at, first = data_at, True
    pieces: list[bytearray] = []
    while at < end and len(pieces) < most:
        after = at + size
        if after >= end:
            after, word = end, flags
        else:
            word = flags & ~_FIN_PSH
        if not first:
            word &= ~_CWR
        piece = headers + data[at:after]
        length = header_len + after - at  # of transport header and data
        if is_ipv4:
            total = l4 - l3 + length
            _pack_32(piece, l3 + _LENGTH4, total << 16 | ident)
            _pack_16(piece, l3 + _CHECKSUM4, 65535 - ((ip_sum + total + ident) % 65535 or 65535))
            ident = ident + 1 & 0xFFFF
        else:
            _pack_16(piece, l3 + _LENGTH6, l4 - l3 + length - ipv6.HEADER_LEN)
        if is_tcp:
            _pack_32(piece, l4 + _SEQUENCE, seq)
            _pack_16(piece, l4 + _TCP_FLAGS, word)
            fields = seq + word
            seq = seq + size & _MASK
        else:
            _pack_16(piece, l4 + _UDP_LENGTH, length)
            fields = length
        if sealed:
            total = pseudo + length + header_sum + fields + ones_sum(data, at, after)
            value = 65535 - (total % 65535 or 65535)
            _pack_16(piece, where, value if is_tcp else value or 65535)
        else:
            _pack_16(piece, where, (pseudo + length) % 65535 or 65535)
        pieces.append(piece)
        at, first = after, False
    return pieces


def segment(pkt: Packet, *, most: int = 1 << 16, sealed: bool = True) -> list[Packet]:
    """`cut`, as packets with headroom and everything that the layers found out about the superframe."""
    shift = HEADROOM - pkt.start
    return [_piece(pkt, buf, shift, sealed) for buf in cut(pkt, PAD, most=most, sealed=sealed)]


def _piece(pkt: Packet, buf: bytearray, shift: int, sealed: bool) -> Packet:
    piece = Packet(buf, HEADROOM, len(buf))
    piece.l2 = pkt.l2 + shift if pkt.l2 >= pkt.start else -1
    piece.l3 = pkt.l3 + shift if pkt.l3 >= 0 else -1
    piece.l4 = pkt.l4 + shift if pkt.l4 >= 0 else -1
    if not sealed:
        piece.csum_start, piece.csum_offset = pkt.csum_start + shift, pkt.csum_offset
    piece.vlan, piece.ethertype, piece.family, piece.proto = pkt.vlan, pkt.ethertype, pkt.family, pkt.proto
    piece.flags, piece.mark, piece.crossings, piece.ttl = pkt.flags, pkt.mark, pkt.crossings, pkt.ttl
    piece.src, piece.dst, piece.nexthop = pkt.src, pkt.dst, pkt.nexthop
    piece.iif, piece.oif, piece.ct, piece.sock, piece.origin = pkt.iif, pkt.oif, pkt.ct, pkt.sock, pkt.origin
    return piece


def as_on_the_wire(pkt: Packet) -> Packet:
    """The packet whose headers its sender would know again: finished, and of a superframe the first segment."""
    if pkt.gso_size:
        return segment(pkt, most=1)[0]
    if pkt.csum_start >= 0:
        pkt = pkt.copy()
        finish_checksum(pkt)
    return pkt


def address_changed(pkt: Packet, offset: int, old: int, new: int) -> None:
    """An address of the pseudo-header was rewritten from `old` to `new`: mend the checksum `offset` bytes behind the
    transport header (TCP_CSUM_OFFSET, UDP_CSUM_OFFSET), whether it is half-finished or not."""
    if pkt.csum_start >= 0:
        at = pkt.csum_start + offset
        _pack_16(pkt.buf, at, (_unpack_16(pkt.buf, at)[0] - old + new) % 65535 or 65535)
    else:
        words_changed(pkt, offset, old, new)


def words_changed(pkt: Packet, offset: int, old: int, new: int) -> None:
    """Words of the transport header, such as ports, were rewritten: as `address_changed`, but a half-finished checksum
    does not cover them yet. UDP over IPv4 may have no checksum at all (RFC 768), which stays so."""
    if pkt.csum_start >= 0:
        return
    at = pkt.l4 + offset
    value = _unpack_16(pkt.buf, at)[0]
    if offset != UDP_CSUM_OFFSET:
        _pack_16(pkt.buf, at, (value + old - new) % 65535)
    elif value:
        _pack_16(pkt.buf, at, (value + old - new) % 65535 or 65535)
