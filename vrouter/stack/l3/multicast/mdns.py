"""Multicast DNS between links: what is asked and answered on one is said again on the others (off by default).

Multicast DNS is of one link: its groups are never forwarded, and who hears it believes only neighbours (RFC 6762 11).
So a message is not forwarded but said again: the same payload in a new packet from an address of the router on the
other link, port 5353, with TTL 255. Its first byte to its last are kept but for one bit: a question that asks for an
answer to its sender alone (RFC 6762 5.4) is made one to all, since the answer would come to this router and end here.
Answers of unicast and questions from other ports than 5353 (RFC 6762 6.7) are therefore not carried.

A message from an address of this namespace is not said again. Two routers that both join the same two links would say
everything for ever: each device may hear `BURST` messages at once and `RATE` in a second, and what passes from
namespace to namespace within this router ends after as many crossings as any packet.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from vrouter.stack.base.addresses import BITS, MAX6, V4, V6
from vrouter.stack.base.packet import LOCAL_OUT, Packet
from vrouter.stack.wire import udp
from vrouter.stack.wire.ipv4 import PROTO_UDP

if TYPE_CHECKING:
    from vrouter.stack.device import Device

PORT: Final = 5353
TTL: Final = 255
GROUPS: Final = {V4: 0xE00000FB, V6: 0xFF02 << 112 | 0xFB}
RATE: Final = 100
BURST: Final = 100
_SECOND: Final = 1_000_000_000
_COST: Final = _SECOND // RATE
_DNS_HEADER: Final = 12
_MAX_QUESTIONS: Final = 64
_MAX_NAME: Final = 255


class MdnsReflector:
    """The links of one namespace that hear one another."""

    __slots__ = ("_busy_until", "devices", "messages", "refused")

    def __init__(self, devices: list[Device]) -> None:
        self.devices = devices
        self._busy_until: dict[Device, int] = dict.fromkeys(devices, 0)
        self.messages = self.refused = 0

    def hears(self, pkt: Packet) -> bool:
        """Whether a whole UDP packet is a message that is to be said again. ``l4`` is at its UDP header."""
        buf, off = pkt.buf, pkt.l4
        return (
            pkt.iif in self._busy_until
            and pkt.dst == GROUPS[pkt.family]
            and pkt.end - off >= udp.HEADER_LEN + _DNS_HEADER
            and udp.src_port(buf, off) == udp.dst_port(buf, off) == PORT
            and udp.HEADER_LEN + _DNS_HEADER <= udp.length(buf, off) <= pkt.end - off
        )

    def allows(self, dev: Device, now: int) -> bool:
        """Whether `dev` may have one more message said again."""
        busy = max(self._busy_until[dev], now)
        if busy - now > (BURST - 1) * _COST:
            self.refused += 1
            return False
        self._busy_until[dev] = busy + _COST
        self.messages += 1
        return True

    def others(self, dev: Device) -> list[Device]:
        """Where what `dev` heard is said again."""
        return [one for one in self.devices if one is not dev and one.ready]


def say_again(pkt: Packet, dev: Device, source: int) -> Packet:
    """The message of `pkt` as one of ours, from `source` by `dev`, from its UDP header on."""
    start, end = pkt.l4, pkt.l4 + udp.length(pkt.buf, pkt.l4)
    again = Packet.for_payload(memoryview(pkt.buf)[start:end])
    again.family, again.proto, again.ttl, again.oif = pkt.family, PROTO_UDP, TTL, dev
    again.src, again.dst = source, pkt.dst
    again.crossings, again.flags = pkt.crossings, LOCAL_OUT
    off = again.start
    _ask_all(again.buf, off + udp.HEADER_LEN, again.end)
    udp.emit(again.buf, off, again.end, PORT, PORT, source & MAX6, pkt.dst, BITS[pkt.family])
    return again


def _ask_all(buf: bytearray, at: int, end: int) -> None:
    """Take the bit for an answer by unicast out of each question of a query (RFC 6762 5.4, 18.12)."""
    if buf[at + 2] & 0x80:
        return  # an answer
    count = buf[at + 4] << 8 | buf[at + 5]
    at += _DNS_HEADER
    for _ in range(min(count, _MAX_QUESTIONS)):
        behind = _behind_name(buf, at, end)
        if behind < 0 or behind + 4 > end:
            return
        buf[behind + 2] &= 0x7F
        at = behind + 4


def _behind_name(buf: bytearray, at: int, end: int) -> int:
    """Where a DNS name ends; -1 when it is malformed (RFC 1035 4.1.4)."""
    for _ in range(_MAX_NAME):
        if at >= end:
            return -1
        length = buf[at]
        if length >> 6 == 3:
            return at + 2
        if length >> 6:
            return -1
        at += 1 + length
        if not length:
            return at
    return -1
