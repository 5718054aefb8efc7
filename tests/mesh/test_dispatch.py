"""Dispatch on the twins: whatever refuses, breaks or dies, the client's stream is one answer."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from mesh.clock import ManualClock
from mesh.errors import (
    ContextOverflow,
    EngineFailed,
    InvalidRequest,
    NodeLost,
)
from mesh.fleet.records import encode_record
from mesh.stream import Assigned, Tokens
from mesh.transport.base import Attempt, Sink
from tests.mesh.fakes import Mesh, caught, done_of, manual_node, request, text_of, until
from tests.mesh.scripted import ScriptedNode, answer, die, fail, hang, hold, refuse, word, words


async def test_a_request_is_answered_by_a_node_that_serves_its_specialty() -> None:
    async with Mesh() as mesh:
        node = await mesh.node("a")
        events = await mesh.collect(request())
    assert text_of(events) == words(10)
    done = done_of(events)
    assert (done.node, done.completion_tokens, done.prompt_tokens) == (node.id, 10, 7)
    assert (done.resumed, done.attempts) == (False, 1)
    assert done.ttft_ms > 0
    assert events[0] == Assigned(
        node=node.id,
        node_name="a",
        model=node.model,
        attempt=1,
        tokenizer_hash="tok",
        specialty="math",
    )


@pytest.mark.parametrize("code", ["overloaded", "draining", "unknown_model"])
async def test_a_refusal_moves_on_to_the_second_candidate(code: str) -> None:
    async with Mesh() as mesh:
        first = await mesh.node("a", slots=4)  # more free slots: asked first
        second = await mesh.node("b", slots=2)
        first.scripts = [refuse(code)]
        events = await mesh.collect(request())
        assert mesh.fleet.view.nodes[first.id].set_aside_until is None, "a refusal is no failure"
    assert text_of(events) == words(10)
    assert done_of(events).node == second.id
    assert len(first.attempts) == len(second.attempts) == 1


@pytest.mark.parametrize("script", [die(0), fail(0)], ids=["dies", "fails"])
async def test_a_failure_before_the_first_token_moves_on_to_the_second_candidate(
    script: Any,
) -> None:
    async with Mesh() as mesh:
        first = await mesh.node("a", slots=4)
        second = await mesh.node("b", slots=2)
        first.scripts = [script]
        events = await mesh.collect(request())
        seen = mesh.fleet.view.nodes[first.id]
        assert seen.models_aside or seen.set_aside_until is not None
    done = done_of(events)
    assert text_of(events) == words(10)
    assert (done.node, done.attempts, done.resumed) == (second.id, 2, False)
    assert second.attempts[0].delivered == ()


@pytest.mark.parametrize(
    "script", [die(4), fail(4), fail(4, code="draining")], ids=["dies", "fails", "drains"]
)
async def test_an_answer_goes_on_elsewhere_from_exactly_the_delivered_tokens(script: Any) -> None:
    async with Mesh() as mesh:
        first = await mesh.node("a", slots=4)
        second = await mesh.node("b", slots=2)
        first.scripts = [script]
        events = await mesh.collect(request())
    done = done_of(events)
    assert text_of(events) == words(10)
    assert (done.node, done.attempts, done.resumed) == (second.id, 2, True)
    resumed = second.attempts[0]
    assert resumed.delivered == tuple(word(i) for i in range(4))
    assert resumed.tokenizer_hash == "tok"
    assert [e.attempt for e in events if isinstance(e, Assigned)] == [1, 2]


async def test_ids_of_several_tokenizers_are_resumed_by_text() -> None:
    async with Mesh() as mesh:
        first = await mesh.node("a", slots=6, tokenizer_hash="one")
        second = await mesh.node("b", slots=4, tokenizer_hash="two")
        third = await mesh.node("c", slots=2, tokenizer_hash="one")
        first.scripts, second.scripts = [fail(3)], [fail(3)]
        events = await mesh.collect(request())
    assert text_of(events) == words(10)
    assert second.attempts[0].tokenizer_hash == "one"
    assert third.attempts[0].tokenizer_hash == ""


async def test_a_node_that_comes_back_resumes_its_own_answer() -> None:
    async with Mesh() as mesh:
        only = await mesh.node("a")
        only.scripts = [die(5)]
        events = await mesh.collect(request())
    assert text_of(events) == words(10)
    assert done_of(events).resumed
    assert [len(attempt.delivered) for attempt in only.attempts] == [0, 5]


async def test_when_nobody_can_go_on_the_error_says_how_much_was_delivered() -> None:
    clock = ManualClock()
    async with Mesh(clock=clock) as mesh:
        only = await manual_node(mesh, clock)
        only.scripts = [hang(3)]
        events: list[Any] = []

        async def read() -> None:
            async for event in mesh.generate(request(), timeout_s=1000.0):
                events.append(event)

        async with asyncio.TaskGroup() as group:
            task = group.create_task(caught(read()))
            while sum(isinstance(e, Tokens) for e in events) == 0 or "w2 " not in text_of(events):
                await clock.settle(1)
            await mesh.stop("a")
            await mesh.stop("a registry")
            while not task.done():
                await clock.advance(0.5)
        error = task.result()
    assert isinstance(error, NodeLost)
    assert "3 tokens were delivered" in error.message
    assert "nobody could go on" in error.message


async def test_attempts_are_limited() -> None:
    async with Mesh(max_attempts=2) as mesh:
        for name in "abc":
            (await mesh.node(name)).scripts = [fail(1), fail(1)]
        with pytest.raises(EngineFailed, match=r"2 tokens were delivered.*attempt 2 of 2"):
            await mesh.collect(request())


async def test_an_overlap_is_dropped_and_a_gap_fails_the_attempt() -> None:
    """Against a transport that checks less than ours, the delivery itself holds invariant 1."""
    from mesh.delivery import Delivery
    from mesh.errors import ProtocolError

    delivery = Delivery()
    first = Tokens(first=0, pieces=(word(0), word(1), word(2)))
    assert delivery.accept(first, "t") is first
    assert delivery.accept(first, "t") is None
    overlap = delivery.accept(Tokens(first=1, pieces=(word(1), word(2), word(3))), "t")
    assert overlap == Tokens(first=3, pieces=(word(3),))
    with pytest.raises(ProtocolError, match="from token 4 to 6"):
        delivery.accept(Tokens(first=6, pieces=(word(6),)), "t")
    assert delivery.pieces == [word(i) for i in range(4)]


async def test_a_gap_on_the_wire_is_healed_by_another_node() -> None:
    async def skip(node: ScriptedNode, attempt: Attempt, sink: Sink) -> None:
        await node.accept(attempt, sink)
        await node.send(attempt, sink, 0, 2)
        await node.send(attempt, sink, 5, 2)
        await asyncio.Event().wait()

    async with Mesh() as mesh:
        first = await mesh.node("a", slots=4)
        await mesh.node("b", slots=2)
        first.scripts = [skip]
        events = await mesh.collect(request())
    assert text_of(events) == words(10)


async def test_a_context_that_is_too_small_is_tried_on_a_larger_one() -> None:
    async with Mesh() as mesh:
        small = await mesh.node("a", slots=4, context_length=64)
        large = await mesh.node("b", slots=2, context_length=4096)
        small.scripts = [refuse("context_overflow", "needs 100 tokens, has 64")]
        events = await mesh.collect(request())
        assert done_of(events).node == large.id
        large.scripts = [refuse("context_overflow", "needs 9000 tokens, has 4096")]
        long = request("long " * 1000, number=2)
        small.scripts = [refuse("context_overflow", "needs 9000 tokens, has 64")]
        with pytest.raises(ContextOverflow, match="has 4096"):
            await mesh.collect(long)


async def test_a_context_that_is_not_known_yet_is_tried_once_and_no_more() -> None:
    async with Mesh() as mesh:
        node = await mesh.node("a", slots=4, context_length=0)
        assert done_of(await mesh.collect(request())).node == node.id
        overflow = refuse("context_overflow", "needs 9000 tokens, has 64")
        node.scripts = [overflow, overflow]
        with pytest.raises(ContextOverflow, match="has 64"):
            await mesh.collect(request(number=2))
        assert len(node.attempts) == 2


async def test_an_invalid_request_is_believed_once_a_second_node_says_so_too() -> None:
    async with Mesh() as mesh:
        nodes = [await mesh.node(name, slots=slots) for name, slots in (("a", 4), ("b", 2))]
        third = await mesh.node("c", slots=1)
        for node in nodes:
            node.scripts = [refuse("invalid_request", "top_k is odd")]
        with pytest.raises(InvalidRequest, match="top_k is odd"):
            await mesh.collect(request())
    assert not third.attempts


async def test_a_stream_outlives_the_registry_and_its_nodes_record() -> None:
    gate = asyncio.Event()
    async with Mesh() as mesh:
        node = await mesh.node("a")
        node.scripts = [hold(gate)]
        async with asyncio.TaskGroup() as group:
            task = group.create_task(mesh.collect(request()))
            await until(lambda: len(node.attempts) == 1)
            node.registry.withdraw(node.key)
            mesh.registry.withdraw("x")
            await until(lambda: not mesh.store.snapshot(node.key))
            gate.set()
        assert text_of(task.result()) == words(3)
        # The node answers still, so it is used still; it goes when its link does.
        assert text_of(await mesh.collect(request(number=2))) == words(10)
        await mesh.stop("a")
        await until(lambda: node.id not in mesh.fleet.view.nodes)


async def test_a_node_on_a_new_endpoint_is_dialled_there() -> None:
    async with Mesh() as mesh:
        node = await mesh.node("a")
        record = node.record()
        moved = _moved(record, "twin://nowhere")
        node.registry.announce(node.key, encode_record(moved))
        await until(lambda: not mesh.fleet.view.nodes[node.id].link_up)
        node.registry.announce(node.key, encode_record(_moved(record, node.listener.endpoint, 2)))
        await until(lambda: mesh.usable(node))
        assert text_of(await mesh.collect(request())) == words(10)


async def test_many_streams_over_few_nodes_all_end_whole_though_nodes_die() -> None:
    async with Mesh(queue_limit=64, max_attempts=20) as mesh:
        for name in "abc":
            node = await mesh.node(name, slots=4)
            node.scripts = [die(3), answer(), fail(2), die(0), answer(), fail(1)]
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(mesh.collect(request(number=i))) for i in range(1, 25)]
    for task in tasks:
        assert text_of(task.result()) == words(10)
        assert done_of(task.result()).completion_tokens == 10


def _moved(record: Any, endpoint: str, instance: int = 1) -> Any:
    from dataclasses import replace

    return replace(record, endpoint=endpoint, instance=f"moved-{instance}")
