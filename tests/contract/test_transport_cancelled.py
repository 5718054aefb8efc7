"""Cancelled and refused streams, on every transport: the handler knows, the link goes on."""

from __future__ import annotations

import asyncio

import pytest

from mesh.errors import DeadlineExceeded, InvalidRequest, NodeLost
from mesh.transport import peer as peer_module
from mesh.transport.base import (
    Attempt,
    Refused,
    Sink,
)
from mesh.transport.frames import MAX_OPEN_BYTES
from mesh.types import Message, Role
from tests.transport_rig import (
    DEADLINE_S,
    END,
    PATIENT,
    Rig,
    attempt,
    counting,
    read,
    tokens,
    until,
)

pytestmark = pytest.mark.timeout(30)


# Cancellation.
async def test_cancel_reaches_the_handler_and_nothing_more_is_yielded(kind: str) -> None:
    cancelled = asyncio.Event()

    async def handle(asked: Attempt, sink: Sink) -> None:
        try:
            await counting(10**9)(asked, sink)
        finally:
            cancelled.set()

    async with Rig(kind) as rig, asyncio.timeout(DEADLINE_S):
        link = await rig.pair(handle)
        stream = link.open(attempt())
        await anext(stream)
        stream.cancel()
        stream.cancel()
        with pytest.raises(StopAsyncIteration):
            await anext(stream)
        await cancelled.wait()
        assert link.up


async def test_leaving_the_context_cancels_what_is_open(kind: str) -> None:
    cancelled = asyncio.Event()

    async def handle(asked: Attempt, sink: Sink) -> None:
        try:
            await sink.send(tokens(0))
            await asyncio.Event().wait()
        finally:
            cancelled.set()

    async with Rig(kind) as rig, asyncio.timeout(DEADLINE_S):
        link = await rig.pair(handle)
        async with link.open(attempt()) as stream:
            await anext(stream)
        await cancelled.wait()
        assert [e async for e in stream] == []
        async with link.open(attempt()) as stream:  # a cancel right behind its open
            pass
        assert [e async for e in stream] == []
        assert link.up


async def test_cancel_wakes_a_waiting_reader(kind: str) -> None:
    async def handle(asked: Attempt, sink: Sink) -> None:
        await asyncio.Event().wait()

    async with Rig(kind) as rig, asyncio.timeout(DEADLINE_S):
        link = await rig.pair(handle)
        stream = link.open(attempt())
        reading = rig.spawn(read(stream))
        await asyncio.sleep(0.01)
        stream.cancel()
        assert (await reading).events == []


async def test_a_link_that_is_closed_cancels_its_handlers(kind: str) -> None:
    running = 0

    async def handle(asked: Attempt, sink: Sink) -> None:
        nonlocal running
        running += 1
        try:
            await asyncio.Event().wait()
        finally:
            running -= 1

    async with Rig(kind, PATIENT) as rig, asyncio.timeout(DEADLINE_S):
        listener, _ = rig.listen(handle)
        dialed = await rig.dialed(listener.endpoint)
        stream = dialed.link.open(attempt())
        await until(lambda: running == 1)
        dialed.task.cancel()
        await until(lambda: running == 0, within_s=PATIENT.peer_timeout_s / 3)
        with pytest.raises(NodeLost):
            await anext(stream)
        assert dialed.ups == [True, False]


# Overload.
async def test_more_streams_than_the_limit_are_refused_as_overload(
    kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(peer_module, "MAX_OPEN_STREAMS", 4)
    go_on = asyncio.Event()

    async def handle(asked: Attempt, sink: Sink) -> None:
        await go_on.wait()
        await sink.send(END)

    async with Rig(kind) as rig, asyncio.timeout(DEADLINE_S):
        link = await rig.pair(handle)
        held = [link.open(attempt()) for _ in range(4)]
        refused = (await read(link.open(attempt()))).last
        assert isinstance(refused, Refused)
        assert refused.code == "overloaded"
        go_on.set()
        assert [(await read(s)).last for s in held] == [END] * 4
        assert (await read(link.open(attempt()))).last == END


async def test_an_attempt_that_no_node_would_accept_is_refused_where_it_is_made(kind: str) -> None:
    async with Rig(kind) as rig, asyncio.timeout(DEADLINE_S):
        link = await rig.pair(counting(3))
        large = Message.of(Role.USER, "x" * (MAX_OPEN_BYTES + 1))
        with pytest.raises(InvalidRequest, match="limit"):
            link.open(attempt(messages=(large,)))
        with pytest.raises(InvalidRequest, match="credit"):
            link.open(attempt(credit=-1))
        with pytest.raises(DeadlineExceeded):
            link.open(attempt(timeout_s=-0.1))
        fits = Message.of(Role.USER, "x" * (MAX_OPEN_BYTES - 10_000))
        assert (await read(link.open(attempt(messages=(fits,))))).last == END
