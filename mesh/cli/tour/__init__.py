"""What `make run` shows: twenty seconds in five acts. Where an act fails it says so and goes on."""

from __future__ import annotations

import contextlib
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

from rich.console import Console

from mesh import Client, connect
from mesh.cli.fleet import render
from mesh.cli.main import one_line
from mesh.cli.screen import console
from mesh.cli.tour import page
from mesh.cli.tour.notes import Notes
from mesh.cli.tour.stage import play, two_homes
from mesh.cli.tour.story import Story
from mesh.cli.tour.words import on_screen
from mesh.clock import SystemClock
from mesh.errors import MeshError
from mesh.fleet.records import NodeRecord
from mesh.local.started import started_by
from mesh.settings.addresses import DEFAULT_ENDPOINT
from mesh.stream import FleetStatus

EXACT = "How many days are there between 1 March 2024 and 25 December 2026?"
SMALL_TALK = "Explain why the sky is blue, in a few sentences."
KILLED = "What is a computer network? Explain it in a paragraph."
PROMPTS = (EXACT, SMALL_TALK, KILLED)
TITLES = (
    "An exact answer: no model is asked",
    "An answer of the model",
    "The same, and the node that answers is killed in mid-sentence",
    "The mesh now",
    "Try next, in another terminal",
)
LONGEST = 200  # tokens of an answer: a few seconds on an old box


async def take(endpoint: str, state_dir: Path, notes: Notes) -> None:
    """Nodes that the mesh of ``state_dir`` started may be killed, no others."""
    screen = console()
    with notes.kept(), _failing(screen):
        async with connect(endpoint) as client:
            await _acts(client, state_dir, notes, screen)
    screen.print(page.heading(5, TITLES[4]))
    screen.print(page.what_next(_commands(endpoint)), soft_wrap=True)
    screen.print()


async def _acts(client: Client, state_dir: Path, notes: Notes, screen: Console) -> None:
    await _exact(client, screen)
    killed: NodeRecord | None = None
    if (fleet := await client.fleet()).nodes:
        await _answered(client, fleet, screen)
        killed = await _killed(client, state_dir, screen)
    else:
        screen.print(page.heading(2, TITLES[1]))
        screen.print(page.failed("no node is here to answer: acts 2 and 3 need a model"))
    _now(await client.fleet(), killed, notes.taken(), screen)


async def _exact(client: Client, screen: Console) -> None:
    screen.print(page.heading(1, TITLES[0]))
    with _failing(screen):
        story = await _shown(client, EXACT, screen)
        if story.decision is not None and story.done is not None:
            screen.print(page.aside(page.exact_line(story.decision, story.done)))


async def _answered(client: Client, fleet: FleetStatus, screen: Console) -> None:
    screen.print(page.heading(2, TITLES[1]))
    with _failing(screen):
        story = await _shown(client, SMALL_TALK, screen)
        if story.decision is None or story.done is None:
            return
        screen.print(page.aside(page.answered_line(story.decision, story.done)))
        records = (node.record for node in fleet.nodes if node.record.id == story.done.node)
        if about := page.about_model(next(records, None), story.done):
            screen.print(page.aside(about))


async def _killed(client: Client, state_dir: Path, screen: Console) -> NodeRecord | None:
    screen.print(page.heading(3, TITLES[2]))
    with _failing(screen):
        fleet = await client.fleet()
        await two_homes(client, KILLED)
        screen.print(page.question(KILLED))
        events = client.events(KILLED, temperature=0.0, max_tokens=LONGEST, cacheable=False)
        story, killed = await play(events, fleet, on_screen(), started_by(state_dir), SystemClock())
        screen.print(
            page.aside(page.closing_line(story, killed), "red" if story.faults else "green")
        )
        return killed
    return None


def _now(fleet: FleetStatus, killed: NodeRecord | None, notes: list[str], screen: Console) -> None:
    screen.print(page.heading(4, TITLES[3]))
    for line in notes:
        screen.print(page.aside(f"the supervisor says: {line}"))
    if killed is not None:
        screen.print(page.aside(page.comeback(killed, fleet)))
    screen.print()
    screen.print(render(fleet))


async def _shown(client: Client, prompt: str, screen: Console) -> Story:
    screen.print(page.question(prompt))
    words, story, clock = on_screen(), Story(), SystemClock()
    try:
        events = client.events(prompt, temperature=0.0, max_tokens=LONGEST, cacheable=False)
        async with contextlib.aclosing(events):
            async for event in events:
                before = len(story.pieces)
                story.take(event, clock.now())
                words.text("".join(story.pieces[before:]))
    finally:
        words.end()
    return story


@contextlib.contextmanager
def _failing(screen: Console) -> Iterator[None]:
    """One line, and the tour goes on: the mesh is up either way."""
    try:
        yield
    except MeshError as error:
        screen.print(page.failed(one_line(error)))


def _commands(endpoint: str) -> tuple[tuple[str, str], ...]:
    option = "" if endpoint == DEFAULT_ENDPOINT else f" --endpoint {endpoint}"
    called = f"{_as_called()}{option}"
    return tuple((line.replace("mesh", called, 1), what) for line, what in page.TRY)


def _as_called() -> str:
    """``mesh`` where the shell would find this very one, else its path (`make run` needs no
    activated environment, and what is shown should work as it stands)."""
    called = Path(sys.argv[0])
    if called.name != "mesh" or shutil.which("mesh") in (sys.argv[0], str(called.absolute())):
        return "mesh"
    return sys.argv[0]
