"""Expressions as the parser reads them: a small tree, and nothing evaluated.

Pure, and free of sympy, so that the parent may read a prompt and only the child pays for solving.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from fractions import Fraction


class Unreadable(ValueError):
    """The text is not, as a whole, one expression of this language, or is past a limit."""


@dataclass(frozen=True, slots=True)
class Number:
    value: Fraction


@dataclass(frozen=True, slots=True)
class Name:
    """A variable."""

    name: str


@dataclass(frozen=True, slots=True)
class Constant:
    """``pi``, ``e`` or ``infinity``; in logic ``true`` or ``false``."""

    name: str


@dataclass(frozen=True, slots=True)
class Negative:
    of: Expression


@dataclass(frozen=True, slots=True)
class Binary:
    """``operator``: one of ``+ - * / ^``, or a connective of logic."""

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


def rebuilt(tree: Expression, by: Callable[[Expression], Expression]) -> Expression:
    """``tree`` with each of its parts put through ``by``."""
    match tree:
        case Negative(of=of):
            return Negative(by(of))
        case Binary(operator=operator, left=left, right=right):
            return Binary(operator, by(left), by(right))
        case Call(function=function, arguments=arguments):
            return Call(function, tuple(map(by, arguments)))
        case _:
            return tree


def replace(tree: Expression, by: Mapping[str, Expression]) -> Expression:
    """``tree`` with variables replaced, all at once."""
    if isinstance(tree, Name):
        return by.get(tree.name, tree)
    return rebuilt(tree, lambda part: replace(part, by))
