"""Urgent data in line (RFC 9293 3.8.5, RFC 6093)."""

import pytest

from tests.unit.tcp.receiving import START, receiver, segment
from vrouter.stack.l4.tcp import urgent
from vrouter.stack.wire.tcp import ACK, URG


def test_the_pointer_is_behind_the_last_urgent_byte():
    """RFC 6093 3.1, 4: the mark stands before the byte in front of it."""
    tcb = receiver()
    urgent.urgent_received(tcb, segment(flags=ACK | URG, urgent=10), START)
    assert tcb.rcv_up == START + 10
    assert (urgent.is_urgent(tcb), urgent.at_mark(tcb), tcb.sock.woken) == (True, False, 1)
    assert urgent.before_mark(tcb, 100) == 9
    assert urgent.before_mark(tcb, 5) == 5
    tcb.copied_seq = START + 9
    assert (urgent.at_mark(tcb), urgent.before_mark(tcb, 100)) == (True, 100)
    tcb.copied_seq = START + 10
    assert (urgent.is_urgent(tcb), urgent.at_mark(tcb)) == (False, False)


def test_it_only_goes_forward():
    """RFC 9293 3.10.7.4, sixth: RCV.UP <- max(RCV.UP, SEG.UP), and the user is told of what is new alone."""
    tcb = receiver()
    urgent.urgent_received(tcb, segment(flags=ACK | URG, urgent=10), START)
    urgent.urgent_received(tcb, segment(flags=ACK | URG, urgent=5), START)
    urgent.urgent_received(tcb, segment(flags=ACK | URG, urgent=10), START)
    assert (tcb.rcv_up, tcb.sock.woken) == (START + 10, 1)
    urgent.urgent_received(tcb, segment(flags=ACK | URG, urgent=11), START)
    assert (tcb.rcv_up, tcb.sock.woken) == (START + 11, 2)


@pytest.mark.parametrize(("seq", "pointer"), [(START, 0), (START - 10, 10)])
def test_what_means_nothing(seq, pointer):
    """A pointer of zero, and one to what was read."""
    tcb = receiver()
    urgent.urgent_received(tcb, segment(flags=ACK | URG, urgent=pointer), seq)
    assert (tcb.rcv_up, urgent.is_urgent(tcb), urgent.before_mark(tcb, 100)) == (-1, False, 100)


def test_announced_before_it_comes():
    """RFC 9293 3.8.5: the mark may be ahead of what has been received."""
    tcb = receiver()
    urgent.urgent_received(tcb, segment(flags=ACK | URG, urgent=0xFFFF), START)
    assert urgent.is_urgent(tcb)
