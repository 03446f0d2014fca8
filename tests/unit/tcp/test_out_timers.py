"""A connection's timers: armed, moved, and taken for what they stand for."""

from __future__ import annotations

import pytest

from tests.unit.tcp.outgoing import connected, take
from vrouter.stack.l4 import constants as c
from vrouter.stack.l4.tcp import expiry, output, retries, timers
from vrouter.stack.l4.tcp.tcb import MS, REXMIT_NONE, REXMIT_PROBE, REXMIT_RTO, REXMIT_TLP, SECOND, SYN_SENT
from vrouter.testing import Lab


def test_a_timer_that_is_put_off_is_moved_when_it_comes_up(lab: Lab) -> None:
    """RFC 6298 5.3: each ACK restarts the timer; the heap is touched only when it comes up too early."""
    tcb = connected(lab)
    heap = tcb.ns.stack.timers
    now = lab.now
    timers.arm_rexmit(tcb, REXMIT_RTO, now + 100)
    timers.arm_rexmit(tcb, REXMIT_RTO, now + 300)
    assert tcb.rexmit.deadline == now + 100
    assert tcb.rexmit_at == now + 300
    assert heap.pop_due(now + 100) is tcb.rexmit
    assert expiry.retransmit_due(tcb, now + 100) is tcb.ns
    assert tcb.rexmit.deadline == now + 300
    assert tcb.rexmit_kind == REXMIT_RTO
    assert take(tcb) == []


def test_a_timer_that_is_due_earlier_is_due_earlier(lab: Lab) -> None:
    """A probe before the RTO is not late because the timer stood for the RTO."""
    tcb = connected(lab)
    timers.arm_rexmit(tcb, REXMIT_RTO, lab.now + 300)
    timers.arm_rexmit(tcb, REXMIT_TLP, lab.now + 100)
    assert tcb.rexmit.deadline == tcb.rexmit_at == lab.now + 100
    assert tcb.rexmit_kind == REXMIT_TLP


def test_what_is_disarmed_is_not_due(lab: Lab) -> None:
    """RFC 6298 5.2: when all is acknowledged the timer is off, and the stack has nothing to wait for."""
    tcb = connected(lab)
    timers.arm_rexmit(tcb, REXMIT_PROBE, lab.now + 100)
    armed = len(tcb.ns.stack.timers)
    timers.disarm_rexmit(tcb)
    timers.disarm_rexmit(tcb)
    assert len(tcb.ns.stack.timers) == armed - 1
    assert tcb.rexmit_kind == REXMIT_NONE


def test_a_user_timeout_bounds_the_rto(lab: Lab) -> None:
    """RFC 5482: the timer comes up when the time of the program is over, not only with the next RTO."""
    tcb = connected(lab)
    tcb.user_timeout = 500 * MS
    tcb.retrans_at = lab.now
    timers.arm_rexmit(tcb, REXMIT_RTO, lab.now + SECOND)
    assert tcb.rexmit_at == lab.now + SECOND  # nothing was sent again yet
    tcb.retransmits = 1
    timers.arm_rexmit(tcb, REXMIT_RTO, lab.now + SECOND)
    assert tcb.rexmit_at == lab.now + 500 * MS


def test_the_end_takes_all_timers_along(lab: Lab) -> None:
    """RFC 9293 3.10.7: a connection that is no more waits for nothing."""
    tcb = connected(lab)
    before = len(tcb.ns.stack.timers)
    timers.arm_rexmit(tcb, REXMIT_RTO, lab.now + 100)
    timers.arm_delack(tcb, lab.now + 100)
    timers.arm_keepalive(tcb, lab.now + 100)
    timers.arm_pacing(tcb, lab.now + 100)
    assert len(tcb.ns.stack.timers) == before + 4
    timers.cancel_all(tcb)
    assert len(tcb.ns.stack.timers) == before


def test_counts_stand_for_times(lab: Lab) -> None:
    """RFC 9293 3.8.3: so many retries are as long as an RTO of 200 ms that doubles up to two minutes takes for them."""
    tcb = connected(lab)
    tcb.retrans_at = 0
    assert not retries.timed_out(tcb, 3, 0, 10 * SECOND)  # nothing was sent again
    tcb.retransmits = 1
    for count, limit in [(1, 600), (3, 3000), (8, 102_200), (9, 204_600), (10, 324_600), (15, 924_600)]:
        assert not retries.timed_out(tcb, count, 0, limit * MS - 1)
        assert retries.timed_out(tcb, count, 0, limit * MS)
    assert not retries.timed_out(tcb, 15, SECOND, SECOND - 1)
    assert retries.timed_out(tcb, 15, SECOND, SECOND)


def test_a_syn_is_counted_by_its_own_timeout(lab: Lab) -> None:
    """RFC 9293 3.8.3: of a SYN the first timeout is a second."""
    tcb = connected(lab)
    tcb.state = SYN_SENT
    tcb.retrans_at, tcb.retransmits = 0, 1
    assert not retries.timed_out(tcb, 3, 0, 15 * SECOND - 1)
    assert retries.timed_out(tcb, 3, 0, 15 * SECOND)


def test_orphans_are_tried_for_less_long(lab: Lab) -> None:
    """tcp(7), tcp_orphan_retries: 8 when it is 0; none when something is wrong and the RTO is at its end."""
    tcb = connected(lab)
    assert retries.of_orphan(tcb, True) == 8
    assert retries.of_orphan(tcb, False) == 0
    tcb.ns.sysctl["net.ipv4.tcp_orphan_retries"] = 3
    assert retries.of_orphan(tcb, False) == 3
    tcb.soft_error = 113
    assert retries.of_orphan(tcb, False) == 0


@pytest.mark.parametrize("family", [c.AF_INET, c.AF_INET6])
def test_at_r1_ip_is_asked_for_another_way(lab: Lab, family: int) -> None:
    """RFC 9293 3.8.3 (MUST-20, SHLD-10): the route that is kept is forgotten when R1 is reached, and not before."""
    tcb = connected(lab, family)
    output.queue_data(tcb, b"data")
    output.output(tcb, lab.now)
    route, tcb.retransmits, tcb.retrans_at = tcb.route, 3, lab.now
    assert route is not None
    assert not retries.gives_up(tcb, lab.now + 3 * SECOND - 1)
    assert tcb.route is route
    assert not retries.gives_up(tcb, lab.now + 3 * SECOND)
    assert tcb.route is None
