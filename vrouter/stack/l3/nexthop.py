"""Next-hop objects: ways on with a number, which many routes share (ip-nexthop(8)).

An object is a single way (gateway and device, a device alone, or a blackhole) or a group of such objects with weights.
A route that names one holds a `Multipath` that follows it: whoever changes the object changes all its routes at once,
and no routing table is touched. As in Linux an object that goes takes its routes along, and leaves the groups that it
is in; a group without members goes too. A device that leaves its namespace takes its objects along.

Deviation: Linux deletes the objects of a device that goes down. Here they stay and are not used, as routes do
(RFC 1812 5.3.12.4).
"""

from __future__ import annotations

import errno
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, Final
from weakref import WeakValueDictionary

from vrouter.stack.base.addresses import V4, format_address
from vrouter.stack.l3.multipath import MAX_HOPS, MAX_WEIGHT, Multipath, NextHop

if TYPE_CHECKING:
    from vrouter.stack.device import Device

MAX_OBJECTS: Final = 65536
MAX_ID: Final = 0xFFFFFFFF


class NextHopObject:
    """One object. ``hop`` is None in a group; ``group`` are its members with their weights, in order."""

    __slots__ = ("family", "followers", "group", "groups", "hop", "id")

    def __init__(self, id_: int, family: int) -> None:
        self.id = id_
        self.family = family
        self.hop: NextHop | None = None
        self.group: list[tuple[NextHopObject, int]] = []
        self.groups: dict[int, NextHopObject] = {}  # those that it is in, by id
        # Of routes, by what these are besides; one that no route holds any more is gone from here.
        self.followers: WeakValueDictionary[tuple[Any, ...], Multipath] = WeakValueDictionary()

    @property
    def is_blackhole(self) -> bool:
        """Whether what takes it is discarded."""
        return self.hop is not None and self.hop.dev is None

    def hops(self) -> list[NextHop]:
        """What a route by it consists of."""
        if self.hop is not None:
            return [self.hop]
        found = []
        for member, weight in self.group:
            assert member.hop is not None
            found.append(NextHop(member.hop.via, member.hop.dev, weight, member.hop.onlink))
        return found

    def multipath(self, **attributes: Any) -> Multipath:
        """The `Multipath` of routes with these attributes, which follows this object."""
        key = tuple(attributes.values())
        found = self.followers.get(key)
        if found is None:
            found = self.followers[key] = Multipath(self.family, self.hops(), **attributes)
        return found

    def changed(self) -> None:
        """The routes and groups that follow it are to know."""
        hops = self.hops()
        for follower in list(self.followers.values()):
            follower.replace(hops)
        for group in self.groups.values():
            group.changed()

    def to_record(self, netns: str) -> dict[str, Any]:
        """The row of ``show nexthops``."""
        hop = self.hop
        return {
            "netns": netns,
            "id": self.id,
            "family": "inet" if self.family == V4 else "inet6",
            "via": format_address(hop.via, self.family) if hop is not None and hop.via >= 0 else None,
            "dev": hop.dev.name if hop is not None and hop.dev is not None else None,
            "group": [{"id": member.id, "weight": weight} for member, weight in self.group] if hop is None else None,
            "blackhole": self.is_blackhole,
            "onlink": hop is not None and hop.onlink,
        }


class NextHopTable:
    """The objects of one namespace, of both families. Bounded by `MAX_OBJECTS`."""

    __slots__ = ("_objects",)

    def __init__(self) -> None:
        self._objects: dict[int, NextHopObject] = {}

    def __len__(self) -> int:
        return len(self._objects)

    def __iter__(self) -> Iterator[NextHopObject]:
        """In order of id."""
        return iter([self._objects[id_] for id_ in sorted(self._objects)])

    def __contains__(self, id_: int) -> bool:
        return id_ in self._objects

    def get(self, id_: int) -> NextHopObject:
        """The object with this id; OSError ENOENT."""
        found = self._objects.get(id_)
        if found is None:
            raise FileNotFoundError(errno.ENOENT, f"there is no nexthop {id_}")
        return found

    def put(
        self,
        id_: int,
        family: int,
        *,
        hop: NextHop | None = None,
        group: list[tuple[int, int]] | None = None,
        replace: bool = False,
    ) -> NextHopObject:
        """Make the object `id_` (0: the lowest free one) of a single hop, or of a group of (id, weight). With `replace`
        one that is there changes. OSError EEXIST, EINVAL for a group that cannot be or for another kind of object in
        the place of one, ENOENT for a member that is not there, ENOBUFS for too many."""
        objects = self._objects
        if not 0 <= id_ <= MAX_ID:
            raise OSError(errno.EINVAL, f"a nexthop's id is 1 to {MAX_ID}, or 0 for any")
        if id_ == 0:
            id_ = next(n for n in range(1, len(objects) + 2) if n not in objects)
        there = objects.get(id_)
        if there is not None and not replace:
            raise FileExistsError(errno.EEXIST, f"there is a nexthop {id_} already")
        members = [] if group is None else self._members(id_, group)
        if members:
            family = members[0][0].family
        if there is not None and (there.family != family or (there.hop is None) != (group is not None)):
            raise OSError(errno.EINVAL, f"nexthop {id_} is of another kind: delete it first")
        if there is not None and hop is not None and hop.dev is None and any(len(g.group) > 1 for g in _in(there)):
            raise OSError(errno.EINVAL, "a blackhole stands alone in its group")
        if there is None:
            if len(objects) >= MAX_OBJECTS:
                raise OSError(errno.ENOBUFS, f"no more than {MAX_OBJECTS} nexthops")
            there = objects[id_] = NextHopObject(id_, family)
        for member, _ in there.group:
            del member.groups[id_]
        there.hop, there.group = hop, members
        for member, _ in members:
            member.groups[id_] = there
        there.changed()
        return there

    def remove(self, id_: int) -> list[NextHopObject]:
        """Take out the object `id_` and the groups that are empty without it, and return them: their routes, which
        lead nowhere from now on, are to be taken out. OSError ENOENT."""
        gone = [self.get(id_)]
        for found in gone:
            del self._objects[found.id]
            for member, _ in found.group:
                del member.groups[found.id]
            for group in list(found.groups.values()):
                group.group = [(member, weight) for member, weight in group.group if member is not found]
                if group.group:
                    group.changed()
                else:
                    gone.append(group)
            for follower in list(found.followers.values()):
                follower.replace([])
        return gone

    def remove_device(self, dev: Device, family: int = 0) -> list[NextHopObject]:
        """Take out the objects by `dev` (of one family alone if it is told), and return what goes with them, as
        `remove` does."""
        ids = [
            found.id for found in self if found.hop is not None and found.hop.dev is dev and family in (0, found.family)
        ]
        return [gone for id_ in ids for gone in self.remove(id_)]

    def _members(self, id_: int, group: list[tuple[int, int]]) -> list[tuple[NextHopObject, int]]:
        if not 0 < len(group) <= MAX_HOPS or len({member for member, _ in group}) < len(group):
            raise OSError(errno.EINVAL, f"a group has 1 to {MAX_HOPS} members, each once")
        members: list[tuple[NextHopObject, int]] = []
        for member_id, weight in group:
            member = self.get(member_id)
            if member.hop is None or member_id == id_:
                raise OSError(errno.EINVAL, "a group has no groups in it")
            if member.is_blackhole and len(group) > 1:
                raise OSError(errno.EINVAL, "a blackhole stands alone in its group")
            if members and member.family != members[0][0].family:
                raise OSError(errno.EINVAL, "the members of a group have one family")
            check_weight(weight)
            members.append((member, weight))
        return members


def check_weight(weight: int) -> None:
    """OSError EINVAL unless `weight` is one that a next hop can have."""
    if not 1 <= weight <= MAX_WEIGHT:
        raise OSError(errno.EINVAL, f"a weight is 1 to {MAX_WEIGHT}")


def _in(found: NextHopObject) -> list[NextHopObject]:
    return list(found.groups.values())
