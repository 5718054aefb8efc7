"""Texts that stand for others in a rendering, so that it can be cut where those belong. Pure."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence

_END = "\ue001"
_ESCAPED = "j"


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
        found: list[tuple[str, bool]] = []
        begin = 0
        # One pattern for all: there may be a hundred thousand texts in a call's arguments.
        for match in re.finditer(f"{self.begin}([0-9]+)({_ESCAPED}?){_END}", rendered):
            if match.start() > begin:
                found.append((rendered[begin : match.start()], True))
            content = self._contents[int(match[1])]
            if match[2]:
                content = json.dumps(content, ensure_ascii=False)[1:-1]
            found.append((content, False))
            begin = match.end()
        if begin < len(rendered):
            found.append((rendered[begin:], True))
        return found


def in_json(text: str, begin: str) -> str:
    """JSON text with its placeholders marked as such, since what belongs there is to be escaped."""
    return re.sub(f"({begin}[0-9]+){_END}", rf"\1{_ESCAPED}{_END}", text)
