"""Fragmentation: a packet too large for its link becomes several (RFC 791 3.2, RFC 1812 4.2.2.7).

Expects: a packet that may be fragmented, with ``start`` and ``l3`` at its header and ``l4`` behind it. Gives: packets
with headroom of their own and the metadata of the one they came from, in order, as few as possible: all but the last
carry as many units of 8 bytes as fit. A fragment may be fragmented again; its last piece then keeps "more fragments".
Input has refused fragments that reach beyond the end of a datagram: their pieces would have no offset.

The first piece has all options, the others those with the copied flag. Identification, type of service, TTL and the
reserved flag go into every piece unchanged.
"""

from __future__ import annotations

from vrouter.stack.base.packet import FRAGMENT, HEADROOM, IP_OPTIONS, PAD, Packet
from vrouter.stack.wire.ipv4 import FIELDS, MAX_PACKET, MF, MIN_HEADER, OFFSET_MASK, emit_header
from vrouter.stack.wire.ipv4_options import fragment_options

_unpack = FIELDS.unpack_from
_KEPT_FLAGS = 0xFFFF & ~(MF | OFFSET_MASK)


def fragment(pkt: Packet, mtu: int) -> list[Packet]:
    """The pieces of an IPv4 packet for a link of `mtu` bytes, which is at least 68 (RFC 791 3.2).

    ValueError when its data ends beyond byte 65535 of the datagram.
    """
    buf, l3, l4, end = pkt.buf, pkt.l3, pkt.l4, pkt.end
    vihl, tos, _, ident, word, ttl, proto, _, src, dst = _unpack(buf, l3)
    header_len = (vihl & 15) << 2
    options = b"" if header_len == MIN_HEADER else bytes(buf[l3 + MIN_HEADER : l3 + header_len])
    kept = word & _KEPT_FLAGS
    unit = word & OFFSET_MASK
    if (unit << 3) + end - l4 > MAX_PACKET:
        raise ValueError("a fragment beyond the end of the longest datagram")
    data = memoryview(buf)
    pieces: list[Packet] = []
    while l4 < end:
        header_len = MIN_HEADER + len(options)
        size = end - l4
        if size > mtu - header_len:
            size = max(mtu - header_len & ~7, 8)  # at an MTU that no link may have: it ends, one unit at a time
        more = MF if l4 + size < end else word & MF
        piece_buf = bytearray(PAD)
        piece_buf += bytes(header_len)
        piece_buf += data[l4 : l4 + size]
        emit_header(
            piece_buf,
            HEADROOM,
            total_length=header_len + size,
            ident=ident,
            flags_fragment=kept | more | unit,
            ttl=ttl,
            proto=proto,
            src=src,
            dst=dst,
            tos=tos,
            options=options,
        )
        pieces.append(_piece(pkt, piece_buf, header_len))
        l4 += size
        unit += size >> 3
        if options and len(pieces) == 1:
            options = fragment_options(options)
    return pieces


def _piece(pkt: Packet, buf: bytearray, header_len: int) -> Packet:
    piece = Packet(buf, HEADROOM, len(buf))
    piece.l3 = HEADROOM
    piece.l4 = HEADROOM + header_len
    piece.vlan, piece.ethertype, piece.family, piece.proto = pkt.vlan, pkt.ethertype, pkt.family, pkt.proto
    piece.mark, piece.crossings, piece.ttl = pkt.mark, pkt.crossings, pkt.ttl
    piece.src, piece.dst, piece.nexthop = pkt.src, pkt.dst, pkt.nexthop
    piece.iif, piece.oif, piece.ct, piece.sock, piece.origin = pkt.iif, pkt.oif, pkt.ct, pkt.sock, pkt.origin
    piece.flags = pkt.flags | FRAGMENT if header_len > MIN_HEADER else (pkt.flags | FRAGMENT) & ~IP_OPTIONS
    return piece
