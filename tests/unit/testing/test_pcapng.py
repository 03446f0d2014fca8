"""The pcapng writer: its blocks byte by byte (draft-ietf-opsawg-pcapng 4.1 to 4.3)."""

from pathlib import Path

from vrouter.testing.pcapng import OUTBOUND, PcapngWriter


def test_a_file_byte_by_byte(tmp_path: Path) -> None:
    """Section header, an interface with ns resolution, a frame of 3 bytes padded to 4 with comment and direction."""
    writer = PcapngWriter(tmp_path / "one.pcapng")
    assert writer.add_interface("a-b") == 0
    writer.write(0, 0x1_0000_0002, b"abc", OUTBOUND, "lost")
    writer.close()
    section = "0a0d0d0a 2c000000 4d3c2b1a 0100 0000 ffffffffffffffff 0400 0700 76726f7574657200 0000 0000 2c000000"
    interface = "01000000 28000000 0100 0000 00000400 0200 0300 612d6200 0900 0100 09000000 0000 0000 28000000"
    frame = (
        "06000000 38000000 00000000 01000000 02000000 03000000 03000000 61626300"
        "0100 0400 6c6f7374 0200 0400 02000000 0000 0000 38000000"
    )
    assert (tmp_path / "one.pcapng").read_bytes() == bytes.fromhex(section + interface + frame)


def test_options_are_left_out_where_there_are_none(tmp_path: Path) -> None:
    """A frame without direction and comment has no option list; an interface may have a description."""
    writer = PcapngWriter(tmp_path / "one.pcapng")
    writer.add_interface("a")
    before = (writer.add_interface("b", "slow"), writer.close())[0]
    assert before == 1
    assert b"\x03\x00\x04\x00slow" in (tmp_path / "one.pcapng").read_bytes()
    writer = PcapngWriter(tmp_path / "two.pcapng")
    writer.write(0, 0, b"abcd")
    writer.close()
    assert (tmp_path / "two.pcapng").read_bytes()[44:] == bytes.fromhex(
        "06000000 24000000 00000000 00000000 00000000 04000000 04000000 61626364 24000000"
    )
