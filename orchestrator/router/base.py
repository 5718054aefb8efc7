"""A stage's interface, and what it looks at."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Protocol

from mesh.stream import StreamEvent
from mesh.types import Alternative, Message, ModelId, Role, SaidSampling, Specialty
from orchestrator.router.ready import ReadyAnswer


@dataclass(frozen=True, slots=True)
class Features:
    """What stages may look at. ``last_user``: text of the last user turn. ``prior``: the
    conversation's specialty so far, None at its start or when nothing told it; ``so_far``: the
    chances of all that it may have been; ``bond``: how much the last turn is about it, 0 to 1.

    ``sampling``, ``model`` and ``specialty`` (as asked for by name), ``tenant`` and ``cacheable``
    are the request's, for stages that have whole answers. ``dry_run``: nothing will be
    generated, so no stage may use a GPU. ``leaning``: what the stages before leaned to without
    being sure of it, the last word of them, the most probable first.
    """

    messages: tuple[Message, ...]
    last_user: str
    prior: Specialty | None = None
    so_far: tuple[Alternative, ...] = ()
    bond: float = 0.0
    sampling: SaidSampling = field(default_factory=SaidSampling)
    model: ModelId | None = None
    specialty: Specialty | None = None
    tenant: str = ""
    cacheable: bool | None = None
    dry_run: bool = False
    leaning: tuple[Alternative, ...] = ()

    @classmethod
    def of(cls, messages: tuple[Message, ...], prior: Specialty | None = None) -> Features:
        last = next((m.text for m in reversed(messages) if m.role is Role.USER), "")
        return cls(messages, last, prior)


@dataclass(frozen=True, slots=True)
class Verdict:
    """A stage decided. ``confidence`` 0..1; ``alternatives`` sorted, the winner first.
    ``answer``: the whole answer, from a stage that has it already; no node is asked then."""

    specialty: Specialty
    confidence: float
    rule: str | None = None
    alternatives: tuple[Alternative, ...] = ()
    note: str = ""
    answer: ReadyAnswer | None = None


@dataclass(frozen=True, slots=True)
class Abstain:
    """A stage did not decide; ``alternatives`` may still say what it leaned to. ``passing``: for a
    reason that may be gone a moment later, so that what comes of it is not to be remembered."""

    note: str = ""
    alternatives: tuple[Alternative, ...] = ()
    passing: bool = False


class Stage(Protocol):
    """Pure given its loaded data: no I/O, no clock, no randomness in ``decide``."""

    def decide(self, features: Features) -> Verdict | Abstain: ...


class SlowStage(Protocol):
    """A stage that must wait for somebody: a child process, a thread, Redis, a model of the mesh.

    ``timeout_s``: how long the cascade waits for one verdict before it counts as abstaining.
    ``consult`` is cancelled then, and when the client goes away; it does not raise for what it
    cannot do, but abstains with a note. ``run`` owns what the stage lives on (a child process, a
    connection) until cancelled, and ``consult`` abstains while that is not there.
    """

    @property
    def timeout_s(self) -> float: ...

    async def consult(self, features: Features) -> Verdict | Abstain: ...

    async def run(self) -> None: ...


class Recording(Protocol):
    """One answer on its way, kept at its end for the next who asks the same. ``take`` every event
    of the stream; ``keep`` after the last one keeps it if it is whole and may be kept."""

    def take(self, event: StreamEvent) -> None: ...

    async def keep(self) -> bool: ...


class Remembering(Protocol):
    """A stage that gives earlier answers. ``recording``: None where this answer is not to be
    kept."""

    def recording(self, features: Features) -> Recording | None: ...
