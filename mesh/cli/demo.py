"""`mesh demo`: what a mesh is for, shown on your own."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from mesh.cli.group import Group
from mesh.cli.options import (
    chosen_endpoint,
    chosen_state_dir,
    endpoint_option,
    json_option,
    state_dir_option,
)
from mesh.cli.prompt import checked
from mesh.extras import require

if TYPE_CHECKING:
    from mesh.cli.tour.story import Story
    from mesh.fleet.records import NodeRecord

LONGEST = 400  # tokens of the answer


@click.group(cls=Group)
def demo() -> None:
    """Show what the mesh does when something happens to it."""


@demo.command()
@click.option("--prompt", metavar="TEXT", help="What to ask: something with a long answer.")
@click.option("--yes", is_flag=True, help="Also kill a node that this `mesh up` did not start.")
@json_option("What happened, as one JSON object, instead of the answer as it comes.")
@state_dir_option
@endpoint_option()
def failover(
    prompt: str | None, yes: bool, as_json: bool, state_dir: Path | None, endpoint: str | None
) -> None:
    """Ask, and kill the node that answers in mid-sentence: the sentence goes on.

    The answer needs two nodes that serve its specialty. Only a node's process on this box is
    killed (SIGKILL), one that is known for certain, and that `mesh up` started here, unless you say
    --yes. A `mesh up` starts it again; nobody else may. Every token is checked: none missing, none
    twice. Exit code 1 when one is.
    """
    require("node")  # what knows a box's processes
    from mesh.cli.tour import KILLED

    folder = chosen_state_dir(state_dir)
    where = chosen_endpoint(endpoint).split(",")
    text = checked(prompt, "--prompt") if prompt is not None else KILLED
    asyncio.run(_failover(where, text, folder, yes=yes, as_json=as_json))


async def _failover(
    endpoints: list[str], prompt: str, folder: Path, *, yes: bool, as_json: bool
) -> None:
    from mesh import connect
    from mesh.cli.screen import console, json_line
    from mesh.cli.tour import page
    from mesh.cli.tour.stage import play, two_homes
    from mesh.cli.tour.words import Unseen, on_screen
    from mesh.clock import SystemClock
    from mesh.errors import InternalError, InvalidRequest
    from mesh.local.node_process import find
    from mesh.local.started import started_by

    async with connect(endpoints) as client:
        fleet = await client.fleet()
        await two_homes(client, prompt)
        screen = console()
        if not as_json:
            screen.print(page.question(prompt))
        story, killed = await play(
            client.events(prompt, temperature=0.0, max_tokens=LONGEST, cacheable=False),
            fleet,
            Unseen() if as_json else on_screen(),
            find if yes else started_by(folder),
            SystemClock(),
        )
        if as_json:
            click.echo(json_line(as_data(story, killed)))
        if killed is None or not story.seams:
            said = page.closing_line(story, killed)
            raise InvalidRequest(f"{said} Give a --prompt with a longer answer")
        if story.faults:
            raise InternalError(page.closing_line(story, killed))
        if not as_json:
            screen.print(page.aside(page.closing_line(story, killed), "green"))


def as_data(story: Story, killed: NodeRecord | None) -> dict[str, Any]:
    """Fields are added, never renamed."""
    seam = story.seams[0] if story.seams else None
    resume = story.resume
    return {
        "killed": {
            "node": killed.name,
            "node_id": killed.id,
            "pid": killed.pid,
            "host": killed.host,
        }
        if killed is not None
        else None,
        "goes_on_at": seam.to_node if seam is not None else None,
        "at_token": seam.at_token if seam is not None else None,
        "gap_ms": 1_000 * seam.gap_s if seam is not None else None,
        "same_weights": resume.same_weights if resume is not None else None,
        "by_ids": resume.by_ids if resume is not None else None,
        "tokens": story.tokens,
        "faults": list(story.faults),
        "text": story.text,
    }
