"""Rewriting and evaluating expressions.

``task``: ``simplify``, ``expand``, ``factor`` (one text); ``value`` (first the expression, then
``x = 4`` for each name); ``function`` (first what is asked for, then ``f(x) = ...`` definitions).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from fractions import Fraction
from typing import Any

from mesh.exact.expression.parse import expression, read, relations
from mesh.exact.expression.tree import (
    Binary,
    Call,
    Expression,
    Name,
    Negative,
    Number,
    Unreadable,
    functions,
    names,
    rebuilt,
    replace,
    walk,
)
from mesh.exact.expression.value import check, constant, exact
from mesh.exact.phrase import phrase
from mesh.exact.solver.problem import SolverProblem
from mesh.exact.solver.words import listed

_FIND = "(evaluate|compute|calculate|find|what is|what's|determine)"
_DEFINED = r"\$?\s?[a-zA-Z]\s?\(\s?[a-z]\s?\)\s?=.*"  # f(x) = ...
_TASKS = {
    "simplify": "simplify",
    "expand": "expand",
    "multiply out": "expand",
    "factor": "factor",
    "factorise": "factor",
    "factorize": "factor",
}
_REWRITE = phrase(
    "[fully |completely ]<task>[ out| completely| fully][ the][ exact][ value of][ the][ following]"
    "[ [algebraic |quadratic ](expression|polynomial|product|quadratic|trinomial|binomial)][ of]"
    " ?:? <text>[ completely| fully]",
    task="simplify|expand|multiply out|factor(?:i[sz]e)?|evaluate|compute|calculate|what is|what's"
    "|find",
)
_VALUES = (
    phrase(
        rf"{_FIND}[ the][ value of][ the][ expression][:] <text>[,] "
        "(if|when|for|at|given[ that]|where|with) <given>",
        given=r"[^=]{1,9}=.*",
    ),
    phrase(
        f"(given|if|for|when|let)[ that] <given>[,] {_FIND}[ the][ value of][ the][ expression] "
        "<text>",
        given=r"[^=]{1,9}=.*?",
    ),
)
_FUNCTIONS = (
    phrase(
        "[(if|let|given[ that]|suppose[ that]|for|consider)[ the function[s]] ]<given> ?<end>"
        f"[then ]{_FIND}[ the][ value of] <text>",
        given=rf"{_DEFINED}?",
        end=r"(?:(?:[,.;:]\$?|\$|then)+ ?|(?= what| find| evaluate| compute| calc) )",
    ),
    phrase(
        f"{_FIND}[ the][ value of] <text>[,] (if|when|for|given[ that]|where) <given>",
        text=r"\$?\s?[a-zA-Z]\s?\([^=]*?",
        given=_DEFINED,
    ),
)
_DEFINITION = re.compile(r"\s*([a-zA-Z])\s?\(\s?([a-z])\s?\)\s?=(.*)", re.DOTALL)

Definitions = Mapping[str, tuple[str, Expression]]  # by function: its argument's name, its body


def recognise(line: str) -> SolverProblem | None:
    return _function(line) or _value(line) or _rewrite(line)


def _match(patterns: tuple[re.Pattern[str], ...], line: str) -> re.Match[str] | None:
    return next((match for each in patterns if (match := each.fullmatch(line))), None)


def _problem(task: str, *texts: str) -> SolverProblem:
    return SolverProblem(kind="algebra", task=task, texts=texts)


def _rewrite(line: str) -> SolverProblem | None:
    match = _REWRITE.fullmatch(line)
    if match is None or (tree := read(match["text"])) is None:
        return None
    task, text = _TASKS.get(match["task"].lower(), "number"), match["text"]
    if names(tree):
        return None if task == "number" else _problem(task, text)
    # Of numbers alone there is nothing to expand, and to factor them is another question.
    if task not in ("simplify", "number") or not isinstance(tree, Binary | Call | Negative):
        return None
    # Plain sums are another tool's; here are roots, functions and LaTeX.
    if not functions(tree) and "$" not in text and "\\" not in text:
        return None
    return _problem("simplify", text)


def _value(line: str) -> SolverProblem | None:
    match = _match(_VALUES, line)
    if match is None:
        return None
    tree, point = read(match["text"]), _point(match["given"])
    if tree is None or point is None or not names(tree) or names(tree) != set(point):
        return None
    return _problem("value", match["text"], *_parts(match["given"]))


def _function(line: str) -> SolverProblem | None:
    match = _match(_FUNCTIONS, line)
    if match is None:
        return None
    parts = _parts(match["given"])
    defined = _definitions(parts)
    wanted = read(match["text"], defined=defined) if defined else None
    if wanted is None or not functions(wanted) & set(defined):
        return None
    if not names(wanted) <= {argument for argument, _ in defined.values()}:
        return None
    return _problem("function", match["text"], *parts)


def _definitions(parts: tuple[str, ...]) -> Definitions:
    """Empty unless all are read, and each has no name but its own argument."""
    found: dict[str, tuple[str, Expression]] = {}
    for part in parts:
        match = _DEFINITION.fullmatch(part.strip().strip("$").strip().rstrip(",.;"))
        if match is None or match[1] in found or match[1] in "ei":
            return {}
        body = read(match[3], defined=tuple(found))
        if body is None or not names(body) <= {match[2]}:
            return {}
        found[match[1]] = (match[2], body)
    return found


def _parts(text: str) -> tuple[str, ...]:
    return listed(text) or (text,)


def _point(text: str) -> dict[str, Fraction] | None:
    """``x = 4 and y = -1/2``."""
    point: dict[str, Fraction] = {}
    for part in _parts(text):
        try:
            (relation,) = relations(part)
            value = constant(relation.right)
        except (Unreadable, ValueError):
            return None
        if not isinstance(relation.left, Name) or value is None or relation.operator != "=":
            return None
        if point.setdefault(relation.left.name, value) != value:
            return None
    return point


def solve(problem: SolverProblem) -> str | None:
    """In the child. Raises ``Unreadable`` and ``Undefined``."""
    text, *given = problem.texts
    match problem.task:
        case "simplify" | "expand" | "factor":
            return _rewritten(problem.task, expression(text))
        case "value":
            point = _point(", ".join(given)) or {}
            return _worth(replace(expression(text), {n: Number(v) for n, v in point.items()}))
        case _:
            defined = _definitions(tuple(given))
            return _worth(_inlined(expression(text, defined=defined), defined))


def _inlined(tree: Expression, defined: Definitions) -> Expression:
    tree = rebuilt(tree, lambda part: _inlined(part, defined))
    if isinstance(tree, Call) and tree.function in defined:
        name, body = defined[tree.function]
        return replace(_inlined(body, defined), {name: tree.arguments[0]})
    return tree


def _worth(tree: Expression) -> str | None:
    """The value of a tree; where names are left in it, itself, simplified."""
    check(tree)
    value = None if names(tree) else exact(tree, {})
    return str(value) if value is not None else _rewritten("simplify", tree)


def _rewritten(task: str, tree: Expression) -> str | None:
    import sympy

    from mesh.exact.solver.numeric import same_trees
    from mesh.exact.solver.roots import quotient
    from mesh.exact.solver.symbolic import read_back, symbolic, written

    if _in_unknown_angle(tree):
        return None
    fraction = quotient(tree)  # raises where the whole would be too large to write out
    if fraction is not None and fraction[1].is_zero:
        return None
    value = symbolic(tree)
    if value.has(sympy.zoo, sympy.nan, sympy.oo):
        return None
    if task == "simplify":
        result = _simplest(value, polynomial=fraction is not None)
    elif fraction is None or len(fraction[1].terms()) != 1:
        # What has no brackets to multiply out, such as sin(2x), is expanded by other rules.
        return None
    else:
        result = sympy.expand(value) if task == "expand" else sympy.factor(value)
    if result is None or (task == "factor" and result.is_Atom):
        return None
    text = written(result)
    back = read_back(text)
    if not (same_trees(tree, back) if fraction is None else _equal(fraction, quotient(back))):
        return None
    if task == "factor" and not isinstance(result, sympy.Mul | sympy.Pow):
        return f"{text} (it has no factors over the rationals)"
    return text


_ANGLES = frozenset(("sin", "cos", "tan", "sec", "csc", "cot"))


def _in_unknown_angle(tree: Expression) -> bool:
    """Whether it has something like sin(30), which some mean in degrees and some in radians."""
    return any(
        isinstance(node, Call) and node.function in _ANGLES and constant(node.arguments[0])
        for node in walk(tree)
    )


def _equal(first: tuple[Any, Any], second: tuple[Any, Any] | None) -> bool:
    """a/b = c/d, exactly."""
    return second is not None and bool(first[0] * second[1] == second[0] * first[1])


def _simplest(value: Any, *, polynomial: bool) -> Any:
    import sympy

    if polynomial:
        return sympy.cancel(value) if value.free_symbols else value
    if not value.free_symbols:
        tried = [value, sympy.radsimp(value), sympy.simplify(value), sympy.nsimplify(value)]
        tried += [sympy.sqrtdenest(sympy.radsimp(sympy.expand(value)))]
        # A root in the denominator is not simple, however short it is.
        return min(
            tried,
            key=lambda each: (not each.as_numer_denom()[1].is_rational, sympy.count_ops(each)),
        )
    result = sympy.simplify(value)
    return result if sympy.count_ops(result) <= sympy.count_ops(value) else None
