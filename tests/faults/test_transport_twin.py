"""The twin network's faults, in moved time."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass

import pytest

from mesh.clock import ManualClock
from mesh.errors import NodeLost
from mesh.settings.timing import Timing
from mesh.transport.base import Attempt, Handler, Sink, Tokens
from mesh.transport.link import FramedLink
from mesh.transport.twin import TwinNetwork
from tests.transport_rig import END, NODE, attempt, counting, read, tokens

TIMING = Timing(lease_ttl_s=4, heartbeat_s=1, peer_timeout_s=5, connect_timeout_s=3)


@dataclass
class Moved:
    clock: ManualClock
    network: TwinNetwork
    link: FramedLink
    ups: list[bool]


@asynccontextmanager
async def moved(handler: Handler) -> AsyncIterator[Moved]:
    """A node and a link that is up, in time that stands still."""
    clock = ManualClock()
    network = TwinNetwork(timing=TIMING, clock=clock, rng=random.Random(3))
    listener = network.listener(NODE)
    listener.bind()
    ups: list[bool] = []
    link = network.dialer("orchestrator").link(listener.endpoint, NODE, lambda _: None, ups.append)
    async with asyncio.timeout(10), asyncio.TaskGroup() as group:
        tasks = [group.create_task(listener.run(handler)), group.create_task(link.run())]
        await clock.settle()
        assert ups == [True]
        yield Moved(clock, network, link, ups)
        for task in tasks:
            task.cancel()


def forever(ended: Callable[[], None] = lambda: None) -> Handler:
    async def handle(asked: Attempt, sink: Sink) -> None:
        try:
            await sink.send(tokens(0))
            await asyncio.Event().wait()
        finally:
            ended()

    return handle


@pytest.mark.parametrize("how", ["cut", "stall"])
async def test_silence_takes_the_peer_timeout_and_not_more(how: str) -> None:
    ended: list[bool] = []
    async with moved(forever(lambda: ended.append(True))) as world:
        await world.clock.advance(0.5)
        stream = world.link.open(attempt())
        assert await anext(stream) == tokens(0)
        getattr(world.network, how)(NODE)
        await world.clock.advance(TIMING.peer_timeout_s - TIMING.heartbeat_s - 0.5)
        assert world.link.up
        await world.clock.advance(TIMING.heartbeat_s + 0.5)
        assert world.ups == [True, False]
        with pytest.raises(NodeLost, match="nothing heard for 5 s"):
            await anext(stream)
        assert ended  # the node saw its peer fall silent as well


@pytest.mark.parametrize("how", ["cut", "stall"])
async def test_the_link_is_up_again_after_it_is_healed(how: str) -> None:
    async with moved(counting(10)) as world:
        getattr(world.network, how)(NODE)
        await world.clock.advance(60)
        assert not world.link.up
        world.network.heal(NODE)
        await world.clock.advance(2 * TIMING.connect_timeout_s)
        assert world.link.up
        assert (await read(world.link.open(attempt()))).last == END


async def test_a_short_cut_loses_nothing() -> None:
    async with moved(counting(200)) as world:
        stream = world.link.open(attempt())
        await anext(stream)
        world.network.cut(NODE)
        await world.clock.advance(TIMING.peer_timeout_s / 2)
        world.network.heal(NODE)
        answer = await read(stream)
        assert [p.id for p in answer.pieces] == list(range(200))
        assert world.ups == [True]


async def test_a_reset_is_noticed_without_any_time_passing() -> None:
    ended: list[bool] = []
    async with moved(forever(lambda: ended.append(True))) as world:
        stream = world.link.open(attempt())
        await anext(stream)
        world.network.reset(NODE)
        with pytest.raises(NodeLost):
            await anext(stream)
        await world.clock.settle()
        assert ended
        await world.clock.advance(1)
        assert world.ups == [True, False, True]


async def test_an_idle_link_stays_up_for_an_hour() -> None:
    async with moved(counting(1)) as world:
        await world.clock.advance(3600)
        assert world.ups == [True]


async def test_a_process_that_stood_still_itself_does_not_blame_the_other_end() -> None:
    async with moved(forever()) as world, world.link.open(attempt()) as stream:
        assert isinstance(await anext(stream), Tokens)
        world.clock._now += 100 * TIMING.peer_timeout_s  # nobody was scheduled meanwhile
        await world.clock.advance(3 * TIMING.heartbeat_s)
        assert world.ups == [True]
