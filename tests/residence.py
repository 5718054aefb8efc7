"""One node of real processes with its orchestrator and a client, for tests of what it hosts."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil

import mesh
from mesh import Client, Done, Progress, Tokens
from mesh.errors import MeshError
from mesh.fleet.records import ModelRecord
from mesh.local.ports import free_port
from mesh.types import ModelId
from node.engines.llama_cpp.memory.need import need
from node.models.catalogue import inspect
from tests.etcd import EtcdServer
from tests.faults.real_mesh import Box, RealMesh, real_mesh
from tests.toy_models import toy_model

READY_S = 40.0
SLOTS = 2


def specialist(name: str, **changes: Any) -> dict[str, Any]:
    path = str(toy_model(name))
    return {"source": path, "id": name, "specialties": [name], "slots": SLOTS} | changes


def room_for_one() -> int:
    """Bytes that hold either of them, and not both."""
    facts = inspect(toy_model("math"))
    one = need(
        facts, context_length=facts.context_length, slots=SLOTS, gpu_layers=0, device="cpu"
    ).ram_bytes
    return one * 3 // 2


def start_node(
    made: RealMesh, models: list[dict[str, Any]], limit: int | None, **settings: Any
) -> Box:
    settings["models"] = models
    if limit is not None:
        settings["memory_limit_bytes"] = limit
    box = made._box("box", "node", settings)
    made.nodes.append(box)
    box.start()
    return box


@asynccontextmanager
async def residence(
    folder: Path, models: list[dict[str, Any]], limit: int | None = None, **settings: Any
) -> AsyncIterator[tuple[RealMesh, Box, Client]]:
    async with EtcdServer() as etcd:
        with real_mesh(folder, etcd.endpoint) as made:
            made.orchestrator("one", free_port()).start()
            box = start_node(made, models, limit, **settings)
            await listening(made.endpoints[0])
            async with mesh.connect(made.endpoints[0]) as client:
                await seen(client, lambda found: len(found) == len(models))
                yield made, box, client
            assert await made.end() == [], "processes were left"


async def listening(endpoint: str) -> None:
    async with asyncio.timeout(READY_S):
        while True:
            with suppress(MeshError):
                async with mesh.connect(endpoint):
                    return
            await asyncio.sleep(0.05)


async def seen(
    client: Client, holds: Callable[[dict[str, ModelRecord]], bool]
) -> dict[str, ModelRecord]:
    """The models as the orchestrator lists them, once ``holds`` is true of them."""
    async with asyncio.timeout(READY_S):
        while True:
            fleet = await client.fleet()
            found = {str(m.id): m for n in fleet.nodes if n.link_up for m in n.record.models}
            if holds(found):
                return found
            await asyncio.sleep(0.05)


@dataclass(slots=True)
class Heard:
    """An answer as far as it has come."""

    text: str = ""
    phases: list[str] = field(default_factory=list)


async def ask(client: Client, name: str, heard: Heard | None = None) -> tuple[str, list[str]]:
    """The whole answer, and the phases told before it; ``heard`` has both as they come."""
    heard = heard or Heard()
    async with asyncio.timeout(60):
        async for event in client.events(
            "What is 2 + 3?", model=ModelId(name), max_tokens=12, timeout_s=50.0
        ):
            match event:
                case Tokens(pieces=pieces):
                    heard.text += "".join(piece.text for piece in pieces)
                case Progress(phase=phase):
                    heard.phases.append(phase)
                case Done(model=model):
                    assert model == name
    return heard.text, heard.phases


def runs(process: psutil.Process) -> bool:
    try:
        return "node.runner" in process.cmdline() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.Error:
        return False
