"""Kind ``units``: the ways in which people ask for a conversion."""

from __future__ import annotations

import re
from dataclasses import dataclass
from fractions import Fraction

from mesh.exact.base import words
from mesh.exact.phrase import phrase, words_of
from mesh.exact.quick.numerals import NUMBER, NUMBER_WORDS, Spelt, value
from mesh.exact.quick.unit_names import FLUID_OUNCE, NAMES, OUNCE, Quantity, Unit
from mesh.exact.quick.units import Conversion
from mesh.exact.quick.wrapping import Asked

Terms = tuple[tuple[Fraction, Unit], ...]

_MOST_TERMS = 3
_GERUNDS = "convert|change|turn|express|transform|translate|switch"
_VERBS = f"({_GERUNDS}|converting|changing|turning|expressing|switching)"
_OPENINGS = (
    "(how (do|would|can|should|could) (i go about|you go about|i|you|we|1)|how to"
    "|is there (a|an easy|a simple|a quick) way to"
    "|the (proper|best|easiest|right|correct) way to|to understand|understand|the formula for"
    "|the formula to|know)"
)
# Between "how many cups" and "4 quarts".
_LINKS = (
    "(are there (in|per|to)|there are in|there is in|are in|is in|are equal to|is equal to"
    "|are contained in|equals|equal|make up|makes up|makes|make|would be in|would fit in"
    "|will fit in|can fit in|fit in|fit into|go into|in|is|are|does|do|per|to|for|from)[ there]"
)
_INTO = (
    "(is|equals|are|is equal to|are equal to|equal|make|makes) how many|equals what in"
    "|[be |converted ](into|to|in|as)"
)


@dataclass(frozen=True, slots=True)
class _Form:
    """What stands before, between and after the two units; ``target_first``: in that order.
    ``rule``: how one is turned into the other may be asked, without any number."""

    before: re.Pattern[str]
    link: re.Pattern[str]
    after: re.Pattern[str]
    target_first: bool
    rule: bool


def _form(
    before: str, link: str, after: str = "", *, target_first: bool = False, rule: bool = True
) -> _Form:
    between = phrase(f"(?<= )({link})(?= )")
    return _Form(phrase(before), between, phrase(f"{after}$"), target_first, rule)


_FORMS = (
    _form(
        "(how many|how much|[the ]amount of|[the ]number of) ",
        _LINKS,
        "[ (have|contain|hold|make|equal|be|take up|in total|total)]",
        target_first=True,
        rule=False,  # "how many inches in centimeters" says no number of either
    ),
    _form(
        "(if i have|if there are|if it is) ",
        "how many",
        " (is that|are that|is it|do i have|would that be|is this|are there|will that be"
        "|would i have|does that make|that is)",
        rule=False,
    ),
    _form(f"[{_OPENINGS} ][the ]conversion[s] between ", "and|to"),
    _form(f"[{_OPENINGS} ][the ]conversion[s] (from|of|for) ", "into|to|in"),
    _form("how are [from ]", "converted [be ](into|to|in|as)"),
    _form(f"[{_OPENINGS} ]{_VERBS} [from ]", _INTO),
)
_BARE = _form("[from ]", _INTO)
WORDS = (
    frozenset(word for name in NAMES for word in re.findall("[a-z]+", name))
    | words_of(
        *(part for form in (*_FORMS, _BARE) for part in (form.before, form.link, form.after))
    )
    | words("amount number of half a an negative minus degrees one")
    | NUMBER_WORDS
)


def recognise(asked: Asked, figures: Spelt) -> Conversion | None:
    """``asked``: plain, in lower case, without its politeness; ``figures``: with its numbers so.
    Pure, and linear in its length."""
    text = figures.text
    for form in _FORMS:
        if (before := form.before.match(text)) is not None:
            return _read(text[before.end() :], form, rule=form.rule)
    opened = _BARE.before.match(text)
    body = text[opened.end() if opened else 0 :]
    # "feet to inches" by itself is a heading, unless it has a measure that only measures; and "what
    # is c in f" may be about music.
    asks = asked.question or asked.verb or (body == text and _METRIC.search(body) is not None)
    return _read(body, _BARE, rule=asks and body[1:2] != " ")


def _read(text: str, form: _Form, *, rule: bool) -> Conversion | None:
    """Where the second unit begins is tried from left to right: "10 in in cm"."""
    for end in form.after.finditer(text):
        for link in form.link.finditer(text, 0, end.start()):
            halves = text[: link.start()].rstrip(" ,"), text[link.end() : end.start()].strip()
            before, after = reversed(halves) if form.target_first else halves
            asked = rule and "many" not in link[0]  # no "feet is how many inches"
            source, target = _source(before, rule=asked), NAMES.get(after)
            if source is not None and target is not None:
                return _problem(source, target, rule=source[0][0] is _ONE)
    return None


def _problem(source: Terms, target: Unit, *, rule: bool) -> Conversion | None:
    """With ounces as the other side means them: by weight, or by volume."""
    first = source[0][1]
    if target is OUNCE and first.quantity is Quantity.VOLUME:
        target = FLUID_OUNCE
    if target.quantity is Quantity.VOLUME and len(source) == 1 and first is OUNCE:
        source = ((source[0][0], FLUID_OUNCE),)
    if len(source) == 1 and first is target and (rule or first.quantity is not _TEMPERATURE):
        return None  # but -7 °C may be asked for in °C
    return Conversion(source=source, target=target, rule=rule)


_TEMPERATURE = Quantity.TEMPERATURE
_METRIC = re.compile(
    r"(?<![a-z])(?:nano|micro|milli|deci)(?:met(?:er|re)|lit(?:er|re)|gram)|micron|μ|dl\b"
)
_ONE = Fraction(1)  # this very one: that no number was said
_TERM = re.compile(
    rf"(?:(?P<minus>-|minus|negative) ?)?(?P<number>{NUMBER})(?: ?/ ?(?P<below>{NUMBER}))?"
    rf"(?P<article> (?:of )?an?(?= ))? ?(?P<unit>[^0-9⁄]+?)(?: ?(?:and )?(?=[0-9.])|$)"
)
_STEPS = (
    ("mile", "foot"), ("yard", "foot"), ("foot", "inch"), ("yard", "inch"), ("pound", "ounce"),
    ("stone", "pound"), ("week", "day"), ("day", "hour"), ("hour", "minute"), ("minute", "second"),
    ("kilometer", "meter"), ("meter", "centimeter"), ("kilogram", "gram"),
)  # fmt: skip


def _source(text: str, *, rule: bool) -> Terms | None:
    """5 feet 10 inches, a cup, half a cup; for a ``rule`` also a unit by itself."""
    if (unit := NAMES.get(text)) is not None:
        return ((_ONE, unit),) if rule else None
    article, _, rest = text.partition(" ")
    if article in ("a", "an"):
        return ((Fraction(1), NAMES[rest]),) if rest in NAMES else None
    terms: list[tuple[Fraction, Unit]] = []
    place = 0
    while place < len(text) and len(terms) < _MOST_TERMS:
        match = _TERM.match(text, place)
        unit = NAMES.get(match["unit"]) if match is not None else None
        amount = _amount(match) if match is not None else None
        if match is None or unit is None or amount is None:
            return None
        if terms and ((terms[-1][1].pint, unit.pint) not in _STEPS or min(amount, terms[0][0]) < 0):
            return None
        terms.append((amount, unit))
        place = match.end()
    return tuple(terms) if place == len(text) else None


def _amount(match: re.Match[str]) -> Fraction | None:
    amount = value(match["number"])
    if match["below"]:
        below = value(match["below"])
        if below == 0:
            return None
        amount /= below
    if match["article"] and not 0 < amount < 1:  # a third of a cup
        return None
    return -amount if match["minus"] else amount
