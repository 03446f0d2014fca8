"""From a request to the endpoint that answers it: paths, queries and bodies, checked before a handler sees them.

Next: `reading`, `changing`, `links`, `addressing`, `routing`, `streaming` and `metrics` do what the table says.
"""

from __future__ import annotations

from collections.abc import Awaitable
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, unquote

import msgspec

from vrouter.control.call import Call
from vrouter.control.connection import Request, Response
from vrouter.control.endpoint import Endpoint, Kind, Parameter
from vrouter.control.endpoints import ENDPOINTS
from vrouter.control.errors import Refused

if TYPE_CHECKING:
    from vrouter.appliance import Router


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

    def streams(self, method: str, target: str) -> bool:
        """Whether the body of such a request is taken piece by piece."""
        try:
            return bool(self.find(method, target.partition("?")[0])[0].pieces)
        except Refused:
            return False  # `answer` says so

    async def answer(self, request: Request) -> Response:
        """The answer to a request; exceptions of a handler go to the caller."""
        path, _, query = request.target.partition("?")
        endpoint, names = self.find(request.method, path)
        if endpoint.pieces and not request.with_body:
            raise _without_body(endpoint)
        body, raw = (None, None) if endpoint.pieces else _body(endpoint, request.body)
        call = Call(names, _query(endpoint, query), body, raw, request.headers, request.pieces)
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
    value = _converted(parameter, text)
    if parameter.allowed and value not in parameter.allowed:
        words = " or ".join(map(str, parameter.allowed))
        raise Refused(400, "EINVAL", f"parameter {parameter.name!r} is {words}, not {text!r}")
    return value


def _converted(parameter: Parameter, text: str) -> Any:
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


def _without_body(endpoint: Endpoint) -> Refused:
    return Refused(411, "EINVAL", f"{endpoint.method} {endpoint.path} needs a body with its length")


def _body(endpoint: Endpoint, data: bytes | None) -> tuple[Any, Any]:
    if endpoint.body is None:
        if data:
            raise Refused(400, "EINVAL", f"{endpoint.method} {endpoint.path} takes no body")
        return None, None
    if data is None:
        raise _without_body(endpoint)
    try:
        raw = msgspec.json.decode(data)
        return msgspec.convert(raw, endpoint.body), raw
    except (msgspec.ValidationError, msgspec.DecodeError, RecursionError, UnicodeDecodeError) as error:
        raise Refused(400, "EINVAL", f"the body: {error}") from None
