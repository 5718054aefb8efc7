"""A node as a real process: real etcd, real ZeroMQ, runners with the simulated engine."""

from __future__ import annotations

import asyncio
import signal
import socket
from pathlib import Path
from typing import Any

import pytest

from mesh.fleet.records import (
    TRANSPORTS,
    ModelState,
    NodeState,
)
from mesh.transport.base import Accepted, Failed, Finished, Refused, Tokens
from mesh.types import Sampling
from tests.etcd import EtcdServer
from tests.node_fakes import attempt, until
from tests.node_process_rig import SLOW, TIMING, gone, linked, model, node, watching

pytestmark = pytest.mark.processes


@pytest.mark.parametrize("transport", TRANSPORTS)
async def test_a_node_appears_answers_and_leaves_nothing_behind_on_sigterm(
    tmp_path: Path, transport: str
) -> None:
    async with (
        EtcdServer() as etcd,
        watching(etcd.endpoint) as seen,
        node(tmp_path, etcd.endpoint, models=[model(words=8)], transport=transport) as agent,
    ):
        record = await seen.state(agent.pid, NodeState.READY)
        assert (record.name, record.specialties) == ("math", ("math",))
        assert record.models[0].state is ModelState.RESIDENT
        assert record.accelerator
        assert record.transport == transport
        async with linked(record) as peer:
            events = await peer.ask(attempt())
            assert isinstance(events[0], Accepted)
            assert isinstance(events[-1], Finished)
            pieces = [p for e in events if isinstance(e, Tokens) for p in e.pieces]
            assert [piece.id for piece in pieces] == list(range(8))
            resumed = await peer.ask(
                attempt(
                    delivered=tuple(pieces[:5]),
                    tokenizer_hash=record.models[0].tokenizer_hash,
                )
            )
            rest = [p for e in resumed if isinstance(e, Tokens) for p in e.pieces]
            assert rest == pieces[5:]
        children = agent.children()
        assert len(children) == 1
        agent.signal(signal.SIGTERM)
        assert await agent.exit_code() == 0
        assert gone(children)()
        await until(lambda: seen.nodes == {}, 1.0)
        assert "ready: node-" in agent.log
        assert "Traceback" not in agent.log


async def test_a_restarted_node_is_the_same_node(tmp_path: Path) -> None:
    async with EtcdServer() as etcd, watching(etcd.endpoint) as seen:
        records = []
        for _ in range(2):
            async with node(tmp_path, etcd.endpoint) as agent:
                records.append(await seen.state(agent.pid, NodeState.READY))
                agent.signal(signal.SIGINT)
                assert await agent.exit_code() == 0
    assert records[0].id == records[1].id
    assert records[0].instance != records[1].instance


async def test_sigkill_of_the_agent_takes_its_runners_and_then_its_record(tmp_path: Path) -> None:
    async with (
        EtcdServer() as etcd,
        watching(etcd.endpoint) as seen,
        node(tmp_path, etcd.endpoint) as agent,
    ):
        await seen.state(agent.pid, NodeState.READY)
        children = agent.children()
        assert children
        agent.signal(signal.SIGKILL)
        await agent.exit_code()
        await until(gone(children), 2.0)
        # etcd looks for ended leases twice a second.
        await until(lambda: seen.nodes == {}, TIMING.lease_ttl_s + 1.0)


async def test_a_drain_lets_a_stream_finish_and_refuses_new_ones(tmp_path: Path) -> None:
    async with (
        EtcdServer() as etcd,
        watching(etcd.endpoint) as seen,
        node(tmp_path, etcd.endpoint, models=[model(base_ms=20.0, words=60)]) as agent,
    ):
        record = await seen.state(agent.pid, NodeState.READY)
        async with linked(record) as peer, asyncio.TaskGroup() as group:
            running = group.create_task(peer.ask(attempt()))
            await until(lambda: peer.heartbeats[-1].models[0].used_slots == 1)
            agent.signal(signal.SIGTERM)
            await until(lambda: peer.heartbeats[-1].state is NodeState.DRAINING)
            (refusal,) = await peer.ask(attempt())
            assert isinstance(refusal, Refused)
            assert refusal.code == "draining"
            events = await running
            assert isinstance(events[-1], Finished)
            assert events[-1].usage.completion_tokens == 60
        assert await agent.exit_code() == 0


async def test_a_second_signal_ends_streams_at_once_with_a_typed_word(tmp_path: Path) -> None:
    async with (
        EtcdServer() as etcd,
        watching(etcd.endpoint) as seen,
        node(tmp_path, etcd.endpoint, models=[model(**SLOW)]) as agent,
    ):
        record = await seen.state(agent.pid, NodeState.READY)
        async with linked(record) as peer, asyncio.TaskGroup() as group:
            running = group.create_task(peer.ask(attempt(sampling=_long())))
            await until(lambda: peer.heartbeats[-1].models[0].used_slots == 1)
            agent.signal(signal.SIGTERM)
            await until(lambda: peer.heartbeats[-1].state is NodeState.DRAINING)
            agent.signal(signal.SIGTERM)
            last = (await running)[-1]
            assert isinstance(last, Failed)
            assert last.code == "draining"
        assert await agent.exit_code(5.0) == 0


async def test_a_client_that_goes_away_frees_its_slot_within_a_second(tmp_path: Path) -> None:
    async with (
        EtcdServer() as etcd,
        watching(etcd.endpoint) as seen,
        node(tmp_path, etcd.endpoint, models=[model(**SLOW)]) as agent,
    ):
        record = await seen.state(agent.pid, NodeState.READY)
        async with linked(record) as peer:
            async with peer.link.open(attempt(sampling=_long())) as stream:
                async for event in stream:
                    if isinstance(event, Tokens):
                        break
                assert peer.heartbeats[-1].models[0].used_slots == 1
            await until(lambda: peer.heartbeats[-1].models[0].used_slots == 0, 1.0)


async def test_a_dead_runner_fails_its_streams_only_and_comes_back(tmp_path: Path) -> None:
    async with (
        EtcdServer() as etcd,
        watching(etcd.endpoint) as seen,
        node(tmp_path, etcd.endpoint, models=[model(**SLOW)]) as agent,
    ):
        record = await seen.state(agent.pid, NodeState.READY)
        async with linked(record) as peer, asyncio.TaskGroup() as group:
            running = group.create_task(peer.ask(attempt(sampling=_long())))
            await until(lambda: peer.heartbeats[-1].models[0].used_slots == 1)
            (runner,) = agent.children()
            runner.kill()
            last = (await running)[-1]
            assert isinstance(last, Failed)
            assert last.code == "engine_failed"
            await until(lambda: peer.heartbeats[-1].models[0].state is ModelState.LOADING)
            await until(lambda: peer.heartbeats[-1].models[0].state is ModelState.RESIDENT, 15.0)


async def test_a_second_agent_on_the_same_state_folder_is_refused_by_name(tmp_path: Path) -> None:
    async with (
        EtcdServer() as etcd,
        watching(etcd.endpoint) as seen,
        node(tmp_path, etcd.endpoint) as first,
    ):
        await seen.state(first.pid, NodeState.READY)
        async with node(tmp_path, etcd.endpoint) as second:
            assert await second.exit_code() == 2
            assert f"already running as pid {first.pid}" in second.log
            assert second.log.count("\n") == 1


async def test_a_copied_identity_is_refused_while_the_original_lives(tmp_path: Path) -> None:
    async with (
        EtcdServer() as etcd,
        watching(etcd.endpoint) as seen,
        node(tmp_path / "a", etcd.endpoint) as first,
    ):
        original = await seen.state(first.pid, NodeState.READY)
        copy = tmp_path / "b/nodes/math"
        copy.mkdir(parents=True)
        (copy / "id").write_text((tmp_path / "a/nodes/math/id").read_text())
        async with node(tmp_path / "b", etcd.endpoint) as second:
            assert await second.exit_code(20.0) == 2
            assert f"{first.pid}" in second.log
            assert "Traceback" not in second.log
        record = seen.of(first.pid)
        assert record is not None
        assert record.instance == original.instance


async def test_a_node_starts_without_etcd_and_registers_when_it_comes(tmp_path: Path) -> None:
    async with (
        EtcdServer(start=False) as etcd,
        node(tmp_path, etcd.endpoint) as agent,
        watching(etcd.endpoint) as seen,
    ):
        await until(lambda: "ready: node-" in agent.log, 15.0)
        await etcd.start()
        await seen.state(agent.pid, NodeState.READY, 20.0)


async def test_a_file_that_is_no_model_shows_in_the_record_and_the_node_stays(
    tmp_path: Path,
) -> None:
    (tmp_path / "bad.gguf").write_bytes(b"this is no model")
    bad = {"source": str(tmp_path / "bad.gguf"), "specialties": ["code"]}
    async with (
        EtcdServer() as etcd,
        watching(etcd.endpoint) as seen,
        node(tmp_path / "one", etcd.endpoint, models=[bad]) as alone,
        node(tmp_path / "two", etcd.endpoint, name="both", models=[bad, model()]) as both,
    ):
        failed = await seen.state(alone.pid, NodeState.FAILED)
        assert failed.reason.startswith("no model works: bad: ")
        assert "bad.gguf" in failed.reason
        ready = await seen.state(both.pid, NodeState.READY)
        assert [m.state for m in ready.models] == [ModelState.FAILED, ModelState.RESIDENT]
        assert ready.models[0].error is not None


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"models": []}, "hosts no model"),
        ({"models": [model(), model()]}, "two models have the id 'toy'"),
        ({"models": [model() | {"engine": "gptq"}]}, "no engine 'gptq'; known: "),
        ({"name": "../up"}, "node name '../up' is not usable"),
    ],
)
async def test_settings_that_cannot_work_end_with_one_line_and_exit_code_2(
    tmp_path: Path, settings: dict[str, Any], words: str
) -> None:
    async with node(tmp_path, "127.0.0.1:1", **settings) as agent:
        assert await agent.exit_code() == 2
        assert words in agent.log
        assert agent.log.count("\n") == 1


async def test_a_port_that_is_taken_is_named_with_exit_code_2(tmp_path: Path) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        async with node(tmp_path, "127.0.0.1:1", bind=f"tcp://127.0.0.1:{port}") as agent:
            assert await agent.exit_code() == 2
            assert f"{port}" in agent.log
            assert "Traceback" not in agent.log


def _long() -> Sampling:
    return Sampling(max_tokens=500)
