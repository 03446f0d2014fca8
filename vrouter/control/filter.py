"""The filter language of captures: which frames somebody wants to see.

    arp | ip | ip6 | stp                    the kind of frame
    icmp | icmp6 | igmp | udp | tcp         the protocol
    vlan [N]                                a VLAN tag, with that id
    host A | src A | dst A                  an address; of IPv4's or IPv6's header, or of ARP's
    net P | src net P | dst net P           a prefix
    port N | src port N | dst port N        a UDP or TCP port

combined with ``and``, ``or``, ``not`` (``&&``, ``||``, ``!``) and parentheses; ``and`` binds closer than ``or`` and may
be left out (``udp port 53``). The words mean what they mean in pcap-filter(7): a negation takes what the test does not
find, and only first fragments have ports. Unlike there, what stands behind VLAN tags (two at most) is found without
asking for a tag first, and a protocol also behind IPv6's extension headers. Whatever it is given, a compiled filter
answers and never raises.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from difflib import get_close_matches
from struct import Struct
from typing import Final, NamedTuple

from vrouter.stack.base.addresses import BITS, V4, V6, mask, parse_address, parse_interface
from vrouter.stack.wire import arp, ethernet, ipv4, ipv6

MAX_TOKENS: Final = 256
MAX_DEPTH: Final = 32
MAX_HEADERS: Final = 16
WORDS: Final = (
    "arp", "ip", "ip6", "icmp", "icmp6", "igmp", "udp", "tcp", "stp", "vlan", "host", "net", "port", "src", "dst",
    "and", "or", "not",
)  # fmt: skip

_STP: Final = -2  # in place of an EtherType: an 802.3 frame of the spanning tree protocol
_STP_LLC: Final = b"\x42\x42"
_KINDS: Final = {
    "arp": ethernet.ETHERTYPE_ARP,
    "ip": ethernet.ETHERTYPE_IPV4,
    "ip6": ethernet.ETHERTYPE_IPV6,
    "stp": _STP,
}
_TAGS: Final = (ethernet.ETHERTYPE_VLAN, ethernet.ETHERTYPE_QINQ)
_PROTOCOLS: Final = {
    "icmp": (V4, ipv4.PROTO_ICMP),
    "igmp": (V4, ipv4.PROTO_IGMP),
    "icmp6": (V6, ipv6.PROTO_ICMPV6),
    "udp": (0, ipv4.PROTO_UDP),
    "tcp": (0, ipv4.PROTO_TCP),
}
_WITH_PORTS: Final = (ipv4.PROTO_UDP, ipv4.PROTO_TCP)
_ENDS: Final = {"and": "and", "&&": "and", "or": "or", "||": "or", "not": "not", "!": "not"}
_TOKEN = re.compile(r"\s*(\(|\)|&&|\|\||!|[^\s()!&|]+|\S)")
_ARP_ADDRESSES = Struct("!4xBBxx6xI6xI")
_PORTS = Struct("!HH")
_NONE: Final = -1
_EXTENSIONS: Final = frozenset(
    (ipv6.PROTO_HOPOPTS, ipv6.PROTO_ROUTING, ipv6.PROTO_FRAGMENT, ipv6.PROTO_AH, ipv6.PROTO_DSTOPTS)
)


class FilterError(ValueError):
    """A filter that is refused; `position` is the 1-based character at which it goes wrong."""

    def __init__(self, position: int, message: str) -> None:
        self.position = position
        super().__init__(f"filter, character {position}: {message}")


class Fields(NamedTuple):
    """What the tests look at; -1 where the frame has no such thing. `family` is that of the addresses."""

    ethertype: int = _NONE
    proto: int = _NONE
    src: int = _NONE
    dst: int = _NONE
    sport: int = _NONE
    dport: int = _NONE
    family: int = _NONE
    vids: tuple[int, ...] = ()


Test = Callable[[Fields], bool]


def compile_filter(text: str) -> Callable[[bytes], bool]:
    """The filter as a function of a frame's bytes, from its Ethernet header on. FilterError when it is refused."""
    test = _Parser(text).parse()
    return lambda frame: test(read_fields(frame))


def read_fields(frame: bytes) -> Fields:
    """What a frame is, as far as it is whole; behind VLAN tags as without them."""
    end = len(frame)
    if end < ethernet.HEADER_LEN:
        return Fields()
    kind, off = ethernet.ethertype(frame, 0), ethernet.HEADER_LEN
    vids: tuple[int, ...] = ()
    while kind in _TAGS and len(vids) < 2 and end >= off + ethernet.VLAN_LEN:
        tci, kind = _PORTS.unpack_from(frame, off)
        vids, off = (*vids, tci & ethernet.VID_MASK), off + ethernet.VLAN_LEN
    found = Fields(kind)
    if kind == ethernet.ETHERTYPE_ARP and end >= off + arp.ARP_LEN:
        hlen, plen, sender, target = _ARP_ADDRESSES.unpack_from(frame, off)
        if (hlen, plen) == (6, 4):
            found = Fields(kind, _NONE, sender, target, family=V4)
    elif kind == ethernet.ETHERTYPE_IPV4 and end >= off + ipv4.MIN_HEADER and frame[off] >> 4 == 4:
        found = _ipv4_fields(frame, off)
    elif kind == ethernet.ETHERTYPE_IPV6 and end >= off + ipv6.HEADER_LEN and frame[off] >> 4 == 6:
        found = _ipv6_fields(frame, off)
    elif kind < ethernet.ETHERTYPE_MIN and frame[off : off + 2] == _STP_LLC:
        found = Fields(_STP)
    return found._replace(vids=vids) if vids else found


def _ipv4_fields(frame: bytes, off: int) -> Fields:
    proto, src, dst = ipv4.proto(frame, off), ipv4.src(frame, off), ipv4.dst(frame, off)
    ports = off + (frame[off] & 15) * 4
    first = not ipv4.flags_fragment(frame, off) & ipv4.OFFSET_MASK
    if proto in _WITH_PORTS and first and len(frame) >= ports + 4 > off + ipv4.MIN_HEADER:
        sport, dport = _PORTS.unpack_from(frame, ports)
        return Fields(ethernet.ETHERTYPE_IPV4, proto, src, dst, sport, dport, V4)
    return Fields(ethernet.ETHERTYPE_IPV4, proto, src, dst, family=V4)


def _ipv6_fields(frame: bytes, off: int) -> Fields:
    src, dst, end = ipv6.src(frame, off), ipv6.dst(frame, off), len(frame)
    proto, first, at = ipv6.next_header(frame, off), True, off + ipv6.HEADER_LEN
    for _ in range(MAX_HEADERS):
        if proto not in _EXTENSIONS or not first or end < at + 8:
            break
        length = frame[at + 1]
        if proto == ipv6.PROTO_FRAGMENT:
            first, size = not ipv6.fragment_offset(frame, at), ipv6.FRAGMENT_LEN
        else:
            size = (length + 2) * 4 if proto == ipv6.PROTO_AH else (length + 1) * 8
        proto, at = frame[at], at + size
    if proto in _WITH_PORTS and first and end >= at + 4:
        sport, dport = _PORTS.unpack_from(frame, at)
        return Fields(ethernet.ETHERTYPE_IPV6, proto, src, dst, sport, dport, V6)
    return Fields(ethernet.ETHERTYPE_IPV6, proto, src, dst, family=V6)


class _Parser:
    """Recursive descent over the words; each rule returns the test that it has read."""

    def __init__(self, text: str) -> None:
        self.words: list[tuple[str, int]] = [(found[1], found.start(1) + 1) for found in _TOKEN.finditer(text)]
        self.end = len(text.rstrip()) + 1
        self.at = self.depth = 0
        if len(self.words) > MAX_TOKENS:
            raise FilterError(self.words[MAX_TOKENS][1], f"more than {MAX_TOKENS} words")

    def parse(self) -> Test:
        if not self.words:
            raise FilterError(1, "it is empty")
        test = self.either()
        if self.at < len(self.words):
            raise FilterError(self.words[self.at][1], f"{self.words[self.at][0]!r} closes nothing")
        return test

    def look(self) -> str:
        return self.words[self.at][0] if self.at < len(self.words) else ""

    def take(self, what: str) -> tuple[str, int]:
        if self.at == len(self.words):
            raise FilterError(self.end, f"{what} is missing")
        self.at += 1
        return self.words[self.at - 1]

    def either(self) -> Test:
        tests = [self.both()]
        while _ENDS.get(self.look()) == "or":
            self.at += 1
            tests.append(self.both())
        return tests[0] if len(tests) == 1 else lambda fields: any(test(fields) for test in tests)

    def both(self) -> Test:
        tests = [self.single()]
        while self.look() not in ("", ")") and _ENDS.get(self.look()) != "or":
            if _ENDS.get(self.look()) == "and":
                self.at += 1
            tests.append(self.single())
        return tests[0] if len(tests) == 1 else lambda fields: all(test(fields) for test in tests)

    def single(self) -> Test:
        word, position = self.take("a test")
        if _ENDS.get(word) == "not" or word == "(":
            self.depth += 1
            if self.depth > MAX_DEPTH:
                raise FilterError(position, f"nested more than {MAX_DEPTH} deep")
            test = self.either() if word == "(" else self.single()
            if word == "(":
                if self.look() != ")":
                    raise FilterError(self.end, "')' is missing")
                self.at += 1
            self.depth -= 1
            return test if word == "(" else lambda fields: not test(fields)
        return self.primitive(word, position)

    def primitive(self, word: str, position: int) -> Test:
        if word in _KINDS:
            kind = _KINDS[word]
            return lambda fields: fields.ethertype == kind
        if word in _PROTOCOLS:
            family, proto = _PROTOCOLS[word]
            if family:
                return lambda fields: fields.proto == proto and fields.family == family
            return lambda fields: fields.proto == proto
        if word == "vlan":
            return self.vlan()
        side = word if word in ("src", "dst") else ""
        if side and self.look() in ("host", "net", "port"):
            word, position = self.take("a test")
        if word == "port":
            return self.port(side)
        if side or word in ("host", "net"):
            return self.address(side, word)
        if word == ")" or word in _ENDS:
            raise FilterError(position, f"a test is missing before {word!r}")
        near = get_close_matches(word, WORDS, 1)
        hint = f"did you mean {near[0]}?" if near else f"there are {' '.join(WORDS)}"
        raise FilterError(position, f"{word!r} is no word of the filter language ({hint})")

    def port(self, side: str) -> Test:
        text, position = self.take("a port number")
        if not (text.isascii() and text.isdigit() and len(text) <= 5 and int(text) <= 65535):
            raise FilterError(position, f"{text!r} is not a port number of 0 to 65535")
        number = int(text)
        if side == "src":
            return lambda fields: fields.sport == number
        if side == "dst":
            return lambda fields: fields.dport == number
        return lambda fields: number in (fields.sport, fields.dport)

    def vlan(self) -> Test:
        if not self.look().isdigit():
            return lambda fields: bool(fields.vids)
        text, position = self.take("a VLAN id")
        if not (text.isascii() and len(text) <= 4 and int(text) <= ethernet.VID_MASK):
            raise FilterError(position, f"{text!r} is not a VLAN id of 0 to {ethernet.VID_MASK}")
        vid = int(text)
        return lambda fields: vid in fields.vids

    def address(self, side: str, word: str) -> Test:
        text, position = self.take("a prefix" if word == "net" else "an address")
        try:
            if word == "net":
                family, network, length = parse_interface(text)
            else:
                family, network = parse_address(text)
                length = BITS[family]
        except ValueError as error:
            raise FilterError(position, str(error)) from None
        bits = mask(length, BITS[family]) & (1 << BITS[family]) - 1
        if network & ~bits:
            raise FilterError(position, f"{text!r} has host bits set")
        if side == "src":
            return lambda fields: fields.family == family and fields.src & bits == network
        if side == "dst":
            return lambda fields: fields.family == family and fields.dst & bits == network
        return lambda fields: fields.family == family and network in (fields.src & bits, fields.dst & bits)
