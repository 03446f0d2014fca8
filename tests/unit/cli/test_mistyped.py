"""What newcomers type against a running router, rightly and wrongly: zones, stations, keys of bridges, files."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

import vrouter
from tests.path.admin import CONFIG
from tests.unit.cli.conftest import Cli


@pytest.fixture
async def router(admin: str) -> AsyncIterator[vrouter.Router]:
    """The router of the admin API's tests (tests/path/admin.py has the drawing)."""
    async with vrouter.Router(CONFIG, seed=1, identity="test", admin=admin) as router:
        yield router


@pytest.mark.parametrize(
    ("typed", "status", "message"),
    [
        ("ping fe80::9", 2, "fe80::9 is link-local, and needs its device: fe80::9%DEV, or -I DEV"),
        ("ping fe80::9%y", 1, "no device 'y' in namespace 'red' (`vrouter show devices` lists them)"),
        ("route add fd00:9::/64 via fe80::9%x dev w", 2, "the zone of fe80::9%x is 'x', and dev is 'w'"),
        ("device add br0 kind bridge stp rsstp", 2, "stp: invalid enum value 'rsstp'"),
        ("device set x pvid 5000", 2, "pvid: expected `int` <= 4094"),
    ],
)
async def test_refusals(cli: Cli, router: vrouter.Router, typed: str, status: int, message: str) -> None:
    """One line that names what was typed: not the socket's errno, nor a body that nobody typed."""
    done = await cli(*typed.split(), "-n", "red")
    assert (done.returncode, done.stdout, done.stderr) == (status, "", f"vrouter: {message}\n")


async def test_a_zone_is_a_device(cli: Cli, router: vrouter.Router) -> None:
    """RFC 4007 11.2: `via fe80::9%x` is `via fe80::9 dev x`, of a route, of one of its next hops, of an object."""
    for line in (
        "route add fd00:9::/64 via fe80::9%x",
        "route add fd00:8::/64 nexthop via fe80::9%x nexthop via fe80::8%x weight 3",
        "nexthop add id 7 via fe80::9%x",
    ):
        done = await cli(*line.split(), "-n", "red")
        assert (done.returncode, done.stderr) == (0, ""), line
    shown = (await cli("route", "list", "-6", "-n", "red")).stdout
    assert "fd00:9::/64 via fe80::9 dev x proto static metric 1024\n" in shown
    assert "\tnexthop via fe80::8 dev x weight 3\n" in shown
    assert (await cli("nexthop", "list", "-n", "red")).stdout == "id 7 via fe80::9 dev x\n"
    assert (await cli("route", "del", "fd00:9::/64", "via", "fe80::9%x", "-n", "red")).returncode == 0
    assert "fd00:9::" not in (await cli("route", "list", "-6", "-n", "red")).stdout


async def test_a_station_however_it_is_written(cli: Cli, router: vrouter.Router) -> None:
    """Leading zeros left out, capitals, dashes: the entry is made, and that is no error."""
    assert (await cli("device", "add", "br0", "kind", "bridge", "ports", "w", "-n", "red")).returncode == 0
    done = await cli("bridge", "fdb", "add", "2-0-0-0-0-AB", "dev", "w", "-n", "red")
    assert (done.returncode, done.stderr) == (0, "")
    assert "02:00:00:00:00:ab" in (await cli("bridge", "fdb", "-n", "red")).stdout


async def test_a_file_that_is_no_file_of_routes(cli: Cli, router: vrouter.Router, tmp_path: Path) -> None:
    """The first hundred lines that are wrong, how many more there are, and that nothing changed."""
    file = tmp_path / "notes.txt"
    file.write_text("".join(f"line {number}\n" for number in range(1, 131)))
    done = await cli("route", "load", str(file), "-n", "red")
    lines = done.stderr.splitlines()
    assert (done.returncode, len(lines)) == (2, 101)
    assert lines[0] == f"{file}:1: 'line' is not an IPv4 address"
    assert lines[99] == f"{file}:100: 'line' is not an IPv4 address (and 30 more lines are wrong)"
    assert lines[100] == f"vrouter: {file}: nothing was loaded, and nothing changed"
