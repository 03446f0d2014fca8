"""The asyncio faces of a lab's nodes: `vrouter.Netns` as in a program, in the lab's time.

`Node.face` is what ``router["red"]`` is in a program: `ping`, `create_datagram_endpoint`, `add_route` … It works within
`Lab.run`. A `Router` stands behind it whose devices are wires instead of TAPs, driven by the lab instead of by
descriptors and timers.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from vrouter.appliance import Router
from vrouter.driver import Driver
from vrouter.netns import Netns
from vrouter.testing.errors import LabError

if TYPE_CHECKING:
    import asyncio

    from vrouter.testing.node import Machine


class LabDriver(Driver):
    """Frames go onto wires, and the lab calls the stack when its timers are due."""

    def __init__(self, machine: Machine, loop: asyncio.AbstractEventLoop) -> None:
        super().__init__(machine.stack, loop, lambda: machine.lab.now)
        self.machine = machine

    def settle(self, now: int) -> None:
        """Have the lab carry on what the stack says."""
        self.machine.lab.touch(self.machine)

    def ready(self, sockets: list[tuple[Any, int]]) -> None:
        """Have the transports of these sockets told soon."""
        for sock, mask in sockets:
            if sock.user is not None:
                self.loop.call_soon(sock.user.ready, mask)

    def settled(self) -> None:
        """The lab has touched the stack: whoever waits for a change looks again, and events are told."""
        if self.stack.events.seq != self._published and not self._publish_due:
            self._publish_due = True
            self.loop.call_soon(self._publish)
        self._wake()


class LabRouter(Router):
    """All namespaces of one node's stack."""

    def __init__(self, machine: Machine, loop: asyncio.AbstractEventLoop) -> None:
        super().__init__(seed=0, identity=machine.name, clock=lambda: machine.lab.now)
        self.stack = machine.stack
        self.machine = machine
        self._driver = driver = LabDriver(machine, loop)
        machine.on_ready, machine.on_settled = driver.ready, driver.settled

    def __getitem__(self, path: str) -> Netns:
        """The namespace at a path; KeyError when there is none."""
        name = path.removeprefix("/")
        if name not in self.netns and name in self.stack.namespaces:
            self.netns[name] = Netns(self, self.stack.namespaces[name])
        return super().__getitem__(name)

    async def add_device(self, netns: str, name: str, /, **settings: Any) -> None:
        """As always, but for TAPs, of which a lab has none."""
        if settings.get("kind", "tap") == "tap":
            raise LabError("a lab has no TAPs: Lab.wire gives both stations a device")
        await super().add_device(netns, name, **settings)
