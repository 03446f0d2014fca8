"""ARP for IPv4 over Ethernet."""

import pytest

from vrouter.stack.wire.arp import ARP_LEN, REPLY, REQUEST, Arp

MAC_A, MAC_B = bytes.fromhex("02000000010a"), bytes.fromhex("02000000010b")
RAW = bytes.fromhex("000108000604000102000000010a0a0001020000000000000a000101")


@pytest.mark.parametrize("kind", [bytes, bytearray, memoryview])
def test_parse(kind):
    """RFC 826: operation, sender hardware and protocol address, target hardware and protocol address."""
    packet = Arp.parse(kind(b"x" + RAW + b"padding"), 1, 1 + ARP_LEN + 7)
    assert packet == Arp(REQUEST, MAC_A, 0x0A000102, bytes(6), 0x0A000101)
    assert type(packet.sha) is bytes


def test_emit():
    """What is emitted is what RFC 826 draws, and 28 bytes of it."""
    buf = bytearray(b"\xee" * 32)
    Arp(REPLY, MAC_B, 0x0A000101, MAC_A, 0x0A000102).emit(buf, 2)
    assert buf.hex() == "eeee000108000604000202000000010b0a00010102000000010a0a000102eeee"


@pytest.mark.parametrize(("at", "value"), [(0, 1), (1, 6), (2, 9), (3, 1), (4, 8), (5, 16)])
def test_other_types_and_lengths_are_refused(at, value):
    """RFC 826, packet reception: hardware type, protocol type and both lengths must be the ones spoken here."""
    raw = bytearray(RAW)
    raw[at] = value
    assert Arp.parse(raw, 0, len(raw)) is None


@pytest.mark.parametrize("size", range(ARP_LEN))
def test_truncated_packets_are_refused(size):
    """A packet that ends early is refused, whether the buffer or only the frame ends there."""
    assert Arp.parse(RAW[:size], 0, size) is None
    assert Arp.parse(RAW, 0, size) is None
    assert Arp.parse(RAW[:size], 0, ARP_LEN) is None


def test_any_operation_is_parsed():
    """The operation is not the codec's to judge."""
    raw = bytearray(RAW)
    raw[6:8] = b"\x12\x34"
    assert Arp.parse(raw, 0, 28).op == 0x1234
