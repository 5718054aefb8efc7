"""`mesh ask -c`: a prompt that goes on with a kept conversation; its answer becomes part of it."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

from rich.text import Text

from mesh.cleaned import cleaned
from mesh.cli.chat.asking import Outcome
from mesh.cli.chat.keeping import Keeper
from mesh.cli.chat.saved import SavedChat
from mesh.cli.chat.start import opened
from mesh.cli.chat.store import ChatStore
from mesh.clock import SystemClock
from mesh.errors import MeshError
from mesh.identity import NAME_PATTERN
from mesh.settings.state import state_dir
from mesh.stream import StreamEvent
from mesh.types import Message, Role


def is_kept(name: str) -> bool:
    """Whether there is a conversation of that name."""
    return NAME_PATTERN.fullmatch(name) is not None and _store().taken(name)


async def go_on(
    endpoint: str,
    name: str,
    system: str | None,
    prompt: str,
    options: dict[str, Any],
    *,
    as_json: bool,
) -> None:
    """Asks and shows the answer. ``name`` "": the conversation that changed last, a new one where
    none is kept. What is named now wins over what was named then. An answer that its reader stops
    is kept as far as it came, as in a chat; one that breaks is not. Raises ``MeshError``."""
    from mesh import connect
    from mesh.cli.answer import error_told, show_json, show_text

    keeper, clock = Keeper(_store()), SystemClock()
    now = clock.wall()
    named = SavedChat(
        created=now,
        changed=now,
        system=system,
        model=options.get("model"),
        specialty=options.get("specialty"),
    )
    try:
        with error_told(as_json=as_json):
            begins = not name and keeper.store.latest() is None
            chat = named if begins else opened(keeper, name, now, named)
            chosen = {"model": chat.model, "specialty": chat.specialty}
            options = options | {key: value for key, value in chosen.items() if value}
            messages = [*chat.messages, Message.of(Role.USER, prompt)]
            outcome, began = Outcome(prompt, now), clock.now()
            try:
                async with (
                    connect(endpoint.split(",")) as client,
                    contextlib.aclosing(client.events(messages, **options)) as events,
                ):
                    noted = _noted(events, outcome)
                    await (show_json(noted) if as_json else show_text(noted))
            except MeshError as error:
                outcome.error = error
                raise
            finally:
                outcome.seconds = clock.now() - began
                kept = _keep(keeper, chat, outcome, clock.wall())
        if kept is not None and not as_json:
            _say(kept)
    finally:
        keeper.release()


async def _noted(
    events: AsyncIterator[StreamEvent], outcome: Outcome
) -> AsyncIterator[StreamEvent]:
    async for event in events:
        outcome.note(event)
        yield event


def _keep(keeper: Keeper, chat: SavedChat, outcome: Outcome, now: float) -> SavedChat | None:
    if (turn := outcome.turn) is None:
        return None
    return keeper.keep(replace(chat, turns=(*chat.turns, turn), changed=now))


def _say(chat: SavedChat) -> None:
    from mesh.cli.screen import console

    turns = len(chat.turns)
    count = "first turn" if turns == 1 else f"turn {turns:,}"
    line = Text(f"{count} of the conversation '{cleaned(chat.name)}'", style="dim")
    console(sys.stderr).print(line, soft_wrap=True)


def _store() -> ChatStore:
    return ChatStore(state_dir() / "chats")
