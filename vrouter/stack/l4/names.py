"""Socket addresses as Python's socket module writes them: ``("10.0.0.1", 53)``.

``""`` is any address, ``"<broadcast>"`` the limited broadcast. A host name is a ValueError: nothing resolves it here.
"""

from __future__ import annotations

from typing import Any, TypeAlias

from vrouter.stack.base.addresses import BROADCAST4, parse_ipv4

Name: TypeAlias = tuple[str, int]


def parse_name(address: Any, call: str) -> tuple[int, int]:
    """(address, port) of a ``(host, port)`` pair; TypeError, ValueError, OverflowError as in Python's socket module."""
    if not isinstance(address, tuple):
        raise TypeError(f"{call}(): AF_INET address must be tuple, not {type(address).__name__}")
    if len(address) != 2 or not isinstance(address[0], str) or not isinstance(address[1], int):
        raise TypeError(f"{call}(): AF_INET address must be a pair (host, port)")
    host, port = address
    if not 0 <= port <= 65535:
        raise OverflowError(f"{call}(): port must be 0-65535.")
    if not host:
        return 0, port
    if host == "<broadcast>":
        return BROADCAST4, port
    return parse_ipv4(host), port
