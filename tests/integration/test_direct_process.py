"""Tickets and forwarding between real processes: kill, stop, and one trace through a hand-over."""

from __future__ import annotations

import asyncio
import json
import random
import signal
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

import mesh
from mesh.clock import SystemClock
from mesh.fleet import view as change
from mesh.fleet.records import FleetView, NodeState
from mesh.registry.base import NODES
from mesh.registry.etcd import EtcdRegistry
from mesh.stream import Assigned, Decided, Done, Tokens
from tests.etcd import EtcdServer
from tests.integration.test_tracing import Collector, free_port, process, ready
from tests.mesh.fakes import ROUTER, RULES

WAIT_S = 30.0
PROMPT = "What is 17 + 25?"


@dataclass
class Fleet:
    """An orchestrator and nodes, each a process."""

    endpoint: str
    nodes: dict[str, asyncio.subprocess.Process]


@asynccontextmanager
async def fleet(folder: Path, *, otlp: str | None = None, **nodes: Any) -> AsyncIterator[Fleet]:
    """``nodes``: model options by node name; all serve ``math`` with the same model."""
    (folder / "rules.toml").write_text(RULES)
    endpoint = f"127.0.0.1:{free_port()}"
    async with AsyncExitStack() as stack:
        etcd = await stack.enter_async_context(EtcdServer())
        common: dict[str, Any] = {"state_dir": str(folder), "etcd": etcd.endpoint}
        if otlp:
            common["otlp_endpoint"] = otlp
        log = folder / "orchestrator.log"
        rules = {"rules": str(folder / "rules.toml"), "router": ROUTER}
        settings = {"name": "o", "bind": endpoint, **rules, **common}
        await stack.enter_async_context(
            process("-m", "orchestrator", json.dumps(settings), log=log)
        )
        made = Fleet(endpoint, {})

        async def start(name: str, slots: int = 2, **options: Any) -> None:
            model = {
                "source": "simulated",
                "id": "sim",
                "engine": "simulated",
                "specialties": ["math"],
                "slots": slots,
                "options": options,
            }
            node = {"name": name, "models": [model], **common}
            made.nodes[name] = await stack.enter_async_context(
                process("-m", "node", json.dumps(node), log=folder / f"{name}.log")
            )

        for name, options in nodes.items():
            await start(name, **options)
        await ready(endpoint, log, nodes=len(nodes))
        await recorded(etcd.endpoint, len(nodes))
        yield made


async def recorded(etcd: str, count: int) -> None:
    """Returns once so many records say ready: nodes know each other from there, and a record comes
    up to a second after the heartbeat that says the same."""
    registry = EtcdRegistry(
        etcd, prefix="/mesh/v1", lease_ttl_s=4, clock=SystemClock(), rng=random.Random(1)
    )
    view = FleetView()
    async with asyncio.timeout(WAIT_S), asyncio.TaskGroup() as group:
        session = group.create_task(registry.run())
        async for changes in registry.watch(NODES):
            view, _ = change.apply(view, changes, 0.0)
            states = [node.record.state for node in view.nodes.values()]
            if states.count(NodeState.READY) >= count:
                break
        session.cancel()


async def warm_direct(client: mesh.Client) -> None:
    """Until nodes know the orchestrator's key, and answers come straight from them."""
    async with asyncio.timeout(WAIT_S):
        while True:
            async with client.generate(PROMPT, direct=True, max_tokens=1) as generation:
                events = [event async for event in generation._events]
            done = events[-1]
            assert isinstance(done, Done)
            if sum(isinstance(event, Assigned) for event in events) == 1 and _direct(client):
                return
            await asyncio.sleep(0.05)


def _direct(client: mesh.Client) -> bool:
    return bool(client._routes._lines)


@pytest.mark.processes
@pytest.mark.timeout(180)
@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGSTOP])
async def test_an_answer_outlives_the_node_it_streams_from(
    tmp_path: Path, how: signal.Signals
) -> None:
    slow = {"words": 60, "base_ms": 20.0}
    async with (
        fleet(tmp_path, one=slow, two=slow) as made,
        mesh.connect(made.endpoint) as client,
    ):
        await warm_direct(client)
        events: list[Any] = []
        hit = None
        longest, last = 0.0, 0.0
        now = asyncio.get_running_loop().time
        async for event in client.events(PROMPT, direct=True, max_tokens=60):
            if isinstance(event, Tokens):
                longest = max(longest, now() - last) if last else 0.0
                last = now()
            events.append(event)
            count = sum(len(e.pieces) for e in events if isinstance(e, Tokens))
            if count >= 10 and hit is None:
                hit = next(e for e in events if isinstance(e, Assigned)).node_name
                made.nodes[hit].send_signal(how)
        if how is signal.SIGSTOP and hit:
            made.nodes[hit].send_signal(signal.SIGCONT)
    pieces = [p for e in events if isinstance(e, Tokens) for p in e.pieces]
    firsts = [e.first for e in events if isinstance(e, Tokens)]
    assert firsts == sorted(set(firsts))
    assert "".join(p.text for p in pieces) == "".join(f"tok{i} " for i in range(60))
    assert sum(isinstance(e, Decided) for e in events) == 1
    nodes = [e.node_name for e in events if isinstance(e, Assigned)]
    assert nodes[0] == hit
    assert nodes[-1] != hit
    done = events[-1]
    assert isinstance(done, Done)
    assert done.resumed
    assert done.resumes[0].from_node == hit
    assert longest < (2.0 if how is signal.SIGKILL else 4.0), f"a gap of {longest:.1f} s"


@pytest.mark.processes
@pytest.mark.timeout(180)
async def test_a_hand_over_is_one_trace_and_cancelling_it_frees_the_far_slot(
    tmp_path: Path,
) -> None:
    """Two answers on one ticket, to a node with one slot: the second goes on to the other node."""
    slow = {"words": 40, "base_ms": 20.0, "slots": 1}
    given: dict[str, Any] = {"specialty": "math", "direct": True, "max_tokens": 40}
    async with (
        Collector().serving() as collector,
        fleet(tmp_path, otlp=collector.endpoint, one=slow, two=slow) as made,
        mesh.connect(made.endpoint) as client,
    ):
        await warm_direct(client)
        first = client.generate(PROMPT, **given)
        await anext(first)
        second = client.generate(PROMPT, **given)
        text = await second.text()
        assert first.assigned is not None
        assert second.assigned is not None
        assert second.done is not None
        near, far = first.assigned.node_name, second.assigned.node_name
        trace = second.done.trace_id
        await first.text()

        first = client.generate(PROMPT, **given)
        await anext(first)
        third = client.generate(PROMPT, **given)
        await anext(third)
        assert third.assigned is not None
        assert third.assigned.node_name != near
        await third.aclose()
        await used_slots(client, far, 0)
        await first.aclose()
        await used_slots(client, near, 0)

        # Each process exports for itself: two attempts (one refused), and one of all else.
        wanted = ["attempt", "attempt", "chat", "direct", "forward"]
        try:
            async with asyncio.timeout(WAIT_S):
                while sorted(_names(_of(collector, trace))) != wanted:  # noqa: ASYNC110
                    await asyncio.sleep(0.05)
        except TimeoutError:
            found = [(name, span.name) for name, span in collector.spans[-20:]]
            raise AssertionError(
                f"of the trace came {_names(_of(collector, trace))}; the last of all: {found}"
            ) from None
        spans = _of(collector, trace)
    assert near != far
    assert text == "".join(f"tok{i} " for i in range(40))
    by_id = {span.span_id: span for span in spans}
    (chat,) = [span for span in spans if span.name.startswith("chat")]
    chain = [chat]
    while chain[-1].parent_span_id in by_id:
        chain.append(by_id[chain[-1].parent_span_id])
    assert _names(chain) == ["chat", "attempt", "forward", "direct"]
    (refused,) = [s for s in spans if s.name.startswith("attempt") and s is not chain[1]]
    assert by_id[refused.parent_span_id].name == "direct"


async def used_slots(client: mesh.Client, name: str, count: int) -> None:
    async with asyncio.timeout(WAIT_S):
        while True:
            nodes = {node.record.name: node.record for node in await client.nodes()}
            if nodes[name].models[0].used_slots == count:
                return
            await asyncio.sleep(0.02)


def _of(collector: Collector, trace: str) -> list[Any]:
    return [span for _, span in collector.spans if span.trace_id.hex() == trace]


def _names(spans: list[Any]) -> list[str]:
    return [span.name.split(" ")[0] for span in spans]
