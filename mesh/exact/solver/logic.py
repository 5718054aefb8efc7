"""Questions about formulas of propositional logic.

``task`` and its ``texts``: ``tautology``, ``contradiction``, ``satisfiable``, ``unsatisfiable``
(the formula), ``equivalent`` (both), ``entails`` (the premises, and last the conclusion). A truth
table of all its rows, at most 1,024, is the answer.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Callable, Sequence

from mesh.exact.expression.tree import Binary, Call, Unreadable, names
from mesh.exact.phrase import phrase
from mesh.exact.solver.formula import MAX_ATOMS, formula, true
from mesh.exact.solver.problem import SolverProblem

_THE = (
    "[the ][[following ][propositional |logical ](formula|statement|proposition|expression"
    "|sentence)[:] ]"
)
_WHETHER = "(determine|check|decide|tell me|show) (if|whether)"
_QUALITIES = {
    "tautology": "tautology",
    "tautological": "tautology",
    "valid": "tautology",
    "always true": "tautology",
    "contradiction": "contradiction",
    "contradictory": "contradiction",
    "always false": "contradiction",
    "satisfiable": "satisfiable",
    "unsatisfiable": "unsatisfiable",
}
_QUALITY = phrase(
    f"(is|{_WHETHER}) {_THE}<text> [is ][a |an ][logically ]<what>[ formula]",
    what="|".join(_QUALITIES),
)
_EQUIVALENT = phrase(
    f"(is|{_WHETHER}) {_THE}<a> [is ][logically ](equivalent|equal) to {_THE}<b>", b=r"\S.*"
)
_ARE_EQUIVALENT = phrase(
    "(are|(determine|check|decide) (if|whether)) [the ][formula[s] |statement[s] ]<a> and <b> "
    "[are ][logically ]equivalent"
)
_ENTAILS = (
    phrase(f"does {_THE}<a> [logically ](entail|imply) {_THE}<b>", b=r"\S.*"),
    phrase(f"does {_THE}<b> [logically ]follow from <a>", a=r"\S.*"),
    phrase(f"is {_THE}<b> entailed by <a>", a=r"\S.*"),
)
_ARGUMENT = phrase(
    r"[is (this|the following|the) (argument|inference) [logically ]valid[:|\?] |is ]"
    r"[the (argument|inference)[:] ]<a>[,|;|.] (therefore|hence|thus|so|∴|\|-|⊢)[,] <b>"
    r"[[,|.|\?] [is (it|this) ][a ][logically ]valid[ argument| inference]]"
)
# Of a row's values: whether it decides; what to say when none does, and when one does.
_QUESTIONS: dict[str, tuple[Callable[[Sequence[bool]], bool], str, str]] = {
    "tautology": (
        lambda values: not values[0],
        "yes, it is a tautology: it is always true",
        "no, it is not a tautology: it is false for {}",
    ),
    "contradiction": (
        lambda values: values[0],
        "yes, it is a contradiction: it is never true",
        "no, it is not a contradiction: it is true for {}",
    ),
    "satisfiable": (
        lambda values: values[0],
        "no, it is unsatisfiable: it is never true",
        "yes, it is satisfiable: it is true for {}",
    ),
    "unsatisfiable": (
        lambda values: values[0],
        "yes, it is unsatisfiable: it is never true",
        "no, it is satisfiable: it is true for {}",
    ),
    "equivalent": (
        lambda values: values[0] != values[1],
        "yes, they are equivalent",
        "no, they are not equivalent: they differ for {}",
    ),
    "entails": (
        lambda values: all(values[:-1]) and not values[-1],
        "yes, it follows: the argument is valid",
        "no, it does not follow: for {} the premises hold and the conclusion does not",
    ),
}


def recognise(line: str) -> SolverProblem | None:
    match = _ARGUMENT.fullmatch(line) if "valid" in line.lower() else None
    problem = _argued(match["a"], match["b"]) if match is not None else None
    if problem is None and (match := _QUALITY.fullmatch(line)) is not None:
        problem = _problem(_QUALITIES[match["what"].lower()], match["text"])
    if problem is not None:
        return problem
    match = _EQUIVALENT.fullmatch(line)
    # With another "and" about, which one separates the two?
    if match is None and len(re.findall(r"\band\b", line, re.IGNORECASE)) == 1:
        match = _ARE_EQUIVALENT.fullmatch(line)
    if match is not None:
        return _problem("equivalent", match["a"], match["b"])
    for pattern in _ENTAILS:
        if (match := pattern.fullmatch(line)) is not None:
            return _argued(match["a"], match["b"])
    return None


def _argued(premises: str, conclusion: str) -> SolverProblem | None:
    """Premises stand between commas or full stops, or are joined by the word "and"."""
    texts = [part for part in re.split(r"[;,.]\s*(?:and\s)?", premises) if part.strip()]
    return _problem("entails", *(part for text in texts for part in _conjuncts(text)), conclusion)


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


def _problem(task: str, *texts: str) -> SolverProblem | None:
    try:
        trees = [formula(text) for text in texts]
    except Unreadable:
        return None
    # One letter alone is rather a word, or a name, than a formula.
    if not any(isinstance(tree, Binary | Call) for tree in trees):
        return None
    if len(names(*trees)) > MAX_ATOMS:
        return None
    return SolverProblem(kind="logic", task=task, texts=tuple(text.strip() for text in texts))


def solve(problem: SolverProblem) -> str | None:
    """In the child. Raises ``Unreadable``, ``KeyError`` for a task that nobody knows."""
    decides, none, some = _QUESTIONS[problem.task]
    trees = [formula(text) for text in problem.texts]
    atoms = sorted(names(*trees))
    for values in itertools.product((True, False), repeat=len(atoms)):
        row = dict(zip(atoms, values, strict=True))
        if decides([true(tree, row) for tree in trees]):
            shown = ", ".join(f"{name} = {str(value).lower()}" for name, value in row.items())
            return some.format(shown or "nothing else needed")
    return none
