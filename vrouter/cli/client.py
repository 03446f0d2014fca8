"""The admin API's client: one request per connection over the Unix socket, whole answers or streams."""

from __future__ import annotations

import json
import os
import re
import socket
from collections.abc import Iterator
from typing import Any, BinaryIO, Final

from vrouter.cli.failure import NO_ROUTER, PRIVILEGE, RUNTIME, USAGE, Failure

DEFAULT_ADMIN: Final = "/run/vrouter/vrouter.sock"
VARIABLE: Final = "VROUTER_ADMIN"
_CONNECT_S = 5.0
_ANSWER_S = 60.0
_PIECE_BYTES = 1 << 18
_SAFE: Final = frozenset(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~")
_OF_THE_BODY: Final = "the body: "
_MENDS: Final = {
    "ENODEV": "`vrouter show devices` lists them",
    "ESRCH": "`vrouter show routes` lists them",
    "ENETUNREACH": "`vrouter show routes` lists the ways that there are",
    "EADDRNOTAVAIL": "`vrouter show addresses` lists them",
}


def quote(text: str) -> str:
    """Percent-encode one part of a URL."""
    return "".join(chr(byte) if byte in _SAFE else f"%{byte:02X}" for byte in os.fsencode(text))


def target(*segments: str, **query: str | int | None) -> str:
    """The path of these segments, with the query's parameters that are not None."""
    pairs = [f"{name}={quote(str(value))}" for name, value in query.items() if value is not None]
    return "/" + "/".join(map(quote, segments)) + ("?" + "&".join(pairs) if pairs else "")


class Answer:
    """An answer whose head has come; the body is read piece by piece."""

    def __init__(self, path: str, sock: socket.socket) -> None:
        self._path = path
        self._sock = sock
        self._buffer = bytearray()
        status, *lines = self._until(b"\r\n\r\n").decode("latin-1").split("\r\n")
        words = status.split(" ", 2)
        if len(words) < 2 or not words[0].startswith("HTTP/1.") or not words[1].isdigit():
            raise self._broken()
        self.status = int(words[1])
        self.headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}

    def __enter__(self) -> Answer:
        return self

    def __exit__(self, *_: object) -> None:
        self._sock.close()

    def _broken(self) -> Failure:
        return Failure(RUNTIME, f"{self._path}: what answers there is no router, or it broke off", "EPROTO")

    def _number(self, text: bytes, base: int) -> int:
        if not re.fullmatch(b"[0-9a-fA-F]{1,12}", text):
            raise self._broken()
        try:
            return int(text, base)
        except ValueError:
            raise self._broken() from None

    def _receive(self) -> None:
        try:
            data = self._sock.recv(65536)
        except TimeoutError:
            text = f"{self._path}: the router does not answer: it is stopped or busy; try again, or restart it"
            raise Failure(RUNTIME, text, "ETIMEDOUT") from None
        except OSError:
            data = b""
        if not data:
            raise self._broken()
        self._buffer += data

    def _until(self, end: bytes) -> bytes:
        while (at := self._buffer.find(end)) < 0:
            self._receive()
        found = bytes(self._buffer[:at])
        del self._buffer[: at + len(end)]
        return found

    def pieces(self) -> Iterator[bytes]:
        """The body as it comes."""
        if self.headers.get("transfer-encoding") == "chunked":
            while size := self._number(self._until(b"\r\n").split(b";")[0], 16):
                while len(self._buffer) < size + 2:
                    self._receive()
                yield bytes(self._buffer[:size])
                del self._buffer[: size + 2]
            return
        size = self._number(self.headers.get("content-length", "0").encode(), 10)
        while len(self._buffer) < size:
            self._receive()
        yield bytes(self._buffer[:size])

    def body(self) -> bytes:
        """The body, whole."""
        return b"".join(self.pieces())

    def endless(self) -> None:
        """Wait for the next piece as long as it takes."""
        self._sock.settimeout(None)


class Client:
    """Asks the router at a socket. Every method raises Failure when there is none, or when it refuses."""

    def __init__(self, path: str) -> None:
        self.path = path

    def _connect(self, patience_s: float) -> socket.socket:
        sock = socket.socket(socket.AF_UNIX)
        try:
            sock.settimeout(min(_CONNECT_S, patience_s))
            sock.connect(self.path)
            return sock
        except OSError as error:
            sock.close()
            raise self._unreachable(error) from None

    def _unreachable(self, error: OSError) -> Failure:
        if isinstance(error, PermissionError):
            text = f"{self.path}: permission denied: only the user whose router it is may use it (sudo?)"
            return Failure(PRIVILEGE, text, "EACCES")
        if isinstance(error, FileNotFoundError | ConnectionRefusedError | NotADirectoryError):
            text = "start one with `vrouter run CONFIG`, or say where it is with --admin PATH or $" + VARIABLE
            return Failure(NO_ROUTER, f"no router is running at {self.path}: {text}", "ECONNREFUSED")
        return Failure(NO_ROUTER, f"no router can be reached at {self.path}: {error}", "ECONNREFUSED")

    def send(
        self, method: str, where: str, body: Any = None, accept: str = "*/*", patience_s: float = _ANSWER_S
    ) -> Answer:
        """Send a request; its answer, whatever its status. `body` becomes JSON. Waits for `patience_s` at each step."""
        head = f"{method} {where} HTTP/1.1\r\nHost: vrouter\r\nAccept: {accept}\r\nConnection: close\r\n"
        data = b"" if body is None else json.dumps(body).encode()
        if body is not None:
            head += f"Content-Type: application/json\r\nContent-Length: {len(data)}\r\n"
        sock = self._connect(patience_s)
        try:
            sock.settimeout(patience_s)
            try:
                sock.sendall(head.encode() + b"\r\n" + data)
            except ConnectionError:
                pass  # it may have answered all the same
            return Answer(self.path, sock)
        except BaseException:
            sock.close()
            raise

    def upload(self, where: str, file: BinaryIO, media: str) -> Answer:
        """POST what a file has, piece by piece as it is read; the answer, whatever its status."""
        head = f"POST {where} HTTP/1.1\r\nHost: vrouter\r\nConnection: close\r\n"
        head += f"Content-Type: {media}\r\nTransfer-Encoding: chunked\r\n\r\n"
        sock = self._connect(_ANSWER_S)
        try:
            sock.settimeout(_ANSWER_S)
            try:
                sock.sendall(head.encode())
                while piece := file.read(_PIECE_BYTES):
                    sock.sendall(b"%x\r\n%b\r\n" % (len(piece), piece))
                sock.sendall(b"0\r\n\r\n")
            except ConnectionError:
                pass  # it may have answered all the same
            return Answer(self.path, sock)
        except BaseException:
            sock.close()
            raise

    def ask(self, method: str, where: str, body: Any = None) -> bytes:
        """The body of a good answer. Failure for any other."""
        with self.send(method, where, body) as answer:
            data = answer.body()
        if answer.status >= 400:
            raise refused(answer.status, data)
        return data

    def read(self, *segments: str, **query: str | int | None) -> Any:
        """GET, decoded."""
        return decoded(self.ask("GET", target(*segments, **query)))


def decoded(data: bytes) -> Any:
    """An answer's JSON. Failure when it is none."""
    try:
        return json.loads(data)
    except ValueError:
        raise Failure(RUNTIME, "what answered is no router: it did not send JSON", "EPROTO") from None


def refused(http_status: int, data: bytes) -> Failure:
    """The router's refusal, with what mends it."""
    try:
        answer = json.loads(data)
        error, message = str(answer["error"]), str(answer["message"])
    except (ValueError, KeyError, TypeError):
        return Failure(RUNTIME, "the router refused, and did not say why", "EPROTO")
    if message.startswith(_OF_THE_BODY) and " - at `$." in message:  # nobody typed a body, but a key in it
        text, _, key = message.removeprefix(_OF_THE_BODY).rpartition(" - at `$.")
        message = f"{key.rstrip('`')}: {text[0].lower()}{text[1:]}"
    mend = _MENDS.get(error, "")
    if error == "ENOENT" and message.startswith("no namespace"):
        mend = "`vrouter show netns` lists them"
    status = {400: USAGE, 403: PRIVILEGE}.get(http_status, RUNTIME)
    if error == "EINVAL" or (error == "EOPNOTSUPP" and "not supported yet" in message):
        status = USAGE  # what was typed cannot be, or not yet
    return Failure(status, f"{message} ({mend})" if mend else message, error)
