"""Where our router means to answer otherwise than the kernel's: the probe, the clause, and our answer, made of its."""

from __future__ import annotations

import socket
from collections.abc import Callable
from dataclasses import dataclass

from tests.interop.case import HOST_A, HOST_B, LOCAL_A, LOCAL_B, ROUTER_A, ROUTER_B, Answer, Case
from vrouter.testing import frames
from vrouter.testing.match import describe

Answers = list[Answer]


@dataclass(frozen=True)
class Difference:
    """`ours` makes our answers of the kernel's case."""

    clause: str
    ours: Callable[[Case], Answers]


def _silence(_: Case) -> Answers:
    return []


def _made(where: str, link: bytes, header: bytes, data: bytes, *, by_router: bool) -> Answer:
    """An answer with this IP header, whose length and, where it is compared, checksum are put right."""
    head = bytearray(header)
    head[0] = 0x40 | len(head) // 4
    head[2:4] = (len(head) + len(data)).to_bytes(2, "big")
    head[10:12] = b"\0\0"
    if not by_router:
        head[10:12] = frames.internet_checksum(bytes(head)).to_bytes(2, "big")
    frame = link + bytes(head) + data
    return Answer(where, frame, describe(frame))


def _split(frame: bytes) -> tuple[bytes, bytes, bytes]:
    """Link header, IP header, and the rest."""
    end = 14 + (frame[14] & 15) * 4
    return frame[:14], frame[14:end], frame[end:]


def _summed(packet: bytes, header_len: int) -> bytes:
    """The packet with its header checksum put right."""
    data = bytearray(packet)
    data[10:12] = b"\0\0"
    data[10:12] = frames.internet_checksum(bytes(data[:header_len])).to_bytes(2, "big")
    return bytes(data)


def _errors_without_options(case: Case) -> Answers:
    """ICMP errors carry no options of the packet that they are about, and quote it as it came."""
    found = []
    for answer in case.answers:
        link, header, message = _split(answer.frame)
        if header[4:6] == b"\0\0":  # made by the router
            quote = bytearray(case.sent[0][14 : 14 + 548])
            quote[8] = message[8 + 8]  # a redirect is about a packet that is already on its way
            rest = int.from_bytes(message[4:8], "big")
            message = frames.icmp(message[0], message[1], rest, _summed(quote, (quote[0] & 15) * 4))
            answer = _made(answer.where, link, header[:20], message, by_router=True)
        found.append(answer)
    return found


def _delivered_error_without_options(case: Case) -> Answers:
    """The same about a packet that was delivered: the quote holds what was recorded on receipt, its checksum too."""
    [answer] = case.answers
    link, header, message = _split(answer.frame)
    quote = _summed(message[8:], (message[8] & 15) * 4)
    return [_made(answer.where, link, header[:20], frames.icmp(message[0], message[1], 0, quote), by_router=True)]


def _net_unreachable(case: Case) -> Answers:
    link = frames.mac_bytes(HOST_A) + frames.mac_bytes(ROUTER_A) + b"\x08\0"
    error = frames.icmp_error(3, 0, case.sent[0][14:])
    header = frames.ipv4("10.1.0.1", case.src, frames.ICMP, error, tos=0xC0)[:20]
    return [_made("back", link, header, error, by_router=True)]


def _reserved_flag_kept(case: Case) -> Answers:
    found = []
    for answer in case.answers:
        link, header, data = _split(answer.frame)
        flagged = header[:6] + bytes([header[6] | 0x80]) + header[7:]
        found.append(_made(answer.where, link, flagged, data, by_router=False))
    return found


def _no_nops(case: Case) -> Answers:
    """Later fragments without the no-operations that the kernel puts where an option is not copied."""
    found = []
    for answer in case.answers:
        link, header, data = _split(answer.frame)
        if int.from_bytes(header[6:8], "big") & 0x1FFF:
            options = header[20:].lstrip(b"\1").rstrip(b"\0")
            options += bytes(-len(options) % 4)
            by_router = header[4:6] == b"\0\0"
            answer = _made(answer.where, link, header[:20] + options, data, by_router=by_router)
        found.append(answer)
    return found


def _stamped_by_b(case: Case) -> Answers:
    """The timestamp option's address is that of the device by which the packet leaves."""
    a, b = b"\x0a\x01\x00\x01", b"\x0a\x02\x00\x01"
    return [Answer(answer.where, answer.frame.replace(a, b), answer.text) for answer in case.answers]


def _forwarded(case: Case) -> Answers:
    """The packet as it came, but for its TTL, goes on its way."""
    link = frames.mac_bytes(HOST_B) + frames.mac_bytes(ROUTER_B) + b"\x08\0"
    _, header, data = _split(case.sent[0])
    return [_made("through", link, header[:8] + bytes([header[8] - 1]) + header[9:], data, by_router=False)]


def _answered(case: Case) -> Answers:
    """The echo request is answered, without the option."""
    link = frames.mac_bytes(HOST_A) + frames.mac_bytes(ROUTER_A) + b"\x08\0"
    _, header, message = _split(case.sent[0])
    reply = frames.icmp(0, 0, int.from_bytes(message[4:8], "big"), message[8:])
    turned = bytearray(header[:20])
    turned[4:8], turned[8], turned[12:16], turned[16:20] = bytes(4), 64, header[16:20], header[12:16]
    return [_made("back", link, bytes(turned), reply, by_router=True)]


# ---------------------------------------------------------------------------------------------------------------- IPv6

UNREACHABLE6, EXCEEDED6, PARAMETER6 = 1, 3, 4
R6 = "fd00:1::1"


def _made6(case: Case, message: Callable[[str, str], bytes], *, src: str = "", to: str = "") -> Answers:
    """A message of the router to the case, from the address of its link to the case's own."""
    src, to = src or R6, to or case.src
    link = frames.mac_bytes(HOST_A) + frames.mac_bytes(ROUTER_A) + b"\x86\xdd"
    frame = link + frames.ipv6(src, to, frames.ICMPV6, message(src, to))
    return [Answer("back", frame, describe(frame))]


def _error6(type_: int, code: int, rest: int = 0) -> Callable[[Case], Answers]:
    """This error about what the case sent last."""
    return lambda case: _made6(case, lambda src, to: frames.icmp6_error(src, to, type_, code, case.sent[-1][14:], rest))


def _local_error6(type_: int, code: int) -> Callable[[Case], Answers]:
    """The same to a link-local address."""

    def ours(case: Case) -> Answers:
        to = socket.inet_ntop(socket.AF_INET6, case.sent[-1][22:38])
        return _made6(
            case,
            lambda src, to: frames.icmp6_error(src, to, type_, code, case.sent[-1][14:]),
            src=LOCAL_A,
            to=to,
        )

    return ours


def _unicast_source(case: Case) -> Answers:
    """The kernel's error from an anycast address, from an address of the router's alone."""
    [answer] = case.answers
    message = answer.frame[54:]
    rest, quoted = int.from_bytes(message[4:8], "big"), message[8:]
    return _made6(case, lambda src, to: frames.icmp6_error(src, to, message[0], message[1], quoted, rest))


def _echoed6(case: Case) -> Answers:
    """The echo request is answered."""
    [sent] = case.sent
    data = sent[sent.index(b"\x80\0", 54) + 8 :]
    return _made6(case, lambda src, to: frames.icmp6_echo(src, to, case.ident, 7, data, reply=True))


def _advertised(target: str, *, override: bool) -> Callable[[Case], Answers]:
    """The solicitation is answered with the router's link-layer address."""

    def ours(case: Case) -> Answers:
        mac = case.sent[0][6:12]
        learned = bool(case.sent[0][78:])  # with the sender's own option the answer goes there
        message = frames.neighbour_advertisement(
            R6, case.src, target, mac=ROUTER_A, router=True, solicited=True, override=override
        )
        link = (mac if learned else frames.mac_bytes(HOST_A)) + frames.mac_bytes(ROUTER_A) + b"\x86\xdd"
        frame = link + frames.ipv6(R6, case.src, frames.ICMPV6, message, hop_limit=255)
        return [Answer("back", frame, describe(frame))]

    return ours


def _as_a_router(case: Case) -> Answers:
    """The kernel's advertisement, which says that a router sends it, and with which link-layer address."""
    [answer] = case.answers
    link, src, dst = (
        answer.frame[:14],
        *(socket.inet_ntop(socket.AF_INET6, answer.frame[at : at + 16]) for at in (22, 38)),
    )
    target = socket.inet_ntop(socket.AF_INET6, answer.frame[62:78])
    solicited = bool(answer.frame[58] & 0x40)
    message = frames.neighbour_advertisement(src, dst, target, mac=ROUTER_A, router=True, solicited=solicited)
    frame = link + frames.ipv6(src, dst, frames.ICMPV6, message, hop_limit=255)
    return [Answer(answer.where, frame, describe(frame))]


def _not_learned(case: Case) -> Answers:
    """The echo reply goes where the case said first."""
    first, second = case.answers
    frame = frames.mac_bytes(case.mac) + second.frame[6:]
    return [first, Answer("back", frame, describe(frame))]


def _rows6() -> dict[str, Difference]:
    found: dict[str, Difference] = {}

    def add(clause: str, ours: Callable[[Case], Answers], *probes: str) -> None:
        found.update({f"v6 {probe}": Difference(clause, ours) for probe in probes})

    mapped = "source ::ffff:10.1.0.9"
    add("RFC 6890 2.2.3", _silence, *(f"{mapped}{what}" for what in (" through", " to a closed port", ", echo")))
    add("RFC 6890 2.2.3", _silence, f"{mapped}, hop limit 1", "to ::ffff:10.2.0.2", "echo to ::ffff:10.2.0.2")
    add("RFC 4291 2.5.2", _silence, "to ::", "echo to ::")
    add("RFC 4443 2.4 (e.2)", _silence, "hop limit 1, redirect message")
    add("RFC 4443 2.4 (e.1)", _silence, "first of icmp of no octets")
    add(
        "RFC 4443 2.2",
        _unicast_source,
        "closed port, anycast address",
        "unknown protocol, anycast address",
        "to fd00:1::",
        "to fd00:2::",
        "destination unknown, report, anycast address",
    )
    add("RFC 2675 4", _silence, "closed port, length 0")
    add("RFC 4291 2.5.6", _silence, "local source to a neighbour", "local source, echo to the other link's address")
    add("RFC 4291 2.5.6", _silence, "hop limit 1 to a local neighbour")
    add("RFC 4291 2.5.6", _silence, *(f"{to}{n}" for to in ("to ", "echo to ") for n in ("fe80::77", LOCAL_B)))
    add(
        "RFC 4007 9",
        _local_error6(UNREACHABLE6, 2),
        "source fe80::77, hop limit 1",
        "local source, hop limit 1",
        "local source, to its own link",
        "local source, redirect",
    )
    add("RFC 2675 2", _error6(PARAMETER6, 2, 42), "hop-by-hop jumbo, through", "hop-by-hop jumbo, echo")
    add(
        "RFC 2675 3",
        _error6(PARAMETER6, 0, 4),
        "hop-by-hop, payload length 0",
        "hop-by-hop, payload length 0, through",
    )
    add("RFC 8504 5.3", _silence, "seventeen headers, echo")
    add("RFC 8200 4.4", _echoed6, *(f"routing type {type_}, 0 left, echo" for type_ in (3, 4)))
    unknown = (f"routing type {type_}, {left} left, echo" for type_ in (3, 4) for left in (1, 2))
    add("RFC 8200 4.4", _error6(PARAMETER6, 0, 42), *unknown)
    add("RFC 5722 4", _silence, "overlap, one inside the other", "two ends", "beyond the end")
    add("RFC 8200 4.5", _incomplete, "empty last piece")
    add("RFC 4861 7.2.4", _advertised(R6, override=True), "solicitation, unicast", "solicitation, unicast, no option")
    add("RFC 4861 7.2.4", _advertised(R6, override=True), "solicitation, no option")
    add("RFC 4861 7.2.4", _advertised("fd00:1::", override=False), "solicitation, anycast address, unicast")
    add("IEEE 802.3 3.2.3", _silence, *(f"solicitation, address of {what}" for what in ("a group", "zeros")))
    add("IEEE 802.3 3.2.3", _not_learned, "advertised, address of a group")
    add("RFC 5942 4", _silence, "solicitation from another subnet", "solicitation from B's subnet")
    add("RFC 5942 4", _silence, "solicitation from the router's address")
    add("RFC 4861 4.4", _as_a_router, "proxy_ndp, proxied address", "proxy_ndp, probe")
    add("RFC 4291 2.6.1", _echoed6, "force_forwarding, anycast address")
    add("RFC 4443 3.1", _silence, "no forwarding, no route", "no forwarding, prohibit")
    return found


def _incomplete(case: Case) -> Answers:
    """The first fragment came, and the rest did not in time."""
    first = case.sent[0][14:]
    return _made6(case, lambda src, to: frames.icmp6_error(src, to, EXCEEDED6, 1, first))


def _rows() -> dict[str, Difference]:
    found: dict[str, Difference] = {}

    def add(clause: str, ours: Callable[[Case], Answers], *probes: str) -> None:
        found.update({probe: Difference(clause, ours) for probe in probes})

    invalid = ("0.1.2.3", "240.1.1.1", "10.1.255.255", "10.2.255.255", "10.1.0.0")
    add("RFC 1812 5.3.7", _silence, *(f"source {src} through" for src in invalid))
    add("RFC 1812 5.3.7", _silence, *(f"source {src} to a closed port" for src in invalid[2:]))
    add("RFC 1812 5.3.7", _silence, "to 0.1.2.3", "to 240.1.1.1", "to 255.255.255.254")
    add("RFC 1812 4.2.3.1", _silence, "to 10.2.0.0", "to 10.1.0.0")
    add("RFC 3927 7", _silence, "source 169.254.1.1 through", "to 169.254.7.7")
    add("RFC 1812 4.3.2.7", _silence, "bc_forwarding, ttl 1")
    add("RFC 1122 3.3.6", _silence, "echo in a broadcast frame")
    add("IEEE 802.3 3.2.3", _silence, "a source mac of a group")
    add("RFC 826", _silence, "arp from another subnet", "arp from B's subnet", "arp, hardware of ieee 802")
    add(
        "RFC 1812 4.3.2.3",
        _errors_without_options,
        "ttl 1, record route",
        "record route, redirect",
        "record route, no route",
        "option record route, twice",
        "option record route, twice, echo",
        "option timestamp, twice",
        "option timestamp, twice, echo",
    )
    add("RFC 1812 4.3.2.3", _delivered_error_without_options, "record route, closed port")
    add("RFC 1812 5.3.12.3", _net_unreachable, "egress down, its own address")
    add("RFC 1812 4.2.2.3", _reserved_flag_kept, "too big, reserved flag and tos")
    add("RFC 791 3.1", _silence, "through, beyond 65535")
    add("RFC 791 3.2", _no_nops, "too big, record route and router alert", "record route in the first piece")
    add(
        "RFC 1812 4.2.2.2",
        _stamped_by_b,
        "option timestamp and address, room",
        "option timestamp and address, room for two",
    )
    add("RFC 1812 4.2.2.6", _forwarded, "option cipso")
    add("RFC 1812 4.2.2.6", _answered, "option cipso, echo")
    add("RFC 1812 4.2.2.1", _forwarded, "option junk after the end")
    add(
        "RFC 5722 4",
        _silence,
        "overlap, one inside the other",
        "same place, other bytes",
        "two ends",
        "beyond the end",
    )
    return found


DIFFERENCES = _rows() | _rows6()
