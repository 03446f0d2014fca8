"""The Internet checksum against the worked examples of its RFCs, and at the corners of ones' complement."""

import pytest

from vrouter.stack.wire import checksum as cs

RFC1071 = bytes.fromhex("0001f203f4f5f6f7")


@pytest.mark.parametrize("kind", [bytes, bytearray, memoryview])
def test_sum_of_the_worked_example(kind):
    """RFC 1071 section 3: the words 0001 f203 f4f5 f6f7 sum to ddf2, in any kind of buffer."""
    assert cs.ones_sum(kind(RFC1071), 0, 8) == 0xDDF2
    assert cs.checksum(kind(RFC1071), 0, 8) == 0x220D


def test_sum_of_the_worked_example_in_two_groups():
    """RFC 1071 section 3, the second group starting at an odd place: f201 and f0eb, and swapped together ddf2."""
    assert cs.ones_sum(RFC1071, 0, 3) == 0xF201
    second = cs.ones_sum(RFC1071, 3, 8)
    assert second == 0xF0EB
    swapped = (second & 0xFF) << 8 | second >> 8
    assert cs.ones_sum(b"", 0, 0, initial=0xF201 + swapped) == 0xDDF2


def test_incremental_update_of_the_worked_example():
    """RFC 1624 section 4: dd2f with 5555 changed to 3285 becomes 0000, never ffff."""
    assert cs.update16(0xDD2F, 0x5555, 0x3285) == 0x0000


def test_the_worked_example_by_recomputation():
    """RFC 1624 section 4: the full sums give dd2f and 0000."""
    assert cs.checksum(bytes.fromhex("cd7a5555"), 0, 4) == 0xDD2F
    assert cs.checksum(bytes.fromhex("cd7a3285"), 0, 4) == 0x0000


def test_zero_bytes_and_full_words_have_different_sums():
    """RFC 1071: the sum of zeros alone is 0000; any other multiple of ffff is ffff."""
    assert cs.ones_sum(bytes(6), 0, 6) == 0x0000
    assert cs.checksum(bytes(6), 0, 6) == 0xFFFF
    assert cs.ones_sum(b"", 0, 0) == 0x0000
    assert cs.ones_sum(b"\xff\xff", 0, 2) == 0xFFFF
    assert cs.ones_sum(b"\xff\xff" * 5, 0, 10) == 0xFFFF
    assert cs.ones_sum(b"\xff\xfe\x00\x01", 0, 4) == 0xFFFF
    assert cs.ones_sum(bytes(4), 0, 4, initial=0xFFFF) == 0xFFFF


def test_odd_byte_is_padded_behind():
    """RFC 1071 section 1: an odd last byte is the high half of its word."""
    assert cs.ones_sum(b"\x12\x34\x56", 0, 3) == 0x1234 + 0x5600


def test_initial_goes_on_from_the_bytes_before():
    """A sum may be made in pieces of even length."""
    data = bytes(range(1, 41))
    assert cs.ones_sum(data, 16, 40, initial=cs.ones_sum(data, 0, 16)) == cs.ones_sum(data, 0, 40)


@pytest.mark.parametrize("size", [2047, 2048, 2049, 2050, 4096, 4097, 65535])
def test_long_buffers_are_summed_like_short_ones(size):
    """Above 2048 bytes the sum is made in pieces; its value is that of word-by-word addition."""
    data = bytes(i * 31 + (i >> 8) & 0xFF for i in range(size + 3))
    total = sum(data[3::2]) * 256 + sum(data[4::2])
    while total > 0xFFFF:
        total = (total & 0xFFFF) + (total >> 16)
    assert cs.ones_sum(data, 3, size + 3) == total


def test_long_rows_of_zeros_and_ones():
    """The two residues that are 0 are told apart in long buffers too."""
    assert cs.ones_sum(bytes(5000), 0, 5000) == 0
    assert cs.ones_sum(b"\xff" * 5000, 0, 5000) == 0xFFFF
    assert cs.ones_sum(b"\xff\xff" + bytes(4998), 0, 5000) == 0xFFFF


def test_validity():
    """RFC 1071 section 1: a message is good when it sums to ffff; zeros alone are not."""
    good = bytearray(RFC1071 + b"\x22\x0d")
    assert cs.is_valid(good, 0, 10)
    good[3] ^= 1
    assert not cs.is_valid(good, 0, 10)
    assert not cs.is_valid(bytes(8), 0, 8)


def test_update_of_an_address():
    """RFC 1624: two words changed at once, as by a change of address."""
    before = bytes.fromhex("45000054000040004001000f0a0001020a000202")
    after = before[:12] + bytes.fromhex("c0a80105") + before[16:]
    changed = cs.update32(cs.checksum(before, 0, 20), 0x0A000102, 0xC0A80105)
    assert changed == cs.checksum(after, 0, 20)


def test_pseudo_header_of_ipv4():
    """RFC 768: source, destination, zero and protocol, UDP length."""
    head = bytes.fromhex("0a0001020a0002020011000c")
    assert cs.pseudo_header(0x0A000102, 0x0A000202, 17, 12) == cs.ones_sum(head, 0, len(head))


def test_pseudo_header_of_ipv6():
    """RFC 8200 section 8.1: addresses of 128 bits, a length of 32 bits, next header."""
    src, dst = bytes.fromhex("fd000001" + "00" * 11 + "01"), bytes.fromhex("fd000002" + "00" * 11 + "07")
    head = src + dst + (70000).to_bytes(4, "big") + bytes(3) + b"\x11"
    value = cs.pseudo_header(int.from_bytes(src, "big"), int.from_bytes(dst, "big"), 17, 70000, bits=128)
    assert value == cs.ones_sum(head, 0, len(head))


def test_pseudo_header_is_never_zero():
    """A pseudo-header holds a protocol number, so its sum is 0000 in no case: 0x11 + 0xffee is ffff."""
    assert cs.pseudo_header(0, 0xFFEE - 8, 17, 8) == 0xFFFF
