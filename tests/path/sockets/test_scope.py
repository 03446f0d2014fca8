"""A namespace as a scope: a context variable of the task, which the loop's own calls look at."""

from __future__ import annotations

import asyncio
import socket
from typing import Any

import pytest

import vrouter
from tests.path.sockets.world import Recorder, turns, two_namespaces
from vrouter.testing import Lab

pytestmark = pytest.mark.scoped

Pair = tuple[vrouter.Netns, vrouter.Netns]


async def test_scopes_nest(pair: Pair) -> None:
    """The innermost one counts; each ends where it began, also by an exception; `async with` is the same."""
    red, blue = pair
    assert vrouter.current_netns() is None
    with red as entered:
        assert entered is red
        assert vrouter.current_netns() is red
        with red, blue:
            assert vrouter.current_netns() is blue
        async with blue:
            await turns(1)
            assert vrouter.current_netns() is blue
        assert vrouter.current_netns() is red
        with pytest.raises(ZeroDivisionError), blue:
            raise ZeroDivisionError
        assert vrouter.current_netns() is red
    assert vrouter.current_netns() is None


async def test_each_task_has_its_own(pair: Pair) -> None:
    """A scope survives every await, child tasks inherit it, and what they do in theirs is not seen outside."""
    red, blue = pair
    seen: list[str | None] = []

    def name() -> str | None:
        netns = vrouter.current_netns()
        return None if netns is None else netns.name

    async def child() -> None:
        seen.append(name())
        with blue:
            await turns(3)
            seen.append(name())
        seen.append(name())

    async def other() -> None:
        for _ in range(6):
            await turns(1)
            assert name() is None

    outside = asyncio.create_task(other())
    with red:
        task = asyncio.create_task(child())
        await turns(1)
        assert name() == "red"
        asyncio.get_running_loop().call_soon(lambda: seen.append(f"callback in {name()}"))
        await task
        assert await asyncio.to_thread(name) == "red"
    assert seen == ["red", "callback in red", "blue", "red"]
    assert name() is None
    await outside


async def test_handlers_run_where_their_endpoint_was_made(pair: Pair) -> None:
    """Callbacks, and the tasks of start_server's handlers, are in the scope in which the endpoint was made."""
    red, blue = pair
    loop = asyncio.get_running_loop()
    seen: list[tuple[str, Any]] = []

    class Noting(Recorder):
        def _note(self, event: str) -> None:
            seen.append((event, vrouter.current_netns()))
            super()._note(event)

    with blue:
        server = await loop.create_server(Noting, "10.0.0.2", 80)
    transport, protocol = await red.create_connection(Recorder, "10.0.0.2", 80)
    with red:  # where it is used makes no difference
        transport.write(b"x")
        transport.write_eof()
        await protocol.lost()
    await turns(5)
    assert seen == [("made", blue), ("data", blue), ("eof", blue), ("lost", blue)]
    server.close()
    await server.wait_closed()


async def test_datagrams_and_names_in_a_scope(pair: Pair) -> None:
    """create_datagram_endpoint(), getaddrinfo() and getnameinfo() are the namespace's."""
    red, blue = pair
    loop = asyncio.get_running_loop()
    await red.set_resolver(hosts={"web.test": "10.0.0.2"})
    with red:
        transport, _ = await loop.create_datagram_endpoint(asyncio.DatagramProtocol, remote_addr=("web.test", 53))
        assert transport.get_extra_info("netns") == "red"
        assert transport.get_extra_info("peername") == ("10.0.0.2", 53)
        transport.close()
        found = await loop.getaddrinfo("web.test", 80, type=socket.SOCK_STREAM)
        assert found == [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("10.0.0.2", 80))]
        assert await loop.getnameinfo(("10.0.0.2", 12345)) == ("web.test", "12345")
    with blue, pytest.raises(socket.gaierror) as caught:
        await loop.getaddrinfo("web.test", 80)
    assert caught.value.errno == socket.EAI_NONAME


async def test_outside_the_loop_is_as_always(pair: Pair) -> None:
    """Connections, servers, datagrams, names, files and sock_* calls of the kernel work on the loop."""
    loop = asyncio.get_running_loop()
    assert vrouter.current_netns() is None
    server = await loop.create_server(Recorder, "127.0.0.1", 0)
    assert isinstance(server.sockets[0].fileno(), int)
    address = server.sockets[0].getsockname()
    transport, protocol = await loop.create_connection(Recorder, *address)
    transport.close()
    await protocol.lost()
    with socket.socket() as sock:
        sock.setblocking(False)
        await loop.sock_connect(sock, address)
        await loop.sock_sendall(sock, b"x")
        assert sock.getpeername() == address
    one, other = socket.socketpair()
    with one, other:
        one.setblocking(False)
        other.setblocking(False)
        with pair[0]:  # what is of no internet family is nobody's network
            await loop.sock_sendall(one, b"pair")
            assert await loop.sock_recv(other, 10) == b"pair"
    assert (await loop.getaddrinfo("127.0.0.1", 80, type=socket.SOCK_STREAM))[0][4] == ("127.0.0.1", 80)
    assert (await loop.getnameinfo(("127.0.0.1", 80), socket.NI_NUMERICHOST))[0] == "127.0.0.1"
    datagrams, _ = await loop.create_datagram_endpoint(asyncio.DatagramProtocol, ("127.0.0.1", 0))
    datagrams.close()
    server.close()
    await turns(5)


async def test_kernel_sockets_are_refused(pair: Pair) -> None:
    """RuntimeError for a kernel's socket inside a scope, wherever it is given: never silently the host's network."""
    red, _ = pair
    loop = asyncio.get_running_loop()
    with socket.socket() as sock, socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as udp, red:
        for one in (sock, udp):
            one.setblocking(False)
        for call in (
            lambda: loop.create_connection(Recorder, sock=sock),
            lambda: loop.create_server(Recorder, sock=sock),
            lambda: loop.create_datagram_endpoint(asyncio.DatagramProtocol, sock=udp),
            lambda: loop.connect_accepted_socket(Recorder, sock),
            lambda: loop.sock_recv(sock, 1),
            lambda: loop.sock_recv_into(sock, bytearray(1)),
            lambda: loop.sock_sendall(sock, b"x"),
            lambda: loop.sock_accept(sock),
            lambda: loop.sock_recvfrom(udp, 1),
            lambda: loop.sock_sendto(udp, b"x", ("127.0.0.1", 9)),
        ):
            with pytest.raises(RuntimeError, match="a socket of the kernel cannot be used in the scope of <Netns red>"):
                await call()


async def test_the_order_of_leaving(pair: Pair) -> None:
    """A scope that is not the innermost one cannot end: RuntimeError."""
    red, blue = pair
    with red:
        with pytest.raises(RuntimeError, match="<Netns blue> is not the innermost scope here"):
            blue.__exit__()
        assert vrouter.current_netns() is red


def test_no_loop_at_all(lab: Lab) -> None:
    """Without a running loop nothing could use the scope."""
    a, _ = lab.line("a", "b")
    face = a.face
    with pytest.raises(RuntimeError, match="no loop is running"):
        face.__enter__()
    assert vrouter.current_netns() is None


def test_another_loop_is_refused() -> None:
    """On a loop that knows no scopes, and on another one than the router's: RuntimeError."""

    async def plain() -> None:
        async with two_namespaces() as (red, _):
            with pytest.raises(RuntimeError, match=r"needs the loop of its router, made by vrouter\.run\(\)"):
                red.__enter__()
            assert vrouter.current_netns() is None

    asyncio.run(plain())

    async def elsewhere(red: vrouter.Netns) -> None:
        with pytest.raises(RuntimeError, match="needs the loop of its router"):
            red.__enter__()

    async def inherited(loop_of: Any) -> None:
        with pytest.raises(RuntimeError, match="is driven by another loop than this one"):
            await asyncio.get_running_loop().create_connection(Recorder, "10.0.0.2", 80)

    async def scoped() -> None:
        async with two_namespaces() as (red, _):
            await asyncio.to_thread(vrouter.run, elsewhere(red))
            with red:
                await asyncio.to_thread(vrouter.run, inherited(red))

    vrouter.run(scoped())


@pytest.mark.parametrize("kind", [None, True, False])
def test_loops_of_both_kinds(kind: bool | None) -> None:
    """run() and new_event_loop() give uvloop's kind when it is installed, or the one that is asked for."""

    async def which() -> str:
        return type(asyncio.get_running_loop()).__name__

    assert vrouter.run(which(), uvloop=kind) == ("AsyncioLoop" if kind is False else "UvloopLoop")
    loop = vrouter.new_event_loop(uvloop=kind)
    try:
        assert loop.run_until_complete(which()) == type(loop).__name__
    finally:
        loop.close()


def test_scopes_in_a_lab(lab: Lab) -> None:
    """The loop of Lab.run knows scopes, in virtual time."""
    a, b = lab.line("a", "b", delay=0.01)

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(await reader.read(100))
        writer.close()

    async def main() -> bytes:
        with b.face:
            server = await asyncio.start_server(serve, "10.0.1.2", 80)
        with a.face:
            reader, writer = await asyncio.open_connection("10.0.1.2", 80)
            writer.write(b"far away")
            answer = await reader.read()
            writer.close()
            await writer.wait_closed()
        server.close()
        await server.wait_closed()
        return answer

    assert lab.run(main()) == b"far away"
    assert lab.now >= 40_000_000
