"""Which text of a conversation the tools may answer: the last user turn, and whether at all."""

from __future__ import annotations

import re
from collections.abc import Sequence

from mesh.exact.base import Declined, words
from mesh.types import Message, Role

# A system text of nothing but these asks for no form that a plain answer would break.
_HARMLESS = words(
    "you are a an the helpful assistant ai friendly polite honest harmless useful ",
    "concise knowledgeable smart clever and be brief very chatbot bot expert math ",
    "mathematics calculator accurate respectful answer questions question with who ",
    "user users help to s",
)
_WORD = re.compile(r"[^\W_]+")
_MOST_SYSTEM_CHARACTERS = 300


def question(messages: Sequence[Message]) -> str | Declined:
    """The text that counts, or why there is none.

    An application's system text may demand JSON, a language or a role, which a plain answer would
    break; so with any system text but a harmless one ("You are a helpful assistant.") the tools
    decline. Earlier turns are not read: the last one must be a question whole by itself.
    """
    if not messages or messages[-1].role is not Role.USER:
        return Declined(note="the last turn is not the user's")
    for message in messages:
        if message.role is Role.SYSTEM and not _harmless(message.content):
            return Declined(note="the system text may ask for a form that a plain answer breaks")
    return messages[-1].content


def _harmless(text: str) -> bool:
    return len(text) <= _MOST_SYSTEM_CHARACTERS and _HARMLESS.issuperset(
        _WORD.findall(text.lower())
    )
