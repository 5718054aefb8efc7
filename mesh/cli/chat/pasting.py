"""What is pasted in bulk stands in the line as a word on its size, and is sent whole. Pure."""

from __future__ import annotations

from mesh.sizes import in_words
from mesh.validation import MAX_REQUEST_BYTES

SHORT_LINES, SHORT_CHARACTERS = 12, 1_500  # up to which a paste is text like any other
MOST_PASTED = 16 * 1024 * 1024  # characters of a paste that are looked at
_MOST = 16  # pastes that are remembered, for prompts that come back


class Pastes:
    """Those of this chat, by the word that stands for each."""

    def __init__(self) -> None:
        self._texts: dict[str, str] = {}
        self._number = 0

    def taken(self, text: str) -> str | None:
        """What is to stand in the line; None for more than a prompt may have."""
        text = text.replace("\r\n", "\n").replace("\r", "\n")
        size = len(text.encode("utf-8", "replace"))
        if size > MAX_REQUEST_BYTES:
            return None
        lines = text.count("\n") + 1
        if lines <= SHORT_LINES and len(text) <= SHORT_CHARACTERS:
            return text
        self._number += 1
        many = f"{lines:,} lines, " if lines > 1 else ""
        word = f"[pasted {self._number}: {many}{in_words(size)}]"
        self._texts[word] = text
        while len(self._texts) > _MOST:
            del self._texts[next(iter(self._texts))]
        return word

    def whole(self, line: str) -> str:
        """The line with what was pasted."""
        for word, text in self._texts.items():
            line = line.replace(word, text)
        return line

    def short(self, line: str) -> str:
        """The other way round."""
        for word, text in self._texts.items():
            line = line.replace(text, word)
        return line


def too_much(text: str) -> str:
    """What is said of a paste that is not taken."""
    size = in_words(len(text.encode("utf-8", "replace")))
    over = "more than " if len(text) > MOST_PASTED else ""
    return (
        f"the paste has {over}{size} and was not taken: a prompt may have "
        f"{MAX_REQUEST_BYTES // 2**20} MiB; give a part of it"
    )
