"""The throughput of one connection over {delay} x {loss} x {reorder} x {buffer}, as text.

::

    a ─────── r ══100 Mbit/s, impaired══ b            a sends 4 MB to b, which compares every byte

All of it is virtual time and seeded chance, so the table is the same wherever it is made. It is kept in
``tcp_throughput.txt`` beside this file, and ``test_tcp_throughput`` compares. A change of TCP that is meant to change
it renews it (a minute)::

    python -m tests.sim.tcp_throughput

and the difference is read before it is committed: it says where the change is for the better, and where not.
"""

from itertools import product
from pathlib import Path

from vrouter.testing import Lab
from vrouter.testing.tcp_flow import transfer

SNAPSHOT = Path(__file__).with_name("tcp_throughput.txt")

SIZE = 4_000_000
RATE = 100_000_000
FRAME = 1514
DELAYS = (0.001, 0.01, 0.1)  # s, one way
LOSSES = (0, 0.001, 0.01, 0.05)
REORDERS = (0, 0.01)
BUFFERS = (0.25, 1)  # BDPs
COLUMNS = (("cubic", 4), ("cubic", 6), ("reno", 4), ("bbr", 6))

HEADING = f"""\
One connection, {SIZE:,} bytes over {RATE // 1_000_000} Mbit/s; data in Mbit/s. Loss is that of frames, both ways; reordering that of data.
Made by tests/sim/tcp_throughput.py, which says how to renew it.

delay  loss   reorder  buffer   {"".join(f"{name + '/v' + str(family):>10}" for name, family in COLUMNS)}
"""  # noqa: E501 - it is as wide as the table's explanation is long


def cell(congestion, family, delay, loss, reorder, buffer):
    """Mbit/s of data of one transfer; every byte is compared on arrival."""
    with Lab() as lab:
        a, r, b = lab.line("a", "r", "b")
        for node in (a, r, b):
            node.recording = False
        bdp = RATE * 2 * delay / 8 / FRAME
        wire = next(wire for wire in lab.wires if wire.name == "r-b")
        wire.set(rate=RATE, delay=delay, loss=loss, queue=max(4, round(bdp * buffer)))
        wire.towards(b).set(reorder=reorder)  # both ways there would be round trips of no time at all
        listener = b.tcp_listen(80, congestion=congestion)
        host = b.addr if family == 4 else b.addr6
        client = a.tcp_connect(host, 80, congestion=congestion, timeout=60)
        done = transfer(client, listener.accept(timeout=60), SIZE, timeout=3600)
        return done.rate / 1e6


def rows(delay):
    """The table's rows of one delay."""
    made = []
    for loss, reorder, buffer in product(LOSSES, REORDERS, BUFFERS):
        rates = [cell(name, family, delay, loss, reorder, buffer) for name, family in COLUMNS]
        what = f"{delay * 1000:3g} ms {loss:6.1%}  {reorder:6.1%}  {buffer:4g} BDP "
        made.append(what + "".join(f"{rate:10.2f}" for rate in rates))
    return made


def kept(delay):
    """The rows of one delay in the snapshot."""
    lines = SNAPSHOT.read_text(encoding="utf-8").splitlines()
    return [line for line in lines if line.startswith(f"{delay * 1000:3g} ms")]


if __name__ == "__main__":
    table = "\n".join("\n".join(rows(delay)) + "\n" for delay in DELAYS)
    SNAPSHOT.write_text(HEADING + table, encoding="utf-8")
