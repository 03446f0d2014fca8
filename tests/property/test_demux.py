"""The lookup from a datagram to its socket against a slow, obvious twin; and the rules of bind against theirs."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vrouter.stack.l4 import constants as c
from vrouter.stack.l4.socket import Socket
from vrouter.stack.netns import Netns
from vrouter.stack.stack import Stack

HERE = ("10.0.1.1", "10.0.2.1")
PEERS = (0x0A000102, 0x0A000202)
PEER_NAMES = ("10.0.1.2", "10.0.2.2")
OTHER = 0x0A000909
DEVICES = ("lan", "wan")

SOCKETS = st.lists(
    st.fixed_dictionaries(
        {
            "address": st.sampled_from(("", *HERE, "10.0.1.255")),
            "port": st.sampled_from((53, 54)),
            "device": st.sampled_from((None, *DEVICES)),
            "peer": st.sampled_from((None, *[(name, port) for name in PEER_NAMES for port in (0, 7)])),
            "reuse": st.sampled_from((0, c.REUSEADDR, c.REUSEPORT, c.REUSEADDR | c.REUSEPORT)),
        }
    ),
    max_size=8,
)
TARGETS = (0x0A000101, 0x0A000201, OTHER)


def build() -> Netns:
    ns = Stack(seed=7).add_netns("red")
    for index, name in enumerate(DEVICES, 1):
        ns.add_device(name)
        ns.add_address(name, f"10.0.{index}.1/24")
    return ns


def in_the_way(one: dict[str, Any], other: dict[str, Any], local: int) -> bool:
    """bind(7) in Linux, in words: same port, devices that overlap, addresses that overlap, no common permission."""
    same_device = None in (one["device"], other["device"]) or one["device"] == other["device"]
    same_address = 0 in (local, other["local"]) or local == other["local"]
    return one["port"] == other["port"] and same_device and same_address and not one["reuse"] & other["reuse"]


def fits(it: dict[str, Any], src: int, sport: int, dst: int, dport: int, iif: str | None) -> bool:
    return (
        it["port"] == dport
        and it["local"] in (0, dst)
        and (it["peer_address"] in (0, src))
        and (not it["peer_address"] or it["peer_port"] in (0, sport))
        and (it["device"] in (None, iif) or iif is None)
    )


def rank(it: dict[str, Any]) -> tuple[bool, int]:
    """How specific: the bound address first, then one point for each of peer address, peer port, device."""
    return bool(it["local"]), bool(it["peer_address"]) + bool(it["peer_port"]) + (it["device"] is not None)


@given(wanted=SOCKETS, order=st.randoms(use_true_random=False))
def test_lookup_and_bind_agree_with_their_slow_twins(wanted: list[dict[str, Any]], order: Any) -> None:
    """Linux's compute_score and udp_lib_lport_inuse, told by one list that is searched from end to end."""
    ns = build()
    twins: list[dict[str, Any]] = []  # the newest first
    for spec in wanted:
        sock = ns.socket()
        sock.options |= spec["reuse"]
        if spec["device"] is not None:
            sock.device = ns.devices[spec["device"]]
        local = {"": 0, "10.0.1.1": 0x0A000101, "10.0.2.1": 0x0A000201, "10.0.1.255": 0x0A0001FF}[spec["address"]]
        expected = any(in_the_way(spec, twin, local) for twin in twins)
        if expected:
            with pytest.raises(OSError, match="Address already in use"):
                sock.bind((spec["address"], spec["port"]), now=0)
            sock.close(now=0)
            continue
        sock.bind((spec["address"], spec["port"]), now=0)
        twin = {**spec, "sock": sock, "local": local, "peer_address": 0, "peer_port": 0}
        if spec["peer"] is not None:
            sock.connect(spec["peer"], now=0)
            twin |= {"local": sock.local, "peer_address": sock.peer, "peer_port": sock.peer_port}
        twins.insert(0, twin)
    for gone in order.sample(twins, len(twins) // 4):
        gone["sock"].close(now=0)
        twins.remove(gone)
    for twin in order.sample(twins, len(twins) // 3):
        twin["device"] = order.choice((None, *DEVICES))
        twin["sock"].setsockopt(c.SOL_SOCKET, c.SO_BINDTODEVICE, (twin["device"] or "").encode(), now=0)
    for dst in TARGETS:
        for src in (*PEERS, OTHER):
            for sport in (7, 8):
                for dport in (53, 54):
                    for iif in (None, *DEVICES):
                        check(ns, twins, (src, sport, dst, dport), iif)
    assert sorted(map(id, ns.udp)) == sorted(id(twin["sock"]) for twin in twins)
    assert all(twin["sock"] in ns.udp.on_port(twin["port"]) for twin in twins)


def check(ns: Netns, twins: list[dict[str, Any]], flow: tuple[int, int, int, int], iif: str | None) -> None:
    """One flow through both."""
    dev = None if iif is None else ns.devices[iif]
    fitting = [twin for twin in twins if fits(twin, *flow, iif)]
    assert set(ns.udp.receivers(*flow, dev)) == {twin["sock"] for twin in fitting}
    found: Socket | None = ns.udp.lookup(*flow, dev)
    if not fitting:
        assert found is None
        return
    best = max(map(rank, fitting))
    equals = [twin for twin in fitting if rank(twin) == best]
    newest = equals[0]
    if newest["reuse"] & c.REUSEPORT and not newest["peer_address"]:
        group = [
            twin["sock"]
            for twin in equals
            if twin["reuse"] & c.REUSEPORT
            and (twin["local"], twin["device"], twin["peer_address"]) == (newest["local"], newest["device"], 0)
        ]
        assert found in group
        assert found is ns.udp.lookup(*flow, dev)
    else:
        assert found is newest["sock"]


FAMILIES = st.lists(
    st.fixed_dictionaries(
        {
            "kind": st.sampled_from(("four", "dual", "only")),
            "address": st.sampled_from(("", "::1", "10.0.1.1", "mapped", "mapped any")),
            "reuse": st.sampled_from((0, c.REUSEADDR, c.REUSEPORT)),
            "peer": st.sampled_from((None, "4", "6")),
        }
    ),
    max_size=6,
)
TEXT = {"": "::", "mapped": "::ffff:10.0.1.1", "mapped any": "::ffff:0.0.0.0"}


def covers(spec: dict[str, Any]) -> dict[int, int]:
    """RFC 3493 3.7, 5.3: the families that a socket hears before it is connected, and the address in each."""
    if spec["kind"] == "four":
        return {4: 0x0A000101 if spec["address"] == "10.0.1.1" else 0}
    if spec["address"].startswith("mapped"):
        return {4: 0x0A000101 if spec["address"] == "mapped" else 0}
    if spec["address"] == "::1":
        return {6: 1}
    return {6: 0} if spec["kind"] == "only" else {4: 0, 6: 0}


def possible(spec: dict[str, Any]) -> bool:
    """Whether a socket of this kind can be bound so."""
    if spec["kind"] == "four":
        return spec["address"] in ("", "10.0.1.1")
    return spec["address"] in (("", "::1") if spec["kind"] == "only" else ("", "::1", "mapped", "mapped any"))


@given(wanted=FAMILIES)
def test_both_families_agree_with_their_slow_twin(wanted: list[dict[str, Any]]) -> None:
    """Linux's ipv6_rcv_saddr_equal and compute_score for sockets of one family and of both: who may be bound beside
    whom, and whom a datagram of each family is for. Among equals IPv4 prefers a socket of its own, then the newest."""
    ns = build()
    twins: list[dict[str, Any]] = []  # the newest first
    for spec in filter(possible, wanted):
        sock = ns.socket(c.AF_INET if spec["kind"] == "four" else c.AF_INET6)
        sock.options |= spec["reuse"] | (c.V6ONLY if spec["kind"] == "only" else 0)
        hears = covers(spec)
        name = (spec["address"] if spec["kind"] == "four" else TEXT.get(spec["address"], spec["address"]), 53)
        in_way = [
            twin
            for twin in twins
            if not twin["reuse"] & spec["reuse"]
            and any(0 in (a, twin["hears"][f]) or a == twin["hears"][f] for f, a in hears.items() if f in twin["hears"])
        ]
        if in_way:
            with pytest.raises(OSError, match="Address already in use"):
                sock.bind(name, now=0)
            sock.close(now=0)
            continue
        sock.bind(name, now=0)
        twin = {**spec, "sock": sock, "hears": hears, "connected": False}
        if spec["peer"] is not None and int(spec["peer"]) in hears:
            if spec["peer"] == "6":
                sock.connect(("::1", 7), now=0)
                twin["hears"] = {6: 1}
            else:
                sock.connect(("10.0.1.2" if spec["kind"] == "four" else "::ffff:10.0.1.2", 7), now=0)
                twin["hears"] = {4: 0x0A000101}
            twin["connected"] = True
        twins.insert(0, twin)
    for family, dst, src in ((4, 0x0A000101, PEERS[0]), (4, 0x0A000201, PEERS[0]), (6, 1, 1), (6, 2, 1)):
        for sport in (7, 8):
            check_family(ns, twins, family, (src, sport, dst, 53))


def check_family(ns: Netns, twins: list[dict[str, Any]], family: int, flow: tuple[int, int, int, int]) -> None:
    """One flow of one family through both."""
    table = ns.udp if family == 4 else ns.udp6
    fitting = [
        twin
        for twin in twins
        if twin["hears"].get(family, -1) in (0, flow[2]) and (not twin["connected"] or flow[1] == 7)
    ]
    found = table.lookup(*flow, None)
    if not fitting:
        assert found is None
        return

    def rank(twin: dict[str, Any]) -> tuple[bool, bool, bool]:
        return bool(twin["hears"][family]), twin["connected"], family == 4 and twin["kind"] == "four"

    equals = [twin for twin in fitting if rank(twin) == max(map(rank, fitting))]
    if equals[0]["reuse"] & c.REUSEPORT and not equals[0]["connected"]:
        assert found in [twin["sock"] for twin in equals]
    else:
        assert found is equals[0]["sock"]
