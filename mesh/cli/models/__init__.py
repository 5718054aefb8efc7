"""`mesh models`: the models of this box and of the fleet; pulling, removing, whether they fit."""

from __future__ import annotations

import click

from mesh.cli.group import Group
from mesh.cli.models.fit import fit_model
from mesh.cli.models.listing import list_models
from mesh.cli.models.pull import pull_model
from mesh.cli.models.remove import remove_models
from mesh.cli.models.show import show_model


class ListedGroup(Group):
    """Without a command, its list."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        if not args or (args[0].startswith("-") and args[0] not in ctx.help_option_names):
            args = ["list", *args]
        return super().parse_args(ctx, args)


@click.group(cls=ListedGroup)
def models() -> None:
    """Models: those of this box and of the fleet; pull, show, remove them; whether one fits.

    Without a command, the list of them.
    """


for command in (list_models, show_model, pull_model, remove_models, fit_model):
    models.add_command(command)
