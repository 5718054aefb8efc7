"""Kind ``arithmetic``: a sum that was read, and its answer."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction

from mesh.exact.base import CALCULATOR, Declined, Exact, Problem
from mesh.exact.expression.tree import Binary, Call, Expression, Negative, Number, Unreadable
from mesh.exact.expression.value import Undefined, Unknown, evaluate
from mesh.exact.quick.showing import decimals, rounded, shown

MOST_BITS = 1400  # about 420 digits in numerator or denominator
_CENTS = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class Sum(Problem):
    """``money``: the sign of the currency that the result is in. ``percent``: the result is shown
    as one. ``whole``: only an answer where the result is a whole number."""

    kind: str = "arithmetic"
    expression: Expression
    money: str = ""
    percent: bool = False
    whole: bool = False


def solve(problem: Sum) -> Exact | Declined:
    try:
        result = evaluate(problem.expression, bits=MOST_BITS)
    except Undefined as error:
        return _exact(problem, str(error)) if error.division else Declined(note=str(error))
    except (Unknown, Unreadable) as error:
        return Declined(note=str(error))
    value = result.value
    if problem.whole and value.denominator != 1:
        return Declined(note="it does not go in evenly")
    if problem.percent:
        return _exact(problem, f"{shown(value * 100, fractions=False)}%")
    if problem.money:
        return _exact(problem, _money(value, problem.money))
    return _exact(problem, shown(value, exact=result.exact))


def _exact(problem: Sum, text: str) -> Exact:
    note = f"read as {described(problem.expression)}"
    return Exact(text=text, kind=problem.kind, specialty=CALCULATOR, note=note)


def _money(value: Fraction, sign: str) -> str:
    """Half a cent rounds up, as shops do it; of a debt, to the greater one."""
    cents = abs(value) * _CENTS
    whole = int(cents + Fraction(1, 2))
    about = "" if cents == whole else "about "
    minus = "-" if value < 0 and whole else ""
    units, rest = divmod(whole, _CENTS)
    return f"{about}{minus}{sign}{units}" + (f".{rest:02d}" if rest or about else "")


def described(tree: Expression) -> str:
    """How it was read, with all its parentheses; cut where it is long."""
    text = _described(tree)
    text = text[1:-1] if isinstance(tree, Binary) else text
    return text if len(text) <= 160 else f"{text[:157]}..."


def _described(tree: Expression) -> str:
    match tree:
        case Number(value):
            if len(str(value.numerator)) > 30:
                return rounded(value)
            return decimals(value) or f"({value})"
        case Negative(of):
            return f"(-{_described(of)})"
        case Binary(sign, left, right):
            return f"({_described(left)} {sign} {_described(right)})"
        case Call("factorial", (of,)):
            return f"{_described(of)}!"
        case Call(function, arguments):
            return f"{function}({', '.join(map(_described, arguments))})"
        case _:
            return str(tree)
