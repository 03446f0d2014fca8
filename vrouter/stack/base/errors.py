"""Errors as a kernel raises them: Linux's errno with its text, which stands here because the stack imports no `os`."""

from __future__ import annotations

import errno
from typing import Final

TEXTS: Final[dict[int, str]] = {
    errno.ENXIO: "No such device or address",
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
    errno.ESOCKTNOSUPPORT: "Socket type not supported",
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
    errno.EINPROGRESS: "Operation now in progress",
    errno.EALREADY: "Operation already in progress",
    errno.EISCONN: "Transport endpoint is already connected",
    errno.ECONNABORTED: "Software caused connection abort",
    errno.ECONNRESET: "Connection reset by peer",
    errno.ETIMEDOUT: "Connection timed out",
    errno.EDOM: "Numerical argument out of domain",
    errno.ENOMEM: "Cannot allocate memory",
    errno.EPERM: "Operation not permitted",
    errno.ENOENT: "No such file or directory",
    errno.EFAULT: "Bad address",
}


def os_error(code: int) -> OSError:
    """The exception of a system call that failed with errno `code`: OSError or its fitting subclass."""
    return OSError(code, TEXTS[code])
