"""Whichever comes first, and nothing left running."""

from __future__ import annotations

import asyncio

import pytest

from mesh.either import either
from mesh.errors import EngineFailed, NodeLost


async def test_the_first_to_end_ends_it_and_the_others_are_cancelled_and_over() -> None:
    ended: list[str] = []
    begun, release = asyncio.Event(), asyncio.Event()

    async def endless() -> None:
        begun.set()
        try:
            await asyncio.Event().wait()
        finally:
            await asyncio.sleep(0)
            ended.append("cleaned up")

    async with asyncio.timeout(5), asyncio.TaskGroup() as group:
        waiting = group.create_task(either(endless(), release.wait()))
        await begun.wait()
        assert not waiting.done()
        release.set()
        await waiting
        assert ended == ["cleaned up"]


async def test_the_error_of_one_is_raised_as_it_is_and_of_several_the_first() -> None:
    async def fails(error: Exception) -> None:
        raise error

    with pytest.raises(EngineFailed, match="broken"):
        await either(asyncio.Event().wait(), fails(EngineFailed("broken")))
    with pytest.raises(NodeLost):
        await either(fails(NodeLost("gone")), fails(EngineFailed("broken")))


async def test_cancelling_it_cancels_all() -> None:
    begun, cancelled = asyncio.Event(), asyncio.Event()

    async def endless() -> None:
        begun.set()
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            cancelled.set()
            raise

    task = asyncio.create_task(either(endless(), asyncio.Event().wait()))
    await begun.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert cancelled.is_set()
