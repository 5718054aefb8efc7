"""The node's handler behind a listener, over the twin network, as an orchestrator meets it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from mesh.clock import SystemClock
from mesh.errors import EngineFailed
from mesh.transport.base import AttemptStream, Failed, Finished, Link, Refused, Tokens
from mesh.transport.twin import TwinNetwork
from node.runner.messages import Opened
from node.serve.server import AttemptServer
from tests.node_fakes import NODE, Hosted, attempt, done, pieces, until

OPENED = Opened(sequence=1, prompt_tokens=3)


@asynccontextmanager
async def reached(hosted: Hosted) -> AsyncIterator[tuple[AttemptServer, Link]]:
    """A node's server, and an orchestrator's link to it that is up."""
    network = TwinNetwork()
    server = AttemptServer(NODE, [hosted.model], clock=SystemClock(), on_change=lambda: None)
    listener = network.listener(NODE)
    listener.bind()
    link = network.dialer("test").link(listener.endpoint, NODE, lambda _: None, lambda _: None)
    async with asyncio.TaskGroup() as group:
        tasks = [
            group.create_task(hosted.model.run()),
            group.create_task(listener.run(server.handle)),
            group.create_task(link.run()),
        ]
        await until(lambda: link.up and hosted.made is not None)
        yield server, link
        for task in tasks:
            task.cancel()


async def rest(stream: AttemptStream) -> list[Any]:
    async with asyncio.timeout(5):
        return [event async for event in stream]


async def test_a_client_that_grants_nothing_holds_the_runner_at_its_credit() -> None:
    hosted = Hosted()
    async with reached(hosted) as (server, link), link.open(attempt(credit=2)) as stream:
        await until(lambda: len(hosted.runner.opened) == 1)
        sequence, opening = hosted.runner.opened[0]
        assert opening.credit == 2
        sequence.put(OPENED, pieces("a", "b"), pieces("c", first=2), done())
        await until(lambda: sequence.granted == 2)
        assert server.in_flight.count == 1  # the third piece waits for the client
        stream.grant(1)
        events = await rest(stream)
        assert [p.text for e in events if isinstance(e, Tokens) for p in e.pieces] == [
            "a",
            "b",
            "c",
        ]
        assert isinstance(events[-1], Finished)


async def test_leaving_a_stream_frees_its_slot() -> None:
    hosted = Hosted()
    async with reached(hosted) as (server, link):
        async with link.open(attempt()):
            await until(lambda: server.in_flight.count == 1)
        await until(lambda: server.in_flight.count == 0 and hosted.runner.used_slots == 0)


async def test_a_deadline_a_broken_engine_and_a_drain_reach_the_client_by_their_codes() -> None:
    hosted = Hosted(slots=4)
    async with reached(hosted) as (server, link):
        hosted.runner.script = (OPENED, EngineFailed("the runner died"))
        assert (await rest(link.open(attempt())))[-1] == Failed(
            code="engine_failed", message="the runner died"
        )
        hosted.runner.script = (OPENED,)
        assert (await rest(link.open(attempt(timeout_s=0.05))))[-1].code == "deadline_exceeded"
        async with link.open(attempt()) as left:
            await until(lambda: server.in_flight.count == 1)
            server.in_flight.end_all()
            assert (await rest(left))[-1].code == "draining"
        (refusal,) = await rest(link.open(attempt()))
        assert isinstance(refusal, Refused)
        assert refusal.code == "draining"
