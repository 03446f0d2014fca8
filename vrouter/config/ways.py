"""What every route says, wherever it stands: where it leads to, by which next hop, from which address."""

from typing import Final

from vrouter.config import values
from vrouter.config.findings import Refused
from vrouter.config.nexthop import Links
from vrouter.config.records import Address, Network
from vrouter.config.section import Section, noun
from vrouter.stack.base.addresses import V4, V6

METRIC6: Final = 1024  # what Linux gives an IPv6 route without one
_EVERYTHING: Final = {V4: "0.0.0.0/0", V6: "::/0"}


def destinations(
    section: Section,
    links: Links,
    family_of: tuple[Address | None, Address | None, Address | None],
    table: int,
    metric: int,
    name: str,
    family: int = 0,
) -> list[Network]:
    """`to` of a route: one prefix, or of "default" one of each family, unless one of `family_of` (the addresses in via,
    nexthops and src) or `family` (that of nhid) tells which. Nothing when it cannot be; `name` names the route in
    messages."""
    if not section.required("to", "the prefix that the route leads to"):
        return []
    told = next((one.version for one in family_of if one is not None), family)
    if section.table.get("to") == "default":
        found = [values.prefix(text) for of, text in _EVERYTHING.items() if told in (0, of)]
    else:
        to = section.parsed("to", values.prefix)
        if to is None:
            return []
        found = [to]
    for key, one in zip(("via", "nexthops", "src"), family_of, strict=False):
        if one is not None and one.version != found[0].version:
            section.wrong(key, f"'{one}' is of IPv{one.version}, and the route of IPv{found[0].version}")
            return []
    if family and found[0].version != family:
        section.wrong("nhid", f"is of IPv{family}, and the route of IPv{found[0].version}")
        return []
    for to in found:
        number = metric or (METRIC6 if to.version == V6 else 0)
        if not links.claim_route(section.findings, section.at("to"), to, table, number, name):
            return []  # one report is enough for what is said once
    return found


def next_hop(
    section: Section, links: Links, dev: str | None, *, onlink: bool = False, link: str | None = None
) -> tuple[Address | None, str | None]:
    """(`via`, its device): the zone of a link-local one names the device, unless `dev` does, or there is but one, the
    `link`."""
    found = section.parsed("via", values.gateway)
    if found is None:
        return None, dev
    via, zone = found
    if zone and dev is not None and zone != dev:
        section.wrong("via", f"its zone is {zone!r}, and the device {dev!r}")
        return None, dev
    dev = dev or zone or (link if via.is_link_local and via.version == V6 else None)
    links.check(section.findings, section.at("via"), via, dev, onlink=onlink)
    return via, dev


def own_source(section: Section, links: Links) -> Address | None:
    """`src`: an address of this side."""
    src = section.parsed("src", values.source)
    if src is not None and links.complete and not links.is_own(src):
        own = [str(type(src)(address)) for family, address, _ in links.own if family == src.version]
        section.wrong("src", f"'{src}' is no address of this side", section.findings.suggest(str(src), own))
    return src


def table_of(section: Section, default: int) -> int:
    """`table`, by its name or its number."""
    name = section.table.get("table", default)
    if isinstance(name, bool) or not isinstance(name, int | str):
        section.wrong("table", f"must be a string or an integer, not {noun(name)}")
        return default
    try:
        return values.table(name)
    except Refused as refused:
        section.wrong("table", refused.message, refused.hint)
        return default
