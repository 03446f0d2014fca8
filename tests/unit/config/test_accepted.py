"""What a configuration becomes that has no mistakes."""

import subprocess
import sys
from ipaddress import IPv4Address, IPv4Interface, IPv4Network
from pathlib import Path
from typing import Any

import pytest

from vrouter.config import (
    Config,
    DeviceConfig,
    HostConfig,
    HostRoute,
    LogConfig,
    NetnsConfig,
    PeerConfig,
    RouteConfig,
    RouterConfig,
    default_ifname,
    device_from_dict,
    from_dict,
    load,
    loads,
)
from vrouter.config.references import relative
from vrouter.errors import ConfigError, Problem
from vrouter.stack.base.names import resolve

FULL = """\
[router]
admin   = "/run/vrouter/vrouter.sock"
metrics = "127.0.0.1:9473"
id      = "edge-1"
log     = { level = "debug", format = "json" }

[netns."red/web"]
accept_from = ["/blue"]

[netns.red]
kind = "l2"
accept_from = ["./web", "blue"]

[netns.red.sysctl]
"net.ipv4.ip_forward" = 1
"net.ipv4.conf.lan.rp_filter" = "1"

[netns.red.dev.lan]
kind      = "tap"
ifname    = "vr-red"
addresses = ["10.0.1.1/24", "10.0.9.1/31"]
mtu       = 9000
mac       = "02:00:00:00:01:0a"
queues    = 1
offload   = false
up        = false
acd       = "probe"
host      = { netns = "red-host", ifname = "eth0", addresses = ["10.0.1.2/24", "10.200.1.2/32"], routes = [
  { to = "10.9.9.9" },
  { to = "default", via = "10.0.1.1", src = "10.200.1.2" },
] }

[netns.red.dev.lo]
addresses = ["127.0.0.2/8", "192.0.2.1/32", "198.51.100.0/24"]
mtu = 65536

[netns.red.dev.up]
kind = "veth"
peer = { netns = "blue", dev = "red0" }

[netns.blue.dev.red0]
kind = "veth"
addresses = ["10.0.1.1/24"]
peer = { netns = "red", dev = "up" }

[[netns.red.route]]
to  = "default"
via = "10.0.1.254"
dev = "lan"
metric = 4294967295
table = "main"
src = "192.0.2.1"

[[netns.red.route]]
to  = "10.8.0.0/16"
type = "prohibit"

[[netns.red.route]]
to  = "10.7.0.0/16"
netns = "./web"
"""


def test_every_key_arrives_in_its_record() -> None:
    """The whole format of this version: names are absolute, addresses are objects, the file stays at hand."""
    config = loads(FULL)
    assert config.router == RouterConfig(
        admin="/run/vrouter/vrouter.sock",
        metrics="127.0.0.1:9473",
        id="edge-1",
        log=LogConfig(level="debug", format="json"),
    )
    assert list(config.netns) == ["red", "red/web", "blue"]
    assert config.netns["red/web"] == NetnsConfig(path="red/web", accept_from=("blue",))
    assert config.netns["blue"].devices["red0"] == DeviceConfig(
        name="red0",
        kind="veth",
        addresses=(IPv4Interface("10.0.1.1/24"),),
        peer=PeerConfig(netns="red", dev="up"),
    )
    red = config.netns["red"]
    assert red.kind == "l2"
    assert red.accept_from == ("red/web", "blue")
    assert red.sysctl == {"net.ipv4.ip_forward": 1, "net.ipv4.conf.lan.rp_filter": "1"}
    assert red.devices["lan"] == DeviceConfig(
        name="lan",
        kind="tap",
        ifname="vr-red",
        addresses=(IPv4Interface("10.0.1.1/24"), IPv4Interface("10.0.9.1/31")),
        mtu=9000,
        mac=bytes.fromhex("02000000010a"),
        queues=1,
        offload=False,
        up=False,
        acd="probe",
        host=HostConfig(
            netns="red-host",
            ifname="eth0",
            addresses=(IPv4Interface("10.0.1.2/24"), IPv4Interface("10.200.1.2/32")),
            routes=(
                HostRoute(to=IPv4Network("10.9.9.9/32")),
                HostRoute(to=IPv4Network("0.0.0.0/0"), via=IPv4Address("10.0.1.1"), src=IPv4Address("10.200.1.2")),
            ),
        ),
    )
    assert red.devices["lo"] == DeviceConfig(
        name="lo",
        kind="lo",
        addresses=(IPv4Interface("127.0.0.2/8"), IPv4Interface("192.0.2.1/32"), IPv4Interface("198.51.100.0/24")),
        mtu=65536,
    )
    assert red.devices["up"].peer == PeerConfig(netns="blue", dev="red0")
    assert red.routes == (
        RouteConfig(
            to=IPv4Network("0.0.0.0/0"),
            via=IPv4Address("10.0.1.254"),
            dev="lan",
            metric=4294967295,
            src=IPv4Address("192.0.2.1"),
        ),
        RouteConfig(to=IPv4Network("10.8.0.0/16"), type="prohibit"),
        RouteConfig(to=IPv4Network("10.7.0.0/16"), netns="red/web"),
    )
    assert config.raw["netns"]["red/web"] == {"accept_from": ["/blue"]}
    assert [warning.key for warning in config.warnings] == ["netns.red.route[2].netns"]


def test_what_is_not_given_has_its_default() -> None:
    """A device is a tap, up, 1500 bytes, with a kernel name made of its names; "" as the admin socket is kept."""
    assert loads("") == Config()
    config = loads('router.admin = ""\n[netns.red.dev.lan]\n[netns.red.dev.lo]\n')
    assert config.router == RouterConfig(admin="", metrics=None, log=LogConfig(level="info", format="auto"), id=None)
    lan = config.netns["red"].devices["lan"]
    assert lan == DeviceConfig(
        name="lan",
        kind="tap",
        ifname="red-lan",
        addresses=(),
        mtu=1500,
        mac=None,
        queues=1,
        offload=True,
        up=True,
        acd="announce",
        peer=None,
        host=None,
    )
    assert config.netns["red"].devices["lo"].mtu == 65536


def test_namespaces_come_in_the_order_of_the_file_with_parents_first() -> None:
    """The one who builds them can do so in this order."""
    text = "[netns.z]\n[netns.'b/c/d']\n[netns.a]\n[netns.'b/c']\n[netns.b]\n[netns.'a/x']\n"
    assert list(loads(text).netns) == ["z", "b", "b/c", "b/c/d", "a", "a/x"]


@pytest.mark.parametrize(
    ("inside", "name", "path"),
    [
        ("blue", "blue2", "blue2"),
        ("blue", "./web", "blue/web"),
        ("blue", "./web/x", "blue/web/x"),
        ("blue/web", "db", "blue/db"),
        ("blue/web", "../x", "x"),
        ("a/b/c", "../x", "a/x"),
        ("a/b/c", "../../x", "x"),
        ("a/b/c", "/x/y", "x/y"),
    ],
)
def test_a_name_is_resolved_as_seen_from_its_namespace(inside: str, name: str, path: str) -> None:
    """A bare name is a sibling, `./` a child, `../` the parent's sibling, `/` counts from the top."""
    tree: dict[str, Any] = {inside: {}, path: {"accept_from": ["*"]}}
    for known in (inside, path):
        while known := known.rpartition("/")[0]:
            tree.setdefault(known, {})
    tree[inside] = {**tree[inside], "accept_from": [name], "route": [{"to": "default", "netns": name}]}
    config = from_dict({"netns": tree})
    assert config.netns[inside].accept_from == (path,)
    assert config.netns[inside].routes[0].netns == path


@pytest.mark.parametrize("inside", ["a", "a/b", "a/b/c", "x/b"])
@pytest.mark.parametrize("target", ["b", "a/c", "a/b/d", "x", "a/b/c/d/e"])
def test_a_suggested_name_means_what_it_should(inside: str, target: str) -> None:
    """What a hint proposes resolves to the namespace that is meant."""
    assert resolve(inside, relative(inside, target)) == target


def test_next_hops_on_connected_networks() -> None:
    """By an address of any device, named or not, also at the other end of a /31 (RFC 3021)."""
    text = """\
[netns.red.dev.lan]
addresses = ["10.0.1.1/24"]
[netns.red.dev.wan]
addresses = ["10.0.2.0/31"]
[[netns.red.route]]
to = "10.1.0.0/16"
via = "10.0.1.254"
[[netns.red.route]]
to = "default"
via = "10.0.2.1"
dev = "wan"
[[netns.red.route]]
to = "10.0.2.0/31"
via = "10.0.2.1"
metric = 1
table = 254
[[netns.red.route]]
to = "10.2.0.0/16"
dev = "lan"
"""
    routes = loads(text).netns["red"].routes
    assert [str(route.via) for route in routes] == ["10.0.1.254", "10.0.2.1", "10.0.2.1", "None"]
    assert {route.table for route in routes} == {254}


def test_the_kernels_end_reaches_a_gateway_by_an_earlier_route() -> None:
    """As Linux does: a route without a gateway puts its prefix on the link."""
    host = {"addresses": ["10.200.1.2/32"], "routes": [{"to": "10.0.1.1"}, {"to": "default", "via": "10.0.1.1"}]}
    device = device_from_dict("red", "lan", {"host": host})
    assert device.host is not None
    assert [str(route.via) for route in device.host.routes] == ["None", "10.0.1.1"]
    host["routes"].reverse()
    with pytest.raises(ConfigError, match=r"routes\[0\]\.via: '10\.0\.1\.1' is on no connected network$"):
        device_from_dict("red", "lan", {"host": host})


def test_the_same_addresses_and_device_names_in_every_namespace() -> None:
    """Nothing is shared by default."""
    text = "".join(f'[netns.n{n}.dev.lan]\naddresses = ["10.0.1.1/24"]\nhost.netns = "h{n}"\n' for n in range(3))
    devices = [netns.devices["lan"] for netns in loads(text).netns.values()]
    assert {device.addresses for device in devices} == {(IPv4Interface("10.0.1.1/24"),)}
    assert [device.ifname for device in devices] == ["n0-lan", "n1-lan", "n2-lan"]


@pytest.mark.parametrize(
    ("path", "device", "expected"),
    [
        ("red", "lan", "red-lan"),
        ("red/web", "lan", "red-web-lan"),
        ("red", "a-b", "vr-51457e96b6a3"),
        ("red-a", "b", "vr-2f4574319eb3"),
        ("a-long-tenant", "lan", "vr-e8d993273978"),
        ("red", "é", "vr-9f47b061874f"),
    ],
)
def test_the_kernel_name_of_a_tap_without_one(path: str, device: str, expected: str) -> None:
    """Readable where that is short and means one device only, otherwise a stable hash; never longer than 15 bytes."""
    assert default_ifname(path, device) == expected
    assert len(expected.encode()) <= 15


def test_no_two_taps_share_a_kernel_name_that_was_made_for_them() -> None:
    """The readable form is used only where it can be read in one way."""
    names = ["a", "b", "a-b", "b-a", "a.b", "a_b"]
    paths = [*names, *(f"{parent}/{child}" for parent in names for child in names)]
    assert len({default_ifname(path, device) for path in paths for device in names}) == len(paths) * len(names)


def test_a_route_that_will_not_be_accepted_is_a_warning_once_for_each_pair() -> None:
    """An existing target that does not accept passes the check, and the hint is the entry that mends it."""
    text = """\
[netns.red]
[[netns.red.route]]
to = "10.1.0.0/16"
netns = "blue/web"
[[netns.red.route]]
to = "10.2.0.0/16"
netns = "blue/web"
[[netns.red.route]]
to = "10.3.0.0/16"
netns = "green"
[netns.blue]
[netns."blue/web"]
[netns.green]
accept_from = ["red"]
[netns.any]
accept_from = ["*"]
[[netns.any.route]]
to = "default"
netns = "red"
"""
    assert [str(warning) for warning in loads(text, "f.toml").warnings] == [
        "f.toml:4:9: netns.red.route[0].netns: 'blue/web' does not accept 'red', so these packets will be dropped"
        ' (CROSSING_DENIED) (add "/red" to accept_from of [netns."blue/web"])',
        "f.toml:19:9: netns.any.route[0].netns: 'red' does not accept 'any', so these packets will be dropped"
        ' (CROSSING_DENIED) (add "any" to accept_from of [netns.red])',
    ]


def test_a_mapping_is_checked_like_a_file_and_stays_the_callers() -> None:
    """Without positions, and with tuples as good as lists."""
    mapping: dict[str, Any] = {"netns": {"red": {"dev": {"lan": {"addresses": ("10.0.1.1/24",)}}}}}
    config = from_dict(mapping)
    assert config.netns == loads('[netns.red.dev.lan]\naddresses = ["10.0.1.1/24"]').netns
    mapping["netns"]["red"]["dev"].clear()
    assert list(config.raw["netns"]["red"]["dev"]) == ["lan"]
    with pytest.raises(ConfigError) as caught:
        from_dict({"netns": {"red": {"kind": None, 5: 6, "dev": {7: {}}}}, "routr": {}})
    assert list(map(str, caught.value.problems)) == [
        "<config>: routr: unknown key (did you mean 'router'?)",
        "<config>: netns.red.5: a key must be a string",
        "<config>: netns.red.kind: must be a string, not None",
        "<config>: netns.red.dev.7: a key must be a string",
    ]
    assert caught.value.problems[0] == Problem("<config>", 0, 0, "routr", "unknown key", "did you mean 'router'?")


def test_one_device_by_itself() -> None:
    """For a device that is added to a running router: everything but the existence of its peer is checked."""
    assert device_from_dict("red", "lan", {"mtu": 1400}).mtu == 1400
    assert device_from_dict("red", "up", {"kind": "veth", "peer": {"netns": "./x", "dev": "y"}}).peer == PeerConfig(
        netns="red/x", dev="y"
    )
    with pytest.raises(ConfigError, match=r"^<config>: netns\.red\.dev\.lan\.mtu: must be 68 to 65521, not 1$"):
        device_from_dict("red", "lan", {"mtu": 1})


def test_a_file_is_named_as_it_was_given(tmp_path: Path) -> None:
    """Every report begins with the file's name; a byte order mark is no part of the text."""
    file = tmp_path / "r.toml"
    file.write_bytes(b"\xef\xbb\xbf[netns.red]\r\nkind = 'l2'\r\n")
    assert list(load(file).netns) == ["red"]
    file.write_bytes(b"\xef\xbb\xbf[netns.red]\r\nkind = 'l5'\r\n")
    with pytest.raises(ConfigError) as caught:
        load(str(file))
    assert str(caught.value) == f"{file}:2:8: netns.red.kind: must be l2, not 'l5'"
    file.write_bytes("# é\n# é".encode() + b"\xff\n")
    with pytest.raises(ConfigError) as caught:
        load(file)
    assert str(caught.value) == f"{file}:2:4: byte 0xff is not UTF-8"
    with pytest.raises(FileNotFoundError):
        load(tmp_path / "none.toml")


def test_the_import_is_light() -> None:
    """A check of a file starts without the kernel's tools, the logger, the event loop and the stack's layers."""
    code = "import sys, vrouter.config; print(*sys.modules)"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    loaded = set(run.stdout.split())
    unwanted = {"pyroute2", "structlog", "asyncio", "socket", "difflib", "hashlib", "tomllib", "vrouter.stack.sysctl"}
    assert loaded & unwanted == set()
