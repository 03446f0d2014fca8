"""Devices on devices: what a vlan and a bridge stand on, in which order they can be made, and what cannot be.

A *place* is (namespace, device). A vlan stands on its parent, a tag that was given away on the device in the namespace
that gave it, a bridge on its ports.
"""

from collections.abc import Iterable, Mapping
from typing import Final

from vrouter.config.draft import Draft
from vrouter.config.findings import Findings, Path
from vrouter.config.records import Config, DeviceConfig, IngressConfig

MAX_DEPTH: Final = 8  # as in Linux

Spot = tuple[str, str]  # namespace, device
Graph = dict[Spot, list[Spot]]


def build_order(config: Config) -> list[Spot]:
    """Every device, those below before those that stand on them, otherwise in the file's order."""
    spaces = {ns.path: (ns.devices, list(ns.ingress)) for ns in config.netns.values()}
    return _sorted(graph(spaces))[0]


def graph(spaces: Mapping[str, tuple[Mapping[str, DeviceConfig | None], list[IngressConfig]]]) -> Graph:
    """What each device stands on directly. `spaces`: the devices and the given tags of each namespace."""
    found: Graph = {}
    for path, (devices, _) in spaces.items():
        for name, dev in devices.items():
            below = found.setdefault((path, name), [])
            if dev is not None and dev.parent is not None:
                below.append((path, dev.parent))
            for port in _ports(name, devices):
                below.append((path, port))
    for path, (_, tags) in spaces.items():
        for tag in tags:
            found.setdefault((tag.netns, tag.name), []).append((path, tag.dev))
    return found


def members(devices: Mapping[str, DeviceConfig | None]) -> dict[str, str]:
    """The bridge of each port of a namespace."""
    return {port: name for name in devices for port in _ports(name, devices)}


def _ports(bridge: str, devices: Mapping[str, DeviceConfig | None]) -> list[str]:
    dev = devices.get(bridge)
    if dev is None or dev.settings is None:
        return []
    others = [name for name, one in devices.items() if one is not None and one.bridge == bridge]
    bridges = [name for name, one in devices.items() if one is not None and one.kind == "bridge"]  # they cannot be
    return [name for name in dict.fromkeys((*dev.settings.ports, *others)) if name not in bridges]


def _sorted(below: Graph) -> tuple[list[Spot], list[list[Spot]]]:
    """(places, those below first; the loops that were found, each from a place back to it)."""
    done: dict[Spot, None] = {}
    loops: list[list[Spot]] = []
    for start in below:
        trail: list[Spot] = []
        work: list[tuple[Spot, bool]] = [(start, False)]
        while work:
            spot, left = work.pop()
            if left:
                trail.pop()
                done[spot] = None
            elif spot in trail:
                loops.append([*trail[trail.index(spot) :], spot])
            elif spot not in done and spot in below:
                trail.append(spot)
                work.append((spot, True))
                work += [(one, False) for one in reversed(below[spot])]
    return list(done), loops


def check(findings: Findings, drafts: dict[str, Draft]) -> None:
    """Parents and ports that are missing or cannot be, tags that are given twice, loops, and too many layers."""
    for draft in drafts.values():
        _parents(findings, draft)
        _bridges(findings, draft)
    _tags(findings, drafts)
    spaces = {path: (draft.devices or {}, [tag for _, tag in draft.ingress]) for path, draft in drafts.items()}
    below = graph(spaces)
    order, loops = _sorted(below)
    for loop in loops:
        spot = min(loop[:-1], key=lambda one: list(below).index(one))
        at = loop.index(spot)
        names = " on ".join(f"{name!r}" for _, name in (*loop[at:-1], *loop[: at + 1]))
        findings.at_value(_place(drafts, spot), f"stands on itself: {names}")
    if not loops:
        depth: dict[Spot, int] = {}
        for spot in order:
            depth[spot] = 1 + max((depth.get(one, 1) for one in below[spot]), default=0)
            if depth[spot] == MAX_DEPTH + 1:
                findings.at_value(_place(drafts, spot), f"more than {MAX_DEPTH} devices stand on one another")


def _place(drafts: dict[str, Draft], spot: Spot) -> Path:
    """Where the file says what a device stands on."""
    draft = drafts.get(spot[0])
    dev = (draft.devices or {}).get(spot[1]) if draft is not None else None
    where: Path = ("netns", spot[0], "dev", spot[1])
    if dev is None or draft is None:
        return where
    return (*where, "parent" if dev.parent is not None else "ports")


def _parents(findings: Findings, draft: Draft) -> None:
    for name, dev in (draft.devices or {}).items():
        if dev is None or dev.parent is None:
            continue
        place = (*draft.where, "dev", name, "parent")
        below = _existing(findings, draft, place, dev.parent)
        if dev.parent == "lo":
            findings.at_value(place, "'lo' has no VLANs")
        elif below is not None and dev.mtu and 0 < below.mtu < dev.mtu:
            text = f"an MTU of {dev.mtu} is more than that of {dev.parent!r} below, {below.mtu}"
            findings.at_value((*draft.where, "dev", name, "mtu"), text)


def _existing(findings: Findings, draft: Draft, place: Path, name: str) -> DeviceConfig | None:
    """The device of this name; reported at `place` when there is none."""
    if draft.devices is None or name == "lo":
        return None
    if name not in draft.devices:
        hint = findings.suggest(name, sorted(draft.devices))
        findings.at_value(place, f"there is no device {name!r} in {draft.path!r}", hint)
    return draft.devices.get(name)


def _tags(findings: Findings, drafts: dict[str, Draft]) -> None:
    """Each tag of a device belongs to one, and a given one has a name of its own where it goes."""
    for draft in drafts.values():
        taken: dict[tuple[str, str, int], str] = {}
        for name, dev in (draft.devices or {}).items():
            if dev is not None and dev.parent is not None:
                place = (*draft.where, "dev", name, "vid")
                _claim(findings, place, taken, (dev.parent, dev.protocol, dev.vid), repr(name))
        for path, tag in draft.ingress:
            owner = f"{tag.name!r} of {tag.netns!r}"
            _claim(findings, (*path, "vid"), taken, (tag.dev, tag.protocol, tag.vid), owner)
    names: dict[Spot, Path] = {}
    for draft in drafts.values():
        for path, tag in draft.ingress:
            if names.setdefault((tag.netns, tag.name), path) != path:
                findings.at_value((*path, "name"), f"{tag.name!r} in {tag.netns!r} is the name of another tag already")


def _claim(
    findings: Findings,
    place: Path,
    taken: dict[tuple[str, str, int], str],
    tag: tuple[str, str, int],
    owner: str,
) -> None:
    holder = taken.setdefault(tag, owner)
    if holder != owner:
        findings.at_value(place, f"VLAN {tag[2]} of {tag[0]!r} is {holder} already")


def _bridges(findings: Findings, draft: Draft) -> None:
    devices = draft.devices or {}
    bridge_of: dict[str, str] = {}
    for bridge, port, place in _memberships(draft):
        if port == "lo":
            findings.at_value(place, "'lo' cannot be a bridge's port")
            continue
        dev = _existing(findings, draft, place, port) if place[-2] == "ports" else devices.get(port)
        if dev is not None and dev.kind == "bridge":
            findings.at_value(place, f"{port!r} is a bridge, and cannot be a bridge's port")
        elif bridge_of.setdefault(port, bridge) != bridge:
            findings.at_value(place, f"{port!r} is a port of {bridge_of[port]!r} already")
    for name, dev in devices.items():
        if dev is None:
            continue
        place = (*draft.where, "dev", name)
        if dev.bridge is not None:
            master = _existing(findings, draft, (*place, "bridge"), dev.bridge)
            if dev.bridge == "lo" or (master is not None and master.kind != "bridge"):
                kind = "a tap" if master is None else f"a {master.kind}"
                of = "is no bridge" if dev.bridge == "lo" else f"is {kind}, and no bridge"
                findings.at_value((*place, "bridge"), f"{dev.bridge!r} {of}")
        _port(findings, draft, name, dev, bridge_of.get(name, name if dev.kind == "bridge" else None))


def _port(findings: Findings, draft: Draft, name: str, dev: DeviceConfig, bridge: str | None) -> None:
    place = (*draft.where, "dev", name)
    if dev.port is not None and bridge is None and dev.bridge is None:
        findings.at_key((*place, "port"), f"{name!r} is no port of a bridge", "bridge = … says of which")
    master = (draft.devices or {}).get(bridge) if bridge is not None else None
    if master is None or master.settings is None:
        return
    if dev.port is not None and not master.settings.vlan_filtering:
        for key in ("pvid", "untagged", "tagged"):
            if getattr(dev.port, key) is not None:
                text = f"{bridge!r} does not look at VLANs"
                findings.warn((*place, "port", key), text, f"vlan_filtering = true on {bridge!r}")
                break
    if dev.addresses and name != bridge:
        text = f"what comes in here belongs to {bridge!r}, and so should the addresses"
        findings.warn((*place, "addresses"), text)


def _memberships(draft: Draft) -> Iterable[tuple[str, str, Path]]:
    """(bridge, port, where it is said) of a namespace."""
    for name, dev in (draft.devices or {}).items():
        if dev is None:
            continue
        if dev.settings is not None:
            for index, port in enumerate(dev.settings.ports):
                yield name, port, (*draft.where, "dev", name, "ports", index)
        if dev.bridge is not None and dev.kind != "bridge":
            yield dev.bridge, name, (*draft.where, "dev", name, "bridge")
