"""The virtio-net header in front of a TAP's frames: what it says is judged against the frame behind it.

Expects: header and frame between ``start`` and ``end``. Sets: ``start`` behind the header; ``gso_size``, ``gso_type``,
``csum_start``, ``csum_offset`` and CSUM_OK as `base.packet` explains them. What is set can be relied on from here on:
a half-finished checksum is that of the TCP or UDP header of a packet that is whole, a superframe has data for more than
one segment, and not for more than `MAX_SEGMENTS`.

Whoever writes the header may lie. The frame dies (False, ``VNET_HDR``) when

- it is cut short;
- the place of the checksum is not in the frame, or in the Ethernet header;
- it says that the frame stands for several, and this was not agreed on, the type is unknown (fragments of UDP by the
  header's type 3 are never asked for), of another protocol or family than the packet, or marked for ECN and not TCP;
- the segments have no size or are more than `MAX_SEGMENTS`; or they would have no checksum: it is neither half-finished
  nor, of TCP, known to be right.

What does no harm is let pass: a checksum that is to be finished elsewhere than in the TCP or UDP header (other
protocols, what is within a tunnel, fragments) is finished here, before anybody looks at the bytes; a superframe that
fits into one segment is none; ``hdr_len`` is only a hint, and flags that are unknown are ignored, as VIRTIO 1.2 5.1.6.2
asks. A wrong sum in front of a half-finished checksum becomes a wrong checksum at the end, for which the receiver drops
the packet.

Read first: VIRTIO 1.2 section 5.1.6; `segmentation`.
"""

from __future__ import annotations

from struct import Struct
from typing import TYPE_CHECKING, Final

from vrouter.stack.base.addresses import BITS, V4, V6
from vrouter.stack.base.packet import CSUM_OK, TCP_CSUM_OFFSET, UDP_CSUM_OFFSET, UDP_LEN
from vrouter.stack.segmentation import finish_checksum, network_offset
from vrouter.stack.wire import ipv4, ipv6
from vrouter.stack.wire.checksum import pseudo_header
from vrouter.stack.wire.ethernet import ETHERTYPE_IPV4, ETHERTYPE_IPV6, HEADER_LEN
from vrouter.stack.wire.ext_headers import NO_FAULT, SKIM, walk
from vrouter.stack.wire.vnet import (
    F_DATA_VALID,
    F_NEEDS_CSUM,
    GSO_ECN,
    GSO_NONE,
    GSO_TCPV4,
    GSO_TCPV6,
    GSO_UDP_L4,
    LEN,
    read_header,
)

if TYPE_CHECKING:
    from vrouter.stack.base.packet import Packet
    from vrouter.stack.device import Device
    from vrouter.stack.wire.buffer import Buffer

# 64 KiB of the smallest segments that TCP makes unless its peer has asked for less.
MAX_SEGMENTS: Final = 1024
MAX_DATAGRAMS: Final = 128  # as Linux, where UDP_SEGMENT takes no more

_TCP_LEN: Final = 20
_CSUM_OFFSET: Final = {ipv4.PROTO_TCP: TCP_CSUM_OFFSET, ipv4.PROTO_UDP: UDP_CSUM_OFFSET}
# GSO type without the ECN bit: protocol, family (0: both), most segments.
_KINDS: Final = {
    GSO_TCPV4: (ipv4.PROTO_TCP, V4, MAX_SEGMENTS),
    GSO_TCPV6: (ipv4.PROTO_TCP, V6, MAX_SEGMENTS),
    GSO_UDP_L4: (ipv4.PROTO_UDP, 0, MAX_DATAGRAMS),
}
_pack_16 = Struct("!H").pack_into
_unpack_type = Struct("!H").unpack_from
# Of a frame without tags and options: EtherType, version and length of the header, total length, fragment, protocol.
_unpack_ipv4 = Struct("!12xHBxH2xHxB").unpack_from
_PLAIN4: Final = 0x45
_WHOLE: Final = 0x3FFF  # of the fragment's word: none of these bits
_FRAME4: Final = HEADER_LEN + ipv4.MIN_HEADER


def vnet_input(dev: Device, pkt: Packet) -> bool:
    """Take the header off and note what it says; False when the frame is to be dropped for it."""
    start, end = pkt.start, pkt.end
    at = start + LEN
    if at > end:
        return False
    pkt.start = at
    buf = pkt.buf
    flags, gso_type, _, size, csum_start, csum_offset, _ = read_header(buf, start)
    if flags & F_NEEDS_CSUM:
        where = at + csum_start
        if csum_start < HEADER_LEN or where + csum_offset + 2 > end:
            return False
        if gso_type == GSO_NONE:
            pkt.csum_start, pkt.csum_offset = where, csum_offset
            if not _is_plain_ipv4(buf, at, end, csum_start, csum_offset):
                found = transport(buf, at, end)
                if found is None or (found[0], _CSUM_OFFSET[found[1]]) != (where, csum_offset):
                    finish_checksum(pkt)
                else:
                    pkt.end = found[3]  # padding is not summed up
            return True
    elif gso_type == GSO_NONE:
        if flags & F_DATA_VALID:
            pkt.flags |= CSUM_OK
        return True
    return _superframe(dev, pkt, flags, gso_type, size, csum_start, csum_offset)


def _is_plain_ipv4(buf: Buffer, at: int, end: int, csum_start: int, csum_offset: int) -> bool:
    """Whether the checksum is that of TCP or UDP behind an IPv4 header without options: nearly every packet."""
    if csum_start != _FRAME4:
        return False
    ethertype, length, total, word, proto = _unpack_ipv4(buf, at)
    return (
        ethertype == ETHERTYPE_IPV4
        and length == _PLAIN4
        and not word & _WHOLE
        and _CSUM_OFFSET.get(proto) == csum_offset
        and ipv4.MIN_HEADER + csum_offset + 2 <= total == end - at - HEADER_LEN
    )


def transport(buf: Buffer, start: int, end: int) -> tuple[int, int, int, int] | None:
    """(offset, protocol, family, end of the packet) of the TCP or UDP header of the frame in ``buf[start:end]``; None
    when there is none, it is not whole, or the packet is a fragment."""
    l3 = network_offset(buf, start, end)
    if l3 < 0:
        return None
    ethertype = _unpack_type(buf, l3 - 2)[0]
    if ethertype == ETHERTYPE_IPV4 and end - l3 >= ipv4.MIN_HEADER:
        l4, last = l3 + ((buf[l3] & 0x0F) << 2), l3 + ipv4.total_length(buf, l3)
        if buf[l3] >> 4 != V4 or l4 < l3 + ipv4.MIN_HEADER or ipv4.flags_fragment(buf, l3) & _WHOLE:
            return None
        proto, family = ipv4.proto(buf, l3), V4
    elif ethertype == ETHERTYPE_IPV6 and end - l3 >= ipv6.HEADER_LEN:
        last = l3 + ipv6.HEADER_LEN + ipv6.payload_length(buf, l3)
        if buf[l3] >> 4 != V6 or last > end:
            return None
        chain = walk(buf, l3, last, SKIM)
        if chain.fault != NO_FAULT or chain.fragment >= 0:
            return None
        l4, proto, family = chain.offset, chain.proto, V6
    else:
        return None
    if last > end or l4 + (_TCP_LEN if proto == ipv4.PROTO_TCP else UDP_LEN) > last or proto not in _CSUM_OFFSET:
        return None
    return l4, proto, family, last


def _superframe(dev: Device, pkt: Packet, flags: int, gso_type: int, size: int, csum_start: int, offset: int) -> bool:
    """The rest of `vnet_input` for a frame that stands for several."""
    buf, start = pkt.buf, pkt.start
    kind = _KINDS.get(gso_type & ~GSO_ECN)
    found = transport(buf, start, pkt.end)
    if kind is None or found is None or not size or not dev.offload:
        return False
    proto, of_family, most = kind
    l4, carried, family, end = found
    if carried != proto or (of_family and family != of_family) or (gso_type & GSO_ECN and not of_family):
        return False
    if flags & F_NEEDS_CSUM:
        if (start + csum_start, offset) != (l4, _CSUM_OFFSET[proto]):
            return False
    elif proto == ipv4.PROTO_UDP or not flags & F_DATA_VALID or not _open_checksum(buf, start, l4, end, family):
        return False
    pkt.end = end
    pkt.csum_start, pkt.csum_offset = l4, _CSUM_OFFSET[proto]
    data_at = pkt.payload_at()
    if data_at > end or (proto == ipv4.PROTO_TCP and data_at < l4 + _TCP_LEN):
        return False
    if size >= end - data_at:
        return True
    pkt.gso_size, pkt.gso_type = size, gso_type
    return pkt.segments() <= most


def _open_checksum(buf: Buffer, start: int, l4: int, end: int, family: int) -> bool:
    """Make the finished checksum of a TCP superframe, which is right, a half-finished one; False when a routing header
    leaves open for which addresses."""
    l3 = network_offset(buf, start, end)
    if family == V4:
        src, dst = ipv4.src(buf, l3), ipv4.dst(buf, l3)
    else:
        if walk(buf, l3, end, SKIM).segments_left:
            return False
        src, dst = ipv6.src(buf, l3), ipv6.dst(buf, l3)
    total = pseudo_header(src, dst, ipv4.PROTO_TCP, end - l4, BITS[family])
    _pack_16(buf, l4 + TCP_CSUM_OFFSET, total)
    return True
