"""Scripts against a namespace: what passes, what fails and how that is told."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from vrouter.testing.packetdrill import Settings, run_file, run_text

LISTEN = """
0    socket(..., SOCK_STREAM, IPPROTO_TCP) = 3
+0   setsockopt(3, SOL_SOCKET, SO_REUSEADDR, [1], 4) = 0
+0   bind(3, ..., ...) = 0
+0   listen(3, 1) = 0
+0   < S 0:0(0) win 32792 <mss 1000,sackOK,nop,nop,nop,wscale 7>
+0   > S. 0:0(0) ack 1 <mss 1460,nop,nop,sackOK,nop,wscale 7>
+.1  < . 1:1(0) ack 1 win 257
"""
ACCEPTED = LISTEN + "+0 accept(3, ..., ...) = 4\n"


@pytest.mark.parametrize("version", ["ipv4", "ipv4-mapped-ipv6"])
def test_a_script_that_holds(version: str) -> None:
    """It passes, and tells how long it took by its own clock."""
    result = run_text(ACCEPTED + "+1 write(4, ..., 10) = 10\n+0 > P. 1:11(10) ack 1\n", settings=Settings(version))
    assert (result.outcome, result.line, result.text) == ("passed", 0, "")
    assert result.seconds == pytest.approx(1.1)


def test_ipv6_is_on_the_wire() -> None:
    """With ``ip_version=ipv6`` the same script, whose segments are smaller by the header."""
    text = ACCEPTED.replace("mss 1460", "mss 1440")
    assert run_text("--ip_version=ipv6\n--mtu=1500\n" + text).passed


@pytest.mark.parametrize(
    ("events", "line", "what"),
    [
        ("+0 > P. 1:11(10) ack 1", 11, r"nothing was sent until 0\.10"),
        ("+0 write(4, ..., 10) = 11", 11, "write returns 10, and is to be 11"),
        ("+0 write(4, ..., 10) = 10\n+0 > . 1:11(10) ack 1", 12, r"flags: sent was P\. 1:11\(10\) ack 1 win"),
        ("+0 write(4, ..., 10) = 10\n+0 > P. 2:12(10) ack 1", 12, "sequence number: sent was"),
        ("+0 write(4, ..., 10) = 10\n+0 > P. 1:10(9) ack 1", 12, None),
        ("+0 write(4, ..., 10) = 10\n+0 > P. 1:11(10) ack 2", 12, "acknowledgement"),
        ("+0 write(4, ..., 10) = 10\n+0 > P. 1:11(10) ack 1 win 1", 12, "window"),
        ("+0 write(4, ..., 10) = 10\n+0 > P. 1:11(10) ack 1 <nop,nop,TS val 1 ecr 1>", 12, "options are <>"),
        ("+0 write(4, ..., 10) = 10\n+.5 > P. 1:11(10) ack 1", 12, r"sent at 0\.100000 s"),
        ("+0 read(4, ..., 10) = 5", 11, r"read blocks still at"),
        ("+0 read(9, ..., 10) = 5", 11, "read fails with EBADF"),
        ("+0 fcntl(4, F_SETFL, O_RDWR|O_NONBLOCK) = 0\n+0 read(4, ..., 10) = 5", 12, "EAGAIN, and is to be 5"),
        ("+0 %{ assert tcpi_snd_cwnd == 11, tcpi_snd_cwnd }%", 11, r"does not hold \(10\)"),
        ("+0 getsockopt(4, SOL_TCP, TCP_NODELAY, [1], [4]) = 0", 11, "the value is 0, not 1"),
    ],
)
def test_what_is_not_as_the_script_says(events: str, line: int, what: str | None) -> None:
    """The first thing that differs is told with its line, and what was there instead."""
    result = run_text(ACCEPTED.strip() + "\n\n\n" + events + "\n")
    if what is None:  # a superframe and its segments are alike: nine bytes of ten are nine bytes
        assert result.passed
        return
    assert (result.outcome, result.line) == ("failed", line), result
    assert re.search(what, result.text), result.text


def test_segments_may_come_in_one_or_in_many() -> None:
    """A script's packet of two segments is a superframe, or two packets of the script are one superframe."""
    sent = ACCEPTED + "+0 write(4, ..., 4000) = 4000\n"
    assert run_text(sent + "+0 > P. 1:4001(4000) ack 1\n").passed
    pieces = "+0 > . 1:1001(1000) ack 1\n+0 > P. 1001:2001(1000) ack 1\n+0 > P. 2001:4001(2000) ack 1\n"
    assert run_text(sent + pieces).passed
    assert run_text("--strict_segments\n" + sent + pieces).outcome == "failed"


def test_a_blocking_call_returns_when_its_time_has_come() -> None:
    """``+0...0.1`` is when it begins and when it returns; packets come in between."""
    read = ACCEPTED + "+0...0.100 read(4, ..., 2000) = 1000\n"
    assert run_text(read + "+.1 < P. 1:1001(1000) ack 1 win 257\n+0 > . 1:1(0) ack 1001\n").passed
    late = run_text(read + "+.3 < P. 1:1001(1000) ack 1 win 257\n+0 > . 1:1(0) ack 1001\n")
    assert late.outcome == "failed"
    assert "read" in late.text


def test_a_blocking_accept_before_the_handshake() -> None:
    """accept(2) sleeps until there is a connection."""
    text = LISTEN.replace("+0   < S", "+0...0.2 accept(3, ..., ...) = 4\n+.1   < S")
    assert run_text(text + "+0 write(4, ..., 10) = 10\n+0 > P. 1:11(10) ack 1\n").passed


def test_the_peer_echoes_what_was_really_sent() -> None:
    """``TS val 100`` stands for the namespace's timestamp, whatever it is: with another echo the SYN-ACK is refused."""
    text = """
0   socket(..., SOCK_STREAM, IPPROTO_TCP) = 3
+0  fcntl(3, F_SETFL, O_RDWR|O_NONBLOCK) = 0
+0  connect(3, ..., ...) = -1 EINPROGRESS (Operation now in progress)
+0  > S 0:0(0) <mss 1460,sackOK,TS val 100 ecr 0,nop,wscale 7>
+.1 < S. 0:0(0) ack 1 win 5792 <mss 1460,sackOK,TS val 700 ecr {echo},nop,wscale 7>
+0  > . 1:1(0) ack 1 <nop,nop,TS val 200 ecr 700>
"""
    assert run_text(text.replace("{echo}", "100")).passed
    assert run_text(text.replace("{echo}", "99")).outcome == "failed"


@pytest.mark.parametrize(
    ("command", "what"),
    [
        ("iptables -A INPUT -j DROP", "the command 'iptables"),
        ("sysctl -q net.ipv4.tcp_no_such_thing=1", "no setting"),
        ("sysctl -q net.ipv4.tcp_congestion_control=vegas", "not one of"),
        ("tc qdisc add dev tun0 root pfifo limit 0", "the command 'tc"),
        ("../no/such/file.sh", "No such file"),
    ],
)
def test_other_commands_make_a_script_linuxs_alone(command: str, what: str) -> None:
    """Nothing of a script is ever executed by a shell."""
    result = run_text(f"`{command}`\n{ACCEPTED}")
    assert result.outcome == "linux only"
    assert what in result.text


@pytest.mark.parametrize(
    "command",
    [
        "sysctl -q net.ipv4.tcp_sack=0",
        "sysctl -q net/ipv4/tcp_sack=0",
        "../common/set_sysctls.py /proc/sys/net/ipv4/tcp_sack=0 \\\n   /proc/sys/net/ipv4/tcp_timestamps=1",
        "ip tcp_metrics flush all > /dev/null 2>&1\nsysctl -q net.ipv4.tcp_sack=0  # without SACK",
    ],
)
def test_settings_are_the_namespaces(command: str) -> None:
    """What ``sysctl`` writes holds in the namespace: without SACK the SYN-ACK says nothing of it."""
    result = run_text(f"`{command}`\n" + LISTEN.replace("1460,nop,nop,sackOK", "1460"))
    assert result.passed, result


def test_a_script_beside_the_script(tmp_path: Path) -> None:
    """A file of settings is read where the script says it is."""
    (tmp_path / "defaults.sh").write_text("#!/bin/sh\n# no SACK\nsysctl -q net.ipv4.tcp_sack=$((0*5))\n")
    (tmp_path / "tests").mkdir()
    script = tmp_path / "tests" / "one.pkt"
    script.write_text("`../defaults.sh`\n" + LISTEN.replace("1460,nop,nop,sackOK", "1460"))
    assert run_file(script).passed


def test_one_connection_after_another() -> None:
    """socket(2) begins a new one: what an earlier one still sends is no longer the script's."""
    text = ACCEPTED + (
        "+0 close(4) = 0\n+0 close(3) = 0\n+0 socket(..., SOCK_STREAM, IPPROTO_TCP) = 5\n"
        "+0 fcntl(5, F_SETFL, O_RDWR|O_NONBLOCK) = 0\n"
        "+0 connect(5, ..., ...) = -1 EINPROGRESS (Operation now in progress)\n"
        "+0 > S 0:0(0) <mss 1460,sackOK,TS val 100 ecr 0,nop,wscale 7>\n"
    )
    assert run_text(text).passed


def test_a_counter_that_has_moved() -> None:
    """``nstat | grep NAME`` holds when the counter has moved since nstat was called last."""
    moved = LISTEN + "+0 `nstat | grep TcpPassiveOpens > /dev/null`\n"
    assert run_text(moved).passed
    again = run_text(moved + "+0 `nstat | grep TcpPassiveOpens`\n")
    assert (again.outcome, again.text) == ("failed", "TcpPassiveOpens has not moved")
    assert run_text(LISTEN + "+0 `nstat | grep TcpExtNoSuchThing`\n").outcome == "linux only"


def test_the_queue_fq_paces() -> None:
    """``tc qdisc … fq`` stands for pacing: behind the first ten segments the others wait, with pfifo they do not."""
    text = ACCEPTED + (
        "+0 write(4, ..., 10000) = 10000\n+0 > P. 1:10001(10000) ack 1\n+.1 < . 1:1(0) ack 10001 win 257\n"
        "+0 write(4, ..., 8000) = 8000\n+0 > P. 10001:12001(2000) ack 1\n+0 > P. 12001:14001(2000) ack 1\n"
        "+0 > P. 14001:16001(2000) ack 1\n"
    )
    assert run_text("`tc qdisc replace dev tun0 root pfifo`\n" + text).passed
    paced = run_text("`tc qdisc replace dev tun0 root fq`\n" + text)
    assert (paced.outcome, paced.text) == ("failed", "nothing was sent until 0.204000 s")


def test_what_is_learnt_can_be_forgotten() -> None:
    """``ip tcp_metrics flush`` in the midst of a script: the cookie of a peer is asked for anew."""
    ask = (
        "+0 socket(..., SOCK_STREAM, IPPROTO_TCP) = 3\n+0 fcntl(3, F_SETFL, O_RDWR|O_NONBLOCK) = 0\n"
        "+0 sendto(3, ..., 10, MSG_FASTOPEN, ..., ...) = -1 EINPROGRESS (Operation now in progress)\n"
        "+0 > S 0:0(0) <mss 1460,sackOK,TS val 100 ecr 0,nop,wscale 7,FO,nop,nop>\n"
        "+0 < S. 0:0(0) ack 1 win 1000 <mss 1460,nop,nop,FO 0123456789abcdef,nop,nop>\n"
        "+0 > . 1:1(0) ack 1\n+0 close(3) = 0\n"
    )
    assert run_text(ask + "+0 `ip tcp_metrics flush all`\n" + ask.replace("= 3", "= 5").replace("(3", "(5")).passed
    assert run_text(ask + ask.replace("= 3", "= 5").replace("(3", "(5")).outcome == "failed"


def test_addresses_of_the_other_version_are_left_out() -> None:
    """A script that spells out IPv4's addresses runs over IPv6 with those there are."""
    text = "--local_ip=192.168.0.9\n--remote_ip=192.0.2.9\n" + LISTEN.replace("1460", "1460")
    assert run_text(text).passed
    assert run_text(text, settings=Settings("ipv6")).passed
    assert run_text("--local_ip=nonsense\n" + LISTEN).outcome == "unreadable"
