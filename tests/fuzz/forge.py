"""Where hostile frames are made: right ones of every kind, then spoiled; answers to what the stack sent; floods.

A `Port` is what the forge knows of a device that frames are made for. Everything is drawn from the generator handed in,
and nothing is taken from the stack's own codecs.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from random import Random
from struct import pack, pack_into, unpack_from

from tests.fuzz.forge6 import Forge6
from tests.fuzz.forge_link import BRIDGE_GROUP, ForgeLink
from tests.fuzz.forge_super import ForgeSuper
from tests.fuzz.octets import ARP, IPV4, IPV6, mend
from vrouter.testing import frames as make

GROUPS = (0xE0000001, 0xEF010203, 0xE00000FB)
SPECIAL = (0, 0xFFFFFFFF, 0x7F000001, 0xF0000001, 0xA9FE0101, 0x00000001, 0x0A0000FF, 0x0A000000)
PORTS = (7, 53, 1000, 40000)
_ERRORS = ((3, 0), (3, 1), (3, 2), (3, 3), (3, 4), (3, 13), (5, 1), (5, 0), (11, 0), (11, 1), (12, 0), (4, 0))


@dataclass(slots=True)
class Port:
    """A device as its wire sees it: `mac`, `own` addresses, `near` ones on the link, `far` ones behind.

    `tag` stands in front of all that is for it when it is a vlan device; on a `bridged` wire are other stations, too.
    """

    mac: bytes
    vnet: bool
    mtu: int
    own: list[int]
    near: list[int]
    far: list[int]
    own6: list[int] = field(default_factory=list)
    near6: list[int] = field(default_factory=list)
    far6: list[int] = field(default_factory=list)
    tag: bytes = b""
    bridged: bool = False
    sent: list[bytes] = field(default_factory=list)  # frames that lately came out of it, without tags


class Forge:
    """Makes batches of frames for a port. `captures` are frames from elsewhere, to be sent as they are and adapted."""

    def __init__(self, rng: Random, captures: list[bytes]) -> None:
        self.rng = rng
        self.captures = captures
        self.idents = [1]  # of ping sockets
        self.ports = list(PORTS)  # that sockets are bound to, and others
        self.link = ForgeLink(rng)
        self.six = Forge6(rng, self.link, self.ports, self.idents)
        self.super = ForgeSuper(rng, self.ports)

    def know(self, ports: list[int], idents: list[int]) -> None:
        """Which ports and identifiers sockets are bound to."""
        self.ports[:] = ports
        self.idents[:] = idents

    def batch(self, port: Port) -> list[bytes]:
        """One frame mostly; sometimes a flood, or a frame cut off at every byte."""
        rng = self.rng
        if port.vnet and rng.random() < 0.3:
            made = self.super.frame(port)
            if made is not None:
                return [made]
        roll = rng.random()
        if roll < 0.003:
            frames = self._cut_everywhere(port)
        elif roll < 0.008:
            frames = self._flood(port)
        elif roll < 0.012:
            frames = self._flood_of_groups(port)
        elif roll < 0.05:
            frames = self._fragments(port)
        elif roll < 0.09:
            frames = [self._framed6(port, piece) for piece in self.six.fragments(port)]
        else:
            frames = [self.frame(port)]
        return [self._on_wire(port, frame) for frame in frames]

    def _on_wire(self, port: Port, frame: bytes) -> bytes:
        """With the tag of the device that it is for, mostly, and with a virtio-net header where there is one."""
        rng = self.rng
        tag = port.tag
        if rng.random() < 0.03:
            tag = self.link.tag()
        if tag and len(frame) >= 14 and rng.random() < 0.97:
            frame = frame[:12] + tag + frame[12:]
        else:
            tag = b""
        return self._vnet(frame, len(tag)) + frame if port.vnet else frame

    def frame(self, port: Port) -> bytes:
        """One frame without a virtio-net header and tag: right, or spoiled in some way."""
        rng = self.rng
        roll = rng.random()
        if roll < 0.02:
            return rng.randbytes(rng.choice((0, 1, 13, 14, 15, 33, 34, 54, 60, rng.randrange(2000))))
        if roll < 0.07 and self.captures:
            return self._adapted(port)
        if roll < (0.25 if port.bridged else 0.08):
            frame = self.link.bpdu(port) if rng.random() < 0.4 else self.link.switched(port)
        elif roll < 0.45 and port.sent:
            frame = self._answer(port)
        else:
            frame = self._right(port)
        roll = rng.random()
        if roll < 0.55:
            return frame
        return self._spoiled(bytearray(frame))

    # -- right frames -------------------------------------------------------------------------------------------------

    def _right(self, port: Port) -> bytes:
        roll = self.rng.random()
        if roll < 0.1:
            return self._arp(port)
        if roll < 0.16:
            return self._ether(port, self.link.igmp(port))
        if roll < 0.175:
            packet = make.ipv4_udp(self._source(port), 0xE00000FB, 5353, 5353, self.link.dns(), ttl=255)
            return self._ether(port, packet)
        if roll < 0.6:
            return self._framed6(port, self.six.packet(port))
        return self._ether(port, self._packet(port))

    def _framed6(self, port: Port, packet: bytes) -> bytes:
        """An IPv6 packet to the station or group that it is for, mostly."""
        rng = self.rng
        dst = packet[24:40]
        mac = b"\x33\x33" + dst[12:] if dst[0] == 0xFF else port.mac
        if rng.random() < 0.04:
            mac = rng.choice((port.mac, b"\xff" * 6, b"\x33\x33\0\0\0\1", rng.randbytes(6)))
        return mac + self._mac() + pack("!H", IPV6) + packet

    def _ether(self, port: Port, packet: bytes) -> bytes:
        rng = self.rng
        dst = port.mac
        roll = rng.random()
        if roll < 0.04:
            dst = b"\xff" * 6
        elif roll < 0.07 or packet[16] >> 4 == 14:
            dst = b"\x01\0\x5e" + (int.from_bytes(packet[16:20], "big") & 0x7FFFFF).to_bytes(3, "big")
        elif roll < 0.08:
            dst = rng.randbytes(6)
        src = self._mac()
        kind = IPV4 if rng.random() < 0.99 else rng.choice((0x86DD, 0x05DC, 0x8847, 0x100))
        return dst + src + pack("!H", kind) + packet

    def _mac(self) -> bytes:
        return b"\x02\x99\0\0\0" + bytes((self.rng.randrange(16),))

    def _source(self, port: Port) -> int:
        rng = self.rng
        roll = rng.random()
        if roll < 0.6 and port.near:
            return rng.choice(port.near)
        if roll < 0.85 and port.far:
            return rng.choice(port.far)
        if roll < 0.9 and port.own:
            return rng.choice(port.own)
        return rng.choice((*SPECIAL, *GROUPS, rng.getrandbits(32)))

    def _target(self, port: Port) -> int:
        rng = self.rng
        roll = rng.random()
        if roll < 0.35 and port.own:
            return rng.choice(port.own)
        if roll < 0.75 and port.far:
            return rng.choice(port.far)
        if roll < 0.85 and port.near:
            return rng.choice(port.near)
        if roll < 0.9:
            return rng.choice(GROUPS)
        if roll < 0.95 and port.near:
            return port.near[0] | 0xFF
        return rng.choice((*SPECIAL, rng.getrandbits(32)))

    def _packet(self, port: Port) -> bytes:
        rng = self.rng
        src, dst = self._source(port), self._target(port)
        roll = rng.random()
        size = rng.choice((0, 1, 8, 18, 56, 200)) if roll < 0.9 else rng.randrange(1500)
        data = rng.randbytes(size)
        proto, segment = self._segment(src, dst, data)
        options = self._options() if rng.random() < 0.12 else b""
        return make.ipv4(
            src,
            dst,
            proto,
            segment,
            ttl=rng.choice((64, 64, 64, 2, 1, 0, 255)),
            ident=rng.randrange(8),
            df=rng.random() < 0.3,
            tos=rng.choice((0, 0, 0xC0, 3, 255)),
            options=options,
        )

    def _segment(self, src: int, dst: int, data: bytes) -> tuple[int, bytes]:
        rng = self.rng
        roll = rng.random()
        if roll < 0.4:
            sport, dport = rng.choice(PORTS), rng.choice(self.ports) if rng.random() < 0.9 else rng.randrange(65536)
            return 17, make.udp(src, dst, sport, dport, data, checksum=None if rng.random() < 0.9 else 0)
        if roll < 0.7:
            ident = rng.choice(self.idents)
            return 1, make.icmp_echo(ident, rng.randrange(4), data, reply=rng.random() < 0.3)
        if roll < 0.76:
            return 1, make.icmp(rng.choice((13, 14, 15, 17, 9, 10, 42)), 0, rng.getrandbits(32), data.ljust(12, b"\0"))
        if roll < 0.9:
            inner = make.ipv4_udp(dst, src, rng.choice(PORTS), rng.choice(PORTS), data[:64])
            return 1, self._error(inner)
        return rng.choice((6, 2, 4, 47, 50, 0, 255)), data

    def _error(self, inner: bytes) -> bytes:
        rng = self.rng
        type_, code = rng.choice(_ERRORS)
        rest = rng.choice((0, 68, 600, 1280, 1499, 0x0A000003, 0xFFFFFFFF, rng.getrandbits(32)))
        return make.icmp_error(type_, code, inner, rest, quote=rng.choice((28, 28, 548, 20, 24, 8, 0)))

    def _options(self) -> bytes:
        rng = self.rng
        size = rng.choice((3, 7, 11, 39))
        kinds = (
            bytes((7, size, rng.choice((4, 4, 8, 3, 0, 255)))) + bytes(max(size - 3, 0)),
            bytes((68, size, rng.choice((5, 9, 4)), rng.randrange(256))) + rng.randbytes(max(size - 4, 0)),
            bytes((rng.choice((131, 137)), size, rng.choice((4, 8, 255)))) + rng.randbytes(max(size - 3, 0)),
            bytes((148, 4, 0, rng.randrange(2))),
            bytes((rng.choice((130, 136, 25, 222)), size)) + bytes(max(size - 2, 0)),
            bytes((rng.randrange(256), rng.choice((0, 1, 2, 41, 255)))),
            b"\x01\x01\x00" + rng.randbytes(5),
            rng.randbytes(rng.randrange(40)),
        )
        return b"".join(rng.sample(kinds, rng.choice((1, 1, 1, 2))))[:40]

    def _arp(self, port: Port) -> bytes:
        rng = self.rng
        own = rng.choice(port.own) if port.own else 0x0A000001
        near = rng.choice(port.near) if port.near else self._source(port)
        mac = self._mac()
        roll = rng.random()
        if roll < 0.3:
            packet = make.arp_request(mac, near, own)
        elif roll < 0.5:
            packet = make.arp_reply(mac, near, port.mac, own)
        elif roll < 0.6:
            packet = make.arp_request(mac, near, near)
        elif roll < 0.7:
            packet = make.arp_request(mac, rng.choice((own, 0)), own)
        elif roll < 0.8:
            packet = make.arp(rng.choice((1, 2)), mac, self._source(port), port.mac, self._target(port))
        elif roll < 0.9:
            packet = make.arp(rng.choice((1, 2)), rng.choice((port.mac, b"\xff" * 6, bytes(6))), near, mac, own)
        else:
            packet = make.arp(
                rng.randrange(5), mac, near, port.mac, own, htype=rng.choice((1, 6)), plen=rng.choice((4, 16))
            )
        dst = port.mac if rng.random() < 0.5 else b"\xff" * 6
        return make.ethernet(dst, mac, ARP, packet, pad=rng.random() < 0.5)

    # -- answers to what the stack sent -------------------------------------------------------------------------------

    def _answer(self, port: Port) -> bytes:
        """What the other end would say to a frame that the stack sent, or an attacker who saw it."""
        rng = self.rng
        sent = rng.choice(port.sent)
        if sent[:6] == BRIDGE_GROUP:
            return self.link.bpdu(port)
        if sent[12:14] == b"\x86\xdd" and rng.random() < 0.93:
            return self._framed6(port, self.six.answer(port, sent[14:]))
        if len(sent) < 34 or rng.random() < 0.1:
            return rng.choice((sent, port.mac + sent[6:], sent[6:12] + sent[:6] + sent[12:]))  # echoed by the link
        if sent[12:14] == b"\x08\x06" and len(sent) >= 42:
            spa, tpa = unpack_from("!I", sent, 28)[0], unpack_from("!I", sent, 38)[0]
            mac = self._mac()
            return make.ethernet(port.mac, mac, ARP, make.arp_reply(mac, tpa, port.mac, spa))
        src, dst = unpack_from("!II", sent, 26)
        l4 = 14 + (sent[14] & 15) * 4
        head = port.mac + self._mac() + b"\x08\x00"
        roll = rng.random()
        if roll < 0.4:  # an error about it, from a router on the way or from its target
            teller = rng.choice((dst, self._source(port)))
            return head + make.ipv4(teller, src, 1, self._error(sent[14:]))
        if sent[23] == 1 and sent[l4 : l4 + 1] == b"\x08":
            ident, sequence = unpack_from("!HH", sent.ljust(l4 + 8, b"\0"), l4 + 4)
            return head + make.ipv4_echo(dst, src, ident, sequence, sent[l4 + 8 :], reply=True)
        if sent[23] == 17 and len(sent) >= l4 + 8:
            sport, dport = unpack_from("!HH", sent, l4)
            return head + make.ipv4_udp(dst, src, dport, sport, sent[l4 + 8 :][:200])
        return head + sent[14:]

    # -- spoiling -----------------------------------------------------------------------------------------------------

    def _spoiled(self, frame: bytearray) -> bytes:
        rng = self.rng
        for _ in range(rng.choice((1, 1, 1, 2, 4))):
            size = len(frame)
            roll = rng.random()
            if not size:
                break
            if roll < 0.3:
                frame[rng.randrange(size)] ^= 1 << rng.randrange(8)
            elif roll < 0.5:
                frame[rng.randrange(min(size, 54))] = rng.choice((0, 1, 0x7F, 0x80, 0xFF, rng.randrange(256)))
            elif roll < 0.65 and size >= 20 and frame[12:14] == b"\x86\xdd":
                pack_into("!H", frame, 18, rng.choice((0, 7, 8, 40, max(size - 54, 0), max(size - 55, 0), 65535)))
            elif roll < 0.65 and size >= 20:
                pack_into("!H", frame, 16, rng.choice((0, 19, 20, 21, 28, size - 14, size - 13, size - 15, 65535)))
            elif roll < 0.75 and size >= 22:
                pack_into("!H", frame, 20, rng.choice((0x2000, 0x4000, 0x8000, 0x1FFF, 0x2001, 1, 0xFFFF)))
            elif roll < 0.85:
                del frame[rng.randrange(size) :]
            elif roll < 0.9:
                frame += rng.randbytes(rng.randrange(64))
            elif roll < 0.95 and size >= 40:
                l4 = 14 + (frame[14] & 15) * 4
                if l4 + 6 <= size:
                    pack_into("!H", frame, l4 + 4, rng.choice((0, 7, 8, 9, 65535, size)))
            else:
                at = rng.randrange(size)
                frame[at:at] = frame[at : at + rng.randrange(16)]
        if rng.random() < 0.6:
            mend(frame)
        return bytes(frame)

    def _cut_everywhere(self, port: Port) -> list[bytes]:
        frame = self._answer(port) if port.sent and self.rng.random() < 0.3 else self._right(port)
        fix = self.rng.random() < 0.5
        frames = []
        for size in range(min(len(frame), 130)):
            cut = bytearray(frame[:size])
            if fix:  # so that more than one check has to see it
                if size >= 34 and cut[12:14] == b"\x08\x00":
                    pack_into("!H", cut, 16, size - 14)
                elif size >= 54 and cut[12:14] == b"\x86\xdd":
                    pack_into("!H", cut, 18, size - 54)
                mend(cut)
            frames.append(bytes(cut))
        return frames

    def _adapted(self, port: Port) -> bytes:
        """A captured frame as it is, or sent to us, its packet to one of the addresses that matter here."""
        rng = self.rng
        frame = bytearray(rng.choice(self.captures))
        roll = rng.random()
        if roll < 0.15 or len(frame) < 34:
            return bytes(frame)
        frame[0:6] = port.mac
        if frame[12:14] == b"\x08\x00" and roll < 0.8:
            pack_into("!I", frame, 30, self._target(port))
            if rng.random() < 0.5:
                pack_into("!I", frame, 26, self._source(port))
            mend(frame)
        elif frame[12:14] == b"\x08\x06" and len(frame) >= 42 and roll < 0.8 and port.own:
            pack_into("!I", frame, 38, rng.choice(port.own))
            if port.near:
                pack_into("!I", frame, 28, rng.choice(port.near))
        elif frame[12:14] == b"\x86\xdd" and len(frame) >= 54 and roll < 0.8:
            frame[38:54] = self.six.target(port).to_bytes(16, "big")
            if rng.random() < 0.5:
                frame[22:38] = self.six.source(port).to_bytes(16, "big")
            mend(frame)
        if rng.random() < 0.2:
            return self._spoiled(frame)
        return bytes(frame)

    # -- fragments and floods -----------------------------------------------------------------------------------------

    def _fragments(self, port: Port) -> list[bytes]:
        """The pieces of a datagram: all of them in disorder, or with duplicates, overlaps, contradictions, holes."""
        rng = self.rng
        src, dst = self._source(port), self._target(port)
        data = rng.randbytes(rng.choice((64, 600, 3000, 9000)))
        proto, segment = self._segment(src, dst, data)
        kinds = (b"\x07\x07\x04\0\0\0\0\0", b"\x88\x04\0\1", b"\x01" * 4)
        options = rng.choice(kinds) if rng.random() < 0.1 else b""
        packet = make.ipv4(src, dst, proto, segment, ident=rng.randrange(65536), ttl=64, options=options)
        pieces = make.fragments(packet, rng.choice((68, 76, 576, 576, 1400, 1400)))[:64]
        if rng.random() < 0.6:
            rng.shuffle(pieces)
        roll = rng.random()
        if roll < 0.5:
            pass
        elif roll < 0.6:
            pieces.append(rng.choice(pieces))
        elif roll < 0.75:
            pieces[rng.randrange(len(pieces))] = b""
        else:
            at = rng.randrange(len(pieces))
            piece = bytearray(pieces[at])
            word = unpack_from("!H", piece, 6)[0]
            word = rng.choice((word ^ 0x2000, word ^ 1, 0x2000 | 8189, 0x1FFF, word & 0x2000, 0x2001, 0x3FFF))
            pack_into("!H", piece, 6, word & 0xFFFF)
            if rng.random() < 0.3:
                del piece[rng.randrange(20, len(piece) + 1) :]
                pack_into("!H", piece, 2, len(piece))
            frame = bytearray(14) + piece
            frame[12:14] = b"\x08\x00"
            mend(frame)
            pieces.insert(at, bytes(frame[14:]))
        head = port.mac + self._mac() + b"\x08\x00"
        return [head + piece for piece in pieces if piece]

    def _flood(self, port: Port) -> list[bytes]:
        """Many frames that each want a piece of a bounded table."""
        rng = self.rng
        count = rng.choice((20, 60, 150))
        head = port.mac + self._mac() + b"\x08\x00"
        src, dst = self._source(port), self._target(port)
        base = (port.near[0] if port.near else src) & 0xFFFFFF00
        roll = rng.random()
        if roll < 0.3:  # first fragments of datagrams that never come
            data = rng.randbytes(rng.choice((8, 1400)))
            return [head + make.ipv4(src, dst, 17, data, ident=rng.randrange(65536), mf=True) for _ in range(count)]
        if roll < 0.5:  # an ARP storm
            own = rng.choice(port.own) if port.own else dst
            count = rng.choice((count, count, count, count, 1200))
            sender = [(b"\x02\x99\x01\0\0" + bytes((i & 255,)), base + 1 + i % 250) for i in range(count)]
            return [make.ethernet(b"\xff" * 6, mac, ARP, make.arp_request(mac, spa, own)) for mac, spa in sender]
        if roll < 0.7:  # a scan of a link behind us
            base = (rng.choice(port.far) if port.far else dst) & 0xFFFFFF00
            return [head + make.ipv4_udp(src, base + rng.randrange(256), 1, 9, b"scan") for _ in range(count)]
        if roll < 0.85:  # many senders that want an ICMP error each
            return [head + make.ipv4_udp(base + rng.randrange(256), dst, 1, 9, ttl=1) for _ in range(count)]
        frame = head + make.ipv4(src, dst, 1, self._error(make.ipv4_udp(dst, base + rng.randrange(256), 7, 7)))
        return [frame] * count

    def _flood_of_groups(self, port: Port) -> list[bytes]:
        """The same of IPv6, of groups, and of switched stations."""
        rng = self.rng
        roll = rng.random()
        if roll < 0.6:
            return [self._framed6(port, packet) for packet in self.six.flood(port)]
        if roll < 0.8:
            return self.link.stations(port, rng.choice((60, 150, 1500)))
        return [self._ether(port, packet) for packet in self.link.groups(port)]

    def _vnet(self, frame: bytes, tagged: int) -> bytes:
        rng = self.rng
        roll = rng.random()
        if roll < 0.85:
            return bytes(12)
        if roll < 0.9:
            return pack("<BBHHHHH", rng.choice((0, 2)), 0, 0, 0, 0, 0, rng.randrange(3))
        if roll < 0.95:  # a checksum left to us, where it belongs
            six = frame[12 + tagged : 14 + tagged] == b"\x86\xdd"
            start, proto = (54, frame[20 + tagged : 21 + tagged]) if six else (34, frame[23 + tagged : 24 + tagged])
            return pack("<BBHHHHH", 1, 0, 0, 0, start + tagged, 2 if proto in (b"\x01", b"\x3a") else 6, 0)
        start, offset = rng.choice((0, 13, 14, 16, 34, 54, len(frame), 65535)), rng.choice((0, 2, 6, 16, 65535))
        gso = rng.choice((0, 1, 3, 4, 5, 0x81, 7, 255))
        header = pack("<BBHHHHH", rng.randrange(8), gso, rng.randrange(100), rng.randrange(1500), start, offset, 0)
        return header[: rng.choice((12, 12, 12, 11, 3))] if rng.random() < 0.1 else header
