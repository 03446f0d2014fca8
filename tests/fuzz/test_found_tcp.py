"""What the fuzzer has found of TCP, each as a short sequence of its own."""

from __future__ import annotations

from random import Random

import pytest

from tests.fuzz.tcp_frames import ACK, SYN, Heard, Way, frame, hear, piece
from tests.unit.tcp.outgoing import connected
from tests.unit.tcp.receiving import receiver
from tests.unit.tcp.test_in_receive import arrive
from vrouter.stack import Stack
from vrouter.stack.l4 import constants as c
from vrouter.stack.l4.tcp import metrics, output, pmtu, window
from vrouter.stack.l4.tcp.tcb import SECOND
from vrouter.stack.netns import Netns
from vrouter.testing import Lab

PEER = b"\x02\x99\0\0\0\2"
HOME, AWAY = 0x0A000001, 0x0A000002


class Wire:
    """A namespace with 10.0.0.1 on e0, and a stranger who is 10.0.0.2."""

    def __init__(self) -> None:
        self.stack = Stack(1)
        self.ns: Netns = self.stack.add_netns("a")
        dev = self.ns.add_device("e0")
        self.ns.add_address("e0", "10.0.0.1/24")
        self.ns.neigh4.add_static(dev, AWAY, PEER, 0)
        self.way = Way("a", "e0", dev.mac, PEER, False, False, AWAY, HOME, Random(1))

    def says(self, *fields: int, now: int = 0) -> list[Heard]:
        """He sends a segment (ports, numbers, flags, window); the answers."""
        self.stack.receive(self.ns.devices["e0"], frame(self.way, *fields), now)
        return self.left()

    def left(self) -> list[Heard]:
        return [found for _, made in self.stack.take_egress() if (found := hear(bytes(made))) is not None]

    def balanced(self) -> bool:
        came, went = self.stack.accounts()
        return sum(came.values()) == sum(went.values())


@pytest.fixture
def wire() -> Wire:
    return Wire()


def test_a_second_syn_ends_a_request_and_is_counted_once(wire: Wire) -> None:
    """RFC 9293 3.10.7.4, fourth: a SYN in the window of SYN-RECEIVED resets it; the segment died, and nothing else."""
    listener = wire.ns.socket(c.AF_INET, c.SOCK_STREAM)
    listener.bind(("", 80))
    listener.listen()
    assert wire.says(1000, 80, 100, 0, SYN, 1000)[0].flags == SYN | ACK
    wire.says(1000, 80, 101, 0, SYN, 1000)
    assert not wire.ns.tcp.connections
    assert wire.ns.drop_counts() == {"TCP_INVALID_SYN": 1}
    assert wire.balanced()


def test_a_syn_is_sent_again_beyond_syn_received(wire: Wire) -> None:
    """RFC 9293 3.10.4: who closes in SYN-RECEIVED is in FIN-WAIT-1, and his SYN may have to go again all the same."""
    sock = wire.ns.socket(c.AF_INET, c.SOCK_STREAM)
    assert sock.connect_ex(("10.0.0.2", 9), now=0) != 0
    (syn,) = wire.left()
    (answer,) = wire.says(9, syn.sport, 500, 0, SYN, 1000)  # both open at once
    assert (answer.flags, answer.seq) == (SYN | ACK, syn.seq)
    sock.shutdown(c.SHUT_WR, now=0)
    wire.left()
    wire.stack.poll(4 * SECOND)
    again = [one for one in wire.left() if one.flags & SYN]
    assert [(one.flags, one.seq, one.ack) for one in again[:1]] == [(SYN | ACK, syn.seq, 501)]


def test_sockets_that_end_with_their_namespace_say_what_they_announce(wire: Wire) -> None:
    """The mask that waits for a socket's driver is the one that the socket knows of."""
    sock = wire.ns.socket(c.AF_INET, c.SOCK_STREAM)
    wire.stack.remove_netns("a", now=0)
    assert wire.stack.ready == {sock: c.ERROR}
    assert sock.announced == c.ERROR


def test_what_is_known_of_a_peer_is_no_longer_a_timeout_than_there_may_be(lab: Lab) -> None:
    """net.ipv4.tcp_rto_max_ms bounds the first timeout, too."""
    tcb = connected(lab)
    tcb.srtt = 0
    tcb.tcp.metrics.of(4, tcb.peer).rtt = 50 * SECOND
    metrics.begin(tcb)
    assert tcb.rto == 120 * SECOND


def test_a_buffer_grows_from_a_window_of_nothing(lab: Lab) -> None:
    """A receive buffer so small that no window was ever offered has no space to reckon with."""
    tcb = connected(lab)
    tcb.space, tcb.space_at, tcb.rcv_rtt = 0, 0, 1
    tcb.space_seq = tcb.copied_seq - 1000
    window.adjust_space(tcb, SECOND)
    assert tcb.space == 1000
    assert tcb.sock.rcvbuf == tcb.ns.conf.tcp.rmem[2]


def test_a_buffer_that_is_larger_than_buffers_are_now(lab: Lab) -> None:
    """Segments became smaller while a buffer was being filled: a new one is begun, and nothing less than 0 is taken."""
    tcb = connected(lab)
    tcb.snd_wnd = tcb.cwnd = 0
    tcb.max_window = 32_000
    assert output.queue_data(tcb, piece(0, 15_000)) == 15_000
    tcb.max_window = 2000
    assert output.queue_data(tcb, b"x") == 1


@pytest.mark.parametrize(("timestamps", "least"), [(False, 48), (True, 36)])
def test_a_tiny_window_leaves_room_for_data_beside_sack_blocks(lab: Lab, timestamps: bool, least: int) -> None:
    """RFC 9293 3.8.6.2.1: half of the largest window, but never so little that the options are larger (tcp.h,
    tcp_bound_to_half_wnd)."""
    tcb = connected(lab)
    tcb.ts_ok = timestamps
    tcb.max_window = 2
    pmtu.sync(tcb)
    assert tcb.mss == least


def test_a_window_of_small_segments_is_one_of_large_ones(lab: Lab) -> None:
    """RFC 5681 3.1: a loss window is one segment; when segments grow again it is one of those."""
    tcb = connected(lab)
    full = tcb.mss
    tcb.pmtu = 100
    pmtu.sync(tcb)
    tcb.cwnd = tcb.ssthresh = tcb.mss
    assert tcb.mss < 100
    pmtu.sync(tcb, 1500)
    assert (tcb.mss, tcb.cwnd, tcb.ssthresh) == (full, full, 2 * full)


def test_who_has_nothing_to_read_gets_what_is_next() -> None:
    """tcp_mem, sk_forced_mem_schedule: memory that others hold brings no connection to a halt, though its ranges beyond
    a gap have to go for it."""
    tcb = receiver(mem=(1, 1, 1))
    arrive(tcb, 1000, 2000)
    tcb.tcp.charge(50_000)
    assert arrive(tcb, 0, 500) == 0
    assert tcb.rcvq.size == 500
    assert tcb.ooo is None
