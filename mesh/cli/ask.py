"""`mesh ask`: one prompt, its answer streamed."""

from __future__ import annotations

import asyncio
import contextlib
import sys
from typing import IO, Any

import click

from mesh.cli.options import chosen_endpoint, endpoint_option, json_option
from mesh.cli.prompt import checked, read_prompt
from mesh.types import Message, Role
from mesh.validation import MAX_GRAMMAR_BYTES


@click.command()
@click.argument("prompt", required=False)
@click.option("--specialty", metavar="NAME", help="Skip the router: this kind of specialist.")
@click.option("--model", metavar="ID", help="Skip the router: this model.")
@click.option("--system", metavar="TEXT", help="A system message before the prompt.")
@click.option(
    "--max-tokens",
    type=click.IntRange(min=1),
    metavar="N",
    help="At most so many tokens.  [default: 2048]",
)
@click.option("--temperature", type=float, help="0 is greedy; higher is more random.")
@click.option("--top-p", type=float, help="Nucleus: the likeliest tokens of this total mass.")
@click.option(
    "--top-k",
    type=click.IntRange(min=0),
    metavar="K",
    help="The likeliest K tokens only; 0 is off.",
)
@click.option("--min-p", type=float, help="Tokens at least this likely, relative to the likeliest.")
@click.option(
    "--seed",
    type=click.IntRange(0, 2**32 - 1),
    metavar="N",
    help="Draws are made by it, on any node.",
)
@click.option("--stop", multiple=True, metavar="TEXT", help="End before this text. Repeatable.")
@click.option("--repetition-penalty", type=float, help="Above 1 discourages repetition.")
@click.option(
    "--json-schema",
    "schema_file",
    type=click.File(encoding="utf-8"),
    metavar="FILE",
    help="The answer is JSON that fits this JSON Schema.",
)
@click.option(
    "--grammar",
    "grammar_file",
    type=click.File(encoding="utf-8"),
    metavar="FILE",
    help="The answer follows this GBNF grammar's rule 'root'.",
)
@click.option("--timeout", type=float, metavar="SECONDS", help="The whole request's deadline.")
@click.option("--no-resume", is_flag=True, help="An answer that breaks is an error, not resumed.")
@click.option("--strict", is_flag=True, help="Only the same weights may go on with the answer.")
@click.option("--fresh", is_flag=True, help="No remembered answer, and this one is not remembered.")
@click.option("--remember", is_flag=True, help="May be answered from memory though it is random.")
@click.option("--tenant", metavar="NAME", help="Whose request it is; memories are never shared.")
@json_option("One JSON object a line: decision, token..., then done or error.")
@endpoint_option()
def ask(
    prompt: str | None,
    specialty: str | None,
    model: str | None,
    system: str | None,
    stop: tuple[str, ...],
    schema_file: IO[str] | None,
    grammar_file: IO[str] | None,
    timeout: float | None,
    no_resume: bool,
    strict: bool,
    fresh: bool,
    remember: bool,
    tenant: str | None,
    as_json: bool,
    endpoint: str | None,
    **sampling: Any,
) -> None:
    """Ask the mesh. Its answer is streamed as it is made.

    PROMPT is the text; '-', or no PROMPT and a pipe, reads standard input. What is piped in beside
    a PROMPT goes below it.

    Into a pipe or a file the answer goes as it is. On a terminal its lines and tabs stay, and what
    the terminal would obey is shown as a sign: an escape as ␛.

    \b
    mesh ask "What is 17 + 25?"
    git diff | mesh ask "Say what this change does." --specialty code
    """
    text = read_prompt(prompt)
    messages = [Message.of(Role.USER, text)]
    if system:
        messages.insert(0, Message.of(Role.SYSTEM, checked(system, "--system")))
    options: dict[str, Any] = {k: v for k, v in sampling.items() if v is not None}
    if stop:
        options["stop"] = tuple(checked(each, "--stop") for each in stop)
    for name, file in (("json_schema", schema_file), ("grammar", grammar_file)):
        if file is not None:
            options[name] = _read(file, f"--{name.replace('_', '-')}")
    for name, value in (("specialty", specialty), ("model", model)):
        if value:
            options[name] = checked(value, f"--{name}")
    if timeout is not None:
        options["timeout_s"] = timeout
    if no_resume:
        options["resume"] = False
    if strict:
        options["strict"] = True
    if fresh and remember:
        raise click.UsageError("--fresh and --remember say the opposite; give one of them")
    if fresh or remember:
        options["cacheable"] = remember
    if tenant:
        options["tenant"] = checked(tenant, "--tenant")
    asyncio.run(_ask(chosen_endpoint(endpoint), messages, options, as_json))


def _read(file: IO[str], flag: str) -> str:
    """What the file says, as far as the mesh would take it."""
    try:
        text = file.read(MAX_GRAMMAR_BYTES + 1)
    except UnicodeDecodeError:
        raise click.UsageError(f"{flag}: {file.name} is not UTF-8 text") from None
    return checked(text, flag)


async def _ask(
    endpoint: str, messages: list[Message], options: dict[str, Any], as_json: bool
) -> None:
    from mesh import connect
    from mesh.cli.answer import error_event, show_json, show_text
    from mesh.errors import MeshError

    streaming = False
    try:
        async with (
            connect(endpoint.split(",")) as client,
            contextlib.aclosing(client.events(messages, **options)) as events,
        ):
            streaming = True
            await (show_json(events) if as_json else show_text(events))
    except MeshError as error:
        if as_json and not streaming:  # show_json has written its own
            from mesh.cli.screen import json_line

            sys.stdout.write(json_line(error_event(error)) + "\n")
        raise
