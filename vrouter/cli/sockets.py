"""`vrouter socket`: the sockets of the namespaces, and the end of some from outside."""

from __future__ import annotations

from typing import Final

from vrouter.cli.arguments import Arguments
from vrouter.cli.client import target
from vrouter.cli.connect import client_of, netns_of
from vrouter.cli.failure import usage
from vrouter.cli.show import listed
from vrouter.cli.words import chosen, done, nothing_more

_PROTOCOLS: Final = ("tcp", "udp", "icmp", "icmp6", "raw", "packet")


def socket(arguments: Arguments) -> int:
    """socket list | kill [PROTOCOL] LOCAL PEER."""
    action, words = chosen(arguments, ("list", "kill"))
    if action == "list":
        return listed(arguments, "sockets", words)
    protocol = words.pop(0) if words[:1] and words[0] in _PROTOCOLS else None
    if len(words) < 2:
        raise usage("socket kill needs both ends, as `vrouter socket list` shows them: LOCAL PEER")
    local, peer, *rest = words
    nothing_more(rest)
    client = client_of(arguments)
    ns = netns_of(arguments, client)
    path = target("v1", "netns", ns, "sockets", local=local, peer=peer, proto=protocol)
    return done(arguments, client.ask("DELETE", path))
