"""Models that come and go in any order under clients that come and go: no answer is cut, no id is
twice, nothing is left."""

from __future__ import annotations

import asyncio
import os
import random
from pathlib import Path

import pytest

from mesh.errors import ConfigError, MeshError
from mesh.fleet.records import ModelState
from mesh.transport.base import Finished, Refused
from mesh.types import ModelId
from tests.node_fakes import FakeSequence, done, pieces
from tests.residency_rig import OPENED, Box, SlowRunner, box, model

SEED = int(os.environ.get("FAULT_SEED", "0"))
NAMES = "abcde"
STEPS = 300
SIZE = 1  # GiB; all of them fit


def _running(runner: SlowRunner) -> list[FakeSequence]:
    return [sequence for sequence, _ in runner.opened if not sequence.cancelled]


def _check(node: Box, runners: set[SlowRunner]) -> None:
    ids = [each.id for each in node.roster]
    assert len(ids) == len(set(ids))
    for runner in runners:
        assert not (runner.stopped and _running(runner)), "an answer was cut"
    told = [record.id for record in node.residency.records()]
    assert told == [load.model for load in node.residency.loads()]
    assert set(told) == {each.id for each in node.roster if not each.retired}


async def _client(node: Box, name: str, ended: list[str]) -> None:
    try:
        events = await node.ask(name, timeout_s=600.0)
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


def _step(node: Box, rng: random.Random) -> None:
    """One of all that may happen to a node's models."""
    name = rng.choice(NAMES)
    match rng.randrange(5):
        case 0:
            there = node.roster.get(ModelId(name))
            if there is None:
                node.roster.add(node.model(model(name, SIZE)))
            else:
                with pytest.raises(ConfigError):
                    node.roster.add(node.model(model(name, SIZE)))
        case 1:
            node.roster.remove(ModelId(name), "the test says so")
        case 2:
            for runner in node.runners.values():
                if runner.state is ModelState.LOADING and not runner.stopped:
                    runner.loaded()
        case _:
            for runner in node.runners.values():
                for sequence in _running(runner):
                    if rng.random() < 0.5:
                        sequence.put(done())


@pytest.mark.parametrize("number", range(8))
async def test_models_come_and_go_and_every_answer_that_began_ends_well(
    tmp_path: Path, number: int
) -> None:
    rng = random.Random(f"{SEED}/{number}")
    ended: list[str] = []
    clients: list[asyncio.Task[None]] = []
    runners: set[SlowRunner] = set()
    async with (
        box(tmp_path, *(model(name, SIZE) for name in NAMES[:2]), quick=False) as node,
        asyncio.TaskGroup() as group,
    ):
        for _ in range(STEPS):
            _step(node, rng)
            for runner in node.runners.values():
                runner.script = (OPENED, pieces("a"))
                runners.add(runner)
            if rng.random() < 0.5:
                clients.append(group.create_task(_client(node, rng.choice(NAMES), ended)))
            await node.clock.advance(rng.uniform(0.0, 0.5))
            await asyncio.sleep(0)
            _check(node, runners)
        for name in NAMES:
            node.roster.remove(ModelId(name), "the end")
        for runner in runners:
            for sequence in _running(runner):
                sequence.put(done())
        await node.until(lambda: all(c.done() for c in clients) and not len(node.roster))
        _check(node, runners)
        assert all(runner.stopped for runner in runners)
        assert not list(node.residency.records())
    assert set(ended) <= {"finished", "overloaded", "unknown_model"}
    assert {"finished", "overloaded", "unknown_model"} <= set(ended)
