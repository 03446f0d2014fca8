"""IPv6 fragmentation: how a packet that was made here is cut, and what each piece says."""

import pytest
from scapy.layers.inet6 import (
    IPv6,
    IPv6ExtHdrDestOpt,
    IPv6ExtHdrFragment,
    IPv6ExtHdrHopByHop,
    IPv6ExtHdrRouting,
    RouterAlert,
    defragment6,
)
from scapy.packet import Raw

from tests.unit.l3.bed6 import HERE, THERE, Ip, Namespace, received
from vrouter.stack.base.addresses import parse_ipv6
from vrouter.stack.base.packet import DONT_FRAGMENT, FRAGMENT, IP_OPTIONS, LOCAL_OUT, Packet
from vrouter.stack.l3.fragment import fragment6
from vrouter.stack.wire import ipv6

LAN = Namespace().lan
IP6 = IPv6(src=HERE, dst=THERE, hlim=9, tc=0xB9, fl=0x12345)


def made(packet: IPv6) -> Packet:
    """A packet as output hands it on."""
    pkt = received(packet, LAN)
    pkt.flags = LOCAL_OUT | pkt.flags & ~DONT_FRAGMENT
    pkt.iif = None
    return pkt


def plain(size: int) -> Packet:
    return made(IP6 / Raw(bytes(n * 3 & 0xFF for n in range(size))))


def layout(pieces: list[Packet]) -> list[tuple[int, int, bool]]:
    """(offset in bytes, bytes of data, more) of each piece."""
    found = []
    for piece in pieces:
        at = piece.l4 - ipv6.FRAGMENT_LEN
        found.append((ipv6.fragment_offset(piece.buf, at), piece.end - piece.l4, ipv6.fragment_more(piece.buf, at)))
    return found


@pytest.mark.parametrize(
    ("size", "mtu", "expected"),
    [
        (1461, 1500, [(0, 1448, True), (1448, 13, False)]),
        (2 * 1448, 1500, [(0, 1448, True), (1448, 1448, False)]),
        (1233, 1280, [(0, 1232, True), (1232, 1, False)]),
        (1240, 1286, [(0, 1232, True), (1232, 8, False)]),  # 1238 is no multiple of 8
        (1232 + 1238, 1286, [(0, 1232, True), (1232, 1238, False)]),  # but the last may fill the path
        (1300, 1279, [(0, 1232, True), (1232, 68, False)]),  # no path takes less than 1280 (RFC 8200 5)
        (1300, 68, [(0, 1232, True), (1232, 68, False)]),
    ],
)
def test_pieces_are_few_in_order_and_multiples_of_eight(
    size: int, mtu: int, expected: list[tuple[int, int, bool]]
) -> None:
    """RFC 8200 4.5: all but the last are multiples of 8 bytes and fit the path's MTU."""
    pieces = fragment6(Ip(), plain(size), mtu)
    assert layout(pieces) == expected
    assert all(len(piece) <= max(mtu, 1280) for piece in pieces)


def test_each_piece_is_a_right_packet_of_its_own() -> None:
    """RFC 8200 4.5, RFC 6437 3: the header is copied, but for its length and what comes next."""
    pkt = plain(3000)
    data = pkt.data()[40:]
    pieces = [IPv6(piece.data()) for piece in fragment6(Ip(), pkt, 1500)]
    for piece in pieces:
        assert (piece.version, piece.tc, piece.fl, piece.hlim, piece.nh) == (6, 0xB9, 0x12345, 9, 44)
        assert (piece.src, piece.dst, piece.plen) == (HERE, THERE, len(bytes(piece)) - 40)
        header = piece[IPv6ExtHdrFragment]
        assert (header.nh, header.res1, header.res2, header.id) == (59, 0, 0, 0xDEADBEEF)
    assert b"".join(bytes(piece[IPv6ExtHdrFragment].payload) for piece in pieces) == data


def test_headers_for_nodes_on_the_way_go_into_every_piece() -> None:
    """RFC 8200 4.5: through the routing header, else the hop-by-hop header; the rest is cut."""
    head = IP6 / IPv6ExtHdrHopByHop(options=[RouterAlert()]) / IPv6ExtHdrRouting(addresses=[THERE], segleft=0)
    pieces = fragment6(Ip(), made(head / IPv6ExtHdrDestOpt() / Raw(bytes(2000))), 1500)
    assert layout(pieces) == [(0, 1416, True), (1416, 592, False)]
    for piece in pieces:
        seen = IPv6(piece.data())
        assert (seen.nh, seen[IPv6ExtHdrHopByHop].nh, seen[IPv6ExtHdrRouting].nh) == (0, 43, 44)
        assert seen[IPv6ExtHdrFragment].nh == 60
        assert piece.proto == 60


def test_destination_options_in_front_of_nothing_are_cut_with_the_data() -> None:
    """RFC 8200 4.5: without a routing header they are for the destination, and so fragmentable."""
    pieces = fragment6(Ip(), made(IP6 / IPv6ExtHdrDestOpt() / Raw(bytes(1600))), 1500)
    assert [IPv6(piece.data()).nh for piece in pieces] == [44, 44]
    assert layout(pieces) == [(0, 1448, True), (1448, 160, False)]


def test_scapy_puts_the_pieces_together() -> None:
    """An implementation that knows nothing of ours gets the packet that was cut."""
    pkt = made(IP6 / IPv6ExtHdrHopByHop(options=[RouterAlert()]) / IPv6ExtHdrDestOpt() / Raw(bytes(range(256)) * 20))
    whole = defragment6([IPv6(piece.data()) for piece in fragment6(Ip(), pkt, 1280)])
    assert bytes(whole) == pkt.data()


def test_the_identification_is_asked_for_once_by_the_addresses_of_the_wire() -> None:
    """RFC 8200 4.5, RFC 7739 5.3: one for the packet, by source and destination."""
    ip, pkt = Ip(), plain(3000)
    pkt.src = parse_ipv6(HERE)
    pkt.dst = parse_ipv6("fe80::2") | 5 << 128
    fragment6(ip, pkt, 1500)
    assert ip.idents == [(parse_ipv6(HERE), parse_ipv6("fe80::2"), 44)]


def test_pieces_have_the_metadata_of_their_packet() -> None:
    """What the layers found out about the packet goes with each piece; offsets of the old buffer do not."""
    pkt = plain(3000)
    pkt.oif, pkt.ct, pkt.sock = object(), object(), object()
    pkt.nexthop, pkt.mark, pkt.crossings, pkt.vlan = parse_ipv6(THERE), 5, 2, 7
    for piece in fragment6(Ip(), pkt, 1500):
        for name in Packet.__slots__:
            if name not in ("buf", "start", "end", "l2", "l3", "l4", "flags", "csum_start"):
                assert (name, getattr(piece, name)) == (name, getattr(pkt, name))
        assert piece.flags == LOCAL_OUT | FRAGMENT | IP_OPTIONS
        assert (piece.l2, piece.csum_start, piece.gso_size) == (-1, -1, 0)


def test_the_packet_itself_is_left_alone() -> None:
    """Who asked for the pieces still has the packet, for capture or for an error message."""
    pkt = plain(3000)
    before = pkt.data()
    fragment6(Ip(), pkt, 1500)
    assert pkt.data() == before
