"""A request that is cancelled at any await of its way leaves nothing: no bytes of the budget, no
place at the door or in the queue, no slot, no stream, no flow, nothing under watch.

Two moments of each await: before what it waits for has come, and in the turn of the loop in which
that came and was not taken yet.
"""

from __future__ import annotations

import asyncio
import struct
from collections.abc import Callable, Coroutine, Generator
from dataclasses import dataclass, field
from typing import Any

import pytest

from mesh.budget import Budget
from mesh.embedding import EMBEDDING, EmbedRequest
from mesh.protobuf.embed import embed_request_to_wire
from mesh.protobuf.metadata import ACKNOWLEDGES, REQUEST_BYTES
from mesh.protobuf.request import request_to_wire
from mesh.protobuf.route import route_request_to_wire
from mesh.types import RequestId, Sampling
from orchestrator.answering.admit import Door, admitted
from orchestrator.answering.decide import decided
from orchestrator.answering.trace import traced
from orchestrator.api import Api
from orchestrator.attempts.hedge import HedgePolicy
from orchestrator.gateway.grpc import GrpcGateway
from orchestrator.router.cascade import Outcome
from orchestrator.strategies.single import single
from tests.answering_rig import Fixed, decider, said
from tests.attempt_rig import MATH, FakeNode, Rig, request, rig

MOST_AWAITS = 400
VECTORS = struct.pack("<4f", 1.0, 0.0, 0.0, 1.0)


class Cancelling:
    """Awaits ``work`` and cancels the task at its ``at``-th await. ``late``: once what is awaited
    has come, in the same turn of the loop."""

    def __init__(self, work: Coroutine[Any, Any, Any], at: int, *, late: bool) -> None:
        self._work = work
        self._at = at
        self._late = late
        self.seen = 0

    def __await__(self) -> Generator[Any, Any, Any]:
        send: Callable[[], Any] = lambda: self._work.send(None)  # noqa: E731
        while True:
            try:
                waited = send()
            except StopIteration as stop:
                return stop.value
            self.seen += 1
            if self.seen == self._at:
                self._cancel(waited)
            try:
                yield waited
            except BaseException as error:  # noqa: BLE001 - whatever it is, the work is to meet it
                met = error
                send = lambda: self._work.throw(met)  # noqa: E731, B023
            else:
                send = lambda: self._work.send(None)  # noqa: E731

    def _cancel(self, waited: Any) -> None:
        task = asyncio.current_task()
        assert task is not None
        if self._late and waited is not None:
            waited.add_done_callback(lambda _: task.cancel())
        else:
            asyncio.get_running_loop().call_soon(task.cancel)


@dataclass
class Context:
    """gRPC's, of a call that sends one message. Each of its waits is one turn of the loop."""

    data: bytes
    metadata: tuple[tuple[str, str], ...] = ()
    written: list[bytes] = field(default_factory=list)
    aborted: Any = None

    def invocation_metadata(self) -> tuple[tuple[str, str], ...]:
        return self.metadata

    def time_remaining(self) -> float | None:
        return None

    def cancelled(self) -> bool:
        return False

    def done(self) -> bool:
        return False

    async def send_initial_metadata(self, metadata: Any) -> None:
        await asyncio.sleep(0)

    async def read(self) -> bytes:
        await asyncio.sleep(0)
        return self.data

    async def write(self, data: bytes) -> None:
        await asyncio.sleep(0)
        self.written.append(data)

    async def abort(self, *told: Any) -> None:
        self.aborted = told
        raise asyncio.CancelledError


class Whole:
    """All that a call passes through, on the rig's fakes."""

    def __init__(self, here: Rig) -> None:
        self.here = here
        fleet: Any = here.fleet
        self.budget = Budget(10_000_000)
        self.door = Door(2)
        decides = decider(Fixed(Outcome(said(MATH))))
        answer = decided(single(here.dispatch), decides, notes_in_traces=False)
        nobody: Any = None
        self.api = Api(
            traced(admitted(answer, self.door)),
            fleet=fleet,
            dispatch=here.dispatch,
            embedder=here.embedder,
            decider=decides,
            door=self.door,
            tickets=nobody,
            clock=here.clock,
            default_timeout_s=1000.0,
            max_request_bytes=100_000,
        )
        self.gateway = GrpcGateway(
            self.api,
            bind="127.0.0.1:0",
            max_request_bytes=100_000,
            budget=self.budget,
            clock=here.clock,
        )

    def left(self) -> dict[str, Any]:
        """What is not as it was before, by name."""
        watch = self.here.dispatch.failover._watch
        found = {
            "bytes": self.budget.held,
            "line": self.budget.waiting,
            "door": sum(self.door.inside.values()),
            "queue": sum(self.here.admission.depth.values()),
            "slots": self.here.held,
            "streams": self.here.open,
            "flows": self.gateway._flows._open,
            "watched": watch._watched,
            "turns": 2 - self.gateway._intake._large._value,
        }
        return {name: value for name, value in found.items() if value}


def large(data: bytes) -> tuple[tuple[str, str], ...]:
    return ((REQUEST_BYTES, str(len(data))),)


Call = Callable[[Whole], tuple[Context, Coroutine[Any, Any, Any]]]


def generate(whole: Whole) -> tuple[Context, Coroutine[Any, Any, Any]]:
    asked = request(sampling=Sampling(max_tokens=6))
    data = request_to_wire(asked).SerializeToString()
    metadata = ((ACKNOWLEDGES, "ab" * 16), *large(data))
    context = Context(data, metadata)
    return context, whole.gateway._generate(None, context)


def embed(whole: Whole) -> tuple[Context, Coroutine[Any, Any, Any]]:
    asked = EmbedRequest(id=RequestId(f"{1:032x}"), texts=("a", "b"))
    data = embed_request_to_wire(asked).SerializeToString()
    context = Context(data, large(data))
    return context, whole.gateway._embed(None, context)


def route(whole: Whole) -> tuple[Context, Coroutine[Any, Any, Any]]:
    data = route_request_to_wire(request()).SerializeToString()
    context = Context(data, large(data))
    return context, whole.gateway._route(None, context)


async def plain(here: Rig, a: FakeNode, b: FakeNode) -> None:
    for stream in a.streams[:1]:
        stream.accept()
        await here.settle()
        stream.prefill(1)
        await here.settle()
        stream.tokens(3)
        await here.settle()
        stream.tokens(3)
        stream.finish()


async def resumed(here: Rig, a: FakeNode, b: FakeNode) -> None:
    """The first is lost in mid-answer and there is nobody, then somebody."""
    b.held = b.slots
    for stream in a.streams[:1]:
        stream.accept()
        stream.tokens(2)
        await here.settle()
        stream.lose()
        await here.settle()
    b.held -= 1
    here.fleet.change()
    await here.settle()
    for stream in b.streams[:1]:
        stream.accept()
        await here.settle()
        stream.tokens(4)
        stream.finish()


async def stalled(here: Rig, a: FakeNode, b: FakeNode) -> None:
    """The first stands still, and the watch moves the request."""
    for stream in a.streams[:1]:
        stream.accept()
        stream.tokens(2)
    await here.settle()
    await here.advance(12.0)
    for stream in b.streams[:1]:
        stream.accept()
        stream.tokens(4)
        stream.finish()


async def hedged(here: Rig, a: FakeNode, b: FakeNode) -> None:
    """A second is asked before the first token, wins, and is lost: hedge and resume in one."""
    await here.advance(0.3)
    for stream in a.streams[:1]:
        stream.accept()
    await here.advance(0.6)
    for stream in b.streams[:1]:
        stream.accept()
        await here.settle()
        stream.tokens(2)
        await here.settle()
        stream.lose()
    await here.settle()
    a.aside = False
    here.fleet.change()
    await here.settle()
    for stream in a.streams[1:]:
        stream.accept()
        stream.tokens(4)
        stream.finish()


async def refused(here: Rig, a: FakeNode, b: FakeNode) -> None:
    for stream in a.streams[:1]:
        stream.refuse("not_served")
    await here.settle()
    for stream in b.streams[:1]:
        stream.accept()
        stream.tokens(6)
        stream.finish()


async def vectors(here: Rig, a: FakeNode, b: FakeNode) -> None:
    for stream in a.streams[:1]:
        stream.accept()
        await here.settle()
        stream.lose()
    await here.settle()
    for stream in b.streams[:1]:
        stream.accept()
        stream.vectors(VECTORS, 2)
        await here.settle()
        stream.finish()


async def nothing(here: Rig, a: FakeNode, b: FakeNode) -> None:
    pass


Story = Callable[[Rig, FakeNode, FakeNode], Coroutine[Any, Any, None]]

# With whether it is hedged, and how many attempts each of two nodes has when nobody cancels.
STORIES: dict[str, tuple[Call, Story, bool, tuple[int, int]]] = {
    "plain": (generate, plain, False, (1, 0)),
    "resumed": (generate, resumed, False, (1, 1)),
    "stalled": (generate, stalled, False, (1, 1)),
    "hedged": (generate, hedged, True, (2, 1)),
    "refused": (generate, refused, False, (1, 1)),
    "embed": (embed, vectors, False, (1, 1)),
    "route": (route, nothing, False, (0, 0)),
}


@pytest.mark.parametrize("late", [False, True], ids=["before", "as it comes"])
@pytest.mark.parametrize("name", STORIES)
async def test_a_call_cancelled_at_any_await_leaves_nothing(name: str, late: bool) -> None:
    at = 1
    while await _cancelled(name, at, late=late):
        at += 1
        assert at < MOST_AWAITS, "it never comes to its end"
    assert at > (2 if name == "route" else 5), "there were awaits to try"


async def _cancelled(name: str, at: int, *, late: bool) -> bool:
    """Whether there is such an await."""
    call, story, hedges, attempts = STORIES[name]
    policy = HedgePolicy(after_s=0.5, share=1.0) if hedges else None
    specialties = (EMBEDDING,) if call is embed else (MATH,)
    a, b = (FakeNode(each, specialties=specialties) for each in "ab")
    async with rig(a, b, hedging=policy) as here:
        whole = Whole(here)
        context, work = call(whole)
        cancelling = Cancelling(work, at, late=late)

        async def calls() -> None:
            await cancelling

        task = here.start(calls())
        await here.settle()
        await story(here, a, b)
        await here.settle()
        await here.advance(1.0)
        assert task.done(), f"cancelled at await {at} of {cancelling.seen}, it goes on"
        assert not whole.left(), f"cancelled at await {at}: {whole.left()}"
        if cancelling.seen < at:
            assert not task.cancelled(), "left alone, it comes to its end"
            assert context.aborted is None
            assert (len(a.streams), len(b.streams)) == attempts
        return cancelling.seen >= at
