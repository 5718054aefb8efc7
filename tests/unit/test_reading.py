"""How far an answer was read, as its sender is told."""

from __future__ import annotations

import asyncio
from typing import Any

import grpc
import pytest

from mesh.client.sending import PAUSES_S, STEP_PIECES, Reading
from mesh.clock import ManualClock

FULL = grpc.StatusCode.RESOURCE_EXHAUSTED


class Stub:
    """``ends``: statuses of the first words; all is well after them."""

    def __init__(self, *ends: grpc.StatusCode) -> None:
        self.ends = list(ends)
        self.told: list[int] = []

    async def Acknowledge(self, taken: Any, timeout: float) -> None:
        if self.ends:
            none = grpc.aio.Metadata()
            raise grpc.aio.AioRpcError(self.ends.pop(0), none, none)
        self.told.append(taken.pieces)


async def test_it_says_so_in_steps_of_a_quarter_of_the_window() -> None:
    stub = Stub()
    reading = Reading(stub, ManualClock())
    for pieces in range(3 * STEP_PIECES + 1):
        await reading.taken(pieces)
    assert stub.told == [STEP_PIECES, 2 * STEP_PIECES, 3 * STEP_PIECES]


async def test_a_word_that_finds_no_place_is_said_again() -> None:
    clock = ManualClock()
    stub = Stub(FULL, FULL)
    task = asyncio.ensure_future(Reading(stub, clock).taken(STEP_PIECES))
    await clock.advance(sum(PAUSES_S[:2]) + 0.01)
    await task
    assert stub.told == [STEP_PIECES]


async def test_an_answer_whose_sender_cannot_be_told_is_lost() -> None:
    clock = ManualClock()
    stub = Stub(*[FULL] * (len(PAUSES_S) + 1))
    task = asyncio.ensure_future(Reading(stub, clock).taken(STEP_PIECES))
    await clock.advance(sum(PAUSES_S) + 0.01)
    with pytest.raises(grpc.aio.AioRpcError):
        await task
    with pytest.raises(grpc.aio.AioRpcError):
        await Reading(Stub(grpc.StatusCode.UNAVAILABLE), clock).taken(STEP_PIECES)


async def test_an_older_sender_is_not_asked_twice() -> None:
    stub = Stub(grpc.StatusCode.UNIMPLEMENTED)
    reading = Reading(stub, ManualClock())
    await reading.taken(STEP_PIECES)
    await reading.taken(2 * STEP_PIECES)
    assert not stub.told
