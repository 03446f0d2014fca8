"""The packet: one buffer, absolute offsets, independent copies."""

from vrouter.stack.base.packet import HEADROOM, LOCAL_OUT, Packet


def test_a_frame_is_copied_behind_the_headroom() -> None:
    """The caller's buffer may be reused at once."""
    frame = bytearray(b"0123456789")
    pkt = Packet.from_frame(frame)
    frame[:] = b"x" * 10
    assert (pkt.start, pkt.end) == (HEADROOM, HEADROOM + 10)
    assert pkt.data() == b"0123456789"
    assert len(pkt) == 10
    assert (pkt.l2, pkt.l3, pkt.l4, pkt.vlan) == (-1, -1, -1, -1)


def test_a_payload_is_marked_as_made_here() -> None:
    """Who it came from decides about fragmentation, crossings and loops."""
    assert Packet.for_payload(memoryview(b"abc")).flags == LOCAL_OUT


def test_a_copy_shares_nothing_that_can_change() -> None:
    """Flooding hands each receiver a packet of its own."""
    pkt = Packet.from_frame(b"abcdef")
    pkt.l3, pkt.src, pkt.flags, pkt.crossings, pkt.reason = pkt.start, 5, 3, 2, 9
    copy = pkt.copy()
    assert {slot: getattr(copy, slot) for slot in Packet.__slots__ if slot not in ("buf", "reason")} == {
        slot: getattr(pkt, slot) for slot in Packet.__slots__ if slot not in ("buf", "reason")
    }
    assert copy.reason == 0
    copy.buf[copy.start] = 0
    assert pkt.data() == b"abcdef"


def test_headroom_grows_and_offsets_move_with_it() -> None:
    """Tunnels may be stacked deeper than the usual headroom; what is unset stays unset."""
    pkt = Packet.from_frame(b"abcdef")
    pkt.l2, pkt.l3 = pkt.start, pkt.start + 2
    pkt.make_headroom(HEADROOM)
    assert pkt.start == HEADROOM
    pkt.make_headroom(HEADROOM + 1)
    assert pkt.start >= HEADROOM + 1
    assert pkt.data() == b"abcdef"
    assert (pkt.l2, pkt.l3, pkt.l4) == (pkt.start, pkt.start + 2, -1)
