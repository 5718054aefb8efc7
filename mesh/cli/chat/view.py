"""Where a chat is shown: on a terminal, or as plain lines where there is none."""

from __future__ import annotations

import os
import sys
import termios
from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Protocol, TextIO

from rich.console import ConsoleDimensions, Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from mesh.cleaned import cleaned, harmless
from mesh.cli.answer import cut_off, summary
from mesh.cli.chat.asking import Outcome
from mesh.cli.chat.commands import COMMANDS
from mesh.cli.chat.effects import Tone
from mesh.cli.chat.rendering import rendered
from mesh.cli.chat.saved import STOPPED, Turn
from mesh.cli.chat.screen import AnswerScreen
from mesh.cli.screen import Sized, console
from mesh.types import FinishReason

_CHARACTERS = 4_000
OUTGROWN = "/new begins a new conversation"  # where the context is full
_TWO_COLUMNS = 50  # from which the list of commands has them


class Answering(Protocol):
    """One answer as it comes; ``end`` when nothing more does."""

    def text(self, text: str) -> None: ...

    def mark(self) -> None: ...

    def note(self, text: str) -> None: ...

    def end(self) -> bool: ...


class View(Protocol):
    def answer(self) -> Answering: ...

    def closing(self, outcome: Outcome) -> None: ...

    def say(self, text: str, tone: Tone = Tone.NOTE) -> None: ...

    def earlier(self, turn: Turn) -> None: ...

    def show(self, what: RenderableType) -> None: ...

    def raw(self, sequence: str) -> bool: ...

    def undisturbed(self) -> AbstractContextManager[None]: ...


class TerminalView:
    """Both ends are a terminal. ``dumb``: one that knows no sequences (TERM)."""

    def __init__(self, out: TextIO, *, dumb: bool) -> None:
        self._out = out
        self._ansi = not dumb
        self._console = console(out)

    def size(self) -> tuple[int, int]:
        try:
            columns, rows = os.get_terminal_size(self._out.fileno())
        except (OSError, ValueError):
            return 80, 24
        return (columns or 80, rows or 24)

    def answer(self) -> AnswerScreen:
        return AnswerScreen(self._out, self.size, ansi=self._ansi, colour=self._ansi)

    def closing(self, outcome: Outcome) -> None:
        for text, tone in closing(outcome):
            self.say(text, tone)
        self.show(Text())

    def say(self, text: str, tone: Tone = Tone.NOTE) -> None:
        style = "yellow" if tone is Tone.WARNING else "dim"
        self.show(Text(cleaned(text, _CHARACTERS), style=style))

    def earlier(self, turn: Turn) -> None:
        """A turn of before, to see where the conversation is."""
        columns, _ = self.size()
        self.show(Text(f"> {harmless(turn.prompt)}", style="bold"))
        self._out.write(rendered(turn.answer, columns - 1, colour=self._ansi))
        if turn.ended == STOPPED:
            self.say("stopped by you")

    def show(self, what: RenderableType) -> None:
        self._console.size = ConsoleDimensions(*self.size())
        self._console.print(what)

    def raw(self, sequence: str) -> bool:
        """Whether the terminal could be sent this."""
        if self._ansi:
            self._out.write(sequence)
            self._out.flush()
        return self._ansi

    @contextmanager
    def undisturbed(self) -> Iterator[None]:
        """Between prompts, what is typed waits for the next one as it is and is not shown amid an
        answer; Ctrl-C is a signal still. A dumb terminal edits its lines itself."""
        if not self._ansi:
            yield
            return
        source = sys.stdin.fileno()
        before = termios.tcgetattr(source)
        silent = [*before[:3], before[3] & ~(termios.ECHO | termios.ICANON), *before[4:]]
        termios.tcsetattr(source, termios.TCSANOW, silent)
        try:
            yield
        finally:
            termios.tcsetattr(source, termios.TCSANOW, before)


class PlainView:
    """Answers on ``out`` as they are, for programs; what is said beside them on ``beside``. On a
    terminal, what that would obey is shown."""

    def __init__(self, out: TextIO, beside: TextIO) -> None:
        self._out = out
        self._beside = beside
        self._terminal = out.isatty()

    def answer(self) -> PlainView:
        self._at_start = True
        return self

    def text(self, text: str) -> None:
        self._out.write(harmless(text) if self._terminal else text)
        self._out.flush()
        self._at_start = text.endswith("\n")

    def mark(self) -> None:
        """An answer for programs is the answer alone; the closing line says it."""

    def note(self, text: str) -> None:
        self.say(f"[{text}]")

    def end(self) -> bool:
        if not self._at_start:
            self.text("\n")
        return True

    def closing(self, outcome: Outcome) -> None:
        for text, tone in closing(outcome):
            if tone is Tone.WARNING:
                self.say(text, tone)

    def say(self, text: str, tone: Tone = Tone.NOTE) -> None:
        self._beside.write(f"{cleaned(text, _CHARACTERS)}\n")
        self._beside.flush()

    def earlier(self, turn: Turn) -> None:
        """They are in the file."""

    def show(self, what: RenderableType) -> None:
        console(self._beside).print(what)

    def raw(self, sequence: str) -> bool:
        return False

    def undisturbed(self) -> AbstractContextManager[None]:
        return nullcontext()


def closing(outcome: Outcome) -> Iterable[tuple[str, Tone]]:
    """What is said below an answer, or in the place of one."""
    if outcome.done is not None:
        if outcome.decision is not None:
            yield summary(outcome.decision, outcome.done), Tone.NOTE
        if not outcome.answer.strip():
            yield "the answer is empty; /retry asks again", Tone.WARNING
        if cut := cut_off(outcome.done):
            full = outcome.done.reason is FinishReason.CONTEXT
            more = f"; {OUTGROWN}" if full else "; 'go on' may get the rest"
            yield f"{cut}{more}", Tone.WARNING
    elif outcome.error is None:
        kept = "; what came is part of the conversation" if outcome.turn is not None else ""
        yield f"stopped{kept}; /retry asks again", Tone.NOTE


def commands_table() -> RenderableType:
    return Sized(_commands)


def _commands(columns: int) -> RenderableType:
    forms = [(f"/{each.name} {each.form}".rstrip(), each.help) for each in COMMANDS.values()]
    if columns < _TWO_COLUMNS:
        lines = (
            (Text(form), Padding(Text(text, style="dim"), (0, 0, 0, 2))) for form, text in forms
        )
        return Group(*(line for both in lines for line in both))
    made = Table.grid(padding=(0, 2, 0, 0))
    for form, text in forms:
        made.add_row(Text(form), Text(text, style="dim"))
    return made
