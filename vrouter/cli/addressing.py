"""Verbs for addresses, neighbours, memberships of groups, and router advertisements."""

from __future__ import annotations

from typing import Any, Final

from vrouter.cli.arguments import Arguments, key_values
from vrouter.cli.client import target
from vrouter.cli.connect import client_of, netns_of
from vrouter.cli.failure import did_you_mean, usage
from vrouter.cli.show import listed
from vrouter.cli.words import chosen, done, family_of, first, needed, numbered, switched

_RA_NUMBERS: Final = (
    "lifetime", "reachable", "retrans", "hop_limit", "mtu", "rdnss_lifetime", "min_interval", "max_interval",
)  # fmt: skip
_RA_KEYS: Final = ("prefixes", "routes", "rdnss", "dnssl", "pref64", "preference", "managed", "other", *_RA_NUMBERS)


def address(arguments: Arguments) -> int:
    """address add | del | list."""
    action, words = chosen(arguments, ("add", "del", "list"))
    if action == "list":
        return listed(arguments, "addresses", words)
    cidr, words = first(arguments, words, "an address with its prefix length: 10.0.1.1/24")
    keys = key_values(words, ("dev",))
    dev = needed(arguments, keys, "dev", "a device: dev D")
    client = client_of(arguments)
    ns = netns_of(arguments, client)
    if action == "add":
        return done(
            arguments, client.ask("POST", target("v1", "netns", ns, "addresses"), {"address": cidr, "dev": dev})
        )
    return done(arguments, client.ask("DELETE", target("v1", "netns", ns, "addresses", address=cidr, dev=dev)))


def neighbor(arguments: Arguments) -> int:
    """neighbor add | del | flush | list, and the same with proxy."""
    action, words = chosen(arguments, ("add", "del", "flush", "list", "proxy"), ("replace", "change"))
    if action == "list":
        return listed(arguments, "neighbors", words)
    client = client_of(arguments)
    if action == "flush":
        keys = key_values(words, ("dev",))
        ns = netns_of(arguments, client)
        where = target("v1", "netns", ns, "neighbors", dev=keys.get("dev"), family=family_of(arguments))
        return done(arguments, client.ask("DELETE", where))
    proxy = action == "proxy" or words[:1] == ["proxy"]  # `neighbor proxy add A`, and ip(8)'s `neigh add proxy A`
    if action == "proxy":
        action = words.pop(0) if words else ""
        if action not in ("add", "del"):
            raise usage(f"neighbor proxy what? {did_you_mean(action, ('add', 'del'))}")
    elif proxy:
        del words[0]
    wanted = ("dev", "lladdr") if action == "add" and not proxy else ("dev",)
    which, words = first(arguments, words, "the neighbour's address")
    keys = key_values(words, wanted)
    for key, what in (("dev", "a device: dev D"), ("lladdr", "a MAC address: lladdr MAC")):
        if key in wanted:
            needed(arguments, keys, key, what)
    ns = netns_of(arguments, client)
    place = "v1", "netns", ns, "proxies" if proxy else "neighbors"
    if action == "del":
        return done(arguments, client.ask("DELETE", target(*place, address=which, dev=keys["dev"])))
    body = {"address": which, "dev": keys["dev"]}
    if "lladdr" in keys:
        body["mac"] = keys["lladdr"]
    return done(arguments, client.ask("POST", target(*place), body))


def maddr(arguments: Arguments) -> int:
    """maddr list."""
    _, words = chosen(arguments, ("list",), ("add", "del"))
    return listed(arguments, "groups", words)


def ra(arguments: Arguments) -> int:
    """ra show | set | off."""
    action, words = chosen(arguments, ("show", "set", "off"))
    if action == "show":
        return listed(arguments, "adverts", words)
    dev, words = first(arguments, words, "a device")
    keys: dict[str, Any] = dict(key_values(words, _RA_KEYS if action == "set" else ()))
    numbered(keys, _RA_NUMBERS)
    for key in ("managed", "other"):
        if key in keys:
            keys[key] = switched(keys[key], key)
    for key in ("rdnss", "dnssl"):
        if key in keys:
            keys[key] = keys[key].split(",")
    for key in ("prefixes", "routes"):
        if key in keys:
            keys[key] = [{"prefix": prefix} for prefix in keys[key].split(",")]
    if "pref64" in keys:
        keys["pref64"] = {"prefix": keys["pref64"]}
    client = client_of(arguments)
    where = target("v1", "netns", netns_of(arguments, client), "devices", dev, "ra")
    if action == "set":
        return done(arguments, client.ask("PUT", where, keys))
    return done(arguments, client.ask("DELETE", where))
