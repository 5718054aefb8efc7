"""A page of the documentation that is made from the code: written, or held against the code."""

from __future__ import annotations

import sys
from pathlib import Path


def keep(page: str, target: Path, module: str, arguments: list[str]) -> int:
    """Writes ``page`` to ``target``; with ``--check`` only compares, and returns 1 where the file
    is out of date. ``module``: whose ``python -m`` makes the page."""
    if arguments == ["--check"]:
        current = target.read_text(encoding="utf-8") if target.exists() else ""
        if current == page:
            return 0
        sys.stderr.write(f"{target} is out of date: run `python -m {module}`\n")
        return 1
    target.parent.mkdir(exist_ok=True)
    target.write_text(page, encoding="utf-8")
    return 0
