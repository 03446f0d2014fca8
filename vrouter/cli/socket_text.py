"""Sockets as ss(8) prints them: the table, and with ``-i`` a line below each row of TCP's.

Deviation: all sockets are shown, as with ``ss -a``, with those of every protocol in one table.
"""

from __future__ import annotations

from typing import Any, Final

from vrouter.cli.columns import COLUMNS, Row, table
from vrouter.cli.failure import usage

_INFINITE: Final = 0x7FFFFFFF
_UNKNOWN: Final = 0xFFFFFFFF
_UNLIMITED: Final = 0xFFFFFFFFFFFFFFFF
_CA_STATES: Final = ("", "disorder", "cwr", "recovery", "loss")
_PROTOCOLS: Final = {"tcp": "-t", "udp": "-u", "raw": "--raw", "packet": "-0"}
_FILTERS: Final = ("state", "sport", "dport")
# States that ss(8) calls otherwise in a filter than in its table.
_STATES: Final = {"established": "ESTAB", "listening": "LISTEN", "unconnected": "UNCONN", "closed": "UNCONN"}


def socket_query(words: list[str], options: dict[str, str]) -> dict[str, Any]:
    """What is asked of the router: ``[state S] [sport N] [dport N]`` and the options. Failure for other words."""
    query: dict[str, Any] = {}
    for key, value in zip(words[::2], [*words[1::2], ""], strict=False):
        if key not in _FILTERS or not value:
            raise usage(f"{key!r} is too much: show sockets [state S] [sport N] [dport N]")
        query[key] = _STATES.get(value.lower(), value.upper()) if key == "state" else value
    chosen = [name for name in _PROTOCOLS if name in options]
    if len(chosen) > 1:
        raise usage(f"{' and '.join(_PROTOCOLS[name] for name in chosen)}: one of them")
    query["proto"] = chosen[0] if chosen else None
    query["listening"] = "true" if "listening" in options else None
    query["info"] = "true" if "info" in options else None
    return query


def socket_table(rows: list[Row]) -> str:
    """The table; with details, the line of each connection stands below its row."""
    lines = table(COLUMNS["sockets"], rows).split("\n")
    out = lines[:1]
    for line, row in zip(lines[1:], rows, strict=True):
        out.append(line)
        if row.get("tcp_info") is not None or row.get("timer") is not None:
            out.append("    " + info_line(row))
    return "\n".join(out)


def info_line(row: Row) -> str:
    """What ``ss -o -i`` says of a connection."""
    words = []
    timer = row["timer"]
    if timer is not None:
        words.append(f"timer:({timer['kind']},{duration(timer['expires_ns'])},{timer['count']})")
    words += row["options"]
    if row["congestion"]:
        words.append(row["congestion"])
    if row["tcp_info"] is not None and row["state"] != "LISTEN":
        words += _words({name[5:]: value for name, value in row["tcp_info"].items()})
    return " ".join(words)


def _words(info: dict[str, int]) -> list[str]:
    words = [f"rto:{_ms(info['rto'])}"]
    if info["backoff"]:
        words.append(f"backoff:{info['backoff']}")
    if info["rtt"]:
        words.append(f"rtt:{_ms(info['rtt'])}/{_ms(info['rttvar'])}")
    if info["ato"]:
        words.append(f"ato:{_ms(info['ato'])}")
    words += [f"{word}:{info[name]}" for word, name in _ALWAYS]
    if info["snd_ssthresh"] < _INFINITE:
        words.append(f"ssthresh:{info['snd_ssthresh']}")
    words += [f"{name}:{info[name]}" for name in _BYTES if info[name]]
    if info["ca_state"]:
        words.append(f"ca:{_CA_STATES[info['ca_state']]}")
    if info["rtt"] and info["snd_mss"] and info["snd_cwnd"]:
        words.append(f"send {rate(info['snd_cwnd'] * info['snd_mss'] * 1_000_000 // info['rtt'])}")
    words += [f"{word}:{info[name]}" for word, name in _SINCE if info[name]]
    if info["pacing_rate"] < _UNLIMITED:
        words.append(f"pacing_rate {rate(info['pacing_rate'])}")
    if info["delivery_rate"]:
        words.append(f"delivery_rate {rate(info['delivery_rate'])}")
    if info["delivered"]:
        words.append(f"delivered:{info['delivered']}")
    if info["delivery_rate_app_limited"]:
        words.append("app_limited")
    words += [f"{word}:{info[name] // 1000}ms" for word, name in _LIMITED if info[name]]
    if info["retrans"] or info["total_retrans"]:
        words.append(f"retrans:{info['retrans']}/{info['total_retrans']}")
    words += [f"{word}:{info[name]}" for word, name in _COUNTED if info[name]]
    if info["reordering"] != 3:
        words.append(f"reordering:{info['reordering']}")
    if info["rcv_rtt"]:
        words.append(f"rcv_rtt:{_ms(info['rcv_rtt'])}")
    words += [f"{word}:{info[name]}" for word, name in _WINDOWS if info[name]]
    if info["min_rtt"] < _UNKNOWN:
        words.append(f"minrtt:{_ms(info['min_rtt'])}")
    return words


_ALWAYS: Final = (
    ("mss", "snd_mss"), ("pmtu", "pmtu"), ("rcvmss", "rcv_mss"), ("advmss", "advmss"), ("cwnd", "snd_cwnd"),
)  # fmt: skip
_BYTES: Final = (
    "bytes_sent", "bytes_retrans", "bytes_acked", "bytes_received", "segs_out", "segs_in", "data_segs_out",
    "data_segs_in",
)  # fmt: skip
_SINCE: Final = (("lastsnd", "last_data_sent"), ("lastrcv", "last_data_recv"), ("lastack", "last_ack_recv"))
_LIMITED: Final = (("busy", "busy_time"), ("rwnd_limited", "rwnd_limited"), ("sndbuf_limited", "sndbuf_limited"))
_COUNTED: Final = (
    ("unacked", "unacked"), ("lost", "lost"), ("sacked", "sacked"), ("dsack_dups", "dsack_dups"),
    ("reord_seen", "reord_seen"), ("rcv_ooopack", "rcv_ooopack"),
)  # fmt: skip
_WINDOWS: Final = (
    ("rcv_space", "rcv_space"), ("rcv_ssthresh", "rcv_ssthresh"), ("notsent", "notsent_bytes"), ("snd_wnd", "snd_wnd"),
    ("rcv_wnd", "rcv_wnd"),
)  # fmt: skip


def _ms(microseconds: int) -> str:
    return f"{microseconds / 1000:g}"


def rate(size: int) -> str:
    """Bytes a second as ss(8) has them, in bits."""
    bits = 8 * size
    for unit, name in ((1_000_000_000, "Gbps"), (1_000_000, "Mbps"), (1_000, "Kbps")):
        if bits >= unit:
            return f"{bits / unit:.2f}".rstrip("0").rstrip(".") + name
    return f"{bits}bps"


def duration(time_ns: int) -> str:
    """A time as ss(8) has its timers: ``200ms``, ``1.5sec``, ``119min``."""
    ms = time_ns // 1_000_000
    if ms < 1000:
        return f"{ms}ms"
    if ms < 60_000:
        return f"{ms / 1000:g}sec"
    minutes, rest = divmod(ms // 1000, 60)
    return f"{minutes}min{rest}sec" if rest else f"{minutes}min"
