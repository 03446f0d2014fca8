"""Port role transitions (IEEE 802.1D-2004 17.29): what a port with its role does until it forwards, or discards.

`role_transition` makes one transition of the machine and says whether it made one. The states of figures 17-20 to
17-23 whose actions leave nothing behind but variables are not kept: a condition that holds is acted upon.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from vrouter.stack.l2.stp.port import ALTERNATE_PORT, BACKUP_PORT, DESIGNATED_PORT, DISABLED_PORT, ROOT_PORT, StpPort

if TYPE_CHECKING:
    from vrouter.stack.l2.stp.tree import SpanningTree


def begin(tree: SpanningTree, p: StpPort) -> None:
    """INIT_PORT."""
    p.role = DISABLED_PORT
    p.learn = p.forward = p.synced = False
    p.sync = p.reroot = True
    p.rr_while = tree.fwd_delay(p)
    p.fd_while = tree.max_age(p)
    p.rb_while = 0


def role_transition(tree: SpanningTree, p: StpPort) -> bool:
    """PRT: one transition, if one is due."""
    if not p.selected or p.updt_info:
        return False
    role = p.selected_role
    if role == DISABLED_PORT:
        return _disabled(tree, p)
    if role == ROOT_PORT:
        return _root(tree, p)
    if role == DESIGNATED_PORT:
        return _designated(tree, p)
    return _alternate(tree, p)


def _disabled(tree: SpanningTree, p: StpPort) -> bool:
    """Figure 17-20."""
    if p.role != DISABLED_PORT:  # DISABLE_PORT
        p.role = DISABLED_PORT
        p.learn = p.forward = False
        return True
    if p.learning or p.forwarding:
        return False
    if p.fd_while != tree.max_age(p) or p.sync or p.reroot or not p.synced or p.rr_while:  # DISABLED_PORT
        p.fd_while, p.synced, p.rr_while, p.sync, p.reroot = tree.max_age(p), True, 0, False, False
        return True
    return False


def _root(tree: SpanningTree, p: StpPort) -> bool:
    """Figure 17-21."""
    if p.role != ROOT_PORT or p.rr_while != tree.fwd_delay(p):  # ROOT_PORT
        p.role, p.rr_while = ROOT_PORT, tree.fwd_delay(p)
        return True
    if p.proposed and not p.agree:  # ROOT_PROPOSED
        _set_sync(tree)
        p.proposed = False
        return True
    if (not p.agree and tree.all_synced()) or (p.proposed and p.agree):  # ROOT_AGREED
        p.proposed = p.sync = False
        p.agree = p.new_info = True
        return True
    if not p.forward and not p.reroot:  # REROOT
        for one in tree.ports:
            one.reroot = True
        return True
    if p.reroot and p.forward:  # REROOTED
        p.reroot = False
        return True
    if not p.forward and (p.fd_while == 0 or (tree.rstp and p.rb_while == 0 and _rerooted(tree, p))):
        if not p.learn:  # ROOT_LEARN
            p.fd_while, p.learn = tree.forward_delay(p), True
        else:  # ROOT_FORWARD
            p.fd_while, p.forward = 0, True
        return True
    return False


def _designated(tree: SpanningTree, p: StpPort) -> bool:
    """Figure 17-22."""
    if p.role != DESIGNATED_PORT:  # DESIGNATED_PORT
        p.role = DESIGNATED_PORT
        return True
    if not (p.forward or p.agreed or p.proposing or p.edge):  # DESIGNATED_PROPOSE
        p.proposing = p.new_info = True
        p.edge_delay_while = tree.edge_delay(p)
        return True
    if (not p.synced and (p.agreed or p.edge or not (p.learning or p.forwarding))) or (p.sync and p.synced):
        p.rr_while, p.synced, p.sync = 0, True, False  # DESIGNATED_SYNCED
        return True
    if p.rr_while == 0 and p.reroot:  # DESIGNATED_RETIRED
        p.reroot = False
        return True
    if (p.learn or p.forward) and not p.edge:
        if (p.sync and not p.synced) or (p.reroot and p.rr_while != 0) or p.disputed:  # DESIGNATED_DISCARD
            p.learn = p.forward = p.disputed = False
            p.fd_while = tree.forward_delay(p)
            return True
    if not p.forward and (p.fd_while == 0 or p.agreed or p.edge) and (p.rr_while == 0 or not p.reroot) and not p.sync:
        if not p.learn:  # DESIGNATED_LEARN
            p.learn, p.fd_while = True, tree.forward_delay(p)
        else:  # DESIGNATED_FORWARD
            p.forward, p.fd_while, p.agreed = True, 0, p.send_rstp
        return True
    return False


def _alternate(tree: SpanningTree, p: StpPort) -> bool:
    """Figure 17-23: alternate and backup ports."""
    if p.role != p.selected_role:  # BLOCK_PORT
        p.role = p.selected_role
        p.learn = p.forward = False
        return True
    if p.learning or p.forwarding:
        return False
    if p.role == ALTERNATE_PORT:
        if p.proposed and not p.agree:  # ALTERNATE_PROPOSED
            _set_sync(tree)
            p.proposed = False
            return True
        if (not p.agree and tree.all_synced()) or (p.proposed and p.agree):  # ALTERNATE_AGREED
            p.proposed = False
            p.agree = p.new_info = True
            return True
    if p.fd_while != tree.forward_delay(p) or p.sync or p.reroot or not p.synced or p.rr_while:  # ALTERNATE_PORT
        p.fd_while, p.synced, p.rr_while, p.sync, p.reroot = tree.forward_delay(p), True, 0, False, False
        return True
    if p.role == BACKUP_PORT and p.rb_while != 2 * tree.hello_time(p):  # BACKUP_PORT
        p.rb_while = 2 * tree.hello_time(p)
        return True
    return False


def _set_sync(tree: SpanningTree) -> None:
    """SetSyncTree (17.21.14)."""
    for one in tree.ports:
        one.sync = True


def _rerooted(tree: SpanningTree, p: StpPort) -> bool:
    """The condition reRooted (17.20.10): no other port was root so lately that it may still forward."""
    return all(one is p or one.rr_while == 0 for one in tree.ports)
