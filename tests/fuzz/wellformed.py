"""Judges every frame that leaves the stack, slowly and with nothing of the stack's own: is this a right frame?

What a stranger sent in may leave as it came: a router forwards a wrong UDP checksum and an odd fragment. So the witness
takes note of what was wrong with the frames that came in, and whatever else leaves must be right.
"""

from __future__ import annotations

from struct import unpack_from
from typing import TYPE_CHECKING

from tests.fuzz.forge_super import expand
from tests.fuzz.octets import ARP, IPV4, IPV6, behind_tags, ones_sum, untagged, upper6
from tests.fuzz.wellformed6 import Witness6

if TYPE_CHECKING:
    from vrouter.stack import Stack
    from vrouter.stack.device import Device

_ERRORS = (3, 4, 5, 11, 12)
_ICMP, _IGMP, _TCP, _UDP = 1, 2, 6, 17
_BRIDGE_GROUP = bytes.fromhex("0180c2000000")
_ALERT = b"\x94\x04\0\0"


class Witness:
    """Remembers what came in and what was configured, and judges what goes out."""

    def __init__(self) -> None:
        self.sources: set[int] = set()  # that were ever configured, or came in
        self.own: set[int] = {0x7F000001}  # that were ever configured
        self.nets: set[tuple[int, int]] = {(127, 24)}  # prefixes of lo, all of whose addresses are own
        self.broadcasts: set[int] = {0xFFFFFFFF}
        self.wrong: set[bytes] = set()  # transport segments that came in with a wrong checksum
        self.errors: set[bytes] = set()  # ICMP errors that came in
        self.igmp: set[bytes] = set()  # messages of IGMP that came in
        self.odd: set[tuple[int, int]] = set()  # (source, identification) of fragments that came in
        self.six = Witness6()
        self.came: set[bytes] = set()  # whole frames, without their tags
        self.mtu: dict[Device, int] = {}  # the largest that a device has had: packets may have waited since then
        self.macs: dict[Device, set[bytes]] = {}  # that a device has had
        self.every: set[bytes] = set()  # those of all of them
        self.layered: set[Device] = set()  # devices that ever had others above
        self.programs: set[bytes] = set()  # what programs made themselves, without or with an Ethernet header

    def look(self, stack: Stack) -> None:
        """Take note of what devices are now."""
        for ns in stack.namespaces.values():
            for dev in ns.devices.values():
                self.sees(dev)

    def sees(self, dev: Device) -> None:
        """A device was made, or has another MTU or MAC."""
        if dev.mtu > self.mtu.get(dev, 0):
            self.mtu[dev] = dev.mtu
        known = self.macs.get(dev)
        if known is None:
            known = self.macs[dev] = set()
        if dev.mac not in known:
            known.add(dev.mac)
            self.every.add(dev.mac)
        if dev.layered:
            self.layered.add(dev)

    def owns(self, address: int, length: int, device: str) -> None:
        """An address was configured."""
        if address >> 32 or length > 32:
            self.six.own.add(address & (1 << 128) - 1)
            return
        self.own.add(address)
        self.sources.add(address)
        if device == "lo":
            self.nets.add((address >> (32 - length), 32 - length))
        elif length < 31:
            self.broadcasts.add(address | (1 << (32 - length)) - 1)

    def note(self, dev: Device, frame: bytes) -> None:
        """A frame comes in, and with it whatever it stands for."""
        if dev.vnet_hdr:
            self.came.add(untagged(frame[12:]))
            for one in expand(frame):
                self._note_frame(one)
        else:
            self._note_frame(frame)

    def _note_frame(self, frame: bytes) -> None:
        self.came.add(untagged(frame))
        at, _ = behind_tags(frame)
        if at and len(frame) >= at + 20 and frame[at] >> 4 == 4:
            self._note_packet(frame[at:])
        elif at and len(frame) >= at + 40 and frame[at] >> 4 == 6:
            self.six.note(frame[at:])

    def _note_packet(self, packet: bytes) -> None:
        total, ident, word = unpack_from("!HHH", packet, 2)
        src = unpack_from("!I", packet, 12)[0]
        self.sources.add(src)
        segment = packet[(packet[0] & 15) * 4 : total]
        if word & 0x3FFF:
            self.odd.add((src, ident))
        elif not _is_sound(packet[9], packet[12:20], segment):
            self.wrong.add(segment)
        if packet[9] == _ICMP and segment[:1] and segment[0] in _ERRORS:
            self.errors.add(segment)
        elif packet[9] == _IGMP:
            self.igmp.add(segment)

    def check(self, dev: Device, frame: bytes | bytearray) -> None:
        """Assert that the frame, or all that it stands for, is one that a right stack sends."""
        frame = bytes(frame)
        if not dev.vnet_hdr:
            return self._check_frame(dev, frame)
        if frame[:12] == bytes(12):
            return self._check_frame(dev, frame[12:])
        assert dev.offload, "a virtio-net header that promises something"
        _check_header(dev, frame)
        for one in expand(frame):
            self._check_frame(dev, one)
        return None

    def _check_frame(self, dev: Device, frame: bytes) -> None:
        assert len(frame) >= 14, "a frame without its header"
        if self.programs and (frame in self.programs or frame[14:] in self.programs):
            return
        assert not frame[6] & 1, "a group's MAC as source"
        at, kind = behind_tags(frame)
        if dev in self.layered:
            assert len(frame) <= self.mtu[dev] + at + 4, f"{len(frame)} bytes at an MTU of {self.mtu[dev]}"
            if frame[:6] != _BRIDGE_GROUP and untagged(frame) in self.came:
                return  # a bridge lets pass what it got
            assert frame[6:12] in self.every, "nobody's MAC as source"
        else:
            assert at == 14, "a tag where there is no VLAN"
            assert frame[6:12] in self.macs[dev], "somebody else's MAC as source"
            assert len(frame) <= self.mtu[dev] + 14, f"{len(frame)} bytes at an MTU of {self.mtu[dev]}"
        if frame[:6] == _BRIDGE_GROUP:
            assert dev in self.layered, "a BPDU where there is no bridge"
            _check_bpdu(untagged(frame))
        elif kind == ARP:
            self._check_arp(untagged(frame))
        elif kind == IPV6:
            self.six.check(frame[:12], frame[at:])
        else:
            assert kind == IPV4, f"EtherType {kind:#06x}"
            self._check_packet(untagged(frame))

    def _check_arp(self, frame: bytes) -> None:
        assert len(frame) == 42, "ARP of another size"
        assert frame[14:20] == b"\0\1\x08\0\6\4"
        op, sha, spa = unpack_from("!H6sI", frame, 20)
        assert op in (1, 2)
        assert sha == frame[6:12], "ARP in somebody else's name"
        if op == 1:
            assert spa == 0 or self._is_own(spa), f"ARP asks with the foreign address {spa:#x}"
            assert frame[32:38] == bytes(6) or not frame[32] & 1
        else:
            assert not frame[0] & 1, "an ARP reply to a group"
            assert frame[32:38] == frame[0:6]

    def _is_own(self, address: int) -> bool:
        return address in self.own or any(address >> bits == net for net, bits in self.nets)

    def _check_packet(self, frame: bytes) -> None:
        packet = frame[14:]
        assert len(packet) >= 20
        header = (packet[0] & 15) * 4
        total, ident, word, ttl, proto = unpack_from("!HHHBB", packet, 2)
        src, dst = unpack_from("!II", packet, 12)
        assert packet[0] >> 4 == 4
        assert header >= 20
        assert total == len(packet), f"total length {total} of {len(packet)} bytes"
        assert header <= total
        assert ones_sum(packet[:header]) == 0xFFFF, "a wrong header checksum"
        assert ttl > 0, "TTL 0 on the wire"
        assert src in self.sources or src == 0 or self._is_own(src), f"source {src:#x} is nobody's"
        assert src >> 28 != 0xE
        assert src >> 24 != 127, "a loopback source on the wire"
        assert dst >> 24 != 127, "a loopback destination on the wire"
        assert dst, "to nobody"
        if frame[0] & 1:
            assert dst >> 28 == 0xE or dst in self.broadcasts, "a unicast packet in a group frame"
        segment = packet[header:]
        if word & 0x3FFF:
            if (src, ident) not in self.odd:
                assert segment, "an empty fragment"
                assert not word & 0x2000 or len(segment) % 8 == 0
                assert (word & 0x1FFF) * 8 + len(segment) + header <= 65535
            return
        if segment not in self.wrong:
            assert _is_sound(proto, packet[12:20], segment), f"protocol {proto}: a wrong checksum or length"
        if proto == _IGMP and segment not in self.igmp:
            assert ttl == 1, "IGMP for beyond the link"
            assert packet[20:24] == _ALERT, "IGMP without a router alert"
            assert ones_sum(segment) == 0xFFFF, "IGMP with a wrong checksum"
        if proto == _ICMP and segment and segment[0] in _ERRORS and segment not in self.errors:
            assert not frame[0] & 1, "an ICMP error to everybody"
            self._check_error(dst, segment)

    def _check_error(self, dst: int, segment: bytes) -> None:
        """RFC 1812 4.3.2: an error of ours is about a packet that may be answered, and quotes it."""
        assert len(segment) <= 576 - 20
        assert dst >> 28 < 0xE
        quoted = segment[8:]
        assert len(quoted) >= 20
        assert unpack_from("!I", quoted, 12)[0] == dst, "an error to somebody else than the sender"
        assert not unpack_from("!H", quoted, 6)[0] & 0x1FFF, "an error about a later fragment"
        inner = (quoted[0] & 15) * 4
        if quoted[9] == _ICMP and len(quoted) > inner:
            assert quoted[inner] not in _ERRORS, "an error about an error"


def _check_header(dev: Device, data: bytes) -> None:
    """VIRTIO 1.2 5.1.6.2: what another's driver may rely on."""
    flags, gso, hdr_len, size, start, offset, buffers = unpack_from("<BBHHHHH", data)
    frame = data[12:]
    at, kind = behind_tags(frame)
    assert (flags, buffers) == (1, 0)
    proto, l4 = (frame[at + 9], (frame[at] & 15) * 4) if kind == IPV4 else upper6(frame[at:])
    assert start == at + l4, "a checksum that begins elsewhere"
    assert offset == {6: 16, _UDP: 6}[proto]
    header = start + ((frame[start + 12] >> 4) * 4 if proto == 6 else 8)
    if not gso:
        assert (hdr_len, size) == (0, 0)
        return
    assert gso & 0x7F == ((1 if kind == IPV4 else 4) if proto == 6 else 5)
    assert proto == 6 or (dev.uso and gso == 5)
    assert hdr_len == header
    assert 0 < size < len(frame) - header, "no superframe"


def _check_bpdu(frame: bytes) -> None:
    """IEEE 802.1D-2004 9.2, 9.3: a message of a kind that there is, whole, padded to a frame."""
    assert len(frame) == 60, "a BPDU of another size"
    length = unpack_from("!H", frame, 12)[0]
    assert frame[14:17] == b"\x42\x42\x03", "a BPDU without its LLC"
    protocol, version, kind = unpack_from("!HBB", frame, 17)
    assert protocol == 0
    assert (version, kind, length) in ((0, 0, 38), (2, 2, 39), (0, 0x80, 7)), f"BPDU {kind:#x} of version {version}"


def _is_sound(proto: int, addresses: bytes, segment: bytes) -> bool:
    """Whether length and checksum of a whole segment are right, if they are of a protocol that has them."""
    if proto == _ICMP:
        return len(segment) >= 8 and ones_sum(segment) == 0xFFFF
    if proto == _TCP:
        pseudo = addresses + b"\0\6" + len(segment).to_bytes(2, "big")
        return len(segment) >= 20 and ones_sum(pseudo + segment) == 0xFFFF
    if proto == _UDP:
        if len(segment) < 8:
            return False
        length, checksum = unpack_from("!HH", segment, 4)
        if length < 8 or length > len(segment):
            return False
        pseudo = addresses + b"\0\x11" + length.to_bytes(2, "big")
        return checksum == 0 or ones_sum(pseudo + segment[:length]) == 0xFFFF
    return True
