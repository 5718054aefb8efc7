"""One sequence on a runner, as the agent sees it."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable

from mesh.embedding import count_of
from mesh.errors import EngineFailed, ProtocolError
from node.runner.messages import (
    Cancel,
    Credit,
    Done,
    Event,
    Failed,
    Opening,
    Pieces,
    Prefill,
    Rejected,
    ToRunner,
    Vectors,
)


class Sequence:
    """Iterates over ``Opened``, ``Prefill``s, ``Pieces`` (or ``Vectors``), and last ``Done``,
    ``Failed`` or, before any piece, ``Rejected``; raises ``EngineFailed`` when the runner is lost.
    For one reader.

    What waits to be read is bounded by credit (pieces) and by keeping only the newest of
    consecutive ``Prefill``s. A sequence has its slot until the runner has confirmed the end, so it
    must be read to its end or ``cancel``led.
    """

    def __init__(self, number: int, opening: Opening, *, send: Callable[[ToRunner], None]) -> None:
        self.number = number
        self.opening = opening
        self._send = send
        # Pieces that the runner may still send, as far as it was told.
        self._credit = opening.credit
        self._half = opening.credit // 2
        self._owed = 0  # granted, and not yet told
        self._next = len(opening.delivered)
        self._events: deque[Event] = deque()
        self._waiter: asyncio.Future[None] | None = None
        self._ended = False
        self._cancelled = False
        self._failure: EngineFailed | None = None

    @property
    def cancelled(self) -> bool:
        return self._cancelled

    @property
    def expects(self) -> bool:
        """Whether the runner owes a message: it has credit, or a cancel to confirm."""
        return self._cancelled or (not self._ended and self._credit > 0)

    def grant(self, pieces: int) -> None:
        """Allows that many more pieces. The runner is told when it has used up half of its first
        credit, so that it never stands still for it and does not read a grant for every token."""
        if pieces <= 0 or self._ended or self._cancelled or self._failure:
            return
        self._owed += pieces
        if self._credit <= self._half or self._owed > self._half:
            self._credit += self._owed
            self._send(Credit(sequence=self.number, pieces=self._owed))
            self._owed = 0

    def cancel(self) -> None:
        """Ends it; idempotent, and nothing after its end. Nothing more is yielded."""
        if self._cancelled:
            return
        self._cancelled = True
        self._events.clear()
        self._wake()
        if not (self._ended or self._failure):
            self._send(Cancel(sequence=self.number))

    def put(self, event: Event) -> None:
        """An event from the runner. Raises ``ProtocolError`` when it breaks credit or order."""
        match event:
            case Pieces(first=first, pieces=pieces):
                if first != self._next or len(pieces) > self._credit:
                    raise ProtocolError(
                        f"the runner sent pieces {first}..{first + len(pieces) - 1} where "
                        f"{self._next} was next and {self._credit} were allowed"
                    )
                self._next += len(pieces)
                self._credit -= len(pieces)
            case Vectors(first=first, dimension=dimension, data=data):
                count = count_of(data, dimension)
                if first != self._next or count > self._credit:
                    raise ProtocolError(
                        f"the runner sent vectors {first}..{first + count - 1} where {self._next} "
                        f"was next and {self._credit} were missing"
                    )
                self._next += count
                self._credit -= count
            case Done() | Rejected() | Failed():
                self._ended = True
            case Prefill() if self._events and isinstance(self._events[-1], Prefill):
                self._events.pop()
        if not self._cancelled:
            self._events.append(event)
            self._wake()

    def fail(self, error: EngineFailed) -> None:
        """The runner is lost; raised after the events that came before."""
        self._failure = error
        self._wake()

    def __aiter__(self) -> Sequence:
        return self

    async def __anext__(self) -> Event:
        while True:
            if self._events:
                return self._merged(self._events.popleft())
            if self._cancelled or self._ended:
                raise StopAsyncIteration
            if self._failure is not None:
                raise self._failure
            self._waiter = asyncio.get_running_loop().create_future()
            try:
                await self._waiter
            finally:
                self._waiter = None

    def _merged(self, event: Event) -> Event:
        """Pieces that queued up behind their reader are read as one event."""
        if not (isinstance(event, Pieces) and self._events and isinstance(self._events[0], Pieces)):
            return event
        pieces = list(event.pieces)
        while self._events and isinstance(following := self._events[0], Pieces):
            pieces += following.pieces
            self._events.popleft()
        return Pieces(sequence=event.sequence, first=event.first, pieces=tuple(pieces))

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    async def __aenter__(self) -> Sequence:
        return self

    async def __aexit__(self, *exc: object) -> None:
        self.cancel()
