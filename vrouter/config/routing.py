"""Routes, rules and next-hop objects of a namespace: `[[netns.NAME.route]]`, `.rule`, `.nexthop`, and `routes_file`."""

from typing import Any, Final

from vrouter.config import routes_file, values
from vrouter.config.devices import netns_name
from vrouter.config.draft import Draft
from vrouter.config.findings import Path, Refused, choices, key_text
from vrouter.config.records import (
    TABLE_MAIN,
    HopConfig,
    Network,
    NextHopConfig,
    RouteConfig,
    RouteType,
    RuleConfig,
    RuleType,
)
from vrouter.config.section import Section, noun
from vrouter.config.ways import destinations, next_hop, own_source, table_of
from vrouter.stack.base.addresses import BITS, V4, V6, is_link_local6

ROUTE_TYPES: Final[tuple[RouteType, ...]] = ("unicast", "blackhole", "unreachable", "prohibit", "throw")
RULE_TYPES: Final[tuple[RuleType, ...]] = ("unicast", "blackhole", "unreachable", "prohibit", "nop")
FAMILIES: Final = {"inet": V4, "inet6": V6}
ROUTE_KEYS: Final = (
    "to",
    "via",
    "dev",
    "metric",
    "table",
    "type",
    "netns",
    "src",
    "mtu",
    "advmss",
    "onlink",
    "nexthops",
    "nhid",
)
HOP_KEYS: Final = ("via", "dev", "weight", "onlink")
RULE_KEYS: Final = (
    "priority",
    "from",
    "to",
    "iif",
    "oif",
    "mark",
    "tos",
    "table",
    "type",
    "goto",
    "invert",
    "suppress_prefixlength",
    "family",
)
NEXTHOP_KEYS: Final = ("id", "via", "dev", "onlink", "group", "blackhole", "family")
MEMBER_KEYS: Final = ("id", "weight")
MIN_MTU: Final = {V4: 68, V6: 1280}
MAX_MTU: Final = 65535
MAX_NUMBER: Final = 0xFFFFFFFF
MAX_HOPS: Final = 256
MAX_WEIGHT: Final = 256
MAIN_PRIORITY: Final = 32766
TABLE_LOCAL: Final = 255
_DEFAULT_TABLES: Final = (TABLE_MAIN, 253, TABLE_LOCAL)
_SLOTS: Final = (0, MAIN_PRIORITY, 32767)


def read(section: Section, draft: Draft, directory: str) -> None:
    """Everything about routes in `[netns.NAME]`. Next-hop objects come first: routes name them."""

    def entries(key: str) -> list[tuple[int, Section]]:
        return list(section.tables(key, f"write [[{key_text((*section.path, key))}]]"))

    groups = []
    for _, entry in entries("nexthop"):
        if "group" in entry:
            groups.append(entry)  # of objects that may stand behind it
        else:
            _nexthop(entry, draft)
    for entry in groups:
        _nexthop(entry, draft)
    for index, entry in entries("route"):
        draft.routes += [(entry.path, record) for record in route(entry, draft, index)]
    _rules([entry for _, entry in entries("rule")], draft)
    draft.routes_file = routes_file.read(section, draft, directory)
    _tables(section, draft)


# -- routes ----------------------------------------------------------------------------------------------------------


def route(section: Section, draft: Draft, index: int) -> list[RouteConfig]:
    """`[[netns.NAME.route]]`, the one with `index`; two for a "default" of both families."""
    section.keys(ROUTE_KEYS)
    kind = section.choice("type", ROUTE_TYPES, "unicast")
    metric = section.number("metric", 0, MAX_NUMBER, 0)
    table = table_of(section, TABLE_MAIN)
    if table == TABLE_LOCAL:
        section.wrong("table", "the routes of table local come with addresses")
    dev = draft.device(section, "dev")
    onlink = section.flag("onlink", False)
    if onlink and ("via" not in section or "dev" not in section):
        section.findings.at_key(section.at("onlink"), "says that via is on the link of dev, so it takes both")
    via, dev = next_hop(section, draft.links, dev, onlink=onlink)
    if via is not None and dev is not None and "dev" not in section and not _zone_known(section, draft, dev):
        dev = None
    hops = _hops(section, draft)
    target = netns_name(section, "netns", draft.path)
    if target == draft.path:
        section.wrong("netns", f"{draft.path!r} is this namespace itself")
    elif target is not None:
        draft.crossings.append((section.at("netns"), target))
    src = own_source(section, draft.links)
    nhid, family = _object(section, draft)
    _ways(section, kind)
    told = (via, next((hop.via for hop in hops if hop.via is not None), None), src)
    found = destinations(section, draft.links, told, table, metric, f"the destination of route[{index}]", family)
    for to in found:
        if to.version == V6 and to.prefixlen >= 10 and is_link_local6(int(to.network_address)) and dev is None:
            section.wrong("to", f"'{to}' is link-local, so dev has to be given")
    low = max((MIN_MTU[to.version] for to in found), default=MIN_MTU[V4])
    mtu = section.number("mtu", low, MAX_MTU, 0)
    advmss = section.number("advmss", 0, MAX_MTU, 0)
    if kind == "unicast" and table == TABLE_MAIN and dev not in (None, "lo") and "via" not in section:
        for to in found:
            assert dev is not None
            draft.links.connect(to, dev)
    return [
        RouteConfig(
            to=to,
            via=via,
            dev=dev,
            metric=metric,
            table=table,
            type=kind,
            netns=target,
            src=src,
            mtu=mtu,
            advmss=advmss,
            onlink=onlink,
            nexthops=tuple(hops),
            nhid=nhid,
        )
        for to in found
    ]


def _zone_known(section: Section, draft: Draft, dev: str) -> bool:
    return draft.knows(section, section.at("via"), dev, lo=False)


def _ways(section: Section, kind: RouteType) -> None:
    """A route leads somewhere, and in one way only."""
    ways = [key for key in ("via", "dev", "nexthops", "nhid", "netns") if key in section]
    kinds = [key for key in ("nexthops", "nhid", "netns") if key in section]
    if kind != "unicast":
        for key in ways:
            section.findings.at_key(section.at(key), f"a route of type {kind!r} leads nowhere, so it has no {key}")
    elif "netns" in section:
        for key in ways[:-1]:
            section.findings.at_key(section.at(key), f"a route into another namespace has no {key}: its routes decide")
    elif kinds and len(ways) > 1:
        for key in ways:
            if key != kinds[0]:
                section.findings.at_key(section.at(key), f"a route by {kinds[0]} has no {key} besides")
    elif not ways and section.table.get("type", kind) == kind:
        hint = f"or type = {choices(ROUTE_TYPES[1:])}"
        section.findings.at_value(section.path, "a route needs via, dev or netns", hint)


def _hops(section: Section, draft: Draft) -> list[HopConfig]:
    """`nexthops` of a route."""
    found: list[HopConfig] = []
    for _, entry in section.tables("nexthops", "write nexthops = [{ via = …, dev = …, weight = … }]"):
        entry.keys(HOP_KEYS)
        dev = draft.device(entry, "dev")
        onlink = entry.flag("onlink", False)
        via, dev = next_hop(entry, draft.links, dev, onlink=onlink)
        weight = entry.number("weight", 1, MAX_WEIGHT, 1)
        if "via" not in entry and "dev" not in entry:
            entry.findings.at_value(entry.path, "a next hop needs via or dev")
            continue
        if onlink and ("via" not in entry or "dev" not in entry):
            entry.findings.at_key(entry.at("onlink"), "says that via is on the link of dev, so it takes both")
        other = next((hop.via for hop in found if hop.via is not None and via is not None), None)
        if other is not None and via is not None and other.version != via.version:
            entry.wrong("via", f"'{via}' is of another family than the route's first next hop")
            continue
        found.append(HopConfig(via=via, dev=dev, weight=weight, onlink=onlink))
    if "nexthops" in section and isinstance(section.table["nexthops"], list):
        if not section.table["nexthops"]:
            section.wrong("nexthops", "a route needs one next hop at least")
        elif len(found) > MAX_HOPS:
            section.wrong("nexthops", f"a route has at most {MAX_HOPS} next hops")
    return found


def _object(section: Section, draft: Draft) -> tuple[int | None, int]:
    """`nhid` of a route, and the family of the object that it names."""
    nhid = section.optional_number("nhid", 1, MAX_NUMBER)
    if nhid is None:
        return None, 0
    if nhid not in draft.nexthops:
        section.wrong("nhid", f"there is no nexthop {nhid}", _ids(draft))
        return nhid, 0
    found = draft.nexthops[nhid]
    return nhid, 0 if found is None or found.blackhole else found.family


def _ids(draft: Draft) -> str:
    return "there are " + ", ".join(map(str, sorted(draft.nexthops)[:5])) if draft.nexthops else ""


# -- next-hop objects ------------------------------------------------------------------------------------------------


def _nexthop(section: Section, draft: Draft) -> None:
    """`[[netns.NAME.nexthop]]`."""
    findings = section.findings
    before = len(findings)
    section.keys(NEXTHOP_KEYS)
    section.required("id", "the number by which routes name it")
    number = section.number("id", 1, MAX_NUMBER, 0)
    family = _family(section)
    dev = draft.device(section, "dev")
    onlink, blackhole = section.flag("onlink", False), section.flag("blackhole", False)
    via, dev = next_hop(section, draft.links, dev, onlink=onlink)
    group = _group(section, draft)
    ways = ("via" in section or "dev" in section) + ("group" in section) + blackhole
    if ways != 1:
        findings.at_value(section.path, "a nexthop is one of via or dev, group, and blackhole")
    if onlink and ("via" not in section or "dev" not in section):
        findings.at_key(section.at("onlink"), "says that via is on the link of dev, so it takes both")
    of = via.version if via is not None else family or V4
    if via is not None and family not in (0, of):
        section.wrong("family", f"'{via}' is of another family")
    for member, _ in group:
        found = draft.nexthops.get(member)
        of = found.family if found is not None else of
    if not number:
        return
    if number in draft.nexthops:
        section.wrong("id", f"there is a nexthop {number} already")
        return
    record = None
    if len(findings) == before:
        record = NextHopConfig(
            id=number, family=V4 if of == V4 else V6, via=via, dev=dev, onlink=onlink, group=group, blackhole=blackhole
        )
    draft.nexthops[number] = record


def _group(section: Section, draft: Draft) -> tuple[tuple[int, int], ...]:
    """`group` of a next-hop object: (id, weight) of each member."""
    found: dict[int, int] = {}
    family = 0
    entries = list(section.tables("group", "write group = [{ id = …, weight = … }]"))
    for _, entry in entries:
        entry.keys(MEMBER_KEYS)
        entry.required("id", "the member's number")
        number, weight = entry.number("id", 1, MAX_NUMBER, 0), entry.number("weight", 1, MAX_WEIGHT, 1)
        if not number:
            continue
        member = draft.nexthops.get(number)
        if number not in draft.nexthops:
            entry.wrong("id", f"there is no nexthop {number}", _ids(draft))
        elif number in found:
            entry.wrong("id", f"nexthop {number} is given twice")
        elif member is not None and member.group:
            entry.wrong("id", f"nexthop {number} is a group itself")
        elif member is not None and member.blackhole and len(entries) > 1:
            entry.wrong("id", f"nexthop {number} is a blackhole, which stands alone in its group")
        elif member is not None and family not in (0, member.family):
            entry.wrong("id", f"nexthop {number} is of another family than the first")
        else:
            family = family or (member.family if member is not None else 0)
            found[number] = weight
    if "group" in section and not entries and isinstance(section.table["group"], list):
        section.wrong("group", "a group needs one member at least")
    return tuple(found.items())


def _family(section: Section) -> int:
    """`family`, 0 when it is not given."""
    name = section.optional_choice("family", tuple(FAMILIES))
    return 0 if name is None else FAMILIES[name]


# -- rules -----------------------------------------------------------------------------------------------------------


def _rules(entries: list[Section], draft: Draft) -> None:
    """`[[netns.NAME.rule]]`. Those without a priority come right before the main table, in the file's order."""
    free = [entry for entry in entries if "priority" not in entry]
    implied = {entry.path: MAIN_PRIORITY - len(free) + at for at, entry in enumerate(free)}
    known: dict[RuleConfig, Path] = {}
    for entry in entries:
        for rule in _rule(entry, draft, implied.get(entry.path, 0)):
            if rule in known:
                entry.findings.at_value(entry.path, f"is the same as {key_text(known[rule])}")
                break
            known[rule] = entry.path
            draft.rules.append((entry.path, rule))
    slots = {rule.priority for rule in known} | set(_SLOTS)
    for path, rule in draft.rules:
        if rule.goto is not None and rule.goto not in slots:
            section = next(entry for entry in entries if entry.path == path)
            section.findings.warn(
                section.at("goto"), f"there is no rule with priority {rule.goto}: it goes on behind it"
            )


def _rule(section: Section, draft: Draft, implied: int) -> list[RuleConfig]:
    """One rule; two where no address and no `family` tells of which family it is."""
    before = len(section.findings)
    section.keys(RULE_KEYS)
    priority = section.number("priority", 0, MAX_NUMBER, implied)
    ends: list[Network | None] = [_end(section, key) for key in ("from", "to")]
    family = _family(section)
    for key, end in zip(("from", "to"), ends, strict=True):
        if end is not None:
            if family not in (0, end.version):
                section.wrong(key, f"'{end}' is of another family than the rest of the rule")
            family = end.version
    iif, oif = (_named_device(section, draft, key) for key in ("iif", "oif"))
    tos = section.number("tos", 0, 255, 0)
    if tos & 3:
        section.wrong("tos", "the two low bits belong to ECN")
    kind = section.choice("type", RULE_TYPES, "unicast")
    goto = section.optional_number("goto", 0, MAX_NUMBER)
    if goto is not None and goto <= priority:
        section.wrong("goto", f"leads further down, to a priority above {priority}")
    table = table_of(section, TABLE_MAIN) if "table" in section else None
    for key, other in (("table", "goto"), ("table", "type"), ("goto", "type")):
        if key in section and other in section and not (other == "type" and kind == "unicast" and key == "table"):
            section.findings.at_key(section.at(key), f"a rule with {other} has no {key}")
            break
    if not any(key in section for key in ("table", "goto", "type")):
        section.findings.at_value(section.path, "a rule needs table, goto or type", f"{choices(RULE_TYPES[1:])}")
    suppress = section.optional_number("suppress_prefixlength", 0, BITS[family or V6])
    invert = section.flag("invert", False)
    mark = _mark(section)
    if len(section.findings) > before:
        return []
    return [
        RuleConfig(
            family=of,
            priority=priority,
            source=ends[0],
            destination=ends[1],
            iif=iif,
            oif=oif,
            mark=mark,
            tos=tos,
            table=table,
            type=kind,
            goto=goto,
            invert=invert,
            suppress_prefixlength=suppress,
        )
        for of in ((4, 6) if not family else (4,) if family == V4 else (6,))
    ]


def _end(section: Section, key: str) -> Network | None:
    """`from` or `to` of a rule; everything is as good as nothing, but for its family."""
    if section.table.get(key) in ("all", "default"):
        return None
    return section.parsed(key, values.prefix)


def _named_device(section: Section, draft: Draft, key: str) -> str | None:
    """`iif` or `oif`: a rule may wait for a device that comes later, or name one that comes from another namespace."""
    name = section.get(key, str)
    if name is None or name.startswith("@"):
        return name
    try:
        values.device_name(name)
    except Refused as refused:
        section.wrong(key, refused.message)
        return None
    if draft.known is not None and name not in draft.known:
        hint = section.findings.suggest(name, sorted(draft.known))
        section.findings.warn(section.at(key), f"there is no device {name!r} in {draft.path!r} (yet)", hint)
    return name


def _mark(section: Section) -> str | None:
    """`mark`: a number, or "NUMBER/MASK"."""
    given: Any = section.table.get("mark")
    if given is None:
        return None
    if isinstance(given, bool) or not isinstance(given, int | str):
        section.wrong("mark", f"must be a string or an integer, not {noun(given)}")
        return None
    for text in str(given).split("/", 1):
        try:
            fits = 0 <= int(text, 0) <= MAX_NUMBER
        except ValueError:
            fits = False
        if not fits:
            section.wrong("mark", f"{given!r} is no mark", 'a number of 32 bits, or "0x1/0xff"')
            return None
    return str(given)


def _tables(section: Section, draft: Draft) -> None:
    """A table without routes and one that no rule asks are hardly meant."""
    filled = {record.table for _, record in draft.routes} | draft.file_tables
    for path, rule in draft.rules:
        if rule.table is not None and rule.table not in filled and rule.table not in _DEFAULT_TABLES:
            section.findings.warn((*path, "table"), f"no route is in table {rule.table}")
    asked = {rule.table for _, rule in draft.rules}
    for path, record in draft.routes:
        if record.table not in asked and record.table not in _DEFAULT_TABLES:
            section.findings.warn((*path, "table"), f"no rule asks table {record.table}")
