"""The path of a connection: which route, how large, and the search for more."""

from __future__ import annotations

import pytest

from tests.unit.tcp.outgoing import connected
from vrouter.stack.l4 import constants as c
from vrouter.stack.l4.tcp import pmtu
from vrouter.stack.l4.tcp.tcb import SECOND
from vrouter.testing import Lab


def device_of(tcb):
    return next(dev for dev in tcb.ns.devices.values() if dev.kind != "lo")


def test_the_route_is_kept(lab: Lab) -> None:
    """A look-up for each segment would cost more than the segment."""
    tcb = connected(lab)
    route = pmtu.route_of(tcb, lab.now)
    asked = tcb.route_until
    assert pmtu.route_of(tcb, lab.now + SECOND // 2) is route
    assert tcb.route_until == asked


def test_a_table_that_changes_is_asked_again(lab: Lab) -> None:
    """RFC 1812 5.2.4.3: the best route is the one of the moment."""
    tcb = connected(lab)
    old = pmtu.route_of(tcb, lab.now)
    peer = tcb.sock.getpeername()[0]
    tcb.ns.add_route(f"{peer}/32", dev=device_of(tcb).name, now=lab.now)
    new = pmtu.route_of(tcb, lab.now)
    assert new is not old
    tcb.ns.del_route(f"{peer}/32", dev=device_of(tcb).name, now=lab.now)
    assert pmtu.route_of(tcb, lab.now) is old


def test_a_device_that_is_not_ready_is_not_taken(lab: Lab) -> None:
    """RFC 1812 5.3.12.3: the route of a device without a carrier is none."""
    tcb = connected(lab)
    dev = device_of(tcb)
    dev.carrier = False
    dev.refresh()
    assert pmtu.route_of(tcb, lab.now) is None
    assert tcb.soft_error
    dev.carrier = True
    dev.refresh()
    assert pmtu.route_of(tcb, lab.now) is not None


def test_a_second_is_the_longest_that_anything_else_goes_unseen(lab: Lab) -> None:
    """What no table tells (a better way whose device came back) is found when the route has been used for a second."""
    tcb = connected(lab)
    pmtu.route_of(tcb, lab.now)
    asked = tcb.route_until
    pmtu.route_of(tcb, asked)
    assert tcb.route_until == asked + SECOND


def test_routing_rules_are_asked_each_time(lab: Lab) -> None:
    """Rules may look at what changes without a table's change."""
    tcb = connected(lab)
    tcb.ns.ip4.use_rules()
    pmtu.route_of(tcb, lab.now)
    asked = tcb.route_until
    pmtu.route_of(tcb, lab.now + 1)
    assert tcb.route_until == asked + 1


@pytest.mark.parametrize(("family", "mss"), [(c.AF_INET, 1000 - 40 - 12), (c.AF_INET6, 1400 - 60 - 12)])
def test_segments_follow_the_device(lab: Lab, family: int, mss: int) -> None:
    """RFC 9293 3.7.1: the MTU of the moment counts, not that of the handshake."""
    tcb = connected(lab, family)
    device_of(tcb).mtu = mss + 12 + (40 if family == c.AF_INET else 60)
    pmtu.follow(tcb, lab.now)
    assert tcb.mss == mss


def test_the_peers_mss_is_kept_to(lab: Lab) -> None:
    """RFC 9293 3.7.1 (MUST-16): Eff.snd.MSS is never more than what the peer said, without options."""
    tcb = connected(lab)
    tcb.peer_mss = 700
    pmtu.sync(tcb)
    assert tcb.mss == 700 - 12
    tcb.ts_ok = False
    pmtu.sync(tcb)
    assert tcb.mss == 700
    tcb.peer_mss = 1
    pmtu.sync(tcb)
    assert tcb.mss == 48  # tcp_min_snd_mss


def test_a_segment_is_half_the_largest_window_at_most(lab: Lab) -> None:
    """RFC 9293 3.8.6.2.1: a window of less than two segments would lie idle half of the time."""
    tcb = connected(lab)
    tcb.max_window = 2000
    pmtu.sync(tcb)
    assert tcb.mss == 1000
    tcb.max_window = 500
    pmtu.sync(tcb)
    assert tcb.mss == 500


def test_to_itself_a_namespace_sends_what_lo_takes(lab: Lab) -> None:
    """RFC 9293 3.7.1: a local address is reached by lo, whatever device has it."""
    tcb = connected(lab)
    tcb.peer = tcb.local
    tcb.route = None
    route = pmtu.route_of(tcb, lab.now)
    assert pmtu.path_mtu(tcb.ns, 4, route, tcb.peer, lab.now) == 65535


def test_what_a_route_advertises_goes_before_the_mtu(lab: Lab) -> None:
    """RFC 9293 3.7.1: ip-route(8)'s advmss; TCP_MAXSEG bounds it."""
    tcb = connected(lab)
    peer = tcb.sock.getpeername()[0]
    tcb.ns.add_route(f"{peer}/32", dev=device_of(tcb).name, advmss=900, now=lab.now)
    route = pmtu.route_of(tcb, lab.now)
    assert pmtu.advertised_mss(tcb.ns, 4, route, tcb.peer, 0, lab.now) == 900
    assert pmtu.advertised_mss(tcb.ns, 4, route, tcb.peer, 600, lab.now) == 600


def searching(lab: Lab):
    """A connection whose segments are being searched for between 1024 and 1448 bytes, with a window that allows it."""
    tcb = connected(lab)
    tcb.cwnd = tcb.snd_wnd = 1 << 20
    pmtu.suspect_black_hole(tcb, lab.now)
    return tcb


def test_a_suspicion_falls_back_to_the_base(lab: Lab) -> None:
    """RFC 8899 4.3, RFC 4821 7.2: BASE_PLPMTU, 1024 bytes of data; halved with each further one."""
    tcb = searching(lab)
    assert tcb.mss == 1024
    pmtu.suspect_black_hole(tcb, lab.now)
    assert tcb.mss == 512
    for _ in range(10):
        pmtu.suspect_black_hole(tcb, lab.now)
    assert tcb.mss == 48  # tcp_mtu_probe_floor


def test_the_search_halves_what_is_in_doubt(lab: Lab) -> None:
    """RFC 4821 7.3: a size in the middle; up when it arrives, down when it does not, until little is to be won."""
    tcb = searching(lab)
    sizes = []
    unsent = window = room = 1 << 20
    while (size := pmtu.probe_size(tcb, unsent, window, room, lab.now)) > 0:
        sizes.append(size)
        start = tcb.snd_nxt
        pmtu.probe_sent(tcb, start, start + size)
        assert pmtu.probe_size(tcb, unsent, window, room, lab.now) == 0  # one at a time
        if size <= 1200:  # the path takes so much
            tcb.snd_una = tcb.snd_nxt = start + size
            pmtu.probe_acked(tcb)
        else:
            assert pmtu.probe_lost(tcb)
    assert sizes == [1236, 1129, 1182, 1208, 1194, 1200]
    assert tcb.mss == 1200


def test_a_probe_waits_until_a_loss_would_be_noticed(lab: Lab) -> None:
    """RFC 4821 7.4: enough has to follow that duplicate ACKs can come, and the windows have to take it all."""
    tcb = searching(lab)
    needed = 1236 + 4 * 1024
    assert pmtu.probe_size(tcb, needed - 1, 1 << 20, 1 << 20, lab.now) == 0
    assert pmtu.probe_size(tcb, needed, needed - 1, 1 << 20, lab.now) == -1
    assert pmtu.probe_size(tcb, needed, needed, 1 << 20, lab.now) == 1236
    tcb.cwnd = 10 * 1024
    assert pmtu.probe_size(tcb, needed, needed, 1 << 20, lab.now) == 0


def test_something_else_that_is_lost_is_no_failure(lab: Lab) -> None:
    """RFC 4821 7.6: only the loss of the probe itself says something about its size."""
    tcb = searching(lab)
    pmtu.probe_sent(tcb, tcb.snd_una + 5000, tcb.snd_una + 6236)
    assert not pmtu.probe_lost(tcb)
    pmtu.probe_inconclusive(tcb)
    assert tcb.mtu_probe.size == 0
    assert tcb.mtu_probe.high == 1500


def test_the_search_begins_anew_after_a_while(lab: Lab) -> None:
    """RFC 4821 7.5, tcp_probe_interval: ten minutes later the path may take more."""
    tcb = searching(lab)
    tcb.mtu_probe.high = tcb.mtu_probe.low + 4
    assert pmtu.probe_size(tcb, 1 << 20, 1 << 20, 1 << 20, lab.now + 599 * SECOND) == 0
    assert tcb.mtu_probe.high == tcb.mtu_probe.low + 4
    assert pmtu.probe_size(tcb, 1 << 20, 1 << 20, 1 << 20, lab.now + 600 * SECOND) == 0
    assert tcb.mtu_probe.high == 1500
    assert pmtu.probe_size(tcb, 1 << 20, 1 << 20, 1 << 20, lab.now + 600 * SECOND) == 1236
