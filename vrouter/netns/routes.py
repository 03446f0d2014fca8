"""Routes, rules and next-hop objects of a namespace; and a full table at once."""

from __future__ import annotations

import errno
import os
from collections.abc import AsyncIterable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from vrouter import records
from vrouter.netns.addressing import Addressing
from vrouter.netns.loading import Loaded, load, pieces_of
from vrouter.nsmap import absolute
from vrouter.stack.base.addresses import V6, parse_prefix

if TYPE_CHECKING:
    from vrouter.records import Record


class Routes(Addressing):
    """The part of a namespace that says where packets go."""

    __slots__ = ()

    async def add_route(
        self,
        to: str,
        *,
        via: str | None = None,
        dev: str | None = None,
        netns: str | None = None,
        metric: int = 0,
        type: str = "unicast",  # noqa: A002 -- ip(8)'s and the contract's word
        src: str | None = None,
        table: str | int = "main",
        proto: str = "static",
        scope: str | None = None,
        mtu: int = 0,
        advmss: int = 0,
        onlink: bool = False,
        nexthops: Sequence[Mapping[str, Any]] | None = None,
        nhid: int | None = None,
        replace: bool = False,
    ) -> Record:
        """Add a static route, as ``ip route add`` (with `replace` as ``ip route replace``), and return its row; with
        `netns` it is a short-cut into that namespace. `nexthops` are several ways ({via, dev, weight, onlink}), `nhid`
        a next-hop object's number; `mtu` and `advmss` in bytes, 0: the device's.

        OSError ENETUNREACH (the gateway is on no link), EEXIST, ENODEV, EINVAL; KeyError for an unknown namespace.
        """
        if netns is not None:
            netns = self._target(netns)
        route = self._call(
            self.stack.add_route,
            to,
            via,
            dev,
            netns=netns,
            metric=metric,
            type=type,
            src=src,
            table=table,
            proto=proto,
            scope=scope,
            mtu=mtu,
            advmss=advmss,
            onlink=onlink,
            nexthops=nexthops,
            nhid=nhid,
            replace=replace,
        )
        prefix, length = (0, 0) if to == "default" else parse_prefix(to)[1:]
        return records.route_record(self.stack, prefix, length, route)

    async def del_route(
        self,
        to: str,
        *,
        via: str | None = None,
        dev: str | None = None,
        netns: str | None = None,
        metric: int | None = None,
        table: str | int = "main",
        type: str | None = None,  # noqa: A002 -- as in add_route
        nhid: int | None = None,
    ) -> None:
        """Remove the first route of a table that fits. OSError ESRCH when none does."""
        if netns is not None:
            netns = absolute(self.name, netns)
        self._call(self.stack.del_route, to, via, dev, netns=netns, metric=metric, table=table, type=type, nhid=nhid)

    def routes(self, *, family: int | None = None, table: str | int = "main") -> list[Record]:
        """The rows of ``show routes``: of both families or of 4 or 6, of one table or of ``all``."""
        return records.routes(self.router, self.name, family=family, table=table)

    def route_get(
        self, dst: str, *, src: str | None = None, iif: str | None = None, oif: str | None = None, mark: int = 0
    ) -> Record:
        """The route that a packet to `dst` would take, as a row of ``show routes`` with the source that it would get,
        and with the MTU of its path (``expires_ns``) where one is known. With `iif` it is one that came in there.

        A route into another namespace has ``accepted`` besides. OSError when there is none, with the errno that a
        sending socket would get.
        """
        return self._call(self.stack.get_route, dst, src=src, iif=iif, oif=oif, mark=mark)

    async def load_routes(
        self,
        source: str | os.PathLike[str] | Iterable[str] | AsyncIterable[bytes],
        *,
        replace: bool = False,
    ) -> Loaded:
        """Load many routes at once: from the file at a path, from lines of ``ip -batch``, or from their bytes in
        pieces. With `replace` they take the place of the static routes of the tables that they name, between two
        packets. The loop goes on meanwhile.

        ConfigError (a ValueError) with the number of each line that is wrong, and then nothing has changed; OSError
        when the file cannot be read, EBUSY while another load goes on here, ECANCELED when the namespace ends.
        """
        if self.loading:
            raise OSError(errno.EBUSY, f"routes are being loaded in namespace {self.name!r} already")
        self.loading = True
        try:
            name = os.fspath(source) if isinstance(source, str | os.PathLike) else ""
            return await load(self.router.driver, self.stack, pieces_of(source), name=name, replace=replace)
        finally:
            self.loading = False

    # -- rules ------------------------------------------------------------------------------------------------------

    async def add_rule(self, **selectors: Any) -> Record:
        """Add a rule, as ``ip rule add``, and return its row. `selectors`: priority, from, to, iif, oif, mark (number
        or ``MARK/MASK``), tos, invert; table, or goto (a priority), or action (blackhole, unreachable, prohibit, nop);
        suppress_prefixlength; family (inet, inet6) where no address tells. OSError EEXIST, EINVAL; ValueError."""
        rule = self._call(self.stack.add_rule, **selectors)
        return rule.to_record(self.name, self._rule_family(selectors))

    async def del_rule(self, **selectors: Any) -> None:
        """Remove the first rule that has what is given. OSError ENOENT, EINVAL."""
        self._call(self.stack.del_rule, **selectors)

    @staticmethod
    def _rule_family(selectors: Mapping[str, Any]) -> int:
        texts = [str(selectors.get(name) or "") for name in ("from", "to")]
        return V6 if selectors.get("family") in ("inet6", "6", 6) or any(":" in text for text in texts) else 4

    def rules(self) -> list[Record]:
        """The rows of ``show rules``."""
        return records.rules(self.router, self.name)

    # -- next-hop objects -------------------------------------------------------------------------------------------

    async def add_nexthop(
        self,
        id: int = 0,  # noqa: A002 -- ip-nexthop(8)'s word
        *,
        via: str | None = None,
        dev: str | None = None,
        group: Sequence[tuple[int, int]] | None = None,
        blackhole: bool = False,
        onlink: bool = False,
        family: str | None = None,
        replace: bool = False,
    ) -> Record:
        """Make a next-hop object, as ``ip nexthop add``, and return its row: by gateway, by device, a blackhole, or a
        group of (id, weight). `id` 0 is the lowest free one. With `replace` one that is there changes, and all its
        routes with it. OSError EEXIST, EINVAL, ENODEV, ENETUNREACH, ENOENT."""
        made = self._call(
            self.stack.add_nexthop,
            id,
            via=via,
            dev=dev,
            group=group,
            blackhole=blackhole,
            onlink=onlink,
            family=family,
            replace=replace,
        )
        return made.to_record(self.name)

    async def del_nexthop(self, id: int) -> None:  # noqa: A002 -- as in add_nexthop
        """Remove a next-hop object, and the routes by it. OSError ENOENT."""
        self._call(self.stack.del_nexthop, id)

    def nexthops(self) -> list[Record]:
        """The rows of ``show nexthops``."""
        return records.nexthops(self.router, self.name)
