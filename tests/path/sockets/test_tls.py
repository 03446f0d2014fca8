"""TLS over transports of namespaces: asyncio's own, as over the kernel's."""

from __future__ import annotations

import asyncio
import ssl
from typing import Any

import pytest
import trustme

import vrouter
from tests.path.sockets.world import Recorder, World, connected, turns

pytestmark = pytest.mark.scoped

Pair = tuple[vrouter.Netns, vrouter.Netns]


class Contexts:
    """A certificate of web.test, and what trusts it."""

    def __init__(self) -> None:
        authority = trustme.CA()
        self.server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        authority.issue_cert("web.test").configure_cert(self.server)
        self.client = ssl.create_default_context()
        authority.configure_trust(self.client)


@pytest.fixture(scope="module")
def contexts() -> Contexts:
    return Contexts()


async def shout(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        while data := await reader.read(65536):
            writer.write(data.upper())
            await writer.drain()
    except ConnectionError:
        pass
    finally:
        writer.close()


async def test_streams_over_tls(world: World, contexts: Contexts) -> None:
    """A large exchange both ways; what is known of the TLS is known of the transport."""
    with world.server():
        server = await asyncio.start_server(shout, world.host, 0, ssl=contexts.server)
    port = server.sockets[0].getsockname()[1]
    with world.client():
        reader, writer = await asyncio.open_connection(
            world.host, port, ssl=contexts.client, server_hostname="web.test", ssl_handshake_timeout=20.0
        )
    data = b"a secret " * 50_000
    writer.write(data)
    assert await reader.readexactly(len(data)) == data.upper()
    assert writer.get_extra_info("peercert")["subjectAltName"] == (("DNS", "web.test"),)
    assert writer.get_extra_info("cipher")[1].startswith("TLS")
    assert isinstance(writer.get_extra_info("ssl_object"), ssl.SSLObject)
    assert writer.get_extra_info("sslcontext") is contexts.client
    assert writer.get_extra_info("peername")[0] == world.host
    assert writer.get_extra_info("socket").getpeername()[0] == world.host
    writer.close()
    await writer.wait_closed()
    server.close()
    await turns(20)


async def test_a_wrong_name_is_refused(world: World, contexts: Contexts) -> None:
    """SSLCertVerificationError for a certificate of somebody else, and both ends are closed."""
    with world.server():
        server = await asyncio.start_server(shout, world.host, 0, ssl=contexts.server)
    port = server.sockets[0].getsockname()[1]
    with world.client(), pytest.raises(ssl.SSLCertVerificationError):
        await asyncio.open_connection(world.host, port, ssl=contexts.client, server_hostname="other.test")
    server.close()
    await turns(20)


async def test_start_tls_on_both_sides(world: World, contexts: Contexts) -> None:
    """loop.start_tls() upgrades a connection in the middle of it, on both loops."""
    loop = asyncio.get_running_loop()
    async with connected(world) as pair:
        pair.client.transport.write(b"STARTTLS")
        await pair.server.received(8)
        server_side = asyncio.ensure_future(
            loop.start_tls(pair.server.transport, pair.server, contexts.server, server_side=True)
        )
        one = await loop.start_tls(pair.client.transport, pair.client, contexts.client, server_hostname="web.test")
        other = await server_side
        assert one.get_extra_info("peercert")["subjectAltName"] == (("DNS", "web.test"),)
        pair.server.data.clear()
        one.write(b"hidden")
        await pair.server.received(6)
        other.write(b"reply")
        await pair.client.received(5)
        assert (bytes(pair.server.data), bytes(pair.client.data)) == (b"hidden", b"reply")
        pair.client.transport, pair.server.transport = one, other


async def test_tls_within_tls(pair: Pair, contexts: Contexts) -> None:
    """start_tls() on a connection that has TLS already, as through a proxy."""
    red, blue = pair
    loop = asyncio.get_running_loop()
    async with connected(World("netns", "10.0.0.2", red, blue)) as ends:
        ways: list[list[Any]] = [[ends.server, {"server_side": True}, contexts.server]]
        ways.append([ends.client, {"server_hostname": "web.test"}, contexts.client])
        for _ in range(2):
            upgraded = await asyncio.gather(
                *(loop.start_tls(end.transport, end, context, **options) for end, options, context in ways)
            )
            ends.server.transport, ends.client.transport = upgraded
        ends.client.transport.write(b"twice hidden")
        await ends.server.received(12)
        assert bytes(ends.server.data) == b"twice hidden"
        assert ends.client.transport.get_extra_info("netns") == "red"


async def test_a_namespace_upgrades_on_any_loop(pair: Pair, contexts: Contexts) -> None:
    """red.start_tls() is loop.start_tls() without a loop of ours."""
    red, blue = pair
    async with connected(World("netns", "10.0.0.2", red, blue)) as ends:
        upgraded = await asyncio.gather(
            blue.start_tls(ends.server.transport, ends.server, contexts.server, server_side=True),
            red.start_tls(ends.client.transport, ends.client, contexts.client, server_hostname="web.test"),
        )
        upgraded[1].write(b"hidden")
        await ends.server.received(6)
        assert bytes(ends.server.data) == b"hidden"
        ends.server.transport, ends.client.transport = upgraded
        with pytest.raises(TypeError):
            await red.start_tls(ends.client.transport, ends.client, None)


async def test_a_peer_that_never_shakes_hands(pair: Pair, contexts: Contexts) -> None:
    """ssl_handshake_timeout ends the wait with ConnectionAbortedError, on the client and on the server."""
    red, blue = pair
    lost = asyncio.Event()

    class Mute(Recorder):
        def connection_lost(self, exc: BaseException | None) -> None:
            super().connection_lost(exc)
            lost.set()

    server = await blue.create_server(Mute, "10.0.0.2", 80)
    with pytest.raises(ConnectionAbortedError):
        await red.create_connection(
            Recorder, "10.0.0.2", 80, ssl=contexts.client, server_hostname="web.test", ssl_handshake_timeout=0.05
        )
    await lost.wait()
    server.close()
    await server.wait_closed()
    server = await blue.create_server(Mute, "10.0.0.2", 443, ssl=contexts.server, ssl_handshake_timeout=0.05)
    _, protocol = await red.create_connection(Recorder, "10.0.0.2", 443)
    await protocol.lost()
    server.close()
    await server.wait_closed()
    assert server.sockets == ()


async def test_a_server_without_tls(pair: Pair, contexts: Contexts) -> None:
    """A handshake that meets something else is an SSLError, and nothing is left over."""
    red, blue = pair

    class Greeting(Recorder):
        def connection_made(self, transport: Any) -> None:
            super().connection_made(transport)
            transport.write(b"220 hello, this is mail\r\n" * 10)

    server = await blue.create_server(Greeting, "10.0.0.2", 80)
    with pytest.raises(ssl.SSLError):
        await red.create_connection(Recorder, "10.0.0.2", 80, ssl=contexts.client, server_hostname="web.test")
    server.close()
    server.abort_clients()
    await server.wait_closed()


async def test_flow_control_goes_through_tls(pair: Pair, contexts: Contexts) -> None:
    """A TLS client that reads nothing stops the server, until it reads again."""
    red, blue = pair
    block = b"z" * 65536
    async with connected(World("netns", "10.0.0.2", red, blue)) as ends:
        ends.server.transport, ends.client.transport = await asyncio.gather(
            blue.start_tls(ends.server.transport, ends.server, contexts.server, server_side=True),
            red.start_tls(ends.client.transport, ends.client, contexts.client, server_hostname="web.test"),
        )
        ends.client.transport.pause_reading()
        written = 0
        while not ends.server.paused:
            ends.server.transport.write(block)
            written += len(block)
            await asyncio.sleep(0)
        ends.client.transport.resume_reading()
        await ends.client.received(written)
        await ends.server.until(lambda: ends.server.resumed >= 1)
        assert len(ends.client.data) == written
