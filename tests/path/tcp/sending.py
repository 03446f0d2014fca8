"""Connections whose sender is watched segment by segment, by scripts that hold for both families."""

from __future__ import annotations

import pytest

from tests.path.tcp.scripted import play

both = pytest.mark.parametrize("version", ["ipv4", "ipv6"])

_CONNECTION = """
0 socket(..., SOCK_STREAM, IPPROTO_TCP) = 3
+0 bind(3, ..., ...) = 0
+0 listen(3, 1) = 0
+0 < {syn} 0:0(0) win 65535 <{options}>
+0 > {answer} 0:0(0) ack 1 {taken}
+.1 < . 1:1(0) ack 1 win 65535 {stamp}
+0 accept(3, ..., ...) = 4
"""


def opened(*, sack: bool = True, stamps: bool = False, ecn: bool = False) -> str:
    """A connection (4) to a peer 100 ms away that takes segments of 1000 bytes; its RTO is 300 ms.

    With `stamps` the namespace's clock says 100 in its SYN, and the peer's is 1000 ahead.
    """
    permitted = "sackOK" if sack else "nop,nop"
    options, taken, stamp = f"mss 1000,{permitted},nop,wscale 0", "<...>", ""
    if stamps:
        options = "mss 1012,sackOK,TS val 1000 ecr 0,nop,wscale 0"
        taken = "<mss 1460,sackOK,TS val 100 ecr 1000,nop,wscale 7>"
        stamp = "<nop,nop,TS val 1100 ecr 100>"
    return _CONNECTION.format(
        syn="SEW" if ecn else "S", answer="SE." if ecn else "S.", options=options, taken=taken, stamp=stamp
    )


def good(script: str, version: str, **sysctls: int | str) -> None:
    """The script holds."""
    problem = play(script, version, **sysctls)
    assert not problem, problem
