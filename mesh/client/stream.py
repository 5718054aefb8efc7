"""One answer as it comes in: raw events, and text chunks over them."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Any

import grpc
from opentelemetry.trace import Span, SpanKind

from mesh import protobuf
from mesh.client import wire
from mesh.errors import MeshError, Unreachable
from mesh.stream import Assigned, Decided, Done, StreamEvent, Tokens
from mesh.telemetry import spans
from mesh.types import Decision, Request, RequestId

# gRPC's own deadline beyond the request's: the orchestrator ends it first, and says what happened.
DEADLINE_SLACK_S = 2.0
# For requests that leave their budget to the orchestrator; no call is without a deadline.
LONGEST_S = 24 * 3600.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Lane:
    """One orchestrator: where it is, and the channel to it."""

    endpoint: str
    channel: Any
    stub: Any


class Events(AsyncIterator[StreamEvent]):
    """The events of one answer. The call goes out when the first is asked for: to the first of
    ``lanes`` that can be reached, which ``chosen`` is told. Leaving or closing it cancels the rest.
    """

    def __init__(
        self, request: Request, lanes: Sequence[Lane], chosen: Callable[[Lane], None]
    ) -> None:
        self.request = request
        self._message = protobuf.request_to_wire(request)
        self._lanes = tuple(lanes)
        self._chosen = chosen
        self._lane = self._lanes[0]
        self._call: Any = None
        self._span: Span | None = None
        self._tokens = 0
        self._ended = False

    async def __anext__(self) -> StreamEvent:
        """Raises the ``MeshError`` that ended the answer, if one did."""
        if self._ended:
            raise StopAsyncIteration
        try:
            event = await (self._begin() if self._call is None else self._read())
        except asyncio.CancelledError:
            await self.aclose()
            raise
        except MeshError as error:
            self._end(error)
            raise
        if event is None:
            self._end(None)
            raise StopAsyncIteration
        if isinstance(event, Tokens):
            self._tokens += len(event.pieces)
        return event

    async def aclose(self) -> None:
        """Cancels what is open; idempotent. The node's slot is freed."""
        if self._call is not None and not self._ended:
            self._call.cancel()
        self._end(None)

    async def __aenter__(self) -> Events:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.aclose()

    async def _begin(self) -> StreamEvent | None:
        self._span = spans.start(
            "client.generate",
            kind=SpanKind.CLIENT,
            attributes={"gen_ai.operation.name": "chat", "squadron.request.id": self.request.id},
        )
        metadata = ((protobuf.TRACEPARENT, spans.traceparent_of(self._span) or _fresh_trace()),)
        timeout_s = self.request.timeout_s
        deadline_s = timeout_s + DEADLINE_SLACK_S if timeout_s is not None else LONGEST_S
        for lane in self._lanes:
            self._lane = lane
            self._call = lane.stub.Generate(self._message, timeout=deadline_s, metadata=metadata)
            try:
                event = await self._next()
            except grpc.aio.AioRpcError as error:
                if wire.never_arrived(error) and lane is not self._lanes[-1]:
                    continue
                if wire.never_arrived(error):
                    raise wire.no_orchestrator(tuple(x.endpoint for x in self._lanes)) from None
                raise wire.translated(error, lane.endpoint) from None
            self._chosen(lane)
            return event
        raise wire.no_orchestrator(())

    async def _read(self) -> StreamEvent | None:
        try:
            return await self._next()
        except grpc.aio.AioRpcError as error:
            failure = wire.translated(error, self._lane.endpoint)
            if isinstance(failure, Unreachable) and wire.never_arrived(error):
                failure = Unreachable(
                    f"the connection to {self._lane.endpoint} was lost after {self._tokens} "
                    "tokens; ask again"
                )
            raise failure from None

    async def _next(self) -> StreamEvent | None:
        while True:
            message: Any = await self._call.read()
            if message is grpc.aio.EOF:
                return None
            event = protobuf.event_from_wire(message)
            if event is not None:
                return event

    def _end(self, error: MeshError | None) -> None:
        if self._ended:
            return
        self._ended = True
        if self._span is not None:
            if error is not None:
                spans.failed(self._span, error)
            self._span.end()


@dataclass(frozen=True, slots=True, kw_only=True)
class Chunk:
    """Some text of the answer. ``index``: of its first token; ``ids``: of its tokens. ``text`` may
    be "" while a character is incomplete."""

    index: int
    text: str
    ids: tuple[int, ...]


class Generation(AsyncIterator[Chunk]):
    """One answer: iterate it, or ``await generation.text()``.

    ``decision`` and ``request_id`` are set with the first event, ``assigned`` when a node took the
    request (the newest one after a resume), ``done`` at the end; None before.
    """

    def __init__(self, events: Events) -> None:
        self._events = events
        self.request_id: RequestId = events.request.id
        self.decision: Decision | None = None
        self.assigned: Assigned | None = None
        self.done: Done | None = None

    async def __anext__(self) -> Chunk:
        """Raises the ``MeshError`` that ended the answer, if one did."""
        async for event in self._events:
            match event:
                case Tokens(first=first, pieces=pieces):
                    return Chunk(
                        index=first,
                        text="".join(piece.text for piece in pieces),
                        ids=tuple(piece.id for piece in pieces),
                    )
                case Decided(decision=decision):
                    self.decision = decision
                case Assigned():
                    self.assigned = event
                case Done():
                    self.done = event
        raise StopAsyncIteration

    async def text(self) -> str:
        """What is still to come, joined. Raises as ``__anext__`` does."""
        return "".join([chunk.text async for chunk in self])

    async def aclose(self) -> None:
        """Cancels what is open; idempotent."""
        await self._events.aclose()

    async def __aenter__(self) -> Generation:
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self.aclose()


def _fresh_trace() -> str:
    """A trace of its own where the client's process has no tracing: the mesh's spans are one trace
    in any case, and ``Done.trace_id`` names it."""
    return f"00-{secrets.token_hex(16)}-{secrets.token_hex(8)}-01"
