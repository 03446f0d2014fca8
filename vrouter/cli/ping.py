"""`vrouter ping`: as ping(8) prints it."""

from __future__ import annotations

import sys
from typing import Any, Final

from vrouter.cli.arguments import Arguments, number, seconds
from vrouter.cli.client import decoded, refused, target
from vrouter.cli.connect import client_of, netns_of
from vrouter.cli.failure import RUNTIME, usage

_LINES: Final = "application/x-ndjson"
_NS: Final = 1_000_000_000
_OF_A_LINK: Final = ("fe80:", "ff02:")


def ping(arguments: Arguments) -> int:
    """The verb; status 1 without any reply."""
    if len(arguments.words) != 1:
        raise usage("ping whom? one address: vrouter ping DEST")
    body = request(arguments)
    client = client_of(arguments)
    ns = netns_of(arguments, client)
    where = target("v1", "netns", ns, "ping")
    if arguments.has("json"):
        with client.send("POST", where, body) as answer:
            answer.endless()
            data = answer.body()
        if answer.status >= 400:
            raise refused(answer.status, data)
        print(data.decode())
        return 0 if decoded(data)["received"] else RUNTIME
    with client.send("POST", where, body, accept=_LINES) as answer:
        answer.endless()
        if answer.status >= 400:
            raise refused(answer.status, answer.body())
        print(f"PING {body['dst']} from {ns}: {body['size']} bytes of data", flush=True)
        series = _Series(body["dst"])
        try:
            for line in lines_of(answer.pieces()):
                series.add(decoded(line))
        finally:
            series.summary()
    return 0 if series.received else RUNTIME


def request(arguments: Arguments) -> dict[str, Any]:
    """The body that the options make."""
    options = arguments.options
    body: dict[str, Any] = {
        "dst": arguments.words[0],
        "count": number(options.get("count", "4"), "-c", 1, 100_000),
        "size": number(options.get("size", "56"), "-s", 0, 65507),
        "interval_ns": int(seconds(options.get("interval", "1"), "-i", 0.001, 3600) * _NS),
        "timeout_ns": int(seconds(options.get("timeout", "1"), "-W", 0.001, 3600) * _NS),
    }
    if "ttl" in options:
        body["ttl"] = number(options["ttl"], "-t", 1, 255)
    if "source" in options:
        source = options["source"]
        if ":" in source or source[:1].isdigit():
            body["src"] = source
        elif is_of_a_link(body["dst"]):
            body["dst"] += f"%{source}"
        else:
            raise usage(f"-I is a source address, or the device of a link-local destination; not {source!r}")
    body["dst"] = with_device(body["dst"], None, "-I")
    if "mtu" in options:
        if options["mtu"] not in ("do", "dont"):
            raise usage(f"-M is do or dont, not {options['mtu']!r}")
        body["dont_fragment"] = options["mtu"] == "do"
    return body


def is_of_a_link(dst: str) -> bool:
    """Whether an address needs its device, and has none."""
    return dst.lower().startswith(_OF_A_LINK) and "%" not in dst


def with_device(dst: str, dev: str | None, option: str) -> str:
    """`dst`, with the device that `option` named where it needs one. Failure without."""
    if not is_of_a_link(dst):
        return dst
    if dev is None:
        raise usage(f"{dst} is link-local, and needs its device: {dst}%DEV, or {option} DEV")
    return f"{dst}%{dev}"


def lines_of(pieces: Any) -> Any:
    """The lines that come in pieces."""
    rest = b""
    for piece in pieces:
        *lines, rest = (rest + piece).split(b"\n")
        yield from lines


class _Series:
    """What came back so far: printed as it comes, and summed up at the end, an interrupted one too."""

    def __init__(self, dst: str) -> None:
        self.dst = dst
        self.sent = 0
        self.times: list[int] = []

    @property
    def received(self) -> int:
        return len(self.times)

    def add(self, record: dict[str, Any]) -> None:
        if "seq" not in record:
            return  # the router's summary, which is ours as well
        self.sent += 1
        if "time_ns" in record:
            self.times.append(record["time_ns"])
            time_ms = record["time_ns"] / 1e6
            text = f"{record['bytes']} bytes from {record['from']}: "
            text += f"icmp_seq={record['seq']} ttl={record['ttl']} time={time_ms:.3f} ms"
        elif record["error"] == "ETIMEDOUT":
            text = f"no reply icmp_seq={record['seq']}"
        else:
            origin = f"From {record['from']} " if record["from"] else ""
            text = f"{origin}icmp_seq={record['seq']} {record['message']} ({record['error']})"
        print(text, flush=True)

    def summary(self) -> None:
        lost = round(100 * (self.sent - self.received) / self.sent) if self.sent else 0
        print(f"\n--- {self.dst} ping statistics ---")
        print(f"{self.sent} packets transmitted, {self.received} received, {lost}% packet loss")
        if self.times:
            low, mean, high = min(self.times), sum(self.times) / self.received, max(self.times)
            print(f"rtt min/avg/max = {low / 1e6:.3f}/{mean / 1e6:.3f}/{high / 1e6:.3f} ms")
        sys.stdout.flush()
