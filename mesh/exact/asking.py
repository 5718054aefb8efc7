"""Which text of a conversation the tools may answer: the last user turn, and whether at all."""

from __future__ import annotations

import re
from collections.abc import Sequence

from mesh.exact.base import SLOW_CHARACTERS, Declined, words
from mesh.parts import beyond_text
from mesh.types import Message, Role

# A system text of nothing but these asks for no form that a plain answer would break.
_HARMLESS = words(
    "you are a an the helpful assistant ai friendly polite honest harmless useful ",
    "concise knowledgeable smart clever and be brief very chatbot bot expert math ",
    "mathematics calculator accurate respectful answer questions question with who ",
    "user users help to s",
)
# What an earlier turn may have agreed on, so that the last one means something else or its answer
# has a form. Any of them anywhere: to decline costs nothing.
_AGREED = (
    "from now on", "always", "every time", "whenever", "each time", "suppose", "assum", "pretend",
    "imagine", "let's say", "let us say", "stands for", "means", "define", "in base", "base 8",
    "base-", "json", "xml", "answer in", "answer with", "answer only", "only answer", "reply",
    "respond", "role", "act as", "you are", "game", "if today", "today is", "date is", "shall be",
)  # fmt: skip
_MOST_EARLIER_CHARACTERS = 16 * 1024
# "Minus 3 plus 5" after "12" goes on from there.
_GOES_ON = re.compile(
    r"\W*(?:(?:and|then|now|so|ok|okay|but)\b\W*)*"
    r"(?:[-+*/×÷·−^%]|(?:minus|plus|times|negative|divided|multiplied|add|subtract|multiply|divide"
    r"|take)\b)",
    re.IGNORECASE,
)
_MOST_OPENING = 400  # characters; the pattern goes back over all signs among them
_WORD = re.compile(r"[^\W_]+")
_MOST_SYSTEM_CHARACTERS = 300


def question(messages: Sequence[Message]) -> str | Declined:
    """The text that counts, or why there is none: ``last_turn`` and ``agreed`` in one.

    An application's system text may demand JSON, a language or a role, which a plain answer would
    break; so with any system text but a harmless one ("You are a helpful assistant.") the tools
    decline. So they do after an earlier turn of the user's that may have agreed on such a thing,
    and when the last one may go on from the answer before it. Else earlier turns are not read: the
    last one must be a question whole by itself.
    """
    text = last_turn(messages)
    return text if isinstance(text, Declined) else agreed(messages) or text


def last_turn(messages: Sequence[Message]) -> str | Declined:
    """The text of the last turn, or why the tools leave it, as far as that is told without reading
    what the user said before: ``agreed`` does that, and is worth its time only for a problem."""
    if not messages or messages[-1].role is not Role.USER:
        return Declined(note="the last turn is not the user's")
    if next(beyond_text(messages), None) is not None:
        return Declined(note="not all of the conversation is text")
    for message in messages:
        if message.role is Role.SYSTEM and not _harmless(message.text):
            return Declined(note="the system text may ask for a form that a plain answer breaks")
    text = messages[-1].text
    # A longer text is never read, and in its opening the pattern looks no further than words go.
    opening = text.lstrip()[:_MOST_OPENING] if len(text) <= SLOW_CHARACTERS else ""
    if _GOES_ON.match(opening) and any(message.role is Role.USER for message in messages[:-1]):
        return Declined(note="it may go on from the answer before it")
    return text


def agreed(messages: Sequence[Message]) -> Declined | None:
    """Why the conversation before its last turn forbids a plain answer; None where nothing does.

    Reads at most the 16 Ki characters that it allows earlier turns to have.
    """
    left, earlier = _MOST_EARLIER_CHARACTERS, []
    for message in messages[:-1]:
        if message.role is Role.USER:
            earlier.append(message.text)
            left -= len(message.text)
            if left < 0:
                return Declined(
                    note="the conversation is too long to be sure of what was agreed on"
                )
    said = "\0".join(earlier).lower()
    if any(words in said for words in _AGREED):
        return Declined(note="an earlier turn may have agreed on how to answer")
    return None


def _harmless(text: str) -> bool:
    return len(text) <= _MOST_SYSTEM_CHARACTERS and _HARMLESS.issuperset(
        _WORD.findall(text.lower())
    )
