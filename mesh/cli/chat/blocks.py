"""Where a markdown text may be taken apart, so that both halves look as they do in one. Pure."""

from __future__ import annotations

import re

_FENCE = re.compile(r" {0,3}(`{3,}|~{3,})")
_ITEM = re.compile(r"([-*+]|\d{1,9}[.)])\s")


def whole_blocks(text: str) -> int:
    """How much of a text that still grows is blocks that are complete, with the blank line behind
    the last of them; 0 for nothing. A list and a fenced block are one block, however long."""
    at = offset = 0
    fence = ""
    listed = blank = False
    for line in text.splitlines(keepends=True):
        if not fence and blank and line.strip() and not line[0].isspace():
            item = _ITEM.match(line) is not None
            if not (listed and item):
                at, listed = offset, False
        if found := _FENCE.match(line):
            mark = found[1]
            if not fence:
                fence = mark
            elif mark.startswith(fence) and line.strip() == mark:
                fence = ""
        elif not fence and _ITEM.match(line):
            listed = True
        blank = not line.strip()
        offset += len(line)
    return at
