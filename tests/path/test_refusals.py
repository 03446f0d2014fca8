"""What cannot be is refused as a whole: nothing of it has happened afterwards."""

import errno
from collections.abc import Callable

import pytest

from tests.path.bed import Bed
from vrouter.stack import Netns, Stack
from vrouter.stack.l4 import constants as c
from vrouter.testing import frames


def check_books(stack: Stack) -> None:
    """The accounts balance."""
    sources, ends = stack.accounts()
    assert sum(sources.values()) == sum(ends.values())


def code_of(call: Callable[[], object]) -> int | None:
    """The errno of the OSError that `call` raises."""
    with pytest.raises(OSError) as caught:
        call()
    return caught.value.errno


# -- devices ----------------------------------------------------------------------------------------------------------


def test_a_device_does_not_move_into_a_namespace_that_is_gone() -> None:
    """ENOENT, and it works on where it is: with its addresses, its routes and its counters."""
    bed = Bed.line()
    gone = bed.stack.add_netns("gone")
    bed.stack.remove_netns("gone")
    dev = bed.a.dev
    assert code_of(lambda: bed.stack.move_device(dev, gone)) == errno.ENOENT
    assert (dev.ns, dev.removed, dev.ready, bed.r.devices["a"]) == (bed.r, False, True, dev)
    assert [a.address for a in dev.addresses] == [0x0A000101]
    bed.a.send(frames.ipv4_echo("10.0.1.2", "10.0.1.1"))
    assert len(bed.a.received) == 1
    bed.close()


def test_a_device_is_removed_once() -> None:
    """ENODEV for one that is gone, whoever has its name by now."""
    bed = Bed.line()
    old = bed.a.dev
    bed.stack.remove_device(old)
    new = bed.r.add_device("a")
    bed.r.add_address("a", "10.0.1.1/24")
    blue = bed.stack.add_netns("blue")
    assert code_of(lambda: bed.stack.remove_device(old)) == errno.ENODEV
    assert code_of(lambda: bed.stack.move_device(old, blue)) == errno.ENODEV
    assert (bed.r.devices["a"], new.removed, blue.devices.get("a")) == (new, False, None)
    assert bed.r.ip4.is_local(0x0A000101)
    check_books(bed.stack)


def test_a_pair_is_removed_by_either_end_once() -> None:
    """Removing one end removes the other, which cannot be removed again."""
    stack = Stack(seed=1)
    red, blue = stack.add_netns("red"), stack.add_netns("blue")
    one, two = stack.add_veth(red, "x", blue, "y")
    stack.remove_device(one)
    assert code_of(lambda: stack.remove_device(two)) == errno.ENODEV
    assert (list(red.devices), list(blue.devices)) == (["lo"], ["lo"])


def test_addresses_are_given_to_own_devices_only() -> None:
    """ENODEV for a device of another namespace: neither has anything of it afterwards."""
    stack = Stack(seed=1)
    red, blue = stack.add_netns("red"), stack.add_netns("blue")
    lan = blue.add_device("lan")
    blue.add_address("lan", "10.0.1.1/24")
    red.add_device("lan")
    assert code_of(lambda: red.add_address(lan, "10.9.9.1/24")) == errno.ENODEV
    assert code_of(lambda: red.del_address(lan, "10.0.1.1/24")) == errno.ENODEV
    assert [a.address for a in lan.addresses if a.family == 4] == [0x0A000101]
    assert blue.ip4.is_local(0x0A000101)
    assert len(red.ip4.main) == 0


@pytest.mark.parametrize("kind", ["lo", "bond", ""])
def test_kinds_of_devices(kind: str) -> None:
    """EINVAL for what is no kind, and for a second lo."""
    ns = Stack(seed=1).add_netns("red")
    assert code_of(lambda: ns.add_device("x", kind=kind)) == errno.EINVAL
    assert list(ns.devices) == ["lo"]


def test_no_two_devices_have_one_stable_mac() -> None:
    """A moved device keeps its MAC; who gets its old name gets another one, the same each time."""

    def macs() -> list[bytes]:
        stack = Stack(seed=1, identity="r")
        red, blue = stack.add_netns("red"), stack.add_netns("blue")
        found = []
        for name in ("one", "two", "three"):
            dev = red.add_device("lan")
            stack.move_device(dev, blue, name)
            found.append(dev.mac)
        assert [dev.mac for dev in blue.devices.values()][1:] == found
        stack.remove_device(blue.devices["one"])
        return [*found, red.add_device("lan").mac]

    first, second, third, again = macs()
    assert len({first, second, third}) == 3
    assert again == first == Stack(identity="r").stable_mac("red", "lan")
    assert all(mac[0] == 2 for mac in (first, second, third))
    assert macs() == [first, second, third, again]


def test_a_renamed_device_keeps_its_mac_to_itself() -> None:
    """The same when it changes its name alone."""
    stack = Stack(seed=1)
    red = stack.add_netns("red")
    lan = red.add_device("lan")
    stack.move_device(lan, red, "old")
    assert red.add_device("lan").mac != lan.mac


# -- addresses and routes ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "text",
    ["240.0.0.1/24", "255.255.255.254/31", "0.1.2.3/8", "224.0.0.1/4", "ff02::1:2/64", "::/64", "::ffff:10.0.0.1/96"],
)
def test_addresses_that_no_interface_has(text: str) -> None:
    """RFC 1122 3.2.1.3: class E and the groups are nobody's address; nothing would ever be received there.

    RFC 4291 2.5.2, 2.7: so are the unspecified address and the groups of IPv6; IPv4-mapped ones are of IPv4 nodes.
    """
    ns = Stack(seed=1).add_netns("red")
    ns.add_device("a")
    assert code_of(lambda: ns.add_address("a", text)) == errno.EINVAL
    assert [a.scope for a in ns.devices["a"].addresses] == ["link"]


@pytest.mark.parametrize("via", ["10.0.1.0", "10.0.1.255", "10.0.1.1", "240.0.0.1", "127.0.0.2"])
def test_gateways_that_are_no_neighbour(via: str) -> None:
    """RFC 1812 4.2.3.1: {prefix, 0} is a broadcast of old, and no station; nor are the others."""
    bed = Bed.line()
    before = len(bed.r.ip4.main)
    assert code_of(lambda: bed.r.add_route("9.0.0.0/8", via=via)) == errno.EINVAL
    assert len(bed.r.ip4.main) == before


def test_both_ends_of_a_link_of_two_are_gateways() -> None:
    """RFC 3021 2.1: a prefix of 31 bits has no {prefix, 0}."""
    bed = Bed.line()
    bed.r.add_address("a", "10.5.0.1/31")
    assert bed.r.add_route("9.0.0.0/8", via="10.5.0.0").via == 0x0A050000


@pytest.mark.parametrize("metric", [-5, -1, 1 << 32])
def test_metrics_have_32_bits(metric: int) -> None:
    """EINVAL for what is no metric."""
    bed = Bed.line()
    before = len(bed.r.ip4.main)
    assert code_of(lambda: bed.r.add_route("9.0.0.0/8", via="10.0.1.2", metric=metric)) == errno.EINVAL
    assert len(bed.r.ip4.main) == before
    assert bed.r.add_route("9.0.0.0/8", via="10.0.1.2", metric=(1 << 32) - 1).metric == 0xFFFFFFFF


# -- namespaces -------------------------------------------------------------------------------------------------------


def test_accept_from_is_a_list() -> None:
    """One string would be a list of its letters."""
    stack = Stack(seed=1)
    with pytest.raises(TypeError, match="accept_from is a list of names"):
        stack.add_netns("red", accept_from="blue")
    assert stack.namespaces == {}


def refuses(ns: Netns) -> None:
    """A subsystem that cannot be in red."""
    if ns.name == "red":
        raise RuntimeError("not here")


def test_a_namespace_is_entered_by_all_subsystems_or_not_made() -> None:
    """What an `init` raises comes out; those that had entered leave, and nothing of the namespace stays."""
    stack = Stack(seed=1)
    seen: list[str] = []

    def enter(ns: Netns) -> None:
        ns.add_device("made")
        ns.socket().bind(("0.0.0.0", 53))
        seen.append(f"in {ns.name}")

    stack.register(enter, lambda ns: seen.append(f"out {ns.name}"))
    stack.register(refuses, lambda ns: seen.append("never"))
    blue = stack.add_netns("blue", accept_from=["red"])
    stack.add_netns("green").add_route("10.0.0.0/8", netns="blue")
    seen.clear()
    with pytest.raises(RuntimeError, match="not here"):
        stack.add_netns("red")
    assert seen == ["in red", "out red"]
    assert list(stack.namespaces) == ["blue", "green"]
    assert not blue.closing
    check_books(stack)


def test_a_subsystem_is_in_all_namespaces_or_in_none() -> None:
    """Registered late, the same: it leaves those that it was in, and later ones do not meet it."""
    stack = Stack(seed=1)
    for name in ("blue", "red", "green"):
        stack.add_netns(name)
    left: list[str] = []
    with pytest.raises(RuntimeError, match="not here"):
        stack.register(refuses, lambda ns: left.append(ns.name))
    assert left == ["blue"]
    stack.remove_netns("red")
    stack.add_netns("red")
    assert left == ["blue"]


def test_a_socket_says_nothing_about_a_device_that_has_moved_away(empty: Bed) -> None:
    """What a device is called, and which number it has, in another namespace is that namespace's alone."""
    red, blue = empty.stack.add_netns("red"), empty.stack.add_netns("blue")
    dev = red.add_device("lan")
    sock = red.socket()
    sock.setsockopt(c.SOL_SOCKET, c.SO_BINDTODEVICE, b"lan")
    sock.bind(("", 5))
    empty.stack.move_device(dev, blue, "secret")
    assert sock.getsockopt(c.SOL_SOCKET, c.SO_BINDTODEVICE, 16) == b""
    assert sock.getsockopt(c.SOL_SOCKET, c.SO_BINDTOIFINDEX) == 0
    assert sock.record()["local"] == "0.0.0.0:5"
    with pytest.raises(OSError) as caught:
        sock.sendto(b"x", ("10.0.0.1", 7))
    assert caught.value.errno == errno.ENODEV
    empty.stack.take_egress()


def test_a_subsystem_that_fails_leaves_no_child_behind(empty: Bed) -> None:
    """What its start made inside of the namespace goes with it."""

    def init(ns: Netns) -> None:
        if ns.name == "a":
            empty.stack.add_netns("a/x")
            raise RuntimeError("no")

    empty.stack.register(init, lambda ns: None)
    with pytest.raises(RuntimeError, match="no"):
        empty.stack.add_netns("a")
    assert empty.stack.namespaces == {}


def test_only_the_owner_hears_of_a_carrier(empty: Bed) -> None:
    """ENODEV: a device of another namespace is none of this one's."""
    red, blue = empty.stack.add_netns("red"), empty.stack.add_netns("blue")
    dev = blue.add_device("lan")
    with pytest.raises(OSError) as caught:
        red.set_carrier(dev, False)
    assert caught.value.errno == errno.ENODEV
    assert dev.carrier
