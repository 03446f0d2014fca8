"""Messages of neighbour discovery as packets, and what is read from those that came.

A message that is made here is a `Packet` from its ICMPv6 header on, checksum done, with ``src dst family proto oif``
and the hop limit of 255 set; who sends it pushes the IPv6 header. ``src`` 0 is ``::`` and stays so.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Protocol

from vrouter.stack.base.addresses import NULL_MAC, V6
from vrouter.stack.base.packet import Packet
from vrouter.stack.wire import ethernet
from vrouter.stack.wire.icmpv6 import REDIRECT, ROUTER_SOLICITATION
from vrouter.stack.wire.ipv6 import HEADER_LEN, MIN_MTU, PROTO_ICMPV6
from vrouter.stack.wire.ndp import HOP_LIMIT, Redirect

if TYPE_CHECKING:
    from vrouter.stack.device import Device
    from vrouter.stack.netns import Netns

_REDIRECT_FIXED: Final = 40  # ICMPv6 header, target, destination
_LINK_OPTION: Final = 8
_QUOTE_HEADER: Final = 8


class Message(Protocol):
    """One of the five values of `wire.ndp`."""

    def emit(self, src: int, dst: int) -> bytearray:
        """The whole ICMPv6 message."""
        ...


def message(dev: Device, src: int, dst: int, value: Message) -> Packet:
    """`value` as a packet to be sent by `dev`."""
    pkt = Packet.for_payload(value.emit(src, dst))
    pkt.family = V6
    pkt.src = src
    pkt.dst = dst
    pkt.proto = PROTO_ICMPV6
    pkt.ttl = HOP_LIMIT
    pkt.oif = dev
    return pkt


def is_ndp(pkt: Packet) -> bool:
    """Whether a message that stands at its ICMPv6 header is one of neighbour discovery."""
    return pkt.proto == PROTO_ICMPV6 and ROUTER_SOLICITATION <= pkt.buf[pkt.start] <= REDIRECT


def is_station(mac: bytes | None) -> bool:
    """Whether a single station can have the link-layer address of an option; true when the option is missing."""
    return mac is None or not (mac[0] & 1 or mac == NULL_MAC)


def frame_source(pkt: Packet) -> bytes:
    """The MAC from which the frame of a packet came; zeros when it came in none."""
    return NULL_MAC if pkt.l2 < 0 else ethernet.src(pkt.buf, pkt.l2)


def build_redirect(ns: Netns, dev: Device, pkt: Packet, target: int, source: int) -> Packet:
    """Tell the sender of `pkt` that `target` is a better first hop to its destination (RFC 4861 8.2).

    `pkt` stands at its IPv6 header (``l3``) and came in by `dev`; `target` is the destination itself when that is on
    the link, else the router's link-local address; `source` is our link-local address at `dev`. The link-layer address
    of the target is told if it is known. What is quoted makes the whole packet `MIN_MTU` bytes at most.
    """
    neigh = ns.neigh6.get(dev, target)
    mac = neigh.mac if neigh is not None and neigh.header is not None else None
    room = MIN_MTU - HEADER_LEN - _REDIRECT_FIXED - _QUOTE_HEADER - (_LINK_OPTION if mac else 0)
    quoted = bytes(memoryview(pkt.buf)[pkt.l3 : min(pkt.end, pkt.l3 + room)])
    return message(dev, source, pkt.src, Redirect(target, pkt.dst, mac, quoted))
