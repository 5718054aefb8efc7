"""Numbers as people read them: exact where that is short, else rounded and said so."""

from __future__ import annotations

from fractions import Fraction

ROUNDED_DIGITS = 10
_MOST_DECIMALS = 12
_MOST_SIGNIFICANT = 20
_MOST_DENOMINATOR = 1000
_SMALLEST = Fraction(1, 10**6)
_LARGEST = 10**15


def shown(value: Fraction, *, exact: bool = True, fractions: bool = True) -> str:
    """``12``, ``0.375``, ``2/27 (about 0.07407407407)``, ``about 2.236067977``.

    Never more than it knows: what is not finite in decimals, or not ``exact``, has "about" in front
    and 10 significant digits, rounded half to even. ``fractions`` False: no ``2/27`` beside it.
    """
    if exact:
        if value.denominator == 1:
            return str(value.numerator)
        if (finite := decimals(value)) is not None:
            return finite
    about = f"about {rounded(value)}"
    if exact and fractions and value.denominator <= _MOST_DENOMINATOR:
        return f"{value.numerator}/{value.denominator} ({about})"
    return about


def decimals(value: Fraction) -> str | None:
    """The decimal expansion where it is finite and short, else None."""
    rest, twos, fives = value.denominator, 0, 0
    while rest % 2 == 0:
        rest, twos = rest // 2, twos + 1
    while rest % 5 == 0:
        rest, fives = rest // 5, fives + 1
    places = max(twos, fives)
    if rest != 1 or places > _MOST_DECIMALS:
        return None
    whole = abs(value.numerator) * 10**places // value.denominator
    if len(str(whole)) > _MOST_SIGNIFICANT:
        return None
    return _placed(whole, places, negative=value < 0)


def rounded(value: Fraction, digits: int = ROUNDED_DIGITS) -> str:
    """``value`` to ``digits`` significant digits, trailing zeros gone; with a power of ten where
    the plain form would be mostly zeros."""
    if value == 0:
        return "0"
    size = abs(value)
    exponent = len(str(size.numerator)) - len(str(size.denominator))
    if size < Fraction(10) ** exponent:
        exponent -= 1
    whole = round(size / Fraction(10) ** (exponent - digits + 1))
    if whole == 10**digits:
        whole, exponent = whole // 10, exponent + 1
    if _SMALLEST <= size < _LARGEST:
        places = digits - 1 - exponent
        if places <= 0:
            return _placed(whole * 10**-places, 0, negative=value < 0)
        return _placed(whole, places, negative=value < 0)
    return f"{_placed(whole, digits - 1, negative=value < 0)} × 10^{exponent}"


def _placed(whole: int, places: int, *, negative: bool) -> str:
    text = str(whole).rjust(places + 1, "0")
    if places:
        text = f"{text[:-places]}.{text[-places:]}".rstrip("0").rstrip(".")
    return f"-{text}" if negative and text != "0" else text
