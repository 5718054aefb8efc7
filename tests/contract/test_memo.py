"""What every memo guarantees, on the one in this process and on one behind a real Redis."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import replace

import pytest
import pytest_asyncio

from mesh.clock import ManualClock
from mesh.types import FinishReason, ModelId, NodeId, Piece, Specialty
from orchestrator.memo.base import Memo, Remembered
from orchestrator.memo.choice import memo_of
from orchestrator.memo.codec import encode
from orchestrator.memo.settings import MemoSettings
from tests.registry import eventually
from training.rigs.redis_server import RedisServer, running

SETTINGS = MemoSettings(ttl_s=60.0, redis_timeout_ms=2000.0)  # a busy machine is no Redis away


def answer(text: str = "four", *, at: float = 0.0, tokens: int = 3) -> Remembered:
    pieces = tuple(Piece(id=number, text=text) for number in range(tokens))
    return Remembered(
        specialty=Specialty("math"),
        pieces=pieces,
        reason=FinishReason.STOP,
        model=ModelId("toy-math"),
        node=NodeId("n1"),
        node_name="attic",
        tokenizer_hash="abc",
        prompt_tokens=7,
        kept_at=at,
    )


def key() -> bytes:
    return os.urandom(32)  # so that tests can share a server


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def server() -> AsyncIterator[RedisServer]:
    async with RedisServer() as server:
        yield server


class Place:
    """Makes memos that run until the test is over."""

    def __init__(self, stack: AsyncExitStack, url: str | None) -> None:
        self.clock = ManualClock()
        self._stack = stack
        self.url = url

    async def memo(self, settings: MemoSettings = SETTINGS) -> Memo:
        memo = memo_of(replace(settings, redis=self.url), self.clock)
        await self._stack.enter_async_context(running(memo))
        await eventually(lambda: not memo.trouble)
        return memo


@pytest.fixture(params=["in_process", pytest.param("redis", marks=pytest.mark.processes)])
def url(request: pytest.FixtureRequest) -> str | None:
    if request.param == "in_process":
        return None
    server: RedisServer = request.getfixturevalue("server")
    return server.url


@pytest_asyncio.fixture
async def place(url: str | None) -> AsyncIterator[Place]:
    async with AsyncExitStack() as stack:
        yield Place(stack, url)


async def test_what_is_kept_is_found_again_as_it_was(place: Place) -> None:
    memo, name = await place.memo(), key()
    assert await memo.look(name) is None
    kept = answer("a\n🙂", at=place.clock.wall())
    assert await memo.keep(name, kept)
    assert await memo.look(name) == kept
    assert (memo.counts.hits, memo.counts.misses, memo.counts.kept) == (1, 1, 1)


async def test_another_key_finds_nothing(place: Place) -> None:
    memo = await place.memo()
    await memo.keep(key(), answer())
    assert await memo.look(key()) is None


async def test_of_two_kept_under_one_key_the_later_counts(place: Place) -> None:
    memo, name = await place.memo(), key()
    await memo.keep(name, answer("old"))
    await memo.keep(name, answer("new"))
    assert await memo.look(name) == answer("new")
    assert memo.counts.entries == 1


async def test_nothing_is_found_after_its_time(place: Place) -> None:
    memo, name = await place.memo(), key()
    await memo.keep(name, answer(at=place.clock.wall()))
    await place.clock.advance(59.9)
    assert await memo.look(name) is not None
    await place.clock.advance(0.2)
    assert await memo.look(name) is None
    assert memo.counts.expired > 0


async def test_an_answer_too_large_is_not_kept(place: Place) -> None:
    size = len(encode(answer("x" * 100)))
    memo, name = await place.memo(replace(SETTINGS, max_answer_bytes=size - 1)), key()
    assert not await memo.keep(name, answer("x" * 100))
    assert await memo.look(name) is None
    assert memo.counts.too_large == 1
    roomy = await place.memo(replace(SETTINGS, max_answer_bytes=size))
    assert await roomy.keep(name, answer("x" * 100))
    assert await roomy.look(name) == answer("x" * 100)


async def test_memory_stays_below_its_limit_and_the_newest_stay(place: Place) -> None:
    memo = await place.memo(replace(SETTINGS, max_bytes=10_000))
    names = [key() for _ in range(100)]
    for name in names:
        await memo.keep(name, answer())
        assert memo.counts.bytes <= 10_000
    counts = memo.counts
    assert counts.entries + counts.evicted == 100
    assert 10 < counts.entries < 100
    assert await memo.look(names[-1]) is not None


async def test_no_time_means_that_nothing_is_kept(place: Place) -> None:
    memo, name = await place.memo(replace(SETTINGS, ttl_s=0.0)), key()
    assert not await memo.keep(name, answer())
    assert await memo.look(name) is None


async def test_it_works_by_what_it_holds_itself_when_it_is_not_run(place: Place) -> None:
    memo = memo_of(replace(SETTINGS, redis=place.url), place.clock)
    name = key()
    assert await memo.keep(name, answer())
    assert await memo.look(name) == answer()
    assert await memo.look(key()) is None


async def test_its_run_ends_when_cancelled_and_can_be_run_again(place: Place) -> None:
    memo, name = memo_of(replace(SETTINGS, redis=place.url), place.clock), key()
    for _ in range(2):
        async with running(memo):
            await eventually(lambda: not memo.trouble)
            await memo.keep(name, answer())
    assert await memo.look(name) == answer()
