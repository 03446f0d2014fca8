"""ICMP for IPv4: messages, and the packets that errors quote."""

import pytest

from vrouter.stack.wire import icmp
from vrouter.stack.wire.checksum import is_valid
from vrouter.testing import frames

A, B = 0x0A000102, 0x0A000202


def test_emit_echo():
    """RFC 792 page 14: type, code, checksum, identifier, sequence, data; the checksum covers all of it."""
    buf = bytearray(b"\xee" * 2 + bytes(8) + b"abc" + b"\xee")
    icmp.emit(buf, 2, 13, icmp.ECHO, 0, 0x12340005)
    assert buf[:2] + buf[13:] == b"\xee" * 3
    assert buf[2:4] == b"\x08\x00"
    assert buf[6:13] == b"\x12\x34\x00\x05abc"
    assert icmp.checksum(buf, 2) == 0xFFFF - (0x0800 + 0x1234 + 0x0005 + 0x6162 + 0x6300)
    assert is_valid(buf, 2, 13)


def test_emit_replaces_an_old_header():
    """What stood in the header before has no influence on the checksum."""
    fresh, used = bytearray(12), bytearray(b"\x5a" * 8 + bytes(4))
    for buf in (fresh, used):
        icmp.emit(buf, 0, 12, icmp.ECHO_REPLY, 0, 7)
    assert fresh == used


@pytest.mark.parametrize("kind", [bytes, bytearray, memoryview])
def test_accessors(kind):
    """Every accessor reads its field of RFC 792."""
    buf = kind(bytes.fromhex("ff0304abcd00010578"))
    assert icmp.type_(buf, 1) == icmp.DEST_UNREACHABLE
    assert icmp.code(buf, 1) == icmp.FRAGMENTATION_NEEDED
    assert icmp.checksum(buf, 1) == 0xABCD
    assert icmp.rest(buf, 1) == 0x00010578
    assert icmp.ident(buf, 1) == 1
    assert icmp.sequence(buf, 1) == 1400


def test_error_types():
    """RFC 1122 section 3.2.2: unreachable, source quench, redirect, time exceeded and parameter problem are errors."""
    assert [kind for kind in range(256) if icmp.is_error(kind)] == [3, 4, 5, 11, 12]


def test_numbers():
    """RFC 792, 1122 section 3.2.2.1 and 1812 section 5.2.7.1: the numbers that go on the wire."""
    assert (icmp.ECHO_REPLY, icmp.DEST_UNREACHABLE, icmp.REDIRECT, icmp.ECHO) == (0, 3, 5, 8)
    assert (icmp.TIME_EXCEEDED, icmp.PARAMETER_PROBLEM, icmp.TIMESTAMP, icmp.TIMESTAMP_REPLY) == (11, 12, 13, 14)
    assert [
        icmp.NET_UNREACHABLE,
        icmp.HOST_UNREACHABLE,
        icmp.PROTOCOL_UNREACHABLE,
        icmp.PORT_UNREACHABLE,
        icmp.FRAGMENTATION_NEEDED,
        icmp.SOURCE_ROUTE_FAILED,
        icmp.NET_UNKNOWN,
        icmp.HOST_UNKNOWN,
        icmp.HOST_ISOLATED,
        icmp.NET_PROHIBITED,
        icmp.HOST_PROHIBITED,
        icmp.NET_UNREACHABLE_TOS,
        icmp.HOST_UNREACHABLE_TOS,
        icmp.COMM_PROHIBITED,
        icmp.HOST_PRECEDENCE_VIOLATION,
        icmp.PRECEDENCE_CUTOFF,
    ] == list(range(16))


# Quoted packets -------------------------------------------------------------------------------------------------------


def _quoted(packet, end=None):
    return icmp.QuotedPacket.parse(b"\xee" * 8 + packet, 8, 8 + len(packet) if end is None else 8 + end)


@pytest.mark.parametrize("cut", [28, 40, None])
def test_quoted_udp(cut):
    """RFC 792: the header and 8 octets of data tell whose packet it was; more may be quoted (RFC 1122 3.2.2)."""
    packet = frames.ipv4_udp(A, B, 4000, 53, b"a question", ident=77, df=True)
    assert _quoted(packet[:cut]) == icmp.QuotedPacket(A, B, 17, 4000, 53, 77, 38, 0, packet[20:28])


def test_quoted_packet_with_options():
    """The data starts behind the options."""
    packet = frames.ipv4_udp(A, B, 4000, 53, b"", options=b"\x94\x04\x00\x00")
    quoted = _quoted(packet)
    assert (quoted.sport, quoted.dport, quoted.data) == (4000, 53, packet[24:32])


def test_quoted_echo():
    """The identifier of a quoted echo request is read from its first 8 octets."""
    quoted = _quoted(frames.ipv4_echo(A, B, 321, 5, b"x" * 56)[:28])
    assert quoted.proto == 1
    assert icmp.ident(quoted.data, 0) == 321
    assert icmp.sequence(quoted.data, 0) == 5


def test_quoted_later_fragment_has_no_ports():
    """RFC 791 section 3.2: only the first fragment holds the transport header."""
    quoted = _quoted(frames.ipv4(A, B, 17, b"\x11" * 16, offset=1480))
    assert (quoted.sport, quoted.dport, quoted.fragment_offset) == (0, 0, 185)


@pytest.mark.parametrize(("size", "ports"), [(0, (0, 0)), (3, (0, 0)), (4, (0x0102, 0x0304)), (7, (0x0102, 0x0304))])
def test_quoted_packet_with_little_data(size, ports):
    """A packet that had fewer than 8 octets of data cannot be quoted with 8."""
    data = bytes(range(1, size + 1))
    quoted = _quoted(frames.ipv4(A, B, 89, data))
    assert (quoted.data, (quoted.sport, quoted.dport)) == (data, ports)


def test_changed_ttl_and_checksum_do_not_matter():
    """A quoted header is the packet's as it was when it died, its checksum included."""
    packet = frames.ipv4_udp(A, B, 1, 2, b"", ttl=0, checksum=0x1234)
    assert _quoted(packet).dst == B


GOOD = frames.ipv4_udp(A, B, 1, 2, b"data")


@pytest.mark.parametrize("size", range(28))
def test_truncated_quotes_are_refused(size):
    """RFC 792: less than the header and 8 octets is no quote, whether the buffer or the message ends there."""
    assert _quoted(GOOD[:size]) is None
    assert _quoted(GOOD, end=size) is None
    assert _quoted(GOOD[:size], end=28) is None


@pytest.mark.parametrize(
    "wrong", [{"version": 6}, {"version": 5}, {"ihl": 4}, {"ihl": 0}, {"ihl": 15}, {"total_length": 19}]
)
def test_broken_quotes_are_refused(wrong):
    """A version other than 4, a header below 20 bytes or longer than what is there, a total below the header."""
    assert _quoted(frames.ipv4(A, B, 17, b"12345678", **wrong)) is None
