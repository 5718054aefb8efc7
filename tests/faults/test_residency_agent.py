"""Models that come and go on one node, on twins: lines, failed loads, scarce memory, lost GPUs."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from mesh.clock import ManualClock
from mesh.errors import DeadlineExceeded
from mesh.fleet.records import Gpu, Memory, ModelRecord, ModelState
from mesh.settings.model import ModelSettings
from mesh.transport.base import Accepted, Finished, Progress, Refused
from mesh.types import ModelId
from node.engines.base import ModelFacts, ModelSpec
from node.hardware.gpu import NO_DRIVER
from node.models.fit import Corrections
from node.models.hosted import RECOVER_S, HostedModel
from node.models.residency.agent import Residency
from node.models.residency.state import CPU
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
        self.models = [
            HostedModel(
                settings,
                default_threads=1,
                make_runner=self._make,
                on_change=lambda: self.residency.changed(),
                clock=self.clock,
            )
            for settings in models
        ]
        self.residency = Residency(
            self.models,
            clock=self.clock,
            on_change=lambda: None,
            memory=lambda: Memory(total_bytes=16 * GIB, available_bytes=self.available),
            reserve_bytes=reserve_bytes,
            corrections=Corrections(folder),
        )
        self.server = AttemptServer(
            NODE,
            self.models,
            clock=self.clock,
            on_change=self.residency.changed,
            residency=self.residency,
        )

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
) -> AsyncIterator[Box]:
    made = Box(folder, *models, quick=quick, reserve_bytes=reserve_bytes)
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(m.run()) for m in made.models]
        tasks.append(group.create_task(made.residency.run()))
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


async def test_all_models_are_loaded_at_start_and_stay_where_they_all_fit(tmp_path: Path) -> None:
    async with box(tmp_path, model("a", 3), model("b", 4), model("c")) as node:
        await node.until(lambda: node.resident() == {"a", "b", "c"})
        await node.clock.advance(3_600.0)
        assert node.resident() == {"a", "b", "c"}
        assert sorted(node.made) == ["a", "b", "c"]


async def test_a_cold_model_is_loaded_for_the_request_that_waits_in_line(tmp_path: Path) -> None:
    async with box(tmp_path, model("a", 6), model("b", 6), quick=False) as node:
        await node.until(lambda: "a" in node.runners)
        node.runners["a"].loaded()
        await node.until(lambda: node.record("b").state is ModelState.COLD)
        async with asyncio.TaskGroup() as group:
            task = group.create_task(node.ask("b"))
            await node.until(lambda: "b" in node.runners)
            assert node.runners["a"].stopped, "it made room first"
            node.runners["b"].percent(40)
            await node.clock.advance(0.5)
            node.runners["b"].loaded()
            await node.until(task.done)
    events = task.result()
    assert isinstance(events[-1], Finished)
    assert phases(events)[0] == "queued"
    assert Progress(phase="loading", done=40, total=100) in events
    assert next(type(e) for e in events if not isinstance(e, Progress)) is Accepted


async def test_requests_for_a_model_that_loads_join_that_load_and_are_served_in_turn(
    tmp_path: Path,
) -> None:
    async with box(tmp_path, model("a", 6), quick=False) as node:
        await node.until(lambda: "a" in node.runners)
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(node.ask("a")) for _ in range(5)]
            await node.until(lambda: node.residency.loads()[0].queued == 5)
            node.runners["a"].loaded()
            await node.until(lambda: all(task.done() for task in tasks))
        assert node.made == ["a"]
    assert all(isinstance(task.result()[-1], Finished) for task in tasks)


async def test_a_full_line_refuses_at_once_and_says_when_to_come_back(tmp_path: Path) -> None:
    async with box(tmp_path, model("a", 6), quick=False) as node:
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(node.ask("a")) for _ in range(16)]
            await node.until(lambda: node.residency.loads()[0].queued == 16)
            (event,) = await node.ask("a")
            for task in tasks:
                task.cancel()
        assert isinstance(event, Refused)
        assert (event.code, event.retry_after_s) == ("overloaded", 1.0)
        assert node.residency.loads()[0].queued == 0, "who gives up leaves the line"


async def test_a_load_that_fails_is_told_to_all_who_wait_and_stays_in_the_record(
    tmp_path: Path,
) -> None:
    async with box(tmp_path, model("a", 6), quick=False) as node:
        await node.until(lambda: "a" in node.runners)
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(node.ask("a")) for _ in range(3)]
            await node.until(lambda: node.residency.loads()[0].queued == 3)
            node.runners["a"].broken("weights are damaged at tensor 7")
            await node.until(lambda: all(task.done() for task in tasks))
        for task in tasks:
            assert "weights are damaged at tensor 7" in task.result()[-1].message
        assert node.record("a").state is ModelState.FAILED
        assert node.record("a").error == "weights are damaged at tensor 7"
        (refused,) = await node.ask("a")
        assert "does not work here" in refused.message
        await node.clock.advance(RECOVER_S)
        await node.until(lambda: node.made == ["a", "a"])
        node.runners["a"].loaded()
        await node.until(lambda: node.resident() == {"a"})
        assert node.record("a").error is None
        assert node.record("a").last_error == "weights are damaged at tensor 7"


async def test_a_try_that_fails_is_told_to_who_waits_though_more_tries_follow(
    tmp_path: Path,
) -> None:
    async with box(tmp_path, model("a", 6), quick=False) as node:
        await node.until(lambda: "a" in node.runners)
        async with asyncio.TaskGroup() as group:
            task = group.create_task(node.ask("a"))
            await node.until(lambda: node.residency.loads()[0].queued == 1)
            node.runners["a"].broken("out of memory", for_good=False)
            await node.until(task.done)
        assert "out of memory" in task.result()[-1].message
        assert task.result()[-1].retry_after_s is not None
        assert node.record("a").state is ModelState.LOADING


async def test_a_deadline_in_the_line_says_what_was_waited_for(tmp_path: Path) -> None:
    async with box(tmp_path, model("a", 6), model("b", 6)) as node:
        await node.until(lambda: node.resident() == {"a"})
        node.runners["a"].script = (OPENED,)
        async with asyncio.TaskGroup() as group:
            running = group.create_task(node.ask("a"))
            await node.until(lambda: node.models[0].used_slots == 1)
            with pytest.raises(DeadlineExceeded, match="waiting for model 'b'"):
                await node.ask("b", timeout_s=0.05)
            assert node.resident() == {"a"}, "nothing busy is unloaded"
            running.cancel()


async def test_a_busy_model_lets_the_other_have_its_turn_and_comes_back(tmp_path: Path) -> None:
    async with box(tmp_path, model("a", 6), model("b", 6)) as node:
        await node.until(lambda: node.resident() == {"a"})
        node.runners["a"].script = (OPENED,)
        async with asyncio.TaskGroup() as group:
            streaming = group.create_task(node.ask("a"))
            await node.until(lambda: node.models[0].used_slots == 1)
            other = group.create_task(node.ask("b"))
            await node.clock.advance(10.0)
            late = group.create_task(node.ask("a"))
            await node.clock.advance(1.0)
            assert not late.done(), "it takes nothing new, though a slot is free"
            assert node.models[0].used_slots == 1
            node.runners["a"].opened[0][0].put(done())
            await node.until(lambda: other.done() and late.done())
        for task in (streaming, other, late):
            assert isinstance(task.result()[-1], Finished)
        assert node.made == ["a", "b", "a"]


async def test_an_idle_model_is_unloaded_after_its_time_and_loaded_when_asked_for(
    tmp_path: Path,
) -> None:
    async with box(tmp_path, model("a", 1, ttl_s=60.0), model("b", 1)) as node:
        await node.until(lambda: node.resident() == {"a", "b"})
        assert node.residency.loads()[0].unload_at > 0
        node.residency.see((), NO_DRIVER, node.clock.now())
        await node.clock.advance(61.0)
        node.residency.see((), NO_DRIVER, node.clock.now())
        await node.until(lambda: node.resident() == {"b"})
        events = await _until_done(node, "a")
        assert isinstance(events[-1], Finished)


async def _until_done(node: Box, name: str) -> list[Any]:
    async with asyncio.TaskGroup() as group:
        task = group.create_task(node.ask(name))
        await node.until(task.done)
    return task.result()


async def test_memory_that_others_take_unloads_idle_models_and_shrinks_what_is_advertised(
    tmp_path: Path,
) -> None:
    async with box(tmp_path, model("a", 3), model("b", 3)) as node:
        await node.until(lambda: node.resident() == {"a", "b"})
        node.runners["b"].script = (OPENED,)
        async with asyncio.TaskGroup() as group:
            running = group.create_task(node.ask("b"))
            await node.until(lambda: node.models[1].used_slots == 1)
            node.available = -GIB
            node.residency.changed()
            await node.until(lambda: node.resident() == {"b"})
            await node.until(lambda: node.slots("a") == 0)
            (refused,) = await node.ask("a")
            assert "cannot be loaded now" in refused.message
            assert "MiB too little on cpu" in refused.message
            assert not running.done()
            node.available = 10 * GIB
            await node.clock.advance(1.0)
            node.residency.changed()
            await node.until(lambda: node.slots("a") == 2)
            running.cancel()


def on_gpu(folder: Path, **changes: Any) -> ModelSettings:
    path = folder / "tiny.gguf"
    write_random(path)
    given: dict[str, Any] = {"source": str(path), "id": "g", "specialties": ("chat",), "slots": 1}
    return ModelSettings(**(given | {"context_length": 64} | changes))


async def test_a_model_is_placed_on_a_gpu_by_its_uuid(tmp_path: Path) -> None:
    async with box(tmp_path, on_gpu(tmp_path), gpus=(gpu(8),)) as node:
        await node.until(lambda: node.resident() == {"g"})
        assert node.runners["g"].spec.options["device"] == "GPU-1"
        assert node.record("g").device == "GPU-1"
        assert node.record("g").estimated_bytes > 0


async def test_a_gpu_that_vanishes_fails_its_models_clearly_and_they_come_back_with_it(
    tmp_path: Path,
) -> None:
    async with box(tmp_path, on_gpu(tmp_path), model("b"), gpus=(gpu(8),)) as node:
        await node.until(lambda: node.resident() == {"g", "b"})
        lost = gpu(8, error="GPU 0 does not answer: GPU is lost")
        for _ in range(2):
            node.residency.see((lost,), "1 GPU", node.clock.now())
            await node.clock.advance(1.0)
        await node.until(lambda: node.record("g").state is ModelState.FAILED)
        assert "GPU is lost" in (node.record("g").error or "")
        (refused,) = await node.ask("g")
        assert isinstance(refused, Refused)
        assert "its device is lost: GPU 0 does not answer: GPU is lost" in refused.message
        assert node.resident() == {"b"}
        node.residency.see((gpu(8),), "1 GPU", node.clock.now())
        await node.until(lambda: node.resident() == {"g", "b"})


async def test_one_bad_reading_of_a_gpu_fails_nothing(tmp_path: Path) -> None:
    async with box(tmp_path, on_gpu(tmp_path), gpus=(gpu(8),)) as node:
        await node.until(lambda: node.resident() == {"g"})
        node.residency.see((gpu(8, error="hiccup"),), "1 GPU", node.clock.now())
        await node.clock.advance(1.0)
        node.residency.see((gpu(8),), "1 GPU", node.clock.now())
        await node.clock.advance(5.0)
        assert node.made == ["g"]


async def test_a_gpu_that_is_asked_for_and_not_there_is_refused_in_words(tmp_path: Path) -> None:
    async with box(tmp_path, on_gpu(tmp_path, gpu_layers=20)) as node:
        await node.until(lambda: node.record("g").state is ModelState.FAILED)
        error = node.record("g").error or ""
    assert "gpu_layers = 20 asks for a GPU, which this node has not" in error
    assert "allow_cpu = true" in error


@pytest.mark.parametrize("changes", [{"gpu_layers": 20, "allow_cpu": True}, {"gpu_layers": -1}])
async def test_a_model_on_the_cpu_says_so_and_why(tmp_path: Path, changes: dict[str, Any]) -> None:
    async with box(tmp_path, on_gpu(tmp_path, **changes)) as node:
        await node.until(lambda: node.resident() == {"g"})
        record = node.record("g")
        assert node.runners["g"].spec.gpu_layers == 0
    assert record.device == "cpu"
    assert NO_DRIVER in record.note


async def test_an_engine_without_gpu_support_does_not_take_the_cpu_in_silence(
    tmp_path: Path,
) -> None:
    async with box(tmp_path, on_gpu(tmp_path), quick=False, gpus=(gpu(8),)) as node:
        await node.until(lambda: "g" in node.runners)
        node.runners["g"].loaded(FACTS)
        await node.until(lambda: node.record("g").state is ModelState.FAILED)
        assert "runs on the CPU only" in (node.record("g").error or "")
        assert node.runners["g"].stopped


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (lambda path: path.write_bytes(b"not a model at all, only text"), "GGUF"),
        (lambda path: path.write_bytes(path.read_bytes()[:200]), "truncated"),
        (lambda path: path.unlink(), "does not exist"),
    ],
)
async def test_a_bad_file_is_in_the_record_and_a_good_one_in_its_place_is_loaded(
    tmp_path: Path, spoil: Callable[[Path], object], words: str
) -> None:
    settings = on_gpu(tmp_path)
    path = tmp_path / "tiny.gguf"
    good = await asyncio.to_thread(path.read_bytes)
    spoil(path)
    async with box(tmp_path, settings, model("b")) as node:
        await node.until(lambda: node.record("g").state is ModelState.FAILED)
        assert words in (node.record("g").error or "")
        (refused,) = await node.ask("g")
        assert words in refused.message
        await node.until(lambda: node.resident() == {"b"})
        await asyncio.to_thread(path.write_bytes, good)
        await node.until(lambda: node.resident() == {"b", "g"})


async def test_a_context_longer_than_the_models_is_refused(tmp_path: Path) -> None:
    async with box(tmp_path, on_gpu(tmp_path, context_length=1_000_000)) as node:
        await node.until(lambda: node.record("g").state is ModelState.FAILED)
        assert "1000000 tokens is more than" in (node.record("g").error or "")


async def test_a_model_larger_than_the_device_fails_with_the_sums(tmp_path: Path) -> None:
    async with box(tmp_path, on_gpu(tmp_path), gpus=(gpu(0.01),)) as node:
        node.residency.see((gpu(0.01),), "1 GPU", node.clock.now())
        await node.until(lambda: node.slots("g") == 0)
        small = Gpu(
            uuid="GPU-1",
            name="card",
            index=0,
            total_bytes=GIB // 100,
            used_bytes=0,
            free_bytes=GIB // 100,
        )
        node.residency.see((small,), "1 GPU", node.clock.now())
        await node.until(lambda: node.record("g").state is ModelState.FAILED)
        error = node.record("g").error or ""
    assert "does not fit" in error
    assert "weights" in error


async def test_a_drain_tells_who_waits_to_go_elsewhere(tmp_path: Path) -> None:
    async with box(tmp_path, model("a", 6), quick=False) as node, asyncio.TaskGroup() as group:
        task = group.create_task(node.ask("a"))
        await node.until(lambda: node.residency.loads()[0].queued == 1)
        node.server.in_flight.draining = True
        node.residency.drain()
        await node.until(task.done)
    assert task.result()[-1].code == "draining"
