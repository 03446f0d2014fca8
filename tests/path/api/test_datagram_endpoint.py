"""Datagram endpoints of a namespace behave as asyncio's own; BSD sockets as the kernel's."""

from __future__ import annotations

import asyncio
import errno
from typing import Any

import pytest

import vrouter
from tests.path.api.ends import TAG, Echo, Recorder, pair

SO_REUSEADDR, SOL_SOCKET = 2, 1
AF_INET, SOCK_STREAM, SOCK_DGRAM = 2, 1, 2


async def test_datagrams_cross(router: vrouter.Router) -> None:
    """RFC 768: a datagram comes with the sender's address; the answer reaches the connected socket that asked."""
    red, blue = router["red"], router["blue"]
    server, echo = await blue.create_datagram_endpoint(Echo, local_addr=("0.0.0.0", 53))
    client, asked = await red.create_datagram_endpoint(Recorder, remote_addr=("10.0.0.2", 53))
    client.sendto(b"one")
    client.sendto(bytearray(b"two"), ("10.0.0.2", 53))
    client.sendto(memoryview(b""))
    await asked.wait(3)
    assert asked.datagrams == [(data, ("10.0.0.2", 53)) for data in (b"ONE", b"TWO", b"")]
    assert [addr for _, addr in echo.datagrams] == [client.get_extra_info("sockname")] * 3
    assert server.get_extra_info("sockname") == ("0.0.0.0", 53)
    assert server.get_extra_info("peername") is None
    assert client.get_extra_info("peername") == ("10.0.0.2", 53)
    assert client.get_extra_info("sockname")[0] == "10.0.0.1"
    assert (client.get_extra_info("netns"), server.get_extra_info("netns")) == ("red", "blue")
    assert client.get_extra_info("socket").stack.ns is red.stack
    assert server.get_extra_info("socket_info")["local"] == "0.0.0.0:53"
    assert server.get_extra_info("sslcontext", "no") == "no"


async def test_the_same_port_in_each_namespace(router: vrouter.Router) -> None:
    """Nothing is shared: two namespaces bind the same address and port, and each hears its own."""
    green = await router.add_netns("green")
    heard = []
    for ns in (router["red"], green):
        _, protocol = await ns.create_datagram_endpoint(Recorder, local_addr=("127.0.0.1", 53))
        _, sender = await ns.create_datagram_endpoint(Recorder, remote_addr=("127.0.0.1", 53))
        sender.transport.sendto(ns.name.encode())
        await protocol.wait(1)
        heard.append([data for data, _ in protocol.datagrams])
    assert heard == [[b"red"], [b"green"]]


async def test_misuse_raises_as_in_asyncio(router: vrouter.Router) -> None:
    """The exceptions of `loop.create_datagram_endpoint` and its transports, of the same types."""
    red = router["red"]
    with pytest.raises(ValueError, match="unexpected address family"):
        await red.create_datagram_endpoint(Recorder)
    with pytest.raises(TypeError, match="2-tuple is expected"):
        await red.create_datagram_endpoint(Recorder, local_addr="10.0.0.1")
    with pytest.raises(OSError) as caught:
        await red.create_datagram_endpoint(Recorder, local_addr=("10.0.0.99", 0))
    assert caught.value.errno == errno.EADDRNOTAVAIL
    with pytest.raises(OSError) as caught:
        await red.create_datagram_endpoint(Recorder, remote_addr=("10.99.0.1", 1))
    assert caught.value.errno == errno.ENETUNREACH
    with pytest.raises(OSError) as caught:
        await red.create_datagram_endpoint(Recorder, local_addr=("", 0), family=17)
    assert caught.value.errno == errno.EAFNOSUPPORT
    with pytest.raises(ValueError, match="can not get address information"):
        await red.create_datagram_endpoint(Recorder, local_addr=("::1", 0), family=2)
    with pytest.raises(ValueError, match="can not get address information"):
        await red.create_datagram_endpoint(Recorder, local_addr=("::1", 0), remote_addr=("10.0.0.2", 53))
    transport, _ = await red.create_datagram_endpoint(Recorder, ("10.0.0.1", 53), ("10.0.0.2", 53))
    with pytest.raises(OSError) as caught:
        await red.create_datagram_endpoint(Recorder, local_addr=("10.0.0.1", 53))
    assert caught.value.errno == errno.EADDRINUSE
    with pytest.raises(TypeError, match="bytes-like object, not 'str'"):
        transport.sendto("text")
    with pytest.raises(ValueError, match=r"Invalid address: must be None or \('10.0.0.2', 53\)"):
        transport.sendto(b"x", ("10.0.0.3", 53))
    unconnected, other = await red.create_datagram_endpoint(Recorder, local_addr=("10.0.0.1", 0))
    unconnected.sendto(b"x")
    assert [error.errno for error in other.errors] == [errno.EDESTADDRREQ]
    assert len(red.stack.sockets) == 2


async def test_a_protocol_that_cannot_be_made_leaves_no_socket(router: vrouter.Router) -> None:
    """The factory's exception reaches the caller and the port is free again."""
    red = router["red"]
    with pytest.raises(ZeroDivisionError):
        await red.create_datagram_endpoint(lambda: 1 / 0, local_addr=("10.0.0.1", 53))
    assert not red.stack.sockets


async def test_a_socket_of_ones_own(router: vrouter.Router) -> None:
    """`sock=` takes a UDP socket of the same namespace with its options, and nothing else beside it."""
    red, blue = router["red"], router["blue"]
    sock = red.socket(AF_INET, SOCK_DGRAM)
    sock.bind(("10.0.0.1", 5353))
    transport, _ = await red.create_datagram_endpoint(Recorder, sock=sock)
    assert transport.get_extra_info("sockname") == ("10.0.0.1", 5353)
    with pytest.raises(ValueError, match="can not be used when sock is specified"):
        await red.create_datagram_endpoint(Recorder, local_addr=("10.0.0.1", 1), sock=sock)
    closed = red.socket(AF_INET, SOCK_DGRAM)
    closed.close()
    for wrong in (blue.socket(AF_INET, SOCK_DGRAM), red.socket(AF_INET, SOCK_DGRAM, 1), closed, object()):
        with pytest.raises(ValueError, match="UDP socket of namespace 'red' was expected"):
            await red.create_datagram_endpoint(Recorder, sock=wrong)


async def test_sharing_a_port_and_broadcast_are_asked_for(router: vrouter.Router) -> None:
    """`reuse_port` is SO_REUSEPORT, `allow_broadcast` SO_BROADCAST: without it sending to everybody is EACCES."""
    red, blue = router["red"], router["blue"]
    for _ in range(2):
        await red.create_datagram_endpoint(Recorder, local_addr=("10.0.0.1", 53), reuse_port=True)
    _, heard = await blue.create_datagram_endpoint(Recorder, local_addr=("0.0.0.0", 67))
    transport, protocol = await red.create_datagram_endpoint(Recorder, local_addr=("10.0.0.1", 68))
    transport.sendto(b"x", ("10.0.0.255", 67))
    assert [type(error) for error in protocol.errors] == [PermissionError]
    shouter, _ = await red.create_datagram_endpoint(Recorder, remote_addr=("10.0.0.255", 67), allow_broadcast=True)
    assert shouter.get_extra_info("peername") is None  # as asyncio: addressed, but not connected
    shouter.sendto(b"all")
    await heard.wait(1)
    assert [data for data, _ in heard.datagrams] == [b"all"]


async def test_an_icmp_error_reaches_the_protocol(router: vrouter.Router) -> None:
    """RFC 1122 4.1.3.3: port unreachable is ConnectionRefusedError at a connected endpoint, which stays open."""
    red, blue = router["red"], router["blue"]
    transport, protocol = await red.create_datagram_endpoint(Recorder, remote_addr=("10.0.0.2", 53))
    transport.sendto(b"x")
    await protocol.wait(1)
    assert [type(error) for error in protocol.errors] == [ConnectionRefusedError]
    await blue.create_datagram_endpoint(Echo, local_addr=("10.0.0.2", 53))
    transport.sendto(b"x")
    await protocol.wait(2)
    assert [data for data, _ in protocol.datagrams] == [b"X"]


async def test_closing(router: vrouter.Router) -> None:
    """The port is free at once, connection_lost(None) comes once and later, and nothing is sent or told after it."""
    red, blue = router["red"], router["blue"]
    _, heard = await blue.create_datagram_endpoint(Recorder, local_addr=("10.0.0.2", 1))
    transport, protocol = await red.create_datagram_endpoint(Recorder, local_addr=("10.0.0.1", 53))
    assert not transport.is_closing()
    sender, _ = await blue.create_datagram_endpoint(Recorder, remote_addr=("10.0.0.1", 53))
    sender.sendto(b"too late")
    transport.close()
    transport.close()
    transport.abort()
    assert transport.is_closing()
    assert protocol.lost == []
    transport.sendto(b"x", ("10.0.0.2", 1))
    again, _ = await red.create_datagram_endpoint(Recorder, local_addr=("10.0.0.1", 53))
    assert protocol.lost == [None]
    assert protocol.datagrams == []
    assert heard.datagrams == []
    assert again.get_extra_info("sockname") == ("10.0.0.1", 53)


async def test_endpoints_end_with_their_namespace(router: vrouter.Router) -> None:
    """connection_lost tells why: ENETDOWN; a ping under way fails too, and a socket's calls are EBADF."""
    red = router["red"]
    transport, protocol = await red.create_datagram_endpoint(Recorder, local_addr=("10.0.0.1", 53))
    sock = red.socket(AF_INET, SOCK_DGRAM)
    ping = asyncio.ensure_future(red.ping("10.0.0.77", timeout=600))
    await asyncio.sleep(0)
    await router.remove_netns("red")
    with pytest.raises(OSError, match="Network is down"):
        await ping
    assert transport.is_closing()
    assert [(type(error), error.errno) for error in protocol.lost] == [(OSError, errno.ENETDOWN)]
    with pytest.raises(OSError) as caught:
        sock.send(b"x")
    assert caught.value.errno == errno.EBADF
    with pytest.raises(OSError):
        await red.add_address("x", "10.0.0.1/24")


async def test_endpoints_end_with_the_router() -> None:
    """Leaving the router closes what is still open, and tells."""
    async with vrouter.Router() as router:
        red, _ = await pair(router)
        _, protocol = await red.create_datagram_endpoint(Recorder, local_addr=("10.0.0.1", 53))
    assert [error.errno for error in protocol.lost] == [errno.ENETDOWN]


async def test_callbacks_run_in_the_context_of_their_endpoint(router: vrouter.Router) -> None:
    """A context variable has in each endpoint's callbacks the value it had where the endpoint was made."""
    red, blue = router["red"], router["blue"]
    protocols = []
    for port in (1, 2):
        TAG.set(f"made {port}")
        protocols.append((await blue.create_datagram_endpoint(Recorder, local_addr=("10.0.0.2", port)))[1])
    TAG.set("sender")
    sender, _ = await red.create_datagram_endpoint(Recorder, local_addr=("10.0.0.1", 0))
    for port in (1, 2):
        sender.sendto(b"x", ("10.0.0.2", port))
    for protocol in protocols:
        await protocol.wait(1)
    assert [protocol.tags for protocol in protocols] == [["made 1"], ["made 2"]]


async def test_a_protocol_that_raises_loses_only_that_datagram(router: vrouter.Router) -> None:
    """The exception goes to the loop's handler; the datagrams behind it, and other endpoints, are served."""
    told: list[dict[str, Any]] = []
    asyncio.get_running_loop().set_exception_handler(lambda loop, context: told.append(context))

    class Touchy(Recorder):
        def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
            super().datagram_received(data, addr)
            if data == b"1":
                raise RuntimeError("touched")

    red, blue = router["red"], router["blue"]
    _, touchy = await blue.create_datagram_endpoint(Touchy, local_addr=("10.0.0.2", 1))
    _, calm = await blue.create_datagram_endpoint(Recorder, local_addr=("10.0.0.2", 2))
    sender, _ = await red.create_datagram_endpoint(Recorder, local_addr=("10.0.0.1", 0))
    for data in (b"0", b"1", b"2"):
        sender.sendto(data, ("10.0.0.2", 1))
        sender.sendto(data, ("10.0.0.2", 2))
    await touchy.wait(3)
    await calm.wait(3)
    assert [data for data, _ in touchy.datagrams] == [b"0", b"1", b"2"]
    assert [str(context["exception"]) for context in told] == ["touched"]


async def test_endpoints_take_turns(router: vrouter.Router) -> None:
    """One flooded endpoint does not keep another waiting: at most 64 datagrams are told in one go."""
    red, blue = router["red"], router["blue"]
    order: list[int] = []

    class Numbered(Recorder):
        def __init__(self, number: int) -> None:
            super().__init__()
            self.number = number

        def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
            super().datagram_received(data, addr)
            order.append(self.number)

    protocols = []
    for number in (1, 2):
        _, protocol = await blue.create_datagram_endpoint(lambda n=number: Numbered(n), local_addr=("10.0.0.2", number))
        protocols.append(protocol)
    sender, _ = await red.create_datagram_endpoint(Recorder, local_addr=("10.0.0.1", 0))
    for number in (1, 2):
        for _ in range(150):
            sender.sendto(b"x", ("10.0.0.2", number))
    for protocol in protocols:
        await protocol.wait(150)
    assert order == [1] * 64 + [2] * 64 + [1] * 64 + [2] * 64 + [1] * 22 + [2] * 22


async def test_two_echoes_that_answer_each_other_starve_nobody(router: vrouter.Router) -> None:
    """What a callback sends is told in a later turn of the loop, so that a dialogue without end is no recursion."""
    red, blue = router["red"], router["blue"]
    one, first = await red.create_datagram_endpoint(Echo, local_addr=("10.0.0.1", 7))
    two, _ = await blue.create_datagram_endpoint(Echo, local_addr=("10.0.0.2", 7))
    one.sendto(b"x", ("10.0.0.2", 7))
    await first.wait(2000)
    assert await red.ping("10.0.0.2") > 0
    one.close()
    two.close()


async def test_the_rest_of_a_transport(router: vrouter.Router) -> None:
    """Protocols can be exchanged; the write buffer is always empty, and its limits are kept as asyncio keeps them."""
    red = router["red"]
    transport, protocol = await red.create_datagram_endpoint(Recorder, local_addr=("10.0.0.1", 0))
    other = Recorder()
    assert transport.get_protocol() is protocol
    transport.set_protocol(other)
    assert transport.get_protocol() is other
    transport.sendto(b"x", transport.get_extra_info("sockname"))
    await other.wait(1)
    assert transport.get_write_buffer_size() == 0
    transport.set_write_buffer_limits(high=100)
    assert transport.get_write_buffer_limits() == (25, 100)
    transport.set_write_buffer_limits(low=10)
    assert transport.get_write_buffer_limits() == (10, 40)
    with pytest.raises(ValueError, match="must be >= 0"):
        transport.set_write_buffer_limits(high=1, low=2)


async def test_a_bsd_socket_never_blocks(router: vrouter.Router) -> None:
    """The calls of Python's sockets without a clock to hand in; where they would wait they raise BlockingIOError."""
    red, blue = router["red"], router["blue"]
    with red.socket(AF_INET, SOCK_DGRAM) as one, blue.socket(AF_INET, SOCK_DGRAM) as two:
        two.bind(("10.0.0.2", 9))
        with pytest.raises(BlockingIOError):
            two.recvfrom(10)
        one.connect(("10.0.0.2", 9))
        assert one.send(b"hello") == 5
        assert two.recvfrom(10) == (b"hello", one.getsockname())
        assert one.getpeername() == ("10.0.0.2", 9)
        assert two.sendto(b"back", one.getsockname()) == 4
        buffer = bytearray(10)
        assert one.recv_into(buffer) == 4
        assert buffer[:4] == b"back"
        one.setsockopt(SOL_SOCKET, SO_REUSEADDR, 1)
        assert one.getsockopt(SOL_SOCKET, SO_REUSEADDR) == 1
        assert (one.family, one.type, one.proto) == (AF_INET, SOCK_DGRAM, 17)
        assert two.connect_ex(("10.99.0.1", 1)) == errno.ENETUNREACH
        one.setblocking(False)
        with pytest.raises(ValueError, match="never block"):
            one.setblocking(True)
    assert not red.stack.sockets
