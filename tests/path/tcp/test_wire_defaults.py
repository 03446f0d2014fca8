"""What a namespace does on the wire by itself is what Linux 6 does: scripts that both have passed, word for word.

Each file of ``packetdrill/`` holds one of the words: the options and their order, the window, the initial congestion
window (RFC 6928), the bounds of the retransmission timeout (RFC 6298), delayed and quick ACKs (RFC 5681 4.2).
"""

from pathlib import Path

import pytest

from vrouter.testing.packetdrill import Settings, run_file
from vrouter.testing.packetdrill.profile import LINUX

FOLDER = Path(__file__).with_name("packetdrill")
SCRIPTS = sorted(FOLDER.glob("*.pkt"))


@pytest.mark.parametrize("path", SCRIPTS, ids=lambda path: path.stem)
@pytest.mark.parametrize("sysctls", [{}, LINUX], ids=["ours", "linux"])
def test_the_wire_is_linuxs(path, sysctls):
    """RFC 9293 3.7, RFC 6298 2, RFC 6928 2, RFC 5681 4.2: with and without Linux's limits."""
    result = run_file(path, Settings(sysctls=dict(sysctls)))
    assert result.passed, result


@pytest.mark.parametrize("path", SCRIPTS, ids=lambda path: path.stem)
def test_by_sockets_of_ipv6(path):
    """RFC 4291 2.5.5.2: the same packets by sockets of IPv6 with mapped addresses."""
    assert run_file(path, Settings("ipv4-mapped-ipv6")).passed
