"""Systems of equations, and how solutions are written. Child only."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from fractions import Fraction
from typing import Any

import sympy
from mpmath import mp

from mesh.exact.solver.expression import read_back, symbol, symbolic, written
from mesh.exact.solver.polynomial import Polynomial, coefficients, degree, quotient, unknowns
from mesh.exact.solver.roots import Solutions, solutions
from mesh.exact.solver.tree import Binary, Expression, Name, Number, names, replace
from mesh.exact.solver.value import DIGITS, Undefined, close, exact, numeric, same

Equations = Sequence[tuple[Expression, Expression]]
Point = Mapping[str, Any]  # a sympy value for each unknown

_MOST_POINTS = 6


def solved(equations: Equations, about: Sequence[str]) -> str | None:
    """The answer to "solve ... for ``about``"; None when it is not sure."""
    unknown = names(*(side for equation in equations for side in equation))
    if len(equations) == 1:
        left, right = equations[0]
        if unknown == set(about):
            found = solutions(left, right, about[0])
            return None if found is None else _listed(found, about[0])
        return _in_terms_of_others(left, right, about[0])
    found_points = points(equations, unknown)
    if isinstance(found_points, str) or found_points is None:
        return found_points
    shown = dict.fromkeys(_point(point, about) for point in found_points)
    return " or ".join(shown)


def value(equations: Equations, wanted: Expression) -> str | None:
    """What ``wanted`` is worth wherever all equations hold; None when that differs."""
    unknown = names(*(side for equation in equations for side in equation))
    found = points(equations, unknown)
    if not found or isinstance(found, str):
        return None
    values = []
    for point in found:
        by = {symbol(name): each for name, each in point.items()}
        worth = sympy.radsimp(sympy.simplify(symbolic(wanted).subs(by)))
        if not worth.is_real or worth.has(sympy.Float):
            return None
        with mp.workdps(DIGITS):
            at = {name: mp.mpf(each.evalf(DIGITS)) for name, each in point.items()}
            if not close(numeric(wanted, at), numeric(read_back(written(worth)), {})):
                return None
        values.append(worth)
    if any(sympy.simplify(each - values[0]) != 0 for each in values):
        return None
    return written(values[0])


def points(equations: Equations, unknown: frozenset[str]) -> list[Point] | str | None:
    """All solutions; a sentence when there are none or infinitely many; None when not sure."""
    if len(equations) == 1 and len(unknown) == 1:
        (name,) = unknown
        found = solutions(*equations[0], name)
        if found is None or found.every or found.more:
            return None
        return [{name: root} for root in found.real]
    fractions = [quotient(Binary("-", left, right)) for left, right in equations]
    if any(each is None or degree(each[1]) != 0 for each in fractions):
        return None
    above = [each[0] for each in fractions if each is not None]
    if all(degree(each) <= 1 for each in above):
        return _linear(equations, above, sorted(unknown))
    if len(equations) == 2 and len(unknown) == 2:
        return _by_substitution(equations, above)
    return None


def _linear(
    equations: Equations, above: Sequence[Polynomial], order: Sequence[str]
) -> list[Point] | str | None:
    """By elimination over the fractions, and once more by sympy; both must agree."""
    rows = [
        [each.get(((name, 1),), Fraction(0)) for name in order] + [-each.get((), Fraction(0))]
        for each in above
    ]
    theirs = sympy.linsolve(
        [symbolic(left) - symbolic(right) for left, right in equations], [symbol(n) for n in order]
    )
    pivots = _eliminate(rows, len(order))
    if any(row[-1] and not any(row[:-1]) for row in rows):
        return "no solution" if theirs is sympy.S.EmptySet else None
    if len(pivots) < len(order):
        free = isinstance(theirs, sympy.FiniteSet) and any(e.free_symbols for e in theirs.args[0])
        return "infinitely many solutions" if free else None
    values = {order[column]: rows[row][-1] for row, column in enumerate(pivots)}
    for left, right in equations:
        if exact(left, values) != exact(right, values):
            return None
    point = {name: sympy.Rational(v.numerator, v.denominator) for name, v in values.items()}
    if theirs != sympy.FiniteSet(tuple(point[name] for name in order)):
        return None
    return [point]


def _eliminate(rows: list[list[Fraction]], width: int) -> list[int]:
    """Gauss-Jordan in place; the columns that have a pivot."""
    pivots: list[int] = []
    for column in range(width):
        top = len(pivots)
        found = next((row for row in range(top, len(rows)) if rows[row][column]), None)
        if found is None:
            continue
        rows[top], rows[found] = rows[found], rows[top]
        rows[top] = [each / rows[top][column] for each in rows[top]]
        for other in range(len(rows)):
            if other != top and (factor := rows[other][column]):
                rows[other] = [a - factor * b for a, b in zip(rows[other], rows[top], strict=True)]
        pivots.append(column)
    return pivots


def _by_substitution(equations: Equations, above: Sequence[Polynomial]) -> list[Point] | None:
    """One of two equations is linear: the other has then one unknown."""
    for index in (0, 1):
        polynomial = above[index]
        if degree(polynomial) != 1:
            continue
        name = sorted(unknowns(polynomial))[-1]
        constant, slope = coefficients(polynomial, name)
        others = (unknowns(above[0]) | unknowns(above[1])) - {name}
        if len(others) != 1:
            return None
        (other,) = others
        line = _tree(constant, -1 / slope[()])
        left, right = equations[1 - index]
        by = {name: line}
        found = solutions(replace(left, by), replace(right, by), other)
        if found is None or found.every or found.more or not 1 <= len(found.real) <= _MOST_POINTS:
            return None
        result: list[Point] = [
            {other: root, name: sympy.radsimp(symbolic(line).subs(symbol(other), root))}
            for root in found.real
        ]
        return result if all(_holds(equations, point) for point in result) else None
    return None


def _tree(polynomial: Polynomial, factor: Fraction) -> Expression:
    """A linear polynomial times ``factor`` as a tree."""
    total: Expression = Number(polynomial.get((), Fraction(0)) * factor)
    for monomial, number in polynomial.items():
        for name, _ in monomial:
            total = Binary("+", total, Binary("*", Number(number * factor), Name(name)))
    return total


def _holds(equations: Equations, point: Point) -> bool:
    with mp.workdps(DIGITS):
        at = {name: mp.mpf(each.evalf(DIGITS + 10)) for name, each in point.items()}
        try:
            return all(close(numeric(left, at), numeric(right, at)) for left, right in equations)
        except Undefined:
            return False


def _in_terms_of_others(left: Expression, right: Expression, name: str) -> str | None:
    """``y = 4 - 2x``, where the equation is linear in ``name``."""
    both = quotient(Binary("-", left, right))
    unknown = names(left, right)
    if both is None or degree(both[1]) != 0:
        return None
    by_power = coefficients(both[0], name)
    if len(by_power) != 2:
        return None
    slope = by_power[1]
    solution = sympy.cancel(
        sympy.solve(symbolic(left) - symbolic(right), symbol(name), dict=True)[0][symbol(name)]
    )
    text = written(solution)
    tree = read_back(text)
    if name in names(tree):
        return None
    by = {name: tree}
    first, second = replace(left, by), replace(right, by)
    if not same(lambda at: numeric(first, at), lambda at: numeric(second, at), unknown - {name}):
        return None
    # Where the coefficient vanishes the division by it means nothing.
    condition = ""
    if unknowns(slope):
        parts = sympy.factor_list(_symbolic(slope))[1]
        condition = " (" + ", ".join(f"{written(part)} != 0" for part, _ in parts) + ")"
    return f"{name} = {text}{condition}"


def _symbolic(polynomial: Polynomial) -> Any:
    return sympy.Add(
        *(
            sympy.Rational(c.numerator, c.denominator)
            * sympy.Mul(*(symbol(name) ** power for name, power in monomial))
            for monomial, c in polynomial.items()
        )
    )


def _listed(found: Solutions, name: str) -> str | None:
    if found.every:
        if not found.real:
            return f"every {name}"
        holes = " and ".join(f"{name} = {_root(root)}" for root in found.real)
        return f"every {name} except {holes}"
    real = " or ".join(f"{name} = {_root(root)}" for root in found.real)
    others = " or ".join(f"{name} = {_complex(root)}" for root in found.complex_too)
    complex_too = f"complex: {others}" if others else ""
    if not real:
        return f"no real solution ({complex_too})" if others else "no real solution"
    if not found.more:
        return real
    only = f"the only real solution{'s' if len(found.real) > 1 else ''}"
    return f"{real} ({only}; {complex_too})" if others else f"{real} ({only})"


def _point(point: Point, about: Sequence[str]) -> str:
    return ", ".join(f"{name} = {_root(point[name])}" for name in about)


def _root(root: Any) -> str:
    text = written(root)
    with mp.workdps(DIGITS):
        if not close(numeric(read_back(text), {}), mp.mpf(root.evalf(DIGITS))):
            raise ArithmeticError(f"'{text}' does not read back as it was meant")
    return text


def _complex(root: Any) -> str:
    real, imaginary = root.as_real_imag()
    size = _root(abs(imaginary))
    times = "i" if size == "1" else f"{size}i" if size.isdigit() else f"{size}*i"
    if real == 0:
        return f"-{times}" if imaginary < 0 else times
    return f"{_root(real)} {'-' if imaginary < 0 else '+'} {times}"
