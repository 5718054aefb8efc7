"""Kind ``dates``: the ways in which people ask for one."""

from __future__ import annotations

from datetime import date

from mesh.exact.base import words
from mesh.exact.quick.dates import (
    FIRST_YEAR,
    LAST_YEAR,
    MONTH_NAMES,
    DateAfter,
    DateProblem,
    DaysBetween,
    DaysInMonth,
    LeapYear,
    Weekday,
)
from mesh.exact.quick.numerals import NUMBER_WORDS, tokens_of
from mesh.exact.quick.sums import Reader, Unread
from mesh.exact.quick.wrapping import Asked

_MOST_TOKENS = 40
_MOST_DAYS = 1_000_000
_MONTHS = (
    {name: number for number, name in enumerate(MONTH_NAMES, 1)}
    | {name[:3]: number for number, name in enumerate(MONTH_NAMES, 1)}
    | {"sept": 9}
)
_STEPS = {"day": 1, "days": 1, "week": 7, "weeks": 7, "fortnight": 14, "fortnights": 14}
_SUFFIXES = ("st", "nd", "rd", "th")

WORDS = (
    frozenset(_MONTHS)
    | words(
        "day days week weeks fortnight fortnights of the what which weekday date is was ",
        "are will be it falls fall on how many between from and to until till after ",
        "before later earlier ago today now in there a an one two three st nd rd th leap ",
        "year did does number does passed pass since time or tomorrow yesterday have has",
    )
    | NUMBER_WORDS
)


def recognise(asked: Asked, today: date) -> DateProblem | None:
    """``asked``: plain, in lower case, without its politeness. Pure, and linear in its length."""
    tokens = tokens_of(asked.text, _MOST_TOKENS, zeros=True)
    if not tokens or len(tokens) < 2:
        return None
    reader = Reader(tokens)
    for form in (_between, _weekday, _leap, _month_length, _after):
        reader.restart()
        try:
            problem = form(reader, asked, today)
            if problem is not None:
                reader.end()
                return problem
        except Unread:
            continue
    return None


def _between(reader: Reader, asked: Asked, today: date) -> DateProblem | None:
    """How many days (are there) between 3 March 2024 and 1 May 2024. Both ends are given, and the
    difference is what is meant; "from … through" counts one more and is not read."""
    if reader.take("how", "many", "days"):
        reader.take_any("are there", "are", "is it", "were there", "passed", "were")
    else:
        reader.take("the")
        reader.take_any("number of", "difference in")
        if not reader.take("days"):
            return None
    if reader.take("between"):
        first = _date(reader)
        if not reader.take("and"):
            raise Unread
    elif reader.take("from"):
        first = _date(reader)
        if not reader.take_any("to", "until", "till"):
            raise Unread
    else:
        raise Unread
    return DaysBetween(first=first, second=_date(reader))


def _weekday(reader: Reader, asked: Asked, today: date) -> DateProblem | None:
    """What day of the week was 4 July 1776; which weekday is 2024-01-15."""
    reader.take("on")
    reader.take_any("what", "which")
    reader.take("the")
    if not reader.take_any("day of the week", "weekday", "day"):
        return None
    if reader.take_any("did", "does", "will") and not reader.peek("be"):
        day = _date(reader)
        # A closing "be" is gone with the politeness.
        reader.take_any("fall on", "fall", "be on", "be")
    else:
        if not reader.take_any(
            "is it on", "was it on", "it will be on", "falls on", "be", "will be", "was it",
            "is it", "is", "was", "on",
        ):  # fmt: skip
            raise Unread
        reader.take("the")
        day = _date(reader)
    return Weekday(day=day)


def _leap(reader: Reader, asked: Asked, today: date) -> DateProblem | None:
    if not reader.take_any("is", "was", "will"):
        return None
    reader.take("the", "year")
    year = _year(reader)
    reader.take("be")
    if not reader.take("a", "leap", "year"):
        raise Unread
    return LeapYear(year=year)


def _month_length(reader: Reader, asked: Asked, today: date) -> DateProblem | None:
    """How many days are in February 2024."""
    if not reader.take("how", "many", "days"):
        return None
    reader.take_any("are there", "are", "were there", "were", "does", "did")
    reader.take("in")
    month = _month(reader)
    reader.take_any("of", ",")
    year = _year(reader)
    reader.take("have")
    return DaysInMonth(year=year, month=month)


def _after(reader: Reader, asked: Asked, today: date) -> DateProblem | None:
    """What date is 90 days after 2024-01-15; the date 3 weeks from today; 10 days ago."""
    reader.take_any("what", "which")
    reader.take("the")
    dated = reader.take_any("date", "day of the week", "day")
    reader.take_any("will it be", "was it", "is it", "would be", "will be", "is", "was", "comes")
    reader.take("the", "date")
    inside = dated and reader.take("in")
    reader.take("exactly")
    days = _span(reader)
    if inside:
        if not asked.question:
            raise Unread
        reader.take_any("time", "from now", "from today")
        return DateAfter(start=today, days=days, relative=True)
    if reader.take_any("after today", "from today", "from now", "after now"):
        _ask(dated or asked.question)
        return DateAfter(start=today, days=days, relative=True)
    if reader.take("ago") or reader.take_any("before today", "before now"):
        _ask(dated or asked.question)
        reader.take("today")
        return DateAfter(start=today, days=-days, relative=True)
    if reader.take_any("after", "from"):
        return DateAfter(start=_date(reader), days=days)
    if reader.take("before"):
        return DateAfter(start=_date(reader), days=-days)
    raise Unread


def _ask(asked: bool) -> None:
    if not asked:
        raise Unread


def _span(reader: Reader) -> int:
    """90 days, two weeks, a week."""
    if reader.take_any("a week", "one week"):
        return 7
    if reader.take_any("a day", "one day"):
        return 1
    value = reader.number().value
    if reader.ended or value.denominator != 1 or not 0 <= value <= _MOST_DAYS:
        raise Unread
    step = _STEPS.get(reader.tokens[reader.place].text)
    if step is None:
        raise Unread
    reader.place += 1
    return value.numerator * step


def _date(reader: Reader) -> date:
    """3 March 2024, 3rd of March, 2024, March 3rd 2024, 2024-01-15, 25/12/2024."""
    start = reader.place
    for form in (_written_date, _figures):
        reader.place = start
        try:
            year, month, day = form(reader)
            if not FIRST_YEAR <= year <= LAST_YEAR:
                raise Unread
            return date(year, month, day)
        except Unread:
            continue
        except ValueError:  # the 30th of February
            raise Unread from None
    raise Unread


def _written_date(reader: Reader) -> tuple[int, int, int]:
    reader.take("the")
    if reader.ended:
        raise Unread
    if reader.tokens[reader.place].text in _MONTHS:
        month = _month(reader)
        reader.take("the")
        day = _day(reader)
    else:
        day = _day(reader)
        reader.take("of")
        month = _month(reader)
    reader.take_any(",", "of", "in")
    return _year(reader), month, day


def _figures(reader: Reader) -> tuple[int, int, int]:
    tokens = reader.tokens[reader.place : reader.place + 5]
    if len(tokens) < 5 or any(token.spaced for token in tokens[1:]):
        raise Unread
    texts = [token.text for token in tokens]
    separator = texts[1]
    if separator not in ("-", "/", ".") or texts[3] != separator:
        raise Unread
    if not all(texts[place].isdigit() for place in (0, 2, 4)):
        raise Unread
    one, two, three = (int(texts[place]) for place in (0, 2, 4))
    reader.place += 5
    if len(texts[0]) == 4:
        return one, two, three
    if len(texts[4]) != 4:
        raise Unread
    if one > 12 or one == two:
        return three, two, one
    if two > 12:
        return three, one, two
    raise Unread  # 03/04/2024 is in March or in April


def _number(reader: Reader) -> str:
    if reader.ended or not (text := reader.tokens[reader.place].text).isdigit():
        raise Unread
    reader.place += 1
    return text


def _day(reader: Reader) -> int:
    text = _number(reader)
    if len(text) > 2:
        raise Unread
    if not reader.ended and (suffix := reader.tokens[reader.place]).text in _SUFFIXES:
        if suffix.spaced:
            raise Unread
        reader.place += 1
    return int(text)


def _month(reader: Reader) -> int:
    if reader.ended or (month := _MONTHS.get(reader.tokens[reader.place].text)) is None:
        raise Unread
    reader.place += 1
    reader.take(".")
    return month


def _year(reader: Reader) -> int:
    text = _number(reader)
    if len(text) != 4 or not FIRST_YEAR <= int(text) <= LAST_YEAR:
        raise Unread
    return int(text)
