"""Two programs on one loopback: stream sockets of one namespace, and the time that they live in.

lo 127.0.0.1/8 ::1 [red]
"""

from __future__ import annotations

import errno
from typing import Any

from vrouter.stack.l4 import constants as c
from vrouter.stack.l4.tcp.socket import TcpSocket
from vrouter.stack.stack import Stack

MS = 1_000_000
HOME = {c.AF_INET: "127.0.0.1", c.AF_INET6: "::1"}


class Loopback:
    """A namespace with nothing but lo; ``now`` goes on as it is told to."""

    def __init__(self) -> None:
        self.stack = Stack(seed=9)
        self.ns = self.stack.add_netns("red")
        self.now = 1000 * MS

    def run(self, ms: float = 2) -> None:
        """Let time go by, timer by timer."""
        end = self.now + int(ms * MS)
        while (at := self.stack.poll_at()) is not None and at <= end:
            self.now = max(at, self.now)
            self.stack.poll(self.now)
        self.now = end
        self.stack.poll(end)

    def new(self, family: int = c.AF_INET) -> TcpSocket:
        """A stream socket."""
        sock = self.ns.socket(family, c.SOCK_STREAM)
        assert isinstance(sock, TcpSocket)
        return sock

    def listener(self, port: int, family: int = c.AF_INET, backlog: int = 8) -> TcpSocket:
        """One that listens."""
        sock = self.new(family)
        sock.bind((HOME[family], port), now=self.now)
        sock.listen(backlog, now=self.now)
        return sock

    def pair(self, ear: TcpSocket) -> tuple[TcpSocket, TcpSocket]:
        """Both ends of a new connection to `ear`."""
        client = self.new(ear.family)
        self.call("EINPROGRESS", client.connect, (HOME[ear.family], ear.port))
        self.run()
        self.call(None, client.connect, (HOME[ear.family], ear.port))
        return client, ear.accept(now=self.now)[0]

    def call(self, expected: Any, function: Any, *args: Any) -> None:
        """Make a call, which answers `expected`, a value or an errno's name."""
        assert self.answer(function, *args) == expected

    def answer(self, function: Any, *args: Any) -> Any:
        """The value of a call, or its errno's name."""
        try:
            return function(*args, now=self.now)
        except OSError as error:
            return errno.errorcode[error.errno or 0]
