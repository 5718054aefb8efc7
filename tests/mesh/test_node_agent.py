"""A node's life on twins: what its record and heartbeats say, draining, and the end."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from mesh.clock import ManualClock
from mesh.errors import ConfigError, Draining, DuplicateNode, ModelFileError, first_of
from mesh.fleet.records import Gpu, ModelState, NodeRecord, NodeState, decode_node, encode_record
from mesh.registry.base import NODES
from mesh.registry.twin import TwinRegistry, TwinStore
from mesh.settings.model import ModelSettings
from mesh.settings.node import NodeSettings
from mesh.transport.base import Finished, Refused
from node.agent import NodeAgent
from node.hardware.gpu import NO_DRIVER, GpuReader
from node.hardware.host import Host
from node.identity import claim
from node.models.hosted import HostedModel
from node.runner.messages import Opened
from tests.node_fakes import (
    FakeGpuProbe,
    FakeListener,
    FakeSink,
    Hosted,
    attempt,
    done,
    until,
)

MIB = 2**20
OPENED = Opened(sequence=1, prompt_tokens=3)


@dataclass
class Node:
    """A node under test and all that it stands on."""

    agent: NodeAgent
    hosted: tuple[Hosted, ...]
    listener: FakeListener
    registry: TwinRegistry
    store: TwinStore
    probe: FakeGpuProbe
    clock: ManualClock
    task: asyncio.Task[None]

    def raw(self) -> dict[str, bytes]:
        return self.store.snapshot(NODES)

    def record(self) -> NodeRecord:
        (data,) = self.raw().values()
        return decode_node(data)

    async def until(self, holds: Callable[[], bool]) -> None:
        """Moves this node's time until the condition holds: registries write once a second."""
        async with asyncio.timeout(10):
            while not holds():
                await self.clock.advance(0.1)
                await asyncio.sleep(0.001)  # threads (probe, model files) live in real time

    async def reaches(self, state: NodeState) -> NodeRecord:
        await self.until(lambda: bool(self.raw()) and self.record().state is state)
        return self.record()


@asynccontextmanager
async def running(
    folder: Path,
    *models: tuple[str, dict[str, object]],
    store: TwinStore | None = None,
    give_up: bool = False,
) -> AsyncIterator[Node]:
    clock = ManualClock()
    store = store or TwinStore()
    registry = TwinRegistry(store, lease_ttl_s=4, clock=clock)
    listener, probe = FakeListener(), FakeGpuProbe()
    with claim(folder, "math") as identity:
        agent = NodeAgent(
            NodeSettings(name="math", give_up=give_up),
            identity,
            registry=registry,
            listener=listener,
            gpus=GpuReader(probe),
            host=Host(),
            clock=clock,
        )
        hosted = tuple(
            Hosted(name, on_change=agent.changed, **options)  # type: ignore[arg-type]
            for name, options in models or (("toy", {}),)
        )
        for each in hosted:
            agent.roster.add(each.model)
        async with asyncio.TaskGroup() as group:
            task = group.create_task(agent.run())
            yield Node(agent, hosted, listener, registry, store, probe, clock, task)
            task.cancel()


async def test_a_node_announces_itself_whole_and_becomes_ready(tmp_path: Path) -> None:
    async with running(tmp_path, ("toy", {}), ("poet", {"specialties": ("chat", "math")})) as node:
        record = await node.reaches(NodeState.READY)
        await node.until(lambda: node.record().accelerator == NO_DRIVER)
        record = node.record()
    assert record.id.startswith("node-")
    assert (record.name, record.endpoint, record.reason) == ("math", "tcp://127.0.0.1:12345", "")
    assert record.specialties == ("math", "chat")
    assert [(m.id, m.state, m.slots, m.device) for m in record.models] == [
        ("toy", ModelState.RESIDENT, 2, "cpu"),
        ("poet", ModelState.RESIDENT, 2, "cpu"),
    ]
    assert record.cpu is not None
    assert record.memory is not None
    assert record.gpus == ()
    assert record.version
    assert record.started_at > 0
    assert record.updated_at > 0


async def test_a_bad_model_is_in_the_record_and_the_others_serve(tmp_path: Path) -> None:
    bad = {"failing": ModelFileError("bad.gguf is truncated")}
    async with running(tmp_path, ("bad", bad), ("toy", {})) as node:
        record = await node.reaches(NodeState.READY)
    states = {m.id: (m.state, m.error) for m in record.models}
    assert states["bad"] == (ModelState.FAILED, "bad.gguf is truncated")
    assert states["toy"] == (ModelState.RESIDENT, None)


async def test_a_node_whose_models_all_fail_stays_and_says_why(tmp_path: Path) -> None:
    async with running(tmp_path, ("bad", {"failing": ModelFileError("no file")})) as node:
        record = await node.reaches(NodeState.FAILED)
        assert record.reason == "no model works: bad: no file"
        assert node.listener.heartbeats[-1].state is NodeState.FAILED
        assert not node.task.done()


async def test_slots_ride_on_heartbeats_at_once_and_cause_no_write(tmp_path: Path) -> None:
    async with running(tmp_path) as node:
        await node.reaches(NodeState.READY)
        await node.until(lambda: node.record().accelerator == NO_DRIVER)
        before = node.raw()
        runner = node.hosted[0].runner
        runner.script = (OPENED,)
        assert node.listener.handler is not None
        async with asyncio.TaskGroup() as group:
            serving = group.create_task(_serve(node))
            await until(lambda: node.listener.heartbeats[-1].models[0].used_slots == 1)
            runner.opened[0][0].put(done())
            await serving
        await until(lambda: node.listener.heartbeats[-1].models[0].used_slots == 0)
        assert node.raw() == before


async def _serve(node: Node) -> FakeSink:
    sink = FakeSink()
    if node.listener.handler is None:
        raise LookupError("the listener does not run")
    await node.listener.handler(attempt(), sink)
    return sink


def gpu(free: int) -> Gpu:
    total = 8 * 1024 * MIB
    return Gpu(
        uuid="GPU-1",
        name="card",
        index=0,
        total_bytes=total,
        used_bytes=total - free,
        free_bytes=free,
    )


async def test_vram_is_written_when_it_moved_and_not_more_often(tmp_path: Path) -> None:
    async with running(tmp_path) as node:
        node.probe.gpus, node.probe.line = (gpu(4096 * MIB),), "1 GPU"
        await node.reaches(NodeState.READY)
        await node.until(lambda: len(node.record().gpus) == 1)
        node.probe.gpus = (gpu(4090 * MIB),)
        await node.until(lambda: node.listener.heartbeats[-1].free_vram_bytes == (4090 * MIB,))
        await node.clock.advance(3.0)
        assert node.record().gpus[0].free_bytes == 4096 * MIB
        node.probe.gpus = (gpu(3000 * MIB),)
        await node.until(lambda: node.record().gpus[0].free_bytes == 3000 * MIB)


async def test_a_lost_gpu_is_in_the_record(tmp_path: Path) -> None:
    async with running(tmp_path) as node:
        node.probe.gpus = (gpu(4096 * MIB),)
        await node.reaches(NodeState.READY)
        await node.until(lambda: len(node.record().gpus) == 1)
        lost = Gpu(
            uuid="GPU-1",
            name="card",
            index=0,
            total_bytes=0,
            used_bytes=0,
            free_bytes=0,
            error="GPU 0 does not answer: GPU is lost",
        )
        node.probe.gpus = (lost,)
        await node.until(lambda: node.record().gpus[0].error is not None)


async def test_a_drain_lets_what_runs_finish_refuses_the_rest_and_removes_the_record(
    tmp_path: Path,
) -> None:
    async with running(tmp_path) as node:
        await node.reaches(NodeState.READY)
        runner = node.hosted[0].runner
        runner.script = (OPENED,)
        async with asyncio.TaskGroup() as group:
            serving = group.create_task(_serve(node))
            await until(lambda: len(runner.opened) == 1)
            node.agent.stop()
            record = await node.reaches(NodeState.DRAINING)
            assert record.reason
            assert node.listener.heartbeats[-1].state is NodeState.DRAINING
            (event,) = (await _serve(node)).events
            assert isinstance(event, Refused)
            assert event.code == "draining"
            await node.clock.advance(5.0)
            assert not node.task.done()
            runner.opened[0][0].put(done())
            assert isinstance((await serving).events[-1], Finished)
        await until(node.task.done)
        assert node.raw() == {}
        assert runner.stopped


@pytest.mark.parametrize("second_signal", [False, True])
async def test_a_drain_ends_at_its_limit_or_at_a_second_signal_and_says_so(
    tmp_path: Path, second_signal: bool
) -> None:
    async with running(tmp_path) as node:
        await node.reaches(NodeState.READY)
        node.hosted[0].runner.script = (OPENED,)

        async def ends_draining() -> None:
            with pytest.raises(Draining):
                await _serve(node)

        async with asyncio.TaskGroup() as group:
            group.create_task(ends_draining())
            await until(lambda: len(node.hosted[0].runner.opened) == 1)
            node.agent.stop(drain_s=10.0)
            await node.reaches(NodeState.DRAINING)
            if second_signal:
                node.agent.stop()
            else:
                await node.clock.advance(10.0)
        await until(node.task.done)
        assert node.raw() == {}


async def test_a_node_serves_without_a_registry_and_registers_when_it_comes(
    tmp_path: Path,
) -> None:
    async with running(tmp_path) as node:
        node.store.partition(node.registry, True)
        await until(lambda: bool(node.listener.heartbeats) and node.hosted[0].made is not None)
        node.hosted[0].runner.script = (OPENED, done())
        assert isinstance((await _serve(node)).events[-1], Finished)
        assert node.raw() == {}
        node.store.partition(node.registry, False)
        await node.reaches(NodeState.READY)


async def test_a_lost_lease_brings_the_newest_record_back(tmp_path: Path) -> None:
    async with running(tmp_path) as node:
        before = await node.reaches(NodeState.READY)
        node.store.drop_session(node.registry)
        assert node.raw() == {}
        assert (await node.reaches(NodeState.READY)).instance == before.instance


async def test_another_live_process_with_this_id_ends_the_node_with_its_own_error(
    tmp_path: Path,
) -> None:
    store = TwinStore()
    async with running(tmp_path / "a", store=store) as first:
        await first.reaches(NodeState.READY)
        copied = (tmp_path / "a/nodes/math/id").read_text()
        (tmp_path / "b/nodes/math").mkdir(parents=True)
        (tmp_path / "b/nodes/math/id").write_text(copied)
        with pytest.raises(BaseExceptionGroup) as caught:  # noqa: PT012 - two clocks to move
            async with running(tmp_path / "b", store=store) as second:
                while not second.task.done():
                    await first.clock.advance(0.5)
                    await second.clock.advance(0.5)
        assert caught.group_contains(DuplicateNode, depth=1)
        assert first.record().state is NodeState.READY


async def test_a_model_that_becomes_resident_later_makes_the_node_ready_then(
    tmp_path: Path,
) -> None:
    loading = {"configure": lambda runner: setattr(runner, "state", ModelState.LOADING)}
    async with running(tmp_path, ("toy", loading)) as node:
        record = await node.reaches(NodeState.STARTING)
        await until(lambda: node.hosted[0].made is not None)
        assert record.reason == "loading toy"
        node.hosted[0].runner.become(ModelState.RESIDENT)
        await node.reaches(NodeState.READY)


def test_a_models_default_id_comes_from_its_source() -> None:
    model = HostedModel(
        ModelSettings(source="hf:someone/repo/Big-Model.gguf", specialties=("math",)),
        default_threads=2,
        make_runner=lambda *_: pytest.fail("not run"),
        on_change=lambda: None,
    )
    assert model.id == "big-model"


def test_a_whole_record_reads_back_as_it_was(tmp_path: Path) -> None:
    record = NodeRecord(
        id="node-1",  # type: ignore[arg-type]
        instance="i",
        name="n",
        host="h",
        pid=1,
        state=NodeState.READY,
        reason="",
        endpoint="tcp://127.0.0.1:1",
        models=(Hosted().model.record(),),
        gpus=(gpu(5),),
    )
    assert decode_node(encode_record(record)) == record


async def test_where_a_person_waits_a_node_whose_models_all_fail_ends_and_says_why(
    tmp_path: Path,
) -> None:
    bad = ("bad", {"failing": ModelFileError("no file")})
    with pytest.raises(ExceptionGroup) as raised:
        async with running(tmp_path, bad, give_up=True) as node:
            await node.reaches(NodeState.READY)
    error = first_of(raised.value)
    assert isinstance(error, ConfigError)
    assert error.message.startswith("no model works: bad: no file; ")


async def test_a_node_of_which_a_model_worked_once_stays(tmp_path: Path) -> None:
    async with running(tmp_path, give_up=True) as node:
        await node.reaches(NodeState.READY)
        for _ in range(50):
            node.hosted[0].runner.become(ModelState.FAILED, "it broke")
            await node.clock.advance(0.1)
        assert not node.task.done()
