"""`mesh route`: what the router would do with a prompt or many, and why."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Iterator
from contextlib import closing
from typing import TYPE_CHECKING, Any

import click

from mesh.cli.fleet_names import completes, models, specialties
from mesh.cli.options import chosen_endpoint, endpoint_option, json_option
from mesh.cli.prompt import checked, read_prompt
from mesh.cli.words import WordsCommand
from mesh.types import Message, Role

if TYPE_CHECKING:
    from mesh.cli.prompt_file import Line
    from mesh.stream import Route


@click.command(cls=WordsCommand)
@click.argument("prompt", nargs=-1)
@click.option(
    "--file", "file", metavar="FILE", help="Many prompts: one a line, or JSON lines; '-' for stdin."
)
@click.option("--history", metavar="FILE", help="A conversation before PROMPT: JSON messages.")
@click.option(
    "--specialty",
    metavar="NAME",
    shell_complete=completes(specialties),
    help="Skip the router: this kind of specialist.",
)
@click.option(
    "--model", metavar="ID", shell_complete=completes(models), help="Skip the router: this model."
)
@click.option("--tenant", metavar="NAME", help="Whose request it would be.")
@click.option("--candidates", is_flag=True, help="With --file --json: the ranked nodes of each.")
@json_option("The decision, its alternatives and the ranked candidates as JSON.")
@endpoint_option()
def route(
    prompt: tuple[str, ...],
    file: str | None,
    history: str | None,
    specialty: str | None,
    model: str | None,
    tenant: str | None,
    candidates: bool,
    as_json: bool,
    endpoint: str | None,
) -> None:
    """Show what would be decided for PROMPT, and which nodes would be asked. Nothing is run.

    PROMPT is the text, in words or in quotes, as `mesh ask` takes it.

    \b
    mesh route what is 17 + 25
    mesh route "and for 12?" --history conversation.json
    mesh route --file prompts.txt
    jq -c '{messages}' log.jsonl | mesh route --file - --json
    """
    options = {
        name: checked(value, f"--{name}")
        for name, value in (("specialty", specialty), ("model", model), ("tenant", tenant))
        if value
    }
    where = chosen_endpoint(endpoint)
    if file is not None:
        if prompt or history is not None:
            raise click.UsageError("--file has all prompts; give no PROMPT and no --history")
        if candidates and not as_json:
            raise click.UsageError("--candidates is for --json; a table has no room for them")
        failed, total = asyncio.run(_route_file(where, file, options, candidates, as_json))
        if failed:
            noun = "prompt" if total == 1 else "prompts"
            click.echo(f"mesh: {failed:,} of {total:,} {noun} had an error", err=True)
            sys.exit(1)
        return
    if candidates:
        raise click.UsageError("--candidates is for --file; one prompt shows them anyway")
    asked = _asked(" ".join(prompt) if prompt else None, history)
    found = asyncio.run(_route(where, asked, options))
    from mesh.cli.route_screen import as_data, show

    if as_json:
        from mesh.cli.screen import json_page

        click.echo(json_page(as_data(found)))
    else:
        show(found)


def _asked(prompt: str | None, history: str | None) -> tuple[Message, ...]:
    before: tuple[Message, ...] = ()
    if history is not None:
        from mesh.cli.prompt_file import history_of

        before = history_of(history)
        if prompt is None and before[-1].role is Role.USER:
            return before
    return (*before, Message.of(Role.USER, read_prompt(prompt)))


async def _route(endpoint: str, messages: tuple[Message, ...], options: dict[str, Any]) -> Route:
    from mesh import connect

    async with connect(endpoint.split(",")) as client:
        return await client.route(messages, **options)


async def _route_file(
    endpoint: str, path: str, options: dict[str, Any], candidates: bool, as_json: bool
) -> tuple[int, int]:
    """How many had an error, and how many there were."""
    from mesh import connect
    from mesh.cli.prompt_file import prompts_in
    from mesh.cli.route_screen import RouteRows, RouteTotals, line_of

    tally, rows = RouteTotals(), RouteRows()
    # What was read and is not shown yet: as much as one call takes.
    pending: list[Line] = []

    def read(lines: Iterator[Line]) -> Iterator[str | tuple[Message, ...]]:
        for line in lines:
            pending.append(line)
            yield line[1]

    with closing(prompts_in(path)) as lines:
        async with connect(endpoint.split(",")) as client:
            found = client.route_many(read(lines), candidates=candidates, **options)
            async for routed in found:
                number, asked = pending.pop(0)
                tally.add(routed)
                if as_json:
                    click.echo(line_of(number, routed, candidates=candidates))
                else:
                    rows.add(number, _text_of(asked), routed)
    if not as_json:
        rows.finish(tally)
    return tally.errors, tally.prompts


def _text_of(asked: str | tuple[Message, ...]) -> str:
    return asked if isinstance(asked, str) else asked[-1].text
