"""`mesh ask`: one prompt, its answer streamed."""

from __future__ import annotations

import asyncio
import contextlib
from typing import IO, Any

import click

from mesh.cli.fleet_names import completes, models, specialties
from mesh.cli.options import Duration, chosen_endpoint, endpoint_option, json_option
from mesh.cli.prompt import checked, piped_beside, read_prompt
from mesh.cli.words import WordsCommand
from mesh.types import Message, Role
from mesh.validation import MAX_GRAMMAR_BYTES


class AskCommand(WordsCommand):
    optional = ("-c", "--continue")

    def named(self, word: str) -> bool:
        from mesh.cli.continued import is_kept

        return is_kept(word)


@click.command(cls=AskCommand)
@click.argument("prompt", nargs=-1)
@click.option(
    "-f",
    "--file",
    "files",
    multiple=True,
    metavar="FILE",
    help="A text file that goes with the prompt, below its name. Repeatable.",
)
@click.option(
    "-c",
    "--continue",
    "continued",
    metavar="[NAME]",
    help="Go on with a kept conversation, and add to it: NAME where there is one of it, else the "
    "last one.",
)
@click.option(
    "--history",
    metavar="FILE",
    help="What was said before: JSON, a list of messages with role and content.",
)
@click.option(
    "--specialty",
    metavar="NAME",
    shell_complete=completes(specialties),
    help="Skip the router: this kind of specialist.",
)
@click.option(
    "--model", metavar="ID", shell_complete=completes(models), help="Skip the router: this model."
)
@click.option("--system", metavar="TEXT", help="A system message before the prompt.")
@click.option(
    "--max-tokens",
    type=click.IntRange(min=1),
    metavar="N",
    help="At most so many tokens; without it, to the answer's own end.",
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
@click.option(
    "--timeout",
    type=Duration(),
    metavar="TIME",
    help="The whole request's deadline: 90, 500ms, 2m.  [default: the mesh's, 2m]",
)
@click.option("--no-resume", is_flag=True, help="An answer that breaks is an error, not resumed.")
@click.option("--strict", is_flag=True, help="Only the same weights may go on with the answer.")
@click.option("--fresh", is_flag=True, help="No remembered answer, and this one is not remembered.")
@click.option("--remember", is_flag=True, help="May be answered from memory though it is random.")
@click.option("--tenant", metavar="NAME", help="Whose request it is; memories are never shared.")
@json_option("One JSON object a line: decision, token..., then done or error.")
@endpoint_option()
def ask(
    prompt: tuple[str, ...],
    files: tuple[str, ...],
    continued: str | None,
    history: str | None,
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

    PROMPT is the text, in words or in quotes; options may stand before, after or among them, and
    what comes after -- is text whatever it looks like. '-', or no PROMPT and a pipe, reads standard
    input. What is piped in beside a PROMPT goes below it, files below that.

    Into a pipe or a file the answer goes as it is. On a terminal its lines and tabs stay, and what
    the terminal would obey is shown as a sign: an escape as ␛.

    \b
    mesh ask what is 17 + 25
    git diff | mesh ask "Say what this change does." --specialty code
    mesh ask -f notes.md -f plan.md "Where do these two disagree?"
    mesh ask -c "And in one sentence?"     # goes on with the last conversation of `mesh chat`
    """
    if continued is not None and history is not None:
        raise click.UsageError("-c and --history both say what came before; give one of them")
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
    system = checked(system, "--system") if system else None
    before = _before(history, system)
    asked = _asked(prompt, files, answers=bool(before) and before[-1].role is Role.USER)
    where = chosen_endpoint(endpoint)
    if continued is not None:
        from mesh.cli.continued import go_on

        asyncio.run(go_on(where, continued, system, asked, options, as_json=as_json))
        return
    messages = [*before, *([Message.of(Role.USER, asked)] if asked else [])]
    asyncio.run(_ask(where, messages, options, as_json))


def _before(history: str | None, system: str | None) -> tuple[Message, ...]:
    """What stands before the prompt."""
    first = (Message.of(Role.SYSTEM, system),) if system else ()
    if history is None:
        return first
    from mesh.cli.prompt_file import history_of

    told = history_of(history)
    if system and told[0].role is Role.SYSTEM:
        raise click.UsageError(f"{history} begins with a system message; leave out --system")
    return (*first, *told)


def _asked(words: tuple[str, ...], files: tuple[str, ...], *, answers: bool) -> str:
    """The prompt with its files; "" where ``answers``, that is where what came before ends with a
    question, and nothing else is asked."""
    prompt = " ".join(words) if words else None
    if prompt is None and (files or answers):
        text = piped_beside("the files" if files else "the history")
    else:
        text = read_prompt(prompt)
    if not files:
        return text
    from mesh.cli.chat.attaching import attached
    from mesh.cli.chat.state import joined

    return joined(text, tuple(attached(checked(path, "--file")) for path in files)).lstrip("\n")


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
    from mesh.cli.answer import error_told, show_json, show_text

    with error_told(as_json=as_json):
        async with (
            connect(endpoint.split(",")) as client,
            contextlib.aclosing(client.events(messages, **options)) as events,
        ):
            await (show_json(events) if as_json else show_text(events))
