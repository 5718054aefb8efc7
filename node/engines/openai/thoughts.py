"""The thoughts of a reasoning model that stand in its answer, between tags. Pure.

Servers without a parser for a model's thoughts pass them on as text. Only what an answer begins
with is taken for them: a tag further on is something that the model talks about.
"""

from __future__ import annotations

from enum import Enum, auto

_TAGS = {
    "<think>": "</think>",
    "<thinking>": "</thinking>",
    "<thought>": "</thought>",
    "<reasoning>": "</reasoning>",
    "<seed:think>": "</seed:think>",
    "[THINK]": "[/THINK]",
    "◁think▷": "◁/think▷",
    "<|channel|>analysis<|message|>": "<|channel|>final<|message|>",
}


class _At(Enum):
    BEGIN = auto()
    THOUGHT = auto()
    ANSWER = auto()


class InlineThoughts:
    """``thought``: whether anything of it was one."""

    def __init__(self) -> None:
        self._at = _At.BEGIN
        self._held = ""
        self._close = ""
        self.thought = False

    def read(self, text: str) -> str:
        """What of ``text``, and of what was held back before, is certain to be the answer."""
        if self._at is _At.ANSWER:
            return text
        self._held += text
        while True:
            if self._at is _At.THOUGHT:
                inside, closed, after = self._held.partition(self._close)
                if not closed:
                    self._held = inside[-len(self._close) + 1 :]
                    return ""
                self._at, self._held = _At.BEGIN, after
            begun = self._held.lstrip()
            opened = next((tag for tag in _TAGS if begun.startswith(tag)), "")
            if not opened:
                if any(tag.startswith(begun) for tag in _TAGS):
                    return ""
                return self._answer()
            self._at, self.thought = _At.THOUGHT, True
            self._close, self._held = _TAGS[opened], begun.removeprefix(opened)

    def end(self) -> str:
        """What is left when no more will come: what might have become a tag, and did not."""
        return "" if self._at is not _At.BEGIN else self._answer()

    def _answer(self) -> str:
        self._at = _At.ANSWER
        text, self._held = self._held, ""
        return text.lstrip("\r\n") if self.thought else text
