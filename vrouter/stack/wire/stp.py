"""Bridge protocol data units: configuration (STP), topology change notification, and rapid spanning tree.

``parse`` takes the octets behind the LLC header and gives one `Bpdu`, or None when IEEE 802.1D-2004 9.3.4 calls it
invalid: shorter than its type's octets, another protocol, an unknown type. It judges no value. A later version's BPDU
(MSTP's, version 3) begins with a rapid one and is read as that; octets behind what is known are left alone.

`frame` makes a complete Ethernet frame: 802.3 length, LLC 42 42 03, padded to the least length that a frame has.

Identifiers are ints: a bridge's is 64 bits (priority 4, extension 12, MAC 48), a port's 16 (priority 4, number 12).
Times are ints in 1/256 s, as on the wire.

Read first: IEEE 802.1D-2004 9.2 and 9.3; 7.12.3 (the group address).
"""

from __future__ import annotations

from dataclasses import dataclass
from struct import Struct
from typing import Final

from vrouter.stack.wire.buffer import Buffer

GROUP: Final = bytes.fromhex("0180c2000000")  # the bridge group address
RESERVED: Final = GROUP[:5]  # ...0X: never relayed by a bridge (7.12.6)
LLC: Final = b"\x42\x42\x03"
LLC_LEN: Final = 3
MIN_FRAME: Final = 60

TYPE_CONFIG: Final = 0x00
TYPE_RST: Final = 0x02
TYPE_TCN: Final = 0x80
VERSION_STP: Final = 0
VERSION_RSTP: Final = 2

F_TC: Final = 0x01
F_PROPOSAL: Final = 0x02
F_ROLE: Final = 0x0C
F_LEARNING: Final = 0x10
F_FORWARDING: Final = 0x20
F_AGREEMENT: Final = 0x40
F_TC_ACK: Final = 0x80

ROLE_UNKNOWN: Final = 0
ROLE_ALTERNATE_BACKUP: Final = 1
ROLE_ROOT: Final = 2
ROLE_DESIGNATED: Final = 3

TCN_LEN: Final = 4
CONFIG_LEN: Final = 35
RST_LEN: Final = 36
UNITS: Final = 256  # of time in a second

_head = Struct("!HBB").unpack_from
_pack_head = Struct("!HBB").pack
_body = Struct("!BQIQHHHHH").unpack_from
_pack_body = Struct("!HBBBQIQHHHHH").pack


@dataclass(slots=True)
class Bpdu:
    """One BPDU; of a topology change notification only ``version`` and ``type`` mean something."""

    version: int
    type: int
    flags: int = 0
    root: int = 0
    cost: int = 0
    bridge: int = 0
    port: int = 0
    message_age: int = 0
    max_age: int = 0
    hello_time: int = 0
    forward_delay: int = 0

    @staticmethod
    def parse(buf: Buffer, off: int, end: int) -> Bpdu | None:
        """The BPDU in ``buf[off:end]``, or None when it is none that this bridge understands."""
        size = end - off
        if off < 0 or size < TCN_LEN or end > len(buf):
            return None
        protocol, version, kind = _head(buf, off)
        if protocol:
            return None
        if kind == TYPE_TCN:
            return Bpdu(version, kind)
        if kind == TYPE_CONFIG:
            if size < CONFIG_LEN:
                return None
        elif kind != TYPE_RST or version < VERSION_RSTP or size < RST_LEN:
            return None
        return Bpdu(version, kind, *_body(buf, off + TCN_LEN))

    @property
    def role(self) -> int:
        """The port role that a rapid BPDU conveys (ROLE_…); a configuration BPDU conveys Designated (17.21.8)."""
        return ROLE_DESIGNATED if self.type == TYPE_CONFIG else (self.flags & F_ROLE) >> 2

    def to_bytes(self) -> bytes:
        """The octets behind the LLC header."""
        if self.type == TYPE_TCN:
            return _pack_head(0, self.version, self.type)
        octets = _pack_body(
            0,
            self.version,
            self.type,
            self.flags,
            self.root,
            self.cost,
            self.bridge,
            self.port,
            self.message_age,
            self.max_age,
            self.hello_time,
            self.forward_delay,
        )
        return octets + b"\0" if self.type == TYPE_RST else octets  # version 1 length (9.3.3)


def frame(src: bytes, bpdu: bytes) -> bytes:
    """The Ethernet frame that carries `bpdu` from the port with the address `src`."""
    length = (LLC_LEN + len(bpdu)).to_bytes(2, "big")
    return (GROUP + src + length + LLC + bpdu).ljust(MIN_FRAME, b"\0")


def bridge_id(priority: int, mac: bytes) -> int:
    """The bridge identifier: `priority` (a multiple of 4096) above the address (9.2.5)."""
    return priority << 48 | int.from_bytes(mac, "big")


def port_id(priority: int, number: int) -> int:
    """The port identifier: `priority` (a multiple of 16) and the number, 1 to 4095 (9.2.7)."""
    return (priority & 0xF0) << 8 | number
