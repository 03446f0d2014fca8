"""Judges IPv6 packets that leave, for `wellformed.Witness`: what came in and goes on, and what was made here."""

from __future__ import annotations

from struct import unpack_from

from tests.fuzz.octets import FRAGMENT, HOPOPTS, ICMPV6, TCP, UDP, ones_sum, pseudo6, upper6

_NDP, _MLD = range(133, 138), (130, 131, 132, 143)
_REDIRECT = 137
_TOO_BIG, _PARAMETER = 2, 4
ROUTER_ALERT = b"\x05\x02\0\0"


def is_multicast(address: int) -> bool:
    return address >> 120 == 0xFF


def is_link_local(address: int) -> bool:
    return address >> 118 == 0x3FA


def _link_local_of(mac: bytes) -> int:
    identifier = bytes((mac[0] ^ 2,)) + mac[1:3] + b"\xff\xfe" + mac[3:6]
    return 0xFE80 << 112 | int.from_bytes(identifier, "big")


PROGRAMS = 253  # what programs say with it is theirs (RFC 3692)


class Witness6:
    """Remembers the payloads that came in; ``own`` are all addresses that were ever configured."""

    def __init__(self) -> None:
        self.own: set[int] = {1}
        self.sources: set[int] = set()
        self.came: set[bytes] = set()  # what stood behind the header

    def note(self, packet: bytes) -> None:
        """A packet comes in."""
        length = unpack_from("!H", packet, 4)[0]
        src = int.from_bytes(packet[8:24], "big")
        if not is_link_local(src):
            self.sources.add(src)
        self.came.add(packet[40 : 40 + length])

    def check(self, header: bytes, packet: bytes) -> None:
        """Assert that the packet is one that a right stack sends in a frame that begins with `header`."""
        mac = header[:6]
        assert len(packet) >= 40
        assert packet[0] >> 4 == 6
        length, proto, hop_limit = unpack_from("!HBB", packet, 4)
        src, dst = int.from_bytes(packet[8:24], "big"), int.from_bytes(packet[24:40], "big")
        assert length == len(packet) - 40, f"payload length {length} of {len(packet) - 40} bytes"
        # A socket may ask for 0, which only the destination itself takes (RFC 8200 3).
        assert hop_limit > 0 or packet[40:] not in self.came, "forwarded with hop limit 0"
        assert not is_multicast(src), "a group as source"
        assert src != 1, "the loopback address as source on the wire"
        assert dst > 1, f"to {dst}"
        if src == _link_local_of(header[6:12]) and src not in self.own:
            assert upper6(packet)[0] == ICMPV6, "a switch that says more than a query"
            self._check_own(packet, src, dst, proto, hop_limit)  # it has no address to ask for members from
            return
        assert src in self.own or src == 0 or src in self.sources, f"source {src:x} is nobody's"
        if is_multicast(dst):
            assert mac == b"\x33\x33" + packet[36:40], "a group's packet in another frame"
            assert packet[25] & 15 > 1, "a group of interface scope on the wire"
        else:
            assert not mac[0] & 1, "a unicast packet in a group frame"
        if src and packet[40:] in self.came:
            if src not in self.own:
                assert not is_link_local(src), "forwarded beyond its link"
                assert not is_link_local(dst), "forwarded into another link"
                assert not is_multicast(dst) or packet[25] & 15 > 2, "a group of the link forwarded"
            return
        assert src in self.own or src == 0, f"made here, with the foreign source {src:x}"
        self._check_own(packet, src, dst, proto, hop_limit)

    def _check_own(self, packet: bytes, src: int, dst: int, proto: int, hop_limit: int) -> None:
        if proto == FRAGMENT:
            word = unpack_from("!H", packet, 42)[0]
            assert len(packet) > 48, "an empty fragment"
            assert not word & 6
            assert not word & 1 or (len(packet) - 48) % 8 == 0, "a fragment that is no multiple of 8 bytes"
            assert (word & 0xFFF8) + len(packet) - 48 <= 65535
            assert src, "a fragment without a source"
            return
        if proto == PROGRAMS:
            return
        assert proto in (ICMPV6, TCP, UDP, HOPOPTS), f"protocol {proto} made here"
        upper, at = upper6(packet)
        segment = packet[at:]
        assert upper in (ICMPV6, TCP, UDP), f"protocol {upper} in {packet.hex()}"
        assert len(segment) >= 8, f"{len(segment)} bytes of protocol {upper}"
        assert ones_sum(pseudo6(packet, upper, len(segment)) + segment) == 0xFFFF, f"protocol {upper}: wrong checksum"
        if upper == TCP:
            assert len(segment) >= 20, "TCP without its header"
            assert src, "TCP without a source"
            return
        if upper == UDP:
            assert segment[6:8] != b"\0\0", "UDP without a checksum"
            assert unpack_from("!H", segment, 4)[0] == len(segment)
            assert src, "UDP without a source"
            return
        kind = segment[0]
        if kind in _MLD:
            self._check_mld(packet, src, kind, hop_limit)
            return
        assert at == 40, "an option where none belongs"
        if kind in _NDP:
            assert hop_limit == 255, f"neighbour discovery with hop limit {hop_limit}"
            self._check_ndp(src, dst, kind, segment)
        else:
            assert src, "ICMPv6 without a source"
            if kind < 128:
                self._check_error(packet, dst, segment)

    @staticmethod
    def _check_mld(packet: bytes, src: int, kind: int, hop_limit: int) -> None:
        assert hop_limit == 1, f"MLD with hop limit {hop_limit}"
        assert packet[6] == HOPOPTS, "MLD without options"
        assert packet[41] == 0
        assert ROUTER_ALERT in packet[42:48], "MLD without a router alert"
        assert is_link_local(src) or (src == 0 and kind in (131, 132, 143)), "MLD from beyond the link"

    @staticmethod
    def _check_ndp(src: int, dst: int, kind: int, segment: bytes) -> None:
        at = {133: 8, 134: 16, 135: 24, 136: 24, 137: 40}[kind]
        seen = []
        while at < len(segment):
            length = segment[at + 1] * 8
            assert length, "an option without a length"
            assert at + length <= len(segment), "an option beyond the end"
            seen.append(segment[at])
            if segment[at] in (1, 2):
                assert not segment[at + 2] & 1, "a group as link-layer address"
            at += length
        assert src or kind in (133, 135), "without a source"
        assert src or 1 not in seen, "an unspecified source has a link-layer address"
        if kind in (135, 136):
            target = int.from_bytes(segment[8:24], "big")
            assert not is_multicast(target)
            assert target > 1
            if kind == 135:
                assert is_multicast(dst) == (dst >> 24 == 0xFF02 << 88 | 0x1FF)
                assert src or is_multicast(dst)
            else:
                assert not (segment[4] & 0x40 and is_multicast(dst)), "solicited, to a group"
        if kind in (134, 137):
            assert is_link_local(src), "a router that names itself by no link-local address"

    @staticmethod
    def _check_error(packet: bytes, dst: int, segment: bytes) -> None:
        """RFC 4443 2.4: an error of ours is about a packet that may be answered, and quotes it."""
        assert len(packet) <= 1280, "an error over the least MTU"
        assert not is_multicast(dst)
        quoted = segment[8:]
        assert len(quoted) >= 40
        assert int.from_bytes(quoted[8:24], "big") == dst, "an error to somebody else than the sender"
        to_group = is_multicast(int.from_bytes(quoted[24:40], "big"))
        assert not to_group or segment[0] == _TOO_BIG or segment[:2] == bytes((_PARAMETER, 2)), "an error about a group"
        proto, at = upper6(quoted)
        if proto == ICMPV6 and len(quoted) > at:
            assert quoted[at] >= 128, f"an error about an error: {packet.hex()}"
            assert quoted[at] != _REDIRECT, "an error about a redirect"
