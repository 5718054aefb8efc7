"""One specialist answers."""

from __future__ import annotations

from collections.abc import AsyncGenerator

from mesh.stream import StreamEvent
from orchestrator.answering.ask import Answer, Ask
from orchestrator.attempts.dispatch import Dispatch


def single(dispatch: Dispatch) -> Answer:
    def answer(ask: Ask) -> AsyncGenerator[StreamEvent, None]:
        return dispatch.generate(
            ask.request,
            ask.decision,
            substitutes=ask.known.substitutes,
            arrived=ask.arrived,
            deadline=ask.deadline,
            span=ask.span,
        )

    return answer
