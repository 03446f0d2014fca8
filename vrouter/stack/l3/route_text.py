"""Routes as text: lines of ``ip -batch``.

A line is ``[route] add|append|replace [TYPE] PREFIX …`` or, without the words in front, ``[TYPE] PREFIX …`` as
``ip route show`` prints them; ``#`` starts a comment. `split_line` finds out what is to be done with which prefix;
`parse_tail` says what the rest means. Full tables repeat few tails, so whoever reads many lines keeps what
`parse_tail` found.

What Linux knows and this stack does not (TCP metrics, tunnels, realms) is refused, not ignored.
"""

from __future__ import annotations

from typing import Any, Final

from vrouter.stack.l3.fib import TABLE_NAMES

TYPES: Final = ("unicast", "blackhole", "unreachable", "prohibit", "throw")
VERBS: Final = ("add", "append", "replace")
PROTOCOLS: Final = frozenset(
    "static boot dhcp gated mrt zebra bird dnrouted xorp ntk keepalived babel bgp isis ospf rip eigrp".split()
)
OF_OTHERS: Final = frozenset({"kernel", "ra", "redirect"})  # who makes them also takes them away
SCOPES: Final = ("global", "link", "site", "host")
_OTHER_TYPES: Final = ("local", "broadcast", "multicast", "anycast", "nat")
_OTHER_VERBS: Final = ("del", "delete", "change", "prepend", "test", "flush", "show", "list", "get", "save", "restore")
_NUMBERS: Final = {"metric": "metric", "preference": "metric", "priority": "metric", "mtu": "mtu", "advmss": "advmss"}
_TABLES: Final = {name: number for number, name in TABLE_NAMES.items()}
_MAX_NUMBER: Final = 0xFFFFFFFF


def split_line(line: str) -> tuple[str, str, str, str] | None:
    """(verb, type, prefix, tail) of a line, None when it says nothing; ValueError. The tail is not looked at."""
    words = line.partition("#")[0].split()
    if not words:
        return None
    verb = "add"
    if words[0] == "route":
        del words[0]
    if words and words[0] in VERBS:
        verb = words.pop(0)
    elif words and words[0] in _OTHER_VERBS:
        raise ValueError(f"{words[0]!r}: a load adds and replaces routes")
    type_ = "unicast"
    if words and words[0] in TYPES:
        type_ = words.pop(0)
    elif words and words[0] in _OTHER_TYPES:
        raise ValueError(f"routes of type {words[0]!r} come with addresses")
    if words and words[0] == "to":
        del words[0]
    if not words:
        raise ValueError("a route without a prefix")
    return verb, type_, words[0], " ".join(words[1:])


def parse_number(text: str, what: str, lowest: int = 0) -> int:
    """A number of 32 bits, decimal or 0x…; ValueError."""
    try:
        value = int(text, 0)
    except ValueError:
        value = -1
    if not lowest <= value <= _MAX_NUMBER:
        raise ValueError(f"{what} {text!r} is not a number of {lowest} to {_MAX_NUMBER}")
    return value


def parse_table(text: str | int) -> int:
    """The number of a routing table, by number or name (main, default, local); ValueError."""
    known = _TABLES.get(str(text))
    return known if known is not None else parse_number(str(text), "table", 1)


def parse_tail(tail: str) -> dict[str, Any]:
    """What stands behind the prefix, as arguments of `Netns.add_route`: via, dev, netns, table, metric, proto, scope,
    src, mtu, advmss, onlink, nhid, nexthops. ValueError."""
    words = tail.split()
    found: dict[str, Any] = {}
    at = 0
    while at < len(words):
        word = words[at]
        at += 1
        if word == "nexthop":
            hop, at = _parse_nexthop(words, at)
            found.setdefault("nexthops", []).append(hop)
            continue
        if word == "onlink":
            found["onlink"] = True
            continue
        if word in ("linkdown", "dead", "pervasive"):  # ip prints them: what is, not what is wanted
            continue
        if at == len(words):
            raise ValueError(f"{word!r} is not known, or has nothing behind it")
        key, at = _parse_pair(word, words, at)
        if key in found:
            raise ValueError(f"{word!r} twice")
        if key:
            found[key] = _value(key, word, words[at - 1])
    return found


def _parse_pair(word: str, words: list[str], at: int) -> tuple[str, int]:
    """(what `word` sets, the place behind its value)."""
    if word == "via":
        return "via", _skip_family(words, at) + 1
    if word in ("dev", "oif"):
        return "dev", at + 1
    if word in ("proto", "protocol"):
        return "proto", at + 1
    if word in ("src", "table", "scope", "nhid", "netns"):
        return word, at + 1
    if word in _NUMBERS:
        if words[at] == "lock" and at + 1 < len(words):
            raise ValueError(f"{word} lock is not supported")
        return _NUMBERS[word], at + 1
    if word == "pref":
        if words[at] != "medium":
            raise ValueError("a preference other than medium is not supported")
        return "", at + 1
    raise ValueError(f"{word!r} is not supported")


def _value(key: str, word: str, text: str) -> str | int:
    if key in ("metric", "mtu", "advmss"):
        return parse_number(text, word)
    if key == "nhid":
        return parse_number(text, word, 1)
    if key == "table":
        return parse_table(text)
    if key == "scope" and text not in SCOPES:
        raise ValueError(f"scope {text!r} is none of {', '.join(SCOPES)}")
    if key == "proto":
        check_protocol(text)
    return text


def check_protocol(name: str) -> None:
    """ValueError unless routes of protocol `name` may be made by hand."""
    if name in OF_OTHERS:
        raise ValueError(f"routes of protocol {name!r} are not made by hand")
    if name not in PROTOCOLS and not (name.isascii() and name.isdigit() and int(name) <= 255):
        raise ValueError(f"no routing protocol {name!r}")


def _skip_family(words: list[str], at: int) -> int:
    if words[at] in ("inet", "inet6"):
        at += 1
        if at == len(words):
            raise ValueError("'via' without an address")
    return at


def _parse_nexthop(words: list[str], at: int) -> tuple[dict[str, Any], int]:
    hop: dict[str, Any] = {}
    while at < len(words) and words[at] != "nexthop":
        word = words[at]
        at += 1
        if word == "onlink":
            hop["onlink"] = True
            continue
        if word in ("linkdown", "dead"):
            continue
        if word not in ("via", "dev", "weight"):
            raise ValueError(f"{word!r} in a nexthop is not supported")
        if at == len(words):
            raise ValueError(f"{word!r} has nothing behind it")
        if word == "via":
            at = _skip_family(words, at)
        hop[word] = parse_number(words[at], word, 1) if word == "weight" else words[at]
        at += 1
    if not hop:
        raise ValueError("a nexthop without via or dev")
    return hop, at
