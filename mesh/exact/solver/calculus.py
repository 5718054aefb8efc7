"""Derivatives, integrals and limits of one variable.

``task`` and its ``about``: ``derivative`` (name, order, point or ""), ``integral`` (name),
``definite`` (name, from, to), ``limit`` (name, where, side: "", "+" or "-").
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import ClassVar

from mesh.exact.base import MATH, Exact
from mesh.exact.solver.parse import expression
from mesh.exact.solver.problem import SolverProblem, answer
from mesh.exact.solver.tree import Expression, Unreadable, names
from mesh.exact.solver.words import bare, folded, plain

_MAX_ORDER = 6


@dataclass(frozen=True, slots=True, kw_only=True)
class CalculusProblem(SolverProblem):
    kind: ClassVar[str] = "calculus"


_ASK = r"(?:(?:find|compute|calculate|evaluate|determine|give me|what is|what's|take|work out) )?"
_BY = r"(?: (?:with respect to|w\.?r\.?t\.?|in terms of) \$?(?P<by>[a-zA-Z])\$?)?"
_AT = r"(?:,? (?:at|when|for) (?:the point )?\$?(?P<name>[a-zA-Z]) ?= ?(?P<point>[^=]{1,30}))?"
_ORDERS = {"": 1, "first": 1, "1st": 1, "second": 2, "2nd": 2, "third": 3, "3rd": 3, "fourth": 4}
_OF = r"(?: the)?(?: function| expression)?:? (?:[a-z]\([a-z]\) ?= ?|y ?= ?)?"
_DERIVATIVE = re.compile(
    rf"{_ASK}(?:the )?(?:(?P<order>first|second|third|fourth|1st|2nd|3rd) )?derivative of{_OF}"
    rf"(?P<text>\S.*?){_BY}{_AT}",
    re.IGNORECASE,
)
_DIFFERENTIATE = re.compile(rf"differentiate{_OF}(?P<text>\S.*?){_BY}", re.IGNORECASE)
_LEIBNIZ = re.compile(
    rf"{_ASK}\$?(?:d/d(?P<by>[a-z])|\\d?frac\{{d\}}\{{d(?P<by2>[a-z])\}}) ?"
    r"(?:of )?(?P<text>\S.*)",
    re.IGNORECASE,
)
_PRIME = re.compile(
    r"(?:(?:if|let|given(?: that)?|suppose|for) )?\$?(?P<f>[a-z])\((?P<by>[a-z])\) ?= ?"
    r"(?P<text>[^=]*?)\$?"
    r"(?:[,.;:]| then)+ ?(?:then )?(?:find|what is|what's|compute|calculate|determine|evaluate)"
    r"(?: the value of)? \$?(?P=f)(?P<primes>['’]{1,3})\((?P<point>[^()=]{1,20})\)\$?",
    re.IGNORECASE,
)
_INTEGRAL = re.compile(
    rf"{_ASK}(?:the )?(?:(?:indefinite|definite) )?(?:integral|antiderivative) of{_OF}"
    rf"(?P<text>\S.*?)"
    r"(?: ?d(?P<d>[a-z]))?(?: (?:with respect to|w\.?r\.?t\.?) \$?(?P<by>[a-zA-Z])\$?)?"
    r"(?:,? (?:from|between) (?:(?P<name>[a-z]) ?= ?)?(?P<a>[^=]{1,20}?) (?:to|and) "
    r"(?:[a-z] ?= ?)?(?P<b>[^=]{1,20}))?",
    re.IGNORECASE,
)
_INTEGRATE = re.compile(
    _INTEGRAL.pattern.replace(
        rf"{_ASK}(?:the )?(?:(?:indefinite|definite) )?(?:integral|antiderivative) of", "integrate"
    ),
    re.IGNORECASE,
)
_FROM_TO_FIRST = re.compile(
    rf"{_ASK}(?:the )?(?:definite )?integral from (?P<a>[^=]{{1,20}}?) to (?P<b>[^=]{{1,20}}?) of"
    r"(?: the function)? (?P<text>\S.*?)(?: ?d(?P<d>[a-z]))?(?P<by>)(?P<name>)",
    re.IGNORECASE,
)
_SIGN = re.compile(
    rf"{_ASK}(?:the )?(?:integral )?(?:\$\$?|\\\[)? ?(?:\\int|∫)"
    r"(?: ?(?:\\limits)? ?_ ?(?P<a>\{[^{}]{1,20}\}|\\pi|.) ?\^ ?(?P<b>\{[^{}]{1,20}\}|\\pi"
    r"|\\infty|.))? ?"
    r"(?P<text>\S.*?) ?(?:\\[,;:! ] ?)*(?:\\mathrm\{d\}|\\text\{d\}|d)"
    r"(?P<d>[a-z])[.,]? ?(?:\$\$?|\\\])?",
    re.IGNORECASE,
)
_APPROACHES = r"(?:approaches|goes to|tends to|->|→|\\to|\\rightarrow)"
_LIMIT = re.compile(
    rf"{_ASK}(?:the )?limit of{_OF}(?P<text>\S.*?),? as \$?(?P<by>[a-z])\$? {_APPROACHES} "
    r"(?P<to>\S[^=]{0,30}?)(?: from the (?P<side>left|right))?",
    re.IGNORECASE,
)
_LIMIT_FIRST = re.compile(
    rf"{_ASK}(?:the )?limit,? as \$?(?P<by>[a-z])\$? {_APPROACHES} (?P<to>\S[^=]{{0,20}}?)"
    r"(?: from the (?P<side>left|right))?,? of(?: the function| the expression)? (?P<text>\S.*)",
    re.IGNORECASE,
)
_LIM = re.compile(
    rf"{_ASK}(?:\$\$?|\\\[)? ?\\?lim(?:it)? ?(?:_? ?\{{|_?\(|_| )? ?(?P<by>[a-z]) ?{_APPROACHES} ?"
    r"(?P<to>[^\s{}()]{1,12}?)(?:\^ ?\{?(?P<side>[+-])\}?)? ?(?:\}|\)| ) ?(?P<text>\S.*?)"
    r" ?(?:\$\$?|\\\])?",
    re.IGNORECASE,
)
_VARIABLES = frozenset("rstuvwxyz")
_WORDS = ("deriv", "differentiate", "integra", "\\int", "∫", "lim", "d/d", "{d}{d", "'(", "’(")


def recognise(text: str) -> CalculusProblem | None:
    lower = folded(text)
    if not any(word in lower for word in _WORDS):
        return None
    line = plain(text)
    for read in (_derivative, _integral, _limit):
        problem = read(line)
        if problem is not None:
            return problem
    return None


def _derivative(line: str) -> CalculusProblem | None:
    if (match := _PRIME.fullmatch(line)) is not None:
        point = match["point"].strip()
        by, order = match["by"], len(match["primes"])
        return _checked(match["text"], by, "derivative", str(order), "" if point == by else point)
    if (match := _DERIVATIVE.fullmatch(line)) is not None:
        order, point = _ORDERS[(match["order"] or "").lower()], match["point"] or ""
        by = match["by"] or match["name"] or _only_name(match["text"])
        if match["name"] and match["name"] != by:
            return None
        return _checked(match["text"], by, "derivative", str(order), point)
    if (match := _DIFFERENTIATE.fullmatch(line)) is not None:
        by = match["by"] or _only_name(match["text"])
        return _checked(match["text"], by, "derivative", "1", "")
    if (match := _LEIBNIZ.fullmatch(line)) is not None:
        text = match["text"].removesuffix("$") if "$" in line else match["text"]
        text = text.strip()
        if not (text.startswith(("(", "[")) or _single(text)):
            return None  # where "d/dx x^2 + 1" ends may be read in two ways
        return _checked(text, match["by"] or match["by2"], "derivative", "1", "")
    return None


def _single(text: str) -> bool:
    """Whether a text is one term: no sum outside of brackets."""
    depth = 0
    for sign in text[1:]:
        depth += (sign in "([{") - (sign in ")]}")
        if sign in "+-−" and depth == 0:
            return False
    return True


def _integral(line: str) -> CalculusProblem | None:
    if (match := _SIGN.fullmatch(line)) is not None:
        low, high, by = match["a"], match["b"], match["d"]
        text = match["text"]
    else:
        match = (
            _FROM_TO_FIRST.fullmatch(line)
            or _INTEGRAL.fullmatch(line)
            or _INTEGRATE.fullmatch(line)
        )
        if match is None:
            return None
        text = match["text"]
        if text.startswith(("$", "\\(")) and (
            inner := re.fullmatch(r"(.*?)(?:\\[,;: ])?\s?d([a-z])", bare(text))
        ):
            text, by = inner[1], inner[2]
        else:
            by = match["d"] or match["by"] or _only_name(text)
        if (match["d"] and match["by"] and match["d"] != match["by"]) or (
            match["name"] and match["name"] != by
        ):
            return None
        low, high = match["a"], match["b"]
    if low is None:
        return _checked(text, by, "integral")
    return _checked(text, by, "definite", _unbraced(low), _unbraced(high))


def _limit(line: str) -> CalculusProblem | None:
    match = _LIMIT.fullmatch(line) or _LIMIT_FIRST.fullmatch(line) or _LIM.fullmatch(line)
    if match is None:
        return None
    side = {"left": "-", "right": "+", "-": "-", "+": "+", None: ""}[
        match["side"].lower() if match["side"] else None
    ]
    to = _unbraced(match["to"])
    if to[-1:] in "+-":
        return None
    return _checked(match["text"], match["by"], "limit", to, side)


def _unbraced(text: str) -> str:
    text = bare(text).strip()
    return text[1:-1] if text.startswith("{") and text.endswith("}") else text


def _only_name(text: str) -> str:
    """The variable where none is named: not a letter that may as well stand for a constant."""
    tree = _tree(text)
    found = names(tree) if tree is not None else frozenset()
    return next(iter(found)) if len(found) == 1 and found <= _VARIABLES else ""


def _tree(text: str) -> Expression | None:
    try:
        return expression(text)
    except Unreadable:
        return None


def _checked(text: str, by: str | None, task: str, *about: str) -> CalculusProblem | None:
    """The expression must be read whole and have no name but ``by``; so must every point."""
    tree = _tree(text)
    if not by or tree is None or not names(tree) <= {by} or by in "ei":
        return None
    points = {"derivative": about[1:], "definite": about, "limit": about[:1]}.get(task, ())
    for point in points:
        if point and ((inner := _tree(point)) is None or names(inner)):
            return None
    return CalculusProblem(task=task, texts=(text,), about=(by, *about))


def solve(problem: SolverProblem) -> Exact | None:
    """In the child. Raises ``Unreadable``."""
    from mesh.exact.solver import analysis

    tree = expression(problem.texts[0])
    name, *about = problem.about
    match problem.task:
        case "derivative":
            order, point = min(int(about[0]), _MAX_ORDER), about[1]
            text = analysis.derivative(tree, name, order, _tree(point) if point else None)
        case "integral":
            text = analysis.integral(tree, name)
        case "definite":
            text = analysis.definite(tree, name, expression(about[0]), expression(about[1]))
        case _:
            text = analysis.limit(tree, name, expression(about[0]), about[1])
    return None if text is None else answer(problem, text, MATH)
