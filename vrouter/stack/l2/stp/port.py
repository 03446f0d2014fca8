"""What the spanning tree knows of one port: the variables and timers of IEEE 802.1D-2004 17.17 to 17.19.

Names are the standard's in snake case. Timers count whole seconds down to 0. A *vector* is the tuple (root identifier,
root path cost, designated bridge identifier, designated port identifier); tuples compare as 17.5 asks: less is better.
*Times* are the tuple (message age, max age, hello time, forward delay) in 1/256 s.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from vrouter.stack.wire.stp import Bpdu

Vector = tuple[int, int, int, int]
Times = tuple[int, int, int, int]

NO_VECTOR: Final[Vector] = (0xFFFFFFFFFFFFFFFF, 0xFFFFFFFF, 0xFFFFFFFFFFFFFFFF, 0xFFFF)

# 17.19: role and selectedRole
DISABLED_PORT: Final = 0
ROOT_PORT: Final = 1
DESIGNATED_PORT: Final = 2
ALTERNATE_PORT: Final = 3
BACKUP_PORT: Final = 4
ROLE_NAMES: Final = ("disabled", "root", "designated", "alternate", "backup")

# 17.19.10: infoIs
INFO_DISABLED: Final = 0
INFO_MINE: Final = 1
INFO_AGED: Final = 2
INFO_RECEIVED: Final = 3

MIGRATE_TIME: Final = 3  # s, Table 17-1
DEFAULT_PATH_COST: Final = 20_000  # of 1 Gb/s
DEFAULT_PORT_PRIORITY: Final = 128

# States of the machines that have more than two and are not told by a variable.
PRX_DISCARD, PRX_RECEIVE = range(2)
PPM_CHECKING, PPM_SELECTING, PPM_SENSING = range(3)
PIM_DISABLED, PIM_AGED, PIM_CURRENT = range(3)
PST_DISCARDING, PST_LEARNING, PST_FORWARDING = range(3)
TCM_INACTIVE, TCM_LEARNING, TCM_ACTIVE = range(3)
STATE_NAMES: Final = ("blocking", "learning", "forwarding")


def path_cost(mbit_per_s: int) -> int:
    """The recommended path cost of a link of this speed (802.1D-2004 17.14, Table 17-3), 1 to 200,000,000."""
    return min(200_000_000, max(1, 20_000_000 // max(1, mbit_per_s)))


class StpPort:
    """One port of a `SpanningTree`; ``owner`` is whatever the bridge put there."""

    __slots__ = (
        "admin_edge",
        "agree",
        "agreed",
        "auto_edge",
        "bpdu",
        "cost",
        "designated_times",
        "designated_vector",
        "disputed",
        "edge",
        "edge_delay_while",
        "enabled",
        "fd_while",
        "fdb_flush",
        "forward",
        "forwarding",
        "hello_when",
        "info_is",
        "is_edge_state",
        "learn",
        "learning",
        "mcheck",
        "mdelay_while",
        "msg_times",
        "msg_vector",
        "new_info",
        "number",
        "oper_p2p",
        "owner",
        "pim",
        "port_id",
        "port_times",
        "port_vector",
        "ppm",
        "proposed",
        "proposing",
        "prx",
        "pst",
        "rb_while",
        "rcvd_bpdu",
        "rcvd_info_while",
        "rcvd_msg",
        "rcvd_rstp",
        "rcvd_stp",
        "rcvd_tc",
        "rcvd_tc_ack",
        "rcvd_tcn",
        "reroot",
        "reselect",
        "restricted_role",
        "role",
        "rr_while",
        "selected",
        "selected_role",
        "send_rstp",
        "sync",
        "synced",
        "tc_ack",
        "tc_prop",
        "tc_while",
        "tcm",
        "tx_count",
        "updt_info",
    )

    def __init__(self, owner: Any, number: int, port_id: int) -> None:
        self.owner = owner
        self.number = number
        self.port_id = port_id
        self.cost = DEFAULT_PATH_COST
        self.enabled = False  # portEnabled: the link is up and the port is administratively up
        self.admin_edge = False
        self.auto_edge = True
        self.oper_p2p = True  # operPointToPointMAC
        self.restricted_role = False  # 802.1Q restrictedRole: never the root port
        self.edge = False  # operEdge
        self.role = self.selected_role = DISABLED_PORT
        self.info_is = INFO_DISABLED
        self.designated_vector = self.port_vector = self.msg_vector = NO_VECTOR
        self.designated_times: Times = (0, 0, 0, 0)
        self.port_times: Times = (0, 0, 0, 0)
        self.msg_times: Times = (0, 0, 0, 0)
        self.bpdu: Bpdu | None = None  # what rcvdMsg is about
        self.agree = self.agreed = self.proposed = self.proposing = self.disputed = False
        self.learn = self.learning = self.forward = self.forwarding = False
        self.sync = self.synced = self.reroot = False
        self.reselect = self.selected = self.updt_info = False
        self.new_info = self.fdb_flush = self.mcheck = False
        self.rcvd_bpdu = self.rcvd_msg = self.rcvd_rstp = self.rcvd_stp = False
        self.rcvd_tc = self.rcvd_tcn = self.rcvd_tc_ack = self.tc_ack = self.tc_prop = False
        self.send_rstp = True
        self.edge_delay_while = self.fd_while = self.hello_when = self.mdelay_while = 0
        self.rb_while = self.rcvd_info_while = self.rr_while = self.tc_while = self.tx_count = 0
        self.prx = PRX_DISCARD
        self.ppm = PPM_CHECKING
        self.pim = PIM_DISABLED
        self.pst = PST_DISCARDING
        self.tcm = TCM_INACTIVE
        self.is_edge_state = False  # bridge detection: EDGE or NOT_EDGE
