"""Text that comes piece by piece, broken into lines between words. Pure."""

from __future__ import annotations

import re

from rich.cells import cell_len

TAB = 4
_PARTS = re.compile(r"\n|[ \t]+|[^ \t\n]+")
_BACK, _CLEAR = "\x1b[{}D", "\x1b[K"


class Wrapper:
    """What a terminal of ``width`` columns is to be sent. A word that does not fit at the end of a
    line moves to the next one whole, though its beginning was shown there already; where ``ansi``
    is False nothing can be taken back, and a word is shown when it is complete (``rest`` gives the
    last one).

    ``rows``: lines that were ended. ``column``: where the cursor is. The last column stays free:
    terminals differ in what they do behind a line that is full.
    """

    def __init__(self, width: int, *, ansi: bool = True) -> None:
        self.rows = 0
        self.column = 0
        self._word = ""  # shown so far of the word that may go on
        self._held = ""
        self._ansi = ansi
        self.resize(width)

    def resize(self, width: int) -> None:
        self._room = max(1, width - 1)
        if self.column > self._room:  # the terminal has broken the line itself
            self.column, self._word = self.column % (self._room + 1) % self._room, ""

    def feed(self, text: str) -> str:
        out: list[str] = []
        if not self._ansi:
            text, self._held = self._held + text, ""
        for found in _PARTS.finditer(text):
            part = found.group()
            if part == "\n":
                out.append(self._newline())
            elif part[0] in " \t":
                out.append(self._blank(part))
            elif not self._ansi and found.end() == len(text) and cell_len(part) < self._room:
                self._held = part
            else:
                out.append(self._add(part))
        return "".join(out)

    def rest(self) -> str:
        held, self._held = self._held, ""
        return self._add(held) if held else ""

    def _newline(self) -> str:
        self.rows, self.column, self._word = self.rows + 1, 0, ""
        return "\n"

    def _blank(self, blank: str) -> str:
        self._word = ""
        width = sum(TAB if each == "\t" else 1 for each in blank)
        if self.column + width > self._room:
            return self._newline()  # what stood between two words is their line's end
        self.column += width
        return " " * width

    def _add(self, part: str) -> str:
        """More of a word."""
        width = cell_len(part)
        if self.column + width <= self._room:
            self.column, self._word = self.column + width, self._word + part
            return part
        begun = cell_len(self._word)
        if begun < self.column and begun + width <= self._room:
            word = self._word + part
            taken = f"{_BACK.format(begun)}{_CLEAR}" if begun else ""
            moved = taken + self._newline() + word
            self.column, self._word = begun + width, word
            return moved
        return self._broken(part)

    def _broken(self, part: str) -> str:
        """Longer than a line: it goes on at each edge."""
        out: list[str] = []
        for character in part:
            width = cell_len(character)
            if self.column + width > self._room and self.column:
                out.append(self._newline())
            out.append(character)
            self.column += width
        self._word = ""
        return "".join(out)
