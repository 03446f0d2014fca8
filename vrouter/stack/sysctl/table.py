"""Settings of a namespace under their Linux names, and the plain values that the data path reads.

The data path never looks a setting up by name. It reads attributes of three immutable objects, which are replaced and
never changed when somebody writes: `NsConf` (one for each namespace), `DevConf4` and `NeighConf` (one for each device).
All who have the same values share one object: until the first write that is the default of this module.

`SysctlTable` is the writing side: a mapping from names to values, made only for a namespace whose settings somebody
looks at. It stores what differs from the default and works out the effective values as Linux does:

- ``net.ipv4.conf.all.X`` and ``net.ipv4.conf.DEV.X`` are combined by a rule of each setting (`Rule`).
- ``…default.X`` is what new devices start with. It also reaches the devices that exist, except those that have an
  address or a value of their own.
- ``net.ipv4.ip_forward`` and ``net.ipv4.conf.all.forwarding`` are one; a change sets forwarding of ``default`` and of
  each device, and makes ``all.accept_redirects`` the opposite (a router does not believe redirects, RFC 1812 5.2.7.2).
  ``default.forwarding`` alone reaches new devices only.

Deviation: Linux stores any integer in most of these; here only documented values are taken, so that a slip of the pen
is an error. Linux has one ``net.core.*mem*``, ``neigh.default`` and ``ip_default_ttl`` for all or most namespaces; here
each namespace has its own.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, MutableMapping
from dataclasses import replace
from difflib import get_close_matches
from enum import Enum
from typing import Any, Final, NamedTuple, Protocol

from vrouter.stack.sysctl.records import DEFAULT_DEV4, DEFAULT_NEIGH, MS, SECOND, DevConf4, NeighConf, NsConf

_USER_HZ: Final = 10_000_000  # Linux's unit of locktime: 1/100 s
_MAX: Final = 2**31 - 1
_SHARED_MAX: Final = 64


class Rule(Enum):
    """How ``all`` and a device's own value make the effective one."""

    OWN = "the device's own alone"
    MAX = "the larger of both"
    AND = "both must be on"
    OR = "one of both suffices"
    REDIRECTS = "both must be on while the device forwards, else one suffices"


class Setting(NamedTuple):
    """One setting: default and bounds as written by the user; ``unit`` is its ns, 0 when it is no time."""

    key: str
    default: int | str
    low: int = 0
    high: int = 1
    unit: int = 0
    rule: Rule = Rule.OWN

    @property
    def attribute(self) -> str:
        """The attribute of the conf object that holds it."""
        return self.key.removesuffix("_ms")

    def value(self, raw: int) -> int:
        """What the data path reads for `raw`."""
        if self.unit:
            return raw * self.unit
        return bool(raw) if (self.low, self.high) == (0, 1) else raw


CONF_SETTINGS: Final = (
    Setting("forwarding", 0),
    Setting("rp_filter", 0, high=2, rule=Rule.MAX),
    Setting("accept_redirects", 1, rule=Rule.REDIRECTS),
    Setting("secure_redirects", 1, rule=Rule.OR),
    Setting("shared_media", 1, rule=Rule.OR),
    Setting("send_redirects", 1, rule=Rule.OR),
    Setting("accept_local", 0, rule=Rule.OR),
    Setting("route_localnet", 0, rule=Rule.OR),
    Setting("bc_forwarding", 0, rule=Rule.AND),
    Setting("proxy_arp", 0, rule=Rule.OR),
    Setting("arp_filter", 0, rule=Rule.OR),
    Setting("arp_ignore", 0, high=8, rule=Rule.MAX),
    Setting("arp_announce", 0, high=2, rule=Rule.MAX),
    Setting("arp_accept", 0, high=2, rule=Rule.MAX),
)
NEIGH_SETTINGS: Final = (
    Setting("base_reachable_time_ms", 30000, 1, _MAX, MS),
    Setting("retrans_time_ms", 1000, 10, _MAX, MS),  # below 10 ms Linux takes 10 ms
    Setting("delay_first_probe_time", 5, 0, _MAX, SECOND),
    Setting("gc_stale_time", 60, 1, _MAX, SECOND),
    Setting("locktime", 100, 0, _MAX, _USER_HZ),
    Setting("mcast_solicit", 3, 1, 255),
    Setting("ucast_solicit", 3, 0, 255),
    Setting("unres_qlen", 101, 0, 65535),
)
NS_SETTINGS: Final[dict[str, Setting]] = {
    f"{scope}.{setting.key}": setting
    for scope, settings in (
        (
            "net.ipv4",
            (
                Setting("ip_forward", 0),
                Setting("ip_default_ttl", 64, 1, 255),
                Setting("ip_local_port_range", "32768\t60999"),
                Setting("ip_local_reserved_ports", ""),
                Setting("ipfrag_high_thresh", 4 * 1024 * 1024, 0, 2**40),
                Setting("ipfrag_time", 30, 1, _MAX, SECOND),
                Setting("icmp_echo_ignore_all", 0),
                Setting("icmp_echo_ignore_broadcasts", 1),
                Setting("icmp_errors_use_inbound_ifaddr", 0),
                Setting("icmp_ratelimit", 1000, 0, _MAX, MS),
                Setting("icmp_ratemask", 6168, -(2**31), _MAX),
                Setting("icmp_msgs_per_sec", 1000, 0, _MAX),
                Setting("icmp_msgs_burst", 50, 0, _MAX),
            ),
        ),
        ("net.ipv4.route", (Setting("min_pmtu", 552, 68, 65535), Setting("mtu_expires", 600, 1, _MAX, SECOND))),
        (
            "net.ipv4.neigh.default",
            (
                Setting("gc_thresh1", 128, 0, _MAX),
                Setting("gc_thresh2", 512, 0, _MAX),
                Setting("gc_thresh3", 1024, 1, _MAX),
                Setting("gc_interval", 30, 1, _MAX, SECOND),
            ),
        ),
        (
            "net.core",
            (
                Setting("rmem_default", 212992, 2304, _MAX),
                Setting("rmem_max", 4194304, 2304, _MAX),
                Setting("wmem_default", 212992, 4608, _MAX),
                Setting("wmem_max", 4194304, 4608, _MAX),
            ),
        ),
    )
    for setting in settings
}
_CONF: Final = "net.ipv4.conf."
_NEIGH: Final = "net.ipv4.neigh."
_FAMILIES: Final[dict[str, dict[str, Setting]]] = {
    _CONF: {setting.key: setting for setting in CONF_SETTINGS},
    _NEIGH: {setting.key: setting for setting in NEIGH_SETTINGS},
}
_FORWARD: Final = "net.ipv4.ip_forward"


class _Port(Protocol):
    """What the table needs of a device."""

    name: str
    conf4: DevConf4
    neigh_conf: NeighConf
    addresses: list[Any]


class _Owner(Protocol):
    """What the table needs of a namespace."""

    conf: NsConf

    @property
    def devices(self) -> Mapping[str, _Port]: ...


def names(devices: Collection[str] = ("DEV",)) -> list[str]:
    """Every name that there is, sorted, with `devices` beside ``all`` and ``default``."""
    found = list(NS_SETTINGS)
    for prefix, settings in _FAMILIES.items():
        scopes = ("all", "default", *devices) if prefix == _CONF else ("default", *devices)
        found += [f"{prefix}{scope}.{key}" for scope in scopes for key in settings]
    return sorted(found)


def check(name: str, value: object, devices: Collection[str] = ()) -> str | None:
    """What is wrong with setting `name` to `value` in a namespace that has `devices` (and lo), or None."""
    try:
        setting = _find(name, {*devices, "lo"})[0]
        _clean(name, setting, value)
    except KeyError as error:
        return str(error.args[0])
    except ValueError as error:
        return str(error)
    return None


class SysctlTable(MutableMapping[str, int | str]):
    """The settings of one namespace by name.

    Values are ``int``, or ``str`` for port ranges; a number may also be written as text. An unknown name (or a device
    that is not there) raises KeyError with a suggestion, a value out of bounds ValueError. ``del`` puts the default
    back.
    """

    __slots__ = ("_confs", "_ns", "_set")

    def __init__(self, ns: _Owner) -> None:
        self._ns = ns
        self._set: dict[str, int | str] = {}  # full name -> value, where it is not the default or was written
        self._confs: dict[tuple[int, ...], DevConf4 | NeighConf] = {}  # so that devices share equal objects

    # -------------------------------------------------------------------------------------------------- the mapping

    def __getitem__(self, name: str) -> int | str:
        setting, prefix, scope = _find(name, self._ns.devices)
        if prefix:
            return self._raw(prefix, scope, setting)
        return self._set.get(name, setting.default)

    def __setitem__(self, name: str, value: int | str) -> None:
        setting, prefix, scope = _find(name, self._ns.devices)
        value = _clean(name, setting, value)
        if name == _FORWARD or name == f"{_CONF}all.forwarding":
            self._set_forward(int(value))
        elif not prefix:
            self._set[name] = value
            change: dict[str, Any] = {setting.attribute: _attribute(setting, value)}
            self._change(change)
        elif scope == "default":
            self._set_default(prefix, setting, int(value))
        else:
            self._set[name] = value
            self._refresh(prefix, None if scope == "all" else self._ns.devices[scope])

    def __delitem__(self, name: str) -> None:
        self[name] = _find(name, self._ns.devices)[0].default

    def __iter__(self) -> Iterator[str]:
        return iter(names(self._ns.devices))

    def __len__(self) -> int:
        devices = len(self._ns.devices)
        return len(NS_SETTINGS) + (devices + 2) * len(CONF_SETTINGS) + (devices + 1) * len(NEIGH_SETTINGS)

    def __repr__(self) -> str:
        return f"<SysctlTable, {len(self._set)} of {len(self)} written>"

    # -------------------------------------------------------------------------------------------------- devices

    def device_added(self, dev: _Port) -> None:
        """Give a device that has come what ``default`` says, as its own; ``ns.devices`` holds it already."""
        for prefix, settings in _FAMILIES.items():
            for key in settings:
                value = self._set.get(f"{prefix}default.{key}")
                if value is not None:
                    self._set[f"{prefix}{dev.name}.{key}"] = value
        dev.conf4, dev.neigh_conf = self.effective(dev.name)

    def device_removed(self, name: str) -> None:
        """Forget the settings of a device that has gone."""
        for prefix, settings in _FAMILIES.items():
            for key in settings:
                self._set.pop(f"{prefix}{name}.{key}", None)

    def effective(self, device: str) -> tuple[DevConf4, NeighConf]:
        """The conf objects for the device of this name, shared among all that have the same values."""
        return self._effective_conf(device), self._effective_neigh(device)

    # -------------------------------------------------------------------------------------------------- inner works

    def _raw(self, prefix: str, scope: str, setting: Setting) -> int:
        """A value as it stands at ``all``, ``default`` or a device."""
        value = self._set.get(f"{prefix}{scope}.{setting.key}")
        if value is None and scope != "all" and setting.key != "forwarding":
            value = self._set.get(f"{prefix}default.{setting.key}")
        return int(setting.default if value is None else value)

    def _set_forward(self, on: int) -> None:
        if on == self._set.get(_FORWARD, 0):  # Linux: writing what is there already touches no device
            return
        self._set[_FORWARD] = on
        self._set[f"{_CONF}all.accept_redirects"] = 1 - on
        for scope in ("all", "default", *self._ns.devices):
            self._set[f"{_CONF}{scope}.forwarding"] = on
        self._change({"ip_forward": bool(on)})
        self._refresh(_CONF, None)

    def _change(self, change: dict[str, Any]) -> None:
        (key, value), = change.items()
        conf = self._ns.conf
        key4 = {"ip_forward": "forwarding", "icmp_echo_ignore_broadcasts": "echo_ignore_multicast"}.get(
            key, key.removeprefix("icmp_echo_ignore_") if False else key)
        key4 = {"ipfrag_high_thresh": "frag_high_thresh", "ipfrag_time": "frag_time",
                "icmp_echo_ignore_all": "echo_ignore_all"}.get(key4, key4)
        if hasattr(conf.v4, key4):
            self._ns.conf = replace(conf, v4=replace(conf.v4, **{key4: value}))
        else:
            self._ns.conf = replace(conf, **change)

    def _set_default(self, prefix: str, setting: Setting, value: int) -> None:
        for dev in self._ns.devices.values():
            if dev.addresses:  # a configured device keeps what it has
                self._set[f"{prefix}{dev.name}.{setting.key}"] = self._raw(prefix, dev.name, setting)
        self._set[f"{prefix}default.{setting.key}"] = value
        self._refresh(prefix, None)

    def _refresh(self, prefix: str, only: _Port | None) -> None:
        for dev in self._ns.devices.values() if only is None else (only,):
            if prefix == _CONF:
                dev.conf4 = self._effective_conf(dev.name)
            else:
                dev.neigh_conf = self._effective_neigh(dev.name)

    def _effective_conf(self, device: str) -> DevConf4:
        forwards = self._raw(_CONF, device, CONF_SETTINGS[0])
        values = tuple(
            _combine(setting.rule, self._raw(_CONF, "all", setting), self._raw(_CONF, device, setting), forwards)
            for setting in CONF_SETTINGS
        )
        conf = self._shared(DEFAULT_DEV4, CONF_SETTINGS, values)
        assert isinstance(conf, DevConf4)
        return conf

    def _effective_neigh(self, device: str) -> NeighConf:
        values = tuple(self._raw(_NEIGH, device, setting) for setting in NEIGH_SETTINGS)
        conf = self._shared(DEFAULT_NEIGH, NEIGH_SETTINGS, values)
        assert isinstance(conf, NeighConf)
        return conf

    def _shared(
        self, default: DevConf4 | NeighConf, settings: tuple[Setting, ...], values: tuple[int, ...]
    ) -> DevConf4 | NeighConf:
        conf = self._confs.get(values)
        if conf is None:
            fields: dict[str, Any] = {s.attribute: s.value(value) for s, value in zip(settings, values, strict=True)}
            conf = type(default)(**fields)
            if conf == default:
                conf = default
            if len(self._confs) >= _SHARED_MAX:  # forget old ones; who holds one keeps it
                self._confs.clear()
            self._confs[values] = conf
        return conf


def _combine(rule: Rule, everywhere: int, own: int, forwards: int) -> int:
    if rule is Rule.REDIRECTS:
        rule = Rule.AND if forwards else Rule.OR
    if rule is Rule.OWN:
        return own
    if rule is Rule.AND:
        return min(everywhere, own)
    return max(everywhere, own)


def _find(name: str, devices: Collection[str]) -> tuple[Setting, str, str]:
    """(setting, prefix, scope) of a name, the latter two empty for the namespace itself; KeyError with a suggestion."""
    setting = NS_SETTINGS.get(name)
    if setting is not None:
        return setting, "", ""
    for prefix, settings in _FAMILIES.items():
        if name.startswith(prefix):
            scope, _, key = name[len(prefix) :].rpartition(".")  # a device's name may have dots
            setting = settings.get(key)
            known = scope in devices or scope == "default" or (scope == "all" and prefix == _CONF)
            if setting is not None and known:
                return setting, prefix, scope
            if setting is not None and scope:
                raise KeyError(f"{name}: there is no device {scope!r}" + _suggest(scope, devices))
    raise KeyError(f"there is no setting {name!r}" + _suggest(name, names(devices)))


def _suggest(word: str, known: Collection[str]) -> str:
    close = get_close_matches(word, known, 1)
    return f"; did you mean {close[0]!r}?" if close else ""


def _clean(name: str, setting: Setting, value: object) -> int | str:
    """The value as it is stored; ValueError when the setting cannot have it."""
    if setting.key == "ip_local_port_range":
        low, high = _port_range(name, value)
        return f"{low}\t{high}"
    if setting.key == "ip_local_reserved_ports":
        return _format_ports(_reserved_ports(name, value))
    number: object = value
    if isinstance(value, str):
        try:
            number = int(value, 10)
        except ValueError:
            number = None
    if not isinstance(number, int):
        raise ValueError(f"{name}: {value!r} is not a number")
    if not setting.low <= number <= setting.high:
        raise ValueError(f"{name}: {number} is not within {setting.low} to {setting.high}")
    return int(number)


def _attribute(setting: Setting, value: int | str) -> object:
    """What the conf object holds for a stored value."""
    if isinstance(value, int):
        return setting.value(value)
    if setting.key == "ip_local_port_range":
        return _port_range(setting.key, value)
    return frozenset(_reserved_ports(setting.key, value))


def _port_range(name: str, value: object) -> tuple[int, int]:
    words = value.split() if isinstance(value, str) else value
    if isinstance(words, list | tuple) and len(words) == 2:
        low, high = (_port(word) for word in words)
        if 1 <= low <= high:
            return low, high
    raise ValueError(f"{name}: {value!r} is not a first and a last port of 1 to 65535")


def _reserved_ports(name: str, value: object) -> list[int]:
    ports: set[int] = set()
    if isinstance(value, int) and not isinstance(value, bool):
        value = str(value)
    for item in value.split(",") if isinstance(value, str) and value.strip() else ():
        first, dash, last = item.partition("-")
        low, high = _port(first), _port(last if dash else first)
        if not 0 <= low <= high:
            raise ValueError(f"{name}: {item.strip()!r} is neither a port nor a range of ports")
        ports.update(range(low, high + 1))
    if not isinstance(value, str):
        raise ValueError(f"{name}: {value!r} is not a list of ports such as '8080,9000-9100'")
    return sorted(ports)


def _port(word: object) -> int:
    """A port's number, -1 when the word is none."""
    text = str(word).strip()
    return int(text) if text.isascii() and text.isdigit() and int(text) <= 65535 else -1


def _format_ports(ports: list[int]) -> str:
    """The shortest text of sorted ports, as Linux prints it."""
    pieces: list[str] = []
    first = last = -2
    for port in [*ports, -1]:
        if port != last + 1:
            if first >= 0:
                pieces.append(str(first) if first == last else f"{first}-{last}")
            first = port
        last = port
    return ",".join(pieces)
