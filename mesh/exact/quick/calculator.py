"""Kind ``arithmetic``: a sum that was read, and its answer."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from typing import ClassVar

from mesh.exact.base import CALCULATOR, Declined, Exact, Problem
from mesh.exact.quick.arithmetic import (
    UNDEFINED,
    Expression,
    Factorial,
    Negative,
    Number,
    Operation,
    Sign,
    Unanswerable,
    evaluate,
)
from mesh.exact.quick.showing import decimals, rounded, shown

_CENTS = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class Sum(Problem):
    """``money``: the sign of the currency that the result is in. ``percent``: the result is shown
    as one. ``whole``: only an answer where the result is a whole number."""

    kind: ClassVar[str] = "arithmetic"
    expression: Expression
    money: str = ""
    percent: bool = False
    whole: bool = False


def solve(problem: Sum) -> Exact | Declined:
    try:
        result = evaluate(problem.expression)
    except Unanswerable as error:
        if error.undefined:
            return _exact(problem, UNDEFINED)
        return Declined(note=error.why)
    value = result.value
    if problem.whole and value.denominator != 1:
        return Declined(note="it does not go in evenly")
    if problem.percent:
        return _exact(problem, _percent(value * 100))
    if problem.money:
        return _exact(problem, _money(value, problem.money))
    return _exact(problem, shown(value, exact=result.exact))


def _exact(problem: Sum, text: str) -> Exact:
    note = f"read as {described(problem.expression)}"
    return Exact(text=text, kind=problem.kind, specialty=CALCULATOR, note=note)


def _percent(value: Fraction) -> str:
    text = shown(value, fractions=False)
    return f"{text}%"


def _money(value: Fraction, sign: str) -> str:
    cents = value * _CENTS
    whole = round(cents)
    about = "" if cents == whole else "about "
    minus = "-" if whole < 0 else ""
    units, rest = divmod(abs(whole), _CENTS)
    return f"{about}{minus}{sign}{units}" + (f".{rest:02d}" if rest or about else "")


_BRACKETED: tuple[Sign, ...] = ("+", "-", "*", "/", "^", "mod")


def described(expression: Expression) -> str:
    """How it was read, with all its parentheses; cut where it is long."""
    text = _described(expression)
    bracketed = isinstance(expression, Operation) and expression.sign in _BRACKETED
    text = text[1:-1] if bracketed else text
    return text if len(text) <= 160 else f"{text[:157]}..."


def _described(expression: Expression) -> str:
    match expression:
        case Number(value):
            if len(str(value.numerator)) > 30:
                return rounded(value)
            return decimals(value) or f"({value})"
        case Negative(of):
            return f"(-{_described(of)})"
        case Factorial(of):
            return f"{_described(of)}!"
        case Operation("root", left, right):
            return f"root({_described(left)}, {_described(right)})"
        case Operation("gcd" | "lcm" as sign, left, right):
            return f"{sign}({_described(left)}, {_described(right)})"
        case Operation(sign, left, right):
            return f"({_described(left)} {sign} {_described(right)})"
