"""Texts that stand for others in a rendering, so that it can be cut where those belong. Pure."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence

_END = "\ue001"
_ESCAPED = f"j{_END}"


class Placeholders:
    """One for each of ``contents``, of private-use characters and digits, that is in none of them.
    ``begin``: how all of them begin."""

    def __init__(self, contents: Sequence[str]) -> None:
        nonce = 0
        while any(f"\ue000{nonce}-" in content for content in contents):
            nonce += 1
        self._contents = contents
        self.begin = f"\ue000{nonce}-"
        self.marks = [f"{self.begin}{number}{_END}" for number in range(len(contents))]

    def cut(self, rendered: str) -> list[tuple[str, bool]]:
        """(template's text, True) or (content, False), escaped where it stood in JSON."""
        belongs = dict(zip(self.marks, self._contents, strict=True))
        belongs |= {
            in_json(mark, self.begin): json.dumps(content, ensure_ascii=False)[1:-1]
            for mark, content in belongs.items()
        }
        pattern = "|".join(map(re.escape, belongs))
        parts = re.split(f"({pattern})", rendered)
        return [(belongs.get(part, part), part not in belongs) for part in parts if part]


def in_json(text: str, begin: str) -> str:
    """JSON text with its placeholders marked as such, since what belongs there is to be escaped."""
    return re.sub(f"({begin}[0-9]+){_END}", rf"\1{_ESCAPED}", text)
