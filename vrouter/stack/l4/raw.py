"""Raw sockets (``SOCK_RAW``): every IP packet of one protocol that is for this namespace, and packets as a program
makes them.

As in Linux a program reads of IPv4 the whole packet, its header too, and of IPv6 what stands behind the headers. It
writes what stands behind the IP header, or with IP_HDRINCL (IPV6_HDRINCL; protocol 255 has it from the start) the
header, too, of which the stack fills in the length and the checksum, and the source and the identification where they
are 0. Of ICMPv6 the checksum is the stack's (RFC 3542 3.1), of other protocols with IPV6_CHECKSUM.

A raw socket hears what comes beside those whose packet it is: an echo request is answered all the same. It has no port;
its protocol stands in the port's place. ICMP_FILTER and ICMP6_FILTER leave types out. Checksums are looked at where the
stack writes them as well: of ICMPv6, and with IPV6_CHECKSUM.

Deviations: connecting to AF_UNSPEC leaves it hearing its protocol, of which it hears nothing more in Linux. An IPv6
packet that is made whole has to be one of IPv6.

`raw_input` expects: a whole packet for this namespace, ``l3``, ``l4``, ``end`` set. Each socket gets a copy.

Read first: raw(7), icmp(7) of Linux; RFC 3542 3.
"""

from __future__ import annotations

import errno
from collections.abc import Iterable
from struct import Struct
from typing import TYPE_CHECKING, Any, ClassVar, Final

from vrouter.stack.base.addresses import MAX6, V4, V6, is_multicast4, is_multicast6
from vrouter.stack.base.counters import Stat
from vrouter.stack.base.errors import os_error
from vrouter.stack.base.packet import CSUM_OK, DONT_FRAGMENT, LOCAL_OUT, Packet
from vrouter.stack.l4 import constants as c
from vrouter.stack.l4.ancillary import Outgoing, QueuedError
from vrouter.stack.l4.datagram import DatagramSocket
from vrouter.stack.l4.demux import DatagramTable, came_by
from vrouter.stack.l4.errors import ORIGIN, convert
from vrouter.stack.l4.names import Name, Target, needs_zone, parse_name
from vrouter.stack.l4.output import find_route
from vrouter.stack.wire.checksum import checksum, pseudo_header

if TYPE_CHECKING:
    from vrouter.stack.device import Device
    from vrouter.stack.l4.socket import Buffer
    from vrouter.stack.netns import Netns
    from vrouter.stack.wire import icmp

IPPROTO_RAW: Final = 255
SOL_RAW: Final = 255
SOL_ICMPV6: Final = 58
ICMP_FILTER: Final = 1
ICMP6_FILTER: Final = 1
IPV6_CHECKSUM: Final = 7
IP_HDRINCL: Final = 3
IPV6_HDRINCL: Final = 36

_INT: Final = Struct("=i")
_FILTER4: Final = 4  # bytes: a bit for each type, of IPv4 for the first 32
_FILTER6: Final = 32
_ICMP: Final = {V4: c.IPPROTO_ICMP, V6: c.IPPROTO_ICMPV6}
_SHORTEST: Final = {V4: 8, V6: 4}  # bytes of a message that is one
_COPIES: Final = int(Stat.AcctCopies)
_DELIVERED: Final = int(Stat.AcctDelivered)
_HEADER: Final = {V4: 20, V6: 40}
_DF: Final = 0x40
_MAX_SIZE: Final = 65535
_LOCAL: Final = 2  # the route's type, RTN_LOCAL
_QUOTE: Final = 8  # where the quoted packet stands in an ICMP error


class RawTable(DatagramTable):
    """The raw sockets of one protocol and family in one namespace."""

    __slots__ = ()

    names: ClassVar = {V4: "raw", V6: "raw"}
    protos: ClassVar = {V4: 0, V6: 0}
    initial_options = c.REUSEADDR  # any number may have one address
    both = False

    def __init__(self, ns: Netns, family: int, proto: int) -> None:
        super().__init__(ns, family)
        self.proto = proto

    @property
    def of_ipv4(self) -> RawTable:
        """No raw socket speaks both families."""
        return self

    def check_outgoing(self, data: bytes | bytearray | memoryview, port: int) -> None:
        """Whatever a program likes."""

    def push_header(self, sock: DatagramSocket, pkt: Packet, port: int) -> None:
        """The transport header came with the data; of IPv6 its checksum may be the stack's work."""
        at = sock.checksum_at if isinstance(sock, RawSocket) else -1
        if self.family == V4 or at < 0:
            return
        start, size = pkt.start, pkt.end - pkt.start
        if at + 2 > size:
            raise os_error(errno.EINVAL)
        pkt.buf[start + at : start + at + 2] = b"\0\0"
        initial = pseudo_header(pkt.src & MAX6, pkt.dst & MAX6, self.proto, size, 128)
        value = checksum(pkt.buf, start, pkt.end, initial) or 0xFFFF
        pkt.buf[start + at : start + at + 2] = value.to_bytes(2, "big")

    def source_port(self, pkt: Packet) -> int:
        """Raw sockets have no ports: 0."""
        return 0


class RawSocket(DatagramSocket):
    """One raw socket. ``checksum_at`` is where an IPv6 checksum is to be put (-1: nowhere), ``filter`` the ICMP types
    that it does not hear, a bit for each."""

    __slots__ = ("checksum_at", "filter", "header_included", "peer_name")

    type: ClassVar = c.SOCK_RAW
    table: RawTable

    def __init__(self, ns: Netns, family: int, table: RawTable) -> None:
        super().__init__(ns, family, table)
        self.port = table.proto
        self.header_included = table.proto == IPPROTO_RAW
        self.checksum_at = 2 if family == c.AF_INET6 and table.proto == c.IPPROTO_ICMPV6 else -1
        self.filter = 0
        self.peer_name = 0  # the port that its peer was given, which means nothing
        self._locks |= c.LOCK_PORT  # whoever it is connected to, this stays
        self._stand()

    # -- names ------------------------------------------------------------------------------------------------------

    def bind(self, address: Name, *, now: int | None = None) -> None:
        """Hear only what is for `address`, and send from it; its port does not matter. OSError EADDRNOTAVAIL, ENODEV,
        EINVAL (connected already, link-local without a zone)."""
        self._begin(now)
        if self.peer:
            raise os_error(errno.EINVAL)
        target = parse_name(self, address, "bind")
        if target.family != self.table.family:
            raise os_error(errno.EADDRNOTAVAIL)
        if self.family == c.AF_INET6:
            target = self._zoned(target)
        self._check_local(target.family, target.address)
        self._leave()
        self.local = target.address
        self.source = 0 if self._is_shared(target.family, target.address) else target.address
        self._locks |= c.LOCK_ADDRESS if target.address else 0
        self._stand()

    def connect(self, address: Name | None, *, now: int | None = None) -> None:
        """Send to `address` and hear it alone; None takes that back."""
        self._begin(now)
        if address is None:
            return self._disconnect()
        target = parse_name(self, address, "connect")
        family, peer, device = target.family, target.address, self.device
        if family != self.table.family:
            raise os_error(errno.ENETUNREACH)
        if family == V6 and needs_zone(peer):
            device = self.device_towards(target)
        peer, _, source = find_route(self, family, peer, device, self.source, mark=self.mark)
        self._leave()
        if not self._locks & c.LOCK_ADDRESS:
            self.local = self.source = source
        self.peer, self.peer_name, self.device = peer, target.port, device
        self._stand()
        return None

    def getpeername(self, *, now: int | None = None) -> Name:
        """The address of the other end; OSError ENOTCONN, also when that was given without a port, as in Linux."""
        self._begin(now)
        if not self.peer or not self.peer_name:
            raise os_error(errno.ENOTCONN)
        return self._name(self.peer, self.peer_name)

    # -- out --------------------------------------------------------------------------------------------------------

    def _send(
        self, data: Buffer, flags: int, address: Any, ancdata: Iterable[tuple[int, int, Buffer]], now: int | None
    ) -> int:
        now = self._begin(now)
        if address is not None and self.family == c.AF_INET6:
            self._check_protocol(parse_name(self, address, "sendto").port)
        if not self.header_included:
            return super()._send(data, flags, address, ancdata, now)
        if len(data) > _MAX_SIZE:
            raise os_error(errno.EMSGSIZE)
        if flags & c.MSG_OOB:
            raise os_error(errno.EOPNOTSUPP)
        family, dst, device = self.table.family, self.peer, self.device
        if address is not None:
            target = parse_name(self, address, "sendto")
            if target.family != family:
                raise os_error(errno.EINVAL)
            dst, device = target.address, self._device_of(target)
        elif not dst:
            raise os_error(errno.EDESTADDRREQ)
        how = Outgoing(self, family, device)
        how.apply(self, ancdata)
        return self._send_whole(bytes(data), dst, how, now)

    def _check_protocol(self, port: int) -> None:
        """The port of an IPv6 address is the protocol (rawv6_sendmsg)."""
        proto = self.table.proto
        if port > 255 or (port and proto not in (port, IPPROTO_RAW)):
            raise os_error(errno.EINVAL)

    def _device_of(self, target: Target) -> Device | None:
        if target.zone and target.device is None:
            raise os_error(errno.ENETUNREACH)
        return target.device or self.device

    def _send_whole(self, data: bytes, dst: int, how: Outgoing, now: int) -> int:
        """A packet with its IP header: routed by `dst`, whatever the header says (raw_send_hdrinc)."""
        family = self.table.family
        ns = self.ns
        if len(data) < _HEADER[family]:
            raise os_error(errno.EINVAL)
        dst, route, source = find_route(self, family, dst, how.device, how.source, mark=how.mark, sending=True)
        dev = ns.lo if route.type == _LOCAL else route.dev
        if dev is not None and len(data) > ns.ip(family).link_mtu(dev):
            self._too_long(family, dst, ns.ip(family).link_mtu(dev))
        if self.error:
            raise os_error(self.take_error())
        if self.shut & 2:
            raise os_error(errno.EPIPE)
        pkt = Packet.for_payload(data)
        buf, start = pkt.buf, pkt.start
        pkt.l3, pkt.family, pkt.sock, pkt.mark = start, family, self, how.mark
        pkt.flags = LOCAL_OUT | CSUM_OK
        if family == V4:
            header = (buf[start] & 0xF) * 4
            if not 20 <= header <= len(data):
                raise os_error(errno.EINVAL)
            buf[start + 2 : start + 4] = len(data).to_bytes(2, "big")
            if not any(buf[start + 12 : start + 16]):
                buf[start + 12 : start + 16] = source.to_bytes(4, "big")
            pkt.src = int.from_bytes(buf[start + 12 : start + 16], "big")
            pkt.dst = int.from_bytes(buf[start + 16 : start + 20], "big")
            pkt.proto, pkt.ttl, pkt.ethertype = buf[start + 9], buf[start + 8], 0x0800
            if not any(buf[start + 4 : start + 6]) and not buf[start + 6] & _DF:
                buf[start + 4 : start + 6] = ns.ip4.next_ident(pkt.src, pkt.dst, pkt.proto).to_bytes(2, "big")
            buf[start + 10 : start + 12] = b"\0\0"
            buf[start + 10 : start + 12] = checksum(buf, start, start + header).to_bytes(2, "big")
            if buf[start + 6] & _DF:
                pkt.flags |= DONT_FRAGMENT
            pkt.l4 = start + header
        else:
            if buf[start] >> 4 != 6:
                raise os_error(errno.EINVAL)
            pkt.src = int.from_bytes(buf[start + 8 : start + 24], "big")
            pkt.dst = int.from_bytes(buf[start + 24 : start + 40], "big")
            pkt.proto, pkt.ttl, pkt.ethertype = buf[start + 6], buf[start + 7], 0x86DD
            pkt.flags |= DONT_FRAGMENT
            pkt.l4 = start + 40
        ns.send_packet(pkt, route, now)
        return len(data)

    def _too_long(self, family: int, dst: int, mtu: int) -> None:
        """OSError EMSGSIZE, which IP_RECVERR tells more about."""
        if self.settings_of(family).options & c.RECVERR:
            origin = c.SO_EE_ORIGIN_LOCAL
            self.queue_error(QueuedError(errno.EMSGSIZE, origin, 0, 0, mtu, family, 0, dst, 0, b""))
        raise os_error(errno.EMSGSIZE)

    # -- options ----------------------------------------------------------------------------------------------------

    def set_own_option(self, level: int, option: int, data: bytes, now: int) -> bool:
        """IP_HDRINCL, IPV6_HDRINCL, ICMP_FILTER, ICMP6_FILTER, IPV6_CHECKSUM."""
        self._check_level(level)
        of_four = self.family == c.AF_INET
        if (level, option) == ((c.SOL_IP, IP_HDRINCL) if of_four else (c.SOL_IPV6, IPV6_HDRINCL)):
            self.header_included = any(data[:4])
        elif (level, option) == ((SOL_RAW, ICMP_FILTER) if of_four else (SOL_ICMPV6, ICMP6_FILTER)):
            size = self._filter_size()
            data = data[:size]  # what it says nothing of stays as it is
            kept = self.filter.to_bytes(size, "little")
            self.filter = int.from_bytes(data + kept[len(data) :], "little")
        elif not of_four and option == IPV6_CHECKSUM and level in (SOL_RAW, c.SOL_IPV6):
            if len(data) < 4:
                raise os_error(errno.EINVAL)
            at: int = _INT.unpack_from(data)[0]
            if (at > 0 and at & 1) or self.table.proto == c.IPPROTO_ICMPV6:
                raise os_error(errno.EINVAL)  # RFC 3542 3.1: of ICMPv6 it is the stack's
            self.checksum_at = at if at >= 0 else -1
        else:
            return False
        return True

    def _check_level(self, level: int) -> None:
        """OSError ENOPROTOOPT for options of the other family, and for those of its protocol that there are not."""
        if level == (c.SOL_IPV6 if self.family == c.AF_INET else c.SOL_IP):
            raise os_error(errno.ENOPROTOOPT)

    def _filter_size(self) -> int:
        """Bytes of its filter; OSError EOPNOTSUPP for what is not of ICMP."""
        if self.table.proto != (c.IPPROTO_ICMP if self.family == c.AF_INET else c.IPPROTO_ICMPV6):
            raise os_error(errno.EOPNOTSUPP)
        return _FILTER4 if self.family == c.AF_INET else _FILTER6

    def get_own_option(self, level: int, option: int) -> int | bytes | None:
        """What `set_own_option` sets."""
        of_four = self.family == c.AF_INET
        if not of_four:
            self._check_level(level)
        if (level, option) == ((c.SOL_IP, IP_HDRINCL) if of_four else (c.SOL_IPV6, IPV6_HDRINCL)):
            return int(self.header_included)
        if (level, option) == ((SOL_RAW, ICMP_FILTER) if of_four else (SOL_ICMPV6, ICMP6_FILTER)):
            return self.filter.to_bytes(self._filter_size(), "little")
        if not of_four and option == IPV6_CHECKSUM and level in (SOL_RAW, c.SOL_IPV6):
            return self.checksum_at
        if level in (SOL_RAW, SOL_ICMPV6):
            raise os_error(errno.ENOPROTOOPT)
        return None

    def hears(self, pkt: Packet) -> bool:
        """Whether its filter lets an ICMP message pass, and its checksum is right where it is to be."""
        proto = self.table.proto
        if proto == _ICMP[pkt.family]:
            if pkt.end - pkt.l4 < _SHORTEST[pkt.family] or self.filter >> pkt.buf[pkt.l4] & 1:
                return False
        # Whoever made it here, or vouches for it, has vouched for what he knows only.
        if self.checksum_at >= 0 and pkt.csum_start < 0:
            initial = pseudo_header(pkt.src & MAX6, pkt.dst & MAX6, proto, pkt.end - pkt.l4, 128)
            return checksum(pkt.buf, pkt.l4, pkt.end, initial) in (0, 0xFFFF)
        return True


def raw_input(ns: Netns, pkt: Packet) -> bool:
    """Give copies of a packet to the raw sockets that want it; whether there was one."""
    tables = ns.raw_tables
    table = None if tables is None else tables.get((pkt.family, pkt.proto))
    if table is None or not table.ports:
        return False
    dst, many = pkt.dst, False
    if is_multicast4(dst) if pkt.family == V4 else is_multicast6(dst):
        many = True
    heard = False
    for sock in table.receivers(pkt.src, 0, dst, table.proto, came_by(ns, pkt), many):
        if not isinstance(sock, RawSocket) or not sock.hears(pkt):
            continue
        heard = True
        copy = pkt.copy()
        if pkt.family == V4:
            copy.l4 = copy.l3  # IPv4's header is the program's to read
        if sock.deliver(copy):
            ns.stats[_COPIES] += 1
            ns.stats[_DELIVERED] += 1
    return heard


def raw_error(ns: Netns, pkt: Packet, quoted: icmp.QuotedPacket, icmp_type: int, icmp_code: int, info: int) -> bool:
    """Tell the raw sockets of its protocol what the ICMP message `pkt` reported of a packet; whether there was one that
    could have sent it."""
    family = pkt.family
    tables = ns.raw_tables
    table = None if tables is None else tables.get((family, quoted.proto))
    if table is None:
        return False
    code, fatal = convert(icmp_type, icmp_code, family)
    found = table.receivers(quoted.dst, 0, quoted.src, table.proto, None, False)
    for sock in found if code else ():
        whole = isinstance(sock, RawSocket) and sock.header_included
        data = bytes(memoryview(pkt.buf)[pkt.l4 + _QUOTE : pkt.end]) if whole else quoted.payload
        if code == errno.EMSGSIZE:
            discover = sock.settings_of(family).mtu_discover
            fatal = discover != c.IP_PMTUDISC_DONT if family == V4 else discover == c.IP_PMTUDISC_DO
        origin = ORIGIN[family]
        error = QueuedError(code, origin, icmp_type, icmp_code, info, family, pkt.src, quoted.dst, 0, data)
        sock.icmp_error(error, fatal)
    return bool(found)
