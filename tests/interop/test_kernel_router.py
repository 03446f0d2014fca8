"""Our router beside the kernel's: to the same probes it gives the same answers, or others that an RFC asks for.

Both routers stand in the same place (the drawing in `place`) and get the probes of `probes` in the phases of `phases`.
Every frame that comes of a probe is compared whole: link addresses, IP header, type, code and rest of the ICMP message,
quoted bytes, what is forwarded to the other side, how many and in which order. Free is only what a router may choose
(`place.Answer`).
"""

from __future__ import annotations

import socket
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.interop.case import Case
from tests.interop.differences import DIFFERENCES
from tests.interop.phases import BEFORE, PHASES
from tests.interop.phases6 import BEFORE6, PHASES6
from tests.interop.place import OWN, OWN6, Place, kernel_place, vrouter_place

pytestmark = [pytest.mark.tap, pytest.mark.tools("ip")]

ALL = PHASES6 + PHASES
OTHERWISE = BEFORE | BEFORE6
PROBES = [name for phase in ALL for name in phase.probes]
OWN_BYTES = {socket.inet_aton(address) for address in OWN} | {socket.inet_pton(socket.AF_INET6, one) for one in OWN6}
Answers = tuple[dict[str, Case], list[str]]


def _ask(place: Place) -> dict[str, Case]:
    """What one router answers to all probes."""
    found: dict[str, Case] = {}
    for phase in ALL:
        for name, value in phase.settings.items():
            place.sysctl(name, value)
        if phase.down:
            place.link(phase.down, False)
        found |= place.run(phase.probes, len(found) + 1, (0,) if phase.down else (0, 1), phase.family)
        if phase.awaited:
            place.wait_answered(found[phase.awaited])
        if phase.down:
            place.link(phase.down, True)
        for name in phase.settings:
            place.sysctl(name, OTHERWISE[name])
    return found


def _ask_kernel() -> Answers:
    with kernel_place() as place:
        return _ask(place), place.strays


def _ask_vrouter() -> Answers:
    with vrouter_place() as place:
        return _ask(place), place.strays


@pytest.fixture(scope="module")
def routers() -> tuple[Answers, Answers]:
    """What the kernel's router and ours answer; both are gone when this returns."""
    with ThreadPoolExecutor(2, "interop") as pool:
        kernel, ours = pool.submit(_ask_kernel), pool.submit(_ask_vrouter)
        return kernel.result(), ours.result()


@pytest.mark.parametrize("probe", PROBES)
def test_the_answer_is_that_of_a_kernel_router(routers: tuple[Answers, Answers], probe: str) -> None:
    """RFC 792, 826, 1122 3.2 and 3.3, 1812 4 and 5; RFC 4443, 4861, 8200: same frames as Linux,
    or the difference that a clause asks for."""
    (kernel, _), (ours, _) = routers
    difference = DIFFERENCES.get(probe)
    if difference is None:
        assert ours[probe].answers == kernel[probe].answers
    else:
        assert ours[probe].answers != kernel[probe].answers, "no difference any more"
        assert ours[probe].answers == difference.ours(kernel[probe])


def test_nothing_else_comes_from_either_router(routers: tuple[Answers, Answers]) -> None:
    """Every frame that a router sent belongs to a probe."""
    assert [strays for _, strays in routers] == [[], []]


def test_there_are_answers_of_each_kind(routers: tuple[Answers, Answers]) -> None:
    """The comparison is not one of silence with silence: each kind of answer is met, and so is silence."""
    (kernel, _), _ = routers
    sent = [answer.frame for case in kernel.values() for answer in case.answers]
    met = {
        (frame[34], frame[35])
        for frame in sent
        if frame[12:14] == b"\x08\x00" and frame[14] == 0x45 and frame[23] == 1 and frame[26:30] in OWN_BYTES
    }
    errors = {(3, code) for code in (0, 1, 2, 3, 4, 13)} | {(5, 1), (11, 0), (11, 1), (12, 0)}
    assert met >= errors | {(0, 0), (14, 0)}
    met6 = {
        (frame[54], frame[55])
        for frame in sent
        if frame[12:14] == b"\x86\xdd" and frame[20] == 58 and frame[22:38] in OWN_BYTES
    }
    errors6 = {(1, code) for code in range(5)} | {(2, 0), (3, 0), (3, 1)} | {(4, code) for code in range(4)}
    assert met6 >= errors6 | {(129, 0), (135, 0), (136, 0), (137, 0)}
    for family in (4, 6):
        cases = [case for case in kernel.values() if case.family == family]
        assert sum(not case.answers for case in cases) > 100
        assert len(cases) >= 400


@pytest.mark.parametrize("probe", DIFFERENCES)
def test_differences_are_of_probes(probe: str) -> None:
    """A row of the table that no probe meets holds nothing."""
    assert probe in PROBES


def test_differences_are_documented() -> None:
    """docs/differences.md names every clause that stands in the table."""
    text = (Path(__file__).parents[2] / "docs/differences.md").read_text(encoding="utf-8")
    assert [row.clause for row in DIFFERENCES.values() if row.clause not in text] == []
