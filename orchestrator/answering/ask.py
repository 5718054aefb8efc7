"""The seam: an ``Answer`` takes an ``Ask`` and yields the events of one answer.

Whatever happens around an answer (a trace, a limit, a memo, a log, a council) is a function from
``Answer`` to ``Answer`` and knows nothing of its neighbours; it is tested with a list of events.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

import msgspec
from opentelemetry.trace import INVALID_SPAN, Span

from mesh.errors import InternalError
from mesh.stream import StreamEvent
from mesh.types import Decision, Request, Specialty
from orchestrator.router.base import Features, Recording, Stage
from orchestrator.router.cascade import Outcome


class Cascade(Protocol):
    """What is asked of ``orchestrator/router/cascade.py``."""

    @property
    def fallback(self) -> Specialty: ...

    async def decide(self, features: Features) -> Outcome: ...

    async def recall(self, features: Features) -> Outcome | None: ...

    def recording(self, features: Features) -> Recording | None: ...

    @property
    def quick(self) -> Sequence[Stage]: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Routed:
    """What was decided, from what, and by which cascade: rules that change meanwhile must not mix
    with those that a request was decided by. ``substitutes``: who answers where nobody serves the
    decided specialty, the nearest first."""

    cascade: Cascade
    features: Features
    outcome: Outcome
    substitutes: tuple[Specialty, ...] = ()


class Ask(msgspec.Struct, frozen=True, kw_only=True):
    """One request on its way down the chain; a struct, since links copy it and a copy
    of a dataclass costs ten times as much. ``arrived``, ``deadline``: monotonic seconds.
    ``traceparent``: the caller's W3C trace context. ``span``: the request's, once ``traced`` has
    opened it; ``routed``: once ``decided`` has decided it."""

    request: Request
    arrived: float
    deadline: float
    traceparent: str = ""
    span: Span = INVALID_SPAN
    routed: Routed | None = None

    def traced(self, span: Span) -> Ask:
        return msgspec.structs.replace(self, span=span)

    def decided(self, routed: Routed) -> Ask:
        return msgspec.structs.replace(self, routed=routed)

    @property
    def known(self) -> Routed:
        """``routed``, for the links behind ``decided``."""
        if self.routed is None:
            raise InternalError("an ask came to a link behind the decision without one")
        return self.routed

    @property
    def decision(self) -> Decision:
        return self.known.outcome.decision


# Close the generator to cancel: whatever it holds is given back. Every error is a ``MeshError``.
Answer = Callable[[Ask], AsyncGenerator[StreamEvent, None]]
