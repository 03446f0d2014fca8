"""What every part of a namespace's asyncio face stands on: the router that it belongs to, and the stack's namespace."""

from __future__ import annotations

from collections.abc import Callable, Iterable, MutableMapping
from typing import TYPE_CHECKING, Any, TypeVar

from vrouter.nsmap import absolute
from vrouter.sockets.resolver import Resolver

if TYPE_CHECKING:
    from vrouter.appliance import Router
    from vrouter.stack.netns import Netns as StackNetns

_Result = TypeVar("_Result")


class Ground:
    """A namespace's name, settings, and who may cross into it."""

    __slots__ = ("loading", "resolver", "router", "stack")

    def __init__(self, router: Router, stack: StackNetns) -> None:
        self.router = router
        self.stack = stack
        self.resolver = Resolver()
        self.loading = False  # routes are being loaded (`routes`)

    def __repr__(self) -> str:
        return f"<Netns {self.stack.name}>"

    @property
    def name(self) -> str:
        """The path, counted from the top."""
        return self.stack.name

    @property
    def sysctl(self) -> MutableMapping[str, int | str]:
        """The settings under their Linux names: ``red.sysctl["net.ipv4.ip_forward"] = 1``. KeyError, ValueError."""
        return self.stack.sysctl

    @property
    def accept_from(self) -> frozenset[str]:
        """Paths of the namespaces that may cross into this one; ``*`` is anyone."""
        return self.stack.accept_from

    async def set_accept_from(self, names: Iterable[str]) -> None:
        """Say which namespaces may cross into this one; ``["*"]`` is anyone. They need not exist yet."""
        if isinstance(names, str):
            raise TypeError("accept_from is a list of names")
        self.stack.accept_from = frozenset(n if n == "*" else absolute(self.name, n) for n in names)

    # -- inside -----------------------------------------------------------------------------------------------------

    def _call(self, function: Callable[..., _Result], *args: Any, **options: Any) -> _Result:
        return self.router.driver.call(function, *args, **options)

    def _settle(self) -> None:
        """Carry out what a change to a table has caused."""
        self._call(_settle_netns, self.stack)

    def _target(self, path: str) -> str:
        """The path from the top of a namespace that is named from here; KeyError when there is none."""
        return self.router[absolute(self.name, path)].name


def _settle_netns(ns: StackNetns, *, now: int) -> None:
    ns.settle(now)
