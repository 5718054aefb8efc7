"""`mesh chat`: a conversation in the terminal. This file is its command; the rest of the package is

- ``commands`` (how a line is read), ``state`` (which ``effects`` it has) and ``stats``: pure
- ``loop``, which does what ``state`` says, with ``asking`` (an answer), ``keeping`` (the file),
  ``attaching``, ``clipboard``, ``fleet``, ``why``
- where lines come from: ``typed`` on a terminal (``completing``, ``history``, ``pasting``,
  ``paste_parser``), ``piped`` elsewhere
- where it is shown: ``view``, an answer on ``screen``, with ``wrap`` while it comes and
  ``rendering`` when it is whole, ``blocks`` of it where it is long
- ``saved`` and ``store``: conversations, and their files
"""

from __future__ import annotations

import asyncio
import os
import sys
from typing import Any

import click

from mesh.cli.chat.saved import SavedChat
from mesh.cli.fleet_names import completes, models, specialties
from mesh.cli.options import chosen_endpoint, endpoint_option
from mesh.cli.prompt import checked

LATEST = ""  # -c without a name
_DUMB = ("", "dumb", "unknown")  # terminals (TERM) that know no sequences


@click.command()
@click.option(
    "-c",
    "--continue",
    "continued",
    is_flag=False,
    flag_value=LATEST,
    metavar="[NAME]",
    help="Go on with this conversation, without a name with the last one.",
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
@click.option("--system", metavar="TEXT", help="A system text for the whole conversation.")
@click.option("--temperature", type=float, help="0 is greedy; higher is more random.")
@click.option(
    "--max-tokens", type=click.IntRange(min=1), metavar="N", help="At most so many an answer."
)
@click.option("--ephemeral", is_flag=True, help="Keep nothing: no conversation, no history.")
@endpoint_option()
def chat(
    continued: str | None,
    specialty: str | None,
    model: str | None,
    system: str | None,
    ephemeral: bool,
    endpoint: str | None,
    **sampling: Any,
) -> None:
    """Talk with the mesh.

    Conversations are kept, for you only, in the state folder (`mesh chats` lists them). Enter
    sends; Alt-Enter, a backslash at the end of a line or three quotes around it all make several
    lines. /help lists the commands. Ctrl-C stops an answer, and what came of it stays part of the
    conversation; Ctrl-D leaves.

    Without a terminal each line of standard input is a prompt or a command, the answers go to
    standard output as they are, and an error ends it.

    \b
    mesh chat
    mesh chat -c                       # the last conversation goes on
    mesh chat --specialty code --system "Be brief."
    printf 'Hello\\nAnd once more?\\n' | mesh chat --ephemeral
    """
    if continued is not None and ephemeral:
        raise click.UsageError("-c goes on with a kept conversation, --ephemeral keeps none")
    if specialty and model:
        raise click.UsageError("--specialty and --model both name who answers; give one of them")
    named = SavedChat(
        created=0.0,
        changed=0.0,
        system=checked(system, "--system") if system else None,
        model=checked(model, "--model") if model else None,
        specialty=checked(specialty, "--specialty") if specialty else None,
    )
    options = {name: value for name, value in sampling.items() if value is not None}
    from mesh.cli.chat.start import Ends, start

    ends = Ends(
        typed=sys.stdin.isatty(),
        shown=sys.stdout.isatty(),
        dumb=os.environ.get("TERM", "") in _DUMB,
    )
    where = chosen_endpoint(endpoint)
    asyncio.run(start(where, continued, named, options, ends, ephemeral=ephemeral))
