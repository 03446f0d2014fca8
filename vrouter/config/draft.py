"""One namespace while it is being checked: what is known of it so far, and by which names its parts are called."""

from typing import NamedTuple

from vrouter.config.findings import Path
from vrouter.config.nexthop import Links
from vrouter.config.records import (
    DeviceConfig,
    IngressConfig,
    MrouteConfig,
    MulticastConfig,
    NetnsKind,
    NextHopConfig,
    ResolverConfig,
    RouteConfig,
    RuleConfig,
)
from vrouter.config.section import Section
from vrouter.stack.base.addresses import LOOPBACK6, V4, V6


class Place(NamedTuple):
    """Where a namespace says something: its path, and the place in the file."""

    netns: str
    where: Path


class Draft:
    """One namespace as far as it can be judged alone. A device or a name that is broken is None, and was reported.

    `known` are the names of its devices, None when they are not all known. `crossings` are the namespaces that it
    sends to, each with the place that says so; a place of another file is (file, line).
    """

    def __init__(self, path: str, where: Path) -> None:
        self.path = path
        self.where = where
        self.kind: NetnsKind = "l2"
        self.accept_from: list[tuple[Path, str]] | None = []
        self.sysctl: dict[str, int | str] = {}
        self.devices: dict[str, DeviceConfig | None] | None = {}
        self.known: set[str] | None = {"lo"}
        self.links = Links()
        self.links.own[V4, 0x7F000001, ""] = self.links.own[V6, LOOPBACK6, ""] = "the address of 'lo'"
        self.ingress: list[tuple[Path, IngressConfig]] = []
        self.nexthops: dict[int, NextHopConfig | None] = {}
        self.rules: list[tuple[Path, RuleConfig]] = []
        self.routes: list[tuple[Path, RouteConfig]] = []
        self.routes_file: str | None = None
        self.file_tables: set[int] = set()
        self.mroutes: list[tuple[Path, MrouteConfig]] = []
        self.multicast = MulticastConfig()
        self.resolver = ResolverConfig()
        self.crossings: list[tuple[Path, str]] = []
        self.file_crossings: list[tuple[str, int, str]] = []

    def device(self, section: Section, key: str, *, lo: bool = True) -> str | None:
        """The device that `key` names; None when it is not given or there is none of that name."""
        name = section.get(key, str)
        return name if name is not None and self.knows(section, section.at(key), name, lo=lo) else None

    def devices_of(self, section: Section, key: str) -> tuple[str, ...]:
        """The devices that the array `key` names, each once."""
        found: list[str] = []
        for index, name in section.texts(key):
            where = (*section.path, key, index)
            if name in found:
                section.findings.at_value(where, f"{name!r} is given twice")
            elif self.knows(section, where, name, lo=False):
                found.append(name)
        return tuple(found)

    def knows(self, section: Section, where: Path, name: str, *, lo: bool) -> bool:
        """Whether there is a device of this name, which is reported at `where` when not."""
        if name == "lo" and not lo:
            section.findings.at_value(where, "there is nobody else on 'lo'")
            return False
        if self.known is None or name in self.known:
            return True
        hint = section.findings.suggest(name, sorted(self.known))
        section.findings.at_value(where, f"there is no device {name!r} in {self.path!r}", hint)
        return False
