"""What is typed wrong: status 2 and one line that says what is wrong and what mends it."""

import json
import os
import socket
import subprocess
import sys
import threading
import time

import pytest

from tests.unit.cli.conftest import ROOT, Cli
from vrouter import __version__
from vrouter.cli.arguments import EVERYWHERE, Option, parse
from vrouter.cli.failure import Failure
from vrouter.cli.main import main
from vrouter.cli.verbs import UNBUILT, VERBS, help_of, overview
from vrouter.stack.l3.fib import COMPILED

SHOW_WHAT = (
    "show what? netns, devices, addresses, routes, rules, nexthops, neighbors, routers, adverts, groups, listeners, "
    "queriers, mroutes, bridges, ports, fdb, mdb, vlans, sockets, crossings, drops, stats, config"
)
WRONG = [
    ("", "what shall it do? `vrouter --help` lists the verbs"),
    ("shwo", "there is no verb 'shwo' (did you mean show?)"),
    ("--jsn show routes", "vrouter has no option --jsn (did you mean --json?)"),
    ("show", SHOW_WHAT),
    ("show route", "there is nothing called 'route' to show (did you mean routes?)"),
    ("show conntrack", "show conntrack: not supported yet"),
    ("show routes table", "table needs a value: a number, a name, or all"),
    ("show addresses table 5", "'table' is too much"),
    ("show routes -4 -6", "-4 and -6: one of them"),
    ("show bridges -6", "bridges have no family: leave out -6"),
    ("show flows", "show flows: not supported yet"),
    ("show routes extra", "'extra' is too much"),
    (
        "show routes -x",
        "show has no option -x (there are --admin, -n, --netns, --json, -h, --help, --version, -w, --watch, -4, -6, "
        "-t, --tcp, -u, --udp, --raw, -0, --packet, -l, --listening, -i, --info)",
    ),
    ("show routes -n", "option -n needs a value: -n NETNS"),
    ("show routes --netns=", "option --netns needs a value: --netns NETNS"),
    ("show routes --json=yes", "option --json takes no value, but got 'yes'"),
    ("show routes -n a -n b", "option --netns is given twice"),
    ("top", "top: not supported yet"),
    ("trace", "trace: not supported yet"),
    ("firewall list", "firewall: not supported yet"),
    ("reload", "reload: not supported yet"),
    ("packetdrill", "packetdrill which scripts? vrouter packetdrill FILE…"),
    ("run", "run which configuration? vrouter run CONFIG"),
    ("check", "check which configuration? vrouter check CONFIG"),
    ("check a b", "check which configuration? vrouter check CONFIG"),
    ("check /nonexistent.toml", "/nonexistent.toml cannot be read: no such file or directory"),
    ("run /nonexistent.toml", "/nonexistent.toml cannot be read: no such file or directory"),
    ("demo twice", "demo takes no 'twice': vrouter demo [--once]"),
    ("ping", "ping whom? one address: vrouter ping DEST"),
    ("ping a b", "ping whom? one address: vrouter ping DEST"),
    ("ping 10.0.0.1 -c 0", "-c is a number of 1 to 100000, not '0'"),
    ("ping 10.0.0.1 -c many", "-c is a number of 1 to 100000, not 'many'"),
    ("ping 10.0.0.1 -s 65508", "-s is a number of 0 to 65507, not '65508'"),
    ("ping 10.0.0.1 -i 0", "-i is a number of seconds from 0.001 to 3600, not '0'"),
    ("ping 10.0.0.1 -W soon", "-W is a number of seconds from 0.001 to 3600, not 'soon'"),
    ("ping 10.0.0.1 -t 256", "-t is a number of 1 to 255, not '256'"),
    ("ping 10.0.0.1 -M want", "-M is do or dont, not 'want'"),
    ("traceroute", "traceroute to whom? one address or name: vrouter traceroute DEST"),
    ("traceroute a b", "traceroute to whom? one address or name: vrouter traceroute DEST"),
    ("traceroute 10.0.0.1 -I -T", "-I and -T: one of them"),
    ("traceroute 10.0.0.1 -f 0", "-f is a number of 1 to 255, not '0'"),
    ("traceroute 10.0.0.1 -m 256", "-m is a number of 1 to 255, not '256'"),
    ("traceroute 10.0.0.1 -f 9 -m 8", "-f 9 is beyond -m 8"),
    ("traceroute 10.0.0.1 -q 11", "-q is a number of 1 to 10, not '11'"),
    ("traceroute 10.0.0.1 -w never", "-w is a number of seconds from 0.001 to 3600, not 'never'"),
    ("traceroute 10.0.0.1 -p 0", "-p is a number of 1 to 65535, not '0'"),
    ("traceroute 10.0.0.1 -I -p 5", "-p is a port, which echo requests (-I) have not"),
    ("traceroute -4 -6 10.0.0.1", "-4 and -6: one of them"),
    ("traceroute fe80::1", "fe80::1 is link-local, and needs its device: fe80::1%DEV, or -i DEV"),
    ("show sockets --raw -0", "--raw and -0: one of them"),
    ("capture", "capture at which device? vrouter capture DEV, or `any`"),
    ("capture lan -c 0", "-c is a number of 1 to 1000000000000, not '0'"),
    ("netns", "netns what? add, del, list"),
    ("netns ad", "there is no `netns ad` (did you mean add?)"),
    ("netns add", "netns add needs the namespace's path"),
    ("netns add red kin l2", "'kin' is not understood here (did you mean kind?)"),
    ("netns add red kind", "kind needs a value"),
    ("netns list now", "'now' is too much"),
    ("netns exec red", "netns exec: not supported yet"),
    ("device", "device what? add, del, move, set, list"),
    ("device set lan", "device set needs up, down, mtu N, mac M, master BRIDGE, nomaster or KEY VALUE"),
    ("device set lan upp", "'upp' cannot be set (did you mean up?)"),
    ("device set lan mtu", "device set needs the MTU in bytes: mtu N"),
    ("device set lan mtu 67", "mtu is a number of 68 to 65521, not '67'"),
    ("device set lan stp", "device set needs a value: stp VALUE"),
    ("device set lan edge maybe", "edge is on or off, not 'maybe'"),
    ("device set lan storm all", "storm is KIND:RATE,… with broadcast, multicast and unknown, or none; not 'all'"),
    ("device add x kind vxlan vni 5", "vni: not supported yet"),
    ("device add x kind vlan vid ten", "vid is a number of 0 to 2147483648, not 'ten'"),
    ("bridge", "bridge what? show, link, fdb, vlan, mdb"),
    ("bridge fdb ad", "there is no `bridge fdb ad` (did you mean add?)"),
    ("bridge fdb add", "bridge fdb add needs a MAC address"),
    ("bridge fdb add 02:00:00:00:00:09", "bridge fdb needs a device: dev D"),
    ("bridge vlan add dev lan", "bridge vlan needs a VLAN: vid N, or vid N-M"),
    (
        "bridge link set dev lan",
        "bridge link set needs a setting: cost, priority, state, guard, root_block, edge, storm, "
        "isolated, learning, flood, mcast_router",
    ),
    ("device add x peer blue", "peer is NETNS:DEV, not 'blue'"),
    ("device add x up maybe", "up is on or off, not 'maybe'"),
    ("device move x", "device move needs the namespace to move to"),
    ("device del", "device del needs a device's name"),
    ("address", "address what? add, del, list"),
    ("address add", "address add needs an address with its prefix length: 10.0.1.1/24"),
    ("address add 10.0.0.1/24", "address add needs a device: dev D"),
    ("address add 10.0.0.1/24 device lan", "'device' is not understood here (did you mean dev?)"),
    ("route", "route what? add, append, replace, del, get, load, list"),
    ("route add", 'route add needs a prefix, or "default"'),
    ("route add 10.0.0.0/8 via", "via needs a value"),
    ("route add 10.0.0.0/8 via 1.1.1.1 via 2.2.2.2", "via is given twice"),
    (
        "route add 10.0.0.0/8 realm 5",
        "'realm' is not understood here (there are via, dev, netns, metric, table, mtu, "
        "advmss, src, nhid, proto, scope)",
    ),
    ("route add 10.0.0.0/8 mtu big", "mtu is a number of 0 to 4294967295, not 'big'"),
    ("route add 10.0.0.0/8 nexthop weight 2", "a nexthop needs via or dev: nexthop via A [dev D] [weight N]"),
    ("route add 10.0.0.0/8 nexthop via 1.1.1.1 weight 257", "weight is a number of 1 to 256, not '257'"),
    ("route load", "route load needs a file with routes, or - for standard input"),
    ("route load /nonexistent -n red", "/nonexistent cannot be read: no such file or directory"),
    ("route add 10.0.0.0/8 --replace", "--replace belongs to `route load`; one route is replaced by `route replace`"),
    ("route flush", "route flush: not supported yet"),
    ("rule", "rule what? add, del, list"),
    ("rule add", "rule add which? [from P] [to P] [iif D] [mark M] … table T, goto N or blackhole …"),
    ("rule add priority low", "priority is a number of 0 to 4294967295, not 'low'"),
    ("rule add blackhole prohibit", "a rule does one thing: blackhole or prohibit"),
    ("rule add fro 10.0.0.0/8", "'fro' is not understood here (did you mean from?)"),
    ("rule flush", "rule flush: not supported yet"),
    ("nexthop", "nexthop what? add, del, replace, list"),
    ("nexthop del", "nexthop del needs its number: id N"),
    ("nexthop add id 0 blackhole", "id is a number of 1 to 4294967295, not '0'"),
    ("maddr add 01:00:5e:00:00:01", "maddr add: not supported yet"),
    ("mroute add 239.1.1.1", "mroute add needs where packets come in and go out: iif D oifs D,D[:TTL]… or netns NS"),
    ("multicast querier lan", "multicast querier needs on or off"),
    ("multicast querier lan on pim -n x", "'pim' asks nobody (there are igmp, mld)"),
    ("ra", "ra what? show, set, off"),
    ("ra set", "ra set needs a device"),
    ("ra set lan lifetime long", "lifetime is a number of 0 to 4294967295, not 'long'"),
    ("sysctl -a (", "'(' is no regular expression: missing ), unterminated subpattern at position 0"),
    ("ping 10.0.0.1 -I lan", "-I is a source address, or the device of a link-local destination; not 'lan'"),
    ("route add 10.0.0.0/8 metric x", "metric is a number of 0 to 4294967295, not 'x'"),
    ("route get", "route get needs an address"),
    ("route get 1.1.1.1 from", "from needs a value"),
    ("route get blackhole 1.1.1.1", "'1.1.1.1' is not understood here (there are from, iif, oif, mark)"),
    ("neighbor", "neighbor what? add, del, flush, list, proxy"),
    ("neighbor proxy", "neighbor proxy what? there are add, del"),
    ("neighbor proxy add fd00::9", "neighbor proxy needs a device: dev D"),
    ("neighbor add 10.0.0.2 dev x", "neighbor add needs a MAC address: lladdr MAC"),
    ("neighbor del 10.0.0.2", "neighbor del needs a device: dev D"),
    ("sysctl a=1 b", "'b' has no value while others have: NAME=VALUE"),
    ("health now", "'now' is too much"),
]


@pytest.mark.parametrize(("typed", "message"), WRONG)
def test_wrong_use_is_one_line_and_status_2(
    typed: str, message: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Errors go to stderr as one line with the mend, never a traceback; 2 is bad configuration or usage."""
    monkeypatch.setenv("VROUTER_ADMIN", "/nonexistent/vrouter.sock")
    assert main(typed.split()) == 2
    assert capsys.readouterr() == ("", f"vrouter: {message}\n")


@pytest.mark.parametrize("words", [["--json", "show"], ["show", "--json"]])
def test_with_json_an_error_is_json_too(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    """Errors are {error, message} with the errno's name, in one line."""
    assert main(words) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert json.loads(err) == {"error": "EINVAL", "message": SHOW_WHAT}
    assert err.count("\n") == 1


@pytest.mark.parametrize("verb", UNBUILT)
def test_verbs_that_are_not_built_say_so(verb: str, capsys: pytest.CaptureFixture[str]) -> None:
    """A verb that is not built yet says so and exits 2."""
    assert main([verb, "anything"]) == 2
    assert capsys.readouterr().err == f"vrouter: {verb}: not supported yet\n"


async def test_without_a_router_the_status_is_4(cli: Cli, admin: str) -> None:
    """4: no router is running; the line says how to start one. `--admin` goes before the environment."""
    for words in (["show", "routes"], ["health"], ["ping", "-n", "red", "10.0.0.1"], ["netns", "list"]):
        done = await cli(*words)
        text = (
            f"vrouter: no router is running at {admin}: start one with `vrouter run CONFIG`, "
            "or say where it is with --admin PATH or $VROUTER_ADMIN\n"
        )
        assert (done.returncode, done.stdout, done.stderr) == (4, "", text)
    done = await cli("--admin", "/nonexistent/other.sock", "health")
    assert done.returncode == 4
    assert "/nonexistent/other.sock" in done.stderr


async def test_health_does_not_wait_for_a_stopped_router(cli: Cli, admin: str) -> None:
    """A router that takes connections but answers none is unhealthy within the 3 s of the image's HEALTHCHECK."""
    with socket.socket(socket.AF_UNIX) as silent:
        silent.bind(admin)
        silent.listen()
        started = time.monotonic()
        done = await cli("health")
        took = time.monotonic() - started
    text = f"vrouter: {admin}: the router does not answer: it is stopped or busy; try again, or restart it\n"
    assert (done.returncode, done.stdout, done.stderr) == (1, "", text)
    assert took < 3


OPTIONS = {"show": (Option(("-w", "--watch"), "watch", "", ""),), "ping": (Option(("-c",), "count", "N", ""),)}


@pytest.mark.parametrize(
    ("typed", "words", "options"),
    [
        ("show routes", ["routes"], {}),
        ("--admin /a show routes -n red --json", ["routes"], {"admin": "/a", "netns": "red", "json": ""}),
        ("show --json routes --admin=/a -nred", ["routes"], {"admin": "/a", "netns": "red", "json": ""}),
        ("-n red show -w routes", ["routes"], {"netns": "red", "watch": ""}),
        ("ping -c3 10.0.0.1", ["10.0.0.1"], {"count": "3"}),
        ("ping 10.0.0.1 -c 3 -n -red", ["10.0.0.1"], {"count": "3", "netns": "-red"}),
        ("show -- -w routes", ["-w", "routes"], {}),
        ("show - routes", ["-", "routes"], {}),
    ],
)
def test_options_stand_anywhere(typed: str, words: list[str], options: dict[str, str]) -> None:
    """`--admin PATH` before or after the verb; options anywhere; `--` ends them."""
    arguments = parse(typed.split(), OPTIONS)
    assert (arguments.words, arguments.options) == (words, options)


def test_options_of_a_verb_stand_behind_it() -> None:
    """Before the verb only the options of all verbs are known: what `-c` means depends on the verb."""
    with pytest.raises(Failure, match="vrouter has no option -c"):
        parse(["-c", "3", "ping", "10.0.0.1"], OPTIONS)


def test_help_tells_of_every_verb_and_option(capsys: pytest.CaptureFixture[str]) -> None:
    """`--help` of the program and of each verb: on stdout, status 0, no line wider than a terminal of 120."""
    assert main(["--help"]) == 0
    assert capsys.readouterr() == (overview() + "\n", "")
    for name, verb in VERBS.items():
        assert f"  {name} " in overview()
        assert main([name, "--help"]) == 0
        text = capsys.readouterr().out
        assert text == help_of(name) + "\n"
        assert all(len(line) <= 120 for line in text.splitlines())
        for option in (*verb.options, *EVERYWHERE):
            assert option.text in text


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    """`--version` prints the program's name and version, and whether its compiled parts are there."""
    assert main(["--version", "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == {"version": __version__, "compiled": COMPILED}
    assert main(["--version"]) == 0
    assert capsys.readouterr().out == f"vrouter {__version__} ({'compiled' if COMPILED else 'pure Python'})\n"


async def test_a_client_verb_does_not_load_the_router(cli: Cli) -> None:
    """A probe runs every few seconds: it loads neither event loop nor stack nor netlink."""
    done = await cli("health", PYTHONPROFILEIMPORTTIME="1")
    loaded = {line.rpartition("|")[2].strip() for line in done.stderr.splitlines() if line.startswith("import time:")}
    assert "vrouter.cli.client" in loaded
    heavy = {"asyncio", "uvloop", "msgspec", "pyroute2", "h11", "structlog", "argparse", "vrouter.stack", "http.client"}
    assert loaded & heavy == set()


def run_to(stdout: str, *words: str, **environment: str) -> subprocess.CompletedProcess[bytes]:
    """`vrouter` by a shell that gives it this standard output."""
    command = f'exec {sys.executable} -m vrouter "$@" {stdout}'
    env = {**os.environ, **environment}
    return subprocess.run(["sh", "-c", command, "sh", *words], env=env, cwd=ROOT, capture_output=True, timeout=60)


def test_an_output_that_is_full_closed_or_narrow_makes_no_traceback() -> None:
    """A full disk is status 1 and one line; a closed output is nobody's; what a locale lacks is escaped."""
    full = run_to(">/dev/full", "--help")
    assert (full.returncode, full.stderr) == (
        1,
        b"vrouter: the output cannot be written or read: No space left on device\n",
    )
    closed = run_to(">&-", "--help")
    assert (closed.returncode, closed.stderr) == (0, b"")
    narrow = run_to("", "--help", LC_ALL="C", PYTHONUTF8="0", PYTHONCOERCECLOCALE="0")
    assert narrow.returncode == 0
    assert narrow.stdout.startswith(b"usage: vrouter VERB \\u2026 ")


@pytest.mark.parametrize(
    ("answer", "problem"),
    [
        (b"Content-Length: 5\r\n\r\nhello", "what answered is no router: it did not send JSON"),
        (b'Content-Length: 7\r\n\r\n[{"a":1', "what answered is no router: it did not send JSON"),
        (b"Content-Length: x\r\n\r\n", "what answers there is no router, or it broke off"),
        (b"Transfer-Encoding: chunked\r\n\r\nzz\r\n", "what answers there is no router, or it broke off"),
        (b'Content-Length: 9\r\n\r\n[{"a":1}]', "a fault in vrouter, please report it: KeyError('netns') at "),
    ],
)
def test_who_is_no_router_makes_no_traceback(
    admin: str, answer: bytes, problem: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """Whatever answers at the socket: status 1 and one line."""
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(admin)
        listener.listen()

        def serve() -> None:
            client, _ = listener.accept()
            with client:
                client.recv(4096)
                client.sendall(b"HTTP/1.1 200 OK\r\n" + answer)

        server = threading.Thread(target=serve)
        server.start()
        status = main(["show", "devices", "--admin", admin])
        server.join()
    error = capsys.readouterr().err
    assert (status, error.count("\n")) == (1, 1)
    assert problem in error
