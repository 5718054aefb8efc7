"""The dialing side of one attempt: what arrived and was not read yet, and the credit behind it."""

from __future__ import annotations

import asyncio
from collections import deque
from typing import Protocol

from mesh.embedding import count_of
from mesh.errors import InternalError, NodeLost, ProtocolError
from mesh.transport.base import (
    Accepted,
    Attempt,
    AttemptEvent,
    Failed,
    Finished,
    Progress,
    Refused,
    Tokens,
    Vectors,
)
from mesh.transport.frames import MAX_CREDIT
from mesh.types import NodeId, Piece

MAX_UNREAD_PROGRESS = 64  # beyond it an unread Progress is replaced by the newer one
MAX_MERGED_PIECES = 512  # of one Tokens event handed to a reader that is behind


class StreamOwner(Protocol):
    """The session, as its streams see it."""

    def credit_due(self, stream: DialedStream) -> None:
        """``stream`` has a grant that must reach the node now."""
        ...

    def cancelled(self, stream: DialedStream) -> None: ...


class DialedStream:
    """An ``AttemptStream``. One reader.

    Memory is bounded by credit: at most ``Attempt.credit`` plus unread grants of pieces, and a
    fixed number of other events. Tokens that queue up behind a slow reader are read as one event.

    Grants are put together: while the node still holds more than half of the first credit, a small
    grant waits (the node cannot be standing still); it leaves as soon as that is no longer so.
    """

    __slots__ = (
        "_closed",
        "_lost",
        "_node",
        "_owner",
        "_progress",
        "_queue",
        "_request_id",
        "_waiter",
        "_window",
        "half_window",
        "id",
        "next_piece",
        "ungranted",
    )

    def __init__(self, owner: StreamOwner, stream: int, node: NodeId, attempt: Attempt) -> None:
        self.id = stream
        self.next_piece = len(attempt.delivered)
        self.half_window = attempt.credit // 2
        self.ungranted = 0  # granted by the reader, not yet sent to the node
        self._window = attempt.credit  # pieces the node may still send
        self._owner = owner
        self._node = node
        self._request_id = attempt.request_id
        self._queue: deque[AttemptEvent] = deque()
        self._progress = 0  # unread Progress events
        self._waiter: asyncio.Future[None] | None = None
        self._closed = False  # ended or cancelled: nothing more will be queued
        self._lost: str | None = None

    # Called by the session.

    def deliver(self, event: AttemptEvent) -> bool:
        """Queues what the node sent; True when it was the terminal event. Raises ``ProtocolError``
        for a gap, a repetition, or more pieces than credit allows."""
        match event:
            case Tokens(first=first, pieces=pieces):
                if first != self.next_piece:
                    raise ProtocolError(
                        f"stream {self.id}: piece {first} came where {self.next_piece} was next"
                    )
                self._window -= len(pieces)
                if self._window < 0:
                    raise ProtocolError(f"stream {self.id}: {-self._window} pieces beyond credit")
                self.next_piece += len(pieces)
                if self.ungranted and self._window - self.ungranted <= self.half_window:
                    self._owner.credit_due(self)
            case Vectors(first=first, dimension=dimension, data=data):
                count = count_of(data, dimension)
                self._window -= count
                if first != self.next_piece or self._window < 0:
                    raise ProtocolError(
                        f"stream {self.id}: vectors {first} to {first + count - 1} came where "
                        f"{self.next_piece} was next"
                    )
                self.next_piece += count
            case Progress():
                if self._progress >= MAX_UNREAD_PROGRESS and isinstance(self._queue[-1], Progress):
                    self._queue[-1] = event
                    return False
                self._progress += 1
            case Accepted():
                if len(self._queue) > 2 * MAX_UNREAD_PROGRESS:
                    raise ProtocolError(f"stream {self.id}: accepted again and again")
            case Finished() | Refused() | Failed():
                self._closed = True
        self._queue.append(event)
        self._wake()
        return self._closed

    def lose(self, reason: str) -> None:
        """The session ended under an open stream. What arrived is still handed out."""
        self._lost = reason
        self._wake()

    def take_grant(self) -> int:
        """What one CREDIT frame carries now; 0 when nothing is left to send."""
        pieces = min(self.ungranted, MAX_CREDIT)
        self.ungranted -= pieces
        return pieces

    # The reader's side.

    def __aiter__(self) -> DialedStream:
        return self

    async def __anext__(self) -> AttemptEvent:
        while not self._queue:
            if self._closed:
                raise StopAsyncIteration
            if self._lost is not None:
                raise NodeLost(self._lost, node_id=self._node, request_id=self._request_id)
            if self._waiter is not None:
                raise InternalError("an attempt's stream has one reader; this is a second one")
            self._waiter = asyncio.get_running_loop().create_future()
            try:
                await self._waiter
            finally:
                self._waiter = None
        event = self._queue.popleft()
        if isinstance(event, Tokens):
            if self._queue and isinstance(self._queue[0], Tokens):
                return self._merged(event)
        elif isinstance(event, Progress):
            self._progress -= 1
        return event

    def grant(self, pieces: int) -> None:
        """Raises ``ValueError`` for fewer than 0 pieces."""
        if pieces < 0:
            raise ValueError(f"cannot grant {pieces} pieces")
        if pieces == 0 or self._closed or self._lost is not None:
            return
        self._window += pieces
        self.ungranted += pieces
        held_by_node = self._window - self.ungranted
        if held_by_node <= self.half_window or self.ungranted > self.half_window:
            self._owner.credit_due(self)

    def cancel(self) -> None:
        self._queue.clear()
        if not self._closed and self._lost is None:
            self._owner.cancelled(self)
        self._closed = True
        self._wake()

    async def __aenter__(self) -> DialedStream:
        return self

    async def __aexit__(self, *exc: object) -> None:
        self.cancel()

    def _merged(self, head: Tokens) -> Tokens:
        pieces: list[Piece] = list(head.pieces)
        while self._queue and len(pieces) < MAX_MERGED_PIECES:
            following = self._queue[0]
            if not isinstance(following, Tokens):
                break
            pieces += following.pieces
            self._queue.popleft()
        return Tokens(first=head.first, pieces=tuple(pieces))

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)
