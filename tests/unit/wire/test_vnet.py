"""The virtio-net header: layout, and what a frame that was made here stands for."""

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
    assert vnet.read_header(kind(b"x" + RAW), 1) == (1, 1, 66, 1460, 34, 16, 1)


def test_emit():
    """What is emitted is what was parsed, in 12 bytes."""
    buf = bytearray(b"\xee" * 14)
    replace(SUPERFRAME, num_buffers=1).emit(buf, 1)
    assert buf == b"\xee" + RAW + b"\xee"
    vnet.emit_header(buf, 2, 1, 1, 66, 1460, 34, 16, 1)
    assert buf == b"\xee\x01" + RAW


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
    ("data", "expected"),
    [(1460, (1, 66 + 1460)), (1461, (2, 2 * 66 + 1461)), (2920, (2, 2 * 66 + 2920)), (14601, (11, 11 * 66 + 14601))],
)
def test_a_wire_carries_headers_for_each_segment(data, expected):
    """VIRTIO 5.1.6.2: hdr_len bytes stand in front of gso_size bytes of data in each packet."""
    buf = bytearray(12 + 66 + data)
    SUPERFRAME.emit(buf, 0)
    assert vnet.wire_size(buf) == expected


def test_a_plain_frame_is_one_packet():
    """Whatever its checksum."""
    buf = bytearray(112)
    assert vnet.wire_size(buf) == (1, 100)
    VnetHeader(vnet.F_NEEDS_CSUM, csum_start=34, csum_offset=6).emit(buf, 0)
    assert vnet.wire_size(buf) == (1, 100)
