"""What the supervisor has to say while the stage is in use: kept, and said between two acts."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager


class Notes:
    """Called with a line: says it, or keeps it while ``kept`` runs."""

    def __init__(self, say: Callable[[str], None]) -> None:
        self._say = say
        self._lines: list[str] | None = None

    def __call__(self, line: str) -> None:
        if self._lines is None:
            self._say(line)
        else:
            self._lines.append(line)

    @contextmanager
    def kept(self) -> Iterator[None]:
        """What is still kept at the end, is said then."""
        self._lines = []
        try:
            yield
        finally:
            rest, self._lines = self.taken(), None
            for line in rest:
                self._say(line)

    def taken(self) -> list[str]:
        """The lines so far, which are not said then."""
        lines = self._lines or []
        if self._lines is not None:
            self._lines = []
        return lines
