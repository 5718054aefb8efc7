"""One answer as it comes in: raw events, and text chunks over them."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from copy import copy
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Protocol

import grpc
from opentelemetry.trace import Span, SpanKind

from mesh.client import wire
from mesh.client.begun import Begun
from mesh.client.contacts import Contact, Contacts
from mesh.client.sending import ACKNOWLEDGE_S, MESH, Reading, answered
from mesh.client.silence import SILENCE_S, Reach, gone_silent, heard, reach, watched
from mesh.clock import Clock, SystemClock
from mesh.errors import Cancelled, InternalError, MeshError, NotServed, Unreachable
from mesh.protobuf.events import event_from_wire
from mesh.protobuf.metadata import TRACEPARENT
from mesh.protobuf.request import request_to_wire
from mesh.stream import Assigned, Decided, Done, StreamEvent, Tokens
from mesh.telemetry import spans
from mesh.types import Decision, Request, RequestId

# How long a lost orchestrator's answer looks for another one to go on, or for itself to come back:
# a supervised one is up again within two or three seconds.
FAILOVER_S = 5.0
FAILOVER_PAUSE_S = 0.1
# As long for one that is stopped or cut off, where the request names no budget of its own.
STOPPED_S = 60.0


class EventStream(Protocol):
    """The events of one answer, wherever they come from: iterate it. Iterating raises the
    ``MeshError`` that ended the answer, if one did; the last event of a good one is ``Done``."""

    @property
    def request(self) -> Request:
        """What was asked, as it was understood."""
        ...

    def __aiter__(self) -> AsyncIterator[StreamEvent]: ...

    async def __anext__(self) -> StreamEvent: ...

    async def aclose(self) -> None:
        """Cancels what is open; idempotent. The node's slot is freed."""

    async def __aenter__(self) -> EventStream: ...

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None: ...


class Events(AsyncIterator[StreamEvent]):
    """The events of one answer. The call goes out when the first is asked for: to the first of
    ``contacts`` that can be reached. Leaving or closing it cancels the rest.

    An orchestrator that is lost in mid-answer is replaced by another of ``contacts``, or by itself
    when it comes back, and the answer goes on after the tokens that came. ``traceparent``: of the
    trace that it is part of, "" for the task's current one.
    """

    def __init__(
        self,
        request: Request,
        contacts: Contacts,
        *,
        clock: Clock | None = None,
        begun: Begun | None = None,
        traceparent: str = "",
    ) -> None:
        self._call: Any = None
        self._ended = False
        self._loop: asyncio.AbstractEventLoop | None = None
        self.request = request
        self._clock = clock or SystemClock()
        self._message = request_to_wire(request)
        self._contacts = contacts
        self._contact: Contact | None = None
        self._reading: Reading | None = None
        self._span: Span | None = None
        self._metadata: tuple[tuple[str, str], ...] = ()
        self._traceparent = traceparent
        self._begun = begun or Begun(request=request, started=self._clock.now())
        self._broken: set[Contact] = set()  # met a defect with this request, and would again
        self._stopped = False  # one of them is there, and silent
        self._fresh = True  # nothing of this call came yet
        self._complete = False
        self._cut: Cancelled | None = None  # what whoever reads on after that is told

    async def __anext__(self) -> StreamEvent:
        """Raises the ``MeshError`` that ended the answer, if one did."""
        while not self._ended:
            try:
                event = await (self._begin() if self._call is None else self._read())
                if event is None:
                    self._end(None)
                    break
                seen = self._begun.take(event, self._clock.now())
            except asyncio.CancelledError:
                self._drop()
                self._cut = cut(self.request.id)
                if was_cancelled():
                    raise
            except MeshError as error:
                if self._call is not None:
                    self._call.cancel()
                self._end(error)
                raise
            else:
                if seen is not None:
                    return seen
        if self._cut is not None:
            raise copy(self._cut)
        raise StopAsyncIteration

    async def aclose(self) -> None:
        """Cancels what is open; idempotent. The node's slot is freed."""
        self._drop()

    def __del__(self) -> None:
        """Dropped in mid-answer, by ``break`` out of the loop that read it: the slot is freed. In
        whatever thread; the call belongs to its loop's."""
        if self._ended or self._call is None or self._loop is None or self._loop.is_closed():
            return
        with contextlib.suppress(RuntimeError):  # it was closed meanwhile
            self._loop.call_soon_threadsafe(self._drop)

    def _drop(self) -> None:
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
            traceparent=self._traceparent,
            kind=SpanKind.CLIENT,
            attributes={"gen_ai.operation.name": "chat", "squadron.request.id": self.request.id},
        )
        parent = spans.traceparent_of(self._span) or self._traceparent or spans.fresh_trace()
        self._metadata = ((TRACEPARENT, parent),)
        for turn in self._contacts.in_turn(wire.never_arrived, broken=self._broken):
            with turn as contact:
                await self._connected(contact)
                self._send(contact, self._message, self.request.timeout_s)
                return await self._next()
        raise self._contacts.nobody()

    async def _read(self) -> StreamEvent | None:
        failure: MeshError
        try:
            if self._reading is not None:  # who comes back for more has taken what there was
                await self._taken(self._reading)
            return await self._next()
        except grpc.aio.AioRpcError as error:
            failure = wire.translated(error, self._endpoint)
            if wire.connection_lost(error):
                failure = Unreachable(f"the connection to {self._endpoint} was lost")
        except (Unreachable, InternalError) as error:  # its silence; an end without a last word
            failure = error
        match failure:
            case Unreachable():
                return await self._go_on(failure)
            case InternalError() if self._contact is not None:
                self._broken.add(self._contact)
                if self._contacts.others(*self._broken):
                    return await self._go_on(failure)
        raise failure

    async def _connected(self, contact: Contact) -> None:
        """Raises ``Unreachable`` for one that takes connections and says nothing, where there is
        another to ask."""
        if contact.channel.get_state() is grpc.ChannelConnectivity.READY:
            return
        if not self._contacts.others(contact):
            return
        if await reach(contact.channel, SILENCE_S) is Reach.SILENT:
            self._stopped = True
            raise gone_silent(contact.endpoint, SILENCE_S)

    async def _go_on(self, why: MeshError) -> StreamEvent | None:
        """The first event of the rest, from whichever orchestrator takes it. Raises ``Unreachable``
        when none does within ``FAILOVER_S``; one that is there and silent is waited for as long as
        the request may take."""
        came = self._begun.tokens
        lost = type(why)(f"{why.message} after {came} token{'' if came == 1 else 's'}")
        now, budget_s = self._clock.now(), self.request.timeout_s
        self._begun.broke(lost, now)
        until, last = now + FAILOVER_S, ""
        stopped_until = now + STOPPED_S if budget_s is None else self._begun.started + budget_s

        def again(error: Any) -> bool:
            nonlocal last
            if wire.connection_lost(error):
                return True
            failure = wire.translated(error, self._endpoint)
            if isinstance(failure, NotServed):  # it has just begun, or is full
                last = f"; {failure.message}"
            return isinstance(failure, NotServed)

        gone = self._contact
        while True:
            if not any(self._contacts):
                raise cut(self.request.id)
            await self._contacts.refresh()
            # The lost one last: it may be back, but the others are there.
            for turn in self._contacts.in_turn(again, last=gone, broken=self._broken):
                with turn as contact:
                    await self._connected(contact)
                    request = self._begun.rest(lost, self._clock.now())
                    self._send(contact, request_to_wire(request), request.timeout_s)
                    event = await self._next()
                    if event is not None:
                        return event
            if self._clock.now() >= (max(until, stopped_until) if self._stopped else until):
                raise Unreachable(f"{lost.message}, and no orchestrator took over{last}; ask again")
            await self._clock.sleep(FAILOVER_PAUSE_S)

    @property
    def _endpoint(self) -> str:
        return self._contact.endpoint if self._contact is not None else ""

    def _send(self, contact: Contact, message: Any, timeout_s: float | None) -> None:
        if self._ended:  # closed while somebody to send it to was looked for
            raise cut(self.request.id)
        self._contact, self._fresh = contact, True
        self._loop = asyncio.get_running_loop()
        reading = self._reading = Reading(contact.stub, self._clock)
        self._call = answered(
            contact.channel,
            contact.stub,
            MESH + "Generate",
            message,
            wire.call_timeout(timeout_s),
            (*self._metadata, *reading.metadata),
        )

    async def _next(self) -> StreamEvent | None:
        while True:
            message: Any = await self._message_of(self._call)
            if message is grpc.aio.EOF:
                if not self._complete:
                    raise InternalError(f"{self._endpoint} ended its stream without a last word")
                return None
            if self._fresh and self._contact is not None:
                self._fresh = False
                self._contacts.beats(self._contact, every_ms=message.heartbeat_ms)
            event = event_from_wire(message)
            if event is not None:
                self._complete = isinstance(event, Done)
                return event

    @property
    def _minded(self) -> bool:
        """Whether silence is a loss: it means something, and another may be asked for the rest."""
        if self._contact is None or not self._begun.movable:
            return False
        return self._contacts.minded(self._contact)

    async def _taken(self, reading: Reading) -> None:
        """Says how far this reader is. One that is stopped and alone is not told now, but later."""
        minded = self._minded
        try:
            await reading.taken(self._begun.tokens, SILENCE_S if minded else ACKNOWLEDGE_S)
        except grpc.aio.AioRpcError as error:
            if error.code() is not grpc.StatusCode.DEADLINE_EXCEEDED:
                raise
            if minded:
                self._stopped = True
                self._call.cancel()
                raise gone_silent(self._endpoint, SILENCE_S) from None

    async def _message_of(self, call: Any) -> Any:
        """The next one. Raises ``Unreachable`` when who sends them has gone silent."""
        contact = self._contact
        if contact is None or not self._begun.movable or not self._contacts.others(contact):
            return await call.read()
        try:
            if self._contacts.minded(contact):
                return await heard(call, contact.endpoint)
            if self._fresh:  # whether it beats, its first event says
                return await watched(call.read(), contact.channel, contact.endpoint)
            return await call.read()
        except Unreachable:
            self._stopped = True
            raise

    def _end(self, error: MeshError | None) -> None:
        if self._ended:
            return
        self._ended = True
        if self._span is not None:
            if error is not None:
                spans.failed(self._span, error)
            if self._begun.resumes:
                self._span.set_attribute("squadron.resumes", len(self._begun.resumes))
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

    ``request_id`` is there at once, ``decision`` with the first event, ``assigned`` when a node
    took the request (the newest one after a resume), ``done`` at the end; None before.

    Iterating raises the ``MeshError`` that ended the answer, if one did; what came before it is
    an exact prefix of the answer.
    """

    def __init__(self, events: EventStream) -> None:
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
        """What is still to come, joined. Raises the ``MeshError`` that ended the answer."""
        return "".join([chunk.text async for chunk in self])

    async def aclose(self) -> None:
        """Cancels what is open; idempotent."""
        await self._events.aclose()

    async def __aenter__(self) -> Generation:
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self.aclose()


def was_cancelled() -> bool:
    """Whether a ``CancelledError`` is for the task that met it. gRPC raises one, too, in whoever
    reads a call that another task has closed; passed on, it would end that task without a word."""
    task = asyncio.current_task()
    return task is None or task.cancelling() > 0


def cut(request_id: RequestId) -> Cancelled:
    """For who reads an answer that was closed, or cut by a read that was cancelled: what came of it
    is not the whole."""
    return Cancelled(
        "the answer was closed, or its reading was cancelled, before it was complete",
        request_id=request_id,
    )
