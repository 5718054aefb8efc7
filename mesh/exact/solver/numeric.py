"""What a tree is worth at a point, to 40 digits: functions, pi and all. Child only.

Answers are checked with this: it shares neither parser nor simplification with sympy.
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Mapping, Sequence
from operator import add, mul, sub, truediv
from typing import Any

from mpmath import mp

from mesh.exact.expression.tree import (
    Binary,
    Call,
    Constant,
    Expression,
    Name,
    Negative,
    Number,
    names,
)
from mesh.exact.expression.value import MAX_FACTORIAL, Undefined

OPERATORS: dict[str, Callable[[Any, Any], Any]] = {
    "+": add,
    "-": sub,
    "*": mul,
    "/": truediv,
    "^": pow,
}
DIGITS = 40
_CLOSE = 10.0**-25  # relative; far above rounding at 40 digits, far below any honest difference
_MOST = 1e30  # of arguments and exponents; mpmath has any exponent, at a price


def numeric(tree: Expression, at: Mapping[str, Any]) -> Any:
    """The value as mpmath's ``mpf``, of ``DIGITS`` digits or what ``mp`` is set to. Raises
    ``Undefined``."""
    match tree:
        case Number(value=value):
            return mp.mpf(value.numerator) / value.denominator
        case Name(name=name):
            return at[name]
        case Constant(name="pi"):
            return +mp.pi
        case Constant(name="e"):
            return +mp.e
        case Constant():
            raise Undefined("infinity is no value")
        case Negative(of=of):
            return -numeric(of, at)
        case Binary(operator=operator, left=left, right=right):
            first, second = numeric(left, at), numeric(right, at)
            if operator == "/" and second == 0:
                raise Undefined("division by zero", division=True)
            return OPERATORS[operator](first, second) if operator != "^" else _power(first, second)
        case Call(function=function, arguments=arguments):
            return _call(function, [numeric(each, at) for each in arguments])


def _power(base: Any, exponent: Any) -> Any:
    if base == 0 and exponent <= 0:
        raise Undefined("zero to a power that is not positive")
    whole = exponent == mp.nint(exponent)
    if base < 0 and not whole:
        # (-8)^(1/3) is -2 to some and complex to others.
        raise Undefined("a negative number to a fractional power")
    if base and abs(exponent * mp.log(abs(base), 2)) > _MOST:
        raise Undefined("a number too large")
    return mp.power(base, int(exponent)) if whole else mp.power(base, exponent)


# By function: whether it has a value there, and which; its argument is no larger than ``_MOST``.
_FUNCTIONS: dict[str, tuple[Callable[[Any], bool], Callable[[Any], Any]]] = {
    "abs": (lambda _: True, abs),
    "ln": (lambda x: x > 0, mp.log),
    "factorial": (
        lambda x: x == mp.nint(x) and 0 <= x <= MAX_FACTORIAL,
        lambda x: mp.mpf(math.factorial(int(x))),
    ),
    "arcsin": (lambda x: abs(x) <= 1, mp.asin),
    "arccos": (lambda x: abs(x) <= 1, mp.acos),
    "arctan": (lambda _: True, mp.atan),
    **{
        name: (lambda x: abs(x) <= _MOST, getattr(mp, name))
        for name in ("exp", "sin", "cos", "sinh", "cosh", "tanh")
    },
}
_QUOTIENTS = {
    "tan": (mp.sin, mp.cos),
    "sec": (lambda _: mp.mpf(1), mp.cos),
    "csc": (lambda _: mp.mpf(1), mp.sin),
    "cot": (mp.cos, mp.sin),
}
_DEGREES = {"sqrt": 2, "cbrt": 3}


def _call(function: str, values: Sequence[Any]) -> Any:
    value = values[0]
    if function in _DEGREES or function == "root":
        return _root(value, mp.mpf(_DEGREES[function]) if len(values) == 1 else values[1])
    if function in _QUOTIENTS and abs(value) <= _MOST:
        above, below = (part(value) for part in _QUOTIENTS[function])
        if abs(below) < mp.mpf(10) ** (8 - mp.dps):
            raise Undefined("division by zero", division=True)
        return above / below
    defined, function_of = _FUNCTIONS.get(function, (lambda _: False, None))
    if not defined(value) or function_of is None:
        raise Undefined(f"no '{function}' of that, or a number too large")
    return function_of(value)


def _root(value: Any, degree: Any) -> Any:
    if degree != mp.nint(degree) or not 1 <= degree <= 1000:
        raise Undefined("a root whose degree is no small natural number")
    if value < 0:
        if int(degree) % 2 == 0:
            raise Undefined("the root of a negative number")
        return -mp.root(-value, int(degree))
    return mp.root(value, int(degree))


def close(first: Any, second: Any) -> bool:
    """Equal to 25 digits, or to 25 places near zero."""
    return bool(abs(first - second) <= _CLOSE * max(1, abs(first), abs(second)))


def same(
    first: Callable[[Mapping[str, Any]], Any],
    second: Callable[[Mapping[str, Any]], Any],
    of: frozenset[str],
    *,
    points: int = 8,
    seed: int = 7,
) -> bool:
    """Whether two functions agree wherever the first is defined, at ``points`` random points or,
    with no variables, at the one there is. False also when too few points are defined."""
    generator = random.Random(seed)
    agreed = 0
    wanted = points if of else 1
    with mp.workdps(DIGITS):
        for attempt in range(12 * wanted):
            spread = (3, 1, 12)[attempt % 3]
            at = {
                name: mp.mpf(generator.randint(-(10**9), 10**9)) * spread / 10**9
                for name in sorted(of)
            }
            if attempt % 2:
                at = {name: abs(value) + mp.mpf(1) / 7 for name, value in at.items()}
            try:
                value = first(at)
            except Undefined:
                continue
            try:
                if not close(value, second(at)):
                    return False
            except Undefined:
                return False
            agreed += 1
            if agreed >= wanted:
                return True
    return False


def same_trees(first: Expression, second: Expression) -> bool:
    """Whether ``second`` has ``first``'s value wherever that is defined."""
    if not names(second) <= names(first):
        return False
    return same(lambda at: numeric(first, at), lambda at: numeric(second, at), names(first))
