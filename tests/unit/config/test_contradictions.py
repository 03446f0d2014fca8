"""What contradicts itself, comes later, or is no TOML: one report each, all at once."""

import pytest

from tests.unit.config.marked import MARK, RED, VETH, lines, must_report

REFERENCES = [
    (
        "[netns.red]\naccept_from = [▸'blu']\n[netns.blue]",
        "netns.red.accept_from[0]: there is no namespace 'blu' (did you mean 'blue'?)",
    ),
    ("[netns.red]\naccept_from = [▸'red']", "netns.red.accept_from[0]: 'red' is this namespace itself"),
    (
        "[netns.red]\naccept_from = [▸'*', 'blue']\n[netns.blue]",
        "netns.red.accept_from[0]: '*' accepts everyone, so it stands alone",
    ),
    ("[netns.red]\naccept_from = ['blue', ▸'/blue']\n[netns.blue]", "netns.red.accept_from[1]: '/blue' is given twice"),
    (
        "[netns.red]\naccept_from = [▸'../blue']\n[netns.blue]",
        "netns.red.accept_from[0]: '../blue' climbs above the top of the namespaces",
    ),
    (
        "[netns.red]\n[netns.'red/web']\naccept_from = [▸'../blu']\n[netns.blue]",
        "netns.\"red/web\".accept_from[0]: there is no namespace 'blu' (did you mean '/blue'?)",
    ),
    (
        RED + "[netns.red.dev.lo]\naddresses = ['10.0.1.5/28']\n[[netns.red.route]]\nto = 'default'\nvia = ▸'10.0.1.9'",
        "netns.red.route[0].via: '10.0.1.9' is in 10.0.1.0/28 of 'lo', all of which is this namespace's own",
    ),
    (
        RED + "[[netns.red.route]]\nto = 'default'\nnetns = ▸'blue'",
        "netns.red.route[0].netns: there is no namespace 'blue'",
    ),
    (
        "[netns.red.dev.up]\nkind = 'veth'\npeer = { netns = ▸'bleu', dev = 'down' }\n[netns.blue]",
        "netns.red.dev.up.peer.netns: there is no namespace 'bleu' (did you mean 'blue'?)",
    ),
    (
        "[netns.red.dev.up]\nkind = 'veth'\npeer = { netns = 'blue', dev = ▸'down' }\n[netns.blue]",
        "netns.red.dev.up.peer.dev: there is no device 'down' in 'blue'"
        ' (it takes one with kind = "veth" and peer = { netns = "red", dev = "up" })',
    ),
    (
        "[netns.red.dev.up]\nkind = 'veth'\npeer = { netns = 'blue', dev = ▸'down' }\n[netns.blue.dev.down]",
        "netns.red.dev.up.peer.dev: 'down' in 'blue' is a tap, not a veth",
    ),
    (
        "[netns.red.dev.up]\nkind = 'veth'\npeer = { netns = 'blue', dev = ▸'lo' }\n[netns.blue]",
        "netns.red.dev.up.peer.dev: 'lo' in 'blue' is not a veth",
    ),
    (
        "[netns.red.dev.up]\nkind = 'veth'\npeer = ▸{ netns = 'red', dev = 'up' }",
        "netns.red.dev.up.peer: a veth cannot be its own other end",
    ),
    (
        VETH + "[netns.blue.dev.other]\nkind = 'veth'\npeer = ▸{ netns = 'red', dev = 'up' }",
        "netns.blue.dev.other.peer: 'up' in 'red' does not name this device back, but 'down' in 'blue'",
    ),
    (
        "[netns.red.dev.lan]\nifname = 'vr0'\n[netns.blue.dev.lan]\nifname = ▸'vr0'",
        "netns.blue.dev.lan.ifname: 'vr0' is already the kernel name of 'lan' in 'red'",
    ),
    (
        "[netns.red.dev.lan]\nifname = 'blue-lan'\n▸[netns.blue.dev.lan]",
        "netns.blue.dev.lan.ifname: 'blue-lan' is already the kernel name of 'lan' in 'red'",
    ),
    (
        "[netns.red.dev.lan]\nhost = { netns = 'h', ifname = 'eth0' }\n"
        "[netns.blue.dev.lan]\nhost = { netns = 'h', ifname = ▸'eth0' }",
        "netns.blue.dev.lan.host.ifname: 'eth0' is already the kernel name of 'lan' in 'red' in kernel namespace 'h'",
    ),
    (
        "[netns.red.dev.lan]\nhost = { netns = 'h', routes = [{ to = 'default' }] }\n"
        "[netns.blue.dev.lan]\nhost = { netns = 'h', routes = [{ to = ▸'default' }] }",
        "netns.blue.dev.lan.host.routes[0].to: the host of 'lan' in 'red' has a route to '0.0.0.0/0' in 'h'",
    ),
]


@pytest.mark.parametrize(("text", "expected"), REFERENCES)
def test_a_dangling_or_contradicting_name_is_reported_once(text: str, expected: str) -> None:
    """Both ends of a crossing are declared, every name leads somewhere, and a kernel name is held once."""
    must_report(text, expected)


NOT_YET = [
    ("[netns.red]\nkind = ▸'l3'", "netns.red.kind: 'l3' is not supported yet"),
    *((f"[netns.red.▸{key}]", f"netns.red.{key}: not supported yet") for key in ("firewall", "share")),
    ("[[netns.red.▸share]]", "netns.red.share: not supported yet"),
    ("[netns.red.▸firewall.forward]\npolicy = 'drop'", "netns.red.firewall: not supported yet"),
    *(
        (
            f"[netns.red.dev.x]\nkind = ▸'{kind}'\nvid = 100\nparent = 'lan'",
            f"netns.red.dev.x.kind: '{kind}' is not supported yet",
        )
        for kind in ("vxlan", "gre", "ipip", "wireguard", "packet", "host")
    ),
    ("[netns.red.dev.x]\nqueues = ▸2", "netns.red.dev.x.queues: more than one queue is not supported yet"),
]


@pytest.mark.parametrize(("text", "expected"), NOT_YET)
def test_what_comes_later_is_refused_by_name(text: str, expected: str) -> None:
    """A key or value of the full format is never ignored, and never called unknown."""
    must_report(text, expected)


SYNTAX = [
    ("a = 1\nb = ▸", "Invalid value"),
    ("[netns.red]\nkind ▸'l2'", "Expected '=' after a key in a key/value pair"),
    ("[netns.red]\r\nkind = 'l2'\r\nkind = 'l3'▸\r\n", "Cannot overwrite a value"),
]


@pytest.mark.parametrize(("text", "expected"), SYNTAX)
def test_a_syntax_error_is_reported_alone(text: str, expected: str) -> None:
    """Nothing behind a syntax error can be trusted, so it is the only report, and it has no key."""
    before, _, after = text.partition(MARK)
    line, column = before.count("\n") + 1, len(before.rpartition("\n")[2]) + 1
    (report,) = lines("unknown = 1\n" + before + after)
    assert report.startswith(f"f.toml:{line + 1}:{column}: {expected}")


def test_a_text_that_ends_too_early_is_reported_at_its_end() -> None:
    """The parser gives no position there."""
    (report,) = lines('[netns.red]\r\nkind = """l2')
    assert report.startswith("f.toml:2:13: ")
    assert report.endswith(" at the end of the file")


def test_hostile_texts_are_refused_like_others() -> None:
    """Endless nesting and endless numbers break the parser in other ways than a syntax error."""
    (report,) = lines("a = " + "[" * 100_000)
    assert report == "f.toml:1:1: arrays or tables are nested too deeply"
    (report,) = lines("a = 1\nb = " + "9" * 5000)
    assert report == "f.toml:2:5: a number has too many digits"


def test_eight_mistakes_are_eight_lines() -> None:
    """All mistakes at once, sorted by position, whatever order the checks run in."""
    text = """\
[router]
metrics = "localhost:80"
log = { levle = "info" }

[netns.red]
accept_from = ["blu"]

[netns.red.dev.lan]
addresses = ["10.0.1.1/24", "10.0.1.0/24"]
mtu = 20

[netns.blue.dev.up]
kind = "veth"

[[netns.blue.route]]
via = "10.0.1.1"
table = 0
"""
    assert lines(text) == [
        "f.toml:2:11: router.metrics: 'localhost' is not an IPv4 address (names are not looked up)",
        "f.toml:3:9: router.log.levle: unknown key (did you mean 'level'?)",
        "f.toml:6:16: netns.red.accept_from[0]: there is no namespace 'blu' (did you mean 'blue'?)",
        "f.toml:9:29: netns.red.dev.lan.addresses[1]: '10.0.1.0/24' is the network's own address"
        " (an interface needs one of the hosts' addresses)",
        "f.toml:10:7: netns.red.dev.lan.mtu: must be 68 to 65521, not 20",
        "f.toml:12:1: netns.blue.dev.up.peer: is missing: a veth names its other end",
        "f.toml:15:1: netns.blue.route[0].to: is missing: the prefix that the route leads to",
        "f.toml:17:9: netns.blue.route[0].table: 0 is no routing table (main, default or a number of 1 to 4294967295)",
    ]


FOLLOW_UPS = {
    "a next hop is not judged by addresses that are broken": RED.replace("1.1/24", "1.1")
    + ("[[netns.red.route]]\nto = 'default'\nvia = '10.0.1.9'\nsrc = '10.0.1.1'"),
    "a next hop is not judged by a device that is broken": (
        "[netns.red.dev.lan]\nkind = 'vxlan'\n[[netns.red.route]]\nto = 'default'\nvia = '10.0.1.9'"
    ),
    "a peer that is broken is not complained of by its other end": VETH.replace('dev = "up"', "dev = 1"),
    "a namespace that is broken exists": "[netns]\nred = 1\n[netns.blue]\naccept_from = ['red']",
    "the devices of a namespace that is broken are not known": "[netns]\nblue = 1\n" + VETH.partition("[netns.blue")[0],
    "a missing parent is reported by its first child alone": "[netns.'red/a']\n[netns.'red/b']",
    "a missing parent is reported by its own children alone": "[netns.'red/a']\n[netns.'red/a/b']",
    "a list that is broken does not refuse a crossing": (
        "[netns.blue]\naccept_from = 1\n[[netns.red.route]]\nto = 'default'\nnetns = 'blue'"
    ),
}


@pytest.mark.parametrize("text", FOLLOW_UPS.values(), ids=FOLLOW_UPS.keys())
def test_one_mistake_is_one_report(text: str) -> None:
    """What only follows from another mistake is not reported beside it."""
    assert len(lines(text)) == 1


def test_a_thousand_unknown_names_are_all_reported() -> None:
    """Suggestions are given up after a while, reports are not."""
    text = "[netns.red]\n" + "".join(f"kinds{number} = 1\n" for number in range(1000))
    reports = lines(text)
    assert len(reports) == 1000
    assert sum("did you mean" in report for report in reports) == 100
