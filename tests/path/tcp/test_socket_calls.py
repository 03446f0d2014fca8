"""The calls of a stream socket that has a connection, and of one that has none."""

from __future__ import annotations

import pytest

from tests.path.tcp.calls import Loopback
from vrouter.stack.l4 import constants as c

BOTH = pytest.mark.parametrize("family", [c.AF_INET, c.AF_INET6])


@BOTH
def test_without_a_connection(family: int) -> None:
    """RFC 9293 3.10.2, 3.10.3: in CLOSED there is nothing to send or to receive."""
    w = Loopback()
    a = w.new(family)
    for expected, call, *args in (
        ("ENOTCONN", a.recv, 1),
        (b"", a.recv, 0),
        ("EPIPE", a.send, b"x"),
        ("EPIPE", a.sendto, b"x", ("127.0.0.1", 9)),
        ("EINVAL", a.accept),
        ("ENOTCONN", a.getpeername),
        ("ENOTCONN", a.shutdown, 1),
        ("EINVAL", a.shutdown, 3),
        ("EINVAL", a.recv, 1, c.MSG_OOB),
        ("EAGAIN", a.recv, 1, c.MSG_ERRQUEUE),
    ):
        w.call(expected, call, *args)
    assert (a.readable, a.writable) == (True, True)
    a.close(now=w.now)
    w.call("EBADF", a.recv, 1)
    assert not w.ns.sockets


@BOTH
def test_data_is_read_in_parts(family: int) -> None:
    """RFC 9293 3.10.3: a stream has no boundaries; MSG_PEEK leaves, MSG_TRUNC throws away, nothing waits."""
    w = Loopback()
    a, b = w.pair(w.listener(80, family))
    w.call("EAGAIN", b.recv, 9)
    assert not b.readable
    w.call(11, a.send, b"hello world")
    w.run()
    assert (b.readable, b.inq) == (True, 11)
    w.call(b"hello", b.recv, 5, c.MSG_PEEK)
    w.call(b"hel", b.recv, 3)
    w.call(bytes(2), b.recv, 2, c.MSG_TRUNC)
    buffer = bytearray(8)
    w.call(3, b.recv_into, buffer, 3)
    assert buffer == b" wo\0\0\0\0\0"
    w.call((b"rld", None), b.recvfrom, 9, c.MSG_WAITALL)
    w.call(4, a.sendmsg, [b"ab", b"", b"cd"])
    w.run()
    w.call((b"abcd", [], 0, None), b.recvmsg, 9, 99)
    w.call("EAGAIN", b.recv, 1, c.MSG_DONTWAIT)


def test_how_many_are_left() -> None:
    """TCP_INQ: beside the data stands how many bytes wait, and 1 when only the end does."""
    w = Loopback()
    a, b = w.pair(w.listener(80))
    b.setsockopt(c.SOL_TCP, c.TCP_INQ, 1)
    a.send(b"12345", now=w.now)
    w.run()
    w.call((b"12", [(6, 36, b"\3\0\0\0")], 0, None), b.recvmsg, 2, 64)
    w.call((b"34", [], c.MSG_CTRUNC, None), b.recvmsg, 2, 0)
    a.shutdown(1, now=w.now)
    w.run()
    w.call((b"5", [(6, 36, b"\1\0\0\0")], 0, None), b.recvmsg, 2, 64)


def test_more_is_to_come() -> None:
    """MSG_MORE: what is written waits for the rest, as under TCP_CORK, and goes with it (RFC 9293 3.7.4)."""
    w = Loopback()
    a, b = w.pair(w.listener(80))
    a.send(b"12", c.MSG_MORE, now=w.now)
    w.run()
    assert b.inq == 0
    a.send(b"34", now=w.now)
    w.run()
    w.call(b"1234", b.recv, 9)


def test_a_full_buffer_takes_a_part() -> None:
    """RFC 9293 3.10.2: what SO_SNDBUF has no room for is refused, and the program is told when there is room again."""
    w = Loopback()
    a, b = w.pair(w.listener(80))
    b.setsockopt(c.SOL_SOCKET, c.SO_RCVBUF, 8192)
    a.setsockopt(c.SOL_SOCKET, c.SO_SNDBUF, 32768)
    sent = 0
    while isinstance(count := w.answer(a.send, bytes(100_000)), int):
        sent += count
        w.run(300)
    assert count == "EAGAIN"
    assert not a.writable
    assert 65536 <= a.outq + b.inq == sent
    w.stack.take_ready()
    read = 0
    while read < sent:
        read += len(b.recv(1 << 20, now=w.now)) if b.inq else 0
        w.run(300)
    assert a.writable
    assert any(sock is a and mask & c.WRITE for sock, mask in w.stack.take_ready())


def test_not_sent_lowat() -> None:
    """TCP_NOTSENT_LOWAT: it is not the buffer but what was not sent that holds a program back."""
    w = Loopback()
    ear = w.new()
    ear.setsockopt(c.SOL_TCP, c.TCP_MAXSEG, 1000)
    ear.setsockopt(c.SOL_SOCKET, c.SO_RCVBUF, 4096)
    ear.bind(("127.0.0.1", 80), now=w.now)
    ear.listen(now=w.now)
    a, _ = w.pair(ear)
    a.setsockopt(c.SOL_TCP, c.TCP_NOTSENT_LOWAT, 5000)
    while isinstance(w.answer(a.send, bytes(1000)), int):
        w.run(300)
    tcb = a.tcb
    assert tcb is not None
    assert 5000 <= tcb.write_seq - tcb.snd_nxt < 5000 + tcb.mss
    assert not a.writable
    assert a.outq < a.sndbuf // 2


def test_a_large_read_is_whole() -> None:
    """RFC 9293 3.8.6: a megabyte that came in superframes is read in one piece, when there is room for it."""
    w = Loopback()
    ear = w.new()
    ear.setsockopt(c.SOL_SOCKET, c.SO_RCVBUF, 4 << 20)
    ear.bind(("127.0.0.1", 80), now=w.now)
    ear.listen(now=w.now)
    a, b = w.pair(ear)
    data = bytes(range(256)) * 4096
    sent = 0
    while sent < len(data):
        count = w.answer(a.send, data[sent:])
        sent += count if isinstance(count, int) else 0
        w.run(50)
    w.call(data, b.recv, 2 << 20)


def test_low_water_mark() -> None:
    """SO_RCVLOWAT: fewer bytes do not make a socket readable, but can be read."""
    w = Loopback()
    a, b = w.pair(w.listener(80))
    b.setsockopt(c.SOL_SOCKET, c.SO_RCVLOWAT, 4)
    a.send(b"123", now=w.now)
    w.run()
    assert (b.readable, b.inq) == (False, 3)
    a.send(b"4", now=w.now)
    w.run(50)
    assert b.readable
    w.call(b"1234", b.recv, 9)


def test_urgent_data_stands_in_line() -> None:
    """RFC 6093 3.2, 5: urgent data are part of the stream, and a read ends before the mark."""
    w = Loopback()
    a, b = w.pair(w.listener(80))
    a.send(b"abc", now=w.now)
    a.send(b"X", c.MSG_OOB, now=w.now)
    a.send(b"def", now=w.now)
    w.run(300)
    w.call("EINVAL", b.recv, 1, c.MSG_OOB)
    assert not b.at_mark
    w.call(b"abc", b.recv, 99)
    assert b.at_mark
    w.call(b"Xdef", b.recv, 99)
    assert not b.at_mark
