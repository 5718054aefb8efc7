"""Silence on the request path, in moved time: who stands still is left, who is slow is not."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import aclosing, asynccontextmanager
from typing import Any

import pytest

from mesh.clock import ManualClock
from mesh.errors import DeadlineExceeded
from mesh.stream import Tokens
from mesh.transport.base import Attempt, Progress, Sink
from orchestrator.attempts.stall import OPENING_S, PREFILL_FLOOR_S
from tests.mesh.fakes import TIMING, Mesh, caught, done_of, manual_node, request, text_of
from tests.mesh.scripted import ScriptedNode, hang, words

SUSPECT_S = 4 * TIMING.heartbeat_s


@asynccontextmanager
async def moved(**given: Any) -> AsyncIterator[tuple[Mesh, ManualClock]]:
    clock = ManualClock()
    async with Mesh(clock=clock, **given) as mesh:
        yield mesh, clock


async def reading(mesh: Mesh, events: list[Any], **given: Any) -> None:
    async for event in mesh.generate(request(**given), timeout_s=1000.0):
        events.append(event)


def tokens(events: list[Any]) -> int:
    return sum(len(event.pieces) for event in events if isinstance(event, Tokens))


async def advance_until(clock: ManualClock, condition: Any, limit_s: float) -> float:
    """Moves time in small steps until the condition holds; how long that took, in seconds."""
    begun = clock.now()
    while not condition():
        assert clock.now() - begun <= limit_s, f"not within {limit_s} s of moved time"
        await clock.advance(0.05)
    return clock.now() - begun


def gaps(count: int, seconds: float) -> Any:
    """``count`` tokens, that far apart, then silence for ever."""

    async def script(node: ScriptedNode, attempt: Attempt, sink: Sink) -> None:
        await node.accept(attempt, sink)
        for index in range(count):
            await node.send(attempt, sink, index)
            await node.network.clock.sleep(seconds)
        await asyncio.Event().wait()

    return script


async def test_a_stream_that_stalls_goes_on_elsewhere_though_the_link_is_up() -> None:
    async with moved() as (mesh, clock):
        first = await manual_node(mesh, clock, "a", slots=4)
        second = await manual_node(mesh, clock, "b")
        first.scripts = [gaps(6, 0.2)]
        events: list[Any] = []
        async with asyncio.TaskGroup() as group:
            group.create_task(reading(mesh, events))
            await advance_until(clock, lambda: tokens(events) == 6, 5.0)
            took = await advance_until(clock, lambda: tokens(events) == 10, 10.0)
        assert 2.0 < took < 16 * 0.2 + 1.0, "judged by its own pace: 16 x 0.2 s"
        assert mesh.fleet.view.nodes[first.id].link_up
        assert mesh.fleet.view.nodes[first.id].models_aside
        assert first.used == 0, "the stalled attempt was cancelled"
        done = done_of(events)
        (resume,) = done.resumes
        assert text_of(events) == words(10)
        assert (done.node, done.attempts, done.resumed) == (second.id, 2, True)
        assert (resume.from_node, resume.to_node, resume.at_token) == ("a", "b", 6)
        assert resume.reason == "node_lost"
        assert 2_000 < resume.gap_ms < 5_000


async def test_a_stalled_stream_waits_while_there_is_nowhere_else_to_go() -> None:
    async with moved() as (mesh, clock):
        only = await manual_node(mesh, clock, "a")
        only.scripts = [gaps(6, 0.1)]
        events: list[Any] = []
        async with asyncio.TaskGroup() as group:
            group.create_task(reading(mesh, events))
            await advance_until(clock, lambda: tokens(events) == 6, 5.0)
            await clock.advance(10.0)
            assert only.used == 1, "the attempt is still open"
            assert len(only.attempts) == 1
            await manual_node(mesh, clock, "b")
            await advance_until(clock, lambda: tokens(events) == 10, 2.0)
        assert text_of(events) == words(10)


async def test_a_long_prefill_that_tells_its_progress_is_no_stall() -> None:
    async def slow(node: ScriptedNode, attempt: Attempt, sink: Sink) -> None:
        await node.accept(attempt, sink)
        for done in range(1, 8):
            await node.network.clock.sleep(0.8 * PREFILL_FLOOR_S)
            await sink.send(Progress(phase="prefilling", done=100 * done, total=700))
        await node.send(attempt, sink, 0, 10)
        await node.finish(sink, 10)

    async with moved() as (mesh, clock):
        first = await manual_node(mesh, clock, "a", slots=4)
        second = await manual_node(mesh, clock, "b")
        first.scripts = [slow]
        events: list[Any] = []
        async with asyncio.TaskGroup() as group:
            group.create_task(reading(mesh, events))
            await advance_until(clock, lambda: tokens(events) == 10, 100.0)
    assert not second.attempts
    assert done_of(events).attempts == 1


async def test_a_prefill_that_repeats_itself_stands_still() -> None:
    async def stuck(node: ScriptedNode, attempt: Attempt, sink: Sink) -> None:
        await node.accept(attempt, sink)
        while True:
            await sink.send(Progress(phase="prefilling", done=100, total=700))
            await node.network.clock.sleep(1.0)

    async with moved() as (mesh, clock):
        first = await manual_node(mesh, clock, "a", slots=4)
        second = await manual_node(mesh, clock, "b")
        first.scripts = [stuck]
        events: list[Any] = []
        async with asyncio.TaskGroup() as group:
            group.create_task(reading(mesh, events))
            await advance_until(clock, lambda: tokens(events) == 10, PREFILL_FLOOR_S + 2.0)
    assert len(second.attempts) == 1
    assert not done_of(events).resumed, "nothing was delivered before"


async def test_an_attempt_that_is_neither_taken_nor_refused_is_tried_elsewhere() -> None:
    async def deaf(node: ScriptedNode, attempt: Attempt, sink: Sink) -> None:
        await asyncio.Event().wait()

    async with moved() as (mesh, clock):
        first = await manual_node(mesh, clock, "a", slots=4)
        await manual_node(mesh, clock, "b")
        first.scripts = [deaf]
        events: list[Any] = []
        async with asyncio.TaskGroup() as group:
            group.create_task(reading(mesh, events))
            await advance_until(clock, lambda: tokens(events) == 10, OPENING_S + 1.0)
    assert done_of(events).attempts == 2


async def test_a_slow_client_is_no_stall_of_its_node() -> None:
    async with moved() as (mesh, clock):
        first = await manual_node(mesh, clock, "a", slots=4)
        second = await manual_node(mesh, clock, "b")
        events = []
        async with aclosing(mesh.generate(request(), timeout_s=1000.0)) as stream:
            async for event in stream:
                events.append(event)
                if isinstance(event, Tokens) and event.first == 0:
                    await clock.advance(60.0)  # the client is away
        assert text_of(events) == words(10)
        assert not second.attempts
        assert mesh.fleet.view.nodes[first.id].set_aside_until is None


@pytest.mark.parametrize("how", ["stall", "cut"])
async def test_a_node_that_falls_silent_is_left_before_its_link_gives_it_up(how: str) -> None:
    async with moved(suspect_after_s=SUSPECT_S) as (mesh, clock):
        first = await manual_node(mesh, clock, "a", slots=4)
        second = await manual_node(mesh, clock, "b")
        first.scripts = [hang(4)]
        events: list[Any] = []
        async with asyncio.TaskGroup() as group:
            group.create_task(reading(mesh, events))
            await advance_until(clock, lambda: tokens(events) == 4, 1.0)
            getattr(mesh.network, how)(first.id)
            took = await advance_until(clock, lambda: tokens(events) == 10, 5.0)
        assert SUSPECT_S - TIMING.heartbeat_s <= took < TIMING.peer_timeout_s
        assert text_of(events) == words(10)
        assert done_of(events).node == second.id
        assert mesh.fleet.view.nodes[first.id].link_up, "the link has not given it up yet"


async def test_a_silent_node_that_is_heard_again_takes_work_again_at_once() -> None:
    async with moved(suspect_after_s=SUSPECT_S) as (mesh, clock):
        node = await manual_node(mesh, clock, "a")

        def aside() -> bool:
            return mesh.fleet.view.nodes[node.id].set_aside_until is not None

        mesh.network.stall(node.id)
        await advance_until(clock, aside, TIMING.peer_timeout_s)
        assert node.id in mesh.fleet.suspects
        mesh.network.heal(node.id)
        await advance_until(clock, lambda: not aside(), 2 * TIMING.heartbeat_s)
        assert not mesh.fleet.suspects
        assert text_of(await mesh.collect(request())) == words(10)


async def test_the_deadline_ends_an_answer_in_moved_time() -> None:
    async with moved() as (mesh, clock):
        node = await manual_node(mesh, clock, "a")
        node.scripts = [hang(2)]
        async with asyncio.TaskGroup() as group:
            task = group.create_task(caught(mesh.collect(request(), timeout_s=30.0)))
            await advance_until(clock, task.done, 31.0)
        error = task.result()
        await clock.advance(0.1)
        assert isinstance(error, DeadlineExceeded)
        assert "2 tokens were delivered" in error.message
        assert node.used == 0
