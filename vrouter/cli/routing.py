"""Verbs for routes, rules, next-hop objects and multicast, in ip(8)'s words."""

from __future__ import annotations

import sys
from typing import Any, BinaryIO, Final

from vrouter.cli.arguments import Arguments, key_values, number
from vrouter.cli.client import decoded, refused, target
from vrouter.cli.connect import client_of, netns_of
from vrouter.cli.failure import USAGE, Failure, did_you_mean, usage
from vrouter.cli.ip_text import route_answer
from vrouter.cli.show import listed
from vrouter.cli.words import chosen, done, family_of, first, nothing_more, numbered, switched

_TYPES: Final = ("unicast", "blackhole", "unreachable", "prohibit", "throw")
_ADD_KEYS: Final = ("via", "dev", "netns", "metric", "table", "mtu", "advmss", "src", "nhid", "proto", "scope")
_DEL_KEYS: Final = ("via", "dev", "netns", "metric", "table", "nhid", "proto")
_OTHER_WORDS: Final = {"protocol": "proto", "preference": "metric", "priority": "metric"}
_ROUTE_NUMBERS: Final = ("metric", "mtu", "advmss", "nhid")
_RULE_KEYS: Final = ("from", "to", "iif", "oif", "mark", "tos", "priority", "table", "goto", "suppress_prefixlength")
_RULE_WORDS: Final = {
    "fwmark": "mark", "dsfield": "tos", "pref": "priority", "preference": "priority", "order": "priority",
    "lookup": "table",
}  # fmt: skip
_RULE_ACTIONS: Final = ("blackhole", "unreachable", "prohibit", "nop")
_HOP_KEYS: Final = ("via", "dev", "weight")


def _in_words(words: list[str], others: dict[str, str]) -> list[str]:
    """``KEY VALUE …`` with one word for a key that ip(8) has several for."""
    return [word if at % 2 else others.get(word, word) for at, word in enumerate(words)]


def _cut(words: list[str], flag: str) -> tuple[bool, list[str]]:
    """Whether a word that has no value is there, and the others."""
    return flag in words, [word for word in words if word != flag]


# -- routes -----------------------------------------------------------------------------------------------------------


def route(arguments: Arguments) -> int:
    """route add | append | replace | del | get | load | list."""
    actions = ("add", "append", "replace", "del", "get", "load", "list")
    action, words = chosen(arguments, actions, ("flush", "change"))
    if arguments.has("replace") and action != "load":
        raise usage("--replace belongs to `route load`; one route is replaced by `route replace`")
    if action == "list":
        return listed(arguments, "routes", words)
    if action == "get":
        return _get(arguments, words)
    if action == "load":
        return _load(arguments, words)
    kind = "unicast"
    if words and words[0] in _TYPES:
        kind, *words = words
    to, words = first(arguments, words, 'a prefix, or "default"')
    if to == "default" and family_of(arguments) is not None:
        to = "::/0" if family_of(arguments) == 6 else "0.0.0.0/0"
    if action == "del":
        return _delete(arguments, kind, to, words)
    body = {"to": to, "type": kind, **_route_keys(words)}
    if action == "replace":
        body["replace"] = True
    client = client_of(arguments)
    ns = netns_of(arguments, client)
    return done(arguments, client.ask("POST", target("v1", "netns", ns, "routes"), body))


def _route_keys(words: list[str]) -> dict[str, Any]:
    """What stands behind a prefix; ``nexthop`` begins one of several ways, and all that follow."""
    at = words.index("nexthop") if "nexthop" in words else len(words)
    onlink, plain = _cut(words[:at], "onlink")
    keys: dict[str, Any] = dict(key_values(_in_words(plain, _OTHER_WORDS), _ADD_KEYS))
    _zone_as_device(keys)
    numbered(keys, _ROUTE_NUMBERS)
    if onlink:
        keys["onlink"] = True
    if at < len(words):
        keys["nexthops"] = _hops(words[at:])
    return keys


def _zone_as_device(keys: dict[str, Any]) -> None:
    """``via fe80::1%lan`` is ``via fe80::1 dev lan`` (RFC 4007 11.2)."""
    via, mark, zone = keys.get("via", "").partition("%")
    if mark and zone and via.lower().startswith("fe80:"):
        if keys.setdefault("dev", zone) != zone:
            raise usage(f"the zone of {keys['via']} is {zone!r}, and dev is {keys['dev']!r}")
        keys["via"] = via


def _hops(words: list[str]) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    starts = [at for at, word in enumerate(words) if word == "nexthop"]
    for at, end in zip(starts, [*starts[1:], len(words)], strict=True):
        onlink, plain = _cut(words[at + 1 : end], "onlink")
        hop: dict[str, Any] = dict(key_values(plain, _HOP_KEYS))
        _zone_as_device(hop)
        numbered(hop, ("weight",), 1, 256)
        if not hop.keys() & {"via", "dev"}:
            raise usage("a nexthop needs via or dev: nexthop via A [dev D] [weight N]")
        found.append(hop | ({"onlink": True} if onlink else {}))
    return found


def _delete(arguments: Arguments, kind: str, to: str, words: list[str]) -> int:
    keys: dict[str, Any] = dict(key_values(_in_words(words, _OTHER_WORDS), _DEL_KEYS))
    keys.pop("proto", None)  # ip(8) takes it; here a route that has the rest is the one
    _zone_as_device(keys)
    numbered(keys, ("metric", "nhid"))
    client = client_of(arguments)
    ns = netns_of(arguments, client)
    type_ = None if kind == "unicast" else kind
    return done(arguments, client.ask("DELETE", target("v1", "netns", ns, "routes", to=to, type=type_, **keys)))


def _get(arguments: Arguments, words: list[str]) -> int:
    to, words = first(arguments, words, "an address")
    keys: dict[str, Any] = dict(key_values(_in_words(words, {"fwmark": "mark"}), ("from", "iif", "oif", "mark")))
    numbered(keys, ("mark",))
    client = client_of(arguments)
    ns = netns_of(arguments, client)
    data = client.ask("GET", target("v1", "netns", ns, "route", to=to, **keys))
    return done(arguments, data, lambda row: route_answer(to, row, keys))


def _load(arguments: Arguments, words: list[str]) -> int:
    name, words = first(arguments, words, "a file with routes, or - for standard input")
    nothing_more(words)
    client = client_of(arguments)
    ns = netns_of(arguments, client)
    replace = "true" if arguments.has("replace") else None
    file = _opened(name)
    try:
        answer = client.upload(target("v1", "netns", ns, "routes", "load", replace=replace), file, "text/plain")
    finally:
        if name != "-":
            file.close()
    with answer:
        data = answer.body()
    if answer.status >= 400:
        _complain(arguments, name, data)
        raise refused(answer.status, data)
    return done(arguments, data, _loaded)


def _opened(name: str) -> BinaryIO:
    if name == "-":
        return sys.stdin.buffer
    try:
        return open(name, "rb")
    except OSError as error:
        raise Failure(USAGE, f"{name} cannot be read: {(error.strerror or str(error)).lower()}", "ENOENT") from None


def _complain(arguments: Arguments, name: str, data: bytes) -> None:
    """Say what is wrong in which line, each in a line of its own; then the end."""
    found = decoded(data)
    problems = found.get("problems") if isinstance(found, dict) else None
    if not problems or arguments.has("json"):
        return
    for one in problems:
        place = f"{name}:{one['line']}: " if one["line"] else f"{name}: "
        print(f"{place}{one['text']}", file=sys.stderr)
    raise Failure(USAGE, f"{name}: nothing was loaded, and nothing changed", "EINVAL")


def _loaded(row: dict[str, Any]) -> str:
    seconds = row["time_ns"] / 1e9
    how = " in the place of those that were there" if row["replace"] else ""
    return f"{row['routes']} routes loaded into {row['netns']} in {seconds:.2f} s{how}"


# -- rules ------------------------------------------------------------------------------------------------------------


def rule(arguments: Arguments) -> int:
    """rule add | del | list."""
    action, words = chosen(arguments, ("add", "del", "list"), ("flush", "replace"))
    if action == "list":
        return listed(arguments, "rules", words)
    selectors = _selectors(words)
    family = family_of(arguments)
    if family is not None:
        selectors["family"] = "inet" if family == 4 else "inet6"
    if not selectors:
        raise usage(f"rule {action} which? [from P] [to P] [iif D] [mark M] … table T, goto N or {_RULE_ACTIONS[0]} …")
    client = client_of(arguments)
    place = "v1", "netns", netns_of(arguments, client), "rules"
    if action == "add":
        return done(arguments, client.ask("POST", target(*place), selectors))
    if "invert" in selectors:
        selectors["invert"] = "true"
    return done(arguments, client.ask("DELETE", target(*place, **selectors)))


def _selectors(words: list[str]) -> dict[str, Any]:
    invert, words = _cut(words, "not")
    actions = [word for at, word in enumerate(words) if word in _RULE_ACTIONS and words[at - 1 : at] != ["table"]]
    if len(actions) > 1:
        raise usage(f"a rule does one thing: {actions[0]} or {actions[1]}")
    plain = [word for word in words if word not in actions]
    keys: dict[str, Any] = dict(key_values(_in_words(plain, _RULE_WORDS), _RULE_KEYS))
    numbered(keys, ("priority", "goto", "suppress_prefixlength"))
    if actions:
        keys["action"] = actions[0]
    if invert:
        keys["invert"] = True
    return keys


# -- next-hop objects -------------------------------------------------------------------------------------------------


def nexthop(arguments: Arguments) -> int:
    """nexthop add | del | replace | list."""
    action, words = chosen(arguments, ("add", "del", "replace", "list"), ("flush", "get"))
    if action == "list":
        return listed(arguments, "nexthops", words)
    blackhole, words = _cut(words, "blackhole")
    onlink, words = _cut(words, "onlink")
    keys: dict[str, Any] = dict(key_values(words, ("id", "via", "dev", "group") if action != "del" else ("id",)))
    _zone_as_device(keys)
    numbered(keys, ("id",), 1)
    if action in ("del", "replace") and "id" not in keys:
        raise usage(f"nexthop {action} needs its number: id N")
    client = client_of(arguments)
    place = "v1", "netns", netns_of(arguments, client), "nexthops"
    if action == "del":
        return done(arguments, client.ask("DELETE", target(*place, id=keys["id"])))
    if "group" in keys:
        keys["group"] = _group(keys["group"])
    for flag, given in (("blackhole", blackhole), ("onlink", onlink), ("replace", action == "replace")):
        if given:
            keys[flag] = True
    family = family_of(arguments)
    if family is not None:
        keys["family"] = "inet" if family == 4 else "inet6"
    return done(arguments, client.ask("POST", target(*place), keys))


def _group(text: str) -> list[dict[str, int]]:
    """ip-nexthop(8)'s ``ID[,WEIGHT]/ID[,WEIGHT]/…``."""
    found = []
    for part in text.split("/"):
        id_, comma, weight = part.partition(",")
        member = {"id": number(id_, "the number of a nexthop in a group", 1, 2**32 - 1)}
        if comma:
            member["weight"] = number(weight, "the weight of a nexthop in a group", 1, 256)
        found.append(member)
    return found


# -- multicast --------------------------------------------------------------------------------------------------------


def mroute(arguments: Arguments) -> int:
    """mroute add | del | list."""
    action, words = chosen(arguments, ("add", "del", "list"))
    if action == "list":
        return listed(arguments, "mroutes", words)
    group, words = first(arguments, words, "a group")
    keys = key_values(words, ("from", "iif", "oifs", "netns") if action == "add" else ("from",))
    client = client_of(arguments)
    if action == "del":
        place = "v1", "netns", netns_of(arguments, client), "mroutes"
        return done(arguments, client.ask("DELETE", target(*place, group=group, source=keys.get("from"))))
    if "iif" not in keys or not keys.keys() & {"oifs", "netns"}:
        raise usage("mroute add needs where packets come in and go out: iif D oifs D,D[:TTL]… or netns NS")
    body: dict[str, Any] = {"group": group, "iif": keys["iif"], "oifs": _ways(keys.get("oifs", ""))}
    if "from" in keys:
        body["source"] = keys["from"]
    if "netns" in keys:
        body["netns"] = keys["netns"]
    ns = netns_of(arguments, client)
    return done(arguments, client.ask("POST", target("v1", "netns", ns, "mroutes"), body))


def _ways(text: str) -> list[Any]:
    found: list[Any] = []
    for part in text.split(",") if text else ():
        dev, colon, ttl = part.rpartition(":")
        found.append({"dev": dev, "ttl": number(ttl, "a TTL threshold", 0, 255)} if colon else part)
    return found


def multicast(arguments: Arguments) -> int:
    """multicast querier | proxy | mdns | show."""
    what, words = chosen(arguments, ("querier", "proxy", "mdns", "show"))
    if what == "show":
        return listed(arguments, "queriers", words)
    if what == "querier":
        return _querier(arguments, words)
    names, words = first(arguments, words, "devices, or none")
    body: dict[str, Any]
    if what == "mdns":
        body = {"mdns": [] if names == "none" else names.split(",")}
    elif names == "none":
        body = {"proxy": None}
    else:
        downstream, words = first(arguments, words, "the devices downstream: multicast proxy UPSTREAM DOWN,DOWN…")
        body = {"proxy": {"upstream": names, "downstream": downstream.split(",")}}
    nothing_more(words)
    client = client_of(arguments)
    ns = netns_of(arguments, client)
    return done(arguments, client.ask("PATCH", target("v1", "netns", ns, "multicast"), body))


def _querier(arguments: Arguments, words: list[str]) -> int:
    dev, words = first(arguments, words, "a device")
    state, words = first(arguments, words, "on or off")
    wanted = switched(state, "querier")
    protocols = tuple(words) or ("igmp", "mld")
    for protocol in protocols:
        if protocol not in ("igmp", "mld"):
            raise usage(f"{protocol!r} asks nobody ({did_you_mean(protocol, ('igmp', 'mld'))})")
    client = client_of(arguments)
    place = "v1", "netns", netns_of(arguments, client), "devices", dev, "querier"
    return done(arguments, client.ask("PATCH", target(*place), dict.fromkeys(protocols, wanted)))
