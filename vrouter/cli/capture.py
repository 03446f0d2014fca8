"""`vrouter capture`: frames as they pass, a line for each, or pcapng into a file.

The router sends pcapng; here the blocks are counted, and written or read. A file ends with a whole block, however the
capture ends.
"""

from __future__ import annotations

import contextlib
import json
import sys
import time
from collections.abc import Iterator
from struct import Struct
from typing import IO, Any, Final

from vrouter.cli.arguments import Arguments, number
from vrouter.cli.client import refused, target
from vrouter.cli.connect import client_of
from vrouter.cli.failure import RUNTIME, Failure, usage
from vrouter.cli.packet_text import describe

_INTERFACE, _STATISTICS, _PACKET = 1, 5, 6
_HEAD: Final = Struct("=II")
_PACKET_HEAD: Final = Struct("=5I")
_OPTION: Final = Struct("=HH")
_U64: Final = Struct("=Q")
_U32: Final = Struct("=I")
_IF_NAME, _EPB_FLAGS, _ISB_IFDROP = 2, 2, 5
_WAYS: Final = {1: "In", 2: "Out"}


class Reader:
    """Takes a pcapng stream apart: what `Packets` are in it, and how many were lost."""

    def __init__(self) -> None:
        self.names: list[str] = []
        self.captured = self.dropped = 0

    def packet(self, block: bytes) -> dict[str, Any] | None:
        """What a block says, if it is a packet: device, direction, time (ns), length and bytes."""
        kind = _HEAD.unpack_from(block)[0]
        body = block[8:-4]
        if kind == _INTERFACE:
            self.names.append(_options(body, 8).get(_IF_NAME, b"").decode())
        elif kind == _STATISTICS:
            found = _options(body, 12).get(_ISB_IFDROP)
            self.dropped = _U64.unpack(found)[0] if found else self.dropped
        elif kind == _PACKET:
            self.captured += 1
            number_, high, low, size, length = _PACKET_HEAD.unpack_from(body)
            flags = _options(body, 20 + size + -size % 4).get(_EPB_FLAGS, bytes(4))
            netns, _, dev = self.names[number_].rpartition("/")
            way = _WAYS.get(_U32.unpack(flags)[0] & 3, "?")
            data = body[20 : 20 + size]
            return {
                "netns": netns, "dev": dev, "direction": way.lower(), "time_ns": high << 32 | low, "length": length,
                "data": data,
            }  # fmt: skip
        return None


def _options(body: bytes, at: int) -> dict[int, bytes]:
    found: dict[int, bytes] = {}
    while at + 4 <= len(body):
        code, size = _OPTION.unpack_from(body, at)
        if not code:
            break
        found[code] = body[at + 4 : at + 4 + size]
        at += 4 + size + -size % 4
    return found


def blocks(pieces: Iterator[bytes]) -> Iterator[bytes]:
    """The whole blocks of a stream that comes in pieces."""
    buffer = bytearray()
    for piece in pieces:
        buffer += piece
        while len(buffer) >= 8 and len(buffer) >= (size := _HEAD.unpack_from(buffer)[1]):
            yield bytes(buffer[:size])
            del buffer[:size]


def capture(arguments: Arguments) -> int:
    """The verb."""
    if not arguments.words:
        raise usage("capture at which device? vrouter capture DEV, or `any`")
    dev, *words = arguments.words
    options = arguments.options
    query: dict[str, str | int | None] = {
        "netns": options.get("netns"),
        "dev": None if dev == "any" else dev,
        "count": number(options["count"], "-c", 1, 10**12) if "count" in options else None,
        "snaplen": number(options["snaplen"], "-s", 14, 262144) if "snaplen" in options else None,
        "filter": " ".join(words) or None,
    }
    if arguments.has("json") and "write" in options:
        raise usage("--json prints packets and -w writes them: one of them")
    client = client_of(arguments)
    with client.send("GET", target("v1", "capture", **query)) as answer:
        if answer.status >= 400:
            raise refused(answer.status, answer.body())
        answer.endless()
        with _file(options.get("write")) as file:
            reader = Reader()
            try:
                for block in blocks(answer.pieces()):
                    _take(reader, block, file, as_json=arguments.has("json"))
            finally:
                print(f"{reader.captured} packets captured, {reader.dropped} dropped", file=sys.stderr, flush=True)
    return 0


def _take(reader: Reader, block: bytes, file: IO[bytes] | None, *, as_json: bool) -> None:
    packet = reader.packet(block)
    if file is not None:
        file.write(block)
        file.flush()
    elif packet is not None:
        text = describe(packet.pop("data"))
        if as_json:
            print(json.dumps({**packet, "text": text}, ensure_ascii=False), flush=True)
        else:
            seconds, ns = divmod(packet["time_ns"], 1_000_000_000)
            when = f"{time.strftime('%H:%M:%S', time.localtime(seconds))}.{ns // 1000:06}"
            print(f"{when} {packet['netns']}/{packet['dev']} {packet['direction'].title():3} {text}", flush=True)


def _file(name: str | None) -> contextlib.AbstractContextManager[IO[bytes] | None]:
    if name is None:
        return contextlib.nullcontext()
    if name == "-":
        return contextlib.nullcontext(sys.stdout.buffer)
    try:
        return open(name, "wb")
    except OSError as error:
        raise Failure(RUNTIME, f"{name} cannot be written: {error.strerror}", "EIO") from None
