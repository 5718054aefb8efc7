"""The memo of one process: the default, and the twin of the one that Redis holds."""

from __future__ import annotations

import asyncio

from mesh.clock import Clock
from orchestrator.memo.base import MemoCounts, Remembered
from orchestrator.memo.codec import decode, encode
from orchestrator.memo.entries import Entries
from orchestrator.memo.settings import MemoSettings

_LOOK_S = 1.0  # never used up: nothing here waits


class InProcessMemo:
    """A ``Memo`` that dies with its process. ``clock`` ends what is older than ``ttl_s``."""

    trouble = ""
    timeout_s = _LOOK_S

    def __init__(self, settings: MemoSettings, clock: Clock) -> None:
        self.max_answer_bytes = settings.max_answer_bytes
        self._ttl_s = settings.ttl_s
        self._clock = clock
        self._entries = Entries(settings.max_bytes)
        self._hits = self._misses = self._kept = self._too_large = 0

    @property
    def counts(self) -> MemoCounts:
        return MemoCounts(
            hits=self._hits,
            misses=self._misses,
            kept=self._kept,
            too_large=self._too_large,
            evicted=self._entries.evicted,
            expired=self._entries.expired,
            entries=len(self._entries),
            bytes=self._entries.bytes,
        )

    async def look(self, key: bytes) -> Remembered | None:
        data = self._entries.get(key, self._clock.now())
        found = decode(data) if data is not None else None
        if found is None:
            self._misses += 1
        else:
            self._hits += 1
        return found

    async def keep(self, key: bytes, remembered: Remembered) -> bool:
        if not self._ttl_s > 0:
            return False
        data = encode(remembered)
        if len(data) > self.max_answer_bytes or not self._entries.put(
            key, data, self._clock.now() + self._ttl_s
        ):
            self._too_large += 1
            return False
        self._kept += 1
        return True

    async def run(self) -> None:
        """Has nothing to own, and waits to be cancelled."""
        await asyncio.Event().wait()
