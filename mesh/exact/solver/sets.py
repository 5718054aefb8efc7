"""Syllogisms: what follows from statements with all, no and some.

``texts``: the statements as ``all|dogs|mammals``, and last the question in the same form; the
quantifiers are ``all``, ``no``, ``some`` and ``some not``, and ``one`` for a person by name.
``about``: "plain" where every term stands in one form only, so that a "does not follow" cannot
come from two spellings of one word. The answer must be the same whether or not "all A" says that
there are any.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from mesh.exact.base import LOGIC, Exact
from mesh.exact.solver.problem import SolverProblem, answer
from mesh.exact.solver.words import folded, plain

MAX_TERMS = 6
_MAX_STATEMENTS = 6
_MAX_CHARACTERS = 400


@dataclass(frozen=True, slots=True, kw_only=True)
class SetProblem(SolverProblem):
    kind: ClassVar[str] = "syllogism"


@dataclass(frozen=True, slots=True)
class Statement:
    quantifier: str
    subject: str
    predicate: str


_TERM = r"[A-Za-z][A-Za-z-]*(?: [A-Za-z][A-Za-z-]*){0,2}?"
_STATEMENT = re.compile(
    rf"(?:(?P<q>all|every|each|any|no|some) (?:of the )?(?P<s>{_TERM}) (?:are|is)(?P<not> not)?"
    rf"|(?P<one>[A-Z][a-z]+) is) (?:an? )?(?P<p>{_TERM})"
)
_QUESTION = re.compile(
    r"(?:(?:then|so),? )?(?:is|are|must|does it follow that|can (?:we|you|i|one) (?:conclude"
    r"|say) (?:that )?"
    r"|is it (?:true|certain|correct) that) (?P<rest>.+)",
    re.IGNORECASE,
)
_FILLER = re.compile(r"\b(?:definitely|necessarily|certainly|also|therefore|always|then|be) ")
_IF = re.compile(
    r"if (?P<given>.+?), (?:then )?(?P<asked>(?:is|are|must|does|can|then) .+)", re.IGNORECASE
)
_SPLIT = re.compile(r"\s*[.;]\s*(?:and\s)?|,\s*(?:and\s)?|\sand\s")
_BANNED = frozenset(
    (
        *("not", "no", "all", "some", "every", "any", "each", "most", "many", "few", "none", "a"),
        *("who", "which", "that", "and", "or", "but", "only", "except", "if", "than", "then", "so"),
        *("is", "are", "was", "were", "there", "can", "cannot", "will", "would", "may", "might"),
        *("must", "have", "has", "of", "in", "on", "at", "with", "both", "either", "neither"),
        *("never", "always", "sometimes", "the", "an", "as", "it", "they", "he", "she", "i", "you"),
        *("we", "different", "same", "more", "less"),
    )
)
_IRREGULAR = {
    "men": "man",
    "women": "woman",
    "people": "person",
    "children": "child",
    "mice": "mouse",
    "geese": "goose",
    "wolves": "wolf",
    "knives": "knife",
}
_QUANTIFIERS = {"every": "all", "each": "all", "any": "all"}
_PLURAL = frozenset(("all", "no", "some"))


def recognise(text: str) -> SetProblem | None:
    lower = folded(text)
    if not any(word in lower for word in ("all ", "no ", "every ", "each ", "some ")):
        return None
    line = plain(text)
    if len(line) > _MAX_CHARACTERS:
        return None
    match = _IF.fullmatch(line)
    if match is not None:
        given, asked = match["given"], match["asked"]
    else:
        given, dot, asked = line.rpartition(". ")
        if not dot:
            return None
    parts = [part for part in _SPLIT.split(given) if part]
    if not 2 <= len(parts) <= _MAX_STATEMENTS:
        return None
    read = [_statement(part) for part in parts]
    statements = [each for each in read if each is not None]
    if len(statements) != len(parts):
        return None
    question = _question(asked, statements)
    if question is None:
        return None
    exact_forms = all(part.split()[0].lower() in _PLURAL for part in parts)
    return _problem(statements, question, exact_forms)


def _statement(text: str) -> Statement | None:
    text = text.strip()
    lowered = text[:1].lower() + text[1:]
    match = _STATEMENT.fullmatch(lowered) or _STATEMENT.fullmatch(text)
    if match is None:
        return None
    predicate = match["p"]
    if match["one"]:
        return _clean(Statement("one", match["one"], predicate))
    quantifier = _QUANTIFIERS.get(match["q"], match["q"])
    if match["not"]:
        if quantifier != "some":
            return None  # "all A are not B" is read in two ways
        quantifier = "some not"
    return _clean(Statement(quantifier, match["s"], predicate))


def _clean(statement: Statement) -> Statement | None:
    for term in (statement.subject, statement.predicate):
        if any(word.lower() in _BANNED for word in term.split() if len(word) > 1):
            return None
    return statement


def _question(text: str, statements: Sequence[Statement]) -> Statement | None:
    whole = _QUESTION.fullmatch(text.strip())
    if whole is None:
        return None
    rest = _FILLER.sub("", whole["rest"] + " ").strip()
    direct = _statement(rest)
    if direct is not None and direct.quantifier != "one":
        return direct
    # "are all A B": the terms are known from the statements, which says where the first one ends.
    known = {term for each in statements for term in (each.subject, each.predicate)}
    found = set()
    match = re.fullmatch(r"(?P<q>all|any|some|no|every) (?P<rest>.+)", rest)
    quantifier = (
        "one" if match is None else {"any": "some", "every": "all"}.get(match["q"], match["q"])
    )
    tail = rest if match is None else match["rest"]
    for subject in known:
        if tail.startswith(subject + " "):
            predicate = re.sub(r"^(?:an? )", "", tail[len(subject) + 1 :])
            if re.fullmatch(_TERM, predicate):
                found.add(Statement(quantifier, subject, predicate))
    if len(found) != 1:
        return None
    (question,) = found
    if quantifier == "one" and not any(
        each.quantifier == "one" and each.subject == question.subject for each in statements
    ):
        return None
    return _clean(question)


def _key(term: str) -> str:
    """Singular and lower case; a single letter stays itself."""
    if len(term) == 1:
        return term
    *head, last = term.lower().split()
    if last in _IRREGULAR:
        last = _IRREGULAR[last]
    elif last.endswith("ies") and len(last) > 4:
        last = last[:-3] + "y"
    elif last.endswith(("ches", "shes", "sses", "xes")):
        last = last[:-2]
    elif last.endswith("s") and not last.endswith("ss") and len(last) > 2:
        last = last[:-1]
    return " ".join((*head, last))


def _problem(
    statements: Sequence[Statement], question: Statement, exact_forms: bool
) -> SetProblem | None:
    terms = {t for each in (*statements, question) for t in (each.subject, each.predicate)}
    keys = {_key(term) for term in terms}
    known = {_key(t) for each in statements for t in (each.subject, each.predicate)}
    asked = {_key(question.subject), _key(question.predicate)}
    if not 3 <= len(keys) <= MAX_TERMS or len(asked) != 2 or not asked <= known:
        return None
    names = {_key(each.subject) for each in statements if each.quantifier == "one"}
    if any(_key(each.predicate) in names for each in (*statements, question)):
        return None
    distinct = len(terms) == len(keys) == len({key[:4] for key in keys})
    surely = exact_forms and distinct and question.quantifier != "one" and not names
    texts = tuple(f"{e.quantifier}|{e.subject}|{e.predicate}" for e in (*statements, question))
    return SetProblem(task="follows", texts=texts, about=("plain" if surely else "mixed",))


# In the child


def solve(problem: SolverProblem) -> Exact | None:
    """In the child."""
    *statements, question = [Statement(*text.split("|")) for text in problem.texts]
    verdicts = {
        (by(statements, question, existing), existing)
        for by in (_by_regions, _by_z3)
        for existing in (False, True)
    }
    words = {word for word, _ in verdicts}
    if len(words) != 1:
        return None
    (word,) = words
    if word == "inconsistent" or (word == "open" and problem.about[0] != "plain"):
        return None
    subject, predicate = question.subject, question.predicate
    match word, question.quantifier:
        case "open", _:
            text = "that does not follow: it may be so or not"
        case said, quantifier if quantifier == "one" or not (
            len(subject) == 1 or subject.endswith("s")
        ):
            text = said  # a sentence about "every dog" would need its plural
        case "yes", quantifier:
            text = f"yes, {_said(quantifier, subject, predicate)}"
        case _, quantifier:
            opposite = {"all": "some not", "some": "no", "no": "some", "some not": "all"}[
                quantifier
            ]
            text = f"no, {_said(opposite, subject, predicate)}"
    return answer(problem, text, LOGIC)


def _said(quantifier: str, subject: str, predicate: str) -> str:
    if quantifier == "some not":
        return f"some {subject} are not {predicate}"
    return f"{quantifier} {subject} are {predicate}"


Regions = frozenset[int]  # of a Venn diagram: bit n says whether it lies inside term n


def _terms(statements: Iterable[Statement]) -> list[str]:
    return sorted({_key(t) for each in statements for t in (each.subject, each.predicate)})


def _both(terms: Sequence[str], statement: Statement, inside: bool) -> Regions:
    """Regions inside the subject, and inside (or outside of) the predicate."""
    first, second = terms.index(_key(statement.subject)), terms.index(_key(statement.predicate))
    return frozenset(
        region
        for region in range(1 << len(terms))
        if region >> first & 1 and (region >> second & 1) == inside
    )


def _constraints(
    statements: Sequence[Statement], question: Statement, existing: bool
) -> tuple[Regions, list[Regions], Regions, Regions]:
    """Regions that are empty; sets of regions of which one is not; and those of the question
    whose emptiness says yes (or no), for a question with all (or one); as ``inside``,
    ``outside``."""
    terms = _terms((*statements, question))
    empty: set[int] = set()
    filled: list[Regions] = []
    for each in statements:
        match each.quantifier:
            case "all" | "one":
                empty |= _both(terms, each, inside=False)
            case "no":
                empty |= _both(terms, each, inside=True)
            case "some":
                filled.append(_both(terms, each, inside=True))
            case _:
                filled.append(_both(terms, each, inside=False))
    exist = {_key(each.subject) for each in statements if each.quantifier == "one"}
    for term in terms if existing else sorted(exist):
        place = terms.index(term)
        filled.append(frozenset(r for r in range(1 << len(terms)) if r >> place & 1))
    inside = _both(terms, question, inside=True)
    return frozenset(empty), filled, inside, _both(terms, question, inside=False)


def _by_regions(statements: Sequence[Statement], question: Statement, existing: bool) -> str:
    empty, filled, inside, outside = _constraints(statements, question, existing)
    left = [each - empty for each in filled]
    if not all(left):
        return "inconsistent"

    def none_in(regions: Regions) -> bool:
        return regions <= empty

    def some_in(regions: Regions) -> bool:
        return any(each <= regions for each in left)

    match question.quantifier:
        case "all":
            yes, no = none_in(outside), some_in(outside)
        case "one":
            yes, no = none_in(outside), none_in(inside)
        case "no":
            yes, no = none_in(inside), some_in(inside)
        case "some":
            yes, no = some_in(inside), none_in(inside)
        case _:
            yes, no = some_in(outside), none_in(outside)
    return "yes" if yes else "no" if no else "open"


def _by_z3(statements: Sequence[Statement], question: Statement, existing: bool) -> str:
    """The same question as satisfiability: is there a world with the premises and not this?"""
    import z3

    empty, filled, inside, outside = _constraints(statements, question, existing)
    something = {region: z3.Bool(f"r{region}") for region in inside | outside | empty}
    for each in filled:
        something.update({region: z3.Bool(f"r{region}") for region in each})

    def some(regions: Regions) -> Any:
        return z3.Or([something[region] for region in regions])

    premises = [z3.Not(something[region]) for region in empty] + [some(each) for each in filled]
    claim = {
        "all": z3.Not(some(outside)),
        "one": z3.Not(some(outside)),
        "no": z3.Not(some(inside)),
        "some": some(inside),
        "some not": some(outside),
    }[question.quantifier]

    def possible(extra: Any) -> bool:
        solver = z3.Solver()
        solver.add(*premises, extra)
        return bool(solver.check() == z3.sat)

    if not possible(z3.BoolVal(True)):
        return "inconsistent"
    if not possible(z3.Not(claim)):
        return "yes"
    denied = z3.Not(some(inside)) if question.quantifier == "one" else z3.Not(claim)
    return "no" if not possible(z3.Not(denied)) else "open"
