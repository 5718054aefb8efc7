"""A real runner process, and what is read from its sequences."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import psutil

from mesh.clock import Clock, SystemClock
from mesh.fleet.records import ModelState
from mesh.types import Message, Piece, Role, Sampling
from node.engines.base import ModelSpec
from node.runner.messages import Done, Opening, Pieces, Rejected
from node.runner.process import RunnerProcess
from node.runner.sequence import Sequence

DEADLINE_S = 20.0

SLOW = {"base_ms": 20, "words": 100_000}  # a token every 20 ms, and no end

HELLO = (Message.of(Role.USER, "hello there"),)

TOKENIZER = "simulated"  # its engine's own

ENDLESS = Sampling(max_tokens=100_000)


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(DEADLINE_S):
        while not condition():  # noqa: ASYNC110 - the condition may be of another process
            await asyncio.sleep(0.005)


def make(
    *, engine: str = "simulated", source: str = "x", clock: Clock | None = None, **changes: Any
) -> RunnerProcess:
    spec: dict[str, Any] = {
        "slots": 2,
        "context_length": 4096,
        "options": {},
        "memory_bytes": None,
    }
    spec |= {key: changes.pop(key) for key in tuple(changes) if key in spec}
    return RunnerProcess(
        engine,
        ModelSpec(id="model", source=source, threads=1, **spec),
        on_change=changes.pop("on_change", lambda: None),
        clock=clock or SystemClock(),
        **changes,
    )


@asynccontextmanager
async def run(runner: RunnerProcess) -> AsyncIterator[RunnerProcess]:
    """Runs it; stopped when the context is left."""
    async with asyncio.timeout(4 * DEADLINE_S), asyncio.TaskGroup() as tasks:
        task = tasks.create_task(runner.run())
        try:
            yield runner
        finally:
            task.cancel()


@asynccontextmanager
async def running(**changes: Any) -> AsyncIterator[RunnerProcess]:
    async with run(make(**changes)) as runner:
        await until(lambda: runner.state is ModelState.RESIDENT)
        yield runner


def start(runner: RunnerProcess, **changes: Any) -> Sequence:
    arguments: dict[str, Any] = {
        "messages": HELLO,
        "sampling": Sampling(),
        "credit": 64,
        "tokenizer_hash": TOKENIZER,
    }
    return runner.open(Opening(**(arguments | changes)))


async def read(sequence: Sequence) -> tuple[list[Piece], Done | Rejected | None]:
    """All pieces, granting as they come, and how it ended. Checks that indexes have no gap."""
    pieces: list[Piece] = []
    last: Done | Rejected | None = None
    first: int | None = None
    async with asyncio.timeout(DEADLINE_S):
        async for event in sequence:
            assert last is None, "nothing comes after the end"
            match event:
                case Pieces():
                    first = event.first if first is None else first
                    assert event.first == first + len(pieces)
                    pieces += event.pieces
                    sequence.grant(len(event.pieces))
                case Done() | Rejected():
                    last = event
    return pieces, last


async def read_on(sequence: Sequence) -> tuple[list[Piece], Done | Rejected | None]:
    sequence.grant(1)
    return await read(sequence)


async def some_pieces(sequence: Sequence, count: int) -> list[Piece]:
    """At least ``count`` pieces, without granting more."""
    pieces: list[Piece] = []
    async with asyncio.timeout(DEADLINE_S):
        while len(pieces) < count:
            event = await anext(sequence)
            if isinstance(event, Pieces):
                pieces += event.pieces
    return pieces


def text(pieces: list[Piece]) -> str:
    return "".join(piece.text for piece in pieces)


def words(first: int, count: int) -> str:
    return "".join(f"tok{n} " for n in range(first, first + count))


def alive(pid: int) -> bool:
    try:
        return bool(psutil.Process(pid).status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False
