"""Between the parser's tree and sympy, and from sympy to text that the parser reads again.

Only the child imports this. Reading an answer back is how its printing is checked.
"""

from __future__ import annotations

import re
from typing import Any

import sympy
from sympy import Add, Mul, Pow, Rational, Symbol

from mesh.exact.base import words
from mesh.exact.expression.parse import expression
from mesh.exact.expression.tree import (
    Binary,
    Call,
    Constant,
    Expression,
    Name,
    Negative,
    Number,
    Unreadable,
)
from mesh.exact.solver.numeric import OPERATORS

_SAME = words("sin cos tan sec csc cot sinh cosh tanh exp sqrt factorial")
_OTHER = {"arcsin": "asin", "arccos": "acos", "arctan": "atan", "ln": "log", "abs": "Abs"}
_FUNCTIONS = {
    name: getattr(sympy, theirs) for name, theirs in {**{n: n for n in _SAME}, **_OTHER}.items()
}
_CONSTANTS = {"pi": sympy.pi, "e": sympy.E, "infinity": sympy.oo}
_NAMES = {function: name for name, function in _FUNCTIONS.items() if name != "sqrt"}
_JOINS = re.compile(r"\(.*|[a-eij-oq-zA-EI-OQ-Z](?:\^\d+)?")  # f(x) would be a function's value
_SUM, _PRODUCT, _POWER, _ATOM = 1, 2, 3, 4  # how tightly a text binds


def symbol(name: str) -> Any:
    return Symbol(name, real=True)


def symbolic(tree: Expression) -> Any:
    """The tree as a sympy expression over the reals. Raises ``Unreadable``."""
    match tree:
        case Number(value=value):
            return Rational(value.numerator, value.denominator)
        case Name(name=name):
            return symbol(name)
        case Constant(name=name):
            return _CONSTANTS[name]
        case Negative(of=of):
            return -symbolic(of)
        case Binary(operator=operator, left=left, right=right):
            return OPERATORS[operator](symbolic(left), symbolic(right))
        case Call(function="cbrt", arguments=(argument,)):
            return sympy.real_root(symbolic(argument), 3)
        case Call(function="root", arguments=(argument, degree)):
            return sympy.real_root(symbolic(argument), symbolic(degree))
        case Call(function=function, arguments=(argument,)) if function in _FUNCTIONS:
            return _FUNCTIONS[function](symbolic(argument))
    raise Unreadable("a function that is not known")


def written(value: Any) -> str:
    """As people write it in ASCII: ``2x^2 - sqrt(3)/2``. Raises ``Unreadable`` for what that
    notation has no words for."""
    return _write(value)[0]


def read_back(text: str) -> Expression:
    """One of our own answers as a tree. Raises ``Unreadable``."""
    return expression(text, euler=True)


def _write(value: Any) -> tuple[str, int]:
    if isinstance(value, sympy.Integer):
        return str(value), _ATOM if value >= 0 else _SUM
    if isinstance(value, Rational):
        return f"{value.p}/{value.q}", _PRODUCT if value > 0 else _SUM
    if isinstance(value, Symbol):
        return value.name, _ATOM
    for name, constant in _CONSTANTS.items():
        if value is constant and name != "infinity":
            return name, _ATOM
    if isinstance(value, Add):
        return _write_sum(value), _SUM
    if isinstance(value, Mul):
        return _write_product(value)
    if isinstance(value, Pow):
        return _write_power(value)
    if isinstance(value, sympy.exp):
        return f"e^{_wrapped(value.args[0], _ATOM)}", _POWER
    if isinstance(value, sympy.Abs):
        inner = written(value.args[0])
        return (f"abs({inner})" if "|" in inner else f"|{inner}|"), _ATOM
    if value.func in _NAMES:
        inner = written(value.args[0])
        if value.func is sympy.log and re.fullmatch(r"\|[^|]*\|", inner):
            return f"ln{inner}", _ATOM
        return f"{_NAMES[value.func]}({inner})", _ATOM
    raise Unreadable(f"no words for {value.func}")


def _wrapped(value: Any, least: int) -> str:
    text, binds = _write(value)
    return text if binds >= least else f"({text})"


def _write_sum(value: Any) -> str:
    text = ""
    for term in value.as_ordered_terms():
        negative = term.as_coeff_Mul()[0] < 0
        part = _wrapped(-term if negative else term, _PRODUCT)
        if text:
            text += f" {'-' if negative else '+'} {part}"
        else:
            text = f"-{part}" if negative else part
    return text


def _write_product(value: Any) -> tuple[str, int]:
    coefficient, rest = value.as_coeff_Mul()
    if not isinstance(coefficient, Rational):
        raise Unreadable("a coefficient that is no fraction")
    above: list[Any] = []
    below: list[Any] = []
    factors = rest.as_ordered_factors() if isinstance(rest, Mul) else [rest]
    for factor in factors:
        base, exponent = factor.as_base_exp() if isinstance(factor, Pow) else (factor, None)
        if exponent is not None and isinstance(exponent, Rational) and exponent < 0:
            below.append(Pow(base, -exponent))
        else:
            above.append(factor)
    top = _joined(abs(coefficient.p), above)
    if not below and coefficient.q == 1:
        return (f"-{top}", _SUM) if coefficient < 0 else (top, _PRODUCT)
    bottom = _joined(coefficient.q, below)
    if len(below) + (coefficient.q != 1) > 1:
        bottom = f"({bottom})"
    text = f"{top}/{bottom}"
    return (f"-{text}", _SUM) if coefficient < 0 else (text, _PRODUCT)


def _joined(number: int, factors: list[Any]) -> str:
    """``2x*y``, ``3x(x + 1)``, ``(x - 3)(x + 3)``."""
    if not factors:
        return str(number)
    parts = [_wrapped(factor, _POWER) for factor in factors]
    if len(factors) == 1 and number == 1:
        return parts[0]
    # Names before brackets before functions, as people order them.
    parts = [part for _, part in sorted(enumerate(parts), key=lambda p: (_rank(p[1]), p[0]))]
    text = before = str(number) if number != 1 else ""
    for part in parts:
        if not text:
            text = part
        elif part.startswith("("):
            text += part if before.isdigit() or _JOINS.fullmatch(before) else f"*{part}"
        elif before.isdigit() and part[0].isalpha() and _rank(part) == 0:
            text += part
        else:
            text += f"*{part}"
        before = part
    return text


def _rank(part: str) -> int:
    if part.startswith("("):
        return 2
    return 1 if part[1:2].isalpha() and not part.startswith("pi") else 0


def _write_power(value: Any) -> tuple[str, int]:
    base, exponent = value.as_base_exp()
    if exponent == Rational(1, 2):
        return f"sqrt({written(base)})", _ATOM
    if isinstance(exponent, Rational) and exponent < 0:
        inner = Pow(base, -exponent)
        return f"1/{_wrapped(inner, _POWER)}", _PRODUCT
    return f"{_wrapped(base, _ATOM)}^{_wrapped(exponent, _ATOM)}", _POWER
