"""What answers are made of: the one description that OpenAPI is made from (`bodies` has what requests are checked by).

Records are what `show --json` prints and Python's `red.routes()` returns. Addresses are text, times ns, sizes bytes.
"""

from __future__ import annotations

from msgspec import UNSET, Struct, UnsetType, field


class LineProblem(Struct):
    """What is wrong in one line of many; the first line is 1, and 0 is no line of its own."""

    line: int
    text: str


class Error(Struct):
    """Why something was refused; `error` is the errno's name. `problems` are there when lines were refused."""

    error: str
    message: str
    problems: list[LineProblem] | UnsetType = UNSET


# -- records ----------------------------------------------------------------------------------------------------------


class NetnsRecord(Struct):
    """A namespace."""

    netns: str
    kind: str
    devices: int
    accept_from: list[str]


class DeviceRecord(Struct):
    """A device; `ifname` is the kernel's name of a TAP, `error` why it is not up. A vlan has `parent`, `vid` and
    `protocol`; `master` is the bridge whose port it is."""

    netns: str
    dev: str
    ifindex: int
    kind: str
    ifname: str | None
    mac: str | None
    mtu: int
    state: str
    error: str
    offload: bool
    rx_packets: int
    tx_packets: int
    rx_bytes: int
    tx_bytes: int
    rx_drops: int
    tx_drops: int
    parent: str | None
    vid: int | None
    protocol: str | None
    master: str | None


class AddressRecord(Struct):
    """An address of a device. `state` is tentative, preferred, deprecated or conflict, `origin` who made it (static,
    kernel, ra); the lifetimes are null when they have no end."""

    netns: str
    dev: str
    address: str
    scope: str
    state: str
    family: str
    origin: str
    valid_ns: int | None
    preferred_ns: int | None


class NeighborRecord(Struct):
    """A neighbour; without `mac` it is not resolved. `router`: it says that it is one (IPv6). The state PROXY is that
    of an address that is answered for here."""

    netns: str
    dev: str
    address: str
    mac: str | None
    state: str
    age_ns: int
    router: bool


class NextHopRecord(Struct):
    """One of several next hops of a route."""

    via: str | None
    dev: str | None
    weight: int


class RouteRecord(Struct):
    """A route; `target_netns` is set for a short-cut, `nexthops` when there are several. `mtu`, `advmss` and `nhid` are
    null when it has none of its own; `expires_ns` and `pref` are of routes that a router advertised."""

    netns: str
    to: str
    via: str | None
    dev: str | None
    target_netns: str | None
    type: str
    metric: int
    table: str
    proto: str
    scope: str
    src: str | None
    mtu: int | None
    advmss: int | None
    onlink: bool
    nhid: int | None
    nexthops: list[NextHopRecord] | None
    expires_ns: int | None
    pref: str | None


class RuleRecord(Struct, kw_only=True):
    """A rule; what it does not ask is null. `action` is table, goto, blackhole, unreachable, prohibit or nop."""

    netns: str
    family: str
    priority: int
    from_: str | None = field(name="from")
    to: str | None
    iif: str | None
    oif: str | None
    mark: str | None
    tos: int | None
    invert: bool
    action: str
    table: str | None
    goto: int | None
    suppress_prefixlength: int | None


class GroupMember(Struct):
    """One object of a group of them."""

    id: int
    weight: int


class NextHopObjectRecord(Struct):
    """A next-hop object: by `via` and `dev`, a `group` of others, or a blackhole."""

    netns: str
    id: int
    family: str
    via: str | None
    dev: str | None
    group: list[GroupMember] | None
    blackhole: bool
    onlink: bool


class RouterRecord(Struct):
    """A default router that a device learned of; what was said of the whole link stands beside each of them."""

    netns: str
    dev: str
    address: str
    preference: str
    expires_ns: int
    state: str
    managed: bool
    other: bool
    dns: list[str]
    search: list[str]
    nat64: list[str]


class AdvertPrefix(Struct):
    """A prefix that is advertised; lifetimes in s."""

    prefix: str
    valid: int
    preferred: int
    on_link: bool
    autonomous: bool


class AdvertRoute(Struct):
    """A route that is advertised; its lifetime in s, null: three times `max_interval`."""

    prefix: str
    preference: str
    lifetime: int | None


class AdvertRecord(Struct):
    """What a device advertises as a router: `reachable` and `retrans` in ms, other times in s. `state` is silent while
    the device is no router, or not ready."""

    netns: str
    dev: str
    state: str
    sent: int
    lifetime: int
    preference: str
    managed: bool
    other: bool
    hop_limit: int | None
    mtu: int | None
    reachable: int
    retrans: int
    min_interval: int
    max_interval: int
    prefixes: list[AdvertPrefix]
    routes: list[AdvertRoute]
    rdnss: list[str]
    dnssl: list[str]
    pref64: str | None


class GroupRecord(Struct):
    """A group that a namespace is a member of at a device: from all but `sources` (exclude), or from them alone."""

    netns: str
    dev: str
    group: str
    mode: str
    sources: list[str]
    users: int


class ListenerRecord(Struct):
    """What a querier heard of a group; `requested` are sources with the time that is left to them."""

    netns: str
    dev: str
    group: str
    mode: str
    sources: list[str]
    requested: dict[str, int]
    version: int
    expires_ns: int


class QuerierRecord(Struct):
    """Who asks for members at a device: `elected` says that it is this router."""

    netns: str
    dev: str
    protocol: str
    version: int
    querier: str | None
    elected: bool
    expires_ns: int | None
    groups: int
    refused: int


class WayOut(Struct):
    """A device that a multicast route leads out of, and the TTL that a packet must have more of."""

    dev: str
    ttl: int


class MrouteRecord(Struct):
    """A multicast route (`proto` static), or what the proxy forwards; a `source` of null is any."""

    netns: str
    group: str
    source: str | None
    iif: str
    oifs: list[WayOut]
    target_netns: str | None
    proto: str
    packets: int
    bytes: int
    wrong_iif: int


class BridgeRecord(Struct):
    """A bridge; times in s."""

    netns: str
    dev: str
    ports: list[str]
    stp: str
    priority: int
    hello_time: int
    max_age: int
    forward_delay: int
    ageing_time: int
    bridge_id: str
    root_id: str
    root_cost: int
    root_port: str
    topology_changes: int
    vlan_filtering: bool
    default_pvid: int
    pvid: int
    vlans: list[int]
    mcast_snooping: bool
    mcast_querier: bool


class PortRecord(Struct):
    """A port of a bridge, and the VLANs that it is a member of; `storm` in frames a second."""

    netns: str
    bridge: str
    dev: str
    port: int
    state: str
    role: str
    cost: int
    priority: int
    edge: bool
    guard: str
    designated_root: str
    designated_bridge: str
    isolated: bool
    learning: bool
    flood: bool
    storm: dict[str, int]
    pvid: int
    untagged: list[int]
    tagged: list[int]


class FdbRecord(Struct):
    """Where a bridge knows a station to be; `state` is dynamic, static or permanent."""

    netns: str
    bridge: str
    mac: str
    dev: str
    vlan: int
    state: str
    age_ns: int


class MdbRecord(Struct):
    """A group that is wanted at a port."""

    netns: str
    bridge: str
    dev: str
    vlan: int
    group: str
    expires_ns: int


class VlanRecord(Struct):
    """A device that is a VLAN of another, perhaps of another namespace's."""

    netns: str
    dev: str
    parent: str
    parent_netns: str
    vid: int
    protocol: str


class SocketTimer(Struct):
    """The timer of a connection that comes up first: `kind` is on, persist, keepalive or timewait, `count` how often it
    has come up in a row."""

    kind: str
    expires_ns: int
    count: int


class SocketRecord(Struct):
    """A socket. With `info` TCP's have more: `options` are ss(8)'s words, `tcp_info` Linux's structure by name."""

    netns: str
    proto: str
    state: str
    local: str
    peer: str | None
    rx_queue: int
    tx_queue: int
    timer: SocketTimer | UnsetType | None = UNSET
    congestion: str | UnsetType | None = UNSET
    options: list[str] | UnsetType = UNSET
    tcp_info: dict[str, int] | UnsetType | None = UNSET


class CrossingRecord(Struct, kw_only=True):
    """One direction between two namespaces; `netns` is where it begins."""

    netns: str
    from_: str = field(name="from")
    to: str
    kind: str
    accepted: bool
    packets: int
    bytes: int
    denied: int


class DropRecord(Struct):
    """How many packets died of one reason, where the count is not zero."""

    netns: str
    dev: str | None
    reason: str
    layer: str
    text: str
    count: int


class StatRecord(Struct):
    """One counter of a namespace."""

    netns: str
    name: str
    value: int


# -- answers ----------------------------------------------------------------------------------------------------------


class PingReply(Struct, kw_only=True):
    """A reply, or with `error` (the errno's name) and `message` what came instead of it. `bytes` is ICMP's length."""

    seq: int
    from_: str | None = field(name="from")
    time_ns: int | UnsetType = UNSET
    ttl: int | UnsetType = UNSET
    bytes: int | UnsetType = UNSET
    error: str | UnsetType = UNSET
    message: str | UnsetType = UNSET


class PingResult(Struct):
    """What became of a series; the times are null when nothing was received."""

    sent: int
    received: int
    min_ns: int | None
    avg_ns: int | None
    max_ns: int | None
    replies: list[PingReply]


class TraceProbe(Struct, kw_only=True):
    """Who answered a probe, or `address` null when nobody did. `error` (the errno's name), `message` and `mark` (as
    traceroute(8) writes it) tell of an answer that is neither the target's nor of a hop on the way."""

    hop: int
    probe: int
    address: str | None
    reached: bool
    rtt_ns: int | UnsetType = UNSET
    error: str | UnsetType = UNSET
    message: str | UnsetType = UNSET
    mark: str | UnsetType = UNSET
    mtu: int | UnsetType = UNSET


class TraceResult(Struct):
    """The way to `dst`; `mtu` is what the path takes, null when nothing was learnt of it."""

    dst: str
    reached: bool
    mtu: int | None
    probes: list[TraceProbe]


class RouteAnswer(RouteRecord, kw_only=True):
    """The route that a packet takes, and its source address; for a crossing, whether it is let in there. `expires_ns`
    is how long what ICMP said of the path (`mtu`, `via`) is believed, null when it said nothing."""

    accepted: bool | UnsetType = UNSET


class Health(Struct):
    """`status` is "ok", or "waiting" for the devices (``NETNS/DEV``) that are not open."""

    status: str
    waiting: list[str]


class LoadResult(Struct):
    """How many routes are in use by a load, and how long it took."""

    netns: str
    routes: int
    replace: bool
    time_ns: int


class MembershipRecord(Struct):
    """The VLANs of a port, or of a bridge itself."""

    netns: str
    dev: str
    pvid: int
    untagged: list[int]
    tagged: list[int]
