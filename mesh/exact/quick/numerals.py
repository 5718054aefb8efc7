"""English and written numbers in figures: "two and a half" becomes ``5⁄2``, "1,234" ``1234``.

Not read: numbers that begin with a zero ("007", which may be a name or a slip for 0.07), groups of
digits that are no thousands ("3,14"), and parts with two readings ("one hundred thousandths"). A
list of digits ("one two three") becomes one, which no form reads.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from fractions import Fraction

MOST_DIGITS = 40

_NAMES = (
    "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen "
    "sixteen seventeen eighteen nineteen"
)
_TEN_NAMES = "twenty thirty forty fifty sixty seventy eighty ninety"
_ORDERS = (
    "first second third fourth fifth sixth seventh eighth ninth tenth eleventh twelfth thirteenth "
    "fourteenth fifteenth sixteenth seventeenth eighteenth nineteenth twentieth"
)
_NAMED = _NAMES.split()
_SMALL = {word: value for value, word in enumerate(_NAMED)}
_TENS = {word: 10 * value for value, word in enumerate(_TEN_NAMES.split(), 2)} | {"fourty": 40}
_SCALES = {"thousand": 10**3, "million": 10**6, "billion": 10**9, "trillion": 10**12}
ORDINALS = {word: value for value, word in enumerate(_ORDERS.split(), 1)} | {"thirtieth": 30}
_PARTS = {word: value for word, value in ORDINALS.items() if value in (*range(3, 11), 12, 20)} | {
    "half": 2,
    "quarter": 4,
    "hundredth": 100,
    "thousandth": 1000,
}
_MANY = {f"{word}s": value for word, value in _PARTS.items() if word != "half"} | {"halves": 2}
NUMBER_WORDS = frozenset(
    {*_SMALL, *_TENS, *_SCALES, *_PARTS, *_MANY, *ORDINALS, "hundred", "a", "an", "and", "point"}
) | {"dozen"}


def _any(words: Iterable[str]) -> str:
    return f"(?:{'|'.join(sorted(words, key=len, reverse=True))})"


_DIGIT, _SCALE, _PART = _any(_NAMED[:10]), _any(_SCALES), _any({**_PARTS, **_MANY})
_TWO = rf"(?:{_any(_TENS)}[ -]{_any(_NAMED[1:10])}|{_any({**_SMALL, **_TENS})})\b"
_THREE = rf"(?:{_TWO} hundred(?:(?: and)? {_TWO})?|{_TWO})"
_FIRST = rf"(?:an? hundred(?:(?: and)? {_TWO})?|{_THREE})"
_WORDS = (
    rf"(?:(?:an?|{_FIRST}) {_SCALE}(?:(?: and)? {_THREE} {_SCALE})*(?:(?: and)? {_THREE})?"
    rf"|{_FIRST})(?: point(?: {_DIGIT}\b)+)?"
)
_WRITTEN = (
    r"(?<![0-9.,])(?:(?:[0-9]{1,3}(?:,[0-9]{3})+|[0-9]+)(?:\.[0-9]+)?(?![0-9]|\.[0-9]|,[0-9])"
    r"|\.[0-9]+(?![0-9.]))"
)
_NUMBER = re.compile(
    r"(?P<mixed>(?<![0-9.,/])(?P<whole>[0-9]{1,3}(?:,[0-9]{3})+|[0-9]+) "
    r"(?P<top>[0-9]+)/(?P<bottom>[0-9]+)(?![0-9.]))"
    rf"|(?P<scaled>{_WRITTEN})(?P<scales>(?: (?:hundred|{_SCALE})\b)+)"
    rf"(?: (?P<rest>{_THREE})(?! {_SCALE}))?"
    rf"|(?:(?P<figures>{_WRITTEN})|(?<![\w'])(?:(?P<article>(?=an? ))|(?!an? ))(?P<words>{_WORDS}))"
    rf"\b(?(article)|(?P<after>(?: and (?P<count>a|{_TWO}))? (?P<part>{_PART})\b)?)"
    rf"|(?P<figures_before_a_word>{_WRITTEN})"
    rf"|(?<![\w'])(?:an? (?P<one>{_any(_PARTS)}|dozen)|half)\b"
)
_BAD = re.compile(rf"[0-9],[0-9]|[0-9]\.[0-9]+\.[0-9]|[0-9]{{{MOST_DIGITS + 1}}}")
NUMBER = r"(?:[0-9]+(?:\.[0-9]+|⁄[0-9]+)?|\.[0-9]+)"  # as ``spelt`` leaves it


class Unread(Exception):
    """The text has a number that is not read."""


@dataclass(frozen=True, slots=True)
class Spelt:
    """``joined``: an "and" became part of a number, which in a list may be two of them."""

    text: str
    joined: bool


def value(number: str) -> Fraction:
    """Of what ``NUMBER`` matches."""
    if number.isdecimal():  # as most are, and a fraction of an int costs a quarter of one of a text
        return Fraction(int(number))
    return Fraction(f"0{number}" if number[0] == "." else number.replace("⁄", "/"))


def spelt(text: str) -> Spelt | None:
    """``text``, plain and in lower case, with its numbers in figures; None where one is not read.
    "a" and "an" count only before what they count: a hundred, a half."""
    joined = False

    def figures(match: re.Match[str]) -> str:
        nonlocal joined
        said = _figures(match)
        joined = joined or (" and " in match[0] and not (" and " in said or match["article"] == ""))
        return said

    try:
        text = _NUMBER.sub(figures, text)
    except Unread:
        return None
    return None if _BAD.search(text) else Spelt(text, joined)


def _figures(match: re.Match[str]) -> str:
    if match["mixed"]:
        top, bottom = int(match["top"]), int(match["bottom"])
        if not 0 < top < bottom <= 64:
            return match[0]
        return _shown(int(match["whole"].replace(",", "")) + Fraction(top, bottom))
    if match["scaled"]:
        return _scaled(match)
    if match["figures_before_a_word"]:
        return match[0].replace(",", "")
    if match["figures"] or match["words"]:
        return _with_part(match)
    return "12" if match["one"] == "dozen" else _shown(Fraction(1, _PARTS[match["one"] or "half"]))


def _shown(number: Fraction) -> str:
    return str(number).replace("/", "⁄")


def _scaled(match: re.Match[str]) -> str:
    """2.5 million, 1 million twelve hundred: what follows must be smaller than the last scale."""
    number = value(match["scaled"].replace(",", ""))
    for word in match["scales"].split():
        last = _SCALES.get(word, 100)
        number *= last
    rest = _in_words(match["rest"]) if match["rest"] else 0
    if rest >= last:
        raise Unread
    return _shown(number + rest)


def _with_part(match: re.Match[str]) -> str:
    """three quarters, 2 fifths; two and a half, two and three quarters."""
    part, count = match["part"], match["count"]
    if match["figures"]:
        said = match["figures"].replace(",", "")
        if part is None:
            return said
        number = value(said)
    else:
        number = _in_words(match["words"])
        said = _shown(number)
        if part is None:
            return said
    size = _PARTS.get(part) or _MANY[part]
    if re.match(rf" {_PART}\b", match.string[match.end() :]):
        raise Unread
    if count is not None:
        parts = 1 if count in ("a", "one") else _in_words(count)
        if number.denominator != 1 or (parts == 1) != (part in _PARTS) or not 0 < parts < size:
            return said + _NUMBER.sub(_figures, match["after"])
        return _shown(number + parts / Fraction(size))
    # "One hundred thousandths", "ten thousandths", "twenty fifths": two readings each.
    unsure = not match["figures"] and number >= (10 if size >= 100 else 20)
    if (
        unsure
        or number.denominator != 1
        or ((number == 1) != (part in _PARTS) and part != "halves")
    ):
        raise Unread
    return _shown(number / size)


def _in_words(text: str) -> Fraction:
    """Raises ``Unread`` where the scales do not fall."""
    whole, _, decimals = text.partition(" point ")
    total, group, last = 0, 0, 10**15
    for word in re.findall("[a-z]+", whole):
        if word == "hundred":
            group = max(group, 1) * 100
        elif word in _SCALES:
            if not 0 < _SCALES[word] < last:
                raise Unread
            last = _SCALES[word]
            total, group = total + max(group, 1) * last, 0
        elif word not in ("a", "an", "and"):
            group += _SMALL.get(word) or _TENS.get(word, 0)
    if group >= last:
        raise Unread
    digits = "".join(str(_SMALL[word]) for word in decimals.split())
    return Fraction(f"{total + group}.{digits or 0}")
