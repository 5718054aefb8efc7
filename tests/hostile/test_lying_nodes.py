"""Nodes that lie: a row is what a node does, and what its client gets all the same. On the twins.

The liar is asked first and an honest node stands beside it, then it stands alone. What holds in
every row: the client has the honest answer, or exactly what a limit of its own leaves of it, or one
clear error; it is never told that a cut is a whole, and it waits no longer than it must.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import pytest

from mesh.clock import ManualClock
from mesh.errors import MeshError
from mesh.stream import Done, Progress
from mesh.transport.base import Attempt, Failed, Finished, Refused, Sink, Tokens
from mesh.types import FinishReason, ModelId, Piece, Sampling, Usage
from tests.mesh.fakes import Mesh, caught, manual_node, request, text_of
from tests.mesh.scripted import Script, ScriptedNode, word, words

SOON_S = 75.0  # moved seconds within which every row has its answer


def says(*events: Any, accepted: bool = True, tokens: int = 0, pause_s: float = 0.0) -> Script:
    """``tokens`` of the honest answer, then ``events``, then nothing until it is cancelled."""

    async def script(node: ScriptedNode, attempt: Attempt, sink: Sink) -> None:
        if accepted:
            await node.accept(attempt, sink)
        for index in range(len(attempt.delivered), len(attempt.delivered) + tokens):
            await node.send(attempt, sink, index)
        for event in events:
            await sink.send(event)
            if isinstance(event, Finished | Refused | Failed):
                return
            await node.network.clock.sleep(pause_s)
        await asyncio.Event().wait()

    return script


def end(reason: str, made: int = 0, prompt: int = 7) -> Finished:
    usage = Usage(prompt_tokens=prompt, completion_tokens=made)
    return Finished(reason=FinishReason(reason), usage=usage)


def busy(phase: str, *, grows: bool = True) -> Script:
    """Progress for ever, and never a token."""
    steps = (Progress(phase=phase, done=n if grows else 1, total=0) for n in range(1_000))
    return says(*steps, pause_s=1.0)


def pieces(first: int, count: int) -> Tokens:
    return Tokens(first=first, pieces=tuple(word(first + n) for n in range(count)))


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """``lie``: what the node does. ``alone``: the code of the error, or the finish reason, where
    nobody else is there; None: it may wait. ``aside``: whether its model is set aside there once
    another has answered. ``most``: max_tokens. ``got``: of the text, how many words."""

    lie: Script
    alone: str | None
    aside: bool
    most: int = 1000
    stop: tuple[str, ...] = ()
    got: int = 10


MEGABYTE = "\x1b[2J" + "x" * 15_000
ROWS = {
    "ends at once": Row(lie=says(end("stop")), alone="stop", aside=True),
    "ends at once, and says that it made much": Row(
        lie=says(end("stop", made=300)), alone="stop", aside=True
    ),
    "sends pieces without a letter": Row(
        lie=says(Tokens(first=0, pieces=(Piece(1, ""),) * 2), end("stop", made=2)),
        alone="stop",
        aside=True,
        got=-1,
    ),
    "length at three of a thousand": Row(
        lie=says(end("length", made=3), tokens=3), alone="length", aside=True
    ),
    "a context of thousands is full at three": Row(
        lie=says(end("context", made=3), tokens=3), alone="context", aside=True
    ),
    "a stop string that nobody asked for": Row(
        lie=says(end("stop_string", made=3), tokens=3), alone="stop_string", aside=True
    ),
    "past max_tokens": Row(
        lie=says(pieces(0, 5), pieces(5, 5), pieces(10, 200)),
        alone="length",
        aside=False,
        most=5,
        got=5,
    ),
    "past max_tokens in one message": Row(
        lie=says(pieces(0, 200)), alone="length", aside=False, most=5, got=5
    ),
    "all that was asked for, and never an end": Row(
        lie=says(pieces(0, 5)), alone="length", aside=True, most=5, got=5
    ),
    "past a stop string": Row(
        lie=says(pieces(0, 9), pieces(9, 40)), alone="stop_string", aside=False, stop=("w4",), got=4
    ),
    "accepts and vanishes": Row(lie=says(), alone=None, aside=True),
    "neither accepts nor refuses": Row(lie=says(accepted=False), alone=None, aside=True),
    "prefills for ever": Row(lie=busy("prefilling"), alone=None, aside=True),
    "loads for ever without a percent": Row(
        lie=busy("loading", grows=False), alone=None, aside=True
    ),
    "says the same for ever": Row(lie=busy("prefilling", grows=False), alone=None, aside=True),
    "is at something nobody knows": Row(lie=busy("\x1b[2Jmining"), alone=None, aside=True),
    "a wrong invalid_request": Row(
        lie=says(Refused(code="invalid_request", message=MEGABYTE), accepted=False),
        alone="invalid_request",
        aside=False,
    ),
    "a wrong invalid_request after it accepted": Row(
        lie=says(Failed(code="invalid_request", message=MEGABYTE)),
        alone="invalid_request",
        aside=False,
    ),
    "a context that cannot be too small": Row(
        lie=says(Refused(code="context_overflow", message="no room"), accepted=False),
        alone="context_overflow",
        aside=False,
    ),
    "a deadline that is not over": Row(
        lie=says(Failed(code="deadline_exceeded", message="")), alone="attempt_failed", aside=True
    ),
    "a deadline that is not over, refused": Row(
        lie=says(Refused(code="deadline_exceeded", message=""), accepted=False),
        alone="no_candidate",
        aside=False,
    ),
    "cannot answer what its like can": Row(
        lie=says(Refused(code="cannot_answer", message="no"), accepted=False),
        alone="cannot_answer",
        aside=False,
    ),
    "no such model": Row(
        lie=says(Refused(code="unknown_model", message="no"), accepted=False),
        alone="no_candidate",
        aside=False,
    ),
    "a code of its own": Row(
        lie=says(Failed(code="\x1b[2J" + "y" * 9000, message=MEGABYTE)),
        alone="attempt_failed",
        aside=True,
    ),
    "full for less than no time": Row(
        lie=says(Refused(code="overloaded", message="full", retry_after_s=-1e300), accepted=False),
        alone=None,
        aside=False,
    ),
    "counts beyond all bounds": Row(
        lie=says(end("stop", made=10, prompt=2**62), tokens=10), alone="stop", aside=False
    ),
    "a gap": Row(lie=says(pieces(5, 2)), alone="attempt_failed", aside=True),
}


@asynccontextmanager
async def meshed(row: Row, *, alone: bool) -> AsyncIterator[tuple[Mesh, ManualClock, Any]]:
    clock = ManualClock()
    async with Mesh(clock=clock) as mesh:
        liar = await manual_node(mesh, clock, "liar", slots=8)
        liar.scripts = [row.lie] * 100
        if not alone:
            await manual_node(mesh, clock, "honest", slots=2)
        yield mesh, clock, liar


async def finished(clock: ManualClock, task: asyncio.Task[Any], limit_s: float) -> float:
    begun = clock.now()
    while not task.done() and clock.now() - begun < limit_s:
        await clock.advance(0.05)
    return clock.now() - begun


def asked(row: Row) -> Any:
    return request(sampling=Sampling(max_tokens=row.most, stop=row.stop))


@pytest.mark.parametrize("name", ROWS)
async def test_beside_an_honest_node_the_client_has_the_honest_answer(name: str) -> None:
    row = ROWS[name]
    async with meshed(row, alone=False) as (mesh, clock, liar):
        task = asyncio.ensure_future(mesh.collect(asked(row), timeout_s=1000.0))
        took = await finished(clock, task, SOON_S)
        assert task.done(), f"nothing came within {SOON_S} s"
        events = task.result()
        done = events[-1]
        assert isinstance(done, Done)
        if row.got >= 0:
            assert text_of(events).rstrip() == words(row.got).rstrip()
        assert done.completion_tokens <= row.most
        assert took < SOON_S
        for event in events:
            if isinstance(event, Progress):
                assert event.phase.isprintable()
        seen = mesh.fleet.view.nodes[liar.id]
        assert seen.set_aside_until is None, "its other models have done nothing"
        assert (liar.model in seen.models_aside) is row.aside


@pytest.mark.parametrize("name", [name for name, row in ROWS.items() if row.alone is not None])
async def test_alone_a_liar_is_believed_or_costs_one_clear_error(name: str) -> None:
    row = ROWS[name]
    async with meshed(row, alone=True) as (mesh, clock, _liar):
        outcome: list[Any] = []

        async def read() -> None:
            outcome.extend(await mesh.collect(asked(row), timeout_s=1000.0))

        task = asyncio.ensure_future(caught(read()))
        await finished(clock, task, 120.0)
        assert task.done()
        error = task.result()
        if error is None:
            assert outcome[-1].reason == row.alone
        else:
            assert isinstance(error, MeshError)
            assert error.code == row.alone
            assert error.message.isprintable()
            assert len(error.message) < 2000


async def test_one_garbage_model_is_set_aside_and_its_neighbours_go_on() -> None:
    clock = ManualClock()
    async with Mesh(clock=clock) as mesh:
        node = await manual_node(mesh, clock, "a", slots=4, model=ModelId("good"))
        mesh.fleet.failed(node.id, "its upstream talks rubbish", ModelId("garbage"))
        task = asyncio.ensure_future(mesh.collect(request(), timeout_s=10.0))
        await finished(clock, task, 1.0)
        assert text_of(task.result()) == words(10)
        assert set(mesh.fleet.view.nodes[node.id].models_aside) == {"garbage"}
