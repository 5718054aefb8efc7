"""Mathematical text into tokens: plain ASCII, a few Unicode signs, and the LaTeX of textbooks."""

from __future__ import annotations

import re
from collections.abc import Collection
from dataclasses import dataclass

from mesh.exact.solver.tree import MAX_DIGITS, Unreadable

MAX_CHARACTERS = 1200
MAX_TOKENS = 400

_SIGNS = str.maketrans(
    {
        "×": "*",
        "·": "*",
        "⋅": "*",
        "∙": "*",
        "÷": "/",
        "∕": "/",
        "−": "-",
        "–": "-",
        "＋": "+",
        "＝": "=",
        "π": " pi ",
        "∞": " infinity ",
        "√": " sqrt ",
        "≤": "<=",
        "≥": ">=",
        "°": "^\\circ ",
        "⁰": "^0",
        "¹": "^1",
        "²": "^2",
        "³": "^3",
        "⁴": "^4",
        "⁵": "^5",
        "⁶": "^6",
        "⁷": "^7",
        "⁸": "^8",
        "⁹": "^9",
        "’": "'",
    }
)
_SUPERSCRIPTS = re.compile("[⁰¹²³⁴⁵⁶⁷⁸⁹]{2}")
_LATEX_SPACE = re.compile(r"\\[,;:! ]|\\q?quad|~|\\displaystyle|\\limits")
_SIZES = re.compile(r"\\(?:left|right|[bB]igg?[lr]?)(?![a-zA-Z])")
_THOUSANDS = re.compile(r"(?<![\d.,])\d{1,3}(?:,\d{3})+(?![\d,])")
_TOKEN = re.compile(
    r"\s*(?:(?P<number>[0-9]+(?:\.[0-9]+)?|\.[0-9]+)|(?P<word>[A-Za-z]+)|\\(?P<command>[A-Za-z]+)"
    r"|(?P<sign>\*\*|<=|>=|[-+*/^()\[\]{}|,=<>!_']))"
)
_COMMANDS = {
    "cdot": "*",
    "times": "*",
    "div": "/",
    "le": "<=",
    "leq": "<=",
    "ge": ">=",
    "geq": ">=",
    "lt": "<",
    "gt": ">",
}
_WORD_COMMANDS = frozenset(
    (
        *("pi", "ln", "log", "exp", "sin", "cos", "tan", "sec", "csc", "cot"),
        *("arcsin", "arccos", "arctan", "sinh", "cosh", "tanh"),
    )
)
_TRIGONOMETRIC = (
    *("sin", "cos", "tan", "sec", "csc", "cot", "sinh", "cosh", "tanh"),
    *("arcsin", "arccos", "arctan"),
)
FUNCTIONS = {
    **{name: name for name in _TRIGONOMETRIC},
    "asin": "arcsin",
    "acos": "arccos",
    "atan": "arctan",
    "ln": "ln",
    "exp": "exp",
    "sqrt": "sqrt",
    "cbrt": "cbrt",
    "abs": "abs",
}


@dataclass(frozen=True, slots=True)
class Token:
    """``kind``: number, word, command or sign. ``spaced``: white space stands before it."""

    kind: str
    text: str
    spaced: bool


def tokens(text: str) -> tuple[list[Token], bool]:
    """The tokens, and whether the text stood in LaTeX's mathematics (``$...$``), where a run of
    letters is a product. Raises ``Unreadable``."""
    text = text.strip()
    if len(text) > MAX_CHARACTERS:
        raise Unreadable("too long")
    text, mathematics = undressed(text)
    if _SUPERSCRIPTS.search(text):
        raise Unreadable("superscripts of more than one digit")
    text = _SIZES.sub(" ", _LATEX_SPACE.sub(" ", text.translate(_SIGNS)))
    text = _THOUSANDS.sub(lambda match: match.group().replace(",", ""), text)
    found: list[Token] = []
    position, end = 0, len(text.rstrip())
    while position < end:
        match = _TOKEN.match(text, position)
        if match is None:
            raise Unreadable(f"'{text[position : position + 10]}' is no mathematics")
        kind = match.lastgroup or ""
        word = match[kind]
        spaced = match.end() - match.start() > len(word) + (kind == "command")
        if kind == "number" and len(word) > MAX_DIGITS:
            raise Unreadable("a number of too many digits")
        if kind == "command":
            mathematics = True
            if word in _COMMANDS:
                kind, word = "sign", _COMMANDS[word]
            elif word == "infty":
                kind, word = "word", "infinity"
            elif word in _WORD_COMMANDS:
                kind = "word"
        found.append(Token(kind, "^" if word == "**" else word, spaced))
        if len(found) > MAX_TOKENS:
            raise Unreadable("too many signs")
        position = match.end()
    return found, mathematics


class Cursor:
    """A place in a list of tokens, and what stands there."""

    def __init__(self, found: list[Token]) -> None:
        self._tokens = found
        self._at = 0

    @property
    def _next(self) -> Token | None:
        return self._tokens[self._at] if self._at < len(self._tokens) else None

    def _is(self, *signs: str) -> bool:
        token = self._next
        return token is not None and token.kind == "sign" and token.text in signs

    def _is_command(self, *commands: str) -> bool:
        token = self._next
        return token is not None and token.kind == "command" and token.text in commands

    def take_any(self, signs: Collection[str]) -> str | None:
        """The sign that stands here, if it is one of ``signs``; then the next token is next."""
        if self._is(*signs):
            self._at += 1
            return self._tokens[self._at - 1].text
        return None

    def _expect(self, sign: str) -> None:
        if self.take_any((sign,)) is None:
            raise Unreadable(f"'{sign}' is missing")

    def end(self) -> None:
        """Raises ``Unreadable`` unless everything was read."""
        if (token := self._next) is not None:
            raise Unreadable(f"'{token.text}' is one too many")


def undressed(text: str) -> tuple[str, bool]:
    """Without the signs that begin and end LaTeX's mathematics, and whether it had them. Raises
    ``Unreadable`` when they stand anywhere else."""
    for begin, end in (("$$", "$$"), ("$", "$"), ("\\[", "\\]"), ("\\(", "\\)")):
        if text.startswith(begin) and text.endswith(end) and len(text) > len(begin) + len(end):
            inner = text[len(begin) : -len(end)].strip().rstrip(".,;?").rstrip()
            break
    else:
        inner = text
    if "$" in inner or "\\[" in inner or "\\]" in inner or "\\(" in inner or "\\)" in inner:
        raise Unreadable("mathematics between words")
    return inner, inner is not text
