"""Texts to vectors: from a request to one node's whole answer.

Placement, admission, reservations and the watch over running attempts are those of answers. What
differs is what a lost node costs: nothing was delivered yet, and the same texts give the same
vectors, so the next attempt begins again, on any node of the specialty. All vectors of a reply are
of one attempt, since those of two models mean nothing to each other.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from opentelemetry.trace import Span, SpanKind

from mesh.clock import Clock
from mesh.delivery import Delivery
from mesh.embedding import EMBEDDING, Embeddings, EmbedRequest, count_of
from mesh.errors import (
    AttemptFailed,
    DeadlineExceeded,
    MeshError,
    NodeLost,
    NotServed,
    ProtocolError,
    from_code,
)
from mesh.fleet.placement import specialty_of
from mesh.fleet.work import Work
from mesh.telemetry import spans
from mesh.transport.base import (
    Accepted,
    Attempt,
    AttemptStream,
    Failed,
    Finished,
    Progress,
    Refused,
    Vectors,
)
from mesh.types import Sampling, Specialty
from mesh.validation import check_texts, check_timeout
from orchestrator.attempts.attempt import AttemptRun, Broken, Outcome
from orchestrator.attempts.dispatch import RECOVERY_S
from orchestrator.attempts.refusal import after_break, after_refusal
from orchestrator.attempts.stall import Phase
from orchestrator.attempts.watch import Watch
from orchestrator.picture.fleet import Fleet
from orchestrator.slots.capacity import Reservation
from orchestrator.slots.queue import Admission

_LENGTH_SLACK = 1e-3  # float32, after thousands of squares


class VectorRun(AttemptRun):
    """One attempt at ``texts`` texts; ``rows`` and ``dimension`` are set once it has finished."""

    def __init__(self, stream: AttemptStream, clock: Clock, *, deadline: float, texts: int) -> None:
        super().__init__(stream, Delivery(), clock, deadline=deadline, tokenizer="")
        self._texts = texts
        self._count = 0
        self._parts: list[bytes] = []
        self.dimension = 0

    @property
    def rows(self) -> bytes:
        return b"".join(self._parts)

    async def collect(self, fleet: Fleet, reservation: Reservation) -> Outcome:
        """Raises ``DeadlineExceeded``."""
        outcome: Outcome | None = None
        pace, now = self.pace, self._clock.now
        try:
            while outcome is None:
                match await self._next():
                    case Vectors() as vectors:
                        self._take(vectors)
                        pace.progressed(Phase.PREFILLING.value, self._count, now())
                    case Accepted():
                        fleet.accepted(reservation.candidate.node)
                        pace.accepted(now())
                    case Progress(phase=phase, done=done):
                        pace.progressed(phase, done, now())
                    case Finished() as end:
                        self._check_whole()
                        outcome = end
                    case Refused() as end:
                        outcome = end
                    case Failed(code=code, message=message):
                        error = from_code(code, message)
                        if isinstance(error, DeadlineExceeded):
                            raise error
                        outcome = Broken(error, blame=code != "draining")
                    case None:
                        outcome = self._ended()
                    case event:
                        raise ProtocolError(f"the node sent {type(event).__name__} for vectors")
        except (NodeLost, ProtocolError) as error:
            outcome = Broken(error, blame=True)
        self.outcome = outcome
        return outcome

    def _take(self, vectors: Vectors) -> None:
        if self.dimension not in (0, vectors.dimension) or vectors.first != self._count:
            raise ProtocolError(
                f"the node sent vectors of {vectors.dimension} numbers from text {vectors.first} "
                f"on, where {self._count} texts had {self.dimension or 'as many'}"
            )
        _check_lengths(vectors)
        self.dimension = vectors.dimension
        self._count += count_of(vectors.data, vectors.dimension)
        self._parts.append(vectors.data)

    def _check_whole(self) -> None:
        if self._count != self._texts:
            raise ProtocolError(f"the node ended after {self._count} of {self._texts} vectors")


@dataclass(slots=True, kw_only=True)
class _Course:
    """One request so far. Times are monotonic seconds. ``elsewhere``: a slot that the watch holds
    for the next attempt."""

    request: EmbedRequest
    arrived: float
    deadline: float
    span: Span
    work: Work
    attempts: int = 0
    queued_s: float = 0.0
    elsewhere: Reservation | None = None
    lost: AttemptFailed | None = None

    def close(self) -> None:
        held, self.elsewhere = self.elsewhere, None
        if held is not None:
            held.release()


class Embedder:
    """``watch``: of dispatch, which runs it. ``default_timeout_s``: of a request that names none;
    ``max_request_bytes``: of its texts; ``max_attempts``: that may break."""

    def __init__(
        self,
        fleet: Fleet,
        admission: Admission,
        watch: Watch,
        clock: Clock,
        *,
        default_timeout_s: float,
        max_request_bytes: int,
        max_attempts: int,
    ) -> None:
        self._fleet = fleet
        self._admission = admission
        self._watch = watch
        self._clock = clock
        self._default_timeout_s = default_timeout_s
        self._max_request_bytes = max_request_bytes
        self._max_attempts = max_attempts

    async def embed(
        self, request: EmbedRequest, *, granted_s: float | None = None, traceparent: str = ""
    ) -> Embeddings:
        """``granted_s``: what the caller's transport allows. ``traceparent``: the caller's W3C
        trace context. Cancelling it frees the node's slot.

        Raises ``InvalidRequest``, ``NotServed`` (``NoCandidate`` where nobody embeds),
        ``DeadlineExceeded`` and ``AttemptFailed``, each with the request's id.
        """
        arrived = self._clock.now()
        with spans.detached(
            "orchestrator.embed",
            traceparent=traceparent,
            kind=SpanKind.SERVER,
            attributes={
                "squadron.request.id": request.id,
                "squadron.priority": request.priority,
                "squadron.tenant": request.tenant,
                "squadron.texts": len(request.texts),
                "gen_ai.operation.name": "embeddings",
            },
        ) as span:
            try:
                check_texts(request.texts, max_bytes=self._max_request_bytes)
                check_timeout(request.timeout_s)
                timeout_s = request.timeout_s or self._default_timeout_s
                if granted_s is not None:
                    timeout_s = min(timeout_s, granted_s)
                course = _Course(
                    request=request,
                    arrived=arrived,
                    deadline=arrived + timeout_s,
                    span=span,
                    work=self._work(request, arrived),
                )
                return await self._served(course)
            except MeshError as error:
                error.request_id = request.id
                raise

    def _work(self, request: EmbedRequest, arrived: float) -> Work:
        specialty = request.specialty or (Specialty("") if request.model else EMBEDDING)
        return Work(
            # What a named model's work is called, in errors that say what was waited for.
            specialty=specialty or specialty_of(self._fleet.view, request.model) or EMBEDDING,
            named=True,
            model=request.model,
            # Each text has a context to itself, so it is the longest that must fit.
            prompt_bytes=max(len(text.encode("utf-8")) for text in request.texts),
            priority=request.priority,
            arrived=arrived,
            embeds=True,
        )

    async def _served(self, course: _Course) -> Embeddings:
        try:
            while True:
                with await self._slot(course) as reservation:
                    found = await self._attempt(course, reservation)
                if found is not None:
                    return found
        except DeadlineExceeded as error:
            raise self._too_late(course, error) from error
        except NotServed as error:
            if course.lost is None:
                raise
            raise _given_up(course.lost, f"nobody else could: {error.message}") from error
        finally:
            course.close()

    async def _slot(self, course: _Course) -> Reservation:
        held, course.elsewhere = course.elsewhere, None
        held = held or self._admission.offer(course.work)
        if held is None:
            begun = self._clock.now()
            with self._admission.queue(course.work) as place:
                held = await place.reservation(course.deadline)
            course.queued_s += self._clock.now() - begun
        return held

    async def _attempt(self, course: _Course, reservation: Reservation) -> Embeddings | None:
        """None: it was refused, or broke, and ``course.work`` says who may be asked next."""
        row = reservation.candidate
        with spans.detached(
            "attempt",
            parent=course.span,
            kind=SpanKind.CLIENT,
            attributes={
                "squadron.attempt": course.attempts + 1,
                "squadron.node.id": row.node,
                "squadron.node.name": row.node_name,
                "squadron.placement.reason": row.reason,
                "gen_ai.operation.name": "embeddings",
                "gen_ai.request.model": row.model,
            },
        ) as span:
            attempt = Attempt(
                request_id=course.request.id,
                number=course.attempts + 1,
                model=row.model,
                messages=(),
                sampling=Sampling(),
                texts=course.request.texts,
                credit=len(course.request.texts),
                timeout_s=max(0.001, course.deadline - self._clock.now()),
                traceparent=spans.traceparent_of(span),
            )
            try:
                stream = self._fleet.open(row.node, attempt)
            except NodeLost as error:
                spans.failed(span, error)
                self._after_failure(course, reservation, Broken(error, blame=True))
                return None
            run = VectorRun(stream, self._clock, deadline=course.deadline, texts=len(attempt.texts))
            match await self._watched(course, reservation, run, stream):
                case Finished(usage=usage):
                    self._fleet.succeeded(row.node)
                    span.set_attribute("gen_ai.usage.input_tokens", usage.prompt_tokens)
                    return self._done(course, reservation, run, usage.prompt_tokens)
                case Refused(code=code) as refused:
                    span.set_attribute("squadron.refused", code)
                    course.work = after_refusal(self._fleet, course.work, reservation, refused)
                case Broken() as broken:
                    spans.failed(span, broken.error)
                    self._after_failure(course, reservation, broken)
        return None

    async def _watched(
        self, course: _Course, reservation: Reservation, run: VectorRun, stream: AttemptStream
    ) -> Outcome:
        row = reservation.candidate
        async with stream:
            with self._watch.over(
                run, node=row.node, model=row.model, work=course.work, resumable=True
            ):
                try:
                    return await run.collect(self._fleet, reservation)
                finally:
                    course.elsewhere = run.elsewhere

    def _done(
        self, course: _Course, reservation: Reservation, run: VectorRun, prompt_tokens: int
    ) -> Embeddings:
        row = reservation.candidate
        return Embeddings(
            data=run.rows,
            dimension=run.dimension,
            node=row.node,
            node_name=row.node_name,
            model=row.model,
            prompt_tokens=prompt_tokens,
            attempts=course.attempts + 1,
            queue_ms=1000.0 * course.queued_s,
            total_ms=1000.0 * (self._clock.now() - course.arrived),
            trace_id=format(course.span.get_span_context().trace_id, "032x"),
        )

    def _after_failure(self, course: _Course, reservation: Reservation, broken: Broken) -> None:
        """Raises when it may not try again."""
        course.lost = after_break(self._fleet, reservation.candidate, broken)
        course.attempts += 1
        if course.attempts >= self._max_attempts:
            why = f"that was attempt {course.attempts} of {self._max_attempts}"
            raise _given_up(course.lost, why)
        # As a request that was admitted before: it goes ahead of new ones, and may wait for a node.
        course.work = replace(course.work, resuming=True, patience_s=RECOVERY_S)

    def _too_late(self, course: _Course, error: DeadlineExceeded) -> DeadlineExceeded:
        if error.message and not course.attempts:
            return DeadlineExceeded(error.message)
        waited_s, count = self._clock.now() - course.arrived, len(course.request.texts)
        texts = "the text was" if count == 1 else f"the {count} texts were"
        return DeadlineExceeded(
            f"{texts} not embedded within {waited_s:.1f} s; allow more time or send fewer at a time"
        )


def _given_up(lost: AttemptFailed, why: str) -> AttemptFailed:
    return type(lost)(f"{lost.message}; {why}", node_id=lost.node_id)


def _check_lengths(vectors: Vectors) -> None:
    """Raises ``ProtocolError`` for a vector that is not of length 1 (0 is allowed: a text in which
    the model sees nothing). NaN and infinities have no such length."""
    rows = np.frombuffer(vectors.data, "<f4").reshape(-1, vectors.dimension).astype(np.float64)
    lengths = np.sqrt((rows * rows).sum(axis=1))
    if not ((np.abs(lengths - 1.0) <= _LENGTH_SLACK) | (lengths == 0.0)).all():
        raise ProtocolError("the node sent a vector that is not of length 1")
