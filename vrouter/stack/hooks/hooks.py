"""Where functions hang on a packet's path, in order of priority.

::

    device ─► PREROUTING ─► route ─┬─► INPUT ─► socket
                                   └─► FORWARD ─► POSTROUTING ─► device
    socket ─► route ─► OUTPUT ─────────────────► POSTROUTING ─► device

A hook function takes (namespace, packet, now) and returns 0 to let the packet go on or the `DropReason` for which it
dies. Priorities are netfilter's: conntrack -200, mangle -150, dstnat -100, filter 0, srcnat 100. A namespace without
functions has no table at all, and its packets pay one test.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from vrouter.stack.base.packet import Packet
    from vrouter.stack.netns import Netns

    HookFunction = Callable[[Netns, Packet, int], int]

PREROUTING: Final = 0
INPUT: Final = 1
FORWARD: Final = 2
OUTPUT: Final = 3
POSTROUTING: Final = 4
HOOK_NAMES: Final = ("prerouting", "input", "forward", "output", "postrouting")


class Hooks:
    """The hook functions of one namespace."""

    __slots__ = ("chains",)

    def __init__(self) -> None:
        self.chains: list[list[tuple[int, HookFunction]]] = [[] for _ in HOOK_NAMES]

    def register(self, hook: int, priority: int, function: HookFunction) -> None:
        """Hang `function` on `hook`; of equal priorities the earlier registered runs first."""
        chain = self.chains[hook]
        chain.append((priority, function))
        chain.sort(key=lambda entry: entry[0])

    def unregister(self, hook: int, function: HookFunction) -> None:
        """Take `function` off `hook`; ValueError when it does not hang there."""
        for entry in self.chains[hook]:
            if entry[1] is function:
                self.chains[hook].remove(entry)
                return
        raise ValueError("the function does not hang on this hook")

    def run(self, hook: int, ns: Netns, pkt: Packet, now: int) -> int:
        """Run the chain until a function refuses the packet; 0 or the drop reason."""
        for _, function in self.chains[hook]:
            reason = function(ns, pkt, now)
            if reason:
                return reason
        return 0
