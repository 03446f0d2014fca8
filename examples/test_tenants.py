"""Two tenants of one router with the same subnet and the same addresses; only what both sides declare crosses.

alice (10.0.1.2, 10.200.1.2) ── (10.0.1.1) red  ─┐ one router,
bob   (10.0.1.2, 10.200.2.2) ── (10.0.1.1) blue ─┘ two namespaces
"""

import pytest

from vrouter.stack import DropReason
from vrouter.testing import frames, match


@pytest.fixture
def tenants(lab):
    """alice and bob behind red and blue; routes lead across, but nobody accepts anything yet."""
    red = lab.router("red")
    blue = red.add_netns("blue")
    clients = lab.host("alice"), lab.host("bob")
    for number, tenant, client in zip((1, 2), (red, blue), clients, strict=True):
        lab.wire(tenant, client, addresses=("10.0.1.1/24", "10.0.1.2/24"))
        client.ns.add_address(tenant.name, f"10.200.{number}.2/32", now=lab.now)
        tenant.ns.add_route(f"10.200.{number}.2/32", via="10.0.1.2", now=lab.now)
    lab.set_routes()
    red.ns.add_route("10.200.2.0/24", netns="blue", now=lab.now)
    blue.ns.add_route("10.200.1.0/24", netns="red", now=lab.now)
    lab.run_until_idle()
    return red, blue, *clients


def test_equal_addresses_do_not_meet(lab, tenants):
    """Both clients ping the same address, and each reaches its own router."""
    _red, blue, alice, bob = tenants
    with blue.counters.expect():
        assert alice.ping("10.0.1.1") == 0
    assert bob.ping("10.0.1.1") == 0


def test_what_nobody_accepts_is_refused(lab, tenants):
    """The packet dies in red, with a reason; alice is told that it is prohibited; blue never sees it."""
    red, blue, alice, bob = tenants
    alice.clear()
    echo = frames.ipv4_echo("10.200.1.2", "10.200.2.2")
    with (
        blue.counters.expect(),
        red.counters.expect(
            rx=1,
            tx=1,
            drops={DropReason.CROSSING_DENIED: 1},
            IpInReceives=1,
            IpOutRequests=1,
            IcmpOutMsgs=1,
            IcmpOutDestUnreachs=1,
        ),
    ):
        alice.send(echo)
        lab.run_until_idle()
    assert alice.received == [match.icmp4(type=3, code=13, quotes=echo)]
    assert match.icmp4() not in bob.received


def test_what_both_declare_crosses(lab, tenants):
    """With `accept_from` on both sides the clients reach each other under their unique addresses."""
    red, blue, alice, bob = tenants
    red.ns.accept_from, blue.ns.accept_from = frozenset({"blue"}), frozenset({"red"})
    assert alice.ping("10.200.2.2", src="10.200.1.2") == 0
    assert match.icmp4(type=8, src="10.200.1.2", dst="10.200.2.2", ttl=63) in bob.received
