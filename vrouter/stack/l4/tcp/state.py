"""TCP in one namespace: what its connections of both families share.

- ``outbox``: segments that wait for the pipeline, which empties it after each input, timer and socket call: `Out`. A
  packet stands at its TCP header, with ``src dst family proto`` set.
- memory: what all queues hold, against ``net.ipv4.tcp_mem`` (`charge`, `release`, ``pressure``).
- how many connections no program holds any more (``orphans``), how many challenge ACKs are left (RFC 5961 7).
- connections in TIME-WAIT, in order of their ends, with one timer; what is remembered of peers (`metrics`).

A namespace that has never used TCP has none of this. Plain data, except for its two budgets.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, TypeAlias

from vrouter.stack.base.counters import Stat
from vrouter.stack.base.timers import Timer, TimerKind
from vrouter.stack.l4.tcp.metrics import Metrics

if TYPE_CHECKING:
    from vrouter.stack.base.packet import Packet
    from vrouter.stack.l4.tcp.timewait import TimeWait
    from vrouter.stack.netns import Netns
    from vrouter.stack.sysctl.records import TcpConf

# packet, route (None: the pipeline looks one up), TTL (-1: the default), TOS, whether it may not be fragmented, flow
# label (-1: of the stack's choice)
Out: TypeAlias = "tuple[Packet, Any, int, int, bool, int]"

PAGE: Final = 4096  # the unit of tcp_mem
SECOND: Final = 1_000_000_000

_SKIPPED_CHALLENGE: Final = int(Stat.TcpACKSkippedChallenge)
_CHALLENGES: Final = int(Stat.TcpChallengeACK)


class TcpState:
    """``memory`` is in bytes; ``secret`` keys what strangers must not guess; see the module for the rest."""

    __slots__ = (
        "challenge_second",
        "challenges",
        "memory",
        "metrics",
        "ns",
        "orphans",
        "outbox",
        "pressure",
        "secret",
        "time_wait",
        "time_wait_timer",
        "time_waiting",
    )

    def __init__(self, ns: Netns) -> None:
        self.ns = ns
        self.outbox: list[Out] = []
        self.memory = 0
        self.pressure = False
        self.orphans = 0
        self.challenges = 0  # that may still be sent in
        self.challenge_second = -1
        self.secret = int.from_bytes(ns.stack.rng.random_bytes(16), "little")
        self.metrics = Metrics()
        # By how long they stay (ns), each in order of its end.
        self.time_wait: dict[int, dict[TimeWait, None]] = {}
        self.time_waiting = 0
        self.time_wait_timer = Timer(TimerKind.TCP_TIME_WAIT, self)

    @property
    def conf(self) -> TcpConf:
        """The namespace's settings of TCP."""
        return self.ns.conf.tcp

    def charge(self, size: int) -> None:
        """`size` more bytes are queued."""
        self.memory += size
        if not self.pressure and self.memory > self.ns.conf.tcp.mem[1] * PAGE:
            self.pressure = True

    def release(self, size: int) -> None:
        """`size` bytes are queued no longer."""
        self.memory -= size
        if self.pressure and self.memory <= self.ns.conf.tcp.mem[0] * PAGE:
            self.pressure = False

    def has_room(self, size: int) -> bool:
        """Whether `size` more bytes keep to the upper bound of ``tcp_mem``."""
        return self.memory + size <= self.ns.conf.tcp.mem[2] * PAGE

    def too_many_orphans(self) -> bool:
        """Whether no further connection may be left to itself (``tcp_max_orphans``)."""
        return self.orphans > self.ns.conf.tcp.max_orphans

    def may_challenge(self, now: int) -> bool:
        """Take one challenge ACK of this second's budget (RFC 5961 7), which is drawn at random around
        ``tcp_challenge_ack_limit``, so that nobody learns of others' connections by counting his own."""
        limit = self.ns.conf.tcp.challenge_ack_limit
        if limit >= 0x7FFFFFFF:
            return True
        second = now // SECOND
        if second != self.challenge_second:
            self.challenge_second = second
            half = (limit + 1) >> 1
            self.challenges = half + self.ns.stack.rng.below(max(limit, 1)) if limit else 0
        if self.challenges <= 0:
            return False
        self.challenges -= 1
        return True

    def may_answer(self, entry: Any, skipped: int, now: int) -> bool:
        """Whether a segment that does not fit (no data, or a SYN) is answered now: one in ``tcp_invalid_ratelimit`` is
        for each connection; else `skipped` (a `Stat`) counts it. `entry` has ``challenge_at``: a Tcb, Request or
        TimeWait. So two ends that each think the other wrong do not talk for ever."""
        pause = self.ns.conf.tcp.invalid_ratelimit
        if pause and 0 <= now - entry.challenge_at < pause:
            self.ns.stats[skipped] += 1
            return False
        entry.challenge_at = now
        return True

    def challenges_now(self, entry: Any, now: int) -> bool:
        """Whether a challenge ACK may be sent about `entry`: both limits; counts it (RFC 5961 7)."""
        if not self.may_answer(entry, _SKIPPED_CHALLENGE, now) or not self.may_challenge(now):
            return False
        self.ns.stats[_CHALLENGES] += 1
        return True
