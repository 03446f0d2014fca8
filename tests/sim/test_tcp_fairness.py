"""Many connections share a bottleneck fairly.

::

    a ──1 Gbit/s── r ══100 Mbit/s, 20 ms each way, one BDP of buffer══ b

All of ``a``'s connections send without end to ``b``. A simulation in which everything happens at exact instants has
phase effects that no real network has (Floyd and Jacobson, "On traffic phase effects in packet-switched gateways"):
with the queue full, an ACK-clocked sender always comes just after a place is free, and one that waits for a timer never
does. Where there are more connections than packets on the path, the round trip therefore varies by a tenth.
"""

from vrouter.testing import Lab
from vrouter.testing.tcp_flow import Pattern, begin

RATE = 100_000_000
DELAY = 0.02
BUFFER = round(2 * DELAY * RATE / 8 / 1514)  # frames
SECONDS = 20


def share(count, jitter=0.0, rto_max=120):
    """What each of `count` connections got across in 20 s, and the share of the wire that they filled."""
    with Lab(ipv6=False) as lab:
        a, r, b = lab.line("a", "r", "b", rate=1e9)
        bottleneck = next(wire for wire in lab.wires if wire.name == "r-b")
        bottleneck.set(rate=RATE, delay=DELAY, queue=BUFFER, jitter=jitter)
        for node in (a, r, b):
            node.recording = False
            node.ns.sysctl["net.ipv4.tcp_rto_max_ms"] = rto_max * 1000
        listener = b.tcp_listen(80)
        pattern = Pattern()
        flows = []

        def start():
            flow = begin(a, b, 80)
            flow.send_pattern(pattern, 1 << 40)
            flows.append(flow)

        for number in range(count):
            lab.after(number / count, start)
        lab.run_for(SECONDS)
        got = {flow.peer[1]: flow.taken for flow in listener.waiting}
        return [got.get(flow.local[1], 0) for flow in flows], sum(got.values()) * 8 / SECONDS / RATE


def jain(shares):
    """Jain's index: 1 when all are the same, 1/n when one has everything."""
    return sum(shares) ** 2 / (len(shares) * sum(one * one for one in shares))


def test_a_hundred_connections():
    """RFC 9438 5.1: flows of one round trip share alike (Jain's index 0.95 at least) and fill the wire."""
    shares, filled = share(100)
    assert jain(shares) >= 0.95
    assert filled > 0.93  # 0.957 is all that headers leave


def test_a_thousand_connections():
    """With two connections for each packet that is on its way nobody starves: the worst gets a fifth of the mean.

    Two in five packets are lost then, so that of a thousand connections one or two are unlucky six times in a row; by
    RFC 6298 5.5 they wait for 18 of the 20 seconds. The time-out is therefore bounded (tcp_rto_max_ms).
    """
    shares, filled = share(1000, jitter=0.004, rto_max=2)
    assert min(shares) >= 0.2 * sum(shares) / len(shares)
    assert filled > 0.9
