"""Reassembly: fragments wait here until their datagram is whole, or has to be given up.

Expects: fragments with ``l3`` at the network header, ``l4`` at the first byte that the fragment carries and ``end``
behind the last one. The caller reads the family's header and hands in the key of the datagram (IPv4: source,
destination, protocol, identification; IPv6: the same without the protocol, `fragment_key6`) with offset and "more
fragments"; what else differs is a `Codec`. Gives: the whole datagram, as the packet of the first fragment with its
metadata, or a verdict on the fragment. Whatever happens to fragments that were taken earlier stands in ``actions``, for
the pipeline to carry out.

What holds a datagram together:

- Completeness is RFC 815's without its holes: no two accepted fragments overlap, so the datagram is whole when as many
  bytes came as the last fragment says. Fragments stand in order of offset.
- An exact duplicate, bytes included, is dropped alone (`DUP_FRAG`). Any other overlap gives the whole datagram up, as
  RFC 5722 section 4 demands for IPv6: nobody honest sends it, and which copy wins is what attacks are made of. Tiny
  first fragments (RFC 1858) and overlaps over their header (RFC 3128) come to nothing by the same rule, for transport
  headers are read from the whole datagram only.
- Fragments that contradict each other about the datagram's end give it up as well.
- A datagram that was given up stays known, without its fragments, until its time is over, so that late fragments of it
  do not start another one (`FRAG_TOO_FAR`).
- The time is fixed and counts from the first fragment that came (RFC 1122 3.3.2), whatever the packets' TTL. The sender
  is told (ICMP Time Exceeded, code 1) only when the fragment with offset 0 is there to be quoted: action ``expired``.
- Memory is bounded by ``ipfrag_high_thresh`` (``ip6frag_high_thresh``) for each namespace and family; the oldest
  datagrams go first (`FRAG_MEM`).
- Of an IPv6 datagram the headers in front of the fragment header and the number of the next one are those of the
  fragment with offset 0, whatever the others say (RFC 8200 4.5); `ext_headers.fragment_input` has judged each.

Deviation: RFC 1122 3.3.2 recommends 60 to 120 s; the default is Linux's 30 s. IPv6's 60 s are RFC 8200 4.5's.

Read first: RFC 791 section 3.2, RFC 815, RFC 1122 3.3.2, RFC 8200 4.5, RFC 5722, RFC 3168 5.3.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import OrderedDict
from collections.abc import Callable
from typing import TYPE_CHECKING, Final, NamedTuple

from vrouter.stack.base.counters import Stat
from vrouter.stack.base.drop import DropReason
from vrouter.stack.base.packet import (
    CSUM_OK,
    DONT_FRAGMENT,
    FRAGMENT,
    HEADROOM,
    IP_OPTIONS,
    LINK_GROUP,
    PAD,
    REASSEMBLED,
    Packet,
)
from vrouter.stack.base.timers import Timer, TimerKind
from vrouter.stack.l3.ext_headers import fragment_namer
from vrouter.stack.wire import ipv4, ipv6
from vrouter.stack.wire.ipv4 import MAX_PACKET

if TYPE_CHECKING:
    from vrouter.stack.netns import Netns

Key = tuple[int | tuple[object, ...], ...]

QUEUED: Final = 0
DROP: Final = "drop"
EXPIRED: Final = "expired"
MAX_FRAGMENTS: Final = 2048  # a whole datagram over links of MTU 68 has 1366
PACKET_COST: Final = 512  # bytes that a held packet takes beside its buffer
QUEUE_COST: Final = 512

_DUP_FRAG: Final = int(DropReason.DUP_FRAG)
_FRAG_INVALID: Final = int(DropReason.FRAG_INVALID)
_FRAG_OVERLAP: Final = int(DropReason.FRAG_OVERLAP)
_FRAG_TOO_FAR: Final = int(DropReason.FRAG_TOO_FAR)
_FRAG_REASM_TIMEOUT: Final = int(DropReason.FRAG_REASM_TIMEOUT)
_FRAG_MEM: Final = int(DropReason.FRAG_MEM)
_NS_CLOSING: Final = int(DropReason.NS_CLOSING)

_NOT_ECT: Final = 1 << 0
_CE: Final = 1 << 3
_CONGESTED: Final = 3  # both ECN bits


class Queue:
    """The fragments of one datagram that have come; ``length`` is its bytes of data, -1 while the last is missing."""

    __slots__ = (
        "given_up",
        "got",
        "high",
        "high_more",
        "key",
        "length",
        "memory",
        "offsets",
        "packets",
        "table",
        "timer",
    )

    def __init__(self, table: Reassembler, key: Key) -> None:
        self.table = table
        self.key = key
        self.timer = Timer(TimerKind.REASSEMBLY, self)
        self.offsets: list[int] = []  # in order, and beside it the packets
        self.packets: list[Packet] = []
        self.length = -1
        self.got = 0  # bytes of data
        self.high = 0  # end of the last byte that came
        self.high_more = 0  # the same among fragments that say that more follows
        self.memory = QUEUE_COST
        self.given_up = False


class Reassembler:
    """All datagrams of one family in one namespace that are not whole yet.

    ``actions`` holds (``drop`` or ``expired``, packet, reason) for held fragments that died; the packet of ``expired``
    is the one with offset 0, dies as well, and can be quoted to its sender. ``held`` counts the packets that wait,
    ``memory`` their bytes.
    """

    __slots__ = ("_absorbed", "_codec", "_queues", "actions", "held", "memory", "ns")

    def __init__(self, ns: Netns, codec: Codec | None = None) -> None:
        self.ns = ns
        self._codec = IPV4 if codec is None else codec
        self._queues: OrderedDict[Key, Queue] = OrderedDict()  # oldest first; the first of a dict is not found in O(1)
        self._absorbed = 0
        self.actions: list[tuple[str, Packet, int]] = []
        self.held = 0
        self.memory = 0

    def __len__(self) -> int:
        return len(self._queues)

    def input(self, key: Key, pkt: Packet, offset: int, more: bool, now: int) -> Packet | int:
        """Take a fragment with data from `offset` (bytes): the whole datagram, `QUEUED`, or the reason to drop it.

        The datagram is the packet of its first fragment; the others are gone, and counted in `take_absorbed`.
        """
        size = pkt.end - pkt.l4
        end = offset + size
        if size <= 0 or (more and size & 7) or pkt.l4 - pkt.l3 + end > self._codec.longest:
            return _FRAG_INVALID
        queue = self._queues.get(key)
        index = 0
        if queue is not None:
            if queue.given_up:
                return _FRAG_TOO_FAR
            if more:
                if 0 <= queue.length <= end:
                    return self._give_up(queue, _FRAG_INVALID)
            elif end <= queue.high_more or end < queue.high or 0 <= queue.length != end:
                return self._give_up(queue, _FRAG_INVALID)
            offsets, packets = queue.offsets, queue.packets
            index = len(offsets)
            if offset < queue.high:
                index = bisect_left(offsets, offset)
                if index < len(offsets):
                    if offsets[index] == offset and _same_data(packets[index], pkt):
                        return _DUP_FRAG
                    if offsets[index] < end:
                        return self._give_up(queue, _FRAG_OVERLAP)
                if index:
                    before = packets[index - 1]
                    if offsets[index - 1] + before.end - before.l4 > offset:
                        return self._give_up(queue, _FRAG_OVERLAP)
            if len(offsets) == MAX_FRAGMENTS:
                return self._give_up(queue, _FRAG_MEM)
        cost = len(pkt.buf) + PACKET_COST
        if not self._make_room(cost if queue is not None else cost + QUEUE_COST, queue):
            self.ns.stats[self._codec.fails] += 1
            return _FRAG_MEM
        if queue is None:
            queue = self._open(key, now)
        queue.offsets.insert(index, offset)
        queue.packets.insert(index, pkt)
        if more:
            queue.high_more = max(queue.high_more, end)
        else:
            queue.length = end
        queue.high = max(queue.high, end)
        queue.got += size
        queue.memory += cost
        self.memory += cost
        self.held += 1
        return self._complete(queue, index) if queue.got == queue.length else QUEUED

    def take_absorbed(self) -> int:
        """How many packets have become part of another one since the last call."""
        count, self._absorbed = self._absorbed, 0
        return count

    def timer_fired(self, queue: Queue, now: int) -> None:
        """The time of a datagram is over: what came of it dies, and the sender of its beginning is told (RFC 792)."""
        if self._queues.get(queue.key) is not queue:
            return
        first = bool(queue.offsets) and queue.offsets[0] == 0
        start = len(self.actions)
        self._close(queue, _FRAG_REASM_TIMEOUT)
        if first:
            self.actions[start] = (EXPIRED, queue.packets[0], _FRAG_REASM_TIMEOUT)

    def purge(self, reason: int = _NS_CLOSING) -> None:
        """Give every datagram up and forget it."""
        for queue in list(self._queues.values()):
            self._close(queue, reason)

    def _open(self, key: Key, now: int) -> Queue:
        queue = self._queues[key] = Queue(self, key)
        self.memory += QUEUE_COST
        self.ns.stack.timers.arm(queue.timer, now + self.ns.conf.of(self._codec.family).frag_time)
        return queue

    def _make_room(self, cost: int, queue: Queue | None) -> bool:
        """Let go of the oldest datagrams until `cost` bytes fit; False when they cannot, or only without `queue`."""
        limit = self.ns.conf.of(self._codec.family).frag_high_thresh - cost
        if self.memory <= limit:
            return True
        if limit >= 0:
            while self._queues:
                oldest = next(iter(self._queues.values()))
                self._close(oldest, _FRAG_MEM)
                if oldest is queue:
                    return False
                if self.memory <= limit:
                    return True
        return False

    def _give_up(self, queue: Queue, reason: int) -> int:
        """Let go of the fragments, but know the datagram until its time is over; returns `reason`."""
        self._release(queue, reason)
        self.memory -= queue.memory - QUEUE_COST
        queue.memory = QUEUE_COST
        queue.offsets, queue.packets = [], []
        queue.given_up = True
        return reason

    def _close(self, queue: Queue, reason: int) -> None:
        """Let go of the fragments and forget the datagram."""
        if not queue.given_up:
            self._release(queue, reason)
        self._forget(queue)

    def _release(self, queue: Queue, reason: int) -> None:
        self.actions += [(DROP, pkt, reason) for pkt in queue.packets]
        self.held -= len(queue.packets)
        self.ns.stats[self._codec.fails] += 1

    def _forget(self, queue: Queue) -> None:
        self.ns.stack.timers.cancel(queue.timer)
        del self._queues[queue.key]
        self.memory -= queue.memory

    def _complete(self, queue: Queue, arrived: int) -> Packet | int:
        """Join the fragments behind the header of the first one; `arrived` is the place of the one that came now."""
        packets = queue.packets
        first = packets[0]
        ecn_of = self._codec.ecn
        seen = groups = 0
        vouched = CSUM_OK
        for pkt in packets:
            seen |= 1 << ecn_of(pkt)
            groups |= pkt.flags & LINK_GROUP
            vouched &= pkt.flags
        if first.l4 - first.l3 + queue.length > self._codec.longest or (seen & _NOT_ECT and seen != _NOT_ECT):
            # Too long with the first one's options; or a mixture that RFC 3168 5.3 forbids to mark, and Linux drops.
            del packets[arrived]
            self.held -= 1
            return self._give_up(queue, _FRAG_INVALID)
        buf = bytearray(PAD)
        buf += memoryview(first.buf)[first.l3 : first.end]
        for pkt in packets[1:]:
            buf += memoryview(pkt.buf)[pkt.l4 : pkt.end]
        first.l4 += HEADROOM - first.l3
        first.buf = buf
        first.start = first.l3 = HEADROOM
        first.end = len(buf)
        first.l2 = -1
        first.csum_start = -1
        first.flags = first.flags & ~(FRAGMENT | DONT_FRAGMENT | CSUM_OK) | groups | vouched | REASSEMBLED
        self._codec.finish(first, bool(seen & _CE))
        self.held -= len(packets)
        self._absorbed += len(packets) - 1
        self._forget(queue)
        return first


def _same_data(one: Packet, other: Packet) -> bool:
    return (
        one.end - one.l4 == other.end - other.l4
        and memoryview(one.buf)[one.l4 : one.end] == memoryview(other.buf)[other.l4 : other.end]
    )


def ecn_ipv4(pkt: Packet) -> int:
    """The two bits of RFC 3168."""
    return pkt.buf[pkt.l3 + 1] & 3


def finish_ipv4(pkt: Packet, congested: bool) -> None:
    """Make an IPv4 header that of a whole datagram: length, flags and offset, and the Congestion Experienced mark."""
    buf, l3 = pkt.buf, pkt.l3
    ipv4.set_total_length(buf, l3, pkt.end - l3)
    ipv4.set_flags_fragment(buf, l3, ipv4.flags_fragment(buf, l3) & ipv4.DF)
    if congested:
        ipv4.set_tos(buf, l3, ipv4.tos(buf, l3) | _CONGESTED)
    ipv4.set_header_checksum(buf, l3, pkt.l4 - l3)


def fragment_key6(pkt: Packet) -> tuple[Key, int, bool]:
    """The datagram that an IPv6 fragment belongs to, the offset of its data in bytes, and "more fragments"."""
    buf, at = pkt.buf, pkt.l4 - ipv6.FRAGMENT_LEN
    key = (pkt.src, pkt.dst, ipv6.fragment_ident(buf, at), pkt.origin)
    return key, ipv6.fragment_offset(buf, at), ipv6.fragment_more(buf, at)


def ecn_ipv6(pkt: Packet) -> int:
    """The two bits of RFC 3168."""
    return ipv6.traffic_class(pkt.buf, pkt.l3) & 3


def finish_ipv6(pkt: Packet, congested: bool) -> None:
    """Take the fragment header out: what stands before it moves up to the data (RFC 8200 4.5)."""
    buf, l3 = pkt.buf, pkt.l3
    fragment = pkt.l4 - ipv6.FRAGMENT_LEN
    pkt.proto = buf[fragment]
    buf[fragment_namer(buf, l3, fragment)] = pkt.proto
    after = l3 + ipv6.FRAGMENT_LEN
    buf[after : pkt.l4] = buf[l3:fragment]
    pkt.start = pkt.l3 = after
    ipv6.set_payload_length(buf, after, pkt.end - after - ipv6.HEADER_LEN)
    if congested:
        ipv6.set_traffic_class(buf, after, ipv6.traffic_class(buf, after) | _CONGESTED)
    pkt.flags |= IP_OPTIONS  # what is behind the fragment header has not been looked at


class Codec(NamedTuple):
    """What reassembly asks of a family: a fragment's ECN bits; to make the first one's header the datagram's; how far
    data may reach from the network header of a fragment; the number of the family and of its counter of failures."""

    ecn: Callable[[Packet], int]
    finish: Callable[[Packet, bool], None]
    longest: int
    family: int
    fails: int


IPV4: Final = Codec(ecn_ipv4, finish_ipv4, MAX_PACKET, 4, int(Stat.IpReasmFails))
IPV6: Final = Codec(ecn_ipv6, finish_ipv6, ipv6.MAX_PACKET + ipv6.FRAGMENT_LEN, 6, int(Stat.Ip6ReasmFails))
