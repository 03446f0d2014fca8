"""The TAP lab: real hosts around a router, on both loops and without one; and nothing is left of it.

[ h1 10.0.1.2 ] ══ TAP ══ (10.0.1.1) red (10.0.2.1) ══ TAP ══ [ h2 10.0.2.2 ]
"""

import asyncio
import os
import subprocess
import sys
from pathlib import Path

import pytest

from vrouter.testing import LabError, TapLab

pytestmark = [pytest.mark.tap, pytest.mark.tools("ip", "ping")]

SERVER = "import socket; s = socket.create_server(('', 8080)); c, _ = s.accept(); c.sendall(b'welcome')"
CLIENT = "import socket; print(socket.create_connection(('10.0.2.2', 8080)).recv(100).decode())"


def two_hosts(lab: TapLab):
    """Two hosts, and the configuration of the router between them."""
    h1 = lab.host("h1", "10.0.1.2/24", gateway="10.0.1.1")
    h2 = lab.host("h2", "10.0.2.2/24", gateway="10.0.2.1")
    red = {
        "sysctl": {"net.ipv4.ip_forward": 1},
        "dev": {"one": h1.device("10.0.1.1/24"), "two": h2.device("10.0.2.1/24", mtu=1400)},
    }
    return h1, h2, {"netns": {"red": red}}


def what_is_left() -> list[str]:
    """Links and kernel namespaces with our process id in their names."""
    links = [line.split(":")[0].strip() for line in Path("/proc/net/dev").read_text().splitlines()[2:]]
    names = os.listdir("/run/netns") if os.path.isdir("/run/netns") else []
    return [name for name in links + names if str(os.getpid()) in name]


async def test_hosts_reach_each_other(tap_lab: TapLab) -> None:
    """On the test's own loop: commands of both hosts, the router's own ping, and the MTU that was configured."""
    h1, h2, config = two_hosts(tap_lab)
    router = await tap_lab.router(config)
    results = await asyncio.gather(
        h1.run_async("ping -c 2 -i 0.2 10.0.2.2"), h2.run_async(["ping", "-c", "2", "-i", "0.2", "10.0.1.2"])
    )
    assert [done.returncode for done in results] == [0, 0], results
    assert "2 received" in results[0].stdout
    assert await router["red"].ping(h1.addr) < 1
    refused = await h1.run_async("ping -c 1 -W 2 -M do -s 1372 10.0.2.2")
    assert (await h1.run_async("ping -c 1 -W 2 -M do -s 1373 10.0.2.2")).returncode == 1
    assert refused.returncode == 0
    await tap_lab.aclose()
    gone = await h1.run_async("ping -c 1 -W 1 10.0.1.1")
    assert gone.returncode == 2
    assert "unreachable" in gone.stderr


async def test_input_output_and_status_of_commands(tap_lab: TapLab) -> None:
    """A command gets nothing on its standard input unless it is given some; what it says and its status come back."""
    host = tap_lab.host("h1", "10.0.1.2/24")
    program = [
        sys.executable,
        "-c",
        "import sys; print(sys.stdin.read().upper()); print('e', file=sys.stderr); exit(3)",
    ]
    for done in (host.run(program, stdin="text"), await host.run_async(program, stdin="text")):
        assert (done.returncode, done.stdout, done.stderr) == (3, "TEXT\n", "e\n")
    for done in (host.run("cat"), await host.run_async("cat")):
        assert (done.returncode, done.stdout) == (0, "")
    assert host.run("ip -o link show").stdout.count("\n") == 1  # lo, until a router joins it


async def test_commands_are_bounded(tap_lab: TapLab) -> None:
    """A command that takes too long is killed, and said to have."""
    host = tap_lab.host("h1", "10.0.1.2/24")
    with pytest.raises(subprocess.TimeoutExpired):
        await host.run_async("sleep 60", timeout=0.1)
    with pytest.raises(subprocess.TimeoutExpired):
        host.run("sleep 60", timeout=0.1)
    assert host.run("true").returncode == 0


async def test_a_blocking_command_would_wait_for_itself(tap_lab: TapLab) -> None:
    """Where the router runs on the test's loop, `run` is refused and names the one to use."""
    h1, _, config = two_hosts(tap_lab)
    await tap_lab.router(config)
    with pytest.raises(LabError, match="await run_async"):
        h1.run("ping -c 1 10.0.1.1")


def test_without_a_loop(tap_lab: TapLab) -> None:
    """`start` runs the router in a thread: a synchronous test blocks as it likes, and servers may run meanwhile."""
    h1, h2, config = two_hosts(tap_lab)
    running = tap_lab.start(config)
    h2.start([sys.executable, "-c", SERVER], listens="tcp:8080")
    assert h1.run([sys.executable, "-c", CLIENT]).stdout == "welcome\n"
    assert running.call(lambda router: router["red"].ping("10.0.2.2")) < 1
    with pytest.raises(TimeoutError):
        running.call(lambda router: router["red"].ping("10.0.2.77", timeout=0.1))
    running.stop()
    running.stop()
    assert h1.run("ip -o link show").stdout.count("\n") == 1


def test_a_server_that_does_not_start(tap_lab: TapLab) -> None:
    """A command that ends instead of listening is told, with what it said."""
    host = tap_lab.host("h1", "10.0.1.2/24")
    with pytest.raises(LabError, match="no such server"):
        host.start([sys.executable, "-c", "print('no such server')"], listens="udp:53")


def test_a_bad_configuration_is_told(tap_lab: TapLab) -> None:
    """What keeps the router from starting is raised by `start`, with all its mistakes."""
    with pytest.raises(ValueError, match=r"netns\.red\.dev\.lan"):
        tap_lab.start({"netns": {"red": {"dev": {"lan": {"addresses": ["10.0.0.1/33"]}}}}})
    assert what_is_left() == []


def test_nothing_is_left_behind() -> None:
    """After the end, regular or by an exception, no TAP, no kernel namespace and no process is left."""
    lab = TapLab()
    h1, _, config = two_hosts(lab)
    with pytest.raises(ZeroDivisionError), lab:
        raise _after(lab, h1, config)
    assert what_is_left() == []


def _after(lab: TapLab, host, config) -> ZeroDivisionError:
    lab.start(config)
    process = host.start("sleep 60")
    assert process.poll() is None
    assert len(what_is_left()) == 2  # both kernel namespaces; the TAPs are inside
    return ZeroDivisionError()


async def test_a_router_that_was_not_ended_is_told() -> None:
    """Whoever uses `TapLab` without the fixture ends the routers on their loop; otherwise `close` complains."""
    lab = TapLab()
    _, _, config = two_hosts(lab)
    router = await lab.router(config)
    with pytest.raises(LabError, match="a router was not ended"):
        lab.close()
    await router.stop()
    assert what_is_left() == []


async def test_hosts_of_both_families(tap_lab: TapLab) -> None:
    """Addresses and gateways of IPv6 beside those of IPv4; they are used at once, from both sides."""
    h1 = tap_lab.host("h1", "10.0.1.2/24", "fd00:0:1::2/64", gateway="10.0.1.1", gateway6="fd00:0:1::1")
    h2 = tap_lab.host("h2", "fd00:0:2::2/64", gateway6="fd00:0:2::1")
    assert (h1.addr, h1.addr6, h2.addr) == ("10.0.1.2", "fd00:0:1::2", "fd00:0:2::2")
    red = {
        "dev": {"one": h1.device("10.0.1.1/24", "fd00:0:1::1/64"), "two": h2.device("fd00:0:2::1/64")},
        "sysctl": {"net.ipv6.conf.all.forwarding": 1, "net.ipv6.conf.default.dad_transmits": 0},
    }
    router = await tap_lab.router({"netns": {"red": red}})
    for address in ("fd00:0:1::1", "fd00:0:2::2"):
        ping = await h1.run_async(f"ping -c 1 -W 5 {address}")
        assert ping.returncode == 0, ping.stdout
    assert await router["red"].ping("fd00:0:2::2", timeout=5) > 0
