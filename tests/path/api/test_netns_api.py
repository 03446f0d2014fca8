"""A namespace's calls: devices, addresses, routes, settings, neighbours, and the records that show them."""

from __future__ import annotations

import errno
import re

import pytest

import vrouter
from tests.path.api.ends import Recorder, pair
from vrouter import records
from vrouter.testing import Lab

SO_REUSEADDR, SOL_SOCKET = 2, 1
AF_INET, SOCK_DGRAM = 2, 2


async def test_namespaces_are_made_and_removed(router: vrouter.Router) -> None:
    """EEXIST, ENOENT without a parent, ENOTEMPTY with children unless recursive, KeyError for an unknown one."""
    web = await router.add_netns("red/web", accept_from=["red", "../blue"])
    assert web.accept_from == {"red", "blue"}
    assert router["red/web"] is web is router["/red/web"]
    with pytest.raises(FileExistsError):
        await router.add_netns("red")
    with pytest.raises(FileNotFoundError, match="no namespace 'green' to make 'green/x' in"):
        await router.add_netns("green/x")
    with pytest.raises(OSError, match="has children: red/web") as caught:
        await router.remove_netns("red")
    assert caught.value.errno == errno.ENOTEMPTY
    await router.remove_netns("red", recursive=True)
    assert list(router.netns) == ["blue"]
    assert [row["dev"] for row in records.devices(router)] == ["lo"]  # red's veth took its other end along
    for call in (lambda: router["red"], lambda: records.devices(router, "red")):
        with pytest.raises(KeyError, match="no namespace 'red'"):
            call()
    with pytest.raises(KeyError):
        await router.remove_netns("red")


async def test_what_is_not_built_yet_says_so(router: vrouter.Router) -> None:
    """NotSupportedError for L3 namespaces; never silence."""
    red = router["red"]
    with pytest.raises(vrouter.NotSupportedError, match="l3 are not supported yet"):
        await router.add_netns("red/leaf", kind="l3")
    with pytest.raises(ValueError, match="no kind of namespace"):
        await router.add_netns("red/leaf", kind="l4")
    with pytest.raises(ValueError):
        await red.add_device("t0", kind="gre")


async def test_devices_come_move_and_go(router: vrouter.Router) -> None:
    """A veth by its other end, a move that leaves addresses and routes behind, a removal that takes both ends."""
    red, blue = router["red"], router["blue"]
    green = await router.add_netns("green")
    await red.add_device(
        "g", kind="veth", peer={"netns": "green", "dev": "r"}, addresses=["10.5.0.1/24"], mtu=1300, acd="announce"
    )
    await green.add_address("r", "10.5.0.2/24")
    await green.add_route("default", via="10.5.0.1")
    assert await red.ping("10.5.0.2") > 0
    with pytest.raises(FileExistsError):
        await red.add_device("g", kind="veth", peer={"netns": "green", "dev": "r2"})
    with pytest.raises(KeyError, match="no namespace 'nobody'"):
        await red.add_device("h", kind="veth", peer={"netns": "nobody", "dev": "r2"})
    assert "r2" not in green.stack.devices
    with pytest.raises(vrouter.ConfigError):
        await red.add_device("h", kind="veth", peer={"netns": "green", "dev": "r3"}, addresses=["10.5.0.300/24"])

    await router.move_device("green", "r", "blue", name="far")
    assert [row["scope"] for row in blue.addresses() if row["dev"] == "far"] == ["link"]  # it makes that one itself
    assert green.routes() == []
    await blue.add_address("far", "10.5.0.9/24")
    assert await red.ping("10.5.0.9") > 0
    with pytest.raises(FileExistsError):
        await blue.move_device("far", "red", "x")
    await red.set_device("g", up=False)
    assert [row["state"] for row in red.devices()] == ["up", "up", "down"]
    await red.remove_device("g")
    assert sorted(blue.stack.devices) == ["lo", "y"]
    with pytest.raises(OSError, match="no device 'g'") as caught:
        await red.remove_device("g")
    assert caught.value.errno == errno.ENODEV
    with pytest.raises(OSError, match="lo belongs") as caught:
        await red.remove_device("lo")
    assert caught.value.errno == errno.EOPNOTSUPP


async def test_a_device_that_moves_announces_its_new_address(router: vrouter.Router) -> None:
    """RFC 5227 3: the peer's stale neighbour entry follows at once to where the address is now."""
    red = router["red"]
    await red.ping("10.0.0.2")
    green = await router.add_netns("green")
    await router.move_device("blue", "y", "green")
    before = red.stack.devices["x"].rx_packets
    await green.add_address("y", "10.0.0.2/24")
    assert red.stack.devices["x"].rx_packets == before + 1
    assert await red.ping("10.0.0.2") > 0


async def test_addresses_and_routes_by_call(router: vrouter.Router) -> None:
    """Errors are the kernel's: EEXIST, EADDRNOTAVAIL, ENETUNREACH, ESRCH; bad text is ValueError."""
    red = router["red"]
    with pytest.raises(FileExistsError):
        await red.add_address("x", "10.0.0.1/24")
    with pytest.raises(ValueError, match="not an IPv4 address"):
        await red.add_address("x", "10.0.0/24")
    await red.add_route("10.6.0.0/16", via="10.0.0.2", metric=7)
    expected = {
        "netns": "red",
        "to": "10.6.0.0/16",
        "via": "10.0.0.2",
        "dev": "x",
        "target_netns": None,
        "type": "unicast",
        "metric": 7,
        "table": "main",
        "proto": "static",
        "scope": "global",
        "src": None,
        "mtu": None,
        "advmss": None,
        "onlink": False,
        "nhid": None,
        "nexthops": None,
        "expires_ns": None,
    }
    assert expected | {"pref": None} in red.routes()
    assert red.route_get("10.6.1.1") == expected | {"src": "10.0.0.1"}
    with pytest.raises(OSError, match="not on a link") as caught:
        await red.add_route("10.6.0.0/16", via="10.44.0.2")
    assert caught.value.errno == errno.ENETUNREACH
    with pytest.raises(OSError) as caught:
        red.route_get("10.66.0.1")
    assert caught.value.errno == errno.ENETUNREACH
    await red.del_route("10.6.0.0/16")
    with pytest.raises(OSError) as caught:
        await red.del_route("10.6.0.0/16")
    assert caught.value.errno == errno.ESRCH
    with pytest.raises(KeyError):
        await red.add_route("10.6.0.0/16", netns="nobody")
    await red.del_address("x", "10.0.0.1/24")
    assert [row["to"] for row in red.routes()] == ["fe80::/64"]
    with pytest.raises(OSError) as caught:
        await red.del_address("x", "10.0.0.1/24")
    assert caught.value.errno == errno.EADDRNOTAVAIL


async def test_a_short_cut_needs_both_sides(router: vrouter.Router) -> None:
    """Without accept_from a socket gets EACCES, and the crossing counts its packets; with it, they cross."""
    red, blue = router["red"], router["blue"]
    await blue.add_address("lo", "10.200.2.1/32")
    await red.add_address("lo", "10.200.1.1/32")
    await red.add_route("10.200.2.0/24", netns="blue")
    await blue.add_route("10.200.1.0/24", netns="red")
    with pytest.raises(PermissionError):
        await red.ping("10.200.2.1", src="10.200.1.1")
    with red.socket(AF_INET, SOCK_DGRAM) as refused, pytest.raises(PermissionError):
        refused.sendto(b"x", ("10.200.2.1", 9))
    await blue.set_accept_from(["red"])
    await red.set_accept_from(["*"])
    assert red.route_get("10.200.2.1")["accepted"] is True
    assert await red.ping("10.200.2.1", src="10.200.1.1") > 0
    rows = {(row["from"], row["to"]): row for row in records.crossings(router, "red") if row["kind"] == "route"}
    assert rows["red", "blue"]["denied"] == 1
    assert (rows["red", "blue"]["packets"], rows["blue", "red"]["packets"]) == (1, 1)
    with pytest.raises(TypeError):
        await blue.set_accept_from("red")
    with pytest.raises(ValueError):
        await blue.set_accept_from(["r ed"])


async def test_settings_by_their_linux_names(router: vrouter.Router) -> None:
    """`red.sysctl` is a mapping; what there is not is KeyError, what cannot be ValueError."""
    red = router["red"]
    red.sysctl["net.ipv4.ip_forward"] = 1
    assert red.sysctl["net.ipv4.conf.x.forwarding"] == 1
    assert router["blue"].sysctl["net.ipv4.ip_forward"] == 0
    with pytest.raises(KeyError, match="did you mean"):
        red.sysctl["net.ipv4.ip_forwards"] = 1
    with pytest.raises(ValueError):
        red.sysctl["net.ipv4.ip_forward"] = 2


async def test_neighbors_by_call(router: vrouter.Router) -> None:
    """A permanent neighbour is used at once, shown, kept by a flush, and forgotten by name."""
    red = router["red"]
    await red.add_neighbor("x", "10.0.0.7", "02:00:00:00:00:07")
    await red.ping("10.0.0.2")
    rows = red.neighbors()
    assert [(row["address"], row["state"]) for row in rows] == [("10.0.0.2", "REACHABLE"), ("10.0.0.7", "PERMANENT")]
    assert set(rows[0]) == {"netns", "dev", "address", "mac", "state", "age_ns", "router"}
    assert rows[0]["age_ns"] >= 0
    assert await red.flush_neighbors() == 1
    await red.del_neighbor("x", "10.0.0.7")
    assert red.neighbors() == []
    with pytest.raises(FileNotFoundError):
        await red.del_neighbor("x", "10.0.0.7")
    for device, mac in (("lo", "02:00:00:00:00:07"), ("x", "03:00:00:00:00:07")):
        with pytest.raises(OSError) as caught:
            await red.add_neighbor(device, "10.0.0.7", mac)
        assert caught.value.errno == errno.EINVAL


@pytest.mark.parametrize("address", ["::1/128", "::/64", "ff0e::1/64", "::ffff:10.0.5.1/128"])
async def test_what_no_link_has(router: vrouter.Router, address: str) -> None:
    """RFC 4291 2.5.2, 2.5.3, 2.5.5.2, 2.7: no device but lo has such an address."""
    red = router["red"]
    before = red.addresses()
    with pytest.raises(OSError) as caught:
        await red.add_address("x", address)
    assert caught.value.errno == errno.EINVAL
    assert red.addresses() == before


@pytest.mark.parametrize("address", ["::", "::1", "ff02::9", "::ffff:10.0.0.7", "0.0.0.0", "224.0.0.9"])
async def test_no_station_has_it(router: vrouter.Router, address: str) -> None:
    """RFC 4291 2.5.2, 2.5.3, 2.7, RFC 1122 3.2.1.3: nobody is a neighbour by it, and nobody is answered for."""
    red = router["red"]
    for call in (red.add_neighbor("x", address, "02:00:00:00:00:07"), red.add_proxy("x", address)):
        with pytest.raises(OSError) as caught:
            await call
        assert caught.value.errno in (errno.EINVAL, errno.EOPNOTSUPP)
    assert red.neighbors() == []


def test_waiting_for_addresses() -> None:
    """RFC 5227 2.1.1: with acd = "probe" an address is tentative until nobody answered; then, and for one that is in
    conflict, `wait_addresses` returns."""
    with Lab(seed=3) as lab:

        async def main() -> list[str]:
            async with vrouter.Router(seed=1, clock=lambda: lab.now) as router:
                red, _ = await pair(router)
                for address in ("10.0.0.2/24", "10.0.0.3/24"):
                    red.stack.devices["x"].acd = "probe"
                    await red.add_address("x", address)
                states = [row["state"] for row in red.addresses() if ":" not in row["address"]]
                await red.wait_addresses()
                return states + [row["state"] for row in red.addresses() if ":" not in row["address"]]

        states = lab.run(main())
        assert states[1:4] == ["preferred", "tentative", "tentative"]
        assert states[5:] == ["preferred", "conflict", "preferred"]
        assert lab.now >= 3_000_000_000


async def test_drops_are_told_by_reason(router: vrouter.Router) -> None:
    """`drops()` is reason → count; the records name device, layer and text, and what no namespace owns is under -."""
    red, blue = router["red"], router["blue"]
    _, protocol = await red.create_datagram_endpoint(Recorder, remote_addr=("10.0.0.2", 9))
    protocol.transport.sendto(b"x")
    await protocol.wait(1)
    router.driver.call(lambda *, now: router.stack.receive_unmapped(now))
    announcements = ("ARP_NOT_ON_LINK", "NDP_NOT_ON_LINK", "OTHERHOST")  # of those whom nobody asked for
    assert {reason: n for reason, n in blue.drops().items() if reason not in announcements} == {"NO_SOCKET": 1}
    assert [row for row in records.drops(router) if row["reason"] in ("NO_SOCKET", "NS_UNMAPPED")] == [
        {
            "netns": "blue",
            "dev": "y",
            "reason": "NO_SOCKET",
            "layer": "l4",
            "text": "no socket on this port",
            "count": 1,
        },
        {
            "netns": "-",
            "dev": None,
            "reason": "NS_UNMAPPED",
            "layer": "device",
            "text": "no namespace for this device and VLAN",
            "count": 1,
        },
    ]


async def test_the_fields_of_the_records() -> None:
    """The JSON of `show`: exactly these fields, addresses as text, counters as numbers."""
    async with vrouter.Router(seed=1) as router:
        await pair(router, ipv6=False)  # so that all that was counted is one announcement
        check_the_fields(router)


def check_the_fields(router: vrouter.Router) -> None:
    red = router["red"]
    with red.socket(AF_INET, SOCK_DGRAM) as sock:
        sock.bind(("10.0.0.1", 53))
        assert records.sockets(router, "red") == [
            {
                "netns": "red",
                "proto": "udp",
                "state": "UNCONN",
                "local": "10.0.0.1:53",
                "peer": "0.0.0.0:*",
                "rx_queue": 0,
                "tx_queue": 0,
            }
        ]
    assert records.netns(router, "red") == [{"netns": "red", "kind": "l2", "devices": 2, "accept_from": []}]
    device = records.devices(router, "red")[1]
    assert re.fullmatch("02(:[0-9a-f]{2}){5}", device.pop("mac"))
    assert device == {
        "netns": "red",
        "dev": "x",
        "ifindex": 2,
        "kind": "veth",
        "ifname": None,
        "mtu": 1500,
        "state": "up",
        "error": "",
        "offload": False,
        "rx_packets": 1,
        "tx_packets": 1,
        "rx_bytes": 42,
        "tx_bytes": 42,
        "rx_drops": 1,
        "tx_drops": 0,
        "parent": None,
        "vid": None,
        "protocol": None,
        "master": None,
    }
    assert records.addresses(router, "red")[1] == {
        "netns": "red",
        "dev": "x",
        "address": "10.0.0.1/24",
        "scope": "global",
        "state": "preferred",
        "family": "inet",
        "origin": "static",
        "valid_ns": None,
        "preferred_ns": None,
    }
    assert records.crossings(router)[0] == {
        "netns": "red",
        "from": "red",
        "to": "blue",
        "kind": "veth",
        "accepted": True,
        "packets": 1,
        "bytes": 42,
        "denied": 0,
    }
    assert {"netns": "red", "name": "ArpOutRequests", "value": 1} in records.stats(router, "red")


async def test_the_way_to_a_link_local_address_needs_a_link(router: vrouter.Router) -> None:
    """RFC 4007 6: the same address is another one on each link; a zone, ``oif`` or ``iif`` tells which."""
    red = router["red"]
    await router.add_veth("red", "v", "blue", "v")
    for dst in ("fe80::9", "fe80::9%v"):
        assert red.route_get(dst, oif="v")["dev"] == "v"
    assert red.route_get("ff02::1%v")["dev"] == "v"
    assert red.route_get("ff02::1%x")["dev"] == "x"
    own = next(row["address"] for row in red.addresses() if row["dev"] == "v").partition("/")[0]
    assert red.route_get("fe80::9%v", src=own)["src"] == own
    assert red.route_get("fe80::9%v", src=f"{own}%v")["src"] == own
    with pytest.raises(ValueError, match="needs its device: fe80::9%DEV"):
        red.route_get("fe80::9")
    with pytest.raises(ValueError, match="of another family"):
        red.route_get("fe80::9%v", src="10.0.0.1")


async def test_who_is_answered_for_and_who_asks(router: vrouter.Router) -> None:
    """RFC 4861 7.2.8 and 6.3 by call: proxies come and go, and a device becomes a host of its link and ceases to be."""
    red = router["red"]
    await red.add_proxy("x", "2001:db8::7")
    assert red.proxies() == [{"netns": "red", "dev": "x", "address": "2001:db8::7"}]
    await red.del_proxy("x", "2001:db8::7")
    assert red.proxies() == []
    await red.set_autoconf("x", True)
    assert red.stack.ndp.hosts.hears(red.stack.devices["x"])
    await red.set_autoconf("x", False)
    assert not red.stack.ndp.hosts.hears(red.stack.devices["x"])
    for dev, number in (("lo", errno.EINVAL), ("nosuch", errno.ENODEV)):
        with pytest.raises(OSError) as caught:
            await red.set_autoconf(dev, True)
        assert caught.value.errno == number
