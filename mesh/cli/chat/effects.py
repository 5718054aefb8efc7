"""What a chat is to do, as ``state`` says it and ``loop`` does it. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum, auto

from mesh.cli.chat.saved import Turn
from mesh.types import Message


@dataclass(frozen=True, slots=True)
class Attached:
    """A text file that goes with the next prompt."""

    name: str
    text: str


@dataclass(frozen=True, slots=True)
class Asking:
    """A prompt under way. ``typed``: of it, what its writer typed; ``before``: the turns that it
    follows, one fewer than there are where it replaces the last. ``fresh``: no remembered answer
    will do."""

    prompt: str
    typed: str
    attached: tuple[Attached, ...]
    before: tuple[Turn, ...]
    fresh: bool = False


class Tone(Enum):
    NOTE = auto()
    WARNING = auto()


@dataclass(frozen=True, slots=True)
class Say:
    text: str
    tone: Tone = Tone.NOTE


@dataclass(frozen=True, slots=True)
class Ask:
    """``messages``: all that the request says."""

    asking: Asking
    messages: tuple[Message, ...]


@dataclass(frozen=True, slots=True)
class Keep:
    """The conversation has changed."""


@dataclass(frozen=True, slots=True)
class Edit:
    """What stands at the next prompt, to be sent or changed."""

    text: str


@dataclass(frozen=True, slots=True)
class Attach:
    path: str


@dataclass(frozen=True, slots=True)
class Copy:
    text: str
    what: str


@dataclass(frozen=True, slots=True)
class Save:
    """Keep it under ``name``; "": under the one that it has, or gets."""

    name: str


@dataclass(frozen=True, slots=True)
class Load:
    name: str


@dataclass(frozen=True, slots=True)
class ListKept:
    pass


@dataclass(frozen=True, slots=True)
class Begin:
    """A new conversation."""


@dataclass(frozen=True, slots=True)
class Help:
    pass


@dataclass(frozen=True, slots=True)
class Why:
    pass


@dataclass(frozen=True, slots=True)
class Stats:
    pass


@dataclass(frozen=True, slots=True)
class Leave:
    pass


Effect = (
    Say | Ask | Keep | Edit | Attach | Copy | Save | Load | ListKept | Begin | Help | Why | Stats
) | Leave
