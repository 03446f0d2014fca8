"""`routes_file` of a namespace: whether each of its lines is a route that the namespace can have.

The lines are those of ``ip -batch`` (`vrouter.stack.l3.route_text`). Full tables repeat few endings, so each ending is
judged once; what is left of a line is its prefix. Routes that contradict one another are found when they are loaded.
"""

import errno
import os
from collections.abc import Iterable, Iterator
from typing import Any, Final, TextIO

from vrouter.config.draft import Draft
from vrouter.config.records import TABLE_MAIN
from vrouter.config.section import Section
from vrouter.stack.base.addresses import V4, V6, parse_address, parse_prefix
from vrouter.stack.l3.route_text import parse_tail, split_line

MAX_LINE: Final = 65536  # characters
MAX_PROBLEMS: Final = 100  # told of one file
_MAX_ENDINGS: Final = 65536


def read(section: Section, draft: Draft, directory: str) -> str | None:
    """The path of the file, relative to `directory` in the configuration; every bad line of it is reported."""
    name = section.get("routes_file", str)
    if name is None:
        return None
    if not name or "\0" in name:
        section.wrong("routes_file", "must be the path of a file")
        return None
    path = os.path.join(directory, name)
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            _Lines(section, draft, path).check(_lines(file))
    except OSError as error:
        section.wrong("routes_file", f"{path} cannot be read: {(error.strerror or str(error)).lower()}")
        return None
    return path


def _lines(file: TextIO) -> Iterator[str]:
    """The lines of a file; OSError for what is none, before it is read whole."""
    while line := file.readline(MAX_LINE + 1):
        if len(line) > MAX_LINE:
            raise OSError(errno.EINVAL, f"A line has more than {MAX_LINE} characters: these are no routes")
        yield line


class _Lines:
    """The check of one file."""

    def __init__(self, section: Section, draft: Draft, path: str) -> None:
        self.findings = section.findings
        self.draft = draft
        self.path = path
        self.problems = 0
        self.crossed: set[str] = set()

    def check(self, lines: Iterable[str]) -> None:
        """Every line."""
        good4: set[str] = set()
        good6: set[str] = set()
        number = 0
        for number, line in enumerate(lines, 1):
            words = line.split(None, 3)
            if len(words) == 4 and words[0] == "route" and words[1] == "add":
                text = words[2]
                if words[3] in (good6 if ":" in text else good4):
                    try:
                        parse_prefix(text)
                    except ValueError as error:
                        self._report(number, str(error))
                    continue
            try:
                family = self._line(number, line)
            except (ValueError, OSError) as error:
                self._report(number, str(error))
                continue
            if family and len(words) == 4 and len(good4) + len(good6) < _MAX_ENDINGS:
                (good6 if family == V6 else good4).add(words[3])
        if self.problems > MAX_PROBLEMS:
            self.findings.in_file(self.path, number, f"{self.problems - MAX_PROBLEMS} more mistakes in this file")

    def _line(self, number: int, line: str) -> int:
        """The family of the line's route when its ending may stand for others, else 0; ValueError for a bad line."""
        found = split_line(line)
        if found is None:
            return 0
        _, kind, text, tail = found
        if text == "default" and (":" in tail or tail.startswith("via inet6 ")):
            text = "::/0"
        family, prefix, length = parse_prefix(text)
        route = parse_tail(tail)
        self._judge(family, kind, route)
        self.draft.file_tables.add(route.get("table", TABLE_MAIN))
        target = route.get("netns")
        if target is not None and target not in self.crossed:
            self.crossed.add(target)
            self.draft.file_crossings.append((self.path, number, target))
        if route.get("table", TABLE_MAIN) == TABLE_MAIN and "via" not in route and "dev" in route:
            from ipaddress import IPv4Network, IPv6Network  # few lines need it

            network = IPv4Network((prefix, length)) if family == V4 else IPv6Network((prefix, length))
            self.draft.links.connect(network, route["dev"])
            return 0
        return family

    def _judge(self, family: int, kind: str, route: dict[str, Any]) -> None:
        """ValueError when a route cannot be."""
        ways = sum(key in route for key in ("netns", "nexthops", "nhid")) + ("via" in route or "dev" in route)
        if kind != "unicast":
            if ways:
                raise ValueError(f"a route of type {kind!r} leads nowhere")
            return
        if ways != 1:
            raise ValueError("a route goes by one of via or dev, nexthop, nhid, and netns")
        for hop in (route, *route.get("nexthops", ())):
            self._hop(family, hop)
        nhid = route.get("nhid")
        if nhid is not None and nhid not in self.draft.nexthops:
            raise ValueError(f"there is no nexthop {nhid}")
        links = self.draft.links
        if "src" in route:
            of, source = parse_address(route["src"])
            if of != family or (links.complete and not any(key[:2] == (of, source) for key in links.own)):
                raise ValueError(f"{route['src']!r} is no address of this side")

    def _hop(self, family: int, hop: dict[str, Any]) -> None:
        dev = hop.get("dev")
        known = self.draft.known
        if dev is not None and known is not None and dev not in known:
            raise ValueError(f"there is no device {dev!r} in {self.draft.path!r}")
        via = hop.get("via")
        if via is None:
            return
        of, address = parse_address(via)
        if of != family:
            raise ValueError(f"gateway {via!r} is of another family")
        from ipaddress import IPv4Address, IPv6Address

        gateway = IPv4Address(address) if of == V4 else IPv6Address(address)
        problem = self.draft.links.problem(gateway, dev, onlink=hop.get("onlink", False))
        if problem is not None:
            raise ValueError(f"{problem[0]} ({problem[1]})" if problem[1] else problem[0])

    def _report(self, number: int, text: str) -> None:
        self.problems += 1
        if self.problems <= MAX_PROBLEMS:
            self.findings.in_file(self.path, number, text)
