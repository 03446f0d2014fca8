"""VLAN devices: what a tag leads to, what is sent with one, and what a device has of the one below.

::

    a ── lan ─┬─ v100 10.1.0.1/24      802.1Q 100
              ├─ v200 10.2.0.1/24      802.1Q 200
              └─ s7 ── q5 10.5.0.1/24  802.1ad 7, in it 802.1Q 5
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.path.bed import Bed, Station
from vrouter.stack.base.drop import DropReason
from vrouter.stack.base.packet import Packet
from vrouter.stack.capture import Capture
from vrouter.stack.device import Device
from vrouter.stack.l2.vlan import pop_tag, push_tag
from vrouter.stack.netns import Netns
from vrouter.testing import frames

QINQ = 0x88A8
VLAN = 0x8100


class Trunk:
    """The drawing above; the station a speaks every VLAN."""

    def __init__(self) -> None:
        self.bed = Bed()
        self.ns: Netns = self.bed.stack.add_netns("r")
        self.a: Station = self.bed.station(self.ns, "lan")
        self.lan: Device = self.a.dev
        add = self.ns.add_device
        self.v100 = add("v100", kind="vlan", parent="lan", vid=100)
        self.v200 = add("v200", kind="vlan", parent="lan", vid=200)
        self.s7 = add("s7", kind="vlan", parent="lan", vid=7, protocol="802.1ad")
        self.q5 = add("q5", kind="vlan", parent="s7", vid=5)
        for number, dev in ((1, self.v100), (2, self.v200), (5, self.q5)):
            self.ns.add_address(dev, f"10.{number}.0.1/24")
            self.ns.neigh4.add_static(dev, 0x0A000002 + (number << 16), self.a.mac, 0)
        self.ns.sysctl["net.ipv4.ip_forward"] = 1
        self.bed.settle()

    def tagged(self, packet: bytes, *tags: tuple[int, int], dst: bytes | None = None) -> bytes:
        """A frame of a with these tags (TPID, TCI), outermost first."""
        types = [tpid for tpid, _ in tags[1:]] + [0x0800]
        stack = b"".join(
            tci.to_bytes(2, "big") + kind.to_bytes(2, "big") for (_, tci), kind in zip(tags, types, strict=True)
        )
        return frames.ethernet(dst or self.lan.mac, self.a.mac, tags[0][0], stack + packet)

    def echo(self, number: int) -> bytes:
        return frames.ipv4_echo(f"10.{number}.0.2", f"10.{number}.0.1")


@pytest.fixture
def trunk() -> Iterator[Trunk]:
    """The drawing above; the accounts balance at the end."""
    found = Trunk()
    yield found
    found.bed.close()


def test_a_tag_leads_to_its_device_and_is_put_on_again(trunk: Trunk) -> None:
    """802.1Q 9.6: a frame of VLAN 100 is one that came in by v100; the answer has the tag. One packet, two levels."""
    with trunk.bed.expect(
        trunk.ns,
        rx={"lan": 1, "v100": 1},
        tx={"lan": 1, "v100": 1},
        IpInReceives=1,
        IpInDelivers=1,
        IcmpInMsgs=1,
        IcmpInEchos=1,
        IcmpOutMsgs=1,
        IcmpOutEchoReps=1,
        IpOutRequests=1,
    ):
        trunk.a.send_frame(trunk.tagged(trunk.echo(1), (VLAN, 100)))
    (answer,) = trunk.a.received
    assert answer[:18] == trunk.a.mac + trunk.lan.mac + bytes.fromhex("810000640800")
    assert (trunk.v100.rx_bytes, trunk.lan.rx_bytes - trunk.v100.rx_bytes) == (42, 4)
    assert (trunk.lan.tx_bytes - trunk.v100.tx_bytes) % 4 == 0


def test_two_tags(trunk: Trunk) -> None:
    """802.1ad: the service tag leads to s7, the customer's inside it to q5, and both are on the answer."""
    trunk.a.send_frame(trunk.tagged(trunk.echo(5), (QINQ, 7), (VLAN, 5)))
    (answer,) = trunk.a.received
    assert answer[12:22] == bytes.fromhex("88a80007810000050800")
    assert [dev.rx_packets for dev in (trunk.lan, trunk.s7, trunk.q5)] == [1, 1, 1]


def test_priority_does_not_matter(trunk: Trunk) -> None:
    """802.1Q 6.9: the VLAN is the id's; priority and drop eligibility may be anything, and go back as 0."""
    trunk.a.send_frame(trunk.tagged(trunk.echo(1), (VLAN, 0xF064)))
    assert trunk.a.received[0][12:16] == bytes.fromhex("81000064")


def test_a_priority_tag_is_the_device_s_own(trunk: Trunk) -> None:
    """802.1Q 6.9: VLAN id 0 carries a priority alone; the frame belongs to the untagged network."""
    trunk.ns.add_address("lan", "10.9.0.1/24")
    trunk.ns.neigh4.add_static(trunk.lan, 0x0A090002, trunk.a.mac, 0)
    trunk.bed.settle()
    trunk.a.send_frame(trunk.tagged(trunk.echo(9), (VLAN, 0xE000)))
    assert trunk.a.received[0][12:14] == b"\x08\x00"


@pytest.mark.parametrize(
    "tags",
    [[(VLAN, 101)], [(QINQ, 100)], [(VLAN, 7)], [(VLAN, 0), (VLAN, 100)]],
    ids=["id", "protocol", "both", "inner"],
)
def test_other_tags_are_nobody_s(trunk: Trunk, tags: list[tuple[int, int]]) -> None:
    """Another id, the same id of another protocol, a VLAN behind a priority tag: no device has it."""
    with trunk.bed.expect(trunk.ns, rx={"lan": 1}, drops={DropReason.NS_UNMAPPED: 1}):
        trunk.a.send_frame(trunk.tagged(trunk.echo(1), *tags))


@pytest.mark.parametrize(
    ("size", "reason"),
    [(13, DropReason.PKT_TOO_SMALL), (16, DropReason.PKT_TOO_SMALL), (1900, DropReason.FRAME_TOO_LONG)],
)
def test_lengths(trunk: Trunk, size: int, reason: DropReason) -> None:
    """802.3: a frame that ends inside its tag, or longer than MTU, header and the tags that there may be."""
    frame = trunk.tagged(bytes(2000), (VLAN, 100))[:size]
    with trunk.bed.expect(trunk.ns, rx={"lan": 1}, drops={reason: 1}):
        trunk.a.send_frame(frame)


def test_full_frames_with_all_their_tags(trunk: Trunk) -> None:
    """An MTU of 1500 bytes is 1500 bytes of IP packet however many tags are around it."""
    packet = frames.ipv4_udp("10.5.0.2", "10.2.0.2", 1, 7, bytes(1472))
    frame = trunk.tagged(packet, (QINQ, 7), (VLAN, 5))
    assert len(frame) == 1522
    trunk.a.send_frame(frame)
    (out,) = trunk.a.received
    assert len(out) == 1518
    assert out[12:18] == bytes.fromhex("810000c80800")


def test_captures_see_each_level(trunk: Trunk) -> None:
    """A watcher of the device below sees tags, one of the VLAN does not."""
    seen = {name: Capture() for name in ("lan", "v100", "v200")}
    for name, capture in seen.items():
        capture.attach(trunk.ns.device(name))
    trunk.a.send_frame(trunk.tagged(trunk.echo(1), (VLAN, 100)))
    types = {name: [frame.data[12:14].hex() for frame in capture.take()] for name, capture in seen.items()}
    assert types == {"lan": ["8100", "8100"], "v100": ["0800", "0800"], "v200": []}


# -- what it has of the device below -----------------------------------------------------------------------------------


def test_state_follows(trunk: Trunk) -> None:
    """A vlan device has a carrier while the device below is up and has one, through all levels."""

    def states() -> list[str]:
        return [dev.state for dev in (trunk.v100, trunk.s7, trunk.q5)]

    trunk.ns.set_device("lan", up=False, now=trunk.bed.now)
    assert states() == ["no-carrier"] * 3
    assert trunk.v100.error == "the device below is down"
    trunk.ns.set_device("lan", up=True, now=trunk.bed.now)
    assert states() == ["up"] * 3
    trunk.ns.set_carrier(trunk.lan, False, "unplugged", trunk.bed.now)
    trunk.ns.set_device("v100", up=False, now=trunk.bed.now)
    assert states() == ["down", "no-carrier", "no-carrier"]
    trunk.ns.set_carrier(trunk.lan, True, "", trunk.bed.now)
    assert states() == ["down", "up", "up"]
    assert trunk.v100.error == ""


def test_a_vlan_that_is_down(trunk: Trunk) -> None:
    """Its frames die there; the device below and the other VLANs go on."""
    trunk.ns.set_device("v100", up=False, now=trunk.bed.now)
    with trunk.bed.expect(trunk.ns, rx={"lan": 1, "v100": 1}, drops={DropReason.DEV_READY: 1}):
        trunk.a.send_frame(trunk.tagged(trunk.echo(1), (VLAN, 100)))
    trunk.a.send_frame(trunk.tagged(trunk.echo(2), (VLAN, 200)))
    assert len(trunk.a.received) == 1


def test_mtu(trunk: Trunk) -> None:
    """Its MTU is its parent's by default and at most, and follows it down, not up."""
    assert (trunk.v100.mtu, trunk.q5.mtu) == (1500, 1500)
    with pytest.raises(OSError, match="more than that of 'lan'"):
        trunk.ns.set_device("v100", mtu=1501)
    with pytest.raises(OSError, match="more than that of 'lan'"):
        trunk.ns.add_device("v9", kind="vlan", parent="lan", vid=9, mtu=1501)
    trunk.ns.set_device("v100", mtu=1400)
    trunk.ns.set_device("lan", mtu=1450)
    assert [dev.mtu for dev in (trunk.v100, trunk.s7, trunk.q5)] == [1400, 1450, 1450]
    trunk.ns.set_device("lan", mtu=9000)
    assert [dev.mtu for dev in (trunk.v100, trunk.s7, trunk.q5)] == [1400, 1450, 1450]


def test_mac(trunk: Trunk) -> None:
    """Its MAC is its parent's and changes with it, until it has its own; neighbours keep their entries."""
    trunk.ns.set_device("v200", mac="02:00:00:00:02:00", now=trunk.bed.now)
    trunk.ns.set_device("lan", mac="02:00:00:00:00:11", now=trunk.bed.now)
    assert [dev.mac.hex() for dev in (trunk.v100, trunk.q5, trunk.v200)] == [
        "020000000011",
        "020000000011",
        "020000000200",
    ]
    trunk.bed.settle()
    trunk.a.send_frame(trunk.tagged(trunk.echo(1), (VLAN, 100)))
    assert trunk.a.received[0][6:12].hex() == "020000000011"
    trunk.a.send_frame(trunk.tagged(trunk.echo(2), (VLAN, 200), dst=bytes.fromhex("020000000200")))
    assert trunk.a.received[1][6:12].hex() == "020000000200"
    assert trunk.ns.macs == {
        bytes(6): 1,
        bytes.fromhex("020000000011"): 4,
        bytes.fromhex("020000000200"): 1,
    }


def test_a_new_mac_is_announced(trunk: Trunk) -> None:
    """RFC 5227 3: neighbours hear of another link address for an address that they may know."""
    trunk.ns.set_device("v100", mac="02:00:00:00:01:00", now=trunk.bed.now)
    told = [frame for frame in trunk.a.received if frame[16:18] == b"\x08\x06"]
    assert {frame[6:12].hex() for frame in told} == {"020000000100"}


def test_it_goes_with_its_parent(trunk: Trunk) -> None:
    """Removing the device below removes all above it; removing one VLAN leaves the others."""
    trunk.bed.stack.remove_device(trunk.v100)
    with trunk.bed.expect(trunk.ns, rx={"lan": 1}, drops={DropReason.NS_UNMAPPED: 1}):
        trunk.a.send_frame(trunk.tagged(trunk.echo(1), (VLAN, 100)))
    trunk.bed.stack.remove_device(trunk.s7)
    assert sorted(trunk.ns.devices) == ["lan", "lo", "v200"]
    trunk.bed.stack.remove_device(trunk.lan)
    assert sorted(trunk.ns.devices) == ["lo"]
    assert trunk.ns.vlan_rows() == []


def test_a_device_without_vlans_is_as_before(trunk: Trunk) -> None:
    """The last VLAN gone, nothing is left on the data path of the device below."""
    assert trunk.lan.layered
    for dev in (trunk.v100, trunk.v200, trunk.s7):
        trunk.bed.stack.remove_device(dev)
    assert (trunk.lan.layered, trunk.lan.vlans) == (False, None)


def test_it_goes_with_its_namespace(trunk: Trunk) -> None:
    """A namespace with VLANs on VLANs ends, and its accounts are right."""
    trunk.a.send_frame(trunk.tagged(trunk.echo(5), (QINQ, 7), (VLAN, 5)))
    trunk.bed.stack.remove_netns("r")
    assert trunk.bed.stack.namespaces == {}


def test_rows(trunk: Trunk) -> None:
    """What `show` has of them."""
    rows = [(row["dev"], row["parent"], row["vid"], row["protocol"]) for row in trunk.ns.vlan_rows()]
    assert rows == [
        ("v100", "lan", 100, "802.1Q"),
        ("v200", "lan", 200, "802.1Q"),
        ("s7", "lan", 7, "802.1ad"),
        ("q5", "s7", 5, "802.1Q"),
    ]


@pytest.mark.parametrize(
    ("options", "wrong"),
    [
        ({"parent": "lan", "vid": 0}, 22),
        ({"parent": "lan", "vid": 4095}, 22),
        ({"parent": "lan", "vid": 100}, 17),
        ({"parent": "lan", "vid": 9, "protocol": "802.1x"}, 22),
        ({"parent": "lo", "vid": 9}, 22),
        ({"parent": "nowhere", "vid": 9}, 19),
        ({"vid": 9}, 22),
    ],
    ids=str,
)
def test_mistakes(trunk: Trunk, options: dict[str, object], wrong: int) -> None:
    """EINVAL for what is no VLAN, EEXIST for one that is a device already, ENODEV without a parent; nothing is left."""
    before = set(trunk.ns.devices)
    with pytest.raises(OSError) as caught:
        trunk.ns.add_device("v9", kind="vlan", **options)
    assert caught.value.errno == wrong
    assert set(trunk.ns.devices) == before


def test_depth(trunk: Trunk) -> None:
    """As in Linux no more than eight devices stand on one another."""
    below = "q5"
    for n in range(3, 8):
        trunk.ns.add_device(f"d{n}", kind="vlan", parent=below, vid=1)
        below = f"d{n}"
    with pytest.raises(OSError) as caught:
        trunk.ns.add_device("d8", kind="vlan", parent=below, vid=1)
    assert caught.value.errno == 40


def test_it_stays_where_it_is(trunk: Trunk) -> None:
    """A VLAN goes to another namespace as an ingress tag; neither it nor the device below can be moved."""
    blue = trunk.bed.stack.add_netns("blue")
    for dev in (trunk.v100, trunk.lan):
        with pytest.raises(OSError) as caught:
            trunk.bed.stack.move_device(dev, blue)
        assert caught.value.errno == 16


# -- over other devices ------------------------------------------------------------------------------------------------


def test_over_a_pair(empty: Bed) -> None:
    """VLANs over both ends of a veth pair are a link."""
    red, blue = empty.stack.add_netns("red"), empty.stack.add_netns("blue")
    empty.stack.add_veth(red, "x", blue, "y")
    for ns, parent, address in ((red, "x", "10.3.0.1/24"), (blue, "y", "10.3.0.2/24")):
        ns.add_device("v3", kind="vlan", parent=parent, vid=3)
        ns.add_address("v3", address)
    empty.settle()
    receiver, sender = empty.udp(7, ns=blue), empty.udp(ns=red)
    sender.sendto(b"hello", ("10.3.0.2", 7), now=empty.now)
    assert empty.received(receiver) == [b"hello"]
    # What red announced came before blue had the VLAN.
    assert blue.device("y").rx_packets - blue.device("v3").rx_packets == blue.drop_counts()["NS_UNMAPPED"] == 1


def test_over_a_bridge(empty: Bed) -> None:
    """A VLAN over a bridge device: the host's tagged frames are relayed, and those for it come up."""
    ns = empty.stack.add_netns("r")
    ns.add_device("br0", kind="bridge")
    one, two = (empty.station(ns, name) for name in ("p0", "p1"))
    for name in ("p0", "p1"):
        ns.set_port(name, bridge="br0")
    v8 = ns.add_device("v8", kind="vlan", parent="br0", vid=8)
    ns.add_address("v8", "10.8.0.1/24")
    ns.neigh4.add_static(v8, 0x0A080002, one.mac, 0)
    empty.settle()
    echo = frames.ipv4_echo("10.8.0.2", "10.8.0.1")
    one.send_frame(frames.ethernet(v8.mac, one.mac, 0x0800, echo, vlan=8))
    assert [frame[12:16].hex() for frame in one.received] == ["81000008"]
    assert two.received == []


# -- half-finished checksums -------------------------------------------------------------------------------------------


def test_the_checksum_s_place_stays() -> None:
    """VIRTIO 1.2 5.1.6: the sum begins at the transport header, however many tags come in front of it."""
    pkt = Packet.from_frame(bytes(100))
    pkt.gso_size, pkt.csum_start, pkt.csum_offset = 1448, pkt.start + 34, 16
    other = pkt.copy()
    push_tag(pkt, VLAN, 100)
    assert (pkt.csum_start - pkt.start, len(pkt)) == (38, 104)
    assert pkt.data()[12:16].hex() == "81000064"
    assert (other.csum_start - other.start, other.csum_offset, other.gso_size) == (34, 16, 1448)
    pop_tag(pkt)
    assert (pkt.csum_start - pkt.start, len(pkt)) == (34, 100)


def test_room_is_made_for_tags() -> None:
    """A frame without headroom gets some: tags stack to any depth."""
    pkt = Packet(bytearray(range(60)), 0, 60)
    for tci in range(40):
        push_tag(pkt, VLAN, tci)
    assert len(pkt) == 220
    for _ in range(40):
        pop_tag(pkt)
    assert pkt.data() == bytes(range(60))
