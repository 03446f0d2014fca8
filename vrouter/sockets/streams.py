"""``asyncio.open_connection`` and ``start_server`` in a namespace: asyncio's own readers and writers."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any, Final

from vrouter.sockets.connecting import create_connection
from vrouter.sockets.server import create_server

if TYPE_CHECKING:
    from vrouter.sockets.place import Place
    from vrouter.sockets.server import Server

LIMIT: Final = 64 * 1024

Connected = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None] | None]


async def open_connection(
    place: Place, host: Any = None, port: Any = None, *, limit: int = LIMIT, **options: Any
) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """``asyncio.open_connection``; `options` are those of ``create_connection``."""
    loop = place.loop
    reader = asyncio.StreamReader(limit=limit, loop=loop)
    protocol = asyncio.StreamReaderProtocol(reader, loop=loop)
    transport, _ = await create_connection(place, lambda: protocol, host, port, **options)
    return reader, asyncio.StreamWriter(transport, protocol, reader, loop)


async def start_server(
    place: Place,
    client_connected_cb: Connected,
    host: Any = None,
    port: Any = None,
    *,
    limit: int = LIMIT,
    **options: Any,
) -> Server:
    """``asyncio.start_server``; `options` are those of ``create_server``."""
    loop = place.loop

    def factory() -> asyncio.StreamReaderProtocol:
        reader = asyncio.StreamReader(limit=limit, loop=loop)
        return asyncio.StreamReaderProtocol(reader, client_connected_cb, loop=loop)

    return await create_server(place, factory, host, port, **options)
