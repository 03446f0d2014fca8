"""What a bridge device is besides (`[netns.NAME.dev.BRIDGE]`), and what a device is as a port (`….dev.DEV.port`)."""

from typing import Any, Final

from vrouter.config import values
from vrouter.config.findings import Refused
from vrouter.config.records import BridgeConfig, PortConfig
from vrouter.config.section import Section, noun

# IEEE 802.1D-2004 tables 17-1 and 17-2 (times in s), and 7-5
BRIDGE_RANGES: Final = {
    "priority": (0, 61440),
    "hello_time": (1, 10),
    "max_age": (6, 40),
    "forward_delay": (4, 30),
    "ageing_time": (0, 1_000_000),
    "default_pvid": (0, 4094),
}
BRIDGE_FLAGS: Final = ("vlan_filtering", "mcast_snooping", "mcast_querier")
BRIDGE_KEYS: Final = ("ports", "stp", *BRIDGE_RANGES, *BRIDGE_FLAGS)
PORT_RANGES: Final = {"cost": (1, 200_000_000), "priority": (0, 240)}
PORT_FLAGS: Final = ("edge", "isolated", "learning", "flood", "mcast_router")
VLAN_KEYS: Final = ("pvid", "untagged", "tagged")
PORT_KEYS: Final = (*PORT_RANGES, *PORT_FLAGS, *VLAN_KEYS, "guard", "state", "storm", "static")
STORM_KEYS: Final = ("broadcast", "multicast", "unknown")
MAX_RATE: Final = 1_000_000_000  # frames a second
_DEFAULT_TIMES: Final = {"hello_time": 2, "max_age": 20, "forward_delay": 15}


def settings(section: Section) -> BridgeConfig:
    """The keys that only a bridge has."""
    numbers: dict[str, Any] = {key: section.optional_number(key, *bounds) for key, bounds in BRIDGE_RANGES.items()}
    if (numbers["priority"] or 0) % 4096:
        section.wrong("priority", f"must be a multiple of 4096, not {numbers['priority']}")
    hello, age, delay = (numbers[key] or default for key, default in _DEFAULT_TIMES.items())
    if not 2 * (delay - 1) >= age >= 2 * (hello + 1):  # 802.1D-2004 17.14
        key = next((key for key in ("max_age", "forward_delay", "hello_time") if key in section), "max_age")
        section.wrong(
            key,
            "2 * (hello_time + 1) <= max_age <= 2 * (forward_delay - 1) does not hold",
            f"hello_time {hello}, max_age {age}, forward_delay {delay}",
        )
    ports: list[str] = []
    for index, name in section.texts("ports"):
        if name in ports:
            section.findings.at_value((*section.path, "ports", index), f"{name!r} is given twice")
        ports.append(name)
    flags: dict[str, Any] = {key: section.get(key, bool) for key in BRIDGE_FLAGS}
    return BridgeConfig(
        ports=tuple(ports), stp=section.optional_choice("stp", ("none", "stp", "rstp")), **numbers, **flags
    )


def port(section: Section, *, is_bridge: bool) -> PortConfig | None:
    """`port` of a device; of a bridge it says of which VLANs the bridge device itself is a member."""
    found = section.child("port")
    if found is None:
        return None
    found.keys(PORT_KEYS)
    if is_bridge:
        for key in found.table:
            if key in PORT_KEYS and key not in VLAN_KEYS:
                found.findings.at_key(found.at(key), "a bridge itself has only pvid, untagged and tagged")
    numbers: dict[str, Any] = {key: found.optional_number(key, *bounds) for key, bounds in PORT_RANGES.items()}
    if (numbers["priority"] or 0) % 16:
        found.wrong("priority", f"must be a multiple of 16, not {numbers['priority']}")
    flags: dict[str, Any] = {key: found.get(key, bool) for key in PORT_FLAGS}
    untagged, tagged = _vids(found, "untagged"), _vids(found, "tagged")
    both = sorted(set(untagged or ()) & set(tagged or ()))
    if both:
        found.wrong("tagged", f"VLAN {both[0]} is both tagged and untagged")
    return PortConfig(
        **numbers,
        **flags,
        guard=found.optional_choice("guard", ("none", "bpdu", "root")),
        state=found.optional_choice("state", ("forwarding", "learning", "blocking", "disabled")),
        pvid=found.optional_number("pvid", 0, values.MAX_VID),
        untagged=untagged,
        tagged=tagged,
        storm=_storm(found),
        static=found.parsed_texts("static", values.mac),
    )


def _vids(section: Section, key: str) -> tuple[int, ...] | None:
    if key not in section:
        return None
    found: dict[int, None] = {}
    for index, entry in enumerate(section.array(key)):
        where = (*section.path, key, index)
        if isinstance(entry, bool) or not isinstance(entry, int | str):
            section.findings.at_value(where, f"must be an integer or a string, not {noun(entry)}")
            continue
        try:
            found.update(dict.fromkeys(values.vids(entry)))
        except Refused as refused:
            section.findings.at_value(where, refused.message, refused.hint)
    return tuple(found)


def _storm(section: Section) -> dict[str, int] | None:
    limits = section.child("storm")
    if limits is None:
        return None
    limits.keys(STORM_KEYS)
    rates = {key: limits.optional_number(key, 0, MAX_RATE) for key in STORM_KEYS}
    return {key: rate for key, rate in rates.items() if rate is not None}
