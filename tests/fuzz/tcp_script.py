"""The script of an episode that is about TCP: two namespaces talk over wires that lose, double and spoil frames, and
strangers on their links speak TCP with them, and interfere with what the two say to each other."""

from __future__ import annotations

from random import Random
from typing import TYPE_CHECKING, Any

from tests.fuzz.crowd import Crowd
from tests.fuzz.programs import LISTENED, Programs
from tests.fuzz.tcp_frames import ACK, EDGES, FIN, PSH, RST, SYN, URG, Way, frame, junk
from tests.fuzz.tcp_peer import icmp_error
from vrouter.stack.l4.tcp.tcb import ESTABLISHED, Tcb

if TYPE_CHECKING:
    from tests.fuzz.world import Action, World

MS = 1_000_000
SECOND = 1_000_000_000
_FOUR, _SIX = 0x0A000000, 0xFD00 << 112
_SETTINGS: dict[str, tuple[int | str, ...]] = {
    "tcp_sack": (0, 1),
    "tcp_timestamps": (0, 1, 2),
    "tcp_window_scaling": (0, 1),
    "tcp_ecn": (0, 1, 2),
    "tcp_mtu_probing": (0, 1, 2),
    "tcp_fastopen": (0, 1, 3, 0x403, 0x607),
    "tcp_congestion_control": ("reno", "cubic", "bbr"),
    "tcp_syncookies": (0, 1, 2),
    "tcp_max_tw_buckets": (0, 4, 1000),
    "tcp_max_orphans": (0, 4, 1000),
    "tcp_max_syn_backlog": (2, 128),
    "tcp_rmem": ("4096 131072 6291456", "4096 8192 20000"),
    "tcp_wmem": ("4096 16384 4194304", "4096 8192 20000"),
    "tcp_mem": ("1 2 4", "10 20 40", "1000 2000 4000"),
    "tcp_frto": (0, 2),
    "tcp_recovery": (0, 1, 5),
    "tcp_early_retrans": (0, 3),
    "tcp_dsack": (0, 1),
    "tcp_tw_reuse": (0, 1, 2),
    "tcp_abort_on_overflow": (0, 1),
    "tcp_slow_start_after_idle": (0, 1),
    "tcp_thin_linear_timeouts": (0, 1),
    "tcp_autocorking": (0, 1),
    "tcp_moderate_rcvbuf": (0, 1),
    "tcp_challenge_ack_limit": (0, 10, 0x7FFFFFFF),
    "tcp_invalid_ratelimit": (0, 500),
    "tcp_min_tso_segs": (1, 2),
    "tcp_tso_win_divisor": (0, 3),
    "tcp_notsent_lowat": (1000, -1),
    "tcp_rfc1337": (0, 1),
    "tcp_stdurg": (0, 1),
    "tcp_no_metrics_save": (0, 1),
}


class TcpScript:
    """Writes the next actions for `world`; all chance comes from `rng`."""

    def __init__(self, world: World, rng: Random) -> None:
        self.world = world
        self.rng = rng
        self.number = 0
        self.programs = Programs(world, rng, self._space, self._where, self._next)
        self.crowd = Crowd(world, rng)
        self.vnet = [False, False]
        self.faults = [0.0] * 4

    def _next(self) -> int:
        self.number += 1
        return self.number

    def _space(self) -> str:
        return self.rng.choice("ab")

    def _where(self, six: bool) -> str:
        host = self.rng.choice((1, 2, 1, 2, 1, 2, 51, 52, 53, 99))
        if six and self.rng.random() < 0.8:
            return f"fd00::{host:x}"
        return f"{'::ffff:' if six else ''}10.0.0.{host}"

    def opening(self) -> list[Action]:
        """Two namespaces on one link, with strangers, a listener each, and odd settings."""
        rng = self.rng
        actions: list[Action] = []
        shared = rng.random() < 0.4
        for index, ns in enumerate("ab"):
            actions.append(("add_netns", ns, []))
            self.vnet[index] = shared
            actions.append(("add_device", ns, "e0", rng.choice((1500, 1500, 1280, 9000)), shared, False))
            actions.append(("offload", ns, "e0", rng.random() < 0.8, False))
            actions.append(("add_address", ns, "e0", f"10.0.0.{index + 1}/24"))
            actions.append(("sysctl", ns, "net.ipv6.conf.e0.dad_transmits", 0))
            actions.append(("add_address", ns, "e0", f"fd00::{index + 1}/64"))
            for name, values in _SETTINGS.items():
                if rng.random() < 0.2:
                    actions.append(("sysctl", ns, f"net.ipv4.{name}", rng.choice(values)))
        actions.append(("poll", 3 * SECOND))
        actions.append(("wire", "a", "e0", "b", "e0"))
        self._new_faults()
        actions.append(("meet", "a", "e0", "b", "e0"))
        for ns in "ab":
            index = 1 + (ns == "b")
            actions += self.crowd.join(ns, "e0", _FOUR | index, _SIX | index)
            for family, port in zip((10, 2), LISTENED, strict=True):
                number = self._next()
                actions.append(("open", number, ns, family, 1, 0))
                if rng.random() < 0.4:
                    actions.append(("call", number, "setsockopt", 6, 23, rng.choice((1, 100))))
                actions.append(("call", number, "bind", ["", port]))
                actions.append(("call", number, "listen", rng.choice((1, 8, 128))))
        return actions

    def _new_faults(self) -> None:
        rng = self.rng
        self.faults = [rng.choice((0, 0, 0.01, 0.05, 0.2)) for _ in range(3)] + [rng.choice((0, 0.02))]

    def closing(self) -> list[Action]:
        """All comes to an end."""
        return [("calm",)]

    def next(self) -> list[Action]:
        """What happens now."""
        roll = self.rng.random()
        if roll < 0.3:
            return self._carried()
        if roll < 0.55:
            return self.crowd.acts()
        if roll < 0.65:
            return self._between()
        if roll < 0.83:
            return self.programs.acts()
        if roll < 0.995:
            return self._time()
        return self._seldom()

    def _carried(self) -> list[Action]:
        rng = self.rng
        return [
            ("carry", 0, rng.randrange(2), rng.choice((1, 3, 20, 100)), rng.getrandbits(32), list(self.faults))
            for _ in range(2)
        ]

    def _between(self) -> list[Action]:
        """Somebody interferes with what the two say: who is on no path of theirs can do no more than this."""
        rng, world = self.rng, self.world
        ns = world.stack.namespaces.get(self._space())
        if ns is None or "e0" not in ns.devices:
            return []
        entries = [e for t in (ns._tcp, ns._tcp6) if t is not None for e in t.connections.values()]
        pairs = [e for e in entries if isinstance(e, Tcb) and e.peer & 0xFF in (1, 2) and e.rcv_nxt >= 0]
        if not pairs:
            return []
        tcb = rng.choice(pairs)
        dev = ns.devices["e0"]
        way = Way(ns.name, "e0", dev.mac, b"\2\0\0\0\0\x99", dev.vnet_hdr, tcb.family == 6, tcb.peer, tcb.local, rng)
        made = self._interference(tcb, way)
        return [("receive", ns.name, "e0", made)] if made else []

    def _interference(self, tcb: Tcb, way: Way) -> bytes:
        rng = self.rng
        key = tcb.peer_port, tcb.port
        nxt, una, rcv = tcb.snd_nxt, tcb.snd_una, tcb.rcv_nxt
        window = max(tcb.rcv_adv - rcv, 0)
        kind = rng.randrange(8)
        if kind == 0:  # a reset that is not exactly right
            wrong = {rcv, rcv - 1, *(one.end for one in (tcb.ooo.ranges if tcb.ooo is not None else ()))}
            near = [rcv + x for x in (1, 2, -2, window // 2, window, window + 1, 1 << 31, -(1 << 30), 5000)]
            near = [seq for seq in near if seq not in wrong]
            return frame(way, *key, rng.choice(near), nxt, rng.choice((RST, RST | ACK)), 0)
        if kind == 1 and tcb.state == ESTABLISHED:
            flags = rng.choice((SYN, SYN | ACK, SYN | FIN, SYN | URG))
            return frame(way, *key, rng.choice((rcv, rcv + 1, rcv - 1, rng.getrandbits(32))), nxt, flags, 1000)
        if kind == 2:  # data with a number out of the window
            seq = rng.choice((rcv + window + 1 + rng.randrange(1 << 20), rcv - 5000 - rng.randrange(1 << 20)))
            return frame(way, *key, seq, nxt, ACK | rng.choice((0, FIN, PSH)), 1000, rng.randbytes(99))
        if kind == 3:  # data within, with an ACK that cannot be
            ack = rng.choice((nxt + 1 + rng.randrange(1 << 30), una - tcb.max_window - 1 - rng.randrange(1 << 29)))
            return frame(way, *key, rcv, ack, ACK | rng.choice((0, FIN)), 1000, rng.randbytes(99))
        if kind == 4:
            return frame(way, *key, rcv, nxt, ACK | FIN, 0, rng.randbytes(50), wrong_sum=True)
        if kind == 5:  # without an ACK nothing is taken
            return frame(way, *key, rcv, nxt, rng.choice((0, FIN, PSH, URG, FIN | PSH | URG)), 9, rng.randbytes(50))
        if kind == 6:  # options that are none
            return frame(way, *key, rcv - (1 << 20), nxt, ACK, 0, b"", junk(rng), urgent=rng.choice(EDGES) & 0xFFFF)
        width = 16 if way.six else 4
        ends = tcb.local.to_bytes(width, "big"), tcb.peer.to_bytes(width, "big")
        ports = tcb.port.to_bytes(2, "big") + tcb.peer_port.to_bytes(2, "big")
        if way.six:
            quoted = b"\x60\0\0\0\5\xdc\6\x40" + b"".join(ends)
        else:
            quoted = b"\x45\0\5\xdc\0\0\x40\0\x40\6\0\0" + b"".join(ends)
        seq = rng.choice((una, una, nxt - 1, nxt, nxt + 1000))
        return icmp_error(rng, way, quoted + ports + bytes(16), seq)

    def _time(self) -> list[Action]:
        rng, roll = self.rng, self.rng.random()
        if roll < 0.2:
            return [("ready",)]
        if roll < 0.6:
            return [("due",)]
        if roll < 0.97:
            return [("poll", rng.choice((0, 1000, MS, MS, 10 * MS, 40 * MS, 200 * MS, SECOND)))]
        return [("poll", rng.choice((5, 61, 130, 1000)) * SECOND)]

    def _seldom(self) -> list[Action]:
        """Devices, addresses and settings change under the connections."""
        rng, ns = self.rng, self._space()
        roll = rng.random()
        if roll < 0.3:
            self._new_faults()
            return []
        if roll < 0.5:
            name = rng.choice(list(_SETTINGS))
            return [("sysctl", ns, f"net.ipv4.{name}", rng.choice(_SETTINGS[name]))]
        if roll < 0.7:
            return [("set_device", ns, "e0", None, rng.choice((1280, 1400, 1500, 9000)))]
        up: list[Any] = [("set_device", ns, "e0", False, None), *self._carried(), *self.programs.acts()]
        index = 1 + (ns == "b")
        back: list[Any] = [("set_device", ns, "e0", True, None), ("add_address", ns, "e0", f"fd00::{index}/64")]
        return up + back + [("meet", "a", "e0", "b", "e0")]
