"""Embeddings in a runner: its loop over a socket, and the process that may die of a text."""

from __future__ import annotations

import asyncio
from typing import Any

import numpy as np
import pytest

from mesh.clock import SystemClock
from mesh.errors import EngineFailed
from mesh.fleet.records import ModelState
from mesh.types import Message, Role, Sampling
from node.engines.base import ModelSpec
from node.engines.simulated.vectors import vector_of
from node.runner import messages as m
from node.runner.process import RunnerProcess
from tests.integration.test_runner_child import child, load, request

DEADLINE_S = 30.0
TEXTS = ("one", "two words", "and three words")


def texts(sequence: int, *given: str) -> m.Open:
    return request(sequence, messages=(), texts=given, credit=len(given))


def test_a_sequence_of_texts_gives_its_vectors_and_ends() -> None:
    with child() as (agent, _):
        agent.send(load(embedding=True, dimension=5), texts(1, *TEXTS))
        assert agent.receive(m.Loaded).facts.embeds
        assert agent.receive(m.Opened).prompt_tokens == 6
        for index, text in enumerate(TEXTS):
            found = agent.receive(m.Vectors)
            assert (found.sequence, found.first, found.dimension) == (1, index, 5)
            assert found.data == vector_of(text, 5)
        ended = agent.receive(m.Done)
        assert (ended.usage.prompt_tokens, ended.usage.completion_tokens) == (6, 0)
        agent.send(texts(2, "again"))  # the slot is free
        assert agent.receive(m.Vectors).data == vector_of("again", 5)


@pytest.mark.parametrize(
    ("embedding", "asked", "code", "words"),
    [
        (True, request(1), "cannot_answer", "makes embeddings and no answers"),
        (False, texts(1, "a"), "cannot_answer", "gives answers and makes no embeddings"),
        (True, texts(1, "a", " "), "invalid_request", "text 2 is empty"),
        (True, texts(1, *["a"] * 257), "invalid_request", "257 texts"),
        (True, texts(1, "long " * 100), "context_overflow", "text 1 has 100 tokens"),
    ],
)
def test_what_cannot_be_done_is_rejected_and_the_slot_is_free(
    embedding: bool, asked: m.Open, code: str, words: str
) -> None:
    with child() as (agent, _):
        agent.send(load(embedding=embedding, words=1), asked)
        rejected = agent.receive(m.Rejected)
        assert rejected.code == code
        assert words in rejected.message
        agent.send(texts(2, "a") if embedding else request(2))
        assert agent.receive(m.Done).sequence == 2


def test_a_cancelled_sequence_frees_its_slot_midway() -> None:
    with child() as (agent, _):
        # A step a text, and each takes a moment: it cannot be over when the cancel comes.
        agent.send(load(embedding=True, base_ms=20), texts(1, *["text"] * 256))
        agent.receive(m.Vectors)
        agent.send(m.Cancel(sequence=1), texts(2, "b"))
        assert agent.receive(m.Closed).sequence == 1
        assert agent.receive(m.Done).sequence == 2


@pytest.mark.processes
async def test_a_runner_that_dies_of_a_text_fails_its_sequence_and_starts_again() -> None:
    spec = ModelSpec(
        id="m",
        source="s",
        slots=2,
        context_length=64,
        threads=1,
        options={"embedding": True, "crash_at": 2},
    )
    runner = RunnerProcess("simulated", spec, on_change=lambda: None, clock=SystemClock())

    def opened(*given: str) -> Any:
        none: tuple[Message, ...] = ()
        return runner.open(
            m.Opening(messages=none, sampling=Sampling(), credit=len(given), texts=given)
        )

    async def rows_of(sequence: Any) -> list[m.Vectors]:
        return [message async for message in sequence if isinstance(message, m.Vectors)]

    async def resident() -> None:
        while runner.state is not ModelState.RESIDENT:  # noqa: ASYNC110 - it tells no event
            await asyncio.sleep(0.01)

    async with asyncio.timeout(DEADLINE_S), asyncio.TaskGroup() as group:
        running = group.create_task(runner.run())
        await resident()
        with pytest.raises(EngineFailed, match="died"):
            await rows_of(opened("a", "b", "c"))
        await resident()
        rows = await rows_of(opened("a", "b"))
        vectors = np.concatenate([np.frombuffer(row.data, "<f4") for row in rows]).reshape(2, 8)
        assert np.allclose(np.linalg.norm(vectors, axis=1), 1.0, atol=1e-5)
        running.cancel()


def test_the_user_and_the_role_of_messages_do_not_matter_to_texts() -> None:
    """Texts win: a request of both is for vectors."""
    with child() as (agent, _):
        both = request(1, messages=(Message.of(Role.USER, "hello"),), texts=("a",), credit=1)
        agent.send(load(embedding=True), both)
        assert agent.receive(m.Vectors).data == vector_of("a", 8)
