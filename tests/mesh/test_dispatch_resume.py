"""What may be resumed, how often, and what the trailer says of it; and the second attempt of a
hedge. On the twins."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from mesh.errors import NodeLost, NotResumable
from mesh.stream import Assigned
from mesh.transport.base import Attempt, Sink
from mesh.types import Continuation, ModelId
from orchestrator.attempts.hedge import HedgePolicy
from tests.mesh.fakes import Mesh, done_of, request, text_of, until
from tests.mesh.scripted import MATH, ScriptedNode, answer, die, fail, hang, hold, word, words


async def test_the_trailer_says_from_where_to_where_and_why() -> None:
    async with Mesh() as mesh:
        first = await mesh.node("a", slots=6)
        second = await mesh.node("b", slots=4)
        await mesh.node("c", slots=2)
        first.scripts, second.scripts = [fail(3)], [fail(2, code="draining")]
        done = done_of(await mesh.collect(request()))
    assert [(r.from_node, r.to_node, r.at_token, r.reason) for r in done.resumes] == [
        ("a", "b", 3, "engine_failed"),
        ("b", "c", 5, "draining"),
    ]
    assert all(resume.gap_ms > 0 for resume in done.resumes)


async def test_an_answer_that_lost_only_its_end_says_so_too() -> None:
    async with Mesh() as mesh:
        first = await mesh.node("a", slots=4)
        await mesh.node("b", slots=2)
        first.scripts = [fail(10)]
        done = done_of(await mesh.collect(request()))
    (resume,) = done.resumes
    assert (resume.from_node, resume.to_node, resume.at_token) == ("a", "b", 10)


@pytest.mark.parametrize("script", [die(0), fail(0)], ids=["dies", "fails"])
async def test_what_may_not_be_resumed_starts_again_while_nothing_was_delivered(
    script: Any,
) -> None:
    async with Mesh() as mesh:
        first = await mesh.node("a", slots=4)
        second = await mesh.node("b", slots=2)
        first.scripts = [script]
        events = await mesh.collect(request(resumable=False))
    assert text_of(events) == words(10)
    assert second.attempts[0].delivered == ()


@pytest.mark.parametrize("script", [die(4), fail(4), fail(4, code="draining")])
async def test_what_may_not_be_resumed_ends_in_an_error_that_says_so(script: Any) -> None:
    async with Mesh() as mesh:
        first = await mesh.node("a", slots=4)
        second = await mesh.node("b", slots=2)
        first.scripts = [script]
        with pytest.raises(NotResumable, match=r"4 tokens were delivered.*may not be resumed"):
            await mesh.collect(request(resumable=False))
    assert not second.attempts


async def test_attempts_that_bring_the_answer_further_are_not_counted_against_the_limit() -> None:
    async with Mesh(max_attempts=2) as mesh:
        for name in "abcde":
            (await mesh.node(name)).scripts = [die(1)]
        events = await mesh.collect(request())
    assert text_of(events) == words(10)
    assert done_of(events).attempts == 6


async def test_attempts_that_bring_nothing_are() -> None:
    async with Mesh(max_attempts=2) as mesh:
        for name in "abcde":
            (await mesh.node(name)).scripts = [die(0)]
        with pytest.raises(NodeLost, match="attempt 2 of 2"):
            await mesh.collect(request())


async def test_the_model_that_began_an_answer_is_preferred_to_go_on_with_it() -> None:
    async with Mesh() as mesh:
        first = await mesh.node("a", slots=8, model=ModelId("one"))
        await mesh.node("b", slots=6, model=ModelId("two"))
        third = await mesh.node("c", slots=1, model=ModelId("one"))
        first.scripts = [fail(4)]
        done = done_of(await mesh.collect(request()))
    assert done.node == third.id


async def test_another_orchestrators_answer_goes_on_from_what_its_client_has() -> None:
    begun = Continuation(
        pieces=tuple(word(i) for i in range(6)),
        tokenizer_hash="tok",
        attempts=2,
        specialty=MATH,
        model=ModelId("toy"),
    )
    async with Mesh() as mesh:
        node = await mesh.node("a")
        events = await mesh.collect(request(continuation=begun))
    done = done_of(events)
    assert node.attempts[0].delivered == begun.pieces
    assert node.attempts[0].tokenizer_hash == "tok"
    assert (
        "".join(p.text for e in events if hasattr(e, "pieces") for p in e.pieces)
        == words(10)[len(words(6)) :]
    )
    assert (done.completion_tokens, done.attempts, done.resumed) == (10, 3, True)
    assert [e.attempt for e in events if isinstance(e, Assigned)] == [3]


def hedging(share: float = 1.0) -> HedgePolicy:
    return HedgePolicy(after_s=0.05, share=share)


async def test_a_late_first_token_is_asked_for_elsewhere_and_the_loser_is_cancelled() -> None:
    freed = asyncio.Event()
    async with Mesh(hedging=hedging()) as mesh:
        first = await mesh.node("a", slots=4)
        second = await mesh.node("b", slots=2)
        first.scripts = [hang(0, freed)]
        events = await mesh.collect(request())
        await until(freed.is_set, "the loser's slot is free")
        await until(lambda: mesh.fleet.free_slots(first.id, first.model) == 4)
        await until(lambda: mesh.fleet.free_slots(second.id, second.model) == 2)
        assert mesh.fleet.view.nodes[first.id].set_aside_until is None, "late is not failed"
    done = done_of(events)
    assert text_of(events) == words(10)
    assert (done.node, done.resumed) == (second.id, False)


async def test_the_first_attempt_wins_a_hedge_when_it_delivers_first() -> None:
    gate, freed = asyncio.Event(), asyncio.Event()

    async def late(node: ScriptedNode, attempt: Attempt, sink: Sink) -> None:
        await node.accept(attempt, sink)
        await gate.wait()
        await answer()(node, attempt, sink)

    async with Mesh(hedging=hedging()) as mesh:
        first = await mesh.node("a", slots=4)
        second = await mesh.node("b", slots=2)
        first.scripts, second.scripts = [late], [hang(0, freed)]
        async with asyncio.TaskGroup() as group:
            task = group.create_task(mesh.collect(request()))
            await until(lambda: len(second.attempts) == 1, "the second attempt is open")
            gate.set()
        await until(freed.is_set, "the loser's slot is free")
    assert text_of(task.result()) == words(10)
    assert done_of(task.result()).node == first.id


async def test_a_hedge_whose_nodes_both_break_goes_on_with_a_third() -> None:
    gate = asyncio.Event()

    async def broken(node: ScriptedNode, attempt: Attempt, sink: Sink) -> None:
        await node.accept(attempt, sink)
        await gate.wait()
        await fail(0)(node, attempt, sink)

    async with Mesh(hedging=hedging()) as mesh:
        nodes = [await mesh.node(name, slots=slots) for name, slots in (("a", 6), ("b", 4))]
        for node in nodes:
            node.scripts = [broken]
        await mesh.node("c", slots=2)
        async with asyncio.TaskGroup() as group:
            task = group.create_task(mesh.collect(request()))
            await until(lambda: len(nodes[1].attempts) == 1, "the second attempt is open")
            gate.set()
    assert text_of(task.result()) == words(10)


async def test_without_budget_or_a_free_slot_there_is_no_second_attempt() -> None:
    async with Mesh(hedging=HedgePolicy(after_s=0.02, share=0.0)) as mesh:
        first = await mesh.node("a", slots=8)
        second = await mesh.node("b", slots=4)
        gate = asyncio.Event()

        async def late(node: ScriptedNode, attempt: Attempt, sink: Sink) -> None:
            await gate.wait()
            await answer()(node, attempt, sink)

        first.scripts = [late] * 3
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(mesh.collect(request(number=i))) for i in range(1, 4)]
            await until(lambda: len(first.attempts) == 3 and len(second.attempts) == 1)
            await asyncio.sleep(0.1)
            gate.set()
        assert len(second.attempts) == 1, "one extra request was saved up, and no more are earned"
    for task in tasks:
        assert text_of(task.result()) == words(10)


async def test_after_a_pause_one_attempt_probes_the_node_and_then_all_may_come() -> None:
    gate = asyncio.Event()

    async def late(node: ScriptedNode, attempt: Attempt, sink: Sink) -> None:
        await gate.wait()
        await answer()(node, attempt, sink)

    async with Mesh() as mesh:
        node = await mesh.node("a", slots=4)
        node.scripts = [fail(0), late, answer(), answer()]
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(mesh.collect(request(number=1)))]
            await until(lambda: len(node.attempts) == 2, "the probe has come")
            tasks += [group.create_task(mesh.collect(request(number=i))) for i in (2, 3)]
            await until(lambda: sum(mesh.admission.depth.values()) == 2)
            assert len(node.attempts) == 2, "the others wait for what becomes of it"
            gate.set()
    for task in tasks:
        assert text_of(task.result()) == words(10)


async def test_a_node_with_streams_that_go_on_is_probed_beside_them() -> None:
    gate = asyncio.Event()
    async with Mesh() as mesh:
        node = await mesh.node("a", slots=4)
        node.scripts = [hold(gate), fail(0), answer()]
        async with asyncio.TaskGroup() as group:
            running = group.create_task(mesh.collect(request(number=1)))
            await until(lambda: len(node.attempts) == 1)
            assert text_of(await mesh.collect(request(number=2))) == words(10)
            gate.set()
    assert text_of(running.result()) == words(3)
