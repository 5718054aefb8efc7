"""A stage's interface, and what it looks at."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from mesh.types import Alternative, Message, Role, Specialty


@dataclass(frozen=True, slots=True)
class Features:
    """What stages may look at. ``last_user``: text of the last user turn; ``prior``: the
    conversation's specialty so far, None at its start."""

    messages: tuple[Message, ...]
    last_user: str
    prior: Specialty | None = None

    @classmethod
    def of(cls, messages: tuple[Message, ...], prior: Specialty | None = None) -> Features:
        last = next((m.content for m in reversed(messages) if m.role is Role.USER), "")
        return cls(messages, last, prior)


@dataclass(frozen=True, slots=True)
class Verdict:
    """A stage decided. ``confidence`` 0..1; ``alternatives`` sorted, the winner first."""

    specialty: Specialty
    confidence: float
    rule: str | None = None
    alternatives: tuple[Alternative, ...] = ()
    note: str = ""


@dataclass(frozen=True, slots=True)
class Abstain:
    """A stage did not decide; ``alternatives`` may still say what it leaned to."""

    note: str = ""
    alternatives: tuple[Alternative, ...] = ()


class Stage(Protocol):
    """Pure given its loaded data: no I/O, no clock, no randomness in ``decide``."""

    @property
    def name(self) -> str: ...

    def decide(self, features: Features) -> Verdict | Abstain: ...
