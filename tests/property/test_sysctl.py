"""The settings of devices against a twin that, like the kernel, gives each device a copy of everything."""

import random
from typing import Any

import pytest

from vrouter.stack.device import Address, Device
from vrouter.stack.sysctl import DEFAULT_NS, SysctlTable
from vrouter.stack.sysctl.names import GROUPS
from vrouter.stack.sysctl.settings import Group, Rule, Setting, Text

KINDS = {"lo": "lo", "a": "tap", "b": "veth", "c.5": "vlan", "d": "tap"}
PASSED_ON = {"forwarding": True, "disable_ipv6": True, "addr_gen_mode": True, "force_forwarding": False}
Key = tuple[str, str, str]


class Namespace:
    def __init__(self) -> None:
        self.name = "red"
        self.conf = DEFAULT_NS
        self.closing = False
        self.devices: dict[str, Device] = {}
        self.sysctl = SysctlTable(self)


class Twin:
    """Every value of every scope in one dict; which ones were written in a set. Each write loops over all."""

    def __init__(self) -> None:
        self.values: dict[Key, Any] = {}
        self.written: set[Key] = set()
        self.devices: list[str] = []
        for group in GROUPS:
            for setting in group.settings.values():
                for scope in ("all", "default"):
                    self.values[group.prefix, scope, setting.key] = setting.default
        self.values["net.ipv6.conf.", "all", "accept_dad"] = 0

    def add(self, name: str) -> None:
        self.devices.append(name)
        for group in GROUPS:
            for setting in group.settings.values():
                default = (group.prefix, "default", setting.key)
                own = (group.prefix, name, setting.key)
                self.values[own] = self.values[default]
                if default in self.written:
                    self.written.add(own)
                elif setting.key == "dad_transmits" and KINDS[name] == "veth":
                    self.values[own] = 0
                elif setting.key == "accept_dad" and KINDS[name] == "lo":
                    self.values[own] = -1
        self.values["net.ipv6.conf.", name, "mtu"] = 0
        if self.values["net.ipv6.conf.", "default", "stable_secret"]:
            self._put("net.ipv6.conf.", name, "addr_gen_mode", 2)

    def remove(self, name: str) -> None:
        self.devices.remove(name)
        self.written = {key for key in self.written if key[1] != name}

    def configure(self, name: str) -> None:
        """An IPv4 address came: what the device has of IPv4 is its own from now on."""
        self.written |= {k for k in self.values if k[1] == name and k[0].startswith("net.ipv4.")}

    def _put(self, prefix: str, scope: str, key: str, value: Any) -> None:
        self.values[prefix, scope, key] = value
        self.written.add((prefix, scope, key))

    def write(self, prefix: str, scope: str, key: str, value: Any) -> None:
        if prefix == "net.ipv4.conf." and (scope, key) == ("all", "forwarding"):
            if value != self.values[prefix, scope, key]:
                self._put(prefix, "all", "accept_redirects", 1 - value)
                for each in ("all", "default", *self.devices):
                    self._put(prefix, each, key, value)
            return
        self._put(prefix, scope, key, value)
        if prefix == "net.ipv6.conf.":
            if scope == "all" and key in PASSED_ON:
                for each in (["default"] if PASSED_ON[key] else []) + self.devices:
                    self._put(prefix, each, key, value)
                if key == "forwarding" and not value:
                    for each in self.devices:
                        self._put(prefix, each, "force_forwarding", 0)
            if key == "stable_secret":
                for each in self.devices if scope == "default" else [scope]:
                    self._put(prefix, each, "addr_gen_mode", 2)
        elif scope == "default" and key != "forwarding":
            for each in self.devices:
                if (prefix, each, key) not in self.written:
                    self.values[prefix, each, key] = value

    def effective(self, group: Group, device: str, setting: Setting) -> Any:
        own = self.values[group.prefix, device, setting.key]
        if setting.rule is Rule.OWN:
            return own
        both = (self.values[group.prefix, "all", setting.key], own)
        forwards = self.values[group.prefix, device, "forwarding"]
        return {
            Rule.MAX: max(both),
            Rule.AND: min(both),
            Rule.OR: max(both),
            Rule.FIRST: both[0] if both[0] else own,
            Rule.LEAST: min([value for value in both if value], default=0),
            Rule.REDIRECTS: min(both) if forwards else max(both),
        }[setting.rule]


def expected(setting: Setting, raw: Any) -> Any:
    if setting.text is Text.SECRET:
        return int(raw.replace(":", ""), 16) if raw else -1
    if setting.unit:
        return raw * setting.unit
    return raw > 0 if setting.high == 1 else raw


@pytest.mark.parametrize("seed", range(12))
def test_devices_have_what_a_kernel_that_copies_everything_would_give_them(seed: int) -> None:
    """Whatever is written in which order, shared objects and stored differences say what full copies would."""
    rng = random.Random(seed)
    ns, twin = Namespace(), Twin()
    for step in range(150):
        _step(rng, ns, twin)
        if step % 5 == 0:
            _compare(ns, twin)
    _compare(ns, twin)


def _step(rng: random.Random, ns: Namespace, twin: Twin) -> None:
    what = rng.random()
    if what < 0.08 and len(twin.devices) < len(KINDS):
        name = rng.choice([name for name in KINDS if name not in twin.devices])
        dev = ns.devices[name] = Device(ns, name, KINDS[name], 1, bytes(6), 9000)
        ns.sysctl.device_added(dev)
        twin.add(name)
    elif what < 0.11 and twin.devices:
        name = rng.choice(twin.devices)
        del ns.devices[name]
        ns.sysctl.device_removed(name)
        twin.remove(name)
    elif what < 0.15 and twin.devices:
        dev = ns.devices[rng.choice(twin.devices)]
        family = rng.choice((4, 6))
        dev.addresses.append(Address(dev, family, 1, 24, "global", -1))
        if family == 4:
            twin.configure(dev.name)
    else:
        group = rng.choice(GROUPS)
        setting = rng.choice([s for s in group.settings.values() if not s.read_only])
        if rng.random() < 0.3:
            setting = group.settings.get(rng.choice((*PASSED_ON, "accept_redirects", "stable_secret")), setting)
        scope = rng.choice(group.scopes(setting, twin.devices))
        value: Any = rng.choice((setting.low, min(setting.high, setting.low + 1), min(setting.high, setting.low + 9)))
        if setting.text is Text.SECRET:
            value = ":".join(f"{rng.getrandbits(16):04x}" for _ in range(8))
        elif setting.key == "mtu":
            value = rng.randrange(1280, 9000)
        ns.sysctl[f"{group.prefix}{scope}.{setting.key}"] = value
        twin.write(group.prefix, scope, setting.key, value)


def _compare(ns: Namespace, twin: Twin) -> None:
    for group in GROUPS:
        for key, setting in group.settings.items():
            for scope in group.scopes(setting, twin.devices):
                value = twin.values[group.prefix, scope, key]
                if key == "mtu":
                    value = value or (9000 if scope in twin.devices else 1280)
                assert (scope, key, ns.sysctl[f"{group.prefix}{scope}.{key}"]) == (scope, key, value)
            for name in () if setting.read_only else twin.devices:
                found = getattr(getattr(ns.devices[name], group.slot), setting.attribute or key)
                wanted = expected(setting, twin.effective(group, name, setting))
                assert (group.prefix, name, key, found) == (group.prefix, name, key, wanted)
    assert ns.conf.v6.forwarding == bool(twin.values["net.ipv6.conf.", "all", "forwarding"])
    assert ns.conf.v4.forwarding == bool(twin.values["net.ipv4.conf.", "all", "forwarding"])
