"""Kind ``arithmetic``: the ways in which people put a sum."""

from __future__ import annotations

import re
from collections.abc import Callable
from fractions import Fraction

from mesh.exact.base import words
from mesh.exact.quick.arithmetic import (
    Expression,
    Factorial,
    Number,
    Operation,
    Sign,
    Unanswerable,
    evaluate,
)
from mesh.exact.quick.calculator import Sum
from mesh.exact.quick.numerals import NUMBER_WORDS, ORDINALS, Token, tokens_of
from mesh.exact.quick.sums import Reader, Unread, root_degree
from mesh.exact.quick.wrapping import Asked

_MOST_TOKENS = 80
_MOST_ITEMS = 20
_CURRENCY = {"$": "$", "€": "€", "£": "£", "dollars": "$", "bucks": "$", "euros": "€"}

WORDS = (
    NUMBER_WORDS
    | words(
        "plus minus times multiplied divided added subtracted by buy over mod modulo ",
        "squared cubed factorial square cube root of sqrt power raised to the sum total ",
        "product difference between quotient average mean remainder when dividing is add ",
        "subtract multiply divide take away from and percent per cent percentage off tip ",
        "tax on for an increase decrease reduce increased decreased reduced as what out ",
        "how many does can will go goes fit in into with x double twice triple greatest ",
        "highest least lowest common divisor factor multiple denominator gcd gcf hcf lcm ",
        "negative th st nd rd dollars bucks euros",
    )
    | frozenset(ORDINALS)
)


def recognise(asked: Asked) -> Sum | None:
    """``asked``: plain, in lower case, without its politeness. Pure, and linear in its length."""
    tokens = tokens_of(asked.text, _MOST_TOKENS)
    if not tokens or len(tokens) < 2 or _means_something_else(tokens, asked):
        return None
    reader = Reader(tokens)
    for form in _FORMS:
        reader.restart()
        try:
            problem = form(reader)
            if problem is not None:
                reader.end()
                return problem
        except Unread:
            continue
    return None


_SCORE = re.compile(r"[0-9]+(?:[-/x][0-9]+)+")
_MIXED = re.compile(r"[0-9]-([0-9]+)/([0-9]+)")
_YEARS = range(1000, 2101)


def _means_something_else(tokens: list[Token], asked: Asked) -> bool:
    """24/7, 9-11, 4x4, 555-1234, 12/25/2024, 1914 - 1918, 120 over 80, 0x10: names, dates, scores
    and codes, unless the words ask for arithmetic. And in "what is 3 + 4!" the mark may be tone."""
    if tokens[-1].text == "!" and len(tokens) > 2 and asked.text.count("!") == 1:
        return True
    if tokens[0].text == "0" and tokens[1].text == "x" and not tokens[1].spaced:
        return True
    if any(int(m[1]) < int(m[2]) <= 64 for m in _MIXED.finditer(asked.text)):
        return True  # 5-1/2 is also how many write five and a half
    if asked.verb:
        return False
    texts = [token.text for token in tokens]
    if _SCORE.fullmatch(asked.text):
        return len(texts) != 3 or not (
            (texts[1] == "/" and (texts[2] == "0" or _clearly_divided(texts[0], texts[2])))
            or (texts[1] == "-" and asked.question and _clearly_less(texts[0], texts[2]))
        )
    if len(texts) != 3 or texts[1] not in ("over", "-"):
        return False
    if texts[1] == "over":
        return True
    return all(text.isdigit() and int(text) in _YEARS for text in (texts[0], texts[2])) and int(
        texts[0]
    ) < int(texts[2])


def _clearly_divided(first: str, last: str) -> bool:
    """144/12, but no month of a year, no shares (80/20) and no blood pressure (120/60)."""
    a, b = int(first), int(last)
    return a > 31 and a not in _YEARS and a % b == 0 and a + b != 100 and not 40 <= b <= 130


def _clearly_less(first: str, last: str) -> bool:
    """500-125, but no season (2019-20) and no postal code (90210-1234)."""
    a, b = int(first), int(last)
    return a >= 100 and b < a and a not in _YEARS and (len(first), len(last)) != (5, 4)


# The forms below are tried in this order; each takes the whole text or raises Unread, and returns
# None where it plainly is another form.


def _whole_root(reader: Reader) -> Sum | None:
    reader.take("the")
    degree = root_degree(reader)
    if degree is None:
        return None
    reader.take("the")
    return Sum(expression=Operation("root", reader.simple(), _number(degree)))


def _named(reader: Reader) -> Sum | None:
    """The sum of, the difference between, the remainder of, …"""
    reader.take("the")
    if reader.take_any("sum of", "total of"):
        return _fold(reader, "+", "plus", "+")
    if reader.take("product", "of"):
        return _fold(reader, "*", "times", "*", "x")
    if reader.take_any("average of", "mean of"):
        items = _items(reader)
        total = _folded("+", items)
        return Sum(expression=Operation("/", total, _number(len(items))))
    if reader.take("difference", "between"):
        one, other = _two(reader)
        return _difference(one, other)
    if reader.take("quotient", "of"):
        return Sum(expression=Operation("/", *_two(reader)))
    if reader.take_any("square of"):
        return Sum(expression=Operation("^", reader.simple(), _number(2)))
    if reader.take_any("cube of"):
        return Sum(expression=Operation("^", reader.simple(), _number(3)))
    if reader.take("factorial", "of"):
        return Sum(expression=Factorial(reader.simple()))
    if reader.take("remainder"):
        return _remainder(reader)
    if reader.take_any(
        "gcd of", "gcf of", "hcf of", "greatest common divisor of", "greatest common factor of",
        "highest common factor of", "greatest common divisor between",
    ):  # fmt: skip
        return _fold(reader, "gcd")
    if reader.take_any(
        "lcm of", "least common multiple of", "lowest common multiple of",
        "least common denominator of", "lowest common denominator of",
    ):  # fmt: skip
        return _fold(reader, "lcm")
    return None


def _commanded(reader: Reader) -> Sum | None:
    """Add 3 and 4, subtract 4 from 10, take 4 away from 10, multiply, divide."""
    if reader.take("add"):
        return _fold_two(reader, "+", "to", "plus", "with", "+")
    if reader.take("subtract") or reader.take("take", "away"):
        return _from(reader)
    if reader.take("take"):
        taken = reader.simple()
        reader.take("away")
        return _from(reader, taken)
    if reader.take("multiply"):
        return _fold_two(reader, "*", "by", "times", "with", "x", "*")
    if reader.take("divide"):
        top = reader.simple()
        if not reader.take("by"):
            raise Unread
        return Sum(expression=Operation("/", top, reader.simple()))
    for verb, direction in (("increase", "+"), ("decrease", "-"), ("reduce", "-")):
        if reader.take(verb):
            money, base = _amount(reader)
            return _changed(reader, money, base, "+" if direction == "+" else "-")
    return None


def _goes_into(reader: Reader) -> Sum | None:
    """How many times does 8 go into 2000: only where it goes in evenly."""
    if not reader.take("how", "many", "times"):
        return None
    if not reader.take_any("does", "can", "will", "do"):
        raise Unread
    part = reader.simple()
    if not reader.take_any("go into", "goes into", "fit into", "fit in", "go in"):
        raise Unread
    return Sum(expression=Operation("/", reader.simple(), part), whole=True)


def _share(reader: Reader) -> Sum | None:
    """15% of 80, 20% off $50, an 18 percent tip on 20 dollars, half of 30, 3/4 of 18, twice 8."""
    for word, factor in (("twice", 2), ("double", 2), ("triple", 3)):
        if reader.take(word):
            return Sum(expression=Operation("*", _number(factor), reader.simple()))
    if reader.peek("a") and len(reader.tokens) > 1 and reader.tokens[1].is_number:
        reader.take("a")  # a 20 percent tip
    reader.take("an")
    share: Number | Operation = _fraction(reader)
    percent = _percent_sign(reader)
    if percent:
        share = Operation("/", share, _number(100))
    elif isinstance(share, Number) and share.value >= 1:
        return None  # "5 of 10" is a share, or half
    if percent and reader.take("off"):
        reader.take("of")
        money, base = _amount(reader)
        left = Operation("-", base, Operation("*", share, base))
        return Sum(expression=left, money=money)
    if not (percent and reader.take_any("tip on", "tip for", "tax on")) and not reader.take("of"):
        return None
    if reader.take("the"):
        raise Unread
    money, base = _amount(reader, fraction=not percent, nested=not percent)
    return Sum(expression=Operation("*", share, base), money=money)


def _as_percent(reader: Reader) -> Sum | None:
    """What percent of 80 is 12; 12 is what percent of 80; 12 as a percentage of 80."""
    if reader.take_any("percent of", "percentage of", "per cent of"):
        whole = reader.simple()
        if not reader.take("is"):
            raise Unread
        return Sum(expression=Operation("/", reader.simple(), whole), percent=True)
    if reader.take_any("percent is", "percentage is"):
        part = reader.simple()
        if not reader.take_any("out of", "of"):
            raise Unread
        return Sum(expression=Operation("/", part, reader.simple()), percent=True)
    part = reader.simple()
    if not reader.take_any(
        "is what percent of", "is what percentage of", "as a percentage of", "as a percent of",
    ):  # fmt: skip
        return None
    return Sum(expression=Operation("/", part, reader.simple()), percent=True)


def _two_worded(reader: Reader) -> Sum | None:
    """4 subtracted from 10, 17 mod 5, 80 increased by 15%."""
    start = reader.place
    left = reader.simple()
    if reader.take("subtracted", "from"):
        return Sum(expression=Operation("-", reader.simple(), left))
    if reader.take_any("mod", "modulo"):
        return Sum(expression=Operation("mod", left, reader.simple()))
    if reader.take("over"):
        return Sum(expression=Operation("/", left, reader.simple()))
    reader.place = start
    money, base = _amount(reader)
    if reader.take("increased"):
        return _changed(reader, money, base, "+")
    if reader.take_any("decreased", "reduced"):
        return _changed(reader, money, base, "-")
    return None


def _expression(reader: Reader) -> Sum | None:
    expression = reader.expression()
    if not isinstance(expression, Operation | Factorial):
        raise Unread  # a number by itself is no question
    return Sum(expression=expression)


_FORMS: tuple[Callable[[Reader], Sum | None], ...] = (
    _expression,
    _share,
    _whole_root,
    _named,
    _commanded,
    _goes_into,
    _as_percent,
    _two_worded,
)


def _number(value: int) -> Number:
    return Number(Fraction(value))


def _items(reader: Reader, *between: str) -> list[Expression]:
    items = reader.items(*between)
    if not 2 <= len(items) <= _MOST_ITEMS:
        raise Unread
    return items


def _two(reader: Reader) -> tuple[Expression, Expression]:
    items = _items(reader)
    if len(items) != 2:
        raise Unread
    return items[0], items[1]


def _folded(sign: Sign, items: list[Expression]) -> Expression:
    total = items[0]
    for item in items[1:]:
        total = Operation(sign, total, item)
    return total


def _fold(reader: Reader, sign: Sign, *between: str) -> Sum:
    return Sum(expression=_folded(sign, _items(reader, *between)))


def _fold_two(reader: Reader, sign: Sign, *between: str) -> Sum:
    """Add 3, 4 and 5; but of "add 3 to 4 and 5" nobody knows whether it is one sum or two."""
    start = reader.place
    items = _items(reader, *between)
    joined = any(token.text in between for token in reader.tokens[start : reader.place])
    if joined and len(items) > 2:
        raise Unread
    return Sum(expression=_folded(sign, items))


def _difference(one: Expression, other: Expression) -> Sum:
    """How far apart they are, whichever was named first."""
    try:
        first, second = evaluate(one), evaluate(other)
    except Unanswerable:
        raise Unread from None
    larger_first = (one, other) if first.value >= second.value else (other, one)
    return Sum(expression=Operation("-", *larger_first))


def _from(reader: Reader, taken: Expression | None = None) -> Sum:
    taken = taken or reader.simple()
    if not reader.take("from"):
        raise Unread
    return Sum(expression=Operation("-", reader.simple(), taken))


def _remainder(reader: Reader) -> Sum:
    if reader.take("of"):
        left = reader.simple()
        if not reader.take_any("divided by", "/"):
            raise Unread
    elif reader.take_any("when dividing"):
        left = reader.simple()
        if not reader.take("by"):
            raise Unread
    elif reader.take("when"):
        left = reader.simple()
        if not reader.take_any("is divided by", "divided by"):
            raise Unread
    else:
        raise Unread
    return Sum(expression=Operation("mod", left, reader.simple()))


def _percent_sign(reader: Reader) -> bool:
    return reader.take_any("%", "percent", "per cent")


def _fraction(reader: Reader) -> Number:
    """A number, or 3/4 written in one."""
    value = reader.number()
    if reader.take("/"):
        bottom = reader.number()
        if not (value.literal and bottom.literal and bottom.value):
            raise Unread
        return Number(value.value / bottom.value)
    return Number(value.value)


def _amount(
    reader: Reader, *, fraction: bool = False, nested: bool = False
) -> tuple[str, Expression]:
    """A number, with its currency if it has one. ``nested``: "half of a third of 12"."""
    money = next((_CURRENCY[sign] for sign in "$€£" if reader.take(sign)), "")
    if reader.peek("("):
        inner = reader.operand()
        return "", inner
    value: Expression = _fraction(reader) if fraction else Number(reader.number().value)
    if nested and reader.take("of"):
        money, inner = _amount(reader, fraction=True, nested=True)
        return money, Operation("*", value, inner)
    for word in ("dollars", "bucks", "euros"):
        if reader.take(word):
            if money and money != _CURRENCY[word]:
                raise Unread
            money = _CURRENCY[word]
    return money, value


def _changed(reader: Reader, money: str, base: Expression, sign: Sign) -> Sum:
    if not reader.take("by"):
        raise Unread
    change: Expression = Number(reader.number().value)
    if _percent_sign(reader):
        change = Operation("*", base, Operation("/", change, _number(100)))
    elif money:
        raise Unread
    return Sum(expression=Operation(sign, base, change), money=money)
