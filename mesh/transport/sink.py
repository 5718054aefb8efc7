"""The node's side of one attempt: what its handler sent and the wire has not taken yet."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Sequence
from typing import Protocol

from mesh.errors import Cancelled, InternalError, ProtocolError
from mesh.transport import frames
from mesh.transport.base import Attempt, AttemptEvent, Failed, Finished, Refused, Tokens

MAX_WAITING_FRAMES = 64  # of one stream behind a busy wire; then `send` waits
MAX_WAITING_PIECES = 1_024
MAX_WAITING_TEXT_BYTES = 128 * 1024
MAX_PIECE_BYTES = 64 * 1024


class SinkOwner(Protocol):
    """The peer's session, as its sinks see it."""

    def ready(self, sink: AttemptSink, *, urgent: bool) -> None:
        """``sink`` has something to send. ``urgent``: it is not to wait for the turn's end."""
        ...


class AttemptSink:
    """A ``Sink``. ``Tokens`` are split against credit and room; those that meet a busy wire are put
    together into one frame until it is free again. The first tokens of a stream never wait for
    anything but the wire's own buffer.
    """

    __slots__ = (
        "_credit",
        "_first",
        "_frames",
        "_ids",
        "_lost",
        "_next",
        "_owner",
        "_started",
        "_text_bytes",
        "_texts",
        "_waiting",
        "ended",
        "frame_bytes",
        "id",
        "queued",
        "task",
    )

    def __init__(self, owner: SinkOwner, stream: int, attempt: Attempt, frame_bytes: int) -> None:
        self.id = stream
        self.frame_bytes = frame_bytes  # what its OPEN weighed
        self.task: asyncio.Task[None] | None = None
        self.ended = False  # a terminal event was queued
        self.queued = False  # stands in its session's line
        self._owner = owner
        self._credit = attempt.credit
        self._next = len(attempt.delivered)  # index of the next piece
        self._started = False
        self._lost: str | None = None
        self._frames: deque[bytes] = deque()
        # The open batch: pieces that no frame holds yet.
        self._first = 0
        self._ids: list[int] = []
        self._texts: list[str] = []
        self._text_bytes = 0
        self._waiting: list[asyncio.Future[None]] = []

    # The handler's side.

    async def send(self, event: AttemptEvent) -> None:
        """Raises ``InternalError`` for an event after the terminal one or for pieces that do not
        follow on, ``ProtocolError`` for a piece that no frame can carry, ``Cancelled`` when the
        peer has cancelled or is gone."""
        if isinstance(event, Tokens):
            await self._send_tokens(event)
            return
        frame = frames.encode_event(self.id, event)
        while len(self._frames) >= MAX_WAITING_FRAMES:
            self._check()
            await self._room()
        self._check()
        self._queue(frame, terminal=isinstance(event, Finished | Refused | Failed))

    def finish(self, event: Refused | Failed) -> None:
        """The terminal event in the handler's stead; nothing happens when there is one already."""
        if not self.ended and self._lost is None:
            self._queue(frames.encode_event(self.id, event), terminal=True)

    async def _send_tokens(self, event: Tokens) -> None:
        self._check()
        if not event.pieces:
            return
        if event.first != self._next:
            raise InternalError(f"piece {event.first} was sent where {self._next} is next")
        ids = [piece.id for piece in event.pieces]
        texts = [piece.text for piece in event.pieces]
        size = _weigh(ids, texts)
        if size > MAX_PIECE_BYTES:
            if len(ids) == 1:
                raise ProtocolError(f"a token's text has {size} bytes, over {MAX_PIECE_BYTES}")
            for index, piece in enumerate(event.pieces):  # rare: mind the sizes one by one
                await self._send_tokens(Tokens(first=event.first + index, pieces=(piece,)))
            return
        start, end = 0, len(ids)
        while start < end:
            room = min(self._credit, MAX_WAITING_PIECES - len(self._ids), end - start)
            if room <= 0 or self._text_bytes > MAX_WAITING_TEXT_BYTES:
                await self._room()
                self._check()
                continue
            if not self._ids:
                self._first = event.first + start
            self._ids += ids[start : start + room]
            self._texts += texts[start : start + room]
            self._text_bytes += size  # of the whole event: an upper bound does
            self._credit -= room
            start += room
            self._next = event.first + start
            urgent, self._started = not self._started, True
            self._owner.ready(self, urgent=urgent)

    def _queue(self, frame: bytes, *, terminal: bool) -> None:
        self.close_batch()
        self._frames.append(frame)
        self.ended = terminal
        self._owner.ready(self, urgent=False)

    def _check(self) -> None:
        if self._lost is not None:
            raise Cancelled(self._lost)
        if self.ended:
            raise InternalError("an event was sent after the stream's end")

    async def _room(self) -> None:
        """Waits until credit, room on the wire, or the stream's end may have come."""
        waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append(waiter)
        await waiter

    # The session's side.

    @property
    def empty(self) -> bool:
        return not self._frames and not self._ids

    def add_credit(self, pieces: int) -> None:
        self._credit += pieces
        self.wake()

    def lose(self, reason: str) -> None:
        """Cancelled by the peer, or the peer is gone: nothing more is sent, senders wake up."""
        self._lost = reason
        self._frames.clear()
        self._ids, self._texts = [], []
        self.wake()

    def head(self) -> bytes | None:
        """The frame to send next, None when all is sent."""
        if not self._frames:
            self.close_batch()
        return self._frames[0] if self._frames else None

    def sent(self) -> None:
        """The wire took ``head``."""
        self._frames.popleft()

    def close_batch(self) -> None:
        """Puts the open batch into a frame, so that what follows comes after it."""
        if self._ids:
            self._frames.append(frames.encode_tokens(self.id, self._first, self._ids, self._texts))
            self._ids, self._texts, self._text_bytes = [], [], 0

    def wake(self) -> None:
        if self._waiting:
            waiting, self._waiting = self._waiting, []
            for waiter in waiting:
                if not waiter.done():
                    waiter.set_result(None)


def _weigh(ids: Sequence[int], texts: Sequence[str]) -> int:
    """Bytes of the texts. Raises ``ProtocolError`` for what no TOKENS frame can carry, so that it
    fails in its sender and not later, in a frame that it shares."""
    if min(ids) < 0 or max(ids) >= 2**32:
        raise ProtocolError("a token id is not within 0 and 2**32 - 1")
    try:
        return len("".join(texts).encode())
    except UnicodeEncodeError:
        raise ProtocolError("a token's text is not valid Unicode") from None
