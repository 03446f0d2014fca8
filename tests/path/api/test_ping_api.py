"""`Netns.ping`: the mean of the replies, or the error that a kernel's ping socket would get."""

from __future__ import annotations

import asyncio
import errno
from typing import Any

import pytest

import vrouter
from tests.path.api.ends import pair
from vrouter.testing import Lab

SO_REUSEADDR, SOL_SOCKET = 2, 1
AF_INET, SOCK_STREAM, SOCK_DGRAM = 2, 1, 2


async def test_ping_is_the_mean_of_its_replies(router: vrouter.Router) -> None:
    """Seconds, more than nothing and (in one process) less than a tenth; every socket of it is gone afterwards."""
    red = router["red"]
    for options in ({}, {"count": 5, "size": 0}, {"size": 65507}, {"ttl": 1, "src": "10.0.0.1"}):
        assert 0 < await red.ping("10.0.0.2", **options) < 0.1
    assert not red.stack.sockets


async def test_what_an_icmp_error_makes_of_a_ping(router: vrouter.Router) -> None:
    """The OSError that the kernel would raise: no route, prohibited, TTL exceeded, too large and not to be cut."""
    red, blue = router["red"], router["blue"]
    blue.sysctl["net.ipv4.ip_forward"] = 1
    await red.add_route("default", via="10.0.0.2")
    await blue.add_route("10.77.0.0/16", type="prohibit")
    await blue.add_route("10.78.0.0/16", type="unreachable")
    for dst, code in (("10.66.0.1", errno.ENETUNREACH), ("10.77.0.1", errno.EHOSTUNREACH)):
        with pytest.raises(OSError, match=rf"ping {dst}: .* \(from 10.0.0.2\)") as caught:
            await red.ping(dst)
        assert caught.value.errno == code
    with pytest.raises(OSError) as caught:
        await red.ping("10.78.0.1", ttl=1)
    assert caught.value.errno == errno.EHOSTUNREACH
    with pytest.raises(OSError, match="Message too long") as caught:
        await red.ping("10.0.0.2", size=1473, dont_fragment=True)
    assert caught.value.errno == errno.EMSGSIZE
    assert await red.ping("10.0.0.2", size=1472, dont_fragment=True) > 0
    with pytest.raises(OSError) as caught:
        await red.ping("10.0.0.2", src="10.9.9.9")
    assert caught.value.errno == errno.EADDRNOTAVAIL
    with pytest.raises(ValueError):
        await red.ping("blue")
    assert not red.stack.sockets


def test_a_ping_without_a_reply_times_out() -> None:
    """TimeoutError after `timeout` seconds for each request, and not earlier."""
    with Lab(seed=3) as lab:

        async def main() -> int:
            async with vrouter.Router(seed=1, clock=lambda: lab.now) as router:
                red, blue = await pair(router)
                blue.sysctl["net.ipv4.icmp_echo_ignore_all"] = 1
                begun = lab.now
                with pytest.raises(TimeoutError, match=r"no reply from 10\.0\.0\.2"):
                    await red.ping("10.0.0.2", count=3, timeout=2.5)
                return lab.now - begun

        assert lab.run(main()) == pytest.approx(7_500_000_000, abs=10_000_000)


def test_ping_results_come_one_by_one() -> None:
    """Requests leave `interval` apart whether answered or not; each has one record: a reply, or an errno's name."""
    with Lab(seed=3) as lab:

        async def main() -> list[tuple[int, dict[str, Any]]]:
            async with vrouter.Router(seed=1, clock=lambda: lab.now) as router:
                red, blue = await pair(router)
                begun, found = lab.now, []
                asyncio.get_running_loop().call_later(1.25, blue.sysctl.__setitem__, "net.ipv4.icmp_echo_ignore_all", 0)
                async for reply in red.ping_results("10.0.0.2", count=4, interval=0.5, timeout=1.25, ttl=9):
                    found.append(((lab.now - begun) // 1_000_000, reply))
                    blue.sysctl["net.ipv4.icmp_echo_ignore_all"] = int(reply["seq"] == 1)
                return found

        silent = {"error": "ETIMEDOUT", "message": "no reply", "from": None}
        reply = {"time_ns": 0, "ttl": 64, "bytes": 64, "from": "10.0.0.2"}
        assert lab.run(main()) == [
            (0, {"seq": 1, **reply}),
            (1500, {"seq": 4, **reply}),
            (1750, {"seq": 2, **silent}),
            (2250, {"seq": 3, **silent}),
        ]


async def test_a_cancelled_ping_leaves_nothing(router: vrouter.Router) -> None:
    """Neither a socket nor a timer nor a task stays behind."""
    red = router["red"]
    task = asyncio.ensure_future(red.ping("10.0.0.77", timeout=600))
    await asyncio.sleep(0)
    assert len(red.stack.sockets) == 1
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert not red.stack.sockets
    assert asyncio.all_tasks() == {asyncio.current_task()}


async def test_what_ping_cannot_send(router: vrouter.Router) -> None:
    """ValueError before anything is sent."""
    red = router["red"]
    for options in ({"size": -1}, {"size": 65508}, {"count": 0}):
        with pytest.raises(ValueError):
            await red.ping("10.0.0.2", **options)


@pytest.mark.parametrize(
    ("dst", "src", "told"),
    [
        ("fe80::1", None, "needs its device: fe80::1%DEV"),
        ("ff02::1", None, "needs its device: ff02::1%DEV"),  # RFC 4007 6: a group of one link, too
        ("::ffff:10.0.0.2", None, "within IPv6: 10.0.0.2"),
        ("fd00::2", "10.0.0.1", "of another family"),
        ("10.0.0.2", "fd00::1", "of another family"),
    ],
)
async def test_whom_ping_does_not_know(router: vrouter.Router, dst: str, src: str | None, told: str) -> None:
    """The error says what to write instead, before there is a socket: EINVAL, or ValueError for a foreign source."""
    red = router["red"]
    with pytest.raises(OSError if src is None else ValueError, match=told) as caught:
        await red.ping(dst, src=src)
    assert getattr(caught.value, "errno", None) == (errno.EINVAL if src is None else None)
    assert not red.stack.sockets


async def test_an_interval_of_nothing_leaves_the_others_their_turn(router: vrouter.Router) -> None:
    """However short the interval, the loop gets its turn after each request, and every request has its record."""
    turns = 0

    async def others() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    beside = asyncio.ensure_future(others())
    found = [reply async for reply in router["red"].ping_results("10.0.0.2", count=300, interval=1e-9)]
    beside.cancel()
    assert sorted(reply["seq"] for reply in found) == [*range(1, 301)]
    assert turns >= 300
