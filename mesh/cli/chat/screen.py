"""One answer on a terminal: raw while it comes, rendered in its place when it is whole."""

from __future__ import annotations

from collections.abc import Callable
from typing import TextIO

from mesh.cleaned import harmless
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

    def text(self, text: str) -> None:
        """More of the answer."""
        self._source.append(text)
        self._raw(text)

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
        _, rows = self._size()
        if not self._still or self._wrap.rows > rows - 1:
            return False
        final = rendered("".join(self._source), self._width - 1, colour=self._colour)
        up = _UP.format(self._wrap.rows) if self._wrap.rows else ""
        self._write(f"{_BEGIN}\r{up}{_CLEAR}{final}{_END}")
        return True

    def _raw(self, text: str) -> None:
        self._resized()
        self._write(self._wrap.feed(harmless(text)))

    def _resized(self) -> None:
        width, _ = self._size()
        if width != self._width:
            self._width, self._still = width, False
            self._wrap.resize(width)

    def _faint(self, text: str) -> str:
        return f"{_DIM}{text}{_PLAIN}" if self._ansi else text

    def _write(self, text: str) -> None:
        if text:
            self._out.write(text)
            self._out.flush()
