"""The words around the mathematics of a prompt, for the solver's recognisers."""

from __future__ import annotations

import re

MAX_PROMPT_CHARACTERS = 600
ASK = (
    "[(find|compute|calculate|determine|evaluate|give me|what is|what's|what are|list|take"
    "|work out) ]"
)
NAME = r"\$?[a-zA-Z]\$?"

_POLITE_START = re.compile(
    r"(?:(?:please|kindly|hey|hi|hello|ok|okay|so|now|quick question)[,:!]?\s+"
    r"|(?:can|could|would|will) you (?:please )?(?:help me (?:to )?)?(?=[a-z])"
    r"|(?:i need|i want|i would like|i'd like)(?: you)? to (?=[a-z])"
    r"|help me (?:to )?(?=[a-z])|tell me (?=what)|let's (?=[a-z]))+",
    re.IGNORECASE,
)
_POLITE_END = re.compile(
    r"(?:[,.]?\s*(?:please|for me|thanks|thank you|thx))+[.!?]*$", re.IGNORECASE
)
_POLITE_END_CHARACTERS = 30


def plain(text: str) -> str:
    """``text`` on one line without politeness and its final full stop; "" for what is too long to
    be one of the solver's questions."""
    if len(text) > MAX_PROMPT_CHARACTERS:
        return ""
    text = " ".join(text.split())
    if (polite := _POLITE_START.match(text)) is not None:
        text = text[polite.end() :]
    end = text[-_POLITE_END_CHARACTERS:]
    text = text[: -len(end)] + _POLITE_END.sub("", end)
    return text.rstrip(" .?" if text.endswith("!") else " .?!")  # "5!" keeps its factorial


_SEPARATORS = re.compile(r"\s*(?:[;,]\s+and\s|[;,\n]|\s(?:and|&)\s)\s*", re.IGNORECASE)
_THOUSANDS = re.compile(r"\d,\d{3}(?!\d)")


def listed(text: str) -> tuple[str, ...] | None:
    """``a, b and c``; None where a comma may be a thousands' separator. Commas inside brackets do
    not separate."""
    if _THOUSANDS.search(text):
        return None
    if not any(bracket in text for bracket in "([{"):
        return tuple(part.strip() for part in _SEPARATORS.split(text))
    found: list[str] = []
    depth = begin = 0
    position = 0
    while position < len(text):
        sign = text[position]
        depth += (sign in "([{") - (sign in ")]}")
        match = _SEPARATORS.match(text, position) if depth == 0 else None
        if match is not None and match.end() > position:
            found.append(text[begin:position].strip())
            begin = position = match.end()
        else:
            position += 1
    found.append(text[begin:].strip())
    return tuple(found)
