"""Running registries and reading their watches in tests."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager

from mesh.registry.base import Change, Delete, Put, Registry

DEADLINE_S = 15.0


def record(instance: str, **fields: object) -> bytes:
    """A record as far as the registry looks at it."""
    return json.dumps({"instance": instance, "host": "box-a", "pid": 4711} | fields).encode()


async def eventually(condition: Callable[[], bool], deadline_s: float = DEADLINE_S) -> float:
    """Waits until it holds; returns how long that took, in seconds."""
    start = time.monotonic()
    async with asyncio.timeout(deadline_s):
        while not condition():  # noqa: ASYNC110 (what is waited for may be another process's doing)
            await asyncio.sleep(0.005)
    return time.monotonic() - start


@asynccontextmanager
async def running(*registries: Registry) -> AsyncIterator[list[asyncio.Task[None]]]:
    """Runs them inside; stops them in good order on the way out."""
    tasks = [asyncio.ensure_future(registry.run()) for registry in registries]
    try:
        yield tasks
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


class Watched:
    """Reads a watch: ``batches`` as they came, ``state`` as they add up."""

    def __init__(self) -> None:
        self.batches: list[tuple[Change, ...]] = []
        self.state: dict[str, bytes] = {}

    @property
    def changes(self) -> list[Change]:
        return [change for batch in self.batches for change in batch]

    async def read(self, registry: Registry, prefix: str) -> None:
        async for batch in registry.watch(prefix):
            self.batches.append(batch)
            for change in batch:
                match change:
                    case Put(key, value):
                        self.state[key] = value
                    case Delete(key):
                        del self.state[key]  # KeyError: a deletion of what was never put

    async def holds(self, state: Mapping[str, bytes], deadline_s: float = DEADLINE_S) -> float:
        """Waits until ``state`` is exactly this; returns how long that took, in seconds."""
        try:
            return await eventually(lambda: bool(self.batches) and self.state == state, deadline_s)
        except TimeoutError:
            raise AssertionError(f"not {dict(state)} but {self.state}; {self.batches}") from None


@asynccontextmanager
async def watching(registry: Registry, prefix: str) -> AsyncIterator[Watched]:
    """Reads a watch inside."""
    watched = Watched()
    task = asyncio.ensure_future(watched.read(registry, prefix))
    try:
        yield watched
        if task.done():
            task.result()  # a watch never ends; say why this one did
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
