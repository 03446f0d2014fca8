"""Where the calls of `tcp_script` are made: a world of sockets, the kernel's or ours, and who notes the answers."""

from __future__ import annotations

import errno
import socket
from collections.abc import Callable
from typing import Any, Protocol

EPHEMERAL = range(32768, 61000)
TCP = socket.IPPROTO_TCP
SOL = socket.SOL_SOCKET
ADDRESS = {socket.AF_INET: "127.0.0.1", socket.AF_INET6: "::1"}
SECOND = {socket.AF_INET: "127.0.0.2", socket.AF_INET6: "::1"}
ANY = {socket.AF_INET: "0.0.0.0", socket.AF_INET6: "::"}
FOREIGN = {socket.AF_INET: "192.0.2.1", socket.AF_INET6: "2001:db8::1"}
GROUP = {socket.AF_INET: "239.0.0.1", socket.AF_INET6: "ff0e::1"}
MSG_FASTOPEN = 0x20000000


class World(Protocol):
    """Where the sockets are."""

    def new(self, family: int) -> Any:
        """A stream socket that does not block."""

    def dissolve(self, sock: Any) -> None:
        """connect(2) with AF_UNSPEC."""

    def wait(self) -> None:
        """Until all that was sent has arrived."""


def plain(value: Any) -> Any:
    """A value as JSON has it; ports that the system chose differ from run to run."""
    if isinstance(value, bytes):
        return value.hex()
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    if hasattr(value, "getsockname"):
        return "socket"
    return "chosen" if isinstance(value, int) and value in EPHEMERAL else value


class Script:
    """The calls so far: [what was tried, value or errno's name]."""

    def __init__(self, world: World, family: int) -> None:
        self.world = world
        self.family = family
        self.home = ADDRESS[family]
        self.answers: list[list[Any]] = []

    def ask(self, what: str, call: Callable[..., Any], *args: Any) -> None:
        """Make one call."""
        try:
            self.answers.append([what, plain(call(*args))])
        except OSError as error:
            self.answers.append([what, errno.errorcode[error.errno or 0]])

    def new(self, **options: int) -> Any:
        """A socket with options of SOL_SOCKET."""
        sock = self.world.new(self.family)
        for name, value in options.items():
            sock.setsockopt(SOL, getattr(socket, name), value)
        return sock

    def bound(self, port: int, address: str | None = None, **options: int) -> Any:
        """One that is bound."""
        sock = self.new(**options)
        sock.bind((self.home if address is None else address, port))
        return sock

    def listener(self, port: int, backlog: int = 8, **options: int) -> Any:
        """One that listens."""
        sock = self.bound(port, **options)
        sock.listen(backlog)
        return sock

    def pair(self, listener: Any, port: int, **options: int) -> tuple[Any, Any]:
        """Both ends of a new connection."""
        client = self.new(**options)
        assert client.connect_ex((self.home, port)) == errno.EINPROGRESS
        self.world.wait()
        assert client.connect_ex((self.home, port)) == 0
        return client, listener.accept()[0]
