"""Chooses what programs do with stream, raw and packet sockets."""

from __future__ import annotations

from random import Random
from struct import pack
from typing import TYPE_CHECKING, Any

from vrouter.stack.l4.packet_socket import PacketSocket
from vrouter.stack.l4.tcp.socket import TcpSocket

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.fuzz.world import Action, World

_TCP, _SOCKET = 6, 1
LISTENED = (80, 443)
_MOST = 40
_NUMBERS = (-1, 0, 1, 2, 3, 5, 60, 100, 1000, 5000, 32767, 32768, 65535, 1 << 20, 0x7FFFFFFF)
_BUFFERS = (0, 1, 2304, 5000, 20000, 100_000, 1 << 20)
# (level, option, values) of setsockopt; a rate or a clamp so small that nothing ever arrives is none.
_OPTIONS: tuple[tuple[int, int, tuple[Any, ...]], ...] = (
    (1, 2, (0, 1)),  # SO_REUSEADDR
    (1, 15, (0, 1)),  # SO_REUSEPORT
    (1, 7, _BUFFERS),  # SO_SNDBUF
    (1, 8, _BUFFERS),  # SO_RCVBUF
    (1, 9, (0, 1)),  # SO_KEEPALIVE
    (1, 10, (0, 1)),  # SO_OOBINLINE
    (1, 12, (0, 6)),  # SO_PRIORITY
    (1, 13, (pack("ii", 0, 0), pack("ii", 1, 0), pack("ii", 1, 5), pack("ii", 1, -1), b"\1")),  # SO_LINGER
    (1, 18, (0, 1, 2, 1000, 100_000, 0x7FFFFFFF)),  # SO_RCVLOWAT
    (1, 20, (pack("qq", 1, 0), pack("qq", 0, 10**6), b"")),  # SO_RCVTIMEO
    (1, 25, (b"e0\0", b"\0", b"nothing")),  # SO_BINDTODEVICE
    (1, 36, (0, 7)),  # SO_MARK
    (1, 47, (100_000, 10_000_000, -1)),  # SO_MAX_PACING_RATE
    (6, 1, (0, 1)),  # TCP_NODELAY
    (6, 2, (*_NUMBERS, 88, 536)),  # TCP_MAXSEG
    (6, 3, (0, 1)),  # TCP_CORK
    *((6, option, _NUMBERS) for option in (4, 5, 6, 7, 8, 9, 23, 36)),
    (6, 18, (-1, 0, 1, 1000, 60_000)),  # TCP_USER_TIMEOUT
    (6, 10, (0, 1, 1000, 5000, 65535)),  # TCP_WINDOW_CLAMP
    (6, 12, (0, 1)),  # TCP_QUICKACK
    (6, 13, (b"reno", b"cubic", b"bbr", b"nothing", b"")),  # TCP_CONGESTION
    (6, 24, (0, 1, 12345)),  # TCP_TIMESTAMP
    (6, 25, (0, 1, 5000, 100_000)),  # TCP_NOTSENT_LOWAT
    (6, 30, (0, 1)),  # TCP_FASTOPEN_CONNECT
    (6, 33, (bytes(16), bytes(32), b"")),  # TCP_FASTOPEN_KEY
    (6, 34, (0, 1)),  # TCP_FASTOPEN_NO_COOKIE
    (6, 9999, (0, b"")),
    (0, 2, (1, 64, 255)),  # IP_TTL
    (0, 1, (0, 255)),  # IP_TOS
    (0, 10, (0, 1, 2, 3)),  # IP_MTU_DISCOVER
    (41, 16, (-1, 1, 64)),  # IPV6_UNICAST_HOPS
    (41, 26, (0, 1)),  # IPV6_V6ONLY
    (41, 67, (0, 255)),  # IPV6_TCLASS
)
_READ = (*((level, option) for level, option, _ in _OPTIONS), (6, 11), (6, 26), (1, 4), (1, 3), (1, 30), (1, 38))
_SIZES = (0, 1, 1, 100, 1000, 1448, 5000, 20000, 65536, 200_000)
_PEEK, _TRUNC, _OOB, _MORE, _FASTOPEN, _WAITALL = 2, 0x20, 1, 0x8000, 0x20000000, 0x100


class Programs:
    """`spaces` gives names of namespaces, `where` addresses to talk to (of IPv6 or not), `number` a new number."""

    def __init__(
        self,
        world: World,
        rng: Random,
        spaces: Callable[[], str],
        where: Callable[[bool], str],
        number: Callable[[], int],
    ) -> None:
        self.world = world
        self.rng = rng
        self.spaces, self.where, self.number = spaces, where, number

    def acts(self) -> list[Action]:
        """One thing that one of them does."""
        rng, live = self.rng, list(self.world.streams)
        roll = rng.random()
        if not live or (roll < 0.1 and len(live) < _MOST):
            return self.begins()
        if roll < 0.14:
            return [self._other()]
        number = rng.choice(live)
        sock = self.world.streams[number].sock
        if sock.listening and rng.random() < 0.8:
            return [("take", number, self.number())]
        if not sock.listening and sock.tcb is None and rng.random() < 0.5:
            return [("call", number, "connect", self._target(sock.family == 10))]
        roll = rng.random()
        if roll < 0.33:
            return [self._writes(number, sock)]
        if roll < 0.72:
            flags = rng.choice((0, 0, 0, 0, 0, _PEEK, _TRUNC, _PEEK | _TRUNC, _OOB, _WAITALL, 0x2000))
            return [("read", number, rng.choice((*_SIZES, 200_000)), flags, rng.random() < 0.2)]
        if roll < 0.84:
            level, option, values = rng.choice(_OPTIONS)
            return [("call", number, "setsockopt", level, option, rng.choice(values))]
        if roll < 0.88:
            level, option = rng.choice(_READ)
            return [("call", number, "getsockopt", level, option, rng.choice((0, 1, 4, 16, 256)))]
        return [self._seldom(number, sock)]

    def _seldom(self, number: int, sock: TcpSocket) -> Action:
        rng, roll = self.rng, self.rng.random()
        if roll < 0.12:
            return ("call", number, "shutdown", rng.choice((0, 1, 1, 1, 2, 3)))
        if roll < 0.3:
            return ("call", number, "close")
        if roll < 0.34:
            return ("kill", number)
        if roll < 0.36:
            return ("call", number, "connect", None)
        if roll < 0.5:
            return ("call", number, "connect", self._target(sock.family == 10))
        if roll < 0.55:
            return ("call", number, "bind", ["", rng.choice((0, *LISTENED))])
        if roll < 0.6:
            return ("call", number, "listen", rng.choice((-1, 0, 1, 4, 128)))
        if roll < 0.65:
            return ("call", number, "recvmsg", 5000, rng.choice((0, 100)), _PEEK)
        return ("call", number, rng.choice(("getsockname", "getpeername", "queues")))

    def _writes(self, number: int, sock: TcpSocket) -> Action:
        rng = self.rng
        flags = rng.choice((0, 0, 0, 0, _MORE, _OOB, 0x40))
        where = None
        if sock.tcb is None or rng.random() < 0.03:
            if rng.random() < 0.7:
                flags, where = _FASTOPEN, self._target(sock.family == 10)
        return ("write", number, rng.choice(_SIZES), flags, where)

    def begins(self) -> list[Action]:
        """A listener, or a socket that is to be connected."""
        rng, number = self.rng, self.number()
        family = rng.choice((2, 10))
        actions: list[Action] = [("open", number, self.spaces(), family, 1, rng.choice((0, _TCP)))]
        for _ in range(rng.choice((0, 0, 1, 3))):
            level, option, values = rng.choice(_OPTIONS)
            actions.append(("call", number, "setsockopt", level, option, rng.choice(values)))
        if rng.random() < 0.35:
            actions.append(("call", number, "bind", ["", rng.choice(LISTENED)]))
            actions.append(("call", number, "listen", rng.choice((0, 1, 4, 128))))
        elif rng.random() < 0.15:
            actions.append(("write", number, rng.choice(_SIZES), _FASTOPEN, self._target(family == 10)))
        else:
            actions.append(("call", number, "connect", self._target(family == 10)))
        return actions

    def _target(self, six: bool) -> list[Any]:
        return [self.where(six), self.rng.choice((*LISTENED, *LISTENED, 9))]

    def _other(self) -> Action:
        """A raw or a packet socket does something."""
        rng, world = self.rng, self.world
        live = [n for n, sock in world.sockets.items() if sock.type == 3 or isinstance(sock, PacketSocket)]
        if not live or (rng.random() < 0.2 and len(live) < 6):
            if rng.random() < 0.5:
                return ("open", self.number(), self.spaces(), 17, rng.choice((2, 3)), rng.choice((0x300, 8, 0x0608)))
            return ("open", self.number(), self.spaces(), rng.choice((2, 10)), 3, rng.choice((6, 1, 58, 253)))
        number = rng.choice(live)
        sock = world.sockets[number]
        packet = isinstance(sock, PacketSocket)
        roll = rng.random()
        if roll < 0.6:
            return ("call", number, rng.choice(("recv", "recvfrom")), rng.choice((0, 100, 70_000)), rng.choice((0, 2)))
        if roll < 0.7:
            return ("call", number, "bind", [rng.choice(("e0", "", "nothing")), 3] if packet else ["", 0])
        if roll < 0.8 and not packet and sock.port == 253:
            return ("call", number, "sendto", rng.randbytes(40), 0, [self.where(sock.family == 10), 0])
        if roll < 0.85 and packet:
            return ("call", number, "sendto", rng.randbytes(60), 0, ["e0", 0x88B5, 0, 1, b"\2\0\0\0\x77\1"])
        if roll < 0.9:
            level, option = rng.choice(((263, 6), (1, 4), (255, 1), (58, 1), (1, 8), (0, 2)))
            return ("call", number, "getsockopt", level, option, rng.choice((0, 4, 8)))
        if roll < 0.95:
            option, value = rng.choice(((8, 2304), (8, 100_000), (25, b"e0\0"), (25, b"\0"), (36, 7)))
            return ("call", number, "setsockopt", _SOCKET, option, value)
        return ("call", number, "close")
