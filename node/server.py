"""Serves attempts that reach this node: admit or refuse at once, then pass pieces under credit."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable, Sequence

from opentelemetry.trace import Span, SpanKind
from opentelemetry.util.types import AttributeValue

from mesh.clock import Clock
from mesh.errors import (
    DeadlineExceeded,
    Draining,
    InternalError,
    InvalidRequest,
    MeshError,
    NotServed,
    UnknownModel,
)
from mesh.records import ModelState
from mesh.telemetry.tracing import current_traceparent, span
from mesh.transport.base import (
    Accepted,
    Attempt,
    Finished,
    Progress,
    Refused,
    Sink,
    Tokens,
)
from mesh.types import ModelId, NodeId
from mesh.validation import check_request
from node.models import HostedModel, RunningSequence
from node.record import DRAINING_REASON
from node.runner.messages import Done, Opened, Pieces, Prefill, Rejected

# Pieces that a runner may be ahead of its agent: what a client that goes away has had made in vain,
# on top of the link's window. One step of the engine makes one piece, so it need not be large.
RUNNER_CREDIT = 64
_SMOOTHING = 0.2  # weight of the newest attempt in the mean duration


class AttemptServer:
    """The listener's handler. ``on_change`` is called when an attempt begins or ends.

    A refusal is sent as ``Refused``; what breaks after that is raised, and the listener sends it as
    ``Failed`` of that code.
    """

    def __init__(
        self,
        node: NodeId,
        models: Sequence[HostedModel],
        *,
        clock: Clock,
        on_change: Callable[[], None],
    ) -> None:
        self._node = node
        self._models: dict[ModelId, HostedModel] = {model.id: model for model in models}
        self._clock = clock
        self._on_change = on_change
        self._scopes: set[asyncio.Timeout] = set()
        self._idle = asyncio.Event()
        self._idle.set()
        self._ended = False
        self._mean_s = 0.0
        self.draining = False

    @property
    def in_flight(self) -> int:
        return len(self._scopes)

    async def idle(self) -> None:
        """Returns when no attempt is in flight."""
        await self._idle.wait()

    def end_all(self) -> None:
        """Ends what is in flight with ``Failed`` ``draining``, so that it resumes elsewhere now."""
        self.draining = self._ended = True
        now = asyncio.get_running_loop().time()
        for scope in self._scopes:
            if not scope.expired():
                scope.reschedule(now)

    def expected_wait_s(self) -> float:
        """Seconds until a slot is likely free: 0 with one free, else mean duration / slots."""
        resident = [m for m in self._models.values() if m.state is ModelState.RESIDENT]
        slots = sum(model.slots for model in resident)
        if not slots or any(model.used_slots < model.slots for model in resident):
            return 0.0
        return round(self._mean_s / slots, 3)

    async def handle(self, attempt: Attempt, sink: Sink) -> None:
        """Raises ``DeadlineExceeded``, ``Draining``, ``EngineFailed``; re-raises cancellation."""
        attributes: dict[str, AttributeValue] = {
            "gen_ai.operation.name": "chat",
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
                sequence = self._open(attempt)
            except (NotServed, InvalidRequest, Draining) as refusal:
                current.set_attribute("squadron.refused", refusal.code)
                await sink.send(_refused(refusal))
                return
            await self._serve(attempt, sink, sequence, current)

    def _open(self, attempt: Attempt) -> RunningSequence:
        """Checks what came off the wire, then claims a slot, in one go: nothing runs between."""
        if self.draining:
            raise Draining(DRAINING_REASON)
        model = self._models.get(attempt.model)
        if model is None:
            hosted = ", ".join(self._models)
            raise UnknownModel(f"this node does not host '{attempt.model}'; it hosts {hosted}")
        if not (math.isfinite(attempt.timeout_s) and attempt.timeout_s > 0):
            raise InvalidRequest(f"timeout_s must be positive seconds, not {attempt.timeout_s}")
        if attempt.credit < 1:
            raise InvalidRequest(f"credit must be at least 1, not {attempt.credit}")
        check_request(attempt.messages, attempt.sampling)
        return model.open(
            messages=attempt.messages,
            sampling=attempt.sampling,
            credit=min(attempt.credit, RUNNER_CREDIT),
            delivered=attempt.delivered,
            tokenizer_hash=attempt.tokenizer_hash,
            traceparent=current_traceparent(),
        )

    async def _serve(
        self, attempt: Attempt, sink: Sink, sequence: RunningSequence, current: Span
    ) -> None:
        begun = self._clock.now()
        scope = asyncio.timeout(attempt.timeout_s)
        self._scopes.add(scope)
        self._idle.clear()
        self._on_change()
        try:
            async with scope:
                await self._forward(attempt, sink, sequence, current)
        except TimeoutError:
            if not scope.expired():
                raise
            if self._ended:
                raise Draining("the node is going away and ended this attempt") from None
            raise DeadlineExceeded(
                f"the attempt's {attempt.timeout_s:.3g} s were used up on the node"
            ) from None
        finally:
            sequence.cancel()
            self._scopes.discard(scope)
            if not self._scopes:
                self._idle.set()
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
                case Rejected(code=code, message=text):
                    current.set_attribute("squadron.refused", code)
                    await sink.send(Refused(code=code, message=text))
                    return
                case Prefill(done=done, total=total):
                    await sink.send(Progress(phase="prefilling", done=done, total=total))
                case Pieces(first=first, pieces=pieces):
                    await sink.send(Tokens(first=first, pieces=pieces))
                    # Only now: what a slow client holds up is its own sequence in the runner.
                    sequence.grant(len(pieces))
                case Done(reason=reason, usage=usage):
                    current.set_attribute("gen_ai.response.finish_reasons", (reason.value,))
                    current.set_attribute("gen_ai.usage.input_tokens", usage.prompt_tokens)
                    current.set_attribute("gen_ai.usage.output_tokens", usage.completion_tokens)
                    await sink.send(Finished(reason=reason, usage=usage))
                    return
        raise InternalError("the runner's sequence ended without a word")


def _refused(refusal: MeshError) -> Refused:
    return Refused(code=refusal.code, message=refusal.message, retry_after_s=refusal.retry_after_s)
