"""Timestamps as the receiver sees them (RFC 7323)."""

import pytest

from tests.unit.tcp.receiving import START, receiver, segment
from vrouter.stack.l4.tcp import timestamps
from vrouter.stack.l4.tcp.tcb import MS, SECOND
from vrouter.stack.wire.tcp import ACK, FIN

DAY = 86400 * SECOND


@pytest.fixture
def tcb():
    made = receiver()
    made.ts_ok = True
    made.ts_recent, made.ts_recent_at = 1000, 0
    return made


def test_the_clock_counts_milliseconds_with_an_offset(tcb):
    """RFC 7323 4.1, 5.4: between 1 ms and 1 s a tick, and nobody learns of the host's clock."""
    tcb.ts_offset = 0xFFFFFFFE
    assert timestamps.clock(tcb, 5 * MS) == 3
    assert timestamps.clock(tcb, 0) == 0xFFFFFFFE


def test_the_age_of_an_echo(tcb):
    """RFC 7323 4.2: whole milliseconds, at least one; what is of the future is nobody's."""
    tcb.ts_offset = 100
    assert timestamps.echo_age(tcb, 100, 7 * MS) == 7 * MS
    assert timestamps.echo_age(tcb, 107, 7 * MS) == MS
    assert timestamps.echo_age(tcb, 108, 7 * MS) == -1


@pytest.mark.parametrize(
    ("tsval", "old"), [(1000, False), (999, True), (1001, False), (1000 + 0x7FFFFFFF, False), (1000 - 0x7FFFFFFF, True)]
)
def test_what_is_old(tcb, tsval, old):
    """RFC 7323 5.3 R1: SEG.TSval < TS.Recent, modulo 2**32."""
    assert timestamps.is_old(tcb, tsval & 0xFFFFFFFF, SECOND) is old


def test_after_24_days_nothing_is_old(tcb):
    """RFC 7323 5.5: TS.Recent says nothing any more."""
    assert timestamps.is_old(tcb, 999, 24 * DAY)
    assert not timestamps.is_old(tcb, 999, 24 * DAY + 1)


def test_a_recent_of_zero_forbids_nothing(tcb):
    """Some peers say 0 in their SYN, and anything after it."""
    tcb.ts_recent = 0
    assert not timestamps.is_old(tcb, 0x80000001, SECOND)


@pytest.mark.parametrize(("seq", "taken"), [(START, True), (START - 500, True), (START + 1, False)])
def test_which_one_is_echoed(tcb, seq, taken):
    """RFC 7323 4.3 (2): that of the segment which reaches what was acknowledged last."""
    tcb.rcv_nxt = START + 1000
    timestamps.update(tcb, segment(b"x", ts=True, tsval=1500), seq, SECOND)
    assert (tcb.ts_recent, tcb.ts_recent_at) == ((1500, SECOND) if taken else (1000, 0))


def test_the_echo_does_not_go_back(tcb):
    """RFC 7323 4.3 (2): SEG.TSval >= TS.Recent."""
    timestamps.update(tcb, segment(b"x", ts=True, tsval=999), START, SECOND)
    assert tcb.ts_recent == 1000


class TestRefusal:
    """RFC 7323 5.3 R1."""

    def test_data_from_long_ago(self, tcb):
        """They are refused, but for one tick."""
        assert timestamps.refuses(tcb, segment(b"x", tsval=998), START, SECOND)
        assert not timestamps.refuses(tcb, segment(b"x", tsval=999), START, SECOND)

    def test_a_pure_ack_that_was_overtaken(self, tcb):
        """One that repeats what is known may be as late as the timeout allows; else it is refused."""
        same = {"ack": tcb.snd_una & 0xFFFFFFFF, "window": 10}
        tcb.snd_wnd = 10
        assert not timestamps.refuses(tcb, segment(tsval=800, **same), START, SECOND)
        assert timestamps.refuses(tcb, segment(tsval=799, **same), START, SECOND)
        assert timestamps.refuses(tcb, segment(tsval=800, **same), START - 1, SECOND)
        assert timestamps.refuses(tcb, segment(tsval=800, flags=ACK | FIN, **same), START, SECOND)
        assert timestamps.refuses(tcb, segment(tsval=800, ack=same["ack"], window=11), START, SECOND)
