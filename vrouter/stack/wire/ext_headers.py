"""The chain of IPv6 extension headers: one bounded walk, for routers on the way and for the destination.

``walk`` starts at an IPv6 header and tells where the chain ends and what lies in it. It changes nothing, answers
nothing and counts nothing; what is wrong stands in the `Chain` as fault, Parameter Problem code and pointer. What it
does with a header depends on who asks:

- ``ROUTER``: the hop-by-hop options alone, which are the only ones a node on the way may look at (RFC 8200 section 4).
- ``DESTINATION``: all headers as far as the upper-layer protocol, or a fragment header of a packet in pieces, behind
  which nothing is known before reassembly. An atomic fragment is whole (RFC 6946) and its header passed over.
- ``SKIM``: nothing is judged, only passed over, and the walk goes on behind the fragment header of a first fragment: is
  the whole chain in it (RFC 7112), and what does an error message quote? In a later fragment it ends behind the
  fragment header, where data lies.

A second fragment header ends the walk; for the destination it is an error, since a packet is cut once.

Bounds: ``MAX_HEADERS`` headers, 7 bytes of padding in a row, and what `Limits` says of the options (RFC 8504
section 5.3). What RFC 7045 calls extension headers and nothing here implements (authentication, mobility,
HIP, shim6) ends the chain as any other protocol does: with no one to take it, it is an unrecognised next header.

Read first: RFC 8200 section 4, RFC 7112, RFC 5095, RFC 8504 section 5.3.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, NamedTuple

from vrouter.stack.wire import ipv6
from vrouter.stack.wire.buffer import Buffer

ROUTER = 0
DESTINATION = 1
SKIM = 2

MAX_HEADERS = 16
MAX_OPTIONS = 8
MAX_PADDING = 7
MAX_LENGTH = 8 + 255 * 8  # bytes of the longest header

# What is wrong with a chain; all but PROBLEM are discarded in silence.
NO_FAULT = 0
MALFORMED = 1  # a header or an option runs over the end of what holds it, or padding is no padding
LIMIT = 2  # more than the bounds allow
DISCARD = 3  # an option of an unknown type demands it
PROBLEM = 4  # Parameter Problem with `code` and `pointer`

# What is to be done about an option of an unknown type: the two high bits of that (RFC 8200 section 4.2).
ACTION_SKIP = 0
ACTION_DISCARD = 1
ACTION_REPORT = 2  # tell the sender, even of a packet to a group
ACTION_REPORT_UNICAST = 3  # tell the sender, but not of a packet to a group

# Codes of Parameter Problem.
ERRONEOUS_FIELD = 0
UNRECOGNISED_NEXT_HEADER = 1
UNRECOGNISED_OPTION = 2

OPTION_PAD1 = 0
OPTION_PADN = 1
OPTION_ROUTER_ALERT = 5

# Bytes without which an upper-layer header is not one.
_UPPER_LEN: Final = {ipv6.PROTO_TCP: 20, ipv6.PROTO_UDP: 8, ipv6.PROTO_ICMPV6: 8, ipv6.PROTO_NONE: 0}

_EXTENSIONS = 1 << ipv6.PROTO_HOPOPTS | 1 << ipv6.PROTO_ROUTING | 1 << ipv6.PROTO_FRAGMENT | 1 << ipv6.PROTO_DSTOPTS


@dataclass(slots=True)
class Chain:
    """What a walk found; offsets are indices into the buffer, and -1 where there is no such header.

    ``proto`` is the protocol at ``offset``, named by the byte at ``next_at``; after a fault they are those of the
    header that has it. ``cut_at`` is where a source inserts a fragment header, and ``cut_next_at`` the byte that must
    name it: behind hop-by-hop and routing headers (RFC 8200 section 4.5).
    ``pointer`` counts from the IPv6 header. A PROBLEM of `ACTION_REPORT_UNICAST` is not told about packets to groups.
    """

    proto: int
    offset: int
    next_at: int
    cut_at: int
    cut_next_at: int
    hop_by_hop: int = -1
    router_alert: int = -1  # the option's value
    routing: int = -1
    routing_type: int = -1
    segments_left: int = 0
    fragment: int = -1
    destination: int = -1
    headers: int = 0
    fault: int = NO_FAULT
    code: int = 0
    pointer: int = 0
    action: int = ACTION_SKIP


class Limits(NamedTuple):
    """How many options that are no padding each header may have, and how many bytes (RFC 8504 section 5.3). A number
    below 0 allows as many, and none of an unknown type."""

    hop_by_hop_options: int = MAX_OPTIONS
    hop_by_hop_length: int = MAX_LENGTH
    destination_options: int = MAX_OPTIONS
    destination_length: int = MAX_LENGTH


DEFAULT_LIMITS = Limits()


def is_extension(proto: int) -> bool:
    """Whether the walk goes on behind a header of this protocol."""
    return _EXTENSIONS >> proto & 1 == 1


def walk(buf: Buffer, off: int, end: int, asker: int, limits: Limits = DEFAULT_LIMITS) -> Chain:
    """The chain of the packet whose IPv6 header is at ``off`` and which ends at ``end``; never raises.

    The buffer holds at least the IPv6 header. ``asker`` is ROUTER, DESTINATION or SKIM.
    """
    at, next_at = off + ipv6.HEADER_LEN, off + 6
    proto = buf[next_at]
    chain = Chain(proto, at, next_at, at, next_at)
    while _EXTENSIONS >> proto & 1:
        if proto == ipv6.PROTO_HOPOPTS:
            if chain.headers:  # it stands behind the IPv6 header alone (RFC 8200 section 4.1)
                if asker == DESTINATION:
                    _report(chain, UNRECOGNISED_NEXT_HEADER, chain.next_at - off)
                return chain
        elif asker == ROUTER:
            return chain
        if chain.headers == MAX_HEADERS:
            chain.fault = LIMIT
            return chain
        if proto == ipv6.PROTO_FRAGMENT:
            if end - at < ipv6.FRAGMENT_LEN:
                chain.fault = MALFORMED
                if asker == DESTINATION and at < end:
                    _report(chain, ERRONEOUS_FIELD, at - off)  # as Linux does of this header alone
                return chain
            if chain.fragment >= 0:
                if asker == DESTINATION:
                    _report(chain, ERRONEOUS_FIELD, at - off)
                return chain
            chain.fragment = at
            after = at + ipv6.FRAGMENT_LEN
            in_pieces = ipv6.fragment_offset(buf, at) or ipv6.fragment_more(buf, at)
            if in_pieces and asker == DESTINATION:
                return chain
            if ipv6.fragment_offset(buf, at):
                chain.proto, chain.offset, chain.next_at = buf[at], after, at
                return chain
        else:
            after = at + 8 + buf[at + 1] * 8 if end - at >= 8 else end + 1
            if after > end:
                chain.fault = MALFORMED
                return chain
            if not _header(buf, off, proto, at, after, chain, asker, limits):
                return chain
        chain.headers += 1
        next_at, at, proto = at, after, buf[at]
        chain.proto, chain.offset, chain.next_at = proto, at, next_at
    return chain


def holds_upper_header(chain: Chain, end: int) -> bool:
    """Whether the chain and the upper-layer header lie whole in the packet: what RFC 7112 asks of a first fragment."""
    return chain.fault == NO_FAULT and end - chain.offset >= _UPPER_LEN.get(chain.proto, 1)


def _header(buf: Buffer, off: int, proto: int, at: int, after: int, chain: Chain, asker: int, limits: Limits) -> bool:
    """Notes a header that lies whole in the packet, and judges it; whether the walk goes on."""
    if proto == ipv6.PROTO_ROUTING:
        chain.routing, chain.routing_type, chain.segments_left = at, buf[at + 2], buf[at + 3]
        if asker == DESTINATION and buf[at + 3]:
            # No type is known here; type 0 must be treated so in any case (RFC 8200 section 4.4, RFC 5095 section 3).
            _report(chain, ERRONEOUS_FIELD, at + 2 - off)
            return False
    elif proto == ipv6.PROTO_HOPOPTS:
        chain.hop_by_hop = at
    else:
        chain.destination = at
    if proto != ipv6.PROTO_DSTOPTS:
        chain.cut_at, chain.cut_next_at = after, at
    if asker == SKIM or proto == ipv6.PROTO_ROUTING:
        return True
    if proto == ipv6.PROTO_HOPOPTS:
        most, longest = limits.hop_by_hop_options, limits.hop_by_hop_length
    else:
        most, longest = limits.destination_options, limits.destination_length
    if after - at > longest:
        chain.fault = LIMIT
        return False
    return _options(buf, off, at, after, chain, most)


def _options(buf: Buffer, off: int, at: int, after: int, chain: Chain, most: int) -> bool:
    """Judges the options of a header in ``buf[at:after]``; whether the walk goes on."""
    in_hop_by_hop = chain.hop_by_hop == at
    padding = count = 0
    at += 2
    while at < after:
        kind = buf[at]
        if kind == OPTION_PAD1:
            padding += 1
            at += 1
            if padding > MAX_PADDING:
                chain.fault = LIMIT
                return False
            continue
        end = at + 2 + buf[at + 1] if after - at > 1 else after + 1
        if end > after:
            chain.fault = MALFORMED
            return False
        if kind == OPTION_PADN:
            padding += end - at
            if padding > MAX_PADDING:
                chain.fault = LIMIT
                return False
            if any(buf[at + 2 : end]):
                chain.fault = MALFORMED
                return False
        else:
            padding = 0
            count += 1
            if count > abs(most):
                chain.fault = LIMIT
                return False
            if in_hop_by_hop and kind == OPTION_ROUTER_ALERT:
                if end - at != 4:
                    chain.fault = MALFORMED
                    return False
                chain.router_alert = buf[at + 2] << 8 | buf[at + 3]
            elif most < 0:
                chain.fault = LIMIT
                return False
            elif kind >> 6 != ACTION_SKIP:
                _report(chain, UNRECOGNISED_OPTION, at - off, kind >> 6)
                return False
        at = end
    return True


def _report(chain: Chain, code: int, pointer: int, action: int = ACTION_REPORT_UNICAST) -> None:
    chain.fault = DISCARD if action == ACTION_DISCARD else PROBLEM
    chain.code, chain.pointer, chain.action = code, pointer, action
