"""The code of scripts is read, never executed: assertions about TCP_INFO, and nothing else."""

from __future__ import annotations

import pytest

from vrouter.testing.packetdrill.script import LinuxOnly, Word
from vrouter.testing.packetdrill.symbols import CodeError, number, run_code

NAMES = {"tcpi_snd_cwnd": 10, "tcpi_options": 7, "tcpi_rtt": 100_000, "TCPI_OPT_SACK": 2}


@pytest.mark.parametrize(
    "text",
    [
        "assert tcpi_snd_cwnd == 10, tcpi_snd_cwnd",
        "assert tcpi_snd_cwnd == 10; assert tcpi_rtt > 5",
        "assert 9 <= tcpi_snd_cwnd <= 11",
        "assert (tcpi_options & TCPI_OPT_SACK) != 0 and not tcpi_snd_cwnd == 11",
        "  assert tcpi_snd_cwnd == 10, \\\n      tcpi_snd_cwnd",
        "half = tcpi_snd_cwnd // 2\nassert half == 5 or False",
        "assert -tcpi_snd_cwnd + 2 * 5 == 0",
        "assert ~0 == -1",
    ],
)
def test_what_holds(text: str) -> None:
    """Comparisons in chains, bits, arithmetic, names of one's own, lines that go on."""
    out: list[str] = []
    run_code(text, NAMES, out)
    assert out == []


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("assert tcpi_snd_cwnd == 11, tcpi_snd_cwnd", r"tcpi_snd_cwnd == 11 does not hold \(10\)"),
        ("assert tcpi_unknown == 1", "there is no tcpi_unknown"),
        ("assert 1 / 0", "division by zero"),
        ("assert (", "not understood"),
    ],
)
def test_what_does_not_hold(text: str, what: str) -> None:
    """A failing assertion says what it asserts, and the value that the script wants to see."""
    with pytest.raises(CodeError, match=what):
        run_code(text, NAMES, [])


@pytest.mark.parametrize(
    "text",
    [
        "import os",
        "__import__('os').system('true')",
        "open('/etc/passwd')",
        "assert [1 for _ in range(10)]",
        "assert tcpi_rtt.__class__",
        "assert (lambda: 1)()",
        "assert 'a' in 'abc'",
        "while True: pass",
        "def f(): pass",
        "print(tcpi_rtt, file=1)",
        "assert 2 ** 100000000",
    ],
)
def test_nothing_else_is_executed(text: str) -> None:
    """Calls, attributes, loops, imports: none of the subset, and refused before anything happens."""
    with pytest.raises(CodeError):
        run_code(text, NAMES, [])


def test_a_huge_shift_is_no_number_that_fills_memory() -> None:
    """A script is a stranger's text: what it reckons stays small."""
    out: list[str] = []
    run_code("assert (1 << 100000000000) == 0; print(1 << 100000000000)", NAMES, out)
    assert out == ["0"]


def test_what_is_printed_is_kept() -> None:
    """``print`` writes nothing: its text goes with the result."""
    out: list[str] = []
    run_code("print(tcpi_snd_cwnd, 'segments')", NAMES, out)
    assert out == ["10 segments"]


def test_names_are_linuxs_numbers() -> None:
    """Names joined by ``|``; what there is not is Linux's alone."""
    assert number(Word("O_RDWR|O_NONBLOCK")) == 0o4002
    assert number(Word("MSG_FASTOPEN|MSG_DONTWAIT")) == 0x20000040
    for name in ("MSG_ZEROCOPY", "TCP_MD5SIG", "MSG_EOR", "SO_NO_SUCH"):
        with pytest.raises(LinuxOnly):
            number(Word(name))
