"""Congestion control against exact arithmetic and obvious twins."""

from fractions import Fraction

from hypothesis import given
from hypothesis import strategies as st

from vrouter.stack.l4.tcp.cc.bbr import WindowedMax
from vrouter.stack.l4.tcp.cc.cubic import CubicState, _begin_stage, cube_root, window

segments = st.integers(48, 9000)
windows = st.integers(0, 1 << 30)
numbers = st.one_of(st.integers(0, 10_000), st.integers(0, 1 << 200), st.integers(0, 1 << 64).map(lambda n: n**3))


@given(number=numbers, off=st.integers(-1, 1))
def test_the_cube_root_is_exact(number, off):
    """RFC 9438 4.2: root**3 <= number < (root + 1)**3, around exact cubes as well."""
    number = max(0, number + off)
    root = cube_root(number)
    assert root**3 <= number < (root + 1) ** 3


@given(mss=segments, cwnd=windows, w_max=windows, t=st.integers(0, 10**12))
def test_the_curve_is_the_formula(mss, cwnd, w_max, t):
    """RFC 9438 4.2: W(t) = 0.4 (t - K)^3 + W_max in exact fractions, K to the ns, W to the byte."""
    state = CubicState()
    state.w_max = w_max
    _begin_stage(state, cwnd, mss, 0)
    distance = Fraction(max(0, w_max - cwnd) * 10, 4 * mss)  # (W_max - cwnd) / C in segments: K^3 in s^3
    assert Fraction(state.k, 10**9) ** 3 <= distance < Fraction(state.k + 1, 10**9) ** 3
    exact = max(w_max, cwnd) + Fraction(4 * mss, 10) * Fraction(t - state.k, 10**9) ** 3
    assert window(state, t, mss) == exact.__floor__()


@given(mss=segments, cwnd=windows, w_max=windows)
def test_the_curve_begins_at_the_window(mss, cwnd, w_max):
    """RFC 9438 4.2: W(0) is the window at the beginning of the stage, but for what K's last nanosecond is worth."""
    state = CubicState()
    state.w_max = w_max
    _begin_stage(state, cwnd, mss, 0)
    slope = 6 * mss * state.k**2 // (5 * 10**27) + 1  # bytes in a ns at t = 0
    assert 0 <= window(state, 0, mss) - cwnd <= slope + 1


@given(values=st.lists(st.tuples(st.integers(0, 4), st.integers(0, 100)), min_size=1, max_size=200))
def test_the_windowed_maximum(values):
    """It is a value of the window, never below the newest, and the highest one for as long as that is in the window."""
    best, tick, seen = WindowedMax(10), 0, []
    for step, value in values:
        tick += step
        best.update(tick, value)
        seen.append((tick, value))
        inside = [one for at, one in seen if tick - at <= 10]
        assert value <= best.value <= max(inside)
        recent = [one for at, one in seen if tick - at <= 2]
        assert best.value >= max(recent)
