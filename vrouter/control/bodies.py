"""What requests are made of: each body is checked by its type here, and OpenAPI describes it from that.

What is judged by the configuration's reader or by the stack is only named here; their errors come back as they are.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from msgspec import UNSET, Meta, Struct, UnsetType, field, structs

from vrouter.stack.device import MAX_MTU, MIN_MTU

Path = Annotated[str, Meta(min_length=1, max_length=1024)]
Word = Annotated[str, Meta(min_length=1, max_length=255)]
Mtu = Annotated[int, Meta(ge=MIN_MTU, le=MAX_MTU)]
Number = Annotated[int, Meta(ge=0, le=2**32 - 1)]
Table = Word | Annotated[int, Meta(ge=1, le=2**32 - 1)]
Vid = Annotated[int, Meta(ge=0, le=4094)]
Vids = list[Vid | Word]


class Body(Struct, forbid_unknown_fields=True, kw_only=True):
    """A request's body: unknown keys are refused."""


class AddNetns(Body):
    """Make a namespace; its parent must exist."""

    kind: str = "l2"
    accept_from: list[Path] = []


class SetNetns(Body):
    """Who may cross into a namespace: names, or `["*"]` for anyone."""

    accept_from: list[Path]


class AddDevice(Struct, kw_only=True):
    """Make a device, with the keys of `[netns.NETNS.dev.NAME]` in a configuration file."""

    name: Word
    kind: str = "tap"
    ifname: str | UnsetType = UNSET
    addresses: list[Word] = []
    mtu: Mtu | UnsetType = UNSET
    mac: str | UnsetType = UNSET
    queues: int = 1
    offload: bool = True
    up: bool = True
    acd: Literal["announce", "probe"] = "announce"
    peer: dict[str, str] | UnsetType = UNSET
    host: dict[str, Any] | UnsetType = UNSET
    parent: Word | UnsetType = UNSET
    vid: int | UnsetType = UNSET
    protocol: Literal["802.1Q", "802.1ad"] | UnsetType = UNSET
    ports: list[Word] | UnsetType = UNSET
    stp: Literal["none", "stp", "rstp"] | UnsetType = UNSET
    priority: int | UnsetType = UNSET
    hello_time: int | UnsetType = UNSET
    max_age: int | UnsetType = UNSET
    forward_delay: int | UnsetType = UNSET
    ageing_time: int | UnsetType = UNSET
    vlan_filtering: bool | UnsetType = UNSET
    default_pvid: int | UnsetType = UNSET
    mcast_snooping: bool | UnsetType = UNSET
    mcast_querier: bool | UnsetType = UNSET
    bridge: Word | UnsetType = UNSET
    port: dict[str, Any] | UnsetType = UNSET
    autoconf: bool | UnsetType = UNSET
    addr_gen_mode: str | UnsetType = UNSET
    ra: dict[str, Any] | UnsetType = UNSET
    neighbors: list[dict[str, str]] | UnsetType = UNSET
    proxy: list[str] | UnsetType = UNSET


class SetDevice(Body):
    """Change a device; what is left out stays. `master` is the bridge whose port it becomes (null: of none). Of a
    bridge, stp to mcast_querier (times in s); of a port, cost to storm; of both, its VLANs."""

    up: bool | UnsetType = UNSET
    mtu: Mtu | UnsetType = UNSET
    mac: Word | UnsetType = UNSET
    master: Word | UnsetType | None = UNSET
    autoconf: bool | UnsetType = UNSET
    stp: Literal["none", "stp", "rstp"] | UnsetType = UNSET
    priority: int | UnsetType = UNSET
    hello_time: int | UnsetType = UNSET
    max_age: int | UnsetType = UNSET
    forward_delay: int | UnsetType = UNSET
    ageing_time: int | UnsetType = UNSET
    vlan_filtering: bool | UnsetType = UNSET
    default_pvid: Vid | UnsetType = UNSET
    mcast_snooping: bool | UnsetType = UNSET
    mcast_querier: bool | UnsetType = UNSET
    cost: int | UnsetType = UNSET
    edge: bool | UnsetType | None = UNSET
    guard: Literal["none", "bpdu", "root"] | UnsetType = UNSET
    state: Literal["forwarding", "learning", "blocking", "disabled"] | UnsetType = UNSET
    isolated: bool | UnsetType = UNSET
    learning: bool | UnsetType = UNSET
    flood: bool | UnsetType = UNSET
    mcast_router: bool | UnsetType = UNSET
    storm: dict[str, Number] | UnsetType = UNSET
    pvid: Vid | UnsetType = UNSET
    untagged: Vids | UnsetType = UNSET
    tagged: Vids | UnsetType = UNSET


class AddVlans(Body):
    """Make a port, or a bridge itself, a member of VLANs: numbers, and text such as "10-20"."""

    vids: Annotated[Vids, Meta(min_length=1)]
    pvid: bool = False
    untagged: bool = False


class AddFdb(Body):
    """Say at which port a station is; without `vlan` in every VLAN of the port."""

    mac: Word
    dev: Word
    vlan: Vid = 0


class AddIngress(Body):
    """Give a tag of a device to another namespace (counted from the top), where it is the device `name`."""

    dev: Word
    vid: Vid
    netns: Path
    name: Word
    protocol: Literal["802.1Q", "802.1ad"] = "802.1Q"


class MoveDevice(Body):
    """Move a device to another namespace, under `name` when it is given; what it had stays behind."""

    netns: Path
    name: Word | None = None


class AddAddress(Body):
    """Give a device an address with its prefix length, such as "10.0.1.1/24"."""

    dev: Word
    address: Word


class Hop(Body):
    """One of several next hops of a route."""

    via: Word | None = None
    dev: Word | None = None
    weight: Annotated[int, Meta(ge=1, le=256)] = 1
    onlink: bool = False


class AddRoute(Body):
    """Add a route: by gateway, by device, by several next hops or a next-hop object, or with `netns` into another
    namespace (counted from the top). `replace`: in the place of those of the same prefix and metric."""

    to: Word
    via: Word | None = None
    dev: Word | None = None
    netns: Path | None = None
    metric: Number = 0
    type: str = "unicast"
    src: Word | None = None
    table: Table = "main"
    proto: Word = "static"
    scope: Word | None = None
    mtu: Number = 0
    advmss: Number = 0
    onlink: bool = False
    nexthops: list[Hop] | None = None
    nhid: Number | None = None
    replace: bool = False


class AddRule(Body):
    """Add a rule: what it asks, and a `table`, a `goto` or another `action`. Without addresses it is of `family`."""

    family: Literal["inet", "inet6"] | UnsetType = UNSET
    priority: Number | UnsetType = UNSET
    from_: Word | UnsetType = field(default=UNSET, name="from")
    to: Word | UnsetType = UNSET
    iif: Word | UnsetType = UNSET
    oif: Word | UnsetType = UNSET
    mark: Word | Number | UnsetType = UNSET
    tos: Word | Number | UnsetType = UNSET
    invert: bool | UnsetType = UNSET
    table: Table | UnsetType = UNSET
    action: Word | UnsetType = UNSET
    goto: Number | UnsetType = UNSET
    suppress_prefixlength: Number | UnsetType = UNSET


class Member(Body):
    """One object of a group."""

    id: Number
    weight: Annotated[int, Meta(ge=1, le=256)] = 1


class AddNextHop(Body):
    """Make a next-hop object; without `id` the lowest free one. `replace`: or change the one that is there."""

    id: Number = 0
    via: Word | None = None
    dev: Word | None = None
    group: list[Member] | None = None
    blackhole: bool = False
    onlink: bool = False
    family: Literal["inet", "inet6"] | None = None
    replace: bool = False


class Way(Body):
    """A device that a multicast route leads out of; only packets with a larger TTL."""

    dev: Word
    ttl: Annotated[int, Meta(ge=0, le=255)] = 0


class AddMroute(Body):
    """Forward to a group what comes in by `iif` (a device, or "@NETNS"): out of `oifs` and into `netns`."""

    group: Word
    iif: Path
    oifs: list[Word | Way] = []
    source: Word | None = None
    netns: Path | None = None


class ProxyDevices(Body):
    """The devices of an IGMP and MLD proxy."""

    upstream: Word
    downstream: Annotated[list[Word], Meta(min_length=1)]


class SetMulticast(Body):
    """What is done with groups as a whole; what is left out stays, and null or nothing ends it."""

    proxy: ProxyDevices | UnsetType | None = UNSET
    mdns: list[Word] | UnsetType = UNSET


class SetQuerier(Body):
    """Whether listeners are asked for at a device; what is left out stays."""

    igmp: bool | None = None
    mld: bool | None = None


class AddProxy(Body):
    """Answer for an IPv6 address at a device."""

    dev: Word
    address: Word


class AddNeighbor(Body):
    """Add a permanent neighbour."""

    dev: Word
    address: Word
    mac: Word


class Ping(Body):
    """Ping `dst`: `size` bytes of data, `interval_ns` between requests (0: the next when the one before is decided),
    `timeout_ns` for each reply."""

    dst: Word
    count: Annotated[int, Meta(ge=1, le=100_000)] = 4
    size: Annotated[int, Meta(ge=0, le=65527)] = 56
    interval_ns: Annotated[int, Meta(ge=0, le=3600 * 10**9)] = 1_000_000_000
    timeout_ns: Annotated[int, Meta(ge=1_000_000, le=3600 * 10**9)] = 1_000_000_000
    ttl: Annotated[int, Meta(ge=1, le=255)] | None = None
    src: Word | None = None
    dont_fragment: bool = False


class Traceroute(Body):
    """Trace the way to `dst`, an address or a name for the namespace's resolver (of `family`): `probes` for each hop,
    `timeout_ns` for each of them. `port` is TCP's (80), or the first of UDP's (33434). With `find_mtu` they are as
    large as the path takes."""

    dst: Word
    method: Literal["udp", "icmp", "tcp"] = "udp"
    family: Literal[4, 6] | None = None
    first_hop: Annotated[int, Meta(ge=1, le=255)] = 1
    max_hops: Annotated[int, Meta(ge=1, le=255)] = 30
    probes: Annotated[int, Meta(ge=1, le=10)] = 3
    timeout_ns: Annotated[int, Meta(ge=1_000_000, le=3600 * 10**9)] = 5_000_000_000
    port: Annotated[int, Meta(ge=1, le=65535)] | None = None
    src: Word | None = None
    device: Word | None = None
    find_mtu: bool = False


def given(body: Struct) -> dict[str, Any]:
    """The keys of a body that it was given, under their names in Python."""
    return {name: value for name, value in structs.asdict(body).items() if value is not UNSET}
