"""Conversions, against factors written here by hand from the units' definitions."""

from __future__ import annotations

import re
from datetime import date
from fractions import Fraction
from itertools import permutations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mesh.exact.base import Declined, Exact
from mesh.exact.quick import units
from mesh.exact.quick.unit_names import NAMES
from mesh.exact.quick.units import Conversion
from mesh.exact.reading import answer, read

TODAY = date(2026, 1, 15)
F = Fraction

# International yard and pound (1959), US customary volumes (231 cubic inches a gallon), imperial
# gallon (4.54609 l), SI, ISO 31. In metres, kilograms, cubic metres, seconds, square metres,
# months, metres a second, bits, pascals, joules, watts.
BY_HAND: dict[str, dict[str, Fraction]] = {
    "length": {
        "nanometers": F(1, 10**9), "millimeters": F(1, 1000), "centimeters": F(1, 100),
        "decimeters": F(1, 10), "meters": F(1), "kilometers": F(1000), "inches": F(254, 10000),
        "feet": F(3048, 10000), "yards": F(9144, 10000), "miles": F(1609344, 1000),
        "nautical miles": F(1852), "furlongs": F(201168, 1000),
        "light years": F(299792458) * 36525 * 864,
    },
    "mass": {
        "milligrams": F(1, 10**6), "grams": F(1, 1000), "kilograms": F(1),
        "pounds": F(45359237, 10**8), "ounces": F(45359237, 16 * 10**8),
        "stone": F(45359237 * 14, 10**8), "tonnes": F(1000),
    },
    "volume": {
        "milliliters": F(1, 10**6), "liters": F(1, 1000), "cubic meters": F(1),
        "cubic inches": F(254, 10000) ** 3, "gallons": 231 * F(254, 10000) ** 3,
        "quarts": 231 * F(254, 10000) ** 3 / 4, "pints": 231 * F(254, 10000) ** 3 / 8,
        "cups": 231 * F(254, 10000) ** 3 / 16, "fluid ounces": 231 * F(254, 10000) ** 3 / 128,
        "tablespoons": 231 * F(254, 10000) ** 3 / 256,
        "teaspoons": 231 * F(254, 10000) ** 3 / 768, "imperial gallons": F(454609, 10**8),
        "imperial pints": F(454609, 8 * 10**8), "imperial fluid ounces": F(454609, 160 * 10**8),
    },
    "area": {
        "square meters": F(1), "square kilometers": F(10**6), "hectares": F(10**4),
        "square inches": F(254, 10000) ** 2, "square feet": F(3048, 10000) ** 2,
        "square yards": F(9144, 10000) ** 2, "acres": 4840 * F(9144, 10000) ** 2,
        "square miles": F(1609344, 1000) ** 2,
    },
    "time": {
        "milliseconds": F(1, 1000), "seconds": F(1), "minutes": F(60), "hours": F(3600),
        "days": F(86400), "weeks": F(604800), "fortnights": F(1209600),
    },
    "calendar": {"months": F(1), "years": F(12), "decades": F(120), "centuries": F(1200)},
    "speed": {
        "meters per second": F(1), "miles per hour": F(1609344, 3600000),
        "kilometers per hour": F(1000, 3600), "knots": F(1852, 3600),
        "feet per second": F(3048, 10000),
    },
    "data": {
        "bits": F(1), "bytes": F(8), "kibibytes": F(8 * 1024), "mebibytes": F(8 * 1024**2),
        "gibibytes": F(8 * 1024**3), "tebibytes": F(8 * 1024**4),
    },
    "pressure": {
        "pascals": F(1), "kilopascals": F(1000), "bars": F(10**5), "atmospheres": F(101325),
        "psi": F(45359237, 10**8) * F(980665, 10**5) / F(254, 10000) ** 2,
    },
    "energy": {
        "joules": F(1), "kilojoules": F(1000), "watt hours": F(3600), "kilowatt hours": F(3600000),
    },
    "power": {"watts": F(1), "kilowatts": F(1000), "megawatts": F(10**6)},
}  # fmt: skip
PAIRS = [(one, other) for table in BY_HAND.values() for one, other in permutations(table, 2)]
SIZES = {name: size for table in BY_HAND.values() for name, size in table.items()}


@pytest.fixture(scope="module", autouse=True)
def _definitions() -> None:
    units.load()


def said(text: str) -> str | None:
    problem = read(text, TODAY)
    if not isinstance(problem, Conversion):
        return None
    match answer(problem):
        case Exact(text=answered):
            return answered
        case _:
            return None


def number(text: str) -> tuple[Fraction, bool]:
    """The number at the start of an answer, and whether it is exact."""
    about = text.startswith("about ")
    digits, _, power = text.removeprefix("about ").partition(" × 10^")
    value = Fraction(digits.split(" ")[0])
    return (value * Fraction(10) ** int(power.split(" ")[0]) if power else value), not about


@settings(deadline=None)
@given(
    st.sampled_from(PAIRS),
    st.integers(0, 10**6).map(Fraction) | st.decimals("0.001", "9999", places=3).map(Fraction),
    st.sampled_from(
        [
            "what is {} {} in {}",
            "convert {} {} to {}",
            "how many {2} are in {0} {1}?",
            "{} {} to {}",
        ]
    ),
)
def test_every_conversion_agrees_with_the_definitions(
    pair: tuple[str, str], amount: Fraction, form: str
) -> None:
    source, target = pair
    figure = f"{float(amount):.3f}".rstrip("0").rstrip(".") or "0"
    text = said(form.format(figure, source, target))
    if re.fullmatch(r"[1-9]\d{0,2}\.\d{3}", figure):  # may be one thousand and so on
        assert text is None
        return
    assert text is not None
    value, exact = number(text)
    expected = amount * SIZES[source] / SIZES[target]
    if exact:
        assert value == expected
    else:
        assert abs(value - expected) <= abs(expected) * Fraction(1, 10**9)


def test_every_pair_has_a_factor_that_agrees_exactly() -> None:
    for one, other in PAIRS:
        factor = units.factor(NAMES[one].pint, NAMES[other].pint)
        assert factor == SIZES[one] / SIZES[other], (one, other)


@settings(deadline=None)
@given(st.integers(-400, 5000), st.sampled_from(["c", "f", "k"]), st.sampled_from(["c", "f", "k"]))
def test_temperatures_agree_with_their_formulas(degrees: int, source: str, target: str) -> None:
    kelvin = {
        "c": degrees + F("273.15"),
        "f": (degrees - 32) * F(5, 9) + F("273.15"),
        "k": F(degrees),
    }[source]
    text = said(f"convert {degrees} {source} to {target}")
    if kelvin < 0:
        assert text is None
        return
    expected = {
        "c": kelvin - F("273.15"),
        "f": (kelvin - F("273.15")) * F(9, 5) + 32,
        "k": kelvin,
    }[target]
    assert text is not None
    value, exact = number(text)
    assert (value == expected) if exact else abs(value - expected) <= abs(expected) * F(1, 10**9)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("how many cups in 4 quarts", "16 US cups (4 US quarts)"),
        ("how many cups make a gallon", "16 US cups (1 US gallon)"),
        ("how many liters are in 500 gallons", "1892.705892 liters (500 US gallons)"),
        ("convert 10 imperial gallons to litres", "45.4609 liters (10 imperial gallons)"),
        ("convert 72 f to celsius", "about 22.22222222 °C"),
        ("what is 20°C in °F", "68 °F"),
        ("-40 celsius in fahrenheit", "-40 °F"),
        ("5 ft 10 in to cm", "177.8 centimeters"),
        ("5'10\" in cm", "177.8 centimeters"),
        ("10 in in cm", "25.4 centimeters"),
        ("10kg in pounds", "about 22.04622622 pounds"),
        ("what is inches in centimeters", "1 inch = 2.54 centimeters"),
        (
            "convert cm to inch",
            "1 centimeter is about 0.3937007874 inches (1 inch = 2.54 centimeters)",
        ),
        ("how do i convert celsius to fahrenheit", "°F = °C × 9/5 + 32"),
        ("how many ounces in a gallon", "128 US fluid ounces (1 US gallon)"),
        ("how many ounces in 2 pounds", "32 ounces"),
        ("what's 8 ounces in cups", "1 US cup (8 US fluid ounces)"),
        ("how many teaspoons are in a half a cup", "24 US teaspoons (0.5 US cups)"),
        ("how many teaspoons are in a third of a cup", "16 US teaspoons (1/3 US cups)"),
        ("what is 1/2 cup in tablespoons", "8 US tablespoons (0.5 US cups)"),
        ("how many hours is two and a half days", "60 hours"),
        ("how many minutes in 3.5 hours", "210 minutes"),
        ("how many seconds in a day", "86400 seconds"),
        ("if i have four inches, how many centimeters is that", "10.16 centimeters"),
        ("what are 12 feet in inches", "144 inches"),
        ("what would four inches be in centimeters", "10.16 centimeters"),
        ("tell me what ten pounds in kilos is", "4.5359237 kilograms"),
        (
            "what is the conversion between tablespoons and teaspoons",
            "1 US tablespoon = 3 US teaspoons",
        ),
        ("how are yards converted to feet", "1 yard = 3 feet"),
        ("conversions from yards to feet", "1 yard = 3 feet"),
        ("180 degrees in radians", "about 3.141592654 radians"),
        ("how many months in 2 years", "24 months"),
    ],
)  # fmt: skip
def test_what_people_ask(text: str, expected: str) -> None:
    assert said(text) == expected


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("how many litres in a kilometre", "kilometers measure length and liters volume"),
        ("how many grams in 2 cups", "do not convert"),
        ("how many weeks are in 5 months", "no fixed number of days"),
        ("how many days in a year", "no fixed number of days"),
        ("-500 f in c", "absolute zero"),
    ],
)
def test_what_does_not_convert_is_declined_with_the_reason(text: str, why: str) -> None:
    problem = read(text, TODAY)
    assert isinstance(problem, Conversion)
    declined = answer(problem)
    assert isinstance(declined, Declined)
    assert why in declined.note


@pytest.mark.parametrize(
    "text",
    [
        "10 dollars to euros",
        "how many pounds in 5 dollars",
        "how many kilobytes in a megabyte",
        "convert 3 tons to pounds",
        "5 in cm",
        "inches to centimeters",
        "convert feet is how many inches",
        "10 feet to feet",
        "how many geese are in 3 gaggles",
        "what is 10 inches in centimeters and millimeters",
        "the difference between inches and centimeters",
        "how many feet does a cow have",
        "how many cups are in the cupboard",
        "and in inches?",
        "100 nm to km",
        "what is c in f",
        "convert 5 Mg to kg",
        "convert 5 Kib to bytes",
        "5 feet 10 pounds in cm",
    ],
)
def test_what_is_no_whole_conversion_is_not_read(text: str) -> None:
    assert read(text, TODAY) is None
