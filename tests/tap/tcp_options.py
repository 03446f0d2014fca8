"""The calls of `tcp_script` that are about options and what they tell."""

from __future__ import annotations

import socket
import struct
from typing import Any

from tests.tap.tcp_world import SOL, TCP, Script


def calls_of_options(s: Script) -> None:
    o = s.new()
    for name in ("SO_TYPE", "SO_PROTOCOL", "SO_DOMAIN", "SO_ACCEPTCONN", "SO_KEEPALIVE", "SO_RCVLOWAT", "SO_SNDLOWAT"):
        s.ask(name, o.getsockopt, SOL, getattr(socket, name))
    for option in (socket.SO_RCVBUF, socket.SO_SNDBUF):
        s.ask(f"buffer {option}", o.getsockopt, SOL, option)
        for size in (10000, 0, -1, 1 << 30):
            s.ask(f"buffer {option} to {size}", o.setsockopt, SOL, option, size)
            s.ask(f"buffer {option} is", o.getsockopt, SOL, option)
    for size in (0, 1, 7, -1, 1 << 20):
        s.ask(f"RCVLOWAT {size}", o.setsockopt, SOL, socket.SO_RCVLOWAT, size)
    s.ask("SNDLOWAT", o.setsockopt, SOL, socket.SO_SNDLOWAT, 5)
    s.ask("LINGER", o.getsockopt, SOL, socket.SO_LINGER, 8)
    s.ask("LINGER short", o.setsockopt, SOL, socket.SO_LINGER, b"\1\0\0\0")
    s.ask("LINGER set", o.setsockopt, SOL, socket.SO_LINGER, struct.pack("ii", 7, 5))
    s.ask("LINGER is", o.getsockopt, SOL, socket.SO_LINGER, 8)
    s.ask("LINGER cut", o.getsockopt, SOL, socket.SO_LINGER, 4)
    s.ask("LINGER as an int", o.getsockopt, SOL, socket.SO_LINGER)
    s.ask("LINGER off", o.setsockopt, SOL, socket.SO_LINGER, struct.pack("ii", 0, 5))
    s.ask("LINGER is off", lambda: o.getsockopt(SOL, socket.SO_LINGER, 8)[:4])
    for option in (socket.SO_RCVTIMEO, socket.SO_SNDTIMEO):
        s.ask(f"timeout {option}", o.getsockopt, SOL, option, 16)
        for seconds, micro in ((2, 500000), (0, 0), (-1, 0), (1, 1000000), (0, -1)):
            s.ask(f"timeout {seconds} {micro}", o.setsockopt, SOL, option, struct.pack("qq", seconds, micro))
            s.ask("timeout is", o.getsockopt, SOL, option, 16)
        s.ask("timeout short", o.setsockopt, SOL, option, struct.pack("i", 1))
    s.ask("pacing", o.getsockopt, SOL, 47, 8)
    s.ask("pacing set", o.setsockopt, SOL, 47, struct.pack("Q", 1 << 33))
    s.ask("pacing is", o.getsockopt, SOL, 47, 8)
    s.ask("pacing in 32 bits", o.setsockopt, SOL, 47, 1000000)
    s.ask("pacing in 32 bits is", o.getsockopt, SOL, 47)
    s.ask("pacing without end", o.setsockopt, SOL, 47, -1)
    s.ask("pacing without end is", o.getsockopt, SOL, 47, 8)
    trials = {
        1: (0, 1, 2, -1),
        2: (0, 87, 88, 1000, 32767, 32768, -1),
        3: (1, 0),
        4: (0, 1, 32767, 32768, -1),
        5: (0, 1, 32767, 32768, -1),
        6: (0, 1, 127, 128, -1),
        7: (0, 1, 127, 128, -1),
        8: (0, 1, 60, 120, 121, 3600, -1, -5),
        9: (0, 1, 2, 5, 100, -1),
        10: (0, 1, 1000, 1152, 5000, 100000),
        12: (0, 1),
        18: (0, 1, 30000, -1),
        23: (0, 5, 10000, -1),
        24: (1,),
        25: (0, 1, 16384, -1),
        30: (0, 1, 2, -1),
        34: (0, 1, 2),
        36: (0, 1, 2, -1),
    }
    for option, values in trials.items():
        s.ask(f"TCP {option}", o.getsockopt, TCP, option) if option != 24 else None
        for value in values:
            s.ask(f"TCP {option} to {value}", o.setsockopt, TCP, option, value)
            s.ask(f"TCP {option} is", o.getsockopt, TCP, option) if option != 24 else None
        s.ask(f"TCP {option} in two bytes", o.setsockopt, TCP, option, b"\1\0")
        s.ask(f"TCP {option}, two bytes", o.getsockopt, TCP, option, 2) if option != 24 else None
    s.ask("congestion reno", o.setsockopt, TCP, 13, b"reno")
    s.ask("congestion is", o.getsockopt, TCP, 13, 32)
    s.ask("congestion, cut", o.getsockopt, TCP, 13, 3)
    s.ask("congestion unknown", o.setsockopt, TCP, 13, b"nonesuch")
    s.ask("congestion empty", o.setsockopt, TCP, 13, b"")
    s.ask("CC_INFO", o.getsockopt, TCP, 26, 32)
    s.ask("unknown", o.getsockopt, TCP, 99)
    s.ask("set unknown", o.setsockopt, TCP, 99, 1)
    s.ask("info, state", lambda: o.getsockopt(TCP, 11, 1))
    s.ask("info, no more than there is", lambda: len(o.getsockopt(TCP, 11, 104)))
    s.ask("multicast TTL", o.getsockopt, socket.SOL_IP, socket.IP_MULTICAST_TTL)
    a, b = s.pair(s.listener(5800), 5800)
    for option in (2, 9, 10, 23, 30):
        for value in (0, 1, 1000):
            s.ask(f"connected: TCP {option} to {value}", a.setsockopt, TCP, option, value)
    s.ask("connected: QUICKACK", a.getsockopt, TCP, 12)
    s.ask("connected: QUICKACK off", lambda: a.setsockopt(TCP, 12, 0) or a.getsockopt(TCP, 12))
    s.ask("connected: QUICKACK on", lambda: a.setsockopt(TCP, 12, 1) or a.getsockopt(TCP, 12))
    s.ask("connected: MAXSEG", b.getsockopt, TCP, 2)
    s.ask("connected: congestion", lambda: a.setsockopt(TCP, 13, b"reno") or a.getsockopt(TCP, 13, 16))
    s.ask("connected: info, state", lambda: a.getsockopt(TCP, 11, 1))
    s.ask("connected: info, options", lambda: a.getsockopt(TCP, 11, 8)[5] & 7)
    s.ask("connected: V6ONLY", a.setsockopt, 41, 26, 1)
    s.ask("connected: OOBINLINE", a.setsockopt, SOL, socket.SO_OOBINLINE, 1)


def calls_of_info(s: Script) -> None:
    """What of ``struct tcp_info`` does not depend on the clock."""
    a, b = s.pair(s.listener(5900), 5900)
    fields = {
        "state": (0, "B"), "ca_state": (1, "B"), "retransmits": (2, "B"), "probes": (3, "B"), "backoff": (4, "B"),
        "unacked": (24, "I"), "sacked": (28, "I"), "lost": (32, "I"), "retrans": (36, "I"),
        "reordering": (88, "I"), "ssthresh": (76, "I"),
        "total_retrans": (100, "I"), "max_pacing_rate": (112, "Q"), "bytes_received": (128, "Q"),
        "segs_out": (136, "I"), "segs_in": (140, "I"), "notsent": (144, "I"), "data_segs_in": (152, "I"),
        "data_segs_out": (156, "I"), "delivered_ce": (196, "I"), "bytes_sent": (200, "Q"),
        "bytes_retrans": (208, "Q"), "dsack_dups": (216, "I"), "reord_seen": (220, "I"),
    }  # fmt: skip

    def tell(what: str, sock: Any) -> None:
        data = sock.getsockopt(TCP, 11, 232)
        for name, (offset, code) in fields.items():
            s.answers.append([f"{what}: {name}", struct.unpack_from("=" + code, data, offset)[0]])

    tell("idle client", a)
    tell("idle server", b)
    a.send(b"12345")
    s.world.wait()
    b.recv(99)
    b.send(b"abc")
    s.world.wait()
    a.recv(99)
    s.world.wait()
    tell("client", a)
    tell("server", b)
    ear = s.listener(5901, backlog=7)
    c = s.new()
    c.connect_ex((s.home, 5901))
    s.world.wait()
    data = ear.getsockopt(TCP, 11, 104)
    s.answers.append(["listener: waiting", struct.unpack_from("=I", data, 24)[0]])
    s.answers.append(["listener: backlog", struct.unpack_from("=I", data, 28)[0]])
