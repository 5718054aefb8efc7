"""Mathematical text into tokens: plain ASCII, a few Unicode signs, and the LaTeX of textbooks."""

from __future__ import annotations

import re
from typing import NamedTuple

from mesh.exact.base import words
from mesh.exact.expression.tree import Unreadable

MAX_CHARACTERS = 1200
MAX_TOKENS = 200  # read in 2 ms at most; nobody asks for more of a tool that answers in one line
MAX_DIGITS = 400  # of one number; what a tool does with it may be limited further

_SIGNS = str.maketrans(
    dict(zip("×·⋅∙÷∕−–＋＝’", "****//--+='", strict=True))
    | {power: f"^{digit}" for digit, power in enumerate("⁰¹²³⁴⁵⁶⁷⁸⁹")}
    | {"π": " pi ", "∞": " infinity ", "√": " sqrt ", "≤": "<=", "≥": ">=", "°": "^\\circ "}
)
_SUPERSCRIPTS = re.compile("[⁰¹²³⁴⁵⁶⁷⁸⁹]{2}")
_LATEX_SPACE = re.compile(r"\\[,;:! ]|\\q?quad|~|\\displaystyle|\\limits")
_SIZES = re.compile(r"\\(?:left|right|[bB]igg?[lr]?)(?![a-zA-Z])")
_THOUSANDS = re.compile(r"(?<![\d.,])\d{1,3}(?:,\d{3})+(?![\d,])")
_TOKEN = re.compile(
    r"\s*(?:(?P<number>[0-9]+(?:\.[0-9]+|⁄[0-9]+)?|\.[0-9]+)|(?P<word>[A-Za-z]+)|\\(?P<command>[A-Za-z]+)"
    r"|(?P<sign>\*\*|<=|>=|[-+*/^()\[\]{}|,=<>!_']))"
)
_COMMANDS = {
    "cdot": "*", "times": "*", "div": "/", "le": "<=", "leq": "<=", "ge": ">=", "geq": ">=",
    "lt": "<", "gt": ">", "infty": "infinity",
}  # fmt: skip
_TRIGONOMETRIC = words("sin cos tan sec csc cot sinh cosh tanh arcsin arccos arctan")
_WORD_COMMANDS = frozenset(("pi", "ln", "log", "exp", *_TRIGONOMETRIC))
FUNCTIONS = {
    **{name: name for name in (*_TRIGONOMETRIC, "ln", "exp", "sqrt", "cbrt", "abs")},
    "asin": "arcsin",
    "acos": "arccos",
    "atan": "arctan",
}


class Token(NamedTuple):
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
    inner = bare(text)
    text, mathematics = inner, inner is not text
    if _MARKS.search(text):
        raise Unreadable("mathematics between words")
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
                word = _COMMANDS[word]
                kind = "word" if word.isalpha() else "sign"
            elif word in _WORD_COMMANDS:
                kind = "word"
        found.append(Token(kind, "^" if word == "**" else word, spaced))
        if len(found) > MAX_TOKENS:
            raise Unreadable("too many signs")
        position = match.end()
    return found, mathematics


_MATHEMATICS = (("$$", "$$"), ("$", "$"), ("\\[", "\\]"), ("\\(", "\\)"))
_MARKS = re.compile(r"\$|\\[\[\]()]")


def bare(text: str) -> str:
    """Without the signs that begin and end LaTeX's mathematics, where they stand around it all."""
    text = text.strip()
    for begin, end in _MATHEMATICS:
        if text.startswith(begin) and text.endswith(end) and len(text) > len(begin) + len(end):
            return text[len(begin) : -len(end)].strip().rstrip(".,;?").rstrip()
    return text
