"""Formulas of propositional logic: their parser, and their truth by table.

Symbols bind as usual: not, and, or, implies, iff. In words "p and q or r" may be read in two ways
and is refused; so is any other mixture without brackets, and every chain of implications.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from mesh.exact.solver.tree import Unreadable

MAX_CHARACTERS = 400
MAX_ATOMS = 10
_MAX_DEPTH = 30


@dataclass(frozen=True, slots=True)
class Atom:
    name: str


@dataclass(frozen=True, slots=True)
class Truth:
    value: bool


@dataclass(frozen=True, slots=True)
class Not:
    of: Formula


@dataclass(frozen=True, slots=True)
class Connected:
    """``connective``: and, or, xor, implies, iff."""

    connective: str
    left: Formula
    right: Formula


Formula = Atom | Truth | Not | Connected

_TOKEN = re.compile(
    r"\s*(?:(?P<sign><->|<=>|->|=>|[→⇒↔⇔≡∧∨¬⊕~!()\[\]&|^]|&&|\|\||/\\|\\/)"
    r"|\\(?P<command>[A-Za-z]+)|(?P<word>[A-Za-z]+))"
)
_SIGNS = {
    **dict.fromkeys(("<->", "<=>", "↔", "⇔", "≡"), "iff"),
    **dict.fromkeys(("->", "=>", "→", "⇒"), "implies"),
    **dict.fromkeys(("∧", "&", "&&", "/\\", "^"), "and"),
    **dict.fromkeys(("∨", "|", "||", "\\/"), "or"),
    **dict.fromkeys(("¬", "~", "!"), "not"),
    "⊕": "xor",
    "[": "(",
    "]": ")",
}
_COMMANDS = {
    **dict.fromkeys(("land", "wedge"), "and"),
    **dict.fromkeys(("lor", "vee"), "or"),
    **dict.fromkeys(("lnot", "neg"), "not"),
    **dict.fromkeys(("to", "rightarrow", "Rightarrow", "implies"), "implies"),
    **dict.fromkeys(("leftrightarrow", "Leftrightarrow", "iff"), "iff"),
    "oplus": "xor",
}
_WORDS = {"and": "and", "or": "or", "not": "not", "xor": "xor", "implies": "implies", "iff": "iff"}
_BINDING = {"iff": 1, "implies": 2, "or": 3, "xor": 3, "and": 4}
_IFF = re.compile(r"\bif and only if\b", re.IGNORECASE)
_V = re.compile(r"(?<=[\w)\]]) v (?=[\w~!¬(\[])")  # the typist's or


@dataclass(frozen=True, slots=True)
class _Token:
    text: str
    symbol: bool


def formula(text: str) -> Formula:
    """The whole text. Raises ``Unreadable``."""
    if len(text) > MAX_CHARACTERS:
        raise Unreadable("too long")
    text = text.strip()
    if text.startswith("$") and text.endswith("$"):
        text = text.strip("$")
    found = _tokens(_V.sub(" | ", _IFF.sub("iff", text)))
    parser = _Parser(found)
    tree = parser.whole()
    if len(atoms(tree)) > MAX_ATOMS:
        raise Unreadable("too many atoms")
    return tree


def _tokens(text: str) -> list[_Token]:
    found: list[_Token] = []
    position, end = 0, len(text.rstrip())
    while position < end:
        match = _TOKEN.match(text, position)
        if match is None:
            raise Unreadable(f"'{text[position : position + 10]}' is no logic")
        position = match.end()
        if (sign := match["sign"]) is not None:
            found.append(_Token(_SIGNS.get(sign, sign), True))
        elif (command := match["command"]) is not None:
            if command not in _COMMANDS:
                raise Unreadable(f"'\\{command}' is not read")
            found.append(_Token(_COMMANDS[command], True))
        else:
            word = match["word"]
            found.append(_Token(_WORDS.get(word.lower(), word), False))
    return found


class _Parser:
    def __init__(self, found: list[_Token]) -> None:
        self._tokens = found
        self._at = 0
        self._depth = 0

    def whole(self) -> Formula:
        tree = self._level()
        if self._at < len(self._tokens):
            raise Unreadable(f"'{self._tokens[self._at].text}' is one too many")
        return tree

    def _peek(self) -> str:
        return self._tokens[self._at].text.lower() if self._at < len(self._tokens) else ""

    def _level(self) -> Formula:
        """Operands and connectives up to a closing bracket, put together by how they bind."""
        self._depth += 1
        if self._depth > _MAX_DEPTH:
            raise Unreadable("too deep")
        operands, connectives = [self._operand()], []
        while self._at < len(self._tokens) and self._peek() in _BINDING:
            connectives.append(self._tokens[self._at])
            self._at += 1
            operands.append(self._operand())
        self._depth -= 1
        kinds = {token.text for token in connectives}
        if len(kinds) > 1 and not all(token.symbol for token in connectives):
            raise Unreadable("words that bind in two ways without brackets")
        if len({"or", "xor"} & kinds) > 1:
            raise Unreadable("'or' and 'xor' without brackets")
        for loose in ("implies", "iff"):
            if sum(token.text == loose for token in connectives) > 1:
                raise Unreadable("a chain of implications without brackets")
        return _bound(operands, [token.text for token in connectives])

    def _operand(self) -> Formula:
        negations = 0
        while self._peek() == "not":
            negations += 1
            self._at += 1
            if negations > _MAX_DEPTH:
                raise Unreadable("too deep")
        tree = self._plain_operand()
        for _ in range(negations):
            tree = Not(tree)
        return tree

    def _plain_operand(self) -> Formula:
        if self._at >= len(self._tokens):
            raise Unreadable("it ends too early")
        token = self._tokens[self._at]
        self._at += 1
        if token.text == "(":
            tree = self._level()
            if self._peek() != ")":
                raise Unreadable("')' is missing")
            self._at += 1
            return tree
        if token.text == "if" and not token.symbol:
            return self._conditional()
        if token.symbol or token.text in _BINDING:
            raise Unreadable(f"'{token.text}' is out of place")
        if token.text.lower() in ("true", "false"):
            return Truth(token.text.lower() == "true")
        if len(token.text) != 1:
            raise Unreadable(f"'{token.text}' is a word")
        return Atom(token.text)

    def _conditional(self) -> Formula:
        """``if p then q``, both without connectives of their own unless in brackets."""
        left = self._operand()
        if self._peek() != "then":
            raise Unreadable("'then' is missing")
        self._at += 1
        right = self._operand()
        if self._peek() in _BINDING:
            raise Unreadable("where the conditional ends may be read in two ways")
        return Connected("implies", left, right)


def _bound(operands: list[Formula], connectives: list[str]) -> Formula:
    if not connectives:
        return operands[0]
    loosest = min(_BINDING[each] for each in connectives)
    at = max(i for i, each in enumerate(connectives) if _BINDING[each] == loosest)
    left = _bound(operands[: at + 1], connectives[:at])
    right = _bound(operands[at + 1 :], connectives[at + 1 :])
    return Connected(connectives[at], left, right)


def atoms(*trees: Formula) -> frozenset[str]:
    found: set[str] = set()
    waiting = list(trees)
    while waiting:
        match waiting.pop():
            case Atom(name=name):
                found.add(name)
            case Not(of=of):
                waiting.append(of)
            case Connected(left=left, right=right):
                waiting += [left, right]
            case Truth():
                pass
    return frozenset(found)


def true(tree: Formula, at: Mapping[str, bool]) -> bool:
    """By the truth table of each connective."""
    match tree:
        case Atom(name=name):
            return at[name]
        case Truth(value=value):
            return value
        case Not(of=of):
            return not true(of, at)
        case Connected(connective=connective, left=left, right=right):
            first, second = true(left, at), true(right, at)
            match connective:
                case "and":
                    return first and second
                case "or":
                    return first or second
                case "xor":
                    return first != second
                case "implies":
                    return second or not first
            return first == second
