"""A Redis that dies, stops, lies or is full: always a miss, never an error, and soon no waiting."""

from __future__ import annotations

import asyncio
import logging
import os
import random
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import replace

import psutil
import pytest

from mesh.clock import SystemClock
from mesh.types import FinishReason, Message, ModelId, NodeId, Piece, Role, Specialty
from orchestrator.memo.base import Remembered
from orchestrator.memo.codec import encode
from orchestrator.memo.link import STRIKES
from orchestrator.memo.redis import PREFIX, QUEUED_WRITES, RedisMemo
from orchestrator.memo.settings import MemoSettings
from orchestrator.router.base import Abstain, Features
from orchestrator.router.cascade import Cascade
from orchestrator.router.memo import MemoStage
from tests.redis_server import RedisServer, running
from tests.registry import eventually
from tests.stage_rig import placed

pytestmark = pytest.mark.processes

CLOCK = SystemClock()
PATIENT_MS = 5_000.0  # for tests in which Redis is well: a busy machine is no Redis away
SHORT_MS = 100.0  # for those in which the deadline passes
HERE_NOTHING = 0  # bytes of this process's own: every look goes to Redis


def memo_at(url: str, timeout_ms: float = PATIENT_MS, max_bytes: int = HERE_NOTHING) -> RedisMemo:
    settings = MemoSettings(
        redis=url, redis_timeout_ms=timeout_ms, max_bytes=max_bytes, max_answer_bytes=10_000
    )
    return RedisMemo(settings, CLOCK)


def answer(text: str = "four") -> Remembered:
    return Remembered(
        specialty=Specialty("math"),
        pieces=(Piece(id=7, text=text),),
        reason=FinishReason.STOP,
        model=ModelId("toy-math"),
        node=NodeId("n1"),
        node_name="attic",
        tokenizer_hash="abc",
        prompt_tokens=7,
        kept_at=CLOCK.wall(),
    )


def key() -> bytes:
    return os.urandom(32)


def name_of(key: bytes) -> str:
    return PREFIX + key.hex()


@asynccontextmanager
async def connected(memo: RedisMemo) -> AsyncIterator[RedisMemo]:
    async with running(memo):
        await eventually(lambda: not memo.trouble)
        yield memo


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


async def until_asked_no_more(memo: RedisMemo) -> None:
    """Looks until the circuit is open: then a look fails no call any more."""
    for _ in range(STRIKES):
        assert await memo.look(key()) is None
    before = memo.counts.shared_failures
    for _ in range(50):
        assert await memo.look(key()) is None
    assert memo.counts.shared_failures == before
    assert memo.trouble


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


# One that speaks, and is no Redis.

_Talk = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@asynccontextmanager
async def _impostor(reply: bytes, *, until_ping: bool) -> AsyncIterator[str]:
    """Answers every command with ``reply``; PING well, where ``until_ping`` is False."""

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while data := await reader.read(65_536):
                is_ping = b"PING" in data and not until_ping
                writer.write(b"+PONG\r\n" if is_ping else reply)
                await writer.drain()
        except ConnectionError:
            pass
        finally:
            writer.close()

    server = await asyncio.start_server(talk, "127.0.0.1", 0)
    async with server:
        yield f"redis://127.0.0.1:{server.sockets[0].getsockname()[1]}"


RUBBISH = [
    b"HTTP/1.1 400 Bad Request\r\n\r\n",
    b"\r\n",
    b"$abc\r\n",
    b"$-7\r\n",
    b"$3\r\nabcdef\r\n",
    b"*2\r\n$1\r\na\r\n$1\r\nb\r\n",
    b"*1\r\n" * 5_000,
    b"*-3\r\n",
    b":12\r\n",
    b":twelve\r\n",
    b"+OK\r\n+OK\r\n+OK\r\n",
    b"-\r\n",
    b"-ERR \xff\xfe\r\n",
    b"-MOVED nowhere\r\n",
    b"-MOVED 1 127.0.0.1:1\r\n",
    b"-LOADING loading\r\n",
    b"-WRONGTYPE what\r\n",
    b"%1\r\n+a\r\n+b\r\n",
    b"$-1\r\n",
    random.Random(2).randbytes(3_000),
]


@pytest.mark.parametrize("reply", RUBBISH, ids=range(len(RUBBISH)))
@pytest.mark.parametrize("until_ping", [True, False], ids=["always", "after the ping"])
async def test_whatever_it_says_a_look_is_a_miss(reply: bytes, until_ping: bool) -> None:
    async with _impostor(reply, until_ping=until_ping) as url:
        memo = memo_at(url, SHORT_MS, max_bytes=100_000)
        async with running(memo) as task:
            if not until_ping:
                await eventually(lambda: not memo.trouble)
            for _ in range(2 * STRIKES):
                assert await memo.look(key()) is None
            name = key()
            assert await memo.keep(name, answer())
            assert await memo.look(name) is not None
            await asyncio.sleep(0)
            assert not task.done()


async def test_one_that_talks_rubbish_is_asked_no_more() -> None:
    async with _impostor(b":12\r\n", until_ping=False) as url:
        memo = memo_at(url)
        async with connected(memo):
            await until_asked_no_more(memo)
            assert memo.trouble == "Redis talks rubbish"


async def test_one_that_never_stops_talking_is_cut_off_by_the_deadline() -> None:
    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await reader.read(100)
            writer.write(b"+PONG\r\n")
            await reader.read(100)
            writer.write(b"$9999999999\r\n")
            while True:
                writer.write(b"x" * 1_000)
                await writer.drain()
                await asyncio.sleep(0.001)
        except ConnectionError:
            pass
        finally:
            writer.close()

    server = await asyncio.start_server(talk, "127.0.0.1", 0)
    async with server:
        memo = memo_at(f"redis://127.0.0.1:{server.sockets[0].getsockname()[1]}", SHORT_MS)
        async with connected(memo):
            assert await memo.look(key()) is None
            assert memo.trouble == "Redis does not answer in time"


async def _gone(exists: Callable[[str], Awaitable[int]], name: str) -> None:
    async with asyncio.timeout(15.0):
        while await exists(name):  # noqa: ASYNC110 (another process deletes it)
            await asyncio.sleep(0.01)
