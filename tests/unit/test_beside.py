"""Work that goes on beside other work, and what becomes of each when the other ends."""

from __future__ import annotations

import asyncio

import pytest

from mesh.either import beside
from mesh.errors import InvalidRequest, Unreachable


class Work:
    """``fails``: with what, once it is told to."""

    def __init__(self) -> None:
        self.running = False
        self.fails: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    async def run(self) -> None:
        self.running = True
        try:
            await self.fails
        finally:
            self.running = False


async def test_it_goes_on_while_the_context_lasts_and_no_longer() -> None:
    work = Work()
    async with beside(work.run()):
        await asyncio.sleep(0)
        assert work.running
    assert not work.running


async def test_its_error_ends_the_context_and_is_raised_as_it_was() -> None:
    work, error = Work(), Unreachable("it fell silent")

    async def whole() -> None:
        async with beside(work.run()):
            await asyncio.sleep(0)
            work.fails.set_exception(error)
            await asyncio.Event().wait()

    with pytest.raises(Unreachable) as raised:
        await whole()
    assert raised.value is error


async def test_the_contexts_own_error_ends_the_work_and_is_raised_as_it_was() -> None:
    work, error = Work(), InvalidRequest("no")

    async def whole() -> None:
        async with beside(work.run()):
            await asyncio.sleep(0)
            raise error

    with pytest.raises(InvalidRequest) as raised:
        await whole()
    assert raised.value is error
    assert not work.running


async def test_who_cancels_the_whole_is_not_answered_with_an_error() -> None:
    work = Work()

    async def whole() -> None:
        async with beside(work.run()):
            await asyncio.Event().wait()

    task = asyncio.create_task(whole())
    await asyncio.sleep(0.01)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert not work.running
