"""The way of a datagram from a socket to the namespace: where to, from where, how large, by which route.

Expects: a socket that is open and has a port. The order of the checks is Linux's (udp_sendmsg, udpv6_sendmsg), and so
are the errors. Next: the namespace's ``send_ip``.

Deviation: a link-local address without a zone, on a socket bound to no device, is EINVAL to send to as it is to connect
to; Linux sends by whichever device it looks at first (RFC 4007 6: it is ambiguous).
"""

from __future__ import annotations

import errno
from typing import TYPE_CHECKING, Any, Final

from vrouter.stack.base.addresses import (
    LOOPBACK6,
    V4,
    V6,
    is_link_local6,
    is_multicast4,
    is_multicast6,
    scoped,
    zone_of,
)
from vrouter.stack.base.errors import os_error
from vrouter.stack.base.packet import CONFIRM, Packet
from vrouter.stack.l4 import constants as c
from vrouter.stack.l4.ancillary import Outgoing, QueuedError
from vrouter.stack.l4.names import Target, parse_name

if TYPE_CHECKING:
    from collections.abc import Iterable

    from vrouter.stack.device import Device
    from vrouter.stack.l4.datagram import DatagramSocket
    from vrouter.stack.l4.endpoint import Endpoint
    from vrouter.stack.l4.settings import Settings

_REFUSED_FLAGS: Final = c.MSG_OOB | c.MSG_MORE | c.MSG_DONTROUTE
_BROADCAST: Final = 3  # the route's type, RTN_BROADCAST
_LOOPBACK4: Final = 0x7F000001
_MAX_SIZE: Final = 65535
_HEADER: Final = {V4: 20, V6: 40}
_MAX_PACKET: Final = {V4: 65535, V6: 40 + 65535}  # IPv6 counts what stands behind the header


def datagram_output(
    sock: DatagramSocket,
    data: bytes | bytearray | memoryview,
    flags: int,
    address: Any,
    ancdata: Iterable[tuple[int, int, bytes | bytearray | memoryview]],
    now: int,
) -> int:
    """Send one datagram to `address` (None: the peer); its length in bytes. Errors as `DatagramSocket.sendto`."""
    size = data.nbytes if isinstance(data, memoryview) else len(data)
    if size > _MAX_SIZE:
        raise os_error(errno.EMSGSIZE)
    if flags & _REFUSED_FLAGS:
        raise os_error(errno.EOPNOTSUPP)
    table, device = sock.table, sock.device
    if address is None:
        if not sock.peer:
            raise os_error(errno.EDESTADDRREQ)
        family, dst, port, flow = sock.at, sock.peer, sock.peer_port, 0
        table.check_outgoing(data, port or 1)  # Linux sends to port 0 of a peer
    else:
        target = _target(sock, address)
        family, dst, port, flow = target.family, target.address, target.port, target.flowinfo
        table.check_outgoing(data, port)
        if target.zone:
            if target.device is None:
                raise os_error(errno.ENETUNREACH)
            device = target.device
        if sock.family == c.AF_INET6:
            dst, family = check_family(sock, dst, family)
    settings = sock.settings_of(family)
    ttl, tos, mark = -1, settings.tos, sock.mark
    source = sock.source if family == sock.at else 0
    dont_fragment = settings.options & c.DONTFRAG != 0
    if ancdata:
        how = Outgoing(sock, family, device)
        how.apply(sock, ancdata)
        ttl, tos, mark, device, source = how.ttl, how.tos, how.mark, how.device, how.source
        dont_fragment = how.dont_fragment
    dst, route, source = find_route(sock, family, dst, device, source, port=port, mark=mark, tos=tos, sending=True)
    if ttl < 0:
        if is_multicast4(dst) if family == V4 else is_multicast6(dst):
            ttl = 1 if settings.multicast is None else settings.multicast.ttl
        else:
            ttl = settings.ttl
    size_on_wire = size + table.header + _HEADER[family]
    dont_fragment = _dont_fragment(sock, family, route, dst, port, size_on_wire, dont_fragment, now)
    if sock.error:
        raise os_error(sock.take_error())
    if sock.shut & 2:
        raise os_error(errno.EPIPE)
    pkt = Packet.for_payload(data)
    pkt.src, pkt.dst, pkt.family, pkt.proto = source, dst, family, table.proto
    pkt.sock = sock
    pkt.mark = mark
    if flags & c.MSG_CONFIRM:
        pkt.flags |= CONFIRM
    if family == V4:
        if table.family == V6:
            table = sock.ns.udp
        table.push_header(sock, pkt, port)
        sock.ns.send_ip(pkt, route, now, ttl=ttl, tos=tos, dont_fragment=dont_fragment)
    else:
        table.push_header(sock, pkt, port)
        label = _flow_label(settings, flow)
        sock.ns.send_ip(pkt, route, now, ttl=ttl, tos=tos, dont_fragment=dont_fragment, flow_label=label)
    return size


def _target(sock: DatagramSocket, address: Any) -> Target:
    """What `address` means. Most datagrams go where the last one went, and text is dear."""
    aimed = sock.aimed
    if aimed is None or aimed[0] != address:
        target = parse_name(sock, address, "sendto")
    else:
        target = aimed[1]
        if not target.zone:
            return target
        dev = target.device
        if dev is not None and dev.ns is sock.ns and not dev.removed:
            return target
        target = parse_name(sock, address, "sendto")
    sock.aimed = address, target
    return target


def _flow_label(settings: Settings, flow: int) -> int:
    """0 is none, -1 one of the stack's choice (RFC 6437 3)."""
    if settings.options & c.FLOWINFO_SEND and flow:
        return flow
    return -1 if settings.options & c.AUTOFLOWLABEL else 0


def check_family(sock: Endpoint, dst: int, family: int) -> tuple[int, int]:
    """(destination, family) for an AF_INET6 socket that is to speak to `dst`, which may be unspecified: itself.

    OSError ENETUNREACH (IPv4 from a socket that is IPv6 alone or bound to an IPv6 address), EINVAL (a ping socket has
    one family).
    """
    if family == V4:
        if not sock.table.both:
            raise os_error(errno.EINVAL)
        if sock.options & c.V6ONLY or (sock.at == V6 and sock.is_bound):
            raise os_error(errno.ENETUNREACH)
    elif sock.at == V4 and not dst:
        family = V4
    return dst, family


def find_route(
    sock: Endpoint,
    family: int,
    dst: int,
    device: Device | None,
    source: int,
    *,
    port: int = 0,
    mark: int = 0,
    tos: int = 0,
    sending: bool = False,
) -> tuple[int, Any, int]:
    """(destination, route, source) for `dst`; 0.0.0.0 and :: mean this host. `device` and `source` are what is
    prescribed.

    OSError ENODEV (the device is gone), EINVAL (link-local without a zone), EACCES (broadcast without SO_BROADCAST; of
    a stream ENETUNREACH), EAFNOSUPPORT (IPv6 from an IPv4-mapped address), and what the route says.
    """
    settings = sock.settings_of(family)
    multicast = settings.multicast
    if is_multicast4(dst) if family == V4 else is_multicast6(dst):
        if multicast is not None:
            device, source = device or multicast.device, source or multicast.address
    elif device is None:
        device = settings.device
    if device is not None and (device.removed or device.ns is not sock.ns):
        raise os_error(errno.ENODEV)
    if not dst:
        dst = LOOPBACK6 if family == V6 else _LOOPBACK4 if sock.family == c.AF_INET6 else source or _LOOPBACK4
    elif family == V6 and is_link_local6(dst) and not zone_of(dst):
        if device is None:
            raise os_error(errno.EINVAL)
        dst = scoped(dst, device.ifindex)
    route, source = sock.ns.route_output(
        dst,
        source,
        device,
        family=family,
        mark=mark,
        tos=tos,
        proto=sock.table.proto,
        sport=sock.port,
        dport=port,
        sending=sending,
    )
    if route.type == _BROADCAST:
        if sock.table.proto == c.IPPROTO_TCP:
            raise os_error(errno.ENETUNREACH)
        if not sock.options & c.BROADCAST:
            raise os_error(errno.EACCES)
    if sock.at == V4 and family == V6:
        raise os_error(errno.EAFNOSUPPORT)
    return dst, route, source


def _dont_fragment(
    sock: DatagramSocket, family: int, route: Any, dst: int, port: int, size: int, forbidden: bool, now: int
) -> bool:
    """Whether a packet of `size` bytes may not be fragmented on its way (WANT says so of what fits); OSError EMSGSIZE.

    With `forbidden` (IPV6_DONTFRAG) or IP_PMTUDISC_DO it is not fragmented here either.
    """
    discover = sock.settings_of(family).mtu_discover
    forbidden = forbidden or discover == c.IP_PMTUDISC_DO
    most = mtu = _MAX_PACKET[family]
    if forbidden or discover != c.IP_PMTUDISC_DONT:
        mtu = min(sock.ns.ip(family).path_mtu(route, dst, now), most)
    if size > (mtu if forbidden else most):
        settings = sock.settings_of(family)
        if settings.options & c.RECVERR:
            origin = c.SO_EE_ORIGIN_LOCAL
            port = sock.peer_port if family == V4 else port  # so tells Linux
            sock.queue_error(QueuedError(errno.EMSGSIZE, origin, 0, 0, mtu, family, 0, dst, port, b""))
        if settings.options & c.RECVPATHMTU and size <= most:
            sock.tell_path_mtu(dst, mtu)
        raise os_error(errno.EMSGSIZE)
    return forbidden or (discover != c.IP_PMTUDISC_DONT and size <= mtu)


def peer_mtu(sock: Endpoint) -> int:
    """What the path to the peer takes (IP_MTU, IPV6_MTU), in bytes; OSError ENOTCONN without a peer."""
    if not sock.peer:
        raise os_error(errno.ENOTCONN)
    family = sock.at
    dst, route, _ = find_route(sock, family, sock.peer, sock.device, sock.source, port=sock.peer_port, mark=sock.mark)
    return min(sock.ns.ip(family).path_mtu(route, dst, sock.ns.stack.now), _MAX_PACKET[family])
