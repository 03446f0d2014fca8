"""The table of verbs: what each is called with, what it does, and which function does it (loaded when it is used)."""

from __future__ import annotations

from typing import Final, NamedTuple

from vrouter.cli.arguments import EVERYWHERE, Option


class Verb(NamedTuple):
    """One verb. `function` is ``module:name``, called with the arguments, and returns the exit status."""

    usage: tuple[str, ...]
    summary: str
    function: str
    options: tuple[Option, ...] = ()
    more: str = ""


_FILTER = """A filter is made of
  arp | ip | icmp | udp | tcp
  host A | src A | dst A               an address, of IPv4 or in ARP
  net P | src net P | dst net P        a prefix
  port N | src port N | dst port N     a UDP or TCP port
with and, or, not and parentheses; between two tests `and` may be left out: udp port 53 and not host 10.0.0.1
DEV is `any` for every device. Without -n, the devices of all namespaces that fit are watched."""

VERBS: Final[dict[str, Verb]] = {
    "run": Verb(("run CONFIG",), "run until SIGTERM or SIGINT", "service:run"),
    "check": Verb(("check CONFIG",), "validate a configuration and print every mistake in it", "service:check"),
    "demo": Verb(
        ("demo [--once]",),
        "tenants with the same subnet on this machine, and what crosses between them",
        "demo:demo",
        (Option(("--once",), "once", "", "show and end, also on a terminal"),),
    ),
    "show": Verb(
        ("show WHAT [-n NETNS] [--json] [-w]",),
        "netns, devices, addresses, routes, neighbors, sockets, crossings, drops, stats or config",
        "show:show",
        (Option(("-w", "--watch"), "watch", "", "again every second"),),
        "stats shows what is not zero; with --json, all counters.",
    ),
    "ping": Verb(
        ("ping [-c 4] [-s 56] [-i 1] [-W 1] [-t TTL] [-I SRC] [-M do] DEST",),
        "ping from a namespace",
        "ping:ping",
        (
            Option(("-c",), "count", "COUNT", "requests (4)"),
            Option(("-s",), "size", "BYTES", "bytes of data (56)"),
            Option(("-i",), "interval", "SECONDS", "between requests (1)"),
            Option(("-W",), "timeout", "SECONDS", "to wait for each reply (1)"),
            Option(("-t",), "ttl", "TTL", "time to live"),
            Option(("-I",), "source", "ADDRESS", "source address"),
            Option(("-M",), "mtu", "do|dont", "do: must not be fragmented"),
        ),
    ),
    "capture": Verb(
        ("capture DEV|any [-w FILE] [-c COUNT] [FILTER]",),
        "frames as they pass, live; -w writes pcapng (- is standard output)",
        "capture:capture",
        (
            Option(("-w",), "write", "FILE", "write pcapng there; - is standard output"),
            Option(("-c",), "count", "COUNT", "end after so many packets"),
            Option(("-s",), "snaplen", "BYTES", "bytes kept of each packet (65535)"),
        ),
        _FILTER,
    ),
    "netns": Verb(
        ("netns add NETNS [kind l2] [accept-from NETNS,…]", "netns del NETNS [--recursive]", "netns list"),
        "namespaces",
        "acting:netns",
        (Option(("-r", "--recursive"), "recursive", "", "del: its children too"),),
    ),
    "device": Verb(
        (
            "device add NAME kind tap|veth [KEY VALUE]…",
            "device del NAME",
            "device move NAME NETNS [name NEW]",
            "device set NAME up|down|mtu N",
        ),
        "devices",
        "acting:device",
        more="""Keys are the configuration's: ifname, addresses A,A, mtu, mac, up, acd, and for a veth peer NETNS:DEV.
`set NAME mtu` changes the kernel's end of a TAP as well.""",
    ),
    "address": Verb(("address add|del CIDR dev D",), "addresses", "acting:address"),
    "route": Verb(
        (
            "route add PREFIX [via A] [dev D] [netns NS] [metric N] [src A]",
            "route add blackhole|unreachable|prohibit PREFIX [metric N]",
            "route del PREFIX [via A] [dev D] [netns NS] [metric N]",
            "route get ADDRESS",
        ),
        "routes; `netns` leads into another namespace, `get` names a crossing",
        "acting:route",
    ),
    "neighbor": Verb(
        (
            "neighbor add A lladdr MAC dev D",
            "neighbor del A dev D",
            "neighbor flush [dev D]",
            "neighbor list",
        ),
        "neighbours",
        "acting:neighbor",
    ),
    "sysctl": Verb(
        ("sysctl", "sysctl NAME…", "sysctl NAME=VALUE…"), "settings of a namespace under Linux's names", "acting:sysctl"
    ),
    "health": Verb(("health",), "exit 0 when every device is open (for probes)", "acting:health"),
}

UNBUILT: Final = ("top", "trace", "firewall", "reload", "packetdrill", "rule", "share", "migrate", "exec", "mount")


def overview() -> str:
    """``vrouter --help``."""
    width = max(map(len, VERBS)) + 2
    lines = ["usage: vrouter VERB … [-n NETNS] [--json] [--admin PATH]", ""]
    lines += [f"  {name:{width}}{verb.summary}" for name, verb in VERBS.items()]
    lines += ["", "anywhere on the line:", *_options(EVERYWHERE)]
    lines += ["", "`vrouter VERB --help` tells more. Exit status: 1 failed, 2 wrong usage or configuration,"]
    lines += ["3 a privilege is missing, 4 no router is running, 130 Ctrl-C."]
    return "\n".join(lines)


def help_of(name: str) -> str:
    """``vrouter VERB --help``."""
    verb = VERBS[name]
    lines = [("usage: " if not number else "       ") + f"vrouter {usage}" for number, usage in enumerate(verb.usage)]
    lines += ["", verb.summary[0].upper() + verb.summary[1:] + "."]
    if verb.more:
        lines += ["", verb.more]
    lines += ["", "options:", *_options((*verb.options, *EVERYWHERE))]
    return "\n".join(lines)


def _options(options: tuple[Option, ...]) -> list[str]:
    return [f"  {', '.join(option.flags) + ' ' + option.value:<22}{option.text}" for option in options]
