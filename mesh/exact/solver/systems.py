"""Systems of equations, and how solutions are written. Child only."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import sympy
from mpmath import mp

from mesh.exact.expression.tree import Binary, Expression, names, replace
from mesh.exact.expression.value import Undefined
from mesh.exact.solver.numeric import DIGITS, close, numeric, same
from mesh.exact.solver.roots import Solutions, quotient, solutions
from mesh.exact.solver.symbolic import read_back, symbol, symbolic, written

Equations = Sequence[tuple[Expression, Expression]]
Point = Mapping[str, Any]  # a sympy value for each unknown

_MOST_POINTS = 6


def solved(equations: Equations, about: Sequence[str]) -> str | None:
    """The answer to "solve ... for ``about``"; None when it is not sure."""
    unknown = _unknown(equations)
    if len(equations) == 1:
        left, right = equations[0]
        if unknown == set(about):
            found = solutions(left, right, about[0])
            return None if found is None else _listed(found, about[0])
        return _in_terms_of_others(left, right, about[0])
    found_points = points(equations, unknown)
    if isinstance(found_points, str) or found_points is None:
        return found_points
    shown = dict.fromkeys(
        ", ".join(f"{name} = {_root(point[name])}" for name in about) for point in found_points
    )
    return " or ".join(shown)


def value(equations: Equations, wanted: Expression) -> str | None:
    """What ``wanted`` is worth wherever all equations hold; None when that differs."""
    found = points(equations, _unknown(equations))
    if not found or isinstance(found, str):
        return None
    values = []
    for point in found:
        by = {symbol(name): each for name, each in point.items()}
        worth = sympy.radsimp(sympy.simplify(symbolic(wanted).subs(by)))
        if not worth.is_real or worth.has(sympy.Float):
            return None
        with mp.workdps(DIGITS):
            if not close(numeric(wanted, _at(point)), numeric(read_back(written(worth)), {})):
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
    above = []
    for left, right in equations:
        both = quotient(Binary("-", left, right))
        if both is None or not both[1].is_ground:
            return None
        above.append(both[0])
    if all(each.total_degree() <= 1 for each in above):
        return _linear(equations, above, sorted(unknown))
    if len(equations) == 2 and len(unknown) == 2:
        return _by_substitution(equations, above)
    return None


def _unknown(equations: Equations) -> frozenset[str]:
    return names(*(side for equation in equations for side in equation))


def _linear(
    equations: Equations, above: Sequence[Any], order: Sequence[str]
) -> list[Point] | str | None:
    found = sympy.linsolve([each.as_expr() for each in above], [symbol(name) for name in order])
    if found is sympy.S.EmptySet:
        return "no solution"
    (values,) = found
    if values.free_symbols:
        return "infinitely many solutions"
    point = dict(zip(order, values, strict=True))
    return [point] if _holds(equations, point) else None


def _by_substitution(equations: Equations, above: Sequence[Any]) -> list[Point] | None:
    """One of two equations is linear: the other has then one unknown."""
    for linear, (left, right) in zip(above, reversed(equations), strict=True):
        if linear.total_degree() != 1:
            continue
        name = sorted(each.name for each in linear.free_symbols)[-1]
        line = sympy.solve(linear.as_expr(), symbol(name))[0]
        by = {name: read_back(written(line))}
        left, right = replace(left, by), replace(right, by)
        if len(others := _unknown(equations) - {name}) != 1:
            return None
        (other,) = others
        found = solutions(left, right, other)
        if found is None or found.every or found.more or not 1 <= len(found.real) <= _MOST_POINTS:
            return None
        result: list[Point] = [
            {other: root, name: sympy.radsimp(line.subs(symbol(other), root))}
            for root in found.real
        ]
        return result if all(_holds(equations, point) for point in result) else None
    return None


def _at(point: Point) -> Point:
    return {name: mp.mpf(each.evalf(DIGITS + 10)) for name, each in point.items()}


def _holds(equations: Equations, point: Point) -> bool:
    with mp.workdps(DIGITS):
        at = _at(point)
        try:
            return all(close(numeric(left, at), numeric(right, at)) for left, right in equations)
        except Undefined:
            return False


def _in_terms_of_others(left: Expression, right: Expression, name: str) -> str | None:
    """``y = 4 - 2x``, where the equation is linear in ``name``."""
    both = quotient(Binary("-", left, right))
    if both is None or not both[1].is_ground or both[0].degree(symbol(name)) != 1:
        return None
    slope = sympy.Poly(both[0].as_expr(), symbol(name)).LC()
    text = written(sympy.cancel(sympy.solve(both[0].as_expr(), symbol(name))[0]))
    tree = read_back(text)
    if name in names(tree):
        return None
    by = {name: tree}
    first, second = replace(left, by), replace(right, by)
    others = names(left, right) - {name}
    if not same(lambda at: numeric(first, at), lambda at: numeric(second, at), others):
        return None
    # Where the coefficient vanishes the division by it means nothing.
    condition = ", ".join(f"{written(part)} != 0" for part, _ in sympy.factor_list(slope)[1])
    return f"{name} = {text}" + (f" ({condition})" if condition else "")


def _listed(found: Solutions, name: str) -> str | None:
    if found.every:
        holes = " and ".join(f"{name} = {_root(root)}" for root in found.real)
        return f"every {name} except {holes}" if holes else f"every {name}"
    real = " or ".join(f"{name} = {_root(root)}" for root in found.real)
    others = " or ".join(f"{name} = {_complex(root)}" for root in found.complex_too)
    complex_too = f"complex: {others}" if others else ""
    if not real:
        return f"no real solution ({complex_too})" if others else "no real solution"
    if not found.more:
        return real
    only = f"the only real solution{'s' if len(found.real) > 1 else ''}"
    return f"{real} ({only}; {complex_too})" if others else f"{real} ({only})"


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
