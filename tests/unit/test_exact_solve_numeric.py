"""Whatever the solver accepts is right at every point tried: roots, absolute values, logarithms,
quotients within quotients, and powers of zero, each with its own idea of where it is defined.

Each question is built together with a function that calculates it, so that neither the parser nor
sympy has a say in what is right. Points: whole numbers, where such questions have their holes and
roots, and some between them.
"""

from __future__ import annotations

import operator
import random
import re
from collections.abc import Callable
from typing import Any

import pytest
from mpmath import mp, mpf

from mesh.exact.base import Exact
from mesh.exact.expression.parse import expression
from mesh.exact.expression.tree import Unreadable
from mesh.exact.expression.value import Undefined
from mesh.exact.solver.kinds import recognise, solve
from mesh.exact.solver.numeric import numeric

Function = Callable[[Any], Any]
POINTS = [*range(-12, 13), *(n / 2 for n in range(-9, 10, 2)), *(n / 4 for n in (-7, -1, 1, 5))]
SMALL = mpf(10) ** -24
DECLINES = (Unreadable, Undefined, ZeroDivisionError, ValueError)


class _Hole(ArithmeticError):
    """No value there."""


def _leaf(generator: random.Random) -> tuple[str, Function]:
    number = generator.randint(1, 5)
    return generator.choice(
        [
            ("x", lambda x: x),
            (str(number), lambda _: mpf(number)),
            (f"{number + 1}x", lambda x: (number + 1) * x),
            (f"(x - {number})", lambda x: x - number),
            (f"(x + {number})", lambda x: x + number),
        ]
    )


def _built(generator: random.Random, depth: int) -> tuple[str, Function]:
    if depth == 0:
        return _leaf(generator)
    text, of = _built(generator, depth - 1)
    other, by = _built(generator, generator.randrange(depth))
    power = generator.choice((-2, -1, 0, 2, 3))
    return generator.choice(
        [
            (f"({text} + {other})", lambda x: of(x) + by(x)),
            (f"({text} - {other})", lambda x: of(x) - by(x)),
            (f"({text})*({other})", lambda x: of(x) * by(x)),
            (f"({text})/({other})", lambda x: of(x) / _unless(by(x) == 0, by(x))),
            (f"({text})/(1/({other}))", lambda x: of(x) * _unless(by(x) == 0, by(x))),
            (
                f"({text})^({power})",
                lambda x: _unless(power <= 0 and of(x) == 0, of(x)) ** power,
            ),
            (f"sqrt({text})", lambda x: mp.sqrt(_unless(of(x) < 0, of(x)))),
            (f"abs({text})", lambda x: abs(of(x))),
            (f"ln({text})", lambda x: mp.log(_unless(of(x) <= 0, of(x)))),
        ]
    )


def _unless(hole: bool, value: Any) -> Any:
    if hole:
        raise _Hole
    return value


def _at(function: Function, point: float) -> Any:
    try:
        return function(mpf(point))
    except (_Hole, Undefined):
        return None


def _equal(one: Any, other: Any) -> bool:
    return bool(abs(one - other) <= SMALL * max(1, abs(one), abs(other)))


def _said(question: str) -> str | None:
    problem = recognise(question)
    try:
        found = solve(problem) if problem is not None else None
    except DECLINES:
        return None
    return found.text if isinstance(found, Exact) else None


def _value(text: str) -> Any:
    return numeric(expression(text, euler=True), {})


@pytest.fixture(autouse=True)
def _forty_digits() -> Any:
    with mp.workdps(40):
        yield


@pytest.mark.parametrize("seed", range(60))
def test_equations_hold_at_the_roots_and_at_no_other_point(seed: int) -> None:
    generator = random.Random(seed)
    left, of = _built(generator, generator.randint(1, 2))
    right, by = _built(generator, generator.randint(0, 1))
    said = _said(f"solve {left} = {right}")
    if said is None:
        return
    main = re.split(r" \((?:the only|complex)", said)[0]
    every = main.startswith("every x")
    listed = re.findall(r"x = ((?:(?! or ).)+)", main)
    named = [_value(text) for text in listed]
    assert named or every or main.startswith("no ")
    for point in [*map(mpf, POINTS), *named]:
        one, other = _at(of, point), _at(by, point)
        holds = one is not None and other is not None and _equal(one, other)
        meant = any(_equal(point, root) for root in named) != every
        assert holds == meant, (left, right, said, point)


@pytest.mark.parametrize("seed", range(150))
def test_inequalities_hold_where_they_are_defined_and_nowhere_else(seed: int) -> None:
    generator = random.Random(seed)
    left, of = _built(generator, generator.randint(1, 2))
    right, by = _built(generator, generator.randint(0, 1))
    sign = generator.choice(list(COMPARE))
    said = _said(f"solve {left} {sign} {right}")
    if said is None:
        return
    for point in map(mpf, POINTS):
        one, other = _at(of, point), _at(by, point)
        holds = one is not None and other is not None and _compared(one, sign, other)
        assert holds == _has(said, point), (left, sign, right, said, point)


@pytest.mark.parametrize("seed", range(150))
@pytest.mark.parametrize("task", ["simplify", "expand", "factor"])
def test_what_is_rewritten_has_its_value_wherever_it_had_one(task: str, seed: int) -> None:
    text, of = _built(random.Random(seed), 2)
    said = _said(f"{task} {text}")
    if said is None:
        return
    again = expression(said.partition(" (it ")[0], euler=True)
    for point in map(mpf, POINTS):
        before = _at(of, point)
        if before is not None:
            after = _at(lambda x: numeric(again, {"x": x}), point)
            assert after is not None, (text, said, point)
            assert _equal(before, after), (text, said, point)


COMPARE: dict[str, Callable[[Any, Any], bool]] = {
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}


def _compared(one: Any, sign: str, other: Any) -> bool:
    return sign in ("<=", ">=") if _equal(one, other) else bool(COMPARE[sign](one, other))


def _has(said: str, point: Any) -> bool:
    """Whether an answer such as ``-2 < x <= 1 or x = 4`` has ``point`` in it."""
    if said in ("no solution", "every x"):
        return said == "every x"
    for part in said.split(" or "):
        words = re.split(r" (<=|>=|<|>|=) ", part)
        values = [point if word == "x" else _value(word) for word in words[::2]]
        links = zip(values, words[1::2], values[1:], strict=False)
        if all(
            _equal(one, other) if sign == "=" else _compared(one, sign, other)
            for one, sign, other in links
        ):
            return True
    return False


@pytest.mark.parametrize(
    "question",
    [
        *("x^0 = 1", "solve x^0 = 0", "solve (x - 1)^0 = 1", "solve x^0 + x = 3"),
        *("simplify x^0", "simplify (2x)^0", "expand (x + 1)^0", "derivative of x^0"),
        *("solve x^(1 - 1) = 1", "solve x^0 + y = 3, y = 2", "solve x^0 > 0", "simplify 0^0"),
        *("integral of x^0", "limit of x^0 as x approaches 0", "if x = 0, what is x^0"),
    ],
)
def test_what_may_be_zero_to_the_power_of_zero_is_left_to_others(question: str) -> None:
    assert _said(question) is None


@pytest.mark.parametrize(
    ("question", "answer"),
    [
        ("solve 1/(1/x) = x", "every x except x = 0"),
        ("solve x/(1/(x - 1)) = x(x - 1)", "every x except x = 1"),
        ("solve (1/x)^-1 = 0", "no real solution"),
        ("solve 1/(1/(x - 1)) < 5", "x < 1 or 1 < x < 6"),
        ("solve e^0 + x = 2", "x = 1"),
    ],
)
def test_a_quotient_within_a_quotient_keeps_its_holes(question: str, answer: str) -> None:
    assert _said(question) == answer


@pytest.mark.parametrize("question", ["derivative of c", "integrate k", "differentiate n"])
def test_a_letter_that_may_be_a_constant_is_no_variable_unless_it_is_named(question: str) -> None:
    assert _said(question) is None
    assert _said("derivative of c with respect to c") == "1"
