"""Hostile frames of layer 2, and of IGMP: tags, the spanning tree's messages, switched stations, groups."""

from __future__ import annotations

from random import Random
from struct import pack, pack_into
from typing import TYPE_CHECKING

from vrouter.testing import frames as make

if TYPE_CHECKING:
    from tests.fuzz.forge import Port

BRIDGE_GROUP = bytes.fromhex("0180c2000000")
LLC = b"\x42\x42\x03"
GROUPS4 = (0xE0000001, 0xEF010203, 0xE00000FB, 0xE8000001)
ALERT = b"\x94\x04\0\0"


class ForgeLink:
    """Makes whole frames; chance comes from `rng`."""

    def __init__(self, rng: Random) -> None:
        self.rng = rng

    def tag(self) -> bytes:
        """One tag or two, of VLANs that there may be."""
        rng = self.rng
        tags = [
            pack("!HH", rng.choice((0x8100, 0x8100, 0x88A8)), rng.choice((0, 0x2000, 5, 10, 20, 0x600A, 4095)))
            for _ in range(rng.choice((1, 1, 1, 2)))
        ]
        return b"".join(tags)

    # -- spanning tree ------------------------------------------------------------------------------------------------

    def bpdu(self, port: Port) -> bytes:
        """A message of some other bridge, or an answer to the one that was sent last."""
        rng = self.rng
        heard = [frame for frame in port.sent if frame[:6] == BRIDGE_GROUP]
        if heard and rng.random() < 0.6:
            return self._answered(bytearray(rng.choice(heard)))
        mac = b"\x02\x98\0\0\0" + bytes((rng.randrange(4),))
        if rng.random() < 0.15:
            return self.frame(mac, pack("!HBB", 0, 0, 0x80))
        kind = rng.choice((0, 2, 2))
        root = rng.choice((0, 0x1000, 0x8000, 0xF000)) << 48 | rng.randrange(4)
        body = pack(
            "!HBBBQIQHHHHH",
            rng.choice((0,) * 9 + (1,)),
            rng.choice((kind, kind, 3)),
            kind,
            rng.choice((0x3C, 0x7C, 0x0E, 0x78, 0x01, 0x81, 0x34, rng.randrange(256))),
            root,
            rng.choice((0, 4, 20000, 0xFFFFFFFF)),
            rng.choice((root, 0x8000 << 48 | int.from_bytes(mac, "big"))),
            rng.choice((0x8001, 0x8002, 0)),
            rng.choice((0, 256, 5120, 65535)),
            rng.choice((5120, 1536, 0, 65535)),
            rng.choice((512, 256, 0)),
            rng.choice((3840, 1024, 0, 65535)),
        )
        return self.frame(mac, body + (b"\0" if kind == 2 else b""))

    def _answered(self, frame: bytearray) -> bytes:
        """What our own bridge said, as if its neighbour had said it: better, worse, agreed, or looped back."""
        rng = self.rng
        if len(frame) >= 52:
            roll = rng.random()
            if roll < 0.3:
                frame[21] |= 0x40 | 0x08  # an agreement
            elif roll < 0.5:
                pack_into("!H", frame, 22, 0)
            elif roll < 0.6:
                pack_into("!H", frame, 34, 0)
            elif roll < 0.8:
                frame[21] ^= rng.choice((1, 0x80, 2, 0x0C))
        if rng.random() < 0.8:
            frame[6:12] = b"\x02\x98\0\0\0\x09"
        return bytes(frame)

    @staticmethod
    def frame(mac: bytes, body: bytes) -> bytes:
        return (BRIDGE_GROUP + mac + pack("!H", 3 + len(body)) + LLC + body).ljust(60, b"\0")

    # -- stations -----------------------------------------------------------------------------------------------------

    def switched(self, port: Port) -> bytes:
        """A frame from one station to another, of a protocol that only they know, or to a group."""
        rng = self.rng
        dst = rng.choice(
            (self.station(), self.station(), b"\xff" * 6, b"\x01\0\x5e\1\2\3", b"\x33\x33\0\0\0\x7b", port.mac)
        )
        if rng.random() < 0.05:
            dst = bytes.fromhex("0180c20000") + bytes((rng.randrange(16),))
        kind = rng.choice((0x88CC, 0x8847, 0x9000, 0x0800, 0x86DD, 64))
        return dst + self.station() + pack("!H", kind) + rng.randbytes(rng.choice((0, 46, 300, 1500)))

    def station(self) -> bytes:
        return b"\x02\x97\0" + pack("!HB", self.rng.randrange(3), self.rng.randrange(6))

    def stations(self, port: Port, count: int) -> list[bytes]:
        """A flood of frames, each from a station that nobody has heard of."""
        rng = self.rng
        start = rng.getrandbits(16)
        dst = rng.choice((b"\xff" * 6, port.mac, b"\x02\x97\0\0\0\1"))
        return [dst + b"\x02\x96" + pack("!I", start + i) + b"\x90\0" + bytes(46) for i in range(count)]

    # -- multicast DNS ------------------------------------------------------------------------------------------------

    def dns(self) -> bytes:
        """A message of DNS, nearly right: names, pointers, the bit that asks for a unicast answer."""
        rng = self.rng
        names = (b"\5_http\4_tcp\5local\0", b"\xc0\x0c", b"\x3fx", b"\x80", b"\1a" * 40 + b"\0", b"\0")
        questions = [
            rng.choice(names) + pack("!HH", 12, rng.choice((1, 0x8001))) for _ in range(rng.choice((1, 1, 2, 70)))
        ]
        count = rng.choice((len(questions), 0, 1, 65535))
        head = pack("!HHHHHH", 0, rng.choice((0, 0, 0x8400)), count, 0, 0, 0)
        return (head + b"".join(questions))[: rng.choice((9000, 9000, 9000, 12, 11, 20))]

    # -- IGMP ---------------------------------------------------------------------------------------------------------

    def igmp(self, port: Port) -> bytes:
        """A packet with a message of IGMP."""
        rng = self.rng
        src = rng.choice((*port.near[:4], *port.near[:4], 0, 0x0A0A0A0A))
        group = rng.choice((*GROUPS4, 0xEF000000 | rng.getrandbits(12)))
        sources = [rng.choice((*port.far[:9], rng.getrandbits(32))) for _ in range(rng.choice((0, 0, 1, 3, 30)))]
        roll = rng.random()
        if roll < 0.35:
            about = rng.choice((0, 0, group))
            dst = about or 0xE0000001
            body = make.igmp_query(
                about,
                sources if about else (),
                version=rng.choice((1, 2, 3, 3)),
                code=rng.choice((0, 1, 10, 100, 255)),
                suppress=rng.random() < 0.2,
                robustness=rng.choice((0, 1, 2, 7)),
                interval=rng.choice((0, 1, 125, 255)),
            )
        elif roll < 0.6:
            leave = rng.random() < 0.4
            dst = 0xE0000002 if leave else group
            body = make.igmp_report(group, version=rng.choice((1, 2, 2)), leave=leave)
        elif roll < 0.97:
            dst = 0xE0000016
            records = [
                make.igmp_record(
                    rng.choice((1, 2, 3, 4, 5, 6, 6, 7)),
                    rng.choice((*GROUPS4, 0xEF000000 | rng.getrandbits(12))),
                    sources,
                    bytes(rng.choice((0, 0, 4))),
                )
                for _ in range(rng.choice((1, 1, 2, 9)))
            ]
            body = make.igmp3_report(*records, count=rng.choice((None, None, None, 0, 99)))
        else:
            dst, body = 0xE000000D, rng.randbytes(12)
        return self.alerted(src, dst, body)

    def alerted(self, src: int, dst: int, body: bytes) -> bytes:
        rng = self.rng
        options = ALERT if rng.random() < 0.95 else b""
        return make.ipv4(src, dst, 2, body, ttl=rng.choice((1,) * 20 + (64,)), options=options)

    def groups(self, port: Port) -> list[bytes]:
        """Reports of more groups than there is room for."""
        rng = self.rng
        groups = [0xEF000000 | rng.getrandbits(20) for _ in range(rng.choice((100, 1100)))]
        src = port.near[0] if port.near else 0
        chunks = [groups[i : i + 150] for i in range(0, len(groups), 150)]
        return [
            make.ipv4(
                src,
                0xE0000016,
                2,
                make.igmp3_report(*(make.igmp_record(4, group) for group in chunk)),
                ttl=1,
                options=ALERT,
            )
            for chunk in chunks
        ]
