"""`mesh route`: what the router would do with a prompt, and why."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import click

from mesh.cli.options import chosen_endpoint, endpoint_option, json_option
from mesh.cli.prompt import checked, read_prompt

if TYPE_CHECKING:
    from mesh.stream import Route


@click.command()
@click.argument("prompt", required=False)
@click.option("--specialty", metavar="NAME", help="Skip the router: this kind of specialist.")
@click.option("--model", metavar="ID", help="Skip the router: this model.")
@json_option("The decision, its alternatives and the ranked candidates as JSON.")
@endpoint_option()
def route(
    prompt: str | None,
    specialty: str | None,
    model: str | None,
    as_json: bool,
    endpoint: str | None,
) -> None:
    """Show what would be decided for PROMPT, and which nodes would be asked. Nothing is run."""
    text = read_prompt(prompt)
    options = {
        name: checked(value, f"--{name}")
        for name, value in (("specialty", specialty), ("model", model))
        if value
    }
    found = asyncio.run(_route(chosen_endpoint(endpoint), text, options))
    if as_json:
        import msgspec

        click.echo(msgspec.json.format(msgspec.json.encode(as_data(found)), indent=2).decode())
    else:
        show(found)


async def _route(endpoint: str, text: str, options: dict[str, Any]) -> Route:
    from mesh.sdk import connect

    async with connect(endpoint.split(",")) as client:
        return await client.route(text, **options)


def as_data(found: Route) -> dict[str, Any]:
    """The ``--json`` form."""
    import msgspec

    data = msgspec.to_builtins(found)
    decision = data["decision"]
    return {
        "decision": {k: v for k, v in decision.items() if k != "alternatives"},
        "alternatives": decision["alternatives"],
        "candidates": data["candidates"],
    }


def show(found: Route) -> None:
    from rich.text import Text

    from mesh.cli.answer import decided_by
    from mesh.cli.screen import console, table

    screen = console()
    decision = found.decision
    screen.print(
        Text.assemble((decided_by(decision), "bold"), (f"  in {decision.micros:.0f} µs", "dim"))
    )
    if decision.verdicts:
        stages = table("STAGE", "SAYS", "SURE", "RULE", "µs", right=("µs",))
        for verdict in decision.verdicts:
            said = verdict.specialty or "abstains"
            stages.add_row(
                Text(verdict.stage),
                Text(said, style="" if verdict.specialty else "dim"),
                f"{verdict.confidence:.2f}" if verdict.specialty else "",
                Text(verdict.rule or verdict.note or ""),
                f"{verdict.micros:.0f}",
            )
        screen.print(stages)
    if others := [a for a in decision.alternatives if a.specialty != decision.specialty]:
        listed = ", ".join(f"{other.specialty} {other.probability:.2f}" for other in others)
        screen.print(Text(f"otherwise: {listed}"))
    if not found.candidates:
        screen.print(Text("no node is known that could take it"))
        return
    ranked = table("RANK", "NODE", "MODEL", "WHY", right=("RANK",))
    rank = 0
    for candidate in found.candidates:
        rank += candidate.eligible
        ranked.add_row(
            str(rank) if candidate.eligible else "-",
            Text(candidate.node_name),
            Text(candidate.model),
            Text(candidate.reason, style="" if candidate.eligible else "dim"),
        )
    screen.print(ranked)
