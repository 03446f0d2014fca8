"""The tables of the configuration: `[router]`, and `[netns.NAME]` with what stands in it.

What can be judged within one namespace is judged here and in the modules of its parts (`devices`, `bridges`,
`router_adverts`, `routing`, `routes_file`, `multicast`, `resolver`), in the file's order; what needs the other
namespaces is left to `references`. Keys and values that belong to later versions are listed beside those that exist,
and refused by name.
"""

from typing import Any, Final

from vrouter.config import devices, multicast, resolver, routing, values
from vrouter.config.draft import Draft, Place
from vrouter.config.findings import Findings, Path, key_text
from vrouter.config.records import (
    DeviceConfig,
    IngressConfig,
    LogConfig,
    LogFormat,
    LogLevel,
    NetnsKind,
    RouterConfig,
    VlanProtocol,
)
from vrouter.config.section import Section, noun, table
from vrouter.stack.base.names import check_path, resolve

LEVELS: Final[tuple[LogLevel, ...]] = ("debug", "info", "warning", "error")
FORMATS: Final[tuple[LogFormat, ...]] = ("auto", "json", "console")
NETNS_KINDS: Final[tuple[NetnsKind, ...]] = ("l2",)
ROUTER_KEYS: Final = ("admin", "metrics", "log", "id")
LOG_KEYS: Final = ("level", "format")
NETNS_KEYS: Final = (
    "kind",
    "accept_from",
    "sysctl",
    "dev",
    "ingress",
    "nexthop",
    "rule",
    "route",
    "routes_file",
    "mroute",
    "multicast",
    "resolver",
)
NETNS_LATER: Final = ("firewall", "share")
INGRESS_KEYS: Final = ("dev", "vid", "protocol", "netns", "name")


def router(section: Section) -> RouterConfig:
    """`[router]`."""
    section.keys(ROUTER_KEYS)
    logging = section.child("log")
    return RouterConfig(
        admin=section.parsed("admin", values.socket_path),
        metrics=section.parsed("metrics", values.endpoint),
        log=log(logging) if logging is not None else LogConfig(),
        id=section.parsed("id", values.nonempty),
    )


def log(section: Section) -> LogConfig:
    """`log` of `[router]`."""
    section.keys(LOG_KEYS)
    return LogConfig(
        level=section.choice("level", LEVELS, "info"),
        format=section.choice("format", FORMATS, "auto"),
    )


def netns(findings: Findings, where: Path, name: str, value: object, given: dict[str, Place], directory: str) -> Draft:
    """`[netns.NAME]`. `given` are the devices that tags of other namespaces give it, with the place of each; paths are
    relative to `directory`."""
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
    links = draft.links
    draft.devices = {
        dev: devices.device(findings, (*where, "dev", dev), name, dev, content, links, given=dev in given)
        for dev, content in section.children("dev")
    }
    for dev in given:  # one that has no table of its own is as it was given
        draft.devices.setdefault(dev, DeviceConfig(name=dev, kind="vlan", mtu=0))
    if "dev" in section and not isinstance(section.table["dev"], dict):
        draft.devices = None
    links.complete &= draft.devices is not None and None not in draft.devices.values()
    draft.known = None if draft.devices is None else {"lo", *draft.devices}
    draft.sysctl = sysctl(section, draft.known or {"lo"})
    devices.check_ipv6(findings, draft)
    for _, entry in section.tables("ingress", f"write [[{key_text((*where, 'ingress'))}]]"):
        tag = ingress(entry, draft)
        if tag is not None:
            draft.ingress.append((entry.path, tag))
    routing.read(section, draft, directory)
    multicast.read(section, draft)
    resolver.read(section, draft)
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


def sysctl(section: Section, known_devices: set[str]) -> dict[str, int | str]:
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
        elif error := known.check(name, value, known_devices):
            message, semicolon, hint = error.removeprefix(f"{name}: ").partition("; did you mean ")
            report = section.findings.at_value if name in known.names(known_devices) else section.findings.at_key
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


def given_tags(tree: dict[str, Any]) -> dict[str, dict[str, Place]]:
    """By namespace the names of the devices that `[[netns.X.ingress]]` tables give it, each with the place of the first
    one; what is no such table is looked at elsewhere."""
    found: dict[str, dict[str, Place]] = {}
    spaces = tree.get("netns")
    for path, content in spaces.items() if isinstance(spaces, dict) else ():
        entries = content.get("ingress") if isinstance(content, dict) else None
        for index, entry in enumerate(entries if isinstance(entries, list) else ()):
            if not isinstance(entry, dict):
                continue
            target, name = entry.get("netns"), entry.get("name")
            if isinstance(path, str) and isinstance(target, str) and isinstance(name, str):
                try:
                    where = resolve(path, target)
                except ValueError:
                    continue
                place = Place(path, ("netns", path, "ingress", index, "name"))
                found.setdefault(where, {}).setdefault(name, place)
    return found


def ingress(section: Section, draft: Draft) -> IngressConfig | None:
    """`[[netns.X.ingress]]`: a tag of a device that is given to another namespace."""
    section.keys(INGRESS_KEYS)
    whole = True
    for key, why in (
        ("dev", "the device whose tag is given"),
        ("vid", "the VLAN id of the tag"),
        ("netns", "the namespace that gets it"),
        ("name", "what the device is called there"),
    ):
        whole &= section.required(key, why)
    dev = draft.device(section, "dev", lo=False)
    vid = section.number("vid", 1, values.MAX_VID, 0)
    protocols: tuple[VlanProtocol, ...] = devices.PROTOCOLS
    protocol = section.choice("protocol", protocols, "802.1Q")
    target = devices.netns_name(section, "netns", draft.path)
    if target == draft.path:
        section.wrong(
            "netns", f"{draft.path!r} is this namespace itself", 'a tag of its own is a device of kind "vlan"'
        )
        target = None
    elif target is not None:
        draft.crossings.append((section.at("netns"), target))
    name = section.parsed("name", values.device_name)
    if name == "lo":
        section.wrong("name", "'lo' is there already")
        name = None
    if not whole or dev is None or target is None or name is None or not vid:
        return None
    return IngressConfig(dev=dev, vid=vid, netns=target, name=name, protocol=protocol)
