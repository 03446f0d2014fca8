"""Which of its IPv6 addresses a namespace sends from (RFC 6724 section 5).

Expects: the device by which a packet will leave, and its destination in the stack's form (a link-local one with its
zone). Gives: the source, 0 when there is none. Next: `output.push_ipv6`.

Candidates are the addresses in use (preferred or deprecated; RFC 6724 4, RFC 4862 2): those of the outgoing device for
link-local destinations and groups, those of all devices otherwise. The loopback address is one on ``lo`` alone: it must
never be seen on a link (RFC 4291 2.5.3). Of two candidates that no rule tells apart the older one is taken.

Rules 4 (home addresses), 5.5 (prefixes of the next hop) and 7 (temporary addresses) have no matter here: no address is
one of these. The candidates of other devices are looked at only when rules 1 to 3 leave them a chance against those of
the outgoing one, which rule 5 prefers; so the usual choice is among the few addresses of one device. Link-local ones of
other devices have such a chance only where there is nothing else.

Deviation: RFC 8504 6.6 recommends rule 5.5 as RFC 8028 has it: who advertised a prefix is not remembered.

Read first: RFC 6724 sections 2 to 5.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

from vrouter.stack.base.addresses import LOOPBACK6, MAX6, SCOPE_GLOBAL, SCOPE_LINK, V6, scope6

if TYPE_CHECKING:
    from collections.abc import Iterable

    from vrouter.stack.device import Address, Device
    from vrouter.stack.l3.ip import IpState

Rank = tuple[int, int, bool, bool, bool, int]


class Policy(NamedTuple):
    """A row of the policy table (RFC 6724 2.1)."""

    prefix: int
    length: int
    precedence: int
    label: int


class PolicyTable(NamedTuple):
    """Labels and precedences of addresses by their longest matching prefix (RFC 6724 2.1): the rows, longest first."""

    rows: tuple[tuple[int, int, Policy], ...]  # shift, address shifted, row

    @classmethod
    def of(cls, *policies: Policy) -> PolicyTable:
        """A table of rows in any order."""
        ordered = sorted(policies, key=_length, reverse=True)
        return cls(tuple((128 - row.length, row.prefix >> 128 - row.length, row) for row in ordered))

    def find(self, address: int) -> Policy:
        """The row of an address without a zone; LookupError when no row matches."""
        for shift, start, row in self.rows:
            if address >> shift == start:
                return row
        raise LookupError("the policy table has no row for ::/0")


def _length(row: Policy) -> int:
    return row.length


DEFAULT_POLICY: Final = PolicyTable.of(
    Policy(LOOPBACK6, 128, 50, 0),
    Policy(0, 0, 40, 1),
    Policy(0xFFFF << 32, 96, 35, 4),  # IPv4-mapped
    Policy(0x2002 << 112, 16, 30, 2),  # 6to4
    Policy(0x2001 << 112, 32, 5, 5),  # Teredo
    Policy(0xFC00 << 112, 7, 3, 13),  # unique local
    Policy(0, 96, 1, 3),  # IPv4-compatible
    Policy(0xFEC0 << 112, 10, 1, 11),  # site-local
    Policy(0x3FFE << 112, 16, 1, 12),  # 6bone
)


def select_source6(ip: IpState, dev: Device | None, dst: int, policy: PolicyTable = DEFAULT_POLICY) -> int:
    """The address to send from to `dst` by `dev` (None: into another namespace), or 0."""
    if dst in ip.owners:
        return dst  # rule 1: the same address
    dst_scope = scope6(dst)
    label = policy.find(dst & MAX6).label
    best: Address | None = None
    best_rank: Rank | None = None
    if dev is not None:
        best, best_rank = _best(dev.addresses, dev, dst, dst_scope, label, policy, None, None)
        if dst >> 120 == 0xFF or dst_scope == SCOPE_LINK:
            return 0 if best is None else best.address
        if best is not None and best.state != "deprecated" and scope6(best.address) == dst_scope:
            return best.address  # another device's is no better by rules 2 and 3, and loses by rule 5
    elif dst_scope < SCOPE_GLOBAL:
        return 0  # what means something on one link only does not leave the namespace
    best, best_rank = _best(ip.far_sources(), dev, dst, dst_scope, label, policy, best, best_rank)
    if best is None or (best.state == "deprecated" and scope6(best.address) == SCOPE_LINK):
        for other in ip.ns.devices.values():  # there is nothing but link-local ones
            if other is not dev and other.addresses:
                best, best_rank = _best(other.addresses, dev, dst, dst_scope, label, policy, best, best_rank)
    return 0 if best is None else best.address


def _best(
    addresses: Iterable[Address],
    dev: Device | None,
    dst: int,
    dst_scope: int,
    label: int,
    policy: PolicyTable,
    best: Address | None,
    best_rank: Rank | None,
) -> tuple[Address | None, Rank | None]:
    """The better of `best` and the best of `addresses` by rules 2, 3, 5, 6 and 8."""
    for a in addresses:
        if a.family != V6 or not a.active or (a.address == LOOPBACK6 and a.dev is not dev):
            continue
        address = a.address
        scope = scope6(address)
        rank = (
            1 if scope >= dst_scope else 0,  # rule 2: of those that reach as far the nearest, else the farthest
            -scope if scope >= dst_scope else scope,
            a.state != "deprecated",  # rule 3
            a.dev is dev,  # rule 5
            policy.find(address & MAX6).label == label,  # rule 6
            min(128 - ((address ^ dst) & MAX6).bit_length(), a.length),  # rule 8, CommonPrefixLen of 2.2
        )
        if best is None or best_rank is None or rank > best_rank or (rank == best_rank and a.order < best.order):
            best, best_rank = a, rank
    return best, best_rank
