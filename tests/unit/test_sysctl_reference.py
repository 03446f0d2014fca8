"""docs/sysctl.md lists every setting, with the default, bounds and rule that it has."""

import re
from pathlib import Path

import pytest

from vrouter.stack.sysctl import names
from vrouter.stack.sysctl.names import GROUPS, NS_SETTINGS
from vrouter.stack.sysctl.settings import DEVICES, MOST, Group, Setting, Text

TEXT = (Path(__file__).parents[2] / "docs" / "sysctl.md").read_text(encoding="utf-8")
SECTIONS = {heading: body for heading, _, body in (part.partition("\n") for part in TEXT.split("\n## ")[1:])}
NEIGHBOURS = SECTIONS["Each device, neighbours"]
DEVICE = {"net.ipv4.conf.": SECTIONS["Each device, IPv4"], "net.ipv6.conf.": SECTIONS["Each device, IPv6"]}


def rows(section: str) -> dict[str, list[str]]:
    """The cells of each row by the name in the first."""
    found: dict[str, list[str]] = {}
    for line in section.splitlines():
        if match := re.match(r"\| `([a-z0-9_.]+)` \| (.*) \|$", line):
            assert match[1] not in found
            found[match[1]] = match[2].split(" | ")
    return found


def default(setting: Setting) -> str:
    if setting.key == "mtu":
        return "device's"
    text = f"`{setting.default}`".replace("\t", " ") if setting.default != "" else "–"
    text += "".join(f", {kind} `{value}`" for kind, value in setting.at_kinds)
    return text + (f", `all` `{setting.at_all}`" if setting.at_all is not None else "")


def values(setting: Setting) -> str:
    if setting.read_only:
        return "read only"
    if setting.text is not Text.NUMBER:
        return setting.text.value
    if (setting.low, setting.high) == (0, 1):
        return "0, 1"
    low = "…" if setting.low <= -MOST else setting.low
    return f"{low} to {'…' if setting.high >= MOST else setting.high}"


def with_all(setting: Setting) -> str:
    if setting.text is Text.SECRET:
        return "no `all`"
    if setting.passed_on:
        return "passed on to " + " and ".join("each device" if s == DEVICES else f"`{s}`" for s in setting.passed_on)
    return setting.rule.value


def test_settings_of_a_namespace_are_listed_as_they_are() -> None:
    """Each row says the default and the values that the table of settings says."""
    found = {
        name: cells for heading, body in SECTIONS.items() for name, cells in rows(body).items() if "space" in heading
    }
    assert {name: cells[:2] for name, cells in found.items()} == {
        name: [default(setting), values(setting)] for name, setting in NS_SETTINGS.items()
    }
    assert all(len(cells) == 3 and len(cells[2]) > 5 for cells in found.values())


@pytest.mark.parametrize("group", [group for group in GROUPS if group.with_all], ids=lambda group: group.prefix)
def test_settings_of_a_device_are_listed_as_they_are(group: Group) -> None:
    """Each row says the default, the values, and how `all` and the device's own combine."""
    found = rows(DEVICE[group.prefix])
    assert {name: cells[:3] for name, cells in found.items()} == {
        key: [default(setting), values(setting), with_all(setting)] for key, setting in group.settings.items()
    }
    assert all(len(cells) == 4 and len(cells[3]) > 5 for cells in found.values())


@pytest.mark.parametrize("group", [group for group in GROUPS if not group.with_all], ids=lambda group: group.prefix)
def test_settings_of_neighbours_are_listed_as_they_are(group: Group) -> None:
    """Both families have the same; only locktime's default differs, which the text above the table says."""
    found = rows(NEIGHBOURS)
    expected = {key: [default(setting), values(setting)] for key, setting in group.settings.items()}
    if group.prefix.startswith("net.ipv6."):
        assert "the default of `locktime` is `0` with IPv6" in NEIGHBOURS
        expected["locktime"][0] = "`100`"
    assert {name: cells[:2] for name, cells in found.items()} == expected


def test_what_is_said_to_be_missing_is_missing() -> None:
    """The list of Linux's names that vrouter has not holds none that it has."""
    words = {name.rpartition(".")[2] for name in names()}
    lines = SECTIONS["What Linux has and vrouter has not"].splitlines()
    missing = [name for line in lines for name in re.findall(r"`([a-z0-9_.*]+)`", line.partition(" | ")[0])]
    assert "conf.*.arp_notify" in missing
    taken = [name for name in missing if name.rpartition(".")[2] in words and name != "net.ipv6.conf.*.rp_filter"]
    assert taken == []
    assert "net.ipv6.conf.DEV.rp_filter" not in names()
