"""What tests of the receiver begin with: scripts in packetdrill's language, run in both families.

The MTU of IPv6 is larger by 20 bytes there, so that segments are alike."""

import pytest

from vrouter.testing.packetdrill import Settings, run_text

both_families = pytest.mark.parametrize("version", ["ipv4", "ipv6"])
MS = 1_000_000

LISTENER = """
0    socket(..., SOCK_STREAM, IPPROTO_TCP) = 3
+0   setsockopt(3, SOL_SOCKET, SO_REUSEADDR, [1], 4) = 0
+0   bind(3, ..., ...) = 0
+0   listen(3, 1) = 0
"""

# An accepted connection of segments of 1000 bytes, with SACK, without timestamps; 1:1 is next in both directions.
ACCEPTED = (
    LISTENER
    + """
+0   < S 0:0(0) win 32792 <mss 1000,sackOK,nop,nop,nop,wscale 7>
+0   > S. 0:0(0) ack 1 <...>
+.1  < . 1:1(0) ack 1 win 257
+0   accept(3, ..., ...) = 4
"""
)

# The same without SACK.
PLAIN = ACCEPTED.replace("sackOK,nop,nop,nop,wscale", "nop,wscale")

# The same with timestamps: the peer has said 200 last.
STAMPED = (
    LISTENER
    + """
+0   < S 0:0(0) win 32792 <mss 1000,sackOK,TS val 100 ecr 0,nop,wscale 7>
+0   > S. 0:0(0) ack 1 <mss 1460,sackOK,TS val 0 ecr 100,nop,wscale 7>
+.1  < . 1:1(0) ack 1 win 257 <nop,nop,TS val 200 ecr 0>
+0   accept(3, ..., ...) = 4
"""
)


def passes(text, version="ipv4", tick=0, **sysctls):
    """Run a script in a family; `sysctls` are settings of ``net.ipv4``. With `tick` (ns) timestamps are compared."""
    settings = Settings(
        version=version, tick=tick, sysctls={f"net.ipv4.{name}": value for name, value in sysctls.items()}
    )
    result = run_text(text, settings=settings)
    assert result.passed, str(result)
