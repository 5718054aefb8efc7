"""Embeddings on the twins: from a request to one node's whole answer, whatever else goes wrong."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

import mesh as sdk
from mesh.embedding import Embeddings, EmbedRequest, packed
from mesh.errors import (
    AttemptFailed,
    CannotAnswer,
    ContextOverflow,
    DeadlineExceeded,
    EngineFailed,
    InvalidRequest,
    MeshError,
    NoCandidate,
    Overloaded,
    UnknownModel,
    UnknownSpecialty,
)
from mesh.transport.base import Accepted, Attempt, Finished, Sink, Tokens, Vectors
from mesh.types import FinishReason, ModelId, Piece, RequestId, Specialty, Usage
from orchestrator.attempts.embed import Embedder
from tests.mesh.fakes import WAIT_S, Mesh, orchestrator, until
from tests.mesh.scripted import Script, ScriptedNode, die, hang, refuse

EMBEDDING = Specialty("embedding")
MINI = ModelId("mini")


def row(text: str) -> bytes:
    """Of length 1, and another for each length of text."""
    place = len(text) % 4
    return packed([1.0 if place == index else 0.0 for index in range(4)])


def vectors(*, split: bool = False, then: Any = None) -> Script:
    """All vectors, one event each when ``split``; ``then`` instead of the end."""

    async def script(node: ScriptedNode, attempt: Attempt, sink: Sink) -> None:
        await sink.send(Accepted(node=node.id, model=attempt.model))
        data = [row(text) for text in attempt.texts]
        if split:
            for first, each in enumerate(data):
                await sink.send(Vectors(first=first, dimension=4, data=each))
        else:
            await sink.send(Vectors(first=0, dimension=4, data=b"".join(data)))
        if then is not None:
            await then(node, attempt, sink)
            return
        usage = Usage(prompt_tokens=3 * len(data), completion_tokens=0)
        await sink.send(Finished(reason=FinishReason.STOP, usage=usage))

    return script


def sends(*events: Any) -> Script:
    async def script(node: ScriptedNode, attempt: Attempt, sink: Sink) -> None:
        for event in events:
            await sink.send(event)
        await asyncio.Event().wait()

    return script


async def embedding_node(mesh: Mesh, name: str, *scripts: Script, **given: Any) -> ScriptedNode:
    fields: dict[str, Any] = {"specialties": (EMBEDDING,), "model": MINI, "embeds": True}
    node = await mesh.node(name, **(fields | given), scripts=[*scripts, *[vectors()] * 20])
    await until(
        lambda: (
            (seen := mesh.fleet.view.nodes.get(node.id)) is not None
            and seen.record.models[0].embeds is node.embeds
        ),
        "the record is there",
    )
    return node


def embedder(mesh: Mesh, **changes: Any) -> Embedder:
    given: dict[str, Any] = {
        "default_timeout_s": WAIT_S,
        "max_request_bytes": 10_000,
    }
    return Embedder(mesh.fleet, mesh.dispatch.failover, mesh.clock, **(given | changes))


def request(*texts: str, **given: Any) -> EmbedRequest:
    fields: dict[str, Any] = {"id": RequestId(f"{1:032x}"), "texts": texts or ("a", "bb")}
    return EmbedRequest(**(fields | given))


async def embedded(mesh: Mesh, *texts: str, **given: Any) -> Embeddings:
    async with asyncio.timeout(WAIT_S):
        return await embedder(mesh).embed(request(*texts, **given))


async def test_the_vectors_come_in_order_with_who_made_them_and_what_they_cost() -> None:
    async with Mesh() as mesh:
        node = await embedding_node(mesh, "a", vectors(split=True))
        found = await embedded(mesh, "x", "yy", "zzz")
        assert found.data == row("x") + row("yy") + row("zzz")
        assert (found.dimension, len(found), found.node_name, found.model) == (4, 3, "a", MINI)
        assert (found.prompt_tokens, found.attempts) == (9, 1)
        (asked,) = node.attempts
        assert (asked.texts, asked.messages, asked.credit) == (("x", "yy", "zzz"), (), 3)
        await until(lambda: node.used == 0, "its slot is free")


@pytest.mark.parametrize(
    "broken",
    [
        die(0),
        vectors(then=die(0)),
        vectors(then=refuse("overloaded")),
        refuse("overloaded"),
        refuse("draining"),
        refuse("unknown_model"),
        sends(Vectors(first=1, dimension=4, data=row("a"))),
        sends(Vectors(first=0, dimension=4, data=packed([3.0, 0.0, 0.0, 0.0]))),
        sends(Vectors(first=0, dimension=4, data=packed([float("nan")] * 4))),
        sends(
            Vectors(first=0, dimension=4, data=row("a")),
            Vectors(first=1, dimension=2, data=packed([1.0, 0.0])),
        ),
        sends(Vectors(first=0, dimension=4, data=row("a") * 3)),
        sends(Tokens(first=0, pieces=(Piece(id=1, text="w"),))),
        sends(
            Vectors(first=0, dimension=4, data=row("a")),
            Finished(reason=FinishReason.STOP, usage=Usage(prompt_tokens=1, completion_tokens=0)),
        ),
    ],
    ids=[
        *("died", "died late", "refused late", "full", "draining", "unknown", "gap", "long", "nan"),
        *("two dimensions", "too many", "tokens", "too few"),
    ],
)
async def test_whatever_becomes_of_one_node_another_answers_whole(broken: Script) -> None:
    async with Mesh() as mesh:
        bad = await embedding_node(mesh, "bad", broken, slots=8)
        good = await embedding_node(mesh, "good", slots=1)
        found = await embedded(mesh)
        assert found.data == row("a") + row("bb")
        assert found.node_name in ("good", "bad")  # the bad one may be back already
        assert len(bad.attempts) + len(good.attempts) >= 2


async def test_a_node_that_stands_still_is_left_for_another_when_it_falls_silent() -> None:
    async with Mesh(suspect_after_s=0.3) as mesh:
        freed = asyncio.Event()
        bad = await embedding_node(mesh, "bad", hang(0, freed), slots=8)
        good = await embedding_node(mesh, "good", slots=1)
        asking = asyncio.ensure_future(embedded(mesh))
        await until(lambda: bool(bad.attempts), "the first node has it")
        mesh.network.stall(bad.id)
        assert (await asking).node_name == "good"
        assert len(good.attempts) == 1


async def test_an_answering_model_is_never_asked_for_vectors_nor_the_other_way_round() -> None:
    async with Mesh() as mesh:
        chat = await mesh.node("chat", specialties=(EMBEDDING, Specialty("math")), slots=8)
        with pytest.raises(NoCandidate, match="no node of this mesh has a model that makes embed"):
            await embedded(mesh)
        with pytest.raises(NoCandidate, match="no node of this mesh has a model that makes embed"):
            await embedded(mesh, model=chat.model)
        embeds = await embedding_node(mesh, "embeds", specialties=(EMBEDDING, Specialty("math")))
        for _ in range(3):
            assert (await embedded(mesh)).node_name == "embeds"
        with pytest.raises(NoCandidate, match="chat: gives answers and makes no embeddings"):
            await embedded(mesh, model=chat.model)
        assert not chat.attempts
        from tests.mesh.fakes import request as prompt

        for _ in range(3):
            await mesh.collect(prompt())
        with pytest.raises(NoCandidate, match="embeds: makes embeddings and no answers"):
            await mesh.collect(prompt(model=MINI))
        assert len(chat.attempts) == 3
        assert all(attempt.texts for attempt in embeds.attempts)


async def test_what_nobody_has_is_named() -> None:
    async with Mesh() as mesh:
        with pytest.raises(NoCandidate, match="no node is known yet"):
            await embedded(mesh)
        await embedding_node(mesh, "a")
        with pytest.raises(UnknownSpecialty, match=r"no node serves 'law'; known .* embedding"):
            await embedded(mesh, specialty=Specialty("law"))
        with pytest.raises(UnknownModel, match=r"'nobody'.* mini"):
            await embedded(mesh, model=ModelId("nobody"))


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"texts": ()}, "no text to embed"),
        ({"texts": ("a",) * 257}, "257 texts are too many"),
        ({"texts": ("a", "  ")}, "text 2 is empty"),
        ({"texts": ("a\0",)}, "text 1 contains a NUL"),
        ({"texts": ("é" * 6_000,)}, "12,000 bytes; the limit is 10,000"),
        ({"timeout_s": -1.0}, "timeout_s must be"),
    ],
)
async def test_a_bad_request_is_refused_in_one_line_before_any_node_is_asked(
    given: dict[str, Any], words: str
) -> None:
    async with Mesh() as mesh:
        node = await embedding_node(mesh, "a")
        with pytest.raises(InvalidRequest, match=words) as caught:
            await embedded(mesh, **given)
        assert caught.value.request_id == f"{1:032x}"
        assert not node.attempts


async def test_a_text_too_long_for_one_model_goes_to_one_with_a_longer_context() -> None:
    async with Mesh() as mesh:
        refusal = refuse("context_overflow", "text 1 has 90 tokens and the model takes 64 a text")
        short = await embedding_node(mesh, "short", refusal, refusal, context_length=64, slots=8)
        with pytest.raises(ContextOverflow, match="text 1 has 90 tokens"):
            await embedded(mesh)
        await embedding_node(mesh, "long", context_length=512, slots=1, model=ModelId("longer"))
        assert (await embedded(mesh)).model == "longer"
        assert len(short.attempts) == 2


async def test_a_model_that_says_it_cannot_is_asked_on_one_other_node_and_no_more() -> None:
    async with Mesh() as mesh:
        refusal = refuse("cannot_answer", "a vector holds what is no number")
        nodes = [await embedding_node(mesh, name, refusal, refusal) for name in "abc"]
        with pytest.raises(CannotAnswer, match="no number"):
            await embedded(mesh)
        assert sum(len(node.attempts) for node in nodes) == 2


async def test_after_so_many_broken_attempts_it_gives_up_and_says_why() -> None:
    async with Mesh() as mesh:
        from tests.mesh.scripted import fail

        node = await embedding_node(mesh, "a", *[fail(0)] * 5)
        with pytest.raises(EngineFailed, match="a: the engine broke; that was attempt 3 of 3"):
            await embedded(mesh)
        assert len(node.attempts) == 3


async def test_the_deadline_ends_it_and_frees_the_slot() -> None:
    async with Mesh() as mesh:
        freed = asyncio.Event()
        await embedding_node(mesh, "a", hang(0, freed))
        with pytest.raises(DeadlineExceeded, match="the 2 texts were not embedded within 3"):
            await embedded(mesh, timeout_s=0.3)
        async with asyncio.timeout(WAIT_S):
            await freed.wait()


async def test_cancelling_it_frees_the_slot() -> None:
    async with Mesh() as mesh:
        freed = asyncio.Event()
        node = await embedding_node(mesh, "a", hang(0, freed))
        asking = asyncio.ensure_future(embedded(mesh))
        await until(lambda: bool(node.attempts), "the node has it")
        asking.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asking
        async with asyncio.timeout(WAIT_S):
            await freed.wait()
        assert (await embedded(mesh)).node_name == "a"


async def test_requests_beyond_the_slots_wait_and_beyond_the_queue_are_refused() -> None:
    async with Mesh(queue_limit=2) as mesh:
        gate = asyncio.Event()

        async def held(node: ScriptedNode, attempt: Attempt, sink: Sink) -> None:
            await gate.wait()
            await vectors()(node, attempt, sink)

        node = await embedding_node(mesh, "a", held, slots=1)
        asking = [asyncio.ensure_future(embedded(mesh)) for _ in range(3)]
        await until(lambda: sum(mesh.admission.depth.values()) == 2, "two wait")
        with pytest.raises(Overloaded):
            await embedded(mesh)
        gate.set()
        found = await asyncio.gather(*asking)
        assert {each.node_name for each in found} == {"a"}
        assert max(each.queue_ms for each in found) > 0
        assert len(node.attempts) == 3


# Through gRPC and the SDK.


@asynccontextmanager
async def connected(mesh: Mesh, **settings: Any) -> AsyncIterator[sdk.Client]:
    async with (
        orchestrator(mesh, **settings) as whole,
        sdk.connect(whole.endpoint) as client,
    ):
        await until(
            lambda: (
                any(
                    model.embeds
                    for node in whole.fleet.view.nodes.values()
                    for model in node.record.models
                )
                or not any(node.embeds for node in mesh.nodes.values())
            ),
            "the orchestrator knows who embeds",
        )
        yield client


async def test_the_sdk_gives_arrays_and_the_client_planes_errors() -> None:
    async with Mesh() as mesh:
        await embedding_node(mesh, "a", vectors(), refuse("invalid_request", "no such thing"))
        async with connected(mesh, max_request_bytes=1_000) as client:
            found = await client.embed(["x", "yy", "x"], tenant="t")
            assert [list(vector) for vector in found.vectors] == [
                [0.0, 1.0, 0.0, 0.0],
                [0.0, 0.0, 1.0, 0.0],
                [0.0, 1.0, 0.0, 0.0],
            ]
            assert (found.cosine(0, 2), found.cosine(0, 1)) == (1.0, 0.0)
            with pytest.raises(InvalidRequest, match="no such thing"):
                await client.embed("again")
            assert len(await client.embed("one text")) == 1
            with pytest.raises(InvalidRequest, match="limit is 1,000 bytes"):
                await client.embed("x" * 2_000)
            for wrong, words in (
                ([], "no text"),
                (["a", 3], "text 2 must be a str, not int"),
                ([""], "text 1 is empty"),
            ):
                with pytest.raises(InvalidRequest, match=words):
                    await client.embed(wrong)  # type: ignore[arg-type]
            with pytest.raises(InvalidRequest, match="priority 'soon' is unknown"):
                await client.embed("a", priority="soon")
            with pytest.raises(InvalidRequest, match="not a name"):
                await client.embed("a", specialty="NO NAME")


async def test_a_fleet_without_such_a_model_says_so_to_the_client() -> None:
    async with Mesh() as mesh:
        await mesh.node("chat")
        async with connected(mesh) as client:
            with pytest.raises(NoCandidate, match=r"mesh node --model FILE\.gguf --specialty emb"):
                await client.embed("hello")


async def test_the_synchronous_front_embeds_too() -> None:
    async with Mesh() as mesh:
        await embedding_node(mesh, "a")
        async with orchestrator(mesh) as whole:

            def ask() -> Embeddings | MeshError:
                with sdk.connect_sync(whole.endpoint) as client:
                    return client.embed(["x", "yy"], timeout_s=WAIT_S)

            await until(
                lambda: any(
                    model.embeds
                    for node in whole.fleet.view.nodes.values()
                    for model in node.record.models
                ),
                "the orchestrator knows who embeds",
            )
            found = await asyncio.to_thread(ask)
            assert isinstance(found, Embeddings)
            assert len(found) == 2


async def test_a_client_that_goes_away_frees_the_slot() -> None:
    async with Mesh() as mesh:
        freed = asyncio.Event()
        node = await embedding_node(mesh, "a", hang(0, freed))
        async with connected(mesh) as client:
            asking = asyncio.ensure_future(client.embed("hello"))
            await until(lambda: bool(node.attempts), "the node has it")
            asking.cancel()
            async with asyncio.timeout(WAIT_S):
                await freed.wait()
            with pytest.raises((asyncio.CancelledError, AttemptFailed)):
                await asking
