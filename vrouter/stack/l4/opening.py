"""socket(2): from three numbers to a socket of a namespace."""

from __future__ import annotations

import errno
from typing import TYPE_CHECKING, Final

from vrouter.stack.base.addresses import V4, V6
from vrouter.stack.base.errors import os_error
from vrouter.stack.l4 import constants as c
from vrouter.stack.l4.datagram import DatagramSocket
from vrouter.stack.l4.packet_socket import CookedSocket, PacketSocket
from vrouter.stack.l4.raw import RawSocket
from vrouter.stack.l4.tcp.socket import TcpSocket

if TYPE_CHECKING:
    from vrouter.stack.l4.demux import DatagramTable
    from vrouter.stack.l4.socket import Socket
    from vrouter.stack.netns import Netns

_KINDS: Final = 11  # Linux's SOCK_MAX and IPPROTO_MAX
_PROTOCOLS: Final = 263


def open_socket(ns: Netns, family: int, kind: int, proto: int) -> Socket:
    """A socket; OSError EAFNOSUPPORT, EINVAL, ESOCKTNOSUPPORT, EPROTONOSUPPORT for numbers that mean none."""
    kind &= ~(c.SOCK_NONBLOCK | c.SOCK_CLOEXEC)
    if not 0 <= kind < _KINDS:
        raise os_error(errno.EINVAL)
    if family == c.AF_PACKET:
        return _open_packet(ns, kind, proto)
    if family not in (c.AF_INET, c.AF_INET6):
        raise os_error(errno.EAFNOSUPPORT)
    if not 0 <= proto < _PROTOCOLS:
        raise os_error(errno.EINVAL)
    if kind == c.SOCK_STREAM:
        if proto not in (0, c.IPPROTO_TCP):
            raise os_error(errno.EPROTONOSUPPORT)
        sock: Socket = TcpSocket(ns, family, ns.tcp if family == c.AF_INET else ns.tcp6)
    elif kind == c.SOCK_DGRAM:
        sock = DatagramSocket(ns, family, _datagram_table(ns, family, proto))
    elif kind == c.SOCK_RAW:
        if not 0 < proto < 256:  # 0 is everything, of which there is no socket
            raise os_error(errno.EPROTONOSUPPORT)
        sock = RawSocket(ns, family, ns.raw(V4 if family == c.AF_INET else V6, proto))
    else:
        raise os_error(errno.ESOCKTNOSUPPORT)
    ns.sockets[sock] = None
    return sock


def _open_packet(ns: Netns, kind: int, proto: int) -> Socket:
    """AF_PACKET's protocol comes in network order."""
    if kind not in (c.SOCK_RAW, c.SOCK_DGRAM):
        raise os_error(errno.ESOCKTNOSUPPORT)
    made = CookedSocket if kind == c.SOCK_DGRAM else PacketSocket
    sock = made(ns, ns.packets, (proto & 0xFF) << 8 | proto >> 8 & 0xFF)
    ns.sockets[sock] = None
    return sock


def _datagram_table(ns: Netns, family: int, proto: int) -> DatagramTable:
    if proto in (0, c.IPPROTO_UDP):
        return ns.udp if family == c.AF_INET else ns.udp6
    if proto == (c.IPPROTO_ICMP if family == c.AF_INET else c.IPPROTO_ICMPV6):
        return ns.ping if family == c.AF_INET else ns.ping6
    raise os_error(errno.EPROTONOSUPPORT)
