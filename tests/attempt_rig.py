"""An orchestrator's attempts alone: nodes whose streams are fed by the test, and moved time.

The queue, dispatch, the watch and the embedder are the real ones; fleet and placement are fakes
that count who was given what. Nodes are asked in the order in which the test names them.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from opentelemetry.trace import INVALID_SPAN, Span

from mesh.clock import ManualClock
from mesh.embedding import EMBEDDING, Embeddings, EmbedRequest
from mesh.errors import MeshError
from mesh.stream import Assigned, Done, StreamEvent
from mesh.transport.base import (
    Tokens,
)
from mesh.types import (
    Decision,
    Message,
    ModelId,
    Piece,
    Request,
    RequestId,
    Role,
    Sampling,
)
from orchestrator.attempts.dispatch import Dispatch
from orchestrator.attempts.embed import Embedder
from orchestrator.attempts.hedge import HedgePolicy
from orchestrator.slots.queue import Admission
from tests.attempt_fakes import MATH, NOBODY, TIMEOUT_S, TOY, FakeFleet, FakeNode, FakeStream, word

__all__ = [
    "MATH",
    "NOBODY",
    "TOY",
    "FakeNode",
    "FakeStream",
    "Reading",
    "Rig",
    "embedding_node",
    "request",
    "rig",
    "word",
]


@dataclass(slots=True, eq=False)
class Reading:
    """A client that reads. ``reads`` cleared: it stays away."""

    events: list[StreamEvent] = field(default_factory=list)
    error: MeshError | None = None
    reads: asyncio.Event = field(default_factory=asyncio.Event)
    task: asyncio.Task[None] | None = None

    @property
    def pieces(self) -> list[Piece]:
        """Delivered so far, having checked that there is no gap and nothing twice."""
        found: list[Piece] = []
        for event in self.events:
            if isinstance(event, Tokens):
                assert event.first == len(found), f"{event.first} came after {len(found)} pieces"
                found += event.pieces
        return found

    @property
    def assigned(self) -> list[str]:
        return [event.node_name for event in self.events if isinstance(event, Assigned)]

    @property
    def done(self) -> Done:
        assert self.error is None, f"it ended in {self.error!r}"
        assert self.events, "nothing came"
        last = self.events[-1]
        assert isinstance(last, Done), f"it ended with {last!r}"
        return last

    @property
    def over(self) -> bool:
        return self.task is not None and self.task.done()

    async def cancel(self) -> None:
        assert self.task is not None
        self.task.cancel()
        await asyncio.wait([self.task])


class Rig:
    """Use as ``async with rig(FakeNode("a"), ...) as here``."""

    def __init__(
        self,
        nodes: list[FakeNode],
        group: asyncio.TaskGroup,
        *,
        max_attempts: int = 3,
        queue_limit: int = 8,
        hedging: HedgePolicy | None = None,
    ) -> None:
        self.clock = ManualClock()
        self.fleet = FakeFleet(nodes)
        fleet: Any = self.fleet
        self.admission = Admission(fleet, self.fleet.take, self.clock, limit=queue_limit)
        self.dispatch = Dispatch(
            fleet, self.admission, self.clock, max_attempts=max_attempts, hedging=hedging
        )
        self.embedder = Embedder(
            fleet,
            self.dispatch.failover,
            self.clock,
            default_timeout_s=TIMEOUT_S,
            max_request_bytes=10_000,
        )
        self.tasks: list[asyncio.Task[Any]] = []
        self._group = group

    def start(self, work: Coroutine[Any, Any, Any]) -> asyncio.Task[Any]:
        self.tasks.append(self._group.create_task(work))
        return self.tasks[-1]

    def ask(
        self, *, timeout_s: float = TIMEOUT_S, span: Span = INVALID_SPAN, **given: Any
    ) -> Reading:
        """Starts to read an answer."""
        found = Reading()
        found.reads.set()
        found.task = self.start(self._read(found, request(**given), timeout_s, span))
        return found

    def embed(
        self,
        *texts: str,
        granted_s: float | None = None,
        traceparent: str = "",
        **given: Any,
    ) -> asyncio.Task[Embeddings | MeshError]:
        asked = EmbedRequest(id=RequestId(f"{1:032x}"), texts=texts or ("a", "bb"), **given)
        return self.start(
            _or_error(self.embedder.embed(asked, granted_s=granted_s, traceparent=traceparent))
        )

    async def settle(self) -> None:
        await self.clock.settle()

    async def advance(self, seconds: float) -> None:
        await self.clock.advance(seconds)

    async def advance_until(self, holds: Callable[[], bool], limit_s: float) -> float:
        """Moves time in small steps until it holds; how long that took, in seconds."""
        begun = self.clock.now()
        while not holds():
            assert self.clock.now() - begun <= limit_s, f"not within {limit_s} s of moved time"
            await self.clock.advance(0.05)
        return self.clock.now() - begun

    async def over(self, asked: Reading) -> None:
        """A wait for a slot ends by the loop's own clock: its deadline is ``asyncio.timeout``."""
        assert asked.task is not None
        async with asyncio.timeout(10.0):
            await asyncio.wait([asked.task])

    def back(self, node: FakeNode) -> None:
        """It is eligible again."""
        node.aside = node.down = False
        self.fleet.change()

    @property
    def held(self) -> dict[str, int]:
        return {node.name: node.held for node in self.fleet.nodes if node.held}

    @property
    def open(self) -> list[str]:
        """Names of the nodes whose streams are neither ended nor cancelled, one a stream."""
        return [
            node.name for node in self.fleet.nodes for stream in node.streams if not stream.over
        ]

    async def _read(self, found: Reading, asked: Request, timeout_s: float, span: Span) -> None:
        now = self.clock.now()
        events = self.dispatch.generate(
            asked,
            Decision(specialty=MATH, stage="rules", rule=None, confidence=1.0),
            substitutes=(),
            arrived=now,
            deadline=now + timeout_s,
            span=span,
        )
        try:
            async for event in events:
                found.events.append(event)
                await found.reads.wait()
        except MeshError as error:
            found.error = error
        finally:
            await events.aclose()


def request(**given: Any) -> Request:
    fields: dict[str, Any] = {
        "id": RequestId(f"{1:032x}"),
        "messages": (Message.of(Role.USER, "what is 1 + 1?"),),
        "sampling": Sampling(max_tokens=1000),
    }
    return Request(**(fields | given))


def embedding_node(name: str, **given: Any) -> FakeNode:
    return FakeNode(name, specialties=(EMBEDDING,), model=ModelId("mini"), **given)


@asynccontextmanager
async def rig(*nodes: FakeNode, **given: Any) -> AsyncIterator[Rig]:
    """With its loops running; in the end they and whoever still reads are cancelled."""
    async with asyncio.TaskGroup() as group:
        here = Rig(list(nodes), group, **given)
        here.start(here.admission.run())
        here.start(here.dispatch.run())
        try:
            yield here
        finally:
            for task in here.tasks:
                task.cancel()


async def _or_error(work: Any) -> Any:
    try:
        return await work
    except MeshError as error:
        return error
