"""Bridge protocol data units (IEEE 802.1D-2004 9.2, 9.3)."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vrouter.stack.wire import stp
from vrouter.stack.wire.stp import Bpdu, bridge_id, frame, port_id

MAC = bytes.fromhex("020000000001")
ROOT, BRIDGE = 0x1000_0200_0000_0009, 0x8000_0200_0000_0001
TIMES = "0100140002000f00"  # message age 1 s, max age 20 s, hello time 2 s, forward delay 15 s
VECTOR = "100002000000000900004e2080000200000000018002"
CONFIG = bytes.fromhex("0000000081" + VECTOR + TIMES)
RST = bytes.fromhex("000002027e" + VECTOR + TIMES + "00")
TCN = bytes.fromhex("00000080")


def test_configuration():
    """9.3.1: flags, root, cost, bridge, port and four times in 1/256 s, 35 octets; it conveys the designated role."""
    bpdu = Bpdu.parse(b"xx" + CONFIG, 2, 2 + 35)
    assert bpdu == Bpdu(0, 0, 0x81, ROOT, 20000, BRIDGE, 0x8002, 256, 5120, 512, 3840)
    assert bpdu.role == stp.ROLE_DESIGNATED
    assert bpdu.to_bytes() == CONFIG


def test_rapid():
    """9.3.3: version 2, type 2, the role in the flags, and a version 1 length of 0: 36 octets."""
    bpdu = Bpdu.parse(RST, 0, 36)
    assert bpdu == Bpdu(2, 2, 0x7E, ROOT, 20000, BRIDGE, 0x8002, 256, 5120, 512, 3840)
    assert bpdu.role == stp.ROLE_DESIGNATED
    assert bpdu.to_bytes() == RST


def test_notification():
    """9.3.2: four octets."""
    bpdu = Bpdu.parse(TCN, 0, 4)
    assert bpdu == Bpdu(0, stp.TYPE_TCN)
    assert bpdu.to_bytes() == TCN


@pytest.mark.parametrize(
    ("octets", "why"),
    [
        (b"", "nothing"),
        (TCN[:3], "less than 4 octets"),
        (CONFIG[:34], "a configuration of 34 octets"),
        (RST[:35], "a rapid one of 35 octets"),
        (b"\0\1" + CONFIG[2:], "another protocol"),
        (b"\0\0\2\3" + RST[4:], "an unknown type"),
        (b"\0\0\1\2" + RST[4:], "a rapid one of version 1"),
    ],
)
def test_invalid_ones(octets, why):
    """9.3.4: what is shorter than its type, of another protocol or of no known type is not processed."""
    assert Bpdu.parse(octets, 0, len(octets)) is None, why
    assert Bpdu.parse(octets + b"\0" * 40, 0, len(octets)) is None, why


def test_later_versions_begin_like_this_one():
    """9.3.4: a BPDU of version 3 and type 2 is taken for a rapid one, octets behind it left alone."""
    octets = b"\0\0\3\2" + RST[4:] + b"mst"
    bpdu = Bpdu.parse(octets, 0, len(octets))
    assert bpdu is not None
    assert (bpdu.version, bpdu.root, bpdu.port) == (3, ROOT, 0x8002)


def test_frame():
    """7.12.3 and LLC: to the bridge group address, a length for EtherType, 42 42 03, padded to 60 bytes."""
    made = frame(MAC, CONFIG)
    assert made == bytes.fromhex("0180c20000000200000000010026424203") + CONFIG + bytes(8)


def test_identifiers():
    """9.2.5 and 9.2.7: the priority stands above the address, and above the port's number."""
    assert bridge_id(32768, MAC) == BRIDGE
    assert (port_id(128, 2), port_id(0, 4095), port_id(240, 1)) == (0x8002, 0x0FFF, 0xF001)


@given(st.binary(max_size=80), st.integers(0, 8))
def test_anything_is_parsed_or_refused(octets, at):
    """No octets raise, and what is parsed says the same when it is written."""
    bpdu = Bpdu.parse(octets, at, len(octets))
    if bpdu is not None and bpdu.version <= 2:
        written = bpdu.to_bytes()
        size = len(written) - (bpdu.type == stp.TYPE_RST)
        assert written[:size] == octets[at : at + size]
