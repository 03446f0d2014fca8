"""Multicast of a namespace: routes for groups, who is asked, proxying, and multicast DNS between links."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from vrouter import records
from vrouter.netns.routes import Routes

if TYPE_CHECKING:
    from vrouter.records import Record


class Multicast(Routes):
    """The part of a namespace that deals with groups."""

    __slots__ = ()

    async def add_mroute(
        self,
        group: str,
        iif: str,
        oifs: Iterable[str | Mapping[str, Any]] = (),
        *,
        source: str | None = None,
        netns: str | None = None,
    ) -> None:
        """Forward what is sent to `group` (by `source`, None: by anybody) and comes in by `iif`, a device or
        ``@NAMESPACE``: out of the devices `oifs` (names, or ``{dev, ttl}`` with a threshold) and into `netns`. OSError
        EEXIST, ENODEV, EINVAL, ENOSPC; KeyError."""
        if netns is not None:
            netns = self._target(netns)
        self._call(self.stack.add_mroute, group, iif, list(oifs), source, netns=netns)

    async def del_mroute(self, group: str, *, source: str | None = None) -> None:
        """Take out a multicast route. OSError ENOENT."""
        self._call(self.stack.del_mroute, group, source)

    def mroutes(self) -> list[Record]:
        """The rows of ``show mroutes``."""
        return records.mroutes(self.router, self.name)

    async def set_querier(self, dev: str, *, igmp: bool | None = None, mld: bool | None = None) -> None:
        """Ask at a device who listens (None: as it was). OSError ENODEV, EINVAL for ``lo``."""
        self._call(self.stack.set_querier, dev, igmp=igmp, mld=mld)

    async def set_multicast_proxy(self, upstream: str | None, downstream: Iterable[str] = ()) -> None:
        """Be an IGMP and MLD proxy with these devices; `upstream` None: be none. OSError EINVAL, ENODEV."""
        self._call(self.stack.set_multicast_proxy, upstream, list(downstream))

    async def set_mdns(self, devices: Iterable[str]) -> None:
        """Let multicast DNS cross between the links of these devices; none: no more. OSError EINVAL, ENODEV."""
        self._call(self.stack.set_mdns, list(devices))

    def groups(self) -> list[Record]:
        """The rows of ``show groups``: what this namespace is a member of."""
        return records.groups(self.router, self.name)

    def listeners(self) -> list[Record]:
        """The rows of ``show listeners``: what was reported where this namespace asks."""
        return records.listeners(self.router, self.name)

    def queriers(self) -> list[Record]:
        """The rows of ``show queriers``."""
        return records.queriers(self.router, self.name)
