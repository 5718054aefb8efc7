"""Real processes: two specialists and the memory for one of them, through a real orchestrator."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import psutil
import pytest

import mesh
from mesh.errors import MeshError, NoCandidate
from mesh.local.ports import free_port
from mesh.records import ModelRecord, ModelState
from mesh.sdk import Client, Done, Progress, Tokens
from mesh.types import ModelId
from node.catalogue import inspect
from node.fit import need
from node.specialists import shipped
from tests.etcd import EtcdServer
from tests.faults.real_mesh import Box, RealMesh, real_mesh
from tests.gguf import write_random

pytestmark = [pytest.mark.processes, pytest.mark.engine, pytest.mark.timeout(180)]
pytest.importorskip("llama_cpp")

READY_S = 40.0
SLOTS = 2


def specialist(name: str, **changes: Any) -> dict[str, Any]:
    path = str(shipped()[name])
    return {"source": path, "id": name, "specialties": [name], "slots": SLOTS} | changes


def room_for_one() -> int:
    """Bytes that hold either of them, and not both."""
    facts = inspect(Path(shipped()["math"]))
    one = need(
        facts, context_length=facts.context_length, slots=SLOTS, gpu_layers=0, device="cpu"
    ).ram_bytes
    return one * 3 // 2


def start_node(made: RealMesh, models: list[dict[str, Any]], limit: int | None) -> Box:
    settings: dict[str, Any] = {"models": models}
    if limit is not None:
        settings["memory_limit_bytes"] = limit
    box = made._box("box", "node", settings)
    made.nodes.append(box)
    box.start()
    return box


@asynccontextmanager
async def residence(
    folder: Path, models: list[dict[str, Any]], limit: int | None
) -> AsyncIterator[tuple[RealMesh, Box, Client]]:
    async with EtcdServer() as etcd:
        with real_mesh(folder, etcd.endpoint) as made:
            made.orchestrator("one", free_port()).start()
            box = start_node(made, models, limit)
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


async def ask(client: Client, name: str) -> tuple[str, list[str]]:
    """The whole answer, and the phases that were told before it."""
    text = ""
    phases: list[str] = []
    async with asyncio.timeout(60):
        async for event in client.events(
            "What is 2 + 3?", model=ModelId(name), max_tokens=12, timeout_s=50.0
        ):
            match event:
                case Tokens(pieces=pieces):
                    text += "".join(piece.text for piece in pieces)
                case Progress(phase=phase):
                    phases.append(phase)
                case Done(model=model):
                    assert model == name
    return text, phases


async def watch_runners(box: Box, most: list[int]) -> None:
    """Keeps in ``most`` the largest number of runners that lived at one moment."""
    while True:
        living = [p for p in box.runners() if _runs(p)]
        most[0] = max(most[0], len(living))
        await asyncio.sleep(0.01)


def _runs(process: psutil.Process) -> bool:
    try:
        return "node.runner" in process.cmdline() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.Error:
        return False


async def test_two_models_take_turns_in_the_memory_of_one(tmp_path: Path) -> None:
    models = [specialist("math"), specialist("code")]
    async with residence(tmp_path, models, room_for_one()) as (_, box, client):
        await seen(
            client,
            lambda m: {x.state for x in m.values()} == {ModelState.RESIDENT, ModelState.COLD},
        )
        most = [0]
        async with asyncio.TaskGroup() as group:
            watcher = group.create_task(watch_runners(box, most))
            first: dict[str, str] = {}
            for turn in range(3):
                for name in ("math", "code"):
                    text, phases = await ask(client, name)
                    assert text
                    assert first.setdefault(name, text) == text, "the same answer after a reload"
                    if turn or name == "code":
                        assert {"queued", "loading"} & set(phases), "its load was told"
            answers = await asyncio.gather(*(ask(client, n) for n in ("math", "code") * 3))
            watcher.cancel()
        assert most[0] == 1, "only one is resident at a time"
        assert [text for text, _ in answers] == [first[n] for n in ("math", "code") * 3]
        records = await seen(client, lambda m: any(x.measured_bytes for x in m.values()))
        for record in records.values():
            assert record.estimated_bytes > 0
            assert record.load_s > 0


async def test_an_idle_model_is_unloaded_and_its_process_is_gone(tmp_path: Path) -> None:
    async with residence(tmp_path, [specialist("math", ttl_s=1.0)], None) as (_, box, client):
        await seen(client, lambda m: m["math"].state is ModelState.COLD)
        deadline = time.monotonic() + READY_S
        while any(_runs(p) for p in box.runners()):
            assert time.monotonic() < deadline, "the runner is still there"
            await asyncio.sleep(0.05)
        text, _ = await ask(client, "math")
        assert text


def spoiled_files(folder: Path) -> None:
    good = Path(shipped()["math"]).read_bytes()
    (folder / "cut.gguf").write_bytes(good[: len(good) // 3])
    (folder / "text.gguf").write_bytes(b"this is no model, but a long enough text" * 100)
    write_random(folder / "alien.gguf", architecture="xenon")


async def test_bad_models_are_clear_in_the_record_and_to_the_client(tmp_path: Path) -> None:
    spoiled_files(tmp_path)
    wanted = {
        "cut": "truncated",
        "text": "GGUF",
        "alien": "xenon",
        "long": "1000000 tokens is more than",
        "gpu": "asks for a GPU",
        "large": "does not fit",
    }
    models = [
        *(
            specialist("math", id=name, source=str(tmp_path / f"{name}.gguf"))
            for name in ("cut", "text", "alien")
        ),
        specialist("math", id="long", context_length=1_000_000),
        specialist("math", id="gpu", gpu_layers=3),
        specialist("code", id="large", slots=64),
        specialist("math"),
    ]
    async with residence(tmp_path, models, room_for_one()) as (_, _, client):
        found = await seen(
            client,
            lambda m: all(m[name].state is ModelState.FAILED and m[name].error for name in wanted),
        )
        for name, words in wanted.items():
            assert words in (found[name].error or ""), (name, found[name].error)
            with pytest.raises(NoCandidate, match="model failed") as caught:
                await ask(client, name)
            assert words in caught.value.message
        text, _ = await ask(client, "math")
        assert text
