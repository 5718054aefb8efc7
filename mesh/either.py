"""Waiting for whichever comes first, and work that goes on beside other work."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager
from typing import Any

from mesh.errors import MeshError, first_of


async def either(*waits: Coroutine[Any, Any, object]) -> None:
    """Returns when the first of them has ended, with the others cancelled and over. Raises the
    ``MeshError`` that one of them raised."""
    failure: MeshError | None = None
    try:
        async with asyncio.TaskGroup() as group:
            tasks = {group.create_task(wait) for wait in waits}
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            for task in tasks:
                task.cancel()
    except* MeshError as several:
        failure = first_of(several)
    if failure is not None:
        raise failure


@asynccontextmanager
async def beside(work: Coroutine[Any, Any, object]) -> AsyncIterator[None]:
    """``work`` goes on while the context lasts, and is over at its end. What ends either of both
    with an error ends both, and is raised as it was."""
    try:
        async with asyncio.TaskGroup() as group:
            task = group.create_task(work)
            try:
                yield
            finally:
                task.cancel()
    except BaseExceptionGroup as several:
        raise first_of(several) from None
