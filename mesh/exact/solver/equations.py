"""Equations: of one unknown, small systems, and a value that follows from them.

``task`` is ``solve`` (``about``: the names asked for), ``roots`` (of an expression or equation) or
``value`` (the last of ``texts`` is what is asked for, the others are equations).
"""

from __future__ import annotations

import re
from fractions import Fraction

from mesh.exact.expression.lex import bare
from mesh.exact.expression.parse import expression, read, relations
from mesh.exact.expression.tree import Constant, Expression, Name, Number, Unreadable, names
from mesh.exact.phrase import phrase
from mesh.exact.solver.problem import SolverProblem
from mesh.exact.solver.words import NAME, listed

MAX_EQUATIONS = 6

_NAMES = r"\$?[A-Za-z]\$?(?:\s*(?:,\s*and|,|and)\s*\$?[A-Za-z]\$?){0,5}"
_ASKED = "(what (is|are)|what's|find|solve for|compute|calculate|determine|evaluate)"
_SOLVE_FOR = phrase(
    "solve[ for <names>[ in]][ [in ][the |this |these ][following ]"
    "[linear |quadratic |cubic |simultaneous ](equation[s]|system)[ of [linear ]equations]]"
    "[ for <later>] ?[:|,] +<equations>[[,] for <last>]",
    names=_NAMES,
    later="[A-Za-z]",
    last=_NAMES,
)
_FIND_IF = phrase(
    "(find|what is|what's|what does|determine|compute|calculate)[ the][ value[s]][ of] <names>"
    "[ equal[s]]([,] (if|when|given[ that]|where|such that|so that|for which"
    "|in[ the][ equation])[:|,] |: ?)<equations>",
    names=_NAMES,
    equations=r"\S.*",
)
_ROOTS = phrase(
    "[(find|what are|what is|determine|compute|give[ me])[ all][ of] ][the ][real ]"
    "(root[s]|zeros|zeroes|solution[s]) (of|to|for)[ the][ (quadratic|cubic|linear|polynomial)]"
    "[ (equation|polynomial|function|expression)][:] <equations>",
    equations=r"\S.*",
)
# From its begin, and whole: tried from each of its signs, a line of commas takes quadratic time.
_RUN = "(?<!,)(?<!.)(?<!;)(?<!:)(,|.|;|:| then)++"
_THENS = (
    phrase(
        f"{_RUN} [then ][and ][please ]{_ASKED}[ the][ value[s]][ of] <wanted>",
        wanted=r"\S.*",
    ),
    phrase(rf"{_RUN} [then ]<wanted> (is what|= ?\?|equals what)", wanted=NAME),
)  # fmt: skip
_THEN_AT_ONCE = phrase(" (what is|what's|find|solve for)[ the value of] <wanted>$", wanted=NAME)
_PREMISE = phrase("(if|given[ that]|suppose[ that]|let|assume[ that]|for) ")
_DEFINES = re.compile(r"(?<![a-zA-Z\\])[a-zA-Z]\s?\(\s?[a-z]\s?\)\s?=")
_DEFINED = re.compile(r"^(\$?)(?:y|[a-zA-Z]\([a-z]\)) ?= ?")


def recognise(line: str) -> SolverProblem | None:
    if (problem := _roots(line)) is not None:
        return problem
    if _DEFINES.search(line):
        return None
    return _solve_for(line) or _then(line) or _alone(line)


def _problem(task: str, texts: tuple[str, ...], about: tuple[str, ...] = ()) -> SolverProblem:
    return SolverProblem(kind="equation", task=task, texts=texts, about=about)


def _solve_for(line: str) -> SolverProblem | None:
    if (match := _SOLVE_FOR.fullmatch(line)) is not None:
        wanted = [match[group] for group in ("names", "later", "last") if match[group]]
        found = _equations(match["equations"], "".join(wanted)) if len(wanted) < 2 else None
        if found is not None:
            return found
    match = _FIND_IF.fullmatch(line)
    return _equations(match["equations"], match["names"]) if match is not None else None


def _roots(line: str) -> SolverProblem | None:
    if (match := _ROOTS.fullmatch(line)) is None:
        return None
    text = _DEFINED.sub(r"\1", match["equations"])
    if "=" in text:
        return _equations(text, "") if text == match["equations"] else None
    tree = read(text)
    if tree is None or len(names(tree)) != 1:
        return None
    return _problem("roots", (text,), tuple(names(tree)))


def _then(line: str) -> SolverProblem | None:
    """``EQUATIONS, find x`` and ``if EQUATIONS, what is EXPRESSION``."""
    premise = _PREMISE.match(line)
    found = next((match for each in _THENS if (match := each.search(line)) is not None), None)
    if found is None and premise is not None:
        found = _THEN_AT_ONCE.search(line)
    if found is None or found.end() != len(line):
        return None
    given, wanted = line[premise.end() if premise else 0 : found.start()], found["wanted"]
    if len(bare(wanted)) == 1 or re.fullmatch(_NAMES, wanted, re.IGNORECASE):
        return _equations(given, wanted)
    texts, tree = _readable(given), read(wanted)
    if texts is None or tree is None or not names(tree) or not names(tree) <= _names(texts):
        return None
    return _problem("value", (*texts, wanted))


def _alone(line: str) -> SolverProblem | None:
    """``3x + 5 = 20`` with nothing else, where one side is more than the unknown itself."""
    if line.count("=") != 1 or (texts := _readable(line)) is None or len(_names(texts)) != 1:
        return None
    left, right = _sides(texts[0])
    simple = (Name, Number, Constant)
    plain = isinstance(left, simple) and isinstance(right, simple)
    if plain or (isinstance(left, Name) and not names(right)):
        return None
    return _equations(line, "")


def _equations(text: str, wanted: str) -> SolverProblem | None:
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
    if not set(asked) <= unknowns or (len(texts) == 1 and len(asked) > 1):
        return None
    return _problem("solve", texts, asked)


def _readable(text: str) -> tuple[str, ...] | None:
    """Single equations as texts; None unless every one is read whole."""
    if "=" not in text or "<" in text or ">" in text:
        return None
    inner = bare(text) if text.count("$") in (0, 2) else text
    parts = listed(inner)
    if parts is None:  # 1,000 is a number of one equation; of two it may be a separator
        parts = (text,) if text.count("=") == 1 else ()
    texts = (text,) if len(parts) == 1 else tuple(part for part in parts if part)
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


def _names(texts: tuple[str, ...]) -> frozenset[str]:
    return names(*(side for each in texts for side in _sides(each)))


def _sides(text: str) -> tuple[Expression, Expression]:
    (relation,) = relations(text)
    return relation.left, relation.right


def solve(problem: SolverProblem) -> str | None:
    """In the child. Raises ``Unreadable``, and ``ZeroDivisionError`` for x/0."""
    from mesh.exact.solver import systems

    if problem.task == "roots":
        zero = (expression(problem.texts[0]), Number(Fraction(0)))
        return systems.solved([zero], problem.about)
    if problem.task == "value":
        *given, wanted = problem.texts
        return systems.value([_sides(text) for text in given], expression(wanted))
    return systems.solved([_sides(text) for text in problem.texts], problem.about)
