"""Completion of commands and of what they take: models and specialties of the fleet, kept
conversations, files."""

from __future__ import annotations

import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterable, Sequence

from prompt_toolkit.completion import CompleteEvent, Completer, Completion, PathCompleter
from prompt_toolkit.document import Document

from mesh.cli.chat.commands import COMMANDS, OFF, Argument
from mesh.cli.chat.state import Known

AGE_S = 5.0  # for which what is known of the fleet is not asked again


class ChatCompleter(Completer):
    """``known`` and ``kept`` are asked when they are wanted, and may find nothing."""

    def __init__(
        self, known: Callable[[], Awaitable[Known]], kept: Callable[[], Sequence[str]]
    ) -> None:
        self._known = known
        self._kept = kept
        self._files = PathCompleter(expanduser=True)
        self._read = float("-inf")
        self._last = Known()

    def get_completions(self, document: Document, event: CompleteEvent) -> Iterable[Completion]:
        """Without the fleet: what needs it is in the asynchronous one."""
        return self._found(document, event, Known())

    async def get_completions_async(
        self, document: Document, event: CompleteEvent
    ) -> AsyncGenerator[Completion, None]:
        command, _ = called(document.text_before_cursor)
        fleet = command in (Argument.MODEL, Argument.SPECIALTY)
        known = await self._fleet() if fleet else Known()
        for each in self._found(document, event, known):
            yield each

    def _found(
        self, document: Document, event: CompleteEvent, known: Known
    ) -> Iterable[Completion]:
        text = document.text_before_cursor
        argument, begun = called(text)
        match argument:
            case None:
                for command in COMMANDS.values() if text.startswith("/") else ():
                    if command.name.startswith(text[1:].lower()):
                        form = f" {command.form}" if command.form else ""
                        yield Completion(
                            f"/{command.name}{' ' if command.form else ''}",
                            -len(text),
                            display=f"/{command.name}{form}",
                            display_meta=command.help,
                        )
            case Argument.FILE:
                yield from self._files.get_completions(Document(begun), event)
            case _:
                for name in self._names(argument, known):
                    if name.startswith(begun) and name.isprintable():
                        yield Completion(name, -len(begun))

    def _names(self, argument: Argument, known: Known) -> Sequence[str]:
        match argument:
            case Argument.MODEL:
                return [*sorted(known.models), OFF]
            case Argument.SPECIALTY:
                return [*sorted(known.specialties), OFF]
            case Argument.CONVERSATION:
                return self._kept()
            case Argument.PART:
                return ["code"]
        return []

    async def _fleet(self) -> Known:
        now = time.monotonic()
        if now - self._read > AGE_S:
            self._last, self._read = await self._known(), now
        return self._last


def called(text: str) -> tuple[Argument | None, str]:
    """What the command takes whose argument is being written, and its beginning; None where no
    command is written yet."""
    if not text.startswith("/") or text.startswith("//"):
        return None, ""
    word, blank, begun = text[1:].partition(" ")
    command = COMMANDS.get(word.lower())
    return (command.argument, begun) if blank and command is not None else (None, "")
