"""Who may go on with an answer that began: its own specialty, its own model first, and nobody else;
and what a client is told of it. On the twins."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from mesh.clock import ManualClock
from mesh.errors import AttemptFailed, NodeLost
from mesh.stream import Assigned, Waiting
from mesh.types import Continuation, ModelId, Specialty
from orchestrator.attempts.failover import RECOVERY_S
from tests.mesh.fakes import Mesh, caught, done_of, manual_node, request, text_of
from tests.mesh.scripted import CHAT, MATH, die, fail, word, words

CODE = Specialty("code")


async def lost_and_alone(clock: ManualClock, mesh: Mesh, **given: Any) -> tuple[list[Any], Any]:
    """What came of a request whose only node of its specialty dies in mid-answer, and its error."""
    math = await manual_node(mesh, clock, "math", slots=4)
    chat = await manual_node(mesh, clock, "chat", specialties=(CHAT,))
    math.scripts = [die(4)]
    events: list[Any] = []

    async def read() -> None:
        async for event in mesh.generate(request(**given), fallback=CHAT, timeout_s=1000.0):
            events.append(event)

    task = asyncio.ensure_future(caught(read()))
    while not any(hasattr(event, "pieces") for event in events):
        await clock.advance(0.01)
    mesh.start(mesh.stop("math"), "the end of math")
    while not task.done():
        await clock.advance(0.05)
    assert not chat.attempts, "another specialty never finishes the sentence"
    return events, task.result()


async def test_no_other_specialty_finishes_a_sentence_and_the_error_says_how_far_it_got() -> None:
    clock = ManualClock()
    async with Mesh(clock=clock) as mesh:
        begun = clock.now()
        events, error = await lost_and_alone(clock, mesh)
        assert clock.now() - begun == pytest.approx(RECOVERY_S, abs=2.0)
    assert text_of(events) == words(4)
    assert isinstance(error, NodeLost)
    assert "4 tokens were delivered" in error.message
    assert "nobody could go on" in error.message


async def test_the_client_is_told_that_the_mesh_waits_for_what_and_for_how_long() -> None:
    clock = ManualClock()
    async with Mesh(clock=clock) as mesh:
        events, _ = await lost_and_alone(clock, mesh)
    (waiting,) = [event for event in events if isinstance(event, Waiting)]
    assert waiting.up_to_s == RECOVERY_S
    assert waiting.why.startswith("math: ")
    assert waiting.why.endswith("waiting up to 10 s for a node with 'math'")


async def test_before_its_first_token_a_substitute_may_still_answer() -> None:
    async with Mesh() as mesh:
        code = await mesh.node("code", specialties=(CODE,), slots=4)
        chat = await mesh.node("chat", specialties=(CHAT,), model=ModelId("small"))
        code.scripts = [fail(0, code="cannot_answer")]
        events = await mesh.collect(request(), decided=CODE, fallback=CHAT)
    assert done_of(events).node == chat.id
    assert [event.specialty for event in events if isinstance(event, Assigned)][-1] == CHAT


async def test_what_a_substitute_began_goes_on_with_the_substitutes_specialty() -> None:
    async with Mesh() as mesh:
        first = await mesh.node("a", specialties=(CODE,), slots=4)
        await mesh.node("b", specialties=(CODE,), slots=2)
        first.scripts = [die(3)]
        events = await mesh.collect(request(), decided=MATH, substitutes={"math": "code"})
    assert text_of(events) == words(10)
    assert {e.specialty for e in events if isinstance(e, Assigned)} == {CODE}


@pytest.mark.parametrize(
    ("theirs", "tokenizer", "same", "by_ids"),
    [("one", "tok", True, True), ("two", "tok", False, True), ("two", "other", False, False)],
)
async def test_the_trailer_says_who_went_on_and_from_what(
    theirs: str, tokenizer: str, same: bool, by_ids: bool
) -> None:
    async with Mesh() as mesh:
        first = await mesh.node("a", slots=4, model=ModelId("one"))
        await mesh.node("b", slots=2, model=ModelId(theirs), tokenizer_hash=tokenizer)
        first.scripts = [fail(4)]
        (resume,) = done_of(await mesh.collect(request())).resumes
    assert (resume.from_model, resume.to_model) == ("one", theirs)
    assert (resume.same_weights, resume.by_ids) == (same, by_ids)


async def test_strict_goes_on_with_the_same_weights() -> None:
    async with Mesh() as mesh:
        first = await mesh.node("a", slots=8, model=ModelId("one"))
        await mesh.node("b", slots=6, model=ModelId("two"))
        third = await mesh.node("c", slots=1, model=ModelId("one"))
        first.scripts = [fail(4)]
        done = done_of(await mesh.collect(request(strict=True)))
    assert (done.node, done.resumes[0].same_weights) == (third.id, True)


@pytest.mark.parametrize("strict", [True, False])
async def test_strict_ends_where_no_other_has_the_same_weights(strict: bool) -> None:
    clock = ManualClock()
    async with Mesh(clock=clock) as mesh:
        first = await manual_node(mesh, clock, "a", slots=8, model=ModelId("one"))
        second = await manual_node(mesh, clock, "b", slots=6, model=ModelId("two"))
        first.scripts = [die(4)] * 64
        task = asyncio.ensure_future(caught(mesh.collect(request(strict=strict), timeout_s=1000.0)))
        while not first.attempts:
            await clock.advance(0.01)
        mesh.start(mesh.stop("a"), "the end of a")
        while not task.done():
            await clock.advance(0.05)
    error = task.result()
    assert len(second.attempts) == (0 if strict else 1)
    if strict:
        assert isinstance(error, AttemptFailed)
        assert "other weights than 'one'" in error.message
    else:
        assert error is None


async def test_strict_holds_for_an_answer_that_another_orchestrator_began() -> None:
    begun = Continuation(
        pieces=(word(0),), specialty=MATH, model=ModelId("one"), weights="", attempts=1
    )
    async with Mesh() as mesh:
        other = await mesh.node("b", slots=6, model=ModelId("two"))
        same = await mesh.node("c", slots=1, model=ModelId("one"))
        done = done_of(await mesh.collect(request(strict=True, continuation=begun)))
    assert done.node == same.id
    assert not other.attempts


async def test_nobody_stands_in_for_an_answer_that_another_orchestrator_began() -> None:
    begun = Continuation(pieces=(word(0),), specialty=MATH, model=ModelId("one"), attempts=1)
    clock = ManualClock()
    async with Mesh(clock=clock) as mesh:
        chat = await manual_node(mesh, clock, "chat", specialties=(CHAT,))
        task = asyncio.ensure_future(
            caught(mesh.collect(request(continuation=begun), fallback=CHAT, timeout_s=100.0))
        )
        while not task.done():
            await clock.advance(0.1)
        assert task.result() is not None
        assert not chat.attempts
