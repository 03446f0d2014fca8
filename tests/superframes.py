"""Superframes for tests: built and read byte by byte, by sums of words, without a line of what is tested.

`tcp` and `udp` make an IP packet of either family with a half-finished checksum, `vnet` the header in front of its
frame, `read` takes a frame apart and says whether its checksums are right, `segments` is the slow and obvious way to
cut a superframe.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from ipaddress import ip_address

FIN, SYN, RST, PSH, ACK, URG, ECE, CWR = (1 << bit for bit in range(8))
TCP, UDP = 6, 17
IPV4, IPV6 = 0x0800, 0x86DD
NEEDS_CSUM, DATA_VALID = 1, 2
GSO_TCPV4, GSO_UDP, GSO_TCPV6, GSO_UDP_L4, GSO_ECN = 1, 3, 4, 5, 0x80
TIMESTAMPS = bytes.fromhex("0101080a0000123400005678")


def total(data: bytes) -> int:
    """The ones' complement sum of the words of `data`."""
    data += bytes(len(data) % 2)
    words = sum(data[at] << 8 | data[at + 1] for at in range(0, len(data), 2))
    while words > 0xFFFF:
        words = (words & 0xFFFF) + (words >> 16)
    return words


def vnet(flags: int = 0, gso: int = 0, hdr_len: int = 0, size: int = 0, start: int = 0, offset: int = 0) -> bytes:
    """A virtio-net header of 12 bytes (VIRTIO 1.2 5.1.6)."""
    words = (hdr_len, size, start, offset, 0)
    return bytes((flags, gso)) + b"".join(word.to_bytes(2, "little") for word in words)


@dataclass(frozen=True)
class Packet:
    """A TCP or UDP packet, field by field; `half` leaves its transport checksum half-finished."""

    proto: int
    src: str
    dst: str
    payload: bytes
    sport: int = 1000
    dport: int = 2000
    seq: int = 0x1000
    ack: int = 0x2000
    flags: int = ACK
    window: int = 500
    options: bytes = b""
    urgent: int = 0
    ident: int = 77
    ttl: int = 64
    tos: int = 0
    dont_fragment: bool = True
    ip_options: bytes = b""  # of IPv6: extension headers, of which the first is named by `first`
    first: int = 0
    half: bool = True
    checksums: bool = field(default=True, compare=False)  # of one that was read: they are right

    @property
    def version(self) -> int:
        return ip_address(self.src).version

    @property
    def offset(self) -> int:
        """Where the checksum is in the transport header."""
        return 16 if self.proto == TCP else 6

    @property
    def l4(self) -> int:
        """Where the transport header begins in the packet."""
        return (20 if self.version == 4 else 40) + len(self.ip_options)

    @property
    def header(self) -> int:
        """The bytes of all headers from the IP header on."""
        return self.l4 + (20 + len(self.options) if self.proto == TCP else 8)

    def raw(self) -> bytes:
        """The bytes."""
        src, dst = ip_address(self.src).packed, ip_address(self.dst).packed
        ports = self.sport.to_bytes(2, "big") + self.dport.to_bytes(2, "big")
        if self.proto == TCP:
            word = (20 + len(self.options)) // 4 << 12 | self.flags
            front = ports + self.seq.to_bytes(4, "big") + self.ack.to_bytes(4, "big") + word.to_bytes(2, "big")
            front += self.window.to_bytes(2, "big")
            back = self.urgent.to_bytes(2, "big") + self.options + self.payload
        else:
            front, back = ports + (8 + len(self.payload)).to_bytes(2, "big"), self.payload
        length = len(front) + 2 + len(back)
        pseudo = total(src + dst + length.to_bytes(4, "big") + self.proto.to_bytes(4, "big"))
        value = pseudo
        if not self.half:
            value = 0xFFFF - total(pseudo.to_bytes(2, "big") + bytes(len(front) % 2) + front + bytes(2) + back)
            if self.proto == UDP:
                value = value or 0xFFFF
        data = front + value.to_bytes(2, "big") + back
        if self.version == 4:
            header = bytes((0x45 + len(self.ip_options) // 4, self.tos)) + (self.l4 + length).to_bytes(2, "big")
            header += self.ident.to_bytes(2, "big") + bytes((0x40 * self.dont_fragment, 0, self.ttl, self.proto))
            rest = src + dst + self.ip_options
            header += (0xFFFF - total(header + rest)).to_bytes(2, "big") + rest
        else:
            header = (6 << 28 | self.tos << 20).to_bytes(4, "big")
            header += (len(self.ip_options) + length).to_bytes(2, "big")
            header += bytes((self.first or self.proto, self.ttl)) + src + dst + self.ip_options
        return header + data

    def vnet(self, size: int = 0, /, link: int = 14, **changes: int) -> bytes:
        """The header in front of its frame: of a superframe of segments of `size` bytes, or 0."""
        kind = (GSO_TCPV4 if self.version == 4 else GSO_TCPV6) if self.proto == TCP else GSO_UDP_L4
        fields = {"flags": NEEDS_CSUM, "gso": kind if size else 0, "hdr_len": link + self.header if size else 0}
        fields |= {"size": size, "start": link + self.l4, "offset": self.offset}
        return vnet(**fields | changes)

    def segments(self, size: int) -> list[Packet]:
        """What a superframe stands for, finished."""
        parts = [self.payload[at : at + size] for at in range(0, len(self.payload), size)]
        made = []
        for number, part in enumerate(parts):
            flags = self.flags
            if number:
                flags &= ~CWR
            if number < len(parts) - 1:
                flags &= ~(FIN | PSH)
            seq = (self.seq + number * size) % (1 << 32) if self.proto == TCP else 0
            ident = (self.ident + number) % (1 << 16) if self.version == 4 else self.ident
            made.append(replace(self, payload=part, flags=flags, seq=seq, ident=ident, half=False))
        return made

    def later(self, **changes: object) -> Packet:
        """The same with other fields."""
        return replace(self, **changes)


def tcp(src: str, dst: str, payload: bytes, **fields: object) -> Packet:
    return Packet(TCP, src, dst, payload, **fields)


def udp(src: str, dst: str, payload: bytes, **fields: object) -> Packet:
    return Packet(UDP, src, dst, payload, **{"seq": 0, "ack": 0, "flags": 0, "window": 0} | fields)


def read(frame: bytes, half: bool = False) -> Packet:
    """The packet in an Ethernet frame, tags and all; ``checksums`` tells whether they are right. With `half` its
    transport checksum is one that is half-finished."""
    at = 12
    while frame[at : at + 2] in (b"\x81\x00", b"\x88\xa8"):
        at += 4
    return read_ip(bytes(frame[at + 2 :]), half)


def read_ip(data: bytes, half: bool = False) -> Packet:
    """`read` from the IP header on."""
    version = data[0] >> 4
    first = 0
    if version == 4:
        l4, right = (data[0] & 15) * 4, total(data[: (data[0] & 15) * 4]) == 0xFFFF
        length, proto, src, dst = int.from_bytes(data[2:4], "big"), data[9], data[12:16], data[16:20]
        tos, ident, ttl = data[1], int.from_bytes(data[4:6], "big"), data[8]
        dont_fragment, options = bool(data[6] & 0x40), data[20:l4]
        assert not int.from_bytes(data[6:8], "big") & 0x3FFF, "a fragment"
    else:
        right, length, l4, proto = True, 40 + int.from_bytes(data[4:6], "big"), 40, data[6]
        src, dst, tos, ttl = data[8:24], data[24:40], int.from_bytes(data[:2], "big") >> 4 & 0xFF, data[7]
        ident, dont_fragment = 77, True
        while proto in (0, 43, 60):
            first = first or proto
            proto, l4 = data[l4], l4 + 8 + data[l4 + 1] * 8
        options = data[40:l4]
    assert length == len(data), (length, len(data))
    rest = data[l4:]
    pseudo = src + dst + len(rest).to_bytes(4, "big") + proto.to_bytes(4, "big")
    where = 16 if proto == TCP else 6
    if half:
        right = right and int.from_bytes(rest[where : where + 2], "big") == total(pseudo)
    else:
        right = right and total(pseudo + rest) == 0xFFFF
    found = Packet(
        proto,
        str(ip_address(src)),
        str(ip_address(dst)),
        b"",
        int.from_bytes(rest[:2], "big"),
        int.from_bytes(rest[2:4], "big"),
        tos=tos,
        ttl=ttl,
        ident=ident,
        dont_fragment=dont_fragment,
        ip_options=options,
        first=first,
        half=half,
        checksums=right,
    )
    if proto == UDP:
        assert int.from_bytes(rest[4:6], "big") == len(rest)
        return replace(found, payload=rest[8:], seq=0, ack=0, flags=0, window=0)
    word = int.from_bytes(rest[12:14], "big")
    data_at = (word >> 12) * 4
    return replace(
        found,
        seq=int.from_bytes(rest[4:8], "big"),
        ack=int.from_bytes(rest[8:12], "big"),
        flags=word & 0xFFF,
        window=int.from_bytes(rest[14:16], "big"),
        urgent=int.from_bytes(rest[18:20], "big"),
        options=rest[20:data_at],
        payload=rest[data_at:],
    )


def pattern(size: int) -> bytes:
    """Bytes of which no two runs are alike."""
    return b"".join(number.to_bytes(3, "big") for number in range(size // 3 + 1))[:size]
