"""Inequalities in one unknown, of polynomials and their quotients.

``task`` is ``solve``; ``about``: the name. Between the points where a side changes sign, or is not
defined, the truth cannot change: one exact test in each stretch, and one at each point, tells all.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from fractions import Fraction
from itertools import pairwise
from typing import Any, ClassVar

from mesh.exact.base import MATH, Exact
from mesh.exact.solver.parse import relations
from mesh.exact.solver.problem import SolverProblem, answer, as_decimals
from mesh.exact.solver.tree import Relation, Unreadable, names
from mesh.exact.solver.value import Undefined, exact
from mesh.exact.solver.words import plain


@dataclass(frozen=True, slots=True, kw_only=True)
class InequalityProblem(SolverProblem):
    kind: ClassVar[str] = "inequality"


_SOLVE = re.compile(
    r"solve(?: for \$?(?P<name>[a-zA-Z])\$?)?(?: (?:the |this )?(?:following )?"
    r"(?:linear |quadratic )?inequality)?:? +(?P<text>\S.*?)(?:,? ?for \$?(?P<last>[a-zA-Z])\$?)?",
    re.IGNORECASE,
)
_SIGNS = ("<", ">", "≤", "≥", "\\le", "\\ge", "\\lt", "\\gt")


def recognise(text: str) -> InequalityProblem | None:
    if not any(sign in text for sign in _SIGNS):
        return None
    match = _SOLVE.fullmatch(plain(text))
    if match is None:
        return None
    try:
        (relation,) = relations(match["text"])
    except (Unreadable, ValueError):
        return None
    found = names(relation.left, relation.right)
    if relation.operator == "=" or len(found) != 1:
        return None
    (name,) = found
    if {match["name"] or name, match["last"] or name} != {name}:
        return None
    return InequalityProblem(task="solve", texts=(match["text"],), about=(name,))


def solve(problem: SolverProblem) -> Exact | None:
    """In the child. Raises ``Unreadable``, and ``ZeroDivisionError`` for x/0."""
    from mesh.exact.solver.expression import written
    from mesh.exact.solver.polynomial import quotient
    from mesh.exact.solver.roots import roots_of
    from mesh.exact.solver.tree import Binary

    (relation,) = relations(problem.texts[0])
    (name,) = problem.about
    both = quotient(Binary("-", relation.left, relation.right))
    if both is None:
        return None
    above, below = (roots_of(each, name) if each else None for each in both)
    if below is None or (both[0] and above is None):
        return None
    found = {*(above.real if above else ()), *below.real}
    ordered = sorted(found, key=lambda root: root.evalf(40))
    stretches = _stretches(relation, name, ordered)
    at_points = [_holds_at(relation, name, point, below.real) for point in ordered]
    text = _written(name, [written(point) for point in ordered], stretches, at_points)
    if re.search(r"\.\d", problem.texts[0]):
        text = as_decimals(text)
    return answer(problem, text, MATH)


def _stretches(relation: Relation, name: str, points: list[Any]) -> list[bool]:
    """Whether it holds before the first point, between each two, and after the last."""
    if not points:
        return [_holds(relation, {name: Fraction(0)})]
    between = [_fraction((a.evalf(40) + b.evalf(40)) / 2) for a, b in pairwise(points)]
    ends = (_fraction(points[0].evalf(40)) - 1, _fraction(points[-1].evalf(40)) + 1)
    return [_holds(relation, {name: at}) for at in (ends[0], *between, ends[1])]


def _fraction(value: Any) -> Fraction:
    return Fraction(str(value))


def _holds(relation: Relation, at: dict[str, Fraction]) -> bool:
    """Raises ``Unreadable`` where a side has no exact value."""
    left, right = exact(relation.left, at), exact(relation.right, at)
    if left is None or right is None:
        raise Unreadable("no exact value")
    match relation.operator:
        case "<":
            return left < right
        case "<=":
            return left <= right
        case ">":
            return left > right
    return left >= right


def _holds_at(relation: Relation, name: str, point: Any, poles: tuple[Any, ...]) -> bool:
    """Both sides are equal at a point that is no pole; there only <= and >= hold."""
    if point in poles:
        return False
    if point.is_rational:
        try:
            return _holds(relation, {name: Fraction(int(point.p), int(point.q))})
        except Undefined:
            return False
    return relation.operator in ("<=", ">=")


def _written(name: str, points: list[str], stretches: list[bool], at: list[bool]) -> str:
    """Joins stretches and points that hold into ``x < 1 or 2 <= x < 3``."""
    parts: list[str] = []
    index = 0
    while index < len(stretches):
        # A run of stretches whose points in between hold too.
        if not stretches[index]:
            alone = index < len(at) and at[index] and not stretches[index + 1]
            if alone:
                parts.append(f"{name} = {points[index]}")
            index += 1
            continue
        begin = index
        while index < len(at) and at[index] and stretches[index + 1]:
            index += 1
        parts.append(_interval(name, points, at, begin, index))
        index += 1
    return " or ".join(parts) if parts else "no solution"


def _interval(name: str, points: list[str], at: list[bool], begin: int, end: int) -> str:
    """From the point before stretch ``begin`` to the one after stretch ``end``."""
    low = f"{points[begin - 1]} {'<=' if at[begin - 1] else '<'} " if begin else ""
    high = f" {'<=' if at[end] else '<'} {points[end]}" if end < len(points) else ""
    if low and not high:
        return f"{name} {'>=' if at[begin - 1] else '>'} {points[begin - 1]}"
    return f"{low}{name}{high}" if low or high else f"every {name}"
