"""The child of ``router_peers``: semantic-router in its own environment, timing itself.

Reads JSON lines and answers each with one. First ``{"routes": {name: [utterance, ...]}}``, answered
with versions when the router is built; then ``{"prompts": [...]}``, answered with microseconds of
the wall clock and of this thread's CPU for each, and the names of the routes chosen.

Its encoder is a ``DenseEncoder`` over ``orchestrator/router/minilm.py``: semantic-router's own
local encoder (``HuggingFaceEncoder``) has this very model as its default, but runs it on torch and
fetches it from a model hub. It is asked through ``acall``, without the thread that its synchronous
way would go through: both are in its favour.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from importlib.metadata import version

from semantic_router.encoders import DenseEncoder
from semantic_router.route import Route
from semantic_router.routers import IndexedRouter

from orchestrator.router.minilm import MiniLm

_MODEL = MiniLm(threads=1)


class Encoder(DenseEncoder):  # type: ignore[misc]
    name: str = "all-MiniLM-L6-v2"

    def __call__(self, docs: list[str]) -> list[list[float]]:
        return [_MODEL.vector(doc).tolist() for doc in docs]

    async def acall(self, docs: list[str]) -> list[list[float]]:
        return self(docs)


async def timed(router: IndexedRouter, prompts: list[str]) -> dict[str, list[object]]:
    wall: list[object] = []
    cpu: list[object] = []
    chosen: list[object] = []
    for prompt in prompts:
        cpu_started, started = time.thread_time(), time.perf_counter()
        choice = await router.acall(prompt)
        ended, cpu_ended = time.perf_counter(), time.thread_time()
        wall.append((ended - started) * 1e6)
        cpu.append((cpu_ended - cpu_started) * 1e6)
        chosen.append(choice.name)
    return {"wall": wall, "cpu": cpu, "chosen": chosen}


def main() -> None:
    routes = json.loads(sys.stdin.readline())["routes"]
    router = IndexedRouter(
        encoder=Encoder(),
        routes=[Route(name=name, utterances=texts) for name, texts in routes.items()],
    )
    runtime = f"onnxruntime {version('onnxruntime')}"
    about = f"semantic-router {version('semantic-router')}, MiniLM on {runtime}"
    print(json.dumps({"about": about}), flush=True)
    for line in sys.stdin:
        print(json.dumps(asyncio.run(timed(router, json.loads(line)["prompts"]))), flush=True)


if __name__ == "__main__":
    main()
