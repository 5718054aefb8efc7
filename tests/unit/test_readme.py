"""What the README and the documents show exists: each command, its options, each link."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from mesh.cli.main import cli

ROOT = Path(__file__).parents[2]
MADE = {"cli.md", "sdk.md"}  # of the code itself
PAGES = [
    ROOT / "README.md",
    *sorted(page for page in (ROOT / "docs").glob("*.md") if page.name not in MADE),
]
_BLOCK = re.compile(r"^```(?:sh)?\n(.*?)^```", re.MULTILINE | re.DOTALL)
_INLINE = re.compile(r"`(mesh [^`]+)`")
_LINK = re.compile(r"\]\(([^)#:]+)(?:#[^)]*)?\)")


def shown(page: Path) -> Iterator[list[str]]:
    """Commands of `mesh`, as a shell would split them."""
    text = page.read_text(encoding="utf-8")
    lines = [
        line for block in _BLOCK.findall(text) for line in block.replace("\\\n", " ").splitlines()
    ]
    lines += [" ".join(inline.split()) for inline in _INLINE.findall(text)]
    for line in lines:
        for part in re.split(r" (?:\||&&) ", f" {line}"):
            if part.strip().startswith("mesh "):
                yield shlex.split(part, comments=True)[1:]


def options_of(words: list[str]) -> tuple[set[str], list[str]]:
    """Options that the command knows, and what is left of the line for it. Raises
    ``AssertionError`` for a command that there is not."""
    command: click.Command = cli
    known = {name for each in cli.params for name in each.opts}
    context = click.Context(cli)
    while words and isinstance(command, click.Group):
        if words[0].startswith("-") or words[0].isupper():
            break
        inner = command.get_command(context, words[0])
        if inner is None:
            assert command is not cli, f"there is no `mesh {words[0]}`"
            break
        command, words = inner, words[1:]
        known |= {name for each in command.params for name in each.opts}
    return known | {"--help"}, words


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_commands_that_are_shown_exist_with_their_options(page: Path) -> None:
    for words in shown(page):
        known, rest = options_of(words)
        said = {word.partition("=")[0] for word in rest[: [*rest, "--"].index("--")]}
        unknown = {word for word in said if re.fullmatch(r"--?[a-z][\w-]*", word)} - known
        assert not unknown, f"mesh {' '.join(words)}"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page: Path) -> None:
    for target in _LINK.findall(page.read_text(encoding="utf-8")):
        assert (page.parent / target).exists(), target


def test_every_document_is_linked_from_the_readme_or_from_one_that_is() -> None:
    linked = {
        (page.parent / target).resolve()
        for page in PAGES
        for target in _LINK.findall(page.read_text(encoding="utf-8"))
    }
    assert not {page.name for page in (ROOT / "docs").glob("*.md") if page.resolve() not in linked}
