"""SYN cookies, first sequence numbers, timestamps: what is hashed, and what of it comes back."""

from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vrouter.stack.base.rng import Rng
from vrouter.stack.l4.tcp import cookies, isn
from vrouter.stack.l4.tcp.cookies import MINUTE, MSS_TABLE
from vrouter.stack.sysctl.records import TcpConf

u32 = st.integers(0, 2**32 - 1)
ends = st.tuples(u32, st.integers(0, 65535), st.integers(0, 2**128 - 1), st.integers(0, 65535))


def state(secret=5, **tcp):
    """What the hashes need of a namespace."""
    conf = SimpleNamespace(tcp=TcpConf(**tcp))
    return SimpleNamespace(secret=secret, ns=SimpleNamespace(stack=SimpleNamespace(rng=Rng(1)), conf=conf))


@given(ends, u32, st.integers(0, 65535), st.integers(0, 10**15), st.sampled_from((4, 6)))
def test_a_cookie_comes_back(four, irs, mss, now, family):
    """RFC 4987 3.6: the largest MSS of the table that is not above the peer's, in this minute and the next."""
    tcp = state()
    cookie, told = cookies.make(tcp, family, four, irs, mss, now)
    assert told == max((known for known in MSS_TABLE[family] if known <= mss), default=MSS_TABLE[family][0])
    assert cookies.check(tcp, family, four, irs, cookie, now) == told
    assert cookies.check(tcp, family, four, irs, cookie, now + MINUTE) == told
    assert cookies.check(tcp, family, four, irs, cookie, now + 2 * MINUTE) == 0


@given(ends, u32, u32)
def test_a_guessed_cookie_is_none(four, irs, guess):
    """RFC 4987 3.6: of 2**32 numbers 8 are good at a time."""
    tcp = state()
    good = cookies.make(tcp, 4, four, irs, 1460, 0)[0]
    assert cookies.check(tcp, 4, four, irs, guess, 0) == 0 or abs(guess - good) < 8
    assert cookies.check(state(6), 4, four, irs, good, 0) == 0


@given(u32, st.integers(-1, 14), st.booleans(), st.booleans())
def test_the_clock_tells_the_options(clock, wscale, sack, ecn):
    """Linux's cookie_init_timestamp: at most the clock, and not 64 ms behind it."""
    told = cookies.encode(clock, wscale, sack, ecn)
    assert 0 <= (clock - told) & 0xFFFFFFFF < 64
    assert cookies.decode(told, TcpConf()) == (wscale, sack, ecn)


@pytest.mark.parametrize(
    ("clock", "conf"),
    [
        (0x1F, TcpConf(sack=False)),
        (0x03, TcpConf(window_scaling=False)),
        (0x0F, TcpConf(timestamps=0)),
    ],
)
def test_what_is_switched_off_cannot_come_back(clock, conf):
    """A cookie is believed only as far as the SYN-ACK could have said it."""
    assert cookies.decode(clock, conf) is None


def test_first_numbers_follow_the_clock():
    """RFC 6528 3: M is a clock of 4 µs, F a keyed hash of both ends."""
    tcp = state()
    first = isn.initial_sequence(tcp, 1, 2, 3, 4, 0)
    assert first >= 1 << 32
    assert (isn.initial_sequence(tcp, 1, 2, 3, 4, 4_000_000) - first) % 2**32 == 1000
    assert isn.initial_sequence(tcp, 1, 2, 3, 5, 0) != first
    assert isn.initial_sequence(state(6), 1, 2, 3, 4, 0) != first


def test_timestamps_begin_elsewhere_for_each_peer():
    """RFC 7323 5.4: an offset for each pair of addresses; ``tcp_timestamps`` 2 has none."""
    tcp = state()
    assert isn.timestamp_offset(tcp, 1, 2) == isn.timestamp_offset(tcp, 1, 2) != isn.timestamp_offset(tcp, 1, 3)
    assert isn.timestamp_offset(state(timestamps=2), 1, 2) == 0
    assert isn.timestamp(0xFFFFFFFF, 5_000_000) == 4
