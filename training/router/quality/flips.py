"""Ways to say a prompt otherwise that leave what it asks alone.

A flip is a decision that changes under one. What a way cannot be done to (a paraphrase of an
opening that the prompt does not have) is not counted. Seeded.
"""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Mapping, Sequence

from training.router.phrases.templates import misspelt
from training.router.quality.asked import Asked
from training.router.quality.deciding import Made
from training.router.quality.languages import GREETINGS, language_of

TYPOS = 0.03  # of the letters
SEED = 4

# Around the whole, and of openings. English only.
_AROUND = ("I was wondering: {}", "Quick question. {}", "{} Thanks in advance!", "Can you help? {}")
_OPENINGS = (
    (r"what is ", "what's "),
    (r"what's ", "what is "),
    (r"what are ", "tell me what are "),
    (r"who (is|was|wrote|invented) ", r"do you know who \1 "),
    (r"how (do|can) i ", "what is the best way to "),
    (r"how to ", "how do i "),
    (r"why (do|does|is|are) ", r"could you explain why \1 "),
    (r"(write|give|explain|create|find|solve|describe|make|suggest|list) ", r"could you \1 "),
    (r"(?:can|could|would) you (?:please )?", "please "),
    (r"i (?:want|need|would like) (?:you )?to ", "please help me to "),
    (r"convert ", "i'd like to convert "),
    (r"how many ", "tell me how many "),
)


def ways(seed: int = SEED) -> Mapping[str, Callable[[str], str | None]]:
    """By name: the prompt said otherwise, None where that cannot be done."""
    typing, choosing = random.Random(seed), random.Random(seed)
    return {
        "typos": lambda text: misspelt(text, typing, TYPOS),
        "small letters": lambda text: text.lower(),
        "capitals": lambda text: text.upper(),
        "greeting before": lambda text: GREETINGS[language_of(text)][0] + text,
        "please after": lambda text: text.rstrip() + GREETINGS[language_of(text)][1],
        "other opening": _opening,
        "words around": lambda text: _around(text, choosing),
    }


def _opening(text: str) -> str | None:
    for opening, other in _OPENINGS:
        found = re.match(opening, text, re.IGNORECASE)
        if found:
            said = found.expand(other) + text[found.end() :]
            return said[0].upper() + said[1:] if text[0].isupper() else said
    return None


def _around(text: str, chance: random.Random) -> str | None:
    return chance.choice(_AROUND).format(text) if language_of(text) == "en" else None


def otherwise(rows: Sequence[Asked], way: Callable[[str], str | None]) -> dict[int, Asked]:
    """By place in ``rows``: those that the way changes, changed."""
    said = ((place, way(row.prompt)) for place, row in enumerate(rows))
    return {
        place: rows[place].said(text)
        for place, text in said
        if text is not None and text != rows[place].prompt
    }


def share(decided: Sequence[Made], again: Mapping[int, Made]) -> float:
    """Of the decisions, by place, that are not what they were; nan of none."""
    if not again:
        return float("nan")
    return sum(made.specialty != decided[n].specialty for n, made in again.items()) / len(again)
