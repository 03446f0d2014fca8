"""Many connections in one process: what an idle one takes, how fast they come and go, and that nothing of them stays.

    python -m benchmarks.connections IDLE SHORT

Between two namespaces joined by a veth pair, by `create_server` and `create_connection` with a protocol that has no
methods. IDLE connections are set up, stay, and are closed; then SHORT ones, each closed at once. Prints a JSON object:

    kib           growth of the process's resident memory for each end of an idle connection, both counted
    opened, closed, short      connections a second: set up; closed, until both ends are gone; both in turn
    left, waiting, kept        afterwards: ends that still exist; the most in TIME-WAIT; and after its time, of those
    grown         growth of resident memory in KiB over the last three quarters of the short ones
"""

from __future__ import annotations

import asyncio
import gc
import json
import sys
import time
from typing import Any, Final

import uvloop

import vrouter
from benchmarks.machine import resident_kib
from vrouter.stack.l4.tcp.socket import TcpSocket
from vrouter.stack.l4.tcp.tcb import Tcb

ADDRESS, PORT = "10.0.0.1", 80
AT_ONCE: Final = 100
WARM: Final = 500
_PAST_TIME_WAIT: Final = 300 * 10**9
_PATIENCE: Final = 60.0


def _pair(address: str, peer: str) -> dict[str, Any]:
    eth0 = {"kind": "veth", "addresses": [f"{address}/24"], "peer": {"netns": peer, "dev": "eth0"}}
    return {"dev": {"eth0": eth0}}


CONFIG: Final = {
    "router": {"admin": ""},
    "netns": {"red": _pair(ADDRESS, "blue"), "blue": _pair("10.0.0.2", "red")},
}


class _Clock:
    """The router's clock, which can be put forward."""

    def __init__(self) -> None:
        self.ahead = 0

    def __call__(self) -> int:
        return time.monotonic_ns() + self.ahead


class Crowd:
    """A server in one namespace and clients in the other."""

    def __init__(self, router: vrouter.Router, clock: _Clock) -> None:
        self.router = router
        self.clock = clock
        self.here, self.there = router["blue"], router["red"]
        self.most_waiting = 0

    async def listen(self) -> None:
        """Start the server."""
        await self.there.create_server(asyncio.Protocol, ADDRESS, PORT, backlog=1024)

    async def open(self, count: int) -> list[asyncio.Transport]:
        """So many connections more, `AT_ONCE` of them at a time."""
        found: list[asyncio.Transport] = []
        while len(found) < count:
            part = min(AT_ONCE, count - len(found))
            made = [self.here.create_connection(asyncio.Protocol, ADDRESS, PORT) for _ in range(part)]
            found += [transport for transport, _ in await asyncio.gather(*made)]
        return found

    async def gone(self) -> None:
        """Until no end of a connection is left, except for TIME-WAIT; TimeoutError when they stay."""
        deadline = time.monotonic() + _PATIENCE
        while self.left():  # nothing tells of the end of what has no owner any more
            if time.monotonic() > deadline:
                raise TimeoutError(f"{self.left()} ends of connections stay")
            await asyncio.sleep(0.002)
        self.most_waiting = max(self.most_waiting, self.waiting())

    def left(self) -> int:
        """Ends of connections that have a socket."""
        return sum(len(list(space.stack.sockets)) for space in (self.here, self.there)) - 1

    def waiting(self) -> int:
        """Ends in TIME-WAIT."""
        return sum(space.stack.tcp_state.time_waiting for space in (self.here, self.there))

    def forget(self) -> None:
        """Let the time of TIME-WAIT go by."""
        self.clock.ahead += _PAST_TIME_WAIT
        self.router.driver.call(self.router.stack.poll)

    async def come_and_go(self, count: int) -> None:
        """So many short connections."""
        for _ in range(0, count, AT_ONCE):
            for transport in await self.open(AT_ONCE):
                transport.close()
            await self.gone()


async def measure(idle: int, short: int) -> dict[str, float]:
    """Everything; see the module."""
    clock = _Clock()
    async with vrouter.Router(CONFIG, clock=clock) as router:
        crowd = Crowd(router, clock)
        await crowd.listen()
        await crowd.come_and_go(WARM)
        crowd.forget()
        gc.collect()
        before, start = resident_kib(), time.perf_counter()
        transports: list[asyncio.Transport] = await crowd.open(idle)
        opened = idle / (time.perf_counter() - start)
        gc.collect()
        kib = (resident_kib() - before) / (2 * idle)
        start = time.perf_counter()
        for transport in transports:
            transport.close()
        await crowd.gone()
        closed = idle / (time.perf_counter() - start)
        del transport
        transports.clear()
        crowd.forget()
        start = time.perf_counter()
        await crowd.come_and_go(short // 4)
        gc.collect()
        early = resident_kib()
        await crowd.come_and_go(short - short // 4)
        rate = short / (time.perf_counter() - start)
        gc.collect()
        grown = resident_kib() - early
        crowd.forget()
        await asyncio.sleep(0)
        gc.collect()
        ends = sum(isinstance(found, Tcb | TcpSocket) for found in gc.get_objects()) - 1  # the listening socket
        return {
            "kib": kib,
            "opened": opened,
            "closed": closed,
            "short": rate,
            "left": max(ends, crowd.left()),
            "waiting": crowd.most_waiting,
            "kept": crowd.waiting(),
            "grown": grown,
        }


def main() -> None:
    idle, short = map(int, sys.argv[1:])
    json.dump(uvloop.run(measure(idle, short)), sys.stdout)
    print()


if __name__ == "__main__":
    main()
