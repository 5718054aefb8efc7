"""Syllogisms: what follows from statements with all, no and some.

``texts``: the statements as ``all|dogs|mammals``, and last the question in the same form; the
quantifiers are ``all``, ``no``, ``some`` and ``some not``, and ``one`` for a person by name.
``about``: "plain" where every term stands in one form only, so that a "does not follow" cannot
come from two spellings of one word. The answer must be the same whether or not "all A" says that
there are any.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from mesh.exact.base import words
from mesh.exact.phrase import phrase
from mesh.exact.solver.problem import SolverProblem

MAX_TERMS = 6
_MAX_STATEMENTS = 6
_MAX_CHARACTERS = 400


@dataclass(frozen=True, slots=True)
class Statement:
    quantifier: str
    subject: str
    predicate: str

    @property
    def terms(self) -> tuple[str, str]:
        return self.subject, self.predicate


_TERM = r"[A-Za-z][A-Za-z-]*(?: [A-Za-z][A-Za-z-]*){0,2}?"
_STATEMENT = re.compile(
    rf"(?:(?P<q>all|every|each|any|no|some) (?:of the )?(?P<s>{_TERM}) (?:are|is)(?P<not> not)?"
    rf"|(?P<one>[A-Z][a-z]+) is) (?:an? )?(?P<p>{_TERM})"
)
_QUESTION = phrase(
    "[(then|so)[,] ](is|are|must|does it follow that|can (we|you|i|one) (conclude|say) [that ]"
    "|is it (true|certain|correct) that) <rest>",
    rest=".+",
)
_FILLER = re.compile(r"\b(?:definitely|necessarily|certainly|also|therefore|always|then|be) ")
_IF = phrase("if <given>, [then ]<asked>", given=".+?", asked="(?:is|are|must|does|can|then) .+")
_SPLIT = re.compile(r"\s*[.;]\s*(?:and\s)?|,\s*(?:and\s)?|\sand\s")
_BANNED = words(
    "not no all some every any each most many few none a who which that and or but only except if",
    "than then so is are was were there can cannot will would may might must have has of in on at",
    "with both either neither never always sometimes the an as it they he she i you we different",
    "same more less",
)
_IRREGULAR = {
    "men": "man", "women": "woman", "people": "person", "children": "child", "mice": "mouse",
    "geese": "goose", "wolves": "wolf", "knives": "knife",
}  # fmt: skip
_QUANTIFIERS = {"every": "all", "each": "all", "any": "all"}
_PLURAL = frozenset(("all", "no", "some"))


def recognise(line: str) -> SolverProblem | None:
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
    for term in statement.terms:
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
    known = {term for each in statements for term in each.terms}
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
) -> SolverProblem | None:
    terms = {t for each in (*statements, question) for t in each.terms}
    keys = {_key(term) for term in terms}
    known = {_key(t) for each in statements for t in each.terms}
    asked = {_key(question.subject), _key(question.predicate)}
    if not 3 <= len(keys) <= MAX_TERMS or len(asked) != 2 or not asked <= known:
        return None
    names = {_key(each.subject) for each in statements if each.quantifier == "one"}
    if any(_key(each.predicate) in names for each in (*statements, question)):
        return None
    distinct = len(terms) == len(keys) == len({key[:4] for key in keys})
    surely = exact_forms and distinct and question.quantifier != "one" and not names
    texts = tuple(f"{e.quantifier}|{e.subject}|{e.predicate}" for e in (*statements, question))
    return SolverProblem(
        kind="syllogism", task="follows", texts=texts, about=("plain" if surely else "mixed",)
    )


def solve(problem: SolverProblem) -> str | None:
    """In the child."""
    *statements, question = [Statement(*text.split("|")) for text in problem.texts]
    verdicts = {_by_regions(statements, question, existing) for existing in (False, True)}
    if len(verdicts) != 1:
        return None
    (word,) = verdicts
    if word == "inconsistent" or (word == "open" and problem.about[0] != "plain"):
        return None
    if word == "open":
        return "that does not follow: it may be so or not"
    quantifier, subject = question.quantifier, question.subject
    if quantifier == "one" or not (len(subject) == 1 or subject.endswith("s")):
        return word  # a sentence about "every dog" would need its plural
    if word == "no":
        quantifier = _OPPOSITES[quantifier]
    return f"{word}, {_said(quantifier, subject, question.predicate)}"


_OPPOSITES = {"all": "some not", "some": "no", "no": "some", "some not": "all"}


def _said(quantifier: str, subject: str, predicate: str) -> str:
    if quantifier == "some not":
        return f"some {subject} are not {predicate}"
    return f"{quantifier} {subject} are {predicate}"


Regions = frozenset[int]  # of a Venn diagram: bit n says whether it lies inside term n


def _by_regions(statements: Sequence[Statement], question: Statement, existing: bool) -> str:
    """``yes``, ``no``, ``open`` or ``inconsistent``, by which regions must be empty or cannot all
    be. ``existing``: there is something inside every term."""
    terms = sorted({_key(t) for each in (*statements, question) for t in each.terms})

    def regions(term: str) -> Regions:
        place = terms.index(_key(term))
        return frozenset(region for region in range(1 << len(terms)) if region >> place & 1)

    empty: set[int] = set()
    filled: list[Regions] = []
    for each in statements:
        subject, predicate = regions(each.subject), regions(each.predicate)
        match each.quantifier:
            case "all" | "one":
                empty |= subject - predicate
            case "no":
                empty |= subject & predicate
            case "some":
                filled.append(subject & predicate)
            case _:
                filled.append(subject - predicate)
        if existing:
            filled += [subject, predicate]
        elif each.quantifier == "one":
            filled.append(subject)
    left = [each - empty for each in filled]
    if not all(left):
        return "inconsistent"
    inside = regions(question.subject) & regions(question.predicate)
    outside = regions(question.subject) - inside

    def some_in(where: Regions) -> bool:
        return any(each <= where for each in left)

    match question.quantifier:
        case "all":
            yes, no = outside <= empty, some_in(outside)
        case "one":
            yes, no = outside <= empty, inside <= empty
        case "no":
            yes, no = inside <= empty, some_in(inside)
        case "some":
            yes, no = some_in(inside), inside <= empty
        case _:
            yes, no = some_in(outside), outside <= empty
    return "yes" if yes else "no" if no else "open"
