"""Scripts that chance has broken: whatever a text is, running it has an outcome."""

import re

from hypothesis import given, settings
from hypothesis import strategies as st

from vrouter.testing.packetdrill import Settings, run_text

SCRIPTS = (
    """\
--tolerance_usecs=10000
`sysctl -q net.ipv4.tcp_timestamps=0 net.ipv4.tcp_ecn=1`
0   socket(..., SOCK_STREAM, IPPROTO_TCP) = 3
+0  setsockopt(3, SOL_SOCKET, SO_REUSEADDR, [1], 4) = 0
+0  bind(3, ..., ...) = 0
+0  listen(3, 1) = 0
+0  < SEW 0:0(0) win 32792 <mss 1000,sackOK,nop,nop,nop,wscale 7>
+0  > SE. 0:0(0) ack 1 <mss 1460,nop,nop,sackOK,nop,wscale 7>
+.1 < [ect0] . 1:1(0) ack 1 win 257
+0  accept(3, ..., ...) = 4
+0  fcntl(4, F_SETFL, O_RDWR|O_NONBLOCK) = 0
+0  epoll_create(1) = 5
+0  epoll_ctl(5, EPOLL_CTL_ADD, 4, {events=EPOLLIN|EPOLLOUT|EPOLLET, fd=4}) = 0
+0  epoll_wait(5, {events=EPOLLOUT, fd=4}, 1, 0) = 1
+0  write(4, ..., 4000) = 4000
+0  > P. 1:4001(4000) ack 1
+.1 < . 1:1(0) ack 1 win 257 <sack 1001:2001 3001:4001,nop,nop>
+.02~+.04 > . 1:1001(1000) ack 1
+0  %{ assert tcpi_sacked == 2, tcpi_sacked; assert (tcpi_options & TCPI_OPT_SACK) != 0 }%
+.1 < P. 1:101(100) ack 4001 win 257
+0  recvmsg(4, {msg_name(...)=..., msg_iov(1)=[{..., 200}], msg_flags=0}, 0) = 100
+0  > . 4001:4001(0) ack 101
+0  poll([{fd=4, events=POLLIN|POLLOUT, revents=POLLOUT}], 1, 0) = 1
+0  ioctl(4, SIOCINQ, [0]) = 0
+.1 < icmp unreachable frag_needed mtu 1200 [1:1001(1000)]
+.1 < U. 101:111(10) ack 4001 win 257 urg 5
+0  > . 4001:4001(0) ack 111
+0  shutdown(4, SHUT_WR) = 0
+0  > F. 4001:4001(0) ack 111
+1  close(4) = 0
* > F. 4001:4001(0) ack 111
""",
    """\
`sysctl -q net.ipv4.tcp_fastopen=5
nstat
ip tcp_metrics flush all > /dev/null 2>&1`
0   socket(..., SOCK_STREAM, IPPROTO_TCP) = 3
+0...0.1 sendto(3, ..., 2000, MSG_FASTOPEN, ..., ...) = 2000
+0  > S 0:1420(1420) <mss 1460,sackOK,TS val 100 ecr 0,nop,wscale 7>
+.1 < S. 0:0(0) ack 1421 win 5840 <mss 1460,sackOK,TS val 700 ecr 100,nop,wscale 7,FO 0123456789abcdef>
+0  > P. 1421:2001(580) ack 1 <nop,nop,TS val 200 ecr 700>
+0  getsockopt(3, SOL_TCP, TCP_CONGESTION, "cubic", [16]) = 0
+0  setsockopt(3, SOL_SOCKET, SO_LINGER, {onoff=1, linger=0}, 8) = 0
+0  setsockopt(3, SOL_TCP, TCP_NOTSENT_LOWAT, [0xffffffff], 4) = 0
+.05~+.06 read(3, ..., 10) = 10
+.01 < P. 1:11(10) ack 2001 win 100 <nop,nop,TS val 800 ecr 200>
+.04 > . 2001:2001(0) ack 11 <...>
+0  `nstat | grep TcpActiveOpens`
+0  close(3) = 0
""",
)  # fmt: skip
TOKEN = re.compile(r"\s+|[A-Za-z_]\w*|\d+|\.\.\.|.", re.DOTALL)
PIECES = [TOKEN.findall(script) for script in SCRIPTS]
WORDS = sorted({piece for pieces in PIECES for piece in pieces if not piece.isspace()})
ODD = (
    *("0", "-1", "1", "2", "3", "4", "255", "65535", "65536", "2147483648", "4294967295", "4294967296", "9" * 21),
    *(
        "1" * 5000,
        "0x",
        "012",
        "0xffffffff",
        "...",
        "[",
        "]",
        "{",
        "}",
        "(",
        ")",
        '"',
        '"\\x"',
        '"\xff"',
        "`",
        "%{",
        "}%",
    ),
    *(
        "((((" * 99,
        "[" * 3000,
        "TFO_COOKIE",
        "FOEXP",
        "AF_UNSPEC",
        "NULL",
        "*",
        "+9999999",
        "+99999999",
        "\0",
        "\ud800",
    ),
    *("é", "1 << 99999", "assert 9 ** 9", "import os", "`./x.sh`", "EBADF", "MSG_PEEK", "S", "R", "F", "--mtu=9"),
    *("--local_ip=::1", "--mtu=x"),
)
OUTCOMES = {"passed", "failed", "linux only", "unreadable"}


@st.composite
def broken(draw):
    """A script with some of its tokens gone, twice, or others."""
    pieces = list(draw(st.sampled_from(PIECES)))
    for _ in range(draw(st.integers(1, 6))):
        at = draw(st.integers(0, len(pieces) - 1))
        how = draw(st.sampled_from(("change", "change", "odd", "odd", "insert", "drop", "repeat")))
        if how == "change":
            pieces[at] = draw(st.sampled_from(WORDS))
        elif how == "odd":
            pieces[at] = draw(st.sampled_from(ODD))
        elif how == "insert":
            pieces.insert(at, draw(st.sampled_from(ODD)) + " ")
        elif how == "drop" and len(pieces) > 40:
            del pieces[at : at + draw(st.integers(1, 30))]
        else:
            pieces[at:at] = pieces[at : at + draw(st.integers(1, 60))]
    return "".join(pieces)


@settings(max_examples=400, deadline=None)
@given(broken(), st.sampled_from(("ipv4", "ipv6", "ipv4-mapped-ipv6")))
def test_a_broken_script_has_an_outcome(text, version):
    """Nothing is raised, whatever the text; of what failed and of what is no script there is a reason."""
    result = run_text(text, settings=Settings(version))
    assert result.outcome in OUTCOMES
    assert bool(result.text) != result.passed


@settings(max_examples=200, deadline=None)
@given(st.text(max_size=200))
def test_any_text_has_an_outcome(text):
    """Not even what never was a script raises."""
    assert run_text(text).outcome in OUTCOMES


@settings(max_examples=200, deadline=None)
@given(st.text(alphabet=st.sampled_from("assert print()[]{}+-*/<>=!&|~^%@,.;:'\"\\\n \t01239abtcpi_snd_cwnd\0")))
def test_any_code_has_an_outcome(text):
    """Code is read, and what is none is told."""
    assert run_text("0 socket(..., SOCK_STREAM, IPPROTO_TCP) = 3\n+0 %{ " + text + " }%\n").outcome in OUTCOMES


def test_the_scripts_hold_unbroken():
    """What is broken above is right as it is, to its end."""
    for script in SCRIPTS:
        result = run_text(script)
        assert result.passed, result
