"""Sockets of a namespace for asyncio: transports, streams and servers over the stack's sockets, and BSD-style sockets.

    bsd         the socket of socket(2)'s words, and what `get_extra_info("socket")` gives
    awaiting    the loop's sock_* calls for it
    addrinfo    names and numbers to socket addresses; `resolver` asks the namespace's own servers
    datagram    datagram transports
    stream      the transport of a connection; `tls` on top of it, `sendfile` into it
    connecting  create_connection, with the race of RFC 8305
    server      create_server
    streams     open_connection, start_server

Everything runs on the loop's thread. `Place` says which namespace an endpoint is to be in.
"""

from vrouter.sockets.bsd import NetnsSocket, TransportSocket
from vrouter.sockets.connecting import create_connection
from vrouter.sockets.datagram import DatagramTransport, create_datagram_endpoint
from vrouter.sockets.place import Place
from vrouter.sockets.server import Server, create_server
from vrouter.sockets.stream import StreamTransport
from vrouter.sockets.streams import open_connection, start_server

__all__ = [
    "DatagramTransport",
    "NetnsSocket",
    "Place",
    "Server",
    "StreamTransport",
    "TransportSocket",
    "create_connection",
    "create_datagram_endpoint",
    "create_server",
    "open_connection",
    "start_server",
]
