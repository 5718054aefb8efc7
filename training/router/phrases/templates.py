"""Phrases that the router's training adds to the labelled file: all written for this purpose.

The labelled file has one data set for some specialties, and its wording would be learnt instead of
the kind. These templates say the same kinds of thing in many other ways. Nothing in them is taken
from a data set. Grammar of a template, one a line:

* ``[a|b|c]``: one of these, nested as needed; ``[a|]``: ``a`` or nothing;
* ``<slot>``: a word, name or number from ``slots``, drawn anew each time;
* ``\\n``: a line break.

``phrases(label, count, chance)`` draws templates evenly, then words.
"""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Sequence

from training.router.phrases import (
    chat,
    code,
    craft,
    form,
    knowledge,
    logic,
    math,
    prose,
    reason,
    requests,
    science,
    tools,
    verbal,
    work,
)
from training.router.phrases.slots import SLOTS, drawn

LABELS = ("calculator", "chat", "code", "knowledge", "logic", "math", "units")

_INNERMOST = re.compile(r"\[([^\[\]]*)\]")
_SLOT = re.compile(r"<([a-z_$]+)>")

_TEMPLATES: dict[str, tuple[str, ...]] = {
    "calculator": tools.CALCULATOR,
    "chat": chat.CHAT + work.TEMPLATES + requests.CHAT_TEMPLATES,
    "code": code.CODE + craft.TEMPLATES + requests.CODE_TEMPLATES,
    "knowledge": knowledge.KNOWLEDGE + science.TEMPLATES + requests.KNOWLEDGE_TEMPLATES,
    "logic": logic.LOGIC + reason.LOGIC_TEMPLATES + verbal.LOGIC_TEMPLATES,
    "math": math.MATH + reason.MATH_TEMPLATES + requests.MATH_TEMPLATES,
    "units": tools.UNITS,
}
# How much of a label its generators make, where that is not a third.
_GENERATED = {"chat": 0.3, "knowledge": 0.6, "math": 0.5, "code": 0.4}
# How many of a label's phrases carry wishes about the form of the answer, where not one in 25.
_DEMANDING = {"chat": 0.12, "calculator": 0.01, "units": 0.01}
_GENERATORS: dict[str, tuple[Callable[[random.Random], str], ...]] = {
    "calculator": tools.CALCULATOR_GENERATORS + requests.CALCULATOR_GENERATORS,
    "units": tools.UNITS_GENERATORS,
    "logic": logic.GENERATORS + reason.LOGIC_GENERATORS + verbal.LOGIC_GENERATORS,
    "knowledge": knowledge.GENERATORS + science.GENERATORS * 2 + requests.KNOWLEDGE_GENERATORS,
    "math": (
        *math.GENERATORS,
        *prose.MATH_GENERATORS,
        *prose.MATH_GENERATORS,
        *requests.MATH_GENERATORS,
    ),
    "code": (
        *code.GENERATORS,
        *prose.CODE_GENERATORS * 2,
        *craft.GENERATORS * 2,
        *requests.CODE_GENERATORS * 2,
    ),
    "chat": prose.CHAT_GENERATORS + work.GENERATORS + requests.CHAT_GENERATORS,
}


def templates(label: str) -> tuple[str, ...]:
    """The label's templates as written. Raises ``KeyError`` for an unknown label."""
    return _TEMPLATES[label]


def phrases(label: str, count: int, chance: random.Random) -> list[str]:
    """``count`` different phrases, fewer where the templates have no more. Every template comes
    about equally often; generators, which vary more, take a part of their own."""
    generators = _GENERATORS.get(label, ())
    made: dict[str, None] = {}
    order: list[str] = []
    for _ in range(count * 20):
        if len(made) >= count:
            break
        if generators and chance.random() < _GENERATED.get(label, 0.35):
            text = chance.choice(generators)(chance)
        else:
            if not order:
                order = list(_TEMPLATES[label])
                chance.shuffle(order)
            text = expand(order.pop(), chance)
        if chance.random() < _DEMANDING.get(label, 0.04):
            text = form.demanding(text, chance)
        made.setdefault(text)
    return list(made)


def expand(template: str, chance: random.Random) -> str:
    """One text from a template. Slots are filled last, so that choices may hold them.

    Raises ``ValueError`` for a slot that does not exist.
    """
    text = template
    while found := _INNERMOST.search(text):
        text = text[: found.start()] + chance.choice(found[1].split("|")) + text[found.end() :]

    def fill(match: re.Match[str]) -> str:
        if match[1] not in SLOTS:
            raise ValueError(f"template {template!r}: no slot <{match[1]}>")
        return drawn(match[1], chance)

    while _SLOT.search(text):
        text = _SLOT.sub(fill, text)
    text = text.replace("{{", "[").replace("}}", "]")
    return re.sub(r" {2,}", " ", text.replace("\\n", "\n")).strip()


_STOPS = re.compile(r"([?.!,'])")
_WRAPPERS: Sequence[str] = (
    "Question: {}",
    "Q: {}",
    "Please answer: {}",
    "Please help me with this: {}",
    "{} Thanks!",
    "Hi, {}",
    "Hello! {}",
    "hey, {}",
    "Solve this: {}",
    "Answer the following question. {}",
    "{}\nAnswer:",
    "Can you help? {}",
    "I have a question: {}",
    "{} Explain your answer.",
    "{} Let's think step by step.",
    "Problem: {}",
    "{} please",
    "Read the following and answer.\n\n{}",
    "Task: {}",
)


def altered(text: str, chance: random.Random) -> str:
    """The text as somebody else would have typed it: casing, punctuation, typos, a few words
    around it. About half of the texts stay as they are."""
    draw = chance.random()
    if draw < 0.45:
        return text
    if draw < 0.58:
        text = text.lower()
    elif draw < 0.64:
        text = text[:1].upper() + text[1:]
    elif draw < 0.66:
        text = text.upper()
    if chance.random() < 0.2:
        text = text.rstrip("?.! ")
    if chance.random() < 0.08:
        text = text.replace(",", "").replace("'", "")
    if chance.random() < 0.06:  # as corpora of dialogues are written
        text = _STOPS.sub(r" \1", text)
    if chance.random() < 0.2:
        text = misspelt(text, chance, 0.02)
    if chance.random() < 0.15:
        text = chance.choice(_WRAPPERS).format(text)
    return text


def misspelt(text: str, chance: random.Random, rate: float) -> str:
    """Swaps, drops, doubles or replaces letters: ``rate`` of all letters are touched."""
    letters = list(text)
    for place, letter in enumerate(letters):
        if not letter.isalpha() or chance.random() >= rate:
            continue
        match chance.randrange(4):
            case 0 if place + 1 < len(letters) and letters[place + 1].isalpha():
                letters[place], letters[place + 1] = letters[place + 1], letter
            case 1:
                letters[place] = ""
            case 2:
                letters[place] = letter * 2
            case _:
                letters[place] = chance.choice("abcdefghijklmnopqrstuvwxyz")
    return "".join(letters)
