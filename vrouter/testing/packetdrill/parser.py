"""From tokens to a `Script`.

::

    script   := option* event*
    event    := [time] (packet | call | code | shell)
    time     := NUMBER | "+" NUMBER | "*", with "~" or "..." and a NUMBER behind for a range
    packet   := ("<" | ">") ["[" ecn "]"] flags range ["ack" N] ["win" N] ["urg" N] ["<" options ">"]
              | ("<" | ">") "icmp" WORD [WORD] ["mtu" N] ["[" range "]"]
    range    := FIRST ":" END "(" LENGTH ")"
    call     := NAME "(" values ")" "=" value [ERRNO ["(" text ")"]]

Read first: the description of the language that comes with packetdrill (Google); nothing of it is copied here.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final

from vrouter.testing.packetdrill.lexer import Kind, Token, tokens
from vrouter.testing.packetdrill.script import (
    ELLIPSIS,
    Action,
    Call,
    Code,
    Command,
    Event,
    IcmpPacket,
    LinuxOnly,
    Option,
    Script,
    ScriptError,
    TcpPacket,
    Time,
    Value,
    When,
    Word,
)

SECOND: Final = 1_000_000_000
_FLAGS: Final = frozenset("SFRP.UEWA")
_ECN: Final = ("noecn", "ect0", "ect1", "ect01", "ce")
_FOREIGN: Final = ("udp", "gre", "mpls", "ipv4", "ipv6", "psp")
_HEX: Final = re.compile(r"[0-9a-fA-F]+")
COOKIES: Final = ("TFO_COOKIE", "TFO_COOKIE_ZERO")  # stand for the cookies of the server's key, and of a key of zeros
_MAX_DIGITS: Final = 20
_MAX_SECONDS: Final = 7  # digits: some months
_MAX16: Final = 0xFFFF
_MAX32: Final = 0xFFFFFFFF
_MAX_OPTIONS: Final = 40
_MAX_DATA: Final = 65535 - 20 - 20 - _MAX_OPTIONS


def parse(text: str, name: str = "<script>", defines: Mapping[str, str] | None = None) -> Script:
    """The script, with `defines` in the place of their names; ScriptError for what is not of the language, LinuxOnly
    for what this one asks of Linux alone."""
    return _Parser(text, name, defines).script()


def integer(text: str) -> int:
    """A whole number, decimal or behind ``0x``. ValueError for more digits than any number of a script has."""
    if len(text) > _MAX_DIGITS:
        raise ValueError("a number of too many digits")
    return int(text, 16 if text[:2] in ("0x", "0X") else 10)


class _Parser:
    def __init__(self, text: str, name: str, defines: Mapping[str, str] | None) -> None:
        self._tokens = tokens(text, defines)
        self._at = 0
        self._name = name

    # -- tokens -----------------------------------------------------------------------------------------------------

    @property
    def _next(self) -> Token:
        return self._tokens[self._at]

    def _take(self) -> Token:
        token = self._tokens[self._at]
        self._at += token.kind is not Kind.END
        return token

    def _is(self, text: str) -> bool:
        token = self._next
        return token.text == text and token.kind in (Kind.SIGN, Kind.NAME)

    def _accept(self, text: str) -> bool:
        if self._is(text):
            self._at += 1
            return True
        return False

    def _expect(self, text: str) -> None:
        if not self._accept(text):
            raise self._wrong(f"{text!r} was expected")

    def _wrong(self, text: str) -> ScriptError:
        token = self._next
        found = repr(token.text) if token.text else token.kind.value
        return ScriptError(token.line, f"{text}, not {found}")

    def _integer(self) -> int:
        sign = -1 if self._accept("-") else 1
        if self._next.kind is not Kind.INTEGER:
            raise self._wrong("a number was expected")
        try:
            number = integer(self._next.text)
        except ValueError as error:
            raise ScriptError(self._next.line, str(error)) from None
        self._take()
        return sign * number

    def _field(self, most: int) -> int:
        """A number of a packet that has room for 0 to `most`."""
        line = self._next.line
        number = self._integer()
        if not 0 <= number <= most:
            raise ScriptError(line, f"{number} is not in 0 to {most}")
        return number

    # -- the script -------------------------------------------------------------------------------------------------

    def script(self) -> Script:
        found = Script(self._name)
        while self._next.kind is Kind.OPTION:
            key, _, value = self._take().text[2:].partition("=")
            found.options[key] = value.split("//")[0].strip()
        while self._next.kind is not Kind.END:
            if self._next.kind is Kind.SHELL and not found.events:
                found.setup.append(Command(self._take().text))
            else:
                line = self._next.line
                found.events.append(Event(line, self._time(), self._action()))
        return found

    def _time(self) -> Time:
        if self._accept("*"):
            return Time(When.ANY, 0)
        if self._accept("+"):
            at = self._seconds()
            when = When.RELATIVE
        elif self._next.kind in (Kind.INTEGER, Kind.DECIMAL):
            at = self._seconds()
            when = When.ABSOLUTE
        else:
            return Time(When.RELATIVE, 0)
        if self._accept("~") or self._accept("..."):
            self._accept("+")
            return Time(when, at, self._seconds())
        return Time(when, at)

    def _seconds(self) -> int:
        if self._next.kind not in (Kind.INTEGER, Kind.DECIMAL):
            raise self._wrong("a time was expected")
        whole, _, rest = self._next.text.partition(".")
        if len(whole) > _MAX_SECONDS or whole[:2] in ("0x", "0X"):
            raise self._wrong("a time was expected")
        self._take()
        return int(whole or "0") * SECOND + int((rest + "0" * 9)[:9])

    def _action(self) -> Action:
        token = self._next
        if token.kind is Kind.CODE:
            return Code(self._take().text)
        if token.kind is Kind.SHELL:
            return Command(self._take().text)
        if token.kind is Kind.SIGN and token.text in "<>":
            return self._packet()
        if token.kind is Kind.NAME:
            return self._call()
        raise self._wrong("a packet, a system call, code or a command was expected")

    # -- packets ----------------------------------------------------------------------------------------------------

    def _packet(self) -> TcpPacket | IcmpPacket:
        inbound = self._take().text == "<"
        ecn = ""
        if self._accept("["):
            ecn = self._take().text
            if ecn not in _ECN:
                raise LinuxOnly(f"packets marked {ecn!r}")
            self._expect("]")
        if self._next.text in _FOREIGN:
            raise LinuxOnly(f"{self._next.text} packets")
        if self._accept("icmp"):
            return self._icmp(inbound)
        flags = self._flags()
        line = self._next.line
        seq, length = self._range()
        ack = self._field(_MAX32) if self._accept("ack") else -1
        window = self._field(_MAX16) if self._accept("win") else -1
        urgent = self._field(_MAX16) if self._accept("urg") else 0
        options: tuple[Option, ...] | None = ()
        if self._accept("<"):
            options = self._options()
        if inbound and length > _MAX_DATA:
            raise ScriptError(line, f"no packet has {length} bytes of data")
        if sum(option.size for option in options or ()) > _MAX_OPTIONS:
            raise ScriptError(line, f"no segment has more than {_MAX_OPTIONS} bytes of options")
        return TcpPacket(inbound, flags, seq, length, ack, window, urgent, options, ecn)

    def _flags(self) -> str:
        """Letters and dots that stand together."""
        text = ""
        while self._next.kind in (Kind.NAME, Kind.SIGN) and (not text or not self._next.space):
            word = self._next.text
            if word != "-" and not set(word) <= _FLAGS:
                break
            text += self._take().text
        if not text:
            raise self._wrong("the flags of a segment were expected")
        return text.replace("-", "")

    def _range(self) -> tuple[int, int]:
        """(first number, length) of ``1:1001(1000)``."""
        first = self._integer()
        self._expect(":")
        last = self._integer()
        self._expect("(")
        length = self._integer()
        self._expect(")")
        if (last - first) & 0xFFFFFFFF != length:
            raise self._wrong(f"{first}:{last} are not {length} bytes")
        return first, length

    def _options(self) -> tuple[Option, ...] | None:
        if self._accept("..."):
            self._expect(">")
            return None
        found = []
        while not self._accept(">"):
            found.append(self._option())
            if not self._is(">"):
                self._expect(",")
        return tuple(found)

    def _option(self) -> Option:
        token = self._take()
        word = token.text
        if word in ("nop", "eol", "sackOK"):
            return Option(word)
        if word in ("mss", "wscale"):
            return Option(word, (self._field(_MAX16 if word == "mss" else 255),))
        if word == "TS":
            self._expect("val")
            value = self._field(_MAX32)
            self._expect("ecr")
            return Option(word, (value, self._field(_MAX32)))
        if word == "sack":
            numbers: list[int] = []
            while self._next.kind is Kind.INTEGER:
                numbers.append(self._field(_MAX32))
                self._expect(":")
                numbers.append(self._field(_MAX32))
            return Option(word, tuple(numbers))
        if word in ("FO", "FOEXP"):
            return Option(word, data=self._cookie())
        raise LinuxOnly(f"the TCP option {word!r}")

    def _cookie(self) -> bytes:
        """Hexadecimal digits, which may look like several tokens."""
        text = ""
        while not (self._is(",") or self._is(">") or self._next.kind is Kind.END):
            text += self._take().text
        if text in COOKIES:
            return text.encode()
        if len(text) % 2 or (text and not _HEX.fullmatch(text)):
            raise self._wrong("a cookie in hexadecimal digits was expected")
        return bytes.fromhex(text)

    def _icmp(self, inbound: bool) -> IcmpPacket:
        kind = self._take().text
        code, mtu, seq, length = "", 0, 0, 0
        if self._next.kind is Kind.NAME and not self._is("mtu"):
            code = self._take().text
        if self._accept("mtu"):
            mtu = self._field(_MAX32)
        if self._accept("["):
            seq, length = self._range()
            self._expect("]")
        return IcmpPacket(inbound, kind, code, mtu, seq, length)

    # -- calls ------------------------------------------------------------------------------------------------------

    def _call(self) -> Call:
        name = self._take().text
        self._expect("(")
        arguments: list[Value] = []
        while not self._accept(")"):
            arguments.append(self._value())
            if not self._is(")"):
                self._expect(",")
        self._expect("=")
        result = self._value()
        code = ""
        if self._next.kind is Kind.NAME and self._next.text.startswith("E"):
            code = self._take().text
        if self._is("("):
            self._skip_note()
        return Call(name, arguments, result, code)

    def _skip_note(self) -> None:
        """``(Operation now in progress)``, ``(flags O_RDWR)``."""
        depth = 0
        while True:
            token = self._take()
            depth += {"(": 1, ")": -1}.get(token.text, 0)
            if not depth or token.kind is Kind.END:
                return

    def _value(self) -> Value:
        first = self._operand()
        if not self._is("|"):
            return first
        texts = [_text(first)]
        while self._accept("|"):
            texts.append(_text(self._operand()))
        return Word("|".join(texts))

    def _operand(self) -> Value:
        token = self._next
        if self._accept("..."):
            return ELLIPSIS
        if self._accept("["):
            items: list[Value] = []
            while not self._accept("]"):
                items.append(self._value())
                if not self._is("]"):
                    self._expect(",")
            return items
        if self._accept("{"):
            return self._structure()
        if token.kind is Kind.STRING:
            try:
                text = token.text.encode().decode("unicode_escape")
            except ValueError:
                raise self._wrong("a string was expected") from None
            self._take()
            return text
        if token.kind is Kind.DECIMAL:
            raise self._wrong("a whole number was expected")
        if token.kind is Kind.INTEGER or self._is("-"):
            return self._integer()
        if token.kind is Kind.NAME:
            return self._named()
        raise self._wrong("a value was expected")

    def _named(self) -> Value:
        """A name, or what looks like a call: ``htons(8080)``, ``inet_addr("192.0.2.1")``, ``msg_name(...)=...``."""
        word = self._take().text
        if not self._accept("("):
            return Word(word)
        inner: list[Value] = []
        while not self._accept(")"):
            inner.append(self._value())
            if not self._is(")"):
                self._expect(",")
        if word in ("htons", "htonl", "ntohs", "inet_addr", "inet_pton"):
            return inner[-1]
        return {word: inner}

    def _structure(self) -> Value:
        """``{name=value, …}``, with ``name(n)=value`` for arrays; without names it is a list."""
        named: dict[str, Value] = {}
        plain: list[Value] = []
        while not self._accept("}"):
            if self._next.kind is Kind.NAME:
                word = self._next.text
                value = self._operand()
                if self._accept("="):
                    named[word] = self._value()
                else:
                    plain.append(value)
            else:
                plain.append(self._value())
            if not self._is("}"):
                self._expect(",")
        return named if named or not plain else plain


def _text(value: Value) -> str:
    if isinstance(value, Word):
        return value.text
    if isinstance(value, int):
        return str(value)
    raise ScriptError(0, f"{value!r} is not a flag")
