"""Socket addresses of AF_INET6 sockets: what is taken, what it means, and how it is shown."""

import pytest

from vrouter.stack.l4.names import Target, format_name, needs_zone, parse_name
from vrouter.stack.netns import Netns

LINK = 0xFE80 << 112 | 1


@pytest.mark.parametrize(
    ("name", "family", "value"),
    [
        (("", 53), 6, 0), (("::", 53), 6, 0), (("::1", 53, 0), 6, 1), (("2001:db8::", 53, 0, 0), 6, 0x20010DB8 << 96),
        (("::ffff:10.0.1.1", 53), 4, 0x0A000101), (("::ffff:0:0", 53), 4, 0), (("ff05::1", 53), 6, 0xFF05 << 112 | 1),
    ],
)  # fmt: skip
def test_what_addresses_mean(ns: Netns, name: tuple[object, ...], family: int, value: int) -> None:
    """RFC 3493 3.3, 3.7: a tuple of two to four; IPv4-mapped addresses are IPv4's."""
    assert parse_name(ns.socket(10), name, "bind") == Target(family, value, 53)


@pytest.mark.parametrize(
    ("name", "zone", "known"),
    [
        (("fe80::1%lan", 53), 2, True), (("fe80::1%2", 53), 2, True), (("fe80::1", 53, 0, 2), 2, True),
        (("fe80::1%lan", 53, 0, 2), 2, True), (("ff02::1%lan", 53), 2, True), (("fe80::1", 53), 0, False),
        (("fe80::1", 53, 0, 99), 99, False), (("fe80::1%wan", 53), -1, False), (("2001:db8::1", 53, 0, 2), 0, False),
    ],
)  # fmt: skip
def test_zones(ns: Netns, name: tuple[object, ...], zone: int, known: bool) -> None:
    """RFC 4007 11.2: the zone is a device's name or number; of an address that needs none it is not looked at."""
    target = parse_name(ns.socket(10), name, "bind")
    assert (target.zone, target.device) == (zone, ns.devices["lan"] if known else None)
    assert target.address >> 128 == 0


@pytest.mark.parametrize(
    ("name", "error"),
    [
        ("::1", TypeError), (("::1",), TypeError), (("::1", 1, 2, 3, 4), TypeError), (("::1", "53"), TypeError),
        (("::1", 53, 0, "lan"), TypeError), (("::1", 65536), OverflowError), (("::1", 53, 1 << 20), OverflowError),
        (("::1", 53, 0, -1), OverflowError), (("example.org", 53), ValueError), (("10.0.1.1", 53), ValueError),
        (("2001:db8::1%lan", 53), ValueError), (("fe80::1%", 53), ValueError), (("::1::", 53), ValueError),
    ],
)  # fmt: skip
def test_what_is_no_address(ns: Netns, name: object, error: type[Exception]) -> None:
    """As Python's socket module; nothing resolves names, and IPv4 addresses are written IPv4-mapped."""
    sock = ns.socket(10)
    for call in (sock.bind, sock.connect, lambda name, now: sock.sendto(b"", name, now=now)):
        with pytest.raises(error):
            call(name, now=0)


def test_how_addresses_are_shown(ns: Netns) -> None:
    """RFC 5952, RFC 3493 3.3: four fields, the zone of a link-local address as scope_id, IPv4 as IPv4-mapped."""
    six, four = ns.socket(10), ns.socket(2)
    assert format_name(six, 6, LINK | 2 << 128, 7) == ("fe80::1", 7, 0, 2)
    assert format_name(six, 6, 1, 7, 5) == ("::1", 7, 0, 0)
    assert format_name(six, 6, 0xFF02 << 112 | 1, 7, 5) == ("ff02::1", 7, 0, 5)
    assert format_name(six, 4, 0x0A000101, 7) == ("::ffff:10.0.1.1", 7, 0, 0)
    assert format_name(four, 4, 0x0A000101, 7) == ("10.0.1.1", 7)


@pytest.mark.parametrize(
    ("address", "needs"),
    [(0, False), (1, False), (LINK, True), (0xFEC0 << 112, False), (0xFF01 << 112 | 1, True), (0xFF02 << 112 | 1, True),
     (0xFF05 << 112 | 1, False), (0x20010DB8 << 96, False)],
)  # fmt: skip
def test_who_needs_a_zone(address: int, needs: bool) -> None:
    """RFC 4007 5, 6: interface-local and link-local scope."""
    assert needs_zone(address) is needs
