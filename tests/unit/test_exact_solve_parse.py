"""The solver's own parser: what it reads, and what it would rather not."""

from __future__ import annotations

from fractions import Fraction

import pytest

from mesh.exact.expression.parse import expression, relations
from mesh.exact.expression.tree import Unreadable, names
from mesh.exact.expression.value import exact

HALF = {"x": Fraction(1, 2), "y": Fraction(3), "a": Fraction(2), "b": Fraction(5)}


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("2x + 3", 4),
        ("-x^2", Fraction(-1, 4)),
        ("(-x)^2", Fraction(1, 4)),
        ("2^-2", Fraction(1, 4)),
        ("2 - 3 - 4", -5),
        ("8 / 4 / 2", 1),
        ("8 / 4 * 2", 4),
        ("2(x + 1)(y - 1)", 6),
        ("xy", Fraction(3, 2)),
        ("ab", 10),
        ("x**2", Fraction(1, 4)),
        ("|x - y|", Fraction(5, 2)),
        ("sqrt(16)", 4),
        ("√9 + 1", 4),
        ("5!", 120),
        ("3,000x", 1500),
        ("x² + 1", Fraction(5, 4)),
        ("6 ÷ 2 × 3", 9),
        ("5 − 3", 2),
        ("0.25 + .5", Fraction(3, 4)),
        (r"$\frac{x+1}{y}$", Fraction(1, 2)),
        (r"$\frac12 y$", Fraction(3, 2)),
        (r"\[3\cdot y \times 2\]", 18),
        (r"$\left(x + 1\right)^{2}$", Fraction(9, 4)),
        (r"$\sqrt{y + 1}$", 2),
        ("$axy$", 3),
        ("y^3/3", 9),
    ],
)
def test_what_is_read_has_the_value_that_people_give_it(text: str, value: Fraction) -> None:
    assert exact(expression(text), HALF) == value


@pytest.mark.parametrize(
    "text",
    [
        "1/2x",
        "6/2(1+2)",
        "2^3^2",
        "9**9**9",
        "e^2x",
        "x^1/2",
        "x^2/3",
        "sin x/2",
        "sin x y",
        "sin x^2",
        r"$\log_{\sqrt{5}} 125\sqrt{5}$",
        "log(x)",
        "2 3",
        "x2",
        "3 x 4",
        "5 x (2 + 3)",
        r"$4\frac{5}{8}$",
        "f(x)",
        "i + 1",
        "e + 1",
        "x_1 + 2",
        "x'",
        "$x^10$",
        "1,2",
        "",
        "   ",
        "()",
        "(x",
        "x)",
        "x +",
        "* x",
        "the sum",
        "by",
        "x == 2",
        "$x$ and $y$",
        r"\input{x}",
        "__import__('os')",
        "x.y",
        "lambda x",
        "x\x00y",
        "ｘ + 1",
        "٣ + 1",
        "x¹⁰",
        "||x| - 1|",
    ],
)
def test_what_may_be_read_in_two_ways_or_is_no_mathematics_is_refused(text: str) -> None:
    with pytest.raises(Unreadable):
        expression(text)


@pytest.mark.parametrize(
    "text",
    [
        "9^(9^9)",
        "((((9^9)^9)^9)^9)^9",
        "(x+1)^100000",
        "x^1000000",
        "2^(10^10)",
        "(" * 100 + "x" + ")" * 100,
        "-" * 100 + "x",
        "+".join(["x"] * 300),
        "9" * 1000,
        "x" * 5000,
        "sqrt(" * 60 + "x" + ")" * 60,
    ],
    ids=lambda text: text[:20],
)
def test_what_is_too_large_is_refused_before_anything_is_worked_out(text: str) -> None:
    with pytest.raises(Unreadable):
        expression(text)


def test_a_chain_of_relations_is_read_as_its_links() -> None:
    first, second = relations("1 < x <= 3")
    assert (first.operator, second.operator) == ("<", "<=")
    assert names(first.left, first.right) == {"x"}


def test_an_expression_is_no_equation() -> None:
    with pytest.raises(Unreadable):
        relations("2x + 3")


def test_defined_functions_are_calls_and_others_are_refused() -> None:
    assert names(expression("f(x) + 1", defined=("f",))) == {"x"}
    with pytest.raises(Unreadable):
        expression("f(x) + g(x)", defined=("f",))
