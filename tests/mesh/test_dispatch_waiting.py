"""Requests that wait, are refused, run out of time or find nobody; all on the twins."""

from __future__ import annotations

import asyncio
from contextlib import aclosing
from typing import Any

import pytest

from mesh.clock import ManualClock
from mesh.errors import (
    DeadlineExceeded,
    NoCandidate,
    Overloaded,
    UnknownModel,
    UnknownSpecialty,
)
from mesh.fleet.records import NodeState
from mesh.stream import Progress, Tokens
from mesh.transport.base import DEFAULT_CREDIT
from mesh.types import ModelId, Priority, Sampling, Specialty
from orchestrator.picture.fleet import SET_ASIDE_BASE_S
from orchestrator.slots.queue import SETTLING_S
from tests.mesh.fakes import Mesh, caught, done_of, manual_node, request, text_of, until
from tests.mesh.scripted import CHAT, ScriptedNode, answer, hang, hold, words


async def test_requests_wait_here_until_a_slot_comes_free() -> None:
    gate = asyncio.Event()
    async with Mesh() as mesh:
        node = await mesh.node("a", slots=1)
        node.scripts = [hold(gate)]
        async with asyncio.TaskGroup() as group:
            held = group.create_task(mesh.collect(request(number=1)))
            await until(lambda: len(node.attempts) == 1)
            waiting = group.create_task(mesh.collect(request(number=2)))
            await until(lambda: mesh.admission.depth[Priority.NORMAL] == 1)
            assert len(node.attempts) == 1, "the second request does not pile up behind the node"
            gate.set()
    assert text_of(held.result()) == words(3)
    assert text_of(waiting.result()) == words(10)
    assert waiting.result()[0] == Progress(phase="queued")
    assert done_of(waiting.result()).queue_ms > 0
    assert mesh.admission.depth[Priority.NORMAL] == 0


async def test_a_slot_goes_to_the_interactive_request_first() -> None:
    gate = asyncio.Event()
    async with Mesh() as mesh:
        node = await mesh.node("a", slots=1)
        node.scripts = [hold(gate)]
        async with asyncio.TaskGroup() as group:
            group.create_task(mesh.collect(request(number=1)))
            await until(lambda: len(node.attempts) == 1)
            group.create_task(mesh.collect(request(number=2, priority=Priority.BATCH)))
            await until(lambda: mesh.admission.depth[Priority.BATCH] == 1)
            group.create_task(mesh.collect(request(number=3, priority=Priority.INTERACTIVE)))
            await until(lambda: mesh.admission.depth[Priority.INTERACTIVE] == 1)
            gate.set()
    assert [int(attempt.request_id, 16) for attempt in node.attempts] == [1, 3, 2]


async def test_a_full_queue_refuses_at_once_with_a_hint() -> None:
    async with Mesh(queue_limit=1) as mesh:
        node = await mesh.node("a", slots=1)
        node.scripts = [hang()]
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(caught(mesh.collect(request(number=1))))]
            await until(lambda: len(node.attempts) == 1)
            tasks.append(group.create_task(caught(mesh.collect(request(number=2)))))
            await until(lambda: mesh.admission.depth[Priority.NORMAL] == 1)
            with pytest.raises(Overloaded) as refusal:
                await mesh.collect(request(number=3))
            for task in tasks:
                task.cancel()
    assert refusal.value.retry_after_s is not None
    assert refusal.value.retry_after_s > 0
    assert mesh.admission.depth[Priority.NORMAL] == 0


async def test_the_deadline_holds_while_waiting_and_while_generating() -> None:
    async with Mesh() as mesh:
        node = await mesh.node("a", slots=1)
        freed = asyncio.Event()
        node.scripts = [hang(2, freed)]
        with pytest.raises(DeadlineExceeded, match="2 tokens were delivered"):
            await mesh.collect(request(), timeout_s=0.2)
        await until(freed.is_set, "the node's slot is free")
        node.scripts = [hang()]
        async with asyncio.TaskGroup() as group:
            task = group.create_task(caught(mesh.collect(request(number=2))))
            await until(lambda: node.used == 1)
            with pytest.raises(DeadlineExceeded, match="no slot came free"):
                await mesh.collect(request(number=3), timeout_s=0.1)
            task.cancel()


async def test_closing_the_stream_frees_the_nodes_slot() -> None:
    async with Mesh() as mesh:
        node = await mesh.node("a", slots=1)
        freed = asyncio.Event()
        node.scripts = [hang(2, freed)]
        async with aclosing(mesh.generate(request())) as events:
            async for event in events:
                if isinstance(event, Tokens):
                    break
        await until(freed.is_set, "the attempt is cancelled on the node")
        await until(lambda: mesh.fleet.free_slots(node.id, node.model) == 1)
        assert mesh.fleet.view.nodes[node.id].in_flight == 0


async def test_cancelling_a_waiting_request_takes_it_out_of_the_queue() -> None:
    async with Mesh() as mesh:
        node = await mesh.node("a", slots=1)
        node.scripts = [hang()]
        async with asyncio.TaskGroup() as group:
            busy = group.create_task(caught(mesh.collect(request(number=1))))
            await until(lambda: node.used == 1)
            waiting = group.create_task(caught(mesh.collect(request(number=2))))
            await until(lambda: mesh.admission.depth[Priority.NORMAL] == 1)
            waiting.cancel()
            await until(lambda: mesh.admission.depth[Priority.NORMAL] == 0)
            busy.cancel()


async def test_a_client_that_does_not_read_bounds_what_its_node_sends() -> None:
    total = 40 * DEFAULT_CREDIT
    async with Mesh() as mesh:
        node = await mesh.node("a")
        node.scripts = [answer(total)]
        events: list[Any] = []
        asked = request(sampling=Sampling(max_tokens=total))
        async with aclosing(mesh.generate(asked)) as stream:
            async for event in stream:
                events.append(event)
                if isinstance(event, Tokens):
                    break
            # Nothing is read now; the node comes to a stand on its credit.
            before = -1
            while before != node.sent[0]:
                before = node.sent[0]
                await asyncio.sleep(0.05)
            read = sum(len(e.pieces) for e in events if isinstance(e, Tokens))
            assert node.sent[0] <= read + DEFAULT_CREDIT
            other = await mesh.collect(request(number=2))  # another stream on the same link flows
            assert text_of(other) == words(10)
            async for event in stream:
                events.append(event)
    assert text_of(events) == words(total)


async def test_what_nobody_serves_is_named_with_what_is_served() -> None:
    async with Mesh() as mesh:
        with pytest.raises(NoCandidate, match="no node is known yet"):
            await mesh.collect(request())
        await mesh.node("a")
        with pytest.raises(UnknownSpecialty, match=r"'poetry'.*known specialties: math"):
            await mesh.collect(request(specialty=Specialty("poetry")))
        with pytest.raises(UnknownModel, match=r"'gpt'.*known models: toy"):
            await mesh.collect(request(model=ModelId("gpt")))


async def test_an_unreachable_registry_is_named_when_no_node_is_known() -> None:
    async with Mesh() as mesh:
        mesh.store.partition(mesh.registry, True)
        with pytest.raises(NoCandidate, match="the registry at test is unreachable"):
            await mesh.collect(request())


async def test_the_fallback_answers_what_nobody_serves_unless_it_was_asked_for_by_name() -> None:
    async with Mesh() as mesh:
        chat = await mesh.node("a", specialties=(CHAT,))
        events = await mesh.collect(request(), fallback=CHAT)
        assert done_of(events).node == chat.id
        with pytest.raises(UnknownSpecialty):
            await mesh.collect(request(specialty=Specialty("math")), fallback=CHAT)


async def test_the_fallback_answers_when_no_specialist_can_work() -> None:
    async with Mesh() as mesh:
        math = await mesh.node("a")
        chat = await mesh.node("b", specialties=(CHAT,))
        math.state = NodeState.DRAINING
        math.beat()
        await until(lambda: _told_to_drain(mesh, math))
        events = await mesh.collect(request(), fallback=CHAT)
        assert done_of(events).node == chat.id
        route = await mesh.api.route(request())
        assert route.candidates[0].node == chat.id
        assert route.candidates[0].reason.startswith("no node can take 'math' now; resident")
        assert not math.attempts


async def test_the_fallback_answers_for_a_dead_specialist_once_hope_is_over() -> None:
    clock = ManualClock()
    async with Mesh(clock=clock) as mesh:
        math = await manual_node(mesh, clock)
        chat = await manual_node(mesh, clock, "b", specialties=(CHAT,))
        mesh.network.cut(math.id)  # its record stays, its link does not
        while mesh.fleet.view.nodes[math.id].link_up:
            await clock.advance(0.1)
        async with asyncio.TaskGroup() as group:
            task = group.create_task(mesh.collect(request(), fallback=CHAT, timeout_s=1000.0))
            begun = clock.now()
            while not task.done():
                await clock.advance(0.1)
        assert done_of(task.result()).node == chat.id
        assert clock.now() - begun <= SETTLING_S + 1.0


async def test_a_deadline_that_ends_without_a_node_says_why_there_is_none() -> None:
    async with Mesh() as mesh:
        node = await mesh.node("a")
        mesh.network.cut(node.id)
        await until(lambda: not mesh.fleet.view.nodes[node.id].link_up)
        with pytest.raises(NoCandidate, match=r"no node can take 'math' now: a: no link to"):
            await mesh.collect(request(), timeout_s=0.1)


async def test_many_streams_on_one_dead_node_are_one_failure() -> None:
    async with Mesh() as mesh:
        node = await mesh.node("a", slots=8)
        await mesh.node("b", slots=7)
        node.scripts = [hang(1) for _ in range(4)]
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(mesh.collect(request(number=i))) for i in range(1, 8)]
            await until(lambda: len(node.attempts) >= 4)
            mesh.network.reset(node.id)
            pause = 0.0
            await until(lambda: mesh.fleet.view.nodes[node.id].set_aside_until is not None)
            until_s = mesh.fleet.view.nodes[node.id].set_aside_until or 0.0
            pause = until_s - mesh.clock.now()
        assert pause <= 3 * SET_ASIDE_BASE_S
    assert all(text_of(task.result()) == words(10) for task in tasks)


async def test_a_draining_fleet_says_why_at_once() -> None:
    async with Mesh() as mesh:
        node = await mesh.node("a")
        node.state = NodeState.DRAINING
        node.beat()
        await until(lambda: _told_to_drain(mesh, node))
        with pytest.raises(NoCandidate, match=r"no node can take 'math' now: a: draining"):
            await mesh.collect(request())


def _told_to_drain(mesh: Mesh, node: ScriptedNode) -> bool:
    heartbeat = mesh.fleet.view.nodes[node.id].heartbeat
    return heartbeat is not None and heartbeat.state is NodeState.DRAINING
