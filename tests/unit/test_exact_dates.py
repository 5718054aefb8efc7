"""Dates: against ``datetime``, and what is too ambiguous to be read."""

from __future__ import annotations

from datetime import date, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mesh.exact.base import Declined, Exact
from mesh.exact.reading import answer, read

TODAY = date(2026, 11, 21)
MONTHS = (
    "January", "February", "March", "April", "May", "June", "July", "August", "September",
    "October", "November", "December",
)  # fmt: skip
WEEKDAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
DATES = st.dates(date(1753, 1, 1), date(2200, 12, 31))


def said(text: str) -> str | None:
    problem = read(text, TODAY)
    if problem is None or problem.kind != "dates":
        return None
    match answer(problem):
        case Exact(text=answered):
            return answered
        case _:
            return None


def suffix(day: int) -> str:
    return "th" if 10 < day < 20 else {1: "st", 2: "nd", 3: "rd"}.get(day % 10, "th")


def written(day: date, form: int) -> str:
    month = MONTHS[day.month - 1]
    return (
        f"{day.day} {month} {day.year}",
        f"{month} {day.day}, {day.year}",
        f"the {day.day}{suffix(day.day)} of {month[:3]} {day.year}",
        f"{month} {day.day}{suffix(day.day)} {day.year}",
        day.isoformat(),
    )[form]


FORMS = st.integers(0, 4)


@settings(deadline=None)
@given(DATES, DATES, FORMS, FORMS)
def test_days_between_two_dates(one: date, other: date, form: int, second: int) -> None:
    days = abs((other - one).days)
    text = f"how many days are there between {written(one, form)} and {written(other, second)}?"
    assert said(text) == f"{days} {'day' if days == 1 else 'days'}"


@settings(deadline=None)
@given(DATES, st.integers(0, 20_000), FORMS, st.sampled_from(["after", "before"]))
def test_a_date_so_many_days_on(start: date, days: int, form: int, side: str) -> None:
    found = start + timedelta(days=days if side == "after" else -days)
    text = said(f"what date is {days} days {side} {written(start, form)}")
    if found.year < 1753:
        assert text is None
    else:
        day = WEEKDAYS[found.weekday()]
        assert text == f"{day}, {found.day} {MONTHS[found.month - 1]} {found.year}"


@settings(deadline=None)
@given(DATES, FORMS)
def test_the_day_of_the_week(day: date, form: int) -> None:
    assert said(f"what day of the week was {written(day, form)}") == WEEKDAYS[day.weekday()]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("days between 3 March 2024 and 1 May 2024", "59 days"),
        ("what day of the week was 4 July 1776", "Thursday"),
        ("what date is 90 days after 2024-01-15", "Sunday, 14 April 2024"),
        ("what is the date 2 weeks before March 1, 2024", "Friday, 16 February 2024"),
        ("what day of the week will 25/12/2030 be", "Wednesday"),
        ("what day will be 4 July 1776", "Thursday"),
        ("days from 3/3/2024 to april 1st, 2024", "29 days"),
        ("is 1900 a leap year?", "No, 1900 is not a leap year."),
        ("was 2000 a leap year", "Yes, 2000 is a leap year."),
        ("how many days are in february 2024", "29 days"),
    ],
)
def test_what_people_ask(text: str, expected: str) -> None:
    assert said(text) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("what day is it in 10 days", "Tuesday, 1 December 2026"),
        ("what was the date 3 weeks ago", "Saturday, 31 October 2026"),
        ("what's the date 45 days from now?", "Tuesday, 5 January 2027"),
    ],
)
def test_today_is_handed_in_and_named_in_the_answer(text: str, expected: str) -> None:
    assert said(text) == f"{expected} (counted from Saturday, 21 November 2026)"


@pytest.mark.parametrize(
    "text",
    [
        "what day was 03/04/2024",
        "days between 03/04/2024 and 1 May 2024",
        "what day of the week was 30 february 2024",
        "what day of the week was 4 July 1066",
        "what day of the week was 4 July 76",
        "days from 1 May 2024 through 3 May 2024",
        "what day is today",
        "10 days ago",
        "how many days until christmas",
        "what date is 3 months after 31 January 2024",
        "what date is 2.5 days after 1 May 2024",
    ],
)
def test_ambiguous_or_unreal_dates_are_not_read(text: str) -> None:
    assert said(text) is None


def test_a_date_beyond_the_calendar_is_declined() -> None:
    problem = read("what date is 999999 weeks after 1 January 9000", TODAY)
    assert problem is None or isinstance(answer(problem), Declined)
    problem = read("what date is 999999 days after 1 January 9000", TODAY)
    assert problem is not None
    assert isinstance(answer(problem), Declined)
