"""A relay between two links of a kernel namespace that treats frames badly; a program: impairing.py LINK LINK JSON.

What it does to each frame, by the chances in the JSON text: `loss`, `duplicate`, `corrupt` (one bit behind the Ethernet
header) and `reorder` (8 ms late); every frame is `delay` seconds on its way. `seed` makes it repeatable, for frames
that come in the same order. It says "ready" and goes on until it is killed.
"""

from __future__ import annotations

import heapq
import itertools
import json
import random
import selectors
import socket
import sys
import time

ETH_P_ALL, OUTGOING = 3, 4
LATE = 0.008  # s
ETHERNET = 14


def relay(names: list[str], wanted: dict[str, float]) -> None:
    """Carry frames both ways."""
    chance, numbers = random.Random(int(wanted.get("seed", 1))), itertools.count()
    links = []
    with selectors.DefaultSelector() as selector:
        for name in names:
            link = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(ETH_P_ALL))
            link.bind((name, ETH_P_ALL))
            link.setblocking(False)
            selector.register(link, selectors.EVENT_READ)
            links.append(link)
        print("ready", flush=True)  # noqa: T201 -- whoever started it waits for this
        other = {links[0]: links[1], links[1]: links[0]}
        waiting: list[tuple[float, int, socket.socket, bytes]] = []

        def happens(what: str) -> bool:
            return chance.random() < wanted.get(what, 0)

        def take(link: socket.socket) -> None:
            try:
                frame, address = link.recvfrom(65536)
            except BlockingIOError:
                return
            if address[2] == OUTGOING or happens("loss"):
                return
            if happens("corrupt"):
                bad = bytearray(frame)
                bad[chance.randrange(ETHERNET, len(bad))] ^= 1 << chance.randrange(8)
                frame = bytes(bad)
            for _ in range(2 if happens("duplicate") else 1):
                at = time.monotonic() + wanted.get("delay", 0) + (LATE if happens("reorder") else 0)
                heapq.heappush(waiting, (at, next(numbers), other[link], frame))

        while True:
            pause = max(0.0, waiting[0][0] - time.monotonic()) if waiting else None
            for key, _ in selector.select(pause):
                take(key.fileobj)
            while waiting and waiting[0][0] <= time.monotonic():
                _, _, link, frame = heapq.heappop(waiting)
                try:
                    link.send(frame)
                except OSError:
                    pass  # its queue is full: one more that is lost


if __name__ == "__main__":
    relay(sys.argv[1:3], json.loads(sys.argv[3]))
