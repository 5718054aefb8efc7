"""Whether this may be asked at all: today what it says; who says it comes with principals."""

from __future__ import annotations

from collections.abc import AsyncGenerator

from mesh.stream import StreamEvent
from mesh.types import Request
from mesh.validation import check_continuation, check_request
from orchestrator.answering.ask import Answer, Ask


def authorised(inner: Answer, *, max_request_bytes: int) -> Answer:
    """``max_request_bytes``: of a request's messages. Raises ``InvalidRequest``."""

    def answer(ask: Ask) -> AsyncGenerator[StreamEvent, None]:
        check(ask.request, max_request_bytes)
        return inner(ask)

    return answer


def check(request: Request, max_request_bytes: int) -> None:
    """Raises ``InvalidRequest``."""
    check_request(
        request.messages,
        request.sampling,
        max_bytes=max_request_bytes,
        timeout_s=request.timeout_s,
    )
    if request.continuation is not None:
        check_continuation(request.continuation, request.sampling, max_bytes=max_request_bytes)
