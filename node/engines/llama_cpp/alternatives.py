"""Many literals to choose among, written as a tree of what they begin with in common. Pure.

llama.cpp keeps every alternative that may still be meant, and looks at all of them for each token
of the vocabulary: a thousand names cost a quarter of a second for one token. As a trie (Fredkin,
"Trie memory", 1960) there are never more than the different next characters.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from node.engines.llama_cpp.gbnf import Token, signs, tokens

FEWEST = 8  # literals that are worth it
DEEPEST = 32  # brackets within brackets; beyond, what is left stands as it is


@dataclass(slots=True)
class _Branch:
    """``ends``: a literal does here."""

    ends: bool = False
    next: dict[str, _Branch] = field(default_factory=dict)


def grouped(grammar: str) -> str:
    """The same language. ``grammar``: one that ``check_grammar`` took."""
    if grammar.count("|") < FEWEST - 1:
        return grammar
    parts: list[str] = []
    place = 0
    for run in _runs(list(tokens(grammar))):
        parts += [grammar[place : run[0].begin], _tree(run)]
        place = run[-1].end
    return "".join([*parts, grammar[place:]])


def _runs(found: list[Token]) -> Iterator[list[Token]]:
    """Literals that stand alone, one beside the other, each as a whole alternative."""
    depth, run = 0, list[Token]()
    starts = False  # whether an alternative begins here
    for number, token in enumerate(found):
        match token.kind:
            case "newline" if depth or starts:
                continue
            case "literal" if starts and _ends(found, number + 1, depth):
                run.append(token)
                starts = False
                continue
            case "bar" if run or starts:
                starts = True
                continue
            case _:
                depth += (token.kind == "open") - (token.kind == "close")
                starts = token.kind in ("define", "open", "bar")
        if len(run) >= FEWEST:
            yield run
        run = []
    if len(run) >= FEWEST:
        yield run


def _ends(found: list[Token], number: int, depth: int) -> bool:
    """Whether an alternative does, before the token of that number."""
    while depth and number < len(found) and found[number].kind == "newline":
        number += 1
    return number == len(found) or found[number].kind in ("bar", "close", "newline")


def _tree(run: Iterable[Token]) -> str:
    root = _Branch()
    for token in run:
        branch = root
        for sign in signs(token.text):
            branch = branch.next.setdefault(sign, _Branch())
        branch.ends = True
    return " | ".join(_alternatives(root, 0))


def _alternatives(branch: _Branch, depth: int) -> Iterator[str]:
    """What may follow, but for its own end, which only the root writes as one of them."""
    if branch.ends and depth == 0:
        yield '""'
    for sign, after in branch.next.items():
        if depth >= DEEPEST:
            yield from (f'"{sign}{rest}"' for rest in _literals(after))
            continue
        text = sign
        while len(after.next) == 1 and not after.ends:  # the only way on
            (one, after), *_ = after.next.items()
            text += one
        if not after.next:
            yield f'"{text}"'
        else:
            rest = " | ".join(_alternatives(after, depth + 1))
            yield f'"{text}" ({rest}){"?" if after.ends else ""}'


def _literals(branch: _Branch) -> Iterator[str]:
    if branch.ends:
        yield ""
    for sign, after in branch.next.items():
        yield from (sign + rest for rest in _literals(after))
