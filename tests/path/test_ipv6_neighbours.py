"""Neighbour unreachability detection over neighbour discovery, between two whole stacks (RFC 4861 7.3).

a ── r, fd00:0:1::/64, with real discovery
"""

from __future__ import annotations

import errno

import pytest

from vrouter.stack.base.addresses import format_ipv6
from vrouter.testing import Lab, frames, match

SECOND = 1_000_000_000


def states(node, *addresses: str) -> list[str]:
    """What a node knows of its neighbours that are not of the link alone."""
    rows = {format_ipv6(one.address): one.state.name for one in node.ns.neigh6.entries(node.lab.now)}
    return [rows.get(address, "-") for address in addresses]


@pytest.fixture
def pair(lab: Lab):
    """a and r, who have told what they tell at first."""
    a, r = lab.line("a", lab.router("r"), resolve=True)
    lab.run_until_idle()
    for node in (a, r):
        node.clear()
    return a, r


def questions(node, target: str) -> list[bool]:
    """Solicitations for an address that a node sent: whether each was to one node alone."""
    group = frames.group_mac6(frames.solicited_node(target))
    return [frame[:6] != group for frame in node.sent_ndp if frame == match.ndp(type=135, target=target)]


def test_the_life_of_a_neighbour(lab: Lab, pair) -> None:
    """RFC 4861 7.3.3: REACHABLE for reachable_time, STALE when it is used again, DELAY for 5 s, PROBE, REACHABLE."""
    a, r = pair
    assert a.ping(r.addr6) == 0
    assert states(a, r.addr6) == ["REACHABLE"]
    assert questions(a, r.addr6) == [False]
    lab.run_for(45)  # 0.5 to 1.5 times 30 s
    assert states(a, r.addr6) == ["STALE"]
    assert questions(a, r.addr6) == [False]
    a.ping(r.addr6)
    assert states(a, r.addr6) == ["DELAY"]
    lab.run_for(4.9)
    assert questions(a, r.addr6) == [False]
    lab.run_for(0.2)
    assert questions(a, r.addr6) == [False, True]
    assert states(a, r.addr6) == ["REACHABLE"]


def test_a_neighbour_that_left(lab: Lab, pair) -> None:
    """RFC 4861 7.3.3: three probes to it alone, a second apart; then it is asked for anew, and nobody answers."""
    a, r = pair
    assert a.ping(r.addr6) == 0
    lab.run_for(45)
    lab.wires[0].towards(a).set(loss=1)
    with pytest.raises(TimeoutError):
        a.ping(r.addr6, timeout=1)
    lab.run_for(20)
    assert questions(a, r.addr6)[:4] == [False, True, True, True]
    with pytest.raises(OSError) as caught:
        a.ping(r.addr6, timeout=5)
    assert caught.value.errno == errno.EHOSTUNREACH
    lab.wires[0].towards(a).set(loss=0)
    assert a.ping(r.addr6) == 0


def test_another_mac_is_told_to_all(lab: Lab, pair) -> None:
    """RFC 4861 7.2.6: an advertisement with override; who knew the old one has the new one at once, STALE."""
    a, r = pair
    assert a.ping(r.addr6) == 0
    r.ns.set_device("a", mac="02:00:00:00:99:01", now=lab.now)
    lab.run_for(0.1)
    assert match.ndp(type=136, target=r.addr6, override=True, solicited=False, target_mac="02:00:00:00:99:01") in (
        a.received_ndp
    )
    assert states(a, r.addr6) == ["STALE"]
    assert a.ping(r.addr6) == 0
    assert a.sent[-1][:6] == bytes.fromhex("020000009901")


def test_a_datagram_waits_for_its_neighbour(lab: Lab, pair) -> None:
    """RFC 4861 7.2.2: what was sent meanwhile goes out in order once the answer came."""
    a, r = pair
    port, sink = a.udp(addr="::"), r.udp(9, "::")
    for number in range(3):
        port.send(bytes([number]), r.addr6, 9)
    lab.run_until_idle()
    assert [datagram.data for datagram in sink.received] == [b"\0", b"\1", b"\2"]
    assert questions(a, r.addr6) == [False]


def test_traffic_is_no_proof_of_a_way_back(lab: Lab, pair) -> None:
    """RFC 4861 7.3.1: that packets come in says nothing; a neighbour that is used is probed."""
    a, r = pair
    assert a.ping(r.addr6) == 0
    lab.run_for(45)
    port, sink = r.udp(addr="::"), a.udp(9, "::")
    port.send(b"x", a.addr6, 9)
    lab.run_for(1)
    assert sink.received[0].data == b"x"
    assert states(a, r.addr6) == ["STALE"]


def test_a_solicitation_tells_who_asks(lab: Lab, pair) -> None:
    """RFC 4861 7.2.3: with a source and its MAC, the asker is known, STALE."""
    a, r = pair
    assert a.ping(r.addr6) == 0
    assert states(r, a.addr6) == ["DELAY"]
    assert questions(r, a.addr6) == []


def test_a_wire_that_is_cut_forgets(lab: Lab, pair) -> None:
    """Without a carrier nobody is known; afterwards the addresses are told again (RFC 4861 7.2.6)."""
    a, r = pair
    assert a.ping(r.addr6) == 0
    lab.wires[0].cut()
    assert states(a, r.addr6) == ["-"]
    with pytest.raises(OSError):
        a.ping(r.addr6)
    r.clear()
    lab.wires[0].mend()
    lab.run_until_idle()
    assert match.ndp(type=136, target=a.addr6, dst=frames.ALL_NODES) in r.received_ndp
    assert a.ping(r.addr6) == 0
