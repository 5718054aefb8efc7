"""How numbers and tables look; plain text without colours where output is no terminal."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, TextIO, TypeVar

import click
import msgspec
from rich import box
from rich.cells import cell_len
from rich.console import Console, ConsoleOptions, RenderableType, RenderResult
from rich.segment import Segment
from rich.table import Column, Table
from rich.text import Text

from mesh.cleaned import cleaned, harmless, json_shown, with_texts
from mesh.fleet.records import Gpu
from mesh.spans import span

TEXT_CHARACTERS = 1_000  # of a text in a table
LONGEST_NAME = 34  # columns that a name may ask for before it is folded
_GAP = 2  # columns between two of a table's
PIPE_COLUMNS = 10_000  # where nobody looks, a row is a line

R = TypeVar("R")


class _Harmless(Console):
    """Whatever is printed, no text in it is obeyed by a terminal; colours are made behind this."""

    def render(
        self, renderable: RenderableType, options: ConsoleOptions | None = None
    ) -> Iterable[Segment]:
        for text, style, control in super().render(renderable, options):
            yield Segment(text if control else harmless(text), style, control)


def console(file: TextIO | None = None, *, whole_rows: bool = False) -> Console:
    """80 columns (or $COLUMNS) where output is no terminal; with ``whole_rows`` as many as a row
    has there. Brackets are brackets: no name is taken for rich's markup."""
    file = file or sys.stdout
    return _Harmless(
        file=file,
        width=PIPE_COLUMNS if whole_rows and not file.isatty() else None,
        highlight=False,
        soft_wrap=False,
        emoji=False,
        markup=False,
    )


def json_line(data: Any) -> str:
    """``data`` as one line of JSON that a terminal may be shown."""
    return json_shown(msgspec.json.encode(data).decode())


def json_page(data: Any) -> str:
    """The same with a line a value, for people."""
    return json_shown(msgspec.json.format(msgspec.json.encode(data), indent=2).decode())


def in_lines(value: R) -> R:
    """A record whose texts are all one printable line each."""
    made: R = with_texts(value, lambda text: cleaned(text, TEXT_CHARACTERS))
    return made


@dataclass(frozen=True, slots=True)
class Sized:
    """What is made for the width that there is, in columns."""

    make: Callable[[int], RenderableType]

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        yield self.make(options.max_width)


def table(
    *columns: str,
    right: tuple[str, ...] = (),
    fixed: tuple[str, ...] = (),
    at_most: dict[str, int] | None = None,
) -> Table:
    """Columns in ``fixed`` keep their width; the others fold into what is left, each into
    ``at_most`` so many characters."""
    made = Table(box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0), pad_edge=False, show_edge=False)
    for name in columns:
        made.add_column(
            name,
            justify="right" if name in right else "left",
            overflow="fold",
            no_wrap=name in fixed,
            max_width=(at_most or {}).get(name),
        )
    return made


def without(made: Table, *columns: str) -> Table:
    """``made`` without those columns."""
    made.columns = [column for column in made.columns if column.header not in columns]
    return made


def fitted(made: Table, width: int, *drops: str) -> list[str]:
    """Takes out columns, in the order of ``drops``, until the others show their names whole, and
    says which: squeezed to nothing none of them would say anything. Only what is several words
    still wraps, and what is longer than a terminal's share."""
    gone = []
    for name in drops:
        if _fits(made, width):
            break
        if any(column.header == name for column in made.columns):
            without(made, name)
            gone.append(name.replace("\n", ""))
    if _fits(made, width):
        for column in made.columns:
            if _least(column) < LONGEST_NAME and not any(" " in line for line in _lines(column)):
                column.no_wrap = True
    return gone


def _fits(made: Table, width: int) -> bool:
    return sum(_least(column) + _GAP for column in made.columns) - _GAP < width


def left_out(columns: list[str]) -> list[Text]:
    """What to say of columns that had no room."""
    if not columns:
        return []
    told = f"no room for {', '.join(columns)}: a wider terminal or a pipe has them"
    return [Text(told, style="dim")]


def _least(column: Column) -> int:
    """Columns of the terminal below which a word of it would be torn."""
    whole = _lines(column)
    words = whole if column.no_wrap else [word for line in whole for word in line.split()]
    longest = max((cell_len(word) for word in words), default=0)
    return longest if column.no_wrap else min(longest, LONGEST_NAME)


def _lines(column: Column) -> list[str]:
    cells = (str(column.header), *map(str, column.cells))
    return [line for cell in cells for line in cell.splitlines()]


def gigabytes(size: int) -> str:
    """Bytes as GiB with as many digits as matter: ``0.3``, ``7.8``, ``24``, ``128``."""
    value = size / 2**30
    return f"{value:.1f}" if value < 9.95 else f"{value:.0f}"


def megabytes(size: int) -> str:
    """Bytes as ``61M`` (MiB) or ``7.8G`` (GiB): as many digits as matter."""
    if size < 2**30:
        return f"{size / 2**20:.0f}M"
    return f"{gigabytes(size)}G"


def age(seconds: float) -> str:
    """``0.3s``, ``12s``, ``4m``, ``3h``, ``2d``."""
    if seconds < 9.95:
        return f"{max(0.0, seconds):.1f}s"
    for limit, unit, size in ((99.5, "s", 1), (5_970, "m", 60), (172_000, "h", 3_600)):
        if seconds < limit:
            return f"{seconds / size:.0f}{unit}"
    return f"{seconds / 86_400:.0f}d"


def milliseconds(value: float) -> str:
    """``4.2 ms``, ``310 ms``, ``2.5 s``."""
    return span(value / 1_000)


def rate(value: float) -> str:
    """Tokens per second: ``0.8``, ``48``, ``1200``."""
    return f"{value:.1f}" if value < 9.95 else f"{value:.0f}"


def share(part: int, whole: int) -> str:
    """``63%``; "" of nothing."""
    return f"{100 * max(0, min(part, whole)) / whole:.0f}%" if whole > 0 else ""


def orchestrator_called(name: str) -> str:
    """``orchestrator hub``; ``orchestrator`` where that is its name, as `mesh up` has it."""
    return name if name == "orchestrator" else f"orchestrator {name}"


def tell(line: str) -> None:
    """A line of words on standard output: broken between words on a terminal, whole elsewhere."""
    # Not by rich's print, which ends the process where nobody reads any more.
    screen, text = console(), Text(harmless(line))
    lines = text.wrap(screen, max(2, screen.width)) if screen.is_terminal else [text]
    click.echo("\n".join(each.plain.rstrip() for each in lines))


def short_device(gpu: Gpu) -> str:
    """``RTX 4070`` of ``NVIDIA GeForce RTX 4070``."""
    return gpu.name.removeprefix("NVIDIA ").removeprefix("GeForce ")
