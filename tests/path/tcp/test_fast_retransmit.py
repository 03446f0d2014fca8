"""Fast retransmit and fast recovery (RFC 5681 3.2, RFC 6675): what leaves, segment by segment."""

from tests.path.tcp.sending import both, good, opened
from vrouter.stack.base.counters import Stat
from vrouter.testing import Lab
from vrouter.testing.node import Node
from vrouter.testing.tcp_flow import transfer

TEN = """
+0 write(4, ..., 10000) = 10000
+0 > P. 1:10001(10000) ack 1
"""
THREE = """
+.1 < . 1:1(0) ack 1 win 65535 <sack 1001:2001,nop,nop>
+0 < . 1:1(0) ack 1 win 65535 <sack 1001:3001,nop,nop>
+0 < . 1:1(0) ack 1 win 65535 <sack 1001:4001,nop,nop>
"""


@both
def test_the_third_duplicate_retransmits_one_segment_of_a_superframe(version):
    """RFC 5681 3.2 step 2, RFC 6675 5 (4.3): the first segment alone, though ten left as one superframe."""
    good(
        opened()
        + TEN
        + THREE
        + """
        +0 > . 1:1001(1000) ack 1
        +.1 < . 1:1(0) ack 10001 win 65535
        +.5 %{ assert tcpi_ca_state == TCP_CA_Open; assert tcpi_snd_ssthresh == 7; assert tcpi_total_retrans == 1 }%
        """,
        version,
    )


@both
def test_one_duplicate_is_none_of_a_loss(version):
    """RFC 5681 3.2: fewer than three duplicates may be reordering: nothing is sent again, nothing slows down."""
    good(
        opened()
        + TEN
        + """
        +.1 < . 1:1(0) ack 1 win 65535 <sack 1001:2001,nop,nop>
        +.01 < . 1:1(0) ack 3001 win 65535
        +.01 < . 1:1(0) ack 10001 win 65535
        +.5 %{ assert tcpi_ca_state == TCP_CA_Open; assert tcpi_total_retrans == 0; assert tcpi_snd_cwnd >= 10 }%
        """,
        version,
    )


@both
def test_two_holes_are_filled_without_what_is_between(version):
    """RFC 6675 5.1: only what is lost is sent again, lowest first."""
    good(
        opened()
        + TEN
        + """
        +.1 < . 1:1(0) ack 1 win 65535 <sack 1001:4001,nop,nop>
        +0 > . 1:1001(1000) ack 1
        +0 < . 1:1(0) ack 1 win 65535 <sack 6001:10001 1001:4001,nop,nop>
        +0 > P. 4001:6001(2000) ack 1
        +.1 < . 1:1(0) ack 10001 win 65535
        +.5 %{ assert tcpi_total_retrans == 3 }%
        """,
        version,
    )


@both
def test_a_partial_acknowledgement_goes_on_with_the_next_hole(version):
    """RFC 6675 5: recovery lasts until everything that was outstanding when it began is acknowledged."""
    good(
        opened()
        + TEN
        + THREE
        + """
        +0 > . 1:1001(1000) ack 1
        +.1 < . 1:1(0) ack 4001 win 65535 <sack 5001:10001,nop,nop>
        +0 > . 4001:5001(1000) ack 1
        +0 %{ assert tcpi_ca_state == TCP_CA_Recovery }%
        +.1 < . 1:1(0) ack 10001 win 65535
        +0 %{ assert tcpi_ca_state == TCP_CA_Open }%
        """,
        version,
    )


@both
def test_a_retransmission_that_is_lost_goes_again_without_a_timeout(version):
    """RFC 8985 3: new data that arrive after it tell that it is lost once more."""
    good(
        opened()
        + """
        +0 write(4, ..., 12000) = 12000
        +0 > P. 1:10001(10000) ack 1
        +.1 < . 1:1(0) ack 1 win 65535 <sack 1001:4001,nop,nop>
        +0 > . 1:1001(1000) ack 1
        +.02 < . 1:1(0) ack 1 win 65535 <sack 1001:9001,nop,nop>
        +0 > P. 10001:12001(2000) ack 1
        +.1 < . 1:1(0) ack 1 win 65535 <sack 1001:12001,nop,nop>
        +0 > . 1:1001(1000) ack 1
        +.1 < . 1:1(0) ack 12001 win 65535
        +.5 %{ assert tcpi_total_retrans == 2 }%
        """,
        version,
    )


@both
def test_a_fin_that_is_lost_goes_again(version):
    """RFC 9293 3.8.1: the FIN is a number like another: SACK of later ones there are none, so a probe brings it."""
    good(
        opened()
        + """
        +0 write(4, ..., 1000) = 1000
        +0 > P. 1:1001(1000) ack 1
        +0 close(4) = 0
        +0 > F. 1001:1001(0) ack 1
        +.1 < . 1:1(0) ack 1001 win 65535
        +.3 > F. 1001:1001(0) ack 1
        +.1 < F. 1:1(0) ack 1002 win 65535
        +0 > . 1002:1002(0) ack 2
        """,
        version,
    )


@both
def test_data_with_the_fin_behind_them_go_again_together(version):
    """RFC 9293 3.8.1: the last segment of a superframe, with its FIN."""
    good(
        opened()
        + """
        +0 setsockopt(4, SOL_TCP, TCP_CORK, [1], 4) = 0
        +0 write(4, ..., 2500) = 2500
        +0 > P. 1:2001(2000) ack 1
        +0 shutdown(4, SHUT_WR) = 0
        +0 > FP. 2001:2501(500) ack 1
        +.202 > FP. 2001:2501(500) ack 1
        +.1 < . 1:1(0) ack 2502 win 65535
        """,
        version,
    )


@both
def test_three_losses_by_count_without_rack(version):
    """RFC 6675 4 (``tcp_recovery`` 0): below three blocks a segment is lost, below two it is not."""
    good(
        opened()
        + TEN
        + """
        +.1 < . 1:1(0) ack 1 win 65535 <sack 1001:2001,nop,nop>
        +0 < . 1:1(0) ack 1 win 65535 <sack 3001:4001 1001:2001,nop,nop>
        +0 < . 1:1(0) ack 1 win 65535 <sack 5001:6001 3001:4001 1001:2001,nop,nop>
        +0 > . 1:1001(1000) ack 1
        +.1 < . 1:1(0) ack 10001 win 65535
        """,
        version,
        tcp_recovery=0,
    )


def _moved(lab: Lab, version: str, *losses: tuple[int, int, int]) -> tuple[Node, float]:
    """200,000 bytes from a to b, with `losses` (start, end, which transmission): the sender, and how long it took."""
    a, b = lab.line("a", "b", delay=0.01)
    wire = lab.wires[0]
    for start, end, nth in losses:
        wire.towards(b).lose_bytes(start, end, nth=nth)
    listener = b.tcp_listen(80)
    client = a.tcp_connect(b.addr if version == "ipv4" else b.addr6, 80)
    done = transfer(client, listener.accept(), 200_000)
    return a, done.time / 1e9


@both
def test_what_is_lost_is_all_that_goes_again(lab: Lab, version: str) -> None:
    """RFC 6675: three segments of a flight are lost, three are sent again, without a timeout; every byte arrives."""
    a, _ = _moved(lab, version, (30_000, 30_001, 1), (40_000, 40_001, 1), (60_000, 60_001, 1))
    stats = a.ns.stats
    assert stats[Stat.TcpRetransSegs] == 3
    assert stats[Stat.TcpFastRetrans] == 3
    assert stats[Stat.TcpTimeouts] == 0


@both
def test_a_retransmission_lost_on_the_way_costs_no_timeout(lab: Lab, version: str) -> None:
    """RFC 8985 3: the same bytes are lost twice; what is delivered in the meantime tells."""
    a, _ = _moved(lab, version, (30_000, 30_001, 1), (30_000, 30_001, 2))
    stats = a.ns.stats
    assert stats[Stat.TcpRetransSegs] == 2
    assert stats[Stat.TcpLostRetransmit] == 1
    assert stats[Stat.TcpTimeouts] == 0


@both
def test_a_lost_tail_costs_no_timeout(lab: Lab, version: str) -> None:
    """RFC 8985 7: the last segments of all are lost: a probe brings the ACK that tells of them."""
    a, seconds = _moved(lab, version, (195_000, 200_000, 1))
    stats = a.ns.stats
    assert stats[Stat.TcpLossProbes] == 1
    assert stats[Stat.TcpTimeouts] == 0
    assert seconds < 0.5
