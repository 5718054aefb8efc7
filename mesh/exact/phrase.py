"""How questions are put, in a notation that is easier to read than a regular expression."""

from __future__ import annotations

import re

TEXT = r"\S.*?"
_NOTATION = re.compile(r"\\.|<(\w+)>|[\[\].]|\((?!\?)")


def phrase(text: str, /, **slots: str) -> re.Pattern[str]:
    """How a question is put, as a pattern in any letter case: ``[x|y]`` may be missing, ``(x|y)``
    are choices, ``<name>`` is a group of that name, what ``slots`` say or any text."""

    def meant(found: re.Match[str]) -> str:
        if found[1]:
            return f"(?P<{found[1]}>{slots.get(found[1], TEXT)})"
        return {"[": "(?:", "]": ")?", "(": "(?:", ".": r"\."}.get(found[0], found[0])

    return re.compile(_NOTATION.sub(meant, text), re.IGNORECASE)


_ENDING = re.compile(r"([a-z]+)\(\?:([a-z]+)\)\?")  # conversion[s]


def words_of(*patterns: re.Pattern[str]) -> frozenset[str]:
    """Every word that stands in the patterns."""
    found: set[str] = set()
    for pattern in patterns:
        found.update(f"{word}{ending}" for word, ending in _ENDING.findall(pattern.pattern))
        text = re.sub(r"\\.|\(\?(?:[:=]|P<\w+>)", " ", pattern.pattern)
        found.update(re.findall("[a-z]+", text))
    return frozenset(found)
