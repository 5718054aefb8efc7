"""Derivatives, integrals and limits of one variable.

``task`` and its ``about``: ``derivative`` (name, order, point or ""), ``integral`` (name),
``definite`` (name, from, to), ``limit`` (name, where, side: "", "+" or "-").
"""

from __future__ import annotations

import re

from mesh.exact.expression.lex import bare
from mesh.exact.expression.parse import expression, read
from mesh.exact.expression.tree import names
from mesh.exact.phrase import phrase
from mesh.exact.solver.problem import SolverProblem
from mesh.exact.solver.words import ASK

_MAX_ORDER = 6
_ORDERS = {"first": 1, "1st": 1, "second": 2, "2nd": 2, "third": 3, "3rd": 3, "fourth": 4}
_OF = r"[ the][ function| expression]:? [<defined>]"
_WITH = r"[ (with respect to|w[.]r[.]t[.]|in terms of) \$?<by>\$?]"
_TO = r"(approaches|goes to|tends to|->|→|\\to|\\rightarrow)"
_SIDE = "[ from the <side>]"
_SLOTS = {
    "defined": r"[a-z]\([a-z]\) ?= ?|y ?= ?",
    "by": "[a-zA-Z]",
    "name": "[a-zA-Z]",
    "d": "[a-z]",
    "a": "[^=]{1,20}?",
    "b": "[^=]{1,20}",
    "side": "left|right",
    "begin": r"(?:\$\$?|\\\[)? ?",
    "end": r" ?(?:\$\$?|\\\])?",
}
_DERIVATIVES = (
    phrase(
        rf"{ASK}[the ][<order> ]derivative of{_OF}<text>{_WITH}"
        r"[,? (at|when|for) [the point ]\$?<name>\$? ?= ?<point>]",
        **(_SLOTS | {"order": "|".join(_ORDERS), "point": "[^=]{1,30}"}),
    ),
    phrase(f"differentiate{_OF}<text>{_WITH}", **_SLOTS),
)
_LEIBNIZ = phrase(
    rf"{ASK}\$?(d/d<by>|\\d?frac\{{d\}}\{{d<by2>\}}) ?[of ]<text>",
    by="[a-z]",
    by2="[a-z]",
    text=r"\S.*",
)
_PRIME = phrase(
    r"[(if|let|given[ that]|suppose|for) ]\$?<f>\(<by>\) ?= ?<text>\$?(,|.|;|:| then)+ ?[then ]"
    r"(find|what is|what's|compute|calculate|determine|evaluate)[ the value of] \$?<same><primes>"
    r"\(<point>\)\$?",
    f="[a-z]",
    by="[a-z]",
    text="[^=]*?",
    same="(?P=f)",
    primes="['’]{1,3}",
    point="[^()=]{1,20}",
)
_BETWEEN = "[,? (from|between) [<name> ?= ?]<a> (to|and) [<name2> ?= ?]<b>]"
_INTEGRALS = (
    phrase(
        rf"{ASK}[the ][definite ]integral from <a> to <b> of[ the function] <text>[ ?d<d>]",
        **(_SLOTS | {"b": "[^=]{1,20}?"}),
    ),
    phrase(
        rf"({ASK}[the ][(indefinite|definite) ](integral|antiderivative) of|integrate){_OF}<text>"
        rf"[ ?d<d>]{_WITH}{_BETWEEN}",
        **(_SLOTS | {"name": "[a-z]", "name2": "[a-z]"}),
    ),
)
_SIGN = phrase(
    rf"{ASK}[the ][integral ]<begin>(\\int|∫)[ ?[\\limits] ?_ ?<a> ?\^ ?<b>] ?<text> ?<d_sign><d>"
    "[.|,]<end>",
    **(
        _SLOTS
        | {
            "a": r"\{[^{}]{1,20}\}|\\pi|.",
            "b": r"\{[^{}]{1,20}\}|\\pi|\\infty|.",
            "d_sign": r"(?:\\[,;:! ] ?)*(?:\\mathrm\{d\}|\\text\{d\}|d)",
        }
    ),
)
_LIMITS = (
    phrase(
        rf"{ASK}[the ]limit of{_OF}<text>,? as \$?<by>\$? {_TO} <to>{_SIDE}",
        **(_SLOTS | {"by": "[a-z]", "to": r"\S[^=]{0,30}?"}),
    ),
    phrase(
        rf"{ASK}[the ]limit,? as \$?<by>\$? {_TO} <to>{_SIDE},? of[ the function| the expression]"
        " <text>",
        **(_SLOTS | {"by": "[a-z]", "to": r"\S[^=]{0,20}?", "text": r"\S.*"}),
    ),
    phrase(
        rf"{ASK}<begin>\\?lim[it] ?<under><by> ?{_TO} ?<to>[\^ ?\{{?<side>\}}?] ?(\}}|\)| ) ?<text>"
        "<end>",
        **(
            _SLOTS
            | {"by": "[a-z]", "to": r"[^\s{}()]{1,12}?", "side": "[-+]"}
            | {"under": r"(?:(?:_? ?\{|_?\(|_| ) ?)?"}
        ),
    ),
)
_VARIABLES = frozenset("rstuvwxyz")
_SIDES = {None: "", "left": "-", "right": "+", "-": "-", "+": "+"}


def recognise(line: str) -> SolverProblem | None:
    return _derivative(line) or _integral(line) or _limit(line)


def _derivative(line: str) -> SolverProblem | None:
    if (match := _PRIME.fullmatch(line)) is not None:
        point = match["point"].strip()
        by, order = match["by"], len(match["primes"])
        return _checked(match["text"], by, "derivative", str(order), "" if point == by else point)
    for pattern in _DERIVATIVES:
        if (match := pattern.fullmatch(line)) is not None:
            said = {"order": None, "point": None, "name": None} | match.groupdict()
            by = said["by"] or said["name"] or _only_name(match["text"])
            if said["name"] not in (None, by):
                return None
            order = _ORDERS[(said["order"] or "first").lower()]
            return _checked(match["text"], by, "derivative", str(order), said["point"] or "")
    if (match := _LEIBNIZ.fullmatch(line)) is not None:
        text = (match["text"].removesuffix("$") if "$" in line else match["text"]).strip()
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


def _integral(line: str) -> SolverProblem | None:
    match = _SIGN.fullmatch(line)
    if match is not None:
        text, by = match["text"], match["d"]
    else:
        match = next((m for each in _INTEGRALS if (m := each.fullmatch(line)) is not None), None)
        if match is None:
            return None
        said = {"by": None, "name": None} | match.groupdict()
        text = match["text"]
        inner = re.fullmatch(r"(.*?)(?:\\[,;: ])?\s?d([a-z])", bare(text))
        if text.startswith(("$", "\\(")) and inner is not None:
            text, by = inner[1], inner[2]
        else:
            by = said["d"] or said["by"] or _only_name(text)
        if {said["d"] or by, said["by"] or by, said["name"] or by} != {by}:
            return None
    low, high = match["a"], match["b"]
    if low is None:
        return _checked(text, by, "integral")
    return _checked(text, by, "definite", _unbraced(low), _unbraced(high))


def _limit(line: str) -> SolverProblem | None:
    match = next((m for each in _LIMITS if (m := each.fullmatch(line)) is not None), None)
    if match is None:
        return None
    to = _unbraced(match["to"])
    if to[-1:] in "+-":
        return None
    side = _SIDES[match["side"] and match["side"].lower()]
    return _checked(match["text"], match["by"], "limit", to, side)


def _unbraced(text: str) -> str:
    text = bare(text).strip()
    return text[1:-1] if text.startswith("{") and text.endswith("}") else text


def _only_name(text: str) -> str:
    """The variable where none is named: not a letter that may as well stand for a constant."""
    tree = read(text)
    found = names(tree) if tree is not None else frozenset()
    return next(iter(found)) if len(found) == 1 and found <= _VARIABLES else ""


def _checked(text: str, by: str | None, task: str, *about: str) -> SolverProblem | None:
    """The expression must be read whole and have no name but ``by``; so must every point."""
    tree = read(text)
    if not by or tree is None or not names(tree) <= {by} or by in "ei":
        return None
    points = {"derivative": about[1:], "definite": about, "limit": about[:1]}.get(task, ())
    for point in points:
        if point and ((inner := read(point)) is None or names(inner)):
            return None
    return SolverProblem(kind="calculus", task=task, texts=(text,), about=(by, *about))


def solve(problem: SolverProblem) -> str | None:
    """In the child. Raises ``Unreadable``."""
    from mesh.exact.solver import analysis

    tree = expression(problem.texts[0])
    name, *about = problem.about
    match problem.task:
        case "derivative":
            point = expression(about[1]) if about[1] else None
            return analysis.derivative(tree, name, min(int(about[0]), _MAX_ORDER), point)
        case "integral":
            return analysis.integral(tree, name)
        case "definite":
            return analysis.definite(tree, name, expression(about[0]), expression(about[1]))
        case _:
            return analysis.limit(tree, name, expression(about[0]), about[1])
