"""Time and randomness are passed in. Only this module sleeps (``ARCHITECTURE.md``, invariant 4)."""

from __future__ import annotations

import asyncio
import time
from typing import Protocol


class Clock(Protocol):
    """A source of time; the twin in tests moves by hand."""

    def now(self) -> float:
        """Monotonic seconds: for durations, deadlines, ages. Never written to a record."""
        ...

    def wall(self) -> float:
        """Unix seconds: for what people and other processes read."""
        ...

    async def sleep(self, seconds: float) -> None:
        """Returns after ``seconds`` of this clock's time; zero or less only yields."""
        ...


class SystemClock:
    """The real clock."""

    def now(self) -> float:
        return time.monotonic()

    def wall(self) -> float:
        return time.time()

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(max(0.0, seconds))


class ManualClock:
    """A clock that stands still until ``advance`` moves it; sleepers wake in order of time."""

    def __init__(self, start: float = 1_000.0) -> None:
        self._now = start
        self._sleepers: list[tuple[float, int, asyncio.Future[None]]] = []
        self._order = 0

    def now(self) -> float:
        return self._now

    def wall(self) -> float:
        return 1_700_000_000.0 + self._now

    async def sleep(self, seconds: float) -> None:
        if seconds <= 0:
            await asyncio.sleep(0)
            return
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._order += 1
        self._sleepers.append((self._now + seconds, self._order, future))
        await future

    async def advance(self, seconds: float) -> None:
        """Moves time forward, waking each sleeper at its own moment and letting it run."""
        end = self._now + seconds
        while True:
            await self.settle()
            due = sorted(s for s in self._sleepers if s[0] <= end)
            if not due:
                break
            self._sleepers.remove(due[0])
            self._now = max(self._now, due[0][0])
            if not due[0][2].done():
                due[0][2].set_result(None)
        self._now = end
        await self.settle()

    async def settle(self, rounds: int = 50) -> None:
        """Lets tasks that are ready run until they wait again."""
        for _ in range(rounds):
            await asyncio.sleep(0)
