"""Verbs that act on a running router as a whole: netns, sysctl; and health."""

from __future__ import annotations

import json
import re
from typing import Any, Final

from vrouter.cli.arguments import Arguments, key_values
from vrouter.cli.client import Client, refused, target
from vrouter.cli.connect import client_of, netns_of
from vrouter.cli.failure import RUNTIME, Failure, usage
from vrouter.cli.show import listed
from vrouter.cli.words import chosen, done, first, nothing_more

# A probe has its own end (3 s in the image), and not everything that runs probes kills one that takes longer.
_PROBE_S: Final = 2.0


def netns(arguments: Arguments) -> int:
    """netns add | del | list."""
    action, words = chosen(arguments, ("add", "del", "list"), ("move", "exec", "set"))
    if action == "list":
        return listed(arguments, "netns", words)
    client = client_of(arguments)
    path, words = first(arguments, words, "the namespace's path")
    if action == "del":
        nothing_more(words)
        recursive = "true" if arguments.has("recursive") else None
        return done(arguments, client.ask("DELETE", target("v1", "netns", path, recursive=recursive)))
    keys = key_values(words, ("kind", "accept-from"))
    body: dict[str, Any] = {"kind": keys.get("kind", "l2")}
    if "accept-from" in keys:
        body["accept_from"] = keys["accept-from"].split(",")
    return done(arguments, client.ask("POST", target("v1", "netns", path), body))


def sysctl(arguments: Arguments) -> int:
    """Settings: all of them, those that fit a pattern, some by name, or new values."""
    if arguments.has("all"):
        return _matching(arguments)
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
    return done(arguments, data, _settings)


def _matching(arguments: Arguments) -> int:
    patterns = []
    for word in arguments.words:
        try:
            patterns.append(re.compile(word))
        except re.error as error:
            raise usage(f"{word!r} is no regular expression: {error}") from None
    client = client_of(arguments)
    values = client.read("v1", "netns", netns_of(arguments, client), "sysctl")
    found = {
        name: value
        for name, value in values.items()
        if not patterns or any(pattern.search(name) for pattern in patterns)
    }
    if not found:
        raise Failure(
            RUNTIME, f"no setting fits {' or '.join(arguments.words)}: `vrouter sysctl -a` lists them", "ENOENT"
        )
    return done(arguments, json.dumps(found).encode(), _settings)


def _settings(values: dict[str, Any]) -> str:
    return "\n".join(f"{name} = {value}" for name, value in values.items())


def health(arguments: Arguments) -> int:
    """Whether the router is ready. Status 0, 1 (not yet: these devices are missing) or 4."""
    nothing_more(arguments.words)
    client: Client = client_of(arguments)
    with client.send("GET", "/readyz", patience_s=_PROBE_S) as answer:
        data = answer.body()
    if answer.status == 200:
        return done(arguments, data, lambda _: "healthy")
    try:
        waiting = json.loads(data)["waiting"]
    except (ValueError, KeyError, TypeError):
        raise refused(answer.status, data) from None
    missing = f"not open: {', '.join(waiting)} (`vrouter show devices` says why)" if waiting else "it is starting"
    raise Failure(RUNTIME, f"unhealthy: {missing}", "EAGAIN")
