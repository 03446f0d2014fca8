"""What an idle connection costs: its socket, its control block, and what hangs on them."""

from __future__ import annotations

import gc
import tracemalloc

from vrouter.stack.l4 import constants as c
from vrouter.stack.stack import Stack

MS = 1_000_000
COUNT = 200
BOUND = 4608  # bytes for each end


def test_an_idle_end_costs_little() -> None:
    """Both ends of 200 connections that have exchanged a byte and rest, with their places in tables and lists."""
    stack = Stack(seed=5)
    ns = stack.add_netns("red")
    now = 1000 * MS
    ear = ns.socket(c.AF_INET, c.SOCK_STREAM)
    ear.bind(("127.0.0.1", 80), now=now)
    ear.listen(COUNT, now=now)
    held = []

    def connect(count: int) -> None:
        nonlocal now
        for _ in range(count):
            client = ns.socket(c.AF_INET, c.SOCK_STREAM)
            client.connect_ex(("127.0.0.1", 80), now=now)
            server, _ = ear.accept(now=now)
            client.send(b"x", now=now)
            now += 300 * MS
            stack.poll(now)
            assert server.recv(9, now=now) == b"x"
            held.extend((client, server))
        now += 10_000 * MS
        stack.poll(now)
        stack.take_ready()

    connect(20)  # what is made once is not counted
    gc.collect()
    tracemalloc.start()
    try:
        connect(COUNT)
        gc.collect()
        size, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert size / (2 * COUNT) < BOUND
