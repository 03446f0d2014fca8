"""The same wrong segments in every synchronized state (RFC 9293 3.10.7.4, RFC 5961), and what is done otherwise there.

Of the peer 1001 is the first byte; what it has sent is acknowledged, and so is what we have, but for our FIN where the
state says that it is not.
"""

from __future__ import annotations

import pytest

from tests.path.tcp.bare import PORT, Bare
from tests.path.tcp.receiving import ACCEPTED, passes
from vrouter.stack.l4 import constants as c
from vrouter.stack.wire.tcp import ACK, FIN, PSH, RST, SYN

both = pytest.mark.parametrize("version", ["ipv4", "ipv6"])
STATES = "ESTAB FIN-WAIT-1 FIN-WAIT-2 CLOSE-WAIT CLOSING LAST-ACK".split()
every_state = pytest.mark.parametrize("state", STATES)


class There:
    """A connection that was brought into a state; ``seq`` is the peer's next number, ``ack`` what it acknowledges."""

    def __init__(self, version, state):
        self.world = world = Bare(version)
        ear = world.listener()
        self.seq, self.ack = 1001, world.handshake() + 1
        self.sock = ear.accept(now=world.now)[0]
        if state in ("CLOSE-WAIT", "LAST-ACK"):
            self.fin()
        if state in ("FIN-WAIT-1", "FIN-WAIT-2", "CLOSING", "LAST-ACK"):
            self.sock.shutdown(c.SHUT_WR, now=world.now)
        if state == "FIN-WAIT-2":
            self.ack += 1
            self.say(ACK)
        if state == "CLOSING":
            self.fin()
        world.run(0.6)  # challenges are rare; the FIN goes again
        world.sent()
        assert self.sock.state_name == state
        self.state = state
        self.next = self.ack + (state in ("FIN-WAIT-1", "CLOSING", "LAST-ACK"))  # our number behind what was sent

    def fin(self):
        """The peer's."""
        self.say(FIN | ACK)
        self.seq += 1

    def say(self, flags, seq=0, ack=0, data=b""):
        """A segment of the peer's, `seq` and `ack` away from the right ones."""
        self.world.send(flags, seq=self.seq + seq & 0xFFFFFFFF, ack=self.ack + ack & 0xFFFFFFFF, data=data)

    def answers(self):
        """(flags, number, acknowledgment) of what was sent."""
        return [(live.flags, live.seq, live.ack) for live in self.world.sent()]

    @property
    def stays(self):
        """Whether the connection is where it was."""
        table = self.world.ns.tcp6 if self.world.six else self.world.ns.tcp
        return bool(table.connections) and self.sock.state_name == self.state

    def challenge(self):
        """The ACK that tells where we are."""
        return [(ACK, self.next & 0xFFFFFFFF, self.seq)]


@both
@every_state
def test_a_reset_at_the_next_number(version, state):
    """RFC 9293 3.10.7.4, second; RFC 5961 3.2 (2): the connection is over, in each state, and nothing is said."""
    there = There(version, state)
    there.say(RST)
    assert there.answers() == []
    assert not there.stays
    assert (there.world.local, PORT, there.world.remote, 40000) not in there.world.ns.tcp.connections


@both
@every_state
def test_a_reset_elsewhere_in_the_window(version, state):
    """RFC 5961 3.2 (3): a challenge ACK, in each state."""
    there = There(version, state)
    there.say(RST, seq=1)
    assert there.answers() == there.challenge()
    assert there.stays


@both
@every_state
def test_a_reset_outside_of_the_window(version, state):
    """RFC 5961 3.2 (1): silently dropped, in each state."""
    there = There(version, state)
    there.say(RST, seq=-10)
    there.say(RST, seq=1_000_000)
    assert there.answers() == []
    assert there.stays


@both
@every_state
@pytest.mark.parametrize("offset", [-100, 0, 100, 1_000_000])
def test_a_syn(version, state, offset):
    """RFC 9293 3.10.7.4, fourth; RFC 5961 4.2: whatever its number, a challenge ACK, in each state."""
    there = There(version, state)
    there.say(SYN, seq=offset)
    assert there.answers() == there.challenge()
    assert there.stays


@both
@every_state
def test_what_lies_outside_of_the_window(version, state):
    """RFC 9293 3.10.7.4, first: not acceptable: an ACK, and it is dropped."""
    there = There(version, state)
    there.say(ACK | PSH, seq=1_000_000, data=b"beyond")
    assert there.answers() == there.challenge()
    assert there.stays


@both
@every_state
@pytest.mark.parametrize("flags", [0, PSH])
def test_without_an_ack(version, state, flags):
    """RFC 9293 3.10.7.4, fifth: "if the ACK bit is off, drop the segment and return"."""
    there = There(version, state)
    there.say(flags, data=b"data")
    assert there.answers() == []
    assert there.stays


@both
@every_state
def test_an_acknowledgment_of_what_was_never_sent(version, state):
    """RFC 9293 3.10.7.4, fifth; RFC 5961 5.2: an ACK, and it is dropped, in each state."""
    there = There(version, state)
    there.say(ACK, ack=there.next - there.ack + 1)
    assert there.answers() == there.challenge()
    assert there.stays


@both
@every_state
def test_an_abort(version, state):
    """RFC 9293 3.10.5: what may still be received or sent is reset; where both FINs are out nothing is said."""
    there = There(version, state)
    there.sock.setsockopt(c.SOL_SOCKET, c.SO_LINGER, (1).to_bytes(4, "little") + bytes(4), now=there.world.now)
    there.sock.close(now=there.world.now)
    there.world.settle()
    told = [flags & RST for flags, _, _ in there.answers()]
    assert told == ([] if state in ("CLOSING", "LAST-ACK") else [RST])


@both
def test_an_ack_that_data_have_overtaken_counts(version):
    """Not RFC 9293 3.10.7.4, first, to the letter: below RCV.NXT and without data it counts, as in Linux."""
    passes(
        ACCEPTED
        + """
        +0  setsockopt(4, SOL_TCP, TCP_QUICKACK, [0], 4) = 0
        +0  write(4, ..., 100) = 100
        +0  > P. 1:101(100) ack 1
        +.1 < P. 1:11(10) ack 1 win 257
        +0  < . 1:1(0) ack 101 win 257
        +0  %{ assert tcpi_unacked == 0 }%
        +0~+.2 > . 101:101(0) ack 11
        """,
        version,
    )


@both
def test_a_smaller_window_without_news_is_an_old_one(version):
    """Not RFC 9293 3.10.7.4, fifth, to the letter: same numbers, a smaller window: no change, as in Linux."""
    passes(
        ACCEPTED
        + """
        +0  %{ assert tcpi_snd_wnd == 257 * 128 }%
        +0  < . 1:1(0) ack 1 win 200
        +0  %{ assert tcpi_snd_wnd == 257 * 128 }%
        +0  < . 1:1(0) ack 1 win 300
        +0  %{ assert tcpi_snd_wnd == 300 * 128 }%
        +0  < . 1:1(0) ack 1 win 0
        +0  %{ assert tcpi_snd_wnd == 0 }%
        """,
        version,
    )


@both
def test_data_of_a_syn_that_crosses_ours_come_again(version):
    """Not RFC 9293 3.10.7.3, fourth, to the letter: they are not kept until the handshake is over, as in Linux."""
    passes(
        """
        0    socket(..., SOCK_STREAM, IPPROTO_TCP) = 3
        +0   fcntl(3, F_SETFL, O_RDWR|O_NONBLOCK) = 0
        +0   connect(3, ..., ...) = -1 EINPROGRESS (Operation now in progress)
        +0   > S 0:0(0) <...>
        +.1  < S 0:10(10) win 32792 <mss 1000>
        +0   > S. 0:0(0) ack 1 <...>
        +.1  < P. 1:11(10) ack 1 win 32792
        +0~+.3 > . 1:1(0) ack 11
        +0   read(3, ..., 100) = 10
        """,
        version,
    )
