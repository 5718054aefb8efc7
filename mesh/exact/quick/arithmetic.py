"""Exact rational arithmetic on small trees, with a limit on everything that can grow.

Values are fractions. Roots and fractional powers that are not rational are carried to 80 digits
and marked inexact; an inexact value meets only exact ones after that, so that no cancellation can
turn lost digits into an answer.
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from math import factorial, gcd, lcm
from typing import Literal

MOST_BITS = 1400  # about 420 digits in numerator or denominator
MOST_FACTORIAL = 200
_DIGITS = 80
_MOST_ROOT = 12

Sign = Literal["+", "-", "*", "/", "^", "mod", "root", "gcd", "lcm"]
UNDEFINED = "undefined: division by zero"


@dataclass(frozen=True, slots=True)
class Number:
    value: Fraction


@dataclass(frozen=True, slots=True)
class Negative:
    of: Expression


@dataclass(frozen=True, slots=True)
class Factorial:
    of: Expression


@dataclass(frozen=True, slots=True)
class Operation:
    """``root``: the ``right``-th root of ``left``."""

    sign: Sign
    left: Expression
    right: Expression


Expression = Number | Negative | Factorial | Operation


@dataclass(frozen=True, slots=True)
class Value:
    value: Fraction
    exact: bool = True


class Unanswerable(Exception):
    """The expression has no value that is given here; ``undefined``: it divides by zero."""

    def __init__(self, why: str, *, undefined: bool = False) -> None:
        super().__init__(why)
        self.why = why
        self.undefined = undefined


def evaluate(expression: Expression) -> Value:
    """Raises ``Unanswerable``. The parser bounds the depth, and each step bounds its result."""
    match expression:
        case Number(value):
            return Value(value)
        case Negative(of):
            inner = evaluate(of)
            return Value(-inner.value, inner.exact)
        case Factorial(of):
            return _factorial(evaluate(of))
        case Operation(sign, left, right):
            result = _operate(sign, evaluate(left), evaluate(right))
            if max(_bits(result.value.numerator), _bits(result.value.denominator)) > MOST_BITS:
                raise Unanswerable("the result is too large to be written out")
            return result


def _bits(number: int) -> int:
    return number.bit_length()


def _operate(sign: Sign, left: Value, right: Value) -> Value:
    if not left.exact and not right.exact:
        raise Unanswerable("two rounded values meet")
    exact = left.exact and right.exact
    a, b = left.value, right.value
    match sign:
        case "+":
            return Value(a + b, exact)
        case "-":
            return Value(a - b, exact)
        case "*":
            return Value(a * b, exact or a == 0 or b == 0)
        case "/":
            if b == 0:
                raise Unanswerable(UNDEFINED, undefined=True)
            return Value(a / b, exact)
        case "^":
            return _power(left, right)
        case "root":
            if not exact or b.denominator != 1:
                raise Unanswerable("this root is not taken")
            return _root(a, b.numerator)
        case "mod" | "gcd" | "lcm":
            return _whole(sign, left, right)


def _whole(sign: Sign, left: Value, right: Value) -> Value:
    if not (left.exact and right.exact) or left.value.denominator != 1 != right.value.denominator:
        raise Unanswerable(f"'{sign}' is for whole numbers")
    if left.value.denominator != 1 or right.value.denominator != 1:
        raise Unanswerable(f"'{sign}' is for whole numbers")
    a, b = left.value.numerator, right.value.numerator
    if sign == "mod":
        if b == 0:
            raise Unanswerable(UNDEFINED, undefined=True)
        if a < 0 or b < 0:  # its sign is a matter of taste
            raise Unanswerable("a remainder of negative numbers has no one meaning")
        return Value(Fraction(a % b))
    if a <= 0 or b <= 0:
        raise Unanswerable(f"'{sign}' is for positive numbers")
    return Value(Fraction(gcd(a, b) if sign == "gcd" else lcm(a, b)))


def _factorial(of: Value) -> Value:
    if not of.exact or of.value.denominator != 1 or not 0 <= of.value <= MOST_FACTORIAL:
        raise Unanswerable(f"factorials are of whole numbers from 0 to {MOST_FACTORIAL}")
    return Value(Fraction(factorial(of.value.numerator)))


def _power(base: Value, exponent: Value) -> Value:
    if not (base.exact and exponent.exact):
        raise Unanswerable("a rounded value in a power")
    a, e = base.value, exponent.value
    if a == 0:
        if e < 0:
            raise Unanswerable(UNDEFINED, undefined=True)
        if e == 0:
            raise Unanswerable("0 to the power of 0 has no one meaning")
        return Value(Fraction(0))
    if e.denominator > _MOST_ROOT:
        raise Unanswerable("this root is not taken")
    widest = max(_bits(a.numerator), _bits(a.denominator))
    # a is +-1 or has at least two bits in one part; before anything is multiplied out.
    if abs(a) != 1 and (widest - 1) * abs(e.numerator) > MOST_BITS:
        raise Unanswerable("the result is too large to be written out")
    if e.denominator == 1:
        odd = e.numerator % 2
        if abs(a) == 1:
            return Value(a if odd else Fraction(1))
        return Value(a**e.numerator)
    if a < 0:
        raise Unanswerable("a fractional power of a negative number")
    return _root(Fraction(a**e.numerator), e.denominator)


def _root(a: Fraction, degree: int) -> Value:
    if not 2 <= degree <= _MOST_ROOT:
        raise Unanswerable("this root is not taken")
    if a < 0:
        if degree % 2 == 0:
            raise Unanswerable("an even root of a negative number is not real")
        positive = _root(-a, degree)
        return Value(-positive.value, positive.exact)
    top, bottom = _floor_root(a.numerator, degree), _floor_root(a.denominator, degree)
    if top**degree == a.numerator and bottom**degree == a.denominator:
        return Value(Fraction(top, bottom))
    # Enough digits whatever the size: the root of a scaled whole number has half the scale's.
    scale: int = 10 ** (_DIGITS + len(str(a.denominator)))
    return Value(
        Fraction(_floor_root(a.numerator * scale**degree // a.denominator, degree), scale), False
    )


def _floor_root(number: int, degree: int) -> int:
    """The largest whole r with r**degree <= number. Newton's method from above, which falls until
    it is there (Cohen, A Course in Computational Algebraic Number Theory, algorithm 1.7.1)."""
    if number < 2:
        return number
    guess: int = 1 << -(-_bits(number) // degree)
    while True:
        better: int = ((degree - 1) * guess + number // guess ** (degree - 1)) // degree
        if better >= guess:
            return guess
        guess = better
