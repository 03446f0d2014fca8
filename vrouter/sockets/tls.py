"""TLS over a transport of a namespace: asyncio's own `SSLProtocol`, which needs nothing of a loop but its timers.

Expects: a `StreamTransport`, or the transport of a TLS on top of one.
Next:    the program's protocol, by the transport that the TLS gives it.
"""

from __future__ import annotations

import asyncio
import ssl
from asyncio.sslproto import SSLProtocol
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from vrouter.sockets.stream import StreamTransport

Context = ssl.SSLContext | bool | None


def check_arguments(
    tls: Context,
    host: Any,
    server_hostname: str | None,
    handshake_timeout: float | None,
    shutdown_timeout: float | None,
) -> str | None:
    """The name that a client's TLS is for; ValueError for arguments of a TLS where there is none."""
    if server_hostname is not None and not tls:
        raise ValueError("server_hostname is only meaningful with ssl")
    check_timeouts(tls, handshake_timeout, shutdown_timeout)
    if server_hostname is None and tls:
        if not host:
            raise ValueError("You must set server_hostname when using ssl without a host")
        server_hostname = host
    return server_hostname


def check_timeouts(tls: Context, handshake_timeout: float | None, shutdown_timeout: float | None) -> None:
    """ValueError for times of a TLS where there is none."""
    if handshake_timeout is not None and not tls:
        raise ValueError("ssl_handshake_timeout is only meaningful with ssl")
    if shutdown_timeout is not None and not tls:
        raise ValueError("ssl_shutdown_timeout is only meaningful with ssl")


def make_protocol(
    loop: asyncio.AbstractEventLoop,
    protocol: asyncio.BaseProtocol,
    context: Context,
    waiter: asyncio.Future[Any],
    *,
    server_side: bool = False,
    server_hostname: str | None = None,
    call_connection_made: bool = True,
    handshake_timeout: float | None = None,
    shutdown_timeout: float | None = None,
) -> Any:
    """The TLS that stands between a transport and `protocol`; `waiter` tells how the handshake ended."""
    make: Any = SSLProtocol  # its types know neither None for the client's default context nor parts of a second
    return make(
        loop,
        protocol,
        None if isinstance(context, bool) else context,
        waiter,
        server_side,
        server_hostname,
        call_connection_made=call_connection_made,
        ssl_handshake_timeout=handshake_timeout,
        ssl_shutdown_timeout=shutdown_timeout,
    )


def transport_of(tls: Any) -> asyncio.Transport:
    """The transport that the program sees."""
    transport: asyncio.Transport = tls._app_transport
    return transport


def below(transport: Any) -> Any:
    """The transport under those of any TLS."""
    while (tls := getattr(transport, "_ssl_protocol", None)) is not None:
        transport = tls._transport
    return transport


async def start_tls(
    loop: asyncio.AbstractEventLoop,
    transport: StreamTransport | asyncio.Transport,
    protocol: asyncio.BaseProtocol,
    sslcontext: ssl.SSLContext,
    *,
    server_side: bool = False,
    server_hostname: str | None = None,
    ssl_handshake_timeout: float | None = None,
    ssl_shutdown_timeout: float | None = None,
) -> asyncio.Transport:
    """``loop.start_tls`` for a connection of a namespace."""
    if not isinstance(sslcontext, ssl.SSLContext):
        raise TypeError(f"sslcontext is expected to be an instance of ssl.SSLContext, got {sslcontext!r}")
    waiter = loop.create_future()
    tls = make_protocol(
        loop,
        protocol,
        sslcontext,
        waiter,
        server_side=server_side,
        server_hostname=server_hostname,
        call_connection_made=False,
        handshake_timeout=ssl_handshake_timeout,
        shutdown_timeout=ssl_shutdown_timeout,
    )
    # What comes belongs to the TLS, once it knows its transport.
    transport.pause_reading()
    transport.set_protocol(tls)
    made = loop.call_soon(tls.connection_made, transport)
    resumed = loop.call_soon(transport.resume_reading)
    try:
        await waiter
    except BaseException:
        made.cancel()
        resumed.cancel()
        transport.abort() if waiter.cancelled() else transport.close()
        raise
    return transport_of(tls)
