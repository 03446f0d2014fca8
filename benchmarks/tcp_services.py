"""TCP services for a measurement: echo (port 7), discard (9), a source without end (19; 20 with BBR).

    python -m benchmarks.tcp_services vrouter TAP [ADDRESS]     on a namespace of a router, behind a TAP that it makes
    python -m benchmarks.tcp_services kernel ADDRESS            on the kernel's sockets

The same protocols on either, with CUBIC where not said otherwise, and nothing remembered of earlier connections. Prints
"ready" when all listen; runs until it is ended.
"""

from __future__ import annotations

import asyncio
import socket
import sys
from collections.abc import Callable, Coroutine
from typing import Any, Final

import uvloop

import vrouter

ECHO, DISCARD, SOURCE, SOURCE_BBR = 7, 9, 19, 20
ADDRESS: Final = "10.0.1.10"
_CHUNK: Final = bytes(256 << 10)
_WRITE_BUFFER: Final = 1 << 20


class Echo(asyncio.Protocol):
    """Everything comes back."""

    def connection_made(self, transport: Any) -> None:
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        self._transport.write(data)


class Discard(asyncio.Protocol):
    """Nothing comes back."""

    def data_received(self, data: bytes) -> None:
        pass


class Source(asyncio.Protocol):
    """Writes as long as it may."""

    def connection_made(self, transport: Any) -> None:
        self._transport = transport
        transport.set_write_buffer_limits(_WRITE_BUFFER)
        self._paused = False
        self._write()

    def pause_writing(self) -> None:
        self._paused = True

    def resume_writing(self) -> None:
        self._paused = False
        self._write()

    def _write(self) -> None:
        while not self._paused and not self._transport.is_closing():
            self._transport.write(_CHUNK)


SERVICES: Final[dict[int, tuple[type[asyncio.Protocol], str]]] = {
    ECHO: (Echo, "cubic"),
    DISCARD: (Discard, "cubic"),
    SOURCE: (Source, "cubic"),
    SOURCE_BBR: (Source, "bbr"),
}


async def serve_vrouter(ifname: str, address: str = ADDRESS) -> None:
    """On the only namespace of a router."""
    devices = {"lan": {"kind": "tap", "ifname": ifname, "addresses": [f"{address}/24"]}}
    sysctl = {"net.ipv4.tcp_no_metrics_save": 1, "net.ipv6.conf.default.disable_ipv6": 1}
    config = {"router": {"admin": ""}, "netns": {"host": {"dev": devices, "sysctl": sysctl}}}
    async with vrouter.Router(config) as router:
        for port, (protocol, control) in SERVICES.items():
            server = await router["host"].create_server(protocol, address, port, start_serving=False)
            server.sockets[0].setsockopt(socket.IPPROTO_TCP, socket.TCP_CONGESTION, control.encode())
            await server.start_serving()
        await _for_ever()


async def serve_kernel(address: str) -> None:
    """On the kernel's sockets. A congestion control that the kernel has not is not served."""
    loop = asyncio.get_running_loop()
    for port, (protocol, control) in SERVICES.items():
        sock = socket.socket()
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_CONGESTION, control.encode())
        except OSError:
            sock.close()
            continue
        sock.bind((address, port))
        await loop.create_server(protocol, sock=sock)
    await _for_ever()


async def _for_ever() -> None:
    print("ready", flush=True)
    await asyncio.get_running_loop().create_future()


def main() -> None:
    kind, *words = sys.argv[1:]
    serve: dict[str, Callable[..., Coroutine[Any, Any, None]]] = {"vrouter": serve_vrouter, "kernel": serve_kernel}
    uvloop.run(serve[kind](*words))


if __name__ == "__main__":
    main()
