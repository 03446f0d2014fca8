"""Devices of a namespace, bridges and VLANs among them, as they are changed and shown."""

from __future__ import annotations

import errno
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, Final

from vrouter import records
from vrouter.netns.ground import Ground
from vrouter.nsmap import absolute

if TYPE_CHECKING:
    from vrouter.records import Record
    from vrouter.stack.device import Device

VLAN_KEYS: Final = ("pvid", "untagged", "tagged")
_UNCHANGED: Final = ""
_MAX_VID: Final = 4094


class Links(Ground):
    """The part of a namespace that has devices."""

    __slots__ = ()

    async def add_device(self, name: str, /, *, kind: str = "tap", **settings: Any) -> None:
        """Add a device with the keys of ``[netns.NAME.dev.DEV]`` of the configuration.

        A ``tap`` is opened, and its kernel's end set up as ``host`` says. A ``veth`` names its other end, which is made
        as well: ``peer={"netns": "blue", "dev": "y"}``. A ``vlan`` has ``parent`` and ``vid``, a ``bridge`` its
        ``ports``. ConfigError (a ValueError) for settings that cannot be, OSError EEXIST for a name that is taken,
        PrivilegeError where a TAP may not be opened.
        """
        await self.router.add_device(self.name, name, kind=kind, **settings)

    async def remove_device(self, name: str) -> None:
        """Remove a device, a veth's other end and the VLANs on it too. OSError ENODEV; EOPNOTSUPP for ``lo``."""
        await self.router.remove_device(self.name, name)

    async def move_device(self, dev: str, target: str, name: str | None = None) -> None:
        """Move a device to another namespace, as `name` if one is given; its addresses, neighbours and routes stay
        behind. OSError ENODEV, EEXIST."""
        await self.router.move_device(self.name, dev, absolute(self.name, target), name)

    async def set_device(
        self,
        name: str,
        *,
        up: bool | None = None,
        mtu: int | None = None,
        mac: str | None = None,
        master: str | None = _UNCHANGED,
        autoconf: bool | None = None,
        **settings: Any,
    ) -> None:
        """Change a device; what is left out stays.

        `up`, `mtu` (bytes; the kernel's end of a TAP gets the same one) and `mac`; `master`, the bridge whose port it
        becomes (None: of none any more); `autoconf`, whether it configures itself by what routers advertise; and of a
        bridge the keys of `set_bridge`, of a port those of `set_port`.

        OSError ENODEV, EINVAL; PrivilegeError where the kernel's end may not be changed. Then the MTU is what it was.
        """
        device = self.stack.device(name)
        if master != _UNCHANGED or (settings and device.bridge is None):
            await self.set_port(name, bridge=master, **settings)
        elif settings:
            own = {key: settings.pop(key) for key in VLAN_KEYS if key in settings}
            if settings:
                await self.set_bridge(name, **settings)
            if own:
                await self.set_port(name, **own)
        if mac is not None:
            self._call(self.stack.set_device, name, mac=mac)
        if autoconf is not None:
            self._call(self._set_autoconf, device, autoconf)
        if up is not None or mtu is not None:
            await self.router.set_device(self.name, name, up=up, mtu=mtu)

    async def set_autoconf(self, dev: str, wanted: bool) -> None:
        """Whether a device is a host of its link, as `set_device` with ``autoconf``. OSError ENODEV, EINVAL."""
        await self.set_device(dev, autoconf=wanted)

    def _set_autoconf(self, device: Device, wanted: bool, *, now: int) -> None:
        if device.kind == "lo":
            raise OSError(errno.EINVAL, "nobody advertises on lo")
        self.stack.set_autoconf(device, wanted, now=now)

    def devices(self) -> list[Record]:
        """The rows of ``show devices``."""
        return records.devices(self.router, self.name)

    async def add_ingress(self, dev: str, vid: int, netns: str, name: str, *, protocol: str = "802.1Q") -> None:
        """Give the tag `vid` of a device here to another namespace, where it appears as the device `name`.

        OSError EACCES when that one does not accept this one, EEXIST, EINVAL, ENODEV; KeyError.
        """
        target = self.router[self._target(netns)].stack
        self._call(self.stack.add_ingress, dev, vid, target, name, protocol)

    def vlans(self) -> list[Record]:
        """The rows of ``show vlans``."""
        return records.vlans(self.router, self.name)

    # -- bridges ----------------------------------------------------------------------------------------------------

    async def set_bridge(self, name: str, **settings: Any) -> None:
        """Change a bridge: `stp` (none, stp, rstp), `priority`, `hello_time`, `max_age`, `forward_delay`, `ageing_time`
        (s), `vlan_filtering`, `default_pvid`, `mcast_snooping`, `mcast_querier`. OSError EINVAL, ENODEV; then nothing
        is changed."""
        self._call(self.stack.set_bridge, name, **settings)

    async def set_port(self, name: str, *, bridge: str | None = _UNCHANGED, **settings: Any) -> None:
        """Make a device a port of `bridge` (None: of none any more), and change what it is as such: `cost`, `priority`,
        `edge`, `guard`, `state`, `isolated`, `learning`, `flood`, `mcast_router`, `storm`, and of VLANs `pvid`,
        `untagged`, `tagged` (numbers, or text such as ``"10-20"``). OSError EINVAL, EBUSY, ELOOP, ENODEV; then nothing
        is changed."""
        for key in ("untagged", "tagged"):
            if key in settings:
                settings[key] = vids(settings[key])
        self._call(self.stack.set_port, name, bridge=bridge, **settings)

    async def add_vlan(
        self, dev: str, numbers: Iterable[int | str] | int | str, *, pvid: bool = False, untagged: bool = False
    ) -> None:
        """Make a port (or a bridge itself) a member of VLANs, as ``bridge vlan add``: sent with tags or without, and
        perhaps the VLAN of frames that come without one. OSError EINVAL, ENODEV."""
        added = vids(numbers)
        if pvid and len(added) != 1:
            raise OSError(errno.EINVAL, "one VLAN is the pvid")
        bare, tagged, _ = self._memberships(dev)
        changes: dict[str, Any] = {"pvid": added[0]} if pvid else {}
        changes["untagged"] = sorted(bare.union(added) if untagged else bare.difference(added))
        changes["tagged"] = sorted(tagged.difference(added) if untagged else tagged.union(added))
        await self.set_port(dev, **changes)

    async def del_vlan(self, dev: str, numbers: Iterable[int | str] | int | str) -> None:
        """Take VLANs from a port or a bridge. OSError ENOENT when it is a member of none of them, EINVAL, ENODEV."""
        gone = vids(numbers)
        bare, tagged, pvid = self._memberships(dev)
        if not (bare | tagged).intersection(gone):
            raise FileNotFoundError(errno.ENOENT, f"device {dev!r} is no member of VLAN {gone[0]}")
        changes: dict[str, Any] = {"pvid": 0} if pvid in gone else {}
        await self.set_port(
            dev, untagged=sorted(bare.difference(gone)), tagged=sorted(tagged.difference(gone)), **changes
        )

    def _memberships(self, dev: str) -> tuple[set[int], set[int], int]:
        """(VLANs without tags, VLANs with, the pvid) of a port or of a bridge itself."""
        device = self.stack.device(dev)
        if device.bridge is not None:
            found = device.bridge.own
        elif device.bridge_port is not None:
            found = device.bridge_port.membership
        else:
            raise OSError(errno.EINVAL, f"device {dev!r} is no port of a bridge")
        bare = {vid for vid, untagged in found.vids.items() if untagged}
        return bare, set(found.vids) - bare, found.pvid

    async def add_fdb(self, mac: str, dev: str, *, vlan: int = 0) -> None:
        """Say at which port a station is. OSError EEXIST, EINVAL, ENODEV."""
        self._call(self.stack.fdb_add, self._bridge_of(dev), mac, dev, vlan)

    async def del_fdb(self, mac: str, dev: str, *, vlan: int = 0) -> None:
        """Forget where a station is; `dev` is the bridge or a port of it. OSError ENOENT, EINVAL, ENODEV."""
        self._call(self.stack.fdb_del, self._bridge_of(dev), mac, vlan)

    def _bridge_of(self, dev: str) -> Device:
        device = self.stack.device(dev)
        if device.bridge is not None:
            return device
        if device.bridge_port is None:
            raise OSError(errno.EINVAL, f"device {dev!r} is no port of a bridge")
        found: Device = device.bridge_port.bridge.dev
        return found

    def bridges(self) -> list[Record]:
        """The rows of ``show bridges``."""
        return records.bridges(self.router, self.name)

    def ports(self) -> list[Record]:
        """The rows of ``show ports``."""
        return records.ports(self.router, self.name)

    def fdb(self) -> list[Record]:
        """The rows of ``show fdb``."""
        return records.fdb(self.router, self.name)

    def mdb(self) -> list[Record]:
        """The rows of ``show mdb``."""
        return records.mdb(self.router, self.name)


def vids(given: Iterable[int | str] | int | str) -> list[int]:
    """VLAN ids, from numbers and from text such as ``"10"`` or ``"10-20"``; ValueError."""
    found: dict[int, None] = {}
    for one in (given,) if isinstance(given, int | str) else given:
        first, dash, last = str(one).partition("-")
        ends = first, last if dash else first
        if not all(end.isascii() and end.isdigit() and 1 <= int(end) <= _MAX_VID for end in ends):
            raise ValueError(f"{one!r} is no VLAN id of 1 to {_MAX_VID}, nor a range of them")
        low, high = int(ends[0]), int(ends[1])
        if low > high:
            raise ValueError(f"{one!r} is a range that ends before it begins")
        found.update(dict.fromkeys(range(low, high + 1)))
    return list(found)
