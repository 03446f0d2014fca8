"""Duplicate addresses of IPv6 found end to end (RFC 4862 5.4), between whole stacks on one link, and what is shown.

a, b ── lan (a hub), detection on
"""

from __future__ import annotations

import errno

import pytest

from tests.path.bed import Bed
from vrouter.stack.base.addresses import format_ipv6, parse_address
from vrouter.testing import Lab, frames, match

WANTED = "2001:db8::7"


def stations(lab: Lab, **settings: int):
    """Two hosts that detect duplicates, as on a real wire."""
    a, b = lab.host("a"), lab.host("b")
    for host in (a, b):
        host.ns.sysctl["net.ipv6.conf.default.dad_transmits"] = 1
        for name, value in settings.items():
            host.ns.sysctl[f"net.ipv6.conf.default.{name}"] = value
    lab.hub("lan")
    for host in (a, b):
        lab.wire(host, "lan", resolve=True, addresses=None)
    lab.run_for(5)
    return a, b


def state(node, address: str = WANTED) -> str:
    """The state that is shown for an address."""
    found = [one for one in node.ns.devices["lan"].addresses if format_ipv6(one.address) == address]
    return found[0].state


def test_an_address_is_tentative_before_it_is_used(lab: Lab) -> None:
    """RFC 4862 5.4: one solicitation without a source, to the address's group, a second of silence, and it is used."""
    a, b = stations(lab)
    a.clear()
    b.clear()
    a.ns.add_address("lan", f"{WANTED}/64", now=lab.now)
    assert state(a) == "tentative"
    b.send_frame(
        frames.ethernet(
            a.mac,
            b.mac,
            frames.IPV6,
            frames.ipv6_echo(b.link_local(), WANTED),
        )
    )
    lab.run_for(3)
    assert state(a) == "preferred"
    probes = [frame for frame in a.sent_ndp if frame == match.ndp(type=135)]
    assert probes == [match.ndp(type=135, src="::", dst=frames.solicited_node(WANTED), target=WANTED)]
    assert match.icmp6(type=129) not in b.received
    assert match.ndp(type=136, target=WANTED, dst=frames.ALL_NODES, override=True) in b.received_ndp


def test_an_address_that_somebody_uses_is_refused(lab: Lab) -> None:
    """RFC 4862 5.4.3, 5.4.4: who has it says so to all; it is in conflict, not used and shown so; the other goes on."""
    a, b = stations(lab)
    b.ns.add_address("lan", f"{WANTED}/64", now=lab.now)
    lab.run_for(3)
    a.ns.add_address("lan", f"{WANTED}/64", now=lab.now)
    lab.run_for(3)
    assert (state(a), state(b)) == ("conflict", "preferred")
    assert match.ndp(type=136, target=WANTED, dst=frames.ALL_NODES, solicited=False) in a.received_ndp
    kinds = [event.kind.value for event in a.stack.events.take() if event.fields.get("address") == WANTED]
    assert "address-conflict" in kinds
    with pytest.raises(OSError) as caught:
        a.udp(7, WANTED)
    assert caught.value.errno == errno.EADDRNOTAVAIL
    a.ns.del_address("lan", f"{WANTED}/64", now=lab.now)
    a.ns.add_address("lan", "2001:db8::8/64", now=lab.now)
    lab.run_for(3)
    assert a.ping(WANTED) == 0


@pytest.mark.parametrize("delay", [0, 1])
def test_both_want_it_at_once(lab: Lab, delay: int) -> None:
    """RFC 4862 5.4.3: neither gets an address whose solicitations cross; with the random delay of 5.4.2 the one that
    asks first has it, as the other hears that before it asked."""
    a, b = stations(lab, router_solicitation_delay=delay)
    for host in (a, b):
        host.ns.add_address("lan", f"{WANTED}/64", now=lab.now)
    lab.run_for(3)
    assert sorted((state(a), state(b))) == (["conflict", "preferred"] if delay else ["conflict", "conflict"])


def test_a_loop_is_no_conflict(lab: Lab) -> None:
    """RFC 7527 4: a solicitation with the nonce that was sent is the own one, come back."""
    a, b = stations(lab)
    a.ns.add_address("lan", f"{WANTED}/64", now=lab.now)
    lab.run_until(lambda: any(frame == match.ndp(type=135, target=WANTED) for frame in a.sent_ndp))
    (probe,) = [frame for frame in a.sent_ndp if frame == match.ndp(type=135, target=WANTED)]
    b.send_frame(bytes(probe))
    lab.run_for(10)
    assert state(a) == "preferred"


def test_the_address_of_the_mac_is_the_end_of_ipv6(lab: Lab) -> None:
    """RFC 4862 5.4.5 (accept_dad 2): when the link-local address of the MAC is somebody's, IPv6 ends at the device."""
    a, b = stations(lab, accept_dad=2)
    mine = a.link_local()
    b.ns.add_address("lan", f"{mine}/64", now=lab.now)
    lab.run_for(3)
    assert state(b, mine) == "conflict"
    a.ns.set_device("lan", up=False, now=lab.now)
    b.ns.del_address("lan", f"{mine}/64", now=lab.now)
    b.ns.add_address("lan", f"{mine}/64", now=lab.now)
    lab.run_for(3)
    assert state(b, mine) == "preferred"
    a.ns.set_device("lan", up=True, now=lab.now)
    lab.run_for(3)
    assert a.ns.sysctl["net.ipv6.conf.lan.disable_ipv6"] == 1
    assert a.addresses == []


def test_nobody_waits_where_detection_is_off(lab: Lab) -> None:
    """RFC 4862 5.1: 0 transmits (the lab's default): an address is used at once, whoever has it."""
    a, b = lab.host("a"), lab.host("b")
    lab.hub("lan", a, b, resolve=True)
    for host in (a, b):
        host.ns.add_address("lan", f"{WANTED}/64", now=lab.now)
    assert (state(a), state(b)) == ("preferred", "preferred")


def test_the_prefix_of_a_tentative_address_is_on_the_link() -> None:
    """RFC 4862 5.4: a tentative address is not ours yet, but its prefix has its route at once, as in Linux: a router
    forwards there while it still looks for duplicates. The route goes with the device, and with the address."""
    bed = Bed(ipv6=True)
    ns = bed.stack.add_netns("r")
    bed.station(ns, "lan")
    address = ns.add_address("lan", "fd00:1::1/64", now=bed.now)
    prefix = parse_address("fd00:1::")[1]

    def routes() -> list[str]:
        return [route.proto for route in ns.ip6.main.exact(prefix, 64)]

    assert address.state == "tentative"
    assert routes() == ["kernel"]
    assert not ns.ip6.is_local(address.address)
    ns.set_device("lan", up=False, now=bed.now)
    assert routes() == []
    ns.set_device("lan", up=True, now=bed.now)
    assert routes() == ["kernel"]
    bed.run_for(5)
    assert address.state == "preferred"
    assert routes() == ["kernel"]
    ns.del_address("lan", "fd00:1::1/64", now=bed.now)
    assert routes() == []
