"""The captures in tcpdump's source package: several hundred frames that once broke a dissector.

They come by apt from the machine's own mirror, by a source list that only this download sees (the machine's package
lists stay as they are), into a cache outside of the repository. Nothing of them is committed. Where they cannot be had,
`load` says why, and the fuzzer goes on with what it builds itself.

Only Ethernet captures are taken, from pcap (both byte orders, micro- and nanoseconds) and pcapng.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import tarfile
import tempfile
from collections.abc import Iterator
from pathlib import Path
from struct import error as StructError
from struct import unpack_from
from typing import NamedTuple

PACKAGE = "tcpdump"
ETHERNET = 1
LARGEST = 9216
_SOURCES = Path("/etc/apt")
_PCAP = {b"\xd4\xc3\xb2\xa1": "<", b"\x4d\x3c\xb2\xa1": "<", b"\xa1\xb2\xc3\xd4": ">", b"\xa1\xb2\x3c\x4d": ">"}
_SECTION, _INTERFACE, _SIMPLE, _ENHANCED = 0x0A0D0D0A, 1, 3, 6


class Captures(NamedTuple):
    """The frames that were found, and one sentence on where they come from or why there are none."""

    frames: list[bytes]
    story: str


def load(*, fetch: bool = True) -> Captures:
    """The frames of all captures, in the order of their files; without `fetch` only what is in the cache."""
    archive = _cached()
    if archive is None and fetch:
        try:
            _download(_cache())
        except (OSError, subprocess.SubprocessError) as problem:
            return Captures([], f"no captures, generated frames alone: {problem}")
        archive = _cached()
    if archive is None:
        return Captures([], f"no captures, generated frames alone: {PACKAGE}'s source is not in {_cache()}")
    frames, files = [], 0
    with tarfile.open(archive) as tar:
        for member in sorted(tar.getmembers(), key=lambda member: member.name):
            if member.isfile() and member.name.endswith((".pcap", ".pcapng", ".cap")):
                file = tar.extractfile(member)
                found = [] if file is None else list(read(file.read()))
                frames += found
                files += bool(found)
    return Captures(frames, f"{len(frames)} frames of {files} captures in {archive.name}")


def read(data: bytes) -> Iterator[bytes]:
    """The Ethernet frames of a capture file, as far as it can be read."""
    try:
        if data[:4] in _PCAP:
            yield from _pcap(data, _PCAP[data[:4]])
        elif data[:4] == b"\x0a\x0d\x0d\x0a":
            yield from _pcapng(data)
    except StructError:
        return  # cut off: what came before it counts


def _pcap(data: bytes, order: str) -> Iterator[bytes]:
    if unpack_from(order + "I", data, 20)[0] & 0xFFFF != ETHERNET:
        return
    at = 24
    while at + 16 <= len(data):
        size = unpack_from(order + "I", data, at + 8)[0]
        at += 16
        if 0 < size <= LARGEST and at + size <= len(data):
            yield data[at : at + size]
        at += size


def _pcapng(data: bytes) -> Iterator[bytes]:
    order, at, ethernet = "<", 0, []
    while at + 12 <= len(data):
        if data[at : at + 4] == b"\x0a\x0d\x0d\x0a":
            order = "<" if data[at + 8 : at + 12] == b"\x4d\x3c\x2b\x1a" else ">"
            ethernet = []
        kind, size = unpack_from(order + "II", data, at)
        if size < 12:
            return
        if kind == _INTERFACE:
            ethernet.append(unpack_from(order + "H", data, at + 8)[0] == ETHERNET)
        elif kind == _ENHANCED:
            interface, _, _, have = unpack_from(order + "IIII", data, at + 8)
            if interface < len(ethernet) and ethernet[interface] and 0 < have <= LARGEST:
                yield data[at + 28 : at + 28 + have]
        elif kind == _SIMPLE and ethernet and ethernet[0]:
            have = unpack_from(order + "I", data, at + 8)[0]
            if 0 < have <= min(LARGEST, size - 16):
                yield data[at + 12 : at + 12 + have]
        at += size


# ----------------------------------------------------------------------------------------------------- the download


def _cache() -> Path:
    base = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    return Path(base).expanduser() / "vrouter" / "captures"


def _cached() -> Path | None:
    return next(iter(sorted(_cache().glob(f"{PACKAGE}_*.orig.tar.*[!c]"))), None) if _cache().is_dir() else None


def _download(target: Path) -> None:
    if shutil.which("apt-get") is None:
        raise OSError("there is no apt-get here")
    with tempfile.TemporaryDirectory(prefix="vrouter-apt-") as name:
        scratch = Path(name)
        for part in ("lists/partial", "cache/archives/partial", "parts", "got"):
            (scratch / part).mkdir(parents=True)
        if not _source_lists(scratch / "parts"):
            raise OSError("apt has no Debian mirror configured")
        options = {
            "Dir::Etc::SourceList": "/dev/null",
            "Dir::Etc::SourceParts": str(scratch / "parts"),
            "Dir::State::Lists": str(scratch / "lists"),
            "Dir::Cache": str(scratch / "cache"),
            "APT::Sandbox::User": "",
            "Acquire::Languages": "none",
            "Acquire::Retries": "1",
            "Acquire::http::Timeout": "20",
            "Acquire::https::Timeout": "20",
        }
        command = ["apt-get", "-qq", *(word for pair in options.items() for word in ("-o", "=".join(pair)))]
        complaints = [_run([*command, "update"], scratch)]  # one of several archives may be away: the next step tells
        complaints.append(_run([*command, "source", "--download-only", PACKAGE], scratch / "got"))
        archive = next((scratch / "got").glob(f"{PACKAGE}_*.orig.tar.*[!c]"), None)
        if archive is None:
            raise OSError(
                f"apt-get brought no source of {PACKAGE} ({next(filter(None, complaints), 'without a word')})"
            )
        target.mkdir(parents=True, exist_ok=True)
        partial = target / f".{os.getpid()}.part"
        shutil.copy(archive, partial)
        partial.rename(target / archive.name)


def _run(command: list[str], where: Path) -> str:
    """The first complaint of a command, empty when it has none."""
    run = subprocess.run(command, cwd=where, capture_output=True, text=True, timeout=180, check=False)
    return next(iter(run.stderr.strip().splitlines()), "")


def _source_lists(parts: Path) -> int:
    """The machine's own Debian archives, asked for sources; how many."""
    count = 0
    files = [_SOURCES / "sources.list", *sorted((_SOURCES / "sources.list.d").glob("*"))]
    for file in files:
        if not file.is_file() or file.suffix not in (".list", ".sources"):
            continue
        text = file.read_text(encoding="utf-8", errors="replace")
        if file.suffix == ".list":
            lines = [line for line in text.splitlines() if re.match(r"deb\s.*\bmain\b", line) and _is_archive(line)]
            text = "".join(f"deb-src{line[3:]}\n" for line in lines)
        else:
            stanzas = [part for part in re.split(r"\n\s*\n", text) if re.search(r"^URIs:.*$", part, re.M)]
            stanzas = [part for part in stanzas if _is_archive(" ".join(re.findall(r"^URIs:(.*)$", part, re.M)))]
            text = "\n\n".join(re.sub(r"^Types:.*$", "Types: deb-src", part, flags=re.M) for part in stanzas)
        if text.strip():
            (parts / f"{count}{file.suffix}").write_text(text + "\n", encoding="utf-8")
            count += 1
    return count


def _is_archive(text: str) -> bool:
    return re.search(r"\bdebian\b(?!-security)", text) is not None and "security" not in text
