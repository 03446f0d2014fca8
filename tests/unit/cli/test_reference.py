"""docs/cli.md tells of every verb, of every option and word of its usage, and of everything there is to show."""

import re
from pathlib import Path

import pytest

from vrouter.cli.arguments import EVERYWHERE
from vrouter.cli.show import WHAT
from vrouter.cli.verbs import UNBUILT, VERBS

TEXT = (Path(__file__).parents[3] / "docs" / "cli.md").read_text(encoding="utf-8")
VERB_TEXT, SHOW_TEXT = (
    TEXT.partition(f"\n## {head}\n")[2].partition("\n## ")[0] for head in ("Verbs", "What there is to show")
)
SECTIONS = {heading: body for heading, _, body in (part.partition("\n") for part in VERB_TEXT.split("\n### ")[1:])}
WORD = re.compile(r"[a-z][a-z0-9_-]+")


def test_each_verb_has_a_section() -> None:
    """In the order of `vrouter --help`, and none for a verb that is not built."""
    assert list(SECTIONS) == list(VERBS)
    assert not set(SECTIONS) & set(UNBUILT)


@pytest.mark.parametrize("name", VERBS)
def test_a_section_has_the_words_of_the_usage(name: str) -> None:
    """Each keyword and option that `vrouter VERB --help` prints stands in the section."""
    verb, section = VERBS[name], SECTIONS[name]
    words = {word for line in verb.usage for word in WORD.findall(line)}
    everywhere = {flag.lstrip("-") for option in EVERYWHERE for flag in option.flags}
    missing = sorted(
        word for word in words - everywhere if not re.search(rf"(?<![a-z0-9_]){re.escape(word)}(?![a-z0-9_])", section)
    )
    assert missing == []
    short = [option.flags[0] for option in verb.options]
    assert [flag for flag in short if flag not in section] == []


def test_what_is_shown_is_listed() -> None:
    """The table has each subject of `show` once, in its order."""
    assert re.findall(r"^\| `([a-z]+)` \|", SHOW_TEXT, re.M) == list(WHAT)
