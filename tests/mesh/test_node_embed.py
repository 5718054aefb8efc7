"""The node's side of embeddings: what is refused, what is passed on, what its record says."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

import pytest

from mesh.clock import SystemClock
from mesh.embedding import packed
from mesh.settings.model import ModelSettings
from mesh.transport.base import Accepted, Attempt, Finished, Refused
from mesh.transport.base import Vectors as Sent
from mesh.types import Message, ModelId, Role
from node.engines.traits import to_embed
from node.models.hosted import HostedModel
from node.models.prepared import Prepared
from node.runner.messages import Opened, Rejected, Vectors
from node.serve.server import VECTORS_BYTES, AttemptServer
from tests.node_fakes import FACTS, NODE, FakeRunner, FakeSink, Hosted, attempt, done, until

OPENED = Opened(sequence=1, prompt_tokens=3)


def embedding(runner: FakeRunner) -> None:
    runner.facts = replace(FACTS, embeds=True)


@asynccontextmanager
async def serving(*hosted: Hosted) -> AsyncIterator[AttemptServer]:
    server = AttemptServer(
        NODE, [h.model for h in hosted], clock=SystemClock(), on_change=lambda: None
    )
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(h.model.run()) for h in hosted]
        await until(lambda: all(h.made is not None for h in hosted))
        yield server
        for task in tasks:
            task.cancel()


def asked(*texts: str, **changes: Any) -> Attempt:
    return attempt(messages=(), texts=texts, credit=len(texts) or 1, **changes)


async def answer(server: AttemptServer, asked: Attempt) -> list[Any]:
    sink = FakeSink()
    async with asyncio.timeout(5):
        await server.handle(asked, sink)
    return sink.events


async def test_the_runner_gets_the_texts_and_its_vectors_are_passed_on_in_frames_that_fit() -> None:
    hosted = Hosted(configure=embedding)
    texts = tuple(f"text {number}" for number in range(5))
    # Two of these are what leaves together.
    dimension = VECTORS_BYTES // 4 // 2
    rows = [packed([float(n)] * dimension) for n in range(5)]
    async with serving(hosted) as server:
        hosted.runner.script = (
            OPENED,
            Vectors(sequence=1, first=0, dimension=dimension, data=b"".join(rows)),
            done(),
        )
        events = await answer(server, asked(*texts))
        _, opening = hosted.runner.opened[0]
    assert isinstance(events[0], Accepted)
    assert [(e.first, len(e.data) // (4 * dimension)) for e in events[1:-1]] == [
        (0, 2),
        (2, 2),
        (4, 1),
    ]
    assert b"".join(event.data for event in events[1:-1]) == b"".join(rows)
    assert all(isinstance(event, Sent) for event in events[1:-1])
    assert isinstance(events[-1], Finished)
    assert (opening.texts, opening.credit) == (texts, 5)
    assert hosted.runner.used_slots == 0


@pytest.mark.parametrize(
    ("texts", "words"),
    [(("",), "text 1 is empty"), (("a", "b\0"), "text 2 contains a NUL")],
)
async def test_bad_texts_are_refused_before_a_slot_is_taken(
    texts: tuple[str, ...], words: str
) -> None:
    hosted = Hosted(configure=embedding)
    async with serving(hosted) as server:
        (event,) = await answer(server, asked(*texts))
    assert isinstance(event, Refused)
    assert (event.code, words in event.message) == ("invalid_request", True)
    assert not hosted.runner.opened


async def test_each_kind_of_model_refuses_the_other_kind_of_work() -> None:
    chat, vectors = Hosted("chat"), Hosted("vectors", configure=embedding)
    async with serving(chat, vectors) as server:
        (no_vectors,) = await answer(server, asked("a", model=ModelId("chat")))
        hello = (Message.of(Role.USER, "hello"),)
        (no_answer,) = await answer(server, attempt(messages=hello, model=ModelId("vectors")))
        assert not chat.runner.opened + vectors.runner.opened
    assert no_vectors.code == no_answer.code == "cannot_answer"
    assert "'chat' gives answers and makes no embeddings" in no_vectors.message
    assert "'vectors' makes embeddings and no answers" in no_answer.message


async def test_a_refusal_of_the_runner_reaches_the_caller_as_one() -> None:
    hosted = Hosted(configure=embedding)
    refused = Rejected(sequence=1, code="context_overflow", message="text 1 has 900 tokens")
    async with serving(hosted) as server:
        hosted.runner.script = (refused,)
        (event,) = await answer(server, asked("a"))
    assert isinstance(event, Refused)
    assert event.code == "context_overflow"


@pytest.mark.parametrize(("options", "wanted"), [({}, False), ({"embedding": True}, True)])
def test_the_record_says_so_before_the_model_was_ever_looked_at(
    options: dict[str, Any], wanted: bool
) -> None:
    settings = ModelSettings(source="m", specialties=("embedding",), options=options)

    def prepare(*arguments: Any) -> Prepared:
        raise NotImplementedError

    def make(*arguments: Any) -> FakeRunner:
        raise NotImplementedError

    model = HostedModel(
        settings, default_threads=1, make_runner=make, on_change=lambda: None, prepare=prepare
    )
    assert model.record().embeds is wanted
    assert to_embed(options, None) is wanted
