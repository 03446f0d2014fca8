"""The receive buffer follows what a path carries (``tcp_moderate_rcvbuf``), through the whole stack."""

import pytest

from vrouter.stack.l4 import constants as c
from vrouter.testing import Lab

SIZE = 3_000_000
DEFAULT = 131_072


def carry(rcvbuf=0, reads=True, **settings):
    """`SIZE` bytes over a path of 100 ms to a program that reads (or not); its socket, and how many seconds it took."""
    with Lab(1) as lab:
        a, b = lab.host("a"), lab.host("b")
        lab.wire(a, b, delay=0.05)
        for name, value in settings.items():
            b.ns.sysctl[f"net.ipv4.{name}"] = value
        listener = b.ns.socket(c.AF_INET, c.SOCK_STREAM)
        if rcvbuf:
            listener.setsockopt(c.SOL_SOCKET, c.SO_RCVBUF, rcvbuf, now=lab.now)
        listener.bind((b.addr, 80), now=lab.now)
        listener.listen(5, now=lab.now)
        client = a.ns.socket(c.AF_INET, c.SOCK_STREAM)
        client.connect_ex((b.addr, 80), now=lab.now)
        lab.run_for(0.5)
        server, _ = listener.accept(now=lab.now)
        began, sent, got = lab.now, 0, 0
        for _ in range(2000):
            try:
                sent += client.send(bytes(min(SIZE - sent, 500_000)), now=lab.now) if sent < SIZE else 0
            except BlockingIOError:
                pass
            try:
                got += len(server.recv(SIZE, now=lab.now)) if reads else 0
            except BlockingIOError:
                pass
            if got == SIZE:
                break
            lab.run_for(0.01)
        return server, (lab.now - began) / 1e9


@pytest.fixture(scope="module")
def grown():
    return carry()


def test_it_grows_with_the_path(grown):
    """RFC 9293 3.8.6: a window of 64 KiB a round trip is not enough, so it becomes more."""
    server, took = grown
    assert server.rcvbuf > 8 * DEFAULT
    assert took < 1.5


def test_it_knows_the_round_trip(grown):
    """RFC 7323 4: by the timestamps that are echoed: 100 ms, and what a sender adds that waits for its program."""
    assert 100_000_000 <= grown[0].tcb.rcv_rtt <= 300_000_000


def test_switched_off():
    """``tcp_moderate_rcvbuf`` 0: one buffer a round trip, and no more."""
    server, took = carry(tcp_moderate_rcvbuf=0)
    assert server.rcvbuf == DEFAULT
    assert took > 4


def test_a_size_that_was_set_stays():
    """SO_RCVBUF."""
    server, took = carry(rcvbuf=100_000)
    assert server.rcvbuf == 200_000
    assert took > 3


def test_a_program_that_does_not_read_gets_no_more():
    """RFC 9293 3.8.6.2.2: what waits is bounded by half of the buffer."""
    server, _ = carry(reads=False)
    assert server.rcvbuf == DEFAULT
    assert server.inq <= DEFAULT // 2 + 128
