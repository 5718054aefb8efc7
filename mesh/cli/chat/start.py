"""Puts a chat together: on a terminal, or where there is none."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from mesh.cli.chat.asking import Door
from mesh.cli.chat.fleet import known, known_of
from mesh.cli.chat.keeping import Keeper
from mesh.cli.chat.loop import Chat, Lines, going_on
from mesh.cli.chat.piped import PipedLines
from mesh.cli.chat.saved import SavedChat
from mesh.cli.chat.state import Known, State
from mesh.cli.chat.store import ChatStore
from mesh.cli.chat.view import PlainView, TerminalView, View
from mesh.clock import SystemClock
from mesh.errors import ConfigError
from mesh.settings.state import state_dir

HISTORY = "chat-history"
_SPECIALTIES = 8  # that are named


@dataclass(frozen=True, slots=True)
class Ends:
    """What the standard streams are. ``dumb``: the terminal knows no sequences."""

    typed: bool
    shown: bool
    dumb: bool


async def start(
    endpoint: str,
    continued: str | None,
    named: SavedChat,
    options: dict[str, Any],
    ends: Ends,
    *,
    ephemeral: bool,
) -> None:
    """``named``: with the system text, model and specialty that were given. Raises
    ``Unreachable`` where no mesh is there at its beginning."""
    keeper = Keeper(ChatStore(state_dir() / "chats"), keeps=not ephemeral)
    clock = SystemClock()
    door = Door(endpoint)
    try:
        state = State(opened(keeper, continued, clock.wall(), named))
        client = await door.client()
        view: View = PlainView(sys.stdout, sys.stderr)
        if ends.typed and ends.shown:
            view = TerminalView(sys.stdout, dumb=ends.dumb)
        lines: Lines = PipedLines(sys.stdin.buffer, sys.stderr if ends.typed else None)
        if ends.typed and ends.shown and not ends.dumb:
            lines = _typed(door, keeper, view, None if ephemeral else state_dir() / HISTORY)
        if ends.typed:
            view.say(_greeting(endpoint, known_of(await client.fleet())))
        if state.chat.name:
            going_on(view, state)
        chat = Chat(door, keeper, lines, view, clock, options=options, stops=not ends.typed)
        await chat.run(state)
    finally:
        keeper.release()
        await door.aclose()


def opened(keeper: Keeper, continued: str | None, now: float, named: SavedChat) -> SavedChat:
    """What is named now wins over what was named then. Raises ``ConfigError``."""
    if continued is None:
        return replace(named, created=now, changed=now)
    name = continued or keeper.store.latest()
    if name is None:
        raise ConfigError("no conversation is kept yet; begin one without -c")
    chat = keeper.open(name)
    if named.system is not None:
        chat = replace(chat, system=named.system)
    if named.model or named.specialty:
        chat = replace(chat, model=named.model, specialty=named.specialty)
    return chat


def _greeting(endpoint: str, there: Known) -> str:
    """Who is there, in a line or two."""
    names = ", ".join(sorted(there.specialties)[:_SPECIALTIES])
    serves = f" serves {names}" if names else ": no node is there yet"
    return f"the mesh at {endpoint}{serves}. /help lists the commands, Ctrl-D leaves."


def _typed(door: Door, keeper: Keeper, view: View, history: Path | None) -> Lines:
    from mesh.cli.chat.completing import ChatCompleter
    from mesh.cli.chat.history import history_of
    from mesh.cli.chat.pasting import Pastes
    from mesh.cli.chat.typed import TypedLines

    pastes = Pastes()

    def kept() -> Sequence[str]:
        try:
            return keeper.store.names()
        except ConfigError:
            return ()

    return TypedLines(
        history_of(history, pastes.whole, view.say),
        ChatCompleter(lambda: known(door), kept),
        pastes,
        view.say,
    )
