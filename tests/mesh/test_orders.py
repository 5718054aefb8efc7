"""`mesh load` and `mesh unload` on a node that runs, with moved time: what they do and refuse."""

from __future__ import annotations

import asyncio
from contextlib import aclosing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from mesh.errors import ConfigError, EngineFailed, MeshError, Overloaded, UnknownModel
from mesh.fleet.records import ModelState
from mesh.orders import LoadOrder, Phase, Step, UnloadOrder
from mesh.transport.base import Finished, Refused
from mesh.types import ModelId
from node.models.hub.place import Hub
from node.models.orders import Orders
from tests.gguf import write_random
from tests.hub_rig import REPO, HubRig, running
from tests.node_fakes import done
from tests.residency_rig import GIB, OPENED, Box, box, model

NEW = LoadOrder(source="b", specialties=("code",), engine="simulated")


def orders(node: Box, gib: float = 5) -> Orders:
    """Of models that take so much."""
    return Orders(
        node.roster,
        node.residency,
        lambda settings: node.model(replace(settings, memory_bytes=int(gib * GIB))),
    )


class Ordered:
    """An order under way."""

    def __init__(self, node: Box, group: asyncio.TaskGroup, steps: Any) -> None:
        self.node = node
        self.steps: list[Step] = []
        self.error: MeshError | None = None
        self.task = group.create_task(self._run(steps))

    async def _run(self, steps: Any) -> None:
        try:
            async with aclosing(steps) as told:
                async for step in told:
                    self.steps.append(step)
        except MeshError as error:
            self.error = error

    @property
    def phases(self) -> list[Phase]:
        return list(dict.fromkeys(step.phase for step in self.steps))

    async def ended(self) -> Ordered:
        await self.node.until(self.task.done)
        return self


def hosted(node: Box) -> dict[str, ModelState]:
    return {each.id: each.state for each in node.roster}


async def test_a_model_that_is_brought_makes_room_and_is_told_to_its_end(tmp_path: Path) -> None:
    async with box(tmp_path, model("a", 5), quick=False) as node, asyncio.TaskGroup() as group:
        await node.until(lambda: "a" in node.runners)
        node.runners["a"].loaded()
        order = Ordered(node, group, orders(node).load(NEW))
        await node.until(lambda: "b" in node.runners)
        node.runners["b"].percent(40)
        await node.until(lambda: order.steps[-1].percent == 40)
        node.runners["b"].loaded()
        await order.ended()
        assert order.error is None
        assert (order.phases[0], order.phases[-2:]) == (
            Phase.WAITING,
            [Phase.LOADING, Phase.RESIDENT],
        )
        assert order.steps[-1].bytes == 5 * GIB
        assert hosted(node) == {"a": ModelState.COLD, "b": ModelState.RESIDENT}
        assert node.residency.queued(ModelId("b")) == 0
        assert node.record("b").specialties == ("code",)


async def test_a_cold_model_is_loaded_by_its_id(tmp_path: Path) -> None:
    async with box(tmp_path, model("a", 5), model("b", 5)) as node, asyncio.TaskGroup() as group:
        await node.until(lambda: hosted(node)["b"] is ModelState.COLD)
        order = await Ordered(node, group, orders(node).load(LoadOrder(source="b"))).ended()
        assert order.phases[-1] is Phase.RESIDENT
        assert hosted(node) == {"a": ModelState.COLD, "b": ModelState.RESIDENT}
        again = await Ordered(node, group, orders(node).load(LoadOrder(source="b"))).ended()
        assert again.phases == [Phase.RESIDENT]


async def test_a_failed_model_is_tried_again(tmp_path: Path) -> None:
    async with box(tmp_path, model("a", 1), quick=False) as node, asyncio.TaskGroup() as group:
        await node.until(lambda: "a" in node.runners)
        node.runners["a"].broken("no luck")
        await node.until(lambda: hosted(node)["a"] is ModelState.FAILED)
        order = Ordered(node, group, orders(node).load(LoadOrder(source="a")))
        await node.until(lambda: len(node.made) == 2)
        node.runners["a"].loaded()
        assert (await order.ended()).phases[-1] is Phase.RESIDENT


@pytest.mark.parametrize(
    ("others", "gib", "kind", "words"),
    [
        ((model("a", 5, pinned=True),), 5, Overloaded, "cannot be loaded now: .*pinned a"),
        ((), 9, EngineFailed, "could not be loaded: .* larger than all"),
    ],
)
async def test_of_a_model_that_cannot_be_loaded_nothing_is_left(
    tmp_path: Path, others: tuple[Any, ...], gib: float, kind: type[MeshError], words: str
) -> None:
    async with box(tmp_path, *others) as node, asyncio.TaskGroup() as group:
        await node.until(lambda: len(node.resident()) == len(others))
        order = await Ordered(node, group, orders(node, gib).load(NEW)).ended()
        with pytest.raises(kind, match=words):
            raise order.error or LookupError
        assert set(hosted(node)) == {each.id for each in others}


@pytest.mark.parametrize(
    ("order", "words"),
    [
        (LoadOrder(source="nowhere"), r"hosts no model 'nowhere' \(it hosts a\).*--specialty"),
        (LoadOrder(source="a", specialties=("code",)), "hosts 'a' already"),
        (LoadOrder(source="a", slots=2), "settings of its own"),
        (LoadOrder(source="c", specialties=("Code",)), "'Code' is not a name"),
        (LoadOrder(source="c", specialties=("code",), engine="gpt"), "no engine 'gpt'"),
        (LoadOrder(source="c", specialties=("code",), slots=65), "slots must be 1 to 64"),
        (LoadOrder(source="c.gguf", specialties=("code",)), "a whole path"),
        (LoadOrder(source="/no/c.gguf", specialties=("code",)), "there is no /no/c.gguf"),
        (replace(NEW, id="My Model"), "try 'my-model'"),
        (replace(NEW, id="a"), "two models have the id 'a'"),
    ],
)
async def test_an_order_that_cannot_be_is_refused_in_a_sentence(
    tmp_path: Path, order: LoadOrder, words: str
) -> None:
    async with box(tmp_path, model("a")) as node, asyncio.TaskGroup() as group:
        refused = await Ordered(node, group, orders(node).load(order)).ended()
        with pytest.raises(ConfigError, match=words):
            raise refused.error or LookupError
        assert set(hosted(node)) == {"a"}


async def test_who_leaves_during_a_load_ends_nothing(tmp_path: Path) -> None:
    async with box(tmp_path, quick=False) as node, asyncio.TaskGroup() as group:
        order = Ordered(node, group, orders(node).load(NEW))
        await node.until(lambda: "b" in node.runners)
        order.task.cancel()
        await node.until(order.task.done)
        assert node.residency.queued(ModelId("b")) == 0
        node.runners["b"].loaded()
        assert hosted(node) == {"b": ModelState.RESIDENT}


async def test_a_model_in_use_is_not_unloaded_but_after_its_answers(tmp_path: Path) -> None:
    async with box(tmp_path) as node, asyncio.TaskGroup() as group:
        await Ordered(node, group, orders(node, 1).load(NEW)).ended()
        runner = node.runners["b"]
        runner.script = (OPENED,)
        answer = group.create_task(node.ask("b"))
        await node.until(lambda: bool(runner.opened))
        refused = await Ordered(node, group, orders(node).unload(UnloadOrder(model="b"))).ended()
        with pytest.raises(Overloaded, match="1 answer runs on 'b'; say --wait"):
            raise refused.error or LookupError
        waiting = Ordered(node, group, orders(node).unload(UnloadOrder(model="b", wait=True)))
        await node.until(lambda: bool(waiting.steps))
        assert waiting.steps == [Step(phase=Phase.ANSWERS, model="b", answers=1)]
        (event,) = await node.ask("b")
        assert isinstance(event, Refused)
        runner.opened[0][0].put(done())
        assert isinstance((await answer)[-1], Finished)
        assert (await waiting.ended()).phases[-1] is Phase.FORGOTTEN
        assert hosted(node) == {}
        none = await Ordered(node, group, orders(node).unload(UnloadOrder(model="b"))).ended()
        assert isinstance(none.error, UnknownModel)


async def test_a_model_of_the_settings_becomes_cold_and_comes_back_when_asked_for(
    tmp_path: Path,
) -> None:
    async with box(tmp_path, model("a", 1)) as node, asyncio.TaskGroup() as group:
        await node.until(lambda: node.resident() == {"a"})
        order = await Ordered(node, group, orders(node).unload(UnloadOrder(model="a"))).ended()
        assert order.phases == [Phase.COLD]
        for _ in range(40):
            await node.clock.advance(0.5)
        assert hosted(node) == {"a": ModelState.COLD}
        asked = group.create_task(node.ask("a"))
        await node.until(asked.done)
        assert isinstance(asked.result()[-1], Finished)


async def test_who_waits_no_more_for_an_unloading_leaves_the_model_as_it_was(
    tmp_path: Path,
) -> None:
    async with box(tmp_path, model("a", 1)) as node, asyncio.TaskGroup() as group:
        await node.until(lambda: node.resident() == {"a"})
        runner = node.runners["a"]
        runner.script = (OPENED,)
        answer = group.create_task(node.ask("a"))
        await node.until(lambda: bool(runner.opened))
        waiting = Ordered(node, group, orders(node).unload(UnloadOrder(model="a", wait=True)))
        await node.until(lambda: bool(waiting.steps))
        assert node.slots("a") == 0
        waiting.task.cancel()
        await node.until(waiting.task.done)
        assert node.slots("a") == 2
        runner.opened[0][0].put(done())
        assert isinstance((await answer)[-1], Finished)
        assert hosted(node) == {"a": ModelState.RESIDENT}


async def test_a_pinned_model_is_not_unloaded(tmp_path: Path) -> None:
    async with box(tmp_path, model("a", 1, pinned=True)) as node, asyncio.TaskGroup() as group:
        order = await Ordered(node, group, orders(node).unload(UnloadOrder(model="a"))).ended()
        with pytest.raises(ConfigError, match="'a' is pinned"):
            raise order.error or LookupError


async def test_a_model_of_the_hub_is_pulled_by_the_node_and_that_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    weights = write_random(tmp_path / "tiny.gguf").read_bytes()
    order = LoadOrder(source=f"hf:{REPO}", specialties=("code",), context_length=64)
    with running(HubRig(files={"tiny-Q4_K_M.gguf": weights})) as rig:
        place = rig.hub(tmp_path / "cache")
        monkeypatch.setattr(Hub, "here", lambda: place)
        async with box(tmp_path) as node, asyncio.TaskGroup() as group:
            given = Orders(node.roster, node.residency, node.model)
            done = await Ordered(node, group, given.load(order)).ended()
            assert done.error is None
            assert (done.phases[0], done.phases[-1]) == (Phase.PULLING, Phase.RESIDENT)
            assert node.record("tiny").file.endswith("/tiny-Q4_K_M.gguf")
            none = await Ordered(node, group, given.load(replace(order, source="hf:a/b"))).ended()
            with pytest.raises(EngineFailed, match=r"'b' could not be loaded: .*a/b"):
                raise none.error or LookupError
            assert set(hosted(node)) == {"tiny"}
