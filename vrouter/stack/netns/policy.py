"""Rules and next-hop objects of a namespace, as they are configured."""

from __future__ import annotations

import errno
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final

from vrouter.stack.base import addresses as addr
from vrouter.stack.base.names import check_device
from vrouter.stack.l3.multipath import NextHop
from vrouter.stack.l3.nexthop import NextHopObject
from vrouter.stack.l3.route_text import parse_table
from vrouter.stack.l3.rules import ACTIONS, MAX_PRIORITY, Rule, RuleSet, parse_mark
from vrouter.stack.netns.routes import Routes

if TYPE_CHECKING:
    from vrouter.stack.device import Device

FAMILIES: Final = {"inet": addr.V4, "inet6": addr.V6, "4": addr.V4, "6": addr.V6}
SELECTORS: Final = (
    "family",
    "priority",
    "from",
    "to",
    "iif",
    "oif",
    "mark",
    "tos",
    "invert",
    "table",
    "action",
    "goto",
    "suppress_prefixlength",
)


class Policy(Routes):
    """The part of a namespace that adds and removes rules and next-hop objects."""

    __slots__ = ()

    def add_rule(self, *, now: int | None = None, **selectors: Any) -> Rule:
        """Add a rule, as ``ip rule add``. `selectors`: priority, from, to (``NETWORK/LENGTH`` or ``all``), iif, oif,
        mark (number or ``MARK/MASK``), tos, invert; table, or goto (a priority), or action (blackhole, unreachable,
        prohibit, nop); suppress_prefixlength; family (inet, inet6) where no address tells. OSError EEXIST, EINVAL,
        ValueError."""
        self.stack.advance(now)
        self.check_open()
        family, wanted = parse_selectors(selectors)
        rule = Rule(family, **wanted)
        ip = self.ip(family)
        try:
            ip.use_rules().add(rule)
        finally:
            ip.forget_rules()
        return rule

    def del_rule(self, *, now: int | None = None, **selectors: Any) -> Rule:
        """Remove the first rule that has what is given; OSError ENOENT when none does, EINVAL when nothing is given."""
        self.stack.advance(now)
        family, wanted = parse_selectors(selectors)
        if not wanted:
            raise OSError(errno.EINVAL, "which rule?")
        ip = self.ip(family)
        try:
            return ip.use_rules().remove(wanted)
        finally:
            ip.forget_rules()

    def rules(self) -> list[dict[str, Any]]:
        """The rows of ``show rules``, in the order in which they are asked."""
        rows = []
        for ip in self.families():
            asked = RuleSet(ip.family) if ip.rules is None else ip.rules
            rows += [rule.to_record(self.name, ip.family) for rule in asked]
        return rows

    def add_nexthop(
        self,
        id: int = 0,  # noqa: A002 -- ip-nexthop(8)'s word
        *,
        via: str | None = None,
        dev: str | None = None,
        group: Sequence[tuple[int, int]] | None = None,
        blackhole: bool = False,
        onlink: bool = False,
        family: str | int | None = None,
        replace: bool = False,
        now: int | None = None,
    ) -> NextHopObject:
        """Make the next-hop object `id` (0: the lowest free one), as ``ip nexthop add``: by gateway, by device, a
        blackhole, or a group of (id, weight). With `replace` one that is there changes, and all its routes with it.
        OSError EEXIST, EINVAL, ENODEV, ENETUNREACH, ENOENT."""
        self.stack.advance(now)
        self.check_open()
        if (via is not None or dev is not None) + (group is not None) + blackhole != 1:
            raise OSError(errno.EINVAL, "a nexthop is one of via or dev, group, and blackhole")
        of = addr.V4 if family is None else parse_family(family)
        if group is not None:
            return self.nexthops.put(id, of, group=list(group), replace=replace)
        if via is not None and family is None:
            of = addr.parse_address(via)[0]
        hop = NextHop(-1, None) if blackhole else self.make_hop(of, via=via, dev=dev, onlink=onlink)
        return self.nexthops.put(id, of, hop=hop, replace=replace)

    def del_nexthop(self, id: int, *, now: int | None = None) -> None:  # noqa: A002 -- as in add_nexthop
        """Remove a next-hop object, and with it the routes by it, and from its groups; OSError ENOENT."""
        self.stack.advance(now)
        self._remove_routes_by(self.nexthops.remove(id))

    def del_device_nexthops(self, dev: Device, family: int = 0) -> None:
        """`dev` leaves, or one family ends there: so do the next-hop objects by it."""
        if self._nexthops is not None:
            self._remove_routes_by(self._nexthops.remove_device(dev, family))

    def nexthop_rows(self) -> list[dict[str, Any]]:
        """The rows of ``show nexthops``."""
        return [] if self._nexthops is None else [found.to_record(self.name) for found in self._nexthops]

    def _remove_routes_by(self, gone: list[NextHopObject]) -> None:
        ids = {found.id for found in gone}
        if not ids:
            return
        for ip in self.families():
            self.purged(ip.purge(lambda fib: {route for route in fib.routes() if route.nhid in ids}))


def parse_family(text: str | int) -> int:
    """The number of an IP family by ip(8)'s word; ValueError."""
    family = FAMILIES.get(str(text))
    if family is None:
        raise ValueError(f"no family {text!r}: inet, inet6")
    return family


def parse_selectors(selectors: dict[str, Any]) -> tuple[int, dict[str, Any]]:
    """(family, arguments of `Rule`) of what was given for a rule; None is as good as not given. ValueError, OSError
    EINVAL."""
    given = {name: value for name, value in selectors.items() if value is not None}
    for name in given:
        if name not in SELECTORS:
            raise OSError(errno.EINVAL, f"a rule has no {name!r}: {', '.join(SELECTORS)}")
    family = parse_family(given["family"]) if "family" in given else 0
    wanted: dict[str, Any] = {}
    for end in ("from", "to"):
        text = given.get(end)
        if text is None or text == "all":
            continue
        of, prefix, length = addr.parse_prefix(text)
        if family not in (0, of):
            raise OSError(errno.EINVAL, "the addresses of a rule are of one family")
        family = of
        wanted[f"{end}_prefix"], wanted[f"{end}_length"] = prefix, length
    for name, largest in (("priority", MAX_PRIORITY), ("goto", MAX_PRIORITY), ("tos", 255)):
        if name in given:
            wanted[name] = _number(given[name], name, largest)
    if wanted.get("tos", 0) & 3:
        raise OSError(errno.EINVAL, "the two low bits of tos are ECN's")
    for name in ("iif", "oif"):
        if name in given:
            wanted[name] = dev = str(given[name])
            problem = None if dev.startswith("@") else check_device(dev)  # @NETNS: what crosses from there
            if problem is not None:
                raise OSError(errno.EINVAL, f"{name} {dev!r}: {problem}")
    if "mark" in given:
        wanted["mark"], wanted["mask"] = parse_mark(given["mark"])
    if "invert" in given:
        wanted["invert"] = bool(given["invert"])
    if "suppress_prefixlength" in given:
        wanted["suppress"] = _number(given["suppress_prefixlength"], "suppress_prefixlength", addr.BITS[family or 4])
    action = given.get("action")
    if action is not None and action not in ACTIONS:
        raise OSError(errno.EINVAL, f"no action {action!r}: {', '.join(ACTIONS)}")
    if "goto" in given and action not in (None, "goto"):
        raise OSError(errno.EINVAL, f"a rule that goes to another does not {action}")
    if action == "goto" and "goto" not in given:
        raise OSError(errno.EINVAL, "goto needs a priority")
    if "table" in given:
        if "goto" in given or action not in (None, "table"):
            raise OSError(errno.EINVAL, "a rule has a table or another action")
        wanted["table"] = parse_table(given["table"])
    if action is not None or "goto" in given:
        wanted["action"] = "goto" if "goto" in given else action
    return family or addr.V4, wanted


def _number(value: Any, name: str, largest: int) -> int:
    try:
        number = int(str(value), 0)
    except ValueError:
        number = -1
    if not 0 <= number <= largest:
        raise ValueError(f"{name} {value!r} is not a number of 0 to {largest}")
    return number
