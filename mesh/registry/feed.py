"""The bounded buffer between a watch stream and the code that reads it."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Iterable, Mapping

from mesh.registry.base import Change
from mesh.registry.diff import apply, diff

# Batches, not changes: one batch is one message of the server. A reader that falls this far behind
# is better served by where things stand now than by how they got there.
FEED_LIMIT = 256


class Feed:
    """One writer, one reader. Full: pending batches are dropped and the reader gets, once it comes,
    the difference between what it was given and what is true by then. So memory is bounded by the
    content of the registry, and a slow reader never holds up the stream."""

    def __init__(self, limit: int = FEED_LIMIT) -> None:
        self._limit = limit
        self._current: dict[str, bytes] = {}  # the registry, as the writer knows it
        self._given: dict[str, bytes] = {}  # the registry, as the reader was told
        self._pending: deque[tuple[Change, ...]] = deque()
        self._primed = False
        self._first = True
        self._lagging = False
        self._ready = asyncio.Event()

    @property
    def depth(self) -> int:
        """Batches waiting for the reader."""
        return len(self._pending)

    def replace(self, snapshot: Mapping[str, bytes]) -> None:
        """The whole content as it is now; the reader is told only what is new to it."""
        self._push(apply(self._current, diff(self._current, snapshot)))

    def apply(self, changes: Iterable[Change]) -> None:
        """Changes after the last ``replace``, in order."""
        self._push(apply(self._current, changes))

    def _push(self, changes: tuple[Change, ...]) -> None:
        if self._primed and not changes:
            return
        self._primed = True
        if len(self._pending) >= self._limit:
            self._pending.clear()
            self._lagging = True
        if not self._lagging:
            self._pending.append(changes)
        self._ready.set()

    async def next(self) -> tuple[Change, ...]:
        """The next batch; the first one is the snapshot and may be empty, later ones never are."""
        while True:
            while not self._pending and not self._lagging:
                self._ready.clear()
                await self._ready.wait()
            if self._lagging:
                self._lagging = False
                batch = diff(self._given, self._current)
            else:
                batch = self._pending.popleft()
            apply(self._given, batch)
            if batch or self._first:
                self._first = False
                return batch
