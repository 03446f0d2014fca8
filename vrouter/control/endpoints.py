"""Everything that can be asked over HTTP: one table, from which dispatch, method errors and OpenAPI come.

In a path, the name of a namespace is one segment: its own slashes are written ``%2F``
(``/v1/netns/red%2Fweb/devices``), so that no child's name can be taken for a part of the API. Other names are
percent-encoded as usual. Names count from the top.

Next: `reading`, `changing`, `streaming` and `metrics` do what the table says.
"""

from __future__ import annotations

import enum
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any, Final, NamedTuple
from urllib.parse import parse_qsl, unquote

import msgspec

from vrouter.control import changing, metrics, reading, schema
from vrouter.control.call import Call
from vrouter.control.connection import JSON, Request, Response
from vrouter.control.errors import Refused

if TYPE_CHECKING:
    from vrouter.appliance import Router

PCAPNG: Final = "application/x-pcapng"
EVENT_STREAM: Final = "text/event-stream"
LINES: Final = "application/x-ndjson"
TEXT: Final = "text/plain; version=0.0.4; charset=utf-8"


class Kind(enum.Enum):
    """What a parameter in the query is."""

    TEXT = "string"
    NUMBER = "integer"
    FLAG = "boolean"


class Parameter(NamedTuple):
    """One parameter of the query."""

    name: str
    kind: Kind
    text: str
    required: bool = False


Handler = Callable[["Router", Any], "Awaitable[Any] | Any"]


class Endpoint(NamedTuple):
    """One method of one path. `answer` is what it answers with (None: nothing), `body` what it has to be told."""

    method: str
    path: str
    handler: Handler
    summary: str
    answer: Any = None
    body: Any = None
    query: tuple[Parameter, ...] = ()
    status: int = 200
    media: str = JSON
    public: bool = False
    """Answered by the TCP listener, too."""


_NETNS = Parameter("netns", Kind.TEXT, "only this namespace, by its path from the top")
_COUNT = Parameter("count", Kind.NUMBER, "end after so many packets")
_NS = "/v1/netns/{netns}"
_DEV = Parameter("dev", Kind.TEXT, "the device")
_TO = Parameter("to", Kind.TEXT, 'a prefix, or "default"', required=True)


def _show(what: str, record: type, summary: str) -> Endpoint:
    return Endpoint("GET", f"/v1/{what}", reading.show(what), summary, list[record], query=(_NETNS,))  # type: ignore[valid-type] # a record of the table


ENDPOINTS: Final = (
    _show("netns", schema.NetnsRecord, "Namespaces."),
    _show("devices", schema.DeviceRecord, "Devices with their counters."),
    _show("addresses", schema.AddressRecord, "Addresses."),
    _show("routes", schema.RouteRecord, "Routes of the main table."),
    _show("neighbors", schema.NeighborRecord, "Neighbours."),
    _show("sockets", schema.SocketRecord, "Sockets."),
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
            Parameter("snaplen", Kind.NUMBER, "bytes kept of each frame (65535)"),
            Parameter("filter", Kind.TEXT, "for example `udp port 53 and not host 10.0.0.1`"),
        ),
    ),
    Endpoint("POST", _NS, changing.add_netns, "Make a namespace.", schema.NetnsRecord, schema.AddNetns, status=201),
    Endpoint(
        "PATCH", _NS, changing.set_netns, "Change who may cross into a namespace.", schema.NetnsRecord, schema.SetNetns
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
        "POST",
        f"{_NS}/devices",
        changing.add_device,
        "Make a device.",
        schema.DeviceRecord,
        schema.AddDevice,
        status=201,
    ),
    Endpoint(
        "PATCH",
        f"{_NS}/devices/{{dev}}",
        changing.set_device,
        "Set a device up or down, or its MTU.",
        schema.DeviceRecord,
        schema.SetDevice,
    ),
    Endpoint("DELETE", f"{_NS}/devices/{{dev}}", changing.remove_device, "Remove a device.", status=204),
    Endpoint(
        "POST",
        f"{_NS}/devices/{{dev}}/move",
        changing.move_device,
        "Move a device to another namespace.",
        schema.DeviceRecord,
        schema.MoveDevice,
    ),
    Endpoint(
        "POST",
        f"{_NS}/addresses",
        changing.add_address,
        "Add an address.",
        schema.AddressRecord,
        schema.AddAddress,
        status=201,
    ),
    Endpoint(
        "DELETE",
        f"{_NS}/addresses",
        changing.del_address,
        "Remove an address.",
        query=(
            _DEV._replace(required=True),
            Parameter("address", Kind.TEXT, "with its prefix length", required=True),
        ),
        status=204,
    ),
    Endpoint(
        "POST", f"{_NS}/routes", changing.add_route, "Add a route.", schema.RouteRecord, schema.AddRoute, status=201
    ),
    Endpoint(
        "DELETE",
        f"{_NS}/routes",
        changing.del_route,
        "Remove the first route that fits.",
        query=(
            _TO,
            Parameter("via", Kind.TEXT, "its gateway"),
            _DEV,
            Parameter("netns", Kind.TEXT, "the namespace that it leads into"),
            Parameter("metric", Kind.NUMBER, "its metric"),
        ),
        status=204,
    ),
    Endpoint(
        "GET",
        f"{_NS}/route",
        reading.route,
        "Which way a packet from here takes.",
        schema.RouteAnswer,
        query=(Parameter("to", Kind.TEXT, "an address", required=True),),
    ),
    Endpoint(
        "POST",
        f"{_NS}/neighbors",
        changing.add_neighbor,
        "Add a permanent neighbour.",
        schema.NeighborRecord,
        schema.AddNeighbor,
        status=201,
    ),
    Endpoint(
        "DELETE",
        f"{_NS}/neighbors",
        changing.del_neighbor,
        "Remove one neighbour, or without `address` all that are not permanent.",
        query=(_DEV, Parameter("address", Kind.TEXT, "its address; needs `dev`")),
        status=204,
    ),
    Endpoint(
        "GET",
        f"{_NS}/sysctl",
        reading.sysctl,
        "Settings under their Linux names.",
        dict[str, int | str],
        query=(Parameter("name", Kind.TEXT, "only this one"),),
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
        schema.Ping,
    ),
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


class _Node:
    """A position in the tree of paths: methods that end here, and what may follow."""

    __slots__ = ("children", "methods", "name", "parameter")

    def __init__(self) -> None:
        self.methods: dict[str, Endpoint] = {}
        self.children: dict[str, _Node] = {}
        self.parameter: _Node | None = None
        self.name = ""


class Dispatcher:
    """Finds the endpoint of a request, checks what it was told, and makes its result an answer."""

    def __init__(self, router: Router, *, public: bool = False) -> None:
        self.router = router
        self.encode = msgspec.json.Encoder().encode
        self.top = _Node()
        for endpoint in ENDPOINTS:
            if endpoint.public or not public:
                self._place(endpoint)

    def _place(self, endpoint: Endpoint) -> None:
        node = self.top
        for segment in endpoint.path[1:].split("/"):
            if segment.startswith("{"):
                if node.parameter is None:
                    node.parameter = _Node()
                node = node.parameter
                node.name = segment[1:-1]
            else:
                node = node.children.setdefault(segment, _Node())
        node.methods[endpoint.method] = endpoint

    def find(self, method: str, path: str) -> tuple[Endpoint, dict[str, str]]:
        """The endpoint of `method` and `path`, and the names in the path. Refused 404, 405."""
        node, found = self.top, {}
        for segment in path[1:].split("/") if path.startswith("/") else ("",):
            child = node.children.get(segment)
            if child is None and node.parameter is not None and segment:
                child = node.parameter
                found[child.name] = _decoded(segment)
            if child is None:
                raise Refused(404, "ENOENT", f"there is no {path} here; /openapi.json has all paths")
            node = child
        endpoint = node.methods.get("GET" if method == "HEAD" else method)
        if endpoint is not None:
            return endpoint, found
        if not node.methods:
            raise Refused(404, "ENOENT", f"there is no {path} here; /openapi.json has all paths")
        allowed = ", ".join([*node.methods, *(["HEAD"] if "GET" in node.methods else [])])
        text = f"{path} knows {allowed}, not {method}"
        raise Refused(405, "EOPNOTSUPP", text, ((b"Allow", allowed.encode()),))

    async def answer(self, request: Request) -> Response:
        """The answer to a request; exceptions of a handler go to the caller."""
        path, _, query = request.target.partition("?")
        endpoint, names = self.find(request.method, path)
        body, raw = _body(endpoint, request.body)
        call = Call(names, _query(endpoint, query), body, raw, request.headers)
        result = endpoint.handler(self.router, call)
        if isinstance(result, Awaitable):
            result = await result
        if isinstance(result, Response):
            return result
        if hasattr(result, "aclose"):
            return Response(endpoint.status, media=endpoint.media, stream=result)
        if endpoint.status == 204:
            return Response(204)
        data = result.encode() if isinstance(result, str) else self.encode(result)
        return Response(endpoint.status, data, endpoint.media)


def _decoded(text: str) -> str:
    try:
        return unquote(text, errors="strict")
    except UnicodeDecodeError:
        raise Refused(400, "EINVAL", f"{text!r} is not UTF-8 behind its percent signs") from None


def _query(endpoint: Endpoint, text: str) -> dict[str, Any]:
    try:
        pairs = parse_qsl(text, keep_blank_values=True, strict_parsing=True, errors="strict") if text else []
    except ValueError:
        raise Refused(400, "EINVAL", "the query is malformed") from None
    known = {parameter.name: parameter for parameter in endpoint.query}
    values: dict[str, Any] = dict.fromkeys(known)
    for name, value in pairs:
        parameter = known.get(name)
        if parameter is None:
            there_are = f"there are {', '.join(known)}" if known else "it takes none"
            raise Refused(400, "EINVAL", f"unknown parameter {name!r}: {there_are}")
        if values[name] is not None:
            raise Refused(400, "EINVAL", f"parameter {name!r} is given twice")
        values[name] = _value(parameter, value)
    for parameter in endpoint.query:
        if parameter.required and values[parameter.name] is None:
            raise Refused(400, "EINVAL", f"parameter {parameter.name!r} is missing")
    return values


def _value(parameter: Parameter, text: str) -> Any:
    if parameter.kind is Kind.NUMBER:
        if not (text.isascii() and text.isdigit() and len(text) <= 18):
            raise Refused(400, "EINVAL", f"parameter {parameter.name!r} is a number, not {text!r}")
        return int(text)
    if parameter.kind is Kind.FLAG:
        if text not in ("true", "false"):
            raise Refused(400, "EINVAL", f"parameter {parameter.name!r} is true or false, not {text!r}")
        return text == "true"
    if not text:
        raise Refused(400, "EINVAL", f"parameter {parameter.name!r} is empty")
    return text


def _body(endpoint: Endpoint, data: bytes | None) -> tuple[Any, Any]:
    if endpoint.body is None:
        if data:
            raise Refused(400, "EINVAL", f"{endpoint.method} {endpoint.path} takes no body")
        return None, None
    if data is None:
        raise Refused(411, "EINVAL", f"{endpoint.method} {endpoint.path} needs a body with its length")
    try:
        raw = msgspec.json.decode(data)
        return msgspec.convert(raw, endpoint.body), raw
    except (msgspec.ValidationError, msgspec.DecodeError, RecursionError, UnicodeDecodeError) as error:
        raise Refused(400, "EINVAL", f"the body: {error}") from None
