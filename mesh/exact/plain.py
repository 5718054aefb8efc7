"""Text in one plain form, or nothing where its look and its value could differ."""

from __future__ import annotations

import re
from unicodedata import category, decimal, normalize

_PLAIN = str.maketrans(
    {
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
)
_LAYOUT = str.maketrans("\n\t\r", "   ")
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
_MOST_OTHER = 100
# 3·4 is three times four, and 3.4 as British print has it.
_BRITISH = re.compile("[0-9]\u00b7[0-9]")
_ASCII_DIGITS = re.compile("[0-9]")


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
    if len(_OTHER.findall(text)) > _MOST_OTHER:
        return None
    text = _INVISIBLE.sub("", text)
    if _BRITISH.search(text):
        return None
    text = _SUPERSCRIPT.sub(lambda m: f"^({m.group().translate(_SUPERSCRIPTS)})", text)
    text = _SUBSCRIPT.sub(lambda m: "_" + m.group().translate(_SUBSCRIPTS), text)
    text = _VULGAR.sub(lambda m: f" {normalize('NFKC', m.group())}", text)
    characters: list[str] = []
    scripts: set[int] = set()
    for character in text:
        if character.isascii():
            characters.append(character)
            continue
        folded = normalize("NFKC", character)
        if category(character) == "Nd":
            value = decimal(character)
            scripts.add(ord(character) - value)
            characters.append(str(value))
        elif _ASCII_DIGITS.search(folded):
            return None  # a circled or parenthesised number is a mark, not a digit
        else:
            characters.append(character)
    if len(scripts) > 1 or (scripts and _ASCII_DIGITS.search(text)):
        return None
    text = normalize("NFKC", "".join(characters)).translate(_PLAIN)
    return text if _printable(text) else None


def _printable(text: str) -> bool:
    return text.translate(_LAYOUT).isprintable()
