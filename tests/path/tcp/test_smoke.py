"""TCP from end to end: a connection, a megabyte each way, and its end."""

from __future__ import annotations

import pytest

from vrouter.stack.l4 import constants as c
from vrouter.testing import Lab
from vrouter.testing.packetdrill import run_text

MEGABYTE = bytes(range(256)) * 4096

HANDSHAKE = """
0    socket(..., SOCK_STREAM, IPPROTO_TCP) = 3
+0   setsockopt(3, SOL_SOCKET, SO_REUSEADDR, [1], 4) = 0
+0   bind(3, ..., ...) = 0
+0   listen(3, 1) = 0
+0   < S 0:0(0) win 32792 <mss 1000,sackOK,nop,nop,nop,wscale 7>
+0   > S. 0:0(0) ack 1 <mss 1460,nop,nop,sackOK,nop,wscale 7>
+.1  < . 1:1(0) ack 1 win 257
+0   accept(3, ..., ...) = 4
+0   write(4, ..., 1000) = 1000
+0   > P. 1:1001(1000) ack 1
+.1  < . 1:1(0) ack 1001 win 257
+0   close(4) = 0
+0   > F. 1001:1001(0) ack 1
+.1  < F. 1:1(0) ack 1002 win 257
+0   > . 1002:1002(0) ack 2
"""


def test_a_connection_by_the_script() -> None:
    """RFC 9293 3.5, 3.6: the three-way handshake, a segment, and the normal close, as a peer sees them."""
    result = run_text(HANDSHAKE)
    assert result.passed, result


@pytest.mark.parametrize("family", [c.AF_INET, c.AF_INET6])
def test_a_megabyte_each_way(lab: Lab, family: int) -> None:
    """RFC 9293 2.2: what is written arrives, in order and whole, by both families, and both ends come to their end."""
    a, b = lab.line("a", "b")
    host = b.addr if family == c.AF_INET else b.addr6
    listener = b.ns.socket(family, c.SOCK_STREAM)
    listener.bind((host, 80), now=lab.now)
    listener.listen(5, now=lab.now)
    client = a.ns.socket(family, c.SOCK_STREAM)
    assert client.connect_ex((host, 80), now=lab.now) == 115
    lab.run_for(1)
    server, _ = listener.accept(now=lab.now)
    got = {client: bytearray(), server: bytearray()}
    sent = dict.fromkeys(got, 0)
    for _ in range(2000):
        for sock in got:
            try:
                sent[sock] += sock.send(MEGABYTE[sent[sock] :], now=lab.now) if sent[sock] < len(MEGABYTE) else 0
            except BlockingIOError:
                pass
            try:
                got[sock] += sock.recv(1 << 20, now=lab.now)
            except BlockingIOError:
                pass
        lab.run_for(0.001)
        if all(len(data) == len(MEGABYTE) for data in got.values()):
            break
    assert all(data == MEGABYTE for data in got.values())
    client.close(now=lab.now)
    lab.run_for(1)
    assert server.recv(10, now=lab.now) == b""
    server.close(now=lab.now)
    lab.run_for(120)
    assert not a.ns.tcp.connections
    assert not b.ns.tcp.connections
