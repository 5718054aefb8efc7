"""Inequalities in one unknown, of polynomials and their quotients.

``task`` is ``solve``; ``about``: the name. Between the points where a side changes sign, or is not
defined, the truth cannot change: one exact test in each stretch, and one at each point, tells all.
"""

from __future__ import annotations

import operator
from fractions import Fraction
from itertools import pairwise
from typing import Any

from mesh.exact.expression.parse import relations
from mesh.exact.expression.tree import Binary, Relation, Unreadable, names
from mesh.exact.expression.value import Undefined, exact
from mesh.exact.phrase import phrase
from mesh.exact.solver.problem import SolverProblem

_SOLVE = phrase(
    r"solve[ for \$?<name>\$?][ [the |this ][following ][linear |quadratic ]inequality]:? +<text>"
    r"[,? ?for \$?<last>\$?]",
    name="[a-zA-Z]",
    last="[a-zA-Z]",
)
_COMPARED = {"<": operator.lt, "<=": operator.le, ">": operator.gt, ">=": operator.ge}


def recognise(line: str) -> SolverProblem | None:
    match = _SOLVE.fullmatch(line)
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
    return SolverProblem(kind="inequality", task="solve", texts=(match["text"],), about=(name,))


def solve(problem: SolverProblem) -> str | None:
    """In the child. Raises ``Unreadable``, and ``ZeroDivisionError`` for x/0."""
    from mesh.exact.solver.roots import quotient, roots_of
    from mesh.exact.solver.symbolic import written

    (relation,) = relations(problem.texts[0])
    (name,) = problem.about
    both = quotient(Binary("-", relation.left, relation.right))
    if both is None:
        return None
    above, below = (roots_of(each) for each in both)
    if below is None or above is None:
        return None
    points = sorted({*above.real, *below.real}, key=lambda root: root.evalf(40))
    stretches = _stretches(relation, name, points)
    at = [_holds_at(relation, name, point, below.real) for point in points]
    return _written(name, [written(point) for point in points], stretches, at)


def _stretches(relation: Relation, name: str, points: list[Any]) -> list[bool]:
    """Whether it holds before the first point, between each two, and after the last."""
    near = [Fraction(str(point.evalf(40))) for point in points] or [Fraction(0)]
    inside = [(a + b) / 2 for a, b in pairwise(near)]
    tried = [near[0] - 1, *inside, near[-1] + 1] if points else near
    return [_holds(relation, {name: at}) for at in tried]


def _holds(relation: Relation, at: dict[str, Fraction]) -> bool:
    """Raises ``Unreadable`` where a side has no exact value."""
    left, right = exact(relation.left, at), exact(relation.right, at)
    if left is None or right is None:
        raise Unreadable("no exact value")
    return bool(_COMPARED[relation.operator](left, right))


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
        begin = index
        if not stretches[index]:
            if index < len(at) and at[index] and not stretches[index + 1]:
                parts.append(f"{name} = {points[index]}")
        else:  # and on, over points that hold too
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
