"""Exceptions as answers: an HTTP status and ``{error, message}``, `error` being the errno's name.

400  what was sent is wrong in itself: not JSON, an unknown key, a text that is no address
403  a privilege is missing          404  there is no such namespace, device, route …
409  it exists already, or is in use 422  it is understood and refused, or not supported yet (EOPNOTSUPP)
"""

from __future__ import annotations

import errno
import os
from typing import Final

from vrouter.errors import ConfigError, NotSupportedError, PrivilegeError, errno_name

STATUS: Final = {
    errno.ENOENT: 404,
    errno.ENODEV: 404,
    errno.ESRCH: 404,
    errno.EADDRNOTAVAIL: 404,
    errno.EEXIST: 409,
    errno.ENOTEMPTY: 409,
    errno.EBUSY: 409,
    errno.EADDRINUSE: 409,
    errno.EPERM: 403,
}


class Refused(Exception):
    """An answer that is an error: `status`, the errno's name and a message; `headers` go with it."""

    def __init__(self, status: int, error: str, message: str, headers: tuple[tuple[bytes, bytes], ...] = ()) -> None:
        self.status = status
        self.error = error
        self.message = message
        self.headers = headers
        super().__init__(message)


def refusal(error: Exception) -> Refused | None:
    """The answer to an exception that a caller has caused; None for one that is a fault of the program."""
    if isinstance(error, Refused):
        return error
    if isinstance(error, ConfigError):
        parts = [
            f"{problem.key}: {problem.message}" + (f" ({problem.hint})" if problem.hint else "")
            for problem in error.problems
        ]
        unbuilt = all("not supported yet" in problem.message for problem in error.problems)
        return Refused(422 if unbuilt else 400, "EOPNOTSUPP" if unbuilt else "EINVAL", "; ".join(parts))
    if isinstance(error, NotSupportedError):
        return Refused(422, "EOPNOTSUPP", str(error))
    if isinstance(error, PrivilegeError):
        return Refused(403, "EPERM", str(error))
    if isinstance(error, OSError):
        number = error.errno or errno.EIO
        text = error.strerror or str(error) or os.strerror(number)
        return Refused(STATUS.get(number, 422), errno_name(number), text)
    if isinstance(error, KeyError):
        return Refused(404, "ENOENT", str(error.args[0]) if error.args else "no such object")
    if isinstance(error, ValueError):
        return Refused(400, "EINVAL", str(error))
    return None
