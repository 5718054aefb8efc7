"""Kind ``dates``: days between two dates, a date so many days on, weekdays, leap years.

Dates are of the Gregorian calendar, from 1753 on: before that, what a date meant depended on the
country. A date in figures is read only where day and month cannot be mistaken for each other.
"""

from __future__ import annotations

import re
from calendar import isleap, monthrange
from dataclasses import dataclass
from datetime import date, timedelta

from mesh.exact.base import CALCULATOR, Declined, Exact, Problem, words
from mesh.exact.phrase import phrase, words_of
from mesh.exact.quick.numerals import NUMBER_WORDS, Spelt
from mesh.exact.quick.wrapping import Asked

FIRST_YEAR, LAST_YEAR = 1753, 9999
MONTH_NAMES = (
    "january", "february", "march", "april", "may", "june", "july", "august", "september",
    "october", "november", "december",
)  # fmt: skip
_WEEKDAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")


@dataclass(frozen=True, slots=True, kw_only=True)
class Dated(Problem):
    """To read a question about dates costs more than to answer it; so it comes with its answer."""

    kind: str = "dates"
    answer: Exact | Declined


_MOST_DAYS = 1_000_000
_MONTHS = {name: number for number, name in enumerate(MONTH_NAMES, 1)}
_MONTHS |= {name[:3]: number for name, number in _MONTHS.items()} | {"sept": 9}
_STEPS = {"day": 1, "days": 1, "week": 7, "weeks": 7, "fortnight": 14, "fortnights": 14}
_MONTH = "|".join(sorted(_MONTHS, key=len, reverse=True))
_SLOTS = {
    "year": "[0-9]{4}",
    "month": _MONTH,
    "span": f"a week|a day|[0-9]+ (?:{'|'.join(_STEPS)})",
}
_DAYS_BETWEEN = phrase(
    "(how many days[ are there| are| is it| were there| passed| were]"
    "|[the ][number of |difference in ]days) (between <a> and <b>|from <c> (to|until|till) <d>)"
)
_WEEKDAY = phrase(
    "[on ][what |which ][the ](day of the week|weekday|day) "
    "((did|does|will(?! be)) <a>[ fall on| fall| be on| be]"
    "|(is it on|was it on|it will be on|falls on|be|will be|was it|is it|is|was|on) [the ]<b>)"
)
_LEAP = phrase("(is|was|will) [the year ]<year> [be ]a leap year", **_SLOTS)
_MONTH_LENGTH = phrase(
    "how many days [are there |are |were there |were |does |did ][in ]<month>[.][ of|,] ?<year>"
    "[ have]",
    **_SLOTS,
)
_AFTER = phrase(
    "[what |which ][the ][<dated> ][will it be |was it |is it |would be |will be |is |was |comes ]"
    "[the date ][<inside> ][exactly ]<span>"
    "[ (<on>|<back>|(after|from) <start>|before <end>|time|from now|from today)]",
    dated="date|day of the week|day",
    inside="in",
    on="after today|from today|from now|after now",
    back="ago(?: today)?|before (?:today|now)",
    **_SLOTS,
)
WORDS = (
    frozenset(_MONTHS)
    | words_of(_DAYS_BETWEEN, _WEEKDAY, _LEAP, _MONTH_LENGTH, _AFTER)
    | words("st nd rd th to later earlier tomorrow yesterday since or pass has")
    | NUMBER_WORDS
)


def recognise(asked: Asked, figures: Spelt, today: date) -> Dated | None:
    """``asked``: plain, in lower case, without its politeness; ``figures``: with its numbers so.
    Pure, and linear in its length."""
    text = figures.text
    try:
        if (match := _DAYS_BETWEEN.fullmatch(text)) is not None:
            first, second = (each for each in match.groups() if each is not None)
            return _between(_date(first), _date(second))
        if (match := _LEAP.fullmatch(text)) is not None:
            year = _year(match["year"])
            text = (
                f"Yes, {year} is a leap year."
                if isleap(year)
                else f"No, {year} is not a leap year."
            )
            return _dated(text, f"the year {year}")
        if (match := _MONTH_LENGTH.fullmatch(text)) is not None:
            year, month = _year(match["year"]), _MONTHS[match["month"]]
            days = monthrange(year, month)[1]
            return _dated(f"{days} days", f"{MONTH_NAMES[month - 1].capitalize()} {year}")
        if (match := _AFTER.fullmatch(text)) is not None:
            return _after(match, asked, today)
        if (match := _WEEKDAY.fullmatch(text)) is not None:
            day = _date(match["a"] or match["b"])
            return _dated(_WEEKDAYS[day.weekday()], _said(day))
    except ValueError:  # no such day, or none that is read
        return None
    return None


def _dated(text: str, read_as: str) -> Dated:
    note = f"read as {read_as}"
    return Dated(answer=Exact(text=text, kind="dates", specialty=CALCULATOR, note=note))


def _between(first: date, second: date) -> Dated:
    return _dated(_days(abs((second - first).days)), f"{_said(first)} to {_said(second)}")


def _on(start: date, days: int, *, relative: bool = False) -> Dated:
    """``relative``: ``start`` is today, which the answer names, since somebody elsewhere may have
    another one."""
    try:
        found = start + timedelta(days=days)
    except OverflowError:
        return Dated(answer=Declined(note="that date is outside the calendar"))
    if not FIRST_YEAR <= found.year <= LAST_YEAR:
        return Dated(answer=Declined(note=f"dates are from {FIRST_YEAR} to {LAST_YEAR}"))
    text = f"{_WEEKDAYS[found.weekday()]}, {_said(found)}"
    if relative:
        text += f" (counted from {_WEEKDAYS[start.weekday()]}, {_said(start)})"
    return _dated(text, f"{_days(days)} from {_said(start)}")


def _said(day: date) -> str:
    # Not by strftime, whose names are the locale's.
    return f"{day.day} {MONTH_NAMES[day.month - 1].capitalize()} {day.year}"


def _days(count: int) -> str:
    return f"{count} {'day' if abs(count) == 1 else 'days'}"


def _after(match: re.Match[str], asked: Asked, today: date) -> Dated | None:
    """What date is 90 days after 2024-01-15; the date 3 weeks from today; 10 days ago. Raises
    ``ValueError``."""
    days, dated = _span(match["span"]), match["dated"] is not None
    if start := match["start"] or match["end"]:
        back = match["start"] is None
        if match["inside"]:
            return None
        return _on(_date(start), -days if back else days)
    if match["inside"]:
        if not (dated and asked.question) or match["back"] or match["on"] not in _FROM_NOW:
            return None
    elif not (dated or asked.question) or not (match["on"] or match["back"]):
        return None
    return _on(today, -days if match["back"] else days, relative=True)


_FROM_NOW = (None, "from now", "from today")


def _span(text: str) -> int:
    """90 days, two weeks, a week. Raises ``ValueError``."""
    count, _, step = text.partition(" ")
    days = 1 if count == "a" else int(count)
    if days > _MOST_DAYS:
        raise ValueError
    return days * _STEPS[step]


_WRITTEN = (
    re.compile(rf"(?:the )?(?P<month>{_MONTH})\.? ?(?:the )?(?P<day>[0-9]{{1,2}})(?:st|nd|rd|th)?"
               r"(?: ?,| of| in)? ?(?P<year>[0-9]{4})"),
    re.compile(rf"(?:the )?(?P<day>[0-9]{{1,2}})(?:st|nd|rd|th)? ?(?:of )?(?P<month>{_MONTH})\.?"
               r"(?: ?,| of| in)? ?(?P<year>[0-9]{4})"),
)  # fmt: skip
_FIGURES = re.compile(r"([0-9]+)([-/.])([0-9]+)\2([0-9]+)")


def _date(text: str) -> date:
    """3 March 2024, 3rd of March, 2024, March 3rd 2024, 2024-01-15, 25/12/2024. Raises
    ``ValueError``."""
    for pattern in _WRITTEN:
        if (match := pattern.fullmatch(text)) is not None:
            return date(_year(match["year"]), _MONTHS[match["month"]], int(match["day"]))
    match = _FIGURES.fullmatch(text)
    if match is None:
        raise ValueError
    one, two, three = int(match[1]), int(match[3]), int(match[4])
    if len(match[1]) == 4:
        return date(_year(match[1]), two, three)
    if len(match[4]) != 4:
        raise ValueError
    if one > 12 or one == two:
        return date(_year(match[4]), two, one)
    if two > 12:
        return date(_year(match[4]), one, two)
    raise ValueError  # 03/04/2024 is in March or in April


def _year(text: str) -> int:
    """Raises ``ValueError``."""
    year = int(text)
    if not FIRST_YEAR <= year <= LAST_YEAR:
        raise ValueError
    return year
