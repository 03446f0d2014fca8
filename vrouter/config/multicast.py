"""Multicast of a namespace: `[[netns.NAME.mroute]]` and `[netns.NAME.multicast]`."""

from typing import Any, Final

from vrouter.config import values
from vrouter.config.devices import netns_name
from vrouter.config.draft import Draft
from vrouter.config.findings import key_text
from vrouter.config.records import Address, MrouteConfig, MulticastConfig, ProxyConfig
from vrouter.config.section import Section, noun, table
from vrouter.stack.base.names import resolve

MROUTE_KEYS: Final = ("group", "source", "iif", "oifs", "netns")
OIF_KEYS: Final = ("dev", "ttl")
MULTICAST_KEYS: Final = ("proxy", "querier", "mdns")
PROXY_KEYS: Final = ("upstream", "downstream")
MAX_OIFS: Final = 32
MAX_TTL: Final = 255


def read(section: Section, draft: Draft) -> None:
    """Everything about multicast in `[netns.NAME]`."""
    streams: set[tuple[Address, Address | None]] = set()
    for _, entry in section.tables("mroute", f"write [[{key_text((*section.path, 'mroute'))}]]"):
        record = mroute(entry, draft)
        if record is None:
            continue
        if (record.group, record.source) in streams:
            entry.wrong("group", f"there is a multicast route of '{record.group}' and this source already")
        streams.add((record.group, record.source))
        draft.mroutes.append((entry.path, record))
    settings = section.child("multicast")
    if settings is not None:
        draft.multicast = _multicast(settings, draft)


def mroute(section: Section, draft: Draft) -> MrouteConfig | None:
    """`[[netns.NAME.mroute]]`."""
    before = len(section.findings)
    section.keys(MROUTE_KEYS)
    section.required("group", "what is forwarded")
    section.required("iif", "where it comes in")
    group = section.parsed("group", values.group)
    source = None
    if section.table.get("source") != "*":
        source = section.parsed("source", values.neighbor)
    if group is not None and source is not None and group.version != source.version:
        section.wrong("source", f"'{source}' is of another family than '{group}'")
    iif = _iif(section, draft)
    oifs = _oifs(section, draft, iif)
    target = netns_name(section, "netns", draft.path)
    if target == draft.path:
        section.wrong("netns", f"{draft.path!r} is this namespace itself")
    elif target is not None:
        draft.crossings.append((section.at("netns"), target))
    if not oifs and "netns" not in section and len(section.findings) == before:
        section.findings.missing(section.path, "oifs", "is missing: the devices by which it goes on, or netns")
    if group is None or iif is None or len(section.findings) > before:
        return None
    return MrouteConfig(group=group, source=source, iif=iif, oifs=tuple(oifs.items()), netns=target)


def _iif(section: Section, draft: Draft) -> str | None:
    """`iif`: a device, or "@NETNS" for what crosses from there; then with the path that counts from the top."""
    name = section.get("iif", str)
    if name is None or not name.startswith("@"):
        return draft.device(section, "iif", lo=False)
    try:
        return "@" + resolve(draft.path, name[1:])
    except ValueError as error:
        section.wrong("iif", str(error))
        return None


def _oifs(section: Section, draft: Draft, iif: str | None) -> dict[str, int]:
    """`oifs`: devices, or tables of a device and the TTL that a packet has to exceed."""
    found: dict[str, int] = {}
    for index, value in enumerate(section.array("oifs")):
        where = (*section.path, "oifs", index)
        ttl, name = 0, value
        if isinstance(value, dict):
            entry = table(section.findings, where, value)
            assert entry is not None
            entry.keys(OIF_KEYS)
            entry.required("dev", "a device by which it goes on")
            name, ttl, where = entry.get("dev", str), entry.number("ttl", 0, MAX_TTL, 0), entry.at("dev")
        elif not isinstance(value, str):
            section.findings.at_value(where, f"must be a string or a table, not {noun(value)}")
            continue
        if name is None or not draft.knows(section, where, name, lo=False):
            continue
        if name in found or name == iif:
            section.findings.at_value(where, f"{name!r} stands there twice")
        found[name] = ttl
    if len(found) > MAX_OIFS:
        section.wrong("oifs", f"a multicast route has at most {MAX_OIFS} ways")
    return found


def _multicast(section: Section, draft: Draft) -> MulticastConfig:
    """`[netns.NAME.multicast]`."""
    section.keys(MULTICAST_KEYS)
    mdns = draft.devices_of(section, "mdns")
    written: Any = section.table.get("mdns")
    if isinstance(written, list) and len(written) == 1:
        section.wrong("mdns", "multicast DNS crosses between two devices at least")
    return MulticastConfig(proxy=_proxy(section, draft), querier=draft.devices_of(section, "querier"), mdns=mdns)


def _proxy(section: Section, draft: Draft) -> ProxyConfig | None:
    """`proxy`: one device towards the sources, others towards the listeners."""
    entry = section.child("proxy")
    if entry is None:
        return None
    entry.keys(PROXY_KEYS)
    whole = entry.required("upstream", "the device towards the sources")
    whole &= entry.required("downstream", "the devices towards the listeners")
    upstream = draft.device(entry, "upstream", lo=False)
    downstream = draft.devices_of(entry, "downstream")
    if upstream is not None and upstream in downstream:
        entry.wrong("upstream", f"{upstream!r} is downstream, too")
    elif entry.table.get("downstream") == []:
        entry.wrong("downstream", "a proxy has one device downstream at least")
    elif len(downstream) > MAX_OIFS:
        entry.wrong("downstream", f"a proxy has at most {MAX_OIFS} devices downstream")
    if not whole or upstream is None or not downstream:
        return None
    return ProxyConfig(upstream=upstream, downstream=downstream)
