"""Which router is meant, and which of its namespaces."""

from __future__ import annotations

import os

from vrouter.cli.arguments import Arguments
from vrouter.cli.client import DEFAULT_ADMIN, VARIABLE, Client
from vrouter.cli.failure import usage


def admin_path(arguments: Arguments) -> str:
    """``--admin``, else the environment's, else the default."""
    return arguments.options.get("admin") or os.environ.get(VARIABLE) or DEFAULT_ADMIN


def client_of(arguments: Arguments) -> Client:
    """The client of the router that is meant."""
    return Client(admin_path(arguments))


def netns_of(arguments: Arguments, client: Client) -> str:
    """The namespace that is meant: ``-n``, or the only one that there is. Failure when there is a choice."""
    named = arguments.options.get("netns")
    if named is not None:
        return named
    found = [row["netns"] for row in client.read("v1", "netns")]
    if len(found) == 1:
        return str(found[0])
    if not found:
        raise usage("this router has no namespace yet: `vrouter netns add NETNS`")
    shown = ", ".join(found[:8]) + (", …" if len(found) > 8 else "")
    raise usage(f"in which namespace? -n NETNS, with one of {shown}")
