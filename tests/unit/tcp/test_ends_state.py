"""What the connections of a namespace share: memory, challenges, TIME-WAIT's order, what is known of peers."""

from types import SimpleNamespace

from tests.unit.tcp.receiving import Namespace
from vrouter.stack.base.counters import Stat
from vrouter.stack.base.rng import Rng
from vrouter.stack.l4.tcp.metrics import MAX_PEERS, Metrics, begin, save
from vrouter.stack.l4.tcp.state import PAGE, SECOND, TcpState


def state(**tcp):
    """One of its own."""
    ns = Namespace(**tcp)
    ns.stack.rng = Rng(1)
    return TcpState(ns)


def test_memory_is_under_pressure_between_its_bounds():
    """``tcp_mem``: pressure begins above the second number and ends at the first; the third is the most."""
    tcp = state(mem=(10, 20, 30))
    tcp.charge(20 * PAGE)
    assert not tcp.pressure
    tcp.charge(1)
    assert tcp.pressure
    tcp.release(1 + 9 * PAGE)
    assert tcp.pressure
    tcp.release(PAGE)
    assert not tcp.pressure
    assert tcp.memory == 10 * PAGE
    assert tcp.has_room(20 * PAGE)
    assert not tcp.has_room(20 * PAGE + 1)


def test_challenges_of_a_second():
    """RFC 5961 7: between half and one and a half of the limit, drawn anew each second."""
    tcp = state(challenge_ack_limit=100)
    counts = [sum(tcp.may_challenge(second * SECOND + i) for i in range(1000)) for second in range(20)]
    assert all(50 <= count < 150 for count in counts)
    assert len(set(counts)) > 10


def test_no_limit_and_none_at_all():
    """``tcp_challenge_ack_limit``: 2**31 - 1 is no limit; 0 lets none go."""
    assert all(state(challenge_ack_limit=0x7FFFFFFF).may_challenge(0) for _ in range(2000))
    assert not state(challenge_ack_limit=0).may_challenge(0)


def test_answers_of_one_connection():
    """``tcp_invalid_ratelimit``: one in half a second; 0 is no limit; what is skipped is counted."""
    tcp = state()
    entry = SimpleNamespace(challenge_at=-(1 << 62))
    skipped = Stat.TcpACKSkippedSeq
    assert [tcp.may_answer(entry, skipped, at * SECOND // 10) for at in (0, 1, 4, 5, 9, 10)] == [
        True, False, False, True, False, True,
    ]  # fmt: skip
    assert tcp.ns.stats[skipped] == 3
    tcp = state(invalid_ratelimit=0)
    assert all(tcp.may_answer(entry, skipped, 0) for _ in range(5))


def test_the_peer_that_was_asked_for_longest_ago_is_forgotten():
    """Bounded, whoever connects."""
    metrics = Metrics()
    for peer in range(MAX_PEERS):
        metrics.of(4, peer).rtt = peer + 1
    assert metrics.find(4, 0).rtt == 1
    metrics.of(6, 0)
    assert len(metrics) == MAX_PEERS
    assert metrics.find(4, 1) is None
    assert metrics.find(4, 0).rtt == 1


def connection(tcp, **fields):
    """What of a Tcb metrics are made of."""
    fields = {"srtt": 0, "rto": SECOND, "backoff": 0, "reordering": 3, **fields}
    return SimpleNamespace(tcp=tcp, ns=tcp.ns, family=4, peer=9, **fields)


def test_a_connection_begins_with_what_the_last_one_found_out():
    """Linux's tcp_init_metrics: RTO of the peer's RTT when that was longer, its reordering; without any RTT 3 s (RFC
    6298 5.7)."""
    tcp = state()
    first = connection(tcp)
    begin(first)
    assert first.rto == 3 * SECOND
    save(connection(tcp, srtt=SECOND // 2, reordering=9))
    second = connection(tcp, srtt=SECOND // 10)
    begin(second)
    assert (second.rto, second.reordering) == (3 * SECOND // 2, 9)
    third = connection(tcp, srtt=SECOND, rto=7)
    begin(third)
    assert third.rto == 7


def test_what_a_connection_in_trouble_saw_is_not_kept():
    """Linux's tcp_update_metrics: backed off means unknown; ``tcp_no_metrics_save`` keeps nothing."""
    tcp = state()
    save(connection(tcp, srtt=SECOND))
    save(connection(tcp, srtt=SECOND, backoff=2))
    assert tcp.metrics.find(4, 9).rtt == 0
    tcp = state(no_metrics_save=True)
    save(connection(tcp, srtt=SECOND))
    assert len(tcp.metrics) == 0


def test_a_shorter_round_trip_is_believed_slowly():
    """Linux's tcp_update_metrics: an eighth of the difference at a time; a longer one at once."""
    tcp = state()
    save(connection(tcp, srtt=8000))
    save(connection(tcp, srtt=0 + 4000))
    assert tcp.metrics.find(4, 9).rtt == 7500
    save(connection(tcp, srtt=9000))
    assert tcp.metrics.find(4, 9).rtt == 9000
