"""Fragmentation: how a packet is cut, and what each piece says."""

import pytest

from vrouter.stack.base.packet import FORWARDED, FRAGMENT, HEADROOM, IP_OPTIONS, Packet
from vrouter.stack.l3.fragment import fragment
from vrouter.stack.wire import checksum, ipv4

SRC, DST = 0x0A000001, 0x0A000002
RECORD_ROUTE = bytes([7, 7, 4, 0, 0, 0, 0])
ROUTER_ALERT = bytes([148, 4, 0, 0])
SECURITY = bytes([130, 11, 1, 2, 3, 4, 5, 6, 7, 8, 9])


def packet(size: int, *, options: bytes = b"", word: int = 0, tos: int = 0) -> Packet:
    """A packet as output or forwarding hands it on; `word` is its flags and offset."""
    header_len = 20 + (len(options) + 3 & ~3)
    pkt = Packet.from_frame(bytes(14 + header_len) + bytes(n * 3 & 0xFF for n in range(size)))
    pkt.l2 = pkt.start
    pkt.start = pkt.l3 = pkt.start + 14
    pkt.l4 = pkt.l3 + header_len
    ipv4.emit_header(
        pkt.buf, pkt.l3, total_length=header_len + size, ident=0xBEEF, flags_fragment=word, ttl=9, proto=17, src=SRC,
        dst=DST, tos=tos, options=options,
    )  # fmt: skip
    pkt.family, pkt.proto, pkt.src, pkt.dst, pkt.ttl, pkt.ethertype = 4, 17, SRC, DST, 9, 0x0800
    pkt.flags = FORWARDED | (IP_OPTIONS if options else 0)
    return pkt


def layout(pieces: list[Packet]) -> list[tuple[int, int, bool]]:
    """(offset in bytes, bytes of data, more) of each piece."""
    words = [ipv4.flags_fragment(piece.buf, piece.l3) for piece in pieces]
    return [
        ((word & ipv4.OFFSET_MASK) << 3, piece.end - piece.l4, bool(word & ipv4.MF))
        for word, piece in zip(words, pieces, strict=True)
    ]


@pytest.mark.parametrize(
    ("size", "mtu", "expected"),
    [
        (1481, 1500, [(0, 1480, True), (1480, 1, False)]),
        (2960, 1500, [(0, 1480, True), (1480, 1480, False)]),
        (1400, 1400, [(0, 1376, True), (1376, 24, False)]),  # 1380 is no multiple of 8
        (1380 + 1376, 1400, [(0, 1376, True), (1376, 1380, False)]),  # but the last may fill the link
        (100, 68, [(0, 48, True), (48, 48, True), (96, 4, False)]),
        (8, 1500, [(0, 8, False)]),
    ],
)
def test_pieces_are_few_in_order_and_multiples_of_eight(
    size: int, mtu: int, expected: list[tuple[int, int, bool]]
) -> None:
    """RFC 791 3.2 and RFC 1812 4.2.2.7: minimise the number of fragments, send them in order."""
    pieces = fragment(packet(size), mtu)
    assert layout(pieces) == expected
    assert all(len(piece) <= mtu for piece in pieces)


def test_each_piece_is_a_right_packet_of_its_own() -> None:
    """RFC 791 3.2: identification, service, TTL, protocol and addresses are copied, lengths and checksums are new."""
    pkt = packet(3000, tos=0xB9)
    data = pkt.data()[20:]
    pieces = fragment(pkt, 1500)
    for piece in pieces:
        buf, l3 = piece.buf, piece.l3
        assert (piece.start, l3, piece.l4, piece.end) == (HEADROOM, HEADROOM, HEADROOM + 20, len(buf))
        assert ipv4.version_ihl(buf, l3) == 0x45
        assert ipv4.total_length(buf, l3) == len(piece)
        assert checksum.is_valid(buf, l3, piece.l4)
        fields = [ipv4.tos, ipv4.ident, ipv4.ttl, ipv4.proto, ipv4.src, ipv4.dst]
        assert [field(buf, l3) for field in fields] == [0xB9, 0xBEEF, 9, 17, SRC, DST]
    assert b"".join(piece.data()[20:] for piece in pieces) == data


def test_pieces_have_the_metadata_of_their_packet() -> None:
    """What the layers found out about the packet goes with each piece; offsets of the old buffer do not."""
    pkt = packet(3000)
    pkt.iif, pkt.oif, pkt.ct, pkt.sock = object(), object(), object(), object()
    pkt.nexthop, pkt.mark, pkt.crossings, pkt.vlan = 0x0A0000FE, 5, 2, 7
    for piece in fragment(pkt, 1500):
        for name in Packet.__slots__:
            if name not in ("buf", "start", "end", "l2", "l3", "l4", "flags", "csum_start"):
                assert (name, getattr(piece, name)) == (name, getattr(pkt, name))
        assert piece.flags == FORWARDED | FRAGMENT
        assert (piece.l2, piece.csum_start, piece.gso_size) == (-1, -1, 0)


def test_only_copied_options_go_into_later_pieces() -> None:
    """RFC 791 3.1: the copied flag of an option says so; the first piece has them all, and lengths follow."""
    options = RECORD_ROUTE + b"\x01" + ROUTER_ALERT + SECURITY
    pkt = packet(200, options=options)
    pieces = fragment(pkt, 100)
    first, *later = pieces
    assert first.data()[20:44] == options + b"\x00"
    assert ipv4.header_length(first.buf, first.l3) == 44
    for piece in later:
        assert piece.data()[20:36] == ROUTER_ALERT + SECURITY + b"\x00"
        assert ipv4.header_length(piece.buf, piece.l3) == 36
        assert checksum.is_valid(piece.buf, piece.l3, piece.l4)
    assert layout(pieces) == [(0, 56, True), (56, 64, True), (120, 64, True), (184, 16, False)]
    assert all(piece.flags & IP_OPTIONS for piece in pieces)


def test_later_pieces_without_options_do_not_claim_any() -> None:
    """The flag that options are there is true of the first piece alone."""
    pieces = fragment(packet(200, options=RECORD_ROUTE), 100)
    assert [bool(piece.flags & IP_OPTIONS) for piece in pieces] == [True, False, False]
    assert [ipv4.header_length(piece.buf, piece.l3) for piece in pieces] == [28, 20, 20]


@pytest.mark.parametrize("more", [True, False])
def test_a_fragment_is_fragmented_further(more: bool) -> None:
    """RFC 791 3.2: offsets go on from the fragment's own, and its last piece says what the fragment said."""
    word = 185 | (ipv4.MF if more else 0)
    pieces = fragment(packet(1000, word=word), 548)
    assert layout(pieces) == [(1480, 528, True), (2008, 472, more)]


def test_offsets_never_run_over_into_the_flags() -> None:
    """RFC 791 3.1: the offset has 13 bits. The last byte of the longest datagram is 65534; beyond it nothing is cut."""
    end = 65535 - 1479
    assert layout(fragment(packet(1479, word=end >> 3), 576)) == [
        (end, 552, True),
        (end + 552, 552, True),
        (end + 1104, 375, False),
    ]
    for size, word in ((1480, end >> 3), (1480, 8191 | ipv4.MF), (8, 8191)):
        with pytest.raises(ValueError, match="beyond the end"):
            fragment(packet(size, word=word), 576)


def test_reserved_and_dont_fragment_bits_are_kept() -> None:
    """RFC 1812 4.2.2.3 and 5.2.5: bits that are not fragmentation's go into every piece unchanged."""
    for piece in fragment(packet(3000, word=0x8000 | ipv4.DF), 1500):
        assert ipv4.flags_fragment(piece.buf, piece.l3) & 0xC000 == 0xC000


def test_the_packet_itself_is_left_alone() -> None:
    """Who asked for the pieces still has the packet, for capture or for an error message."""
    pkt = packet(3000)
    before = bytes(pkt.buf)
    fragment(pkt, 576)
    assert bytes(pkt.buf) == before


def test_an_mtu_that_no_link_may_have_still_ends() -> None:
    """RFC 791 3.2 promises 68 bytes; below a header and 8 bytes, pieces are the smallest there are."""
    assert layout(fragment(packet(20), 0)) == [(0, 8, True), (8, 8, True), (16, 4, False)]
