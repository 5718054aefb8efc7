"""Children's log files: one a child, the run before kept as ``.1``, bounded in size."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Sequence
from pathlib import Path

from mesh.cleaned import cleaned

# Go: `goroutine 1 [running]:` begins a stack, `runtime stack:` too; frames never end it.
_GO_STACK = re.compile(r"goroutine \d+ \[|runtime stack:|created by ")
# The last line of a Python traceback names the exception; a log's own next line has a date.
_SPOKEN = re.compile(
    r"[A-Za-z_][\w.]*(?:Error|Exception|Exit|Interrupt|Group)\b|\d{4}-\d\d-\d\d|\{\""
)
_STACK_SIGNS = re.compile(r"(?:Base)?ExceptionGroup:|\d+ -*$|\[signal ")

LIMIT_BYTES = 16 * 1024 * 1024  # a file and its ``.1``: 32 MiB a child at most
_TAIL_BYTES = 16 * 1024
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


def without_stacks(lines: Sequence[str]) -> list[str]:
    """The lines that say something: a stack, Go's or Python's, is where it was said."""
    told: list[str] = []
    in_stack = False
    for line in lines:
        bare = line.lstrip(" |+-")
        if _GO_STACK.match(bare) or "Traceback (most recent call last)" in bare:
            in_stack = True
        elif in_stack and _SPOKEN.match(bare):
            in_stack = False
        if not in_stack and bare and not _STACK_SIGNS.match(bare):
            told.append(line)
    return told


def _older(path: Path) -> Path:
    return path.with_name(path.name + ".1")
