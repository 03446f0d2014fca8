"""Copies frames between two TAPs and looks at none of them: what a Python program can move at best.

    python -m benchmarks.copier asyncio|poll TAP TAP

`asyncio` waits with the loop's readers, `poll` with epoll alone. Prints "ready" when both TAPs are open; runs until it
is ended. A frame is what the kernel hands over without a virtio-net header.
"""

from __future__ import annotations

import asyncio
import fcntl
import os
import select
import struct
import sys

TUNSETIFF = 0x400454CA
IFF_TAP_NO_PI = 0x1002
FRAMES_A_TURN = 64
FRAME_MAX = 2048


def attach(name: str) -> int:
    """The descriptor of a new TAP of that name."""
    tap = os.open("/dev/net/tun", os.O_RDWR | os.O_CLOEXEC | os.O_NONBLOCK)
    fcntl.ioctl(tap, TUNSETIFF, struct.pack("16sH22x", name.encode(), IFF_TAP_NO_PI))
    return tap


def carry(source: int, target: int) -> None:
    """Copy what waits at `source`, one turn's worth at most; what `target` refuses is lost."""
    read, write = os.read, os.write
    for _ in range(FRAMES_A_TURN):
        try:
            frame = read(source, FRAME_MAX)
        except BlockingIOError:
            return
        try:
            write(target, frame)
        except OSError:
            continue  # full, or down: a copier has no queue


async def _by_asyncio(one: int, two: int) -> None:
    loop = asyncio.get_running_loop()
    loop.add_reader(one, carry, one, two)
    loop.add_reader(two, carry, two, one)
    await loop.create_future()


def _by_poll(one: int, two: int) -> None:
    opposite = {one: two, two: one}
    with select.epoll() as poll:
        for tap in opposite:
            poll.register(tap, select.EPOLLIN)
        while True:
            for tap, _ in poll.poll():
                carry(tap, opposite[tap])


def main() -> None:
    kind, *names = sys.argv[1:]
    one, two = map(attach, names)
    print("ready", flush=True)
    if kind == "asyncio":
        asyncio.run(_by_asyncio(one, two))
    else:
        _by_poll(one, two)


if __name__ == "__main__":
    main()
