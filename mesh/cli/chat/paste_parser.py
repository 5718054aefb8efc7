"""Reads a paste of megabytes in the time that it takes to come.

prompt_toolkit looks through all that came so far with each kilobyte: five megabytes keep a whole
core busy for seven seconds, in which nothing else happens.
"""

from __future__ import annotations

from prompt_toolkit.input import Input
from prompt_toolkit.input.vt100 import Vt100Input
from prompt_toolkit.input.vt100_parser import Vt100Parser
from prompt_toolkit.key_binding.key_processor import KeyPress
from prompt_toolkit.keys import Keys

from mesh.cli.chat.pasting import MOST_PASTED

_END = "\x1b[201~"


class _Parser(Vt100Parser):
    """Of a paste it keeps what is looked at later, and no more."""

    def reset(self, request: bool = False) -> None:
        super().reset(request)
        self._parts: list[str] = []
        self._size = 0
        self._tail = ""  # in which the mark of the end may have begun

    def feed(self, data: str) -> None:
        if not self._in_bracketed_paste:
            super().feed(data)
            return
        seen = self._tail + data
        at = seen.find(_END)
        if at < 0:
            self._tail = seen[-(len(_END) - 1) :]
            self._keep(seen[: len(seen) - len(self._tail)])
            return
        self._keep(seen[:at])
        text, self._parts, self._size, self._tail = "".join(self._parts), [], 0, ""
        self._in_bracketed_paste = False
        self.feed_key_callback(KeyPress(Keys.BracketedPaste, text))
        self.feed(seen[at + len(_END) :])

    def _keep(self, text: str) -> None:
        if text and self._size <= MOST_PASTED:
            self._parts.append(text)
            self._size += len(text)


def quick_pastes(source: Input) -> None:
    """From now on, where ``source`` is a terminal."""
    if isinstance(source, Vt100Input):
        source.vt100_parser = _Parser(source.vt100_parser.feed_key_callback)
