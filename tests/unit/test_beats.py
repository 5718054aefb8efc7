"""A stream's heartbeats: sent where nothing else is, and never in between two halves of a write."""

from __future__ import annotations

import asyncio

import pytest

from mesh.clock import ManualClock
from mesh.errors import NoCandidate
from mesh.protobuf.beats import BEAT_S, beating
from mesh.protobuf.events import event_from_wire, event_to_bytes
from mesh.stream import Progress
from mesh.v1 import mesh_pb2 as pb

EVENT = event_to_bytes(Progress(phase="queued", done=1, total=2))


class Wire:
    def __init__(self) -> None:
        self.sent: list[bytes] = []
        self.free = asyncio.Event()
        self.free.set()

    async def write(self, data: bytes) -> None:
        await self.free.wait()
        self.sent.append(data)

    def events(self) -> list[tuple[str | None, int]]:
        """What each was, and the heartbeat that it tells of."""
        read = [pb.GenerateEvent.FromString(data) for data in self.sent]
        return [(each.WhichOneof("event"), each.heartbeat_ms) for each in read]


async def settle() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


async def test_the_first_event_tells_of_them_and_a_silent_stream_has_them() -> None:
    wire, clock = Wire(), ManualClock()
    async with beating(wire, clock) as beats:
        await beats.write(EVENT)
        await beats.write(EVENT)
        assert wire.events() == [("progress", 250), ("progress", 0)]
        for _ in range(4):  # events come: no beats
            await clock.advance(BEAT_S * 0.8)
            await settle()
            await beats.write(EVENT)
        assert all(kind == "progress" for kind, _ in wire.events())
        for _ in range(3):
            await clock.advance(BEAT_S)
            await settle()
        assert wire.events()[-3:] == [(None, 250)] * 3
    sent = len(wire.sent)
    await clock.advance(10 * BEAT_S)
    assert len(wire.sent) == sent, "a stream that ended beats no more"


async def test_a_client_that_does_not_read_has_no_heap_of_them() -> None:
    wire, clock = Wire(), ManualClock()
    async with beating(wire, clock) as beats, asyncio.TaskGroup() as group:
        wire.free.clear()
        writing = group.create_task(beats.write(EVENT))
        for _ in range(20):
            await clock.advance(BEAT_S)
            await settle()
        assert not wire.sent
        wire.free.set()
        await writing
        await settle()
        assert wire.events() == [("progress", 250)]


async def test_an_error_leaves_as_it_was() -> None:
    with pytest.raises(NoCandidate, match="nobody"):
        async with beating(Wire(), ManualClock()):
            raise NoCandidate("nobody")


def test_a_client_that_does_not_know_them_takes_them_for_nothing() -> None:
    assert event_from_wire(pb.GenerateEvent(heartbeat_ms=250)) is None
