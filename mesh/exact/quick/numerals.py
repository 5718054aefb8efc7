"""English and written numbers, read off a list of words and signs.

Not read: numbers that begin with a zero ("007", which may be a name or a slip for 0.07), groups of
digits that are no thousands ("3,14"), and lists of digits ("one two three").
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction

MOST_DIGITS = 40

_SMALL = {
    "zero": 0, "one": 1, "two": 2, "three": 3, "four": 4, "five": 5, "six": 6, "seven": 7,
    "eight": 8, "nine": 9, "ten": 10, "eleven": 11, "twelve": 12, "thirteen": 13, "fourteen": 14,
    "fifteen": 15, "sixteen": 16, "seventeen": 17, "eighteen": 18, "nineteen": 19,
}  # fmt: skip
_TENS = {
    word: 10 * value
    for value, word in enumerate(
        ["twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety"], start=2
    )
} | {"fourty": 40}
_SCALES = {"thousand": 10**3, "million": 10**6, "billion": 10**9, "trillion": 10**12}
_PARTS = {
    "half": 2,
    "halves": 2,
    "quarter": 4,
    "third": 3,
    "fourth": 4,
    "fifth": 5,
    "sixth": 6,
    "seventh": 7,
    "eighth": 8,
    "ninth": 9,
    "tenth": 10,
    "twelfth": 12,
    "twentieth": 20,
    "hundredth": 100,
    "thousandth": 1000,
}
PARTS = _PARTS | {f"{word}s": value for word, value in _PARTS.items() if word != "halves"}
ORDINALS = {
    "first": 1,
    "second": 2,
    "third": 3,
    "fourth": 4,
    "fifth": 5,
    "sixth": 6,
    "seventh": 7,
    "eighth": 8,
    "ninth": 9,
    "tenth": 10,
    "eleventh": 11,
    "twelfth": 12,
    "thirteenth": 13,
    "fourteenth": 14,
    "fifteenth": 15,
    "sixteenth": 16,
    "seventeenth": 17,
    "eighteenth": 18,
    "nineteenth": 19,
    "twentieth": 20,
    "thirtieth": 30,
}
NUMBER_WORDS = frozenset(
    {*_SMALL, *_TENS, *_SCALES, *PARTS, *ORDINALS, "hundred", "a", "an", "and", "point", "dozen"}
)

_WRITTEN = re.compile(
    r"(?:[0-9]{1,3}(?:,[0-9]{3})+|[0-9]+)(?:\.[0-9]+)?(?![0-9]|\.[0-9]|,[0-9])|\.[0-9]+(?![0-9.])"
)
_TOKEN = re.compile(
    rf"(?P<number>{_WRITTEN.pattern})|(?P<word>[a-z]+(?:'[a-z]+)?)|(?P<sign>\*\*|[^\s\w]|_)|\s+"
)


@dataclass(frozen=True, slots=True)
class Token:
    """``text``: a number as written without its separators, a word, or a sign. ``spaced``: blank
    stood before it."""

    text: str
    spaced: bool

    @property
    def is_number(self) -> bool:
        return self.text[0].isdigit() or (self.text[0] == "." and len(self.text) > 1)


@dataclass(frozen=True, slots=True)
class Numeral:
    """``end``: index after its last token. ``literal``: written in digits, all in one token."""

    value: Fraction
    end: int
    literal: bool = False


def tokens_of(text: str, most: int, *, zeros: bool = False) -> list[Token] | None:
    """Lower-case plain text in tokens; None for a number that is not read, or more than ``most``
    tokens. ``zeros``: numbers may begin with them, as those of dates do."""
    found: list[Token] = []
    place, spaced = 0, False
    while place < len(text):
        match = _TOKEN.match(text, place)
        if match is None:
            return None
        place = match.end()
        if match.lastgroup is None:
            spaced = True
            continue
        token = match.group()
        if match.lastgroup == "number":
            digits = token.replace(",", "")
            padded = len(digits) > 1 and digits[0] == "0" and digits[1] != "."
            if len(digits) > MOST_DIGITS or (padded and not zeros):
                return None
            token = digits
        found.append(Token(token, spaced))
        spaced = False
        if len(found) > most:
            return None
    return found


def written(token: Token) -> Fraction:
    return Fraction(token.text if token.text[0] != "." else f"0{token.text}")


def numeral(tokens: Sequence[Token], start: int, *, joins: bool = True) -> Numeral | None:
    """The longest number that begins at ``start``: 2, 2.5 million, twenty-five, a hundred and five,
    three quarters, two and a half, 2 1/2. ``joins`` False: "and" is never part of it.

    "a" and "an" count only before what they count: a hundred, a half.
    """
    if start >= len(tokens):
        return None
    if tokens[start].is_number:
        return _digits_first(tokens, start, joins=joins)
    if _word(tokens, start) in ("a", "an"):
        return _with_article(tokens, start)
    if _word(tokens, start) == "half":
        return Numeral(Fraction(1, 2), start + 1)
    whole = _whole_words(tokens, start, joins=joins)
    if whole is None:
        return None
    return _with_part(tokens, whole, joins=joins)


def _digits_first(tokens: Sequence[Token], start: int, *, joins: bool) -> Numeral | None:
    value = written(tokens[start])
    place = start + 1
    scaled = False
    while (scale := _SCALES.get(_word(tokens, place), 0)) or _word(tokens, place) == "hundred":
        value *= scale or 100
        place += 1
        scaled = True
    if not scaled:
        if (mixed := _mixed(tokens, start)) is not None:
            return mixed
        return _with_part(tokens, Numeral(value, place, literal=True), joins=joins)
    # "1 million twelve hundred": what follows must be smaller than the last scale.
    rest = _whole_words(tokens, place, joins=False)
    last = _SCALES.get(tokens[place - 1].text, 100)
    if rest is None or _word(tokens, place) in _SCALES:
        return Numeral(value, place)
    return Numeral(value + rest.value, rest.end) if rest.value < last else None


def _mixed(tokens: Sequence[Token], start: int) -> Numeral | None:
    """2 1/2: a whole number, a blank, and a proper fraction written in one."""
    if start + 3 >= len(tokens):
        return None
    whole, top, slash, bottom = tokens[start : start + 4]
    if (
        slash.text == "/"
        and top.is_number
        and top.spaced
        and bottom.is_number
        and not slash.spaced
        and not bottom.spaced
        and all(token.text.isdigit() for token in (whole, top, bottom))
        and 0 < int(top.text) < int(bottom.text) <= 64
        and not _below_a_line(tokens, start)
    ):
        return Numeral(int(whole.text) + Fraction(int(top.text), int(bottom.text)), start + 4)
    return None


def _below_a_line(tokens: Sequence[Token], place: int) -> bool:
    """In "1/2 1/2" the second half stands by the first, not by its 2."""
    return place > 0 and tokens[place - 1].text == "/" and not tokens[place].spaced


def _with_article(tokens: Sequence[Token], start: int) -> Numeral | None:
    word = _word(tokens, start + 1)
    if word == "hundred" or word in _SCALES:
        return _whole_words(tokens, start + 1, joins=True, first=1)
    if word == "dozen":
        return Numeral(Fraction(12), start + 2)
    if word in PARTS and not word.endswith("s"):
        return Numeral(Fraction(1, PARTS[word]), start + 2)
    return None


def _whole_words(
    tokens: Sequence[Token], start: int, *, joins: bool, first: int | None = None
) -> Numeral | None:
    """``first``: what an article before ``start`` already said."""
    total = 0
    group = first
    place = start
    last_scale = 10**15
    while True:
        word = _word(tokens, place)
        if word in _SMALL or word in _TENS:
            value = _SMALL.get(word, _TENS.get(word, 0))
            if value == 0 and (group is not None or total):
                return None
            if group is None:
                group = value
            elif group >= 20 and (
                (group % 100 == 0 and value < 100) or (group % 10 == 0 and 0 < value < 10)
            ):
                if group % 100 == 0 and group < 100:
                    return None
                if group % 100 != 0 and not 20 <= group % 100 <= 90:
                    return None
                group += value
            else:
                return None  # "one two three" is a list of digits
        elif word == "hundred":
            if group is None or not 0 < group < 100:
                return None
            group *= 100
        elif word in _SCALES:
            scale = _SCALES[word]
            if group is None or group == 0 or scale >= last_scale:
                return None
            total += group * scale
            group, last_scale = None, scale
        elif (
            word == "and"
            and joins
            and _word(tokens, place - 1) in ("hundred", *_SCALES)
            and (_word(tokens, place + 1) in _SMALL or _word(tokens, place + 1) in _TENS)
        ) or (word == "-" and _hyphen(tokens, place)):
            pass
        else:
            break
        place += 1
    if group is None and not total:
        return None
    value = total + (group or 0)
    if group is not None and total and group >= last_scale:
        return None
    if _word(tokens, place) == "point":
        return _decimals(tokens, place + 1, value)
    return Numeral(Fraction(value), place)


def _hyphen(tokens: Sequence[Token], place: int) -> bool:
    """twenty-five: a tight hyphen between a word of tens and one of units."""
    return (
        not tokens[place].spaced
        and _word(tokens, place - 1) in _TENS
        and 0 < _SMALL.get(_word(tokens, place + 1), 0) < 10
        and not tokens[place + 1].spaced
    )


def _decimals(tokens: Sequence[Token], place: int, whole: int) -> Numeral | None:
    digits = ""
    while (value := _SMALL.get(_word(tokens, place), 10)) < 10 and len(digits) < MOST_DIGITS:
        digits += str(value)
        place += 1
    return Numeral(Fraction(f"{whole}.{digits}"), place) if digits else None


def _with_part(tokens: Sequence[Token], whole: Numeral, *, joins: bool) -> Numeral | None:
    """three quarters, 2 fifths; two and a half, two and three quarters."""
    place = whole.end
    word = _word(tokens, place)
    if word in PARTS and whole.value.denominator == 1 and word not in ("second", "seconds"):
        if (whole.value == 1) == word.endswith("s") and word != "halves":
            return None
        # "One hundred thousandths", "ten thousandths", "twenty fifths": two readings each.
        if not whole.literal and whole.value >= (10 if PARTS[word] >= 100 else 20):
            return None
        if place < len(tokens) and _word(tokens, place + 1) in PARTS:
            return None
        return Numeral(whole.value / PARTS[word], place + 1)
    if joins and word == "and" and whole.value.denominator == 1:
        part = _part(tokens, place + 1)
        if part is not None:
            return Numeral(whole.value + part.value, part.end)
    return whole


def _part(tokens: Sequence[Token], place: int) -> Numeral | None:
    """a half, one quarter, three quarters: a proper part, in words."""
    if _word(tokens, place) in ("a", "one"):
        word = _word(tokens, place + 1)
        if word in PARTS and not word.endswith("s"):
            return Numeral(Fraction(1, PARTS[word]), place + 2)
        return None
    count = _SMALL.get(_word(tokens, place), 0)
    word = _word(tokens, place + 1)
    if count > 1 and word in PARTS and word.endswith("s") and count < PARTS[word]:
        return Numeral(Fraction(count, PARTS[word]), place + 2)
    return None


def _word(tokens: Sequence[Token], place: int) -> str:
    return tokens[place].text if 0 <= place < len(tokens) else ""
