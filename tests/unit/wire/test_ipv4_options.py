"""The option area of an IPv4 header."""

import pytest

from vrouter.stack.wire import ipv4_options as opt

ADDRESS = 0x0A000101


@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        ("", []),
        ("00000000", []),
        ("01010101", []),
        ("94040000", [(148, 0, 4)]),
        ("0107030401", [(7, 1, 3)]),
        ("94040000830304008303", [(148, 0, 4), (131, 4, 3)]),
        ("8802", [(136, 0, 2)]),
        ("07270400" + "00" * 35, [(7, 0, 39)]),
    ],
)
def test_sound_areas(raw, expected):
    """RFC 791 section 3.1: (kind, place, length) of each; No Operation skipped, End of Option List ends."""
    data = bytes.fromhex(raw)
    assert opt.parse(b"\xee\xee" + data, 2, 2 + len(data)) == [(kind, at + 2, size) for kind, at, size in expected]


@pytest.mark.parametrize(
    ("raw", "at"),
    [
        ("07", 0),
        ("010107", 2),
        ("0700", 0),
        ("0701", 0),
        ("9404000007", 4),
        ("070404004405", 4),
        ("0705", 0),
        ("0107ff" + "00" * 37, 1),
    ],
)
def test_malformed_areas_tell_the_place(raw, at):
    """RFC 1122 section 3.2.1.8 and RFC 792: length missing, zero, one, or past the header; the pointer goes there."""
    data = bytes.fromhex(raw)
    assert opt.parse(b"\xee" * 20 + data + b"\xee" * 9, 20, 20 + len(data)) == 20 + at


def test_an_area_that_claims_more_than_the_buffer_holds():
    """The buffer's end is an end too."""
    assert opt.parse(b"\x07\x08", 0, 40) == 0
    assert opt.parse(b"\x01\x01", 0, 40) == []


@pytest.mark.parametrize(
    ("kind", "copied"),
    [(0, False), (1, False), (7, False), (68, False), (130, True), (131, True), (136, True), (137, True), (148, True)],
)
def test_copied_flag(kind, copied):
    """RFC 791 section 3.1: the high bit of the kind, as stated for each option (RFC 2113 for Router Alert)."""
    assert opt.copied(kind) is copied


# Record Route ---------------------------------------------------------------------------------------------------------


def test_record_route_fills_each_place_and_then_is_full():
    """RFC 791 page 21: the address goes where the pointer says, which grows by four; a full option is left alone."""
    buf = bytearray(b"\xee" + bytes.fromhex("070b040000000000000000") + b"\xee")
    assert opt.record_route_error(buf, 1) == 0
    assert opt.record_route(buf, 1, ADDRESS) is True
    assert buf.hex() == "ee070b080a00010100000000ee"
    assert opt.record_route(buf, 1, ADDRESS + 1) is True
    assert buf.hex() == "ee070b0c0a0001010a000102ee"
    assert opt.record_route_error(buf, 1) == 0
    assert opt.record_route(buf, 1, ADDRESS + 2) is False
    assert buf.hex() == "ee070b0c0a0001010a000102ee"


@pytest.mark.parametrize(
    ("raw", "octet"),
    [
        ("0702", 1),  # no room for the pointer
        ("070300", 2),
        ("070303", 2),  # the smallest legal pointer is 4
        ("07040400", 2),  # one octet is some room
        ("070304", 0),  # no place at all is full, not wrong
        ("0706040000 00", 2),  # three octets are some room but no place
        ("07070400000000", 0),
        ("07070500000000", 2),
        ("07070700000000", 2),
        ("07070800000000", 0),
        ("0707ff00000000", 0),
    ],
)
def test_record_route_errors(raw, octet):
    """RFC 791 page 21: too little room for an address is an error; RFC 792: the octet where it was found."""
    assert opt.record_route_error(bytes.fromhex(raw), 0) == octet


# Timestamp ------------------------------------------------------------------------------------------------------------


def test_timestamps_alone():
    """RFC 791 page 22, flag 0: consecutive words; when full the overflow count goes up."""
    buf = bytearray.fromhex("440c0500" + "00" * 8)
    assert opt.timestamp(buf, 0, ADDRESS, 0x01020304) is True
    assert opt.timestamp(buf, 0, ADDRESS, 0x05060708) is True
    assert buf.hex() == "440c0d000102030405060708"
    assert opt.timestamp_error(buf, 0) == 0
    assert opt.timestamp(buf, 0, ADDRESS, 9) is True
    assert buf.hex() == "440c0d100102030405060708"


def test_timestamps_with_addresses():
    """RFC 791 page 22, flag 1: each timestamp preceded by the address of its maker; the flag survives an overflow."""
    buf = bytearray.fromhex("440c0501" + "00" * 8)
    assert opt.timestamp(buf, 0, ADDRESS, 0x01020304) is True
    assert buf.hex() == "440c0d010a00010101020304"
    assert opt.timestamp(buf, 0, ADDRESS, 5) is True
    assert buf.hex() == "440c0d110a00010101020304"


def test_prespecified_addresses():
    """RFC 791 page 22, flag 3: only the node whose address is next stamps, and a full list counts no overflow."""
    buf = bytearray.fromhex("441405030a000101000000000a00020100000000")
    assert opt.next_prespecified(buf, 0) == 0x0A000101
    assert opt.timestamp(buf, 0, 0x0A000201, 7) is False
    assert buf.hex() == "441405030a000101000000000a00020100000000"
    assert opt.timestamp(buf, 0, 0x0A000101, 7) is True
    assert opt.next_prespecified(buf, 0) == 0x0A000201
    assert opt.timestamp(buf, 0, 0x0A000201, 8) is True
    assert buf.hex() == "441415030a000101000000070a00020100000008"
    assert opt.next_prespecified(buf, 0) == -1
    assert opt.timestamp_error(buf, 0) == 0
    assert opt.timestamp(buf, 0, 0x0A000101, 9) is False


def test_next_prespecified_is_for_flag_three_alone():
    """The words of other flags are no requests."""
    assert opt.next_prespecified(bytes.fromhex("440c05010a00010100000000"), 0) == -1


def test_an_unknown_flag_is_left_alone():
    """RFC 791 names flags 0, 1 and 3; what others would mean is unknown, so nothing is written."""
    buf = bytearray.fromhex("440c0502" + "00" * 8)
    assert opt.timestamp_error(buf, 0) == 0
    assert opt.timestamp(buf, 0, ADDRESS, 1) is False
    assert buf.hex() == "440c0502" + "00" * 8


@pytest.mark.parametrize(
    ("raw", "octet"),
    [
        ("4403", 1),
        ("44040400", 2),  # the smallest legal pointer is 5
        ("44040500", 0),  # full from the start
        ("4405050000", 2),  # one octet is some room
        ("44070500000000", 2),  # some room, but no word
        ("4408050000000000", 0),
        ("4408050100000000", 2),  # a word, but no pair
        ("4408050300000000", 2),
        ("440805f000000000", 0),  # the counter matters only when full
        ("440809e000000000", 0),
        ("440809f000000000", 3),  # the overflow count would itself overflow
        ("440809f300000000", 0),
    ],
)
def test_timestamp_errors(raw, octet):
    """RFC 791 page 23: too little room for an entry and an overflow of the overflow count are errors in the packet."""
    assert opt.timestamp_error(bytes.fromhex(raw), 0) == octet


# Fragmentation --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("first", "later"),
    [
        ("", ""),
        ("94040000", "94040000"),
        ("0707040000000000", ""),
        ("01830704c0a80101", "830704c0a8010100"),
        ("07030400", ""),
        ("940400000107030488040001", "9404000088040001"),
        ("940400000088040001", "94040000"),
        ("940400000700", "94040000"),
        ("8300", ""),
    ],
)
def test_options_of_later_fragments(first, later):
    """RFC 791 section 3.2: only options with the copied flag, padded to whole words."""
    assert opt.fragment_options(bytes.fromhex(first)).hex() == later
