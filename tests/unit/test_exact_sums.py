"""The calculator's table of forms: each says what it means, and some are not read."""

from __future__ import annotations

from datetime import date

import pytest

from mesh.exact.base import Exact
from mesh.exact.quick.calculator import Sum
from mesh.exact.reading import answer, read

TODAY = date(2026, 1, 15)


def said(text: str) -> str | None:
    """The answer's text; None where nothing is read, or it is declined."""
    problem = read(text, TODAY)
    answered = answer(problem) if isinstance(problem, Sum) else None
    return answered.text if isinstance(answered, Exact) else None


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        *(("the sum of (1 + 2) and 7", "10"), ("the product of (2 * 3), 4 and 5", "120")),
        *(("double 7", "14"), ("triple 7", "21"), ("a third of 12", "4"), ("2/5 of 20", "8")),
        *(("the total of 3 and 4", "7"), ("the mean of 2 and 5", "3.5")),
        *(("the quotient of 12 and 4", "3"), ("the square of 7", "49"), ("the cube of 3", "27")),
        *(("factorial of 5", "120"), ("remainder of 17 divided by 5", "2")),
        *(("the remainder when dividing 17 by 5", "2"), ("17 modulo 5", "2")),
        *(("the highest common factor of 12 and 18", "6"), ("lcm of 4 and 6", "12")),
        *(("greatest common divisor between 8 and 12", "4"), ("hcf of 9 and 6", "3")),
        *(("lowest common denominator of 4 and 6", "12"), ("add 3, 4 and 5", "12")),
        *(("take away 4 from 10", "6"), ("4 subtracted from 10", "6"), ("3 added to 4", "7")),
        *(("divide 12 by -4", "-3"), ("multiply 6 x 7", "42"), ("add 3 to 4", "7")),
        *(("increase 80 by 5", "85"), ("decrease 80 by 5", "75"), ("reduce 80 by 5%", "76")),
        *(("80 increased by 5", "85"), ("80 reduced by 5", "75"), ("80 increased by 5%", "84")),
        *(("3 out of what", None), ("percentage is 12 out of 48", "25%")),
        *(("12 as a percentage of 48", "25%"), ("calculate 12 over 4", "3")),
        *(("the squared root of 16", "4"), ("the cubed root of 27", "3")),
        *(("3rd root of 27", "3"), ("10th root of 1024", "2"), ("the tenth root of 1024", "2")),
        *(("what is 5 to the third power", "125"), ("2 raised to the 3rd", "8")),
        *(
            ("a 20% tip on $50", "$10"),
            ("tax on $50", None),
            ("a 5% tax on 3.10 euros", "about €0.16"),
        ),
        *(("an 8% tax on 50 euros", "€4"), ("50% of £3", "£1.50"), ("20% off €50", "€40")),
        *(("$80 increased by 5", None), ("increase $80 by 5", None), ("50% of $3 euros", None)),
        *(("increase $80 by 5%", "$84"), ("half of $5", "$2.50"), ("3/4 of a third of 8", "2")),
        *(("100 plus half of 10", None), ("calculate 24/7", "24/7 (about 3.428571429)")),
    ],
)
def test_every_form_means_what_it_says_or_is_not_read(text: str, expected: str | None) -> None:
    assert said(text) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("what is 15% of 3143", "471.45"),
        ("ten percent of 250", "25"),
        ("20% off 50", "40"),
        ("what is 60 percent off of 350 dollars", "$140"),
        ("30% off $49.99", "about $34.99"),
        ("what is an 18 percent tip on 20 dollars", "$3.60"),
        ("increase 80 by 15%", "92"),
        ("80 decreased by 25 percent", "60"),
        ("what percent of 80 is 12", "15%"),
        ("12 is what percent of 80", "15%"),
        ("what percentage is 12 of 90", "about 13.33333333%"),
    ],
)
def test_percentages_and_prices(text: str, expected: str) -> None:
    assert said(text) == expected


@pytest.mark.parametrize(
    "text",
    [
        "what is 911",
        "a hundred",
        "2 + 2 = 5",
        "is 2 + 2 = 4?",
        "0x10 + 1",
        "007 + 1",
        "3,14 * 2",
        "1.000.000 + 1",
        "100 000 + 1",
        "1 + 1 +",
        "what is 1 + 1 in binary",
        "what is 2 + 2 and what is 3 + 3",
    ],
)
def test_what_only_looks_like_a_sum_is_not_read(text: str) -> None:
    assert read(text, TODAY) is None
