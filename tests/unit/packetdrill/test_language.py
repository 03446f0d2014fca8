"""packetdrill's language: what a script says, and what is wrong with one."""

from __future__ import annotations

import pytest

from vrouter.testing.packetdrill.parser import parse
from vrouter.testing.packetdrill.script import (
    ELLIPSIS,
    Call,
    Code,
    Command,
    IcmpPacket,
    LinuxOnly,
    Option,
    ScriptError,
    TcpPacket,
    Time,
    When,
    Word,
)

MS = 1_000_000


@pytest.mark.parametrize(
    ("text", "time"),
    [
        ("0 close(3) = 0", Time(When.ABSOLUTE, 0)),
        ("1.5 close(3) = 0", Time(When.ABSOLUTE, 1500 * MS)),
        ("+.1 close(3) = 0", Time(When.RELATIVE, 100 * MS)),
        ("+0...0.200 close(3) = 0", Time(When.RELATIVE, 0, 200 * MS)),
        ("+.01...0.011 close(3) = 0", Time(When.RELATIVE, 10 * MS, 11 * MS)),
        ("+.21~+.215 close(3) = 0", Time(When.RELATIVE, 210 * MS, 215 * MS)),
        ("* close(3) = 0", Time(When.ANY, 0)),
        ("close(3) = 0", Time(When.RELATIVE, 0)),
    ],
)
def test_times(text: str, time: Time) -> None:
    """Absolute, relative, ranges of both, whenever, and none, which is at once."""
    assert parse(text).events[0].time == time


@pytest.mark.parametrize(
    ("text", "packet"),
    [
        ("< S 0:0(0) win 100", TcpPacket(True, "S", 0, 0, window=100)),
        ("> S. 0:0(0) ack 1 <...>", TcpPacket(False, "S.", 0, 0, ack=1, options=None)),
        ("> P. 1:1001(1000) ack 1", TcpPacket(False, "P.", 1, 1000, ack=1)),
        ("< - 1:1(0) win 5", TcpPacket(True, "", 1, 0, window=5)),
        ("< [ect0] SEWA 0:0(0) win 5", TcpPacket(True, "SEWA", 0, 0, window=5, ecn="ect0")),
        ("< U. 1:2(1) ack 1 win 9 urg 1", TcpPacket(True, "U.", 1, 1, ack=1, window=9, urgent=1)),
        (
            "> S 0:0(0) <mss 1460,sackOK,TS val 100 ecr 0,nop,wscale 8,eol>",
            TcpPacket(
                False,
                "S",
                0,
                0,
                options=(
                    Option("mss", (1460,)),
                    Option("sackOK"),
                    Option("TS", (100, 0)),
                    Option("nop"),
                    Option("wscale", (8,)),
                    Option("eol"),
                ),
            ),
        ),
        (
            "< . 1:1(0) ack 1 win 257 <sack 2001:3001 4001:5001,nop,nop>",
            TcpPacket(
                True,
                ".",
                1,
                0,
                ack=1,
                window=257,
                options=(Option("sack", (2001, 3001, 4001, 5001)), Option("nop"), Option("nop")),
            ),
        ),
        ("> S 0:0(0) <FO,nop,nop>", TcpPacket(False, "S", 0, 0, options=(Option("FO"), Option("nop"), Option("nop")))),
        (
            "> S 0:0(0) <FO 00112233e4>",
            TcpPacket(False, "S", 0, 0, options=(Option("FO", data=bytes.fromhex("00112233e4")),)),
        ),
        (
            "< icmp unreachable frag_needed mtu 1200 [1:1001(1000)]",
            IcmpPacket(True, "unreachable", "frag_needed", 1200, 1, 1000),
        ),
    ],
)
def test_packets(text: str, packet: TcpPacket | IcmpPacket) -> None:
    """Flags, numbers, windows, options and marks as they are written."""
    assert parse(text).events[0].action == packet


@pytest.mark.parametrize(
    ("text", "call"),
    [
        (
            "socket(..., SOCK_STREAM, IPPROTO_TCP) = 3",
            ("socket", [ELLIPSIS, Word("SOCK_STREAM"), Word("IPPROTO_TCP")], 3),
        ),
        ("fcntl(3, F_SETFL, O_RDWR|O_NONBLOCK) = 0", ("fcntl", [3, Word("F_SETFL"), Word("O_RDWR|O_NONBLOCK")], 0)),
        ("fcntl(3, F_GETFL) = 0x2 (flags O_RDWR)", ("fcntl", [3, Word("F_GETFL")], 2)),
        ("setsockopt(3, SOL_TCP, 13, [-1], 4) = 0", ("setsockopt", [3, Word("SOL_TCP"), 13, [-1], 4], 0)),
        ('setsockopt(3, 6, 13, "reno", 4) = 0', ("setsockopt", [3, 6, 13, "reno", 4], 0)),
        (
            "poll([{fd=4, events=POLLIN, revents=POLLIN}], 1, 0) = 1",
            ("poll", [[{"fd": 4, "events": Word("POLLIN"), "revents": Word("POLLIN")}], 1, 0], 1),
        ),
        (
            "sendmsg(4, {msg_name(...)=..., msg_iov(2)=[{..., 5}, {..., 6}], msg_flags=0}, 0) = 11",
            (
                "sendmsg",
                [4, {"msg_name": ELLIPSIS, "msg_iov": [[ELLIPSIS, 5], [ELLIPSIS, 6]], "msg_flags": 0}, 0],
                11,
            ),
        ),
    ],
)
def test_calls(text: str, call: tuple[str, list[object], object]) -> None:
    """Names, numbers, arrays and structures."""
    assert parse(text).events[0].action == Call(*call)  # type: ignore[arg-type]  # the rows are plain tuples


def test_an_errno_is_read_with_its_text() -> None:
    """``= -1 EAGAIN (Resource temporarily unavailable)``."""
    action = parse("read(4, ..., 10) = -1 EAGAIN (Resource (temporarily) unavailable)").events[0].action
    assert action == Call("read", [4, ELLIPSIS, 10], -1, "EAGAIN")


def test_comments_code_commands_and_options_of_the_script() -> None:
    """What stands around the events; lines are counted from 1."""
    script = parse(
        "// a comment\n--tolerance_usecs=10000  // so much\n`sysctl -q net.ipv4.tcp_ecn=0`\n/* more\nlines */\n"
        "+0 %{\nassert tcpi_lost == 6\n}%\n+.1 `true`\n# the end\n"
    )
    assert script.options == {"tolerance_usecs": "10000"}
    assert [command.text for command in script.setup] == ["sysctl -q net.ipv4.tcp_ecn=0"]
    assert [(event.line, type(event.action)) for event in script.events] == [(6, Code), (9, Command)]


@pytest.mark.parametrize(
    ("text", "line", "what"),
    [
        ("\n\n+.1 < S 0:0(1) win 5", 3, "0:0 are not 1 bytes"),
        ("+x close(3) = 0", 1, "a time was expected"),
        ("close(3) 0", 1, "'=' was expected"),
        ("0 ; close(3) = 0", 1, "a packet, a system call"),
        ("> S 0:0(0) <FO zz>", 1, "a cookie in hexadecimal digits"),
        ("< 5:5(0)", 1, "the flags of a segment"),
        ("close(3) = 0\n\n@", 3, "is no part of the language"),
        ("read(3, 1.5) = 0", 1, "a whole number"),
    ],
)
def test_mistakes_are_told_with_their_line(text: str, line: int, what: str) -> None:
    """A script that is none says where."""
    with pytest.raises(ScriptError, match=what) as told:
        parse(text)
    assert told.value.line == line


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("< S 0:0(0) win 5 <md5 000102>", "md5"),
        ("< udp (100)", "udp"),
        ("< ipv4 1.2.3.4 > 5.6.7.8: S 0:0(0) win 5", "ipv4"),
        ("< [tos] . 1:1(0) ack 1 win 5", "marked"),
    ],
)
def test_what_is_linux_alone(text: str, what: str) -> None:
    """What only a kernel has is told apart from a mistake."""
    with pytest.raises(LinuxOnly, match=what):
        parse(text)
