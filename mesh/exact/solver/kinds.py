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
    """``hint``: a pattern that is in every prompt of this kind, in small letters. ``read``: pure,
    the whole prompt or nothing; it loads neither sympy nor mpmath. ``solve``: in the child, the
    answer's text or None where it is not sure; raises what sympy raises."""

    hint: re.Pattern[str]
    read: Callable[[str], SolverProblem | None]
    solve: Callable[[SolverProblem], str | None]


def _kind(hint: str, kind: object) -> Kind:
    return Kind(re.compile(hint), kind.recognise, kind.solve)  # type: ignore[attr-defined]


# The order in which a prompt is offered: a kind that reads more closely comes first.
KINDS: dict[str, Kind] = {
    "integers": _kind("gc[df]|hcf|lcm|common|factor|prime|divisors", integers),
    "calculus": _kind(r"deriv|differentiate|integra|\\int|∫|lim|d/d|\{d\}\{d|['’]\(", calculus),
    "equation": _kind("=|root|zero", equations),
    "inequality": _kind(r"[<>≤≥]|\\[lg][et]", inequalities),
    "algebra": _kind(
        r"^(?:simplify|expand|multiply|factor(?:i[sz]e)?|fully|completely|evaluate|compute|calculate|determine"
        r"|what|find|given|if|for|when|let|suppose|consider)\b.*[-+*/^|!√$\\(0-9=]|^.{0,5}\("
        r"|^(?:simplify|expand|factor).* [a-z]{1,3}$",
        algebra,
    ),
    "logic": _kind(
        "tautolog|valid|always (?:true|false)|contradict|satisfiable|equivalent|equal to|entail"
        "|imply|follow from",
        logic,
    ),
    "syllogism": _kind("(?:all|no|every|each|some) ", sets),
    "puzzle": _kind("[+].*=|two |consecutive", puzzles),
}
# The cheap question before all others: has this prompt anything of mathematics or logic in it?
_ASKED = re.compile("|".join(f"(?:{kind.hint.pattern})" for kind in KINDS.values()))


def recognise(text: str) -> SolverProblem | None:
    """The first kind's reading of ``text``; pure, and loads neither sympy nor mpmath."""
    line = plain(text)
    lower = line.lower()
    if not line or _ASKED.search(lower) is None:
        return None
    for kind in KINDS.values():
        if kind.hint.search(lower) and (problem := kind.read(line)) is not None:
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
