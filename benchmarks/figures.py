"""What every benchmark shares: percentiles, and a table that reads well in a terminal."""

from __future__ import annotations

import platform
from collections.abc import Sequence
from dataclasses import dataclass

import psutil
from rich.console import Console
from rich.table import Table


@dataclass(frozen=True, slots=True)
class Row:
    """One figure. ``floor`` is the raw thing measured in the same run, ``ratio`` ours to floor."""

    what: str
    figure: str
    floor: str = ""
    ratio: str = ""


def percentile(values: Sequence[float], share: float) -> float:
    """Nearest-rank percentile, ``share`` in 0..1. Raises ``ValueError`` on no values."""
    if not values:
        raise ValueError("no values to take a percentile of")
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]


def spread(values: Sequence[float], unit: str, digits: int = 2) -> str:
    """``p50 .. p99`` of values already in ``unit``."""
    p50, p99 = percentile(values, 0.5), percentile(values, 0.99)
    return f"p50 {p50:.{digits}f} {unit}, p99 {p99:.{digits}f} {unit}"


def machine() -> str:
    """One line on where this ran; figures without it are not figures."""
    memory = psutil.virtual_memory().total / 2**30
    cores = psutil.cpu_count()
    return (
        f"{platform.machine()}, {cores} cores, {memory:.0f} GiB, Python {platform.python_version()}"
    )


def show(title: str, rows: Sequence[Row], notes: Sequence[str] = ()) -> None:
    """Prints the table, the machine and the notes on method."""
    console = Console(width=None if Console().is_terminal else 110, highlight=False)
    table = Table(title=title, title_justify="left", caption=machine(), caption_justify="left")
    table.add_column("what")
    table.add_column("Squadron", justify="right")
    table.add_column("floor of the same run", justify="right")
    table.add_column("ratio", justify="right")
    for row in rows:
        table.add_row(row.what, row.figure, row.floor, row.ratio)
    console.print(table)
    for note in notes:
        console.print(f"  {note}", soft_wrap=False)
