"""IPv4 options: what is refused and where the pointer points, and what is written into those that ask."""

import pytest

from vrouter.stack.base.drop import DropReason
from vrouter.stack.base.packet import IP_OPTIONS, ROUTER_ALERT, Packet
from vrouter.stack.l3.options import options_input, options_output, reply_options, stack_time
from vrouter.stack.wire import checksum, ipv4

FINE = (0, -1)
SILENT = (DropReason.IP_OPTIONS, -1)
US, OTHER = 0x0A0000FE, 0x0A000001
NOW = 5_000_000_000
STAMP = 0x80001388  # 5,000 ms that are not UT's
ROOM = bytes(4)
US4, OTHER4, STAMP4 = US.to_bytes(4, "big"), OTHER.to_bytes(4, "big"), STAMP.to_bytes(4, "big")


def packet(options: bytes) -> Packet:
    """A packet with these options, padded to whole words, in front of data that must stay as it is."""
    header_len = 20 + (len(options) + 3 & ~3)
    pkt = Packet.from_frame(bytes(header_len) + b"data")
    pkt.l3, pkt.l4 = pkt.start, pkt.start + header_len
    ipv4.emit_header(
        pkt.buf, pkt.l3, total_length=header_len + 4, ident=1, flags_fragment=0, ttl=9, proto=1, src=OTHER, dst=US,
        options=options,
    )  # fmt: skip
    pkt.flags = IP_OPTIONS
    return pkt


def options_of(pkt: Packet) -> bytes:
    """The option area, after checking that the packet around it is sound."""
    assert checksum.is_valid(pkt.buf, pkt.l3, pkt.l4)
    assert pkt.data()[-4:] == b"data"
    return bytes(pkt.buf[pkt.l3 + 20 : pkt.l4])


def rr(pointer: int, room: bytes = ROOM, length: int | None = None) -> bytes:
    return bytes([7, len(room) + 3 if length is None else length, pointer]) + room


def ts(pointer: int, overflow: int, room: bytes = ROOM, length: int | None = None) -> bytes:
    return bytes([68, len(room) + 4 if length is None else length, pointer, overflow]) + room


@pytest.mark.parametrize(
    "options",
    [
        b"",
        bytes([0, 0, 0, 0]),
        bytes([1, 1, 1, 0]),
        bytes([0, 130, 1, 0]),  # behind the end of the list is padding, whatever it says
        bytes([25, 4, 9, 9]),  # unknown
        bytes([0x9E, 2, 0, 0]),  # unknown, copied
        bytes([130, 11, *range(9), 0]),  # security
        bytes([136, 4, 0, 1]),  # stream identifier
        bytes([148, 4, 0, 7]),  # router alert of another meaning
        rr(4),
        rr(8),  # full
        rr(255),
        rr(4, b"", 3),  # room for none: full from the start
        ts(5, 0),
        ts(9, 0xE0),  # full, one more may be counted
        ts(9, 0xF3),  # full of prespecified ones: nothing to count
        ts(5, 0x0F),  # a flag that nobody defined
        ts(5, 1, bytes(8)),
        ts(5, 3, bytes(8)),
    ],
)
def test_good_and_unknown_options_pass_unchanged(options: bytes) -> None:
    """RFC 1812 4.2.2.6 and 5.3.13.1 to 3: what is not recognised, or obsolete, is ignored and passed through."""
    pkt = packet(options)
    before = pkt.data()
    assert options_input(pkt) == FINE
    assert pkt.data() == before
    assert not pkt.flags & ROUTER_ALERT


@pytest.mark.parametrize(
    ("options", "pointer"),
    [
        (bytes([25, 0, 0, 0]), 20),  # length 0
        (bytes([25, 1, 0, 0]), 20),  # length below 2
        (bytes([1, 25, 4, 0]), 21),  # past the end of the header
        (bytes([1, 1, 1, 25]), 23),  # no room for a length
        (rr(4, b"", 2) + b"\0\0", 21),  # and what follows is malformed as well
        (rr(3), 22),
        (rr(0), 22),
        (rr(5), 22),  # room for three bytes
        (rr(8, bytes(5)), 22),  # room for one byte
        (b"\x01" + ts(5, 0, b"", 3)[:3], 22),
        (ts(4, 0), 22),
        (ts(6, 0), 22),
        (ts(9, 1, bytes(8)), 22),  # an entry of 8 bytes in a room of 4
        (ts(9, 0xF0), 23),  # the counter of those left out would overflow
        (ts(9, 0xF1), 23),
        (rr(4) + b"\x01" + rr(4), 28),  # at most once
        (ts(5, 0) + ts(5, 0), 28),
        (bytes([131, 3, 4, 1]) + bytes([137, 3, 4, 0]), 24),
        (bytes([131, 2, 0, 0]), 21),
        (bytes([137, 3, 3, 0]), 22),
        (bytes([148, 3, 0, 0]), 21),
        (bytes([131, 3, 4, 1]) + bytes([25, 0, 0, 0]), 24),  # a source route does not hide it
    ],
)
def test_malformed_options_are_a_parameter_problem(options: bytes, pointer: int) -> None:
    """RFC 1812 4.3.3.5, RFC 792: the pointer is that of the first octet that is wrong, from the header on."""
    assert options_input(packet(options)) == (DropReason.IP_OPTIONS, pointer)


@pytest.mark.parametrize("kind", [131, 137])
@pytest.mark.parametrize("pointer", [4, 8])
def test_source_routes_are_refused_silently(kind: int, pointer: int) -> None:
    """RFC 7126 4.3.5 and 4.4.5, against RFC 1812 5.3.13.4: complete or not, and nobody is told."""
    assert options_input(packet(bytes([kind, 7, pointer]) + OTHER4)) == SILENT


def test_router_alert_is_noticed() -> None:
    """RFC 2113 2.1: value 0 asks every router to look."""
    pkt = packet(bytes([148, 4, 0, 0]))
    assert options_input(pkt) == FINE
    assert pkt.flags & ROUTER_ALERT


def test_every_truncation_of_an_option_area_is_judged() -> None:
    """Hostile lengths never lead out of the header: each prefix and each length gives a verdict."""
    whole = rr(4) + ts(5, 1, bytes(8)) + bytes([131, 7, 4]) + OTHER4 + bytes([148, 4, 0, 0])
    seen = set()
    for end in range(len(whole) + 1):
        for length in range(256):
            area = bytearray(whole[:end])
            if len(area) > 1:
                area[1] = length
            reason, pointer = options_input(packet(bytes(area)))
            assert reason in (0, DropReason.IP_OPTIONS)
            assert -1 <= pointer < 60
            seen.add(reason)
    assert seen == {0, DropReason.IP_OPTIONS}


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (rr(4), rr(8, US4)),
        (rr(8, OTHER4 + ROOM), rr(12, OTHER4 + US4)),
        (rr(8, OTHER4), None),
        (ts(5, 0), ts(9, 0, STAMP4)),
        (ts(5, 0x20, bytes(8)), ts(9, 0x20, STAMP4 + ROOM)),
        (ts(5, 1, bytes(8)), ts(13, 1, US4 + STAMP4)),
        (ts(9, 0, OTHER4), ts(9, 0x10, OTHER4)),
        (ts(9, 0xE1, OTHER4), ts(9, 0xF1, OTHER4)),
        (ts(9, 0xF0, OTHER4), None),
        (ts(13, 3, OTHER4 + STAMP4), None),
        (ts(5, 3, US4 + ROOM), ts(13, 3, US4 + STAMP4)),
        (ts(5, 3, OTHER4 + ROOM), None),
        (bytes([25, 4, 9, 9]), None),
    ],
)
def test_routes_and_times_are_recorded(before: bytes, after: bytes | None) -> None:
    """RFC 791 3.1, RFC 1812 5.3.13.5 and 5.3.13.6: next free place, our address, counter when full, else untouched."""
    pkt = packet(before)
    assert options_output(pkt, US, NOW) is (after is not None)
    wanted = before if after is None else after
    assert options_of(pkt) == wanted + bytes(-len(wanted) & 3)


def test_record_route_and_timestamp_in_one_header() -> None:
    """Both are written in one pass, whatever stands between them."""
    pkt = packet(rr(4) + b"\x01" + bytes([148, 4, 0, 0]) + ts(5, 1, bytes(8)))
    assert options_output(pkt, US, NOW)
    assert options_of(pkt) == rr(8, US4) + b"\x01" + bytes([148, 4, 0, 0]) + ts(13, 1, US4 + STAMP4)


def test_a_prespecified_address_may_be_any_of_ours() -> None:
    """RFC 1812 5.3.13.6: not only that of the device by which the packet comes or goes."""
    pkt = packet(ts(5, 3, OTHER4 + ROOM))
    assert options_output(pkt, US, NOW, {OTHER: "an address of another device"})
    assert options_of(pkt) == ts(13, 3, OTHER4 + STAMP4)


@pytest.mark.parametrize(
    ("options", "once"),
    [(rr(4, bytes(6)), rr(8, US4 + bytes(2))), (ts(5, 1, bytes(12)), ts(13, 1, US4 + STAMP4 + ROOM))],
)
def test_a_second_entry_never_runs_over_the_option_s_end(options: bytes, once: bytes) -> None:
    """A packet for us is written twice, in and in its reply; what is left may be too small for a whole entry."""
    pkt = packet(options)
    assert options_output(pkt, US, NOW)
    assert not options_output(pkt, US, NOW)
    assert options_of(pkt) == once + bytes(-len(once) & 3)


def test_times_are_marked_as_no_standard_time() -> None:
    """RFC 791 3.1: a time that is not UT's has its high bit set; it wraps within the rest."""
    assert stack_time(NOW) == STAMP
    assert stack_time(0) == 0x80000000
    assert stack_time(0x7FFFFFFF * 1_000_000) == 0xFFFFFFFF
    assert stack_time(0x80000000 * 1_000_000) == 0x80000000
    assert stack_time(1 << 100) == 0x80000000 | (1 << 100) // 1_000_000 & 0x7FFFFFFF


def test_a_reply_returns_the_recorded_route_and_times() -> None:
    """RFC 1122 3.2.2.6: both are updated by the receiver and returned without truncation; nothing else is."""
    request = packet(bytes([148, 4, 0, 0]) + rr(8, OTHER4 + bytes(8)) + b"\x01" + ts(5, 1, bytes(8)))
    assert options_output(request, US, NOW)
    kept = rr(12, OTHER4 + US4 + ROOM) + ts(13, 1, US4 + STAMP4)
    assert reply_options(request) == kept + bytes(-len(kept) & 3)
    assert reply_options(packet(bytes([130, 11, *range(9), 0]))) == b""
    reply = packet(reply_options(request))
    assert options_input(reply) == FINE
    assert options_output(reply, OTHER, NOW, counts_overflow=False)
    kept = rr(16, OTHER4 + US4 + OTHER4) + ts(13, 1, US4 + STAMP4)  # RFC 791: overflow counts modules, we had a place
    assert options_of(reply) == kept + bytes(-len(kept) & 3)


def test_malformed_options_are_neither_written_nor_returned() -> None:
    """Output and reply lean on `options_input`, and still do nothing wrong without it."""
    pkt = packet(bytes([7, 0, 4, 0]))
    before = pkt.data()
    assert not options_output(pkt, US, NOW)
    assert reply_options(pkt) == b""
    assert pkt.data() == before
