"""What a setting is: its bounds, how `all` and a device combine, and where a device takes its first value from."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import Enum
from typing import Final, NamedTuple

from vrouter.stack.sysctl.records import MS, SECOND

USER_HZ: Final = 10_000_000  # ns, Linux's unit of locktime: 1/100 s
MOST: Final = 2**31 - 1


class Rule(Enum):
    """How ``all`` and a device's own value make the effective one."""

    OWN = "own"
    MAX = "the larger"
    AND = "both"
    OR = "either"
    FIRST = "`all` unless 0"
    LEAST = "the smaller above 0"
    REDIRECTS = "both while the device forwards, else either"


class Text(Enum):
    """How a setting is written that is no number."""

    NUMBER = "a number"
    RANGE = "a first and a last port"
    PORTS = "ports and ranges of ports"
    TYPES = "ICMPv6 types and ranges of types"
    SECRET = "an IPv6 address or nothing"
    KEYS = "one or two keys of 16 bytes, or nothing"
    TRIPLE = "three numbers that do not decrease"
    WORD = "one of some words"


class Setting(NamedTuple):
    """One setting, with default and bounds as they are written; ``unit`` is its ns, 0 when it is no time.

    ``at_all`` and ``at_kinds`` are defaults of ``all`` and of devices of some kinds where they differ; ``attribute`` is
    that of the conf object when it is not the key (``v6.frag_time``: of NsConf's FamilyConf); ``passed_on`` says to
    which scopes a write to ``all`` goes too.
    """

    key: str
    default: int | str
    low: int = 0
    high: int = 1
    unit: int = 0
    rule: Rule = Rule.OWN
    attribute: str = ""
    text: Text = Text.NUMBER
    at_all: int | None = None
    at_kinds: tuple[tuple[str, int], ...] = ()
    passed_on: tuple[str, ...] = ()
    inherited: bool = True  # a new device starts with what `default` says
    read_only: bool = False
    words: tuple[str, ...] = ()  # of which it is one

    def value(self, raw: int) -> int:
        """What the data path reads for a number `raw`."""
        if self.unit:
            return raw * self.unit
        return raw > 0 if self.high == 1 else raw


@dataclass(frozen=True, slots=True, eq=False)
class Group:
    """The settings that each device has under one prefix."""

    prefix: str
    slot: str  # of the device: where its conf object is
    settings: dict[str, Setting]
    with_all: bool
    reaches: bool  # a write to `default` goes to the devices that exist and have no value of their own
    configured: int = 0  # … but not to those with addresses of this family

    def scopes(self, setting: Setting, devices: Iterable[str]) -> list[str]:
        """Where the setting exists."""
        everywhere = ("all",) if self.with_all and setting.text is not Text.SECRET else ()
        return [*everywhere, "default", *devices]


DEFAULT: Final = "default"
DEVICES: Final = "devices"


def by_key(*settings: Setting) -> dict[str, Setting]:
    """Settings by their last word."""
    return {setting.key: setting for setting in settings}


def neigh_settings(locktime: int) -> dict[str, Setting]:
    """What neighbour resolution has at each device, alike for both families but for `locktime`."""
    return by_key(
        Setting("base_reachable_time_ms", 30000, 1, MOST, MS, attribute="base_reachable_time"),
        Setting("retrans_time_ms", 1000, 10, MOST, MS, attribute="retrans_time"),  # below 10 ms Linux takes 10 ms
        Setting("delay_first_probe_time", 5, 0, MOST, SECOND),
        Setting("gc_stale_time", 60, 1, MOST, SECOND),
        Setting("locktime", locktime, 0, MOST, USER_HZ),
        Setting("mcast_solicit", 3, 1, 255),
        Setting("ucast_solicit", 3, 0, 255),
        Setting("mcast_resolicit", 0, 0, 255),
        Setting("unres_qlen", 101, 0, 65535),
    )


def gc_settings(family: str) -> tuple[Setting, ...]:
    """The bounds of a family's neighbour table (`family` is v4 or v6)."""
    return (
        Setting("gc_thresh1", 128, 0, MOST, attribute=f"{family}.gc_thresh1"),
        Setting("gc_thresh2", 512, 0, MOST, attribute=f"{family}.gc_thresh2"),
        Setting("gc_thresh3", 1024, 1, MOST, attribute=f"{family}.gc_thresh3"),
        Setting("gc_interval", 30, 1, MOST, SECOND, attribute=f"{family}.gc_interval"),
    )


def by_name(**scopes: tuple[Setting, ...]) -> dict[str, Setting]:
    """Settings of a namespace by their full name; scopes are written with ``_`` for each dot."""
    return {
        f"{scope.replace('_', '.')}.{setting.key}": setting
        for scope, settings in scopes.items()
        for setting in settings
    }
