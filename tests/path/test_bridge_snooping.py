"""IGMP and MLD snooping: who wants which group, and who is never shut out (RFC 4541).

::

    p0  a source        p2  a member, or not
    p1  a router        p3  nobody
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from tests.path.switch import Switch
from vrouter.stack.l2 import snooping
from vrouter.testing import frames

GROUP, LOCAL = "239.1.2.3", "224.0.0.251"
GROUP6, LOCAL6 = "ff05::1:3", "ff02::1"
ALERT = b"\x94\x04\0\0"
SOURCE, ROUTER, MEMBER = "10.0.1.9", "10.0.1.1", "10.0.1.2"
SOURCE6, ROUTER6, MEMBER6 = "fe80::9", "fe80::1", "fe80::2"


class Family:
    """The same words in one family."""

    def __init__(self, six: bool) -> None:
        self.six = six
        self.group, self.local = (GROUP6, LOCAL6) if six else (GROUP, LOCAL)
        self.other = "ff05::1:4" if six else "239.1.2.4"
        self.router = ROUTER6 if six else ROUTER

    def mac(self, group: str) -> bytes:
        if self.six:
            return b"\x33\x33" + frames.ip_bytes(group)[12:]
        return frames.group_mac(group)

    def frame(self, src: bytes, packet: bytes, group: str) -> bytes:
        return frames.ethernet(self.mac(group), src, 0x86DD if self.six else 0x0800, packet)

    def data(self, group: str) -> bytes:
        if self.six:
            return frames.ipv6_udp(SOURCE6, group, 1, 2, b"stream")
        return frames.ipv4_udp(SOURCE, group, 1, 2, b"stream")

    def message(self, src: str, dst: str, build: Callable[[str, str], bytes]) -> bytes:
        if self.six:
            alert = frames.hop_by_hop(frames.ICMPV6, build(src, dst), frames.option(5, b"\0\0"))
            return frames.ipv6(src, dst, frames.HOPOPTS, alert, hop_limit=1)
        return frames.ipv4(src, dst, 2, build(src, dst), ttl=1, options=ALERT)

    def query(self, *, group: str | None = None, response: int = 10, src: str | None = None) -> tuple[bytes, str]:
        """A query and whom it goes to; `response` in seconds."""
        src = self.router if src is None else src

        def ask(a: str, b: str) -> bytes:
            if self.six:
                return frames.mld_query(a, b, group or "::", version=1, max_response=response * 1000)
            return frames.igmp_query(group or 0, version=2, code=response * 10)

        dst = group or (LOCAL6 if self.six else "224.0.0.1")
        return self.message(src, dst, ask), dst

    def report(self, group: str, *, leave: bool = False) -> tuple[bytes, str]:
        """A report of the older version, or a leave."""
        if self.six:
            dst = "ff02::2" if leave else group
            return self.message(MEMBER6, dst, lambda a, b: frames.mld_report(a, b, group, done=leave)), dst
        dst = "224.0.0.2" if leave else group
        return self.message(MEMBER, dst, lambda a, b: frames.igmp_report(group, leave=leave)), dst

    def report3(self, kind: int, group: str, sources: list[str]) -> tuple[bytes, str]:
        """A report of the newest version."""
        if self.six:
            record = frames.mld_record(kind, group, sources)
            return self.message(MEMBER6, "ff02::16", lambda a, b: frames.mld2_report(a, b, record)), "ff02::16"
        record = frames.igmp_record(kind, group, sources)
        return self.message(MEMBER, "224.0.0.22", lambda a, b: frames.igmp3_report(record)), "224.0.0.22"


class Net:
    """The switch and a family."""

    def __init__(self, six: bool) -> None:
        self.switch = Switch(4)
        self.family = Family(six)

    def put(self, n: int, packet: bytes, dst: str) -> list[int]:
        return self.switch.put(n, self.family.frame(self.switch.at[n].mac, packet, dst))

    def query(self, n: int = 1, **options: object) -> list[int]:
        return self.put(n, *self.family.query(**options))

    def report(self, n: int = 2, group: str | None = None, **options: bool) -> list[int]:
        return self.put(n, *self.family.report(group or self.family.group, **options))

    def stream(self, group: str | None = None, n: int = 0) -> list[int]:
        """Where a group's data comes out."""
        group = group or self.family.group
        return self.put(n, self.family.data(group), group)

    def begin(self) -> None:
        """A router asks at p1, p2 reports, and the time for answers is over."""
        self.query()
        self.report()
        self.switch.bed.run_for(10)


@pytest.fixture(params=[False, True], ids=["igmp", "mld"])
def net(request: pytest.FixtureRequest) -> Iterator[Net]:
    """The drawing above in each family; the accounts balance at the end."""
    found = Net(request.param)
    yield found
    found.switch.bed.close()


def test_without_a_querier_all_get_all(net: Net) -> None:
    """RFC 4541 2.1.2: who is not asked does not report, so nobody is shut out: reports are flooded, too."""
    assert net.report() == [0, 1, 3]
    assert net.stream() == [1, 2, 3]
    assert net.stream(net.family.other) == [1, 2, 3]


def test_members_and_routers_get_the_group(net: Net) -> None:
    """RFC 4541 2.1.2 (1): a group goes to its members and to router ports; who asks has time for answers first."""
    assert net.query() == [0, 2, 3]
    assert net.stream() == [1, 2, 3]
    assert net.report() == [0, 1, 3]
    net.switch.bed.run_for(10)
    assert net.stream() == [1, 2]
    assert [(row["dev"], row["group"], row["vlan"]) for row in net.switch.ns.mdb()] == [("p2", net.family.group, 0)]


def test_reports_go_to_routers_alone(net: Net) -> None:
    """RFC 4541 2.1.1 (1): hosts do not hear one another's reports, and so do not hold theirs back."""
    net.begin()
    assert net.report(3) == [1]
    assert net.report(3, leave=True) == [1]
    assert net.query() == [0, 2, 3]


def test_groups_without_members_go_to_routers(net: Net) -> None:
    """RFC 4541 2.1.2 (3)."""
    net.begin()
    assert net.stream(net.family.other) == [1]


def test_link_groups_are_flooded(net: Net) -> None:
    """RFC 4541 2.1.2 (2): 224.0.0.X and ff02::1 go to all, whoever reported; so do link groups that nobody did."""
    net.begin()
    assert net.stream(net.family.local) == [1, 2, 3]
    net.report(2, net.family.local)
    assert net.stream(net.family.local) == [1, 2, 3]
    if net.family.six:
        assert net.stream("ff02::fb") == [1, 2, 3]
        net.report(3, "ff02::fb")
        assert net.stream("ff02::fb") == [1, 3]


def test_membership_ends(net: Net) -> None:
    """RFC 3376 8.4, RFC 3810 9.4: 260 s after its last report a port is no member."""
    net.begin()
    net.switch.bed.run_for(200)
    net.query()
    net.switch.bed.run_for(49)
    assert net.stream() == [1, 2]
    net.switch.bed.run_for(1)
    assert net.stream() == [1]


def test_the_querier_is_gone(net: Net) -> None:
    """RFC 3376 8.5: 255 s without a query, and all get all again; nothing is left to do."""
    net.begin()
    net.switch.bed.run_for(245)
    assert net.stream() == [1, 2, 3]
    net.switch.bed.run_until_idle()
    found = net.switch.bridge.snooping
    assert (found.groups, found.routers, found.queriers) == ({}, {}, {})


def test_leaving(net: Net) -> None:
    """RFC 2236 3, RFC 2710 4: after a leave the router asks for the group; who does not report within is none."""
    net.begin()
    net.report(3)
    net.report(3, leave=True)
    assert net.stream() == [1, 2, 3]
    net.query(group=net.family.group, response=1)
    net.report(2)
    net.switch.bed.run_for(2)
    assert net.stream() == [1, 2]


@pytest.mark.parametrize(
    ("kind", "sources", "member"),
    [(1, 0, False), (1, 1, True), (2, 0, True), (3, 1, True), (4, 0, True), (4, 1, True), (5, 1, True), (6, 1, False)],
)
def test_reports_of_the_newest_version(net: Net, kind: int, sources: int, member: bool) -> None:
    """RFC 3376 4.2.12, RFC 3810 5.2.12: whoever wants any source is a member; blocking some says nothing."""
    net.query()
    source = SOURCE6 if net.family.six else SOURCE
    net.put(2, *net.family.report3(kind, net.family.group, [source] * sources))
    net.switch.bed.run_for(10)
    assert net.stream() == ([1, 2] if member else [1])


def test_a_query_without_a_source_makes_no_router(net: Net) -> None:
    """RFC 4541 2.1.1 (1) b: a switch that asks has 0.0.0.0; its port gets no groups that it did not report."""
    if net.family.six:
        assert net.query(src="::") == [0, 2, 3]
    else:
        assert net.query(src="0.0.0.0") == [0, 2, 3]
    net.report()
    net.switch.bed.run_for(10)
    assert net.stream() == [2]


def test_a_configured_router_port(net: Net) -> None:
    """`mcast_router`: a port with a router that does not speak up."""
    net.switch.port(3, mcast_router=True)
    net.begin()
    assert net.stream() == [1, 2, 3]


def test_pim_tells_of_a_router(net: Net) -> None:
    """RFC 4541 2.1.1 (1) b: so does a PIM hello."""
    net.begin()
    if net.family.six:
        packet, dst = frames.ipv6("fe80::8", "ff02::d", 103, bytes(8), hop_limit=1), "ff02::d"
    else:
        packet, dst = frames.ipv4("10.0.1.8", "224.0.0.13", 103, bytes(8), ttl=1), "224.0.0.13"
    assert net.put(3, packet, dst) == [0, 1, 2]
    assert net.stream() == [1, 2, 3]


def test_a_port_goes_down(net: Net) -> None:
    """Its memberships go with it, and the router behind it."""
    net.begin()
    for name in ("p1", "p2"):
        net.switch.ns.set_device(name, up=False, now=net.switch.bed.now)
        net.switch.ns.set_device(name, up=True, now=net.switch.bed.now)
    assert net.stream() == []
    assert net.switch.ns.mdb() == []


def test_switched_off(net: Net) -> None:
    """`mcast_snooping = false`: groups are flooded like broadcasts, and no timer runs."""
    net.begin()
    net.switch.ns.set_bridge("br0", mcast_snooping=False, now=net.switch.bed.now)
    assert net.stream() == [1, 2, 3]
    net.switch.bed.run_until_idle()


def test_each_vlan_by_itself(net: Net) -> None:
    """With filtering a membership is of one VLAN."""
    for n in range(4):
        net.switch.port(n, tagged=[10, 20])
    net.switch.ns.set_bridge("br0", vlan_filtering=True)

    def put(n: int, vlan: int, packet: bytes, dst: str) -> list[int]:
        frame = net.family.frame(net.switch.at[n].mac, packet, dst)
        tagged = frame[:12] + b"\x81\x00" + vlan.to_bytes(2, "big") + frame[12:]
        return net.switch.put(n, tagged)

    for vlan in (10, 20):
        put(1, vlan, *net.family.query())
    put(2, 10, *net.family.report(net.family.group))
    net.switch.bed.run_for(10)
    data = net.family.data(net.family.group), net.family.group
    assert put(0, 10, *data) == [1, 2]
    assert put(0, 20, *data) == [1]
    net.switch.ns.set_bridge("br0", vlan_filtering=False, now=net.switch.bed.now)


def test_bounds(net: Net) -> None:
    """A port reports 1024 groups; one that reports more gets all groups, and others get theirs as before."""
    net.begin()

    def text(n: int) -> str:
        return f"ff05::2:{n:x}" if net.family.six else f"239.9.{n >> 8}.{n & 255}"

    for n in range(snooping.MAX_PORT_GROUPS + 1):
        net.report(3, text(n))
    ports = {port.dev.name: port for port in net.switch.bridge.ports.values()}
    assert (ports["p3"].groups, ports["p2"].groups) == (1024, 1)
    assert len(net.switch.bridge.snooping.groups) == 1025
    assert net.stream() == [1, 2, 3]
    assert net.stream(text(1024)) == [1, 3]
    net.query()
    net.switch.bed.run_for(249)
    net.query()
    net.switch.bed.run_for(11)
    assert net.stream(text(1024)) == [1]


@pytest.mark.parametrize("cut", range(0, 40, 3))
def test_what_is_malformed_is_data(net: Net, cut: int) -> None:
    """Frames that end early, or say what is not so, are relayed like any group's, and nothing is learnt of them."""
    net.begin()
    before = net.switch.drops()
    packet, dst = net.family.report(net.family.other)
    frame = net.family.frame(net.switch.at[3].mac, packet, dst)[: 14 + min(cut, len(packet) - 1)]
    net.switch.put(3, frame)
    packet = bytearray(packet)
    packet[-1] ^= 1
    net.put(3, bytes(packet), dst)
    assert [row["dev"] for row in net.switch.ns.mdb()] == ["p2"]
    assert net.switch.drops() == before


@pytest.mark.parametrize("net", [False], ids=["igmp"], indirect=True)
def test_the_host_joins_like_any_other(net: Net) -> None:
    """Frames of a group that the bridge device listens to come up, with allmulti those of every group."""
    net.switch.ns.add_address("br0", "10.0.1.7/24")
    net.switch.bed.settle()
    net.begin()
    before = net.switch.dev.rx_packets
    assert net.stream() == [1, 2]
    assert net.switch.dev.rx_packets == before
    net.switch.dev.groups[frames.group_mac(GROUP)] = 1
    assert net.stream() == [1, 2]
    assert net.switch.dev.rx_packets == before + 1
    del net.switch.dev.groups[frames.group_mac(GROUP)]
    net.switch.dev.allmulti += 1
    net.stream()
    assert net.switch.dev.rx_packets == before + 2


# -- asking ------------------------------------------------------------------------------------------------------------


def test_the_bridge_asks_itself() -> None:
    """`mcast_querier`: queries of both families at once, after 31.25 s, then each 125 s; the source says it is a switch
    (IGMP: 0.0.0.0), and a leave is followed by a question for the group."""
    net = Net(False)
    switch = net.switch
    switch.ns.set_bridge("br0", mcast_querier=True, now=switch.bed.now)
    found = [bytes(frame) for frame in switch.at[3].received]
    assert [frame[12:14].hex() for frame in found] == ["0800", "86dd"]
    assert (found[0][26:34].hex(), found[0][38:40].hex()) == ("00000000e0000001", "1164")
    assert found[1][54:62].hex() == "3a00050200000100"
    net.report(2)
    assert net.stream() == [1, 2, 3]
    switch.bed.run_for(10)
    assert net.stream() == [2]
    switch.clear()
    switch.bed.run_for(21.25)
    assert len(switch.at[3].received) == 2
    switch.bed.run_for(124)
    assert len(switch.at[3].received) == 2
    switch.bed.run_for(1)
    assert len(switch.at[3].received) == 4
    switch.clear()
    packet, dst = net.family.report(GROUP, leave=True)
    switch.at[2].send_frame(net.family.frame(switch.at[2].mac, packet, dst))
    (asked,) = switch.at[2].received
    assert (asked[30:34], asked[38:40].hex(), asked[42:46]) == (frames.ip_bytes(GROUP), "110a", frames.ip_bytes(GROUP))
    switch.bed.run_for(2)
    assert net.stream() == []
    switch.bed.close()


def test_leaves_are_asked_about_so_many_times_a_second() -> None:
    """RFC 4541 2.1.1: a leave is followed by one question, and a stranger who joins and leaves all the time has
    `MAX_QUESTIONS` of them asked in a second; what is not asked about stays until its time is over."""
    net = Net(False)
    switch = net.switch
    switch.ns.set_bridge("br0", mcast_querier=True, now=switch.bed.now)
    switch.bed.run_for(10)
    switch.clear()
    join, leave = (
        net.family.frame(switch.at[2].mac, *net.family.report(GROUP, leave=leaves)) for leaves in (False, True)
    )
    switch.at[2].send_frame(join)
    switch.clear()
    for _ in range(20):
        switch.at[2].send_frame(leave)
    assert len(switch.at[3].received) == 1
    for _ in range(2 * snooping.MAX_QUESTIONS):
        switch.at[2].send_frame(join)
        switch.at[2].send_frame(leave)
    assert len(switch.at[3].received) == snooping.MAX_QUESTIONS
    switch.bed.run_for(10)
    assert net.stream() == [2]
    switch.bed.close()


def test_it_leaves_asking_to_a_router() -> None:
    """RFC 2236 3: while a router asks, the bridge does not; when the router is gone it does again."""
    net = Net(False)
    switch = net.switch
    switch.ns.set_bridge("br0", mcast_querier=True, now=switch.bed.now)
    net.query()
    switch.clear()
    switch.bed.run_for(254)
    assert {frame[12:14] for frame in switch.at[3].received} == {b"\x86\xdd"}, "nobody else asks by MLD"
    switch.clear()
    switch.bed.run_for(2)
    assert [frame[12:14] for frame in switch.at[3].received] == [b"\x08\x00"]
    switch.bed.close()
