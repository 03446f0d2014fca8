"""TCP_INFO: Linux's structure, and the same by name."""

from __future__ import annotations

import struct

from tests.path.tcp.calls import Loopback
from vrouter.stack.l4 import constants as c
from vrouter.stack.l4.tcp import info


def test_the_structure() -> None:
    """``struct tcp_info`` of Linux 6.7: 248 bytes, of which a program gets as many as it asks for; fields by offset."""
    w = Loopback()
    a, b = w.pair(w.listener(80))
    a.send(b"12345", now=w.now)
    w.run()
    b.recv(9, now=w.now)
    w.run(100)
    data = a.getsockopt(c.SOL_TCP, c.TCP_INFO, 300)
    assert isinstance(data, bytes)
    assert len(data) == 248
    assert a.getsockopt(c.SOL_TCP, c.TCP_INFO, 104) == data[:104]
    named = info.of_socket(a, w.now)
    for name, offset, code, value in (
        ("state", 0, "B", 1),
        ("options", 5, "B", 7),
        ("rto", 8, "I", named["tcpi_rto"]),
        ("unacked", 24, "I", 0),
        ("rtt", 68, "I", named["tcpi_rtt"]),
        ("total_retrans", 100, "I", 0),
        ("bytes_acked", 120, "Q", 5),
        ("segs_out", 136, "I", named["tcpi_segs_out"]),
        ("data_segs_out", 156, "I", 1),
        ("bytes_sent", 200, "Q", 5),
        ("snd_wnd", 228, "I", named["tcpi_snd_wnd"]),
    ):
        assert (name, struct.unpack_from("=" + code, data, offset)[0]) == (name, value)
        assert (name, named[f"tcpi_{name}"]) == (name, value)
    assert b.tcb is not None
    assert info.mapping(b.tcb)["tcpi_bytes_received"] == 5


def test_of_what_has_no_connection() -> None:
    """Linux's tcp_get_info: a listener tells how many wait, and the most that may; a new socket that it is closed."""
    w = Loopback()
    ear = w.listener(80, backlog=7)
    w.new().connect_ex(("127.0.0.1", 80), now=w.now)
    w.run()
    named = info.of_socket(ear, w.now)
    assert (named["tcpi_state"], named["tcpi_unacked"], named["tcpi_sacked"]) == (10, 1, 7)
    assert info.of_socket(w.new(), w.now)["tcpi_state"] == 7


def test_why_sending_rests() -> None:
    """Linux's tcp_chrono: the time spent busy, and how much of it by the peer's window."""
    counts = info.Counts()
    counts.limit(info.BUSY, 1000)
    counts.limit(info.RWND_LIMITED, 3000)
    counts.limit(info.IDLE, 7000)
    assert [counts.limited_for(kind, 9000) for kind in (info.BUSY, info.RWND_LIMITED, info.SNDBUF_LIMITED)] == [
        6000,
        4000,
        0,
    ]
