"""Which packets may say that they can be marked, and which marks count (RFC 3168 6.1.4 to 6.1.6)."""

from __future__ import annotations

import pytest

from tests.path.tcp.scripted import play
from tests.path.tcp.sending import opened

both = pytest.mark.parametrize("version", ["ipv4", "ipv6"])


@both
def test_only_new_data_can_be_marked(version):
    """RFC 3168 6.1.1, 6.1.4, 6.1.5: a SYN-ACK, a bare ACK, a retransmission and a FIN are not ECN-capable; data are."""
    script = (
        opened(ecn=True).replace("> SE.", "> [noecn] SE.")
        + """
    +0 < [ect0] P. 1:101(100) ack 1 win 65535
    +0 > [noecn] . 1:1(0) ack 101
    +0 write(4, ..., 1000) = 1000
    +0 > [ect0] P. 1:1001(1000) ack 101
    +.3 > [noecn] P. 1:1001(1000) ack 101
    +.1 < . 101:101(0) ack 1001 win 65535
    +0 read(4, ..., 1000) = 100
    +0 shutdown(4, SHUT_WR) = 0
    +0 > [noecn] F. 1001:1001(0) ack 101
    """
    )
    assert play(script, version, tcp_early_retrans=0) == ""


@both
def test_probes_cannot_be_marked(version):
    """RFC 3168 6.1.6: a probe of a zero window is not ECN-capable."""
    script = (
        opened(ecn=True)
        + """
    +0 write(4, ..., 1000) = 1000
    +0 > [ect0] P. 1:1001(1000) ack 1
    +.1 < . 1:1(0) ack 1001 win 0
    +0 write(4, ..., 500) = 500
    +.3~+.5 > [noecn] . 1000:1000(0) ack 1
    """
    )
    assert play(script, version) == ""


@both
def test_a_mark_outside_of_the_window_is_ignored(version):
    """RFC 3168 6.1.5: nobody who guesses can slow a connection down: no ECE in the ACK, nor later."""
    script = (
        opened(ecn=True)
        + """
    +0 < [ce] P. 900001:900101(100) ack 1 win 65535
    +0 > . 1:1(0) ack 1
    +.6 < [ect0] P. 1:101(100) ack 1 win 65535
    +0 > . 1:1(0) ack 101
    """
    )
    assert play(script, version) == ""


@both
def test_nobody_is_ect_who_did_not_agree(version):
    """RFC 3168 6.1.1: without the agreement no packet says that it can be marked."""
    script = (
        opened()
        + """
    +0 write(4, ..., 1000) = 1000
    +0 > [noecn] P. 1:1001(1000) ack 1
    """
    )
    assert play(script, version, tcp_ecn=1) == ""


@both
def test_a_timeout_is_told_with_cwr(version):
    """RFC 3168 6.1.2: after a timeout, too, the first new data say that the window was reduced."""
    script = (
        opened(ecn=True)
        + """
    +0 write(4, ..., 1000) = 1000
    +0 > [ect0] P. 1:1001(1000) ack 1
    +.3 > [noecn] P. 1:1001(1000) ack 1
    +.1 < . 1:1(0) ack 1001 win 65535
    +0 write(4, ..., 1000) = 1000
    +0 > [ect0] PW. 1001:2001(1000) ack 1
    """
    )
    assert play(script, version, tcp_early_retrans=0) == ""
