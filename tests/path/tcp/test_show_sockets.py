"""Rows of ``show sockets``, and the line below them."""

from __future__ import annotations

from tests.path.tcp.calls import Loopback
from vrouter.cli.socket_text import duration, info_line, rate, socket_table
from vrouter.stack.l4 import constants as c
from vrouter.stack.l4.listing import Wanted, records

FIELDS = ["netns", "proto", "state", "local", "peer", "rx_queue", "tx_queue"]


def test_states_and_queues() -> None:
    """ss(8)'s words for the states; a listener's queues are connections, those of the others bytes."""
    w = Loopback()
    ear = w.listener(80, backlog=5)
    a, b = w.pair(ear)
    w.new().connect_ex(("127.0.0.1", 80), now=w.now)
    w.run()
    a.send(b"12345", now=w.now)
    w.run(100)
    rows = records(w.ns)
    assert all(list(row) == FIELDS for row in rows)
    port = a.port
    short = [(row["state"], row["local"], row["peer"], row["rx_queue"], row["tx_queue"]) for row in rows]
    assert short[0] == ("LISTEN", "127.0.0.1:80", "0.0.0.0:*", 1, 5)
    assert short[1] == ("ESTAB", f"127.0.0.1:{port}", "127.0.0.1:80", 0, 0)
    assert ("ESTAB", "127.0.0.1:80", f"127.0.0.1:{port}", 5, 0) in short
    assert len(short) == 5  # and both ends of what waits to be accepted
    b.recv(9, now=w.now)
    a.close(now=w.now)
    b.close(now=w.now)
    w.run(100)
    assert [row["state"] for row in records(w.ns, Wanted(sport=port))] == ["TIME-WAIT"]


def test_filters() -> None:
    """ss(8)'s -t, -u, -l, state, sport and dport."""
    w = Loopback()
    ear = w.listener(80)
    a, _ = w.pair(ear)
    w.ns.socket(c.AF_INET, c.SOCK_DGRAM).bind(("127.0.0.1", 53), now=w.now)

    def states(**wanted: object) -> list[str]:
        return [f"{row['proto']} {row['state']}" for row in records(w.ns, Wanted(**wanted))]

    assert states(proto="udp") == ["udp UNCONN"]
    assert states(listening=True) == ["tcp LISTEN", "udp UNCONN"]
    assert states(state="ESTAB") == ["tcp ESTAB", "tcp ESTAB"]
    assert states(dport=80) == ["tcp ESTAB"]
    assert states(sport=a.port) == ["tcp ESTAB"]


def test_half_open() -> None:
    """RFC 9293 3.5: what is half open is ss(8)'s SYN-RECV, with the timer of its SYN-ACK."""
    w = Loopback()
    w.ns.add_device("lan", mac="02:00:00:00:01:01")
    w.ns.add_address("lan", "10.0.1.1/24")
    a = w.new()
    a.connect_ex(("10.0.1.2", 80), now=w.now)
    (row,) = records(w.ns, more=True)
    assert (row["state"], row["peer"]) == ("SYN-SENT", "10.0.1.2:80")
    assert (row["timer"]["kind"], row["timer"]["count"]) == ("on", 0)
    assert 0 < row["timer"]["expires_ns"] <= 1_000_000_000


def test_the_line_below() -> None:
    """ss(8)'s -i and -o: options, congestion control, times in ms, counters; in the table each connection has one."""
    w = Loopback()
    a, b = w.pair(w.listener(80))
    b.setsockopt(c.SOL_SOCKET, c.SO_KEEPALIVE, 1, now=w.now)
    a.send(b"12345", now=w.now)
    w.run(100)
    rows = records(w.ns, more=True)
    lines = {row["local"]: info_line(row) for row in rows}
    mine = lines[f"127.0.0.1:{a.port}"].split()
    assert {"ts", "sack", "wscale:7,7", "cubic", "bytes_sent:5", "bytes_acked:5"} <= set(mine)
    assert any(word.startswith("rto:") for word in mine)
    other = next(row for row in rows if row["state"] == "ESTAB" and row["local"] == "127.0.0.1:80")
    assert info_line(other).startswith("timer:(keepalive,119min59sec,0) ")
    assert len(socket_table(rows).splitlines()) == 1 + 3 + 2 + 1
    assert rows[0]["tcp_info"]["tcpi_state"] == 10


def test_units() -> None:
    """Times and rates as ss(8) has them."""
    assert [duration(ms * 1_000_000) for ms in (200, 1500, 60_000, 7_199_000)] == [
        "200ms",
        "1.5sec",
        "1min",
        "119min59sec",
    ]
    assert [rate(size) for size in (10, 125_000, 125_000_000, 1_250_000_000)] == ["80bps", "1Mbps", "1Gbps", "10Gbps"]
