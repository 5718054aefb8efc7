"""The node's side of one attempt: what its handler sent and the wire has not taken yet."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Sequence
from typing import Protocol

from mesh.errors import Cancelled, InternalError, ProtocolError
from mesh.transport import frames
from mesh.transport.base import Attempt, AttemptEvent, Failed, Finished, Refused, Tokens
from mesh.types import Piece

MAX_WAITING_FRAMES = 64  # of one stream behind a busy wire; then `send` waits
MAX_WAITING_PIECES = 1_024
MAX_WAITING_TEXT_BYTES = 128 * 1024
MAX_PIECE_BYTES = 64 * 1024
MAX_ID = 2**32 - 1


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
        "_lost",
        "_next",
        "_owner",
        "_pieces",
        "_started",
        "_text_bytes",
        "_want_credit",
        "_want_room",
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
        self._pieces: list[Piece] = []
        self._text_bytes = 0
        # Senders that wait, each for the one thing that will help it.
        self._want_credit: list[asyncio.Future[None]] = []
        self._want_room: list[asyncio.Future[None]] = []

    # The handler's side.

    async def send(self, event: AttemptEvent) -> None:
        """Raises ``InternalError`` for an event after the terminal one or for pieces that do not
        follow on, ``ProtocolError`` for a piece that no frame can carry, ``Cancelled`` when the
        peer has cancelled or is gone."""
        if isinstance(event, Tokens):
            if not self._offer(event):
                await self._send_parts(event)
            return
        frame = frames.encode_event(self.id, event)
        while len(self._frames) >= MAX_WAITING_FRAMES:
            self._check()
            await _wait_in(self._want_room)
        self._check()
        self._queue(frame, terminal=isinstance(event, Finished | Refused | Failed))

    def finish(self, event: Refused | Failed) -> None:
        """The terminal event in the handler's stead; nothing happens when there is one already."""
        if not self.ended and self._lost is None:
            self._queue(frames.encode_event(self.id, event), terminal=True)

    def _offer(self, event: Tokens) -> bool:
        """The common case, once a token and so kept short: all of it fits now."""
        count = len(event.pieces)
        if (
            not 0 < count <= self._credit
            or event.first != self._next
            or len(self._pieces) + count > MAX_WAITING_PIECES
            or self._text_bytes > MAX_WAITING_TEXT_BYTES
            or self.ended
            or self._lost is not None
        ):
            return False
        size = _weigh(event.pieces)
        if size > MAX_PIECE_BYTES:
            return False
        self._add(event.pieces, size)
        return True

    async def _send_parts(self, event: Tokens) -> None:
        self._check()
        if not event.pieces:
            return
        if event.first != self._next:
            raise InternalError(f"piece {event.first} was sent where {self._next} is next")
        size = _weigh(event.pieces)
        if size > MAX_PIECE_BYTES:
            if len(event.pieces) == 1:
                raise ProtocolError(f"a token's text has {size} bytes, over {MAX_PIECE_BYTES}")
            for index, piece in enumerate(event.pieces):  # rare: mind the sizes one by one
                await self.send(Tokens(first=event.first + index, pieces=(piece,)))
            return
        start = 0
        while start < len(event.pieces):
            room = min(self._credit, MAX_WAITING_PIECES - len(self._pieces))
            if room <= 0 or self._text_bytes > MAX_WAITING_TEXT_BYTES:
                await _wait_in(self._want_room if self._credit else self._want_credit)
                self._check()
                if self._next != event.first + start:
                    raise InternalError("two tasks sent tokens of one stream at the same time")
                continue
            # The size is the whole event's: an upper bound does.
            self._add(event.pieces[start : start + room], size)
            start += room

    def _add(self, pieces: Sequence[Piece], size: int) -> None:
        if not self._pieces:
            self._first = self._next
        self._pieces += pieces
        self._text_bytes += size
        self._credit -= len(pieces)
        self._next += len(pieces)
        urgent, self._started = not self._started, True
        if urgent or not self.queued:
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

    # The session's side.

    def add_credit(self, pieces: int) -> None:
        self._credit += pieces
        _wake(self._want_credit)

    def lose(self, reason: str) -> None:
        """Cancelled by the peer, or the peer is gone: nothing more is sent, senders wake up."""
        self._lost = reason
        self._frames.clear()
        self._pieces = []
        _wake(self._want_credit)
        _wake(self._want_room)

    def take(self) -> list[bytes]:
        """All that waits, in order; from now on it is the session's."""
        self.close_batch()
        taken = list(self._frames)
        self._frames.clear()
        _wake(self._want_room)
        return taken

    def close_batch(self) -> None:
        """Puts the open batch into a frame, so that what follows comes after it."""
        if self._pieces:
            self._frames.append(frames.encode_tokens(self.id, self._first, self._pieces))
            self._pieces, self._text_bytes = [], 0


async def _wait_in(waiting: list[asyncio.Future[None]]) -> None:
    waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
    waiting.append(waiter)
    await waiter


def _wake(waiting: list[asyncio.Future[None]]) -> None:
    for waiter in waiting:
        if not waiter.done():
            waiter.set_result(None)
    waiting.clear()


def _weigh(pieces: Sequence[Piece]) -> int:
    """Bytes of the texts. Raises ``ProtocolError`` for what no TOKENS frame can carry, so that it
    fails in its sender and not later, in a frame that it shares."""
    if len(pieces) == 1:
        (piece,) = pieces
        sound, joined = type(piece.id) is int and 0 <= piece.id <= MAX_ID, piece.text
    else:
        ids, joined = [piece.id for piece in pieces], "".join([piece.text for piece in pieces])
        sound = set(map(type, ids)) == {int} and min(ids) >= 0 and max(ids) <= MAX_ID
    if not sound:
        raise ProtocolError(f"a token id is not an int within 0 and {MAX_ID}")
    if joined.isascii():
        return len(joined)
    try:
        return len(joined.encode())
    except UnicodeEncodeError:
        raise ProtocolError("a token's text is not valid Unicode") from None
