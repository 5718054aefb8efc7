"""Streaming straight from nodes: tickets, the channels they are used on, and the way back.

A prompt asks an orchestrator for its route and a ticket, and the node for the answer. The ticket
serves later prompts of the same conversation (or of the same named specialty or model) for as long
as it holds, with no orchestrator involved. Whatever goes wrong with a node, the answer goes on
through an orchestrator, after exactly the pieces that were delivered.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from contextlib import aclosing, asynccontextmanager
from copy import copy
from dataclasses import dataclass, field
from typing import Any

import grpc
from opentelemetry.trace import SpanKind

from mesh.channel import Keepalive, open_channel
from mesh.client import wire
from mesh.client.begun import Begun
from mesh.client.sending import DIRECT, Reading, answered
from mesh.client.silence import SILENCE_S, Reach, gone_silent, heard, reach
from mesh.client.stream import EventStream, cut, was_cancelled
from mesh.clock import Clock, SystemClock
from mesh.errors import (
    Cancelled,
    ContextOverflow,
    DeadlineExceeded,
    InvalidRequest,
    MeshError,
    NodeLost,
    Overloaded,
    Quarantined,
    Unreachable,
)
from mesh.manners import mannered
from mesh.protobuf.direct import direct_to_wire, grant_from_wire
from mesh.protobuf.events import decision_from_wire, event_from_wire
from mesh.protobuf.metadata import TRACEPARENT
from mesh.protobuf.route import route_request_to_wire
from mesh.stream import Decided, Done, Grant, StreamEvent
from mesh.telemetry import spans
from mesh.types import Decision, Request
from mesh.v1 import mesh_pb2_grpc

MAX_TICKETS = 64  # kept; the oldest is dropped, and asked for again
MAX_CHANNELS = 16  # to nodes; with all in use, further prompts go through an orchestrator
EARLY_S = 1.0  # a ticket in its last second is not used: the prompt travels, too
CONNECT_S = 2.0
# A node that was stopped or cut off keeps its connection open; its pings stay without an answer.
PINGS = Keepalive(every_ms=500, timeout_ms=1_000, unbidden=True)

Key = tuple[str, str | None, str | None]
Call = Callable[[str, Any], Awaitable[Any]]


Through = Callable[[Request, Begun, str], EventStream]


@dataclass(slots=True, eq=False)
class Held:
    """A ticket of this client's. ``until``: monotonic seconds. ``streams``: open on it now."""

    grant: Grant
    decision: Decision
    until: float
    streams: int = 0

    def good_for(self, request: Request, now: float) -> bool:
        return (
            now < self.until
            and self.streams < self.grant.max_streams
            and (request.sampling.max_tokens or 0) <= self.grant.max_tokens
        )


@dataclass(slots=True, eq=False)
class _Line:
    channel: Any
    stub: Any
    streams: int = 0


@dataclass(slots=True)
class DirectRoutes:
    """One client's tickets and channels to nodes. ``call``: a unary method of an orchestrator.
    ``through``: an answer, or the rest of one, by way of an orchestrator, in that trace."""

    call: Call
    through: Through
    clock: Clock = field(default_factory=SystemClock)
    _tickets: OrderedDict[Key, Held] = field(default_factory=OrderedDict)
    _lines: OrderedDict[str, _Line] = field(default_factory=OrderedDict)

    def events(self, request: Request, conversation: str = "") -> DirectEvents:
        """The answer's events, which begin when the first is asked for."""
        return DirectEvents(self, request, conversation)

    async def ticket(self, request: Request, conversation: str) -> Held | None:
        """One that holds, or a fresh one; None when there is none to be had. Raises what the
        orchestrator's Route raises."""
        key = _key(request, conversation)
        now = self.clock.now()
        found = self._tickets.get(key) if key is not None else None
        if found is not None and found.good_for(request, now):
            return found
        message = route_request_to_wire(request)
        message.want_ticket = True
        message.conversation_id = conversation
        answer = await self.call("Route", message)
        grant = grant_from_wire(answer)
        if grant is None:
            return None
        held = Held(
            grant=grant,
            decision=decision_from_wire(answer.decision),
            until=now + grant.lifetime_s - EARLY_S,
        )
        if key is not None:
            self._tickets[key] = held
            self._tickets.move_to_end(key)
            if len(self._tickets) > MAX_TICKETS:
                self._tickets.popitem(last=False)
        return held if held.good_for(request, self.clock.now()) else None

    def drop(self, held: Held) -> None:
        """It did not serve: the next prompt asks for another."""
        for key in [key for key, each in self._tickets.items() if each is held]:
            del self._tickets[key]

    @asynccontextmanager
    async def line(self, held: Held) -> AsyncIterator[_Line]:
        """The channel to the ticket's node, in use while the context lasts. Raises ``Overloaded``
        when all ``MAX_CHANNELS`` are in use by others."""
        endpoint = held.grant.endpoint
        if endpoint not in self._lines and len(self._lines) >= MAX_CHANNELS:
            idle = next((name for name, line in self._lines.items() if not line.streams), None)
            if idle is None:
                raise Overloaded(f"all {MAX_CHANNELS} connections to nodes are in use")
            await self._lines.pop(idle).channel.close()
        line = self._lines.get(endpoint)
        if line is None:
            channel = open_channel(endpoint, keepalive=PINGS)
            make: Any = mesh_pb2_grpc.DirectStub  # generated, and without types
            line = self._lines[endpoint] = _Line(channel, make(channel))
        self._lines.move_to_end(endpoint)
        line.streams += 1
        held.streams += 1
        try:
            yield line
        finally:
            line.streams -= 1
            held.streams -= 1

    async def aclose(self) -> None:
        """Closes the channels; open answers end."""
        lines = list(self._lines.values())
        self._lines.clear()
        self._tickets.clear()
        for line in lines:
            await line.channel.close()


class DirectEvents(AsyncIterator[StreamEvent]):
    """As ``Events``, straight from a node where possible. ``Decided`` is the route's; when a node
    fails, another ``Assigned`` tells where the answer goes on.

    Dropped in mid-answer, it frees the slot: nothing else refers to the generator that reads, and
    its loop closes it.
    """

    def __init__(self, routes: DirectRoutes, request: Request, conversation: str) -> None:
        self.request = request
        self._answer = _Answer(routes, request, conversation)
        self._stream = self._answer.events()
        self._reading = False
        self._cut: Cancelled | None = None  # what whoever reads on after that is told

    async def __anext__(self) -> StreamEvent:
        """Raises the ``MeshError`` that ended the answer, if one did."""
        if self._cut is not None:
            raise copy(self._cut)
        self._reading = True
        try:
            return await anext(self._stream)
        except asyncio.CancelledError:
            self._cut = cut(self.request.id)
            if was_cancelled():
                raise
            raise copy(self._cut) from None
        finally:
            self._reading = False

    async def aclose(self) -> None:
        """Cancels what is open; idempotent. The node's slot is freed."""
        if not self._reading:
            await self._stream.aclose()
            return
        await self._answer.interrupt()

    async def __aenter__(self) -> DirectEvents:
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self.aclose()


class _Answer:
    """How one is had: from the ticket's node, and from an orchestrator what that did not give."""

    def __init__(self, routes: DirectRoutes, request: Request, conversation: str) -> None:
        self.request = request
        self._routes = routes
        self._conversation = conversation
        self._clock = routes.clock
        self._begun = Begun(request=request, started=routes.clock.now())
        self._call: Any = None
        self._rest: EventStream | None = None

    async def interrupt(self) -> None:
        """Another task waits for the next event: what it waits for ends."""
        if self._call is not None:
            self._call.cancel()
        if self._rest is not None:
            await self._rest.aclose()

    async def events(self) -> AsyncGenerator[StreamEvent, None]:
        self._begun.started = self._clock.now()
        with spans.detached(
            "client.generate",
            kind=SpanKind.CLIENT,
            attributes={
                "gen_ai.operation.name": "chat",
                "squadron.request.id": self.request.id,
                "squadron.direct": True,
            },
        ) as span:
            trace = spans.traceparent_of(span) or spans.fresh_trace()
            held = await self._ticket()
            failure: MeshError | None = None
            if held is not None:
                span.set_attribute("squadron.node.id", held.grant.node)
                try:
                    async with aclosing(self._direct(held, trace)) as events:
                        async for event in events:
                            yield event
                    return
                except MeshError as error:
                    # One node's word: an orchestrator asks another before it believes it.
                    if isinstance(error, DeadlineExceeded) and not self._time_is_left():
                        raise
                    failure = error
                self._routes.drop(held)
                span.set_attribute("squadron.fallback", failure.code)
                self._begun.broke(failure, self._clock.now())
            rest = self.request
            if failure is not None:
                rest = self._begun.rest(failure, self._clock.now())
            self._rest = self._routes.through(rest, self._begun, trace)
            try:
                async for event in self._rest:
                    yield event
            finally:
                await self._rest.aclose()

    def _time_is_left(self) -> bool:
        timeout_s = self.request.timeout_s
        return (
            timeout_s is not None and self._clock.now() - self._begun.started < timeout_s - EARLY_S
        )

    async def _ticket(self) -> Held | None:
        """None also when nobody could be asked: the way through an orchestrator has more patience,
        and words what is wrong. Raises what would end alike there."""
        try:
            return await self._routes.ticket(self.request, self._conversation)
        except MeshError as error:
            if _final(error):
                raise
            return None

    async def _direct(self, held: Held, trace: str) -> AsyncGenerator[StreamEvent, None]:
        """The answer from the ticket's node. Raises the ``MeshError`` that ended it early."""
        async with self._routes.line(held) as line:
            decided = Decided(request_id=self.request.id, decision=held.decision)
            if (seen := self._begun.take(decided, self._clock.now())) is not None:
                yield seen
            name, endpoint = held.grant.node_name, held.grant.endpoint
            ready = line.channel.get_state() is grpc.ChannelConnectivity.READY
            if not ready and await reach(line.channel, CONNECT_S) is not Reach.THERE:
                raise NodeLost(f"{name} does not answer at {endpoint}")
            timeout_s = self.request.timeout_s
            reading, beats = Reading(line.stub, self._clock), False
            call = self._call = answered(
                line.channel,
                line.stub,
                DIRECT + "Generate",
                direct_to_wire(held.grant.token, mannered(self.request, held.decision)),
                wire.call_timeout(timeout_s),
                ((TRACEPARENT, trace), *reading.metadata),
            )
            try:
                while True:
                    message: Any = await self._message(call, reading, name, beats)
                    if message is grpc.aio.EOF:
                        raise NodeLost(f"{name} ended its stream without a last word")
                    beats = beats or message.heartbeat_ms > 0
                    event = event_from_wire(message)
                    if event is None:
                        continue
                    seen = self._begun.take(event, self._clock.now())
                    if seen is not None:
                        yield seen
                    if isinstance(event, Done):
                        return
            except grpc.aio.AioRpcError as error:
                if wire.connection_lost(error):
                    raise NodeLost(f"the connection to {name} at {endpoint} was lost") from None
                raise wire.translated(error, endpoint) from None
            finally:
                call.cancel()

    async def _message(self, call: Any, reading: Reading, name: str, beats: bool) -> Any:
        """The call's next one. ``beats``: the node's silence means something. Raises what the call
        raises, and ``NodeLost`` when it has gone silent and the rest may be had elsewhere."""
        if not beats or not self._begun.movable:
            await reading.taken(self._begun.tokens)
            return await call.read()
        try:
            await reading.taken(self._begun.tokens, SILENCE_S)
            return await heard(call, name)
        except Unreachable as error:
            raise NodeLost(error.message) from None
        except grpc.aio.AioRpcError as error:
            if call.done() or error.code() is not grpc.StatusCode.DEADLINE_EXCEEDED:
                raise  # the answer's own
            raise NodeLost(gone_silent(name, SILENCE_S).message) from None


def _final(error: MeshError) -> bool:
    """Whether it would end alike anywhere. A context that is too short may be longer elsewhere."""
    if isinstance(error, ContextOverflow):
        return False
    return isinstance(error, InvalidRequest | DeadlineExceeded | Quarantined)


def _key(request: Request, conversation: str) -> Key | None:
    """What else a ticket for this request is good for; None: only this, since the next prompt may
    be decided otherwise."""
    if not conversation and request.specialty is None and request.model is None:
        return None
    return conversation, request.specialty, request.model
