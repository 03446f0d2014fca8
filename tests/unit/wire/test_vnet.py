"""The virtio-net header: layout, and which headers of a stranger are believed."""

from dataclasses import replace

import pytest

from vrouter.stack.wire import vnet
from vrouter.stack.wire.vnet import VnetHeader

RAW = bytes.fromhex("01014200b405220010000100")
SUPERFRAME = VnetHeader(
    flags=vnet.F_NEEDS_CSUM, gso_type=vnet.GSO_TCPV4, hdr_len=66, gso_size=1460, csum_start=34, csum_offset=16
)


@pytest.mark.parametrize("kind", [bytes, bytearray, memoryview])
def test_parse(kind):
    """VIRTIO 5.1.6: flags, GSO type, then five little-endian words."""
    assert VnetHeader.parse(kind(b"x" + RAW), 1) == replace(SUPERFRAME, num_buffers=1)
    assert vnet.flags(kind(b"x" + RAW), 1) == vnet.F_NEEDS_CSUM
    assert vnet.gso_type(kind(b"x" + RAW), 1) == vnet.GSO_TCPV4


def test_emit():
    """What is emitted is what was parsed, in 12 bytes."""
    buf = bytearray(b"\xee" * 14)
    replace(SUPERFRAME, num_buffers=1).emit(buf, 1)
    assert buf == b"\xee" + RAW + b"\xee"


def test_zero_is_the_header_of_a_plain_frame():
    """A frame without offload has twelve zero bytes in front."""
    assert VnetHeader.parse(vnet.ZERO, 0) == VnetHeader()
    assert len(vnet.ZERO) == vnet.LEN == 12


@pytest.mark.parametrize("size", range(vnet.LEN))
def test_truncated_headers_are_refused(size):
    """Fewer than 12 bytes are no header."""
    assert VnetHeader.parse(RAW[:size], 0) is None
    assert VnetHeader.parse(b"x" + RAW[:size], 1) is None


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"gso_type": vnet.GSO_TCPV4 | vnet.GSO_ECN},
        {"gso_type": vnet.GSO_TCPV6},
        {"gso_type": vnet.GSO_UDP_L4},
        {"gso_type": vnet.GSO_UDP},
        {"flags": vnet.F_DATA_VALID, "csum_start": 0, "csum_offset": 0},
        {"csum_start": 14, "csum_offset": 0},
        {"csum_start": 2982, "csum_offset": 16},
        {"hdr_len": 3000},
        {"num_buffers": 0xFFFF},
        {"gso_type": vnet.GSO_NONE, "gso_size": 0, "hdr_len": 0xFFFF},
        {"gso_type": vnet.GSO_NONE, "flags": 0, "csum_start": 0xFFFF},
    ],
)
def test_believed(changes):
    """VIRTIO 5.1.6.4: a header whose fields fit a frame of 3,000 bytes, and fields that mean nothing at all."""
    assert vnet.check(replace(SUPERFRAME, **changes), 3000) is True


@pytest.mark.parametrize(
    "changes",
    [
        {"gso_type": 2},
        {"gso_type": 6},
        {"gso_type": vnet.GSO_ECN},
        {"gso_type": vnet.GSO_UDP_L4 | vnet.GSO_ECN},
        {"gso_type": 0x7F},
        {"gso_size": 0},
        {"flags": 0},
        {"csum_start": 13},
        {"csum_start": 0},
        {"csum_start": 2983, "csum_offset": 16},
        {"csum_start": 0xFFFF, "csum_offset": 0xFFFF},
        {"csum_offset": 2965},
        {"hdr_len": 3001},
        {"gso_type": vnet.GSO_NONE, "csum_start": 3000},
    ],
)
def test_refused(changes):
    """VIRTIO 5.1.6.4: unknown types, ECN without TCP, segments of no size, checksums outside the frame or missing."""
    assert vnet.check(replace(SUPERFRAME, **changes), 3000) is False
