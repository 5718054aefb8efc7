"""A node's models and their residency on twins, with moved time."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from unittest import mock

from mesh.clock import ManualClock
from mesh.fleet.records import Gpu, Memory, ModelRecord, ModelState
from mesh.settings.model import ModelSettings
from mesh.transport.base import Progress
from mesh.types import ModelId
from node.engines.base import ModelFacts, ModelSpec
from node.engines.estimate import CPU
from node.engines.llama_cpp.traits import LlamaCppTraits
from node.hardware.gpu import NO_DRIVER
from node.models.fit import Corrections
from node.models.hosted import HostedModel
from node.models.residency.agent import Residency
from node.models.roster import Roster
from node.runner.messages import Opened
from node.serve.server import AttemptServer
from tests.gguf import write_random
from tests.node_fakes import FACTS, NODE, FakeRunner, FakeSink, attempt, done, pieces

GIB = 2**30

OPENED = Opened(sequence=1, prompt_tokens=3)

ANSWER = (OPENED, pieces("a"), done())


class SlowRunner(FakeRunner):
    """Loads until the test says ``loaded`` or ``broken``."""

    def __init__(self, spec: ModelSpec, on_change: Callable[[], None]) -> None:
        super().__init__(spec, on_change)
        self.state = ModelState.LOADING
        self.facts = None
        self.script = ANSWER
        self._over = asyncio.Event()

    async def run(self) -> None:
        try:
            await self._over.wait()
        finally:
            self.stopped = True

    def percent(self, value: int) -> None:
        self.load_percent = value
        self._on_change()

    def loaded(self, facts: ModelFacts = FACTS) -> None:
        self.facts = facts
        self.become(ModelState.RESIDENT)

    def broken(self, why: str, *, for_good: bool = True) -> None:
        self.become(ModelState.FAILED if for_good else ModelState.LOADING, why)
        if for_good:
            self._over.set()


class Box:
    """A node's models and server, without registry and wire. ``memory``: of 10 GiB, 8 for models.
    ``runners``: the newest of each model."""

    def __init__(
        self, folder: Path, *models: ModelSettings, quick: bool, reserve_bytes: int = 0
    ) -> None:
        self.clock = ManualClock()
        self.available = 10 * GIB
        self.quick = quick
        self.runners: dict[str, SlowRunner] = {}
        self.made: list[str] = []
        self.residency = Residency(
            clock=self.clock,
            on_change=lambda: self.roster.changed(),
            memory=lambda: Memory(total_bytes=16 * GIB, available_bytes=self.available),
            reserve_bytes=reserve_bytes,
            corrections=Corrections(folder),
        )
        self.server = AttemptServer(
            NODE,
            clock=self.clock,
            on_change=self._changed,
            residency=self.residency,
        )
        self.roster = Roster(
            (self.residency, self.server), queued=self.residency.queued, on_change=self._changed
        )
        for settings in models:
            self.roster.add(self.model(settings))

    @property
    def models(self) -> list[HostedModel]:
        return list(self.roster)

    def model(self, settings: ModelSettings) -> HostedModel:
        return HostedModel(
            settings,
            default_threads=1,
            make_runner=self._make,
            on_change=self._changed,
            clock=self.clock,
        )

    def _changed(self) -> None:
        self.residency.changed()
        self.roster.changed()

    def _make(self, engine: str, spec: ModelSpec, on_change: Callable[[], None]) -> SlowRunner:
        runner = self.runners[spec.id] = SlowRunner(spec, on_change)
        self.made.append(spec.id)
        if self.quick:
            device = str(spec.options.get("device", CPU)) if spec.gpu_layers else CPU
            runner.loaded(ModelFacts(context_length=512, device=device, tokenizer_hash="tok"))
        return runner

    def record(self, model: str) -> ModelRecord:
        return next(r for r in self.residency.records() if r.id == model)

    def slots(self, model: str) -> int:
        return next(each.slots for each in self.residency.loads() if each.model == model)

    def resident(self) -> set[str]:
        return {m.id for m in self.models if m.state is ModelState.RESIDENT}

    async def until(self, holds: Callable[[], bool], step: float = 0.1) -> None:
        """Moves this node's time until the condition holds."""
        async with asyncio.timeout(10):
            while not holds():
                await self.clock.advance(step)
                self.residency.changed()  # as the agent's reading of the hardware does
                await asyncio.sleep(0.001)  # files are looked at in threads, in real time

    async def ask(self, model: str, **changes: Any) -> list[Any]:
        sink = FakeSink()
        await self.server.handle(attempt(model=ModelId(model), **changes), sink)
        return sink.events


def model(name: str, gib: float = 0, **changes: Any) -> ModelSettings:
    given: dict[str, Any] = {
        "source": name,
        "id": name,
        "engine": "simulated",
        "specialties": ("chat",),
    }
    return ModelSettings(**(given | {"memory_bytes": int(gib * GIB), "slots": 2} | changes))


@asynccontextmanager
async def box(
    folder: Path,
    *models: ModelSettings,
    quick: bool = True,
    gpus: tuple[Gpu, ...] = (),
    reserve_bytes: int = 0,
    gap: str = "",
) -> AsyncIterator[Box]:
    """``gap``: why llama.cpp, as it is built on this box, computes on no GPU."""
    made = Box(folder, *models, quick=quick, reserve_bytes=reserve_bytes)
    built = mock.patch.object(LlamaCppTraits, "gpu_gap", return_value=gap)
    with built:
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(made.roster.run()), group.create_task(made.residency.run())]
            made.residency.see(gpus, "1 GPU" if gpus else NO_DRIVER, made.clock.now())
            try:
                yield made
            finally:
                for task in tasks:
                    task.cancel()


def gpu(free_gib: float, *, error: str | None = None, uuid: str = "GPU-1") -> Gpu:
    free = int(free_gib * GIB)
    return Gpu(
        uuid=uuid,
        name="card",
        index=0,
        total_bytes=8 * GIB,
        used_bytes=8 * GIB - free,
        free_bytes=free,
        error=error,
    )


def phases(events: list[Any]) -> list[str]:
    return [event.phase for event in events if isinstance(event, Progress)]


def on_gpu(folder: Path, **changes: Any) -> ModelSettings:
    path = folder / "tiny.gguf"
    write_random(path)
    given: dict[str, Any] = {"source": str(path), "id": "g", "specialties": ("chat",), "slots": 1}
    return ModelSettings(**(given | {"context_length": 64} | changes))
