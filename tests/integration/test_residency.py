"""Real processes: two specialists and the memory for one of them, through a real orchestrator."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

import pytest

from mesh.errors import NoCandidate
from mesh.fleet.records import ModelState
from tests.faults.real_mesh import Box
from tests.gguf import tokens, write_random
from tests.integration.test_llama_adapters import write_adapter
from tests.residence import READY_S, ask, residence, room_for_one, runs, seen, specialist
from tests.toy_models import toy_model

pytestmark = [pytest.mark.processes, pytest.mark.engine, pytest.mark.timeout(180)]
pytest.importorskip("llama_cpp")


async def watch_runners(box: Box, most: list[int]) -> None:
    """Keeps in ``most`` the largest number of runners that lived at one moment."""
    while True:
        living = [p for p in box.runners() if runs(p)]
        most[0] = max(most[0], len(living))
        await asyncio.sleep(0.01)


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
        while any(runs(p) for p in box.runners()):
            assert time.monotonic() < deadline, "the runner is still there"
            await asyncio.sleep(0.05)
        text, _ = await ask(client, "math")
        assert text


def spoiled_files(folder: Path) -> None:
    good = toy_model("math").read_bytes()
    (folder / "cut.gguf").write_bytes(good[: len(good) // 3])
    (folder / "text.gguf").write_bytes(b"this is no model, but a long enough text" * 100)
    (folder / "corrupt.gguf").write_bytes(good[:16] + b"\xff" * 64 + good[80:])
    write_random(folder / "alien.gguf", architecture="xenon")
    base = write_random(folder / "lora.gguf")
    write_adapter(base.with_name("adapter.gguf"), rows=len(tokens()) + 8)


async def test_bad_models_are_clear_in_the_record_and_to_the_client(tmp_path: Path) -> None:
    spoiled_files(tmp_path)
    wanted = {
        "cut": "truncated",
        "text": "GGUF",
        "corrupt": "corrupt",
        "lora": "does not fit",
        "alien": "xenon",
        "long": "1000000 tokens is more than",
        "gpu": "asks for a GPU",
        "large": "does not fit",
    }
    models = [
        *(
            specialist("math", id=name, source=str(tmp_path / f"{name}.gguf"))
            for name in ("cut", "text", "corrupt", "alien")
        ),
        specialist(
            "math",
            id="lora",
            source=str(tmp_path / "lora.gguf"),
            context_length=64,
            options={"lora": [{"path": str(tmp_path / "adapter.gguf")}]},
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
