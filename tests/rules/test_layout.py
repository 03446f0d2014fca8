"""What files there may be: short ones, named after a step or a thing."""

from tests.rules.tree import module_name, sources, where

LONGEST = 600
NO_NAMES = {"util", "utils", "helper", "helpers", "common", "manager", "managers", "misc"}


def test_no_file_is_longer_than_600_lines() -> None:
    """A file that has grown past 600 lines holds more than one thing."""
    lengths = {where(path): len(path.read_text().splitlines()) for path in sources("vrouter", "tests", "benchmarks")}
    assert {name: length for name, length in lengths.items() if length > LONGEST} == {}


def test_files_are_named_after_what_they_do() -> None:
    """A file is named after its step or thing: `utils` and its like say nothing about what belongs there."""
    words = {where(path): set(module_name(path).replace(".", "_").split("_")) for path in sources("vrouter", "tests")}
    assert {name: sorted(found & NO_NAMES) for name, found in words.items() if found & NO_NAMES} == {}
