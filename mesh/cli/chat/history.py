"""What was typed in earlier chats: a file for this user only, of bounded size."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from contextlib import suppress
from pathlib import Path

from prompt_toolkit.history import FileHistory, History, InMemoryHistory

from mesh.box import refusal
from mesh.files import write_whole

MOST_BYTES = 1024 * 1024  # of the file; its older half goes
MOST_CHARACTERS = 64 * 1024  # of an entry


def history_of(
    file: Path | None, whole: Callable[[str], str], say: Callable[[str], None]
) -> History:
    """``file`` None: of this chat alone. ``whole``: a line with what was pasted into it."""
    return InMemoryHistory() if file is None else _Private(file, whole, say)


class _Private(FileHistory):
    def __init__(self, file: Path, whole: Callable[[str], str], say: Callable[[str], None]) -> None:
        super().__init__(file)
        self._file = file
        self._whole = whole
        self._say = say

    def append_string(self, string: str) -> None:
        string = self._whole(string)
        if string.strip() and len(string) <= MOST_CHARACTERS:
            super().append_string(string)

    def load_history_strings(self) -> Iterable[str]:
        try:
            self._shorten()
            return list(super().load_history_strings())
        except OSError as error:
            self._refused("read", error)
            return []

    def store_string(self, string: str) -> None:
        try:
            self._file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            os.close(os.open(self._file, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600))
            super().store_string(string)
        except OSError as error:
            self._refused("kept", error)

    def _shorten(self) -> None:
        with suppress(FileNotFoundError):
            if self._file.stat().st_size <= MOST_BYTES:
                return
            with self._file.open("rb") as file:
                file.seek(-MOST_BYTES // 2, os.SEEK_END)
                kept = file.read()
            write_whole(self._file, kept[kept.find(b"\n#") + 1 :])

    def _refused(self, what: str, error: OSError) -> None:
        say, self._say = self._say, lambda _: None  # once
        say(f"what is typed is not {what}: {refusal(error) or error.strerror}")
