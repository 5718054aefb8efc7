"""What the solver's recognisers hand to its process."""

from __future__ import annotations

import re
from dataclasses import dataclass
from fractions import Fraction
from typing import ClassVar

from mesh.exact.base import Exact, Problem
from mesh.types import Specialty

MAX_ANSWER_CHARACTERS = 2000


@dataclass(frozen=True, slots=True, kw_only=True)
class SolverProblem(Problem):
    """``task``: what is asked for, a word of its kind. ``texts``: mathematics as the prompt wrote
    it, each of which the parser has read whole. ``about``: names, points, choices that belong to
    the task, in the order that its kind states."""

    slow: ClassVar[bool] = True

    task: str
    texts: tuple[str, ...]
    about: tuple[str, ...] = ()


def answer(problem: SolverProblem, text: str, specialty: Specialty) -> Exact | None:
    """None for an answer longer than anybody reads."""
    if len(text) > MAX_ANSWER_CHARACTERS:
        return None
    return Exact(text=text, kind=problem.kind, specialty=specialty, note=problem.task)


_FRACTION = re.compile(r"(?<![\w)/.])(\d+)/(\d+)(?![\w(/.])")
_MAX_PLACES = 10


def as_decimals(text: str) -> str:
    """``7/2`` as ``3.5``, for questions that are in decimals themselves; thirds stay."""
    return _FRACTION.sub(_decimal, text)


def _decimal(match: re.Match[str]) -> str:
    value = Fraction(int(match[1]), int(match[2]))
    places = next((n for n in range(_MAX_PLACES + 1) if not 10**n % value.denominator), None)
    if places is None:
        return match[0]
    whole, rest = divmod(value.numerator * 10**places // value.denominator, 10**places)
    return f"{whole}.{rest:0{places}d}" if places else str(whole)
