"""What a prompt's shape says, for the classifier's features (``ngrams``): which classes of words it
has, marks of code, formulas and options, lengths.

``flags`` looks for twenty patterns and would cost more than all else if it searched for them as
they read. So each stands behind plain strings without which it cannot be there, and is written to
begin with its rarest character, which ``re`` skips to at the speed of ``memchr``: what stands
before it is looked at from there, by a look-behind or in the reversed text.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from math import log1p

import numpy as np
from numpy.typing import NDArray

from orchestrator.router.lexicon import CLASSES

_CODE_WORDS = r"(?:def|class|import|from|public|private|function|fn|func|const|let|var|#include)\b"
_CODE_LINE = re.compile(rf"\n\s*{_CODE_WORDS}")
_LINE_END = re.compile(r"(?m)[;{}]\s*$")
_INDENTED = re.compile(r"\n(?:    |\t)\S")
_CALL = re.compile(r"\((?<=\w\()\w*[),]")
_SNAKE = re.compile(r"_(?<=[a-z]_)[a-z]")
_OPERATOR = re.compile(r"==|!=|<=|>=|=>|->|\+\+|&&|\|\||::")
_LATEX = re.compile(r"\$[^$\n]{1,80}\$|\\[a-z]{2,}|\\\[")
_OPTION = re.compile(r"[A-E][).:](?:(?<=\s[A-E][).:])|(?<=\s\([A-E][).:]))\s?\S")
_SMALL_OPTION = re.compile(r"\)(?:(?<=\s[a-e1-5]\))|(?<=\s\([a-e1-5]\)))\s")
_SUM = re.compile(r"\d\s*[-+*/x×÷^%]\s*\(?-?\d")
# x^, x** or x = 1, x a word of one letter; read backwards.
_FORMULA = re.compile(r"[\^*\d](?:(?<=\^)|(?<=\*)\*|(?<=\d)\s*[-+=]\s*)[a-z](?![\w$])")
_COEFFICIENT = re.compile(r"\d[a-z]\b")
_SYMBOL = re.compile("[∫∑√≤≥∈π]")
_MONEY = re.compile(r"[$€£]\s?\d")
_MONEY_WORD = re.compile(r"\d (?:dollars|cents|euros)")
_PERCENT = re.compile(r"%(?:(?<=\d%)|(?<=\d\s%))")
_PERCENT_WORD = re.compile(r"percent(?<!\wpercent)")
_LOGIC = re.compile("[→∧∨¬⊢∀∃]")
_SENTENCES = re.compile(r"[.!?]\s+[A-Z]")
_LIST = re.compile(r"\n\s*[-*•]\s")
_PARAGRAPH = re.compile(r"\n\s*\n")
# "Input:", "Example 1:" and their like, read backwards from the colon.
_HEADING = re.compile(
    r"(?i):\d?\s*(?:tupni|tuptuo|s?elpmaxe|stniartsnoc|snoitpo|s?esimerp|txetnoc)\b"
)
_DIGIT = re.compile(r"\d")

FLAGS = 20
NAMES_LIKE_CODE = 5  # place of the flag for snake_case, which words with a capital inside set, too
CLASS_COUNT = len(CLASSES)
SHAPE_SIZE = 2 * CLASS_COUNT + FLAGS + 19


def flags(text: str) -> list[bool]:
    """Code, formulas, options, money, logic, lists: one each, in the order that the weights have
    them in."""
    ascii_only = text.isascii()
    digit = _DIGIT.search(text) is not None
    # A line's start is what follows a newline, also at the start of the text.
    lines = f"\n{text}"
    backwards = text[::-1]
    signs = "^=-+*" if digit else "^*"
    equals, greater, newline = "=" in text, ">" in text, "\n" in text
    return [
        "`" in text and "```" in text,
        _CODE_LINE.search(lines) is not None,
        (";" in text or "{" in text or "}" in text) and _LINE_END.search(text) is not None,
        ("    " in text or "\t" in text) and _INDENTED.search(lines) is not None,
        "(" in text and _CALL.search(text) is not None,
        "_" in text and _SNAKE.search(text) is not None,
        (equals or greater or _doubled(text)) and _OPERATOR.search(text) is not None,
        ((greater and ">>>" in text) or '"""' in text or "'''" in text),
        ("$" in text or "\\" in text) and _LATEX.search(text) is not None,
        _OPTION.search(lines) is not None,
        (") " in text or ")\n" in text) and _SMALL_OPTION.search(lines) is not None,
        digit and _SUM.search(text) is not None,
        (any(sign in text for sign in signs) and _FORMULA.search(backwards) is not None)
        or (digit and _COEFFICIENT.search(text) is not None)
        or (not ascii_only and _SYMBOL.search(text) is not None),
        digit and _money(text, ascii_only=ascii_only),
        ("%" in text and _PERCENT.search(text) is not None)
        or ("percent" in text and _PERCENT_WORD.search(text) is not None),
        not ascii_only and _LOGIC.search(text) is not None,
        (newline or ". " in text or "? " in text or "! " in text)
        and _SENTENCES.search(text) is not None,
        newline and (_LIST.search(lines) is not None or _PARAGRAPH.search(text) is not None),
        ("_" in text and "___" in text) or text.rstrip().endswith("..."),
        ":" in text and _HEADING.search(backwards) is not None,
    ]


def _doubled(text: str) -> bool:
    return any(sign in text and sign * 2 in text for sign in "+&|:")


def _money(text: str, *, ascii_only: bool) -> bool:
    if ("$" in text or not ascii_only) and _MONEY.search(text) is not None:
        return True
    words = "dollars" in text or "cents" in text or "euros" in text
    return words and _MONEY_WORD.search(text) is not None


@dataclass(frozen=True, slots=True)
class TokenShape:
    """How many tokens of a text are numbers, words in small letters, words with a capital, and
    marks. ``joined``: one has a capital inside. ``classes``: how many are of each of ``CLASSES``,
    ``asking``: the first one asks."""

    numbers: int
    small: int
    capitals: int
    marks: int
    joined: bool
    asking: bool
    classes: NDArray[np.intp]


def shape(text: str, tokens: TokenShape, length: int) -> NDArray[np.float32]:
    """Counts and shares of word classes, marks of code, formulas and options, lengths. Each is
    about 0 to 1.5. ``length``: the whole prompt's characters, of which ``text`` was read."""
    numbers, letters = tokens.numbers, tokens.small + tokens.capitals
    total = max(1, numbers + letters + tokens.marks)
    made = np.empty(SHAPE_SIZE, np.float32)
    _LOGARITHMS.take(tokens.classes, out=made[:CLASS_COUNT], mode="clip")
    np.multiply(
        tokens.classes, 2 / total, out=made[CLASS_COUNT : 2 * CLASS_COUNT], casting="same_kind"
    )
    sentences = text.count(". ") + text.count(".\n")
    sentences += text.count("? ") if "?" in text else 0
    sentences += text.count("! ") if "!" in text else 0
    found = flags(text)
    found[NAMES_LIKE_CODE] |= tokens.joined
    made[2 * CLASS_COUNT :] = (
        *found,
        log1p(length) / 6,
        length < 25,
        length < 60,
        length > 150,
        length > 400,
        length > 1000,
        log1p(sentences) / 2,
        log1p(text.count("\n")) / 3,
        numbers / total * 2,
        log1p(numbers) / 2,
        not numbers,
        tokens.marks / total,
        tokens.capitals / max(1, letters),
        tokens.capitals > 1,
        letters / total,
        text.rstrip().endswith("?"),
        tokens.asking,
        letters == 0,
        1.0,  # for the intercept
    )
    return made


_MOST_TOKENS = 1 << 11  # more than characters are read
_LOGARITHMS = (np.log1p(np.arange(_MOST_TOKENS)) / 2).astype(np.float32)
