"""The solver against independent calculations."""

from __future__ import annotations

import math
import operator
import random
from fractions import Fraction

import pytest

from mesh.exact.expression.parse import expression
from mesh.exact.expression.value import Undefined, exact
from mesh.exact.solver.integers import surely_prime
from mesh.exact.solver.kinds import recognise, solve
from mesh.exact.solver.numeric import numeric
from mesh.exact.solver.problem import SolverProblem
from mesh.exact.solver.roots import quotient, roots_of


def _text(coefficients: list[int]) -> str:
    """A polynomial as people write it; the constant comes first in the list."""
    terms = []
    for power in range(len(coefficients) - 1, -1, -1):
        if coefficients[power]:
            name = {0: "", 1: "x"}.get(power, f"x^{power}")
            terms.append(
                f"{'-' if coefficients[power] < 0 else '+'} {abs(coefficients[power])}{name}"
            )
    return " ".join(terms).removeprefix("+ ") or "0"


def _product(roots: list[Fraction], scale: int) -> list[int]:
    result = [Fraction(scale)]
    for root in roots:
        shifted = [Fraction(0), *result]
        result = [a - root * b for a, b in zip(shifted, [*result, Fraction(0)], strict=True)]
    common = math.lcm(*(value.denominator for value in result))
    return [int(value * common) for value in result]


@pytest.mark.parametrize("seed", range(40))
def test_polynomials_with_known_roots_have_those_roots(seed: int) -> None:
    generator = random.Random(seed)
    roots = [
        Fraction(generator.randint(-9, 9), generator.choice((1, 1, 1, 2, 3)))
        for _ in range(generator.randint(1, 5))
    ]
    coefficients = _product(roots, generator.choice((1, -2, 3)))
    problem = recognise(f"solve {_text(coefficients)} = 0")
    assert problem is not None
    exact_answer = solve(problem)
    assert exact_answer is not None
    found = [Fraction(part.removeprefix("x = ")) for part in exact_answer.text.split(" or ")]
    assert found == sorted(set(roots))


@pytest.mark.parametrize("seed", range(40))
def test_every_distinct_real_root_is_found(seed: int) -> None:
    generator = random.Random(seed)
    roots = [Fraction(generator.randint(-6, 6)) for _ in range(generator.randint(1, 6))]
    values = [Fraction(value) for value in _product(roots, 1)]
    # Times x^2 + 1, which has none.
    values = [
        (values[i] if i < len(values) else Fraction(0)) + (values[i - 2] if i >= 2 else Fraction(0))
        for i in range(len(values) + 2)
    ]
    assert all(value.denominator == 1 for value in values)
    both = quotient(expression(_text([int(value) for value in values])))
    assert both is not None
    found = roots_of(both[0])
    assert found is not None
    assert [Fraction(str(root)) for root in found.real] == sorted(set(roots))
    assert found.more


@pytest.mark.parametrize("seed", range(30))
def test_linear_systems_have_the_solution_they_were_made_from(seed: int) -> None:
    generator = random.Random(seed)
    x, y = generator.randint(-20, 20), generator.randint(-20, 20)
    rows = [[generator.randint(-9, 9) for _ in range(2)] for _ in range(2)]
    lines = [f"{a}x + {b}y = {a * x + b * y}".replace("+ -", "- ") for a, b in rows]
    problem = recognise(f"solve the system: {lines[0]}, {lines[1]}")
    assert problem is not None
    found = solve(problem)
    assert found is not None
    (a, b), (c, d) = rows
    if a * d - b * c:
        assert found.text == f"x = {x}, y = {y}"
    else:  # made from a solution, so it has some
        assert found.text in ("infinitely many solutions", "every x", "every y")


def _random_expression(generator: random.Random, depth: int) -> str:
    if depth == 0:
        return generator.choice(["x", str(generator.randint(1, 9)), f"{generator.randint(2, 9)}x"])
    inner = _random_expression(generator, depth - 1)
    other = _random_expression(generator, depth - 1)
    return generator.choice(
        [
            f"({inner} + {other})",
            f"({inner} - {other})",
            f"({inner})*({other})",
            f"({inner})^{generator.randint(2, 3)}",
            f"sin({inner})",
            f"e^({other})",
            f"ln({inner})",
            f"({inner})/({other})",
            f"sqrt({inner})",
        ]
    )


@pytest.mark.parametrize("seed", range(40))
def test_derivatives_agree_with_finite_differences(seed: int) -> None:
    generator = random.Random(seed)
    text = _random_expression(generator, 2)
    found = (
        solve(
            SolverProblem(kind="calculus", task="derivative", texts=(text,), about=("x", "1", ""))
        )
        if "x" in text
        else None
    )
    if found is None:
        return
    tree, slope = expression(text), expression(found.text, euler=True)
    from mpmath import mp

    checked = 0
    with mp.workdps(50):
        for point in (mp.mpf("0.37"), mp.mpf("1.61"), mp.mpf("2.73"), mp.mpf("-1.19")):
            step = mp.mpf(10) ** -15
            try:
                rise = numeric(tree, {"x": point + step}) - numeric(tree, {"x": point - step})
                meant = numeric(slope, {"x": point})
            except Undefined:
                continue
            assert abs(rise / (2 * step) - meant) <= 1e-12 * max(1, abs(meant))
            checked += 1
    assert checked or "ln" in text or "sqrt" in text or "/" in text or "e^" in text


@pytest.mark.parametrize("seed", range(30))
@pytest.mark.parametrize("task", ["expand", "factor", "simplify"])
def test_rewritten_polynomials_keep_their_value(task: str, seed: int) -> None:
    generator = random.Random(seed)
    factors = [
        f"({generator.randint(1, 5)}x + {generator.randint(-6, 6)})".replace("+ -", "- ")
        for _ in range(generator.randint(2, 3))
    ]
    text = "".join(factors) + f" + {generator.randint(0, 9)}"
    found = solve(SolverProblem(kind="algebra", task=task, texts=(text,)))
    assert found is not None
    again = expression(found.text.partition(" (it ")[0])
    for point in range(-7, 8):
        at = {"x": Fraction(point, 3)}
        assert exact(expression(text), at) == exact(again, at)


@pytest.mark.parametrize("seed", range(30))
def test_common_divisors_and_multiples_agree_with_the_standard_library(seed: int) -> None:
    generator = random.Random(seed)
    numbers = [generator.randint(1, 10 ** generator.randint(1, 12)) for _ in range(3)]
    listed = f"{numbers[0]}, {numbers[1]} and {numbers[2]}"
    for name, function in (("gcd", math.gcd), ("lcm", math.lcm)):
        problem = recognise(f"what is the {name} of {listed}?")
        assert problem is not None
        found = solve(problem)
        assert found is not None
        assert found.text == str(function(*numbers))


def test_primality_agrees_with_a_sieve() -> None:
    sieve = [False, False, *[True] * 20_000]
    for number in range(2, 150):
        if sieve[number]:
            for multiple in range(number * number, len(sieve), number):
                sieve[multiple] = False
    assert [surely_prime(number) for number in range(len(sieve))] == sieve


@pytest.mark.parametrize("number", [561, 1105, 3215031751, 3825123056546413051])
def test_pseudoprimes_are_not_taken_for_primes(number: int) -> None:
    assert surely_prime(number) is False


@pytest.mark.parametrize("seed", range(40))
def test_inequalities_hold_where_the_answer_says_and_nowhere_else(seed: int) -> None:
    generator = random.Random(seed)
    roots = [Fraction(generator.randint(-5, 5)) for _ in range(generator.randint(1, 4))]
    above = _text(_product(roots, generator.choice((1, -2))))
    below = generator.choice(["1", "x + 1", "x^2 + 1", "(x - 2)^2"])
    sign = generator.choice(["<", "<=", ">", ">="])
    problem = recognise(f"solve ({above})/({below}) {sign} 0")
    assert problem is not None
    found = solve(problem)
    assert found is not None
    for point in range(-28, 29):
        at = Fraction(point, 4)
        try:
            value = exact(expression(f"({above})/({below})"), {"x": at})
        except Undefined:
            holds = False
        else:
            assert value is not None
            holds = {"<": value < 0, "<=": value <= 0, ">": value > 0, ">=": value >= 0}[sign]
        assert _says(found.text, at) == holds, (found.text, at)


def _says(text: str, at: Fraction) -> bool:
    """Whether an answer such as ``-2 < x <= 1 or x = 4`` has ``at`` in it."""
    if text in ("no solution", "every x"):
        return text == "every x"
    compare = {"<": operator.lt, "<=": operator.le, ">": operator.gt, ">=": operator.ge}
    compare["="] = operator.eq
    for part in text.split(" or "):
        words = part.split()
        values = [at if word == "x" else Fraction(word) for word in words[::2]]
        links = zip(values, words[1::2], values[1:], strict=False)
        if all(compare[sign](left, right) for left, sign, right in links):
            return True
    return False
