"""The solver's kinds: by which words a prompt may be one of them, who reads it, who solves it."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction

from mesh.exact.base import LOGIC, MATH, Exact
from mesh.exact.solver import (
    algebra,
    calculus,
    equations,
    inequalities,
    integers,
    logic,
    puzzles,
    sets,
)
from mesh.exact.solver.problem import SolverProblem
from mesh.exact.solver.words import plain

MAX_ANSWER_CHARACTERS = 2000


@dataclass(frozen=True, slots=True)
class Kind:
    """``words``: some of them is in every prompt of this kind, in small letters; or ``begins``
    matches it. ``read``: pure, the whole prompt or nothing; it loads neither sympy nor mpmath.
    ``solve``: in the child, the answer's text or None where it is not sure; raises what sympy
    raises."""

    words: tuple[str, ...]
    begins: re.Pattern[str] | None
    read: Callable[[str], SolverProblem | None]
    solve: Callable[[SolverProblem], str | None]

    def may_be(self, lower: str) -> bool:
        """The cheap question before any reading: substrings, which cost a tenth of what a pattern
        of the same alternatives does, and a pattern that is anchored where it begins."""
        if any(map(lower.__contains__, self.words)):
            return True
        return self.begins is not None and self.begins.match(lower) is not None


def _kind(words: str, kind: object, begins: str = "") -> Kind:
    found = tuple(word.replace("_", " ") for word in words.split())
    pattern = re.compile(begins) if begins else None
    return Kind(found, pattern, kind.recognise, kind.solve)  # type: ignore[attr-defined]


# The order in which a prompt is offered: a kind that reads more closely comes first. A line under a
# word is a blank.
KINDS: dict[str, Kind] = {
    "integers": _kind("gcd gcf hcf lcm common factor prime divisors", integers),
    "calculus": _kind(r"deriv differentiate integra \int ∫ lim d/d {d}{d '( ’(", calculus),
    "equation": _kind("= root zero", equations),
    "inequality": _kind(r"< > ≤ ≥ \le \lt \ge \gt", inequalities),
    "algebra": _kind(
        "",
        algebra,
        r"(?:simplify|expand|multiply|factor(?:i[sz]e)?|fully|completely|evaluate|compute|calculate"
        r"|determine|what|find|given|if|for|when|let|suppose|consider)\b.*[-+*/^|!√$\\(0-9=]"
        r"|.{0,5}\(|(?:simplify|expand|factor).* [a-z]{1,3}$",
    ),
    "logic": _kind(
        "tautolog valid always_true always_false contradict satisfiable equivalent equal_to entail"
        " imply follow_from",
        logic,
    ),
    "syllogism": _kind("all_ no_ every_ each_ some_", sets),
    "puzzle": _kind("two_ consecutive", puzzles, r".*[+].*="),
}


def recognise(text: str) -> SolverProblem | None:
    """The first kind's reading of ``text``; pure, and loads neither sympy nor mpmath. A prompt with
    nothing of mathematics or logic in it meets no reader."""
    line = plain(text)
    lower = line.lower()
    if not line:
        return None
    for kind in KINDS.values():
        if kind.may_be(lower) and (problem := kind.read(line)) is not None:
            return problem
    return None


def solve(problem: SolverProblem) -> Exact | None:
    """In the child; None where it is not sure, or longer than anybody reads. Raises ``KeyError``
    for a kind that nobody knows, and what sympy raises."""
    text = KINDS[problem.kind].solve(problem)
    if text is None or len(text) > MAX_ANSWER_CHARACTERS:
        return None
    if problem.kind in ("equation", "inequality", "algebra") and _asked_in_decimals(problem):
        text = _FRACTION.sub(_as_decimal, text)
    logical = problem.kind in ("logic", "syllogism") or problem.task == "cryptarithm"
    return Exact(
        text=text,
        kind=problem.kind,
        specialty=LOGIC if logical else MATH,
        note=problem.task,
    )


_FRACTION = re.compile(r"(?<![\w)/.])(\d+)/(\d+)(?![\w(/.])")
_MAX_PLACES = 10


def _asked_in_decimals(problem: SolverProblem) -> bool:
    return any(re.search(r"\.\d", text) for text in problem.texts)


def _as_decimal(match: re.Match[str]) -> str:
    """``7/2`` as ``3.5``, for questions that are in decimals themselves; thirds stay."""
    value = Fraction(int(match[1]), int(match[2]))
    places = next((n for n in range(_MAX_PLACES + 1) if not 10**n % value.denominator), None)
    if places is None:
        return match[0]
    whole, rest = divmod(value.numerator * 10**places // value.denominator, 10**places)
    return f"{whole}.{rest:0{places}d}" if places else str(whole)
