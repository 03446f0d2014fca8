"""What an ICMP error means to a socket."""

from __future__ import annotations

import errno
from typing import Final, TypeAlias

from vrouter.stack.base.addresses import V4, V6
from vrouter.stack.l4.constants import SO_EE_ORIGIN_ICMP, SO_EE_ORIGIN_ICMP6
from vrouter.stack.wire import icmp, icmpv6

Meaning: TypeAlias = tuple[int, bool]

# Destination Unreachable by code: errno, and whether a connected socket is told without IP_RECVERR. As Linux's
# icmp_err_convert and icmpv6_err_convert; RFC 1122 4.2.3.9 calls codes 0, 1 and 5 of IPv4 soft, 2 to 4 hard.
UNREACHABLE: Final[dict[int, tuple[Meaning, ...]]] = {
    V4: (
        (errno.ENETUNREACH, False),
        (errno.EHOSTUNREACH, False),
        (errno.ENOPROTOOPT, True),
        (errno.ECONNREFUSED, True),
        (errno.EMSGSIZE, True),
        (errno.EOPNOTSUPP, False),
        (errno.ENETUNREACH, True),
        (errno.EHOSTDOWN, True),
        (errno.ENONET, True),
        (errno.ENETUNREACH, True),
        (errno.EHOSTUNREACH, True),
        (errno.ENETUNREACH, False),
        (errno.EHOSTUNREACH, False),
        (errno.EHOSTUNREACH, True),
        (errno.EHOSTUNREACH, True),
        (errno.EHOSTUNREACH, True),
    ),
    V6: (
        (errno.ENETUNREACH, False),
        (errno.EACCES, True),
        (errno.EHOSTUNREACH, False),
        (errno.EHOSTUNREACH, False),
        (errno.ECONNREFUSED, True),
        (errno.EACCES, True),
        (errno.EACCES, True),
    ),
}
UNKNOWN_CODE: Final[dict[int, Meaning]] = {V4: (errno.EHOSTUNREACH, False), V6: (errno.EPROTO, True)}
# Of the other types, which have one meaning whatever the code. Of Packet Too Big (RFC 4443 3.2) a connected socket is
# told unless it does not care (IPV6_PMTUDISC_DONT).
UNREACHABLE_TYPE: Final = {V4: icmp.DEST_UNREACHABLE, V6: icmpv6.DEST_UNREACHABLE}
OTHERS: Final[dict[int, dict[int, Meaning]]] = {
    V4: {icmp.TIME_EXCEEDED: (errno.EHOSTUNREACH, False), icmp.PARAMETER_PROBLEM: (errno.EPROTO, True)},
    V6: {
        icmpv6.PACKET_TOO_BIG: (errno.EMSGSIZE, True),
        icmpv6.TIME_EXCEEDED: (errno.EHOSTUNREACH, False),
        icmpv6.PARAMETER_PROBLEM: (errno.EPROTO, True),
    },
}
ORIGIN: Final = {V4: SO_EE_ORIGIN_ICMP, V6: SO_EE_ORIGIN_ICMP6}


def convert(icmp_type: int, icmp_code: int, family: int = V4) -> Meaning:
    """(errno, fatal) of an ICMP error of `family`, for UDP and ping alike; errno 0 when sockets are not told."""
    if icmp_type == UNREACHABLE_TYPE[family]:
        codes = UNREACHABLE[family]
        return codes[icmp_code] if icmp_code < len(codes) else UNKNOWN_CODE[family]
    meaning = OTHERS[family].get(icmp_type)
    if meaning is None:  # RFC 4443 2.4 (a): errors of unknown types are told
        return (errno.EPROTO, False) if family == V6 and icmpv6.is_error(icmp_type) else (0, False)
    return meaning
