"""Expressions as the solver's parser reads them: a small tree with limits, and nothing evaluated.

Pure, and free of sympy, so that the parent may read a prompt and only the child pays for solving.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from fractions import Fraction

MAX_NODES = 250
MAX_DEPTH = 40
MAX_DIGITS = 400  # of one number; what a tool does with it may be limited further
MAX_POWER_OF_NAME = 10_000  # x^10000
MAX_POWER = 60  # (x + 1)^60
MAX_BITS = 8192  # of a number that a power of two numbers makes


class Unreadable(ValueError):
    """The text is not, as a whole, one expression of the solver's language, or is past a limit."""


@dataclass(frozen=True, slots=True)
class Number:
    value: Fraction


@dataclass(frozen=True, slots=True)
class Name:
    """A variable."""

    name: str


@dataclass(frozen=True, slots=True)
class Constant:
    """``pi``, ``e`` or ``infinity``."""

    name: str


@dataclass(frozen=True, slots=True)
class Negative:
    of: Expression


@dataclass(frozen=True, slots=True)
class Binary:
    """``operator``: one of ``+ - * / ^``."""

    operator: str
    left: Expression
    right: Expression


@dataclass(frozen=True, slots=True)
class Call:
    """``function``: a name of ``FUNCTIONS``, or one that the prompt itself defines."""

    function: str
    arguments: tuple[Expression, ...]


Expression = Number | Name | Constant | Negative | Binary | Call


@dataclass(frozen=True, slots=True)
class Relation:
    """``operator``: ``=``, ``<``, ``<=``, ``>`` or ``>=``."""

    operator: str
    left: Expression
    right: Expression


def parts(tree: Expression) -> tuple[Expression, ...]:
    match tree:
        case Negative(of=of):
            return (of,)
        case Binary(left=left, right=right):
            return (left, right)
        case Call(arguments=arguments):
            return arguments
        case _:
            return ()


def walk(tree: Expression) -> Iterator[Expression]:
    """Every node, without recursion."""
    waiting = [tree]
    while waiting:
        node = waiting.pop()
        yield node
        waiting.extend(parts(node))


def names(*trees: Expression) -> frozenset[str]:
    """Variables that occur."""
    return frozenset(node.name for tree in trees for node in walk(tree) if isinstance(node, Name))


def functions(*trees: Expression) -> frozenset[str]:
    """Functions that are called."""
    return frozenset(
        node.function for tree in trees for node in walk(tree) if isinstance(node, Call)
    )


def replace(tree: Expression, by: Mapping[str, Expression]) -> Expression:
    """``tree`` with variables replaced, all at once."""
    match tree:
        case Name(name=name):
            return by.get(name, tree)
        case Negative(of=of):
            return Negative(replace(of, by))
        case Binary(operator=operator, left=left, right=right):
            return Binary(operator, replace(left, by), replace(right, by))
        case Call(function=function, arguments=arguments):
            return Call(function, tuple(replace(each, by) for each in arguments))
        case _:
            return tree


def check(tree: Expression) -> None:
    """Raises ``Unreadable`` when the tree is too large, or has a power that would be or may be
    0^0."""
    for count, node in enumerate(walk(tree)):
        if count >= MAX_NODES:
            raise Unreadable("too many terms")
        if isinstance(node, Binary) and node.operator == "^":
            _check_power(node)
    _check_depth(tree)


def _check_depth(tree: Expression) -> None:
    level: tuple[Expression, ...] = (tree,)
    for _ in range(MAX_DEPTH):
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
        bits = max(base.numerator.bit_length(), base.denominator.bit_length())
        if bits > 1 and bits * abs(exponent) > MAX_BITS:
            raise Unreadable("a number too large")
    most = MAX_POWER_OF_NAME if isinstance(power.left, Name | Constant) else MAX_POWER
    if base is None and abs(exponent) > most:
        raise Unreadable("a power too large")


def constant(tree: Expression) -> Fraction | None:
    """The exact value of a tree of numbers alone; None where it has none. Raises ``Unreadable``
    when a number in it would be too large to work out."""
    match tree:
        case Number(value=value):
            return value
        case Negative(of=of):
            inner = constant(of)
            return None if inner is None else -inner
        case Binary(operator=operator, left=left, right=right):
            first, second = constant(left), constant(right)
            if first is None or second is None:
                return None
            return combine(operator, first, second)
        case _:
            return None


def combine(operator: str, left: Fraction, right: Fraction) -> Fraction | None:
    """Exact arithmetic on two numbers; None: undefined, or not a fraction (2^(1/2)). Raises
    ``Unreadable`` past ``MAX_BITS``."""
    match operator:
        case "+":
            value = left + right
        case "-":
            value = left - right
        case "*":
            value = left * right
        case "/":
            if right == 0:
                return None
            value = left / right
        case _:
            if right.denominator != 1 or (left == 0 and right <= 0):
                return None
            bits = max(left.numerator.bit_length(), left.denominator.bit_length())
            if bits > 1 and bits * abs(right) > MAX_BITS:
                raise Unreadable("a number too large")
            if bits <= 1:  # 0, 1 and -1 to a power that may have any size
                return left if right % 2 else left * left
            value = left ** int(right)
    if max(value.numerator.bit_length(), value.denominator.bit_length()) > 4 * MAX_BITS:
        raise Unreadable("a number too large")
    return value
