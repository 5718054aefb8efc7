"""Writes docs/cli.md from the commands themselves: `python -m mesh.cli.reference [--check]`."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import click

from mesh.cli.main import cli
from mesh.made_page import keep

TARGET = Path(__file__).parents[2] / "docs" / "cli.md"

HEAD = """# The `mesh` command

Made from the code by `python -m mesh.cli.reference`; do not edit it by hand.

`--endpoint` may stand before or after the command; `MESH_ENDPOINT` sets it for all. Errors are one
line on standard error.

| exit code | meaning |
|---|---|
| 0 | ok |
| 2 | usage, settings or request wrong: change it |
| 3 | nobody in the mesh can serve it (now) |
| 4 | the mesh, or its registry, cannot be reached |
| 5 | the deadline passed |
| 130 | interrupted (Ctrl-C) |
| 1 | anything else |
"""


def reference() -> str:
    """The whole page."""
    context = click.Context(cli, info_name="mesh")
    sections = [HEAD, _section(cli, context, "## mesh")]
    for name in cli.list_commands(context):
        command = cli.get_command(context, name)
        if command is not None:
            inner = click.Context(command, info_name=name, parent=context)
            sections.append(_section(command, inner, f"## mesh {name}"))
            if isinstance(command, click.Group):
                sections += _group(command, inner)
    return "\n".join(sections)


def _group(group: click.Group, context: click.Context) -> Iterator[str]:
    for name, command in group.commands.items():
        inner = click.Context(command, info_name=name, parent=context)
        yield _section(command, inner, f"### {inner.command_path}")


def _section(command: click.Command, context: click.Context, title: str) -> str:
    usage = " ".join([context.command_path, *command.collect_usage_pieces(context)])
    lines = [title, "", f"`{usage}`", "", *_prose(command.help or ""), ""]
    rows = [
        record
        for parameter in command.params
        if (record := parameter.get_help_record(context)) is not None
    ]
    if rows:
        lines += ["| option | |", "|---|---|"]
        lines += [f"| `{_cell(names)}` | {_cell(text)} |" for names, text in rows]
        lines.append("")
    return "\n".join(lines)


def _prose(text: str) -> Iterator[str]:
    """Click's help text as Markdown: a block marked with ``\\b`` is code."""
    for number, block in enumerate(text.strip().split("\n\n")):
        if number:
            yield ""
        lines = [line.strip() for line in block.splitlines()]
        if lines and lines[0] == "\b":
            yield from ["```sh", *lines[1:], "```"]
        else:
            yield " ".join(lines)


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")


def main(arguments: list[str]) -> int:
    """Exit code 1 when ``--check`` finds the page out of date."""
    return keep(reference(), TARGET, "mesh.cli.reference", arguments)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
