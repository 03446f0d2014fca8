"""`vrouter check`: every mistake at once, or what there is."""

import json
from pathlib import Path

from tests.unit.cli.conftest import ROOT, Cli

MISTAKES = """\
[router]
admin = 1
[netns.red]
acept_from = []
[netns.red.dev.lan]
kind = "taap"
mtu = 10
addresses = ["10.0.0.1/33"]
[[netns.red.route]]
to = "10.0.0.1/8"
type = "blackhole"
[[netns.red.route]]
to = "10.9.0.0/16"
netns = "blue"
[netns.red.sysctl]
"net.ipv4.ip_forwrd" = 1
"""
LINES = (2, 4, 6, 7, 8, 10, 14, 16)


async def test_eight_mistakes_are_eight_lines(cli: Cli, tmp_path: Path) -> None:
    """All mistakes at once with line and column, sorted by position; status 2, nothing on stdout."""
    file = tmp_path / "x.toml"
    file.write_text(MISTAKES)
    for verb in ("check", "run"):
        done = await cli(verb, str(file))
        assert (done.returncode, done.stdout) == (2, "")
        lines = done.stderr.splitlines()
        places = [line.removeprefix(f"{file}:").split(":")[:2] for line in lines]
        assert [int(line) for line, _ in places] == list(LINES)
        assert all(int(column) >= 1 for _, column in places)
    as_json = json.loads((await cli("check", "--json", str(file))).stdout)
    assert [one["line"] for one in as_json["problems"]] == list(LINES)
    assert as_json["error"] == "EINVAL"


async def test_a_syntax_error_is_reported_alone(cli: Cli, tmp_path: Path) -> None:
    """A TOML syntax error has its position and hides what cannot be trusted behind it."""
    file = tmp_path / "x.toml"
    file.write_text("[netns.red]\nkind = \n")
    done = await cli("check", str(file))
    assert (done.returncode, done.stderr) == (2, f"{file}:2:8: Invalid value\n")


async def test_what_is_right_is_counted(cli: Cli) -> None:
    """One line on stdout, status 0; with --json an object."""
    file = "configs/overlapping-tenants.toml"
    done = await cli("check", file)
    assert (done.returncode, done.stdout) == (0, f"{file}: OK: 3 namespaces, 3 devices, 7 routes\n")
    found = json.loads((await cli("check", "--json", str(ROOT / file))).stdout)
    assert (found["netns"], found["devices"], found["routes"]) == (3, 3, 7)


async def test_warnings_do_not_fail(cli: Cli, tmp_path: Path) -> None:
    """A short-cut that its target does not accept passes `check` with a warning."""
    file = tmp_path / "x.toml"
    file.write_text('[netns.blue]\n[netns.red]\n[[netns.red.route]]\nto = "10.9.0.0/16"\nnetns = "blue"\n')
    done = await cli("check", str(file))
    assert (done.returncode, done.stdout) == (0, f"{file}: OK: 2 namespaces, 0 devices, 1 route\n")
    assert done.stderr.startswith(f"warning: {file}:5:9: ")
    assert done.stderr.count("\n") == 1
