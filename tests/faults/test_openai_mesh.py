"""A mesh of real processes over two upstreams: what one breaks off, the other goes on with."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

import mesh
from mesh import Done
from mesh.errors import MeshError
from tests.etcd import EtcdServer
from tests.integration.test_resilience_processes import Fleet
from tests.mesh.fakes import text_of
from tests.openai_upstream import (
    HANG_UP,
    Behaviour,
    Connection,
    Request,
    Upstream,
    error,
    hang_up,
    speak,
    upstream,
)

pytestmark = [pytest.mark.processes, pytest.mark.timeout(120)]

WORDS = 60


def cut_off(connection: Connection, _: Request) -> object:
    connection.begin()
    for number in range(20):
        connection.delta(f"tok{number} ")
    return HANG_UP


@pytest.mark.parametrize(
    ("fault", "resumed"),
    [
        (cut_off, True),
        (hang_up, False),
        (error(500, "cuda died"), False),
        (error(429, "slow down", Retry_After="30"), False),
    ],
)
async def test_an_answer_is_whole_though_the_first_upstream_fails(
    tmp_path: Path, fault: Behaviour, resumed: bool
) -> None:
    faults = [fault]

    def first_fails(connection: Connection, request: Request) -> object:
        return (faults.pop() if faults else speak)(connection, request)

    async with EtcdServer() as etcd, AsyncExitStack() as running:
        fleet = Fleet(tmp_path, etcd.endpoint, running, [], [], {})
        for name in ("a", "b"):
            up = running.enter_context(upstream(first_fails, words=WORDS))
            await openai_node(fleet, name, up)
        await fleet.orchestrator("o")
        await fleet.ready(2)
        async with asyncio.timeout(60), mesh.connect(fleet.endpoints[0]) as client:
            events = [event async for event in client.events("1 + 1")]
        done = events[-1]
        assert isinstance(done, Done)
        assert text_of(events) == "".join(f"tok{number} " for number in range(WORDS))
        assert done.resumed is resumed
        assert not faults


async def test_the_client_hears_why_when_no_upstream_can_serve_it(tmp_path: Path) -> None:
    async with EtcdServer() as etcd, AsyncExitStack() as running:
        fleet = Fleet(tmp_path, etcd.endpoint, running, [], [], {})
        await openai_node(
            fleet, "a", running.enter_context(upstream(error(500, "cuda died"), words=WORDS))
        )
        await fleet.orchestrator("o")
        await fleet.ready(1)
        async with asyncio.timeout(60), mesh.connect(fleet.endpoints[0]) as client:
            with pytest.raises(MeshError, match=r"500.*cuda died"):
                async for _ in client.events("1 + 1"):
                    pass
            async with asyncio.timeout(30):
                while True:
                    (node,) = await client.nodes()
                    if "cuda died" in (node.record.models[0].error or ""):
                        break
                    await asyncio.sleep(0.02)


async def openai_node(fleet: Fleet, name: str, up: Upstream) -> None:
    model = {
        "source": "tiny",
        "id": "sim",
        "engine": "openai",
        "specialties": ["math"],
        "options": {"base_url": up.url, "retries": 0},
    }
    given = {
        "name": name,
        "state_dir": str(fleet.folder / name),
        "etcd": fleet.etcd,
        "models": [model],
    }
    fleet.nodes[name] = await fleet._start("node", name, given)
