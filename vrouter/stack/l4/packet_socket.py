"""Packet sockets (``AF_PACKET``): frames of a namespace's devices as they come and go, and frames as a program makes
them.

A ``SOCK_RAW`` one reads and writes whole Ethernet frames; a ``SOCK_DGRAM`` one what stands behind the Ethernet header,
which is made of the address that it is sent to. With ETH_P_ALL it sees all frames, those that leave too, otherwise the
frames of one EtherType that come in. Until it is bound to a device it watches all of them, those that are still to come
too. As with the kernel a superframe is one frame.

Deviations: a SOCK_DGRAM one has to name the MAC that it sends to, where Linux sends to whatever its memory holds. VLAN
tags are part of the frame, whose protocol is then that of the outermost one; Linux shows frames of a VLAN that it does
not know without their tag. One that is bound to no device ("") is one that hears all again.

Addresses are Python's: ``(device, protocol, kind, hardware type, MAC)``; protocols are numbers in host order.

It watches as a capture does (`stack.capture`), bounded by SO_RCVBUF: what does not fit is lost and counted
(PACKET_STATISTICS).

Read first: packet(7) of Linux.
"""

from __future__ import annotations

import errno
from collections import deque
from collections.abc import Iterable
from struct import Struct
from typing import TYPE_CHECKING, Any, ClassVar, Final, TypeAlias

from vrouter.stack.base.addresses import V4, V6
from vrouter.stack.base.errors import os_error
from vrouter.stack.base.packet import CSUM_OK, LOCAL_OUT, Packet
from vrouter.stack.l4 import constants as c
from vrouter.stack.l4.ancillary import Ancillary
from vrouter.stack.l4.demux import SocketTable
from vrouter.stack.l4.socket import Buffer, Socket

if TYPE_CHECKING:
    from vrouter.stack.device import Device
    from vrouter.stack.netns import Netns

LinkName: TypeAlias = tuple[str, int, int, int, bytes]

ETH_P_ALL: Final = 3
PACKET_HOST: Final = 0
PACKET_BROADCAST: Final = 1
PACKET_MULTICAST: Final = 2
PACKET_OTHERHOST: Final = 3
PACKET_OUTGOING: Final = 4
ARPHRD_ETHER: Final = 1
ARPHRD_LOOPBACK: Final = 772

SOL_PACKET: Final = 263
PACKET_ADD_MEMBERSHIP: Final = 1
PACKET_DROP_MEMBERSHIP: Final = 2
PACKET_STATISTICS: Final = 6
_MR_MULTICAST: Final = 0
_MR_UNICAST: Final = 3
_MAC: Final = 6
_MREQ: Final = Struct("=iHH8s")
_STATISTICS: Final = Struct("=II")
_HEADER: Final = 14
_TAG: Final = 4
_VLAN: Final = b"\x81\0"
_OVERHEAD: Final = 768  # what Linux charges for an empty frame
_PROTOCOLS: Final = {ETH_P_ALL: "*", 0x0800: "ip", 0x0806: "arp", 0x8100: "802.1Q", 0x86DD: "ipv6"}  # to ss(8)
_EVERYBODY: Final = b"\xff" * 6
_TX: Final = 1  # stack.capture's direction


class PacketTable(SocketTable["PacketSocket"]):
    """The packet sockets of one namespace. They have no ports; a device that comes is shown to those that watch all."""

    __slots__ = ("sockets",)

    names: ClassVar = {V4: "packet", V6: "packet"}
    protos: ClassVar = {V4: 0, V6: 0}
    both = False

    def __init__(self, ns: Netns) -> None:
        super().__init__(ns, V4)
        self.sockets: dict[PacketSocket, None] = {}

    def device_added(self, dev: Device) -> None:
        """A device has come."""
        for sock in self.sockets:
            sock.watch()


class _Watcher:
    """What hangs on the devices that a packet socket watches, as a capture does."""

    __slots__ = ("sock",)

    def __init__(self, sock: PacketSocket) -> None:
        self.sock = sock

    def record(self, dev: Device, direction: int, frame: bytes, now: int) -> None:
        """A frame passed."""
        self.sock.seen(dev, direction, frame)

    def forget(self, dev: Device) -> None:
        """The device leaves the namespace: who is bound to it hears no more, and is told."""
        sock = self.sock
        if sock.device is dev:
            sock.device, sock.lost_device = None, True
            sock.error = errno.ENETDOWN
            sock.wake(c.ERROR)


class PacketSocket(Socket):
    """One packet socket, of whole frames. ``ethertype`` 0 hears nothing."""

    __slots__ = (
        "_dropped",
        "_queue",
        "_seen",
        "_watcher",
        "charged",
        "ethertype",
        "lost_device",
    )

    type: ClassVar = c.SOCK_RAW
    cooked: ClassVar = False
    table: PacketTable

    def __init__(self, ns: Netns, table: PacketTable, ethertype: int) -> None:
        super().__init__(ns, c.AF_INET, table)
        self.family = c.AF_PACKET
        self.ethertype = ethertype
        self.charged = 0
        self.lost_device = False
        self._seen = self._dropped = 0  # since PACKET_STATISTICS was last asked
        self._queue: deque[tuple[bytes, LinkName]] | None = None
        self._watcher = _Watcher(self)
        table.sockets[self] = None
        self.watch()

    def __repr__(self) -> str:
        name = self.device.name if self.device is not None else "*"
        return f"<PacketSocket {name} of {self.ns.name}{' closed' if self.closed else ''}>"

    # -- what it watches --------------------------------------------------------------------------------------------

    def watch(self) -> None:
        """Watch the device that it is bound to, or all; nothing without a protocol."""
        for dev in self.ns.devices.values():
            wanted = self.ethertype and not self.lost_device and self.device in (None, dev)
            there = self._watcher in dev.captures
            if wanted and not there:
                dev.captures += (self._watcher,)
            elif there and not wanted:
                self._unwatch(dev)

    def _unwatch(self, dev: Device) -> None:
        dev.captures = tuple(one for one in dev.captures if one is not self._watcher)

    def seen(self, dev: Device, direction: int, frame: bytes) -> None:
        """A frame passed a device."""
        if len(frame) < _HEADER + self.cooked:  # as in Linux, nothing is nothing to hear of
            return
        ethertype = int.from_bytes(frame[12:14], "big")
        if self.ethertype != ETH_P_ALL and (ethertype != self.ethertype or direction == _TX):
            return
        size = _OVERHEAD + len(frame)
        self._seen += 1
        if self.charged and self.charged + size > self.rcvbuf:
            self._dropped += 1
            self.drops += 1
            return
        self.charged += size
        hardware = ARPHRD_LOOPBACK if dev.kind == "lo" else ARPHRD_ETHER
        kind = PACKET_OUTGOING if direction == _TX else _kind(dev, frame)
        name = (dev.name, ethertype, kind, hardware, frame[6:12])
        if self._queue is None:
            self._queue = deque()
        self._queue.append((frame, name))
        self.wake(c.READ)

    # -- names ------------------------------------------------------------------------------------------------------

    def bind(self, address: Any, *, now: int | None = None) -> None:
        """``(device, protocol)``: hear that device alone ("" for all), and from now on that protocol (0: the same as
        before). OSError ENODEV."""
        self._begin(now)
        name, ethertype = _pair(address, "bind")
        device = None
        if name:
            device = self.ns.devices.get(name)
            if device is None:
                raise os_error(errno.ENODEV)
        self.device, self.lost_device = device, False
        if ethertype:
            self.ethertype = ethertype
        self.watch()

    def connect(self, address: Any, *, now: int | None = None) -> None:
        """A packet socket has nobody to be connected to: OSError EOPNOTSUPP."""
        self._begin(now)
        raise os_error(errno.EOPNOTSUPP)

    def getsockname(self, *, now: int | None = None) -> Any:
        """(device, protocol, kind, hardware type, MAC)."""
        self._begin(now)
        dev = self.bound_device
        if dev is None:
            return "", self.ethertype, 0, 0, b""
        return dev.name, self.ethertype, 0, ARPHRD_LOOPBACK if dev.kind == "lo" else ARPHRD_ETHER, dev.mac

    def getpeername(self, *, now: int | None = None) -> Any:
        """OSError EOPNOTSUPP."""
        self._begin(now)
        raise os_error(errno.EOPNOTSUPP)

    # -- out --------------------------------------------------------------------------------------------------------

    def send(self, data: Buffer, flags: int = 0, *, now: int | None = None) -> int:
        """Send a frame by the device that it is bound to. OSError ENXIO without one, and as `sendto`."""
        return self._send(bytes(data), None, self._begin(now))

    def sendto(self, data: Buffer, *where: Any, now: int | None = None) -> int:
        """``sendto(frame, (device, protocol[, kind, hardware type, MAC]))``: what a SOCK_DGRAM one sends goes to the
        MAC. OSError ENODEV, ENETDOWN, EMSGSIZE, EINVAL (shorter than its header)."""
        if not 1 <= len(where) <= 2:
            raise TypeError(f"sendto() takes 2 or 3 arguments ({1 + len(where)} given)")
        return self._send(bytes(data), where[-1], self._begin(now))

    def sendmsg(
        self,
        buffers: Iterable[Buffer],
        ancdata: Iterable[tuple[int, int, Buffer]] = (),
        flags: int = 0,
        address: Any = None,
        *,
        now: int | None = None,
    ) -> int:
        """Send the joined `buffers` as one frame; control messages are EINVAL."""
        if list(ancdata):
            raise os_error(errno.EINVAL)
        return self._send(b"".join(buffers), address, self._begin(now))

    def _send(self, data: bytes, address: Any, now: int) -> int:
        device, ethertype, mac = self.bound_device, self.ethertype, b""
        if address is not None:
            name, ethertype = _pair(address, "sendto")
            device = self.ns.devices.get(name)
            if device is None:
                raise os_error(errno.ENODEV)
            mac = bytes(address[4]) if len(address) > 4 else b""
        if device is None:
            raise os_error(errno.ENXIO)
        if not device.up:
            raise os_error(errno.ENETDOWN)
        frame = data
        if self.cooked:
            if len(mac) != _MAC:
                raise os_error(errno.EINVAL)
            frame = mac + device.mac + ethertype.to_bytes(2, "big") + data
        elif len(frame) < _HEADER:
            raise os_error(errno.EINVAL)
        if len(frame) > device.mtu + _HEADER + (_TAG if frame[12:14] == _VLAN else 0):
            raise os_error(errno.EMSGSIZE)
        pkt = Packet.for_payload(frame)
        pkt.l2, pkt.oif, pkt.sock, pkt.mark = pkt.start, device, self, self.mark
        pkt.flags = LOCAL_OUT | CSUM_OK
        self.ns.send_frame(pkt, now)
        return len(data)

    # -- in ---------------------------------------------------------------------------------------------------------

    def recv(self, bufsize: int, flags: int = 0, *, now: int | None = None) -> bytes:
        """The next frame, cut to `bufsize` bytes. OSError EAGAIN, ENETDOWN once its device has gone."""
        return self._receive(bufsize, flags, now)[0]

    def recvfrom(self, bufsize: int, flags: int = 0, *, now: int | None = None) -> tuple[bytes, LinkName]:
        """`recv` and which device, protocol and kind it was of, and who sent it."""
        data, name, _ = self._receive(bufsize, flags, now)
        return data, name

    def recvmsg(
        self, bufsize: int, ancbufsize: int = 0, flags: int = 0, *, now: int | None = None
    ) -> tuple[bytes, Ancillary, int, LinkName]:
        """(frame, no control messages, MSG_TRUNC, address)."""
        data, name, size = self._receive(bufsize, flags, now)
        return data, [], c.MSG_TRUNC if size > bufsize else 0, name

    def recvfrom_into(
        self, buffer: bytearray | memoryview, nbytes: int = 0, flags: int = 0, *, now: int | None = None
    ) -> tuple[int, LinkName]:
        """`recvfrom` into `buffer`."""
        view = memoryview(buffer).cast("B")
        if nbytes < 0 or nbytes > len(view):
            raise ValueError("nbytes is negative or larger than the buffer")
        data, name, size = self._receive(nbytes or len(view), flags, now)
        view[: len(data)] = data
        return (size if flags & c.MSG_TRUNC else len(data)), name

    def _receive(self, bufsize: int, flags: int, now: int | None) -> tuple[bytes, LinkName, int]:
        self._begin(now)
        if bufsize < 0:
            raise ValueError("negative buffersize in recv")
        if self.error:
            raise os_error(self.take_error())
        if not self._queue:
            raise os_error(errno.EAGAIN)
        frame, name = self._queue[0]
        if not flags & c.MSG_PEEK:
            self._queue.popleft()
            self.charged -= _OVERHEAD + len(frame)
        skip = _HEADER if self.cooked else 0
        return frame[skip : skip + bufsize], name, len(frame) - skip

    def shutdown(self, how: int, *, now: int | None = None) -> None:
        """OSError EOPNOTSUPP."""
        self._begin(now)
        raise os_error(errno.EOPNOTSUPP)

    def destroy(self, *, now: int | None = None) -> None:
        """ECONNABORTED for the program."""
        self.ns.stack.advance(now)
        self.error = errno.ECONNABORTED
        self.wake(c.ERROR)

    @property
    def readable(self) -> bool:
        """Whether a receiving call would not raise EAGAIN."""
        return bool(self._queue) or self.error != 0

    @property
    def writable(self) -> bool:
        """Always: what cannot be sent is dropped."""
        return not self.closed

    # -- options and the end ----------------------------------------------------------------------------------------

    def set_own_option(self, level: int, option: int, data: bytes, now: int) -> bool:
        """PACKET_ADD_MEMBERSHIP and PACKET_DROP_MEMBERSHIP: whoever watches a device here sees all of its frames, so
        that there is nothing to be done."""
        if level != SOL_PACKET:
            if level != c.SOL_SOCKET:
                raise os_error(errno.ENOPROTOOPT)
            return False
        if option not in (PACKET_ADD_MEMBERSHIP, PACKET_DROP_MEMBERSHIP):
            raise os_error(errno.ENOPROTOOPT)
        if len(data) < _MREQ.size:
            raise os_error(errno.EINVAL)
        ifindex, kind, size, _ = _MREQ.unpack_from(data)
        if option == PACKET_ADD_MEMBERSHIP:
            if not any(dev.ifindex == ifindex for dev in self.ns.devices.values()):
                raise os_error(errno.ENODEV)
            if kind in (_MR_MULTICAST, _MR_UNICAST) and size != _MAC:
                raise os_error(errno.EINVAL)
        return True

    def get_own_option(self, level: int, option: int) -> int | bytes | None:
        """PACKET_STATISTICS: frames seen and lost since it was last asked."""
        if level != SOL_PACKET:
            if level != c.SOL_SOCKET:
                raise os_error(errno.ENOPROTOOPT)
            return None
        if option != PACKET_STATISTICS:
            raise os_error(errno.ENOPROTOOPT)
        seen, dropped = self._seen, self._dropped
        self._seen = self._dropped = 0
        return _STATISTICS.pack(seen, dropped)

    def queues(self) -> tuple[int, int]:
        """Bytes that wait to be read; nothing waits to be sent."""
        return self.charged, 0

    def ends(self) -> dict[str, Any]:
        """As ss(8) has them: protocol and device."""
        dev = self.bound_device
        proto = _PROTOCOLS.get(self.ethertype) or f"[{self.ethertype}]"
        return {"state": "UNCONN", "local": f"{proto}:{'*' if dev is None else dev.name}", "peer": "*"}

    def record(self) -> dict[str, Any]:
        """The row of ``show sockets``."""
        return {**super().record(), "proto": "p_dgr" if self.cooked else "p_raw"}

    def _end(self, now: int) -> None:
        self.table.sockets.pop(self, None)
        for dev in self.ns.devices.values():
            self._unwatch(dev)
        self._queue = None
        self.charged = 0


class CookedSocket(PacketSocket):
    """A SOCK_DGRAM one."""

    __slots__ = ()

    type: ClassVar = c.SOCK_DGRAM
    cooked: ClassVar = True


def _pair(address: Any, call: str) -> tuple[str, int]:
    if not isinstance(address, tuple) or not 2 <= len(address) <= 5:
        raise TypeError(f"{call}(): AF_PACKET address must be a tuple of 2 to 5 elements")
    name, ethertype = address[:2]
    if not isinstance(name, str) or not isinstance(ethertype, int):
        raise TypeError(f"{call}(): a device's name and a protocol's number were expected")
    if not 0 <= ethertype <= 0xFFFF:
        raise OverflowError("protoNumber must be 0-65535.")
    return name, ethertype


def _kind(dev: Device, frame: bytes) -> int:
    """Whom a frame that comes in is for."""
    if frame[0] & 1:
        return PACKET_BROADCAST if frame[:6] == _EVERYBODY else PACKET_MULTICAST
    return PACKET_HOST if frame[:6] == dev.mac or dev.kind == "lo" else PACKET_OTHERHOST
