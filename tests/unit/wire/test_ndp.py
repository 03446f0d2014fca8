"""Neighbour discovery: what makes a message invalid, and which options are passed over."""

import pytest

from vrouter.stack.base.addresses import parse_ipv6, scoped
from vrouter.stack.wire import ndp, ndp_options
from vrouter.testing import frames as make

LOW, LOWER, GROUP = "fe80::1", "fe80::2", "ff02::1"
GLOBAL = "2001:db8::1"
MAC = bytes.fromhex("02000000010a")
PARSER = {
    133: ndp.RouterSolicitation,
    134: ndp.RouterAdvertisement,
    135: ndp.NeighbourSolicitation,
    136: ndp.NeighbourAdvertisement,
    137: ndp.Redirect,
}


def parse(message):
    return PARSER[message[0]].parse(message, 0, len(message))


def messages(options=b"", **wrong):
    return [
        make.router_solicitation(LOW, GROUP, options, **wrong),
        make.router_advertisement(LOW, GROUP, options, **wrong),
        make.neighbour_solicitation(LOW, GROUP, LOWER, options, **wrong),
        make.neighbour_advertisement(LOW, GROUP, LOWER, options, **wrong),
        make.redirect6(LOW, LOWER, LOWER, GLOBAL, options, **wrong),
    ]


@pytest.mark.parametrize("kind", [133, 134, 135, 136, 137])
class TestEveryMessage:
    """What RFC 4861 sections 6.1.1, 6.1.2, 7.1.1, 7.1.2 and 8.1 ask of each of the five."""

    def test_is_valid_without_options(self, kind):
        """Options are optional."""
        assert parse(messages()[kind - 133]) is not None

    def test_has_its_length(self, kind):
        """8, 16, 24, 24 and 40 bytes at least."""
        whole = messages()[kind - 133]
        assert len(whole) == {133: 8, 134: 16, 135: 24, 136: 24, 137: 40}[kind]
        assert [size for size in range(len(whole) + 1) if parse(whole[:1] + whole[1:size])] == [len(whole)]

    def test_has_code_0(self, kind):
        """Another code is not this message."""
        assert parse(messages(code=1)[kind - 133]) is None

    @pytest.mark.parametrize(
        "options",
        [
            make.nd_option(99, bytes(6), length=0),
            make.nd_option(99, bytes(6), length=2),
            make.nd_mtu(1500) + make.nd_option(99, bytes(6), length=0),
            bytes((99,)),
            bytes((99, 1, 0, 0, 0, 0, 0)),
            make.nd_option(99) * (ndp_options.MAX_OPTIONS + 1),
        ],
    )
    def test_has_options_of_right_lengths(self, kind, options):
        """Section 4.6: length 0 and overruns discard the message; so do too many."""
        assert parse(messages(options)[kind - 133]) is None

    def test_has_a_link_layer_address_of_ethernet(self, kind):
        """Section 4.6.1: another link's address discards the message, in the option that this message has a use for;
        the other one is not looked at, whatever it is (6.1.1, 6.1.2, 7.1.1, 7.1.2, 8.1)."""
        used, other = (1, 2) if kind < 136 else (2, 1)
        assert parse(messages(make.nd_option(used, bytes(14)))[kind - 133]) is None
        assert parse(messages(make.nd_option(other, bytes(14)))[kind - 133]) == parse(messages()[kind - 133])

    def test_may_have_unknown_options(self, kind):
        """Section 4.6: they are ignored; so are as many as are allowed."""
        assert parse(messages(make.nd_option(99, bytes(30)))[kind - 133]) == parse(messages()[kind - 133])
        assert parse(messages(make.nd_option(99) * ndp_options.MAX_OPTIONS)[kind - 133]) == parse(
            messages()[kind - 133]
        )

    def test_is_read_from_its_place_alone(self, kind):
        """Places outside the buffer are refused."""
        message = messages()[kind - 133]
        assert PARSER[kind].parse(b"\xee" + message + b"\xee", 1, 1 + len(message)) == parse(message)
        assert PARSER[kind].parse(message, -1, len(message)) is None
        assert PARSER[kind].parse(message, 0, len(message) + 1) is None


def test_targets_are_no_groups():
    """Sections 7.1.1, 7.1.2 and 8.1."""
    assert parse(make.neighbour_solicitation(LOW, GROUP, "ff02::5")) is None
    assert parse(make.neighbour_advertisement(LOW, GROUP, "ff02::5")) is None
    assert parse(make.redirect6(LOW, LOWER, LOWER, "ff05::5")) is None


def test_a_redirect_leads_to_a_router_of_the_link_or_to_the_destination():
    """Section 8.1: the target is a link-local address or the destination itself."""
    assert parse(make.redirect6(LOW, LOWER, LOWER, GLOBAL)) is not None
    assert parse(make.redirect6(LOW, LOWER, GLOBAL, GLOBAL)) is not None
    assert parse(make.redirect6(LOW, LOWER, "2001:db8::7", GLOBAL)) is None


def test_a_neighbour_solicitation():
    """Sections 4.3 and 4.6.1, RFC 7527 section 4.1; the first of several options counts."""
    options = (
        make.source_mac(MAC)
        + make.source_mac("02:00:00:00:00:99")
        + make.nd_nonce(b"sixsix")
        + make.nd_nonce(b"others")
    )
    found = parse(make.neighbour_solicitation(LOW, GROUP, LOWER, options))
    assert found == ndp.NeighbourSolicitation(parse_ipv6(LOWER), MAC, b"sixsix")
    assert parse(make.neighbour_solicitation(LOW, GROUP, LOWER)) == ndp.NeighbourSolicitation(parse_ipv6(LOWER))


@pytest.mark.parametrize("flag", ["router", "solicited", "override"])
def test_a_neighbour_advertisement(flag):
    """Section 4.4: each flag is its own."""
    message = make.neighbour_advertisement(LOW, GROUP, LOWER, mac=MAC, **{flag: True})
    found = ndp.NeighbourAdvertisement(parse_ipv6(LOWER), MAC, **{flag: True})
    assert parse(message) == found
    assert found.emit(parse_ipv6(LOW), parse_ipv6(GROUP)) == message


def test_zones_stay_behind():
    """The addresses of the stack carry zones; messages do not."""
    low, lower = scoped(parse_ipv6(LOW), 4), scoped(parse_ipv6(LOWER), 4)
    assert ndp.NeighbourSolicitation(lower, MAC).emit(low, low) == make.neighbour_solicitation(LOW, LOW, LOWER, mac=MAC)
    message = ndp.Redirect(lower, lower, MAC).emit(low, lower)
    assert message == make.redirect6(LOW, LOWER, LOWER, LOWER, mac=MAC)
    server = ndp.RouterAdvertisement(name_servers=[ndp.NameServers(9, [lower])]).emit(low, lower)
    assert parse(server).name_servers == [ndp.NameServers(9, [parse_ipv6(LOWER)])]


def test_a_redirect_quotes_whole_words():
    """Section 4.6.3: an option has a multiple of 8 bytes, and the packet is cut to it."""
    packet = make.ipv6_udp(LOWER, GLOBAL, 1, 2, b"0123456789")
    message = ndp.Redirect(parse_ipv6(LOWER), parse_ipv6(GLOBAL), MAC, packet).emit(parse_ipv6(LOW), parse_ipv6(LOWER))
    assert message == make.redirect6(LOW, LOWER, LOWER, GLOBAL, mac=MAC, packet=packet[:56])
    assert parse(message).redirected == packet[:56]


@pytest.mark.parametrize(
    ("flags", "managed", "other", "preference"),
    [
        (0x00, False, False, 0),
        (0x80, True, False, 0),
        (0x40, False, True, 0),
        (0x08, False, False, 1),
        (0x18, False, False, -1),
        (0x10, False, False, 0),
        (0x27, False, False, 0),
    ],
)
def test_flags_of_a_router_advertisement(flags, managed, other, preference):
    """Section 4.2; RFC 4191 section 2.2: the reserved preference is medium, other flags are ignored."""
    found = parse(make.router_advertisement(LOW, GROUP, flags=flags, lifetime=9, reachable=8, retrans=7, hop_limit=6))
    assert (found.managed, found.other, found.preference) == (managed, other, preference)
    assert (found.lifetime, found.reachable, found.retrans, found.hop_limit) == (9, 8, 7, 6)


def advertised(options):
    return parse(make.router_advertisement(LOW, GROUP, options))


def test_prefixes():
    """Section 4.6.2: bits behind the length are ignored, but for a whole address (RFC 6275 section 7.2)."""
    found = advertised(make.nd_prefix("2001:db8:0:1::5", 64, valid=10, preferred=5, flags=0x40))
    assert found.prefixes == [ndp.Prefix(parse_ipv6("2001:db8:0:1::"), 64, 10, 5, False, True, False)]
    found = advertised(make.nd_prefix("2001:db8:0:1::5", 64, valid=10, preferred=5, flags=0xA0))
    assert found.prefixes == [ndp.Prefix(parse_ipv6("2001:db8:0:1::5"), 64, 10, 5, True, False, True)]


@pytest.mark.parametrize(
    "option",
    [
        make.nd_prefix("2001:db8::", 129),
        make.nd_option(3, bytes(22)),
        make.nd_option(3, bytes(38)),
        make.nd_option(5, bytes(14)),
        make.nd_option(24, bytes((64, 0, 0, 0, 0, 9))),  # the prefix is not there
        make.nd_option(24, bytes((65, 0, 0, 0, 0, 9)) + bytes(8)),
        make.nd_option(24, bytes((129, 0, 0, 0, 0, 9)) + bytes(16)),
        make.nd_option(24, bytes((0, 0, 0, 0, 0, 9)) + bytes(24)),
        make.nd_option(24, bytes((0, 0x10, 0, 0, 0, 9))),  # reserved preference
        make.nd_option(25, bytes(6)),
        make.nd_option(25, bytes(14)),
        make.nd_option(25, bytes(30)),
        make.nd_option(31, bytes(6)),
        make.nd_option(31, bytes(14)),
        make.nd_option(31, bytes(6) + b"\7example"),
        make.nd_option(31, bytes(6) + b"\x40lan\0"),
        make.nd_option(31, bytes(6) + b"\xc0\x0c"),
        make.nd_option(31, bytes(6) + b"\3l\x1b[\0"),
        make.nd_option(31, bytes(6) + (b"\x3f" + b"a" * 63) * 4 + b"\0"),
        make.nd_option(38, bytes(6)),
        make.nd_option(38, bytes((0, 6)) + bytes(12)),
        make.nd_option(38, bytes(22)),
    ],
)
def test_options_that_cannot_be_right_are_passed_over(option):
    """The message stands, without them: RFC 4861 4.6.2, 4191 2.3, 8106 5.3.1, 8781 4."""
    assert advertised(option) == advertised(b"")


def test_routes_say_no_more_of_their_prefix_than_they_need():
    """RFC 4191 section 2.3: 8, 16 or 24 bytes; more than needed is read too."""
    prefix = parse_ipv6("2001:db8:1:2:3::")
    for length, size in ((0, 8), (1, 16), (64, 16), (65, 24), (128, 24)):
        route = ndp.RoutePrefix(prefix & ((1 << 128) - (1 << 128 - length)), length, 600, -1)
        assert len(route.encode()) == size
        assert advertised(route.encode()).routes == [route]
    longer = make.nd_option(24, bytes((32, 8, 0, 0, 0, 9)) + prefix.to_bytes(16, "big"))
    assert advertised(longer).routes == [ndp.RoutePrefix(parse_ipv6("2001:db8::"), 32, 9, 1)]


def test_a_search_list_is_padded_with_zeros():
    """RFC 8106 section 5.2, with the encoding of RFC 1035 section 3.1."""
    option = ndp.SearchList(7, ["lan", "example.net"]).encode()
    assert option == bytes((31, 4, 0, 0, 0, 0, 0, 7)) + b"\3lan\0\7example\3net\0" + bytes(6)
    assert advertised(option).search_lists == [ndp.SearchList(7, ["lan", "example.net"])]


@pytest.mark.parametrize("name", ["", ".", "a..b", "a b", "a" * 64, ".".join(["a" * 60] * 5), "ä", "*"])
def test_what_is_no_domain_name_is_not_advertised(name):
    """RFC 1035 section 2.3.4: labels of 1 to 63 octets, names of at most 255."""
    with pytest.raises(ValueError):
        ndp.SearchList(7, [name]).encode()


def test_a_search_list_has_an_end():
    """254 words of 8 bytes are what the length can tell."""
    with pytest.raises(ValueError, match="longer than 2032 bytes"):
        ndp.SearchList(7, ["a" * 60 + ".example"] * 30).encode()


@pytest.mark.parametrize(("asked", "told"), [(0, 0), (1, 8), (600, 600), (601, 608), (65528, 65528), (10**6, 65528)])
def test_the_lifetime_of_a_nat64_prefix_is_in_steps_of_eight(asked, told):
    """RFC 8781 section 4.1: rounded up, and no more than 65528 seconds."""
    option = ndp.Nat64Prefix(parse_ipv6("64:ff9b::"), 96, asked).encode()
    assert advertised(option).nat64 == [ndp.Nat64Prefix(parse_ipv6("64:ff9b::"), 96, told)]


def test_the_bits_of_a_nat64_prefix():
    """RFC 8781 section 4, byte by byte."""
    option = ndp.Nat64Prefix(parse_ipv6("2001:db8::"), 32, 800).encode()
    assert option == bytes.fromhex("2602 0325 20010db8 00000000 00000000")
