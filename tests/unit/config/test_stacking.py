"""VLANs, bridges, ports and tags for other namespaces: one mistake a row, and in which order devices are made."""

import pytest

from tests.unit.config.marked import BR, DUAL, must_report
from vrouter.config import IngressConfig, PortConfig, loads
from vrouter.config.stacking import build_order

LINKS = [
    (
        DUAL + "[netns.red.dev.v]\nkind = 'vlan'\nparent = ▸'lam'\nvid = 5\n",
        "netns.red.dev.v.parent: there is no device 'lam' in 'red' (did you mean 'lan'?)",
    ),
    (
        DUAL + "[netns.red.dev.v]\nkind = 'vlan'\nparent = 'lan'\nvid = ▸4095\n",
        "netns.red.dev.v.vid: must be 1 to 4094, not 4095",
    ),
    ("[netns.red.dev.v]\nkind = 'vlan'\nparent = ▸'lo'\nvid = 5", "netns.red.dev.v.parent: 'lo' has no VLANs"),
    (
        "[netns.red.dev.v]\nkind = 'vlan'\nparent = ▸'v'\nvid = 5",
        "netns.red.dev.v.parent: stands on itself: 'v' on 'v'",
    ),
    (
        "[netns.red.dev.v]\nkind = 'vlan'\nparent = ▸'w'\nvid = 5\n[netns.red.dev.w]\nkind = 'vlan'\nparent = "
        "'v'\nvid = 6",
        "netns.red.dev.v.parent: stands on itself: 'v' on 'w' on 'v'",
    ),
    (
        DUAL
        + (
            "[netns.red.dev.v]\nkind = 'vlan'\nparent = 'lan'\nvid = 5\n[netns.red.dev.w]\nkind = 'vlan'\nparent "
            "= 'lan'\nvid = ▸5\n"
        ),
        "netns.red.dev.w.vid: VLAN 5 of 'lan' is 'v' already",
    ),
    (
        DUAL + "[netns.red.dev.v]\nkind = 'vlan'\nparent = 'lan'\nvid = 5\nmtu = ▸1501",
        "netns.red.dev.v.mtu: an MTU of 1501 is more than that of 'lan' below, 1500",
    ),
    (
        DUAL + "[netns.red.dev.v]\nkind = 'vlan'\nparent = 'lan'\nvid = 5\nprotocol = ▸'802.1q'",
        "netns.red.dev.v.protocol: must be 802.1Q or 802.1ad, not '802.1q' (did you mean '802.1Q'?)",
    ),
    (DUAL + "▸vid = 3", "netns.red.dev.lan.vid: only a vlan has this, and 'lan' is a tap"),
    (
        DUAL
        + (
            "[netns.red.dev.v0]\nkind='vlan'\nvid=1\nparent='lan'\n[netns.red.dev.v1]\nkind='vlan'\nvid=1\n"
            "parent='v0'\n[netns.red.dev.v2]\nkind='vlan'\nvid=1\nparent='v1'\n[netns.red.dev.v3]\nkind='vlan'\n"
            "vid=1\nparent='v2'\n[netns.red.dev.v4]\nkind='vlan'\nvid=1\nparent='v3'\n[netns.red.dev.v5]\n"
            "kind='vlan'\nvid=1\nparent='v4'\n[netns.red.dev.v6]\nkind='vlan'\nvid=1\nparent='v5'\n"
            "[netns.red.dev.v7]\nkind='vlan'\nvid=1\nparent=▸'v6'\n[netns.red.dev.v8]\nkind='vlan'\nvid=1\n"
            "parent='v7'\n"
        ),
        "netns.red.dev.v7.parent: more than 8 devices stand on one another",
    ),
    (BR + "ports = [▸'x']", "netns.red.dev.br.ports[0]: there is no device 'x' in 'red'"),
    (BR + "ports = [▸'lo']", "netns.red.dev.br.ports[0]: 'lo' cannot be a bridge's port"),
    (BR + "ports = [▸'br']", "netns.red.dev.br.ports[0]: 'br' is a bridge, and cannot be a bridge's port"),
    (
        BR + "ports=[▸'b2']\n[netns.red.dev.b2]\nkind = 'bridge'\n",
        "netns.red.dev.br.ports[0]: 'b2' is a bridge, and cannot be a bridge's port",
    ),
    (BR + "ports = ['lan',▸'lan']\n[netns.red.dev.lan]", "netns.red.dev.br.ports[1]: 'lan' is given twice"),
    (
        BR + "ports = ['lan']\n[netns.red.dev.b2]\nkind = 'bridge'\nports = [▸'lan']\n[netns.red.dev.lan]",
        "netns.red.dev.b2.ports[0]: 'lan' is a port of 'br' already",
    ),
    (
        BR + "ports = ['lan']\n[netns.red.dev.b2]\nkind = 'bridge'\n[netns.red.dev.lan]\nbridge=▸'b2'",
        "netns.red.dev.lan.bridge: 'lan' is a port of 'br' already",
    ),
    ("[netns.red.dev.lan]\nbridge = ▸'bx'", "netns.red.dev.lan.bridge: there is no device 'bx' in 'red'"),
    (
        "[netns.red.dev.lan]\nbridge = ▸'wan'\n[netns.red.dev.wan]",
        "netns.red.dev.lan.bridge: 'wan' is a tap, and no bridge",
    ),
    ("[netns.red.dev.lan]\nbridge = ▸'lo'", "netns.red.dev.lan.bridge: 'lo' is no bridge"),
    (
        "[netns.red.dev.lan]\n▸port = {}",
        "netns.red.dev.lan.port: 'lan' is no port of a bridge (bridge = … says of which)",
    ),
    (
        BR + "▸bridge = 'b2'\n[netns.red.dev.b2]\nkind = 'bridge'\n",
        "netns.red.dev.br.bridge: a bridge cannot be a bridge's port",
    ),
    (BR + "priority = ▸100", "netns.red.dev.br.priority: must be a multiple of 4096, not 100"),
    (BR + "hello_time = ▸11", "netns.red.dev.br.hello_time: must be 1 to 10, not 11"),
    (
        BR + "max_age = ▸40",
        "netns.red.dev.br.max_age: 2 * (hello_time + 1) <= max_age <= 2 * (forward_delay - 1) does not "
        "hold (hello_time 2, max_age 40, forward_delay 15)",
    ),
    (BR + "stp = ▸'mstp'", "netns.red.dev.br.stp: must be none, stp or rstp, not 'mstp' (did you mean 'stp'?)"),
    (BR + "port.▸cost = 5", "netns.red.dev.br.port.cost: a bridge itself has only pvid, untagged and tagged"),
    ("[netns.red.dev.lan]\n▸stp = 'rstp'", "netns.red.dev.lan.stp: only a bridge has this, and 'lan' is a tap"),
    (BR + "ageing_time = ▸-1", "netns.red.dev.br.ageing_time: must be 0 to 1000000, not -1"),
    (BR + "default_pvid=▸4095", "netns.red.dev.br.default_pvid: must be 0 to 4094, not 4095"),
    (
        BR + "[netns.red.dev.lan]\nbridge='br'\nport.priority = ▸8",
        "netns.red.dev.lan.port.priority: must be a multiple of 16, not 8",
    ),
    (
        BR + "[netns.red.dev.lan]\nbridge='br'\nport.tagged = [▸0]",
        'netns.red.dev.lan.port.tagged[0]: 0 is no VLAN id (a number of 1 to 4094, or a range such as "10-20")',
    ),
    (
        BR + "[netns.red.dev.lan]\nbridge='br'\nport.tagged = [▸'20-10']",
        "netns.red.dev.lan.port.tagged[0]: '20-10' ends before it begins",
    ),
    (
        BR + "[netns.red.dev.lan]\nbridge='br'\nport.tagged = [▸'a']",
        "netns.red.dev.lan.port.tagged[0]: 'a' is no VLAN id (a number of 1 to 4094, or a range such as \"10-20\")",
    ),
    (
        BR + "[netns.red.dev.lan]\nbridge='br'\nport = {tagged = ▸[5], untagged = ['4-6']}",
        "netns.red.dev.lan.port.tagged: VLAN 5 is both tagged and untagged",
    ),
    (
        BR + "[netns.red.dev.lan]\nbridge='br'\nport.tagged = [▸true]",
        "netns.red.dev.lan.port.tagged[0]: must be an integer or a string, not a boolean",
    ),
    (
        BR + "[netns.red.dev.lan]\nbridge='br'\nport.storm.▸unicast = 5",
        "netns.red.dev.lan.port.storm.unicast: unknown key (did you mean 'multicast'?)",
    ),
    (
        BR + "[netns.red.dev.lan]\nbridge='br'\nport.static = [▸'01:00:5e:00:00:01']",
        "netns.red.dev.lan.port.static[0]: '01:00:5e:00:00:01' is a group address; a device needs a unicast MAC",
    ),
    (
        BR + "[netns.red.dev.lan]\nbridge='br'\nport.guard = ▸'loop'",
        "netns.red.dev.lan.port.guard: must be none, bpdu or root, not 'loop'",
    ),
    (
        BR + "ports=▸['v']\n[netns.red.dev.v]\nkind='vlan'\nparent='br'\nvid=3",
        "netns.red.dev.br.ports: stands on itself: 'br' on 'v' on 'br'",
    ),
    (
        DUAL
        + (
            "[[netns.red.ingress]]\ndev = 'lan'\nvid = ▸0\nnetns = 'blue'\nname = 'in7'\n[netns.blue]\n"
            "accept_from = ['red']\n"
        ),
        "netns.red.ingress[0].vid: must be 1 to 4094, not 0",
    ),
    (
        DUAL
        + (
            "[[netns.red.ingress]]\ndev = ▸'lam'\nvid = 7\nnetns = 'blue'\nname = 'in7'\n[netns.blue]\n"
            "accept_from = ['red']\n"
        ),
        "netns.red.ingress[0].dev: there is no device 'lam' in 'red' (did you mean 'lan'?)",
    ),
    (
        DUAL
        + (
            "[[netns.red.ingress]]\ndev = 'lan'\nvid = 7\nnetns = ▸'bleu'\nname = 'in7'\n[netns.blue]\n"
            "accept_from = ['red']\n"
        ),
        "netns.red.ingress[0].netns: there is no namespace 'bleu' (did you mean 'blue'?)",
    ),
    (
        DUAL
        + (
            "[[netns.red.ingress]]\ndev = 'lan'\nvid = 7\nnetns = ▸'red'\nname = 'in7'\n[netns.blue]\naccept_from "
            "= ['red']\n"
        ),
        "netns.red.ingress[0].netns: 'red' is this namespace itself (a tag of its own is a device of kind \"vlan\")",
    ),
    (
        DUAL
        + (
            "[[netns.red.ingress]]\ndev = 'lan'\nvid = 7\nnetns = 'blue'\nname = 'in7'\n[netns.blue]\naccept_from "
            "= ['red']\n[netns.blue.dev.in7]\nkind=▸'tap'"
        ),
        "netns.blue.dev.in7.kind: 'in7' is a tag that another namespace gives (kind = \"vlan\", or none)",
    ),
    (
        DUAL
        + (
            "[[netns.red.ingress]]\ndev = 'lan'\nvid = 7\nnetns = 'blue'\nname = 'in7'\n[netns.blue]\naccept_from "
            "= ['red']\n[netns.blue.dev.in7]\n▸vid = 7"
        ),
        "netns.blue.dev.in7.vid: 'in7' is a tag that another namespace gives, which says this",
    ),
    (
        DUAL
        + (
            "[[netns.red.ingress]]\ndev = 'lan'\nvid = 7\nnetns = 'blue'\nname = ▸'lo'\n[netns.blue]\naccept_from "
            "= ['red']\n"
        ),
        "netns.red.ingress[0].name: 'lo' is there already",
    ),
    (
        DUAL
        + (
            "[[netns.red.ingress]]\ndev = 'lan'\nvid = 7\nnetns = 'blue'\nname = 'in7'\n[netns.blue]\naccept_from "
            "= ['red']\n[[netns.red.ingress]]\ndev = 'lan'\nvid = ▸7\nnetns = 'blue'\nname = 'in8'"
        ),
        "netns.red.ingress[1].vid: VLAN 7 of 'lan' is 'in7' of 'blue' already",
    ),
    (
        DUAL
        + (
            "[[netns.red.ingress]]\ndev = 'lan'\nvid = 7\nnetns = 'blue'\nname = 'in7'\n[netns.blue]\naccept_from "
            "= ['red']\n[[netns.red.ingress]]\ndev = 'lan'\nvid = 8\nnetns = 'blue'\nname = ▸'in7'"
        ),
        "netns.red.ingress[1].name: 'in7' in 'blue' is the name of another tag already",
    ),
    (
        "▸[netns.red.ingress]\ndev='x'",
        "netns.red.ingress: must be an array of tables, not a table (write [[netns.red.ingress]])",
    ),
]


@pytest.mark.parametrize(("text", "expected"), LINKS)
def test_devices_on_devices_that_cannot_be(text: str, expected: str) -> None:
    """A parent, a port or a tag that is missing, given twice, or in a circle is reported once, where it is said."""
    must_report(text, expected)


SWITCH = """\
[netns.red.dev."br.10"]
kind = "vlan"
parent = "br"
vid = 10
mac = "02:00:00:00:00:0a"
[netns.red.dev.br]
kind = "bridge"
ports = ["b", "a"]
stp = "rstp"
vlan_filtering = true
port = { tagged = [10] }
[netns.red.dev.a]
port = { pvid = 10, tagged = [30, "20-22"], cost = 4, edge = false, storm = { broadcast = 0 } }
[netns.red.dev.b]
kind = "veth"
peer = { netns = "blue", dev = "b" }
[netns.red.dev.c]
bridge = "br"
port = { static = ["02:00:00:00:00:01"], isolated = true }
[[netns.red.ingress]]
dev = "a"
vid = 100
netns = "blue"
name = "tag"
protocol = "802.1ad"
[netns.blue]
accept_from = ["red"]
[netns.blue.dev.over]
kind = "vlan"
parent = "tag"
vid = 5
[netns.blue.dev.b]
kind = "veth"
peer = { netns = "red", dev = "b" }
"""


def test_what_stands_on_others_is_made_behind_them() -> None:
    """Parents before their VLANs, ports before their bridge, the device before its tag: across namespaces too."""
    config = loads(SWITCH)
    assert build_order(config) == [
        ("red", "b"),
        ("red", "a"),
        ("red", "c"),
        ("red", "br"),
        ("red", "br.10"),
        ("blue", "tag"),
        ("blue", "over"),
        ("blue", "b"),
    ]
    assert config.warnings == ()


def test_a_switch_in_its_records() -> None:
    """Each key of a bridge, of a port, of a VLAN and of a tag arrives; a range of VLANs is numbers."""
    red, blue = loads(SWITCH).netns.values()
    bridge = red.devices["br"]
    assert bridge.settings is not None
    assert (bridge.kind, bridge.mtu, bridge.ifname) == ("bridge", 0, None)
    assert (bridge.settings.ports, bridge.settings.stp, bridge.settings.vlan_filtering) == (("b", "a"), "rstp", True)
    assert bridge.settings.max_age is None
    assert bridge.port == PortConfig(tagged=(10,))
    assert red.devices["a"].port == PortConfig(
        pvid=10, tagged=(30, 20, 21, 22), cost=4, edge=False, storm={"broadcast": 0}
    )
    assert red.devices["c"].port == PortConfig(static=(bytes.fromhex("020000000001"),), isolated=True)
    assert red.devices["c"].bridge == "br"
    vlan = red.devices["br.10"]
    assert (vlan.kind, vlan.parent, vlan.vid, vlan.protocol, vlan.mtu) == ("vlan", "br", 10, "802.1Q", 0)
    assert red.ingress == (IngressConfig(dev="a", vid=100, netns="blue", name="tag", protocol="802.1ad"),)
    tag = blue.devices["tag"]  # without a table of its own
    assert (tag.kind, tag.parent, tag.vid, tag.addresses) == ("vlan", None, 0, ())


def test_a_given_tag_has_a_table_like_other_devices() -> None:
    """Without `kind` it is the tag, not a TAP; addresses, routes and settings find it by its name."""
    text = (
        DUAL + "[[netns.red.ingress]]\ndev = 'lan'\nvid = 7\nnetns = 'blue'\nname = 'in7'\n"
        "[netns.blue]\naccept_from = ['red']\n[netns.blue.sysctl]\n'net.ipv4.conf.in7.rp_filter' = 1\n"
        "[netns.blue.dev.in7]\naddresses = ['10.0.7.1/24']\nup = false\n"
        "[[netns.blue.route]]\nto = 'default'\nvia = '10.0.7.2'\ndev = 'in7'\n"
    )
    config = loads(text)
    tag = config.netns["blue"].devices["in7"]
    assert (tag.kind, tag.up, [str(address) for address in tag.addresses]) == ("vlan", False, ["10.0.7.1/24"])
    assert config.netns["blue"].sysctl == {"net.ipv4.conf.in7.rp_filter": 1}


WARNED = [
    (
        DUAL + "[[netns.red.ingress]]\ndev = 'lan'\nvid = 7\nnetns = 'blue'\nname = 'in7'\n[netns.blue]",
        "f.toml:6:9: netns.red.ingress[0].netns: 'blue' does not accept 'red', so these packets will be dropped"
        ' (CROSSING_DENIED) (add "red" to accept_from of [netns.blue])',
    ),
    (
        BR + "[netns.red.dev.lan]\nbridge = 'br'\naddresses = ['10.0.1.1/24']",
        "f.toml:5:13: netns.red.dev.lan.addresses: what comes in here belongs to 'br', and so should the addresses",
    ),
    (
        BR + "[netns.red.dev.lan]\nbridge = 'br'\nport.pvid = 5",
        "f.toml:5:13: netns.red.dev.lan.port.pvid: 'br' does not look at VLANs (vlan_filtering = true on 'br')",
    ),
]


@pytest.mark.parametrize(("text", "expected"), WARNED)
def test_what_is_hardly_meant_is_a_warning(text: str, expected: str) -> None:
    """It passes the check, with the place and the mend."""
    assert [str(warning) for warning in loads(text, "f.toml").warnings] == [expected]
