"""The program that the examples test: questions over UDP, asked again until they are answered.

It takes the namespace as an argument, so the same code runs in a `vrouter.Router` on real TAPs and in a lab.
"""

import asyncio
from typing import Any


class Service(asyncio.DatagramProtocol):
    """Answers each question with itself in capitals."""

    transport: asyncio.DatagramTransport

    def __init__(self) -> None:
        self.questions = 0

    def connection_made(self, transport: Any) -> None:
        """The socket is open."""
        self.transport = transport

    def datagram_received(self, data: bytes, addr: Any) -> None:
        """A question: its number comes back with the answer."""
        self.questions += 1
        self.transport.sendto(data[:2] + data[2:].upper(), addr)


class Client(asyncio.DatagramProtocol):
    """Asks, and asks again after 0.5 s, 1 s, 2 s, 4 s, and then each 8 s: eight times in all."""

    TIMEOUTS = (0.5, 1, 2, 4, 8, 8, 8, 8)

    transport: asyncio.DatagramTransport

    def __init__(self) -> None:
        self.waiting: dict[bytes, asyncio.Future[bytes]] = {}
        self.number = 0

    def connection_made(self, transport: Any) -> None:
        """The socket is open."""
        self.transport = transport

    def datagram_received(self, data: bytes, addr: Any) -> None:
        """An answer; one that comes twice is ignored."""
        answer = self.waiting.pop(data[:2], None)
        if answer is not None and not answer.done():
            answer.set_result(data[2:])

    async def ask(self, question: bytes) -> bytes:
        """The answer; TimeoutError when the last try was in vain."""
        self.number += 1
        number = self.number.to_bytes(2, "big")
        for timeout in self.TIMEOUTS:
            answer = self.waiting[number] = asyncio.get_running_loop().create_future()
            self.transport.sendto(number + question)
            try:
                async with asyncio.timeout(timeout):
                    return await answer
            except TimeoutError:
                continue
        raise TimeoutError(f"no answer after {len(self.TIMEOUTS)} tries")


async def serve(namespace: Any, port: int) -> Service:
    """Open the service in a namespace."""
    _, service = await namespace.create_datagram_endpoint(Service, local_addr=("0.0.0.0", port))
    return service


async def connect(namespace: Any, host: str, port: int) -> Client:
    """Open a client in a namespace."""
    _, client = await namespace.create_datagram_endpoint(Client, remote_addr=(host, port))
    return client
