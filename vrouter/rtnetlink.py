"""Links of the kernel, straight over rtnetlink: look up, change, delete a whole group, and watch.

What every TAP needs when it starts and stops (up, MTU, link group, move to another kernel namespace) is one message of
a few dozen bytes, so it is written here rather than through pyroute2, whose import costs about 0.1 s and 13 MiB.
Addresses and routes of the kernel's end are pyroute2's work (`kernel.py`).

Expects: Linux; a socket belongs to the kernel namespace of the thread that makes it, and stays there.
Sets:    nothing of its own; `OSError` carries the kernel's errno and, where the kernel gave one, its extended text.
Next:    `kernel.py` decides what to do with links, `tap.py` asks what an interface is when it cannot be opened.

Read first: rtnetlink(7), netlink(7), RFC 3549.
"""

import errno
import os
import socket
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from types import TracebackType

# Message types and flags (linux/netlink.h, linux/rtnetlink.h).
NLMSG_ERROR, NLMSG_DONE = 2, 3
RTM_NEWLINK, RTM_DELLINK, RTM_GETLINK, RTM_SETLINK = 16, 17, 18, 19
NLM_F_REQUEST, NLM_F_ACK, NLM_F_DUMP = 0x001, 0x004, 0x300
NLM_F_CAPPED, NLM_F_ACK_TLVS = 0x100, 0x200
RTMGRP_LINK = 1
SOL_NETLINK, NETLINK_EXT_ACK = 270, 11
NLMSGERR_ATTR_MSG = 1

# Link attributes (linux/if_link.h, linux/if_tun.h).
IFLA_IFNAME, IFLA_MTU, IFLA_LINKINFO, IFLA_IFALIAS, IFLA_GROUP, IFLA_NET_NS_FD = 3, 4, 18, 20, 27, 28
IFLA_INFO_KIND, IFLA_INFO_DATA = 1, 2
IFLA_TUN_OWNER, IFLA_TUN_TYPE, IFLA_TUN_PERSIST, IFLA_TUN_MULTI_QUEUE = 1, 3, 6, 7
TUN_TYPE_TAP = 2
IFF_UP = 0x1

NLA_TYPE_MASK = 0x3FFF
RECEIVE_SIZE = 1 << 16

_HEADER = struct.Struct("=IHHII")  # nlmsghdr: length, type, flags, sequence, port id
_IFINFO = struct.Struct("=BxHiII")  # ifinfomsg: family, type, index, flags, change mask
_ATTRIBUTE = struct.Struct("=HH")
_INT = struct.Struct("=i")
_UNSIGNED = struct.Struct("=I")


@dataclass(frozen=True, slots=True)
class Link:
    """One interface of a kernel namespace as the kernel reports it."""

    index: int
    name: str
    up: bool
    mtu: int
    group: int
    kind: str
    """The driver's word (`tun`, `veth`, `bridge` …); empty for hardware and `lo`."""
    alias: str
    tap: bool
    """An Ethernet-level TUN device, which is what a router can open."""
    owner: int | None
    """User id that may open the TAP without privileges."""
    persistent: bool
    multi_queue: bool


@dataclass(frozen=True, slots=True)
class LinkChange:
    """One line of what a `LinkMonitor` heard."""

    ifname: str
    ifindex: int
    up: bool
    deleted: bool


class Rtnetlink:
    """A blocking rtnetlink socket in the kernel namespace of the thread that makes it; a context manager."""

    __slots__ = ("_sequence", "_socket")

    def __init__(self) -> None:
        self._socket = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, 0)
        self._sequence = 0
        try:
            self._socket.setsockopt(SOL_NETLINK, NETLINK_EXT_ACK, 1)
            self._socket.bind((0, 0))
        except OSError:
            self._socket.close()
            raise

    def __enter__(self) -> "Rtnetlink":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Give the socket back; may be called again."""
        self._socket.close()

    def link(self, name: str) -> Link | None:
        """The interface of that name, or None when there is none."""
        try:
            answers = self._request(RTM_GETLINK, _IFINFO.pack(0, 0, 0, 0, 0) + _attribute(IFLA_IFNAME, _text(name)))
        except OSError as error:
            if error.errno == errno.ENODEV:
                return None
            raise
        return next((_parse_link(body) for kind, body in answers if kind == RTM_NEWLINK), None)

    def links(self) -> list[Link]:
        """Every interface of the kernel namespace."""
        answers = self._request(RTM_GETLINK, _IFINFO.pack(0, 0, 0, 0, 0), NLM_F_DUMP)
        return [_parse_link(body) for kind, body in answers if kind == RTM_NEWLINK]

    def set_link(
        self,
        index: int,
        *,
        name: str | None = None,
        mtu: int | None = None,
        group: int | None = None,
        up: bool | None = None,
        alias: str | None = None,
        netns_fd: int | None = None,
    ) -> None:
        """Change what is given, in one message; the kernel moves first, then sets the rest where the link then is."""
        flags = IFF_UP if up else 0
        body = [_IFINFO.pack(0, 0, index, flags, 0 if up is None else IFF_UP)]
        if netns_fd is not None:
            body.append(_attribute(IFLA_NET_NS_FD, _UNSIGNED.pack(netns_fd)))
        if name is not None:
            body.append(_attribute(IFLA_IFNAME, _text(name)))
        if mtu is not None:
            body.append(_attribute(IFLA_MTU, _UNSIGNED.pack(mtu)))
        if group is not None:
            body.append(_attribute(IFLA_GROUP, _UNSIGNED.pack(group)))
        if alias is not None:
            body.append(_attribute(IFLA_IFALIAS, _text(alias)))
        self._request(RTM_SETLINK, b"".join(body))

    def delete_link(self, index: int) -> bool:
        """Delete one interface (16 ms of the kernel's waiting); False when there was none."""
        return self._delete(_IFINFO.pack(0, 0, index, 0, 0))

    def delete_group(self, group: int) -> bool:
        """Delete every interface of the link group at once (hardly more than one costs); False when there was none."""
        return self._delete(_IFINFO.pack(0, 0, 0, 0, 0) + _attribute(IFLA_GROUP, _UNSIGNED.pack(group)))

    def _delete(self, body: bytes) -> bool:
        try:
            self._request(RTM_DELLINK, body)
        except OSError as error:
            if error.errno == errno.ENODEV:
                return False
            raise
        return True

    def _request(self, what: int, body: bytes, extra: int = 0) -> list[tuple[int, bytes]]:
        self._sequence += 1
        length = _HEADER.size + len(body)
        header = _HEADER.pack(length, what, NLM_F_REQUEST | NLM_F_ACK | extra, self._sequence, 0)
        self._socket.send(header + body)
        answers: list[tuple[int, bytes]] = []
        while True:
            for kind, flags, sequence, payload in _messages(self._socket.recv(RECEIVE_SIZE)):
                if sequence != self._sequence:
                    continue
                if kind == NLMSG_ERROR:
                    _raise_error(flags, payload)
                    return answers
                if kind == NLMSG_DONE:
                    return answers
                answers.append((kind, payload))


class LinkMonitor:
    """Tells of links that come, go and change in the kernel namespace of the thread that makes it; never blocks.

    A TAP whose kernel end goes down is otherwise noticed only with the next frame that is sent there.
    """

    __slots__ = ("_socket",)

    def __init__(self) -> None:
        kind = socket.SOCK_RAW | socket.SOCK_CLOEXEC | socket.SOCK_NONBLOCK
        self._socket = socket.socket(socket.AF_NETLINK, kind, 0)
        try:
            self._socket.bind((0, RTMGRP_LINK))
        except OSError:
            self._socket.close()
            raise

    def fileno(self) -> int:
        """The descriptor to watch for reading; -1 when closed."""
        return self._socket.fileno()

    def read(self) -> list[LinkChange]:
        """What happened since the last call, in order; empty when nothing did.

        After an overrun (the kernel dropped news, ENOBUFS) the list is empty as well: a link state that matters shows
        again with the next frame, so nothing is asked anew.
        """
        changes: list[LinkChange] = []
        while True:
            try:
                data = self._socket.recv(RECEIVE_SIZE)
            except BlockingIOError:
                return changes
            except OSError as error:
                if error.errno == errno.ENOBUFS:
                    continue
                raise
            for kind, _flags, _sequence, payload in _messages(data):
                if kind in (RTM_NEWLINK, RTM_DELLINK):
                    link = _parse_link(payload)
                    deleted = kind == RTM_DELLINK
                    changes.append(LinkChange(link.name, link.index, link.up and not deleted, deleted))

    def close(self) -> None:
        """Give the socket back; may be called again."""
        self._socket.close()


def _text(value: str) -> bytes:
    return value.encode() + b"\0"


def _attribute(kind: int, data: bytes) -> bytes:
    length = _ATTRIBUTE.size + len(data)
    return _ATTRIBUTE.pack(length, kind) + data + bytes(-length % 4)


def _messages(data: bytes) -> Iterator[tuple[int, int, int, bytes]]:
    """(type, flags, sequence, payload) of each message in one datagram."""
    offset = 0
    while offset + _HEADER.size <= len(data):
        length, kind, flags, sequence, _port = _HEADER.unpack_from(data, offset)
        if length < _HEADER.size:
            return
        yield kind, flags, sequence, data[offset + _HEADER.size : offset + length]
        offset += (length + 3) & ~3


def _attributes(data: bytes) -> dict[int, bytes]:
    found: dict[int, bytes] = {}
    offset = 0
    while offset + _ATTRIBUTE.size <= len(data):
        length, kind = _ATTRIBUTE.unpack_from(data, offset)
        if length < _ATTRIBUTE.size:
            break
        found[kind & NLA_TYPE_MASK] = data[offset + _ATTRIBUTE.size : offset + length]
        offset += (length + 3) & ~3
    return found


def _raise_error(flags: int, payload: bytes) -> None:
    """OSError for a refusal, with the kernel's extended text where it gave one; nothing for an acknowledgement."""
    code = -_INT.unpack_from(payload)[0]
    if not code:
        return
    text = ""
    if flags & NLM_F_ACK_TLVS:
        # The request comes back between the code and the attributes: its header alone when capped, otherwise all of it.
        quoted = _HEADER.size if flags & NLM_F_CAPPED else _UNSIGNED.unpack_from(payload, 4)[0]
        message = _attributes(payload[4 + ((quoted + 3) & ~3) :]).get(NLMSGERR_ATTR_MSG, b"")
        text = message.rstrip(b"\0").decode(errors="replace")
    raise OSError(code, f"{os.strerror(code)} ({text})" if text else os.strerror(code))


def _parse_link(body: bytes) -> Link:
    _family, _type, index, flags, _change = _IFINFO.unpack_from(body)
    found = _attributes(body[_IFINFO.size :])
    info = _attributes(found.get(IFLA_LINKINFO, b""))
    kind = info.get(IFLA_INFO_KIND, b"").rstrip(b"\0").decode()
    tun = _attributes(info.get(IFLA_INFO_DATA, b"")) if kind == "tun" else {}
    owner = tun.get(IFLA_TUN_OWNER)
    return Link(
        index=index,
        name=found.get(IFLA_IFNAME, b"").rstrip(b"\0").decode(errors="surrogateescape"),
        up=bool(flags & IFF_UP),
        mtu=_number(found, IFLA_MTU),
        group=_number(found, IFLA_GROUP),
        kind=kind,
        alias=found.get(IFLA_IFALIAS, b"").rstrip(b"\0").decode(errors="replace"),
        tap=tun.get(IFLA_TUN_TYPE, b"\0")[0] == TUN_TYPE_TAP,
        owner=_UNSIGNED.unpack(owner)[0] if owner is not None else None,
        persistent=tun.get(IFLA_TUN_PERSIST, b"\0")[0] == 1,
        multi_queue=tun.get(IFLA_TUN_MULTI_QUEUE, b"\0")[0] == 1,
    )


def _number(found: dict[int, bytes], kind: int) -> int:
    data = found.get(kind)
    return int(_UNSIGNED.unpack(data)[0]) if data is not None else 0
