"""Files of routes: where they are, and that each bad line is told with its number."""

from pathlib import Path

import pytest

from vrouter.config import load
from vrouter.errors import ConfigError

CONFIG = """\
[netns.red]
routes_file = "routes/full.txt"
[netns.red.dev.lan]
addresses = ["10.0.1.1/24", "fd00:1::1/64"]
[[netns.red.nexthop]]
id = 5
via = "10.0.1.5"
"""


def refused(tmp_path: Path, lines: str, config: str = CONFIG) -> list[str]:
    """What is reported about these lines."""
    (tmp_path / "routes").mkdir()
    (tmp_path / "routes" / "full.txt").write_text(lines)
    (tmp_path / "r.toml").write_text(config)
    with pytest.raises(ConfigError) as caught:
        load(tmp_path / "r.toml")
    return [str(problem).removeprefix(f"{tmp_path}/") for problem in caught.value.problems]


def test_the_path_counts_from_the_configurations_directory(tmp_path: Path) -> None:
    """Wherever the router is started; what is there is a path that can be opened, and the file itself is left alone."""
    (tmp_path / "routes").mkdir()
    (tmp_path / "routes" / "full.txt").write_text(
        "# a table\nroute add 10.2.0.0/16 via 10.0.1.2 dev lan\nroute add 10.3.0.0/16 via 10.0.1.2 dev lan\n\n"
        "10.9.0.0/24 dev lan\n10.4.0.0/16 via 10.9.0.7\nroute replace fd00:2::/64 via fe80::1 dev lan table 7\n"
        "blackhole fd00:3::/64\n10.5.0.0/16 nhid 5\ndefault nexthop via 10.0.1.3 weight 2 nexthop via 10.0.1.4\n"
    )
    (tmp_path / "r.toml").write_text(CONFIG)
    config = load(tmp_path / "r.toml")
    assert config.netns["red"].routes_file == str(tmp_path / "routes" / "full.txt")
    assert config.netns["red"].routes == ()
    assert config.warnings == ()


def test_every_bad_line_is_told_with_its_number(tmp_path: Path) -> None:
    """All at once, behind the mistakes of the configuration itself; a good ending does not excuse a bad prefix."""
    lines = [
        "route add 10.2.0.0/16 via 10.0.1.2 dev lan",
        "route add 10.2.0.1/16 via 10.0.1.2 dev lan",
        "route add 10.3.0.0/16 via 10.0.9.2",
        "route add 10.3.0.0/16 via 10.0.1.2 dev lam",
        "route del 10.3.0.0/16",
        "fd00:2::/64 via fe80::1",
        "fd00:2::/64 via 10.0.1.2",
        "10.4.0.0/16 nhid 6",
        "10.4.0.0/16 netns blue",
        "10.4.0.0/16",
        "blackhole 10.4.0.0/16 via 10.0.1.2",
        "10.4.0.0/16 via 10.0.1.2 src 10.0.1.3",
        "10.4.0.0/16 via 10.0.1.2 mtu lock 1400",
    ]
    assert refused(tmp_path, "\n".join(lines), CONFIG.replace("[netns.red]\n", "[netns.red]\nkind = 'l4'\n")) == [
        "r.toml:2:8: netns.red.kind: must be l2, not 'l4'",
        "routes/full.txt:2:1: '10.2.0.1/16' has host bits set; the network is 10.2.0.0/16",
        "routes/full.txt:3:1: '10.0.9.2' is on no connected network (connected: 10.0.1.0/24 of 'lan')",
        "routes/full.txt:4:1: there is no device 'lam' in 'red'",
        "routes/full.txt:5:1: 'del': a load adds and replaces routes",
        "routes/full.txt:6:1: 'fe80::1' is link-local, so its device has to be named (dev = …, or 'fe80::1%DEV')",
        "routes/full.txt:7:1: gateway '10.0.1.2' is of another family",
        "routes/full.txt:8:1: there is no nexthop 6",
        "routes/full.txt:9:1: there is no namespace 'blue', or it is this one",
        "routes/full.txt:10:1: a route goes by one of via or dev, nexthop, nhid, and netns",
        "routes/full.txt:11:1: a route of type 'blackhole' leads nowhere",
        "routes/full.txt:12:1: '10.0.1.3' is no address of this side",
        "routes/full.txt:13:1: mtu lock is not supported",
    ]


def test_a_file_of_nonsense_is_told_in_a_hundred_lines(tmp_path: Path) -> None:
    """What is not told is counted."""
    told = refused(tmp_path, "nonsense\n" * 1000)
    assert len(told) == 101
    assert told[-1] == "routes/full.txt:1000:1: 900 more mistakes in this file"


def test_a_file_that_cannot_be_read_is_a_mistake(tmp_path: Path) -> None:
    """At the value, with the path that was tried."""
    (tmp_path / "r.toml").write_text(CONFIG)
    with pytest.raises(ConfigError) as caught:
        load(tmp_path / "r.toml")
    assert str(caught.value) == (
        f"{tmp_path}/r.toml:2:15: netns.red.routes_file: {tmp_path}/routes/full.txt cannot be read:"
        " no such file or directory"
    )


def test_what_is_no_text_ends_soon(tmp_path: Path) -> None:
    """A file without lines, however long, is refused at its first piece: `check` neither hangs nor fills memory."""
    (tmp_path / "r.toml").write_text(CONFIG.replace("routes/full.txt", "/dev/zero"))
    with pytest.raises(ConfigError, match="a line has more than 65536 characters: these are no routes"):
        load(tmp_path / "r.toml")
