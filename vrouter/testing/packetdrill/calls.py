"""The system calls of a script, on the namespace's sockets.

A call is tried (`Calls.attempt`), and one on a blocking descriptor that would block is tried again after each thing
that happens, as a program that sleeps in it would be woken. What is written are zeros; what is read is only counted.
"""

from __future__ import annotations

import errno
from typing import TYPE_CHECKING, Any, Final

from vrouter.stack.l4 import constants as c
from vrouter.testing.packetdrill.script import ELLIPSIS, Call, LinuxOnly, Value, Word
from vrouter.testing.packetdrill.symbols import number
from vrouter.testing.packetdrill.world import PORT

if TYPE_CHECKING:
    from vrouter.testing.packetdrill.world import World

O_NONBLOCK: Final = 0o4000
_FIONREAD: Final = 0x541B
_OUTQ: Final = 0x5411
_IN, _OUT, _ERR, _HUP, _RDHUP = 1, 4, 8, 16, 0x2000
_EDGE: Final = 1 << 31
_ONE_SHOT: Final = 1 << 30
_FAST: Final = (1 << 62).to_bytes(8, "little")  # bytes a second: no limit, but paced
_PIECE: Final = 1 << 24  # of what is written at once
_MOST_VALUE: Final = 4096  # bytes of an option
_CONNECTING: Final = (2,)  # SYN-SENT: who holds a socket in SYN-RECEIVED may write
_CLOSED: Final = 7


class Descriptor:
    """An open file of a script: a socket, or what epoll_create(2) made."""

    __slots__ = ("connecting", "edges", "flags", "sock", "watched", "written")

    def __init__(self, sock: Any) -> None:
        self.sock = sock
        self.flags = 2  # O_RDWR
        self.written = 0  # of a blocking write that has not returned yet
        self.edges: dict[int, int] = {}  # of epoll: what has happened since it was last told
        self.watched: dict[int, int] = {}  # of epoll: the events by descriptor
        self.connecting = False  # whether that has begun with a SYN


class Mismatch(Exception):
    """A call gave something else than the script says."""


class Calls:
    """The descriptors of one run, and what is done with them."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.files: dict[int, Descriptor] = {}
        self.under_test: Any = None  # the socket that packets and TCP_INFO belong to
        self.listening = False  # whether that one listens

    def blocks(self, call: Call) -> bool:
        """Whether a call may wait: its descriptor blocks, and so does the call."""
        if call.name in ("poll", "epoll_wait"):
            return True
        file = self.files.get(call.arguments[0]) if call.arguments and isinstance(call.arguments[0], int) else None
        if file is None or file.flags & O_NONBLOCK:
            return False
        return not any(isinstance(value, Word) and "MSG_DONTWAIT" in value.text for value in call.arguments)

    def attempt(self, call: Call, patient: bool) -> int:
        """What the call returns; OSError when it fails. BlockingIOError: it would block (`patient`: may be tried
        again)."""
        function = getattr(self, f"_call_{call.name}", None)
        if function is None:
            raise LinuxOnly(f"the system call {call.name}")
        try:
            result: int = function(call, patient)
        except (TypeError, ValueError, LookupError, OverflowError) as error:
            raise Mismatch(f"{call.name} was not given what it takes: {error}") from None
        self.world.settle()
        return result

    def note(self, ready: dict[Any, int]) -> None:
        """Sockets became ready: those who watch edges are told."""
        for epoll in self.files.values():
            for fd in epoll.watched:
                file = self.files.get(fd)
                if file is not None and file.sock in ready:
                    epoll.edges[fd] = epoll.edges.get(fd, 0) | ready[file.sock]
        ready.clear()

    # -- arguments --------------------------------------------------------------------------------------------------

    def _file(self, call: Call) -> Descriptor:
        fd = call.arguments[0]
        if not isinstance(fd, int) or fd not in self.files:
            raise OSError(errno.EBADF, "Bad file descriptor")
        return self.files[fd]

    def _sock(self, call: Call) -> Any:
        sock = self._file(call).sock
        if sock is None:
            raise OSError(errno.ENOTSOCK, "Socket operation on non-socket")
        return sock

    def _open(self, call: Call, file: Descriptor) -> int:
        """The number of a new descriptor: what the script says it is."""
        fd = call.result
        if not isinstance(fd, int) or fd < 0:
            fd = max(self.files, default=2) + 1
        self.files[fd] = file
        return fd

    @staticmethod
    def _int(value: Value) -> int:
        if isinstance(value, Word):
            return number(value)
        if isinstance(value, int):
            return value
        raise LinuxOnly(f"{value!r} where a number is expected")

    def _address(self, value: Value, default: tuple[Any, ...]) -> tuple[Any, ...] | None:
        if value == Word("AF_UNSPEC"):
            return None
        if isinstance(value, dict):
            family = value.get("sa_family")
            if isinstance(family, Word) and family.text == "AF_UNSPEC":
                return None
            host = value.get("sin_addr", value.get("sin6_addr", self.world.remote_text))
            port = value.get("sin_port", value.get("sin6_port", default[1]))
            return self.world.name(host if isinstance(host, str) else "0.0.0.0", self._int(port))
        return default

    # -- sockets ----------------------------------------------------------------------------------------------------

    def _call_socket(self, call: Call, patient: bool) -> int:
        kind = self._int(call.arguments[1])
        family = c.AF_INET if self.world.settings.version == "ipv4" else c.AF_INET6
        given = call.arguments[0]
        if isinstance(given, Word):
            family = number(given)
        if kind & 0xF != c.SOCK_STREAM:
            raise LinuxOnly("sockets of another kind than SOCK_STREAM")
        file = Descriptor(self.world.ns.socket(family, c.SOCK_STREAM, 0))
        file.flags |= kind & O_NONBLOCK
        if self.world.paced:
            file.sock.setsockopt(c.SOL_SOCKET, c.SO_MAX_PACING_RATE, _FAST, now=self.world.now)
        self.under_test, self.listening = file.sock, False
        return self._open(call, file)

    def _call_bind(self, call: Call, patient: bool) -> int:
        world = self.world
        default = world.name(world.local_text, PORT)
        self._sock(call).bind(self._address(call.arguments[1], default), now=world.now)
        return 0

    def _call_listen(self, call: Call, patient: bool) -> int:
        sock = self._sock(call)
        sock.listen(self._int(call.arguments[1]), now=self.world.now)
        if sock is self.under_test:
            self.listening = True
        return 0

    def _call_accept(self, call: Call, patient: bool) -> int:
        sock, _ = self._sock(call).accept(now=self.world.now)
        file = Descriptor(sock)
        fd = self._open(call, file)
        if call.name == "accept4" and len(call.arguments) > 3:
            file.flags |= self._int(call.arguments[3]) & O_NONBLOCK
        if not self.listening:  # its packets have made it the one under test
            self.under_test = sock
        return fd

    _call_accept4 = _call_accept

    def _call_connect(self, call: Call, patient: bool) -> int:
        world = self.world
        file = self._file(call)
        self._sock(call)
        default = world.name(world.remote_text, PORT)
        try:
            file.sock.connect(self._address(call.arguments[1], default), now=world.now)
        except OSError as error:
            world.settle()
            if patient and error.errno in (errno.EINPROGRESS, errno.EALREADY):
                raise BlockingIOError(errno.EAGAIN, "") from None
            if patient and error.errno == errno.EISCONN and file.written < 0:
                return 0
            raise
        return 0

    def _call_close(self, call: Call, patient: bool) -> int:
        file = self._file(call)
        del self.files[call.arguments[0]]  # type: ignore[arg-type]  # `_file` has seen that it is an int
        if file.sock is not None:
            file.sock.close(now=self.world.now)
        return 0

    def _call_shutdown(self, call: Call, patient: bool) -> int:
        self._sock(call).shutdown(self._int(call.arguments[1]), now=self.world.now)
        return 0

    # -- data -------------------------------------------------------------------------------------------------------

    def _write(self, call: Call, size: int, flags: int, patient: bool) -> int:
        """A blocking one returns when all is taken."""
        file, world = self._file(call), self.world
        self._sock(call)
        while file.written < size or not size:
            try:
                sent: int = file.sock.send(bytes(min(size - file.written, _PIECE)), flags, now=world.now)
            except BlockingIOError:
                file.sock.write_waits = patient  # as the kernel knows of a sleeping writer
                if patient or not file.written:
                    raise
                break
            except OSError:
                if file.connecting or not file.written:
                    file.connecting, file.written = False, 0
                    raise
                break
            finally:
                world.settle()
            file.written += sent
            file.connecting |= patient and file.sock.state in _CONNECTING
            if not patient or not size:
                break
        file.sock.write_waits = False
        if patient:
            self._await_connection(file)
        total, file.written, file.connecting = file.written, 0, False
        return total

    @staticmethod
    def _await_connection(file: Descriptor) -> None:
        """A blocking call that has sent data with a SYN (Fast Open) returns when the connection stands, or fails."""
        if file.sock.state in _CONNECTING:
            raise BlockingIOError(errno.EAGAIN, "")
        code = file.sock.take_error() if file.sock.state == _CLOSED else 0
        if code:
            file.written = 0
            raise OSError(code, "")

    def _call_write(self, call: Call, patient: bool) -> int:
        return self._write(call, self._int(call.arguments[2]), 0, patient)

    def _call_send(self, call: Call, patient: bool) -> int:
        return self._write(call, self._int(call.arguments[2]), self._int(call.arguments[3]), patient)

    def _call_sendto(self, call: Call, patient: bool) -> int:
        flags = self._int(call.arguments[3])
        size = self._int(call.arguments[2])
        if not flags & 0x20000000:
            return self._write(call, size, flags, patient)
        return self._send_fast(call, size, flags, call.arguments[4], patient)

    def _send_fast(self, call: Call, size: int, flags: int, address: Value, patient: bool) -> int:
        """MSG_FASTOPEN: connect and send in one."""
        world, file = self.world, self._file(call)
        self._sock(call)
        if file.written < 0:  # the connection is being made without data
            if file.sock.state in _CONNECTING:
                raise BlockingIOError(errno.EAGAIN, "")
            file.written = 0
            return self._write(call, size, 0, patient)
        if file.written:
            return self._write(call, size, 0, patient)
        where = self._address(address, world.name(world.remote_text, PORT))
        try:
            sent = int(file.sock.sendto(bytes(min(size, _PIECE)), flags, where, now=world.now))
        except OSError as error:
            world.settle()
            if patient and error.errno == errno.EINPROGRESS:
                file.written = -1
                file.sock.write_waits = True
                raise BlockingIOError(errno.EAGAIN, "") from None
            raise
        world.settle()
        if patient and file.sock.state in _CONNECTING:
            file.written, file.connecting = sent, True
            file.sock.write_waits = sent < size
            raise BlockingIOError(errno.EAGAIN, "")
        return sent

    def _vector(self, value: Value) -> int:
        """The bytes of an array of iovecs."""
        total = 0
        for item in value if isinstance(value, list) else []:
            size = item[-1] if isinstance(item, list) else item.get("iov_len", 0) if isinstance(item, dict) else 0
            total += self._int(size)
        return total

    def _call_writev(self, call: Call, patient: bool) -> int:
        return self._write(call, self._vector(call.arguments[1]), 0, patient)

    def _call_sendmsg(self, call: Call, patient: bool) -> int:
        header, flags = call.arguments[1], self._int(call.arguments[2])
        if not isinstance(header, dict):
            raise LinuxOnly("a message without a header")
        if header.get("msg_control"):
            raise LinuxOnly("control messages that are sent")
        size = self._vector(header.get("msg_iov", []))
        if flags & 0x20000000:
            return self._send_fast(call, size, flags, ELLIPSIS, patient)
        return self._write(call, size, flags, patient)

    def _read(self, call: Call, size: int, flags: int, patient: bool) -> int:
        return len(self._sock(call).recv(size, flags, now=self.world.now))

    def _call_read(self, call: Call, patient: bool) -> int:
        return self._read(call, self._int(call.arguments[2]), 0, patient)

    def _call_recv(self, call: Call, patient: bool) -> int:
        return self._read(call, self._int(call.arguments[2]), self._int(call.arguments[3]), patient)

    _call_recvfrom = _call_recv

    def _call_readv(self, call: Call, patient: bool) -> int:
        return self._read(call, self._vector(call.arguments[1]), 0, patient)

    def _call_recvmsg(self, call: Call, patient: bool) -> int:
        header, flags = call.arguments[1], self._int(call.arguments[2])
        if not isinstance(header, dict):
            raise LinuxOnly("a message without a header")
        size = self._vector(header.get("msg_iov", []))
        data, ancillary, _, _ = self._sock(call).recvmsg(size, 256, flags, now=self.world.now)
        wanted = header.get("msg_control", header.get("msg_controllen"))
        if isinstance(wanted, list):
            self._compare_control(wanted, ancillary)
        return len(data)

    def _compare_control(self, wanted: list[Value], ancillary: list[tuple[int, int, bytes]]) -> None:
        expected = []
        for item in wanted:
            if not isinstance(item, dict):
                raise LinuxOnly("a control message that is not spelt out")
            data = item.get("cmsg_data", 0)
            expected.append((self._int(item["cmsg_level"]), self._int(item["cmsg_type"]), self._int(data)))
        found = [(level, kind, int.from_bytes(data[:4], "little")) for level, kind, data in ancillary]
        if found != expected:
            raise Mismatch(f"control messages are {found}")

    # -- options ----------------------------------------------------------------------------------------------------

    def _call_fcntl(self, call: Call, patient: bool) -> int:
        file = self._file(call)
        command = self._int(call.arguments[1])
        if command == 3:
            return file.flags
        if command == 4:
            file.flags = self._int(call.arguments[2])
            return 0
        raise LinuxOnly(f"fcntl {command}")

    def _call_ioctl(self, call: Call, patient: bool) -> int:
        sock, request = self._sock(call), self._int(call.arguments[1])
        calls = {_FIONREAD: "inq", _OUTQ: "outq"}
        if request not in calls:
            raise LinuxOnly(f"ioctl {request:#x}")
        value = getattr(sock, calls[request])
        self._same("the value", value, call.arguments[2])
        return 0

    def _call_setsockopt(self, call: Call, patient: bool) -> int:
        level, option, value = (call.arguments[i] for i in (1, 2, 3))
        sock = self._sock(call)
        if isinstance(value, list):
            value = value[0] if value else 0
        size = self._int(call.arguments[4])
        if not 0 <= size <= _MOST_VALUE:
            raise OSError(errno.EINVAL, "Invalid argument")
        if isinstance(value, str):
            given = value.encode("latin-1", "replace")
        elif isinstance(value, dict):
            given = b"".join(_bytes(self._int(item), 4) for item in value.values())
        else:
            given = _bytes(self._int(value), max(size, 8))
        given = given[:size].ljust(size, b"\0")
        sock.setsockopt(self._int(level), self._int(option), given, now=self.world.now)
        return 0

    def _call_getsockopt(self, call: Call, patient: bool) -> int:
        sock = self._sock(call)
        level, option, wanted = (call.arguments[i] for i in (1, 2, 3))
        level, option = self._int(level), self._int(option)
        first = wanted[0] if isinstance(wanted, list) and wanted else wanted
        if isinstance(first, str):
            data = sock.getsockopt(level, option, 64, now=self.world.now)
            self._same("the value", data.split(b"\0")[0].decode("latin-1"), first)
            return 0
        size = call.arguments[4]
        length = self._int(size[0] if isinstance(size, list) and size else size)
        if not isinstance(first, int | Word):
            sock.getsockopt(level, option, now=self.world.now)
            if isinstance(first, dict):
                data = sock.getsockopt(level, option, 4 * len(first), now=self.world.now)
                for at, (name, value) in enumerate(first.items()):
                    self._same(name, int.from_bytes(data[4 * at : 4 * at + 4], "little", signed=True), value)
            return 0
        expected = self._int(first)
        data = sock.getsockopt(level, option, min(max(length, 1), 8), now=self.world.now)
        found = int.from_bytes(data, "little", signed=expected < 0)
        self._same("the value", found, expected)
        return 0

    def _same(self, what: str, found: object, wanted: Value) -> None:
        if isinstance(wanted, list):
            wanted = wanted[0] if wanted else ELLIPSIS
        if wanted is ELLIPSIS:
            return
        expected: object = self._int(wanted) if isinstance(wanted, int | Word) else wanted
        if found != expected:
            raise Mismatch(f"{what} is {found!r}, not {expected!r}")

    # -- readiness --------------------------------------------------------------------------------------------------

    def _events(self, file: Descriptor) -> int:
        """What poll(2) would say of a socket now."""
        sock = file.sock
        if sock is None:
            return 0
        events = 0
        if sock.readable:
            events |= _IN
        if sock.writable:
            events |= _OUT
        if sock.error:
            events |= _ERR
        ended = sock.shut & 1 or (sock.tcb is not None and sock.tcb.fin_rcvd)
        if ended:
            events |= _RDHUP
        if sock.state == _CLOSED or (ended and sock.shut & 2):
            events |= _HUP
        return events

    def _call_poll(self, call: Call, patient: bool) -> int:
        entries = call.arguments[0]
        timeout = self._int(call.arguments[2])
        count = 0
        found = []
        for entry in entries if isinstance(entries, list) else []:
            if not isinstance(entry, dict):
                raise LinuxOnly("poll of something that is not spelt out")
            asked = self._int(entry.get("events", 0))
            file = self.files.get(self._int(entry["fd"]))
            events = self._events(file) & (asked | _ERR | _HUP) if file is not None else 32
            count += events != 0
            found.append((events, entry.get("revents", ELLIPSIS)))
        if not count and patient and timeout:
            raise BlockingIOError(errno.EAGAIN, "")
        for events, wanted in found:
            if wanted is not ELLIPSIS and events != self._int(wanted):
                raise Mismatch(f"revents are {events:#x}")
        return count

    def _call_epoll_create(self, call: Call, patient: bool) -> int:
        return self._open(call, Descriptor(None))

    _call_epoll_create1 = _call_epoll_create

    def _call_epoll_ctl(self, call: Call, patient: bool) -> int:
        epoll = self._file(call)
        operation, fd = self._int(call.arguments[1]), self._int(call.arguments[2])
        if operation == 2:
            epoll.watched.pop(fd, None)
            epoll.edges.pop(fd, None)
            return 0
        if fd not in self.files:
            raise OSError(errno.EBADF, "Bad file descriptor")
        event = call.arguments[3]
        if not isinstance(event, dict):
            raise LinuxOnly("epoll of something that is not spelt out")
        epoll.watched[fd] = self._int(event["events"])
        epoll.edges[fd] = 0xFF
        return 0

    def _call_epoll_wait(self, call: Call, patient: bool) -> int:
        epoll = self._file(call)
        timeout = self._int(call.arguments[3])
        found = []
        for fd, asked in epoll.watched.items():
            file = self.files.get(fd)
            if file is None or not asked & 0xFFFF:
                continue
            events = self._events(file) & (asked | _ERR | _HUP)
            if events and (not asked & _EDGE or epoll.edges.get(fd)):
                found.append((fd, events))
        if not found and patient and timeout:
            raise BlockingIOError(errno.EAGAIN, "")
        wanted = call.arguments[1]
        for fd, events in found:
            epoll.edges[fd] = 0
            if epoll.watched[fd] & _ONE_SHOT:
                epoll.watched[fd] &= ~0xFFFF
            if isinstance(wanted, dict) and wanted.get("events", ELLIPSIS) is not ELLIPSIS:
                self._same("the events", events, wanted["events"])
        return len(found)


def _bytes(number: int, size: int) -> bytes:
    """The bytes of a C integer."""
    return (number & (1 << 8 * size) - 1).to_bytes(size, "little")
