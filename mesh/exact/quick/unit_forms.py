"""Kind ``units``: the ways in which people ask for a conversion."""

from __future__ import annotations

from fractions import Fraction

from mesh.exact.base import words
from mesh.exact.quick.numerals import NUMBER_WORDS, Token, tokens_of
from mesh.exact.quick.sums import Reader, Unread
from mesh.exact.quick.unit_names import FLUID_OUNCE, NAMES, OUNCE, Quantity, Unit
from mesh.exact.quick.units import Conversion
from mesh.exact.quick.wrapping import Asked

_MOST_TOKENS = 40
_MOST_TERMS = 3


def _spellings() -> dict[tuple[str, ...], Unit]:
    found: dict[tuple[str, ...], Unit] = {}
    for name, unit in NAMES.items():
        tokens = tokens_of(name, _MOST_TOKENS)
        if tokens:
            found[tuple(token.text for token in tokens)] = unit
    return found


_SPELLINGS = _spellings()
_LONGEST = max(map(len, _SPELLINGS))
_CONNECTORS = ("into", "to", "in", "as")
_GERUNDS = ("convert", "change", "turn", "express", "transform", "translate", "switch")
_VERBS = (*_GERUNDS, "converting", "changing", "turning", "expressing", "switching")
_OPENINGS = (
    *(f"how {verb} {who}" for verb in ("do", "would", "can", "should", "could")
      for who in ("i go about", "you go about", "i", "you", "we", "one")),
    "how to", "how are",
    *(f"is there {a} way to" for a in ("a", "an easy", "a simple", "a quick")),
    *(f"the {kind} way to" for kind in ("proper", "best", "easiest", "right", "correct")),
    "to understand", "understand", "the formula for", "the formula to", "know",
)  # fmt: skip
# Between "how many cups" and "4 quarts".
_LINKS = (
    "are there in", "are there per", "are there to", "there are in", "there is in", "are in",
    "is in", "are equal to", "is equal to", "are contained in", "equals", "equal", "make up",
    "makes up", "make", "makes", "would be in", "would fit in", "will fit in", "can fit in",
    "fit in", "fit into", "go into", "in", "is", "are", "does", "do", "per", "to", "for", "from",
)  # fmt: skip
_TRAILING = ("have", "contain", "hold", "make", "equal", "be", "take up", "in total", "total")
_PRONOUNS = (
    "is that", "are that", "is it", "do i have", "would that be", "is this", "are there",
    "will that be", "would i have", "does that make", "that is",
)  # fmt: skip
WORDS = (
    frozenset(word for name in _SPELLINGS for word in name)
    | frozenset(
        word
        for phrase in (*_VERBS, *_OPENINGS, *_LINKS, *_TRAILING, *_PRONOUNS, *_CONNECTORS)
        for word in phrase.split()
    )
    | words(
        "how many much conversion conversions between from of for and amount number if i ",
        "have converted equal to half a an negative minus degrees the be there that",
    )
    | NUMBER_WORDS
)


def recognise(asked: Asked) -> Conversion | None:
    """``asked``: plain, in lower case, without its politeness. Pure, and linear in its length."""
    tokens = tokens_of(asked.text, _MOST_TOKENS)
    if not tokens or len(tokens) < 2:
        return None
    reader = Reader(tokens)
    for form in (_how_many, _if_i_have, _conversion, _source_first):
        reader.restart()
        try:
            problem = form(reader, asked)
            if problem is not None:
                reader.end()
                return problem
        except Unread:
            continue
    return None


def _how_many(reader: Reader, asked: Asked) -> Conversion | None:
    """How many cups are in 4 quarts; what amount of cups is 4 quarts."""
    if not reader.take_any("how many", "the amount of", "amount of", "the number of", "how much"):
        return None
    target = _unit(reader)
    if not reader.take_any(*_LINKS):
        raise Unread
    reader.take("there")
    source = _source(reader)
    if source is None:
        raise Unread  # "how many inches in centimeters" says no number of either
    reader.take_any(*_TRAILING)
    return _problem(source, target)


def _if_i_have(reader: Reader, asked: Asked) -> Conversion | None:
    """If I have four inches, how many centimeters is that."""
    if not reader.take_any("if i have", "if there are", "if it is"):
        return None
    source = _source(reader)
    reader.take(",")
    if source is None or not reader.take("how", "many"):
        raise Unread
    target = _unit(reader)
    if not reader.take_any(*_PRONOUNS):
        raise Unread
    return _problem(source, target)


def _conversion(reader: Reader, asked: Asked) -> Conversion | None:
    """The conversion between tablespoons and cups."""
    reader.take_any(*_OPENINGS)
    reader.take("the")
    if not reader.take_any("conversion", "conversions"):
        return None
    between = reader.take("between")
    if not between and not reader.take_any("from", "of", "for"):
        raise Unread
    source = _source(reader)
    link = ("and", "to") if between else ("into", "to", "in")
    if not reader.take_any(*link):
        raise Unread
    if source is None:
        return _asked_rule(reader)
    return _problem(source, _unit(reader))


def _source_first(reader: Reader, asked: Asked) -> Conversion | None:
    """10 ounces in grams; convert 72 f to celsius; how do I convert inches to centimeters; 12 feet
    is how many inches."""
    passive = reader.peek("how", "are")
    opened = reader.take_any(*_OPENINGS)
    verb = not passive and reader.take_any(*_VERBS)
    if opened and not verb and not passive:
        raise Unread
    reader.take("from")
    start = reader.place
    source = _source(reader)
    if passive and not reader.take("converted"):
        raise Unread
    if source is not None and reader.take_any(
        "is how many", "equals how many", "are how many", "is equal to how many",
        "are equal to how many", "equal how many", "make how many", "makes how many",
    ):  # fmt: skip
        return _problem(source, _unit(reader))
    reader.take("be")
    if not reader.take_any(*_CONNECTORS):
        raise Unread
    if source is None:
        if not (asked.question or asked.verb or verb or passive):
            raise Unread  # "feet to inches" by itself is a heading
        if len(reader.texts[start]) == 1 and not verb:
            raise Unread  # "what is c in f" may be about music
        reader.place, after = start, reader.place
        one = _unit(reader)
        reader.place = after
        return _problem(((Fraction(1), one),), _unit(reader), rule=True)
    return _problem(source, _unit(reader))


def _asked_rule(reader: Reader) -> Conversion:
    """The connector was taken; the unit before it is what came without a number."""
    target = _unit(reader)
    tokens = reader.tokens
    for start in range(len(tokens)):
        ahead = Reader(tokens)
        ahead.place = start
        if ahead.take_any("between", "from", "of", "for"):
            return _problem(((Fraction(1), _unit(ahead)),), target, rule=True)
    raise Unread


def _problem(
    source: tuple[tuple[Fraction, Unit], ...], target: Unit, *, rule: bool = False
) -> Conversion:
    """With ounces as the other side means them: by weight, or by volume."""
    first = source[0][1]
    if target is OUNCE and first.quantity is Quantity.VOLUME:
        target = FLUID_OUNCE
    if target.quantity is Quantity.VOLUME and len(source) == 1 and first is OUNCE:
        source = ((source[0][0], FLUID_OUNCE),)
    if any(unit is target for _, unit in source) and len(source) == 1:
        raise Unread
    return Conversion(source=source, target=target, rule=rule)


def _unit(reader: Reader) -> Unit:
    for length in range(_LONGEST, 0, -1):
        words = tuple(t.text for t in reader.tokens[reader.place : reader.place + length])
        if len(words) == length and (unit := _SPELLINGS.get(words)) is not None:
            reader.place += length
            return unit
    raise Unread


def _source(reader: Reader) -> tuple[tuple[Fraction, Unit], ...] | None:
    """5 feet 10 inches; None where a unit stands without a number, and is taken."""
    amount = _amount(reader)
    first = _unit(reader)
    if amount is None:
        return None
    terms = [(amount, first)]
    while len(terms) < _MOST_TERMS:
        start = reader.place
        reader.take("and")
        if reader.ended or not _begins_number(reader.tokens[reader.place]):
            reader.place = start
            break
        further = _amount(reader)
        unit = _unit(reader)
        if further is None or not _descends(terms[-1][1], unit) or min(further, amount) < 0:
            raise Unread
        terms.append((further, unit))
    return tuple(terms)


_STEPS = (
    ("mile", "foot"), ("yard", "foot"), ("foot", "inch"), ("yard", "inch"), ("pound", "ounce"),
    ("stone", "pound"), ("week", "day"), ("day", "hour"), ("hour", "minute"), ("minute", "second"),
    ("kilometer", "meter"), ("meter", "centimeter"), ("kilogram", "gram"),
)  # fmt: skip


def _descends(larger: Unit, smaller: Unit) -> bool:
    return (larger.pint, smaller.pint) in _STEPS


def _begins_number(token: Token) -> bool:
    return token.is_number or token.text in NUMBER_WORDS - {"a", "an", "and", "point", "second"}


def _amount(reader: Reader) -> Fraction | None:
    """A number before a unit; "a", "an" and "half a" count; None where there is none."""
    if reader.take_any("half a", "half an", "a half a", "half of a", "a half", "one half"):
        return Fraction(1, 2)
    negative = reader.take_any("-", "minus", "negative")
    start = reader.place
    try:
        value = reader.number()
    except Unread:
        reader.place = start
        if negative:
            raise
        return Fraction(1) if reader.take_any("a", "an") else None
    amount = value.value
    if value.literal and reader.take("/"):
        bottom = reader.number()
        if not bottom.literal or bottom.value == 0:
            raise Unread
        amount /= bottom.value
    if 0 < amount < 1:
        reader.take_any("of a", "of an")  # a third of a cup
    return -amount if negative else amount
