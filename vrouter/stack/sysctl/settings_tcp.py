"""The settings of TCP, which serve both families under IPv4's names, as in Linux."""

from __future__ import annotations

from typing import Final

from vrouter.stack.sysctl.records import MS, SECOND
from vrouter.stack.sysctl.settings import MOST, Setting, Text, by_name


def _tcp(
    key: str,
    default: int | str,
    low: int = 0,
    high: int = 1,
    unit: int = 0,
    *,
    attribute: str = "",
    text: Text = Text.NUMBER,
    words: tuple[str, ...] = (),
) -> Setting:
    where = attribute or key
    return Setting(f"tcp_{key}", default, low, high, unit, attribute=f"tcp.{where}", text=text, words=words)


NS_TCP: Final = by_name(
    net_core=(Setting("somaxconn", 4096, 0, MOST, attribute="tcp.somaxconn"),),
    net_ipv4=(
        _tcp("abort_on_overflow", 0),
        _tcp("base_mss", 1024, 48, 65535),
        _tcp("challenge_ack_limit", 1000, 0, MOST),
        _tcp("congestion_control", "cubic", text=Text.WORD, words=("bbr", "cubic", "reno")),
        _tcp("dsack", 1),
        _tcp("early_retrans", 3, 0, 4),
        _tcp("ecn", 2, 0, 2),
        _tcp("ecn_fallback", 1),
        _tcp("fastopen", 1, 0, MOST),
        _tcp("fastopen_key", "", text=Text.KEYS),
        _tcp("fin_timeout", 60, 0, MOST, SECOND),
        _tcp("frto", 2, 0, 2),
        _tcp("invalid_ratelimit", 500, 0, MOST, MS),
        _tcp("keepalive_intvl", 75, 1, 32767, SECOND),
        _tcp("keepalive_probes", 9, 1, 127),
        _tcp("keepalive_time", 7200, 1, 32767, SECOND),
        _tcp("max_orphans", 4096, 0, MOST),
        _tcp("max_reordering", 300, 3, MOST),
        _tcp("max_syn_backlog", 512, 0, MOST),
        _tcp("max_tw_buckets", 16384, 0, MOST),
        _tcp("mem", "16384\t24576\t32768", 0, MOST, text=Text.TRIPLE),
        _tcp("min_rtt_wlen", 300, 0, 86400, SECOND),
        _tcp("min_snd_mss", 48, 48, 65535),
        _tcp("moderate_rcvbuf", 1),
        _tcp("mtu_probe_floor", 48, 48, 65535),
        _tcp("mtu_probing", 1, 0, 2),
        _tcp("no_metrics_save", 0),
        _tcp("notsent_lowat", 2**32 - 1, 0, 2**32 - 1),
        _tcp("orphan_retries", 0, 0, 255),
        _tcp("pacing_ca_ratio", 120, 0, 1000),
        _tcp("pacing_ss_ratio", 200, 0, 1000),
        _tcp("probe_interval", 600, 1, MOST, SECOND),
        _tcp("probe_threshold", 8, 0, MOST),
        _tcp("recovery", 1, 0, 7),
        _tcp("reordering", 3, 1, MOST),
        _tcp("retries1", 3, 0, 255),
        _tcp("retries2", 15, 0, 255),
        _tcp("rfc1337", 0),
        _tcp("rmem", "4096\t131072\t6291456", 1, MOST, text=Text.TRIPLE),
        _tcp("rto_max_ms", 120_000, 1000, 120_000, MS, attribute="rto_max"),
        _tcp("rto_min_us", 200_000, 1, 120_000_000, 1000, attribute="rto_min"),
        _tcp("sack", 1),
        _tcp("slow_start_after_idle", 1),
        _tcp("syn_linear_timeouts", 4, 0, 127),
        _tcp("syn_retries", 6, 1, 127),
        _tcp("synack_retries", 5, 0, 255),
        _tcp("syncookies", 1, 0, 2),
        _tcp("thin_linear_timeouts", 0),
        _tcp("timestamps", 1, 0, 2),
        _tcp("tso_win_divisor", 3, 0, 255),
        _tcp("tw_reuse", 2, 0, 2),
        _tcp("window_scaling", 1),
        _tcp("wmem", "4096\t16384\t4194304", 1, MOST, text=Text.TRIPLE),
    ),
)
