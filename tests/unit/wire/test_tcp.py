"""TCP header and options."""

import pytest

from vrouter.stack.base.drop import DropReason
from vrouter.stack.base.packet import Packet
from vrouter.stack.wire import tcp
from vrouter.stack.wire.checksum import is_valid, pseudo_header

A, B = 0x0A000102, 0x0A000202
TIMESTAMP = bytes.fromhex("0101080a 11223344 55667788")


def packet(segment, family=4, src=A, dst=B):
    """A packet whose transport part is `segment`, behind 20 bytes of something else and in front of padding."""
    pkt = Packet.from_frame(b"\xee" * 20 + segment + b"\x05" * 9)
    pkt.l4 = pkt.start + 20
    pkt.end -= 9
    pkt.family, pkt.src, pkt.dst = family, src, dst
    return pkt


def segment(options=b"", flags=tcp.ACK, data=b"", offset=None):
    """A segment by hand; `offset` overrides the data offset (in words)."""
    words = 5 + (len(options) + 3) // 4 if offset is None else offset
    head = bytes.fromhex("ee0f01bb 01020304 05060708") + bytes([words << 4 | flags >> 8, flags & 0xFF])
    return head + bytes.fromhex("abcd 1234 0042") + options + bytes(-len(options) & 3) + data


def parsed(*args, **kwargs):
    pkt = packet(segment(*args, **kwargs))
    seg = tcp.parse(pkt)
    assert isinstance(seg, tcp.Segment)
    return pkt, seg


def options_of(seg):
    return (seg.mss, seg.wscale, seg.sack_permitted, seg.ts, seg.tsval, seg.tsecr, seg.sacks, seg.fastopen)


NOTHING = (0, -1, False, False, 0, 0, (), None)


# Parsing --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("options", [b"", TIMESTAMP, b"\x02\x04\x05\xb4"])
def test_every_field(options):
    """RFC 9293 3.1: ports, numbers, nine flags, window, urgent pointer; the data is what lies behind the options."""
    pkt, seg = parsed(options, flags=0x1FF, data=b"hello")
    assert (seg.sport, seg.dport, seg.seq, seg.ack) == (0xEE0F, 443, 0x01020304, 0x05060708)
    assert (seg.flags, seg.window, seg.urgent) == (0x1FF, 0xABCD, 0x42)
    assert pkt.buf[seg.data : seg.end] == b"hello"
    assert seg.pkt is pkt


def test_the_reserved_bits_are_ignored():
    """RFC 9293 3.1: reserved bits must be ignored in received segments; AE is the lowest of the four."""
    raw = bytearray(segment(flags=tcp.AE | tcp.SYN))
    raw[12] |= 0x0E
    seg = tcp.parse(packet(bytes(raw)))
    assert seg.flags == tcp.AE | tcp.SYN


@pytest.mark.parametrize(
    ("raw", "why"),
    [
        (segment()[:19], "less than a header"),
        (b"", "nothing"),
        (segment(offset=4), "data offset below 5"),
        (segment(offset=0), "data offset 0"),
        (segment(offset=6), "options past the end"),
        (segment(TIMESTAMP)[:31], "a timestamp cut by one byte"),
        (segment(offset=15)[:59], "the longest header cut by one byte"),
    ],
)
def test_impossible_lengths(raw, why):
    """RFC 9293 3.1: a header that does not fit its segment is refused; what lies behind the segment is not read."""
    assert tcp.parse(packet(raw)) == DropReason.L4_HDR, why


def test_all_options_of_a_syn():
    """RFC 9293 3.2, RFC 7323 2.2 and 3.2, RFC 2018 2, RFC 7413 4.1.1: each option is read."""
    options = bytes.fromhex("020405b4 0402080a 00000007 00000000 01030307 22061122 33440101")
    _, seg = parsed(options, flags=tcp.SYN)
    assert options_of(seg) == (1460, 7, True, True, 7, 0, (), b"\x11\x22\x33\x44")


@pytest.mark.parametrize(
    "layout", ["0101080a 11223344 55667788", "080a1122 33445566 77880101", "01080a11 22334455 667788"]
)
def test_a_timestamp_wherever_it_lies(layout):
    """RFC 7323 3.2, appendix A: the recommended layout and any other mean the same (RFC 9293 3.1: no alignment)."""
    _, seg = parsed(bytes.fromhex(layout), data=b"x")
    assert options_of(seg) == (0, -1, False, True, 0x11223344, 0x55667788, (), None)


def test_eight_words_without_a_timestamp():
    """A header as long as the usual one holds something else: three NOP words and the like."""
    _, seg = parsed(b"\x01" * 12)
    assert options_of(seg) == NOTHING


def test_options_of_a_syn_count_in_a_syn_alone():
    """RFC 9293 3.2, RFC 7323 2.2, RFC 2018 2, RFC 7413 4.1.1: MSS, scale, SACK-permitted, Fast Open are for SYNs."""
    _, seg = parsed(bytes.fromhex("020405b4 04020101 01030307 22061122 33440101"))
    assert options_of(seg) == NOTHING


def test_sack_blocks():
    """RFC 2018 3: up to four blocks, as they came; beside a timestamp three fit."""
    blocks = b"".join(n.to_bytes(4, "big") for n in range(1, 9))
    _, seg = parsed(b"\x01\x01\x05\x22" + blocks)
    assert seg.sacks == ((1, 2), (3, 4), (5, 6), (7, 8))
    _, seg = parsed(TIMESTAMP + b"\x01\x01\x05\x1a" + blocks[:24])
    assert (seg.ts, seg.sacks) == (True, ((1, 2), (3, 4), (5, 6)))


def test_a_syn_has_no_sack_blocks():
    """RFC 2018 3: SACK blocks may be sent once SACK-permitted came in a SYN, so never in one."""
    _, seg = parsed(b"\x01\x01\x05\x0a" + bytes(8), flags=tcp.SYN)
    assert options_of(seg) == NOTHING


@pytest.mark.parametrize(
    "option",
    [
        *("0203aa", "020505b4aa", "0302", "03040707", "0403aa", "0809" + "aa" * 7, "080b" + "aa" * 9),
        *("2205aabbcc", "2204aabb", "2207aabbccddee", "2214" + "aa" * 18),
        *("fe04f98a", "fe03f9", "fe05f989aa", "fe06f989aabb"),
    ],
)
def test_a_known_option_of_a_wrong_length_is_passed_over(option):
    """RFC 9293 3.1 MUST-6: what follows it still counts."""
    _, seg = parsed(bytes.fromhex(option) + b"\x02\x04\x02\x18", flags=tcp.SYN)
    assert options_of(seg) == (536, *NOTHING[1:])


@pytest.mark.parametrize("size", [2, 9, 11, 17, 19])
def test_sack_blocks_of_a_wrong_length(size):
    """RFC 2018 3: 8 bytes for each block and two in front."""
    _, seg = parsed(bytes([5, size]) + bytes(size - 2) + TIMESTAMP[2:])
    assert (seg.sacks, seg.ts) == ((), True)


@pytest.mark.parametrize("broken", ["fd00", "fd01", "fd", "0800", "0214", "fdff", "00"])
def test_reading_ends_where_the_options_end(broken):
    """RFC 9293 3.1 MUST-68: a length of 0 or 1 or past the header ends the list; what came before it holds."""
    _, seg = parsed(b"\x02\x04\x05\xb4\x01" + bytes.fromhex(broken), flags=tcp.SYN, data=b"\x03\x03\x07" * 4)
    assert options_of(seg) == (1460, *NOTHING[1:])


def test_unknown_options_are_passed_over():
    """RFC 9293 3.1 MUST-6, MUST-7: any option but NOP and EOL has a length, and unknown ones are ignored."""
    _, seg = parsed(bytes.fromhex("fd04aabb 1303cc 0204 05b4"), flags=tcp.SYN)
    assert options_of(seg) == (1460, *NOTHING[1:])


@pytest.mark.parametrize(("shift", "read"), [(0, 0), (14, 14), (15, 14), (255, 14)])
def test_a_scale_above_14_is_14(shift, read):
    """RFC 7323 2.3: larger shifts are read as 14."""
    _, seg = parsed(bytes([3, 3, shift]), flags=tcp.SYN)
    assert seg.wscale == read


@pytest.mark.parametrize("size", [0, 4, 6, 8, 16])
@pytest.mark.parametrize("experiment", [False, True])
def test_fast_open(size, experiment):
    """RFC 7413 4.1.1: 4 to 16 bytes of an even number, or none; RFC 6994: the experiment 0xf989 of kind 254."""
    cookie = bytes(range(100, 100 + size))
    head = bytes([254, 4 + size, 0xF9, 0x89]) if experiment else bytes([34, 2 + size])
    _, seg = parsed(head + cookie, flags=tcp.SYN)
    assert (seg.fastopen, seg.fastopen_experiment) == (cookie, experiment)


def test_the_last_of_two_counts():
    """An option that is there twice: the later one, as in Linux."""
    _, seg = parsed(bytes.fromhex("02040100 02040200"), flags=tcp.SYN)
    assert seg.mss == 0x200


# Checksum -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("family", "bits", "src", "dst"), [(4, 32, A, B), (6, 128, 0xFD << 120 | 1, 0xFD << 120 | 2)])
@pytest.mark.parametrize("data", [b"", b"abc", b"abcd" * 400])
def test_checksum(family, bits, src, dst, data):
    """RFC 9293 3.1 MUST-2, MUST-3; RFC 8200 8.1: made and checked over pseudo-header, header and data."""
    raw = bytearray(b"\xee" + segment(TIMESTAMP, data=data))
    tcp.finish(raw, 1, len(raw), src, dst, bits)
    assert is_valid(raw, 1, len(raw), pseudo_header(src, dst, 6, len(raw) - 1, bits))
    pkt = packet(bytes(raw[1:]), family, src, dst)
    seg = tcp.parse(pkt)
    assert tcp.checksum_ok(pkt, seg)
    pkt.buf[pkt.end - 1] ^= 1
    assert not tcp.checksum_ok(pkt, seg)
    pkt.buf[pkt.end - 1] ^= 1
    pkt.src ^= 1
    assert not tcp.checksum_ok(pkt, seg)


@pytest.mark.parametrize("bits", [32, 128])
def test_a_half_finished_checksum_is_finished_by_the_sum_over_the_segment(bits):
    """virtio 5.1.6.2: the field holds the pseudo-header's sum; adding up the segment and complementing finishes it."""
    raw = bytearray(20 + 3)
    raw[20:] = b"abc"
    tcp.emit_header(raw, 0, 1, 2, 3, 4, tcp.ACK, 5, checksum=tcp.partial_sum(A, B, 23, bits))
    finished = 0xFFFF
    for at in range(0, 24, 2):
        finished -= int.from_bytes((bytes(raw) + b"\0")[at : at + 2], "big")
    twin = bytearray(raw)
    tcp.finish(twin, 0, 23, A, B, bits)
    assert finished % 0xFFFF == tcp.checksum(twin, 0) % 0xFFFF


# Emitting -------------------------------------------------------------------------------------------------------------


def test_emit_header():
    """RFC 9293 3.1: every field where it belongs, nothing around it touched; unbounded numbers lose their high bits."""
    buf = bytearray(b"\xee" * 22)
    size = tcp.emit_header(
        buf, 1, 4000, 443, 7 << 32 | 0x01020304, 9 << 32 | 0x05060708, 0x1FF, 0xABCD, urgent=0x42, checksum=0x1234
    )
    assert size == 20
    assert buf == b"\xee" + bytes.fromhex("0fa001bb 01020304 05060708 51ffabcd 12340042") + b"\xee"


def test_emit_header_with_options():
    """RFC 9293 3.1: the data offset counts the options."""
    buf = bytearray(60)
    assert tcp.emit_header(buf, 0, 1, 2, 3, 4, tcp.SYN, 5, options=b"\x02\x04\x05\xb4" * 10) == 60
    assert (tcp.header_length(buf, 0), tcp.flags(buf, 0)) == (60, tcp.SYN)
    assert buf[20:] == b"\x02\x04\x05\xb4" * 10


def test_emit_timestamped_equals_the_long_way():
    """The usual segment in one go is the same bytes."""
    numbers = (4000, 443, 5 << 32 | 77, 6 << 32 | 88, tcp.ACK | tcp.PSH | tcp.AE, 500)
    one, other = bytearray(b"\xee" * 34), bytearray(b"\xee" * 34)
    assert tcp.emit_timestamped(one, 1, *numbers, 1 << 32 | 7, 1 << 32 | 8, 0x1234) == 32
    assert tcp.emit_header(other, 1, *numbers, options=tcp.options((7, 8)), checksum=0x1234) == 32
    assert one == other


def test_options_of_a_segment():
    """RFC 7323 appendix A, RFC 2018 3: words aligned by NOPs; three blocks beside a timestamp, four alone."""
    blocks = [(1 << 32 | 1, 2), (3, 4), (5, 6), (7, 8), (9, 10)]
    assert tcp.options() == b""
    assert tcp.options((1, 1 << 32 | 2)) == bytes.fromhex("0101080a 00000001 00000002")
    assert tcp.options(sacks=blocks[:1]) == bytes.fromhex("0101050a 00000001 00000002")
    four = "00000001 00000002 00000003 00000004 00000005 00000006 00000007 00000008"
    assert tcp.options(sacks=blocks) == bytes.fromhex("01010522" + four)
    assert tcp.options((7, 8), blocks) == bytes.fromhex("0101080a 00000007 00000008 0101051a" + four[:54])


@pytest.mark.parametrize(
    ("kwargs", "expected"),
    [
        ({}, "020405b4"),
        ({"wscale": 7}, "020405b4 01030307"),
        ({"wscale": 0}, "020405b4 01030300"),
        ({"sack_permitted": True}, "020405b4 01010402"),
        ({"timestamp": (7, 8)}, "020405b4 0101080a 00000007 00000008"),
        (
            {"sack_permitted": True, "timestamp": (7, 8), "wscale": 7},
            "020405b4 0402080a 00000007 00000008 01030307",
        ),
        ({"fastopen": b""}, "020405b4 22020101"),
        ({"fastopen": b"\xaa" * 8}, "020405b4 220aaaaa aaaaaaaa aaaa0101"),
        ({"fastopen": b"", "fastopen_experiment": True}, "020405b4 fe04f989"),
        ({"fastopen": b"\xaa" * 6, "fastopen_experiment": True}, "020405b4 fe0af989 aaaaaaaa aaaa0101"),
    ],
)
def test_options_of_a_syn(kwargs, expected):
    """RFC 9293 3.2, RFC 7323 2.2 and 3.2, RFC 2018 2, RFC 7413 4.1.1: whole words in Linux's order."""
    assert tcp.syn_options(1460, **kwargs) == bytes.fromhex(expected)


def test_a_cookie_that_does_not_fit_is_left_out():
    """RFC 7413 4.1.1: 40 bytes are all there is; without the cookie the SYN still is one."""
    full = {"wscale": 7, "sack_permitted": True, "timestamp": (7, 8)}
    assert len(tcp.syn_options(1460, fastopen=b"\xaa" * 16, **full)) == 40
    assert tcp.syn_options(1460, fastopen=b"\xaa" * 20, **full) == tcp.syn_options(1460, **full)


# Fields ---------------------------------------------------------------------------------------------------------------

NAMES = [("src_port", 0, 2), ("dst_port", 2, 2), ("seq", 4, 4), ("ack", 8, 4)]
NAMES += [("window", 14, 2), ("checksum", 16, 2), ("urgent", 18, 2)]


@pytest.mark.parametrize(("name", "at", "size"), NAMES)
def test_accessors_and_setters(name, at, size):
    """RFC 9293 3.1: each reads and writes its field and nothing else."""
    value = 0xABCDEF12 >> 32 - 8 * size
    buf = bytearray(22)
    getattr(tcp, f"set_{name}")(buf, 1, value)
    assert buf == bytes(1 + at) + value.to_bytes(size, "big") + bytes(21 - at - size)
    assert getattr(tcp, name)(memoryview(buf), 1) == value


def test_flags_leave_the_data_offset_alone():
    """RFC 9293 3.1: nine bits beside the data offset and three reserved ones."""
    buf = bytearray(20)
    buf[12] = 0xAE
    tcp.set_flags(buf, 0, 0x1FF)
    assert (buf[12], buf[13], tcp.flags(buf, 0), tcp.header_length(buf, 0)) == (0xAF, 0xFF, 0x1FF, 40)
    tcp.set_flags(buf, 0, tcp.RST)
    assert (buf[12], buf[13], tcp.flags(buf, 0)) == (0xAE, 4, 4)
