"""`[netns.NAME.resolver]`: what it means, and what is wrong with it, each at its place."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address

import pytest

from tests.unit.config.marked import must_report
from vrouter.config import ResolverConfig, loads

TEXT = """
[netns.red.resolver]
servers  = ["10.0.0.53", "fd00::53", "10.0.0.54:5353", "[fd00::54]:5353", "[fd00::55]"]
search   = ["Example.Test.", "münchen.test"]
ndots    = 2
timeout  = 3
attempts = 4

[netns.red.resolver.hosts]
"DB.example.test." = ["10.0.0.5", "fd00::5"]
printer = "127.0.0.1"

[netns.blue]
"""


def test_everything_that_can_be_said() -> None:
    """Names in the form of the DNS, servers with their ports, numbers as they are; another namespace has nothing."""
    config = loads(TEXT)
    assert config.netns["red"].resolver == ResolverConfig(
        hosts={
            "db.example.test": (IPv4Address("10.0.0.5"), IPv6Address("fd00::5")),
            "printer": (IPv4Address("127.0.0.1"),),
        },
        servers=(
            ("10.0.0.53", 53),
            ("fd00::53", 53),
            ("10.0.0.54", 5353),
            ("fd00::54", 5353),
            ("fd00::55", 53),
        ),
        search=("example.test", "xn--mnchen-3ya.test"),
        ndots=2,
        timeout=3,
        attempts=4,
    )
    assert config.netns["blue"].resolver == ResolverConfig()


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("▸serv = []", "netns.red.resolver.serv: unknown key (did you mean 'servers'?)"),
        (
            "servers = [▸'dns.test']",
            "netns.red.resolver.servers[0]: 'dns.test' is not an IPv4 address (a server is named by its address)",
        ),
        ("servers = [▸'10.0.0.1:0']", "netns.red.resolver.servers[0]: the port of '10.0.0.1:0' must be 1 to 65535"),
        (
            "servers = [▸'224.0.0.1']",
            "netns.red.resolver.servers[0]: '224.0.0.1' is a multicast address (a server is named by its address)",
        ),
        ("servers = ['10.0.0.1', ▸53]", "netns.red.resolver.servers[1]: must be a string, not an integer"),
        ("search = [▸'a b']", "netns.red.resolver.search[0]: 'a b' is not the name of a host or a domain"),
        ("search = [▸'a..b']", "netns.red.resolver.search[0]: 'a..b' is not the name of a host or a domain"),
        ("ndots = ▸16", "netns.red.resolver.ndots: must be 0 to 15, not 16"),
        ("timeout = ▸0", "netns.red.resolver.timeout: must be 1 to 30, not 0"),
        ("attempts = ▸6", "netns.red.resolver.attempts: must be 1 to 5, not 6"),
        ("hosts = { ▸'-x' = '10.0.0.1' }", "netns.red.resolver.hosts.-x: '-x' is not the name of a host or a domain"),
        ("hosts = { x = ▸'10.0.0' }", "netns.red.resolver.hosts.x: '10.0.0' is not an IPv4 address"),
        ("hosts = { x = ▸[] }", "netns.red.resolver.hosts.x: must have an address"),
        (
            "hosts = { x = ▸1 }",
            "netns.red.resolver.hosts.x: must be an address or an array of addresses, not an integer",
        ),
        (
            "hosts = { x = ['10.0.0.1', ▸'::'] }",
            "netns.red.resolver.hosts.x[1]: '::' is the unspecified address, which no interface can have",
        ),
        ("hosts = { x = '10.0.0.1', ▸X = '10.0.0.2' }", "netns.red.resolver.hosts.X: 'x' is given twice"),
        (f"search = ▸{['x.test'] * 33}", "netns.red.resolver.search: has 33 entries, and may have 32"),
    ],
)
def test_mistakes(text: str, expected: str) -> None:
    """Each at its own line and column, by its own key."""
    must_report(f"[netns.red.resolver]\n{text}", expected)
