"""Shell lines of a script: what they set is set in the namespace, all else makes the script one for Linux alone.

Understood are ``sysctl``, what writes to ``/proc/sys``, scripts of such lines beside the script, forgetting what was
learnt of peers, and switching superframes off. What only prepares a kernel for the measurement means nothing here.
"""

from __future__ import annotations

import re
import shlex
from pathlib import Path
from typing import Final

from vrouter.stack.sysctl import check
from vrouter.testing.packetdrill.script import LinuxOnly

# Settings that scripts write down and that have no counterpart here: ours is what these values say.
_AS_HERE: Final = {
    "net.ipv4.tcp_fack": ("0",),
    "net.ipv4.tcp_ecn_option": ("0", "2"),
    "net.ipv4.tcp_fastopen_blackhole_timeout_sec": ("0",),
    "net.ipv4.tcp_autocorking": ("0",),
}
# How large superframes are is no promise, and a script does not see it: its segments may come in one or in many.
_OF_SUPERFRAMES: Final = ("net.ipv4.tcp_min_tso_segs",)
_NOTHING: Final = re.compile(
    r"(tc qdisc (add|replace|delete|del) dev tun0 root( (pfifo|fq)( limit [1-9]\d*)?)?|ip tcp_metrics flush( all)?"
    r"|nstat( \| grep \w+)?|/tmp/sysctl_restore_\$\{PPID\}\.sh|sysctl -q net\.ipv4\.tcp_fastopen_cookies=.*)$"
)
_OFFLOAD: Final = re.compile(r"ethtool -K tun0( (gso|tso) off)+$")
_TEXT: Final = re.compile(r'("([^"]*)"|\$\(\((\d+(?:\*\d+)*)\)\)|[^\s"$]|\$)+')


class Commands:
    """What the shell lines of a script say: settings by name, and whether superframes may leave."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.sysctls: dict[str, int | str] = {}
        self.offload = True

    def read(self, text: str) -> None:
        """Take note of some lines; LinuxOnly for what cannot be translated."""
        joined = re.sub(r"\\\n", " ", text)
        for line in re.split(r"[\n;]|&&", joined):
            self._line(line.split("#")[0].strip(), self._folder)

    def _line(self, line: str, folder: Path) -> None:
        line = re.sub(r"\s*(2?>|&>)\s*(/dev/null|&1)", "", line)
        line = re.sub(r"\s*\|\|\s*(true|/bin/true)?$", "", line).strip()
        if not line or _NOTHING.match(line):
            return
        if _OFFLOAD.match(line):
            self.offload = False
            return
        try:
            words = shlex.split(_numbers(line))
        except ValueError:
            raise LinuxOnly(f"the command {line!r}") from None
        while words and words[0] in ("true", "/bin/true"):
            return
        if words[0] == "sysctl":
            for word in words[1:]:
                if not word.startswith("-"):
                    self._set(word.replace("/", "."), line)
        elif words[0].endswith("set_sysctls.py"):
            for word in words[1:]:
                self._set(word.removeprefix("/proc/sys/").replace("/", ".", word.partition("=")[0].count("/")), line)
        elif words[0].endswith(".sh") and len(words) == 1:
            self._file(folder / words[0], line)
        else:
            raise LinuxOnly(f"the command {line!r}")

    def _file(self, path: Path, line: str) -> None:
        try:
            text = path.read_text(encoding="utf-8")
        except OSError as error:
            raise LinuxOnly(f"the command {line!r}: {error.strerror}") from None
        for inner in re.sub(r"\\\n", " ", text).splitlines():
            self._line(inner.split("#")[0].strip(), path.parent)

    def _set(self, text: str, line: str) -> None:
        name, equals, value = text.partition("=")
        if not equals:
            raise LinuxOnly(f"the command {line!r}")
        name = name.removeprefix(".proc.sys.").strip(".")
        value = value.strip()
        if name in _OF_SUPERFRAMES or value in _AS_HERE.get(name, ()):
            return
        stored: int | str = int(value, 0) if re.fullmatch(r"-?(0x[0-9a-fA-F]+|\d+)", value) else value
        if name == "net.ipv4.tcp_fastopen" and isinstance(stored, int):
            stored &= 0xFFFF  # the rest is a version's number
        problem = check(name, stored)
        if problem is not None:
            raise LinuxOnly(problem)
        self.sysctls[name] = stored


def _numbers(line: str) -> str:
    """The shell's arithmetic in it, reckoned: products of numbers."""

    def product(match: re.Match[str]) -> str:
        total = 1
        for factor in match[1].split("*"):
            total *= int(factor)
        return str(total)

    return re.sub(r"\$\(\((\d+(?:\*\d+)*)\)\)", product, line)
