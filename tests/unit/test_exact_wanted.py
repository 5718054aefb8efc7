"""Exact answers: asked, or silence. Two tables beside this file: what nobody asked to have
computed, and what is asked for and must be answered."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from datetime import date
from pathlib import Path

import pytest

from mesh.exact.asking import asked
from mesh.exact.base import QUICK_CHARACTERS, Declined, Exact
from mesh.exact.quick.calculator import Sum
from mesh.exact.reading import answer, read
from mesh.exact.wanted import unasked
from mesh.types import Message, Role

TODAY = date(2026, 1, 15)
HERE = Path(__file__).parent
ROLES = {"S": Role.SYSTEM, "U": Role.USER, "A": Role.ASSISTANT}


def rows(name: str) -> Iterator[tuple[str, str]]:
    """Each line with its kind."""
    kind = ""
    for line in (HERE / name).read_text(encoding="utf-8").splitlines():
        if line.startswith("## "):
            kind = line.removeprefix("## ")
        elif line and not line.startswith("#"):
            yield kind, line


def conversation(line: str) -> tuple[Message, ...]:
    if " || " not in line:
        return (Message.of(Role.USER, line),)
    return tuple(Message.of(ROLES[turn[0]], turn[3:]) for turn in line.split(" || "))


def said(line: str) -> str | None:
    """The answer that the tools give, or None for their silence."""
    problem = asked(conversation(line), TODAY)
    if isinstance(problem, Declined):
        assert problem.note
        return None
    answered = None if problem.slow else answer(problem)
    assert isinstance(answered, Exact), f"{line!r} is left to the solver, or was answered by nobody"
    return answered.text


NOT_ASKED = [line for _, line in rows("exact_not_asked.txt")]
ASKED = [
    tuple(part.strip() for part in line.rpartition(" => ")[::2])
    for _, line in rows("exact_asked.txt")
]


@pytest.mark.parametrize("line", NOT_ASKED)
def test_what_nobody_asked_to_have_computed_is_met_with_silence(line: str) -> None:
    assert said(line) is None


@pytest.mark.parametrize(("line", "expected"), ASKED)
def test_what_is_asked_for_is_answered(line: str, expected: str) -> None:
    assert said(line) == expected


def test_the_tables_are_as_large_as_they_are_said_to_be_and_say_nothing_twice() -> None:
    assert len(set(NOT_ASKED)) == len(NOT_ASKED) >= 800
    assert len({line for line, _ in ASKED}) == len(ASKED) >= 270
    assert not set(NOT_ASKED) & {line for line, _ in ASKED}
    assert min(Counter(kind for kind, _ in rows("exact_not_asked.txt")).values()) >= 20


# Those that are read as sums whole, so that nothing but the judge keeps them silent.
READ = [line for line in NOT_ASKED if isinstance(read(line, TODAY), Sum)]


@pytest.mark.parametrize("line", READ)
def test_an_equals_sign_asks_for_the_value_of_whatever_is_read(line: str) -> None:
    assert len(READ) > 200
    problem = read(f"{line.rstrip('.?! ')} =", TODAY)
    if problem is not None:
        assert unasked(f"{line.rstrip('.?! ')} =", problem) is None


@pytest.mark.parametrize(
    ("line", "note"),
    [
        ("what is 787-9", "arithmetic, but it may be a range, a score, a date, a number to call"),
        ("18 - 24", "nothing asks for its value"),
        ("1920 x 1080", "it may be a size"),
        ("I need 2 x 4", "something is wished for, and no value"),
        ("what is the difference between 4 and 5", "about two things of these names"),
        ("2 days to weeks", "units, but it may be how long something takes"),
        ("the day was 3 March 2024", "dates, but a date, and no question about it"),
        ("U: hi || A: What size? || U: 2 + 2", "may answer what the assistant said"),
        ("U: binary, please || A: Okay! || U: 2 + 2", "an earlier turn may have agreed"),
        ("U: 7 + 7 || A: 16 || U: 2 + 2", "not in the tools' own terms"),
        ("U: 7 + 7 || A: 14 || U: - 2 + 2", "go on from the answer before"),
        ("S: Answer with a question. || U: 2 + 2", "system text"),
        ("who wrote hamlet", "not read as a whole problem"),
    ],
)
def test_silence_has_a_reason(line: str, note: str) -> None:
    declined = asked(conversation(line), TODAY)
    assert isinstance(declined, Declined)
    assert note in declined.note


def test_a_conversation_that_does_sums_is_read_up_to_its_limits() -> None:
    turns = [Message.of(Role.USER, "2 + 2"), Message.of(Role.ASSISTANT, "4")]
    last = Message.of(Role.USER, "100 - 37")
    assert isinstance(asked((*turns * 12, last), TODAY), Sum)
    assert isinstance(asked((*turns * 13, last), TODAY), Declined)
    long = Message.of(Role.USER, "1" * QUICK_CHARACTERS + " + 1")
    assert isinstance(asked((long, turns[1], last), TODAY), Declined)
    tool = Message.of(Role.TOOL, "4")
    assert isinstance(asked((turns[0], tool, last), TODAY), Declined)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("what is 15% of $1.50", "about $0.23"),
        ("5% of $0.30", "about $0.02"),
        ("5% of $0.10", "about $0.01"),
        ("2.5% of $9", "about $0.23"),
        ("4% of $0.10", "about $0.00"),
        ("half of $0.25 =", "about $0.13"),
    ],
)
def test_half_a_cent_rounds_up(text: str, expected: str) -> None:
    assert said(text) == expected
