"""Attempts at texts: what is collected, what is not believed, and what a lost node costs."""

from __future__ import annotations

import struct
from typing import Any

import pytest

from mesh.embedding import EMBEDDING, Embeddings
from mesh.errors import (
    AttemptFailed,
    DeadlineExceeded,
    EngineFailed,
    InvalidRequest,
    NoCandidate,
    NodeLost,
)
from mesh.transport.base import Tokens
from mesh.types import ModelId, Priority
from orchestrator.attempts.stall import PREFILL_FLOOR_S, PREPARING_S
from orchestrator.slots.queue import RECOVERY_S
from tests.attempt_rig import NOBODY, FakeNode, Rig, embedding_node, rig, word


def unit(*directions: int, dimension: int = 2) -> bytes:
    """A vector of length 1 along each axis; -1: of length 0."""
    rows = [[float(axis == direction) for axis in range(dimension)] for direction in directions]
    return b"".join(struct.pack(f"<{dimension}f", *row) for row in rows)


async def asked(here: Rig, *texts: str, **given: Any) -> Any:
    task = here.embed(*texts, **given)
    await here.settle()
    return task


async def test_vectors_come_whole_and_say_who_made_them() -> None:
    async with rig(a := embedding_node("a")) as here:
        traceparent = f"00-{'0' * 31}5-{'0' * 15}6-01"
        task = await asked(here, "x", "y", "z", priority=Priority.BATCH, traceparent=traceparent)
        attempt = a.stream.attempt
        assert (attempt.texts, attempt.credit, attempt.number) == (("x", "y", "z"), 3, 1)
        assert (attempt.messages, attempt.delivered) == ((), ())
        assert (attempt.request_id, attempt.traceparent) == (f"{1:032x}", traceparent)
        work = here.fleet.taken[-1]
        assert (work.specialty, work.embeds, work.named) == (EMBEDDING, True, True)
        assert (work.priority, work.prompt_bytes) == (Priority.BATCH, 1)
        a.stream.accept()
        a.stream.vectors(unit(0, 1), 2)
        await here.advance(1.5)
        a.stream.vectors(unit(-1), 2)
        a.stream.finish()
        await here.settle()
        found = task.result()
        assert isinstance(found, Embeddings)
        assert (found.data, found.dimension, len(found)) == (unit(0, 1, -1), 2, 3)
        assert (found.node, found.node_name, found.model) == (a.id, "a", a.model)
        assert (found.prompt_tokens, found.attempts, found.queue_ms) == (7, 1, 0.0)
        assert found.total_ms == pytest.approx(1500.0)
        assert found.trace_id == "0" * 31 + "5"
        assert here.fleet.said == [("accepted", "a"), ("succeeded", "a")]
        assert not here.held


@pytest.mark.parametrize(
    "how", ["lose", "stop", "engine_failed", "early", "gap", "dimension", "length", "tokens"]
)
async def test_whatever_is_wrong_another_node_begins_again(how: str) -> None:
    async with rig(a := embedding_node("a"), b := embedding_node("b")) as here:
        task = await asked(here, "x", "y")
        a.stream.accept()
        a.stream.vectors(unit(0), 2)
        match how:
            case "early":
                a.stream.finish()
            case "gap":
                a.stream.vectors(unit(1), 2, first=0)
            case "dimension":
                a.stream.vectors(unit(1, dimension=3), 3)
            case "length":
                a.stream.vectors(struct.pack("<2f", 1.0, 0.05), 2)
            case "tokens":
                a.stream.feed(Tokens(first=1, pieces=(word(1),)))
            case "engine_failed":
                a.stream.fail(how)
            case _:
                getattr(a.stream, how)()
        await here.settle()
        assert here.fleet.said[-1][:2] == ("failed", "a")
        assert a.stream.over
        assert here.held == {"b": 1}
        attempt = b.stream.attempt
        assert (attempt.number, attempt.texts, attempt.delivered) == (2, ("x", "y"), ())
        work = here.fleet.taken[-1]
        assert (work.resuming, work.patience_s, work.prefer) == (True, RECOVERY_S, None)
        b.stream.accept()
        b.stream.vectors(unit(1, 1, dimension=3), 3)
        b.stream.finish()
        await here.settle()
        found = task.result()
        assert (found.data, found.dimension) == (unit(1, 1, dimension=3), 3), "of one attempt"
        assert (found.node_name, found.attempts) == ("b", 2)


async def test_a_refusal_moves_on_and_is_not_counted() -> None:
    async with rig(a := embedding_node("a"), b := embedding_node("b")) as here:
        task = await asked(here)
        a.slots = 0
        a.stream.refuse("overloaded", retry_after_s=0.2)
        await here.settle()
        assert here.fleet.said == [("refused", "a", a.model, 0.2)]
        b.stream.accept()
        b.stream.vectors(unit(0, 1), 2)
        b.stream.finish()
        await here.settle()
        assert task.result().attempts == 1
        assert not here.held


async def test_a_draining_node_is_left_without_blame() -> None:
    async with rig(a := embedding_node("a"), b := embedding_node("b")) as here:
        await asked(here)
        a.stream.accept()
        a.slots = 0
        a.stream.fail("draining")
        await here.settle()
        assert here.fleet.said[-1] == ("refused", "a", a.model, None)
        assert len(b.streams) == 1


async def test_a_link_that_is_down_is_an_attempt() -> None:
    async with rig(embedding_node("a", down=True), b := embedding_node("b")) as here:
        task = await asked(here)
        assert here.fleet.said == [("failed", "a", "there is no link to the node any more")]
        b.stream.accept()
        b.stream.vectors(unit(0, 1), 2)
        b.stream.finish()
        await here.settle()
        assert task.result().attempts == 2


async def test_a_request_out_of_bounds_is_refused_before_any_node_is_asked() -> None:
    async with rig(a := embedding_node("a")) as here:
        for text, timeout_s in (("x" * 10_001, None), ("x", -1.0)):
            task = await asked(here, text, timeout_s=timeout_s)
            assert isinstance(task.result(), InvalidRequest)
        assert not a.streams
        assert not here.fleet.taken


async def test_what_any_node_would_say_ends_it() -> None:
    async with rig(a := embedding_node("a"), b := embedding_node("b")) as here:
        task = await asked(here)
        a.stream.refuse("invalid_request")
        await here.settle()
        b.stream.refuse("invalid_request")
        await here.settle()
        assert isinstance(task.result(), InvalidRequest)
        assert task.result().request_id == f"{1:032x}"
        assert not here.held


async def test_broken_attempts_are_limited_and_the_last_loss_is_the_error() -> None:
    nodes = [embedding_node(name) for name in "abcd"]
    async with rig(*nodes) as here:
        task = await asked(here)
        for node in nodes[:3]:
            assert not task.done()
            node.stream.fail()
            await here.settle()
        error = task.result()
        assert type(error) is EngineFailed
        assert error.message == "c: broke: engine_failed; that was attempt 3 of 3"
        assert (error.node_id, error.request_id) == (nodes[2].id, f"{1:032x}")
        assert not nodes[3].streams
        assert not here.held


async def test_when_nobody_else_could_the_loss_is_the_error() -> None:
    async with rig(a := embedding_node("a")) as here:
        task = await asked(here)
        a.stream.lose()
        await here.advance(RECOVERY_S + 0.1)
        for _ in range(2):
            here.fleet.change()
            await here.settle()
        error = task.result()
        assert type(error) is NodeLost
        assert error.message.startswith("a: the link broke; nobody ")
        assert error.message.endswith(f": {NOBODY}")


async def test_when_nobody_was_there_that_is_the_error() -> None:
    async with rig(embedding_node("a", aside=True)) as here:
        task = await asked(here)
        assert isinstance(task.result(), NoCandidate)
        assert not isinstance(task.result(), AttemptFailed)


@pytest.mark.parametrize("silent", [False, True])
async def test_a_node_that_stands_still_is_left_when_there_is_another(silent: bool) -> None:
    async with rig(a := embedding_node("a"), b := embedding_node("b", slots=0)) as here:
        await asked(here)
        a.stream.accept()
        a.stream.prefill(1)
        a.stream.vectors(unit(0), 2)
        await here.settle()
        if silent:
            here.fleet.suspects[a.id] = here.clock.now()
        await here.advance(2 * PREFILL_FLOOR_S)
        assert here.open == ["a"]
        b.slots = 1
        await here.advance(0.5)
        assert a.stream.cancelled
        assert here.held == {"b": 1}
        assert here.fleet.said[-1][:2] == ("refused" if silent else "failed", "a")


async def test_vectors_and_progress_are_signs_of_life() -> None:
    async with rig(a := embedding_node("a"), b := embedding_node("b")) as here:
        await asked(here, *"abcdefgh")
        a.stream.accept()
        await here.advance(0.9 * PREPARING_S)
        a.stream.prefill(1, "loading")
        await here.advance(0.9 * PREPARING_S)
        for index in range(8):
            a.stream.vectors(unit(index % 2), 2)
            await here.advance(0.9 * PREFILL_FLOOR_S)
        assert not b.streams
        assert here.held == {"a": 1}


async def test_a_cancelled_request_holds_nothing() -> None:
    async with rig(a := embedding_node("a"), b := embedding_node("b")) as here:
        task = await asked(here)
        a.stream.accept()
        here.fleet.suspects[a.id] = here.clock.now()
        await here.settle()
        task.cancel()
        await here.settle()
        assert a.stream.cancelled
        assert not here.held
        assert not b.streams


@pytest.mark.parametrize(("texts", "words"), [("x", "the text was"), ("xyz", "the 3 texts were")])
async def test_its_deadline_ends_it(texts: str, words: str) -> None:
    async with rig(a := embedding_node("a"), b := embedding_node("b")) as here:
        task = await asked(here, *texts, timeout_s=5.0)
        assert a.stream.attempt.timeout_s == 5.0
        a.stream.accept()
        await here.advance(5.1)
        error = task.result()
        assert isinstance(error, DeadlineExceeded)
        assert error.message == (
            f"{words} not embedded within 5.0 s; allow more time or send fewer at a time"
        )
        assert a.stream.cancelled
        assert not b.streams
        assert not here.held


async def test_a_node_that_says_the_time_is_up_ends_it() -> None:
    async with rig(a := embedding_node("a"), b := embedding_node("b")) as here:
        task = await asked(here, timeout_s=5.0)
        a.stream.accept()
        await here.advance(4.6)
        a.stream.fail("deadline_exceeded")
        await here.settle()
        assert isinstance(task.result(), DeadlineExceeded)
        assert not b.streams


async def test_a_wait_that_is_too_long_says_for_what() -> None:
    async with rig(embedding_node("a", slots=0)) as here:
        task = here.embed(timeout_s=0.05)
        await task
        error = task.result()
        assert isinstance(error, DeadlineExceeded)
        assert "no slot came free for 'embedding'" in error.message


async def test_the_wait_for_a_slot_is_told() -> None:
    async with rig(a := embedding_node("a", slots=0)) as here:
        task = await asked(here)
        await here.advance(2.0)
        a.slots = 1
        here.fleet.change()
        await here.settle()
        a.stream.accept()
        a.stream.vectors(unit(0, 1), 2)
        a.stream.finish()
        await here.settle()
        assert task.result().queue_ms == pytest.approx(2000.0)


@pytest.mark.parametrize(
    ("given", "specialty"),
    [
        ({}, EMBEDDING),
        ({"specialty": "prose"}, "prose"),
        ({"model": ModelId("mini")}, "texts"),
        ({"model": ModelId("nobody's")}, EMBEDDING),
        ({"model": ModelId("mini"), "specialty": "prose"}, "prose"),
    ],
)
async def test_what_is_waited_for_has_a_name(given: dict[str, Any], specialty: str) -> None:
    node = FakeNode("a", slots=0, model=ModelId("mini"), specialties=("texts", "more"))  # type: ignore[arg-type]
    async with rig(FakeNode("other", slots=0), node) as here:
        await asked(here, "ä", "abc", **given)
        work = here.fleet.taken[-1]
        assert work.specialty == specialty
        assert work.model == given.get("model")
        assert work.prompt_bytes == 3


async def test_the_callers_transport_may_allow_less_time() -> None:
    async with rig(a := embedding_node("a")) as here:
        for granted, timeout, least in ((3.0, None, 3.0), (3.0, 2.0, 2.0), (9.0, 2.0, 2.0)):
            task = here.embed(timeout_s=timeout, granted_s=granted)
            await here.settle()
            assert a.stream.attempt.timeout_s == least
            task.cancel()
            await here.settle()
