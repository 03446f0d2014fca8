"""The state machines of a port (IEEE 802.1D-2004 17.23 to 17.27, 17.30, 17.31); its role's is in `transitions`.

Each function looks whether its machine has a transition to make, makes one, and says whether it did. `SpanningTree`
calls them until none has. What a machine wants of the world (a BPDU sent, a state set, the filtering database flushed)
it puts on the tree's list of actions.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from vrouter.stack.l2.stp.port import (
    DESIGNATED_PORT,
    INFO_AGED,
    INFO_DISABLED,
    INFO_MINE,
    INFO_RECEIVED,
    MIGRATE_TIME,
    PIM_AGED,
    PIM_CURRENT,
    PIM_DISABLED,
    PPM_CHECKING,
    PPM_SELECTING,
    PPM_SENSING,
    PRX_DISCARD,
    PRX_RECEIVE,
    PST_DISCARDING,
    PST_FORWARDING,
    PST_LEARNING,
    ROOT_PORT,
    TCM_ACTIVE,
    TCM_INACTIVE,
    TCM_LEARNING,
    StpPort,
)
from vrouter.stack.wire import stp as wire
from vrouter.stack.wire.stp import Bpdu

if TYPE_CHECKING:
    from vrouter.stack.l2.stp.tree import SpanningTree

# Results of rcvInfo (17.21.8)
SUPERIOR, REPEATED, INFERIOR, NOT_DESIGNATED, OTHER = range(5)


def begin(tree: SpanningTree, p: StpPort) -> None:
    """BEGIN of every machine of the port."""
    _prx_discard(p)
    _ppm_checking(tree, p)
    p.is_edge_state = p.edge = p.admin_edge
    p.new_info, p.tx_count, p.hello_when = True, 0, tree.hello_time(p)
    _pim_disabled(p)
    p.pst, p.learning, p.forwarding = PST_DISCARDING, False, False
    p.tcm, p.tc_while, p.tc_ack = TCM_INACTIVE, 0, False


# -- 17.23: port receive -----------------------------------------------------------------------------------------------


def port_receive(tree: SpanningTree, p: StpPort) -> bool:
    """PRX: one BPDU at a time is handed to the other machines; a port that is not enabled hears nothing."""
    if not p.enabled:
        if p.rcvd_bpdu or p.edge_delay_while != MIGRATE_TIME:
            _prx_discard(p)
            return True
        return False
    if p.rcvd_bpdu and (p.prx == PRX_DISCARD or not p.rcvd_msg):
        assert p.bpdu is not None
        p.prx = PRX_RECEIVE
        if p.bpdu.type == wire.TYPE_RST:  # updtBPDUVersion, 17.21.22
            p.rcvd_rstp = True
        else:
            p.rcvd_stp = True
        p.edge = p.rcvd_bpdu = False
        p.rcvd_msg = True
        p.edge_delay_while = MIGRATE_TIME
        return True
    return False


def _prx_discard(p: StpPort) -> None:
    p.prx = PRX_DISCARD
    p.rcvd_bpdu = p.rcvd_rstp = p.rcvd_stp = p.rcvd_msg = False
    p.edge_delay_while = MIGRATE_TIME


# -- 17.24: port protocol migration ------------------------------------------------------------------------------------


def protocol_migration(tree: SpanningTree, p: StpPort) -> bool:
    """PPM: speak STP while a neighbour does, and try RSTP again when told to (mcheck)."""
    if p.ppm == PPM_CHECKING:
        if p.mdelay_while == 0:
            return _ppm_sensing(p)
        if p.mdelay_while != MIGRATE_TIME and not p.enabled:
            return _ppm_checking(tree, p)
        return False
    if p.ppm == PPM_SELECTING:
        if p.mdelay_while == 0 or not p.enabled or p.mcheck:
            return _ppm_sensing(p)
        return False
    if not p.enabled or p.mcheck or (tree.rstp and not p.send_rstp and p.rcvd_rstp):
        return _ppm_checking(tree, p)
    if p.send_rstp and p.rcvd_stp:
        p.ppm, p.send_rstp, p.mdelay_while = PPM_SELECTING, False, MIGRATE_TIME
        return True
    return False


def _ppm_checking(tree: SpanningTree, p: StpPort) -> bool:
    p.ppm, p.mcheck, p.send_rstp, p.mdelay_while = PPM_CHECKING, False, tree.rstp, MIGRATE_TIME
    return True


def _ppm_sensing(p: StpPort) -> bool:
    p.ppm, p.rcvd_rstp, p.rcvd_stp = PPM_SENSING, False, False
    return True


# -- 17.25: bridge detection -------------------------------------------------------------------------------------------


def bridge_detection(tree: SpanningTree, p: StpPort) -> bool:
    """BDM: a port is at the edge of the network when it is said to be, or when nobody answers its proposals."""
    if p.is_edge_state:
        if (not p.enabled and not p.admin_edge) or not p.edge:
            p.is_edge_state = p.edge = False
            return True
        return False
    if (not p.enabled and p.admin_edge) or (p.edge_delay_while == 0 and p.auto_edge and p.send_rstp and p.proposing):
        p.is_edge_state = p.edge = True
        return True
    return False


# -- 17.26: port transmit ----------------------------------------------------------------------------------------------


def port_transmit(tree: SpanningTree, p: StpPort) -> bool:
    """PTX: at each hello time from designated ports, at once when there is news, no more than TxHoldCount a second."""
    if not p.selected or p.updt_info or not p.enabled:
        return False
    if p.hello_when == 0:  # TRANSMIT_PERIODIC
        p.new_info = p.new_info or p.role == DESIGNATED_PORT or (p.role == ROOT_PORT and p.tc_while != 0)
        p.hello_when = tree.hello_time(p)
        return True
    if not p.new_info or p.tx_count >= tree.tx_hold_count:
        return False
    if p.send_rstp:
        bpdu = _rst(p)
    elif p.role == DESIGNATED_PORT:
        bpdu = _config(p)
    elif p.role == ROOT_PORT:
        bpdu = Bpdu(wire.VERSION_STP, wire.TYPE_TCN)
    else:
        return False
    if bpdu.type != wire.TYPE_TCN:
        p.tc_ack = False
    p.new_info = False
    p.tx_count += 1
    p.hello_when = tree.hello_time(p)
    tree.actions.append(("bpdu", p.owner, bpdu.to_bytes()))
    return True


def _config(p: StpPort) -> Bpdu:
    """TxConfig (17.21.19)."""
    flags = (wire.F_TC if p.tc_while else 0) | (wire.F_TC_ACK if p.tc_ack else 0)
    return Bpdu(wire.VERSION_STP, wire.TYPE_CONFIG, flags, *p.designated_vector, *p.designated_times)


def _rst(p: StpPort) -> Bpdu:
    """TxRstp (17.21.20)."""
    if p.role == ROOT_PORT:
        role = wire.ROLE_ROOT
    elif p.role == DESIGNATED_PORT:
        role = wire.ROLE_DESIGNATED
    else:
        role = wire.ROLE_ALTERNATE_BACKUP
    flags = role << 2
    if p.agree:
        flags |= wire.F_AGREEMENT
    if p.proposing:
        flags |= wire.F_PROPOSAL
    if p.tc_while:
        flags |= wire.F_TC
    if p.learning:
        flags |= wire.F_LEARNING
    if p.forwarding:
        flags |= wire.F_FORWARDING
    return Bpdu(wire.VERSION_RSTP, wire.TYPE_RST, flags, *p.designated_vector, *p.designated_times)


# -- 17.27: port information -------------------------------------------------------------------------------------------


def port_information(tree: SpanningTree, p: StpPort) -> bool:
    """PIM: what is held to be true of the link, by whom, and until when."""
    if not p.enabled:
        if p.info_is != INFO_DISABLED or p.rcvd_msg:
            _pim_disabled(p)
            return True
        return False
    if p.pim == PIM_DISABLED:
        return _pim_aged(p)
    if p.selected and p.updt_info:  # UPDATE
        p.proposing = p.proposed = False
        p.agreed = p.agreed and p.info_is == INFO_MINE and p.designated_vector <= p.port_vector
        p.synced = p.synced and p.agreed
        p.port_vector, p.port_times = p.designated_vector, p.designated_times
        p.updt_info, p.info_is, p.new_info, p.pim = False, INFO_MINE, True, PIM_CURRENT
        return True
    if p.pim != PIM_CURRENT or p.updt_info:
        return False
    if p.rcvd_msg:  # RECEIVE, and what follows from it
        _received(tree, p)
        p.rcvd_msg = False
        return True
    if p.info_is == INFO_RECEIVED and p.rcvd_info_while == 0:
        return _pim_aged(p)
    return False


def _pim_disabled(p: StpPort) -> None:
    p.pim, p.info_is, p.rcvd_info_while = PIM_DISABLED, INFO_DISABLED, 0
    p.rcvd_msg = p.proposing = p.proposed = p.agree = p.agreed = False
    p.reselect, p.selected = True, False


def _pim_aged(p: StpPort) -> bool:
    p.pim, p.info_is, p.reselect, p.selected = PIM_AGED, INFO_AGED, True, False
    return True


def _received(tree: SpanningTree, p: StpPort) -> None:
    bpdu = p.bpdu
    assert bpdu is not None
    verdict = received_info(p, bpdu)
    if verdict == SUPERIOR:
        p.agreed = p.proposing = False
        _record_proposal(p, bpdu)
        _set_tc_flags(p, bpdu)
        p.agree = p.agree and p.info_is == INFO_RECEIVED and p.msg_vector <= p.port_vector
        p.port_vector = p.msg_vector
        age, max_age, hello, delay = p.msg_times
        p.port_times = (age, max_age, max(hello, wire.UNITS), delay)  # recordTimes: at least 1 s, Table 17-1
        _update_info_while(p)
        p.info_is, p.reselect, p.selected = INFO_RECEIVED, True, False
    elif verdict == REPEATED:
        _record_proposal(p, bpdu)
        _set_tc_flags(p, bpdu)
        _update_info_while(p)
    elif verdict == INFERIOR:
        if bpdu.type == wire.TYPE_RST and bpdu.flags & wire.F_LEARNING:  # recordDispute, 17.21.10
            p.disputed, p.agreed = True, False
    elif verdict == NOT_DESIGNATED:
        # recordAgreement, 17.21.9
        p.agreed = bool(tree.rstp and p.oper_p2p and bpdu.flags & wire.F_AGREEMENT)
        if p.agreed:
            p.proposing = False
        _set_tc_flags(p, bpdu)
    elif bpdu.type == wire.TYPE_TCN:
        # Figure 17-18 calls setTcFlags in other states alone, but 17.21.17 says that a notification sets rcvdTcn.
        p.rcvd_tcn = True


def received_info(p: StpPort, bpdu: Bpdu) -> int:
    """RcvInfo (17.21.8): how the message compares with what is held; sets the message's vector and times."""
    if bpdu.type == wire.TYPE_TCN:
        return OTHER
    vector = p.msg_vector = (bpdu.root, bpdu.cost, bpdu.bridge, bpdu.port)
    times = p.msg_times = (bpdu.message_age, bpdu.max_age, bpdu.hello_time, bpdu.forward_delay)
    held = p.port_vector
    role = bpdu.role
    if role == wire.ROLE_DESIGNATED or role == wire.ROLE_UNKNOWN:  # 9.2.9: an unknown role is as in a configuration
        if vector == held:
            recorded = (times[0], times[1], max(times[2], wire.UNITS), times[3])
            same = p.info_is == INFO_RECEIVED and recorded == p.port_times
            return REPEATED if same else SUPERIOR
        # 17.6: the same designated port may take back what it said.
        return SUPERIOR if vector < held or _transmitter(vector) == _transmitter(held) else INFERIOR
    return NOT_DESIGNATED if vector >= held else OTHER


def _transmitter(vector: tuple[int, int, int, int]) -> tuple[int, int]:
    """The designated bridge's address and the number of its port, without the priorities (17.6)."""
    return vector[2] & 0xFFFFFFFFFFFF, vector[3] & 0x0FFF


def _record_proposal(p: StpPort, bpdu: Bpdu) -> None:
    """RecordProposal (17.21.11)."""
    if bpdu.type == wire.TYPE_RST and bpdu.role == wire.ROLE_DESIGNATED and bpdu.flags & wire.F_PROPOSAL:
        p.proposed = True


def _set_tc_flags(p: StpPort, bpdu: Bpdu) -> None:
    """SetTcFlags (17.21.17)."""
    if bpdu.flags & wire.F_TC:
        p.rcvd_tc = True
    if bpdu.flags & wire.F_TC_ACK:
        p.rcvd_tc_ack = True


def _update_info_while(p: StpPort) -> None:
    """UpdtRcvdInfoWhile (17.21.23): three hello times, unless the message is too old already."""
    age, max_age, hello, _ = p.port_times
    p.rcvd_info_while = -(-3 * hello // wire.UNITS) if aged(age) <= max_age else 0


def aged(age: int) -> int:
    """A message age one hop on: a second more, rounded to whole seconds."""
    return (age + wire.UNITS + wire.UNITS // 2) // wire.UNITS * wire.UNITS


# -- 17.30: port state transition --------------------------------------------------------------------------------------


def state_transition(tree: SpanningTree, p: StpPort) -> bool:
    """PST: learning and forwarding follow learn and forward."""
    if p.pst == PST_DISCARDING:
        if not p.learn:
            return False
        p.pst, p.learning = PST_LEARNING, True
    elif p.pst == PST_LEARNING and p.learn and p.forward:
        p.pst, p.forwarding = PST_FORWARDING, True
    elif (p.pst == PST_LEARNING and not p.learn) or (p.pst == PST_FORWARDING and not p.forward):
        p.pst, p.learning, p.forwarding = PST_DISCARDING, False, False
    else:
        return False
    tree.actions.append(("state", p.owner, p.pst))
    return True


# -- 17.31: topology change --------------------------------------------------------------------------------------------


def topology_change(tree: SpanningTree, p: StpPort) -> bool:
    """TCM: a port that begins to forward is news for all; what was learnt elsewhere is forgotten."""
    active_role = p.role == ROOT_PORT or p.role == DESIGNATED_PORT
    if p.tcm == TCM_INACTIVE:
        if p.learn and not p.fdb_flush:
            return _tcm_learning(p)
        return False
    if p.tcm == TCM_LEARNING:
        if active_role and p.forward and not p.edge:  # DETECTED
            _new_tc_while(tree, p)
            _set_tc_prop(tree, p)
            p.new_info, p.tcm = True, TCM_ACTIVE
            tree.note_change()
            return True
        heard = p.rcvd_tc or p.rcvd_tcn or p.rcvd_tc_ack or p.tc_prop
        if heard:
            return _tcm_learning(p)
        if not active_role and not p.learn and not p.learning:
            p.tcm, p.tc_while, p.tc_ack = TCM_INACTIVE, 0, False
            _flush(tree, p)
            return True
        return False
    if not active_role or p.edge:
        return _tcm_learning(p)
    if p.rcvd_tcn or p.rcvd_tc:
        if p.rcvd_tcn:  # NOTIFIED_TCN
            _new_tc_while(tree, p)
            tree.note_change()
        p.rcvd_tcn = p.rcvd_tc = False  # NOTIFIED_TC
        p.tc_ack = p.tc_ack or p.role == DESIGNATED_PORT
        _set_tc_prop(tree, p)
        return True
    if p.tc_prop:  # PROPAGATING
        _new_tc_while(tree, p)
        _flush(tree, p)
        p.tc_prop = False
        return True
    if p.rcvd_tc_ack:  # ACKNOWLEDGED
        p.tc_while, p.rcvd_tc_ack = 0, False
        return True
    return False


def _tcm_learning(p: StpPort) -> bool:
    p.tcm = TCM_LEARNING
    p.rcvd_tc = p.rcvd_tcn = p.rcvd_tc_ack = p.tc_prop = False
    return True


def _new_tc_while(tree: SpanningTree, p: StpPort) -> None:
    """NewTcWhile (17.21.7)."""
    if p.tc_while == 0:
        if p.send_rstp:
            p.tc_while = tree.hello_time(p) + 1
            p.new_info = True
        else:
            p.tc_while = -(-(tree.root_times[1] + tree.root_times[3]) // wire.UNITS)


def _set_tc_prop(tree: SpanningTree, p: StpPort) -> None:
    """SetTcPropTree (17.21.18)."""
    for other in tree.ports:
        if other is not p:
            other.tc_prop = True


def _flush(tree: SpanningTree, p: StpPort) -> None:
    """Set fdbFlush (17.19.7): the filtering database is told, and the flag is down again before the next decision."""
    if not p.edge:
        tree.actions.append(("flush", p.owner, tree.rstp))
