"""Models on GPUs as NVML shows them, with moved time: a game starts, a card is lost."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pynvml

from mesh.clock import ManualClock
from mesh.fleet.records import ModelState
from mesh.settings.model import ModelSettings
from mesh.transport.base import Finished, Refused
from node.hardware.gpu import NvmlProbe
from tests.gguf import write_random
from tests.node_fakes import done
from tests.nvml_fakes import GIB, Card, FakeNvml
from tests.residency_rig import OPENED, Box, box

RESERVE = GIB // 4  # what a node keeps free by default
TICK_S = 1.0  # between two readings, as the agent does


class Watched:
    """A node whose GPUs are read anew with every tick; a resident model's VRAM is in the readings,
    as it would be. ``others``: bytes that other programs have."""

    def __init__(self, node: Box, card: Card) -> None:
        self.node = node
        self.card = card
        self.others = 0
        self.probe = NvmlProbe(node.clock, FakeNvml(card))

    def held(self) -> int:
        models = (self.node.record(m.id) for m in self.node.models)
        return sum(m.estimated_bytes for m in models if m.state is ModelState.RESIDENT)

    async def tick(self) -> None:
        self.card.used = min(self.card.total, self.others + self.held())
        gpus, line = self.probe.probe()
        self.node.residency.see(gpus, line, self.node.clock.now())
        await self.node.clock.advance(TICK_S)

    async def until(self, holds: Callable[[], bool]) -> None:
        async with asyncio.timeout(10):
            while not holds():
                await self.tick()
                await asyncio.sleep(0.001)  # files are looked at in threads, in real time


def models(folder: Path, *names: str) -> tuple[ModelSettings, ...]:
    path = write_random(folder / "tiny.gguf")
    return tuple(
        ModelSettings(source=str(path), id=name, specialties=("chat",), slots=1, context_length=64)
        for name in names
    )


@asynccontextmanager
async def watched(folder: Path, card: Card, *names: str) -> AsyncIterator[Watched]:
    gpus, _ = NvmlProbe(ManualClock(), FakeNvml(card)).probe()
    async with box(folder, *models(folder, *names), gpus=gpus, reserve_bytes=RESERVE) as node:
        yield Watched(node, card)


def desktop() -> Card:
    return Card(uuid="GPU-1", name="NVIDIA GeForce GTX 1080", total=8 * GIB, capability=(6, 1))


async def test_a_game_takes_the_card_and_the_node_shrinks_what_it_offers_until_it_ends(
    tmp_path: Path,
) -> None:
    async with watched(tmp_path, desktop(), "a", "b") as here:
        node = here.node
        await here.until(lambda: node.resident() == {"a", "b"})
        node.runners["b"].script = (OPENED,)
        async with asyncio.TaskGroup() as group:
            running = group.create_task(node.ask("b"))
            await here.until(lambda: node.models[1].used_slots == 1)
            here.others = 8 * GIB
            await here.until(lambda: node.resident() == {"b"})
            await here.until(lambda: node.slots("a") == 0)
            assert node.record("a").state is ModelState.COLD
            assert "too little on GPU-1: others hold the memory" in node.record("a").note
            (refused,) = await node.ask("a")
            assert isinstance(refused, Refused)
            assert "cannot be loaded now" in refused.message
            assert refused.retry_after_s is not None
            for _ in range(5):
                await here.tick()
            assert not running.done(), "what is busy goes on"
            node.runners["b"].opened[-1][0].put(done())
            await here.until(lambda: running.done() and not node.resident())
            assert node.slots("b") == 0
        here.others = 0
        await here.until(lambda: node.slots("a") == node.slots("b") == 1)
        async with asyncio.TaskGroup() as group:
            asked = group.create_task(node.ask("a"))
            await here.until(asked.done)
        assert isinstance(asked.result()[-1], Finished)


async def test_a_card_that_vanishes_is_in_the_record_and_to_the_client_and_comes_back(
    tmp_path: Path,
) -> None:
    async with watched(tmp_path, desktop(), "a") as here:
        node = here.node
        await here.until(lambda: node.resident() == {"a"})
        here.card.error = pynvml.NVML_ERROR_GPU_IS_LOST
        await here.until(lambda: node.record("a").state is ModelState.FAILED)
        error = node.record("a").error or ""
        assert error.startswith("its device is lost: GPU 0 does not answer: ")
        assert "lost" in error.lower()
        (refused,) = await node.ask("a")
        assert isinstance(refused, Refused)
        assert error in refused.message
        here.card.error = None
        await here.until(lambda: node.resident() == {"a"})
        assert node.record("a").error is None
        assert node.record("a").last_error == error


async def test_an_engine_that_crashes_with_its_card_is_tried_again_when_the_card_is_back(
    tmp_path: Path,
) -> None:
    async with watched(tmp_path, desktop(), "a") as here:
        node = here.node
        await here.until(lambda: node.resident() == {"a"})
        here.card.error = pynvml.NVML_ERROR_GPU_IS_LOST
        node.runners["a"].broken("CUDA error: the launch timed out")
        await here.until(lambda: node.record("a").state is ModelState.FAILED)
        for _ in range(5):
            await here.tick()
        assert "CUDA error" in (node.record("a").error or "")
        here.card.error = None
        await here.until(lambda: node.resident() == {"a"})
