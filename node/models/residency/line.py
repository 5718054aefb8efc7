"""Requests that wait at the node for a model that is not resident, or has no slot free."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Callable

from mesh.errors import MeshError, Overloaded
from mesh.transport.base import Progress
from mesh.types import ModelId
from node.models.hosted import RunningSequence
from node.runner.messages import Event

LEAST, A_SLOT = 16, 4  # places in a line: so many, or so many a slot where that is more
RETRY_AFTER_S = 1.0


class Waiter:
    """One request in line. ``next`` gives its news in order: newest progress, then how it ended."""

    def __init__(self, open_sequence: Callable[[], RunningSequence], now: float) -> None:
        self.since = now
        self._open = open_sequence
        self._progress: Progress | None = None
        self._sequence: RunningSequence | None = None
        self._error: MeshError | None = None
        self._news = asyncio.Event()

    @property
    def over(self) -> bool:
        return self._sequence is not None or self._error is not None

    def tell(self, progress: Progress) -> None:
        """What was not read yet is replaced: only the newest matters."""
        if progress != self._progress:
            self._progress = progress
            self._news.set()

    def grant(self) -> None:
        """Its turn: claims the slot now, so that nobody else can."""
        try:
            self._sequence = self._open()
        except MeshError as error:
            self._error = error
        self._news.set()

    def refuse(self, error: MeshError) -> None:
        self._error = error
        self._news.set()

    async def next(self) -> Progress | RunningSequence:
        """Raises what it was refused with, or what opening its sequence raised."""
        await self._news.wait()
        self._news.clear()
        if self._error is not None:
            raise self._error
        if self._sequence is not None:
            sequence, self._sequence = self._sequence, None
            return sequence
        if self._progress is None:
            raise Overloaded("this request was woken in its line for nothing")
        return self._progress

    def give_up(self) -> None:
        """It is not waited for any more; a slot that it was granted is free again."""
        if self._sequence is not None:
            self._sequence.cancel()
            self._sequence = None


class Presence:
    """The sequence of who only wanted the model to be resident: nothing, and it takes no slot."""

    async def __aiter__(self) -> AsyncIterator[Event]:
        return
        yield

    def grant(self, pieces: int) -> None:
        """There are none."""

    def cancel(self) -> None:
        """There is nothing to end."""


class WaitingLine:
    """First come, first served. Policy at the limit: refused at once, with a hint when to come
    back."""

    def __init__(self, model: ModelId, slots: int) -> None:
        self._model = model
        self.limit = max(LEAST, A_SLOT * slots)
        self._waiters: deque[Waiter] = deque()

    def __len__(self) -> int:
        return len(self._waiters)

    @property
    def since(self) -> float:
        """Of its oldest; monotonic seconds, 0 with nobody in it."""
        return self._waiters[0].since if self._waiters else 0.0

    def join(self, waiter: Waiter) -> None:
        """Raises ``Overloaded``."""
        if len(self._waiters) >= self.limit:
            raise Overloaded(
                f"{self.limit} requests wait for model '{self._model}' on this node already",
                retry_after_s=RETRY_AFTER_S,
            )
        self._waiters.append(waiter)

    def leave(self, waiter: Waiter) -> None:
        """Idempotent."""
        if waiter in self._waiters:
            self._waiters.remove(waiter)
        waiter.give_up()

    def grant_next(self) -> None:
        self._waiters.popleft().grant()

    def refuse_all(self, error: MeshError) -> None:
        while self._waiters:
            self._waiters.popleft().refuse(error)

    def tell(self, phase: str, now: float, *, done: int | None = None, total: int = 0) -> None:
        """``done`` None: whole seconds waited, so that there is a sign of life every second."""
        for waiter in self._waiters:
            seconds = int(now - waiter.since)
            waiter.tell(Progress(phase=phase, done=seconds if done is None else done, total=total))
