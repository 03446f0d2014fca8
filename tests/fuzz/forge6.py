"""Hostile IPv6: chains of extension headers, neighbour discovery with all its options, MLD, and answers to what was
sent: other stations with our address, routers without number, redirects, errors about real packets."""

from __future__ import annotations

from random import Random
from struct import pack, unpack_from
from typing import TYPE_CHECKING

from tests.fuzz.octets import DSTOPTS, FRAGMENT, HOPOPTS, ICMPV6, NO_NEXT, ROUTING, UDP, upper6
from vrouter.testing import frames as make
from vrouter.testing import frames6 as make6
from vrouter.testing.octets import ip6_int

if TYPE_CHECKING:
    from tests.fuzz.forge import Port
    from tests.fuzz.forge_link import ForgeLink

LINK_LOCAL = 0xFE80 << 112
ALL_NODES, ALL_ROUTERS, ALL_MLD = 0xFF02 << 112 | 1, 0xFF02 << 112 | 2, 0xFF02 << 112 | 0x16
GROUPS6 = (0xFF05 << 112 | 0x123, 0xFF02 << 112 | 0xFB, 0xFF0E << 112 | 7, ALL_NODES, 0xFF01 << 112 | 1)
SPECIAL6 = (0, 1, 0xFFFF << 32 | 0x0A000001, 0x2001 << 112, (1 << 128) - 1, 0xFEC0 << 112 | 1, 0x0A000001)
ROUTER_ALERT = make6.option(5, b"\0\0")
LIFETIMES = (0, 1, 30, 1800, 7200, 86400, 0xFFFFFFFF)
_ERRORS6 = ((1, 0), (1, 1), (1, 3), (1, 4), (1, 6), (2, 0), (2, 0), (3, 0), (3, 1), (4, 0), (4, 1), (4, 2))
_WEIGHTED = (("udp", 30), ("mdns", 3), ("echo", 14), ("error", 12), ("ndp", 50), ("mld", 18), ("other", 4))


class Forge6:
    """Makes IPv6 packets for a port; chance comes from `rng`, the ports of sockets from whoever made it."""

    def __init__(self, rng: Random, link: ForgeLink, ports: list[int], idents: list[int]) -> None:
        self.rng = rng
        self.link = link
        self.ports = ports
        self.idents = idents

    # -- who and what -------------------------------------------------------------------------------------------------

    def source(self, port: Port) -> int:
        rng = self.rng
        roll = rng.random()
        if roll < 0.45 and port.near6:
            return rng.choice(port.near6)
        if roll < 0.6:
            return self.station()
        if roll < 0.85 and port.far6:
            return rng.choice(port.far6)
        if roll < 0.9 and port.own6:
            return rng.choice(port.own6)
        return rng.choice((*SPECIAL6, *GROUPS6, rng.getrandbits(128)))

    def target(self, port: Port) -> int:
        rng = self.rng
        roll = rng.random()
        if roll < 0.35 and port.own6:
            return rng.choice(port.own6)
        if roll < 0.7 and port.far6:
            return rng.choice(port.far6)
        if roll < 0.8 and port.near6:
            return rng.choice(port.near6)
        if roll < 0.92:
            return rng.choice(GROUPS6)
        if roll < 0.96 and port.near6:
            return port.near6[0] >> 64 << 64  # the routers' anycast address
        return rng.choice((*SPECIAL6, self.station(), rng.getrandbits(128)))

    def station(self) -> int:
        """The link-local address of somebody else."""
        return LINK_LOCAL | self.rng.choice((2, 3, 4, 9, 0x1_0000 + self.rng.randrange(24)))

    def mac(self) -> bytes:
        return b"\x02\x99\0\0\0" + bytes((self.rng.randrange(16),))

    # -- packets ------------------------------------------------------------------------------------------------------

    def packet(self, port: Port) -> bytes:
        """A packet of any kind."""
        rng = self.rng
        kind = rng.choices([kind for kind, _ in _WEIGHTED], [weight for _, weight in _WEIGHTED])[0]
        if kind == "ndp":
            return self.ndp(port)
        if kind == "mld":
            return self.mld(port)
        if kind == "mdns":
            src, dst = self.rng.choice((self.station(), self.source(port))), 0xFF02 << 112 | 0xFB
            return make.ipv6_udp(src, dst, 5353, 5353, self.link.dns(), hop_limit=255)
        src, dst = self.source(port), self.target(port)
        proto, segment = self.segment(kind, src, dst)
        proto, segment = self.chained(proto, segment, dst)
        return make6.ipv6(
            src,
            dst,
            proto,
            segment,
            hop_limit=rng.choice((64, 64, 64, 255, 2, 1, 0)),
            traffic_class=rng.choice((0, 0, 3, 0xC0, 255)),
            flow_label=rng.choice((0, rng.getrandbits(20))),
        )

    def segment(self, kind: str, src: int, dst: int, data: bytes | None = None) -> tuple[int, bytes]:
        rng = self.rng
        if data is None:
            size = rng.choice((0, 1, 8, 18, 56, 200)) if rng.random() < 0.85 else rng.randrange(1500)
            data = rng.randbytes(size)
        if kind == "udp":
            dport = rng.choice(self.ports) if rng.random() < 0.9 else rng.choice((5353, rng.randrange(65536)))
            sport = 5353 if dport == 5353 else rng.choice(self.ports)
            return UDP, make.udp(src, dst, sport, dport, data, checksum=None if rng.random() < 0.95 else 0)
        if kind == "echo":
            ident = rng.choice(self.idents)
            return ICMPV6, make6.icmp6_echo(src, dst, ident, rng.randrange(4), data, reply=rng.random() < 0.3)
        if kind == "error":
            inner = make.ipv6_udp(dst, src, rng.choice(self.ports), rng.choice(self.ports), data[:64])
            return ICMPV6, self.error(src, dst, inner)
        if rng.random() < 0.4:
            return ICMPV6, make6.icmp6(src, dst, rng.choice((127, 139, 140, 144, 151, 200, 0, 255)), 0, 0, data)
        return rng.choice((6, 17, 50, 51, NO_NEXT, 135, 139, 140, 253, 255)), data

    def error(self, src: int, dst: int, inner: bytes) -> bytes:
        rng = self.rng
        type_, code = rng.choice(_ERRORS6)
        rest = rng.choice((0, 40, 1279, 1280, 1300, 1499, 65535, 0xFFFFFFFF))
        return make6.icmp6_error(src, dst, type_, code, inner, rest, quote=rng.choice((1232, 1232, 48, 40, 39, 8, 0)))

    def chained(self, proto: int, segment: bytes, dst: int) -> tuple[int, bytes]:
        """With extension headers in front, mostly none."""
        rng = self.rng
        if rng.random() > 0.16:
            return proto, segment
        for _ in range(rng.choice((1, 1, 2, 3, 9))):
            roll = rng.random()
            if roll < 0.55:
                made = make6.hop_by_hop(proto, segment, self.options(), length=rng.choice((None, None, None, 0, 255)))
                proto = rng.choice((HOPOPTS, DSTOPTS, DSTOPTS))
            elif roll < 0.75:
                kind, left = rng.choice((0, 2, 3, 4, 253)), rng.choice((0, 0, 1, 255))
                made = make6.routing(proto, segment, [dst] * rng.randrange(3), type=kind, segments_left=left)
                proto = ROUTING
            elif roll < 0.9:
                offset, more = rng.choice((0, 0, 8, 65528)), rng.random() < 0.3
                made = make6.fragment_header(proto, segment, offset=offset, more=more, ident=rng.randrange(4))
                proto = FRAGMENT
            else:
                made, proto = segment, rng.choice((HOPOPTS, ROUTING, FRAGMENT, DSTOPTS, NO_NEXT))
            segment = made
        return proto, segment

    def options(self) -> bytes:
        rng = self.rng
        known = (
            make6.option(5, b"\0\0"),
            make6.option(5, rng.randbytes(rng.randrange(4))),
            make6.option(0xC2, pack("!I", 70000)),
            make6.option(rng.choice((0x3E, 0x7E, 0xBE, 0xFE)), rng.randbytes(rng.randrange(8))),
            make6.option(201, rng.randbytes(16)),
            make6.option(1, bytes(rng.randrange(9))),
            make6.option(0) * rng.randrange(9),
            make6.option(rng.randrange(256), b"ab", length=rng.choice((0, 1, 9, 255))),
            rng.randbytes(rng.randrange(20)),
        )
        return b"".join(rng.sample(known, rng.choice((0, 1, 1, 2, 4))))

    # -- neighbour discovery ------------------------------------------------------------------------------------------

    def ndp(self, port: Port) -> bytes:
        """A message of neighbour discovery, right or nearly."""
        rng = self.rng
        own = rng.choice(port.own6) if port.own6 else self.target(port)
        near = rng.choice((*port.near6, self.station(), self.station()))
        mac = rng.choice((self.mac(), self.mac(), None))
        roll = rng.random()
        if roll < 0.28:
            return self.ndp_packet(near, *self._solicitation(port, own, near, mac))
        if roll < 0.5:
            return self.ndp_packet(near, *self._advertisement(own, near, mac))
        if roll < 0.56:
            src = rng.choice((near, near, 0))
            body = make6.router_solicitation(src, ALL_ROUTERS, self._extra(), mac=mac if src else None)
            return self.ndp_packet(src, ALL_ROUTERS, body)
        if roll < 0.88:
            return self.router(port, self.station())
        target, destination = rng.choice((near, self.station())), rng.choice((*port.far6, *port.near6, near))
        quoted = make.ipv6_udp(own, destination, 7, 7, b"data") if rng.random() < 0.5 else b""
        src = self.station()
        body = make6.redirect6(
            src, own, target, rng.choice((destination, target)), self._extra(), mac=mac, packet=quoted
        )
        return self.ndp_packet(src, own, body)

    def ndp_packet(self, src: int, dst: int, message: bytes) -> bytes:
        """The packet of a message, with the hop limit that says it came from the link."""
        proto = ICMPV6
        if self.rng.random() < 0.03:
            proto, message = self.chained(proto, message, dst)
        return make6.ipv6(src, dst, proto, message, hop_limit=255 if self.rng.random() < 0.97 else 64)

    def _solicitation(self, port: Port, own: int, near: int, mac: bytes | None) -> tuple[int, bytes]:
        rng = self.rng
        zero = port.near6[0] >> 64 << 64 if port.near6 else own
        target = rng.choice((own, own, own, near, zero, self.target(port)))
        dst = rng.choice((ip6_int(make6.solicited_node(target)), own, ALL_NODES))
        return dst, make6.neighbour_solicitation(near, dst, target, self._extra(), mac=mac)

    def _advertisement(self, own: int, near: int, mac: bytes | None) -> tuple[int, bytes]:
        rng = self.rng
        target, dst = rng.choice((near, near, near, own)), rng.choice((own, ALL_NODES))
        flags = {"router": rng.random() < 0.4, "solicited": dst == own and rng.random() < 0.7}
        return dst, make6.neighbour_advertisement(
            near, dst, target, self._extra(), mac=mac, override=rng.random() < 0.6, **flags
        )

    def probe(self, target: int) -> bytes:
        """Somebody else looks whether an address is free."""
        dst = ip6_int(make6.solicited_node(target))
        nonce = make6.nd_nonce(self.rng.randbytes(6)) if self.rng.random() < 0.7 else b""
        return self.ndp_packet(0, dst, make6.neighbour_solicitation(0, dst, target, nonce))

    def router(self, port: Port, src: int) -> bytes:
        """The advertisement of one of many routers."""
        rng = self.rng
        options = b"".join(self._told(port) for _ in range(rng.choice((0, 1, 1, 2, 5, 12))))
        body = make6.router_advertisement(
            src,
            ALL_NODES,
            options + self._extra(),
            mac=rng.choice((self.mac(), None)),
            hop_limit=rng.choice((0, 1, 64, 255)),
            flags=rng.choice((0, 0x80, 0x40, 0x08, 0x18, 0x10, 0xFF)),
            lifetime=rng.choice((0, 1, 30, 1800, 9000, 65535)),
            reachable=rng.choice((0, 1, 30000, 3600001, 0xFFFFFFFF)),
            retrans=rng.choice((0, 1, 10, 1000, 0xFFFFFFFF)),
        )
        return self.ndp_packet(src, rng.choice((ALL_NODES, ALL_NODES, *port.own6)), body)

    def _told(self, port: Port) -> bytes:
        rng = self.rng
        life = rng.choice(LIFETIMES)
        net = rng.choice((*port.own6, 0xFD01 << 112 | rng.randrange(48) << 64, LINK_LOCAL, GROUPS6[0])) >> 64 << 64
        roll = rng.random()
        if roll < 0.45:
            length = rng.choice((64, 64, 64, 64, 48, 128, 0, 129))
            flags = rng.choice((0xC0, 0xC0, 0x40, 0x80, 0))
            return make6.nd_prefix(net, length, valid=life, preferred=rng.choice((0, 1, life)), flags=flags)
        if roll < 0.55:
            return make6.nd_mtu(rng.choice((0, 1279, 1280, 1400, 9000, 0xFFFFFFFF)))
        if roll < 0.7:  # RFC 4191 2.3
            length = rng.choice((0, 16, 48, 64, 64, 128, 130))
            body = (
                pack("!BBI", length, rng.choice((0, 8, 0x18, 0x10)), life)
                + net.to_bytes(16, "big")[: rng.choice((0, 8, 16))]
            )
            return make6.nd_option(24, body)
        if roll < 0.8:  # RFC 8106 5.1
            servers = b"".join((net | host).to_bytes(16, "big") for host in range(rng.randrange(4)))
            return make6.nd_option(25, bytes(2) + pack("!I", life) + servers)
        if roll < 0.9:  # RFC 8106 5.2
            names = b"".join(
                rng.choice((b"\1a\2xy\0", b"\x3fz", b"\xc0\0", b"\4%04d\0" % rng.randrange(99))) for _ in range(3)
            )
            return make6.nd_option(31, bytes(2) + pack("!I", life) + names)
        return make6.nd_option(38, pack("!H", rng.getrandbits(16)) + rng.randbytes(12))  # RFC 8781 4

    def _extra(self) -> bytes:
        """More options: mostly none."""
        rng = self.rng
        if rng.random() < 0.85:
            return b""
        return rng.choice(
            (
                make6.nd_option(rng.randrange(256), rng.randbytes(6)),
                make6.nd_option(rng.randrange(40), rng.randbytes(14), length=rng.choice((0, 1, 3, 255))),
                make6.source_mac(rng.choice((b"\xff" * 6, bytes(6), b"\x01\0\x5e\0\0\1"))),
                make6.target_mac(self.mac()) + make6.target_mac(self.mac()),
                make6.nd_nonce(rng.randbytes(6)),
                rng.randbytes(rng.randrange(17)),
            )
        )

    # -- groups -------------------------------------------------------------------------------------------------------

    def mld(self, port: Port) -> bytes:
        """A message of MLD behind its router alert."""
        rng = self.rng
        src = rng.choice((self.station(), self.station(), self.station(), 0, self.source(port)))
        group = rng.choice((*GROUPS6, 0xFF05 << 112 | rng.getrandbits(12)))
        sources = [rng.choice((*port.far6, rng.getrandbits(128))) for _ in range(rng.choice((0, 0, 1, 3, 30)))]
        roll = rng.random()
        if roll < 0.35:
            about = rng.choice((0, 0, group))
            dst = about or ALL_NODES
            body = make6.mld_query(
                src,
                dst,
                about,
                sources if about else (),
                version=rng.choice((1, 2, 2)),
                max_response=rng.choice((0, 1, 1000, 10000, 0xFFFF)),
                suppress=rng.random() < 0.2,
                robustness=rng.choice((0, 1, 2, 7)),
                interval=rng.choice((0, 1, 125, 255)),
            )
        elif roll < 0.55:
            dst = rng.choice((group, ALL_ROUTERS))
            body = make6.mld_report(src, dst, group, done=dst == ALL_ROUTERS)
        else:
            dst = ALL_MLD
            records = [self._record(port, sources) for _ in range(rng.choice((1, 1, 2, 9)))]
            body = make6.mld2_report(src, dst, *records, count=rng.choice((None, None, None, 0, 99)))
        return self.alerted(src, dst, body)

    def _record(self, port: Port, sources: list[int]) -> bytes:
        rng = self.rng
        group = rng.choice((*GROUPS6, 0xFF05 << 112 | rng.getrandbits(12)))
        return make6.mld_record(rng.choice((1, 2, 3, 4, 5, 6, 6, 7)), group, sources, bytes(rng.choice((0, 0, 4))))

    def alerted(self, src: int, dst: int, message: bytes) -> bytes:
        rng = self.rng
        if rng.random() < 0.04:
            return make6.ipv6(src, dst, ICMPV6, message, hop_limit=1)
        option = ROUTER_ALERT if rng.random() < 0.97 else self.options()
        return make6.ipv6(
            src, dst, HOPOPTS, make6.hop_by_hop(ICMPV6, message, option), hop_limit=rng.choice((1,) * 20 + (64,))
        )

    # -- answers ------------------------------------------------------------------------------------------------------

    def answer(self, port: Port, sent: bytes) -> bytes:
        """What somebody on the link says to the packet `sent`."""
        rng = self.rng
        if len(sent) < 48:
            return self.ndp(port)
        src, dst = (int.from_bytes(sent[at : at + 16], "big") for at in (8, 24))
        proto, at = upper6(sent)
        if proto == ICMPV6 and len(sent) >= at + 8:
            found = self._answer_message(port, sent, at, src, dst)
            if found is not None:
                return found
        roll = rng.random()
        if roll < 0.5 and src:
            teller = rng.choice((dst, self.source(port), self.station()))
            return make6.ipv6(teller, src, ICMPV6, self.error(teller, src, sent))
        if proto == UDP and len(sent) >= at + 8:
            sport, dport = unpack_from("!HH", sent, at)
            return make.ipv6_udp(dst, src, dport, sport, sent[at + 8 :][:200])
        return sent

    def _answer_message(self, port: Port, sent: bytes, at: int, src: int, dst: int) -> bytes | None:
        rng = self.rng
        kind = sent[at]
        if kind == 128:
            ident, sequence = unpack_from("!HH", sent, at + 4)
            return make6.ipv6_echo(dst, src, ident, sequence, sent[at + 8 :], reply=True)
        if kind == 135 and len(sent) >= at + 24:
            target = int.from_bytes(sent[at + 8 : at + 24], "big")
            if not src and rng.random() < 0.5:
                return self.probe(target)
            to = src or ALL_NODES
            body = make6.neighbour_advertisement(
                target,
                to,
                target,
                mac=rng.choice((self.mac(), self.mac(), None)),
                router=rng.random() < 0.5,
                solicited=to != ALL_NODES,
                override=rng.random() < 0.8,
            )
            return self.ndp_packet(target, to, body)
        if kind in (133, 134):
            return self.router(port, src if kind == 134 and rng.random() < 0.2 else self.station())
        if kind in (130, 131, 132, 143):
            return self.mld(port)
        return None

    # -- many ---------------------------------------------------------------------------------------------------------

    def fragments(self, port: Port) -> list[bytes]:
        """The pieces of a datagram in disorder, with duplicates, overlaps, contradictions, holes."""
        rng = self.rng
        src, dst = self.source(port), self.target(port)
        data = rng.randbytes(rng.choice((600, 1400, 3000, 9000)))
        proto, segment = self.segment(rng.choice(("udp", "echo", "error", "other")), src, dst, data)
        if rng.random() < 0.2:
            proto, segment = DSTOPTS, make6.destination_options(proto, segment, self.options())
        packet = make6.ipv6(src, dst, proto, segment)
        pieces = make6.fragments6(packet, rng.choice((96, 576, 1280, 1280)), rng.randrange(1 << 16))[:64]
        if rng.random() < 0.6:
            rng.shuffle(pieces)
        roll = rng.random()
        at = rng.randrange(len(pieces))
        piece = bytearray(pieces[at])
        if roll < 0.5 or piece[6] != FRAGMENT:
            return pieces
        if roll < 0.6:
            pieces.append(pieces[at])
        elif roll < 0.72:
            del pieces[at]
        elif roll < 0.9:
            word = unpack_from("!H", piece, 42)[0]
            word = rng.choice((word ^ 1, word ^ 8, 65528, word & 1, 9, 0xFFFF))
            piece[42:44] = word.to_bytes(2, "big")
            pieces.insert(at, bytes(piece))
        else:  # RFC 7112: the chain goes on in the next one
            piece[40] = rng.choice((HOPOPTS, ROUTING, DSTOPTS, ICMPV6, 255))
            pieces.insert(at, bytes(piece))
        return pieces

    def flood(self, port: Port) -> list[bytes]:
        """Many packets that each want a piece of a bounded table."""
        rng = self.rng
        count = rng.choice((20, 60, 150))
        src, dst = self.source(port), self.target(port)
        net = (port.near6[0] if port.near6 else src) >> 64 << 64
        kind = rng.randrange(8)
        if kind == 0:
            head = [make6.fragment_header(UDP, bytes(rng.choice((8, 1200))), more=True, ident=i) for i in range(count)]
            return [make6.ipv6(src, dst, FRAGMENT, piece) for piece in head]
        if kind == 1:  # RFC 6583
            far = (rng.choice(port.far6) if port.far6 else dst) >> 64 << 64
            return [make.ipv6_udp(src, far | rng.getrandbits(20), 1, 9, b"scan") for _ in range(count)]
        if kind == 2:
            own = rng.choice(port.own6) if port.own6 else dst
            sources = [net | 0x100 + i for i in range(rng.choice((count, 1200)))]
            return [self.ndp_packet(s, own, make6.neighbour_solicitation(s, own, own, mac=self.mac())) for s in sources]
        if kind == 3:
            return [self.router(port, LINK_LOCAL | 0x2_0000 + i) for i in range(count)]
        if kind == 4:
            return [make.ipv6_udp(net | 0x200 + i, dst, 1, 9, hop_limit=1) for i in range(count)]
        if kind == 5:
            own = rng.choice(port.own6) if port.own6 else dst
            inner = [make.ipv6_udp(own, net | 0x300 + i, 7, 7) for i in range(count)]
            return [make6.ipv6(src, own, ICMPV6, make6.icmp6_error(src, own, 2, 0, one, 1290)) for one in inner]
        if kind == 6:
            low = rng.randrange(1 << 16) << 16
            zero = net  # the routers' anycast address: delayed answers
            group = ip6_int(make6.solicited_node(zero))
            sources = [LINK_LOCAL | low | i for i in range(count)]
            return [
                self.ndp_packet(s, group, make6.neighbour_solicitation(s, group, zero, mac=self.mac())) for s in sources
            ]
        groups = [0xFF05 << 112 | rng.getrandbits(16) for _ in range(rng.choice((count, 1100)))]
        src = self.station()
        chunks = [groups[i : i + 60] for i in range(0, len(groups), 60)]
        return [
            self.alerted(src, ALL_MLD, make6.mld2_report(src, ALL_MLD, *(make6.mld_record(4, g) for g in chunk)))
            for chunk in chunks
        ]
