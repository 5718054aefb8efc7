"""What is under way to a client and unread: a window, whatever gRPC's own windows are."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from mesh.clock import ManualClock
from mesh.errors import InvalidRequest, Unread
from mesh.protobuf.flow import (
    TRUST_PAUSE_S,
    TRUST_STEP,
    TRUSTED_PIECES,
    WINDOW_BYTES,
    WINDOW_PIECES,
    Flow,
    Flows,
)
from mesh.protobuf.metadata import ACKNOWLEDGES
from mesh.stream import Progress, Tokens
from mesh.types import Piece
from mesh.v1 import mesh_pb2 as pb

NAME = "0" * 32


class Wire:
    def __init__(self, name: str | None = NAME) -> None:
        self.name = name
        self.written = 0

    def invocation_metadata(self) -> tuple[tuple[str, str], ...]:
        return () if self.name is None else ((ACKNOWLEDGES, self.name),)

    async def write(self, data: bytes) -> None:
        self.written += len(pb.GenerateEvent.FromString(data).tokens.ids)


async def stream(flow: Flow, count: int, text: str = "w", first: int = 0) -> None:
    for index in range(first, first + count):
        await flow.write(Tokens(first=index, pieces=(Piece(id=1, text=text),)))


async def stopped(task: asyncio.Task[Any], clock: ManualClock) -> None:
    await clock.settle(2000)
    assert not task.done()


async def test_an_unread_answer_stops_at_the_window_and_goes_on_as_it_is_read() -> None:
    clock, wire = ManualClock(), Wire()
    flows = Flows(clock)
    with flows.of(wire) as flow:
        task = asyncio.ensure_future(stream(flow, 2 * WINDOW_PIECES))
        await stopped(task, clock)
        assert wire.written == WINDOW_PIECES
        await flows.acknowledge(pb.Taken(answer=NAME, pieces=10))
        await stopped(task, clock)
        assert wire.written == WINDOW_PIECES + 10
        await flows.acknowledge(pb.Taken(answer="f" * 32, pieces=10_000))
        await stopped(task, clock)
        await flows.acknowledge(pb.Taken(answer=NAME, pieces=WINDOW_PIECES))
        await task


async def test_few_large_pieces_are_a_window_too() -> None:
    clock, wire = ManualClock(), Wire()
    with Flows(clock).of(wire) as flow:
        task = asyncio.ensure_future(stream(flow, 100, text="x" * 10_000))
        await stopped(task, clock)
        assert wire.written == WINDOW_BYTES // 10_000
        task.cancel()


async def test_a_piece_larger_than_the_window_goes_alone() -> None:
    clock, wire = ManualClock(), Wire()
    with Flows(clock).of(wire) as flow:
        await stream(flow, 1, text="x" * (2 * WINDOW_BYTES))
    assert wire.written == 1


async def test_a_resumed_answer_is_counted_by_its_whole_length() -> None:
    clock, wire = ManualClock(), Wire()
    flows = Flows(clock)
    with flows.of(wire) as flow:
        task = asyncio.ensure_future(stream(flow, WINDOW_PIECES + 64, first=5000))
        await stopped(task, clock)
        await flows.acknowledge(pb.Taken(answer=NAME, pieces=5064))
        await task


async def test_a_stranger_is_trusted_with_so_much_and_then_with_so_much_a_time() -> None:
    clock, wire = ManualClock(), Wire(name=None)
    with Flows(clock).of(wire) as flow:
        task = asyncio.ensure_future(stream(flow, 3 * TRUSTED_PIECES))
        await clock.settle(3 * TRUSTED_PIECES)
        assert wire.written == TRUSTED_PIECES
        await clock.advance(3 * TRUST_PAUSE_S)
        await stopped(task, clock)
        assert wire.written == TRUSTED_PIECES + 3 * TRUST_STEP
        task.cancel()


async def test_an_answer_that_is_read_no_more_ends_with_a_reason() -> None:
    wire = Wire()
    with (
        Flows(ManualClock(), unread_s=0.01).of(wire) as flow,
        pytest.raises(Unread, match="has not read its answer for"),
    ):
        await stream(flow, WINDOW_PIECES + 1)


async def test_only_tokens_wait() -> None:
    with Flows(ManualClock()).of(Wire()) as flow:
        await stream(flow, WINDOW_PIECES)
        await flow.write(Progress(phase="queued"))


async def test_a_name_is_checked_and_is_one_answers_alone() -> None:
    flows = Flows(ManualClock())
    with pytest.raises(InvalidRequest), flows.of(Wire("me")):
        pass
    with (
        flows.of(Wire()),
        pytest.raises(InvalidRequest, match="under way already"),
        flows.of(Wire()),
    ):
        pass
    with flows.of(Wire()):
        pass
