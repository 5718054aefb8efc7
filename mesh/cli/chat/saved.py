"""A conversation as it is kept: its turns, and what was chosen for it. Pure."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass

from mesh.types import Message, Role

STOPPED = "stopped"  # its reader had enough; else a turn ends as ``FinishReason`` says
_NAME_WORDS, _NAME_CHARACTERS = 5, 32


@dataclass(frozen=True, slots=True, kw_only=True)
class Turn:
    """A prompt as it was sent, and what was answered. ``ended``: a ``FinishReason``, or
    ``STOPPED`` for an answer that its reader stopped: what came of it is part of the conversation,
    since its reader has read it. ``asked``: Unix seconds. The rest is what the mesh said of it, ""
    and 0 where it did not; ``seconds``: from the question to the end of the answer."""

    prompt: str
    answer: str
    ended: str
    asked: float
    specialty: str = ""
    stage: str = ""
    rule: str | None = None
    model: str = ""
    node: str = ""
    prompt_tokens: int = 0
    completion_tokens: int = 0
    ttft_ms: float = 0.0
    tokens_per_second: float = 0.0
    seconds: float = 0.0
    resumes: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class SavedChat:
    """``created``, ``changed``: Unix seconds. ``model``, ``specialty``: that every prompt names;
    None: the router decides. ``name`` "": it has none yet."""

    name: str = ""
    created: float
    changed: float
    system: str | None = None
    model: str | None = None
    specialty: str | None = None
    turns: tuple[Turn, ...] = ()

    @property
    def messages(self) -> tuple[Message, ...]:
        """The conversation as a request has it, up to the last answer."""
        return tuple(self._messages())

    def _messages(self) -> Iterator[Message]:
        if self.system:
            yield Message.of(Role.SYSTEM, self.system)
        for turn in self.turns:
            yield Message.of(Role.USER, turn.prompt)
            yield Message.of(Role.ASSISTANT, turn.answer)


def name_from(prompt: str) -> str:
    """A name that a person can type, of a conversation that begins with ``prompt``: its first
    words. ``chat`` where there are none that a file's name could have."""
    plain = unicodedata.normalize("NFKD", prompt[:400]).encode("ascii", "ignore").decode()
    words = re.findall(r"[a-z0-9]+", plain.lower().replace("'", ""))[:_NAME_WORDS]
    name = "-".join(words)
    if len(name) > _NAME_CHARACTERS:
        name = name[: _NAME_CHARACTERS + 1].rpartition("-")[0] or name[:_NAME_CHARACTERS]
    return name or "chat"
