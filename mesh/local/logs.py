"""Children's log files: one a child, the run before kept as ``.1``, bounded in size."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from mesh.cleaned import cleaned

LIMIT_BYTES = 16 * 1024 * 1024  # a file and its ``.1``: 32 MiB a child at most
_TAIL_BYTES = 1024 * 1024  # Go, at its end, writes down what all its threads do
_LINE_CHARACTERS = 1_000


def start_afresh(path: Path) -> None:
    """The last run's log becomes ``.1``."""
    if path.exists() and path.stat().st_size:
        path.replace(_older(path))


def open_for_child(path: Path) -> int:
    """A file descriptor to append to; the caller closes it. Appending is what makes ``bound``
    possible while the child writes."""
    return os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)


def bound(path: Path, limit: int = LIMIT_BYTES) -> bool:
    """Moves an over-long log's content to ``.1``. The child keeps its descriptor, so the content is
    copied and the file cut; a line written in between is lost."""
    try:
        if path.stat().st_size <= limit:
            return False
    except FileNotFoundError:
        return False
    shutil.copyfile(path, _older(path))
    os.truncate(path, 0)
    return True


def tail(path: Path, lines: int = 8) -> list[str]:
    """The last non-empty lines."""
    try:
        with path.open("rb") as file:
            file.seek(max(0, path.stat().st_size - _TAIL_BYTES))
            text = file.read().decode("utf-8", errors="replace")
    except OSError:
        return []
    return [cleaned(line, _LINE_CHARACTERS) for line in text.splitlines() if line.strip()][-lines:]


def _older(path: Path) -> Path:
    return path.with_name(path.name + ".1")
