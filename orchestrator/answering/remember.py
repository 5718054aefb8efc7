"""Earlier answers: one that is known streams at once, a new one is kept for the next who asks."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import aclosing

from mesh.clock import Clock
from mesh.stream import Decided, Done, StreamEvent
from orchestrator.answering.ask import Answer, Ask
from orchestrator.picture.affinity import Affinity
from orchestrator.router import ready
from orchestrator.router.base import Recording


def remembered(inner: Answer) -> Answer:
    """Keeps whole answers, where the cascade has a stage for it and says that they may be kept."""

    def answer(ask: Ask) -> AsyncGenerator[StreamEvent, None]:
        recording = _recording(ask)
        return inner(ask) if recording is None else _recorded(inner(ask), recording)

    return answer


def recalled(inner: Answer, *, affinity: Affinity, clock: Clock, name: str) -> Answer:
    """Streams the answer that the router has, and asks nobody. ``name``: this orchestrator's."""

    def answer(ask: Ask) -> AsyncGenerator[StreamEvent, None]:
        known = ask.known.outcome.answer
        return inner(ask) if known is None else _given(ask, known)

    async def _given(ask: Ask, known: ready.ReadyAnswer) -> AsyncGenerator[StreamEvent, None]:
        ask.span.set_attribute("squadron.source", known.source)
        for event in ready.events(known, name, clock.now() - ask.arrived, ask.span):
            yield event
        # What the conversation's node has of it is still the most that anyone has.
        said = "".join(piece.text for piece in known.pieces)
        affinity.keep(ask.request.tenant, ask.request.messages, said, None)

    return answer


async def _recorded(
    events: AsyncGenerator[StreamEvent, None], recording: Recording
) -> AsyncGenerator[StreamEvent, None]:
    async with aclosing(events):
        async for event in events:
            recording.take(event)
            if isinstance(event, Done):  # before whoever listens goes away
                await recording.keep()
            yield event


def _recording(ask: Ask) -> Recording | None:
    routed = ask.known
    if routed.outcome.answer is not None or ask.request.continuation is not None:  # half an answer
        return None
    if routed.outcome.passing:  # a moment later the exact tools may have it, or another specialist
        return None
    recording = routed.cascade.recording(routed.features)
    if recording is not None:
        recording.take(Decided(request_id=ask.request.id, decision=ask.decision))
    return recording
