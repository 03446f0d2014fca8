"""Two namespaces in this process, which unmodified libraries run in.

red ──── x ═══veth═══ y ──── blue          blue is web.test, which red knows by its table of hosts;
   10.0.0.1/24        10.0.0.2/24          every library is the one that pip installs, on both loops
   fd00::1/64         fd00::2/64
"""

from __future__ import annotations

import ssl
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio
import trustme

import vrouter
from tests.path.sockets.world import two_namespaces

Pair = tuple[vrouter.Netns, vrouter.Netns]


@pytest_asyncio.fixture
async def pair() -> AsyncIterator[Pair]:
    """red and blue; red knows blue as web.test, by both families."""
    async with two_namespaces() as (red, blue):
        await red.set_resolver(hosts={"web.test": ["fd00::2", "10.0.0.2"]})
        yield red, blue


class Contexts:
    """A certificate of web.test, and what trusts it."""

    def __init__(self) -> None:
        authority = trustme.CA()
        self.server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        authority.issue_cert("web.test").configure_cert(self.server)
        self.client = ssl.create_default_context()
        authority.configure_trust(self.client)


@pytest.fixture(scope="session")
def contexts() -> Contexts:
    return Contexts()
