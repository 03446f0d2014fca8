"""The settings in which a namespace is not as a Linux host with 4 GiB of memory: with these it is.

Everything that a script sees on the wire (order of options, initial window and initial congestion window, bounds of the
retransmission timeout, delayed and quick ACKs) is the same with or without them; they are about limits and about what
is on by itself.
"""

from __future__ import annotations

from typing import Final

LINUX: Final[dict[str, int | str]] = {
    "net.ipv4.tcp_challenge_ack_limit": 0x7FFFFFFF,
    "net.ipv4.tcp_mtu_probing": 0,
    "net.ipv4.tcp_max_syn_backlog": 256,
    "net.ipv4.tcp_max_orphans": 16384,
    "net.ipv4.tcp_mem": "45000 60000 90000",
}
