"""An orchestrator is lost in mid-answer: the client goes on with another, from what it has."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

import mesh as squadron
from mesh.errors import InvalidRequest, NotResumable, Unreachable
from mesh.protobuf.request import request_from_wire, request_to_wire
from mesh.stream import Assigned, Decided, Done, Tokens
from mesh.types import Continuation, ModelId, RequestId
from mesh.v1 import mesh_pb2 as pb
from orchestrator.service import Orchestrator
from tests.mesh.fakes import Mesh, done_of, orchestrator, request, text_of, until
from tests.mesh.scripted import hang, word, words

MATH = "what is 1 + 1?"


@asynccontextmanager
async def two(**given: Any) -> AsyncIterator[tuple[Mesh, Orchestrator, Orchestrator]]:
    async with Mesh() as mesh:
        await mesh.node("a", slots=4, **given)
        async with (
            orchestrator(mesh, name="first") as first,
            orchestrator(mesh, name="second") as second,
        ):
            yield mesh, first, second


def end(whole: Orchestrator) -> None:
    """At once: open streams are cut."""
    whole.stop()
    whole.stop()


async def cut_after(events: Any, whole: Orchestrator, tokens: int) -> list[Any]:
    """All events; the orchestrator ends once so many tokens came."""
    seen: list[Any] = []
    count = 0
    async for event in events:
        seen.append(event)
        if isinstance(event, Tokens):
            count += len(event.pieces)
            if count == tokens:
                end(whole)
    return seen


@pytest.mark.parametrize("discover", [False, True], ids=["given", "discovered"])
async def test_the_answer_goes_on_through_another_orchestrator(discover: bool) -> None:
    async with two() as (mesh, first, second):
        node = mesh.nodes["a"]
        node.scripts = [hang(4)]
        endpoints = [first.endpoint] if discover else [first.endpoint, second.endpoint]
        if discover:
            await until(lambda: len(mesh.store.snapshot("orchestrators/")) == 2)
            await until(lambda: len(first.fleet.view.orchestrators) == 2)
        async with squadron.connect(endpoints, discover=discover) as client:
            seen = await cut_after(client.events(MATH), first, 4)
            assert client.endpoint == second.endpoint
        resumed = node.attempts[-1]
        assert resumed.delivered == tuple(word(i) for i in range(4))
        assert resumed.tokenizer_hash == "tok"
        done = done_of(seen)
        assert text_of(seen) == words(10)
        assert [type(e) for e in seen].count(Decided) == 1, "one answer, one decision"
        assert [e.attempt for e in seen if isinstance(e, Assigned)] == [1, 2]
        (resume,) = done.resumes
        assert (resume.at_token, resume.reason) == (4, "unreachable")
        assert (done.resumed, done.attempts, done.completion_tokens) == (True, 2, 10)
        assert done.ttft_ms > 0


async def test_an_answer_of_which_nothing_came_yet_starts_again_elsewhere() -> None:
    async with two() as (mesh, first, second):
        mesh.nodes["a"].scripts = [hang(0)]
        async with (
            squadron.connect([first.endpoint, second.endpoint]) as client,
            asyncio.TaskGroup() as group,
        ):
            task = group.create_task(client.generate(MATH).text())
            await until(lambda: mesh.nodes["a"].used == 1)
            end(first)
            assert await task == words(10)


async def test_the_same_orchestrator_goes_on_when_it_comes_back() -> None:
    async with Mesh() as mesh:
        node = await mesh.node("a")
        node.scripts = [hang(4)]
        async with orchestrator(mesh) as first:
            client = await squadron.connect(first.endpoint).__aenter__()
            events = client.events(MATH)
            seen = [await anext(events) for _ in range(3)]
            while sum(len(e.pieces) for e in seen if isinstance(e, Tokens)) < 4:
                seen.append(await anext(events))
            endpoint = first.endpoint
            end(first)
            async with asyncio.TaskGroup() as group:
                rest = group.create_task(_rest(events))
                async with asyncio.timeout(10):
                    while True:
                        try:
                            async with orchestrator(mesh, name="again", bind=endpoint):
                                seen += await rest
                                break
                        except* squadron.errors.PortInUse:
                            await asyncio.sleep(0.02)
        await client.aclose()
    assert text_of(seen) == words(10)


async def _rest(events: Any) -> list[Any]:
    return [event async for event in events]


async def test_what_may_not_be_resumed_is_not_resumed_here_either() -> None:
    async with two() as (mesh, first, second):
        mesh.nodes["a"].scripts = [hang(4)]
        async with squadron.connect([first.endpoint, second.endpoint]) as client:
            with pytest.raises(NotResumable, match="4 tokens were delivered"):
                await cut_after(client.events(MATH, resume=False), first, 4)
        await until(lambda: mesh.nodes["a"].used == 0)
        assert len(mesh.nodes["a"].attempts) == 1


async def test_when_no_orchestrator_takes_over_the_error_says_how_much_came(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("mesh.client.stream.FAILOVER_S", 0.3)
    async with two() as (mesh, first, second):
        mesh.nodes["a"].scripts = [hang(4)]
        async with squadron.connect([first.endpoint, second.endpoint]) as client:
            end(second)
            with pytest.raises(Unreachable, match="lost after 4 tokens, and no orchestrator took"):
                await cut_after(client.events(MATH), first, 4)


async def test_many_answers_survive_orchestrators_that_come_and_go() -> None:
    async with Mesh() as mesh:
        await mesh.node("a", slots=16)
        async with orchestrator(mesh, name="stays") as stays:
            for round_ in range(3):
                async with orchestrator(mesh, name=f"goes-{round_}") as goes:
                    mesh.nodes["a"].scripts = [hang(k % 5) for k in range(8)]
                    async with (
                        squadron.connect([goes.endpoint, stays.endpoint]) as client,
                        asyncio.TaskGroup() as group,
                    ):
                        tasks = [group.create_task(_rest(client.events(MATH))) for _ in range(8)]
                        await until(lambda: mesh.nodes["a"].used == 8)
                        end(goes)
                    for task in tasks:
                        assert text_of(task.result()) == words(10)
                        assert isinstance(task.result()[-1], Done)


@pytest.mark.parametrize(
    ("begun", "says"),
    [
        (Continuation(pieces=(word(0),) * 11), "11 tokens were delivered already"),
        (Continuation(tokenizer_hash="x" * 129), "tokenizer_hash"),
        (Continuation(attempts=-1), "attempts must be"),
    ],
)
async def test_a_continuation_is_checked_before_it_is_used(begun: Continuation, says: str) -> None:
    from mesh.types import Sampling

    async with Mesh() as mesh:
        await mesh.node("a")
        asked = request(continuation=begun, sampling=Sampling(max_tokens=10))
        with pytest.raises(InvalidRequest, match=says):
            async for _ in mesh.answered(asked):
                pass


async def test_a_continuation_whose_ids_and_texts_do_not_pair_up_is_refused() -> None:
    wire = pb.GenerateRequest(continuation=pb.Continuation(ids=[1, 2], texts=["a"]))
    with pytest.raises(InvalidRequest, match="2 ids and 1 texts"):
        request_from_wire(wire, fresh_id=RequestId("0" * 32))


async def test_a_continuation_survives_the_wire() -> None:
    begun = Continuation(
        pieces=(word(0), word(1)), tokenizer_hash="t", attempts=2, model=ModelId("m")
    )
    asked = request(continuation=begun, resumable=False)
    wire = request_to_wire(asked)
    assert request_from_wire(wire, fresh_id=RequestId("0" * 32)) == asked
