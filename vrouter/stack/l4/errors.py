"""Errors as a kernel socket raises them: Linux's errno with its text, and what an ICMP error means to a socket.

The texts stand here because the stack imports no `os`.
"""

from __future__ import annotations

import errno
from typing import Final

from vrouter.stack.wire import icmp

TEXTS: Final[dict[int, str]] = {
    errno.EBADF: "Bad file descriptor",
    errno.EAGAIN: "Resource temporarily unavailable",
    errno.EACCES: "Permission denied",
    errno.ENODEV: "No such device",
    errno.EINVAL: "Invalid argument",
    errno.EPIPE: "Broken pipe",
    errno.EPROTO: "Protocol error",
    errno.EDESTADDRREQ: "Destination address required",
    errno.EMSGSIZE: "Message too long",
    errno.ENOPROTOOPT: "Protocol not available",
    errno.EPROTONOSUPPORT: "Protocol not supported",
    errno.EOPNOTSUPP: "Operation not supported",
    errno.EAFNOSUPPORT: "Address family not supported by protocol",
    errno.EADDRINUSE: "Address already in use",
    errno.EADDRNOTAVAIL: "Cannot assign requested address",
    errno.ENETDOWN: "Network is down",
    errno.ENETUNREACH: "Network is unreachable",
    errno.ENOBUFS: "No buffer space available",
    errno.ENOTCONN: "Transport endpoint is not connected",
    errno.ECONNREFUSED: "Connection refused",
    errno.EHOSTDOWN: "Host is down",
    errno.EHOSTUNREACH: "No route to host",
    errno.ENONET: "Machine is not on the network",
    errno.EREMOTEIO: "Remote I/O error",
}

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


def os_error(code: int) -> OSError:
    """The exception of a system call that failed with errno `code`: OSError or its fitting subclass."""
    return OSError(code, TEXTS[code])


def convert(icmp_type: int, icmp_code: int) -> tuple[int, bool]:
    """(errno, fatal) of an ICMP error, for UDP and ping alike; errno 0 when sockets are not told."""
    if icmp_type == icmp.DEST_UNREACHABLE:
        return UNREACHABLE[icmp_code] if icmp_code < len(UNREACHABLE) else (errno.EHOSTUNREACH, False)
    if icmp_type == icmp.TIME_EXCEEDED:
        return errno.EHOSTUNREACH, False
    if icmp_type == icmp.PARAMETER_PROBLEM:
        return errno.EPROTO, True
    return 0, False
