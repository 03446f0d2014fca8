"""The matchers: what they compare, what they overlook, and what they say when they do not match."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vrouter.testing import frames, match
from vrouter.testing.match import Frame, arp, decode, describe, icmp4, ipv4, udp

A, B, R = "10.0.1.2", "10.0.2.2", "10.0.1.1"
MAC_A, MAC_R = "02:00:00:00:01:0a", "02:00:00:00:01:01"

PROBE = frames.ipv4_udp(A, B, 4000, 53, b"question", ttl=1, ident=9)
ERROR = frames.ipv4(R, A, frames.ICMP, frames.icmp_error(11, 0, PROBE), tos=0xC0)


def framed(packet, vlan=None):
    return frames.ethernet(MAC_A, MAC_R, frames.IPV4, packet, vlan=vlan)


# Equality -------------------------------------------------------------------------------------------------------------


def test_a_matcher_stands_in_a_list_of_frames():
    """The comparison that tests write, on either side, for any kind of bytes."""
    received = [framed(PROBE), bytearray(framed(ERROR)), memoryview(ERROR)]
    assert received == [udp(dport=53), icmp4(type=11, code=0, src=R, quotes=PROBE), icmp4(type=11)]
    assert received != [udp(dport=54), icmp4(), icmp4()]
    assert received != [udp(), icmp4()]
    assert [udp(), icmp4(), icmp4()] == received


def test_a_matcher_is_equal_to_bytes_alone():
    """Anything else is different, without an error."""
    assert udp() != "text"
    assert udp() != 5
    assert udp() != None  # noqa: E711 (the operator is what is tested)
    with pytest.raises(TypeError, match="unhashable"):
        {udp()}


@pytest.mark.parametrize(
    ("matcher", "right", "wrong"),
    [
        (udp, {"src": A}, {"src": B}),
        (udp, {"dst": 0x0A000202}, {"dst": A}),
        (udp, {"sport": 4000}, {"sport": 4001}),
        (udp, {"dport": 53}, {"dport": 0}),
        (udp, {"payload": b"question"}, {"payload": b""}),
        (udp, {"ttl": 1}, {"ttl": 64}),
        (udp, {"tos": 0}, {"tos": 4}),
        (udp, {"ident": 9}, {"ident": 0}),
        (udp, {"df": False}, {"df": True}),
        (udp, {"options": b""}, {"options": b"\x94\x04\x00\x00"}),
        (udp, {"checksum": int.from_bytes(PROBE[26:28], "big")}, {"checksum": 0}),
        (udp, {"eth_src": MAC_R}, {"eth_src": MAC_A}),
        (udp, {"eth_dst": frames.mac_bytes(MAC_A)}, {"eth_dst": MAC_R}),
        (udp, {"vlan": 7}, {"vlan": 8}),
        (ipv4, {"proto": 17}, {"proto": 1}),
        (ipv4, {"offset": 0}, {"offset": 8}),
        (ipv4, {"mf": False}, {"mf": True}),
        (ipv4, {"total_length": 36}, {"total_length": 37}),
        (ipv4, {"payload": PROBE[20:]}, {"payload": PROBE[:20]}),
        (ipv4, {"src": A, "dst": B, "ttl": 1}, {"src": A, "dst": B, "ttl": 2}),
    ],
)
def test_fields_of_a_udp_frame(matcher, right, wrong):
    """A named field must agree; the others may be anything."""
    frame = framed(PROBE, vlan=7)
    assert frame == matcher(**right)
    assert frame != matcher(**wrong)


@pytest.mark.parametrize(
    ("right", "wrong"),
    [
        ({"type": 8}, {"type": 0}),
        ({"code": 0}, {"code": 1}),
        ({"src": A}, {"src": B}),
        ({"dst": B}, {"dst": A}),
        ({"ident": 3}, {"ident": 77}),
        ({"sequence": 4}, {"sequence": 3}),
        ({"rest": 0x00030004}, {"rest": 0}),
        ({"payload": b"ping"}, {"payload": b"pong"}),
        ({"ttl": 64}, {"ttl": 63}),
        ({"tos": 8}, {"tos": 0}),
        ({"df": True}, {"df": False}),
    ],
)
def test_fields_of_an_echo(right, wrong):
    """``ident`` is the echo's own and not the IP header's 77."""
    packet = frames.ipv4(A, B, frames.ICMP, frames.icmp_echo(3, 4, b"ping"), ident=77, tos=8, df=True)
    assert packet == icmp4(**right)
    assert packet != icmp4(**wrong)


@pytest.mark.parametrize(
    ("right", "wrong"),
    [
        ({"op": 1}, {"op": 2}),
        ({"sha": MAC_A}, {"sha": MAC_R}),
        ({"spa": A}, {"spa": R}),
        ({"tha": bytes(6)}, {"tha": MAC_R}),
        ({"tpa": R}, {"tpa": A}),
        ({"eth_dst": frames.BROADCAST}, {"eth_dst": MAC_R}),
        ({"eth_src": MAC_A}, {"eth_src": MAC_R}),
    ],
)
def test_fields_of_an_arp_frame(right, wrong):
    """Addresses as text or bytes; padding is overlooked."""
    frame = frames.ethernet(frames.BROADCAST, MAC_A, frames.ARP, frames.arp_request(MAC_A, A, R), pad=True)
    assert frame == arp(**right)
    assert frame != arp(**wrong)


def test_another_protocol_does_not_match():
    """A matcher without fields asks for its protocol."""
    request = frames.ethernet(frames.BROADCAST, MAC_A, frames.ARP, frames.arp_request(MAC_A, A, R))
    assert [m == framed(PROBE) for m in (arp(), ipv4(), udp(), icmp4())] == [False, True, True, False]
    assert [m == framed(ERROR) for m in (arp(), ipv4(), udp(), icmp4())] == [False, True, False, True]
    assert [m == request for m in (arp(), ipv4(), udp(), icmp4())] == [True, False, False, False]


def test_a_fragment_is_an_ipv4_packet_only():
    """RFC 791 section 3.2: pieces of a datagram are no datagrams, the first one neither."""
    first, last = frames.fragments(frames.ipv4_udp(A, B, 1, 2, bytes(100)), 84)
    assert first != udp()
    assert [first, last] == [ipv4(offset=0, mf=True), ipv4(offset=64, mf=False)]


@pytest.mark.parametrize(
    "packet",
    [
        frames.ipv4(A, B, 17, frames.udp(A, B, 1, 2, b"x"), checksum=1),
        frames.ipv4(A, B, 17, frames.udp(A, B, 1, 2, b"x", checksum=1)),
        frames.ipv4(A, B, 1, frames.icmp_echo(checksum=1)),
    ],
)
def test_bad_checksums_do_not_match_unless_asked(packet):
    """A router that sends a wrong checksum passes no test by accident."""
    assert packet != ipv4(src=A)
    assert packet == ipv4(src=A, intact=False)


def test_a_missing_udp_checksum_is_no_fault():
    """RFC 768: 0 means that none was made."""
    assert frames.ipv4(A, B, 17, frames.udp(A, B, 1, 2, b"x", checksum=0)) == udp(checksum=0)


# Quotes ---------------------------------------------------------------------------------------------------------------


def error(quoted):
    return frames.ipv4(R, A, frames.ICMP, frames.icmp(11, 0, 0, quoted))


@pytest.mark.parametrize("size", [28, 30, len(PROBE)])
def test_quotes_of_any_length_from_eight_octets_on(size):
    """RFC 792 asks for the header and 8 octets, RFC 1812 section 4.3.2.3 for more."""
    assert error(PROBE[:size]) == icmp4(quotes=PROBE)
    assert error(PROBE[:size]) == icmp4(quotes=framed(PROBE, vlan=3))


def test_quotes_overlook_what_routers_change():
    """TTL and header checksum differ at each hop; the padding of the frame is not quoted."""
    changed = bytearray(PROBE)
    changed[8], changed[10], changed[11] = 7, 0xAA, 0x55
    assert error(bytes(changed)) == icmp4(quotes=framed(PROBE) + bytes(10))


@pytest.mark.parametrize("at", [at for at in range(len(PROBE)) if at not in (8, 10, 11)])
def test_quotes_overlook_nothing_else(at):
    """RFC 1122 section 3.2.2: header and data must be unchanged."""
    changed = bytearray(PROBE)
    changed[at] ^= 1
    assert error(bytes(changed)) != icmp4(quotes=PROBE)


@pytest.mark.parametrize("quoted", [b"", PROBE[:20], PROBE[:27], PROBE + b"x"])
def test_quotes_too_short_or_too_long(quoted):
    """Fewer than 8 octets of data, or more than the packet had."""
    assert error(quoted) != icmp4(quotes=PROBE)


def test_a_small_packet_is_quoted_whole():
    """A packet without 8 octets of data is quoted with those it has."""
    small = frames.ipv4(A, B, 89, b"abc")
    assert error(small) == icmp4(quotes=small)
    assert error(small[:-1]) != icmp4(quotes=small)


def test_quoting_what_is_no_packet_is_the_tests_mistake():
    """An ARP frame cannot be the subject of an ICMP error."""
    with pytest.raises(ValueError, match="ARP who-has"):
        icmp4(quotes=frames.ethernet(frames.BROADCAST, MAC_A, frames.ARP, frames.arp_request(MAC_A, A, R)))


# What is said ---------------------------------------------------------------------------------------------------------


def test_repr_tells_the_fields_and_after_a_mismatch_the_difference():
    """A failing assertion shows what was wanted, what came, and every field that differs."""
    matcher = icmp4(type=11, code=1, src=B, quotes=PROBE)
    wanted = "icmp4(type=11, code=1, src=10.0.2.2, quotes=IP 10.0.1.2.4000 > 10.0.2.2.53: UDP, length 8, ttl 1, id 9)"
    assert repr(matcher) == wanted
    assert ERROR != matcher
    assert repr(matcher) == f"<{wanted} met {describe(ERROR)}: code is 0, not 1; src is 10.0.1.1, not 10.0.2.2>"
    assert frames.ipv4(B, A, 1, frames.icmp_error(11, 1, PROBE)) == matcher
    assert repr(matcher) == wanted


@pytest.mark.parametrize(
    ("matcher", "data", "said"),
    [
        (udp(sport=1), framed(ERROR), ["no udp in it"]),
        (arp(sha=MAC_A), frames.ethernet(MAC_A, MAC_R, frames.ARP, b"\0" * 10), ["no arp in it", "ARP cut short"]),
        (udp(vlan=5), framed(PROBE), ["vlan is None, not 5"]),
        (udp(eth_src=MAC_A), PROBE, ["no eth_src in it"]),
        (udp(eth_src=MAC_A), framed(PROBE), [f"eth_src is {MAC_R}, not {MAC_A}"]),
        (icmp4(quotes=PROBE), error(PROBE[:24]), ["quotes 24 bytes, not 28 or more"]),
        (icmp4(quotes=PROBE), error(b"\x46" + PROBE[1:]), ["quoted byte 0 is 0x46, not 0x45"]),
        (icmp4(quotes=PROBE), error(PROBE + b"!"), ["quotes 37 bytes of a packet of 36"]),
        (ipv4(), frames.ipv4(A, B, 89, checksum=1), ["bad IPv4 header checksum"]),
    ],
)
def test_differences(matcher, data, said):
    """Each difference in words."""
    assert matcher.differences(data) == said


@pytest.mark.parametrize(
    ("data", "line"),
    [
        (PROBE, "IP 10.0.1.2.4000 > 10.0.2.2.53: UDP, length 8, ttl 1, id 9"),
        (
            framed(PROBE, vlan=7),
            "02:00:00:00:01:01 > 02:00:00:00:01:0a vlan 7 IP 10.0.1.2.4000 > 10.0.2.2.53: UDP, length 8, ttl 1, id 9",
        ),
        (
            ERROR,
            "IP 10.0.1.1 > 10.0.1.2: ICMP time exceeded, code 0, quoting [36 bytes of 10.0.1.2 > 10.0.2.2 proto 17"
            " ports 4000 > 53], ttl 64, tos 0xc0",
        ),
        (
            frames.ipv4(R, A, 1, frames.icmp_error(3, 4, b"", 1400)),
            "IP 10.0.1.1 > 10.0.1.2: ICMP unreachable, code 4, rest 0x00000578, quoting 0 bytes, ttl 64",
        ),
        (
            frames.ipv4_echo(A, B, 3, 4, b"ping", reply=True),
            "IP 10.0.1.2 > 10.0.2.2: ICMP echo reply, id 3, seq 4, length 4, ttl 64",
        ),
        (frames.ipv4(A, B, 1, frames.icmp(40, 2)), "IP 10.0.1.2 > 10.0.2.2: ICMP type 40, code 2, ttl 64"),
        (
            frames.ipv4(A, B, 89, b"12345678", ident=5, df=True, mf=True, offset=80, options=b"\x94\x04\0\0"),
            "IP 10.0.1.2 > 10.0.2.2: proto 89, length 8, ttl 64, id 5, DF, fragment 80+, options 94040000",
        ),
        (
            frames.ethernet(frames.BROADCAST, MAC_A, frames.ARP, frames.arp_request(MAC_A, A, R)),
            f"{MAC_A} > ff:ff:ff:ff:ff:ff ARP who-has 10.0.1.1 tell 10.0.1.2",
        ),
        (
            frames.ethernet(MAC_A, MAC_R, frames.ARP, frames.arp_reply(MAC_R, R, MAC_A, A)),
            f"{MAC_R} > {MAC_A} ARP reply 10.0.1.1 is-at {MAC_R} to 10.0.1.2",
        ),
        (
            frames.ethernet(MAC_A, MAC_R, frames.ARP, frames.arp(9, MAC_R, R, MAC_A, A)),
            f"{MAC_R} > {MAC_A} ARP op 9 from 10.0.1.1 to 10.0.1.2",
        ),
        (frames.ethernet(MAC_A, MAC_R, 0x88CC, b"lldp"), f"{MAC_R} > {MAC_A} ethertype 0x88cc, length 4"),
        (b"\0" * 5, "[bad: a frame of 5 bytes]"),
        (b"", "[bad: a frame of 0 bytes]"),
        (
            frames.ipv4(A, B, 89, b"", total_length=999),
            "IP 10.0.1.2 > 10.0.2.2: proto 89, length 0, ttl 64 [bad: IPv4 lengths (header 20, total 999, there 20)]",
        ),
        (
            frames.ipv4(A, B, 17, frames.udp(A, B, 1, 2, length=7)),
            "IP 10.0.1.2 > 10.0.2.2: proto 17, length 8, ttl 64 [bad: UDP length]",
        ),
        (
            frames.ethernet(MAC_A, MAC_R, frames.ARP, frames.arp_request(MAC_A, A, R, hlen=8)),
            f"{MAC_R} > {MAC_A} ethertype 0x0806, length 28"
            " [bad: ARP of other types or lengths than Ethernet's and IPv4's]",
        ),
    ],
)
def test_describe(data, line):
    """One line for each kind of frame, right or broken."""
    assert describe(data) == line


def test_a_frame_is_its_bytes_and_prints_as_its_description():
    """``Frame`` changes how bytes print and nothing else."""
    frame = Frame(PROBE)
    assert frame == PROBE
    assert hash(frame) == hash(PROBE)
    assert frame == udp(dport=53)
    assert f"{[frame]}" == f"[<{describe(PROBE)}>]"


def test_a_frame_to_an_address_that_looks_like_a_version():
    """A destination of 45:… is a frame when an EtherType says so; a packet of a wrong length is a packet."""
    frame = frames.ethernet("45:00:00:99:00:01", MAC_R, frames.IPV4, PROBE)
    assert decode(frame).layers["ethernet"]["eth_dst"] == bytes.fromhex("450000990001")
    assert frame == udp(dport=53)
    assert set(decode(frames.ipv4("8.0.1.2", B, 89, b"1")).layers) == {"ipv4"}
    assert set(decode(frames.ipv4(A, B, 89, b"1", total_length=500)).layers) == {"ipv4"}


@given(
    data=st.one_of(
        st.binary(max_size=120),
        st.binary(max_size=80).map(lambda tail: bytes(12) + b"\x08\x00" + tail),
        st.binary(max_size=80).map(lambda tail: bytes(12) + b"\x08\x06\0\1\x08\0\6\4" + tail),
        st.tuples(st.integers(0, len(ERROR)), st.integers(0, 255), st.integers(0, len(ERROR))).map(
            lambda c: framed((ERROR[: c[0]] + bytes([c[1]]) + ERROR[c[0] + 1 :])[: c[2]])
        ),
    )
)
def test_any_bytes_are_described_and_compared(data):
    """Hostile frames are what is tested with this, so nothing raises."""
    assert isinstance(describe(data), str)
    assert "\n" not in describe(data)
    for matcher in (arp(op=1, vlan=1), ipv4(ttl=3), udp(sport=1), icmp4(quotes=PROBE), match.Ipv4(intact=False)):
        assert (matcher == data) is (matcher.differences(data) == [])
        assert isinstance(repr(matcher), str)
