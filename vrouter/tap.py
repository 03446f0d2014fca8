"""(1) DEVICE: open TAPs, read and write bursts of frames; the only file that touches /dev/net/tun.

A frame here is what the kernel hands over: the 12-byte virtio-net header, then Ethernet, without a preamble or an FCS.

Expects: `/dev/net/tun`, and either CAP_NET_ADMIN or a TAP that was made beforehand for this user.
Sets:    the TAP's header size (12) and its offloads, as far as the kernel knows them; `state` and `error`, which
         `show devices` prints.
Next:    `kernel.py` sets up the kernel's end; `driver.py` watches `fd` and moves bursts.

The state of a TAP:

    up ───── a write meets EIO: the kernel's end is down ─────► down
    up ◄──── the next write that succeeds, or `link_changed` ── down
    any ──── read or write meets EBADFD: the link is deleted ─► gone ── `reopen()` ──► up

A TAP that was made by its opening (`created`) lasts until its descriptor closes. A persistent one stays, and anybody
whom its owner or group fits may attach to it. Closing one that was created costs the kernel some 16 ms of waiting,
which it can spend for many at once: see `kernel.remove_host_ends` and `close_taps`.

With offload the kernel hands over checksums that are half-finished and superframes of up to 64 KiB, for which it pays
once what it pays for each frame otherwise. It takes both from any TAP with the header, asked or not.

Read first: Linux Documentation/networking/tuntap.rst; VIRTIO 1.2 section 5.1.6 (the header).
"""

import errno
import fcntl
import os
import pwd
import struct
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import Final, Protocol

from vrouter.errors import PrivilegeError
from vrouter.rtnetlink import Link, Rtnetlink

DEVICE_PATH: Final = "/dev/net/tun"
NAME_MAX_BYTES: Final = 15
VNET_HEADER_LEN: Final = 12
# Any frame fits: header, Ethernet with two tags, 64 KiB. Asking for that much costs nothing over asking for 1,540 bytes
# (0.9 µs each; reading into a reused buffer and copying out of it took 1.1 to 1.4 µs).
READ_SIZE: Final = 65_664
# A burst ends behind so many bytes: what is read is still in the processor's cache when it is written.
BURST_BYTES: Final = 1 << 18

# What became of a write.
WRITTEN: Final = 0
FULL: Final = 1
"""Would block: keep the frame and wait until the descriptor is writable."""
DOWN: Final = 2
"""The kernel's end is down: the frame is lost, the next one may pass."""
GONE: Final = 3
"""The link was deleted: stop watching the descriptor, then close or reopen."""
FAILED: Final = 4
"""This frame is refused (too short, bad virtio-net header …); others may pass."""

UP_STATE: Final = "up"
DOWN_STATE: Final = "down"
GONE_STATE: Final = "gone"

# linux/if_tun.h
_TUNSETIFF, _TUNSETOFFLOAD, _TUNGETIFF, _TUNSETVNETHDRSZ = 0x400454CA, 0x400454D0, 0x800454D2, 0x400454D8
# TUN_F_CSUM, TSO4, TSO6, TSO_ECN; and since Linux 6.2 USO4, USO6.
_TCP_OFFLOADS, _UDP_OFFLOADS = 0x0F, 0x60
_IFF_TAP, _IFF_PERSIST, _IFF_NO_PI, _IFF_VNET_HDR = 0x0002, 0x0800, 0x1000, 0x4000
_FLAGS = _IFF_TAP | _IFF_NO_PI | _IFF_VNET_HDR
_IFREQ = struct.Struct("16sH22x")
_INT = struct.Struct("i")

_WRITE_RESULTS: Final = {
    errno.EAGAIN: FULL,
    errno.EIO: DOWN,
    errno.EBADFD: GONE,
    errno.EBADF: GONE,
    errno.ENODEV: GONE,
}
_LARGE = 2048
_M_TRIM_THRESHOLD, _M_TOP_PAD = -1, -2  # malloc.h
_KEPT_FREE, _TAKEN_MORE = 16 << 20, 1 << 20
_HOLDERS_SHOWN = 3
_COMMAND_SHOWN = 60


class _Device(Protocol):
    def fileno(self) -> int: ...

    def close(self) -> None: ...


class Tap:
    """One open TAP: its constructor creates the interface, or attaches to the persistent one of that name.

    `ifname` is the kernel's name at opening (a later rename does not show here), `created` whether opening made the
    interface, `fd` the non-blocking descriptor (-1 when closed), `state` "up", "down" or "gone" as far as traffic has
    shown, `error` the reason when it is not "up" or when a frame was refused, otherwise "".

    Raises PrivilegeError where a privilege or the device is missing and OSError with Linux's errno otherwise; both say
    what to do. With `offload` the kernel hands over half-finished checksums and superframes, if it knows them (`uso`)
    those of UDP too. `by_pytun=False` opens with ioctls of our own instead of pytun-pmd3, to the same effect.
    """

    __slots__ = ("_by_pytun", "_device", "created", "error", "fd", "ifname", "offload", "state", "uso")

    def __init__(self, ifname: str, *, offload: bool = False, by_pytun: bool = True) -> None:
        self._by_pytun = by_pytun
        self.offload = offload
        self.uso = False
        self._device: _Device | None = None
        self.fd = -1
        self.ifname = ifname
        self.created = False
        self.state = GONE_STATE
        self.error = ""
        self._open()

    def read_burst(self, budget: int) -> list[bytes]:
        """At most `budget` frames, each with its virtio-net header, and about `BURST_BYTES` bytes; an empty list when
        there are none now.

        Never raises. When the link is gone the frames read before are returned and `state` tells; so whoever calls this
        on readiness must look at `state` when it gets fewer than it asked for, or the descriptor stays ready for ever.
        """
        frames: list[bytes] = []
        append = frames.append
        read = os.read
        fd = self.fd
        room = BURST_BYTES
        try:
            for _ in range(budget):
                frame = read(fd, READ_SIZE)
                append(frame)
                if len(frame) > _LARGE:
                    room -= len(frame)
                    if room < 0:
                        break
        except BlockingIOError:
            pass
        except OSError as error:
            # EBADFD after a deletion, EFAULT in the middle of one. No other error is known here, and one that stays
            # would make a busy loop, so each of them takes the TAP out of service.
            self._set_gone(error)
        return frames

    def write(self, frame: bytes | bytearray | memoryview) -> int:
        """Hand one frame, with its virtio-net header, to the kernel: WRITTEN, FULL, DOWN, GONE or FAILED."""
        try:
            os.write(self.fd, frame)
        except OSError as error:
            return self._write_refused(error)
        if self.error:
            self.state = UP_STATE
            self.error = ""
        return WRITTEN

    def link_changed(self, up: bool) -> None:
        """Take note that the kernel's end was seen going up or down (by a `LinkMonitor`)."""
        if self.state != GONE_STATE:
            self.state = UP_STATE if up else DOWN_STATE
            self.error = "" if up else "the link is down in the kernel"

    def reopen(self) -> None:
        """Open again after the link was deleted under us; `fd` changes, and the kernel's end is to be set up anew.

        A TAP that we had made is made again. One that was somebody else's is only attached to (ENODEV while missing).
        """
        self._close_device()
        if not self.created and find_link(self.ifname) is None:
            text = f"TAP {self.ifname} was deleted by its owner; it is attached to as soon as it exists again"
            raise OSError(errno.ENODEV, text)
        self._open()

    def close(self) -> None:
        """Give the descriptor back, which deletes the TAP if we had made it; may be called again.

        Whoever watches `fd` stops watching first.
        """
        self._close_device()
        self.state = GONE_STATE
        self.error = ""

    def _open(self) -> None:
        _check_name(self.ifname)
        opener: Callable[[str], _Device] = _open_with_pytun if self._by_pytun else _IoctlDevice
        try:
            device = opener(self.ifname)
        except OSError as error:
            raise _explain(self.ifname, error) from error
        fd = device.fileno()
        try:
            os.set_blocking(fd, False)
            fcntl.ioctl(fd, _TUNSETVNETHDRSZ, _INT.pack(VNET_HEADER_LEN))
            self.uso = self.offload and ask_for_offload(lambda flags: fcntl.ioctl(fd, _TUNSETOFFLOAD, flags))
            if self.offload:
                _keep_freed_memory()
            else:
                fcntl.ioctl(fd, _TUNSETOFFLOAD, 0)
            request = bytearray(_IFREQ.size)
            fcntl.ioctl(fd, _TUNGETIFF, request)
        except OSError as error:
            device.close()
            raise OSError(error.errno, f"TAP {self.ifname} cannot be configured: {error.strerror}") from error
        name, flags = _IFREQ.unpack(request)
        self._device = device
        self.fd = fd
        self.ifname = name.rstrip(b"\0").decode()
        # Only a persistent TAP can have been there before: a second attachment to any other is EBUSY.
        self.created = not flags & _IFF_PERSIST
        self.state = UP_STATE
        self.error = ""

    def _close_device(self) -> None:
        device, self._device, self.fd = self._device, None, -1
        if device is not None:
            device.close()

    def _write_refused(self, error: OSError) -> int:
        result = _WRITE_RESULTS.get(error.errno or 0, FAILED)
        if result == DOWN:
            self.state = DOWN_STATE
            self.error = "the link is down in the kernel"
        elif result == GONE:
            self._set_gone(error)
        elif result == FAILED:
            self.error = f"the kernel refused a frame: {error.strerror}"
        return result

    def _set_gone(self, error: OSError) -> None:
        self.state = GONE_STATE
        deleted = error.errno == errno.EBADFD
        self.error = "the link was deleted" if deleted else f"the link is gone: {error.strerror}"


def close_taps(taps: Iterable[Tap]) -> None:
    """Close many TAPs in a bounded time: the kernel's waits for each (16 ms) overlap when threads close them."""
    taps = list(taps)
    if len(taps) <= 1:
        for tap in taps:
            tap.close()
        return
    with ThreadPoolExecutor(min(32, len(taps)), "vrouter-close") as threads:
        list(threads.map(Tap.close, taps))


def find_link(ifname: str) -> Link | None:
    """The interface of that name where the process runs, or None."""
    with Rtnetlink() as rtnetlink:
        return rtnetlink.link(ifname)


def describe_holders(ifname: str) -> str:
    """Who has a TAP of that name open, as text: `process 123 (qemu …)`; empty when no such process can be seen.

    TAPs of one name may exist in several kernel namespaces; their holders cannot be told apart and are all named.
    """
    found = []
    for pid in sorted(int(entry) for entry in os.listdir("/proc") if entry.isdigit()):
        if _holds(pid, ifname):
            found.append("this process itself" if pid == os.getpid() else f"process {pid} ({_command(pid)})")
    more = len(found) - _HOLDERS_SHOWN
    return ", ".join(found[:_HOLDERS_SHOWN]) + (f" and {more} more" if more > 0 else "")


def ask_for_offload(ask: Callable[[int], object]) -> bool:
    """Ask for offloads by `ask`, which takes TUN_F flags; whether those of UDP are among them. A kernel that does not
    know one of them refuses all with EINVAL, and is asked for less."""
    try:
        ask(_TCP_OFFLOADS | _UDP_OFFLOADS)
    except OSError as error:
        if error.errno != errno.EINVAL:
            raise
        ask(_TCP_OFFLOADS)
        return False
    return True


def _keep_freed_memory() -> None:
    """Have the C library keep some memory that is freed.

    By default it returns what is more than 128 KiB to the kernel at once, and the next superframes would find each of
    their pages missing: more than half of the time that moving them takes.
    """
    import ctypes  # 4 ms, which a router without TAPs does not pay

    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:  # glibc
        mallopt(_M_TRIM_THRESHOLD, _KEPT_FREE)
        mallopt(_M_TOP_PAD, _TAKEN_MORE)


class _IoctlDevice:
    """Opens a TAP by itself; what remains needed of pytun-pmd3 if that ever has to go."""

    __slots__ = ("_fd",)

    def __init__(self, ifname: str) -> None:
        self._fd = os.open(DEVICE_PATH, os.O_RDWR | os.O_CLOEXEC)
        try:
            fcntl.ioctl(self._fd, _TUNSETIFF, _IFREQ.pack(ifname.encode(), _FLAGS))
        except OSError:
            self.close()
            raise

    def fileno(self) -> int:
        return self._fd

    def close(self) -> None:
        fd, self._fd = self._fd, -1
        if fd >= 0:
            os.close(fd)


def _open_with_pytun(ifname: str) -> _Device:
    from pytun_pmd3 import TunTapDevice  # 4 ms, which a router without TAPs does not pay

    # Made in two steps, because a constructor that fails closes the descriptor and keeps its number, and its finalizer
    # then closes that number once more, whoever has it by now.
    device = TunTapDevice.__new__(TunTapDevice)
    try:
        device.__init__(ifname, _FLAGS, DEVICE_PATH)
    except OSError:
        device._fd = -1
        raise
    opened: _Device = device
    return opened


def _check_name(ifname: str) -> None:
    size = len(ifname.encode())
    if size > NAME_MAX_BYTES:
        text = f"TAP name {ifname!r} has {size} bytes, an interface name has at most {NAME_MAX_BYTES}"
        raise OSError(errno.ENAMETOOLONG, text)
    bad = not ifname or ifname in (".", "..") or any(char in "/:%\0" or char.isspace() for char in ifname)
    if bad:
        text = f"{ifname!r} is not an interface name: 1 to {NAME_MAX_BYTES} bytes without space, '/', ':' or '%'"
        raise OSError(errno.EINVAL, text)


def _explain(ifname: str, error: OSError) -> OSError:
    """The error of an opening, told with what to do about it."""
    what = f"TAP {ifname} cannot be opened"
    if error.filename is not None:
        return _explain_device_file(what, error)
    link = find_link(ifname)
    code = error.errno or 0
    if code == errno.EPERM:
        make = f"ip tuntap add dev {ifname} mode tap user {_user_name()} vnet_hdr"
        if link is None:
            return PrivilegeError(what, f"needs CAP_NET_ADMIN, or create the TAP beforehand: {make}")
        owner = "nobody in particular" if link.owner is None else f"user {link.owner}"
        return PrivilegeError(what, f"it belongs to {owner}; needs CAP_NET_ADMIN, or a TAP of this user: {make}")
    if code == errno.EBUSY:
        holders = describe_holders(ifname) or "a process that cannot be seen from here"
        return OSError(code, f"{what}: it is held by {holders}")
    if code == errno.EINVAL and link is not None:
        if not link.tap:
            kind = "tun device of layer 3" if link.kind == "tun" else f"{link.kind or 'hardware or built-in'} interface"
            return OSError(errno.EEXIST, f"{what}: a {kind} of that name exists already, not a TAP")
        if link.multi_queue:
            again = f"ip tuntap del dev {ifname} mode tap multi_queue; ip tuntap add dev {ifname} mode tap vnet_hdr"
            return OSError(code, f"{what}: it was made with multi_queue; make it again without: {again}")
    return OSError(code, f"{what}: {error.strerror}")


def _explain_device_file(what: str, error: OSError) -> OSError:
    if error.errno in (errno.ENOENT, errno.ENODEV, errno.ENXIO):
        grant = f"device {DEVICE_PATH} is missing: run the container with --device {DEVICE_PATH} (or: modprobe tun)"
        return PrivilegeError(what, grant)
    if error.errno in (errno.EACCES, errno.EPERM):
        allow = f"run as root, with --device {DEVICE_PATH} in a container, or let this user read and write it"
        return PrivilegeError(what, f"device {DEVICE_PATH} may not be opened: {allow}")
    return OSError(error.errno, f"{what}: {DEVICE_PATH}: {error.strerror}")


def _user_name() -> str:
    try:
        return pwd.getpwuid(os.geteuid()).pw_name
    except KeyError:
        return str(os.geteuid())


def _holds(pid: int, ifname: str) -> bool:
    try:
        for number in os.listdir(f"/proc/{pid}/fd"):
            if os.readlink(f"/proc/{pid}/fd/{number}").endswith("net/tun") and _named(pid, number, ifname):
                return True
    except OSError:
        pass  # it ended meanwhile, or is not ours to look into
    return False


def _named(pid: int, number: str, ifname: str) -> bool:
    with open(f"/proc/{pid}/fdinfo/{number}", encoding="utf-8", errors="replace") as info:
        return any(line.rstrip("\n") == f"iff:\t{ifname}" for line in info)


def _command(pid: int) -> str:
    try:
        with open(f"/proc/{pid}/cmdline", "rb") as file:
            command = file.read().replace(b"\0", b" ").decode(errors="replace").strip()
    except OSError:
        command = ""
    # Whoever runs it has chosen these bytes, and a terminal would obey some of them.
    command = "".join(char if char.isprintable() else "?" for char in command)
    return f"{command[:_COMMAND_SHOWN]}…" if len(command) > _COMMAND_SHOWN else command or "?"
