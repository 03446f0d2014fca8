"""The composition root: from a configuration to TAPs, namespaces, stack and driver, and back to nothing.

`Router` is all of it as one asynchronous context manager. It runs on the loop that is running when it starts, opens no
listener that its configuration does not name, and touches neither signals nor logging; those are `service`'s.

Starting: open the TAPs and set up their kernel's ends, in threads, all at once; meanwhile the namespaces, settings and
devices (`building`); then the ports, so that what addresses announce reaches the wire; the rest; at last the listeners.
A start that fails or is cancelled undoes what it had done. Stopping is the same way back.

Expects: a configuration (`config`), or none: then everything is added by calls.
Sets:    interfaces, kernel namespaces and addresses in the kernel, which it removes again.
Next:    `control` serves what is here; `cli` asks it.
"""

from __future__ import annotations

import asyncio
import errno
import importlib
import os
import time
from collections.abc import AsyncIterator, Callable, Mapping
from typing import TYPE_CHECKING, Any, Final

import msgspec

from vrouter import building, kernel
from vrouter.building import Builder
from vrouter.driver import Driver, Port, in_thread
from vrouter.live_capture import LiveCapture
from vrouter.netns import Netns
from vrouter.nsmap import absolute
from vrouter.rtnetlink import LinkMonitor
from vrouter.stack.capture import SNAPLEN, CapturedFrame
from vrouter.stack.stack import Stack
from vrouter.uplink import Uplink, take_down

if TYPE_CHECKING:
    from types import TracebackType

    from vrouter.config.records import Config, DeviceConfig
    from vrouter.driver import Listener
    from vrouter.stack.device import Device

_MACHINE_ID: Final = "/etc/machine-id"


class Router:
    """A virtual router. ``Router.from_file(path)``, ``Router(mapping)`` or ``Router()``, then ``async with``.

    `seed` keys the random numbers and `identity` the stable MAC addresses (both for tests; by default the system's
    random numbers, and ``[router] id`` or the machine's id and host name); `clock` gives ns. `admin` is the path of the
    admin socket where the configuration names none.

    ConfigError for a mapping that is no configuration.
    """

    def __init__(
        self,
        config: Config | Mapping[str, Any] | None = None,
        *,
        seed: int | bytes | None = None,
        identity: str | None = None,
        clock: Callable[[], int] = time.monotonic_ns,
        admin: str | None = None,
    ) -> None:
        self.config = _config(config)
        if identity is None:
            identity = (self.config.router.id if self.config is not None else None) or machine_identity()
        self.stack = Stack(os.urandom(16) if seed is None else seed, identity=identity)
        self.netns: dict[str, Netns] = {}
        self.admin_path = self._admin_path(admin)
        self._clock = clock
        self._driver: Driver | None = None
        self._uplinks: dict[Device, Uplink] = {}
        self._group = 0
        self._control: Any = None
        self._captures: set[LiveCapture] = set()
        self._links: LinkMonitor | None = None
        self.left_behind: list[str] = []  # what could not be removed from the kernel, and why
        self._started = self._stopped = self._given_up = False

    @classmethod
    def from_file(cls, path: str | os.PathLike[str], **options: Any) -> Router:
        """A router by the configuration in a TOML file. ConfigError with every mistake, OSError when unreadable."""
        from vrouter.config import load

        return cls(load(path), **options)

    def _admin_path(self, default: str | None) -> str:
        named = self.config.router.admin if self.config is not None else None
        return (default or "") if named is None else named

    def __repr__(self) -> str:
        return f"<Router with {len(self.netns)} namespaces>"

    def __getitem__(self, path: str) -> Netns:
        """The namespace at a path, counted from the top; KeyError when there is none."""
        found = self.netns.get(path) or self.netns.get(path.removeprefix("/"))
        if found is None:
            raise KeyError(f"no namespace {path!r}")
        return found

    # -- what is the matter -----------------------------------------------------------------------------------------

    @property
    def driver(self) -> Driver:
        """What moves its frames; OSError ENETDOWN while it does not run."""
        if self._driver is None or self._driver.closed:
            raise OSError(errno.ENETDOWN, "the router is not running")
        return self._driver

    def now(self) -> int:
        """The router's clock in ns."""
        return self._clock()

    @property
    def ready(self) -> bool:
        """Whether it has started, and every TAP is open."""
        return self._started and not self.waiting()

    def waiting(self) -> list[str]:
        """The devices whose TAP is not open, as ``NETNS/DEV``."""
        return [f"{device.ns.name}/{device.name}" for device, uplink in self._uplinks.items() if uplink.gone]

    @property
    def warnings(self) -> list[str]:
        """What is not as it should be although the router can run: of the configuration, and of the kernel's ends, also
        of those that could not be removed."""
        found = [str(problem) for problem in self.config.warnings] if self.config is not None else []
        for uplink in self._uplinks.values():
            found += uplink.end.warnings if uplink.end is not None else ()
        return found + self.left_behind

    def on_event(self, listener: Listener) -> Callable[[], None]:
        """Call `listener` with every change of state (`stack.base.events.Event`); returns a function that ends it."""
        return self.driver.on_event(listener)

    def capture(
        self,
        netns: str,
        dev: str | None = None,
        snaplen: int = SNAPLEN,
        matches: Callable[[bytes], bool] | None = None,
    ) -> AsyncIterator[CapturedFrame]:
        """Frames that pass a device, or any device that a namespace has now, as they pass.

        `matches` decides by a frame's bytes. A reader that is too slow loses the newest frames. OSError ENODEV.
        """
        ns = self[netns].stack
        devices = list(ns.devices.values()) if dev is None else [ns.device(dev)]
        return LiveCapture(self.driver.loop, snaplen, matches).follow(devices, self._captures)

    # -- start and stop ---------------------------------------------------------------------------------------------

    async def __aenter__(self) -> Router:
        await self.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.stop()

    async def start(self) -> None:
        """Start; ready when this returns. PrivilegeError, OSError, and then nothing is left of it."""
        if self._driver is not None or self._stopped:
            raise RuntimeError("a router starts once")
        self._driver = Driver(self.stack, asyncio.get_running_loop(), self._clock)
        try:
            if self.config is not None:
                await self._build(self.config)
            await self._listen()
        except BaseException:
            await self.stop()
            raise
        self._started = True

    async def stop(self) -> None:
        """Stop reading, send what waits, end every socket, and remove what was made in the kernel. May be repeated."""
        if self._driver is None or self._stopped:
            return
        self._stopped = True
        self._started = False
        work = asyncio.get_running_loop().create_task(self._wind_down(self._driver))
        try:
            await asyncio.shield(work)
        except asyncio.CancelledError:
            await asyncio.wait([work])  # what was made in the kernel is removed all the same
            raise

    async def _wind_down(self, driver: Driver) -> None:
        if self._control is not None:
            control, self._control = self._control, None
            await control.close()
        for capture in list(self._captures):
            capture.end()
        for ns in self.stack.namespaces.values():
            for sock in list(ns.sockets):
                sock.close(now=driver.clock())
            building.fall_silent(driver, ns)
        if self._links is not None:
            driver.loop.remove_reader(self._links.fileno())
            self._links.close()
        await driver.close()
        uplinks, self._uplinks = list(self._uplinks.values()), {}
        await self._remove(uplinks)

    async def _listen(self) -> None:
        metrics = self.config.router.metrics if self.config is not None else None
        if self.admin_path or metrics:
            # By name: the control layer stands above this one, and a router without listeners does not pay for it.
            server = importlib.import_module("vrouter.control.server")
            self._control = await server.start(self, self.admin_path or None, metrics)

    async def _build(self, config: Config) -> None:
        builder = Builder(self.driver, config)
        opening = {}
        for ns in config.netns.values():
            for dev in ns.devices.values():
                if dev.kind == "tap":
                    opening[ns.path, dev.name] = self._open(dev)
        jobs = {key: asyncio.ensure_future(coroutine) for key, coroutine in opening.items()}
        try:
            for ns in config.netns.values():
                self._add_netns(ns.path, ns.accept_from).resolver.config = ns.resolver
            builder.links()
            for (path, name), job in jobs.items():
                uplink = await job
                self._attach(self.stack.namespaces[path].devices[name], uplink)
        except BaseException:
            await self._give_up(list(jobs.values()))
            raise
        await builder.rest()

    async def _open(self, config: DeviceConfig) -> Uplink:
        if not self._group:
            self._group = kernel.new_group()
        if self._links is None:
            self._links = LinkMonitor()
            self.driver.loop.add_reader(self._links.fileno(), self._links_changed)
        uplink = Uplink(config, self._group)
        try:
            await in_thread(self._open_uplink, uplink)
        except asyncio.CancelledError:
            if uplink.end is not None:  # it had succeeded all the same
                await self._remove([uplink])
            raise
        return uplink

    def _open_uplink(self, uplink: Uplink) -> None:
        if self._given_up or self._stopped:  # it had to wait for a thread, and others have failed meanwhile
            raise OSError(errno.ECANCELED, f"TAP {uplink.config.ifname} was not opened: the router stops")
        uplink.open()

    async def _give_up(self, jobs: list[asyncio.Task[Uplink]]) -> None:
        """End openings that nobody waits for any more."""
        self._given_up = True
        attached = set(self._uplinks.values())
        for job in jobs:
            job.cancel()
        results = await asyncio.gather(*jobs, return_exceptions=True)
        orphans = [one for one in results if isinstance(one, Uplink) and one not in attached]
        await self._remove(orphans)

    async def _remove(self, uplinks: list[Uplink]) -> None:
        """Take down kernel's ends and TAPs that frames do not pass any more; what stays there is in `warnings`."""
        if uplinks:
            self.left_behind += await in_thread(take_down, uplinks)

    # -- namespaces -------------------------------------------------------------------------------------------------

    async def add_netns(self, path: str, *, kind: str = "l2", accept_from: tuple[str, ...] | list[str] = ()) -> Netns:
        """Make a namespace; its parent must exist. OSError EEXIST, ENOENT, EINVAL; NotSupportedError for kind l3."""
        if kind != "l2":
            from vrouter.errors import NotSupportedError

            if kind == "l3":
                raise NotSupportedError("namespaces of kind l3 are not supported yet")
            raise ValueError(f"{kind!r} is no kind of namespace: l2 or l3")
        path = path.removeprefix("/")
        return self._add_netns(path, [n if n == "*" else absolute(path, n) for n in accept_from])

    def _add_netns(self, path: str, accept_from: tuple[str, ...] | list[str]) -> Netns:
        made = self.driver.call(self.stack.add_netns, path, accept_from=accept_from)
        face = self.netns[path] = Netns(self, made)
        return face

    async def remove_netns(self, path: str, *, recursive: bool = False) -> None:
        """Remove a namespace with everything in it. KeyError; OSError ENOTEMPTY when it has children and must not."""
        name = self[path].name
        doomed = [other for other in self.netns if other == name or other.startswith(name + "/")]
        if len(doomed) > 1 and not recursive:
            raise OSError(errno.ENOTEMPTY, f"namespace {name!r} has children: {', '.join(doomed[1:])}")
        uplinks: list[Uplink] = []
        try:
            while opened := [device for device in self._uplinks if device.ns.name in doomed]:
                uplinks += [await self._detach(device) for device in opened]
            self.driver.call(self.stack.remove_netns, name, recursive=recursive)
            for other in doomed:
                del self.netns[other]
        finally:
            await self._remove(uplinks)

    # -- devices ----------------------------------------------------------------------------------------------------

    async def add_device(self, netns: str, name: str, /, **settings: Any) -> None:
        """`Netns.add_device`."""
        from vrouter.config import device_from_dict

        ns = self[netns].stack
        peer = settings.get("peer")
        if isinstance(peer, Mapping) and isinstance(peer.get("netns"), str):
            settings["peer"] = {**peer, "netns": "/" + self[absolute(ns.name, peer["netns"])].name}
        config = device_from_dict(ns.name, name, settings)
        if name in ns.devices:
            raise FileExistsError(errno.EEXIST, f"device {name!r} exists already in namespace {ns.name!r}")
        if config.peer is not None:
            self[config.peer.netns]  # KeyError
        device = building.add_device(self.driver, ns, config, None)
        try:
            building.adjust(self.driver, ns, config, {})
            if config.kind == "tap":
                await self._connect(device, config)
            building.set_up(self.driver, device, config)
        except BaseException:
            if not device.removed:
                await self.remove_device(device.ns.name, device.name)
            raise

    async def add_veth(self, netns: str, name: str, peer_netns: str, peer_name: str, *, mtu: int = 1500) -> None:
        """A pair of devices, each the other's wire. OSError EEXIST, EINVAL."""
        ends = self[netns].stack, self[peer_netns].stack
        self.driver.call(self.stack.add_veth, ends[0], name, ends[1], peer_name, mtu=mtu)

    async def remove_device(self, netns: str, name: str) -> None:
        """Remove a device, a veth's other end with it. OSError ENODEV; EOPNOTSUPP for ``lo``."""
        device = self[netns].stack.device(name)
        uplinks = [await self._detach(device)] if device in self._uplinks else []
        try:
            self.driver.call(self.stack.remove_device, device)
        finally:
            await self._remove(uplinks)

    async def move_device(self, netns: str, dev: str, target: str, name: str | None = None) -> None:
        """Move a device to another namespace, as `name` if one is given. OSError ENODEV, EEXIST, EINVAL."""
        device, where = self[netns].stack.device(dev), self[target].stack
        self.driver.call(self.stack.move_device, device, where, name)

    async def set_device(self, netns: str, name: str, *, up: bool | None = None, mtu: int | None = None) -> None:
        """`Netns.set_device`."""
        device = self[netns].stack.device(name)
        if mtu is not None:
            before = device.mtu
            self.driver.call(device.ns.set_device, name, mtu=mtu)
            try:
                await self._set_kernel_mtu(device, mtu)
            except BaseException:
                if not device.removed:
                    self.driver.call(device.ns.set_device, device.name, mtu=before)
                raise
        if up is not None:
            self.driver.call(device.ns.set_device, device.name, up=up)

    async def _set_kernel_mtu(self, device: Device, mtu: int) -> None:
        uplink = self._uplinks.get(device)
        if uplink is None:
            return
        if uplink.end is not None and not uplink.gone:
            await in_thread(kernel.set_mtu, uplink.end, mtu)
        uplink.config = msgspec.structs.replace(uplink.config, mtu=mtu)  # for when it is opened again

    async def _connect(self, device: Device, config: DeviceConfig) -> None:
        uplink = await self._open(config)
        try:
            self._attach(device, uplink)
        except BaseException:
            await self._remove([uplink])
            raise

    def _attach(self, device: Device, uplink: Uplink) -> Port:
        """Frames pass from here on."""
        assert uplink.tap is not None
        if self._stopped:
            raise OSError(errno.ENETDOWN, f"the router stopped while device {device.name!r} was opened")
        if device.removed:
            raise OSError(errno.ENODEV, f"device {device.name!r} was removed while it was opened")
        self._links_changed()  # older news than what has just been set up
        self._uplinks[device] = uplink
        device.ifname = uplink.tap.ifname
        port = self.driver.add_port(uplink.tap, device, uplink.reopen)
        self.driver.call(device.ns.set_carrier, device, True, "")
        return port

    async def _detach(self, device: Device) -> Uplink:
        """No frame passes any more; the TAP is still open. Known until then, so that a cancellation loses none."""
        uplink = self._uplinks[device]
        if device.port is not None:
            await self.driver.remove_port(device.port)
        self._uplinks.pop(device, None)
        return uplink

    def _links_changed(self) -> None:
        """Links where the process runs have changed: a TAP whose kernel's end went down says so without a frame."""
        if self._links is None or not (changes := self._links.read()):
            return
        news = {change.ifindex: change.up for change in changes if not change.deleted}  # the last one counts
        for device, uplink in self._uplinks.items():
            end = uplink.end
            if end is not None and end.netns is None and end.ifindex in news and device.port is not None:
                self.driver.link_changed(device.port, news[end.ifindex])


def _config(config: Config | Mapping[str, Any] | None) -> Config | None:
    if config is None:
        return None
    from vrouter.config import Config, from_dict

    return config if isinstance(config, Config) else from_dict(dict(config))


def machine_identity() -> str:
    """What tells this machine from others, for stable MAC addresses: its id, if it has one, and its host name."""
    try:
        with open(_MACHINE_ID, encoding="ascii", errors="replace") as file:
            machine = file.read().strip()
    except OSError:
        machine = ""
    return f"{machine}/{os.uname().nodename}"
