"""Sends UDP datagrams as fast as it can, or counts those that arrive and compares their bytes.

    python -m benchmarks.udp_rate send ADDRESS --seconds S [--count N] [--size BYTES]
    python -m benchmarks.udp_rate count --seconds S [--count N] [--size BYTES]

Many datagrams go with one system call (sendmmsg, recvmmsg), so that the interpreter is not what is measured. `count`
prints "ready" when its socket is bound; it ends when nothing came for half a second after the first datagram, when N
have come, or after S seconds. Each prints one JSON object: sent: `packets`, `refused` (by the kernel here) and
`seconds`; counted: `packets`, `wrong` (those of a batch with other bytes) and `rate`, datagrams a second between the
first batch and the last.
"""

from __future__ import annotations

import argparse
import ctypes
import json
import socket
import struct
import sys
import time

PORT = 9898
SIZE = 18  # bytes of payload that make a minimum Ethernet frame
BATCH = 64
QUIET_SECONDS = 0.5
_ROOM = 1 << 24
_SO_RCVBUFFORCE = 33
_MSG_WAITFORONE = 0x10000


class _IoVec(ctypes.Structure):
    _fields_ = (("base", ctypes.c_void_p), ("size", ctypes.c_size_t))


class _MsgHdr(ctypes.Structure):
    _fields_ = (
        ("name", ctypes.c_void_p),
        ("name_size", ctypes.c_uint32),
        ("vectors", ctypes.c_void_p),
        ("vector_count", ctypes.c_size_t),
        ("control", ctypes.c_void_p),
        ("control_size", ctypes.c_size_t),
        ("flags", ctypes.c_int),
    )


class _MmsgHdr(ctypes.Structure):
    _fields_ = (("message", _MsgHdr), ("size", ctypes.c_uint32))


class Batch:
    """Memory for `BATCH` datagrams of `size` bytes, each in a slot with a little more, to see one that is longer."""

    def __init__(self, size: int) -> None:
        self.slot = size + 14
        payload = bytes((7 * at + 1) & 0xFF for at in range(size))
        self.expected = (payload + bytes(14)) * BATCH
        self.data = bytearray(self.expected)
        memory = (ctypes.c_char * len(self.data)).from_buffer(self.data)
        address = ctypes.addressof(memory)
        self._vectors = (_IoVec * BATCH)()
        raw = bytearray(BATCH * ctypes.sizeof(_MmsgHdr))
        self.headers = (_MmsgHdr * BATCH).from_buffer(raw)
        for at in range(BATCH):
            self._vectors[at] = _IoVec(address + at * self.slot, size)
            vector = ctypes.addressof(self._vectors) + at * ctypes.sizeof(_IoVec)
            self.headers[at].message.vectors, self.headers[at].message.vector_count = vector, 1
        words = memoryview(raw).cast("I")
        self._sizes = words[_MmsgHdr.size.offset // 4 :: ctypes.sizeof(_MmsgHdr) // 4]
        self._right_sizes = [size] * BATCH

    def make_room(self, size: int) -> None:
        """Accept datagrams longer than they should be, so that they are seen to be wrong."""
        for vector in self._vectors:
            vector.size = size

    def is_right(self, count: int) -> bool:
        """Whether the first `count` datagrams are exactly what `send` sends."""
        end = count * self.slot
        return self._sizes[:count].tolist() == self._right_sizes[:count] and self.data[:end] == self.expected[:end]


def send(address: str, seconds: float, count: int, size: int) -> dict[str, float]:
    """Send until `seconds` are over or `count` datagrams (0: no limit) are sent."""
    libc = ctypes.CDLL(None, use_errno=True)
    batch = Batch(size)
    sent = refused = 0
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.connect((address, PORT))
        fd, start = sock.fileno(), time.monotonic()
        while time.monotonic() - start < seconds and not (count and sent >= count):
            part = BATCH if not count else min(BATCH, count - sent)
            done = libc.sendmmsg(fd, batch.headers, part, 0)
            if done > 0:
                sent += done
            else:
                refused += 1
            if count:
                time.sleep(0.001)  # an exact count is for those who may lose none: no queue overflows
        return {"packets": sent, "refused": refused, "seconds": time.monotonic() - start}


def count_arrivals(seconds: float, count: int, size: int) -> dict[str, float]:
    """Count what arrives."""
    libc = ctypes.CDLL(None, use_errno=True)
    batch = Batch(size)
    batch.make_room(batch.slot)
    packets = wrong = first_batch = 0
    first = last = 0.0
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.setsockopt(socket.SOL_SOCKET, _SO_RCVBUFFORCE, _ROOM)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, struct.pack("ll", 0, 100_000))
        sock.bind(("", PORT))
        print("ready", flush=True)
        fd, end = sock.fileno(), time.monotonic() + seconds
        while (now := time.monotonic()) < end and not (count and packets >= count):
            done = libc.recvmmsg(fd, batch.headers, BATCH, _MSG_WAITFORONE, None)
            if done <= 0:
                if packets and now - last > QUIET_SECONDS:
                    break
                continue
            last = time.monotonic()
            if not packets:
                first, first_batch = last, done
            packets += done
            if not batch.is_right(done):
                wrong += done
    rate = (packets - first_batch) / (last - first) if last > first else 0.0
    return {"packets": packets, "wrong": wrong, "rate": rate}


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.udp_rate")
    parser.add_argument("action", choices=["send", "count"])
    parser.add_argument("address", nargs="?", default="")
    parser.add_argument("--seconds", type=float, required=True)
    parser.add_argument("--count", type=int, default=0)
    parser.add_argument("--size", type=int, default=SIZE)
    given = parser.parse_args()
    if given.action == "send":
        result = send(given.address, given.seconds, given.count, given.size)
    else:
        result = count_arrivals(given.seconds, given.count, given.size)
    json.dump(result, sys.stdout)
    print()


if __name__ == "__main__":
    main()
