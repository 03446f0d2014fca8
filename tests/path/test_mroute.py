"""Multicast routes, the proxy, and multicast DNS between links: RFC 1112, RFC 1812 5.2.3, RFC 4605, RFC 6762 11.

::

    station u ── up of r            10.0.1.5/24
    station x ── x of r             10.0.2.5/24
    station y ── y of r             10.0.3.5/24
"""

from __future__ import annotations

import errno
from collections.abc import Iterator
from typing import Any

import pytest

from tests.path.bed import Station
from tests.path.group_bed import ALLOW, BLOCK, IS_EX, IS_IN, TO_EX, TO_IN, Loud, Talk
from vrouter.stack.base.drop import DropReason
from vrouter.stack.base.packet import Packet
from vrouter.stack.hooks.hooks import FORWARD, Hooks
from vrouter.testing import frames, frames6, match
from vrouter.testing.decoding import decode, text_of

SECOND = 1_000_000_000


class Bench:
    """The bed as drawn, in one family; ``to`` is the data that came to a station."""

    def __init__(self, family: int) -> None:
        self.bed = Loud()
        bed = self.bed
        bed.r = bed.stack.add_netns("r")
        bed.r.sysctl["net.ipv6.conf.default.dad_transmits"] = 0
        bed.r.sysctl["net.ipv6.conf.default.router_solicitations"] = 0
        self.u, self.x, self.y = (bed.lan(bed.r, name, 5, third) for third, name in enumerate(("up", "x", "y"), 1))
        bed.settle()
        self.v4 = family == 4
        self.talk = Talk(bed, self.u, family)
        self.G, self.H, self.S = self.talk.G, self.talk.H, self.talk.S
        self.talk.said()

    def at(self, station: Station) -> Talk:
        """The family's words at another station."""
        found = Talk(self.bed, station, 4 if self.v4 else 6)
        if self.v4:
            found.host = station.address
        return found

    def data(self, group: str, src: str = "", *, at: Station | None = None, **header: Any) -> None:
        """A datagram to a group comes in from a station (u)."""
        self.at(at or self.u).data(group, src, **header)

    def to(self, station: Station) -> list[tuple[str, int, int]]:
        """(group, TTL, bytes of data) of what came to a station, without what IGMP, MLD and ND say."""
        found = []
        for frame in station.received:
            layers = decode(frame).layers
            ip = layers.get("ipv4" if self.v4 else "ipv6")
            if ip is not None and "udp" in layers and not decode(frame).faults:
                dst = ip["dst"].to_bytes(4 if self.v4 else 16, "big")
                found.append((text_of(dst), ip["ttl"], len(layers["udp"]["payload"])))
        station.clear()
        return found

    def counted(self, forwarded: int, copies: int, **more: Any) -> dict[str, Any]:
        """Counters of one packet that is forwarded so many times."""
        ip = "Ip" if self.v4 else "Ip6"
        forw = "IpForwDatagrams" if self.v4 else "Ip6OutForwDatagrams"
        named = {f"{ip}InReceives": 1, f"{ip}InMcastPkts": 1, forw: forwarded, f"{ip}OutMcastPkts": forwarded}
        return {name: n for name, n in {**named, "AcctCopies": copies}.items() if n} | more


@pytest.fixture(params=[4, 6], ids=["v4", "v6"])
def bench(request: pytest.FixtureRequest) -> Iterator[Bench]:
    """Its accounts balance at the end."""
    found = Bench(request.param)
    yield found
    found.bed.close()


# -- static routes ----------------------------------------------------------------------------------------------------


def test_a_packet_goes_by_each_way_once(bench: Bench) -> None:
    """RFC 1812 5.2.3, 5.3.1: to every device of the route, with one TTL less; n ways are n - 1 copies."""
    bench.bed.r.add_mroute(bench.G, "up", ["x", "y"])
    with bench.bed.expect(rx={"up": 1}, tx={"x": 1, "y": 1}, **bench.counted(2, 1)):
        bench.data(bench.G, ttl=9)
    assert bench.to(bench.x) == bench.to(bench.y) == [(bench.G, 8, 1)]
    assert bench.to(bench.u) == []
    mac = frames.group_mac(bench.G) if bench.v4 else frames6.group_mac6(bench.G)
    bench.data(bench.G)
    assert bench.x.received[0][:6] == mac


def test_forwarding_of_unicast_is_another_thing(bench: Bench) -> None:
    """Linux: multicast routes forward by themselves; mc_forwarding shows it, and cannot be written."""
    name = "ipv4" if bench.v4 else "ipv6"
    settings = [f"net.{name}.conf.{dev}.mc_forwarding" for dev in ("all", "up", "x", "y")]
    sysctl = bench.bed.r.sysctl
    assert [sysctl[one] for one in settings] == [0, 0, 0, 0]
    bench.bed.r.add_mroute(bench.G, "up", ["x"])
    assert [sysctl[one] for one in settings] == [1, 1, 1, 0]
    with pytest.raises(ValueError, match="read"):
        sysctl[settings[0]] = 0
    bench.bed.r.add_mroute(bench.G, "up", ["x"], bench.S[0])
    bench.bed.r.del_mroute(bench.G)
    assert [sysctl[one] for one in settings] == [1, 1, 1, 0], "there is another one"
    bench.bed.r.set_multicast_proxy("up", ["y"])
    bench.bed.r.del_mroute(bench.G, bench.S[0])
    assert [sysctl[one] for one in settings] == [1, 1, 0, 1]
    bench.bed.r.set_multicast_proxy("x", ["y"])
    assert [sysctl[one] for one in settings] == [1, 0, 1, 1]
    bench.bed.r.set_multicast_proxy(None)
    assert [sysctl[one] for one in settings] == [0, 0, 0, 0]


def test_a_source_of_its_own_comes_first(bench: Bench) -> None:
    """(S,G) before (*,G)."""
    bench.bed.r.add_mroute(bench.G, "up", ["x"])
    bench.bed.r.add_mroute(bench.G, "up", ["y"], bench.S[1])
    bench.data(bench.G, bench.S[0])
    bench.data(bench.G, bench.S[1])
    assert (len(bench.to(bench.x)), len(bench.to(bench.y))) == (1, 1)
    bench.bed.r.del_mroute(bench.G)
    before = bench.bed.r.drop_counts().get("MCAST_NO_INTEREST", 0)
    bench.data(bench.G, bench.S[0])
    bench.data(bench.G, bench.S[1])
    assert (len(bench.to(bench.x)), len(bench.to(bench.y))) == (0, 1)
    # the device's filter lets groups in as long as a route wants any
    assert bench.bed.r.drop_counts()["MCAST_NO_INTEREST"] == before + 1


def test_the_reverse_path_is_the_routes_device(bench: Bench) -> None:
    """RFC 1112, RFC 5110 2.2: what comes by another device is discarded, and counted by the route."""
    bench.bed.r.add_mroute(bench.G, "up", ["x"])
    bench.bed.r.add_mroute(bench.H, "y", ["x"])
    ip = "Ip" if bench.v4 else "Ip6"
    named = {f"{ip}InReceives": 1, f"{ip}InMcastPkts": 1}
    with bench.bed.expect(rx={"y": 1}, drops={DropReason.IP_RPFILTER: 1}, **named):
        bench.data(bench.G, at=bench.y)
    assert [(row["group"], row["packets"], row["wrong_iif"]) for row in bench.bed.r.mroutes()] == [
        (bench.G, 0, 1),
        (bench.H, 0, 0),
    ]


def test_thresholds(bench: Bench) -> None:
    """Linux's ip_mr_forward: only a TTL above the threshold goes that way, and never one of 1 (RFC 1812 5.3.1); nobody
    is told (RFC 1812 4.3.2.7, RFC 4443 2.4 (e.3))."""
    bench.bed.r.add_mroute(bench.G, "up", [{"dev": "x", "ttl": 10}, "y"])
    for ttl in (11, 10, 2):
        bench.data(bench.G, ttl=ttl)
    assert [ttl for _, ttl, _ in bench.to(bench.x)] == [10]
    assert [ttl for _, ttl, _ in bench.to(bench.y)] == [10, 9, 1]
    ip = "Ip" if bench.v4 else "Ip6"
    with bench.bed.expect(
        rx={"up": 1}, drops={DropReason.TTL_EXPIRED: 1}, **{f"{ip}InReceives": 1, f"{ip}InMcastPkts": 1}
    ):
        bench.data(bench.G, ttl=1)
    assert bench.to(bench.u) == []


def test_what_somebody_here_wants_too_is_copied(bench: Bench) -> None:
    """A member here gets the packet as it came, and every way a copy."""
    bench.bed.r.add_mroute(bench.G, "up", ["x", "y"])
    sock = bench.bed.r.socket(2 if bench.v4 else 10)
    sock.bind(("0.0.0.0" if bench.v4 else "::", 7), now=bench.bed.now)
    bench.talk.join(sock, bench.G)
    bench.bed.run_until_idle()
    with bench.bed.expect(
        rx={"up": 1},
        tx={"x": 1, "y": 1},
        **bench.counted(2, 2, AcctDelivered=1),
        **({"IpInDelivers": 1, "UdpInDatagrams": 1} if bench.v4 else {"Ip6InDelivers": 1, "Udp6InDatagrams": 1}),
    ):
        bench.data(bench.G)
    assert bench.bed.received(sock) == [b"x"]


def test_link_scope_is_never_forwarded(bench: Bench) -> None:
    """RFC 5771 4, RFC 4291 2.7, 2.5.6, RFC 3927 7: neither groups nor sources of link scope; a group is refused."""
    for group in ("224.0.0.5", "224.0.0.251") if bench.v4 else ("ff02::5", "ff02::fb", "ff01::1"):
        with pytest.raises(OSError, match="no group that is forwarded") as caught:
            bench.bed.r.add_mroute(group, "up", ["x"])
        assert caught.value.errno == errno.EINVAL
    bench.bed.r.add_mroute(bench.G, "up", ["x"])
    ip = "Ip" if bench.v4 else "Ip6"
    with bench.bed.expect(
        rx={"up": 1}, drops={DropReason.FORWARD_LINK_LOCAL: 1}, **{f"{ip}InReceives": 1, f"{ip}InMcastPkts": 1}
    ):
        bench.data(bench.G, "169.254.1.1" if bench.v4 else "fe80::2")
    assert bench.to(bench.x) == []


def test_what_is_too_large_is_cut_or_its_sender_told(bench: Bench) -> None:
    """RFC 791 3.2: IPv4 is cut for the way that needs it; RFC 4443 3.2: of IPv6 the sender is told, even of a group."""
    bench.bed.r.add_mroute(bench.G, "up", ["x", "y"])
    bench.bed.r.set_device("x", mtu=1280, now=bench.bed.now)
    bench.bed.r.add_route("default", dev="up", now=bench.bed.now)
    bench.bed.r.add_route("::/0", dev="up", now=bench.bed.now)
    bench.data(bench.G, "10.0.1.2" if bench.v4 else "2001:db8:1::2", size=1400)
    bench.bed.flush()
    assert bench.to(bench.y) == [(bench.G, 63, 1400)]
    if bench.v4:
        pieces = [frame for frame in bench.x.received if frame[12:14] == b"\x08\x00"]
        assert [int.from_bytes(frame[16:18], "big") for frame in pieces] == [1276, 172]
    else:
        asked = frames6.solicited_node("2001:db8:1::2")
        assert match.Ndp(135, dst=asked) in bench.u.received  # the answer waits for its neighbour
        assert bench.bed.r.drop_counts()["PKT_TOO_BIG"] == 1


def test_forward_sees_each_copy(bench: Bench) -> None:
    """The FORWARD hook is asked for each way, and what it refuses goes the others."""
    bench.bed.r.add_mroute(bench.G, "up", ["x", "y"])

    def refuse_x(ns: Any, pkt: Packet, now: int) -> int:
        return DropReason.ROUTE_PROHIBIT if pkt.oif is bench.x.dev else 0

    bench.bed.r.hooks = Hooks()
    bench.bed.r.hooks.register(FORWARD, 0, refuse_x)
    bench.data(bench.G)
    assert (bench.to(bench.x), len(bench.to(bench.y))) == ([], 1)
    assert bench.bed.r.drop_counts()["ROUTE_PROHIBIT"] == 1


def test_routes_are_configured_and_shown(bench: Bench) -> None:
    """`mroutes` has what was added; the same twice, a device twice, no device, and one that is not there are errors."""
    r = bench.bed.r
    r.add_mroute(bench.G, "up", ["x", {"dev": "y", "ttl": 5}], bench.S[0])
    bench.data(bench.G)
    (row,) = r.mroutes()
    size = (20 if bench.v4 else 40) + 9
    assert row == {
        "netns": "r",
        "group": bench.G,
        "source": bench.S[0],
        "iif": "up",
        "oifs": [{"dev": "x", "ttl": 0}, {"dev": "y", "ttl": 5}],
        "target_netns": None,
        "proto": "static",
        "packets": 1,
        "bytes": size,
        "wrong_iif": 0,
    }
    for number, arguments in (
        (errno.EEXIST, (bench.G, "up", ["x"], bench.S[0])),
        (errno.EINVAL, (bench.G, "up", ["up"])),
        (errno.EINVAL, (bench.G, "up", ["x", "x"])),
        (errno.EINVAL, (bench.G, "up", [])),
        (errno.EINVAL, (bench.G, "up", [{"dev": "x", "ttl": 256}])),
        (errno.EINVAL, (bench.G, "lo", ["x"])),
        (errno.EINVAL, (bench.G, "up", ["x"], "ff05::1" if bench.v4 else "10.0.0.1")),
        (errno.EINVAL, (bench.S[0], "up", ["x"])),
        (errno.ENODEV, (bench.G, "up", ["nowhere"])),
    ):
        with pytest.raises(OSError, match=r".") as caught:
            r.add_mroute(*arguments)
        assert caught.value.errno == number, arguments
    with pytest.raises(FileNotFoundError):
        r.del_mroute(bench.G)
    r.del_mroute(bench.G, bench.S[0])
    assert r.mroutes() == []
    assert bench.u.dev.allmulti == 0


def test_routes_go_with_their_devices(bench: Bench) -> None:
    """A route with a device that is no more is no more."""
    bench.bed.r.add_mroute(bench.G, "up", ["x", "y"])
    bench.bed.r.add_mroute(bench.H, "x", ["y"])
    bench.bed.stack.remove_device(bench.y.dev, now=bench.bed.now)
    assert bench.bed.r.mroutes() == []
    assert (bench.u.dev.allmulti, bench.x.dev.allmulti) == (0, 0)
    bench.data(bench.G)
    assert bench.to(bench.x) == []


def test_a_route_may_join(bench: Bench) -> None:
    """With `join` routers and switches upstream are told: all of the group, or its source alone."""
    bench.bed.r.add_mroute(bench.G, "up", ["x"], join=True, now=bench.bed.now)
    bench.bed.r.add_mroute(bench.H, "up", ["x"], bench.S[0], join=True, now=bench.bed.now)
    bench.bed.run_until_idle()
    assert bench.talk.words() == [
        ("report", [(TO_EX, bench.G, [])]),
        ("report", [(TO_EX, bench.G, []), (ALLOW, bench.H, [bench.S[0]])]),
        ("report", [(ALLOW, bench.H, [bench.S[0]])]),
    ]
    bench.bed.r.del_mroute(bench.G, now=bench.bed.now)
    bench.bed.run_until_idle()
    assert bench.talk.words() == [("report", [(TO_IN, bench.G, [])])] * 2
    with bench.bed.expect(rx={"up": 1}, tx={"x": 1}, **bench.counted(1, 0)):  # nobody here reads it
        bench.data(bench.H)


# -- crossings --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("accepted", [True, False])
def test_a_route_crosses_by_a_short_cut(bench: Bench, accepted: bool) -> None:
    """A way into another namespace is declared on both sides: there a route from ``@r`` takes it on; TTL falls once."""
    bed = bench.bed
    blue = bed.stack.add_netns("blue", accept_from=["r"] if accepted else [], now=bed.now)
    blue.sysctl["net.ipv6.conf.default.dad_transmits"] = 0
    blue.sysctl["net.ipv6.conf.default.router_solicitations"] = 0
    out = bed.lan(blue, "out", 5, 4)
    bed.settle()
    bed.r.add_mroute(bench.G, "up", ["x"], netns="blue")
    blue.add_mroute(bench.G, "@r", ["out"])
    bench.data(bench.G, ttl=9)
    assert bench.to(bench.x) == [(bench.G, 8, 1)]
    assert bench.to(out) == ([(bench.G, 8, 1)] if accepted else [])
    (crossing,) = bed.stack.crossings()
    assert (crossing["packets"], crossing["denied"]) == ((1, 0) if accepted else (0, 1))
    assert bed.r.drop_counts().get("CROSSING_DENIED", 0) == (not accepted)
    assert [row["iif"] for row in blue.mroutes()] == ["@r"]
    assert bed.r.mroutes()[0]["target_netns"] == "blue"
    bed.r.del_mroute(bench.G)
    assert bed.stack.crossings() == []


def test_the_reverse_path_ends_circles(bench: Bench) -> None:
    """Two namespaces that send a group to one another: what comes back is not by the route's port."""
    bed = bench.bed
    blue = bed.stack.add_netns("blue", accept_from=["r"], now=bed.now)
    bed.r.accept_from = frozenset(["blue"])
    bed.r.add_mroute(bench.G, "up", [], netns="blue")
    blue.add_mroute(bench.G, "@r", [], netns="r")
    bench.data(bench.G)
    assert bed.r.drop_counts() == {"IP_RPFILTER": 1}
    assert [(row["from"], row["packets"]) for row in bed.stack.crossings()] == [("r", 1), ("blue", 1)]
    assert bed.r.mroutes()[0]["wrong_iif"] == 1


# -- the proxy --------------------------------------------------------------------------------------------------------


def proxied(bench: Bench) -> tuple[Talk, Talk]:
    """The proxy is on, its questions are over."""
    bench.bed.r.set_multicast_proxy("up", ["x", "y"], now=bench.bed.now)
    bench.bed.run_for(40)
    bench.talk.said()
    for station in (bench.u, bench.x, bench.y):
        station.clear()
    return bench.at(bench.x), bench.at(bench.y)


def upstream(bench: Bench) -> list[Any]:
    """What r told upstream in the last seconds."""
    bench.bed.run_for(3)
    return bench.talk.words()


def test_the_proxy_tells_upstream_what_is_wanted_downstream(bench: Bench) -> None:
    """RFC 4605 4.1: the merge of all listeners downstream is a membership upstream; it changes when the merge does."""
    x, y = proxied(bench)
    (one, two, *_) = bench.S
    x.report((IS_IN, bench.G, [one]))
    assert upstream(bench) == [("report", [(ALLOW, bench.G, [one])])] * 2
    y.report((IS_IN, bench.G, [two]))
    assert upstream(bench) == [("report", [(ALLOW, bench.G, [two])])] * 2
    y.report((TO_EX, bench.G, [one]))
    assert upstream(bench) == [("report", [(TO_EX, bench.G, [])])] * 2  # x still wants `one`
    y.report((TO_IN, bench.G, []))
    assert upstream(bench) == [("report", [(TO_IN, bench.G, [one])])] * 2
    bench.bed.run_for(261)
    assert bench.talk.words()[-2:] == [("report", [(BLOCK, bench.G, [one])])] * 2  # gone by time


def test_the_proxy_forwards_to_who_listens(bench: Bench) -> None:
    """RFC 4605 4.2: from upstream to where somebody listens to that source; from downstream up and to others' links."""
    x, y = proxied(bench)
    (one, two, *_) = bench.S
    x.report((IS_EX, bench.G, []))
    y.report((IS_IN, bench.G, [two]))
    upstream(bench)
    with bench.bed.expect(rx={"up": 1}, tx={"x": 1}, **bench.counted(1, 0)):  # the proxy itself reads nothing
        bench.data(bench.G, one)
    assert (len(bench.to(bench.x)), len(bench.to(bench.y))) == (1, 0)
    bench.data(bench.G, two)
    assert (len(bench.to(bench.x)), len(bench.to(bench.y))) == (1, 1)
    inner = "10.0.3.7" if bench.v4 else "2001:db8:3::7"
    bench.data(bench.G, inner, at=bench.y)
    assert (len(bench.to(bench.u)), len(bench.to(bench.x)), len(bench.to(bench.y))) == (1, 1, 0)
    bench.data(bench.H, inner, at=bench.y)
    assert (len(bench.to(bench.u)), len(bench.to(bench.x))) == (1, 0)
    bench.data(bench.H, one)
    assert (bench.to(bench.x), bench.to(bench.y)) == ([], [])


def test_only_the_querier_forwards_downstream(bench: Bench) -> None:
    """RFC 4605 4.2: on a link where another one is the querier, that one forwards."""
    x, _ = proxied(bench)
    x.report((IS_EX, bench.G, []))
    upstream(bench)
    bench.data(bench.G)
    assert len(bench.to(bench.x)) == 1
    x.query()
    bench.data(bench.G)
    assert bench.to(bench.x) == []


def test_the_proxy_is_changed_and_ends(bench: Bench) -> None:
    """Without a proxy, or without its upstream, there are no memberships, queriers or flags left of it."""
    x, _ = proxied(bench)
    x.report((IS_EX, bench.G, []))
    upstream(bench)
    assert [row["proto"] for row in bench.bed.r.mroutes()] == ["proxy"]
    bench.bed.r.set_multicast_proxy("up", ["y"], now=bench.bed.now)
    assert upstream(bench) == [("report", [(TO_IN, bench.G, [])])] * 2
    bench.bed.r.set_multicast_proxy(None, now=bench.bed.now)
    assert bench.bed.r.queriers() == bench.bed.r.mroutes() == []
    assert [dev.allmulti for dev in bench.bed.r.devices.values()] == [0, 0, 0, 0]
    bench.bed.r.set_multicast_proxy("up", ["x"], now=bench.bed.now)
    bench.bed.stack.remove_device(bench.u.dev, now=bench.bed.now)
    assert bench.bed.r.queriers() == []
    bench.bed.run_until_idle()
    for wrong in (("x", []), ("x", ["x"]), ("x", ["y", "y"])):
        with pytest.raises(OSError, match="upstream"):
            bench.bed.r.set_multicast_proxy(*wrong)


# -- multicast DNS ----------------------------------------------------------------------------------------------------

QUERY = bytes.fromhex("000000000001000000000000") + b"\x05_http\x04_tcp\x05local\0" + bytes.fromhex("000c8001")
PLAIN = QUERY[:-4] + bytes.fromhex("000c0001")


def mdns(bench: Bench, station: Station, payload: bytes, *, sport: int = 5353, ttl: int = 255, src: str = "") -> None:
    """A message of multicast DNS comes in from a station."""
    third = {bench.u: 1, bench.x: 2, bench.y: 3}[station]
    src = src or (f"10.0.{third}.2" if bench.v4 else "fe80::2")
    group = "224.0.0.251" if bench.v4 else "ff02::fb"
    if bench.v4:
        packet = frames.ipv4_udp(src, group, sport, 5353, payload, ttl=ttl)
        frame = frames.ethernet(frames.group_mac(group), station.mac, frames.IPV4, packet)
    else:
        packet = frames.ipv6_udp(src, group, sport, 5353, payload, hop_limit=ttl)
        frame = frames.ethernet(frames6.group_mac6(group), station.mac, 0x86DD, packet)
    station.send_frame(frame)


def heard(station: Station) -> list[tuple[Any, ...]]:
    """(source, TTL, source port, payload) of the multicast DNS that came to a station."""
    found = []
    for frame in station.received:
        layers = decode(frame).layers
        if "udp" in layers and layers["udp"]["dport"] == 5353:
            ip = layers.get("ipv4") or layers["ipv6"]
            width = 4 if "ipv4" in layers else 16
            source = text_of(ip["src"].to_bytes(width, "big"))
            assert decode(frame).faults == []
            found.append((source, ip["ttl"], layers["udp"]["sport"], layers["udp"]["payload"]))
    station.clear()
    return found


def test_mdns_is_said_again_on_other_links(bench: Bench) -> None:
    """RFC 6762 11, 6.7: from an address of ours there, port 5353, TTL 255, the same payload; a question for an answer
    by unicast (5.4) is one for all. Not on links that are not named."""
    bench.bed.r.set_mdns(["up", "x"], now=bench.bed.now)
    bench.bed.settle()
    ip = "Ip" if bench.v4 else "Ip6"
    with bench.bed.expect(
        rx={"up": 1},
        tx={"x": 1},
        AcctOriginated=1,
        AcctConsumed=1,
        **{f"{ip}InReceives": 1, f"{ip}InMcastPkts": 1, f"{ip}InDelivers": 1},
        **{f"{ip}OutRequests": 1, f"{ip}OutMcastPkts": 1},
    ):
        mdns(bench, bench.u, QUERY)
    assert heard(bench.x) == [("10.0.2.5" if bench.v4 else "fe80::ff:fe00:105", 255, 5353, PLAIN)]
    assert heard(bench.u) == heard(bench.y) == []
    answer = b"\0\0\x84\0" + QUERY[4:]
    mdns(bench, bench.x, answer)
    assert [words[3] for words in heard(bench.u)] == [answer]


@pytest.mark.parametrize("wrong", ["off", "ttl", "port", "short", "own"])
def test_what_is_no_mdns_is_not_said_again(bench: Bench, wrong: str) -> None:
    """RFC 6762 11: TTL 255; 6.7: not from other ports, which could not be answered; not what is none, nor ours."""
    if wrong != "off":
        bench.bed.r.set_mdns(["up", "x"], now=bench.bed.now)
        bench.bed.settle()
    if wrong == "own":
        if bench.v4:
            bench.bed.r.sysctl["net.ipv4.conf.up.accept_local"] = 1
        mdns(bench, bench.u, QUERY, src="10.0.1.5" if bench.v4 else "fe80::ff:fe00:5")
    else:
        payload = QUERY[:11] if wrong == "short" else QUERY
        mdns(bench, bench.u, payload, ttl=64 if wrong == "ttl" else 255, sport=9999 if wrong == "port" else 5353)
    assert heard(bench.x) == []


def test_a_wrong_checksum_is_not_mended(bench: Bench) -> None:
    """RFC 1122 4.1.3.4: a datagram that was damaged on one link is said again on no other."""
    bench.bed.r.set_mdns(["up", "x"], now=bench.bed.now)
    bench.bed.settle()
    group, src = ("224.0.0.251", "10.0.1.2") if bench.v4 else ("ff02::fb", "fe80::2")
    datagram = bytearray(frames.udp(src, group, 5353, 5353, QUERY))
    datagram[-1] ^= 1
    if bench.v4:
        packet = frames.ipv4(src, group, 17, bytes(datagram), ttl=255)
    else:
        packet = frames6.ipv6(src, group, 17, bytes(datagram), hop_limit=255)
    mac = frames.group_mac(group) if bench.v4 else frames6.group_mac6(group)
    bench.u.send_frame(frames.ethernet(mac, bench.u.mac, frames.IPV4 if bench.v4 else 0x86DD, packet))
    assert heard(bench.x) == []
    assert bench.bed.r.drop_counts()["UDP_CSUM"] == 1


def test_malformed_questions_pass_as_they_are(bench: Bench) -> None:
    """A reflector judges no content: names that end nowhere are carried, and harm nothing."""
    bench.bed.r.set_mdns(["up", "x"], now=bench.bed.now)
    bench.bed.settle()
    for payload in (
        QUERY[:-1],
        bytes(5) + b"\xff" + bytes(6),
        QUERY[:12] + b"\x40" + QUERY[13:],
        QUERY[:12] + b"\xc0\x0c" + b"\0\x0c\x80\x01",
    ):
        mdns(bench, bench.u, payload)
        ((*_, said),) = heard(bench.x)
        assert len(said) == len(payload)


def test_a_flood_is_bounded(bench: Bench) -> None:
    """A device has 100 messages said again at once, and 100 in a second."""
    bench.bed.r.set_mdns(["up", "x"], now=bench.bed.now)
    bench.bed.settle()
    for _ in range(150):
        mdns(bench, bench.u, QUERY)
    assert len(heard(bench.x)) == 100
    bench.bed.run_for(0.1)
    for _ in range(150):
        mdns(bench, bench.u, QUERY)
    assert len(heard(bench.x)) == 10


def test_links_in_a_circle_end(bench: Bench) -> None:
    """Two namespaces that both say again between the same two pairs: what goes around ends as anything that crosses."""
    bed = bench.bed
    blue, green = (bed.stack.add_netns(name, now=bed.now) for name in ("blue", "green"))
    for ns in (blue, green):
        ns.sysctl["net.ipv6.conf.default.router_solicitations"] = 0
    for n in (1, 2):
        ends = bed.stack.add_veth(blue, f"v{n}", green, f"v{n}", now=bed.now)
        for host, dev in enumerate(ends, 1):
            dev.ns.add_address(dev, f"10.7.{n}.{host}/24", now=bed.now)
    out = bed.lan(blue, "out", 5, 6)
    blue.set_mdns(["out", "v1", "v2"], now=bed.now)
    green.set_mdns(["v1", "v2"], now=bed.now)
    bed.settle()
    src = "10.0.6.2" if bench.v4 else "fe80::2"
    group = "224.0.0.251" if bench.v4 else "ff02::fb"
    if bench.v4:
        frame = frames.ethernet(
            frames.group_mac(group), out.mac, frames.IPV4, frames.ipv4_udp(src, group, 5353, 5353, QUERY, ttl=255)
        )
    else:
        packet = frames.ipv6_udp(src, group, 5353, 5353, QUERY, hop_limit=255)
        frame = frames.ethernet(frames6.group_mac6(group), out.mac, 0x86DD, packet)
    out.send_frame(frame)
    assert 0 < len(heard(out)) < 20


def test_mdns_is_switched_off_and_goes_with_devices(bench: Bench) -> None:
    """The groups are joined while it is on; with less than two devices it is off."""
    r = bench.bed.r
    group = "224.0.0.251" if bench.v4 else "ff02::fb"
    r.set_mdns(["up", "x", "y"], now=bench.bed.now)
    assert {row["dev"] for row in r.groups() if row["group"] == group} == {"up", "x", "y"}
    bench.bed.stack.remove_device(bench.y.dev, now=bench.bed.now)
    assert {row["dev"] for row in r.groups() if row["group"] == group} == {"up", "x"}
    with pytest.raises(OSError, match="two devices"):
        r.set_mdns(["up"])
    bench.bed.stack.remove_device(bench.x.dev, now=bench.bed.now)
    assert [row for row in r.groups() if row["group"] == group] == []
    r.set_mdns([])
