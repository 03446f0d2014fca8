"""Kinds of ICMP error: what a sender is told, in words that both families have.

Who refuses a packet names the kind, and with it one number (``info``) where the message has room for one.
`codec.IpCodec.errors` knows with which type and code each family says it, and whether it says it at all.
"""

from __future__ import annotations

from typing import Final

NET_UNREACHABLE: Final = 0  # no route
HOST_UNREACHABLE: Final = 1  # the next hop does not answer
ROUTE_UNREACHABLE: Final = 2  # a route of type unreachable
PROHIBITED: Final = 3
PORT_UNREACHABLE: Final = 4
PROTO_UNREACHABLE: Final = 5  # info: where the protocol's number stands
TTL_EXCEEDED: Final = 6
REASSEMBLY_EXCEEDED: Final = 7
TOO_BIG: Final = 8  # info: the next hop's MTU
PARAMETER: Final = 9  # info: where it is wrong
PARAMETER_OPTION: Final = 10  # an unknown option that asks for an answer; info: where it stands
PARAMETER_CHAIN: Final = 11  # RFC 7112: the first fragment does not hold the whole chain
BEYOND_SCOPE: Final = 12  # RFC 4443 3.1 code 2
REDIRECT: Final = 13  # info: the better gateway
SILENCE: Final = -1
