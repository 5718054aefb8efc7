"""The real solutions of one equation in one unknown, all of them or nothing. Child only.

Quotients of polynomials: factored over the rationals, each factor's roots by a formula, and as many
as sympy isolates. Others (roots, absolute values, exponentials, logarithms): sympy's ``solveset``,
searched for what it left out. Every solution is put back into the equation as the prompt wrote it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import sympy
from mpmath import mp
from sympy import CRootOf, Poly

from mesh.exact.expression.tree import (
    Binary,
    Expression,
    Name,
    Negative,
    Number,
    Unreadable,
    functions,
    names,
)
from mesh.exact.expression.value import Undefined, constant
from mesh.exact.solver.numeric import DIGITS, close, numeric
from mesh.exact.solver.symbolic import symbol, symbolic

_MAX_DEGREE = 40  # of what is solved
_MAX_TOTAL_DEGREE = 200
_MAX_TERMS = 400
_MOST_SEARCHED = 8
_SCANNED = frozenset(("sqrt", "abs", "ln", "exp", "root", "cbrt"))


@dataclass(frozen=True, slots=True)
class Solutions:
    """``real``: in ascending order; ``complex_too``: the others of a polynomial equation, all of
    them or none, and ``more`` says that there are some. ``every``: every number solves it, but for
    those in ``real``, where it is undefined."""

    real: tuple[Any, ...]
    complex_too: tuple[Any, ...] = ()
    more: bool = False
    every: bool = False


def quotient(tree: Expression) -> tuple[Any, Any] | None:
    """Numerator and denominator as sympy's ``Poly`` over the fractions, nothing cancelled, so that
    the denominator is zero wherever the tree has no value; None when the tree is no quotient of
    polynomials. Raises ``Unreadable`` past the limits, ``ZeroDivisionError`` for x/0."""
    unknowns = [symbol(name) for name in sorted(names(tree))] or [symbol("x")]
    one = Poly(1, *unknowns, domain="QQ")

    def of(tree: Expression) -> tuple[Any, Any] | None:
        match tree:
            case Number() | Name():
                return one * Poly(symbolic(tree), *unknowns, domain="QQ"), one
            case Negative(of=inner):
                found = of(inner)
                return None if found is None else (-found[0], found[1])
            case Binary(operator="^", left=left, right=right):
                base, exponent = of(left), constant(right)
                if base is None or exponent is None or exponent.denominator != 1:
                    return None
                return _power(*base, int(exponent), one)
            case Binary(operator=operator, left=left, right=right):
                first, second = of(left), of(right)
                if first is None or second is None:
                    return None
                return _combined(operator, *first, *second)
        return None

    return of(tree)


def _combined(operator: str, above: Any, below: Any, over: Any, under: Any) -> tuple[Any, Any]:
    match operator:
        case "*":
            return _product(above, over), _product(below, under)
        case "/":
            return _divided(_product(above, under), _product(below, over), under)
    over = over if operator == "+" else -over
    if below == under:
        return above + over, below
    return _product(above, under) + _product(over, below), _product(below, under)


def _divided(above: Any, below: Any, holes: Any) -> tuple[Any, Any]:
    """The quotient, with no value where ``holes`` is zero: 1/(1/x) is x, but for x = 0."""
    if below.is_zero:
        raise ZeroDivisionError
    if holes.is_ground:
        return above, below
    return _product(above, holes), _product(below, holes)


def _power(above: Any, below: Any, exponent: int, one: Any) -> tuple[Any, Any]:
    if exponent < 0:
        above, below = _divided(below, above, below)
    if abs(exponent) > _MAX_TOTAL_DEGREE:
        raise Unreadable("a power too large")
    if exponent == 0 and above.is_zero:
        raise ZeroDivisionError
    top = bottom = one
    for _ in range(abs(exponent)):
        top, bottom = _product(top, above), _product(bottom, below)
    return top, bottom


def _product(first: Any, second: Any) -> Any:
    found = first * second
    if len(found.terms()) > _MAX_TERMS or found.total_degree() > _MAX_TOTAL_DEGREE:
        raise Unreadable("too many terms")
    return found


def solutions(left: Expression, right: Expression, name: str) -> Solutions | None:
    """None when they are not surely all. Raises ``Unreadable``, ``ZeroDivisionError``."""
    both = quotient(Binary("-", left, right))
    if both is None:
        return _searched(left, right, name)
    above, below = both
    roots = roots_of(below if above.is_zero else above)
    if roots is None:
        return None
    if above.is_zero:
        return Solutions(roots.real, every=True)
    if any(_is_root(below, root) for root in roots.complex_too):
        return None
    with mp.workdps(DIGITS):
        kept = tuple(root for root in roots.real if not _is_root(below, root))
        # What is left out must be undefined in the equation itself, not only in our fraction.
        if any(_solves(left, right, name, root) != (root in kept) for root in roots.real):
            return None
    return Solutions(kept, roots.complex_too, more=roots.more)


def _is_root(polynomial: Any, root: Any) -> bool:
    return bool(abs(polynomial.as_expr().subs(polynomial.gen, root).evalf(DIGITS)) < 10.0**-25)


def _solves(left: Expression, right: Expression, name: str, root: Any) -> bool:
    at = {name: mp.mpf(root.evalf(DIGITS + 10))}
    try:
        return close(numeric(left, at), numeric(right, at))
    except Undefined:
        return False


def roots_of(polynomial: Any) -> Solutions | None:
    """Distinct roots; None where no short formula has all the real ones."""
    if polynomial.degree() > _MAX_DEGREE:
        return None
    real: list[Any] = []
    imaginary: list[Any] = []
    distinct = 0
    for factor, _ in polynomial.factor_list()[1] if not polynomial.is_ground else ():
        distinct += factor.degree()
        found = factor.real_roots()
        if any(root.has(CRootOf) for root in found):
            # Without the long formulas of degrees three and four: those that are left are short.
            short = sympy.roots(factor, filter="R", cubics=False, quartics=False, quintics=False)
            if len(short) != len(found):
                return None
            found = [sympy.sqrtdenest(root) for root in short]
        real += [sympy.together(root) for root in found]
        if factor.degree() == 2 and not found:
            imaginary += sorted(sympy.roots(factor), key=lambda root: sympy.im(root))
    return Solutions(
        tuple(sorted(real, key=lambda root: root.evalf(DIGITS))),
        tuple(imaginary) if len(real) + len(imaginary) == distinct else (),
        more=distinct > len(real),
    )


def _searched(left: Expression, right: Expression, name: str) -> Solutions | None:
    if not functions(left, right) <= _SCANNED or names(left, right) != {name}:
        return None
    found = sympy.solveset(symbolic(left) - symbolic(right), symbol(name), domain=sympy.S.Reals)
    if found is not sympy.S.EmptySet and not isinstance(found, sympy.FiniteSet):
        return None
    if len(found) > _MOST_SEARCHED:
        return None
    roots = [sympy.nsimplify(root) if root.is_Float else root for root in found]
    if any(not root.is_real or root.has(sympy.Float) for root in roots):
        return None
    roots = sorted(map(_shorter, roots), key=lambda root: root.evalf(DIGITS))
    with mp.workdps(DIGITS):
        if not all(_solves(left, right, name, root) for root in roots):
            return None
    if _left_out(left, right, name, [float(root) for root in roots]):
        return None
    return Solutions(tuple(roots))


def _shorter(root: Any) -> Any:
    return min(
        (root, sympy.simplify(root), sympy.logcombine(root, force=True)),
        key=sympy.count_ops,
    )


def _left_out(left: Expression, right: Expression, name: str, roots: Sequence[float]) -> bool:
    """Whether the difference of both sides comes near zero far from every known root, on a grid
    that is fine near the origin and reaches 10,000."""
    grid = [step / 32 for step in range(1, 1600)] + [50 * 1.02**step for step in range(268)]
    points = [-point for point in reversed(grid)] + [0.0, *grid]
    with mp.workdps(20):
        before: tuple[float, Any] | None = None
        slope_down = False
        for point in points:
            try:
                at = {name: mp.mpf(point)}
                value = numeric(left, at) - numeric(right, at)
            except Undefined:
                before, slope_down = None, False
                continue
            if before is not None:
                crossed = (before[1] > 0) != (value > 0) or value == 0
                turned = slope_down and abs(value) > abs(before[1]) and abs(before[1]) < 0.05
                width = 2 * (point - before[0]) + 1e-9
                if (crossed or turned) and not any(
                    before[0] - width <= root <= point + width for root in roots
                ):
                    return True
                slope_down = abs(value) < abs(before[1])
            before = (point, value)
    return False
