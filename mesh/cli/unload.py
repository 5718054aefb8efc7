"""`mesh unload`: a model off a node that runs."""

from __future__ import annotations

import click

from mesh.cleaned import cleaned
from mesh.cli.options import chosen_endpoint, endpoint_option
from mesh.cli.ordering import obeyed, record_of
from mesh.orders import Phase, UnloadOrder


@click.command()
@click.argument("node", metavar="NODE")
@click.argument("model", metavar="MODEL")
@click.option("--wait", is_flag=True, help="Let what runs on it end first; nothing new begins.")
@endpoint_option()
def unload(node: str, model: str, wait: bool, endpoint: str | None) -> None:
    """Unload a model of a node that runs; refused while answers run on it, but for --wait.

    One that `mesh load` brought is forgotten. One of the node's settings or folder stays there,
    cold, and is loaded again when it is asked for. Only from the node's own box.
    """
    record = record_of(node, chosen_endpoint(endpoint), f"mesh unload {node} {model}")
    try:
        step = obeyed(record, UnloadOrder(model=model, wait=wait))
    except KeyboardInterrupt:
        click.echo("not waited for any more; what `mesh load` brought goes all the same", err=True)
        raise
    name = cleaned(record.name)
    if step.phase is Phase.FORGOTTEN:
        click.echo(f"{step.model} is unloaded, and {name} hosts it no more")
        return
    was = f"{step.model} is unloaded" if not step.text else f"{step.model}: {step.text}"
    click.echo(f"{was}; {name} hosts it still, and loads it again when it is asked for")
