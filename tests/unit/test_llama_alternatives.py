"""Literals to choose among become a tree, and mean what they meant."""

from __future__ import annotations

import json
from itertools import accumulate

from hypothesis import given
from hypothesis import strategies as st

from node.engines.llama_cpp.alternatives import DEEPEST, grouped
from node.engines.llama_cpp.gbnf import Token, signs, tokens
from node.engines.llama_cpp.grammar import check_grammar, grammar_of_schema

SIGNS = st.sampled_from(["a", "b", "c", " ", '\\"', "\\\\", "\\n", "\\x41", "é"])
LITERALS = st.lists(st.lists(SIGNS, max_size=5).map("".join), min_size=1, max_size=40)


def means(grammar: str) -> set[str]:
    """The texts that the rule `root` allows; literals, `|`, brackets and `?` only."""
    found = [token for token in tokens(grammar) if token.kind != "newline"][2:]
    texts, rest = _choice(found)
    assert not rest
    return texts


def _choice(found: list[Token]) -> tuple[set[str], list[Token]]:
    texts, rest = _sequence(found)
    while rest and rest[0].kind == "bar":
        more, rest = _sequence(rest[1:])
        texts |= more
    return texts, rest


def _sequence(found: list[Token]) -> tuple[set[str], list[Token]]:
    texts = {""}
    while found and found[0].kind in ("literal", "open"):
        first, found = found[0], found[1:]
        if first.kind == "literal":
            next_ = {"".join(signs(first.text))}
        else:
            next_, found = _choice(found)
            assert found[0].kind == "close"
            found = found[1:]
        if found and found[0].kind == "repeat":
            assert found[0].text == "?"
            next_, found = next_ | {""}, found[1:]
        texts = {a + b for a in texts for b in next_}
    return texts, found


@given(LITERALS)
def test_the_same_texts_are_allowed(literals: list[str]) -> None:
    grammar = "root ::= " + " | ".join(f'"{text}"' for text in literals)
    check_grammar(grammar)
    tree = grouped(grammar)
    check_grammar(tree)
    assert means(tree) == set(literals)


def test_five_thousand_names_leave_few_ways_at_any_place() -> None:
    names = [f"item-{number:04}" for number in range(5_000)]
    tree = grouped(grammar_of_schema(json.dumps({"enum": names})))
    rule = next(line for line in tree.splitlines() if line.startswith("root"))
    assert means(rule) == {f'\\"{name}\\"' for name in names}
    widest, open_bars = 0, [1]
    for token in tokens(rule):
        if token.kind == "open":
            open_bars.append(1)
        elif token.kind == "close":
            widest = max(widest, open_bars.pop())
        elif token.kind == "bar":
            open_bars[-1] += 1
    assert max(widest, *open_bars) <= 10


def test_what_stands_beside_the_literals_stays() -> None:
    names = [f'"n{letter}"' for letter in "abcdefgh"]
    run = " | ".join(names)
    tree = '"n" ("a" | "b" | "c" | "d" | "e" | "f" | "g" | "h")'
    lines = " |\n".join(names)
    cases = {
        f"root ::= {run} | word\nword ::= [a-z]+": f"root ::= {tree} | word\nword ::= [a-z]+",
        f"root ::= word | {run} # all\nword ::= [a]": f"root ::= word | {tree} # all\nword ::= [a]",
        f'root ::= ({run}) "!"': f'root ::= ({tree}) "!"',
        f"root ::= (\n{lines}\n)+": f"root ::= (\n{tree}\n)+",
        f'root ::= {run} | "z" "y"': f'root ::= {tree} | "z" "y"',
        f'root ::= {run} | "z"+': f'root ::= {tree} | "z"+',
        f'root ::= ({run} | "nz" "y")': f'root ::= ({tree} | "nz" "y")',
        "root ::= (x | " + "\n| ".join(names) + ")\nx ::= [a]": (
            f"root ::= (x | {tree})\nx ::= [a]"
        ),
        f"root ::= {run}": f"root ::= {tree}",
        f"root ::= (x) | {run}\nx ::= [a]": f"root ::= (x) | {tree}\nx ::= [a]",
    }
    for given_, wanted in cases.items():
        check_grammar(given_)
        assert grouped(given_) == wanted
    for untouched in (
        'root ::= "a" | "b"',
        " | ".join(f"x{n} y" for n in range(20)).join(("root ::= ", "")),
        "root ::= " + " | ".join(f'"{n}"?' for n in range(20)),
    ):
        assert grouped(untouched) == untouched


def test_depth_is_bounded_where_every_character_branches() -> None:
    texts = [beginning + end for beginning in ("a" * n for n in range(1, 101)) for end in ("", "b")]
    tree = grouped("root ::= " + " | ".join(f'"{text}"' for text in texts))
    check_grammar(tree)
    assert means(tree) == set(texts)
    depths = accumulate((token.kind == "open") - (token.kind == "close") for token in tokens(tree))
    assert max(depths) == DEEPEST
