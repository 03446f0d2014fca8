"""What bodies and answers are made of: the one description that requests are checked by and OpenAPI is made from.

Records are what `show --json` prints and Python's `red.routes()` returns. Addresses are text, times ns, sizes bytes.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from msgspec import UNSET, Meta, Struct, UnsetType, field

from vrouter.stack.device import MAX_MTU, MIN_MTU

Path = Annotated[str, Meta(min_length=1, max_length=1024)]
Word = Annotated[str, Meta(min_length=1, max_length=255)]
Mtu = Annotated[int, Meta(ge=MIN_MTU, le=MAX_MTU)]


class Error(Struct):
    """Why something was refused; `error` is the errno's name."""

    error: str
    message: str


# -- records ----------------------------------------------------------------------------------------------------------


class NetnsRecord(Struct):
    """A namespace."""

    netns: str
    kind: str
    devices: int
    accept_from: list[str]


class DeviceRecord(Struct):
    """A device; `ifname` is the kernel's name of a TAP, `error` why it is not up."""

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


class AddressRecord(Struct):
    """An address of a device."""

    netns: str
    dev: str
    address: str
    scope: str
    state: str


class NeighborRecord(Struct):
    """A neighbour; without `mac` it is not resolved."""

    netns: str
    dev: str
    address: str
    mac: str | None
    state: str
    age_ns: int


class NextHopRecord(Struct):
    """One of several next hops of a route."""

    via: str | None
    dev: str | None
    weight: int


class RouteRecord(Struct):
    """A route; `target_netns` is set for a short-cut, `nexthops` when there are several. `mtu`, `advmss` and `nhid` are
    null when it has none of its own."""

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


class SocketRecord(Struct):
    """A socket."""

    netns: str
    proto: str
    state: str
    local: str
    peer: str | None
    rx_queue: int
    tx_queue: int


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


class RouteAnswer(RouteRecord, kw_only=True):
    """The route that a packet takes, and its source address; for a crossing, whether it is let in there."""

    accepted: bool | UnsetType = UNSET


class Health(Struct):
    """`status` is "ok", or "waiting" for the devices (``NETNS/DEV``) that are not open."""

    status: str
    waiting: list[str]


# -- bodies -----------------------------------------------------------------------------------------------------------


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
    mtu: Mtu = 1500
    mac: str | UnsetType = UNSET
    queues: int = 1
    offload: bool = True
    up: bool = True
    acd: Literal["announce", "probe"] = "announce"
    peer: dict[str, str] | UnsetType = UNSET
    host: dict[str, Any] | UnsetType = UNSET


class SetDevice(Body):
    """Change a device; what is left out stays."""

    up: bool | None = None
    mtu: Mtu | None = None


class MoveDevice(Body):
    """Move a device to another namespace, under `name` when it is given; what it had stays behind."""

    netns: Path
    name: Word | None = None


class AddAddress(Body):
    """Give a device an address with its prefix length, such as "10.0.1.1/24"."""

    dev: Word
    address: Word


class AddRoute(Body):
    """Add a route: by gateway, by device, or with `netns` into another namespace (counted from the top)."""

    to: Word
    via: Word | None = None
    dev: Word | None = None
    netns: Path | None = None
    metric: Annotated[int, Meta(ge=0, le=2**32 - 1)] = 0
    type: str = "unicast"
    src: Word | None = None


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
    size: Annotated[int, Meta(ge=0, le=65507)] = 56
    interval_ns: Annotated[int, Meta(ge=0, le=3600 * 10**9)] = 1_000_000_000
    timeout_ns: Annotated[int, Meta(ge=1_000_000, le=3600 * 10**9)] = 1_000_000_000
    ttl: Annotated[int, Meta(ge=1, le=255)] | None = None
    src: Word | None = None
    dont_fragment: bool = False
