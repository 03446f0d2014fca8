"""The one packet representation.

A packet is one ``bytearray`` with headroom in front, and absolute offsets into it::

    buf     0        start           l2         l3        l4                end     len(buf)
            +----------+-------------+----------+---------+-----------------+---------+
            | headroom | (vnet hdr)  | ethernet | network | transport, data | padding |
            +----------+-------------+----------+---------+-----------------+---------+

``start`` and ``end`` bound what the current layer owns: the frame at the device, the IP packet in layer 3 and above.
An offset is -1 until its layer's input (or output) has set it. A packet has one owner at a time: forwarding rewrites it
in place, and who needs a second one calls `copy`.

There is no pool: a fresh ``bytearray`` and object cost less than taking one from a list and clearing its fields, and
the accounts of `counters` find a lost packet as surely as a pool's outstanding count would.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from vrouter.stack.device import Device

HEADROOM: Final = 128
PAD: Final = bytes(HEADROOM)

# Flags. The first three are Linux's pkt_type: who the frame was for, seen at the link layer (none set: this host).
LINK_BROADCAST: Final = 0x01
LINK_MULTICAST: Final = 0x02
LOCAL_OUT: Final = 0x04  # a socket or the stack of this process made it
FORWARDED: Final = 0x08
IP_OPTIONS: Final = 0x10  # the network header carries options
REASSEMBLED: Final = 0x20
CSUM_OK: Final = 0x40  # the transport checksum needs no check (lo, crossing, or the device vouches for it)
DONT_FRAGMENT: Final = 0x80
ROUTER_ALERT: Final = 0x200
FRAGMENT: Final = 0x400  # a piece of a larger datagram
CONFIRM: Final = 0x800  # the sender vouches that the next hop is reachable (MSG_CONFIRM)
LINK_GROUP: Final = LINK_BROADCAST | LINK_MULTICAST

TCP_CSUM_OFFSET: Final = 16  # where a transport header has its checksum
UDP_CSUM_OFFSET: Final = 6
UDP_LEN: Final = 8


class Packet:
    """One packet and what the layers found out about it.

    ``src``/``dst`` are ints of the family's width; ``iif`` is the port it came in by (a device, or a crossing;
    None when it was made here), ``oif`` the device it leaves by; ``nexthop`` an address of ``family``.
    ``origin`` are the short-cuts by which it came, first to last.

    A superframe stands for several segments of one flow: ``gso_size`` is how many bytes of data each of them but the
    last has (0: it is no superframe), ``gso_type`` which protocol's they are (`wire.vnet`). Its checksum is always
    half-finished. A half-finished checksum holds the sum of the pseudo-header, not complemented; what is still to be
    summed up begins at ``csum_start`` (an absolute offset: the transport header; -1: the checksum is complete), and the
    result belongs ``csum_offset`` bytes behind it.
    """

    __slots__ = (
        "buf",
        "crossings",
        "csum_offset",
        "csum_start",
        "ct",
        "dst",
        "end",
        "ethertype",
        "family",
        "flags",
        "gso_size",
        "gso_type",
        "iif",
        "l2",
        "l3",
        "l4",
        "mark",
        "nexthop",
        "oif",
        "origin",
        "proto",
        "reason",
        "sock",
        "src",
        "start",
        "ttl",
        "vlan",
    )

    def __init__(self, buf: bytearray, start: int, end: int) -> None:
        self.buf = buf
        self.start = start
        self.end = end
        self.l2 = self.l3 = self.l4 = self.vlan = self.csum_start = -1
        self.ethertype = self.family = self.proto = self.flags = self.mark = self.crossings = self.reason = 0
        self.src = self.dst = self.nexthop = self.ttl = 0
        self.gso_size = self.gso_type = self.csum_offset = 0
        self.iif: Any = None
        self.oif: Device | None = None
        self.origin: tuple[Any, ...] = ()
        self.ct: Any = None
        self.sock: Any = None

    @classmethod
    def from_frame(cls, frame: bytes | bytearray | memoryview) -> Packet:
        """A packet that owns a copy of `frame`, with headroom in front of it."""
        buf = bytearray(PAD)
        buf += frame
        return cls(buf, HEADROOM, len(buf))

    @classmethod
    def for_payload(cls, payload: bytes | bytearray | memoryview) -> Packet:
        """A packet made here: `payload` with headroom for every header that output pushes in front of it."""
        packet = cls.from_frame(payload)
        packet.flags = LOCAL_OUT
        return packet

    def __len__(self) -> int:
        return self.end - self.start

    def data(self) -> bytes:
        """The bytes between ``start`` and ``end``."""
        return bytes(memoryview(self.buf)[self.start : self.end])

    def copy(self) -> Packet:
        """An independent packet with the same bytes and metadata (flooding, multicast, local copies)."""
        other = Packet.__new__(Packet)
        other.buf = bytearray(self.buf)
        other.start, other.end = self.start, self.end
        other.l2, other.l3, other.l4, other.vlan = self.l2, self.l3, self.l4, self.vlan
        other.ethertype, other.family, other.proto = self.ethertype, self.family, self.proto
        other.flags, other.mark, other.crossings, other.reason = self.flags, self.mark, self.crossings, 0
        other.src, other.dst, other.nexthop, other.ttl = self.src, self.dst, self.nexthop, self.ttl
        other.iif, other.oif, other.ct = self.iif, self.oif, self.ct
        other.sock, other.origin = self.sock, self.origin
        other.gso_size, other.gso_type = self.gso_size, self.gso_type
        other.csum_start, other.csum_offset = self.csum_start, self.csum_offset
        return other

    def segments(self) -> int:
        """How many packets of a wire this one stands for."""
        if not self.gso_size:
            return 1
        return max(-(-(self.end - self.payload_at()) // self.gso_size), 1)

    def wire_bytes(self) -> int:
        """How many bytes a wire carries for it, counted from ``start``: each segment has headers of its own."""
        return self.end - self.start + (self.segments() - 1) * (self.payload_at() - self.start)

    def longest(self) -> int:
        """The bytes from ``start`` on of the longest packet that it stands for: what an MTU is compared with."""
        size = self.end - self.start
        return min(size, self.payload_at() - self.start + self.gso_size) if self.gso_size else size

    def payload_at(self) -> int:
        """Where the data begins behind the transport header of a half-finished checksum: of TCP, else of UDP."""
        at = self.csum_start
        return at + (self.buf[at + 12] >> 4 << 2) if self.csum_offset == TCP_CSUM_OFFSET else at + UDP_LEN

    def make_headroom(self, size: int) -> None:
        """Make at least `size` bytes free in front of ``start`` (tunnels stacked deeper than the usual headroom)."""
        missing = size - self.start
        if missing > 0:
            shift = missing + HEADROOM
            self.buf[0:0] = bytes(shift)
            self.start += shift
            self.end += shift
            self.l2 += shift if self.l2 >= 0 else 0
            self.l3 += shift if self.l3 >= 0 else 0
            self.l4 += shift if self.l4 >= 0 else 0
            self.csum_start += shift if self.csum_start >= 0 else 0
