"""From a file, a text or a mapping to a `Config`, or to a `ConfigError` with every mistake in it.

The order: TOML (a syntax error is reported alone, since nothing behind it can be trusted), then each table by itself
(`sections`), then what they say of one another (`references`); positions only if there is something to report.
"""

import os
import re
from typing import Any

from vrouter.config import devices, references, resolver, sections
from vrouter.config.draft import Draft
from vrouter.config.findings import Findings
from vrouter.config.nexthop import Links
from vrouter.config.records import Config, DeviceConfig, NetnsConfig, ResolverConfig, RouterConfig
from vrouter.config.section import Section
from vrouter.errors import ConfigError, Problem
from vrouter.stack.base.names import parent_of

TEXT_NAME = "<config>"


def load(path: str | os.PathLike[str]) -> Config:
    """The configuration in the file at `path`. ConfigError when it is refused, OSError when it cannot be read."""
    name = os.fspath(path)
    with open(name, "rb") as file:
        data = file.read()
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        before = data[: error.start].decode("utf-8-sig")
        raise ConfigError([_at_end(name, before, f"byte 0x{data[error.start]:02x} is not UTF-8")]) from None
    return loads(text, name)


def loads(text: str, filename: str = TEXT_NAME) -> Config:
    """The configuration that `text` holds; `filename` names it in messages. ConfigError when it is refused."""
    import tomllib  # not needed for a mapping

    try:
        tree = tomllib.loads(text)
    except RecursionError:
        raise ConfigError([Problem(filename, 1, 1, "", "arrays or tables are nested too deeply")]) from None
    except tomllib.TOMLDecodeError as error:
        raise ConfigError([_syntax_error(filename, text, str(error))]) from None
    except ValueError:  # more digits than int() takes
        before = text[: match.start()] if (match := re.search("[0-9][0-9_]{999,}", text)) else ""
        raise ConfigError([_at_end(filename, before.replace("\r\n", "\n"), "a number has too many digits")]) from None
    return _config(tree, filename, text)


def from_dict(mapping: dict[str, Any]) -> Config:
    """The configuration that `mapping` holds, with the keys of the file. ConfigError, without positions, if refused."""
    return _config(_copy(mapping), TEXT_NAME, None)


def device_from_dict(netns: str, name: str, mapping: dict[str, Any]) -> DeviceConfig:
    """One device of namespace `netns`, with the keys of `[netns.NETNS.dev.NAME]`; its peer is not looked for.

    ConfigError when it is refused.
    """
    findings = Findings()
    device = devices.device(findings, ("netns", netns, "dev", name), netns, name, mapping, Links())
    if device is None:
        raise ConfigError(findings.problems(TEXT_NAME, None))
    return device


def resolver_from_dict(netns: str, mapping: dict[str, Any]) -> ResolverConfig:
    """How names are looked up in namespace `netns`, with the keys of `[netns.NETNS.resolver]`.

    ConfigError when it is refused.
    """
    findings = Findings()
    found = resolver.resolver(Section(findings, ("netns", netns, "resolver"), mapping))
    if len(findings):
        raise ConfigError(findings.problems(TEXT_NAME, None))
    return found


def _config(tree: dict[str, Any], filename: str, text: str | None) -> Config:
    findings = Findings()
    top = Section(findings, (), tree)
    top.keys(("router", "netns"))
    settings = top.child("router")
    router = sections.router(settings) if settings is not None else RouterConfig()
    given = sections.given_tags(tree)
    directory = os.path.dirname(filename)
    drafts = {
        name: sections.netns(findings, ("netns", name), name, content, given.get(name, {}), directory)
        for name, content in top.children("netns")
    }
    references.check(findings, drafts)
    positions = None
    if text is not None and findings.any:
        from vrouter.config.positions import Positions  # most texts have nothing to report

        positions = Positions(text)
    if len(findings):
        raise ConfigError(findings.problems(filename, positions))
    warnings = sorted(findings.warnings(filename, positions), key=lambda problem: (problem.line, problem.column))
    netns: dict[str, NetnsConfig] = {}
    for draft in drafts.values():
        _place(draft, drafts, netns)
    return Config(router=router, netns=netns, warnings=tuple(warnings), raw=tree)


def _place(draft: Draft, drafts: dict[str, Draft], netns: dict[str, NetnsConfig]) -> None:
    """Put the namespace behind its parent, which may come later in the file."""
    if draft.path in netns:
        return
    parent = parent_of(draft.path)
    if parent:
        _place(drafts[parent], drafts, netns)
    netns[draft.path] = NetnsConfig(
        path=draft.path,
        kind=draft.kind,
        accept_from=tuple(name for _, name in draft.accept_from or ()),
        sysctl=draft.sysctl,
        devices={name: device for name, device in (draft.devices or {}).items() if device is not None},
        ingress=tuple(tag for _, tag in draft.ingress),
        nexthops=tuple(found for found in draft.nexthops.values() if found is not None),
        rules=tuple(rule for _, rule in draft.rules),
        routes=tuple(route for _, route in draft.routes),
        routes_file=draft.routes_file,
        mroutes=tuple(route for _, route in draft.mroutes),
        multicast=draft.multicast,
        resolver=draft.resolver,
    )


def _syntax_error(filename: str, text: str, message: str) -> Problem:
    match = re.fullmatch(r"(?s)(.*) \(at (?:line (\d+), column (\d+)|end of document)\)", message)
    if match is None:
        return Problem(filename, 1, 1, "", message)
    if match[2] is None:
        return _at_end(filename, text.replace("\r\n", "\n"), f"{match[1]} at the end of the file")
    return Problem(filename, int(match[2]), int(match[3]), "", match[1])


def _at_end(filename: str, text: str, message: str) -> Problem:
    """A problem right behind `text`."""
    return Problem(filename, text.count("\n") + 1, len(text) - text.rfind("\n"), "", message)


def _copy(value: Any) -> Any:
    """The caller's containers stay the caller's."""
    if isinstance(value, dict):
        return {key: _copy(content) for key, content in value.items()}
    if isinstance(value, list | tuple):
        return [_copy(content) for content in value]
    return value
