"""Packet sockets: packet(7); that each call answers as Linux's is tests/tap/test_raw_semantics_kernel.py.

red ──── x ═══veth═══ y ──── blue
"""

from __future__ import annotations

import errno
import struct
from collections.abc import Iterator
from typing import Any

import pytest

from tests import superframes
from vrouter.stack import Stack
from vrouter.stack.base.drop import DropReason
from vrouter.stack.l4 import constants as c
from vrouter.testing import Lab, frames

ALL, TEST, IP, IP6 = 3, 0x88B5, 0x0800, 0x86DD
HOST, BROADCAST, GROUP, OTHER, OUTGOING = range(5)
MACS = bytes.fromhex("02000000000a"), bytes.fromhex("02000000000b")
SOL_PACKET, ADD, DROP, STATISTICS = 263, 1, 2, 6


class Pair:
    """red and blue, in one stack."""

    def __init__(self) -> None:
        self.stack = Stack(seed=1)
        self.red, self.blue = self.stack.add_netns("red"), self.stack.add_netns("blue")
        for ns in (self.red, self.blue):
            ns.sysctl["net.ipv6.conf.default.dad_transmits"] = 0
            ns.sysctl["net.ipv6.conf.default.disable_ipv6"] = 1
        self.x, self.y = self.stack.add_veth(self.red, "x", self.blue, "y", mac1=MACS[0], mac2=MACS[1])

    @staticmethod
    def packet(ns: Any, ethertype: int, kind: int = c.SOCK_RAW) -> Any:
        return ns.socket(c.AF_PACKET, kind, ethertype >> 8 | (ethertype & 0xFF) << 8)


@pytest.fixture
def pair() -> Iterator[Pair]:
    made = Pair()
    yield made
    for ns in list(made.stack.namespaces.values()):
        for sock in list(ns.sockets):
            sock.close()
        assert all(dev.captures == () for dev in ns.devices.values()), "a closed socket watches"


def waiting(sock: Any) -> list[tuple[bytes, Any]]:
    found = []
    while True:
        try:
            found.append(sock.recvfrom(70000))
        except BlockingIOError:
            return found


def frame(data: bytes = b"data", dst: bytes = MACS[1], ethertype: int = TEST) -> bytes:
    return dst + MACS[0] + ethertype.to_bytes(2, "big") + data


def test_whole_frames(pair: Pair) -> None:
    """packet(7) SOCK_RAW: frames with their header both ways; whom they are for, and the sender's MAC."""
    sender, hears = pair.packet(pair.red, 0), pair.packet(pair.blue, TEST)
    for dst, kind in ((MACS[1], HOST), (b"\xff" * 6, BROADCAST), (b"\x03" * 6, GROUP), (b"\x02" * 6, OTHER)):
        assert sender.sendto(frame(dst=dst), ("x", 0)) == 18
        assert waiting(hears) == [(frame(dst=dst), ("y", TEST, kind, 1, MACS[0]))]
    assert waiting(sender) == [], "without a protocol it hears nothing"


def test_cooked_frames(pair: Pair) -> None:
    """packet(7) SOCK_DGRAM: the header is made of the address, and is not read."""
    sender, hears = pair.packet(pair.red, 0, c.SOCK_DGRAM), pair.packet(pair.blue, TEST, c.SOCK_DGRAM)
    whole = pair.packet(pair.blue, TEST)
    assert sender.sendto(b"data", ("x", TEST, 0, 0, MACS[1])) == 4
    assert waiting(hears) == [(b"data", ("y", TEST, HOST, 1, MACS[0]))]
    assert waiting(whole) == [(frame(), ("y", TEST, HOST, 1, MACS[0]))]
    sender.bind(("x", TEST))
    for address in (("x", TEST), ("x", TEST, 0, 0, b"\2")):
        with pytest.raises(OSError, match="Invalid"):
            sender.sendto(b"data", address)
    with pytest.raises(OSError, match="Invalid"):
        sender.send(b"data")


def test_every_protocol_and_what_leaves(pair: Pair) -> None:
    """packet(7) ETH_P_ALL: also what this namespace sends; one EtherType is of what comes in alone."""
    every, one, sender = pair.packet(pair.red, ALL), pair.packet(pair.red, TEST), pair.packet(pair.red, 0)
    back = pair.packet(pair.blue, 0)
    sender.sendto(frame(), ("x", 0))
    back.sendto(frame(dst=MACS[0]), ("y", 0))
    back.sendto(frame(dst=MACS[0], ethertype=0x88B6), ("y", 0))
    assert [(data[12:14].hex(), name[2]) for data, name in waiting(every)] == [
        ("88b5", OUTGOING),
        ("88b5", HOST),
        ("88b6", HOST),
    ]
    assert [name[2] for _, name in waiting(one)] == [HOST]


def test_bind(pair: Pair) -> None:
    """packet(7): to a device and a protocol; 0 leaves the protocol, another one takes its place; "" is all devices."""
    pair.stack.add_veth(pair.red, "x2", pair.blue, "y2")
    sock, sender = pair.packet(pair.blue, TEST), pair.packet(pair.red, 0)

    def heard() -> list[tuple[str, int]]:
        for dev in ("x", "x2"):
            for ethertype in (TEST, 0x88B6):
                sender.sendto(frame(dst=b"\xff" * 6, ethertype=ethertype), (dev, 0))
        return [name[:2] for _, name in waiting(sock)]

    assert heard() == [("y", TEST), ("y2", TEST)]
    sock.bind(("y2", 0))
    assert heard() == [("y2", TEST)]
    assert sock.getsockname() == ("y2", TEST, 0, 1, pair.blue.devices["y2"].mac)
    sock.bind(("y", 0x88B6))
    assert heard() == [("y", 0x88B6)]
    sock.bind(("", 0))
    assert heard() == [("y", 0x88B6), ("y2", 0x88B6)]
    assert sock.getsockname() == ("", 0x88B6, 0, 0, b"")
    with pytest.raises(OSError) as caught:
        sock.bind(("nothing", 0))
    assert caught.value.errno == errno.ENODEV


def test_devices_come_and_go(pair: Pair) -> None:
    """packet(7): one of all devices watches those that come; one whose device goes is told ENETDOWN, and hears no
    other."""
    all_of, bound, sender = pair.packet(pair.blue, TEST), pair.packet(pair.blue, TEST), pair.packet(pair.red, 0)
    pair.stack.add_veth(pair.red, "x2", pair.blue, "y2")
    bound.bind(("y2", 0))
    sender.sendto(frame(dst=b"\xff" * 6), ("x2", 0))
    assert ([name[0] for _, name in waiting(all_of)], len(waiting(bound))) == (["y2"], 1)
    pair.stack.remove_device(pair.blue.devices["y2"])
    assert bound.readable
    with pytest.raises(OSError) as caught:
        bound.recv(1)
    assert caught.value.errno == errno.ENETDOWN
    with pytest.raises(OSError) as caught:
        bound.send(frame())
    assert caught.value.errno == errno.ENXIO
    sender.sendto(frame(), ("x", 0))
    assert (len(waiting(all_of)), len(waiting(bound))) == (1, 0)
    bound.bind(("y", 0))
    sender.sendto(frame(), ("x", 0))
    assert len(waiting(bound)) == 1


def test_a_device_that_moves(pair: Pair) -> None:
    """A device in another namespace is nothing of this one's any more; the sockets there see it."""
    green = pair.stack.add_netns("green")
    here, there, sender = pair.packet(pair.blue, TEST), pair.packet(green, TEST), pair.packet(pair.red, 0)
    pair.stack.move_device(pair.y, green, "z")
    sender.sendto(frame(), ("x", 0))
    assert (waiting(here), [name[0] for _, name in waiting(there)]) == ([], ["z"])


def test_by_lo(pair: Pair) -> None:
    """packet(7): a packet on lo is seen leaving and coming, behind an empty header with its protocol; a frame that is
    sent there goes around, and what is no IP dies there."""
    every, six = pair.packet(pair.red, ALL), pair.packet(pair.red, IP6)
    every.bind(("lo", 0))
    raw = pair.red.socket(c.AF_INET, c.SOCK_RAW, 253)
    packet = frames.ipv4("127.0.0.1", "127.0.0.1", 253, b"data", ident=1)
    every.sendto(bytes(12) + b"\x08\0" + packet, ("lo", 0))
    assert [(data, name[:4]) for data, name in waiting(every)] == [
        (bytes(12) + b"\x08\0" + packet, ("lo", IP, kind, 772)) for kind in (OUTGOING, HOST)
    ]
    assert raw.recv(100) == packet
    pair.red.sysctl["net.ipv6.conf.lo.disable_ipv6"] = 0
    packet = frames.ipv6("::1", "::1", 59, b"data")
    every.sendto(bytes(12) + b"\x86\xdd" + packet, ("lo", 0))
    assert [name[:3] for _, name in waiting(every)] == [("lo", IP6, OUTGOING), ("lo", IP6, HOST)]
    assert [data for data, _ in waiting(six)] == [bytes(12) + b"\x86\xdd" + packet]
    every.sendto(bytes(12) + b"\x88\xb5" + b"no IP", ("lo", 0))
    assert [(data, name[1:3]) for data, name in waiting(every)] == [
        (bytes(12) + b"\x88\xb5no IP", (TEST, kind)) for kind in (OUTGOING, HOST)
    ]
    assert pair.red.drop_counts()[DropReason.UNHANDLED_PROTO.name] == 1


def test_vlans(pair: Pair) -> None:
    """A tag is seen at the device below, and not at the vlan device."""
    for ns, dev, name in ((pair.red, "x", "x.5"), (pair.blue, "y", "y.5")):
        ns.add_device(name, kind="vlan", parent=ns.devices[dev], vid=5)
    below, above, sender = pair.packet(pair.blue, 0x8100), pair.packet(pair.blue, TEST), pair.packet(pair.red, 0)
    above.bind(("y.5", 0))
    sender.sendto(frame(), ("x.5", 0))
    ((tagged, name),) = waiting(below)
    assert (tagged, name[:2]) == (frame()[:12] + b"\x81\0\0\5" + frame()[12:], ("y", 0x8100))
    assert waiting(above) == [(frame(), ("y.5", TEST, HOST, 1, MACS[0]))]
    assert sender.sendto(frame()[:12] + b"\x81\0\0\5" + frame(bytes(1500))[12:], ("x", 0)) == 1518
    with pytest.raises(OSError, match="too long"):
        sender.sendto(frame()[:12] + b"\x81\0\0\5" + frame(bytes(1501))[12:], ("x", 0))


def test_it_is_bounded_and_counts(pair: Pair) -> None:
    """packet(7) PACKET_STATISTICS: frames seen, and those of them that did not fit; asking clears."""
    hears, sender = pair.packet(pair.blue, TEST), pair.packet(pair.red, 0)
    hears.setsockopt(1, 8, 2000)
    for _ in range(20):
        sender.sendto(frame(bytes(986)), ("x", 0))
    assert hears.charged == 2 * (1000 + 768) <= hears.rcvbuf == 4000
    assert struct.unpack("=II", hears.getsockopt(SOL_PACKET, STATISTICS, 8)) == (20, 18)
    assert hears.getsockopt(SOL_PACKET, STATISTICS, 8) == bytes(8)
    assert hears.drops == 18
    assert len(waiting(hears)) == 2
    assert hears.charged == 0


def test_memberships(pair: Pair) -> None:
    """packet(7) PACKET_ADD_MEMBERSHIP: accepted for devices that there are; every frame is seen anyway."""
    sock = pair.packet(pair.blue, TEST)
    join = struct.pack("=iHH8s", pair.y.ifindex, 1, 0, bytes(8))
    for option in (ADD, DROP, DROP):
        sock.setsockopt(SOL_PACKET, option, join)
    for value, code in (
        (struct.pack("=iHH8s", 99, 1, 0, bytes(8)), errno.ENODEV),
        (struct.pack("=iHH8s", pair.y.ifindex, 0, 3, bytes(8)), errno.EINVAL),
        (join[:-1], errno.EINVAL),
    ):
        with pytest.raises(OSError) as caught:
            sock.setsockopt(SOL_PACKET, ADD, value)
        assert caught.value.errno == code
    for level, option in ((SOL_PACKET, 99), (0, 2)):
        with pytest.raises(OSError, match="Protocol not available"):
            sock.setsockopt(level, option, 1)
        with pytest.raises(OSError, match="Protocol not available"):
            sock.getsockopt(level, option)


def test_a_superframe_is_one_frame(pair: Pair) -> None:
    """packet(7): what a device takes whole is shown whole, as the kernel shows it."""
    hears = pair.packet(pair.red, IP)
    dev = pair.red.add_device("tap", MACS[1])
    dev.vnet_hdr = dev.offload = True
    packet = superframes.Packet(superframes.TCP, "10.0.0.9", "10.0.0.1", bytes(5000))
    data = MACS[1] + MACS[0] + b"\x08\0" + packet.raw()
    pair.stack.receive(dev, bytearray(packet.vnet(1000) + data), 1)
    ((seen, name),) = waiting(hears)
    assert (len(seen), name[0]) == (len(data), "tap")


def test_errors_of_sending(pair: Pair) -> None:
    """packet(7): no device ENXIO, none of that name ENODEV, one that is down ENETDOWN, too much EMSGSIZE, too little
    EINVAL."""
    sock = pair.packet(pair.red, 0)
    for data, where, code in (
        (frame(), ("nothing", 0), errno.ENODEV),
        (frame(bytes(1501)), ("x", 0), errno.EMSGSIZE),
        (frame()[:13], ("x", 0), errno.EINVAL),
    ):
        with pytest.raises(OSError) as caught:
            sock.sendto(data, where)
        assert caught.value.errno == code
    with pytest.raises(OSError) as caught:
        sock.send(frame())
    assert caught.value.errno == errno.ENXIO
    pair.red.set_device("x", up=False)
    with pytest.raises(OSError) as caught:
        sock.sendto(frame(), ("x", 0))
    assert caught.value.errno == errno.ENETDOWN
    for call, arguments in ((sock.connect, (("x", 0),)), (sock.getpeername, ()), (sock.shutdown, (2,))):
        with pytest.raises(OSError) as caught:
            call(*arguments)
        assert caught.value.errno == errno.EOPNOTSUPP
    with pytest.raises(OSError, match="Invalid"):
        sock.sendmsg([frame()], [(0, 2, b"\0\0\0\1")], 0, ("x", 0))
    for wrong in ("x", ("x",), ("x", "y"), (b"x", 0)):
        with pytest.raises(TypeError):
            sock.sendto(frame(), wrong)
    with pytest.raises(OverflowError):
        sock.bind(("x", 65536))


def test_reading(pair: Pair) -> None:
    """recv(2): cut with MSG_TRUNC, MSG_PEEK, into a buffer; EAGAIN; closed EBADF; destroyed ECONNABORTED."""
    hears, sender = pair.packet(pair.blue, TEST, c.SOCK_DGRAM), pair.packet(pair.red, 0)
    for _ in range(4):
        sender.sendto(frame(b"0123456789"), ("x", 0))
    assert hears.recv(4, c.MSG_PEEK) == b"0123"
    data, messages, flags, _ = hears.recvmsg(4)
    assert (data, messages, flags) == (b"0123", [], c.MSG_TRUNC)
    buffer = bytearray(6)
    assert hears.recvfrom_into(buffer, 0, c.MSG_TRUNC)[0] == 10
    assert hears.recv_into(buffer) == 6
    assert buffer == b"012345"
    assert hears.recv(99) == b"0123456789"
    with pytest.raises(BlockingIOError):
        hears.recv(1)
    hears.destroy()
    with pytest.raises(OSError) as caught:
        hears.recv(1)
    assert caught.value.errno == errno.ECONNABORTED
    hears.close()
    with pytest.raises(OSError) as caught:
        hears.recv(1)
    assert caught.value.errno == errno.EBADF


def test_over_a_wire() -> None:
    """A frame that a program makes is a frame like others: it goes out by a wire, and what comes is heard first."""
    with Lab() as lab:
        a, b = lab.line("a", "b")
        watch = a.ns.socket(c.AF_PACKET, c.SOCK_RAW, 0x0008)
        assert a.ping(b) is not None
        assert [(name[0], name[1], name[2]) for _, name in waiting(watch)] == [("b", IP, HOST)]
        sender = a.ns.socket(c.AF_PACKET, c.SOCK_DGRAM, 0)
        mac = b.device_towards(a).mac
        sender.sendto(frames.ipv4_udp(a.addr, b.addr, 5, 9, b"made"), ("b", IP, 0, 0, mac), now=lab.now)
        port = b.udp(9)
        lab.run_for(1)
        assert port.recv().data == b"made"
        for sock in (watch, sender):
            sock.close(now=lab.now)
