"""Redirects of IPv6 through whole stacks (RFC 4861 8): sent to a host that goes a longer way, and believed by it.

::

    a ──┬── r          a's gateway is r, the shorter way to b is s; all know each other's MAC addresses
        └── s ── b
"""

from __future__ import annotations

import pytest

from vrouter.stack.base.addresses import parse_ipv6
from vrouter.testing import Lab, frames, match


def triangle(lab: Lab):
    r, s, a, b = lab.router("r"), lab.router("s"), lab.host("a"), lab.host("b")
    lab.hub("lan", a, r, s)
    lab.wire(s, b)
    b.ns.add_route("::/0", via=s.addr6_towards(b), now=lab.now)
    a.ns.add_route("::/0", via=r.link_local("lan"), dev="lan", now=lab.now)
    r.ns.add_route("fd00:0:2::/64", via=s.link_local("lan"), dev="lan", now=lab.now)
    return a, r, s, b


def mac(node) -> str:
    return node.device_towards("lan").mac.hex(":")


def test_a_host_is_told_the_shorter_way(lab: Lab) -> None:
    """RFC 4861 8.2: the packet is forwarded all the same; the target is the better router's link-local address, with
    its MAC, and as much of the packet as fits."""
    a, r, s, b = triangle(lab)
    s_near = s.link_local("lan")
    assert a.ping(b.addr6) == 0
    assert mine(a) == [
        match.ndp(
            type=137,
            src=r.link_local("lan"),
            dst=a.addr6,
            target=s_near,
            destination=b.addr6,
            target_mac=mac(s),
            hop_limit=255,
        ),
        match.icmp6(type=129, src=b.addr6),
    ]
    a.clear()
    assert a.ping(b.addr6) == 0
    assert a.sent[0] == match.icmp6(type=128, eth_dst=mac(s))
    assert mine(a) == [match.icmp6(type=129)]


def test_a_neighbour_is_told_as_such(lab: Lab) -> None:
    """RFC 4861 8.2: a destination of the link itself is its own target."""
    a, r, s, _b = triangle(lab)
    a.ns.add_route("2001:db8::/32", via=r.link_local("lan"), dev="lan", now=lab.now)
    s.ns.add_address("lan", "2001:db8::5/32", now=lab.now)
    r.ns.add_route("2001:db8::/32", dev="lan", now=lab.now)
    r.ns.neigh6.add_static(r.device_towards("lan"), parse_ipv6("2001:db8::5"), s.device_towards("lan").mac, lab.now)
    a.send(frames.ipv6_echo(a, "2001:db8::5"))
    lab.run_until_idle()
    assert match.ndp(type=137, target="2001:db8::5", destination="2001:db8::5", target_mac=mac(s)) in a.received


@pytest.mark.parametrize(
    "setting",
    ["net.ipv6.conf.lan.accept_redirects", "net.ipv6.conf.all.forwarding"],
)
def test_who_does_not_believe(lab: Lab, setting: str) -> None:
    """RFC 4861 8.3: a host may be told to ignore them, and a router never believes any."""
    a, r, _s, b = triangle(lab)
    a.ns.sysctl[setting] = int(setting.endswith("forwarding"))
    for _ in range(2):
        assert a.ping(b.addr6) == 0
    assert [frame[:6].hex(":") for frame in a.sent] == [mac(r), mac(r)]


def mine(node) -> list:
    """What came over the hub to a node itself."""
    return [frame for frame in node.received if frame[:6].hex(":") == mac(node)]


def redirect(src: str, a, target: str, destination: str, **packet) -> bytes:
    return frames.ipv6(
        src, a, frames.ICMPV6, frames.redirect6(src, a, target, destination), **{"hop_limit": 255, **packet}
    )


@pytest.mark.parametrize(
    ("change", "believed"),
    [
        ({}, True),
        ({"hop_limit": 254}, False),
        ({"src": "s"}, False),
        ({"src": "global"}, False),
        ({"target": "global"}, False),
        ({"destination": "ff02::5"}, False),
    ],
    ids=[
        "right",
        "from afar",
        "from another than the first hop",
        "no link-local source",
        "no link-local target",
        "group",
    ],
)
def test_what_is_believed(lab: Lab, change: dict[str, object], believed: bool) -> None:
    """RFC 4861 8.1: hop limit 255, from the link-local address of the first hop, to a link-local target or the
    destination itself, of no group."""
    a, r, s, b = triangle(lab)
    named = {"s": s.link_local("lan"), "global": r.addr6_towards("lan")}
    src = named.get(str(change.get("src")), r.link_local("lan"))
    target = s.addr6_towards("lan") if change.get("target") else s.link_local("lan")
    destination = str(change.get("destination", b.addr6))
    packet = redirect(src, a, target, destination, hop_limit=change.get("hop_limit", 255))
    r.send_packet(packet, "lan", dst_mac=mac(a))
    lab.run_until_idle()
    a.clear()
    assert a.ping(b.addr6) == 0
    assert a.sent[0][:6].hex(":") == (mac(s) if believed else mac(r))


def test_few_redirects_are_sent(lab: Lab) -> None:
    """RFC 4861 8.2: rate limited, to a host that does not listen."""
    a, _r, _s, b = triangle(lab)
    a.ns.sysctl["net.ipv6.conf.lan.accept_redirects"] = 0
    for _ in range(100):
        a.send(frames.ipv6_echo(a, b))
    lab.run_until_idle()
    told = [frame for frame in a.received if frame == match.ndp(type=137)]
    assert 1 <= len(told) <= 10
    assert len([frame for frame in b.received if frame == match.icmp6(type=128)]) == 100
