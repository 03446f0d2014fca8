"""Which address a node speaks from (RFC 6724 5), through sockets and whole stacks.

a ── r ── b, fd00:0:1::/64 and fd00:0:2::/64; a has more addresses than one
"""

from __future__ import annotations

import errno

import pytest

from vrouter.stack.base.addresses import is_multicast6, parse_ipv6, scoped
from vrouter.testing import Lab, match


def used(lab: Lab, a, dst: str) -> str:
    """From where a datagram to `dst` goes."""
    port = a.udp(addr="::")
    a.clear()
    port.send(b"x", dst, 9)
    for address in (*a.addresses, a.link_local()):
        if a.sent[:1] == [match.udp(src=address)]:
            return address
    raise AssertionError(a.sent)


@pytest.mark.parametrize(
    ("more", "dst", "wanted"),
    [
        ([], "2001:db8:9::1", "fd00:0:1::2"),
        (["2001:db8::5/64"], "2001:db8:9::1", "2001:db8::5"),
        (["2001:db8::5/64"], "fd00:0:2::2", "fd00:0:1::2"),
        (["fd00:0:1::99/64"], "fd00:0:1::98", "fd00:0:1::2"),
        (["2001:db8::5/64", "2001:db8:9::5/64"], "2001:db8:9:1::1", "2001:db8:9::5"),
        (["2002:c000:201::5/64"], "2001:db8:9::1", "2002:c000:201::5"),
        ([], "fe80::99%r", "link"),
        ([], "ff02::5%r", "link"),
        (["2001:db8::5/64"], "ff0e::5", "2001:db8::5"),
    ],
    ids=[
        "the only global one",
        "rule 6: the label of global addresses",
        "rule 6: the label of unique local ones",
        "rule 8: within the prefix alone",
        "rule 8: of what is far",
        "rule 6: 6to4 is not unique local",
        "rule 2: the scope of a neighbour",
        "rule 2: the scope of a group",
        "rule 6: a global group",
    ],
)
def test_the_rules(lab: Lab, more: list[str], dst: str, wanted: str) -> None:
    """RFC 6724 5, rule by rule."""
    a, _r, _b = lab.line("a", "r", "b")
    for address in more:
        a.ns.add_address("r", address, now=lab.now)
    if "%" in dst or dst == "fd00:0:1::98":
        neighbour(lab, a, dst.partition("%")[0])
    assert used(lab, a, dst) == (a.link_local() if wanted == "link" else wanted)


def neighbour(lab: Lab, a, dst: str) -> None:
    dev, address = a.ns.devices["r"], parse_ipv6(dst)
    if not is_multicast6(address):
        a.ns.neigh6.add_static(dev, scoped(address, dev.ifindex), b"\2\0\0\0\0\x77", lab.now)


def test_an_own_address_is_reached_from_itself(lab: Lab) -> None:
    """Rule 1."""
    a, _r, _b = lab.line("a", "r", "b")
    sink, port = a.udp(9, "::"), a.udp(addr="::")
    for address in (a.addr6, "::1"):
        port.send(b"x", address, 9)
        assert sink.recv().addr == address


def test_the_route_s_source_comes_first(lab: Lab) -> None:
    """ip-route(8): a route's ``src`` is used before any rule."""
    a, r, _b = lab.line("a", "r", "b")
    a.ns.add_address("r", "2001:db8::5/64", now=lab.now)
    a.ns.add_route("2001:db8:9::/48", via=r.addr6_towards(a), src="fd00:0:1::2", now=lab.now)
    assert used(lab, a, "2001:db8:9::1") == "fd00:0:1::2"


def test_a_tentative_address_is_nobody_s(lab: Lab) -> None:
    """RFC 4862 5.4: it is not spoken from; a socket cannot be bound to it."""
    a, _r, _b = lab.line("a", "r", "b")
    a.ns.sysctl["net.ipv6.conf.r.dad_transmits"] = 1
    a.ns.add_address("r", "2001:db8::5/64", now=lab.now)
    assert used(lab, a, "2001:db8:9::1") == "fd00:0:1::2"
    with pytest.raises(OSError) as caught:
        a.udp(7, "2001:db8::5")
    assert caught.value.errno == errno.EADDRNOTAVAIL
    lab.run_until_idle()
    assert used(lab, a, "2001:db8:9::1") == "2001:db8::5"


def test_without_any_address_of_the_scope(lab: Lab) -> None:
    """A link-local address is no good source for what is beyond the link (RFC 6724 5, rule 2; RFC 4007 9), but it is
    all there is."""
    a, r = lab.host("a"), lab.router("r")
    lab.wire(a, r, addresses=(None, "2001:db8::1/64"))
    a.ns.add_route("::/0", via=r.link_local(a), dev="r", now=lab.now)
    assert used(lab, a, "2001:db8::1") == a.link_local()
