"""Names of namespaces and devices."""

import pytest

from vrouter.stack.base import names


@pytest.mark.parametrize(
    ("inside", "name", "path"),
    [
        ("blue", "red", "red"),  # a sibling
        ("blue", "./web", "blue/web"),  # a child
        ("a/b", "../x", "x"),  # the parent's sibling
        ("a/b", "c", "a/c"),
        ("a/b", "/c", "c"),
        ("a/b/c", "../../x", "x"),
        ("a/b", "./c/d", "a/b/c/d"),
        ("blue", "/red/web", "red/web"),
        ("", "red", "red"),
        ("a", ".", "a"),
    ],
)
def test_relative_names(inside: str, name: str, path: str) -> None:
    """A subtree can be moved or nested without renaming what is inside."""
    assert names.resolve(inside, name) == path


@pytest.mark.parametrize(("inside", "name"), [("a", "../x"), ("a/b", "../../x"), ("", "../x"), ("a", "/../x")])
def test_nobody_climbs_above_the_top(inside: str, name: str) -> None:
    """There is nothing above the first namespaces."""
    with pytest.raises(ValueError, match="climbs above the top"):
        names.resolve(inside, name)


@pytest.mark.parametrize("segment", ["a", "Z9_.-", "x" * 32, "..."])
def test_good_segments(segment: str) -> None:
    """1-32 of letters, digits, _ . -"""
    assert names.check_segment(segment) is None


@pytest.mark.parametrize("segment", ["", "x" * 33, "a b", "ä", "a:b", ".", "..", "a\n", "@a"])
def test_bad_segments_are_told_why(segment: str) -> None:
    """Nothing that a path, a shell or a metric label would trip over."""
    assert "namespace" in (names.check_segment(segment) or "")


@pytest.mark.parametrize("path", ["a//b", "/a", "a/", "a/../b"])
def test_an_absolute_path_has_good_segments_only(path: str) -> None:
    """No empty segment, no dots."""
    assert names.check_path(path) is not None


def test_parents() -> None:
    """A path's parent; the top has none."""
    assert names.parent_of("a/b/c") == "a/b"
    assert names.parent_of("a") == ""


@pytest.mark.parametrize("name", ["lan", "x" * 15, "eth0.100", "ü" * 7])
def test_good_device_names(name: str) -> None:
    """Linux's rule counts bytes."""
    assert names.check_device(name) is None


@pytest.mark.parametrize("name", ["", "x" * 16, "ü" * 8, "a/b", "a b", ".", "..", "a:b", "a\tb", "a\x00", "all", "@a"])
def test_bad_device_names_are_told_why(name: str) -> None:
    """dev_valid_name of Linux, the words that sysctl names use for all devices, and the mark of crossings."""
    assert "device" in (names.check_device(name) or "")
