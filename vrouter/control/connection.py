"""One HTTP/1.1 connection: requests in, answers out, by h11; bounded in size and in time.

Expects: an asyncio stream pair and an `answer` function from a `Request` to a `Response`.
Sets:    nothing that outlives the connection.
Next:    `endpoints` answers.

A request has to be there whole within `request_s` of its first byte, and the next one within `idle_s`; head and body
have a largest size. Where `streams` says so, the body is handed over piece by piece as it comes instead (``pieces``):
however large, no more than one piece of it is held, and each has to come within `request_s`. An answer is one piece or
a stream. A stream ends when its source does, when the client goes, when
the server closes, or when the client has not taken a piece for `write_s`. It is the last answer of its connection.

Read first: RFC 9112 (messages), RFC 9110 section 15 (status codes).
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator, Awaitable, Callable
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any, Final

import h11
import msgspec

from vrouter.control.errors import Refused

JSON: Final = "application/json"
_READ_BYTES = 65536
_WRITE_BUFFER_BYTES = 65536


@dataclass(frozen=True, slots=True)
class Limits:
    """What a client may take: sizes in bytes, times in seconds."""

    connections: int = 64
    head_bytes: int = 16384
    body_bytes: int = 1 << 20
    stream_bytes: int = 1 << 30
    idle_s: float = 30.0
    request_s: float = 10.0
    write_s: float = 10.0
    close_s: float = 0.5


@dataclass(slots=True)
class Request:
    """A request as it came: the target is not decoded yet. `body` is None when there was none, or where it comes in
    `pieces`."""

    method: str
    target: str
    headers: dict[str, str]
    body: bytes | None = None
    pieces: AsyncGenerator[bytes, None] | None = None

    @property
    def with_body(self) -> bool:
        """Whether the head announces a body."""
        return "content-length" in self.headers or "transfer-encoding" in self.headers


@dataclass(slots=True)
class Response:
    """An answer: a body or a stream of pieces, which is closed with `aclose` in any case."""

    status: int = 200
    body: bytes = b""
    media: str = JSON
    headers: tuple[tuple[bytes, bytes], ...] = ()
    stream: AsyncGenerator[bytes, None] | None = None


class Connection:
    """One client; `serve` returns when the connection is over."""

    def __init__(
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        answer: Callable[[Request], Awaitable[Response]],
        limits: Limits,
        closing: asyncio.Event,
        streams: Callable[[str, str], bool] = lambda method, target: False,
    ) -> None:
        self.reader = reader
        self.writer = writer
        self.answer = answer
        self.limits = limits
        self.closing = closing
        self.streams = streams
        self.busy = False  # an answer is being made or sent
        self.http = h11.Connection(h11.SERVER, max_incomplete_event_size=limits.head_bytes)
        writer.transport.set_write_buffer_limits(_WRITE_BUFFER_BYTES)

    async def serve(self) -> None:
        """Answer requests until the client or the server has enough."""
        try:
            while not self.closing.is_set() and await self._one():
                self.http.start_next_cycle()
        except (ConnectionError, TimeoutError, h11.ProtocolError):
            pass  # the client broke off, or was too slow: there is nobody to tell
        except RuntimeError:  # what uvloop says of a transport that is closed
            if not self.writer.transport.is_closing():
                raise
        finally:
            self.busy = False
            await self._finish()

    async def _finish(self) -> None:
        """Let the client have what is still in the buffer, for a short while."""
        transport = self.writer.transport
        if transport.is_closing():
            return
        with contextlib.suppress(ConnectionError, TimeoutError):
            async with asyncio.timeout(self.limits.close_s):
                transport.set_write_buffer_limits(0)
                await self.writer.drain()
        if transport.is_closing():  # by the client, meanwhile; uvloop lets nobody ask it anything then
            return
        if transport.get_write_buffer_size():
            transport.abort()
        else:
            self.writer.close()

    async def refuse(self, refused: Refused) -> None:
        """Answer with an error without having read a request, and end."""
        with contextlib.suppress(ConnectionError, TimeoutError, h11.ProtocolError):
            await self._send(refused_response(refused), last=True)
            await self._linger()
        await self._finish()

    def abort(self) -> None:
        """End at once: what is not sent yet is lost."""
        self.writer.transport.abort()

    async def _linger(self) -> None:
        """Take what the client still sends, so that it is not reset before it has read the answer."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(self.limits.close_s):
                while await self.reader.read(_READ_BYTES):
                    pass

    async def _one(self) -> bool:
        """Read a request and answer it; whether the connection goes on."""
        try:
            request = await self._read_request()
        except Refused as refused:
            self.busy = True
            await self._send(refused_response(refused), last=True)
            await self._linger()
            return False
        if request is None:
            return False
        self.busy = True
        response = await self.answer(request)
        if request.pieces is not None:
            await request.pieces.aclose()
        await self._send(response, head_only=request.method == "HEAD")
        self.busy = False
        if request.pieces is not None and self.http.their_state is not h11.DONE:
            await self._linger()  # it was refused before all of it had come
        return response.stream is None and self.http.our_state is h11.DONE and self.http.their_state is h11.DONE

    # -- in ---------------------------------------------------------------------------------------------------------

    async def _event(self) -> h11.Event | type[h11.NEED_DATA] | type[h11.PAUSED]:
        """The next event of the protocol. Refused for what is no HTTP or has too long a head."""
        while True:
            try:
                event = self.http.next_event()
            except h11.RemoteProtocolError as error:
                status = error.error_status_hint
                raise Refused(status, "EMSGSIZE" if status == 431 else "EPROTO", f"no valid HTTP: {error}") from None
            if event is not h11.NEED_DATA:
                return event
            if self.http.they_are_waiting_for_100_continue:
                await self._write(h11.InformationalResponse(status_code=100, headers=[], reason=b"Continue"))
            self.http.receive_data(await self.reader.read(_READ_BYTES))

    async def _read_request(self) -> Request | None:
        if not self.http.trailing_data[0]:
            first = await self._first_bytes()
            self.http.receive_data(first)
            if not first:
                return None
        try:
            async with asyncio.timeout(self.limits.request_s):
                event = await self._event()
                if not isinstance(event, h11.Request):
                    return None
                # h11 bounds a head that is not whole yet; one that came in one piece is measured here.
                size = len(event.target) + sum(len(name) + len(value) + 4 for name, value in event.headers)
                if size > self.limits.head_bytes:
                    raise Refused(431, "EMSGSIZE", f"the head has more than {self.limits.head_bytes} bytes")
                headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in event.headers}
                request = Request(event.method.decode(), event.target.decode("latin-1"), headers)
                if self.streams(request.method, request.target):
                    request.pieces = self._pieces(request)
                else:
                    await self._read_body(request)
                return request
        except TimeoutError:
            raise Refused(408, "ETIMEDOUT", "the request did not come in time") from None

    async def _first_bytes(self) -> bytes:
        """What the client says next; nothing when it has nothing to say for too long, or the server closes."""
        read = asyncio.ensure_future(self.reader.read(_READ_BYTES))
        closing = asyncio.ensure_future(self.closing.wait())
        try:
            await asyncio.wait({read, closing}, timeout=self.limits.idle_s, return_when=asyncio.FIRST_COMPLETED)
            return read.result() if read.done() else b""
        finally:
            await _cancelled(read, closing)

    async def _read_body(self, request: Request) -> None:
        pieces = [piece async for piece in self._body(request, self.limits.body_bytes)]
        request.body = b"".join(pieces) if request.with_body else None

    async def _body(self, request: Request, limit: int) -> AsyncGenerator[bytes, None]:
        """What the body is made of. Refused for one of more than `limit` bytes."""
        announced, size = request.headers.get("content-length", ""), 0
        if announced.isdigit() and int(announced) > limit:
            raise Refused(413, "EMSGSIZE", f"the body has more than {limit} bytes")
        while True:
            event = await self._event()
            if isinstance(event, h11.Data):
                size += len(event.data)
                if size > limit:
                    raise Refused(413, "EMSGSIZE", f"the body has more than {limit} bytes")
                yield bytes(event.data)
            elif isinstance(event, h11.EndOfMessage):
                return
            else:
                raise ConnectionResetError("the client closed in the middle of a request")

    async def _pieces(self, request: Request) -> AsyncGenerator[bytes, None]:
        """The same, with as much time for each piece as another request has for the whole."""
        async with contextlib.aclosing(self._body(request, self.limits.stream_bytes)) as body:
            while True:
                try:
                    async with asyncio.timeout(self.limits.request_s):
                        piece = await anext(body)
                except StopAsyncIteration:
                    return
                except TimeoutError:
                    raise Refused(408, "ETIMEDOUT", "the request did not come in time") from None
                yield piece

    # -- out --------------------------------------------------------------------------------------------------------

    async def _write(self, *events: h11.Event) -> None:
        data = b"".join(self.http.send(event) or b"" for event in events)
        self.writer.write(data)
        try:
            async with asyncio.timeout(self.limits.write_s):
                await self.writer.drain()
        except TimeoutError:
            self.writer.transport.abort()
            raise

    async def _send(self, response: Response, *, head_only: bool = False, last: bool = False) -> None:
        headers = [(b"Content-Type", response.media.encode()), *response.headers]
        if response.stream is None:
            if response.status != HTTPStatus.NO_CONTENT:
                headers.append((b"Content-Length", str(len(response.body)).encode()))
        last = last or response.stream is not None or self.closing.is_set()
        if last or self.http.their_state is not h11.DONE:
            headers.append((b"Connection", b"close"))
        head = h11.Response(
            status_code=response.status, headers=headers, reason=HTTPStatus(response.status).phrase.encode()
        )
        if response.stream is not None:
            async with contextlib.aclosing(response.stream):
                await self._write(head)
                if not head_only:
                    await self._stream(response.stream)
                await self._write(h11.EndOfMessage())
        elif head_only or not response.body:
            await self._write(head, h11.EndOfMessage())
        else:
            await self._write(head, h11.Data(data=response.body), h11.EndOfMessage())

    async def _stream(self, source: AsyncGenerator[bytes, None]) -> None:
        """Send pieces as they come, until the source ends, the client goes or the server closes."""
        gone = asyncio.ensure_future(self._client_gone())
        closing = asyncio.ensure_future(self.closing.wait())
        piece: asyncio.Future[bytes] | None = None
        try:
            while True:
                piece = asyncio.ensure_future(anext(source))
                await asyncio.wait({piece, gone, closing}, return_when=asyncio.FIRST_COMPLETED)
                if not piece.done():
                    return
                try:
                    data = piece.result()
                except StopAsyncIteration:
                    return
                if data:
                    await self._write(h11.Data(data=data))
                if gone.done() or closing.done():
                    return
        finally:
            await _cancelled(gone, closing, *([piece] if piece is not None else []))

    async def _client_gone(self) -> None:
        while await self.reader.read(_READ_BYTES):
            pass  # more requests behind one for a stream are not answered


async def _cancelled(*futures: asyncio.Future[Any]) -> None:
    """Cancel what is not done, and wait until it is over; what it ends with is of no interest any more."""
    for future in futures:
        future.cancel()
    await asyncio.gather(*futures, return_exceptions=True)


def refused_response(refused: Refused) -> Response:
    """An error as an answer."""
    body = msgspec.json.encode({"error": refused.error, "message": refused.message})
    return Response(refused.status, body, headers=refused.headers)
