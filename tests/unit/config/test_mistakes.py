"""One mistake a row: the exact place, key, message and hint of each.

`▸` stands where the report must point; it is taken out before the text is read.
"""

import pytest

from tests.unit.config.marked import HOST, RED, VETH, address, must_report, route

UNKNOWN = [
    ("[▸network.red]", "network: unknown key"),
    ("[▸netn.red]", "netn: unknown key (did you mean 'netns'?)"),
    ('[router]\n▸admim = "x"', "router.admim: unknown key (did you mean 'admin'?)"),
    ('[router]\nlog = { level = "info", ▸formt = "json" }', "router.log.formt: unknown key (did you mean 'format'?)"),
    ("[netns.red]\n▸acept_from = []", "netns.red.acept_from: unknown key (did you mean 'accept_from'?)"),
    ("[netns.red.▸web]", 'netns.red.web: unknown key (a namespace in this one is [netns."red/web"])'),
    ("[netns.red.dev.lan]\n  ▸adresses = []", "netns.red.dev.lan.adresses: unknown key (did you mean 'addresses'?)"),
    ('[netns.red.dev.lan]\n▸"a b" = 1', 'netns.red.dev.lan."a b": unknown key'),
    ("[netns.red.dev.lan]\nhost.▸netn = 'h'", "netns.red.dev.lan.host.netn: unknown key (did you mean 'netns'?)"),
    ("[netns.red.dev.lan]\nhost = {▸up = true}", "netns.red.dev.lan.host.up: unknown key"),
    (
        RED + "host = { routes = [{to = '10.9.0.0/16', ▸metric = 5}] }",
        "netns.red.dev.lan.host.routes[0].metric: unknown key",
    ),
    (
        RED + "[[netns.red.route]]\nto = 'default'\nvia = '10.0.1.9'\n▸metrik = 1",
        "netns.red.route[0].metrik: unknown key (did you mean 'metric'?)",
    ),
    (
        "[netns.red.sysctl]\n▸'net.ipv4.ip_foward' = 1",
        "netns.red.sysctl.\"net.ipv4.ip_foward\": there is no setting 'net.ipv4.ip_foward'"
        " (did you mean 'net.ipv4.ip_forward'?)",
    ),
    (
        RED + "[netns.red.sysctl]\n▸'net.ipv4.conf.lam.rp_filter' = 1",
        "netns.red.sysctl.\"net.ipv4.conf.lam.rp_filter\": there is no device 'lam' (did you mean 'lan'?)",
    ),
    (
        "[netns.red.sysctl]\n▸net.ipv4.ip_forward = 1",
        'netns.red.sysctl.net: a sysctl has a value, not a table (write "net.ipv4.ip_forward" = …)',
    ),
]


@pytest.mark.parametrize(("text", "expected"), UNKNOWN)
def test_an_unknown_key_is_reported_at_the_key(text: str, expected: str) -> None:
    """Position rule: at the key when it is unknown, with a suggestion when one is close."""
    must_report(text, expected)


TYPES = [
    ("router = ▸1", "router: must be a table, not an integer"),
    ("▸[[router]]", "router: must be a table, not an array"),
    ("netns = ▸'red'", "netns: must be a table, not a string"),
    ("netns.red = ▸5", "netns.red: must be a table, not an integer"),
    ("[router]\nadmin = ▸false", "router.admin: must be a string, not a boolean"),
    ("[router]\nlog = ▸'info'", "router.log: must be a table, not a string"),
    ("[router]\nlog.level = ▸3", "router.log.level: must be a string, not an integer"),
    ("[netns.red]\nkind = ▸['l2']", "netns.red.kind: must be a string, not an array"),
    ("[netns.red]\naccept_from = ▸'blue'", "netns.red.accept_from: must be an array, not a string"),
    ("[netns.red]\naccept_from = [\n  ▸1979-05-27,\n]", "netns.red.accept_from[0]: must be a string, not a date"),
    ("[netns.red]\ndev = ▸[]", "netns.red.dev: must be a table, not an array"),
    ("[netns.red]\nsysctl = ▸1.5", "netns.red.sysctl: must be a table, not a float"),
    (
        "[netns.red.sysctl]\n'net.ipv4.ip_forward' = ▸true",
        'netns.red.sysctl."net.ipv4.ip_forward": must be an integer or a string, not a boolean',
    ),
    ("[netns.red.dev]\nlan = ▸'tap'", "netns.red.dev.lan: must be a table, not a string"),
    ("▸[[netns.red.dev.lan]]", "netns.red.dev.lan: must be a table, not an array"),
    ("[netns.red.dev.lan]\nmtu = ▸'1500'", "netns.red.dev.lan.mtu: must be an integer, not a string"),
    ("[netns.red.dev.lan]\nmtu = ▸true", "netns.red.dev.lan.mtu: must be an integer, not a boolean"),
    ("[netns.red.dev.lan]\nup = ▸1", "netns.red.dev.lan.up: must be a boolean, not an integer"),
    ("[netns.red.dev.lan]\noffload = ▸'on'", "netns.red.dev.lan.offload: must be a boolean, not a string"),
    ("[netns.red.dev.lan]\nqueues = ▸1.0", "netns.red.dev.lan.queues: must be an integer, not a float"),
    ("[netns.red.dev.lan]\nhost = ▸'h'", "netns.red.dev.lan.host: must be a table, not a string"),
    (
        "▸[netns.red.route]\nto = 'default'",
        "netns.red.route: must be an array of tables, not a table (write [[netns.red.route]])",
    ),
    ("[netns.red]\nroute = [▸1]", "netns.red.route[0]: must be a table, not an integer"),
    (
        RED + "[[netns.red.route]]\nto = '10.9.0.0/16'\nvia = '10.0.1.9'\ntable = ▸true",
        "netns.red.route[0].table: must be a string or an integer, not a boolean",
    ),
    ("[netns.red.dev.v]\nkind = 'veth'\npeer = ▸'blue'", "netns.red.dev.v.peer: must be a table, not a string"),
]


@pytest.mark.parametrize(("text", "expected"), TYPES)
def test_a_wrong_type_is_reported_at_the_value(text: str, expected: str) -> None:
    """Position rule: at the value when the key is known; what hangs below it is not reported again."""
    must_report(text, expected)


VALUES = [
    # [router]
    ("[router]\nmetrics = ▸'9473'", "router.metrics: '9473' is not ADDRESS:PORT (such as '127.0.0.1:9473')"),
    (
        "[router]\nmetrics = ▸'localhost:9473'",
        "router.metrics: 'localhost' is not an IPv4 address (names are not looked up)",
    ),
    ("[router]\nmetrics = ▸'127.0.0.1:99999'", "router.metrics: port '99999' must be 0 to 65535"),
    ("[router]\nmetrics = ▸'127.0.0.1:'", "router.metrics: port '' must be 0 to 65535"),
    (f"[router]\nadmin = ▸'/{'x' * 107}'", "router.admin: the path of a Unix socket has at most 107 bytes"),
    ("[router]\nid = ▸''", "router.id: must not be empty"),
    (
        "[router]\nlog.level = ▸'warn'",
        "router.log.level: must be debug, info, warning or error, not 'warn' (did you mean 'warning'?)",
    ),
    ("[router]\nlog = {format = ▸'xml'}", "router.log.format: must be auto, json or console, not 'xml'"),
    # names
    ("[netns.▸'']", 'netns."": a namespace name has 1 to 32 characters'),
    (f"[netns.▸{'n' * 33}]", f"netns.{'n' * 33}: a namespace name has 1 to 32 characters"),
    ("[netns.▸'r d']", 'netns."r d": a namespace name has only letters, digits and _ . -'),
    ("[netns.▸'/red']", 'netns."/red": a namespace name has 1 to 32 characters'),
    ("[netns.▸'..']", "netns.\"..\": '..' cannot be a namespace's name"),
    (
        "[netns.red.dev.▸sixteen-letters-]",
        "netns.red.dev.sixteen-letters-: 'sixteen-letters-': a device name has 1 to 15 bytes",
    ),
    ("[netns.red.dev.▸'ééééééé1é']", "netns.red.dev.\"ééééééé1é\": 'ééééééé1é': a device name has 1 to 15 bytes"),
    ("[netns.red.dev.▸'a/b']", "netns.red.dev.\"a/b\": 'a/b': a device name has no slash, colon or white space"),
    ("[netns.red.dev.▸'a b']", "netns.red.dev.\"a b\": 'a b': a device name has no slash, colon or white space"),
    ("[netns.red.dev.▸'.']", "netns.red.dev.\".\": '.': a device name has no slash, colon or white space"),
    (
        "[netns.red.dev.▸all]",
        "netns.red.dev.all: 'all': a device cannot be called 'all': the settings of all devices are",
    ),
    ("[netns.red]\nkind = ▸'l4'", "netns.red.kind: must be l2, not 'l4'"),
    # devices
    (
        "[netns.red.dev.lan]\nkind = ▸'tapp'",
        "netns.red.dev.lan.kind: must be tap, veth, vlan or bridge, not 'tapp' (did you mean 'tap'?)",
    ),
    ("[netns.red.dev.lan]\nmtu = ▸67", "netns.red.dev.lan.mtu: must be 68 to 65521, not 67"),
    ("[netns.red.dev.lan]\nmtu = ▸65522", "netns.red.dev.lan.mtu: must be 68 to 65521, not 65522"),
    ("[netns.red.dev.lo]\nmtu = ▸65537", "netns.red.dev.lo.mtu: must be 68 to 65536, not 65537"),
    (
        "[netns.red.dev.lo]\n▸kind = 'tap'",
        "netns.red.dev.lo.kind: 'lo' has no such setting (it takes addresses and mtu)",
    ),
    ("[netns.red.dev.lan]\nqueues = ▸0", "netns.red.dev.lan.queues: must be 1, not 0"),
    ("[netns.red.dev.lan]\nacd = ▸'off'", "netns.red.dev.lan.acd: must be announce or probe, not 'off'"),
    (
        "[netns.red.dev.lan]\nmac = ▸'02:00:00:00:01'",
        "netns.red.dev.lan.mac: '02:00:00:00:01' is not a MAC address (six bytes such as '02:00:00:00:01:01')",
    ),
    (
        "[netns.red.dev.lan]\nmac = ▸'03:00:00:00:00:01'",
        "netns.red.dev.lan.mac: '03:00:00:00:00:01' is a group address; a device needs a unicast MAC",
    ),
    (
        "[netns.red.dev.lan]\nmac = ▸'00:00:00:00:00:00'",
        "netns.red.dev.lan.mac: '00:00:00:00:00:00' is no station's address",
    ),
    ("[netns.red.dev.lan]\n▸peer = {}", "netns.red.dev.lan.peer: only a veth has this, and 'lan' is a tap"),
    (VETH + "▸host = {}", "netns.blue.dev.down.host: only a tap has this, and 'down' is a veth"),
    (VETH + "▸ifname = 'x'", "netns.blue.dev.down.ifname: only a tap has this, and 'down' is a veth"),
    (
        "[netns.red.dev.lan]\nifname = ▸'a-kernel-name-16'",
        "netns.red.dev.lan.ifname: 'a-kernel-name-16': a device name has 1 to 15 bytes",
    ),
    (
        "[netns.red.dev.lan]\nifname = ▸'vr%d'",
        "netns.red.dev.lan.ifname: 'vr%d': the kernel would take the % for a place to put a number in",
    ),
    # addresses of an interface
    (address("10.0.1.1"), "netns.red.dev.lan.addresses[0]: '10.0.1.1' needs a prefix length (such as '10.0.1.1/24')"),
    (address("10.0.1/24"), "netns.red.dev.lan.addresses[0]: '10.0.1/24' is not an IPv4 address with its prefix length"),
    (
        address("10.0.1.01/24"),
        "netns.red.dev.lan.addresses[0]: '10.0.1.01/24' is not an IPv4 address with its prefix length",
    ),
    (address("10.0.1.1/33"), "netns.red.dev.lan.addresses[0]: the prefix length of '10.0.1.1/33' must be 1 to 32"),
    (
        address("10.0.1.1/255.0.0.0"),
        "netns.red.dev.lan.addresses[0]: the prefix length of '10.0.1.1/255.0.0.0' must be 1 to 32",
    ),
    (
        address("10.0.1.0/24"),
        "netns.red.dev.lan.addresses[0]: '10.0.1.0/24' is the network's own address"
        " (an interface needs one of the hosts' addresses)",
    ),
    (address("10.0.1.255/24"), "netns.red.dev.lan.addresses[0]: '10.0.1.255/24' is the network's broadcast address"),
    (address("224.0.0.5/24"), "netns.red.dev.lan.addresses[0]: '224.0.0.5/24' is a multicast address"),
    (address("255.255.255.255/32"), "netns.red.dev.lan.addresses[0]: '255.255.255.255/32' is the broadcast address"),
    (
        address("240.0.0.1/24"),
        "netns.red.dev.lan.addresses[0]: '240.0.0.1/24' is in 240.0.0.0/4, which no interface can have",
    ),
    (address("0.0.0.1/8"), "netns.red.dev.lan.addresses[0]: '0.0.0.1/8' is in 0.0.0.0/8, which no interface can have"),
    (
        address("127.0.0.2/8"),
        "netns.red.dev.lan.addresses[0]: '127.0.0.2/8' is a loopback address, which only lo can have",
    ),
    (
        RED + "[netns.red.dev.wan]\naddresses = ['10.0.2.1/24', ▸'10.0.1.1/30']",
        "netns.red.dev.wan.addresses[1]: '10.0.1.1' is already an address of 'lan'",
    ),
    (
        "[netns.red.dev.lo]\naddresses = [▸'127.0.0.1/8']",
        "netns.red.dev.lo.addresses[0]: '127.0.0.1' is already the address of 'lo'",
    ),
    # the kernel's end
    (RED + "host.netns = ▸'a/b'", "netns.red.dev.lan.host.netns: 'a/b' cannot be the name of a kernel namespace"),
    (
        RED + "host = { addresses = [▸'10.0.1.1/24'] }",
        "netns.red.dev.lan.host.addresses[0]: '10.0.1.1' is already the router's address on this link",
    ),
    (
        RED + "host = { addresses = ['10.0.1.2/24', ▸'10.0.1.2/24'] }",
        "netns.red.dev.lan.host.addresses[1]: '10.0.1.2' is already an address of 'host'",
    ),
    (
        HOST + "host.routes = [{ to = 'default', via = ▸'10.9.1.1' }]",
        "netns.red.dev.lan.host.routes[0].via: '10.9.1.1' is on no connected network"
        " (connected: 10.0.1.0/24 of 'host')",
    ),
    (
        HOST + "host.routes = [{ to = 'default', via = '10.0.1.1', src = ▸'10.200.1.3' }]",
        "netns.red.dev.lan.host.routes[0].src: '10.200.1.3' is no address of this side (did you mean '10.200.1.2'?)",
    ),
    (
        HOST + "host.routes = [{ to = 'default', via = '10.0.1.1' }, { to = ▸'0.0.0.0/0', via = '10.0.1.3' }]",
        "netns.red.dev.lan.host.routes[1].to: '0.0.0.0/0' with metric 0 is already the destination of routes[0]",
    ),
    # routes
    (
        route("to = ▸'10.9.0.1/16'\nvia = '10.0.1.9'"),
        "netns.red.route[0].to: '10.9.0.1/16' has host bits set (did you mean '10.9.0.0/16'?)",
    ),
    (route("to = ▸'everywhere'\nvia = '10.0.1.9'"), "netns.red.route[0].to: 'everywhere' is not an IPv4 prefix"),
    (
        route("to = ▸'10.0.0.0/40'\nvia = '10.0.1.9'"),
        "netns.red.route[0].to: the prefix length of '10.0.0.0/40' must be 0 to 32",
    ),
    (
        route("to = ▸'10.0.1.0/24'\nvia = '10.0.1.9'"),
        "netns.red.route[0].to: '10.0.1.0/24' with metric 0 is already the connected network of 'lan'",
    ),
    (
        route("to = '10.9.0.0/16'\ndev = 'lan'\n[[netns.red.route]]\nto = ▸'10.9.0.0/16'\nvia = '10.0.1.9'"),
        "netns.red.route[1].to: '10.9.0.0/16' with metric 0 is already the destination of route[0]",
    ),
    (
        route("to = 'default'\nvia = ▸'10.0.1.1'"),
        "netns.red.route[0].via: '10.0.1.1' is an address of 'lan' itself, not a next hop",
    ),
    (
        route("to = 'default'\nvia = ▸'10.0.2.1'"),
        "netns.red.route[0].via: '10.0.2.1' is on no connected network (connected: 10.0.1.0/24 of 'lan')",
    ),
    (
        route("to = 'default'\nvia = ▸'10.0.1.255'"),
        "netns.red.route[0].via: '10.0.1.255' is the broadcast address of 10.0.1.0/24",
    ),
    (
        route("to = 'default'\nvia = ▸'10.0.1.0'"),
        "netns.red.route[0].via: '10.0.1.0' is the own address of 10.0.1.0/24",
    ),
    (route("to = 'default'\nvia = ▸'224.0.0.1'"), "netns.red.route[0].via: '224.0.0.1' is a multicast address"),
    (route("to = 'default'\nvia = ▸'10.0.1.9/24'"), "netns.red.route[0].via: '10.0.1.9/24' is not an IPv4 address"),
    (
        route("to = 'default'\nvia = ▸'10.0.1.9'\ndev = 'wan'\n[netns.red.dev.wan]\naddresses = ['10.0.2.1/24']"),
        "netns.red.route[0].via: '10.0.1.9' is on no connected network of 'wan' (it is on that of 'lan')",
    ),
    (
        route("to = 'default'\ndev = ▸'lam'"),
        "netns.red.route[0].dev: there is no device 'lam' in 'red' (did you mean 'lan'?)",
    ),
    (
        route("to = 'default'\nvia = '10.0.1.9'\nsrc = ▸'10.0.1.9'"),
        "netns.red.route[0].src: '10.0.1.9' is no address of this side (did you mean '10.0.1.1'?)",
    ),
    (
        route("to = 'default'\nvia = '10.0.1.9'\nmetric = ▸-1"),
        "netns.red.route[0].metric: must be 0 to 4294967295, not -1",
    ),
    (
        route("to = 'default'\nvia = '10.0.1.9'\ntype = ▸'blackhol'"),
        "netns.red.route[0].type: must be unicast, blackhole, unreachable, prohibit or throw, not 'blackhol'"
        " (did you mean 'blackhole'?)",
    ),
    (
        route("to = 'default'\n▸via = '10.0.1.9'\ntype = 'blackhole'"),
        "netns.red.route[0].via: a route of type 'blackhole' leads nowhere, so it has no via",
    ),
    (
        route("to = 'default'\n▸via = '10.0.1.9'\nnetns = 'blue'\n[netns.blue]\naccept_from = ['*']"),
        "netns.red.route[0].via: a route into another namespace has no via: its routes decide",
    ),
    (route("to = 'default'\nnetns = ▸'red'"), "netns.red.route[0].netns: 'red' is this namespace itself"),
    (
        "[[netns.red.route]]\nto = 'default'\nvia = ▸'10.0.2.1'",
        "netns.red.route[0].via: '10.0.2.1' is on no connected network",
    ),
    (
        route("to = 'default'\nnetns = ▸'../blue'"),
        "netns.red.route[0].netns: '../blue' climbs above the top of the namespaces",
    ),
    (route("to = 'default'\nvia = ▸'10:0:1:9'"), "netns.red.route[0].via: '10:0:1:9' is not an IPv6 address"),
    ("[router]\nadmin = ▸'/run/\\u0000'".replace("'", '"'), "router.admin: a path has no NUL character"),
    (
        route("to = 'default'\nvia = ▸'10.9.1.1'\n[[netns.red.route]]\nto = '10.9.1.1'\ndev = 'lan'"),
        "netns.red.route[0].via: '10.9.1.1' is on no connected network (connected: 10.0.1.0/24 of 'lan')",
    ),
    (
        "[netns.red.dev.lo]\naddresses = ['10.0.3.1/24']\n[[netns.red.route]]\nto = 'default'\nvia = ▸'10.0.3.2'",
        "netns.red.route[0].via: '10.0.3.2' is on no connected network",
    ),
    (
        RED + "[netns.red.dev.wan]\naddresses = ['10.0.1.9/30']\n"
        "[[netns.red.route]]\nto = 'default'\nvia = ▸'10.0.1.11'\ndev = 'lan'",
        "netns.red.route[0].via: '10.0.1.11' is the broadcast address of 10.0.1.8/30",
    ),
    # sysctl values
    (
        "[netns.red.sysctl]\n'net.ipv4.ip_forward' = ▸2",
        'netns.red.sysctl."net.ipv4.ip_forward": 2 is not within 0 to 1',
    ),
]


@pytest.mark.parametrize(("text", "expected"), VALUES)
def test_a_wrong_value_is_reported_at_the_value(text: str, expected: str) -> None:
    """Position rule: at the value, or at the key where the key has no business there."""
    must_report(text, expected)


MISSING = [
    (
        RED + "▸[[netns.red.route]]\nvia = '10.0.1.9'",
        "netns.red.route[0].to: is missing: the prefix that the route leads to",
    ),
    (
        RED + "▸[[netns.red.route]]\nto = 'default'",
        "netns.red.route[0]: a route needs via, dev or netns (or type = blackhole, unreachable, prohibit or throw)",
    ),
    (
        "[netns.red]\n▸[netns.red.dev.up]\nkind = 'veth'",
        "netns.red.dev.up.peer: is missing: a veth names its other end",
    ),
    (
        "[netns.red.dev.up]\nkind = 'veth'\npeer = ▸{ netns = 'red' }",
        "netns.red.dev.up.peer.dev: is missing: the other end's device",
    ),
    (
        "[netns.red.dev.up]\nkind = 'veth'\n▸[netns.red.dev.up.peer]\ndev = 'x'",
        "netns.red.dev.up.peer.netns: is missing: the other end's namespace",
    ),
    (
        HOST + "host.routes = [\n  ▸{ via = '10.0.1.1' }\n]",
        "netns.red.dev.lan.host.routes[0].to: is missing: the prefix that the route leads to",
    ),
    ("[netns.▸'red/web']", "netns.\"red/web\": its parent 'red' does not exist (add [netns.red])"),
    (
        "[netns.red]\n[netns.▸'rde/web'.sysctl]",
        "netns.\"rde/web\": its parent 'rde' does not exist (did you mean 'red/web'?)",
    ),
]


@pytest.mark.parametrize(("text", "expected"), MISSING)
def test_what_is_missing_is_reported_at_the_header(text: str, expected: str) -> None:
    """Position rule: at the table's header when something is missing; a parent at the name that needs it."""
    must_report(text, expected)
