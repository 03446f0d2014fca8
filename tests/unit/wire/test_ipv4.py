"""IPv4 header: fields, building, and the TTL step of forwarding."""

import pytest

from vrouter.stack.wire import ipv4
from vrouter.stack.wire.checksum import checksum

# Version 4, IHL 5, TOS 0x10, length 84, id 0x1c46, DF, TTL 64, UDP, 10.0.1.2 > 192.168.0.199; sum made by hand.
WORDS = (0x4510, 0x0054, 0x1C46, 0x4000, 0x4011, 0x0A00, 0x0102, 0xC0A8, 0x00C7)


def _header(**changes):
    fields = {
        "total_length": 84,
        "ident": 0x1C46,
        "flags_fragment": ipv4.DF,
        "ttl": 64,
        "proto": 17,
        "src": 0x0A000102,
        "dst": 0xC0A800C7,
        "tos": 0x10,
    }
    buf = bytearray(62)
    size = ipv4.emit_header(buf, 2, **(fields | changes))
    return bytes(buf[2 : 2 + size])


def _sum_by_words():
    total = sum(WORDS)
    return 0xFFFF - ((total & 0xFFFF) + (total >> 16))


def test_emit_header():
    """RFC 791 section 3.1, every field in its place and the checksum over all words."""
    raw = b"".join(word.to_bytes(2, "big") for word in WORDS)
    assert _header() == raw[:10] + _sum_by_words().to_bytes(2, "big") + raw[10:]


@pytest.mark.parametrize("kind", [bytes, bytearray, memoryview])
def test_accessors(kind):
    """Every accessor reads its field of RFC 791 section 3.1."""
    buf = kind(b"xx" + _header())
    assert ipv4.version_ihl(buf, 2) == 0x45
    assert ipv4.version(buf, 2) == 4
    assert ipv4.header_length(buf, 2) == 20
    assert ipv4.tos(buf, 2) == 0x10
    assert ipv4.total_length(buf, 2) == 84
    assert ipv4.ident(buf, 2) == 0x1C46
    assert ipv4.flags_fragment(buf, 2) == ipv4.DF
    assert ipv4.ttl(buf, 2) == 64
    assert ipv4.proto(buf, 2) == ipv4.PROTO_UDP
    assert ipv4.header_checksum(buf, 2) == _sum_by_words()
    assert ipv4.src(buf, 2) == 0x0A000102
    assert ipv4.dst(buf, 2) == 0xC0A800C7


def test_one_shot_fields():
    """FIELDS gives the ten fields in the order of the header."""
    assert ipv4.FIELDS.unpack_from(_header()) == (
        0x45, 0x10, 84, 0x1C46, 0x4000, 64, 17, _sum_by_words(), 0x0A000102, 0xC0A800C7,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("name", "value", "raw"),
    [
        ("version_ihl", 0x46, "46" + "00" * 19),
        ("tos", 0xFC, "00fc" + "00" * 18),
        ("total_length", 0x1234, "00001234" + "00" * 16),
        ("ident", 0xABCD, "00000000abcd" + "00" * 14),
        ("flags_fragment", 0x2123, "0000000000002123" + "00" * 12),
        ("ttl", 255, "00" * 8 + "ff" + "00" * 11),
        ("proto", 89, "00" * 9 + "59" + "00" * 10),
        ("src", 0xFFFFFFFF, "00" * 12 + "ffffffff" + "00" * 4),
        ("dst", 0x7F000001, "00" * 16 + "7f000001"),
    ],
)
def test_setters_change_their_field_alone(name, value, raw):
    """A setter writes its field and nothing else, the checksum neither."""
    buf = bytearray(22)
    getattr(ipv4, f"set_{name}")(buf, 1, value)
    assert buf.hex() == "00" + raw + "00"


def test_options_are_padded_and_counted():
    """RFC 791 section 3.1: the header is whole words, the padding is zero."""
    raw = _header(options=b"\x94\x04\x00\x00\x01")
    assert len(raw) == 28
    assert raw[0] == 0x47
    assert raw[20:] == b"\x94\x04\x00\x00\x01\x00\x00\x00"
    assert ipv4.header_is_valid(raw, 0, 28)


def test_forty_bytes_of_options_are_the_most():
    """RFC 791 section 3.1: the IHL has four bits."""
    assert len(_header(options=bytes([1] * 40))) == 60
    with pytest.raises(ValueError, match="longer than 40"):
        _header(options=bytes([1] * 41))


def test_set_header_checksum_replaces_what_was_there():
    """RFC 791 section 3.1: the field counts as zero while the sum is made."""
    buf = bytearray(_header())
    buf[10:12] = b"\x55\xaa"
    ipv4.set_header_checksum(buf, 0, 20)
    assert buf == _header()


def test_header_validity():
    """RFC 1812 section 5.2.2: one wrong bit anywhere in the header is noticed."""
    good = _header(options=b"\x94\x04\x00\x00")
    assert ipv4.header_is_valid(good, 0, 24)
    for bit in range(24 * 8):
        bad = bytearray(good)
        bad[bit // 8] ^= 1 << bit % 8
        assert not ipv4.header_is_valid(bad, 0, 24)


def test_decrement_ttl_writes_what_the_full_sum_gives_for_every_checksum():
    """RFC 1624 section 3 for all 65,535 checksums a header can have, each with its own TTL of 1..255."""
    wrong = []
    for ident in range(0x10000):
        buf = bytearray(20)
        ttl = ident % 255 + 1
        ipv4.emit_header(
            buf, 0, total_length=20, ident=ident, flags_fragment=0, ttl=ttl, proto=1, src=0x0A000102, dst=0x0A000202
        )
        left = ipv4.decrement_ttl(buf, 0)
        stored = ipv4.header_checksum(buf, 0)
        buf[10:12] = b"\0\0"
        if (left, buf[8], stored) != (ttl - 1, ttl - 1, checksum(buf, 0, 20)):
            wrong.append(ident)
    assert wrong == []


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (0x0000, 0x0100),
        (0xFDFF, 0xFEFF),
        (0xFE00, 0xFF00),
        (0xFEFE, 0xFFFE),
        (0xFEFF, 0x0000),
        (0xFF00, 0x0001),
        (0xFFFE, 0x00FF),
        (0xFFFF, 0x0100),
    ],
)
def test_decrement_ttl_at_the_carries(before, after):
    """RFC 1624 section 4: feff becomes 0000 and not ffff; a sender's ffff is taken for the 0000 it equals."""
    buf = bytearray(20)
    buf[8] = 1
    buf[10:12] = before.to_bytes(2, "big")
    assert ipv4.decrement_ttl(buf, 0) == 0
    assert ipv4.header_checksum(buf, 0) == after
