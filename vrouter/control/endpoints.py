"""Everything that can be asked over HTTP: one table, from which dispatch, method errors and OpenAPI come.

In a path, the name of a namespace is one segment: its own slashes are written ``%2F``
(``/v1/netns/red%2Fweb/devices``), so that no child's name can be taken for a part of the API. Other names are
percent-encoded as usual. Names count from the top.

Next: `dispatch` finds the endpoint of a request; `reading`, `changing`, `links`, `addressing`, `routing`, `streaming`
and `metrics` do what the table says.
"""

from __future__ import annotations

from typing import Any, Final

from vrouter.control import addressing, bodies, changing, links, metrics, reading, routing, schema
from vrouter.control.endpoint import EVENT_STREAM, LINES, PCAPNG, ROUTE_LINES, TEXT, Endpoint, Kind, Parameter
from vrouter.stack.l4.tcp.stream import STATE_NAMES

_NS = "/v1/netns/{netns}"
_ONE_DEV = f"{_NS}/devices/{{dev}}"
_NETNS = Parameter("netns", Kind.TEXT, "only this namespace, by its path from the top")
_FAMILY = Parameter("family", Kind.NUMBER, "only IPv4 (4) or IPv6 (6)", allowed=(4, 6))
_COUNT = Parameter("count", Kind.NUMBER, "end after so many packets")
_DEV = Parameter("dev", Kind.TEXT, "the device")
_ADDRESS = Parameter("address", Kind.TEXT, "the address", required=True)
_TABLE = Parameter("table", Kind.TEXT, "a table's number or name (main)")
_TO = Parameter("to", Kind.TEXT, 'a prefix, or "default"', required=True)


def _text(name: str, text: str) -> Parameter:
    return Parameter(name, Kind.TEXT, text)


def _number(name: str, text: str) -> Parameter:
    return Parameter(name, Kind.NUMBER, text)


_PROTO: Final = Parameter(
    "proto", Kind.TEXT, "only of this protocol", allowed=("tcp", "udp", "icmp", "icmp6", "raw", "packet")
)


def _show(what: str, record: type, summary: str, *query: Parameter) -> Endpoint:
    return Endpoint("GET", f"/v1/{what}", reading.show(what), summary, list[record], query=(_NETNS, *query))  # type: ignore[valid-type] # a record of the table


_SHOWN: Final = (
    _show("netns", schema.NetnsRecord, "Namespaces."),
    _show("devices", schema.DeviceRecord, "Devices with their counters."),
    _show("addresses", schema.AddressRecord, "Addresses.", _FAMILY),
    Endpoint(
        "GET",
        "/v1/routes",
        reading.routes,
        f"Routes of one table. Many come piece by piece; with `Accept: {LINES}`, one in a line.",
        list[schema.RouteRecord],
        query=(_NETNS, _FAMILY, _TABLE._replace(text='a table\'s number or name (main), or "all"')),
    ),
    _show("rules", schema.RuleRecord, "Rules, in the order in which they are asked.", _FAMILY),
    _show("nexthops", schema.NextHopObjectRecord, "Next-hop objects.", _FAMILY),
    _show("neighbors", schema.NeighborRecord, "Neighbours.", _FAMILY),
    _show("routers", schema.RouterRecord, "Default routers, as they were learned."),
    _show("adverts", schema.AdvertRecord, "What devices advertise as routers."),
    _show("groups", schema.GroupRecord, "Groups that namespaces are members of.", _FAMILY),
    _show("listeners", schema.ListenerRecord, "Members of groups that queriers heard of.", _FAMILY),
    _show("queriers", schema.QuerierRecord, "Who asks for members of groups."),
    _show("mroutes", schema.MrouteRecord, "Multicast routes.", _FAMILY),
    _show("bridges", schema.BridgeRecord, "Bridges and their spanning trees."),
    _show("ports", schema.PortRecord, "Ports of bridges, with their VLANs."),
    _show("fdb", schema.FdbRecord, "Where bridges know stations to be."),
    _show("mdb", schema.MdbRecord, "Groups that are wanted at ports of bridges.", _FAMILY),
    _show("vlans", schema.VlanRecord, "Devices that are a VLAN of another."),
    Endpoint(
        "GET",
        "/v1/sockets",
        reading.sockets,
        f"Sockets and connections. Many come piece by piece; with `Accept: {LINES}`, one in a line.",
        list[schema.SocketRecord],
        query=(
            _NETNS,
            _PROTO,
            Parameter("state", Kind.TEXT, "in ss(8)'s words", allowed=tuple(filter(None, STATE_NAMES))),
            _number("sport", "only with this port here"),
            _number("dport", "only with this port at the peer"),
            Parameter("listening", Kind.FLAG, "only those that have no peer"),
            Parameter("info", Kind.FLAG, "with all that is known of TCP connections"),
        ),
    ),
    _show("crossings", schema.CrossingRecord, "Ways between namespaces."),
    _show("drops", schema.DropRecord, "What was dropped, by reason; frames without a namespace under `-`."),
    _show("stats", schema.StatRecord, "Counters under Linux's names."),
    Endpoint("GET", "/v1/config", reading.config, "The configuration file as JSON.", dict[str, Any], query=(_NETNS,)),
    Endpoint(
        "GET",
        "/v1/capture",
        reading.capture,
        "A live capture at all devices that fit, as pcapng.",
        media=PCAPNG,
        query=(
            _NETNS,
            _DEV,
            _COUNT,
            _number("snaplen", "bytes kept of each frame (262144)"),
            _text("filter", "for example `udp port 53 and not host 10.0.0.1`"),
        ),
    ),
)

_NAMESPACES: Final = (
    Endpoint("POST", _NS, changing.add_netns, "Make a namespace.", schema.NetnsRecord, bodies.AddNetns, status=201),
    Endpoint(
        "PATCH", _NS, changing.set_netns, "Change who may cross into a namespace.", schema.NetnsRecord, bodies.SetNetns
    ),
    Endpoint(
        "DELETE",
        _NS,
        changing.remove_netns,
        "Remove a namespace.",
        query=(Parameter("recursive", Kind.FLAG, "its children too"),),
        status=204,
    ),
    Endpoint(
        "GET",
        f"{_NS}/sysctl",
        reading.sysctl,
        "Settings under their Linux names.",
        dict[str, int | str],
        query=(_text("name", "only this one"),),
    ),
    Endpoint(
        "PATCH",
        f"{_NS}/sysctl",
        changing.set_sysctl,
        "Change settings: all of them, or none when one is refused.",
        dict[str, int | str],
        dict[str, int | str],
    ),
    Endpoint(
        "POST",
        f"{_NS}/ping",
        changing.ping,
        f"Ping from a namespace. With `Accept: {LINES}` each reply comes as a line when it is there, the summary last.",
        schema.PingResult,
        bodies.Ping,
    ),
    Endpoint(
        "POST",
        f"{_NS}/traceroute",
        changing.traceroute,
        f"Trace a way. With `Accept: {LINES}` each probe comes as a line when it is decided, the summary last.",
        schema.TraceResult,
        bodies.Traceroute,
    ),
)

_SOCKETS: Final = (
    Endpoint(
        "DELETE",
        f"{_NS}/sockets",
        changing.kill_sockets,
        "End the sockets with these ends: ECONNABORTED for their programs, a reset for their peers.",
        query=(
            Parameter("local", Kind.TEXT, "their address and port, as in their row", required=True),
            Parameter("peer", Kind.TEXT, "the peer's", required=True),
            _PROTO,
        ),
        status=204,
    ),
)

_LINKS: Final = (
    Endpoint(
        "POST", f"{_NS}/devices", links.add_device, "Make a device.", schema.DeviceRecord, bodies.AddDevice, status=201
    ),
    Endpoint(
        "PATCH",
        _ONE_DEV,
        links.set_device,
        "Change a device: state, MTU, MAC address, master, and what it is as a bridge or a port.",
        schema.DeviceRecord,
        bodies.SetDevice,
    ),
    Endpoint("DELETE", _ONE_DEV, links.remove_device, "Remove a device.", status=204),
    Endpoint(
        "POST",
        f"{_ONE_DEV}/move",
        links.move_device,
        "Move a device to another namespace.",
        schema.DeviceRecord,
        bodies.MoveDevice,
    ),
    Endpoint(
        "POST",
        f"{_ONE_DEV}/vlans",
        links.add_vlans,
        "Make a port, or a bridge itself, a member of VLANs.",
        schema.MembershipRecord,
        bodies.AddVlans,
        status=201,
    ),
    Endpoint(
        "DELETE",
        f"{_ONE_DEV}/vlans",
        links.del_vlans,
        "Take VLANs from a port, or from a bridge itself.",
        query=(Parameter("vid", Kind.TEXT, "a number, or a range such as 10-20", required=True),),
        status=204,
    ),
    Endpoint(
        "PUT",
        f"{_ONE_DEV}/ra",
        addressing.set_ra,
        "Advertise at a device, with the keys of `[netns.NETNS.dev.DEV.ra]` in a configuration file.",
        schema.AdvertRecord,
        dict[str, Any],
    ),
    Endpoint("DELETE", f"{_ONE_DEV}/ra", addressing.del_ra, "Advertise no more.", status=204),
    Endpoint(
        "PATCH",
        f"{_ONE_DEV}/querier",
        routing.set_querier,
        "Ask who listens to groups at a device, or cease to.",
        list[schema.QuerierRecord],
        bodies.SetQuerier,
    ),
    Endpoint(
        "POST",
        f"{_NS}/ingress",
        links.add_ingress,
        "Give a tag of a device to another namespace.",
        schema.VlanRecord,
        bodies.AddIngress,
        status=201,
    ),
    Endpoint(
        "POST",
        f"{_NS}/fdb",
        links.add_fdb,
        "Say at which port of a bridge a station is.",
        schema.FdbRecord,
        bodies.AddFdb,
        status=201,
    ),
    Endpoint(
        "DELETE",
        f"{_NS}/fdb",
        links.del_fdb,
        "Forget where a station is.",
        query=(
            Parameter("mac", Kind.TEXT, "its address", required=True),
            Parameter("dev", Kind.TEXT, "the bridge, or a port of it", required=True),
            _number("vlan", "only in this VLAN"),
        ),
        status=204,
    ),
)

_ADDRESSES: Final = (
    Endpoint(
        "POST",
        f"{_NS}/addresses",
        addressing.add_address,
        "Add an address.",
        schema.AddressRecord,
        bodies.AddAddress,
        status=201,
    ),
    Endpoint(
        "DELETE",
        f"{_NS}/addresses",
        addressing.del_address,
        "Remove an address.",
        query=(_DEV._replace(required=True), _ADDRESS._replace(text="with its prefix length")),
        status=204,
    ),
    Endpoint(
        "POST",
        f"{_NS}/neighbors",
        addressing.add_neighbor,
        "Add a permanent neighbour.",
        schema.NeighborRecord,
        bodies.AddNeighbor,
        status=201,
    ),
    Endpoint(
        "DELETE",
        f"{_NS}/neighbors",
        addressing.del_neighbor,
        "Remove one neighbour, or without `address` all that are not permanent.",
        query=(_DEV, _text("address", "its address; needs `dev`"), _FAMILY),
        status=204,
    ),
    Endpoint(
        "POST",
        f"{_NS}/proxies",
        addressing.add_proxy,
        "Answer for an IPv6 address in its owner's place.",
        schema.NeighborRecord,
        bodies.AddProxy,
        status=201,
    ),
    Endpoint(
        "DELETE",
        f"{_NS}/proxies",
        addressing.del_proxy,
        "Answer for it no more.",
        query=(_DEV._replace(required=True), _ADDRESS),
        status=204,
    ),
)

_ROUTES: Final = (
    Endpoint(
        "POST", f"{_NS}/routes", routing.add_route, "Add a route.", schema.RouteRecord, bodies.AddRoute, status=201
    ),
    Endpoint(
        "DELETE",
        f"{_NS}/routes",
        routing.del_route,
        "Remove the first route that fits.",
        query=(
            _TO,
            _text("via", "its gateway"),
            _DEV,
            _text("netns", "the namespace that it leads into"),
            _number("metric", "its metric"),
            _TABLE,
            _text("type", "its type"),
            _number("nhid", "the next-hop object that it has"),
        ),
        status=204,
    ),
    Endpoint(
        "POST",
        f"{_NS}/routes/load",
        routing.load_routes,
        "Load many routes at once, from lines as for `ip -batch`: all of them, or with a wrong line none.",
        schema.LoadResult,
        query=(Parameter("replace", Kind.FLAG, "in the place of the static routes of their tables"),),
        pieces=ROUTE_LINES,
    ),
    Endpoint(
        "GET",
        f"{_NS}/route",
        reading.route,
        "Which way a packet from here takes, or with `iif` one that came in there.",
        schema.RouteAnswer,
        query=(
            Parameter("to", Kind.TEXT, "an address", required=True),
            _text("from", "its source address"),
            _text("iif", "the device that it came in by"),
            _text("oif", "the device that it has to leave by"),
            _number("mark", "its mark"),
        ),
    ),
    Endpoint("POST", f"{_NS}/rules", routing.add_rule, "Add a rule.", schema.RuleRecord, bodies.AddRule, status=201),
    Endpoint(
        "DELETE",
        f"{_NS}/rules",
        routing.del_rule,
        "Remove the first rule that has what is given.",
        query=(
            _text("family", "inet or inet6"),
            _number("priority", "its priority"),
            _text("from", "the prefix of the source"),
            _text("to", "the prefix of the destination"),
            _text("iif", "the device that packets came in by"),
            _text("oif", "the device that sockets are bound to"),
            _text("mark", "MARK or MARK/MASK"),
            _text("tos", "type of service"),
            Parameter("invert", Kind.FLAG, "what does not fit"),
            _TABLE._replace(text="the table that is asked"),
            _text("action", "blackhole, unreachable, prohibit, nop"),
            _number("goto", "the priority of the next rule"),
            _number("suppress_prefixlength", "prefixes of this length and less do not count"),
        ),
        status=204,
    ),
    Endpoint(
        "POST",
        f"{_NS}/nexthops",
        routing.add_nexthop,
        "Make a next-hop object, or change it.",
        schema.NextHopObjectRecord,
        bodies.AddNextHop,
        status=201,
    ),
    Endpoint(
        "DELETE",
        f"{_NS}/nexthops",
        routing.del_nexthop,
        "Remove a next-hop object and the routes by it.",
        query=(Parameter("id", Kind.NUMBER, "its number", required=True),),
        status=204,
    ),
    Endpoint(
        "POST",
        f"{_NS}/mroutes",
        routing.add_mroute,
        "Forward to a group.",
        schema.MrouteRecord,
        bodies.AddMroute,
        status=201,
    ),
    Endpoint(
        "DELETE",
        f"{_NS}/mroutes",
        routing.del_mroute,
        "Forward to a group no more.",
        query=(Parameter("group", Kind.TEXT, "the group", required=True), _text("source", "its source (any)")),
        status=204,
    ),
    Endpoint(
        "PATCH",
        f"{_NS}/multicast",
        routing.set_multicast,
        "The IGMP and MLD proxy, and multicast DNS between links.",
        body=bodies.SetMulticast,
        status=204,
    ),
)

_ROUTER: Final = (
    Endpoint(
        "GET", "/events", reading.events, "What changes, as server-sent events.", media=EVENT_STREAM, query=(_NETNS,)
    ),
    Endpoint("GET", "/openapi.json", reading.openapi, "This document.", dict[str, Any]),
    Endpoint("GET", "/metrics", metrics.metrics, "Metrics in Prometheus's text format.", media=TEXT, public=True),
    Endpoint("GET", "/healthz", reading.healthz, "The loop lives.", schema.Health, public=True),
    Endpoint(
        "GET", "/readyz", reading.readyz, "200 when every configured device is open, else 503.", schema.Health,
        public=True,
    ),
)  # fmt: skip

ENDPOINTS: Final = (*_SHOWN, *_NAMESPACES, *_SOCKETS, *_LINKS, *_ADDRESSES, *_ROUTES, *_ROUTER)
