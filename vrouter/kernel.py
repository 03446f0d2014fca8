"""The kernel's end of TAPs: kernel namespace, name, MTU, addresses and routes as `host = {…}` asks; and their removal.

Expects: an open TAP (`tap.py`). Every function here blocks for milliseconds, so it runs in a thread, never on the event
         loop (`asyncio.to_thread`); all are safe to call from several threads at once.
Sets:    links, addresses and routes in the kernel; a `HostEnd` remembers what there is to remove.
Next:    `driver.py` moves frames; at exit `remove_host_ends`, then `tap.close_taps`.

**Link groups.** Every TAP that the router made is put into one link group (`new_group`), so that one message per kernel
namespace deletes them all: the kernel waits once (about 20 ms) instead of once for each TAP. The number is random in
0x4000_0000…0x7fff_ffff and not taken from the process id: two routers may have one id in two containers that share a
kernel namespace, or be in one process, and the first to end would delete the other's TAPs. Groups that administrators
use are small numbers. A number in this range in `ip link` is how a router's TAP is recognised.

**Leftovers.** A TAP that we made cannot outlive its descriptor, so after a SIGKILL only kernel namespaces remain; how
they are recognised and who removes them stands in `kernel_netns.py`.

**TAPs of somebody else** (persistent ones, `group` 0) stay where they are under their name; addresses that we added are
removed at exit, and their routes go with these.
"""

import contextlib
import errno
import secrets
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, Final

from vrouter import kernel_netns
from vrouter.config.records import HostConfig, HostRoute
from vrouter.config.records import Interface as Address
from vrouter.errors import PrivilegeError
from vrouter.rtnetlink import Link, Rtnetlink
from vrouter.tap import describe_holders

FIRST_GROUP: Final = 0x4000_0000
LAST_GROUP: Final = 0x7FFF_FFFF

_V6: Final = 6
_IFA_F_NODAD: Final = 0x02
_RT_SCOPE_LINK = 253  # as ip(8) sets it on a route without a gateway
_FAMILIES: Final = {4: 2, 6: 10}  # AF_INET, AF_INET6
_THREADS = 32


@dataclass(frozen=True, slots=True)
class HostEnd:
    """The kernel's end of one TAP as it was set up."""

    tap: str
    """The TAP's name when it was opened."""
    ifname: str
    """Its name now."""
    ifindex: int
    netns: str | None
    """Name of the kernel namespace it is in; None where the process runs."""
    group: int
    """Its link group; 0 for a TAP that is not ours to delete."""
    addresses: tuple[Address, ...] = ()
    """Addresses to take away again from a TAP that is not deleted."""
    warnings: tuple[str, ...] = ()
    """What is not as it should be although the router can run."""


def new_group() -> int:
    """A link group for the TAPs of one router; the module's text says why it is random."""
    return FIRST_GROUP + secrets.randbelow(LAST_GROUP - FIRST_GROUP + 1)


def setup_host_end(ifname: str, host: HostConfig | None, *, mtu: int, group: int) -> HostEnd:
    """Set up the kernel's end of the TAP `ifname`: namespace, name, MTU, addresses, up, routes, in this order.

    `mtu` is in bytes. `group` is the router's link group, 0 for a TAP that it did not make.
    Without `host` the link gets its MTU and goes up; where that is not permitted on somebody else's TAP, the `HostEnd`
    carries a warning instead. A kernel namespace that is missing is made.

    Raises PrivilegeError naming the capability, FileExistsError where a name or route is taken (saying by whom), or
    OSError with the kernel's errno and text. What had been moved or made by then is removed again.
    """
    with Rtnetlink() as rtnetlink:
        link = rtnetlink.link(ifname)
        if link is None:
            raise OSError(errno.ENODEV, f"TAP {ifname} does not exist where the process runs")
        if host is None:
            return _setup_plain(rtnetlink, link, mtu, group)
        if not group and (host.netns is not None or host.ifname not in (None, ifname)):
            text = f"TAP {ifname} was not made by the router: host.netns and host.ifname cannot be used on it"
            raise OSError(errno.EEXIST, text)
        if host.netns is None:
            return _setup_here(rtnetlink, link, host, mtu, group)
        return _setup_in_netns(rtnetlink, link, host, host.netns, mtu, group)


def set_mtu(end: HostEnd, mtu: int) -> None:
    """Give the kernel's end of a TAP another MTU (bytes). PrivilegeError, or OSError with the kernel's errno."""

    def change() -> None:
        with Rtnetlink() as rtnetlink:
            link = rtnetlink.link(end.ifname)
            if link is None or link.index != end.ifindex:
                raise OSError(errno.ENODEV, f"TAP {end.ifname} is not where the router had put it")
            if link.mtu != mtu:
                with _told(f"TAP {end.ifname}"):
                    rtnetlink.set_link(link.index, mtu=mtu)

    if end.netns is None:
        change()
    else:
        with kernel_netns.opened(end.netns) as netns_fd:
            kernel_netns.call_in(netns_fd, change)


def remove_host_ends(ends: Iterable[HostEnd]) -> list[str]:
    """Delete these TAPs if the router made them, and its kernel namespaces that lose their last one by that.

    Their `Tap` objects are then gone and only to be closed. Never raises: what is missing already is as it should be,
    and what cannot be removed is told by the texts returned. 500 TAPs in one kernel namespace take about 0.1 s, 500 in
    one each less than a second.
    """
    places: dict[str | None, list[HostEnd]] = {}
    problems: list[str] = []
    for end in ends:
        if end.group:
            places.setdefault(end.netns, []).append(end)
        elif end.addresses:
            with _noted(f"addresses of {end.ifname}", problems):
                _remove_addresses(end)
    if len(places) == 1:
        _leave(*places.popitem(), problems)
    elif places:
        # The kernel waits for each namespace by itself; the waits overlap when threads ask.
        with ThreadPoolExecutor(min(_THREADS, len(places)), "vrouter-remove") as threads:
            for netns, members in places.items():
                threads.submit(_leave, netns, members, problems)
    return problems


def _setup_plain(rtnetlink: Rtnetlink, link: Link, mtu: int, group: int) -> HostEnd:
    warnings: tuple[str, ...] = ()
    if not link.up or link.mtu != mtu or (group and link.group != group):
        try:
            with _told(f"TAP {link.name}"):
                rtnetlink.set_link(link.index, mtu=mtu, group=group or None, up=True)
        except PrivilegeError as error:
            if group:
                raise
            state = f"it is {'up' if link.up else 'down'} with an MTU of {link.mtu} bytes instead of up with {mtu}"
            warnings = (f"{error}, or beforehand: ip link set {link.name} up mtu {mtu} ({state})",)
    return HostEnd(link.name, link.name, link.index, None, group, warnings=warnings)


def _setup_here(rtnetlink: Rtnetlink, link: Link, host: HostConfig, mtu: int, group: int) -> HostEnd:
    name = host.ifname or link.name
    if name != link.name:
        _refuse_taken(rtnetlink, name, "where the process runs")
    with _told(f"TAP {link.name}"):
        rtnetlink.set_link(link.index, name=name if name != link.name else None, mtu=mtu, group=group or None)
    added = _set_addresses(rtnetlink, link.index, name, host, f"TAP {link.name}")
    return HostEnd(link.name, name, link.index, None, group, () if group else added)


def _setup_in_netns(home: Rtnetlink, link: Link, host: HostConfig, netns: str, mtu: int, group: int) -> HostEnd:
    name = host.ifname or link.name
    what = f"TAP {link.name} in kernel namespace {netns}"

    def move(netns_fd: int) -> int:
        with Rtnetlink() as there:
            _refuse_taken(there, name, f"in kernel namespace {netns}")
            with _told(what):
                home.set_link(link.index, netns_fd=netns_fd, name=name, mtu=mtu, group=group)
            moved = there.link(name)  # its index may have changed with the namespace
            if moved is None:
                raise OSError(errno.ENODEV, f"{what}: it vanished on its way")
            try:
                if kernel_netns.is_marked(there.links()):
                    _adjust_ipv6(name, host)
                _set_addresses(there, moved.index, name, host, what)
            except BaseException:
                there.delete_link(moved.index)
                raise
            return moved.index

    try:
        with kernel_netns.joined(netns) as netns_fd:
            ifindex = kernel_netns.call_in(netns_fd, lambda: move(netns_fd))
    except BaseException:
        with contextlib.suppress(OSError, ValueError):
            kernel_netns.remove_unless(netns, _has_routers)
        raise
    return HostEnd(link.name, name, ifindex, netns, group)


def _set_addresses(rtnetlink: Rtnetlink, index: int, ifname: str, host: HostConfig, what: str) -> tuple[Address, ...]:
    """Addresses, up, routes; the addresses that were not there before. IPv6 listens to routers where it is to."""
    if host.autoconf:
        for key, value in (("accept_ra", "2"), ("autoconf", "1")):
            _write_setting(ifname, key, value)
    if not host.addresses and not host.routes:
        with _told(what):
            rtnetlink.set_link(index, up=True)
        return ()
    added = []
    with _iproute() as iproute:
        for address in host.addresses:
            with _told(f"{what}: address {address}"):
                if _add_address(iproute, index, address):
                    added.append(address)
        with _told(what):
            rtnetlink.set_link(index, up=True)
        for route in host.routes:
            with _told(f"{what}: route to {route.to}"):
                _add_route(iproute, index, route)
    return tuple(added)


def _iproute() -> Any:
    # 0.1 s and 13 MiB, so only where there are addresses or routes to set. Its loop is a stock one of this thread.
    from pyroute2 import IPRoute

    return IPRoute(ext_ack=True, strict_check=True)


def _add_address(iproute: Any, index: int, address: Address) -> bool:
    try:
        request: dict[str, Any] = {"index": index, "address": str(address.ip), "prefixlen": address.network.prefixlen}
        if address.version == _V6:
            request["flags"] = _IFA_F_NODAD  # whoever waits for the router may use it at once
        iproute.addr("add", **request)
    except Exception as error:
        code = getattr(error, "code", 0)
        if code == errno.EACCES and address.version == _V6:  # not EPERM, which is a missing privilege
            text = "IPv6 is disabled on the kernel's end (net.ipv6.conf.*.disable_ipv6 = 1)"
            raise OSError(errno.EADDRNOTAVAIL, text) from error
        # EEXIST is about this very link; it has the address already.
        if code != errno.EEXIST:
            raise
        return False
    return True


def _add_route(iproute: Any, index: int, route: HostRoute) -> None:
    family = _FAMILIES[route.to.version]
    request = {"dst": str(route.to), "family": family, "oif": index}
    if route.via is not None:
        request["gateway"] = str(route.via)
    elif route.to.version == 4:
        request["scope"] = _RT_SCOPE_LINK
    if route.src is not None:
        request["prefsrc"] = str(route.src)
    try:
        iproute.route("add", **request)
    except Exception as error:
        if getattr(error, "code", 0) != errno.EEXIST or not _has_route(iproute, index, route, family):
            raise


def _has_route(iproute: Any, index: int, route: HostRoute, family: int) -> bool:
    """Whether the route is there over this link already: a router that was killed had set it on a persistent TAP."""
    gateway = None if route.via is None else str(route.via)
    destination = None if route.to.prefixlen == 0 else str(route.to.network_address)
    return any(
        (found.get("dst") or None) == destination
        and found["dst_len"] == route.to.prefixlen
        and found.get("gateway") == gateway
        and found.get("oif") == index
        for found in iproute.get_routes(family=family, oif=index)
    )


def _remove_addresses(end: HostEnd) -> None:
    with _iproute() as iproute:
        for address in end.addresses:
            try:
                iproute.addr("del", index=end.ifindex, address=str(address.ip), prefixlen=address.network.prefixlen)
            except Exception as error:
                if getattr(error, "code", 0) not in (errno.EADDRNOTAVAIL, errno.ENODEV):
                    raise


def _refuse_taken(rtnetlink: Rtnetlink, name: str, where: str) -> None:
    link = rtnetlink.link(name)
    if link is None:
        return
    if link.tap:
        holders = describe_holders(name)
        owner = f"a TAP held by {holders}" if holders else "a TAP"
    else:
        owner = f"of kind {link.kind}" if link.kind else "hardware or built in"
    raise FileExistsError(errno.EEXIST, f"interface {name} exists already {where}: it is {owner}")


def _adjust_ipv6(name: str, host: HostConfig) -> None:
    """In a namespace of ours: an end without IPv6 sends no router solicitations and MLD reports, one with IPv6 does not
    wait for duplicate address detection. /proc may be read-only, or the kernel without IPv6: then it is as it is."""
    if host.autoconf or any(one.version == _V6 for one in (*host.addresses, *(route.to for route in host.routes))):
        _write_setting(name, "accept_dad", "0")
    else:
        _write_setting(name, "disable_ipv6", "1")


def _write_setting(name: str, key: str, value: str) -> None:
    with contextlib.suppress(OSError), open(f"/proc/sys/net/ipv6/conf/{name}/{key}", "w") as file:
        file.write(value)


def _has_routers(links: list[Link]) -> bool:
    return any(FIRST_GROUP <= link.group <= LAST_GROUP for link in links)


def _leave(netns: str | None, ends: list[HostEnd], problems: list[str]) -> None:
    with _noted("TAPs" if netns is None else f"TAPs in kernel namespace {netns}", problems):
        if netns is None:
            _delete_links(ends)
            return
        with kernel_netns.opened(netns) as netns_fd:
            kernel_netns.call_in(netns_fd, lambda: _delete_links(ends))
        kernel_netns.remove_unless(netns, _has_routers)


def _delete_links(ends: list[HostEnd]) -> None:
    """Delete by group what can be; a link that only took over the index of one of ours is in no group of ours."""
    with Rtnetlink() as rtnetlink:
        links = rtnetlink.links()
        for group in {end.group for end in ends}:
            present = {link.index for link in links if link.group == group}
            wanted = present & {end.ifindex for end in ends}
            if len(wanted) > 1 and wanted == present:
                rtnetlink.delete_group(group)
            else:
                for index in sorted(wanted):
                    rtnetlink.delete_link(index)


@contextlib.contextmanager
def _told(what: str) -> Iterator[None]:
    """Say what failed: our own rtnetlink's errors and pyroute2's become OSError, refused permission PrivilegeError."""
    try:
        yield
    except Exception as error:
        code = getattr(error, "errno", None) or getattr(error, "code", None)
        if not isinstance(code, int):
            raise
        if code in (errno.EPERM, errno.EACCES):
            raise PrivilegeError(what, "needs CAP_NET_ADMIN") from error
        text = error.strerror if isinstance(error, OSError) else error.args[-1]
        raise OSError(code, f"{what}: {text}") from error


@contextlib.contextmanager
def _noted(what: str, problems: list[str]) -> Iterator[None]:
    try:
        yield
    except FileNotFoundError:
        pass  # the kernel namespace is no more, and its TAPs with it
    except Exception as error:
        problems.append(f"{what}: {error}")
