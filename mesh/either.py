"""Waiting for whichever comes first."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
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
