"""Data leave in superframes and arrive as they were written, however they are carried (RFC 9293 3.8.1)."""

from __future__ import annotations

import pytest

from vrouter.stack.base.counters import Stat
from vrouter.testing import Lab
from vrouter.testing.tcp_flow import transfer

SIZE = 4_000_000
BOTH = pytest.mark.parametrize("family", [4, 6])


def address(node, family: int) -> str:
    return node.addr if family == 4 else node.addr6


def pair(a, b, family: int):
    listener = b.tcp_listen(80, addr="0.0.0.0" if family == 4 else "::")
    client = a.tcp_connect(address(b, family), 80)
    return client, listener.accept()


#   a ──────── b        one wire
@BOTH
def test_a_wire_gets_segments(lab: Lab, family: int) -> None:
    """RFC 9293 3.7: a device without offload is handed packets that fit, and all bytes arrive."""
    a, b = lab.line("a", "b", delay=0.001)
    client, server = pair(a, b, family)
    a.clear()
    assert transfer(client, server, SIZE).size == SIZE
    assert max(len(frame) for frame in a.sent) <= 1514
    assert a.ns.stats[Stat.TcpRetransSegs] == 0


#   a ── veth ── inner        two namespaces of one stack
@BOTH
def test_a_veth_carries_superframes_whole(lab: Lab, family: int) -> None:
    """RFC 9293 3.7: within a process nothing is cut: the packets are far fewer than the segments they stand for."""
    node = lab.host("a")
    inner = node.add_netns("a.inner")
    stack = node.stack
    outer_dev, inner_dev = stack.add_veth(node.ns, "v0", inner.ns, "v1", now=lab.now)
    for ns, dev, last in ((node.ns, outer_dev, 1), (inner.ns, inner_dev, 2)):
        ns.add_address(dev, f"192.0.2.{last}/24", now=lab.now)
        ns.add_address(dev, f"2001:db8::{last}/64", now=lab.now)
    lab.run_for(2)
    listener = inner.tcp_listen(80, addr="0.0.0.0" if family == 4 else "::")
    client = node.tcp_connect("192.0.2.2" if family == 4 else "2001:db8::2", 80)
    server = listener.accept()
    before = inner.ns.stats[Stat.AcctDelivered]
    segments = node.ns.stats[Stat.TcpOutSegs]
    assert transfer(client, server, SIZE).size == SIZE
    assert node.ns.stats[Stat.TcpOutSegs] - segments >= SIZE // 1448
    assert inner.ns.stats[Stat.AcctDelivered] - before < SIZE // 1448 // 20
    assert inner_dev.rx_packets > SIZE // 1448  # counted as a wire would have them


#   a ── r ── b        the second wire is narrow
@BOTH
def test_a_narrow_path_is_found_out_by_superframes_too(lab: Lab, family: int) -> None:
    """RFC 1191, RFC 8201: the router tells, and what was too large goes again."""
    a = lab.host("a")
    r = lab.router("r")
    b = lab.host("b")
    lab.wire(a, r)
    lab.wire(r, b, mtu=1300)
    lab.set_routes()
    client, server = pair(a, b, family)
    client.socket.tcb.peer_mss = 9000  # so that only the path says
    client.socket.tcb.pmtu = 0
    assert transfer(client, server, SIZE).size == SIZE
    assert client.socket.tcb.pmtu == 1300


@BOTH
def test_losses_cost_no_byte(lab: Lab, family: int) -> None:
    """RFC 9293 3.8.1: whatever is lost of a superframe goes again."""
    a, b = lab.line("a", "b", delay=0.005, loss=0.01)
    client, server = pair(a, b, family)
    assert transfer(client, server, 1_000_000).size == 1_000_000
    assert a.ns.stats[Stat.TcpRetransSegs] > 0
