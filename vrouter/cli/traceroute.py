"""`vrouter traceroute`: as traceroute(8) prints it."""

from __future__ import annotations

import sys
from typing import Any, Final

from vrouter.cli.arguments import Arguments, number, seconds
from vrouter.cli.client import decoded, refused, target
from vrouter.cli.connect import client_of, netns_of
from vrouter.cli.failure import RUNTIME, usage
from vrouter.cli.ping import lines_of, with_device
from vrouter.cli.words import family_of

_LINES: Final = "application/x-ndjson"
_NS: Final = 1_000_000_000
_METHODS: Final = {"icmp": "-I", "tcp": "-T", "udp": "-U"}


def traceroute(arguments: Arguments) -> int:
    """The verb; status 1 when the host was not reached."""
    if len(arguments.words) != 1:
        raise usage("traceroute to whom? one address or name: vrouter traceroute DEST")
    body = request(arguments)
    client = client_of(arguments)
    ns = netns_of(arguments, client)
    where = target("v1", "netns", ns, "traceroute")
    if arguments.has("json"):
        with client.send("POST", where, body) as answer:
            answer.endless()
            data = answer.body()
        if answer.status >= 400:
            raise refused(answer.status, data)
        print(data.decode())
        return 0 if decoded(data)["reached"] else RUNTIME
    with client.send("POST", where, body, accept=_LINES) as answer:
        answer.endless()
        if answer.status >= 400:
            raise refused(answer.status, answer.body())
        hops, method = body["max_hops"], body["method"].upper()
        print(f"traceroute to {body['dst']} from {ns}: {hops} hops at most, by {method}", flush=True)
        way = _Way()
        try:
            for line in lines_of(answer.pieces()):
                way.add(decoded(line))
        finally:
            way.end()
    return 0 if way.reached else RUNTIME


def request(arguments: Arguments) -> dict[str, Any]:
    """The body that the options make."""
    options = arguments.options
    chosen = [method for method in _METHODS if arguments.has(method)]
    if len(chosen) > 1:
        raise usage(f"{' and '.join(_METHODS[method] for method in chosen)}: one of them")
    body: dict[str, Any] = {
        "dst": arguments.words[0],
        "method": chosen[0] if chosen else "udp",
        "first_hop": number(options.get("first", "1"), "-f", 1, 255),
        "max_hops": number(options.get("hops", "30"), "-m", 1, 255),
        "probes": number(options.get("probes", "3"), "-q", 1, 10),
        "timeout_ns": int(seconds(options.get("timeout", "5"), "-w", 0.001, 3600) * _NS),
        "find_mtu": arguments.has("mtu"),
    }
    if body["first_hop"] > body["max_hops"]:
        raise usage(f"-f {body['first_hop']} is beyond -m {body['max_hops']}")
    family = family_of(arguments)
    if family is not None:
        body["family"] = family
    if "port" in options:
        if body["method"] == "icmp":
            raise usage("-p is a port, which echo requests (-I) have not")
        body["port"] = number(options["port"], "-p", 1, 65535)
    if "source" in options:
        body["src"] = options["source"]
    if "device" in options:
        body["device"] = options["device"]
    body["dst"] = with_device(body["dst"], options.get("device"), "-i")
    return body


class _Way:
    """What came so far: a line for each hop, an address once where it answers several times."""

    def __init__(self) -> None:
        self.reached = False
        self._hop = 0
        self._address = ""
        self._mtu = 0

    def add(self, record: dict[str, Any]) -> None:
        if "hop" not in record:
            return  # the router's summary
        if record["hop"] != self._hop:
            self.end()
            self._hop, self._address = record["hop"], ""
            print(f"{self._hop:2} ", end="")
        print(self._text(record), end="", flush=True)
        self.reached |= record["reached"]

    def _text(self, record: dict[str, Any]) -> str:
        address = record["address"]
        if address is None:
            return " *" if record["error"] == "ETIMEDOUT" else f" * ({record['error']})"
        text = "" if address == self._address else f" {address} "
        self._address = address
        mtu = record.get("mtu", self._mtu)
        if mtu != self._mtu:
            self._mtu = mtu
            text += f" F={mtu}"
        text += f" {record['rtt_ns'] / 1e6:.3f} ms"
        return text + (f" {record['mark']}" if record.get("mark") else "")

    def end(self) -> None:
        """The line is over."""
        if self._hop:
            print()
        sys.stdout.flush()
