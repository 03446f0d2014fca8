"""Verbs that act on a running router: netns, device, address, route, neighbor, sysctl; and health."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any, Final

from vrouter.cli.arguments import Arguments, key_values, number
from vrouter.cli.client import Client, decoded, refused, target
from vrouter.cli.connect import client_of, netns_of
from vrouter.cli.failure import RUNTIME, Failure, did_you_mean, unbuilt, usage
from vrouter.cli.show import COLUMNS, table

# A probe has its own end (3 s in the image), and not everything that runs probes kills one that takes longer.
_PROBE_S: Final = 2.0
_ROUTE_TYPES: Final = ("unicast", "blackhole", "unreachable", "prohibit")
_ROUTE_UNBUILT: Final = (
    "table",
    "nexthop",
    "nexthops",
    "weight",
    "mtu",
    "mark",
    "protocol",
    "proto",
    "scope",
    "onlink",
)
_DEVICE_UNBUILT: Final = ("parent", "vid", "queue", "local", "remote", "key", "members", "vni")


def _chosen(arguments: Arguments, actions: tuple[str, ...], later: tuple[str, ...] = ()) -> tuple[str, list[str]]:
    """The word behind the verb, and those behind it."""
    if not arguments.words:
        raise usage(f"{arguments.verb} what? {', '.join(actions)}")
    action, *words = arguments.words
    if action in later:
        raise unbuilt(f"{arguments.verb} {action}")
    if action not in actions:
        raise usage(f"there is no `{arguments.verb} {action}` ({did_you_mean(action, actions)})")
    return action, words


def _first(arguments: Arguments, words: list[str], what: str) -> tuple[str, list[str]]:
    if not words:
        raise usage(f"{arguments.verb} {arguments.words[0]} needs {what}")
    return words[0], words[1:]


def _nothing_more(words: list[str]) -> None:
    if words:
        raise usage(f"{words[0]!r} is too much")


def _done(arguments: Arguments, data: bytes, text: Callable[[Any], str] | None = None) -> int:
    """Print what the router answered: JSON when it is asked for, else nothing, or `text` of it."""
    if arguments.has("json"):
        print(data.decode() or "{}")
    elif text is not None:
        print(text(decoded(data)))
    return 0


# -- namespaces -------------------------------------------------------------------------------------------------------


def netns(arguments: Arguments) -> int:
    """netns add | del | list."""
    action, words = _chosen(arguments, ("add", "del", "list"), ("move", "exec", "set"))
    client = client_of(arguments)
    if action == "list":
        _nothing_more(words)
        data = client.ask("GET", target("v1", "netns"))
        return _done(arguments, data, lambda rows: table(COLUMNS["netns"], rows))
    path, words = _first(arguments, words, "the namespace's path")
    if action == "del":
        _nothing_more(words)
        recursive = "true" if arguments.has("recursive") else None
        return _done(arguments, client.ask("DELETE", target("v1", "netns", path, recursive=recursive)))
    keys = key_values(words, ("kind", "accept-from"))
    body: dict[str, Any] = {"kind": keys.get("kind", "l2")}
    if "accept-from" in keys:
        body["accept_from"] = keys["accept-from"].split(",")
    return _done(arguments, client.ask("POST", target("v1", "netns", path), body))


# -- devices ----------------------------------------------------------------------------------------------------------


def device(arguments: Arguments) -> int:
    """device add | del | move | set."""
    action, words = _chosen(arguments, ("add", "del", "move", "set"))
    name, words = _first(arguments, words, "a device's name")
    client = client_of(arguments)
    if action == "add":
        body = _device_settings(words)
        ns = netns_of(arguments, client)
        return _done(arguments, client.ask("POST", target("v1", "netns", ns, "devices"), {"name": name, **body}))
    if action == "del":
        _nothing_more(words)
        ns = netns_of(arguments, client)
        return _done(arguments, client.ask("DELETE", target("v1", "netns", ns, "devices", name)))
    if action == "move":
        where, words = _first(arguments, words, "the namespace to move to")
        keys = key_values(words, ("name",))
        ns = netns_of(arguments, client)
        to = target("v1", "netns", ns, "devices", name, "move")
        return _done(arguments, client.ask("POST", to, {"netns": where, **keys}))
    changes = _device_changes(arguments, words)
    ns = netns_of(arguments, client)
    return _done(arguments, client.ask("PATCH", target("v1", "netns", ns, "devices", name), changes))


def _device_settings(words: list[str]) -> dict[str, Any]:
    keys = key_values(
        words, ("kind", "ifname", "addresses", "mtu", "mac", "queues", "offload", "up", "acd", "peer"), _DEVICE_UNBUILT
    )
    body: dict[str, Any] = dict(keys)
    for key in ("mtu", "queues"):
        if key in keys:
            body[key] = number(keys[key], key, 1, 1 << 31)
    for key in ("offload", "up"):
        if key in keys:
            if keys[key] not in ("true", "false", "on", "off"):
                raise usage(f"{key} is on or off, not {keys[key]!r}")
            body[key] = keys[key] in ("true", "on")
    if "addresses" in keys:
        body["addresses"] = keys["addresses"].split(",")
    if "peer" in keys:
        peer_netns, colon, peer_dev = keys["peer"].rpartition(":")
        if not colon or not peer_netns or not peer_dev:
            raise usage(f"peer is NETNS:DEV, not {keys['peer']!r}")
        body["peer"] = {"netns": f"/{peer_netns.removeprefix('/')}", "dev": peer_dev}
    return body


def _device_changes(arguments: Arguments, words: list[str]) -> dict[str, Any]:
    changes: dict[str, Any] = {}
    rest = list(words)
    while rest:
        word = rest.pop(0)
        if word in ("up", "down"):
            changes["up"] = word == "up"
        elif word == "mtu":
            text, rest = _first(arguments, rest, "the MTU in bytes: mtu N")
            changes["mtu"] = number(text, "mtu", 68, 65521)
        else:
            raise usage(f"{word!r} cannot be set ({did_you_mean(word, ('up', 'down', 'mtu'))})")
    if not changes:
        raise usage("device set needs up, down or mtu N")
    return changes


# -- addresses, routes, neighbours ------------------------------------------------------------------------------------


def address(arguments: Arguments) -> int:
    """address add | del."""
    action, words = _chosen(arguments, ("add", "del"))
    cidr, words = _first(arguments, words, "an address with its prefix length: 10.0.1.1/24")
    keys = key_values(words, ("dev",))
    if "dev" not in keys:
        raise usage(f"address {action} needs a device: dev D")
    client = client_of(arguments)
    ns = netns_of(arguments, client)
    if action == "add":
        body = {"address": cidr, "dev": keys["dev"]}
        return _done(arguments, client.ask("POST", target("v1", "netns", ns, "addresses"), body))
    where = target("v1", "netns", ns, "addresses", address=cidr, dev=keys["dev"])
    return _done(arguments, client.ask("DELETE", where))


def route(arguments: Arguments) -> int:
    """route add | del | get."""
    action, words = _chosen(arguments, ("add", "del", "get"), ("replace", "flush", "change", "append"))
    kind = "unicast"
    if action != "get" and words and words[0] in _ROUTE_TYPES:
        kind, *words = words
    to, words = _first(arguments, words, "an address" if action == "get" else 'a prefix, or "default"')
    client = client_of(arguments)
    if action == "get":
        _nothing_more(words)
        ns = netns_of(arguments, client)
        return _done(arguments, client.ask("GET", target("v1", "netns", ns, "route", to=to)), lambda row: _way(to, row))
    names = ("via", "dev", "netns", "metric") + (("src",) if action == "add" else ())
    keys: dict[str, Any] = dict(key_values(words, names, _ROUTE_UNBUILT))
    if "metric" in keys:
        keys["metric"] = number(keys["metric"], "metric", 0, 2**32 - 1)
    ns = netns_of(arguments, client)
    if action == "del":
        return _done(arguments, client.ask("DELETE", target("v1", "netns", ns, "routes", to=to, **keys)))
    return _done(arguments, client.ask("POST", target("v1", "netns", ns, "routes"), {"to": to, "type": kind, **keys}))


def _way(to: str, row: dict[str, Any]) -> str:
    """One line in ip-route(8)'s words."""
    parts = [to] if row["type"] in ("unicast", "local") else [row["type"], to]
    if row["type"] == "local":
        parts.insert(0, "local")
    for key in ("via", "dev", "src"):
        if row[key]:
            parts += [key, row[key]]
    if row["target_netns"]:
        into = "accepted there" if row.get("accepted") else "NOT accepted there: packets are dropped as CROSSING_DENIED"
        parts += ["netns", row["target_netns"], f"({into})"]
    by = row["to"] if "/" in row["to"] or row["to"] == "default" else f"{row['to']}/32"
    return " ".join([*parts, "by route", by])


def neighbor(arguments: Arguments) -> int:
    """neighbor add | del | flush | list."""
    action, words = _chosen(arguments, ("add", "del", "flush", "list"), ("replace", "change"))
    client = client_of(arguments)
    if action == "list":
        _nothing_more(words)
        data = client.ask("GET", target("v1", "neighbors", netns=arguments.options.get("netns")))
        return _done(arguments, data, lambda rows: table(COLUMNS["neighbors"], rows))
    if action == "flush":
        keys = key_values(words, ("dev",))
        ns = netns_of(arguments, client)
        return _done(arguments, client.ask("DELETE", target("v1", "netns", ns, "neighbors", dev=keys.get("dev"))))
    where, words = _first(arguments, words, "the neighbour's address")
    keys = key_values(words, ("dev", "lladdr") if action == "add" else ("dev",))
    for key in ("dev", "lladdr") if action == "add" else ("dev",):
        if key not in keys:
            raise usage(f"neighbor {action} needs {'a device: dev D' if key == 'dev' else 'a MAC address: lladdr MAC'}")
    ns = netns_of(arguments, client)
    if action == "add":
        body = {"address": where, "dev": keys["dev"], "mac": keys["lladdr"]}
        return _done(arguments, client.ask("POST", target("v1", "netns", ns, "neighbors"), body))
    data = client.ask("DELETE", target("v1", "netns", ns, "neighbors", address=where, dev=keys["dev"]))
    return _done(arguments, data)


# -- settings and health ----------------------------------------------------------------------------------------------


def sysctl(arguments: Arguments) -> int:
    """Settings: all of them, some of them, or new values."""
    changes = dict(word.split("=", 1) for word in arguments.words if "=" in word)
    names = [word for word in arguments.words if "=" not in word]
    if changes and names:
        raise usage(f"{names[0]!r} has no value while others have: NAME=VALUE")
    client = client_of(arguments)
    ns = netns_of(arguments, client)
    if changes:
        values = {name.strip(): value.strip() for name, value in changes.items()}
        data = client.ask("PATCH", target("v1", "netns", ns, "sysctl"), values)
    elif names:
        found: dict[str, Any] = {}
        for name in names:
            found |= client.read("v1", "netns", ns, "sysctl", name=name)
        data = json.dumps(found).encode()
    else:
        data = client.ask("GET", target("v1", "netns", ns, "sysctl"))
    return _done(arguments, data, lambda values: "\n".join(f"{name} = {value}" for name, value in values.items()))


def health(arguments: Arguments) -> int:
    """Whether the router is ready. Status 0, 1 (not yet: these devices are missing) or 4."""
    _nothing_more(arguments.words)
    client: Client = client_of(arguments)
    with client.send("GET", "/readyz", patience_s=_PROBE_S) as answer:
        data = answer.body()
    if answer.status == 200:
        return _done(arguments, data, lambda _: "healthy")
    try:
        waiting = json.loads(data)["waiting"]
    except (ValueError, KeyError, TypeError):
        raise refused(answer.status, data) from None
    missing = f"not open: {', '.join(waiting)} (`vrouter show devices` says why)" if waiting else "it is starting"
    raise Failure(RUNTIME, f"unhealthy: {missing}", "EAGAIN")
