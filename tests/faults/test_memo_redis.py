"""A Redis that dies, stops, lies or is full: always a miss, never an error, and soon no waiting."""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Awaitable, Callable
from dataclasses import replace

import psutil
import pytest

from mesh.types import Message, Role, Specialty
from orchestrator.memo.base import Remembered
from orchestrator.memo.codec import encode
from orchestrator.memo.redis import QUEUED_WRITES, RedisMemo
from orchestrator.router.base import Abstain, Features
from orchestrator.router.cascade import Cascade
from orchestrator.router.memo import MemoStage
from tests.memo_redis_rig import (
    CLOCK,
    SHORT_MS,
    answer,
    connected,
    key,
    memo_at,
    name_of,
    until_asked_no_more,
)
from tests.registry import eventually
from tests.stage_rig import placed
from training.rigs.redis_server import RedisServer, running

pytestmark = pytest.mark.processes


async def until_found(memo: RedisMemo, name: bytes) -> Remembered:
    async with asyncio.timeout(15.0):
        while True:
            found = await memo.look(name)
            if found is not None:
                return found
            await asyncio.sleep(0.01)


def connections_to(port: int) -> int:
    """This process's own."""
    found = psutil.Process().net_connections("tcp")
    return sum(1 for one in found if one.raddr and one.raddr.port == port)


async def test_two_orchestrators_share_their_answers() -> None:
    async with (
        RedisServer() as server,
        connected(memo_at(server.url)) as one,
        connected(memo_at(server.url)) as two,
    ):
        name = key()
        assert await one.keep(name, answer())
        assert (await until_found(two, name)).pieces == answer().pieces
        assert two.counts.shared_hits == 1
        client = server.client()
        left = await client.pttl(name_of(name))
        await client.aclose()
        assert 3_500_000 < left <= 3_600_000


async def test_one_found_in_redis_is_found_here_from_then_on() -> None:
    async with RedisServer() as server:
        near = memo_at(server.url, max_bytes=100_000)
        async with connected(memo_at(server.url)) as one, connected(near):
            name = key()
            await one.keep(name, answer())
            await until_found(near, name)
            await server.kill()
            assert await near.look(name) is not None
            assert near.counts.shared_hits == 1


async def test_killed_it_is_a_miss_and_restarted_it_is_used_again() -> None:
    async with RedisServer() as server, connected(memo_at(server.url)) as memo:
        name = key()
        await memo.keep(name, answer())
        await until_found(memo, name)
        await server.kill()
        await until_asked_no_more(memo)
        assert not await memo.keep(name, answer())  # holds nothing itself here, and says so
        await server.start()
        await eventually(lambda: not memo.trouble)
        assert await memo.look(name) is None  # a new Redis is empty
        await memo.keep(name, answer())
        await until_found(memo, name)


async def test_killed_in_the_middle_of_a_look_it_is_a_miss() -> None:
    async with RedisServer() as server, connected(memo_at(server.url)) as memo:
        server.pause()
        looks = [asyncio.ensure_future(memo.look(key())) for _ in range(8)]
        await eventually(lambda: connections_to(server.port) >= len(looks))
        assert not any(look.done() for look in looks)
        await server.kill()
        assert await asyncio.gather(*looks) == [None] * 8
        assert memo.trouble


async def test_stopped_it_costs_the_deadline_a_few_times_and_then_nothing() -> None:
    async with RedisServer() as server, connected(memo_at(server.url, SHORT_MS)) as memo:
        server.pause()
        await until_asked_no_more(memo)
        assert memo.trouble == "Redis does not answer in time"
        server.resume()
        await eventually(lambda: not memo.trouble)
        name = key()
        await memo.keep(name, answer())
        await until_found(memo, name)


async def test_stopped_for_many_looks_at_once_every_one_is_a_miss() -> None:
    """More than there are connections: who waits for one waits no longer than its deadline."""
    async with RedisServer() as server, connected(memo_at(server.url, SHORT_MS)) as memo:
        server.pause()
        async with asyncio.timeout(15.0):
            assert await asyncio.gather(*[memo.look(key()) for _ in range(200)]) == [None] * 200
        server.resume()
        await eventually(lambda: not memo.trouble)
        name = key()
        await memo.keep(name, answer())
        await until_found(memo, name)


async def test_cancelled_looks_leave_the_connections_usable() -> None:
    async with RedisServer() as server, connected(memo_at(server.url)) as memo:
        name = key()
        await memo.keep(name, answer())
        await until_found(memo, name)
        for _ in range(20):
            looks = [asyncio.ensure_future(memo.look(name)) for _ in range(20)]
            await asyncio.sleep(0)
            for look in looks:
                look.cancel()
            done = await asyncio.gather(*looks, return_exceptions=True)
            assert all(isinstance(one, asyncio.CancelledError | Remembered) for one in done)
        # Each reply belongs to its own question, whoever gave up before.
        other = key()
        await memo.keep(other, answer("other"))
        assert (await until_found(memo, other)).pieces[0].text == "other"
        assert (await until_found(memo, name)).pieces[0].text == "four"


async def test_a_wrong_password_is_a_miss_and_named_in_the_log(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async with RedisServer(password="right") as server:
        memo = memo_at(server.url.replace("right", "wrong"))
        with caplog.at_level(logging.WARNING):
            async with running(memo):
                await eventually(lambda: memo.trouble == "Redis does not let us in")
                assert await memo.look(key()) is None
                await eventually(lambda: memo.counts.shared_failures >= 2)
        told = [record.getMessage() for record in caplog.records if "Redis" in record.getMessage()]
        assert len(told) == 1  # and not at every ping
        assert "wrong" not in told[0]
        async with connected(memo_at(server.url)) as allowed:
            name = key()
            await allowed.keep(name, answer())
            await until_found(allowed, name)


async def test_nobody_there_from_the_start_is_a_miss_until_somebody_is() -> None:
    async with RedisServer() as server:
        await server.kill()
        memo = memo_at(server.url)
        async with running(memo):
            await eventually(lambda: memo.trouble == "Redis is away")
            assert await memo.look(key()) is None
            await server.start()
            await eventually(lambda: not memo.trouble)


@pytest.mark.parametrize(
    "garbage",
    [
        b"hello",
        b"\x01",
        b"\x01" + random.Random(1).randbytes(200),
        b"\x02" + encode(replace(answer(), kept_at=0.0))[1:],
    ],
    ids=["words", "version only", "random", "other version"],
)
async def test_garbage_is_a_miss_and_deleted(garbage: bytes) -> None:
    async with RedisServer() as server, connected(memo_at(server.url)) as memo:
        client, name = server.client(), key()
        await client.set(name_of(name), garbage)
        assert await memo.look(name) is None
        assert memo.counts.garbage == 1
        await _gone(client.exists, name_of(name))
        assert not memo.trouble
        await client.aclose()


async def test_a_value_of_another_type_is_a_miss_and_deleted() -> None:
    async with RedisServer() as server, connected(memo_at(server.url)) as memo:
        client, name = server.client(), key()
        await client.rpush(name_of(name), "a", "b")
        assert await memo.look(name) is None
        await _gone(client.exists, name_of(name))
        await client.aclose()


async def test_a_huge_value_is_a_miss_and_not_read() -> None:
    async with RedisServer() as server, connected(memo_at(server.url)) as memo:
        client, name = server.client(), key()
        await client.set(name_of(name), b"\x01" * (64 * 1024 * 1024))
        await client.config_resetstat()
        assert await memo.look(name) is None
        sent = (await client.info("stats"))["total_net_output_bytes"]
        assert sent < 20_000
        assert memo.counts.too_large == 1
        await client.aclose()


async def test_a_full_redis_keeps_nothing_and_still_answers() -> None:
    async with (
        RedisServer("--maxmemory-policy", "noeviction") as server,
        connected(memo_at(server.url, max_bytes=100_000)) as memo,
    ):
        client, old, new = server.client(), key(), key()
        await client.set(name_of(old), encode(answer("old")))
        await client.config_set("maxmemory", 1)
        assert await memo.keep(new, answer("new"))
        await eventually(lambda: memo.trouble == "Redis no longer keeps an answer")
        found = await memo.look(old)
        assert found is not None
        assert found.pieces[0].text == "old"
        assert await memo.look(new) is not None  # by what this process holds
        await client.config_set("maxmemory", 0)
        await memo.keep(key(), answer())
        await eventually(lambda: not memo.trouble)
        await client.aclose()


async def test_more_writes_than_the_queue_holds_are_dropped_not_waited_for() -> None:
    async with RedisServer() as server, connected(memo_at(server.url)) as memo:
        server.pause()
        kept = [await memo.keep(key(), answer()) for _ in range(2 * QUEUED_WRITES)]
        assert sum(kept) <= QUEUED_WRITES + 1
        assert memo.counts.dropped_writes >= QUEUED_WRITES - 1
        server.resume()


async def test_the_stage_abstains_with_a_note_and_the_cascade_goes_on() -> None:
    async with RedisServer() as server, connected(memo_at(server.url, SHORT_MS)) as memo:
        stage = MemoStage(memo, "", CLOCK)
        asked = Features.of((Message.of(Role.USER, "What is 2 + 2?"),))
        assert await stage.consult(asked) == Abstain("not asked before")
        server.pause()
        outcome = await Cascade(placed(stage), Specialty("chat")).decide(asked)
        assert outcome.decision.stage == "fallback"
        note = outcome.decision.verdicts[0].note
        assert note == "not asked before; Redis does not answer in time"
        server.resume()


async def _gone(exists: Callable[[str], Awaitable[int]], name: str) -> None:
    async with asyncio.timeout(15.0):
        while await exists(name):  # noqa: ASYNC110 (another process deletes it)
            await asyncio.sleep(0.01)
