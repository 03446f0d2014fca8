"""Named network namespaces of the kernel: make, enter, share between routers, remove.

A name is a file in /run/netns with the namespace mounted on it, as iproute2 makes them, so that `ip netns exec` works.
A namespace is entered by a short-lived thread of its own, which ends there: no fork, and nothing to restore when
something fails.

**The mark.** A namespace that a router made carries a mark, the alias of its `lo`. It lives and dies with the
namespace, so it cannot be wrong about one that was deleted and made again under the same name. Whoever finds the mark
uses the namespace as if it had made it, and the router whose TAP is the last to leave removes it; nobody needs to know
whether its maker still lives, and what a SIGKILL left is taken over by the next start. The file below the mount holds
the same mark from its first instant (it is renamed into place when written), so that one whose maker was killed before
the mount is recognised too. A namespace or a file without the mark is somebody else's: the namespace is used and never
removed.

**Locks.** Whoever puts something into a namespace holds the shared lock of the namespace itself, whoever removes it the
exclusive one. Names are made and removed under the exclusive lock of the directory, which is iproute2's as well and is
never held for long; it is taken last.

Expects: CAP_SYS_ADMIN, to make, enter or remove one. Calls block; they belong into threads.
Sets:    files and mounts in /run/netns. `lo` of a made namespace is up.
Next:    `kernel.py` moves TAPs into them.

Read first: network_namespaces(7), setns(2), ip-netns(8).
"""

import contextlib
import ctypes
import errno
import fcntl
import os
import threading
from collections.abc import Callable, Iterator
from typing import Final, TypeVar

from vrouter.errors import PrivilegeError
from vrouter.rtnetlink import Link, Rtnetlink

DIRECTORY: Final = "/run/netns"
MARK: Final = "made by vrouter"

_CLONE_NEWNET = 0x40000000
_MS_BIND, _MS_REC, _MS_SHARED = 0x1000, 0x4000, 0x100000
_MNT_DETACH = 2
_NEW_FILE = f"{DIRECTORY}/.vrouter-new"  # exists only under the lock, or after a kill there

_Result = TypeVar("_Result")


def call_in(netns_fd: int, function: Callable[[], _Result]) -> _Result:
    """What `function` returns or raises when it runs in the kernel namespace behind the descriptor."""

    def enter_and_call() -> _Result:
        _check("setns", _libc().setns(netns_fd, _CLONE_NEWNET))
        return function()

    return _call_in_thread(enter_and_call)


@contextlib.contextmanager
def joined(name: str) -> Iterator[int]:
    """A descriptor of the named kernel namespace, which is made if missing; until the block ends no router removes it.

    Raises PrivilegeError where CAP_SYS_ADMIN is missing, FileExistsError where a file of that name is no namespace,
    ValueError for a text that cannot be a name.
    """
    path = _path(name)
    with contextlib.ExitStack() as stack:
        try:
            netns_fd = _acquire(path, stack)
        except PermissionError as error:
            grant = f"needs CAP_SYS_ADMIN to make or enter it ({error.strerror})"
            raise PrivilegeError(f"kernel namespace {name}", grant) from error
        yield netns_fd


def is_marked(links: list[Link]) -> bool:
    """Whether the kernel namespace with these links was made by a router."""
    return any(link.name == "lo" and link.alias == MARK for link in links)


def remove_unless(name: str, in_use: Callable[[list[Link]], bool]) -> bool:
    """Remove the named kernel namespace if a router made it and `in_use`, asked with its links, denies; whether it did.

    The name goes at once; processes that run in the namespace keep it alive without a name, as with `ip netns del`.
    FileNotFoundError when there is none.
    """
    path = _path(name)
    with opened(name) as netns_fd:
        fcntl.flock(netns_fd, fcntl.LOCK_EX)
        links = call_in(netns_fd, _links)
        if not is_marked(links) or in_use(links):
            return False
        with _directory_locked():
            if not _is_named(path, netns_fd):
                return False
            _check("umount", _libc().umount2(path.encode(), _MNT_DETACH))
            os.unlink(path)
            return True


@contextlib.contextmanager
def opened(name: str) -> Iterator[int]:
    """A descriptor of the named kernel namespace; FileNotFoundError when there is none."""
    netns_fd = _open(_path(name))
    if netns_fd is None:
        raise FileNotFoundError(errno.ENOENT, f"there is no kernel namespace {name}")
    try:
        yield netns_fd
    finally:
        os.close(netns_fd)


def _path(name: str) -> str:
    if not name or name in (".", "..") or "/" in name or "\0" in name or len(name.encode()) > 255:
        raise ValueError(f"{name!r} cannot be the name of a kernel namespace")
    return f"{DIRECTORY}/{name}"


def _links() -> list[Link]:
    with Rtnetlink() as rtnetlink:
        return rtnetlink.links()


def _acquire(path: str, stack: contextlib.ExitStack) -> int:
    os.makedirs(DIRECTORY, 0o755, exist_ok=True)
    while True:
        netns_fd = _open(path)
        if netns_fd is not None:
            with contextlib.ExitStack() as attempt:
                attempt.callback(os.close, netns_fd)
                fcntl.flock(netns_fd, fcntl.LOCK_SH)
                # It may have been removed, and its name given to another, while we waited for the lock.
                if _is_named(path, netns_fd):
                    stack.push(attempt.pop_all())
                    return netns_fd
        with _directory_locked():
            existing = _open(path)
            if existing is None:
                _call_in_thread(lambda: _make(path))
            else:
                os.close(existing)


@contextlib.contextmanager
def _directory_locked() -> Iterator[None]:
    directory = os.open(DIRECTORY, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        fcntl.flock(directory, fcntl.LOCK_EX)
        yield
    finally:
        os.close(directory)


def _open(path: str) -> int | None:
    """The namespace mounted there, None where there is none (or the file of one that was never mounted, which is ours).

    FileExistsError where something else is in its place. All questions are put to one descriptor: mounts come and go.
    """
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return None
    try:
        if os.fstat(descriptor).st_dev == os.stat("/proc/self/ns/net").st_dev:
            found, descriptor = descriptor, -1
            return found
        with contextlib.suppress(IsADirectoryError):
            if os.read(descriptor, len(MARK) + 1) == MARK.encode():
                return None
    finally:
        if descriptor >= 0:
            os.close(descriptor)
    text = f"{path} exists and is no kernel namespace (seen from here); if nobody needs it: ip netns del"
    raise FileExistsError(errno.EEXIST, f"{text} {os.path.basename(path)}")


def _is_named(path: str, netns_fd: int) -> bool:
    try:
        return os.path.samestat(os.stat(path), os.fstat(netns_fd))
    except FileNotFoundError:
        return False


def _make(path: str) -> None:
    """Make a namespace and give it the name, under the exclusive lock and in a thread that ends with it."""
    _share_directory()
    _check("unshare", _libc().unshare(_CLONE_NEWNET))
    with Rtnetlink() as rtnetlink:
        loopback = rtnetlink.link("lo")
        if loopback is not None:
            rtnetlink.set_link(loopback.index, up=True, alias=MARK)
    with open(_NEW_FILE, "w", encoding="ascii") as file:
        file.write(MARK)
    with contextlib.suppress(FileNotFoundError):
        os.unlink(path)  # a leftover of ours, or _open would have refused it
    os.rename(_NEW_FILE, path)
    try:
        _mount("/proc/thread-self/ns/net", path, _MS_BIND)
    except OSError:
        os.unlink(path)
        raise


def _share_directory() -> None:
    """Let names reach other mount namespaces, as iproute2 does; a directory that is no mount must become one first."""
    try:
        _mount("none", DIRECTORY, _MS_SHARED | _MS_REC)
    except OSError as error:
        if error.errno != errno.EINVAL:
            raise
        _mount(DIRECTORY, DIRECTORY, _MS_BIND | _MS_REC)
        _mount("none", DIRECTORY, _MS_SHARED | _MS_REC)


def _mount(source: str, target: str, flags: int) -> None:
    result = _libc().mount(source.encode(), target.encode(), b"none", ctypes.c_ulong(flags), None)
    _check(f"mount on {target}", result)


def _libc() -> ctypes.CDLL:
    return ctypes.CDLL(None, use_errno=True)


def _check(what: str, result: int) -> None:
    if result:
        code = ctypes.get_errno()
        raise OSError(code, f"{what}: {os.strerror(code)}")


def _call_in_thread(function: Callable[[], _Result]) -> _Result:
    results: list[_Result] = []
    errors: list[BaseException] = []

    def run() -> None:
        try:
            results.append(function())
        except BaseException as error:
            errors.append(error)

    thread = threading.Thread(target=run, name="vrouter-netns")
    thread.start()
    thread.join()
    if errors:
        raise errors[0]
    return results[0]
