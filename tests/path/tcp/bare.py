"""A namespace whose peers are made of nothing but segments: as many as a test wants, from any address."""

from types import SimpleNamespace

from vrouter.stack.l4 import constants as c
from vrouter.stack.wire import tcp as wire
from vrouter.stack.wire.checksum import checksum
from vrouter.stack.wire.tcp import ACK, FLAGS, RST, SYN
from vrouter.testing.packetdrill import Settings
from vrouter.testing.packetdrill.world import World

PORT = 8080
SECOND = 1_000_000_000


class Bare(World):
    """`World` with segments as values; ``sent`` takes what the namespace sent since it was asked last."""

    def __init__(self, version="ipv4", **sysctls):
        super().__init__(Settings(version=version, sysctls={f"net.ipv4.{k}": v for k, v in sysctls.items()}))
        self.six = version == "ipv6"

    def listener(self, backlog=16, port=PORT, family=0, address="", **options):
        """A socket that listens; `options` are set at SOL_SOCKET or SOL_TCP by their names."""
        sock = self.ns.socket(family or (c.AF_INET6 if self.six else c.AF_INET), c.SOCK_STREAM)
        for name, value in options.items():
            level = c.SOL_SOCKET if name.startswith("SO_") else c.SOL_TCP if name.startswith("TCP_") else c.SOL_IPV6
            sock.setsockopt(level, getattr(c, name), value, now=self.now)
        sock.bind((address, port), now=self.now)
        sock.listen(backlog, now=self.now)
        return sock

    def send(self, flags, **fields):
        """A segment from the peer: `packet`."""
        self.inject(self.packet(flags, **fields))

    def packet(self, flags, sport=40000, seq=1000, ack=0, data=b"", options=b"", src=0, dport=PORT, window=65535):
        """The IP packet of a segment from the peer (or from `src`, an int)."""
        src = src or self.remote
        segment = bytearray(60 + len(data))
        size = wire.emit_header(segment, 0, sport, dport, seq, ack, flags, window, options)
        segment[size:] = data
        bits = 128 if self.six else 32
        wire.finish(segment, 0, len(segment), src, self.local, bits)
        return self._header(len(segment), src) + bytes(segment)

    def _header(self, size, src):
        width = 16 if self.six else 4
        ends = src.to_bytes(width, "big") + self.local.to_bytes(width, "big")
        if self.six:
            return bytes((0x60, 0, 0, 0, size >> 8, size & 255, 6, 64)) + ends
        header = bytearray(bytes((0x45, 0, (size + 20) >> 8, (size + 20) & 255, 0, 0, 0x40, 0, 64, 6, 0, 0)) + ends)
        value = checksum(header, 0, 20)
        header[10:12] = value.to_bytes(2, "big")
        return bytes(header)

    def sent(self):
        """What was sent since this was asked last: port of the peer, flags, numbers, options."""
        packets, self.packets = self.packets, []
        return [
            SimpleNamespace(
                port=live.dport, flags=live.flags & FLAGS, seq=live.seq, ack=live.ack, window=live.window,
                options=live.options, size=live.payload,
            )
            for live in packets
        ]  # fmt: skip

    def handshake(self, sport=40000, seq=1000, options=b"", src=0):
        """SYN, SYN-ACK, ACK; the namespace's first number."""
        self.sent()
        self.send(SYN, sport=sport, seq=seq, options=options, src=src)
        (answer,) = self.sent()
        assert answer.flags == SYN | ACK
        self.send(ACK, sport=sport, seq=seq + 1, ack=answer.seq + 1, src=src)
        return answer.seq

    def run(self, seconds):
        """Let time pass."""
        self.advance(self.now + int(seconds * SECOND), lambda: False)

    def stat(self, name):
        """A counter by its name."""
        from vrouter.stack.base.counters import Stat

        return self.ns.stats[Stat[name]]

    def drops(self):
        """What died, by reason."""
        return self.ns.drop_counts()


def resets(segments):
    """Those of `segments` that are resets."""
    return [segment for segment in segments if segment.flags & RST]
