"""The prompt of a chat on a terminal: editing, history, completion, several lines."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from prompt_toolkit import PromptSession
from prompt_toolkit.application import run_in_terminal
from prompt_toolkit.buffer import Buffer
from prompt_toolkit.completion import Completer
from prompt_toolkit.filters import Condition
from prompt_toolkit.history import History
from prompt_toolkit.input import Input
from prompt_toolkit.key_binding import KeyBindings, KeyPressEvent
from prompt_toolkit.keys import Keys
from prompt_toolkit.output import Output

from mesh.cli.chat.commands import continued, goes_on
from mesh.cli.chat.paste_parser import quick_pastes
from mesh.cli.chat.pasting import Pastes, too_much

_MENU_ROWS = 6


class TypedLines:
    """``input`` and ``output``: stand-ins for the terminal's."""

    def __init__(
        self,
        history: History,
        completer: Completer,
        pastes: Pastes,
        say: Callable[[str], None],
        *,
        input: Input | None = None,  # noqa: A002
        output: Output | None = None,
    ) -> None:
        self._pastes = pastes
        self._session: PromptSession[str] = PromptSession(
            history=history,
            completer=completer,
            complete_while_typing=Condition(self._commanding),
            reserve_space_for_menu=_MENU_ROWS,
            key_bindings=_bindings(pastes, say),
            multiline=True,
            prompt_continuation="  ",
            enable_open_in_editor=True,
            input=input,
            output=output,
        )
        quick_pastes(self._session.app.input)

    async def line(self, label: str, text: str) -> str:
        """What was sent, pastes and all; ``text`` stands there already. Raises ``EOFError`` for
        Ctrl-D, ``KeyboardInterrupt`` for Ctrl-C."""
        typed = await self._session.prompt_async(label, default=self._pastes.short(text))
        # Bytes that were no UTF-8 came as lone surrogates.
        sent = typed.encode("utf-8", "surrogateescape").decode("utf-8", "replace")
        return self._pastes.whole(sent)

    @property
    def buffer(self) -> Buffer:
        """The line as it is now."""
        return self._session.default_buffer

    def _commanding(self) -> bool:
        text = self.buffer.text
        return text.startswith("/") and "\n" not in text


def _bindings(pastes: Pastes, say: Callable[[str], None]) -> KeyBindings:
    bindings = KeyBindings()

    @bindings.add("enter")
    def _(event: KeyPressEvent) -> None:
        buffer = event.current_buffer
        if (menu := buffer.complete_state) is not None and menu.current_completion is not None:
            buffer.complete_state = None  # what was chosen stands there; it is not sent yet
        elif goes_on(buffer.text):
            if buffer.document.is_cursor_at_the_end:
                buffer.text = continued(buffer.text)
                buffer.cursor_position = len(buffer.text)
            else:
                buffer.newline(copy_margin=False)
        else:
            buffer.validate_and_handle()

    @bindings.add("tab")
    def _(event: KeyPressEvent) -> None:
        buffer = event.current_buffer
        if (menu := buffer.complete_state) is None:
            buffer.start_completion(insert_common_part=True)
        elif len(menu.completions) == 1:
            buffer.apply_completion(menu.completions[0])
            buffer.start_completion()  # of what comes after it
        else:
            buffer.complete_next()

    @bindings.add("escape", "enter")
    def _(event: KeyPressEvent) -> None:
        event.current_buffer.newline(copy_margin=False)

    @bindings.add(Keys.BracketedPaste)
    def _(event: KeyPressEvent) -> Any:
        word = pastes.taken(event.data)
        if word is None:
            data = event.data
            return run_in_terminal(lambda: say(too_much(data)))
        event.current_buffer.insert_text(word)
        return None

    return bindings
