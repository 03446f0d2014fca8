"""What an endpoint is: one method of one path, with everything that dispatch and OpenAPI need to know of it."""

from __future__ import annotations

import enum
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from vrouter.control.connection import JSON

if TYPE_CHECKING:
    from vrouter.appliance import Router

PCAPNG: Final = "application/x-pcapng"
EVENT_STREAM: Final = "text/event-stream"
LINES: Final = "application/x-ndjson"
ROUTE_LINES: Final = "text/plain"
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
    allowed: tuple[int | str, ...] = ()
    """The only values, when there are few."""


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
    pieces: str = ""
    """The media type of a body that the handler takes piece by piece as it comes, however large; "" for JSON."""
