"""The way of a datagram from a socket to the namespace: where to, from where, how large, by which route.

Expects: a socket that is open and has a port. The order of the checks is Linux's (udp_sendmsg), and so are the errors.
Next: the namespace's ``send_ip``.
"""

from __future__ import annotations

import errno
from typing import TYPE_CHECKING, Any, Final

from vrouter.stack.base.addresses import V4, is_multicast4
from vrouter.stack.base.errors import os_error
from vrouter.stack.base.packet import CONFIRM, Packet
from vrouter.stack.l4 import constants as c
from vrouter.stack.l4.ancillary import Outgoing, QueuedError
from vrouter.stack.l4.names import parse_name
from vrouter.stack.wire.ipv4 import MAX_PACKET, MIN_HEADER

if TYPE_CHECKING:
    from collections.abc import Iterable

    from vrouter.stack.device import Device
    from vrouter.stack.l4.socket import Socket

_REFUSED_FLAGS: Final = c.MSG_OOB | c.MSG_MORE | c.MSG_DONTROUTE
_BROADCAST: Final = 3  # the route's type, RTN_BROADCAST
_LOOPBACK4: Final = 0x7F000001


def datagram_output(
    sock: Socket,
    data: bytes | bytearray | memoryview,
    flags: int,
    address: Any,
    ancdata: Iterable[tuple[int, int, bytes | bytearray | memoryview]],
    now: int,
) -> int:
    """Send one datagram to `address` (None: the peer); its length in bytes. Errors as `Socket.sendto`."""
    size = data.nbytes if isinstance(data, memoryview) else len(data)
    if size > MAX_PACKET:
        raise os_error(errno.EMSGSIZE)
    if flags & _REFUSED_FLAGS:
        raise os_error(errno.EOPNOTSUPP)
    table = sock.table
    if address is None:
        if not sock.peer:
            raise os_error(errno.EDESTADDRREQ)
        dst, port = sock.peer, sock.peer_port
        table.check_outgoing(data, port or 1)  # Linux sends to port 0 of a peer
    else:
        aimed = sock.aimed
        if aimed is None or aimed[0] != address:
            aimed = sock.aimed = (address, *parse_name(address, "sendto"))
        _, dst, port = aimed
        table.check_outgoing(data, port)
    ttl, tos, mark, device, source = -1, sock.tos, sock.mark, sock.device, sock.source
    if ancdata:
        how = Outgoing(sock)
        how.apply(sock, ancdata)
        ttl, tos, mark, device, source = how.ttl, how.tos, how.mark, how.device, how.source
    dst, route, source = find_route(sock, dst, device, source, sending=True)
    if ttl < 0:
        if is_multicast4(dst):
            ttl = 1 if sock.multicast is None else sock.multicast.ttl
        else:
            ttl = sock.ttl or sock.ns.conf.ip_default_ttl
    dont_fragment = _dont_fragment(sock, route, dst, size + table.header + MIN_HEADER, now)
    if sock.error:
        raise os_error(sock.take_error())
    if sock.shut & 2:
        raise os_error(errno.EPIPE)
    pkt = Packet.for_payload(data)
    pkt.src, pkt.dst, pkt.family, pkt.proto = source, dst, V4, table.proto
    pkt.sock = sock
    pkt.mark = mark
    if flags & c.MSG_CONFIRM:
        pkt.flags |= CONFIRM
    table.push_header(sock, pkt, port)
    sock.ns.send_ip(pkt, route, now, ttl=ttl, tos=tos, dont_fragment=dont_fragment)
    return size


def find_route(
    sock: Socket, dst: int, device: Device | None, source: int, *, sending: bool = False
) -> tuple[int, Any, int]:
    """(destination, route, source) for `dst`; 0.0.0.0 means this host. `device` and `source` are what is prescribed.

    OSError ENODEV (the device is gone), EACCES (broadcast without SO_BROADCAST), and what the route says.
    """
    multicast = sock.multicast
    if multicast is not None and is_multicast4(dst):
        device, source = device or multicast.device, source or multicast.address
    if device is not None and (device.removed or device.ns is not sock.ns):
        raise os_error(errno.ENODEV)
    dst = dst or source or _LOOPBACK4
    route, source = sock.ns.route_output(dst, source, device, sending=sending)
    if route.type == _BROADCAST and not sock.options & c.BROADCAST:
        raise os_error(errno.EACCES)
    return dst, route, source


def _dont_fragment(sock: Socket, route: Any, dst: int, size: int, now: int) -> bool:
    """Whether a packet of `size` bytes gets Don't Fragment (WANT sets it on what fits); OSError EMSGSIZE."""
    discover = sock.mtu_discover
    mtu = MAX_PACKET
    if discover != c.IP_PMTUDISC_DONT:
        mtu = min(sock.ns.ip4.path_mtu(route, dst, now), MAX_PACKET)
    if size > (mtu if discover == c.IP_PMTUDISC_DO else MAX_PACKET):
        if sock.options & c.RECVERR:
            sock.queue_error(QueuedError(errno.EMSGSIZE, c.SO_EE_ORIGIN_LOCAL, 0, 0, mtu, 0, dst, sock.peer_port, b""))
        raise os_error(errno.EMSGSIZE)
    return discover != c.IP_PMTUDISC_DONT and size <= mtu


def peer_mtu(sock: Socket) -> int:
    """What the path to the peer takes (IP_MTU), in bytes; OSError ENOTCONN without a peer."""
    if not sock.peer:
        raise os_error(errno.ENOTCONN)
    dst, route, _ = find_route(sock, sock.peer, sock.device, sock.source)
    return min(sock.ns.ip4.path_mtu(route, dst, sock.ns.stack.now), MAX_PACKET)
