"""What `make run` shows: one prompt of each kind, the fleet, and what to try next."""

from __future__ import annotations

import contextlib
import shutil
import sys
from pathlib import Path

import click
from rich.text import Text

from mesh import connect
from mesh.cli.answer import show_text
from mesh.cli.fleet import render
from mesh.cli.main import one_line
from mesh.cli.screen import console
from mesh.errors import MeshError
from mesh.settings.addresses import DEFAULT_ENDPOINT

PROMPTS = (
    "Tom has 12 apples and buys 30 more. How many apples does he have now?",
    "Write a Python function that returns the sum of a list of numbers.",
    "Hello! Who are you?",
    "What is 15% of 80?",
)

TRY = (
    'mesh ask "How many cups are in 4 quarts?"',
    'mesh ask --json "Say hello."',
    'mesh route "Write a function that reverses a string."',
    "mesh status",
)


async def take(endpoint: str) -> None:
    """Asks, shows, and goes on where one answer fails: the mesh is up either way."""
    screen = console()
    async with connect(endpoint) as client:
        for prompt in PROMPTS:
            screen.print()
            screen.print(Text.assemble(("> ", "dim"), (prompt, "bold")))
            try:
                async with contextlib.aclosing(client.events(prompt, max_tokens=160)) as events:
                    await show_text(events, closing=sys.stdout)
            except MeshError as error:
                click.echo(f"mesh: {one_line(error)}", err=True)
        screen.print()
        screen.print(render(await client.fleet()))
    option = "" if endpoint == DEFAULT_ENDPOINT else f" --endpoint {endpoint}"
    screen.print("\nTry next, in another terminal:")
    command = f"{_as_called()}{option}"
    for line in TRY:
        screen.print(f"  {line.replace('mesh', command, 1)}", soft_wrap=True, markup=False)
    screen.print()


def _as_called() -> str:
    """``mesh`` where the shell would find this very one, else its path (`make run` needs no
    activated environment, and what is shown should work as it stands)."""
    called = Path(sys.argv[0])
    if called.name != "mesh" or shutil.which("mesh") in (sys.argv[0], str(called.absolute())):
        return "mesh"
    return sys.argv[0]
