"""The evaluator by itself: exact values, rounded ones, and where each limit lies."""

from __future__ import annotations

from fractions import Fraction

import pytest

from mesh.exact.expression.parse import expression
from mesh.exact.expression.tree import Binary, Call, Expression, Number, Unreadable
from mesh.exact.expression.value import (
    MAX_BITS,
    Undefined,
    Unknown,
    check,
    constant,
    evaluate,
    exact,
    exact_root,
)


def call(function: str, *numbers: Fraction | int | Expression) -> Call:
    return Call(
        function,
        tuple(Number(Fraction(n)) if isinstance(n, Fraction | int) else n for n in numbers),
    )


def power(base: Fraction | int, exponent: Fraction | int) -> Binary:
    return Binary("^", Number(Fraction(base)), Number(Fraction(exponent)))


ROOT = call("sqrt", 2)
HALF = Fraction(1, 2)


@pytest.mark.parametrize(
    ("tree", "value"),
    [
        (power(2, 10), 1024),
        (power(2, -3), Fraction(1, 8)),
        (power(-2, 3), -8),
        (power(0, 3), 0),
        (power(1, 10**30), 1),
        (power(-1, 10**30), 1),
        (power(-1, 10**30 + 1), -1),
        (power(Fraction(4, 9), Fraction(3, 2)), Fraction(8, 27)),
        (power(Fraction(4, 9), -HALF), Fraction(3, 2)),
        (power(1, HALF), 1),
        (call("sqrt", Fraction(9, 4)), Fraction(3, 2)),
        (call("sqrt", 0), 0),
        (call("cbrt", -27), -3),
        (call("root", 4096, 12), 2),
        (call("root", 2**60, 2), 2**30),
        (call("abs", -5), 5),
        (call("factorial", 0), 1),
        (call("factorial", 5), 120),
        (call("mod", 17, 5), 2),
        (call("mod", 0, 5), 0),
        (call("gcd", 12, 18), 6),
        (call("lcm", 4, 6), 12),
        (Binary("*", ROOT, Number(Fraction(0))), 0),
        (Binary("*", Number(Fraction(0)), ROOT), 0),
    ],
)
def test_what_is_rational_is_exact(tree: Expression, value: Fraction | int) -> None:
    found = evaluate(tree)
    assert (found.value, found.exact) == (value, True)
    assert exact(tree, {}) == value


@pytest.mark.parametrize(
    ("tree", "square"),
    [
        (ROOT, Fraction(2)),
        (power(2, HALF), Fraction(2)),
        (call("sqrt", Fraction(1, 10**30 + 1)), Fraction(1, 10**30 + 1)),
        (call("abs", ROOT), Fraction(2)),
        (Binary("/", ROOT, Number(Fraction(3))), Fraction(2, 9)),
        (Binary("-", ROOT, Number(Fraction(0))), Fraction(2)),
    ],
)
def test_a_root_that_is_not_rational_has_eighty_digits_and_says_so(
    tree: Expression, square: Fraction
) -> None:
    found = evaluate(tree)
    assert not found.exact
    assert 0 < square - found.value**2 < 3 * found.value / 10**79
    assert exact(tree, {}) is None


@pytest.mark.parametrize(
    "tree",
    [
        Binary("+", ROOT, ROOT),
        Binary("-", ROOT, ROOT),
        Binary("^", ROOT, Number(Fraction(2))),
        Binary("^", Number(Fraction(2)), ROOT),
        call("sqrt", ROOT),
        call("factorial", ROOT),
        call("mod", 5, ROOT),
        call("gcd", ROOT, 5),
        call("root", 4, HALF),
        call("root", 4, 1),
        call("root", 4, 13),
        power(2, Fraction(1, 13)),
        call("sin", 0),
        expression("pi + 1"),
    ],
)
def test_what_digits_could_be_lost_in_is_not_known(tree: Expression) -> None:
    with pytest.raises(Unknown):
        evaluate(tree)
    assert exact(tree, {}) is None


@pytest.mark.parametrize(
    ("tree", "division"),
    [
        (Binary("/", Number(Fraction(1)), Number(Fraction(0))), True),
        (Binary("/", ROOT, Number(Fraction(0))), True),
        (power(0, -1), True),
        (call("mod", 5, 0), True),
        (power(0, 0), False),
        (power(-8, Fraction(1, 3)), False),
        (power(-1, HALF), False),
        (call("sqrt", -4), False),
        (call("root", -16, 4), False),
        (call("factorial", -1), False),
        (call("factorial", HALF), False),
        (call("mod", -7, 3), False),
        (call("mod", 7, -3), False),
        (call("mod", HALF, 2), False),
        (call("mod", 5, Fraction(3, 2)), False),
        (call("gcd", 0, 3), False),
        (call("gcd", 3, 0), False),
        (call("lcm", 3, -1), False),
        (call("lcm", Fraction(5, 2), 2), False),
        (call("gcd", 2, Fraction(5, 2)), False),
    ],
)
def test_what_has_no_value_is_undefined_and_only_division_by_zero_is_called_that(
    tree: Expression, division: bool
) -> None:
    with pytest.raises(Undefined) as raised:
        evaluate(tree)
    assert raised.value.division == division
    assert constant(tree) is None


@pytest.mark.parametrize(
    ("small", "large"),
    [
        (power(2, 99), power(2, 100)),
        (power(2, -99), power(2, -100)),
        (call("lcm", 2**50, 3**31), call("lcm", 2**50, 3**32)),
        (Binary("*", power(2, 50), power(2, 49)), Binary("*", power(2, 50), power(2, 50))),
    ],
)
def test_a_number_may_have_so_many_bits_and_no_more(small: Expression, large: Expression) -> None:
    assert evaluate(small, bits=100).exact
    with pytest.raises(Unreadable, match="too large"):
        evaluate(large, bits=100)


def test_a_power_too_large_is_refused_before_it_is_multiplied_out() -> None:
    with pytest.raises(Unreadable):
        evaluate(power(3, 10**12))
    with pytest.raises(Unreadable):
        evaluate(power(Fraction(1, 3), 10**12))


def test_factorials_end_at_two_hundred() -> None:
    assert evaluate(call("factorial", 200)).exact
    with pytest.raises(Unreadable, match="factorials"):
        evaluate(call("factorial", 201))


def test_a_name_has_the_value_that_it_is_given_and_none_without() -> None:
    tree = expression("2x + y")
    assert exact(tree, {"x": Fraction(3), "y": HALF}) == Fraction(13, 2)
    assert constant(tree) is None
    with pytest.raises(KeyError):
        evaluate(tree, {"x": HALF})


@pytest.mark.parametrize(
    ("of", "degree", "root"),
    [(8, 3, 2), (9, 3, None), (Fraction(4, 25), 2, Fraction(2, 5)), (Fraction(4, 3), 2, None)],
)
def test_exact_roots(of: Fraction | int, degree: int, root: Fraction | None) -> None:
    assert exact_root(Fraction(of), degree) == root


@pytest.mark.parametrize(
    ("largest", "too_large"),
    [
        ("x^10000", "x^10001"),
        ("x^-10000", "x^-10001"),
        ("(x + 1)^60", "(x + 1)^61"),
        (f"x + 2^{MAX_BITS - 1}", f"x + 2^{MAX_BITS}"),
        ("+".join(["x"] * 20), "+".join(["x"] * 60)),  # deep to the left
        ("(x+x+x+x+x)" * 18, "(x+x+x+x+x)" * 19),
        ("2^0 + x", "x^0"),
        ("x^2", "(x - 1)^(1 - 1)"),
        ("0^2 + x", "0^0 + x"),
    ],
    ids=lambda text: text[:16],
)
def test_the_largest_that_is_read_and_the_next(largest: str, too_large: str) -> None:
    check(expression(largest))
    with pytest.raises(Unreadable):
        expression(too_large)
