"""The frame builders against scapy, and each of their ways to be wrong."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scapy.compat import raw
from scapy.layers.inet import ICMP, IP, UDP, defragment
from scapy.layers.inet import fragment as scapy_fragment
from scapy.layers.l2 import ARP, Dot1Q, Ether
from scapy.packet import Raw

from vrouter.testing import frames

A, B = "10.0.1.2", "10.0.2.2"
MAC_A, MAC_B = "02:00:00:00:01:0a", "02:00:00:00:01:0b"

u8, u16, u32 = (st.integers(0, 2**bits - 1) for bits in (8, 16, 32))
macs = st.binary(min_size=6, max_size=6)
payloads = st.binary(max_size=64)


def text4(address):
    return ".".join(str(octet) for octet in address.to_bytes(4, "big"))


# Right ----------------------------------------------------------------------------------------------------------------


@given(dst=macs, src=macs, ethertype=st.integers(0x600, 0xFFFF), tci=u16, payload=payloads)
def test_ethernet_is_scapys(dst, src, ethertype, tci, payload):
    """Plain and tagged frames; a MAC address is bytes or text."""
    link = Ether(dst=dst.hex(":"), src=src.hex(":"), type=ethertype)
    assert frames.ethernet(dst, src, ethertype, payload) == raw(link / payload)
    assert frames.ethernet(dst.hex(":"), src.hex("-"), ethertype, payload) == raw(link / payload)
    tag = Dot1Q(prio=tci >> 13, dei=tci >> 12 & 1, vlan=tci & 0xFFF, type=ethertype)
    link = Ether(dst=dst.hex(":"), src=src.hex(":"))
    assert frames.ethernet(dst, src, ethertype, payload, vlan=tci) == raw(link / tag / payload)


@given(sha=macs, spa=u32, tha=macs, tpa=u32)
def test_arp_is_scapys(sha, spa, tha, tpa):
    """Request and reply; an IP address is an int or text."""
    request = ARP(op=1, hwsrc=sha.hex(":"), psrc=text4(spa), hwdst="00:00:00:00:00:00", pdst=text4(tpa))
    assert frames.arp_request(sha, spa, text4(tpa)) == raw(request)
    reply = ARP(op=2, hwsrc=sha.hex(":"), psrc=text4(spa), hwdst=tha.hex(":"), pdst=text4(tpa))
    assert frames.arp_reply(sha, text4(spa), tha, tpa) == raw(reply)


@given(
    src=u32,
    dst=u32,
    proto=u8,
    payload=payloads,
    ttl=u8,
    ident=u16,
    flags=st.integers(0, 7),
    offset=st.integers(0, 0x1FFF),
    tos=u8,
    options=st.integers(0, 10).flatmap(lambda words: st.binary(min_size=4 * words, max_size=4 * words)),
)
def test_ipv4_is_scapys(src, dst, proto, payload, ttl, ident, flags, offset, tos, options):
    """Every header that can be asked for is scapy's byte for byte."""
    built = frames.ipv4(
        src,
        text4(dst),
        proto,
        payload,
        ttl=ttl,
        ident=ident,
        reserved=bool(flags & 4),
        df=bool(flags & 2),
        mf=bool(flags & 1),
        offset=offset * 8,
        tos=tos,
        options=options,
    )
    header = IP(src=text4(src), dst=text4(dst), proto=proto, ttl=ttl, id=ident, flags=flags, frag=offset, tos=tos)
    header.options = [Raw(options)] if options else []
    assert built == raw(header / Raw(payload))


@given(src=u32, dst=u32, sport=u16, dport=u16, payload=payloads)
def test_udp_is_scapys(src, dst, sport, dport, payload):
    """The checksum over the pseudo-header too, a computed zero as ffff."""
    packet = IP(src=text4(src), dst=text4(dst), id=0) / UDP(sport=sport, dport=dport) / payload
    assert frames.ipv4_udp(src, dst, sport, dport, payload) == raw(packet)


@given(ident=u16, sequence=u16, payload=payloads, reply=st.booleans())
def test_echo_is_scapys(ident, sequence, payload, reply):
    """Requests and replies."""
    packet = IP(src=A, dst=B, id=0) / ICMP(type=0 if reply else 8, id=ident, seq=sequence) / payload
    assert frames.ipv4_echo(A, B, ident, sequence, payload, reply=reply) == raw(packet)


def test_error_quotes_what_fits_in_576_bytes():
    """RFC 1812 section 4.3.2.3: IP header, ICMP header and the quoted packet are at most 576 bytes."""
    probe = frames.ipv4_udp(A, B, 1, 2, bytes(1000))
    packet = frames.ipv4(B, A, frames.ICMP, frames.icmp_error(11, 0, probe))
    assert len(packet) == 576
    assert packet[28:] == probe[:548]
    assert frames.icmp_error(3, 4, probe, 1400, quote=28) == raw(ICMP(type=3, code=4, nexthopmtu=1400) / probe[:28])
    assert frames.icmp_error(12, 0, probe[:28], 20 << 24) == raw(ICMP(type=12, code=0, ptr=20) / probe[:28])


def test_a_frame_reads_from_the_outside_in():
    """Builders nest."""
    frame = frames.ethernet(
        MAC_B, MAC_A, frames.IPV4, frames.ipv4(A, B, frames.ICMP, frames.icmp_echo(7, 1), ttl=1), vlan=5
    )
    link = Ether(dst=MAC_B, src=MAC_A) / Dot1Q(vlan=5) / IP(src=A, dst=B, ttl=1, id=0) / ICMP(id=7, seq=1)
    assert frame == raw(link)


def test_padding():
    """IEEE 802.3: the least frame is 60 bytes and its check sequence."""
    frame = frames.ethernet(MAC_B, MAC_A, frames.ARP, frames.arp_request(MAC_A, A, B), pad=True)
    assert len(frame) == 60
    assert frame[42:] == bytes(18)
    long = frames.ethernet(MAC_B, MAC_A, 0x9000, bytes(100), pad=True)
    assert len(long) == 114


# Fragments ------------------------------------------------------------------------------------------------------------


@given(size=st.integers(1, 4000), mtu=st.integers(68, 1500), ident=u16)
def test_fragments_are_scapys(size, mtu, ident):
    """RFC 791 section 3.2: the same pieces as scapy's, and they give the datagram again."""
    payload = bytes(i & 0xFF for i in range(size))
    packet = frames.ipv4_udp(A, B, 1, 2, payload, ident=ident, ttl=9, tos=4)
    pieces = frames.fragments(packet, mtu)
    if len(packet) <= mtu:
        assert pieces == [packet]
        return
    assert pieces == [raw(piece) for piece in scapy_fragment(IP(packet), fragsize=(mtu - 20) // 8 * 8)]
    assert raw(defragment([IP(piece) for piece in pieces])[0]) == packet


def test_last_fragment_may_use_the_whole_mtu():
    """RFC 791 section 3.2: only what is not last must be a multiple of 8 bytes."""
    packet = frames.ipv4(A, B, 89, bytes(200))
    assert [len(piece) for piece in frames.fragments(packet, 118)] == [116, 116, 28]
    assert [len(piece) for piece in frames.fragments(frames.ipv4(A, B, 89, bytes(194)), 118)] == [116, 118]


def test_only_copied_options_go_into_later_fragments():
    """RFC 791 section 3.1: Router Alert has the copied flag, Record Route has not."""
    packet = frames.ipv4(A, B, 89, bytes(48), options=b"\x94\x04\x00\x00\x01\x07\x07\x04" + bytes(4))
    pieces = frames.fragments(packet, 60)
    assert [piece[0] for piece in pieces] == [0x48, 0x46]
    assert [len(piece) for piece in pieces] == [56, 48]
    assert pieces[0][20:32] == b"\x94\x04\x00\x00\x01\x07\x07\x04" + bytes(4)
    assert pieces[1][20:24] == b"\x94\x04\x00\x00"


def test_a_fragment_is_cut_again():
    """RFC 791 section 3.2: offsets go on from the fragment's own, and its last piece keeps its MF."""
    packet = frames.ipv4(A, B, 89, bytes(range(200)), ident=5)
    twice = [small for piece in frames.fragments(packet, 124) for small in frames.fragments(piece, 60)]
    offsets = [(int.from_bytes(piece[6:8], "big") & 0x1FFF) * 8 for piece in twice]
    more = [bool(piece[6] & 0x20) for piece in twice]
    assert offsets == [0, 40, 80, 104, 144, 184]
    assert more == [True] * 5 + [False]
    assert b"".join(piece[20:] for piece in twice) == bytes(range(200))


def test_what_cannot_be_cut_is_refused():
    """RFC 791 section 3.2: DF forbids it; and 8 bytes of data are the least."""
    with pytest.raises(ValueError, match="DF"):
        frames.fragments(frames.ipv4(A, B, 89, bytes(100), df=True), 68)
    with pytest.raises(ValueError, match="no room"):
        frames.fragments(frames.ipv4(A, B, 89, bytes(100)), 27)


# Wrong on demand ------------------------------------------------------------------------------------------------------


def _changed(good, bad):
    return [at for at, (a, b) in enumerate(zip(good, bad, strict=True)) if a != b]


@pytest.mark.parametrize(
    ("wrong", "places"),
    [
        ({"checksum": 0xBEEF}, [10, 11]),
        ({"version": 5}, [0, 10]),
        ({"ihl": 4}, [0, 10]),
        ({"total_length": 0x01FF}, [2, 3, 10, 11]),
    ],
)
def test_one_wrong_thing_in_an_ipv4_header(wrong, places):
    """What is told to be wrong is wrong, and nothing else: the checksum is right for the header as written."""
    good, bad = (frames.ipv4(A, B, 17, b"12345678", **fields) for fields in ({}, wrong))
    assert _changed(good, bad) == places
    if "checksum" not in wrong:
        assert frames.internet_checksum(bad[:20]) == 0


@pytest.mark.parametrize(
    ("wrong", "places"), [({"checksum": 0}, [6, 7]), ({"checksum": 0x1234}, [6, 7]), ({"length": 7}, [5, 6, 7])]
)
def test_one_wrong_thing_in_a_udp_header(wrong, places):
    """The checksum, absent or false, or the length."""
    good, bad = (frames.udp(A, B, 1, 2, b"abcdefgh", **fields) for fields in ({}, wrong))
    assert set(_changed(good, bad)) <= set(places)
    assert good != bad


@pytest.mark.parametrize(
    ("wrong", "places"),
    [({"htype": 6}, [1]), ({"ptype": 0x86DD}, [2, 3]), ({"hlen": 8}, [4]), ({"plen": 16}, [5]), ({"tha": MAC_A}, None)],
)
def test_one_wrong_thing_in_an_arp_packet(wrong, places):
    """Types and lengths, and a target hardware address where none is known."""
    changed = _changed(frames.arp_request(MAC_A, A, B), frames.arp_request(MAC_A, A, B, **wrong))
    assert changed == (places or [18, 22, 23])


def test_a_wrong_icmp_checksum():
    """The checksum alone."""
    assert set(_changed(frames.icmp_echo(1, 1), frames.icmp_echo(1, 1, checksum=0x0102))) == {2, 3}


@pytest.mark.parametrize("mac", ["02:00:00:00:01", b"\x02" * 7, ""])
def test_mistakes_in_the_test_itself_are_told(mac):
    """An address that is none is the test's mistake and not a hostile frame."""
    with pytest.raises(ValueError, match="MAC"):
        frames.ethernet(mac, MAC_A, 0x0800, b"")
    with pytest.raises(ValueError, match=r"10\.0\.1"):
        frames.ipv4("10.0.1", B, 17)
    with pytest.raises(ValueError, match="multiple of 8"):
        frames.ipv4(A, B, 17, offset=4)


def test_a_node_stands_for_its_address() -> None:
    """Wherever an IP address is taken, so is a thing with an ``addr``, such as a node of the lab."""

    class Station:
        addr = "10.0.0.7"

    assert frames.ipv4_udp(Station(), "10.0.0.8", 1, 2) == frames.ipv4_udp("10.0.0.7", "10.0.0.8", 1, 2)
    assert frames.ip_int(Station()) == 0x0A000007
