"""Embeddings through real processes: llama.cpp on nodes of both transports, etcd, SDK and CLI."""

from __future__ import annotations

import asyncio
import json
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import aclosing, asynccontextmanager
from pathlib import Path
from typing import Any

import llama_cpp
import numpy as np
import pytest

from mesh import Client
from mesh.errors import ContextOverflow, NoCandidate
from mesh.fleet.records import ModelState
from mesh.local.ports import free_port
from tests.etcd import EtcdServer
from tests.gguf import write_random
from tests.gguf_bert import CONTEXT, write_bert
from tests.integration.test_orchestrator_process import connected
from tests.integration.test_tracing import process

pytestmark = [pytest.mark.processes, pytest.mark.timeout(180)]

START_S = 90.0
TEXTS = ["a cat sat", "a cat sat there", "tax", "the quick brown fox jumps over a dog"] * 5


@asynccontextmanager
async def mesh(
    folder: Path, *nodes: dict[str, Any]
) -> AsyncIterator[tuple[Client, str, list[Any]]]:
    """An orchestrator and these nodes, up and resident; the client, the endpoint, the nodes'
    processes."""
    endpoint = f"127.0.0.1:{free_port()}"
    async with EtcdServer() as etcd:
        common: dict[str, Any] = {"state_dir": str(folder), "etcd": etcd.endpoint}
        settings = common | {"name": "o", "bind": endpoint, "router": {"stages": ["rules"]}}
        (folder / "rules.toml").write_text(
            '[[rules]]\nname = "r"\nspecialty = "chat"\npattern = "x"\n'
        )
        settings["rules"] = str(folder / "rules.toml")
        running: list[Any] = []
        async with (
            process("-m", "orchestrator", json.dumps(settings), log=folder / "o.log"),
            _all(folder, [common | node for node in nodes], running),
            aclosing(await connected(endpoint)) as client,
        ):
            await _resident(client, {node["name"] for node in nodes})
            yield client, endpoint, running


@asynccontextmanager
async def _all(
    folder: Path, nodes: list[dict[str, Any]], running: list[Any]
) -> AsyncIterator[None]:
    if not nodes:
        yield
        return
    first, *rest = nodes
    log = folder / f"{first['name']}.log"
    async with process("-m", "node", json.dumps(first), log=log) as made:
        running.append(made)
        async with _all(folder, rest, running):
            yield


async def _resident(client: Client, names: set[str]) -> None:
    async with asyncio.timeout(START_S):
        while True:
            ready = {
                status.record.name
                for status in await client.nodes()
                if status.link_up
                and all(
                    # A heartbeat may be ahead of the record that says what the model is.
                    model.state is ModelState.RESIDENT and model.architecture
                    for model in status.record.models
                )
                and status.record.models
            }
            if ready >= names:
                return
            await asyncio.sleep(0.05)


def _node(name: str, model: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {"name": name, "models": [{"slots": 2} | model], **more}


def _reference(path: Path) -> np.ndarray:
    found = llama_cpp.Llama(str(path), embedding=True, n_ctx=CONTEXT, verbose=False)
    rows = np.array([row["embedding"] for row in found.create_embedding(TEXTS)["data"]])
    found.close()
    unit: np.ndarray = rows / np.linalg.norm(rows, axis=1, keepdims=True)
    return unit


async def test_vectors_over_both_transports_are_those_of_llama_cpps_own_python(
    tmp_path: Path,
) -> None:
    bert = write_bert(tmp_path / "bert.gguf")
    wanted = _reference(bert)
    model = {"source": str(bert), "specialties": ["embedding"]}
    chat = {"source": "s", "id": "s", "engine": "simulated", "specialties": ["chat"]}
    async with mesh(
        tmp_path,
        _node("zeromq", model | {"id": "one"}),
        _node("grpc", model | {"id": "two"}, transport="grpc"),
        _node("chat", chat),
    ) as (client, endpoint, running):
        for name, node in (("one", "zeromq"), ("two", "grpc")):
            found = await client.embed(TEXTS, model=name)
            assert (found.node_name, found.model, found.dimension) == (node, name, 48)
            vectors = np.array(found.vectors)
            assert len(found) == len(TEXTS)
            assert np.allclose(np.linalg.norm(vectors, axis=1), 1.0, atol=1e-5)
            assert (vectors * wanted).sum(axis=1).min() > 0.9999
        with pytest.raises(ContextOverflow, match=r"text 2 has .* takes 64 a text"):
            await client.embed(["short", "much too long " * 40], model="one")
        with pytest.raises(NoCandidate, match="gives answers and makes no embeddings"):
            await client.embed("hello", model="s")
        with pytest.raises(NoCandidate, match="makes embeddings and no answers"):
            await client.generate("hello", model="one").text()
        assert await client.generate("hello").text()

        status, output = await _cli(endpoint, "embed", "a cat", "a kitten", "tax", "--similarity")
        assert status == 0, output
        assert "3 vectors of 48 numbers" in output
        assert "1.00" in output
        status, output = await _cli(endpoint, "embed", "--json", "-", stdin=b"a\n\nb\nc\n")
        assert status == 0, output
        lines = [json.loads(line) for line in output.splitlines()]
        assert [line["event"] for line in lines] == ["vector"] * 3 + ["done"]
        assert len(lines[0]["vector"]) == 48
        assert lines[-1]["texts"] == 3

        # The node that had the last word is killed; the next request goes to the other.
        before = await client.embed(TEXTS)
        names = ["zeromq", "grpc"]
        running[names.index(before.node_name)].send_signal(signal.SIGKILL)
        after = await client.embed(TEXTS, timeout_s=60.0)
        assert {before.node_name, after.node_name} == set(names)
        both = np.array(before.vectors) * np.array(after.vectors)
        assert both.sum(axis=1).min() > 0.9999


async def test_a_generating_model_embeds_when_its_option_says_so_and_else_nobody_does(
    tmp_path: Path,
) -> None:
    model = write_random(tmp_path / "model.gguf")
    plain = {"source": str(model), "specialties": ["chat"], "id": "plain"}
    async with mesh(tmp_path, _node("plain", plain)) as (client, _, _):
        with pytest.raises(NoCandidate, match="no node of this mesh has a model that makes emb"):
            await client.embed("hello")
    told = {
        "source": str(model),
        "specialties": ["embedding"],
        "id": "told",
        "options": {"embedding": True, "pooling": "last"},
    }
    async with mesh(tmp_path, _node("told", told)) as (client, _, _):
        found = await client.embed(["hello there", "hello there", "no"])
        assert (found.model, found.dimension) == ("told", 64)
        assert found.prompt_tokens > 3
        assert found.cosine(0, 1) == pytest.approx(1.0, abs=1e-4)
        assert found.cosine(0, 2) < 0.9


async def _cli(endpoint: str, *arguments: str, stdin: bytes = b"") -> tuple[int, str]:
    made = await asyncio.create_subprocess_exec(
        sys.executable,
        *("-m", "mesh.cli", *arguments, "--endpoint", endpoint),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    async with asyncio.timeout(START_S):
        output, _ = await made.communicate(stdin)
    return made.returncode or 0, output.decode()
