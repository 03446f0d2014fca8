"""The books about addresses against slow, obvious twins: who owns what, which kernel routes there are, which source is
chosen, what is on a link; whatever comes, goes, loses its device, or is disputed."""

from __future__ import annotations

import contextlib
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from tests.path.bed import without_ipv6
from vrouter.stack.base.addresses import mask
from vrouter.stack.device import Address, Device
from vrouter.stack.l3.fib import BROADCAST, LOCAL, UNICAST
from vrouter.stack.netns import Netns
from vrouter.stack.stack import Stack

DEVICES = ("d0", "d1")
# Prefixes within one another that share networks, broadcast addresses, and addresses with another's broadcast address.
ADDRESSES = (
    "10.0.0.1/24",
    "10.0.0.2/24",
    "10.0.0.129/24",
    "10.0.0.1/25",
    "10.0.0.129/25",
    "10.0.0.127/16",
    "10.0.0.2/16",
    "10.0.0.1/31",
    "10.0.0.1/32",
)
PROBES = (0x0A000001, 0x0A000002, 0x0A000041, 0x0A000081, 0x0A000101, 0x08080808)
ADD = st.tuples(st.just("add"), st.sampled_from(DEVICES), st.sampled_from(ADDRESSES))
STEPS = st.lists(
    st.one_of(
        ADD,
        st.tuples(st.just("del"), st.sampled_from(DEVICES), st.integers(0, 5)),
        st.tuples(st.just("del"), st.sampled_from(DEVICES), st.integers(0, 5)),
        st.tuples(st.just("down"), st.sampled_from(DEVICES), st.booleans()),
        st.tuples(st.just("dispute"), st.sampled_from(DEVICES), st.integers(0, 5)),
        st.tuples(st.just("remove"), st.sampled_from(DEVICES), st.none()),
    ),
    max_size=12,
)


def usable(ns: Netns) -> list[Address]:
    return [a for dev in ns.devices.values() if dev.up for a in dev.addresses if a.state == "preferred"]


def check_owners(ns: Netns, here: list[Address]) -> None:
    """Each usable address has an owner among its records; its directed broadcast and network address are known."""
    ip = ns.ip4
    assert set(ip.owners) == {a.address for a in here}
    assert all(ip.owners[a.address] in here for a in here)
    with_broadcast = [a for a in here if a.dev.kind != "lo" and a.length < 31]
    assert set(ip.broadcasts) == {a.address | ~mask(a.length) & 0xFFFFFFFF for a in with_broadcast}
    assert set(ip.zeros) == {a.address & mask(a.length) for a in with_broadcast}


def check_routes(ns: Netns, here: list[Address]) -> None:
    """For each thing that a usable address wants there is one route by its device, with one of those who want it."""
    wanted: dict[tuple[str, int, int, Device], set[tuple[int, int]]] = {}
    for a in here:
        network = a.address & mask(a.length)
        wanted.setdefault(("local", a.address, 32, a.dev), set()).add((LOCAL, a.address))
        if a.dev.kind == "lo":
            wanted.setdefault(("local", network, a.length, a.dev), set()).add((LOCAL, a.address))
        elif a.length < 32:
            wanted.setdefault(("main", network, a.length, a.dev), set()).add((UNICAST, a.address))
        if a.broadcast >= 0:
            wanted.setdefault(("local", a.broadcast, 32, a.dev), set()).add((BROADCAST, a.address))
    found = [(name, *entry) for name in ("local", "main") for entry in getattr(ns.ip4, name)]
    keys = [(name, prefix, length, r.dev) for name, prefix, length, r in found if r.dev is not None]
    assert sorted(map(str, keys)) == sorted(map(str, wanted))
    ways = [(r.type, r.src) for _, _, _, r in found if r.dev is not None]
    assert all(way in wanted[key] for key, way in zip(keys, ways, strict=True))


def check_questions(ns: Netns) -> None:
    """`held`, `on_link`, `same_link` and `select_source` as by a walk over all addresses in order."""
    ip = ns.ip4
    for dev in ns.devices.values():
        for probe in PROBES:
            near = [a for a in dev.addresses if not (a.address ^ probe) & mask(a.length)]
            assert list(ip.held(dev, probe)) == [a for a in dev.addresses if a.address == probe]
            assert ip.on_link(dev, probe) == bool(near)
            for other in PROBES:
                assert ip.same_link(dev, probe, other) == any(not (a.address ^ other) & mask(a.length) for a in near)
            assert ip.select_source(dev, probe) == source(ns, dev, near)
    assert ip.select_source(None, PROBES[0]) == source(ns, None, [])
    assert all(a.state == "preferred" and a in a.dev.addresses for some in ip._sources.values() for _, _, a in some)


def source(ns: Netns, dev: Device | None, near: list[Address]) -> int:
    """RFC 1122 3.3.4.3: of the device in the prefix, of the device, of anybody; the first that may be used."""
    own = [] if dev is None else [a for a in dev.addresses if a.scope != "host"]
    others = [a for one in ns.devices.values() for a in one.addresses if a.scope == "global"]
    return next((a.address for a in (*near, *own, *others) if a.state == "preferred"), 0)


@given(first=st.lists(ADD, min_size=4, max_size=10), steps=STEPS)
def test_the_books_about_addresses_agree_with_their_twins(
    first: list[tuple[str, str, Any]], steps: list[tuple[str, str, Any]]
) -> None:
    """RFC 1812 5.3.12.4 and Linux's fib_add_ifaddr and fib_del_ifaddr, told by walks over all addresses."""
    stack = Stack(seed=3)
    stack.register(without_ipv6, lambda ns: None)
    ns = stack.add_netns("red")
    for what, name, arg in first + steps:
        dev = ns.devices.get(name) or ns.add_device(name)
        if what == "add":
            with contextlib.suppress(FileExistsError):
                ns.add_address(dev, arg)
        elif what == "down":
            ns.set_device(name, up=arg)
        elif what == "remove":
            stack.remove_device(dev)
        elif dev.addresses:
            a = dev.addresses[arg % len(dev.addresses)]
            if what == "del":
                ns._forget_address(a, stack.now)
            elif a.state == "preferred":
                a.state = "conflict"
                ns.ip4.deactivate(a)
            else:
                ns.ip4.activate(a)
        here = usable(ns)
        check_owners(ns, here)
        check_routes(ns, here)
        check_questions(ns)
    stack.remove_netns("red")
    check_owners(ns, [])
    assert (len(ns.ip4.main), len(ns.ip4.local), ns.ip4._sources) == (0, 0, {})
