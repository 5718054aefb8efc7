"""A session's sense of time: pings, the handshake's deadline, and how long silence may last."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from mesh.errors import NodeLost
from mesh.transport.frames import FrameType
from tests.session_rig import TIMING, SessionRig
from tests.transport_rig import attempt

PINGS = [FrameType.PING]


@asynccontextmanager
async def watched(rig: SessionRig) -> AsyncIterator[asyncio.Task[None]]:
    task = asyncio.ensure_future(rig.session.watch())
    await rig.clock.settle()
    try:
        yield task
    finally:
        task.cancel()


async def test_no_answer_to_the_greeting_ends_it_at_its_deadline() -> None:
    rig = SessionRig(up=False)
    await rig.clock.advance(0.5)  # so that the deadline falls between two beats
    async with watched(rig) as task:
        await rig.clock.advance(TIMING.connect_timeout_s - 0.51)
        assert rig.reason is None
        await rig.clock.advance(0.01)
        assert rig.reason == "no answer to the handshake in time"
        assert task.done()
    assert rig.sent == []


async def test_it_pings_at_once_and_every_heartbeat_once_it_is_up() -> None:
    rig = SessionRig(up=False)
    async with watched(rig):
        await rig.clock.advance(1.5)
        rig.welcome()
        assert rig.sent == []
        await rig.clock.advance(0.5)
        assert rig.kinds == PINGS
        await rig.clock.advance(0.9)
        assert rig.kinds == PINGS
        await rig.clock.advance(0.1)
        assert rig.kinds == PINGS * 2
        await rig.clock.advance(1.0)
        assert rig.kinds == PINGS * 3


async def test_silence_ends_it_at_its_limit_and_any_frame_breaks_it() -> None:
    rig = SessionRig()
    async with watched(rig) as task:
        await rig.clock.advance(4.9)
        rig.say(FrameType.PONG)
        await rig.clock.advance(4.9)
        assert rig.reason is None
        await rig.clock.advance(0.1)
        assert rig.reason == "nothing heard for 5 s"
        assert task.done()


async def test_a_node_that_beats_slowly_is_given_three_beats() -> None:
    rig = SessionRig(heartbeat_s=4.0)
    async with watched(rig):
        await rig.clock.advance(11.9)
        assert rig.reason is None
        await rig.clock.advance(0.1)
        assert rig.reason == "nothing heard for 12 s"


async def test_a_silent_node_gets_no_attempt_even_before_the_watch_notices() -> None:
    rig = SessionRig()
    await rig.clock.advance(5.0)
    assert rig.session.heard
    rig.session.open(attempt())
    await rig.clock.advance(0.1)
    assert not rig.session.heard
    with pytest.raises(NodeLost):
        rig.session.open(attempt())
    rig.say(FrameType.PONG)
    assert rig.session.heard


@pytest.mark.parametrize(("still_s", "left_s"), [(20.0, 5.0), (3.6, 5.0), (3.5, 1.5)])
async def test_a_process_that_stood_still_itself_does_not_blame_the_node(
    still_s: float, left_s: float
) -> None:
    """Half the limit late, from a pause of 1 s, is still no standstill."""
    rig = SessionRig()
    async with watched(rig):
        rig.clock.stand_still(still_s)
        await rig.clock.advance(left_s - 0.01)
        assert rig.reason is None
        await rig.clock.advance(0.01)
        assert rig.reason == "nothing heard for 5 s"


async def test_the_watch_ends_with_the_session() -> None:
    rig = SessionRig()
    async with watched(rig) as task:
        rig.session.end("over")
        await rig.clock.advance(1.0)
        assert task.done()
        assert rig.kinds == PINGS
