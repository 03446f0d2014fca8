"""Superframes on their way through the stack: whole where they fit, segments where not, counted as a wire carries them.

::

    a 10.0.1.2, fd00:1::2 ══ device a ── r ── device b ══ 10.0.2.2, fd00:2::2 b
         virtio-net header, offload           virtio-net header, offload, unless a test takes it away
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.path.superframe_line import COUNT, OFFERED, PLAIN, SIZE, Line, both_families, finished, whole
from tests.superframes import (
    ACK,
    CWR,
    ECE,
    FIN,
    IPV4,
    IPV6,
    PSH,
    TIMESTAMPS,
    Packet,
    pattern,
    read,
    read_ip,
    vnet,
)
from vrouter.stack.base.addresses import parse_ipv6
from vrouter.stack.base.drop import DropReason
from vrouter.stack.capture import Capture
from vrouter.stack.l4 import constants as c
from vrouter.testing import frames


@pytest.fixture
def line() -> Iterator[Line]:
    one = Line()
    yield one
    one.bed.close()


@both_families
def test_routed_whole(line: Line, name: str) -> None:
    """VIRTIO 1.2 5.1.6.2: the header goes along, the checksum stays half-finished, the counters count segments."""
    packet = OFFERED[name]
    size = COUNT * (14 + packet.header + SIZE)
    before = line.a.dev.rx_bytes, line.b.dev.tx_bytes
    in_, out = ("IpInReceives", "IpForwDatagrams") if packet.version == 4 else ("Ip6InReceives", "Ip6OutForwDatagrams")
    counts = {in_: 1, out: 1, "AcctAbsorbed": COUNT - 1, "AcctFragments": COUNT - 1}
    with line.bed.expect(line.r, rx={"a": COUNT}, tx={"b": COUNT}, **counts):
        line.send(packet)
    assert whole(line.b) == [packet.later(ttl=63)]
    assert (line.a.dev.rx_bytes - before[0], line.b.dev.tx_bytes - before[1]) == (size, size)


@both_families
def test_routed_to_a_device_without_offload(line: Line, name: str) -> None:
    """RFC 9293 3.1: sequence numbers, FIN and PSH in the last, CWR in the first (RFC 3168 6.1.2), timestamps in all;
    RFC 768: datagrams of their own."""
    line.b.dev.offload = False
    packet = OFFERED[name]
    with line.bed.expect(line.r, rx={"a": COUNT}, tx={"b": COUNT}, **forwarded(packet)):
        line.send(packet)
    found = finished(line.b)
    assert found == packet.later(ttl=63).segments(SIZE)
    if packet.proto == 6:
        assert [one.flags for one in found] == [ACK | CWR | ECE, *[ACK | ECE] * (COUNT - 2), ACK | PSH | FIN | ECE]
        assert {one.options for one in found} == {TIMESTAMPS}


def forwarded(packet: Packet) -> dict[str, int]:
    in_, out = ("IpInReceives", "IpForwDatagrams") if packet.version == 4 else ("Ip6InReceives", "Ip6OutForwDatagrams")
    return {in_: 1, out: 1, "AcctAbsorbed": COUNT - 1, "AcctFragments": COUNT - 1}


def test_a_kernel_that_does_not_know_udp_superframes(line: Line) -> None:
    """Linux before 6.2: TCP goes whole, UDP in segments."""
    line.b.dev.uso = False
    line.send(OFFERED["udp6"])
    assert finished(line.b) == OFFERED["udp6"].later(ttl=63).segments(SIZE)
    line.b.clear()
    line.send(OFFERED["tcp6"])
    assert whole(line.b) == [OFFERED["tcp6"].later(ttl=63)]


@pytest.mark.parametrize("offload", [True, False])
@both_families
def test_a_half_finished_packet(line: Line, name: str, offload: bool) -> None:
    """VIRTIO 1.2 5.1.6.4.1: it stays half-finished where that is understood, and is finished elsewhere."""
    line.b.dev.offload = offload
    packet = OFFERED[name].later(payload=b"little")
    line.send(packet, 0)
    (frame,) = line.b.received
    assert frame[:12] == (packet.vnet() if offload else PLAIN)
    found = read(bytes(frame[12:]), half=offload)
    assert (found, found.checksums) == (packet.later(ttl=63, half=offload), True)


def test_a_wire_without_the_header(line: Line) -> None:
    """A device whose frames have no virtio-net header, as in the lab."""
    line.b.dev.vnet_hdr = line.b.dev.offload = False
    line.send(OFFERED["tcp4"])
    assert [read(bytes(frame)) for frame in line.b.received] == OFFERED["tcp4"].later(ttl=63).segments(SIZE)


# -- MTU ---------------------------------------------------------------------------------------------------------------


@both_families
def test_what_fits_is_the_segment(line: Line, name: str) -> None:
    """RFC 1191 4, RFC 8201 3: headers and gso_size against the next link's MTU, to the byte."""
    packet = OFFERED[name]
    line.r.set_device("b", mtu=packet.header + SIZE if packet.version == 4 else 1280, now=line.bed.now)
    fits = SIZE if packet.version == 4 else 1280 - packet.header
    line.send(packet, fits)
    (frame,) = line.b.received
    assert read(bytes(frame[12:]), half=True).payload == packet.payload
    line.b.clear()
    line.send(packet, fits + 1)
    assert line.b.received == []
    (answer,) = line.a.received
    line.a.clear()
    assert answer[12 + 12 : 12 + 14] == packet_type(packet)


def packet_type(packet: Packet) -> bytes:
    return (IPV4 if packet.version == 4 else IPV6).to_bytes(2, "big")


def test_too_big_for_ipv4(line: Line) -> None:
    """RFC 1191 4: Fragmentation Needed with the MTU. It quotes the first segment, as its sender's wire would have
    carried it, with a checksum that is right."""
    packet = OFFERED["tcp4"]
    line.r.set_device("b", mtu=900, now=line.bed.now)
    with line.bed.expect(
        line.r,
        rx={"a": COUNT},
        tx={"a": 1},
        drops={DropReason.PKT_TOO_BIG: COUNT},
        IpInReceives=1,
        IpFragFails=1,
        IcmpOutMsgs=1,
        IcmpOutDestUnreachs=1,
        IpOutRequests=1,
        AcctOriginated=1,
        AcctAbsorbed=COUNT - 1,
        AcctFragments=COUNT - 1,
    ):
        line.send(packet)
    (answer,) = line.a.received
    icmp = answer[12 + 34 :]
    assert (icmp[0], icmp[1], int.from_bytes(icmp[6:8], "big")) == (3, 4, 900)
    first = packet.segments(SIZE)[0].raw()
    assert bytes(icmp[8:]) == first[: len(icmp) - 8]
    assert len(icmp) - 8 == 548


def test_too_big_for_ipv6(line: Line) -> None:
    """RFC 8201 4: Packet Too Big, which quotes the first segment."""
    packet = OFFERED["udp6"]
    line.r.set_device("b", mtu=1300, now=line.bed.now)
    line.send(packet, 1400)
    (answer,) = line.a.received
    icmp = answer[12 + 54 :]
    assert (icmp[0], icmp[1], int.from_bytes(icmp[4:8], "big")) == (2, 0, 1300)
    assert bytes(icmp[8:]) == packet.segments(1400)[0].raw()[: len(icmp) - 8]


@pytest.mark.parametrize("name", ["tcp4", "udp4"])
def test_without_dont_fragment_into_segments_and_those_into_pieces(line: Line, name: str) -> None:
    """RFC 791 3.2: each segment is fragmented as it would be alone, under an identification of its own."""
    packet = OFFERED[name].later(dont_fragment=False)
    line.r.set_device("b", mtu=600, now=line.bed.now)
    with line.bed.expect(
        line.r,
        rx={"a": COUNT},
        tx={"b": 2 * COUNT},
        IpInReceives=1,
        IpForwDatagrams=1,
        IpFragOKs=COUNT,
        IpFragCreates=2 * COUNT,
        AcctConsumed=1 + COUNT,
        AcctAbsorbed=COUNT - 1,
        AcctFragments=COUNT + 2 * COUNT,
    ):
        line.send(packet)
    pieces = [bytes(frame[12 + 14 :]) for frame in line.b.received]
    whole_again = []
    for first, last in zip(pieces[::2], pieces[1::2], strict=True):
        assert first[4:6] == last[4:6]
        assert (first[6] & 0x20, last[6] & 0x20) == (0x20, 0)
        joined = bytearray(first + last[20:])
        joined[2:4] = len(joined).to_bytes(2, "big")
        joined[6:8] = joined[10:12] = bytes(2)
        words = sum(int.from_bytes(joined[at : at + 2], "big") for at in range(0, 20, 2))
        joined[10:12] = (0xFFFF - words % 0xFFFF).to_bytes(2, "big")
        whole_again.append(read_ip(bytes(joined)))
    assert whole_again == packet.later(ttl=63).segments(SIZE)
    assert all(one.checksums for one in whole_again)


def test_the_last_hop_of_a_ttl(line: Line) -> None:
    """RFC 1812 5.3.1: one Time Exceeded for a superframe, about its first segment."""
    packet = OFFERED["udp4"].later(ttl=1)
    line.send(packet)
    (answer,) = line.a.received
    assert answer[12 + 34 : 12 + 36] == b"\x0b\x00"
    assert bytes(answer[12 + 42 :]) == packet.segments(SIZE)[0].raw()[:548]


# -- delivered ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["udp4", "udp6"])
def test_datagrams_are_read_one_by_one(line: Line, name: str) -> None:
    """RFC 768: a socket reads datagrams, however many of them came in one frame."""
    packet = OFFERED[name].later(dst="10.0.1.1" if name == "udp4" else "fd00:1::1")
    sock = line.r.socket(c.AF_INET if name == "udp4" else c.AF_INET6)
    sock.bind(("", packet.dport), now=line.bed.now)
    stats = ("IpInReceives", "IpInDelivers", "UdpInDatagrams")
    names = stats if name == "udp4" else ("Ip6InReceives", "Ip6InDelivers", "Udp6InDatagrams")
    counts = dict(zip(names, (1, 1, COUNT), strict=True))
    split = {"AcctAbsorbed": COUNT - 1, "AcctConsumed": 1, "AcctFragments": COUNT, "AcctDelivered": COUNT}
    with line.bed.expect(line.r, rx={"a": COUNT}, **counts, **split):
        line.send(packet)
    found = [sock.recv(9000) for _ in range(COUNT)]
    assert found == [one.payload for one in packet.segments(SIZE)]
    sock.close()


def test_datagrams_for_nobody(line: Line) -> None:
    """RFC 1122 3.2.2.1: Port Unreachable about each, as far as the limit allows."""
    packet = OFFERED["udp4"].later(dst="10.0.1.1", payload=bytes(3 * SIZE))
    line.send(packet)
    assert line.r.drop_counts()["NO_SOCKET"] == 3
    quoted = [bytes(frame[12 + 42 :]) for frame in line.a.received]
    assert [one[:20] for one in quoted] == [one.raw()[:20] for one in packet.segments(SIZE)]


@pytest.mark.parametrize("name", ["udp4", "udp6"])
def test_a_half_finished_datagram_needs_no_check(line: Line, name: str) -> None:
    """VIRTIO 1.2 5.1.6.4: it never was on a wire."""
    packet = OFFERED[name].later(dst="10.0.1.1" if name == "udp4" else "fd00:1::1", payload=b"data")
    sock = line.r.socket(c.AF_INET if name == "udp4" else c.AF_INET6)
    sock.bind(("", packet.dport), now=line.bed.now)
    line.send(packet, 0)
    assert sock.recv(100) == b"data"
    sock.close()


# -- between namespaces ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("offload", [True, False])
@both_families
def test_through_a_veth(line: Line, name: str, offload: bool) -> None:
    """A pair carries superframes whole, as Linux's does: two namespaces, one segmentation at the end."""
    other = line.bed.stack.add_netns("other")
    other.sysctl["net.ipv4.ip_forward"] = 1
    other.sysctl["net.ipv6.conf.all.forwarding"] = 1
    v0, v1 = line.bed.stack.add_veth(line.r, "v0", other, "v1", now=line.bed.now)
    c0 = line.station("c", 3, netns="other")
    for ns, dev, mine in ((line.r, v0, 1), (other, v1, 2)):
        ns.add_address(dev, f"10.0.9.{mine}/24", now=line.bed.now)
        ns.add_address(dev, f"fd00:9::{mine}/64", now=line.bed.now)
    line.r.add_route("10.0.3.0/24", "10.0.9.2", now=line.bed.now)
    line.r.add_route("fd00:3::/64", "fd00:9::2", now=line.bed.now)
    line.quiet()
    c0.dev.offload = offload
    packet = OFFERED[name].later(dst="10.0.3.2" if "4" in name else "fd00:3::2")
    line.send(packet.later(payload=b"who is there"), 0)
    line.bed.run_for(2)
    c0.clear()
    before = (v0.tx_packets, v1.rx_packets, v1.rx_bytes)
    line.send(packet)
    wanted = packet.later(ttl=62)
    assert (whole(c0) if offload else finished(c0)) == ([wanted] if offload else wanted.segments(SIZE))
    size = COUNT * (14 + packet.header + SIZE)
    assert (v0.tx_packets, v1.rx_packets, v1.rx_bytes) == (before[0] + COUNT, before[1] + COUNT, before[2] + size)


@both_families
def test_through_a_short_cut(line: Line, name: str) -> None:
    """Crossings carry them whole, and count what they stand for."""
    other = line.bed.stack.add_netns("other", accept_from=["r"])
    other.sysctl["net.ipv4.ip_forward"] = 1
    other.sysctl["net.ipv6.conf.all.forwarding"] = 1
    c0 = line.station("c", 3, netns="other")
    line.r.add_route("10.0.3.0/24", netns="other", now=line.bed.now)
    line.r.add_route("fd00:3::/64", netns="other", now=line.bed.now)
    line.quiet()
    packet = OFFERED[name].later(dst="10.0.3.2" if "4" in name else "fd00:3::2")
    line.send(packet)
    assert whole(c0) == [packet.later(ttl=63)]
    (row,) = [row for row in line.bed.stack.crossings() if row["from"] == "r"]
    assert (row["packets"], row["bytes"]) == (COUNT, COUNT * (packet.header + SIZE))


# -- layer 2 -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("offload", [True, False])
@both_families
def test_out_by_a_vlan(line: Line, name: str, offload: bool) -> None:
    """IEEE 802.1Q 9.6: the tag goes in front of the whole frame, or of each segment."""
    ns = line.r
    lan = ns.add_device("b5", kind="vlan", parent="b", vid=5, now=line.bed.now)
    ns.add_address(lan, "10.0.5.1/24", now=line.bed.now)
    ns.add_address(lan, "fd00:5::1/64", now=line.bed.now)
    ns.neigh4.add_static(lan, 0x0A000502, line.b.mac, line.bed.now)
    ns.neigh6.add_static(lan, parse_ipv6("fd00:5::2"), line.b.mac, line.bed.now)
    line.quiet()
    line.b.dev.offload = offload
    packet = OFFERED[name].later(dst="10.0.5.2" if "4" in name else "fd00:5::2")
    sent = lan.tx_packets, lan.tx_bytes, line.b.dev.tx_packets, line.b.dev.tx_bytes
    line.send(packet)
    wanted = packet.later(ttl=63)
    frames_ = line.b.received
    assert {bytes(frame[24:28]) for frame in frames_} == {b"\x81\x00\x00\x05"}
    found = [read(bytes(frame[12:]), half=offload) for frame in frames_]
    assert found == ([wanted] if offload else wanted.segments(SIZE))
    assert all(one.checksums for one in found)
    assert {frame[:12] for frame in frames_} == {packet.vnet(SIZE, link=18) if offload else PLAIN}
    size = packet.header + SIZE
    after = lan.tx_packets, lan.tx_bytes, line.b.dev.tx_packets, line.b.dev.tx_bytes
    difference = [new - old for new, old in zip(after, sent, strict=True)]
    assert difference == [COUNT, COUNT * (14 + size), COUNT, COUNT * (18 + size)]


@both_families
def test_in_by_a_vlan(line: Line, name: str) -> None:
    """The tag is taken off; the checksum's place stays the transport header."""
    ns = line.r
    lan = ns.add_device("a5", kind="vlan", parent="a", vid=5, now=line.bed.now)
    line.quiet()
    packet = OFFERED[name]
    ethertype = IPV4 if packet.version == 4 else IPV6
    tagged = frames.ethernet(lan.mac, line.a.mac, 0x8100, frames.vlan_tag(5, ethertype, packet.raw()))
    if packet.version == 4:
        ns.sysctl["net.ipv4.conf.a5.rp_filter"] = 0
    line.a.send_frame(packet.vnet(SIZE, link=18) + tagged)
    assert whole(line.b) == [packet.later(ttl=63)]
    assert (lan.rx_packets, lan.rx_bytes) == (COUNT, COUNT * (14 + packet.header + SIZE))


@both_families
def test_into_a_bridge(line: Line, name: str) -> None:
    """A superframe that is routed into a bridge is cut at the ports that cannot take it, and only there."""
    ns = line.r
    bridge = ns.add_device("br", kind="bridge", now=line.bed.now)
    ports = [line.bed.station(ns, f"p{n}", vnet_hdr=True) for n in range(2)]
    for n, station in enumerate(ports):
        ns.set_port(f"p{n}", bridge="br", now=line.bed.now)
        station.dev.offload = station.dev.uso = n == 0
    ns.add_address(bridge, "10.0.7.1/24", now=line.bed.now)
    ns.add_address(bridge, "fd00:7::1/64", now=line.bed.now)
    ns.neigh4.add_static(bridge, 0x0A000702, b"\x02\0\0\0\x77\x77", line.bed.now)
    ns.neigh6.add_static(bridge, parse_ipv6("fd00:7::2"), b"\x02\0\0\0\x77\x77", line.bed.now)
    line.quiet()
    packet = OFFERED[name].later(dst="10.0.7.2" if "4" in name else "fd00:7::2")
    line.send(packet)
    wanted = packet.later(ttl=63)
    assert whole(ports[0]) == [wanted]
    assert finished(ports[1]) == wanted.segments(SIZE)


# -- what else happens to packets --------------------------------------------------------------------------------------


def test_captures_see_what_passes(line: Line) -> None:
    """As tcpdump: the superframe whole where it came in, and where it leaves what leaves."""
    seen = {name: Capture() for name in ("a", "b")}
    for name, capture in seen.items():
        capture.attach(line.r.device(name))
    packet = OFFERED["tcp4"].later(payload=pattern(64_000))
    line.send(packet)
    (came,) = seen["a"].take()
    assert (came.length, read(came.data, half=True)) == (14 + packet.header + 64_000, packet)
    (went,) = seen["b"].take()
    assert read(went.data, half=True) == packet.later(ttl=63)
    line.b.dev.offload = False
    line.send(packet)
    assert [read(frame.data) for frame in seen["b"].take()] == packet.later(ttl=63).segments(SIZE)


def test_hooks_see_the_whole(line: Line) -> None:
    """Each hook is run once for a superframe, and can ask what it stands for."""
    seen = []

    class Rule:
        def run(self, hook: int, ns: object, pkt: object, now: int) -> int:
            seen.append((hook, pkt.segments(), pkt.wire_bytes()))
            return 0

    line.r.hooks = Rule()
    packet = OFFERED["tcp6"]
    line.send(packet)
    assert [(count, size) for _, count, size in seen] == [(COUNT, COUNT * (packet.header + SIZE))] * 3
    line.r.hooks = None


def test_waiting_for_a_neighbour(line: Line) -> None:
    """RFC 1122 2.3.2.2: it waits as one packet, and leaves as what the device takes."""
    packet = OFFERED["udp4"].later(dst="10.0.2.9")
    line.send(packet)
    line.b.dev.offload = False
    (asked,) = line.b.received
    assert asked[24:26] == b"\x08\x06"
    line.b.clear()
    reply = frames.arp_reply(line.b.mac, "10.0.2.9", line.b.dev.mac, "10.0.2.1")
    line.b.send_frame(PLAIN + line.b.frame(reply, ethertype=frames.ARP))
    assert finished(line.b) == packet.later(ttl=63).segments(SIZE)


def test_a_drop_counts_what_is_lost(line: Line) -> None:
    """Segments that did not arrive, not frames that were read."""
    line.r.set_device("b", up=False, now=line.bed.now)
    line.a.clear()
    before = line.a.dev.rx_drops
    line.send(OFFERED["tcp4"])
    assert line.a.dev.rx_drops - before == COUNT


def test_a_device_that_is_down(line: Line) -> None:
    """RFC 1812 3.3.6."""
    line.r.set_device("a", up=False, now=line.bed.now)
    with line.bed.expect(
        line.r, rx={"a": COUNT}, drops={DropReason.DEV_READY: COUNT}, AcctAbsorbed=COUNT - 1, AcctFragments=COUNT - 1
    ):
        line.send(OFFERED["tcp4"])


def test_what_the_driver_could_not_send(line: Line) -> None:
    """A superframe that is refused at last is as many as were counted."""
    packet = OFFERED["tcp4"]
    size = COUNT * (14 + packet.header + SIZE)
    line.send(packet)
    line.bed.flush()
    sent = line.b.dev.tx_packets, line.b.dev.tx_bytes
    line.bed.stack.egress_failed(line.b.dev, size, DropReason.TX_ERROR, COUNT)
    assert (line.b.dev.tx_packets, line.b.dev.tx_bytes) == (sent[0] - COUNT, sent[1] - size)
    assert line.b.dev.tx_drops == COUNT


# -- lies --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "header",
    [
        {"size": 0},
        {"gso": 4},
        {"gso": 5},
        {"start": 35},
        {"offset": 6},
        {"flags": 0},
        {"size": 1},
    ],
    ids=str,
)
def test_a_header_that_lies(line: Line, header: dict[str, int]) -> None:
    """VIRTIO 1.2 5.1.6.4: it ends the frame's way, and counts as one frame."""
    with line.bed.expect(line.r, rx={"a": 1}, drops={DropReason.VNET_HDR: 1}):
        line.send(OFFERED["tcp4"], **header)


@pytest.mark.parametrize("offload", [True, False])
def test_a_wrong_sum_stays_the_sender_s_own(line: Line, offload: bool) -> None:
    """Who lies in the half-finished checksum has sent packets with a wrong one; they go where they were sent to."""
    line.b.dev.offload = offload
    packet = OFFERED["tcp4"]
    raw = bytearray(packet.raw())
    raw[36] ^= 0xFF
    line.a.send_frame(packet.vnet(SIZE) + line.a.frame(bytes(raw)))
    found = [read(bytes(frame[12:]), half=offload) for frame in line.b.received]
    assert {one.checksums for one in found} == {False}
    assert found == ([packet.later(ttl=63)] if offload else packet.later(ttl=63).segments(SIZE))


def test_the_ip_header_is_out_of_reach(line: Line) -> None:
    """A checksum "of the IP header" is finished before the header is looked at: nothing changes behind a check."""
    packet = OFFERED["udp4"].later(payload=b"payload", half=False)
    line.b.dev.offload = False
    for offset in (2, 4):  # the length, the identification
        with line.bed.expect(line.r, rx={"a": 1}, drops={DropReason.IP_CSUM: 1}, IpInReceives=1):
            line.a.send_frame(vnet(1, start=14, offset=offset) + line.a.frame(packet.raw()))


# -- TCP of this host --------------------------------------------------------------------------------------------------
