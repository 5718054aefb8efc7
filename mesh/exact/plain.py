"""Text in one plain form, or nothing where its look and its value could differ."""

from __future__ import annotations

import re
from decimal import Decimal
from unicodedata import category, decimal, normalize

_PLAIN = {
    "\u2018": "'",
    "\u2019": "'",
    "\u201c": '"',
    "\u201d": '"',
    "\u2032": "'",
    "\u2033": '"',
    "\u2212": "-",  # minus sign
    "\u2010": "-",
    "\u2011": "-",
    "\u2044": "/",  # fraction slash
    "\u2215": "/",
    "\u2715": "*",
    "\u2716": "*",
    "\u22c5": "*",
    "\u2219": "*",
    "\u2217": "*",
    "\u00b7": "*",  # but see _BRITISH
    "\u202f": " ",
    "\u00a0": " ",
}
# They show as nothing. Those that turn the reading direction are not among them: text that has one
# does not say what it seems to say, and is refused.
_INVISIBLE = re.compile("[\u00ad\u200b-\u200d\u2060\ufe0e\ufe0f\ufeff]+")
_SUPERSCRIPTS = str.maketrans("⁰¹²³⁴⁵⁶⁷⁸⁹⁺⁻", "0123456789+-")
_SUPERSCRIPT = re.compile("[⁰¹²³⁴⁵⁶⁷⁸⁹⁺⁻]+")
_SUBSCRIPTS = str.maketrans("₀₁₂₃₄₅₆₇₈₉", "0123456789")
_SUBSCRIPT = re.compile("[₀₁₂₃₄₅₆₇₈₉]+")
_VULGAR = re.compile("[¼½¾⅐⅑⅒⅓⅔⅕⅖⅗⅘⅙⅚⅛⅜⅝⅞]")
_OTHER = re.compile("[^\x00-\x7f]")
# More is another language, which no kind reads; NFKC would cost up to quadratic time on it.
MOST_OTHER = 100
# 3·4 is three times four, and 3.4 as British print has it.
_BRITISH = re.compile("[0-9]\u00b7[0-9]")
_ASCII_DIGITS = re.compile("[0-9]")


_POWER_OF_TEN = re.compile(r"(?<![\w.,])([0-9]{1,12}(?:\.[0-9]{1,9})?)e([+-]?[0-9]{1,2})(?![\w.,])")
_MOST_TENS = 15


def written_out(line: str) -> str:
    """``line``, in lower case, with 3.5e-2 as 0.035: of calculators' numbers those of up to fifteen
    powers of ten."""
    if "e" not in line or not _ASCII_DIGITS.search(line):
        return line
    return _POWER_OF_TEN.sub(_all_digits, line)


def _all_digits(found: re.Match[str]) -> str:
    tens = int(found[2])
    return f"{Decimal(found[1]).scaleb(tens):f}" if abs(tens) <= _MOST_TENS else found[0]


# 1.000 is one thousand to half of Europe, and 1.000.000 a million. Not 0.500, nor 1.5 or 1.0000.
_MAY_BE_GROUPED = re.compile(r"(?<![\w.,])[1-9][0-9]{0,2}(?:\.[0-9]{3})+(?![0-9]|[.,][0-9])")
# A point that can only be a decimal one says how the others are meant; so do groups by comma.
_DECIMAL_POINT = re.compile(
    r"(?<![0-9.,])(?:0?\.[0-9]|[0-9]{4,}\.[0-9]|[0-9]+\.(?:[0-9]{1,2}|[0-9]{4,})(?![0-9.,])"
    r"|[0-9]{1,3}(?:,[0-9]{3})+(?:\.[0-9]|(?![0-9.,])))"
)


def ambiguous_numbers(line: str) -> bool:
    """Whether a point in one of its numbers may separate thousands as well as decimals, as in
    ``1.000 + 1``, and no other number tells."""
    if "." not in line or _MAY_BE_GROUPED.search(line) is None:
        return False
    return _DECIMAL_POINT.search(line) is None


def plain(text: str) -> str | None:
    """``text`` with typographic signs made plain and other scripts' digits by their value; None
    where that is not safe: control characters, changed reading direction, digits of two scripts,
    characters that only look like digits, a raised dot between digits, or more than a hundred
    characters beyond ASCII.

    What NFKC would change in value is spelt out first: 5² becomes ``5^(2)``, 2½ ``2 1/2`` and x₁
    ``x_1``.
    """
    if text.isascii():
        return text if text.isprintable() or _printable(text) else None
    if len(_OTHER.findall(text)) > MOST_OTHER:
        return None
    text = _INVISIBLE.sub("", text)
    if _BRITISH.search(text):
        return None
    text = _SUPERSCRIPT.sub(lambda m: f"^({m.group().translate(_SUPERSCRIPTS)})", text)
    text = _SUBSCRIPT.sub(lambda m: "_" + m.group().translate(_SUBSCRIPTS), text)
    text = _VULGAR.sub(lambda m: f" {normalize('NFKC', m.group())}", text)
    values: dict[str, str] = {}
    scripts: set[int] = set()
    for character in set(_OTHER.findall(text)):
        if category(character) == "Nd":
            value = decimal(character)
            scripts.add(ord(character) - value)
            values[character] = str(value)
        elif _ASCII_DIGITS.search(normalize("NFKC", character)):
            return None  # a circled or parenthesised number is a mark, not a digit
    if len(scripts) > 1 or (scripts and _ASCII_DIGITS.search(text)):
        return None
    text = normalize("NFKC", _exchanged(text, values))
    text = _exchanged(text, {sign: _PLAIN[sign] for sign in _PLAIN.keys() & _OTHER.findall(text)})
    return text if _printable(text) else None


def _exchanged(text: str, by: dict[str, str]) -> str:
    # Of a few characters, many times as fast as `str.translate`, which looks each one up.
    for character, other in by.items():
        text = text.replace(character, other)
    return text


def _printable(text: str) -> bool:
    return text.replace("\n", " ").replace("\t", " ").replace("\r", " ").isprintable()
