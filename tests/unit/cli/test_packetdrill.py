"""`vrouter packetdrill`: scripts, and folders of them, run by a process of its own."""

import json

import pytest

ACCEPT = """\
0   socket(..., SOCK_STREAM, IPPROTO_TCP) = 3
+0  bind(3, ..., ...) = 0
+0  listen(3, 1) = 0
+0  < S 0:0(0) win 32792 <mss 1000,sackOK,nop,nop,nop,wscale 7>
+0  > S. 0:0(0) ack 1 <mss MSS,nop,nop,sackOK,nop,wscale 7>
+.1 < . 1:1(0) ack 1 win 257
+0  accept(3, ..., ...) = 4
"""


@pytest.fixture
def folder(tmp_path):
    """A project's scripts, as people keep them: settings beside them, and folders in folders."""
    (tmp_path / "settings.sh").write_text("sysctl -q net.ipv4.tcp_sack=1\n")
    good = tmp_path / "handshake"
    good.mkdir()
    (good / "accept.pkt").write_text("`../settings.sh`\n" + ACCEPT.replace("MSS", "1460"))
    (good / "notes.txt").write_text("not a script")
    return tmp_path


def write(folder, name, text):
    path = folder / name
    path.write_text(text)
    return path


async def test_a_folder_of_scripts(cli, folder):
    """Every .pkt below it, in order; status 0, and the counts on standard error."""
    write(folder, "second.pkt", ACCEPT.replace("MSS", "1460"))
    done = await cli("packetdrill", str(folder))
    assert done.returncode == 0
    assert done.stdout == (
        f"{folder}/handshake/accept.pkt: passed  (0.100 s)\n{folder}/second.pkt: passed  (0.100 s)\n"
    )
    assert done.stderr == "2 passed\n"


async def test_each_outcome_has_its_line_and_the_worst_its_status(cli, folder):
    """1 for one that failed; 2 for one that cannot be read; what only Linux has is neither."""
    foreign = write(folder, "foreign.pkt", "`iptables -F`\n" + ACCEPT.replace("MSS", "1460"))
    done = await cli("packetdrill", str(foreign))
    assert (done.returncode, done.stdout) == (0, f"{foreign}: linux only: the command 'iptables -F'\n")
    write(folder, "wrong.pkt", ACCEPT.replace("MSS", "1400"))
    done = await cli("packetdrill", str(folder))
    assert done.returncode == 1
    assert f"{folder}/wrong.pkt:5: failed: options are <mss 1460,nop,nop,sackOK,nop,wscale 7>" in done.stdout
    assert done.stderr == "1 passed, 1 failed, 1 linux only\n"
    write(folder, "none.pkt", "0 what is this\n")
    done = await cli("packetdrill", str(folder))
    assert done.returncode == 2
    assert f"{folder}/none.pkt:1: unreadable: '(' was expected, not 'is'" in done.stdout


async def test_as_json(cli, folder):
    """A row for each script."""
    write(folder, "wrong.pkt", ACCEPT.replace("MSS", "1400"))
    done = await cli("packetdrill", "--json", str(folder))
    first, second = json.loads(done.stdout)
    assert first == {
        "file": f"{folder}/handshake/accept.pkt",
        "outcome": "passed",
        "line": 0,
        "message": "",
        "seconds": 0.1,
        "printed": [],
    }
    assert (second["outcome"], second["line"]) == ("failed", 5)


async def test_versions_and_mtus(cli, folder):
    """-6 and --mtu: the MSS follows; --mapped: the sockets are IPv6's, the packets IPv4's."""
    script = write(folder, "six.pkt", ACCEPT.replace("MSS", "1440"))
    assert (await cli("packetdrill", "-6", "--mtu", "1500", str(script))).returncode == 0
    assert (await cli("packetdrill", "-6", str(script))).returncode == 1
    assert (await cli("packetdrill", "--mapped", "--mtu=1480", str(script))).returncode == 0


async def test_names_that_are_defined_outside(cli, folder):
    """--define, as packetdrill's own -D; --cookie for that of Fast Open."""
    script = write(folder, "defined.pkt", "`sysctl -q net.ipv4.tcp_fastopen=3`\n" + ACCEPT)
    assert (await cli("packetdrill", "--define", "MSS=1460,OTHER=1", str(script))).returncode == 0
    asks = (
        ACCEPT.replace("+0  bind", "+0 setsockopt(3, SOL_TCP, TCP_FASTOPEN, [1], 4) = 0\n+0  bind")
        .replace("wscale 7>\n+0  >", "wscale 7,FO,nop,nop>\n+0  >")
        .replace("mss MSS,nop,nop,sackOK,nop,wscale 7", "mss 1460,nop,nop,sackOK,nop,wscale 7,FO TFO_COOKIE,nop,nop")
    )
    key = "`sysctl -q net.ipv4.tcp_fastopen=3 net.ipv4.tcp_fastopen_key=a1a1a1a1-b2b2b2b2-c3c3c3c3-d4d4d4d4`\n"
    script = write(folder, "cookie.pkt", key + asks)
    assert (await cli("packetdrill", str(script))).returncode == 0
    assert (await cli("packetdrill", "--cookie", "3021b9d889017eeb", str(script))).returncode == 0
    assert (await cli("packetdrill", "--cookie", "0000000000000000", str(script))).returncode == 1


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("-4", "-6", "x.pkt"), "-4, -6 and --mapped exclude one another"),
        (("--cookie", "xyz", "x.pkt"), "--cookie takes hexadecimal digits, not 'xyz'"),
        (("--mtu", "67", "x.pkt"), "--mtu is a number of 68 to 65521, not '67'"),
        (("-6", "--mtu", "1279", "x.pkt"), "--mtu is a number of 1280 to 65521, not '1279'"),
        (("--define", "MSS", "x.pkt"), "--define takes NAME=VALUE,…, not 'MSS'"),
        (("/no/such.pkt",), "/no/such.pkt cannot be read: no such file or directory"),
    ],
)
async def test_wrong_usage(cli, words, told):
    """Status 2, and what is wrong."""
    done = await cli("packetdrill", *words)
    assert done.returncode == 2
    assert told in done.stderr


async def test_a_folder_without_scripts(cli, tmp_path):
    """A folder that was mistaken is no success: status 2, and what was looked for."""
    (tmp_path / "notes.txt").write_text("not a script")
    done = await cli("packetdrill", str(tmp_path))
    assert (done.returncode, done.stdout) == (2, "")
    assert f"no file below {tmp_path} ends in .pkt" in done.stderr


async def test_the_scripts_of_this_project(cli):
    """A folder as it is: what is beside the suite of TCP runs at the command line as well."""
    done = await cli("packetdrill", "--linux", "tests/path/tcp/packetdrill")
    assert done.returncode == 0, done.stdout
    assert done.stderr == "13 passed\n"
