"""Words on the screen as they come, indented, broken between words; and the mark of a kill."""

from __future__ import annotations

import os
import sys
from typing import TextIO

from mesh.cleaned import cleaned, harmless
from mesh.cli.chat.wrap import Wrapper
from mesh.cli.screen import console
from mesh.cli.tour.story import Seam
from mesh.spans import span

INDENT = "  "
SIGN = "⟂"
_LOUD, _FAINT, _PLAIN = "\x1b[1;33m", "\x1b[2m", "\x1b[0m"
_NAME_CHARS = 40


def mark(seam: Seam) -> str:
    """``[⟂ robin killed · goes on at wren after 48 ms]``, with a space before it unless it stands
    within a word."""
    text = (
        f"[{SIGN} {cleaned(seam.from_node, _NAME_CHARS)} killed · goes on at "
        f"{cleaned(seam.to_node, _NAME_CHARS)} after {span(seam.gap_s)}]"
    )
    return text if seam.in_word else f" {text}"


class Words:
    """The ``View`` of a person. ``ansi``: words that are begun may be taken back; ``colour``: marks
    are coloured."""

    def __init__(self, out: TextIO, width: int, *, ansi: bool, colour: bool) -> None:
        self._out = out
        self._wrap = Wrapper(max(2, width - len(INDENT)), ansi=ansi)
        self._colour = colour
        self._begun = False  # something is on the line
        self._fed = False

    def text(self, text: str) -> None:
        if not self._fed:
            text = text.lstrip()  # a model's first token has a space before it
        self._fed = self._fed or bool(text)
        self._put(self._wrap.feed(harmless(text)))

    def seam(self, seam: Seam) -> None:
        self._put(self._wrap.rest())
        self._styled(_LOUD, mark(seam))

    def waiting(self, why: str) -> None:
        self._put(self._wrap.rest())
        self._styled(_FAINT, f" [{cleaned(why, 200)}]")

    def end(self) -> None:
        self._put(self._wrap.rest())
        if self._begun:
            self._out.write("\n")
            self._out.flush()
        self._begun = self._fed = False

    def _styled(self, style: str, text: str) -> None:
        shown = self._wrap.feed(text) + self._wrap.rest()
        self._put(f"{style}{shown}{_PLAIN}" if self._colour else shown)

    def _put(self, text: str) -> None:
        if not text:
            return
        if not self._begun:
            self._begun = True
            self._out.write(INDENT)
        self._out.write(text.replace("\n", f"\n{INDENT}"))
        self._out.flush()


class Unseen:
    """The ``View`` of a program, which has it all at the end."""

    def text(self, text: str) -> None:
        pass

    def seam(self, seam: Seam) -> None:
        pass

    def waiting(self, why: str) -> None:
        pass

    def end(self) -> None:
        pass


def on_screen() -> Words:
    """On standard output, as wide and as colourful as that is."""
    screen = console()
    ansi = screen.is_terminal and os.environ.get("TERM", "") != "dumb"
    return Words(sys.stdout, screen.width, ansi=ansi, colour=ansi and not screen.no_color)
