"""Labelled prompts: one JSON object a line, ``{"prompt": ..., "label": ...}``, and ``"source"``
where it is known; more keys are let be."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from math import sqrt
from pathlib import Path
from typing import Any

import msgspec

from mesh.cleaned import cleaned
from mesh.errors import ConfigError
from mesh.types import SPECIALTY_PATTERN, Message, Role
from orchestrator.router.base import Features

MAX_ROWS = 1_000_000
MAX_LINE_BYTES = 4 * 1024 * 1024
_EXAMPLE_CHARACTERS = 120


@dataclass(frozen=True, slots=True)
class Labelled:
    """``source``: the data set that the prompt is of, empty when unknown."""

    prompt: str
    label: str
    source: str = ""


def read_labelled(path: Path, same_as: Mapping[str, str] | None = None) -> list[Labelled]:
    """All rows of the file. ``same_as``: labels that count as others (``{"units": "math"}``).

    Raises ``ConfigError`` naming the file, and the first line that is wrong.
    """
    rows: list[Labelled] = []
    names = same_as or {}
    try:
        with path.open("rb") as file:
            for number, line in enumerate(file, 1):
                if not line.strip():
                    continue
                if len(rows) == MAX_ROWS:
                    raise ConfigError(f"{path}: more than {MAX_ROWS:,} rows; give fewer")
                row = _row(line, f"{path}, line {number}")
                rows.append(replace(row, label=names.get(row.label, row.label)))
    except OSError as error:
        raise ConfigError(f"cannot read {path}: {error.strerror or error}") from None
    if not rows:
        raise ConfigError(f'{path}: no rows; one JSON object a line, {{"prompt", "label"}}')
    return rows


def _row(line: bytes, where: str) -> Labelled:
    if len(line) > MAX_LINE_BYTES:
        raise ConfigError(f"{where}: {len(line):,} bytes; at most {MAX_LINE_BYTES:,}")
    try:
        row = msgspec.json.decode(line, type=Labelled)
    except msgspec.DecodeError as error:
        raise ConfigError(f'{where}: needs {{"prompt": text, "label": text}}: {error}') from None
    if not SPECIALTY_PATTERN.fullmatch(row.label):
        raise ConfigError(f"{where}: label '{row.label[:40]}' is not a specialty's name")
    return row


def features(prompt: str) -> Features:
    """A conversation of this one turn."""
    return Features.of((Message.of(Role.USER, prompt),))


def example(prompt: str) -> str:
    """One line of at most 120 printable characters."""
    return cleaned(prompt, _EXAMPLE_CHARACTERS)


def prompts(number: int) -> str:
    return f"{number:,} prompt" + ("" if number == 1 else "s")


def lower_bound(right: int, made: int, z: float = 1.96) -> float:
    """Lower end of the two-sided Wilson score interval for a proportion, 95% by default (E. B.
    Wilson, "Probable Inference", JASA 22, 1927). 0 when nothing was made."""
    if made == 0:
        return 0.0
    share = right / made
    middle = share + z * z / (2 * made)
    spread = z * sqrt(share * (1 - share) / made + z * z / (4 * made * made))
    return max(0.0, (middle - spread) / (1 + z * z / made))


def as_data(value: Any) -> Any:
    """Plain lists, dictionaries and numbers, as ``--json`` prints them."""
    return msgspec.to_builtins(value)
