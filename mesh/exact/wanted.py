"""Is a value asked for? The one judge of what was read: a reason for silence, or None.

It is an allow list. What a person wrote counts as a request for the value of a sum by how it is
put (``Put``): a command or an equals sign asks for any sum; a question for a sum that has no other
reading; a text of nothing but the sum only for one that nobody writes for anything else, such as
``5^3 + 1``. Dates, phone numbers, ranges, sizes, scores, seasons, aeroplanes, versions and codes
are not told by what they look like: a chain of figures with only ``-``, ``/`` or ``x`` between them
is one of those until it shows that it is none.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from enum import IntEnum

from mesh.exact.base import Problem
from mesh.exact.plain import plain, written_out
from mesh.exact.quick.calculator import Sum
from mesh.exact.quick.dates import Dated
from mesh.exact.quick.numerals import NUMBER, ORDINALS, spelt
from mesh.exact.quick.unit_names import Quantity
from mesh.exact.quick.units import Conversion
from mesh.exact.quick.wrapping import Asked, unwrap


class Put(IntEnum):
    """How a sum is put, the least telling first."""

    BARE = 0  # nothing but itself
    QUESTION = 1  # "what is", or a turn of a conversation that does sums
    COMMAND = 2  # "calculate", "equals", a closing "="
    NEVER = 3


def unasked(text: str, problem: Problem, *, doing_sums: bool = False) -> str | None:
    """Why ``text``, which was read as ``problem``, asks for no value; None where it does.

    ``doing_sums``: the conversation before it is sums and their answers. Pure; linear in the text.
    """
    match problem:
        case Sum():
            return _sum(text, doing_sums=doing_sums)
        case Conversion():
            return _conversion(text, problem)
        case Dated():
            return None if _ASKS_A_DATE.search(text) else "a date, and no question about it"
    return None  # the solver's kinds read only what has its task in it: "solve", "is ... prime"


def _sum(text: str, *, doing_sums: bool) -> str | None:
    line = (plain(text.strip()) or "").lower()
    asked = unwrap(lower := written_out(line))
    figures = spelt(asked.text)
    if figures is None:
        return "its figures have two readings"
    if asked.wish and not (asked.question or asked.sure):
        return "something is wished for, and no value"
    if lower != line:
        return None  # nobody writes 2e-3 but a calculator, and those who have one
    put = _put(asked)
    said = " ".join(figures.text.split())
    if (word := _WORD.search(said)) is not None and not _words_are_signs(said):
        least, reading = _least_of_words(said, asked, word[0])
    else:
        least, reading = _least_of_signs(_signs(said))
        if _ROOMS.fullmatch(said):
            least, reading = Put.QUESTION, "a flat, or a telephone"
        if reading == "a size" and _HOW_MUCH.search(text):
            least, reading = Put.COMMAND, "the price of a size"
    if put >= least or (doing_sums and put is Put.BARE and least is Put.QUESTION):
        return None
    return f"it may be {reading}, and {_PUTS[put]}"


_HOW_MUCH = re.compile(r"\bhow much\b", re.IGNORECASE)
_PUTS = {
    Put.BARE: "nothing asks for its value",
    Put.QUESTION: "the question may be what that is",
    Put.COMMAND: "so may be what is asked for",
}


def _put(asked: Asked) -> Put:
    if asked.sure:
        return Put.COMMAND
    return Put.QUESTION if asked.what else Put.BARE


# -- sums in words ---------------------------------------------------------------------------------

_WORD = re.compile(r"(?<![a-z])(?!x(?![a-z])|sqrt\b)[a-z]+|[%$€£]")
_SIGN_WORDS = (
    (re.compile(r"(?<![a-z])(?:plus|added to)\b"), "+"),
    (re.compile(r"(?<![a-z])(?:times|multiplied by)\b"), "⋅"),
    (re.compile(r"(?<![a-z])divided (?:by|buy)\b"), "÷"),
    (re.compile(r"(?<![a-z])(?:minus|subtracted from)\b"), "−"),
    (re.compile(r"\b(?:squared|cubed|factorial)\b"), "²"),
    (re.compile(r"\bfact(?= ?\()"), "²"),
    (re.compile(r"\bnegative\b"), ""),
    (re.compile(r"\b(?:raised )?to the (?:power(?: of)?\b)?"), "^"),
    (re.compile(rf"\b(?:{'|'.join(ORDINALS)})\b|(?<=[0-9])(?:st|nd|rd|th)\b|\bpower\b"), ""),
    (re.compile(r"\b(?:mod|modulo)\b"), "÷"),
)


def _signs(text: str) -> str:
    """With the words that are nothing but operators by signs that are nothing else either."""
    for pattern, sign in _SIGN_WORDS:
        text = pattern.sub(sign, text)
    return text


def _words_are_signs(text: str) -> bool:
    return _WORD.search(_signs(text)) is None


_PERCENT = " ?(?:%|percent|per cent)"
_SHARE = rf"(?:an? )?{NUMBER}(?: ?/ ?{NUMBER})?"
# How a sum begins that is put in words, and the least that asks for its value. The first that fits
# counts.
_PUT_IN_WORDS = tuple(
    (re.compile(form), least, reading)
    for form, least, reading in (
        ("(?:add|multiply|divide|subtract|take|increase|decrease|reduce) ", Put.BARE, ""),
        ("(?:the )?(?:sum|product|average|mean|square|cube|factorial|remainder|gcd|gcf|hcf|lcm) "
         "(?:of|when) ", Put.BARE, ""),
        ("(?:the )?(?:greatest|highest|least|lowest) common ", Put.BARE, ""),
        (r"(?:the )?[a-z0-9]+ (?:root|rt) of ", Put.BARE, ""),
        (f"{_SHARE}{_PERCENT} (?:tip on|tip for|tax on|of) ", Put.BARE, ""),
        (f"{_SHARE}{_PERCENT} off ", Put.QUESTION, "a discount"),
        (f"{_SHARE} as a percent", Put.BARE, ""),
        ("how many times ", Put.BARE, ""),
        (rf"{NUMBER} ?[*/] ?{NUMBER} ?%", Put.BARE, ""),
        ("[0-9]+/[0-9]+ of ", Put.BARE, ""),
        ("(?:an? )?[0-9⁄/.]+ of ", Put.QUESTION, "a share"),
        ("(?:double|triple|twice) [0-9]{2}", Put.QUESTION, "a name"),
        ("(?:double|triple|twice) ", Put.COMMAND, "a name"),
        ("(?:the )?difference between ", Put.COMMAND, "about two things of these names"),
        ("(?:the )?(?:total|quotient) of ", Put.QUESTION, "a part of a sentence"),
        (".* is what percent", Put.BARE, ""),
        ("(?:percent|percentage|per cent) (?:of|is) ", Put.QUESTION, "a statement"),
        (".* (?:increased|decreased|reduced) by ", Put.QUESTION, "a statement"),
        (".* over ", Put.COMMAND, "a blood pressure or a score"),
    )
)  # fmt: skip


def _least_of_words(text: str, asked: Asked, word: str) -> tuple[Put, str]:
    for pattern, least, reading in _PUT_IN_WORDS:
        if pattern.match(text) is not None:
            return least, reading
    return (Put.QUESTION if asked.question else Put.COMMAND), f"a sentence, for its '{word}'"


# -- sums in signs ---------------------------------------------------------------------------------

_LIKE_A_CALCULATOR = re.compile(r"[+^÷√²⋅]|\*\*|sqrt|- ?\(?-|\)[*/]|[*/]\(")
_MINUTE = re.compile(r"(?:45|90|105|120) ?\+ ?[0-9]{1,2}")
_FIGURE = re.compile(r"[0-9]+(?:\.[0-9]+)?(?:⁄[0-9]+)?|\.[0-9]+")
_TIGHT = re.compile(r"[0-9)][-x×/−][0-9(.]")
_YEARS = range(1500, 2101)
_MOST_MONTHS = 12  # 12/24 is Christmas Eve
_AEROPLANE = re.compile(r"7[0-9]7 ?- ?(?:[1-9]|[1-9]00)")
_SMALL = re.compile(r"0?\.[0-9]{3,}")  # and no version
_ZIP = re.compile(r"[0-9]{5} ?- ?[0-9]{4}")
_BOOK = ("978", "979")
# What small figures with a minus between them are the names of.
_NAMED = {("9", "5"), ("10", "4"), ("8", "6"), ("5", "4"), ("120", "80")}
_ROUND = 50
_SCREEN = 240  # the least side of a picture in pixels
_CROSS_COUNTRY = {("4", "4"), ("2", "4"), ("4", "2")}
_RATIOS = {("16", "9"), ("9", "16"), ("4", "3"), ("3", "2"), ("21", "9"), ("24", "7"), ("7", "24")}
_PLANK = ("2", "4")
_ROOMS = re.compile(r"[2-9]\+[01]|1 plus (?:[2-9]|1[0-5])")  # and telephones: OnePlus 9
_NOT_A_PAIR = 100_000  # figures that are no date, no tyre, no file's number and no two sizes


def _least_of_signs(text: str) -> tuple[Put, str]:
    """The least that asks for the value of figures and signs, and what else they may be."""
    numbers = _FIGURE.findall(text)
    signs = set(re.findall(r"[-+*x×/÷^!−√²]", text))
    if _MINUTE.fullmatch(text):
        return Put.COMMAND, "a minute of a match"
    if "−" in signs and not signs & {"-", "/", "x", "×"}:
        return Put.BARE, ""  # minus as a word
    if _LIKE_A_CALCULATOR.search(text):
        return Put.BARE, ""
    if signs == {"!"}:
        return Put.QUESTION, "an exclamation"
    if signs == {"*"}:
        return _product(numbers)
    if "*" in signs or (text.startswith("-") and signs & {"x", "×"}):
        return Put.BARE, ""
    if signs <= {"x", "×"}:
        pair = tuple(numbers)
        small = _TIGHT.search(text) is not None or pair in _RATIOS or pair == _PLANK
        if small or min(map(float, map(_decimal, numbers))) >= _SCREEN:
            return Put.COMMAND, "a size"
        return Put.QUESTION, "a size"
    if signs == {"/"}:
        return _quotient(text, numbers)
    if signs <= {"-", "−"}:
        return _difference(text, numbers)
    if signs == {"x", "/"} and not _TIGHT.search(text.replace("/", ":")):
        return Put.QUESTION, "a size"
    if signs <= {"-", "/", "−"} and not _TIGHT.search(text.replace("/", ":")):
        return _of_fractions(text)
    if signs and not _TIGHT.search(text):
        return Put.QUESTION, "a code"
    return Put.COMMAND, "a code"


def _decimal(number: str) -> str:
    return number.partition("⁄")[0]


def _product(numbers: Sequence[str]) -> tuple[Put, str]:
    if all(number.isdecimal() for number in numbers):
        if min(map(int, numbers)) >= _SCREEN:
            return Put.COMMAND, "the size of a picture"
        if tuple(numbers) in _CROSS_COUNTRY | _RATIOS:
            return Put.QUESTION, "a car, a plank or a screen"
        if len(numbers) > 2 or all(int(n) >= _ROUND and not int(n) % 10 for n in numbers):
            return Put.QUESTION, "a size"
    return Put.BARE, ""


def _quotient(text: str, numbers: Sequence[str]) -> tuple[Put, str]:
    reading = "a date, a share, a name or a code"
    if len(numbers) != 2:
        return Put.COMMAND, reading
    spaced = not _TIGHT.search(text)
    if not all(number.isdecimal() for number in numbers):
        falling = "⁄" in text or float(numbers[0]) > float(numbers[1])
        return (Put.QUESTION if spaced and falling else Put.COMMAND), reading
    a, b = map(int, numbers)
    if min(a, b) >= _NOT_A_PAIR and a % b:
        return Put.BARE, ""
    if b == 0:
        return Put.QUESTION, reading
    if a % b or a == b or a + b == 100 or a in _YEARS or 40 <= b <= 130:
        large = spaced and a > 366 and a not in _YEARS and a > b > 1
        return (Put.QUESTION if large else Put.COMMAND), reading
    # 84/7 and no speed (100/10), no sizes of memory (128/8)
    sizes = (a % 5 == 0 and b % 5 == 0) or (a & (a - 1) == 0 and b & (b - 1) == 0)
    if a > 31 and b > 1 and not sizes:
        return Put.BARE, ""
    return (Put.QUESTION if spaced or (a > 31 and b > 1) else Put.COMMAND), reading


def _difference(text: str, numbers: Sequence[str]) -> tuple[Put, str]:
    reading = "a range, a score, a date, a number to call or a name"
    if _TIGHT.search(text) or "⁄" in text or "−" in text:
        return Put.COMMAND, reading
    values = [float(number) for number in numbers]
    rest = values[0] - sum(values[1:])
    if len(values) == 2 and rest >= 0 and all(map(_SMALL.fullmatch, numbers)):
        return Put.BARE, ""
    pair = (numbers[0], numbers[1])
    year, short = int(values[0]) if values[0] in _YEARS else 0, values[1] < 100
    named = (
        _AEROPLANE.fullmatch(text)
        or _ZIP.fullmatch(text)
        or pair in _NAMED
        or numbers[0] in _BOOK
        or (year and short and not _MOST_MONTHS < values[1] <= year % 100)  # 1914 - 18, 2024 - 12
        or sum(values) == 100
    )
    if rest < 0 or named or "(" in text:
        return Put.COMMAND, reading
    if len(values) > 2 and (values[0] <= 31 or values[0] in _YEARS):  # 20 - 10 - 5, 2024 - 12 - 25
        return Put.COMMAND, reading
    return Put.QUESTION, reading


_PROPER = re.compile(r"([0-9]+) ?/ ?([0-9]+)")


def _of_fractions(text: str) -> tuple[Put, str]:
    """3/4 - 1/2, but neither 12/1 - 1/6 nor 1/2 - 3/4."""
    reading = "dates, or a score"
    parts = [part.strip() for part in text.split("-")]
    values: list[float] = []
    for part in parts:
        found = _PROPER.fullmatch(part)
        if found is not None and 0 < int(found[1]) < int(found[2]) <= _MOST_MONTHS:
            values.append(int(found[1]) / int(found[2]))
        elif _FIGURE.fullmatch(part) and "⁄" not in part:
            values.append(float(part))
        else:
            return Put.COMMAND, reading
    return (Put.QUESTION if values[0] >= sum(values[1:]) else Put.COMMAND), reading


# -- units and dates -------------------------------------------------------------------------------

_ASKS_A_DATE = re.compile(
    r"\b(?:what|what's|whats|which|how many|tell me|number of|calculate|compute|days between|find"
    r"|(?:is|was|will) .*leap year)\b|\?",
    re.IGNORECASE,
)
_ASKS_A_UNIT = re.compile(
    r"\b(?:how|what|whats|convert\w*|conversions?|chang(?:e|ing)|turn\w*|express\w*|translat\w*"
    r"|switch\w*|transform|equals?|calculate|compute|amount|number)\b|[?=]|wat is",
    re.IGNORECASE,
)


def _conversion(text: str, problem: Conversion) -> str | None:
    if _ASKS_A_UNIT.search(text):
        return None
    if re.match(r"\W*from\b", text, re.IGNORECASE):
        return "it may be a range, and nothing asks for a conversion"
    timed = problem.target.quantity in (Quantity.TIME, Quantity.CALENDAR)
    if timed and _rises(problem):
        return "it may be how long something takes, and nothing asks for a conversion"
    return None


_LONGER = (
    *("nanosecond", "microsecond", "millisecond", "second", "minute", "hour", "day", "week"),
    *("14 * day", "month", "12 * month", "120 * month", "1200 * month", "12000 * month"),
)


def _rises(problem: Conversion) -> bool:
    """Two days to weeks."""
    longest = max(_LONGER.index(unit.pint) for _, unit in problem.source if unit.pint in _LONGER)
    return _LONGER.index(problem.target.pint) > longest
