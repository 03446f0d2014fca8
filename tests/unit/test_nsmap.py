"""Which device owns a frame: ports, VLAN ids, and the names by which namespaces call one another."""

import pytest

from vrouter.nsmap import NsMap, absolute, vlan_id
from vrouter.stack import Stack

MACS = bytes.fromhex("020000000001 020000000002")
UNTAGGED = MACS + b"\x08\x00" + bytes(46)


def tagged(tci: int, ethertype: bytes = b"\x81\x00") -> bytes:
    return MACS + ethertype + tci.to_bytes(2, "big") + b"\x08\x00" + bytes(46)


@pytest.mark.parametrize(
    ("frame", "vid"),
    [
        (UNTAGGED, 0),
        (tagged(0xE000), 0),
        (tagged(200), 200),
        (tagged(0xE000 | 4094), 4094),
        (tagged(300, b"\x88\xa8"), 300),
        (MACS + b"\x81\x00\x00", 0),
        (MACS, 0),
        (b"", 0),
    ],
)
def test_the_outer_tag_gives_the_vlan_id(frame: bytes, vid: int) -> None:
    """IEEE 802.1Q 9.6: the low twelve bits of the TCI; a priority tag and a truncated one are no VLAN."""
    assert vlan_id(frame) == vid
    assert vlan_id(bytes(12) + frame, 12) == vid


def test_each_tag_has_one_owner() -> None:
    """(port, VLAN id) → device: the port's own device, the one that a VLAN was given to, or nobody."""
    stack, nsmap, port, other = Stack(), NsMap(), object(), object()
    red, blue = stack.add_netns("red"), stack.add_netns("blue")
    lan, lan200 = red.add_device("lan"), blue.add_device("lan200")
    nsmap.add(port, lan)
    nsmap.add(port, lan200, 200)
    assert nsmap.owner(port, UNTAGGED) is lan
    assert nsmap.owner(port, tagged(0xE000)) is lan
    assert nsmap.owner(port, tagged(200)) is lan200
    assert nsmap.owner(port, tagged(201)) is None
    assert nsmap.owner(other, UNTAGGED) is None
    assert (nsmap.lookup(port), nsmap.lookup(port, 200), nsmap.lookup(port, 7)) == (lan, lan200, None)


def test_what_is_taken_is_not_given_again() -> None:
    """A tag belongs to one namespace only; the reserved VLAN ids (IEEE 802.1Q table 9-2) to none."""
    stack, nsmap, port = Stack(), NsMap(), object()
    lan = stack.add_netns("red").add_device("lan")
    nsmap.add(port, lan, 1)
    with pytest.raises(ValueError, match="VLAN id 1 of this port belongs to <Device lan of red>"):
        nsmap.add(port, lan, 1)
    for vid in (-1, 4095):
        with pytest.raises(ValueError, match="a VLAN id is 1 to 4094"):
            nsmap.add(port, lan, vid)


def test_a_port_that_goes_is_forgotten_with_all_its_tags() -> None:
    """The map keeps nothing of a port that was removed, and everything of the others."""
    stack, nsmap, port, other = Stack(), NsMap(), object(), object()
    lan = stack.add_netns("red").add_device("lan")
    for vid in (0, 5, 6):
        nsmap.add(port, lan, vid)
    nsmap.add(other, lan)
    nsmap.remove(port)
    assert len(nsmap) == 1
    assert nsmap.lookup(other) is lan


@pytest.mark.parametrize(
    ("inside", "name", "path"),
    [
        ("red", "blue", "blue"),
        ("red/web", "blue", "blue"),
        ("red", "/blue/x", "blue/x"),
        ("red", "./web", "red/web"),
        ("red/web", "../blue", "blue"),
    ],
)
def test_names_of_calls_count_from_the_top(inside: str, name: str, path: str) -> None:
    """`router["red/web"]` counts from the top; ./ and ../ count from where the call is made."""
    assert absolute(inside, name) == path


@pytest.mark.parametrize("name", ["", "a b", "a//b", "a" * 33, "/..", "red/../../x"])
def test_what_can_be_no_name_is_refused(name: str) -> None:
    """A segment is 1-32 of letters, digits, _ . and -, and no path climbs above the top."""
    with pytest.raises(ValueError):
        absolute("red", name)
