"""One that speaks, and is no Redis: always a miss, and soon asked no more."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from orchestrator.memo.link import STRIKES
from tests.memo_redis_rig import SHORT_MS, answer, connected, key, memo_at, until_asked_no_more
from tests.registry import eventually
from training.rigs.redis_server import running

pytestmark = pytest.mark.processes


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
