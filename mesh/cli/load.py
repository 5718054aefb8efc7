"""`mesh load`: a model onto a node that runs."""

from __future__ import annotations

from pathlib import Path

import click

from mesh.cleaned import cleaned
from mesh.cli.options import chosen_endpoint, endpoint_option
from mesh.cli.ordering import obeyed, record_of
from mesh.orders import LoadOrder


@click.command()
@click.argument("node", metavar="NODE")
@click.argument("source", metavar="SOURCE")
@click.option("--specialty", "specialties", metavar="NAMES", help="What it is good at, by comma.")
@click.option("--name", metavar="ID", help="What it is called.  [default: its file's name]")
@click.option("--slots", type=click.IntRange(1, 64), help="Sequences at a time.  [default: 4]")
@click.option(
    "--context",
    type=click.IntRange(32),
    help="Tokens a slot.  [default: the model's, at most 8192]",
)
@click.option("--engine", metavar="NAME", help="What runs it.  [default: llama_cpp]")
@endpoint_option()
def load(
    node: str,
    source: str,
    specialties: str | None,
    name: str | None,
    slots: int | None,
    context: int | None,
    engine: str | None,
    endpoint: str | None,
) -> None:
    """Bring a model to a node that runs, or load one that it hosts.

    SOURCE is a GGUF file of the node's box, hf:OWNER/REPO[:QUANT], which the node pulls, or what
    the engine calls its model, each with --specialty; without, the id of a model that the node
    hosts. Idle models make room. What was brought is not kept over a restart of the node: for that
    it goes into the node's settings or its folder. Only from the node's own box.

    \b
    mesh load robin ~/models/qwen2.5-math-7b-q4_k_m.gguf --specialty math
    mesh load robin hf:OWNER/REPO:Q4_K_M --specialty code --slots 2
    mesh load robin qwen2.5-math-7b-q4_k_m
    """
    told = f"mesh load {node} {source}" + (f" --specialty {specialties}" if specialties else "")
    record = record_of(node, chosen_endpoint(endpoint), told)
    names = tuple(part.strip() for part in (specialties or "").split(",") if part.strip())
    if specialties is not None and not names:
        raise click.UsageError("--specialty is empty; say what it is good at, such as math,code")
    order = LoadOrder(
        source=_whole(source) if names else source,
        specialties=names,
        id=name or "",
        engine=engine or "",
        slots=slots,
        context_length=context,
    )
    try:
        step = obeyed(record, order)
    except KeyboardInterrupt:
        click.echo(
            f"the node goes on with it: `mesh status --models` shows how far it is, `mesh unload "
            f"{cleaned(record.name)} MODEL` ends it",
            err=True,
        )
        raise
    from mesh.cli.screen import megabytes
    from mesh.spans import span

    where = f" on {step.device}" if step.device else ""
    slots_ = "1 slot" if step.slots == 1 else f"{step.slots} slots"
    facts = [f"{slots_} of {step.context_length:,} tokens" if step.context_length else slots_]
    if step.bytes:
        facts.append(megabytes(step.bytes))
    if step.load_s:
        facts.append(f"loaded in {span(step.load_s)}")
    click.echo(f"{step.model} is resident{where}: {', '.join(facts)}")
    if step.text:
        click.echo(step.text, err=True)
    if names:
        click.echo(
            f"it stays until the node ends, or `mesh unload {cleaned(record.name)} {step.model}`",
            err=True,
        )


def _whole(source: str) -> str:
    """A path from / on where it is one: the node runs in a folder of its own."""
    path = Path(source).expanduser()
    is_path = path.exists() or path.suffix == ".gguf" or source.startswith(("/", ".", "~"))
    return str(path.absolute()) if is_path and not source.startswith("hf:") else source
