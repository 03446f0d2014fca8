"""The filter language of captures: which frames somebody wants to see.

    arp | ip | icmp | udp | tcp             the protocol
    host A | src A | dst A                  an address; of IPv4's header or ARP's
    net P | src net P | dst net P           a prefix
    port N | src port N | dst port N        a UDP or TCP port

combined with ``and``, ``or``, ``not`` (``&&``, ``||``, ``!``) and parentheses; ``and`` binds closer than ``or`` and may
be left out (``udp port 53``). The words mean what they mean in pcap-filter(7): a negation takes what the test does not
find, and only first fragments have ports. Whatever it is given, a compiled filter answers and never raises.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from difflib import get_close_matches
from struct import Struct
from typing import Final, NamedTuple

from vrouter.stack.base.addresses import BITS, V4, mask, parse_address, parse_interface
from vrouter.stack.wire import arp, ethernet, ipv4

MAX_TOKENS: Final = 256
MAX_DEPTH: Final = 32
WORDS: Final = ("arp", "ip", "icmp", "udp", "tcp", "host", "net", "port", "src", "dst", "and", "or", "not")

_PROTOCOLS: Final = {"icmp": ipv4.PROTO_ICMP, "udp": ipv4.PROTO_UDP, "tcp": ipv4.PROTO_TCP}
_ENDS: Final = {"and": "and", "&&": "and", "or": "or", "||": "or", "not": "not", "!": "not"}
_TOKEN = re.compile(r"\s*(\(|\)|&&|\|\||!|[^\s()!&|]+|\S)")
_ARP_ADDRESSES = Struct("!4xBBxx6xI6xI")
_PORTS = Struct("!HH")
_NONE: Final = -1


class FilterError(ValueError):
    """A filter that is refused; `position` is the 1-based character at which it goes wrong."""

    def __init__(self, position: int, message: str) -> None:
        self.position = position
        super().__init__(f"filter, character {position}: {message}")


class Fields(NamedTuple):
    """What the tests look at; -1 where the frame has no such thing."""

    ethertype: int
    proto: int
    src: int
    dst: int
    sport: int
    dport: int


Test = Callable[[Fields], bool]


def compile_filter(text: str) -> Callable[[bytes], bool]:
    """The filter as a function of a frame's bytes, from its Ethernet header on. FilterError when it is refused."""
    test = _Parser(text).parse()
    return lambda frame: test(read_fields(frame))


def read_fields(frame: bytes) -> Fields:
    """What a frame is, as far as it is whole; behind one VLAN tag as without it."""
    end = len(frame)
    if end < ethernet.HEADER_LEN:
        return Fields(_NONE, _NONE, _NONE, _NONE, _NONE, _NONE)
    kind, off = ethernet.ethertype(frame, 0), ethernet.HEADER_LEN
    if kind == ethernet.ETHERTYPE_VLAN and end >= off + ethernet.VLAN_LEN:
        kind, off = ethernet.vlan_ethertype(frame, 0), off + ethernet.VLAN_LEN
    if kind == ethernet.ETHERTYPE_ARP and end >= off + arp.ARP_LEN:
        hlen, plen, sender, target = _ARP_ADDRESSES.unpack_from(frame, off)
        if (hlen, plen) == (6, 4):
            return Fields(kind, _NONE, sender, target, _NONE, _NONE)
    if kind == ethernet.ETHERTYPE_IPV4 and end >= off + ipv4.MIN_HEADER and frame[off] >> 4 == 4:
        proto, src, dst = ipv4.proto(frame, off), ipv4.src(frame, off), ipv4.dst(frame, off)
        ports = off + (frame[off] & 15) * 4
        first = not ipv4.flags_fragment(frame, off) & ipv4.OFFSET_MASK
        if proto in (ipv4.PROTO_UDP, ipv4.PROTO_TCP) and first and end >= ports + 4 > off + ipv4.MIN_HEADER:
            return Fields(kind, proto, src, dst, *_PORTS.unpack_from(frame, ports))
        return Fields(kind, proto, src, dst, _NONE, _NONE)
    return Fields(kind, _NONE, _NONE, _NONE, _NONE, _NONE)


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
        if word == "arp":
            return lambda fields: fields.ethertype == ethernet.ETHERTYPE_ARP
        if word == "ip":
            return lambda fields: fields.ethertype == ethernet.ETHERTYPE_IPV4
        if word in _PROTOCOLS:
            proto = _PROTOCOLS[word]
            return lambda fields: fields.proto == proto
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

    def address(self, side: str, word: str) -> Test:
        text, position = self.take("a prefix" if word == "net" else "an address")
        try:
            family, network, length = parse_interface(text) if word == "net" else (*parse_address(text), BITS[V4])
        except ValueError as error:
            raise FilterError(position, str(error)) from None
        bits = mask(length, BITS[family])
        if network & ~bits:
            raise FilterError(position, f"{text!r} has host bits set")
        if side == "src":
            return lambda fields: fields.src >= 0 and fields.src & bits == network
        if side == "dst":
            return lambda fields: fields.dst >= 0 and fields.dst & bits == network
        return lambda fields: fields.src >= 0 and network in (fields.src & bits, fields.dst & bits)
