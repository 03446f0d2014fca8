"""UDP header."""

import pytest

from vrouter.stack.wire import udp
from vrouter.stack.wire.checksum import is_valid, pseudo_header

A, B = 0x0A000102, 0x0A000202


@pytest.mark.parametrize("kind", [bytes, bytearray, memoryview])
def test_accessors(kind):
    """RFC 768: source port, destination port, length, checksum."""
    buf = kind(bytes.fromhex("ee0fa0003500101234"))
    assert (udp.src_port(buf, 1), udp.dst_port(buf, 1), udp.length(buf, 1), udp.checksum(buf, 1)) == (
        4000,
        53,
        16,
        0x1234,
    )


@pytest.mark.parametrize(("name", "at"), [("src_port", 0), ("dst_port", 2), ("length", 4), ("checksum", 6)])
def test_setters_change_their_field_alone(name, at):
    """A setter writes its field and nothing else."""
    buf = bytearray(10)
    getattr(udp, f"set_{name}")(buf, 1, 0xABCD)
    assert buf == bytes(1 + at) + b"\xab\xcd" + bytes(7 - at)


def test_emit():
    """RFC 768: the length counts the header; the checksum covers pseudo-header, header and data."""
    buf = bytearray(b"\xee" + b"\x77" * 8 + b"abc" + b"\xee")
    udp.emit(buf, 1, 12, 4000, 53, A, B)
    words = (0x0A00, 0x0102, 0x0A00, 0x0202, 17, 11, 4000, 53, 11, 0x6162, 0x6300)
    total = sum(words)
    expected = 0xFFFF - ((total & 0xFFFF) + (total >> 16))
    assert buf == b"\xee" + bytes.fromhex("0fa00035000b") + expected.to_bytes(2, "big") + b"abc" + b"\xee"


def test_a_checksum_of_zero_is_sent_as_ones():
    """RFC 768: 0 means that there is no checksum, so a computed 0 is sent as ffff, which sums the same."""
    filler = 0xFFFF - ((0x0A00 + 0x0102 + 0x0A00 + 0x0202 + 17 + 10 + 4000 + 53 + 10) & 0xFFFF)
    buf = bytearray(bytes(8) + filler.to_bytes(2, "big"))
    udp.emit(buf, 0, 10, 4000, 53, A, B)
    assert udp.checksum(buf, 0) == 0xFFFF
    assert is_valid(buf, 0, 10, pseudo_header(A, B, 17, 10))


def test_emit_over_ipv6():
    """RFC 8200 section 8.1: the same code makes the checksum over addresses of 128 bits."""
    src, dst = 0xFD000001 << 96 | 1, 0xFD000002 << 96 | 2
    buf = bytearray(bytes(8) + b"abcd")
    udp.emit(buf, 0, 12, 4000, 53, src, dst, bits=128)
    total = (0xFD00 + 1 + 1) + (0xFD00 + 2 + 2) + 12 + 17 + 4000 + 53 + 12 + 0x6162 + 0x6364
    while total > 0xFFFF:
        total = (total & 0xFFFF) + (total >> 16)
    assert udp.checksum(buf, 0) == 0xFFFF - total
