"""The admin socket as a file: who may open it, who has it, and what is left of it."""

import asyncio
import contextlib
import fcntl
import os
import re
import socket
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

import vrouter
from tests.path.admin import Client, serving, socket_path
from vrouter.control.server import start


def there(path: str) -> bool:
    return os.path.lexists(path)


def put(path: str, text: str = "") -> None:
    Path(path).write_text(text)


def content(path: str) -> str:
    return Path(path).read_text()


@contextlib.contextmanager
def held(path: str) -> Iterator[None]:
    """Somebody has the lock."""
    with open(path, "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


async def healthy(path: str) -> bool:
    """Whether a router answers there."""
    client = await Client.connect(path)
    answer = await client.ask("GET", "/healthz")
    client.close()
    return answer.status == 200


async def test_the_socket_is_its_user_s_alone_and_its_directory_is_made() -> None:
    """0600 from its first instant; the directory is made, and both are gone at the end."""
    with socket_path() as base:
        place = Path(base).parent / "run" / "vrouter"
        path = place / "v.sock"
        old = os.umask(0)
        try:
            async with vrouter.Router(admin=str(path)):
                assert stat.S_IMODE(path.stat().st_mode) == 0o600
                assert stat.S_IMODE(place.stat().st_mode) == (0o755 if os.geteuid() == 0 else 0o700)
                assert await healthy(str(path))
        finally:
            os.umask(old)
        assert not place.exists()


async def test_a_second_router_is_refused_with_who_is_there() -> None:
    """EADDRINUSE names the process; the first one goes on, and its socket stays."""
    async with serving() as (_, _, path):
        text = f"{path}: a router runs here already (pid {os.getpid()}); stop it, or give this one another"
        with pytest.raises(OSError, match=re.escape(text)):
            async with vrouter.Router(admin=path):
                pass
        assert await healthy(path)


async def test_of_two_that_start_at_once_one_gets_the_socket() -> None:
    """The lock decides, whatever the order: one starts, the others are refused."""
    with socket_path() as path:
        async with vrouter.Router() as router:
            outcomes = await asyncio.gather(*[start(router, path, None) for _ in range(5)], return_exceptions=True)
            servers = [one for one in outcomes if not isinstance(one, BaseException)]
            assert len(servers) == 1
            assert all(isinstance(one, OSError) for one in outcomes if one not in servers)
            assert await healthy(path)
            await servers[0].close()
        assert not there(path)
        assert not there(f"{path}.lock")


async def test_a_stale_socket_is_taken_over() -> None:
    """What a killed router left (a socket nobody answers at, a lock nobody holds) does not keep the next one away."""
    with socket_path() as path:
        with socket.socket(socket.AF_UNIX) as dead:
            dead.bind(path)
            dead.listen()
        put(f"{path}.lock")
        async with vrouter.Router(admin=path):
            assert await healthy(path)
        assert not there(path)


async def test_a_stranger_s_socket_and_file_are_left_alone() -> None:
    """Who listens there without the lock is named; what is no socket is never removed."""
    with socket_path() as path:
        async with vrouter.Router() as router:
            with socket.socket(socket.AF_UNIX) as other:
                other.bind(path)
                other.listen()
                with pytest.raises(OSError, match=f"process {os.getpid()} listens here already"):
                    await start(router, path, None)
            os.unlink(path)
            put(path, "important")
            with pytest.raises(FileExistsError, match="exists and is no socket"):
                await start(router, path, None)
            assert content(path) == "important"
            assert not there(f"{path}.lock")


async def test_a_lock_without_a_listener_is_a_router_on_its_way() -> None:
    """A held lock with nobody at the socket: a router is starting or stopping."""
    with socket_path() as path:
        async with vrouter.Router() as router:
            with held(f"{path}.lock"):
                with pytest.raises(OSError, match="a router is starting or stopping here"):
                    await start(router, path, None)
                assert there(f"{path}.lock")


async def test_paths_that_cannot_be() -> None:
    """A path that is too long, or below a file, is an error that names it; nothing is left."""
    with socket_path() as path:
        async with vrouter.Router() as router:
            with pytest.raises(OSError, match="at most 107 bytes"):
                await start(router, "/tmp/" + "x" * 120, None)
            put(path)
            with pytest.raises(OSError, match="cannot be made"):
                await start(router, f"{path}/below/v.sock", None)


async def test_somebody_else_s_socket_is_not_removed_at_the_end() -> None:
    """A socket that took the place of ours meanwhile is not ours to remove."""
    with socket_path() as path, contextlib.ExitStack() as stack:
        async with vrouter.Router(admin=path):
            os.unlink(path)
            other = stack.enter_context(socket.socket(socket.AF_UNIX))
            other.bind(path)
        assert there(path)


async def test_a_taken_metrics_port_leaves_nothing_behind() -> None:
    """When the TCP listener cannot start, the admin socket is gone again and the error names the address."""
    with socket_path() as path, socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        address = f"127.0.0.1:{other.getsockname()[1]}"
        async with vrouter.Router() as router:
            with pytest.raises(OSError, match=f"metrics cannot listen at {address}: address already in use"):
                await start(router, path, address)
        assert not there(path)
        assert not there(f"{path}.lock")
