"""Text to a tree: a parser of its own, since ``sympify`` and ``eval`` run what they are given.

It refuses what people read in two ways: ``1/2x``, ``6/2(1+2)``, ``a^b^c``, ``sin x/2``, ``e^2x``,
``log x`` without a base. A refusal costs nothing; a wrong reading would be a wrong answer.
"""

from __future__ import annotations

from collections.abc import Collection

from mesh.exact.expression.grammar import Parser
from mesh.exact.expression.lex import tokens
from mesh.exact.expression.tree import Constant, Expression, Name, Relation, Unreadable, walk
from mesh.exact.expression.value import check

_RELATIONS = ("=", "<", "<=", ">", ">=")


def expression(text: str, *, defined: Collection[str] = (), euler: bool = False) -> Expression:
    """The whole text as one expression. ``defined``: names that are functions here, such as ``f``.
    ``euler``: ``e`` is always the number, as in our own answers. Raises ``Unreadable``."""
    parser = Parser(*tokens(text), defined=defined, euler=euler)
    tree = parser.sum()
    parser.end()
    check(tree)
    return tree


def relations(text: str) -> tuple[Relation, ...]:
    """The whole text as ``a = b``, or as a chain of such. Raises ``Unreadable``."""
    parser = Parser(*tokens(text))
    chain: list[Relation] = []
    left = parser.sum()
    while (sign := parser.take_any(_RELATIONS)) is not None:
        right = parser.sum()
        chain.append(Relation(sign, left, right))
        left = right
    parser.end()
    for relation in chain:
        check(relation.left)
        check(relation.right)
    if not chain:
        raise Unreadable("no equation")
    return tuple(chain)


def arithmetic(text: str) -> Expression:
    """A sum of figures as people type it, whose blanks must not say otherwise than precedence:
    ``1+2 * 3`` and ``12 / 3/4`` mean one thing to the rules, another to the eye. Nor is anything
    read that calculators read in two ways, such as ``-2^2``, ``2(3)`` and ``√16 + 9``. Not yet
    checked for its size. Raises ``Unreadable``."""
    parser = Parser(tokens(text)[0], plain=True)
    tree = parser.sum()
    parser.end()
    if any(isinstance(node, Name | Constant) for node in walk(tree)):
        raise Unreadable("more than figures")
    return tree


def read(text: str, *, defined: Collection[str] = ()) -> Expression | None:
    """As ``expression``; None for what cannot be read."""
    try:
        return expression(text, defined=defined)
    except Unreadable:
        return None
