"""`vrouter run`: a router as a service, with signals, logs and systemd's readiness.

SIGTERM and SIGINT end it: nothing more is read, what waits is sent, what was made in the kernel is removed, and the
result is 0. SIGHUP never ends it. The loop is uvloop's, by `uvloop.run`: a policy would break pyroute2's own loops.

Read first: sd_notify(3), signal(7).
"""

from __future__ import annotations

import asyncio
import functools
import gc
import os
import signal
import socket
import time
from typing import TYPE_CHECKING, Any, Final

from vrouter import __version__

if TYPE_CHECKING:
    from vrouter.appliance import Router
    from vrouter.config.records import Config

DEFAULT_ADMIN: Final = "/run/vrouter/vrouter.sock"


def run(config_path: str | os.PathLike[str], *, admin: str = DEFAULT_ADMIN) -> int:
    """Run the router of a configuration until a signal ends it; the exit status.

    `admin` is the path of the admin socket where the configuration names none, "" for none. Raises ConfigError before
    anything is started, PrivilegeError and OSError after everything was removed again.
    """
    signal.signal(signal.SIGHUP, signal.SIG_IGN)  # until `serve` answers it
    import uvloop

    from vrouter.config import load

    config = load(config_path)
    uvloop.run(serve(config, admin=admin))
    return 0


async def serve(config: Config, *, admin: str = DEFAULT_ADMIN) -> None:
    """Run the router of `config` on the running loop until SIGTERM or SIGINT; see `run`."""
    from vrouter.appliance import Router
    from vrouter.log import Log

    started_ns = time.monotonic_ns()
    loop = asyncio.get_running_loop()
    log = Log(config.router.log.level, config.router.log.format)
    stopping = asyncio.Event()
    router = Router(config, admin=admin)
    loop.set_exception_handler(functools.partial(_tell_fault, log))
    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)}
    try:
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, _stop, log, stopping, number)
        loop.add_signal_handler(signal.SIGHUP, log.logger.warning, "reload is not supported yet")
        try:
            if await _start(router, stopping):
                _tell_ready(router, log, started_ns)
                await stopping.wait()
            notify("STOPPING=1")
        finally:
            await router.stop()
            for reason in router.left_behind:
                log.logger.warning("left behind", reason=reason)
        log.logger.info("stopped")
    finally:
        await loop.run_in_executor(None, log.close)
        for number, handler in before.items():
            loop.remove_signal_handler(number)
            signal.signal(number, handler)


async def _start(router: Router, stopping: asyncio.Event) -> bool:
    """Start, unless a signal comes first; whether it started."""
    start = asyncio.ensure_future(router.start())
    stop = asyncio.ensure_future(stopping.wait())
    try:
        await asyncio.wait([start, stop], return_when=asyncio.FIRST_COMPLETED)
        if not start.done():
            start.cancel()
            await asyncio.gather(start, return_exceptions=True)
            return False
        start.result()
        return True
    finally:
        stop.cancel()


def _tell_ready(router: Router, log: Any, started_ns: int) -> None:
    for warning in router.warnings:
        log.logger.warning("not as it should be", reason=warning)
    router.on_event(log.event)
    # What was made up to here stays: no collection needs to look at it again and again.
    gc.collect()
    gc.freeze()
    devices = sum(len(ns.devices) for ns in router.stack.namespaces.values())
    took_ms = (time.monotonic_ns() - started_ns) // 1_000_000
    log.logger.info(
        "ready", version=__version__, namespaces=len(router.netns), devices=devices, took_ms=took_ms, pid=os.getpid()
    )
    notify("READY=1")


def _tell_fault(log: Any, _loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
    """An exception that nobody was there to catch goes to the log, like everything else."""
    log.logger.error("internal error", reason=context["message"], exc_info=context.get("exception"))


def _stop(log: Any, stopping: asyncio.Event, number: int) -> None:
    if not stopping.is_set():
        log.logger.info("stopping", signal=signal.Signals(number).name)
        stopping.set()


def notify(state: str) -> None:
    """Tell the service manager, if one listens (sd_notify(3)); never raises."""
    path = os.environ.get("NOTIFY_SOCKET", "")
    if not path:
        return
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as manager:
        manager.setblocking(False)
        try:
            manager.sendto(state.encode(), "\0" + path[1:] if path[0] == "@" else path)
        except OSError:
            pass  # a manager that is gone has nobody to wait for
