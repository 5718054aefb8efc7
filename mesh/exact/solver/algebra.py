"""Rewriting and evaluating expressions.

``task``: ``simplify``, ``expand``, ``factor`` (one text); ``value`` (first the expression, then
``x = 4`` for each name); ``function`` (first what is asked for, then ``f(x) = ...`` definitions).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction
from typing import Any, ClassVar

from mesh.exact.base import MATH, Exact
from mesh.exact.solver.parse import expression, relations
from mesh.exact.solver.polynomial import quotient
from mesh.exact.solver.problem import SolverProblem, answer, as_decimals
from mesh.exact.solver.tree import (
    Binary,
    Call,
    Expression,
    Name,
    Negative,
    Number,
    Unreadable,
    check,
    constant,
    functions,
    names,
    replace,
    walk,
)
from mesh.exact.solver.value import exact, same_trees
from mesh.exact.solver.words import listed, plain


@dataclass(frozen=True, slots=True, kw_only=True)
class AlgebraProblem(SolverProblem):
    kind: ClassVar[str] = "algebra"


_TASKS = {
    "simplify": "simplify",
    "expand": "expand",
    "multiply out": "expand",
    "factor": "factor",
    "factorise": "factor",
    "factorize": "factor",
    "evaluate": "number",
    "compute": "number",
    "calculate": "number",
    "what is": "number",
    "what's": "number",
    "find": "number",
}
_REWRITE = re.compile(
    r"(?:fully |completely )?(?P<task>simplify|expand|multiply out|factor(?:i[sz]e)?|evaluate"
    r"|compute"
    r"|calculate|what is|what's|find)(?: out| completely| fully)?(?: the)?(?: exact)?(?: value of)?"
    r"(?: the)?(?: following)?(?: (?:algebraic |quadratic )?(?:expression|polynomial|product"
    r"|quadratic|trinomial|binomial))?"
    r"(?: of)?\s*:?\s+(?P<text>\S.*?)(?: completely| fully)?",
    re.IGNORECASE,
)
_AT = re.compile(
    r"(?:evaluate|compute|calculate|find|what is|what's|determine)(?: the)?(?: value of)?(?: the)?"
    r"(?: expression)?:? (?P<text>\S.*?),? (?:if|when|for|at|given(?: that)?|where|with) "
    r"(?P<given>[^=]{1,9}=.*)",
    re.IGNORECASE,
)
_GIVEN_FIRST = re.compile(
    r"(?:given|if|for|when|let)(?: that)? (?P<given>[^=]{1,9}=.*?),? (?:what is|what's|find"
    r"|evaluate"
    r"|compute|calculate|determine)(?: the)?(?: value of)?(?: the)?(?: expression)? (?P<text>\S.*)",
    re.IGNORECASE,
)
_FUNCTION = re.compile(
    r"(?:(?:if|let|given(?: that)?|suppose(?: that)?|for|consider)(?: the functions?)? )?"
    r"(?P<given>\$?\s?[a-zA-Z]\s?\(\s?[a-z]\s?\)\s?=.*?)\s?(?:(?:[,.;:]\$?|\$"
    r"|then)+ ?|(?= what| find| evaluate| compute| calc) )(?:then )?"
    r"(?:what is|what's|find|evaluate|compute|calculate|determine)(?: the)?(?: value of)? "
    r"(?P<text>\S.*)",
    re.IGNORECASE,
)
_FIND_IF = re.compile(
    r"(?:what is|what's|find|evaluate|compute|calculate|determine)(?: the)?(?: value of)? "
    r"(?P<text>\$?\s?[a-zA-Z]\s?\([^=]*?),? (?:if|when|for|given(?: that)?|where) "
    r"(?P<given>\$?\s?[a-zA-Z]\s?\(\s?[a-z]\s?\)\s?=.*)",
    re.IGNORECASE,
)
_DEFINITION = re.compile(r"\s*([a-zA-Z])\s?\(\s?([a-z])\s?\)\s?=(.*)", re.DOTALL)
_STARTS = frozenset(
    (
        *("simplify", "expand", "multiply", "factor", "factorise", "factorize", "fully"),
        *("completely", "evaluate", "compute", "calculate", "determine", "what", "what's", "find"),
        *("given", "if", "for", "when", "let", "suppose", "consider"),
    )
)


def recognise(text: str) -> AlgebraProblem | None:
    line = plain(text)
    if not line:
        return None
    if line.partition(" ")[0].lower() not in _STARTS and "(" not in line[:6]:
        return None
    for read in (_function, _at, _rewrite):
        problem = read(line)
        if problem is not None:
            return problem
    return None


def _rewrite(line: str) -> AlgebraProblem | None:
    match = _REWRITE.fullmatch(line)
    if match is None:
        return None
    task, text = _TASKS[match["task"].lower()], match["text"]
    tree = _tree(text)
    if tree is None:
        return None
    if names(tree):
        return None if task == "number" else AlgebraProblem(task=task, texts=(text,))
    # Of numbers alone there is nothing to expand, and to factor them is another question.
    if task not in ("simplify", "number") or not isinstance(tree, Binary | Call | Negative):
        return None
    # Plain sums are another tool's; here are roots, functions and LaTeX.
    if not functions(tree) and "$" not in text and "\\" not in text:
        return None
    return AlgebraProblem(task="simplify", texts=(text,))


def _at(line: str) -> AlgebraProblem | None:
    match = _AT.fullmatch(line) or _GIVEN_FIRST.fullmatch(line)
    if match is None:
        return None
    tree, point = _tree(match["text"]), _point(match["given"])
    if tree is None or point is None or not names(tree) or names(tree) != set(point):
        return None
    return AlgebraProblem(task="value", texts=(match["text"], *_parts(match["given"])))


def _function(line: str) -> AlgebraProblem | None:
    match = _FUNCTION.fullmatch(line) or _FIND_IF.fullmatch(line)
    if match is None:
        return None
    parts = _parts(match["given"])
    defined = _definitions(parts)
    if not defined:
        return None
    try:
        wanted = expression(match["text"], defined=defined)
    except Unreadable:
        return None
    called = functions(wanted) & set(defined)
    if not called or not _closed(defined) or not names(wanted) <= _arguments(defined):
        return None
    return AlgebraProblem(task="function", texts=(match["text"], *parts))


def _arguments(defined: Mapping[str, tuple[str, Expression]]) -> frozenset[str]:
    return frozenset(argument for argument, _ in defined.values())


def _closed(defined: Mapping[str, tuple[str, Expression]]) -> bool:
    """Every definition has no name but its own argument, and calls none but earlier functions."""
    known: set[str] = set()
    for function, (argument, body) in defined.items():
        if not names(body) <= {argument} or functions(body) & set(defined) - known:
            return False
        known.add(function)
    return True


def _definitions(parts: tuple[str, ...]) -> dict[str, tuple[str, Expression]]:
    """By function: the name of its argument and its body; empty unless all are read."""
    found: dict[str, tuple[str, Expression]] = {}
    for part in parts:
        match = _DEFINITION.fullmatch(part.strip().strip("$").strip().rstrip(",.;"))
        if match is None or match[1] in found or match[1] in "ei":
            return {}
        try:
            found[match[1]] = (match[2], expression(match[3], defined=tuple(found)))
        except Unreadable:
            return {}
    return found


def _parts(text: str) -> tuple[str, ...]:
    return listed(text) or (text,)


def _tree(text: str) -> Expression | None:
    try:
        return expression(text)
    except Unreadable:
        return None


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


def solve(problem: SolverProblem) -> Exact | None:
    """In the child. Raises ``Unreadable`` and ``Undefined``."""
    match problem.task:
        case "simplify" | "expand" | "factor":
            text = _rewritten(problem.task, expression(problem.texts[0]))
        case "value":
            wanted = expression(problem.texts[0])
            point = _point(", ".join(problem.texts[1:])) or {}
            text = _worth(replace(wanted, {name: Number(v) for name, v in point.items()}))
        case _:
            defined = _definitions(problem.texts[1:])
            wanted = expression(problem.texts[0], defined=defined)
            text = _worth(_inlined(wanted, defined))
    if text is None:
        return None
    decimal = any(re.search(r"\.\d", each) for each in problem.texts)
    return answer(problem, as_decimals(text) if decimal else text, MATH)


def _inlined(tree: Expression, defined: Mapping[str, tuple[str, Expression]]) -> Expression:
    match tree:
        case Call(function=function, arguments=(argument,)) if function in defined:
            name, body = defined[function]
            inner = _inlined(argument, defined)
            return replace(_inlined(body, defined), {name: inner})
        case Call(function=function, arguments=arguments):
            return Call(function, tuple(_inlined(each, defined) for each in arguments))
        case Negative(of=of):
            return Negative(_inlined(of, defined))
        case Binary(operator=operator, left=left, right=right):
            return Binary(operator, _inlined(left, defined), _inlined(right, defined))
        case _:
            return tree


def _worth(tree: Expression) -> str | None:
    """The value of a tree; where names are left in it, itself, simplified."""
    check(tree)
    value = None if names(tree) else exact(tree, {})
    return str(value) if value is not None else _rewritten("simplify", tree)


def _rewritten(task: str, tree: Expression) -> str | None:
    import sympy

    from mesh.exact.solver.expression import read_back, symbolic, written

    if _in_unknown_angle(tree):
        return None
    fraction = quotient(tree)  # raises where the whole would be too large to write out
    if fraction is not None and not fraction[0] and not fraction[1]:
        return None
    value = symbolic(tree)
    if value.has(sympy.zoo, sympy.nan, sympy.oo):
        return None
    if task == "expand":
        # What has no brackets to multiply out, such as sin(2x), is expanded by other rules.
        if fraction is None or len(fraction[1]) != 1:
            return None
        result = sympy.expand(value)
    elif task == "factor":
        if fraction is None or len(fraction[1]) != 1:
            return None
        result = sympy.factor(value)
        if result.is_Atom:
            return None
    else:
        result = _simplest(value, polynomial=fraction is not None)
    if result is None:
        return None
    text = written(result)
    back = read_back(text)
    if fraction is not None:
        again = quotient(back)
        if again is None or not _equal(fraction, again):
            return None
    elif not same_trees(tree, back):
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


def _equal(first: Any, second: Any) -> bool:
    """a/b = c/d, exactly."""
    from mesh.exact.solver.polynomial import multiply

    return bool(multiply(first[0], second[1]) == multiply(second[0], first[1]))


def _simplest(value: Any, *, polynomial: bool) -> Any:
    import sympy

    if polynomial:
        return sympy.cancel(value) if value.free_symbols else value
    if not value.free_symbols:
        tried = [value, sympy.radsimp(value), sympy.simplify(value), sympy.nsimplify(value)]
        tried += [sympy.sqrtdenest(sympy.radsimp(sympy.expand(value)))]
        # A root in the denominator is not simple, however short it is.
        return min(tried, key=lambda each: (_irrational_below(each), sympy.count_ops(each)))
    result = sympy.simplify(value)
    return result if sympy.count_ops(result) <= sympy.count_ops(value) else None


def _irrational_below(value: Any) -> bool:
    return not value.as_numer_denom()[1].is_rational
