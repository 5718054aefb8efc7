"""What became of one request so far, and how that is told: in its trailer, or in its error."""

from __future__ import annotations

from dataclasses import dataclass, field

from opentelemetry.trace import Span

from mesh.delivery import Delivery
from mesh.errors import AttemptFailed, DeadlineExceeded, MeshError
from mesh.fleet.work import Work
from mesh.stream import Done, Resume
from mesh.transport.base import Finished
from mesh.types import Request
from orchestrator.attempts.attempt import Outcome
from orchestrator.slots.capacity import Reservation


@dataclass(frozen=True, slots=True, kw_only=True)
class Break:
    """An attempt that ended after tokens were delivered. ``at``: monotonic seconds of the last of
    them; ``at_token``: index of the next."""

    node_name: str
    error: MeshError
    at: float
    at_token: int


@dataclass(slots=True, kw_only=True)
class Course:
    """One request. Times are monotonic seconds. ``strikes``: attempts that count against the limit.
    ``begun_at``: tokens delivered before this attempt.
    ``elsewhere``: a slot that is held for the next attempt. ``refusal``: the last one, in words."""

    request: Request
    arrived: float
    deadline: float
    work: Work
    span: Span
    delivery: Delivery = field(default_factory=Delivery)
    attempts: int = 0
    strikes: int = 0
    begun_at: int = 0
    outcome: Outcome | None = None
    reservation: Reservation | None = None
    elsewhere: Reservation | None = None
    refusal: str = ""
    queued_s: float = 0.0
    first_token: float | None = None
    last_token: float = 0.0
    resumed: bool = False
    broken: Break | None = None
    resumes: list[Resume] = field(default_factory=list)

    def __post_init__(self) -> None:
        begun = self.request.continuation
        if begun is not None:
            self.delivery = Delivery(list(begun.pieces), begun.tokenizer_hash)
            self.attempts = begun.attempts
            self.resumed = bool(begun.pieces)

    @property
    def delivered(self) -> str:
        count = len(self.delivery.pieces)
        return "1 token was delivered" if count == 1 else f"{count} tokens were delivered"

    def refused(self, why: str) -> None:
        """The node would not take it."""
        if self.reservation is not None:
            self.refusal = f"{self.reservation.candidate.node_name}: {why}"

    def tokens(self, now: float) -> None:
        """Tokens have come."""
        if self.broken is not None:
            self._went_on(self.broken, now)
        self.last_token = now
        if self.first_token is None:
            self.first_token = now

    def broke(self, node_name: str, error: MeshError, now: float) -> bool:
        """The attempt on ``node_name`` ended in ``error``; whether it brought tokens before."""
        if self.delivery.pieces and self.broken is None:
            at = self.last_token or now
            self.broken = Break(
                node_name=node_name, error=error, at=at, at_token=len(self.delivery.pieces)
            )
        return len(self.delivery.pieces) > self.begun_at

    def close(self) -> None:
        """Gives back what is held for an attempt that will not be."""
        held, self.elsewhere = self.elsewhere, None
        if held is not None:
            held.release()

    def done(self, reservation: Reservation, finished: Finished, now: float) -> Done:
        if self.broken is not None:  # nothing was missing but the end
            self._went_on(self.broken, now)
        row, count = reservation.candidate, len(self.delivery.pieces)
        begun = self.request.continuation
        streamed = count - (len(begun.pieces) if begun is not None else 0)
        first = self.first_token
        spread = self.last_token - first if first is not None else 0.0
        return Done(
            reason=finished.reason,
            node=row.node,
            node_name=row.node_name,
            model=row.model,
            prompt_tokens=finished.usage.prompt_tokens,
            # Counted here: a resumed answer has parts from several nodes.
            completion_tokens=count,
            cached_tokens=finished.usage.cached_tokens,
            ttft_ms=1000.0 * (first - self.arrived) if first is not None else 0.0,
            tokens_per_second=(streamed - 1) / spread if streamed > 1 and spread > 0 else 0.0,
            resumed=self.resumed,
            attempts=self.attempts,
            trace_id=format(self.span.get_span_context().trace_id, "032x"),
            queue_ms=1000.0 * self.queued_s,
            resumes=tuple(self.resumes),
        )

    def _went_on(self, broken: Break, now: float) -> None:
        self.resumes.append(
            Resume(
                from_node=broken.node_name,
                to_node=self.reservation.candidate.node_name if self.reservation else "",
                at_token=broken.at_token,
                gap_ms=1000.0 * (now - broken.at),
                reason=broken.error.code,
            )
        )
        self.broken = None


def given_up(lost: AttemptFailed, course: Course, why: str) -> AttemptFailed:
    return type(lost)(
        f"{lost.message}; {course.delivered} before that; {why}", node_id=lost.node_id
    )


def too_late(
    error: DeadlineExceeded, course: Course, now: float, troubles: str = ""
) -> DeadlineExceeded:
    """``troubles``: what is wrong with those that were waited for, in words."""
    last = f"the last refusal was {course.refusal}" if course.refusal else ""
    if error.message and not course.attempts:
        return DeadlineExceeded("; ".join(filter(None, (error.message, troubles or last))))
    parts = [
        f"the answer was not finished within {now - course.arrived:.1f} s",
        course.delivered,
        # Of an answer that began, what was refused before is no longer the reason.
        last if course.first_token is None else "",
        "allow more time or ask for fewer tokens",
    ]
    return DeadlineExceeded("; ".join(filter(None, parts)))
