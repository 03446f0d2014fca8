"""Verbs for devices, in ip-link(8)'s words, and for bridges in bridge(8)'s."""

from __future__ import annotations

from typing import Any, Final

from vrouter.cli.arguments import Arguments, key_values, number
from vrouter.cli.client import target
from vrouter.cli.connect import client_of, netns_of
from vrouter.cli.failure import did_you_mean, usage
from vrouter.cli.show import listed
from vrouter.cli.words import chosen, done, first, needed, nothing_more, switched

_LATER: Final = ("queue", "local", "remote", "key", "members", "vni")
_LISTS: Final = ("addresses", "ports", "proxy")
_BRIDGE_NUMBERS: Final = ("priority", "hello_time", "max_age", "forward_delay", "ageing_time", "default_pvid")
_BRIDGE_FLAGS: Final = ("vlan_filtering", "mcast_snooping", "mcast_querier")
_PORT_FLAGS: Final = ("isolated", "learning", "flood", "mcast_router")
_ADD_NUMBERS: Final = ("mtu", "queues", "vid", *_BRIDGE_NUMBERS)
_ADD_FLAGS: Final = ("offload", "up", "autoconf", *_BRIDGE_FLAGS)
_ADD_WORDS: Final = ("kind", "ifname", "mac", "acd", "parent", "protocol", "stp", "master", "addr_gen_mode", "peer")
_SET_NUMBERS: Final = ("cost", "pvid", *_BRIDGE_NUMBERS)
_SET_FLAGS: Final = ("autoconf", *_BRIDGE_FLAGS, *_PORT_FLAGS)
_SET_WORDS: Final = ("mac", "master", "stp", "guard", "state")
_SET_KEYS: Final = (
    "up", "down", "nomaster", "mtu", *_SET_WORDS, "edge", "storm", "untagged", "tagged", *_SET_NUMBERS, *_SET_FLAGS
)  # fmt: skip
_LINK_KEYS: Final = ("cost", "priority", "state", "guard", "root_block", "edge", "storm", *_PORT_FLAGS)


def device(arguments: Arguments) -> int:
    """device add | del | move | set | list."""
    action, words = chosen(arguments, ("add", "del", "move", "set", "list"))
    if action == "list":
        return listed(arguments, "devices", words)
    name, words = first(arguments, words, "a device's name")
    client = client_of(arguments)
    if action == "add":
        body = _added(words)
        ns = netns_of(arguments, client)
        return done(arguments, client.ask("POST", target("v1", "netns", ns, "devices"), {"name": name, **body}))
    if action == "del":
        nothing_more(words)
        ns = netns_of(arguments, client)
        return done(arguments, client.ask("DELETE", target("v1", "netns", ns, "devices", name)))
    if action == "move":
        where, words = first(arguments, words, "the namespace to move to")
        keys = key_values(words, ("name",))
        ns = netns_of(arguments, client)
        to = target("v1", "netns", ns, "devices", name, "move")
        return done(arguments, client.ask("POST", to, {"netns": where, **keys}))
    changes = _changes(arguments, words)
    ns = netns_of(arguments, client)
    return done(arguments, client.ask("PATCH", target("v1", "netns", ns, "devices", name), changes))


def _added(words: list[str]) -> dict[str, Any]:
    keys = key_values(words, (*_ADD_WORDS, *_LISTS, *_ADD_NUMBERS, *_ADD_FLAGS), _LATER)
    body: dict[str, Any] = dict(keys)
    for key in _ADD_NUMBERS:
        if key in keys:
            body[key] = number(keys[key], key, 0, 1 << 31)
    for key in _ADD_FLAGS:
        if key in keys:
            body[key] = switched(keys[key], key)
    for key in _LISTS:
        if key in keys:
            body[key] = keys[key].split(",")
    if "master" in keys:
        body["bridge"] = body.pop("master")
    if "peer" in keys:
        peer_netns, colon, peer_dev = keys["peer"].rpartition(":")
        if not colon or not peer_netns or not peer_dev:
            raise usage(f"peer is NETNS:DEV, not {keys['peer']!r}")
        body["peer"] = {"netns": f"/{peer_netns.removeprefix('/')}", "dev": peer_dev}
    return body


def _changes(arguments: Arguments, words: list[str]) -> dict[str, Any]:
    changes: dict[str, Any] = {}
    rest = list(words)
    while rest:
        word = rest.pop(0)
        if word in ("up", "down"):
            changes["up"] = word == "up"
        elif word == "nomaster":
            changes["master"] = None
        elif word == "mtu":
            text, rest = first(arguments, rest, "the MTU in bytes: mtu N")
            changes["mtu"] = number(text, "mtu", 68, 65521)
        elif word in _SET_KEYS:
            text, rest = first(arguments, rest, f"a value: {word} VALUE")
            changes[word] = _setting(word, text)
        else:
            raise usage(f"{word!r} cannot be set ({did_you_mean(word, _SET_KEYS)})")
    if not changes:
        raise usage("device set needs up, down, mtu N, mac M, master BRIDGE, nomaster or KEY VALUE")
    return changes


def _setting(key: str, text: str) -> Any:
    if key in _SET_NUMBERS:
        return number(text, key, 0, 1 << 31)
    if key in _SET_FLAGS:
        return switched(text, key)
    if key == "edge":
        return None if text == "auto" else switched(text, key)
    if key in ("untagged", "tagged"):
        return [] if text == "none" else text.split(",")
    return _storm(text) if key == "storm" else text


def _storm(text: str) -> dict[str, int]:
    """``broadcast:100,unknown:50``, or ``none``."""
    found: dict[str, int] = {}
    for part in text.split(",") if text != "none" else ():
        kind, colon, rate = part.partition(":")
        if not colon:
            raise usage(f"storm is KIND:RATE,… with broadcast, multicast and unknown, or none; not {text!r}")
        found[kind] = number(rate, f"storm {kind}", 0, 1_000_000_000)
    return found


# -- bridges ----------------------------------------------------------------------------------------------------------


def bridge(arguments: Arguments) -> int:
    """bridge show | link | fdb | vlan | mdb."""
    what, words = chosen(arguments, ("show", "link", "fdb", "vlan", "mdb"))
    if what == "show":
        return listed(arguments, "bridges", words)
    actions = {"link": ("show", "set"), "mdb": ("show",)}.get(what, ("show", "add", "del"))
    action = words.pop(0) if words else "show"
    if action not in actions:
        raise usage(f"there is no `bridge {what} {action}` ({did_you_mean(action, actions)})")
    if action == "show":
        return listed(arguments, {"link": "ports", "vlan": "ports"}.get(what, what), words, layout=f"bridge {what}")
    if what == "link":
        return _set_link(arguments, words)
    return _change_fdb(arguments, action, words) if what == "fdb" else _change_vlan(arguments, action, words)


def _set_link(arguments: Arguments, words: list[str]) -> int:
    keys = key_values(words, ("dev", *_LINK_KEYS))
    dev = needed(arguments, keys, "dev", "a device: dev D")
    changes = {key: _setting(key, text) for key, text in keys.items() if key not in ("dev", "guard", "root_block")}
    for key, guard in (("guard", "bpdu"), ("root_block", "root")):  # bridge(8)'s switches are one word here
        if key in keys:
            plain = key == "guard" and keys[key] in ("none", "bpdu", "root")
            changes["guard"] = keys[key] if plain else guard if switched(keys[key], key) else "none"
    if not changes:
        raise usage(f"bridge link set needs a setting: {', '.join(_LINK_KEYS)}")
    client = client_of(arguments)
    ns = netns_of(arguments, client)
    return done(arguments, client.ask("PATCH", target("v1", "netns", ns, "devices", dev), changes))


def _change_fdb(arguments: Arguments, action: str, words: list[str]) -> int:
    if not words:
        raise usage(f"bridge fdb {action} needs a MAC address")
    mac, *words = words
    words = [word for word in words if word not in ("static", "master")]  # as bridge(8) has it; here it is always so
    keys: dict[str, Any] = dict(key_values(words, ("dev", "vlan")))
    dev = needed(arguments, keys, "dev", "a device: dev D")
    vlan = number(keys["vlan"], "vlan", 1, 4094) if "vlan" in keys else None
    client = client_of(arguments)
    ns = netns_of(arguments, client)
    if action == "del":
        return done(arguments, client.ask("DELETE", target("v1", "netns", ns, "fdb", mac=mac, dev=dev, vlan=vlan)))
    body = {"mac": mac, "dev": dev, "vlan": vlan or 0}
    return done(arguments, client.ask("POST", target("v1", "netns", ns, "fdb"), body))


def _change_vlan(arguments: Arguments, action: str, words: list[str]) -> int:
    flags = {word for word in words if word in ("pvid", "untagged", "self", "master")}
    keys = key_values([word for word in words if word not in flags], ("vid", "dev"))
    dev = needed(arguments, keys, "dev", "a device: dev D")
    vid = needed(arguments, keys, "vid", "a VLAN: vid N, or vid N-M")
    client = client_of(arguments)
    ns = netns_of(arguments, client)
    place = "v1", "netns", ns, "devices", dev, "vlans"
    if action == "del":
        return done(arguments, client.ask("DELETE", target(*place, vid=vid)))
    body = {"vids": vid.split(","), "pvid": "pvid" in flags, "untagged": "untagged" in flags}
    return done(arguments, client.ask("POST", target(*place), body))
