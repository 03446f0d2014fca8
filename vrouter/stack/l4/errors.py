"""What an ICMP error means to a socket."""

from __future__ import annotations

import errno
from typing import Final

from vrouter.stack.wire import icmp

# Destination Unreachable by code: errno, and whether a connected socket is told without IP_RECVERR. As Linux's
# icmp_err_convert; RFC 1122 4.2.3.9 calls codes 0, 1 and 5 soft, 2 to 4 hard.
UNREACHABLE: Final = (
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
)


def convert(icmp_type: int, icmp_code: int) -> tuple[int, bool]:
    """(errno, fatal) of an ICMP error, for UDP and ping alike; errno 0 when sockets are not told."""
    if icmp_type == icmp.DEST_UNREACHABLE:
        return UNREACHABLE[icmp_code] if icmp_code < len(UNREACHABLE) else (errno.EHOSTUNREACH, False)
    if icmp_type == icmp.TIME_EXCEEDED:
        return errno.EHOSTUNREACH, False
    if icmp_type == icmp.PARAMETER_PROBLEM:
        return errno.EPROTO, True
    return 0, False
