"""The manual of the configuration knows every key that the reader knows, and no other one."""

from __future__ import annotations

import re

import pytest

from tests.rules.tree import ROOT
from vrouter.config import bridges, devices, multicast, resolver, router_adverts, routing, sections

SECTIONS = {
    "[router]": sections.ROUTER_KEYS,
    "log": sections.LOG_KEYS,
    "[netns.NAME]": sections.NETNS_KEYS,
    "[netns.NAME.dev.DEV]": devices.DEVICE_KEYS,
    "peer": devices.PEER_KEYS,
    "host": devices.HOST_KEYS,
    "host routes": devices.HOST_ROUTE_KEYS,
    "neighbors": devices.NEIGHBOR_KEYS,
    "port": bridges.PORT_KEYS,
    "storm": bridges.STORM_KEYS,
    "[netns.NAME.dev.DEV.ra]": router_adverts.RA_KEYS,
    "prefixes": router_adverts.PREFIX_KEYS,
    "ra routes": router_adverts.ROUTE_KEYS,
    "pref64": router_adverts.PREF64_KEYS,
    "[[netns.NAME.ingress]]": sections.INGRESS_KEYS,
    "[[netns.NAME.nexthop]]": routing.NEXTHOP_KEYS,
    "group": routing.MEMBER_KEYS,
    "[[netns.NAME.rule]]": routing.RULE_KEYS,
    "[[netns.NAME.route]]": routing.ROUTE_KEYS,
    "nexthops": routing.HOP_KEYS,
    "[[netns.NAME.mroute]]": multicast.MROUTE_KEYS,
    "oifs": multicast.OIF_KEYS,
    "[netns.NAME.multicast]": multicast.MULTICAST_KEYS,
    "proxy": multicast.PROXY_KEYS,
    "[netns.NAME.resolver]": resolver.RESOLVER_KEYS,
}


def documented() -> dict[str, list[str]]:
    """The first column of the tables below each heading of docs/configuration.md."""
    found: dict[str, list[str]] = {}
    for part in re.split(r"^##+ ", (ROOT / "docs/configuration.md").read_text(), flags=re.M)[1:]:
        heading = part.partition("\n")[0].replace("`", "")
        found[heading] = re.findall(r"^\| `([^`]+)` \|", part, re.M)
    return found


@pytest.mark.parametrize("heading", SECTIONS)
def test_every_key_is_documented(heading: str) -> None:
    """docs/configuration.md has one row for each key of a table, and none for what is no key."""
    rows = documented()[heading]
    assert sorted(rows) == sorted(set(SECTIONS[heading]))


def test_the_manual_has_no_other_tables() -> None:
    """A heading there is a table of the configuration."""
    assert set(documented()) == set(SECTIONS)


def test_every_list_of_keys_is_held_to_the_manual() -> None:
    """A reader that gets another list of keys has to be documented as well."""
    lists = {
        name: value
        for module in (bridges, devices, multicast, resolver, router_adverts, routing, sections)
        for name, value in vars(module).items()
        if name.endswith("_KEYS") and name not in ("KIND_KEYS", "LO_KEYS", "BRIDGE_KEYS", "VLAN_KEYS")
    }
    known = {tuple(keys) for keys in SECTIONS.values()}
    assert {name for name, value in lists.items() if tuple(value) not in known} == set()
