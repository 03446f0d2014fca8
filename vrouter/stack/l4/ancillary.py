"""What travels beside the data of sendmsg(2) and recvmsg(2): control messages, and the queue of errors.

Layouts are Linux's C structures, so that programs that pack and unpack them work unchanged: ``in_pktinfo`` (interface
index, local address, destination address), ``sockaddr_in``, ``sock_extended_err``.
"""

from __future__ import annotations

import errno
from struct import Struct
from typing import TYPE_CHECKING, Final, NamedTuple, TypeAlias

from vrouter.stack.base.addresses import is_multicast4
from vrouter.stack.base.errors import os_error
from vrouter.stack.l4.constants import (
    AF_INET,
    IP_PKTINFO,
    IP_RECVERR,
    IP_RECVORIGDSTADDR,
    IP_TOS,
    IP_TTL,
    MSG_CTRUNC,
    PKTINFO,
    RECVORIGDST,
    RECVTOS,
    RECVTTL,
    SO_EE_ORIGIN_ICMP,
    SO_MARK,
    SO_PRIORITY,
    SOL_IP,
    SOL_SOCKET,
)

if TYPE_CHECKING:
    from collections.abc import Iterable

    from vrouter.stack.base.packet import Packet
    from vrouter.stack.device import Device
    from vrouter.stack.l4.socket import Socket

Ancillary: TypeAlias = list[tuple[int, int, bytes]]

INT: Final = Struct("=i")
PKTINFO_STRUCT: Final = Struct("=i4s4s")
SOCKADDR_IN: Final = Struct("=H2s4s8x")
EXTENDED_ERR: Final = Struct("=IBBBBII")
_CMSG_HEADER: Final = 16


class QueuedError(NamedTuple):
    """An entry of the error queue (IP_RECVERR): the error, who told it, and the datagram that it is about."""

    code: int
    origin: int
    type: int
    icmp_code: int
    info: int
    offender: int
    dst: int
    port: int
    data: bytes


class Outgoing:
    """How one datagram is to be sent: the socket's settings, changed by control messages. ``ttl`` -1 is not set."""

    __slots__ = ("device", "mark", "source", "tos", "ttl")

    def __init__(self, sock: Socket) -> None:
        self.ttl = -1
        self.tos = sock.tos
        self.mark = sock.mark
        self.device: Device | None = sock.device
        self.source = sock.source

    def apply(self, sock: Socket, messages: Iterable[tuple[int, int, bytes | bytearray | memoryview]]) -> None:
        """Take in control messages (Linux's ip_cmsg_send); OSError EINVAL for what is not one, ENODEV."""
        for level, kind, value in messages:
            data = bytes(value)
            if level == SOL_IP and kind == IP_PKTINFO and len(data) == PKTINFO_STRUCT.size:
                ifindex, source, _ = PKTINFO_STRUCT.unpack(data)
                if ifindex:
                    self.device = next((d for d in sock.ns.devices.values() if d.ifindex == ifindex), None)
                    if self.device is None:
                        raise os_error(errno.ENODEV)
                self.source = int.from_bytes(source, "big") or self.source
            elif level == SOL_IP and kind == IP_TTL and len(data) == 4:
                self.ttl = INT.unpack(data)[0]
                if not 1 <= self.ttl <= 255:
                    raise os_error(errno.EINVAL)
            elif level == SOL_IP and kind == IP_TOS and len(data) in (1, 4):
                self.tos = data[0] if len(data) == 1 else INT.unpack(data)[0]
                if not 0 <= self.tos <= 255:
                    raise os_error(errno.EINVAL)
            elif level == SOL_SOCKET and kind in (SO_MARK, SO_PRIORITY) and len(data) == 4:
                if kind == SO_MARK:
                    self.mark = int.from_bytes(data, "little")
            elif level in (SOL_IP, SOL_SOCKET):
                raise os_error(errno.EINVAL)


def received(sock: Socket, pkt: Packet) -> Ancillary:
    """The control messages that the socket's options ask for, in Linux's order."""
    options, messages = sock.options, []
    dst = pkt.dst.to_bytes(4, "big")
    if options & PKTINFO:
        # The address to answer from: where it was sent to, or for a group an own address of that device. A device that
        # has moved to another namespace meanwhile is none of this one's business.
        local, dev = pkt.dst, pkt.iif
        if dev is not None and dev.ns is not sock.ns:
            dev = None
        if is_multicast4(local) or sock.ns.ip4.is_broadcast(local):
            local = sock.ns.ip4.select_source(dev if dev is not None and dev.kind != "crossing" else None, pkt.src)
        ifindex = 0 if dev is None else dev.ifindex
        messages.append((SOL_IP, IP_PKTINFO, PKTINFO_STRUCT.pack(ifindex, local.to_bytes(4, "big"), dst)))
    if options & RECVTTL:
        messages.append((SOL_IP, IP_TTL, INT.pack(pkt.buf[pkt.l3 + 8])))
    if options & RECVTOS:
        messages.append((SOL_IP, IP_TOS, bytes((pkt.buf[pkt.l3 + 1],))))
    if options & RECVORIGDST:
        port = pkt.buf[pkt.l4 + 2 : pkt.l4 + 4] if sock.table.header else bytes(2)
        messages.append((SOL_IP, IP_RECVORIGDSTADDR, SOCKADDR_IN.pack(AF_INET, bytes(port), dst)))
    return messages


def extended_error(error: QueuedError) -> Ancillary:
    """The control message of an entry of the error queue: ``sock_extended_err`` and the offender's address."""
    head = EXTENDED_ERR.pack(error.code, error.origin, error.type, error.icmp_code, 0, error.info, 0)
    if error.origin == SO_EE_ORIGIN_ICMP:
        offender = SOCKADDR_IN.pack(AF_INET, bytes(2), error.offender.to_bytes(4, "big"))
    else:
        offender = bytes(SOCKADDR_IN.size)
    return [(SOL_IP, IP_RECVERR, head + offender)]


def fit(messages: Ancillary, size: int) -> tuple[Ancillary, int]:
    """As many of `messages` as fit into a control buffer of `size` bytes, and MSG_CTRUNC when that is not all."""
    for index, (_, _, data) in enumerate(messages):
        if size < _CMSG_HEADER + len(data):
            return messages[:index], MSG_CTRUNC
        size -= _CMSG_HEADER + (len(data) + 7 & ~7)
    return messages, 0
