"""BBR, version 1 (draft-cardwell-iccrg-bbr-congestion-control-00)."""

import pytest

from tests.unit.tcp.connection import MSS, connection
from tests.unit.tcp.path import Path
from vrouter.stack.l4.tcp.cc import base
from vrouter.stack.l4.tcp.cc.bbr import CYCLE, DRAIN, PROBE_BW, PROBE_RTT, STARTUP, UNIT, WindowedMax
from vrouter.stack.l4.tcp.tcb import CA_LOSS, CA_OPEN, CA_RECOVERY, INFINITE_SSTHRESH, MS, SECOND

RATE = 1_250_000  # bytes a second: 10 Mbit/s
RTT = 40 * MS
BDP = RATE * RTT // SECOND


def flow(seed=1, queue=1000, rate=RATE):
    tcb = connection("bbr", cwnd=10, rtt=RTT, seed=seed)
    return tcb, Path(tcb, rate, RTT, queue)


def test_the_first_pace():
    """Draft 4.2.1: the initial window for each round trip, times 2/ln 2; a millisecond where no round trip is known."""
    tcb = connection("bbr", rtt=50 * MS)
    assert tcb.pacing_rate == 10 * MSS * 20 * 739 // 256
    assert connection("bbr", rtt=0).pacing_rate == 10 * MSS * 1000 * 739 // 256
    assert tcb.ssthresh == INFINITE_SSTHRESH


def test_startup_finds_the_bandwidth_and_drain_empties_the_queue():
    """Draft 4.3.2, 4.3.3: three rounds without a quarter more end STARTUP, in flight of one BDP ends DRAIN."""
    tcb, path = flow()
    state = tcb.cc_state
    seen = []
    while state.mode != PROBE_BW:
        path.run(0.001)
        if not seen or seen[-1] != state.mode:
            seen.append(state.mode)
    assert seen == [STARTUP, DRAIN, PROBE_BW]
    assert path.now < 0.75 * SECOND
    assert state.bandwidth.value == pytest.approx(RATE, rel=0.01)
    assert state.min_rtt == pytest.approx(RTT, rel=0.05)


def test_it_holds_the_path_full_without_a_standing_queue():
    """Draft 4.3.4: over many cycles the throughput is the path's, and the round trip stays below two."""
    tcb, path = flow()
    path.run(2)
    before = tcb.delivered
    path.run(5)
    assert (tcb.delivered - before) / 5 > 0.97 * RATE
    assert tcb.srtt < 1.5 * RTT
    assert path.drops == 0


def test_it_does_not_mind_losses():
    """Draft 1: a queue of a quarter of the BDP, which drops in every probe, does not slow it down."""
    tcb, path = flow(queue=12)
    path.run(2)
    before = tcb.delivered
    path.run(5)
    assert path.drops > 0
    assert (tcb.delivered - before) / 5 > 0.9 * RATE


def test_the_cycle():
    """Draft 4.3.4.3: 5/4, 3/4 and six times 1, each for a least round trip; it begins anywhere but at 3/4."""
    gains = [gain / UNIT for gain in CYCLE]
    assert gains == [1.25, 0.75, 1, 1, 1, 1, 1, 1]
    first = set()
    for seed in range(40):
        tcb, path = flow(seed)
        while tcb.cc_state.mode != PROBE_BW:
            path.run(0.001)
        first.add(tcb.cc_state.cycle_index)
    assert first == {0, 2, 3, 4, 5, 6, 7}


def test_probe_rtt_after_ten_seconds():
    """Draft 4.3.5: without a lower round trip for 10 s, 200 ms and a round at four segments, then as before."""
    tcb, path = flow()
    path.run(1)
    tcb.cc_state.min_rtt -= MS  # no queue is that short again
    while tcb.cc_state.mode != PROBE_RTT:
        path.run(0.001)
    began = path.now
    assert 10 * SECOND < began < 10.6 * SECOND
    window = tcb.cc_state.prior_cwnd
    path.run(0.1)
    assert tcb.cwnd == 4 * MSS
    while tcb.cc_state.mode == PROBE_RTT:
        path.run(0.001)
    assert 200 * MS < path.now - began < 400 * MS
    assert tcb.cwnd >= window > BDP
    assert tcb.cc_state.min_rtt == pytest.approx(RTT, rel=0.05)


def test_more_bandwidth_is_found():
    """Draft 4.3.4.3: probing at 5/4 follows a path that became twice as fast."""
    tcb, path = flow()
    path.run(2)
    path.rate = 2 * RATE
    path.run(6)
    assert tcb.cc_state.bandwidth.value == pytest.approx(2 * RATE, rel=0.02)


def test_less_bandwidth_is_found():
    """Draft 4.1.1.3: the filter forgets what is ten rounds old."""
    tcb, path = flow()
    path.run(2)
    path.rate = RATE // 2
    path.run(4)
    assert tcb.cc_state.bandwidth.value == pytest.approx(RATE // 2, rel=0.05)


def test_a_slow_program_says_nothing_about_the_path():
    """Draft 4.1.1.4: samples of an application-limited flight do not lower the bandwidth, nor end STARTUP."""
    tcb, path = flow()
    path.run(2)
    path.limit = 5 * MSS
    path.run(3)
    assert tcb.cc_state.bandwidth.value == pytest.approx(RATE, rel=0.02)
    tcb, path = flow()
    path.limit = 2 * MSS
    path.run(3)
    assert tcb.cc_state.mode == STARTUP


def test_after_idle_the_pace_is_the_bandwidth():
    """Draft 4.3.4.4: a restart from idle in PROBE_BW makes no queue."""
    tcb, path = flow()
    path.run(2)
    tcb.app_limited = tcb.delivered + 1
    tcb.cc.on_event(tcb, base.TX_START, path.now)
    assert tcb.pacing_rate == tcb.cc_state.bandwidth.value * 99 // 100
    assert tcb.cc_state.idle_restart


def test_packets_are_conserved_in_the_first_round_of_recovery():
    """Draft 4.2.3.4: what is in flight and newly delivered; afterwards at least the window of before."""
    tcb, path = flow()
    path.run(2)
    window = tcb.prior_cwnd = tcb.cwnd
    assert tcb.cc.ssthresh(tcb) == tcb.ssthresh
    tcb.ca_state = CA_RECOVERY
    path.lost = 10 * MSS
    path.run(0.002)
    assert tcb.cc_state.conserve
    assert tcb.cwnd < window
    path.run(0.1)
    assert not tcb.cc_state.conserve
    tcb.ca_state = CA_OPEN
    path.run(0.002)
    assert tcb.cwnd >= window - 3 * MSS


def test_a_timeout_asks_anew_whether_the_pipe_is_full():
    """Linux's bbr_set_state: the estimate of a full pipe begins again, and the timeout ends a round."""
    tcb, path = flow()
    path.run(0.2)
    tcb.cc.set_state(tcb, CA_LOSS, path.now)
    assert (tcb.cc_state.full_bandwidth, tcb.cc_state.round_start) == (0, True)


def test_so_max_pacing_rate_bounds_it():
    """SO_MAX_PACING_RATE is the most."""
    tcb, path = flow()
    tcb.pacing_max = RATE // 4
    path.run(3)
    assert tcb.pacing_rate == RATE // 4
    assert tcb.delivered < RATE  # 3 s at a quarter, and the first burst


def test_info():
    """What ``ss -i`` shows: bandwidth, least round trip, gains."""
    tcb, path = flow()
    path.run(2)
    told = tcb.cc.info(tcb)
    assert set(told) == {"bw", "min_rtt_ns", "pacing_gain", "cwnd_gain"}
    assert told["bw"] == pytest.approx(RATE, rel=0.01)
    assert told["cwnd_gain"] == 512


def test_windowed_max():
    """The highest of the last ten ticks, and what comes after it when it is too old."""
    best = WindowedMax(10)
    seen = []
    for tick, value in enumerate([5, 9, 7, 6] + [3] * 12):
        best.update(tick, value)
        seen.append(best.value)
    assert seen[:12] == [5] + [9] * 11
    assert 9 not in seen[12:]
    assert seen[-1] == 3
