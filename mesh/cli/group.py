"""A group of commands whose list says of each what it does, whole."""

from __future__ import annotations

import click

_WHOLE = 400  # characters: more than a sentence has; what has no room wraps


class Group(click.Group):
    """Click cuts the sentences of its list off at the terminal's width."""

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        rows = [
            (name, command.get_short_help_str(_WHOLE))
            for name in self.list_commands(ctx)
            if (command := self.get_command(ctx, name)) is not None and not command.hidden
        ]
        if rows:
            with formatter.section("Commands"):
                formatter.write_dl(rows)
