"""The tables of the configuration, one function each: what keys there are, what each may hold, what it defaults to.

What can be judged within one namespace is judged here, in the file's order; what needs the other namespaces is left to
`references`. Keys and values that belong to later versions are listed beside those that exist, and refused by name.
"""

from ipaddress import IPv4Address, IPv4Interface, IPv4Network
from typing import Any, Final

from vrouter.config import values
from vrouter.config.findings import Findings, Path, Refused, choices, key_text
from vrouter.config.nexthop import Links
from vrouter.config.records import (
    DeviceConfig,
    DeviceKind,
    HostConfig,
    HostRoute,
    LogConfig,
    LogFormat,
    LogLevel,
    NetnsKind,
    PeerConfig,
    RouteConfig,
    RouterConfig,
    RouteType,
)
from vrouter.config.section import NOT_YET, Section, noun, table
from vrouter.stack.base.names import check_path, resolve

MTU_MIN: Final = 68  # RFC 791 3.2: every module must be able to forward 68 bytes
MTU_MAX: Final = 65521  # a frame of 65535 bytes less its Ethernet header
LO_MTU: Final = 65536

LEVELS: Final[tuple[LogLevel, ...]] = ("debug", "info", "warning", "error")
FORMATS: Final[tuple[LogFormat, ...]] = ("auto", "json", "console")
NETNS_KINDS: Final[tuple[NetnsKind, ...]] = ("l2",)
DEVICE_KINDS: Final[tuple[DeviceKind, ...]] = ("tap", "veth")
DEVICE_KINDS_LATER: Final = ("vlan", "bridge", "vxlan", "gre", "ipip", "wireguard", "packet", "host")
ROUTE_TYPES: Final[tuple[RouteType, ...]] = ("unicast", "blackhole", "unreachable", "prohibit")

NETNS_KEYS: Final = ("kind", "accept_from", "sysctl", "dev", "route")
NETNS_LATER: Final = ("ingress", "rule", "firewall", "share", "resolver")
TAP_KEYS: Final = ("ifname", "queues", "offload", "host")
VETH_KEYS: Final = ("peer",)
LO_KEYS: Final = ("addresses", "mtu")
DEVICE_KEYS: Final = ("kind", "addresses", "mtu", "mac", "up", "acd", *TAP_KEYS, *VETH_KEYS)
DEVICE_LATER: Final = ("parent", "vid", "ra")
ROUTE_KEYS: Final = ("to", "via", "dev", "metric", "table", "type", "netns", "src")
ROUTE_LATER: Final = ("nexthops",)


class Draft:
    """One namespace as far as it can be judged alone. A device or a name that is broken is None, and was reported."""

    def __init__(self, path: str, where: Path) -> None:
        self.path = path
        self.where = where
        self.kind: NetnsKind = "l2"
        self.accept_from: list[tuple[Path, str]] | None = []
        self.sysctl: dict[str, int | str] = {}
        self.devices: dict[str, DeviceConfig | None] | None = {}
        self.routes: list[tuple[Path, RouteConfig]] = []


def router(section: Section) -> RouterConfig:
    """`[router]`."""
    section.keys(("admin", "metrics", "log", "id"))
    logging = section.child("log")
    return RouterConfig(
        admin=section.parsed("admin", values.socket_path),
        metrics=section.parsed("metrics", values.endpoint),
        log=log(logging) if logging is not None else LogConfig(),
        id=section.parsed("id", values.nonempty),
    )


def log(section: Section) -> LogConfig:
    """`log` of `[router]`."""
    section.keys(("level", "format"))
    return LogConfig(
        level=section.choice("level", LEVELS, "info"),
        format=section.choice("format", FORMATS, "auto"),
    )


def netns(findings: Findings, where: Path, name: str, value: object) -> Draft:
    """`[netns.NAME]`."""
    draft = Draft(name, where)
    wrong = check_path(name)
    if wrong:
        findings.at_key(where, wrong)
    section = table(findings, where, value)
    if section is None:
        draft.accept_from = draft.devices = None
        return draft
    section.keys(NETNS_KEYS, NETNS_LATER, lambda key: f'a namespace in this one is [netns."{name}/{key}"]')
    draft.kind = section.choice("kind", NETNS_KINDS, "l2", later=("l3",))
    draft.accept_from = accept_from(section, name)
    links = Links()
    links.own[0x7F000001] = "the address of 'lo'"
    draft.devices = {
        dev: device(findings, (*where, "dev", dev), name, dev, content, links)
        for dev, content in section.children("dev")
    }
    if "dev" in section and not isinstance(section.table["dev"], dict):
        draft.devices = None
    links.complete &= draft.devices is not None and None not in draft.devices.values()
    known = {"lo", *(draft.devices or ())}
    draft.sysctl = sysctl(section, known)
    for index, entry in section.tables("route", f"write [[{key_text((*where, 'route'))}]]"):
        record = route(entry, name, index, links, known if draft.devices is not None else None)
        if record is not None:
            draft.routes.append((entry.path, record))
    return draft


def accept_from(section: Section, inside: str) -> list[tuple[Path, str]] | None:
    """`accept_from`: absolute names with their places, or "*"; None when it could not be understood."""
    before = len(section.findings)
    accepted: dict[str, Path] = {}
    for index, text in section.texts("accept_from"):
        path = (*section.path, "accept_from", index)
        try:
            name = "*" if text == "*" else resolve(inside, text)
        except ValueError as error:
            section.findings.at_value(path, str(error))
            continue
        if name == inside:
            section.findings.at_value(path, f"{text!r} is this namespace itself")
        elif name in accepted:
            section.findings.at_value(path, f"{text!r} is given twice")
        else:
            accepted[name] = path
    if "*" in accepted and len(accepted) > 1:
        section.findings.at_value(accepted["*"], "'*' accepts everyone, so it stands alone")
    if len(section.findings) > before:
        return None
    return [(path, name) for name, path in accepted.items()]


def sysctl(section: Section, devices: set[str]) -> dict[str, int | str]:
    """`[netns.NAME.sysctl]`; which names there are and what they take is the stack's knowledge."""
    accepted: dict[str, int | str] = {}
    settings = section.child("sysctl")
    if settings is None or not settings.table:
        return accepted
    from vrouter.stack import sysctl as known  # only when needed: most of the stack is not, to check a file

    for name, value in section.children("sysctl"):
        if isinstance(value, dict):
            hint = f'write "{_flat(name, value)}" = …'
            section.findings.at_key(settings.at(name), "a sysctl has a value, not a table", hint)
        elif isinstance(value, bool) or not isinstance(value, int | str):
            settings.wrong(name, f"must be an integer or a string, not {noun(value)}")
        elif error := known.check(name, value, devices):
            message, semicolon, hint = error.removeprefix(f"{name}: ").partition("; did you mean ")
            report = section.findings.at_value if name in known.names(devices) else section.findings.at_key
            report(settings.at(name), message, f"did you mean {hint}" if semicolon else "")
        else:
            accepted[name] = value
    return accepted


def _flat(name: str, value: Any) -> str:
    """The name that was meant when its dots were not quoted."""
    while isinstance(value, dict) and value:
        key = next(iter(value))
        name, value = f"{name}.{key}", value[key]
    return name


def device(findings: Findings, where: Path, path: str, name: str, value: object, links: Links) -> DeviceConfig | None:
    """`[netns.PATH.dev.NAME]`; None when anything in it is wrong. Its addresses are added to `links`."""
    before = len(findings)
    try:
        values.device_name(name)
    except Refused as refused:
        findings.at_key(where, refused.message)
    section = table(findings, where, value)
    if section is None:
        return None
    if name == "lo":
        record = _lo(section, links)
    else:
        record = _device(section, path, name, links)
    return record if len(findings) == before else None


def _lo(section: Section, links: Links) -> DeviceConfig:
    for key in section.table:
        if key in DEVICE_KEYS and key not in LO_KEYS:
            section.findings.at_key(section.at(key), "'lo' has no such setting", "it takes addresses and mtu")
    section.keys(DEVICE_KEYS, DEVICE_LATER)
    return DeviceConfig(
        name="lo",
        kind="lo",
        addresses=addresses(section, "lo", links, loopback=True),
        mtu=section.number("mtu", MTU_MIN, LO_MTU, LO_MTU),
    )


def _device(section: Section, path: str, name: str, links: Links) -> DeviceConfig:
    kind = section.choice("kind", DEVICE_KINDS, "tap", DEVICE_KINDS_LATER)
    given = section.table.get("kind", kind)
    if given not in DEVICE_KINDS_LATER:  # those have keys of their own, which nothing here can judge
        section.keys(DEVICE_KEYS, DEVICE_LATER)
    is_tap, is_veth = (given == kind == one for one in DEVICE_KINDS)
    for key in TAP_KEYS if is_veth else VETH_KEYS if is_tap else ():
        if key in section:
            other = "veth" if is_tap else "tap"
            section.findings.at_key(section.at(key), f"only a {other} has this, and {name!r} is a {kind}")
    own = addresses(section, name, links)
    ifname = section.parsed("ifname", values.ifname) if is_tap else None
    queues = section.get("queues", int) if is_tap else None
    if queues not in (None, 1):
        section.wrong("queues", f"more than one queue is {NOT_YET}" if queues > 1 else f"must be 1, not {queues}")
    return DeviceConfig(
        name=name,
        kind=kind,
        ifname=ifname or values.default_ifname(path, name) if is_tap else None,
        addresses=own,
        mtu=section.number("mtu", MTU_MIN, MTU_MAX, 1500),
        mac=section.parsed("mac", values.mac),
        offload=section.flag("offload", True) if is_tap else True,
        up=section.flag("up", True),
        acd=section.choice("acd", ("announce", "probe"), "announce"),
        peer=peer(section, path) if is_veth else None,
        host=host(section, own) if is_tap else None,
    )


def addresses(
    section: Section, dev: str, links: Links, opposite: tuple[IPv4Interface, ...] = (), *, loopback: bool = False
) -> tuple[IPv4Interface, ...]:
    """`addresses` of a device or of its kernel's end, whose router's end has the addresses `opposite`."""
    before = len(section.findings)
    accepted = []
    for index, text in section.texts("addresses"):
        try:
            interface = values.interface(text, loopback=loopback)
            address = int(interface)
            if address in links.own:
                raise Refused(f"'{interface.ip}' is already {links.own[address]}")
            if any(address == int(other) for other in opposite):
                raise Refused(f"'{interface.ip}' is already the router's address on this link")
        except Refused as refused:
            section.findings.at_value((*section.path, "addresses", index), refused.message, refused.hint)
        else:
            links.add_address(interface, dev, f"an address of {dev!r}")
            accepted.append(interface)
    links.complete &= len(section.findings) == before
    return tuple(accepted)


def peer(section: Section, inside: str) -> PeerConfig | None:
    """`peer` of a veth."""
    if not section.required("peer", "a veth names its other end"):
        return None
    end = section.child("peer")
    if end is None:
        return None
    end.keys(("netns", "dev"))
    named = end.required("netns", "the other end's namespace") & end.required("dev", "the other end's device")
    path, dev = _netns_name(end, "netns", inside), end.parsed("dev", values.device_name)
    return PeerConfig(netns=path, dev=dev) if named and path is not None and dev is not None else None


def _netns_name(section: Section, key: str, inside: str) -> str | None:
    """The absolute name of the namespace that `key` names."""
    text = section.get(key, str)
    if text is None:
        return None
    try:
        return resolve(inside, text)
    except ValueError as error:
        section.wrong(key, str(error))
        return None


def host(section: Section, own: tuple[IPv4Interface, ...]) -> HostConfig | None:
    """`host` of a tap whose own addresses are `own`."""
    end = section.child("host")
    if end is None:
        return None
    end.keys(("netns", "ifname", "addresses", "routes"))
    links = Links()
    ifname = end.parsed("ifname", values.ifname)
    kernel_end = ifname or "host"
    given = addresses(end, kernel_end, links, own)
    routes = [
        record
        for index, entry in end.tables("routes", "write routes = [{ to = …, via = … }]")
        if (record := host_route(entry, index, links, kernel_end)) is not None
    ]
    return HostConfig(
        netns=end.parsed("netns", values.host_netns), ifname=ifname, addresses=given, routes=tuple(routes)
    )


def host_route(section: Section, index: int, links: Links, dev: str) -> HostRoute | None:
    """One of `routes` of a host; without `via` its prefix is on the link."""
    section.keys(("to", "via", "src"))
    to = _destination(section, links, 0, f"the destination of routes[{index}]")
    via, src = _next_hop(section, links, None), _source(section, links)
    if to is None:
        return None
    if "via" not in section:
        links.connect(to, dev)
    return HostRoute(to=to, via=via, src=src)


def route(section: Section, inside: str, index: int, links: Links, devices: set[str] | None) -> RouteConfig | None:
    """`[[netns.INSIDE.route]]`, the one with `index`; `devices` are the names of the namespace's, None if unknown."""
    section.keys(ROUTE_KEYS, ROUTE_LATER)
    kind = section.choice("type", ROUTE_TYPES, "unicast")
    metric = section.number("metric", 0, 0xFFFFFFFF, 0)
    _main_table(section)
    to = _destination(section, links, metric, f"the destination of route[{index}]")
    dev = section.get("dev", str)
    if dev is not None and devices is not None and dev not in devices:
        hint = section.findings.suggest(dev, sorted(devices))
        section.wrong("dev", f"there is no device {dev!r} in {inside!r}", hint)
        dev = None
    via = _next_hop(section, links, dev)
    target = _netns_name(section, "netns", inside)
    if target == inside:
        section.wrong("netns", f"{inside!r} is this namespace itself")
    src = _source(section, links)
    _ways(section, kind)
    if to is None:
        return None
    return RouteConfig(to=to, via=via, dev=dev, metric=metric, type=kind, netns=target, src=src)


def _ways(section: Section, kind: RouteType) -> None:
    """A route leads somewhere, and in one way only."""
    ways = [key for key in ("via", "dev", "netns") if key in section]
    if kind != "unicast":
        for key in ways:
            section.findings.at_key(section.at(key), f"a route of type {kind!r} leads nowhere, so it has no {key}")
    elif "netns" in section:
        for key in ways[:-1]:
            section.findings.at_key(section.at(key), f"a route into another namespace has no {key}: its routes decide")
    elif not ways and "nexthops" not in section and section.table.get("type", kind) == kind:
        hint = f"or type = {choices(ROUTE_TYPES[1:])}"
        section.findings.at_value(section.path, "a route needs via, dev or netns", hint)


def _destination(section: Section, links: Links, metric: int, name: str) -> IPv4Network | None:
    if not section.required("to", "the prefix that the route leads to"):
        return None
    to = section.parsed("to", values.prefix)
    if to is not None:
        links.claim_route(section.findings, section.at("to"), to, metric, name)
    return to


def _next_hop(section: Section, links: Links, dev: str | None) -> IPv4Address | None:
    via = section.parsed("via", values.gateway)
    if via is not None:
        links.check(section.findings, section.at("via"), via, dev)
    return via


def _source(section: Section, links: Links) -> IPv4Address | None:
    src = section.parsed("src", values.source)
    if src is not None and links.complete and int(src) not in links.own:
        own = [str(IPv4Address(address)) for address in links.own]
        section.wrong("src", f"'{src}' is no address of this side", section.findings.suggest(str(src), own))
    return src


def _main_table(section: Section) -> None:
    """`table`: the main one, by its name or by the number that Linux gives it."""
    name = section.table.get("table", "main")
    if isinstance(name, bool) or not isinstance(name, int | str):
        section.wrong("table", f"must be a string or an integer, not {noun(name)}")
    elif name not in ("main", 254):
        section.wrong("table", f"a table other than 'main' is {NOT_YET}")
