"""What namespaces say of one another: parents, peers, crossings, and names that must be unique in the whole file.

Expects the drafts of all namespaces, each judged alone. What is broken in itself was reported there and is not a
reason to report again whoever refers to it.
"""

from collections.abc import Iterator

from vrouter.config import stacking
from vrouter.config.draft import Draft
from vrouter.config.findings import Findings, Path
from vrouter.config.records import DeviceConfig, HostRoute, Network, PeerConfig
from vrouter.stack.base.names import check_path, parent_of

_LO = DeviceConfig(name="lo", kind="lo")  # is always there


def check(findings: Findings, drafts: dict[str, Draft]) -> None:
    """Every check that needs more than one namespace."""
    _parents(findings, drafts)
    for draft in drafts.values():
        for path, name in draft.accept_from or ():
            if name != "*":
                _exists(findings, drafts, draft.path, path, name)
        for name, device in (draft.devices or {}).items():
            if device is not None and device.peer is not None:
                _peer(findings, drafts, draft, name, device.peer)
    stacking.check(findings, drafts)
    _crossings(findings, drafts)
    _kernel_ends(findings, drafts)


def relative(inside: str, target: str) -> str:
    """The shortest name that means namespace `target` in the configuration of namespace `inside`."""
    if target.startswith(inside + "/"):
        return "." + target[len(inside) :]
    parent = parent_of(inside)
    if not parent:
        return target
    return target[len(parent) + 1 :] if target.startswith(parent + "/") else "/" + target


def _parents(findings: Findings, drafts: dict[str, Draft]) -> None:
    reported = set()
    for draft in drafts.values():
        parent = parent_of(draft.path)
        if parent and parent not in drafts and parent not in reported and check_path(draft.path) is None:
            reported.add(parent)
            others = [path for path in drafts if not path.startswith(parent + "/")]
            close = findings.closest(parent, others)
            hint = f"did you mean {close + draft.path[len(parent) :]!r}?" if close else f"add [netns.{_key(parent)}]"
            findings.at_key(draft.where, f"its parent {parent!r} does not exist", hint)


def _key(path: str) -> str:
    return f'"{path}"' if "/" in path or "." in path else path


def _exists(findings: Findings, drafts: dict[str, Draft], inside: str, path: Path, name: str) -> bool:
    if name in drafts:
        return True
    close = findings.closest(name, drafts)
    hint = f"did you mean {relative(inside, close)!r}?" if close else ""
    findings.at_value(path, f"there is no namespace {name!r}", hint)
    return False


def _peer(findings: Findings, drafts: dict[str, Draft], draft: Draft, name: str, peer: PeerConfig) -> None:
    """Both ends of a veth pair name each other."""
    where = (*draft.where, "dev", name, "peer")
    if peer.netns == draft.path and peer.dev == name:
        findings.at_value(where, "a veth cannot be its own other end")
        return
    if not _exists(findings, drafts, draft.path, (*where, "netns"), peer.netns):
        return
    devices = drafts[peer.netns].devices
    if devices is None:
        return
    if peer.dev not in devices and peer.dev != "lo":
        hint = findings.suggest(peer.dev, devices)
        if not hint:
            back = f'peer = {{ netns = "{relative(peer.netns, draft.path)}", dev = "{name}" }}'
            hint = f'it takes one with kind = "veth" and {back}'
        findings.at_value((*where, "dev"), f"there is no device {peer.dev!r} in {peer.netns!r}", hint)
        return
    other = devices.get(peer.dev, _LO)
    if other is None:
        return
    if other.peer is None:
        kind = "" if other.kind == "lo" else f"a {other.kind}, "
        findings.at_value((*where, "dev"), f"{peer.dev!r} in {peer.netns!r} is {kind}not a veth")
    elif (other.peer.netns, other.peer.dev) != (draft.path, name):
        theirs = f"{other.peer.dev!r} in {other.peer.netns!r}"
        findings.at_value(where, f"{peer.dev!r} in {peer.netns!r} does not name this device back, but {theirs}")


def _crossings(findings: Findings, drafts: dict[str, Draft]) -> None:
    """A short-cut's target exists, and should accept the source; each pair of namespaces is warned of once."""
    warned = set()
    for draft in drafts.values():
        for filename, line, target in draft.file_crossings:
            if target not in drafts or target == draft.path:
                findings.in_file(filename, line, f"there is no namespace {target!r}, or it is this one")
        for place, target in draft.crossings:
            if not _exists(findings, drafts, draft.path, place, target):
                continue
            accepted = drafts[target].accept_from
            if accepted is None or any(name in ("*", draft.path) for _, name in accepted):
                continue
            if (draft.path, target) not in warned:
                warned.add((draft.path, target))
                entry = relative(target, draft.path)
                findings.warn(
                    place,
                    f"{target!r} does not accept {draft.path!r}, so these packets will be dropped (CROSSING_DENIED)",
                    f'add "{entry}" to accept_from of [netns.{_key(target)}]',
                )
        for path, route in draft.mroutes:
            if route.iif.startswith("@"):
                _exists(findings, drafts, draft.path, (*path, "iif"), route.iif[1:])


def _kernel_ends(findings: Findings, drafts: dict[str, Draft]) -> None:
    """A kernel name is unique where the process opens TAPs, and again in the namespace that an end is moved to; there
    the routes of several ends must not be the same either."""
    names: dict[tuple[str | None, str | None], str] = {}
    routes: dict[tuple[str, Network], str] = {}
    for draft in drafts.values():
        for name, device in (draft.devices or {}).items():
            if device is None or device.kind != "tap":
                continue
            where, owner = (*draft.where, "dev", name), f"{name!r} in {draft.path!r}"
            # Where the file gives no name this points at the device's header: the derived one is taken.
            _claim(findings, (*where, "ifname"), names, (None, device.ifname), owner)
            host = device.host
            if host is None:
                continue
            if host.netns is not None or host.ifname is not None:
                moved = (host.netns, host.ifname or device.ifname)
                _claim(findings, (*where, "host", "ifname"), names, moved, owner)
            if host.netns is not None:
                told: set[int] = set()
                for index, route in _entries(host.routes):
                    holder = routes.setdefault((host.netns, route.to), owner)
                    if holder != owner and index not in told:
                        told.add(index)
                        place = (*where, "host", "routes", index, "to")
                        findings.at_value(place, f"the host of {holder} has a route to '{route.to}' in {host.netns!r}")


def _entries(routes: tuple[HostRoute, ...]) -> Iterator[tuple[int, HostRoute]]:
    """The routes of a host with the places of their tables: a "default" of both families is one table."""
    index = -1
    before: HostRoute | None = None
    for route in routes:
        both = before is not None and before.to.version < route.to.version and not before.to.prefixlen
        if not both or route.to.prefixlen or route.via is not None or before is None or before.via is not None:
            index += 1
        before = route
        yield index, route


def _claim(
    findings: Findings,
    path: Path,
    names: dict[tuple[str | None, str | None], str],
    name: tuple[str | None, str | None],
    owner: str,
) -> None:
    holder = names.setdefault(name, owner)
    if holder != owner:
        place = f" in kernel namespace {name[0]!r}" if name[0] is not None else ""
        findings.at_value(path, f"{name[1]!r} is already the kernel name of {holder}{place}")
