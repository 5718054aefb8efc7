"""Kind ``dates``: days between two dates, a date so many days on, weekdays, leap years.

Dates are of the Gregorian calendar, from 1753 on: before that, what a date meant depended on the
country. A date in figures is read only where day and month cannot be mistaken for each other.
"""

from __future__ import annotations

from calendar import isleap, monthrange
from dataclasses import dataclass
from datetime import date, timedelta

from mesh.exact.base import CALCULATOR, Declined, Exact, Problem

FIRST_YEAR, LAST_YEAR = 1753, 9999
MONTH_NAMES = (
    "january", "february", "march", "april", "may", "june", "july", "august", "september",
    "october", "november", "december",
)  # fmt: skip
_WEEKDAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")


@dataclass(frozen=True, slots=True, kw_only=True)
class DaysBetween(Problem):
    kind: str = "dates"
    first: date
    second: date


@dataclass(frozen=True, slots=True, kw_only=True)
class DateAfter(Problem):
    """``days`` after ``start``, negative: before it. ``relative``: ``start`` is today, which the
    answer names, since somebody elsewhere may have another one."""

    kind: str = "dates"
    start: date
    days: int
    relative: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Weekday(Problem):
    kind: str = "dates"
    day: date


@dataclass(frozen=True, slots=True, kw_only=True)
class LeapYear(Problem):
    kind: str = "dates"
    year: int


@dataclass(frozen=True, slots=True, kw_only=True)
class DaysInMonth(Problem):
    kind: str = "dates"
    year: int
    month: int


DateProblem = DaysBetween | DateAfter | Weekday | LeapYear | DaysInMonth


def solve(problem: DateProblem) -> Exact | Declined:
    match problem:
        case DaysBetween(first=first, second=second):
            days = abs((second - first).days)
            return _exact(f"{days} {_days(days)}", f"read as {_said(first)} to {_said(second)}")
        case DateAfter(start=start, days=days, relative=relative):
            try:
                found = start + timedelta(days=days)
            except OverflowError:
                return Declined(note="that date is outside the calendar")
            if not FIRST_YEAR <= found.year <= LAST_YEAR:
                return Declined(note=f"dates are from {FIRST_YEAR} to {LAST_YEAR}")
            text = f"{_weekday_of(found)}, {_said(found)}"
            if relative:
                text += f" (counted from {_weekday_of(start)}, {_said(start)})"
            return _exact(text, f"read as {days} {_days(days)} from {_said(start)}")
        case Weekday(day=day):
            return _exact(_weekday_of(day), f"read as {_said(day)}")
        case LeapYear(year=year):
            leap = isleap(year)
            text = f"Yes, {year} is a leap year." if leap else f"No, {year} is not a leap year."
            return _exact(text, f"read as the year {year}")
        case DaysInMonth(year=year, month=month):
            days = monthrange(year, month)[1]
            return _exact(f"{days} days", f"read as {MONTH_NAMES[month - 1].capitalize()} {year}")


def _exact(text: str, note: str) -> Exact:
    return Exact(text=text, kind="dates", specialty=CALCULATOR, note=note)


def _weekday_of(day: date) -> str:
    return _WEEKDAYS[day.weekday()]


def _said(day: date) -> str:
    # Not by strftime, whose names are the locale's.
    return f"{day.day} {MONTH_NAMES[day.month - 1].capitalize()} {day.year}"


def _days(count: int) -> str:
    return "day" if abs(count) == 1 else "days"
