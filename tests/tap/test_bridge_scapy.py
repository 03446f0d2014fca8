"""What no peer can be made to send, built by Scapy, through real TAPs: who gets what of it; the drawing is in
`bridge_arms`."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from scapy.contrib.lldp import LLDPDUChassisID, LLDPDUEndOfLLDPDU, LLDPDUPortID, LLDPDUTimeToLive
from scapy.layers.inet import ICMP, IP
from scapy.layers.inet6 import ICMPv6MLDMultAddrRec, ICMPv6MLReport2
from scapy.layers.l2 import ARP, LLC, STP, Dot1AD, Dot1Q, Dot3, Ether
from scapy.packet import Raw

from tests.tap import group_talk
from tests.tap.bridge_arms import ALL, VrouterArm
from tests.tap.switching import BROADCAST, Bed, mac, plain, until
from vrouter.stack.l2.fdb import CAPACITY

pytestmark = [pytest.mark.tap, pytest.mark.tools("ip")]

A, B, C, G = map(mac, range(4))
BRIDGE_GROUP = bytes.fromhex("0180c2000000")
BETTER, WORSE = "02:00:00:00:00:01", "fe:ff:ff:ff:ff:ff"
PROPOSAL, LEARNING, FORWARDING, AGREEMENT = 0x02, 0x10, 0x20, 0x40
ROOT, DESIGNATED = 0x08, 0x0C
TIMES = {"hello_time": 1, "max_age": 6, "forward_delay": 4}
EDGE = {"edge": True}


@pytest.fixture
def bed(new_name: Callable[[], str], new_netns: Callable[[], str]) -> Iterator[Bed]:
    with Bed(new_name, new_netns) as one:
        yield one


def bpdu(flags: int = DESIGNATED, *, root: str = BETTER, priority: int = 4096, **fields: Any) -> Any:
    """A rapid BPDU of the best bridge of all, or with other fields of Scapy's STP."""
    given = {"version": 2, "bpdutype": 2, "bpduflags": flags, "rootid": priority, "rootmac": root, "bridgeid": priority}
    given |= {"bridgemac": root, "portid": 0x8001, "age": 0, "maxage": 6, "hellotime": 1, "fwddelay": 4, **fields}
    return STP(**given) / Raw(b"\0")


def framed(payload: Any, src: bytes = A) -> bytes:
    """The frame of a BPDU."""
    return bytes(Dot3(src=src.hex(":"), dst="01:80:c2:00:00:00") / LLC(dsap=0x42, ssap=0x42, ctrl=3) / payload)


def said(arm: VrouterArm, n: int, condition: Callable[[Any], bool], seconds: float = 3) -> Any:
    """The next BPDU out of a port for which the condition holds, as Scapy reads it."""
    end = time.monotonic() + seconds
    while True:
        frame = arm.wires[n].receive(max(end - time.monotonic(), 0))
        if frame[:6] == BRIDGE_GROUP:
            found = Dot3(frame)[STP]
            if condition(found):
                return found


def port(arm: VrouterArm, n: int) -> dict[str, Any]:
    return arm.bed.on_loop(arm.ns.ports)[n]


def root(arm: VrouterArm) -> tuple[str, str]:
    """The root port, and the root's address."""
    row = arm.bed.on_loop(arm.ns.bridge_rows)[0]
    return row["root_port"], row["root_id"].partition(".")[2]


def malformed() -> dict[str, bytes]:
    """Frames for the bridge group address that are no BPDUs."""
    good = framed(bpdu())
    stp = bytes(bpdu())
    return {
        "another protocol": framed(bpdu(proto=1)),
        "an unknown type": framed(bpdu(bpdutype=3)),
        "rapid, and version 0": framed(bpdu(version=0)),
        "cut short": framed(Raw(stp[:30])),
        "a length beyond the frame": good[:12] + b"\x05\xdc" + good[14:],
        "a length of nothing": good[:12] + b"\0\0" + good[14:],
        "an EtherType": good[:12] + b"\x88\xb5" + good[14:],
        "another LLC": good[:14] + b"\xaa\xaa\x03" + good[17:],
        "nothing": good[:14],
        "garbage": good[:17] + bytes(range(200, 240)),
        "configuration, cut": framed(STP(version=0, bpdutype=0)).ljust(60, b"\0")[:50],
    }


def test_malformed_bpdus(bed: Bed) -> None:
    """802.1D-2004 9.3.4: what is no valid BPDU changes nothing, is relayed to nobody, and is counted as that."""
    arm = VrouterArm(bed, EDGE, stp="rstp", **TIMES)
    before, others = root(arm), malformed()
    assert arm.send(0, *others.values()) == []
    assert arm.drops().get("BPDU_INVALID") == len(others)
    assert (root(arm), port(arm, 0)["edge"]) == (before, True)
    assert arm.send(0, plain(BROADCAST, A)) == ALL


def test_odd_bpdus(bed: Bed) -> None:
    """802.1D-2004 9.3.4, 17.21.8: valid, and yet nothing to follow: too old a message, an inferior bridge, a
    notification; a later version is read as what is known of it (MSTP's begins as a rapid one)."""
    arm = VrouterArm(bed, EDGE, stp="rstp", priority=8192, **TIMES)
    own = root(arm)
    odd = [
        framed(bpdu(age=6)),  # as old as it may be: over at once
        framed(bpdu(age=255, maxage=0)),
        framed(bpdu(root=WORSE, priority=61440)),
        framed(STP(version=0, bpdutype=0x80)),
        framed(bpdu(bpduflags=0)),  # a role that is none
    ]
    assert arm.send(0, *odd, deaf=True) == []
    until(lambda: root(arm) == own, seconds=4, what="what was taken up is over")
    assert "BPDU_INVALID" not in arm.drops()
    arm.wires[1].send(framed(bpdu(version=3, age=1) / Raw(bytes(range(60))), B))
    until(lambda: root(arm) == ("p1", BETTER), what="MSTP's is heard")


def test_times_that_cannot_be(bed: Bed) -> None:
    """A root whose times are 0 or the largest there are is followed, and lost, without a pause for anybody else."""
    arm = VrouterArm(bed, EDGE, stp="rstp", **TIMES)
    arm.wires[0].send(framed(bpdu(maxage=255, hellotime=0, fwddelay=255)), framed(bpdu(maxage=255, fwddelay=0)))
    until(lambda: root(arm) == ("p0", BETTER))
    assert arm.send(1, plain(BROADCAST, B), to=(2,)) in ([0, 2, 3], [2, 3])
    until(lambda: root(arm)[0] == "", seconds=5, what="three hellos are missed")


def test_a_proposal_is_answered(bed: Bed) -> None:
    """802.1D-2004 17.10: a better bridge proposes, and is agreed with at once; the port forwards without a delay."""
    arm = VrouterArm(bed, EDGE, stp="rstp", **TIMES)
    arm.wires[0].drain()
    arm.wires[0].send(framed(bpdu(DESIGNATED | PROPOSAL)))
    answer = said(arm, 0, lambda found: found.bpduflags & AGREEMENT)
    assert (answer.version, answer.bpdutype, answer.bpduflags & 0x0C) == (2, 2, ROOT)
    assert (answer.rootmac, answer.rootid, answer.pathcost) == (BETTER, 4096, 20000)
    assert (port(arm, 0)["role"], port(arm, 0)["state"]) == ("root", "forwarding")
    assert arm.send(0, plain(BROADCAST, A)) == ALL


def test_an_agreement_is_waited_for(bed: Bed) -> None:
    """802.1D-2004 17.29.3: a port that is no edge proposes, and forwards as soon as its neighbour agrees."""
    arm = VrouterArm(bed, EDGE, stp="rstp", priority=4096, **TIMES)
    bed.call(arm.ns.set_port, "p0", edge=False)
    arm.set_up(0, False)
    arm.set_up(0, True)
    offer = said(arm, 0, lambda found: found.bpduflags & PROPOSAL)
    assert (offer.bpduflags & 0x0C, offer.bpduflags & (LEARNING | FORWARDING)) == (DESIGNATED, 0)
    assert port(arm, 0)["state"] == "blocking"
    assert arm.send(0, plain(BROADCAST, A), deaf=True, to=(1, 2)) == []
    agreed = {
        "rootid": offer.rootid,
        "rootmac": offer.rootmac,
        "pathcost": 20000,
        "bridgemac": WORSE,
        "bridgeid": 61440,
    }
    arm.wires[0].send(framed(bpdu(ROOT | AGREEMENT | FORWARDING | LEARNING, **agreed)))
    until(lambda: port(arm, 0)["state"] == "forwarding", seconds=1, what="it forwards at once")
    assert arm.send(0, plain(BROADCAST, A)) == ALL


def test_guards(bed: Bed) -> None:
    """`guard bpdu`: who speaks the protocol there is shut out. `guard root`: who claims to be root is not followed."""
    arm = VrouterArm(bed, EDGE, stp="rstp", **TIMES)
    own = root(arm)
    arm.set_port(0, guard="bpdu")
    arm.set_port(1, guard="root")
    arm.wires[0].send(framed(bpdu(root=WORSE, priority=61440)))
    until(lambda: port(arm, 0)["state"] == "disabled")
    arm.wires[1].send(framed(bpdu(), B))
    until(lambda: port(arm, 1)["role"] == "alternate")
    assert root(arm) == own
    assert arm.send(2, plain(BROADCAST, C), to=(2,)) == [3]


def test_reserved_groups_with_all_that_there_is(bed: Bed) -> None:
    """802.1Q 8.6.3: LLDP and the others of 01-80-C2-00-00-0X stay on their link, with a tag, with VLAN filtering, with
    a spanning tree; MVRP of customers (21) is relayed, as nobody here speaks it (802.1D 12.5)."""
    arm = VrouterArm(bed, EDGE, stp="rstp", vlan_filtering=True, **TIMES)
    tlvs = LLDPDUChassisID(subtype=4, id=A) / LLDPDUPortID(subtype=3, id=A) / LLDPDUTimeToLive(ttl=120)
    tlvs /= LLDPDUEndOfLLDPDU()
    found = []
    for last in range(1, 16):
        group = f"01:80:c2:00:00:{last:02x}"
        found.append(bytes(Ether(src=A.hex(":"), dst=group, type=0x88CC) / tlvs))
        found.append(bytes(Ether(src=A.hex(":"), dst=group) / Dot1Q(vlan=1, type=0x88CC) / tlvs))
    assert arm.send(0, *found) == []
    assert arm.drops().get("OTHERHOST") == len(found)
    assert arm.knows(A) == ""  # of what is not relayed nothing is learnt
    mvrp = bytes(Ether(src=A.hex(":"), dst="01:80:c2:00:00:21", type=0x88F5) / Raw(bytes(50)))
    assert arm.send(0, mvrp) == ALL


def test_tags_of_any_depth(bed: Bed) -> None:
    """802.1ad: three devices on one another take off three tags, and put them on again; one more is nobody's."""
    ns, cell = bed.netns("r"), bed.cell()
    bed.on_loop(lambda: ns.sysctl.__setitem__("net.ipv6.conf.default.disable_ipv6", 1))
    dev = bed.tap(ns, "lan", cell)
    cell.ip("link", "set", "v", "mtu", "1512")  # Linux counts tags
    for name, parent, vid in (("s", "lan", 1000), ("c", "s", 20), ("d", "c", 30)):
        protocol = "802.1ad" if name == "s" else "802.1Q"
        bed.call(ns.add_device, name, kind="vlan", parent=parent, vid=vid, protocol=protocol)
    bed.call(ns.add_address, "d", "10.3.0.1/24")
    wire = bed.wire(cell, "v")
    tags = Dot1AD(vlan=1000, prio=5) / Dot1Q(vlan=20) / Dot1Q(vlan=30)
    question = ARP(hwsrc=A.hex(":"), psrc="10.3.0.2", pdst="10.3.0.1")
    wire.send(bytes(Ether(src=A.hex(":"), dst="ff:ff:ff:ff:ff:ff") / tags / question))
    answer = until(lambda: next((f for f in wire.drain() if f[:6] == A), b""))[0]
    assert answer[12:26].hex() == "88a803e8" + "81000014" + "8100001e" + "0806"
    echo = IP(src="10.3.0.2", dst="10.3.0.1") / ICMP() / Raw(bytes(1472))
    wire.send(bytes(Ether(src=A.hex(":"), dst=dev.mac.hex(":")) / tags / echo))
    answer = until(lambda: next((f for f in wire.drain() if f[:6] == A and f[24:26] == b"\x08\x00"), b""))[0]
    assert (answer[12:24].hex(), len(answer)) == ("88a803e8810000148100001e", 1514 + 12)
    before = bed.drops(ns).get("NS_UNMAPPED", 0)
    others = (
        tags / Dot1Q(vlan=40),
        Dot1Q(vlan=1000) / Dot1Q(vlan=20) / Dot1Q(vlan=30),
        Dot1AD(vlan=1000) / Dot1Q(vlan=21),
    )
    for other in others:
        packet = other / IP(src="10.3.0.2", dst="10.3.0.1") / ICMP()
        wire.send(bytes(Ether(src=A.hex(":"), dst=dev.mac.hex(":")) / packet))
    until(lambda: bed.drops(ns).get("NS_UNMAPPED", 0) == before + 3)
    assert [frame for frame in wire.drain() if frame[:6] == A] == []


def test_tags_at_a_filtering_bridge(bed: Bed) -> None:
    """802.1Q 6.9, 8.6.1: the outer 802.1Q tag says the VLAN, what is behind it is content; a tag of 0 is a priority,
    4095 is no VLAN, and another protocol's tag is no tag."""
    arm = VrouterArm(bed, vlan_filtering=True)
    arm.set_port(0, tagged=[10, 20])
    arm.set_port(1, pvid=10, untagged=[10], tagged=[])
    arm.set_port(2, tagged=[10])
    ether = Ether(src=A.hex(":"), dst="ff:ff:ff:ff:ff:ff")
    inner = Dot1Q(vlan=77, prio=3) / Dot1Q(vlan=78, type=0x88B5) / Raw(b"deep".ljust(50, b"\0"))
    bare, tagged = bytes(ether / inner), bytes(ether / Dot1Q(vlan=10, prio=6) / inner)
    heard = (0, 2, 3)  # p1 is no member of VLAN 1, g's
    # Behind the outer tag the others stay: p1 gets them bare, p2 all of it; g is a member of VLAN 1 alone.
    assert sorted(arm.exchange(0, tagged, to=heard)) == [(1, bare), (2, tagged)]
    assert arm.exchange(0, bytes(ether / Dot1Q(vlan=20) / inner), to=heard) == []
    assert arm.exchange(0, bytes(ether / Dot1Q(vlan=4095) / inner), to=heard) == []
    assert arm.exchange(0, bytes(ether / Dot1Q(vlan=77) / inner), to=heard) == []
    priority = bytes(ether / Dot1Q(vlan=0, prio=7, type=0x88B5) / Raw(bytes(50)))
    without = plain(BROADCAST, A, size=64)
    assert sorted(arm.exchange(0, priority, to=heard)) == [(2, without), (3, without)]
    foreign = bytes(ether / Dot1AD(vlan=10) / inner)
    assert sorted(arm.exchange(0, foreign, to=heard)) == [(2, foreign), (3, foreign)]
    drops = arm.drops()
    assert (drops["VLAN_NOT_ALLOWED"], drops["NO_TX_TARGET"]) == (2, 1)


def record(family: str, kind: int, group: str, *sources: str) -> bytes:
    """A report of IGMPv3 or MLDv2 with one record, from b."""
    if family == "mld":
        mld = group_talk.Mld()
        body = ICMPv6MLReport2(records=[ICMPv6MLDMultAddrRec(rtype=kind, dst=group, sources=list(sources))])
        return mld.message(B, "fe80::2", "ff02::16", body)
    return group_talk.Igmp().report3(B, kind, group, *sources)


@pytest.mark.parametrize("family", ["igmp", "mld"])
def test_members_by_the_newest_version(bed: Bed, family: str) -> None:
    """RFC 4541, RFC 3376, RFC 3810: reports of records make a port a member, whatever sources they name; what is
    broken, or names no group, makes nobody a member of anything."""
    arm, talk = VrouterArm(bed), group_talk.FAMILIES[family]
    to_exclude, allow, source = 4, 5, "fe80::9" if talk.group > "a" else "10.0.0.9"
    assert arm.send(3, talk.query(G)) == [0, 1, 2]
    until(lambda: arm.send(0, talk.data(A)) == [3], what="nobody but the router gets it")
    assert arm.send(1, record(family, to_exclude, talk.group)) == [3]
    assert arm.send(0, talk.data(A)) == [1, 3]
    assert arm.send(1, record(family, allow, talk.other, source)) == [3]
    assert arm.send(0, talk.data(A, talk.other)) == [1, 3]
    third = "ff05::99" if talk.group > "a" else "239.9.9.9"
    broken = bytearray(record(family, to_exclude, third))
    broken[-5] ^= 1
    arm.send(1, bytes(broken))
    arm.send(1, record(family, to_exclude, "2001:db8::1" if talk.group > "a" else "10.1.1.1"))
    assert arm.send(0, talk.data(A, third)) == [3]
    assert {row["group"] for row in bed.on_loop(arm.ns.mdb)} == {talk.group, talk.other}


def test_a_flood_of_reports(bed: Bed) -> None:
    """Memberships of one port are bounded; past the bound the port gets every group, and the others what they asked."""
    arm, talk = VrouterArm(bed), group_talk.Igmp()
    arm.send(3, talk.query(G))
    until(lambda: arm.send(0, talk.data(A)) == [3])
    arm.send(2, talk.report(C))
    for first in range(0, 1500, 50):
        arm.send(1, *(talk.report(B, f"239.{8 + n // 250}.0.{n % 250}") for n in range(first, first + 50)))
    assert len([row for row in bed.on_loop(arm.ns.mdb) if row["dev"] == "p1"]) == 1024
    assert arm.send(0, talk.data(A)) == [1, 2, 3]
    assert arm.send(0, talk.data(A, "239.200.0.1")) == [1, 3]


def test_a_storm(bed: Bed) -> None:
    """A port floods as many frames of each kind as it may, and the rest is counted; who is not limited, and stations
    that are known, notice nothing."""
    arm = VrouterArm(bed)
    arm.teach(1)
    rate, count, lost = 100, 1000, 0
    arm.set_port(0, storm={"broadcast": rate, "multicast": rate, "unknown": rate})
    for dst in (BROADCAST, bytes.fromhex("030000000001"), mac(99)):
        start, got = time.monotonic(), []
        for first in range(0, count, 100):
            got += arm.exchange(0, *(plain(dst, A, f"{n}") for n in range(first, first + 100)))
        bound = rate * (1 + time.monotonic() - start) + 1
        passed = [sum(port == n for port, _ in got) for n in ALL]
        assert min(passed) == max(passed)
        assert rate <= passed[0] <= bound
        lost += count - passed[0]
        assert arm.send(0, *(plain(B, A, f"known {n}") for n in range(200))) == [1] * 200
        assert arm.send(2, *(plain(dst, C, f"c {n}") for n in range(150))).count(0) == 150
    assert arm.drops()["BRIDGE_STORM"] == lost


def test_a_flood_of_addresses(bed: Bed) -> None:
    """One port may have only its share of the table: stations elsewhere stay known, and new ones are learnt."""
    arm = VrouterArm(bed)
    arm.teach(1)
    share = CAPACITY // 4
    for first in range(0, share + 200, 400):
        arm.wires[0].send(*(plain(G, b"\x02\x66" + n.to_bytes(4, "big")) for n in range(first, first + 400)))
        arm.exchange(0)
    assert bed.on_loop(lambda: arm.dev.bridge.ports[arm.devices[0]].learnt) == share
    assert arm.send(2, plain(B, C)) == [1]
    assert arm.send(1, plain(C, B)) == [2]
