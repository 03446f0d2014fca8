"""The fuzzer's short run, part of every test run, and tests of the fuzzer: it finds what it is there to find."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from random import Random
from struct import pack

import pytest

from tests.fuzz import captures, session
from tests.fuzz.forge_link import ForgeLink
from tests.fuzz.octets import mend, ones_sum, pseudo6, upper6
from tests.fuzz.wellformed import Witness
from tests.fuzz.wellformed6 import Witness6
from tests.fuzz.world import Action, World
from vrouter.stack.base.drop import DROP_TABLE
from vrouter.testing import frames as make
from vrouter.testing import frames6 as make6
from vrouter.testing.octets import ip6_int

ROOT = Path(__file__).parents[2]
FRAMES = 50_000
TCP_FRAMES = 6000
ETHERNET_FILE = 1


def test_fifty_thousand_frames(record_property: pytest.RecordProperty) -> None:
    """No exception, no table over its bound, exact accounts, well-formed egress: after each of many hostile actions.

    The captures of tcpdump's source package take part when they are in the cache or can be fetched; the run says which.
    """
    found = captures.load()
    record_property("captures", found.story)
    print(found.story)
    try:
        outcome = session.run(FRAMES, 1, found.frames)
    except session.Failure as failure:
        session.write(failure, path := Path(f"fuzz-{failure.seed}.json"))
        pytest.fail(f"{failure}: python -m tests.fuzz --replay {path}")
    assert outcome.frames >= FRAMES
    assert outcome.refused < outcome.actions / 4  # most of what is tried is possible


def test_peers_of_tcp() -> None:
    """Two namespaces over bad wires, and strangers who speak TCP and lie: every byte is right, every number in order,
    what was written arrives as soon as the wires are good; and segments die for each reason that is not rare."""
    outcome = session.run(TCP_FRAMES, 11, [], tcp=True)
    assert outcome.frames >= TCP_FRAMES
    reasons = {reason.name for reason in DROP_TABLE if reason.name.startswith("TCP_")}
    assert reasons - outcome.met <= {"TCP_OFO_QUEUE_PRUNE", "TCP_ZEROWINDOW", "TCP_OVERWINDOW", "TCP_CLOSE"}


def test_the_same_seed_gives_the_same_bytes() -> None:
    """What leaves depends on the seed and the inputs alone: not on the order of a set, nor on Python's hash seed."""
    command = [sys.executable, "-m", "tests.fuzz", "--frames", "4000", "--seed", "7", "--no-captures"]
    digests = []
    for hash_seed in ("1", "2"):
        environment = os.environ | {"PYTHONHASHSEED": hash_seed}
        run = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=True)
        digests.append(run.stdout.partition("digest ")[2].partition(":")[0])
    assert len(digests[0]) == 32
    assert digests[0] == digests[1]
    assert session.run(4000, 8, []).digest != digests[0]


def test_a_record_plays_again(tmp_path: Path) -> None:
    """The actions of a run, written down and read again, give the same bytes: a replay file is the whole story."""
    recorded: list[tuple[int, list[Action]]] = []
    session.run(1500, 3, [], recorded=recorded)
    ((seed, actions),) = recorded
    session.write(session.Failure(seed, actions, AssertionError("none")), tmp_path / "record.json")
    assert session.replay(tmp_path / "record.json").digest.digest() == session.play(seed, actions).digest.digest()


def _broken() -> list[Action]:
    """Actions of which one does what no driver does: it hands over a frame that is no bytes."""
    actions: list[Action] = [("add_netns", name, []) for name in "abcd"]
    actions += [("add_device", name, "e0", 1500, False, False) for name in "abcd"]
    actions += [("receive", "c", "e0", bytes(60)), ("poll", 5), ("receive", "b", "e0", "no bytes"), ("poll", 5)]
    return actions


def test_a_failure_is_found_and_made_short() -> None:
    """An exception out of `receive` is a failure at the action that caused it; what it does not need is left out."""
    with pytest.raises(session.Failure, match="TypeError") as caught:
        session.play(1, _broken())
    assert caught.value.actions == _broken()[:-1]
    short = session.shorten(caught.value)
    assert short.actions == [_broken()[1], _broken()[5], _broken()[10]]


def test_a_lost_packet_is_noticed() -> None:
    """The accounts are compared after each action: a packet that is counted nowhere ends the run."""
    world = World(1)
    world.apply(("add_netns", "a", []))
    world.apply(("add_device", "a", "e0", 1500, False, False))
    world.stack.namespaces["a"].devices["e0"].rx_packets += 1
    with pytest.raises(AssertionError, match="accounts"):
        world.apply(("poll", 1))


LINK = ForgeLink(Random(1))
IGMP = make.igmp_report("239.1.2.3")
MAC = bytes.fromhex("020000000001")
PEER = bytes.fromhex("020000000002")
GOOD = make.ethernet(PEER, MAC, make.IPV4, make.ipv4_udp("10.0.0.1", "10.0.0.2", 7, 7, b"data"))


def _changed(at: int, to: bytes, *, fix: bool = True) -> bytes:
    frame = bytearray(GOOD)
    frame[at : at + len(to)] = to
    if fix:
        mend(frame)
    return bytes(frame)


@pytest.mark.parametrize(
    ("frame", "complaint"),
    [
        (GOOD[:13], "without its header"),
        (_changed(6, PEER), "MAC as source"),
        (GOOD + bytes(1500), "at an MTU"),
        (_changed(12, b"\x88\x47", fix=False), "EtherType"),
        (_changed(6, b"\3"), "group's MAC as source"),
        (GOOD[:12] + b"\x81\0\0\5" + GOOD[12:], "a tag where there is no VLAN"),
        (LINK.frame(MAC, bytes(35)), "where there is no bridge"),
        (make.ethernet(PEER, MAC, make.IPV4, make.ipv4("10.0.0.1", "10.0.0.2", 2, IGMP, ttl=1)), "router alert"),
        (make.ethernet(PEER, MAC, make.IPV4, make.ipv4("10.0.0.1", "10.0.0.2", 2, IGMP)), "beyond the link"),
        (GOOD + b"\0", "total length"),
        (_changed(24, b"\0\0", fix=False), "header checksum"),
        (_changed(22, b"\0"), "TTL 0"),
        (_changed(26, b"\x0b\0\0\1"), "is nobody's"),
        (_changed(26, b"\x7f\0\0\1"), "loopback source"),
        (_changed(30, b"\x7f\0\0\1"), "loopback destination"),
        (_changed(30, bytes(4)), "to nobody"),
        (_changed(0, b"\xff" * 6), "in a group frame"),
        (_changed(40, b"\0\1", fix=False), "wrong checksum or length"),
        (make.ethernet(PEER, MAC, make.ARP, make.arp_request(MAC, "10.0.0.9", "10.0.0.2")), "foreign address"),
        (make.ethernet(PEER, MAC, make.ARP, make.arp_request(PEER, "10.0.0.1", "10.0.0.2")), "somebody else's name"),
        (
            make.ethernet(PEER, MAC, 0x0800, make.ipv4("10.0.0.1", "10.0.0.2", 1, make.icmp_error(3, 1, GOOD[14:]))),
            "somebody else than the sender",
        ),
    ],
    ids=lambda value: value.replace(" ", "-") if isinstance(value, str) else "",
)
def test_the_witness_sees_what_is_wrong(frame: bytes, complaint: str) -> None:
    """Each wrong frame that a stack could send is refused by the independent check, for its own reason."""
    world = World(1)
    world.apply(("add_netns", "a", []))
    dev = world.stack.namespaces["a"].add_device("e0", mac=MAC)
    witness = Witness()
    witness.sees(dev)
    witness.owns(0x0A000001, 24, "e0")
    witness.check(dev, GOOD)
    if complaint == "loopback source":
        witness.sources.add(0x7F000001)
    with pytest.raises(AssertionError, match=complaint):
        witness.check(dev, frame)


OWN6, OTHER6, LOCAL6 = "fd00::1", "fd00::2", "fe80::1"
ASK = make6.neighbour_solicitation(LOCAL6, make6.solicited_node(OTHER6), OTHER6, mac=MAC)


def _six(src: str, dst: str, proto: int, segment: bytes, **header: int) -> bytes:
    return make6.ipv6(src, dst, proto, segment, **header)


@pytest.mark.parametrize(
    ("packet", "complaint"),
    [
        (_six(OWN6, OTHER6, 17, make.udp(OWN6, OTHER6, 7, 7, b"data"), payload_length=3), "payload length"),
        (_six("ff02::1", OTHER6, 17, b""), "a group as source"),
        (_six("fd00::9", OTHER6, 17, b""), "is nobody's"),
        (_six(OWN6, "::1", 17, b""), "to 1"),
        (_six(OWN6, OTHER6, 17, make.udp(OWN6, OTHER6, 7, 7, b"data", checksum=1)), "wrong checksum"),
        (_six(OWN6, OTHER6, 17, b""), "0 bytes of protocol 17"),
        (_six(OWN6, OTHER6, 132, bytes(20)), "protocol 132 made here"),
        (_six(LOCAL6, make6.solicited_node(OTHER6), 58, ASK, hop_limit=64), "with hop limit 64"),
        (
            _six(OWN6, "ff02::1", 58, make6.router_advertisement(OWN6, "ff02::1"), hop_limit=255),
            "no link-local address",
        ),
        (
            _six("::", "ff02::2", 58, make6.router_solicitation("::", "ff02::2", mac=MAC), hop_limit=255),
            "has a link-layer address",
        ),
        (_six(LOCAL6, "ff02::16", 58, make6.mld2_report(LOCAL6, "ff02::16"), hop_limit=1), "without options"),
        (_six(OWN6, "ff01::5", 58, b""), "interface scope"),
        (_six(OWN6, OTHER6, 44, make6.fragment_header(17, bytes(9), more=True)), "no multiple of 8"),
        (
            _six(OWN6, OTHER6, 58, make6.icmp6_error(OWN6, OTHER6, 1, 0, make.ipv6_udp("fd00::3", OWN6, 7, 7))),
            "somebody else than the sender",
        ),
    ],
    ids=lambda value: value.replace(" ", "-") if isinstance(value, str) else "",
)
def test_the_witness_sees_what_is_wrong_with_ipv6(packet: bytes, complaint: str) -> None:
    """The same of IPv6, neighbour discovery and MLD."""
    witness = Witness6()
    witness.own |= {ip6_int(OWN6), ip6_int(LOCAL6)}
    good = _six(LOCAL6, make6.solicited_node(OTHER6), 58, ASK, hop_limit=255)
    witness.check(make6.group_mac6(make6.solicited_node(OTHER6)) + MAC, good)
    mac = make6.group_mac6(int.from_bytes(packet[24:40], "big")) if packet[24] == 0xFF else PEER
    with pytest.raises(AssertionError, match=complaint):
        witness.check(mac + MAC, packet)


def test_what_is_forwarded_stays_on_its_link() -> None:
    """RFC 4291 2.5.6: a packet that came in with a link-local address goes nowhere else; others may."""
    witness = Witness6()
    near, far = make.ipv6_udp("fe80::9", OTHER6, 7, 7, b"a"), make.ipv6_udp("fd00::9", OTHER6, 7, 7, b"b")
    witness.note(near)
    witness.note(far)
    witness.check(PEER + MAC, far)
    with pytest.raises(AssertionError, match="is nobody's"):
        witness.check(PEER + MAC, near)


def test_checksums_are_mended() -> None:
    """A spoiled frame whose sums are right again comes past the first checks, behind tags and headers, too."""
    echo = make6.icmp6_echo(OWN6, OTHER6, 1, 1, b"data")
    for packet in (
        _six(OWN6, OTHER6, 58, echo),
        _six(OWN6, OTHER6, 60, make6.destination_options(58, echo)),
        make.ipv6_udp(OWN6, OTHER6, 7, 7, b"data"),
    ):
        frame = PEER + MAC + b"\x81\0\0\5\x86\xdd" + packet
        spoiled = bytearray(frame)
        spoiled[-1] ^= 0x55
        mend(spoiled)
        upper, start = upper6(packet)
        body = bytes(spoiled[18:])
        assert ones_sum(pseudo6(body, upper, len(body) - start) + body[start:]) == 0xFFFF


FRAME = bytes(range(60))


@pytest.mark.parametrize("order", "<>")
@pytest.mark.parametrize("magic", [0xA1B2C3D4, 0xA1B23C4D])
def test_pcap_files_are_read(order: str, magic: int) -> None:
    """Captures come in both byte orders, with micro- and nanoseconds; a file cut off gives what it has."""
    head = pack(order + "IHHiIII", magic, 2, 4, 0, 0, 65535, ETHERNET_FILE)
    data = head + (pack(order + "IIII", 1, 2, len(FRAME), 900) + FRAME) * 2
    assert list(captures.read(data)) == [FRAME, FRAME]
    assert list(captures.read(data[:-1])) == [FRAME]
    assert list(captures.read(head[:20] + pack(order + "I", 113) + data[24:])) == []  # not Ethernet


@pytest.mark.parametrize("order", "<>")
def test_pcapng_files_are_read(order: str) -> None:
    """Of a pcapng file the packets of its Ethernet interfaces are taken, and no others."""

    def block(kind: int, body: bytes) -> bytes:
        size = 12 + len(body)
        return pack(order + "II", kind, size) + body + pack(order + "I", size)

    section = block(0x0A0D0D0A, pack(order + "IHHq", 0x1A2B3C4D, 1, 0, -1))
    interfaces = block(1, pack(order + "HHI", ETHERNET_FILE, 0, 0)) + block(1, pack(order + "HHI", 113, 0, 0))

    def packet(interface: int) -> bytes:
        return block(6, pack(order + "IIIII", interface, 0, 0, len(FRAME), len(FRAME)) + FRAME)

    simple = block(3, pack(order + "I", len(FRAME)) + FRAME)
    data = section + interfaces + packet(1) + packet(0) + block(5, bytes(8)) + simple
    assert list(captures.read(data)) == [FRAME, FRAME]
