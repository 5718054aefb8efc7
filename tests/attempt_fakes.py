"""Nodes, streams and a fleet that do what a test says, and count who was given what."""

from __future__ import annotations

import asyncio
from collections import deque
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import Any

from mesh.errors import NodeLost
from mesh.fleet.outlook import Absent, Busy, Missing
from mesh.fleet.placement import rank
from mesh.fleet.records import FleetView, ModelRecord, ModelState, NodeRecord, NodeState, NodeView
from mesh.fleet.work import Work
from mesh.transport.base import (
    Accepted,
    Attempt,
    AttemptEvent,
    Failed,
    Finished,
    Progress,
    Refused,
    Tokens,
    Vectors,
)
from mesh.types import (
    Candidate,
    FinishReason,
    ModelId,
    NodeId,
    Piece,
    Specialty,
    Usage,
)
from orchestrator.slots.capacity import Reservation

MATH = Specialty("math")
TOY = ModelId("toy")
TIMEOUT_S = 1000.0
NOBODY = "no node is known yet; start one with `mesh node` or `mesh up`"


def word(index: int) -> Piece:
    """Piece ``index`` of the one answer that every node gives."""
    return Piece(id=index, text=f"w{index} ")


class FakeStream:
    """An ``AttemptStream`` that keeps the transport's guarantees. ``credit``: pieces that the node
    may still send; ``sent``: of this attempt."""

    def __init__(self, node: FakeNode, attempt: Attempt) -> None:
        self.node = node
        self.attempt = attempt
        self.credit = attempt.credit
        self.next = len(attempt.delivered)
        self.sent = 0
        self.over = False
        self.cancelled = False
        self._lost: NodeLost | None = None
        self._events: deque[AttemptEvent] = deque()
        self._wake = asyncio.Event()

    # What the node does.

    def accept(self) -> None:
        self.feed(Accepted(node=self.node.id, model=self.attempt.model))

    def prefill(self, done: int, phase: str = "prefilling") -> None:
        self.feed(Progress(phase=phase, done=done, total=1_000_000))

    def tokens(self, count: int = 1, *, first: int | None = None) -> None:
        first = self.next if first is None else first
        pieces = tuple(word(index) for index in range(first, first + count))
        self.credit -= count
        self.sent += count
        self.next = first + count
        self.feed(Tokens(first=first, pieces=pieces))

    def vectors(self, data: bytes, dimension: int, *, first: int | None = None) -> None:
        first = self.next if first is None else first
        self.next = first + len(data) // (4 * dimension)
        self.feed(Vectors(first=first, dimension=dimension, data=data))

    def finish(self, reason: FinishReason = FinishReason.STOP, made: int | None = None) -> None:
        """``made``: tokens that it says it made, None for as many as it sent."""
        count = self.sent if made is None else made
        usage = Usage(prompt_tokens=7, completion_tokens=count, cached_tokens=3)
        self.end(Finished(reason=reason, usage=usage))

    def refuse(self, code: str = "overloaded", retry_after_s: float | None = None) -> None:
        self.end(Refused(code=code, message=f"says {code}", retry_after_s=retry_after_s))

    def fail(self, code: str = "engine_failed") -> None:
        self.end(Failed(code=code, message=f"broke: {code}"))

    def lose(self) -> None:
        """The link broke; what arrived is still read."""
        self._lost = NodeLost("the link broke", node_id=self.node.id)
        self.over = True
        self._wake.set()

    def end(self, event: AttemptEvent) -> None:
        self.feed(event)
        self.over = True

    def stop(self) -> None:
        """It ends without a last word."""
        self.over = True
        self._wake.set()

    def feed(self, event: AttemptEvent) -> None:
        if not self.over:
            self._events.append(event)
            self._wake.set()

    # What the orchestrator does.

    def __aiter__(self) -> FakeStream:
        return self

    async def __anext__(self) -> AttemptEvent:
        while not self._events:
            if self._lost is not None and not self.cancelled:
                raise self._lost
            if self.over:
                raise StopAsyncIteration
            self._wake.clear()
            await self._wake.wait()
        return self._events.popleft()

    def grant(self, pieces: int) -> None:
        self.credit += pieces

    def cancel(self) -> None:
        self._events.clear()
        self.cancelled = self.cancelled or not self.over
        self.over = True
        self._wake.set()

    async def __aenter__(self) -> FakeStream:
        return self

    async def __aexit__(self, *exc: object) -> None:
        self.cancel()


@dataclass(slots=True, eq=False)
class FakeNode:
    """``down``: its link; ``aside``: failed, and not pardoned."""

    name: str
    slots: int = 1
    model: ModelId = TOY
    specialties: tuple[Specialty, ...] = (MATH,)
    tokenizer: str = "tok"
    context_length: int = 4096
    error: str | None = None
    down: bool = False
    aside: bool = False
    held: int = 0
    streams: list[FakeStream] = field(default_factory=list)

    @property
    def id(self) -> NodeId:
        return NodeId(f"node-{self.name}")

    @property
    def stream(self) -> FakeStream:
        """The newest one."""
        return self.streams[-1]

    @property
    def record(self) -> ModelRecord:
        return ModelRecord(
            id=self.model,
            engine="fake",
            specialties=self.specialties,
            state=ModelState.RESIDENT,
            slots=self.slots,
            used_slots=0,
            context_length=self.context_length,
            device="cpu",
            tokenizer_hash=self.tokenizer,
            error=self.error,
        )


class FakeFleet:
    """Fleet and placement at once. ``said``: what dispatch told it, in order."""

    def __init__(self, nodes: list[FakeNode]) -> None:
        self.nodes = nodes
        self.version = 0
        self.registry_connected = True
        self.suspects: dict[NodeId, float] = {}
        self.said: list[tuple[Any, ...]] = []
        self.taken: list[Work] = []
        self.alarms: list[float] = []
        self._moved = asyncio.Event()

    @property
    def view(self) -> FleetView:
        return FleetView(nodes={node.id: NodeView(record=_record(node)) for node in self.nodes})

    def of(self, node: NodeId) -> FakeNode:
        return next(each for each in self.nodes if each.id == node)

    async def changed(self, since: int) -> int:
        while self.version <= since:
            await self._moved.wait()
        return self.version

    def change(self) -> None:
        self.version += 1
        self._moved.set()
        self._moved = asyncio.Event()

    def alarm(self, at: float) -> None:
        self.alarms.append(at)

    def name(self, node: NodeId) -> str:
        return self.of(node).name

    def open(self, node: NodeId, attempt: Attempt) -> FakeStream:
        found = self.of(node)
        if found.down:
            raise NodeLost("there is no link to the node any more", node_id=node)
        found.streams.append(FakeStream(found, attempt))
        return found.stream

    def refused(self, node: NodeId, model: ModelId, retry_after_s: float | None) -> None:
        self.said.append(("refused", self.name(node), model, retry_after_s))

    def failed(self, node: NodeId, reason: str, model: ModelId | None = None) -> None:
        self.said.append(("failed", self.name(node), reason))
        self.of(node).aside = True

    def accepted(self, node: NodeId, model: ModelId) -> None:
        self.said.append(("accepted", self.name(node)))

    def succeeded(self, node: NodeId, model: ModelId) -> None:
        self.said.append(("succeeded", self.name(node)))
        self.of(node).aside = False

    def take(self, work: Work) -> Reservation | Busy | Absent:
        self.taken.append(work)
        fit = [
            node
            for node in self.nodes
            if node.id not in work.exclude
            and (node.id, node.model) not in work.tried
            and node.model not in work.unable
            and not 0 < node.context_length <= work.larger_than
            and not node.aside
        ]
        free = [node for node in fit if node.held < node.slots]
        free.sort(key=lambda node: node.model != work.prefer)
        if not free:
            return Busy(len(fit)) if fit else _absent(work)
        return self._hold(free[0])

    def _hold(self, node: FakeNode) -> Reservation:
        node.held += 1
        held = ExitStack()
        held.callback(self._give_back, node)
        row = Candidate(
            node=node.id, node_name=node.name, model=node.model, eligible=True, reason="it is free"
        )
        return Reservation(candidate=row, model=node.record, _held=held)

    def _give_back(self, node: FakeNode) -> None:
        node.held -= 1
        self.change()


def _absent(work: Work) -> Absent:
    missing = Missing.NODE
    if work.overflow is not None:
        missing = Missing.CONTEXT
    elif work.inability is not None:
        missing = Missing.ABLE_MODEL
    return Absent(missing, rank(FleetView(), work, 0.0))


def _record(node: FakeNode) -> NodeRecord:
    return NodeRecord(
        id=node.id,
        instance="first",
        name=node.name,
        host="test",
        pid=1,
        state=NodeState.READY,
        reason="",
        endpoint="here",
        specialties=node.specialties,
        models=(node.record,),
    )
