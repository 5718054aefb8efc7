"""Characters that an upstream cut in two, put together again. Pure.

Servers that make an event of each token send half an emoji now and the other half in the next
event: as bytes that are no UTF-8 (``surrogateescape`` kept them), or as half a surrogate pair.
"""

from __future__ import annotations

import re

_HALVES = re.compile("[\ud800-\udfff]")
_BEGUN = re.compile("(?:[\ud800-\udbff]|\udcc2|[\udcc3-\udcf4][\udc80-\udcbf]{0,2})$")
# Halves that stand for no byte, each by itself.
_OTHERS = re.compile("([\ud800-\udc7f\udd00-\udfff])")
_MOST = 3  # of a begun character


class Characters:
    def __init__(self) -> None:
        self._begun = ""

    def read(self, text: str) -> str:
        """``text`` without a character whose end has not come, which the next call gives."""
        if not self._begun and not _HALVES.search(text[-_MOST:]):
            return _joined(text) if _HALVES.search(text) else text
        text = self._begun + text
        begun = _BEGUN.search(text[-_MOST:])
        self._begun = begun.group() if begun else ""
        return _joined(text[: len(text) - len(self._begun)])

    def end(self) -> str:
        """What was begun and never ended, as what stands for no character."""
        text, self._begun = self._begun, ""
        return _joined(text)


def _joined(text: str) -> str:
    if not _HALVES.search(text):
        return text
    text = text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "surrogatepass")
    return b"".join(map(_bytes, _OTHERS.split(text))).decode("utf-8", "replace")


def _bytes(text: str) -> bytes:
    if len(text) == 1 and "\ud800" <= text <= "\udfff" and not "\udc80" <= text <= "\udcff":
        return "�".encode()
    return text.encode("utf-8", "surrogateescape")
