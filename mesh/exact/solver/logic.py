"""Questions about formulas of propositional logic.

``task`` and its ``texts``: ``tautology``, ``contradiction``, ``satisfiable`` (the formula),
``equivalent`` (both), ``entails`` (the premises, and last the conclusion). Every answer is worked
out twice, by truth table and by z3, and given only where they agree.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from mesh.exact.base import LOGIC, Exact
from mesh.exact.solver.formula import (
    MAX_ATOMS,
    Atom,
    Connected,
    Formula,
    Not,
    Truth,
    atoms,
    formula,
    true,
)
from mesh.exact.solver.problem import SolverProblem, answer
from mesh.exact.solver.tree import Unreadable
from mesh.exact.solver.words import folded, plain


@dataclass(frozen=True, slots=True, kw_only=True)
class LogicProblem(SolverProblem):
    kind: ClassVar[str] = "logic"


_THE = (
    r"(?:the )?(?:(?:following )?(?:propositional |logical )?(?:formula|statement|proposition"
    r"|expression|sentence):? )?"
)
_WHETHER = r"(?:is|(?:determine|check|decide|tell me|show) (?:if|whether))"
_QUALITY = re.compile(
    rf"{_WHETHER} {_THE}(?P<text>\S.*?) (?:is )?(?:a |an )?(?:logically )?"
    r"(?P<what>tautology|tautological|valid|always true|contradiction|contradictory|always false"
    r"|satisfiable|unsatisfiable)(?: formula)?",
    re.IGNORECASE,
)
_EQUIVALENT = re.compile(
    rf"(?:is|{_WHETHER}) {_THE}(?P<a>\S.*?) (?:is )?(?:logically )?(?:equivalent"
    rf"|equal) to {_THE}(?P<b>\S.*)",
    re.IGNORECASE,
)
_ARE_EQUIVALENT = re.compile(
    r"(?:are|(?:determine|check|decide) (?:if|whether)) (?:the )?(?:formulas? "
    r"|statements? )?(?P<a>\S.*?) and (?P<b>\S.*?) (?:are )?"
    r"(?:logically )?equivalent",
    re.IGNORECASE,
)
_ENTAILS = re.compile(
    rf"does {_THE}(?P<a>\S.*?) (?:logically )?(?:entail|imply) {_THE}(?P<b>\S.*)", re.IGNORECASE
)
_FOLLOWS = re.compile(
    rf"(?:does {_THE}(?P<b>\S.*?) (?:logically )?follow from|is {_THE}(?P<b2>\S.*?) entailed by) "
    r"(?P<a>\S.*)",
    re.IGNORECASE,
)
_ARGUMENT = re.compile(
    r"(?:is (?:this|the following|the) (?:argument|inference) (?:logically )?valid[:?]? |is )?"
    r"(?:the (?:argument|inference):? )?(?P<a>\S.*?)[,;.]? (?:therefore|hence|thus|so|∴|\|-"
    r"|⊢),? (?P<b>\S.*?)"
    r"(?P<valid>[,.?]? (?:(?:is (?:it|this) )?(?:a )?(?:logically )?valid(?: argument"
    r"| inference)?))?",
    re.IGNORECASE,
)
_HINTS = (
    *("tautolog", "valid", "always true", "always false", "contradict", "satisfiable"),
    *("equivalent", "equal to", "entail", "imply", "follow from"),
)
_QUALITIES = {
    "tautology": "tautology",
    "tautological": "tautology",
    "valid": "tautology",
    "always true": "tautology",
    "contradiction": "contradiction",
    "contradictory": "contradiction",
    "always false": "contradiction",
    "unsatisfiable": "unsatisfiable",
    "satisfiable": "satisfiable",
}


def recognise(text: str) -> LogicProblem | None:
    lower = folded(text)
    if not any(hint in lower for hint in _HINTS):
        return None
    line = plain(text)
    for read in (_argument, _quality, _two):
        problem = read(line)
        if problem is not None:
            return problem
    return None


def _quality(line: str) -> LogicProblem | None:
    match = _QUALITY.fullmatch(line)
    if match is None:
        return None
    return _problem(_QUALITIES[match["what"].lower()], match["text"])


def _two(line: str) -> LogicProblem | None:
    if (match := _EQUIVALENT.fullmatch(line)) is not None:
        return _problem("equivalent", match["a"], match["b"])
    if (match := _ARE_EQUIVALENT.fullmatch(line)) is not None:
        # With another "and" about, which one separates the two?
        if len(re.findall(r"\band\b", line, re.IGNORECASE)) != 1:
            return None
        return _problem("equivalent", match["a"], match["b"])
    if (match := _ENTAILS.fullmatch(line)) is not None:
        return _argued(match["a"], match["b"])
    if (match := _FOLLOWS.fullmatch(line)) is not None:
        return _argued(match["a"], match["b"] or match["b2"])
    return None


def _argument(line: str) -> LogicProblem | None:
    match = _ARGUMENT.fullmatch(line)
    if match is None or "valid" not in line.lower():
        return None
    return _argued(match["a"], match["b"])


def _argued(premises: str, conclusion: str) -> LogicProblem | None:
    """Premises stand between commas or full stops, or are joined by the word "and"."""
    texts = [part for part in re.split(r"[;,.]\s*(?:and\s)?", premises) if part.strip()]
    parts: list[str] = []
    for text in texts:
        parts += _conjuncts(text)
    return _problem("entails", *parts, conclusion)


def _conjuncts(text: str) -> list[str]:
    """``(p -> q) and p`` as two premises, where each is read by itself and no bracket is cut."""
    parts = re.split(r"\s+and\s+", text, flags=re.IGNORECASE)
    if len(parts) == 1 or any(part.count("(") != part.count(")") for part in parts):
        return [text]
    # "p -> q and p" may mean p -> (q and p).
    loose = [part for part in parts if re.search(r"[-=]>|→|⇒|↔|⇔|\bif\b|\bimplies\b", part)]
    if any(not (part.startswith("(") and part.endswith(")")) for part in loose):
        return [text]
    return parts


def _problem(task: str, *texts: str) -> LogicProblem | None:
    try:
        trees = [formula(text) for text in texts]
    except Unreadable:
        return None
    # One letter alone is rather a word, or a name, than a formula.
    if len(trees) == 1 and isinstance(trees[0], Atom | Truth):
        return None
    if not any(isinstance(tree, Connected | Not) for tree in trees):
        return None
    if len(atoms(*trees)) > MAX_ATOMS:
        return None
    return LogicProblem(task=task, texts=tuple(text.strip() for text in texts))


def solve(problem: SolverProblem) -> Exact | None:
    """In the child. Raises ``Unreadable``."""
    trees = [formula(text) for text in problem.texts]
    names = sorted(atoms(*trees))
    wanted, texts = _question(problem.task, trees)
    found = next(
        (
            row
            for values in itertools.product((True, False), repeat=len(names))
            if wanted(row := dict(zip(names, values, strict=True)))
        ),
        None,
    )
    if (found is not None) != _by_z3(problem.task, trees):
        return None
    if found is None:
        return answer(problem, texts[0], LOGIC)
    shown = ", ".join(f"{name} = {str(value).lower()}" for name, value in found.items())
    return answer(problem, texts[1].format(shown or "nothing else needed"), LOGIC)


def _question(
    task: str, trees: list[Formula]
) -> tuple[Callable[[Mapping[str, bool]], bool], tuple[str, str]]:
    """Which row of the table decides, and what to say when there is none, and when there is."""
    match task:
        case "tautology":
            return (lambda row: not true(trees[0], row)), (
                "yes, it is a tautology: it is always true",
                "no, it is not a tautology: it is false for {}",
            )
        case "contradiction":
            return (lambda row: true(trees[0], row)), (
                "yes, it is a contradiction: it is never true",
                "no, it is not a contradiction: it is true for {}",
            )
        case "satisfiable":
            return (lambda row: true(trees[0], row)), (
                "no, it is unsatisfiable: it is never true",
                "yes, it is satisfiable: it is true for {}",
            )
        case "unsatisfiable":
            return (lambda row: true(trees[0], row)), (
                "yes, it is unsatisfiable: it is never true",
                "no, it is satisfiable: it is true for {}",
            )
        case "equivalent":
            return (lambda row: true(trees[0], row) != true(trees[1], row)), (
                "yes, they are equivalent",
                "no, they are not equivalent: they differ for {}",
            )
    *premises, conclusion = trees
    return (lambda row: all(true(p, row) for p in premises) and not true(conclusion, row)), (
        "yes, it follows: the argument is valid",
        "no, it does not follow: for {} the premises hold and the conclusion does not",
    )


def _by_z3(task: str, trees: list[Formula]) -> bool:
    """Whether the deciding row exists, by z3. Raises ``ArithmeticError`` when z3 gives up."""
    import z3

    solver = z3.Solver()
    solver.set("timeout", 1000)
    stated = [_z3(tree) for tree in trees]
    match task:
        case "tautology":
            solver.add(z3.Not(stated[0]))
        case "contradiction" | "satisfiable" | "unsatisfiable":
            solver.add(stated[0])
        case "equivalent":
            solver.add(stated[0] != stated[1])
        case _:
            solver.add(*stated[:-1], z3.Not(stated[-1]))
    found = solver.check()
    if found == z3.unknown:
        raise ArithmeticError("z3 does not know")
    return bool(found == z3.sat)


def _z3(tree: Formula) -> Any:
    import z3

    match tree:
        case Atom(name=name):
            return z3.Bool(name)
        case Truth(value=value):
            return z3.BoolVal(value)
        case Not(of=of):
            return z3.Not(_z3(of))
        case Connected(connective=connective, left=left, right=right):
            build = {"and": z3.And, "or": z3.Or, "xor": z3.Xor, "implies": z3.Implies}.get(
                connective, lambda first, second: first == second
            )
            return build(_z3(left), _z3(right))
