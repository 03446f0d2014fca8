"""Source address selection against RFC 6724 section 5 read aloud: two candidates at a time, rule after rule."""

from functools import cmp_to_key
from ipaddress import IPv6Address, IPv6Network

from hypothesis import given, settings
from hypothesis import strategies as st

from tests.unit.l3.bed6 import Ip
from vrouter.stack.base.addresses import format_ipv6, parse_ipv6, scoped, unscoped
from vrouter.stack.device import Address, Device
from vrouter.stack.l3.source6 import select_source6

LABELS = {
    "::1/128": 0, "::/0": 1, "::ffff:0:0/96": 4, "2002::/16": 2, "2001::/32": 5, "fc00::/7": 13, "::/96": 3,
    "fec0::/10": 11, "3ffe::/16": 12,
}  # fmt: skip
UNICAST = st.one_of(
    st.sampled_from(["2001:db8:1::1", "2001:db8:1::2", "2001:db8:1:8::1", "2001:db8:2::1", "2600::1", "fd00::1"]),
    st.sampled_from(["fd00:1::1", "fe80::1", "fe80::2", "fec0::1", "2002:a00::1", "2001::1", "3ffe::1", "::10.0.0.1"]),
    st.integers(0x2000 << 112, 0x2001 << 112).map(format_ipv6),
)  # fmt: skip
GROUPS = st.sampled_from(["ff01::5", "ff02::5", "ff05::5", "ff08::5", "ff0e::5"])
CANDIDATE = st.tuples(UNICAST, st.sampled_from(["lan", "wan", "lo"]), st.sampled_from([32, 48, 64, 128]),
                      st.sampled_from(["preferred", "preferred", "deprecated"]), st.booleans())  # fmt: skip


def label(address: int) -> int:
    """The label of the longest prefix that matches."""
    plain = IPv6Address(unscoped(address))
    matching = [IPv6Network(text) for text in LABELS if plain in IPv6Network(text)]
    return LABELS[str(max(matching, key=lambda network: network.prefixlen))]


def scope(address: int) -> int:
    plain = IPv6Address(unscoped(address))
    if plain.is_multicast:
        return int(plain.exploded[3], 16)
    if plain.is_link_local or plain.is_loopback:
        return 2
    return 5 if plain.is_site_local else 14


def common_prefix(a: Address, dst: int) -> int:
    """CommonPrefixLen(S, D) of RFC 6724 2.2, bit by bit."""
    source, destination = (f"{unscoped(n):0128b}" for n in (a.address, dst))
    length = 0
    while length < a.length and source[length] == destination[length]:
        length += 1
    return length


def prefers(a: Address, b: Address, dst: int, dev: Device) -> int:
    """Below 0 when SA is to be preferred to SB, above 0 when SB is: RFC 6724 5."""
    if (a.address == dst) != (b.address == dst):  # rule 1
        return -1 if a.address == dst else 1
    if scope(a.address) != scope(b.address):  # rule 2
        if scope(a.address) < scope(b.address):
            return 1 if scope(a.address) < scope(dst) else -1
        return -1 if scope(b.address) < scope(dst) else 1
    if a.state != b.state:  # rule 3
        return 1 if a.state == "deprecated" else -1
    if (a.dev is dev) != (b.dev is dev):  # rule 5
        return -1 if a.dev is dev else 1
    if (label(a.address) == label(dst)) != (label(b.address) == label(dst)):  # rule 6
        return -1 if label(a.address) == label(dst) else 1
    if common_prefix(a, dst) != common_prefix(b, dst):  # rule 8
        return -1 if common_prefix(a, dst) > common_prefix(b, dst) else 1
    return a.order - b.order


@settings(max_examples=500)
@given(candidates=st.lists(CANDIDATE, max_size=10), dst=st.one_of(UNICAST, GROUPS))
def test_the_choice_is_that_of_the_rules_applied_in_order(
    candidates: list[tuple[str, str, int, str, bool]], dst: str
) -> None:
    """RFC 6724 4 and 5: of the candidates the one that the rules prefer to all others."""
    ip = Ip()
    ip.ns.devices["wan"] = Device(ip.ns, "wan", "tap", 9, bytes(6), 1500)
    usable: list[Address] = []
    for text, name, length, state, active in candidates:
        if scoped(parse_ipv6(text), ip.ns.devices[name].ifindex) in ip.owners:
            continue
        a = ip.own(text, ip.ns.devices[name], length, state)
        if active:
            usable.append(a)
        else:
            a.active = False
            del ip.owners[a.address]
            a.order = 99
    for order, a in enumerate(usable):
        a.order = order
    dev = ip.ns.lan
    destination = scoped(parse_ipv6(dst), dev.ifindex)
    if IPv6Address(dst).is_multicast or IPv6Address(dst).is_link_local:
        usable = [a for a in usable if a.dev is dev]
    ranked = sorted(usable, key=cmp_to_key(lambda a, b: prefers(a, b, destination, dev)))
    assert select_source6(ip, dev, destination) == (ranked[0].address if ranked else 0)
