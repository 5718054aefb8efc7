"""What the exact tools pass around: problems that were read, and answers.

A kind is two pure functions: ``recognise(text) -> Problem | None``, which accepts only what it
parsed whole, and ``solve(problem) -> Exact | Declined | None``. ``mesh/exact/reading.py`` has the
registry. Quick kinds are solved at once, in the process that asks; problems with ``slow`` set go
to the solver's process, and their recogniser must not import what only that process should load.

Not to accept costs nothing, since a model answers then; a wrong answer is what nobody forgives.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import ClassVar

from mesh.types import Specialty

CALCULATOR = Specialty("calculator")
UNITS = Specialty("units")
MATH = Specialty("math")
LOGIC = Specialty("logic")

QUICK_CHARACTERS = 200  # plain text of the quick kinds; longer questions are stories, not sums
SLOW_CHARACTERS = 4000  # for puzzles, whose facts take a few sentences


@dataclass(frozen=True, slots=True, kw_only=True)
class Exact:
    """A whole answer. ``text``: as a person reads it, short. ``kind``: which tool made it, such as
    ``arithmetic``; ``note``: how it was read, for the decision, one line."""

    text: str
    kind: str
    specialty: Specialty
    note: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Declined:
    """Read, and yet not answered; ``note`` says in one line why (units that do not convert)."""

    note: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """Base of what recognisers return: a question understood whole.

    Subclasses are frozen dataclasses of plain data (numbers, strings, tuples, other such
    dataclasses), so that they can cross to another process as JSON or msgpack. ``kind``: the tool's
    name. ``slow``: needs the solver's process.
    """

    kind: str
    slow: ClassVar[bool] = False


def words(*lines: str) -> frozenset[str]:
    """The set of the words in ``lines``."""
    return frozenset(word for line in lines for word in line.split())


_PIECE = re.compile(r"\s*\S+\s*$|\s*\S+")


def pieces(text: str) -> tuple[str, ...]:
    """An answer's text cut into words, each with the blanks before it; joined they are ``text``.
    What stands for tokens, wherever the tools answer."""
    return tuple(_PIECE.findall(text))
