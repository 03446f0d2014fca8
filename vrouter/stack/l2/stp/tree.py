"""The spanning tree of one bridge: role selection, timers, and the machines of its ports run to rest.

A function of state, BPDU and tick: `receive` and `tick` (once a second) change it, and what is to be done is left in
``actions``, in order:

====================================  ==================================================================================
("bpdu", owner, octets)               send this BPDU by the port
("state", owner, state)               the port is now PST_DISCARDING, PST_LEARNING or PST_FORWARDING
("flush", owner, at once)             forget what was learnt at the port; not at once: by ageing within a forward delay
====================================  ==================================================================================

One object per bridge that runs the protocol; its ports are `StpPort` objects, whose names are the standard's.
``rstp`` False is the standard's forced version 0: the same machines speak STP and wait as STP waits.

Read first: IEEE 802.1D-2004 clause 17 (17.5 and 17.6: vectors; 17.13: what may be configured).
"""

from __future__ import annotations

from typing import Any, Final

from vrouter.stack.l2.stp import machines, transitions
from vrouter.stack.l2.stp.port import (
    ALTERNATE_PORT,
    BACKUP_PORT,
    DEFAULT_PATH_COST,
    DEFAULT_PORT_PRIORITY,
    DESIGNATED_PORT,
    DISABLED_PORT,
    INFO_AGED,
    INFO_DISABLED,
    INFO_MINE,
    INFO_RECEIVED,
    MIGRATE_TIME,
    ROOT_PORT,
    StpPort,
    Times,
    Vector,
)
from vrouter.stack.wire.stp import TYPE_TCN, UNITS, Bpdu, bridge_id, port_id

DEFAULT_PRIORITY: Final = 32768
DEFAULT_HELLO: Final = 2  # s, Table 17-1
DEFAULT_MAX_AGE: Final = 20
DEFAULT_FORWARD_DELAY: Final = 15
TX_HOLD_COUNT: Final = 6

_MACHINES: Final = (
    machines.port_receive,
    machines.protocol_migration,
    machines.bridge_detection,
    machines.port_information,
    transitions.role_transition,
    machines.state_transition,
    machines.topology_change,
)


class SpanningTree:
    """The protocol's state of a bridge with address `mac`; times in whole seconds."""

    __slots__ = (
        "actions",
        "bridge_id",
        "changes",
        "ports",
        "priority",
        "root_port",
        "root_times",
        "root_vector",
        "rstp",
        "times",
        "tx_hold_count",
    )

    def __init__(
        self,
        mac: bytes,
        *,
        rstp: bool = True,
        priority: int = DEFAULT_PRIORITY,
        hello_time: int = DEFAULT_HELLO,
        max_age: int = DEFAULT_MAX_AGE,
        forward_delay: int = DEFAULT_FORWARD_DELAY,
    ) -> None:
        self.rstp = rstp
        self.priority = priority
        self.bridge_id = bridge_id(priority, mac)
        self.times: Times = (0, max_age * UNITS, hello_time * UNITS, forward_delay * UNITS)  # BridgeTimes
        self.tx_hold_count = TX_HOLD_COUNT
        self.ports: list[StpPort] = []
        self.root_vector: Vector = (self.bridge_id, 0, self.bridge_id, 0)
        self.root_times = self.times
        self.root_port: StpPort | None = None
        self.actions: list[tuple[Any, ...]] = []
        self.changes = 0  # of the topology, that were detected here or notified

    # -- configuration (17.13) ----------------------------------------------------------------------------------------

    def add_port(
        self,
        owner: Any,
        number: int,
        *,
        priority: int = DEFAULT_PORT_PRIORITY,
        cost: int = DEFAULT_PATH_COST,
        edge: bool | None = None,
        restricted_role: bool = False,
    ) -> StpPort:
        """A new port, not enabled yet. `edge` True: it is at the edge, False: never, None: found out (17.25)."""
        p = StpPort(owner, number, port_id(priority, number))
        p.cost = cost
        p.admin_edge, p.auto_edge, p.restricted_role = edge is True, edge is None, restricted_role
        self.ports.append(p)
        self._begin(p)
        self.run()
        return p

    def remove_port(self, p: StpPort) -> None:
        """The port is no more."""
        self.set_enabled(p, False)
        self.ports.remove(p)
        if self.ports:
            self.reselect()
        else:
            self._update_roles()

    def set_enabled(self, p: StpPort, enabled: bool) -> None:
        """The link of a port came, or went."""
        if p.enabled != enabled:
            p.enabled = enabled
            self.run()

    def set_edge(self, p: StpPort, edge: bool | None) -> None:
        """AdminEdge and AutoEdge, as for `add_port`."""
        p.admin_edge, p.auto_edge = edge is True, edge is None
        if edge is not None:
            p.edge = p.is_edge_state = edge
        self.run()

    def set_port(self, p: StpPort, *, priority: int, cost: int, restricted_role: bool) -> None:
        """Priority, path cost, and whether it may become the root port (17.13.10, 17.13.11)."""
        p.port_id, p.cost, p.restricted_role = port_id(priority, p.number), cost, restricted_role
        self.reselect()

    def set_bridge(
        self, mac: bytes, *, rstp: bool, priority: int, hello_time: int, max_age: int, forward_delay: int
    ) -> None:
        """The bridge's own parameters; another version of the protocol begins anew (17.13.4)."""
        self.priority, self.bridge_id = priority, bridge_id(priority, mac)
        self.times = (0, max_age * UNITS, hello_time * UNITS, forward_delay * UNITS)
        if rstp != self.rstp:
            self.rstp = rstp
            for p in self.ports:
                forwarded = p.pst
                self._begin(p)
                if forwarded:
                    self.actions.append(("state", p.owner, p.pst))
        self.reselect()

    def reselect(self) -> None:
        """Choose all roles anew."""
        for p in self.ports:
            p.reselect, p.selected = True, False
        self.run()

    def _begin(self, p: StpPort) -> None:
        p.designated_times = self.times
        p.selected_role = DISABLED_PORT  # updtRoleDisabledTree, 17.21.24
        transitions.begin(self, p)
        machines.begin(self, p)

    # -- what happens -------------------------------------------------------------------------------------------------

    def receive(self, p: StpPort, bpdu: Bpdu) -> bool:
        """A BPDU came in by a port; False when it is the port's own, come back (9.3.4)."""
        if bpdu.type != TYPE_TCN and bpdu.bridge == self.bridge_id and bpdu.port == p.port_id:
            return False
        p.bpdu, p.rcvd_bpdu = bpdu, True
        self.run()
        return True

    def tick(self) -> None:
        """Port timers (17.22): a second is over."""
        for p in self.ports:
            p.hello_when -= p.hello_when > 0
            p.tc_while -= p.tc_while > 0
            p.fd_while -= p.fd_while > 0
            p.rcvd_info_while -= p.rcvd_info_while > 0
            p.rr_while -= p.rr_while > 0
            p.rb_while -= p.rb_while > 0
            p.mdelay_while -= p.mdelay_while > 0
            p.edge_delay_while -= p.edge_delay_while > 0
            p.tx_count -= p.tx_count > 0
        self.run()

    def run(self) -> None:
        """Let every machine make its transitions until none has any; what is sent says how it ended."""
        busy = True
        while busy:
            busy = False
            for p in self.ports:
                for machine in _MACHINES:
                    while machine(self, p):
                        busy = True
            if any(p.reselect for p in self.ports):
                self._select_roles()
                busy = True
            if not busy:
                for p in self.ports:
                    while machines.port_transmit(self, p):
                        pass

    def note_change(self) -> None:
        """One more change of the topology."""
        self.changes += 1

    # -- 17.28: port role selection -----------------------------------------------------------------------------------

    def _select_roles(self) -> None:
        """PRS: ROLE_SELECTION."""
        for p in self.ports:
            p.reselect = False  # clearReselectTree, 17.21.2
        self._update_roles()
        for p in self.ports:
            p.selected = True  # setSelectedTree, 17.21.16

    def _update_roles(self) -> None:
        """UpdtRolesTree (17.21.25)."""
        own: Vector = (self.bridge_id, 0, self.bridge_id, 0)
        best: tuple[int, int, int, int, int] = (*own, 0)
        root_port = None
        address = self.bridge_id & 0xFFFFFFFFFFFF
        for p in self.ports:
            if p.info_is != INFO_RECEIVED or p.restricted_role:
                continue
            root, cost, bridge, port = p.port_vector
            if bridge & 0xFFFFFFFFFFFF != address:
                path = (root, min(cost + p.cost, 0xFFFFFFFF), bridge, port, p.port_id)
                if path < best:
                    best, root_port = path, p
        self.root_vector, self.root_port = best[:4], root_port
        if root_port is None:
            self.root_times = self.times
        else:
            age, max_age, hello, delay = root_port.port_times
            self.root_times = (min(machines.aged(age), 0xFFFF), max_age, hello, delay)
        for p in self.ports:
            p.designated_vector = (best[0], best[1], self.bridge_id, p.port_id)
            p.designated_times = (self.root_times[0], self.root_times[1], self.times[2], self.root_times[3])
            self._choose_role(p)

    def _choose_role(self, p: StpPort) -> None:
        if p.info_is == INFO_DISABLED:
            p.selected_role = DISABLED_PORT
        elif p.info_is == INFO_AGED:
            p.selected_role, p.updt_info = DESIGNATED_PORT, True
        elif p.info_is == INFO_MINE:
            p.selected_role = DESIGNATED_PORT
            p.updt_info = p.port_vector != p.designated_vector or p.port_times != p.designated_times
        elif p is self.root_port:
            p.selected_role, p.updt_info = ROOT_PORT, False
        elif p.designated_vector < p.port_vector:
            p.selected_role, p.updt_info = DESIGNATED_PORT, True
        else:
            from_here = p.port_vector[2] & 0xFFFFFFFFFFFF == self.bridge_id & 0xFFFFFFFFFFFF
            p.selected_role, p.updt_info = BACKUP_PORT if from_here else ALTERNATE_PORT, False

    # -- conditions (17.20), in whole seconds -------------------------------------------------------------------------

    def all_synced(self) -> bool:
        """AllSynced (17.20.3). A port with new information to take over (updtInfo) was synced with the old: to agree on
        the strength of that would close a circle while costs count up."""
        return all(
            p.selected and not p.updt_info and p.role == p.selected_role and (p.synced or p.role == ROOT_PORT)
            for p in self.ports
        )

    def hello_time(self, p: StpPort) -> int:
        """HelloTime."""
        return -(-p.designated_times[2] // UNITS)

    def max_age(self, p: StpPort) -> int:
        """MaxAge."""
        return -(-p.designated_times[1] // UNITS)

    def fwd_delay(self, p: StpPort) -> int:
        """FwdDelay."""
        return -(-p.designated_times[3] // UNITS)

    def forward_delay(self, p: StpPort) -> int:
        """ForwardDelay (17.20.6): FwdDelay, or the hello time where the neighbour speaks RSTP."""
        return self.hello_time(p) if p.send_rstp else self.fwd_delay(p)

    def edge_delay(self, p: StpPort) -> int:
        """EdgeDelay (17.20.4)."""
        return MIGRATE_TIME if p.oper_p2p else self.max_age(p)
