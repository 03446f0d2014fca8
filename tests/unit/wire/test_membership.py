"""IGMP and MLD: bytes of every version, and what is malformed."""

import pytest

from vrouter.stack.base.addresses import parse_ipv4, parse_ipv6, scoped
from vrouter.stack.wire import igmp, membership, mld
from vrouter.stack.wire.membership import ALLOW, IS_EXCLUDE, TO_INCLUDE, Query, Record, Report
from vrouter.testing import frames as make

G4, S4, T4 = "239.1.2.3", "10.0.1.2", "10.0.1.3"
G6, S6 = "ff05::7", "fd00::2"
LOW, ALL = "fe80::1", "ff02::16"


def igmp_parse(message):
    return igmp.parse(message, 0, len(message))


def mld_parse(message):
    return mld.parse(message, 0, len(message))


@pytest.mark.parametrize(
    ("message", "value"),
    [
        (make.igmp_query(version=1), Query(1, 0, 10_000)),
        (make.igmp_query(G4, version=2, code=15), Query(2, parse_ipv4(G4), 1500)),
        (make.igmp_query(code=100), Query(3, 0, 10_000, False, 2, 125)),
        (
            make.igmp_query(G4, [S4, T4], code=0x8F, suppress=True, robustness=7, interval=0xFF),
            Query(3, parse_ipv4(G4), 24_800, True, 7, 31744, [parse_ipv4(S4), parse_ipv4(T4)]),
        ),
        (make.igmp_report(G4, version=1), Report(1, [Record(IS_EXCLUDE, parse_ipv4(G4))])),
        (make.igmp_report(G4), Report(2, [Record(IS_EXCLUDE, parse_ipv4(G4))])),
        (make.igmp_report(G4, leave=True), Report(2, [Record(TO_INCLUDE, parse_ipv4(G4))])),
        (make.igmp3_report(), Report(3)),
        (
            make.igmp3_report(make.igmp_record(5, G4, [S4]), make.igmp_record(2, G4)),
            Report(3, [Record(ALLOW, parse_ipv4(G4), [parse_ipv4(S4)]), Record(IS_EXCLUDE, parse_ipv4(G4))]),
        ),
    ],
)
def test_igmp(message, value):
    """RFC 2236 section 2, RFC 3376 sections 4 and 7.1, both ways."""
    assert igmp_parse(message) == value
    assert igmp.emit(value) == message


@pytest.mark.parametrize(
    ("message", "value"),
    [
        (make.mld_query(LOW, ALL, version=1, max_response=40_000), Query(1, 0, 40_000)),
        (make.mld_query(LOW, ALL, G6, max_response=1000), Query(2, parse_ipv6(G6), 1000, False, 2, 125)),
        (
            make.mld_query(LOW, ALL, G6, [S6], max_response=0x8FFF, suppress=True, robustness=0, interval=0x80),
            Query(2, parse_ipv6(G6), 65528, True, 0, 128, [parse_ipv6(S6)]),
        ),
        (make.mld_report(LOW, ALL, G6), Report(1, [Record(IS_EXCLUDE, parse_ipv6(G6))])),
        (make.mld_report(LOW, ALL, G6, done=True), Report(1, [Record(TO_INCLUDE, parse_ipv6(G6))])),
        (
            make.mld2_report(LOW, ALL, make.mld_record(5, G6, [S6]), make.mld_record(2, G6)),
            Report(2, [Record(ALLOW, parse_ipv6(G6), [parse_ipv6(S6)]), Record(IS_EXCLUDE, parse_ipv6(G6))]),
        ),
    ],
)
def test_mld(message, value):
    """RFC 2710 section 3, RFC 3810 sections 5 and 8.1, both ways."""
    assert mld_parse(message) == value
    assert mld.emit(value, parse_ipv6(LOW), parse_ipv6(ALL)) == message


def test_zones_stay_behind():
    """A source may be an address of the link; its zone is the node's own."""
    low = scoped(parse_ipv6(LOW), 3)
    message = mld.emit(Report(2, [Record(ALLOW, parse_ipv6(G6), [low])]), low, parse_ipv6(ALL))
    assert message == make.mld2_report(LOW, ALL, make.mld_record(5, G6, [LOW]))
    query = mld.emit(Query(2, parse_ipv6(G6), 5, sources=[low]), low, parse_ipv6(ALL))
    assert query == make.mld_query(LOW, ALL, G6, [LOW], max_response=5, robustness=0, interval=0)


@pytest.mark.parametrize("size", [9, 10, 11])
def test_queries_of_no_version_are_ignored(size):
    """RFC 3376 section 7.1, RFC 3810 section 8.1."""
    assert igmp_parse(make.igmp(0x11, 5, G4, bytes(size - 8))) is None
    assert mld_parse(make.icmp6(LOW, ALL, 130, 0, 0, bytes(16 + size - 8))) is None


@pytest.mark.parametrize(
    "message",
    [
        b"",
        make.igmp_report(G4)[:7],
        make.igmp_report(G4, checksum=1),
        make.igmp(0x99, 0, G4),
        make.igmp(0x13, 0, G4),
        make.igmp_query(G4, [S4, T4])[:-1],
        make.igmp(0x11, 5, G4, bytes((0, 0, 0, 2)) + bytes(7)),
        make.igmp3_report(count=1),
        make.igmp3_report(make.igmp_record(2, G4), count=2),
        make.igmp3_report(make.igmp_record(2, G4, [S4])[:-1]),
        make.igmp3_report(make.igmp_record(2, G4, [], b"abcd")[:-1]),
        make.igmp3_report(make.igmp_record(2, G4), count=65535),
        make.igmp3_report(*[make.igmp_record(2, G4)] * (membership.MAX_RECORDS + 1)),
        make.igmp3_report(make.igmp_record(2, G4, range(membership.MAX_SOURCES)), make.igmp_record(2, G4, [S4])),
    ],
)
def test_malformed_igmp(message):
    """Cut short, a wrong checksum, an unknown type, counts that are not true, and more than the bounds."""
    assert igmp_parse(message) is None


@pytest.mark.parametrize(
    "message",
    [
        b"",
        make.mld_report(LOW, ALL, G6)[:23],
        make.mld_query(LOW, ALL, G6)[:27],
        make.mld_query(LOW, ALL, G6, [S6])[:-1],
        make.icmp6(LOW, ALL, 135, 0, 0, bytes(16)),
        make.mld2_report(LOW, ALL, count=1),
        make.mld2_report(LOW, ALL, make.mld_record(2, G6, [S6])[:-1]),
        make.mld2_report(LOW, ALL, *[make.mld_record(2, G6)] * (membership.MAX_RECORDS + 1)),
    ],
)
def test_malformed_mld(message):
    """Cut short, another type, counts that are not true, and more than the bounds."""
    assert mld_parse(message) is None


def test_what_a_report_may_carry_besides_is_passed_over():
    """RFC 3376 sections 4.2.6, 4.2.11 and 4.2.12: auxiliary data, more data behind the records, unknown kinds."""
    records = [make.igmp_record(7, G4, [S4]), make.igmp_record(0, G4), make.igmp_record(2, G4, [S4], b"auxi")]
    message = make.igmp3_report(*records, b"and more", count=3)
    assert igmp_parse(message) == Report(3, [Record(IS_EXCLUDE, parse_ipv4(G4), [parse_ipv4(S4)])])


def test_the_most_that_is_allowed():
    """As many records and sources as the bounds say."""
    many = make.igmp3_report(*[make.igmp_record(2, G4)] * membership.MAX_RECORDS)
    assert len(igmp_parse(many).records) == membership.MAX_RECORDS
    long = make.igmp3_report(make.igmp_record(2, G4, range(membership.MAX_SOURCES)))
    assert igmp_parse(long).records[0].sources == list(range(membership.MAX_SOURCES))


@pytest.mark.parametrize(
    "report",
    [
        Report(1, [Record(TO_INCLUDE, parse_ipv4(G4))]),
        Report(2, [Record(ALLOW, parse_ipv4(G4))]),
        Report(2, [Record(IS_EXCLUDE, parse_ipv4(G4), [1])]),
        Report(2, [Record(IS_EXCLUDE, parse_ipv4(G4))] * 2),
        Report(2, []),
    ],
)
def test_what_an_old_version_cannot_tell(report):
    """IGMPv1 has no leave, neither version has sources, and a message is about one group."""
    with pytest.raises(ValueError):
        igmp.emit(report)


def test_what_mld_version_1_cannot_tell():
    """As IGMPv2."""
    for records in ([Record(ALLOW, 1)], [Record(IS_EXCLUDE, 1, [2])], [Record(IS_EXCLUDE, 1)] * 2, []):
        with pytest.raises(ValueError):
            mld.emit(Report(1, records), 1, 2)


def test_times_beyond_what_can_be_told():
    """The greatest that the field has: a query is never one of version 1 by a short time."""
    assert igmp.emit(Query(2, 0, 10))[1] == 1
    assert igmp.emit(Query(2, 0, 10**9))[1] == 255
    assert igmp.emit(Query(3, 0, 10**9, interval=10**9))[1] == 0xFF
    assert igmp.emit(Query(3, 0, 10**9, interval=10**9))[9] == 0xFF
    assert mld.emit(Query(1, 0, 10**9), 1, 2)[4:6] == b"\xff\xff"
    assert mld.emit(Query(2, 0, 10**9), 1, 2)[4:6] == b"\xff\xff"
    assert igmp.emit(Query(3, 0, 0, robustness=8))[8] == 0


@pytest.mark.parametrize("parse", [igmp.parse, mld.parse])
def test_the_place_of_a_message_is_checked(parse):
    """Ends beyond the buffer and places before it are refused, not read."""
    message = make.mld_report(LOW, ALL, G6) if parse is mld.parse else make.igmp_report(G4)
    assert parse(message, 0, len(message)) is not None
    assert parse(message, -1, len(message)) is None
    assert parse(message, 0, len(message) + 1) is None
