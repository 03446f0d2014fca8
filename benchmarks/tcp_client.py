"""One connection from a kernel socket to a TCP service (`tcp_services`, or a peer's on the same ports), with CUBIC.

    python -m benchmarks.tcp_client ADDRESS rr|put|get PORT SECONDS

`rr`: 64-byte requests one at a time to an echo service. `put`: bulk to a discard service; what was acknowledged counts.
`get`: bulk from a source. Prints a JSON object: `bits` a second, or `p50` and `p99` in seconds and `count`.
"""

from __future__ import annotations

import fcntl
import json
import socket
import struct
import sys
import time
from typing import Final

REQUEST: Final = b"r" * 64
BLOCK: Final = bytes(65536)
_SIOCOUTQ: Final = 0x5411
_PATIENCE: Final = 5.0  # s, for the connection and for anything to happen on it


def connect(address: str, port: int) -> socket.socket:
    """A connection with CUBIC and without Nagle's rule, which is reset when it is closed."""
    sock = socket.socket()
    sock.settimeout(_PATIENCE)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_CONGESTION, b"cubic")
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    sock.connect((address, port))
    return sock


def exchange(sock: socket.socket, seconds: float) -> dict[str, float]:
    """Requests, one at a time."""
    times: list[float] = []
    clock = time.perf_counter
    end = clock() + seconds
    while (start := clock()) < end:
        sock.sendall(REQUEST)
        answer = sock.recv(len(REQUEST))
        while len(answer) < len(REQUEST):
            more = sock.recv(len(REQUEST) - len(answer))
            if not more:
                raise ConnectionError("closed")
            answer += more
        times.append(clock() - start)
        if answer != REQUEST:
            raise ConnectionError("another answer than the request")
    times.sort()
    count = len(times)
    return {"count": count, "p50": times[count // 2], "p99": times[min(count - 1, count * 99 // 100)]}


def put(sock: socket.socket, seconds: float) -> dict[str, float]:
    """Bulk there."""
    sent, start = 0, time.perf_counter()
    while time.perf_counter() - start < seconds:
        sent += sock.send(BLOCK)
    waiting = struct.unpack("i", fcntl.ioctl(sock, _SIOCOUTQ, bytes(4)))[0]
    return _rate(sent - waiting, start)


def get(sock: socket.socket, seconds: float) -> dict[str, float]:
    """Bulk back."""
    room = bytearray(len(BLOCK))
    got, start = 0, time.perf_counter()
    sock.settimeout(0.2)  # a path that stalls is no failure, but the end comes when it has to
    while time.perf_counter() - start < seconds:
        try:
            size = sock.recv_into(room)
        except TimeoutError:
            continue
        if not size:
            raise ConnectionError("closed")
        got += size
    return _rate(got, start)


def _rate(octets: int, start: float) -> dict[str, float]:
    return {"bits": octets * 8 / (time.perf_counter() - start), "octets": octets}


def main() -> None:
    address, kind, port, seconds = sys.argv[1:]
    measures = {"rr": exchange, "put": put, "get": get}
    with connect(address, int(port)) as sock:
        json.dump(measures[kind](sock, float(seconds)), sys.stdout)
    print()


if __name__ == "__main__":
    main()
