"""What a script consists of, after parsing: plain values.

Times are ns. An event's time is ``at`` (of what happens) and, where the script gives one, ``until``: the end of the
range in which a packet may leave, or in which a blocking call returns.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum
from typing import TypeAlias


class ScriptError(Exception):
    """A script that cannot be read: ``line`` counts from 1."""

    def __init__(self, line: int, text: str) -> None:
        super().__init__(f"line {line}: {text}")
        self.line = line
        self.text = text


class LinuxOnly(Exception):
    """A script asks for something that belongs to Linux alone; the text says what."""


class When(Enum):
    """How an event's time is written."""

    ABSOLUTE = "absolute"
    RELATIVE = "relative"  # to the event before
    ANY = "any"  # ``*``


@dataclass(frozen=True, slots=True)
class Time:
    """A time of a script; ``at`` and ``until`` are ns, absolute or relative as `when` says; ``until`` -1: none."""

    when: When
    at: int
    until: int = -1


@dataclass(frozen=True, slots=True)
class Word:
    """A name in an argument (``SOL_TCP``), or an expression of names such as ``O_RDWR|O_NONBLOCK``."""

    text: str


class Ellipsis_:
    """``...``: whatever it is."""

    __slots__ = ()

    def __repr__(self) -> str:
        return "..."


ELLIPSIS = Ellipsis_()

Value: TypeAlias = "int | str | Word | Ellipsis_ | list[Value] | dict[str, Value]"


@dataclass(frozen=True, slots=True)
class Call:
    """A system call and what it is to return: ``result`` an int or `ELLIPSIS`, ``errno`` a name when it fails."""

    name: str
    arguments: list[Value]
    result: Value
    errno: str = ""


@dataclass(frozen=True, slots=True)
class Option:
    """A TCP option: ``kind`` is the language's word (mss, nop, sackOK, sack, TS, wscale, FO, FOEXP, eol)."""

    kind: str
    values: tuple[int, ...] = ()
    data: bytes = b""

    @property
    def size(self) -> int:
        """How many bytes it has on the wire (a cookie that is only named: what is named so)."""
        fixed = {"nop": 1, "eol": 1, "mss": 4, "wscale": 3, "sackOK": 2, "TS": 10, "sack": 2 + 4 * len(self.values)}
        cookie = 8 if self.data.startswith(b"TFO_") else len(self.data)
        return fixed.get(self.kind, cookie + (2 if self.kind == "FO" else 4))


@dataclass(frozen=True, slots=True)
class TcpPacket:
    """A segment as it is written. Numbers are the script's own: each side's first sequence number is 0.

    ``window`` -1: not said; ``options`` None: any; ``ecn``: "", noecn, ect0, ect1, ce, ect01.
    """

    inbound: bool
    flags: str
    seq: int
    length: int
    ack: int = -1
    window: int = -1
    urgent: int = 0
    options: tuple[Option, ...] | None = ()
    ecn: str = ""


@dataclass(frozen=True, slots=True)
class IcmpPacket:
    """An ICMP error about a segment: names as the language has them, and the segment's numbers that it quotes."""

    inbound: bool
    type: str
    code: str
    mtu: int
    seq: int
    length: int


@dataclass(frozen=True, slots=True)
class Code:
    """Assertions about TCP_INFO."""

    text: str


@dataclass(frozen=True, slots=True)
class Command:
    """Shell lines."""

    text: str


Action: TypeAlias = Call | TcpPacket | IcmpPacket | Code | Command


@dataclass(frozen=True, slots=True)
class Event:
    """One thing that happens or is to happen."""

    line: int
    time: Time
    action: Action


@dataclass(slots=True)
class Script:
    """A whole script: its options (``--name=value``), the commands before its first event, and the events."""

    name: str
    options: dict[str, str] = field(default_factory=dict)
    setup: list[Command] = field(default_factory=list)
    events: list[Event] = field(default_factory=list)
