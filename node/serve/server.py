"""Serves attempts that reach this node: admit or refuse at once, then pass pieces under credit."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial

from opentelemetry.trace import Span, SpanKind
from opentelemetry.util.types import AttributeValue

from mesh.clock import Clock
from mesh.embedding import FLOAT_BYTES, rows
from mesh.errors import (
    CannotAnswer,
    Draining,
    InternalError,
    InvalidRequest,
    MeshError,
    NotServed,
    UnknownModel,
    from_code,
)
from mesh.fleet.eligibility import Refusal, RefusalCode
from mesh.fleet.reasons import words
from mesh.fleet.records import ModelLoad, ModelState
from mesh.telemetry.spans import finished
from mesh.telemetry.tracing import current_traceparent, span
from mesh.transport.base import (
    Accepted,
    Attempt,
    Finished,
    Progress,
    Refused,
    Sink,
    Tokens,
    Vectors,
)
from mesh.types import ModelId, NodeId
from mesh.validation import check_request, check_texts, check_timeout
from node.engines.registry import traits_of
from node.models.calibration import Calibration
from node.models.forms.trials import FormTrials, Vocabulary
from node.models.hosted import HostedModel, RunningSequence
from node.models.residency.agent import Residency
from node.models.residency.line import Waiter
from node.record import DRAINING_REASON
from node.runner import messages as m
from node.runner.messages import Done, Failed, Opened, Opening, Pieces, Prefill, Rejected
from node.serve.in_flight import InFlight

# Pieces that a runner may be ahead of its agent: what a client that goes away has had made in vain,
# on top of the link's window. One step of the engine makes one piece, so it need not be large.
RUNNER_CREDIT = 64
VECTORS_BYTES = 128 * 1024  # of vectors that leave together
_SMOOTHING = 0.2  # weight of the newest attempt in the mean duration


class AttemptServer:
    """The listener's handler. ``on_change`` is called when an attempt begins or ends.
    ``residency``: keeps the line of requests for models that are not resident; None: such requests
    are refused. ``in_flight``: None for one of its own. ``forms``: tries grammars and schemas;
    None: they are not tried.

    A refusal is sent as ``Refused``; what breaks after that is raised, and the listener sends it as
    ``Failed`` of that code.
    """

    def __init__(
        self,
        node: NodeId,
        models: Sequence[HostedModel] = (),
        *,
        clock: Clock,
        on_change: Callable[[], None],
        residency: Residency | None = None,
        calibration: Calibration | None = None,
        in_flight: InFlight | None = None,
        forms: FormTrials | None = None,
    ) -> None:
        self._node = node
        self._forms = forms
        self._residency = residency
        self._calibration = calibration
        self._models: dict[ModelId, HostedModel] = {model.id: model for model in models}
        self._clock = clock
        self._on_change = on_change
        self._mean_s = 0.0
        self.in_flight = InFlight() if in_flight is None else in_flight

    def add(self, model: HostedModel) -> None:
        """It is served from now on."""
        self._models[model.id] = model

    def drop(self, model: ModelId) -> None:
        """It has ended. Idempotent."""
        self._models.pop(model, None)
        if self._calibration is not None:
            self._calibration.drop(model)

    def expected_wait_s(self) -> float:
        """Seconds until a slot is likely free on the resident model that has one first: 0 with one
        free; by measured speeds where they are known, else mean duration / slots."""
        resident = [m for m in self._models.values() if m.state is ModelState.RESIDENT]
        slots = sum(model.slots for model in resident)
        if not slots:
            return 0.0
        loads = self._residency.loads() if self._residency is not None else ()
        queued = {load.model: load.queued for load in loads}
        waits = (self._wait_s(model, queued.get(model.id, 0)) for model in resident)
        return round(min(self._mean_s / slots if w is None else w for w in waits), 3)

    def waits(self, loads: Sequence[ModelLoad]) -> tuple[ModelLoad, ...]:
        """``loads`` with how long each resident model is likely to keep a new request waiting."""
        slots = sum(m.slots for m in self._models.values() if m.state is ModelState.RESIDENT)
        return tuple(
            replace(load, expected_wait_s=self._told_s(load, slots))
            if load.state is ModelState.RESIDENT
            else load
            for load in loads
        )

    def _told_s(self, load: ModelLoad, slots: int) -> float | None:
        model = self._models.get(load.model)
        if model is None or not slots:
            return None
        wait = self._wait_s(model, load.queued)
        return round(self._mean_s / slots if wait is None else wait, 3)

    def _wait_s(self, model: HostedModel, queued: int) -> float | None:
        """None: its speeds are not known, and it has no slot free."""
        if self._calibration is None:
            return None if queued or model.used_slots >= model.slots else 0.0
        return self._calibration.expected_wait_s(
            model.id, queued=queued, used=model.used_slots, slots=model.slots
        )

    async def handle(self, attempt: Attempt, sink: Sink) -> None:
        """Raises ``DeadlineExceeded``, ``Draining``, ``EngineFailed``; re-raises cancellation."""
        attributes: dict[str, AttributeValue] = {
            "gen_ai.operation.name": "embeddings" if attempt.texts else "chat",
            "gen_ai.request.model": attempt.model,
            "squadron.node.id": self._node,
            "squadron.request.id": attempt.request_id,
            "squadron.attempt": attempt.number,
        }
        with span(
            f"attempt {attempt.model}",
            traceparent=attempt.traceparent,
            kind=SpanKind.SERVER,
            attributes=attributes,
        ) as current:
            try:
                model = self._checked(attempt)
                vocabulary = self._vocabulary(attempt, model)
                if self._forms is not None and vocabulary is not None:
                    attempt = await self._tried(self._forms, vocabulary, attempt, sink)
                    model = self._checked(attempt)
                claim = partial(self._claim, model, attempt, current_traceparent())
                turn: RunningSequence | Waiter
                if self._residency is not None and self._residency.must_wait(model.id):
                    turn = self._residency.join(model.id, claim)
                else:
                    turn = claim()
            except (NotServed, InvalidRequest, Draining) as refusal:
                await _refuse(sink, refusal, current)
                return
            await self._serve(attempt, sink, turn, current)

    def _vocabulary(self, attempt: Attempt, model: HostedModel) -> Vocabulary | None:
        """What its form can be tried with, None where it has none, or nothing tries them."""
        if not attempt.sampling.bound or model.prepared is None:
            return None
        module = traits_of(model.settings.engine).trial
        return Vocabulary(module, model.prepared.spec.source) if module else None

    async def _tried(
        self, forms: FormTrials, vocabulary: Vocabulary, attempt: Attempt, sink: Sink
    ) -> Attempt:
        """With the time that is left. Raises ``InvalidRequest``, ``Overloaded``."""
        begun = self._clock.now()
        if not forms.known(vocabulary, attempt.sampling):
            await sink.send(Progress(phase="queued"))  # a sign of life: it may take seconds
        await forms.check(vocabulary, attempt.sampling, attempt.timeout_s)
        left = max(0.001, attempt.timeout_s - (self._clock.now() - begun))
        return replace(attempt, timeout_s=left)

    def _checked(self, attempt: Attempt) -> HostedModel:
        """Checks what came off the wire. What follows claims a slot, and nothing runs between."""
        if self.in_flight.draining:
            raise Draining(DRAINING_REASON)
        model = self._models.get(attempt.model)
        if model is None:
            hosted = ", ".join(self._models) or "none now"
            raise UnknownModel(f"this node does not host '{attempt.model}'; it hosts {hosted}")
        check_timeout(attempt.timeout_s)
        if attempt.credit < 1:
            raise InvalidRequest(f"credit must be at least 1, not {attempt.credit}")
        if attempt.texts:
            check_texts(attempt.texts)
        else:
            check_request(attempt.messages, attempt.sampling)
        if model.embeds is not bool(attempt.texts):
            why = RefusalCode.ONLY_EMBEDS if model.embeds else RefusalCode.ONLY_ANSWERS
            raise CannotAnswer(f"model '{attempt.model}' {words(Refusal(why))}; ask another one")
        return model

    def _claim(self, model: HostedModel, attempt: Attempt, traceparent: str) -> RunningSequence:
        """Claims a slot, now or when the attempt's turn has come."""
        opening = Opening(
            messages=attempt.messages,
            sampling=attempt.sampling,
            credit=len(attempt.texts) or min(attempt.credit, RUNNER_CREDIT),
            delivered=attempt.delivered,
            tokenizer_hash=attempt.tokenizer_hash,
            traceparent=traceparent,
            texts=attempt.texts,
        )
        return model.open(opening)

    async def _serve(
        self, attempt: Attempt, sink: Sink, turn: RunningSequence | Waiter, current: Span
    ) -> None:
        begun = self._clock.now()
        waiter = turn if isinstance(turn, Waiter) else None
        sequence = None if isinstance(turn, Waiter) else turn

        def where() -> str:
            if sequence is not None or self._residency is None:
                return "on the node"
            why = self._residency.why_waiting(attempt.model)
            return f"waiting for model '{attempt.model}' ({why})"

        try:
            async with self.in_flight.within(attempt.timeout_s, "attempt", where):
                self._on_change()
                if waiter is not None:
                    sequence = await _turn(waiter, sink, current)
                    begun = self._clock.now()
                if sequence is not None:
                    await self._forward(attempt, sink, sequence, current)
        finally:
            if waiter is not None and self._residency is not None:
                self._residency.leave(attempt.model, waiter)
            if sequence is not None:  # what was only waited for says nothing of how long slots take
                sequence.cancel()
                took = self._clock.now() - begun
                self._mean_s += _SMOOTHING * (took - self._mean_s) if self._mean_s else took
            self._on_change()

    async def _forward(
        self, attempt: Attempt, sink: Sink, sequence: RunningSequence, current: Span
    ) -> None:
        async for message in sequence:
            match message:
                case Opened():
                    await sink.send(Accepted(node=self._node, model=attempt.model))
                case Rejected(code=code, message=text, retry_after_s=after):
                    current.set_attribute("squadron.refused", code)
                    await sink.send(Refused(code=code, message=text, retry_after_s=after))
                    return
                case Failed(code=code, message=text):
                    raise from_code(code, text)
                case Prefill(done=done, total=total):
                    await sink.send(Progress(phase="prefilling", done=done, total=total))
                case Pieces(first=first, pieces=pieces):
                    await sink.send(Tokens(first=first, pieces=pieces))
                    # Only now: what a slow client holds up is its own sequence in the runner.
                    sequence.grant(len(pieces))
                case m.Vectors(first=first, dimension=dimension, data=data):
                    most = max(1, VECTORS_BYTES // (FLOAT_BYTES * dimension))
                    for part in rows(data, dimension, most):
                        await sink.send(Vectors(first=first, dimension=dimension, data=part))
                        first += most
                case Done(reason=reason, usage=usage):
                    finished(current, reason, usage)
                    if self._calibration is not None and not attempt.texts:
                        self._calibration.answered(attempt.model, usage)
                    await sink.send(Finished(reason=reason, usage=usage))
                    return
        raise InternalError("the runner's sequence ended without a word")


async def _turn(waiter: Waiter, sink: Sink, current: Span) -> RunningSequence | None:
    """Passes signs of life on until the waiter's turn has come, or it is refused: None."""
    while True:
        try:
            news = await waiter.next()
        except (NotServed, InvalidRequest, Draining) as refusal:
            await _refuse(sink, refusal, current)
            return None
        if not isinstance(news, Progress):
            return news
        await sink.send(news)


async def _refuse(sink: Sink, why: MeshError, current: Span) -> None:
    current.set_attribute("squadron.refused", why.code)
    await sink.send(Refused(code=why.code, message=why.message, retry_after_s=why.retry_after_s))
