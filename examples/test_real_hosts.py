"""Real programs through a real router: kernel namespaces joined by TAPs. Needs root; skipped with the reason without.

[ client 10.0.1.2 ] ══ TAP ══ (10.0.1.1) vrouter (10.0.2.1) ══ TAP ══ [ server 10.0.2.2 ]
"""

import shutil
import sys

import pytest

from vrouter.stack.base.counters import Stat


@pytest.fixture
def hosts(tap_lab):
    """Two kernel namespaces, and the configuration of the router between them."""
    client = tap_lab.host("client", "10.0.1.2/24", gateway="10.0.1.1")
    server = tap_lab.host("server", "10.0.2.2/24", gateway="10.0.2.1")
    red = {
        "dev": {"one": client.device("10.0.1.1/24"), "two": server.device("10.0.2.1/24")},
        "sysctl": {"net.ipv4.ip_forward": 1},
    }
    return client, server, {"netns": {"red": red}}


async def test_ping_and_an_http_download(tap_lab, hosts):
    """The kernel's ping and curl, and its TCP, over the router; which counts what it forwards."""
    client, server, config = hosts
    router = await tap_lab.router(config)
    ping = await client.run_async("ping -c 3 -i 0.2 10.0.2.2")
    assert ping.returncode == 0, ping.stdout
    assert "3 received" in ping.stdout
    if shutil.which("curl"):
        server.start([sys.executable, "-m", "http.server", "80"], listens="tcp:80")
        curl = await client.run_async("curl -sS -o /dev/null -w %{http_code} http://10.0.2.2/")
        assert (curl.stdout, curl.stderr) == ("200", "")
    assert router["red"].stack.stat(Stat.IpForwDatagrams) >= 6


async def test_a_socket_of_the_router_and_one_of_the_kernel(tap_lab, hosts):
    """The router's own ping reaches a kernel host; a program in Python would open its sockets there as well."""
    client, _, config = hosts
    router = await tap_lab.router(config)
    assert await router["red"].ping(client.addr) < 1


def test_without_asyncio(tap_lab, hosts):
    """A synchronous test: the router runs in a thread, and commands simply block."""
    client, server, config = hosts
    running = tap_lab.start(config)
    refused = client.run("ping -c 1 -W 2 10.9.9.9")
    assert refused.returncode == 1
    assert "Net Unreachable" in refused.stdout
    assert server.run("ping -c 1 -W 2 10.0.1.2").returncode == 0
    assert running.call(lambda router: router["red"].ping("10.0.2.2")) < 1
