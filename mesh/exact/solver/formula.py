"""Formulas of propositional logic: their parser, and their truth by table. Trees are those of
``tree``, with the connectives as operators, ``not`` as a call and names as atoms.

Symbols bind as usual: not, and, or, implies, iff. In words "p and q or r" may be read in two ways
and is refused; so is any other mixture without brackets, and every chain of implications.
"""

from __future__ import annotations

import operator
import re
from collections.abc import Mapping
from dataclasses import dataclass

from mesh.exact.expression.tree import Binary, Call, Constant, Expression, Name, Unreadable, names

MAX_CHARACTERS = 400
MAX_ATOMS = 10
_MAX_DEPTH = 30

_TOKEN = re.compile(
    r"\s*(?:(?P<sign><->|<=>|->|=>|[→⇒↔⇔≡∧∨¬⊕~!()\[\]&|^]|&&|\|\||/\\|\\/)"
    r"|\\(?P<command>[A-Za-z]+)|(?P<word>[A-Za-z]+))"
)
_MEANS = {
    "iff": "<-> <=> ↔ ⇔ ≡ leftrightarrow Leftrightarrow iff",
    "implies": "-> => → ⇒ to rightarrow Rightarrow implies",
    "and": "∧ & && /\\ ^ land wedge",
    "or": "∨ | || \\/ lor vee",
    "not": "¬ ~ ! lnot neg",
    "xor": "⊕ oplus",
    "(": "( [",
    ")": ") ]",
}
_SYMBOLS = {symbol: meant for meant, symbols in _MEANS.items() for symbol in symbols.split()}
_BINDING = {"iff": 1, "implies": 2, "or": 3, "xor": 3, "and": 4}
_WORDS = frozenset(("not", *_BINDING))
_IFF = re.compile(r"\bif and only if\b", re.IGNORECASE)
_V = re.compile(r"(?<=[\w)\]]) v (?=[\w~!¬(\[])")  # the typist's or
_TABLES = {
    "and": operator.and_,
    "or": operator.or_,
    "xor": operator.ne,
    "implies": operator.le,
    "iff": operator.eq,
}


@dataclass(frozen=True, slots=True)
class _Token:
    text: str
    symbol: bool


def formula(text: str) -> Expression:
    """The whole text. Raises ``Unreadable``."""
    if len(text) > MAX_CHARACTERS:
        raise Unreadable("too long")
    text = text.strip()
    if text.startswith("$") and text.endswith("$"):
        text = text.strip("$")
    parser = _Parser(_tokens(_V.sub(" | ", _IFF.sub("iff", text))))
    tree = parser.level(_MAX_DEPTH)
    if parser.peek():
        raise Unreadable(f"'{parser.peek()}' is one too many")
    if len(names(tree)) > MAX_ATOMS:
        raise Unreadable("too many atoms")
    return tree


def true(tree: Expression, at: Mapping[str, bool]) -> bool:
    """By the truth table of each connective."""
    match tree:
        case Name(name=name):
            return at[name]
        case Call(arguments=(of,)):
            return not true(of, at)
        case Binary(operator=connective, left=left, right=right):
            return bool(_TABLES[connective](true(left, at), true(right, at)))
        case _:
            return tree == Constant("true")


def _tokens(text: str) -> list[_Token]:
    found: list[_Token] = []
    position, end = 0, len(text.rstrip())
    while position < end:
        match = _TOKEN.match(text, position)
        if match is None:
            raise Unreadable(f"'{text[position : position + 10]}' is no logic")
        position = match.end()
        if (word := match["word"]) is not None:
            found.append(_Token(word.lower() if word.lower() in _WORDS else word, False))
        elif (symbol := match["sign"] or match["command"]) in _SYMBOLS:
            found.append(_Token(_SYMBOLS[symbol], True))
        else:
            raise Unreadable(f"'{symbol}' is not read")
    return found


class _Parser:
    def __init__(self, found: list[_Token]) -> None:
        self._tokens = found
        self._at = 0

    def peek(self) -> str:
        return self._tokens[self._at].text if self._at < len(self._tokens) else ""

    def level(self, depth: int) -> Expression:
        """Operands and connectives up to a closing bracket, put together by how they bind."""
        if depth == 0:
            raise Unreadable("too deep")
        operands, connectives = [self._operand(depth)], []
        while self.peek() in _BINDING:
            connectives.append(self._tokens[self._at])
            self._at += 1
            operands.append(self._operand(depth))
        texts = [token.text for token in connectives]
        if len(set(texts)) > 1 and not all(token.symbol for token in connectives):
            raise Unreadable("words that bind in two ways without brackets")
        if {"or", "xor"} <= set(texts):
            raise Unreadable("'or' and 'xor' without brackets")
        if texts.count("implies") > 1 or texts.count("iff") > 1:
            raise Unreadable("a chain of implications without brackets")
        return _bound(operands, texts)

    def _operand(self, depth: int) -> Expression:
        if not self.peek() or depth == 0:
            raise Unreadable("it ends too early, or is too deep")
        token = self._tokens[self._at]
        self._at += 1
        match token.text.lower():
            case "not":
                return Call("not", (self._operand(depth - 1),))
            case "(":
                tree = self.level(depth - 1)
                self._expect(")")
                return tree
            case "if":
                return self._conditional(depth - 1)
            case "true" | "false" as truth:
                return Constant(truth)
        if token.symbol or token.text in _BINDING or len(token.text) != 1:
            raise Unreadable(f"'{token.text}' is out of place")
        return Name(token.text)

    def _conditional(self, depth: int) -> Expression:
        """``if p then q``, both without connectives of their own unless in brackets."""
        left = self._operand(depth)
        self._expect("then")
        right = self._operand(depth)
        if self.peek() in _BINDING:
            raise Unreadable("where the conditional ends may be read in two ways")
        return Binary("implies", left, right)

    def _expect(self, text: str) -> None:
        if self.peek().lower() != text:
            raise Unreadable(f"'{text}' is missing")
        self._at += 1


def _bound(operands: list[Expression], connectives: list[str]) -> Expression:
    if not connectives:
        return operands[0]
    loosest = min(_BINDING[each] for each in connectives)
    at = max(i for i, each in enumerate(connectives) if _BINDING[each] == loosest)
    left = _bound(operands[: at + 1], connectives[:at])
    return Binary(connectives[at], left, _bound(operands[at + 1 :], connectives[at + 1 :]))
