"""One probe under way, and what comes of it.

A `Case` has addresses, a MAC, an IP identification and a flow label of its own, by which every answer is told whose it
is. It makes packets of the family of its phase: ``c.udp(dst)`` is IPv4 or IPv6.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from vrouter.testing import frames
from vrouter.testing.match import describe

V4, V6 = 4, 6
ROUTER_A, ROUTER_B = "02:00:00:00:00:01", "02:00:00:00:00:02"
HOST_A, HOST_B = "02:00:00:00:00:0a", "02:00:00:00:00:0b"
LOCAL_A, LOCAL_B = "fe80::ff:fe00:1", "fe80::ff:fe00:2"  # the router's, made of its MACs


class Whole(bytes):
    """A frame that a probe wants on the wire as it is."""


@dataclass(slots=True)
class Case:
    """One probe under way to one router."""

    number: int
    family: int = V4
    sent: list[bytes] = field(default_factory=list)
    answers: list[Answer] = field(default_factory=list)
    asks: str = ""  # the group whose listeners it asks for

    @property
    def src(self) -> str:
        """Its own source address."""
        if self.family == V6:
            return f"fd00:1::1:{self.number:x}"
        return f"10.1.{1 + self.number // 100}.{100 + self.number % 100}"

    @property
    def local(self) -> str:
        """Its own link-local address."""
        return f"fe80::1:{self.number:x}"

    @property
    def ident(self) -> int:
        """Its own IP identification, and that of its ICMP queries."""
        return 0x4000 + self.number

    @property
    def label(self) -> int:
        """Its own flow label."""
        return 0x40000 + self.number

    @property
    def mac(self) -> str:
        """Its own MAC address, used by ARP cases and those of neighbour discovery."""
        return f"02:00:00:01:{self.number >> 8:02x}:{self.number & 255:02x}"

    @property
    def deaf(self) -> str:
        """An address of its own on B that nobody answers for."""
        if self.family == V6:
            return f"fd00:2::dead:{self.number:x}"
        return f"10.2.{70 + self.number // 200}.{1 + self.number % 200}"

    def ip(self, dst: str, proto: int, payload: bytes = b"", *, src: str = "", ttl: int = 9, **header: Any) -> bytes:
        """An IP packet of this case."""
        if self.family == V6:
            given = {"flow_label": self.label, "hop_limit": ttl, "traffic_class": header.pop("tos", 0), **header}
            return frames.ipv6(src or self.src, dst, proto, payload, **given)
        return frames.ipv4(src or self.src, dst, proto, payload, ttl=ttl, **{"ident": self.ident, **header})

    def udp(self, dst: str, size: int = 18, *, src: str = "", dport: int = 9, **header: Any) -> bytes:
        """A UDP packet of this case with `size` bytes in it."""
        data = bytes(at * 7 & 255 for at in range(size))
        return self.ip(dst, frames.UDP, frames.udp(src or self.src, dst, 1111, dport, data), src=src, **header)

    def icmp(self, dst: str, type_: int, code: int = 0, payload: bytes = b"", *, src: str = "", **header: Any) -> bytes:
        """An ICMP query of this case."""
        if self.family == V6:
            message = frames.icmp6(src or self.src, dst, type_, code, self.ident << 16 | 7, payload)
            return self.ip(dst, frames.ICMPV6, message, src=src, **header)
        return self.ip(dst, frames.ICMP, frames.icmp(type_, code, self.ident << 16 | 7, payload), src=src, **header)

    def echo(self, dst: str, size: int = 8, **header: Any) -> bytes:
        """An echo request of this case."""
        data = bytes(at * 5 & 255 for at in range(size))
        return self.icmp(dst, frames.ECHO6 if self.family == V6 else 8, 0, data, **header)

    def error(self, dst: str, type_: int, code: int = 0, **header: Any) -> bytes:
        """An ICMP error about a packet that the destination might have sent."""
        if self.family == V6:
            about = frames.ipv6_udp(dst, self.src, 9, 9)
            return self.ip(dst, frames.ICMPV6, frames.icmp6_error(self.src, dst, type_, code, about), **header)
        quoted = frames.ipv4_udp(dst, self.src, 9, 9)
        return self.ip(dst, frames.ICMP, frames.icmp_error(type_, code, quoted), **header)

    def arp(self, tpa: str, op: int = 1, *, spa: str = "", dst: str = frames.BROADCAST, **wrong: Any) -> Whole:
        """An ARP frame of this case."""
        sha = wrong.pop("sha", self.mac)
        packet = frames.arp(op, sha, spa or self.src, frames.ZERO_MAC, tpa, **wrong)
        return Whole(frames.ethernet(dst, self.mac, frames.ARP, packet, pad=True))

    def link(self, dst_mac: bytes | str, packet: bytes, src_mac: str = HOST_A) -> Whole:
        """A packet in a frame to `dst_mac`."""
        ethertype = frames.IPV6 if self.family == V6 else frames.IPV4
        return Whole(frames.ethernet(dst_mac, src_mac, ethertype, packet))


Probe = Callable[[Case], "bytes | list[bytes]"]


@dataclass(frozen=True)
class Answer:
    """One frame that came of a case, comparable: what two routers may choose freely is zero in it.

    That are the identification of packets that the router made, and with it their header checksum; that a checksum is
    right stands in the text. Times (timestamp options and messages) are zero too.
    """

    where: str
    frame: bytes
    text: str = field(compare=False)

    def __repr__(self) -> str:
        return f"{self.where}: {self.text}"


def answer_of(where: str, frame: bytes, made: bool) -> Answer:
    """The answer that `frame` is; `made` by the router, otherwise forwarded."""
    neutral = _neutral6 if frame[12:14] == b"\x86\xdd" else _neutral
    return Answer(where, neutral(frame, made), describe(frame))


def _neutral6(frame: bytes, made: bool) -> bytes:
    """Without the identification of fragments, and with the records of a listener report in order."""
    if made and frame[20] == frames.FRAGMENT:
        return frame[:58] + bytes(4) + frame[62:]
    if made and frame[20] == frames.HOPOPTS and frame[62] == 143:
        return frame[:70] + b"".join(sorted(frame[at : at + 20] for at in range(70, len(frame), 20)))
    return frame


def _neutral(frame: bytes, made: bool) -> bytes:
    data = bytearray(frame)
    header_len = (data[14] & 15) * 4
    if made:
        data[18:20] = data[24:26] = b"\0\0"
    if made and data[23] == frames.ICMP and data[14 + header_len] == 14:
        at = 14 + header_len
        data[at + 2 : at + 4] = bytes(2)
        data[at + 12 : at + 20] = bytes(8)
    if 0x44 in data[34 : 14 + header_len]:
        _neutral_timestamps(data, 34, 14 + header_len)
        data[24:26] = b"\0\0"
    return bytes(data)


def _neutral_timestamps(data: bytearray, at: int, end: int) -> None:
    while at < end and data[at] != 0:
        if data[at] == 1:
            at += 1
            continue
        size = data[at + 1]
        if data[at] == 0x44:
            width = 4 if data[at + 3] & 15 == 0 else 8
            for entry in range(at + 4, at + data[at + 2] - 1, width):
                if data[entry + width - 4 : entry + width] != b"\x11\x11\x11\x11":  # the case's own
                    data[entry + width - 4 : entry + width] = bytes(4)
        at += max(size, 1)
