"""A model that is being loaded is waited for; and orchestrators that share few slots."""

from __future__ import annotations

import asyncio

from mesh.clock import ManualClock
from mesh.errors import NoCandidate
from mesh.fleet.records import Heartbeat, ModelLoad, ModelState, NodeState
from mesh.stream import Progress
from mesh.transport.base import Attempt, Refused, Sink
from orchestrator.slots.queue import LOADING_S, SETTLING_S
from tests.mesh.fakes import Mesh, caught, done_of, manual_node, request, text_of, until
from tests.mesh.scripted import CHAT, ScriptedNode, answer, words


def loads(node: ScriptedNode, state: ModelState) -> None:
    """The node says so of its model from now on."""
    load = ModelLoad(model=node.model, state=state, slots=node.slots, used_slots=0)
    whole = NodeState.STARTING if state is ModelState.LOADING else NodeState.FAILED
    node.listener.heartbeat(Heartbeat(node=node.id, state=whole, models=(load,)))


async def test_a_model_that_loads_is_waited_for_however_long_it_takes() -> None:
    clock = ManualClock()
    async with Mesh(clock=clock) as mesh:
        node = await manual_node(mesh, clock)
        loads(node, ModelState.LOADING)
        await clock.advance(0.1)
        async with asyncio.TaskGroup() as group:
            task = group.create_task(mesh.collect(request(), timeout_s=1000.0))
            for _ in range(20):
                await clock.advance(0.1 * LOADING_S / 4)
            assert not task.done()
            node.beat()
            while not task.done():
                await clock.advance(0.05)
    assert task.result()[0] == Progress(phase="loading")
    assert text_of(task.result()) == words(10)


async def test_the_fallback_answers_when_the_specialist_takes_its_time_to_load() -> None:
    clock = ManualClock()
    async with Mesh(clock=clock) as mesh:
        loads(await manual_node(mesh, clock, "a"), ModelState.LOADING)
        chat = await manual_node(mesh, clock, "b", specialties=(CHAT,))
        await clock.advance(0.1)
        async with asyncio.TaskGroup() as group:
            task = group.create_task(mesh.collect(request(), timeout_s=1000.0, fallback=CHAT))
            await clock.advance(SETTLING_S / 2)
            assert not task.done()
            while not task.done():
                await clock.advance(0.1)
    assert done_of(task.result()).node == chat.id


async def test_a_load_that_fails_ends_the_wait() -> None:
    clock = ManualClock()
    async with Mesh(clock=clock) as mesh:
        node = await manual_node(mesh, clock)
        loads(node, ModelState.LOADING)
        await clock.advance(0.1)
        async with asyncio.TaskGroup() as group:
            task = group.create_task(caught(mesh.collect(request(), timeout_s=1000.0)))
            await clock.advance(30.0)
            assert not task.done()
            loads(node, ModelState.FAILED)
            await clock.advance(1.0)
            assert task.done()
    assert isinstance(task.result(), NoCandidate)


async def test_orchestrators_that_share_few_slots_retry_refusals_and_nothing_fails() -> None:
    async with Mesh(queue_limit=64) as one, Mesh(beside=one, queue_limit=64) as other:
        nodes = [await one.node(name, slots=2) for name in "ab"]
        for node in nodes:
            node.scripts = [_full_or_slow] * 1000
        await until(lambda: all(map(other.usable, nodes)), "both see them")
        async with asyncio.TaskGroup() as group:
            tasks = [
                group.create_task(mesh.collect(request(number=2 * number + which)))
                for number in range(1, 25)
                for which, mesh in enumerate((one, other))
            ]
        for mesh in (one, other):
            assert all(n.set_aside_until is None for n in mesh.fleet.view.nodes.values())
    for task in tasks:
        assert text_of(task.result()) == words(10)
        assert done_of(task.result()).attempts == 1, "a refusal is no attempt"


async def _full_or_slow(node: ScriptedNode, attempt: Attempt, sink: Sink) -> None:
    """As a real node does, whatever the orchestrators thought."""
    if node.used > node.slots:
        await sink.send(Refused(code="overloaded", message="full", retry_after_s=0.05))
        return
    await asyncio.sleep(0.002)
    await answer()(node, attempt, sink)
