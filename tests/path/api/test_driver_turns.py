"""What the driver tells and when: events, captures, timers; and many namespaces at once."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

import vrouter
from tests.path.api.ends import Echo, Recorder, assert_balanced, pair
from vrouter.driver import Driver
from vrouter.stack.base.events import EventKind
from vrouter.stack.stack import Stack

SO_REUSEADDR, SOL_SOCKET = 2, 1
AF_INET, SOCK_STREAM, SOCK_DGRAM = 2, 1, 2


async def test_events_are_told_soon(router: vrouter.Router) -> None:
    """Each change once, in order, and not within the call that made it; a listener that raises harms no other."""
    told: list[dict[str, Any]] = []
    asyncio.get_running_loop().set_exception_handler(lambda loop, context: told.append(context))
    await asyncio.sleep(0)
    heard: list[tuple[EventKind, str, str]] = []
    unheard: list[Any] = []
    router.on_event(lambda event: 1 / 0)
    forget = router.on_event(unheard.append)
    router.on_event(lambda event: heard.append((event.kind, event.netns, event.dev)))
    forget()
    forget()
    await router.add_netns("green")
    await router["red"].set_device("x", up=False)
    assert heard == []
    await asyncio.sleep(0)
    assert heard == [
        (EventKind.NETNS_ADD, "green", ""),
        (EventKind.DEVICE_STATE, "blue", "y"),  # its peer went down, so it has no carrier
        (EventKind.DEVICE_STATE, "red", "x"),
    ]
    assert unheard == []
    assert len(told) == 3


async def test_captures_show_what_passes(router: vrouter.Router) -> None:
    """Frames of one device both ways, cut to snaplen, while the reader reads; closing it detaches."""
    red = router["red"]
    capture = router.capture("red", "x", snaplen=20, matches=lambda frame: frame[12:14] == b"\x08\x00")
    task = asyncio.ensure_future(anext(capture))
    await asyncio.sleep(0)
    await red.ping("10.0.0.2")
    sent, received = await task, await anext(capture)
    assert (sent.direction, received.direction) == (1, 0)
    assert (sent.length, len(sent.data)) == (98, 20)
    assert sent.dev is received.dev is red.stack.devices["x"]
    await capture.aclose()
    assert red.stack.devices["x"].captures == ()
    with pytest.raises(OSError):
        router.capture("red", "z")


async def test_a_capture_ends_with_the_router() -> None:
    """Who reads a capture when the router stops comes to its end."""
    async with vrouter.Router() as router:
        await pair(router)
        capture = router.capture("red")

        async def read() -> int:
            return len([frame async for frame in capture])

        task = asyncio.ensure_future(read())
        await asyncio.sleep(0)
        await router["red"].ping("10.0.0.2")
    assert await task >= 4


class CountingStack(Stack):
    """A stack that counts how often it is polled."""

    __slots__ = ("polls",)

    def poll(self, now: int) -> None:
        self.polls = getattr(self, "polls", 0) + 1
        super().poll(now)


async def test_the_timer_never_spins() -> None:
    """A deadline between two milliseconds is waited for, not polled for: two wakes at most for each."""
    loop = asyncio.get_running_loop()
    stack = CountingStack(1)
    driver = Driver(stack, loop)
    red = stack.add_netns("red", now=driver.clock())
    lan = red.add_device("lan", now=driver.clock())
    driver.call(red.add_address, "lan", "10.0.0.1/24")
    red.sysctl["net.ipv4.neigh.lan.retrans_time_ms"] = 10
    sock = red.socket()
    driver.call(sock.sendto, b"x", ("10.0.0.2", 9))
    while any(neigh.queue for neigh in lan.neigh4.values()):
        await driver.next_poll()
    assert 3 <= stack.polls <= 6  # three solicitations without an answer
    await driver.close()


async def test_five_hundred_namespaces_with_one_address_and_port() -> None:
    """Nothing is shared: 500 namespaces, each the same address and port, and each answers for itself."""
    async with vrouter.Router() as router:
        hub = await router.add_netns("hub")
        for number in range(500):
            ns = await router.add_netns(f"n{number}")
            await router.add_veth(ns.name, "up", "hub", f"d{number}")
            await ns.add_address("up", "10.0.0.1/24")
            await ns.create_datagram_endpoint(Echo, local_addr=("10.0.0.1", 53))
        answers = []
        for number in range(500):
            await hub.add_address(f"d{number}", "10.0.0.2/24")
            transport, protocol = await hub.create_datagram_endpoint(Recorder, remote_addr=("10.0.0.1", 53))
            transport.sendto(b"n%d" % number)
            await protocol.wait(1)
            answers += [data for data, _ in protocol.datagrams]
            transport.close()
            await hub.del_address(f"d{number}", "10.0.0.2/24")
        assert answers == [b"N%d" % number for number in range(500)]
    assert_balanced(router)
