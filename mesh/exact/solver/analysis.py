"""Derivatives, integrals and limits by sympy, each checked by numbers. Child only."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import sympy
from mpmath import mp

from mesh.exact.expression.tree import Constant, Expression, Negative, names
from mesh.exact.expression.value import Undefined
from mesh.exact.solver.numeric import DIGITS, close, numeric, same
from mesh.exact.solver.symbolic import read_back, symbol, symbolic, written

_ROUGH = 1e-12  # relative, for what is differentiated or integrated by numbers
_STRANGE = (sympy.zoo, sympy.nan, sympy.oo, sympy.I)


def derivative(tree: Expression, name: str, order: int, point: Expression | None) -> str | None:
    value = sympy.diff(symbolic(tree), symbol(name), order)
    if value.has(*_STRANGE):
        return None
    text = written(_shortest(value))
    back = read_back(text)
    if not _is_derivative(tree, back, name, order):
        return None
    if point is None:
        return text
    there = sympy.radsimp(sympy.simplify(value.subs(symbol(name), symbolic(point))))
    if there.has(*_STRANGE):
        return None
    text = written(there)
    with mp.workdps(DIGITS):
        try:
            meant = numeric(back, {name: numeric(point, {})})
            numeric(tree, {name: numeric(point, {})})  # it must be defined there
        except Undefined:
            return None
        return text if close(numeric(read_back(text), {}), meant) else None


def _shortest(value: Any) -> Any:
    if value.is_polynomial():
        return value
    return min((value, sympy.simplify(value), sympy.factor(value)), key=sympy.count_ops)


def _is_derivative(of: Expression, what: Expression, name: str, order: int) -> bool:
    """Against differences at random points. Those are exact to about half of the digits."""
    if not names(what) <= {name}:
        return False
    with mp.workdps(DIGITS):
        return same(
            lambda at: _difference(of, name, at[name], order),
            lambda at: _rounded(numeric(what, at)),
            frozenset((name,)),
            points=6,
        )


def _difference(tree: Expression, name: str, at: Any, order: int) -> Any:
    """Central differences of ``order``, their step small against 120 digits."""
    with mp.workdps(120):
        step = mp.mpf(10) ** -20
        total = mp.mpf(0)
        for index in range(order + 1):
            shifted = at + (mp.mpf(order) / 2 - index) * step
            total += (-1) ** index * mp.binomial(order, index) * numeric(tree, {name: shifted})
        return _rounded(total / step**order)


def _rounded(value: Any) -> Any:
    """To the digits that a difference has: its error is of the order of the step's square."""
    with mp.workdps(26):
        return +value


def integral(tree: Expression, name: str) -> str | None:
    found = sympy.integrate(symbolic(tree), symbol(name))
    if found.has(sympy.Integral, *_STRANGE):
        return None
    for candidate in (found, _with_bars(found)):
        for shape in (candidate, _shortest(candidate)):
            try:
                text = written(shape)
            except ValueError:
                continue
            if _is_derivative(read_back(text), tree, name, 1) and _defined_with(
                tree, read_back(text), name
            ):
                return f"{text} + C"
    return None


def _with_bars(value: Any) -> Any:
    """ln|x| where sympy, which thinks of complex numbers, has ln(x)."""
    return value.replace(
        lambda each: isinstance(each, sympy.log), lambda each: sympy.log(sympy.Abs(each.args[0]))
    )


def _defined_with(tree: Expression, answer: Expression, name: str) -> bool:
    """Whether the answer is defined wherever the integrand is."""
    return same(
        lambda at: numeric(tree, at) * 0, lambda at: numeric(answer, at) * 0, frozenset((name,))
    )


def definite(tree: Expression, name: str, low: Expression, high: Expression) -> str | None:
    variable = symbol(name)
    bounds = (variable, symbolic(low), symbolic(high))
    found = sympy.integrate(symbolic(tree), bounds)
    if found.has(sympy.Integral, *_STRANGE) or found.free_symbols:
        return None
    if not found.is_rational:
        found = min((found, sympy.simplify(found)), key=sympy.count_ops)
    text = written(found)
    with mp.workdps(20):
        ends = [_end(low), _end(high)]
        try:
            value, error = mp.quad(
                lambda at: numeric(tree, {name: at}), _pieces(ends), error=True, maxdegree=8
            )
        except Undefined:  # a pole between the bounds
            return None
        meant = numeric(read_back(text), {})
        sure = abs(error) <= _ROUGH * max(1, abs(meant))
        return text if sure and abs(value - meant) <= _ROUGH * max(1, abs(meant)) else None


def _end(tree: Expression) -> Any:
    match tree:
        case Constant(name="infinity"):
            return mp.inf
        case Negative(of=Constant(name="infinity")):
            return -mp.inf
    return numeric(tree, {})


def _pieces(ends: list[Any]) -> list[Any]:
    """Cut where it cannot hit a pole in the middle by chance, nor miss one by symmetry."""
    low, high = ends
    if mp.isinf(low) or mp.isinf(high):
        return [low, mp.mpf(0), high] if mp.isinf(low) and mp.isinf(high) else ends
    cuts = [low + (high - low) * each / 13 for each in (3, 7, 10)]
    return [low, *cuts, high]


def limit(tree: Expression, name: str, to: Expression, side: str) -> str | None:
    where = symbolic(to)
    infinite = where in (sympy.oo, -sympy.oo)
    sides = "+" if infinite else side or "+-"
    found = {each: sympy.limit(symbolic(tree), symbol(name), where, each) for each in sides}
    texts = {each: _limit_text(value) for each, value in found.items()}
    for each, value in found.items():
        if texts[each] is None or not _approaches(tree, name, to, each, value):
            return None
    if len(set(found.values())) == 1:
        return texts[sides[0]]
    return f"does not exist ({texts['-']} from the left, {texts['+']} from the right)"


def _limit_text(value: Any) -> str | None:
    if value is sympy.oo:
        return "infinity"
    if value == -sympy.oo:
        return "-infinity"
    if value.has(*_STRANGE, sympy.AccumBounds, sympy.Limit) or value.free_symbols:
        return None
    return written(sympy.simplify(value))


def _approaches(tree: Expression, name: str, to: Expression, side: str, value: Any) -> bool:
    """Whether values ever closer to the point come ever closer to the limit, and very close."""
    with mp.workdps(120):
        distances = []
        for power in (4, 8, 12, 16):
            try:
                at = _beside(to, side, power)
                there = numeric(tree, {name: at})
            except Undefined:
                return False
            if value in (sympy.oo, -sympy.oo):
                distances.append(1 / abs(there) if (there > 0) == (value == sympy.oo) else mp.inf)
            else:
                meant = numeric(read_back(written(sympy.simplify(value))), {})
                distances.append(abs(there - meant) / max(1, abs(meant)))
        ordered = all(b <= a for a, b in pairwise(distances))
        return bool(ordered and distances[-1] < 1e-3 and distances[-1] <= distances[0])


def _beside(to: Expression, side: str, power: int) -> Any:
    step = mp.mpf(10) ** -power
    match to:
        case Constant(name="infinity"):
            return 1 / step + mp.mpf(1) / 3
        case Negative(of=Constant(name="infinity")):
            return -1 / step - mp.mpf(1) / 3
    point = numeric(to, {})
    return point + step if side == "+" else point - step
