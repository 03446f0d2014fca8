"""The send buffer: how much is taken, how it grows, when a program is woken."""

from __future__ import annotations

import pytest

from tests.unit.tcp.outgoing import connected, take
from vrouter.stack.l4 import constants as c
from vrouter.stack.l4.tcp import output, sizing
from vrouter.testing import Lab


def narrow(lab: Lab, sndbuf: int = 50_000):
    """SO_SNDBUF was set, the peer takes segments of 1000 bytes and a window of 32000."""
    tcb = connected(lab)
    tcb.sock.sndbuf = sndbuf
    tcb.sock.locked |= c.LOCK_SNDBUF
    tcb.mss = 1000
    tcb.max_window = tcb.snd_wnd = 32_000
    tcb.cwnd = 10_000
    return tcb


def write(tcb, size: int) -> int:
    return output.queue_data(tcb, b"x" * size)


def test_a_buffer_that_was_begun_is_filled(lab: Lab) -> None:
    """As Linux: buffers of half the window, 16000 bytes; a new one is begun while there is any room at all, and what
    leaves at once makes room in the first."""
    tcb = narrow(lab)
    assert write(tcb, 200_000) == 58_000
    assert tcb.wants_room
    assert write(tcb, 1) == 0


def test_what_fits_is_taken_whole(lab: Lab) -> None:
    """send(2): all of it, and nobody waits."""
    tcb = narrow(lab)
    assert write(tcb, 20_000) == 20_000
    assert not tcb.wants_room


def test_unsent_data_are_bounded_apart(lab: Lab) -> None:
    """tcp(7), TCP_NOTSENT_LOWAT: beyond what leaves at once one buffer."""
    tcb = narrow(lab)
    tcb.notsent_lowat = 4000
    assert write(tcb, 200_000) == 26_000


def test_the_program_is_woken_when_a_third_is_free(lab: Lab) -> None:
    """sk_stream_is_writeable: not for every ACK."""
    tcb = narrow(lab)
    write(tcb, 200_000)
    queue = tcb.sndq
    assert not sizing.is_writable(tcb)
    queue.release(queue.end - 31_000)
    assert not sizing.is_writable(tcb)
    queue.release(queue.end - 28_000)
    assert sizing.is_writable(tcb)


def test_with_a_low_water_mark_half_of_it_has_to_go(lab: Lab) -> None:
    """tcp_stream_memory_free: a program that is woken finds something to do."""
    tcb = narrow(lab)
    tcb.notsent_lowat = 4000
    tcb.snd_nxt += 0
    write(tcb, 3000)
    assert not sizing.is_writable(tcb)
    tcb.snd_nxt += 1001
    assert sizing.is_writable(tcb)


def test_the_buffer_grows_with_the_window(lab: Lab) -> None:
    """tcp_sndbuf_expand: twice the window, with what Linux counts for each segment (2304 of one of 1460)."""
    tcb = connected(lab)
    tcb.sock.sndbuf = 16_384
    tcb.cwnd = 10 * tcb.mss
    sizing.expand(tcb)
    assert tcb.sock.sndbuf == 2 * 10 * (4096 + 256)
    tcb.cwnd = 100 * tcb.mss
    sizing.expand(tcb)
    assert tcb.sock.sndbuf == 2 * 100 * (4096 + 256)
    tcb.cwnd = 10_000 * tcb.mss
    sizing.expand(tcb)
    assert tcb.sock.sndbuf == tcb.ns.conf.tcp.wmem[2]


@pytest.mark.parametrize("how", ["locked", "pressure"])
def test_it_does_not_grow_by_itself_where_it_must_not(lab: Lab, how: str) -> None:
    """socket(7): SO_SNDBUF fixes it; nor while memory is scarce."""
    tcb = connected(lab)
    tcb.sock.sndbuf = 16_384
    if how == "locked":
        tcb.sock.locked |= c.LOCK_SNDBUF
    else:
        tcb.tcp.pressure = True
    sizing.expand(tcb)
    assert tcb.sock.sndbuf == 16_384
    tcb.tcp.pressure = False


def test_memory_is_bounded_for_the_whole_namespace(lab: Lab) -> None:
    """tcp(7), tcp_mem: beyond the last of its numbers only a connection that has nothing queued gets anything."""
    tcb = connected(lab)
    tcb.tcp.memory += tcb.ns.conf.tcp.mem[2] * 4096
    assert 0 < write(tcb, 1 << 20) < 1 << 20
    assert write(tcb, 1 << 20) == 0
    tcb.tcp.memory -= tcb.ns.conf.tcp.mem[2] * 4096


def test_what_is_queued_is_accounted_for(lab: Lab) -> None:
    """tcp(7), tcp_mem: every byte, until it is acknowledged."""
    tcb = connected(lab)
    before = tcb.tcp.memory
    write(tcb, 10_000)
    assert tcb.tcp.memory == before + 10_000
    output.push(tcb, lab.now)
    tcb.ns.settle(lab.now)
    lab.run_for(1)
    assert tcb.tcp.memory == before
    assert take(tcb) == []
