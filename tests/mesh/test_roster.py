"""Models come and go on a node that runs, and no answer is cut by that."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from mesh.errors import ConfigError
from mesh.fleet.records import ModelState
from mesh.transport.base import Finished, Refused
from mesh.types import ModelId
from node.models.roster import MOST_MODELS, Origin, Roster
from tests.node_fakes import Hosted, done, pieces
from tests.residency_rig import OPENED, Box, box, model

A = ModelId("a")


def resident(node: Box, name: str) -> bool:
    there = node.roster.get(ModelId(name))
    return there is not None and there.state is ModelState.RESIDENT


async def test_a_model_that_is_added_to_a_running_node_is_loaded_and_answers(
    tmp_path: Path,
) -> None:
    async with box(tmp_path, model("a")) as node:
        node.roster.add(node.model(model("b")), Origin.ORDER)
        await node.until(lambda: resident(node, "b"))
        assert isinstance((await node.ask("b"))[-1], Finished)
        assert [record.id for record in node.residency.records()] == ["a", "b"]
        assert node.roster.origins == {"a": Origin.SETTINGS, "b": Origin.ORDER}


async def test_what_runs_on_a_model_that_goes_runs_to_its_end_and_nothing_new_does(
    tmp_path: Path,
) -> None:
    async with box(tmp_path, model("a"), model("b")) as node, asyncio.TaskGroup() as group:
        await node.until(lambda: node.resident() == {"a", "b"})
        runner = node.runners["a"]
        runner.script = (OPENED, pieces("one"))
        running = group.create_task(node.ask("a"))
        await node.until(lambda: bool(runner.opened))
        node.roster.remove(A, "its file is gone")
        (refused,) = await node.ask("a")
        assert isinstance(refused, Refused)
        assert (refused.code, "its file is gone" in refused.message) == ("overloaded", True)
        assert [record.id for record in node.residency.records()] == ["b"]
        assert [load.model for load in node.residency.loads()] == ["b"]
        await node.clock.advance(60.0)
        assert not runner.stopped
        runner.opened[0][0].put(pieces("two", first=1), done())
        events = await running
        assert isinstance(events[-1], Finished)
        await node.until(lambda: [each.id for each in node.roster] == ["b"])
        assert runner.stopped
        (refused,) = await node.ask("a")
        assert isinstance(refused, Refused)
        assert refused.code == "unknown_model"


async def test_who_waits_for_a_model_that_goes_is_sent_elsewhere(tmp_path: Path) -> None:
    async with box(tmp_path, model("a"), quick=False) as node, asyncio.TaskGroup() as group:
        await node.until(lambda: "a" in node.runners)
        waiting = group.create_task(node.ask("a"))
        await node.until(lambda: node.residency.queued(A) == 1)
        node.roster.remove(A, "it is not wanted")
        await node.until(waiting.done)
        last = waiting.result()[-1]
        assert isinstance(last, Refused)
        assert "it is not wanted" in last.message
        await node.until(lambda: len(node.roster) == 0)
        assert node.runners["a"].stopped


async def test_an_id_is_free_again_once_its_model_has_gone_and_not_before(tmp_path: Path) -> None:
    async with box(tmp_path, model("a")) as node:
        await node.until(lambda: resident(node, "a"))
        with pytest.raises(ConfigError, match="two models have the id 'a'"):
            node.roster.add(node.model(model("a")))
        node.roster.remove(A, "replaced")
        with pytest.raises(ConfigError, match="that one is going"):
            node.roster.add(node.model(model("a")))
        await node.until(lambda: len(node.roster) == 0)
        node.roster.add(node.model(model("a")))
        await node.until(lambda: resident(node, "a"))
        assert node.made == ["a", "a"]


def test_a_node_has_so_many_models_and_says_so_of_one_more() -> None:
    roster = Roster((), queued=lambda _: 0, on_change=lambda: None)
    for number in range(MOST_MODELS):
        roster.add(Hosted(f"m{number}").model)
    with pytest.raises(ConfigError, match=r"at most 256 models: 'more' is left out"):
        roster.add(Hosted("more").model)
