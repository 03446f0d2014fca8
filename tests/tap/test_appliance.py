"""A whole router on real TAPs: what it makes in the kernel, what crosses, and that nothing is left of it.

kernel netns one: 10.0.1.2 ── TAP ══ lan 10.0.1.1, namespace root, 10.0.2.1 wan ══ TAP ── 10.0.2.2 :two kernel netns
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import vrouter
from vrouter import records
from vrouter.stack.base.events import EventKind
from vrouter.tap import find_link

pytestmark = [pytest.mark.tap, pytest.mark.tools("ip", "ping")]

ROOT = Path(__file__).parents[2]
RUN = "import sys; from vrouter.service import run; sys.exit(run(sys.argv[1], admin=''))"


@pytest.fixture
def names(new_name: Callable[[], str]) -> list[str]:
    """Two TAPs and two kernel namespaces that are nobody else's."""
    return [new_name() for _ in range(4)]


def configuration(names: list[str]) -> dict[str, Any]:
    def tap(ifname: str, netns: str, net: int) -> dict[str, Any]:
        host = {
            "netns": netns,
            "ifname": "eth0",
            "addresses": [f"10.0.{net}.2/24"],
            "routes": [{"to": "default", "via": f"10.0.{net}.1"}],
        }
        return {"ifname": ifname, "addresses": [f"10.0.{net}.1/24"], "host": host}

    devices = {"lan": tap(names[0], names[2], 1), "wan": tap(names[1], names[3], 2)}
    return {"netns": {"root": {"sysctl": {"net.ipv4.ip_forward": 1}, "dev": devices}}}


async def kernel_ping(netns: str, dst: str, *options: str) -> str:
    """Runs ping in a kernel namespace; what it printed. It has to succeed."""
    child = await asyncio.create_subprocess_exec(
        *("ip", "netns", "exec", netns, "ping", "-n", "-c", "3", "-i", "0.01", "-W", "5", *options, dst),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    out = (await child.communicate())[0].decode()
    assert child.returncode == 0, out
    return out


def left_of(names: list[str]) -> list[str]:
    found = [name for name in names[:2] if find_link(name) is not None]
    return found + [name for name in names[2:] if os.path.exists(f"/run/netns/{name}")]


async def test_kernel_clients_reach_one_another(names: list[str]) -> None:
    """A router between two subnets: ping crosses with its TTL one less, fragments do, and nothing stays behind."""
    async with vrouter.Router(configuration(names)) as router:
        assert router.ready
        out = await kernel_ping(names[2], "10.0.2.2")
        assert out.count("ttl=63") == 3
        assert "3 received" in await kernel_ping(names[2], "10.0.2.2", "-s", "8000")
        assert 0 < await router["root"].ping("10.0.1.2", count=3) < 1
        rows = {row["dev"]: row for row in router["root"].devices()}
        assert (rows["lan"]["ifname"], rows["lan"]["state"], rows["lan"]["error"]) == (names[0], "up", "")
        assert [row["address"] for row in router["root"].neighbors()] == ["10.0.1.2", "10.0.2.2"]
    assert left_of(names) == []
    came, went = router.stack.accounts()
    assert sum(came.values()) == sum(went.values())


async def test_what_cannot_start_leaves_nothing(names: list[str], open_tap: Callable[..., Any]) -> None:
    """One TAP that somebody else holds fails the start, with his name, and takes back what the others had made."""
    open_tap(names[1])
    router = vrouter.Router(configuration(names))
    with pytest.raises(OSError, match=f"TAP {names[1]} cannot be opened: it is held by this process itself") as caught:
        await router.start()
    assert caught.value.errno == errno.EBUSY
    assert not router.ready
    assert left_of(names) == [names[1]]


async def test_a_start_that_is_cancelled_leaves_nothing(names: list[str]) -> None:
    """Cancellation waits for what threads are doing, and undoes it."""
    for turns in (1, 2, 5, 50):
        task = asyncio.ensure_future(vrouter.Router(configuration(names)).start())
        for _ in range(turns):
            await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert left_of(names) == []


async def test_devices_come_and_go_while_it_runs(names: list[str]) -> None:
    """A TAP added by a call carries frames, goes on doing so in another namespace, and is deleted with its device."""
    settings = configuration(names)["netns"]["root"]["dev"]
    async with vrouter.Router() as router:
        red, blue = await router.add_netns("red"), await router.add_netns("blue")
        await red.add_device("lan", **settings["lan"])
        await blue.add_device("lan", **settings["wan"])
        assert "ttl=64" in await kernel_ping(names[2], "10.0.1.1")
        with pytest.raises(FileExistsError):
            await blue.add_device("lan", **settings["wan"])
        with pytest.raises(OSError, match="cannot be opened"):
            await red.add_device("twice", ifname="lo")
        assert sorted(red.stack.devices) == ["lan", "lo"]
        await red.move_device("lan", "blue", "moved")
        assert red.stack.devices.keys() == {"lo"}
        await blue.add_address("moved", "10.0.1.1/24")
        assert "ttl=64" in await kernel_ping(names[2], "10.0.1.1")
        assert await blue.ping("10.0.1.2") > 0
        await blue.remove_device("moved")
        assert left_of(names) == [names[3]]
        await router.remove_netns("blue")
        assert left_of(names) == []
        assert router.ready


async def test_a_deleted_link_comes_back_with_its_kernel_end(names: list[str], ip: Callable[..., str]) -> None:
    """Opened again once a second, its kernel's end set up as before; not ready meanwhile, and each change is told."""
    states: asyncio.Queue[tuple[str, str]] = asyncio.Queue()
    async with vrouter.Router(configuration(names)) as router:
        await kernel_ping(names[2], "10.0.2.2")
        router.on_event(
            lambda event: (
                states.put_nowait((event.dev, event.fields["state"])) if event.kind is EventKind.DEVICE_STATE else None
            )
        )
        ip("-n", names[2], "link", "del", "eth0")
        assert await asyncio.wait_for(states.get(), 5) == ("lan", "no-carrier")
        assert (router.ready, router.waiting()) == (False, ["root/lan"])
        assert await asyncio.wait_for(states.get(), 5) == ("lan", "up")
        assert router.ready
        assert "ttl=63" in await kernel_ping(names[2], "10.0.2.2")
    assert left_of(names) == []


async def test_somebody_elses_tap_stays(new_link: Callable[..., str]) -> None:
    """A persistent TAP is attached to and left as it was."""
    name = new_link("tuntap", "mode", "tap", "vnet_hdr")
    before = find_link(name)
    async with vrouter.Router({"netns": {"red": {"dev": {"lan": {"ifname": name}}}}}) as router:
        assert router.ready
    after = find_link(name)
    assert before is not None
    assert after is not None
    assert (after.index, after.group, after.persistent) == (before.index, 0, True)


# ----------------------------------------------------------------------------------------------------- `vrouter run`


@pytest.fixture
def manager(tmp_path: Path) -> Iterator[socket.socket]:
    """What systemd listens on."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
        sock.bind(str(tmp_path / "notify"))
        sock.settimeout(20)
        yield sock


@contextlib.contextmanager
def running(config: Path, notify: str) -> Iterator[subprocess.Popen[str]]:
    environment = os.environ | {"NOTIFY_SOCKET": notify}
    with subprocess.Popen(
        [sys.executable, "-c", RUN, str(config)],
        cwd=ROOT,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as child:
        try:
            yield child
        finally:
            child.kill()


def to_toml(names: list[str], log: str = "") -> str:
    tables = [log]
    for name, device in configuration(names)["netns"]["root"]["dev"].items():
        host = device["host"]
        tables.append(
            f'[netns.root.dev.{name}]\nifname = "{device["ifname"]}"\naddresses = {device["addresses"]}\n'
            f'host = {{ netns = "{host["netns"]}", ifname = "eth0", addresses = {host["addresses"]} }}\n'
        )
    return "\n".join(tables)


def resident_kib(pid: int) -> int:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return int(next(line for line in lines if line.startswith("VmRSS")).split()[1])


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_the_life_of_a_service(
    tmp_path: Path, names: list[str], manager: socket.socket, number: signal.Signals
) -> None:
    """sd_notify's READY=1 and STOPPING=1, SIGHUP survived, JSON lines, exit 0 within two seconds, nothing left; below
    70 MiB meanwhile."""
    config = tmp_path / "router.toml"
    config.write_text(to_toml(names))
    with running(config, manager.getsockname()) as child:
        assert manager.recv(100) == b"READY=1"
        assert resident_kib(child.pid) < 70 * 1024
        child.send_signal(signal.SIGHUP)
        subprocess.run(
            ["ip", "netns", "exec", names[2], "ping", "-c", "1", "10.0.1.1"], check=True, capture_output=True
        )
        child.send_signal(number)
        out, err = child.communicate(timeout=2)
        assert manager.recv(100) == b"STOPPING=1"
        assert (child.returncode, err) == (0, "")
    assert left_of(names) == []
    lines = [json.loads(line) for line in out.splitlines()]
    assert [line["event"] for line in lines if line["event"] != "neighbor-failed"] == [
        "ready",
        "reload is not supported yet",
        "stopping",
        "stopped",
    ]
    assert (lines[0]["namespaces"], lines[0]["level"]) == (1, "info")
    assert [line["signal"] for line in lines if line["event"] == "stopping"] == [number.name]


def test_a_signal_before_it_is_ready(tmp_path: Path, names: list[str], manager: socket.socket) -> None:
    """SIGTERM while it starts: what was made so far is removed, and the result is 0."""
    config = tmp_path / "router.toml"
    config.write_text(to_toml(names))
    with running(config, manager.getsockname()) as child:
        # The handlers are there before the first TAP is.
        while find_link(names[0]) is None and not os.path.exists(f"/run/netns/{names[2]}"):
            assert child.poll() is None
        child.send_signal(signal.SIGTERM)
        _, err = child.communicate(timeout=5)
        assert (child.returncode, err) == (0, "")
    assert left_of(names) == []


FAULTY = """
import asyncio, signal, sys
from vrouter import service
from vrouter.appliance import Router
start = Router.start

async def faulty(router):
    await start(router)
    asyncio.get_running_loop().call_soon(lambda: 1 // 0)

Router.start = faulty
status = service.run(sys.argv[1], admin="")
print(signal.getsignal(signal.SIGHUP).name)
sys.exit(status)
"""


def test_a_fault_goes_to_the_log(tmp_path: Path, manager: socket.socket) -> None:
    """An exception that nobody catches is a line of JSON as well; and SIGHUP never kills, to the last."""
    config = tmp_path / "router.toml"
    config.write_text("[netns.red]\n")
    command = [sys.executable, "-c", FAULTY, str(config)]
    env = {**os.environ, "NOTIFY_SOCKET": manager.getsockname()}
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    with subprocess.Popen(command, cwd=ROOT, env=env, text=True, **pipes) as child:
        assert manager.recv(100) == b"READY=1"
        child.send_signal(signal.SIGTERM)
        out, err = child.communicate(timeout=5)
    assert (child.returncode, err) == (0, "")
    *lines, disposition = out.splitlines()
    fault = next(json.loads(line) for line in lines if '"internal error"' in line)
    assert fault["level"] == "error"
    assert fault["exception"].endswith("ZeroDivisionError: integer division or modulo by zero")
    assert disposition == "SIG_IGN"


def test_five_hundred_taps_end_within_two_seconds(tmp_path: Path, manager: socket.socket) -> None:
    """The kernel's waits for each TAP (16 ms) are spent together; 500 namespaces with one address each."""
    prefix = f"t{os.getpid()}x"
    tables = [f'[netns.n{i}.dev.lan]\nifname = "{prefix}{i:03}"\naddresses = ["10.0.0.1/24"]\n' for i in range(500)]
    config = tmp_path / "router.toml"
    config.write_text("\n".join(tables))
    with running(config, manager.getsockname()) as child:
        assert manager.recv(100) == b"READY=1"
        child.send_signal(signal.SIGTERM)
        _, err = child.communicate(timeout=2)
        assert (child.returncode, err) == (0, "")
    assert [name for name in os.listdir("/sys/class/net") if name.startswith(prefix)] == []


def test_a_start_that_fails_says_what_is_missing(tmp_path: Path, names: list[str], outcome: Callable[..., str]) -> None:
    """Without privileges: PrivilegeError that names the capability; with mistakes: all of them, and nothing started."""
    config = tmp_path / "router.toml"
    config.write_text(to_toml(names))
    program = """
import sys, vrouter
from vrouter.service import run
try:
    run(sys.argv[1], admin="")
except vrouter.VrouterError as error:
    print(type(error).__name__, error)
"""
    no_capabilities = ("setpriv", "--bounding-set=-all", "--inh-caps=-all")
    told = outcome(program, str(config), under=no_capabilities)
    assert told.startswith("PrivilegeError TAP ")
    assert "needs CAP_NET_ADMIN, or create the TAP beforehand" in told
    config.write_text("[netns.red]\nkind = 'l4'\n[netns.red.dev.lan]\nmtu = 1\n")
    told = outcome(program, str(config))
    assert [line.split(":")[1:3] for line in told.removeprefix("ConfigError ").splitlines()] == [["2", "8"], ["4", "7"]]


async def test_the_records_name_the_tap(names: list[str]) -> None:
    """`ifname` is the TAP's kernel name as configured, also where its end has another name."""
    async with vrouter.Router(configuration(names)) as router:
        rows = records.devices(router, "root")
        assert [(row["dev"], row["kind"], row["ifname"]) for row in rows] == [
            ("lo", "lo", None),
            ("lan", "tap", names[0]),
            ("wan", "tap", names[1]),
        ]


async def told(router: vrouter.Router, state: str) -> None:
    """Until a device has this state; pytest's own timeout ends a wait for nothing."""
    loop = asyncio.get_running_loop()
    seen = loop.create_future()

    def listen(event: Any) -> None:
        if event.kind is EventKind.DEVICE_STATE and event.fields["state"] == state and not seen.done():
            seen.set_result(None)

    forget = router.on_event(listen)
    async with asyncio.timeout(10):
        await seen
    forget()


async def test_a_link_that_goes_down_is_noticed_without_a_frame(names: list[str], ip: Callable[..., str]) -> None:
    """`show devices` says no-carrier as soon as the kernel's end is down where the process runs, and up again after."""
    async with vrouter.Router({"netns": {"red": {"dev": {"lan": {"ifname": names[0]}}}}}) as router:
        down = asyncio.ensure_future(told(router, "no-carrier"))
        await asyncio.to_thread(ip, "link", "set", names[0], "down")
        await down
        lan = router["red"].devices()[1]
        assert (lan["state"], lan["error"]) == ("no-carrier", "the link is down in the kernel")
        up = asyncio.ensure_future(told(router, "up"))
        await asyncio.to_thread(ip, "link", "set", names[0], "up")
        await up
        assert router["red"].devices()[1]["error"] == ""
    assert left_of(names) == []


def kernel_mtu(ip: Callable[..., str], *words: str) -> int:
    return int(json.loads(ip("-json", *words))[0]["mtu"])


async def test_the_kernel_end_has_the_mtu_of_its_device(names: list[str], ip: Callable[..., str]) -> None:
    """`set_device(mtu=)` changes both ends, here and in another kernel namespace; one that fails changes neither."""
    devices = {"lan": {"ifname": names[0]}, "wan": {"ifname": names[1], "host": {"netns": names[2], "ifname": "eth0"}}}
    async with vrouter.Router({"netns": {"red": {"dev": devices}}}) as router:
        red = router["red"]
        await red.set_device("lan", mtu=1400)
        await red.set_device("wan", mtu=9000, up=False)
        assert kernel_mtu(ip, "link", "show", names[0]) == 1400
        assert kernel_mtu(ip, "-n", names[2], "link", "show", "eth0") == 9000
        assert [(row["mtu"], row["state"]) for row in red.devices()[1:]] == [(1400, "up"), (9000, "down")]
        ip("-n", names[2], "link", "set", "eth0", "name", "eth1")
        with pytest.raises(OSError, match="TAP eth0 is not where the router had put it"):
            await red.set_device("wan", mtu=1300, up=True)
        with pytest.raises(OSError, match="MTU"):
            await red.set_device("lan", mtu=10)
        assert [(row["mtu"], row["state"]) for row in red.devices()[1:]] == [(1400, "up"), (9000, "down")]
        assert kernel_mtu(ip, "link", "show", names[0]) == 1400
    assert left_of(names) == []


async def test_what_is_removed_while_it_opens_leaves_nothing(names: list[str]) -> None:
    """The namespace goes while a TAP of it is opened: ENODEV, and the TAP and its kernel namespace go too."""
    settings = configuration(names)["netns"]["root"]["dev"]["lan"]
    async with vrouter.Router() as router:
        red = await router.add_netns("red")
        opening = asyncio.ensure_future(red.add_device("lan", **settings))
        await asyncio.sleep(0)
        await router.remove_netns("red")
        with pytest.raises(OSError, match="was removed while it was opened") as caught:
            await opening
        assert caught.value.errno == errno.ENODEV
        assert left_of(names) == []
        assert router.ready


async def test_what_opens_while_the_router_stops_leaves_nothing(names: list[str]) -> None:
    """A device that is added when the router stops is refused (ENETDOWN), whoever of them is done first."""
    settings = configuration(names)["netns"]["root"]["dev"]["lan"]
    async with vrouter.Router() as router:
        red = await router.add_netns("red")
        opening = asyncio.ensure_future(red.add_device("lan", **settings))
        await asyncio.sleep(0)
    with pytest.raises(OSError, match="not running") as caught:
        await opening
    assert caught.value.errno == errno.ENETDOWN
    assert left_of(names) == []
