"""Which problem a conversation asks the tools to solve: that of its last turn, or none and why."""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import date

from mesh.exact.base import Declined, Problem
from mesh.exact.earlier import earlier
from mesh.exact.reading import read
from mesh.exact.wanted import unasked
from mesh.parts import beyond_text
from mesh.types import Message, Role

# "Minus 3 plus 5" after "12" goes on from there.
_GOES_ON = re.compile(
    r"\W*(?:(?:and|then|now|so|ok|okay|but)\b\W*)*"
    r"(?:[-+*/×÷·−^%]|(?:minus|plus|times|negative|divided|multiplied|add|subtract|multiply|divide"
    r"|take)\b)",
    re.IGNORECASE,
)
_MOST_OPENING = 400  # characters; the pattern goes back over all signs among them


def asked(messages: Sequence[Message], today: date) -> Problem | Declined:
    """The problem, or why the tools leave it to a model: the last turn is no question whole by
    itself, what was said before it may bind the answer, or no value is asked for.

    Only what provably leaves values alone may stand before the last turn: a system text of a few
    known sentences, greetings, and sums with their answers. What is read: the last turn, and of the
    others as much as ``earlier`` allows. Pure; costs microseconds where nothing is read.
    """
    text = last_turn(messages)
    if isinstance(text, Declined):
        return text
    problem = read(text, today)
    if problem is None:
        return Declined(note="not read as a whole problem")
    before = earlier(messages[:-1], today)
    if isinstance(before, Declined):
        return before
    if before.sums and _GOES_ON.match(text.lstrip()[:_MOST_OPENING]):
        return Declined(note="it may go on from the answer before it")
    if (why := unasked(text, problem, doing_sums=before.sums)) is not None:
        return Declined(note=f"{problem.kind}, but {why}")
    return problem


def last_turn(messages: Sequence[Message]) -> str | Declined:
    """The text of the last turn, or why the tools leave it, as far as that is told without reading
    anything."""
    if not messages or messages[-1].role is not Role.USER:
        return Declined(note="the last turn is not the user's")
    if next(beyond_text(messages), None) is not None:
        return Declined(note="not all of the conversation is text")
    return messages[-1].text
