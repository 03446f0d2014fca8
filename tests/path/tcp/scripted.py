"""Scripts that are about a connection which is there already: what they begin with, and how they are run."""

from __future__ import annotations

from vrouter.testing.packetdrill import Settings, run_text

ON_THE_WIRE = "--strict_segments\n`ethtool -K tun0 tso off gso off`\n"  # a device without superframes, packet by packet
STRICT = "--strict_segments\n"


def accepted(mss: int = 1000, window: int = 65535, rtt: str = ".1", before: str = "") -> str:
    """A connection (4) that came to a listener, without timestamps; its RTO is 300 ms when it took 100 ms to come."""
    return f"""
0 socket(..., SOCK_STREAM, IPPROTO_TCP) = 3
{before}
+0 bind(3, ..., ...) = 0
+0 listen(3, 1) = 0
+0 < S 0:0(0) win {window} <mss {mss},sackOK,nop,wscale 0>
+0 > S. 0:0(0) ack 1 <...>
+{rtt} < . 1:1(0) ack 1 win {window}
+0 accept(3, ..., ...) = 4
"""


def play(script: str, version: str = "ipv4", **sysctls: int | str) -> str:
    """Run a script with settings of ``net.ipv4``; what went wrong, "" when nothing did."""
    names = {f"net.ipv4.{name}": value for name, value in sysctls.items()}
    settings = Settings(version=version, tolerance=1_000_000, tolerance_percent=0.0, sysctls=names)
    result = run_text(script.lstrip(), settings=settings)
    return "" if result.passed else str(result)
