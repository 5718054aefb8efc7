"""What engines were lost under is refused, at every orchestrator and before any work for it."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import aclosing

from mesh.quarantine.marks import marks_of
from mesh.quarantine.quarantine import Quarantine
from mesh.stream import StreamEvent
from orchestrator.answering.ask import Answer, Ask


def quarantined(inner: Answer, quarantine: Quarantine) -> Answer:
    """Raises ``Quarantined``."""

    async def answer(ask: Ask) -> AsyncGenerator[StreamEvent, None]:
        request = ask.request
        quarantine.check(lambda: marks_of(request.messages, request.sampling))
        async with aclosing(inner(ask)) as events:
            async for event in events:
                yield event

    return answer
