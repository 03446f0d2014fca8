"""The table of verbs: what each is called with, what it does, and which function does it (loaded when it is used)."""

from __future__ import annotations

from typing import Final, NamedTuple

from vrouter.cli.arguments import EVERYWHERE, Option
from vrouter.cli.words import FAMILY, SOCKETS


class Verb(NamedTuple):
    """One verb. `function` is ``module:name``, called with the arguments, and returns the exit status."""

    usage: tuple[str, ...]
    summary: str
    function: str
    options: tuple[Option, ...] = ()
    more: str = ""


_FILTER = """A filter is made of
  arp | ip | ip6 | icmp | icmp6 | igmp | udp | tcp | stp
  host A | src A | dst A               an address, of IPv4, IPv6 or in ARP
  net P | src net P | dst net P        a prefix
  port N | src port N | dst port N     a UDP or TCP port
  vlan [N]                             a VLAN tag
with and, or, not and parentheses; between two tests `and` may be left out: udp port 53 and not host 10.0.0.1
DEV is `any` for every device. Without -n, the devices of all namespaces that fit are watched."""
_SHOW = """WHAT is one of
  netns devices addresses routes rules nexthops neighbors        as ip(8) has them
  routers adverts                                                default routers as learned, and what we advertise
  groups listeners queriers mroutes                              multicast
  bridges ports fdb mdb vlans                                    as bridge(8) has them
  sockets crossings drops stats config
`show routes table NAME|all` shows another table than main, `show sockets [state S] [sport N] [dport N]` only such
sockets, with -i what `ss -i -o` tells of them. stats shows what is not zero; with --json, all counters."""
_DEVICE = """\
Keys are the configuration's: ifname, addresses A,A, mtu, mac, up, acd, autoconf; of a veth peer NETNS:DEV; of a
vlan parent, vid, protocol 802.1Q|802.1ad; of a bridge ports D,D, stp none|stp|rstp, priority, hello_time,
max_age, forward_delay, ageing_time, vlan_filtering, default_pvid, mcast_snooping, mcast_querier; master makes
it a bridge's port.
`set` knows those of a bridge, and of a port cost, priority, edge on|off|auto, guard none|bpdu|root, state,
isolated, learning, flood, mcast_router, storm KIND:RATE,…, pvid, untagged N,N-M, tagged N,N-M.
`set NAME mtu` changes the kernel's end of a TAP as well."""
_BRIDGE = """\
`link set` knows cost, priority, state, guard (bpdu), root_block, edge, isolated, learning, flood, mcast_router
and storm. `vlan` with a bridge as D is about the VLANs that the bridge itself is a member of."""
_ROUTE = """\
`load` takes lines as for `ip -batch`: `route add PREFIX …`, or without the first words. They come into use all
at once, or none of them: what is wrong is told with its line. `get` shows the MTU of the path, and until when
it is believed, where ICMP told one."""
_RA = """\
Keys are the configuration's: prefixes P,P (without: the device's own), lifetime, preference low|medium|high,
managed, other, hop_limit, mtu, reachable, retrans, rdnss A,A, rdnss_lifetime, dnssl N,N, routes P,P, pref64 P,
min_interval, max_interval. `set` says all of it: what is left out has its default."""
_TRACEROUTE = """\
Hops are shown by their addresses, * is no answer. Behind the time stands what ends the way: !H host, !N network,
!P protocol unreachable, !X prohibited, !F-MTU too large. F=MTU is a size that was learnt. Status 1 when the host was
not reached."""
_PACKETDRILL = """\
Needs no router and no privilege. A line for each script: passed, failed with the line and what was sent instead,
or "linux only" with what it asks for that is not here: commands other than settings, calls and options of Linux
alone. Status 1 when one failed."""
_WATCH = Option(("-w", "--watch"), "watch", "", "again every second")

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
        ("show WHAT [-n NETNS] [-4|-6] [--json] [-w]",),
        "what the router has",
        "show:show",
        (_WATCH, *FAMILY, *SOCKETS),
        _SHOW,
    ),
    "ping": Verb(
        ("ping [-c 4] [-s 56] [-i 1] [-W 1] [-t TTL] [-I SRC] [-M do] DEST",),
        "ping from a namespace, an IPv4 or an IPv6 address; a link-local one with its device: fe80::1%lan",
        "ping:ping",
        (
            Option(("-c",), "count", "COUNT", "requests (4)"),
            Option(("-s",), "size", "BYTES", "bytes of data (56)"),
            Option(("-i",), "interval", "SECONDS", "between requests (1)"),
            Option(("-W",), "timeout", "SECONDS", "to wait for each reply (1)"),
            Option(("-t",), "ttl", "TTL", "time to live, or hop limit"),
            Option(("-I",), "source", "ADDRESS|DEV", "source address; for a link-local destination, the device"),
            Option(("-M",), "mtu", "do|dont", "do: must not be fragmented"),
        ),
    ),
    "traceroute": Verb(
        ("traceroute [-4|-6] [-I|-T|-U] [-f 1] [-m 30] [-q 3] [-w 5] [-p PORT] [-s SRC] [-i DEV] [--mtu] DEST",),
        "who answers on the way to a host, an address or a name for the namespace's resolver",
        "traceroute:traceroute",
        (
            *FAMILY,
            Option(("-I", "--icmp"), "icmp", "", "by echo requests"),
            Option(("-T", "--tcp"), "tcp", "", "by SYNs, to port 80"),
            Option(("-U", "--udp"), "udp", "", "by datagrams to ports from 33434 on (this is the default)"),
            Option(("-f",), "first", "HOP", "the first hop (1)"),
            Option(("-m",), "hops", "HOPS", "the last one (30)"),
            Option(("-q",), "probes", "COUNT", "probes for each hop (3)"),
            Option(("-w",), "timeout", "SECONDS", "to wait for each answer (5)"),
            Option(("-p",), "port", "PORT", "TCP's port, or the first of UDP's"),
            Option(("-s",), "source", "ADDRESS", "source address"),
            Option(("-i",), "device", "DEV", "by this device; a link-local destination's"),
            Option(("--mtu",), "mtu", "", "find the path's MTU: probes as large as it takes"),
        ),
        _TRACEROUTE,
    ),
    "capture": Verb(
        ("capture DEV|any [-w FILE] [-c COUNT] [FILTER]",),
        "frames as they pass, live; -w writes pcapng (- is standard output)",
        "capture:capture",
        (
            Option(("-w",), "write", "FILE", "write pcapng there; - is standard output"),
            Option(("-c",), "count", "COUNT", "end after so many packets"),
            Option(("-s",), "snaplen", "BYTES", "bytes kept of each packet (262144)"),
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
            "device add NAME kind tap|veth|vlan|bridge [KEY VALUE]…",
            "device del NAME",
            "device move NAME NETNS [name NEW]",
            "device set NAME up|down|mtu N|mac M|master BRIDGE|nomaster|KEY VALUE…",
            "device list",
        ),
        "devices",
        "links:device",
        more=_DEVICE,
    ),
    "bridge": Verb(
        (
            "bridge show",
            "bridge link [show] | bridge link set dev D [cost N] [priority N] [state S] [guard on|off] …",
            "bridge fdb [show] | bridge fdb add|del MAC dev D [vlan N]",
            "bridge vlan [show] | bridge vlan add|del vid N[-M] dev D [pvid] [untagged]",
            "bridge mdb [show]",
        ),
        "bridges, their ports and tables, in bridge(8)'s words",
        "links:bridge",
        more=_BRIDGE,
    ),
    "address": Verb(("address add|del CIDR dev D", "address list [-4|-6]"), "addresses", "addressing:address", FAMILY),
    "route": Verb(
        (
            "route add|replace PREFIX [via A] [dev D] [netns NS] [metric N] [table T] [src A] [mtu N] [advmss N]",
            "          [onlink] [proto P] [nhid ID] [nexthop via A [dev D] [weight N]]…",
            "route add|replace blackhole|unreachable|prohibit|throw PREFIX [metric N] [table T]",
            "route del [TYPE] PREFIX [via A] [dev D] [netns NS] [metric N] [table T] [nhid ID]",
            "route get ADDRESS [from A] [iif D] [oif D] [mark M]",
            "route load FILE|- [--replace]",
            "route list [table T|all] [-4|-6]",
        ),
        "routes; `netns` leads into another namespace, `get` names a crossing",
        "routing:route",
        (*FAMILY, Option(("--replace",), "replace", "", "load: in the place of the static routes of those tables")),
        _ROUTE,
    ),
    "rule": Verb(
        (
            "rule add [not] [from P] [to P] [iif D] [oif D] [mark M[/MASK]] [tos N] [priority N]",
            "         table T [suppress_prefixlength N] | goto N | blackhole | unreachable | prohibit | nop",
            "rule del [priority N] [from P] …",
            "rule list [-4|-6]",
        ),
        "which table is asked for which packets",
        "routing:rule",
        FAMILY,
    ),
    "nexthop": Verb(
        (
            "nexthop add|replace [id N] via A [dev D] [onlink] | dev D | group ID[,WEIGHT]/ID… | blackhole",
            "nexthop del id N",
            "nexthop list [-4|-6]",
        ),
        "next hops that routes share; what is replaced changes all of them",
        "routing:nexthop",
        FAMILY,
    ),
    "neighbor": Verb(
        (
            "neighbor add A lladdr MAC dev D",
            "neighbor del A dev D",
            "neighbor proxy add|del A dev D",
            "neighbor flush [dev D] [-4|-6]",
            "neighbor list [-4|-6]",
        ),
        "neighbours, and addresses that are answered for in their owners' place",
        "addressing:neighbor",
        FAMILY,
    ),
    "maddr": Verb(("maddr list [-4|-6]",), "groups that a namespace is a member of", "addressing:maddr", FAMILY),
    "mroute": Verb(
        (
            "mroute add GROUP [from SOURCE] iif D oifs D[:TTL],D… [netns NS]",
            "mroute del GROUP [from SOURCE]",
            "mroute list [-4|-6]",
        ),
        "multicast routes; iif @NETNS is what crosses from there",
        "routing:mroute",
        FAMILY,
    ),
    "multicast": Verb(
        (
            "multicast querier DEV on|off [igmp] [mld]",
            "multicast proxy UPSTREAM DOWN,DOWN… | multicast proxy none",
            "multicast mdns D,D… | multicast mdns none",
            "multicast show",
        ),
        "who is asked for members, IGMP and MLD proxying, and multicast DNS between links",
        "routing:multicast",
    ),
    "ra": Verb(
        ("ra set DEV [KEY VALUE]…", "ra off DEV", "ra show"),
        "what a device advertises as a router",
        "addressing:ra",
        more=_RA,
    ),
    "socket": Verb(
        (
            "socket list [state S] [sport N] [dport N] [-t] [-u] [--raw] [-0] [-l] [-i]",
            "socket kill [tcp|udp|raw|packet] LOCAL PEER",
        ),
        "sockets; `kill` ends one, or a connection: its program gets ECONNABORTED, its peer a reset",
        "sockets:socket",
        (_WATCH, *SOCKETS),
    ),
    "sysctl": Verb(
        ("sysctl -a [PATTERN]…", "sysctl NAME…", "sysctl NAME=VALUE…"),
        "settings of a namespace under Linux's names",
        "acting:sysctl",
        (Option(("-a", "--all"), "all", "", "all of them, or those that a regular expression fits"),),
    ),
    "packetdrill": Verb(
        ("packetdrill [-4|-6|--mapped] [--linux] [--mtu BYTES] [--cookie HEX] [--define NAME=VALUE,…] FILE|FOLDER…",),
        "run scripts in packetdrill's language against a namespace, in virtual time",
        "packetdrill:packetdrill",
        (
            *FAMILY,
            Option(("--mapped",), "mapped", "", "IPv4 by IPv6 sockets"),
            Option(("--linux",), "linux", "", "with Linux's limits in place of a namespace's"),
            Option(("--mtu",), "mtu", "BYTES", "of the device; 1500, and 1520 for IPv6"),
            Option(
                ("--cookie",), "cookie", "HEX", "what TFO_COOKIE stands for; else the cookie of the namespace's key"
            ),
            Option(("--define",), "define", "NAME=VALUE,…", "names of a script, and what stands in their place"),
        ),
        _PACKETDRILL,
    ),
    "health": Verb(("health",), "exit 0 when every device is open (for probes)", "acting:health"),
}

UNBUILT: Final = ("top", "trace", "firewall", "reload", "share", "migrate", "exec", "mount")


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
