"""One answer on a terminal: raw while it comes, rendered in its place when it is whole.

One that is longer than the screen is rendered piece by piece, each before it leaves the screen:
what has left it cannot be changed.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TextIO

from mesh.cleaned import harmless
from mesh.cli.chat.blocks import whole_blocks
from mesh.cli.chat.rendering import MARK, rendered
from mesh.cli.chat.wrap import Wrapper

Size = Callable[[], tuple[int, int]]  # columns and rows, as they are now

# A terminal that knows them shows what is between at once (mode 2026), others pass over them.
_BEGIN, _END = "\x1b[?2026h", "\x1b[?2026l"
_UP, _CLEAR = "\x1b[{}A", "\x1b[J"
_DIM, _PLAIN = "\x1b[2m", "\x1b[0m"


class AnswerScreen:
    """``ansi``: whether the cursor can be moved there; without that an answer stays raw. ``out`` is
    flushed after each call."""

    def __init__(self, out: TextIO, size: Size, *, ansi: bool, colour: bool) -> None:
        self._out = out
        self._size = size
        self._ansi = ansi
        self._colour = ansi and colour
        self._width, _ = size()
        self._wrap = Wrapper(self._width, ansi=ansi)
        self._still = True  # nothing has moved what is shown
        self._source: list[str] = []  # with its marks
        self._odd = 0  # up to here in it, rows are not what the raw text alone would fill

    def text(self, text: str) -> None:
        """More of the answer."""
        self._source.append(text)
        self._resized()
        self._write(self._wrap.feed(harmless(text)))
        if "\n" in text:
            self._settle()

    def mark(self) -> None:
        """Here it goes on elsewhere."""
        if not self._source:
            return
        self._source.append(MARK)
        self._resized()
        self._write(self._faint(self._wrap.feed(MARK)))

    def note(self, text: str) -> None:
        """What is no part of the answer, on lines of its own until that is rendered."""
        self._resized()
        self._write(self._wrap.rest())
        if self._wrap.column:
            self._write(self._wrap.feed("\n"))
        self._write(self._faint(self._wrap.feed(f"[{text}]\n") + self._wrap.rest()))
        self._odd = sum(map(len, self._source))

    def end(self) -> bool:
        """Ends its last line, and puts the rendering in the place of the raw text: False where
        that has left the screen, or was moved by a change of its size."""
        self._resized()
        tail = self._wrap.rest()
        if self._wrap.column:
            tail += self._wrap.feed("\n")
        self._write(tail)
        if not self._ansi or not "".join(self._source).strip():
            return True
        if not self._there:
            return False
        self._replace(self._rendered("".join(self._source)))
        return True

    def _settle(self) -> None:
        """Once the raw text fills half of the screen, its complete blocks are rendered."""
        _, rows = self._size()
        if not self._ansi or self._wrap.rows < rows // 2:
            return
        source = "".join(self._source)
        if not (at := whole_blocks(source)) or (not self._there and at < self._odd):
            return
        wrap = Wrapper(self._width)
        rest = wrap.feed(harmless(source[at:]))
        if self._there:
            self._replace(f"{self._rendered(source[:at])}\n{rest}")
        self._source, self._wrap, self._still = [source[at:]], wrap, True
        self._odd = 0

    @property
    def _there(self) -> bool:
        """Whether all of the raw text is where it was written."""
        _, rows = self._size()
        return self._still and self._wrap.rows <= rows - 1

    def _rendered(self, text: str) -> str:
        return rendered(text, self._width - 1, colour=self._colour)

    def _replace(self, final: str) -> None:
        up = _UP.format(self._wrap.rows) if self._wrap.rows else ""
        self._write(f"{_BEGIN}\r{up}{_CLEAR}{final}{_END}")

    def _resized(self) -> None:
        width, _ = self._size()
        if width != self._width:
            self._width, self._still = width, False
            self._wrap.resize(width)
            self._odd = sum(map(len, self._source))

    def _faint(self, text: str) -> str:
        return f"{_DIM}{text}{_PLAIN}" if self._ansi else text

    def _write(self, text: str) -> None:
        if text:
            self._out.write(text)
            self._out.flush()
