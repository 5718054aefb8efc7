"""A memo on a Redis, for tests in which that Redis is well, dies or lies."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from mesh.clock import SystemClock
from mesh.types import FinishReason, ModelId, NodeId, Piece, Specialty
from orchestrator.memo.base import Remembered
from orchestrator.memo.link import STRIKES
from orchestrator.memo.redis import PREFIX, RedisMemo
from orchestrator.memo.settings import MemoSettings
from tests.registry import eventually
from training.rigs.redis_server import running

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


async def until_asked_no_more(memo: RedisMemo) -> None:
    """Looks until the circuit is open: then a look fails no call any more."""
    for _ in range(STRIKES):
        assert await memo.look(key()) is None
    before = memo.counts.shared_failures
    for _ in range(50):
        assert await memo.look(key()) is None
    assert memo.counts.shared_failures == before
    assert memo.trouble
