"""The settings of one namespace by name: where somebody writes, and the data path's objects are replaced.

`SysctlTable` is made only for a namespace whose settings somebody looks at. It stores what was written and works out
the effective values as Linux does:

- ``conf.all.X`` and ``conf.DEV.X`` are combined by a rule of each setting (`settings.Rule`). With IPv6 most have the
  device's own alone; but writes to ``all.forwarding``, ``all.disable_ipv6`` and ``all.addr_gen_mode`` go to ``default``
  and to each device, those to ``all.force_forwarding`` to each device.
- ``default.X`` is what new devices start with. With IPv4 and for neighbours it also reaches the devices that exist,
  except those that have a value of their own or, IPv4's, an address.
- ``net.ipv4.ip_forward`` and ``net.ipv4.conf.all.forwarding`` are one; a change sets forwarding of ``default`` and of
  each device, and makes ``all.accept_redirects`` the opposite (a router does not believe redirects, RFC 1812 5.2.7.2).
  ``default.forwarding`` alone reaches new devices only.
- ``net.ipv6.conf.all.forwarding`` is whether packets are forwarded at all, except where `force_forwarding` is on; off
  it also takes that back.
- A ``stable_secret`` that is written turns `addr_gen_mode` to 2, at ``default`` that of each device.
- ``mtu`` is the device's until it is written, and never more.

What has changed at a device is told to ``conf6_changed``, so that addresses and advertisements may follow.

Deviation: Linux stores any integer in most of these; here only documented values are taken, so that a slip of the pen
is an error. Linux has one ``net.core.*mem*``, ``neigh.default`` and ``ip_default_ttl`` for all or most namespaces; here
each namespace has its own.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, MutableMapping
from dataclasses import replace
from typing import Any, Final, Protocol, TypeAlias

from vrouter.stack.sysctl.names import GROUPS, NS_SETTINGS, count, find, names
from vrouter.stack.sysctl.records import (
    DEFAULT_DEV4,
    DEFAULT_NEIGH,
    DEFAULT_NEIGH6,
    DevConf4,
    DevConf6,
    NeighConf,
    NsConf,
    default_dev6,
)
from vrouter.stack.sysctl.settings import DEFAULT, DEVICES, Group, Rule, Setting, Text
from vrouter.stack.sysctl.settings_v4 import CONF4, NEIGH4
from vrouter.stack.sysctl.settings_v6 import CONF6, MIN_MTU6
from vrouter.stack.sysctl.values import attribute, clean

Conf: TypeAlias = DevConf4 | DevConf6 | NeighConf

_SHARED_MAX: Final = 256
_FORWARD: Final = "net.ipv4.ip_forward"


class Port(Protocol):
    """What the table needs of a device."""

    name: str
    kind: str
    mtu: int
    conf4: DevConf4
    conf6: DevConf6
    neigh_conf: NeighConf
    neigh_conf6: NeighConf
    addresses: Any  # that have a `family`


class _Owner(Protocol):
    """What the table needs of a namespace."""

    conf: NsConf

    @property
    def devices(self) -> Mapping[str, Any]: ...  # of Port


class SysctlTable(MutableMapping[str, int | str]):
    """The settings of one namespace by name.

    Values are ``int``, or ``str`` for lists and secrets; a number may also be written as text. An unknown name (or a
    device that is not there) raises KeyError with a suggestion, a value out of bounds ValueError. ``del`` puts the
    default back. ``conf6_changed(dev, before)`` is called after a device's ``conf6`` has been replaced by a write.
    """

    __slots__ = ("_ns", "_set", "_shared", "conf6_changed")

    def __init__(self, ns: _Owner, conf6_changed: Callable[[Any, DevConf6], None] | None = None) -> None:
        self._ns = ns
        self._set: dict[str, int | str] = {}  # full name -> value, where it is not the default or was written
        self._shared: dict[Conf, Conf] = {}  # so that devices share equal objects
        self.conf6_changed = conf6_changed

    # -------------------------------------------------------------------------------------------------- the mapping

    def __getitem__(self, name: str) -> int | str:
        setting, group, scope = find(name, self._ns.devices)
        if group is None:
            return self._set.get(name, setting.default)
        value = self._raw(group, scope, setting)
        if group is CONF6 and setting.key == "mtu":
            if scope not in self._ns.devices:
                return value or MIN_MTU6
            mtu: int = self._ns.devices[scope].mtu
            return min(int(value) or mtu, mtu)
        return value

    def __setitem__(self, name: str, value: int | str) -> None:
        setting, group, scope = find(name, self._ns.devices)
        self._write(name, setting, group, scope, clean(name, setting, value))

    def __delitem__(self, name: str) -> None:
        setting, group, scope = find(name, self._ns.devices)
        if setting.read_only:
            clean(name, setting, setting.default)
        self._write(name, setting, group, scope, setting.default if group is None else self._initial(scope, setting))

    def __iter__(self) -> Iterator[str]:
        return iter(names(self._ns.devices))

    def __len__(self) -> int:
        return count(len(self._ns.devices))

    def __repr__(self) -> str:
        return f"<SysctlTable, {len(self._set)} of {len(self)} written>"

    # -------------------------------------------------------------------------------------------------- devices

    def device_added(self, dev: Port) -> None:
        """Give a device that has come what ``default`` says, as its own; ``ns.devices`` holds it already."""
        dev.conf4, dev.conf6 = DEFAULT_DEV4, default_dev6(dev.kind)
        dev.neigh_conf, dev.neigh_conf6 = DEFAULT_NEIGH, DEFAULT_NEIGH6
        written = self._set
        for group in GROUPS if written else ():
            prefix = group.prefix
            for key, setting in group.settings.items():
                value = written.get(f"{prefix}default.{key}") if setting.inherited else None
                if value is not None:
                    written[f"{prefix}{dev.name}.{key}"] = value
                if value is not None or f"{prefix}all.{key}" in written:
                    self._refresh(group, setting, (dev,), tell=False)
        if written.get(f"{CONF6.prefix}default.stable_secret"):
            mode = CONF6.settings["addr_gen_mode"]
            written[f"{CONF6.prefix}{dev.name}.{mode.key}"] = 2
            self._refresh(CONF6, mode, (dev,), tell=False)

    def device_removed(self, name: str) -> None:
        """Forget the settings of a device that has gone."""
        for group in GROUPS:
            for key in group.settings:
                self._set.pop(f"{group.prefix}{name}.{key}", None)

    def multicast_routing(self, family: int, scope: str, on: bool) -> None:
        """Show whether multicast is forwarded at a device, or in the namespace at all (`scope` is "all")."""
        prefix = CONF4.prefix if family == 4 else CONF6.prefix
        self._set[f"{prefix}{scope}.mc_forwarding"] = int(on)

    # -------------------------------------------------------------------------------------------------- inner works

    def _initial(self, scope: str, setting: Setting) -> int | str:
        """The default of a setting at a scope."""
        if scope in ("all", "default"):
            return setting.default if setting.at_all is None or scope != "all" else setting.at_all
        for kind, value in setting.at_kinds:
            if self._ns.devices[scope].kind == kind:
                return value
        return setting.default

    def _raw(self, group: Group, scope: str, setting: Setting) -> int | str:
        """A value as it stands at ``all``, ``default`` or a device."""
        value = self._set.get(f"{group.prefix}{scope}.{setting.key}")
        if value is None and group.reaches and scope != "all" and setting.key != "forwarding":
            value = self._set.get(f"{group.prefix}default.{setting.key}")
        return self._initial(scope, setting) if value is None else value

    def _write(self, name: str, setting: Setting, group: Group | None, scope: str, value: int | str) -> None:
        if name == _FORWARD or (group is CONF4 and scope == "all" and setting.key == "forwarding"):
            self._set_forward(int(value))
        elif group is None:
            self._set[name] = value
            self._set_conf(setting, value)
        elif scope == "default":
            self._set_default(group, setting, value)
        elif scope == "all":
            self._set_all(group, setting, value)
        else:
            self._set_device(group, setting, (self._ns.devices[scope],), value)
        if setting.text is Text.SECRET and value:
            mode = CONF6.settings["addr_gen_mode"]
            which = self._ns.devices.values() if scope == "default" else (self._ns.devices[scope],)
            self._set_device(CONF6, mode, which, 2)

    def _set_conf(self, setting: Setting, value: int | str) -> None:
        """Put a value of the namespace into its conf object."""
        conf = self._ns.conf
        part, _, key = (setting.attribute or setting.key).rpartition(".")
        change: dict[str, Any] = {key: attribute(setting, value)}
        if part:  # v4, v6, tcp
            change = {part: replace(getattr(conf, part), **change)}
        self._ns.conf = replace(conf, **change)

    def _set_forward(self, on: int) -> None:
        if on == self._set.get(_FORWARD, 0):  # Linux: writing what is there already touches no device
            return
        self._set[_FORWARD] = on
        self._set[f"{CONF4.prefix}all.accept_redirects"] = 1 - on
        for scope in ("all", "default", *self._ns.devices):
            self._set[f"{CONF4.prefix}{scope}.forwarding"] = on
        self._set_conf(NS_SETTINGS[_FORWARD], on)
        self._refresh(CONF4, CONF4.settings["forwarding"], self._ns.devices.values())

    def _set_default(self, group: Group, setting: Setting, value: int | str) -> None:
        if group.reaches:
            for dev in self._ns.devices.values():
                if any(a.family == group.configured for a in dev.addresses):  # what is configured keeps what it has
                    self._set[f"{group.prefix}{dev.name}.{setting.key}"] = self._raw(group, dev.name, setting)
        self._set[f"{group.prefix}default.{setting.key}"] = value
        if group.reaches:
            self._refresh(group, setting, self._ns.devices.values())

    def _set_all(self, group: Group, setting: Setting, value: int | str) -> None:
        devices = self._ns.devices.values()
        self._set[f"{group.prefix}all.{setting.key}"] = value
        if group is CONF6 and setting.key == "forwarding":
            conf = self._ns.conf
            self._ns.conf = replace(conf, v6=replace(conf.v6, forwarding=bool(value)))
            if not value:
                self._set_device(CONF6, CONF6.settings["force_forwarding"], devices, 0)
        if DEFAULT in setting.passed_on:
            self._set[f"{group.prefix}default.{setting.key}"] = value
        if DEVICES in setting.passed_on:
            self._set_device(group, setting, devices, value)
        else:
            self._refresh(group, setting, devices)

    def _set_device(self, group: Group, setting: Setting, devices: Iterable[Port], value: int | str) -> None:
        for dev in devices:
            self._set[f"{group.prefix}{dev.name}.{setting.key}"] = value
        self._refresh(group, setting, devices)

    def _refresh(self, group: Group, setting: Setting, devices: Iterable[Port], *, tell: bool = True) -> None:
        """Bring one attribute of the devices' conf objects up to what is stored, and what hangs on it."""
        if setting.read_only:
            return
        key = setting.attribute or setting.key
        for dev in devices:
            before: Conf = getattr(dev, group.slot)
            value = self._effective(group, setting, dev.name)
            if value != getattr(before, key):
                change: dict[str, Any] = {key: value}
                setattr(dev, group.slot, self._share(dev, group, replace(before, **change)))
                if tell and isinstance(before, DevConf6) and self.conf6_changed is not None:
                    self.conf6_changed(dev, before)
        if group is CONF4 and setting.key == "forwarding":
            self._refresh(group, group.settings["accept_redirects"], devices)

    def _effective(self, group: Group, setting: Setting, device: str) -> object:
        own = self._raw(group, device, setting)
        if setting.rule is Rule.OWN:
            return attribute(setting, own)
        forwards = bool(self._raw(group, device, group.settings["forwarding"]))
        everywhere = self._raw(group, "all", setting)
        return setting.value(combine(setting.rule, int(everywhere), int(own), forwards))

    def _share(self, dev: Port, group: Group, conf: Conf) -> Conf:
        default = _default(dev.kind, group)
        if conf == default:
            return default
        if len(self._shared) >= _SHARED_MAX:  # forget old ones; who holds one keeps it
            self._shared.clear()
        return self._shared.setdefault(conf, conf)


def combine(rule: Rule, everywhere: int, own: int, forwards: bool) -> int:
    """The effective value of what ``all`` and a device say."""
    if rule is Rule.REDIRECTS:
        rule = Rule.AND if forwards else Rule.OR
    if rule is Rule.AND:
        return min(everywhere, own)
    if rule is Rule.FIRST:
        return everywhere or own
    if rule is Rule.LEAST:
        return min(everywhere or own, own or everywhere)
    return own if rule is Rule.OWN else max(everywhere, own)


def _default(kind: str, group: Group) -> Conf:
    """What the devices of a kind have before anybody writes."""
    if group is CONF4:
        return DEFAULT_DEV4
    if group is CONF6:
        return default_dev6(kind)
    return DEFAULT_NEIGH if group is NEIGH4 else DEFAULT_NEIGH6
