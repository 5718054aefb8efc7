"""Real processes: a node of an empty folder, what is copied there, `mesh load` and `mesh unload`,
each beside an answer that streams."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from mesh import Client, Done, Tokens
from mesh.fleet.records import ModelState, NodeRecord
from mesh.types import ModelId
from tests.gguf import write_random
from tests.node_fakes import until
from tests.residence import READY_S, ask, residence, seen
from tests.toy_models import toy_model

pytestmark = [pytest.mark.processes, pytest.mark.engine, pytest.mark.timeout(180)]
pytest.importorskip("llama_cpp")

LONG = 8192  # tokens; of a model that never ends by itself


async def command(endpoint: str, *arguments: str) -> tuple[int, str, str]:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "mesh.cli", *arguments),
        env=os.environ | {"MESH_ENDPOINT": endpoint},
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    async with asyncio.timeout(READY_S):
        out, err = await process.communicate()
    return process.returncode or 0, out.decode(), err.decode()


async def nodes(client: Client, count: int) -> list[NodeRecord]:
    async with asyncio.timeout(READY_S):
        while True:
            found = [node.record for node in (await client.fleet()).nodes]
            if len(found) == count:
                return found
            await asyncio.sleep(0.05)


class Running:
    """An answer that goes on until it is read on."""

    def __init__(self, events: AsyncIterator[object]) -> None:
        self._events = events
        self.pieces = 0

    async def rest(self) -> Done:
        async for event in self._events:
            match event:
                case Tokens(pieces=pieces):
                    self.pieces += len(pieces)
                case Done():
                    return event
        raise AssertionError("the answer ended without a last word")


@asynccontextmanager
async def running(client: Client, model: str) -> AsyncIterator[Running]:
    """Begun, and read no further than its first tokens: the runner then waits for its reader."""
    events = client.events("go on", model=ModelId(model), max_tokens=2000, timeout_s=100.0)
    made = Running(events)
    async for event in events:
        if isinstance(event, Tokens):
            made.pieces += len(event.pieces)
            break
    yield made


async def test_a_folder_is_served_as_it_is_and_no_answer_is_cut(tmp_path: Path) -> None:
    shelf = tmp_path / "shelf"
    shelf.mkdir()
    folder = {"path": str(shelf), "slots": 2, "context_length": LONG}
    async with residence(tmp_path, [], models_folder=folder) as (_, box, client):
        (record,) = await nodes(client, 1)
        reason = f"waits for models: no *.gguf in {shelf} yet"
        assert (record.state, record.reason) == ("starting", reason)
        whole = write_random(tmp_path / "long.gguf", context=LONG).read_bytes()
        (shelf / "long.gguf").write_bytes(whole[:50_000])
        half = await seen(client, lambda found: "long" in found)
        assert half["long"].state is ModelState.FAILED
        assert "truncated" in (half["long"].error or "")
        (shelf / "long.gguf").write_bytes(whole)
        await seen(client, lambda f: "long" in f and f["long"].state is ModelState.RESIDENT)
        async with running(client, "long") as answer:
            (shelf / "long.gguf").unlink()
            await seen(client, lambda found: not found)
            assert len(box.runners()) == 1
            done = await answer.rest()
        assert (done.reason, done.attempts, done.resumed) == ("length", 1, False)
        assert answer.pieces == 2000
        await until(lambda: not box.runners(), READY_S)


async def test_models_are_loaded_and_unloaded_by_hand_beside_a_stream(tmp_path: Path) -> None:
    chat = {"source": str(toy_model("chat")), "id": "chat", "specialties": ["chat"], "slots": 2}
    long = write_random(tmp_path / "long.gguf", context=LONG)
    async with residence(tmp_path, [chat]) as (made, _, client):
        await nodes(client, 1)
        endpoint = made.endpoints[0]
        at = ("--specialty", "math", "--context", str(LONG), "--slots", "2")
        code, out, err = await command(endpoint, "load", "box", str(long), *at)
        assert (code, out.splitlines()[0].startswith("long is resident on cpu: 2 slots of")) == (
            0,
            True,
        ), err
        assert "mesh unload box long" in err
        await seen(client, lambda f: "long" in f and f["long"].state is ModelState.RESIDENT)
        assert "long" in (await command(endpoint, "models"))[1]
        async with running(client, "long") as answer:
            code, _, err = await command(endpoint, "unload", "box", "long")
            assert (code, err.count("\n")) == (3, 1)
            assert "1 answer runs on 'long'; say --wait" in err
            waiting = asyncio.ensure_future(command(endpoint, "unload", "box", "long", "--wait"))
            await seen(client, lambda found: "long" not in found)
            assert not waiting.done()
            done = await answer.rest()
            code, out, _ = await waiting
        assert (done.reason, done.attempts, answer.pieces) == ("length", 1, 2000)
        assert (code, out) == (0, "long is unloaded, and box hosts it no more\n")
        code, out, _ = await command(endpoint, "unload", "box", "chat")
        assert (code, "loads it again when it is asked for" in out) == (0, True)
        await seen(client, lambda found: found["chat"].state is ModelState.COLD)
        code, out, _ = await command(endpoint, "load", "box", "chat")
        assert (code, out.startswith("chat is resident on cpu: 2 slots")) == (0, True)
        assert (await ask(client, "chat"))[0]
