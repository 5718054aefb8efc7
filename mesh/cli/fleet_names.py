"""Names of the fleet for a shell that completes: quickly, and never an error."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable

import click
from click.shell_completion import CompletionItem

from mesh.cleaned import cleaned
from mesh.errors import MeshError
from mesh.settings.addresses import DEFAULT_ENDPOINT
from mesh.stream import FleetStatus

WITHIN_S = 0.5  # somebody has pressed a key and waits
_MOST = 200

Complete = Callable[[click.Context, click.Parameter, str], list[CompletionItem]]


def completes(names: Callable[[FleetStatus], Iterable[str]]) -> Complete:
    """For an option's ``shell_complete``."""

    def complete(
        context: click.Context, parameter: click.Parameter, begun: str
    ) -> list[CompletionItem]:
        try:
            fleet = asyncio.run(asyncio.wait_for(_fleet(_endpoint(context)), WITHIN_S))
        except (MeshError, TimeoutError, OSError):
            return []
        found = sorted({each for each in names(fleet) if each.startswith(begun)})
        # A name that a terminal would obey, or that is several words, is not one to type.
        return [CompletionItem(n) for n in found[:_MOST] if n == cleaned(n) and " " not in n]

    return complete


def models(fleet: FleetStatus) -> Iterable[str]:
    return (str(model.id) for node in fleet.nodes for model in node.record.models)


def specialties(fleet: FleetStatus) -> Iterable[str]:
    return (str(each) for node in fleet.nodes for each in node.record.specialties)


async def _fleet(endpoint: str) -> FleetStatus:
    from mesh.client.client import connect

    async with connect(endpoint.split(",")) as client:
        return await client.fleet()


def _endpoint(context: click.Context) -> str:
    from mesh.cli.options import started_here

    said = context.params.get("endpoint") or context.find_root().params.get("endpoint")
    return said or started_here() or DEFAULT_ENDPOINT
