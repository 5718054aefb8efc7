"""Many models, little memory, clients that come and go, loads that fail: nothing is lost, and never
more is resident than fits."""

from __future__ import annotations

import asyncio
import os
import random
from pathlib import Path

import pytest

from mesh.errors import MeshError
from mesh.fleet.records import ModelState
from mesh.transport.base import Finished, Refused
from tests.residency_rig import GIB, Box, box, model

SEED = int(os.environ.get("FAULT_SEED", "0"))
REQUESTS = 60
NAMES = "abcde"
SIZE = 3  # GiB; two of them fit into the 8 GiB that models may take


def _living(node: Box) -> int:
    """Runners that hold memory at this moment."""
    return sum(1 for hosted in node.models if hosted.hosted)


async def _load_or_fail(node: Box, rng: random.Random) -> None:
    """Lets each load end in a while, well or badly, at no more than it would take alone."""
    while True:
        await node.clock.sleep(rng.uniform(0.05, 1.5))
        for runner in list(node.runners.values()):
            if runner.state is not ModelState.LOADING or runner.stopped:
                continue
            match rng.random():
                case chance if chance < 0.1:
                    runner.broken("bad luck", for_good=True)
                case chance if chance < 0.2:
                    runner.broken("bad luck", for_good=False)
                case chance if chance < 0.4:
                    runner.percent(rng.randrange(100))
                case _:
                    runner.loaded()


async def _client(node: Box, rng: random.Random, ended: list[str]) -> None:
    await node.clock.sleep(rng.uniform(0.0, 60.0))
    name = rng.choice(NAMES)
    try:
        events = await node.ask(name, timeout_s=60.0)
    except MeshError as error:
        ended.append(error.code)
        return
    match events[-1]:
        case Finished():
            ended.append("finished")
        case Refused(code=code):
            ended.append(code)
        case other:
            ended.append(f"ended with {other!r}")


@pytest.mark.parametrize("number", range(12))
async def test_whatever_comes_every_request_ends_and_nothing_is_left(
    tmp_path: Path, number: int
) -> None:
    rng = random.Random(f"{SEED}/{number}")
    models = [model(name, SIZE, pinned=name == "a" and number % 3 == 0) for name in NAMES]
    ended: list[str] = []
    async with box(tmp_path, *models, quick=False) as node, asyncio.TaskGroup() as group:
        loader = group.create_task(_load_or_fail(node, rng))
        clients = [group.create_task(_client(node, rng, ended)) for _ in range(REQUESTS)]
        left = 0
        for _ in range(4_000):
            await node.clock.advance(0.25)
            node.residency.changed()
            held = sum(SIZE * GIB for hosted in node.models if hosted.hosted)
            assert held <= 8 * GIB, "over-committed"
            assert _living(node) <= 2
            if rng.random() < 0.02:
                client = rng.choice(clients)
                left += client.cancel()
            if all(client.done() for client in clients):
                break
        assert all(client.done() for client in clients), "a request neither ended nor was refused"
        await node.clock.advance(1.0)
        assert [load.used_slots for load in node.residency.loads()] == [0] * len(NAMES)
        assert [load.queued for load in node.residency.loads()] == [0] * len(NAMES)
        loader.cancel()
    assert set(ended) <= {"finished", "overloaded", "deadline_exceeded", "engine_failed"}
    assert len(ended) >= REQUESTS - left
    assert "finished" in ended
