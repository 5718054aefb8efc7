"""Polynomials and their quotients with exact coefficients, apart from sympy's.

They say what an equation is (linear, in how many unknowns, of which degree), and check how many
real roots it has by Sturm's theorem (J. C. F. Sturm, 1829), so that no root is left out.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from fractions import Fraction
from itertools import pairwise

from mesh.exact.solver.tree import (
    Binary,
    Expression,
    Name,
    Negative,
    Number,
    Unreadable,
    constant,
)

MAX_TERMS = 400
MAX_DEGREE = 200
_MAX_COEFFICIENT_BITS = 4096

Monomial = tuple[tuple[str, int], ...]  # sorted by name; () is the constant term
Polynomial = Mapping[Monomial, Fraction]  # without zero coefficients

ONE: Polynomial = {(): Fraction(1)}
ZERO: Polynomial = {}


def quotient(tree: Expression) -> tuple[Polynomial, Polynomial] | None:
    """Numerator and denominator, nothing cancelled, so that the denominator is zero wherever the
    tree has no value; None when the tree is no quotient of
    polynomials. Raises ``Unreadable`` past the limits, ``ZeroDivisionError`` for x/0."""
    match tree:
        case Number(value=value):
            return _constant(value), ONE
        case Name(name=name):
            return {((name, 1),): Fraction(1)}, ONE
        case Negative(of=of):
            inner = quotient(of)
            return None if inner is None else (scale(inner[0], Fraction(-1)), inner[1])
        case Binary(operator="^", left=left, right=right):
            base, exponent = quotient(left), constant(right)
            if base is None or exponent is None or exponent.denominator != 1:
                return None
            return _power(base, int(exponent))
        case Binary(operator=operator, left=left, right=right):
            first, second = quotient(left), quotient(right)
            if first is None or second is None:
                return None
            return _combine(operator, first, second)
        case _:
            return None


def _constant(value: Fraction) -> Polynomial:
    return {(): value} if value else ZERO


def _combine(
    operator: str,
    first: tuple[Polynomial, Polynomial],
    second: tuple[Polynomial, Polynomial],
) -> tuple[Polynomial, Polynomial]:
    above, below = first
    over, under = second
    match operator:
        case "*":
            return multiply(above, over), multiply(below, under)
        case "/":
            if not over:
                raise ZeroDivisionError
            return _with_holes(multiply(above, under), multiply(below, over), under)
    sign = Fraction(1 if operator == "+" else -1)
    if below == under:
        return add(above, scale(over, sign)), below
    return (
        add(multiply(above, under), scale(multiply(over, below), sign)),
        multiply(below, under),
    )


def _with_holes(
    above: Polynomial, below: Polynomial, holes: Polynomial
) -> tuple[Polynomial, Polynomial]:
    """The quotient, with no value where ``holes`` is zero: 1/(1/x) is x, but for x = 0."""
    if degree(holes) < 1:
        return above, below
    return multiply(above, holes), multiply(below, holes)


def _power(base: tuple[Polynomial, Polynomial], exponent: int) -> tuple[Polynomial, Polynomial]:
    above, below = base
    if exponent < 0:
        if not above:
            raise ZeroDivisionError
        above, below = _with_holes(below, above, below)
        exponent = -exponent
    if exponent > MAX_DEGREE:
        raise Unreadable("a power too large")
    if exponent == 0 and not above:
        raise ZeroDivisionError
    return raised(above, exponent), raised(below, exponent)


def raised(polynomial: Polynomial, exponent: int) -> Polynomial:
    result = ONE
    for _ in range(exponent):
        result = multiply(result, polynomial)
    return result


def add(first: Polynomial, second: Polynomial) -> Polynomial:
    result = dict(first)
    for monomial, coefficient in second.items():
        total = result.get(monomial, Fraction(0)) + coefficient
        if total:
            result[monomial] = total
        else:
            result.pop(monomial, None)
    return result


def scale(polynomial: Polynomial, by: Fraction) -> Polynomial:
    return {monomial: coefficient * by for monomial, coefficient in polynomial.items() if by}


def multiply(first: Polynomial, second: Polynomial) -> Polynomial:
    if len(first) * len(second) > 20 * MAX_TERMS:
        raise Unreadable("too many terms")
    result: dict[Monomial, Fraction] = {}
    for left, one in first.items():
        for right, other in second.items():
            monomial = _times(left, right)
            total = result.get(monomial, Fraction(0)) + one * other
            if total.numerator.bit_length() > _MAX_COEFFICIENT_BITS:
                raise Unreadable("a number too large")
            result[monomial] = total
    result = {monomial: value for monomial, value in result.items() if value}
    if len(result) > MAX_TERMS:
        raise Unreadable("too many terms")
    return result


def _times(first: Monomial, second: Monomial) -> Monomial:
    powers = dict(first)
    for name, power in second:
        powers[name] = powers.get(name, 0) + power
        if powers[name] > MAX_DEGREE:
            raise Unreadable("a power too large")
    return tuple(sorted(powers.items()))


def degree(polynomial: Polynomial) -> int:
    """Total degree; -1 for zero."""
    return max((sum(power for _, power in monomial) for monomial in polynomial), default=-1)


def unknowns(polynomial: Polynomial) -> frozenset[str]:
    return frozenset(name for monomial in polynomial for name, _ in monomial)


def coefficients(polynomial: Polynomial, name: str) -> list[Polynomial]:
    """By powers of ``name``, the constant one first; each is free of it."""
    found: dict[int, dict[Monomial, Fraction]] = {}
    for monomial, value in polynomial.items():
        rest = tuple((other, power) for other, power in monomial if other != name)
        found.setdefault(dict(monomial).get(name, 0), {})[rest] = value
    return [found.get(power, {}) for power in range(max(found, default=-1) + 1)]


def univariate(polynomial: Polynomial, name: str) -> list[Fraction]:
    """Coefficients of a polynomial in ``name`` alone, the constant one first."""
    return [each.get((), Fraction(0)) for each in coefficients(polynomial, name)]


def distinct_real_roots(values: Sequence[Fraction]) -> int:
    """How many different real roots the polynomial with these coefficients (constant first, not
    all zero) has: sign changes of Sturm's chain at minus infinity less those at infinity."""
    chain = [_trimmed(values)]
    derived = _trimmed([power * value for power, value in enumerate(values)][1:])
    if derived:
        chain.append(derived)
    while len(chain) > 1 and len(chain[-1]) > 1:
        rest = _remainder(chain[-2], chain[-1])
        if not rest:
            break
        chain.append([-value for value in rest])
    at_infinity = [each[-1] for each in chain]
    below = [each[-1] * (-1) ** (len(each) - 1) for each in chain]
    return _changes(below) - _changes(at_infinity)


def _changes(signs: Sequence[Fraction]) -> int:
    return sum((one > 0) != (other > 0) for one, other in pairwise(signs))


def _trimmed(values: Sequence[Fraction]) -> list[Fraction]:
    last = max((index for index, value in enumerate(values) if value), default=-1)
    return list(values[: last + 1])


def _remainder(first: Sequence[Fraction], second: Sequence[Fraction]) -> list[Fraction]:
    rest = list(first)
    while len(rest) >= len(second):
        factor, shift = rest[-1] / second[-1], len(rest) - len(second)
        for index, value in enumerate(second):
            rest[shift + index] -= factor * value
        rest = _trimmed(rest[:-1])
    return rest
