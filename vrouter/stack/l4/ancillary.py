"""What travels beside the data of sendmsg(2) and recvmsg(2): control messages, and the queue of errors.

Layouts are Linux's C structures, so that programs that pack and unpack them work unchanged: ``in_pktinfo`` (interface
index, local address, destination address), ``in6_pktinfo`` (address, interface index), ``sockaddr_in``,
``sockaddr_in6``, ``sock_extended_err``, ``ip6_mtuinfo``. Both families have the same messages at their own level
(RFC 3542 6), and an AF_INET6 socket gets and takes those of IPv4 for IPv4 datagrams, as in Linux.
"""

from __future__ import annotations

import errno
from struct import Struct
from typing import TYPE_CHECKING, Final, NamedTuple, TypeAlias

from vrouter.stack.base.addresses import MAX6, V4, V6, is_multicast4, mapped_ipv4, scoped, zone_of
from vrouter.stack.base.errors import os_error
from vrouter.stack.l4 import constants as c
from vrouter.stack.l4.names import wide

if TYPE_CHECKING:
    from collections.abc import Iterable

    from vrouter.stack.base.packet import Packet
    from vrouter.stack.device import Device
    from vrouter.stack.l4.datagram import DatagramSocket
    from vrouter.stack.l4.socket import Socket

Ancillary: TypeAlias = list[tuple[int, int, bytes]]

INT: Final = Struct("=i")
PKTINFO_STRUCT: Final = Struct("=i4s4s")
PKTINFO6_STRUCT: Final = Struct("=16si")
SOCKADDR_IN: Final = Struct("=H2s4s8x")
SOCKADDR_IN6: Final = Struct("=H2sI16sI")  # family, port, flow information (network order), address, scope
MTUINFO: Final = Struct("=28sI")
EXTENDED_ERR: Final = Struct("=IBBBBII")
_WORD: Final = Struct("!I")
_CMSG_HEADER: Final = 16


class QueuedError(NamedTuple):
    """An entry of the error queue (IP_RECVERR): the error, who told it, and the datagram that it is about.

    ``offender`` and ``dst`` are addresses of ``family``."""

    code: int
    origin: int
    type: int
    icmp_code: int
    info: int
    family: int
    offender: int
    dst: int
    port: int
    data: bytes


class Level(NamedTuple):
    """A family's level of socket options, and what the messages that both have are called there."""

    level: int
    hops: int
    tos: int
    least_hops: int
    original: int
    recverr: int
    hops_at: int  # where the hop limit stands in the IP header


LEVELS: Final = {
    V4: Level(c.SOL_IP, c.IP_TTL, c.IP_TOS, 1, c.IP_RECVORIGDSTADDR, c.IP_RECVERR, 8),
    V6: Level(c.SOL_IPV6, c.IPV6_HOPLIMIT, c.IPV6_TCLASS, -1, c.IPV6_RECVORIGDSTADDR, c.IPV6_RECVERR, 7),
}


class Outgoing:
    """How one datagram is to be sent in `family`: the socket's settings, changed by control messages. ``ttl`` -1 is not
    set; ``source`` is 0 when it is to be chosen."""

    __slots__ = ("device", "dont_fragment", "family", "mark", "source", "tos", "ttl")

    def __init__(self, sock: Socket, family: int, device: Device | None) -> None:
        settings = sock.settings_of(family)
        self.family = family
        self.ttl = -1
        self.tos = settings.tos
        self.mark = sock.mark
        self.device = device
        self.source = sock.source if family == sock.at else 0
        self.dont_fragment = settings.options & c.DONTFRAG != 0

    def apply(self, sock: Socket, messages: Iterable[tuple[int, int, bytes | bytearray | memoryview]]) -> None:
        """Take in control messages (Linux's ip_cmsg_send, ip6_datagram_send_ctl); OSError EINVAL for what is not one,
        ENODEV. Messages at the other family's level are not for this datagram."""
        names = LEVELS[self.family]
        for level, kind, value in messages:
            data = bytes(value)
            if level == c.SOL_SOCKET:
                if kind not in (c.SO_MARK, c.SO_PRIORITY) or len(data) != 4:
                    raise os_error(errno.EINVAL)
                if kind == c.SO_MARK:
                    self.mark = int.from_bytes(data, "little")
            elif level == c.SOL_IPV6 and kind == c.IPV6_PKTINFO and sock.family == c.AF_INET6:
                self._packet_info6(sock, data)
            elif level == names.level:
                self._own(sock, names, kind, data)

    def _own(self, sock: Socket, names: Level, kind: int, data: bytes) -> None:
        if kind == c.IP_PKTINFO and self.family == V4 and len(data) == PKTINFO_STRUCT.size:
            ifindex, source, _ = PKTINFO_STRUCT.unpack(data)
            self._go_by(sock, ifindex)
            self.source = int.from_bytes(source, "big") or self.source
        elif kind == names.hops and len(data) == 4:
            self.ttl = INT.unpack(data)[0]
            if not names.least_hops <= self.ttl <= 255:
                raise os_error(errno.EINVAL)
        elif kind == names.tos and (len(data) == 4 or (len(data) == 1 and self.family == V4)):
            tos = data[0] if len(data) == 1 else INT.unpack(data)[0]
            if not (-1 if self.family == V6 else 0) <= tos <= 255:
                raise os_error(errno.EINVAL)
            self.tos = tos if tos >= 0 else self.tos
        elif kind == c.IPV6_DONTFRAG and self.family == V6 and len(data) == 4:
            number = INT.unpack(data)[0]
            if number not in (0, 1):
                raise os_error(errno.EINVAL)
            self.dont_fragment = bool(number)
        else:
            raise os_error(errno.EINVAL)

    def _go_by(self, sock: Socket, ifindex: int) -> None:
        if ifindex:
            self.device = next((d for d in sock.ns.devices.values() if d.ifindex == ifindex), None)
            if self.device is None:
                raise os_error(errno.ENODEV)

    def _packet_info6(self, sock: Socket, data: bytes) -> None:
        if len(data) != PKTINFO6_STRUCT.size:
            raise os_error(errno.EINVAL)
        raw, ifindex = PKTINFO6_STRUCT.unpack(data)
        source = int.from_bytes(raw, "big")
        self._go_by(sock, ifindex)
        if self.family == V4:
            mapped = mapped_ipv4(source)
            if source and mapped is None:
                raise os_error(errno.EINVAL)
            self.source = mapped or self.source
        elif source:
            self.source = source if self.device is None else scoped(source, self.device.ifindex)
            if not sock.options & c.FREEBIND and not sock.ns.ip(V6).is_local(self.source):
                raise os_error(errno.EINVAL)


def received(sock: DatagramSocket, pkt: Packet) -> Ancillary:
    """The control messages that the socket's options ask for, in Linux's order."""
    family, messages = pkt.family, []
    options = sock.settings_of(family).options
    dst, dev = pkt.dst, pkt.iif
    if dev is not None and dev.ns is not sock.ns:  # it has moved meanwhile, and is none of this namespace's business
        dev = None
    ifindex = 0 if dev is None else dev.ifindex
    if dev is sock.ns.lo:  # what goes around came, for a program, by the device of the address that it is for
        owner = sock.ns.ip(family).owner(dst)
        ifindex = ifindex if owner is None else owner.dev.ifindex
    if sock.family == c.AF_INET6 and sock.settings.options & c.PKTINFO:
        address = wide(dst, family).to_bytes(16, "big")
        messages.append((c.SOL_IPV6, c.IPV6_PKTINFO, PKTINFO6_STRUCT.pack(address, ifindex)))
    if family == V4 and options & c.PKTINFO:
        # The address to answer from: where it was sent to, or for a group an own address of that device.
        local = dst
        if is_multicast4(local) or sock.ns.ip4.is_broadcast(local):
            local = sock.ns.ip4.select_source(dev if dev is not None and dev.kind != "crossing" else None, pkt.src)
        own, to = local.to_bytes(4, "big"), dst.to_bytes(4, "big")
        messages.append((c.SOL_IP, c.IP_PKTINFO, PKTINFO_STRUCT.pack(ifindex, own, to)))
    names = LEVELS[family]
    if options & c.RECVTTL:
        messages.append((names.level, names.hops, INT.pack(pkt.buf[pkt.l3 + names.hops_at])))
    if family == V4:
        if options & c.RECVTOS:
            messages.append((c.SOL_IP, c.IP_TOS, bytes((pkt.buf[pkt.l3 + 1],))))
    else:
        word = _WORD.unpack_from(pkt.buf, pkt.l3)[0]
        if options & c.RECVTOS:
            messages.append((c.SOL_IPV6, c.IPV6_TCLASS, INT.pack(word >> 20 & 0xFF)))
        if options & c.FLOWINFO and word & 0xFFFFFFF:
            messages.append((c.SOL_IPV6, c.IPV6_FLOWINFO, _WORD.pack(word & 0xFFFFFFF)))
    if options & c.RECVORIGDST:
        port = bytes(pkt.buf[pkt.l4 + 2 : pkt.l4 + 4]) if sock.table.header else bytes(2)
        messages.append((names.level, names.original, socket_address(family, dst, port, zone_of(dst))))
    return messages


def socket_address(family: int, address: int, port: bytes, scope_id: int) -> bytes:
    """``sockaddr_in`` or ``sockaddr_in6``; `port` in network order."""
    if family == V4:
        return SOCKADDR_IN.pack(c.AF_INET, port, address.to_bytes(4, "big"))
    return SOCKADDR_IN6.pack(c.AF_INET6, port, 0, (address & MAX6).to_bytes(16, "big"), scope_id)


def extended_error(sock: Socket, error: QueuedError) -> Ancillary:
    """The control message of an entry of the error queue: ``sock_extended_err`` and the offender's address."""
    family = V4 if sock.family == c.AF_INET else V6
    head = EXTENDED_ERR.pack(error.code, error.origin, error.type, error.icmp_code, 0, error.info, 0)
    if error.origin == c.SO_EE_ORIGIN_LOCAL:
        offender = bytes(SOCKADDR_IN.size if family == V4 else SOCKADDR_IN6.size)
    elif family == V4:
        offender = socket_address(V4, error.offender, bytes(2), 0)
    else:
        scope_id = zone_of(error.offender) if error.family == V6 else 0
        offender = socket_address(V6, wide(error.offender, error.family), bytes(2), scope_id)
    names = LEVELS[family]
    return [(names.level, names.recverr, head + offender)]


def path_news(dst: int, mtu: int) -> Ancillary:
    """The control message of IPV6_RECVPATHMTU: what the path to `dst` takes, in bytes (RFC 3542 11.3)."""
    return [(c.SOL_IPV6, c.IPV6_PATHMTU, path_mtu_info(dst, mtu))]


def path_mtu_info(dst: int, mtu: int) -> bytes:
    """``ip6_mtuinfo``; `dst` 0: about no address in particular."""
    address = socket_address(V6, dst, bytes(2), zone_of(dst)) if dst else bytes(SOCKADDR_IN6.size)
    return MTUINFO.pack(address, mtu)


def fit(messages: Ancillary, size: int) -> tuple[Ancillary, int]:
    """As many of `messages` as fit into a control buffer of `size` bytes, and MSG_CTRUNC when that is not all."""
    for index, (_, _, data) in enumerate(messages):
        if size < _CMSG_HEADER + len(data):
            return messages[:index], c.MSG_CTRUNC
        size -= _CMSG_HEADER + (len(data) + 7 & ~7)
    return messages, 0
