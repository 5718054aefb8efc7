"""Labelled prompts, which the router's benchmarks measure on and its training learns from."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from mesh.errors import ConfigError
from orchestrator.rules.labelled import Labelled, read_labelled

DEFAULT_DATA = Path("../shared/data/router-dev.jsonl")
WRITTEN = Path(__file__).parent / "phrases" / "exemplars.jsonl"  # one by one, for the training


def read(path: Path) -> list[Labelled]:
    """All rows; of one that names no source it is the file's name. Ends the process with one line
    that names the file and the first line that is wrong."""
    try:
        rows = read_labelled(path)
    except ConfigError as error:
        raise SystemExit(str(error)) from None
    return [row if row.source else replace(row, source=path.stem) for row in rows]
