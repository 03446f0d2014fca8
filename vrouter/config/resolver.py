"""How names are looked up in a namespace: `[netns.NAME.resolver]`.

A name is a host's as RFC 1123 2.1 has it, with underscores besides, in lower case and without a dot at its end.
"""

import re
from typing import Final, TypeVar

from vrouter.config import values
from vrouter.config.draft import Draft
from vrouter.config.findings import Refused
from vrouter.config.records import Address, ResolverConfig
from vrouter.config.section import Section, noun

T = TypeVar("T")

RESOLVER_KEYS: Final = ("hosts", "servers", "search", "ndots", "timeout", "attempts")
DNS_PORT: Final = 53
MAX_NDOTS: Final = 15  # as resolv.conf(5) has it
MAX_TIMEOUT: Final = 30
MAX_ATTEMPTS: Final = 5
MAX_SERVERS: Final = 16
MAX_SEARCH: Final = 32
_LONGEST_NAME: Final = 253
_LABEL: Final = re.compile("[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?")
_ENDPOINT: Final = re.compile(r"(?:\[([^\[\]]*)\]|([^:\[\]]*)):([0-9]{1,5})")


def read(section: Section, draft: Draft) -> None:
    """The resolver of `[netns.NAME]`."""
    settings = section.child("resolver")
    if settings is not None:
        draft.resolver = resolver(settings)


def resolver(section: Section) -> ResolverConfig:
    """`[netns.NAME.resolver]`."""
    section.keys(RESOLVER_KEYS)
    return ResolverConfig(
        hosts=_hosts(section),
        servers=_bounded(section, "servers", section.parsed_texts("servers", server), MAX_SERVERS),
        search=_bounded(section, "search", section.parsed_texts("search", name), MAX_SEARCH),
        ndots=section.number("ndots", 0, MAX_NDOTS, 1),
        timeout=section.number("timeout", 1, MAX_TIMEOUT, 5),
        attempts=section.number("attempts", 1, MAX_ATTEMPTS, 2),
    )


def _bounded(section: Section, key: str, found: tuple[T, ...], limit: int) -> tuple[T, ...]:
    if len(found) > limit:
        section.wrong(key, f"has {len(found)} entries, and may have {limit}")
    return found


def _hosts(section: Section) -> dict[str, tuple[Address, ...]]:
    """Names with the addresses of each."""
    hosts: dict[str, tuple[Address, ...]] = {}
    table = section.child("hosts")
    if table is None:
        return hosts
    for key, value in section.children("hosts"):
        try:
            host = name(key)
        except Refused as refused:
            table.findings.at_key(table.at(key), refused.message, refused.hint)
            continue
        if host in hosts:
            table.findings.at_key(table.at(key), f"{host!r} is given twice")
        hosts[host] = _addresses(table, key, value)
    return hosts


def _addresses(table: Section, key: str, value: object) -> tuple[Address, ...]:
    if isinstance(value, str):
        found = table.parsed(key, values.station)
        return () if found is None else (found,)
    if not isinstance(value, list | tuple):
        table.wrong(key, f"must be an address or an array of addresses, not {noun(value)}")
        return ()
    if not value:
        table.wrong(key, "must have an address")
    return table.parsed_texts(key, values.station)


def name(text: str) -> str:
    """A host's or a domain's name."""
    plain = text.lower().removesuffix(".")
    if not plain.isascii():
        try:
            plain = plain.encode("idna").decode("ascii")
        except UnicodeError:
            raise Refused(f"{text!r} is not a name that IDNA knows") from None
    if len(plain) > _LONGEST_NAME or not all(_LABEL.fullmatch(label) for label in plain.split(".")):
        raise Refused(f"{text!r} is not the name of a host or a domain")
    return plain


def server(text: str) -> tuple[str, int]:
    """`ADDRESS` or `ADDRESS:PORT` of a DNS server, an IPv6 address with a port in brackets."""
    match = _ENDPOINT.fullmatch(text)
    host, port = text, DNS_PORT
    if match is not None:
        host, port = match[1] or match[2], int(match[3])
        if not 1 <= port <= 65535:
            raise Refused(f"the port of {text!r} must be 1 to 65535")
    elif text.startswith("[") and text.endswith("]"):
        host = text[1:-1]
    try:
        address = values.station(host)
    except Refused as refused:
        raise Refused(refused.message, "a server is named by its address") from None
    return str(address), port
