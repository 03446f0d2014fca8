"""The codecs against slow twins, against scapy as an independent builder and parser, and against any bytes at all."""

from hypothesis import example, given
from hypothesis import strategies as st
from scapy.compat import raw
from scapy.layers.inet import ICMP, IP, UDP, IPerror, IPOption_RR
from scapy.layers.inet6 import IPv6
from scapy.layers.l2 import ARP, Dot1Q, Ether
from scapy.packet import Raw

from vrouter.stack.wire import arp, checksum, ethernet, icmp, ipv4, ipv4_options, udp, vnet

u4, u8, u16, u32 = (st.integers(0, 2**bits - 1) for bits in (4, 8, 16, 32))
addresses = u32
macs = st.binary(min_size=6, max_size=6)
payloads = st.binary(max_size=64)
kinds = st.sampled_from([bytes, bytearray, memoryview])


def text4(address):
    return ".".join(str(octet) for octet in address.to_bytes(4, "big"))


def twin_sum(data, initial=0):
    """RFC 1071 section 1, word by word, as it is written there."""
    total = initial
    for at in range(0, len(data) - 1, 2):
        total += data[at] * 256 + data[at + 1]
    if len(data) % 2:
        total += data[-1] * 256
    while total > 0xFFFF:
        total = (total & 0xFFFF) + (total >> 16)
    return total


def twin_update(csum, old, new):
    """RFC 1624 section 3, equation 3: HC' = ~(~HC + ~m + m')."""
    total = (csum ^ 0xFFFF) + (old ^ 0xFFFF) + new
    while total > 0xFFFF:
        total = (total & 0xFFFF) + (total >> 16)
    return total ^ 0xFFFF


# Checksums ------------------------------------------------------------------------------------------------------------

corner_bytes = st.lists(st.sampled_from([0, 0xFF, 1, 0xFE, 0x80]), max_size=40).map(bytes)


@given(before=payloads, data=st.one_of(st.binary(max_size=200), corner_bytes), after=payloads, initial=u16, kind=kinds)
def test_sum_equals_word_by_word_addition(before, data, after, initial, kind):
    """RFC 1071 section 1: any place in any buffer, any length, any initial sum, zeros and ones included."""
    start, end = len(before), len(before) + len(data)
    buf = kind(before + data + after)
    total = twin_sum(data, initial)
    assert checksum.ones_sum(buf, start, end, initial) == total
    assert checksum.checksum(buf, start, end, initial) == 0xFFFF - total
    assert checksum.is_valid(buf, start, end, initial) == (total == 0xFFFF)


@given(seed=st.binary(min_size=1, max_size=7), size=st.integers(2000, 70000), initial=u16)
def test_sum_of_long_buffers(seed, size, initial):
    """Lengths at which the sum is made in pieces."""
    data = (seed * (size // len(seed) + 1))[:size]
    assert checksum.ones_sum(data, 0, size, initial) == twin_sum(data, initial)


@given(words=st.lists(u16, min_size=2, max_size=12), at=st.integers(0, 11), new=u16)
@example(words=[0xCD7A, 0x5555], at=1, new=0x3285)
@example(words=[0x4500, 0xBAFF], at=1, new=0xBA00)
@example(words=[0x4500, 0x0000], at=1, new=0xFFFF)
@example(words=[0x4500, 0xFFFF], at=1, new=0x0000)
def test_update16_equals_recomputation(words, at, new):
    """RFC 1624 section 3: a changed word, in a message that is not all zeros before and after."""
    words[0] |= 0x4000
    at = 1 + at % (len(words) - 1)
    before = b"".join(word.to_bytes(2, "big") for word in words)
    after = before[: 2 * at] + new.to_bytes(2, "big") + before[2 * at + 2 :]
    csum = 0xFFFF - twin_sum(before)
    updated = checksum.update16(csum, words[at], new)
    assert updated == 0xFFFF - twin_sum(after)
    assert updated == twin_update(csum, words[at], new)


@given(head=st.integers(1, 0xFFFF), old=u32, new=u32)
@example(head=0x4500, old=0, new=0xFFFFFFFF)
@example(head=0x4500, old=0xFFFFFFFF, new=0)
def test_update32_equals_recomputation(head, old, new):
    """RFC 1624 section 3 for two words at once."""
    before, after = (head.to_bytes(2, "big") + value.to_bytes(4, "big") for value in (old, new))
    assert checksum.update32(0xFFFF - twin_sum(before), old, new) == 0xFFFF - twin_sum(after)


@given(src=addresses, dst=addresses, proto=st.integers(1, 255), length=u16)
def test_pseudo_header_equals_its_bytes(src, dst, proto, length):
    """RFC 768: the pseudo-header as drawn."""
    head = src.to_bytes(4, "big") + dst.to_bytes(4, "big") + bytes([0, proto]) + length.to_bytes(2, "big")
    assert checksum.pseudo_header(src, dst, proto, length) == twin_sum(head)


# Headers against scapy ------------------------------------------------------------------------------------------------


@given(dst=macs, src=macs, ethertype=st.integers(0x600, 0xFFFF), tci=u16, payload=payloads, off=st.integers(0, 9))
def test_ethernet(dst, src, ethertype, tci, payload, off):
    """Headers and tags are those of scapy, both ways."""

    def colons(mac):
        return mac.hex(":")

    plain = raw(Ether(dst=colons(dst), src=colons(src), type=ethertype) / payload)
    buf = bytearray(off) + bytearray(14) + payload
    ethernet.emit(buf, off, dst, src, ethertype)
    assert bytes(buf[off:]) == plain
    assert (ethernet.dst(buf, off), ethernet.src(buf, off), ethernet.ethertype(buf, off)) == (dst, src, ethertype)
    tagged = raw(
        Ether(dst=colons(dst), src=colons(src))
        / Dot1Q(prio=tci >> 13, dei=tci >> 12 & 1, vlan=tci & 0xFFF, type=ethertype)
    )
    assert ethernet.ethertype(tagged, 0) == ethernet.ETHERTYPE_VLAN
    assert (ethernet.vlan_tci(tagged, 0), ethernet.vlan_ethertype(tagged, 0)) == (tci, ethertype)


@given(op=u16, sha=macs, spa=addresses, tha=macs, tpa=addresses, off=st.integers(0, 9), kind=kinds)
def test_arp(op, sha, spa, tha, tpa, off, kind):
    """What scapy builds is parsed, and what is emitted is what scapy builds."""
    built = raw(ARP(op=op, hwsrc=sha.hex(":"), psrc=text4(spa), hwdst=tha.hex(":"), pdst=text4(tpa), hwlen=6, plen=4))
    value = arp.Arp(op, sha, spa, tha, tpa)
    assert arp.Arp.parse(kind(bytes(off) + built), off, off + 28) == value
    buf = bytearray(off + 28)
    value.emit(buf, off)
    assert bytes(buf[off:]) == built


option_areas = st.integers(0, 10).flatmap(lambda words: st.binary(min_size=4 * words, max_size=4 * words))
headers = st.fixed_dictionaries(
    {
        "total_length": u16,
        "ident": u16,
        "flags_fragment": u16,
        "ttl": u8,
        "proto": u8,
        "src": addresses,
        "dst": addresses,
        "tos": u8,
        "options": option_areas,
    }
)


@given(fields=headers, off=st.integers(0, 9), kind=kinds)
def test_ipv4_header(fields, off, kind):
    """The header is scapy's byte for byte, the checksum too, and the accessors read back what was written."""
    buf = bytearray(b"\xa5" * (off + 60))
    options = fields["options"]
    size = ipv4.emit_header(buf, off, **fields)
    assert size == 20 + len(options)
    assert bytes(buf[off : off + size]) == raw(
        IP(
            len=fields["total_length"],
            id=fields["ident"],
            flags=fields["flags_fragment"] >> 13,
            frag=fields["flags_fragment"] & 0x1FFF,
            ttl=fields["ttl"],
            proto=fields["proto"],
            src=text4(fields["src"]),
            dst=text4(fields["dst"]),
            tos=fields["tos"],
            options=[Raw(options)] if options else [],
        )
    )
    read = kind(bytes(buf))
    fixed = {name: value for name, value in fields.items() if name != "options"}
    assert ipv4.header_is_valid(read, off, size)
    assert {name: getattr(ipv4, name)(read, off) for name in fixed} == fixed
    assert ipv4.version_ihl(read, off) == 0x40 | size // 4


@given(fields=headers)
@example(fields={
    "total_length": 0, "ident": 0, "flags_fragment": 0, "ttl": 1, "proto": 0xFF, "src": 0xBBFF, "dst": 0, "tos": 0,
    "options": b"",
})  # fmt: skip
def test_decrement_ttl_equals_the_full_sum(fields):
    """RFC 1624 section 3: any header, with options too, is after the step what it would be when built anew."""
    fields["ttl"] = fields["ttl"] or 1
    buf, anew = bytearray(60), bytearray(60)
    size = ipv4.emit_header(buf, 0, **fields)
    ipv4.emit_header(anew, 0, **(fields | {"ttl": fields["ttl"] - 1}))
    assert ipv4.decrement_ttl(buf, 0) == fields["ttl"] - 1
    assert buf == anew
    assert ipv4.header_is_valid(buf, 0, size)


@given(high=u8, low=u8, ttl=st.integers(1, 255))
def test_decrement_ttl_equals_equation_three(high, low, ttl):
    """RFC 1624 section 3: whatever stands in the checksum field, right or wrong, changes as equation 3 says."""
    buf = bytearray(20)
    buf[8:12] = bytes([ttl, 1, high, low])
    ipv4.decrement_ttl(buf, 0)
    assert buf[8] == ttl - 1
    assert ipv4.header_checksum(buf, 0) == twin_update(high << 8 | low, ttl << 8 | 1, (ttl - 1) << 8 | 1)


@given(sport=u16, dport=u16, src=addresses, dst=addresses, payload=st.binary(max_size=300), off=st.integers(0, 9))
def test_udp(sport, dport, src, dst, payload, off):
    """Header and checksum are scapy's, over IPv4."""
    built = raw(IP(src=text4(src), dst=text4(dst)) / UDP(sport=sport, dport=dport) / payload)[20:]
    buf = bytearray(b"\xa5" * (off + 8)) + payload
    udp.emit(buf, off, len(buf), sport, dport, src, dst)
    assert bytes(buf[off:]) == built
    assert (udp.src_port(buf, off), udp.dst_port(buf, off), udp.length(buf, off)) == (sport, dport, 8 + len(payload))
    assert checksum.is_valid(buf, off, len(buf), checksum.pseudo_header(src, dst, 17, 8 + len(payload)))


@given(sport=u16, dport=u16, src=st.integers(0, 2**128 - 1), dst=st.integers(0, 2**128 - 1), payload=payloads)
def test_udp_over_ipv6(sport, dport, src, dst, payload):
    """RFC 8200 section 8.1: the same code over addresses of 128 bits."""

    def text6(address):
        return address.to_bytes(16, "big").hex(":", 2)

    built = raw(IPv6(src=text6(src), dst=text6(dst)) / UDP(sport=sport, dport=dport) / payload)[40:]
    buf = bytearray(8) + payload
    udp.emit(buf, 0, len(buf), sport, dport, src, dst, bits=128)
    assert bytes(buf) == built


@given(kind=u8, code=u8, rest=u32, payload=st.binary(max_size=300), off=st.integers(0, 9))
def test_icmp(kind, code, rest, payload, off):
    """An echo is scapy's byte for byte; any message is valid and is read back."""
    built = raw(ICMP(type=8, code=code, id=rest >> 16, seq=rest & 0xFFFF) / payload)
    buf = bytearray(b"\xa5" * (off + 8)) + payload
    icmp.emit(buf, off, len(buf), 8, code, rest)
    assert bytes(buf[off:]) == built
    icmp.emit(buf, off, len(buf), kind, code, rest)
    assert checksum.is_valid(buf, off, len(buf))
    assert (icmp.type_(buf, off), icmp.code(buf, off), icmp.rest(buf, off)) == (kind, code, rest)
    assert (icmp.ident(buf, off), icmp.sequence(buf, off)) == (rest >> 16, rest & 0xFFFF)


@given(src=addresses, dst=addresses, sport=u16, dport=u16, ident=u16, payload=payloads, cut=st.integers(28, 100))
def test_quoted_packet_against_scapy(src, dst, sport, dport, ident, payload, cut):
    """RFC 792: what scapy reads from a quoted packet is what QuotedPacket holds."""
    packet = raw(IP(src=text4(src), dst=text4(dst), id=ident) / UDP(sport=sport, dport=dport) / payload)[:cut]
    quoted = icmp.QuotedPacket.parse(packet, 0, len(packet))
    seen = IPerror(packet)
    assert quoted == icmp.QuotedPacket(src, dst, 17, sport, dport, ident, 28 + len(payload), 0, packet[20:28])
    assert (seen.src, seen.dst, seen.proto, seen.id, seen.len) == (text4(src), text4(dst), 17, ident, 28 + len(payload))


@given(fields=st.tuples(u8, u8, u16, u16, u16, u16, u16), off=st.integers(0, 9))
def test_vnet(fields, off):
    """A header is read as it was written."""
    header = vnet.VnetHeader(*fields)
    buf = bytearray(off + 12)
    header.emit(buf, off)
    assert vnet.VnetHeader.parse(buf, off) == header


# Any bytes ------------------------------------------------------------------------------------------------------------

hostile = st.tuples(
    st.one_of(st.binary(max_size=90), st.binary(max_size=80).map(lambda tail: b"\x45\x00\x00\x1c" + tail)),
    st.integers(0, 100),
    st.integers(0, 120),
    kinds,
)


@given(case=hostile)
def test_values_of_any_bytes(case):
    """Parsing never raises: garbage is a value or None, and a value lies within the bytes it was parsed from."""
    data, off, end, kind = case
    buf = kind(data)
    packet = arp.Arp.parse(buf, off, end)
    assert packet is None or off + 28 <= min(end, len(data))
    quoted = icmp.QuotedPacket.parse(buf, off, end)
    assert quoted is None or off + 20 + len(quoted.data) <= min(end, len(data))
    header = vnet.VnetHeader.parse(buf, off)
    assert (header is None) == (off + 12 > len(data))


@given(case=hostile)
def test_values_of_any_valid_beginning_cut_anywhere(case):
    """Negative and crossed offsets are refused as well."""
    data, off, end, kind = case
    buf = kind(data)
    assert arp.Arp.parse(buf, -1 - off, end) is None
    assert icmp.QuotedPacket.parse(buf, -1 - off, end) is None
    assert vnet.VnetHeader.parse(buf, -1 - off) is None
    assert arp.Arp.parse(buf, end + 1, end) is None
    assert icmp.QuotedPacket.parse(buf, end + 1, end) is None


def twin_options(data):
    """The option area by the letter of RFC 791 section 3.1: a list, or the place of what cannot be read."""
    found, at = [], 0
    while at < len(data):
        if data[at] == 0:
            return found
        if data[at] == 1:
            at += 1
        elif at + 1 == len(data) or data[at + 1] < 2 or at + data[at + 1] > len(data):
            return at
        else:
            found.append((data[at], at, data[at + 1]))
            at += data[at + 1]
    return found


tidy_option = st.one_of(
    st.just(b"\x01"),
    st.tuples(st.integers(2, 255), st.binary(max_size=9)).map(lambda o: bytes([o[0], len(o[1]) + 2]) + o[1]),
)
areas = st.one_of(
    st.binary(max_size=40),
    st.tuples(st.lists(tidy_option, max_size=5), st.binary(max_size=3)).map(lambda p: (b"".join(p[0]) + p[1])[:40]),
)


@given(area=areas, kind=kinds, off=st.integers(0, 20))
def test_options_of_any_bytes(area, kind, off):
    """Any option area is read as its twin reads it, wherever it lies."""
    expected = twin_options(area)
    if isinstance(expected, int):
        expected += off
    else:
        expected = [(number, at + off, size) for number, at, size in expected]
    assert ipv4_options.parse(kind(bytes(off) + area + b"\xff\xff"), off, off + len(area)) == expected


@given(area=areas)
def test_fragment_options_are_sound_and_only_the_copied_ones(area):
    """RFC 791 section 3.2: whole words, sound, in order, and every one with the copied flag; no longer than before."""
    later = ipv4_options.fragment_options(area)
    found = ipv4_options.parse(later, 0, len(later))
    assert len(later) % 4 == 0
    assert len(later) <= (len(area) + 3) // 4 * 4
    assert isinstance(found, list)
    first = twin_options(area)
    if isinstance(first, int):
        first = twin_options(area[:first])
    wanted = [area[at : at + size] for number, at, size in first if number >= 128]
    assert [later[at : at + size] for _, at, size in found] == wanted


@given(area=st.binary(min_size=4, max_size=40), size=st.integers(0, 40), address=addresses, ms=u32, flag=u4)
def test_recording_stays_inside_a_sound_option(area, size, address, ms, flag):
    """RFC 791 pages 21 to 23: whatever the option says, a write after a passed check changes no byte outside of it."""
    size = min(max(size, 2), len(area))
    for number, check, record in (
        (ipv4_options.RR, ipv4_options.record_route_error, lambda buf: ipv4_options.record_route(buf, 3, address)),
        (ipv4_options.TS, ipv4_options.timestamp_error, lambda buf: ipv4_options.timestamp(buf, 3, address, ms)),
    ):
        buf = bytearray(b"\xee" * 3 + bytes([number, size]) + area[2:] + b"\xee" * 3)
        if number == ipv4_options.TS:
            buf[6] = buf[6] & 0xF0 | flag
        before = bytes(buf)
        if check(buf, 3):
            continue
        changed = record(buf)
        assert len(buf) == len(before)
        assert changed == (bytes(buf) != before)
        assert buf[:5] == before[:5]
        assert buf[3 + size :] == before[3 + size :]


@given(places=st.integers(0, 9), start=st.integers(0, 9), address=addresses)
def test_record_route_against_scapy(places, start, address):
    """RFC 791 page 21: scapy reads the address in the place that was next."""
    start = min(start, places)
    routers = ["10.0.0.1"] * places
    buf = bytearray(raw(IPOption_RR(pointer=4 + 4 * start, routers=routers)))
    assert ipv4_options.record_route_error(buf, 0) == 0
    assert ipv4_options.record_route(buf, 0, address) is (start < places)
    seen = IPOption_RR(bytes(buf))
    if start < places:
        routers[start] = text4(address)
        start += 1
    assert (seen.routers, seen.pointer) == (routers, 4 + 4 * start)
