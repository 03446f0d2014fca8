"""`[netns.NAME.dev.DEV.ra]`: what a device advertises as a router. Its presence switches advertising on.

The bounds of the values are the protocol's (`RaConf.problems`); here are the keys and their types.
"""

from typing import TYPE_CHECKING, Any, Final

from vrouter.config import values
from vrouter.config.records import Interface
from vrouter.config.section import Section
from vrouter.stack.base.addresses import V6

if TYPE_CHECKING:
    from vrouter.stack.l2.router_advert import RaConf

PREFIX_KEYS: Final = ("prefix", "valid", "preferred", "on_link", "autonomous")
ROUTE_KEYS: Final = ("prefix", "preference", "lifetime")
PREF64_KEYS: Final = ("prefix", "lifetime")
NUMBERS: Final = (
    "lifetime",
    "reachable",
    "retrans",
    "hop_limit",
    "mtu",
    "rdnss_lifetime",
    "min_interval",
    "max_interval",
)
FLAGS: Final = ("managed", "other")
RA_KEYS: Final = ("prefixes", "routes", "pref64", "rdnss", "dnssl", "preference", *NUMBERS, *FLAGS)
_ANY: Final = 0xFFFFFFFF
_SLAAC_LENGTH: Final = 64


def read(device: Section, own: tuple[Interface, ...]) -> "RaConf | None":
    """The `ra` of a device whose addresses are `own`; None when there is none, or it cannot be."""
    section = device.child("ra")
    if section is None:
        return None
    from vrouter.stack.l2 import router_advert as ra  # only when there is one

    before = len(section.findings)
    section.keys(RA_KEYS)
    first = len(section.findings)
    given: dict[str, Any] = {key: section.optional_number(key, 0, _ANY) for key in NUMBERS}
    numbers_whole = len(section.findings) == first
    given |= {key: section.get(key, bool) for key in FLAGS}
    given["preference"] = section.optional_choice("preference", ("low", "medium", "high"))
    if "prefixes" in section:
        given["prefixes"] = tuple(_prefixes(section))
    elif not any(one.version == V6 and not one.is_link_local for one in own):
        text = "no prefix is advertised: the device has no IPv6 network, and prefixes says none"
        section.findings.warn(section.path, text)
    given["routes"] = tuple(_routes(section))
    pref64 = section.child("pref64")
    if pref64 is not None:
        pref64.keys(PREF64_KEYS)
        pref64.required("prefix", "the NAT64 prefix")
        prefix = pref64.parsed("prefix", values.prefix6)
        lifetime = pref64.optional_number("lifetime", 0, _ANY)
        if prefix is not None:
            given["pref64"] = ra.RaPref64(int(prefix.network_address), prefix.prefixlen, lifetime)
    given["rdnss"] = tuple(int(address) for address in section.parsed_texts("rdnss", values.address6))
    given["dnssl"] = tuple(text for _, text in section.texts("dnssl"))
    conf = ra.RaConf(**{key: value for key, value in given.items() if value is not None})
    whole = len(section.findings) == before
    for field, text in conf.problems():
        if whole or (numbers_whole and field in NUMBERS):  # what is understood in part is not judged
            section.wrong(field, text)
    return conf


def _prefixes(section: Section) -> list[Any]:
    from vrouter.stack.l2.router_advert import RaPrefix

    found = []
    for _, entry in section.tables("prefixes", "write prefixes = [{ prefix = … }]"):
        entry.keys(PREFIX_KEYS)
        entry.required("prefix", "what is advertised")
        prefix = entry.parsed("prefix", values.prefix6)
        times: dict[str, Any] = {key: entry.optional_number(key, 0, _ANY) for key in ("valid", "preferred")}
        times |= {key: entry.get(key, bool) for key in ("on_link", "autonomous")}
        if prefix is None:
            continue
        if times["autonomous"] is not False and prefix.prefixlen != _SLAAC_LENGTH:
            text = f"hosts make no address from a prefix of {prefix.prefixlen} bits (RFC 4862 5.5.3)"
            entry.findings.warn(entry.at("prefix"), text, "a /64, or autonomous = false")
        if times["valid"] is not None and times["preferred"] is None:  # what follows stays within what is given
            times["preferred"] = min(times["valid"], RaPrefix(0).preferred)
        given = {key: value for key, value in times.items() if value is not None}
        found.append(RaPrefix(int(prefix.network_address), prefix.prefixlen, **given))
    return found


def _routes(section: Section) -> list[Any]:
    from vrouter.stack.l2.router_advert import RaRoute

    found = []
    for _, entry in section.tables("routes", "write routes = [{ prefix = … }]"):
        entry.keys(ROUTE_KEYS)
        entry.required("prefix", "where the route leads to")
        prefix = entry.parsed("prefix", values.prefix6)
        preference = entry.choice("preference", ("low", "medium", "high"), "medium")
        lifetime = entry.optional_number("lifetime", 0, _ANY)
        if prefix is not None:
            found.append(RaRoute(int(prefix.network_address), prefix.prefixlen, preference, lifetime))
    return found
