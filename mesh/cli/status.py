"""`mesh status`: the fleet as one orchestrator sees it."""

from __future__ import annotations

import asyncio
import sys
import time
from typing import TYPE_CHECKING

import click

from mesh.cli.options import chosen_endpoint, endpoint_option, json_option

if TYPE_CHECKING:
    from rich.console import RenderableType

    from mesh.stream import FleetStatus

INTERVAL_S = 1.0


@click.command()
@json_option("Nodes and orchestrators as JSON; with --watch one document a line.")
@click.option("--models", is_flag=True, help="One row a model: memory, slots, speeds, errors.")
@click.option("--watch", is_flag=True, help="Show it anew every second, until Ctrl-C.")
@endpoint_option()
def status(as_json: bool, models: bool, watch: bool, endpoint: str | None) -> None:
    """Show nodes, models, slots and memory, and why a node takes no work.

    A narrow terminal leaves out whole columns and says which; in a pipe every row is a line.
    """
    asyncio.run(_status(chosen_endpoint(endpoint), as_json, models, watch))


async def _status(endpoint: str, as_json: bool, models: bool, watch: bool) -> None:
    from mesh import connect

    async with connect(endpoint.split(",")) as client:
        if watch and not as_json and sys.stdout.isatty():
            from rich.live import Live

            from mesh.cli.screen import console

            with Live(console=console(), auto_refresh=False, screen=False) as live:
                while True:
                    live.update(_screen(await client.fleet(), models), refresh=True)
                    await asyncio.sleep(INTERVAL_S)
        _print(await client.fleet(), as_json, models, one_line=watch)
        while watch:
            await asyncio.sleep(INTERVAL_S)
            _print(await client.fleet(), as_json, models, one_line=True)


def _screen(fleet: FleetStatus, models: bool) -> RenderableType:
    from mesh.cli.fleet import render
    from mesh.cli.fleet_models import render_models

    return render_models(fleet, time.time()) if models else render(fleet)


def _print(fleet: FleetStatus, as_json: bool, models: bool, *, one_line: bool) -> None:
    from mesh.cli.fleet import as_data
    from mesh.cli.screen import console, json_line, json_page

    if as_json:
        click.echo((json_line if one_line else json_page)(as_data(fleet)))
    else:
        console(whole_rows=True).print(_screen(fleet, models))
    sys.stdout.flush()
