"""Self-made training text: what a conversation is, and which prompts are never trained on."""

from __future__ import annotations

import zlib
from collections.abc import Callable
from dataclasses import dataclass
from random import Random
from typing import Any

HELD_OUT_SHARE = 20
"""One prompt in this many is kept out of training and used only to measure."""


@dataclass(frozen=True)
class Turn:
    """One message; role is `user` or `assistant`."""

    role: str
    content: str


@dataclass(frozen=True)
class Check:
    """How to tell that a generated function is right: calls and what each must return."""

    function: str
    calls: tuple[tuple[tuple[Any, ...], Any], ...]


@dataclass(frozen=True)
class Sample:
    """A conversation, with what its last answer is measured by (if it can be measured)."""

    turns: tuple[Turn, ...]
    answer: int | None = None
    check: Check | None = None

    @property
    def prompt(self) -> str:
        """The last question asked."""
        return self.turns[-2].content

    @property
    def reply(self) -> str:
        """The last answer given."""
        return self.turns[-1].content


Generator = Callable[[Random], Sample]


def exchange(
    question: str, reply: str, *, answer: int | None = None, check: Check | None = None
) -> Sample:
    """One question and its answer."""
    turns = (Turn("user", question), Turn("assistant", reply))
    return Sample(turns, answer=answer, check=check)


def is_held_out(question: str) -> bool:
    """Whether a prompt belongs to the measuring share: a stable hash of its text decides."""
    return zlib.crc32(question.encode()) % HELD_OUT_SHARE == 0
