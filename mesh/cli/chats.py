"""`mesh chats`: the conversations that are kept."""

from __future__ import annotations

import sys
import time
from typing import TYPE_CHECKING, Any

import click

from mesh.cli.chat.saved import SavedChat
from mesh.cli.chat.store import ChatStore
from mesh.cli.group import Group
from mesh.cli.options import json_option
from mesh.errors import ConfigError
from mesh.settings.state import state_dir

if TYPE_CHECKING:
    from rich.console import RenderableType

_CHARACTERS = 200  # of a conversation's first words
_BESIDE_NAME = 16  # columns: age, turns, and what is between
_SHORTEST = 8  # columns in which first words say something


@click.group(cls=Group, invoke_without_command=True)
@json_option("One JSON object a line: name, created, changed, turns, first.")
@click.pass_context
def chats(context: click.Context, as_json: bool) -> None:
    """List kept conversations, the last changed first.

    \b
    mesh chats
    mesh chat -c NAME
    mesh chats rm NAME
    """
    if context.invoked_subcommand is not None:
        if as_json:
            raise click.UsageError(f"--json lists; it says nothing to {context.invoked_subcommand}")
        return
    store = _store()
    found, damaged = [], []
    for name in store.names():
        try:
            found.append(store.load(name))
        except ConfigError as error:
            damaged.append((name, error.message))
    if as_json:
        _show_json(found, damaged)
    elif found:
        _show(found)
    else:
        click.echo("no conversation is kept yet; `mesh chat` begins one", err=True)
    for _, message in damaged:
        click.echo(f"mesh: {message}", err=True)
    if damaged:
        sys.exit(1)


@chats.command()
@click.argument("names", nargs=-1, required=True, metavar="NAME...")
def rm(names: tuple[str, ...]) -> None:
    """Delete conversations, for good."""
    failed = False
    for name in dict.fromkeys(names):
        try:
            _store().delete(name)
        except ConfigError as error:
            failed = True
            click.echo(f"mesh: {error.message}", err=True)
    if failed:
        sys.exit(ConfigError.exit_code)


def _store() -> ChatStore:
    return ChatStore(state_dir() / "chats")


def _first(chat: SavedChat) -> str:
    from mesh.cleaned import cleaned

    return cleaned(chat.turns[0].prompt, _CHARACTERS) if chat.turns else ""


def _show_json(found: list[SavedChat], damaged: list[tuple[str, str]]) -> None:
    from mesh.cli.screen import json_line

    lines: list[dict[str, Any]] = [
        {
            "name": chat.name,
            "created": chat.created,
            "changed": chat.changed,
            "turns": len(chat.turns),
            "first": _first(chat),
        }
        for chat in found
    ]
    lines += [{"name": name, "error": message} for name, message in damaged]
    for line in lines:
        click.echo(json_line(line))


def _show(found: list[SavedChat]) -> None:
    from mesh.cli.screen import Sized, console

    now = time.time()
    console().print(Sized(lambda width: listed(found, now, width)))


def listed(found: list[SavedChat], now: float, width: int) -> RenderableType:
    """Names whole, since one goes on with them; what has no room beside them goes, and is named.
    ``now``: Unix seconds."""
    from rich.cells import cell_len
    from rich.console import Group as Parts
    from rich.text import Text

    from mesh.cli.screen import LONGEST_NAME, age, fitted, left_out, table, without

    longest = min(LONGEST_NAME, max((cell_len(chat.name) for chat in found), default=0))
    room = width - longest - _BESIDE_NAME
    rows = table(
        *("NAME", "AGE", "TURNS", "BEGINS"),
        right=("AGE", "TURNS"),
        fixed=("AGE", "TURNS"),
        at_most={"BEGINS": max(1, room)},
    )
    rows.columns[-1].no_wrap, rows.columns[-1].overflow = True, "ellipsis"
    for chat in found:
        rows.add_row(
            Text(chat.name), age(now - chat.changed), f"{len(chat.turns):,}", Text(_first(chat))
        )
    if room >= _SHORTEST:
        return rows
    gone = ["BEGINS", *fitted(without(rows, "BEGINS"), width, "AGE", "TURNS")]
    return Parts(rows, *left_out(gone))
