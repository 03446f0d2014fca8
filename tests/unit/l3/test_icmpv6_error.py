"""ICMPv6 errors made here: who is told, what is quoted, from where, and how often."""

from dataclasses import replace
from typing import Any

import pytest
from scapy.layers.inet import UDP
from scapy.layers.inet6 import (
    ICMPv6DestUnreach,
    ICMPv6EchoRequest,
    ICMPv6ND_NA,
    ICMPv6ND_Redirect,
    ICMPv6PacketTooBig,
    ICMPv6ParamProblem,
    ICMPv6TimeExceeded,
    ICMPv6Unknown,
    IPv6,
    IPv6ExtHdrDestOpt,
    IPv6ExtHdrFragment,
    IPv6ExtHdrHopByHop,
)
from scapy.packet import Raw

from tests.unit.l3.bed6 import HERE, THERE, Ip, Namespace, received
from vrouter.stack.base.addresses import parse_ipv6
from vrouter.stack.base.packet import LINK_BROADCAST, LINK_MULTICAST, LOCAL_OUT
from vrouter.stack.l3 import kinds
from vrouter.stack.l3.icmp_error import IcmpLimiter
from vrouter.stack.l3.icmpv6_error import LIMITS6, error_source6, error_tos6, may_answer6, quote6, seal_icmpv6
from vrouter.stack.sysctl.records import DEFAULT_V6
from vrouter.stack.wire import icmpv6

SECOND = 1_000_000_000
MS = 1_000_000
LAN, LO = Namespace().lan, Namespace().lo
KINDS = [kinds.NET_UNREACHABLE, kinds.TTL_EXCEEDED, kinds.PARAMETER, kinds.PARAMETER_CHAIN, kinds.REDIRECT]
EXEMPT = [kinds.TOO_BIG, kinds.PARAMETER_OPTION]
GROUP = "ff05::5"


def may(packet: IPv6, kind: int, dev: Any = LAN, flags: int = 0, ip: Ip | None = None) -> bool:
    return may_answer6(ip or Ip(), received(packet, dev, flags), kind)


@pytest.mark.parametrize("kind", KINDS + EXEMPT)
@pytest.mark.parametrize(
    "message",
    [
        ICMPv6DestUnreach(),
        ICMPv6PacketTooBig(),
        ICMPv6TimeExceeded(),
        ICMPv6ParamProblem(),
        ICMPv6ND_Redirect(),
        ICMPv6Unknown(type=5),
        ICMPv6Unknown(type=127),
    ],
)
@pytest.mark.parametrize("head", [IPv6(), IPv6() / IPv6ExtHdrDestOpt(), IPv6() / IPv6ExtHdrFragment(m=1)])
def test_never_about_an_error_or_a_redirect(head: IPv6, message: Any, kind: int) -> None:
    """RFC 4443 2.4 (e.1, e.2): whatever headers stand in front, and whatever type below 128 it has."""
    packet = head / message / Raw(bytes(-len(message) % 8))
    packet.src, packet.dst = THERE, HERE
    assert not may(packet, kind)


@pytest.mark.parametrize("kind", KINDS + EXEMPT)
@pytest.mark.parametrize(
    "packet",
    [
        IPv6(src=THERE, dst=HERE) / ICMPv6EchoRequest(),
        IPv6(src=THERE, dst=HERE) / ICMPv6ND_NA(),
        IPv6(src=THERE, dst=HERE) / ICMPv6Unknown(type=200),
        IPv6(src=THERE, dst=HERE) / UDP(),
        IPv6(src=THERE, dst=HERE, nh=59),
        IPv6(src="fe80::1", dst=HERE) / UDP(),
        IPv6(src=THERE, dst=HERE) / IPv6ExtHdrFragment(nh=58, offset=1) / Raw(b"\x01" * 8),
        IPv6(src=THERE, dst=HERE) / IPv6ExtHdrHopByHop() / UDP(),
    ],
)
def test_everything_else_from_one_host_to_one_host_is_answered(packet: IPv6, kind: int) -> None:
    """RFC 4443 2.4 (e): later fragments too, of which nobody can tell what they are about."""
    assert may(packet, kind)


def test_what_may_be_an_error_counts_as_one() -> None:
    """RFC 4443 2.4 (e.1): an ICMPv6 message whose type is cut off."""
    assert not may(IPv6(src=THERE, dst=HERE, nh=58), kinds.NET_UNREACHABLE)
    assert not may(IPv6(src=THERE, dst=HERE) / IPv6ExtHdrDestOpt(nh=58), kinds.NET_UNREACHABLE)


@pytest.mark.parametrize(("dst", "flags"), [(GROUP, 0), (HERE, LINK_MULTICAST), (HERE, LINK_BROADCAST)])
def test_not_about_a_packet_to_many_with_two_exceptions(dst: str, flags: int) -> None:
    """RFC 4443 2.4 (e.3) to (e.5): but Packet Too Big, and options that ask for it."""
    packet = IPv6(src=THERE, dst=dst) / UDP()
    assert [kind for kind in KINDS + EXEMPT if may(packet, kind, flags=flags)] == EXEMPT


@pytest.mark.parametrize("kind", KINDS + EXEMPT)
@pytest.mark.parametrize("src", ["::", "ff02::1", "2001:db8:5::"])
def test_never_to_what_is_not_one_host(src: str, kind: int) -> None:
    """RFC 4443 2.4 (e.6): unspecified, a group, or an address known to be anycast."""
    ip = Ip()
    ip.zeros[parse_ipv6("2001:db8:5::")] = 1
    assert not may(IPv6(src=src, dst=HERE) / UDP(), kind, ip=ip)


@pytest.mark.parametrize(("dev", "expected"), [(LAN, False), (LO, True)])
def test_the_loopback_address_is_told_on_lo_alone(dev: Any, expected: bool) -> None:
    """RFC 4291 2.5.3: nobody on a wire has it."""
    assert may(IPv6(src="::1", dst="::1") / UDP(), kinds.PORT_UNREACHABLE, dev) is expected


@pytest.mark.parametrize(("size", "quoted"), [(10, 58), (1184, 1232), (1185, 1232), (9000, 1232)])
def test_as_much_is_quoted_as_fits_the_minimum_mtu(size: int, quoted: int) -> None:
    """RFC 4443 2.4 (c): without the message exceeding 1280 bytes."""
    packet = IPv6(src=THERE, dst=HERE) / UDP() / Raw(bytes(size))
    message = quote6(received(packet, LAN), icmpv6.PACKET_TOO_BIG, 0, 1400)
    message.src = parse_ipv6(HERE)
    assert (message.dst, message.proto, message.family, message.flags) == (parse_ipv6(THERE), 58, 6, LOCAL_OUT)
    seal_icmpv6(message)
    seen = IPv6(bytes(IPv6(src=HERE, dst=THERE, nh=58, plen=len(message))) + message.data())
    assert seen[ICMPv6PacketTooBig].mtu == 1400
    assert bytes(seen[ICMPv6PacketTooBig].payload) == bytes(packet)[:quoted]
    told = seen[ICMPv6PacketTooBig].cksum
    del seen[ICMPv6PacketTooBig].cksum
    assert IPv6(bytes(seen))[ICMPv6PacketTooBig].cksum == told


def test_the_checksum_covers_addresses_without_zones() -> None:
    """RFC 4443 2.3, RFC 8200 8.1: the pseudo-header is made of what the wire has."""
    message = quote6(received(IPv6(src="fe80::2", dst=HERE) / UDP(), LAN), icmpv6.DEST_UNREACHABLE, 3, 0)
    message.src = parse_ipv6("fe80::1") | 7 << 128
    seal_icmpv6(message)
    assert message.dst == parse_ipv6("fe80::2") | 7 << 128
    assert icmpv6.is_valid(message.buf, message.start, message.end, parse_ipv6("fe80::1"), parse_ipv6("fe80::2"))


def test_the_source_is_the_address_that_was_asked() -> None:
    """RFC 4443 2.2: (a) when it is ours and one host's, else (b) chosen for the way."""
    ip = Ip()
    ip.own(HERE)
    ip.zeros[parse_ipv6("2001:db8:1::")] = 1
    for dst, source in [(HERE, parse_ipv6(HERE)), (THERE, 0), (GROUP, 0), ("2001:db8:1::", 0)]:
        pkt = received(IPv6(src="2001:db8:9::9", dst=dst) / UDP(), LAN)
        assert error_source6(ip, pkt) == source
        assert error_tos6(pkt) == 0


def limiter_bed(**settings: Any) -> tuple[Ip, IcmpLimiter]:
    ip = Ip(Namespace(v6=replace(DEFAULT_V6, **settings)))
    ip.own(HERE)
    return ip, IcmpLimiter(LIMITS6)


def allowed(ip: Ip, limiter: IcmpLimiter, type_: int, count: int, *, dst: str = THERE, now: int = 0) -> int:
    return sum(limiter.allow(ip, parse_ipv6(dst), type_, 0, now) for _ in range(count))


def test_errors_are_limited_for_each_destination() -> None:
    """RFC 4443 2.4 (f): a token bucket, six at once and then one in each net.ipv6.icmp.ratelimit."""
    ip, limiter = limiter_bed(icmp_ratelimit=100 * MS)
    assert allowed(ip, limiter, icmpv6.TIME_EXCEEDED, 20) == 6
    assert allowed(ip, limiter, icmpv6.TIME_EXCEEDED, 20, dst="2001:db8:2::3") == 6
    assert allowed(ip, limiter, icmpv6.TIME_EXCEEDED, 20, now=100 * MS) == 1
    assert allowed(ip, limiter, icmpv6.TIME_EXCEEDED, 20, now=10 * SECOND) == 6


def test_errors_are_limited_for_the_namespace() -> None:
    """RFC 4443 2.4 (f): an average rate and a burst over all destinations."""
    ip, limiter = limiter_bed()
    sent = [allowed(ip, limiter, icmpv6.DEST_UNREACHABLE, 1, dst=f"2001:db8::{n:x}") for n in range(1, 101)]
    assert sum(sent) == 50


def test_packet_too_big_is_never_withheld() -> None:
    """RFC 8201 4: paths would turn into black holes; as in Linux."""
    ip, limiter = limiter_bed(icmp_ratemask=(1 << 256) - 1)
    assert allowed(ip, limiter, icmpv6.PACKET_TOO_BIG, 200) == 200


def test_types_outside_of_the_mask_and_own_addresses_are_free() -> None:
    """net.ipv6.icmp.ratemask: a bit for each type."""
    ip, limiter = limiter_bed(icmp_ratemask=1 << icmpv6.TIME_EXCEEDED)
    assert allowed(ip, limiter, icmpv6.DEST_UNREACHABLE, 200) == 200
    assert allowed(ip, limiter, icmpv6.TIME_EXCEEDED, 200, dst=HERE) == 200
    assert allowed(ip, limiter, icmpv6.TIME_EXCEEDED, 200) == 6


def test_redirects_have_a_bucket_of_their_own() -> None:
    """RFC 4861 8.2: limited, one for each destination in a second, and not by what errors took."""
    ip, limiter = limiter_bed()
    assert allowed(ip, limiter, icmpv6.TIME_EXCEEDED, 20) == 6
    assert allowed(ip, limiter, icmpv6.REDIRECT, 20) == 6
    assert allowed(ip, limiter, icmpv6.REDIRECT, 20, now=SECOND) == 1
