"""Vectors over every wire: whole, in order, and never more than there are texts."""

from __future__ import annotations

import asyncio

import pytest

from mesh.embedding import count_of, packed
from mesh.errors import InvalidRequest, NodeLost
from mesh.transport.base import Accepted, Attempt, AttemptEvent, Sink, Vectors
from mesh.transport.frames import MAX_OPEN_BYTES, MAX_VECTORS_BYTES, FrameType
from tests.transport_rig import DEADLINE_S, END, NODE, Rig, attempt, until

pytestmark = pytest.mark.timeout(30)


def asked(count: int, text: str = "text") -> Attempt:
    return attempt(messages=(), texts=tuple(f"{text} {n}" for n in range(count)), credit=count)


def row(number: int, dimension: int) -> bytes:
    return packed([float(number)] + [0.0] * (dimension - 1))


async def answered(rig: Rig, count: int, dimension: int, step: int) -> list[AttemptEvent]:
    async def handle(attempt: Attempt, sink: Sink) -> None:
        await sink.send(Accepted(node=NODE, model=attempt.model))
        for first in range(0, len(attempt.texts), step):
            numbers = range(first, min(first + step, len(attempt.texts)))
            data = b"".join(row(number, dimension) for number in numbers)
            await sink.send(Vectors(first=first, dimension=dimension, data=data))
        await sink.send(END)

    link = await rig.pair(handle)
    return [event async for event in link.open(asked(count))]


@pytest.mark.parametrize(
    ("dimension", "step"),
    [(2, 1), (2, 256), (1_024, 50), (MAX_VECTORS_BYTES // 4 // 2 - 64, 1)],
)
async def test_they_arrive_whole_and_in_order(kind: str, dimension: int, step: int) -> None:
    async with Rig(kind) as rig, asyncio.timeout(DEADLINE_S):
        events = await answered(rig, 256, dimension, step)
        assert isinstance(events[0], Accepted)
        assert events[-1] == END
        found = [event for event in events if isinstance(event, Vectors)]
        assert sum(count_of(event.data, dimension) for event in found) == 256
        data = b"".join(event.data for event in found)
        assert data == b"".join(row(number, dimension) for number in range(256))


async def test_the_texts_arrive_as_they_were_sent(kind: str) -> None:
    seen: list[Attempt] = []

    async def handle(attempt: Attempt, sink: Sink) -> None:
        seen.append(attempt)
        await sink.send(END)

    sent = asked(3, "ünï😀" * 10_000)
    async with Rig(kind) as rig, asyncio.timeout(DEADLINE_S):
        link = await rig.pair(handle)
        assert [event async for event in link.open(sent)] == [END]
        assert seen == [sent]


@pytest.mark.parametrize(
    "vectors",
    [
        Vectors(first=1, dimension=2, data=bytes(8)),
        Vectors(first=0, dimension=2, data=bytes(32)),
    ],
    ids=["a gap", "too many"],
)
async def test_a_node_that_sends_others_than_were_asked_for_is_lost(
    kind: str, vectors: Vectors
) -> None:
    async with Rig(kind) as rig, asyncio.timeout(DEADLINE_S):
        node = rig.raw_node()
        dialed = rig.dial(node.wire.endpoint)
        await node.welcome()
        await until(lambda: dialed.link.up)
        stream = dialed.link.open(asked(2))
        opened = await node.heard(FrameType.OPEN)
        node.say(FrameType.VECTORS, opened.stream, vectors)
        with pytest.raises(NodeLost, match="came where"):
            async for _ in stream:
                pass


@pytest.mark.parametrize(
    "bad",
    [asked(2, "x" * MAX_OPEN_BYTES), attempt(messages=(), texts=("a", "b"), credit=1)],
    ids=["too large", "credit that is not their number"],
)
async def test_what_no_node_would_take_fails_in_its_own_stream(kind: str, bad: Attempt) -> None:
    async with Rig(kind) as rig, asyncio.timeout(DEADLINE_S):

        async def handle(attempt: Attempt, sink: Sink) -> None:
            await sink.send(END)

        link = await rig.pair(handle)
        with pytest.raises(InvalidRequest, match="cannot be sent"):
            link.open(bad)
        assert [event async for event in link.open(asked(1))] == [END]
