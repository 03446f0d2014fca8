"""Fragmentation: a packet too large for its link becomes several (RFC 791 3.2, RFC 1812 4.2.2.7, RFC 8200 4.5).

Expects: a packet that may be fragmented, with ``start`` and ``l3`` at its header and ``l4`` behind it. Gives: packets
with headroom of their own and the metadata of the one they came from, in order, as few as possible: all but the last
carry as many units of 8 bytes as fit. `_cut` does this for both families; the headers of the pieces are each family's.

IPv4 (`fragment`): a fragment may be fragmented again; its last piece then keeps "more fragments". Input has refused
fragments that reach beyond the end of a datagram: their pieces would have no offset. The first piece has all options,
the others those with the copied flag. Identification, type of service, TTL and the reserved flag go into every piece
unchanged.

IPv6 (`fragment6`): only what is made here is cut, behind its hop-by-hop and routing headers, which go into every piece.
All pieces have the traffic class and flow label of the packet. No path needs pieces of less than 1280 bytes (RFC 8200
5), so none are made, whatever the MTU is said to be.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Final

from vrouter.stack.base.addresses import MAX6
from vrouter.stack.base.packet import FRAGMENT, HEADROOM, IP_OPTIONS, PAD, Packet
from vrouter.stack.wire import ipv6
from vrouter.stack.wire.ext_headers import SKIM, walk
from vrouter.stack.wire.ipv4 import FIELDS, MAX_PACKET, MF, MIN_HEADER, OFFSET_MASK, emit_header
from vrouter.stack.wire.ipv4_options import fragment_options

if TYPE_CHECKING:
    from vrouter.stack.l3.ip import IpState

_unpack = FIELDS.unpack_from
_KEPT_FLAGS: Final = 0xFFFF & ~(MF | OFFSET_MASK)


def fragment(pkt: Packet, mtu: int) -> list[Packet]:
    """The pieces of an IPv4 packet for a link of `mtu` bytes, which is at least 68 (RFC 791 3.2).

    ValueError when its data ends beyond byte 65535 of the datagram.
    """
    buf, l3, l4 = pkt.buf, pkt.l3, pkt.l4
    _, tos, _, ident, word, ttl, proto, _, src, dst = _unpack(buf, l3)
    kept = word & _KEPT_FLAGS
    unit = word & OFFSET_MASK
    if (unit << 3) + pkt.end - l4 > MAX_PACKET:
        raise ValueError("a fragment beyond the end of the longest datagram")
    options = bytes(buf[l3 + MIN_HEADER : l4])
    later = fragment_options(options) if options else b""
    pieces: list[Packet] = []
    for piece, offset, more in _cut(pkt, l4, mtu, bytes(buf[l3:l4]), bytes(MIN_HEADER) + later):
        emit_header(
            piece.buf,
            HEADROOM,
            total_length=piece.end - HEADROOM,
            ident=ident,
            flags_fragment=kept | (MF if more else word & MF) | unit + (offset >> 3),
            ttl=ttl,
            proto=proto,
            src=src,
            dst=dst,
            tos=tos,
            options=later if pieces else options,
        )
        if piece.l4 == HEADROOM + MIN_HEADER:
            piece.flags &= ~IP_OPTIONS
        pieces.append(piece)
    return pieces


def fragment6(ip: IpState, pkt: Packet, mtu: int) -> list[Packet]:
    """The pieces of an IPv6 packet that was made here, for a path of `mtu` bytes (RFC 8200 4.5)."""
    buf, l3 = pkt.buf, pkt.l3
    chain = walk(buf, l3, pkt.end, SKIM)
    start, namer = chain.cut_at, chain.cut_next_at - l3
    proto = buf[chain.cut_next_at]
    ident = ip.next_ident(pkt.src & MAX6, pkt.dst & MAX6, ipv6.PROTO_FRAGMENT)
    header = bytearray(buf[l3:start]) + bytes(ipv6.FRAGMENT_LEN)
    header[namer] = ipv6.PROTO_FRAGMENT
    kept = bytes(header)
    pieces: list[Packet] = []
    for piece, offset, more in _cut(pkt, start, max(mtu, ipv6.MIN_MTU), kept, kept):
        ipv6.set_payload_length(piece.buf, HEADROOM, piece.end - HEADROOM - ipv6.HEADER_LEN)
        ipv6.emit_fragment(
            piece.buf, piece.l4 - ipv6.FRAGMENT_LEN, next_header=proto, offset=offset, more=more, ident=ident
        )
        piece.proto = proto
        piece.flags |= IP_OPTIONS
        pieces.append(piece)
    return pieces


def _cut(pkt: Packet, start: int, mtu: int, first: bytes, later: bytes) -> Iterator[tuple[Packet, int, bool]]:
    """The data of `pkt` from `start` on in pieces with room for their headers, `first` and `later`, in front: each with
    the offset of its data and whether more follow."""
    data, end = memoryview(pkt.buf), pkt.end
    at, header = start, first
    while at < end:
        size = end - at
        if size > mtu - len(header):
            size = max(mtu - len(header) & ~7, 8)  # at an MTU that no link may have: it ends, one unit at a time
        buf = bytearray(PAD)
        buf += header
        buf += data[at : at + size]
        yield _piece(pkt, buf, len(header)), at - start, at + size < end
        at += size
        header = later


def _piece(pkt: Packet, buf: bytearray, header_len: int) -> Packet:
    piece = Packet(buf, HEADROOM, len(buf))
    piece.l3 = HEADROOM
    piece.l4 = HEADROOM + header_len
    piece.vlan, piece.ethertype, piece.family, piece.proto = pkt.vlan, pkt.ethertype, pkt.family, pkt.proto
    piece.mark, piece.crossings, piece.ttl = pkt.mark, pkt.crossings, pkt.ttl
    piece.src, piece.dst, piece.nexthop = pkt.src, pkt.dst, pkt.nexthop
    piece.iif, piece.oif, piece.ct, piece.sock, piece.origin = pkt.iif, pkt.oif, pkt.ct, pkt.sock, pkt.origin
    piece.flags = pkt.flags | FRAGMENT
    return piece
