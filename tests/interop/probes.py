"""The probes that both routers get under ordinary settings, and what probes are made of."""

from __future__ import annotations

from tests.interop.case import ROUTER_A, Case, Probe, Whole
from vrouter.testing import frames

R, R2, RB, B = "10.1.0.1", "10.1.0.129", "10.2.0.1", "10.2.0.2"  # the router's addresses, a host on B
EVERYBODY = frames.BROADCAST
GROUP = "01:00:5e:00:00:01"


def udp(dst: str, size: int = 18, **header: int | str | bool) -> Probe:
    return lambda c: c.udp(dst, size, **header)


def echo(dst: str, size: int = 8, **header: int | str | bool) -> Probe:
    return lambda c: c.echo(dst, size, **header)


def icmp(dst: str, type_: int, code: int = 0, payload: bytes = b"", **header: int) -> Probe:
    return lambda c: c.icmp(dst, type_, code, payload, **header)


def bare(dst: str, proto: int, payload: bytes = b"", **header: int) -> Probe:
    return lambda c: c.ip(dst, proto, payload, **header)


def error(type_: int, code: int) -> Probe:
    return lambda c: c.error(B, type_, code, ttl=1)


def option(hexed: str, dst: str = B, size: int = 8, **header: int) -> Probe:
    return lambda c: c.udp(dst, size, options=bytes.fromhex(hexed), **header)


def option_echo(hexed: str, dst: str = R) -> Probe:
    return lambda c: c.echo(dst, options=bytes.fromhex(hexed))


def linked(mac: str, probe: Probe) -> Probe:
    """The probe's packet in a frame to `mac`."""
    return lambda c: c.link(mac, probe(c))


def edited(at: int, value: bytes, header_len: int = 20) -> Probe:
    """A packet to B with these octets in its header, and the checksum over `header_len` right again."""

    def probe(c: Case) -> bytes:
        data = bytearray(c.udp(B))
        data[at : at + len(value)] = value
        data[10:12] = b"\0\0"
        data[10:12] = frames.internet_checksum(bytes(data[:header_len])).to_bytes(2, "big")
        return bytes(data)

    return probe


def checksum_of_zeros(c: Case) -> bytes:
    """A packet whose header checksum is 0x0000, by the choice of the host on B."""
    missing = int.from_bytes(c.udp("10.2.0.0")[10:12], "big")
    packet = c.udp(f"10.2.{missing >> 8}.{missing & 255}")
    assert packet[10:12] == b"\0\0"
    return packet


def pieces(c: Case, size: int = 2900, mtu: int = 1020, **header: int | bytes) -> list[bytes]:
    """An echo request to the router in fragments."""
    return frames.fragments(c.echo(R, size, **header), mtu)


def part(c: Case, offset: int, size: int, *, mf: bool, dst: str = R, fill: int = 0) -> bytes:
    """A fragment of a UDP packet to closed port 0."""
    return c.ip(dst, frames.UDP, bytes([fill]) * size, offset=offset, mf=mf)


def with_octet(packet: bytes, at: int, octet: int) -> bytes:
    """The packet with another octet in its header, of 20 octets, and the checksum right again."""
    data = bytearray(packet)
    data[at] = octet
    data[10:12] = b"\0\0"
    data[10:12] = frames.internet_checksum(bytes(data[:20])).to_bytes(2, "big")
    return bytes(data)


def toses(c: Case, each: tuple[int, ...]) -> list[bytes]:
    """An echo request in fragments with a TOS octet each."""
    return [with_octet(piece, 1, tos) for piece, tos in zip(pieces(c), each, strict=True)]


def cut(size: int) -> Probe:
    """The first octets of a packet."""
    return lambda c: c.link(ROUTER_A, c.udp(B)[:size])


SOURCES = (
    "0.0.0.0", "0.1.2.3", "127.0.0.1", "255.255.255.255", "224.0.0.5", "240.1.1.1", "10.1.255.255", "10.2.255.255",
    "10.1.0.0", "10.1.0.1", "10.2.0.1", "169.254.1.1", "5.5.5.5", "10.2.0.2",
)  # fmt: skip
DESTINATIONS = (
    "0.0.0.0", "0.1.2.3", "127.0.0.1", "240.1.1.1", "255.255.255.254", "10.2.0.0", "10.1.0.0", "10.2.255.255",
    "10.1.255.255", "255.255.255.255", "224.0.0.1", "224.1.1.1", "239.1.1.1", "169.254.7.7", "169.254.9.9",
    "10.13.255.255",
)  # fmt: skip
OPTION_AREAS = {
    "record route, room": "07070400000000",
    "record route, room for two": "070b040000000000000000",
    "record route, full": "07070801020304",
    "record route, room for less": "07070500000000",
    "record route, pointer 3": "07070300000000",
    "record route, pointer 0": "07070000000000",
    "record route, pointer 255": "0707ff00000000",
    "record route, length 2": "0702",
    "record route, length 3": "070304",
    "record route, length 4": "07040400",
    "record route, length 6": "070604000000",
    "record route, after nops": "01010107070400000000",
    "record route, twice": "0707040000000007070400000000",
    "timestamp, room": "4408050000000000",
    "timestamp, full": "4408090011111111",
    "timestamp, full, overflow 15": "440809f011111111",
    "timestamp and address, room": "440c05010000000000000000",
    "timestamp and address, room for two": "4414050100000000000000000000000000000000",
    "timestamp and address, room for less": "4408050100000000",
    "timestamp prespecified, ours": "440c05030a01000100000000",
    "timestamp prespecified, b's": "440c05030a02000100000000",
    "timestamp prespecified, somebody's": "440c05030a09010100000000",
    "timestamp prespecified, full": "440c0d030a09010111111111",
    "timestamp, flag 2": "4408050200000000",
    "timestamp, pointer 4": "4408040000000000",
    "timestamp, length 3": "440305",
    "timestamp, length 4": "44040500",
    "timestamp, twice": "44080500000000004408050000000000",
    "loose source route": "8307040a020002",
    "loose source route, complete": "8307080a010001",
    "loose source route, pointer 3": "8307030a020002",
    "strict source route": "8907040a020002",
    "strict source route, complete": "8907080a010001",
    "security": "820b000000000000000000",
    "stream id": "88040001",
    "router alert": "94040000",
    "router alert, length 3": "940300",
    "traceroute": "520c00010000000000000000",
    "unknown": "5e040000",
    "unknown, copied": "9e040000",
    "unknown, length 0": "5e00",
    "unknown, length 1": "5e01",
    "unknown, too long": "5e3c0000",
    "unknown, no length": "0101015e",
    "cipso": "86040000",
    "nops": "01010101",
    "nothing after the end": "00000000",
    "junk after the end": "01010007",
    "area of forty": "01" * 40,
    "record route, area of forty": "072704" + "00" * 36,
}

PLAIN: dict[str, Probe] = {
    "udp through": udp(B),
    "udp through, by a gateway": udp("10.13.0.1"),
    "udp through, padded frame": lambda c: c.link(ROUTER_A, c.udp(B) + bytes(20)),
    "udp through, tos 0xfd": udp(B, tos=0xFD),
    "udp through, df": udp(B, df=True),
    "udp through, reserved flag": udp(B, reserved=True),
    "udp through, as large as the mtu": udp(B, 1372),
    "udp through, no checksum": lambda c: c.ip(B, 17, frames.udp(c.src, B, 1, 9, b"x", checksum=0)),
    "udp through, wrong checksum": lambda c: c.ip(B, 17, frames.udp(c.src, B, 1, 9, b"x", checksum=0x1234)),
    "no payload through": bare(B, 17),
    "unknown protocol through": bare(B, 200, b"z" * 30),
    "tcp through": bare(B, 6, bytes(20)),
    "echo through": echo(B),
    "header checksum 0x0000": checksum_of_zeros,
    "to another host's mac": linked("02:00:00:00:00:99", udp(B)),
    "source and destination the same": lambda c: c.udp(c.src),
}
TTL: dict[str, Probe] = {
    "ttl 0 through": udp(B, ttl=0),
    "ttl 1 through": udp(B, ttl=1),
    "ttl 2 through": udp(B, ttl=2),
    "ttl 255 through": udp(B, ttl=255),
    "ttl 0 to the router": udp(R, ttl=0),
    "ttl 1 to the router": udp(R, ttl=1),
    "ttl 1 to the router's far address": udp(RB, ttl=1),
    "ttl 1 to the second address": udp(R2, ttl=1),
    "ttl 1, 1400 bytes": udp(B, 1372, ttl=1),
    "ttl 1, df": udp(B, ttl=1, df=True),
    "ttl 1, tos 0x5c": udp(B, ttl=1, tos=0x5C),
    "ttl 1, tos 0xff": udp(B, ttl=1, tos=0xFF),
    "ttl 1, no route": udp("99.1.1.1", ttl=1),
    "ttl 1, prohibit": udp("10.11.0.1", ttl=1),
    "ttl 1, unreachable": udp("10.10.0.1", ttl=1),
    "ttl 1, blackhole": udp("10.12.0.1", ttl=1),
    "ttl 1, too big with df": udp(B, 1472, ttl=1, df=True),
    "ttl 1, too big": udp(B, 1472, ttl=1),
    "ttl 1, redirect": udp("10.9.0.1", ttl=1),
    "ttl 1, echo": echo(B, ttl=1),
    "ttl 1, echo reply": icmp(B, 0, ttl=1),
    "ttl 1, timestamp": icmp(B, 13, 0, bytes(12), ttl=1),
    "ttl 1, error 3/3": error(3, 3),
    "ttl 1, error 4/0": error(4, 0),
    "ttl 1, error 5/1": error(5, 1),
    "ttl 1, error 11/0": error(11, 0),
    "ttl 1, error 12/0": error(12, 0),
    "ttl 1, unknown icmp type": icmp(B, 77, ttl=1),
    "ttl 1, icmp of no octets": bare(B, 1, ttl=1),
    "ttl 1, icmp of one octet": bare(B, 1, b"\x08", ttl=1),
    "ttl 1, unknown protocol": bare(B, 200, b"z" * 30, ttl=1),
    "ttl 1, padded frame": lambda c: c.link(ROUTER_A, c.udp(B, ttl=1) + bytes(20)),
    "ttl 1, first fragment": bare(B, 17, bytes(16), ttl=1, mf=True),
    "ttl 1, later fragment": bare(B, 17, bytes(16), ttl=1, offset=32),
    "ttl 1, record route": option("07070400000000", ttl=1),
    "ttl 1, unknown option": option("5e040000", ttl=1),
    "ttl 1, loose source route": option("8307040a020002", ttl=1),
}
ROUTES: dict[str, Probe] = {
    "no route": udp("99.1.1.1"),
    "no route, tos 0x5c": udp("99.1.1.1", tos=0x5C),
    "no route, 1400 bytes": udp("99.1.1.1", 1372),
    "no route, echo": echo("99.1.1.1"),
    "no route, icmp error": lambda c: c.error("99.1.1.1", 3, 3),
    "no route, later fragment": bare("99.1.1.1", 17, bytes(16), offset=32),
    "unreachable": udp("10.10.0.1"),
    "unreachable within a wider route": udp("10.13.9.1"),
    "a host route within an unreachable one": udp("10.13.9.9"),
    "prohibit": udp("10.11.0.1"),
    "prohibit, echo": echo("10.11.0.1"),
    "blackhole": udp("10.12.0.1"),
    "no answer to arp": lambda c: c.udp(c.deaf),
    "no answer to arp, three packets": lambda c: [c.udp(c.deaf), c.udp(c.deaf, 19), c.echo(c.deaf)],
    "no answer to arp, icmp error": lambda c: c.error(c.deaf, 3, 3),
    "no answer to arp, 1400 bytes": lambda c: c.udp(c.deaf, 1372, tos=0x5C),
    "redirect": udp("10.9.0.1"),
    "redirect, echo": echo("10.9.0.1"),
    "redirect, icmp error": lambda c: c.error("10.9.0.1", 3, 3),
    "redirect, large": udp("10.9.0.1", 1372),
    "redirect, from another subnet": udp("10.9.0.1", src="10.77.0.1"),
    "to a host on the sender's own subnet": udp("10.1.0.9"),
    "redirect, later fragment": bare("10.9.0.1", 17, bytes(16), offset=32),
}
PORTS: dict[str, Probe] = {
    "closed port": udp(R),
    "closed port, far address": udp(RB),
    "closed port, second address": udp(R2),
    "closed port, tos 0x5c": udp(R, tos=0x5C),
    "closed port, tos 0xff": udp(R, tos=0xFF),
    "closed port, 1400 bytes": udp(R, 1372),
    "closed port, no payload": udp(R, 0),
    "closed port, port 0": udp(R, dport=0),
    "closed port, no checksum": lambda c: c.ip(R, 17, frames.udp(c.src, R, 1, 9, b"x", checksum=0)),
    "closed port, wrong checksum": lambda c: c.ip(R, 17, frames.udp(c.src, R, 1, 9, b"x", checksum=0x1234)),
    "closed port, length too large": lambda c: c.ip(R, 17, frames.udp(c.src, R, 1, 9, b"x", length=60)),
    "closed port, length 7": lambda c: c.ip(R, 17, frames.udp(c.src, R, 1, 9, b"x", length=7)),
    "closed port, length shorter than the packet": lambda c: c.ip(R, 17, frames.udp(c.src, R, 1, 9, b"xy") + b"more"),
    "closed port, seven octets": bare(R, 17, bytes(7)),
    "closed port, padded frame": lambda c: c.link(ROUTER_A, c.udp(R) + bytes(20)),
    "closed port, broadcast of the link": linked(EVERYBODY, udp("10.1.255.255")),
    "closed port, limited broadcast": linked(EVERYBODY, udp("255.255.255.255")),
    "closed port, all hosts": linked(GROUP, udp("224.0.0.1")),
    "unknown protocol": bare(R, 200, b"z" * 30),
    "unknown protocol, no payload": bare(R, 200),
    "unknown protocol, far address": bare(RB, 132, b"z" * 30, tos=0x10),
    "unknown protocol, limited broadcast": linked(EVERYBODY, bare("255.255.255.255", 200, b"z" * 30)),
    "unknown protocol, all hosts": linked(GROUP, bare("224.0.0.1", 200, b"z" * 30)),
}
SIZES: dict[str, Probe] = {
    "too big with df": udp(B, 1472, df=True),
    "too big with df, one octet": udp(B, 1373, df=True),
    "too big with df, tos 0x5c": udp(B, 1472, df=True, tos=0x5C),
    "too big with df, icmp error": lambda c: c.ip(B, 1, frames.icmp_error(3, 3, bytes(1400)), df=True),
    "too big with df, first fragment": bare(B, 17, bytes(1472), df=True, mf=True),
    "too big with df, later fragment": bare(B, 17, bytes(1472), df=True, offset=1480),
    "too big": udp(B, 1472),
    "too big, one octet": udp(B, 1373),
    "too big, reserved flag and tos": udp(B, 1472, reserved=True, tos=0x5D),
    "too big, first fragment": bare(B, 17, bytes(1472), mf=True),
    "too big, middle fragment": bare(B, 17, bytes(1472), mf=True, offset=1480),
    "too big, last fragment": bare(B, 17, bytes(1471), offset=2960),
    "too big, by a gateway": udp("10.13.0.1", 1472),
    "too big, router alert": option("94040000", size=1460),
    "too big, unknown copied option": option("9e04aabb", size=1460),
    "too big, record route and router alert": option("0707040000000094040000", size=1450),
}
FRAGMENTS: dict[str, Probe] = {
    "echo of 2900 in order": lambda c: pieces(c),
    "echo of 2900 reversed": lambda c: pieces(c)[::-1],
    "echo of 2900, middle first": lambda c: [pieces(c)[at] for at in (1, 0, 2)],
    "echo of 2900, each piece twice": lambda c: [piece for piece in pieces(c) for _ in range(2)],
    "echo of 2900, all of it twice": lambda c: pieces(c) * 2,
    "echo of 8000": lambda c: pieces(c, 8000, 1500),
    "echo of 65507": lambda c: pieces(c, 65507, 1500),
    "echo in pieces of 8": lambda c: pieces(c, 120, 28),
    "pieces of the smallest mtu, reversed": lambda c: pieces(c, 600, 68)[::-1],
    "tos of each piece": lambda c: [
        with_octet(piece, 1, tos) for piece, tos in zip(pieces(c), (4, 8, 16), strict=True)
    ],
    "ecn: ce on one piece": lambda c: [
        with_octet(piece, 1, tos) for piece, tos in zip(pieces(c), (2, 3, 2), strict=True)
    ],
    "ecn: not-ect and ce": lambda c: [
        with_octet(piece, 1, tos) for piece, tos in zip(pieces(c), (0, 3, 0), strict=True)
    ],
    "record route in the first piece": lambda c: pieces(c, options=bytes.fromhex("070b040000000000000000")),
    "to a closed port": lambda c: frames.fragments(c.udp(R, 2900), 1020),
    "to a closed port, reversed": lambda c: frames.fragments(c.udp(R, 2900), 1020)[::-1],
    "to a closed port, df on the pieces": lambda c: [
        with_octet(piece, 6, piece[6] | 0x40) for piece in frames.fragments(c.udp(R, 2900), 1020)
    ],
    "to a closed port, the last alone large": lambda c: [part(c, 0, 8, mf=True), part(c, 8, 1400, mf=False)],
    "to an unknown protocol": lambda c: frames.fragments(c.ip(R, 200, bytes(2900)), 1020),
    "same identification, other protocol": lambda c: [
        one for pair in zip(pieces(c), frames.fragments(c.udp(R, 2900), 1020), strict=True) for one in pair
    ],
    "overlap of eight": lambda c: [part(c, 0, 32, mf=True), part(c, 24, 32, mf=False)],
    "overlap, one inside the other": lambda c: [part(c, 0, 64, mf=True), part(c, 16, 16, mf=True)],
    "overlap, then the rest": lambda c: [part(c, at, size, mf=at < 56) for at, size in ((0, 32), (24, 32), (56, 8))],
    "same place, other length": lambda c: [part(c, at, size, mf=at < 40) for at, size in ((0, 32), (0, 40), (40, 8))],
    "same place, other bytes": lambda c: [
        part(c, 8, 32, mf=True),
        part(c, 8, 32, mf=True, fill=0x62),
        part(c, 40, 8, mf=False),
        *frames.fragments(c.udp(R, 0, mf=True), 1020),
    ],
    "two ends": lambda c: [part(c, 64, 8, mf=False), part(c, 32, 8, mf=False), part(c, 0, 32, mf=True)],
    "beyond the end": lambda c: [part(c, 32, 8, mf=False), part(c, 64, 8, mf=True), part(c, 0, 32, mf=True)],
    "beyond 65535": lambda c: [part(c, 65528, 100, mf=False), part(c, 0, 8, mf=True)],
    "piece of no multiple of eight": lambda c: [part(c, 0, 33, mf=True), part(c, 32, 8, mf=False)],
    "empty piece": lambda c: [part(c, 0, 0, mf=True), part(c, 0, 32, mf=True), part(c, 32, 8, mf=False)],
    "the first alone": lambda c: pieces(c)[:1],
    "the first alone, tos 0x5c": lambda c: pieces(c, tos=0x5C)[:1],
    "the first alone, to a closed port": lambda c: frames.fragments(c.udp(R, 2900), 1020)[:1],
    "the first alone, far address": lambda c: frames.fragments(c.udp(RB, 2900), 1020)[:1],
    "the last missing": lambda c: pieces(c)[:2],
    "the middle missing": lambda c: pieces(c)[::2],
    "the first missing": lambda c: pieces(c)[1:],
    "the first alone, to the broadcast": lambda c: [c.link(EVERYBODY, part(c, 0, 32, mf=True, dst="10.1.255.255"))],
    "the first alone, an icmp error": lambda c: frames.fragments(c.error(R, 3, 3), 44)[:1],
    "through, in order": lambda c: frames.fragments(c.udp(B, 2900), 1020),
    "through, overlapping": lambda c: [part(c, 0, 32, mf=True, dst=B), part(c, 24, 32, mf=False, dst=B)],
    "through, empty piece": lambda c: [part(c, 8, 0, mf=True, dst=B)],
    "through, beyond 65535": lambda c: [part(c, 65528, 100, mf=False, dst=B)],
    "the first alone, the last of all": lambda c: pieces(c)[:1],
}
ADDRESSES: dict[str, Probe] = {
    **{f"source {src} through": udp(B, src=src) for src in SOURCES},
    **{f"source {src} to a closed port": udp(R, src=src) for src in SOURCES},
    **{f"echo from {src}": echo(R, src=src) for src in ("0.0.0.0", "127.0.0.1", "10.1.0.1", "224.0.0.5")},
    **{f"to {dst}": udp(dst) for dst in DESTINATIONS},
    "to the broadcast of B, echo": echo("10.2.255.255"),
    "from 0.0.0.0 to everybody": linked(EVERYBODY, udp("255.255.255.255", src="0.0.0.0")),
}
LINK: dict[str, Probe] = {
    **{
        f"{what} in a {kind} frame": linked(mac, probe)
        for kind, mac in (("broadcast", EVERYBODY), ("multicast", GROUP))
        for what, probe in {
            "udp through": udp(B),
            "ttl 1": udp(B, ttl=1),
            "no route": udp("99.1.1.1"),
            "prohibit": udp("10.11.0.1"),
            "too big with df": udp(B, 1472, df=True),
            "redirect": udp("10.9.0.1"),
            "bad option": option("5e00"),
            "closed port": udp(R),
            "unknown protocol": bare(R, 200, b"z"),
        }.items()
    },
    "echo in a broadcast frame": linked(EVERYBODY, echo(R)),
    "a source mac of a group": lambda c: Whole(frames.ethernet(ROUTER_A, GROUP, frames.IPV4, c.echo(R))),
}
ICMP: dict[str, Probe] = {
    "echo": echo(R),
    "echo, no data": echo(R, 0),
    "echo, one octet": echo(R, 1),
    "echo, 1472 octets": echo(R, 1472),
    "echo, df and tos 0xb9": echo(R, df=True, tos=0xB9),
    "echo, ttl 1": echo(R, ttl=1),
    "echo to the far address": echo(RB),
    "echo to the second address": echo(R2),
    "echo, code 5": icmp(R, 8, 5, b"data"),
    "echo, padded frame": lambda c: c.link(ROUTER_A, c.echo(R) + bytes(10)),
    "echo to the link's broadcast": linked(EVERYBODY, echo("10.1.255.255")),
    "echo to everybody": linked(EVERYBODY, echo("255.255.255.255")),
    "echo to all hosts": linked(GROUP, echo("224.0.0.1")),
    "echo, wrong checksum": lambda c: c.ip(R, 1, frames.icmp(8, 0, c.ident << 16, b"x", checksum=0x1234)),
    "echo of three octets": bare(R, 1, b"\x08\0\xf7"),
    "echo reply nobody waits for": icmp(R, 0),
    "timestamp": icmp(R, 13, 0, bytes(12)),
    "timestamp, far address": icmp(RB, 13, 0, bytes(12)),
    "timestamp without times": icmp(R, 13),
    "information request": icmp(R, 15),
    "address mask request": icmp(R, 17, 0, bytes(4)),
    "router solicitation": icmp(R, 10),
    "unknown icmp type": icmp(R, 77),
    "icmp of no octets": bare(R, 1),
    "error about nothing of ours": lambda c: c.error(R, 3, 3),
    "error that quotes nothing": icmp(R, 3, 3),
    "source quench": lambda c: c.error(R, 4),
}
OPTIONS: dict[str, Probe] = {
    **{f"option {name}": option(hexed) for name, hexed in OPTION_AREAS.items()},
    **{f"option {name}, echo": option_echo(hexed) for name, hexed in OPTION_AREAS.items()},
    "record route, closed port": option("070b040000000000000000", dst=R),
    "record route and timestamp": option("07070400000000440805000000000000"),
    "record route, redirect": option("07070400000000", dst="10.9.0.1"),
    "record route, no route": option("07070400000000", dst="99.1.1.1"),
    "loose source route, closed port": option("8307040a020002", dst=R),
    "malformed option to the broadcast": linked(EVERYBODY, option("5e00", dst="10.1.255.255")),
    "malformed option in an icmp error": lambda c: c.error(B, 3, 3, options=b"\x5e\0"),
    "malformed option in a later fragment": bare(B, 17, bytes(16), offset=32, options=b"\x5e\0"),
}
HEADERS: dict[str, Probe] = {
    "wrong checksum": lambda c: c.udp(B, checksum=0x1234),
    "checksum of zeros": lambda c: c.udp(B, checksum=0),
    "version 5": edited(0, b"\x55"),
    "version 6": edited(0, b"\x65"),
    "header length 4": edited(0, b"\x44", 16),
    "header length beyond the packet": edited(0, b"\x4f"),
    "total length 10": edited(2, b"\0\x0a"),
    "total length of the header": edited(2, b"\0\x14"),
    "total length beyond the frame": edited(2, b"\x03\xe8"),
    **{f"cut to {size} octets": cut(size) for size in (0, 1, 19, 20, 45)},
}
ARP: dict[str, Probe] = {
    "arp for the router": lambda c: c.arp(R),
    "arp for the second address": lambda c: c.arp(R2),
    "arp for the far address": lambda c: c.arp(RB),
    "arp for somebody else": lambda c: c.arp("10.1.0.77"),
    "arp for a host on B": lambda c: c.arp(B),
    "arp for the broadcast": lambda c: c.arp("10.1.255.255"),
    "arp for loopback": lambda c: c.arp("127.0.0.1"),
    "arp for a group": lambda c: c.arp("224.0.0.1"),
    "arp probe": lambda c: c.arp(R, spa="0.0.0.0"),
    "arp to the router's mac": lambda c: c.arp(R, dst=ROUTER_A),
    "arp from another subnet": lambda c: c.arp(R, spa="10.77.0.1"),
    "arp from B's subnet": lambda c: c.arp(R, spa="10.2.0.77"),
    "arp from loopback": lambda c: c.arp(R, spa="127.0.0.1"),
    "arp from a group": lambda c: c.arp(R, spa="224.0.0.1"),
    "arp from the router's address": lambda c: c.arp(R, spa=R),
    "arp for oneself": lambda c: c.arp(c.src),
    "arp reply": lambda c: c.arp(R, 2),
    "arp, operation 3": lambda c: c.arp(R, 3),
    "arp, operation 0": lambda c: c.arp(R, 0),
    "arp, hardware of ieee 802": lambda c: c.arp(R, htype=6),
    "arp, hardware 2": lambda c: c.arp(R, htype=2),
    "arp, protocol ipv6": lambda c: c.arp(R, ptype=0x86DD),
    "arp, hardware length 8": lambda c: c.arp(R, hlen=8),
    "arp, protocol length 16": lambda c: c.arp(R, plen=16),
    "arp cut short": lambda c: Whole(c.arp(R)[:30]),
    "arp from a group's mac": lambda c: c.arp(R, sha=GROUP),
}
