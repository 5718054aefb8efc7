"""What a tree of numbers is worth, in exact fractions, with a limit on everything that can grow.

Roots and fractional powers that are not rational are carried to 80 digits and marked inexact; an
inexact value meets only exact ones after that, so that no cancellation can turn lost digits into an
answer.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from math import factorial, gcd, lcm

from mesh.exact.expression.tree import (
    Binary,
    Call,
    Expression,
    Name,
    Negative,
    Number,
    Unreadable,
    names,
    parts,
    walk,
)

MAX_BITS = 8192  # of numerator or denominator
MAX_FACTORIAL = 200
_MAX_NODES = 250
_MAX_DEPTH = 40
_MAX_POWER_OF_NAME = 10_000  # x^10000
_MAX_POWER = 60  # (x + 1)^60
_DIGITS = 80
_MOST_ROOT = 12


class Undefined(ArithmeticError):
    """The expression has no real value at that point. ``division``: it divides by zero."""

    def __init__(self, why: str, *, division: bool = False) -> None:
        super().__init__(why)
        self.division = division


class Unknown(ArithmeticError):
    """It may have a value, which is not found in fractions."""


@dataclass(frozen=True, slots=True)
class Value:
    value: Fraction
    exact: bool = True


_DIVISION = "undefined: division by zero"


def exact(tree: Expression, at: Mapping[str, Fraction]) -> Fraction | None:
    """The value as a fraction; None where it is none (a root, pi). Raises as ``evaluate``, but for
    ``Unknown``."""
    try:
        found = evaluate(tree, at)
    except Unknown:
        return None
    return found.value if found.exact else None


def constant(tree: Expression) -> Fraction | None:
    """The exact value of a tree of numbers alone; None where it has none. Raises ``Unreadable``
    when a number in it would be too large to work out."""
    try:
        return None if names(tree) else exact(tree, {})
    except Undefined:
        return None


def evaluate(
    tree: Expression, at: Mapping[str, Fraction] | None = None, bits: int = MAX_BITS
) -> Value:
    """``bits``: the most that a number may have. Raises ``Undefined``, ``Unknown``, ``Unreadable``
    for a number too large, ``KeyError`` for a name without value. The parser bounds the depth."""
    match tree:
        case Number(value=value):
            return Value(value)
        case Name(name=name):
            return Value((at or {})[name])
        case Negative(of=of):
            inner = evaluate(of, at, bits)
            return Value(-inner.value, inner.exact)
        case Binary(operator=operator, left=left, right=right):
            found = _operate(operator, evaluate(left, at, bits), evaluate(right, at, bits), bits)
        case Call(function=function, arguments=arguments):
            found = _call(function, [evaluate(each, at, bits) for each in arguments])
        case _:
            raise Unknown("it is no fraction")
    if max(found.value.numerator.bit_length(), found.value.denominator.bit_length()) > bits:
        raise Unreadable("the result is too large to be written out")
    return found


def _operate(operator: str, left: Value, right: Value, bits: int) -> Value:
    if not left.exact and not right.exact:
        raise Unknown("two rounded values meet")
    both = left.exact and right.exact
    a, b = left.value, right.value
    match operator:
        case "+":
            return Value(a + b, both)
        case "-":
            return Value(a - b, both)
        case "*":
            return Value(a * b, both or a == 0 or b == 0)
        case "/":
            if b == 0:
                raise Undefined(_DIVISION, division=True)
            return Value(a / b, both)
    if not both:
        raise Unknown("a rounded value in a power")
    return _power(a, b, bits)


def _power(base: Fraction, exponent: Fraction, bits: int) -> Value:
    if base == 0:
        if exponent < 0:
            raise Undefined(_DIVISION, division=True)
        if exponent == 0:
            raise Undefined("0 to the power of 0 has no one meaning")
        return Value(base)
    if exponent.denominator > _MOST_ROOT:
        raise Unknown("this root is not taken")
    widest = max(base.numerator.bit_length(), base.denominator.bit_length())
    # The base is +-1 or has at least two bits in one part; before anything is multiplied out.
    if abs(base) != 1 and (widest - 1) * abs(exponent.numerator) > bits:
        raise Unreadable("the result is too large to be written out")
    if base < 0 and exponent.denominator != 1:
        raise Undefined("a fractional power of a negative number")
    if abs(base) == 1:
        return Value(base if exponent.numerator % 2 else Fraction(1))
    power = Fraction(base**exponent.numerator)
    return Value(power) if exponent.denominator == 1 else _root(power, exponent.denominator)


def _call(function: str, values: Sequence[Value]) -> Value:
    if function == "abs":
        return Value(abs(values[0].value), values[0].exact)
    if not all(each.exact for each in values):
        raise Unknown(f"'{function}' of a rounded value")
    first = values[0].value
    match function:
        case "sqrt":
            return _root(first, 2)
        case "cbrt":
            return _root(first, 3)
        case "root":
            degree = values[1].value
            if degree.denominator != 1:
                raise Unknown("this root is not taken")
            return _root(first, degree.numerator)
        case "factorial":
            if first.denominator != 1 or first < 0:
                raise Undefined("factorials are of whole numbers from 0 on")
            if first > MAX_FACTORIAL:
                raise Unreadable(f"factorials are of whole numbers to {MAX_FACTORIAL}")
            return Value(Fraction(factorial(first.numerator)))
        case "mod" | "gcd" | "lcm":
            return _whole(function, first, values[1].value)
    raise Unknown(f"'{function}' is no fraction")


def _whole(function: str, left: Fraction, right: Fraction) -> Value:
    if left.denominator != 1 or right.denominator != 1:
        raise Undefined(f"'{function}' is for whole numbers")
    a, b = left.numerator, right.numerator
    if function == "mod":
        if b == 0:
            raise Undefined(_DIVISION, division=True)
        if a < 0 or b < 0:  # its sign is a matter of taste
            raise Undefined("a remainder of negative numbers has no one meaning")
        return Value(Fraction(a % b))
    if a <= 0 or b <= 0:
        raise Undefined(f"'{function}' is for positive numbers")
    return Value(Fraction(gcd(a, b) if function == "gcd" else lcm(a, b)))


def exact_root(of: Fraction, degree: int) -> Fraction | None:
    """The root of a number that is not negative, where it is a fraction."""
    top, bottom = _floor_root(of.numerator, degree), _floor_root(of.denominator, degree)
    right = top**degree == of.numerator and bottom**degree == of.denominator
    return Fraction(top, bottom) if right else None


def _root(a: Fraction, degree: int) -> Value:
    if not 2 <= degree <= _MOST_ROOT:
        raise Unknown("this root is not taken")
    if a < 0:
        if degree % 2 == 0:
            raise Undefined("an even root of a negative number is not real")
        positive = _root(-a, degree)
        return Value(-positive.value, positive.exact)
    if (found := exact_root(a, degree)) is not None:
        return Value(found)
    # Enough digits whatever the size: the root of a scaled whole number has half the scale's.
    scale: int = 10 ** (_DIGITS + len(str(a.denominator)))
    scaled = _floor_root(a.numerator * scale**degree // a.denominator, degree)
    return Value(Fraction(scaled, scale), False)


def _floor_root(number: int, degree: int) -> int:
    """The largest whole r with r**degree <= number. Newton's method from above, which falls until
    it is there (Cohen, A Course in Computational Algebraic Number Theory, algorithm 1.7.1)."""
    if number < 2:
        return number
    guess: int = 1 << -(-number.bit_length() // degree)
    while True:
        better: int = ((degree - 1) * guess + number // guess ** (degree - 1)) // degree
        if better >= guess:
            return guess
        guess = better


def check(tree: Expression) -> None:
    """Raises ``Unreadable`` when the tree is too large, or has a power that would be too large, or
    that would be or may be 0^0."""
    for count, node in enumerate(walk(tree)):
        if count >= _MAX_NODES:
            raise Unreadable("too many terms")
        if isinstance(node, Binary) and node.operator == "^":
            _check_power(node)
    level: tuple[Expression, ...] = (tree,)
    for _ in range(_MAX_DEPTH):
        level = tuple(part for node in level for part in parts(node))
        if not level:
            return
    raise Unreadable("too deep")


def _check_power(power: Binary) -> None:
    exponent = constant(power.right)
    if exponent is None:
        return
    base = constant(power.left)
    if exponent == 0 and (base == 0 or names(power.left)):
        # x^0 is 1 for every x, or for every x but 0: schools and libraries differ.
        raise Unreadable("what may be zero to the power of zero")
    if base is not None:
        constant(power)  # raises where it is too large
    elif abs(exponent) > (_MAX_POWER_OF_NAME if not parts(power.left) else _MAX_POWER):
        raise Unreadable("a power too large")
