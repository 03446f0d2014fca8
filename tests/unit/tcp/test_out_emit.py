"""What a segment and a superframe look like where they leave the connection."""

from __future__ import annotations

import errno

import pytest

from tests.unit.tcp.outgoing import connected, numbers, take
from vrouter.stack.base.addresses import BITS, MAX6
from vrouter.stack.base.counters import Stat
from vrouter.stack.l4 import constants as c
from vrouter.stack.l4.tcp import output
from vrouter.stack.l4.tcp.tcb import ECN_DEMAND_CWR, ECN_OK, ECN_QUEUE_CWR
from vrouter.stack.wire import tcp as wire
from vrouter.stack.wire import vnet
from vrouter.testing import Lab

DATA = bytes(range(256)) * 1024
BOTH = pytest.mark.parametrize(("family", "mss", "gso"), [(c.AF_INET, 1448, 1), (c.AF_INET6, 1428, 4)])


def wide(tcb, size=1 << 22):
    """Nothing but the size of a superframe bounds what leaves."""
    tcb.cwnd = tcb.snd_wnd = tcb.max_window = size
    tcb.srtt = 0
    return tcb


@BOTH
def test_a_superframe_says_where_it_is_to_be_cut(lab: Lab, family: int, mss: int, gso: int) -> None:
    """One packet of at most 65535 bytes; its checksum is the pseudo-header's sum, to be finished by who sends it."""
    tcb = wide(connected(lab, family))
    before = tcb.ns.stats[Stat.TcpOutSegs]
    assert output.queue_data(tcb, DATA) == len(DATA)
    output.push(tcb, lab.now)
    sent = take(tcb)
    most = 65216 // mss * mss if family == c.AF_INET else 65435 // mss * mss
    first = sent[0]
    pkt = first.pkt
    assert len(first.data) == min(most, len(first.data)) > 60_000
    assert len(first.data) % mss == 0
    assert pkt.end - pkt.start + (20 if family == c.AF_INET else 40) <= 65535
    assert (pkt.gso_size, pkt.gso_type) == (mss, gso)
    assert (pkt.csum_start, pkt.csum_offset) == (pkt.start, 16)
    partial = wire.partial_sum(tcb.local & MAX6, tcb.peer & MAX6, pkt.end - pkt.start, BITS[tcb.family])
    assert wire.checksum(pkt.buf, pkt.start) == partial
    assert b"".join(one.data for one in sent) == DATA
    segments = sum(-(-len(one.data) // mss) for one in sent)
    assert tcb.ns.stats[Stat.TcpOutSegs] - before == segments
    assert tcb.info.data_segs_out == segments
    assert tcb.info.bytes_sent == len(DATA)


@BOTH
def test_a_segment_is_no_superframe(lab: Lab, family: int, mss: int, gso: int) -> None:
    """What fits into one segment has no gso_size."""
    tcb = wide(connected(lab, family))
    output.queue_data(tcb, DATA[:mss])
    output.push(tcb, lab.now)
    (one,) = take(tcb)
    assert (one.pkt.gso_size, one.pkt.gso_type) == (0, vnet.GSO_NONE)
    assert one.data == DATA[:mss]
    assert one.seg.flags == wire.ACK | wire.PSH


def test_headers_say_what_the_socket_wants(lab: Lab) -> None:
    """ip(7): IP_TTL, IP_TOS without its ECN bits, SO_MARK; DF unless IP_PMTUDISC_DONT."""
    tcb = connected(lab)
    sock = tcb.sock
    sock.setsockopt(c.SOL_IP, c.IP_TTL, 7)
    sock.setsockopt(c.SOL_IP, c.IP_TOS, 0xBB)
    sock.setsockopt(c.SOL_SOCKET, c.SO_MARK, 5)
    output.send_ack(tcb, lab.now)
    (one,) = take(tcb)
    assert (one.ttl, one.tos, one.pkt.mark, one.dont_fragment, one.label) == (7, 0xB8, 5, True, 0)
    sock.setsockopt(c.SOL_IP, c.IP_MTU_DISCOVER, c.IP_PMTUDISC_DONT)
    output.send_ack(tcb, lab.now)
    assert not take(tcb)[0].dont_fragment


def test_an_ipv6_flow_has_a_label_unless_it_wants_none(lab: Lab) -> None:
    """RFC 6437 3: the stack chooses one by addresses and ports, the same for all segments of a connection."""
    tcb = connected(lab, c.AF_INET6)
    output.send_ack(tcb, lab.now)
    assert take(tcb)[0].label == -1
    tcb.sock.setsockopt(c.SOL_IPV6, c.IPV6_AUTOFLOWLABEL, 0)
    output.send_ack(tcb, lab.now)
    assert take(tcb)[0].label == 0


def test_new_data_are_ect_and_nothing_else_is(lab: Lab) -> None:
    """RFC 3168 6.1.1 to 6.1.5: not a bare ACK, not what is sent again."""
    tcb = wide(connected(lab))
    tcb.ecn = ECN_OK
    output.queue_data(tcb, b"x" * 100)
    output.push(tcb, lab.now)
    output.send_ack(tcb, lab.now)
    output.retransmit(tcb, tcb.snd_una, tcb.snd_nxt, lab.now)
    assert [one.tos for one in take(tcb)] == [2, 0, 0]


def test_cwr_goes_with_new_data_once(lab: Lab) -> None:
    """RFC 3168 6.1.2: CWR on the first new data segment after a reduction; a superframe says that it has it."""
    tcb = wide(connected(lab))
    tcb.ecn = ECN_OK | ECN_QUEUE_CWR
    output.send_ack(tcb, lab.now)
    output.queue_data(tcb, DATA)
    output.push(tcb, lab.now)
    ack, first, *others = take(tcb)
    assert ack.seg.flags == wire.ACK
    assert first.seg.flags & wire.CWR
    assert first.pkt.gso_type == vnet.GSO_TCPV4 | vnet.GSO_ECN
    assert others
    assert not any(one.seg.flags & wire.CWR for one in others)


def test_ece_is_said_until_it_is_heard(lab: Lab) -> None:
    """RFC 3168 6.1.3: every ACK has ECE until CWR comes."""
    tcb = wide(connected(lab))
    tcb.ecn = ECN_OK | ECN_DEMAND_CWR
    output.send_ack(tcb, lab.now)
    output.queue_data(tcb, b"x")
    output.push(tcb, lab.now)
    assert [bool(one.seg.flags & wire.ECE) for one in take(tcb)] == [True, True]


def test_an_ack_has_timestamp_and_window(lab: Lab) -> None:
    """RFC 7323 3.2: every segment has the timestamp; the window is scaled."""
    tcb = connected(lab)
    output.send_ack(tcb, lab.now)
    (one,) = take(tcb)
    assert one.seg.ts
    assert one.seg.tsecr == tcb.ts_recent
    assert one.seg.ack == tcb.rcv_nxt & 0xFFFFFFFF
    assert one.seg.window << tcb.rcv_wscale == tcb.rcv_wnd
    assert tcb.last_ack_sent == tcb.rcv_nxt


def test_urgent_data_are_pointed_to_from_before(lab: Lab) -> None:
    """RFC 9293 3.8.5, RFC 6093 4: the pointer stands behind the last urgent byte, and no superframe has it."""
    tcb = wide(connected(lab))
    output.queue_data(tcb, DATA[:3000])
    output.mark_urgent(tcb)
    output.push(tcb, lab.now)
    sent = take(tcb)
    assert numbers(tcb, sent) == [(0, 1448), (1448, 1448), (2896, 104)]
    assert [one.seg.urgent for one in sent] == [3000, 1552, 104]
    assert all(one.seg.flags & wire.URG for one in sent)


def test_an_urgent_mark_far_ahead_is_told_as_far_as_can_be() -> None:
    """RFC 9293 3.1: the pointer has 16 bits; of a mark beyond them the largest is told while it is not sent."""
    with Lab() as lab:
        tcb = wide(connected(lab))
        tcb.snd_wnd = 1448
        output.queue_data(tcb, DATA[:200_000])
        output.mark_urgent(tcb)
        output.push(tcb, lab.now)
        (one,) = take(tcb)
        assert (one.seg.flags & wire.URG, one.seg.urgent) == (wire.URG, 0xFFFF)


def test_a_segment_that_has_no_route_is_not_sent(lab: Lab) -> None:
    """RFC 9293 3.9.2.2: data stay queued while there is no way, the trouble is remembered, and it is tried again."""
    tcb = wide(connected(lab))
    address = tcb.sock.getsockname()[0]
    device = next(dev for dev in tcb.ns.devices.values() if dev.kind != "lo")
    tcb.ns.del_address(device.name, address, now=lab.now)
    output.queue_data(tcb, b"x" * 10)
    output.push(tcb, lab.now)
    assert take(tcb) == []
    assert tcb.soft_error == errno.EINVAL
    assert tcb.snd_nxt == tcb.snd_una
    tcb.ns.add_address(device.name, f"{address}/24", now=lab.now)
    lab.run_for(1)
    assert tcb.snd_nxt == tcb.snd_una == tcb.write_seq
