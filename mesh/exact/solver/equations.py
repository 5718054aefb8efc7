"""Equations: of one unknown, small systems, and a value that follows from them.

``task`` is ``solve`` (``about``: the names asked for), ``roots`` (of an expression or equation) or
``value`` (the last of ``texts`` is what is asked for, the others are equations).
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from fractions import Fraction
from typing import ClassVar

from mesh.exact.base import MATH, Exact
from mesh.exact.solver.parse import expression, relations
from mesh.exact.solver.problem import SolverProblem, answer, as_decimals
from mesh.exact.solver.tree import (
    Constant,
    Expression,
    Name,
    Number,
    Relation,
    Unreadable,
    names,
)
from mesh.exact.solver.words import bare, listed, plain

MAX_EQUATIONS = 6


@dataclass(frozen=True, slots=True, kw_only=True)
class EquationProblem(SolverProblem):
    kind: ClassVar[str] = "equation"


_NAME = r"\$?(?:\\\()?\s*([A-Za-z](?:\s*(?:,|and|,\s*and)\s*[A-Za-z])*)\s*(?:\\\))?\$?"
_NAMES = r"(?P<names>\$?[A-Za-z]\$?(?:\s*(?:,\s*and|,|and)\s*\$?[A-Za-z]\$?){0,5})"
_KIND_OF = (
    r"(?:(?:linear |quadratic |cubic |simultaneous )?(?:equations?|system)(?: of "
    r"(?:linear )?equations)?)"
)
_SOLVE_FOR = re.compile(
    rf"solve(?: for {_NAMES}(?: in)?)?(?: (?:in )?(?:the |this |these )?(?:following )?{_KIND_OF})?"
    rf"(?: for (?P<later>[A-Za-z]))?\s*[:,]?\s+(?P<equations>\S.*?)"
    rf"(?:,? for (?P<last>\$?[A-Za-z]\$?(?:\s*(?:,\s*and|,|and)\s*\$?[A-Za-z]\$?){{0,5}}))?",
    re.IGNORECASE,
)
_FIND_IF = re.compile(
    rf"(?:find|what is|what's|what does|determine|compute|calculate)(?: the)?(?: values?)?"
    rf"(?: of)? {_NAMES}"
    r"(?: equals?)?(?:,? (?:if|when|given(?: that)?|where|such that|so that|for which|in"
    r"(?: the)?(?: equation)?)[:,]? |: ?)"
    r"(?P<equations>\S.*)",
    re.IGNORECASE,
)
_ROOTS = re.compile(
    r"(?:(?:find|what are|what is|determine|compute|give(?: me)?)(?: all)?(?: of)? )?(?:the )?"
    r"(?:real )?(?:roots?|zeros|zeroes|solutions?) (?:of|to|for)(?: the)?"
    r"(?: (?:quadratic|cubic|linear|polynomial))?(?: (?:equation|polynomial|function"
    r"|expression))?:? "
    r"(?P<equations>\S.*)",
    re.IGNORECASE,
)
_THEN = re.compile(
    r"(?:[,.;:]| then)+ (?:then )?(?:and )?(?:please )?(?:what (?:is|are)|what's|find"
    r"|solve for|compute|calculate"
    r"|determine|evaluate)(?: the)?(?: values?)?(?: of)? (?P<wanted>\S.*)",
    re.IGNORECASE,
)
_THEN_AT_ONCE = re.compile(
    r" (?:what is|what's|find|solve for)(?: the value of)? (?P<wanted>\$?[a-zA-Z]\$?)$",
    re.IGNORECASE,
)
_WHAT_IS_LAST = re.compile(
    r"(?:[,.;:]| then)+ (?:then )?(?P<wanted>\$?[A-Za-z]\$?) (?:is what|= ?\?|equals what)",
    re.IGNORECASE,
)
_PREMISE = re.compile(
    r"(?:if|given(?: that)?|suppose(?: that)?|let|assume(?: that)?|for) ", re.IGNORECASE
)
_DEFINES = re.compile(r"(?<![a-zA-Z\\])[a-zA-Z]\s?\(\s?[a-z]\s?\)\s?=")
_DEFINED = re.compile(r"(?<=^)(?:y|[a-zA-Z]\([a-z]\)) ?= ?|(?<=^\$)(?:y|[a-zA-Z]\([a-z]\)) ?= ?")


def recognise(text: str) -> EquationProblem | None:
    if "=" not in text and "root" not in text and "zero" not in text:
        return None
    line = plain(text)
    if not line:
        return None
    if (problem := _roots(line)) is not None:
        return problem
    if _DEFINES.search(line):
        return None
    for read in (_solve_for, _find_if, _then, _alone):
        problem = read(line)
        if problem is not None:
            return problem
    return None


def _solve_for(line: str) -> EquationProblem | None:
    if line[:5].lower() != "solve" or (match := _SOLVE_FOR.fullmatch(line)) is None:
        return None
    wanted = [match[group] for group in ("names", "later", "last") if match[group]]
    if len(wanted) > 1:
        return None
    return _equations(match["equations"], wanted[0] if wanted else "")


def _find_if(line: str) -> EquationProblem | None:
    if (match := _FIND_IF.fullmatch(line)) is None:
        return None
    return _equations(match["equations"], match["names"])


def _roots(line: str) -> EquationProblem | None:
    if (match := _ROOTS.fullmatch(line)) is None:
        return None
    text = _DEFINED.sub("", match["equations"])
    if "=" in text:
        return _equations(text, "") if text == match["equations"] else None
    try:
        tree = expression(text)
    except Unreadable:
        return None
    if len(names(tree)) != 1:
        return None
    return EquationProblem(task="roots", texts=(text,), about=tuple(names(tree)))


def _then(line: str) -> EquationProblem | None:
    """``EQUATIONS, find x`` and ``if EQUATIONS, what is EXPRESSION``."""
    premise = _PREMISE.match(line)
    found = _THEN.search(line) or _WHAT_IS_LAST.search(line)
    if found is None and premise is not None:
        found = _THEN_AT_ONCE.search(line)
    if found is None or found.end() != len(line):
        return None
    given = line[premise.end() if premise else 0 : found.start()]
    wanted = found["wanted"]
    if len(bare(wanted)) == 1 or re.fullmatch(_NAMES, wanted, re.IGNORECASE):
        return _equations(given, wanted)
    texts = _readable(given)
    if texts is None:
        return None
    try:
        tree = expression(wanted)
    except Unreadable:
        return None
    if not names(tree) or not names(tree) <= _names(texts):
        return None
    return EquationProblem(task="value", texts=(*texts, wanted))


def _alone(line: str) -> EquationProblem | None:
    """``3x + 5 = 20`` with nothing else, where one side is more than the unknown itself."""
    if line.count("=") != 1 or (texts := _readable(line)) is None:
        return None
    left, right = _sides(relations(texts[0]))
    simple = (Name, Number, Constant)
    if len(_names(texts)) != 1 or (isinstance(left, simple) and isinstance(right, simple)):
        return None
    if isinstance(left, Name) and not names(right):
        return None
    return _equations(line, "")


def _equations(text: str, wanted: str) -> EquationProblem | None:
    texts = _readable(text)
    if texts is None:
        return None
    unknowns = _names(texts)
    asked = tuple(dict.fromkeys(re.findall(r"[A-Za-z]", re.sub(r"\band\b", " ", wanted))))
    if not asked:
        # "Solve xy = 1" does not say for which; two equations of two unknowns do.
        if not unknowns or len(unknowns) > len(texts):
            return None
        asked = tuple(sorted(unknowns))
    if not set(asked) <= unknowns:
        return None
    if len(texts) == 1 and len(asked) > 1:
        return None
    return EquationProblem(task="solve", texts=texts, about=asked)


def _readable(text: str) -> tuple[str, ...] | None:
    """Single equations as texts; None unless every one is read whole."""
    if "=" not in text or "<" in text or ">" in text:
        return None
    texts = tuple(part for part in _split(text) if part) if text else ()
    if not 1 <= len(texts) <= MAX_EQUATIONS:
        return None
    try:
        for each in texts:
            (relation,) = relations(each)
            if relation.operator != "=" or not names(relation.left, relation.right):
                return None
    except (Unreadable, ValueError):
        return None
    return texts


def _split(text: str) -> tuple[str, ...]:
    inner = bare(text) if text.count("$") in (0, 2) else text
    texts = listed(inner)
    if texts is None:  # 1,000 is a number of one equation; of two it may be a separator
        return (text,) if text.count("=") == 1 else ()
    return (text,) if len(texts) == 1 else texts


def _names(texts: tuple[str, ...]) -> frozenset[str]:
    found: frozenset[str] = frozenset()
    for each in texts:
        for relation in relations(each):
            found |= names(relation.left, relation.right)
    return found


def solve(problem: SolverProblem) -> Exact | None:
    """In the child. Raises ``Unreadable``, and ``ZeroDivisionError`` for x/0."""
    from mesh.exact.solver import systems

    if problem.task == "roots":
        zero = (expression(problem.texts[0]), _ZERO)
        return _answered(problem, systems.solved([zero], problem.about))
    last = len(problem.texts) - (problem.task == "value")
    equations = [_sides(relations(text)) for text in problem.texts[:last]]
    if problem.task == "value":
        wanted = expression(problem.texts[-1])
        return _answered(problem, systems.value(equations, wanted))
    return _answered(problem, systems.solved(equations, problem.about))


_ZERO: Expression = Number(Fraction(0))


def _sides(chain: tuple[Relation, ...]) -> tuple[Expression, Expression]:
    (relation,) = chain
    return relation.left, relation.right


_DECIMAL = re.compile(r"\d\.\d|\.\d")


def _answered(problem: SolverProblem, text: str | None) -> Exact | None:
    if text is None:
        return None
    decimal = any(_DECIMAL.search(each) for each in problem.texts)
    return answer(problem, as_decimals(text) if decimal else text, MATH)
