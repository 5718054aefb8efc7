"""The real solutions of one equation in one unknown, all of them or nothing. Child only.

Quotients of polynomials: factored over the rationals, each factor solved by a formula, and counted
by Sturm's theorem. Others (roots, absolute values, exponentials, logarithms): sympy's ``solveset``,
searched for what it left out. Every solution is put back into the equation as the prompt wrote it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import sympy
from mpmath import mp
from sympy import Poly, Rational

from mesh.exact.solver.expression import symbol, symbolic
from mesh.exact.solver.polynomial import Polynomial, distinct_real_roots, quotient, univariate
from mesh.exact.solver.tree import Binary, Expression, functions, names
from mesh.exact.solver.value import DIGITS, Undefined, close, exact, numeric

_MAX_DEGREE = 40
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


def solutions(left: Expression, right: Expression, name: str) -> Solutions | None:
    """None when they are not surely all. Raises ``Unreadable``, ``ZeroDivisionError``."""
    both = quotient(Binary("-", left, right))
    if both is None:
        return _searched(left, right, name)
    above, below = both
    if not above:
        holes = roots_of(below, name)
        if holes is None or not _holds_anywhere(left, right, name):
            return None
        return Solutions(holes.real, every=True)
    roots = roots_of(above, name)
    if roots is None:
        return None
    real, imaginary = roots.real, roots.complex_too
    if any(symbolic_zero(below, name, root) for root in imaginary):
        return None
    with mp.workdps(DIGITS):
        kept = tuple(root for root in real if not symbolic_zero(below, name, root))
        for root in kept:
            if not _solves(left, right, name, root):
                return None
        # What was left out must be undefined in the equation itself, not only in our fraction.
        for root in set(real) - set(kept):
            if _solves(left, right, name, root):
                return None
    return Solutions(kept, imaginary, more=roots.more)


def symbolic_zero(polynomial: Polynomial, name: str, root: Any) -> bool:
    """Whether a root is one of this polynomial too."""
    with mp.workdps(DIGITS):
        value = mp.mpc(*(mp.mpf(part.evalf(DIGITS)) for part in root.as_real_imag()))
        total = sum(
            (mp.mpf(each.numerator) / each.denominator * value**power)
            for power, each in enumerate(univariate(polynomial, name))
        )
        return bool(abs(total) < mp.mpf(10) ** -25)


def _holds_anywhere(left: Expression, right: Expression, name: str) -> bool:
    """Whether both sides agree exactly at more points than such an equation can have roots."""
    agreed = 0
    for point in range(1, 400):
        at = {name: Fraction(2 * point + 1, 7)}
        try:
            if exact(left, at) != exact(right, at):
                return False
        except Undefined:
            continue
        agreed += 1
    return agreed > 200


def _solves(left: Expression, right: Expression, name: str, root: Any) -> bool:
    at = {name: mp.mpf(root.evalf(DIGITS + 10))}
    try:
        return close(numeric(left, at), numeric(right, at))
    except Undefined:
        return False


def roots_of(polynomial: Polynomial, name: str) -> Solutions | None:
    """Distinct roots; None where no short formula has all the real ones."""
    values = univariate(polynomial, name)
    if len(values) - 1 > _MAX_DEGREE:
        return None
    if len(values) == 1:
        return Solutions(())
    unknown = symbol(name)
    poly = Poly([Rational(v.numerator, v.denominator) for v in reversed(values)], unknown)
    real: list[Any] = []
    imaginary: list[Any] = []
    distinct = 0
    for factor, _ in poly.factor_list()[1]:
        distinct += factor.degree()
        terms = [Fraction(int(c.p), int(c.q)) for c in reversed(factor.all_coeffs())]
        found = _formula(terms)
        if found is None:
            if distinct_real_roots(terms):
                return None
            continue
        real += found[0]
        imaginary += found[1]
    if len(real) != distinct_real_roots(values):
        return None
    all_known = len(real) + len(imaginary) == distinct
    return Solutions(
        tuple(sorted(real, key=lambda root: root.evalf(DIGITS))),
        tuple(imaginary) if all_known else (),
        more=distinct > len(real),
    )


def _formula(values: Sequence[Fraction]) -> tuple[list[Any], list[Any]] | None:
    """Real and other roots of an irreducible polynomial, constant first. Of ``x^n + c`` only the
    real ones."""
    degree = len(values) - 1
    exact_values = [Rational(v.numerator, v.denominator) for v in values]
    if degree == 1:
        return [-exact_values[0] / exact_values[1]], []
    if degree == 2:
        return _quadratic(*exact_values)
    if not any(values[1:degree]):
        radicand = -exact_values[0] / exact_values[degree]
        if degree % 2:
            return [sympy.real_root(radicand, degree)], []
        if radicand < 0:
            return [], []
        root = sympy.root(radicand, degree)
        return [-root, root], []
    if degree == 4 and not values[1] and not values[3]:
        squares, others = _quadratic(exact_values[0], exact_values[2], exact_values[4])
        if others:
            return [], []
        real = []
        for square in squares:
            if square.evalf(DIGITS) > 0:
                root = sympy.sqrtdenest(sympy.sqrt(square))
                real += [-root, root]
        return real, []
    return None


def _quadratic(c: Any, b: Any, a: Any) -> tuple[list[Any], list[Any]]:
    discriminant = b * b - 4 * a * c
    root = sympy.sqrt(abs(discriminant))
    middle, spread = -b / (2 * a), root / (2 * abs(a))
    if discriminant > 0:
        return [sympy.together(middle - spread), sympy.together(middle + spread)], []
    return [], [middle - sympy.I * spread, middle + sympy.I * spread]


def _searched(left: Expression, right: Expression, name: str) -> Solutions | None:
    if not functions(left, right) <= _SCANNED or names(left, right) != {name}:
        return None
    found = sympy.solveset(symbolic(left) - symbolic(right), symbol(name), domain=sympy.S.Reals)
    if found is sympy.S.EmptySet:
        roots: tuple[Any, ...] = ()
    elif isinstance(found, sympy.FiniteSet) and len(found) <= 8:
        roots = tuple(sympy.nsimplify(root) if root.is_Float else root for root in found)
    else:
        return None
    if any(not root.is_real or root.has(sympy.Float) for root in roots):
        return None
    roots = tuple(sorted(map(_shorter, roots), key=lambda root: root.evalf(DIGITS)))
    with mp.workdps(DIGITS):
        if not all(_solves(left, right, name, root) for root in roots):
            return None
    if _left_out(left, right, name, [float(root) for root in roots]):
        return None
    return Solutions(roots)


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
