"""What a chat knows of the fleet: for completion, for names that were mistyped, for figures."""

from __future__ import annotations

import asyncio

from mesh.cli.chat.asking import Door
from mesh.cli.chat.state import Known
from mesh.errors import MeshError
from mesh.stream import FleetStatus

TIMEOUT_S = 2.0  # after which it is better to know nothing than to wait


async def known(door: Door) -> Known:
    """Nothing where the mesh does not say it in time."""
    try:
        async with asyncio.timeout(TIMEOUT_S):
            client = await door.client()
            return known_of(await client.fleet())
    except (MeshError, TimeoutError):
        return Known()


def known_of(fleet: FleetStatus) -> Known:
    """Of the nodes that are there."""
    there = [node for node in fleet.nodes if node.gone_since is None]
    models = [model for node in there for model in node.record.models]
    return Known(
        models={model.id: model.context_length for model in models},
        specialties=frozenset(name for model in models for name in model.specialties),
    )
