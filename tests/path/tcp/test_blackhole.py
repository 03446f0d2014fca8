"""Paths that swallow large packets and say nothing (RFC 4821, RFC 8899)."""

from __future__ import annotations

import pytest

from tests.path.tcp.scripted import ON_THE_WIRE, accepted, play
from vrouter.testing import Lab, Pattern

LOST = """
+0 write(4, ..., 1460) = 1460
+0 > P. 1:1461(1460) ack 1
+.3 > P. 1:1461(1460) ack 1
+.6 > P. 1:1461(1460) ack 1
+1.2 > P. 1:1461(1460) ack 1
"""


@pytest.mark.parametrize("version", ["ipv4", "ipv6"])
def test_what_is_never_acknowledged_goes_in_smaller_pieces(version: str) -> None:
    """RFC 4821 7.7, RFC 8899 4.3: after R1 retransmissions the path may be a black hole; smaller segments are tried."""
    script = (
        accepted(mss=1460)
        + LOST
        + """
    +2.4 > . 1:1025(1024) ack 1
    +.1 < . 1:1(0) ack 1025 win 65535
    +0 > P. 1025:1461(436) ack 1
    """
    )
    assert play(ON_THE_WIRE + script, version, tcp_mtu_probing=1, tcp_early_retrans=0) == ""


def test_they_get_smaller_each_time() -> None:
    """RFC 4821 7.7: if not even those arrive, half of them."""
    script = (
        accepted(mss=1460)
        + LOST
        + """
    +2.4 > . 1:1025(1024) ack 1
    +4.8 > . 1:513(512) ack 1
    +9.6 > . 1:257(256) ack 1
    """
    )
    assert play(ON_THE_WIRE + script, tcp_mtu_probing=1, tcp_early_retrans=0) == ""


def test_without_probing_they_stay_as_they_are() -> None:
    """``tcp_mtu_probing`` 0: nothing is suspected."""
    script = (
        accepted(mss=1460)
        + LOST
        + """
    +2.4 > P. 1:1461(1460) ack 1
    """
    )
    assert play(ON_THE_WIRE + script, tcp_mtu_probing=0, tcp_early_retrans=0) == ""


def test_the_search_goes_up_with_a_probe_of_new_data() -> None:
    """RFC 4821 7.3, RFC 8899 5.3: from the base size on, one larger segment is sent; when it is acknowledged all are so
    large. Eleven segments of the window have to be there for it, so the second flight has it."""
    script = (
        accepted(mss=1460)
        + """
    +0 setsockopt(4, SOL_SOCKET, SO_SNDBUF, [200000], 4) = 0
    +0 write(4, ..., 10240) = 10240
    +0 > P. 1:10241(10240) ack 1
    +.1 < . 1:1(0) ack 10241 win 65535
    +0 write(4, ..., 20000) = 20000
    +0 > . 10241:11483(1242) ack 1
    +0 > P. 11483:29915(18432) ack 1
    +.1 < . 1:1(0) ack 11483 win 65535
    +0 %{ assert tcpi_snd_mss == 1242, tcpi_snd_mss }%
    """
    )
    assert play(script, tcp_mtu_probing=2) == ""


def test_a_probe_that_is_lost_costs_nothing() -> None:
    """RFC 4821 7.6.2: its loss is no sign of congestion, the window stays; its data go again in segments that fit."""
    script = (
        accepted(mss=1460)
        + """
    +0 setsockopt(4, SOL_SOCKET, SO_SNDBUF, [200000], 4) = 0
    +0 write(4, ..., 10240) = 10240
    +0 > P. 1:10241(10240) ack 1
    +.1 < . 1:1(0) ack 10241 win 65535
    +0 write(4, ..., 10000) = 10000
    +0 > . 10241:11483(1242) ack 1
    +0 > P. 11483:20241(8758) ack 1
    +.1 < . 1:1(0) ack 10241 win 65535 <sack 11483:15579,nop,nop>
    +0 > P. 10241:11483(1242) ack 1
    +0 %{ assert tcpi_snd_mss == 1024, tcpi_snd_mss; assert tcpi_snd_ssthresh > 20, tcpi_snd_ssthresh }%
    """
    )
    assert play(script, tcp_mtu_probing=2) == ""


def moving(lab, size=2_000_000):
    """A transfer from a to b that has begun, over a wire of 50 Mbit/s and 10 ms; its two ends."""
    a, b = lab.line("a", "b", delay=0.01, rate=50e6, queue=200)
    listener = b.tcp_listen(80)
    sender = a.tcp_connect(b, 80)
    receiver = listener.accept()
    pattern = Pattern()
    receiver.expect(pattern)
    sender.send_pattern(pattern, size)
    lab.run_for(0.1)
    assert 0 < receiver.taken < size
    return sender, receiver


def test_a_black_hole_is_found_and_its_size_searched_for(lab: Lab) -> None:
    """RFC 8899 4.3, RFC 4821 7.7: a path that begins to swallow what is above 1200 bytes is confirmed by silence at the
    former size; then everything arrives, in segments near what it takes."""
    sender, receiver = moving(lab)
    lab.wires[0].towards("b").set(largest=1214)
    lab.run_until(lambda: receiver.taken == 2_000_000, timeout=60)
    assert 1024 <= sender.socket.tcb.mss <= 1148
    assert sender.socket.tcb.mtu_probe.unsure == 0


def test_a_silence_is_no_black_hole(lab: Lab) -> None:
    """RFC 8899 4.3: a path that was cut for seconds looks like one; when it is back, a large segment that arrives
    refutes it, and segments are as large as before."""
    sender, receiver = moving(lab)
    end = lab.wires[0].towards("b")
    end.set(loss=1)
    lab.run_until(lambda: sender.socket.tcb.mss < 1024, timeout=60)
    end.set(loss=0)
    lab.run_until(lambda: receiver.taken == 2_000_000, timeout=60)
    assert (sender.socket.tcb.mss, sender.socket.tcb.mtu_probe) == (1448, None)


def test_a_suspicion_that_is_confirmed_gets_smaller_each_time(lab: Lab) -> None:
    """RFC 4821 7.7: 1024, then halves, until something arrives."""
    sender, receiver = moving(lab)
    lab.wires[0].towards("b").set(largest=500)
    lab.run_until(lambda: receiver.taken == 2_000_000, timeout=200)
    assert 256 <= sender.socket.tcb.mss <= 434
