"""The state machine as a table (RFC 9293 3.3.2, figure 5)."""

import pytest

from vrouter.stack.l4.tcp import transitions
from vrouter.stack.l4.tcp.tcb import State
from vrouter.stack.l4.tcp.transitions import TRANSITIONS, Event, diagram, may, move

S, E = State, Event

# Figure 5 of RFC 9293, arrow by arrow, and what its text adds.
FIGURE_5 = [
    (S.CLOSED, E.LISTEN, S.LISTEN),
    (S.CLOSED, E.CONNECT, S.SYN_SENT),
    (S.LISTEN, E.CLOSE, S.CLOSED),
    (S.LISTEN, E.SYN, S.SYN_RECEIVED),
    (S.LISTEN, E.CONNECT, S.SYN_SENT),
    (S.SYN_SENT, E.CLOSE, S.CLOSED),
    (S.SYN_SENT, E.SYN, S.SYN_RECEIVED),
    (S.SYN_SENT, E.SYN_ACK, S.ESTABLISHED),
    (S.SYN_RECEIVED, E.ACK_OF_SYN, S.ESTABLISHED),
    (S.SYN_RECEIVED, E.CLOSE, S.FIN_WAIT_1),
    (S.SYN_RECEIVED, E.FIN, S.CLOSE_WAIT),
    (S.ESTABLISHED, E.CLOSE, S.FIN_WAIT_1),
    (S.ESTABLISHED, E.FIN, S.CLOSE_WAIT),
    (S.FIN_WAIT_1, E.ACK_OF_FIN, S.FIN_WAIT_2),
    (S.FIN_WAIT_1, E.FIN, S.CLOSING),
    (S.FIN_WAIT_2, E.FIN, S.TIME_WAIT),
    (S.CLOSE_WAIT, E.CLOSE, S.LAST_ACK),
    (S.CLOSING, E.ACK_OF_FIN, S.TIME_WAIT),
    (S.LAST_ACK, E.ACK_OF_FIN, S.CLOSED),
    (S.TIME_WAIT, E.TIMEOUT, S.CLOSED),
]


class Connection:
    def __init__(self, state):
        self.state = int(state)


@pytest.mark.parametrize(("before", "event", "after"), FIGURE_5)
def test_each_arrow_of_the_figure(before, event, after):
    """RFC 9293 3.3.2, figure 5."""
    connection = Connection(before)
    assert move(connection, event) == after
    assert connection.state == after


def test_there_are_no_other_arrows():
    """RFC 9293 3.3.2: beside the figure there is what ends a connection at once, and a listener's child."""
    other = {key: after for key, after in TRANSITIONS.items() if key[1] is not E.END and (*key, after) not in FIGURE_5}
    assert other == {(S.CLOSED, E.ACCEPT): S.SYN_RECEIVED}


@pytest.mark.parametrize("state", [state for state in S if state is not S.CLOSED])
def test_everything_can_end_at_once(state):
    """RFC 9293 3.10.5, 3.10.7.4: ABORT and RST lead to CLOSED from everywhere."""
    assert move(Connection(state), E.END) == S.CLOSED


def test_what_the_table_does_not_know_cannot_happen():
    """A FIN in SYN-SENT means nothing (RFC 9293 3.10.7.4, eighth)."""
    connection = Connection(S.SYN_SENT)
    assert not may(connection, E.FIN)
    with pytest.raises(KeyError):
        move(connection, E.FIN)
    assert connection.state == S.SYN_SENT


def test_a_fin_that_acknowledges_ours_is_two_events():
    """RFC 9293 3.10.7.4, eighth: FIN-WAIT-1 goes to TIME-WAIT when its FIN is acknowledged by the same segment."""
    connection = Connection(S.FIN_WAIT_1)
    assert move(connection, E.ACK_OF_FIN) == S.FIN_WAIT_2
    assert move(connection, E.FIN) == S.TIME_WAIT


def test_every_state_can_be_reached_and_left():
    """RFC 9293 3.3.2: from CLOSED everything, and back."""
    reached = {S.CLOSED}
    while True:
        more = {after for (before, _), after in TRANSITIONS.items() if before in reached} - reached
        if not more:
            break
        reached |= more
    assert reached == set(S)


def test_the_description_has_the_table():
    """The module's text and the table are one."""
    drawn = [line.strip() for line in transitions.__doc__.splitlines() if " -> " in line]
    assert drawn == diagram().splitlines()


def test_plain_numbers_are_those_of_the_enumeration():
    """What the path compares with is what the table has."""
    for name in ("CONNECT", "ACCEPT", "SYN", "SYN_ACK", "ACK_OF_SYN", "CLOSE", "FIN", "ACK_OF_FIN", "TIMEOUT", "END"):
        assert getattr(transitions, name) == Event[name]
