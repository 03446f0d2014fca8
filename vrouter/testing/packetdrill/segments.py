"""Segments of a script on the wire: made of what is written, and read back to be compared with it.

A SYN has the number that the script gives it; everything else counts from its side's SYN. The numbers of the
namespace's side are its own, so they are moved (`Flow.offset`). What the peer echoes of a timestamp is the one that the
namespace really sent where the script has ``TS val``.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final, TypeAlias

from vrouter.stack.base.addresses import BITS, V4, format_address
from vrouter.stack.wire import tcp as wire
from vrouter.stack.wire.checksum import checksum, pseudo_header
from vrouter.testing.packetdrill.script import IcmpPacket, LinuxOnly, Option, TcpPacket

Cookies: TypeAlias = Mapping[bytes, bytes]  # what the names of cookies stand for
_LETTERS: Final = {
    "F": wire.FIN,
    "S": wire.SYN,
    "R": wire.RST,
    "P": wire.PSH,
    ".": wire.ACK,
    "U": wire.URG,
    "E": wire.ECE,
    "W": wire.CWR,
    "A": wire.AE,
}
_ECN: Final = {"": 0, "noecn": 0, "ect1": 1, "ect0": 2, "ce": 3}
_MASK: Final = 0xFFFFFFFF
_UNREACHABLE: Final = {
    "net_unreachable": 0,
    "host_unreachable": 1,
    "protocol_unreachable": 2,
    "port_unreachable": 3,
    "frag_needed": 4,
    "source_route_failed": 5,
    "net_unknown": 6,
    "host_unknown": 7,
    "source_host_isolated": 8,
    "net_prohibited": 9,
    "host_prohibited": 10,
    "net_unreachable_for_tos": 11,
    "host_unreachable_for_tos": 12,
    "packet_filtered": 13,
    "precedence_violation": 14,
    "precedence_cutoff": 15,
}
_UNREACHABLE6: Final = {
    "no_route": 0,
    "admin_prohibited": 1,
    "not_neighbour": 2,
    "address_unreachable": 3,
    "port_unreachable": 4,
}


@dataclass(slots=True)
class Flow:
    """A connection of a script: addresses as ints, ports, and how its numbers are moved."""

    family: int
    local: int
    port: int
    remote: int
    remote_port: int
    offset: int | None = None  # the namespace's first sequence number
    written: int = 0  # what the script has for it
    base: int = 0  # the peer's first one
    stamps: dict[int, int] = field(default_factory=dict)  # of the namespace's timestamps: the script's -> the real
    first_stamp: tuple[int, int] | None = None  # the first of them
    sent: bytes = b""  # the namespace's last packet: what an ICMP error quotes


@dataclass(slots=True)
class Live:
    """A segment that the namespace sent, `at` ns; `payload` is the number of bytes."""

    at: int
    family: int
    sport: int
    dport: int
    flags: int
    seq: int
    ack: int
    window: int
    urgent: int
    options: bytes
    payload: int
    ecn: int
    packet: bytes

    def text(self, offset: int, base: int) -> str:
        """As a script has it; `offset` and `base` are a `Flow`'s."""
        letters = "".join(
            letter
            for letter, bit in sorted(_LETTERS.items(), key=lambda item: "SFRPUEWA.".index(item[0]))
            if self.flags & bit
        )
        first = (self.seq - offset) & _MASK  # as of a SYN whose number is 0
        words = [letters or "-", f"{first}:{(first + self.payload) & _MASK}({self.payload})"]
        if self.flags & wire.ACK:
            words.append(f"ack {self.ack if self.flags & wire.SYN else (self.ack - base) & _MASK}")
        words.append(f"win {self.window}")
        if self.options:
            words.append(f"<{options_text(self.options)}>")
        return " ".join(words)


def flags_of(letters: str) -> int:
    """The bits of ``S.``, ``P.`` and so on."""
    return sum(_LETTERS[letter] for letter in set(letters))


def read(packet: bytes, at: int) -> Live | None:
    """An IP packet that the namespace sent as a segment; None when it is none."""
    if packet[0] >> 4 == V4:
        header, proto, ecn = (packet[0] & 15) * 4, packet[9], packet[1] & 3
        family = V4
    else:
        header, proto, ecn = 40, packet[6], packet[1] >> 4 & 3
        family = 6
    if proto != wire.PROTO:
        return None
    sport, dport, seq, ack, offset_flags, window, _, urgent = wire.FIELDS.unpack_from(packet, header)
    data = header + (offset_flags >> 12) * 4
    return Live(
        at,
        family,
        sport,
        dport,
        offset_flags & wire.FLAGS,
        seq,
        ack,
        window,
        urgent,
        packet[header + 20 : data],
        len(packet) - data,
        ecn,
        packet,
    )


def build(packet: TcpPacket, flow: Flow, cookies: Cookies) -> bytes:
    """An inbound segment as an IP packet; what it acknowledges is moved to the namespace's numbers."""
    offset = (flow.offset or 0) - (flow.written if "S" in packet.flags else 0)
    ack = (packet.ack + offset) & _MASK if packet.ack >= 0 else 0
    options = emit_options(packet.options or (), flow, cookies, offset)
    header_len = wire.HEADER_LEN + len(options)
    size = header_len + packet.length
    segment = bytearray(size)
    if "S" in packet.flags:
        flow.base = packet.seq
    seq = packet.seq + (0 if "S" in packet.flags else flow.base)
    window = max(packet.window, 0)
    word = header_len // 4 << 12 | flags_of(packet.flags)
    wire.FIELDS.pack_into(segment, 0, flow.remote_port, flow.port, seq & _MASK, ack, word, window, 0, packet.urgent)
    segment[20:header_len] = options
    total = checksum(segment, 0, size, pseudo_header(flow.remote, flow.local, wire.PROTO, size, BITS[flow.family]))
    segment[16:18] = total.to_bytes(2, "big")
    return ip_packet(flow.family, flow.remote, flow.local, wire.PROTO, bytes(segment), _ECN[packet.ecn])


def ip_packet(family: int, src: int, dst: int, proto: int, payload: bytes, tos: int = 0) -> bytes:
    """`payload` behind an IP header."""
    if family == V4:
        header = bytearray(20)
        header[0], header[1], header[6], header[8], header[9] = 0x45, tos, 0x40, 64, proto
        header[2:4] = (20 + len(payload)).to_bytes(2, "big")
        header[12:16], header[16:20] = src.to_bytes(4, "big"), dst.to_bytes(4, "big")
        header[10:12] = checksum(header, 0, 20).to_bytes(2, "big")
        return bytes(header) + payload
    first = (6 << 28 | tos << 20).to_bytes(4, "big")
    return (
        first
        + len(payload).to_bytes(2, "big")
        + bytes((proto, 64))
        + src.to_bytes(16, "big")
        + dst.to_bytes(16, "big")
        + payload
    )


def build_icmp(packet: IcmpPacket, flow: Flow) -> bytes:
    """An ICMP error about a segment of the namespace, from the peer."""
    seq = (packet.seq + (flow.offset or 0)) & _MASK
    quoted = ip_packet(
        flow.family,
        flow.local,
        flow.remote,
        wire.PROTO,
        flow.port.to_bytes(2, "big") + flow.remote_port.to_bytes(2, "big") + seq.to_bytes(4, "big") + bytes(12),
    )
    kind, code = _icmp_numbers(packet, flow.family)
    rest = packet.mtu.to_bytes(4, "big")
    message = bytearray(bytes((kind, code, 0, 0)) + rest + quoted)
    proto = 1 if flow.family == V4 else 58
    initial = 0 if flow.family == V4 else pseudo_header(flow.remote, flow.local, proto, len(message), 128)
    message[2:4] = checksum(message, 0, len(message), initial).to_bytes(2, "big")
    return ip_packet(flow.family, flow.remote, flow.local, proto, bytes(message))


def _icmp_numbers(packet: IcmpPacket, family: int) -> tuple[int, int]:
    table = _UNREACHABLE if family == V4 else _UNREACHABLE6
    if packet.type == "unreachable" and (packet.code in table or not packet.code):
        return (3 if family == V4 else 1), table.get(packet.code, 0)
    if packet.type == "packet_too_big" and family != V4:
        return 2, 0
    raise LinuxOnly(f"icmp {packet.type} {packet.code}")


# -- options -----------------------------------------------------------------------------------------------------------


def emit_options(options: tuple[Option, ...], flow: Flow, cookies: Cookies, offset: int) -> bytes:
    """The bytes of an inbound segment's options, filled up with zeros."""
    out = bytearray()
    for option in options:
        kind, values = option.kind, option.values
        if kind == "nop":
            out += b"\x01"
        elif kind == "eol":
            out += b"\x00"
        elif kind == "mss":
            out += b"\x02\x04" + (values[0] & 0xFFFF).to_bytes(2, "big")
        elif kind == "wscale":
            out += bytes((3, 3, values[0] & 0xFF))
        elif kind == "sackOK":
            out += b"\x04\x02"
        elif kind == "sack":
            out += bytes((5, 2 + 4 * len(values)))
            out += b"".join(((value + offset) & _MASK).to_bytes(4, "big") for value in values)
        elif kind == "TS":
            echo = flow.stamps.get(values[1], values[1])
            out += b"\x08\x0a" + values[0].to_bytes(4, "big") + (echo & _MASK).to_bytes(4, "big")
        else:
            out += cookie_option(option, cookies)
    return bytes(out) + bytes(-len(out) % 4)


def cookie_option(option: Option, cookies: Cookies) -> bytes:
    """Fast Open's option, in either form."""
    data = cookies.get(option.data, option.data)
    if option.kind == "FO":
        return bytes((34, 2 + len(data))) + data
    return bytes((254, 4 + len(data), 0xF9, 0x89)) + data


def split_options(data: bytes) -> list[tuple[int, bytes]]:
    """(kind, value) of each option of a segment that the namespace sent."""
    found = []
    at = 0
    while at < len(data):
        kind = data[at]
        size = 1 if kind in (0, 1) else data[at + 1]
        found.append((kind, data[at + 2 : at + size] if size > 1 else b""))
        at += size
    return found


def options_text(data: bytes) -> str:
    """As a script has them."""
    return ",".join(_option_text(kind, value) for kind, value in split_options(data))


def _option_text(kind: int, value: bytes) -> str:
    numbers = [int.from_bytes(value[at : at + 4], "big") for at in range(0, len(value), 4)]
    if kind in (0, 1, 4):
        return {0: "eol", 1: "nop", 4: "sackOK"}[kind]
    if kind in (2, 3):
        return f"{'mss' if kind == 2 else 'wscale'} {int.from_bytes(value, 'big')}"
    if kind == 5:
        return "sack " + " ".join(f"{left}:{right}" for left, right in zip(numbers[::2], numbers[1::2], strict=True))
    if kind == 8:
        return f"TS val {numbers[0]} ecr {numbers[1]}"
    if kind == 34:
        return f"FO {value.hex()}"
    return f"FOEXP {value[2:].hex()}" if kind == 254 else f"option {kind}"


def compare_options(expected: tuple[Option, ...], live: Live, flow: Flow, cookies: Cookies) -> str:
    """What is different between the options that were expected and those that came; "" when nothing is.

    A timestamp's value is learnt, not compared: the clock behind it is the namespace's own.
    """
    real = split_options(live.options)
    base = 0 if live.flags & wire.SYN else flow.base
    wanted = split_options(_unpadded(expected, flow, cookies, base))
    if [kind for kind, _ in real] != [kind for kind, _ in wanted]:
        return f"options are <{options_text(live.options)}>"
    stamps = iter(option for option in expected if option.kind == "TS")
    for (kind, value), (_, other) in zip(real, wanted, strict=True):
        if kind == 8:
            written, echo = next(stamps).values
            flow.stamps[written] = int.from_bytes(value[:4], "big")
            if flow.first_stamp is None:
                flow.first_stamp = written, flow.stamps[written]
            if echo != int.from_bytes(value[4:], "big"):
                return f"timestamp echo is {int.from_bytes(value[4:], 'big')}"
        elif value != other:
            return f"options are <{options_text(live.options)}>"
    return ""


def _unpadded(options: tuple[Option, ...], flow: Flow, cookies: Cookies, base: int) -> bytes:
    out = b""
    for option in options:
        piece = emit_options((option,), flow, cookies, base)
        out += cookie_option(option, cookies) if option.kind in ("FO", "FOEXP") else piece[: option.size]
    return out


def address_text(address: int, family: int) -> str:
    """An address as text."""
    return format_address(address, family)
