"""Shell lines of a script: what they set is set in the namespace, all else makes the script one for Linux alone.

Understood are ``sysctl``, what writes to ``/proc/sys``, scripts of such lines beside the script, forgetting what was
learnt of peers, counters that are to have moved (``nstat | grep NAME``), switching superframes off, and the queue
``fq``, which stands for pacing every connection. What only prepares a kernel for the measurement means nothing here.
"""

from __future__ import annotations

import re
import shlex
from pathlib import Path
from typing import Final

from vrouter.stack.sysctl import check
from vrouter.testing.packetdrill.parser import integer
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
    r"(tc qdisc (delete|del) dev tun0 root|/tmp/sysctl_restore_\$\{PPID\}\.sh"
    r"|sysctl -q net\.ipv4\.tcp_fastopen_cookies=.*)$"
)
_OFFLOAD: Final = re.compile(r"ethtool -K tun0( (gso|tso) off)+$")
_QUEUE: Final = re.compile(r"tc qdisc (add|replace) dev tun0 root (pfifo|fq)( limit [1-9]\d*)?$")
_FORGET: Final = re.compile(r"ip tcp_metrics flush( all)?$")
_COUNTERS: Final = re.compile(r"nstat( \| grep (\w+))?$")
_MOST_FILES: Final = 8  # that name one another
_PRODUCT: Final = re.compile(r"\$\(\((\d{1,9}(?:\*\d{1,9}){0,4})\)\)")


class Commands:
    """What the shell lines of a script say: settings by name, and what is to happen when they are carried out.

    ``paced`` None: nothing was said of it. ``counters``: names (of nstat) that are to have moved since `nstat` was
    called last; "" is a call alone.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.sysctls: dict[str, int | str] = {}
        self.offload = True
        self.forgets = False
        self.paced: bool | None = None
        self.counters: list[str] = []

    def read(self, text: str) -> None:
        """Take note of some lines; LinuxOnly for what cannot be translated."""
        joined = re.sub(r"\\\n", " ", text)
        for line in re.split(r"[\n;]|&&", joined):
            self._line(line.split("#")[0].strip(), self._folder, 0)

    def _line(self, line: str, folder: Path, depth: int) -> None:
        line = re.sub(r"\s*(2?>|&>)\s*(/dev/null|&1)", "", line)
        line = re.sub(r"\s*\|\|\s*(true|/bin/true)?$", "", line).strip()
        if not line or _NOTHING.match(line) or self._is_known(line):
            return
        try:
            words = shlex.split(_numbers(line))
        except ValueError:
            words = []
        name = words[0] if words else ""
        if name in ("true", "/bin/true"):
            return
        if name == "sysctl":
            for word in words[1:]:
                if not word.startswith("-"):
                    self._set(word.replace("/", "."), line)
        elif name.endswith("set_sysctls.py"):
            for word in words[1:]:
                self._set(word.removeprefix("/proc/sys/").replace("/", ".", word.partition("=")[0].count("/")), line)
        elif name.endswith(".sh") and len(words) == 1 and depth < _MOST_FILES:
            self._file(folder / name, line, depth + 1)
        else:
            raise LinuxOnly(f"the command {line!r}")

    def _is_known(self, line: str) -> bool:
        """What is neither a setting nor a file."""
        if _OFFLOAD.match(line):
            self.offload = False
        elif _FORGET.match(line):
            self.forgets = True
        elif queue := _QUEUE.match(line):
            self.paced = queue[2] == "fq"
        elif counters := _COUNTERS.match(line):
            self.counters.append(counters[2] or "")
        else:
            return False
        return True

    def _file(self, path: Path, line: str, depth: int) -> None:
        try:
            text = path.read_text(encoding="utf-8", errors="replace")
        except (OSError, ValueError) as error:
            told = error.strerror if isinstance(error, OSError) else str(error)
            raise LinuxOnly(f"the command {line!r}: {told}") from None
        for inner in re.sub(r"\\\n", " ", text).splitlines():
            self._line(inner.split("#")[0].strip(), path.parent, depth)

    def _set(self, text: str, line: str) -> None:
        name, equals, value = text.partition("=")
        if not equals:
            raise LinuxOnly(f"the command {line!r}")
        name = name.removeprefix(".proc.sys.").strip(".")
        value = value.strip()
        if name in _OF_SUPERFRAMES or value in _AS_HERE.get(name, ()):
            return
        stored: int | str = value
        if re.fullmatch(r"-?(0x[0-9a-fA-F]+|\d+)", value):
            try:
                stored = integer(value.removeprefix("-")) * (-1 if value[0] == "-" else 1)
            except ValueError:
                raise LinuxOnly(f"the command {line!r}") from None
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

    return _PRODUCT.sub(product, line)
