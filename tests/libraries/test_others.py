"""websockets, aiosmtplib with aiosmtpd, dnspython, and a client in the manner of database drivers, all unmodified."""

from __future__ import annotations

import asyncio
import email.message
from typing import Any

import aiosmtplib
import dns.asyncquery
import dns.asyncresolver
import dns.flags
import dns.message
import dns.rcode
import dns.rrset
import pytest
import websockets
import websockets.asyncio.client
import websockets.asyncio.server
from aiosmtpd.smtp import SMTP

import vrouter

pytestmark = pytest.mark.scoped

Pair = tuple[vrouter.Netns, vrouter.Netns]


@pytest.mark.parametrize("secure", [False, True])
async def test_websockets(pair: Pair, contexts: Any, secure: bool) -> None:
    """websockets on both ends: messages of any size, ping, and the closing handshake."""
    red, blue = pair

    async def answer(connection: websockets.asyncio.server.ServerConnection) -> None:
        assert vrouter.current_netns() is blue
        async for message in connection:
            await connection.send(message[::-1])

    with blue:
        server = await websockets.asyncio.server.serve(answer, None, 9000, ssl=contexts.server if secure else None)
    with red:
        url = f"ws{'s' if secure else ''}://web.test:9000/"
        tls = contexts.client if secure else None
        async with websockets.asyncio.client.connect(url, ssl=tls, proxy=None) as client:
            await client.send("hello")
            assert await client.recv() == "olleh"
            await client.send(b"ab" * 400_000)
            assert await client.recv() == b"ba" * 400_000
            await (await client.ping())
            assert client.remote_address == ("10.0.0.2", 9000)  # RFC 6724: before unique local addresses
    assert client.close_code == 1000
    server.close()
    await server.wait_closed()


class Mailbox:
    def __init__(self) -> None:
        self.mails: list[bytes] = []

    async def handle_DATA(self, server: Any, session: Any, envelope: Any) -> str:
        self.mails.append(envelope.content)
        return "250 OK"


@pytest.mark.parametrize("secure", [False, True])
async def test_mail(pair: Pair, contexts: Any, secure: bool) -> None:
    """aiosmtplib to aiosmtpd, with STARTTLS in the middle of the connection."""
    red, blue = pair
    loop = asyncio.get_running_loop()
    mailbox = Mailbox()
    with blue:
        server = await loop.create_server(
            lambda: SMTP(mailbox, tls_context=contexts.server if secure else None, loop=loop, hostname="web.test"),
            "10.0.0.2",
            25,
        )
    mail = email.message.EmailMessage()
    mail["From"], mail["To"], mail["Subject"] = "a@red.test", "b@web.test", "hello"
    mail.set_content("line\n" * 5000)
    with red:
        await aiosmtplib.send(
            mail, hostname="web.test", port=25, start_tls=secure, tls_context=contexts.client, local_hostname="red.test"
        )
    assert mailbox.mails[0].count(b"line\r\n") == 5000
    server.close()
    await server.wait_closed()


class NameServer(asyncio.DatagramProtocol):
    """Answers every question for an address; by UDP with nothing but "ask by TCP" for a long name."""

    def connection_made(self, transport: Any) -> None:
        self.transport = transport

    def datagram_received(self, data: bytes, addr: Any) -> None:
        query = dns.message.from_wire(data)
        answer = answered(query)
        if len(str(query.question[0].name)) > 30:
            answer.answer.clear()
            answer.flags |= dns.flags.TC
        self.transport.sendto(answer.to_wire(), addr)


def answered(query: dns.message.Message) -> dns.message.Message:
    answer = dns.message.make_response(query)
    name = query.question[0].name
    answer.answer.append(dns.rrset.from_text(name, 60, "IN", "A", "10.0.0.2"))
    return answer


async def by_tcp(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    length = int.from_bytes(await reader.readexactly(2), "big")
    wire = answered(dns.message.from_wire(await reader.readexactly(length))).to_wire()
    writer.write(len(wire).to_bytes(2, "big") + wire)
    await writer.drain()
    writer.close()
    await writer.wait_closed()


async def test_dnspython(pair: Pair) -> None:
    """dnspython's asyncio resolver and queries, by UDP, and by TCP where the answer was cut."""
    red, blue = pair
    transport, _ = await blue.create_datagram_endpoint(NameServer, ("10.0.0.2", 53))
    server = await blue.start_server(by_tcp, "10.0.0.2", 53)
    with red:
        resolver = dns.asyncresolver.Resolver(configure=False)
        resolver.nameservers = ["10.0.0.2"]
        assert [row.address for row in await resolver.resolve("short.test", "A")] == ["10.0.0.2"]
        assert [row.address for row in await resolver.resolve(f"{'long' * 10}.test", "A")] == ["10.0.0.2"]
        query = dns.message.make_query("x.test", "A")
        assert (await dns.asyncquery.tcp(query, "10.0.0.2", timeout=5)).rcode() == dns.rcode.NOERROR
        assert (await dns.asyncquery.udp(query, "10.0.0.2", timeout=5)).answer[0][0].address == "10.0.0.2"
    transport.close()
    server.close()
    await server.wait_closed()


class Upgrade(asyncio.Protocol):
    """What a PostgreSQL driver does first: asks whether TLS is spoken, and waits for one byte."""

    def __init__(self, answer: asyncio.Future[bytes]) -> None:
        self.answer = answer

    def connection_made(self, transport: Any) -> None:
        transport.write(bytes.fromhex("0000000804d2162f"))

    def data_received(self, data: bytes) -> None:
        self.answer.set_result(data)


class Session(asyncio.Protocol):
    """What it does next: its own protocol takes the connection over."""

    def __init__(self, done: asyncio.Future[bytes]) -> None:
        self.done = done

    def data_received(self, data: bytes) -> None:
        self.done.set_result(data)


async def test_a_driver_that_upgrades(pair: Pair, contexts: Any) -> None:
    """create_connection, a question, start_tls, and another protocol, as database drivers do it."""
    red, blue = pair
    loop = asyncio.get_running_loop()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        assert await reader.readexactly(8) == bytes.fromhex("0000000804d2162f")
        writer.write(b"S")
        await writer.start_tls(contexts.server)
        assert await reader.readexactly(5) == b"hello"
        writer.write(b"ready")
        await writer.drain()
        writer.close()
        await writer.wait_closed()

    with blue:
        server = await asyncio.start_server(serve, "10.0.0.2", 5432)
    with red:
        answer: asyncio.Future[bytes] = loop.create_future()
        transport, protocol = await loop.create_connection(lambda: Upgrade(answer), "web.test", 5432, family=2)
        assert await answer == b"S"
        secure = await loop.start_tls(transport, protocol, contexts.client, server_hostname="web.test")
        done: asyncio.Future[bytes] = loop.create_future()
        session = Session(done)
        secure.set_protocol(session)
        secure.write(b"hello")
        assert await done == b"ready"
        secure.close()
    server.close()
    await server.wait_closed()
