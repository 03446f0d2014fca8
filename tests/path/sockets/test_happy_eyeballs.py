"""The race of RFC 8305 in virtual time: which address wins, and when.

a ──10 ms── r ──10 ms── b          b has 10.0.2.2 and fd00:0:2::2; what is routed to r and nowhere further is lost there
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from tests.path.sockets.world import Recorder
from vrouter.sockets.connecting import interleaved
from vrouter.testing import Lab

ROUND_TRIP = 0.04
B4, B6 = "10.0.2.2", "fd00:0:2::2"
SILENT = ("10.9.9.9", "10.9.9.8")  # blackholes at r


class Net:
    """The line, with addresses that never answer."""

    def __init__(self, lab: Lab) -> None:
        self.lab = lab
        self.a, self.r, self.b = lab.line("a", "r", "b", delay=0.01)
        self.a.ns.add_route("10.9.9.0/24", via="10.0.1.1", now=lab.now)
        self.r.ns.add_route("10.9.9.0/24", type="blackhole", now=lab.now)
        self.a.ns.add_route("192.0.2.0/24", type="unreachable", now=lab.now)

    def run(self, addresses: list[str], **options: Any) -> tuple[str | BaseException, float, int]:
        """(the peer's address or the error, seconds that it took, sockets that were left at the end)."""

        async def main() -> tuple[str | BaseException, float, int]:
            near = self.a.face
            server = await self.b.face.create_server(Recorder, None, 80)
            loop = asyncio.get_running_loop()

            async def found(*_: Any, **__: Any) -> Any:
                kinds = [(socket.AF_INET6 if ":" in one else socket.AF_INET, one) for one in addresses]
                return [(f, 1, 6, "", (one, 80, 0, 0) if f == socket.AF_INET6 else (one, 80)) for f, one in kinds]

            began = loop.time()
            try:
                transport, protocol = await self.connect(near, found, options)
            except (OSError, ExceptionGroup) as error:
                result: Any = error
            else:
                result = transport.get_extra_info("peername")[0]
            took = loop.time() - began
            if isinstance(result, str):
                transport.abort()
                await protocol.lost()
            server.close()
            server.abort_clients()
            await server.wait_closed()
            return result, took, len(near.stack.sockets)

        return self.lab.run(main())

    @staticmethod
    async def connect(near: Any, found: Callable[..., Awaitable[Any]], options: dict[str, Any]) -> Any:
        """`create_connection` to a name that has these addresses in this order."""
        await near.set_resolver(hosts={"many.test": "10.0.0.1"})
        place = near.place
        from vrouter.sockets import connecting

        class Ordered:
            driver, ns, loop = place.driver, place.ns, place.loop
            getaddrinfo = staticmethod(found)
            socket = staticmethod(place.socket)

        return await connecting.create_connection(Ordered(), Recorder, "many.test", 80, **options)


@pytest.fixture
def net(lab: Lab) -> Net:
    return Net(lab)


def test_the_first_one_that_answers(net: Net) -> None:
    """Section 5: the first address is alone for the delay; one that answers within it is the only one tried."""
    result, took, left = net.run([B6, B4], happy_eyeballs_delay=0.25)
    assert (result, left) == (B6, 0)
    assert took == pytest.approx(ROUND_TRIP, abs=0.001)


def test_a_silent_one_costs_the_delay(net: Net) -> None:
    """Section 5: after the connection attempt delay the next one is tried as well, and its connection wins."""
    result, took, left = net.run([SILENT[0], B4], happy_eyeballs_delay=0.25)
    assert (result, left) == (B4, 0)
    assert took == pytest.approx(0.25 + ROUND_TRIP, abs=0.001)
    result, took, left = net.run([*SILENT, B6], happy_eyeballs_delay=0.1, interleave=0)
    assert (result, left) == (B6, 0)
    assert took == pytest.approx(0.2 + ROUND_TRIP, abs=0.001)


def test_one_that_fails_costs_nothing_more(net: Net) -> None:
    """Section 5: a failure starts the next attempt at once."""
    result, took, left = net.run(["192.0.2.1", B4], happy_eyeballs_delay=0.25)
    assert (result, left) == (B4, 0)
    assert took == pytest.approx(ROUND_TRIP, abs=0.001)


def test_a_late_first_one_may_still_win(net: Net) -> None:
    """Section 5: earlier attempts go on; the loser is closed."""
    result, took, left = net.run([B6, SILENT[0]], happy_eyeballs_delay=0.02)
    assert (result, left) == (B6, 0)
    assert took == pytest.approx(ROUND_TRIP, abs=0.001)


def test_without_a_delay_one_after_the_other(net: Net) -> None:
    """As in asyncio: the next address is tried when the one before has failed."""
    result, took, left = net.run(["192.0.2.1", B6], happy_eyeballs_delay=None)
    assert (result, left) == (B6, 0)
    assert took == pytest.approx(ROUND_TRIP, abs=0.001)


@pytest.mark.parametrize("delay", [None, 0.25])
def test_all_of_them_fail(net: Net, delay: float | None) -> None:
    """One kind of error is raised itself, several in one OSError, all of them in a group with all_errors."""
    result, _, left = net.run(["192.0.2.1", "192.0.2.2"], happy_eyeballs_delay=delay)
    assert isinstance(result, OSError)
    assert (str(result), left) == ("[Errno 113] No route to host", 0)
    result, _, left = net.run(["192.0.2.1", "10.0.1.1"], happy_eyeballs_delay=delay)
    assert isinstance(result, OSError)
    assert str(result).startswith("Multiple exceptions: [Errno 113] ")
    assert "[Errno 111] Connect call failed ('10.0.1.1', 80)" in str(result)
    assert left == 0
    result, _, _ = net.run(["192.0.2.1", "10.0.1.1"], happy_eyeballs_delay=delay, all_errors=True)
    assert isinstance(result, ExceptionGroup)
    assert [error.errno for error in result.exceptions] == [113, 111]


@pytest.mark.parametrize(
    ("first", "order"),
    [(1, "464646"), (2, "446466"), (0, "444666")],
)
def test_families_take_turns(first: int, order: str) -> None:
    """Section 4: interleaved, after first_address_family_count of the first one; 0 leaves the order as it is."""
    infos: list[Any] = [(family, 1, 6, "", number) for number, family in enumerate((2, 2, 2, 10, 10, 10))]
    found = interleaved(infos, first) if first else infos
    assert "".join("4" if info[0] == 2 else "6" for info in found) == order
    assert sorted(info[4] for info in found) == list(range(6))
