"""Five hundred real TAPs in one router, each in a namespace of its own with the same names, address and port.

::

    kernel namespace                  router
    [ ts0 .. ts499 ] ══ 500 TAPs ══ [ n0 .. n499: lan = 10.0.1.1/24, UDP port 7 ]
"""

from __future__ import annotations

import asyncio
import socket
import time
from collections.abc import Callable

import pytest
import uvloop

from vrouter import Router, kernel_netns
from vrouter.testing import frames as make

pytestmark = pytest.mark.tap

COUNT = 500
CLIENT = "02:00:00:00:00:02"
ETH_P_IP = 0x0800
SO_RCVBUFFORCE = 33
OPEN_SECONDS = 60.0
ANSWER_SECONDS = 15.0
CLOSE_SECONDS = 5.0  # closing 500 TAPs one by one takes 8


class Answer(asyncio.DatagramProtocol):
    """Answers with the name of the namespace in which it was asked."""

    def __init__(self, name: str) -> None:
        self.name = name

    def connection_made(self, transport: asyncio.DatagramTransport) -> None:
        self.transport = transport

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        self.transport.sendto(data + self.name.encode(), addr)


def _wire() -> socket.socket:
    """A socket for frames on every link of the kernel namespace that the calling thread is in; it sees what arrives."""
    wire = socket.socket(socket.AF_PACKET, socket.SOCK_RAW | socket.SOCK_NONBLOCK, socket.htons(ETH_P_IP))
    wire.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, 16 << 20)
    return wire


async def _answers(wire: socket.socket, expected: int) -> dict[str, bytes]:
    """The UDP data of the first frame that arrives on each link."""
    loop, found, complete = asyncio.get_running_loop(), {}, asyncio.Event()

    def read() -> None:
        while True:
            try:
                frame, origin = wire.recvfrom(2048)
            except BlockingIOError:
                return
            found.setdefault(origin[0], frame[42:])
            if len(found) == expected:
                complete.set()

    loop.add_reader(wire.fileno(), read)
    try:
        await asyncio.wait_for(complete.wait(), ANSWER_SECONDS)
    finally:
        loop.remove_reader(wire.fileno())
    return found


def test_five_hundred_taps_answer_and_go(new_name: Callable[[], str]) -> None:
    """Each namespace answers on its own TAP, once, with the address of all; then the router closes in bounded time and
    no link and no kernel namespace is left."""
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:  # one loop: opening takes its time
        runner.run(_answer_and_go(new_name(), new_name()))


async def _answer_and_go(host: str, prefix: str) -> None:
    config = {
        "netns": {
            f"n{i}": {
                "dev": {"lan": {"ifname": f"{prefix}{i:03}", "addresses": ["10.0.1.1/24"], "host": {"netns": host}}}
            }
            for i in range(COUNT)
        }
    }
    router = Router(config, seed=1, identity="scale")
    await asyncio.wait_for(router.start(), OPEN_SECONDS)
    try:
        assert router.ready
        assert router.waiting() == []
        for i in range(COUNT):
            ns = router[f"n{i}"]
            await ns.create_datagram_endpoint(lambda name=ns.name: Answer(name), local_addr=("0.0.0.0", 7))
        with kernel_netns.opened(host) as inside:
            wire = kernel_netns.call_in(inside, _wire)
            names = kernel_netns.call_in(inside, lambda: {name for _, name in socket.if_nameindex()})
        assert {f"{prefix}{i:03}" for i in range(COUNT)} < names
        with wire:
            waiting = asyncio.create_task(_answers(wire, COUNT))
            for i in range(COUNT):
                mac = router[f"n{i}"].stack.devices["lan"].mac
                link = (f"{prefix}{i:03}", 0)
                question = make.arp_request(CLIENT, "10.0.1.2", "10.0.1.1")
                wire.sendto(make.ethernet(b"\xff" * 6, CLIENT, make.ARP, question), link)
                packet = make.ipv4_udp("10.0.1.2", "10.0.1.1", 1000 + i, 7, b"you are ")
                wire.sendto(make.ethernet(mac, CLIENT, make.IPV4, packet), link)
            found = await waiting
        assert found == {f"{prefix}{i:03}": f"you are n{i}".encode() for i in range(COUNT)}
        for i in range(COUNT):
            ns = router[f"n{i}"]
            assert set(ns.drops()) <= {"UNHANDLED_PROTO", "OTHERHOST"}  # the kernel's own IPv6
    finally:
        begun = time.monotonic()
        await router.stop()
        took = time.monotonic() - begun
    assert took < CLOSE_SECONDS
    with pytest.raises(FileNotFoundError):
        with kernel_netns.opened(host):
            pass
    assert not {name for _, name in socket.if_nameindex() if name.startswith(prefix)}
