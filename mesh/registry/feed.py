"""The bounded buffer between a watch stream and the code that reads it."""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Iterable, Mapping

from mesh.registry.base import Change, Put
from mesh.registry.diff import apply, diff

log = logging.getLogger("mesh.registry")

# Batches, not changes: one batch is one message of the server. A reader that falls this far behind
# is better served by where things stand now than by how they got there.
FEED_LIMIT = 256
# Of what one watch holds: ten thousand records, with room. What is beyond is left out, and said.
MAX_KEYS = 65_536
MAX_BYTES = 256 * 1024 * 1024  # keys and values
_ROOM = 0.9  # of the limits: below it, what was left out is read again


class Feed:
    """One writer, one reader. Full: pending batches are dropped and the reader gets, once it comes,
    the difference between what it was given and what is true by then. So memory is bounded by
    ``MAX_KEYS`` and ``MAX_BYTES``, and a slow reader never holds up the stream. ``what``: the
    prefix that is watched, for people."""

    def __init__(self, limit: int = FEED_LIMIT, *, what: str = "") -> None:
        self._what = what
        self._limit = limit
        self._current: dict[str, bytes] = {}  # the registry, as the writer knows it
        self._given: dict[str, bytes] = {}  # the registry, as the reader was told
        self._size = 0  # bytes of ``_current``
        self._left_out = 0
        self._pending: deque[tuple[Change, ...]] = deque()
        self._primed = False
        self._first = True
        self._lagging = False
        self._ready = asyncio.Event()

    @property
    def depth(self) -> int:
        """Batches waiting for the reader."""
        return len(self._pending)

    @property
    def shortfall(self) -> str:
        """What is left out, and why, in one line; "" for nothing."""
        if not self._left_out:
            return ""
        return (
            f"the registry holds more below '{self._what}' than is read ({MAX_KEYS:,} keys, "
            f"{MAX_BYTES // 2**20} MiB): {self._left_out:,} keys are left out; delete what should "
            "not be there"
        )

    @property
    def wants_snapshot(self) -> bool:
        """Whether something was left out for which there is room now."""
        roomy = len(self._current) < _ROOM * MAX_KEYS and self._size < _ROOM * MAX_BYTES
        return self._left_out > 0 and roomy

    def fits(self, keys: int, size: int) -> bool:
        """Whether so much in all is held."""
        return keys <= MAX_KEYS and size <= MAX_BYTES

    def replace(self, snapshot: Mapping[str, bytes], left_out: int = 0) -> None:
        """The content as it is now; the reader is told only what is new to it. ``left_out``: keys
        that were not read."""
        before, self._left_out = self._left_out, left_out
        kept: dict[str, bytes] = {}
        self._size = 0
        for key, value in snapshot.items():
            size = self._size + _weight(key, value)
            if self.fits(len(kept) + 1, size):
                kept[key], self._size = value, size
            else:
                self._left_out += 1
        self._say(before)
        self._push(apply(self._current, diff(self._current, kept)))

    def apply(self, changes: Iterable[Change]) -> None:
        """Changes after the last ``replace``, in order."""
        before = self._left_out
        made: list[Change] = []
        for change in changes:
            size = self._size - _weight(change.key, self._current.get(change.key))
            match change:
                case Put(key, value):
                    size += _weight(key, value)
                    new = key not in self._current
                    if not self.fits(len(self._current) + new, size):
                        self._left_out += 1
                        continue
            self._size = size
            made += apply(self._current, (change,))
        self._say(before)
        self._push(tuple(made))

    def _say(self, before: int) -> None:
        if self._left_out and not before:
            log.warning("registry: %s", self.shortfall)

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


def _weight(key: str, value: bytes | None) -> int:
    return 0 if value is None else len(key) + len(value)
