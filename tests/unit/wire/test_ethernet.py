"""Ethernet II headers and 802.1Q tags."""

import pytest

from vrouter.stack.wire import ethernet

FRAME = bytes.fromhex("0200000001020200000001010800") + b"data"
TAGGED = bytes.fromhex("0200000001020200000001018100a0640806") + b"data"


@pytest.mark.parametrize("kind", [bytes, bytearray, memoryview])
def test_fields(kind):
    """RFC 894: destination, source, type; addresses are bytes from any kind of buffer."""
    buf = kind(b"xx" + FRAME)
    assert ethernet.dst(buf, 2) == bytes.fromhex("020000000102")
    assert ethernet.src(buf, 2) == bytes.fromhex("020000000101")
    assert type(ethernet.dst(buf, 2)) is bytes
    assert ethernet.ethertype(buf, 2) == ethernet.ETHERTYPE_IPV4


def test_tag():
    """IEEE 802.1Q: the TPID stands where the type was; priority 5, VLAN 100, and the type follow."""
    assert ethernet.ethertype(TAGGED, 0) == ethernet.ETHERTYPE_VLAN
    assert ethernet.vlan_tci(TAGGED, 0) == 0xA064
    assert ethernet.vlan_tci(TAGGED, 0) & ethernet.VID_MASK == 100
    assert ethernet.vlan_ethertype(TAGGED, 0) == ethernet.ETHERTYPE_ARP


def test_emit_writes_fourteen_bytes_and_no_more():
    """A header is written in front of what is there."""
    buf = bytearray(b"\xee" * 20)
    ethernet.emit(buf, 2, FRAME[:6], FRAME[6:12], 0x0800)
    assert buf == b"\xee" * 2 + FRAME[:14] + b"\xee" * 4


@pytest.mark.parametrize(
    ("mac", "multicast"),
    [("ffffffffffff", True), ("01005e000001", True), ("020000000001", False), ("fe0000000001", False)],
)
def test_group_bit(mac, multicast):
    """IEEE 802: the lowest bit of the first octet marks a group."""
    assert ethernet.is_multicast(bytes.fromhex(mac)) is multicast


@pytest.mark.parametrize(
    ("group", "mac"),
    [
        (0xE0000001, "01005e000001"),
        (0xE00000FB, "01005e0000fb"),
        (0xEFFFFFFF, "01005e7fffff"),
        (0xE0800001, "01005e000001"),
    ],
)
def test_multicast_mapping(group, mac):
    """RFC 1112 section 6.4: the low 23 bits behind 01-00-5E; the 24th is lost."""
    assert ethernet.multicast_mac4(group) == bytes.fromhex(mac)
